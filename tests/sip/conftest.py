"""What the SIP tests add to the demo office: 9 and an extension's number rings it, with nothing behind that, so that the caller is
told what became of it. 8 and the number: its digits play music meanwhile."""
import pytest

import office as library

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
