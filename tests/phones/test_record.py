"""A recorded call: what each has said is on his channel."""
import wave

import pytest

from office import wait_until
from phone import Clip, compare, prompt
from test_calls import connect

HIS = prompt("cannot-complete-as-dialed")
HERS = prompt("feature-not-avail-line")


@pytest.fixture
def recorded(office):
    office.sql("DELETE FROM pbx.recording")
    office.change("UPDATE pbx.domain SET record = 'all'")
    yield
    office.change("UPDATE pbx.domain SET record = 'none'")


def channel(path, which, to):
    with wave.open(path) as file, wave.open(str(to), "wb") as out:
        out.setparams(file.getparams()._replace(nchannels=1))
        frames = file.readframes(file.getnframes())
        out.writeframes(b"".join(frames[i + 2 * which:i + 2 * which + 2] for i in range(0, len(frames), 4)))
    return to


def test_each_is_on_his_channel_of_the_recording(phones, office, recorded, tmp_path):
    a, b = phones("1001", codec="PCMU"), phones("1002", codec="G722")
    connect(a, b, "1002")
    since = b.mark()
    a.say(HIS)
    b.hears(HIS, since)
    since = a.mark()
    b.say(HERS)
    a.hears(HERS, since)
    a.hangup()
    b.wait("CALL_CLOSED")
    path, channels, talk_ms, ms = wait_until(lambda: office.sql(
        "SELECT r.path, r.channels, c.talk_ms, r.duration_ms FROM pbx.recording AS r JOIN pbx.recording_segment AS s USING (domain, recording)"
        " JOIN pbx.cdr AS c USING (call) WHERE r.result = 'complete'"))[0]
    assert channels == 2 and abs(talk_ms - ms) < 1000
    left, right = channel(path, 0, tmp_path / "left.wav"), channel(path, 1, tmp_path / "right.wav")
    his, hers = compare(HIS.file(), left), compare(HERS.file(), right)
    assert his.same and hers.same
    assert his["offset_ms"] + HIS.seconds * 1000 < hers["offset_ms"] + 500   # one after the other
    assert not compare(HERS.file(), left).same and not compare(HIS.file(), right).same
    assert abs(Clip(left).seconds * 1000 - ms) < 2
