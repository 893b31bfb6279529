"""Transfer and pick-up, message by message: REFER (RFC 3515, 5589), Replaces (RFC 3891), as a B2BUA meets them.

In the ladders A is who transfers, B who is transferred, C where to."""
import contextlib
import re
import signal
import time

import pytest

from office import SLOW, OfficeError, wait_until
from rtp import Rtp
from sip import Dialog, Phone, media_of, sdp
from test_identity import Provider


ANSWERED_FIRST = """
UPDATE pbx.extension SET pickup_group = 'hall' WHERE number IN ('1002', '1003');
INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_8XXXX', 'Answered, then rung');
INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
    ('office', 'office', '_8XXXX', 1, 'answer', '{}'), ('office', 'office', '_8XXXX', 2, 'dial', '{"number": "${number:1}"}');
"""


# ---- the parties ----

@contextlib.contextmanager
def phones(office, *users):
    """Registered phones. In the end nobody may have asked them for anything that the test didn't see."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(Phone(office, user)) for user in users]
        for phone in made:
            phone.seen = set()
            assert phone.register().status == 200
        yield made
        for phone in made:
            phone.send(phone.register_request(["*"], 0))
            registration = phone.registration["call_id"]
            take(phone, lambda m: m["Call-ID"] == registration and m.status in (200, 401))
            unasked = [m for m in phone.inbox if not m.status]
            assert not unasked, f"nobody has asked for:\n{unasked[0]}"


def take(phone, is_wanted, timeout=5, what=""):
    """The next message that is wanted; the others are kept for later. Requests that come once more, on a machine with much to do,
    are dropped."""
    kept, end = [], time.monotonic() + timeout * SLOW * phone.patience
    try:
        while True:
            m = phone.receive(max(0.001, (end - time.monotonic()) / SLOW))
            if m is None:
                raise OfficeError(f"{phone.user} waited for {what}, there was:\n" + "\n".join(map(str, kept)))
            if not m.status and (m.method, m.branch) in phone.seen:
                continue
            if is_wanted(m):
                if not m.status:
                    phone.seen.add((m.method, m.branch))
                return m
            if m.status != 100:
                kept.append(m)
    finally:
        phone.inbox[:0] = kept


def pick(d, *what, timeout=5):
    """The next message of this dialog that is one of these statuses or methods."""
    return d.learn(take(d.phone, lambda m: m["Call-ID"] == d.call_id and (m.status in what or m.method in what), timeout, what))


def called(phone):
    """Somebody calls: the dialog, nothing sent."""
    return Dialog.of_invite(phone, take(phone, lambda m: m.method == "INVITE" and not m.to_tag, what="INVITE"))


@pytest.fixture
def three(office):
    with phones(office, "1001", "1002", "1003") as made:
        yield made


def talk(caller, callee, number=None, **kwargs):
    """A call, answered; both dialogs."""
    here = caller.invite(number or f"9{callee.user}", **kwargs)
    there = called(callee)
    there.ring()
    pick(here, 180)
    there.reply(200, "OK", body=sdp(callee.addr, 40000))
    pick(there, "ACK")
    here.answered = pick(here, 200)
    here.ack(here.answered)
    return here, there


def take_bye(d):
    m = pick(d, "BYE")
    d.reply(200, "OK", m)
    return m


def bye(d, headers=()):
    d.send("BYE", headers=headers)
    return pick(d, 200)


def rings(phone):
    """It is called: the dialog, answered with 180."""
    d = called(phone)
    d.ring()
    return d


def answers(d, **kwargs):
    d.reply(200, "OK", body=sdp(d.phone.addr, 40000), **kwargs)
    pick(d, "ACK")


def replaces_of(d, early=False):
    """As who sends it sees it: its peer's tag is the to-tag (RFC 3891 §3)."""
    return f"{d.call_id};to-tag={d.remote_tag};from-tag={d.tag}{';early-only' if early else ''}"


def escaped(text):
    return text.replace("@", "%40").replace(";", "%3B").replace("=", "%3D")


def refer(d, number, replaces=None, headers=(), to=None, accepted=True):
    """Sends REFER; returns its final response."""
    uri = to or f"sip:{number}@{d.phone.uri_host}" + (f"?Replaces={escaped(replaces)}" if replaces else "")
    d.send("REFER", headers=[f"Refer-To: <{uri}>", f"Contact: {d.phone.contact}", *headers])
    d.refer_cseq = d.cseq
    m = pick(d, *range(200, 700))
    assert m.status == 202 if accepted else m.status >= 300, str(m)
    return m


