"""Phones whose media find their way by ICE."""
import pytest

from phone import prompt
from test_calls import connect

HIS = prompt("cannot-complete-as-dialed")
HERS = prompt("feature-not-avail-line")


def both_hear(a, b):
    since_a, since_b = a.mark(), b.mark()
    a.say(HIS)
    b.hears(HIS, since_b)
    b.say(HERS)
    a.hears(HERS, since_a)


@pytest.fixture
def offering(office):
    office.change("UPDATE pbx.extension SET ice = 'offer' WHERE (domain, number) = ('office', '1002')")
    yield
    office.change("UPDATE pbx.extension SET ice = DEFAULT WHERE (domain, number) = ('office', '1002')")


def test_phone_with_ice_calls_and_holds(office, phones):
    a, b = phones("1001", nat="ice"), phones("1002")
    log = len(office.log)
    connect(a, b, "1002")
    both_hear(a, b)
    office.wait_log("media latched .* why=ice", log)
    a.hold()
    a.resume()
    since = b.mark()
    a.say(HIS)
    b.hears(HIS, since)
    a.repeats_what_it_hears()
    said = a.spoken.seconds
    b.say(HERS)
    a.repeated(HERS, said)
    a.hangup()
    b.wait("CALL_CLOSED")


def test_phone_with_ice_is_called(office, phones, offering):
    a, b = phones("1001"), phones("1002", nat="ice")
    log = len(office.log)
    connect(a, b, "1002")
    both_hear(a, b)
    office.wait_log("media latched .* why=ice", log)
    a.hangup()
    b.wait("CALL_CLOSED")


def test_phone_without_ice_takes_an_offer_of_it(office, phones, offering):
    a, b = phones("1001"), phones("1002")
    connect(a, b, "1002")
    both_hear(a, b)
    a.hangup()
    b.wait("CALL_CLOSED")
