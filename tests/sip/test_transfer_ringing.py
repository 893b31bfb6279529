"""Transfer of a call that still rings, from either side (RFC 5589 section 7, RFC 3891)."""
import contextlib
import re
import signal

import pytest

from sip import sdp
from transfers import (answers, bye, called, hear_each_other, hold, is_cancelled, notified, phones, pick, progress, refer,
                       replaces_of, rings, take_bye, talk, three)


def rung(caller, callee, number=None):
    """A call that rings: both dialogs."""
    here = caller.invite(number or f"9{callee.user}")
    there = rings(callee)
    pick(here, 180)
    return here, there


@pytest.mark.parametrize("stays", [True, False])
def test_caller_refers_who_is_still_rung(cdrs, three, stays):
    """Who answers talks to C at once, and A to nobody."""
    a, b, c = three
    at_a, at_b = rung(a, b)
    refer(at_a, "91003")
    assert notified(at_a) == 100
    if not stays:
        at_a.cancel()
        pick(at_a, 200)
        at_a.ack(pick(at_a, 487))
    answers(at_b)
    at_c = rings(c)
    assert "sip:1002@" in at_c.invite["From"] and at_c.invite["Referred-By"].startswith("<sip:1001@")
    assert notified(at_a) == 180
    answers(at_c)
    assert progress(at_a) == [200]
    if stays:
        m = pick(at_a, 487)
        assert "transferred" in m["Reason"]
        at_a.ack(m)
    hear_each_other(at_b, at_c)
    bye(at_b)
    take_bye(at_c)
    first, second = sorted((cdrs.next(), cdrs.next()), key=lambda r: r.started)
    assert (first.caller, first.dialled, first.result) == ("1001", "91002", "moved")
    assert (second.caller, second.dialled, second.result, second.transferred_by) == ("1002", "91003", "answered", "1001")


@pytest.mark.parametrize("stays", [True, False])
def test_caller_refers_who_does_not_answer(three, stays):
    """It has failed before it began: the caller's own call goes on as it would have."""
    a, b, _ = three
    at_a, at_b = rung(a, b)
    refer(at_a, "91003")
    if not stays:
        at_a.cancel()
        pick(at_a, 200)
        at_a.ack(pick(at_a, 487))
    at_b.reply(486)
    pick(at_b, "ACK")
    assert progress(at_a) == [100, 486]
    if stays:
        at_a.ack(pick(at_a, 486))


@pytest.mark.parametrize("stays", [True, False])
def test_caller_who_referred_gets_back_who_answered(three, stays):
    """C is busy: B, who has answered, talks to A after all, who is called if he has gone."""
    a, b, c = three
    at_a, at_b = rung(a, b)
    refer(at_a, "91003")
    if not stays:
        at_a.cancel()
        pick(at_a, 200)
        at_a.ack(pick(at_a, 487))
    answers(at_b)
    at_c = called(c)
    at_c.reply(486)
    pick(at_c, "ACK")
    assert progress(at_a)[-1] == 486
    if stays:
        at_a.answered = pick(at_a, 200)
        at_a.ack(at_a.answered)
    else:
        at_a = rings(a)
        answers(at_a)
    hear_each_other(at_a, at_b)
    bye(at_a)
    take_bye(at_b)


def test_caller_refers_where_he_may_not_call(office):
    """They talk as if he hadn't."""
    with phones(office, "1010", "1002") as (lobby, b):
        at_a, at_b = rung(lobby, b, "1002")
        refer(at_a, "91003")
        answers(at_b)
        assert progress(at_a) == [100, 403]
        at_a.ack(pick(at_a, 200))
        bye(at_a)
        take_bye(at_b)


def test_second_refer_while_it_rings_is_refused(three):
    a, b, _ = three
    at_a, at_b = rung(a, b)
    refer(at_a, "91003")
    refer(at_a, "600", accepted=False)
    at_a.cancel()
    pick(at_a, 200)
    at_a.ack(pick(at_a, 487))
    at_b.reply(480)
    pick(at_b, "ACK")
    assert progress(at_a)[-1] == 480


@pytest.mark.parametrize("fails", [False, True])
def test_semi_attended_transfer_asked_for_in_the_ringing_call(three, fails):
    """The other way round than RFC 5589 section 7.3 draws it: the call that rings is referred to the one that is held."""
    a, b, c = three
    at_a, at_b = talk(a, b)
    hold(at_a)
    other, at_c = rung(a, c)
    refer(other, "1002", replaces_of(at_a))
    other.ack(pick(other, 487))
    if fails:
        at_c.reply(486)
        pick(at_c, "ACK")
        assert progress(other)[-1] == 486
        bye(at_a)                                                # they were given back to each other
        take_bye(at_b)
        return
    answers(at_c)
    assert progress(other)[-1] == 200
    take_bye(at_a)
    bye(at_b)
    take_bye(at_c)


