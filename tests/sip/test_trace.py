"""The messages of a call, as they were on the wire: kept as the domain wishes, read back as a capture, drawn as a ladder."""
import ipaddress
import re
import struct
import xml.etree.ElementTree

import pytest

from flow import FLOWS, Flow
from office import wait_until
from sip import Phone, sdp


@pytest.fixture
def capture(office):
    def set_to(what):
        office.change("UPDATE pbx.domain SET capture = %s", what)
        office.sql("SELECT pg_sleep(0)")
    set_to("all")
    try:
        yield set_to
    finally:
        set_to("none")


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class Packet:
    """One of a capture; all of its sums are checked."""

    def __init__(self, at, data):
        self.at, version = at, data[0] >> 4
        if version == 4:
            assert data[0] == 0x45 and struct.unpack("!H", data[2:4])[0] == len(data) and checksum(data[:20]) == 0xFFFF
            proto, ips, rest = data[9], data[12:20], data[20:]
        else:
            assert version == 6 and struct.unpack("!H", data[4:6])[0] == len(data) - 40
            proto, ips, rest = data[6], data[8:40], data[40:]
        half = len(ips) // 2
        source, destination = (ipaddress.ip_address(ip) for ip in (ips[:half], ips[half:]))
        ports = struct.unpack("!HH", rest[:4])
        assert checksum(ips + struct.pack("!HH", proto, len(rest)) + rest) == 0xFFFF
        self.source, self.destination = (str(source), ports[0]), (str(destination), ports[1])
        self.proto = {17: "udp", 6: "tcp"}[proto]
        if self.proto == "udp":
            assert struct.unpack("!H", rest[4:6])[0] == len(rest)
            self.payload = rest[8:]
        else:
            self.seq, self.ack = struct.unpack("!II", rest[4:12])
            assert rest[12] == 0x50 and rest[13] == 0x18
            self.payload = rest[20:]


def read_pcap(data):
    magic, major, minor, _, _, snaplen, linktype = struct.unpack("!IHHiIII", data[:24])
    assert (magic, major, minor, linktype) == (0xA1B2C3D4, 2, 4, 101) and snaplen >= 65535
    packets, at = [], 24
    while at < len(data):
        seconds, us, kept, length = struct.unpack("!IIII", data[at:at + 16])
        assert kept == length and us < 1000000
        packets.append(Packet(seconds + us / 1e6, data[at + 16:at + 16 + kept]))
        at += 16 + kept
    assert [p.at for p in packets] == sorted(p.at for p in packets)
    return packets


def messages_of(office, call, legs):
    """When all of them have been written."""
    wait_until(lambda: office.sql("SELECT count(DISTINCT leg) FROM pbx.sip_trace WHERE call = %s", call)[0][0] == legs, 15)
    return read_pcap(bytes(office.sql("SELECT pbx.pcap(%s)", call)[0][0]))


def masked(data):
    """As it is kept: a response to a challenge is nobody's business."""
    return re.sub(rb'(?<= response=")[0-9a-f]+', lambda m: b"x" * len(m[0]), data)


def wire(phone, call_id=None):
    """What a phone sent and received in a call."""
    return [masked(data) for _, data in phone.trace if re.search(rb"^CSeq: \d+ (INVITE|ACK|BYE|CANCEL)", data, re.M) and (call_id is None or call_id.encode() in data)]


def talk(caller, callee, number="91003"):
    here = caller.invite(number)
    there = callee.answer_invite()
    there.ring()
    here.expect(180)
    there.answer()
    here.ack(here.expect(200))
    here.bye()
    there.take_bye()
    return here, there


