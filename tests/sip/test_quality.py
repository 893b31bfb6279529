"""How a call sounds and where its media go, as an administrator sees it: while it lasts (pbx.leg) and afterwards (pbx.cdr_leg); and
when one is given up whose phone has died."""
import struct

from office import wait_until
from rtp import Rtp
from sip import Phone, media_of, sdp

PCMU = [(0, "PCMU/8000"), (101, "telephone-event/8000")]


def receiver_report(rtp, about, fraction, lost):
    """RFC 3550 §6.4.2: what a peer says of what it received, sent to where the RTP goes, plus one."""
    block = struct.pack("!IIIIII", about, fraction << 24 | lost, 60000, 160, 0, 0)
    data = struct.pack("!BBHI", 0x81, 201, 7, rtp.ssrc) + block
    rtp.rtcp.sendto(data, (rtp.peer[0], rtp.peer[1] + 1))


def test_call_is_seen_while_it_lasts_and_in_its_record(office, cdrs):
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Rtp(caller.addr) as a, Rtp(callee.addr) as b, \
            Rtp(caller.addr) as elsewhere:
        callee.register()
        # The caller doesn't know his address: he sits behind a NAT.
        here = caller.invite("91002", sdp(caller.addr, elsewhere.port, PCMU))
        there = callee.answer_invite()
        there.answer(sdp(callee.addr, b.port, PCMU))
        ok = here.expect(200)
        here.ack(ok)
        a.start(media_of(ok.body))
        b.start(media_of(there.invite.body))
        a.wait_received(5)
        receiver_report(b, b.received[0].ssrc, 51, 7)                        # it misses 20 %

        def rows():
            found = office.sql("SELECT l.number, l.codec, l.packets_sent > 0, l.packets_received > 0, l.lost_percent, l.mos, l.mos_min,"
                               " l.remote_mos, l.signalled_address, l.media_address, l.media_reason, l.call::text"
                               " FROM pbx.leg AS l WHERE l.packets_sent > 0 AND l.answered IS NOT NULL ORDER BY l.leg")
            return found if len(found) == 2 else None
        one, other = wait_until(rows, 12)
        assert (one[0], one[1], one[2], one[3]) == ("1001", "PCMU", True, True)
        assert one[4] is not None and one[5] >= one[6] > 1
        assert one[7] is None and 1 < other[7] < 3.9                         # it reported nothing; the other a lot
        assert one[8:11] == (f"{caller.addr}:{elsewhere.port}", f"{caller.addr}:{a.port}", "first")
        assert other[8:11] == (f"{callee.addr}:{b.port}", f"{callee.addr}:{b.port}", "first")
        here.send("BYE")
        there.take_bye()
        here.expect(200)
        callee.unregister()
    cdr = cdrs.next()
    assert str(cdr.call) == one[11]
    leg, far = cdr.legs
    assert (leg.signalled_address, leg.media_address) == one[8:10]
    assert (leg.media_reason, leg.media_changes, leg.media_timeout) == ("first", 1, None)
    assert cdr.answered <= leg.mos_min_at <= cdr.ended and leg.media_since <= cdr.ended
    assert leg.mos >= leg.mos_min > 1 and leg.bytes_received == leg.packets_received * 160
    assert far.remote_lost == 7 and far.remote_jitter_us == 20000 and far.remote_mos_min < 3.9
    wait_until(lambda: office.sql("SELECT count(*) FROM pbx.live_leg WHERE call = %s", cdr.call)[0][0] == 0)


def test_silent_phone_is_given_up(office, cdrs):
    office.change("UPDATE pbx.domain SET media_timeout_s = 2 WHERE domain = 'office'")
    try:
        with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Rtp(caller.addr) as a, Rtp(callee.addr) as b:
            callee.register()
            here = caller.invite("91002", sdp(caller.addr, a.port, PCMU))
            there = callee.answer_invite()
            there.answer(sdp(callee.addr, b.port, PCMU))
            ok = here.expect(200)
            here.ack(ok)
            a.start(media_of(ok.body))
            a.wait(lambda: a.sent > 10)
            bye = there.take_bye()                                           # the callee never sends a packet
            assert "cause=102" in bye.get("Reason", "")
            assert "cause=102" in here.take_bye().get("Reason", "")
            callee.unregister()
    finally:
        office.change("UPDATE pbx.domain SET media_timeout_s = NULL WHERE domain = 'office'")
    cdr = cdrs.next()
    assert (cdr.result, cdr.hangup_by, cdr.cause) == ("answered", "system", 102)
    assert [leg.media_timeout for leg in cdr.legs] == [None, "talking"]
    assert (cdr.legs[1].status, cdr.legs[1].cause) == (408, 102)
