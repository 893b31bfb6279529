"""What happens, as rows of pbx.event: of calls, phones and servers; in order, once, and also when the server is killed."""
import select

import psycopg2
import pytest

from office import wait_until
from sip import Phone, sdp

PCMU = [(0, "PCMU/8000"), (101, "telephone-event/8000")]


class Reader:
    """Reads events under a name of its own, from now on."""

    def __init__(self, office, name):
        self.office, self.name, self.got = office, name, []
        self.read()

    def read(self):
        rows = self.office.sql("SELECT id, kind, domain, call::text, data, at, noted FROM pbx.event_next(%s, 1000)", self.name)
        self.got += rows
        return rows

    def kinds(self, call=None, **data):
        """Those of a call, or with such data, that have come until now."""
        self.read()
        return [r[1] for r in self.got if (call is None or r[3] == call) and all(r[4].get(k) == v for k, v in data.items())]

    def wait(self, kind, seconds=10, **data):
        return wait_until(lambda: self.kinds().count(kind) and
                          next((r for r in self.got if r[1] == kind and all(r[4].get(k) == v for k, v in data.items())), None), seconds)


def talk(office, caller, callee, number="91002"):
    """A call that the callee has answered: both dialogs."""
    here = caller.invite(number, sdp(caller.addr, 4000, PCMU))
    there = callee.answer_invite()
    there.ring()
    here.expect(180)
    there.answer(sdp(callee.addr, 4002, PCMU))
    here.ack(here.expect(200))
    return here, there


def test_call_is_told_from_its_beginning_to_its_end(office, cdrs):
    reader = Reader(office, "call")
    listener = psycopg2.connect(office.conninfo)
    listener.autocommit = True
    listener.cursor().execute("LISTEN pbx_event")
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee:
        callee.register()
        here = caller.invite("91002", sdp(caller.addr, 4000, PCMU))
        there = callee.answer_invite()
        there.ring()
        here.expect(180)
        call = reader.wait("call.started", dialled="91002")[3]
        wait_until(lambda: reader.kinds(call) == ["call.started", "leg.ringing"])
        there.answer(sdp(callee.addr, 4002, PCMU))
        here.ack(here.expect(200))
        wait_until(lambda: sorted(reader.kinds(call)[2:]) == ["call.answered", "leg.answered"])
        here.send_invite(sdp(caller.addr, 4000, PCMU, direction="sendonly"))
        here.ack(here.expect(200))
        wait_until(lambda: reader.kinds(call)[4:] == ["leg.held"])
        here.send_invite(sdp(caller.addr, 4000, PCMU, direction="sendrecv"))
        here.ack(here.expect(200))
        wait_until(lambda: reader.kinds(call)[5:] == ["leg.resumed"])
        here.send("BYE")
        there.take_bye()
        here.expect(200)
        wait_until(lambda: reader.kinds(call)[6:] == ["call.ended"])
        callee.unregister()
    cdr = cdrs.next()
    told = {r[1]: r for r in reader.got if r[3] == call}
    assert str(cdr.call) == call
    assert told["call.started"][2] == "office" and told["call.started"][4]["caller"] == "1001"
    assert told["leg.ringing"][4] == {"leg": 2, "number": "1002", "peer": "1002"}
    assert told["leg.held"][4] == {"leg": 1, "role": "caller", "number": "1001"}
    assert (told["call.started"][5], told["call.answered"][5], told["call.ended"][5]) == (cdr.started, cdr.answered, cdr.ended)
    assert (told["call.ended"][4]["result"], told["call.ended"][4]["hangup_by"]) == ("answered", "caller")
    for kind in ("leg.ringing", "call.answered"):
        assert (told[kind][6] - told[kind][5]).total_seconds() < 2, kind
    # Nothing is told a second time, when the server writes all of it anew.
    assert select.select([listener], [], [], 10)[0]
    listener.poll()
    assert listener.notifies and int(listener.notifies[-1].payload) <= office.sql("SELECT pbx.event_last()")[0][0]
    listener.close()
    ids = [r[0] for r in reader.got]
    assert ids == sorted(set(ids))


def test_call_that_was_too_short_to_be_seen_is_told_all_the_same(office, cdrs):
    reader = Reader(office, "short")
    with Phone(office, "1001") as caller:
        here = caller.invite("999999")
        here.ack(here.expect(404))
        call = reader.wait("call.ended", dialled="999999")[3]
    wait_until(lambda: reader.kinds(call) == ["call.started", "call.ended"])
    assert str(cdrs.next().call) == call


