"""Phones for the tests: `phones("1001", codec="PCMA")` is a registered phone of the shared office, `own_phones` one of own_office.
They hang up, unregister and end with the test."""
import pytest

from phone import Phone


def factory(request, office):
    made = []

    def phones(number, register=True, **kwargs):
        phone = Phone(office, number, **kwargs)
        made.append(phone)
        return phone.start(register=register)

    request.node.phones = made
    yield phones
    for phone in made:
        phone.remove()


@pytest.fixture
def phones(request, office):
    yield from factory(request, office)


@pytest.fixture
def own_phones(request, own_office):
    yield from factory(request, own_office)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for phone in getattr(item, "phones", []):
            report.sections.append((f"phone {phone.number}", phone.log_tail()))


def pytest_collection_modifyitems(items):
    """The long ones first, so that none is left over at the end for one worker alone."""
    items.sort(key=lambda item: "voicemail" not in item.nodeid)
