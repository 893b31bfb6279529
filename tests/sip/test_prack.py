"""Reliable provisional responses, each leg by itself (RFC 3262, 3311, 3960, 6228), and the early dialogs of forks."""
import re

from sip import Dialog, hang_up, media_of, sdp

PCMU = [(0, "PCMU/8000"), (101, "telephone-event/8000")]


def prack(side, m, body="", headers=()):
    side.phone.settled.add(m.key)
    side.send("PRACK", body, [f"RAck: {m['RSeq']} {m['CSeq']}", *headers])
    return side.expect(200)


def reliably(side, status, rseq, body=""):
    """A reliable response of ours, and the PRACK for it."""
    side.reply(status, "Progress", body=body, headers=["Require: 100rel", f"RSeq: {rseq}", "Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE"])
    m = side.expect("PRACK")
    assert m["RAck"] == f"{rseq} {side.invite.cseq} INVITE"
    side.reply(200, "OK", m)
    return m


def test_callee_alone_acknowledges(pair):
    """The callee's leg is reliable, the caller's isn't: it never asked for that."""
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    assert "100rel" in there.invite["Supported"]
    reliably(there, 183, 4711, sdp(callee.addr, 40002, PCMU))
    early = here.expect(183)
    assert early.get("RSeq") is None
    there.reply(200, "OK")                                                   # all was said in the 183
    there.expect("ACK")
    ok = here.expect(200)
    here.ack(ok)
    assert media_of(ok.body) == media_of(early.body)
    hang_up(here, there)


def test_caller_alone_acknowledges(pair):
    caller, callee = pair
    here = caller.invite("91002", headers=["Supported: 100rel"])
    there = callee.answer_invite()
    there.ring()
    ringing = here.expect(180)
    assert ringing.get("RSeq") is None                                       # nothing in it that mustn't be lost
    there.reply(183, "Session Progress", body=sdp(callee.addr, 40002, PCMU))
    early = here.expect(183)
    assert "100rel" in early["Require"]
    assert early.body
    prack(here, early)
    there.answer(sdp(callee.addr, 40002, PCMU))
    ok = here.expect(200)
    here.ack(ok)
    assert not ok.body
    hang_up(here, there)


def test_required_by_the_caller(pair):
    caller, callee = pair
    here = caller.invite("91002", headers=["Require: 100rel"])
    there = callee.answer_invite()
    there.ring()
    ringing = here.expect(180)
    prack(here, ringing)
    there.answer()
    ok = here.expect(200)
    here.ack(ok)
    assert ok.body
    hang_up(here, there)


def test_answer_waits_for_the_caller(pair):
    """RFC 3262 §3: no 2xx while a description is unacknowledged."""
    caller, callee = pair
    here = caller.invite("91002", headers=["Supported: 100rel"])
    there = callee.answer_invite()
    there.reply(183, "Session Progress", body=sdp(callee.addr, 40002, PCMU))
    early = here.expect(183)
    there.answer(sdp(callee.addr, 40002, PCMU))
    again = here.expect(183)                                                 # no 200 before it
    assert again["RSeq"] == early["RSeq"]
    here.send("PRACK", "", [f"RAck: {early['RSeq']} {early['CSeq']}"])
    oks = [here.expect(200, skip=(100, 183)) for _ in range(2)]
    assert [m.cseq_method for m in oks] == ["PRACK", "INVITE"]
    here.ack(oks[1])
    hang_up(here, there)


def test_late_offer_gets_early_media(pair):
    """No offer in the INVITE: ours goes in the 183, his answer in the PRACK."""
    caller, callee = pair
    here = caller.invite("91002", "", headers=["Supported: 100rel"])
    there = callee.answer_invite()
    there.reply(183, "Session Progress", body=sdp(callee.addr, 40002, PCMU))
    offer = here.expect(183)
    assert re.search(r"^m=audio \d+ RTP/AVP 0 ", offer.body, re.M)           # the callee's codec first
    prack(here, offer, sdp(caller.addr, 40000, PCMU))
    there.answer(sdp(callee.addr, 40002, PCMU))
    ok = here.expect(200)
    here.ack(ok)
    assert not ok.body
    hang_up(here, there)


def test_update_before_the_answer(pair):
    """RFC 3311: the caller moves his media while it rings; then the callee does. Neither leg's change is the other's."""
    caller, callee = pair
    here = caller.invite("91002", headers=["Supported: 100rel"])
    there = callee.answer_invite()
    here.send("UPDATE", sdp(caller.addr, 40010, PCMU, version=2), to=f"{here.remote};tag=none")
    assert here.expect(481)                                                  # no dialog yet
    reliably(there, 183, 1, sdp(callee.addr, 40002, PCMU))
    prack(here, here.expect(183))
    here.send("UPDATE", sdp(caller.addr, 40010, PCMU, version=2))
    ok = here.expect(200)
    assert media_of(ok.body)[0] == caller.office.addr
    there.send("UPDATE", sdp(callee.addr, 40012, PCMU, version=2))
    ok = there.expect(200)
    assert media_of(ok.body) == media_of(there.invite.body)
    there.reply(200, "OK")
    there.expect("ACK")
    here.ack(here.expect(200))
    hang_up(here, there)


def test_ringing_after_progress_is_told(pair):
    """RFC 3960: 180 after 183: the caller's phone rings when nothing is to be heard."""
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.reply(183, "Session Progress", body=sdp(callee.addr, 40002, PCMU))
    early = here.expect(183)
    there.ring()
    ringing = here.expect(180)
    assert ringing.body == early.body
    there.ring()
    caller.expect_none()                                                     # once
    there.answer(sdp(callee.addr, 40002, PCMU))
    here.ack(here.expect(200))
    hang_up(here, there)


def test_forks_behind_the_callee(pair):
    """A proxy forks our INVITE: each early dialog is acknowledged and may speak; one goes, another answers."""
    caller, callee = pair
    here = caller.invite("91002")
    one = callee.answer_invite()
    other = Dialog.of_invite(callee, one.invite)
    first = reliably(one, 183, 10, sdp(callee.addr, 40002, PCMU))
    second = reliably(other, 183, 900, sdp(callee.addr, 40004, PCMU))
    assert first.to_tag == one.tag and second.to_tag == other.tag
    here.expect(183)
    for side in (one, other):
        side.send("INFO")
        side.expect(200)
    other.reply(199, "Early Dialog Terminated")
    one.reply(200, "OK", body=sdp(callee.addr, 40002, PCMU))
    one.expect("ACK")
    here.ack(here.expect(200))
    hang_up(here, one)
