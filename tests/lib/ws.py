"""A small WebSocket client (RFC 6455), for SIP over it (RFC 7118).

    ws = WebSocket.open(("127.0.0.1", 5066))
    ws.send(b"OPTIONS ...")                       # one text frame
    ws.send(b"...", BINARY, pieces=3)
    ws.receive(5)                                 # a message (bytes), or None; pings are answered meanwhile

open() raises Refused with the answer when the server doesn't upgrade. After a close frame `close_code` says why.
"""
import base64
import contextlib
import hashlib
import os
import select
import socket
import ssl
import struct
import time

from office import SLOW, OfficeError

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Refused(OfficeError):
    pass


class WebSocket:
    def __init__(self, sock):
        self.socket, self.buffer, self.message = sock, b"", b""
        self.close_code, self.is_closed, self.pongs, self.opcode = None, False, [], None

    @classmethod
    def open(cls, to, secure=False, source=None, path="/", protocol="sip", version=13, headers=()):
        sock = socket.create_connection(to, timeout=5 * SLOW, source_address=source)
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            sock = context.wrap_socket(sock)
        made = cls(sock)
        key = base64.b64encode(os.urandom(16))
        lines = [f"GET {path} HTTP/1.1", f"Host: {to[0]}", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Key: {key.decode()}", f"Sec-WebSocket-Version: {version}", *headers]
        lines += [f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []
        try:
            sock.sendall("\r\n".join([*lines, "", ""]).encode())
            made._shake_hands(key)
        except BaseException:
            sock.close()
            raise
        return made

    def _shake_hands(self, key):
        while b"\r\n\r\n" not in self.buffer:
            data = self.socket.recv(4096)
            if not data:
                raise Refused(self.buffer.decode("latin-1") or "closed")
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        text = head.decode("latin-1")
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest()).decode()
        if " 101 " not in text.split("\r\n")[0] or f"sec-websocket-accept: {accept}".lower() not in text.lower():
            raise Refused(text)
        self.answer = text

    def close(self):
        self.socket.close()

    def fileno(self):
        return self.socket.fileno()

    # ---- sending ----

    def frame(self, data, opcode, final=True):
        mask = os.urandom(4)
        n = len(data)
        size = bytes([0x80 | n]) if n < 126 else struct.pack("!BH", 0xfe, n) if n < 65536 else struct.pack("!BQ", 0xff, n)
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        return bytes([(0x80 if final else 0) | opcode]) + size + mask + masked

    def send(self, data, opcode=TEXT, pieces=1):
        """One message, in so many frames."""
        step = max(1, -(-len(data) // pieces))
        parts = [data[i:i + step] for i in range(0, len(data), step)] or [b""]
        for i, part in enumerate(parts):
            self.socket.sendall(self.frame(part, opcode if i == 0 else 0, i == len(parts) - 1))

    # ---- receiving ----

    def _next_frame(self):
        """(opcode, payload) off the front of what has come, or None."""
        if len(self.buffer) < 2:
            return None
        first, n, at = self.buffer[0], self.buffer[1] & 0x7f, 2
        if n >= 126:
            at = 4 if n == 126 else 10
            if len(self.buffer) < at:
                return None
            n = int.from_bytes(self.buffer[2:at], "big")
        if len(self.buffer) < at + n:
            return None
        if self.buffer[1] & 0x80:
            raise OfficeError("a server's frames have no mask (RFC 6455 §5.1)")
        payload, self.buffer = self.buffer[at:at + n], self.buffer[at + n:]
        return first, payload

    def _take(self, first, payload):
        """A whole message, or None."""
        opcode = first & 0x0f
        if opcode == PING:
            self.socket.sendall(self.frame(payload, PONG))
        elif opcode == PONG:
            self.pongs.append(payload)
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big")
            with contextlib.suppress(OSError):                   # RFC 6455 §5.5.1; it may be gone already
                self.socket.sendall(self.frame(payload[:2], CLOSE))
        else:
            self.opcode = opcode or self.opcode
            self.message += payload
            if first & 0x80:
                message, self.message = self.message, b""
                return message
        return None

    def receive(self, timeout):
        """The next message; None when there was none in time or the connection has ended (is_closed)."""
        end = time.monotonic() + timeout
        while True:
            frame = self._next_frame()
            if frame:
                message = self._take(*frame)
                if message is not None:
                    return message
                continue
            pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
            if not pending and not select.select([self.socket], [], [], max(0, end - time.monotonic()))[0]:
                return None
            try:
                data = self.socket.recv(65536)
            except ssl.SSLWantReadError:
                continue
            except OSError:
                data = b""
            if not data:
                self.is_closed = True
                return None
            self.buffer += data

    def wait_closed(self, seconds=10):
        """Reads to the end; returns the code of the close frame, if there was one."""
        end = time.monotonic() + seconds * SLOW
        while not self.is_closed:
            self.receive(max(0, end - time.monotonic()))
            if time.monotonic() > end:
                raise OfficeError("the server doesn't close the connection")
        return self.close_code
