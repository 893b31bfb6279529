"""Phones whose sound is encrypted, and those they talk to, whose sound is or isn't."""
import pytest

from test_calls import HERS, connect, talk


@pytest.mark.parametrize("encryption", ["srtp", "srtp-mand", "srtp-mandf"])
def test_encrypted_phone_talks_to_a_plain_one(phones, encryption):
    a, b = phones("1001", transport="tls", encryption=encryption), phones("1002")
    connect(a, b, "1002")
    talk(a, b)
    a.hangup()
    b.wait("CALL_CLOSED")


def test_plain_phone_calls_an_encrypted_one(phones):
    a, b = phones("1001"), phones("1002", transport="tls", encryption="srtp")
    connect(a, b, "1002")
    talk(a, b)
    # On hold and back: keys and counters are as before.
    b.command("hold")
    a.wait_sound()
    b.command("resume")
    since = a.mark()
    b.say(HERS)
    a.hears(HERS, since)
    b.hangup()
    a.wait("CALL_CLOSED")


def test_two_encrypted_phones(phones):
    a = phones("1001", transport="tls", encryption="srtp-mand")
    b = phones("1002", transport="tls", encryption="srtp", codec="PCMA")
    connect(a, b, "1002")
    talk(a, b)
    a.hangup()
    b.wait("CALL_CLOSED")


def test_keys_are_not_taken_where_they_can_be_read(phones):
    a = phones("1001", transport="udp", encryption="srtp-mand")
    phones("1002")
    a.dial("1002")
    assert "488" in a.wait("CALL_CLOSED")["param"]


def test_whoever_must_encrypt_is_refused_without(own_phones, own_office):
    own_office.change("UPDATE pbx.extension SET srtp = 'require' WHERE number = '1001'")
    a, b = own_phones("1001", transport="tls"), own_phones("1002", transport="tls", encryption="srtp")
    a.dial("1002")
    assert "488" in a.wait("CALL_CLOSED")["param"]
    own_office.wait_log(r"peer=1001 refused status=488: it must encrypt its media .*offers no keys")
    # Keys where they can be read, by choice, and RTP/SAVP offered to who must.
    own_office.change("UPDATE pbx.extension SET srtp = 'require', srtp_keys_in_clear = true WHERE number = '1003'")
    c = own_phones("1003", encryption="srtp-mand")
    connect(b, c, "1003")
    talk(b, c)
    b.hangup()
    c.wait("CALL_CLOSED")


def test_dtls_phone_calls_a_plain_one(phones):
    a, b = phones("1001", encryption="dtls_srtp"), phones("1002")
    connect(a, b, "1002")
    talk(a, b)
    a.hangup()
    b.wait("CALL_CLOSED")


def test_phone_that_must_is_called_by_dtls(own_phones, own_office):
    own_office.change("UPDATE pbx.extension SET srtp = 'require', srtp_keys = 'dtls' WHERE number = '1002'")
    a, b = own_phones("1001", transport="tls", encryption="srtp-mand"), own_phones("1002", encryption="dtls_srtp", codec="PCMA")
    connect(a, b, "1002")
    talk(a, b)
    # On hold and back: the association and its keys go on.
    b.command("hold")
    a.wait_sound()
    b.command("resume")
    since = a.mark()
    b.say(HERS)
    a.hears(HERS, since)
    b.hangup()
    a.wait("CALL_CLOSED")
