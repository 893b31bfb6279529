"""Recordings of calls: whose are made, what is in them, and what becomes of them."""
import math
import os
import resource
import struct
import wave

import psycopg2.extras
import pytest

from office import wait_until
from rtp import Rtp, audioop, tone
from sip import Phone, media_of, sdp
from test_media import PCMU, talk
from transfers import answers, bye, notified, phones, progress, refer, rings, take_bye
from transfers import talk as talk_alone

LEFT_HZ, RIGHT_HZ, THIRD_HZ = 400, 1000, 1700
RESET = """
UPDATE pbx.extension SET record = NULL, record_on_demand = false;
UPDATE pbx.domain SET record = 'none', record_format = DEFAULT, record_stereo = DEFAULT, record_path = DEFAULT, record_keep = NULL;
"""


def rows_of(office, text, *args):
    """With names."""
    office.sql("SELECT 1")
    with office.connection.cursor(cursor_factory=psycopg2.extras.NamedTupleCursor) as cursor:
        cursor.execute(text, args or None)
        return cursor.fetchall()


def wait_rows(office, text, *args):
    return wait_until(lambda: rows_of(office, text, *args))


@pytest.fixture
def recording(office):
    """A function that waits for the one recording there is to have ended: its row, its segments."""
    office.sql("DELETE FROM pbx.recording")

    def ended():
        row = wait_rows(office, "SELECT recording, path, format, channels, caller, callee, started_by, result, bytes, duration_ms, lost_ms"
                              " FROM pbx.recording WHERE ended IS NOT NULL")[0]
        return row, rows_of(office, "SELECT s.call, extract(epoch FROM s.ended - s.started)::float AS seconds FROM pbx.recording_segment AS s"
                               " WHERE recording = %s ORDER BY position", row.recording)
    yield ended
    office.change(RESET)


class Sound:
    """A WAV file's channels."""

    def __init__(self, path):
        with wave.open(path) as f:
            self.rate, n, channels = f.getframerate(), f.getnframes(), f.getnchannels()
            samples = struct.unpack(f"<{n * channels}h", f.readframes(n))
        self.seconds = n / self.rate
        self.channels = [samples[c::channels] for c in range(channels)]

    def levels(self, channel, hz, begin=0, end=None):
        """Of a tone in a channel, of 1, each 20 ms between two times in s: packets of a busy sender are not joined smoothly."""
        part = self.channels[channel][int(begin * self.rate):None if end is None else int(end * self.rate)]
        n, w = self.rate // 50, 2 * math.pi * hz / self.rate
        wave_of = [(math.cos(w * i), math.sin(w * i)) for i in range(n)]
        for at in range(0, len(part) - n + 1, n):
            re = sum(s * c for s, (c, _) in zip(part[at:], wave_of))
            im = sum(s * c for s, (_, c) in zip(part[at:], wave_of))
            yield 2 * math.hypot(re, im) / n / 32768

    def level(self, *where):
        levels = list(self.levels(*where))
        return sum(levels) / max(len(levels), 1)


def sings(side, hz):
    side.rtp.payload = tone(hz)
    side.rtp.start()


def sing(here, there, packets=40):
    """Each hears the other's tone for so long."""
    sings(here, LEFT_HZ)
    sings(there, RIGHT_HZ)
    here.rtp.wait_received(packets)
    there.rtp.wait_received(packets)


