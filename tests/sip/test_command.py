"""Commands in SQL (pbx.command): what they do to calls, what comes of them, and that each is carried out once whoever dies when.

A talks with B; C is where a call is sent on to."""
import subprocess
import sys
import time

import psycopg2
import pytest

from office import wait_until
from rtp import tone
from sip import Phone
from test_conference import HZ, Member, room  # noqa: F401
from test_media import MUSIC_S, Side
from test_media import talk as media_talk
from transfers import answers, bye, called, pick, phones, rings, take, take_bye, talk

ASKING = """
import os, psycopg2, signal, sys
connection = psycopg2.connect(sys.argv[1])
connection.cursor().execute(sys.argv[2])
if sys.argv[3] == "commit":
    connection.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def quiet_office(office):
    """Nobody calls any more."""
    office.wait_sql("SELECT count(*) = 0 FROM pbx.call")
    return office


@pytest.fixture
def two(quiet_office, office):
    with phones(office, "1001", "1002") as made:
        yield made


@pytest.fixture
def three(quiet_office, office):
    with phones(office, "1001", "1002", "1003") as made:
        yield made


def seen(office, number="91002", legs=2):
    """The call's id, when all of it is in the live view."""
    return office.wait_sql("SELECT c.call::text FROM pbx.call AS c JOIN pbx.leg AS l USING (call) WHERE c.dialled = %s AND l.state <> 'trying'"
                           " GROUP BY c.call HAVING count(*) = %s", number, legs)[0][0]


def wait(office, command, state="done", cause=None, ms=10000):
    """Gives a command, which must come to such an end; its outcome."""
    (is_state, why, outcome), = office.sql(f"CALL pbx.command_wait({command}, {ms})")
    assert (is_state, why) == (state, cause), outcome
    return outcome


def ask(office, command):
    return office.sql(f"SELECT {command}")[0][0]


def over(office, id, state="done", cause=None):
    rows = office.wait_sql("SELECT finished IS NOT NULL, state, cause, outcome FROM pbx.command WHERE id = %s", id)
    assert rows[0][1:3] == (state, cause), rows[0][3]
    return rows[0][3]


# ---- hangup ----

def test_hangup_ends_both_dialogs(office, two, cdrs):
    here, there = talk(*two)
    assert wait(office, f"pbx.hangup('{seen(office)}')") == "hung up"
    for d in (here, there):
        assert "cause=16" in take_bye(d)["Reason"]
    cdr = cdrs.next()
    assert (cdr.result, cdr.cause, cdr.hangup_by) == ("answered", 16, "system")


def test_hangup_of_one_leg_ends_the_call_of_the_other(office, two):
    here, there = talk(*two)
    wait(office, f"pbx.hangup('{seen(office)}', 2)")
    take_bye(there)
    take_bye(here)


def test_hangup_of_a_call_that_rings_refuses_and_cancels(office, two):
    here = two[0].invite("91002")
    there = rings(two[1])
    pick(here, 180)
    wait(office, f"pbx.hangup('{seen(office)}')")
    cancel = pick(there, "CANCEL")
    there.reply(200, "OK", cancel)
    there.reply(487)
    pick(there, "ACK")
    here.ack(pick(here, 480))


def test_hangup_of_a_call_that_has_ended_meanwhile_fails(office, two, cdrs):
    here, there = talk(*two)
    call = seen(office)
    office.sql("UPDATE pbx.node SET seen = now()")
    here.send("BYE")
    take_bye(there)
    pick(here, 200)
    cdrs.next()
    # As if the live view were late.
    office.sql("INSERT INTO pbx.live_call (node, call, domain, caller, caller_name, dialled, context, started)"
               " VALUES ('test', %s, 'office', '1001', '', '91002', 'office', now())", call)
    wait(office, f"pbx.hangup('{call}')", "failed", "gone")
    office.sql("DELETE FROM pbx.live_call WHERE call = %s", call)


# ---- originate ----

