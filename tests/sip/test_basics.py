"""What a SIP server says to requests outside calls (RFC 3261 §8.2, §11, §18; RFC 3581)."""
import pytest

from sip import ConnectionClosed, Phone, params_of, sdp, token
from sipp import sipp

WAYS = [(4, "u1"), (4, "t1"), (6, "u1"), (6, "t1")]
PROTOS = [(4, "udp"), (4, "tcp"), (6, "udp"), (6, "tcp")]


@pytest.mark.parametrize("family,transport", WAYS)
def test_options_is_answered(office, family, transport):
    sipp(office, "options.xml", family=family, transport=transport)


@pytest.fixture
def phone(office):
    with Phone(office) as made:
        yield made


def once(phone, text):
    """Sends a request and returns its final response."""
    phone.send(text)
    return phone.expect(*range(200, 700))


def test_unknown_method_gets_501(phone):
    m = once(phone, phone.request("WHISTLE"))
    assert m.status == 501
    assert {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER"} <= set(m["Allow"].replace(" ", "").split(","))


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "NOTIFY"])
def test_dialog_methods_outside_a_dialog_get_481(phone, method):
    assert once(phone, phone.request(method, to=f"<sip:1002@cordboard>;tag={token()}")).status == 481
    assert once(phone, phone.request(method)).status == 481


def test_invite_in_an_unknown_dialog_gets_481(phone):
    m = once(phone, phone.request("INVITE", "sip:1002@cordboard", [f"Contact: {phone.contact}"], sdp(phone.addr, 40000),
                                  to=f"<sip:1002@cordboard>;tag={token()}"))
    assert m.status == 481                                                   # RFC 3261 §12.2.2


def test_cancel_of_nothing_gets_481(phone):
    assert once(phone, phone.request("CANCEL", "sip:1002@cordboard")).status == 481    # RFC 3261 §9.2


def test_ack_of_nothing_is_dropped(phone):
    phone.send(phone.request("ACK", "sip:1002@cordboard", to="<sip:1002@cordboard>;tag=x"))
    phone.send(phone.request("ACK", "sip:1002@cordboard"))
    assert once(phone, phone.request("OPTIONS")).status == 200


def test_required_extension_gets_420(phone):
    m = once(phone, phone.request("OPTIONS", headers=["Require: chess, checkers"]))
    assert m.status == 420
    assert sorted(m["Unsupported"].replace(" ", "").split(",")) == ["checkers", "chess"]      # RFC 3261 §8.2.2.3


def test_proxy_require_is_for_proxies(phone):
    assert once(phone, phone.request("OPTIONS", headers=["Proxy-Require: chess"])).status == 200    # RFC 3261 §20.29


def test_no_hops_left_gets_483(phone):
    m = once(phone, phone.request("INVITE", "sip:1002@cordboard", [f"Contact: {phone.contact}"], sdp(phone.addr, 40000),
                                  max_forwards=0))
    assert m.status == 483


def test_options_with_no_hops_left_is_answered(phone):
    assert once(phone, phone.request("OPTIONS", max_forwards=0)).status == 200         # RFC 3261 §11: for us, not through us


def test_unknown_scheme_gets_416(phone):
    text = phone.request("OPTIONS", "http://example.com/", to="<sip:cordboard>")
    assert once(phone, text).status == 416


