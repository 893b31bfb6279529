#!/usr/bin/python3
"""make bench: what a call, a packet and a held call cost the server, and whether anything is left of them.

A server with a private database; SIPp calls through it, from a trunk that its address makes one to a trunk that its own routes
dial: no authentication, media anchored. The CPU time is the server's own, of all its threads, from the operating system. SIPp, the
database and whoever else is busy on the machine don't count, but they push the server out of its caches and off its core, which
does: so CPU figures are taken second by second, and the quieter quarter of the seconds decides; the mean is printed beside it.

    held     1,000 calls are set up and held until the transactions that set them up have ended (RFC 3261: 32 s): KiB a call.
             Meanwhile RTP flows through a part of them, both ways (rtpload): CPU us a packet; and right before and after the same
             load through a bare relay (floor.c), which is what the kernel takes on this machine at this time: the server's figure is
             a ratio to that one, too. They hang up: the level of memory after the first 1,000 calls.
    load     19,000 more calls, each with a talk of 0.2 s: CPU us a call, what its timers cost later included. Once they and their transactions are gone nothing
             may be left: calls, tasks, timers, descriptors as before the first call, memory within 10 % of that level.
    calls    The same by callload.c in place of SIPp, which takes a core and a half for itself and so most of the server's caches.
    digest   Calls of an extension, each challenged and authenticated.
    rate     20,000 calls at 2,000 a second: none lost, no message sent twice.
    capture  Calls whose messages are all kept (domain.capture): none lost, none without its messages, CPU us a call beside what it takes without.
    register 10,000 phones refresh their bindings, each challenged and authenticated (regload.c): CPU us a registration.
    bindings 100,000 phones register: KiB a binding, with what is kept of its extension; how many a second; how long
             a server takes to start with them.

    door     20,000 messages of a stranger, of each kind, from one address and from as many as there are messages (flood.c): CPU us a
             message that the server took off its socket.

    conference 300 members who send all the time, three of each room talking, in 100 rooms of three, in three of a hundred, and in one: CPU us a packet
             that a member gets for one that he sends.

Prints a line a figure with its budget, and exits with 1 if one is over. Takes about six minutes; --quick takes fewer calls and
less than four, as a guide while working; --only NAME just that part (held and load are one: sipp).
"""
import argparse
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[0] / "lib"))

from office import BUILD, Office, OfficeError, own_address, wait_until  # noqa: E402

RTP_PORTS = random.randrange(6000, 28000, 4)     # of the callers, on 127.0.0.1: none that the kernel gives out
CALLER_RTP, CALLEE_RTP = RTP_PORTS, RTP_PORTS + 2000
RTP_SECONDS, FLOOR_SECONDS, PPS = 10, 5, 50
HELD_RATE = 200
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024

PARTS = ("sipp", "calls", "digest", "rate", "capture", "register", "bindings", "door", "conference")

ROUTE = """
INSERT INTO pbx.context (domain, context, name) VALUES ('office', 'bench', 'Bench');
INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'load', 'bench', NULL), ('office', 'sink', 'bench', %s);
INSERT INTO pbx.trunk_address (domain, name, address) VALUES ('office', 'load', %s);
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'bench', '_9.');
INSERT INTO pbx.step (domain, context, pattern, position, app, args)
    VALUES ('office', 'bench', '_9.', 1, 'dial', '{"number": "${number}", "trunk": "sink"}');
INSERT INTO pbx.context_include (domain, context, position, included) VALUES ('office', 'office', 9, 'bench');
"""


ROOMS = """
INSERT INTO pbx.conference (domain, number, max_members, tones)
    SELECT 'office', '8' || lpad(n::text, 3, '0'), 2000, false FROM generate_series(0, %s) n;
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'bench', '_8XXX');
INSERT INTO pbx.step (domain, context, pattern, position, app, args)
    VALUES ('office', 'bench', '_8XXX', 1, 'conference', '{"conference": "${number}"}');
"""
MEMBERS = 300
ROOM_BUDGETS_US = {100: 25, 3: 15, 1: 15}        # of as many rooms


