"""One of two phones sends the other on to a third, which then talk."""
import pytest

from test_calls import connect, talk


def address(phone):
    return f"sip:{phone.number}@{phone.office.addr}"


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_phone_transfers_the_other_to_a_third(phones, office, by):
    a, b, c = phones("1001"), phones("1002"), phones("1003")
    connect(a, b, "1002")
    goes, stays = (a, b) if by == "caller" else (b, a)
    goes.command("transfer", address(c))
    c.wait("CALL_INCOMING")
    c.accept()
    goes.wait("CALL_CLOSED")
    c.wait_sound()
    talk(stays, c)
    stays.hangup()
    c.wait("CALL_CLOSED")
    office.wait_sql("SELECT count(*) = 1 FROM pbx.cdr WHERE transferred_by = %s", goes.number)
