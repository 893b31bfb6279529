"""Attended and semi-attended transfer, and pick-up: Replaces (RFC 3891) in Refer-To and in INVITE."""
import pytest

from sip import sdp
from transfers import (ANSWERED_FIRST, answers, bye, called, hear_each_other, hold, notified, phones, pick, progress, refer,
                       replaces_of, rings, take_bye, talk, three)


# ---- attended ----

@pytest.mark.parametrize("first, second", [("caller", "caller"), ("callee", "caller"), ("caller", "callee"), ("callee", "callee")])
def test_attended_transfer_joins_the_two(cdrs, three, first, second):
    """A talks with B, then with C, whoever called whom; both are joined without anybody being called."""
    a, b, c = three
    at_a, at_b = talk(a, b) if first == "caller" else reversed(talk(b, a))
    hold(at_a)
    other, at_c = talk(a, c) if second == "caller" else reversed(talk(c, a))
    refer(at_a, "1003", replaces_of(other))
    assert progress(at_a)[-1] == 200
    m = take_bye(other)
    assert "transferred" in m["Reason"]
    bye(at_a)
    hear_each_other(at_b, at_c)
    bye(at_c)
    take_bye(at_b)
    records = sorted((cdrs.next(), cdrs.next()), key=lambda r: r.started)
    left = next(leg for leg in records[0].legs if leg.moved_to)
    came = next(leg for leg in records[1].legs if leg.moved_from)
    assert (left.peer, left.moved_to) == ("1002", records[1].call)
    assert (came.peer, came.moved_from, came.role) == ("1002", records[0].call, second)
    assert sorted(leg.peer for leg in records[1].legs) == ["1001", "1002", "1003"]
    replaced = next(leg for leg in records[1].legs if leg.peer == "1001")
    assert replaced.ended >= came.joined and records[1].talk_ms >= (came.ended - came.joined).total_seconds() * 1000 - 1


def test_attended_transfer_on_the_second_call(three):
    """A phone may also refer who it called last to who waits."""
    a, b, c = three
    at_a, at_b = talk(a, b)
    hold(at_a)
    other, at_c = talk(a, c)
    refer(other, "1002", replaces_of(at_a))
    assert progress(other)[-1] == 200
    take_bye(at_a)
    bye(other)
    bye(at_b)
    take_bye(at_c)


def test_attended_transferor_hangs_up_both_at_once(three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    hold(at_a)
    other, at_c = talk(a, c)
    refer(at_a, "1003", replaces_of(other))
    at_a.send("BYE")
    other.send("BYE")
    pick(at_a, 200)
    pick(other, 200, 481)
    assert progress(at_a)[-1] == 200
    bye(at_c)
    take_bye(at_b)
    a.inbox[:] = [m for m in a.inbox if not (m.method == "BYE" and m["Call-ID"] == other.call_id)]


@pytest.mark.parametrize("cancels", [True, False])
def test_semi_attended_transfer_waits_for_the_answer(three, cancels):
    """C is still ringing when A refers B to that call (RFC 5589 section 7.3)."""
    a, b, c = three
    at_a, at_b = talk(a, b)
    hold(at_a)
    other = a.invite("91003")
    at_c = rings(c)
    pick(other, 180)
    refer(at_a, "1003", replaces_of(other))
    if cancels:
        other.cancel()
        pick(other, 200, 481)
    other.ack(pick(other, 487))
    assert notified(at_a) in (100, 180)
    answers(at_c)                                                # the same INVITE: nobody was called again
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_c)
    take_bye(at_b)


@pytest.mark.parametrize("stays", [True, False])
def test_semi_attended_transfer_that_fails(three, stays):
    a, b, c = three
    at_a, at_b = talk(a, b)
    hold(at_a)
    other = a.invite("91003")
    at_c = rings(c)
    pick(other, 180)
    refer(at_a, "1003", replaces_of(other))
    other.ack(pick(other, 487))
    if not stays:
        bye(at_a)
    at_c.reply(486)
    pick(at_c, "ACK")
    assert progress(at_a)[-1] == 486
    if not stays:
        at_a = rings(a)                                          # recalled
        answers(at_a)
    bye(at_a)
    take_bye(at_b)


def test_call_that_came_of_a_transfer_takes_part_in_another(office):
    with phones(office, "1001", "1002", "1003", "1004") as (a, b, c, d):
        at_b, at_a = talk(b, a)
        refer(at_a, "91003")
        at_c = rings(c)
        answers(at_c)
        assert progress(at_a)[-1] == 200
        bye(at_a)
        # B and C talk. D calls C, and C connects the two.
        at_d, second = talk(d, c)
        refer(second, "1002", replaces_of(at_c))
        assert progress(second)[-1] == 200
        take_bye(at_c)
        hear_each_other(at_b, at_d)
        bye(second)
        bye(at_d)
        take_bye(at_b)


