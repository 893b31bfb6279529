"""The registrar and digest authentication (RFC 3261 §10, §22; RFC 7616; RFC 8760)."""
import hashlib
import re

import pytest

from office import wait_until
from sip import Phone, params_of, token, uri_of
from sipp import sipp

WAYS = [(4, "u1"), (4, "t1"), (6, "u1"), (6, "t1")]
PROTOS = [(4, "udp"), (4, "tcp"), (6, "udp"), (6, "tcp")]


@pytest.mark.parametrize("family,transport", WAYS)
def test_register_refresh_query_unregister(office, family, transport):
    run = sipp(office, "register.xml", user="1003", family=family, transport=transport)
    assert "no contact left: true" in run.text("logs")


def test_many_phones_register_at_once(office):
    rows = [(number, f"[authentication username={number} password=s{number}]") for number in range(1001, 1011)]
    sipp(office, "register_many.xml", csv=rows, calls=len(rows), rate=100)
    office.wait_sql("SELECT count(*) = 0 FROM pbx.binding")


@pytest.fixture
def phone(office):
    """Unregisters what it registered."""
    with Phone(office, "1003") as made:
        yield made
        made.unregister()


def contacts(m):
    """{uri: expires} of a response."""
    found = {}
    for value in m.all("Contact"):
        for one in re.findall(r"<[^>]*>[^,]*", value):
            found[uri_of(one)] = int(params_of(one)["expires"])
    return found


def bound(office, number):
    return sorted(row[0] for row in office.sql("SELECT contact FROM pbx.binding WHERE domain = 'office' AND number = %s", number))


# ---- challenges ----

def challenge_of(phone):
    return phone.register_once(auth=False)


def test_challenge_is_as_rfc_7616_wants(phone):
    m = challenge_of(phone)
    assert m.status == 401
    c = params_of(m["WWW-Authenticate"])
    assert (c["realm"], c["algorithm"], c["qop"]) == ("cordboard", "MD5", "auth")
    assert c["nonce"] != params_of(challenge_of(phone)["WWW-Authenticate"])["nonce"]
    assert phone.register().status == 200


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256"])
def test_all_algorithms_are_offered_where_all_are_set(office, algorithm):
    """RFC 8760 §2.4: the preferred one comes first; any can be used."""
    office.change("UPDATE pbx.extension SET algorithms = '{MD5,SHA-256,SHA-512-256}' WHERE domain = 'office' AND number = '1004'")
    try:
        with Phone(office, "1004", algorithm=algorithm) as phone:
            m = phone.register_once()
            assert [params_of(v).get("algorithm", "MD5") for v in m.all("WWW-Authenticate")] == ["SHA-512-256", "SHA-256", "MD5"]
            assert phone.register().status == 200
            phone.unregister()
    finally:
        office.change("UPDATE pbx.extension SET algorithms = NULL WHERE domain = 'office' AND number = '1004'")


def test_keys_of_a_session_are_offered_where_the_domain_has_them(office):
    """RFC 7616 §3.4.2; a call is let in by them, too."""
    office.change("UPDATE pbx.domain SET digest_session = true WHERE domain = 'office'")
    try:
        with Phone(office, "1004", algorithm="MD5-sess") as phone:
            m = phone.register_once()
            assert [params_of(v)["algorithm"] for v in m.all("WWW-Authenticate")] == ["MD5", "MD5-sess"]
            assert phone.register().status == 200
            phone.unregister()
        with Phone(office, "1004", "wrong", algorithm="MD5-sess") as phone:
            assert phone.register().status == 401
    finally:
        office.change("UPDATE pbx.domain SET digest_session = DEFAULT WHERE domain = 'office'")


@pytest.mark.parametrize("offered", ["auth", "auth-int", "auth,auth-int"])
def test_qop_is_what_the_domain_offers(office, offered):
    """RFC 7616 §3.3, §3.4.3."""
    office.change("UPDATE pbx.domain SET qop = %s WHERE domain = 'office'", f"{{{offered}}}")
    try:
        for qop in ("auth", "auth-int"):
            with Phone(office, "1004") as phone:
                m = phone.register_once()
                assert params_of(m["WWW-Authenticate"])["qop"] == offered
                phone.credentials.qop = qop
                phone.credentials.take(m)
                assert phone.register_once().status == (200 if qop in offered.split(",") else 401)
                phone.credentials.qop = offered.split(",")[-1]
                phone.unregister()
    finally:
        office.change("UPDATE pbx.domain SET qop = '{auth}' WHERE domain = 'office'")


