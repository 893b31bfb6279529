"""A small SIP peer for what SIPp can't do well: messages written and judged one at a time.

    with Phone(office, "1001") as phone:
        phone.register()
        call = phone.invite("1002")          # INVITE, answers the challenge, returns a Dialog
        call.expect(180)
        call.ack(call.expect(200))
        call.bye()

Nothing is sent or answered behind the test's back, except that expect() takes what it was told to skip, and that what we have
answered isn't seen again: the server repeats itself every half second, and on a busy machine our answer takes longer now and then.
expect() fails on any other message; a failed test shows all that went over the wire (Phone.trace).
"""
import hashlib
import random
import re
import select
import socket
import ssl
import struct
import time

from office import OfficeError, SLOW, TLS_PORT, WS_PORT, WSS_PORT, free_port6, own_address
from ws import WebSocket

COMPACT = {"v": "via", "f": "from", "t": "to", "m": "contact", "i": "call-id", "l": "content-length", "c": "content-type",
           "s": "subject", "k": "supported", "e": "content-encoding", "o": "event", "u": "allow-events", "r": "refer-to"}

SO_TIMESTAMPNS = 35                      # <asm-generic/socket.h>


def token(n=10):
    return "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=n))


class ConnectionClosed(OfficeError):
    pass


class Message:
    """A received message; `at` is when it arrived, in seconds, whenever it was read (of a stream, when it was read)."""

    def __init__(self, data, source=None, at=None):
        self.at = at or time.time()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        self.data, self.body, self.source, self.start = data, body.decode("utf-8", "replace"), source, lines[0]
        self.headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            self.headers.append((COMPACT.get(name, name), value.strip()))
        self.status = int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else None
        self.method = None if self.status else self.start.split()[0]
        self.reason = self.start.split(" ", 2)[2] if self.status else None

    def all(self, name):
        return [v for n, v in self.headers if n == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def __getitem__(self, name):
        value = self.get(name)
        if value is None:
            raise OfficeError(f"no {name} in:\n{self}")
        return value

    @property
    def key(self):
        """The same when it comes again."""
        return self.start, *(self.get(name) for name in ("Via", "To", "Call-ID", "CSeq", "RSeq"))

    @property
    def branch(self):
        return re.search(r";\s*branch\s*=\s*([^;,\s]+)", self["Via"]).group(1)

    @property
    def cseq(self):
        return int(self["CSeq"].split()[0])

    @property
    def cseq_method(self):
        return self["CSeq"].split()[1]

    @property
    def to_tag(self):
        return tag_of(self["To"])

    @property
    def from_tag(self):
        return tag_of(self["From"])

    @property
    def contact_uri(self):
        return uri_of(self["Contact"])

    def __str__(self):
        return self.data.decode("utf-8", "replace")


def tag_of(value):
    found = re.search(r";\s*tag\s*=\s*([^;\s]+)", value)
    return found.group(1) if found else None


def uri_of(value):
    found = re.search(r"<([^>]*)>", value)
    return found.group(1) if found else value.split(";")[0].strip()


def params_of(challenge):
    return {k.lower(): v.strip('"') for k, v in re.findall(r'([\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^,;\s]+)', challenge)}


class Credentials:
    """Answers challenges. The nonce count goes up with each use of a nonce, as RFC 7616 wants."""

    HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256, "SHA-512-256": lambda data: hashlib.new("sha512_256", data)}

    def __init__(self, user, password, algorithm=None):
        self.user, self.password, self.algorithm = user, password, algorithm
        self.challenge, self.count, self.cnonce = None, 0, token()
        self.qop = "auth"                # auth-int: for requests without a body

    def take(self, response):
        """Takes the first challenge it has the algorithm of, as RFC 8760 says, or that of its own choice."""
        for value in response.all("WWW-Authenticate") + response.all("Proxy-Authenticate"):
            params = params_of(value)
            name = params.get("algorithm", "MD5")
            if name.removesuffix("-sess") in self.HASHES and self.algorithm in (None, name):
                self.challenge, self.count = params, 0
                return self
        raise OfficeError(f"no challenge to answer in:\n{response}")

    def header(self, method, uri, count=None, response=None):
        """The Authorization header line; count and response override what is right."""
        c = self.challenge
        name = c.get("algorithm", "MD5")
        digest = lambda text: self.HASHES[name.removesuffix("-sess")](text.encode()).hexdigest()  # noqa: E731
        self.count += 1
        nc = f"{count if count is not None else self.count:08x}"
        ha1 = digest(f"{self.user}:{c['realm']}:{self.password}")
        if name.endswith("-sess"):
            ha1 = digest(f"{ha1}:{c['nonce']}:{self.cnonce}")
        a2 = f"{method}:{uri}" + (f":{digest('')}" if self.qop == "auth-int" else "")
        good = digest(f"{ha1}:{c['nonce']}:{nc}:{self.cnonce}:{self.qop}:{digest(a2)}")
        opaque = f', opaque="{c["opaque"]}"' if "opaque" in c else ""
        return (f'Authorization: Digest username="{self.user}", realm="{c["realm"]}", nonce="{c["nonce"]}", uri="{uri}", '
                f'response="{response or good}", algorithm={name}, cnonce="{self.cnonce}", qop={self.qop}, nc={nc}{opaque}')