@pytest.mark.parametrize("spoil,word", [
    (lambda t: t.replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"), "CSeq"),
    (lambda t: t.replace("CSeq: 1 OPTIONS\r\n", ""), "CSeq"),
    (lambda t: t.replace("CSeq: 1 OPTIONS", "CSeq: 4294967296 OPTIONS"), "CSeq"),
    (lambda t: "\r\n".join(x for x in t.split("\r\n") if not x.startswith("Call-ID")), "Call-ID"),
    (lambda t: "\r\n".join(x for x in t.split("\r\n") if not x.startswith("From")), "From"),
    (lambda t: "\r\n".join(x for x in t.split("\r\n") if not x.startswith("To")), "To"),
    (lambda t: t.replace("Max-Forwards: 70", "Max-Forwards: many"), "Max-Forwards"),
    (lambda t: t.replace("Content-Length: 0", "Content-Length: 1000"), "Content-Length"),
    (lambda t: t.replace("Content-Length: 0", "Content-Length: -1"), "Content-Length"),
    (lambda t: t.replace("To: <sip", "To: <<sip"), "To"),
], ids=["other-method", "no-cseq", "cseq-2**32", "no-call-id", "no-from", "no-to", "hops", "short-body", "negative-length", "to"])
def test_bad_request_gets_400_and_the_reason(phone, spoil, word):
    """RFC 3261 §21.4.1: the reason phrase should say what is wrong."""
    m = once(phone, spoil(phone.request("OPTIONS")))
    assert m.status == 400
    assert word.lower() in m.reason.lower()


def test_wrong_version_gets_505(phone):
    m = once(phone, phone.request("OPTIONS").replace(" SIP/2.0\r\n", " SIP/7.0\r\n", 1))
    assert m.status == 505


def test_garbage_is_survived(phone):
    for junk in (b"\0" * 100, b"hello\r\n\r\n", b"SIP/2.0\r\n\r\n", b"OPTIONS\r\n\r\n", b"SIP/2.0 200 OK\r\nVia:\r\n\r\n", b"\xff" * 3000,
                 b"INVITE sip:1002@x SIP/2.0\r\n" + b"Via: " * 2000, b"A" * 60000):
        phone.send(junk)
    call_id = token()
    phone.send(phone.request("OPTIONS", call_id=call_id))
    answers = iter(phone.receive, None)                                      # some of the junk may have been answered
    assert any(m.status == 200 and m.get("Call-ID") == call_id for m in answers)


def test_compact_forms_and_folding(phone):
    """RFC 3261 §7.3.1, §7.3.3: one header over several lines, compact names, any case, spaces before the colon."""
    branch, call_id = "z9hG4bK" + token(), token()
    m = once(phone, "\r\n".join([
        f"OPTIONS sip:{phone.uri_host};x=y SIP/2.0",
        f"v :  SIP / 2.0 / {phone.proto.upper()}",
        f"\t{phone.host}:{phone.port} ; branch = {branch} ; rport",
        'f: "A \\"B\\" <C>"',
        "  <sip:1001@cordboard> ; tag = abc",
        "t:",
        f" <sip:{phone.uri_host}>",
        f"I: {call_id}",
        "cseq : 0009   OPTIONS",
        "MAX-FORWARDS: 070",
        "NewFangled: \\\"\u00e9 unknown, as it is",
        "k: timer,",
        " 100rel",
        "l: 0", "", ""]))
    assert (m.status, m["Call-ID"], m.cseq) == (200, call_id, 9)
    assert m.branch == branch
    assert m.from_tag == "abc"


def test_several_vias_come_back_in_order(phone):
    text = phone.request("OPTIONS")
    first = text.split("\r\n")[1]
    text = text.replace(first, f"{first}, SIP/2.0/TCP a.example;branch=z9hG4bKa\r\n"
                               "v: SIP/2.0/UDP b.example;branch=z9hG4bKb;received=192.0.2.7")
    m = once(phone, text)
    vias = ", ".join(m.all("Via"))
    assert vias.index("a.example") < vias.index("b.example")
    assert "received=192.0.2.7" in vias


def test_response_goes_to_the_source_port_with_rport(office):
    """RFC 3581: behind NAT the Via has another address and port than the packets."""
    with Phone(office) as phone:
        text = phone.request("OPTIONS").replace(f"{phone.host}:{phone.port};", "10.1.1.1:9;")
        m = once(phone, text)
        assert params_of(m["Via"])["received"] == phone.addr
        assert params_of(m["Via"])["rport"] == str(phone.port)


def test_response_goes_to_the_port_of_via_without_rport(office):
    """RFC 3261 §18.2.2: the address the request came from, the port that the Via names."""
    with Phone(office) as phone, Phone(office, addr=phone.addr, port=5070) as other:
        phone.send(phone.request("OPTIONS").replace(f":{phone.port};", ":5070;").replace(";rport", ""))
        m = other.expect(200)
        assert "received" not in m["Via"]


def test_retransmission_gets_the_same_response(phone):
    text = phone.request("OPTIONS")
    first, second = once(phone, text), once(phone, text)
    assert first.data == second.data                                         # RFC 3261 §17.2.2


def test_merged_request_gets_482(phone):
    """RFC 3261 §8.2.2.2: the same request over another path."""
    phone.credentials.take(phone.register_once(auth=False))
    text = phone.register_request(branch="z9hG4bKone" + token())
    assert once(phone, text).status == 200
    again = text.replace("branch=z9hG4bKone", "branch=z9hG4bKtwo")
    assert once(phone, again).status == 482
    phone.unregister()


def test_challenges_keep_nothing(phone):
    """RFC 3261 §8.2.7: the same request over another path is challenged, too; sent again it has the same To tag."""
    text = phone.request("REGISTER", f"sip:{phone.domain}", to=f"<sip:1001@{phone.domain}>", branch="z9hG4bKone" + token())
    first, again = once(phone, text), once(phone, text)
    assert (first.status, again.status) == (401, 401)
    assert first.to_tag == again.to_tag and first["WWW-Authenticate"] != again["WWW-Authenticate"]
    assert once(phone, text.replace("branch=z9hG4bKone", "branch=z9hG4bKtwo")).status == 401


def test_stray_responses_are_dropped(phone):
    for status in ("100 Trying", "180 Ringing", "200 OK", "404 Not Found", "999 ?"):
        for method in ("INVITE", "OPTIONS"):
            phone.send(f"SIP/2.0 {status}\r\nVia: SIP/2.0/UDP {phone.uri_host};branch=z9hG4bK{token()}\r\n"
                       f"From: <sip:a@b>;tag=1\r\nTo: <sip:b@b>;tag=2\r\nCall-ID: {token()}\r\nCSeq: 1 {method}\r\n"
                       "Content-Length: 0\r\n\r\n")
    assert once(phone, phone.request("OPTIONS")).status == 200
    phone.expect_none()


def test_udp_keepalive_is_taken_quietly(phone):
    phone.send(b"\r\n\r\n")
    phone.send(b"\0\0\0\0")
    phone.send(b"\r\n\r\n" + phone.request("OPTIONS").encode())              # RFC 3261 §7.5: empty lines before a request
    assert phone.expect(200)


@pytest.mark.parametrize("family", [4, 6])
def test_tcp_keepalive_is_answered(office, family):
    """RFC 5626 §3.5.1: CRLF CRLF is answered with CRLF, in between messages too."""
    with Phone(office, family=family, proto="tcp") as phone:
        phone.send(b"\r\n\r\n" + phone.request("OPTIONS").encode() + b"\r\n\r\n" + phone.request("OPTIONS").encode())
        phone.expect(200)
        phone.expect(200)
        assert phone.pongs >= 1


@pytest.mark.parametrize("size", [1, 7, 50])
def test_tcp_stream_may_be_cut_anywhere(office, size):
    with Phone(office, proto="tcp") as phone:
        data = (phone.request("OPTIONS") + phone.request("WHISTLE", body="x" * 100, ctype="text/plain")
                + phone.request("OPTIONS")).encode()
        for at in range(0, len(data), size):
            phone.send(data[at:at + size])
        phone.expect(200)
        phone.expect(501)
        phone.expect(200)


def test_tcp_needs_a_content_length(office):
    """RFC 3261 §18.3: without it nobody knows where the next message begins, so this connection is of no more use."""
    with Phone(office, proto="tcp") as phone:
        phone.send(phone.request("OPTIONS").replace("Content-Length: 0\r\n", ""))
        with pytest.raises(ConnectionClosed):
            while phone.expect(400):
                pass
    with Phone(office, proto="tcp") as phone:
        assert once(phone, phone.request("OPTIONS")).status == 200


@pytest.mark.parametrize("family,proto", PROTOS)
def test_datagram_of_full_size_is_parsed(office, family, proto):
    with Phone(office, family=family, proto=proto) as phone:
        m = once(phone, phone.request("OPTIONS", headers=[f"X-{i}: {'y' * 100}" for i in range(80)]))
        assert m.status == 200


def test_options_with_credentials_is_answered_as_a_call_would_be(office):
    """RFC 3261 section 11.2. Who shows none is told nothing."""
    with Phone(office, "1001") as phone, Phone(office, "1010") as lobby:
        def options(of, number, headers=()):
            uri = f"sip:{number}@{of.uri_host}"
            return of.ask("OPTIONS", uri, headers=[of.credentials.header("OPTIONS", uri), *headers])

        for number in ("1002", "4711"):
            m = phone.ask("OPTIONS", f"sip:{number}@{phone.uri_host}")
            assert m.status == 200 and not m.body
        for who in phone, lobby:
            who.unregister() if who.register().status == 200 else None
        m = options(phone, "1002")
        assert m.status == 200 and m["Content-Type"] == "application/sdp" and m["Allow"]
        assert "m=audio 0 RTP/AVP " in m.body and "PCMA" in m.body
        m = options(phone, "1002", ["Accept: text/plain"])
        assert m.status == 200 and not m.body
        assert options(phone, "4711").status == 404
        assert options(phone, "91002").status == 200 and options(lobby, "91002").status == 404     # by his class of service
