"""Which of an extension's contacts a call rings, and by which way (RFC 3261 §16.6, RFC 3327, RFC 5626, RFC 5627)."""
import re

import pytest

from sip import Phone, uri_of
from watch import Lamp, Watch

URN = "urn:uuid:00000000-0000-1000-8000-00000000000{}"


def instance(letter):
    return f'+sip.instance="<{URN.format(letter)}>"'


@pytest.fixture
def phones(office):
    """Makes phones of 1003 and others; what they registered goes with the test."""
    made = []

    def make(user="1003", **kwargs):
        made.append(Phone(office, user, **kwargs))
        return made[-1]
    try:
        yield make
    finally:
        for user in {p.user for p in made}:
            with Phone(office, user) as last:
                last.unregister()
        for p in made:
            p.close()


def register(phone, params="", **kwargs):
    m = phone.register([phone.contact + params], **kwargs)
    assert m.status == 200, str(m)
    return m


def refuse(phone, status, **kwargs):
    dialog = phone.answer_invite(**kwargs)
    dialog.reply(status, "No")
    dialog.expect("ACK")
    return dialog


def hang_up(call, callee):
    """The caller gives up; the phone is told."""
    call.cancel()
    call.expect(200, skip=(100, 180))
    m = callee.phone.expect("CANCEL")
    callee.phone.reply(m, 200)
    callee.reply(487)
    callee.expect("ACK")
    call.ack(call.expect(487))


def test_restarted_phone_rings_once(phones):
    before, after, caller = phones(), phones(), phones("1001")
    register(before, ";" + instance("a"))
    register(after, ";" + instance("a"))
    call = caller.invite("91003")
    rung = after.answer_invite()
    rung.ring()
    call.expect(180)
    before.expect_none()
    hang_up(call, rung)


def test_lower_q_rings_when_higher_refused(phones):
    first, second, caller = phones(), phones(), phones("1001")
    register(first, ";q=0.9")
    register(second, ";q=0.1")
    call = caller.invite("91003")
    rung = first.answer_invite()
    second.expect_none()
    rung.reply(486, "Busy")
    rung.expect("ACK")
    other = second.answer_invite()
    other.answer()
    call.ack(call.expect(200, skip=(100, 180)))
    call.bye()
    other.take_bye()


def test_lower_q_has_its_turn_when_higher_does_not_answer(phones):
    first, second, caller = phones(), phones(), phones("1001")
    register(first, ";q=0.9")
    register(second, ";q=0.1")
    first.office.change("UPDATE pbx.extension SET ring_s = 2 WHERE (domain, number) = ('office', '1003')")
    try:
        call = caller.invite("91003")
        rung = first.answer_invite()
        rung.ring()
        other = second.answer_invite()
        first.reply(first.expect("CANCEL"), 200)
        rung.reply(487)
        rung.expect("ACK")
        other.answer()
        call.ack(call.expect(200, skip=(100, 180)))
        call.bye()
        other.take_bye()
    finally:
        first.office.change("UPDATE pbx.extension SET ring_s = 20 WHERE (domain, number) = ('office', '1003')")


def flow(phone, n):
    m = register(phone, f";reg-id={n};{instance('a')}", headers=["Supported: outbound, path"])
    assert m["Require"] == "outbound" and f";reg-id={n}" in str(m)
    return m


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_second_flow_rings_when_the_first_fails(phones, proto):
    """RFC 5626 §7: one flow at a time, the newest first; 430 takes it away."""
    old, new, caller = phones(proto=proto), phones(proto=proto), phones("1001")
    flow(old, 1)
    assert ("Flow-Timer" in str(flow(new, 2))) == (proto == "tcp")
    call = caller.invite("91003")
    refuse(new, 430)
    rung = old.answer_invite()
    rung.ring()
    call.expect(180)
    hang_up(call, rung)
    assert [uri_of(v) for v in old.register([]).all("Contact")] == [uri_of(old.contact)]


@pytest.mark.parametrize("has_rung", [False, True])
def test_second_flow_rings_when_a_proxy_heard_nothing_by_the_first(phones, has_rung):
    """RFC 5626 §7: after a 408 another flow may be tried, and the first one stays; a phone that has rung had its time."""
    old, new, caller = phones(), phones(), phones("1001")
    flow(old, 1)
    flow(new, 2)
    call = caller.invite("91003")
    rung = new.answer_invite()
    if has_rung:
        rung.ring()
        call.expect(180)
    rung.reply(408, "Request Timeout")
    rung.expect("ACK")
    if has_rung:
        call.ack(call.expect(408, skip=(100, 180)))
        old.expect_none()
        return
    other = old.answer_invite()
    other.ring()
    call.expect(180)
    hang_up(call, other)
    assert len(old.register([]).all("Contact")) == 2