def test_originate_rings_the_extension_then_the_number(office, two, cdrs):
    a, b = two
    id = ask(office, "pbx.originate('office', '1001', '91002')")
    at_a = rings(a)
    assert "sip:91002@" in at_a.invite["From"]
    (call, state), = office.sql("SELECT call::text, state FROM pbx.command WHERE id = %s", id)
    assert state == "taken"
    answers(at_a)
    at_b = rings(b)
    assert "sip:1001@" in at_b.invite["From"]
    assert office.sql("SELECT state FROM pbx.command WHERE id = %s", id) == [("taken",)]
    answers(at_b)
    assert over(office, id) == "91002 has answered 1001"
    office.wait_sql("SELECT count(*) = 2 FROM pbx.leg WHERE call = %s AND state = 'answered' AND partner IS NOT NULL", call)
    assert office.sql("SELECT caller, dialled FROM pbx.call WHERE call = %s", call) == [("1001", "91002")]
    at_b.send("BYE")
    take_bye(at_a)
    pick(at_b, 200)
    cdr = cdrs.next()
    assert (str(cdr.call), cdr.caller, cdr.dialled, cdr.route, cdr.result) == (call, "1001", "91002", "_9XXXX", "answered")
    assert [(leg.role, leg.number) for leg in cdr.legs] == [("caller", "1001"), ("callee", "1002")]


def test_originate_fails_when_the_extension_refuses(office, two, cdrs):
    id = ask(office, "pbx.originate('office', '1001', '91002')")
    at_a = rings(two[0])
    at_a.reply(486)
    pick(at_a, "ACK")
    assert over(office, id, "failed", "busy") == "extension 1001 is busy"
    cdr = cdrs.next()
    assert ([leg.role for leg in cdr.legs], cdr.cause) == (["callee"], 17)


def test_originate_fails_when_the_extension_has_no_phone(office, quiet_office, cdrs):
    id = ask(office, "pbx.originate('office', '1009', '91002')")
    assert over(office, id, "failed", "unavailable") == "extension 1009 isn't reachable"
    cdr = cdrs.next()
    assert (cdr.result, cdr.cause, cdr.reason) == ("unavailable", 20, 'Q.850;cause=20;text="Not registered"')


def test_originate_fails_when_the_extension_does_not_answer_in_time(office, two):
    id = ask(office, "pbx.originate('office', '1001', '91002', ring_s => 1)")
    at_a = rings(two[0])
    at_a.reply(200, "OK", pick(at_a, "CANCEL"))
    at_a.reply(487)
    pick(at_a, "ACK")
    over(office, id, "failed", "no_answer")


def test_originate_that_may_ring_for_weeks_does_not_end_at_once(office, two):
    id = ask(office, "pbx.originate('office', '1001', '91002', ring_s => 4294968)")    # 0.7 s, if it were counted in 32 bits of ms
    at_a = rings(two[0])
    assert office.sql(f"CALL pbx.command_wait({id}, 1500)")[0][0] == "taken"
    at_a.reply(486)
    pick(at_a, "ACK")
    over(office, id, "failed", "busy")


def test_originate_fails_when_the_number_is_busy(office, two):
    a, b = two
    id = ask(office, "pbx.originate('office', '1001', '91002')")
    at_a = rings(a)
    answers(at_a)
    at_b = rings(b)
    at_b.reply(486)
    pick(at_b, "ACK")
    take_bye(at_a)
    assert over(office, id, "failed", "busy") == "91002 is busy"


def test_originate_can_be_hung_up_while_the_extension_rings(office, two):
    id = ask(office, "pbx.originate('office', '1001', '91002')")
    at_a = rings(two[0])
    (call,), = office.sql("SELECT call::text FROM pbx.command WHERE id = %s", id)
    wait(office, f"pbx.hangup('{call}')")
    at_a.reply(200, "OK", pick(at_a, "CANCEL"))
    at_a.reply(487)
    pick(at_a, "ACK")
    assert over(office, id, "failed", "hangup") == "hung up before 1001 answered"


# ---- transfer ----

