"""Answers that come otherwise than planned: forks, diversions, offers without answers (RFC 3261 §13, §21.3; RFC 3311; RFC 3264)."""
import contextlib
import re

import pytest

from rtp import Rtp
from sip import Dialog, Message, Phone, hang_up, media_of, sdp


def connect(caller, callee):
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.answer()
    here.answered = here.expect(200)
    here.ack(here.answered)
    return here, there


def test_second_answer_of_a_fork_is_hung_up(pair):
    """RFC 3261 §13.2.2.4: a proxy behind us rang two; each 200 gets its ACK, and the one too many a BYE."""
    caller, callee = pair
    here, there = connect(caller, callee)
    other = Dialog.of_invite(callee, there.invite)
    other.answer()
    bye = other.expect("BYE")
    assert bye.to_tag == other.tag
    other.reply(200, "OK", bye)
    caller.expect_none(0.2)
    hang_up(here, there)


def test_answer_of_another_fork_than_the_one_that_rang(pair):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.ring()
    here.expect(180)
    other = Dialog.of_invite(callee, there.invite)
    other.answer()
    ok = here.expect(200)
    here.ack(ok)
    here.send("BYE")
    assert other.take_bye().to_tag == other.tag
    here.expect(200)


def test_late_offer_without_an_answer_ends_the_call(pair):
    """RFC 3261 §13.2.1: the ACK must have it."""
    caller, callee = pair
    here = caller.invite("91002", "")
    there = callee.answer_invite()
    there.answer()
    here.ack(here.expect(200))
    bye = here.expect("BYE")
    here.reply(200, "OK", bye)
    there.take_bye()


def test_late_offer_to_the_server_itself(office):
    with Phone(office, "1001") as caller, Rtp(caller.addr) as a:
        here = caller.invite("600", "")
        ok = here.expect(200)
        here.ack(ok, sdp(caller.addr, a.port, [(0, "PCMU/8000")]))
        a.payload = b"\x2c" * 160
        a.start(media_of(ok.body))
        a.wait(lambda: sum(p.payload == a.payload for p in a.received) > 10)
        here.bye()


def test_update_of_an_offer_without_an_answer_gets_491(pair):
    """RFC 3311 §5.2: one offer at a time."""
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.ring()
    here.expect(180)
    here.send("UPDATE", sdp(caller.addr, 40002, version=2))
    assert here.expect(491, 500, 504).status in (491, 500)
    there.answer()
    ok = here.expect(200)
    here.ack(ok)
    hang_up(here, there)


def test_secure_media_is_not_pretended(pair):
    """RTP/SAVP that we don't do is 488, not answered in clear."""
    caller, callee = pair
    here = caller.invite("91002", sdp(caller.addr, 40000).replace("RTP/AVP", "RTP/SAVP"))
    m = here.expect(488)
    assert m["Warning"] == '302 cordboard "Incompatible transport protocol"'
    here.ack(m)


def test_call_without_audio_is_told_so(pair):
    """RFC 3261 section 20.43."""
    caller, callee = pair
    here = caller.invite("91002", sdp(caller.addr, 40000).replace("m=audio", "m=text"))
    m = here.expect(488)
    assert m["Warning"] == '304 cordboard "Media type not available"'
    here.ack(m)


def test_callees_own_refusal_is_not_warned_of(pair):
    """It wasn't our description that couldn't be made."""
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.reply(488, "Not Acceptable Here")
    there.expect("ACK")
    m = here.expect(488)
    assert m.get("Warning") is None
    here.ack(m)


def test_stream_may_be_closed_and_opened_again(pair):
    """RFC 3264 §8.2: port 0, and the call goes on."""
    caller, callee = pair
    with Rtp(caller.addr) as a, Rtp(callee.addr) as b:
        here, there = connect(caller, callee)
        here.send("INVITE", re.sub("m=audio [0-9]+", "m=audio 0", sdp(caller.addr, a.port, version=2)))
        m = here.expect(200, 488)
        here.ack(m)
        if m.status == 200:
            assert "m=audio 0 " in m.body
        here.send("INVITE", sdp(caller.addr, a.port, version=3))
        ok = here.expect(200)
        here.ack(ok)
        a.start(media_of(ok.body))
        b.start(media_of(there.invite.body))
        a.wait_received(10)
        b.wait_received(10)
        hang_up(here, there)


