"""RTP and RTCP of calls in the capture: where it is wished, of both legs, as tshark reads it."""
import collections
import subprocess

import pytest

from office import wait_until
from rtp import Rtp
from sip import Phone, media_of, sdp
from test_command import wait, why_of
from test_media import PCMU, talk
from test_trace import capture  # noqa: F401

FIELDS = ["frame.time_epoch", "ip.src", "ipv6.src", "udp.srcport", "ip.dst", "ipv6.dst", "udp.dstport", "rtp.seq", "rtp.payload", "sip.Method", "sip.Status-Code", "rtcp.pt"]
HEURISTIC = ["--enable-heuristic", "rtp_udp"]                                # no description tells that it is RTP
Seen = collections.namedtuple("Seen", "at source destination seq payload method status rtcp")


def tshark(path, *args):
    return subprocess.run(["tshark", "-n", "-r", str(path), *args], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture
def read(office, tmp_path):
    """What Wireshark makes of the capture of a call: its packets, and the file. All sums must be right."""
    def of(call, *options):
        path = tmp_path / f"{call}.pcap"
        path.write_bytes(bytes(office.sql("SELECT pbx.pcap(%s)", call)[0][0]))
        sums = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
        assert tshark(path, *sums, "-Y", "ip.checksum.status == 0 || udp.checksum.status == 0 || _ws.malformed") == ""
        rows = [line.split("\t") for line in tshark(path, *options, "-T", "fields", *[x for f in FIELDS for x in ("-e", f)]).splitlines()]
        return path, [Seen(float(r[0]), (r[1] or r[2], int(r[3] or 0)), (r[4] or r[5], int(r[6] or 0)), r[7] and int(r[7]), bytes.fromhex(r[8].replace(":", "")),
                           r[9], r[10], r[11]) for r in rows]
    return of


def written(office, call, legs=2):
    office.wait_sql("SELECT (SELECT count(DISTINCT leg) FROM pbx.rtp_trace WHERE call = %s) = %s AND EXISTS (SELECT FROM pbx.cdr WHERE call = %s)", call, legs, call)


def speak(here, there, n=30):
    here.rtp.payload, there.rtp.payload = bytes(range(160)), bytes(reversed(range(160)))
    for side in (here, there):
        side.rtp.start()
    for side in (here, there):
        side.rtp.wait_received(n)


LAST = b"\x2a" * 160


def hush(*sides):
    """Nothing is under way any more: the other has the last."""
    for side in sides:
        side.rtp.stop()
    for side in sides:
        side.rtp.send(LAST)
    for side in sides:
        side.rtp.wait(lambda: side.rtp.received[-1].payload == LAST)


@pytest.mark.parametrize("family", [4, 6])
def test_both_legs_are_in_the_capture(office, capture, cdrs, read, family):  # noqa: F811
    """Every packet, as it came and as it went, between the messages."""
    capture("rtp")
    with talk(office, family=family) as (here, there):
        speak(here, there)
        hush(here, there)
    call = str(cdrs.next().call)
    written(office, call)
    wait_until(lambda: office.sql("SELECT count(*) = 2 FROM pbx.sip_trace WHERE call = %s", call)[0][0], 15)
    path, seen = read(call)
    assert [p.at for p in seen] == sorted(p.at for p in seen)
    for side in (here, there):
        at = (side.rtp.addr, side.rtp.port)
        said = [p for p in seen if p.source == at and p.payload]
        heard = [p for p in seen if p.destination == at and p.payload]
        assert len(said) == side.rtp.sent and {p.payload for p in said} == {side.rtp.payload, LAST} and {p.destination for p in said} == {side.peer}
        assert [(p.seq, p.payload) for p in heard] == [(p.seq, p.payload) for p in side.rtp.received] and {p.source for p in heard} == {side.peer}
    assert len([line for line in tshark(path, "-q", "-z", "rtp,streams").splitlines() if "g711U" in line]) == 4
    assert {"INVITE", "ACK", "BYE"} <= {p.method for p in seen}
    first = next(i for i, p in enumerate(seen) if p.payload)
    bye = next(i for i, p in enumerate(seen) if p.method == "BYE")
    assert any(p.status == "200" for p in seen[:first]) and first < bye and not any(p.payload and p.at > seen[bye].at + 0.001 for p in seen)   # messages have milliseconds
    assert any(p.rtcp for p in seen)                                   # our good-bye, at least
    without = office.sql("SELECT length(pbx.pcap(%s, false)), length(pbx.pcap(%s))", call, call)[0]
    assert without[0] < without[1] - 4 * 30 * 200


def test_nothing_is_kept_unless_it_is_wished(office, capture, cdrs):  # noqa: F811
    capture("all")
    with talk(office) as (here, there):
        speak(here, there, 5)
    call = str(cdrs.next().call)
    wait_until(lambda: office.sql("SELECT count(*) = 2 FROM pbx.sip_trace WHERE call = %s", call)[0][0], 15)
    assert office.sql("SELECT count(*) FROM pbx.rtp_trace WHERE call = %s", call) == [(0,)]


def test_call_in_progress_is_captured_by_command(office, cdrs, read):
    """From then on, and no longer than that: its domain keeps nothing."""
    with talk(office) as (here, there):
        speak(here, there, 5)
        call = office.wait_sql("SELECT c.call::text FROM pbx.call AS c JOIN pbx.leg AS l USING (call) WHERE l.state = 'answered' GROUP BY 1 HAVING count(*) = 2")[0][0]
        before = here.rtp.sent
        assert wait(office, f"pbx.capture('{call}')") == "messages and RTP are kept from now on"
        there.rtp.wait_received(20)
        assert wait(office, f"pbx.capture('{call}', false)") == "no more RTP is kept"
        office.wait_sql("SELECT count(DISTINCT leg) = 2 FROM pbx.rtp_trace WHERE call = %s", call)       # while the call goes on
        there.rtp.wait_received(20)
        here.hold("sendrecv")
        hush(here, there)
    cdrs.next()
    wait_until(lambda: office.sql("SELECT count(*) = 2 FROM pbx.sip_trace WHERE call = %s", call)[0][0], 15)
    said = [p for p in read(call, *HEURISTIC)[1] if p.source == (here.rtp.addr, here.rtp.port) and p.payload]
    assert 15 <= len(said) <= here.rtp.sent - before - 15
    methods = [p.method for p in read(call)[1] if p.method]
    assert methods.count("INVITE") == 1 and methods.count("BYE") == 2
    assert "capture, on." in why_of(office, call) and "capture, off." in why_of(office, call)
    assert office.sql("SELECT count(*) FROM pbx.sip_trace WHERE call <> %s AND started > now() - interval '5 s'", call) == [(0,)]


def test_leg_that_is_encrypted_is_kept_in_clear_and_its_key_is_not(office, capture, cdrs, read):  # noqa: F811
    """RFC 4568: who reads the capture needs no key, and gets none with which he could read another one."""
    key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
    capture("rtp")
    with Phone(office, "1001", proto="tls") as caller, Phone(office, "1003") as callee, Rtp(caller.addr) as a, Rtp(callee.addr) as b:
        callee.register()
        offer = sdp(caller.addr, a.port, PCMU, extra=[f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31"]).replace("RTP/AVP", "RTP/SAVP")
        here = caller.invite("91003", offer)
        there = callee.answer_invite()
        there.answer(sdp(callee.addr, b.port, PCMU))
        ok = here.expect(200)
        here.ack(ok)
        ours = ok.body.split("inline:")[1].split("\r\n")[0].split("|")[0]
        b.payload = bytes(range(160))
        b.start(media_of(there.invite.body))
        a.wait_received(20)
        b.stop()
        b.send(LAST)
        a.wait(lambda: a.received[-1].seq == (a.received[0].seq + len(a.received) - 1) & 0xFFFF and len(a.received) > 20)
        here.bye()
        there.take_bye()
        call = str(cdrs.next().call)
        written(office, call)
        wait_until(lambda: office.sql("SELECT count(*) = 2 FROM pbx.sip_trace WHERE call = %s", call)[0][0], 15)
        callee.unregister()
    path, seen = read(call)
    assert all(b.payload not in p.payload for p in a.received)                        # on the wire
    heard = [p for p in seen if p.destination == (a.addr, a.port) and p.payload]
    assert {p.payload for p in heard} == {b.payload, LAST} and [p.seq for p in heard] == [p.seq for p in a.received]
    kept = path.read_bytes()
    plain = bytes(office.sql("SELECT pbx.pcap(%s, false)", call)[0][0])
    assert b"RTP/SAVP" not in kept and b"RTP/SAVP 0 101" in plain                       # Wireshark would try to decrypt it
    assert key.encode() not in kept and ours.encode() not in kept
    assert f"inline:{'x' * len(key)}|2^31".encode() in kept and b"inline:" + b"x" * len(ours) in kept


def test_leg_that_says_too_much_is_cut_short(office, capture, cdrs):  # noqa: F811
    capture("rtp")
    with talk(office) as (here, there):
        for i in range(7000):
            here.rtp.send(b"\x55" * 1400, n=160)
            if i % 50 == 0:
                there.rtp.wait(lambda: len(there.rtp.received) > i - 100, 10)
    call = str(cdrs.next().call)
    written(office, call)
    rows = office.wait_sql("SELECT leg, sum(length(bytes))::bigint, sum(cardinality(lengths))::bigint, sum(dropped)::bigint FROM pbx.rtp_trace WHERE call = %s"
                           " GROUP BY leg HAVING sum(dropped) > 0 ORDER BY leg", call)
    assert rows[0][0] == 1 and rows[0][1] <= 8 << 20 and rows[0][1] > (8 << 20) - 2000
    assert rows[0][3] > 900 and rows[0][2] + rows[0][3] >= 6900


def test_what_is_under_way_when_the_server_stops_is_written(own_office):
    own_office.change("UPDATE pbx.domain SET capture = 'rtp'")
    with talk(own_office) as (here, there):
        speak(here, there, 10)
        for side in (here, there):
            side.rtp.stop()
        own_office.stop_server()
        here.is_over = True
        for side in (here, there):
            side.dialog.take_bye()
        own_office.start_server()
        own_office.wait_sql("SELECT count(DISTINCT leg) = 2 FROM pbx.rtp_trace WHERE cardinality(lengths) > 10")