class Measured:
    """A process under load. Its counters are asked for by those who know how."""

    def __init__(self, pid):
        self.pid = pid

    def cpu_us(self):
        """Of all its threads since they began."""
        ns = 0
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            ns += int((task / "schedstat").read_text().split()[0])
        return ns / 1000


class Server(Measured):
    """The office under load, as the operating system and its own counters see it."""

    def __init__(self, office):
        super().__init__(office.process.pid)
        self.office = office

    def rss_kib(self):
        return int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_KIB

    def rss_when_quiet(self, enough_kib):
        """It looks each five seconds whether there is memory to give back."""
        end = time.monotonic() + 12
        while self.rss_kib() > enough_kib and time.monotonic() < end:
            time.sleep(0.5)
        return self.rss_kib()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def counters(self):
        mark = self.office.log_path.stat().st_size
        os.kill(self.pid, signal.SIGUSR1)

        def line():
            with open(self.office.log_path, "rb") as log:
                log.seek(mark)
                return re.search(rb"counters (.*)\n", log.read())
        found = wait_until(line)
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", found.group(1).decode())}

    def settle(self, **want):
        """Waits until the transactions have ended, the outbox is empty, and what else is wanted."""
        want = {"strans": 0, "ctrans": 0, "outbox": 0, **want}
        end = time.monotonic() + 60
        while True:
            now = self.counters()
            if all(now[name] == value for name, value in want.items()):
                return now
            if time.monotonic() > end:
                raise OfficeError(f"not settled after 60 s: {now}")
            time.sleep(0.5)


PHONES = """
INSERT INTO pbx.extension (domain, number, display_name, context)
    SELECT 'office', n::text, 'Phone ' || n, 'office' FROM generate_series({first}, {first} + {count} - 1) n;
INSERT INTO pbx.credential (domain, auth_name, number, ha1_md5, ha1_sha256)
    SELECT 'office', n::text, n::text, md5(t), encode(sha256(convert_to(t, 'UTF8')), 'hex')
    FROM generate_series({first}, {first} + {count} - 1) n, pbx.domain, LATERAL (SELECT n || ':' || realm || ':s' || n AS t) t
    WHERE domain = 'office';
"""


class Load:
    """Two SIPps and the calls between them."""

    def __init__(self, office, name, caller, callee, calls, rate, talk_ms):
        self.dir = office.dir / f"load-{name}"
        self.dir.mkdir()
        self.calls = calls
        seconds = calls / rate + talk_ms / 1000 + 60
        common = ["-t", "u1", "-mi", "127.0.0.1", "-m", str(calls), "-nostdin", "-skip_rlimit", "-timeout", f"{seconds:.0f}s",
                  "-timeout_error", "-trace_logs", "-trace_err", "-f", "10s", "-buff_size", "4194304"]
        self.callee = self.start("callee", ["-i", callee, "-p", "5060", "-mp", str(CALLEE_RTP)] + common)
        self.caller = self.start("caller", [f"{office.addr}:{office.port}", "-i", caller, "-p", "5060", "-mp", str(CALLER_RTP),
                                            "-r", str(rate), "-d", str(talk_ms), "-l", str(calls)] + common)

    def start(self, name, args):
        with open(self.dir / f"{name}.out", "wb") as out:
            return subprocess.Popen(["sipp", "-sf", HERE / f"{name}.xml", "-log_file", f"{name}.log", "-error_file", f"{name}.err"]
                                    + args, cwd=self.dir, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                    env=dict(os.environ, TERM="dumb"))

    def established(self):
        """{number dialled: (our RTP port, the server's)} of each end. SIPp's [auto_media_port] goes up by 4 a call; the first is
        SIPp's own."""
        def read(name, base):
            text = (self.dir / f"{name}.log").read_text()
            return {m[0]: (base + 4 * (int(m[1]) - 1), int(m[2]))
                    for m in re.findall(r"call (\d+) (\d+) (\d+)\n", text) if m[1] != "1"}
        return read("caller", CALLER_RTP), read("callee", CALLEE_RTP)

    def wait(self):
        for name, process in (("caller", self.caller), ("callee", self.callee)):
            if process.wait(timeout=300) != 0:
                errors = self.dir / f"{name}.err"
                raise OfficeError(f"SIPp ({name}) ended with {process.returncode}: "
                                  f"{errors.read_text()[-2000:] if errors.exists() else ''}"
                                  f"{(self.dir / f'{name}.out').read_text(errors='replace')[-3000:]}")

    def kill(self):
        for process in (self.caller, self.callee):
            if process.poll() is None:
                process.kill()
                process.wait()


