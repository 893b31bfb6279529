"""What the SIP tests add to the demo office: 9 and an extension's number rings it, with nothing behind that, so that the caller is
told what became of it."""
import types

import pytest

import office as library
from sip import Phone

ROUTES = """
INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_9XXXX', 'Ring only');
INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
    ('office', 'office', '_9XXXX', 1, 'dial', '{"number": "${number:1}"}');
"""


@pytest.fixture(scope="session")
def shared_office():
    made = library.Office()
    try:
        made.start()
        made.change(ROUTES)
        yield made
    finally:
        made.stop()


@pytest.fixture
def own_office(own_office):
    own_office.change(ROUTES)
    return own_office


@pytest.fixture
def pair(office):
    """A caller and a registered callee."""
    with Phone(office, "1001") as caller, Phone(office, "1002") as callee:
        assert callee.register().status == 200
        yield caller, callee
        callee.unregister()


class Cdrs:
    """The records of calls that end while a test runs, in the order they arrive."""

    def __init__(self, office):
        self.office = office
        self.since = office.sql("SELECT date_trunc('milliseconds', clock_timestamp())")[0][0]
        self.seen = set()

    def next(self, seconds=10):
        def ask():
            rows = self._rows("SELECT * FROM pbx.cdr WHERE started >= %s ORDER BY ended", self.since)
            return next((row for row in rows if row.call not in self.seen), None)
        cdr = library.wait_until(ask, seconds)
        self.seen.add(cdr.call)
        cdr.legs = self._rows("SELECT * FROM pbx.cdr_leg WHERE call = %s ORDER BY leg", cdr.call)
        return cdr

    def _rows(self, text, *args):
        self.office.sql("SELECT 1")
        with self.office.connection.cursor() as cursor:
            cursor.execute(text, args)
            names = [column.name for column in cursor.description]
            return [types.SimpleNamespace(**dict(zip(names, row))) for row in cursor]


@pytest.fixture
def cdrs(office):
    return Cdrs(office)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: begun first, so that the others run beside it")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
