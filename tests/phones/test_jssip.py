"""JsSIP, the phone of many web pages, over WebSocket: its signalling, as its description is a stand-in."""
import pytest

from jsphone import JsPhone
from sip import Phone


@pytest.fixture(autouse=True)
def plain(office):
    """What writes its descriptions is no browser: it takes RTP as it is."""
    office.change("UPDATE pbx.extension SET srtp = 'never' WHERE number IN ('1003', '1004')")
    yield
    office.change("UPDATE pbx.extension SET srtp = DEFAULT WHERE number IN ('1003', '1004')")


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_jssip_registers_and_unregisters(office, secure):
    with JsPhone(office, "1003", secure) as phone:
        phone.do("register")
        assert ".invalid" in phone.wait("registered")["contact"]
        office.wait_sql("SELECT proto = %s FROM pbx.binding WHERE number = '1003'", "wss" if secure else "ws")
        phone.do("unregister")
        phone.wait("unregistered")
        phone.do("register")
        phone.wait("registered")
    office.wait_sql("SELECT count(*) = 0 FROM pbx.binding WHERE number = '1003'")


def test_jssip_calls_holds_sends_digits_and_hangs_up(office):
    with JsPhone(office, "1001") as caller, Phone(office, "1002") as callee:
        callee.register()
        caller.do("call", "1002")
        there = callee.answer_invite()
        there.ring()
        caller.wait("progress", status=180)
        there.answer()
        assert "m=audio" in caller.wait("description", type="answer")["sdp"]
        caller.wait("confirmed")
        caller.do("hold")
        caller.wait("held")
        caller.do("unhold")
        caller.wait("unheld")
        caller.do("options", "sip:cordboard")
        caller.wait("options", status=200)
        caller.do("hangup")
        there.take_bye(skip=("ACK", "INVITE", "UPDATE", "INFO"))
        caller.wait("ended")
        callee.unregister()


def test_jssip_is_called_answers_and_is_hung_up(office):
    with JsPhone(office, "1003") as callee, Phone(office, "1001") as caller:
        callee.do("register")
        callee.wait("registered")
        here = caller.invite("1003")
        assert callee.wait("incoming")["from"] == "1001"
        callee.do("answer")
        here.ack(here.expect(200, skip=(100, 180)))
        callee.wait("confirmed")
        here.bye()
        callee.wait("ended", by="remote")
        callee.do("unregister")
        callee.wait("unregistered")


def test_jssip_gives_up(office):
    with JsPhone(office, "1003") as phone, Phone(office, "1001") as other:
        phone.do("register")
        phone.wait("registered")
        other.register()
        phone.do("call", "1001")
        there = other.answer_invite()
        there.ring()
        phone.wait("progress", status=180)
        phone.do("hangup")
        cancel = there.expect("CANCEL")
        there.reply(200, "OK", cancel)
        there.reply(487)
        there.expect("ACK")
        phone.wait("failed", cause="Canceled")
        other.unregister()


def test_two_jssip_phones_call_each_other(office):
    with JsPhone(office, "1003") as a, JsPhone(office, "1004", secure=True) as b:
        b.do("register")
        b.wait("registered")
        a.do("call", "1004")
        b.wait("incoming")
        b.do("answer")
        a.wait("confirmed")
        b.wait("confirmed")
        b.do("hangup")
        a.wait("ended", by="remote")
        b.wait("ended")
        b.do("unregister")
        b.wait("unregistered")
