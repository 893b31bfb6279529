"""Call flows, written short, as SIPp scenarios: tests/sip/flows/*.xml.

A flow has parties; each is one SIPp with an address of its own, and its elements are what it sends and what it wants to get, in
this order and nothing besides:

    <flow>
      <sql do="INSERT ..." undo="DELETE ..."/>        what the flow needs in the database
      <trunk name="gw"/>                              party gw is a trunk: 0 and a number goes out by it, its address lets it in
      <party name="bob"> ... </party>                 an extension (USERS); it registers before, unless register="no"
      <party name="bob2" user="bob"> ... </party>     another phone of his
      <party name="carol" after="bob: rings"> ...     begins when bob has said <say>rings</say>

    <send request="INVITE" to="9${bob}" body="sdp"/>  to= or uri= begins a dialog, else it is one in the dialog
    <send status="180 Ringing"/>                      answers the last request got, or that of to="INVITE"
    <expect request="BYE"/>  <expect status="200"/>   of the last request sent, or that of to="INVITE"; optional="yes"
    <say>text</say>  <wait for="bob: text"/>          goes on when bob has said it

`dialog` names a dialog of the party where it has several (they are told apart by Call-ID). `body` is "sdp", "sendonly", "recvonly",
"inactive" or "sendrecv" for a description (of the default direction, or this one), "any", or a MIME type whose text is in the
element; without it there must be none. Text of an element <send>: further header lines, then, behind an empty line, the body.
`auth="asked"`: it waits for the challenge, instead of knowing it from its registration; auth="no": it has no password to show.
[my_tag] in a header line is our tag of the dialog named by `other`. `contact` and `from` are others than its own (contact="none": no such header), `via` is what stands below its own.

In <expect>: <has header="H" like="REGEX"/>, <has body="REGEX"/>, <lacks header="H"/>, <keep name="N" header="H" like="..(..).."/>
(what is in the parentheses, then [$N]). ${bob}, ${bob.addr}, ${uri}, ${addr} are put in before: his number and address, the server's
address with port and without.

Whatever else is said, each message must have the headers that RFC 3261 table 2 makes mandatory for it, the CSeq and the branch of
the request it answers, the tags of its dialog, and a Content-Length that goes with its body."""
import contextlib
import pathlib
import re
import socket
import xml.etree.ElementTree as ElementTree

from office import ROOT, own_address, wait_until
from sip import Phone
from sipp import Sipp

FLOWS = ROOT / "tests/sip/flows"
USERS = {"alice": "1001", "bob": "1002", "carol": "1003", "dave": "1004", "erin": "1005", "frank": "1006",
         "lobby": "1010"}
DIRECTIONS = ("sendonly", "recvonly", "inactive", "sendrecv")
GO_ON = "GOON"
HAS_CONTACT = ("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER")

TRUNK = """
INSERT INTO pbx.trunk (domain, name, context, uri{columns}) VALUES ('office', '{name}', 'office', 'sip:{addr}'{values});
INSERT INTO pbx.trunk_address (domain, name, address) VALUES ('office', '{name}', '{addr}/32');
"""
TRUNK_ROUTE = """
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_0X.');
INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES
    ('office', 'office', '_0X.', 1, 'dial', '{{"number": "${{number:1}}", "trunk": "{name}"}}');
"""


class FlowError(AssertionError):
    pass


def xml(text):
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


class Dialog:
    """What is known of one while the scenario is written out."""

    def __init__(self, name):
        self.name = name
        self.side = None                 # "caller" or "callee" once it has begun
        self.uri = self.uri_to = self.local = None
        self.cseq = 0
        self.version = 0
        self.sent = {}                   # method: (CSeq, branch) of the last request of it
        self.last_sent = None
        self.last_got = None
        self.is_early = self.is_confirmed = False