def sdp(addr, port, codecs=((0, "PCMU/8000"), (8, "PCMA/8000"), (101, "telephone-event/8000")), direction=None, version=1,
        session=1, extra=()):
    """An offer or answer of one audio stream."""
    kind = "IP6" if ":" in addr else "IP4"
    lines = ["v=0", f"o=- {session} {version} IN {kind} {addr}", "s=-", f"c=IN {kind} {addr}", "t=0 0",
             f"m=audio {port} RTP/AVP {' '.join(str(pt) for pt, _ in codecs)}"]
    lines += [f"a=rtpmap:{pt} {name}" for pt, name in codecs]
    lines += [f"a={direction}"] if direction else []
    lines += list(extra)
    return "\r\n".join(lines) + "\r\n"


def media_of(body):
    """Where the first audio stream of a description is: (addr, port)."""
    addr = re.search(r"^c=IN IP[46] (\S+)", body, re.M).group(1)
    return addr, int(re.search(r"^m=audio (\d+)", body, re.M).group(1))


def tls_client(certificate=None):
    """A client's side of TLS, that shows a certificate (with its key in the same file) if it is asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate)
    return context


class Phone:
    patience = 1                         # how many times as long it waits

    def __init__(self, office, user="1001", password=None, family=4, proto="udp", addr=None, port=None, algorithm=None, target=None,
                 context=None):
        """context: for TLS, with the certificate that it shows; without, it shows none. Whose the server's is it doesn't care."""
        self.office, self.user, self.family, self.proto = office, user, family, proto
        self.addr = addr or (own_address() if family == 4 else office.addr6)
        self.credentials = Credentials(user, password if password is not None else f"s{user}", algorithm)
        self.server = target or office.sockaddr(family)
        self.domain = "cordboard"
        self.trace, self.buffer, self.inbox = [], b"", []
        self.settled = set()             # keys of what we have answered
        self.registration = {"call_id": f"{token()}@test", "tag": token(), "cseq": 0}
        self.uri_host = office.target(family)
        if proto in ("ws", "wss"):
            # RFC 7118 §5: a browser doesn't know its address, so it says a name that is none.
            self.socket = WebSocket.open((self.server[0], WSS_PORT if proto == "wss" else WS_PORT), proto == "wss", (self.addr, 0))
            self.host, self.port = f"{token()}.invalid", None
            return
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        self.socket = socket.socket(kind, socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((self.addr, port if port is not None else (5060 if family == 4 else free_port6())))
        if proto == "udp":
            self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        elif proto in ("tcp", "tls"):
            self.socket.settimeout(5 * SLOW)
            self.socket.connect((self.server[0], TLS_PORT) if proto == "tls" and not target else self.server)
        if proto == "tls":
            self.socket = (context or tls_client()).wrap_socket(self.socket)
        self.port = self.socket.getsockname()[1]
        self.host = self.addr if family == 4 else f"[{self.addr}]"

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error:
            self.take_rest()
        self.close()
        if error and not getattr(error, "has_trace", False):
            error.args = (f"{error}\n==== messages of {self.user} at {self.host}:{self.port}\n{self.story()}",)

    def take_rest(self):
        """What has come and wasn't waited for: it may tell why something else didn't come."""
        try:
            while self._next(time.monotonic()):
                pass
        except Exception:  # noqa: whatever failed is told already
            pass

    def story(self):
        return "\n".join(f"{way} {data.decode('utf-8', 'replace')}" for way, data in self.trace)[-16000:]

    # ---- bytes ----

    def send(self, data, to=None):
        data = data.encode() if isinstance(data, str) else data
        self.trace.append((">>>", data))
        if self.proto in ("tcp", "tls"):
            self.socket.sendall(data)
        elif self.proto in ("ws", "wss"):
            self.socket.send(data)
        else:
            self.socket.sendto(data, to or self.server)

    def _read(self, timeout):
        if self.proto in ("ws", "wss"):
            data = self.socket.receive(max(0, timeout))
            if self.socket.is_closed:
                raise ConnectionClosed("the server closed the connection")
            return data and (data, self.server, None)
        is_there = self.proto == "tls" and self.socket.pending()
        if not is_there and not select.select([self.socket], [], [], max(0, timeout))[0]:
            return None
        if self.proto == "udp":
            data, extra, _, source = self.socket.recvmsg(65535, socket.CMSG_SPACE(16))
            seconds, ns = struct.unpack("@ll", extra[0][2])
            return data, source, seconds + ns / 1e9
        data = self.socket.recv(65535)
        if not data:
            raise ConnectionClosed("the server closed the connection")
        return data, self.server, None

    def _next_of_stream(self):
        """The next whole message of the stream, keep-alives apart."""
        while self.buffer.startswith(b"\r\n"):
            self.buffer = self.buffer[2:]
            self.pongs = getattr(self, "pongs", 0) + 1
        head, gap, rest = self.buffer.partition(b"\r\n\r\n")
        if not gap:
            return None
        found = re.search(rb"^(?:content-length|l)[ \t]*:[ \t]*(\d+)", head, re.M | re.I)
        n = int(found.group(1))
        if len(rest) < n:
            return None
        self.buffer = rest[n:]
        return head + gap + rest[:n]

    def receive(self, timeout=5):
        """The next message, or None."""
        if self.inbox:
            return self.inbox.pop(0)
        end = time.monotonic() + timeout * (SLOW if timeout >= 1 else 1)
        while True:
            m = self._next(end)
            if m is None or m.key not in self.settled:
                return m

    def _next(self, end):
        while True:
            if self.proto in ("tcp", "tls"):
                data = self._next_of_stream()
                if data:
                    self.trace.append(("<<<", data))
                    return Message(data, self.server)
            got = self._read(end - time.monotonic())
            if got is None:
                return None
            if self.proto in ("tcp", "tls"):
                self.buffer += got[0]
            elif got[0].strip(b"\r\n"):
                self.trace.append(("<<<", got[0]))
                return Message(*got)

    def catch_up(self):
        """Takes and forgets all that the server sent before it had read all that we did; from here on repeats count."""
        call_id = f"{token()}@test"
        self.settled.clear()
        self.send(self.request("OPTIONS", call_id=call_id))
        while (m := self.receive(5)) and m["Call-ID"] != call_id:
            pass
        if m is None:
            raise OfficeError("no answer to OPTIONS")

    def expect(self, *what, timeout=5, skip=(100,), call_id=None):
        """The next message, which must be one of these statuses or methods; those of skip may come before."""
        end = time.monotonic() + timeout * SLOW * self.patience
        while True:
            m = self.receive(max(0.001, (end - time.monotonic()) / SLOW))
            if m is None:
                raise OfficeError(f"waited for {what}, nothing came")
            is_other = call_id and m["Call-ID"] != call_id
            if not is_other and (m.status in what or m.method in what):
                return m
            if m.status in skip or m.method in skip:
                continue
            raise OfficeError(f"waited for {what}, got:\n{m}")

    def expect_none(self, seconds=0.3, skip=()):
        """Nothing may come for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            m = self.receive(end - time.monotonic())
            if m and m.status not in skip and m.method not in skip:
                raise OfficeError(f"nothing should come, but:\n{m}")

    # ---- messages ----

    def via(self, branch=None):
        return f"Via: SIP/2.0/{self.proto.upper()} {self.sent_by};branch={branch or 'z9hG4bK' + token()};rport"

    @property
    def sent_by(self):
        return f"{self.host}:{self.port}" if self.port else self.host

    @property
    def contact(self):
        transport = {"tcp": ";transport=tcp", "tls": ";transport=tls", "ws": ";transport=ws", "wss": ";transport=ws"}.get(self.proto, "")
        return f"<sip:{self.user}@{self.sent_by}{transport}>"

    def request(self, method, uri=None, headers=(), body="", call_id=None, cseq=1, branch=None, from_tag=None, to=None, from_=None,
                ctype="application/sdp", max_forwards=70):
        """The text of a request."""
        uri = uri or f"sip:{self.uri_host}"
        lines = [f"{method} {uri} SIP/2.0", self.via(branch),
                 f"From: {from_ or f'<sip:{self.user}@{self.domain}>'};tag={from_tag or token()}",
                 f"To: {to or f'<{uri}>'}", f"Call-ID: {call_id or token() + '@test'}", f"CSeq: {cseq} {method}",
                 f"Max-Forwards: {max_forwards}", *headers]
        if body:
            lines.append(f"Content-Type: {ctype}")
        return "\r\n".join(lines) + f"\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}"

    def reply(self, m, *args, to=None, **kwargs):
        """Answers a request; returns the text, for retransmissions."""
        text = self.reply_text(m, *args, **kwargs)
        self.send(text, to or m.source)
        return text

    def reply_text(self, m, status, reason="X", headers=(), body="", tag=None, contact=True, ctype="application/sdp"):
        if status >= 200 or m.method == "INVITE":
            self.settled.add(m.key)
        lines = [f"SIP/2.0 {status} {reason}"] + [f"Via: {v}" for v in m.all("Via")] + [f"Record-Route: {v}" for v in m.all("Record-Route")]
        to_value = m["To"] + (f";tag={tag}" if tag and not m.to_tag else "")
        lines += [f"From: {m['From']}", f"To: {to_value}", f"Call-ID: {m['Call-ID']}", f"CSeq: {m['CSeq']}"]
        if contact and m.method in ("INVITE", "UPDATE", "SUBSCRIBE"):
            lines.append(f"Contact: {self.contact}")
        lines += list(headers)
        if body:
            lines.append(f"Content-Type: {ctype}")
        return "\r\n".join(lines) + f"\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}"

    def ask(self, method, uri=None, **kwargs):
        """Sends a request and returns its final response, after the challenge if there is one."""
        expect = kwargs.pop("timeout", 5)
        kwargs.setdefault("call_id", token() + "@test")
        kwargs.setdefault("from_tag", token())
        self.send(self.request(method, uri, **kwargs))
        m = self.expect(*range(200, 700), timeout=expect)
        if m.status != 401:
            return m
        self.credentials.take(m)
        kwargs["cseq"] = kwargs.get("cseq", 1) + 1
        kwargs["headers"] = [*kwargs.get("headers", ()), self.credentials.header(method, uri or f"sip:{self.uri_host}")]
        self.send(self.request(method, uri, **kwargs))
        return self.expect(*range(200, 700), timeout=expect)

    # ---- registration ----

    def register_request(self, contacts=None, expires=None, headers=(), auth=True, **kwargs):
        """The text of the next REGISTER; with credentials if there is a challenge to answer."""
        r = self.registration
        r["cseq"] += 1
        contacts = [self.contact] if contacts is None else contacts
        uri = f"sip:{self.domain}"
        lines = [f"Contact: {c}" for c in contacts]
        lines += [f"Expires: {expires}"] if expires is not None else []
        if auth and self.credentials.challenge:
            lines.append(self.credentials.header("REGISTER", uri))
        kwargs.setdefault("to", f"<sip:{self.user}@{self.domain}>")
        return self.request("REGISTER", uri, headers=[*lines, *headers], call_id=r["call_id"], cseq=r["cseq"], from_tag=r["tag"], **kwargs)

    def register_once(self, *args, **kwargs):
        """Sends one REGISTER and returns the answer, whatever it is."""
        self.send(self.register_request(*args, **kwargs))
        return self.expect(*range(200, 700))

    def register(self, contacts=None, expires=None, **kwargs):
        """Registers and answers the challenge; returns the final response."""
        m = self.register_once(contacts, expires, **kwargs)
        if m.status == 401:
            self.credentials.take(m)
            m = self.register_once(contacts, expires, **kwargs)
        return m

    def unregister(self):
        m = self.register(["*"], expires=0)
        if m.status != 200:
            raise OfficeError(f"can't unregister:\n{m}")

    # ---- calls ----

    def invite(self, number, body=None, headers=(), rtp_port=40000, auth=True, uri=None):
        """Sends an INVITE, answers the challenge, and returns its dialog. body "" is a late offer."""
        if body is None:
            body = sdp(self.addr, rtp_port)
        d = Dialog(self, uri or f"sip:{number}@{self.uri_host}")
        d.send_invite(body, headers)
        if auth and not d.had_credentials:
            m = self.expect(401)
            d.ack(m)
            self.credentials.take(m)
            d.send_invite(body, headers)
        return d

    def answer_invite(self, timeout=5, skip=()):
        """Waits for an INVITE; returns the dialog of our side, with nothing sent."""
        m = self.expect("INVITE", timeout=timeout, skip=skip)
        return Dialog.of_invite(self, m)


