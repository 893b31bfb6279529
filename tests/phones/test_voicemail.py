"""Messages: left, stored, shown, listened to."""
import re
import uuid

import pytest

from office import SLOW
from phone import BEEP, compare, prompt

SAID = prompt("cannot-complete-as-dialed")
ALSO = prompt("check-number-dial-again")
DIGITS = {digit: prompt(f"digits/{digit}") for digit in "0123456789"}


def counts(event):
    """Of a NOTIFY: (waiting, new, saved)."""
    text = event["param"]
    waiting = re.search(r"Messages-Waiting: *(\w+)", text).group(1)
    new, saved = re.search(r"Voice-Message: *(\d+)/(\d+)", text).groups()
    return waiting, int(new), int(saved)


def put(office, number, clip, folder="new", caller="1009", days=0):
    """A message from somewhere else, left at half past ten: its time is said without single digits."""
    office.sql("""INSERT INTO pbx.voicemail (id, domain, number, folder, received, caller_number, duration_ms, sound)
                  VALUES (%s, 'office', %s, %s, date_trunc('day', now(), 'UTC') + '10:30' - make_interval(days => %s), %s, %s, %s)""",
               str(uuid.uuid4()), number, folder, days, caller, int(clip.seconds * 1000), clip.file(8000).read_bytes())


def stored(office, number, table="voicemail"):
    """Waits for the one message of a mailbox, or its one greeting; returns its row."""
    rows = office.wait_sql(f"SELECT * FROM pbx.{table} WHERE domain = 'office' AND number = %s", number)
    assert len(rows) == 1
    names = [name for name, in office.sql("""SELECT column_name FROM information_schema.columns
        WHERE table_schema = 'pbx' AND table_name = %s ORDER BY ordinal_position""", table)]
    return dict(zip(names, rows[0]))


def is_said(row, clip, tmp_path):
    """Is the stored sound what was said, as long as the row says and not much longer?"""
    path = tmp_path / "stored.wav"
    path.write_bytes(row["sound"])
    heard = compare(clip.file(), path)
    assert heard.same, heard
    assert clip.seconds * 1000 - 200 <= row["duration_ms"] < clip.seconds * 1000 + 4000 * SLOW
    return True


def hear_all(phone, since, *clips):
    """Hears them one after the other; returns where the last ended."""
    for clip in clips:
        since = phone.hears(clip, since)["end_s"] - 0.1
    return since


def leave(phone, number, clip):
    """Calls, skips the greeting, speaks behind the beep."""
    phone.call(number)
    phone.press("#")
    phone.hears(BEEP)
    phone.says(clip)


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


def test_who_is_not_registered_has_a_message_taken(phones, office, mailbox, tmp_path):
    a = phones("1001")
    a.call(mailbox)
    hear_all(a, 0, prompt("vm-theperson"), *(DIGITS[d] for d in mailbox), prompt("vm-isunavail"), prompt("vm-intro"), BEEP)
    a.says(SAID)
    a.hangup()
    row = stored(office, mailbox)
    assert is_said(row, SAID, tmp_path)
    assert (row["folder"], row["caller_number"], row["caller_name"]) == ("new", "1001", "Olive Operator")


def test_who_does_not_answer_sees_the_lamp_and_hears_the_message(phones, office, mailbox, tmp_path):
    a, b = phones("1001", codec="G722"), phones(mailbox, mwi=True)
    b.wait("MWI_NOTIFY")
    office.change("UPDATE pbx.extension SET ring_s = 1 WHERE number = %s", mailbox)
    try:
        a.dial(mailbox)
        b.wait("CALL_INCOMING")
        b.wait("CALL_CLOSED")
        a.wait("CALL_ESTABLISHED")
        a.press("#")
        a.hears(BEEP)
        a.says(SAID)
        a.hangup()
    finally:
        office.change("UPDATE pbx.extension SET ring_s = 20 WHERE number = %s", mailbox)
    assert counts(b.wait("MWI_NOTIFY")) == ("yes", 1, 0)
    assert is_said(stored(office, mailbox), SAID, tmp_path)
    # And now its owner.
    b.call("*97")
    hear_all(b, 0, prompt("vm-youhave"), DIGITS["1"], prompt("vm-INBOX"))
    b.press("1")
    since = hear_all(b, b.mark(), prompt("vm-message"), DIGITS["1"], *(DIGITS[d] for d in "1001"), SAID)
    b.press("7")
    b.hears(prompt("vm-deleted"), since)
    b.hangup()
    assert stored(office, mailbox)["deleted"]
    assert counts(b.wait("MWI_NOTIFY", param="0/0"))[0] == "no"


def test_caller_of_a_busy_phone_records_again_and_accepts(phones, office, mailbox, tmp_path):
    a, b = phones("1001"), phones(mailbox)
    a.dial(mailbox)
    b.wait("CALL_INCOMING")
    b.hangup()                           # says 486
    a.wait("CALL_ESTABLISHED")
    a.hears(prompt("vm-isonphone"))
    a.press("#")
    since = hear_all(a, 0, BEEP)
    a.says(SAID)
    a.press("#")
    since = hear_all(a, since, prompt("vm-review").part(0, 2))
    a.press("2")
    since = hear_all(a, since, SAID)
    a.press("3")
    hear_all(a, since, BEEP)
    a.says(ALSO)
    a.press("#1")                        # accepts while it is asked
    a.hears(prompt("vm-msgsaved"), since)
    a.wait("CALL_CLOSED")
    row = stored(office, mailbox)
    assert is_said(row, ALSO, tmp_path)


