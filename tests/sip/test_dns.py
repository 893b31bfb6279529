"""Trunks that are called by name: a Dnsmasq on loopback says where they are, and some of that is out of order (RFC 3263).

The name server and the server that asks it are this file's own. Each test has names of its own, made up before the name server
starts, so that none finds what another has failed or cached.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading

import pytest

from office import Office, OfficeError, SLOW, TLS_PORT, end_with_us, free_port6, own_address, wait_until
from sip import Message, Phone, hang_up

DNS_PORT = 5353
PATIENCE_S = 0.5


class Names:
    """What the name server says. Addresses are given out before it starts: at("x") is the same in every test."""

    def __init__(self):
        self.addr, self.addresses, self.process = own_address(), {}, None
        self.args, self.port6 = [], {}

    def at(self, what):
        if what not in self.addresses:
            self.addresses[what] = own_address()
        return self.addresses[what]

    def host(self, name, *whats):
        self.args += [f"--host-record={name},{self.at(what)}" for what in whats]

    def srv(self, service, target, priority, weight=0, port=5060):
        self.args.append(f"--srv-host={service},{target},{port},{priority},{weight}")

    def naptr(self, name, order, service, replacement, flag="s"):
        self.args.append(f"--naptr-record={name},{order},1,{flag},{service},,{replacement}")

    def start(self):
        command = [shutil.which("dnsmasq") or "/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv",
                   "--no-hosts", "--pid-file", "--local=/test/", "--bind-interfaces", "--local-ttl=1", "--log-facility=/dev/null",
                   f"--listen-address={self.addr}", f"--port={DNS_PORT}", *self.args]
        if os.getuid() == 0:
            command.append("--user=root")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=end_with_us)
        wait_until(self.is_answering)

    def is_answering(self):
        if self.process.poll() is not None:
            raise OfficeError(f"dnsmasq ended with {self.process.returncode}")
        query = struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + b"\5ready\4test\0" + struct.pack(">2H", 1, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            s.connect((self.addr, DNS_PORT))
            try:
                s.send(query)
                return s.recv(512)
            except OSError:
                return None

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def names():
    n = Names()
    n.host("ready.test", "ready")
    # the order of NAPTR: by TCP, where nobody takes connections, then by UDP
    n.naptr("naptr.test", 10, "SIP+D2T", "_sip._tcp.naptr.test")
    n.naptr("naptr.test", 20, "SIP+D2U", "_sip._udp.naptr.test")
    n.naptr("naptr.test", 5, "SIP+D2X", "_sip._udp.nowhere.test")
    n.srv("_sip._tcp.naptr.test", "a.naptr.test", 1)
    n.srv("_sip._udp.naptr.test", "a.naptr.test", 1)
    n.host("a.naptr.test", "naptr")
    for name in ("silent", "refusing", "stale"):
        n.srv(f"_sip._udp.{name}.test", f"a.{name}.test", 10)
        n.srv(f"_sip._udp.{name}.test", f"b.{name}.test", 20)
        n.host(f"a.{name}.test", f"{name}-a")
        n.host(f"b.{name}.test", f"{name}-b")
    n.srv("_sip._udp.weight.test", "light.weight.test", 10, 1)
    n.srv("_sip._udp.weight.test", "heavy.weight.test", 10, 65535)
    n.host("light.weight.test", "light")
    n.host("heavy.weight.test", "heavy")
    n.host("plain.test", "plain")
    # one server by both address families; at one of the two nobody is
    for name, order in (("six", ("six", "four")), ("four", ("four", "six")), ("full", ("six", "four"))):
        n.port6[name] = free_port6()
        n.args += [f"--host-record=six.{name}.test,::1"]
        n.host(f"four.{name}.test", f"{name}-first")
        for priority, family in enumerate(order):
            n.srv(f"_sip._udp.{name}.test", f"{family}.{name}.test", priority, 0, n.port6[name] if family == "six" else 5060)
    for name in ("good", "bad"):
        n.srv(f"_sips._tcp.{name}.test", "server.tls.test", 1, 0, TLS_PORT)
    n.host("server.tls.test", "tls")
    # where answers go whose connection has gone: nobody is at the first
    n.srv("_sip._tcp.back.test", "a.back.test", 1, 0, 5070)
    n.srv("_sip._tcp.back.test", "b.back.test", 2, 0, 5070)
    n.host("a.back.test", "back-a")
    n.host("b.back.test", "back-b")
    try:
        n.start()
        yield n
    finally:
        n.stop()


def make_certificate(directory):
    """One for good.test, by itself: who takes it as an authority trusts it."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=trunk", "-addext", "subjectAltName=DNS:good.test", "-keyout", directory / "key.pem",
                    "-out", directory / "cert.pem"], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def site(names):
    """A server that asks them, with a trunk to the name that a test sets."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="dns-"))
    make_certificate(directory)
    made = Office(dns={"servers": f"{names.addr}:{DNS_PORT}", "timeout_ms": 100},
                  sip={"next_target_ms": int(PATIENCE_S * 1000)}, tls={"ca": directory / "cert.pem"})
    made.directory = directory
    try:
        made.start()
        made.change("""
            INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'named', 'lobby', 'sip:plain.test');
            INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_0X.', 'Outside');
            INSERT INTO pbx.step (domain, context, pattern, position, app, args)
                VALUES ('office', 'office', '_0X.', 1, 'dial', '{"number": "${number:1}", "trunk": "named"}')""")
        yield made
    finally:
        made.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def trunk_to(site):
    def set_uri(uri):
        site.change("UPDATE pbx.trunk SET uri = %s WHERE name = 'named'", uri)
    yield set_uri
    site.check()


def refused_by(caller, *peers):
    """A call that whoever gets it refuses; returns his place among peers."""
    here = caller.invite("0123456")
    first = {}

    def ask():
        for i, peer in enumerate(peers):
            m = peer.receive(0.01)
            if m and m.method == "INVITE":
                first["at"] = i
                peer.reply(m, 486, "Busy", tag="x", contact=False)
                peer.expect("ACK", skip=("INVITE",))
                return True
        return False
    wait_until(ask)
    here.ack(here.expect(486))
    return first["at"]


def test_naptr_orders_transports_and_a_refused_connection_leads_to_the_next(site, names, trunk_to):
    trunk_to("sip:naptr.test")
    with Phone(site, "1001") as caller, Phone(site, "trunk", addr=names.at("naptr")) as peer:
        here = caller.invite("0123456")
        there = peer.answer_invite()
        assert there.invite["Via"].startswith("SIP/2.0/UDP ")
        assert there.invite.start.startswith("INVITE sip:123456@naptr.test ")
        ack = there.answer()
        assert ack["CSeq"].startswith(there.invite["CSeq"].split()[0])
        here.ack(here.expect(200))
        hang_up(here, there)
    assert f"target={names.at('naptr')}:5060 transport=TCP failed" in site.log


def test_silent_target_gives_way_and_is_remembered(site, names, trunk_to):
    trunk_to("sip:silent.test")
    with Phone(site, "1001") as caller, Phone(site, "trunk", addr=names.at("silent-a")) as silent, \
            Phone(site, "trunk", addr=names.at("silent-b")) as good:
        here = caller.invite("0123456")
        lost = silent.expect("INVITE")
        there = good.answer_invite()
        assert there.invite["Call-ID"] == lost["Call-ID"] and there.invite["CSeq"] == lost["CSeq"]
        assert there.invite.branch != lost.branch
        there.answer()
        here.ack(here.expect(200))
        # Who rings after all is told that nobody waits any more.
        silent.reply(lost, 180, "Ringing", tag="late")
        cancel = silent.expect("CANCEL", skip=("INVITE",))
        assert cancel.branch == lost.branch
        silent.reply(cancel, 200, "OK", contact=False)
        silent.reply(lost, 487, "Request Terminated", tag="late", contact=False)
        assert silent.expect("ACK", skip=("INVITE",)).branch == lost.branch
        hang_up(here, there)
        assert refused_by(caller, silent, good) == 1
        silent.expect_none(0.1, skip=("ACK",))


def test_503_gives_way_and_retry_after_is_remembered(site, names, trunk_to):
    trunk_to("sip:refusing.test")
    with Phone(site, "1001") as caller, Phone(site, "trunk", addr=names.at("refusing-a")) as full, \
            Phone(site, "trunk", addr=names.at("refusing-b")) as good:
        here = caller.invite("0123456")
        m = full.expect("INVITE")
        full.reply(m, 503, "Full", tag="full", contact=False, headers=["Retry-After: 100"])
        ack = full.expect("ACK")                                             # where the INVITE went, with its Via
        assert ack.branch == m.branch and ack["To"].endswith("tag=full")
        there = good.answer_invite()
        there.answer()
        here.ack(here.expect(200))
        hang_up(here, there)
        assert refused_by(caller, full, good) == 1                           # without asking the first
        full.expect_none(0.1)


@pytest.mark.parametrize("first,second,there_first", [("six", 4, False), ("four", 6, False), ("full", 4, True)])
def test_target_of_both_address_families(site, names, trunk_to, first, second, there_first):
    """RFC 7984: where one family leads nowhere, or to a server that says 503, the other is called, with an offer of its own."""
    if not site.addr6:
        pytest.skip("this machine has no IPv6")
    trunk_to(f"sip:{first}.test")
    at4, at6 = {"addr": names.at(f"{first}-first")}, {"family": 6, "addr": "::1", "port": names.port6[first]}
    with contextlib.ExitStack() as there_too, Phone(site, "1001") as caller, \
            Phone(site, "trunk", **(at4 if second == 4 else at6)) as good:
        full = there_too.enter_context(Phone(site, "trunk", **at6)) if there_first else None    # there before it is asked
        here = caller.invite("0123456")
        if full:
            m = full.expect("INVITE")
            full.reply(m, 503, "Full", tag="full", contact=False)
            full.expect("ACK")
        there = good.answer_invite()
        assert f"c=IN IP{second} " in there.invite.body
        there.answer()
        here.ack(here.expect(200))
        hang_up(here, there)


def test_weights_decide_among_equals(site, names, trunk_to):
    trunk_to("sip:weight.test")
    with Phone(site, "1001") as caller, Phone(site, "trunk", addr=names.at("light")) as light, \
            Phone(site, "trunk", addr=names.at("heavy")) as heavy:
        assert [refused_by(caller, light, heavy) for _ in range(6)] == [1] * 6


def test_host_without_records_of_service_is_called_by_its_address(site, names, trunk_to):
    trunk_to("sip:plain.test")
    with Phone(site, "1001") as caller, Phone(site, "trunk", addr=names.at("plain")) as peer:
        assert refused_by(caller, peer) == 0


def test_name_that_isnt_there_is_a_trunk_that_cant_be_reached(site, trunk_to):
    trunk_to("sip:nowhere.test")
    with Phone(site, "1001") as caller:
        here = caller.invite("0123456")
        here.ack(here.expect(480, 503))


def test_what_was_known_counts_while_the_name_server_is_away(site, names, trunk_to):
    trunk_to("sip:stale.test")
    with Phone(site, "1001") as caller, Phone(site, "trunk", addr=names.at("stale-a")) as peer:
        assert refused_by(caller, peer) == 0
        names.process.send_signal(signal.SIGSTOP)
        try:
            mark = len(site.log)

            def is_stale():
                assert refused_by(caller, peer) == 0
                return "what was known goes on to count" in site.log[mark:]
            wait_until(is_stale)
            trunk_to("sip:unheard.test")                                     # and what wasn't is found out soon
            here = caller.invite("0123456")
            here.ack(here.expect(480, 503))
        finally:
            names.process.send_signal(signal.SIGCONT)


class TlsServer:
    """Takes connections, refuses calls. Notes the names it was called by, and the requests."""

    def __init__(self, addr, directory):
        self.called, self.requests, self.failed = [], [], 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        context.sni_callback = lambda _socket, name, _context: self.called.append(name)
        self.context = context
        self.listener = socket.create_server((addr, TLS_PORT))
        self.listener.settimeout(30 * SLOW)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            plain.settimeout(10 * SLOW)
            with plain:
                self.serve_one(plain)

    def serve_one(self, plain):
        try:
            with self.context.wrap_socket(plain, server_side=True) as s:
                data = s.recv(65536)
                if data:
                    m = Message(data)
                    self.requests.append(m)
                    lines = ["SIP/2.0 486 Busy", f"Via: {m['Via']}", f"From: {m['From']}", f"To: {m['To']};tag=x",
                             f"Call-ID: {m['Call-ID']}", f"CSeq: {m['CSeq']}", "Content-Length: 0", "", ""]
                    s.sendall("\r\n".join(lines).encode())
                    while s.recv(65536):
                        pass
        except OSError:
            self.failed += 1

    def close(self):
        # shutdown, or accept() of the thread would go on
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def test_tls_trunk_must_be_the_one_called(site, names, trunk_to):
    server = TlsServer(names.at("tls"), site.directory)
    try:
        with Phone(site, "1001") as caller:
            trunk_to("sips:bad.test")
            here = caller.invite("0123456")
            here.ack(here.expect(480, 503))
            assert server.called == ["bad.test"] and not server.requests
            site.wait_log("its certificate isn't good for bad.test")
            trunk_to("sip:good.test;transport=tls")
            here = caller.invite("0123456")
            here.ack(here.expect(486))
            assert server.called == ["bad.test", "good.test"]
            assert server.requests[0]["Via"].startswith("SIP/2.0/TLS ") and server.requests[0]["Via"].endswith(";rport;alias")  # RFC 5923
    finally:
        server.close()


@pytest.mark.parametrize("returns", [True, False], ids=["to the source", "to the name in Via"])
def test_answer_whose_connection_has_gone_finds_another_way(site, names, returns):
    """RFC 3261 section 18.2.2, and where nobody listens there RFC 3263 section 5."""
    with Phone(site, "1002") as callee, Phone(site, "1001", proto="tcp") as caller:
        at = (caller.addr, 5060) if returns else (names.at("back-b"), 5070)
        caller.host, caller.port = "back.test", None                         # sent-by is a name
        callee.register()
        caller.invite("1002")
        there = callee.answer_invite()
        # It is gone before whatever comes next: the end of the connection is read before the question is.
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.socket.close()
        assert callee.ask("OPTIONS").status == 200
        with contextlib.closing(socket.create_server(at)) as server:
            server.settimeout(10 * SLOW)
            there.reply(486, "Busy Here")
            there.expect("ACK")
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10 * SLOW)
                assert connection.recv(65536).startswith(b"SIP/2.0 ")         # 1002 has a mailbox that answers
        callee.unregister()
