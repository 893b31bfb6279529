"""SIP over WebSocket and WebSocket over TLS (RFC 7118)."""
import socket

import pytest

from office import SLOW, WS_PORT
from rtp import Rtp
from sip import ConnectionClosed, Phone, media_of, sdp, token
from ws import BINARY, PING, Refused, WebSocket


@pytest.mark.parametrize("proto", ["ws", "wss"])
def test_ws_register_and_the_contact_goes_with_the_connection(office, proto):
    with Phone(office, "1003", proto=proto) as phone:
        m = phone.register()
        assert m.status == 200 and ".invalid" in m["Contact"] and "transport=ws" in m["Contact"]
        office.wait_sql("SELECT proto = %s FROM pbx.binding WHERE number = '1003'", proto)
        phone.unregister()
        assert phone.register().status == 200
        mark = len(office.log)
    office.wait_log("connection closed aor=office/1003", mark)
    office.wait_sql("SELECT count(*) = 0 FROM pbx.binding WHERE number = '1003'")


@pytest.fixture
def plain(office):
    """1002 is no browser, though it comes over WebSocket: it takes RTP as it is."""
    office.change("UPDATE pbx.extension SET srtp = 'never' WHERE number = '1002'")
    yield
    office.change("UPDATE pbx.extension SET srtp = DEFAULT WHERE number = '1002'")


@pytest.mark.parametrize("caller_proto,callee_proto", [("ws", "udp"), ("udp", "wss"), ("ws", "ws")])
def test_ws_call_both_ways_with_media(office, plain, caller_proto, callee_proto):
    """Requests within the dialog go by the flow, whatever name the Contact has."""
    with Phone(office, "1001", proto=caller_proto) as caller, Phone(office, "1002", proto=callee_proto) as callee, \
            Rtp(caller.addr) as a, Rtp(callee.addr) as b:
        assert callee.register().status == 200
        here = caller.invite("91002", sdp(caller.addr, a.port))
        there = callee.answer_invite()
        assert there.invite["Via"].startswith(f"SIP/2.0/{callee_proto.upper()} ")
        there.ring()
        here.expect(180)
        there.answer(sdp(callee.addr, b.port))
        ok = here.expect(200)
        here.ack(ok)
        if caller_proto == "ws":
            assert ok.contact_uri.endswith(";transport=ws")
        a.start(media_of(ok.body))
        b.start(media_of(there.invite.body))
        a.wait_received(10)
        b.wait_received(10)
        there.send("BYE")
        here.take_bye()
        there.expect(200)
        callee.unregister()


def test_ws_cancel_and_hang_up_of_a_closed_connection(office, cdrs):
    """A callee whose connection goes while it rings is one that can't be reached; a caller may give up."""
    with Phone(office, "1001", proto="ws") as caller:
        with Phone(office, "1002", proto="ws") as callee:
            callee.register()
            here = caller.invite("91002")
            there = callee.answer_invite()
            there.ring()
            here.expect(180)
            here.cancel()
            assert {caller.expect(200, 487, call_id=here.call_id).status for _ in range(2)} == {200, 487}
            cancel = there.expect("CANCEL")
            there.reply(200, "OK", cancel)
            there.reply(487)
            there.expect("ACK")
            mark = len(office.log)
        office.wait_log("connection closed aor=office/1002", mark)
        here = caller.invite("91002")
        here.ack(here.expect(480))


def options(phone):
    return phone.request("OPTIONS").encode()


def test_ws_message_may_be_binary_or_in_pieces(office):
    with Phone(office, "1001", proto="ws") as phone:
        for opcode, pieces in ((BINARY, 1), (1, 7), (BINARY, 40)):
            phone.socket.send(options(phone), opcode, pieces)
            assert phone.expect(200).cseq_method == "OPTIONS"
        phone.socket.send(b"\r\n\r\n")
        assert phone.socket.receive(5) == b"\r\n"
        phone.socket.send(b"are you there", PING)
        phone.socket.send(options(phone))
        phone.expect(200)
        assert phone.socket.pongs == [b"are you there"]


def test_ws_message_that_is_too_large_is_refused_and_ends_the_connection(office):
    with Phone(office, "1001", proto="ws") as phone:
        big = phone.request("MESSAGE", body="x" * 70000, ctype="text/plain").encode()
        phone.socket.send(big, pieces=5)
        assert phone.socket.receive(10 * SLOW).startswith(b"SIP/2.0 413 ")
        phone.socket.wait_closed()
        assert phone.socket.close_code == 1009                   # RFC 6455 section 7.4.1
    with Phone(office, "1001", proto="ws") as phone:
        phone.socket.send(b"this is no SIP")
        assert phone.ask("OPTIONS").status == 200


@pytest.mark.parametrize("arguments,status", [
    ({"protocol": None}, 400), ({"protocol": "xmpp"}, 400), ({"version": 7}, 426)], ids=["no subprotocol", "another", "version"])
def test_ws_handshake_that_isnt_rfc_7118s_is_refused(office, arguments, status):
    with pytest.raises(Refused, match=f"HTTP/1.. {status} "):
        WebSocket.open((office.addr, WS_PORT), **arguments)


@pytest.mark.office(ws={"origins": "https://phone.example"})
def test_ws_origin_of_a_browser_may_be_limited(own_office):
    to = (own_office.addr, WS_PORT)
    with pytest.raises(Refused, match="403"):
        WebSocket.open(to, headers=["Origin: https://evil.example"])
    WebSocket.open(to, path="/sip/ws?x=y", headers=["Origin: https://phone.example"]).close()
    WebSocket.open(to).close()


@pytest.mark.office(sip={"connections_per_address": 20})
def test_ws_connections_of_one_address_are_limited(own_office):
    """Those who take all their places take none of others."""
    held = [socket.create_connection((own_office.addr, WS_PORT), source_address=("127.0.0.1", 0)) for _ in range(20)]
    with pytest.raises((Refused, OSError)):
        WebSocket.open((own_office.addr, WS_PORT), source=("127.0.0.1", 0))
    for proto in ("ws", "tcp"):
        with Phone(own_office, "1001", proto=proto) as phone:
            assert phone.ask("OPTIONS").status == 200
    for one in held:
        one.close()


def test_ws_server_ends_with_connections_open(own_office):
    """Nothing of them is left behind: the sanitizer build looks."""
    with Phone(own_office, "1001", proto="ws") as one, Phone(own_office, "1002", proto="wss") as two:
        assert one.register().status == 200
        assert two.ask("OPTIONS").status == 200
        own_office.stop_server()
        with pytest.raises(ConnectionClosed):
            one.receive(5)


def test_ws_via_that_names_another_host_is_answered_on_the_flow(office):
    with Phone(office, "1001", proto="ws") as phone:
        phone.host = f"{token()}.invalid"
        m = phone.ask("OPTIONS")
        assert m.status == 200 and "received=" in m["Via"]
