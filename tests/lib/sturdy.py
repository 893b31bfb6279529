"""A phone that does over a bad network what RFC 3261 asks of it, by itself: requests and final answers to INVITE are repeated
until they are answered or acknowledged, reliable provisional ones until PRACK (RFC 3262); what comes again is answered as before. Who
uses it sees each message once.

The phones of a Table are served together, whichever of them is asked: one waits while another one's message is repeated."""
import select
import time

from office import OfficeError
from sip import Message, Phone

T1, T2 = 0.5, 4


class Table:
    def __init__(self):
        self.phones = []

    def serve(self, seconds):
        """What is due, then what comes within this time."""
        now = time.monotonic()
        due = min((phone.repeat(now) for phone in self.phones), default=now + seconds)
        ready = select.select([phone.socket for phone in self.phones], [], [], max(0, min(seconds, due - now)))[0]
        for phone in self.phones:
            if phone.socket in ready:
                phone.take_one()


class Repeated:
    """A message that is sent again and again."""

    def __init__(self, data, longest):
        self.data, self.longest = data, longest
        self.interval = T1
        self.due = time.monotonic() + T1


class Sturdy(Phone):
    patience = 8

    def __init__(self, table, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.table = table
        table.phones.append(self)
        self.repeated = {}               # key: Repeated
        self.known = {}                  # key of what came: our answer to it, or None
        self.acks = {}                   # (Call-ID, CSeq number): ACK
        self.seen = set()
        self.strange = 0                 # datagrams that didn't come through the network under test

    def close(self):
        self.table.phones.remove(self)
        super().close()

    # ---- out ----

    def send(self, data, to=None):
        data = data.encode() if isinstance(data, str) else data
        m = Message(data, None)
        if m.method == "ACK":
            self.acks[m["Call-ID"], m.cseq] = data
        elif m.method:
            self.repeated["asked", m.branch, m.method] = Repeated(data, 64 if m.method == "INVITE" else T2)
        else:
            self.known[m.branch, m.cseq_method] = data
            if m.cseq_method == "INVITE" and m.status >= 200:
                self.repeated["answered", m["Call-ID"], m.cseq] = Repeated(data, T2)
            elif m.get("RSeq"):
                self.repeated["rung", m["Call-ID"]] = Repeated(data, 64)
        super().send(data)

    def repeat(self, now):
        """Sends what is due; returns when the next one is."""
        for r in self.repeated.values():
            if now >= r.due:
                super().send(r.data)
                r.interval = min(2 * r.interval, r.longest)
                r.due = now + r.interval
        return min((r.due for r in self.repeated.values()), default=now + 60)

    # ---- in ----

    def take_one(self):
        data, source = self.socket.recvfrom(65535)
        if not data.strip(b"\r\n"):
            return
        self.trace.append(("<<<", data))
        self.strange += source != self.server
        m = Message(data, source)
        if self._is_new(m):
            self.inbox.append(m)

    def _is_new(self, m):
        if m.method:
            return self._is_new_request(m)
        asked = ("asked", m.branch, m.cseq_method)
        if m.status >= 200 and m.cseq_method == "INVITE" and (m["Call-ID"], m.cseq) in self.acks:
            super().send(self.acks[m["Call-ID"], m.cseq])
            return False
        key = (m.branch, m.cseq_method, m.status if m.status < 200 else "final", m.get("RSeq"))
        if key in self.known or (m.branch, m.cseq_method, "final", None) in self.known:
            return False
        self.known[key] = None
        if m.status >= 200:
            self.repeated.pop(asked, None)
        elif m.cseq_method == "INVITE" and asked in self.repeated:
            self.repeated[asked].due = float("inf")
        return True

    def _is_new_request(self, m):
        if m.method == "ACK":
            self.repeated.pop(("answered", m["Call-ID"], m.cseq), None)
        elif m.method == "PRACK":
            self.repeated.pop(("rung", m["Call-ID"]), None)
        key = (m.branch, m.method)
        if key not in self.known:
            self.known[key] = None
            return True
        if self.known[key]:
            super().send(self.known[key])
        return False

    def receive(self, timeout=5):
        end = time.monotonic() + timeout
        while not self.inbox:
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.table.serve(left)
        return self.inbox.pop(0)

    def settle(self, seconds=40):
        """Until nothing of ours is under way."""
        end = time.monotonic() + seconds
        while any(phone.repeated for phone in self.table.phones):
            if time.monotonic() > end:
                raise OfficeError(f"never answered: {[list(phone.repeated) for phone in self.table.phones]}")
            self.table.serve(0.5)
