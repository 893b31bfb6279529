"""Digits travel as the administrator says: extension.dtmf and trunk.dtmf."""
import contextlib

import pytest

from rtp import Rtp, audioop, tone
from sip import Phone, media_of, sdp

PCMU = [(0, "PCMU/8000"), (101, "telephone-event/8000")]
RELAY, PLAIN = "application/dtmf-relay", "application/dtmf"


def dtmf(digit, at=0, n=160):
    """A packet of an in-band digit (ITU-T Q.23), PCMU."""
    row, column = divmod("123A456B789C*0#D".index(digit), 4)
    low, high = (697, 770, 852, 941)[row], (1209, 1336, 1477, 1633)[column]
    mixed = audioop.add(audioop.ulaw2lin(tone(low, n, 8000, at), 2), audioop.ulaw2lin(tone(high, n, 8000, at), 2), 2)
    return audioop.lin2ulaw(mixed, 2)


@contextlib.contextmanager
def talk(office, caller_way="auto", callee_way="auto"):
    """1001 talks with 1002, who both offer telephone events; rows are set back."""
    office.change("UPDATE pbx.extension SET dtmf = CASE number WHEN '1001' THEN %s ELSE %s END WHERE number IN ('1001', '1002')",
                  caller_way, callee_way)
    try:
        with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Rtp(caller.addr) as a, Rtp(callee.addr) as b:
            callee.register()
            here = caller.invite("91002", sdp(caller.addr, a.port, PCMU))
            there = callee.answer_invite()
            has_events = "telephone-event" in there.invite.body
            there.answer(sdp(callee.addr, b.port, PCMU if has_events else PCMU[:1]))
            ok = here.expect(200)
            here.ack(ok)
            assert has_events == (callee_way in ("auto", "rfc4733"))
            assert ("telephone-event" in ok.body) == (caller_way in ("auto", "rfc4733"))
            a.start(media_of(ok.body))
            b.start(media_of(there.invite.body))
            b.wait_received(5)
            yield here, there, a, b
            here.bye()
            there.take_bye()
            callee.unregister()
    finally:
        office.change("UPDATE pbx.extension SET dtmf = 'auto' WHERE number IN ('1001', '1002')")


def take_info(dialog, status=200):
    m = dialog.phone.expect("INFO")
    dialog.reply(status, m=m)
    return m["Content-Type"], m.body


def send_info(dialog, body, ctype=RELAY):
    dialog.phone.send(dialog.text("INFO", body).replace("application/sdp", ctype))
    dialog.expect(200)


def test_events_become_info(office):
    with talk(office, callee_way="info") as (_, there, a, b):
        a.stop()
        for digit, ms in (("4", 100), ("#", 240)):
            a.send_event(digit, ms=ms)
            assert take_info(there) == (RELAY, f"Signal={digit}\r\nDuration={ms}\r\n")
        assert {p.pt for p in b.received} == {0}


def test_info_goes_on_as_info_one_after_the_other(office):
    with talk(office, "info", "info") as (here, there, _, __):
        for digit in "90D":
            send_info(here, f"Signal={digit}\r\nDuration=2000\r\n")
        m = there.phone.expect("INFO")
        there.phone.expect_none(0.2)                       # the next one waits for the answer
        assert m.body == "Signal=9\r\nDuration=2000\r\n"
        there.reply(200, m=m)
        assert take_info(there)[1] == "Signal=0\r\nDuration=2000\r\n"
        assert take_info(there)[1] == "Signal=D\r\nDuration=2000\r\n"


def test_info_in_the_body_that_the_phone_takes(office):
    with talk(office, "info", "info") as (here, there, _, __):
        send_info(here, "*", PLAIN)
        assert take_info(there, 415) == (RELAY, "Signal=*\r\nDuration=100\r\n")
        assert take_info(there) == (PLAIN, "*")
        send_info(here, "11", PLAIN)
        assert take_info(there) == (PLAIN, "#")


def test_info_becomes_an_event_of_its_length(office):
    with talk(office, "info") as (here, _, __, b):
        send_info(here, "Signal=7\r\nDuration=320\r\n")
        b.wait(lambda: sum(p.pt == 101 and p.event()[1] for p in b.received) >= 3)
        assert {p.event()[0] for p in b.received if p.pt == 101} == {7}
        assert max(p.event()[2] for p in b.received if p.pt == 101) == 320 * 8


@pytest.mark.parametrize("callee_way", ["auto", "info"])
def test_tones_become_what_the_other_side_takes_and_are_not_heard_there(office, callee_way):
    with talk(office, "inband", callee_way) as (_, there, a, b):
        for at in range(0, 160 * 8, 160):
            with a.lock:
                a.payload = dtmf("5", at)
            before = a.sent
            a.wait(lambda: a.sent > before)
        with a.lock:
            a.payload = tone(0)
        if callee_way == "info":
            ctype, body = take_info(there)
            assert ctype == RELAY and body.startswith("Signal=5\r\n")
        else:
            b.wait(lambda: sum(p.pt == 101 and p.event()[1] for p in b.received) >= 3)
            assert {p.event()[0] for p in b.received if p.pt == 101} == {5}
        sounds = b"".join(audioop.ulaw2lin(p.payload, 2) for p in b.received if p.pt == 0)
        loud = [i for i in range(0, len(sounds) - 320, 320) if audioop.rms(sounds[i:i + 320], 2) > 3000]
        assert not [i for i in loud if i > len(sounds) // 2], "the tone is heard"


def test_a_way_that_was_not_chosen_is_the_same_digit_again(office):
    """A phone that is to send events, and sends INFO as well: its digits count once."""
    with talk(office, "rfc4733") as (here, _, a, b):
        send_info(here, "Signal=3\r\nDuration=100\r\n")
        a.stop()
        a.send_event("3")
        a.start()
        b.wait(lambda: sum(p.pt == 101 and p.event()[1] for p in b.received) >= 3)
        b.wait_received(10)
        assert len({p.ts for p in b.received if p.pt == 101}) == 1
