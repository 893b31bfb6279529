"""Linphone, in calls with itself and with baresip."""
import pytest

from linphone import Linphone
from phone import prompt

HIS = prompt("cannot-complete-as-dialed")
HERS = prompt("feature-not-avail-line")


@pytest.fixture
def linphones(request, office):
    made = []

    def start(number, **kwargs):
        made.append(Linphone(office, number, **kwargs))
        return made[-1].start()
    request.node.phones = made
    yield start
    for phone in made:
        phone.remove()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_linphone_calls_and_is_called(linphones, phones, office, transport):
    a, b = linphones("1001", transport=transport), phones("1002", transport=transport)
    a.call("1002")
    b.wait("CALL_INCOMING")
    b.accept()
    a.wait("connected")
    a.play(HIS)
    b.hears(HIS)
    b.say(HERS)
    a.hears(HERS)
    b.hangup()
    a.wait("ended")
    b.dial("1001")
    a.answer()
    b.wait("CALL_ESTABLISHED")
    a.hangup()
    b.wait("CALL_CLOSED")


def test_linphones_over_udp_and_tcp_talk_to_each_other(linphones):
    a, b = linphones("1001", transport="udp"), linphones("1002", transport="tcp")
    a.call("1002")
    b.answer()
    a.wait("connected")
    a.play(HIS)
    b.hears(HIS)
    a.command("pause")                   # its word for hold
    a.wait("paused")
    a.command("resume")
    a.wait("Resuming")
    a.wait("Media streams established")
    b.hangup()
    a.wait("ended")
