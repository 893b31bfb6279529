"""Text messages outside calls (MESSAGE, RFC 3428)."""
import re

import pytest

from office import wait_until
from sip import Phone


def text(phone, number, body="hello", ctype="text/plain", **kwargs):
    """Sends one and returns the final response."""
    return phone.ask("MESSAGE", f"sip:{number}@{phone.uri_host}", body=body, ctype=ctype, **kwargs)


def start(phone, number, body="hello", ctype="text/plain", uri=None, **kwargs):
    """Sends one, credentials included, and doesn't wait for the answer."""
    uri = uri or f"sip:{number}@{phone.uri_host}"
    if not phone.credentials.challenge:
        phone.send(phone.request("MESSAGE", uri, body=body, ctype=ctype))
        phone.credentials.take(phone.expect(401))
    headers = [*kwargs.pop("headers", ()), phone.credentials.header("MESSAGE", uri)]
    phone.send(phone.request("MESSAGE", uri, body=body, ctype=ctype, headers=headers, **kwargs))


def final(phone, **kwargs):
    return phone.expect(*range(200, 700), **kwargs).status


def read(phone, status=200, **kwargs):
    """Waits for a message and answers it."""
    m = phone.expect("MESSAGE", **kwargs)
    phone.reply(m, status, "X", tag="reader")
    return m


@pytest.fixture
def pair(office):
    with Phone(office, "1002") as sender, Phone(office, "1003") as reader:
        assert reader.register().status == 200
        yield sender, reader
        reader.unregister()


@pytest.fixture(autouse=True)
def no_messages(office):
    yield
    office.sql("DELETE FROM pbx.message")


def test_message_reaches_the_phone_as_it_was(office, pair):
    sender, reader = pair
    start(sender, "1003", "Gr\u00fc\u00df dich", 'text/plain;charset="UTF-8"', headers=["X-Secret: 1"])
    m = read(reader)
    assert m.body == "Gr\u00fc\u00df dich" and m["Content-Type"] == 'text/plain;charset="UTF-8"'
    assert f"<sip:1002@{office.addr}>" in m["From"] and "Paul Plug" in m["From"]
    assert not m.get("X-Secret") and not m.get("Contact")                    # RFC 3428 section 4
    assert final(sender) == 200


def test_message_to_a_gruu_is_for_that_phone_alone(office):
    with Phone(office, "1002") as sender, Phone(office, "1003") as meant, Phone(office, "1003") as other:
        other.register()
        contact = f'<{meant.contact.strip("<>")}>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-0000000000aa>"'
        m = meant.register(contacts=[contact], headers=["Supported: gruu"])
        public, temporary = (re.search(kind + '="([^"]+)"', str(m)).group(1) for kind in ("pub-gruu", "temp-gruu"))
        for uri in (public, temporary):
            start(sender, None, uri=uri)
            read(meant)
            assert final(sender) == 200
        meant.register(contacts=[contact], expires=0)
        for uri, status in ((public, 480), (temporary, 404)):
            start(sender, None, uri=uri)
            assert final(sender) == status
        assert not office.sql("SELECT FROM pbx.message")     # it isn't kept for whichever phone comes next
        other.expect_none()
        other.unregister()


@pytest.mark.parametrize("status", [408, 430])
def test_message_goes_by_one_flow_of_a_phone_and_by_the_next_when_that_fails(office, status):
    """RFC 5626 section 7; what an administrator asks of a phone, too (check-sync)."""
    with Phone(office, "1002") as sender, Phone(office, "1003") as old, Phone(office, "1003", proto="tcp") as new:
        for n, phone in enumerate((old, new), 1):
            contact = f'<{phone.contact.strip("<>")}>;reg-id={n};+sip.instance="<urn:uuid:00000000-0000-1000-8000-0000000000aa>"'
            assert phone.register([contact], headers=["Supported: outbound, path"]).status == 200
        start(sender, "1003")
        read(new)
        assert final(sender) == 200
        office.sql("SELECT pbx.check_sync('office', '1003')")
        for phone in (new, old):
            m = phone.expect("NOTIFY")
            assert m["Event"].startswith("check-sync")
            phone.reply(m, 408 if phone is new else 200, "X", tag="reader")
        start(sender, "1003", "again")
        read(new, status)
        assert read(old).body == "again"
        assert final(sender) == 200
        assert office.sql("SELECT count(*) FROM pbx.message") == [(0,)]
        assert len(new.register([]).all("Contact")) == (1 if status == 430 else 2)
        old.unregister()


def test_all_phones_of_a_user_get_it_and_the_first_answers(office, pair):
    sender, reader = pair
    with Phone(office, "1003") as other:
        assert other.register().status == 200
        start(sender, "1003")
        reader.reply(reader.expect("MESSAGE"), 486, "Busy", tag="a")
        read(other)
        assert final(sender) == 200


@pytest.mark.parametrize("status,told", [(415, 415), (486, 486), (600, 600), (401, 403)])
def test_refusal_is_passed_on(pair, status, told):
    sender, reader = pair
    start(sender, "1003")
    read(reader, status)
    assert final(sender) == told


