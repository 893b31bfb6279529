"""Calls that one sees: baresip makes up a picture, encodes it, and decodes what comes."""
import re

import pytest

from office import wait_until
from test_calls import connect

PACKETS = 30


def end_and_count(office, phone, since):
    """Hangs up; packets of video received and sent, of each leg. (The first ones may come before the other side is there.)"""
    phone.hangup()

    def ended():
        found = re.findall(r"media=video ended received=(\d+) sent=(\d+) ", office.log[since:])
        return found if len(found) == 2 else None
    return [[int(n) for n in leg] for leg in wait_until(ended)]


@pytest.mark.parametrize("codec,encryption", [("vp8", None), ("vp9", None), ("vp8", "srtp-mand")])
def test_two_see_each_other(office, phones, codec, encryption):
    """encryption: the caller's, with keys of the video's own; the callee's is plain."""
    secure = {"encryption": encryption, "transport": "tls"} if encryption else {}
    caller, callee = phones("1001", video=codec, **secure), phones("1002", video=codec)
    since = len(office.log)
    connect(caller, callee, "1002")
    wait_until(lambda: all("receiving with resolution 176 x 144" in phone.log_tail(100000) for phone in (caller, callee)))
    caller.listens(4)
    for received, sent in end_and_count(office, caller, since):
        assert received > PACKETS and sent > PACKETS
