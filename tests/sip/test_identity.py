"""Who is calling, as the other side is told: trust and privacy (RFC 3323, 3325), Session-ID (RFC 7989)."""
import re
import uuid

import pytest

from sip import Dialog, Phone, sdp

ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'
NIL = "0" * 32


class Provider(Phone):
    """A trunk: 0 and a number goes out by it; what it sends is let in by its address."""

    def __init__(self, office, name, **columns):
        super().__init__(office, name)
        self.name = name
        names = "".join(f", {c}" for c in columns)
        office.change(f"INSERT INTO pbx.trunk (domain, name, context, uri{names}) VALUES ('office', '{name}', 'office', %s"
                      f"{', %s' * len(columns)});"
                      "INSERT INTO pbx.trunk_address (domain, name, address) VALUES ('office', %s, %s);"
                      f"INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_0X.');"
                      f"INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES ('office', 'office', '_0X.', 1, 'dial',"
                      f""" '{{"number": "${{number:1}}", "trunk": "{name}"}}')""",
                      f"sip:{self.addr}:{self.port}", *columns.values(), name, f"{self.addr}/32")

    def close(self):
        super().close()
        self.office.change("DELETE FROM pbx.route WHERE pattern = '_0X.'; DELETE FROM pbx.trunk WHERE name = %s", self.name)

    def call(self, number, headers=(), from_=None):
        """An INVITE that nobody challenges."""
        call = Dialog(self, f"sip:{number}@{self.uri_host}")
        call.local = from_ or '"Mallory" <sip:666@evil.example>'
        call.send_invite(sdp(self.addr, 40000), headers)
        return call


@pytest.fixture
def stranger(office):
    with Provider(office, "stranger") as trunk:
        yield trunk


@pytest.fixture
def friend(office):
    with Provider(office, "friend", trusted=True) as trunk:
        yield trunk


@pytest.fixture
def number_outside(office):
    office.change("UPDATE pbx.extension SET caller_id = '+4312341001', identities = '{+43123400}' WHERE number = '1001'")
    yield "+4312341001"
    office.change("UPDATE pbx.extension SET caller_id = NULL, identities = '{}', anonymous = NULL WHERE number = '1001'")


def refuse(there, here):
    there.reply(486, "Busy Here")
    there.expect("ACK", skip=("INVITE",))
    here.ack(here.expect(range(486, 487)[0], skip=(100, 180, 183)))


def who(m):
    """From without its tag and our address."""
    return re.sub(r"@127\.[0-9.]+", "@us", m["From"].split(";tag")[0])


def asserted(m):
    return [re.sub(r"@127\.[0-9.]+", "@us", v) for v in m.all("P-Asserted-Identity")]


# ---- between phones ----

def test_colleague_sees_the_account_not_what_from_says(pair):
    caller, callee = pair
    caller.credentials.take(caller.register_once())
    call = Dialog(caller, f"sip:91002@{caller.uri_host}")
    call.local = '"The Boss" <sip:1001@cordboard>'
    call.send_invite(sdp(caller.addr, 40000), ['P-Asserted-Identity: "The Boss" <sip:1@boss>', "P-Preferred-Identity: <sip:1003@x>"])
    there = callee.answer_invite()
    assert who(there.invite) == '"Olive Operator" <sip:1001@us>'
    assert asserted(there.invite) == ['"Olive Operator" <sip:1001@us>']
    there.ring()
    assert asserted(call.expect(180)) == ['"Paul Plug" <sip:1002@us>']
    there.answer()
    ok = call.expect(200)
    assert asserted(ok) == ['"Paul Plug" <sip:1002@us>']
    call.ack(ok)
    call.bye()
    there.take_bye()


@pytest.mark.parametrize("headers,is_hidden", [
    (["Privacy: id"], True), (["Privacy: user;critical"], True), (["Privacy: header;session"], False), (["Privacy: none"], False)])
