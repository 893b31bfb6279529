"""pbx.why() names what was done to a call: one fault after the other is put in its way, and the sentences say which it was."""
import re

import pytest

from office import ROOT, wait_until
from rtp import Rtp
from sip import Phone, media_of, sdp

SETUP = """
INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'first', 'lobby', 'sip:{first}'), ('office', 'second', 'lobby', 'sip:{second}'),
    ('office', 'nowhere', 'lobby', 'sip:nowhere.invalid');
INSERT INTO pbx.schedule (domain, schedule, timezone) VALUES ('office', 'never', 'UTC');
INSERT INTO pbx.trunk_group (domain, name) VALUES ('office', 'out');
INSERT INTO pbx.trunk_group_member (domain, name, trunk, position) VALUES ('office', 'out', 'first', 1), ('office', 'out', 'second', 2);
INSERT INTO pbx.route (domain, context, pattern) SELECT 'office', 'office', p FROM unnest('{{_0X.,_5X.,80,81,82}}'::text[]) AS p;
INSERT INTO pbx.step VALUES
    ('office', 'office', '_0X.', 1, 'dial', '{{"number": "${{number:1}}", "trunk": "out"}}'),
    ('office', 'office', '_5X.', 1, 'dial', '{{"number": "${{number:1}}", "trunk": "nowhere"}}'),
    ('office', 'office', '80', 1, 'goto', '{{"number": "81"}}'), ('office', 'office', '81', 1, 'goto', '{{"number": "80"}}'),
    ('office', 'office', '82', 2, 'hangup', '{{"status": "480"}}');
INSERT INTO pbx.step VALUES ('office', 'office', '82', 1, 'answer', '{{}}', 'schedule=never');
"""
UNDO = """
DELETE FROM pbx.route WHERE pattern IN ('_0X.', '_5X.', '80', '81', '82'); DELETE FROM pbx.trunk_group;
DELETE FROM pbx.trunk WHERE name IN ('first', 'second', 'nowhere'); DELETE FROM pbx.schedule WHERE schedule = 'never';
DELETE FROM pbx.forward; DELETE FROM pbx.blocked_caller;
UPDATE pbx.domain SET call_limit = NULL, media_timeout_s = NULL; UPDATE pbx.extension SET call_limit = DEFAULT, srtp = DEFAULT, ring_s = DEFAULT
"""


@pytest.fixture
def house(office):
    with Phone(office, "1001") as caller, Phone(office, "1003") as callee, Phone(office, "a") as first, Phone(office, "b") as second:
        office.change(SETUP.format(first=f"{first.host}:{first.port}", second=f"{second.host}:{second.port}"))
        callee.register()
        try:
            yield caller, callee, first, second
        finally:
            callee.unregister()
            office.change(UNDO)


@pytest.fixture
def why(office, cdrs):
    """What is said of the next call that ends."""
    def ask(call=None, is_ours=True):
        call = call or cdrs.next().call
        wait_until(lambda: office.sql("SELECT 1 FROM pbx.decision_log WHERE call = %s", str(call)))
        rows = office.sql("SELECT extract(epoch FROM after)::float, says FROM pbx.why(%s)", str(call))
        times = [at for at, _ in rows[:-1]]
        assert times[0] < 0.1 and all(at >= 0 for at in times), rows
        assert not is_ours or not re.search(r"[{}\[\]]|\(\)| \.|:\s*\.", " ".join(says for _, says in rows)), rows
        return "\n".join(says for _, says in rows)
    return ask


@pytest.fixture
def why_refused(office):
    """The same of one that was refused at once."""
    since = office.sql("SELECT clock_timestamp()")[0][0]

    def ask(dialled):
        call, status, says = wait_until(lambda: office.sql("SELECT call::text, status, why FROM pbx.refused_call WHERE dialled = %s AND at > %s - interval '1 s'"
                                                           " ORDER BY at DESC LIMIT 1", dialled, since))[0]
        told = "\n".join(row[0] for row in office.sql("SELECT says FROM pbx.why(%s)", call))
        assert says in told.replace("\n", " ")
        return status, told
    return ask


