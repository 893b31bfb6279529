"""Floods, storms and scans: who does what he should is served all the same (issue: hardness)."""
import contextlib
import re
import signal
import statistics
import subprocess
import time

import pytest

from office import BUILD, SLOW, end_with_us, wait_until
from sip import Dialog, Phone, own_address, sdp

FLOOD = BUILD / "tests/sip/flood"
STILL_MS = 250                     # what a call's answer may take in the middle of it, at the median


@contextlib.contextmanager
def flood(office, kind, source=None, count=10**9, seconds=3):
    """Runs beside; yields a dictionary that has `sent` and `answers` afterwards."""
    told = {}
    with subprocess.Popen([FLOOD, kind, source or own_address(), office.addr, str(count), str(seconds)], stdout=subprocess.PIPE,
                          preexec_fn=end_with_us, text=True) as process:
        try:
            yield told
            told["is_over"] = process.poll() is not None
            out = process.communicate(timeout=60)[0]
            told.update({name: int(n) for name, n in re.findall(r"(\w+)=(\d+)", out)})
        finally:
            process.kill()


def asked_patiently(phone, text, method):
    """The final answer; the request is sent again every half second, as phones do."""
    for _ in range(60):
        phone.send(text)
        m = phone.receive(0.5)
        while m and (m.status < 200 or m.cseq_method != method):
            m = phone.receive(0.5)
        if m:
            return m
    raise AssertionError(f"no answer to {method}")


def call(phone):
    """A call to the echo; how long its answer took, in ms."""
    if not phone.credentials.challenge:
        phone.credentials.take(phone.register_once(auth=False))
    one = Dialog(phone, f"sip:600@{phone.uri_host}")
    text = one.text("INVITE", sdp(phone.addr, 40000), one.authorized("INVITE"))
    begun = time.monotonic()
    m = one.learn(asked_patiently(phone, text, "INVITE"))
    took = time.monotonic() - begun
    assert m.status == 200, m
    one.ack(m)
    assert asked_patiently(phone, one.text("BYE"), "BYE").status == 200
    return took * 1000


def counters(office):
    mark = len(office.log)
    office.process.send_signal(signal.SIGUSR1)
    line = office.wait_log(r"counters .*\n", mark, seconds=30).group(0)
    return {name: int(n) for name, n in re.findall(r"(\w+)=(\d+)", line)}


@pytest.mark.parametrize("kind,seconds", [("invite", 3), ("register", 1), ("options", 1), ("bye", 1), ("junk", 1)])
def test_a_flood_of_one_source_starves_nobody(office, kind, seconds):
    with Phone(office, "1001") as phone:
        call(phone)
        before = counters(office)["strans"]
        with flood(office, kind, seconds=seconds) as told:
            took = []
            end = time.monotonic() + seconds * 0.8
            while time.monotonic() < end:
                took.append(call(phone))
        assert told["sent"] > 1000 and took
        assert statistics.median(took) < STILL_MS * SLOW, took
        # Nothing is kept for strangers, and they are told little.
        assert told["answers"] < 2000 * SLOW
        assert counters(office)["strans"] - before <= 3 * len(took) + 10


def test_a_storm_of_phones_delays_no_calls(office):
    """50,000 phones come back after a power cut, each from an address of its own: as fast as they can be sent."""
    with Phone(office, "1001") as phone:
        call(phone)
        with flood(office, "register", "any", count=50000, seconds=30) as told:
            took = [call(phone)]
            while counters(office)["requests"] < 1000:
                took.append(call(phone))
            took += [call(phone) for _ in range(5)]
        assert told["sent"] == 50000
        assert statistics.median(took) < STILL_MS * SLOW, took
    with Phone(office, "1002") as other:                       # and when they have been told, who comes again is served
        def is_served():
            other.send(other.register_request(auth=False))
            m = other.receive(0.5)
            return m and m.status == 401 and other.credentials.take(m)
        wait_until(is_served, 20)
        # What it asked before may be answered late, and behind what it asks now.
        wait_until(lambda: other.register_once().status == 200, 20)
        other.unregister()


def test_a_scan_learns_nothing_and_ends_in_silence(office):
    """As svwar asks: REGISTER, INVITE and OPTIONS for one extension after the other. The honest phone beside it is served."""
    seen = {}
    with Phone(office, "1001") as phone, Phone(office, "scanner", port=5061) as scanner:
        for method in ("REGISTER", "INVITE", "OPTIONS"):
            for number in range(1000, 1020):
                uri = f"sip:{number}@{scanner.uri_host}"
                to = f"<sip:{number}@cordboard>"
                scanner.send(scanner.request(method, uri, to=to, from_=f'"sipvicious" {to}', headers=[f"Contact: {scanner.contact}"]))
                m = scanner.expect(*range(200, 700))
                text = re.sub(r'nonce="\w+"|;tag=\w+|branch=\w+', "", str(m)).replace(str(number), "N")
                text = re.sub(r"(?m)^(Call-ID|CSeq|Via): .*$", "", text)
                seen.setdefault(method, set()).add(text)
        assert [len(seen[method]) for method in ("REGISTER", "INVITE", "OPTIONS")] == [1, 1, 1]
        with flood(office, "register", scanner.addr, count=3000, seconds=10) as told:
            call(phone)
        assert told["answers"] <= 500 + 20 * 30
        assert counters(office)["unanswered"] > 0
        assert phone.register().status == 200
        phone.unregister()


def test_many_guesses_at_once_end_in_a_ban(office):
    """As svcrack does: passwords for one extension, each to a challenge of its own."""
    with Phone(office, "1001", password="wrong") as guesser, Phone(office, "1002") as phone:
        for n in range(21):
            guesser.credentials.password = str(n)
            guesser.credentials.take(guesser.register_once(auth=False))
            assert guesser.register_once().status == 401
        guesser.send(guesser.register_request(auth=False))
        guesser.expect_none(0.5)
        office.wait_sql("SELECT count(*) = 1 FROM pbx.ban WHERE host(source) = %s", guesser.addr)
        assert phone.register().status == 200
        phone.unregister()
        office.change("DELETE FROM pbx.ban")
