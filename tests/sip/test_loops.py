"""Calls that lead back: hops, breadth, our own INVITE again (RFC 3261 §16.3, 5393, 7332); and a caller's patience (Expires)."""
import select

import pytest

from office import SLOW
from sip import Phone, sdp


def end(here, there):
    there.ring()                                                             # a CANCEL waits for a provisional response
    here.expect(180)
    here.cancel()
    here.expect(200)
    here.ack(here.expect(487))
    cancel = there.expect("CANCEL")
    there.reply(200, "OK", cancel)
    there.reply(487, "Request Terminated")
    there.expect("ACK")


@pytest.mark.parametrize("hops,passes", [(1, False), (2, True)])
def test_last_hop(pair, hops, passes):
    caller, callee = pair
    caller.register()                                                        # for a challenge to answer
    number = f"sip:91002@{caller.uri_host}"
    text = caller.request("INVITE", number, [f"Contact: {caller.contact}", caller.credentials.header("INVITE", number)],
                          sdp(caller.addr, 40000), max_forwards=hops)
    caller.send(text)
    if passes:
        there = callee.answer_invite()
        assert there.invite["Max-Forwards"] == "1"
        there.reply(486, "Busy Here")
        there.expect("ACK")
        assert caller.expect(486)
    else:
        assert caller.expect(483)
        callee.expect_none(0.2)
    caller.unregister()


def test_breadth_is_shared_out(pair):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    assert 1 <= int(there.invite["Max-Breadth"]) < 60
    end(here, there)
    here = caller.invite("91002", headers=["Max-Breadth: 1"])
    there = callee.answer_invite()
    assert there.invite["Max-Breadth"] == "1"
    end(here, there)
    here = caller.invite("91002", headers=["Max-Breadth: 0"])
    here.ack(here.expect(440))


def ring_one_at_a_time(caller, phones, number, refusal):
    """One rings; when it has refused, the next. Returns what the caller got."""
    here = caller.invite(number, headers=["Max-Breadth: 1"])
    waiting = list(phones)
    while waiting:
        ready = select.select([phone.socket for phone in waiting], [], [], 5 * SLOW)[0]
        assert len(ready) == 1
        phone = next(phone for phone in waiting if phone.socket in ready)
        there = phone.answer_invite()
        assert there.invite["Max-Breadth"] == "1"
        waiting.remove(phone)
        for other in waiting:
            other.expect_none(0.1)
        there.reply(refusal, "No")
        there.expect("ACK")
    return here


@pytest.mark.parametrize("number,users", [("91002", ("1002", "1002")), ("410", ("1004", "1006"))])
def test_breadth_of_one_rings_one_after_the_other(office, number, users):
    """RFC 5393 §5.3.3: what may not be forked is tried in turn, the contacts of an extension and the members of a group."""
    with Phone(office, "1001") as caller, Phone(office, users[0]) as one, Phone(office, users[1]) as two:
        assert one.register().status == two.register().status == 200
        here = ring_one_at_a_time(caller, [one, two], number, 486)
        here.ack(here.expect(486))
        one.unregister()
        two.unregister()


def test_breadth_of_one_shares_the_time(own_office):
    """The first doesn't answer: it is called off in time for the second to ring, too."""
    own_office.change("UPDATE pbx.extension SET ring_s = 4 WHERE number = '1002'")
    with Phone(own_office, "1001") as caller, Phone(own_office, "1002") as one, Phone(own_office, "1002") as two:
        assert one.register().status == two.register().status == 200
        here = caller.invite("91002", headers=["Max-Breadth: 1"])
        ready = select.select([one.socket, two.socket], [], [], 5 * SLOW)[0]
        first, second = (one, two) if one.socket in ready else (two, one)
        a = first.answer_invite()
        a.ring()
        a.reply(200, "OK", a.expect("CANCEL"))
        a.reply(487)
        a.expect("ACK")
        b = second.answer_invite()
        b.answer()
        here.ack(here.expect(200, skip=(100, 180)))
        here.send("BYE")
        b.take_bye()
        here.expect(200)


def test_own_invite_sent_back_is_a_loop(pair):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    lines = str(there.invite).split("\r\n")
    back = [lines[0], callee.via(), *lines[1:]]
    callee.send("\r\n".join(back))
    refused = callee.expect(482)
    ack = [lines[0].replace("INVITE", "ACK", 1), back[1], *(v for v in lines if v.startswith(("From:", "Call-ID:", "Max-Forwards:"))),
           f"To: {refused['To']}", "CSeq: 1 ACK", "Content-Length: 0", "", ""]
    callee.send("\r\n".join(ack))
    end(here, there)


def test_caller_has_no_more_patience(pair):
    caller, callee = pair
    here = caller.invite("91002", headers=["Expires: 1"])
    there = callee.answer_invite()
    there.ring()
    here.expect(180)
    here.ack(here.expect(487))
    cancel = there.expect("CANCEL")
    there.reply(200, "OK", cancel)
    there.reply(487, "Request Terminated")
    there.expect("ACK")
