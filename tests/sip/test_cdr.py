"""The record of a call (pbx.cdr, pbx.cdr_leg): when it rang, was answered and ended, who ended it and why, what the caller was told, and by
which version of which route; and who was on the line at a moment (pbx.call_at())."""
import contextlib

import pytest

from office import wait_until
from sip import Phone, sdp
from transfers import answers, bye, progress, refer, rings, take_bye, talk, three
from test_trunk_group import GROUP, UNDO

PCMU = [(0, "PCMU/8000"), (101, "telephone-event/8000")]


@contextlib.contextmanager
def parties(office):
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee:
        callee.register()
        yield caller, callee
        callee.unregister()


def called(caller, callee, number="91002"):
    here = caller.invite(number, sdp(caller.addr, 4000, PCMU))
    there = callee.answer_invite()
    there.ring()
    here.expect(180)
    return here, there


def answered(caller, callee):
    here, there = called(caller, callee)
    there.answer(sdp(callee.addr, 4002, PCMU))
    here.ack(here.expect(200))
    return here, there


def told(cdr):
    return (cdr.result, cdr.status, cdr.cause, cdr.hangup_by)


def legs(cdr):
    return [(leg.status, leg.cause, leg.hangup_by) for leg in cdr.legs]


def in_order(*times):
    return all(a <= b for a, b in zip(times, times[1:]))


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_answered(office, cdrs, who):
    seq = office.sql("SELECT max(seq) FROM pbx.change")[0][0]
    with parties(office) as (caller, callee):
        here, there = answered(caller, callee)
        first, second = (here, there) if who == "caller" else (there, here)
        first.send("BYE", headers=['Reason: Q.850;cause=31;text="So long"'])
        second.take_bye()
        first.expect(200)
    cdr = cdrs.next()
    assert told(cdr) == ("answered", 200, 31, who)
    assert legs(cdr) == [(None, 31, "peer" if who == "caller" else "us"), (None, 31, "us" if who == "caller" else "peer")]
    assert [leg.reason for leg in cdr.legs][who == "callee"] == 'Q.850;cause=31;text="So long"'
    assert (cdr.route, cdr.version >= seq, cdr.reason) == ("_9XXXX", True, None)
    assert in_order(cdr.started, cdr.ringing, cdr.answered, cdr.ended) and cdr.ringing == cdr.legs[1].ringing
    assert [leg.codec for leg in cdr.legs] == ["PCMU", "PCMU"]
    assert [leg.call_ended for leg in cdr.legs] == [cdr.ended] * 2


def test_version_is_that_of_the_route(office, cdrs):
    with Phone(office, "1001") as caller:
        seqs = []
        for _ in range(2):
            here = caller.invite("91008")
            here.ack(here.expect(480))
            seqs.append(cdrs.next().version)
            office.change("UPDATE pbx.route SET name = name || '.' WHERE pattern = '_9XXXX'")
    assert seqs[0] < seqs[1] == office.sql("SELECT max(seq) FROM pbx.change WHERE seq < (SELECT max(seq) FROM pbx.change WHERE key = 'office/office/_9XXXX')"
                                            """ AND "table" = 'route'""")[0][0]


def test_busy(office, cdrs):
    with parties(office) as (caller, callee):
        here = caller.invite("91002")
        there = callee.answer_invite()
        there.reply(486, "Busy Here", headers=['Reason: Q.850;cause=34;text="No line"'])
        there.expect("ACK")
        here.ack(here.expect(486))
    cdr = cdrs.next()
    assert told(cdr) == ("busy", 486, 34, "callee")
    assert legs(cdr) == [(486, 34, "us"), (486, 34, "peer")]
    assert cdr.reason == cdr.legs[1].reason == 'Q.850;cause=34;text="No line"'
    assert (cdr.ringing, cdr.answered) == (None, None)