@pytest.mark.parametrize("proto,family", [("udp", 4), ("tcp", 4), ("tls", 4), ("ws", 4), ("udp", 6), ("tcp", 6)])
def test_capture_is_what_was_on_the_wire(office, capture, cdrs, proto, family):
    if family == 6 and not office.addr6:
        pytest.fail("this machine has no IPv6")
    with Phone(office, "1001", proto=proto, family=family) as caller, Phone(office, "1003") as callee:
        callee.register()
        here, there = talk(caller, callee)
        call = str(cdrs.next().call)
        packets = messages_of(office, call, 2)
        callee.unregister()
    assert len(packets) == len(wire(caller, here.call_id)) + len(wire(callee, there.call_id))
    udp = [p for p in packets if callee.addr in (p.source[0], p.destination[0])]
    assert [p.payload for p in udp] == wire(callee, there.call_id)
    assert {p.proto for p in udp} == {"udp"} and {callee.port} == {p.source[1] if p.source[0] == callee.addr else p.destination[1] for p in udp}
    others = [p for p in packets if p not in udp]
    assert [p.payload for p in others] == wire(caller, here.call_id)
    if proto != "udp":
        assert {p.proto for p in others} == {"tcp"}
        for way in {p.source for p in others}:
            seq = 1
            for p in (p for p in others if p.source == way):
                assert p.seq == seq                 # as of one stream
                seq += len(p.payload)


def test_ladder_has_both_dialogs(office, capture, cdrs):
    with Phone(office, "1001") as caller, Phone(office, "1003") as callee:
        callee.register()
        talk(caller, callee)
        call = str(cdrs.next().call)
        messages_of(office, call, 2)
        callee.unregister()
        text = [row[0] for row in office.sql("SELECT * FROM pbx.ladder(%s)", call)]
    assert text[0].split() == ["1001", "Cordboard", "1003"]
    assert text[1].split() == [f"{caller.host}:{caller.port}", f"{callee.host}:{callee.port}"]
    assert any("  * 91003 takes the route _9XXXX" in line for line in text) and any("hangs up" in line for line in text)
    svg = office.sql("SELECT pbx.ladder_svg(%s)", call)[0][0]
    root = xml.etree.ElementTree.fromstring(svg)
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"1001", "Cordboard", "1003", "INVITE, SDP", "180 Ringing", "200 OK (BYE)"} - set(texts) == set()
    tips = [e for e in root.iter("{http://www.w3.org/2000/svg}line") if e.get("marker-end")]
    assert len(tips) == sum("-" * 3 in line for line in text)


# ---- golden ladders: RFC 3665 ----

def drawn(office, call):
    """Without times and addresses, which differ."""
    text = [row[0] for row in office.sql("SELECT * FROM pbx.ladder(%s, false)", call)]
    return "\n".join([text[0], *(re.sub(r"^ *[\d.]+", "", line).strip() for line in text[2:])])


# Section 3.1, session establishment (and a challenge, as in 3.3); each side of Cordboard as the RFC has it.
ESTABLISHED = """
1001                     Cordboard                       1003
|------- INVITE, SDP ------>|                           |
|<--- 401 Unauthorized -----|                           |
|----------- ACK ---------->|                           |
|------- INVITE, SDP ------>|                           |
|<------ 100 Trying --------|                           |
|                           |------- INVITE, SDP ------>|
|                           |<------ 180 Ringing -------|
|<------ 180 Ringing -------|                           |
|                           |<------ 200 OK, SDP -------|
|                           |----------- ACK ---------->|
|<------ 200 OK, SDP -------|                           |
|----------- ACK ---------->|                           |
|----------- BYE ---------->|                           |
|<----- 200 OK (BYE) -------|                           |
|                           |----------- BYE ---------->|
|                           |<----- 200 OK (BYE) -------|
"""

