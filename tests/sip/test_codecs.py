"""Which codecs are offered to whom, and agreed on with whom: what the administrator says, in his order, and what the peer has said."""
import contextlib
import re

import pytest

from sip import Phone, hang_up, sdp

OPUS, G722, PCMA, PCMU, GSM = (111, "opus/48000/2"), (9, "G722/8000"), (8, "PCMA/8000"), (0, "PCMU/8000"), (3, "GSM/8000")
EVENT, EVENT_48 = (101, "telephone-event/8000"), (102, "telephone-event/48000")


def names(body):
    """Of the codecs in the order of the m= line."""
    numbers = re.search(r"^m=audio \d+ \S+ (.*)", body, re.M).group(1).split()
    of = dict(re.findall(r"^a=rtpmap:(\d+) (\S+)", body, re.M))
    return [of[n] for n in numbers if not of[n].startswith("telephone-event")]


def fmtp(body, name):
    number = re.search(rf"^a=rtpmap:(\d+) {name}", body, re.M).group(1)
    found = re.search(rf"^a=fmtp:{number} (\S+)", body, re.M)
    return set(found.group(1).split(";")) if found else set()


def offer(phone, codecs, opus_fmtp=""):
    body = sdp(phone.addr, 40000, codecs)
    return body + (f"a=fmtp:{OPUS[0]} {opus_fmtp}\r\n" if opus_fmtp else "")


@pytest.fixture
def policy(office):
    """Sets what an extension may have; puts it back in the end."""
    changed = set()

    def change(number, codecs):
        changed.add(number)
        office.change(f"UPDATE pbx.extension SET codecs = '{{{codecs}}}' WHERE number = '{number}'")

    yield change
    for number in changed:
        office.change(f"UPDATE pbx.extension SET codecs = DEFAULT WHERE number = '{number}'")


@contextlib.contextmanager
def called(office, codecs, opus_fmtp=""):
    """A call from 1001 to 1002 that is about to be answered."""
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee:
        assert callee.register().status == 200
        here = caller.invite("91002", offer(caller, codecs, opus_fmtp))
        there = callee.answer_invite()
        yield here, there
        hang_up(here, there)
        callee.unregister()


def answer(here, there, codecs, opus_fmtp=""):
    there.answer(offer(there.phone, codecs, opus_fmtp))
    ok = here.expect(200)
    here.ack(ok)
    return ok


def test_codecs_of_an_extension_are_offered_in_its_order(office, policy):
    policy("1002", "GSM,PCMU,L16/16000")
    with called(office, [PCMA, PCMU, EVENT]) as (here, there):
        # Shared with the caller first, then as the administrator says.
        assert names(there.invite.body) == ["PCMU/8000", "GSM/8000", "L16/16000"]
        ok = answer(here, there, [GSM, EVENT])
        assert names(ok.body) == ["PCMA/8000", "PCMU/8000"]


def test_l16_of_a_compact_disc_has_its_static_number(office, policy):
    policy("1002", "L16/44100,PCMU")
    with called(office, [PCMU, EVENT]) as (here, there):
        assert names(there.invite.body) == ["PCMU/8000", "L16/44100"]
        assert re.search(r"^m=audio \d+ RTP/AVP 0 11 ", there.invite.body, re.M)
        assert re.search(r"^a=rtpmap:\d+ telephone-event/44100", there.invite.body, re.M)
        ok = answer(here, there, [(11, "L16/44100"), EVENT])
        assert names(ok.body) == ["PCMU/8000"]


def test_codec_that_an_extension_may_not_have_is_refused(office, policy):
    policy("1001", "PCMA")
    with Phone(office, "1001") as caller:
        side = caller.invite("91002", sdp(caller.addr, 40000, [PCMU, EVENT]))
        side.ack(side.expect(488))


def test_opus_speaks_for_the_partner(office):
    """What each says of Opus is said to the other, who sends him the packets (RFC 7587 §7)."""
    with called(office, [OPUS, PCMA, EVENT, EVENT_48], "maxplaybackrate=16000;stereo=1;useinbandfec=1") as (here, there):
        m = there.invite
        assert names(m.body) == ["opus/48000/2", "PCMA/8000", "G722/8000", "PCMU/8000"]
        assert fmtp(m.body, "opus") == {"maxplaybackrate=16000", "stereo=1", "useinbandfec=1"}
        assert re.search(r"^a=rtpmap:\d+ telephone-event/48000", m.body, re.M)
        assert re.search(r"^a=rtpmap:\d+ telephone-event/8000", m.body, re.M)
        ok = answer(here, there, [OPUS, EVENT_48], "usedtx=1;maxaveragebitrate=20000")
        assert names(ok.body)[0] == "opus/48000/2"
        assert fmtp(ok.body, "opus") == {"usedtx=1", "maxaveragebitrate=20000"}


def test_opus_without_a_partner_who_has_it_takes_fec(office):
    with called(office, [OPUS, EVENT_48], "stereo=1") as (here, there):
        assert names(there.invite.body)[0] == "opus/48000/2"
        ok = answer(here, there, [PCMU, EVENT])
        assert names(ok.body) == ["opus/48000/2"]
        assert fmtp(ok.body, "opus") == {"useinbandfec=1"}


def test_offer_after_an_offer_names_nothing_new(office):
    """RFC 3264 §8.3 allows more, but what a phone hasn't offered it may not have: the leg that was called changes, the caller, who
    has offered PCMA and PCMU alone, is asked for these alone."""
    with called(office, [PCMU, PCMA, EVENT]) as (here, there):
        answer(here, there, [PCMU, EVENT])
        there.send("INVITE", sdp(there.phone.addr, 40002, [PCMA, G722, EVENT], None, 2))
        ok = there.expect(200)
        there.ack(ok)
        m = here.expect("INVITE")
        assert names(m.body) == ["PCMA/8000", "PCMU/8000"]
        here.reply(200, "OK", m, body=sdp(here.phone.addr, 40000, [PCMA, EVENT], None, 2))
        here.expect("ACK")