def notified(d):
    """Takes one NOTIFY: status, is it the last?"""
    m = pick(d, "NOTIFY")
    d.reply(200, "OK", m)
    assert re.fullmatch("refer" if d.is_outside else r"refer;id=\d+", m["Event"]), m["Event"]
    assert m["Content-Type"].startswith("message/sipfrag")
    status = int(re.match(r"SIP/2.0 (\d+) ", m.body).group(1))
    state = m["Subscription-State"]
    if state.startswith("terminated"):
        assert state == "terminated;reason=noresource" and status >= 200
    else:
        assert re.fullmatch(r"active;expires=\d+", state) and status < 200
    return status


Dialog.is_outside = False


def refer_outside(phone, number, uri=None, headers=(), status=202, contact=None, to=None):
    """REFER in no dialog, to itself if nothing else is said; the dialog that it makes."""
    d = Dialog(phone, uri or f"sip:{phone.user}@{phone.uri_host}")
    d.is_outside = True
    headers = [f"Refer-To: <{to or f'sip:{number}@{phone.uri_host}'}>", f"Contact: {contact or phone.contact}", *headers]
    m = phone.ask("REFER", d.uri, headers=headers, call_id=d.call_id, from_tag=d.tag)
    assert m.status == status, str(m)
    d.cseq = m.cseq
    return d.learn(m) and d


def progress(d):
    """All NOTIFYs up to the last: their statuses."""
    statuses = [notified(d)]
    while statuses[-1] < 200:
        statuses.append(notified(d))
    return statuses


def hear_each_other(*two):
    """Sound goes both ways: the two streams began on any two media workers."""
    with contextlib.ExitStack() as stack:
        ends = [stack.enter_context(Rtp(d.phone.addr, 40000)) for d in two]
        for d, end in zip(two, ends):
            end.start(media_of(d.answered.body if d.is_caller else d.invite.body)[:2])
        for end in ends:
            end.wait_received(25)


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


# ---- while it rings ----

def is_cancelled(d):
    """The server gives up ringing here."""
    m = pick(d, "CANCEL")
    d.reply(200, "OK", m)
    d.reply(487)
    pick(d, "ACK")


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


# ---- outside a dialog ----

def target_dialog(d):
    return f"Target-Dialog: {d.call_id};local-tag={d.remote_tag};remote-tag={d.tag}"


@pytest.mark.parametrize("side", ["caller", "callee"])
def test_refer_outside_transfers_the_call_it_names(three, side):
    """RFC 5589 section 6.1, RFC 4538."""
    a, b, c = three
    at_a, at_b = talk(a, b) if side == "caller" else reversed(talk(b, a))
    outside = refer_outside(a, "91003", at_a.target, headers=[target_dialog(at_a), "Require: tdialog"])
    at_c = rings(c)
    assert at_c.invite["Referred-By"].startswith("<sip:1001@")
    assert [notified(outside), notified(outside)] == [100, 180]
    answers(at_c)
    assert progress(outside) == [200]
    bye(at_a)
    hear_each_other(at_b, at_c)
    bye(at_c)
    take_bye(at_b)


def test_refer_outside_names_the_other_call_too(three):
    """Attended, both calls named and neither's dialog used."""
    a, b, c = three
    at_a, at_b = talk(a, b)
    other, at_c = talk(a, c)
    outside = refer_outside(a, "1003", at_a.target, to=f"sip:1003@{a.uri_host}?Replaces={escaped(replaces_of(other))}",
                            headers=[target_dialog(at_a)])
    assert progress(outside)[-1] == 200
    take_bye(other)
    bye(at_a)
    bye(at_b)
    take_bye(at_c)