@pytest.mark.parametrize("policy, is_recorded", [
    ("UPDATE pbx.extension SET record = 'inbound' WHERE number = '1002'", True),
    ("UPDATE pbx.extension SET record = 'outbound' WHERE number = '1001'", True),
    ("UPDATE pbx.domain SET record = 'all'", True),
    ("UPDATE pbx.extension SET record = 'outbound' WHERE number = '1002'", False),
    ("UPDATE pbx.domain SET record = 'all'; UPDATE pbx.extension SET record = 'none'", False),
])
def test_policy_says_which_calls_are_recorded(office, recording, policy, is_recorded):
    office.change(policy)
    with talk(office) as (here, there):
        sing(here, there)
    if not is_recorded:
        wait_rows(office, "SELECT call FROM pbx.cdr WHERE dialled = '91002' AND ended > now() - interval '5 seconds'")
        assert not office.sql("SELECT recording FROM pbx.recording")
        return
    row, segments = recording()
    assert (row.result, row.format, row.channels, row.started_by, row.lost_ms) == ("complete", "wav", 2, "policy", 0)
    assert (row.caller, row.callee) == ("1001", "1002")
    assert os.path.getsize(row.path) == row.bytes
    sound = Sound(row.path)
    assert abs(sound.seconds * 1000 - row.duration_ms) < 2
    middle = sound.seconds / 2
    assert sound.level(0, LEFT_HZ, middle - 0.2, middle + 0.2) > 0.1 and sound.level(1, RIGHT_HZ, middle - 0.2, middle + 0.2) > 0.1
    assert sound.level(0, RIGHT_HZ) < 0.02 and sound.level(1, LEFT_HZ) < 0.02
    talked = wait_rows(office, "SELECT talk_ms FROM pbx.cdr WHERE call = %s", segments[0].call)[0].talk_ms
    assert abs(sum(s.seconds for s in segments) * 1000 - talked) < 1000 and abs(row.duration_ms - talked) < 1000


def test_key_begins_it_and_keeps_secrets_out(office, recording):
    """What is said in a pause is not in the file; who may not, doesn't record."""
    office.change("UPDATE pbx.extension SET record_on_demand = true WHERE number = '1002'")
    with talk(office) as (here, there):
        for digit in "*1":                                   # he may not
            here.rtp.send_event(digit)
        there.rtp.wait_received(1, pt=101)
        sing(here, there, 10)
        since = office.log_path.stat().st_size
        for digit in "**1":
            there.rtp.send_event(digit)
        office.wait_log("recording=.* begins", since)
        sing(here, there, 25)
        for digit in "*1":
            there.rtp.send_event(digit)
        office.wait_log("recording=.* pauses", since)
        sings(here, THIRD_HZ)
        there.rtp.wait_received(50)
        sings(here, LEFT_HZ)
        there.rtp.wait_received(10)
        for digit in "*1":
            there.rtp.send_event(digit)
        office.wait_log("recording=.* goes on", since)
        there.rtp.wait_received(25)
    row, segments = recording()
    assert (row.result, row.started_by, len(segments)) == ("complete", "1002", 2)
    sound = Sound(row.path)
    assert sound.level(0, LEFT_HZ) > 0.1 and max(sound.levels(0, THIRD_HZ)) < 0.1      # one packet would have 0.24
    assert abs(sum(s.seconds for s in segments) - sound.seconds) < 0.3


def test_step_decides_for_itself(office, recording):
    office.change("""
        UPDATE pbx.domain SET record_format = 'flac', record_stereo = false, record_path = 'steps/${caller}-${number}-${recording}';
        INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_77XXXX', 'Recorded');
        INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
            ('office', 'office', '_77XXXX', 1, 'record', '{}'), ('office', 'office', '_77XXXX', 2, 'dial', '{"number": "${number:2}"}')""")
    try:
        with talk(office, number="771002") as (here, there):
            sing(here, there)
        row, _ = recording()
        assert (row.result, row.format, row.channels, row.started_by) == ("complete", "flac", 1, "step")
        assert row.path.endswith(f"/recordings/steps/1001-771002-{row.recording}.flac")
        with open(row.path, "rb") as f:
            assert f.read(4) == b"fLaC"
        office.change("""UPDATE pbx.step SET args = '{"action": "stop"}' WHERE pattern = '_77XXXX' AND app = 'record';
                         UPDATE pbx.domain SET record = 'all'""")
        with talk(office, number="771002") as (here, there):
            sing(here, there, 5)
        assert len(office.sql("SELECT recording FROM pbx.recording")) == 1
    finally:
        office.change("DELETE FROM pbx.route WHERE pattern = '_77XXXX'")


