"""Calls, message by message: what SIPp can't time or misbehave in."""
import re

import pytest

from office import wait_until
from rtp import Rtp
from sip import Dialog, Message, Phone, hang_up, media_of, sdp


def connect(caller, callee, body=None, answer=None, number="91002"):
    """A call from one to the other, answered; both dialogs."""
    here = caller.invite(number, body)
    there = callee.answer_invite()
    there.ring()
    here.expect(180)
    there.answer(answer)
    here.answered = here.expect(200)
    here.ack(here.answered)
    return here, there


# ---- the two dialogs ----

def test_legs_have_nothing_in_common(pair):
    caller, callee = pair
    here, there = connect(caller, callee)
    assert there.call_id != here.call_id
    assert there.remote_tag not in (here.tag, here.remote_tag)
    assert here.answered["Contact"] != callee.contact
    assert caller.addr not in str(there.invite)                              # nothing of one shows at the other
    assert callee.addr not in str(here.answered)
    assert len(there.invite.all("Via")) == 1
    assert '"Olive Operator"' in there.invite["From"]                        # the caller's name, from the database
    assert "sip:1001@" in there.invite["From"]
    offer = there.invite.body
    assert media_of(offer)[0] == media_of(here.answered.body)[0] == caller.office.addr
    assert media_of(offer)[1] != media_of(here.answered.body)[1]
    hang_up(here, there)


def test_responses_have_one_tag_and_a_contact(pair):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.ring()
    ringing = here.expect(180)
    there.answer()
    ok = here.expect(200)
    here.ack(ok)
    assert ringing.to_tag and ringing.to_tag == ok.to_tag
    assert ok["Contact"].startswith("<sip:")
    assert "INVITE" in ok["Allow"]                                           # RFC 3261 §13.3.1.4
    hang_up(here, there)


@pytest.mark.parametrize("by_caller", [True, False])
def test_record_route_is_followed(pair, by_caller):
    """RFC 3261 §12.1: a proxy in between asked to stay."""
    caller, callee = pair
    proxy = f"<sip:{callee.host}:{callee.port};lr>"
    here = caller.invite("91002")
    there = callee.answer_invite()
    m = there.invite
    text = str(m).replace("\r\nFrom:", f"\r\nRecord-Route: {proxy}\r\nFrom:", 1)
    callee.reply(Message(text.encode(), m.source), 200, "OK", tag=there.tag, body=sdp(callee.addr, 40000),
                 headers=[], contact=True)
    ack = there.expect("ACK")
    assert ack["Route"] == proxy
    here.ack(here.expect(200))
    if by_caller:
        here.send("BYE")
        bye = there.take_bye()
        assert bye["Route"] == proxy
        here.expect(200)
    else:
        there.send("BYE")
        there.expect(200)
        here.take_bye()


def test_callee_hangs_up_in_the_moment_he_answers(office, cdrs):
    """200 and BYE in one segment: no time to run anything in between. He did answer, and so is the caller told."""
    with Phone(office, "1001") as caller, Phone(office, "1002", proto="tcp") as callee:
        assert callee.register().status == 200
        here = caller.invite("91002")
        there = callee.answer_invite()
        parts, callee.send = [], lambda data, to=None: parts.append(data)
        there.reply(200, "OK", body=sdp(callee.addr, 40000))
        there.send("BYE")
        del callee.send
        callee.send("".join(parts))
        there.expect("ACK")
        there.expect(200)
        here.ack(here.expect(200))
        here.take_bye()
        callee.unregister()
    cdr = cdrs.next()
    assert (cdr.result, cdr.hangup_by) == ("answered", "callee")


# ---- several contacts ----

