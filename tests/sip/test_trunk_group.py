"""Groups of trunks: in their order, from one that is full or refuses to the next, unless who was called has spoken."""
import pytest

from sip import Phone

GROUP = """
INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'first', 'lobby', 'sip:{}'), ('office', 'second', 'lobby', 'sip:{}');
INSERT INTO pbx.trunk_group (domain, name) VALUES ('office', 'out');
INSERT INTO pbx.trunk_group_member (domain, name, trunk, position) VALUES ('office', 'out', 'first', 1), ('office', 'out', 'second', 2);
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_0X.');
INSERT INTO pbx.step VALUES ('office', 'office', '_0X.', 1, 'dial', '{{"number": "${{number:1}}", "trunk": "out"}}');
"""
UNDO = "DELETE FROM pbx.route WHERE pattern = '_0X.'; DELETE FROM pbx.trunk_group; DELETE FROM pbx.trunk WHERE name IN ('first', 'second')"


@pytest.fixture
def house(office):
    with Phone(office, "1002") as caller, Phone(office, "a") as first, Phone(office, "b") as second:
        office.change(GROUP.format(f"{first.host}:{first.port}", f"{second.host}:{second.port}"))
        try:
            yield caller, first, second
        finally:
            office.change(UNDO)


def refuse(trunk, status):
    there = trunk.answer_invite()
    there.reply(status, "No")
    there.expect("ACK")


def answered_by(here, trunk):
    there = trunk.answer_invite()
    there.answer()
    here.ack(here.expect(200))
    here.bye()
    there.take_bye()


def test_call_goes_by_the_next_trunk(house):
    caller, first, second = house
    here = caller.invite("0123")
    refuse(first, 503)
    answered_by(here, second)


def test_what_the_called_party_says_is_the_answer(office, house):
    caller, first, second = house
    here = caller.invite("0123")
    refuse(first, 486)
    here.ack(here.expect(486))
    second.expect_none(0.1)
    office.change("UPDATE pbx.trunk_group SET failover = '{486}'")
    here = caller.invite("0123")
    refuse(first, 486)
    answered_by(here, second)


def test_trunk_that_is_full_is_left_out(office, house):
    caller, first, second = house
    office.change("UPDATE pbx.trunk SET call_limit = 0 WHERE name = 'first'")
    here = caller.invite("0123")
    answered_by(here, second)
    first.expect_none(0.1)


def test_refusal_of_all_is_the_callers(house):
    caller, first, second = house
    here = caller.invite("0123")
    refuse(first, 503)
    refuse(second, 500)
    assert here.expect(500, 503)
