"""What passes between the two ends of a call, and what phones are asked to do."""
import pytest

from sip import Phone

CONTROL = '<?xml version="1.0"?><media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>'


@pytest.fixture
def call(office):
    """(the caller's dialog, the callee's), joined."""
    with Phone(office, "1002") as caller, Phone(office, "1003") as callee:
        assert callee.register().status == 200
        near = caller.invite("91003")
        far = callee.answer_invite()
        far.answer()
        near.ack(near.expect(200, skip=(100, 180, 183)))
        yield near, far
        near.bye()
        far.take_bye()
        callee.unregister()



@pytest.mark.parametrize("method,ctype,body", [
    ("MESSAGE", "text/plain", "hello"), ("MESSAGE", 'text/html;charset="UTF-8"', "<p>\u00e4</p>"),
    ("INFO", "application/media_control+xml", CONTROL),
])
def test_passes_both_ways_with_the_answer(call, method, ctype, body):
    for here, there in (call, call[::-1]):
        text = here.text(method, body)
        here.phone.send(text.replace("Content-Type: application/sdp", f"Content-Type: {ctype}"))
        m = there.expect(method)
        assert m.body == body and m["Content-Type"] == ctype
        assert m["Call-ID"] != here.call_id
        there.reply(202, "Accepted", m)
        assert here.expect(*range(200, 700)).status == 202
        here.phone.send(here.text(method, body).replace("Content-Type: application/sdp", f"Content-Type: {ctype}"))
        there.reply(415, "Not today", there.expect(method))
        assert here.expect(*range(200, 700)).status == 415


def test_info_packages_are_refused(call):
    """RFC 6086 section 4.2.2."""
    near, _ = call
    near.send("INFO", headers=["Info-Package: nothing"])
    assert near.expect(*range(200, 700)).status == 469


def test_message_with_nobody_at_the_other_end(office):
    with Phone(office, "1002") as phone:
        d = phone.invite("600")
        d.ack(d.expect(200, skip=(100, 180, 183)))
        d.send("MESSAGE", "hello")
        assert d.expect(*range(200, 700)).status == 480
        d.bye()


def test_hold_by_notify_in_the_dialog(office, call):
    _, far = call
    office.sql("SELECT pbx.phone_hold('office', '1003')")
    m = far.expect("NOTIFY")
    assert m["Event"] == "hold" and m["Call-ID"] == far.call_id
    far.reply(200, "OK", m)
    assert office.sql("SELECT count(*) FROM pbx.phone_request") == [(0,)]


def test_check_sync_goes_to_all_contacts(office):
    with Phone(office, "1003") as left, Phone(office, "1003") as right:
        assert left.register().status == 200 and right.register().status == 200
        office.sql("SELECT pbx.check_sync('office', '1003')")
        for phone in (left, right):
            m = phone.expect("NOTIFY")
            assert m["Event"] == "check-sync;reboot=true"
            assert m["Subscription-State"].startswith("terminated")
            assert f"sip:1003@{office.addr}" in m["From"]
            phone.reply(m, 200, "OK", tag="x")
        left.unregister()


def test_exchange_is_asked_by_its_number(office):
    """RFC 6140 §5.2: bnc is no part of what a request goes to; and an exchange is only that of its own numbers."""
    office.change("UPDATE pbx.extension SET bulk_registers = true, mwi_unsolicited = true WHERE number = '1003';"
                  " UPDATE pbx.extension SET bulk_account = '1003' WHERE number = '1005'")
    try:
        with Phone(office, "1003") as exchange, Phone(office, "1002") as phone:
            everything = [f"<sip:{exchange.sent_by};bnc>"], 600
            assert phone.register(*everything, headers=["Require: gin"]).status == 403
            assert exchange.register(*everything, headers=["Require: gin"]).status == 200
            m = exchange.expect("NOTIFY")
            assert m["Event"] == "message-summary" and m.start.split()[1] == f"sip:1003@{exchange.sent_by}"
            exchange.reply(m, 200, "OK", tag="x")
            office.sql("SELECT pbx.check_sync('office', '1003')")
            m = exchange.expect("NOTIFY")
            assert m["Event"] == "check-sync;reboot=true" and m.start.split()[1] == f"sip:1003@{exchange.sent_by}"
            exchange.reply(m, 200, "OK", tag="x")
            for number in ("1005", "1002"):          # no numbers but its own are registered by it, nor its own one by one
                assert exchange.register(to=f"<sip:{number}@{exchange.domain}>").status == 403
            exchange.unregister()
    finally:
        office.change("UPDATE pbx.extension SET bulk_account = NULL WHERE number = '1005';"
                      " UPDATE pbx.extension SET bulk_registers = false, mwi_unsolicited = false WHERE number = '1003'")


def test_check_sync_asked_while_no_server_ran(own_office):
    office = own_office
    with Phone(office, "1003") as phone:
        assert phone.register().status == 200
        office.wait_sql("SELECT count(*) = 1 FROM pbx.binding WHERE number = '1003'")
        office.stop_server()
        office.sql("SELECT pbx.phone_hold('office', '1003'), pbx.check_sync('office', '1003', false)")
        office.sql("UPDATE pbx.phone_request SET made = made - interval '1 minute'")
        office.start_server()
        m = phone.expect("NOTIFY")
        assert m["Event"] == "check-sync;reboot=false"
        phone.reply(m, 200, "OK", tag="x")
        office.wait_sql("SELECT count(*) = 0 FROM pbx.phone_request")
        phone.expect_none()
