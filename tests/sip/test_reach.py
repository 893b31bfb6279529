"""Where requests in a dialog go, what can be dialled, and offers that ask for more than we have (RFC 3261 §12.2, §8.2.2; RFC 3264)."""
import re

import pytest

from rtp import Rtp
from sip import Dialog, Phone, media_of, sdp


class BehindNat(Phone):
    """Its Contact has an address that nobody can reach."""

    @property
    def contact(self):
        return f"<sip:{self.user}@10.9.9.9:5099>"

    def via(self, branch=None):
        return super().via(branch).replace(f"{self.host}:{self.port}", "10.9.9.9:5099")


# ---- where to ----

def test_target_of_a_uri_is_a_variable(pair, office):
    """RFC 4458: whom a mailbox is called for."""
    caller, callee = pair
    office.change("INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '0458', 'Mail');"
                  " INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES"
                  " ('office', 'office', '0458', 1, 'dial', '{\"number\": \"${target}\"}')")
    try:
        here = caller.invite(None, uri=f"sip:0458@{caller.uri_host};target=sip:1002%40office;cause=486")
        there = callee.answer_invite()
        there.answer()
        here.ack(here.expect(200))
        here.bye()
        there.take_bye()
    finally:
        office.change("DELETE FROM pbx.route WHERE pattern = '0458'")


def test_phones_behind_nat_are_reached_at_their_source(office):
    with BehindNat(office, "1001") as caller, BehindNat(office, "1002") as callee:
        callee.register()
        here = caller.invite("91002")
        there = callee.answer_invite()
        there.answer()
        here.ack(here.expect(200))
        there.send("BYE")
        there.expect(200)
        assert here.take_bye().start == "BYE sip:1001@10.9.9.9:5099 SIP/2.0"
        here = caller.invite("91002")
        there = callee.answer_invite()
        there.answer()
        here.ack(here.expect(200))
        here.send("BYE")
        assert there.take_bye().start == "BYE sip:1002@10.9.9.9:5099 SIP/2.0"
        here.expect(200)
        callee.unregister()


def test_requests_go_to_the_contact_of_the_answer(pair, office):
    """RFC 3261 §12.1.2: the remote target; the ACK is the first that goes there."""
    caller, callee = pair
    with Phone(office, "1002", addr=callee.addr, port=5071) as line:
        here = caller.invite("91002")
        there = callee.answer_invite()
        text = there.reply(200, "OK", body=sdp(callee.addr, 40000))
        assert "5071" not in text
        callee.expect("ACK")
        here.ack(here.expect(200))
        there.send("UPDATE", headers=[])                                     # RFC 3311: a target refresh
        there.expect(200)
        callee.send(there.text("UPDATE", contact=False, headers=[f"Contact: {line.contact}"]))
        there.expect(200)
        here.send("BYE")
        bye = line.expect("BYE")
        assert bye.start.startswith(f"BYE sip:1002@{callee.addr}:5071")
        line.reply(bye, 200, "OK")
        here.expect(200)


def test_new_source_of_a_registration_is_where_calls_go(office):
    """The NAT in between was restarted: same Contact, another port."""
    with Phone(office, "1001") as caller, Phone(office, "1002") as before, Phone(office, "1002", addr=None, port=5072) as after:
        contact = "<sip:1002@10.8.8.8:5060>"
        assert before.register([contact]).status == 200
        after.registration = before.registration
        after.credentials = before.credentials
        assert after.register([contact]).status == 200
        here = caller.invite("91002")
        there = after.answer_invite()
        there.reply(486, "Busy Here")
        there.expect("ACK")
        here.ack(here.expect(486))
        before.expect_none(0.2)
        after.unregister()


# ---- what is dialled ----