def test_all_contacts_ring_and_losers_are_cancelled(office, cdrs):
    with Phone(office, "1001") as caller, Phone(office, "1002") as desk, Phone(office, "1002") as mobile, \
            Phone(office, "1002") as soft:
        phones = [desk, mobile, soft]
        for phone in phones:
            phone.register()
        here = caller.invite("91002")
        legs = [phone.answer_invite() for phone in phones]
        for leg in legs:
            leg.ring()
        here.expect(180)
        legs[1].answer()
        here.ack(here.expect(200))
        for leg in (legs[0], legs[2]):
            cancel = leg.expect("CANCEL")
            assert "cause=200" in cancel["Reason"]                           # RFC 3326: it isn't a missed call
            leg.reply(200, "OK", cancel)
            leg.reply(487, "Request Terminated")
            leg.expect("ACK")
        hang_up(here, legs[1])
        cdr = cdrs.next()
        assert [leg.role for leg in cdr.legs] == ["caller", "callee", "callee", "callee"]
        assert [bool(leg.answered) for leg in cdr.legs] == [True, False, True, False]
        desk.unregister()


def test_loser_that_answers_in_the_same_moment_is_hung_up(office):
    """RFC 3261 §9.1: CANCEL may come too late; the 200 is acknowledged and the call ended."""
    with Phone(office, "1001") as caller, Phone(office, "1002") as first, Phone(office, "1002") as second:
        first.register()
        second.register()
        here = caller.invite("91002")
        a, b = first.answer_invite(), second.answer_invite()
        a.answer()
        here.ack(here.expect(200))
        b.reply(200, "OK", body=sdp(second.addr, 40000))
        cancel_or_ack = [b.expect("CANCEL", "ACK", "BYE")]
        while "BYE" not in [m.method for m in cancel_or_ack]:
            cancel_or_ack.append(b.expect("CANCEL", "ACK", "BYE"))
        assert "ACK" in [m.method for m in cancel_or_ack]
        b.reply(200, "OK", cancel_or_ack[-1])
        hang_up(here, a)
        first.unregister()


def test_one_contact_is_busy_the_other_answers(office):
    with Phone(office, "1001") as caller, Phone(office, "1002") as busy, Phone(office, "1002") as free:
        busy.register()
        free.register()
        here = caller.invite("91002")
        a, b = busy.answer_invite(), free.answer_invite()
        a.reply(486, "Busy Here")
        a.expect("ACK")
        b.ring()
        here.expect(180)
        b.answer()
        here.ack(here.expect(200))
        hang_up(here, b)
        busy.unregister()


def test_decline_for_all_stops_the_others(office):
    """603 speaks for the user, not the device (RFC 3261 §21.6)."""
    with Phone(office, "1001") as caller, Phone(office, "1002") as one, Phone(office, "1002") as other:
        one.register()
        other.register()
        here = caller.invite("91002")
        a, b = one.answer_invite(), other.answer_invite()
        b.ring()
        here.expect(180)
        a.reply(603, "Decline")
        a.expect("ACK")
        b.reply(200, "OK", b.expect("CANCEL"))
        b.reply(487)
        b.expect("ACK")
        here.ack(here.expect(603))
        one.unregister()


# ---- limits ----

def test_call_limit_of_the_caller(office):
    office.change("UPDATE pbx.extension SET call_limit = 1 WHERE number = '1001'")
    try:
        with Phone(office, "1001") as caller, Phone(office, "1002") as callee:
            callee.register()
            here, there = connect(caller, callee)
            second = caller.invite("91002")
            refused = second.expect(486)
            second.ack(refused)
            assert "limit" in refused["Reason"]
            hang_up(here, there)
            again, there = connect(caller, callee)                           # and it is given back
            hang_up(again, there)
            callee.unregister()
    finally:
        office.change("UPDATE pbx.extension SET call_limit = NULL WHERE number = '1001'")


def test_call_limit_of_the_callee(office):
    office.change("UPDATE pbx.extension SET call_limit = 1 WHERE number = '1002'")
    try:
        with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Phone(office, "1003") as third:
            callee.register()
            here, there = connect(caller, callee)
            other = third.invite("91002")
            other.ack(other.expect(486))
            hang_up(here, there)
            callee.unregister()
    finally:
        office.change("UPDATE pbx.extension SET call_limit = NULL WHERE number = '1002'")