def has(text, *sentences):
    """Those, in this order."""
    at = 0
    for sentence in sentences:
        found = re.compile(sentence).search(text, at)
        assert found, f"{sentence!r} isn't there, or not in that place, in:\n{text}"
        at = found.end()


def refused(here, status):
    m = here.expect(status)
    here.ack(m)
    return m


def test_call_that_went_well(house, why):
    caller, callee, *_ = house
    here = caller.invite("91003")
    there = callee.answer_invite()
    there.ring()
    here.expect(180)
    there.answer()
    here.ack(here.expect(200))
    here.bye()
    there.take_bye()
    has(why(), rf"Call from 1001 at udp {re.escape(caller.sent_by)} to 91003, known by its password\.",
        r"91003 takes the route _9XXXX of context office \(plan as of change [1-9]\d*\)\.", r"Step 1: dial \(number=1003\)\.",
        rf"1003 \(leg 2\) is called at {re.escape(callee.sent_by)}", r"1003 \(leg 2\) rings \(180, ringing\)\.", r"1003 \(leg 2\) answers\.",
        r"The caller talks with 1003 \(leg 2\), in PCMU\.", r"1001 \(leg 1\) hangs up\.",
        r"Over after [\d.]+ s, of which they talked [\d.]+ s: answered, hung up by the caller\.")


# ---- refused before there is a route ----

def test_wrong_password(office, house, why_refused):
    with Phone(office, "1004", password="wrong") as phone:
        here = phone.invite("91007")
        refused(here, 401)
    assert why_refused("91007")[0] == 401
    has(why_refused("91007")[1], "Call from 1004 at udp", "Refused with 401, wrong password: Wrong password or unknown user")


@pytest.mark.office(guard={"failures": 5})
def test_password_that_was_wrong_once_too_often(own_office):
    """Whoever is banned isn't heard any more: what is kept is the last of his calls, which says so."""
    with Phone(own_office, "1004", password="wrong") as phone:
        for i in range(6):
            here = phone.invite(f"7{i:03}")
            refused(here, 401)
            phone.credentials.challenge = None
    own_office.wait_sql("SELECT 1 FROM pbx.ban WHERE until > now()")
    own_office.wait_sql("SELECT 1 FROM pbx.refused_call WHERE why LIKE '%%once too often%%'")
    assert own_office.sql("SELECT dialled FROM pbx.refused_call WHERE why LIKE '%%once too often%%'") == [("7005",)]


def test_asking_for_the_password_is_no_refusal(office, house, cdrs):
    caller, callee, *_ = house
    before = office.sql("SELECT count(*) FROM pbx.refused_call")
    here = caller.invite("91009")            # asked for its password first
    refused(here, 480)
    cdrs.next()
    assert office.sql("SELECT count(*) FROM pbx.refused_call") == before


def test_somebody_elses_password(office, house, why_refused):
    with Phone(office, "1004") as phone:
        call_id = "elses@test"
        phone.send(phone.request("INVITE", f"sip:91008@{phone.uri_host}", call_id=call_id, from_=f"<sip:1005@{phone.domain}>", body=sdp(phone.addr, 4000),
                                 headers=[f"Contact: {phone.contact}"]))
        m = phone.expect(401)
        phone.credentials.take(m)
        phone.send(phone.request("INVITE", f"sip:91008@{phone.uri_host}", call_id=call_id, cseq=2, from_=f"<sip:1005@{phone.domain}>", body=sdp(phone.addr, 4000),
                                 headers=[f"Contact: {phone.contact}", phone.credentials.header("INVITE", f"sip:91008@{phone.uri_host}")]))
        phone.expect(403)
    has(why_refused("91008")[1], "Call from 1005", "403, forbidden: Credentials belong to another user")


def test_session_timer_that_is_too_short(house, why_refused):
    caller, *_ = house
    refused(caller.invite("91010", headers=["Supported: timer", "Session-Expires: 10"]), 422)
    status, says = why_refused("91010")
    assert status == 422
    has(says, "Call from 1001", "It wants a shorter session timer than may be")