def test_caller_deletes_what_he_said(phones, office, mailbox):
    a = phones("1001")
    leave(a, f"**{mailbox}", SAID)
    a.press("#*")
    a.hears(prompt("vm-deleted"))
    a.wait("CALL_CLOSED")
    assert office.sql("SELECT count(*) FROM pbx.voicemail WHERE number = %s", mailbox) == [(0,)]


def test_who_says_nothing_leaves_nothing(phones, office, mailbox):
    a = phones("1001")
    a.call(f"**{mailbox}")
    a.press("#")
    since = hear_all(a, 0, BEEP)
    a.press("#")
    a.hears(prompt("vm-tooshort"), since)
    a.hangup()
    leave(a, f"**{mailbox}", SAID)
    a.hangup()
    stored(office, mailbox)              # one


def test_message_is_left_without_ringing(phones, office, mailbox, tmp_path):
    a, b = phones("1001"), phones(mailbox)
    leave(a, f"**{mailbox}", SAID)
    a.hangup()
    assert is_said(stored(office, mailbox), SAID, tmp_path)
    assert not b.has("CALL_INCOMING")


def test_menu_takes_a_message_for_the_operator(phones, office, mailbox, tmp_path):
    a = phones("1002")
    a.call("400")
    a.press("9")
    a.hears(prompt("vm-theperson"))
    a.press("#")
    a.hears(BEEP)
    a.says(SAID)
    a.hangup()
    assert is_said(stored(office, "1001"), SAID, tmp_path)


def test_messages_are_announced_in_order(phones, office, mailbox):
    put(office, mailbox, SAID, caller="1009", days=1)
    put(office, mailbox, ALSO, caller="")
    b = phones(mailbox)
    b.call("*97")
    b.press("1")
    since = hear_all(b, 0, prompt("vm-message"), DIGITS["1"], prompt("digits/yesterday"), prompt("vm-from"), DIGITS["9"], SAID)
    b.press("6")
    hear_all(b, since, prompt("vm-message"), DIGITS["2"], prompt("digits/today"), prompt("vm-unknown-caller"), ALSO)


def test_owner_goes_through_his_messages(phones, office, mailbox):
    put(office, mailbox, SAID, days=1)
    put(office, mailbox, ALSO)
    b = phones(mailbox)
    b.call("*97")
    b.press("16")                        # the next while the first is announced
    since = hear_all(b, 0, prompt("vm-message"), DIGITS["2"])
    for key, answer in (("7", "vm-deleted"), ("7", "vm-undeleted"), ("6", "vm-nomore"), ("4", "vm-message"), ("9", "vm-msgsaved")):
        b.press(key)
        since = hear_all(b, since, prompt(answer))
    b.press("6")
    since = hear_all(b, since, ALSO)
    b.press("*")
    hear_all(b, since, prompt("vm-youhave"), prompt("vm-no"), DIGITS["2"], prompt("vm-saved"))
    assert office.sql("SELECT folder, deleted FROM pbx.voicemail WHERE number = %s", mailbox) == [("saved", None)] * 2
    b.press("#")
    b.hears(prompt("vm-goodbye"))
    b.wait("CALL_CLOSED")


def test_any_mailbox_wants_number_and_pin(phones, office, mailbox):
    put(office, mailbox, SAID)
    a = phones("1002")
    a.call("*98")
    a.hears(prompt("vm-mailbox"))
    a.press(f"{mailbox}#")
    since = hear_all(a, 0, prompt("vm-password"))
    a.press("9999#")
    since = hear_all(a, since, prompt("vm-incorrect-mailbox"))
    a.press(f"{mailbox}#")
    since = hear_all(a, since, prompt("vm-password"))
    a.press(f"{mailbox}#")               # the demo office's PINs
    hear_all(a, since, prompt("vm-youhave"), DIGITS["1"], prompt("vm-INBOX"))


def test_owner_changes_his_pin(phones, office, mailbox):
    b = phones(mailbox)
    try:
        b.call("*97")
        b.press("05")
        since = hear_all(b, 0, prompt("vm-newpassword"))
        b.press("4321#")
        since = hear_all(b, since, prompt("vm-reenterpassword"))
        b.press("4321#")
        b.hears(prompt("vm-passchanged"), since)
        b.hangup()
        b.call("*98")
        b.press(f"{mailbox}#")
        since = hear_all(b, 0, prompt("vm-password"))
        b.press("4321#")
        b.hears(prompt("vm-youhave"), since)
    finally:
        office.change("SELECT pbx.set_pin('office', %s, %s)", mailbox, mailbox)


def test_owner_greets_with_his_own_voice(phones, office, mailbox, tmp_path):
    a, b = phones("1001"), phones(mailbox)
    try:
        b.call("*97")
        b.press("01")
        hear_all(b, 0, BEEP)
        b.says(ALSO)
        b.press("#1")
        b.hears(prompt("vm-msgsaved"))
        b.hangup()
        row = stored(office, mailbox, "greeting")
        assert row["kind"] == "unavailable" and is_said(row, ALSO, tmp_path)
        a.call(f"**{mailbox}")
        hear_all(a, 0, ALSO, BEEP)
        a.says(SAID)
        assert not a.look_for(prompt("vm-isunavail")).same
        a.hangup()
        assert is_said(stored(office, mailbox), SAID, tmp_path)
    finally:
        office.change("DELETE FROM pbx.greeting WHERE domain = 'office'")
