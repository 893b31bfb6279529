"""Every basic flow through a network that loses a fifth of all datagrams, doubles and reorders others: all of them at once, each with
phones of its own, and each has to come to its end in time."""
import contextlib
import time

import pytest

from office import SLOW
from sip import Dialog, sdp, token
from sturdy import Sturdy, Table
from test_loss import all_of, lossy
from transfers import answers, called, hold, pick, progress, replaces_of, take, take_bye

FLOWS = {}                               # name: (function, how many phones)
FIRST = 2001
LONGEST_S = 60


def flow(phones):
    def add(fn):
        FLOWS[fn.__name__] = fn, phones
        return fn
    return add


def connect(a, b):
    """A call, answered. That it rings may get lost: nobody repeats that."""
    here = a.invite(f"9{b.user}")
    there = called(b)
    there.ring()
    answers(there)
    here.answered = pick(here, 200)
    here.ack(here.answered)
    return here, there


def hang_up(here, there):
    here.send("BYE")
    take_bye(there)
    pick(here, 200)


def again(d, body, method="INVITE"):
    """An offer in the dialog, and its answer."""
    d.send(method, body)
    m = pick(d, 200)
    if method == "INVITE":
        d.ack(m)
    return m


def refer(d, number, replaces=None):
    query = "?Replaces=" + replaces.replace("@", "%40").replace(";", "%3B").replace("=", "%3D") if replaces else ""
    d.send("REFER", headers=[f"Refer-To: <sip:{number}@{d.phone.uri_host}{query}>", f"Contact: {d.phone.contact}"])
    pick(d, 202)


@flow(1)
def registration(phone):
    assert phone.register(expires=300).status == 200
    assert "expires=" in phone.register([])["Contact"]
    phone.unregister()
    assert phone.register([]).get("Contact") is None
    phone.register()


@flow(2)
def call(a, b):
    here, there = connect(a, b)
    hang_up(there, here)


@flow(2)
def cancel(a, b):
    here = a.invite(f"9{b.user}")
    there = called(b)
    pick(here, 100, 180)
    there.ring()
    here.cancel()
    there.reply(200, "OK", pick(there, "CANCEL"))
    there.reply(487, "Request Terminated")
    pick(there, "ACK")
    pick(here, 200)
    here.ack(pick(here, 487))


@flow(2)
def busy(a, b):
    here = a.invite(f"9{b.user}")
    there = called(b)
    there.reply(486, "Busy Here")
    pick(there, "ACK")
    here.ack(pick(here, 486))


@flow(2)
def hold_and_back(a, b):
    here, there = connect(a, b)
    hold(here)
    assert "a=sendrecv" in again(here, sdp(a.addr, 40000, direction="sendrecv", version=3)).body
    hang_up(here, there)


@flow(2)
def reoffers_of_both(a, b):
    """re-INVITE of each side, and UPDATE."""
    here, there = connect(a, b)
    assert "m=audio" in again(there, sdp(b.addr, 40002, version=2)).body
    assert "m=audio" in again(here, sdp(a.addr, 40002, version=2)).body
    assert "m=audio" in again(here, sdp(a.addr, 40004, version=3), "UPDATE").body
    assert "m=audio" in again(there, sdp(b.addr, 40004, version=3), "UPDATE").body
    hang_up(here, there)


@flow(2)
def reliable_ringing(a, b):
    """100rel on both legs (RFC 3262)."""
    here = a.invite(f"9{b.user}", headers=["Supported: 100rel"])
    there = called(b)
    there.reply(183, "Session Progress", headers=["Require: 100rel", "RSeq: 4711"], body=sdp(b.addr, 40000))
    m = pick(there, "PRACK")
    assert m["RAck"] == f"4711 {there.invite.cseq} INVITE"
    there.reply(200, "OK", m)
    early = pick(here, 183)
    here.send("PRACK", headers=[f"RAck: {early['RSeq']} {early['CSeq']}"])
    pick(here, 200)
    there.reply(200, "OK")
    pick(there, "ACK")
    here.ack(pick(here, 200))
    hang_up(here, there)


