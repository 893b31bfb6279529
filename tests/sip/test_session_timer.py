"""Session timers (RFC 4028), each leg its own; and their settings in SQL."""
from sip import Phone, hang_up, sdp


def test_each_leg_has_its_own(pair):
    caller, callee = pair
    here = caller.invite("91002", headers=["Supported: timer", "Session-Expires: 300;refresher=uac"])
    there = callee.answer_invite()
    assert there.invite["Session-Expires"] == "1800"
    assert "timer" in there.invite["Supported"]
    there.reply(200, "OK", body=sdp(callee.addr, 40000), headers=["Require: timer", "Session-Expires: 600;refresher=uas"])
    there.expect("ACK")
    ok = here.expect(200)
    here.ack(ok)
    assert ok["Session-Expires"] == "300;refresher=uac"
    assert ok["Require"] == "timer"
    # The caller's refresh is answered, and the callee hears nothing of it.
    here.send("UPDATE", headers=["Supported: timer", "Session-Expires: 300;refresher=uac"])
    ok = here.expect(200)
    assert ok["Session-Expires"] == "300;refresher=uac"
    callee.expect_none()
    hang_up(here, there)


def test_too_short_is_refused(pair):
    caller, callee = pair
    here = caller.invite("91002", headers=["Supported: timer", "Session-Expires: 60"])
    refused = here.expect(422)
    here.ack(refused)
    assert refused["Min-SE"] == "90"
    callee.expect_none()


def test_callee_wants_longer(pair):
    """422: the leg asks again for as long as is wanted; the caller hears nothing."""
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.reply(422, "Session Interval Too Small", headers=["Min-SE: 3600"])
    there.expect("ACK")
    again = callee.answer_invite()
    assert again.call_id == there.call_id
    assert again.invite.cseq == there.invite.cseq + 1
    assert (again.invite["Session-Expires"], again.invite["Min-SE"]) == ("3600", "3600")
    assert again.invite.body == there.invite.body
    again.answer()
    here.ack(here.expect(200))
    hang_up(here, again)


def test_settings(own_office):
    own_office.change("UPDATE pbx.domain SET session_expires_s = 0, session_min_s = 120")
    with Phone(own_office, "1001") as caller, Phone(own_office, "1002") as callee:
        callee.register()
        here = caller.invite("91002", headers=["Supported: timer", "Session-Expires: 100"])
        refused = here.expect(422)
        here.ack(refused)
        assert refused["Min-SE"] == "120"
        here = caller.invite("91002")
        there = callee.answer_invite()
        assert there.invite.get("Session-Expires") is None
        there.answer()
        ok = here.expect(200)
        here.ack(ok)
        assert ok.get("Session-Expires") is None
        hang_up(here, there)
