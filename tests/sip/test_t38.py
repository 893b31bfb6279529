"""Fax as T.38 in mid-call (RFC 3362, ITU-T T.38 Annex D): offered to the other side, and its packets pass as they are."""
import itertools
import re
import select
import socket

import pytest

from office import SLOW, wait_until
from rtp import audioop, tone
from sip import Phone, media_of, sdp
from test_media import PCMU, talk

OFFER = ["T38FaxVersion:0", "T38MaxBitRate:14400", "T38FaxRateManagement:transferredTCF", "T38FaxMaxBuffer:260", "T38FaxMaxDatagram:316",
         "T38FaxUdpEC:t38UDPRedundancy"]
ANSWER = ["T38FaxVersion:0", "T38MaxBitRate:9600", "T38FaxRateManagement:transferredTCF", "T38FaxUdpEC:t38UDPRedundancy", "T38FaxFillBitRemoval"]


class Fax:
    """Where T.38 comes to."""

    def __init__(self, addr):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((addr, 0))
        self.socket.settimeout(5 * SLOW)
        self.addr, self.port = addr, self.socket.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self):
        return self.socket.recv(2048)


def image(fax, attrs, version=2, before=""):
    return (f"v=0\r\no=- 1 {version} IN IP4 {fax.addr}\r\ns=-\r\nc=IN IP4 {fax.addr}\r\nt=0 0\r\n{before}m=image {fax.port} udptl t38\r\n"
            + "".join(f"a={a}\r\n" for a in attrs))


def of_image(body):
    """Address and port, and the attributes."""
    found = re.search(r"^m=image (\d+) udptl t38\r$((?s:.*))", body, re.M)
    assert found, body
    return (re.search(r"c=IN IP4 (\S+)", body).group(1), int(found.group(1))), re.findall(r"^a=(T38.*?)\r$", found.group(2), re.M)


def udptl(seq, payload, *before):
    """A packet with those before it repeated (T.38 §9.1)."""
    return (seq.to_bytes(2, "big") + bytes([len(payload)]) + payload + bytes([0, len(before)])
            + b"".join(bytes([len(b)]) + b for b in before))


def until_it_passes(near, to, far):
    """The media thread hears of T.38 a moment later than who is told by the 200; what it didn't take, a fax machine sends again."""
    def passes():
        near.socket.sendto(udptl(0xFFFF, b"first"), to)
        return select.select([far.socket], [], [], 0.1)[0]
    wait_until(passes)
    while select.select([far.socket], [], [], 0.2)[0]:
        assert far.receive() == udptl(0xFFFF, b"first")


def switch(here, there, a, b, before=""):
    """here offers T.38, there takes it; returns where each sends to."""
    here.dialog.send("INVITE", image(a, OFFER, before=before))
    invite = there.phone.expect("INVITE")
    to_b, offered = of_image(invite.body)
    assert offered == OFFER and "m=audio" not in invite.body
    there.dialog.reply(200, m=invite, body=image(b, ANSWER))
    there.phone.expect("ACK")
    ok = here.dialog.expect(200)
    here.dialog.ack(ok)
    to_a, answered = of_image(ok.body)
    assert answered == ANSWER
    return to_a, to_b, ok


