"""Presence: SUBSCRIBE and NOTIFY of the package presence (RFC 3856, RFC 3863), and PUBLISH (RFC 3903)."""
import xml.etree.ElementTree

import pytest

from sip import Phone
from watch import Watch

NS = "{urn:ietf:params:xml:ns:pidf}"
PERSON = "{urn:ietf:params:xml:ns:pidf:data-model}person"
RPID = "{urn:ietf:params:xml:ns:pidf:rpid}"
CTYPE = "application/pidf+xml"


def document(basic, activity=None, note=None):
    person = f"<d:person id='p'><r:activities><r:{activity}/></r:activities></d:person>" if activity else ""
    return (f"<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:d='{PERSON[1:].split('}')[0]}' xmlns:r='{RPID[1:-1]}' entity='sip:x@y'>"
            f"<tuple id='t'><status><basic>{basic}</basic></status></tuple>{person}{f'<note>{note}</note>' if note else ''}</presence>")


class State:
    def __init__(self, m):
        root = xml.etree.ElementTree.fromstring(m.body)
        assert root.tag == NS + "presence"
        self.entity = root.get("entity")
        self.tuples = [t.findtext(f"{NS}status/{NS}basic") for t in root.findall(NS + "tuple")]
        self.basic = self.tuples[0]
        activities = root.find(f"{PERSON}/{RPID}activities")
        self.activity = None if activities is None else activities[0].tag[len(RPID):]
        self.note = root.findtext(f"{NS}tuple/{NS}note")


class Publisher:
    def __init__(self, phone, number=None):
        self.phone, self.etag = phone, None
        self.uri = f"sip:{number or phone.user}@{phone.uri_host}"

    def publish(self, body="", expires=600, etag=None, event="presence", ctype=CTYPE):
        etag = etag or self.etag
        headers = [f"Event: {event}", f"Expires: {expires}"] + ([f"SIP-If-Match: {etag}"] if etag else [])
        m = self.phone.ask("PUBLISH", self.uri, headers=headers, body=body, ctype=ctype)
        if m.status == 200:
            assert m["SIP-ETag"] != self.etag
            self.etag = m["SIP-ETag"]
        return m


@pytest.fixture
def pair(office):
    with Phone(office, "1005") as watcher, Phone(office, "1006") as other:
        yield watcher, other


def test_registration_is_presence(office, pair):
    watcher, other = pair
    watch = Watch(watcher, "1006", event="presence")
    assert watch.answer.status == 200
    m = watch.notified()
    assert m["Content-Type"] == CTYPE and m["Event"] == "presence"
    assert State(m).entity == f"sip:1006@{office.addr}" and State(m).basic == "closed"
    assert other.register().status == 200
    assert State(watch.notified()).basic == "open"
    other.unregister()
    assert State(watch.notified()).basic == "closed"
    watch.end()


def test_publish_is_told_modified_refreshed_and_removed(pair):
    watcher, other = pair
    watch = Watch(watcher, "1006", event="presence")
    watch.notified()
    p = Publisher(other)
    answer = p.publish(document("open", "away", "T&#228;glich &lt;gern&gt;"), expires=9999)
    assert answer.status == 200 and int(answer["Expires"]) == 3600
    state = State(watch.notified())
    assert state.basic == "open" and state.activity == "away" and state.note == "T\u00e4glich <gern>"
    old = p.etag
    assert p.publish(document("closed")).status == 200                       # modify
    state = State(watch.notified())
    assert state.basic == "closed" and state.activity is None
    assert p.publish(etag=old).status == 412                                 # RFC 3903 section 4.1: the tag has changed
    assert p.publish().status == 200                                         # refresh: no news
    watcher.expect_none(0.2)
    assert p.publish(expires=0).status == 200
    assert State(watch.notified()).tuples == ["closed"]                      # nobody registered
    assert p.publish().status == 412
    watch.end()


def test_several_publications_are_put_together(pair):
    watcher, other = pair
    watch = Watch(watcher, "1006", event="presence")
    watch.notified()
    desk, mobile = Publisher(other), Publisher(other)
    assert desk.publish(document("closed")).status == 200
    assert State(watch.notified()).basic == "closed"
    assert mobile.publish(document("open", "meeting")).status == 200
    state = State(watch.notified())
    assert state.basic == "open" and sorted(state.tuples) == ["closed", "open", "open"] and state.activity == "meeting"
    assert mobile.publish(expires=0).status == 200
    assert State(watch.notified()).basic == "closed"
    desk.publish(expires=0)
    watch.notified()
    watch.end()


def test_refused_publications(pair):
    watcher, other = pair
    p = Publisher(other)
    assert p.publish("").status == 400
    assert p.publish("no XML").status == 400
    assert p.publish("<!DOCTYPE p [<!ENTITY a 'b'>]>" + document("open", note="&a;")).status == 400
    assert p.publish("x" * 17000 if other.proto == "tcp" else document("open"), ctype="text/plain").status == 415
    assert p.publish(document("open"), expires=5).status == 423
    assert p.publish(document("open"), etag="nosuchtag").status == 412
    assert p.publish(document("open"), event="dialog").status == 489
    assert Publisher(other, "1005").publish(document("open")).status == 403  # somebody else's
    several = [Publisher(other) for _ in range(11)]
    answers = [s.publish(document("open")).status for s in several]
    assert answers == [200] * 10 + [503]
    for s in several[:10]:
        assert s.publish(expires=0).status == 200


def test_a_call_shows_as_on_the_phone(office, pair):
    watcher, other = pair
    with Phone(office, "1002") as caller:
        watch = Watch(watcher, "1002", event="presence")
        assert State(watch.notified()).activity is None
        call = caller.invite("600")
        call.ack(call.expect(200, skip=(100, 180, 183)))
        assert State(watch.notified()).activity == "on-the-phone"
        call.bye()
        assert State(watch.notified()).activity is None
        watch.end()


def test_presence_set_by_sql_wins(office, pair):
    watcher, other = pair
    assert other.register().status == 200
    watch = Watch(watcher, "1006", event="presence")
    assert State(watch.notified()).basic == "open"
    try:
        office.sql("INSERT INTO pbx.presence_note (domain, number, status, activity, note) VALUES ('office', '1006', 'closed', 'vacation', 'Back <soon>')")
        state = State(watch.notified())
        assert (state.basic, state.activity, state.note) == ("closed", "vacation", "Back <soon>")
    finally:
        office.sql("DELETE FROM pbx.presence_note")
    assert State(watch.notified()).basic == "open"
    watch.end()
    other.unregister()
    assert Watch(watcher, "1777", event="presence").answer.status == 404
