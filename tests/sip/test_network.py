"""Calls between networks that differ, through connections that break, restarts and a database that is away; and through trunks."""
import re
import signal
import socket

import psycopg2
import pytest

from office import SLOW, own_address, wait_until
from rtp import Rtp
from sip import Message, Phone, media_of, params_of, sdp


def call(caller, callee, number, a, b):
    """A call with both media; both dialogs."""
    here = caller.invite(number, sdp(caller.addr, a.port))
    there = callee.answer_invite()
    there.ring()
    here.expect(180)
    there.answer(sdp(callee.addr, b.port))
    ok = here.expect(200)
    here.ack(ok)
    a.start(media_of(ok.body))
    b.start(media_of(there.invite.body))
    return here, there


@pytest.mark.parametrize("caller_way,callee_way", [
    ((4, "tcp"), (4, "tcp")), ((4, "udp"), (6, "udp")), ((6, "tcp"), (4, "udp")), ((4, "tcp"), (6, "tcp"))],
    ids=lambda way: f"{way[1]}{way[0]}")
def test_call_from_one_network_to_another(office, cdrs, caller_way, callee_way):
    """Each leg has its own transport and address family; media is relayed between them."""
    with Phone(office, "1001", family=caller_way[0], proto=caller_way[1]) as caller, \
            Phone(office, "1002", family=callee_way[0], proto=callee_way[1]) as callee, Rtp(caller.addr) as a, Rtp(callee.addr) as b:
        assert callee.register().status == 200
        here, there = call(caller, callee, "91002", a, b)
        a.wait_received(10)
        b.wait_received(10)
        assert (":" in media_of(there.invite.body)[0]) == (callee_way[0] == 6)
        assert there.invite["Via"].startswith(f"SIP/2.0/{callee_way[1].upper()} ")
        there.send("BYE", headers=['Reason: Q.850;cause=16;text="Bye"'])
        bye = here.expect("BYE")
        assert "Bye" in bye["Reason"]
        here.reply(200, "OK", bye)
        there.expect(200)
        callee.unregister()
    assert cdrs.next().hangup_by == "callee"


def test_callers_reason_reaches_the_callee(office):
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Rtp(caller.addr) as a, Rtp(callee.addr) as b:
        callee.register()
        here, there = call(caller, callee, "91002", a, b)
        here.send("BYE", headers=['Reason: Q.850;cause=27;text="Lost my keys"'])
        assert "Lost my keys" in there.take_bye()["Reason"]
        here.expect(200)
        callee.unregister()


def test_reason_of_a_cancel_is_passed_on(office):
    """RFC 3326: an exchange in front of us says that the call was taken elsewhere."""
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee:
        callee.register()
        here = caller.invite("91002")
        there = callee.answer_invite()
        there.ring()
        here.expect(180)
        here.cancel(['Reason: SIP;cause=200;text="Call completed elsewhere"'])
        assert {caller.expect(200, 487, call_id=here.call_id).status for _ in range(2)} == {200, 487}
        cancel = there.expect("CANCEL")
        assert "cause=200" in cancel["Reason"]
        there.reply(200, "OK", cancel)
        there.reply(487)
        there.expect("ACK")
        callee.unregister()


def test_closed_connection_is_a_phone_that_is_gone(office):
    with Phone(office, "1001") as caller:
        with Phone(office, "1002", proto="tcp") as callee:
            assert callee.register().status == 200
            mark = len(office.log)
        office.wait_log("connection closed aor=office/1002", mark)
        here = caller.invite("91002")
        here.ack(here.expect(480))