def test_privacy_between_phones(pair, headers, is_hidden):
    caller, callee = pair
    here = caller.invite("91002", headers=headers)
    there = callee.answer_invite()
    assert who(there.invite) == (ANONYMOUS if is_hidden else '"Olive Operator" <sip:1001@us>')
    assert len(asserted(there.invite)) == (0 if is_hidden else 1)
    assert "Olive" not in str(there.invite) or not is_hidden
    assert ("1001" in there.invite["Contact"]) != is_hidden
    refuse(there, here)


def test_privacy_that_nobody_knows_but_that_is_critical(pair):
    """RFC 3323 §5: rather no call."""
    caller, _ = pair
    here = caller.invite("91002", headers=["Privacy: invisibility;critical"])
    here.ack(here.expect(500))


def test_anonymous_from_of_an_account(pair):
    """RFC 3323 §4.1.1.3: he proves to us who he is and to nobody else."""
    caller, callee = pair
    call = Dialog(caller, f"sip:91002@{caller.uri_host}")
    call.local = ANONYMOUS
    call.send_invite(sdp(caller.addr, 40000))
    m = call.expect(401)
    call.ack(m)
    caller.credentials.take(m)
    call.send_invite(sdp(caller.addr, 40000))
    there = callee.answer_invite()
    assert who(there.invite) == ANONYMOUS and not asserted(there.invite)
    refuse(there, call)


def test_callee_who_hides_himself(pair):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    there.reply(180, "Ringing", headers=["Privacy: id"])
    assert not asserted(here.expect(180))
    refuse(there, here)


# ---- through trunks ----

def test_stranger_gets_from_and_no_more(pair, stranger, number_outside):
    caller, _ = pair
    here = caller.invite("0123")
    there = stranger.answer_invite()
    assert who(there.invite) == f'"Olive Operator" <sip:{number_outside}@us>'
    assert not asserted(there.invite) and not there.invite.get("Privacy")
    there.reply(180, "Ringing", headers=["P-Asserted-Identity: <sip:777@x>"])
    assert asserted(here.expect(180)) == ["<sip:123@us>"]                    # whom he dialled: a stranger is not believed
    refuse(there, here)
    here = caller.invite("0123", headers=["Privacy: id"])
    there = stranger.answer_invite()
    assert who(there.invite) == ANONYMOUS and not there.invite.get("Privacy")
    assert "1001" not in there.invite["Contact"] and "Olive" not in str(there.invite)
    refuse(there, here)


def test_friend_is_told_with_the_wish(pair, friend, number_outside):
    caller, _ = pair
    here = caller.invite("0123", headers=["Privacy: id"])
    there = friend.answer_invite()
    assert who(there.invite) == ANONYMOUS
    assert asserted(there.invite) == [f'"Olive Operator" <sip:{number_outside}@us>']
    assert there.invite["Privacy"] == "id"
    there.reply(180, "Ringing", headers=['P-Asserted-Identity: "Zoe" <tel:+1-201-555>'])
    assert asserted(here.expect(180)) == ['"Zoe" <sip:+1201555@us>']
    refuse(there, here)


def test_identity_chosen_by_the_phone(pair, friend, number_outside):
    caller, _ = pair
    here = caller.invite("0123", headers=["P-Preferred-Identity: <sip:+43123400@x>"])
    there = friend.answer_invite()
    assert asserted(there.invite) == ['"Olive Operator" <sip:+43123400@us>']
    refuse(there, here)


@pytest.mark.parametrize("identity,headers", [("rpid", ["Remote-Party-ID"]), ("both", ["P-Asserted-Identity", "Remote-Party-ID"]),
                                              ("ppi", ["P-Preferred-Identity"]), ("none", [])])
def test_trunk_is_told_as_its_row_says(pair, friend, office, identity, headers):
    caller, _ = pair
    office.change("UPDATE pbx.trunk SET identity = %s WHERE name = 'friend'", identity)
    here = caller.invite("0123")
    there = friend.answer_invite()
    names = ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID")
    assert [n for n in names if there.invite.get(n)] == headers
    assert all("sip:1001@" in there.invite[n] for n in headers)
    refuse(there, here)