@pytest.mark.parametrize("leg", [1, 2])
def test_transfer_sends_a_leg_on_and_hangs_up_the_other(office, three, leg, cdrs):
    a, b, c = three
    here, there = talk(a, b)
    goes, stays = (here, there) if leg == 1 else (there, here)
    id = ask(office, f"pbx.transfer('{seen(office)}', {leg}, '91003')")
    at_c = rings(c)
    assert f"sip:{goes.phone.user}@" in at_c.invite["From"] and not at_c.invite.get("Referred-By")
    answers(at_c)
    take_bye(stays)
    outcome = over(office, id)
    call = office.wait_sql("SELECT call::text FROM pbx.call WHERE dialled = '91003'")[0][0]
    assert outcome == f"answered in call {call}"
    office.wait_sql("SELECT EXISTS (SELECT FROM pbx.why(%s) WHERE says ~ %s)", call, f"^{goes.phone.user} was transferred to 91003; before that")
    bye(at_c)
    take_bye(goes)
    assert {cdrs.next().transferred_by, cdrs.next().transferred_by} == {None}


def test_transfer_that_fails_leaves_them_talking(office, three):
    a, b, c = three
    here, there = talk(a, b)
    id = ask(office, f"pbx.transfer('{seen(office)}', 2, '91003')")
    at_c = rings(c)
    at_c.reply(486)
    pick(at_c, "ACK")
    assert over(office, id, "failed", "busy") == "486, they talk again"
    here.send("BYE")
    take_bye(there)
    pick(here, 200)


# ---- what why() says of them ----

def why_of(office, call):
    return "\n".join(says for says, in office.sql("SELECT says FROM pbx.why(%s)", call))


def test_why_tells_who_commanded_what(office, two, cdrs):
    """By the role that asked. Digits aren't told: they may be a PIN."""
    (role,), = office.sql("SELECT session_user::text")
    id = ask(office, "pbx.originate('office', '1001', '91002')")
    at_a = rings(two[0])
    answers(at_a)
    at_b = rings(two[1])
    answers(at_b)
    over(office, id)
    call = seen(office)
    wait(office, f"pbx.digit('{call}', 3, '4711')")
    wait(office, f"pbx.record('{call}', false)")
    office.wait_sql("SELECT EXISTS (SELECT FROM pbx.why(%s) WHERE says ~ 'record')", call)
    assert why_of(office, call).endswith("The call is still in progress.")
    wait(office, f"pbx.hangup('{call}', 3)")
    take_bye(at_b)
    take_bye(at_a)
    cdrs.next()
    text = office.wait_sql("SELECT string_agg(says, E'\\n') FROM pbx.why(%s) HAVING bool_or(says ~ '^Over')", call)[0][0]
    assert text.startswith(f"This call is made by a command of {role}: 1001 is called first, then 91002.\n")
    for sentence in (f"A command of {role} for 1002 (leg 3): digit.", f"A command of {role}: record, off.", f"A command of {role} hangs up 1002 (leg 3)."):
        assert sentence in text, text
    assert "4711" not in text


def test_why_tells_by_whose_command_a_call_was_transferred(office, three, cdrs):
    (role,), = office.sql("SELECT session_user::text")
    here, there = talk(*three[:2])
    call = seen(office)
    id = ask(office, f"pbx.transfer('{call}', 1, '91003')")
    at_c = rings(three[2])
    answers(at_c)
    take_bye(there)
    over(office, id)
    wait(office, f"pbx.hangup('{seen(office, '91003')}')")
    for d in (here, at_c):
        take_bye(d)
    for _ in range(2):
        cdrs.next()
    assert f"A command of {role} transfers 1001 (leg 1) to 91003." in why_of(office, call)
    (second,), = office.sql("SELECT call::text FROM pbx.cdr WHERE dialled = '91003' ORDER BY started DESC LIMIT 1")
    assert f"A command of {role} hangs up the call." in why_of(office, second)


# ---- record ----

def test_record_begins_and_ends(office, two):
    office.sql("DELETE FROM pbx.recording")
    here, there = talk(*two)
    call = seen(office)
    assert wait(office, f"pbx.record('{call}')") == "recorded from now on"
    office.wait_sql("SELECT count(*) = 1 FROM pbx.recording WHERE started_by = 'command' AND ended IS NULL")
    wait(office, f"pbx.record('{call}', false)")
    office.wait_sql("SELECT count(*) = 1 FROM pbx.recording WHERE ended IS NOT NULL")
    here.send("BYE")
    take_bye(there)
    pick(here, 200)