@pytest.mark.parametrize("by_caller", [True, False])
def test_fax_goes_on_as_t38_and_back(office, by_caller):
    with talk(office) as sides, Fax(sides[0].phone.addr) as a, Fax(sides[1].phone.addr) as b:
        here, there = sides if by_caller else sides[::-1]
        here.rtp.start()
        there.rtp.wait_received(5)
        here.rtp.stop()
        near, far = (a, b) if by_caller else (b, a)
        to_near, to_far, _ = switch(here, there, near, far)
        until_it_passes(near, to_near, far)
        until_it_passes(far, to_far, near)
        for seq in (0, 1, 2, 0x8000, 0x8001, 0xC8C8):                        # some look like RTP, one like RTCP
            packet = udptl(seq, b"\x06" * 20, b"\x01\x02")
            near.socket.sendto(packet, to_near)
            assert far.receive() == packet
            packet = udptl(seq, bytes(range(100)))
            far.socket.sendto(packet, to_far)
            assert near.receive() == packet
        near.socket.sendto(bytes.fromhex("80001234000000a000000001") + b"\xff" * 160, to_near)  # late RTP is no UDPTL
        near.socket.sendto(b"\x00\x09\x7f\x00", to_near)
        near.socket.sendto(udptl(7, b"end"), to_near)
        assert far.receive() == udptl(7, b"end")
        # The fax is over: audio again, for both.
        here.dialog.send("INVITE", sdp(here.phone.addr, here.rtp.port, version=3))
        ok = here.dialog.expect(200)
        here.dialog.ack(ok)
        assert "m=audio" in ok.body and "m=image" not in ok.body
        invite = there.phone.expect("INVITE")
        assert "m=audio" in invite.body and "m=image" not in invite.body
        there.dialog.reply(200, m=invite, body=sdp(there.phone.addr, there.rtp.port, version=3))
        there.phone.expect("ACK")
        here.rtp.payload = b"\x29" * 160
        here.rtp.start()
        there.rtp.wait(lambda: there.rtp.received[-1].payload == here.rtp.payload)


def test_t38_beside_audio_that_is_off(office):
    """The image has a section of its own: the sections keep their places (RFC 3264 §8)."""
    with talk(office) as (here, there), Fax(here.phone.addr) as a, Fax(there.phone.addr) as b:
        to_a, _, ok = switch(here, there, a, b, before="m=audio 0 RTP/AVP 0\r\n")
        assert re.findall(r"m=(\w+) (\d+)", ok.body)[0] == ("audio", "0")
        until_it_passes(a, to_a, b)


@pytest.mark.parametrize("by_caller", [True, False])
def test_t38_is_not_for_who_must_have_srtp(office, by_caller):
    """UDPTL is sent in the clear: where an extension's media have to be secret the fax stays sound."""
    number = "1002"
    office.change("UPDATE pbx.extension SET srtp = 'require' WHERE number = %s", number)
    try:
        with Phone(office, "1001") as caller, Phone(office, number) as callee, Fax(caller.addr) as fax:
            callee.register()
            here = caller.invite("91002", sdp(caller.addr, fax.port))
            there = callee.answer_invite()
            secure = re.sub("RTP/AVP", "UDP/TLS/RTP/SAVP", sdp(callee.addr, fax.port))
            there.answer(secure + "a=setup:active\r\na=fingerprint:sha-256 " + ":".join(["5A"] * 32) + "\r\n")
            here.ack(here.expect(200))
            one = here if by_caller else there
            one.send("INVITE", image(fax, OFFER))
            one.ack(one.expect(488))
            here.send("BYE")
            there.take_bye()
            here.expect(200)
            callee.unregister()
    finally:
        office.change("UPDATE pbx.extension SET srtp = DEFAULT WHERE number = %s", number)


def test_t38_refused_by_one_in_g711_gets_a_gateway(office):
    """He stays sound, and hears and is heard: what it is worth for a page is test_t38.c's."""
    with talk(office) as (here, there), Fax(here.phone.addr) as a:
        here.dialog.send("INVITE", image(a, OFFER))
        there.dialog.reply(488, m=there.phone.expect("INVITE"))
        there.phone.expect("ACK")
        ok = here.dialog.expect(200)
        here.dialog.ack(ok)
        to_a, attrs = of_image(ok.body)
        assert "T38FaxUdpEC:t38UDPRedundancy" in attrs
        there.rtp.start()
        seq = itertools.count()

        def is_heard():
            a.socket.sendto(udptl(next(seq), b"\x02"), to_a)                 # CNG
            return any(audioop.rms(audioop.ulaw2lin(p.payload, 2), 2) > 1000 for p in there.rtp.received)
        wait_until(is_heard, every=0.1)
        # Audio again: the partner has never been anything else.
        here.dialog.send("INVITE", sdp(here.phone.addr, here.rtp.port, version=3))
        here.dialog.ack(here.dialog.expect(200))
        here.rtp.payload = b"\x29" * 160
        here.rtp.start()
        there.rtp.wait(lambda: there.rtp.received[-1].payload == here.rtp.payload)


