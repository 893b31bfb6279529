"""What a SIP server says to requests outside calls (RFC 3261 §8.2, §11, §18; RFC 3581)."""
import pytest

from sipp import sipp

WAYS = [(4, "u1"), (4, "t1"), (6, "u1"), (6, "t1")]


@pytest.mark.parametrize("family,transport", WAYS)
def test_options_is_answered(office, family, transport):
    sipp(office, "options.xml", family=family, transport=transport)
