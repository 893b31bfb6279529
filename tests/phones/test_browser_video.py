"""Browsers that see: video on the transport of the sound (BUNDLE), with its keys, to another browser and to a phone of plain RTP."""
import re

from browser import Browser
from office import wait_until
from phone import prompt

HIS = prompt("cannot-complete-as-dialed")
HERS = prompt("feature-not-avail-line")
FRAMES = 20


def seen(browser):
    """Its stats, when it has seen some pictures that weren't there before."""
    before = browser.stats().get("frames_seen") or 0

    def enough():
        stats = browser.stats()
        return stats if (stats.get("frames_seen") or 0) >= before + FRAMES else None
    return wait_until(enough, 30)


def group(sdp):
    return re.search("a=group:BUNDLE (.*)", sdp)[1].split()


def test_two_browsers_see_and_hear_each_other(office):
    with Browser(office, "1001", says=HIS, video=True) as a, Browser(office, "1003", says=HERS, video=True, beside=a) as b:
        b.do("register")
        b.wait("registered")
        since = len(office.log)
        a.do("call", "1003")
        b.wait("incoming")
        b.do("answer")
        offer = b.wait("description", by="remote")["sdp"]
        answer = a.wait("description", by="remote")["sdp"]
        for browser in (a, b):
            browser.wait("connection", state="connected")
        # One transport for both, in our offer and our answer; what it is asked to do anew goes from end to end.
        for sdp in (offer, answer):
            assert len(group(sdp)) == 2 and re.search("a=rtcp-fb:[0-9]+ nack pli", sdp) and "sdes:mid" not in sdp
        for browser in (a, b):
            stats = seen(browser)
            assert (stats["transports"], stats["dtls"], stats["picture"], stats["width"]) == (1, "connected", "video/VP8", 320)
        a.hears(HERS)
        b.hears(HIS)
        # On hold nothing is seen; afterwards it goes on.
        a.do("hold")
        a.wait("held")
        a.do("unhold")
        a.wait("unheld")
        for browser in (a, b):
            seen(browser)
        a.do("hangup")
        b.wait("ended", by="remote")
        wait_until(lambda: len(re.findall(r"media=video ended received=[1-9]\d+ sent=[1-9]\d+", office.log[since:])) == 2)


def test_a_browser_and_a_phone_see_each_other(office, phones):
    phone = phones("1002", video="vp8")
    with Browser(office, "1001", says=HIS, video=True) as browser:
        browser.do("call", "1002")
        phone.wait("CALL_INCOMING")
        phone.accept()
        browser.wait("connection", state="connected")
        stats = seen(browser)
        assert (stats["transports"], stats["picture"]) == (1, "video/VP8")
        wait_until(lambda: "receiving with resolution 320 x 240" in phone.log_tail(100000), 20)
        phone.hears(HIS, phone.mark())
        browser.do("hangup")
        phone.wait("CALL_CLOSED")


def test_a_phone_calls_a_browser_and_both_see(office, phones):
    """The phone's numbers, of which our own for sound keep clear; and a camera whose pictures are asked for anew."""
    phone = phones("1002", video="vp8")
    with Browser(office, "1003", says=HIS, video=True) as browser:
        browser.do("register")
        browser.wait("registered")
        phone.dial("1003")
        browser.wait("incoming")
        browser.do("answer")
        phone.wait("CALL_ESTABLISHED")
        browser.wait("connection", state="connected")
        assert seen(browser)["transports"] == 1
        wait_until(lambda: "receiving with resolution 320 x 240" in phone.log_tail(100000), 20)
        phone.hears(HIS, phone.mark())
        phone.hangup()
        browser.wait("ended", by="remote")
