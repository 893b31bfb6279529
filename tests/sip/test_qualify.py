"""Trunks and phones are asked whether they are there (OPTIONS), and calls heed the answer."""
import pytest

from sip import Phone, token

ROUTE = """
INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'asked', 'office', '{}');
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_78X!');
INSERT INTO pbx.step (domain, context, pattern, position, app, args)
    VALUES ('office', 'office', '_78X!', 1, 'dial', '{{"number": "${{number:2}}", "trunk": "asked"}}');
"""


@pytest.fixture
def trunk(office):
    """What a trunk of the office leads to."""
    with Phone(office, "trunk") as made:
        office.change(ROUTE.format(f"sip:{made.host}:{made.port}"))
        try:
            yield made
        finally:
            office.change("DELETE FROM pbx.route WHERE pattern = '_78X!'; DELETE FROM pbx.trunk WHERE name = 'asked'")


def ask(office, seconds="5"):
    office.change(f"UPDATE pbx.trunk SET qualify_s = {seconds} WHERE name = 'asked'")


def reach_sql():
    return "SELECT reachable = %s FROM pbx.trunk_state WHERE name = 'asked' AND reachable IS NOT NULL"


def test_trunk_that_answers_is_reachable_and_measured(office, trunk):
    ask(office)
    m = trunk.expect("OPTIONS")
    assert m.start == f"OPTIONS sip:{trunk.host}:{trunk.port} SIP/2.0" and m["Max-Forwards"] == "70"
    trunk.reply(m, 405, "Method Not Allowed", tag=token())    # any answer will do
    office.wait_sql(reach_sql(), True)
    rtt, since = office.sql("SELECT rtt_us, now() - reachable_since < interval '1 minute' FROM pbx.trunk_state WHERE name = 'asked'")[0]
    assert 0 < rtt < 10_000_000 and since


def test_call_to_a_trunk_that_is_down_fails_at_once(office, trunk):
    ask(office)
    trunk.reply(trunk.expect("OPTIONS"), 503, "Service Unavailable", tag=token())
    office.wait_sql(reach_sql(), False)
    with Phone(office, "1001") as caller:
        call = caller.invite("7843123")
        call.ack(call.expect(503, skip=(100,)))
        # Not asked any more, it is called again
        ask(office, "NULL")
        office.wait_sql("SELECT reachable IS NULL FROM pbx.trunk_state WHERE name = 'asked'")
        call = caller.invite("7843123")
        d = trunk.answer_invite(skip=("OPTIONS",))
        d.reply(486, "Busy")
        d.expect("ACK")
        call.ack(call.expect(486, skip=(100, 180)))


def test_phone_that_does_not_answer_is_rung_only_when_alone(office):
    office.change("UPDATE pbx.extension SET qualify_s = 3600 WHERE (domain, number) = ('office', '1003')")
    row = "SELECT reachable = %s FROM pbx.binding WHERE number = '1003' AND contact LIKE %s AND reachable IS NOT NULL"
    try:
        with Phone(office, "1003") as here, Phone(office, "1003") as gone, Phone(office, "1001") as caller:
            assert here.register().status == gone.register().status == 200
            here.reply(here.expect("OPTIONS"), 200, "OK", tag=token())
            gone.reply(gone.expect("OPTIONS"), 503, "Service Unavailable", tag=token())
            office.wait_sql(row, True, f"%{here.host}%")
            office.wait_sql(row, False, f"%{gone.host}%")
            call = caller.invite("91003")
            rung = here.answer_invite()
            gone.expect_none()
            rung.reply(486, "Busy")
            rung.expect("ACK")
            call.ack(call.expect(486, skip=(100, 180)))
            # A refresh changes nothing of it; but when it is the last one, it is tried
            assert gone.register().status == 200
            assert here.register([here.contact + ";expires=0"]).status == 200
            call = caller.invite("91003")
            rung = gone.answer_invite(skip=("OPTIONS",))
            rung.reply(486, "Busy")
            rung.expect("ACK")
            call.ack(call.expect(486, skip=(100, 180)))
            gone.register(["*"], expires=0)
    finally:
        office.change("UPDATE pbx.extension SET qualify_s = NULL WHERE (domain, number) = ('office', '1003')")
