"""What calls carry besides sound: video, text and the like, offered to the other side in its sender's words, and passed packet by packet
(RFC 3264 sections 5, 6, 8; RFC 3550 section 7; RFC 4585)."""
import contextlib
import re
import struct

import pytest

from office import wait_until
from rtp import Rtp
from sip import Phone, sdp
from test_prack import hang_up

FEEDBACK = ["a=rtcp-fb:96 nack pli", "a=rtcp-fb:* ccm fir"]
H264 = ["a=rtpmap:96 H264/90000", "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1"]
VP8 = ["a=rtpmap:97 VP8/90000"]
PCMU = ((0, "PCMU/8000"),)


def video(port, formats="96", lines=tuple(H264), proto="RTP/AVP", direction=None):
    return [f"m=video {port} {proto} {formats}", *lines, *([f"a={direction}"] if direction else [])]


def sections(body):
    """Type, port, profile and formats, and the lines, of each section."""
    return [(*found[:4], found[4].split("\r\n")[:-1])
            for found in re.findall(r"^m=(\w+) (\d+) (\S+) ([^\r]*)\r\n((?:(?!m=)[^\r]*\r\n)*)", body, re.M)]


def only(body, kind="video"):
    """The one section of a type: port and formats; and its lines."""
    (found,) = [s for s in sections(body) if s[0] == kind]
    return found


def address(body, kind="video"):
    return re.search(r"^c=IN IP[46] (\S+)", body, re.M).group(1), int(only(body, kind)[1])


class Side:
    def __init__(self, phone, port):
        self.phone, self.dialog, self.version = phone, None, 1
        self.sound, self.sight = Rtp(phone.addr, port), Rtp(phone.addr, port + 10, pt=96)

    def body(self, *extra, direction=None):
        self.version += 1
        return sdp(self.phone.addr, self.sound.port, PCMU, version=self.version, direction=direction, extra=[line for part in extra for line in part])

    def video(self, *args, **kwargs):
        return video(self.sight.port, *args, **kwargs)

    def offer(self, *extra, **kwargs):
        """Offers, and returns what is answered."""
        self.dialog.send("INVITE", self.body(*extra, **kwargs))
        return self.take_answer()

    def take_answer(self):
        ok = self.dialog.expect(200)
        self.dialog.ack(ok)
        return ok.body

    def take_offer(self, *extra, **kwargs):
        """Answers the offer that comes, and returns it."""
        invite = self.phone.expect("INVITE")
        self.dialog.reply(200, m=invite, body=self.body(*extra, **kwargs))
        self.phone.expect("ACK")
        return invite.body

    def close(self):
        self.sound.close()
        self.sight.close()


@contextlib.contextmanager
def two(office, number="1002"):
    with Phone(office, "1001") as caller, Phone(office, number) as callee:
        callee.register()
        a, b = Side(caller, 40000), Side(callee, 42000)
        try:
            yield a, b
        finally:
            a.close()
            b.close()
        callee.unregister()


def join(a, b, offered, answered):
    """a calls b; returns what b was offered and a answered."""
    a.dialog = a.phone.invite("91002", a.body(offered))
    b.dialog = b.phone.answer_invite()
    b.dialog.answer(b.body(answered))
    return b.dialog.invite.body, a.take_answer()


def end(a, b):
    hang_up(a.dialog, b.dialog)


def passes(here, to, there, pt=96):
    """Packets from here come there as they were: version, padding, extension, marker, payload type, numbers, time, source, payload."""
    header = struct.pack("!BBHII", 0x90, 0x80 | pt, 65535, 0xFFFFFF00, 0x11223344) + struct.pack("!HHI", 0xBEDE, 1, 0x10AA0000)
    for n, packet in enumerate((header + b"first picture", struct.pack("!BBHII", 0x80, pt, 0, 0xFFFFFF00, 0x11223344) + b"rest of it")):
        start = len(there.received)
        with there.lock:
            here.socket.sendto(packet, to)
            there.lock.wait_for(lambda: len(there.received) > start, 5)
        got = there.received[-1]
        assert len(there.received) == start + 1
        assert (got.marker, got.pt, got.seq, got.ts, got.ssrc) == (n == 0, pt, (65535 + n) & 0xFFFF, 0xFFFFFF00, 0x11223344)
        assert got.payload == packet[12:]
    return got.source


