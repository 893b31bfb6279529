"""REFER outside of a dialog: the call it names, or one that is to be made (RFC 4538, 7647)."""
import pytest

from sip import Phone
from test_identity import Provider
from transfers import (answers, bye, called, escaped, hear_each_other, is_cancelled, notified, phones, pick, progress,
                       refer_outside, replaces_of, rings, take_bye, talk, three)


def target_dialog(d):
    return f"Target-Dialog: {d.call_id};local-tag={d.remote_tag};remote-tag={d.tag}"


@pytest.mark.parametrize("side", ["caller", "callee"])
def test_refer_outside_transfers_the_call_it_names(three, side):
    """RFC 5589 section 6.1, RFC 4538."""
    a, b, c = three
    at_a, at_b = talk(a, b) if side == "caller" else reversed(talk(b, a))
    outside = refer_outside(a, "91003", at_a.target, headers=[target_dialog(at_a), "Require: tdialog"])
    at_c = rings(c)
    assert at_c.invite["Referred-By"].startswith("<sip:1001@")
    assert [notified(outside), notified(outside)] == [100, 180]
    answers(at_c)
    assert progress(outside) == [200]
    bye(at_a)
    hear_each_other(at_b, at_c)
    bye(at_c)
    take_bye(at_b)


def test_refer_outside_names_the_other_call_too(three):
    """Attended, both calls named and neither's dialog used."""
    a, b, c = three
    at_a, at_b = talk(a, b)
    other, at_c = talk(a, c)
    outside = refer_outside(a, "1003", at_a.target, to=f"sip:1003@{a.uri_host}?Replaces={escaped(replaces_of(other))}",
                            headers=[target_dialog(at_a)])
    assert progress(outside)[-1] == 200
    take_bye(other)
    bye(at_a)
    bye(at_b)
    take_bye(at_c)


def test_call_of_somebody_else_is_not_transferred(three):
    a, b, c = three
    at_a, at_b = talk(a, b)
    refer_outside(c, "91003", at_a.target, headers=[target_dialog(at_a)], status=403)
    refer_outside(a, "91003", at_a.target, headers=[f"Target-Dialog: {at_a.call_id};local-tag=x;remote-tag=y"], status=481)
    refer_outside(a, "91003", at_a.target, headers=[f"Target-Dialog: {at_a.call_id};local-tag=x"], status=400)
    bye(at_a)
    take_bye(at_b)


def test_click_to_dial(cdrs, three):
    """REFER to himself: his phone is called, and then who he wants."""
    a, b, _ = three
    outside = refer_outside(a, "91002")
    assert notified(outside) == 100
    at_a = rings(a)
    assert "sip:91002@" in at_a.invite["From"]                   # it shows whom it will reach
    answers(at_a)
    at_b = rings(b)
    assert "sip:1001@" in at_b.invite["From"]
    assert notified(outside) == 180
    answers(at_b)
    assert progress(outside) == [200]
    hear_each_other(at_a, at_b)
    bye(at_b)
    take_bye(at_a)
    first, second = sorted((cdrs.next(), cdrs.next()), key=lambda r: r.started)
    assert (first.caller, first.dialled, first.result, first.talk_ms) == ("1001", "1001", "moved", 0)
    assert (second.caller, second.dialled, second.result, second.transferred_by) == ("1001", "91002", "answered", None)


def test_click_to_dial_that_nobody_answers_calls_nobody_back(three):
    a, b, _ = three
    outside = refer_outside(a, "91002")
    at_a = rings(a)
    answers(at_a)
    at_b = called(b)
    at_b.reply(486)
    pick(at_b, "ACK")
    assert progress(outside)[-1] == 486
    take_bye(at_a)


def test_click_to_dial_on_a_phone_that_is_not_taken_up(own_office):
    """Nobody else is rung for it."""
    own_office.change("INSERT INTO pbx.forward (domain, number, reason, target) VALUES ('office', '1001', 'busy', '1003')")
    with phones(own_office, "1001", "1002", "1003") as (a, _, _c):
        outside = refer_outside(a, "91002")
        at_a = called(a)
        at_a.reply(486)
        pick(at_a, "ACK")
        assert progress(outside)[-1] == 486


