"""make attack: everything at once that comes from the street, and a call a second that must not notice.

    attack.py [--datagrams 100000] [--connections 2000] [--only bend]

A server of its own, on addresses of its own. 2,000 connections that dribble half a message, and 100,000 datagrams, a half of them random,
the other messages of calls bent at random; then REGISTERs with passwords that are wrong, and some that are right; then sipvicious, where
it is installed. Meanwhile a call to the echo each second, and an OPTIONS inside of a call that is up, whose answer is timed. Prints a
line for each part, and exits with 1 if a call failed, the call was delayed, or who guessed isn't banned.
"""
import argparse
import contextlib
import pathlib
import random
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

from office import BUILD, ROOT, SLOW, WS_PORT, Office, end_with_us, own_address  # noqa: E402
from sip import Dialog, Phone, sdp  # noqa: E402
from test_mutants import bend  # noqa: E402

DELAY_MS = 250                           # at the median, of a request in a call that is up


class Failed(Exception):
    pass


def patiently(phone, text, method, seconds=20):
    """The final answer, and how long it took in ms; asked again every half second, as over a network that loses packets."""
    begun = time.monotonic()
    while time.monotonic() < begun + seconds * SLOW:
        phone.send(text)
        m = phone.receive(0.5)
        while m and (m.status < 200 or m.cseq_method != method):
            m = phone.receive(0.5)
        if m:
            return m, (time.monotonic() - begun) * 1000
    raise Failed(f"no answer to {method}")


def invite(phone):
    """A call to the echo, answered, and how long that took."""
    if not phone.credentials.challenge:
        phone.credentials.take(phone.register_once(auth=False))
    one = Dialog(phone, f"sip:600@{phone.uri_host}")
    m, took = patiently(phone, one.text("INVITE", sdp(phone.addr, 40000), one.authorized("INVITE")), "INVITE")
    if m.status != 200:
        raise Failed(f"a call got {m.status}")
    one.learn(m)
    one.ack(m)
    return one, took


class Calls(threading.Thread):
    """A call a second, and beside them one that stays up and is asked something each time."""

    def __init__(self, office):
        super().__init__()
        self.phone, self.other = Phone(office, "1001"), Phone(office, "1002")
        self.is_over = threading.Event()
        self.took, self.delays, self.error = [], [], None

    def run(self):
        try:
            held, _ = invite(self.other)
            while not self.is_over.is_set():
                due = time.monotonic() + 1
                one, took = invite(self.phone)
                m, _ = patiently(self.phone, one.text("BYE"), "BYE")
                self.took.append(took)
                self.delays.append(patiently(self.other, held.text("OPTIONS"), "OPTIONS")[1])
                self.is_over.wait(max(0, due - time.monotonic()))
            m, _ = patiently(self.other, held.text("BYE"), "BYE")
            if m.status != 200:
                raise Failed(f"the call that was up had ended: {m.status}")
        except (Failed, AssertionError) as error:
            self.error = error
        finally:
            self.phone.close()
            self.other.close()


@contextlib.contextmanager
def calls_beside(office, what, told):
    calls = Calls(office)
    begun = time.monotonic()
    calls.start()
    try:
        yield
    finally:
        calls.is_over.set()
        calls.join(timeout=120)
    office.check()
    delay = statistics.median(calls.delays) if calls.delays else float("inf")
    is_good = not calls.error and len(calls.took) > 1 and delay < DELAY_MS * SLOW
    print(f"{'ok' if is_good else 'FAILED'} {what}: {told()}; {time.monotonic() - begun:.0f} s, {len(calls.took)} calls made, "
          f"{'none' if not calls.error else calls.error} failed, answered after {statistics.median(calls.took or [0]):.0f} ms (most "
          f"{max(calls.took or [0]):.0f}); in the call that is up {delay:.1f} ms (most {max(calls.delays or [0]):.0f})", flush=True)
    if not is_good:
        raise Failed(what)


