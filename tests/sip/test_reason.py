"""Why a call ends, and what its ends say to each other at that: Reason (RFC 3326, 6432), User-to-User (RFC 7433), Diversion of a 302."""
import pytest

from sip import Phone, sdp
from test_identity import ours, refuse


@pytest.fixture
def talking(pair):
    """An answered call: caller's dialog, callee's."""
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.answer()
    here.ack(here.expect(200))
    return here, there


def test_reason_of_several_headers_passes_both_ways(talking):
    here, there = talking
    there.send("BYE", headers=["Reason: SIP;cause=580, Q.850;cause=47", 'Reason: STIR;cause=436;text="a, b"'])
    m = here.expect("BYE")
    assert m["Reason"] == 'SIP;cause=580, Q.850;cause=47, STIR;cause=436;text="a, b"'
    here.reply(200, "OK", m)
    there.expect(200)


@pytest.mark.parametrize("number,status,cause", [("5555555", 404, 1), ("91010", 480, 20)])
def test_reason_of_our_own_refusals(pair, number, status, cause):
    caller, _ = pair
    here = caller.invite(number)
    m = here.expect(status)
    here.ack(m)
    assert f"Q.850;cause={cause}" in m["Reason"]


@pytest.mark.parametrize("status,reason,told,value", [
    (486, [], 486, "Q.850;cause=17"), (603, [], 603, "Q.850;cause=21"), (480, [], 480, "Q.850;cause=18"),
    (607, [], 607, "Q.850;cause=21"), (608, [], 608, "Q.850;cause=21"),       # RFC 8197, RFC 8688
    (404, ['Reason: Q.850;cause=22;text="Number changed"'], 404, 'Q.850;cause=22;text="Number changed"'),
    (486, ['Reason: SIP;cause=486;text="On the phone"'], 486, 'SIP;cause=486;text="On the phone", Q.850;cause=17')])
def test_reason_of_refusals_that_pass(pair, status, reason, told, value):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.reply(status, "No", headers=reason)
    there.expect("ACK", skip=("INVITE",))
    m = here.expect(told, skip=(100, 180))
    here.ack(m)
    assert m["Reason"] == value


def test_reason_of_a_provisional_response(pair):
    """A gateway says why it plays an announcement (RFC 6432)."""
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.reply(183, "Session Progress", headers=["Reason: Q.850;cause=1"], body=sdp(callee.addr, 40000))
    assert here.expect(183)["Reason"] == "Q.850;cause=1"
    there.answer()
    m = here.expect(200)
    here.ack(m)
    assert m.get("Reason") is None                                           # it was of the ringing, not of the call
    here.bye()
    assert there.take_bye()["Reason"].startswith("Q.850;cause=16")


def test_uui_in_all_that_may_carry_it(pair):
    caller, callee = pair
    here = caller.invite("91002", headers=["User-to-User: 01;encoding=hex"])
    there = callee.answer_invite()
    assert there.invite["User-to-User"] == "01;encoding=hex" and "uui" in there.invite["Supported"]
    assert "histinfo" in there.invite["Supported"]
    there.reply(180, "Ringing", headers=["User-to-User: 02;encoding=hex"])
    assert here.expect(180)["User-to-User"] == "02;encoding=hex"
    there.reply(200, "OK", headers=["User-to-User: 03;encoding=hex"], body=sdp(callee.addr, 40000))
    there.expect("ACK")
    m = here.expect(200)
    here.ack(m)
    assert m["User-to-User"] == "03;encoding=hex"
    here.send("BYE", headers=["User-to-User: 04;encoding=hex"])
    here.expect(200)
    assert there.take_bye()["User-to-User"] == "04;encoding=hex"
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.reply(486, "Busy Here", headers=["User-to-User: 05;encoding=hex"])
    there.expect("ACK", skip=("INVITE",))
    m = here.expect(486, skip=(100, 180))
    here.ack(m)
    assert m["User-to-User"] == "05;encoding=hex"


@pytest.mark.parametrize("headers,contact,reason", [
    (["Diversion: <sip:1002@x>;reason=no-answer"], "", "no-answer"),
    (["Diversion: <sip:1002@x>;reason=user-busy;counter=1", "Diversion: <sip:1@x>;reason=away"], "", "user-busy"),
    (["History-Info: <sip:1002@x>;index=1, <sip:1003@x;cause=486>;index=1.1"], "", "user-busy"),
    ([], ";cause=408", "no-answer"), ([], "", "deflection"), (["Diversion: <sip:1002@x>"], "", "deflection")])
def test_reason_of_a_302_is_kept(pair, office, headers, contact, reason):
    caller, callee = pair
    with Phone(office, "1003") as third:
        third.register()
        here = caller.invite("91002")
        there = callee.answer_invite()
        there.reply(302, "Moved Temporarily", contact=False, headers=[f"Contact: <sip:1003@{caller.uri_host}{contact}>", *headers])
        there.expect("ACK")
        there = third.answer_invite()
        assert ours(there.invite["Diversion"]) == f"<sip:1002@us>;reason={reason};counter=1;privacy=off"
        refuse(there, here)
        third.unregister()
