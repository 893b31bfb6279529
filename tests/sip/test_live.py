"""Live calls and legs in SQL (pbx.call, pbx.leg): seen while they ring, as they are when they talk and hold, and gone when they end."""
from office import wait_until
from sip import Phone, sdp

PCMU = [(0, "PCMU/8000"), (101, "telephone-event/8000")]


def test_call_is_seen_from_its_beginning_to_its_end(office, cdrs):
    def legs():
        return office.sql("SELECT l.role, l.number, l.state, l.held, l.partner FROM pbx.leg AS l JOIN pbx.call AS c USING (call)"
                          " WHERE c.caller = '1001' AND c.dialled = '91002' ORDER BY l.leg")

    with Phone(office, "1001") as caller, Phone(office, "1002") as callee:
        callee.register()
        here = caller.invite("91002", sdp(caller.addr, 4000, PCMU))
        there = callee.answer_invite()
        there.ring()
        here.expect(180)
        wait_until(lambda: legs() == [("caller", "1001", "ringing", False, None), ("callee", "1002", "ringing", False, None)])
        (call, app, answered, lasts), = office.sql("SELECT call::text, app, answered, lasts < interval '10 s' FROM pbx.call WHERE dialled = '91002'")
        assert (app, answered, lasts) == ("dial", None, True)
        there.answer(sdp(callee.addr, 4002, PCMU))
        here.ack(here.expect(200))
        wait_until(lambda: legs() == [("caller", "1001", "answered", False, 2), ("callee", "1002", "answered", False, 1)])
        assert office.sql("SELECT answered IS NOT NULL FROM pbx.call WHERE call = %s", call) == [(True,)]
        # The server hears of a database that has lost all that isn't logged.
        office.change("DELETE FROM pbx.live_call")
        office.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE %s", "LISTEN%")
        wait_until(lambda: len(legs()) == 2)
        here.send("BYE")
        there.take_bye()
        here.expect(200)
        wait_until(lambda: legs() == [] and office.sql("SELECT 1 FROM pbx.live_call WHERE call = %s", call) == [])
        callee.unregister()
    assert str(cdrs.next().call) == call