def test_call_of_somebody_else_is_not_transferred(three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer_outside(c, "91003", at_a.target, headers=[target_dialog(at_a)], status=403)
    refer_outside(a, "91003", at_a.target, headers=[f"Target-Dialog: {at_a.call_id};local-tag=x;remote-tag=y"], status=481)
    refer_outside(a, "91003", at_a.target, headers=[f"Target-Dialog: {at_a.call_id};local-tag=x"], status=400)
    bye(at_a)
    take_bye(at_b)


def test_click_to_dial(cdrs, three):
    """REFER to himself: his phone is called, and then who he wants."""
    a, b, _ = three
    outside = refer_outside(a, "91002")
    assert notified(outside) == 100
    at_a = rings(a)
    assert "sip:91002@" in at_a.invite["From"]                   # it shows whom it will reach
    answers(at_a)
    at_b = rings(b)
    assert "sip:1001@" in at_b.invite["From"]
    assert notified(outside) == 180
    answers(at_b)
    assert progress(outside) == [200]
    hear_each_other(at_a, at_b)
    bye(at_b)
    take_bye(at_a)
    first, second = sorted((cdrs.next(), cdrs.next()), key=lambda r: r.started)
    assert (first.caller, first.dialled, first.result, first.talk_ms) == ("1001", "1001", "moved", 0)
    assert (second.caller, second.dialled, second.result, second.transferred_by) == ("1001", "91002", "answered", None)


def test_click_to_dial_that_nobody_answers_calls_nobody_back(three):
    a, b, _ = three
    outside = refer_outside(a, "91002")
    at_a = rings(a)
    answers(at_a)
    at_b = called(b)
    at_b.reply(486)
    pick(at_b, "ACK")
    assert progress(outside)[-1] == 486
    take_bye(at_a)


def test_click_to_dial_on_a_phone_that_is_not_taken_up(own_office):
    """Nobody else is rung for it."""
    own_office.change("INSERT INTO pbx.forward (domain, number, reason, target) VALUES ('office', '1001', 'busy', '1003')")
    with phones(own_office, "1001", "1002", "1003") as (a, _, _c):
        outside = refer_outside(a, "91002")
        at_a = called(a)
        at_a.reply(486)
        pick(at_a, "ACK")
        assert progress(outside)[-1] == 486


def test_click_to_dial_that_is_hung_up_on_while_it_rings(three):
    a, b, _ = three
    outside = refer_outside(a, "91002")
    at_a = rings(a)
    answers(at_a)
    at_b = rings(b)
    bye(at_a)
    is_cancelled(at_b)
    assert progress(outside)[-1] == 487


def test_phone_that_asks_is_the_one_that_rings(office, three):
    """Sent to the house, not to a number: of two phones of the same user it is that one."""
    a, b, _ = three
    with phones(office, "1001") as (desk,):
        outside = refer_outside(desk, "91002", f"sip:{desk.uri_host}")
        at_desk = rings(desk)
        answers(at_desk)
        at_b = rings(b)
        answers(at_b)
        assert progress(outside)[-1] == 200
        bye(at_desk)
        take_bye(at_b)
        # To the number: both.
        outside = refer_outside(a, "600")
        at_a, at_desk = rings(a), rings(desk)
        answers(at_desk)
        is_cancelled(at_a)
        assert progress(outside)[-1] == 200
        bye(at_desk)


def test_own_call_is_fetched_by_click(office, three):
    """Replaces names a call of his at another phone: this one takes it."""
    a, b, _ = three
    at_a, at_b = talk(a, b)
    with phones(office, "1001") as (desk,):
        outside = refer_outside(desk, None, f"sip:{desk.uri_host}", to=f"sip:1002@{a.uri_host}?Replaces={escaped(replaces_of(at_a))}")
        at_desk = rings(desk)
        answers(at_desk)
        assert progress(outside)[-1] == 200
        take_bye(at_a)
        hear_each_other(at_desk, at_b)
        bye(at_desk)
        take_bye(at_b)


def test_click_to_dial_without_a_subscription(three):
    """RFC 4488: no NOTIFY comes."""
    a, b, _ = three
    refer_outside(a, "91002", headers=["Refer-Sub: false"])
    at_a = rings(a)
    answers(at_a)
    at_b = rings(b)
    answers(at_b)
    bye(at_a)
    take_bye(at_b)
    assert not a.inbox


def test_who_clicked_ends_his_subscription(three):
    a, b, _ = three
    outside = refer_outside(a, "91002")
    assert notified(outside) == 100
    at_a = rings(a)
    outside.send("SUBSCRIBE", headers=["Event: refer", "Expires: 0"])
    pick(outside, 200)
    m = pick(outside, "NOTIFY")
    outside.reply(200, "OK", m)
    assert m["Subscription-State"] == "terminated;reason=timeout" and m.body.startswith("SIP/2.0 100 ")
    answers(at_a)
    at_b = rings(b)
    answers(at_b)
    bye(at_a)
    take_bye(at_b)
    assert not a.inbox


def test_refer_outside_that_can_not_be(office):
    with phones(office, "1010", "1002") as (lobby, b):
        refer_outside(lobby, "91003", status=403)                # not his class of service
        refer_outside(b, "91003", f"sip:1010@{b.uri_host}", status=403)   # another is to call
        refer_outside(b, None, to="http://example.com/", status=603)
        refer_outside(b, None, to=f"sip:91003@{b.uri_host};method=BYE", status=603)
        refer_outside(b, None, to=":", status=400)
        refer_outside(b, "91003", contact="*", status=400)
        with Phone(office, "1001", password="wrong") as stranger:
            m = stranger.ask("REFER", f"sip:1001@{b.uri_host}", headers=[f"Refer-To: <sip:91003@{b.uri_host}>", f"Contact: {stranger.contact}"])
            assert m.status == 401


def test_trunk_refers_nobody_outside_of_its_calls(office):
    with Provider(office, "bridge") as trunk:
        m = trunk.ask("REFER", f"sip:1001@{trunk.uri_host}", headers=["Refer-To: <sip:91003@x>", f"Contact: {trunk.contact}"])
        assert m.status == 403


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


# ---- attended ----

def hold(d):
    d.send("INVITE", body=sdp(d.phone.addr, 40000, direction="sendonly", version=2), headers=d.authorized("INVITE"))
    d.ack(pick(d, 200))


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