def until_it_passes(here, to, there):
    """The media thread hears of an answer a moment later than who is told by the 200."""
    start = len(there.received)
    for seq in range(100):
        here.socket.sendto(struct.pack("!BBHII", 0x80, 96, seq, 1, 2) + b"probe %d" % seq, to)
        with there.lock:
            if there.lock.wait_for(lambda: len(there.received) > start and there.received[-1].payload == b"probe %d" % seq, 0.1):  # noqa: B023
                return
    raise AssertionError("nothing comes")


def is_silent(here, to, there, seconds=0.3):
    start = len(there.received)
    for seq in range(5):
        here.socket.sendto(struct.pack("!BBHII", 0x80, 96, seq, 1, 2) + b"not for you", to)
    with there.lock:
        return not there.lock.wait_for(lambda: len(there.received) > start, seconds)


def test_words_and_packets_pass_both_ways(office):
    with two(office) as (a, b):
        offered = a.video("96 97", ["b=TIAS:512000", *H264, *VP8, *FEEDBACK, "a=label:11", "a=content:main", "a=extmap:3 urn:example:x"], "RTP/AVPF")
        invite, ok = join(a, b, offered, b.video("96", [*H264, *FEEDBACK[:1]], "RTP/AVPF"))
        kind, port, proto, formats, lines = only(invite)
        assert (proto, formats) == ("RTP/AVPF", "96 97") and int(port)
        assert lines == [*offered[1:], "a=sendrecv"]
        assert only(ok)[2:] == ("RTP/AVPF", "96", [*H264, *FEEDBACK[:1], "a=sendrecv"])
        to_a, to_b = address(ok), address(invite)
        assert to_a[0] == office.addr and to_a[1] != to_b[1]
        until_it_passes(a.sight, to_a, b.sight)
        until_it_passes(b.sight, to_b, a.sight)
        assert passes(a.sight, to_a, b.sight) == to_b
        assert passes(b.sight, to_b, a.sight) == to_a
        # A picture is asked for anew, by a report that names the source that was seen (RFC 4585 section 6.3.1; RFC 5104 section 4.3.1).
        for rtcp in (struct.pack("!BBHIBBHII", 0x80, 201, 1, 7, 0x81, 206, 2, 7, 0x11223344),
                     struct.pack("!BBHIBBHIIIBBH", 0x80, 201, 1, 7, 0x84, 206, 4, 7, 0, 0x11223344, 1, 0, 0)):
            b.sight.rtcp.sendto(rtcp, (to_b[0], to_b[1] + 1))
            a.sight.wait(lambda: rtcp in a.sight.reports)  # noqa: B023
        a.sound.start((office.addr, int(only(ok, "audio")[1])))
        b.sound.wait_received(5)                                             # and the sound as ever
        end(a, b)
    office.wait_log(r"media=video ended received=([3-9]|\d\d+) sent=([3-9]|\d\d+) lost=0")


def test_who_has_no_video_refuses_it_in_its_place(office):
    with two(office) as (a, b):
        invite, ok = join(a, b, ["m=text 40020 RTP/AVP 98", "a=rtpmap:98 t140/1000", "m=message 7000 TCP/MSRP *", *a.video()],
                          ["m=text 42020 RTP/AVP 98", "a=rtpmap:98 t140/1000", "m=video 0 RTP/AVP 96"])
        assert [s[0] for s in sections(invite)] == ["audio", "text", "video"]
        assert [(s[0], s[1] == "0") for s in sections(ok)] == [("audio", False), ("text", False), ("message", True), ("video", True)]
        b.phone.expect_none()                                                # and nobody asks again
        end(a, b)