def test_who_hides_himself_is_hidden(office, pair):
    sender, reader = pair
    for headers, name in (["Privacy: id"], "<sip:anonymous@"), (["Privacy: none"], "<sip:1002@"):
        start(sender, "1003", headers=headers)
        m = read(reader)
        assert name in m["From"] and ("Paul" in m["From"]) == ("1002" in name)
        assert final(sender) == 200


def test_from_is_not_believed(office, pair):
    sender, reader = pair
    answer = text(sender, "1003", from_="<sip:1001@cordboard>")
    assert answer.status in (401, 403)
    reader.expect_none(0.2)
    with Phone(office, "1002", password="wrong") as stranger:
        assert text(stranger, "1003").status == 401
    reader.expect_none(0.2)


def test_stored_for_who_is_away_and_delivered_in_order(office):
    with Phone(office, "1002") as sender, Phone(office, "1004") as reader:
        for body in ("one", "two", "three"):
            assert text(sender, "1004", body).status == 202
        assert office.sql("SELECT sender, convert_from(body, 'UTF8') FROM pbx.message WHERE number = '1004' ORDER BY id") == \
            [("1002", "one"), ("1002", "two"), ("1002", "three")]
        reader.register()
        for body, status in (("one", 200), ("two", 415), ("three", 202)):    # who can't show one gets the next
            m = read(reader, status)
            assert m.body == body and m.get("Date")
            assert f"<sip:1002@{office.addr}>" in m["From"]
        wait_until(lambda: office.sql("SELECT convert_from(body, 'UTF8') FROM pbx.message") == [("two",)])
        office.sql("DELETE FROM pbx.message")
        office.sql("INSERT INTO pbx.message (domain, number, sender, content_type, body, expires)"
                   " VALUES ('office', '1004', '1001', 'text/plain', 'by SQL', now() + interval '1 minute')")
        assert read(reader).body == "by SQL"
        reader.unregister()


def test_stored_message_survives_a_restart(own_office):
    with Phone(own_office, "1002") as sender, Phone(own_office, "1004") as reader:
        assert text(sender, "1004", "later").status == 202
        own_office.restart()
        assert reader.register().status == 200
        assert read(reader).body == "later"
        wait_until(lambda: own_office.sql("SELECT count(*) FROM pbx.message") == [(0,)])


def test_what_is_stored_is_bounded(office):
    office.sql("INSERT INTO pbx.message (domain, number, sender, content_type, body, expires)"
               " SELECT 'office', '1004', '1001', 'text/plain', 'x', now() + interval '1 minute' FROM generate_series(1, 100)")
    with Phone(office, "1002") as sender:
        assert text(sender, "1004").status == 480
        assert text(sender, "1006", headers=["Expires: 0"]).status == 480    # not worth keeping


def test_refused(office, pair):
    sender, _ = pair
    assert text(sender, "1003", "x" * 1300).status == 513                    # RFC 3428 section 8
    assert text(sender, "1003", headers=["Content-Encoding: gzip"]).status == 415
    assert text(sender, "1777").status == 404                                # the route's extension doesn't exist
    assert text(sender, "600").status == 404                                 # an application reads no texts
    assert text(sender, "1003", max_forwards=1).status == 483


def test_too_many_are_refused(office, pair):
    with Phone(office, "1005") as sender:
        answers = [text(sender, "1777").status for _ in range(25)]
        assert answers[0] == 404 and answers[-1] == 480


def test_over_tcp_it_may_be_longer(office):
    with Phone(office, "1002", proto="tcp") as sender, Phone(office, "1003", proto="tcp") as reader:
        assert reader.register().status == 200
        start(sender, "1003", "x" * 5000)
        assert len(read(reader).body) == 5000
        assert final(sender) == 200
        reader.unregister()