def test_no_answer(office, cdrs):
    office.change("UPDATE pbx.extension SET ring_s = 1 WHERE number = '1002'")
    try:
        with parties(office) as (caller, callee):
            here, there = called(caller, callee)
            there.reply(200, "OK", m=there.expect("CANCEL"))
            there.reply(487, "Cancelled")
            there.expect("ACK")
            here.ack(here.expect(480))
    finally:
        office.change("UPDATE pbx.extension SET ring_s = 20 WHERE number = '1002'")
    cdr = cdrs.next()
    assert told(cdr) == ("no_answer", 480, 19, "system")
    assert legs(cdr) == [(480, 19, "us"), (487, 19, "us")]
    assert in_order(cdr.started, cdr.ringing, cdr.ended) and cdr.answered is None


def test_cancelled(office, cdrs):
    with parties(office) as (caller, callee):
        here, there = called(caller, callee)
        here.cancel()
        here.expect(200)
        there.reply(200, "OK", m=there.expect("CANCEL"))
        there.reply(487, "Cancelled")
        there.expect("ACK")
        here.ack(here.expect(487))
    cdr = cdrs.next()
    assert told(cdr) == ("hangup", 487, 16, "caller")
    assert legs(cdr) == [(487, 16, "peer"), (487, 16, "us")]
    assert cdr.ringing == cdr.legs[1].ringing


def test_refused_by_a_limit(office, cdrs):
    """There was no call: nothing is billed, but it is told, and by whom."""
    office.change("UPDATE pbx.extension SET call_limit = 0 WHERE number = '1001'")
    office.sql("SELECT pbx.event_next('limit')")
    try:
        with Phone(office, "1001") as caller:
            here = caller.invite("91002")
            here.ack(here.expect(486))
    finally:
        office.change("UPDATE pbx.extension SET call_limit = NULL WHERE number = '1001'")
    call, data = wait_until(lambda: office.sql("SELECT call::text, data FROM pbx.event_next('limit') WHERE kind = 'call.refused'"))[0]
    assert {k: data[k] for k in ("caller", "dialled", "status")} == {"caller": "1001", "dialled": "91002", "status": 486}
    assert office.sql("SELECT status FROM pbx.refused_call WHERE call = %s", call) == [(486,)]
    assert office.sql("SELECT FROM pbx.cdr WHERE call = %s", call) == []


def test_transferred(cdrs, three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer(at_a, "91003")
    at_c = rings(c)
    answers(at_c)
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_c)
    take_bye(at_b)
    first, second = cdrs.next(), cdrs.next()
    assert (told(first), told(second)) == (("answered", 200, 16, "caller"), ("answered", 200, 16, "callee"))
    assert second.transferred_by == "1001"
    assert second.ringing == next(leg.ringing for leg in second.legs if leg.peer == "1003"), [vars(leg) for leg in second.legs]
    assert {leg.peer: leg.hangup_by for leg in first.legs} == {"1001": "peer", "1002": None}
    assert {leg.peer: leg.hangup_by for leg in second.legs} == {"1002": "us", "1003": "peer"}


def test_trunk_fails(office, cdrs):
    with Phone(office, "1001") as caller, Phone(office, "a") as first, Phone(office, "b") as second:
        office.change(GROUP.format(f"{first.host}:{first.port}", f"{second.host}:{second.port}"))
        try:
            here = caller.invite("0123")
            for trunk, status in ((first, 503), (second, 500)):
                there = trunk.answer_invite()
                there.reply(status, "No")
                there.expect("ACK")
            message = here.expect(500, 502, 503)
            here.ack(message)
        finally:
            office.change(UNDO)
    cdr = cdrs.next()
    assert told(cdr) == ("failed", message.status, 41, "callee")
    assert [(leg.peer, *leg_told) for leg, leg_told in zip(cdr.legs[1:], legs(cdr)[1:])] == [("first", 503, 41, "peer"), ("second", 500, 41, "peer")]
    assert legs(cdr)[0] == (message.status, 41, "us")
