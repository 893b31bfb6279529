"""A phone's subscription to an event package (RFC 6665), and what the bodies of the packages say."""
import xml.etree.ElementTree

from sip import Dialog

DIALOG_INFO = "{urn:ietf:params:xml:ns:dialog-info}"


class Watch:
    """Subscribes; `answer` is the final response, notified() the next NOTIFY, answered."""

    def __init__(self, phone, number=None, event="dialog", expires=600, headers=(), host=None):
        self.phone, self.event = phone, event
        self.dialog = Dialog(phone, f"sip:{number or phone.user}@{host or phone.uri_host}")
        self.answer = self.subscribe(expires, headers)

    def subscribe(self, expires=600, headers=()):
        d, c = self.dialog, self.phone.credentials
        lines = [*([f"Event: {self.event}"] if self.event else []), *headers]
        lines += [f"Expires: {expires}"] if expires is not None else []
        for attempt in range(2):
            d.send("SUBSCRIBE", headers=d.authorized("SUBSCRIBE", lines))
            m = d.expect(*range(200, 700), skip=(100, "NOTIFY") if not d.remote_tag else (100,))
            if m.status != 401 or attempt:
                return m
            c.take(m)

    def notified(self, **kwargs):
        """Waits for a NOTIFY, answers it and returns it."""
        m = self.dialog.expect("NOTIFY", **kwargs)
        self.dialog.reply(200, "OK", m)
        return m

    def end(self):
        """Unsubscribes; returns the last NOTIFY."""
        assert self.subscribe(0).status == 200
        return self.until(lambda m: m["Subscription-State"].startswith("terminated"))[-1]

    def until(self, true, **kwargs):
        """NOTIFYs up to the first of which that is true; returns them all."""
        seen = []
        while True:
            seen.append(self.notified(**kwargs))
            if true(seen[-1]):
                return seen


class Lamp:
    """What a body of the package dialog says."""

    def __init__(self, m):
        root = xml.etree.ElementTree.fromstring(m.body)
        assert root.tag == DIALOG_INFO + "dialog-info" and root.get("state") == "full"
        self.version, self.entity = int(root.get("version")), root.get("entity")
        self.dialogs = root.findall(DIALOG_INFO + "dialog")
        self.states = [d.findtext(DIALOG_INFO + "state") for d in self.dialogs]

    def remote(self, i=0):
        """(URI, display name) of the other end, or None."""
        identity = self.dialogs[i].find(f"{DIALOG_INFO}remote/{DIALOG_INFO}identity")
        return None if identity is None else (identity.text, identity.get("display"))
