"""The message lamp: SUBSCRIBE and NOTIFY of message-summary (RFC 3842, RFC 6665)."""
import contextlib
import re

import pytest

from sip import Dialog, Phone

PROTOS = [(4, "udp"), (4, "tcp"), (6, "udp"), (6, "tcp")]
MESSAGE = """INSERT INTO pbx.voicemail (id, domain, number, folder, received, duration_ms, sound)
VALUES (gen_random_uuid(), 'office', %s, %s, now(), 1000, 'RIFF')"""


class Lamp:
    """A subscription."""

    def __init__(self, phone, number=None, expires=600, headers=("Event: message-summary",)):
        self.phone = phone
        self.dialog = Dialog(phone, f"sip:{number or phone.user}@{phone.uri_host}")
        self.answer = self.subscribe(expires, headers)

    def subscribe(self, expires, headers=("Event: message-summary",)):
        d, c = self.dialog, self.phone.credentials
        d.send("SUBSCRIBE", headers=d.authorized("SUBSCRIBE", [*headers, f"Expires: {expires}"]))
        m = d.expect(*range(200, 700), skip=(100, "NOTIFY") if not d.remote_tag else (100,))
        if m.status == 401:
            c.take(m)
            d.send("SUBSCRIBE", headers=d.authorized("SUBSCRIBE", [*headers, f"Expires: {expires}"]))
            m = d.expect(*range(200, 700))
        return m

    def notified(self, **kwargs):
        """Waits for a NOTIFY, answers it and returns it."""
        m = self.dialog.expect("NOTIFY", **kwargs)
        self.dialog.reply(200, "OK", m)
        return m


def counts(m):
    """(is waiting, new, saved)."""
    waiting = re.search(r"^Messages-Waiting: (yes|no)\r$", m.body, re.M).group(1) == "yes"
    new, saved = re.search(r"^Voice-Message: (\d+)/(\d+)", m.body, re.M).groups()
    return waiting, int(new), int(saved)


@contextlib.contextmanager
def mailbox(office, number):
    office.sql("DELETE FROM pbx.voicemail WHERE number = %s", number)
    yield
    office.sql("DELETE FROM pbx.voicemail WHERE number = %s", number)


@pytest.mark.parametrize("family,proto", PROTOS)
def test_lamp_follows_the_mailbox(office, family, proto):
    with mailbox(office, "1005"), Phone(office, "1005", family=family, proto=proto) as phone:
        lamp = Lamp(phone)
        assert lamp.answer.status == 200
        assert int(lamp.answer["Expires"]) == 600
        first = lamp.notified()                                              # RFC 6665 §4.2.1.2: at once
        assert first["Event"] == "message-summary"
        assert re.match(r"active;\s*expires=(600|599)", first["Subscription-State"])
        assert first["Content-Type"] == "application/simple-message-summary"
        assert counts(first) == (False, 0, 0)
        office.sql(MESSAGE, "1005", "new")
        assert counts(lamp.notified()) == (True, 1, 0)
        office.sql(MESSAGE, "1005", "saved")
        assert counts(lamp.notified()) == (True, 1, 1)
        office.sql("UPDATE pbx.voicemail SET folder = 'saved' WHERE number = '1005'")
        assert counts(lamp.notified()) == (False, 0, 2)
        office.sql("UPDATE pbx.voicemail SET deleted = now() WHERE number = '1005'")
        assert counts(lamp.notified()) == (False, 0, 0)
        assert lamp.subscribe(0).status == 200
        assert lamp.notified()["Subscription-State"].startswith("terminated")


def test_refresh_and_one_notify_for_what_did_not_change(office):
    with mailbox(office, "1005"), Phone(office, "1005") as phone:
        lamp = Lamp(phone)
        lamp.notified()
        assert lamp.subscribe(300).status == 200
        again = lamp.notified()                                              # RFC 6665 §4.2.1.2: for each SUBSCRIBE
        assert re.match(r"active;\s*expires=(300|299)", again["Subscription-State"])
        office.sql(MESSAGE, "1004", "new")                                   # somebody else's
        phone.expect_none(0.4)
        office.sql("DELETE FROM pbx.voicemail WHERE number = '1004'")
        lamp.subscribe(0)
        lamp.notified()


def test_fetch_is_one_notify(office):
    """RFC 6665 §4.4.3: Expires: 0 without a subscription asks once."""
    with mailbox(office, "1005"), Phone(office, "1005") as phone:
        lamp = Lamp(phone, expires=0)
        assert lamp.answer.status == 200
        m = lamp.notified()
        assert m["Subscription-State"].startswith("terminated")
        assert counts(m) == (False, 0, 0)
        phone.expect_none(0.3)


def test_other_events_get_489(office):
    with Phone(office, "1005") as phone:
        lamp = Lamp(phone, headers=("Event: weather",))
        assert lamp.answer.status == 489
        assert "message-summary" in lamp.answer["Allow-Events"]
        assert Lamp(phone, headers=()).answer.status in (400, 489)           # RFC 6665 §7.2.1: Event is needed


def test_other_peoples_mailboxes_are_theirs(office):
    with Phone(office, "1005") as phone:
        assert Lamp(phone, number="1006").answer.status == 403


def test_wrong_password_sees_no_lamp(office):
    with Phone(office, "1005", password="wrong") as phone:
        assert Lamp(phone).answer.status == 401


def test_too_brief_gets_423(office):
    with Phone(office, "1005") as phone:
        answer = Lamp(phone, expires=5).answer
        assert answer.status == 423
        assert int(answer["Min-Expires"]) > 5


def test_subscriber_that_is_gone_is_forgotten(office):
    """RFC 6665 §4.2.2: 481 to a NOTIFY ends the subscription."""
    with mailbox(office, "1005"), Phone(office, "1005") as phone:
        lamp = Lamp(phone)
        lamp.dialog.reply(481, "Gone", lamp.dialog.expect("NOTIFY"))
        office.sql(MESSAGE, "1005", "new")
        phone.expect_none(0.5)
        assert lamp.subscribe(600).status == 481


def test_lamp_after_the_database_was_away(own_office):
    with Phone(own_office, "1005") as phone:
        lamp = Lamp(phone)
        assert counts(lamp.notified()) == (False, 0, 0)
        own_office.database_down()
        own_office.database_up()
        own_office.sql(MESSAGE, "1005", "new")
        assert counts(lamp.notified(timeout=10)) == (True, 1, 0)


def test_unsolicited_for_phones_that_do_not_subscribe(office):
    office.change("UPDATE pbx.extension SET mwi_unsolicited = true WHERE number = '1005'")
    try:
        with mailbox(office, "1005"), Phone(office, "1005") as phone:
            assert phone.register().status == 200
            m = phone.expect("NOTIFY")
            assert m["Event"] == "message-summary" and counts(m) == (False, 0, 0)
            phone.reply(m, 200, "OK", tag="x")
            office.sql(MESSAGE, "1005", "new")
            m = phone.expect("NOTIFY")
            assert counts(m) == (True, 1, 0)
            phone.reply(m, 200, "OK", tag="x")
            phone.unregister()
    finally:
        office.change("UPDATE pbx.extension SET mwi_unsolicited = false WHERE number = '1005'")
