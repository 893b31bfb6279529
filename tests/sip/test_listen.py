"""Several listeners, each with its own address outside a NAT."""
import socket
import struct

import pytest

from office import SLOW, Raw
from rtp import Rtp
from sip import Phone, media_of, sdp

OUTSIDE = "203.0.113.7"
LISTEN = Raw('( { address = "{addr}"; port = 5080; external = "203.0.113.7"; external_port = 5090; local_networks = "10.0.0.0/8"; },'
             '  { address = "{addr}"; port = 5081; external = "203.0.113.7"; }, { address = "{addr}"; port = 5082; transports = "tcp"; } )')


WAYS = [
    ("udp", 5080, f"{OUTSIDE}:5090", True),     # beyond the NAT
    ("tcp", 5080, f"{OUTSIDE}:5090", True),
    ("udp", 5081, None, False),                 # inside, as 127.0.0.0/8 is private
    ("tcp", 5082, None, False),
    ("udp", 5060, None, False),
]


@pytest.mark.office(listen=LISTEN)
def test_listener_has_its_own_address_outside(own_office):
    """Contact and description carry it; media runs all the same, as it is bound inside."""
    for proto, port, contact, has_outside in WAYS:
        with Phone(own_office, "1001", proto=proto, target=(own_office.addr, port)) as phone, Rtp(phone.addr) as media:
            call = phone.invite("600", sdp(phone.addr, media.port))
            ok = call.expect(200, skip=(100, 180, 183))
            call.ack(ok)
            assert ok.contact_uri.split(";")[0].endswith(contact or f"{own_office.addr}:{port}")
            there, rtp_port = media_of(ok.body)
            assert there == (OUTSIDE if has_outside else own_office.addr)
            media.start((own_office.addr, rtp_port))
            media.wait_received(10)
            call.bye()


@pytest.mark.parametrize("family", [4, 6])
def test_signalling_is_marked(office, family):
    """RFC 4594 §4.2: CS5, for routers that sort by that."""
    if family == 6 and not office.addr6:
        pytest.skip("no IPv6 here")
    with Phone(office, "1001", family=family) as phone:
        level, ask, kind = ((socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS) if family == 6 else
                            (socket.IPPROTO_IP, socket.IP_RECVTOS, socket.IP_TOS))
        phone.socket.setsockopt(level, ask, 1)
        phone.send(phone.request("OPTIONS", f"sip:{phone.uri_host}"))
        phone.socket.settimeout(5 * SLOW)
        data, marks, _, _ = phone.socket.recvmsg(65535, 256)
        assert data.startswith(b"SIP/2.0 200")
        values = [value for at, what, value in marks if (at, what) == (level, kind)]
        assert [v[0] if len(v) == 1 else struct.unpack("i", v)[0] for v in values] == [0xa0]
