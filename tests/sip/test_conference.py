"""Conference rooms: who gets in, who hears whom, what the keys do, and what SQL shows of it."""
import contextlib
import math
import struct

import pytest

from office import SLOW, wait_until
from rtp import Rtp, audioop, tone
from sip import Phone, media_of, sdp

PCMU = [(0, "PCMU/8000"), (101, "telephone-event/8000")]
HZ = {"1001": 500, "1002": 800, "1003": 1250}                 # whole waves in 20 ms: a packet joins itself
LISTEN = 10                                                   # packets


class Member:
    """A phone that calls the room, with a pitch of its own."""

    def __init__(self, office, user, stack):
        self.user = user
        self.phone = stack.enter_context(Phone(office, user))
        self.rtp = stack.enter_context(Rtp(self.phone.addr))
        self.rtp.payload = tone(HZ[user])
        self.call = None

    def dial(self, number):
        self.call = self.phone.invite(number, sdp(self.phone.addr, self.rtp.port, PCMU))
        ok = self.call.expect(200)
        self.call.ack(ok)
        self.rtp.send_to(media_of(ok.body))
        return self

    def press(self, keys):
        for key in keys:
            self.rtp.send_event(key)
        return self

    def talk(self):
        self.rtp.start()
        return self

    def hears(self):
        """Whose pitches there are in the next packets."""
        packets = self.rtp.wait_received(LISTEN, pt=0)[-LISTEN:]
        pcm = audioop.ulaw2lin(b"".join(p.payload for p in packets), 2)
        samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)

        def level(hz):
            step = 2 * math.pi * hz / 8000
            return 2 * math.hypot(sum(s * math.cos(step * i) for i, s in enumerate(samples)),
                                  sum(s * math.sin(step * i) for i, s in enumerate(samples))) / len(samples)
        return {user for user, hz in HZ.items() if level(hz) > 2000}   # of 8,000; a neighbour leaks far less

    def wait_hears(self, *users):
        """Until these are heard, and nobody else."""
        wait_until(lambda: self.hears() == set(users), 10)

    def hang_up(self):
        self.rtp.stop()
        self.call.bye()

    def is_sent_away(self, timeout=15):
        self.call.take_bye(timeout=timeout * SLOW)


class Room:
    def __init__(self, office, stack):
        self.office, self.stack = office, stack

    def set(self, **columns):
        self.office.change("UPDATE pbx.conference SET " + ", ".join(f"{c} = %s" for c in columns) + " WHERE number = '880'",
                           *columns.values())

    def pins(self, members, moderators=None):
        self.office.change("SELECT pbx.set_conference_pin('office', '880', %s, %s)", members, moderators)

    def dial(self, user):
        return Member(self.office, user, self.stack).dial("880")

    def rows(self, columns="caller"):
        return self.office.sql(f"SELECT {columns} FROM pbx.conference_member WHERE number = '880' ORDER BY caller")

    def wait_rows(self, want, columns="caller"):
        wait_until(lambda: self.rows(columns) == want, 10)


@pytest.fixture
def room(office):
    office.change("""INSERT INTO pbx.conference (domain, number, name, tones) VALUES ('office', '880', 'Test', false);
                     INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '880');
                     INSERT INTO pbx.step (domain, context, pattern, position, app, args)
                     VALUES ('office', 'office', '880', 1, 'conference', '{"conference": "880"}')""")
    try:
        with contextlib.ExitStack() as stack:
            yield Room(office, stack)
        wait_until(lambda: not office.sql("SELECT FROM pbx.conference_member"), 10)
    finally:
        office.change("DELETE FROM pbx.route WHERE pattern = '880'; DELETE FROM pbx.conference WHERE number = '880'")


def test_three_hear_each_other(room):
    a, b, c = (room.dial(user).talk() for user in HZ)
    room.wait_rows([("1001", False, True), ("1002", False, True), ("1003", False, True)], "caller, muted, talking")
    a.wait_hears("1002", "1003")
    b.wait_hears("1001", "1003")
    c.wait_hears("1001", "1002")
    b.press("*1")                                             # muted
    room.wait_rows([("1001", False, True), ("1002", True, False), ("1003", False, True)], "caller, muted, talking")
    a.wait_hears("1003")
    b.wait_hears("1001", "1003")                              # once he has been told
    b.press("*1")
    a.wait_hears("1002", "1003")
    c.rtp.stop()
    room.wait_rows([("1001", True), ("1002", True), ("1003", False)], "caller, talking")
    c.press("*#")                                             # his route has no further step
    c.is_sent_away()
    room.wait_rows([("1001",), ("1002",)])
    a.hang_up()
    b.hang_up()


