"""Who stays in a call is told whom he talks to now: by UPDATE, in a re-INVITE, by From (RFC 3311, 4916, 5876)."""
import re

import pytest

from sip import media_of, sdp
from test_identity import ANONYMOUS, Provider, asserted, who
from transfers import (ANSWERED_FIRST, answers, bye, called, notified, phones, pick, progress, refer, replaces_of, rings, take_bye,
                           talk)

UPDATES = ["Allow: INVITE, ACK, BYE, CANCEL, UPDATE"]
CHANGES = ["Supported: from-change"]
OLIVE, PAUL, JANE = ('"Olive Operator" <sip:1001@us>', '"Paul Plug" <sip:1002@us>', '"Jane Jack" <sip:1003@us>')


@pytest.fixture
def three(office):
    with phones(office, "1001", "1002", "1003") as made:
        yield made


@pytest.fixture
def friend(office):
    with Provider(office, "friend", trusted=True) as trunk:
        trunk.seen = set()
        yield trunk


@pytest.fixture
def stranger(office):
    with Provider(office, "stranger") as trunk:
        trunk.seen = set()
        yield trunk


def updated(d, **kwargs):
    """He is told by an UPDATE that changes nothing else."""
    m = pick(d, "UPDATE", **kwargs)
    d.reply(200, "OK", m)
    assert not m.body and not m.get("Content-Type")
    return m


def dialled(office, caller, trunk, headers=()):
    """A call through the trunk, answered."""
    here = caller.invite("0123", headers=UPDATES)
    there = called(trunk)
    there.reply(200, "OK", body=sdp(trunk.addr, 40000), headers=headers)
    pick(there, "ACK")
    here.ack(pick(here, 200))
    return here, there


def test_connected_blind_transfer_tells_who_stays(three):
    a, b, c = three
    at_b, at_a = talk(b, a, headers=UPDATES)
    refer(at_a, "91003")
    at_c = rings(c)
    assert asserted(at_c.invite) == [PAUL]
    assert [notified(at_a), notified(at_a)] == [100, 180]
    answers(at_c)
    assert asserted(updated(at_b)) == [JANE]
    assert progress(at_a) == [200]
    bye(at_a)
    bye(at_b)
    take_bye(at_c)


def test_connected_who_allows_no_update_is_left_alone(three):
    """Plain phones: whatever came unasked would fail the fixture."""
    a, b, c = three
    at_b, at_a = talk(b, a)
    refer(at_a, "91003")
    at_c = rings(c)
    answers(at_c)
    assert progress(at_a)[-1] == 200
    bye(at_a)
    at_b.send("INVITE", sdp(b.addr, 40000, version=2))           # his own offer is a chance to tell him
    m = pick(at_b, 200)
    at_b.ack(m)
    assert asserted(m) == [JANE]
    at_b.send("INVITE", sdp(b.addr, 40000, version=3))
    m = pick(at_b, 200)
    at_b.ack(m)
    assert not asserted(m)                                       # once is enough
    bye(at_b)
    take_bye(at_c)


def test_connected_attended_transfer_tells_both(three):
    a, b, c = three
    at_b, at_a = talk(b, a, headers=UPDATES)
    here, at_c = a.invite("91003"), called(c)
    at_c.reply(200, "OK", body=sdp(c.addr, 40000), headers=UPDATES)
    pick(at_c, "ACK")
    here.ack(pick(here, 200))
    refer(at_a, "1003", replaces=replaces_of(here))
    assert asserted(updated(at_b)) == [JANE]
    assert asserted(updated(at_c)) == [PAUL]
    take_bye(here)
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_b)
    take_bye(at_c)


def test_connected_transferred_while_it_rings_tells_whom_it_rang(three):
    """Semi-attended: C was told of A, and talks to B."""
    a, b, c = three
    at_b, at_a = talk(b, a, headers=UPDATES)
    here = a.invite("91003")
    at_c = rings(c)
    pick(here, 180)
    refer(at_a, "1003", replaces=replaces_of(here))
    here.ack(pick(here, 487))
    answers(at_c, headers=UPDATES)
    assert asserted(updated(at_c)) == [PAUL]
    assert asserted(updated(at_b)) == [JANE]
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_b)
    take_bye(at_c)


