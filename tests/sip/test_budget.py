"""Budgets: minutes of calls by trunks, and what happens when they are used up. Limits and budgets over two servers."""
import time

import pytest

from office import Office
from sip import Phone

SETUP = """
INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'telco', 'office', 'sip:{0}:{1}');
INSERT INTO pbx.trunk_address (domain, name, address) VALUES ('office', 'telco', '{0}');
INSERT INTO pbx.context VALUES ('office', 'sos');
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_77.'), ('office', 'sos', '112');
INSERT INTO pbx.step VALUES ('office', 'office', '_77.', 1, 'dial', '{{"number": "${{number:2}}", "trunk": "telco"}}'),
    ('office', 'sos', '112', 1, 'dial', '{{"number": "${{number}}", "trunk": "telco"}}');
INSERT INTO pbx.emergency_number VALUES ('office', '112', 'sos');
"""
UNDO = """
DELETE FROM pbx.budget; DELETE FROM pbx.emergency_number; DELETE FROM pbx.route WHERE pattern = '_77.'; DELETE FROM pbx.context WHERE context = 'sos';
DELETE FROM pbx.forward; DELETE FROM pbx.trunk WHERE name = 'telco'; UPDATE pbx.extension SET call_limit = NULL; UPDATE pbx.trunk SET call_limit = NULL
"""


@pytest.fixture
def telco(office):
    with Phone(office, "4399", password="") as phone:
        office.change(SETUP.format(phone.addr, phone.port))
        try:
            yield phone
        finally:
            office.change(UNDO)


@pytest.fixture
def caller(office):
    with Phone(office, "1002") as phone:
        yield phone


def budget(office, name, amount, **columns):
    columns = {"warn": "0", **columns}
    office.change(f"INSERT INTO pbx.budget (domain, name, amount, {', '.join(columns)}) VALUES ('office', %s, %s{', %s' * len(columns)})",
                  name, amount, *columns.values())


def answer(here, there_phone):
    there = there_phone.answer_invite()
    there.answer()
    here.ack(here.expect(200))
    return there


def end(here, there):
    here.bye()
    there.take_bye()


def take_byes(*dialogs):
    """Each has one, in any order: they are of one phone."""
    for _ in dialogs:
        bye = dialogs[0].phone.expect("BYE")
        next(d for d in dialogs if d.call_id == bye["Call-ID"]).reply(200, "OK", bye)


def used(office, name, seconds):
    """What its rows have, soon, within a quarter of a second."""
    office.wait_sql("SELECT abs(extract(epoch FROM sum(used)) - %s) < 0.25 FROM pbx.budget_use WHERE name = %s", seconds, name)


def refused(here, status, reason="Budget used up"):
    message = here.expect(status)
    assert reason in message["Reason"]
    here.ack(message)


@pytest.mark.parametrize("columns", [{"extension": "1002"}, {"trunk": "telco"}, {}], ids=["extension", "trunk", "domain"])
@pytest.mark.parametrize("period", ["day", "month", "total"])
def test_call_ends_with_its_budget_and_none_begins_after(office, telco, caller, cdrs, columns, period):
    budget(office, "b", "1.5 seconds", period=period, **columns)
    here = caller.invite("7712")
    began = time.time()
    there = answer(here, telco)
    bye = here.take_bye()
    assert 1.4 < bye.at - began < 2.2 and "Budget used up" in bye["Reason"]
    there.take_bye()
    cdr = cdrs.next()
    says = [says for says, in office.sql("SELECT says FROM pbx.why(%s)", cdr.call)]
    assert any("budget b of" in s and "is used up" in s for s in says), says
    refused(caller.invite("7712"), 503 if "trunk" in columns else 403)
    used(office, "b", 1.5)
    office.wait_sql("SELECT extract(epoch FROM \"left\") < 0.1 AND calls = 0 FROM pbx.budget_status WHERE name = 'b'")
    refused(caller.invite("7712"), 503 if "trunk" in columns else 403)
    office.change("UPDATE pbx.budget SET amount = '10 minutes'")
    end(here := caller.invite("7712"), answer(here, telco))