def test_ringing_phone_sends_its_caller_on(cdrs, three):
    """As by a 302: nobody has answered yet."""
    a, b, c = three
    at_a, at_b = rung(a, b)
    refer(at_b, "91003")
    assert notified(at_b) == 100
    is_cancelled(at_b)
    at_c = rings(c)
    assert "sip:1001@" in at_c.invite["From"] and at_c.invite["Referred-By"].startswith("<sip:1002@")
    assert notified(at_b) == 180
    answers(at_c)
    assert progress(at_b) == [200]
    at_a.answered = pick(at_a, 200)
    at_a.ack(at_a.answered)
    hear_each_other(at_a, at_c)
    bye(at_a)
    take_bye(at_c)
    first, second = sorted((cdrs.next(), cdrs.next()), key=lambda r: r.started)
    assert (first.caller, first.result) == ("1001", "moved")
    assert (second.caller, second.dialled, second.result, second.transferred_by) == ("1001", "91003", "answered", "1002")


def test_ringing_phone_sends_its_caller_where_nobody_answers(three):
    a, b, c = three
    at_a, at_b = rung(a, b)
    refer(at_b, "91003")
    is_cancelled(at_b)
    at_c = called(c)
    at_c.reply(486)
    pick(at_c, "ACK")
    assert progress(at_b)[-1] == 486
    at_a.ack(pick(at_a, 486))


def test_caller_who_was_sent_on_hangs_up(three):
    a, b, c = three
    at_a, at_b = rung(a, b)
    refer(at_b, "91003")
    is_cancelled(at_b)
    at_c = rings(c)
    at_a.cancel()
    pick(at_a, 200)
    at_a.ack(pick(at_a, 487))
    is_cancelled(at_c)
    assert progress(at_b)[-1] == 487


def test_ringing_phone_sends_its_caller_only_where_it_may_call(office):
    """By its own class of service. It rings on."""
    with phones(office, "1010", "1002") as (lobby, b):
        at_b, at_a = rung(b, lobby, "1010")
        refer(at_a, "91003")
        assert progress(at_a) == [100, 403]
        answers(at_a)
        at_b.ack(pick(at_b, 200))
        bye(at_b)
        take_bye(at_a)


def test_ringing_phone_joins_its_caller_to_its_other_call(three):
    """B talks to C, and A calls: B refers A to C and leaves both."""
    a, b, c = three
    other, at_c = talk(b, c)
    at_a, at_b = rung(a, b)
    refer(at_b, "1003", replaces_of(other))
    at_a.answered = pick(at_a, 200)
    at_a.ack(at_a.answered)
    is_cancelled(at_b)
    take_bye(other)
    assert progress(at_b)[-1] == 200
    hear_each_other(at_a, at_c)
    bye(at_a)
    take_bye(at_c)


TWO_AT_ONCE = """
INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '7777', 'Two at once');
INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES ('office', 'office', '7777', 1, 'dial', '{"number": "1002&1003"}');
"""


@contextlib.contextmanager
def group_rings(office, *users):
    """A call of the first to the group 7777; the phones, the caller's dialog, and those of the group's two."""
    office.change(TWO_AT_ONCE)
    with phones(office, *users) as made:
        at_a = made[0].invite("7777")
        at_b, at_c = rings(made[1]), rings(made[2])
        pick(at_a, 180)
        yield made, at_a, at_b, at_c


def is_deflected(d):
    m = pick(d, "CANCEL")
    assert "cause=302" in m["Reason"]
    d.reply(200, "OK", m)
    d.reply(487)
    pick(d, "ACK")


def test_one_of_a_group_sends_its_own_ringing_on(own_office):
    """The others ring on; in its place whom it names rings, told by whom he was referred, and who was sent on tells how it ended."""
    with group_rings(own_office, "1001", "1002", "1003", "1004") as ((a, b, c, other), at_a, at_b, at_c):
        refer(at_b, "1004")
        assert notified(at_b) == 100
        is_deflected(at_b)
        at_d = called(other)
        assert "sip:1001@" in at_d.invite["From"] and at_d.invite["Referred-By"].startswith("<sip:1002@")
        assert re.match(r"<sip:1002@[^>]*>;reason=deflection", at_d.invite["Diversion"])
        at_d.ring()
        assert notified(at_b) == 180
        answers(at_d)
        assert progress(at_b) == [200]
        is_cancelled(at_c)
        at_a.answered = pick(at_a, 200)
        at_a.ack(at_a.answered)
        hear_each_other(at_a, at_d)
        bye(at_a)
        take_bye(at_d)
    own_office.wait_sql("SELECT count(*) = 1 AND bool_and(caller = '1001' AND dialled = '7777' AND result = 'answered') FROM pbx.cdr")


@pytest.mark.parametrize("how", ["other answers", "nobody", "hangs up"])
def test_what_came_of_one_of_a_group_is_told(own_office, how):
    with group_rings(own_office, "1001", "1002", "1003", "1004") as ((a, b, c, other), at_a, at_b, at_c):
        refer(at_b, "1004")
        is_deflected(at_b)
        at_d = rings(other)
        if how == "other answers":
            answers(at_c)
            is_cancelled(at_d)
            assert progress(at_b)[-1] == 487
            at_a.ack(pick(at_a, 200))
            bye(at_a)
            take_bye(at_c)
        elif how == "nobody":
            at_d.reply(486)
            pick(at_d, "ACK")
            assert progress(at_b)[-1] == 486                     # at once: C still rings
            at_c.reply(480)
            pick(at_c, "ACK")
            at_a.ack(pick(at_a, 486))
        else:
            at_a.cancel()
            pick(at_a, 200)
            at_a.ack(pick(at_a, 487))
            is_cancelled(at_c)
            is_cancelled(at_d)
            assert progress(at_b)[-1] == 487