def test_limit_of_the_extension(office, house, why_refused):
    caller, *_ = house
    office.change("UPDATE pbx.extension SET call_limit = 0 WHERE number = '1001'")
    refused(caller.invite("91003"), 486)
    has(why_refused("91003")[1], "The limit of calls at once of extension 1001 is reached: 0")


def test_limit_of_the_domain(office, house, why_refused):
    caller, *_ = house
    office.change("UPDATE pbx.domain SET call_limit = 0")
    refused(caller.invite("91005"), 486)
    has(why_refused("91005")[1], "The limit of calls at once of domain office is reached: 0")


def test_blocked_caller(office, house, why_refused):
    _, _, first, _ = house
    office.change("INSERT INTO pbx.trunk_address (domain, name, address) VALUES ('office', 'first', %s)", first.addr)
    office.change("INSERT INTO pbx.blocked_caller (domain, pattern) VALUES ('office', '_0900.')")
    first.user = "090012"
    refused(first.invite("4711", auth=False), 603)
    status, says = why_refused("4711")
    assert status == 603
    has(says, "Call from 090012 over trunk first at udp .* to 4711, known by its address", r"090012 is a blocked caller \(pattern _0900\.\)")


# ---- the plan ----

def test_no_such_number(house, why):
    caller, *_ = house
    refused(caller.invite("3333"), 404)
    has(why(), "There is no route for 3333 in context office", "The caller is told 404, no such number", "never answered: invalid, ended by the system")


def test_routes_that_go_in_a_circle(house, why):
    caller, *_ = house
    caller.invite("80").expect(500)
    has(why(), "80 takes the route 80", "Step 1: goto", "81 takes the route 81", r"More than 20 routes lead into each other.*goes in a circle")


def test_schedule_that_is_closed(house, why):
    caller, *_ = house
    refused(caller.invite("82"), 480)
    has(why(), r'Step 1, answer, is left out: "schedule=never" does not hold, for schedule:never is "closed"\.', r"Step 2: hangup \(status=480\)")


def test_emergency_number(office, house, why):
    caller, callee, *_ = house
    office.change("INSERT INTO pbx.emergency_number VALUES ('office', '91003', 'office')")
    try:
        here = caller.invite("91003")
        there = callee.answer_invite()
        there.reply(486, "Busy Here")
        there.expect("ACK")
        refused(here, 486)
    finally:
        office.change("DELETE FROM pbx.emergency_number")
    has(why(), "91003 is an emergency number: context office")


def test_public_number(office, house, why):
    _, callee, first, _ = house
    office.change("INSERT INTO pbx.trunk_address (domain, name, address) VALUES ('office', 'first', %s)", first.addr)
    office.change("INSERT INTO pbx.inbound_number VALUES ('_4312XXXX', 'office', '9${number:4}')")
    try:
        here = first.invite("43121003", auth=False)
        there = callee.answer_invite()
        there.reply(603, "Decline")
        there.expect("ACK")
        refused(here, 603)
    finally:
        office.change("DELETE FROM pbx.inbound_number")
    has(why(), r"over trunk first", r"The public number 43121003 \(pattern _4312XXXX\) leads to 91003 in context office")


def test_hops_used_up(house, why):
    caller, *_ = house
    caller.credentials.take(caller_challenge(caller))
    d = caller.request("INVITE", f"sip:91003@{caller.uri_host}", max_forwards=1, body=sdp(caller.addr, 4000),
                       headers=[f"Contact: {caller.contact}", caller.credentials.header("INVITE", f"sip:91003@{caller.uri_host}")])
    caller.send(d)
    caller.expect(483)
    has(why(), r"passed on so often that it goes no further \(483, too many hops\)")


def caller_challenge(phone):
    phone.send(phone.request("OPTIONS", f"sip:91003@{phone.uri_host}", headers=[f"Contact: {phone.contact}"]))
    m = phone.expect(200, 401)
    if m.status == 401:
        return m
    phone.send(phone.request("INVITE", f"sip:91003@{phone.uri_host}", headers=[f"Contact: {phone.contact}"]))
    return phone.expect(401)


# ---- who is called ----