# ---- what they hear ----

@pytest.fixture
def talkers(quiet_office, office):
    """Two who talk, with pitches of their own; who hears whom is asked."""
    with media_talk(office) as (here, there):
        here.rtp.payload, there.rtp.payload = tone(HZ["1001"]), tone(HZ["1002"])
        for side in (here, there):
            side.rtp.start()
        yield here, there, seen(office)
        for side in (here, there):
            side.rtp.stop()


Side.hears, Side.wait_hears = Member.hears, Member.wait_hears


def test_hold_lets_the_other_hear_music_until_it_is_taken_back(office, talkers):
    here, there, call = talkers
    there.wait_hears("1001")
    wait(office, f"pbx.hold('{call}', 1)")
    office.wait_sql("SELECT held FROM pbx.leg WHERE call = %s AND leg = 1", call)
    there.rtp.wait_received(5, seconds=MUSIC_S)
    there.wait_hears()                                  # not the other, but something
    mark = len(here.rtp.received)
    there.rtp.wait_received(25)
    assert len(here.rtp.received) - mark < 5
    wait(office, f"pbx.unhold('{call}', 1)")
    there.wait_hears("1001")
    here.wait_hears("1002")


def test_digits_are_sent_to_the_far_end_of_a_leg(office, talkers):
    here, there, call = talkers
    mark = len(here.rtp.received)
    wait(office, f"pbx.digit('{call}', 2, '1*D')")

    def digits():
        return [number for number, is_end, _ in dict.fromkeys(p.event() for p in there.rtp.received if p.pt == 101) if is_end]
    wait_until(lambda: digits() == [1, 10, 15])
    assert not [p for p in here.rtp.received[mark:] if p.pt == 101]


def test_play_is_heard_by_one_or_by_both_and_then_they_talk_on(office, talkers):
    here, there, call = talkers
    there.wait_hears("1001")
    id = ask(office, f"pbx.play('{call}', 'vm-intro', 2)")
    there.wait_hears()
    assert office.sql("SELECT state FROM pbx.command WHERE id = %s", id) == [("taken",)]
    office.sql(f"SELECT pbx.hold('{call}', 1), pbx.unhold('{call}', 1)")    # which ends it
    over(office, id, "failed", "impossible")
    there.wait_hears("1001")
    assert wait(office, f"pbx.play('{call}', 'beep')") == "played"
    there.wait_hears("1001")
    here.wait_hears("1002")


def test_play_ends_with_the_call(office, two):
    here, there = talk(*two)
    id = ask(office, f"pbx.play('{seen(office)}', 'vm-intro')")
    office.wait_sql("SELECT state = 'taken' FROM pbx.command WHERE id = %s", id)
    here.send("BYE")
    take_bye(there)
    pick(here, 200)
    over(office, id, "failed", "impossible")


# ---- parking, bridging ----

@pytest.fixture
def retrieving(office):
    office.change("""INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_*8X!');
                     INSERT INTO pbx.step (domain, context, pattern, position, app, args)
                     VALUES ('office', 'office', '_*8X!', 1, 'retrieve', '{"slot": "${number:2}"}')""")
    yield
    office.change("DELETE FROM pbx.route WHERE pattern = '_*8X!'")


def test_parked_call_is_retrieved_by_dialling(office, three, retrieving):
    a, b, c = three
    here, there = talk(a, b)
    outcome = wait(office, f"pbx.park('{seen(office)}', 1)")
    assert outcome.startswith("parked at 1 in call ")
    take_bye(there)
    call = outcome.split()[-1]
    office.wait_sql("SELECT true FROM pbx.parked WHERE (slot, call::text, leg, number) = ('1', %s, 1, '1001')", call)
    none = c.invite("*82")
    none.ack(pick(none, 404))
    at_c = c.invite("*81")
    at_c.ack(pick(at_c, 200))
    office.wait_sql("SELECT count(*) = 2 FROM pbx.leg AS l JOIN pbx.call AS c USING (call) WHERE c.dialled = '*81' AND l.partner IS NOT NULL")
    assert office.sql("SELECT * FROM pbx.parked") == []
    bye(at_c)
    take_bye(here)