def test_media_address_of_the_other_family(office):
    with Phone(office, "1001") as caller:
        here = caller.invite("600", sdp("::1", 40000))
        m = here.expect(200, 488)
        here.ack(m)
        if m.status == 200:
            here.bye()


@pytest.mark.parametrize("target,is_followed", [("1003", True), ("600", True), ("1002", False), ("5555", False)])
def test_phone_diverts(office, target, is_followed):
    """302: the button on the phone. To another extension, or to whatever its user may dial; not round in circles."""
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Phone(office, "1003") as other:
        callee.register()
        other.register()
        here = caller.invite("91002")
        there = callee.answer_invite()
        there.reply(302, "Moved Temporarily", headers=[f"Contact: <sip:{target}@{callee.uri_host}>"], contact=False)
        there.expect("ACK")
        if target == "1003":
            to = other.answer_invite()
            to.answer()
            here.ack(here.expect(200))
            hang_up(here, to)
        elif is_followed:
            here.ack(here.expect(200))
            here.bye()
        else:
            here.ack(here.expect(404, 480))
            callee.expect_none(0.1)
        callee.unregister()
        other.unregister()


def test_phones_divert_to_each_other(office):
    """Each to the other: nobody is asked twice."""
    with Phone(office, "1001") as caller, Phone(office, "1002") as one, Phone(office, "1003") as other:
        one.register()
        other.register()
        here = caller.invite("91002")
        for phone, target in [(one, "1003"), (other, "1002")]:
            there = phone.answer_invite()
            there.reply(302, "Moved Temporarily", headers=[f"Contact: <sip:{target}@{one.uri_host}>"], contact=False)
            there.expect("ACK")
        here.ack(here.expect(480))
        one.expect_none(0.1)
        one.unregister()
        other.unregister()


@pytest.mark.parametrize("answers,final", [({"1003": 486, "1004": 200}, 200), ({"1003": 486, "1004": 480}, 486), ({"1003": 480, "1004": 486}, 486),
                                           ({"1003": 603}, 603), ({"1003": 200}, 200), ({"1003": 302, "1004": 200}, 200)])
def test_phone_diverts_to_several(office, answers, final):
    """RFC 3261 §8.1.3.4: by falling q, one after the other, until one answers or refuses for all; else the caller hears the best."""
    with Phone(office, "1001") as caller, contextlib.ExitStack() as phones:
        callee, *others = (phones.enter_context(Phone(office, n)) for n in ("1002", "1003", "1004"))
        for phone in (callee, *others):
            phone.register()
        here = caller.invite("91002")
        there = callee.answer_invite()
        there.reply(302, "Moved Temporarily", contact=False, headers=[
            f"Contact: <sip:1004@{callee.uri_host}>;q=0.2, <mailto:1002@office.example>, <sip:1002@{callee.uri_host}>;q=0.9",
            f"Contact: <sip:5555@{callee.uri_host}>;q=0.8, <sip:1003@{callee.uri_host}>;q=0.7"])
        there.expect("ACK")
        for phone in others:
            status = answers.get(phone.user)
            if not status:
                phone.expect_none(0.1)
                continue
            there = phone.answer_invite()
            if status == 200:
                there.answer()
                here.ack(here.expect(200))
                hang_up(here, there)
            else:
                # A 302 to where there is nobody is no answer either: the first phone's next is asked.
                there.reply(status, "No", contact=False, headers=[f"Contact: <sip:5556@{callee.uri_host}>"] if status == 302 else [])
                there.expect("ACK")
        if final != 200:
            here.ack(here.expect(final))
        for phone in (callee, *others):
            phone.unregister()