def test_answer_with_a_body_proves_the_password_with_auth_int(office):
    """RFC 7616 §3.5: the proof is about the body that comes with it."""
    office.change("UPDATE pbx.domain SET qop = '{auth-int}', mutual_auth = true WHERE domain = 'office'")
    try:
        with Phone(office, "1004") as phone:
            c, uri = phone.credentials, f"sip:1002@{phone.uri_host}"
            c.qop = "auth-int"
            assert phone.register().status == 200
            m = phone.ask("OPTIONS", uri, headers=[c.header("OPTIONS", uri)])
            assert m.status == 200 and m.body.startswith("v=0")
            h = lambda *parts: hashlib.md5(":".join(parts).encode()).hexdigest()  # noqa: E731
            info = params_of("Digest " + m["Authentication-Info"])
            a2 = h("", uri, h(m.body))
            assert info["rspauth"] == h(h("1004", c.challenge["realm"], "s1004"), c.challenge["nonce"], info["nc"], c.cnonce, "auth-int", a2)
            phone.unregister()
    finally:
        office.change("UPDATE pbx.domain SET qop = '{auth}', mutual_auth = false WHERE domain = 'office'")


def test_algorithm_that_was_not_offered_is_refused(phone):
    m = challenge_of(phone)
    phone.credentials.take(m)
    phone.credentials.challenge["algorithm"] = "SHA-256"
    assert phone.register_once().status in (400, 401)
    phone.credentials.challenge = None
    assert phone.register().status == 200


def shape(m):
    """A response without what is random in it."""
    text = re.sub(r'nonce="[^"]*"', "nonce", str(m))
    text = re.sub(r"(tag|branch)=[^;\s]+", r"\1", text)
    text = re.sub(r"(?m)^(Call-ID|CSeq|Date|Content-Length): .*$", r"\1", text)
    return re.sub(r"100\d|77\d\d", "USER", text)


def test_unknown_user_cannot_be_told_from_wrong_password(office):
    shapes = []
    with Phone(office, "1004", password="wrong") as known, Phone(office, "7701", password="wrong", addr=None) as unknown:
        for phone in (known, unknown):
            first, second = phone.register_once(), phone.register()
            assert (first.status, second.status) == (401, 401)
            assert "stale=true" not in second["WWW-Authenticate"].lower()
            shapes.append([shape(m).replace(phone.addr, "ADDR").replace(str(phone.port), "PORT") for m in (first, second)])
    assert shapes[0] == shapes[1]


def test_offered_algorithms_do_not_tell_who_exists(office):
    """An extension with algorithms of its own must not stand out: unknown names are given some as well, always the same."""
    office.change("UPDATE pbx.extension SET algorithms = '{SHA-256,MD5}' WHERE domain = 'office' AND number = '1004'")
    try:
        def offered(user):
            with Phone(office, user) as phone:
                return tuple(params_of(v).get("algorithm", "MD5") for v in challenge_of(phone).all("WWW-Authenticate"))
        users = [f"77{i:02}" for i in range(40)]
        first = {user: offered(user) for user in users}
        assert set(first.values()) == {offered("1003"), offered("1004")}
        assert all(offered(user) == first[user] for user in users[:10])
    finally:
        office.change("UPDATE pbx.extension SET algorithms = NULL WHERE domain = 'office' AND number = '1004'")


def test_credentials_of_another_user_are_refused(office):
    with Phone(office, "1004", password="s1003") as phone:
        phone.credentials.user = "1003"
        assert phone.register().status == 403


def test_disabled_extension_cannot_register(office):
    office.change("UPDATE pbx.extension SET enabled = false WHERE domain = 'office' AND number = '1005'")
    try:
        with Phone(office, "1005") as phone:
            assert phone.register().status in (401, 403)
    finally:
        office.change("UPDATE pbx.extension SET enabled = true WHERE domain = 'office' AND number = '1005'")
    with Phone(office, "1005") as phone:
        assert phone.register().status == 200
        phone.unregister()


def test_password_changes_at_commit(office):
    with Phone(office, "1006") as phone:
        office.change("SELECT pbx.set_password('office', '1006', 'new')")
        try:
            assert phone.register().status == 401
            phone.credentials.password = "new"
            assert phone.register().status == 200
            phone.unregister()
        finally:
            office.change("SELECT pbx.set_password('office', '1006', 's1006')")


def test_replayed_request_is_refused(phone):
    phone.credentials.take(challenge_of(phone))
    text = phone.register_request()
    phone.send(text)
    assert phone.expect(200, 401).status == 200
    # The same credentials in a request of its own: what someone who listened could send.
    replayed = re.sub(r"branch=\S+?;", f"branch=z9hG4bK{token()};", text).replace("CSeq: 2", "CSeq: 7")
    assert replayed != text
    phone.send(replayed)
    assert phone.expect(200, 401).status == 401


def test_nonce_can_be_used_again_with_a_higher_count(phone):
    assert phone.register().status == 200
    assert phone.register_once().status == 200
    assert phone.credentials.count == 2


