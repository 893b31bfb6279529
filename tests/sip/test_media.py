"""What is heard: RTP through calls made by SIP (RFC 3264, 3550, 4733, 7362)."""
import contextlib
import re
import struct
import time

import pytest

from office import own_address, wait_until
from rtp import Rtp, audioop, tone
from sip import Phone, media_of, sdp

PCMU = [(0, "PCMU/8000"), (101, "telephone-event/8000")]
# The first to hear music waits for all of its class to be decoded: seconds of work, on a machine that has other things to do, too.
MUSIC_S = 25
PCMA = [(8, "PCMA/8000"), (101, "telephone-event/8000")]


class Side:
    """One end of a call: phone, dialog and RTP."""

    def __init__(self, phone, rtp):
        self.phone, self.rtp, self.dialog, self.peer = phone, rtp, None, None

    def hold(self, direction="sendonly", version=2, codecs=PCMU):
        self.dialog.send("INVITE", sdp(self.phone.addr, self.rtp.port, codecs, direction, version))
        ok = self.dialog.expect(200)
        self.dialog.ack(ok)
        return ok


@contextlib.contextmanager
def talk(office, one=PCMU, other=PCMU, family=4, number="91002", pts=(0, 0)):
    """A call, answered, with both RTP peers; nobody sends yet. Hung up at the end unless that has been done."""
    with Phone(office, "1001", family=family) as caller, Phone(office, "1002", family=family) as callee, \
            Rtp(caller.addr, pt=pts[0]) as a, Rtp(callee.addr, pt=pts[1]) as b:
        assert callee.register().status == 200
        here, there = Side(caller, a), Side(callee, b)
        here.dialog = caller.invite(number, sdp(caller.addr, a.port, one))
        there.dialog = callee.answer_invite()
        there.dialog.answer(sdp(callee.addr, b.port, other))
        ok = here.dialog.expect(200)
        here.dialog.ack(ok)
        here.ok, here.peer, there.peer = ok, media_of(ok.body), media_of(there.dialog.invite.body)
        a.send_to(here.peer)
        b.send_to(there.peer)
        here.is_over = False
        yield here, there
        if not here.is_over:
            here.dialog.send("BYE")
            there.dialog.take_bye()
            here.dialog.expect(200)
        callee.unregister()


def direction(body):
    for line in body.splitlines():
        if line in ("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"):
            return line[2:]
    return "sendrecv"


@pytest.mark.parametrize("family", [4, 6])
def test_audio_is_relayed_as_it_is(office, cdrs, family):
    with talk(office, family=family) as (here, there):
        here.rtp.payload = bytes(range(160))
        there.rtp.payload = bytes(reversed(range(160)))
        here.rtp.start()
        there.rtp.start()
        at_callee = there.rtp.wait_received(50)
        at_caller = here.rtp.wait_received(50)
        assert {p.payload for p in at_callee} == {here.rtp.payload}
        assert {p.payload for p in at_caller} == {there.rtp.payload}
        for packets, sender in ((at_callee, here.rtp), (at_caller, there.rtp)):
            assert len({p.ssrc for p in packets}) == 1
            steps = {(b.seq - a.seq) & 0xFFFF for a, b in zip(packets, packets[1:])}
            assert steps == {1}
            assert {(b.ts - a.ts) & 0xFFFFFFFF for a, b in zip(packets, packets[1:])} == {160}
            # symmetric: it comes from where we send to (RFC 4961)
            assert {p.source[:2] for p in packets} == {sender_peer for sender_peer in [there.peer if sender is here.rtp else here.peer]}
    cdr = cdrs.next()
    assert cdr.legs[0].codec == cdr.legs[1].codec == "PCMU"
    assert cdr.legs[0].packets_received >= 50 and cdr.legs[1].packets_sent >= 50
    assert cdr.legs[0].lost == 0