@pytest.mark.parametrize("target,is_followed", [("1004", True), ("410", False)])
def test_phone_diverts_where_the_caller_may_go(office, target, is_followed):
    """1002 may call the group 410; the telephone in the lobby may call extensions alone, and doesn't get there by his 302 either."""
    with Phone(office, "1010") as caller, Phone(office, "1002") as callee, Phone(office, "1004") as other:
        callee.register()
        other.register()
        mark = len(office.log)
        here = caller.invite("1002")
        there = callee.answer_invite()
        there.reply(302, "Moved Temporarily", headers=[f"Contact: <sip:{target}@{callee.uri_host}>"], contact=False)
        there.expect("ACK")
        if is_followed:
            to = other.answer_invite()
            to.answer()
            here.ack(here.expect(200))
            hang_up(here, to)
        else:
            office.wait_log("not diverted to=410: the caller may not dial it", mark)
            m = here.expect(*range(200, 700), skip=range(100, 200))         # a mailbox, if the route has one behind it
            here.ack(m)
            if m.status == 200:
                here.bye()
            other.expect_none(0.1)
        callee.unregister()
        other.unregister()


def test_answer_and_bye_in_one_breath(office, cdrs):
    """The callee is gone before the call's task has run: that was an answered call."""
    with Phone(office, "1001") as caller, Phone(office, "1002", proto="tcp") as callee:
        callee.register()
        here = caller.invite("91002")
        there = callee.answer_invite()
        there.remote_tag = there.invite.from_tag
        answer = callee.reply_text(there.invite, 200, "OK", body=sdp(callee.addr, 40000), tag=there.tag)
        callee.send(answer + there.text("BYE"))
        here.ack(here.expect(200, skip=(100, 180)))
        there.expect("ACK")
        there.expect(200)
        here.reply(200, "OK", here.expect("BYE"))
        callee.unregister()
    cdr = cdrs.next()
    assert cdr.result == "answered"
    assert cdr.hangup_by == "callee"
    assert [leg.answered is not None for leg in cdr.legs] == [True, True]


def in_parts(description):
    """As gateways send it: among what isn't for us (RFC 5621)."""
    return ("preamble\r\n--b 1\r\nContent-Type: application/ISUP;version=itu-t92+\r\nContent-Disposition: signal;handling=optional\r\n\r\n"
            f"\x01\x02\r\n--b 1\r\nContent-Type: application/sdp\r\n\r\n{description}\r\n--b 1--\r\n")


def test_descriptions_stand_among_other_parts(pair):
    caller, callee = pair
    kind = 'multipart/mixed;boundary="b 1"'
    here = Dialog(caller, f"sip:91002@{caller.uri_host}")
    for auth in (False, True):
        text = here.text("INVITE", in_parts(sdp(caller.addr, 40000)), here.authorized("INVITE") if auth else ())
        caller.send(text.replace("Content-Type: application/sdp", f"Content-Type: {kind}", 1))
        if not auth:
            m = here.expect(401)
            here.ack(m)
            caller.credentials.take(m)
    there = callee.answer_invite()
    there.reply(183, "Progress", body="ringing", ctype="text/plain")
    there.reply(200, "OK", body=in_parts(sdp(callee.addr, 40000)), ctype=kind)
    there.expect("ACK")
    here.ack(here.expect(200, skip=(100, 180, 183)))
    text = here.text("INVITE", in_parts(sdp(caller.addr, 40002, version=2)))
    caller.send(text.replace("Content-Type: application/sdp", f"Content-Type: {kind}", 1))
    ok = here.expect(200)
    assert "m=audio " in ok.body
    here.ack(ok)
    hang_up(here, there)


def test_answer_without_a_description(pair):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.reply(200, "OK")
    there.expect("ACK")
    there.take_bye()
    m = here.expect(*range(400, 700))
    here.ack(m)


def test_answer_in_the_provisional_alone(pair):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.reply(183, "Progress", body=sdp(callee.addr, 40000))
    here.expect(183)
    there.reply(200, "OK")
    there.expect("ACK")
    here.ack(here.expect(200))
    there.send("INVITE", sdp(callee.addr, 40002, version=2))
    ok = there.expect(200)
    assert "m=audio " in ok.body
    there.ack(ok)
    hang_up(here, there)


