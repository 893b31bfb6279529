"""Trunks that ask in the Via for less (RFC 7339): pbx.trunk.overload_control."""
import itertools

import pytest

from sip import Phone

ROUTES = """
INSERT INTO pbx.context (domain, context) VALUES ('office', 'outside');
INSERT INTO pbx.trunk (domain, name, context, uri, overload_control) VALUES ('office', 'busy', 'outside', '{busy}', true),
    ('office', 'other', 'outside', '{other}', false);
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_77X!');
INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
    ('office', 'office', '_77X!', 1, 'dial', '{{"number": "${{number:2}}", "trunk": "busy"}}'),
    ('office', 'office', '_77X!', 2, 'dial', '{{"number": "${{number:2}}", "trunk": "other"}}');
"""
CLEAN = """
DELETE FROM pbx.route WHERE pattern = '_77X!';
DELETE FROM pbx.trunk WHERE name IN ('busy', 'other');
DELETE FROM pbx.context WHERE context = 'outside';
"""
SEQ = itertools.count(1)


class Trunk(Phone):
    asks = ""                            # in each answer's Via

    def reply_text(self, m, *args, **kwargs):
        text = super().reply_text(m, *args, **kwargs)
        return text.replace(';oc;oc-algo="loss,rate"', f"{self.asks};oc-seq={next(SEQ)}.0") if self.asks else text


@pytest.fixture
def trunks(office):
    with Trunk(office, "busy") as busy, Trunk(office, "other") as other, Phone(office, "1001") as caller:
        caller.register()
        office.change(ROUTES.format(busy=f"sip:{busy.addr}:{busy.port}", other=f"sip:{other.addr}:{other.port}"))
        try:
            yield caller, busy, other
        finally:
            office.change(CLEAN)
            caller.unregister()


def call(caller, trunk, number="77300"):
    """A whole call that this trunk takes; returns its INVITE."""
    d = caller.invite(number)
    there = trunk.answer_invite()
    there.answer()
    d.ack(d.expect(200))
    d.bye()
    there.take_bye()
    return there


def test_overload_new_calls_take_the_next_way_and_calls_for_help_do_not(trunks):
    caller, busy, other = trunks
    there = call(caller, busy)
    assert ';oc;oc-algo="loss,rate"' in there.invite["Via"]
    busy.asks = ';oc=100;oc-algo="loss";oc-validity=600000'
    call(caller, busy)                   # it says so in its answers to this one
    assert "oc" not in call(caller, other).invite["Via"]
    call(caller, busy, "77112")
    busy.asks = ';oc=0;oc-algo="loss";oc-validity=0'
    call(caller, busy, "77112")
    call(caller, busy)


def test_overload_is_offered_in_other_requests_too(office, trunks):
    """REGISTER, OPTIONS and MESSAGE: what is said in an answer to one counts for the calls."""
    caller, busy, other = trunks
    office.change("UPDATE pbx.trunk SET qualify_s = 60, register = true, register_as = 'acme' WHERE name = 'busy'")
    seen = set()
    while seen != {"REGISTER", "OPTIONS"}:
        m = busy.expect("REGISTER", "OPTIONS")
        assert ';oc;oc-algo="loss,rate"' in m["Via"]
        seen.add(m.method)
        busy.reply(m, 404, "No", tag="x")
    caller.send(caller.request("MESSAGE", f"sip:77300@{caller.uri_host}", body="x", ctype="text/plain",
                               headers=[caller.credentials.header("MESSAGE", f"sip:77300@{caller.uri_host}")]))
    m = busy.expect("MESSAGE", skip=("REGISTER", "OPTIONS"))
    assert ';oc;oc-algo="loss,rate"' in m["Via"]
    busy.asks = ';oc=100;oc-algo="loss";oc-validity=600000'
    busy.reply(m, 200, "OK", tag="x")
    assert caller.expect(200).cseq_method == "MESSAGE"
    call(caller, other)
    busy.asks = ';oc=0;oc-algo="loss";oc-validity=0'
    call(caller, busy, "77112")


def test_overload_calls_in_progress_go_on_and_the_caller_is_told_why(office, trunks):
    caller, busy, _ = trunks
    office.change("DELETE FROM pbx.step WHERE pattern = '_77X!' AND position = 2")
    d = caller.invite("77300")
    there = busy.answer_invite()
    busy.asks = ';oc=0;oc-algo="rate";oc-validity=600000'
    there.answer()
    d.ack(d.expect(200))
    refused = caller.invite("77301")
    m = refused.expect(503)
    refused.ack(m)
    assert "cause=42" in m["Reason"]
    d.bye()
    assert ';oc;oc-algo="loss,rate"' in there.take_bye()["Via"]