def test_to_and_from_a_trunk(own_office):
    with Phone(own_office, "1002") as sender, Phone(own_office, "trunk") as trunk:
        own_office.change(f"""
            INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'isp', 'office', 'sip:{trunk.host}:{trunk.port}');
            INSERT INTO pbx.trunk_address VALUES ('office', 'isp', '{trunk.addr}');
            INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_0X.', 'Out');
            INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
                ('office', 'office', '_0X.', 1, 'dial', '{{"number": "${{number:1}}", "trunk": "isp"}}');""")
        start(sender, "04315550123", "out")
        m = read(trunk)
        assert m.body == "out" and str(m).startswith("MESSAGE sip:4315550123@")
        assert "<sip:1002@" in m["From"] and "Paul Plug" in m["From"] and not m.get("Route")
        assert final(sender) == 200
        # As in calls: the house's number, the trunk's, his own; the way through its proxy
        for table, who in ("domain", "domain = 'office'"), ("trunk", "name = 'isp'"), ("extension", "number = '1002'"):
            own_office.change(f"UPDATE pbx.{table} SET caller_id = '555{table}' WHERE {who}")
            start(sender, "04315550123", "out")
            assert f"<sip:555{table}@" in read(trunk)["From"]
            assert final(sender) == 200
        own_office.change(f"UPDATE pbx.trunk SET uri = 'sip:192.0.2.1', proxy = 'sip:{trunk.host}:{trunk.port}'")
        start(sender, "04315550123", "out")
        m = read(trunk)
        assert str(m).startswith("MESSAGE sip:4315550123@192.0.2.1") and m["Route"] == f"<sip:{trunk.host}:{trunk.port};lr>"
        assert final(sender) == 200
        own_office.change("UPDATE pbx.domain SET anonymous = 'outside'")
        start(sender, "04315550123", "out")
        m = read(trunk)
        assert "<sip:anonymous@" in m["From"] and "1002" not in str(m) and "Paul" not in str(m)
        assert final(sender) == 200
        with Phone(own_office, "1003") as reader:
            assert reader.register().status == 200
            trunk.send(trunk.request("MESSAGE", f"sip:91003@{trunk.uri_host}", body="in", ctype="text/plain", from_="<sip:+4315550123@isp>"))
            m = read(reader)
            assert m.body == "in" and "<sip:+4315550123@" in m["From"]
            assert final(trunk) == 200
            # Only of a trusted one it counts who it says that writes (RFC 3325 §5)
            for trusted, shown in [("false", "<sip:+4315550123@"), ("true", '"Carl" <sip:+4315550199@')]:
                own_office.change(f"UPDATE pbx.trunk SET trusted = {trusted}")
                trunk.send(trunk.request("MESSAGE", f"sip:91003@{trunk.uri_host}", body="in", ctype="text/plain", from_="<sip:+4315550123@isp>",
                                         headers=["P-Asserted-Identity: Carl <tel:+43-1-5550199>"]))
                assert shown in read(reader)["From"]
                assert final(trunk) == 200


def test_trunk_is_told_who_writes(own_office):
    """RFC 3325: who it is for a trunk of the trust domain, with his wish if he hides; nothing for others, and a provider is asked for a number."""
    with Phone(own_office, "1002") as sender, Phone(own_office, "trunk") as trunk:
        own_office.change(f"""
            INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'isp', 'office', 'sip:{trunk.host}:{trunk.port}');
            INSERT INTO pbx.trunk_address VALUES ('office', 'isp', '{trunk.addr}');
            UPDATE pbx.extension SET caller_id = '5550102' WHERE number = '1002';
            INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_0X.', 'Out');
            INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
                ('office', 'office', '_0X.', 1, 'dial', '{{"number": "${{number:1}}", "trunk": "isp"}}');""")
        told = ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID", "Privacy")
        name = f'"Paul Plug" <sip:5550102@{own_office.addr}>'
        for trusted, identity, hides, said in [
                ("false", "pai", False, {}), ("false", "pai", True, {}),
                ("true", "pai", False, {"P-Asserted-Identity": name}), ("true", "none", False, {}),
                ("true", "pai", True, {"P-Asserted-Identity": name, "Privacy": "id"}),
                ("true", "rpid", False, {"Remote-Party-ID": name + ";party=calling;privacy=off;screen=yes"}),
                ("false", "ppi", True, {"P-Preferred-Identity": name, "Privacy": "id"})]:
            own_office.change(f"UPDATE pbx.trunk SET trusted = {trusted}, identity = '{identity}'")
            start(sender, "04315550123", "out", headers=["Privacy: id"] if hides else [])
            m = read(trunk)
            assert {h: m.get(h) for h in told if m.get(h)} == said
            assert ("<sip:anonymous@" in m["From"]) == hides
            assert final(sender) == 200


def test_trunk_of_several_proxies(own_office):
    """As long as one of them takes it."""
    with Phone(own_office, "1002") as sender, Phone(own_office, "first") as first, Phone(own_office, "second") as second:
        own_office.change(f"""
            INSERT INTO pbx.trunk (domain, name, context, uri, outbound, proxy, more_proxies) VALUES ('office', 'isp', 'office',
                'sip:192.0.2.1', true, 'sip:{first.host}:{first.port}', ARRAY['sip:{second.host}:{second.port}']);
            INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_0X.', 'Out');
            INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
                ('office', 'office', '_0X.', 1, 'dial', '{{"number": "${{number:1}}", "trunk": "isp"}}');""")
        start(sender, "04315550123", "one")
        m = first.expect("MESSAGE")
        assert m["Route"] == f"<sip:{first.host}:{first.port};lr>"
        first.reply(m, 503, "Full")
        m = read(second)
        assert m.body == "one" and m["Route"] == f"<sip:{second.host}:{second.port};lr>"
        assert final(sender) == 200
        # Neither does, or the first refuses: that is the answer.
        start(sender, "04315550123", "two")
        for proxy in first, second:
            proxy.reply(proxy.expect("MESSAGE"), 503, "Full")
        assert final(sender) == 503
        start(sender, "04315550123", "three")
        first.reply(first.expect("MESSAGE"), 404, "Nobody")
        assert final(sender) == 404
