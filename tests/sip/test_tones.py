"""Tones that the server makes: those of the domain's country, or the trunk's (pbx.tone_plan)."""
import contextlib

import pytest

from rtp import Rtp, audioop
from sip import Phone, media_of, sdp

PCMU = [(0, "PCMU/8000"), (101, "telephone-event/8000")]


@contextlib.contextmanager
def route(office, *steps, tones="gb"):
    """810 runs these steps in a domain with the tones of a country."""
    values = ", ".join(f"('office', 'office', '810', {n}, '{app}', '{args}')" for n, (app, args) in enumerate(steps, 1))
    office.change(f"""BEGIN; UPDATE pbx.domain SET tones = '{tones}' WHERE domain = 'office';
        INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '810');
        INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES {values}; COMMIT""")
    try:
        yield
    finally:
        office.change("DELETE FROM pbx.route WHERE pattern = '810'; UPDATE pbx.domain SET tones = 'itu' WHERE domain = 'office'")


def loud(packets):
    """Which of these packets sound, as text."""
    return "".join("#" if audioop.rms(audioop.ulaw2lin(p.payload, 2), 2) > 500 else "." for p in packets)


def crossings(packets):
    """Hertz of what is heard in them, by its crossings of zero."""
    pcm = b"".join(audioop.ulaw2lin(p.payload, 2) for p in packets)
    return audioop.cross(pcm, 2) / (len(pcm) / 16000) / 2


def test_tones_are_heard_before_the_answer_and_are_the_countrys(office):
    with route(office, ("tones", '{"tone": "ringback"}')), Phone(office, "1001") as caller, Rtp(caller.addr) as a:
        here = caller.invite("810", sdp(caller.addr, a.port, PCMU))
        progress = here.expect(183)
        a.start(media_of(progress.body))
        heard = loud(a.wait_received(90))                                    # 400 on, 200 off, 400 on, 2000 off
        assert "#" * 20 + "." * 10 + "#" * 20 + "." * 30 in heard
        here.cancel()
        here.ack(here.expect(487, skip=(200,)))


@pytest.mark.parametrize("app,status,plan,hz,cadence", [
    ("busy", 486, "gb", 400, "." * 18 + "#" * 18), ("congestion", 503, "jp", 400, "#" * 25 + "." * 25), ("busy", 486, "tr", 450, "#" * 25 + "." * 25)])
def test_busy_is_heard_by_who_is_answered_and_told_to_who_is_not(office, app, status, plan, hz, cadence):
    with route(office, ("answer", "{}"), (app, '{"seconds": 2}'), tones=plan), Phone(office, "1001") as caller, Rtp(caller.addr) as a:
        here = caller.invite("810", sdp(caller.addr, a.port, PCMU))
        ok = here.expect(200)
        here.ack(ok)
        a.start(media_of(ok.body))
        packets = a.wait_received(80)
        assert cadence in loud(packets)
        first = loud(packets).index("#" * 15)
        assert crossings(packets[first + 1:first + 14]) == pytest.approx(hz, rel=0.03)
        here.take_bye()
    with route(office, (app, "{}")), Phone(office, "1001") as caller:
        here = caller.invite("810")
        here.ack(here.expect(status, skip=(100, 180)))


def test_ring_with_a_tone_of_ours(office):
    with route(office, ("ring", '{"tone": true}'), ("wait", '{"seconds": 3}'), tones="de"), Phone(office, "1001") as caller, Rtp(caller.addr) as a:
        here = caller.invite("810", sdp(caller.addr, a.port, PCMU))
        a.start(media_of(here.expect(183).body))
        packets = a.wait_received(45)
        assert "#" * 40 in loud(packets)
        assert crossings(packets[5:40]) == pytest.approx(425, rel=0.03)
        here.ack(here.expect(480))


def test_a_trunk_has_the_tones_of_its_country(office):
    with route(office, ("answer", "{}"), ("tones", '{"tone": "dial", "seconds": 2}'), tones="de"), \
            Phone(office, "trunk") as caller, Rtp(caller.addr) as a:
        office.change("INSERT INTO pbx.trunk (domain, name, context, tones) VALUES ('office', 'abroad', 'office', 'fr');"
                      "INSERT INTO pbx.trunk_address (domain, name, address) VALUES ('office', 'abroad', %s)", caller.addr)
        try:
            here = caller.invite("810", sdp(caller.addr, a.port, PCMU), auth=False)
            ok = here.expect(200)
            here.ack(ok)
            a.start(media_of(ok.body))
            packets = a.wait_received(30)
            assert loud(packets[2:]) == "#" * (len(packets) - 2)             # without end
            assert crossings(packets[2:28]) == pytest.approx(440, rel=0.02)
            here.bye()
        finally:
            office.change("DELETE FROM pbx.trunk WHERE name = 'abroad'")


def test_refusal_is_heard_where_the_row_says_so(office):
    office.change("UPDATE pbx.extension SET refusal_tone_s = 1 WHERE domain = 'office' AND number = '1001'")
    try:
        with route(office, ("dial", '{"number": "1003"}')), Phone(office, "1001") as caller, Rtp(caller.addr) as a:
            here = caller.invite("810", sdp(caller.addr, a.port, PCMU))
            a.start(media_of(here.expect(183).body))
            here.ack(here.expect(480))                                       # nobody is registered
            heard = a.received
            assert "#" * 18 + "." * 15 in loud(heard)                            # 400 on, 350 off
            first = loud(heard).index("#" * 18)
            assert crossings(heard[first + 1:first + 14]) == pytest.approx(400, rel=0.03)
    finally:
        office.change("UPDATE pbx.extension SET refusal_tone_s = NULL WHERE domain = 'office' AND number = '1001'")