def test_call_goes_on_when_the_callers_connection_breaks(office):
    """RFC 3261 §18.2.2: what is sent to it next goes to its Contact over a connection of ours."""

    with Phone(office, "1001", proto="tcp") as caller, Phone(office, "1002") as callee, Rtp(caller.addr) as a, Rtp(callee.addr) as b, \
            socket.socket() as server:
        callee.register()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((caller.addr, 5080))
        server.listen()
        server.settimeout(10 * SLOW)
        caller.port = 5080                                                   # what Via and Contact say
        here, there = call(caller, callee, "91002", a, b)
        caller.socket.close()
        a.wait_received(20)                                                  # media doesn't care
        there.send("BYE")
        there.expect(200)
        caller.socket, _ = server.accept()
        here.take_bye()
        callee.unregister()


def test_media_goes_on_and_calls_are_made_without_a_database(own_office):
    with Phone(own_office, "1001") as caller, Phone(own_office, "1002") as callee, Rtp(caller.addr) as a, Rtp(callee.addr) as b:
        callee.register()
        here, there = call(caller, callee, "91002", a, b)
        own_office.database_down()
        a.wait_received(20)
        here.send("BYE")
        there.take_bye()
        here.expect(200)
        here, there = call(caller, callee, "91002", a, b)                    # from what is known
        a.wait_received(10)
        assert callee.register().status == 200
        here.send("BYE")
        there.take_bye()
        here.expect(200)
        assert caller.ask("OPTIONS").status == 200
        own_office.database_up()
    rows = own_office.wait_sql("SELECT count(*) = 2, bool_and(result = 'answered') FROM pbx.cdr")
    assert rows[0][1]


def test_start_without_a_database(own_office):
    """Nothing is known yet, so nobody is refused for good: 503, and when to come back. With the database it begins to work."""
    own_office.stop_server()
    own_office.database_down()
    own_office.spawn_server()
    with Phone(own_office, "1001") as phone:
        def told():
            phone.send(phone.request("REGISTER", f"sip:{phone.domain}", to=f"<sip:1001@{phone.domain}>"))
            return phone.receive(0.2)                                        # nothing, as long as there is no socket
        m = wait_until(told)
        assert m.status == 503
        assert int(m["Retry-After"]) > 0
        phone.catch_up()                                                     # the answers of the others
        call = phone.invite("600", auth=False)
        call.ack(call.expect(503))
        for method in ("SUBSCRIBE", "PUBLISH", "MESSAGE"):                   # who is told 405 may never ask again
            m = phone.ask(method, f"sip:1002@{phone.uri_host}", headers=["Event: presence", f"Contact: {phone.contact}"])
            assert (m.status, m["Retry-After"]) == (503, "5"), method
        assert phone.ask("OPTIONS").status == 200
        own_office.database_up()
        own_office.wait_ready()
        assert phone.register().status == 200


def test_stop_before_all_is_loaded(own_office):
    """What comes while it stops makes it ready no more."""
    own_office.stop_server()
    with psycopg2.connect(own_office.conninfo) as start, psycopg2.connect(own_office.conninfo) as end:
        start.cursor().execute("LOCK TABLE pbx.route")                       # the dialplan isn't to be had yet
        mark = len(own_office.log)
        own_office.spawn_server()
        own_office.wait_log("registrar: bindings=0 read", mark, seconds=20)
        end.cursor().execute("LOCK TABLE pbx.trunk_state")                   # and this is to be written before it ends
        own_office.process.send_signal(signal.SIGTERM)
        own_office.wait_log("main: stopping", mark)
        start.rollback()
        # It waits two seconds for that write: on a busy machine it may have ended before the dialplan came.
        wait_until(lambda: "plan: dialplan loaded" in own_office.log[mark:] or own_office.process.poll() is not None)
        end.rollback()
        assert own_office.process.wait(10 * SLOW) == 0
        assert own_office.process.stdout.read() == b""
        own_office.kill()
    own_office.check()