@pytest.mark.parametrize("number", ["600", "%36%30%30", "600;phone-context=office"])
def test_echo_is_dialled_in_several_ways(office, number):
    """RFC 3261 §19.1.4: %36 is 6, whoever writes it so."""
    with Phone(office, "1001") as caller:
        call = caller.invite(number)
        m = call.expect(200, 404)
        call.ack(m)
        if number.startswith("600;"):
            assert m.status == 404                                           # parameters of a user part are part of it
        else:
            assert m.status == 200
            call.bye()


def test_telephone_number_is_dialled(office):
    """RFC 3966: tel: is for whoever resolves it, and here that is us. Dots and dashes are for the eye (§5.1.1)."""
    with Phone(office, "1001") as caller:
        for uri in ("tel:600", "tel:6-0.0;phone-context=cordboard"):
            call = caller.invite(None, uri=uri)
            call.ack(call.expect(200))
            call.bye()


@pytest.mark.parametrize("uri,status", [("sip:127.0.0.1", 484), ("http://example.com", 416)])
def test_uri_that_leads_nowhere(office, uri, status):
    with Phone(office, "1001") as caller:
        call = Dialog(caller, uri)
        call.remote = "<sip:600@cordboard>"
        call.send("INVITE", sdp(caller.addr, 40000))
        m = call.expect(status)
        call.ack(m)


def test_caller_may_not_say_he_is_another(office):
    with Phone(office, "1001") as caller:
        caller.register()
        call = Dialog(caller, f"sip:600@{caller.uri_host}")
        call.local = "<sip:1005@cordboard>"
        call.send_invite(sdp(caller.addr, 40000))
        m = call.expect(403)
        call.ack(m)
        caller.unregister()


def test_names_are_those_of_the_database(office):
    """Quotes, backslashes and letters of the world in a display name arrive whole."""
    name = 'Ürsül "Q" \\ Ænima'
    office.change("UPDATE pbx.extension SET display_name = %s WHERE number = '1001'", name)
    try:
        with Phone(office, "1001") as caller, Phone(office, "1002") as callee:
            callee.register()
            here = caller.invite("91002")
            there = callee.answer_invite()
            quoted = re.match(r'"((?:[^"\\]|\\.)*)"', there.invite["From"]).group(1)
            assert re.sub(r"\\(.)", r"\1", quoted).encode("utf-8", "surrogateescape").decode() == name
            there.reply(486, "Busy Here")
            there.expect("ACK")
            here.ack(here.expect(486))
            callee.unregister()
    finally:
        office.change("UPDATE pbx.extension SET display_name = 'Olive Operator' WHERE number = '1001'")


# ---- offers ----

def streams(body):
    return re.findall(r"^m=(\w+) (\d+)", body, re.M)


def test_answer_has_a_line_for_every_stream(pair):
    """RFC 3264 §6: as many m= lines, in order; what isn't wanted has port 0."""
    caller, callee = pair
    video = ["m=video 40010 RTP/AVP 96", "a=rtpmap:96 H264/90000", "m=image 40020 udptl t38", "m=text 0 RTP/AVP 98"]
    here = caller.invite("91002", sdp(caller.addr, 40000, extra=video))
    there = callee.answer_invite()
    there.answer()
    ok = here.expect(200)
    here.ack(ok)
    assert [kind for kind, _ in streams(ok.body)] == ["audio", "video", "image", "text"]
    assert [port == "0" for _, port in streams(ok.body)] == [False, True, True, True]
    here.send("BYE")
    there.take_bye()
    here.expect(200)


def test_call_that_begins_on_hold(pair):
    caller, callee = pair
    with Rtp(callee.addr) as rtp:
        here = caller.invite("91002", sdp(caller.addr, 40000, [(0, "PCMU/8000")], "sendonly"))
        there = callee.answer_invite()
        there.answer(sdp(callee.addr, rtp.port, [(0, "PCMU/8000")]))
        ok = here.expect(200)
        here.ack(ok)
        assert "a=recvonly" in ok.body
        rtp.start(media_of(there.invite.body))
        here.send("BYE")
        there.take_bye()
        here.expect(200)


