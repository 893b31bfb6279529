"""DTLS-SRTP: what is offered to whom, what is answered, and what becomes of a call with openssl's tools at the other end of its media, which
have the certificate that was named or another."""
import contextlib
import re
import socket
import subprocess
import tempfile
import pathlib

import pytest

from office import end_with_us
from sip import Phone, media_of, sdp

PRINT = ":".join(f"{n:02X}" for n in range(32))
OTHER = ":".join(f"{n:02X}" for n in range(32, 64))


def secure(phone, setup="actpass", profile="UDP/TLS/RTP/SAVP", print_of=PRINT, port=40000, version=1, extra=(), direction=None):
    lines = ([f"a=setup:{setup}"] if setup else []) + ([f"a=fingerprint:sha-256 {print_of}"] if print_of else []) + list(extra)
    return sdp(phone.addr, port, direction=direction, version=version, extra=lines).replace("RTP/AVP", profile)


@pytest.fixture
def policy(office):
    """Sets what an extension may have; puts it back in the end."""
    changed = set()

    def change(number, srtp, keys="any"):
        changed.add(number)
        office.change("UPDATE pbx.extension SET srtp = %s, srtp_keys = %s WHERE number = %s", srtp, keys, number)

    yield change
    for number in changed:
        office.change("UPDATE pbx.extension SET srtp = DEFAULT, srtp_keys = DEFAULT WHERE number = %s", number)


@contextlib.contextmanager
def pair_of(office):
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee:
        assert callee.register().status == 200
        yield caller, callee
        callee.unregister()


def fields(body):
    """Profile, setup, fingerprint, tls-id of a description."""
    def found(pattern):
        m = re.search(pattern, body, re.M)
        return m and m.group(1)
    return found(r"^m=audio \d+ (\S+)"), found(r"^a=setup:(\S+)"), found(r"^a=fingerprint:sha-256 ([0-9A-F:]{95})\r$"), \
        found(r"^a=tls-id:(\S+)")


# ---- offers that come ----

@pytest.mark.parametrize("profile,setup,answered", [
    ("UDP/TLS/RTP/SAVP", "actpass", "active"), ("UDP/TLS/RTP/SAVPF", "actpass", "active"), ("UDP/TLS/RTP/SAVP", "active", "passive"),
    ("UDP/TLS/RTP/SAVP", "passive", "active"), ("RTP/AVP", "actpass", "active"), ("RTP/SAVPF", "actpass", "active")])
def test_dtls_offer_is_answered_in_kind(office, profile, setup, answered):
    with pair_of(office) as (caller, callee):
        here = caller.invite("91002", secure(caller, setup, profile, extra=["a=tls-id:" + "x" * 24]))
        there = callee.answer_invite()
        assert fields(there.invite.body) == ("RTP/AVP", None, None, None)  # that is the other side's affair
        there.answer()
        m = here.expect(200)
        here.ack(m)
        first = fields(m.body)
        assert first[:2] == (profile, answered) and first[2] and len(first[3]) >= 20
        # On hold, with all as it was: roles, certificate and association are the same.
        here.send_invite(secure(caller, setup, profile, version=2, direction="sendonly", extra=["a=tls-id:" + "x" * 24]))
        m = here.expect(200)
        here.ack(m)
        assert fields(m.body) == first
        here.bye()
        there.take_bye()


@pytest.mark.parametrize("srtp,keys,profile,status", [
    ("never", "any", "UDP/TLS/RTP/SAVP", 488), ("offer", "sdes", "UDP/TLS/RTP/SAVP", 488), ("require", "sdes", "RTP/AVP", 488),
    ("require", "dtls", "RTP/AVP", 200), ("require", "any", "UDP/TLS/RTP/SAVP", 200), ("never", "dtls", "RTP/AVP", 200)])
def test_dtls_offer_is_taken_by_policy(office, policy, srtp, keys, profile, status):
    policy("1001", srtp, keys)
    with pair_of(office) as (caller, callee):
        here = caller.invite("91002", secure(caller, profile=profile))
        if status == 488:
            m = here.expect(488)
            here.ack(m)
            assert m["Warning"].startswith("302 ")
            return
        there = callee.answer_invite()
        there.answer()
        m = here.expect(200)
        here.ack(m)
        assert (fields(m.body)[2] is None) == (srtp == "never")
        here.bye()
        there.take_bye()


@pytest.mark.parametrize("broken", [{"print_of": None}, {"print_of": "12:34"}, {"setup": "holdconn"}])
def test_dtls_offer_without_what_it_takes_is_488(office, broken):
    with Phone(office, "1001") as caller:
        here = caller.invite("91002", secure(caller, **broken))
        here.ack(here.expect(488))


# ---- offers of ours ----