def test_phone_that_refused_is_not_asked_again_by_its_other_flow(phones):
    old, new, caller = phones(), phones(), phones("1001")
    flow(old, 1)
    flow(new, 2)
    call = caller.invite("91003")
    refuse(new, 486)
    call.ack(call.expect(486, skip=(100, 180)))
    old.expect_none()


def test_flow_goes_with_its_connection(phones):
    old, new, caller = phones(proto="tcp"), phones(proto="tcp"), phones("1001")
    flow(old, 1)
    flow(new, 2)
    mark = len(new.office.log)
    new.close()
    new.office.wait_log("connection closed aor=office/1003", mark)
    call = caller.invite("91003")
    rung = old.answer_invite()
    rung.ring()
    call.expect(180)
    hang_up(call, rung)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_call_takes_the_path(phones, proto):
    """RFC 3327: to the proxy, with the path as its Route; the INVITE is for the contact."""
    proxy, caller = phones(proto=proto), phones("1001")
    way = f"<sip:token@{proxy.host}:{proxy.port};lr{';transport=tcp' if proto == 'tcp' else ''}>"
    contact = "<sip:1003@192.0.2.77:5099;x=y>"
    m = proxy.register([contact], headers=[f"Path: {way}, <sip:edge.invalid;lr;ob>", "Supported: path"])
    assert m.status == 200 and m["Path"] == f"{way},<sip:edge.invalid;lr;ob>"
    proxy.office.wait_sql("SELECT count(*) = 1 FROM pbx.binding WHERE number = '1003' AND path = %s", m["Path"])
    call = caller.invite("91003")
    rung = proxy.answer_invite()
    assert rung.invite.start == "INVITE sip:1003@192.0.2.77:5099;x=y SIP/2.0"
    assert ",".join(rung.invite.all("Route")).replace(", ", ",") == m["Path"]
    rung.ring()
    call.expect(180)
    hang_up(call, rung)


def test_unknown_extension_is_refused_and_ours_are_not(phones):
    phone = phones()
    m = phone.register(headers=["Require: path, outbound, gruu, gin"])
    assert m.status == 200 and m["Supported"] == "path, outbound, gruu, gin"
    m = phone.register(headers=["Require: path, postcards"])
    assert (m.status, m["Unsupported"]) == (420, "postcards")


def gruus_of(m, letter):
    contact = next(v for v in m.all("Contact") if URN.format(letter) in v)
    return re.search(r'pub-gruu="([^"]+)"', contact).group(1), re.search(r'temp-gruu="([^"]+)"', contact).group(1)


@pytest.mark.parametrize("kind", ["public", "temporary"])
def test_call_to_a_gruu_rings_that_phone_alone(phones, kind):
    meant, other, caller = phones(), phones(), phones("1001")
    register(other, ";" + instance("b"))
    public, temporary = gruus_of(register(meant, ";" + instance("a"), headers=["Supported: gruu"]), "a")
    assert public.endswith(";gr=" + URN.format("a")) and "1003" not in temporary
    call = caller.invite(None, uri=public if kind == "public" else temporary)
    rung = meant.answer_invite()
    rung.ring()
    call.expect(180)
    other.expect_none()
    hang_up(call, rung)


