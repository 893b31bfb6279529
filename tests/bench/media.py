#!/usr/bin/python3
"""make bench-media: what a packet of sound costs the server, whatever is done to it, and what is lost and late.

A server with a private database; SIPp makes calls and keeps them (as in run.py), mediaload.c is their sound, in both directions. CPU time
is the server's own, of all its threads, from the operating system, for each packet that it sends and that arrives; the quieter quarter of
the seconds decides, and the mean is printed beside it. Right after each workload the same streams go through a bare relay (floor.c: packets read
and written with nothing done to them), which is what the kernel takes on this machine at this time: each figure is a ratio to that one, too.

    relay-200, relay-1000, relay-2000    so many calls, the same codec on both sides
    pcma, g722, opus                     200 calls with PCMU on one side and that on the other
    srtp                                 200 calls, AES_CM_128_HMAC_SHA1_80 on one side
    music, prompts                       1,000 who listen to music, and to the prompts of a menu
    record                               500 relayed calls with a recording each
    conference-100, conference-300       300 members who send all the time, in three rooms and in one; three of each room talk

Delay is that of a packet from sender to receiver, or of a sound where packets don't stay what they are (see mediaload.c); memory what
the process has resident more than before the calls, once their transactions have ended. Prints a line a figure, with its budget where there is one, and
exits with 1 if one is over. Takes about twelve minutes; --quick has a fifth of the calls, and its figures are a guide; --only NAME just that workload.
"""
import argparse
import base64
import os
import random
import re
import subprocess
import sys

from run import Floor, HERE, Office, OfficeError, Report, ROUTE, Server
from office import BUILD, own_address, wait_until

SECONDS, FLOOR_SECONDS, RATE = 12, 5, 200
A_PORT, B_PORT, SIPP_PORT = (random.randrange(6000, 7000, 4) + 3000 * i for i in range(3))
SRTP_KEY = "thirty.characters.for.the.test"
PROMPT = "&".join(["demo-echotest"] * 20)

WAYS = """
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'bench', '_5.'), ('office', 'bench', '_6.'), ('office', 'bench', '_7.'),
    ('office', 'bench', '_8XXX');
INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
    ('office', 'bench', '_5.', 1, 'record', '{}'),
    ('office', 'bench', '_5.', 2, 'dial', '{"number": "${number}", "trunk": "sink"}'),
    ('office', 'bench', '_6.', 1, 'playback', '{"phrases": "%s"}'),
    ('office', 'bench', '_7.', 1, 'music', '{}'),
    ('office', 'bench', '_8XXX', 1, 'conference', '{"conference": "${number}"}');
INSERT INTO pbx.conference (domain, number, max_members, tones)
    SELECT 'office', '8' || lpad(n::text, 3, '0'), 2000, false FROM generate_series(0, 2) n;
UPDATE pbx.trunk SET srtp_keys_in_clear = true WHERE domain = 'office' AND name = 'load';
""".replace("%s", PROMPT)

# payload type and a=rtpmap of each
CODECS = {"PCMU": (0, "PCMU/8000"), "PCMA": (8, "PCMA/8000"), "G722": (9, "G722/8000"), "opus": (111, "opus/48000/2")}