def test_codecs_that_differ_are_transcoded(office):
    with talk(office, PCMU, PCMA, pts=(0, 8)) as (here, there):
        there.rtp.payload = tone(500, encode=audioop.lin2alaw)               # 80 samples a wave: joins itself
        here.rtp.payload = tone(500)
        here.rtp.start()
        there.rtp.start()
        at_callee = there.rtp.wait_received(30, pt=8)
        at_caller = here.rtp.wait_received(30, pt=0)

        def level(packets, decode):
            return audioop.rms(b"".join(decode(p.payload, 2) for p in packets[10:30]), 2)
        want = audioop.rms(audioop.ulaw2lin(here.rtp.payload, 2), 2)
        assert level(at_callee, audioop.alaw2lin) == pytest.approx(want, rel=0.1)
        assert level(at_caller, audioop.ulaw2lin) == pytest.approx(want, rel=0.1)


def test_early_media_flows_before_the_answer(office):
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Rtp(caller.addr) as a, Rtp(callee.addr) as b:
        callee.register()
        here = caller.invite("91002", sdp(caller.addr, a.port, PCMU))
        there = callee.answer_invite()
        there.reply(183, "Session Progress", body=sdp(callee.addr, b.port, PCMU))
        progress = here.expect(183)
        b.payload = b"\x2a" * 160
        b.start(media_of(there.invite.body))
        a.start(media_of(progress.body))
        assert {p.payload for p in a.wait_received(10)} == {b.payload}
        there.answer(sdp(callee.addr, b.port, PCMU))
        ok = here.expect(200)
        here.ack(ok)
        assert media_of(ok.body) == media_of(progress.body)                  # RFC 6337 §2.2.1: the answer is the same
        a.wait_received(10)
        here.send("BYE")
        there.take_bye()
        here.expect(200)
        callee.unregister()


@pytest.mark.parametrize("way,said", [("sendonly", "recvonly"), ("inactive", "inactive")])
@pytest.mark.parametrize("by_caller", [True, False])
def test_hold_plays_music_to_the_other_side(office, by_caller, way, said):
    """RFC 3264 §8.4."""
    with talk(office) as (here, there):
        holder, held = (here, there) if by_caller else (there, here)
        holder.rtp.start()
        held.rtp.start()
        holder.rtp.payload = b"\x33" * 160
        held.rtp.wait_received(5)
        ok = holder.hold(way)
        assert direction(ok.body) == said
        holder.rtp.stop()
        music = held.rtp.wait_received(60, seconds=MUSIC_S)
        assert len({p.payload for p in music}) > 30                          # it sounds
        assert audioop.rms(b"".join(audioop.ulaw2lin(p.payload, 2) for p in music), 2) > 50
        assert len({p.ssrc for p in music} | {held.rtp.received[0].ssrc}) == 1
        # Back: they hear each other again.
        ok = holder.hold("sendrecv", version=3)
        assert direction(ok.body) == "sendrecv"
        holder.rtp.start()
        held.rtp.wait(lambda: held.rtp.received[-1].payload == holder.rtp.payload)
        before = len(holder.rtp.received)
        holder.rtp.wait(lambda: len(holder.rtp.received) > before + 10)


def test_hold_by_address_zero(office):
    """RFC 3264 §8.4: the older way, c=0.0.0.0."""
    with talk(office) as (here, there):
        there.rtp.start()
        body = sdp(here.phone.addr, here.rtp.port, PCMU, version=2).replace(f"c=IN IP4 {here.phone.addr}", "c=IN IP4 0.0.0.0")
        here.dialog.send("INVITE", body)
        here.dialog.ack(here.dialog.expect(200))
        assert len({p.payload for p in there.rtp.wait_received(60, seconds=MUSIC_S)}) > 30


def test_both_hold_and_both_come_back(office):
    with talk(office) as (here, there):
        here.hold()
        there.hold()
        here.hold("sendrecv", version=3)
        there.hold("sendrecv", version=3)
        here.rtp.start()
        there.rtp.start()
        here.rtp.wait_received(10)
        there.rtp.wait_received(10)


# ---- RFC 4733 ----

