"""Registrations that Cordboard keeps at its trunks (RFC 3261 §10.2, RFC 3608, RFC 5626 §4.5)."""
import hashlib
import re

import pytest

from office import Office, wait_until
from sip import Phone, params_of, sdp, token, uri_of

ROUTES = """
INSERT INTO pbx.context (domain, context) VALUES ('office', 'outside');
INSERT INTO pbx.trunk (domain, name, context) VALUES ('office', 'provider', 'outside');
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'outside', '_X!'), ('office', 'office', '_77X!');
INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
    ('office', 'outside', '_X!', 1, 'dial', '{"number": "1003"}'),
    ('office', 'office', '_77X!', 1, 'dial', '{"number": "${number:2}", "trunk": "provider"}');
"""
CLEAN = """
DELETE FROM pbx.route WHERE context = 'outside' OR pattern = '_77X!';
DELETE FROM pbx.trunk WHERE name = 'provider';
DELETE FROM pbx.context WHERE context = 'outside';
"""


class Provider(Phone):
    """A registrar of one account."""

    def __init__(self, office, **kwargs):
        super().__init__(office, "provider", **kwargs)
        self.expires = 300

    def take(self, timeout=10):
        return self.expect("REGISTER", timeout=timeout)

    def challenge(self, m, status=401, nonce=None):
        nonce = nonce or token()
        name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
        self.reply(m, status, "Unauthorized", [f'{name}: Digest realm="provider", nonce="{nonce}", qop="auth", algorithm=MD5'], tag=token())
        return nonce

    def is_right(self, m, password="secret", name="Authorization"):
        p = params_of(m[name].partition(" ")[2])
        md5 = lambda text: hashlib.md5(text.encode()).hexdigest()  # noqa: E731
        ha1, ha2 = md5(f"{p['username']}:{p['realm']}:{password}"), md5(f"REGISTER:{p['uri']}")
        return p["username"] == "acme" and p["response"] == md5(f"{ha1}:{p['nonce']}:{p['nc']}:{p['cnonce']}:auth:{ha2}")

    def accept(self, m, headers=(), expires=None):
        found = re.search(r"(?m)^Expires: (\d+)", str(m))
        if found and found.group(1) == "0":
            self.reply(m, 200, "OK", headers, tag=token())
        else:
            self.reply(m, 200, "OK", [f"Contact: {m['Contact']};expires={expires or self.expires}", *headers], tag=token())
        return m

    def register(self, headers=(), **kwargs):
        """Takes a registration, with a challenge; returns the request with credentials."""
        self.challenge(self.take(**kwargs))
        m = self.take()
        assert self.is_right(m), str(m)
        return self.accept(m, headers)


def state(office):
    rows = office.sql("SELECT registration, status, contact, registered_until, failures, registrar, next_try FROM pbx.trunk_state"
                      " WHERE (domain, name) = ('office', 'provider')")
    return rows[0] if rows else (None,) * 7


def wait_state(office, what):
    wait_until(lambda: state(office)[0] == what)
    return state(office)


@pytest.fixture
def line(office):
    """An office with a trunk that registers at a provider of the test's."""
    office.change(ROUTES)
    with Provider(office) as provider:
        try:
            office.change("UPDATE pbx.trunk SET (uri, auth_user, auth_password, contact_user, register) = (%s, 'acme', 'secret', '4399', true)"
                          " WHERE name = 'provider'", f"sip:{provider.host}:{provider.port}")
            yield provider
        finally:
            office.change(CLEAN)


def test_registers_and_says_so(office, line):
    m = line.take()
    assert m.start == f"REGISTER sip:{line.host}:{line.port} SIP/2.0"
    assert uri_of(m["To"]) == uri_of(m["From"]) == f"sip:acme@{line.host}"
    assert (m["Expires"], "path" in m["Supported"], "+sip.instance" in m["Contact"]) == ("600", True, True)
    line.challenge(m)
    again = line.take()
    assert line.is_right(again)
    assert (again["Call-ID"], again.from_tag, again.cseq) == (m["Call-ID"], m.from_tag, m.cseq + 1)
    line.accept(again)
    registration, status, contact, until, failures, registrar, next_try = wait_state(office, "registered")
    assert (status, failures, registrar, contact) == (200, 0, f"{line.host}:{line.port}", uri_of(again["Contact"]))
    seconds = office.sql("SELECT extract(epoch FROM registered_until - now()), extract(epoch FROM registered_until - next_try)"
                         " FROM pbx.trunk_state")[0]
    assert 280 < seconds[0] <= 300 and 30 <= seconds[1] <= 61