class Workload:
    """What is to be measured: calls of a kind."""

    def __init__(self, what, calls, dial="9", codec="PCMU", is_secure=False, rooms=0, budgets=None):
        self.what, self.calls, self.dial, self.codec, self.is_secure, self.rooms = what, calls, dial, codec, is_secure, rooms
        self.budgets = budgets or {}
        self.is_alone = dial in "678"              # no other side

    def legs(self, calls):
        return calls if self.is_alone else 2 * calls

    def options(self, calls):
        """mediaload's."""
        if self.rooms:
            return ["--room", str(calls // self.rooms)]
        if self.is_alone:
            return ["--listen", "1"]
        codec = f"OPUS:{CODECS['opus'][0]}" if self.codec == "opus" else self.codec
        return ["--b", codec] + (["--srtp", SRTP_KEY] if self.is_secure else [])


RELAY = {"ratio": 1.25, "kib": 16}
WORKLOADS = {
    "relay-200": Workload("relay, 200 calls", 200, budgets=RELAY),
    "relay-1000": Workload("relay, 1,000 calls", 1000, budgets={**RELAY, "p99_us": 1000}),
    "relay-2000": Workload("relay, 2,000 calls", 2000, budgets=RELAY),
    "pcma": Workload("PCMU to PCMA", 200, codec="PCMA"),
    "g722": Workload("PCMU to G.722", 200, codec="G722"),
    "opus": Workload("PCMU to Opus", 200, codec="opus"),
    "srtp": Workload("SRTP to RTP", 200, is_secure=True),
    "music": Workload("music", 1000, dial="7", budgets={"ratio": 1.25}),
    "prompts": Workload("prompts", 1000, dial="6", budgets={"ratio": 1.25}),
    "record": Workload("recordings", 500, dial="5"),
    "conference-100": Workload("conferences 3 x 100", 300, dial="8", rooms=3),
    "conference-300": Workload("conference 1 x 300", 300, dial="8", rooms=1),
}


class Calls:
    """One or two SIPps and their calls; all of a side announce the same address for their sound."""

    def __init__(self, office, name, workload, calls, talk_ms=600000):
        self.dir = office.dir / f"media-{name}"
        self.dir.mkdir()
        self.workload, self.calls = workload, calls
        self.processes = {}
        try:
            if not workload.is_alone:
                self._scenario("callee", B_PORT, workload.codec)
                self._start("callee", ["-i", office.sink, "-mp", str(SIPP_PORT)])
            self._scenario("caller", A_PORT, "PCMU", workload.is_secure)
            self._start("caller", [f"{office.addr}:{office.port}", "-i", office.trunk, "-mp", str(SIPP_PORT + 4), "-r", str(RATE),
                                   "-d", str(talk_ms), "-l", str(calls), "-inf", "numbers.csv"])
        except OSError:
            self.kill()
            raise

    def _scenario(self, name, port, codec, is_secure=False):
        pt, rtpmap = CODECS[codec]
        text = (HERE / f"{name}.xml").read_text().replace("9[call_number]", "[field0]")
        sdp = f"m=audio {port} RTP/{'S' if is_secure else ''}AVP {pt} 101\n      a=rtpmap:{pt} {rtpmap}\n"
        if is_secure:
            sdp += f"      a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{base64.b64encode(SRTP_KEY.encode()).decode()}\n"
        text = re.sub(r"m=audio \[auto_media_port\].*\n(?: *a=rtpmap:(?!101).*\n)*", lambda _: sdp, text)
        (self.dir / f"{name}.xml").write_text(text)

        def number(i):
            return f"800{i * self.workload.rooms // self.calls}" if self.workload.rooms else f"{self.workload.dial}{i:04}"
        (self.dir / "numbers.csv").write_text("SEQUENTIAL\n" + "".join(f"{number(i)}\n" for i in range(self.calls)))

    def _start(self, name, args):
        with open(self.dir / f"{name}.out", "wb") as out:
            self.processes[name] = subprocess.Popen(
                ["sipp", "-sf", f"{name}.xml", "-log_file", f"{name}.log", "-error_file", f"{name}.err", "-p", "5060", "-t", "u1", "-mi", "127.0.0.1",
                 "-m", str(self.calls), "-nostdin", "-skip_rlimit", "-trace_logs", "-trace_err", "-f", "10s", "-buff_size", "4194304"] + args,
                cwd=self.dir, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=dict(os.environ, TERM="dumb"))

    def _log(self, name):
        """[(number dialled, serial here, the server's port)], once all are there."""
        def read():
            path = self.dir / f"{name}.log"
            found = re.findall(r"call (\d+) (\d+) (\d+)\n", path.read_text()) if path.exists() else []
            return found if len(found) >= self.calls else None
        try:
            return [(number, int(serial), int(port)) for number, serial, port in wait_until(read, 60, 0.2)]
        except Exception as error:
            errors = self.dir / f"{name}.err"
            raise OfficeError(f"{self.workload.what}: not all calls are there ({error}): {errors.read_text()[:1500] if errors.exists() else ''}") from error

    def flows(self):
        """(our port, the server's) of each stream: caller and callee of a call in turn, or members room by room."""
        callers = self._log("caller")
        if self.workload.is_alone:
            return [(A_PORT, port) for _, _, port in sorted(callers)]
        callees = {number: port for number, _, port in self._log("callee")}
        return [flow for number, _, port in callers for flow in ((A_PORT, port), (B_PORT, callees[number]))]

    def wait(self):
        for name, process in self.processes.items():
            if process.wait(timeout=60) != 0:
                raise OfficeError(f"SIPp ({name}) ended with {process.returncode}: {(self.dir / f'{name}.out').read_text(errors='replace')[-2000:]}")

    def kill(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()


def streamed(relay, pairs, seconds, options):
    """CPU us a packet that arrives, of whoever relays, and what mediaload says with the mean."""
    load = subprocess.Popen([BUILD / "tests/bench/mediaload", "--pairs", pairs, "--seconds", str(seconds), *options], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    points, p99s, said = [], [], []
    try:
        for line in load.stdout:
            if line.startswith("tick "):
                received, p99 = (int(n) for n in re.findall(r"=(\d+)", line))
                points.append((relay.cpu_us(), received))
                p99s.append(p99)
            else:
                said.append(line)
    finally:
        load.kill()
        load.wait()
    counted = {name: float(value) for name, value in re.findall(r"(\w+)=([0-9.]+)", "".join(said))}
    points = points[:seconds + 1]
    slices = sorted((b[0] - a[0]) / (b[1] - a[1]) for a, b in zip(points, points[1:]) if b[1] > a[1])
    if "lost" not in counted or not slices:
        raise OfficeError(f"mediaload: nothing came through: {points} {''.join(said)}")
    counted["mean"] = (points[-1][0] - points[0][0]) / (points[-1][1] - points[0][1])
    counted["us"] = slices[len(slices) // 4]
    p99s = sorted(p99s[1:seconds + 1])
    counted["quiet_p99_us"] = p99s[len(p99s) // 4]
    return counted


def bare(directory, flows):
    """The same streams through the bare relay, two by two."""
    addr = own_address()
    path = directory / "pairs-floor"
    path.write_text("".join(f"{(A_PORT, B_PORT)[i % 2]} {addr}:{port}\n" for i, (_, port) in enumerate(flows)))
    floor = Floor(path)
    try:
        return streamed(floor, path, FLOOR_SECONDS, [])
    finally:
        floor.stop()


def say(report, workload, got, floor, kib):
    what, budgets = workload.what, workload.budgets
    ratio = got["us"] / floor["us"]
    report.beside(f"{what}: CPU a packet", got["us"], "us", f"mean {got['mean']:.1f}; {got['received']:.0f} packets; generator {got['cpu_us']:.1f} us")
    note = f"that one takes {floor['us']:.1f} us, mean {floor['mean']:.1f}, lost {floor['loss_percent']:.3f} %, p99 {floor['p99_us']:.0f} us"
    if "ratio" in budgets:
        report.figure(f"{what}: to a bare relay", ratio, "times", budgets["ratio"], note)
    else:
        report.beside(f"{what}: to a bare relay", ratio, "times", note)
    report.figure(f"{what}: packets lost", got["lost"], "", 0, f"{got['loss_percent']:.3f} %, {got['dropped']:.0f} of them before the generator, "
                  f"{got['silent_flows']:.0f} silent, {got['foreign']:.0f} strange")
    if got["delays"]:
        text = f"{got['quiet_p99_us']:.0f} in quieter seconds; p50 {got['p50_us']:.0f}, max {got['max_us']:.0f} us"
        if "p99_us" in budgets:
            report.figure(f"{what}: delay p99", got["p99_us"], "us", budgets["p99_us"], text)
        else:
            report.beside(f"{what}: delay p99", got["p99_us"], "us", text)
    if "kib" in budgets:
        report.figure(f"{what}: memory a call", kib, "KiB", budgets["kib"])
    else:
        report.beside(f"{what}: memory a call", kib, "KiB", "")


def measure(office, name, workload, ncalls, report):
    office.sql(f"UPDATE pbx.trunk SET codecs = '{{{workload.codec}}}' WHERE domain = 'office' AND name = 'sink'")
    office.restart()
    server = Server(office)
    calls = Calls(office, f"{name}-first", workload, 10, 200)
    try:
        calls.wait()                # what is made with the first calls: music, prepared statements, threads of the pool
        server.settle(calls=0)
        before_kib = server.rss_kib()
        calls = Calls(office, name, workload, ncalls)
        flows = calls.flows()
        wait_until(lambda: server.counters()["legs"] == workload.legs(ncalls), 30, 0.2)
        path = calls.dir / "pairs"
        path.write_text("".join(f"{local} {office.addr}:{port}\n" for local, port in flows))
        got = streamed(server, path, SECONDS, workload.options(ncalls))
        floor = bare(calls.dir, flows)
        server.settle()
        kib = (server.rss_kib() - before_kib) / ncalls
    finally:
        calls.kill()
    say(report, workload, got, floor, kib)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a fifth of the calls, figures that are a guide")
    parser.add_argument("--only", choices=WORKLOADS, help="just this workload")
    options = parser.parse_args()
    report = Report()
    office = Office(log_level="info", media={"port_min": 16384, "port_max": 32767, "timeout_s": 600})
    office.trunk, office.sink = own_address(), own_address()
    try:
        office.start()
        office.sql(ROUTE, f"sip:{office.sink}:5060", office.trunk)
        office.sql(WAYS)
        for name, workload in WORKLOADS.items():
            if options.only in (None, name):
                measure(office, name, workload, workload.calls // (5 if options.quick else 1), report)
        office.stop_server()
    except OfficeError as error:
        print(f"bench: {error}\n{office.log_tail(20)}", file=sys.stderr)
        return 2
    finally:
        office.stop()
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
