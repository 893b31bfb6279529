"""What is looked at before a call's route: numbers of ours that are public, emergency numbers, callers that are blocked, limits of calls."""
import pytest

from sip import Phone

ROUTES = """
INSERT INTO pbx.trunk (domain, name, context) VALUES ('office', 'telco', 'lobby');
INSERT INTO pbx.trunk_address (domain, name, address) VALUES ('office', 'telco', '{}');
INSERT INTO pbx.context VALUES ('office', 'sos');
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'sos', '112');
INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES ('office', 'sos', '112', 1, 'dial', '{{"number": "1003"}}');
INSERT INTO pbx.inbound_number VALUES ('4312345', 'office', '91003'), ('_43124XXXX', 'office', '9${{number:5}}');
INSERT INTO pbx.emergency_number VALUES ('office', '112', 'sos');
INSERT INTO pbx.blocked_caller (domain, pattern) VALUES ('office', '_0900.'), ('office', 'anonymous');
"""
UNDO = """
DELETE FROM pbx.inbound_number; DELETE FROM pbx.emergency_number; DELETE FROM pbx.blocked_caller; DELETE FROM pbx.trunk WHERE name = 'telco';
DELETE FROM pbx.context WHERE context = 'sos'; UPDATE pbx.domain SET call_limit = NULL; UPDATE pbx.extension SET call_limit = NULL
"""


@pytest.fixture
def telco(office):
    with Phone(office, "4399", password="") as phone:
        office.change(ROUTES.format(phone.addr))
        try:
            yield phone
        finally:
            office.change(UNDO)


def end(here, there):
    here.bye()
    there.take_bye()


def answer(here, phone):
    there = phone.answer_invite()
    there.answer()
    here.ack(here.expect(200))
    return there


@pytest.mark.parametrize("number", ["4312345", "431241003"])
def test_public_number_leads_where_its_row_says(office, telco, cdrs, number):
    with Phone(office, "1003") as phone:
        phone.register()
        here = telco.invite(number, auth=False)
        end(here, answer(here, phone))
        cdr = cdrs.next()
        assert (cdr.dialled, cdr.context, cdr.route) == (number, "office", "_9XXXX")
        phone.unregister()


def test_number_that_is_not_listed_is_looked_for_in_the_trunks_context(telco):
    here = telco.invite("4312346", auth=False)
    here.ack(here.expect(404))


@pytest.mark.parametrize("caller", ["09001", "anonymous"])
def test_blocked_caller_is_refused(office, telco, caller):
    telco.user = caller
    here = telco.invite("4312345", auth=False)
    here.ack(here.expect(603))


def test_emergency_number_is_dialled_from_any_context_and_beyond_all_limits(office, telco):
    with Phone(office, "1010") as lobby, Phone(office, "1003") as phone:
        phone.register()
        office.change("UPDATE pbx.domain SET call_limit = 0; UPDATE pbx.extension SET call_limit = 0 WHERE number IN ('1010', '1003')")
        here = lobby.invite("91003")
        here.ack(here.expect(486))
        here = lobby.invite("112")
        end(here, answer(here, phone))
        phone.unregister()


def test_domain_has_as_many_calls_as_its_limit(office, telco, cdrs):
    with Phone(office, "1002") as caller, Phone(office, "1004") as other, Phone(office, "1003") as phone:
        phone.register()
        office.change("UPDATE pbx.domain SET call_limit = 1")
        here = caller.invite("91003")
        there = answer(here, phone)
        refused = other.invite("91003")
        message = refused.expect(486)
        assert "cause=34" in message["Reason"]
        refused.ack(message)
        end(here, there)
        cdrs.next()
        here = other.invite("91003")
        end(here, answer(here, phone))
        phone.unregister()
