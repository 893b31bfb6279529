"""JsSIP in headless Chromium: what most people have instead of a telephone. Its sound goes by ICE, DTLS-SRTP and Opus."""
import contextlib
import re

import pytest

from browser import PAUSE_S, Browser
from phone import BEEP, compare, prompt

HIS = prompt("cannot-complete-as-dialed")
HERS = prompt("feature-not-avail-line")


def connected(browser):
    browser.wait("track")
    browser.wait("connection", state="connected")
    browser.wait_sound()


def ufrag(sdp):
    return re.search("a=ice-ufrag:(.*)", sdp)[1]


def hears(browser, phone, clip):
    """Said once, it comes whole; and the browser plays what comes."""
    before, since = browser.stats(), browser.mark()
    phone.say(clip)
    heard = browser.hears(clip, since)
    after = browser.stats()
    assert heard["corr"] > 0.98 and heard["coverage"] == 1       # to the sample; a packet of twenty less is too many
    assert after["lost"] == 0 and after["received"] - before["received"] >= clip.seconds * 50 - 1
    assert after["played_s"] >= before["played_s"] + clip.seconds / 2
    return heard


def test_browser_calls_a_phone_holds_and_restarts_ice(office, phones):
    b = phones("1002")
    with Browser(office, "1001", says=HIS) as a:
        a.do("call", "1002")
        b.wait("CALL_INCOMING")
        b.accept()
        ours = ufrag(a.wait("description", by="remote")["sdp"])
        connected(a)
        b.hears(HIS)
        hears(a, b, HERS)
        stats = a.stats()
        assert (stats["pair"], stats["dtls"], stats["codec"]) == ("succeeded", "connected", "audio/PCMU")
        # On hold there is music; back again there is the phone.
        a.do("hold")
        a.wait("held")
        a.do("unhold")
        a.wait("unheld")
        a.do("restart")
        assert ufrag(a.wait("description", by="remote")["sdp"]) != ours
        a.wait("restarted")
        b.hears(HIS, b.mark())
        hears(a, b, HERS)
        a.do("hangup")
        b.wait("CALL_CLOSED")


def test_browser_is_called_by_a_phone(office, phones):
    b = phones("1002", codec="opus")
    with Browser(office, "1003", says=HIS) as a:
        a.do("register")
        a.wait("registered")
        b.dial("1003")
        assert a.wait("incoming")["from"] == "1002"
        a.do("answer")
        b.wait("CALL_ESTABLISHED")
        connected(a)
        b.hears(HIS)
        hears(a, b, HERS)
        b.hangup()
        a.wait("ended", by="remote")
        a.do("unregister")
        a.wait("unregistered")


def test_browser_hears_itself_at_the_echo(office):
    with Browser(office, "1001", says=HIS) as a:
        a.do("call", "600")
        connected(a)
        a.hears(HIS)
        a.do("hangup")
        a.wait("ended")


def test_browser_leaves_a_message(office):
    office.change("DELETE FROM pbx.voicemail WHERE domain = 'office'")
    with Browser(office, "1001", says=HIS) as a:
        a.do("call", "**1003")
        connected(a)
        a.do("dtmf", "#", "RFC2833")     # the greeting may go by
        a.hears(BEEP)
        a.says(2 * (HIS.seconds + PAUSE_S))
        a.do("hangup")
        a.wait("ended")
        (sound,), = office.wait_sql("SELECT sound FROM pbx.voicemail WHERE domain = 'office' AND number = '1003'")
        (a.dir / "message.wav").write_bytes(sound)
        assert compare(HIS.file(), a.dir / "message.wav").same
    office.change("DELETE FROM pbx.voicemail WHERE domain = 'office'")


@contextlib.contextmanager
def encrypted(office, number, srtp):
    office.change(f"UPDATE pbx.extension SET srtp = '{srtp}', srtp_keys = 'dtls' WHERE domain = 'office' AND number = '{number}'")
    try:
        yield
    finally:
        office.change(f"UPDATE pbx.extension SET srtp = DEFAULT, srtp_keys = DEFAULT WHERE domain = 'office' AND number = '{number}'")


@pytest.mark.parametrize("srtp", ["offer", "require"])
def test_browser_over_wss(office, phones, srtp):
    """Signalling that nobody reads, and keys that aren't in it: both ways, with the phone at the other end plain."""
    b = phones("1002")
    with encrypted(office, "1003", srtp), Browser(office, "1003", says=HIS, secure=True) as a:
        a.do("register")
        assert "transport=ws" in a.wait("registered")["contact"]
        assert "via=WSS" in office.log
        a.do("call", "1002")
        b.wait("CALL_INCOMING")
        b.accept()
        connected(a)
        b.hears(HIS)
        hears(a, b, HERS)
        assert a.stats()["dtls"] == "connected"
        a.do("hangup")
        b.wait("CALL_CLOSED")
        b.dial("1003")
        a.wait("incoming")
        a.do("answer")
        b.wait("CALL_ESTABLISHED")
        assert "UDP/TLS/RTP/SAVPF" in a.wait("description", by="remote")["sdp"]
        connected(a)
        b.hears(HIS, b.mark())
        b.hangup()
        a.wait("ended", by="remote")
        a.do("unregister")
        a.wait("unregistered")