def test_ringing_is_sent_on_twice(own_office):
    """Who was named by one of a group names another: both are told of him."""
    with group_rings(own_office, "1001", "1002", "1003", "1004", "1005") as ((a, b, c, d, e), at_a, at_b, at_c):
        refer(at_b, "1004")
        is_deflected(at_b)
        at_d = rings(d)
        refer(at_d, "1005")
        is_deflected(at_d)
        at_e = rings(e)
        assert at_e.invite["Referred-By"].startswith("<sip:1004@")
        answers(at_e)
        assert progress(at_b)[-1] == 200 and progress(at_d)[-1] == 200
        is_cancelled(at_c)
        at_a.ack(pick(at_a, 200))
        bye(at_a)
        take_bye(at_e)


@pytest.mark.parametrize("to, status", [("91004", 603), ("1002", 480), ("9999999", 403), ("@", 404)])
def test_one_of_a_group_names_what_can_not_ring_beside_it(own_office, to, status):
    """Only the whole call could go to a route of its own: the phone rings on then, and may answer. Itself it names in vain."""
    with group_rings(own_office, "1001", "1002", "1003") as ((a, b, c), at_a, at_b, at_c):
        refer(at_b, to, to=f"sip:{b.uri_host}" if to == "@" else None)
        if status == 480:
            is_deflected(at_b)
        assert progress(at_b) == [100, status]
        winner, loser = (at_c, at_b) if status == 480 else (at_b, at_c)
        answers(winner)
        if status != 480:
            is_cancelled(loser)
        at_a.ack(pick(at_a, 200))
        bye(at_a)
        take_bye(winner)


def test_one_of_a_group_joins_its_caller_to_its_other_call(own_office):
    """It could have answered, and transferred: it does both at once. For the others the call is completed elsewhere."""
    with phones(own_office, "1004") as (d,), group_rings(own_office, "1001", "1002", "1003") as ((a, b, c), at_a, at_b, at_c):
        other, at_d = talk(b, d)
        refer(at_b, "1004", replaces_of(other))
        at_a.answered = pick(at_a, 200)
        at_a.ack(at_a.answered)
        is_cancelled(at_b)
        m = pick(at_c, "CANCEL")
        assert "cause=200" in m["Reason"]
        at_c.reply(200, "OK", m)
        at_c.reply(487)
        pick(at_c, "ACK")
        take_bye(other)
        assert progress(at_b)[-1] == 200
        hear_each_other(at_a, at_d)
        bye(at_a)
        take_bye(at_d)


def test_two_answer_at_once_and_refer(own_office):
    """Only one can be joined with the caller, and send him on; the other is told at once that it came to nothing."""
    with group_rings(own_office, "1001", "1002", "1003") as ((_, b, _), at_a, *both):
        own_office.process.send_signal(signal.SIGSTOP)           # it reads them all in one go
        for d in both:
            d.reply(200, "OK", body=sdp(d.phone.addr, 40000))
            d.send("REFER", headers=[f"Refer-To: <sip:91010@{b.uri_host}>", f"Contact: {d.phone.contact}"])
        own_office.process.send_signal(signal.SIGCONT)
        at_a.ack(pick(at_a, 200))
        ends = []
        for d in both:
            pick(d, "ACK")
            accepted = pick(d, 202, 481, 603).status == 202      # the later one may have been hung up on already
            ends.append(progress(d)[-1] if accepted else 487)
        assert sorted(ends) == [480, 487]                        # 1010 isn't registered: the winner keeps who called
        winner, loser = both if ends[0] == 480 else reversed(both)
        take_bye(loser)
        bye(at_a)
        take_bye(winner)


@pytest.mark.parametrize("stays", [True, False])
def test_callee_refers_right_behind_his_answer(three, stays):
    """Neither has the ACK reached him nor the other one been answered."""
    a, b, c = three
    at_a, at_b = rung(a, b)
    at_b.reply(200, "OK", body=sdp(b.addr, 40000))
    at_b.send("REFER", headers=[f"Refer-To: <sip:91003@{b.uri_host}>", f"Contact: {b.contact}"])
    if not stays:
        at_b.send("BYE")
    pick(at_b, 202)
    at_a.answered = pick(at_a, 200)
    at_a.ack(at_a.answered)
    at_c = rings(c)
    answers(at_c)
    assert progress(at_b)[-1] == 200
    if stays:
        pick(at_b, "ACK")
        bye(at_b)
    else:
        pick(at_b, 200)
    b.inbox[:] = [m for m in b.inbox if m.method != "ACK"]
    hear_each_other(at_a, at_c)
    bye(at_a)
    take_bye(at_c)