G722 = [(9, "G722/8000")]


@pytest.mark.parametrize("status,codecs", [(488, G722), (200, PCMU)])
def test_t38_refused_leaves_the_call_as_it_is(office, status, codecs):
    with talk(office, codecs, codecs, pts=(codecs[0][0],) * 2) as (here, there), Fax(here.phone.addr) as a:
        here.dialog.send("INVITE", image(a, OFFER))
        invite = there.phone.expect("INVITE")
        if status == 488:
            there.dialog.reply(488, m=invite)
            there.phone.expect("ACK")
        else:                                                                # taken, but not the image
            there.dialog.reply(200, m=invite, body=image(a, ()).replace(f"m=image {a.port}", "m=image 0"))
            there.phone.expect("ACK")
        here.dialog.ack(here.dialog.expect(488))
        if status == 200:
            again = there.phone.expect("INVITE")
            assert "m=audio" in again.body
            there.dialog.reply(200, m=again, body=sdp(there.phone.addr, there.rtp.port, codecs, version=3))
            there.phone.expect("ACK")
        here.rtp.start()
        there.rtp.start()
        there.rtp.wait_received(5)
        here.rtp.wait_received(5)


def begin_as_fax(office, caller, callee, a, rtp):
    """1001 calls 1002 with nothing but a fax, who answers with sound; he is asked for T.38 then. Both sides, where the caller's goes to, and that INVITE."""
    callee.register()
    here = caller.invite("91002", image(a, OFFER, version=1))
    there = callee.answer_invite()
    assert re.findall(r"a=rtpmap:\d+ (\S+)", there.invite.body) == ["PCMA/8000", "PCMU/8000", "telephone-event/8000"]
    there.answer(sdp(callee.addr, rtp.port, PCMU))
    ok = here.expect(200)
    here.ack(ok)
    to_a, attrs = of_image(ok.body)
    assert "T38FaxUdpEC:t38UDPRedundancy" in attrs and "m=audio" not in ok.body
    again = callee.expect("INVITE")
    assert of_image(again.body)[1] == attrs
    return here, there, to_a, again


def end(here, there):
    here.send("BYE")
    there.take_bye()
    here.expect(200)
    there.phone.unregister()


def test_call_that_begins_as_t38_gets_a_gateway(office):
    """Who is called has no T.38, not even in the codecs that he would rather have."""
    from rtp import Rtp
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Fax(caller.addr) as a, Rtp(callee.addr) as rtp:
        here, there, to_a, again = begin_as_fax(office, caller, callee, a, rtp)
        there.reply(488, m=again)
        callee.expect("ACK")
        rtp.start(media_of(there.invite.body))
        seq = itertools.count()

        def is_heard():
            a.socket.sendto(udptl(next(seq), b"\x02"), to_a)                 # CNG
            return any(audioop.rms(audioop.ulaw2lin(p.payload, 2), 2) > 1000 for p in rtp.received)
        wait_until(is_heard, every=0.1)
        rtp.payload = tone(2100, 160, 8000)                                  # CED, of which the gateway tells by its own packets
        wait_until(lambda: select.select([a.socket], [], [], 0.1)[0])
        # He may go on to talk.
        here.send("INVITE", sdp(caller.addr, rtp.port, PCMU, version=3))
        ok = here.expect(200)
        here.ack(ok)
        assert "m=audio" in ok.body
        end(here, there)