class Dialog:
    """Our side of a dialog."""

    def __init__(self, phone, uri):
        self.phone, self.target, self.uri = phone, uri, uri
        self.call_id, self.tag, self.cseq = f"{token()}@test", token(), 0
        self.local = f"<sip:{phone.user}@{phone.domain}>"
        self.remote, self.remote_tag, self.branch, self.invite, self.routes = f"<{uri}>", None, None, None, []
        self.is_caller = True

    @classmethod
    def of_invite(cls, phone, m):
        d = cls(phone, m.contact_uri)
        d.call_id, d.invite, d.is_caller = m["Call-ID"], m, False
        d.local, d.remote, d.remote_tag = m["To"].split(";tag")[0], m["From"].split(";tag")[0], m.from_tag
        return d

    @property
    def remote_to(self):
        return self.remote + (f";tag={self.remote_tag}" if self.remote_tag else "")

    def text(self, method, body="", headers=(), cseq=None, branch=None, contact=None, to=None, uri=None):
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        self.branch = branch or "z9hG4bK" + token()
        needs_contact = method in ("INVITE", "UPDATE", "SUBSCRIBE") if contact is None else contact
        lines = [f"Contact: {self.phone.contact}"] if needs_contact else []
        return self.phone.request(method, uri or self.target, [*lines, *headers], body, self.call_id, cseq, self.branch, self.tag,
                                  to or self.remote_to, self.local)

    def send(self, method, body="", headers=(), **kwargs):
        text = self.text(method, body, headers, **kwargs)
        self.phone.send(text)
        return text

    def authorized(self, method, headers=()):
        c = self.phone.credentials
        return [*headers, c.header(method, self.target)] if c.challenge else list(headers)

    def send_invite(self, body, headers=()):
        self.had_credentials = self.phone.credentials.challenge is not None
        self.invite_text = self.send("INVITE", body, self.authorized("INVITE", headers))
        self.invite_branch, self.invite_cseq = self.branch, self.cseq

    def learn(self, m):
        if m.status and m.status > 100 and m.to_tag and m.status < 300:
            self.remote_tag = m.to_tag
            if m.get("Contact"):
                self.target = m.contact_uri
        return m

    def expect(self, *what, **kwargs):
        kwargs.setdefault("call_id", self.call_id)
        return self.learn(self.phone.expect(*what, **kwargs))

    def ack(self, m, body=""):
        """Acknowledges a final response: in the dialog for 2xx, in the transaction for others."""
        self.phone.settled.add(m.key)
        if m.status < 300:
            self.ack_text = self.text("ACK", body, cseq=m.cseq)
        else:
            self.ack_text = self.text("ACK", cseq=m.cseq, branch=m.branch, to=m["To"])
        self.phone.send(self.ack_text)

    def cancel(self, headers=()):
        self.phone.send(self.text("CANCEL", headers=headers, cseq=self.invite_cseq, branch=self.invite_branch, to=f"<{self.uri}>",
                                  uri=self.uri))

    def reply(self, status, reason="X", m=None, **kwargs):
        return self.phone.reply(m or self.invite, status, reason, tag=self.tag, **kwargs)

    def ring(self):
        self.reply(180, "Ringing")

    def answer(self, body=None, rtp_port=40000):
        """200 to the INVITE and the ACK for it."""
        self.reply(200, "OK", body=sdp(self.phone.addr, rtp_port) if body is None else body)
        return self.expect("ACK", skip=("INVITE",))

    def bye(self, headers=(), **kwargs):
        self.send("BYE", headers=headers)
        return self.expect(200, **kwargs)

    def take_bye(self, **kwargs):
        m = self.expect("BYE", **kwargs)
        self.reply(200, "OK", m)
        return m


def hang_up(here, there):
    """Ends a call whose two dialogs these are, from here."""
    here.send("BYE")
    there.take_bye()
    here.expect(200)
