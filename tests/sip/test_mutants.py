"""Messages of real calls, bent at random (the same ones in every run), during a call that must not notice.

By hand: MUTANTS=100000 MUTANTS_SEED=7 python3 -m pytest tests/sip/test_mutants.py
"""
import os
import random
import socket

import pytest

from office import ROOT, own_address
from rtp import Rtp
from sip import Phone, media_of, sdp, token

PIECES = [b"\r\n", b"\r\n\r\n", b" ", b"\t", b";", b",", b'"', b"<", b">", b"@", b":", b"\\", b"%00", b"\0", b"\xff", b"=",
          b"9" * 40, b"a" * 300, b";tag=", b";branch=", b"SIP/2.0", b"-1", b"4294967296", b"\r\n ", b"[", b"]", b"::", b"%"]


def bend(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data))
        kind = rng.randrange(6)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at:at + rng.choice((1, 2, 10, 100))]
        elif kind == 2:
            data[at:at] = rng.choice(PIECES)
        elif kind == 3:
            lines = bytes(data).split(b"\r\n")
            rng.shuffle(lines)
            data = bytearray(b"\r\n".join(lines))
        elif kind == 4:
            lines = bytes(data).split(b"\r\n")
            line = rng.choice(lines)
            data = bytearray(bytes(data).replace(line, line + b"\r\n" + line, 1))
        else:
            data = data[:at + 1]
        if not data:
            return b"\r\n"
    return bytes(data)


def answers(phone):
    """An OPTIONS of its own among whatever comes."""
    call_id = token()
    phone.send(phone.request("OPTIONS", call_id=call_id))
    return any(m.status == 200 and m.get("Call-ID") == call_id for m in iter(lambda: phone.receive(10), None))


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_mutants_hurt_nobody(office, proto):
    rng = random.Random(int(os.environ.get("MUTANTS_SEED", 2026)))
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Rtp(caller.addr) as a, Rtp(callee.addr) as b:
        callee.register()
        here = caller.invite("91002", sdp(caller.addr, a.port))
        there = callee.answer_invite()
        there.ring()
        here.expect(180)
        there.answer(sdp(callee.addr, b.port))
        ok = here.expect(200)
        here.ack(ok)
        a.start(media_of(ok.body))
        caller.send(here.text("INFO", "Signal=1\r\nDuration=160\r\n").replace("application/sdp", "application/dtmf-relay"))
        here.expect(200)
        there.send("OPTIONS")
        there.expect(200)
        seeds = [data for way, data in caller.trace + callee.trace]
        seeds += [path.read_bytes() for path in sorted((ROOT / "tests/fuzz/corpus/msg").iterdir()) if "learnt" not in path.name]
        seeds += [caller.request("SUBSCRIBE", headers=["Event: message-summary", f"Contact: {caller.contact}"]).encode()]
        # From somewhere else: who isn't in the dialog must not end it.
        addr = own_address()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind((addr, 5060))
            for i in range(int(os.environ.get("MUTANTS", 3000))):
                data = bend(rng, rng.choice(seeds))
                if proto == "udp":
                    udp.sendto(data[:65000], office.sockaddr())
                elif i % 10 == 0:
                    with socket.socket() as tcp:
                        tcp.connect(office.sockaddr())
                        try:
                            tcp.sendall(b"".join(bend(rng, rng.choice(seeds)) for _ in range(9)) + data)
                        except ConnectionError:
                            pass                                             # it has been thrown out: as it should
                if i % 100 == 0:
                    assert answers(caller)                                   # and keep pace
        office.check()
        b.wait_received(10)
        for phone in (caller, callee):
            phone.catch_up()
        here.cseq += 50                                                      # some may have been taken for ours
        here.send("BYE")
        assert here.expect(200, skip=range(100, 700), timeout=10).cseq_method == "BYE"
    with Phone(office, "1002") as callee:
        callee.unregister()
        office.wait_sql("SELECT count(*) = 0 FROM pbx.binding WHERE number = '1002'")