def beeps(rtp):
    """How many of the packets that a phone got have the beep in them."""
    n = 0
    for packet in rtp.received:
        pcm = struct.unpack(f"<{len(packet.payload)}h", audioop.ulaw2lin(packet.payload, 2)) if packet.pt == 0 else ()
        step = 2 * math.pi * 1400 / 8000
        n += bool(pcm) and math.hypot(sum(s * math.cos(step * i) for i, s in enumerate(pcm)),
                                      sum(s * math.sin(step * i) for i, s in enumerate(pcm))) * 2 / len(pcm) > 1000
    return n


def test_step_records_all_that_follows_and_both_hear_a_beep(office, recording):
    """What is played before they talk is on the other's channel."""
    office.change("""
        INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_77XXXX', 'Recorded');
        INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
            ('office', 'office', '_77XXXX', 1, 'record', '{"from": "now", "beep": "once"}'), ('office', 'office', '_77XXXX', 2, 'answer', '{}'),
            ('office', 'office', '_77XXXX', 3, 'tones', '{"tone": "dial", "seconds": "1"}'),
            ('office', 'office', '_77XXXX', 4, 'dial', '{"number": "${number:2}"}')""")
    try:
        with Phone(office, "1001") as caller, Phone(office, "1002") as callee, Rtp(caller.addr) as left, Rtp(callee.addr) as right:
            assert callee.register().status == 200
            here = caller.invite("771002", sdp(caller.addr, left.port, PCMU))
            ok = here.expect(200)
            here.ack(ok)
            there = callee.answer_invite()
            there.answer(sdp(callee.addr, right.port, PCMU))
            left.payload, right.payload = tone(LEFT_HZ), tone(RIGHT_HZ)
            left.start(media_of(ok.body))
            right.start(media_of(there.invite.body))
            wait_until(lambda: beeps(left) >= 8 and beeps(right) >= 8)
            here.send("BYE")
            there.take_bye()
            here.expect(200)
            callee.unregister()
    finally:
        office.change("DELETE FROM pbx.route WHERE pattern = '_77XXXX'")
    row, segments = recording()
    assert (row.result, row.started_by, row.caller, row.callee) == ("complete", "step", "1001", "1002")
    talked = wait_rows(office, "SELECT talk_ms FROM pbx.cdr WHERE call = %s", segments[0].call)[0].talk_ms
    sound = Sound(row.path)
    loud = [abs(s) > 300 for s in sound.channels[1][:int(sound.rate * 1.0)]]   # the dial tone, while the left one is silent
    assert sum(loud) > sound.rate * 0.3 and max(map(abs, sound.channels[0][:int(sound.rate * 0.9)])) < 100
    assert abs(sound.seconds - sum(s.seconds for s in segments)) < 0.5 and talked <= sound.seconds * 1000 + 500


def test_recording_goes_with_the_call_through_a_transfer(office, recording):
    """pain 10: B, whose calls are recorded, is sent on by A to C; both talks are in one file."""
    office.change("UPDATE pbx.extension SET record = 'all' WHERE number = '1002'")
    with phones(office, "1001", "1002", "1003") as (a, b, c), Rtp(a.addr, 40000) as at_a_rtp, Rtp(b.addr, 40000) as at_b_rtp, \
            Rtp(c.addr, 40000) as at_c_rtp:
        at_a, at_b = talk_alone(a, b)
        for d, rtp, hz in ((at_a, at_a_rtp, LEFT_HZ), (at_b, at_b_rtp, RIGHT_HZ)):
            rtp.payload = tone(hz)
            rtp.start(media_of(d.answered.body if d.is_caller else d.invite.body)[:2])
        at_a_rtp.wait_received(40)
        at_b_rtp.wait_received(10)
        refer(at_a, "91003")
        at_c = rings(c)
        assert notified(at_a) == 100
        assert notified(at_a) == 180
        answers(at_c)
        assert progress(at_a) == [200]
        at_c_rtp.payload = tone(THIRD_HZ)
        at_c_rtp.start(media_of(at_c.invite.body)[:2])
        bye(at_a)
        at_c_rtp.wait_received(40)
        bye(at_c)
        take_bye(at_b)
    row, segments = recording()
    assert row.result == "complete" and len(segments) == 2 and segments[0].call != segments[1].call
    calls = {s.call: s.seconds for s in segments}
    for call, seconds in calls.items():
        assert abs(wait_rows(office, "SELECT talk_ms FROM pbx.cdr WHERE call = %s", call)[0].talk_ms / 1000 - seconds) < 1
    sound = Sound(row.path)
    assert abs(sound.seconds - sum(calls.values())) < 0.5
    first = segments[0].seconds
    # B was called at first; where he went he is the one who calls.
    assert sound.level(0, LEFT_HZ, 0.3, first) > 0.1 and sound.level(1, RIGHT_HZ, 0.3, first) > 0.1
    assert sound.level(1, THIRD_HZ, first + 0.3) > 0.1 and sound.level(0, RIGHT_HZ, first + 0.3) > 0.1