def test_calls_of_two_use_it_together(office, telco, caller):
    budget(office, "b", "3 seconds")
    with Phone(office, "1003") as other:
        began = time.time()
        first, second = caller.invite("7712"), None
        there = answer(first, telco)
        second = other.invite("7713")
        there2 = answer(second, telco)
        office.wait_sql("SELECT calls = 2 FROM pbx.budget_status WHERE name = 'b'")
        bye = first.take_bye()
        assert 1.3 < bye.at - began < 2.4
        second.take_bye()
        take_byes(there, there2)
    used(office, "b", 3)


def test_who_pays_is_told_before(office, telco, caller):
    budget(office, "b", "2.5 seconds", warn="1.5 seconds", extension="1002")
    here = caller.invite("7712")
    there = answer(here, telco)
    call = office.wait_sql("SELECT call FROM pbx.call")[0][0]
    here.take_bye()
    there.take_bye()
    rows = office.wait_sql("SELECT extract(epoch FROM w.after)::float, extract(epoch FROM e.after)::float FROM pbx.why(%s) AS w, pbx.why(%s) AS e "
                           "WHERE w.says ~ 'budget b of extension/1002 lasts 2 s more: .* is warned' AND e.says ~ 'used up: .* hung up on'", call, call)
    assert 1.2 < rows[0][1] - rows[0][0] < 1.8


def test_emergency_call_needs_no_budget(office, telco, caller):
    budget(office, "b", "0 seconds")
    refused(caller.invite("7712"), 403)
    here = caller.invite("112")
    there = answer(here, telco)
    office.wait_sql("SELECT count(*) = 2 FROM pbx.leg WHERE state = 'answered'")
    end(here, there)
    assert office.sql("SELECT count(*) FROM pbx.budget_use") == [(0,)]


def test_calls_inside_use_none(office, telco, caller):
    budget(office, "b", "0 seconds")
    with Phone(office, "1003") as phone:
        phone.register()
        end(here := caller.invite("91003"), answer(here, phone))
        phone.unregister()


def test_who_forwards_a_call_outside_pays(office, telco, caller):
    budget(office, "b", "0 seconds", extension="1004")
    office.change("INSERT INTO pbx.forward VALUES ('office', '1004', 'always', '7715')")
    refused(caller.invite("91004"), 403)
    office.change("UPDATE pbx.budget SET extension = '1002'")
    end(here := caller.invite("91004"), answer(here, telco))


def test_calls_that_come_in_have_budgets_too(office, telco):
    budget(office, "b", "1 second", direction="in", trunk="telco")
    with Phone(office, "1003") as phone:
        phone.register()
        here = telco.invite("91003", auth=False)
        there = answer(here, phone)
        here.take_bye()
        there.take_bye()
        refused(telco.invite("91003", auth=False), 503)
        phone.unregister()


# ---- two servers ----

@pytest.fixture
def other_office(office):
    """Another server on the same database."""
    other = Office(node="other")
    other.conninfo = office.conninfo
    (other.dir / "spool").mkdir()
    other._write_config()
    other.start_server()
    try:
        yield other
    finally:
        other.stop_server()
        other._disconnect()


def dialled(phone, number):
    here = phone.invite(number)
    message = here.expect(200, 486)
    here.ack(message)
    if message.status == 200:
        here.bye()
    return message.status


def until(phone, number, status):
    """Dials until it comes to that, for two seconds: what one server has is known to the other in a quarter of one."""
    end_at = time.monotonic() + 2
    while dialled(phone, number) != status:
        assert time.monotonic() < end_at


def test_limit_counts_calls_on_all_servers(office, other_office, telco, caller):
    office.change("UPDATE pbx.extension SET call_limit = 1 WHERE number = '1002'")
    with Phone(other_office, "1002") as elsewhere:
        until(elsewhere, "600", 200)
        here = caller.invite("7712")
        there = answer(here, telco)
        until(elsewhere, "600", 486)
        end(here, there)
        until(elsewhere, "600", 200)


def test_budget_is_used_on_all_servers(office, other_office, telco, caller):
    budget(office, "b", "4 seconds")
    with Phone(other_office, "1003") as elsewhere:
        began = time.time()
        here = caller.invite("7712")
        there = answer(here, telco)
        here2 = elsewhere.invite("7713")
        there2 = answer(here2, telco)
        bye = here2.take_bye()
        assert 1.5 < bye.at - began < 3.5
        here.take_bye()
        take_byes(there, there2)
