"""What keeps a phone's way to us open: line ends, STUN, and how often (RFC 5626 §4.4, RFC 5389, RFC 6223)."""
import os
import re
import socket
import ssl
import struct
import zlib

import pytest

from office import SLOW, TLS_PORT
from sip import Phone, token

COOKIE = 0x2112a442


def stun(with_fingerprint=False, kind=1):
    request = struct.pack("!HHI", kind, 8 if with_fingerprint else 0, COOKIE) + os.urandom(12)
    if with_fingerprint:
        request += struct.pack("!HHI", 0x8028, 4, zlib.crc32(request) ^ 0x5354554e)
    return request


def mapped(request, answer, host_len):
    """The address in an answer to this request."""
    kind, length, cookie = struct.unpack("!HHI", answer[:8])
    assert (kind, length, cookie) == (0x0101, len(answer) - 20, COOKIE) and answer[8:20] == request[8:20]
    assert struct.unpack("!HH", answer[20:24]) == (0x0020, host_len + 4)
    port = struct.unpack("!H", answer[26:28])[0] ^ COOKIE >> 16
    host = bytes(a ^ b for a, b in zip(answer[28:28 + host_len], request[4:20]))
    return socket.inet_ntop(socket.AF_INET if host_len == 4 else socket.AF_INET6, host), port


@pytest.mark.parametrize("family", [4, 6])
def test_stun_tells_a_phone_where_it_is(office, family):
    with Phone(office, "1001", family=family) as phone:
        phone.socket.settimeout(5 * SLOW)
        for with_fingerprint in (False, True):
            request = stun(with_fingerprint)
            phone.send(b"\x00" * 20)                          # broken ones get nothing
            phone.send(stun(kind=0x0101))
            phone.send(request[:-1])
            phone.send(request)
            answer = phone.socket.recv(1000)
            assert mapped(request, answer, 4 if family == 4 else 16) == (phone.addr, phone.port)
            if with_fingerprint:
                assert struct.unpack("!HHI", answer[-8:]) == (0x8028, 4, zlib.crc32(answer[:-8]) ^ 0x5354554e)
        assert phone.ask("OPTIONS").status == 200


@pytest.mark.parametrize("proto,seconds", [("udp", "30"), ("tcp", "90"), ("ws", "90")])
def test_keep_in_via_is_given_a_value(office, proto, seconds):
    with Phone(office, "1001", proto=proto) as phone:
        phone.send(phone.request("OPTIONS", branch=f"z9hG4bK{token()};keep"))
        assert re.search(r";keep=(\d+)", phone.expect(200)["Via"]).group(1) == seconds
        phone.send(phone.request("OPTIONS"))
        assert "keep" not in phone.expect(200)["Via"]


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_line_ends_are_answered_between_messages(office, secure):
    to = (office.addr, TLS_PORT) if secure else office.sockaddr()
    with socket.create_connection(to, timeout=10 * SLOW) as plain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        one = context.wrap_socket(plain) if secure else plain
        for _ in range(2):
            one.sendall(b"\r\n\r\n")
            assert one.recv(100) == b"\r\n"
        one.sendall(b"\r\n")                                  # an answer to nothing: none
        one.sendall(b"OPTIONS sip:cordboard SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK" + token().encode() +
                    b"\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:cordboard>\r\nCall-ID: " + token().encode() +
                    b"\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n")
        assert one.recv(4000).startswith(b"SIP/2.0 200")
