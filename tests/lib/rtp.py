"""A small RTP peer: sends a tone or telephone events, and keeps what it receives.

    with Rtp(phone.addr) as rtp:
        rtp.send_to(media_of(answer.body)); rtp.start()      20 ms packets until stop()
        rtp.wait_received(10)
"""
import math
import random
import select
import socket
import struct
import threading
import time
import warnings

from office import OfficeError, SLOW

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop  # noqa: E402


def tone(hz=440, n=160, level=8000, at=0, encode=audioop.lin2ulaw):
    """n samples of a tone, as PCMU or, with audioop.lin2alaw, PCMA."""
    samples = (int(level * math.sin(2 * math.pi * hz * (at + i) / 8000)) for i in range(n))
    return encode(struct.pack(f"<{n}h", *samples), 2)


class Packet:
    def __init__(self, data, source, at):
        first, second, self.seq, self.ts, self.ssrc = struct.unpack("!BBHII", data[:12])
        self.version, self.marker, self.pt = first >> 6, bool(second & 0x80), second & 0x7F
        self.payload, self.source, self.at = data[12 + 4 * (first & 15):], source, at

    def event(self):
        """(event, is_end, duration) of a telephone event, RFC 4733 §2.3."""
        number, flags, duration = struct.unpack("!BBH", self.payload[:4])
        return number, bool(flags & 0x80), duration


class Rtp:
    def __init__(self, addr, port=40000, pt=0):
        kind = socket.AF_INET6 if ":" in addr else socket.AF_INET
        self.socket = socket.socket(kind, socket.SOCK_DGRAM)
        self.rtcp = socket.socket(kind, socket.SOCK_DGRAM)
        while True:
            try:
                self.socket.bind((addr, port))
                self.rtcp.bind((addr, port + 1))
                break
            except OSError:
                # ::1 is everyone's
                self.socket.close()
                self.rtcp.close()
                self.socket, self.rtcp = socket.socket(kind, socket.SOCK_DGRAM), socket.socket(kind, socket.SOCK_DGRAM)
                port = random.randrange(33000, 60000, 2)
        self.addr, self.port, self.pt = addr, port, pt
        self.peer = None
        self.ssrc, self.seq, self.ts = random.getrandbits(32), random.getrandbits(16), random.getrandbits(32)
        self.received, self.reports, self.sent = [], [], 0
        self.lock = threading.Condition()
        self.is_sending = self.is_over = False
        self.payload = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.is_over = True
        self.thread.join(5)
        self.socket.close()
        self.rtcp.close()

    def send_to(self, peer):
        self.peer = peer
        return self

    def start(self, peer=None):
        """A packet of tone every 20 ms from now on."""
        self.peer = peer or self.peer
        self.is_sending = True
        return self

    def stop(self):
        self.is_sending = False

    def send(self, payload=None, pt=None, marker=False, n=160, ts=None, advance=True):
        """One packet."""
        payload = tone(at=self.ts) if payload is None else payload
        data = struct.pack("!BBHII", 0x80, (0x80 if marker else 0) | (self.pt if pt is None else pt), self.seq,
                           (self.ts if ts is None else ts) & 0xFFFFFFFF, self.ssrc) + payload
        self.seq = (self.seq + 1) & 0xFFFF
        if advance:
            self.ts = (self.ts + n) & 0xFFFFFFFF
        self.sent += 1
        try:
            self.socket.sendto(data, self.peer)
        except ConnectionRefusedError:
            pass                         # an ICMP of an earlier packet: the peer has closed its port

    def send_event(self, digit, pt=101, ms=100):
        """A digit, RFC 4733 §2.5: updates of one start time, the end three times."""
        number = "0123456789*#ABCD".index(digit)
        start = self.ts
        for at in range(20, ms + 1, 20):
            self.send(struct.pack("!BBH", number, 10, at * 8), pt, at == 20, ts=start, advance=False)
            time.sleep(0.02)
        for _ in range(3):
            self.send(struct.pack("!BBH", number, 0x80 | 10, ms * 8), pt, ts=start, advance=False)
        self.ts = (start + ms * 8) & 0xFFFFFFFF

    def _run(self):
        due = time.monotonic()
        while not self.is_over:
            now = time.monotonic()
            if not self.is_sending:
                due = now
            elif now >= due:
                due += 0.02
                with self.lock:
                    self.send(self.payload)
                continue
            wait = max(0, min(due - now, 0.02)) if self.is_sending else 0.02
            for s in select.select([self.socket, self.rtcp], [], [], wait)[0]:
                try:
                    data, source = s.recvfrom(4096)
                except ConnectionRefusedError:
                    continue
                with self.lock:
                    if s is self.rtcp:
                        self.reports.append(data)
                    else:
                        self.received.append(Packet(data, source, time.monotonic()))
                    self.lock.notify_all()

    def wait(self, what, seconds=5):
        """Waits until something about what was received is true."""
        with self.lock:
            if not self.lock.wait_for(what, seconds * SLOW):
                raise OfficeError(f"not within {seconds * SLOW} s; received {len(self.received)} RTP, {len(self.reports)} RTCP")

    def wait_received(self, n=5, seconds=5, **wanted):
        """Waits for n more packets with these properties, as pt=8; returns them."""
        start = len(self.received)

        def fitting():
            return [p for p in self.received[start:] if all(getattr(p, k) == v for k, v in wanted.items())]
        self.wait(lambda: len(fitting()) >= n, seconds)
        return fitting()
