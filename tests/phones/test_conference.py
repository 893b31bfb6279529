"""Three phones in the meeting room of the demo office, each in another codec."""
import pytest

from office import wait_until
from phone import prompt

HIS = prompt("cannot-complete-as-dialed")
HERS = prompt("feature-not-avail-line")


@pytest.fixture
def room(office):
    """Without music: the first to come isn't left alone for long, and it takes seconds to be prepared."""
    office.change("UPDATE pbx.conference SET music_class = NULL WHERE number = '420'")
    yield office
    office.change("UPDATE pbx.conference SET music_class = 'default' WHERE number = '420'")


def test_three_phones_hear_each_other(phones, room):
    a, b, c = phones("1001"), phones("1002", codec="G722"), phones("1003", codec="PCMA")
    for phone in (a, b, c):
        phone.call("420")
    wait_until(lambda: room.sql("SELECT count(*) FROM pbx.conference_member WHERE number = '420'") == [(3,)])
    a.listens(4)                                              # he has been told that he was alone
    for speaker, words, others in ((b, HIS, (a, c)), (a, HERS, (b, c))):
        since = {phone: phone.mark() for phone in (a, b, c)}
        speaker.say(words)
        for phone in others:
            assert phone.hears(words, since[phone]).same
        assert not speaker.look_for(words, since[speaker]).same
    c.press("*1")
    assert room.wait_sql("SELECT muted FROM pbx.conference_member WHERE caller = '1003'")
    for phone in (a, b, c):
        phone.hangup()
    wait_until(lambda: not room.sql("SELECT FROM pbx.conference_member"))