def test_nobody_registered(house, why):
    caller, *_ = house
    refused(caller.invite("91009"), 480)
    has(why(), "1009 is not rung: no phone of it is registered", "dial came to: unavailable", "The caller is told 480, not available: Not registered")


def test_no_such_extension(house, why):
    caller, *_ = house
    refused(caller.invite("94444"), 404)
    has(why(), "4444 is not rung: there is no such extension")


def test_callee_has_as_many_calls_as_he_may(office, house, why):
    caller, *_ = house
    office.change("UPDATE pbx.extension SET call_limit = 0 WHERE number = '1003'")
    refused(caller.invite("91003"), 486)
    has(why(), "1003 is not rung: it has as many calls as it may", "The caller is told 486, busy: Call limit reached")


@pytest.mark.parametrize("status,phrase,says", [
    (486, "Busy Here", "refuses with 486 Busy Here"), (603, "Decline", "refuses with 603 Decline"), (488, "Not Acceptable Here", "refuses with 488 Not Acceptable Here")])
def test_refusal(house, why, status, phrase, says):
    caller, callee, *_ = house
    here = caller.invite("91003")
    there = callee.answer_invite()
    there.reply(status, phrase)
    there.expect("ACK")
    refused(here, status)
    has(why(), rf"1003 \(leg 2\) {says}", rf"The caller is told {status}")


def test_refusal_with_a_reason_of_its_own(house, why):
    caller, callee, *_ = house
    here = caller.invite("91003")
    there = callee.answer_invite()
    there.reply(480, "Away", headers=['Reason: Q.850;cause=19;text="gone {2} fishing"'])
    there.expect("ACK")
    refused(here, 480)
    # What comes from outside is put in as it is, however much it looks like a placeholder.
    has(why(is_ours=False), r"1003 \(leg 2\) refuses with 480 Away: gone \{2\} fishing\.", r"The caller is told 480, not available: gone \{2\} fishing")


def test_busy_and_forwarded(office, house, why):
    caller, callee, *_ = house
    office.change("INSERT INTO pbx.forward VALUES ('office', '1003', 'busy', '1009')")
    here = caller.invite("91003")
    there = callee.answer_invite()
    there.reply(486, "Busy Here")
    there.expect("ACK")
    refused(here, 480)
    has(why(), r"1003 \(leg 2\) refuses with 486", r"1003 is forwarded \(busy\) to 1009", "1009 is not rung: no phone of it is registered")


def test_no_answer_and_voicemail(office, house, why):
    caller, callee, *_ = house
    office.change("UPDATE pbx.extension SET ring_s = 1 WHERE number = '1003'")
    here = caller.invite("1003")
    there = callee.answer_invite()
    there.ring()
    here.ack(here.expect(200, skip=(100, 180)))
    there.expect("CANCEL")
    here.bye()
    has(why(), "1003 did not answer in time", r"1003 \(leg 2\) is not called any more: No answer", "dial came to: no answer", "Step 2: voicemail",
        "The caller is answered by the application voicemail", r"1001 \(leg 1\) hangs up")


def test_caller_gives_up(house, why):
    caller, callee, *_ = house
    here = caller.invite("91003")
    there = callee.answer_invite()
    there.ring()
    here.expect(180)
    here.cancel()
    here.expect(200)
    refused(here, 487)
    there.expect("CANCEL")
    has(why(), r"1003 \(leg 2\) rings", r"1001 \(leg 1\) gives up", r"1003 \(leg 2\) is not called any more", "never answered: hangup, ended by the caller")


def test_redirected(house, why):
    caller, callee, *_ = house
    here = caller.invite("91003")
    there = callee.answer_invite()
    there.reply(302, "Moved", headers=[f"Contact: <sip:1009@{callee.uri_host}>"], contact=False)
    there.expect("ACK")
    refused(here, 480)
    has(why(), r"1003 \(leg 2\) refuses with 302 Moved", r"1003 is forwarded \(.*\) to 1009", "1009 is not rung")


# ---- trunks ----

