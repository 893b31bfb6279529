"""What the tests of transfer and pick-up share: the parties, and what they say.

In the ladders A is who transfers, B who is transferred, C where to."""
import contextlib
import re
import time

import pytest

from office import SLOW, OfficeError
from rtp import Rtp
from sip import Dialog, Phone, media_of, sdp


ANSWERED_FIRST = """
UPDATE pbx.extension SET pickup_group = 'hall' WHERE number IN ('1002', '1003');
INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_8XXXX', 'Answered, then rung');
INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
    ('office', 'office', '_8XXXX', 1, 'answer', '{}'), ('office', 'office', '_8XXXX', 2, 'dial', '{"number": "${number:1}"}');
"""


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


def is_cancelled(d):
    """The server gives up ringing here."""
    m = pick(d, "CANCEL")
    d.reply(200, "OK", m)
    d.reply(487)
    pick(d, "ACK")


def hold(d):
    d.send("INVITE", body=sdp(d.phone.addr, 40000, direction="sendonly", version=2), headers=d.authorized("INVITE"))
    d.ack(pick(d, 200))


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