def test_extension_that_is_always_anonymous(pair, friend, office, number_outside):
    caller, callee = pair
    for anonymous, is_hidden_inside in (("outside", False), ("always", True)):
        office.change("UPDATE pbx.extension SET anonymous = %s WHERE number = '1001'", anonymous)
        here = caller.invite("91002")
        there = callee.answer_invite()
        assert (who(there.invite) == ANONYMOUS) == is_hidden_inside
        refuse(there, here)
        here = caller.invite("0123")
        there = friend.answer_invite()
        assert who(there.invite) == ANONYMOUS and there.invite["Privacy"] == "id"
        refuse(there, here)
    here = caller.invite("0123", headers=["Privacy: none"])
    there = friend.answer_invite()
    assert who(there.invite) == f'"Olive Operator" <sip:{number_outside}@us>'
    refuse(there, here)


@pytest.mark.parametrize("headers,shown", [
    ([], '"Mallory" <sip:666@us>'),
    (['P-Asserted-Identity: "Alice" <sip:+1408@x>'], '"Alice" <sip:+1408@us>'),
    (['P-Asserted-Identity: "Alice" <sip:alice@x>, <tel:+1-408>'], '"Alice" <sip:+1408@us>'),
    (['P-Asserted-Identity: "Alice" <sip:+1408@x>', "Privacy: id"], ANONYMOUS),
    (['Remote-Party-ID: "Bob" <sip:5@x>;party=calling;privacy=off'], '"Bob" <sip:5@us>')])
def test_friend_is_believed(pair, friend, cdrs, headers, shown):
    _, callee = pair
    here = friend.call("91002", headers)
    there = callee.answer_invite()
    assert who(there.invite) == shown
    assert asserted(there.invite) == ([] if shown == ANONYMOUS else [shown])
    refuse(there, here)
    number = re.search(r"(?:sip|tel):([^@>]*)", headers[0].replace("-408", "408").split(",")[-1]).group(1) if headers else "666"
    assert cdrs.next().caller == number


def test_stranger_is_not_believed(pair, stranger):
    _, callee = pair
    here = stranger.call("91002", ['P-Asserted-Identity: "The Boss" <sip:1001@x>', "Remote-Party-ID: <sip:1001@x>"])
    there = callee.answer_invite()
    assert who(there.invite) == '"Mallory" <sip:666@us>'
    there.ring()
    m = here.expect(180)
    assert not asserted(m) and not m.get("Remote-Party-ID")
    refuse(there, here)


def test_friend_hears_who_answers(pair, friend, office):
    _, callee = pair
    office.change("UPDATE pbx.trunk SET caller_id = '+43100' WHERE name = 'friend'")
    here = friend.call("91002")
    there = callee.answer_invite()
    there.ring()
    assert asserted(here.expect(180)) == ['"Paul Plug" <sip:+43100@us>']
    refuse(there, here)


def test_dialplan_sets_who_calls(pair, office):
    caller, callee = pair
    office.change("""INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '88');
        INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
            ('office', 'office', '88', 1, 'set', '{"name": "caller_name", "value": "Sales: ${caller_name} (${caller_number})"}'),
            ('office', 'office', '88', 2, 'set', '{"name": "caller_number", "value": "410"}'),
            ('office', 'office', '88', 3, 'dial', '{"number": "1002"}')""")
    try:
        here = caller.invite("88")
        there = callee.answer_invite()
        assert who(there.invite) == '"Sales: Olive Operator (1001)" <sip:410@us>'
        refuse(there, here)
    finally:
        office.change("DELETE FROM pbx.route WHERE pattern = '88'")


# ---- forwards ----

@pytest.fixture
def forwards(office):
    """Adds forwards of extensions and takes them away."""
    def add(*rows):
        for number, reason, target in rows:
            office.change("INSERT INTO pbx.forward (domain, number, reason, target) VALUES ('office', %s, %s, %s)", number, reason, target)
    yield add
    office.change("DELETE FROM pbx.forward")


def ours(value):
    return re.sub(r"@127\.[0-9.]+", "@us", value)