def test_codec_may_change_during_a_call(pair):
    """RFC 3264 §8.3.2. One side goes on as before: from now on it is transcoded."""
    caller, callee = pair
    with Rtp(caller.addr) as a, Rtp(callee.addr) as b:
        here = caller.invite("91002", sdp(caller.addr, a.port, [(0, "PCMU/8000")]))
        there = callee.answer_invite()
        there.answer(sdp(callee.addr, b.port, [(0, "PCMU/8000")]))
        ok = here.expect(200)
        here.ack(ok)
        a.start(media_of(ok.body))
        b.start(media_of(there.invite.body))
        a.wait_received(10, pt=0)
        here.send("INVITE", sdp(caller.addr, a.port, [(8, "PCMA/8000")], version=2))
        ok = here.expect(200)
        here.ack(ok)
        assert "PCMA" in ok.body
        # The other is asked whether it would change, too; it would not.
        again = there.expect("INVITE")
        assert re.search(r"^m=audio \d+ RTP/AVP 8 ", again.body, re.M)
        there.reply(200, "OK", again, body=sdp(callee.addr, b.port, [(0, "PCMU/8000")], version=2))
        there.expect("ACK")
        a.pt = 8
        a.wait_received(10, pt=8)
        b.wait_received(10, pt=0)
        here.send("BYE")
        there.take_bye()
        here.expect(200)


def test_answer_from_nobody_we_know_ends_the_call(pair):
    """The callee answers with a codec that was not offered."""
    caller, callee = pair
    here = caller.invite("91002", sdp(caller.addr, 40000))
    there = callee.answer_invite()
    there.answer(sdp(callee.addr, 40000, [(97, "SPEEX/8000")]))
    bye = there.take_bye()
    assert "488" in bye["Reason"]
    m = here.expect(*range(400, 700), skip=(100, 180))
    here.ack(m)


def test_call_in_compact_form(pair):
    """RFC 3261 §7.3.3: a phone that saves every byte, and ends its lines in SDP as it likes."""
    caller, callee = pair
    caller.credentials.take(caller.register_once())
    call = Dialog(caller, f"sip:91002@{caller.uri_host}")
    text = call.text("INVITE", sdp(caller.addr, 40000).replace("\r\n", "\n"), call.authorized("INVITE"))
    for name, short in (("Via", "v"), ("From", "f"), ("To", "t"), ("Call-ID", "i"), ("Contact", "m"), ("Content-Type", "c"),
                        ("Content-Length", "l")):
        text = text.replace(f"\r\n{name}:", f"\r\n{short}:")
    caller.send(text)
    there = callee.answer_invite()
    there.answer()
    call.ack(call.expect(200))
    call.bye(skip=(100,))
    there.take_bye()


def test_two_calls_between_the_same_two(pair):
    caller, callee = pair
    first = caller.invite("91002")
    one = callee.answer_invite()
    one.answer()
    first.ack(first.expect(200))
    second = caller.invite("91002")
    two = callee.answer_invite()
    two.answer()
    second.ack(second.expect(200))
    first.send("BYE")
    one.take_bye()
    first.expect(200)
    caller.expect_none(0.2)
    callee.expect_none(0.1)
    second.send("BYE")
    two.take_bye()
    second.expect(200)


def test_message_that_is_too_large(office):
    """Over TCP a length that nobody would send isn't waited for."""
    with Phone(office, "1001", proto="tcp") as caller:
        caller.send(caller.request("OPTIONS").replace("Content-Length: 0", "Content-Length: 100000000"))
        m = None
        try:
            m = caller.expect(413, 513, 400)
        except AssertionError as error:
            assert "closed the connection" in str(error)
        assert m is None or m.status >= 400
    with Phone(office, "1001", proto="tcp") as caller:
        assert caller.ask("OPTIONS").status == 200