class Members:
    """A SIPp whose calls are members of rooms, one room after the other; but the first, whose port is SIPp's own: it is alone in a room."""

    def __init__(self, office, rooms, seconds):
        self.dir = office.dir / f"members-{rooms}"
        self.dir.mkdir()
        scenario = (HERE / "caller.xml").read_text().replace("9[call_number]", "[field0]")
        (self.dir / "member.xml").write_text(scenario)
        (self.dir / "rooms.csv").write_text("SEQUENTIAL\n8000\n" + "".join(f"8{1 + i * rooms // MEMBERS:03}\n" for i in range(MEMBERS)))
        with open(self.dir / "out", "wb") as out:
            self.process = subprocess.Popen(
                ["sipp", f"{office.addr}:{office.port}", "-sf", "member.xml", "-inf", "rooms.csv", "-i", office.trunk, "-p", "5060", "-t", "u1",
                 "-mi", "127.0.0.1", "-mp", str(CALLER_RTP), "-m", str(MEMBERS + 1), "-l", str(MEMBERS + 1), "-r", "100", "-d", str(1000 * seconds),
                 "-nostdin", "-skip_rlimit", "-timeout", f"{seconds + 60}s", "-trace_logs", "-trace_err", "-log_file", "log",
                 "-error_file", "err", "-f", "10s"], cwd=self.dir, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=dict(os.environ, TERM="dumb"))

    def flows(self):
        """(room, our RTP port, the server's), once all are there."""
        def read():
            found = re.findall(r"call (\d+) (\d+) (\d+)\n", (self.dir / "log").read_text()) if (self.dir / "log").exists() else ()
            return [f for f in found if f[1] != "1"] if len(found) > MEMBERS else None
        return sorted((room, CALLER_RTP + 4 * (int(serial) - 1), int(port)) for room, serial, port in wait_until(read, 60, 0.2))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Generator:
    """A program that makes load and says what became of it, NAME=VALUE."""

    def __init__(self, name, args):
        self.name = name
        self.process = subprocess.Popen([BUILD / "tests/bench" / name] + [str(a) for a in args], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)

    def is_running(self):
        return self.process.poll() is None

    def wait(self):
        """What it has counted."""
        out = self.process.communicate(timeout=300)[0]
        if self.process.returncode not in (0, 1):
            raise OfficeError(f"{self.name}: {out}")
        said = {name: float(value) for name, value in re.findall(r"(\w+)=([0-9.]+)", out)}
        said["bad"] = sum(said.get(name, 0) for name in ("lost", "refused", "repeated", "strange"))
        said["text"] = out.strip()
        return said

    def kill(self):
        if self.is_running():
            self.process.kill()
            self.process.wait()


class RegLoad(Generator):
    """regload.c and its phones."""

    def __init__(self, office, first, users, count, rate):
        super().__init__("regload", ["--server", f"{office.addr}:{office.port}", "--local", f"{office.phone}:5060", "--first", first,
                                     "--users", users, "--count", count, "--rate", rate])


