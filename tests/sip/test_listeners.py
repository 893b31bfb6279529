"""Listeners by SQL (pbx.listener): added, changed and removed while calls go on."""
import socket

import pytest

from office import SLOW, OfficeError, wait_until
from sip import Phone


@pytest.fixture
def listeners(office):
    yield office
    office.sql("DELETE FROM pbx.listener")
    office.wait_sql("SELECT count(*) = 0 FROM pbx.listener_state")


def add(office, transport, port, error=None, columns="", values=""):
    office.sql(f"INSERT INTO pbx.listener (transport, address, port{columns}) VALUES (%s, %s, %s{values})", transport, office.addr, port)
    stands(office, port, error)


def stands(office, port, error=None):
    what = "error IS NULL" if error is None else f"error LIKE '%%{error}%%'"
    office.wait_sql(f"SELECT true FROM pbx.listener_state WHERE node = 'test' AND port = %s AND {what}", port)


def is_open(office, port):
    try:
        socket.create_connection((office.addr, port), 2 * SLOW).close()
        return True
    except OSError:
        return False


@pytest.mark.parametrize("transport,port", [("udp", 5090), ("tcp", 5090), ("tls", 5091), ("ws", 5092), ("wss", 5093)])
def test_listener_comes_and_goes_with_its_row(listeners, transport, port):
    office = listeners
    add(office, transport, port)
    if transport in ("ws", "wss"):
        assert is_open(office, port)
    else:
        with Phone(office, "1001", proto=transport, target=(office.addr, port)) as phone:
            assert phone.ask("OPTIONS").status == 200
            office.sql("DELETE FROM pbx.listener")
            office.wait_sql("SELECT count(*) = 0 FROM pbx.listener_state")
            if transport != "udp":
                assert phone.ask("OPTIONS").status == 200                    # what is connected stays so
    office.sql("DELETE FROM pbx.listener")
    office.wait_sql("SELECT count(*) = 0 FROM pbx.listener_state")
    if transport != "udp":
        assert not is_open(office, port)
    with Phone(office, "1001") as phone:                                     # and the others are as they were
        assert phone.ask("OPTIONS").status == 200


def test_call_outlives_the_listener_it_came_by(listeners):
    office = listeners
    add(office, "tcp", 5090)
    with Phone(office, "1001", proto="tcp", target=(office.addr, 5090)) as phone:
        call = phone.invite("600")
        call.ack(call.expect(200, skip=(100, 180, 183)))
        office.sql("DELETE FROM pbx.listener")
        office.wait_sql("SELECT count(*) = 0 FROM pbx.listener_state")
        assert not is_open(office, 5090)
        call.bye()


def test_changed_listener_tells_another_address_and_keeps_its_phones(listeners):
    office = listeners
    add(office, "udp", 5090)
    target = (office.addr, 5090)
    with Phone(office, "1003", target=target) as phone, Phone(office, "1001") as caller:
        assert phone.register().status == 200
        office.sql("UPDATE pbx.listener SET external = '203.0.113.9', local_networks = '{10.0.0.0/8}'")
        wait_until(lambda: "203.0.113.9" in ask_contact(phone))
        call = caller.invite("91003")
        there = phone.answer_invite()
        assert there.invite.source == target and "203.0.113.9:5090" in there.invite["Contact"]
        there.reply(486, "Busy")
        there.expect("ACK")
        call.ack(call.expect(486, skip=(100, 180)))
        phone.unregister()


def ask_contact(phone):
    call = phone.invite("600")
    ok = call.expect(200, skip=(100, 180, 183))
    call.ack(ok)
    call.bye()
    return ok["Contact"]


def test_row_that_cannot_be_served_says_so_and_is_tried_again(listeners):
    office = listeners
    with socket.socket() as other:
        other.bind((office.addr, 5090))
        other.listen()
        add(office, "tcp", 5090, "address already in use")
    stands(office, 5090)                                                     # as soon as it is free
    add(office, "tls", 5091)
    office.sql("UPDATE pbx.listener SET certificate = '/nowhere.pem' WHERE port = 5091")
    stands(office, 5091, "certificate /nowhere.pem,%%No such file")
    assert is_open(office, 5091)                                             # as it was
    office.sql("UPDATE pbx.listener SET certificate_key = '/nowhere.key' WHERE port = 5091")
    stands(office, 5091, "key /nowhere.key,%%No such file")
    assert office.log.count("certificate /nowhere.pem") == 2                         # told once each, however often it is tried
    office.sql("UPDATE pbx.listener SET certificate = NULL, certificate_key = NULL WHERE port = 5091")
    stands(office, 5091)


def test_row_with_more_than_there_is_room_for_says_so(listeners):
    office = listeners
    add(office, "tcp", 5090)
    many = [f"10.{n}.0.0/16" for n in range(100)]
    office.sql("UPDATE pbx.listener SET local_networks = %s::cidr[]", many)
    stands(office, 5090, "too long")
    assert is_open(office, 5090)                                             # as it was
    office.sql("UPDATE pbx.listener SET local_networks = %s::cidr[]", many[:3])
    stands(office, 5090)


def test_rows_are_listened_on_from_the_start(own_office):
    add(own_office, "udp", 5090)
    own_office.sql("INSERT INTO pbx.listener (node, transport, address, port) VALUES ('elsewhere', 'udp', %s, 5091)", own_office.addr)
    own_office.restart()
    with Phone(own_office, "1001", target=(own_office.addr, 5090)) as phone:
        assert phone.ask("OPTIONS").status == 200
    with Phone(own_office, "1001", target=(own_office.addr, 5091)) as phone, pytest.raises((OfficeError, OSError)):
        phone.send(phone.request("OPTIONS"))
        phone.expect(200, timeout=0.3)