def test_watching_a_gruu_shows_that_phone_alone(phones):
    """Both phones ring, each lamp shows one of the dialogs; and a call that the phone itself makes is its own, too."""
    left, right, caller = phones(), phones(), phones("1001")
    (public, _), (_, temporary) = (gruus_of(register(p, ";" + instance(c), headers=["Supported: gruu"]), c)
                                   for p, c in ((left, "a"), (right, "b")))
    watches = [Watch(phones("1005"), *uri.removeprefix("sip:").split("@")[:1], host=uri.split("@")[1]) for uri in (public, temporary)]
    assert [Lamp(w.notified()).entity for w in watches] == [public, temporary]
    call = caller.invite("91003")
    rung = [p.answer_invite() for p in (left, right)]
    for ringing, w in zip(rung, watches):
        ringing.ring()
        seen = w.until(lambda m: Lamp(m).states == ["early"])
        assert Lamp(seen[-1]).dialogs[0].get("call-id") == ringing.call_id
    call.cancel()
    call.expect(200, skip=(100, 180))
    for ringing in rung:
        ringing.reply(200, "OK", ringing.expect("CANCEL"))
        ringing.reply(487)
        ringing.expect("ACK")
    call.ack(call.expect(487))
    register(caller)
    out = right.invite("91001")
    ringing = caller.answer_invite()
    ringing.ring()
    out.expect(180)
    watches[1].until(lambda m: out.call_id in [d.get("call-id") for d in Lamp(m).dialogs])
    hang_up(out, ringing)
    for w in watches:
        w.until(lambda m: not set(Lamp(m).states) - {"terminated"})
        w.end()


def test_call_to_a_gruu_of_an_exchange_says_which_phone(office, phones):
    """RFC 6140 section 7.1.1: the exchange makes them of the one that it is given, and of what tells its phones apart."""
    office.change("UPDATE pbx.extension SET bulk_registers = true WHERE number = '1003';"
                  " UPDATE pbx.extension SET bulk_account = '1003' WHERE number = '1005'")
    try:
        exchange, caller = phones(), phones("1001")
        m = exchange.register([f"<sip:{exchange.sent_by};bnc>;" + instance("a")], headers=["Require: gin", "Supported: gin, gruu"])
        given = re.search(r'pub-gruu="sip:([^;"]+);bnc;gr=([^"]+)"', str(m))
        assert given.group(2) == URN.format("a")
        call = caller.invite(None, uri=f"sip:1005@{given.group(1)};gr={given.group(2)};sg=desk7")
        rung = exchange.answer_invite()
        assert rung.invite.start.split()[1] == f"sip:1005@{exchange.sent_by};sg=desk7"
        rung.ring()
        call.expect(180)
        hang_up(call, rung)
        exchange.unregister()
    finally:
        office.change("UPDATE pbx.extension SET bulk_account = NULL WHERE number = '1005';"
                      " UPDATE pbx.extension SET bulk_registers = false WHERE number = '1003'")


def test_options_to_a_gruu_says_whether_its_phone_is_there(phones):
    meant, other, caller = phones(), phones(), phones("1001")
    register(other, ";" + instance("b"))
    public, _ = gruus_of(register(meant, ";" + instance("a"), headers=["Supported: gruu"]), "a")
    caller.register()
    for status in 200, 480:
        m = caller.ask("OPTIONS", public, headers=[caller.credentials.header("OPTIONS", public)])
        assert m.status == status, m
        register(meant, ";" + instance("a"), expires=0)


def test_temporary_gruu_of_another_house_tells_nothing(own_office):
    """Neither to a call nor to an OPTIONS: not even that its number is one here, too."""
    own_office.change("""
        INSERT INTO pbx.domain (domain, display_name, realm, default_context) VALUES ('shop', 'Shop', 'shop', 'shop');
        INSERT INTO pbx.music_class (domain, class, name) VALUES ('shop', 'default', 'Music');
        INSERT INTO pbx.context (domain, context, name) VALUES ('shop', 'shop', 'All');
        INSERT INTO pbx.extension (domain, number, display_name, context) VALUES ('shop', '1003', 'Till', 'shop');
        SELECT pbx.set_password('shop', '1003', 's1003')""")
    with Phone(own_office, "1003") as till, Phone(own_office, "1001") as caller:
        till.domain = "shop"
        _, temporary = gruus_of(register(till, ";" + instance("a"), headers=["Supported: gruu"]), "a")
        call = caller.invite(None, uri=temporary)
        call.ack(call.expect(404))
        for uri, status in ((temporary, 404), (f"sip:1003@{caller.uri_host}", 200)):
            m = caller.ask("OPTIONS", uri, headers=[caller.credentials.header("OPTIONS", uri)])
            assert m.status == status, m


def test_gruu_that_is_none_is_not_found(phones):
    caller = phones("1001")
    for uri in ("sip:1003@cordboard;gr", "sip:tgruu.aaaaaaaaaaaaaaaaaaaaaaaaaa@cordboard;gr"):
        call = caller.invite(None, uri=uri)
        call.ack(call.expect(404))
