"""Calls and registrations through a network that loses, doubles and reorders (tests/sip/lossy.c): they take longer, and that is all.
Each phone does what RFC 3261 asks of it and no more: it repeats its requests, and answers repetitions."""
import contextlib
import select
import subprocess
import threading
import time

import pytest

from office import BUILD, OfficeError, SLOW, own_address
from sip import Dialog, Phone, sdp

T1 = 0.5


@contextlib.contextmanager
def lossy(office, drop, dup=5, reorder=5, seed=1):
    """The proxy; gives its address."""
    addr = own_address()
    command = [BUILD / "tests/sip/lossy", f"{addr}:5060", f"{office.addr}:{office.port}", "--drop", str(drop), "--dup", str(dup),
               "--reorder", str(reorder), "--seed", str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            assert select.select([proxy.stdout], [], [], 10)[0], "the proxy doesn't start"
            assert proxy.stdout.readline().startswith("ready")
            yield addr, 5060
        finally:
            proxy.terminate()
            report = proxy.communicate(timeout=10)[0]
            print(report)


class Stubborn(Phone):
    """Repeats what it asks until it is answered, and what it answers when it is asked again."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.acks = {}                # (Call-ID, CSeq) of an INVITE that got its final response: the ACK
        self.answers = {}             # branch of a request: what it was answered
        self.dialogs = {}             # of calls received

    def ask_until(self, text, seconds=32):
        """Sends a request again and again, as timers A, E and F have it; returns the final response."""
        is_invite = text.startswith("INVITE")
        sent = text.split("branch=")[1].split(";")[0]
        end, interval, due, has_provisional = time.monotonic() + seconds, T1, 0, False
        while time.monotonic() < end:
            if time.monotonic() >= due and not (is_invite and has_provisional):
                self.send(text)
                due = time.monotonic() + interval
                interval = min(interval * 2, 4 if not is_invite else 16)
            m = self.receive(max(0.01, min(due - time.monotonic(), 0.5)))
            if m is None:
                continue
            if m.status and m.branch == sent and m.cseq_method == text.split()[0]:
                if m.status >= 200:
                    return m
                has_provisional = True
            else:
                self.take(m)
        raise OfficeError(f"no answer in {seconds} s to\n{text}")

    def take(self, m):
        """Whatever comes besides."""
        if m.status:
            ack = self.acks.get((m["Call-ID"], m.cseq)) if m.status >= 200 and m.cseq_method == "INVITE" else None
            if ack:
                self.send(ack)
        elif m.method == "ACK":
            d = self.dialogs.get(m["Call-ID"])
            if d:
                d.is_acked = True
        elif (m.branch, m.method) in self.answers:
            self.send(self.answers[m.branch, m.method], m.source)
        elif m.method == "INVITE":
            d = self.dialogs[m["Call-ID"]] = Dialog.of_invite(self, m)
            d.is_acked, d.is_over, d.due, d.interval = False, False, time.monotonic() + T1, T1
            d.ring()
            d.text_200 = d.reply(200, "OK", body=sdp(self.addr, 40000))
            self.answers[m.branch, "INVITE"] = d.text_200
        elif m.method == "BYE":
            d = self.dialogs.get(m["Call-ID"])
            if d:
                d.is_over = True
            self.answers[m.branch, "BYE"] = self.reply(m, 200, "OK")
        else:
            self.answers[m.branch, m.method] = self.reply(m, 481 if m.method == "CANCEL" else 200, "X")

    def repeat_answers(self):
        """RFC 3261 §13.3.1.4."""
        for d in self.dialogs.values():
            if not d.is_acked and not d.is_over and time.monotonic() >= d.due:
                self.send(d.text_200)
                d.interval = min(d.interval * 2, 4)
                d.due = time.monotonic() + d.interval

    def register_until(self, expires):
        for _ in range(3):
            m = self.ask_until(self.register_request(expires=expires))
            if m.status != 401:
                break
            self.credentials.take(m)
        assert m.status == 200, m

    def call_until(self, number, talk_s=0.2):
        d = Dialog(self, f"sip:{number}@{self.uri_host}")
        for _ in range(3):
            d.send_invite_text = d.text("INVITE", sdp(self.addr, 40000), d.authorized("INVITE"))
            m = d.learn(self.ask_until(d.send_invite_text))
            ack = d.text("ACK", cseq=m.cseq) if m.status < 300 else d.text("ACK", cseq=m.cseq, branch=m.branch, to=m["To"])
            self.acks[d.call_id, m.cseq] = ack
            self.send(ack)
            if m.status != 401:
                break
            self.credentials.take(m)
        assert m.status == 200, m
        end = time.monotonic() + talk_s
        while time.monotonic() < end:
            m = self.receive(0.05)
            if m:
                self.take(m)
        bye = self.ask_until(d.text("BYE"))
        assert bye.status == 200, bye


class Callee(threading.Thread):
    """Answers all calls until told to stop."""

    def __init__(self, phone):
        super().__init__(daemon=True)
        self.phone, self.is_over, self.error = phone, False, None
        self.start()

    def run(self):
        try:
            while not self.is_over:
                m = self.phone.receive(0.05)
                if m:
                    self.phone.take(m)
                self.phone.repeat_answers()
        except Exception as error:       # shown by the test
            self.error = error

    def stop(self):
        self.is_over = True
        self.join(5)
        assert self.error is None, self.error


def all_of(work):
    """Does all of these at once; fails when one does."""
    errors = []

    def run(fn):
        try:
            fn()
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=run, args=(fn,), daemon=True) for fn in work]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60 * SLOW)
        assert not t.is_alive(), "still under way"
    if errors:
        raise errors[0]


@pytest.mark.parametrize("drop,seed", [(10, 1), (20, 2)])
def test_calls_complete(office, cdrs, drop, seed):
    count = 12
    with lossy(office, drop, seed=seed) as proxy, contextlib.ExitStack() as stack:
        answering = stack.enter_context(Stubborn(office, "1002", target=proxy))
        answering.register_until(600)
        callee = Callee(answering)
        callers = [stack.enter_context(Stubborn(office, "1001", target=proxy)) for _ in range(count)]
        try:
            all_of([lambda c=c: c.call_until("91002") for c in callers])
            found = [cdrs.next(seconds=40) for _ in range(count)]
        finally:
            callee.stop()
        answering.register_until(0)
    assert {(c.result, c.hangup_by) for c in found} == {("answered", "caller")}
    assert {len(c.legs) for c in found} == {2}                               # a doubled INVITE is no second call
    assert office.sql("SELECT count(*) FROM pbx.cdr WHERE started >= %s", cdrs.since)[0][0] == count


def test_registrations_complete(office):
    with lossy(office, 20, dup=20, seed=3) as proxy, contextlib.ExitStack() as stack:
        phones = [stack.enter_context(Stubborn(office, f"10{n:02}", target=proxy)) for n in range(3, 10)]

        def day(phone):
            phone.register_until(600)
            phone.register_until(300)
            phone.register_until(0)
        all_of([lambda p=p: day(p) for p in phones])
    office.wait_sql("SELECT count(*) = 0 FROM pbx.binding")