def test_forwards_are_told_to_whom_it_rings(pair, forwards):
    """RFC 5806, newest first; RFC 7044, oldest first."""
    caller, callee = pair
    forwards(("1003", "always", "1004"), ("1004", "unavailable", "1002"))
    here = caller.invite("91003")
    there = callee.answer_invite()
    assert [ours(v) for v in there.invite.all("Diversion")] == ["<sip:1004@us>;reason=unavailable;counter=1;privacy=off",
                                                               "<sip:1003@us>;reason=unconditional;counter=1;privacy=off"]
    assert ours(there.invite["History-Info"]) == ("<sip:1003@us>;index=1, <sip:1004@us;cause=302>;index=1.1;mp=1, "
                                                  "<sip:1002@us;cause=503>;index=1.1.1;mp=1.1")
    refuse(there, here)


def test_caller_is_told_where_his_call_went(pair, forwards):
    """RFC 7044 section 9.4: History-Info in the responses, for who says that he can read it."""
    caller, callee = pair
    forwards(("1003", "always", "1002"))
    for headers, told in [(["Supported: histinfo"], "<sip:1003@us>;index=1, <sip:1002@us;cause=302>;index=1.1;mp=1"), ([], None)]:
        here = caller.invite("91003", headers=headers)
        there = callee.answer_invite()
        there.ring()
        said = [here.expect(180)]
        there.answer()
        said.append(here.expect(200))
        here.ack(said[1])
        for m in said:
            assert m.get("Diversion") is None
            value = m.get("History-Info")
            assert (ours(value) if value else None) == told
        here.bye()
        there.reply(200, "OK", callee.expect("BYE"))


def test_caller_is_told_where_his_call_was_refused(pair, forwards):
    """RFC 7044 section 9.4: a refusal is a response like another."""
    caller, callee = pair
    forwards(("1003", "always", "1002"))
    for headers, told in [(["Supported: histinfo"], "<sip:1003@us>;index=1, <sip:1002@us;cause=302>;index=1.1;mp=1"), ([], None)]:
        here = caller.invite("91003", headers=headers)
        there = callee.answer_invite()
        there.reply(486, "Busy Here")
        there.expect("ACK")
        m = here.expect(486)
        value = m.get("History-Info")
        assert (ours(value) if value else None) == told
        here.ack(m)


@pytest.mark.parametrize("trunk,target", [("stranger", "<sip:anonymous@anonymous.invalid;cause=302>"), ("friend", "<sip:1002@us;cause=302>")])
def test_connected_number_in_history_is_for_the_trusted(pair, forwards, request, trunk, target):
    """RFC 3325 section 7: who answers is told in the trust domain alone, in History-Info as elsewhere."""
    callee = pair[1]
    forwards(("1003", "always", "1002"))
    here = request.getfixturevalue(trunk).call("91003", ["Supported: histinfo"])
    there = callee.answer_invite()
    there.ring()
    assert ours(here.expect(180)["History-Info"]) == f"<sip:1003@us>;index=1, {target};index=1.1;mp=1"
    refuse(there, here)


def test_forward_outside_by_the_number_known_there(pair, stranger, forwards, office, number_outside):
    caller, callee = pair
    forwards(("1001", "always", "0777"))
    with Phone(office, "1003") as third:
        here = third.invite("91001")
        there = stranger.answer_invite()
        assert who(there.invite) == '"Jane Jack" <sip:1003@us>'
        assert ours(there.invite["Diversion"]) == f"<sip:{number_outside}@us>;reason=unconditional;counter=1;privacy=off"
        refuse(there, here)
        office.change("UPDATE pbx.extension SET anonymous = 'outside' WHERE number = '1001'")
        here = third.invite("91001")
        there = stranger.answer_invite()
        assert there.invite["Diversion"] == "<sip:anonymous@anonymous.invalid>;reason=unconditional;counter=1;privacy=full"
        assert number_outside not in str(there.invite)
        refuse(there, here)


def test_phone_diverts(pair, office):
    """RFC 3261 §21.3: 302."""
    caller, callee = pair
    with Phone(office, "1003") as third:
        third.register()
        here = caller.invite("91002")
        there = callee.answer_invite()
        there.reply(302, "Moved Temporarily", contact=False, headers=[f"Contact: <sip:1003@{caller.uri_host}>"])
        there.expect("ACK")
        there = third.answer_invite()
        assert ours(there.invite["Diversion"]) == "<sip:1002@us>;reason=deflection;counter=1;privacy=off"
        refuse(there, here)
        third.unregister()