# Section 3.8, unsuccessful no answer: the caller cancels.
CANCELLED = """
1001                     Cordboard                       1003
|------- INVITE, SDP ------>|                           |
|<--- 401 Unauthorized -----|                           |
|----------- ACK ---------->|                           |
|------- INVITE, SDP ------>|                           |
|<------ 100 Trying --------|                           |
|                           |------- INVITE, SDP ------>|
|                           |<------ 180 Ringing -------|
|<------ 180 Ringing -------|                           |
|--------- CANCEL --------->|                           |
|<---- 200 OK (CANCEL) -----|                           |
|< 487 Request Terminated --|                           |
|                           |--------- CANCEL --------->|
|----------- ACK ---------->|                           |
|                           |<---- 200 OK (CANCEL) -----|
|                           |< 487 Request Terminated --|
|                           |----------- ACK ---------->|
"""

# Section 3.9, unsuccessful busy.
BUSY = """
1001                     Cordboard                       1003
|------- INVITE, SDP ------>|                           |
|<--- 401 Unauthorized -----|                           |
|----------- ACK ---------->|                           |
|------- INVITE, SDP ------>|                           |
|<------ 100 Trying --------|                           |
|                           |------- INVITE, SDP ------>|
|                           |<----- 486 Busy Here ------|
|                           |----------- ACK ---------->|
|<----- 486 Busy Here ------|                           |
|----------- ACK ---------->|                           |
"""


def sides(text):
    """What each side saw, in its order: between the two there is none that would be the same each time."""
    lines = text.strip("\n").split("\n")
    return lines[0].split(), [line.strip() for line in lines[1:] if re.match(r"\|[<-]", line.strip())], \
        [line.strip() for line in lines[1:] if not re.match(r"\|[<-]", line.strip())]


@pytest.mark.parametrize("golden", [ESTABLISHED, CANCELLED, BUSY], ids=["3.1", "3.8", "3.9"])
def test_golden_ladder(office, capture, cdrs, golden):
    with Phone(office, "1001") as caller, Phone(office, "1003") as callee:
        callee.register()
        if golden is ESTABLISHED:
            talk(caller, callee)
        else:
            here = caller.invite("91003")
            there = callee.answer_invite()
            if golden is BUSY:
                there.reply(486, "Busy Here")
                there.expect("ACK")
                here.ack(here.expect(486))
            else:
                there.ring()
                here.expect(180)
                here.cancel()
                here.expect(200)
                here.ack(here.expect(487))
                there.reply(200, "OK", there.expect("CANCEL"), contact=False)
                there.reply(487, "Request Terminated")
                there.expect("ACK")
        call = str(cdrs.next().call)
        messages_of(office, call, 2)
        callee.unregister()
        assert sides(drawn(office, call)) == sides(golden), drawn(office, call)


def test_what_came_again_is_drawn_once(office, capture, cdrs):
    with Phone(office, "1001") as caller, Phone(office, "1003") as callee:
        callee.register()
        here = caller.invite("91003")
        caller.send(here.invite_text)                # as if the first had been lost
        there = callee.answer_invite()
        there.reply(486, "Busy Here")
        there.expect("ACK")
        here.ack(here.expect(486))
        call = str(cdrs.next().call)
        packets = messages_of(office, call, 2)
        callee.unregister()
        assert sum(p.payload == masked(here.invite_text.encode()) for p in packets) == 2
        assert len([line for line in drawn(office, call).split("\n") if "INVITE, SDP x2 -" in line]) == 1


# ---- of which calls, and how much ----

def test_nothing_is_kept_unless_it_is_wished(office, cdrs):
    before = office.sql("SELECT count(*) FROM pbx.sip_trace")
    with Phone(office, "1001") as caller:
        here = caller.invite("3333")
        here.ack(here.expect(404))
    call = str(cdrs.next().call)
    assert "No messages of this call were kept" in office.sql("SELECT * FROM pbx.ladder(%s)", call)[0][0]
    assert len(read_pcap(bytes(office.sql("SELECT pbx.pcap(%s)", call)[0][0]))) == 0
    assert office.sql("SELECT count(*) FROM pbx.sip_trace") == before