def test_trunk_fails_and_the_next_is_tried(house, why):
    caller, _, first, second = house
    here = caller.invite("0123")
    for trunk in first, second:
        there = trunk.answer_invite()
        there.reply(503 if trunk is first else 404, "No")
        there.expect("ACK")
    refused(here, 404)
    has(why(), r"123 \(leg 2\) is called over trunk first at 127", r"123 \(leg 2\) refuses with 503 No",
        r"The call did not go by trunk first \(503, service unavailable\): the next one is tried", r"123 \(leg 3\) is called over trunk second",
        r"123 \(leg 3\) refuses with 404 No", "The caller is told 404")


def test_trunk_is_full(office, house, why):
    caller, _, first, second = house
    office.change("UPDATE pbx.trunk SET call_limit = 0 WHERE name = 'first'")
    here = caller.invite("0123")
    second.answer_invite().reply(486, "Busy")
    refused(here, 486)
    has(why(), "123 is not rung: the trunk has as many calls as it may", r"The call did not go by trunk first \(503", "over trunk second")


def test_trunk_is_not_due(office, house, why):
    caller, _, first, second = house
    office.change("UPDATE pbx.trunk_group_member SET schedule = 'never' WHERE trunk = 'first'")
    here = caller.invite("0123")
    second.answer_invite().reply(486, "Busy")
    refused(here, 486)
    has(why(), "Trunk first is left out: its schedule never is closed now", "over trunk second")


def test_trunk_has_no_address(house, why):
    caller, *_ = house
    refused(caller.invite("5123"), 503)
    has(why(), "123 is not rung: the name of the trunk leads to no address")


# ---- media ----

def test_no_codec_in_common(house, why):
    caller, *_ = house
    here = caller.invite("91003", sdp(caller.addr, 4000, [(97, "iLBC/8000")]))
    refused(here, 488)
    has(why(), r"There is no codec in common with 1001 \(leg 1\), who may have .*G722.*PCM", "Refused with 488, no media in common")


def test_answer_without_a_codec(house, why):
    caller, callee, *_ = house
    here = caller.invite("91003")
    there = callee.answer_invite()
    there.answer(sdp(callee.addr, 4000, [(97, "iLBC/8000")]))
    there.take_bye()
    here.ack(here.expect(*range(400, 700)))
    has(why(), r"There is no codec in common with 1003 \(leg 2\)")


def test_sound_is_converted(house, why):
    caller, callee, *_ = house
    here = caller.invite("91003", sdp(caller.addr, 4000, [(0, "PCMU/8000")]))
    there = callee.answer_invite()
    there.answer(sdp(callee.addr, 4002, [(8, "PCMA/8000")]))
    here.ack(here.expect(200))
    here.bye()
    there.take_bye()
    has(why(), r"The caller talks with 1003 \(leg 2\); sound is converted between PCMA and PCMU")


def test_encryption_is_required(office, house, why):
    caller, *_ = house
    office.change("UPDATE pbx.extension SET srtp = 'require' WHERE number = '1001'")
    refused(caller.invite("91003"), 488)
    has(why(), r"1001 \(leg 1\) must encrypt its media \(srtp is .require.\) and offers no keys")


def test_phone_behind_a_nat(office, house, why):
    caller, callee, *_ = house
    with Rtp(caller.addr, 41000) as rtp:
        here = caller.invite("91003", sdp("192.0.2.77", 4000, [(0, "PCMU/8000")]))
        there = callee.answer_invite()
        there.answer()
        m = here.expect(200)
        here.ack(m)
        rtp.send_to(media_of(m.body))
        rtp.start()
        wait_until(lambda: office.sql("SELECT 1 FROM pbx.call_decision WHERE kind = 'latched' AND args[1] = '1' AND at > now() - interval '10 s'"))
        here.bye()
        there.take_bye()
    has(why(), r"Sound of 1001 \(leg 1\) comes from .*:41000, not from 192\.0\.2\.77:4000 as it had said")


