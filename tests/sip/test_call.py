"""Calls through the B2BUA, as ladders of SIPp: caller, server, callee (RFC 3261 §9, §13, §15; RFC 3326)."""
import pytest

from sipp import callee, sipp

WAYS = [(4, "u1"), (4, "t1"), (6, "u1"), (6, "t1")]


@pytest.mark.parametrize("family,transport", WAYS)
def test_call_rings_is_answered_and_hung_up(office, cdrs, family, transport):
    with callee(office, "answer.xml"):
        run = sipp(office, "call.xml", keys={"dial": "91002"}, family=family, transport=transport)
    assert "SIP/2.0 180 Ringing" in run.messages
    cdr = cdrs.next()
    assert (cdr.caller, cdr.dialled, cdr.result, cdr.cause, cdr.hangup_by) == ("1001", "91002", "answered", 16, "caller")
    assert [(leg.role, leg.number) for leg in cdr.legs] == [("caller", "1001"), ("callee", "1002")]
    assert cdr.started <= cdr.answered <= cdr.ended
    assert all(leg.ringing and leg.answered and leg.ended for leg in cdr.legs)


def test_callee_hangs_up_and_says_why(office, cdrs):
    with callee(office, "answer_and_bye.xml"):
        run = sipp(office, "call_until_bye.xml", keys={"dial": "91002"})
    assert 'Q.850;cause=31;text="Lunch"' in run.text("logs")
    cdr = cdrs.next()
    assert (cdr.result, cdr.cause, cdr.hangup_by) == ("answered", 31, "callee")


def test_early_media_reaches_the_caller(office, cdrs):
    with callee(office, "answer_early.xml"):
        run = sipp(office, "call.xml", keys={"dial": "91002"})
    assert "SIP/2.0 183" in run.messages
    assert cdrs.next().result == "answered"


def test_caller_gives_up(office, cdrs):
    with callee(office, "ring.xml") as phone:
        sipp(office, "call_cancel.xml", keys={"dial": "91002"})
    assert "reason:" in phone.text("logs")
    cdr = cdrs.next()
    assert (cdr.result, cdr.hangup_by, cdr.answered) == ("hangup", "caller", None)
    assert [leg.status for leg in cdr.legs] == [487, 487]


@pytest.mark.parametrize("status,phrase,told,result,cause", [
    (486, "Busy Here", 486, "busy", 17), (600, "Busy Everywhere", 600, "busy", 17), (603, "Decline", 603, "declined", 21),
    (480, "Temporarily Unavailable", 480, "unavailable", 18), (404, "Not Found", 404, "unavailable", 1),
    (500, "Broken", 500, "unavailable", 41), (407, "Proxy Authentication Required", 480, "unavailable", 18),
    (420, "Bad Extension", 480, "unavailable", 18)])
def test_refusal_reaches_the_caller(office, cdrs, status, phrase, told, result, cause):
    with callee(office, "refuse.xml", fill={"status": status}, keys={"phrase": phrase, "more": "Subject: x"}):
        run = sipp(office, "call_refused.xml", keys={"dial": "91002"})
    assert f"status: {told}" in run.text("logs")
    cdr = cdrs.next()
    assert (cdr.result, cdr.cause, cdr.answered) == (result, cause, None)


def test_reason_of_a_refusal_is_passed_on(office):
    with callee(office, "refuse.xml", fill={"status": 486}, keys={"phrase": "Busy Here", "more": 'Reason: Q.850;cause=34;text="No line"'}):
        run = sipp(office, "call_refused.xml", keys={"dial": "91002"})
    assert 'reason:  Q.850;cause=34;text="No line"' in run.text("logs")


def test_nobody_answers(office, cdrs):
    office.change("UPDATE pbx.extension SET ring_s = 1 WHERE number = '1002'")
    try:
        with callee(office, "ring.xml") as phone:
            run = sipp(office, "call_refused.xml", keys={"dial": "91002"})
        assert "cause=19" in phone.text("logs")
    finally:
        office.change("UPDATE pbx.extension SET ring_s = 20 WHERE number = '1002'")
    assert "status: 480" in run.text("logs")
    cdr = cdrs.next()
    assert (cdr.result, cdr.cause) == ("no_answer", 19)


def test_nobody_is_registered(office, cdrs):
    run = sipp(office, "call_refused.xml", keys={"dial": "91008"})
    assert "status: 480" in run.text("logs")
    cdr = cdrs.next()
    assert (cdr.result, cdr.cause) == ("unavailable", 20)


def test_number_that_does_not_exist(office, cdrs):
    run = sipp(office, "call_refused.xml", keys={"dial": "5555"})
    assert "status: 404" in run.text("logs")
    cdr = cdrs.next()
    assert (cdr.result, cdr.cause) == ("invalid", 1)


def test_late_offer(office, cdrs):
    with callee(office, "answer.xml"):
        sipp(office, "call_late_offer.xml", keys={"dial": "91002"})
    assert cdrs.next().result == "answered"


@pytest.mark.parametrize("family,transport", WAYS)
def test_caller_holds_and_comes_back(office, cdrs, family, transport):
    with callee(office, "answer.xml"):
        sipp(office, "call_hold.xml", keys={"dial": "91002"}, family=family, transport=transport, args=["-d", "100"])
    assert cdrs.next().hangup_by == "caller"


def test_callee_holds_and_comes_back(office, cdrs):
    with callee(office, "answer_hold.xml", args=["-d", "100"]):
        sipp(office, "call_until_bye.xml", keys={"dial": "91002"})
    assert cdrs.next().hangup_by == "callee"


def test_many_calls_at_once(office, cdrs):
    with callee(office, "answer.xml", calls=40):
        sipp(office, "call.xml", keys={"dial": "91002"}, calls=40, rate=40, args=["-d", "300"])
    found = [cdrs.next() for _ in range(40)]
    assert {c.result for c in found} == {"answered"}
    assert len({c.call for c in found}) == 40