def test_slot_in_which_somebody_is_parked_is_refused(office, two):
    here, there = talk(*two)
    wait(office, f"pbx.park('{seen(office)}', 1, '77')")
    take_bye(there)
    back = two[1].invite("600")
    back.ack(pick(back, 200))
    wait(office, f"pbx.park('{seen(office, '600', 1)}', 1, '77')", "failed", "busy")
    for d in (back, here):
        bye(d)


def test_who_is_parked_too_long_goes_back_to_who_parked_him(office, two):
    here, there = talk(*two)
    wait(office, f"pbx.park('{seen(office)}', 1, timeout_s => 1)")
    take_bye(there)
    again = rings(two[1])
    answers(again)
    bye(again)
    take_bye(here)


def test_bridge_joins_legs_of_two_calls(office, three):
    a, b, c = three
    here, there = talk(a, b)
    call = seen(office)
    other = c.invite("600")                             # the echo: it talks with nobody
    other.ack(pick(other, 200))
    outcome = wait(office, f"pbx.bridge('{call}', 2, '{seen(office, '600', 1)}', 1)")
    take_bye(here)
    call = outcome.split()[-1]
    office.wait_sql("SELECT count(*) = 2 FROM pbx.leg WHERE call = %s AND partner IS NOT NULL", call)
    assert office.sql("SELECT caller, dialled FROM pbx.call WHERE call = %s", call) == [("1002", "1003")]
    wait(office, f"pbx.bridge('{call}', 1, '{call}', 2)", "failed", "impossible")
    bye(there)
    take_bye(other)


# ---- conferences ----

def test_conference_members_are_muted_heard_again_and_sent_out(quiet_office, room):
    a, b = (room.dial(user).talk() for user in ("1001", "1002"))
    a.wait_hears("1002")
    call = room.office.sql("SELECT call::text FROM pbx.conference_member WHERE caller = '1002'")[0][0]
    room.office.wait_sql("SELECT true FROM pbx.call WHERE call = %s", call)
    wait(room.office, f"pbx.mute('{call}')")
    room.wait_rows([("1001", False), ("1002", True)], "caller, muted")
    a.wait_hears()
    wait(room.office, f"pbx.unmute('{call}')")
    a.wait_hears("1002")
    assert wait(room.office, f"pbx.play('{call}', 'beep')") == "played to all who are in the room"
    wait(room.office, f"pbx.kick('{call}')")
    b.is_sent_away()
    a.hang_up()


def test_play_to_a_leg_in_a_conference_is_for_that_one_alone(quiet_office, room):
    """He hears it in place of the others, who don't, and then he is among them again."""
    a, b, c = (room.dial(user).talk() for user in HZ)
    a.wait_hears("1002", "1003")
    c.wait_hears("1001", "1002")
    call = room.office.sql("SELECT call::text FROM pbx.conference_member WHERE caller = '1002'")[0][0]
    room.office.wait_sql("SELECT true FROM pbx.leg WHERE call = %s AND state = 'answered'", call)
    assert wait(room.office, f"pbx.play('{call}', 'beep', 1)") == "played"
    b.wait_hears("1001", "1003")
    id = ask(room.office, f"pbx.play('{call}', 'vm-intro', 1)")
    b.wait_hears()                                      # none of the others, but something
    a.wait_hears("1003")                                # whom he isn't heard by meanwhile, and who hear each other
    c.wait_hears("1001")
    assert room.office.sql("SELECT state FROM pbx.command WHERE id = %s", id) == [("taken",)]
    wait(room.office, f"pbx.play('{call}', 'beep', 1)", "failed", "impossible")     # one at a time
    b.press("*1")                                       # which his own menu tells him of, in its place
    over(room.office, id, "failed", "impossible")
    b.press("*1")
    b.wait_hears("1001", "1003")
    a.wait_hears("1002", "1003")
    for member in (a, b, c):
        member.hang_up()


def test_only_who_is_in_a_conference_is_muted(office, two):
    here, there = talk(*two)
    wait(office, f"pbx.mute('{seen(office)}')", "failed", "impossible")
    here.send("BYE")
    take_bye(there)
    pick(here, 200)


# ---- messages, bans, servers ----