def test_forwards_of_others_are_passed_on(pair, stranger):
    caller, callee = pair
    here = stranger.call("91002", ["Diversion: <sip:+431@x>;reason=user-busy;counter=2", "Diversion: <sip:+432@x>;reason=away;privacy=full"])
    there = callee.answer_invite()
    assert [ours(v) for v in there.invite.all("Diversion")] == [
        "<sip:+431@us>;reason=user-busy;counter=2;privacy=off", "<sip:anonymous@anonymous.invalid>;reason=away;counter=1;privacy=full"]
    refuse(there, here)


def test_phones_are_not_asked_by_whom_they_were_forwarded(pair):
    caller, callee = pair
    here = caller.invite("91002", headers=["Diversion: <sip:+431@x>;reason=user-busy"])
    there = callee.answer_invite()
    assert not there.invite.get("Diversion")
    refuse(there, here)


@pytest.mark.parametrize("diversion", ["<sip:5@x>;reason=away;counter=10", "<sip:1001@x>;reason=unconditional"])
def test_forward_in_a_circle_outside_ends(pair, stranger, forwards, diversion):
    forwards(("1001", "always", "0777"))
    here = stranger.call("91001", [f"Diversion: {diversion}"])
    here.ack(here.expect(480))
    stranger.expect_none(0.1)


def test_forward_in_a_circle_that_nobody_tells(pair, stranger, forwards):
    """A network that drops Diversion and Max-Forwards: the calls pile up, and end."""
    forwards(("1001", "always", "0777"))
    first = stranger.call("91001")
    held = []
    while True:
        m = stranger.expect("INVITE", 480, skip=(100,))
        if m.status:
            break
        assert len(held) < 10
        held.append(Dialog.of_invite(stranger, m))
        last = stranger.call("91001")
    last.ack(m)
    assert len(held) == 5
    first.cancel()
    for call in held:
        call.reply(486, "Busy Here")
    seen = set()
    while len(seen) < 5:
        m = stranger.expect(486, 487, "CANCEL", "ACK", 200, skip=(100,))
        if m.method == "CANCEL":
            stranger.reply(m, 200, "OK")
        elif m.status in (486, 487):
            stranger.send(stranger.request("ACK", f"sip:91001@{stranger.uri_host}", call_id=m["Call-ID"], cseq=m.cseq, branch=m.branch,
                                           from_tag=m.from_tag, to=m["To"], from_=m["From"].split(";tag")[0]))
            seen.add(m["Call-ID"])


# ---- headers that pass ----

def test_headers_between_phones(pair):
    caller, callee = pair
    mine = {"User-to-User": "56a390f3;encoding=hex", "Alert-Info": "<http://x/ring.wav>", "Answer-Mode": "Auto", "Subject": "lunch"}
    here = caller.invite("91002", headers=[f"{n}: {v}" for n, v in mine.items()] + ["X-Mine: 1", "Identity: x", "Record-Route: <sip:1.2.3.4;lr>"])
    there = callee.answer_invite()
    assert {n: there.invite.get(n) for n in mine} == mine
    assert not any(there.invite.get(n) for n in ("X-Mine", "Identity", "Record-Route"))
    there.reply(180, "Ringing", headers=["Alert-Info: <urn:alert:service:call-waiting>", "Subject: no"])
    m = here.expect(180)
    assert m["Alert-Info"] == "<urn:alert:service:call-waiting>" and not m.get("Subject")
    refuse(there, here)