def test_telephone_events_are_passed(office):
    with talk(office, PCMU, [(0, "PCMU/8000"), (97, "telephone-event/8000")]) as (here, there):
        here.rtp.start()
        there.rtp.start()
        there.rtp.wait_received(5)
        here.rtp.stop()
        for digit in "19*#":
            here.rtp.send_event(digit)
        there.rtp.wait(lambda: sum(p.pt == 97 and p.event()[:2] == (11, True) for p in there.rtp.received) >= 3)
        events = [p for p in there.rtp.received if p.pt == 97]
        order = list(dict.fromkeys(p.event()[0] for p in events))
        assert order == [1, 9, 10, 11]
        for number in order:
            mine = [p for p in events if p.event()[0] == number]
            assert len({p.ts for p in mine}) == 1                            # §2.1: one timestamp, that of its beginning
            assert mine[0].marker and not any(p.marker for p in mine[1:])
            assert [p.event()[1] for p in mine][-1]
            assert sum(p.event()[1] for p in mine) >= 3                      # §2.5.1.4: the end thrice
            assert mine[-1].event()[2] >= 640
        assert len({p.ssrc for p in there.rtp.received}) == 1


def test_events_are_not_sent_to_who_did_not_ask(office):
    """§2.4.1: no telephone-event in the answer: then it is a sound, if anything."""
    with talk(office, PCMU, [(0, "PCMU/8000")]) as (here, there):
        here.rtp.start()
        there.rtp.wait_received(5)
        here.rtp.stop()
        here.rtp.send_event("5")
        here.rtp.start()
        there.rtp.wait_received(10)
        assert {p.pt for p in there.rtp.received} == {0}


def test_info_becomes_an_event(office):
    with talk(office) as (here, there):
        there.rtp.start()
        here.rtp.start()
        there.rtp.wait_received(5)
        text = here.dialog.text("INFO", "Signal=7\r\nDuration=120\r\n").replace("application/sdp", "application/dtmf-relay")
        here.phone.send(text)
        here.dialog.expect(200)
        there.rtp.wait(lambda: any(p.pt == 101 and p.event()[0] == 7 and p.event()[1] for p in there.rtp.received))


# ---- where media comes from ----

def test_media_from_behind_nat_is_latched(office, cdrs):
    """SDP says one address, packets come from another: they are answered there."""
    with talk(office) as (here, there), Rtp(own_address(), 50000) as outside:
        there.rtp.start()
        outside.start(here.peer)
        outside.wait_received(20)
        assert len(there.rtp.wait_received(20)) >= 20
        before = len(here.rtp.received)
        outside.wait_received(20)
        assert len(here.rtp.received) == before                              # and not at the signalled one any more
    cdr = cdrs.next()
    assert cdr.legs[0].media_address.startswith(outside.addr)


def test_latched_media_is_locked(office):
    """Who comes later, from elsewhere, is not heard and gets nothing."""
    with talk(office) as (here, there), Rtp(own_address(), 50000) as thief:
        here.rtp.payload, thief.payload = b"\x11" * 160, b"\x66" * 160
        here.rtp.start()
        there.rtp.start()
        there.rtp.wait_received(20)
        thief.start(here.peer)
        more = there.rtp.wait_received(60)
        assert {p.payload for p in more} == {here.rtp.payload}
        assert thief.received == []


def test_new_address_in_signalling_is_learned(office):
    with talk(office) as (here, there), Rtp(here.phone.addr, 42000) as moved:
        here.rtp.start()
        there.rtp.start()
        there.rtp.wait_received(10)
        here.rtp.stop()
        here.dialog.send("INVITE", sdp(here.phone.addr, moved.port, PCMU, version=2))
        here.dialog.ack(here.dialog.expect(200))
        moved.payload = b"\x42" * 160
        moved.start(here.peer)
        moved.wait_received(10)
        there.rtp.wait(lambda: there.rtp.received[-1].payload == moved.payload)


@pytest.mark.office(media={"timeout_s": 2})
def test_dead_stream_ends_the_call(own_office):
    with talk(own_office) as (here, there):
        here.rtp.start()
        there.rtp.start()
        here.rtp.wait_received(20)
        here.rtp.stop()                                                      # its battery is empty
        bye = there.dialog.expect("BYE", timeout=10)
        there.dialog.reply(200, "OK", bye)
        bye = here.dialog.expect("BYE")
        here.dialog.reply(200, "OK", bye)
        here.is_over = True
    rows = own_office.wait_sql("SELECT cause, hangup_by FROM pbx.cdr")
    assert rows[0][1] == "system"