def test_dtls_is_offered_to_who_must(office, policy):
    policy("1002", "require", "dtls")
    with pair_of(office) as (caller, callee):
        here = caller.invite("91002")
        there = callee.answer_invite()
        profile, setup, fingerprint, tls_id = fields(there.invite.body)
        assert (profile, setup) == ("UDP/TLS/RTP/SAVP", "actpass") and fingerprint and tls_id
        assert "a=rtcp-mux" in there.invite.body and "a=crypto" not in there.invite.body
        there.answer(secure(callee, "active"))
        m = here.expect(200)
        here.ack(m)
        assert fields(m.body) == ("RTP/AVP", None, None, None)
        # Theirs, which leaves the roles to us: we stay the passive end.
        there.send_invite(secure(callee, "actpass", version=2))
        m = there.expect(200)
        there.ack(m)
        assert fields(m.body) == ("UDP/TLS/RTP/SAVP", "passive", fingerprint, None)
        here.bye()
        there.take_bye()


def test_dtls_beside_plain_rtp_may_be_passed_over(office, policy):
    policy("1002", "offer", "dtls")
    with pair_of(office) as (caller, callee):
        here = caller.invite("91002")
        there = callee.answer_invite()
        profile, setup, fingerprint, _ = fields(there.invite.body)
        assert (profile, setup) == ("RTP/AVP", "actpass") and fingerprint
        there.answer()
        here.ack(here.expect(200))
        here.bye()
        there.take_bye()


def test_dtls_offer_answered_without_ends_the_call(office, policy):
    policy("1002", "require", "dtls")
    with pair_of(office) as (caller, callee):
        here = caller.invite("91002")
        there = callee.answer_invite()
        there.answer(secure(callee, None, print_of=None))
        there.take_bye()
        m = here.expect(488, 480, 500)
        here.ack(m)


# ---- with media ----

@pytest.fixture(scope="module")
def certificates():
    """Two, with their fingerprints."""
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for name in ("one", "other"):
            path = pathlib.Path(folder) / f"{name}.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                            f"/CN={name}", "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True, timeout=60)
            text = subprocess.run(["openssl", "x509", "-in", f"{path}.crt", "-noout", "-fingerprint", "-sha256"], check=True,
                                  capture_output=True, text=True, timeout=60).stdout
            made.append((path, text.split("=")[1].strip()))
        yield made


@contextlib.contextmanager
def tool(*args):
    """One of openssl's, with its input open: it would end with that."""
    process = subprocess.Popen(["openssl", *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               preexec_fn=end_with_us)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def free_port(addr):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((addr, 0))
        return s.getsockname()[1]


def keys_of(cert):
    return ["-cert", f"{cert[0]}.crt", "-key", cert[0], "-use_srtp", "SRTP_AES128_CM_SHA1_80"]


@pytest.mark.parametrize("is_right", [True, False])
def test_dtls_handshake_with_a_passive_peer(office, certificates, is_right):
    one, other = certificates
    with pair_of(office) as (caller, callee):
        port, mark = free_port(caller.addr), len(office.log)
        with tool("s_server", "-dtls1_2", "-accept", f"{caller.addr}:{port}", "-Verify", 1, *keys_of(one)):
            here = caller.invite("91002", secure(caller, print_of=(one if is_right else other)[1], port=port, extra=["a=rtcp-mux"]))
            there = callee.answer_invite()
            there.answer()
            here.ack(here.expect(200))
            if is_right:
                office.wait_log(r"media secured by=dtls suite=AES_CM_128_HMAC_SHA1_80", mark)
                here.bye()
                there.take_bye()
                return
            m = here.take_bye()
            assert 'text="DTLS: the certificate isn\'t the one that was named"' in m["Reason"]
            there.take_bye()
            office.wait_log(r"warn .*DTLS: the certificate isn't the one that was named, hanging up", mark)


def test_dtls_handshake_with_an_active_peer(office, certificates, cdrs):
    one, _ = certificates
    with pair_of(office) as (caller, callee):
        mark = len(office.log)
        here = caller.invite("91002", secure(caller, "active", print_of=one[1], extra=["a=rtcp-mux"]))
        there = callee.answer_invite()
        there.answer()
        m = here.expect(200)
        here.ack(m)
        addr, port = media_of(m.body)
        # From a port that nobody has named: it has to show its cookie.
        with tool("s_client", "-dtls1_2", "-connect", f"{addr}:{port}", *keys_of(one)):
            office.wait_log(r"media secured by=dtls suite=AES_CM_128_HMAC_SHA1_80", mark)
            office.wait_log(r"media latched", mark)
        here.bye()
        there.take_bye()
    assert [leg.media_security for leg in cdrs.next().legs] == ["dtls", None]