class Scenario:
    """One party, written out for SIPp."""

    def __init__(self, party, user, authorize):
        self.party, self.user, self.authorize = party, user, authorize
        self.name = party.get("name")
        self.lines, self.kept, self.serial = [], [], 0
        self.dialogs = {}
        self.waits = []
        self.asked = None                # the URI of the request that waits for its challenge
        first = next(e for e in party if e.tag in ("send", "expect"))
        self.is_called = first.tag == "expect"
        for element in party:
            getattr(self, "_" + element.tag)(element)

    def text(self):
        for name in [k for k in self.kept if not k.startswith("_")]:
            self.lines.append(f'<nop><action><log message="{name} = [${name}]"/></action></nop>')
        used = f'<Reference variables="{",".join(self.kept)}"/>' if self.kept else ""
        return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', f'<scenario name="{self.name}">', *self.lines, used, "</scenario>", ""])

    # ---- small parts ----

    def _dialog(self, element):
        name = element.get("dialog", "")
        return self.dialogs.setdefault(name, Dialog(name))

    def _variable(self, name=None):
        if name is None:
            self.serial += 1
            name = f"_{self.serial}"
        if name not in self.kept:
            self.kept.append(name)
        return name

    def _tag(self, d):
        return f"{self.name}[pid]x[call_number]{d.name}"

    def _call_id(self, d):
        return f"Call-ID: {d.name + '///' if d.name else ''}[call_id]"

    def _contact(self, element):
        """Its header, if the message has one."""
        value = element.get("contact", f"<sip:{self.user}@[local_ip]:[local_port];transport=[tp]>")
        return [f"Contact: {value}"] if value != "none" else []

    def _description(self, d, kind):
        d.version += 1
        direction = [f"a={kind}"] if kind in DIRECTIONS else []
        return ["v=0", f"o=- 53655765 {d.version} IN IP[local_ip_type] [local_ip]", "s=-", "c=IN IP[media_ip_type] [media_ip]", "t=0 0",
                "m=audio [media_port] RTP/AVP 8 0 101", "a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", *direction]

    def _body(self, element, d):
        """Its header lines and its own, as (headers, body)."""
        kind = element.get("body")
        text = "\n".join(line.strip() for line in (element.text or "").strip().splitlines())
        head, gap, body = text.partition("\n\n")
        if kind and "/" in kind and not gap:
            head, body = "", text
        headers = head.splitlines()
        if kind is None:
            return [*headers, "Content-Length: 0"], []
        lines = self._description(d, kind) if kind == "sdp" or kind in DIRECTIONS else body.splitlines()
        return [*headers, f"Content-Type: {'application/sdp' if '/' not in kind else kind}", "Content-Length: [len]"], lines

    def _write(self, lines, body, retransmit):
        message = "\n".join([*lines, "", *body, *([""] if body else [])])
        self.lines.append(f"<send{' retrans=' + chr(34) + '500' + chr(34) if retransmit else ''}><![CDATA[\n{message}\n]]></send>")

    # ---- elements ----

    def _sql(self, element):
        pass

    def _say(self, element):
        self.lines.append(f'<nop><action><log message="{xml(element.text)}"/></action></nop>')

    def _wait(self, element):
        """SIPp knows to wait for messages only: it gets one, of its own call, from us."""
        self.waits.append(element.get("for"))
        self.lines.append(f'<nop><action><log message="waits {len(self.waits)} [call_id]"/></action></nop>\n<recv request="{GO_ON}"/>')

    def _send(self, element):
        if element.get("request"):
            self._request(element)
        else:
            self._response(element)

    def _request(self, element, credentials=None):
        d, method = self._dialog(element), element.get("request")
        begins = element.get("to") or element.get("uri")
        if begins:
            d.uri = element.get("uri") or f"sip:{element.get('to')}@${{uri}}"
            d.uri_to = element.get("address") or d.uri
        is_same = method in ("CANCEL", "ACK")
        is_ack_of_failure = method == "ACK" and not d.is_confirmed
        if is_same:
            cseq, branch = d.sent["INVITE"]
        else:
            d.cseq += 1
            cseq = d.cseq
        if not is_same or (method == "ACK" and d.is_confirmed):
            self.serial += 1
            branch = f"z9hG4bK[pid]-[call_number]-{self.serial}"
        if method != "ACK":
            d.sent[method] = cseq, branch
            d.last_sent = method
        if d.side is None:
            d.side = "caller"
        is_inside = d.is_confirmed or (d.is_early and method not in ("INVITE", "CANCEL", "ACK"))
        uri = f"[$target{d.name}]" if is_inside else d.uri
        d.local = element.get("from", d.local or f'"{self.name.title()}" <sip:{self.user}@cordboard>')
        local = f" {d.local};tag={self._tag(d)}" if d.side == "caller" else f"[$local{d.name}]"
        peer = f"[$peer{d.name}]" if is_inside or is_ack_of_failure else f" <{d.uri_to}>"
        headers, body = self._body(element, d)
        headers = [line.replace("[my_tag]", self._tag(self.dialogs[element.get("other", "")])) for line in headers]
        lines = [f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch};rport",
                 *([f"Via: {element.get('via')}"] if element.get("via") else []),
                 f"From:{local}", f"To:{peer}", self._call_id(d), f"CSeq: {cseq} {method}", "Max-Forwards: 70"]
        if method in HAS_CONTACT:
            lines += self._contact(element)
        auth = element.get("auth", "known" if begins else "no")
        if credentials:
            lines.append(credentials)
        elif auth == "known" and self.authorize:
            lines.append(self.authorize(method, uri))
        self._write([*lines, *headers], body, method != "ACK")
        if auth == "asked" and not credentials:
            self._challenged(element, d, method, uri)

    def _challenged(self, element, d, method, uri):
        assert self.asked in (None, uri), "SIPp has one URI to make digests for"
        self.asked = uri
        d.version = 0
        ask = ElementTree.Element("expect", {"status": "401", "dialog": d.name})
        for name, like in (("realm", '"cordboard"'), ("nonce", '"[^"]+"'), ("algorithm", "(MD5|SHA-256|SHA-512-256)"), ("qop", '"auth')):
            ElementTree.SubElement(ask, "has", {"header": "WWW-Authenticate", "like": f"Digest .*{name}={like}"})
        self._expect(ask, attributes=' auth="true"')
        if method == "INVITE":
            self._request(ElementTree.Element("send", {"request": "ACK", "dialog": d.name}))
        again = ElementTree.Element("send", element.attrib)
        again.text = element.text
        self._request(again, "[authentication]")

    def _response(self, element):
        d, status = self._dialog(element), element.get("status")
        method = element.get("to") or d.last_got
        is_first = d.side == "callee" and not d.is_confirmed and method != "CANCEL"
        # Not SIPp's [last_...]: something else may have come meanwhile.
        via, from_, to, cseq = (f"[$_{what}_{method}{d.name}]" for what in ("Via", "From", "To", "CSeq"))
        lines = [f"Via:{via}", f"From:{from_}", f"To:{to}{f';tag={self._tag(d)}' if is_first and status != '100 Trying' else ''}",
                 self._call_id(d), f"CSeq:{cseq}"]
        if method in HAS_CONTACT and status[0] in "123" and status != "100 Trying":
            lines += self._contact(element)
        if method == "INVITE" and status[0] == "2":
            d.is_confirmed = True
        headers, body = self._body(element, d)
        self._write([f"SIP/2.0 {status}", *lines, *headers], body, method == "INVITE" and status[0] != "1")

    # ---- what is expected ----

    def _ereg(self, like, header=None, body=False, keep=None, inverse=False):
        where = f'search_in="hdr" header="{header}:"' if header else f'search_in="{"body" if body else "msg"}"'
        names = self._variable() + (f",{self._variable(keep)}" if keep else "")
        check = 'check_it_inverse="true"' if inverse else 'check_it="true"'
        return f'<ereg regexp="{xml(like)}" {where} {check} assign_to="{names}"/>'

    def _keep(self, name, header):
        return f'<ereg regexp=".*" search_in="hdr" header="{header}:" check_it="true" assign_to="{self._variable(name)}"/>'

    def _body_checks(self, element):
        kind = element.get("body")
        if kind is None:
            return [self._ereg("^ *0 *$", "Content-Length")]
        checks = [self._ereg("^ *[1-9][0-9]*", "Content-Length")]
        if kind == "sdp" or kind in DIRECTIONS:
            checks.append(self._ereg("application/sdp", "Content-Type"))
            like = ["^v=0", "o=[^ ]+ [0-9]+ [0-9]+ IN IP[46] [^ ]+", "s=[^ ]", "c=IN IP[46] [0-9a-f.:]+", "t=0 0",
                    "m=audio [1-9][0-9]* RTP/AVP [0-9 ]*(0|8|9)", "a=rtpmap:[0-9]+ telephone-event/8000"]
            checks += [self._ereg(x, body=True) for x in like]
            if kind in DIRECTIONS:
                checks.append(self._ereg(f"a={kind}", body=True))
            else:
                checks.append(self._ereg("a=(sendonly|recvonly|inactive)", body=True, inverse=True))
        elif kind != "any":
            checks.append(self._ereg(re.escape(kind), "Content-Type"))
        return checks

    def _own_checks(self, element):
        checks = []
        for child in element:
            header, like = child.get("header"), child.get("like", ".")
            if child.tag == "keep":
                checks.append(self._ereg(like, header, body=bool(child.get("body")), keep=child.get("name")))
            elif child.tag == "has":
                checks.append(self._ereg(child.get("body") or like, header, body=bool(child.get("body"))))
            elif child.tag == "lacks":
                checks.append(self._ereg(child.get("body") or (f"\n{header} *:" if header else "."), body=bool(child.get("body")), inverse=True))
            else:
                raise FlowError(f"unknown element {child.tag}")
        return checks

    def _expect(self, element, attributes=""):
        d, kept = self._dialog(element), list(self.kept)
        if element.get("request"):
            kind, checks = f'request="{element.get("request")}"', self._request_checks(element, d)
        else:
            kind, checks = f'response="{element.get("status")}"', self._response_checks(element, d)
        if d.name:
            checks.append(self._ereg(f"^ *{d.name}///", "Call-ID"))
        checks += self._body_checks(element) + self._own_checks(element)
        if element.get("optional"):
            attributes, checks, self.kept = attributes + ' optional="true"', [], kept
        self.lines.append(f"<recv {kind}{attributes}>" + ("<action>\n" + "\n".join(checks) + "\n</action>" if checks else "") + "</recv>")

    def _request_checks(self, element, d):
        method = element.get("request")
        checks = [self._ereg(f"^{method} sips?:[^ ]+ SIP/2\\.0"), self._ereg("SIP/2\\.0/(UDP|TCP) [^ ;]+.*;branch=z9hG4bK", "Via"),
                  self._ereg(f"^ *[0-9]+ {method} *$", "CSeq"), self._ereg("^ *[1-9][0-9]* *$", "Max-Forwards"), self._ereg("[^ ]", "Call-ID"),
                  self._ereg("<(sips?|tel):[^>]+>;tag=.", "From")]
        if method in HAS_CONTACT:
            checks.append(self._ereg("<(sips?:[^>]+)>", "Contact", keep=f"target{d.name}"))
        if method == "INVITE":
            checks += [self._ereg("INVITE.*ACK|ACK.*INVITE", "Allow"), self._ereg("replaces", "Supported")]
        begins = d.side is None or (d.side == "callee" and not d.is_confirmed and method == "INVITE")
        if begins:
            d.side, d.is_early = "callee", True
            to, local = self._variable(), self._variable(f"local{d.name}")
            checks += [self._ereg(";tag=", "To", inverse=True), self._keep(f"peer{d.name}", "From"), self._keep(to, "To"),
                       f'<assignstr assign_to="{local}" value="[${to}];tag={self._tag(d)}"/>']
        elif method not in ("ACK", "CANCEL"):
            checks += [self._ereg(f";tag={self.name}", "To"), *self._same("From", f"peer{d.name}")]
        if method != "ACK":
            checks += [self._keep(f"_{what}_{method}{d.name}", what) for what in ("Via", "From", "To", "CSeq")]
        d.last_got = method
        return checks

    def _same(self, header, variable):
        """The header is what it was before."""
        now, differs, is_same = self._variable(), self._variable(), self._variable()
        return [self._keep(now, header), f'<strcmp assign_to="{differs}" variable="{now}" variable2="{variable}"/>',
                f'<test assign_to="{is_same}" variable="{differs}" compare="equal" value="0" check_it="true"/>']

    def _response_checks(self, element, d):
        status = int(element.get("status"))
        method = element.get("to") or d.last_sent
        cseq, branch = d.sent[method]
        branch = re.sub(r"\[\w+\]", "[0-9]+", branch)
        checks = [self._ereg(f"^ *{cseq} {method} *$", "CSeq"), self._ereg(f"branch={branch}(;|,| |$)", "Via"),
                  self._ereg(f";tag={self.name}" if d.side == "caller" else "tag=", "From")]
        if status > 100:
            checks.append(self._ereg(";tag=.", "To"))
        if method == "INVITE" and 100 < status < 300 or method in ("SUBSCRIBE", "UPDATE") and status == 200:
            checks.append(self._ereg("<(sips?:[^>]+)>", "Contact", keep=f"target{d.name}"))
            d.is_early = True
        if method == "INVITE" and 200 <= status < 300:
            checks += [self._ereg("INVITE", "Allow"), self._ereg("replaces", "Supported")]
        if d.side == "caller" and method != "CANCEL" and status > 100:
            checks.append(self._keep(f"peer{d.name}", "To"))
        if method in ("INVITE", "SUBSCRIBE") and 200 <= status < 300:
            d.is_confirmed = True
        return checks