def test_who_picks_up_by_transfer_is_told_that_it_succeeded(own_office):
    """The caller had been answered, by an application, before it rang."""
    own_office.change(ANSWERED_FIRST)
    with phones(own_office, "1001", "1002", "1003", "1004") as (a, b, c, d):
        at_c, at_d = talk(c, d)
        at_a = a.invite("81002")
        at_a.answered = pick(at_a, 200)
        at_a.ack(at_a.answered)
        at_b = rings(b)
        refer(at_c, "1002", replaces_of(at_b))
        assert progress(at_c)[-1] == 200
        m = pick(at_b, "CANCEL")
        at_b.reply(200, "OK", m)
        at_b.reply(487)
        pick(at_b, "ACK")
        hear_each_other(at_a, at_d)
        bye(at_c)
        bye(at_a)
        take_bye(at_d)


def test_attended_transfer_to_an_application(three):
    """A has called a number that an application answers: B hears it in his place."""
    a, b, _ = three
    at_a, at_b = talk(a, b)
    hold(at_a)
    other = a.invite("600")
    other.ack(pick(other, 200))
    refer(at_a, "600", replaces_of(other))
    assert progress(at_a)[-1] == 200
    take_bye(other)
    bye(at_a)
    bye(at_b)


def test_wrong_dialog_is_refused(three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    other, at_c = talk(a, c)
    for replaces, status in [(f"{other.call_id};to-tag=wrong;from-tag={other.tag}", 481),
                             (f"{other.call_id};to-tag={other.remote_tag};from-tag=wrong", 481),
                             (f"{other.call_id};to-tag={other.remote_tag}", 400),
                             (replaces_of(other, early=True), 486),
                             (replaces_of(at_c), 403),             # C's own dialog with us: not A's to take
                             (replaces_of(at_a), 603)]:            # the very same call
        refer(at_a, "1003", replaces)
        assert progress(at_a) == [100, status], replaces
    bye(at_a)
    take_bye(at_b)
    bye(other)
    take_bye(at_c)


def test_dialog_of_somebody_else_is_passed_on(three):
    """A Replaces that names none of ours goes out with the INVITE."""
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer(at_a, "91003", "call@elsewhere;to-tag=1;from-tag=2")
    at_c = rings(c)
    assert at_c.invite["Replaces"] == "call@elsewhere;to-tag=1;from-tag=2"
    assert "replaces" in at_c.invite["Require"]
    answers(at_c)
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_c)
    take_bye(at_b)


@pytest.mark.parametrize("end", ["%0D%0A", "%0A", "%0D"])
def test_replaces_of_more_than_one_line_is_refused(three, end):
    """It would put headers of the referrer's own into our INVITE: P-Asserted-Identity, to a trunk that believes it."""
    a, b, _ = three
    at_a, at_b = talk(a, b)
    to = f"sip:91003@{a.uri_host}?Replaces=call%40elsewhere%3Bto-tag%3D1%3Bfrom-tag%3D2{end}P-Asserted-Identity:%20%3Csip:1%40x%3E"
    assert refer(at_a, None, to=to, accepted=False).status == 400
    bye(at_a)
    take_bye(at_b)


# ---- INVITE with Replaces ----

def invite_replacing(phone, replaces, number="1001"):
    return phone.invite(number, headers=[f"Replaces: {replaces}", "Require: replaces"])


def refused(d, *statuses):
    d.ack(pick(d, *statuses))


def test_another_phone_of_the_same_user_takes_the_call(office, three):
    a, b, _ = three
    at_a, at_b = talk(a, b)
    with phones(office, "1002") as (desk,):
        again = invite_replacing(desk, replaces_of(at_b))
        again.ack(pick(again, 200))
        m = take_bye(at_b)
        assert "elsewhere" in m["Reason"]
        bye(again)
        take_bye(at_a)


def test_ringing_call_is_picked_up_within_the_group(own_office, request):
    own_office.change("UPDATE pbx.extension SET pickup_group = 'hall' WHERE number IN ('1002', '1003')")
    with phones(own_office, "1001", "1002", "1003", "1004") as (a, b, c, d):
        at_a = a.invite("91002")
        at_b = rings(b)
        pick(at_a, 180)
        refused(invite_replacing(d, replaces_of(at_b), "1002"), 403)         # isn't in the group
        at_c = invite_replacing(c, replaces_of(at_b), "1002")
        at_c.ack(pick(at_c, 200))
        m = pick(at_b, "CANCEL")
        assert "elsewhere" in m["Reason"]
        at_b.reply(200, "OK", m)
        at_b.reply(487)
        pick(at_b, "ACK")
        at_a.ack(pick(at_a, 200))
        refused(invite_replacing(b, replaces_of(at_c), "1003"), 403)         # answered: only his own phones may
        bye(at_a)
        take_bye(at_c)


