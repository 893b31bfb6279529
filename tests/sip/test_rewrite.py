"""Numbers as a trunk or a route has them: what is called and who calls, out and in (pbx.trunk_rewrite, pbx.route_rewrite)."""
import pytest

from sip import Phone, uri_of

SETUP = """
INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'telco', 'lobby', 'sip:{0}:{1}');
INSERT INTO pbx.trunk_address (domain, name, address) VALUES ('office', 'telco', '{0}');
INSERT INTO pbx.context VALUES ('office', 'sos');
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_77.'), ('office', 'sos', '_11X');
INSERT INTO pbx.step VALUES ('office', 'office', '_77.', 1, 'dial', '{{"number": "${{number}}", "trunk": "telco"}}'),
    ('office', 'sos', '_11X', 1, 'dial', '{{"number": "${{number}}", "trunk": "telco"}}');
INSERT INTO pbx.emergency_number VALUES ('office', '112', 'sos'), ('office', '113', 'sos');
INSERT INTO pbx.inbound_number VALUES ('+4312345', 'office', '91003');
INSERT INTO pbx.blocked_caller (domain, pattern) VALUES ('office', '_+43900.');
INSERT INTO pbx.route_rewrite VALUES ('office', 'office', '_77.', 'called', '_.', '${{number:2}}');
INSERT INTO pbx.trunk_rewrite (domain, trunk, direction, party, pattern, result) VALUES
    ('office', 'telco', 'out', 'called', '_00.', '+${{number:2}}'), ('office', 'telco', 'out', 'called', '_0Z.', '+43${{number:1}}'),
    ('office', 'telco', 'out', 'called', '_X.', '9${{number}}'), ('office', 'telco', 'out', 'called', '113', '0113'),
    ('office', 'telco', 'out', 'caller', '_10XX', '+4312345${{number:2}}'), ('office', 'telco', 'out', 'caller', '2222', '+43222'),
    ('office', 'telco', 'in', 'called', '_0Z.', '+43${{number:1}}'), ('office', 'telco', 'in', 'caller', '_0Z.', '+43${{number:1}}');
"""
UNDO = """
DELETE FROM pbx.inbound_number; DELETE FROM pbx.emergency_number; DELETE FROM pbx.blocked_caller; DELETE FROM pbx.route WHERE pattern = '_77.';
DELETE FROM pbx.context WHERE context = 'sos'; DELETE FROM pbx.trunk WHERE name = 'telco'
"""


@pytest.fixture
def telco(office):
    with Phone(office, "0660123", password="") as phone:
        office.change(SETUP.format(phone.addr, phone.port))
        try:
            yield phone
        finally:
            office.change(UNDO)


def sent(telco, here):
    """What the trunk is asked for, in the request and in To, and who is said to call."""
    there = telco.answer_invite()
    uri = there.invite.start.split()[1]
    user = lambda uri: uri.split(":", 1)[1].split("@")[0]  # noqa: E731
    assert user(uri) == user(uri_of(there.invite["To"]))
    there.reply(486, "Busy Here")
    there.expect("ACK")
    here.ack(here.expect(486, skip=(100, 180, 183)))
    return user(uri), user(uri_of(there.invite["From"]))


@pytest.mark.parametrize("dialled, called", [("7700491234", "+491234"), ("77012345", "+4312345"), ("7755", "955")])
def test_route_and_trunk_rewrite_what_is_called(office, telco, dialled, called):
    with Phone(office, "1002") as caller:
        assert sent(telco, caller.invite(dialled)) == (called, "+431234502")


def test_route_rewrites_the_callers_number(office, telco):
    office.change("INSERT INTO pbx.route_rewrite VALUES ('office', 'office', '_77.', 'caller', '1002', '2222')")
    with Phone(office, "1002") as caller:
        assert sent(telco, caller.invite("7755")) == ("955", "+43222")


def test_rewriting_is_in_force_from_commit(office, telco):
    with Phone(office, "1002") as caller:
        office.change("UPDATE pbx.trunk_rewrite SET result = '8${number}' WHERE pattern = '_X.'")
        assert sent(telco, caller.invite("7755"))[0] == "855"
        office.change("DELETE FROM pbx.trunk_rewrite WHERE pattern = '_X.'")
        assert sent(telco, caller.invite("7755"))[0] == "55"


def test_caller_who_hides_stays_hidden(office, telco):
    office.change("UPDATE pbx.extension SET anonymous = 'always' WHERE number = '1002'")
    try:
        with Phone(office, "1002") as caller:
            assert sent(telco, caller.invite("7755")) == ("955", "anonymous")
    finally:
        office.change("UPDATE pbx.extension SET anonymous = NULL WHERE number = '1002'")


@pytest.mark.parametrize("dialled, called", [("112", "112"), ("113", "0113")])
def test_pattern_does_not_spoil_an_emergency_number(office, telco, dialled, called):
    with Phone(office, "1002") as caller:
        assert sent(telco, caller.invite(dialled))[0] == called


def test_trunks_numbers_are_ours_before_anything_is_looked_at(office, telco, cdrs):
    with Phone(office, "1003") as phone:
        phone.register()
        here = telco.invite("012345", auth=False)
        there = phone.answer_invite()
        assert "sip:+43660123@" in there.invite["From"]
        there.answer()
        here.ack(here.expect(200))
        here.bye()
        there.take_bye()
        cdr = cdrs.next()
        assert (cdr.caller, cdr.dialled) == ("+43660123", "+4312345")
        says = [says for says, in office.sql("SELECT says FROM pbx.why(%s)", cdr.call)]
        assert "trunk telco makes +4312345 of the number 012345 (pattern _0Z.)." in says
        assert "trunk telco makes +43660123 of the caller's number 0660123 (pattern _0Z.)." in says
        phone.unregister()


def test_callers_are_blocked_as_we_write_them(office, telco):
    telco.user = "0900123"
    here = telco.invite("012345", auth=False)
    here.ack(here.expect(603))