def test_what_the_context_forbids_is_not_found(office):
    """The phone in the lobby reaches people only."""
    with Phone(office, "1010") as lobby:
        call = lobby.invite("700")
        call.ack(call.expect(404))


def test_invite_with_a_wrong_password_is_not_let_in(office):
    with Phone(office, "1001", password="wrong") as caller:
        call = caller.invite("91002")
        call.ack(call.expect(401))


# ---- retransmissions ----

def test_invite_again_gets_the_same_again(pair):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.ring()
    ringing = here.expect(180)
    caller.send(here.invite_text)
    assert here.expect(180).data == ringing.data                             # RFC 3261 §17.2.1
    callee.expect_none()                                                     # and no second call
    there.answer()
    here.ack(here.expect(200))
    hang_up(here, there)


def test_200_comes_again_until_the_ack(pair):
    """RFC 3261 §13.3.1.4: T1, doubled."""
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.answer()
    first = here.expect(200)
    assert here.expect(200).data == first.data
    assert here.expect(200).data == first.data
    here.ack(first)
    caller.catch_up()                                                        # one may have been under way
    caller.expect_none(1.2)
    hang_up(here, there)


def test_ack_is_sent_for_every_200(pair):
    """RFC 3261 §13.2.2.4: the ACK was lost, the callee repeats itself."""
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    text = there.reply(200, "OK", body=sdp(callee.addr, 40000))
    first = there.expect("ACK")
    callee.send(text)
    again = there.expect("ACK")
    assert str(again).replace(again.branch, "") == str(first).replace(first.branch, "")
    here.ack(here.expect(200))
    hang_up(here, there)


def test_final_response_comes_again_until_the_ack(office):
    """RFC 3261 §17.2.1, timer G: T1, doubled; a lost ACK doesn't leave the caller in the dark."""
    with Phone(office, "1001") as caller:
        call = caller.invite("5555")
        first = call.expect(404)
        assert call.expect(404).data == first.data
        call.ack(first)
        caller.catch_up()
        caller.expect_none(1.2)


def test_bye_again_is_answered_again(pair):
    caller, callee = pair
    here, there = connect(caller, callee)
    text = here.send("BYE")
    there.take_bye()
    first = here.expect(200)
    caller.send(text)
    assert here.expect(200).data == first.data


def test_bye_in_a_dialog_that_is_over_gets_481(pair):
    caller, callee = pair
    here, there = connect(caller, callee)
    hang_up(here, there)

    def is_over():
        here.send("BYE")
        return here.expect(200, 481).status == 481                           # it may take a tick
    wait_until(is_over)


def test_server_repeats_its_requests_until_answered(pair):
    """RFC 3261 §17.1.1.2, §17.1.2.2: timers A and E."""
    caller, callee = pair
    here = caller.invite("91002")
    first = callee.expect("INVITE")
    assert callee.expect("INVITE").data == first.data
    there = Dialog.of_invite(callee, first)
    there.answer()
    here.ack(here.expect(200))
    here.send("BYE")
    bye = there.expect("BYE", skip=("INVITE",))
    assert there.expect("BYE").data == bye.data
    there.reply(200, "OK", bye)
    here.expect(200)


# ---- order ----

def test_bye_before_the_answer_ends_the_call(pair):
    """RFC 3261 §15: the caller may send BYE on an early dialog."""
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.ring()
    here.expect(180)
    here.send("BYE")
    got = {caller.expect(200, 487, call_id=here.call_id).status for _ in range(2)}
    assert got == {200, 487}
    cancel = there.expect("CANCEL")
    there.reply(200, "OK", cancel)
    there.reply(487)
    there.expect("ACK")


def test_cancel_before_anyone_rang(pair):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    here.cancel()
    answers = [caller.expect(200, 487, call_id=here.call_id) for _ in range(2)]
    assert {m.status for m in answers} == {200, 487}
    assert answers[0].to_tag == answers[1].to_tag                            # RFC 3261 §9.2
    # RFC 3261 §9.1: no CANCEL before a provisional response
    callee.expect_none(0.2, skip=("INVITE",))
    there.ring()
    there.reply(200, "OK", there.expect("CANCEL", skip=("INVITE",)))
    there.reply(487)
    there.expect("ACK")


