"""Blind transfer, message by message: REFER (RFC 3515, 5589) as a B2BUA meets it."""
import re

import pytest

from test_identity import Provider
from transfers import (answers, bye, called, hear_each_other, notified, phones, pick, progress, refer, replaces_of, rings, take_bye,
                       talk, three)


# ---- blind ----

@pytest.mark.parametrize("side", ["caller", "callee"])
def test_blind_transfer_calls_target_and_joins_it(cdrs, three, side):
    a, b, c = three
    if side == "caller":
        at_a, at_b = talk(a, b)
    else:
        at_b, at_a = talk(b, a)
    refer(at_a, "91003")
    at_c = rings(c)
    assert "sip:1002@" in at_c.invite["From"]                    # who calls is who was transferred
    assert re.match(r"<sip:1001@", at_c.invite["Referred-By"])   # by whom: the account, not what REFER said
    assert notified(at_a) == 100
    assert notified(at_a) == 180
    answers(at_c)
    assert progress(at_a) == [200]
    bye(at_a)
    hear_each_other(at_b, at_c)
    bye(at_c)
    take_bye(at_b)
    first, second = cdrs.next(), cdrs.next()
    assert (first.caller, first.dialled, first.result) == (("1001", "91002", "answered") if side == "caller" else ("1002", "91001", "answered"))
    assert (second.caller, second.dialled, second.result, second.transferred_by) == ("1002", "91003", "answered", "1001")
    left = next(leg for leg in first.legs if leg.moved_to)
    assert (left.peer, left.moved_to, left.packets_sent) == ("1002", second.call, None)
    came = next(leg for leg in second.legs if leg.moved_from)
    assert (came.peer, came.role, came.moved_from) == ("1002", "caller", first.call)
    assert came.joined == left.ended and came.started == left.started
    assert first.talk_ms <= (left.ended - first.answered).total_seconds() * 1000 + 1
    assert [leg.peer for leg in second.legs if leg.role == "callee"] == ["1003"]


def test_referrer_of_a_call_from_elsewhere_is_passed(three):
    """RFC 3892: B was referred by somebody whom we don't know, and says so; sent on by A, that is who counts."""
    a, b, c = three
    at_b, at_a = talk(b, a, headers=["Referred-By: <sip:zoe@elsewhere.example>"])
    assert at_a.invite["Referred-By"] == "<sip:zoe@elsewhere.example>"
    refer(at_a, "91003", headers=["Referred-By: <sip:mallory@elsewhere.example>"])
    at_c = rings(c)
    assert len(at_c.invite.all("Referred-By")) == 1 and at_c.invite["Referred-By"].startswith("<sip:1001@")
    answers(at_c)
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_c)
    take_bye(at_b)


@pytest.mark.parametrize("trusted,by", [(True, "zoe"), (False, "666")])
def test_trusted_trunk_says_who_refers(office, trusted, by):
    """RFC 3892 section 3: of a trunk it is believed as far as that is trusted."""
    with Provider(office, "bridge", trusted=trusted) as trunk, phones(office, "1002", "1003") as (b, c):
        trunk.seen = set()
        at_a = trunk.call("91002", from_="<sip:666@outside.example>")
        at_b = called(b)
        answers(at_b)
        at_a.ack(pick(at_a, 200))
        refer(at_a, "91003", headers=["Referred-By: Zoe <sip:zoe@outside.example>;cid=1@x"])
        at_c = rings(c)
        assert at_c.invite["Referred-By"].startswith(f"<sip:{by}@"), at_c.invite
        answers(at_c)
        assert progress(at_a)[-1] == 200
        bye(at_a)
        bye(at_c)
        take_bye(at_b)


def test_what_the_transferred_party_said_of_himself_goes_with_him(three):
    a, b, c = three
    at_b, at_a = talk(b, a, headers=["Organization: Ropes and Cords"])
    refer(at_a, "91003")
    at_c = rings(c)
    assert at_c.invite["Organization"] == "Ropes and Cords"
    answers(at_c)
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_c)
    take_bye(at_b)