@pytest.mark.parametrize("table,number", [("extension", "1001"), ("extension", "1002")])
def test_policy_keeps_calls_to_sound(office, table, number):
    office.change(f"UPDATE pbx.{table} SET video = false WHERE number = %s", number)
    try:
        with two(office) as (a, b):
            a.dialog = a.phone.invite("91002", a.body(a.video()))
            b.dialog = b.phone.answer_invite()
            assert "m=video" not in b.dialog.invite.body
            b.dialog.answer(b.body())
            assert only(a.take_answer())[1] == "0"
            assert only(b.offer(b.video()))[1] == "0"                        # nor later
            a.phone.expect_none()
            end(a, b)
    finally:
        office.change(f"UPDATE pbx.{table} SET video = DEFAULT WHERE number = %s", number)


def test_policy_of_a_trunk(office):
    with Phone(office, "1001") as caller, Phone(office, "gateway") as gateway, contextlib.ExitStack() as stack:
        office.change("INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'gw', 'lobby', %s);"
                      " INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_0X.');"
                      " INSERT INTO pbx.step VALUES ('office', 'office', '_0X.', 1, 'dial', '{\"number\": \"${number:1}\", \"trunk\": \"gw\"}')"
                      .replace("%s", f"'sip:{gateway.host}:{gateway.port}'"))
        stack.callback(office.change, "DELETE FROM pbx.route WHERE pattern = '_0X.'; DELETE FROM pbx.trunk WHERE name = 'gw'")
        for may in (True, False):
            office.change(f"UPDATE pbx.trunk SET video = {may} WHERE name = 'gw'")
            here = caller.invite("0123", sdp(caller.addr, 40000, PCMU, extra=video(40010)))
            there = gateway.answer_invite()
            assert ("m=video" in there.invite.body) == may
            there.answer(sdp(gateway.addr, 42000, PCMU, extra=video(42010) if may else ()))
            ok = here.expect(200)
            here.ack(ok)
            assert (only(ok.body)[1] != "0") == may
            hang_up(here, there)


@pytest.mark.parametrize("by_caller", [True, False])
def test_added_later_the_other_side_is_asked_first(office, by_caller):
    with two(office) as (a, b):
        join(a, b, [], [])
        here, there = (a, b) if by_caller else (b, a)
        here.dialog.send("INVITE", here.body(here.video("96 97", [*H264, *VP8])))
        invite = there.take_offer(there.video())
        assert only(invite)[3] == "96 97"
        ok = here.take_answer()
        assert only(ok)[3] == "96"
        until_it_passes(here.sight, address(ok), there.sight)
        passes(here.sight, address(ok), there.sight)
        until_it_passes(there.sight, address(invite), here.sight)
        passes(there.sight, address(invite), here.sight)
        # Away again: the other one's camera isn't left on.
        assert only(here.offer(["m=video 0 RTP/AVP 96"]))[1] == "0"
        assert only(there.take_offer(["m=video 0 RTP/AVP 96"]))[1] == "0"
        wait_until(lambda: is_silent(there.sight, address(invite), here.sight))
        # And once more, in the same places.
        here.dialog.send("INVITE", here.body(here.video()))
        ok = here.take_answer()
        invite = there.take_offer(there.video())
        until_it_passes(here.sight, address(ok), there.sight)
        until_it_passes(there.sight, address(invite), here.sight)
        assert [s[0] for s in sections(ok)] == ["audio", "video"] == [s[0] for s in sections(invite)]
        end(a, b)


@pytest.mark.parametrize("status", [200, 488])
def test_added_later_and_refused_the_sound_goes_on(office, status):
    with two(office) as (a, b):
        join(a, b, [], [])
        a.dialog.send("INVITE", a.body(a.video()))
        invite = b.phone.expect("INVITE")
        b.dialog.reply(status, m=invite, body=b.body(["m=video 0 RTP/AVP 96"]) if status == 200 else "")
        b.phone.expect("ACK")
        ok = a.take_answer()
        assert [(s[0], s[1] == "0") for s in sections(ok)] == [("audio", False), ("video", True)]
        b.phone.expect_none()                                                # once is enough
        assert int(only(b.offer(b.video()))[1])                              # until b wishes it himself
        assert int(only(a.take_offer(a.video()))[1])
        end(a, b)


