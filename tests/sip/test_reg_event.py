"""Which phones are registered: SUBSCRIBE and NOTIFY of reg (RFC 3680)."""
import xml.etree.ElementTree as xml

import pytest

from sip import Phone
from watch import Watch

NS = "{urn:ietf:params:xml:ns:reginfo}"


def read(m):
    """(version, state of the registration, its contacts)"""
    assert m["Content-Type"] == "application/reginfo+xml"
    info = xml.fromstring(m.body)
    assert info.tag == NS + "reginfo" and info.get("state") == "full"
    one, = info.findall(NS + "registration")
    return int(info.get("version")), one.get("state"), {c.find(NS + "uri").text: c for c in one.findall(NS + "contact")}


@pytest.fixture
def phones(office):
    with Phone(office, "1006") as watcher, Phone(office, "1006") as other:
        try:
            yield watcher, other
        finally:
            other.unregister()


def test_contacts_come_and_go(office, phones):
    watcher, other = phones
    w = Watch(watcher, event="reg")
    assert w.answer.status == 200
    assert read(w.notified()) == (0, "init", {})
    m = other.register([other.contact + ';q=0.5;+sip.instance="<urn:uuid:00000000-0000-1000-8000-00000000000e>"'])
    assert m.status == 200
    version, state, contacts = read(w.notified())
    contact, = contacts.values()
    assert list(contacts) == [other.contact.strip("<>")]
    assert (version, state, contact.get("state"), contact.get("event"), contact.get("q")) == (1, "active", "active", "registered", "0.500")
    assert 0 < int(contact.get("expires")) <= 3600
    assert contact.find(NS + "unknown-param").text == '"<urn:uuid:00000000-0000-1000-8000-00000000000e>"'
    # A refresh is no news, another address of the same phone is
    assert other.register([other.contact + ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-00000000000e>"']).status == 200
    moved = other.contact.replace("sip:1006@", "sip:moved@")
    assert other.register([moved + ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-00000000000e>"']).status == 200
    seen = w.until(lambda m: list(read(m)[2]) == [moved.strip("<>")])
    assert [read(m)[0] for m in seen] == list(range(2, 2 + len(seen)))
    other.unregister()
    seen = w.until(lambda m: not read(m)[2])
    assert read(seen[-1])[1] == "terminated"
    w.end()


def test_nobody_sees_where_others_are(office):
    with Phone(office, "1005") as phone:
        assert Watch(phone, "1006", event="reg").answer.status == 403