def test_headers_through_a_trunk_as_its_rows_say(pair, stranger, office):
    caller, callee = pair
    headers = ["Alert-Info: <http://x/ring.wav>", "X-In: 1", "X-Out: 2", "Priority: urgent"]

    def arrive(there):
        return [n for n in ("Alert-Info", "X-In", "X-Out", "Priority") if there.invite.get(n)]

    def both():
        here = stranger.call("91002", headers)
        there = callee.answer_invite()
        came_in = arrive(there)
        refuse(there, here)
        here = caller.invite("0123", headers=headers)
        there = stranger.answer_invite()
        went_out = arrive(there)
        refuse(there, here)
        return came_in, went_out

    assert both() == (["Priority"], ["Priority"])
    office.change("INSERT INTO pbx.pass_header VALUES ('office', 'stranger', 'in', 'X-In'), ('office', 'stranger', 'out', 'X-Out'),"
                  " ('office', NULL, 'in', 'Alert-Info')")
    try:
        assert both() == (["Alert-Info", "X-In", "Priority"], ["X-Out", "Priority"])
    finally:
        office.change("DELETE FROM pbx.pass_header")


def test_headers_are_set_by_rows(pair, stranger, office):
    """What calls to a trunk say, and calls from it, is the administrator's: set, or held back."""
    caller, callee = pair
    office.change("INSERT INTO pbx.pass_header VALUES ('office', 'stranger', 'out', 'X-Account', 'K 4711'),"
                  " ('office', 'stranger', 'out', 'User-to-User', ''), ('office', 'stranger', 'in', 'Alert-Info', '<urn:alert:source:external>')")
    try:
        here = caller.invite("0123", headers=["X-Account: mine", "User-to-User: 56;encoding=hex", "Priority: urgent"])
        there = stranger.answer_invite()
        invite = there.invite
        assert invite["X-Account"] == "K 4711" and invite["Priority"] == "urgent" and not invite.get("User-to-User")
        refuse(there, here)
        here = stranger.call("91002", ["Alert-Info: <http://x/ring.wav>", "User-to-User: 56;encoding=hex"])
        there = callee.answer_invite()
        assert there.invite["Alert-Info"] == "<urn:alert:source:external>" and there.invite["User-to-User"] == "56;encoding=hex"
        assert not there.invite.get("X-Account")
        refuse(there, here)
    finally:
        office.change("DELETE FROM pbx.pass_header")


def test_what_tells_of_who_hides_himself_stays(pair):
    caller, callee = pair
    here = caller.invite("91002", headers=["Privacy: id", "Subject: it is me", "Call-Info: <http://x/me.jpg>;purpose=icon", "Priority: urgent"])
    there = callee.answer_invite()
    assert not there.invite.get("Subject") and not there.invite.get("Call-Info") and there.invite["Priority"] == "urgent"
    refuse(there, here)


@pytest.mark.parametrize("headers,said,told", [(["P-Early-Media: supported"], [], "sendrecv"), ([], [], None), ([], ["P-Early-Media: sendonly"], "sendonly"),
                                               (["P-Early-Media: supported"], ["P-Early-Media: sendonly"], "sendonly")])
def test_early_media_is_announced_to_a_network_that_asks(pair, stranger, headers, said, told):
    """RFC 5009: who says "supported" lets nothing be heard that isn't announced; who is called may not know of it."""
    _, callee = pair
    here = stranger.call("91002", headers)
    there = callee.answer_invite()
    there.reply(183, "Session Progress", headers=said, body=sdp(callee.addr, 40000))
    m = stranger.expect(183)
    assert m.body and m.get("P-Early-Media") == told
    there.reply(180, "Ringing", headers=said)
    m = stranger.expect(180)                                                # with the description once more
    assert m.body and m.get("P-Early-Media") == told
    refuse(there, here)


def test_early_media_that_a_network_holds_back(pair, stranger):
    """RFC 5009."""
    caller, _ = pair
    here = caller.invite("0123", headers=["P-Early-Media: supported"])
    there = stranger.answer_invite()
    assert there.invite["P-Early-Media"] == "supported"
    there.reply(183, "Session Progress", headers=["P-Early-Media: inactive"], body=sdp(stranger.addr, 40000))
    m = here.expect(180)
    assert not m.body and m["P-Early-Media"] == "inactive"
    there.reply(183, "Session Progress", headers=["P-Early-Media: sendrecv"], body=sdp(stranger.addr, 40000))
    m = here.expect(183)
    assert m.body and m["P-Early-Media"] == "sendrecv"
    refuse(there, here)


# ---- Session-ID ----