def test_cancel_after_the_answer_changes_nothing(pair):
    caller, callee = pair
    here, there = connect(caller, callee)
    here.cancel()
    here.expect(200)                                                         # RFC 3261 §9.2: to the CANCEL itself
    callee.expect_none()
    hang_up(here, there)


def test_callee_hangs_up_while_the_caller_does(pair):
    caller, callee = pair
    here, there = connect(caller, callee)
    here.send("BYE")
    there.send("BYE")
    got = [there.expect(200, "BYE")]
    if got[0].method:                                                        # ours crossed its own
        there.reply(200, "OK", got[0])
        assert there.expect(200)
    assert here.expect(200).cseq_method == "BYE"


def test_old_cseq_in_a_dialog_is_refused(pair):
    """RFC 3261 §12.2.2: lower than before is 500."""
    caller, callee = pair
    here, there = connect(caller, callee)
    here.send("INFO", cseq=1)
    here.expect(500)
    here.send("INFO", cseq=here.cseq + 10)                                   # gaps are fine
    assert here.expect(200).status == 200
    here.cseq += 11
    hang_up(here, there)


def test_late_ringing_is_ignored(pair):
    caller, callee = pair
    here, there = connect(caller, callee)
    there.ring()
    there.reply(486, "Busy Here")
    caller.expect_none(0.3)
    hang_up(here, there)


def test_in_dialog_request_from_elsewhere_is_challenged(pair, office):
    """Who knows the dialog's tags may still be somebody else."""
    caller, callee = pair
    here, there = connect(caller, callee)
    with Phone(office, "1001", password="wrong") as thief:
        taken = Dialog(thief, here.uri)
        taken.__dict__.update({k: v for k, v in here.__dict__.items() if k != "phone"}, phone=thief)
        taken.cseq += 5
        taken.send("INVITE", sdp(thief.addr, 40000))
        m = thief.expect(401, 403, 407)
        taken.ack(m)
    here.cseq += 20
    hang_up(here, there)


@pytest.mark.parametrize("claims", ["1003", "1001"])
def test_in_dialog_request_with_somebody_elses_credentials_is_refused(pair, office, claims):
    """Good credentials, of another extension than the leg's: 403, whoever the From says it is."""
    caller, callee = pair
    here, there = connect(caller, callee)
    with Phone(office, "1003") as thief:
        taken = Dialog(thief, here.uri)
        taken.__dict__.update({k: v for k, v in here.__dict__.items() if k != "phone"}, phone=thief)
        taken.local = f"<sip:{claims}@{thief.domain}>"
        taken.cseq += 5
        for _ in range(2):
            taken.send("INVITE", sdp(thief.addr, 40000), taken.authorized("INVITE"))
            m = taken.expect(*range(200, 700))
            taken.ack(m)
            if m.status == 401:
                thief.credentials.take(m)
        assert m.status == 403, m
        taken.send("INFO", headers=taken.authorized("INFO"))
        assert taken.expect(*range(200, 700)).status == 403
    callee.expect_none(0.2)                                                  # nothing of it gets through
    here.cseq += 20
    hang_up(here, there)


def test_unknown_method_in_a_dialog(pair):
    caller, callee = pair
    here, there = connect(caller, callee)
    here.send("WHISTLE")
    m = here.expect(501, 405)
    assert "INVITE" in m["Allow"]
    here.send("OPTIONS")
    here.expect(200)
    hang_up(here, there)


def test_call_without_a_usable_codec_gets_488(pair):
    caller, callee = pair
    here = caller.invite("91002", sdp(caller.addr, 40000, [(97, "SPEEX/8000")]))
    m = here.expect(488)
    assert m["Warning"] == '305 cordboard "Incompatible media format"'
    here.ack(m)
    callee.expect_none(0.2)


