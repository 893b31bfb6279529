"""What a hostile peer or an unlucky administrator can do, and what it must not do to others."""
import contextlib
import resource
import socket
import subprocess
import sys
import time

import pytest

from office import ROOT, SLOW, WS_PORT, end_with_us
from sip import Phone


def answers(office, proto="udp"):
    """It is there, and within the time that any answer has."""
    with Phone(office, "1009", proto=proto) as phone:
        assert phone.ask("OPTIONS").status == 200


def refused(phone, number):
    """Calls what can't be reached; returns the status."""
    call = phone.invite(number)
    m = call.expect(*range(300, 700), skip=range(100, 200), timeout=20)
    call.ack(m)
    return m.status


CIRCLE = """
INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '811', 'a'), ('office', 'office', '812', 'b');
INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
    ('office', 'office', '811', 1, 'goto', '{"number": "812"}'), ('office', 'office', '811', 2, 'goto', '{"number": "812"}'),
    ('office', 'office', '812', 1, 'goto', '{"number": "811"}'), ('office', 'office', '812', 2, 'goto', '{"number": "811"}');
"""


def test_routes_in_a_circle_delay_nobody(office):
    """Two steps in each: without an end to it they would be entered a million times."""
    office.change(CIRCLE)
    mark = len(office.log)
    with Phone(office, "1001") as phone:
        begun = time.monotonic()
        assert refused(phone, "811") == 500
        assert time.monotonic() - begun < 5 * SLOW
    assert office.log.count("routes entered one from the other", mark) == 1
    office.change("DELETE FROM pbx.route WHERE domain = 'office' AND pattern IN ('811', '812')")


OPEN_END = """
INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_7.', 'Open');
INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
    ('office', 'office', '_7.', 1, 'dial', '{"number": "${number:1}"}');
"""


def test_who_dials_a_list_or_a_uri_reaches_nobody(own_office):
    """The pattern he gets in by is of the first number; whom else he may call, other patterns of his context say."""
    own_office.change(OPEN_END)
    with Phone(own_office, "1001") as caller, Phone(own_office, "1003") as victim:
        assert victim.register().status == 200
        assert refused(caller, "71002") == 480                       # isn't there: the route is
        for number in ("71002&1003", "7%26100%33", f"7sip%3A1003%40{victim.addr}"):
            assert refused(caller, number) == 404, number
        assert not [m for m in victim.inbox if not m.status]


def test_who_sends_too_much_is_told(office):
    with socket.create_connection(office.sockaddr(), timeout=10 * SLOW) as one:
        one.sendall(b"MESSAGE sip:1003@x SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKlarge\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
                    b"Call-ID: large\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Length: 100000\r\n\r\n" + b"x" * 20000)
        got = b""
        while piece := one.recv(4000):
            got += piece
        assert got.startswith(b"SIP/2.0 413 ") and b"branch=z9hG4bKlarge" in got


def test_connections_that_say_nothing_or_half_of_it(office):
    half = b"INVITE sip:1001@cordboard SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKhalf\r\nContent-Length: 60000\r\n\r\nv=0"
    with contextlib.ExitStack() as stack:
        for i in range(300):
            connection = stack.enter_context(socket.create_connection(office.sockaddr()))
            connection.sendall(half[:i])
        answers(office)
        answers(office, "tcp")
    answers(office, "tcp")


def call_an_echo(office, user, proto):
    with Phone(office, user, proto=proto) as phone:
        call = phone.invite("600")
        call.ack(call.expect(200, skip=(100, 180, 183)))
        call.bye()


def test_two_thousand_dribbling_connections_stop_no_calls(own_office):
    """Half a message or half a WebSocket in each, and a byte more while calls are made. They take all places of one address, and of
    another's none."""
    with subprocess.Popen([sys.executable, ROOT / "tests/lib/dribble.py", own_office.addr, "5060", str(WS_PORT), "2000"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=end_with_us) as dribble:
        assert dribble.stdout.readline() == b"standing\n"
        for user, proto in (("1001", "udp"), ("1002", "tcp"), ("1003", "ws"), ("1004", "wss")):
            dribble.stdin.write(b"more\n")
            dribble.stdin.flush()
            call_an_echo(own_office, user, proto)
        dribble.stdin.close()
    answers(own_office, "tcp")


@pytest.mark.office(media={"workers": 1, "port_min": 20000, "port_max": 20019})
def test_without_a_media_port_callers_are_told_to_come_back(own_office):
    """Ten streams fit; who comes then gets 503, and a place when one is free."""
    with contextlib.ExitStack() as stack:
        calls = []
        for user in [f"{1001 + i % 8}" for i in range(10)]:
            phone = stack.enter_context(Phone(own_office, user))
            calls.append(phone.invite("700"))
            calls[-1].ack(calls[-1].expect(200))
        late = stack.enter_context(Phone(own_office, "1009"))
        assert refused(late, "700") == 503
        calls[0].bye()
        own_office.wait_sql("SELECT count(*) = 2 FROM pbx.cdr")
        call = late.invite("700")
        call.ack(call.expect(200))
        for call in [*calls[1:], call]:
            call.bye()


def test_a_file_that_may_not_grow_ends_nothing(own_office):
    """Neither the log nor the journal of records can be written: calls go on, and the record comes when it can."""
    process = own_office.process.pid
    with Phone(own_office, "1001") as phone:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        call = phone.invite("700")
        call.ack(call.expect(200))
        call.bye()
        answers(own_office)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    own_office.wait_sql("SELECT count(*) = 1 FROM pbx.cdr WHERE result = 'answered'")


def test_records_that_are_refused_hold_up_no_registration(own_office):
    """A table that can't be written, for a reason that may pass: its entries wait, the others don't, and none is lost."""
    own_office.sql("ALTER TABLE pbx.cdr RENAME TO cdr_elsewhere")
    with Phone(own_office, "1001") as phone, Phone(own_office, "1002") as other:
        for _ in range(3):
            assert refused(phone, "999999") == 404
        own_office.wait_log("the database refuses")
        assert refused(phone, "999999") == 404
        assert phone.register().status == 200
        assert refused(phone, "999999") == 404
        assert other.register().status == 200
        own_office.wait_sql("SELECT count(*) = 2 FROM pbx.binding", seconds=15)
        own_office.sql("ALTER TABLE pbx.cdr_elsewhere RENAME TO cdr")
        own_office.wait_sql("SELECT count(*) = 5 FROM pbx.cdr", seconds=15)