def test_message_reaches_the_phones_of_an_extension(office, two):
    id = ask(office, "pbx.message('office', '1001', '1002', 'Grüße')")
    m = take(two[1], lambda m: m.method == "MESSAGE", what="MESSAGE")
    assert (m.body, m["Content-Type"]) == ("Grüße", "text/plain;charset=UTF-8") and "sip:1001@" in m["From"]
    two[1].reply(m, 200, "OK", tag="reader")
    assert over(office, id) == "1002 has it"


def test_message_to_who_is_away_waits_for_him(office, two):
    assert wait(office, "pbx.message('office', '1001', '1003', 'later')") == "1003 is away, and gets it later"
    with Phone(office, "1003") as reader:
        assert reader.register().status == 200
        m = reader.expect("MESSAGE")
        assert m.body == "later"
        reader.reply(m, 200, "OK", tag="reader")
        office.wait_sql("SELECT count(*) = 0 FROM pbx.message")
        reader.unregister()


def test_ban_and_unban_of_an_address(office):
    with Phone(office, "1003") as stranger:
        assert stranger.ask("OPTIONS").status == 200
        assert wait(office, f"pbx.ban('{stranger.addr}', '1 hour', 'noise')").startswith(f"{stranger.addr}/32 is banned until ")

        def answer():
            stranger.send(stranger.request("OPTIONS"))
            return stranger.receive(0.3)
        wait_until(lambda: not answer())
        wait(office, f"pbx.unban('{stranger.addr}')")
        wait_until(answer)


def test_server_that_is_drained_takes_no_new_calls_and_says_when_the_last_has_ended(own_office):
    with phones(own_office, "1001", "1002") as (a, b):
        here, there = talk(a, b)
        id = ask(own_office, "pbx.drain('test')")
        own_office.wait_sql("SELECT draining FROM pbx.node")
        refused = b.invite("600")
        m = pick(refused, 503)
        assert m.get("Retry-After")
        refused.ack(m)
        assert own_office.sql("SELECT state FROM pbx.command WHERE id = %s", id) == [("taken",)]
        held = ask(own_office, "pbx.originate('office', '1001', '600')")   # for another server, if there is one
        bye(here)
        take_bye(there)
        assert over(own_office, id) == "no call is left"
        assert own_office.sql("SELECT state FROM pbx.command WHERE id = %s", held) == [("queued",)]
        own_office.sql("DELETE FROM pbx.command WHERE id = %s", held)
        assert wait(own_office, "pbx.drain('test', false)") == "takes calls"
        own_office.wait_sql("SELECT NOT draining FROM pbx.node")
        again = b.invite("600")
        again.ack(pick(again, 200))
        bye(again)


NO_DRAINING = """
CREATE FUNCTION pg_temp_no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
CREATE TRIGGER no BEFORE UPDATE OF draining ON pbx.node FOR EACH ROW EXECUTE FUNCTION pg_temp_no();
"""


def test_drain_that_can_not_be_written_is_no_success(own_office):
    """The server takes no calls, but no other one reads that in pbx.node."""
    own_office.sql(NO_DRAINING)
    assert wait(own_office, "pbx.drain('test')", "failed", "refused").endswith("but pbx.node doesn't say so: ERROR:  not today")
    own_office.sql("DROP TRIGGER no ON pbx.node")
    wait(own_office, "pbx.drain('test')")
    own_office.wait_sql("SELECT draining FROM pbx.node")


def test_drain_is_written_again_when_the_connection_was_lost(own_office):
    barrier = Barrier(own_office, table="node", when="NEW.draining")
    id = ask(own_office, "pbx.drain('test')")
    barrier.reached()
    assert own_office.sql("SELECT state FROM pbx.command WHERE id = %s", id) == [("taken",)]    # though there is no call
    barrier.give_up()
    assert over(own_office, id) == "no call is left"
    assert own_office.sql("SELECT draining FROM pbx.node") == [(True,)]


# ---- how they are given, and waited for ----