def test_invite_with_a_body_that_is_no_sdp_gets_415(office):
    with Phone(office, "1001") as caller:
        call = Dialog(caller, f"sip:91002@{caller.uri_host}")
        caller.send(call.text("INVITE", "x").replace("application/sdp", "text/html"))
        m = caller.expect(401, 415)
        call.ack(m)
        if m.status == 401:
            caller.credentials.take(m)
            caller.send(call.text("INVITE", "x", call.authorized("INVITE")).replace("application/sdp", "text/html"))
            m = caller.expect(415)
            call.ack(m)
        assert "application/sdp" in m["Accept"]


def test_malformed_sdp_gets_400(office):
    with Phone(office, "1001") as caller:
        call = caller.invite("91002", "this is no description\r\n")
        m = call.expect(400, 488)
        call.ack(m)


def test_icmp_unreachable_is_noticed(own_office):
    """A phone whose port is closed is known to be gone at once, or at the latest when it has rung."""
    own_office.change("UPDATE pbx.extension SET ring_s = 3 WHERE number = '1002'")
    with Phone(own_office, "1001") as caller:
        with Phone(own_office, "1002") as callee:
            callee.register()
        here = caller.invite("91002")
        here.ack(here.expect(480, 408, timeout=10))


# ---- re-INVITE ----

def versions(body):
    return re.search(r"^o=\S+ (\d+) (\d+)", body, re.M).groups()


@pytest.mark.parametrize("by_caller", [True, False])
def test_reinvite_is_answered_and_may_move_the_media(pair, by_caller):
    caller, callee = pair
    here, there = connect(caller, callee)
    active, passive = (here, there) if by_caller else (there, here)
    with Rtp(active.phone.addr, 41000) as new, Rtp(passive.phone.addr, 40000) as other:
        active.send("INVITE", sdp(active.phone.addr, new.port, version=2))
        ok = active.expect(200)
        active.ack(ok)
        before = here.answered.body if by_caller else there.invite.body
        assert versions(ok.body)[0] == versions(before)[0]                   # RFC 3264 §8: the same session
        assert media_of(ok.body) == media_of(before)
        other.start(media_of(there.invite.body if by_caller else here.answered.body))
        new.start(media_of(ok.body))
        new.wait_received(10)
        other.wait_received(10)
    hang_up(here, there)


def test_reinvite_without_offer_gets_one(pair):
    caller, callee = pair
    here, there = connect(caller, callee)
    here.send("INVITE", "")
    ok = here.expect(200)
    assert "m=audio" in ok.body
    here.ack(ok, sdp(caller.addr, 40000, version=2))
    hang_up(here, there)


def test_reinvite_while_one_is_pending_gets_491_or_500(pair):
    """RFC 3261 §14.2. The first is not acknowledged yet; a second may overtake the ACK."""
    caller, callee = pair
    here, there = connect(caller, callee)
    there.send("INVITE", "")
    offer = there.expect(200)                                                # our offer waits for an answer in the ACK
    there.send("INVITE", sdp(callee.addr, 40002, version=3))
    glare = there.expect(491, 500, skip=(200,))
    there.ack(glare)
    there.ack(offer, sdp(callee.addr, 40000, version=2))
    callee.catch_up()
    hang_up(here, there)


def test_reinvite_with_unusable_offer_leaves_all_as_it_was(pair):
    caller, callee = pair
    here, there = connect(caller, callee)
    here.send("INVITE", sdp(caller.addr, 40000, [(97, "SPEEX/8000")], version=2))
    m = here.expect(488)
    assert m["Warning"] == '305 cordboard "Incompatible media format"'
    here.ack(m)
    hang_up(here, there)


def test_update_refreshes_the_target(pair):
    caller, callee = pair
    here, there = connect(caller, callee)
    here.send("UPDATE")
    here.expect(200)
    here.send("UPDATE", sdp(caller.addr, 40000, version=2))
    ok = here.expect(200)
    assert "m=audio" in ok.body
    hang_up(here, there)
