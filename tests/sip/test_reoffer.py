"""Re-INVITEs that the server sends: what one leg's exchange means for the other, and glare (RFC 3261 §14, RFC 3264 §8)."""
import contextlib
import re

import pytest

from sip import Phone, sdp

PCMU = [(0, "PCMU/8000"), (101, "telephone-event/8000")]
PCMA = [(8, "PCMA/8000"), (101, "telephone-event/8000")]


def direction(body):
    return next((line[2:] for line in body.splitlines() if line in ("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive")), "sendrecv")


def first_codec(body):
    return int(re.search(r"^m=audio \d+ \S+ (\d+)", body, re.M).group(1))


def version(body):
    return int(re.search(r"^o=\S+ \S+ (\d+)", body, re.M).group(1))


@contextlib.contextmanager
def talk(office, one=PCMU, other=PCMU, body=None):
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee:
        assert callee.register().status == 200
        here = caller.invite("91002", sdp(caller.addr, 40000, one) if body is None else body)
        there = callee.answer_invite()
        there.answer(sdp(callee.addr, 40002, other))
        here.ok = here.expect(200)
        here.ack(here.ok, "" if body is None else sdp(caller.addr, 40000, one))
        yield here, there
        here.send("BYE")
        there.take_bye()
        here.expect(200)
        callee.unregister()


def reinvite(side, codecs=PCMU, way=None, n=2):
    side.send("INVITE", sdp(side.phone.addr, 40000, codecs, way, n))
    ok = side.expect(200)
    side.ack(ok)
    return ok


def take_reinvite(side, codecs, way=None, n=2):
    """What the server offers, answered."""
    m = side.expect("INVITE")
    side.reply(200, "OK", m, body=sdp(side.phone.addr, 40002, codecs, way, n))
    side.expect("ACK")
    return m


@pytest.fixture
def no_music(office):
    office.change("INSERT INTO pbx.music_class (domain, class, name) VALUES ('office', 'none', 'Silence')")
    office.change("UPDATE pbx.extension SET music_class = 'none' WHERE number = '1001'")
    yield
    office.change("UPDATE pbx.extension SET music_class = NULL WHERE number = '1001'")
    office.change("DELETE FROM pbx.music_class WHERE class = 'none'")


@pytest.mark.parametrize("way,passed,answer", [("sendonly", "sendonly", "recvonly"), ("inactive", "inactive", "inactive")])
@pytest.mark.parametrize("by_caller", [True, False])
def test_hold_without_music_is_passed_on(office, no_music, by_caller, way, passed, answer):
    with talk(office) as (here, there):
        holder, held = (here, there) if by_caller else (there, here)
        reinvite(holder, way=way)
        m = take_reinvite(held, PCMU, answer)
        assert direction(m.body) == passed
        reinvite(holder, way="sendrecv", n=3)
        again = take_reinvite(held, PCMU, "sendrecv", 3)
        assert direction(again.body) == "sendrecv"
        assert version(again.body) == version(m.body) + 1


def test_codec_of_one_is_asked_of_the_other(office):
    """What both can do needn't be transcoded."""
    with talk(office, PCMU, PCMU + PCMA[:1]) as (here, there):
        ok = reinvite(here, PCMA)
        assert first_codec(ok.body) == 8
        m = take_reinvite(there, PCMA)
        assert first_codec(m.body) == 8
        assert direction(m.body) == "sendrecv"
        here.phone.expect_none()                                             # and nobody is asked in return


def test_codec_refused_by_the_other_leaves_the_call(office):
    with talk(office) as (here, there):
        reinvite(here, PCMA)
        m = there.expect("INVITE")
        there.reply(488, "Not Acceptable Here", m)
        there.expect("ACK")
        reinvite(here, PCMA, n=3)
        there.phone.expect_none()                                            # nothing new: the other isn't asked again


def test_answer_to_late_offer_is_asked_of_the_other(office):
    """No offer in the INVITE: the answer in the ACK may choose another codec than the callee has."""
    with talk(office, PCMA, PCMU + PCMA[:1], body="") as (here, there):
        assert first_codec(here.ok.body) == 0
        assert first_codec(take_reinvite(there, PCMA).body) == 8


def test_glare_is_settled(office):
    """RFC 3261 §14.1: both offer at once, both are told 491; we, who made the Call-ID, come again in 2.1 to 4 s, unless he is first."""
    with talk(office, PCMU, PCMU + PCMA[:1]) as (here, there):
        reinvite(here, PCMA)
        m = there.expect("INVITE")
        there.send("INVITE", sdp(there.phone.addr, 40004, PCMU, version=2))
        refused = there.expect(491)
        there.ack(refused)
        there.reply(491, "Request Pending", m)
        there.expect("ACK")
        ok = reinvite(there, PCMU + PCMA[:1], n=3)                           # his own goes through
        assert first_codec(ok.body) == 8
        assert first_codec(take_reinvite(there, PCMA, n=4).body) == 8        # and ours comes again, made anew


def test_491_is_tried_again(office):
    with talk(office, PCMU, PCMU + PCMA[:1]) as (here, there):
        reinvite(here, PCMA)
        m = there.expect("INVITE")
        there.reply(491, "Request Pending", m)
        there.expect("ACK")
        again = take_reinvite(there, PCMA)
        assert again.cseq == m.cseq + 1


def test_controller_without_streams_at_first(office):
    """RFC 3725 §4.4, flow IV: an offer without any stream; what the other side offers comes with a re-INVITE."""
    with Phone(office, "1001") as controller, Phone(office, "1002") as callee:
        assert callee.register().status == 200
        here = controller.invite("91002", re.sub(r"m=.*", "", sdp(controller.addr, 40000), flags=re.S))
        there = callee.answer_invite()
        there.answer(sdp(callee.addr, 40002, PCMA))
        ok = here.expect(200)
        assert ok.body.startswith("v=0") and "m=" not in ok.body
        here.ack(ok)
        ok = reinvite(here, PCMA)
        assert first_codec(ok.body) == 8 and direction(ok.body) == "sendrecv"
        callee.expect_none()
        here.bye()
        there.take_bye()
        callee.unregister()