def test_counts_may_overtake_each_other_but_not_repeat(phone):
    """A window: requests sent together may arrive in another order."""
    phone.credentials.take(challenge_of(phone))
    c = phone.credentials

    def status(count):
        line = c.header("REGISTER", "sip:cordboard", count=count)
        return phone.register_once(auth=False, headers=[line]).status
    assert [status(n) for n in (1, 3, 2, 2, 3, 4)] == [200, 200, 200, 401, 401, 200]


def test_credentials_for_another_uri_are_refused(phone):
    """RFC 7616 §3.4.6: the digest is good for what it was made for."""
    phone.credentials.take(challenge_of(phone))
    for method, uri in (("INVITE", "sip:cordboard"), ("REGISTER", "sip:1001@cordboard")):
        assert phone.register_once(auth=False, headers=[phone.credentials.header(method, uri)]).status in (400, 401)
    assert phone.register().status == 200


def test_forged_nonce_is_refused(phone):
    phone.credentials.take(challenge_of(phone))
    nonce = phone.credentials.challenge["nonce"]
    for forged in (nonce[:-4] + "AAAA", "x", nonce[::-1], nonce + nonce):
        phone.credentials.challenge["nonce"] = forged
        m = phone.register_once()
        assert m.status == 401
    phone.credentials.challenge = None
    assert phone.register().status == 200


@pytest.mark.parametrize("spoil", [
    lambda v: v.replace('realm="cordboard", ', ""), lambda v: re.sub(r"nc=\w+", "nc=zz", v), lambda v: re.sub(r', cnonce="\w+"', "", v),
    lambda v: v.replace("response=", "reply="), lambda v: "Authorization: Digest", lambda v: "Authorization: Basic czEwMDM6eA=="],
    ids=["realm", "nc", "cnonce", "response", "empty", "basic"])
def test_malformed_credentials_do_not_pass(phone, spoil):
    phone.credentials.take(challenge_of(phone))
    good = phone.credentials.header("REGISTER", "sip:cordboard")
    assert phone.register_once(auth=False, headers=[spoil(good)]).status in (400, 401)


@pytest.mark.office(sip={"nonce_life": 1})
def test_expired_nonce_is_stale(own_office):
    with Phone(own_office, "1001") as phone:
        assert phone.register().status == 200

        def stale():
            m = phone.register_once()
            return m.status == 401 and m
        m = wait_until(stale, every=0.2)
        assert params_of(m["WWW-Authenticate"])["stale"].lower() == "true"   # RFC 7616 §3.3: no need to ask for the password
        phone.credentials.take(m)
        assert phone.register_once().status == 200
        # With a wrong password it isn't told so.
        phone.credentials.password = "wrong"

        def refused():
            return "stale=true" not in phone.register_once()["WWW-Authenticate"].lower()
        assert refused()


def test_nonces_survive_a_restart(own_office):
    """They are stateless: made and checked with a key that is in the database."""
    with Phone(own_office, "1001") as phone:
        phone.credentials.take(challenge_of(phone))
        own_office.restart()
        assert phone.register_once().status == 200


# ---- bindings ----

def test_several_contacts(phone, office):
    m = phone.register([f"{phone.contact};q=0.5;expires=200", "<sip:1003@192.0.2.1;a=b>;expires=100, <sip:1003@192.0.2.2>"], expires=400)
    assert m.status == 200
    assert contacts(m) == {uri_of(phone.contact): 200, "sip:1003@192.0.2.1;a=b": 100, "sip:1003@192.0.2.2": 400}
    m = phone.register(["<sip:1003@192.0.2.1;a=b>"], expires=0)
    assert set(contacts(m)) == {uri_of(phone.contact), "sip:1003@192.0.2.2"}
    # Equal URIs are one binding (RFC 3261 §19.1.4).
    m = phone.register(["<sip:%31003@192.0.2.2>"], expires=300)
    assert contacts(m)["sip:%31003@192.0.2.2"] in (299, 300)
    assert len(contacts(m)) == 2
    wait_until(lambda: len(bound(office, "1003")) == 2)


def test_query_changes_nothing(phone):
    phone.register(expires=300)
    before = phone.register([])
    assert before.status == 200
    assert contacts(phone.register([])).keys() == contacts(before).keys() == {uri_of(phone.contact)}


def test_star_takes_all_away(phone, office):
    phone.register([phone.contact, "<sip:a@192.0.2.1>"])
    m = phone.register(["*"], expires=0)
    assert (m.status, contacts(m)) == (200, {})
    wait_until(lambda: bound(office, "1003") == [])


@pytest.mark.parametrize("given,expires", [(["*"], None), (["*"], 60), (["*", "<sip:a@192.0.2.1>"], 0)])
def test_star_stands_alone_with_expires_0(phone, given, expires):
    phone.register()
    assert phone.register(given, expires=expires).status == 400              # RFC 3261 §10.3 step 6
    assert len(contacts(phone.register([]))) == 1


