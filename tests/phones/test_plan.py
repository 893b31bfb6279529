"""The dialplan: who may dial what, and what takes effect while the server runs."""
from phone import prompt
from test_calls import connect, talk

HELLO = prompt("pls-hold-while-try")
GOODBYE = prompt("number-not-answering")
SAID = prompt("feature-not-avail-line")


def refused(phone, number):
    phone.dial(number)
    return phone.wait("CALL_CLOSED")["param"]


def test_dialplan_changes_while_the_server_runs(phones, office):
    a, b = phones("1001"), phones("1002")
    assert refused(a, "555").startswith("404")
    try:
        office.change("""
            INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'lobby', '_55X', 'Test');
            INSERT INTO pbx.step (domain, context, pattern, position, app, args)
                VALUES ('office', 'lobby', '_55X', 1, 'playback', '{"phrases": "pls-hold-while-try"}')""")
        a.call("555")
        a.hears(HELLO)
        a.wait("CALL_CLOSED")            # the last step is over
        # Another sentence for one number of the pattern, and a second step.
        office.change("""
            INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '556', 'Test');
            INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
                ('office', 'office', '556', 1, 'playback', '{"phrases": "number-not-answering"}'),
                ('office', 'office', '556', 2, 'dial', '{"number": "1002"}')""")
        a.call("556")
        a.hears(GOODBYE)
        b.wait("CALL_INCOMING")
        # A call in progress goes on when its route goes away.
        office.change("DELETE FROM pbx.route WHERE pattern IN ('556', '_55X')")
        b.accept()
        talk(a, b)
        a.hangup()
        assert refused(a, "556").startswith("404")
    finally:
        office.change("DELETE FROM pbx.route WHERE pattern IN ('556', '_55X')")


def test_context_limits_what_the_lobby_dials(phones):
    lobby, b = phones("1010"), phones("1002")
    assert refused(lobby, "700").startswith("404")
    assert refused(lobby, "400").startswith("404")
    connect(lobby, b, "1002")
    talk(lobby, b)


def test_unknown_number_is_refused(phones):
    assert refused(phones("1001"), "9999").startswith("404")


def test_new_extension_registers_and_calls_at_once(phones, office):
    b = phones("1002")
    try:
        office.change("""
            INSERT INTO pbx.extension (domain, number, display_name, context) VALUES ('office', '1050', 'New Nora', 'office');
            SELECT pbx.set_password('office', '1050', 's1050')""")
        a = phones("1050")
        a.dial("1002")
        assert b.wait("CALL_INCOMING")["peerdisplayname"] == "New Nora"
        b.accept()
        a.wait("CALL_ESTABLISHED")
        talk(a, b)
        a.stop()
    finally:
        office.change("DELETE FROM pbx.extension WHERE number = '1050'")


def test_call_detail_record_has_both_legs_and_their_quality(phones, office):
    before = office.sql("SELECT clock_timestamp()")[0]
    a, b = phones("1001", codec="PCMA"), phones("1002", codec="G722")
    connect(a, b, "1002")
    talk(a, b)
    b.hangup()
    call, = office.wait_sql("SELECT call FROM pbx.cdr WHERE caller = '1001' AND dialled = '1002' AND started > %s", *before)[0]
    row = office.sql("SELECT result, hangup_by, cause, talk_ms, route, caller_name FROM pbx.cdr WHERE call = %s", call)[0]
    assert row[:3] == ("answered", "callee", 16) and row[3] > 2000 and row[4:] == ("_10XX", "Olive Operator")
    legs = office.sql("""SELECT role, codec, packets_sent, packets_received, lost, status FROM pbx.cdr_leg WHERE call = %s
                         ORDER BY leg""", call)
    assert [(leg[0], leg[1].lower()) for leg in legs] == [("caller", "pcma"), ("callee", "g722")]
    for _, _, sent, received, lost, _ in legs:
        assert sent > 100 and received > 100 and lost < 5
