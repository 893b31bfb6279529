"""Busy lamps: SUBSCRIBE and NOTIFY of the package dialog (RFC 4235)."""
import pytest

from sip import Phone
from watch import Lamp, Watch


def states(m):
    return Lamp(m).states


def live(m):
    return [s for s in states(m) if s != "terminated"]


def is_idle(m):
    return not live(m)


def be_cancelled(ringing):
    ringing.reply(200, "OK", ringing.expect("CANCEL"))
    ringing.reply(487, "Request Terminated")
    ringing.expect("ACK")


def give_up(call, ringing):
    call.cancel()
    call.ack(call.expect(487, skip=(100, 180, 200)))
    be_cancelled(ringing)


@pytest.fixture
def watcher(office):
    with Phone(office, "1005") as phone:
        yield phone


def test_lamp_of_who_is_called_rises_and_falls(office, watcher):
    with Phone(office, "1002") as caller, Phone(office, "1003") as callee:
        assert callee.register().status == 200
        watch = Watch(watcher, "1003")
        assert watch.answer.status == 200
        first = watch.notified()
        assert first["Content-Type"] == "application/dialog-info+xml"
        assert first["Event"] == "dialog" and first["Subscription-State"].startswith("active")
        assert states(first) == []
        call = caller.invite("91003")
        ringing = callee.answer_invite()
        ringing.ring()
        seen = watch.until(lambda m: states(m) == ["early"])
        lamp = Lamp(seen[-1])
        dialog = lamp.dialogs[0]
        assert lamp.entity == f"sip:1003@{office.addr}"
        assert dialog.get("direction") == "recipient"
        assert dialog.get("call-id") == ringing.call_id
        assert dialog.get("local-tag") == ringing.tag and dialog.get("remote-tag") == ringing.remote_tag
        assert lamp.remote()[0] == f"sip:1002@{office.addr}"
        call.expect(180)
        ringing.answer()
        call.ack(call.expect(200, skip=(100, 180, 183)))
        seen += watch.until(lambda m: states(m) == ["confirmed"])
        call.bye()
        ringing.take_bye()
        seen += watch.until(is_idle)
        versions = [Lamp(m).version for m in [first, *seen]]
        assert versions == list(range(len(versions)))                        # RFC 4235 §4.1: rising by one
        order = [s for m in seen for s in states(m)]
        assert order == sorted(order, key=["trying", "early", "confirmed", "terminated"].index)
        assert len({d.get("id") for m in seen for d in Lamp(m).dialogs}) == 1
        watch.end()
        callee.unregister()


def test_lamp_of_the_caller_and_a_call_that_is_there_already(office, watcher):
    with Phone(office, "1002") as caller, Phone(office, "1003") as callee:
        assert callee.register().status == 200
        call = caller.invite("91003")
        ringing = callee.answer_invite()
        ringing.ring()
        call.expect(180)
        watch = Watch(watcher, "1002")
        lamp = Lamp(watch.notified())
        assert lamp.states == ["early"] and lamp.dialogs[0].get("direction") == "initiator"
        assert lamp.dialogs[0].get("call-id") == call.call_id
        assert lamp.remote()[0].startswith("sip:91003@")
        give_up(call, ringing)
        watch.until(is_idle)
        watch.end()
        callee.unregister()


def test_fork_shows_each_phone_and_one_stays(office, watcher):
    """Two phones of one extension ring, one answers: the other's dialog ends, the lamp stays lit."""
    with Phone(office, "1002") as caller, Phone(office, "1003") as left, Phone(office, "1003") as right:
        assert left.register().status == 200 and right.register().status == 200
        watch = Watch(watcher, "1003")
        watch.notified()
        call = caller.invite("91003")
        a, b = left.answer_invite(), right.answer_invite()
        a.ring()
        b.ring()
        watch.until(lambda m: live(m) == ["early", "early"])
        a.answer()
        call.ack(call.expect(200, skip=(100, 180, 183)))
        be_cancelled(b)
        watch.until(lambda m: live(m) == ["confirmed"])
        call.bye()
        a.take_bye()
        watch.until(is_idle)
        watch.end()
        left.unregister()


def test_fetch_is_one_notify(office, watcher):
    watch = Watch(watcher, "1006", expires=0)
    assert watch.answer.status == 200
    m = watch.notified()
    assert m["Subscription-State"].startswith("terminated") and states(m) == []
    watcher.expect_none(0.2)


def test_refused(office, watcher):
    assert Watch(watcher, "1003", event="weather").answer.status == 489
    assert Watch(watcher, "1003", event=None).answer.status == 489
    answer = Watch(watcher, "1003", event="weather").answer
    assert {"dialog", "message-summary"} <= {e.strip() for e in answer["Allow-Events"].split(",")}
    answer = Watch(watcher, "1003", headers=["Accept: application/pidf+xml"]).answer
    assert answer.status == 406 and "application/dialog-info+xml" in answer["Accept"]
    assert Watch(watcher, "1777").answer.status == 404
    assert Watch(watcher, "1003", expires=5).answer.status == 423
    assert Watch(watcher, "1003", headers=["Require: eventlist"]).answer.status == 420
    with Phone(office, "1005", password="wrong") as stranger:
        assert Watch(stranger, "1003").answer.status == 401