@pytest.mark.office(sip={"max_calls": 1})
def test_transfer_is_a_call_more_than_there_may_be(own_office):
    """They just go on talking."""
    with phones(own_office, "1001", "1002", "1003") as (a, b, c):
        at_a, at_b = talk(a, b)
        refer(at_a, "91003")
        assert progress(at_a)[-1] == 503
        bye(at_a)
        take_bye(at_b)


@pytest.mark.parametrize("how", ["Privacy", "account"])
def test_transferor_who_hides_himself_is_not_told(own_office, how):
    if how == "account":
        own_office.change("UPDATE pbx.extension SET anonymous = 'always' WHERE number = '1001'")
    with phones(own_office, "1001", "1002", "1003") as (a, b, c):
        at_a, at_b = talk(a, b, headers=["Privacy: id"] if how == "Privacy" else [])
        refer(at_a, "91003")
        at_c = rings(c)
        assert "sip:1002@" in at_c.invite["From"] and at_c.invite.get("Referred-By") is None
        answers(at_c)
        assert progress(at_a)[-1] == 200
        bye(at_a)
        bye(at_c)
        take_bye(at_b)


def test_transferor_hangs_up_at_once(three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer(at_a, "91003")
    bye(at_a)
    at_c = rings(c)
    answers(at_c)
    # His subscription outlives his session (RFC 5057).
    assert progress(at_a)[-1] == 200
    bye(at_c)
    take_bye(at_b)


def test_unsubscribed_referrer_is_told_nothing(three):
    """RFC 4488."""
    a, b, c = three
    at_a, at_b = talk(a, b)
    assert refer(at_a, "91003", headers=["Refer-Sub: false", "Require: norefersub"])["Refer-Sub"] == "false"
    at_c = rings(c)
    answers(at_c)
    hear_each_other(at_b, at_c)
    bye(at_a)                                                    # no NOTIFY came before the 200
    assert not a.inbox
    bye(at_c)
    take_bye(at_b)


def test_referrer_ends_his_subscription(three):
    """RFC 3515 section 2.4.6: SUBSCRIBE with Expires: 0, and the id of the REFER."""
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer(at_a, "91003")
    event = f"refer;id={at_a.refer_cseq}"
    at_c = rings(c)
    assert [notified(at_a), notified(at_a)] == [100, 180]
    at_a.send("SUBSCRIBE", headers=["Event: presence", "Expires: 0"])
    pick(at_a, 489)
    at_a.send("SUBSCRIBE", headers=[f"Event: refer;id={at_a.refer_cseq + 50}", "Expires: 0"])
    pick(at_a, 481)
    at_a.send("SUBSCRIBE", headers=[f"Event: {event}", "Expires: 60"])
    assert pick(at_a, 200)["Expires"] == "60"
    assert notified(at_a) == 180
    at_a.send("SUBSCRIBE", headers=[f"Event: {event}", "Expires: 0"])
    pick(at_a, 200)
    m = pick(at_a, "NOTIFY")
    at_a.reply(200, "OK", m)
    assert m["Subscription-State"] == "terminated;reason=timeout" and m.body.startswith("SIP/2.0 180 ")
    answers(at_c)
    hear_each_other(at_b, at_c)
    bye(at_a)
    assert not a.inbox
    bye(at_c)
    take_bye(at_b)


def test_transferor_who_forgot_his_subscription_keeps_his_call(three):
    """RFC 5057: 481 to a NOTIFY ends the subscription, not the dialog."""
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer(at_a, "91010")                                         # not registered: fails, B is given back
    m = pick(at_a, "NOTIFY")
    at_a.reply(481, "Subscription Does Not Exist", m)
    hear_each_other(at_a, at_b)
    bye(at_a)
    take_bye(at_b)


def test_transferor_who_stays_is_hung_up_on(three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer(at_a, "91003")
    at_c = rings(c)
    answers(at_c)
    assert progress(at_a)[-1] == 200
    m = pick(at_a, "BYE", timeout=12)
    assert "transferred" in m["Reason"]
    at_a.reply(200, "OK", m)
    bye(at_c)
    take_bye(at_b)


def test_transfer_to_an_application_runs_its_route(three):
    """Not only extensions: 600 is echo."""
    a, b, _ = three
    at_a, at_b = talk(a, b)
    refer(at_a, "600")
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_b)


def test_transfer_to_tel_uri(three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer(at_a, None, to="tel:9-1003")
    at_c = rings(c)
    answers(at_c)
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_c)
    take_bye(at_b)


# ---- blind, and it fails ----

@pytest.mark.parametrize("side", ["caller", "callee"])
@pytest.mark.parametrize("status, told", [(486, 486), (603, 603), (404, 404)])
def test_party_is_given_back(cdrs, three, side, status, told):
    a, b, c = three
    at_a, at_b = talk(a, b) if side == "caller" else reversed(talk(b, a))
    refer(at_a, "91003")
    at_c = called(c)
    at_c.reply(status)
    pick(at_c, "ACK")
    assert progress(at_a)[-1] == told
    # They talk again, and once more it can be transferred.
    hear_each_other(at_a, at_b)
    refer(at_a, "91003")
    at_c = rings(c)
    answers(at_c)
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_c)
    take_bye(at_b)
    records = [cdrs.next() for _ in range(3)]
    assert sorted(r.result for r in records)[0:2] == ["answered", "answered"]
    failed = next(r for r in records if r.result != "answered")
    assert failed.transferred_by == "1001" and failed.talk_ms == 0
    first = next(r for r in records if r.transferred_by is None)
    assert sum(leg.moved_to is not None for leg in first.legs) == 2
    assert sum(leg.moved_from is not None for leg in first.legs) == 1