def test_of_failed_calls_only(office, capture, cdrs):
    capture("failed")
    with Phone(office, "1001") as caller, Phone(office, "1003") as callee:
        callee.register()
        talk(caller, callee)
        good = str(cdrs.next().call)
        here = caller.invite("3333")
        here.ack(here.expect(404))
        bad = str(cdrs.next().call)
        packets = messages_of(office, bad, 1)
        callee.unregister()
    assert [p.payload for p in packets] == wire(caller, here.call_id)
    assert office.sql("SELECT count(*) FROM pbx.sip_trace WHERE call = %s", good) == [(0,)]


def test_call_that_was_refused_at_once(office, capture):
    with Phone(office, "1004", password="wrong") as phone:
        here = phone.invite("91012")
        here.ack(here.expect(401))
        call = wait_until(lambda: office.sql("SELECT call::text FROM pbx.refused_call WHERE dialled = '91012' ORDER BY at DESC LIMIT 1"))[0][0]
        packets = messages_of(office, call, 1)
        assert [p.payload for p in packets] == wire(phone, here.call_id)
        assert "1004" in office.sql("SELECT * FROM pbx.ladder(%s)", call)[0][0]


def test_dialog_that_says_too_much_is_cut_short(office, capture, cdrs):
    with Phone(office, "1001", proto="tcp") as caller, Phone(office, "1003") as callee:
        callee.register()
        here = caller.invite("91003")
        there = callee.answer_invite()
        there.answer()
        here.ack(here.expect(200))
        for _ in range(30):
            here.send("INFO", headers=["X-Long: " + "x" * 4000])
            here.expect(200)
        here.bye()
        there.take_bye()
        call = str(cdrs.next().call)
        messages_of(office, call, 2)
        callee.unregister()
    dropped, size = office.sql("SELECT dropped, length(bytes) FROM pbx.sip_trace WHERE call = %s AND leg = 1", call)[0]
    assert dropped > 20 and size < 65536
    assert f"{dropped} more messages of leg 1 were too many to be kept." in [row[0] for row in office.sql("SELECT * FROM pbx.ladder(%s)", call)]


def test_leg_that_was_transferred_is_in_both_calls(office, capture, cdrs):
    with Phone(office, "1001") as caller, Phone(office, "1003") as callee, Phone(office, "1005") as third:
        callee.register()
        third.register()
        here = caller.invite("91003")
        there = callee.answer_invite()
        there.answer()
        here.ack(here.expect(200))
        there.send("REFER", headers=[f"Refer-To: <sip:91005@{callee.uri_host}>", f"Contact: {callee.contact}"])
        there.expect(202)
        at_third = third.answer_invite()
        at_third.answer()
        here.bye(skip=("INVITE", "UPDATE"))
        at_third.take_bye()
        there.take_bye(skip=("NOTIFY",))
        calls = sorted([cdrs.next(), cdrs.next()], key=lambda c: c.transferred_by is not None)
        first, second = (messages_of(office, str(c.call), 2) for c in calls)
        third.unregister()
        callee.expect_none(0.1, skip=("NOTIFY",))
        callee.unregister()
    methods = [[p.payload.split(b" ")[0] for p in packets] for packets in (first, second)]
    assert b"REFER" in methods[0] and b"REFER" not in methods[1] and b"BYE" in methods[1]
    assert [p.payload for p in first + second if caller.addr in (p.source[0], p.destination[0])] == wire(caller, here.call_id)


def test_what_is_under_way_when_the_server_stops_is_written(own_office):
    own_office.change("UPDATE pbx.domain SET capture = 'all'")
    with Phone(own_office, "1001") as caller:
        here = caller.invite("3333")
        here.ack(here.expect(404))
        own_office.wait_sql("SELECT 1 FROM pbx.cdr")
    own_office.stop_server()
    own_office.start_server()
    own_office.wait_sql("SELECT 1 FROM pbx.sip_trace")