def test_refresh_too_brief_and_refresh_from_elsewhere(office, watcher):
    watch = Watch(watcher, "1003")
    watch.notified()
    assert watch.subscribe(5).status == 423
    with Phone(office, "1005") as elsewhere:
        watch.dialog.phone = elsewhere                                       # the same dialog, said from another address
        elsewhere.send(watch.dialog.text("SUBSCRIBE", headers=["Event: dialog", "Expires: 600"]))
        assert elsewhere.expect(*range(200, 700)).status == 401
        watch.phone = elsewhere
        assert watch.subscribe(600).status == 200
        watch.notified()
        watch.end()


def test_hidden_is_not_seen(office, watcher):
    watch = Watch(watcher, "1004")
    watch.notified()
    try:
        office.change("UPDATE pbx.extension SET presence_hidden = true WHERE number = '1004'")
        assert "reason=noresource" in watch.notified()["Subscription-State"]
        assert Watch(watcher, "1004").answer.status == 404
        with Phone(office, "1004") as own:
            mine = Watch(own, "1004", expires=0)
            assert mine.answer.status == 200
            mine.notified()
    finally:
        office.change("UPDATE pbx.extension SET presence_hidden = false WHERE number = '1004'")


def test_who_may_not_see_with_whom(office, watcher):
    office.change("UPDATE pbx.extension SET sees_peers = false WHERE number = '1005'")
    try:
        with Phone(office, "1002") as caller, Phone(office, "1003") as callee:
            assert callee.register().status == 200
            call = caller.invite("91003")
            ringing = callee.answer_invite()
            ringing.ring()
            call.expect(180)
            lamp = Lamp(Watch(watcher, "1003", expires=0).notified())
            assert lamp.states == ["early"] and lamp.remote() is None
            assert Lamp(Watch(callee, "1003", expires=0).notified()).remote() is not None  # of itself
            give_up(call, ringing)
            callee.unregister()
    finally:
        office.change("UPDATE pbx.extension SET sees_peers = true WHERE number = '1005'")


def test_lamp_set_by_sql(office, watcher):
    """A number that no phone has: its row makes it a lamp."""
    assert Watch(watcher, "door").answer.status == 404
    try:
        office.change("INSERT INTO pbx.presence_note (domain, number, lamp) VALUES ('office', 'door', 'idle')")
        watch = Watch(watcher, "door")
        assert states(watch.notified()) == []
        office.sql("UPDATE pbx.presence_note SET lamp = 'busy' WHERE number = 'door'")
        assert states(watch.notified()) == ["confirmed"]
        office.sql("UPDATE pbx.presence_note SET lamp = 'ringing' WHERE number = 'door'")
        assert states(watch.notified()) == ["early"]
    finally:
        office.sql("DELETE FROM pbx.presence_note WHERE number = 'door'")
    gone = watch.until(lambda m: m["Subscription-State"].startswith("terminated"))[-1]
    assert "noresource" in gone["Subscription-State"]


def test_lamps_live_on_after_a_restart(own_office):
    """The subscription goes on: same dialog, higher CSeq and version, the state as it is now."""
    with Phone(own_office, "1005") as watcher, Phone(own_office, "1002") as caller, Phone(own_office, "1003") as callee:
        assert callee.register().status == 200
        watch = Watch(watcher, "1003")
        before = watch.notified()
        own_office.restart()
        after = watch.notified(timeout=15)
        assert after.cseq > before.cseq and Lamp(after).version > Lamp(before).version
        assert after["Subscription-State"].startswith("active") and states(after) == []
        call = caller.invite("91003")
        ringing = callee.answer_invite()
        ringing.ring()
        seen = watch.until(lambda m: states(m) == ["early"])
        call.expect(180)
        give_up(call, ringing)
        seen += watch.until(is_idle)
        versions = [Lamp(m).version for m in [after, *seen]]
        assert versions == sorted(versions) and len(set(versions)) == len(versions)
        assert watch.subscribe(300).status == 200                            # and can be refreshed
        watch.notified()
        watch.end()


def test_who_hides_is_not_shown_on_lamps(office, watcher):
    with Phone(office, "1002") as caller, Phone(office, "1003") as callee:
        assert callee.register().status == 200
        call = caller.invite("91003", headers=["Privacy: id"])
        ringing = callee.answer_invite()
        ringing.ring()
        call.expect(180)
        lamp = Lamp(Watch(watcher, "1003", expires=0).notified())
        assert lamp.states[-1] == "early" and lamp.remote(-1) is None
        give_up(call, ringing)
        callee.unregister()
