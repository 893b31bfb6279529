"""The database away, the server restarted: phones notice as little as can be. A phone that loses power is noticed."""
import pytest

from phone import prompt
from test_calls import HIS, connect, talk
from test_voicemail import is_said, leave, stored


def test_phones_call_each_other_while_the_database_is_away(own_phones, own_office):
    a, b = own_phones("1001"), own_phones("1002")
    connect(a, b, "1002")
    talk(a, b)
    own_office.database_down()
    talk(a, b)
    a.hangup()
    b.wait("CALL_CLOSED")
    connect(b, a, "1001")
    talk(b, a)
    b.hangup()
    a.wait("CALL_CLOSED")
    own_office.database_up()
    # Both are on record, the one that ended meanwhile too.
    own_office.wait_sql("SELECT count(*) = 2 FROM pbx.cdr WHERE result = 'answered'")
    connect(a, b, "1002")


def test_message_left_while_the_database_is_away_appears_when_it_is_back(own_phones, own_office, tmp_path):
    a = own_phones("1001")
    own_office.database_down()
    leave(a, "1003", HIS)
    a.press("#1")
    a.hears(prompt("vm-msgsaved"))
    a.hangup()
    own_office.database_up()
    assert is_said(stored(own_office, "1003"), HIS, tmp_path)


def test_message_outlasts_a_power_cut_in_its_midst(own_phones, own_office, tmp_path):
    a = own_phones("1001")
    leave(a, "**1003", HIS)
    own_office.kill()
    own_office.start_server()
    assert is_said(stored(own_office, "1003"), HIS, tmp_path)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_registrations_outlast_a_restart(own_phones, own_office, transport):
    a, b = own_phones("1001", transport=transport), own_phones("1002", transport=transport)
    own_office.restart()
    connect(a, b, "1002")
    talk(a, b)
    a.hangup()
    b.wait("CALL_CLOSED")


def test_registrations_outlast_a_power_cut(own_phones, own_office):
    a, b = own_phones("1001"), own_phones("1002")
    own_office.wait_sql("SELECT count(*) = 2 FROM pbx.binding")
    own_office.kill()
    own_office.start_server()
    connect(a, b, "1002")
    talk(a, b)


@pytest.mark.office(media={"timeout_s": 2})
def test_phone_without_power_ends_its_call(own_phones, own_office):
    a, b = own_phones("1001"), own_phones("1002")
    connect(a, b, "1002")
    talk(a, b)
    b.kill()
    a.wait("CALL_CLOSED")
    assert own_office.wait_sql("SELECT hangup_by, result FROM pbx.cdr") == [("system", "answered")]


@pytest.mark.office(media={"timeout_s": 2})
def test_held_call_outlasts_the_silence_of_its_holder(own_phones):
    a, b = own_phones("1001"), own_phones("1002")
    connect(a, b, "1002")
    a.hold()                             # baresip sends nothing then
    b.listens(4)
    a.resume()
    assert not b.has("CALL_CLOSED")
    a.say(HIS)
    b.hears(HIS, b.mark())
