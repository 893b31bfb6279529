"""Bodies that aren't plain SDP: parts in base64 or quoted-printable, and encodings that nobody can read (RFC 5621, RFC 2045)."""
import base64
import quopri

import pytest

from sip import Dialog, media_of, sdp
from test_identity import pair  # noqa: F401


def multipart(text, *headers):
    head = "\r\n".join(["Content-Type: application/sdp", *headers])
    return f"--b\r\n{head}\r\n\r\n{text}\r\n--b--\r\n"


def invite(phone, body, number="91002"):
    """An INVITE with a multipart body; the challenge is answered."""
    d = Dialog(phone, f"sip:{number}@{phone.uri_host}")
    for _ in range(2):
        text = d.text("INVITE", body, d.authorized("INVITE")).replace("application/sdp\r\nContent-Length",
                                                                      "multipart/mixed;boundary=b\r\nContent-Length")
        d.invite_branch, d.invite_cseq = d.branch, d.cseq
        phone.send(text)
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
def test_encoded_description_is_read(pair, name, encode):  # noqa: F811
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
def test_description_that_can_not_be_read_is_refused(pair, header, content, status):  # noqa: F811
    caller, _ = pair
    d, m = invite(caller, multipart(content, header, "Content-Disposition: session;handling=required"))
    d.ack(m)
    assert m.status == status, str(m)
    if status == 415:
        assert m["Accept-Encoding"] == "identity" and "application/sdp" in m["Accept"]


def test_encoded_body_is_refused(pair):  # noqa: F811
    """RFC 3261 section 8.2.3."""
    caller, _ = pair
    caller.credentials.take(caller.register_once())
    here = caller.invite("91002", headers=["Content-Encoding: gzip"])
    m = here.expect(415)
    here.ack(m)
    assert m["Accept-Encoding"] == "identity"