def session(m):
    found = re.fullmatch(r"([0-9a-f]{32});remote=([0-9a-f]{32})", m["Session-ID"])
    return found.groups()


def test_session_is_one_for_both_legs(pair, cdrs, office):
    caller, callee = pair
    a, b = uuid.uuid4().hex, uuid.uuid4().hex
    here = caller.invite("91002", headers=[f"Session-ID: {a};remote={NIL}"])
    there = callee.answer_invite()
    assert session(there.invite) == (a, NIL)
    there.reply(180, "Ringing", headers=[f"Session-ID: {b};remote={a}"])
    assert session(here.expect(180)) == (b, a)
    there.reply(200, "OK", body=sdp(callee.addr, 40000), headers=[f"Session-ID: {b};remote={a}"])
    assert session(there.expect("ACK")) == (a, b)
    ok = here.expect(200)
    assert session(ok) == (b, a)
    here.ack(ok)
    here.send("BYE", headers=[f"Session-ID: {a};remote={b}"])
    assert session(there.take_bye()) == (a, b)
    assert session(here.expect(200)) == (b, a)
    cdr = cdrs.next()
    assert cdr.session_id.replace("-", "") == a
    assert [leg.session_id.replace("-", "") for leg in cdr.legs] == [a, b]
    assert f"session={a}" in office.log


def test_session_of_phones_that_have_none(pair, cdrs):
    caller, callee = pair
    here = caller.invite("91002")
    there = callee.answer_invite()
    a, nil = session(there.invite)
    assert nil == NIL and a != NIL
    there.answer()
    ok = here.expect(200)
    b, again = session(ok)
    assert again == a and b not in (a, NIL)
    here.ack(ok)
    here.send("BYE")
    assert session(there.take_bye()) == (a, b)
    assert session(here.expect(200)) == (b, a)
    assert [leg.session_id.replace("-", "") for leg in cdrs.next().legs] == [a, b]


def test_session_of_an_older_phone(pair):
    """RFC 7329: one UUID for both ends, which the other sends back."""
    caller, callee = pair
    a = uuid.uuid4().hex
    here = caller.invite("91002", headers=[f"Session-ID: {a}"])
    there = callee.answer_invite()
    assert session(there.invite) == (a, NIL)
    there.reply(180, "Ringing", headers=[f"Session-ID: {a}"])
    b, again = session(here.expect(180))
    assert again == a and b not in (a, NIL)
    refuse(there, here)


def test_session_kept_when_refused_cancelled_and_challenged(pair):
    caller, callee = pair
    a = uuid.uuid4().hex
    caller.send(caller.request("INVITE", f"sip:91002@{caller.uri_host}", body=sdp(caller.addr, 40000), headers=[
        f"Contact: {caller.contact}", f"Session-ID: {a};remote={NIL}"], call_id=f"c{a}", branch="z9hG4bKx" + a, from_tag="t"))
    m = caller.expect(401)
    assert session(m) == (NIL, a)
    caller.send(caller.request("ACK", f"sip:91002@{caller.uri_host}", call_id=f"c{a}", branch="z9hG4bKx" + a, from_tag="t", to=m["To"]))
    caller.credentials.take(m)
    here = caller.invite("91002", headers=[f"Session-ID: {a};remote={NIL}"])
    there = callee.answer_invite()
    there.ring()
    b, _ = session(here.expect(180))
    here.cancel([f"Session-ID: {a};remote={NIL}"])
    assert session(here.expect(200)) == (b, a)
    m = here.expect(487)
    assert session(m) == (b, a)
    here.ack(m)
    cancel = there.expect("CANCEL")
    assert session(cancel) == (a, NIL)
    there.reply(200, "OK", cancel)
    there.reply(487, "Request Terminated")
    assert session(there.expect("ACK")) == (a, NIL)


def test_session_where_an_application_is_the_other_end(office, cdrs):
    with Phone(office, "1001") as caller:
        here = caller.invite("600")
        ok = here.expect(200)
        own, a = session(ok)
        here.ack(ok)
        here.bye()
        cdr = cdrs.next()
        assert cdr.call.replace("-", "") == own and cdr.session_id.replace("-", "") == a