class Flow:
    """A file of tests/sip/flows."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.root = ElementTree.parse(self.path).getroot()
        self.parties = self.root.findall("party")

    def run(self, office):
        with contextlib.ExitStack() as stack:
            words = {"uri": office.target(), "addr": office.addr, **USERS}
            for party in [*self.root.findall("trunk"), *self.parties]:
                name = party.get("name")
                words[f"{name}.addr"] = own_address()
                words[name] = USERS.get(party.get("user", name), name)
            self._prepare(office, words, stack)
            runs = {party.get("name"): self._make(office, party, words, stack) for party in self.parties}
            called = [run for run in runs.values() if run.scenario_of.is_called]
            for run in called:
                stack.enter_context(run)
            for party in self.parties:
                run = runs[party.get("name")]
                if run in called:
                    continue
                if party.get("after"):
                    wait_until(lambda: self._has_said(runs, party.get("after")) or self._has_failed(runs))
                stack.enter_context(run)
            waiting = [(run, n, what) for run in runs.values() for n, what in enumerate(run.scenario_of.waits, 1)]
            while waiting:
                found = wait_until(lambda: next((w for w in waiting if f"waits {w[1]} " in w[0].text("logs") and self._has_said(runs, w[2])),
                                                None) or self._has_failed(runs))
                self._go_on(*found[:2])
                waiting.remove(found)
            for run in runs.values():
                run.wait()

    @staticmethod
    def _has_said(runs, what):
        who, _, text = what.partition(": ")
        return text in runs[who].text("logs").splitlines()

    @staticmethod
    def _has_failed(runs):
        """Tells of a party that has failed: the others wait for it in vain."""
        for run in runs.values():
            if run.process and run.process.poll():
                run.wait()
        return False

    @staticmethod
    def _go_on(run, n):
        call_id = re.search(rf"^waits {n} (\S+)$", run.text("logs"), re.M).group(1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto("\r\n".join([f"{GO_ON} sip:{run.addr} SIP/2.0", f"Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKgo{n}",
                                    "From: <sip:test@localhost>;tag=test", "To: <sip:test@localhost>", f"Call-ID: {call_id}",
                                    f"CSeq: {n} {GO_ON}", "Content-Length: 0", "", ""]).encode(), (run.addr, run.port))

    def _fill(self, text, words):
        return re.sub(r"\$\{([a-z0-9.]+)\}", lambda m: words.get(m.group(1), m.group(0)), text)

    def _prepare(self, office, words, stack):
        """What has to be in the database, and isn't afterwards."""
        do, undo = [], []
        trunks = self.root.findall("trunk")
        for i, trunk in enumerate(trunks):
            name = trunk.get("name")
            columns, values = (f", {trunk.get(x)}" if trunk.get(x) else "" for x in ("columns", "values"))
            do.append(TRUNK.format(name=name, addr=words[f"{name}.addr"], columns=columns, values=values) + ("" if i else TRUNK_ROUTE.format(name=name)))
            undo.insert(0, ("" if i else "DELETE FROM pbx.route WHERE pattern = '_0X.';") + f"DELETE FROM pbx.trunk WHERE name = '{name}';")
        for sql in self.root.findall("sql"):
            do.append(self._fill(sql.get("do"), words) + ";")
            undo.insert(0, self._fill(sql.get("undo"), words) + ";")
        if do:
            stack.callback(office.change, "".join(undo))
            office.change("".join(do))

    def _make(self, office, party, words, stack):
        """Its SIPp, ready to run; registered."""
        name = party.get("name")
        user, addr = words[name], words[f"{name}.addr"]
        is_trunk = any(t.get("name") == name for t in self.root.findall("trunk"))
        authorize = None
        if not is_trunk and party.get("register") != "no":
            with Phone(office, user, addr=addr) as phone:
                contact = [self._fill(party.get("contact"), words)] if party.get("contact") else None
                answer = phone.register(contact, expires=600, headers=[self._fill(party.get("path"), words)] if party.get("path") else [])
                assert answer.status == 200, answer
            credentials = phone.credentials
            stack.callback(self._unregister, office, user, addr)

            def authorize(method, uri):
                return credentials.header(method, self._fill(uri, words))
        elif not is_trunk:
            with Phone(office, user, addr=addr) as phone:
                phone.credentials.take(phone.register_once(auth=False))
                credentials = phone.credentials

            def authorize(method, uri):
                return credentials.header(method, self._fill(uri, words))
        scenario = Scenario(party, user, authorize)
        asked = self._fill(scenario.asked, words)[len("sip:"):] if scenario.asked else office.target()
        run = Sipp(office, f"{self.path.stem}-{name}", text=self._fill(scenario.text(), words), user=user, addr=addr, auth_uri=asked,
                   password=party.get("password"),
                   calls=int(party.get("calls", 1)))
        run.scenario_of = scenario
        return run

    @staticmethod
    def _unregister(office, user, addr):
        with Phone(office, user, addr=addr) as phone:
            phone.unregister()