def test_stop_hangs_up(own_office):
    """SIGTERM: those who talk are told, those who ring as well, and what was is on record."""
    with Phone(own_office, "1001") as caller, Phone(own_office, "1002") as callee, Phone(own_office, "1003") as ringing, \
            Rtp(caller.addr) as a, Rtp(callee.addr) as b:
        callee.register()
        ringing.register()
        here, there = call(caller, callee, "91002", a, b)
        other = caller.invite("91003")
        bell = ringing.answer_invite()
        bell.ring()
        other.expect(180)
        own_office.process.terminate()
        got = {}
        while len(got) < 2:
            m = caller.expect("BYE", 503)
            if m.method:
                caller.reply(m, 200, "OK", contact=False)
                assert m["Call-ID"] == here.call_id
            else:
                other.ack(m)
            got[m.method or m.status] = m
        there.take_bye()
        bell.reply(200, "OK", bell.expect("CANCEL"))
        bell.reply(487)
        assert own_office.process.wait(10 * SLOW) == 0
        own_office.process = None
        own_office.start_server()
    own_office.wait_sql("SELECT count(*) = 2 FROM pbx.cdr")


def test_many_contacts_are_too_many(office):
    with Phone(office, "1009") as phone:
        contacts = [f"<sip:1009@192.0.2.{i}>" for i in range(1, 12)]
        assert phone.register(contacts[:10]).status == 200
        assert phone.register(contacts[10:]).status == 403
        assert phone.register(contacts[:1]).status == 200                    # a refresh isn't one more
        phone.unregister()


# ---- who is called instead ----

@pytest.mark.parametrize("reason", ["always", "busy", "no_answer", "unavailable"])
def test_forward(office, reason):
    office.change("UPDATE pbx.extension SET ring_s = 1 WHERE number = '1002'")
    office.change("INSERT INTO pbx.forward (domain, number, reason, target) VALUES ('office', '1002', %s, '1003')", reason)
    try:
        with Phone(office, "1001") as caller, Phone(office, "1002") as first, Phone(office, "1003") as second:
            second.register()
            if reason != "unavailable":
                first.register()
            here = caller.invite("91002")
            if reason in ("busy", "no_answer"):
                there = first.answer_invite()
            if reason == "busy":
                there.reply(486, "Busy Here")
                there.expect("ACK")
            elif reason == "no_answer":
                there.ring()
                there.reply(200, "OK", there.expect("CANCEL"))
                there.reply(487)
                there.expect("ACK")
            then = second.answer_invite()
            then.answer()
            here.ack(here.expect(200, skip=(100, 180)))
            here.send("BYE")
            then.take_bye()
            here.expect(200)
            if reason == "always":
                first.expect_none(0.1)
            second.unregister()
            if reason != "unavailable":
                first.unregister()
    finally:
        office.change("DELETE FROM pbx.forward WHERE number = '1002'")
        office.change("UPDATE pbx.extension SET ring_s = 20 WHERE number = '1002'")


def test_group_rings_all_its_members(office):
    with Phone(office, "1001") as caller, Phone(office, "1004") as one, Phone(office, "1006") as other:
        one.register()
        other.register()
        here = caller.invite("410")
        a, b = one.answer_invite(), other.answer_invite()
        a.ring()
        here.expect(180)
        b.answer()
        here.ack(here.expect(200))
        a.reply(200, "OK", a.expect("CANCEL"))
        a.reply(487)
        a.expect("ACK")
        here.send("BYE")
        b.take_bye()
        here.expect(200)
        one.unregister()
        other.unregister()