def test_one_of_two_who_pick_up_at_once_gets_the_call(own_office):
    own_office.change("UPDATE pbx.extension SET pickup_group = 'hall' WHERE number IN ('1002', '1003', '1004')")
    with phones(own_office, "1001", "1002", "1003", "1004") as (a, b, c, d):
        for phone in (c, d):                                                 # a challenge to answer at once from now on
            refused(invite_replacing(phone, "nothing@here;to-tag=1;from-tag=2"), 481)
        at_a = a.invite("91002")
        at_b = rings(b)
        pick(at_a, 180)
        first, second = (invite_replacing(phone, replaces_of(at_b), "1002") for phone in (c, d))
        first.ack(pick(first, 200))
        refused(second, 481, 603)                                            # as the one that rang has stopped already, or not
        m = pick(at_b, "CANCEL")
        at_b.reply(200, "OK", m)
        at_b.reply(487)
        pick(at_b, "ACK")
        at_a.ack(pick(at_a, 200))
        bye(first)
        take_bye(at_a)


def test_replaces_that_can_not_be(three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    refused(invite_replacing(b, f"{at_b.call_id};to-tag=x;from-tag={at_b.tag}"), 481)
    refused(invite_replacing(b, "nothing@here;to-tag=1;from-tag=2"), 481)
    refused(invite_replacing(b, replaces_of(at_b, early=True)), 486)
    refused(invite_replacing(b, f"{at_b.call_id};to-tag=x"), 400)
    refused(b.invite("1001", headers=[f"Replaces: {replaces_of(at_b)}", f"Replaces: {replaces_of(at_b)}"]), 400)
    refused(b.invite("1001", headers=[f"Replaces: {replaces_of(at_b)}", "Join: a@b;to-tag=1;from-tag=2"]), 400)
    refused(invite_replacing(c, replaces_of(at_b)), 403)
    # His own call that still rings out: an early dialog that he began (RFC 3891 section 3).
    out = c.invite("91002")
    ringing = rings(b)
    pick(out, 180)
    refused(invite_replacing(c, replaces_of(out)), 481)
    out.cancel()
    pick(out, 200)
    out.ack(pick(out, 487))
    m = pick(ringing, "CANCEL")
    ringing.reply(200, "OK", m)
    ringing.reply(487)
    pick(ringing, "ACK")
    bye(at_a)
    take_bye(at_b)
    refused(invite_replacing(b, replaces_of(at_b)), 481, 603)   # gone, or just going


def test_replacing_phone_without_common_codec_changes_nothing(three):
    a, b, _ = three
    at_a, at_b = talk(a, b)
    refused(b.invite("1001", body=sdp(b.addr, 40000, codecs=((18, "G729/8000"),)), headers=[f"Replaces: {replaces_of(at_b)}"]), 488)
    bye(at_a)
    take_bye(at_b)


def test_target_is_asked_and_then_called_anew(three):
    """RFC 5589 section 7.1: the transferor hangs up on the target, and then does a basic transfer to it."""
    a, b, c = three
    at_a, at_b = talk(a, b)
    hold(at_a)
    asks, at_c = talk(a, c, "91003")
    bye(asks)
    take_bye(at_c)
    refer(at_a, "91003")
    assert notified(at_a) == 100
    again = called(c)
    assert "sip:1002@" in again.invite["From"] and again.invite["Referred-By"].startswith("<sip:1001@")
    answers(again)
    assert progress(at_a)[-1] == 200
    bye(at_a)
    hear_each_other(at_b, again)
    bye(again)
    take_bye(at_b)


def test_attended_transfer_falls_back_to_a_basic_one(three):
    """RFC 5589 section 7.7: the target can't be joined any more, for it has hung up, and is called anew; they stay joined meanwhile."""
    a, b, c = three
    at_a, at_b = talk(a, b)
    hold(at_a)
    asks, at_c = talk(a, c, "91003")
    replaces = replaces_of(asks)
    bye(at_c)
    take_bye(asks)
    refer(at_a, "1003", replaces)
    assert progress(at_a)[-1] == 603
    refer(at_a, "91003")
    again = called(c)
    answers(again)
    assert progress(at_a)[-1] == 200
    bye(at_a)
    hear_each_other(at_b, again)
    bye(again)
    take_bye(at_b)
