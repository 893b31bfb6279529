"""SIPp, run against an office.

    sipp(office, "call.xml", user="1001", keys={"dial": "1002"})         runs to its end; SippError unless all its calls succeeded
    with Sipp(office, "answer.xml", user="1002") as callee: ...          runs beside; its end is awaited, and judged, on exit

Scenarios are tests/sip/*.xml, or `text`, of the name given. Each run has a loopback address of its own, port 5060 (on IPv6 ::1 and a free port), and finds in
its keywords: [user] who it is, [uri] how to write the server's host and port in a URI, whatever `keys` has. @name@ in a scenario is
replaced by what `fill` has for it: SIPp wants to see the status of a response when it loads the scenario.
"""
import contextlib
import itertools
import os
import socket
import subprocess
import time

from office import OfficeError, ROOT, SLOW, free_port6, own_address, wait_until
from sip import Phone

SCENARIOS = ROOT / "tests/sip"
serial = itertools.count(1)


class SippError(OfficeError):
    pass


def is_bound(addr, port, proto):
    """Does a socket receive on this address? As the kernel's tables have it."""
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    raw = socket.inet_pton(family, addr)
    words = b"".join(raw[i:i + 4][::-1] for i in range(0, len(raw), 4)).hex().upper()
    want = f"{words}:{port:04X}"
    with open(f"/proc/net/{proto}{'6' if family == socket.AF_INET6 else ''}") as table:
        for line in table:
            fields = line.split()
            if fields[1] == want and (proto == "udp" or fields[3] == "0A"):
                return True
    return False


class Sipp:
    def __init__(self, office, scenario, user="1001", password=None, family=4, transport="u1", addr=None, port=None, target=None,
                 keys=None, fill=None, csv=None, calls=1, rate=10, timeout=20, args=(), text=None, auth_uri=None):
        self.office = office
        self.scenario = scenario
        target = target or office.target(family)
        self.addr = addr or (own_address() if family == 4 else office.addr6)
        self.port = port or (5060 if family == 4 else free_port6())
        self.host = self.addr if family == 4 else f"[{self.addr}]"
        self.transport = transport
        self.timeout = timeout * SLOW
        self.dir = office.dir / f"sipp-{os.getpid()}-{next(serial)}"
        self.process = None
        words = {"user": user, "uri": office.target(family), "tp": "tcp" if transport[0] == "t" else "udp"}
        words.update(keys or {})
        # What the digest is made for: the Request-URI (RFC 7616 §3.4.6). SIPp's own idea has no user in it.
        auth_uri = auth_uri or (f"{words['dial']}@" if "dial" in words else "") + office.target(family)
        self.fill, self.scenario_text = fill or {}, text
        self.command = ["sipp", target, "-sf", "scenario.xml", "-i", self.addr,
                        "-p", str(self.port), "-ci", self.addr if family == 4 else office.addr, "-mi", self.addr,
                        "-t", transport, "-m", str(calls), "-r", str(rate),
                        "-au", user, "-ap", password or f"s{user}", "-auth_uri", auth_uri,
                        "-nostdin", "-skip_rlimit", "-timeout", f"{self.timeout}s", "-timeout_error", "-f", "1s",
                        "-trace_err", "-error_file", "errors", "-trace_msg", "-message_file", "messages",
                        "-trace_screen", "-screen_file", "screen", "-trace_logs", "-log_file", "logs"]
        for name, value in words.items():
            self.command += ["-key", name, str(value)]
        self.csv = csv
        self.command += list(args)

    def start(self):
        self.dir.mkdir()
        text = self.scenario_text or (SCENARIOS / self.scenario).read_text()
        for name, value in self.fill.items():
            text = text.replace(f"@{name}@", str(value))
        (self.dir / "scenario.xml").write_text(text)
        if self.csv:
            lines = ["SEQUENTIAL"] + [";".join(str(field) for field in row) + ";" for row in self.csv]
            (self.dir / "rows.csv").write_text("\n".join(lines) + "\n")
            self.command += ["-inf", "rows.csv"]
        with open(self.dir / "stdout", "wb") as out:
            self.process = subprocess.Popen(self.command, cwd=self.dir, stdout=out, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL, env=dict(os.environ, TERM="dumb"))
        proto = "tcp" if self.transport[0] == "t" else "udp"
        if proto == "udp":
            wait_until(lambda: self.process.poll() is not None or is_bound(self.addr, self.port, proto))
        return self

    def wait(self, seconds=None):
        """Awaits its end; SippError when a call of it failed."""
        try:
            status = self.process.wait(seconds or self.timeout + 10)
        except subprocess.TimeoutExpired:
            self.kill()
            status = "none in time"
        if status != 0:
            raise SippError(f"{self.scenario}: SIPp ended with {status}\n{self.logs()}")
        return self

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def text(self, name):
        path = self.dir / name
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def messages(self):
        return self.text("messages")

    def logs(self):
        return "\n".join(f"---- {name}\n{self.text(name)[-size:]}" for name, size in
                         (("stdout", 300), ("logs", 2000), ("messages", 16000), ("errors", 2000)) if self.text(name))

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.wait()
            return
        # The test failed already; what SIPp saw belongs to the report.
        end = time.monotonic() + 1
        while self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        self.kill()
        error.args = (f"{error}\n==== {self.scenario} meanwhile (status {self.process.returncode}):\n{self.logs()}",)


def sipp(office, scenario, **kwargs):
    run = Sipp(office, scenario, **kwargs)
    try:
        return run.start().wait()
    finally:
        run.kill()


@contextlib.contextmanager
def callee(office, scenario, user="1002", **kwargs):
    """A SIPp that has registered, and answers. Its registration is taken away at the end."""
    run = Sipp(office, scenario, user=user, **kwargs)
    family = 6 if ":" in run.addr else 4

    def phone():
        return Phone(office, user, family=family, addr=run.addr, port=run.port)
    with phone() as p:
        answer = p.register(expires=600)
        assert answer.status == 200, answer
    try:
        with run:
            yield run
    finally:
        run.kill()
        with phone() as p:
            p.unregister()