def test_members_of_a_group_ring_at_their_times(office):
    """One comes later, one stops earlier, and the group ends when it says."""
    office.change("UPDATE pbx.ring_group SET ring_s = 3 WHERE number = '410'")
    office.change("UPDATE pbx.ring_group_member SET ring_s = 1 WHERE (number, member) = ('410', '1004')")
    office.change("UPDATE pbx.ring_group_member SET delay_s = 2 WHERE (number, member) = ('410', '1006')")
    try:
        with Phone(office, "1001") as caller, Phone(office, "1004") as short, Phone(office, "1005") as plain, \
                Phone(office, "1006") as late:
            def ring(phone):
                there = phone.answer_invite()
                there.ring()
                return there

            def stop(there):
                cancel = there.expect("CANCEL")
                there.reply(200, "OK", cancel)
                there.reply(487)
                there.expect("ACK")
                return cancel.at
            for phone in (short, plain, late):
                phone.register()
            here = caller.invite("410")
            a, b = ring(short), ring(plain)
            start = a.invite.at
            assert 0.8 < stop(a) - start < 1 + SLOW
            c = ring(late)
            assert 1.8 < c.invite.at - start < 2 + SLOW
            assert 2.8 < stop(b) - start < 3 + SLOW
            stop(c)
            here.ack(here.expect(480, skip=(100, 180)))
            for phone in (short, plain, late):
                phone.unregister()
    finally:
        office.change("UPDATE pbx.ring_group SET ring_s = 20 WHERE number = '410'")
        office.change("UPDATE pbx.ring_group_member SET ring_s = NULL, delay_s = 0 WHERE number = '410'")


def test_group_rings_one_after_the_other(office):
    office.change("UPDATE pbx.ring_group SET strategy = 'sequence' WHERE number = '410'")
    office.change("UPDATE pbx.ring_group_member SET ring_s = 1 WHERE number = '410'")
    try:
        with Phone(office, "1001") as caller, Phone(office, "1004") as one, Phone(office, "1006") as other:
            one.register()
            other.register()
            here = caller.invite("410")
            a = one.answer_invite()
            a.ring()
            a.reply(200, "OK", a.expect("CANCEL"))
            a.reply(487)
            a.expect("ACK")
            b = other.answer_invite()
            assert b.invite.at - a.invite.at > 0.5
            b.answer()
            here.ack(here.expect(200, skip=(100, 180)))
            here.send("BYE")
            b.take_bye()
            here.expect(200)
            one.unregister()
            other.unregister()
    finally:
        office.change("UPDATE pbx.ring_group SET strategy = 'all' WHERE number = '410'")
        office.change("UPDATE pbx.ring_group_member SET ring_s = NULL WHERE number = '410'")


# ---- trunks ----

@pytest.fixture
def trunk(office):
    """A provider, at an address of its own, and the numbers that lead there."""
    with Phone(office, "provider", addr=own_address()) as peer:
        office.change(f"""
            INSERT INTO pbx.trunk (domain, name, context, uri, auth_user, auth_password)
                VALUES ('office', 'provider', 'lobby', 'sip:{peer.addr}:5060', 'customer', 'secret');
            INSERT INTO pbx.trunk_address (domain, name, address) VALUES ('office', 'provider', '{peer.addr}/32');
            INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_0X.', 'Outside');
            INSERT INTO pbx.step (domain, context, pattern, position, app, args)
                VALUES ('office', 'office', '_0X.', 1, 'dial', '{{"number": "${{number:1}}", "trunk": "provider"}}')""")
        yield peer
        office.change("DELETE FROM pbx.route WHERE pattern = '_0X.'; DELETE FROM pbx.trunk WHERE name = 'provider'")


def test_call_out_through_a_trunk(office, trunk):
    with Phone(office, "1001") as caller:
        here = caller.invite("0123456")
        first = trunk.expect("INVITE")
        assert first.start.startswith(f"INVITE sip:123456@{trunk.addr}")
        trunk.reply(first, 401, "Unauthorized", tag="x", contact=False,
                    headers=['WWW-Authenticate: Digest realm="provider", nonce="abc", qop="auth", algorithm=MD5'])
        trunk.expect("ACK")
        there = trunk.answer_invite()
        given = params_of(there.invite["Authorization"])
        assert (given["username"], given["realm"], given["nonce"], given["nc"]) == ("customer", "provider", "abc", "00000001")
        there.answer()
        here.ack(here.expect(200))
        here.send("BYE")
        there.take_bye()
        here.expect(200)


