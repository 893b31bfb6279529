"""A call to a sips URI goes by secure hops alone (RFC 5630, RFC 3261 section 26.2.2); nobody else's call is any different."""
import pytest

from sip import Phone


@pytest.fixture(autouse=True)
def plain_media(office):
    """Who comes by WebSocket is taken for a browser, and these aren't."""
    office.change("UPDATE pbx.extension SET srtp = 'never' WHERE number = '1002'")
    yield
    office.change("UPDATE pbx.extension SET srtp = DEFAULT WHERE number = '1002'")


@pytest.mark.parametrize("scheme,proto,is_reached", [("sips", "wss", True), ("sips", "udp", False), ("sips", "tcp", False), ("sips", "ws", False),
                                                     ("sip", "udp", True), ("sip", "wss", True)])
def test_sips_call_takes_no_insecure_hop(office, scheme, proto, is_reached):
    with Phone(office, "1001", proto="wss") as caller, Phone(office, "1002", proto=proto) as callee:
        assert callee.register().status == 200
        here = caller.invite(None, uri=f"{scheme}:91002@{caller.uri_host}")
        if is_reached:
            there = callee.answer_invite()
            there.answer()
            m = here.expect(200)
            here.ack(m)
            assert m["Contact"].startswith(f"<{scheme}:")        # RFC 3261 section 12.1.1
            here.bye()
            there.take_bye()
        else:
            m = here.expect(480)
            here.ack(m)
            assert m["Warning"].startswith("380 ") and "SIPS" in m["Warning"]
        callee.unregister()


def test_sips_call_rings_the_secure_phone_alone(office):
    with Phone(office, "1001", proto="wss") as caller, Phone(office, "1002", proto="wss") as secure, Phone(office, "1002") as other:
        assert secure.register().status == 200 and other.register().status == 200
        here = caller.invite(None, uri=f"sips:91002@{caller.uri_host}")
        there = secure.answer_invite()
        there.reply(486, "Busy Here")
        there.expect("ACK")
        m = here.expect(486)
        here.ack(m)
        secure.unregister()
        other.unregister()                                       # nothing else came


@pytest.mark.parametrize("proto,status", [("wss", 200), ("udp", 400), ("ws", 400)])
def test_sips_contact_needs_a_secure_way(office, proto, status):
    with Phone(office, "1002", proto=proto) as phone:
        contact = phone.contact.replace("<sip:", "<sips:")
        assert phone.register([contact]).status == status
        if status == 200:
            phone.unregister()