def test_full_disk_ends_it_and_nothing_else(office, recording):
    """What there is room for is a file that can be played; the call goes on."""
    office.change("UPDATE pbx.domain SET record = 'all'")
    before = resource.prlimit(office.process.pid, resource.RLIMIT_FSIZE)
    try:
        with talk(office) as (here, there):
            office.wait_sql("SELECT recording FROM pbx.recording WHERE result = 'recording'")
            resource.prlimit(office.process.pid, resource.RLIMIT_FSIZE, (20000, before[1]))
            sings(here, LEFT_HZ)
            sings(there, RIGHT_HZ)
            row, _ = recording()
            resource.prlimit(office.process.pid, resource.RLIMIT_FSIZE, before)
            sing(here, there, 10)
    finally:
        resource.prlimit(office.process.pid, resource.RLIMIT_FSIZE, before)
    assert row.result == "disk_full"
    sound = Sound(row.path)
    assert 0.3 < sound.seconds < 20000 / 32000 and abs(sound.seconds * 1000 - row.duration_ms) < 2
    assert os.path.getsize(row.path) == row.bytes <= 20000


def test_recordings_are_removed_when_they_have_been_kept(office, recording):
    office.change("UPDATE pbx.domain SET record = 'all', record_path = 'kept/${recording}'")
    with talk(office) as (here, there):
        sing(here, there, 10)
    row, _ = recording()
    assert os.path.exists(row.path)
    office.sql("UPDATE pbx.recording SET ended = now() - interval '8 days', started = now() - interval '8 days'")
    office.sql("INSERT INTO pbx.recording VALUES (gen_random_uuid(), 'office', 'test', '/etc/hostname', 'wav', 1, '', '', 'policy', now() - interval '9 days',"
               " now() - interval '9 days', 'complete')")
    office.change("UPDATE pbx.domain SET record_keep = '7 days'")
    wait_until(lambda: not os.path.exists(row.path))
    wait_until(lambda: [path for path, in office.sql("SELECT path FROM pbx.recording")] == ["/etc/hostname"])
    assert os.path.exists("/etc/hostname") and not os.path.exists(os.path.dirname(row.path))


def test_all_that_have_been_kept_are_removed_however_many(office, recording):
    folder = office.dir / "spool" / "recordings"
    office.sql("INSERT INTO pbx.recording SELECT gen_random_uuid(), 'office', 'test', %s || '/gone/' || n, 'wav', 1, '', '', 'policy',"
               " now() - interval '9 days', now() - interval '9 days', 'complete' FROM generate_series(1, 450) AS n", str(folder))
    office.change("UPDATE pbx.domain SET record_keep = '7 days'")
    wait_until(lambda: not office.sql("SELECT recording FROM pbx.recording"))


def test_what_a_dead_server_recorded_is_interrupted(own_office):
    own_office.change("UPDATE pbx.domain SET record = 'all'")
    with talk(own_office) as (here, there):
        sing(here, there, 75)
        own_office.wait_sql("SELECT recording FROM pbx.recording WHERE result = 'recording'")
        path = own_office.sql("SELECT path FROM pbx.recording")[0][0]
        wait_until(lambda: os.path.getsize(path) > 44)
        own_office.kill()
        own_office.start_server()
        here.is_over = True
    assert own_office.wait_sql("SELECT result FROM pbx.recording WHERE ended IS NOT NULL")[0][0] == "interrupted"
    assert Sound(path).seconds > 0