@flow(3)
def transfer(a, b, c):
    here, there = connect(a, b)
    refer(here, f"9{c.user}")
    at_c = called(c)
    answers(at_c)
    assert progress(here)[-1] == 200
    hang_up_alone(here)
    hang_up(at_c, there)


@flow(3)
def attended_transfer(a, b, c):
    here, there = connect(a, b)
    hold(here)
    other, at_c = connect(a, c)
    refer(here, c.user, replaces_of(other))
    take_bye(other)
    assert progress(here)[-1] == 200
    hang_up_alone(here)
    hang_up(there, at_c)


def hang_up_alone(d):
    d.send("BYE")
    pick(d, 200)


@flow(2)
def lamp(a, b):
    watch = Dialog(a, f"sip:{b.user}@{a.uri_host}")

    def subscribe(expires):
        watch.send("SUBSCRIBE", headers=watch.authorized("SUBSCRIBE", ["Event: dialog", f"Expires: {expires}"]))
        pick(watch, 200)

    def notified(*texts):
        while True:
            m = pick(watch, "NOTIFY")
            watch.reply(200, "OK", m)
            if any(text in str(m) for text in texts):
                return
    subscribe(600)
    notified("active")
    there = b.invite("600")
    there.ack(pick(there, 200))
    notified("<state>confirmed</state>")
    hang_up_alone(there)
    # Who hasn't taken the one before hears of the end when there is nothing left of it.
    notified('<state event="local-bye">terminated</state>', "\">\r\n</dialog-info>", "\">\n</dialog-info>")
    subscribe(0)
    notified("Subscription-State: terminated")


@flow(2)
def message(a, b):
    uri, call_id = f"sip:{b.user}@{a.uri_host}", token()
    a.send(a.request("MESSAGE", uri, [a.credentials.header("MESSAGE", uri)], "hello", call_id, ctype="text/plain"))
    m = take(b, lambda m: m.method == "MESSAGE", what="MESSAGE")
    assert m.body == "hello"
    b.reply(m, 200, "OK", tag="reader")
    take(a, lambda m: m.status == 200 and m["Call-ID"] == call_id, what="200")


@pytest.fixture
def extensions(office):
    """As many as all flows together need."""
    count = sum(n for _, n in FLOWS.values())
    office.change("INSERT INTO pbx.extension (domain, number, display_name, context) SELECT 'office', n::text, 'Phone ' || n, 'office'"
                  " FROM generate_series(%s, %s) AS n;"
                  "INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_20XX', 'Phones');"
                  "INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES "
                  "('office', 'office', '_20XX', 1, 'dial', '{\"number\": \"${number}\"}');"
                  "SELECT pbx.set_password('office', n::text, 's' || n) FROM generate_series(%s, %s) AS n",
                  *(FIRST, FIRST + count - 1) * 2)
    yield iter(range(FIRST, FIRST + count))
    office.change("DELETE FROM pbx.route WHERE pattern = '_20XX'; DELETE FROM pbx.extension WHERE number BETWEEN %s AND %s",
                  str(FIRST), str(FIRST + count - 1))


@pytest.mark.slow
def test_every_flow_completes(office, cdrs, extensions):
    took = {}

    def run(fn, numbers, proxy):
        table, start = Table(), time.monotonic()
        with contextlib.ExitStack() as stack:
            phones = [stack.enter_context(Sturdy(table, office, str(n), target=proxy)) for n in numbers]
            for phone in phones:
                assert phone.register(expires=600).status == 200
            fn(*phones)
            table.phones[0].settle()
            for phone in phones:
                phone.send(phone.register_request(["*"], 0))
                take(phone, lambda m: m["Call-ID"] == phone.registration["call_id"] and m.status == 200, what="unregistered")
            assert not any(phone.strange for phone in phones)        # nothing went around the bad network
        took[fn.__name__] = round(time.monotonic() - start, 1)

    began = time.monotonic()
    with lossy(office, 20, dup=5, reorder=10, seed=4) as proxy:
        all_of([lambda fn=fn, numbers=[next(extensions) for _ in range(n)]: run(fn, numbers, proxy) for fn, n in FLOWS.values()])
    print(took)
    assert time.monotonic() - began < LONGEST_S * SLOW
    office.wait_sql("SELECT count(*) = 0 FROM pbx.binding")
