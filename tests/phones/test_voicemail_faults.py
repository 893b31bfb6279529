"""Messages when something goes wrong: nothing is lost, nobody waits without hearing why."""
import contextlib
import os
import signal
import subprocess

from office import wait_until
from phone import BEEP, prompt
from test_voicemail import SAID, hear_all, is_said, leave, put, stored


def recordings(office):
    return list((office.dir / "spool").rglob("*.wav"))


def test_message_is_delivered_when_the_server_is_stopped_meanwhile(own_phones, own_office, tmp_path):
    leave(own_phones("1001"), "**1003", SAID)
    own_office.restart()
    assert is_said(stored(own_office, "1003"), SAID, tmp_path)
    wait_until(lambda: not recordings(own_office))


def test_message_for_a_mailbox_that_is_no_more_waits_for_a_person(own_phones, own_office):
    a = own_phones("1001")
    leave(a, "**1003", SAID)
    own_office.change("DELETE FROM pbx.mailbox WHERE number = '1003'")
    a.hangup()
    own_office.wait_sql("SELECT kind = 'voicemail' AND length(sound) > 10000 FROM pbx.outbox_refused")
    wait_until(lambda: not recordings(own_office))


def test_greeting_not_accepted_is_not_in_use_after_a_power_cut(own_phones, own_office):
    b = own_phones("1003")
    b.call("*97")
    b.press("01")
    b.hears(BEEP)
    b.says(SAID)
    assert recordings(own_office)
    own_office.kill()
    own_office.start_server()
    wait_until(lambda: not recordings(own_office))
    assert own_office.sql("SELECT count(*) FROM pbx.greeting") == [(0,)]


def test_full_mailbox_takes_no_message_and_a_long_one_is_ended(phones, office):
    office.change("UPDATE pbx.mailbox SET max_messages = 1, max_message_s = 5 WHERE number = '1004'")
    try:
        a = phones("1001")
        a.call("**1004")
        a.press("#")
        a.hears(BEEP)
        a.say(prompt("vm-options"))
        since = a.hears(prompt("vm-review").part(0, 2), a.mark(), seconds=15)["end_s"]
        a.press("1")
        a.hears(prompt("vm-msgsaved"), since)
        a.wait("CALL_CLOSED")
        assert stored(office, "1004")["duration_ms"] == 5000
        a.call("**1004")
        a.hears(prompt("vm-mailboxfull"))
        a.wait("CALL_CLOSED")
    finally:
        office.change("UPDATE pbx.mailbox SET max_messages = 100, max_message_s = 300 WHERE number = '1004'")
        office.change("DELETE FROM pbx.voicemail WHERE number = '1004'")


def freeze(office, sig):
    """Stops its database in the midst of all it does, or lets it go on."""
    postmaster = (office.dir / "pgtmp/db/postmaster.pid").read_text().splitlines()[0]
    os.kill(int(postmaster), sig)        # first, so that it makes no more of them
    for pid in subprocess.run(["pgrep", "-P", postmaster], capture_output=True, text=True, check=True).stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), sig)


def test_database_that_hangs_keeps_nobody_waiting(own_phones, own_office):
    a, b = own_phones("1001"), own_phones("1003")
    put(own_office, "1003", SAID)
    b.call("*97")
    b.press("1")
    since = hear_all(b, 0, prompt("vm-received"))
    freeze(own_office, signal.SIGSTOP)
    try:
        b.press("7")
        a.call("**1003", seconds=6)
        a.hears(prompt("vm-theperson"))
        hear_all(b, since, prompt("please-try-call-later"))
    finally:
        freeze(own_office, signal.SIGCONT)