def test_call_to_the_contact_is_the_trunks(office, line):
    """Wherever it comes from: who knows the contact is the provider."""
    contact = uri_of(line.register()["Contact"])
    wait_state(office, "registered")
    with Phone(office, "1003") as phone, Phone(office, "43123456") as gateway:
        assert phone.register().status == 200
        try:
            call = gateway.invite(None, uri=contact, auth=False)
            rung = phone.answer_invite()
            assert uri_of(rung.invite["From"]).startswith("sip:43123456@")
            rung.answer()
            call.ack(call.expect(200, skip=(100, 180)))
            call.bye()
            rung.take_bye()
            forged = gateway.invite(None, uri=re.sub(r"line=.", "line=0", contact), auth=False)
            forged.ack(forged.expect(401, 403))
            # The provider itself may leave the parameter out
            call = line.invite(None, uri=contact.partition(";line")[0], auth=False)
            rung = phone.answer_invite()
            rung.answer()
            call.ack(call.expect(200, skip=(100, 180)))
            call.bye()
            rung.take_bye()
        finally:
            phone.unregister()


def test_number_may_be_in_to(office, line):
    office.change("UPDATE pbx.step SET args = '{\"number\": \"${number}\"}' WHERE context = 'outside';"
                  " UPDATE pbx.trunk SET number_from = 'to' WHERE name = 'provider'")
    contact = uri_of(line.register()["Contact"])
    assert contact.startswith("sip:4399@")
    wait_state(office, "registered")
    with Phone(office, "1003") as phone, Phone(office, "43123456") as gateway:
        assert phone.register().status == 200
        try:
            text = gateway.request("INVITE", contact, [f"Contact: {gateway.contact}"], sdp(gateway.addr, 40000), to="<sip:1003@provider>")
            gateway.send(text)
            rung = phone.answer_invite()
            rung.reply(486, "Busy")
            rung.expect("ACK")
            gateway.expect(486, skip=(100, 180))
        finally:
            phone.unregister()


def test_calls_out_take_the_service_route(office, line):
    way = f"<sip:out@{line.host}:{line.port};lr>"
    line.register([f"Service-Route: {way}, <sip:inner.invalid;lr>"])
    wait_state(office, "registered")
    with Phone(office, "1001") as caller:
        call = caller.invite("7743123")
        d = line.answer_invite()
        assert d.invite.start == f"INVITE sip:43123@{line.host}:{line.port} SIP/2.0"
        assert ",".join(d.invite.all("Route")).replace(", ", ",") == f"{way},<sip:inner.invalid;lr>"
        d.reply(486, "Busy")
        d.expect("ACK")
        call.ack(call.expect(486, skip=(100, 180)))


def test_calls_and_registrations_go_through_the_proxy(office, line):
    line.register()
    office.change("UPDATE pbx.trunk SET proxy = %s, registrar = 'sip:registrar.invalid' WHERE name = 'provider'", f"sip:{line.host}:{line.port}")
    # Another registrar: the old registration is taken back, a new one made
    seen = {}
    for _ in range(2):
        m = line.accept(line.take())
        seen[m.start.split()[1]] = m
    assert seen[f"sip:{line.host}:{line.port}"]["Expires"] == "0"
    assert seen["sip:registrar.invalid"]["Route"] == f"<sip:{line.host}:{line.port};lr>"
    wait_state(office, "registered")
    with Phone(office, "1001") as caller:
        call = caller.invite("7743123")
        d = line.answer_invite()
        assert d.invite["Route"] == f"<sip:{line.host}:{line.port};lr>"
        d.reply(486, "Busy")
        d.expect("ACK")
        call.ack(call.expect(486, skip=(100, 180)))


def test_asks_for_longer_when_it_was_too_brief(office, line):
    m = line.take()
    line.reply(m, 423, "Interval Too Brief", ["Min-Expires: 1800"], tag=token())
    m = line.take()
    assert m["Expires"] == "1800"
    line.accept(m, expires=1800)
    assert wait_state(office, "registered")[1] == 200


def test_wrong_password_is_tried_again_later_and_at_once_when_changed(office, line):
    line.challenge(line.take())
    line.challenge(line.take())     # not stale: the password is wrong
    registration, status, contact, until, failures, registrar, next_try = wait_state(office, "failed")
    assert (status, failures, until) == (401, 1, None)
    assert 20 < office.sql("SELECT extract(epoch FROM next_try - now()) FROM pbx.trunk_state")[0][0] < 61
    office.change("UPDATE pbx.trunk SET auth_password = 'other' WHERE name = 'provider'")
    line.challenge(line.take(), 407)
    m = line.take()
    assert line.is_right(m, "other", "Proxy-Authorization")
    line.accept(m)
    assert wait_state(office, "registered")[4] == 0


def test_stale_nonce_is_answered_once_more(office, line):
    line.challenge(line.take())
    m = line.take()
    line.reply(m, 401, "Unauthorized", ['WWW-Authenticate: Digest realm="provider", nonce="new", qop="auth", stale=true'], tag=token())
    m = line.take()
    assert line.is_right(m) and params_of(m["Authorization"])["nonce"] == "new"
    line.accept(m)
    wait_state(office, "registered")


def test_answer_without_our_contact_is_a_failure(office, line):
    line.reply(line.take(), 200, "OK", ["Contact: <sip:somebody@192.0.2.1>;expires=600"], tag=token())
    assert wait_state(office, "failed")[1] == 200