class CallLoad(Generator):
    """callload.c and its calls. user: an extension that is challenged; without, the trunk calls."""

    def __init__(self, office, caller, callee, calls, rate, user=None):
        args = ["--server", f"{office.addr}:{office.port}", "--caller", f"{caller}:5060", "--callee", f"{callee}:5060",
                "--calls", calls, "--rate", rate]
        super().__init__("callload", args + (["--user", user, "--password", f"s{user}"] if user else []))


def sliced(server, counter, goes_on):
    """CPU us a count, while it goes on: the lower quartile of its seconds, without those at the beginning and the end."""
    points = []
    while goes_on():
        points.append((server.counters()[counter], server.cpu_us()))
        time.sleep(1)
    slices = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(points, points[1:]) if b[0] > a[0]]
    if len(slices) > 6:
        slices = slices[1:-2]
    return sorted(slices)[len(slices) // 4] if slices else float("inf")     # over at once: whoever made the load says why


class Floor(Measured):
    """The bare relay for these flows (floor.c): a process of its own at another address."""

    def __init__(self, pairs):
        self.process = subprocess.Popen([BUILD / "tests/bench/floor", "--pairs", pairs], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)
        super().__init__(self.process.pid)
        if self.process.stdout.readline() != "ready\n":
            raise OfficeError(f"floor: exit {self.process.wait()}")

    def counters(self):
        self.process.stdin.write("\n")
        name, value = self.process.stdout.readline().split("=")
        return {name: int(value)}

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def pairs_file(path, flows):
    """flows: (our port, address, its port)."""
    path.write_text("".join(f"{local} {addr}:{remote}\n" for local, addr, remote in flows))
    return path


def relayed(relay, pairs, seconds, options=()):
    """CPU us a packet relayed, the mean in what rtpload says of loss and delay beside it."""
    command = [BUILD / "tests/bench/rtpload", "--pairs", pairs, "--pps", str(PPS), "--max-loss", "1", *options]
    # the first packets of a flow are for latching, not for the measure
    subprocess.run(command + ["--seconds", "1"], capture_output=True, check=False)
    before = relay.cpu_us(), relay.counters()["packets"]
    run = subprocess.Popen(command + ["--seconds", str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    quiet = sliced(relay, "packets", lambda: run.poll() is None)
    out = run.communicate()[0]
    after = relay.cpu_us(), relay.counters()["packets"]
    said = dict(re.findall(r"(\w+)[ =:]+([0-9.]+)", out))
    if run.returncode:
        raise OfficeError(f"rtpload: {out}")
    said["mean"] = (after[0] - before[0]) / (after[1] - before[1])
    return quiet, said


def rtp(server, load, ncalls):
    """What a packet costs the server through ncalls of the held calls, both ways, and what the bare relay."""
    callers, callees = load.established()
    flows = [flow for n in callers if n in callees for flow in (callers[n], callees[n])][:2 * ncalls]
    through = pairs_file(load.dir / "pairs", [(local, server.office.addr, remote) for local, remote in flows])
    beside = own_address()
    bare = pairs_file(load.dir / "pairs-floor", [(local, beside, remote) for local, remote in flows])
    floors = []
    us = said = None
    for _ in range(2):
        floor = Floor(bare)
        try:
            floors.append(relayed(floor, bare, FLOOR_SECONDS))
        finally:
            floor.stop()
        if us is None:
            us, said = relayed(server, through, RTP_SECONDS)
    return us, len(flows) // 2, said, min(floors, key=lambda f: f[0])


class Report:
    def __init__(self):
        self.failed = 0

    def figure(self, what, value, unit, budget, note=""):
        ok = value <= budget
        self.failed += not ok
        print(f"{'ok' if ok else 'OVER':4} {what:34} {value:10.1f} {unit:8} budget {budget:g}{'  ' + note if note else ''}", flush=True)

    def beside(self, what, value, unit, note):
        """Nothing of ours, but what a figure is to be compared with."""
        print(f"{'':4} {what:34} {value:10.1f} {unit:8} {note}", flush=True)


def left_over(first, last):
    """What there is more of than before the first call. The sockets that the pool keeps for the next calls are no leak."""
    names = ("calls", "legs", "tasks", "sessions", "strans", "ctrans", "timers", "streams", "outbox")
    return {name: last[name] - first[name] for name in names if last[name] > first[name]}


def measure_sipp(office, server, options, report):
    caller, callee = office.trunk, office.sink
    loads = []

    def load(name, calls, talk_ms, rate=options.rate):
        loads.append(Load(office, name, caller, callee, calls, rate, talk_ms))
        return loads[-1]

    try:
        load("first", 10, 100).wait()       # what is made with the first call: prepared statements, threads of the pool
        first = server.settle(calls=0)
        first_fds = server.descriptors() - first["pooled"]
        first_kib = server.rss_kib()

        held = load("held", options.held, (options.held // HELD_RATE + 70) * 1000, HELD_RATE)
        wait_until(lambda: server.counters()["legs"] == 2 * options.held, 60, 0.5)
        server.settle()
        report.figure("memory a held call", (server.rss_kib() - first_kib) / options.held, "KiB", 32, f"{options.held} calls")
        us, flows, said, (floor_us, floor) = rtp(server, held, options.flows)
        report.figure("CPU a relayed packet", us, "us", 6,
                      f"{flows} calls, mean {said['mean']:.1f}, lost {said['loss_percent']} %, p99 {said['p99_us']} us")
        report.beside("the same by a bare relay", floor_us, "us",
                      f"the server: {us / floor_us:.2f} times; mean {floor['mean']:.1f}, p99 {floor['p99_us']} us")
        held.wait()
        server.settle(calls=0)
        level_kib = server.rss_when_quiet(first_kib)

        before = server.cpu_us()
        many = load("many", options.calls, 200)
        quiet = sliced(server, "total", lambda: many.caller.poll() is None)
        many.wait()
        during = server.cpu_us()
        last = server.settle(calls=0)
        after = server.cpu_us()
        report.figure("CPU a call", quiet + (after - during) / options.calls, "us", 200,
                      f"{options.calls} calls, {options.rate}/s, mean {(after - before) / options.calls:.0f}")
        last_kib = server.rss_when_quiet(1.1 * level_kib)
        fds = server.descriptors() - last["pooled"] - first_fds
        report.figure("memory after all calls", 100 * last_kib / level_kib, "%", 110, f"{last_kib} KiB; {level_kib} KiB after the first")
        report.figure("descriptors left", max(fds, 0), "", 0)
        left = left_over(first, last)
        report.figure("other things left", sum(left.values()), "", 0, str(left or ""))
    finally:
        for each in loads:
            each.kill()


def cpu_a_call(office, server, caller, calls, rate, user=None):
    """CPU us a call in the quiet seconds, with what its timers cost later; the mean; and what callload says."""
    CallLoad(office, caller, office.sink, 100, 100, user).wait()     # what is made with the first call
    before = server.cpu_us()
    load = CallLoad(office, caller, office.sink, calls, rate, user)
    try:
        quiet = sliced(server, "total", load.is_running)
        said = load.wait()
    finally:
        load.kill()
    during = server.cpu_us()
    server.settle(calls=0)
    after = server.cpu_us()
    return quiet + (after - during) / calls, (after - before) / calls, said


def measure_calls(office, server, options, report):
    us, mean, said = cpu_a_call(office, server, office.trunk, options.calls, options.rate)
    report.figure("CPU a call, callload", us, "us", 120, f"{options.calls} calls, {said['rate']:.0f}/s, mean {mean:.0f}")
    report.figure("calls lost, messages repeated", said["bad"], "", 0, said["text"] if said["bad"] else "")


def measure_digest(office, server, options, report):
    us, mean, said = cpu_a_call(office, server, office.phone, options.calls, options.rate, "1001")
    report.figure("CPU a call with digest", us, "us", 150, f"{options.calls} calls, {said['rate']:.0f}/s, mean {mean:.0f}")
    report.figure("calls lost, messages repeated", said["bad"], "", 0, said["text"] if said["bad"] else "")


def measure_rate(office, server, options, report):
    load = CallLoad(office, office.trunk, office.sink, options.calls + 1000, 2000)
    try:
        said = load.wait()
    finally:
        load.kill()
    report.figure("calls lost at 2,000/s", said["bad"], "", 0, said["text"])
    report.figure("calls a second behind 2,000", 2000 - said["rate"], "", 20)
    server.settle(calls=0)


def measure_capture(office, server, options, report):
    count = options.captured
    without, _, _ = cpu_a_call(office, server, office.trunk, count, options.rate)
    office.sql("UPDATE pbx.domain SET capture = 'all'")
    office.restart()
    server = Server(office)
    us, mean, said = cpu_a_call(office, server, office.trunk, count, options.rate)
    server.settle(calls=0)
    legs, dropped, kib = office.wait_sql("SELECT count(*), coalesce(sum(dropped), 0)::bigint, sum(length(bytes))::bigint / 1024 FROM pbx.sip_trace"
                                         " HAVING count(*) >= %s", 2 * count, seconds=60)[0]
    office.sql("UPDATE pbx.domain SET capture = 'none'")
    office.restart()
    report.figure("CPU a call whose messages are kept", us, "us", 250, f"{count} calls, {said['rate']:.0f}/s, mean {mean:.0f}, without {without:.0f}, "
                  f"{kib / count:.1f} KiB a call")
    report.figure("calls lost, messages repeated", said["bad"], "", 0, said["text"] if said["bad"] else "")
    report.figure("dialogs and messages that weren't kept", 2 * (count + 100) - legs + dropped, "", 0)


def measure_register(office, _, options, report):
    phones, count = 10000, options.refreshes
    office.sql(PHONES.format(first=20000, count=phones))
    office.restart()
    server = Server(office)
    RegLoad(office, 20000, phones, phones, 1000).wait()      # the bindings
    server.settle(calls=0)
    before, asked = server.cpu_us(), server.counters()["requests"]
    load = RegLoad(office, 20000, phones, count, 2000)
    try:
        quiet = sliced(server, "requests", load.is_running) * 2     # of each registration there are two
        said = load.wait()
    finally:
        load.kill()
    during = server.cpu_us()
    last = server.settle(calls=0)
    after = server.cpu_us()
    report.figure("CPU a registration with digest", quiet + (after - during) / count, "us", 30,
                  f"{count} of {phones} phones, {said['rate']:.0f}/s, mean {(after - before) / count:.0f}, "
                  f"{(last['requests'] - asked) / count:.1f} requests each, p99 {said['p99_us']:.0f} us")
    report.figure("registrations lost", said["bad"], "", 0, said["text"] if said["bad"] else "")


def measure_bindings(office, _, options, report):
    phones = options.bindings
    office.sql(PHONES.format(first=300000, count=phones))
    office.restart()
    server = Server(office)
    before_kib = server.rss_kib()
    began = time.monotonic()
    said = RegLoad(office, 300000, phones, phones, 4000).wait()
    took = time.monotonic() - began
    report.figure("bindings lost", said["bad"], "", 0, said["text"])
    report.figure("time for a first registration", 1e6 * took / phones, "us", 1000, f"{phones / took:.0f} a second")
    server.settle(calls=0)
    report.figure("memory a binding", (server.rss_when_quiet(before_kib) - before_kib) / phones, "KiB", 4, f"{phones} bindings, with their extensions")
    office.stop_server()
    began = time.monotonic()
    mark = len(office.log)
    office.start_server(60)
    office.wait_log(rf"bindings={phones} read|bindings=\d{{5,}} read", mark, 60)
    report.figure("start with these bindings", time.monotonic() - began, "s", 10)


DOOR_US = 12                                     # a message of a stranger: a tenth of a call


def lost_by(server, port):
    """Datagrams that the server's sockets on that port had no room for."""
    lines = pathlib.Path(f"/proc/{server.pid}/net/udp").read_text().splitlines()[1:]
    here = "".join(f"{int(n):02X}" for n in reversed(server.office.addr.split("."))) + f":{port:04X}"
    return sum(int(fields[-1]) for fields in map(str.split, lines) if fields[1] == here)


def measure_door(office, _, options, report):
    server, count = Server(office), 20000
    for kind, what in (("register", "REGISTER without credentials"), ("guess", "REGISTER with made-up credentials"),
                       ("options", "OPTIONS"), ("invite", "INVITE"), ("junk", "garbage")):
        for source, whose in ((own_address(), "one stranger"), ("any", "as many strangers")):
            server.settle(calls=0)
            before, lost = server.cpu_us(), lost_by(server, office.port)
            said = subprocess.run([BUILD / "tests/sip/flood", kind, source, office.addr, str(count), "60"], check=True, capture_output=True,
                                  text=True, timeout=90).stdout
            sent, answers = (int(n) for n in re.findall(r"=(\d+)", said))
            server.settle(calls=0)
            taken = sent - (lost_by(server, office.port) - lost)
            report.figure(f"{what}, {whose}", (server.cpu_us() - before) / taken, "us", DOOR_US,
                          f"{taken} of {sent} taken, {answers} answered")


def measure_conference(office, _, options, report):
    office.sql(ROOMS, max(ROOM_BUDGETS_US))
    office.restart()
    server = Server(office)
    for rooms, budget in ROOM_BUDGETS_US.items():
        members = Members(office, rooms, 3 * RTP_SECONDS + 20)
        try:
            flows = [(local, office.addr, remote) for _, local, remote in members.flows()]
            pairs = pairs_file(members.dir / "pairs", flows)
            us, said = relayed(server, pairs, RTP_SECONDS, ["--room", str(MEMBERS // rooms)])
        finally:
            members.kill()
        report.figure(f"CPU a packet, conferences {rooms} x {MEMBERS // rooms}", us, "us", budget,
                      f"mean {said['mean']:.1f}, lost {said['loss_percent']} %")
        office.restart()                             # whoever was killed has left his calls
        server = Server(office)


def measure(office, options, report):
    office.trunk, office.sink, office.phone = own_address(), own_address(), own_address()
    office.sql(ROUTE, f"sip:{office.sink}:5060", office.trunk)
    office.restart()
    server = Server(office)
    runs = (measure_sipp, measure_calls, measure_digest, measure_rate, measure_capture, measure_register, measure_bindings, measure_door, measure_conference)
    for part, run in zip(PARTS, runs):
        if options.only in (None, part):
            run(office, server, options, report)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer calls, figures that are a guide")
    parser.add_argument("--only", choices=PARTS, help="just this part")
    parser.add_argument("--rate", type=int, default=1000, help="calls a second")
    options = parser.parse_args()
    options.refreshes, options.bindings = (10000, 20000) if options.quick else (30000, 100000)
    options.captured = 2000 if options.quick else 10000
    options.held, options.calls, options.flows = (200, 2000, 100) if options.quick else (1000, 19000, 250)
    report = Report()
    office = Office(log_level="info", media={"port_min": 16384, "port_max": 32767, "timeout_s": 600})
    try:
        office.start()
        measure(office, options, report)
        office.stop_server()
    except OfficeError as error:
        print(f"bench: {error}\n{office.log_tail(20)}", file=sys.stderr)
        return 2
    finally:
        office.stop()
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
