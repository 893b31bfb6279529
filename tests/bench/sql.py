#!/usr/bin/python3
"""make bench-sql: what SQL as the control room costs: big dialplans, changes, imports, cold look-ups, explain(), live state.

A server with a private database. The rows that a measurement needs are put there with triggers off (their checks are no part of it; the
server starts behind them), but for those whose way into the server is what is measured.

    plan      1,000,000 routes with a step each, in 1,000 contexts of a domain: time from the process's start until its dialplan is loaded, and
              memory when that has settled, both beside those of a server with the demo office alone. Then lookup.c loads 1,000, 100,000
              and all of them, and looks a million random numbers up.
    change    With all of these loaded, 50 times: a step is changed; time from COMMIT's return until the server has taken it over.
    explain   200 times explain(): of an extension in the demo office, and of one whose context includes one of the thousand.
    import    1,000,000 routes with a step each in one transaction, triggers and all: how long it takes, how long until the server has
              them, and how long an OPTIONS waits for its answer meanwhile (one each 5 ms, by the kernel's clock of its arrival); the
              same before it, beside.
    cold      100,000 extensions in 1,000 domains. lookup.c loads them and looks each up once as one who registers and is called, in random order;
              then a server just started has all of them register (regload.c): REGISTER to 200, with the challenge between.
    live      1,000 calls a second (callload.c), with 200 ms of talk. The table of live calls is locked every other 7 s, so that nothing can be written of them
              while all else goes on: CPU us a call with and without.

Prints a line a figure with its budget, and exits with 1 if one is over. Takes about ten minutes; --quick has a tenth of the rows and
its figures are a guide; --only NAME just that part.
"""
import argparse
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import psycopg2

from run import CallLoad, Generator, Report, ROUTE, Server
from office import BUILD, Office, OfficeError, own_address, wait_until

PARTS = ("plan", "change", "explain", "import", "cold", "live")
CONTEXTS, DOMAINS = 1000, 1000
SO_TIMESTAMPNS = 35
PROBE_S = 0.005
LOCKED_S = 7            # less than the server waits for an answer of the database

ROUTES = """
INSERT INTO pbx.context (domain, context) SELECT 'office', '{prefix}' || n FROM generate_series(0, {contexts} - 1) n;
INSERT INTO pbx.route (domain, context, pattern)
    SELECT 'office', '{prefix}' || n % {contexts}, (100000000 + n)::text FROM generate_series({first}, {last} - 1) n;
INSERT INTO pbx.step (domain, context, pattern, position, app, args)
    SELECT 'office', '{prefix}' || n % {contexts}, (100000000 + n)::text, 1, 'dial', '{{"number": "1002"}}'
    FROM generate_series({first}, {last} - 1) n;
"""

EXTENSIONS = """
INSERT INTO pbx.domain (domain, display_name, realm, default_context) SELECT 'd' || n, 'Bench', 'bench', 'main' FROM generate_series(0, {domains} - 1) n;
INSERT INTO pbx.context (domain, context) SELECT 'd' || n, 'main' FROM generate_series(0, {domains} - 1) n;
INSERT INTO pbx.extension (domain, number, display_name, context)
    SELECT 'd' || n % {domains}, (1000000 + n)::text, 'Phone', 'main' FROM generate_series(0, {count} - 1) n;
INSERT INTO pbx.credential (domain, auth_name, number, ha1_md5, ha1_sha256)
    SELECT 'd' || n % {domains}, t.number, t.number, md5(t.secret), encode(sha256(convert_to(t.secret, 'UTF8')), 'hex')
    FROM generate_series(0, {count} - 1) n,
         LATERAL (SELECT (1000000 + n)::text AS number, format('%s:bench:s%s', 1000000 + n, 1000000 + n) AS secret) t;
"""


def quantile(values, part):
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]


def unchecked(office, text):
    """Rows without triggers: as the superuser, who alone may."""
    with psycopg2.connect(re.sub(r"user=\S+", "user=postgres", office.conninfo)) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(text)
    connection.close()
    office.sql("ANALYZE")


