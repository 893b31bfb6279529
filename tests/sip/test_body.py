"""Bodies that aren't plain SDP: parts in base64 or quoted-printable, and encodings that nobody can read (RFC 5621, RFC 2045)."""
import base64
import quopri

import pytest

from sip import Dialog, media_of, sdp


def multipart(text, *headers):
    head = "\r\n".join(["Content-Type: application/sdp", *headers])
    return f"--b\r\n{head}\r\n\r\n{text}\r\n--b--\r\n"


def send_invite(d, body, headers=()):
    text = d.text("INVITE", body, d.authorized("INVITE", headers)).replace("application/sdp\r\nContent-Length",
                                                                           "multipart/mixed;boundary=b\r\nContent-Length")
    d.invite_branch, d.invite_cseq = d.branch, d.cseq
    d.phone.send(text)


def invite(phone, body, number="91002"):
    """An INVITE with a multipart body; the challenge is answered."""
    d = Dialog(phone, f"sip:{number}@{phone.uri_host}")
    for _ in range(2):
        send_invite(d, body)
        m = phone.expect(401, 415, 400, "INVITE", 180, 200, 488)
        if m.status != 401:
            return d, m
        d.ack(m)
        phone.credentials.take(m)
    raise AssertionError("challenged again")


def quoted(text):
    return quopri.encodestring(text.encode(), quotetabs=True).decode()


@pytest.mark.parametrize("name,encode", [("base64", lambda text: base64.encodebytes(text.encode()).decode().replace("\n", "\r\n")),
                                         ("quoted-printable", quoted),
                                         ("quoted-printable", lambda text: quoted(text).replace("\r", "") + "\n" * 200)],
                         ids=["base64", "quoted", "quoted, bare line ends"])
def test_encoded_description_is_read(pair, name, encode):
    caller, _ = pair
    offer = sdp(caller.addr, 40010, codecs=((8, "PCMA/8000"),))
    d, m = invite(caller, multipart(encode(offer), f"Content-Transfer-Encoding: {name}"), "600")
    assert m.status == 200
    d.ack(d.learn(m))
    assert media_of(m.body) and "RTP/AVP 8" in m.body            # what was offered, and nothing else
    d.bye()


@pytest.mark.parametrize("header,content,status", [
    ("Content-Encoding: gzip", "v=0", 415), ("Content-Transfer-Encoding: x-uuencode", "v=0", 415),
    ("Content-Transfer-Encoding: base64", "!!!!", 400)])
def test_description_that_can_not_be_read_is_refused(pair, header, content, status):
    caller, _ = pair
    d, m = invite(caller, multipart(content, header, "Content-Disposition: session;handling=required"))
    d.ack(m)
    assert m.status == status, str(m)
    if status == 415:
        assert m["Accept-Encoding"] == "identity" and "application/sdp" in m["Accept"]


def test_encoded_body_is_refused(pair):
    """RFC 3261 section 8.2.3."""
    caller, _ = pair
    caller.credentials.take(caller.register_once())
    here = caller.invite("91002", headers=["Content-Encoding: gzip"])
    m = here.expect(415)
    here.ack(m)
    assert m["Accept-Encoding"] == "identity"


LOCATION = """--b\r
Content-Type: application/pidf+xml\r
Content-ID: <here@phone.example>\r
Content-Disposition: by-reference;handling=optional\r
\r
<presence xmlns="urn:ietf:params:xml:ns:pidf"/>\r
"""


@pytest.mark.parametrize("privacy,passes", [((), True), (("Privacy: id",), False)])
def test_location_goes_with_its_header(pair, privacy, passes):
    """RFC 6442 section 4.2: the part that Geolocation refers to, and not to whom the caller hides himself from; other parts stay here."""
    caller, callee = pair
    body = multipart(sdp(caller.addr, 40010)).replace("--b--\r\n", LOCATION + "--b\r\nContent-Type: text/plain\r\n\r\nsecret\r\n--b--\r\n")
    caller.credentials.take(caller.register_once())
    here = Dialog(caller, f"sip:91002@{caller.uri_host}")
    send_invite(here, body, ["Geolocation: <cid:here@phone.example>", *privacy])
    m = callee.expect("INVITE")
    assert (m.get("Geolocation") is not None) == passes
    assert m["Content-Type"].startswith("multipart/mixed;boundary=") == passes
    assert ("<presence xmlns" in m.body and "Content-ID: <here@phone.example>" in m.body) == passes
    assert media_of(m.body) and "secret" not in m.body
    there = Dialog.of_invite(callee, m)
    there.reply(200, "OK", body=sdp(callee.addr, 40000))
    callee.expect("ACK")
    here.ack(here.learn(caller.expect(200)))
    here.bye()
    there.reply(200, "OK", callee.expect("BYE"))
