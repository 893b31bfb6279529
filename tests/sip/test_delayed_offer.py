"""Calls of ours without an offer: the callee's is answered in the ACK or the PRACK (RFC 3261 section 13.2.1, RFC 3262 section 5, RFC 6337)."""
import re

import pytest

from sip import Dialog, hang_up, media_of, sdp, token
from test_prack import reliably

PCMU = [(0, "PCMU/8000"), (101, "telephone-event/8000")]
PCMA = [(8, "PCMA/8000"), (101, "telephone-event/8000")]


@pytest.fixture
def pair(office, pair):
    office.change("UPDATE pbx.extension SET delayed_offer = 'always' WHERE (domain, number) = ('office', '1002')")
    yield pair
    office.change("UPDATE pbx.extension SET delayed_offer = DEFAULT WHERE (domain, number) = ('office', '1002')")


def payloads(body):
    return re.search(r"^m=audio \d+ RTP/AVP (.*)$", body, re.M).group(1).split()


def test_offer_in_the_answer(pair):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    assert not there.invite.body and not there.invite.get("Content-Type")
    there.reply(180, "Ringing", body=sdp(callee.addr, 40002, PCMU))          # no offer, for it may be lost
    here.expect(180)
    ack = there.answer(sdp(callee.addr, 40002, PCMA))
    assert payloads(ack.body) == ["8", "101"] and media_of(ack.body)[0] == caller.office.addr
    there.reply(200, "OK", body=sdp(callee.addr, 40002, PCMA))               # our ACK was lost: it comes again as it was
    assert there.expect("ACK").body == ack.body
    ok = here.expect(200)
    here.ack(ok)
    assert payloads(ok.body)[0] == "8"                                       # the codec that both have
    hang_up(here, there)


def test_offer_in_a_reliable_response(pair):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    m = reliably(there, 183, 7, sdp(callee.addr, 40002, PCMA))
    assert payloads(m.body) == ["8", "101"]
    here.expect(183)                                                         # early media for who offered
    assert not reliably(there, 180, 8).body
    here.expect(180, skip=(183,))
    there.reply(200, "OK")
    assert not there.expect("ACK").body
    here.ack(here.expect(200))
    there.send("INVITE", sdp(callee.addr, 40006, PCMA, version=2))           # and it goes on as any call does
    ok = there.expect(200)
    there.ack(ok)
    assert payloads(ok.body) == ["8", "101"]
    hang_up(here, there)


def test_follow_is_for_callers_without_offer(office, pair):
    caller, callee = pair
    office.change("UPDATE pbx.extension SET delayed_offer = 'follow' WHERE (domain, number) = ('office', '1002')")
    for body, has_offer in ((None, True), ("", False)):
        here = caller.invite("91002", body)
        there = callee.answer_invite()
        assert bool(there.invite.body) == has_offer
        there.answer(sdp(callee.addr, 40002, PCMA))
        ok = here.expect(200)
        here.ack(ok, "" if has_offer else sdp(caller.addr, 40000, PCMA))
        hang_up(here, there)


@pytest.mark.parametrize("body,answer", [("", ""), ("v=nonsense\r\n", ""), ("unknown codec", "m=audio 0 RTP/AVP 77")])
def test_offer_that_cannot_be_taken_ends_the_call(pair, body, answer):
    """RFC 3261 section 13.2.2.4: a valid answer, then BYE."""
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    ack = there.answer(sdp(callee.addr, 40002, [(77, "odd/8000")]) if body == "unknown codec" else body)
    assert answer in ack.body and bool(ack.body) == bool(answer)
    assert "cause=488" in there.take_bye()["Reason"]
    here.ack(here.expect(488))


def test_fork_that_answers_is_offered_to_anew(pair):
    """Two forks have offered reliably; the first answers, and media was the second's."""
    caller, callee = pair
    here = caller.invite("91002")
    first = callee.answer_invite()
    second = Dialog.of_invite(callee, first.invite)
    second.tag = token()
    for fork, port in ((first, 40002), (second, 40004)):
        assert payloads(reliably(fork, 183, 1, sdp(callee.addr, port, PCMU)).body) == ["0", "101"]
    first.reply(200, "OK")
    assert not first.expect("ACK").body
    m = first.expect("INVITE")
    assert payloads(m.body)[0] == "0"
    first.reply(200, "OK", m, body=sdp(callee.addr, 40002, PCMU))
    first.expect("ACK")
    here.ack(here.expect(200, skip=(100, 183)))
    hang_up(here, first)