def look_up(office, **options):
    """lookup.c and what it says."""
    args = [str(part) for name, value in {"database": office.conninfo, **options}.items() for part in (f"--{name}", value)]
    done = subprocess.run([BUILD / "tests/bench/lookup", *args], capture_output=True, text=True, timeout=400)
    if done.returncode:
        raise OfficeError(f"lookup: {done.stdout} {done.stderr}")
    said = {name: float(value) for name, value in re.findall(r"(\w+)=([0-9.]+)", done.stdout)}
    if said["missing"]:
        raise OfficeError(f"lookup: {done.stdout}")
    return said


def started(office):
    """Seconds from the process's start to its dialplan, and KiB when that has settled: what is resident, and what was at the most."""
    office.stop_server()
    mark = len(office.log)
    began = time.monotonic()
    office.start_server(60)
    office.wait_log(r"plan: dialplan loaded routes=\d+", mark, 120)
    took = time.monotonic() - began
    server = Server(office)
    time.sleep(6)               # it looks each five seconds whether there is memory to give back
    peak = re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{server.pid}/status").read())
    return took, server.rss_kib(), int(peak.group(1))


def measure_plan(office, options, report):
    empty_s, empty_kib, _ = started(office)
    loaded = 0
    for size in (options.routes // 1000, options.routes // 10, options.routes):
        began = time.monotonic()
        if loaded:
            unchecked(office, re.sub(r"INSERT INTO pbx.context .*?;", "", ROUTES, flags=re.S).format(prefix="c", contexts=CONTEXTS, first=loaded, last=size))
        else:
            unchecked(office, ROUTES.format(prefix="c", contexts=CONTEXTS, first=0, last=size))
        loaded = size
        report.beside(f"{size} routes: stored unchecked", time.monotonic() - began, "s", "triggers off")
        said = look_up(office, domain="office", contexts=CONTEXTS, routes=size)
        report.figure(f"{size} routes: a look-up", said["route_ns"] / 1000, "us", 1, f"mean of a million; loaded in {said['loaded_ms']:.0f} ms")
    took, kib, peak = started(office)
    report.figure(f"{loaded} routes: loaded", took - empty_s, "s", 5, f"the demo office alone: {empty_s:.2f} s")
    report.figure(f"{loaded} routes: memory", (kib - empty_kib) / 1024, "MiB", 300, f"at the most {(peak - empty_kib) / 1024:.0f}")


def filled(office, options):
    """The routes are there and the server has them, whichever part is the first to want them."""
    if not office.sql("SELECT 1 FROM pbx.context WHERE domain = 'office' AND context = 'c0'"):
        unchecked(office, ROUTES.format(prefix="c", contexts=CONTEXTS, first=0, last=options.routes))
        started(office)
    if not office.sql("SELECT 1 FROM pbx.trunk WHERE domain = 'office' AND name = 'load'"):
        office.change(ROUTE, f"sip:{office.sink}:5060", office.trunk, seconds=60)      # whom the probe belongs to


class Tail:
    """The server's log from here on."""

    def __init__(self, office):
        self.log = open(office.log_path, "rb")
        self.log.seek(0, 2)
        self.text = b""

    def has(self, pattern):
        """Is it there by now?"""
        self.text += self.log.read()
        return re.search(pattern, self.text)

    def close(self):
        self.log.close()


def measure_change(office, options, report):
    filled(office, options)
    times = []
    for i in range(50):
        tail = Tail(office)
        office.sql("UPDATE pbx.step SET args = %s WHERE domain = 'office' AND context = 'c7' AND pattern = %s", f'{{"number": "{1001 + i % 9}"}}',
                   str(100000007 + CONTEXTS * i))
        began = time.monotonic()
        wait_until(lambda: tail.has(rb"directory: changed seq=(?s:.*)plan: up to date"), 30, 0.0002)
        times.append(1000 * (time.monotonic() - began))
        tail.close()
    report.figure("a changed route in force, p99", quantile(times, 0.99), "ms", 20, f"p50 {quantile(times, 0.5):.1f} of {len(times)}, from COMMIT on")


def measure_explain(office, options, report):
    filled(office, options)
    office.sql("INSERT INTO pbx.context_include (domain, context, position, included) VALUES ('office', 'office', 8, 'c7')"
               " ON CONFLICT DO NOTHING")
    for what, number in (("demo office", "600"), (f"{options.routes} routes", str(100000007 + CONTEXTS))):
        times = []
        for _ in range(200):
            began = time.monotonic()
            rows = office.sql("SELECT * FROM pbx.explain('office', '1001', %s)", number)
            times.append(1000 * (time.monotonic() - began))
            if not rows:
                raise OfficeError(f"explain() knows nothing of {number}")
        report.figure(f"explain, {what}: p99", quantile(times, 0.99), "ms", 5, f"p50 {quantile(times, 0.5):.2f} of {len(times)}")


class Probe:
    """OPTIONS from a trunk each 5 ms: how long each waits for its answer. When that arrived the kernel says."""

    def __init__(self, office):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind((office.trunk, 5060))
        self.socket.settimeout(0.2)
        self.office, self.sent, self.waits, self.is_over = office, {}, [], False
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        here, there = self.office.trunk, f"{self.office.addr}:{self.office.port}"
        n = 0
        while not self.is_over:
            n += 1
            self.sent[n] = time.clock_gettime(time.CLOCK_REALTIME)
            self.socket.sendto(f"OPTIONS sip:{there} SIP/2.0\r\nVia: SIP/2.0/UDP {here}:5060;branch=z9hG4bK-{id(self)}-{n}\r\nMax-Forwards: 70\r\n"
                               f"From: <sip:probe@{here}>;tag=p\r\nTo: <sip:{there}>\r\nCall-ID: probe-{id(self)}-{n}\r\nCSeq: {n} OPTIONS\r\n"
                               "Content-Length: 0\r\n\r\n".encode(), (self.office.addr, self.office.port))
            time.sleep(PROBE_S)

    def _receive(self):
        while not self.is_over or self.sent:
            try:
                data, extra, _, _ = self.socket.recvmsg(4096, 128)
            except TimeoutError:
                if self.is_over:
                    return
                continue
            seconds, ns = struct.unpack("qq", extra[0][2][:16])
            began = self.sent.pop(int(re.search(rb"CSeq: (\d+)", data).group(1)), None)
            if began:
                self.waits.append(1000 * (seconds + ns / 1e9 - began))

    def stop(self):
        """Milliseconds of each."""
        self.is_over = True
        for thread in self.threads:
            thread.join(10)
        self.socket.close()
        if self.sent or not self.waits:
            raise OfficeError(f"{len(self.sent)} OPTIONS without an answer, {len(self.waits)} with one")
        return self.waits


def measure_import(office, options, report):
    filled(office, options)
    probe = Probe(office)
    time.sleep(3)
    idle = probe.stop()
    last = office.sql("SELECT max(seq) FROM pbx.change")[0][0]
    mark = office.log_path.stat().st_size
    probe = Probe(office)
    began = time.monotonic()
    connection = psycopg2.connect(office.conninfo)
    with connection, connection.cursor() as cursor:
        cursor.execute(ROUTES.format(prefix="i", contexts=CONTEXTS, first=0, last=options.routes))
        stored = time.monotonic() - began
    connection.close()
    committed = time.monotonic() - began
    last = office.sql("SELECT max(seq) FROM pbx.change")[0][0]

    def is_there():
        with open(office.log_path, "rb") as log:
            log.seek(mark)
            text = log.read()
        seen = [m for m in re.finditer(rb"directory: changed seq=(\d+)|directory: loaded .*seq=(\d+)", text) if int(m.group(1) or m.group(2)) >= last]
        return seen and text.find(b"plan: up to date", seen[0].end()) >= 0
    wait_until(is_there, 300, 0.2)
    taken = time.monotonic() - began - committed
    waits = probe.stop()
    report.beside(f"{options.routes} routes: imported", committed, "s", f"COMMIT of it {committed - stored:.1f} s")
    report.beside("the server has them after COMMIT", taken, "s", "")
    report.figure("an answer waits at the most", max(waits), "ms", max(idle) + 10, f"p99 {quantile(waits, 0.99):.1f}; idle: {max(idle):.1f}, p99 {quantile(idle, 0.99):.1f}")


def measure_cold(office, options, report):
    unchecked(office, EXTENSIONS.format(domains=DOMAINS, count=options.extensions))
    said = look_up(office, domains=DOMAINS, extensions=options.extensions)
    report.figure("cold look-ups of a phone, p99", said["cold_p99_us"] / 1000, "ms", 10, f"p50 {said['cold_p50_us']:.0f}, max {said['cold_max_us']:.0f} us")
    office.restart()
    load = Generator("regload", ["--server", f"{office.addr}:{office.port}", "--local", f"{office.phone}:5060", "--domain", "d", "--domains", DOMAINS,
                                 "--first", 1000000, "--users", options.extensions, "--count", options.extensions, "--rate", 2000])
    try:
        said = load.wait()
    finally:
        load.kill()
    report.figure("a phone's first registration, p99", said["p99_us"] / 1000, "ms", 10, f"{options.extensions} phones, p50 {said['p50_us']:.0f}, max {said['max_us']:.0f} us")
    report.figure("registrations lost", said["bad"], "", 0, said["text"] if said["bad"] else "")


def measure_live(office, options, report):
    office.sql("DELETE FROM pbx.context_include WHERE included ~ '^[ci][0-9]'")
    office.sql(ROUTE, f"sip:{office.sink}:5060", office.trunk)
    office.restart()
    server = Server(office)
    rounds = 2 if options.quick else 4
    load = CallLoad(office, office.trunk, office.sink, 1000 * (2 * LOCKED_S + 2) * rounds + 4000, 1000)
    spent = {True: [], False: []}
    connection = psycopg2.connect(office.conninfo)
    try:
        time.sleep(3)
        for n in range(2 * rounds):
            is_locked = n % 2 == 0
            with connection, connection.cursor() as cursor:
                if is_locked:
                    cursor.execute("LOCK TABLE pbx.live_call IN ACCESS EXCLUSIVE MODE")
                time.sleep(1)
                before = server.cpu_us(), server.counters()["total"]
                time.sleep(LOCKED_S - 1)
                after = server.cpu_us(), server.counters()["total"]
            spent[is_locked].append((after[0] - before[0]) / (after[1] - before[1]))
        said = load.wait()
    finally:
        connection.close()
        load.kill()
    without, written = (sorted(spent[is_locked])[len(spent[is_locked]) // 4] for is_locked in (True, False))
    report.figure("live state's part of the CPU", 100 * (written - without) / written, "%", 15,
                  f"{written:.0f} us a call, {without:.0f} without; {said['rate']:.0f} calls a second")
    report.figure("calls lost, messages repeated", said["bad"], "", 0, said["text"] if said["bad"] else "")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, figures that are a guide")
    parser.add_argument("--only", choices=PARTS, help="just this part")
    options = parser.parse_args()
    options.routes, options.extensions = (100000, 10000) if options.quick else (1000000, 100000)
    report = Report()
    try:
        for part, run in zip(PARTS, (measure_plan, measure_change, measure_explain, measure_import, measure_cold, measure_live)):
            if options.only not in (None, part):
                continue
            if part in ("plan", "cold", "live") or options.only:
                office = Office(log_level="info" if part in ("cold", "live") else "debug", media={"port_min": 16384, "port_max": 32767, "timeout_s": 600})
            if not office.process:
                office.trunk, office.sink, office.phone = own_address(), own_address(), own_address()
                office.start()
            run(office, options, report)
            if part in ("import", "cold", "live") or options.only:
                office.stop()
    except OfficeError as error:
        print(f"bench: {error}\n{office.log_tail(20)}", file=sys.stderr)
        office.kill()
        office.stop()
        return 2
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
