"""Calls to a trunk with several proxies: when one can't serve it, the call goes by the next."""
import contextlib

import pytest

from sip import Phone


ROUTES = """
INSERT INTO pbx.trunk (domain, name, context, uri, outbound, proxy, more_proxies) VALUES ('office', 'isp', 'office',
    'sip:192.0.2.1', true, '{}', '{{{},{}}}');
INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_0XX', 'Out');
INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
    ('office', 'office', '_0XX', 1, 'dial', '{{"number": "${{number:1}}", "trunk": "isp"}}');
"""


@contextlib.contextmanager
def made(office):
    """The caller and three proxies of the trunk."""
    with Phone(office, "1002") as caller, Phone(office, "a") as a, Phone(office, "b") as b, Phone(office, "c") as c:
        office.change(ROUTES.format(*(f"sip:{p.host}:{p.port}" for p in (a, b, c))))
        try:
            yield caller, a, b, c
        finally:
            office.change("DELETE FROM pbx.route WHERE pattern = '_0XX'; DELETE FROM pbx.trunk WHERE name = 'isp'")


@pytest.fixture
def house(office):
    with made(office) as parts:
        yield parts


def refuse(proxy, status):
    there = proxy.answer_invite()
    there.reply(status, "No")
    there.expect("ACK")
    return there


def send_elsewhere(proxy, *contacts, number="12"):
    there = proxy.answer_invite()
    assert there.invite.start.startswith(f"INVITE sip:{number}@")
    there.reply(302, "Moved Temporarily", contact=False, headers=[f"Contact: {c}" for c in contacts])
    there.expect("ACK")


def test_network_sends_the_call_elsewhere(house):
    """RFC 3261 section 8.1.3.4: by another way, as long as it names one that wasn't tried; not to who may not be dialled, and not here."""
    caller, a, b, c = house
    there = [f"sip:12@{p.host}:{p.port}" for p in (a, b, c)]
    here = caller.invite("012")
    send_elsewhere(a, "<sip:12@192.0.2.1>, <sip:12@office>, <sip:00900@192.0.2.2>", f"<{there[2]}>;q=0.3", f"<{there[1]}>;q=0.5")
    send_elsewhere(b, f"<{there[1]}>, <{there[2]}>;q=0.1, <mailto:x@y>")
    last = c.answer_invite()
    assert last.invite.start.startswith(f"INVITE {there[2]} ") and not last.invite.all("Route")
    last.answer()
    here.ack(here.expect(200))
    here.bye()
    last.take_bye()


def test_network_sends_the_call_to_another_number(house):
    """To one that the caller could have dialled himself, and says that he was sent on; who comes behind it hears nothing of that."""
    caller, a, b, c = house
    here = caller.invite("012")
    send_elsewhere(a, f"<sip:12@{c.host}:{c.port}>;q=0.5, <sip:013@{b.host}:{b.port}>")
    last = b.answer_invite()
    assert last.invite.start.startswith("INVITE sip:013@")
    assert "sip:12@" in last.invite["Diversion"]
    last.reply(486, "Busy Here")
    last.expect("ACK")
    last = c.answer_invite()
    assert last.invite.start.startswith("INVITE sip:12@") and not last.invite.all("Diversion")
    last.reply(486, "Busy Here")
    last.expect("ACK")
    here.ack(here.expect(486))


def test_network_that_sends_nowhere_is_a_way_that_failed(house, office):
    """The route goes on with its next step."""
    caller, a, _, _ = house
    office.change("INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES"
                  " ('office', 'office', '_0XX', 2, 'dial', '{\"number\": \"1004\"}')")
    with Phone(office, "1004") as second:
        second.register()
        here = caller.invite("012")
        send_elsewhere(a, "<sip:12@192.0.2.1>")
        there = second.answer_invite()
        there.answer()
        here.ack(here.expect(200))
        here.bye()
        there.take_bye()
        second.unregister()


def answer_and_hang_up(here, proxy):
    there = proxy.answer_invite()
    assert there.invite["Route"] == f"<sip:{proxy.host}:{proxy.port};lr>"
    assert there.invite.start.startswith("INVITE sip:12@192.0.2.1 ")
    there.answer()
    here.ack(here.expect(200))
    here.bye()
    there.take_bye()


@pytest.mark.parametrize("status", [503, 500, 502, 504, 408, 430])
def test_call_goes_by_the_next_proxy(house, status):
    caller, a, b, c = house
    here = caller.invite("012")
    there = refuse(a, status)
    assert there.invite["Route"] == f"<sip:{a.host}:{a.port};lr>"
    there = b.answer_invite()
    there.ring()                                                             # what the first has said isn't heard twice
    here.expect(180)
    there.answer()
    here.ack(here.expect(200))
    c.expect_none(0.1)
    here.bye()
    there.take_bye()


@pytest.mark.office(sip={"next_target_ms": 500})
def test_call_goes_by_the_next_proxy_when_one_says_nothing(own_office):
    with made(own_office) as (caller, a, b, _):
        here = caller.invite("012")
        a.answer_invite()
        answer_and_hang_up(here, b)


@pytest.mark.parametrize("status,told", [(404, 404), (486, 486), (501, 501), (603, 603)])
def test_refusal_of_the_number_is_the_answer(house, status, told):
    caller, a, b, _ = house
    here = caller.invite("012")
    refuse(a, status)
    here.ack(here.expect(told))
    b.expect_none(0.1)


def test_refusal_of_all_is_the_callers_and_one_that_rang_is_not_left(house):
    caller, a, b, c = house
    here = caller.invite("012")
    for proxy in a, b, c:
        refuse(proxy, 503)
    here.ack(here.expect(503))
    here = caller.invite("012")
    there = a.answer_invite()
    there.ring()
    here.expect(180)
    there.reply(503, "Broken")
    there.expect("ACK")
    here.ack(here.expect(503))
    b.expect_none(0.1)
