"""A running Cordboard with its database, for tests: pytest fixtures `office` and `own_office`.

`office` is one server for all tests of a pytest process (of an xdist worker), for tests that leave no trace: what they register
they take away, what they set in SQL they set back. `own_office` is a server of the test's own. Both have the demo office with
password sN for extension N. Each server listens on a loopback address of its own, so that ports never collide: 127.x.y.z,
port 5060, UDP and TCP, 5061, TLS, 5066, WebSocket, and 5067, WebSocket over TLS; and on ::1 with a free port.

A test fails when the server ended by itself, with another status than 0, or with a report of a sanitizer.

Environment: BUILD (build or build-sanitize) says which server.
"""
import ctypes
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import psycopg2
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", "build"))
BUILD = BUILD if BUILD.is_absolute() else ROOT / BUILD
SERVER = BUILD / "cordboard"
PROMPTS = ROOT / "build" / "prompts"
IS_SANITIZED = "sanitize" in BUILD.name or "tsan" in BUILD.name
TLS_PORT, WS_PORT, WSS_PORT = 5061, 5066, 5067
SLOW = 3 if IS_SANITIZED else 1          # how much longer things may take
PLAN_TABLES = ("route", "context", "inbound_number", "emergency_number", "blocked_caller", "trunk_rewrite", "route_rewrite")

REPORT = re.compile(r"ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed|stack smashing")


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class OfficeError(AssertionError):
    pass


def end_with_us():
    """For a child before its exec: it ends when the tests do, also when they are killed."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_until(what, seconds=10, every=0.02):
    """Asks until the answer is true and returns it; fails when that takes too long."""
    end = time.monotonic() + seconds * SLOW
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > end:
            raise OfficeError(f"didn't become true within {seconds * SLOW} s: {what}")
        time.sleep(every)


def own_address():
    """A loopback address that nobody else uses: one of four million, and its port 5060 is free."""
    while True:
        addr = f"127.{random.randint(64, 250)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind((addr, 5060))
                tcp.bind((addr, 5060))
                return addr
            except OSError:
                continue


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def free_port6():
    """A port of ::1 that is free for UDP and TCP, below those that phones take for media. Each worker has a thousand of them, as it
    may be a while before the port is taken."""
    first = 6000 + 1000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8)
    while True:
        port = random.randint(first, first + 999)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp, socket.socket(socket.AF_INET6) as tcp:
            try:
                udp.bind(("::1", port))
                tcp.bind(("::1", port))
                return port
            except OSError:
                continue


def quote(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


class Raw(str):
    """A setting that is written as it is, but for {addr}, the server's address."""