def test_transferor_who_has_gone_is_recalled(cdrs, three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer(at_a, "91003")
    bye(at_a)
    at_c = called(c)
    at_c.reply(486)
    pick(at_c, "ACK")
    assert progress(at_a)[-1] == 486
    again = rings(a)
    assert "sip:1002@" in again.invite["From"] and again.invite.get("Referred-By") is None
    answers(again)
    hear_each_other(at_b, again)
    bye(again)
    take_bye(at_b)
    cdrs.next()
    record = cdrs.next()
    assert (record.caller, record.result, [leg.peer for leg in record.legs]) == ("1002", "answered", ["1002", "1003", "1001"])


def test_recall_that_fails_ends_the_call(three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer(at_a, "91003")
    bye(at_a)
    at_c = called(c)
    at_c.reply(486)
    pick(at_c, "ACK")
    assert progress(at_a)[-1] == 486
    again = called(a)
    again.reply(603)
    pick(again, "ACK")
    take_bye(at_b)


def test_target_that_does_not_answer_in_time_is_given_up(own_office):
    office = own_office
    office.change("UPDATE pbx.domain SET transfer_answer_s = 1")
    with phones(office, "1001", "1002", "1003") as (a, b, c):
        at_a, at_b = talk(a, b)
        refer(at_a, "1003")                                      # its route goes on with voicemail, but not now
        at_c = rings(c)
        m = pick(at_c, "CANCEL")
        at_c.reply(200, "OK", m)
        at_c.reply(487)
        pick(at_c, "ACK")
        assert progress(at_a)[-1] == 480
        # The limit was the transfer's: they talk as long as they like, and so does the next one.
        bye(at_b)
        take_bye(at_a)


def test_without_recall_the_party_is_hung_up_on(own_office):
    own_office.change("UPDATE pbx.domain SET recall_ring_s = 0")
    with phones(own_office, "1001", "1002") as (a, b):
        at_a, at_b = talk(a, b)
        refer(at_a, "91003")                                     # isn't registered
        bye(at_a)
        assert progress(at_a)[-1] == 480
        take_bye(at_b)                                           # and nobody calls A


# ---- whose class of service ----

def test_transferors_context_decides(office):
    """The phone in the lobby reaches extensions, and nothing else through who calls it."""
    with phones(office, "1010", "1002") as (lobby, b):
        at_b, at_a = talk(b, lobby, "1010")
        refer(at_a, "91003")
        assert progress(at_a) == [100, 403]
        # They were never parted.
        refer(at_b, "91003")                                     # who may, may
        assert progress(at_b)[-1] == 480
        bye(at_b)
        take_bye(at_a)


def test_transferors_context_is_not_the_callers(office):
    """Who was called sends his caller where he himself may go."""
    with phones(office, "1010", "1002", "1003") as (lobby, b, c):
        at_b, at_a = talk(b, lobby, "1010")
        refer(at_a, "1003")
        at_c = rings(c)
        answers(at_c)
        assert progress(at_a)[-1] == 200
        bye(at_a)
        bye(at_c)
        take_bye(at_b)


# ---- what can't be ----

def test_bad_refer_is_refused(three):
    a, b, _ = three
    at_a, at_b = talk(a, b)
    for headers, status in [([], 400), (["Refer-To: <sip:1@x>", "Refer-To: <sip:2@x>"], 400), (["Refer-To: <:>"], 400),
                            (["Refer-To: <sip:91003@x>", "Referred-By: <sip:a@x>", "Referred-By: <sip:b@x>"], 400),
                            (["Refer-To: <sip:91003@x;method=BYE>"], 603), (["Refer-To: <http://example.com/>"], 603)]:
        at_a.send("REFER", headers=headers)
        pick(at_a, status)
    bye(at_a)
    take_bye(at_b)
    assert not a.inbox


def test_application_can_not_be_transferred(office):
    with phones(office, "1001") as (a,):
        at_a = a.invite("600")
        at_a.ack(pick(at_a, 200))
        refer(at_a, "91003", accepted=False)
        bye(at_a)


def test_application_goes_on_with_who_takes_the_transferors_place(three):
    """A listens to 600, calls B, and transfers in the first of the two calls: B listens instead."""
    a, b, _ = three
    at_600 = a.invite("600")
    at_600.ack(pick(at_600, 200))
    other, at_b = talk(a, b)
    refer(at_600, "1002", replaces_of(other))
    assert progress(at_600)[-1] == 200
    take_bye(at_600)
    take_bye(other)
    refer(at_b, "91003", accepted=False)
    bye(at_b)


def test_second_refer_while_the_first_is_under_way_is_refused(three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer(at_a, "91003")
    at_c = rings(c)
    refer(at_a, "600", accepted=False)
    refer(at_b, "600", accepted=False)                           # nor may who is on his way
    answers(at_c)
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_c)
    take_bye(at_b)


# ---- somebody hangs up meanwhile ----

def test_transferred_party_hangs_up_while_it_rings(three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer(at_a, "91003")
    at_c = rings(c)
    bye(at_b)
    m = pick(at_c, "CANCEL")
    at_c.reply(200, "OK", m)
    at_c.reply(487)
    pick(at_c, "ACK")
    assert progress(at_a)[-1] == 487
    take_bye(at_a)


def test_both_hang_up_while_it_rings(three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer(at_a, "91003")
    at_c = rings(c)
    at_a.send("BYE")
    at_b.send("BYE")
    pick(at_a, 200)
    pick(at_b, 200)
    m = pick(at_c, "CANCEL")
    at_c.reply(200, "OK", m)
    at_c.reply(487)
    pick(at_c, "ACK")
    assert progress(at_a)[-1] == 487


def test_refer_and_bye_cross(three):
    """B has hung up when A's REFER comes: nobody is called."""
    a, b, _ = three
    at_a, at_b = talk(a, b)
    at_b.send("BYE")
    at_a.send("REFER", headers=[f"Refer-To: <sip:91003@{a.uri_host}>", f"Contact: {a.contact}"])
    refused = pick(at_a, *range(200, 700))
    pick(at_b, 200)
    take_bye(at_a)
    assert refused.status in (202, 481, 603)