def test_call_that_begins_as_t38_is_relayed_to_who_has_it(office):
    from rtp import Rtp
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Fax(caller.addr) as a, Fax(callee.addr) as b, Rtp(callee.addr) as rtp:
        here, there, to_a, again = begin_as_fax(office, caller, callee, a, rtp)
        to_b = of_image(again.body)[0]
        # The gateway has been at work meanwhile, and its packets are numbered.
        rtp.payload = tone(2100, 160, 8000)
        rtp.start(media_of(there.invite.body))
        wait_until(lambda: a.socket.sendto(udptl(0, b"\x00"), to_a) and select.select([a.socket], [], [], 0.1)[0])
        rtp.stop()
        there.reply(200, m=again, body=image(b, ANSWER))
        callee.expect("ACK")
        last = 0
        while select.select([a.socket], [], [], 0.5)[0]:
            last = int.from_bytes(a.receive()[:2], "big")

        def passes():
            a.socket.sendto(udptl(5, b"here"), to_a)
            return select.select([b.socket], [], [], 0.1)[0]
        wait_until(passes)
        assert b.receive() == udptl(5, b"here")
        for n, payload in enumerate((b"one", b"two")):
            b.socket.sendto(udptl(n, payload), to_b)
            wait_until(lambda: select.select([a.socket], [], [], 0.1)[0])
            assert a.receive() == udptl(last + 1 + n, payload)              # they go on with the gateway's numbers
        end(here, there)


def test_call_that_begins_as_t38_needs_somebody_to_talk_to(office):
    """Steps that only speak have nothing for a fax."""
    with Phone(office, "1001") as caller, Fax(caller.addr) as a:
        here = caller.invite("600", image(a, OFFER, version=1))
        here.ack(here.expect(488))


def test_t38_beside_sound_in_an_invite_comes_later(office):
    """One of the two sections can be had (RFC 3264 §6): the sound; the fax is offered anew when there is one."""
    from rtp import Rtp
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Fax(caller.addr) as a, Fax(callee.addr) as b, \
            Rtp(caller.addr) as near, Rtp(callee.addr) as far:
        callee.register()
        both = sdp(caller.addr, near.port, PCMU) + image(a, OFFER).partition("t=0 0\r\n")[2]
        here = caller.invite("91002", both)
        there = callee.answer_invite()
        assert "m=image" not in there.invite.body
        there.answer(sdp(callee.addr, far.port, PCMU))
        ok = here.expect(200)
        here.ack(ok)
        assert re.findall(r"m=(\w+) (\d+)", ok.body)[1] == ("image", "0") and int(re.search(r"m=audio (\d+)", ok.body)[1])
        here.send("INVITE", image(a, OFFER, before="m=audio 0 RTP/AVP 0\r\n"))
        again = callee.expect("INVITE")
        there.reply(200, m=again, body=image(b, ANSWER))
        callee.expect("ACK")
        ok = here.expect(200)
        here.ack(ok)
        until_it_passes(a, of_image(ok.body)[0], b)
        end(here, there)


def test_hanging_up_while_the_other_side_is_asked(office):
    with talk(office) as (here, there), Fax(here.phone.addr) as a:
        here.dialog.send("INVITE", image(a, OFFER))
        there.phone.expect("INVITE")
        there.dialog.send("BYE")
        there.dialog.expect(200)
        here.dialog.ack(here.dialog.expect(488))
        here.dialog.take_bye()
        here.is_over = True


def test_t38_with_nobody_to_ask_is_refused(office):
    from rtp import Rtp
    from sip import Phone, media_of
    with Phone(office, "1001") as caller, Rtp(caller.addr) as rtp, Fax(caller.addr) as a:
        here = caller.invite("600", sdp(caller.addr, rtp.port, PCMU))
        ok = here.expect(200)
        here.ack(ok)
        here.send("INVITE", image(a, OFFER))
        here.ack(here.expect(488))
        rtp.start(media_of(ok.body))                                         # the echo goes on
        rtp.wait_received(5)
        here.bye()
