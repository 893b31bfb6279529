"""Two phones, or three, and what they say to each other."""
import pytest

from office import wait_until
from phone import prompt

HIS = prompt("cannot-complete-as-dialed")
HERS = prompt("feature-not-avail-line")


def connect(caller, callee, number):
    caller.dial(number)
    callee.wait("CALL_INCOMING")
    caller.wait("CALL_RINGING")
    callee.accept()
    caller.wait("CALL_ESTABLISHED")
    caller.wait_sound()
    callee.wait_sound()


def talk(a, b):
    """Each says something and hears the other, and not himself."""
    since_a, since_b = a.mark(), b.mark()
    a.say(HIS)
    b.say(HERS)
    at_a = a.hears(HERS, since_a)
    at_b = b.hears(HIS, since_b)
    assert not a.look_for(HIS, since_a).same and not b.look_for(HERS, since_b).same
    return at_a, at_b


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_two_phones_hear_each_other(phones, office, transport):
    a, b = phones("1001", transport=transport), phones("1002", transport=transport)
    office.wait_sql("SELECT count(*) = 2 AND bool_and(proto = %s) FROM pbx.binding", transport)
    connect(a, b, "1002")
    # (That packets pass as they are is told by peers that hear all of them, in tests/sip/test_media.py: a phone leaves some out
    # when it is busy.)
    talk(a, b)
    a.hangup()
    b.wait("CALL_CLOSED")


@pytest.mark.parametrize("codecs", [("PCMU", "PCMA"), ("PCMU", "G722"), ("G722", "PCMA"), ("G722", "G722"),
                                    ("opus", "opus"), ("opus", "PCMA"), ("opus", "G722")], ids="-".join)
def test_phones_of_different_codecs_hear_each_other(phones, codecs):
    a, b = phones("1001", codec=codecs[0]), phones("1002", codec=codecs[1])
    connect(a, b, "1002")
    talk(a, b)
    b.hangup()
    a.wait("CALL_CLOSED")


def test_phone_over_ipv6_talks_to_one_over_ipv4(phones, office):
    if not office.addr6:
        pytest.skip("no IPv6 here")
    a, b = phones("1001", family=6), phones("1002")
    connect(a, b, "1002")
    talk(a, b)
    a.hangup()
    b.wait("CALL_CLOSED")


def test_caller_who_gives_up_stops_the_ringing(phones, office):
    before = office.sql("SELECT clock_timestamp()")[0]
    a, b = phones("1001"), phones("1002")
    a.dial("1002")
    b.wait("CALL_INCOMING")
    a.wait("CALL_RINGING")
    a.hangup()
    b.wait("CALL_CLOSED")
    assert office.wait_sql("SELECT result, answered, hangup_by FROM pbx.cdr WHERE started > %s", *before) == [("hangup", None, "caller")]
    # Neither is taken for busy afterwards.
    connect(a, b, "1002")
    talk(a, b)


def test_all_phones_of_an_extension_ring_and_one_answers(phones):
    a, b, c = phones("1001"), phones("1002"), phones("1002")
    a.dial("1002")
    b.wait("CALL_INCOMING")
    c.wait("CALL_INCOMING")
    c.accept()
    a.wait("CALL_ESTABLISHED")
    b.wait("CALL_CLOSED")
    talk(a, c)


def test_second_call_waits_while_the_first_goes_on(phones):
    a, b, c = phones("1001"), phones("1002"), phones("1003")
    connect(a, b, "1002")
    c.dial("1002")
    b.wait("CALL_INCOMING")
    c.wait("CALL_RINGING")
    since = b.mark()
    a.say(HIS)
    b.hears(HIS, since)
    c.hangup()


def test_wrong_password_is_refused(phones):
    phone = phones("1003", register=False, password="not-this-one")
    assert "40" in phone.register(wait="REGISTER_FAIL")["param"]


def test_phone_that_ends_is_unregistered(phones, office):
    phone = phones("1004")
    office.wait_sql("SELECT count(*) = 1 FROM pbx.binding WHERE number = '1004'")
    phone.stop()
    office.wait_sql("SELECT count(*) = 0 FROM pbx.binding WHERE number = '1004'")


def test_caller_is_named(phones):
    a, b = phones("1001"), phones("1002")
    a.dial("1002")
    event = b.wait("CALL_INCOMING")
    assert event["peerdisplayname"] == "Olive Operator" and "1001@" in event["peeruri"]


@pytest.fixture
def direct(office):
    """8 and an extension rings it for two seconds, and there is no mailbox behind."""
    office.change("""
        INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_810XX', 'No mailbox');
        INSERT INTO pbx.step (domain, context, pattern, position, app, args)
            VALUES ('office', 'office', '_810XX', 1, 'dial', '{"number": "${number:1}", "ring_s": 2}')""")
    yield
    office.change("DELETE FROM pbx.route WHERE pattern = '_810XX'")


def test_caller_is_told_why_nobody_answers(phones, direct):
    a, b = phones("1001"), phones("1002", max_calls=1)
    a.dial("81003")                      # isn't registered
    assert a.wait("CALL_CLOSED")["param"].startswith("480")
    a.dial("81002")
    b.wait("CALL_INCOMING")
    b.hangup()                           # says 486
    assert a.wait("CALL_CLOSED")["param"].startswith("486")
    a.dial("81002")                      # rings in vain
    b.wait("CALL_INCOMING")
    assert a.wait("CALL_CLOSED")["param"].startswith("480")
    b.wait("CALL_CLOSED")
    c = phones("1003")
    connect(c, b, "1002")
    a.dial("81002")                      # has one line, and is talking
    assert a.wait("CALL_CLOSED")["param"].startswith("486")
    talk(c, b)


@pytest.mark.parametrize("codecs", [("PCMU", "PCMU"), ("PCMA", "G722")], ids="-".join)
def test_digits_pass_between_phones(phones, codecs):
    a, b = phones("1001", codec=codecs[0]), phones("1002", codec=codecs[1])
    connect(a, b, "1002")
    a.press("15*#")
    for digit in "15*#":
        assert b.wait("CALL_DTMF_START")["param"] == digit
    b.press("0")
    assert a.wait("CALL_DTMF_START")["param"] == "0"
    talk(a, b)


def test_one_call_is_held_for_another(phones):
    a, b, c = phones("1001"), phones("1002"), phones("1003")
    connect(a, b, "1002")
    first = a.heard, a.spoken
    a.hold()
    connect(a, c, "1003")
    since = b.mark()
    talk(a, c)
    assert not b.look_for(HIS, since).same and not b.look_for(HERS, since).same
    a.hangup()                           # takes the first call back by itself
    c.wait("CALL_CLOSED")
    a.heard, a.spoken = first

    def reaches_b():
        start = b.mark()
        a.says(HIS)
        b.listens(0.5)
        return b.look_for(HIS, start).same

    wait_until(reaches_b)