def test_click_to_dial_that_is_hung_up_on_while_it_rings(three):
    a, b, _ = three
    outside = refer_outside(a, "91002")
    at_a = rings(a)
    answers(at_a)
    at_b = rings(b)
    bye(at_a)
    is_cancelled(at_b)
    assert progress(outside)[-1] == 487


def test_phone_that_asks_is_the_one_that_rings(office, three):
    """Sent to the house, not to a number: of two phones of the same user it is that one."""
    a, b, _ = three
    with phones(office, "1001") as (desk,):
        outside = refer_outside(desk, "91002", f"sip:{desk.uri_host}")
        at_desk = rings(desk)
        answers(at_desk)
        at_b = rings(b)
        answers(at_b)
        assert progress(outside)[-1] == 200
        bye(at_desk)
        take_bye(at_b)
        # To the number: both.
        outside = refer_outside(a, "600")
        at_a, at_desk = rings(a), rings(desk)
        answers(at_desk)
        is_cancelled(at_a)
        assert progress(outside)[-1] == 200
        bye(at_desk)


def test_own_call_is_fetched_by_click(office, three):
    """Replaces names a call of his at another phone: this one takes it."""
    a, b, _ = three
    at_a, at_b = talk(a, b)
    with phones(office, "1001") as (desk,):
        outside = refer_outside(desk, None, f"sip:{desk.uri_host}", to=f"sip:1002@{a.uri_host}?Replaces={escaped(replaces_of(at_a))}")
        at_desk = rings(desk)
        answers(at_desk)
        assert progress(outside)[-1] == 200
        take_bye(at_a)
        hear_each_other(at_desk, at_b)
        bye(at_desk)
        take_bye(at_b)


def test_click_to_dial_without_a_subscription(three):
    """RFC 4488: no NOTIFY comes."""
    a, b, _ = three
    refer_outside(a, "91002", headers=["Refer-Sub: false"])
    at_a = rings(a)
    answers(at_a)
    at_b = rings(b)
    answers(at_b)
    bye(at_a)
    take_bye(at_b)
    assert not a.inbox


def test_who_clicked_ends_his_subscription(three):
    a, b, _ = three
    outside = refer_outside(a, "91002")
    assert notified(outside) == 100
    at_a = rings(a)
    outside.send("SUBSCRIBE", headers=["Event: refer", "Expires: 0"])
    pick(outside, 200)
    m = pick(outside, "NOTIFY")
    outside.reply(200, "OK", m)
    assert m["Subscription-State"] == "terminated;reason=timeout" and m.body.startswith("SIP/2.0 100 ")
    answers(at_a)
    at_b = rings(b)
    answers(at_b)
    bye(at_a)
    take_bye(at_b)
    assert not a.inbox


def test_refer_outside_that_can_not_be(office):
    with phones(office, "1010", "1002") as (lobby, b):
        refer_outside(lobby, "91003", status=403)                # not his class of service
        refer_outside(b, "91003", f"sip:1010@{b.uri_host}", status=403)   # another is to call
        refer_outside(b, None, to="http://example.com/", status=603)
        refer_outside(b, None, to=f"sip:91003@{b.uri_host};method=BYE", status=603)
        refer_outside(b, None, to=":", status=400)
        refer_outside(b, "91003", contact="*", status=400)
        with Phone(office, "1001", password="wrong") as stranger:
            m = stranger.ask("REFER", f"sip:1001@{b.uri_host}", headers=[f"Refer-To: <sip:91003@{b.uri_host}>", f"Contact: {stranger.contact}"])
            assert m.status == 401


def test_trunk_refers_nobody_outside_of_its_calls(office):
    with Provider(office, "bridge") as trunk:
        m = trunk.ask("REFER", f"sip:1001@{trunk.uri_host}", headers=["Refer-To: <sip:91003@x>", f"Contact: {trunk.contact}"])
        assert m.status == 403