def test_disabled_trunk_is_unregistered(office, line):
    line.register()
    wait_state(office, "registered")
    office.change("UPDATE pbx.trunk SET enabled = false WHERE name = 'provider'")
    m = line.accept(line.take())
    assert m["Expires"] == "0"
    wait_state(office, "off")
    office.change("UPDATE pbx.trunk SET enabled = true WHERE name = 'provider'")
    line.register()
    wait_state(office, "registered")


def test_connection_that_ends_is_made_again(office):
    office.change(ROUTES)
    import socket
    with socket.socket() as listener, Phone(office, "provider") as probe:
        listener.bind((probe.addr, 5070))
        listener.listen()
        listener.settimeout(20)

        def take():
            made, _ = listener.accept()
            made.settimeout(20)
            data = b""
            while b"\r\n\r\n" not in data:
                data += made.recv(65535)
            return made, data.decode()
        try:
            office.change("UPDATE pbx.trunk SET (uri, register_as, register) = (%s, 'acme', true) WHERE name = 'provider'",
                          f"sip:{probe.addr}:5070;transport=tcp")
            made, text = take()
            head = {k.lower(): v for k, v in (line.split(": ", 1) for line in text.split("\r\n")[1:] if ": " in line)}
            assert ";transport=tcp" in head["contact"]
            made.sendall((f"SIP/2.0 200 OK\r\nVia: {head['via']}\r\nFrom: {head['from']}\r\nTo: {head['to']};tag=x\r\nCall-ID: {head['call-id']}\r\n"
                          f"CSeq: {head['cseq']}\r\nContact: {head['contact']};expires=600\r\nContent-Length: 0\r\n\r\n").encode())
            wait_state(office, "registered")
            made.close()
            made, text = take()
            assert text.startswith("REGISTER")
            made.close()
        finally:
            office.change(CLEAN)


def test_cordboard_registers_at_cordboard_and_unregisters_when_it_stops(office, own_office):
    """Our own registrar as the provider: extension 1004 of one is the trunk of the other."""
    provider, pbx = office, own_office
    pbx.change(ROUTES)
    pbx.change("UPDATE pbx.trunk SET (uri, auth_user, auth_password, register, register_expires_s) = (%s, '1004', 's1004', true, 120)"
               " WHERE name = 'provider'", f"sip:{provider.addr}")
    wait_state(pbx, "registered")
    with Phone(pbx, "1003") as phone, Phone(provider, "1001") as caller:
        assert phone.register().status == 200
        call = caller.invite("91004")
        rung = phone.answer_invite()
        assert uri_of(rung.invite["From"]).startswith("sip:1001@")
        rung.answer()
        call.ack(call.expect(200, skip=(100, 180)))
        call.bye()
        rung.take_bye()
        phone.unregister()
    # A power cut: it comes back and takes its old place
    pbx.kill()
    mark = len(pbx.log)
    pbx.start_server()
    pbx.wait_log("trunk=office/provider registered", mark)   # in SQL it still is, from before
    provider.wait_sql("SELECT count(*) = 1 FROM pbx.binding WHERE number = '1004'")
    pbx.stop_server()
    provider.wait_sql("SELECT count(*) = 0 FROM pbx.binding WHERE number = '1004'")
    assert state(pbx)[0] is None


def test_exchange_registers_for_all_its_numbers(office, own_office):
    """RFC 6140, both sides: a call for any number of the exchange comes in over its one registration, and goes out as that number."""
    provider, pbx = office, own_office
    pbx.change(ROUTES)
    pbx.change("DELETE FROM pbx.route WHERE context = 'outside'; INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'outside', '1006');"
               " INSERT INTO pbx.step (domain, context, pattern, position, app, args)"
               " VALUES ('office', 'outside', '1006', 1, 'dial', '{\"number\": \"1003\"}')")
    try:
        provider.change("UPDATE pbx.extension SET bulk_registers = true WHERE number = '1004';"
                        " UPDATE pbx.extension SET bulk_account = '1004' WHERE number IN ('1005', '1006')")
        pbx.change("UPDATE pbx.trunk SET (uri, auth_user, auth_password, register, register_bulk) = (%s, '1004', 's1004', true, true)"
                   " WHERE name = 'provider'", f"sip:{provider.addr}")
        wait_state(pbx, "registered")
        with Phone(pbx, "1003") as phone, Phone(provider, "1001") as caller:
            assert phone.register().status == 200
            call = caller.invite("91005")      # which the exchange has no route for
            call.ack(call.expect(*range(400, 700), skip=(100, 180)))
            call = caller.invite("91006")
            rung = phone.answer_invite()
            rung.answer()
            call.ack(call.expect(200, skip=(100, 180)))
            call.bye()
            rung.take_bye()
            phone.unregister()
    finally:
        pbx.stop_server()
        provider.change("UPDATE pbx.extension SET bulk_account = NULL; UPDATE pbx.extension SET bulk_registers = false")