def test_connected_pickup_tells_both(three, office):
    """RFC 3891: C answers what rings at A, B called: both are told in their 200."""
    a, b, c = three
    office.change("UPDATE pbx.extension SET pickup_group = 'hall' WHERE number IN ('1001', '1003')")
    try:
        at_b = b.invite("91001", headers=UPDATES)
        at_a = rings(a)
        assert asserted(pick(at_b, 180)) == [OLIVE]
        at_c = c.invite("1001", headers=[f"Replaces: {at_a.call_id};to-tag={at_a.remote_tag};from-tag={at_a.tag}"])
        m = pick(at_c, 200)
        at_c.ack(m)
        assert asserted(m) == [PAUL]
        m = pick(at_b, 200)
        at_b.ack(m)
        assert asserted(m) == [JANE]
        at_a.reply(200, "OK", pick(at_a, "CANCEL"))
    finally:
        office.change("UPDATE pbx.extension SET pickup_group = NULL WHERE number IN ('1001', '1003')")
    at_a.reply(487, "Request Terminated")
    pick(at_a, "ACK")
    bye(at_b)
    take_bye(at_c)


def test_connected_answered_before_it_rings(own_office):
    """An application has answered him: nothing but an UPDATE can say who came to the telephone."""
    own_office.change(ANSWERED_FIRST)
    with phones(own_office, "1001", "1002") as (a, b):
        here = a.invite("81002", headers=UPDATES)
        here.ack(pick(here, 200))
        there = rings(b)
        answers(there)
        assert asserted(updated(here)) == [PAUL]
        bye(here)
        take_bye(there)


def test_connected_hidden_party_is_shown_as_nobody(three):
    a, b, c = three
    at_b, at_a = talk(b, a, headers=UPDATES)
    refer(at_a, "91003")
    at_c = rings(c)
    answers(at_c, headers=["Privacy: id"])
    m = updated(at_b)
    assert asserted(m) == [ANONYMOUS] and "1003" not in str(m)
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_b)
    take_bye(at_c)


# ---- RFC 4916 ----

def test_connected_from_changes_where_both_can(three):
    a, b, c = three
    at_b, at_a = talk(b, a, headers=UPDATES + CHANGES)
    assert "from-change" in at_b.answered["Supported"]
    refer(at_a, "91003")
    at_c = rings(c)
    answers(at_c)
    m = updated(at_b)
    assert who(m) == JANE and m.from_tag == at_b.remote_tag
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_c)
    m = take_bye(at_b)
    assert who(m) == JANE                                        # of all requests from then on


def test_connected_from_by_reinvite_without_update(three):
    a, b, c = three
    at_b, at_a = talk(b, a, headers=CHANGES)
    before = at_b.answered.body
    refer(at_a, "91003")
    at_c = rings(c)
    answers(at_c)
    m = pick(at_b, "INVITE")
    assert who(m) == JANE and asserted(m) == [JANE]
    assert media_of(m.body) == media_of(before) and "m=audio" in m.body and "a=sendonly" not in m.body
    at_b.reply(200, "OK", m, body=sdp(b.addr, 40000, version=2))
    pick(at_b, "ACK")
    assert progress(at_a)[-1] == 200
    bye(at_a)
    bye(at_b)
    take_bye(at_c)


def test_connected_from_of_the_peer_is_our_to(three):
    """RFC 4916 §4.5: and only if he has said that he can do it."""
    a, b, _ = three
    for headers, changes in ((CHANGES, True), ([], False)):
        here, there = talk(a, b, headers=headers)
        old, here.local = here.local, '"Someone" <sip:7777@cordboard>'
        here.send("UPDATE", headers=headers)
        pick(here, 200)
        bye(there)
        m = take_bye(here)
        assert m["To"].startswith(here.local if changes else old)


# ---- what trunks say ----

