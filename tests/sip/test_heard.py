"""What the caller, or who answers him, is heard to be: a fax machine, a machine that answers, somebody; steps fax_detect, amd, wait_silence, dial."""
import pytest

from office import wait_until
from rtp import Rtp, tone
from sip import Phone, media_of, sdp
from test_tones import PCMU, route

FAX = '{"number": "91002"}'


def say(rtp, *parts):
    """Sends tones and silence: (hertz, packets of 20 ms)."""
    for hz, packets in parts:
        rtp.payload = tone(hz) if hz else b"\xff" * 160
        before = rtp.sent
        wait_until(lambda: rtp.sent >= before + packets, seconds=packets / 20 + 5)


def answered(office, caller, rtp):
    here = caller.invite("810", sdp(caller.addr, rtp.port, PCMU))
    ok = here.expect(200)
    here.ack(ok)
    rtp.payload = b"\xff" * 160
    rtp.start(media_of(ok.body))
    return here


@pytest.mark.parametrize("way", ["tone", "event"])
def test_fax_is_heard_and_goes_elsewhere(office, way):
    with route(office, ("fax_detect", FAX), ("hangup", "{}")), Phone(office, "1001") as caller, Phone(office, "1002") as fax, \
            Rtp(caller.addr) as a:
        fax.register()
        here = answered(office, caller, a)
        a.wait_received(5)                                                   # it hears it ring
        if way == "tone":
            a.payload = tone(1100, 160, 8000)                                # 22 waves in a packet: they join
        else:
            a.send(bytes([36, 0x8A, 0x0F, 0xA0]), 101, True)                 # RFC 4734 §3.2
        there = fax.answer_invite()
        there.answer()
        here.bye()
        there.take_bye()
        fax.unregister()


def test_who_is_no_fax_goes_on(office):
    with route(office, ("fax_detect", '{"seconds": 1, "number": "91002"}'), ("hangup", "{}")), Phone(office, "1001") as caller, \
            Rtp(caller.addr) as a:
        here = answered(office, caller, a)
        here.take_bye()


def test_fax_is_heard_during_other_steps(office):
    with route(office, ("answer", "{}"), ("fax_detect", '{"seconds": 0}'), ("wait", '{"seconds": 2}'), ("goto", '{"number": "91002"}')), \
            Phone(office, "1001") as caller, Phone(office, "1002") as fax, Rtp(caller.addr) as a:
        office.change("UPDATE pbx.step SET condition = 'fax=yes' WHERE pattern = '810' AND app = 'goto'")
        fax.register()
        here = answered(office, caller, a)
        a.payload = tone(1100, 160, 8000)
        there = fax.answer_invite()
        there.answer()
        here.bye()
        there.take_bye()
        fax.unregister()


@pytest.mark.parametrize("who,said", [("human", ((0, 15), (300, 20), (0, 60))), ("machine", ((0, 10), (300, 120)))])
def test_who_has_answered(office, who, said):
    with route(office, ("amd", "{}"), ("set", '{"name": "who", "value": "${amd}"}'), ("dial", '{"number": "1002"}')), \
            Phone(office, "1001") as caller, Phone(office, "1002") as callee, Rtp(caller.addr) as a:
        office.change(f"UPDATE pbx.step SET condition = 'who={who}' WHERE pattern = '810' AND app = 'dial'")
        callee.register()
        here = answered(office, caller, a)
        say(a, *said)
        there = callee.answer_invite()
        there.answer()
        here.bye()
        there.take_bye()
        callee.unregister()
    assert f"amd={who} cause=" in office.log


def test_a_step_waits_until_all_is_said(office):
    with route(office, ("wait_silence", '{"silence_ms": 600, "seconds": 20}'), ("hangup", "{}")), Phone(office, "1001") as caller, \
            Rtp(caller.addr) as a:
        here = answered(office, caller, a)
        say(a, (300, 60))
        caller.expect_none(0)
        a.payload = b"\xff" * 160
        here.take_bye()


@pytest.mark.parametrize("who,said", [("human", ((0, 15), (300, 20), (0, 60))), ("machine", ((0, 10), (300, 120))), ("fax", ((0, 10), (2100, 120)))])
def test_who_has_answered_a_caller(office, who, said):
    """The callee's leg is listened to while the two talk; a machine is left, and the next step is run."""
    with route(office, ("dial", '{"number": "1002", "leave_machine": true}'), ("dial", '{"number": "1003"}')), Phone(office, "1001") as caller, \
            Phone(office, "1002") as callee, Phone(office, "1003") as other, Rtp(caller.addr) as a, Rtp(callee.addr) as b:
        callee.register()
        other.register()
        since = len(office.log)
        here = caller.invite("810", sdp(caller.addr, a.port, PCMU))
        there = callee.answer_invite()
        there.answer(sdp(callee.addr, b.port, PCMU))
        ok = here.expect(200)
        here.ack(ok)
        a.payload = tone(500)                                                # what the caller says is nobody's answer
        a.start(media_of(ok.body))
        b.payload = b"\xff" * 160
        b.start(media_of(there.invite.body))
        say(b, *said)
        cause = {"human": "silence_after_greeting", "machine": "greeting", "fax": "CED"}[who]
        wait_until(lambda: f"answered_by={who} cause={cause}" in office.log[since:])
        if who == "machine":
            there.take_bye()
            there = other.answer_invite()
            there.answer()
        else:
            callee.expect_none(0)
        here.bye()
        there.take_bye()
        callee.unregister()
        other.unregister()