class Office:
    """One server and its database. Keyword arguments of start() and settings of the configuration file:
    Office(media={"timeout_s": 2}, sip={"nonce_life": 1}, log_level="debug")."""

    def __init__(self, **settings):
        self.settings = settings
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="office-"))
        self.dir.chmod(0o755)            # PostgreSQL runs as another user when the tests run as root
        self.addr = own_address()
        self.port = 5060
        self.addr6 = "::1" if has_ipv6() else None
        self.port6 = free_port6() if self.addr6 else None
        self.process = None
        self.stdout = b""
        self.conninfo = None
        self.log_path = self.dir / "log"
        self.connection = None
        self.starts = 0
        self.is_dirty = False

    # ---- life ----

    def start(self):
        env = {k: v for k, v in os.environ.items() if k != "CORDBOARD"}
        self.conninfo = self._pgtmp("start", env)
        (self.dir / "spool").mkdir()
        self._write_config()
        try:
            self.start_server()
        except BaseException:
            self.stop_database()
            raise
        return self

    def _pgtmp(self, what, env=None):
        done = subprocess.run([ROOT / "tests/lib/pgtmp", what, self.dir], env=env, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise OfficeError(f"pgtmp {what}: {done.stderr}")
        return done.stdout.strip()

    def _write_config(self):
        listen = [(self.addr, self.port)]
        if self.addr6:
            listen.append((self.addr6, self.port6))
        # ::1 is shared with other servers: a range of one's own keeps them apart there too.
        first = random.randrange(16384, 32000, 400)
        top = {"node": "test", "user": "", "log_level": "debug", "database": self.conninfo, "spool": self.dir / "spool",
               "prompts": PROMPTS}
        self._make_certificate()
        groups = {"sip": {}, "guard": {}, "dns": {}, "tls": {"cert": self.dir / "cert.pem"}, "ws": {}, "wss": {},
                  "media": {"workers": 2, "port_min": first, "port_max": first + 399}}
        for name, value in self.settings.items():
            if isinstance(value, dict):
                groups[name].update(value)
            else:
                top[name] = value

        def line(name, value):
            if isinstance(value, Raw):
                return f"{name} = {value.replace('{addr}', self.addr)};"
            return f"{name} = {value if isinstance(value, int) else quote(value)};"
        text = [line(n, v) for n, v in top.items()]
        for group, values in groups.items():
            lines = [line(n, v) for n, v in values.items()]
            port = {"tls": TLS_PORT, "ws": WS_PORT, "wss": WSS_PORT}.get(group)
            if port or group == "sip":
                ends = ", ".join(f"{{ addr = {quote(a)}; port = {p}; }}" for a, p in ([(self.addr, port)] if port else listen))
                lines.append(f"listen = ( {ends} );")
            text.append(f"{group} = {{ {' '.join(lines)} }};")
        (self.dir / "cordboard.conf").write_text("\n".join(text) + "\n")

    def _make_certificate(self):
        """One of its own making, with the key in the same file."""
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=test", "-addext", f"subjectAltName=IP:{self.addr}", "-keyout", self.dir / "key.pem",
                        "-out", self.dir / "cert.pem"], check=True, capture_output=True, timeout=60)
        with open(self.dir / "cert.pem", "a") as cert:
            cert.write((self.dir / "key.pem").read_text())

    def start_server(self, seconds=20):
        """Starts it and waits for its line "ready"."""
        self.spawn_server()
        self.wait_ready(seconds)

    def spawn_server(self):
        env = dict(os.environ)
        env.setdefault("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=0")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        self.stdout = b""
        self.starts += 1
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([SERVER, "--config", self.dir / "cordboard.conf"], stdout=subprocess.PIPE, stderr=log,
                                            stdin=subprocess.DEVNULL, env=env, start_new_session=True,
                                            preexec_fn=end_with_us)

    def wait_ready(self, seconds=20):
        end = time.monotonic() + seconds * SLOW
        while b"ready" not in self.stdout:
            left = end - time.monotonic()
            got = select.select([self.process.stdout], [], [], max(left, 0))[0] and os.read(self.process.stdout.fileno(), 4096)
            if not got:
                status = self.process.poll()
                self.kill()
                raise OfficeError(f"the server didn't become ready (status {status}):\n{self.log_tail()}")
            self.stdout += got

    def stop_server(self, seconds=10):
        """Stops it as an administrator does, and fails unless it ends as it should."""
        process, self.process = self.process, None
        if not process:
            return
        status = process.poll()
        by_itself = status is not None
        if not by_itself:
            process.send_signal(signal.SIGTERM)
            try:
                status = process.wait(seconds * SLOW)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                status = f"none within {seconds * SLOW} s of SIGTERM"
        process.stdout.close()
        if by_itself or status != 0:
            raise OfficeError(f"the server ended {'by itself ' if by_itself else ''}with status {status}:\n{self.log_tail()}")
        if REPORT.search(self.log):
            raise OfficeError(f"a sanitizer has a complaint:\n{self.report()}")

    def kill(self):
        """Ends it as a power cut would."""
        process, self.process = self.process, None
        if process:
            process.kill()
            process.wait()
            process.stdout.close()

    def restart(self):
        self.stop_server()
        self.start_server()

    def check(self):
        """Fails when the server isn't there any more or has complained."""
        if self.process and self.process.poll() is not None:
            self.stop_server()
        if REPORT.search(self.log):
            raise OfficeError(f"a sanitizer has a complaint:\n{self.report()}")

    def stop(self):
        try:
            self.stop_server()
        finally:
            self.kill()
            self.stop_database()
            shutil.rmtree(self.dir, ignore_errors=True)

    # ---- database ----

    def stop_database(self):
        self._disconnect()
        self._pgtmp("stop")

    def database_down(self):
        self._disconnect()
        self._pgtmp("down")

    def database_up(self):
        """Starts it again and waits until the server has noticed."""
        mark = len(self.log)
        self._pgtmp("up")
        if self.process:
            self.wait_log("db: connected", mark, seconds=15)

    def _disconnect(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def sql(self, text, *args):
        """Runs it in a transaction of its own. Returns the rows, if it has any; %s stand for args."""
        if not self.connection or self.connection.closed:
            self.connection = psycopg2.connect(self.conninfo)
            self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            cursor.execute(text, args or None)
            return None if cursor.description is None else cursor.fetchall()   # of no columns: it has rows all the same

    def wait_sql(self, text, *args, seconds=10):
        """Asks until there is a row whose first column is true; returns the rows."""
        def ask():
            rows = self.sql(text, *args)
            return rows if rows and rows[0][0] else None
        return wait_until(ask, seconds)

    def change(self, text, *args, seconds=5):
        """Like sql(), and waits until the server has taken the change over."""
        before = self.sql("SELECT coalesce(max(seq), 0) FROM pbx.change")[0][0]
        mark = len(self.log)
        self.sql(text, *args)
        changes = self.sql('SELECT seq, "table" FROM pbx.change WHERE seq > %s', before)
        if not changes:
            return
        last = max(seq for seq, _ in changes)
        wait_until(lambda: any(int(n) >= last for n in re.findall(r"directory: changed seq=(\d+)", self.log[mark:])), seconds)
        if any(table in PLAN_TABLES for _, table in changes):
            self.wait_log("plan: up to date", mark, seconds)

    # ---- log ----

    @property
    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=80):
        return "\n".join(self.log.splitlines()[-lines:])

    def report(self):
        text = self.log
        return text[max(0, REPORT.search(text).start() - 200):][:8000]

    def wait_log(self, pattern, since=0, seconds=10):
        """Waits for a line of the log, from the given offset on; returns the match."""
        return wait_until(lambda: re.compile(pattern).search(self.log, since), seconds)

    # ---- where it is ----

    def target(self, family=4):
        """addr:port, as SIPp and URIs want it."""
        addr, port = self.sockaddr(family)
        return f"{addr}:{port}" if family == 4 else f"[{addr}]:{port}"

    def sockaddr(self, family=4):
        if family == 6 and not self.addr6:
            pytest.skip("this machine has no IPv6")
        return (self.addr, self.port) if family == 4 else (self.addr6, self.port6)


# ---- fixtures ----

@pytest.fixture(scope="session")
def shared_office():
    made = Office()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def office(shared_office):
    """The server that tests share. Each is told when it broke it; the next one finds a running server again."""
    if shared_office.is_dirty:
        # A test failed and left calls and registrations behind, which is no fault of the next one.
        shared_office.kill()
        shared_office.sql("DELETE FROM pbx.binding")
        shared_office.is_dirty = False
    if not shared_office.process:
        shared_office.start_server()
    yield shared_office
    try:
        shared_office.check()
    except OfficeError:
        shared_office.kill()
        os.rename(shared_office.log_path, shared_office.dir / f"log.{shared_office.starts}")
        raise


@pytest.fixture
def own_office(request):
    """A server of the test's own; settings by @pytest.mark.office(media={"timeout_s": 2})."""
    marker = request.node.get_closest_marker("office")
    made = Office(**(marker.kwargs if marker else {}))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What the server said during a failed test belongs to the report."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for name in ("own_office", "shared_office"):
        made = getattr(item, "funcargs", {}).get(name)
        if made:
            made.is_dirty = True
            report.sections.append(("server log", made.log_tail(40)))
            return