def test_connected_of_a_friend_is_passed_on(three, friend, office):
    a, *_ = three
    here, there = dialled(office, a, friend, headers=['P-Asserted-Identity: "Zoe" <sip:+431@x>'])
    there.send("UPDATE", headers=['P-Asserted-Identity: "Max" <tel:+43-2>'])
    pick(there, 200)
    assert asserted(updated(here)) == ['"Max" <sip:+432@us>']
    there.send("INVITE", sdp(friend.addr, 40000, version=2), headers=['Remote-Party-ID: "Eva" <sip:+433@x>;party=called'])
    there.ack(pick(there, 200))
    assert asserted(updated(here)) == ['"Eva" <sip:+433@us>']
    there.send("UPDATE", headers=['P-Asserted-Identity: "Eva" <sip:+433@x>'])      # the same: nothing new
    pick(there, 200)
    there.send("UPDATE", headers=['P-Asserted-Identity: "Max" <sip:+432@x>', "Privacy: id"])
    pick(there, 200)
    assert asserted(updated(here)) == [ANONYMOUS]
    bye(here)
    take_bye(there)


@pytest.mark.parametrize("from_,headers", [('"Zoe" <sip:+431@x>', ["Privacy: id"]), ('"Anonymous" <sip:anonymous@anonymous.invalid>', [])])
def test_connected_who_hid_at_first_stays_hidden(three, friend, office, from_, headers):
    """Gateways that write Privacy into the first INVITE alone, and the number into all that follows."""
    a, *_ = three
    number = ['P-Asserted-Identity: "Zoe" <sip:+431@x>']
    there, here = friend.call("1001", headers + number, from_=from_), called(a)
    assert who(here.invite) == ANONYMOUS and not asserted(here.invite)
    here.reply(200, "OK", body=sdp(a.addr, 40000), headers=UPDATES)
    pick(here, "ACK")
    there.ack(pick(there, 200))
    for method in ("UPDATE", "INVITE"):
        there.send(method, sdp(friend.addr, 40000, version=2) if method == "INVITE" else "", headers=number)
        m = pick(there, 200)
        if method == "INVITE":
            there.ack(m)
    here.send("INVITE", sdp(a.addr, 40000, version=2, direction="sendonly"))
    m = pick(here, 200)
    here.ack(m)
    assert not asserted(m) and not [m for m in a.inbox if m.method == "UPDATE"]
    there.send("UPDATE", headers=[*number, "Privacy: none"])     # he has changed his mind
    pick(there, 200)
    assert asserted(updated(here)) == ['"Zoe" <sip:+431@us>']
    bye(here)
    take_bye(there)


def test_connected_of_a_stranger_is_his_from_alone(three, stranger, office):
    a, *_ = three
    here, there = dialled(office, a, stranger, headers=CHANGES)
    there.send("UPDATE", headers=['P-Asserted-Identity: "The Boss" <sip:1003@x>', *CHANGES])
    pick(there, 200)
    there.local = '"Max" <sip:+432@x>'
    there.send("UPDATE", headers=['P-Asserted-Identity: "The Boss" <sip:1003@x>', *CHANGES])
    pick(there, 200)
    assert asserted(updated(here)) == ['"Max" <sip:+432@us>']
    bye(here)
    take_bye(there)


@pytest.mark.parametrize("identity,header", [("rpid", "Remote-Party-ID"), ("pai", "P-Asserted-Identity"), ("none", None)])
def test_connected_trunk_is_told_as_its_row_says(three, friend, office, identity, header):
    """A calls out by a trunk and transfers that to C: the trunk is told of C."""
    a, _, c = three
    office.change("UPDATE pbx.trunk SET identity = %s WHERE name = 'friend'", identity)
    here, there = dialled(office, a, friend, headers=UPDATES)
    refer(here, "91003")
    at_c = rings(c)
    answers(at_c)
    if header:
        m = updated(there)
        assert re.match(r'"Jane Jack" <sip:1003@', m[header])
        assert header == "P-Asserted-Identity" or ";party=calling;privacy=off" in m[header]
    assert progress(here)[-1] == 200
    bye(here)
    bye(at_c)
    m = take_bye(there)