@pytest.mark.office(media={"timeout_s": 1})
def test_held_stream_may_be_silent(own_office):
    with talk(own_office) as (here, there):
        here.rtp.start()
        there.rtp.start()
        there.rtp.wait_received(10)
        here.hold()
        here.rtp.stop()
        there.rtp.wait_received(120, seconds=MUSIC_S)                        # 2.4 s of music, and nobody hung up
        assert here.phone.receive(0.01) is None


@pytest.mark.office(media={"timeout_s": 1})
def test_stream_that_is_off_is_silent_both_ways(own_office):
    """RFC 3264 §8.2: nothing goes to a stream with port 0, and nobody hangs up because nothing comes from it."""
    with talk(own_office) as (here, there):
        here.rtp.start()
        there.rtp.start()
        here.rtp.wait_received(10)
        here.dialog.send("INVITE", re.sub("m=audio [0-9]+", "m=audio 0", sdp(here.phone.addr, here.rtp.port, version=2)))
        ok = here.dialog.expect(200)
        here.dialog.ack(ok)
        assert "m=audio 0 " in ok.body
        here.rtp.stop()
        sent = there.rtp.sent
        wait_until(lambda: there.rtp.sent >= sent + 10)
        received = len(here.rtp.received)
        wait_until(lambda: there.rtp.sent >= sent + 110)                     # 2 s
        assert here.phone.receive(0.01) is None
        assert len(here.rtp.received) == received


def test_rtcp_reports_come(office):
    """RFC 3550 §6: sender reports of what was sent, with a report block about what was received."""
    with talk(office) as (here, there):
        here.rtp.start()
        there.rtp.start()
        here.rtp.wait(lambda: here.rtp.reports, seconds=12)
        report = here.rtp.reports[0]
        first, kind, length, ssrc = struct.unpack("!BBHI", report[:8])
        assert (first >> 6, kind) == (2, 200)
        assert ssrc == here.rtp.received[0].ssrc
        assert first & 31 == 1
        about, = struct.unpack("!I", report[28:32])
        assert about == here.rtp.ssrc
        assert b"@" in report or report[4 * (length + 1) + 1] == 202         # with a CNAME


def test_echo_and_music(office):
    with Phone(office, "1001") as caller, Rtp(caller.addr) as a:
        call = caller.invite("600", sdp(caller.addr, a.port, PCMU))
        ok = call.expect(200)
        call.ack(ok)
        a.payload = b"\x2c" * 160
        a.start(media_of(ok.body))
        a.wait(lambda: sum(p.payload == a.payload for p in a.received) > 10)
        call.bye()
    with Phone(office, "1001") as caller, Rtp(caller.addr) as a:
        call = caller.invite("700", sdp(caller.addr, a.port, PCMU))
        ok = call.expect(200)
        call.ack(ok)
        assert len({p.payload for p in a.wait_received(60)}) > 30
        call.bye()


def recordings(office):
    return set((office.dir / "spool/recording").glob("*.wav"))


@pytest.mark.parametrize("why", ["unavailable", "busy", "no_answer"])
def test_who_does_not_take_the_call_has_a_mailbox(office, cdrs, why):
    """The demo office's plan: the caller is led to voicemail, hears it and leaves a message; the lamp of the other goes on."""
    office.sql("DELETE FROM pbx.voicemail WHERE number = '1008'")
    office.change("UPDATE pbx.extension SET ring_s = 1 WHERE number = '1008'")
    try:
        with Phone(office, "1001") as caller, Phone(office, "1008") as callee, Rtp(caller.addr) as a:
            if why != "unavailable":
                assert callee.register().status == 200
            here = caller.invite("1008", sdp(caller.addr, a.port, PCMU))
            if why != "unavailable":
                there = callee.answer_invite()
                there.ring()
            if why == "busy":
                there.reply(486, "Busy Here")
                there.expect("ACK")
            elif why == "no_answer":
                there.reply(200, "OK", there.expect("CANCEL"))
                there.reply(487)
                there.expect("ACK")
            ok = here.expect(200, skip=(100, 180))
            here.ack(ok)
            a.start(media_of(ok.body))
            spoken = a.wait_received(50)
            assert len({p.payload for p in spoken}) > 20                     # the greeting
            before = recordings(office)
            a.stop()
            a.send_event("#")                                                # enough of that
            a.start()
            wait_until(lambda: recordings(office) - before)                  # behind the beep it listens
            said = a.sent
            a.wait(lambda: a.sent > said + 100)                              # two seconds of message
            here.bye()
            office.wait_sql("SELECT count(*) = 1 FROM pbx.voicemail WHERE number = '1008' AND folder = 'new' AND duration_ms > 1000")
            if why != "unavailable":
                callee.unregister()
        assert cdrs.next().result == "answered"
    finally:
        office.sql("DELETE FROM pbx.voicemail WHERE number = '1008'")
        office.change("UPDATE pbx.extension SET ring_s = 20 WHERE number = '1008'")


