"""What happens after 64*T1: half a minute in which nobody answers (RFC 3261 §13.3.1.4, §17). All at once, for they take long."""
import contextlib
import time

import pytest

from sip import Dialog, Phone


@pytest.mark.slow
@pytest.mark.office(media={"timeout_s": 0})
def test_peers_that_fall_silent(own_office):
    own_office.change("UPDATE pbx.extension SET ring_s = 60")
    with contextlib.ExitStack() as stack:
        def phone(number):
            made = stack.enter_context(Phone(own_office, number))
            assert made.register().status == 200
            return made

        def connect(one, other):
            here = one.invite(f"9{other.user}")
            there = other.answer_invite()
            there.answer()
            return here, there, here.expect(200)

        start = time.monotonic()
        # 1. A phone that is registered and gone: timer B.
        lost, caller1 = phone("1005"), phone("1001")
        unanswered = caller1.invite("91005")
        # 2. A caller that never acknowledges the 200.
        caller2, callee2 = phone("1002"), phone("1006")
        unacked, answered2, _ = connect(caller2, callee2)
        # 3. A callee that doesn't answer the BYE: timer F; the caller doesn't wait for it.
        caller3, callee3 = phone("1003"), phone("1007")
        here3, _, ok = connect(caller3, callee3)
        here3.ack(ok)
        here3.bye()
        # 4. A caller that never acknowledges a refusal: timer H.
        caller4 = phone("1004")
        refused = caller4.invite("5555")
        refused.expect(404)
        # 5. A lamp that doesn't answer its NOTIFY: the subscription ends.
        lamp = phone("1008")
        subscription = Dialog(lamp, f"sip:1008@{lamp.uri_host}")
        subscription.send("SUBSCRIBE", headers=subscription.authorized("SUBSCRIBE", ["Event: message-summary", "Expires: 600"]))
        subscription.expect(200)
        notify = subscription.expect("NOTIFY")

        unanswered.ack(unanswered.expect(480, 408, timeout=40))
        assert 30 < time.monotonic() - start < 50
        bye = unacked.expect("BYE", skip=(200,), timeout=20)                 # 200 has been repeated till then
        caller2.reply(bye, 200, "OK", contact=False)
        answered2.take_bye()
        repeated = sum(b"SIP/2.0 200" in data and b"INVITE" in data for way, data in caller2.trace if way == "<<<")
        # The last time is half a second before the end, so a machine that is late may miss it (to the millisecond: test_strans.c).
        assert 10 <= repeated <= 11                                          # 0, 0.5, 1.5, 3.5, 7.5, 11.5 ... 31.5 s
        own_office.wait_log(r"cdr: call=\S+ ended result=(unavailable|no_answer)")
        received = drain(callee3, "BYE")
        assert 10 <= len(received) <= 11 and len({m.data for m in received}) == 1
        assert 9 <= len(drain(caller4, 404)) <= 10                           # and the one above
        assert {m.data for m in drain(lamp, "NOTIFY")} == {notify.data}
        subscription.send("SUBSCRIBE", headers=subscription.authorized("SUBSCRIBE", ["Event: message-summary", "Expires: 600"]))
        assert subscription.expect(481, skip=("NOTIFY",)).status == 481
        assert 6 <= len(drain(lost, "INVITE")) <= 7             # 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s
    rows = own_office.wait_sql("SELECT count(*) = 4, count(*) FILTER (WHERE result = 'answered') FROM pbx.cdr")
    assert rows[0][1] == 2


def drain(phone, what):
    """All that has come by now of this kind."""
    found = []
    while True:
        m = phone.receive(0.05)
        if m is None:
            return found
        if what in (m.status, m.method):
            found.append(m)