def test_added_by_update_is_answered_at_once(office):
    """RFC 3311 section 5.2: nobody can be waited for. It is offered when the other one has said yes."""
    with two(office) as (a, b):
        join(a, b, [], [])
        a.dialog.send("UPDATE", a.body(a.video()))
        assert only(a.dialog.expect(200, skip=("INVITE",)).body)[1] == "0"
        assert int(only(b.take_offer(b.video()))[1])
        assert int(only(a.take_offer(a.video()))[1])
        end(a, b)


def test_hold_reaches_the_other_side(office):
    with two(office) as (a, b):
        invite, ok = join(a, b, a.video(), b.video())
        assert only(a.offer(a.video(direction="sendonly"), direction="sendonly"))[4][-1] == "a=recvonly"
        assert only(b.take_offer(b.video(direction="recvonly")))[4][-1] == "a=sendonly"
        until_it_passes(a.sight, address(ok), b.sight)                       # a still picture, say
        assert is_silent(b.sight, address(invite), a.sight)
        assert only(a.offer(a.video()))[4][-1] == "a=sendrecv"
        assert only(b.take_offer(b.video()))[4][-1] == "a=sendrecv"
        until_it_passes(b.sight, address(invite), a.sight)
        end(a, b)


def test_refresh_keeps_all_as_it_is(office):
    with two(office) as (a, b):
        invite, ok = join(a, b, a.video(), b.video())
        again = a.offer(a.video())
        assert again == ok
        b.phone.expect_none()
        until_it_passes(a.sight, address(ok), b.sight)
        passes(a.sight, address(ok), b.sight)
        end(a, b)


def test_behind_nat_the_source_is_learnt(office):
    with two(office) as (a, b), Rtp(a.phone.addr, 45000, pt=96) as outside:
        invite, ok = join(a, b, a.video(), b.video())
        until_it_passes(outside, address(ok), b.sight)
        until_it_passes(b.sight, address(invite), outside)
        end(a, b)
    office.wait_log(r"media=video latched signalled=\S+:%d" % a.sight.port)


def test_menu_answers_without_and_video_comes_with_somebody(office):
    """Who is answered by a machine is offered video when a person has come who has it."""
    with two(office) as (a, b), contextlib.ExitStack() as stack:
        office.change("INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '779', 'x')")
        stack.callback(office.change, "DELETE FROM pbx.route WHERE pattern = '779'")
        office.change("INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES ('office', 'office', '779', 1, 'answer', '{}'),"
                      " ('office', 'office', '779', 2, 'dial', '{\"number\": \"1002\"}')")
        stack.callback(office.change, "DELETE FROM pbx.step WHERE pattern = '779'")
        a.dialog = a.phone.invite("779", a.body(a.video()))
        assert only(a.take_answer())[1] == "0"
        b.dialog = b.phone.answer_invite()
        b.dialog.answer(b.body(b.video()))
        offered = a.take_offer(a.video())
        until_it_passes(a.sight, address(offered), b.sight)
        until_it_passes(b.sight, address(b.dialog.invite.body), a.sight)
        end(a, b)


def test_early_offer_of_the_callee(office):
    """Our INVITE had no offer (delayed_offer): the callee's has video, and so has the caller's."""
    office.change("UPDATE pbx.extension SET delayed_offer = 'always' WHERE (domain, number) = ('office', '1002')")
    try:
        with two(office) as (a, b):
            a.dialog = a.phone.invite("91002", a.body(a.video("96 97", [*H264, *VP8])))
            b.dialog = b.phone.answer_invite()
            assert not b.dialog.invite.body
            ack = b.dialog.answer(b.body(b.video()))
            ok = a.take_answer()
            assert only(ack.body)[3] == only(ok)[3] == "96"
            until_it_passes(a.sight, address(ok), b.sight)
            until_it_passes(b.sight, address(ack.body), a.sight)
            end(a, b)
    finally:
        office.change("UPDATE pbx.extension SET delayed_offer = DEFAULT WHERE (domain, number) = ('office', '1002')")


