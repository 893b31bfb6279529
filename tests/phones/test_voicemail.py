"""Messages: left, stored, shown, listened to."""
import io
import re
import uuid

import pytest

from office import wait_until
from phone import BEEP, Clip, compare, prompt
from test_calls import connect, talk

SAID = prompt("feature-not-avail-line")
ALSO = prompt("check-number-dial-again")


def counts(event):
    """Of a NOTIFY: (waiting, new, saved)."""
    text = event["param"]
    waiting = re.search(r"Messages-Waiting: *(\w+)", text).group(1)
    new, saved = re.search(r"Voice-Message: *(\d+)/(\d+)", text).groups()
    return waiting, int(new), int(saved)


def put(office, number, clip, folder="new", caller="1009", days=0):
    """A message from somewhere else."""
    office.sql("""INSERT INTO pbx.voicemail (id, domain, number, folder, received, caller_number, duration_ms, sound)
                  VALUES (%s, 'office', %s, %s, now() - make_interval(days => %s), %s, %s, %s)""",
               str(uuid.uuid4()), number, folder, days, caller, int(clip.seconds * 1000), clip.file(8000).read_bytes())


@pytest.fixture
def mailbox(office):
    """The number of a mailbox that is empty before and after."""
    office.change("DELETE FROM pbx.voicemail WHERE domain = 'office'")
    yield "1003"
    office.change("DELETE FROM pbx.voicemail WHERE domain = 'office'")


def test_lamp_follows_the_mailbox(phones, office, mailbox):
    phone = phones(mailbox, mwi=True)
    assert counts(phone.wait("MWI_NOTIFY")) == ("no", 0, 0)
    put(office, mailbox, SAID)
    assert counts(phone.wait("MWI_NOTIFY")) == ("yes", 1, 0)
    put(office, mailbox, SAID, folder="saved")
    assert counts(phone.wait("MWI_NOTIFY")) == ("yes", 1, 1)
    office.sql("UPDATE pbx.voicemail SET deleted = now() WHERE number = %s AND folder = 'new'", mailbox)
    assert counts(phone.wait("MWI_NOTIFY")) == ("no", 0, 1)