def dtmf(digit, at=0, n=160):
    """A packet of an in-band digit (ITU-T Q.23), PCMU."""
    row, column = divmod("123A456B789C*0#D".index(digit), 4)
    low, high = (697, 770, 852, 941)[row], (1209, 1336, 1477, 1633)[column]
    mixed = audioop.add(audioop.ulaw2lin(tone(low, n, 8000, at), 2), audioop.ulaw2lin(tone(high, n, 8000, at), 2), 2)
    return audioop.lin2ulaw(mixed, 2)


@pytest.mark.parametrize("way", ["event", "info", "inband"])
def test_digits_lead_through_the_menu(office, way):
    """RFC 4733 events, INFO, and tones where the phone has neither; each interrupts the prompt."""
    codecs = PCMU if way == "event" else PCMU[:1]
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Rtp(caller.addr) as a, Rtp(callee.addr) as b:
        callee.register()
        here = caller.invite("400", sdp(caller.addr, a.port, codecs))
        ok = here.expect(200, skip=(100, 180))
        here.ack(ok)
        a.start(media_of(ok.body))
        a.wait_received(20)
        if way == "info":
            caller.send(here.text("INFO", "Signal=1\r\nDuration=160\r\n").replace("application/sdp", "application/dtmf-relay"))
            here.expect(200)
        else:
            a.stop()
        if way == "event":
            a.send_event("1")
        elif way == "inband":
            for at in range(0, 1280, 160):
                a.send(dtmf("1", at))
                time.sleep(0.02)                                             # the pace of sound
        a.start()
        there = callee.answer_invite()
        there.answer(sdp(callee.addr, b.port, PCMU))
        b.start(media_of(there.invite.body))
        a.payload = b"\x19" * 160
        b.wait(lambda: b.received and b.received[-1].payload == a.payload)
        here.bye()
        there.take_bye()
        callee.unregister()


def test_quality_is_on_record(office, cdrs):
    """Loss and jitter of what came, loss and delay as the other side reports them (RFC 3550 §6.4), in the record of the leg."""
    with talk(office) as (here, there):
        here.rtp.start()
        there.rtp.start()
        there.rtp.wait_received(20)
        with here.rtp.lock:
            here.rtp.seq = (here.rtp.seq + 5) & 0xFFFF                       # five that never were
            here.rtp.ts += 5 * 160
        there.rtp.wait_received(20)
        here.rtp.wait(lambda: here.rtp.reports, seconds=12)
        sender_ssrc, ntp_high, ntp_low = struct.unpack("!III", here.rtp.reports[0][4:16])
        last_sr = (ntp_high << 16 | ntp_low >> 16) & 0xFFFFFFFF
        block = struct.pack("!IIIIII", sender_ssrc, 30 << 24 | 7, 1000, 80, last_sr, 0)
        here.rtp.rtcp.sendto(struct.pack("!BBHI", 0x81, 201, 7, here.rtp.ssrc) + block, (here.peer[0], here.peer[1] + 1))
        there.rtp.wait_received(10)
    caller, callee = cdrs.next().legs
    assert (caller.lost, caller.remote_lost) == (5, 7)
    assert (callee.lost, callee.remote_lost) == (0, 0)
    assert 0 < caller.rtt_us < 5_000_000
    assert 0 <= caller.jitter_us <= caller.max_jitter_us < 1_000_000