def test_repeated_provisional(pair):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    for _ in range(3):
        there.ring()
    here.expect(180)
    caller.expect_none(0.2)
    there.answer()
    here.ack(here.expect(200))
    hang_up(here, there)


def test_stray_prack_and_refer_are_refused(pair):
    caller, callee = pair
    here, there = connect(caller, callee)
    here.send("PRACK", headers=["RAck: 1 1 INVITE"])
    here.expect(481)                                                         # RFC 3262 §3
    here.send("REFER")
    here.expect(*range(400, 600))
    here.send("NOTIFY", headers=["Event: talk"])
    here.expect(*range(400, 600))
    hang_up(here, there)


@pytest.mark.parametrize("answer_first", [True, False])
def test_cancel_crosses_the_answer(pair, answer_first):
    """RFC 3261 §9.1, §15: whoever comes first, both sides end up at peace: in a call or out of it."""
    caller, callee = pair
    for _ in range(8):
        here = caller.invite("91002")
        there = callee.answer_invite()
        there.ring()
        here.expect(180)
        if answer_first:
            there.reply(200, "OK", body=sdp(callee.addr, 40000))
            here.cancel()
        else:
            here.cancel()
            there.reply(200, "OK", body=sdp(callee.addr, 40000))
        finals = [caller.expect(200, 487, call_id=here.call_id) for _ in range(2)]
        assert [m.cseq_method for m in finals].count("CANCEL") == 1
        final = here.learn(next(m for m in finals if m.cseq_method == "INVITE"))
        here.ack(final)
        assert there.expect("ACK", "CANCEL").method                          # its 200 is acknowledged in any case
        if final.status == 200:
            here.send("BYE")
            here.expect(200)
        seen = []
        while "BYE" not in seen:
            m = there.expect("ACK", "CANCEL", "BYE")
            seen.append(m.method)
            if m.method != "ACK":
                there.reply(200 if m.method == "BYE" else 481, "X", m)


def test_calls_in_both_directions_at_once(office):
    """Two phones call each other in the same moment; both answer."""
    with Phone(office, "1001") as one, Phone(office, "1002") as other:
        one.register()
        other.register()
        first, second = Dialog(one, f"sip:91002@{one.uri_host}"), Dialog(other, f"sip:91001@{other.uri_host}")
        first.send_invite(sdp(one.addr, 40000))
        second.send_invite(sdp(other.addr, 40000))
        calls = [(first, other.answer_invite(skip=(100,))), (second, one.answer_invite(skip=(100,)))]
        for _, there in calls:
            there.reply(200, "OK", body=sdp(there.phone.addr, 40002))
        for here, _ in calls:
            here.ack(here.expect(200, skip=(100, "ACK")))
        for here, there in calls:
            here.send("BYE")
            there.reply(200, "OK", there.expect("BYE", skip=("ACK",)))
            here.expect(200, skip=("ACK",))
        one.unregister()
        other.unregister()


def test_response_that_is_for_somebody_else_is_dropped(pair):
    """RFC 3261 §8.1.3.3: with a second Via it has gone astray; §17.1.3: and one of another transaction is none of ours."""
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    good = there.invite["Via"]
    for wrong in (f"{good}, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx", good.replace("branch=z9hG4bK", "branch=z9hG4bKz")):
        busy = Message(str(there.invite).replace(good, wrong, 1).encode(), there.invite.source)
        callee.reply(busy, 486, "Busy Here", tag=there.tag)
    there.ring()
    here.expect(180)
    callee.expect_none(0.1, skip=("INVITE",))                                # no ACK for what doesn't exist
    there.answer()
    here.ack(here.expect(200))
    hang_up(here, there)


def test_route_to_ourselves_is_no_detour(pair):
    """Phones with an outbound proxy put it into Route, and the proxy is us."""
    caller, callee = pair
    route = [f"Route: <sip:{caller.uri_host};lr>"]
    here = caller.invite("91002", headers=route)
    there = callee.answer_invite()
    there.answer()
    here.ack(here.expect(200))
    here.send("BYE", headers=route)
    assert there.take_bye().get("Route") is None
    here.expect(200)