def test_rolled_back_nothing_happens(office, two):
    here, there = talk(*two)
    call = seen(office)
    other = psycopg2.connect(office.conninfo)
    other.cursor().execute("SELECT pbx.hangup(%s), pbx.originate('office', '1001', '91002')", (call,))
    other.rollback()
    other.close()
    wait(office, f"pbx.record('{call}', false)")     # what comes later is carried out later
    for d in (here, there):
        d.phone.expect_none(0.2)
    here.send("BYE")
    take_bye(there)
    pick(here, 200)


def test_end_is_told_to_who_listens(office, two):
    here, there = talk(*two)
    listener = psycopg2.connect(office.conninfo)
    listener.autocommit = True
    listener.cursor().execute("LISTEN pbx_command_done")
    id = ask(office, f"pbx.hangup('{seen(office)}')")
    for d in (here, there):
        take_bye(d)

    def told():
        listener.poll()
        return [n.payload for n in listener.notifies]
    wait_until(told)
    assert told() == [str(id)]
    listener.close()


def test_commands_of_one_transaction_go_in_their_order(office, two):
    id = ask(office, "pbx.originate('office', '1001', '91002')")
    at_a = rings(two[0])
    (call,), = office.sql("SELECT call::text FROM pbx.command WHERE id = %s", id)
    office.sql(f"BEGIN; SELECT pbx.record('{call}'); SELECT pbx.hangup('{call}'); SELECT pbx.record('{call}', false); COMMIT")
    at_a.reply(200, "OK", pick(at_a, "CANCEL"))
    at_a.reply(487)
    pick(at_a, "ACK")
    over(office, id, "failed", "hangup")
    rows = office.wait_sql("SELECT bool_and(finished IS NOT NULL), array_agg(state ORDER BY id) FROM pbx.command WHERE call = %s"
                           " AND command <> 'originate'", call)
    assert rows[0][1][:2] == ["done", "done"]


def test_many_commands_of_one_transaction_are_all_carried_out(office, two):
    here, there = talk(*two)
    office.sql("SELECT pbx.record(%s, false) FROM generate_series(1, 450)", seen(office))
    office.wait_sql("SELECT count(*) = 450 FROM pbx.command WHERE command = 'record' AND state = 'done' AND asked > now() - interval '20 seconds'"
                    " AND call = (SELECT call FROM pbx.call WHERE dialled = '91002')")
    bye(here)
    take_bye(there)


def test_wait_gives_up_when_its_time_is_over(office, two):
    began = time.monotonic()
    wait(office, "pbx.originate('office', '1001', '91002')", "taken", ms=300)
    assert time.monotonic() - began < 5
    at_a = rings(two[0])
    at_a.reply(486)
    pick(at_a, "ACK")


def test_call_is_made_within_milliseconds_of_commit(office, two):
    a, _ = two
    took = []
    for _ in range(20):
        id = ask(office, "pbx.originate('office', '1001', '91002')")
        committed = time.time()
        at_a = called(a)
        took.append(at_a.invite.at - committed)
        at_a.reply(486)
        pick(at_a, "ACK")
        over(office, id, "failed", "busy")
    assert sorted(took)[10] < 0.02, took


# ---- who dies when ----

@pytest.mark.parametrize("end", ["commit", "roll back"])
def test_client_that_dies_has_asked_if_it_has_committed(office, two, end):
    subprocess.run([sys.executable, "-c", ASKING, office.conninfo, "SELECT pbx.originate('office', '1001', '91002')", end], timeout=60)
    if end != "commit":
        two[0].expect_none(0.5)
        return
    at_a = rings(two[0])
    at_a.reply(486)
    pick(at_a, "ACK")
    office.wait_sql("SELECT state = 'failed' FROM pbx.command ORDER BY id DESC LIMIT 1")
    two[0].expect_none(0.3)


@pytest.fixture
def phone(own_office):
    with phones(own_office, "1001") as (made,):
        own_office.wait_sql("SELECT count(*) = 1 FROM pbx.binding")
        yield made


def refuse(phone):
    """It is called, once."""
    d = rings(phone)
    d.reply(486)
    pick(d, "ACK")
    phone.expect_none(1)


def test_server_that_was_away_carries_out_what_waits(own_office, phone):
    own_office.kill()
    id = ask(own_office, "pbx.originate('office', '1001', '91002')")
    own_office.start_server()
    refuse(phone)
    over(own_office, id, "failed", "busy")