def datagrams(office, count):
    """From 50 addresses, each some thousand a second: more is lost in the socket, and tests nothing."""
    rng = random.Random(2026)
    seeds = [path.read_bytes() for path in sorted((ROOT / "tests/fuzz/corpus/msg").iterdir()) if "learnt" not in path.name]
    with contextlib.ExitStack() as stack, Phone(office, "1003") as phone:
        seeds += [phone.request(method, headers=[f"Contact: {phone.contact}", "Event: presence"]).encode()
                  for method in ("INVITE", "REGISTER", "SUBSCRIBE", "OPTIONS", "BYE", "MESSAGE")]
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(50)]
        for one in sockets:
            one.bind((own_address(), 0))
        for i in range(count):
            data = rng.randbytes(rng.randrange(1, 1400)) if i % 2 else bend(rng, rng.choice(seeds))
            sockets[i % len(sockets)].sendto(data[:65000], office.sockaddr())
            if i % 100 == 99:
                time.sleep(0.01)         # a pace, not a wait: 10,000 a second at most


def dribble_and_bend(office, options):
    command = [sys.executable, ROOT / "tests/lib/dribble.py", office.addr, "5060", str(WS_PORT), str(options.connections)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=end_with_us) as dribble:
        if dribble.stdout.readline() != b"standing\n":
            raise Failed("the connections didn't stand")
        with calls_beside(office, "connections and datagrams",
                          lambda: f"{options.connections} dribbling, {options.datagrams} datagrams"):
            for _ in range(10):
                dribble.stdin.write(b"more\n")
                dribble.stdin.flush()
                datagrams(office, options.datagrams // 10)
        dribble.stdin.close()


def storm(office):
    """REGISTERs as fast as they go with passwords that were made up, and phones that have the right one."""
    said, good = {}, []

    def told():
        return f"{said['text']}; {len(good)} registrations with the right password beside it"

    with calls_beside(office, "storm of REGISTERs", told):
        source = own_address()
        with subprocess.Popen([BUILD / "tests/sip/flood", "guess", source, office.addr, "1000000", "8"], stdout=subprocess.PIPE,
                              preexec_fn=end_with_us, text=True) as flood:
            with Phone(office, "1004") as phone:
                while flood.poll() is None:
                    m, _ = patiently(phone, phone.register_request(), "REGISTER")
                    if m.status == 401:
                        phone.credentials.take(m)
                    elif m.status == 200:
                        good.append(m)
                    else:
                        raise Failed(f"a registration got {m.status}")
            said["text"] = flood.stdout.read().strip()


def scan(office):
    """Who listens, which extensions there are, and what 1005's password is."""
    said = {}
    with calls_beside(office, "sipvicious", lambda: f"found {said['found']}; {said['ban']}"), Phone(office, "1005") as phone:
        for name, args in (("svmap", [f"{office.addr}/32"]), ("svwar", ["-e", "1000-1400", "-m", "REGISTER", office.addr]),
                           ("svcrack", ["-u", "1005", "-r", "0-2000", office.addr])):
            with contextlib.suppress(subprocess.TimeoutExpired):
                done = subprocess.run([name, *args], capture_output=True, text=True, timeout=60, cwd=office.dir, stdin=subprocess.DEVNULL)
                said[name] = done.stdout
        if phone.register().status != 200:
            raise Failed("an honest phone can't register")
        phone.unregister()
        said["ban"] = "; ".join(f"banned: {' '.join(map(str, row))}" for row in
                                office.sql("SELECT host(source), reason, failures, account, until - since FROM pbx.ban"))
        said["found"] = "a password" if "s1005" in said.get("svcrack", "") else "no password"
        if not said["ban"] or said["found"] != "no password":
            raise Failed(f"who guesses isn't banned, or has guessed: {said}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--datagrams", type=int, default=100000)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--only", choices=["bend"], help="the connections and datagrams alone")
    options = parser.parse_args()
    office = Office(log_level="info")
    try:
        office.start()
        dribble_and_bend(office, options)
        if options.only:
            return 0
        storm(office)
        if shutil.which("svcrack"):
            scan(office)
        else:
            print("sipvicious isn't installed: left out")
    except Failed as failed:
        print(f"attack: {failed}\n{office.log_tail(20)}", file=sys.stderr)
        return 1
    finally:
        office.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