def test_who_hangs_up_while_the_other_is_asked(office):
    with two(office) as (a, b):
        join(a, b, [], [])
        a.dialog.send("INVITE", a.body(a.video()))
        invite = b.phone.expect("INVITE")
        b.dialog.send("BYE")
        b.dialog.expect(200)
        b.dialog.reply(487, m=invite)
        b.phone.expect("ACK")
        a.dialog.ack(a.dialog.expect(200))
        a.dialog.take_bye()


def test_withdrawn_while_the_other_is_asked(office):
    """The one who asked has thought better of it: the other one's picture goes off again."""
    with two(office) as (a, b):
        join(a, b, [], [])
        a.dialog.send_invite(a.body(a.video()))
        invite = b.phone.expect("INVITE")
        a.dialog.cancel()
        answers = {m.cseq_method: m for m in (a.phone.expect(200, 487), a.phone.expect(200, 487))}
        a.dialog.ack(answers["INVITE"])
        b.dialog.reply(200, m=invite, body=b.body(b.video()))
        b.phone.expect("ACK")
        assert only(b.take_offer(["m=video 0 RTP/AVP 96"]))[1] == "0"
        a.phone.expect_none()
        end(a, b)


def test_both_add_it_at_once(office):
    """One of the two has to wait (RFC 3261 section 14.1), and then all is agreed on already."""
    with two(office) as (a, b):
        join(a, b, [], [])
        a.dialog.send("INVITE", a.body(a.video()))
        invite = b.phone.expect("INVITE")
        b.dialog.send("INVITE", b.body(b.video()))
        b.dialog.ack(b.dialog.expect(491))
        b.dialog.reply(200, m=invite, body=b.body(b.video()))
        b.phone.expect("ACK")
        ok = a.take_answer()
        again = b.offer(b.video())
        until_it_passes(a.sight, address(ok), b.sight)
        until_it_passes(b.sight, address(again), a.sight)
        a.phone.expect_none()
        end(a, b)


def test_two_ring_and_one_is_seen(office):
    """Each has ports of its own; the caller is answered with what the one says who takes the call."""
    with two(office) as (a, b), Phone(office, "1002") as third:
        third.register()
        c = Side(third, 44000)
        try:
            a.dialog = a.phone.invite("91002", a.body(a.video("96 97", [*H264, *VP8])))
            b.dialog, c.dialog = b.phone.answer_invite(), c.phone.answer_invite()
            assert address(b.dialog.invite.body) != address(c.dialog.invite.body)
            b.dialog.reply(183, body=b.body(b.video("97", VP8)))
            assert not a.dialog.expect(180).body                             # of two none is seen yet
            c.dialog.answer(c.body(c.video("96", H264)))
            b.phone.expect("CANCEL")
            b.dialog.reply(487)
            b.phone.expect("ACK", skip=("CANCEL",))
            ok = a.take_answer()
            assert only(ok)[3] == "96"
            until_it_passes(a.sight, address(ok), c.sight)
            until_it_passes(c.sight, address(c.dialog.invite.body), a.sight)
            end(a, c)
        finally:
            c.close()
            third.unregister()


def test_transfer_takes_the_video_along(office):
    """b sends a on to c, who has another number for the same codec: a is told of it."""
    with two(office) as (a, b), Phone(office, "1003") as third:
        third.register()
        c = Side(third, 44000)
        try:
            join(a, b, a.video("96 97", [*H264, *VP8]), b.video())
            b.dialog.send("REFER", headers=b.dialog.authorized("REFER", [f"Refer-To: <sip:91003@{b.phone.uri_host}>"]))
            b.dialog.expect(202, skip=("NOTIFY",))
            c.dialog = c.phone.answer_invite()
            assert only(c.dialog.invite.body)[3] == "96 97"
            c.dialog.answer(c.body(c.video("97", VP8)))
            offered = a.take_offer(a.video("97", VP8))
            assert only(offered)[3] == "97"
            c.take_offer(c.video("97", VP8))
            b.dialog.bye(skip=("NOTIFY",))
            until_it_passes(a.sight, address(offered), c.sight)
            until_it_passes(c.sight, address(c.dialog.invite.body), a.sight)
            a.dialog.send("BYE")
            a.dialog.expect(200)
            c.dialog.take_bye()
        finally:
            c.close()
            third.unregister()