def test_too_brief_gets_423(phone):
    m = phone.register(expires=10)
    assert (m.status, m["Min-Expires"]) == (423, "60")
    m = phone.register([f"{phone.contact};expires=59"])
    assert m.status == 423
    assert contacts(phone.register([])) == {}


def test_expiry_is_bounded_and_has_a_default(phone):
    assert list(contacts(phone.register(expires=86400)).values()) == [3600]
    assert list(contacts(phone.register()).values()) == [600]
    assert list(contacts(phone.register(expires=4294967296)).values()) == [3600]       # RFC 3261 §20.19: 2**32-1 at most
    assert list(contacts(phone.register([f"{phone.contact};expires=soon"], expires=120)).values()) == [120]


def test_all_or_nothing(phone):
    """RFC 3261 §10.3 step 7: if one of them can't be done none is."""
    assert phone.register([phone.contact, "<sip:a@192.0.2.1>;expires=1"]).status == 423
    assert phone.register([phone.contact, "<tel:123>"]).status == 400
    assert contacts(phone.register([])) == {}


def test_cseq_must_grow_within_a_call_id(phone):
    assert phone.register(expires=300).status == 200
    phone.registration["cseq"] = 0
    assert phone.register_once(expires=600).status >= 400                    # RFC 3261 §10.3 step 7: out of order
    phone.registration["cseq"] = 10
    assert list(contacts(phone.register([])).values())[0] <= 300
    # A phone that started anew has another Call-ID, and begins at 1.
    phone.registration.update(call_id=token(), cseq=0)
    assert phone.register(expires=300).status == 200


@pytest.mark.office(sip={"min_expires": 1})
def test_bindings_expire(own_office):
    with Phone(own_office, "1001") as phone:
        assert phone.register(expires=1).status == 200
        wait_until(lambda: contacts(phone.register([])) == {}, every=0.2)
        wait_until(lambda: bound(own_office, "1001") == [])


def test_bindings_survive_a_restart(own_office):
    with Phone(own_office, "1001") as phone, Phone(own_office, "1002") as caller:
        assert phone.register(["<sip:1001@192.0.2.9>"], expires=3000).status == 200
        assert phone.register(expires=3000).status == 200
        own_office.wait_sql("SELECT count(*) = 2 FROM pbx.binding WHERE number = '1001'")
        own_office.restart()
        assert set(contacts(phone.register([]))) == {"sip:1001@192.0.2.9", uri_of(phone.contact)}
        phone.register(["<sip:1001@192.0.2.9>"], expires=0)
        call = caller.invite("91001")                                        # and it is still reached there
        there = phone.answer_invite()
        there.ring()
        call.expect(180)
        call.cancel()
        call.expect(200)
        call.ack(call.expect(487))


def test_bindings_survive_a_crash(own_office):
    """While the database is away they wait on disk; not even a power cut loses them."""
    with Phone(own_office, "1001") as phone:
        own_office.database_down()
        assert phone.register(expires=3000).status == 200
        outbox = own_office.dir / "spool/outbox"
        wait_until(lambda: any(phone.addr in path.read_text(errors="replace") for path in outbox.iterdir() if path.is_file()))
        own_office.kill()
        own_office.database_up()
        own_office.start_server()
        wait_until(lambda: set(contacts(phone.register([]))) == {uri_of(phone.contact)})


def test_register_with_the_database_away(own_office):
    with Phone(own_office, "1001") as phone:
        own_office.database_down()
        m = phone.register(expires=3000)
        assert m.status == 200
        own_office.database_up()
        own_office.wait_sql("SELECT count(*) = 1 FROM pbx.binding WHERE number = '1001'")


@pytest.mark.parametrize("family,proto", PROTOS)
def test_calls_go_to_where_the_phone_registered_from(office, family, proto):
    """Behind NAT the Contact is of no use: the source of the REGISTER is."""
    with Phone(office, "1007", family=family, proto=proto) as phone, Phone(office, "1002", family=family) as caller:
        assert phone.register(["<sip:1007@10.9.9.9:1234>"]).status == 200
        call = caller.invite("91007")
        there = phone.answer_invite()
        assert there.invite.start.split()[1].startswith("sip:1007@10.9.9.9:1234")
        there.reply(486, "Busy Here")
        there.expect("ACK")
        call.ack(call.expect(486, skip=(100, 180)))
        phone.unregister()


def test_every_host_is_the_default_domain(office):
    """Phones are set up with whatever name or address leads here."""
    with Phone(office, "1003") as phone:
        phone.domain = office.addr
        assert phone.register().status == 200
        phone.unregister()