def test_trunk_that_refuses_again_is_not_asked_again(office, trunk):
    """RFC 3261 §22.1: the same credentials don't get better by repetition."""
    with Phone(office, "1001") as caller:
        here = caller.invite("0123456")
        for nonce in ("abc", "def"):
            m = trunk.expect("INVITE")
            trunk.reply(m, 401, "Unauthorized", tag="x", contact=False,
                        headers=[f'WWW-Authenticate: Digest realm="provider", nonce="{nonce}", qop="auth", algorithm=MD5'])
            trunk.expect("ACK")
        here.ack(here.expect(502))                                           # its 401 is none of the caller's business
        trunk.expect_none(0.2)


class StreamPeer:
    """A trunk that takes TCP connections; one message at a time, from the connection that was accepted last."""

    def __init__(self):
        self.addr = own_address()
        self.listener = socket.create_server((self.addr, 5060))
        self.listener.settimeout(5 * SLOW)
        self.connection, self.data = None, b""

    def accept(self):
        self.hang_up()
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(5 * SLOW)
        self.data = b""

    def hang_up(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def receive(self, method):
        while True:
            head, gap, rest = self.data.partition(b"\r\n\r\n")
            n = int(re.search(rb"Content-Length: (\d+)", head).group(1)) if gap else 0
            if gap and len(rest) >= n:
                m, self.data = Message(self.data[:len(head) + 4 + n]), rest[n:]
                assert m.method == method
                return m
            more = self.connection.recv(65536)
            assert more, f"the connection ended before {method}"
            self.data += more

    def reply(self, m, status):
        lines = [f"SIP/2.0 {status} X", *(f"Via: {v}" for v in m.all("Via")), f"From: {m['From']}", f"To: {m['To']};tag=peer",
                 f"Call-ID: {m['Call-ID']}", f"CSeq: {m['CSeq']}", f"Contact: <sip:x@{self.addr};transport=tcp>", "Content-Length: 0", "", ""]
        self.connection.sendall("\r\n".join(lines).encode())

    def close(self):
        self.hang_up()
        self.listener.close()


def test_connection_that_ends_while_it_rings(office, trunk):
    """The caller is told at once; who rings there is called off by a new connection (RFC 3261 §9.1)."""
    peer = StreamPeer()
    office.change("UPDATE pbx.trunk SET uri = %s WHERE name = 'provider'", f"sip:{peer.addr};transport=tcp")
    with Phone(office, "1001") as caller:
        here = caller.invite("0123456")
        peer.accept()
        invite = peer.receive("INVITE")
        peer.reply(invite, 180)
        here.expect(180)
        peer.hang_up()
        peer.accept()
        cancel = peer.receive("CANCEL")
        assert cancel.branch == invite.branch and cancel["CSeq"] == invite["CSeq"].replace("INVITE", "CANCEL")
        peer.reply(cancel, 200)
        peer.reply(invite, 487)
        assert peer.receive("ACK").branch == invite.branch
        here.ack(here.expect(480, 503))
    peer.close()


def test_phone_whose_connection_ends_while_it_rings(office):
    with Phone(office, "1001") as caller, Phone(office, "1002", proto="tcp") as callee:
        callee.register()
        here = caller.invite("91002")
        callee.answer_invite().ring()
        here.expect(180)
        callee.close()
        here.ack(here.expect(480, 503))


def test_call_in_through_a_trunk(office, trunk, cdrs):
    """Known by its address, not by a password; it reaches what its context has."""
    with Phone(office, "1002") as callee:
        callee.register()
        here = trunk.invite("1002", headers=[], auth=False)
        there = callee.answer_invite()
        there.answer()
        here.ack(here.expect(200))
        here.send("BYE")
        there.take_bye()
        here.expect(200)
        outside = trunk.invite("700", auth=False)
        outside.ack(outside.expect(404))
        callee.unregister()
    assert wait_until(lambda: cdrs.next().caller) == "provider"