def test_server_that_was_away_too_long_does_not(own_office, phone):
    own_office.kill()
    id = ask(own_office, "pbx.originate('office', '1001', '91002')")
    own_office.sql("UPDATE pbx.command SET expires = now()")
    own_office.start_server()
    over(own_office, id, "failed", "expired")
    phone.expect_none(0.5)


SLOW_STEP = """
CREATE FUNCTION pg_temp_slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(4711);
    RETURN NEW;
END $$;
CREATE TRIGGER slow BEFORE UPDATE ON pbx.{table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION pg_temp_slow();
"""


class Barrier:
    """Holds the server's statements that bring a command to a state, or another row, before they commit."""

    def __init__(self, office, is_state=None, table="command", when=None):
        self.office, self.table = office, table
        office.sql(SLOW_STEP.format(table=table, when=when or f"NEW.state {is_state}"))
        self.holder = psycopg2.connect(office.conninfo)
        self.holder.cursor().execute("SELECT pg_advisory_lock(4711)")

    def reached(self):
        self.office.wait_sql("SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")

    def give_up(self):
        """The statement never comes to its end."""
        self.office.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        self.open()

    def open(self):
        self.holder.close()
        self.office.wait_sql("SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'")
        self.office.sql(f"DROP TRIGGER slow ON pbx.{self.table}")


def test_server_that_dies_before_it_has_taken_a_command_leaves_it_to_the_next(own_office, phone):
    barrier = Barrier(own_office, "= 'taken'")
    id = ask(own_office, "pbx.originate('office', '1001', '91002')")
    barrier.reached()
    own_office.kill()
    barrier.give_up()
    own_office.start_server()
    refuse(phone)
    over(own_office, id, "failed", "busy")


def test_server_that_dies_when_it_has_taken_a_command_never_carries_it_out(own_office, phone):
    barrier = Barrier(own_office, "= 'taken'")
    id = ask(own_office, "pbx.originate('office', '1001', '91002')")
    barrier.reached()
    own_office.kill()
    barrier.open()
    assert own_office.sql("SELECT state FROM pbx.command WHERE id = %s", id) == [("taken",)]
    own_office.start_server()
    assert over(own_office, id, "failed", "lost") == "the server ended while it was carried out"
    phone.expect_none(1)


def test_server_that_dies_while_it_carries_a_command_out_does_not_repeat_it(own_office, phone):
    id = ask(own_office, "pbx.originate('office', '1001', '91002')")
    rings(phone)
    own_office.kill()
    own_office.start_server()
    over(own_office, id, "failed", "lost")
    phone.catch_up()                 # the INVITE of the old server may have come more than once
    phone.expect_none(1)


@pytest.mark.parametrize("is_written", [False, True])
def test_server_that_dies_before_it_has_heard_that_the_end_is_written(own_office, phone, is_written):
    barrier = Barrier(own_office, "IN ('done', 'failed')")
    id = ask(own_office, "pbx.originate('office', '1001', '91002')")
    at_a = rings(phone)
    at_a.reply(486)
    pick(at_a, "ACK")
    barrier.reached()
    own_office.kill()
    if is_written:
        barrier.open()
    else:
        barrier.give_up()
    own_office.start_server()
    over(own_office, id, "failed", "busy" if is_written else "lost")
    phone.expect_none(1)


@pytest.mark.slow
def test_server_that_never_heard_what_it_has_taken_learns_it_later(own_office, phone):
    barrier = Barrier(own_office, "= 'taken'")
    id = ask(own_office, "pbx.originate('office', '1001', '91002')")
    mark = len(own_office.log)
    own_office.wait_log("commands can't be taken", mark, seconds=20)    # the statement took too long, its connection was given up
    barrier.open()
    refuse(phone)
    over(own_office, id, "failed", "busy")


def test_end_is_written_when_the_database_is_back(own_office, phone):
    id = ask(own_office, "pbx.originate('office', '1001', '91002')")
    at_a = rings(phone)
    own_office.database_down()
    at_a.reply(486)
    pick(at_a, "ACK")
    own_office.database_up()
    over(own_office, id, "failed", "busy")
