"""Echo, music, hold."""
import time

import pytest

from office import wait_until
from phone import music, prompt
from test_calls import connect

HIS = prompt("cannot-complete-as-dialed")
HERS = prompt("feature-not-avail-line")
TUNE = music("manolo_camp-morning_coffee")


@pytest.fixture
def tune(office):
    """The office has one piece of music, not five: comparing with a file is work."""
    office.change("""
        INSERT INTO pbx.music_class (domain, class, name) VALUES ('office', 'tune', 'One tune') ON CONFLICT DO NOTHING;
        INSERT INTO pbx.music_file (domain, class, position, path) VALUES ('office', 'tune', 1, 'music/manolo_camp-morning_coffee.wav')
            ON CONFLICT DO NOTHING;
        UPDATE pbx.domain SET music_class = 'tune' WHERE domain = 'office'""")
    yield TUNE
    office.change("UPDATE pbx.domain SET music_class = 'default' WHERE domain = 'office'")


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722"])
def test_echo_gives_back_what_is_said(phones, codec):
    a = phones("1001", codec=codec)
    a.call("600")
    since = a.mark()
    a.say(HIS)
    assert a.hears(HIS, since)["corr"] > 0.95
    a.hangup()


def test_music_is_the_same_for_all_listeners(phones, tune):
    a, b = phones("1001"), phones("1002", codec="G722")
    a.call("700")
    first = a.listens(1)
    b.call("700")
    b.listens(0.5)
    # From the same moment on, or not much later.
    since_a, begun = a.mark(), time.monotonic()
    since_b, late_ms = b.mark(), (time.monotonic() - begun) * 1000
    ours, theirs = a.music([tune], since_a, 3), b.music([tune], since_b, 3)
    assert ours.same and theirs.same
    # One source: both are at the same place of the piece, but for their jitter buffers, and what they are late when the machine is
    # busy. The second would be a second behind with a source of its own.
    assert -800 < theirs["offset_ms"] - ours["offset_ms"] < 800 + late_ms
    assert a.music([tune], first, 3).same


def held(phone, tune):
    """Waits until it hears music."""
    assert wait_until(lambda: phone.music([tune], phone.mark(), 1.5).same)


def taken_back(phone, tune):
    """Waits until it doesn't any more; returns since when."""
    def quiet_since():
        since = phone.mark()
        return not phone.music([tune], since, 0.6).same and since
    return wait_until(quiet_since)


def test_held_caller_hears_music_and_is_taken_back(phones, tune):
    a, b = phones("1001"), phones("1002")
    connect(a, b, "1002")
    a.hold()
    held(b, tune)
    # What the holder says now stays in his room.
    since = b.mark()
    a.say(HIS)
    b.listens(HIS.seconds)
    assert not b.look_for(HIS, since).same
    a.resume()
    since = taken_back(b, tune)
    a.say(HIS)
    b.hears(HIS, since)
    # And back: the holder repeats what he hears.
    a.repeats_what_it_hears()
    said = a.spoken.seconds
    b.say(HERS)
    a.repeated(HERS, said)
    a.hangup()
    b.wait("CALL_CLOSED")


def test_held_callee_of_another_codec_hears_music(phones, tune):
    a, b = phones("1001", codec="PCMA"), phones("1002", codec="G722")
    connect(a, b, "1002")
    b.hold()
    held(a, tune)
    b.resume()
    since = taken_back(a, tune)
    b.say(HERS)
    a.hears(HERS, since)