def test_what_a_domain_does_not_want_is_not_written(office, cdrs):
    office.sql("INSERT INTO pbx.event_choice VALUES ('office', 'call.started', false)")
    reader = Reader(office, "choice")
    with Phone(office, "1001") as caller:
        here = caller.invite("999998")
        here.ack(here.expect(404))
        call = reader.wait("call.ended", dialled="999998")[3]
    assert reader.kinds(call) == ["call.ended"]
    office.sql("DELETE FROM pbx.event_choice")
    cdrs.next()


def test_database_that_lost_its_live_rows_is_told_nothing_twice(office, cdrs):
    reader = Reader(office, "anew")
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee:
        callee.register()
        here, there = talk(office, caller, callee)
        call = reader.wait("call.started", dialled="91002")[3]
        wait_until(lambda: "call.answered" in reader.kinds(call))
        office.sql("DELETE FROM pbx.live_leg; DELETE FROM pbx.live_call")
        office.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE %s", "LISTEN%")
        wait_until(lambda: office.sql("SELECT count(*) = 2 FROM pbx.live_leg WHERE call = %s", call)[0][0])
        here.send("BYE")
        there.take_bye()
        here.expect(200)
        cdrs.next()
        wait_until(lambda: "call.ended" in reader.kinds(call))
        callee.unregister()
    assert sorted(reader.kinds(call)) == ["call.answered", "call.ended", "call.started", "leg.answered", "leg.ringing"]


def test_phones_come_and_go(office):
    reader = Reader(office, "phones")
    with Phone(office, "1003") as phone:
        phone.register()
        gained = reader.wait("registration.gained", number="1003")
        assert gained[2] == "office" and gained[4]["address"].startswith(phone.addr)
        phone.register()
        phone.unregister()
        lost = reader.wait("registration.lost", number="1003")
        assert lost[4]["contact"] == gained[4]["contact"]
    assert reader.kinds(number="1003") == ["registration.gained", "registration.lost"]


def test_servers_come_and_go(own_office):
    reader = Reader(own_office, "nodes")
    own_office.restart()
    wait_until(lambda: reader.kinds(node="test") == ["node.down", "node.up"])
    assert reader.wait("node.down")[4]["reason"] == "stopped"
    own_office.kill()
    own_office.start_server()
    wait_until(lambda: reader.kinds(node="test") == ["node.down", "node.up"] * 2)
    assert reader.wait("node.down", reason="vanished")


@pytest.mark.parametrize("step", ["ringing", "talking", "ended", "stored"])
def test_killed_server_leaves_one_record_of_each_call_or_says_that_it_is_lost(own_office, step):
    reader = Reader(own_office, "killed")
    with Phone(own_office, "1001") as caller, Phone(own_office, "1002") as callee:
        callee.register()
        if step == "ringing":
            here = caller.invite("91002", sdp(caller.addr, 4000, PCMU))
            callee.answer_invite().ring()
            here.expect(180)
        else:
            here, there = talk(own_office, caller, callee)
        call = str(own_office.wait_sql("SELECT call FROM pbx.live_call")[0][0])
        # Of a call that has ended the record is on the server's disk, before it is in the database.
        if step == "ended":
            own_office.sql("ALTER TABLE pbx.cdr RENAME TO cdr_elsewhere")
        if step in ("ended", "stored"):
            here.send("BYE")
            there.take_bye()
            here.expect(200)
        if step == "ended":
            own_office.wait_log("the database refuses")
        if step == "stored":
            own_office.wait_sql("SELECT true FROM pbx.cdr WHERE call = %s", call)
        own_office.kill()
        if step == "ended":
            own_office.sql("ALTER TABLE pbx.cdr_elsewhere RENAME TO cdr")
        own_office.start_server()
    is_lost = step in ("ringing", "talking")
    wait_until(lambda: reader.kinds(call).count("call.lost" if is_lost else "call.ended") == 1)
    own_office.wait_sql("SELECT count(*) = 1 FROM pbx.outbox_done AS d WHERE d.at > (SELECT max(n.started) FROM pbx.node AS n)")
    assert own_office.sql("SELECT count(*) FROM pbx.cdr WHERE call = %s", call)[0][0] == (0 if is_lost else 1)
    assert [k for k in reader.kinds(call) if k in ("call.lost", "call.ended")] == ["call.lost" if is_lost else "call.ended"]
    assert own_office.sql("SELECT 1 FROM pbx.call_missing") == []
