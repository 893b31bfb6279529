"""Who is kept out, and who is not: guessed passwords, scanners, floods (features: bans, pike; issue: hardness)."""
import time

import pytest

from office import SLOW, wait_until
from sip import Phone, own_address

LIMIT = 20


def ask(phone, timeout, **kwargs):
    """One REGISTER and its answer; None: nothing came. A late answer to an earlier one doesn't count."""
    phone.send(phone.register_request(**kwargs))
    end = time.monotonic() + timeout
    while (m := phone.receive(max(0.001, end - time.monotonic()))) is not None:
        if m["CSeq"] == f"{phone.registration['cseq']} REGISTER":
            return m
    return None


def guess(phone, times=1, user=None):
    """Wrong answers to challenges, each to a fresh one; how many were heard."""
    phone.user = phone.credentials.user = user or phone.user
    for n in range(times):
        for auth in (False, True):
            m = ask(phone, 5 * SLOW, auth=auth)
            if m is None:
                return n
            assert m.status == 401, m
            phone.credentials.take(m)
    return times


def is_heard(phone, timeout=5 * SLOW):
    return ask(phone, timeout, auth=False) is not None


def is_ignored(phone):
    return not is_heard(phone, 0.5)


@pytest.fixture(autouse=True)
def clean(request):
    """The office that tests share has no bans afterwards."""
    office = request.getfixturevalue("office") if "office" in request.fixturenames else None
    yield
    if office:
        office.change("DELETE FROM pbx.ban; DELETE FROM pbx.network")


def bans(office):
    return {row[0]: row[1:] for row in office.sql("SELECT host(source), failures, times, account, reason, until > now() FROM pbx.ban")}


@pytest.mark.parametrize("proto", ["udp", "tcp", "ws"])
def test_who_guesses_passwords_is_banned_until_the_row_is_deleted(office, proto):
    addr = own_address()
    with Phone(office, "1001", addr=addr, password="wrong", proto=proto, port=0) as phone, Phone(office, "1002") as honest:
        assert guess(phone, LIMIT) == LIMIT
        assert guess(phone, 1, user="1009") == 1                             # the last one is answered, too
        office.wait_sql("SELECT count(*) = 1 FROM pbx.ban")
        assert bans(office) == {addr: (LIMIT + 1, 1, "1009@cordboard", "wrong passwords", True)}
        if proto == "udp":
            assert is_ignored(phone)
        with Phone(office, "1003", addr=addr) as other:                  # nor anybody else from there
            assert is_ignored(other)
            assert honest.register().status == 200
            honest.unregister()
            office.restart()
            assert is_ignored(other)
            office.sql("DELETE FROM pbx.ban")
            wait_until(lambda: is_heard(other, 0.5), 5)
            assert other.register().status == 200
            other.unregister()


@pytest.mark.office(guard={"ban_first_s": 1, "failures": 5})
def test_a_ban_ends_and_the_next_is_longer(own_office):
    with Phone(own_office, "1001", password="wrong") as phone:
        assert guess(phone, 6) == 6
        own_office.wait_sql("SELECT count(*) = 1 FROM pbx.ban WHERE until - since = '1 s'")
        wait_until(lambda: is_heard(phone, 0.5), 5)
        assert guess(phone, 6) == 6
        own_office.wait_sql("SELECT count(*) = 1 FROM pbx.ban WHERE times = 2 AND until - since = '2 s' AND failures = 12")


def test_phones_behind_the_same_nat_keep_their_calls(office):
    """A banned neighbour: who has shown his password goes on, on the flow he showed it on."""
    addr = own_address()
    with Phone(office, "1001", addr=addr, port=5060) as phone, Phone(office, "1002", addr=addr, port=5070, password="wrong") as bad:
        assert phone.register().status == 200
        call = phone.invite("600")
        call.ack(call.expect(200, skip=(100, 180, 183)))
        assert guess(bad, 3 * LIMIT + 1) == 3 * LIMIT + 1                    # an office is granted more
        office.wait_sql("SELECT count(*) = 1 FROM pbx.ban")
        assert is_ignored(bad)
        call.bye()
        assert phone.register().status == 200
        call = phone.invite("600")
        call.ack(call.expect(200, skip=(100, 180, 183)))
        call.bye()
        phone.unregister()


def test_bans_and_networks_of_an_administrator(office):
    with Phone(office, "1001") as one, Phone(office, "1002") as two:
        assert is_heard(one)
        office.sql("INSERT INTO pbx.ban (source) VALUES (%s)", one.addr)
        wait_until(lambda: is_ignored(one), 5)
        assert is_heard(two)
        office.restart()                                                 # it has no end
        assert is_ignored(one) and is_heard(two)
        office.sql("INSERT INTO pbx.network (network, rule) VALUES (%s, 'allow'), ('127.0.0.0/8', 'deny')", one.addr)
        wait_until(lambda: is_ignored(two), 5)
        assert is_heard(one)
        office.sql("DELETE FROM pbx.network WHERE rule = 'deny'")
        wait_until(lambda: is_heard(two, 0.5), 5)
        one.credentials.password = "wrong"
        assert guess(one, 3 * LIMIT) == 3 * LIMIT
        assert not office.sql("SELECT FROM pbx.ban WHERE times > 1 OR node <> ''")


def test_a_ban_holds_without_a_database_and_is_written_later(own_office):
    with Phone(own_office, "1001", password="wrong") as phone:
        own_office.database_down()
        assert guess(phone, LIMIT + 1) == LIMIT + 1
        assert is_ignored(phone)
        own_office.database_up()
        own_office.wait_sql("SELECT count(*) = 1 FROM pbx.ban", seconds=15)
        assert is_ignored(phone)


def test_a_phone_with_old_nonces_is_not_banned(office):
    with Phone(office, "1001") as phone:
        assert phone.register().status == 200
        for _ in range(3 * LIMIT):
            phone.credentials.challenge["nonce"] = phone.credentials.challenge["nonce"][:-1] + "x"
            assert phone.register_once().status == 401
        phone.credentials.challenge = None
        phone.unregister()
    assert not bans(office), "an old nonce is no guess"