def test_phone_that_went_silent(office, house, why):
    caller, callee, *_ = house
    office.change("UPDATE pbx.domain SET media_timeout_s = 2")
    here = caller.invite("91003")
    there = callee.answer_invite()
    there.answer()
    here.ack(here.expect(200))
    here.take_bye(timeout=8)
    there.take_bye(timeout=8)
    has(why(), r"Nothing came from 100\d \(leg \d\) any more, neither sound nor reports, though talking: it is given up")


def test_hold(house, why):
    caller, callee, *_ = house
    here = caller.invite("91003")
    there = callee.answer_invite()
    there.answer()
    here.ack(here.expect(200))
    for direction in "sendonly", "sendrecv":
        here.send("INVITE", sdp(caller.addr, 40000, direction=direction, version=2))
        here.ack(here.expect(200))
    here.bye()
    there.take_bye()
    has(why(), r"1001 \(leg 1\) holds the call", r"1001 \(leg 1\) goes on with the call")


# ---- who goes elsewhere ----

def test_transfer(office, house, cdrs, why):
    caller, callee, *_ = house
    with Phone(office, "1005") as third:
        third.register()
        here = caller.invite("91003")
        there = callee.answer_invite()
        there.answer()
        here.ack(here.expect(200))
        there.send("REFER", headers=[f"Refer-To: <sip:91005@{callee.uri_host}>", f"Contact: {callee.contact}"])
        there.expect(202)
        at_third = third.answer_invite()
        at_third.answer()
        third.unregister()
        here.bye(skip=("INVITE", "UPDATE"))
        at_third.take_bye()
        there.take_bye(skip=("NOTIFY",))
        calls = [cdrs.next(), cdrs.next()]
    first, second = sorted(calls, key=lambda c: c.transferred_by is not None)
    has(why(first.call), r"1001 \(leg 1\) goes on in call " + str(second.call))
    has(why(second.call), rf"1001 was transferred by 1003 to 91005; before that see call {first.call}", r"1005 \(leg 2\) is called")


def test_pick_up(office, house, why):
    caller, callee, *_ = house
    office.change("UPDATE pbx.extension SET pickup_group = 'x' WHERE number IN ('1003', '1005')")
    try:
        with Phone(office, "1005") as other:
            here = caller.invite("91003")
            there = callee.answer_invite()
            there.ring()
            here.expect(180)
            m = there.invite
            taker = other.invite("91003", headers=[f"Replaces: {m['Call-ID']};to-tag={there.tag};from-tag={m.from_tag}"])
            taker.ack(taker.expect(200))
            here.ack(here.expect(200))
            there.expect("CANCEL")
            here.bye()
            taker.take_bye()
    finally:
        office.change("UPDATE pbx.extension SET pickup_group = NULL")
    has(why(), r"1003 \(leg 2\) rings", r"1005 \(leg 3\) takes the place of leg 2", r"1003 \(leg 2\) is not called any more: Call completed elsewhere",
        r"The caller talks with 1005 \(leg 3\)")


# ---- now ----

def test_call_in_progress(office, house, cdrs, why):
    caller, callee, *_ = house
    here = caller.invite("91003")
    there = callee.answer_invite()
    there.ring()
    here.expect(180)

    def now():
        rows = office.sql("SELECT w.says FROM pbx.call AS c, pbx.why(c.call) AS w WHERE c.caller = '1001' AND c.dialled = '91003'")
        return "\n".join(row[0] for row in rows)
    wait_until(lambda: "rings" in now())
    has(now(), "Call from 1001", r"91003 takes the route", r"1003 \(leg 2\) rings", "The call is still in progress")
    there.answer()
    here.ack(here.expect(200))
    wait_until(lambda: "talks with" in now())
    here.bye()
    there.take_bye()
    has(why(), "talks with", "hung up by the caller")


def test_call_that_nobody_knows(office):
    assert office.sql("SELECT says FROM pbx.why(gen_random_uuid())")[0][0].startswith("There is no such call")


def test_every_kind_has_its_sentence(office):
    names = set(re.findall(r'\[DECISION_\w+\] = "(\w+)"', (ROOT / "src/call/decision.c").read_text()))
    assert len(names) > 40
    assert {row[0] for row in office.sql("SELECT kind FROM pbx.decision_kind")} == names | {"more"}