def test_room_is_recorded(room):
    """All who talk, in one channel; a moderator's pause isn't in it; who was there is in its segments."""
    from test_record import Sound
    room.set(record=True)
    room.pins(None, "98765")
    log, since = room.office.wait_log, room.office.log_path.stat().st_size
    a = room.dial("1001").press("98765#")
    b = room.dial("1002").press("#")
    log("recording=.* begins", since)
    a.talk()
    b.talk()
    a.wait_hears("1002")
    b.wait_hears("1001")
    a.press("*5")
    log("recording=.* pauses", since)
    b.hang_up()
    room.wait_rows([("1001",)])
    a.hang_up()
    path, channels, result = room.office.wait_sql("SELECT path, channels, result FROM pbx.recording WHERE conference = '880' AND ended IS NOT NULL")[0]
    assert (channels, result) == (1, "complete")
    assert len(room.office.sql("SELECT DISTINCT call FROM pbx.recording_segment JOIN pbx.recording USING (recording) WHERE conference = '880'")) == 2
    sound = Sound(path)
    assert max(sound.levels(0, HZ["1001"])) > 0.05 and max(sound.levels(0, HZ["1002"])) > 0.05


def test_who_holds_is_not_heard(room):
    a, b = (room.dial(user).talk() for user in ("1001", "1002"))
    a.wait_hears("1002")
    b.call.send("INVITE", sdp(b.phone.addr, b.rtp.port, PCMU, "sendonly", 2))
    b.call.ack(b.call.expect(200))
    a.wait_hears()                                            # though he goes on sending
    b.call.send("INVITE", sdp(b.phone.addr, b.rtp.port, PCMU, "sendrecv", 3))
    b.call.ack(b.call.expect(200))
    a.wait_hears("1002")
    a.hang_up()
    b.hang_up()


def test_pins_of_members_and_moderators(room):
    room.pins("1234", "98765")
    a, b = room.dial("1001"), room.dial("1002")
    a.press("1234#")
    b.press("4321#")
    room.wait_rows([("1001", False)], "caller, moderator")
    b.press("98765#")
    room.wait_rows([("1001", False), ("1002", True)], "caller, moderator")
    a.hang_up()
    b.hang_up()


def test_who_does_not_know_the_pin_stays_outside(room):
    room.pins("1234")
    a = room.dial("1001").press("1#").press("22#").press("1235#")
    a.is_sent_away()
    assert room.rows() == []


def test_a_full_room_takes_nobody(room):
    room.set(max_members=2)
    a, b = room.dial("1001"), room.dial("1002")
    room.wait_rows([("1001",), ("1002",)])
    c = room.dial("1003")
    mark = len(room.office.log)
    c.is_sent_away()
    room.office.wait_log("app=conference result=busy", mark)
    a.hang_up()
    b.hang_up()


def test_members_wait_for_a_moderator_who_locks_and_sends_out(room):
    room.pins(None, "5555")
    room.set(wait_for_moderator=True)
    a, b = room.dial("1001").press("#").talk(), room.dial("1002").press("#").talk()
    room.wait_rows([("1001",), ("1002",)])
    a.wait_hears()
    b.wait_hears()
    c = room.dial("1003").press("5555#")
    a.wait_hears("1002")
    b.wait_hears("1001")
    c.press("*2")
    room.office.wait_log("conference=880 locked")
    a.press("*#")
    a.is_sent_away()
    a = room.dial("1001").press("#")                          # and doesn't come back in
    a.is_sent_away()
    c.press("*3")
    b.is_sent_away()
    room.wait_rows([("1003",)])
    c.hang_up()


def test_a_server_that_starts_has_nobody_in_its_rooms(own_office):
    own_office.sql("""INSERT INTO pbx.conference_member (call, domain, number, node)
                      VALUES (gen_random_uuid(), 'office', '880', 'test'), (gen_random_uuid(), 'office', '880', 'other')""")
    own_office.restart()
    assert own_office.wait_sql("SELECT count(*) = 1 FROM pbx.conference_member")
