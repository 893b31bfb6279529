"""Trunks that are known by their certificate (RFC 5922), over TLS as it is: pbx.trunk.tls_identity."""
import contextlib
import pathlib
import socket
import ssl
import subprocess
import tempfile

import pytest

from office import Office, SLOW, TLS_PORT, WSS_PORT
from sip import ConnectionClosed, Phone, tls_client

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Authority:
    """Signs certificates; each file has the key in it."""

    def __init__(self, directory, name):
        self.directory, self.cert, self.key = directory, directory / f"{name}.pem", directory / f"{name}.key"
        self._run("req", "-x509", *EC, "-days", "2", "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
                  "-keyout", self.key, "-out", self.cert)

    @staticmethod
    def _run(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, timeout=60)

    def revoke(self, *names):
        """The list of what it has revoked of these files, in place of the one before."""
        index, config, number = (self.directory / name for name in ("index.txt", "ca.conf", "crlnumber"))
        index.write_text("")
        number.write_text("01\n")
        config.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={index}\ncrlnumber={number}\ndefault_md=sha256\ndefault_crl_days=1\n")
        ca = ["ca", "-config", config, "-cert", self.cert, "-keyfile", self.key]
        for name in names:
            self._run(*ca, "-revoke", self.directory / f"{name}.pem")
        made = self.directory / "crl.new"
        self._run(*ca, "-gencrl", "-out", made)
        return made.rename(self.directory / "crl.pem")

    def vouch(self, name):
        """What it says of that certificate, as its responder would: it isn't revoked."""
        index, request, made = (self.directory / file for file in ("ocsp.txt", "ocsp.req", "ocsp.der"))
        serial = f"{int.from_bytes(name.encode(), 'big'):X}"
        index.write_text(f"V\t991231235959Z\t\t{'0' * (len(serial) % 2)}{serial}\tunknown\t/CN={name}\n")
        self._run("ocsp", "-issuer", self.cert, "-cert", self.directory / f"{name}.pem", "-reqout", request)
        self._run("ocsp", "-index", index, "-CA", self.cert, "-rsigner", self.cert, "-rkey", self.key, "-reqin", request, "-respout", made,
                  "-ndays", "1")
        return made

    def issue(self, file, names, days=2):
        path, request, extensions = (self.directory / f"{file}.{ext}" for ext in ("pem", "csr", "ext"))
        extensions.write_text(f"subjectAltName={names}\n")
        self._run("req", "-new", *EC, "-subj", f"/CN={file}", "-keyout", path, "-out", request)
        key = path.read_text()
        self._run("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-set_serial", str(int.from_bytes(file.encode(), "big")), "-days", str(days),
                  "-extfile", extensions, "-out", path)
        path.write_text(path.read_text() + key)
        return path


@pytest.fixture(scope="module")
def site():
    """A server that asks for certificates, and whoever wants to be a trunk of it."""
    with tempfile.TemporaryDirectory(prefix="trunk-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        ours, other = Authority(folder, "ours"), Authority(folder, "other")
        office = Office(tls={"ca": ours.cert, "client": "ask", "crl": ours.revoke()})
        try:
            office.start()
            office.sql("INSERT INTO pbx.trunk (domain, name, context, tls_identity) VALUES ('office', 'sbc', 'office', 'sbc.example.com')")
            office.certificates = {
                "by SIP URI": ours.issue("uri", "URI:sip:sbc.example.com"),
                "by DNS name": ours.issue("dns", "DNS:other.example.com,DNS:SBC.example.com"),
                "of somebody else": ours.issue("else", "URI:sip:else.example.com,DNS:sbc.example.com"),
                "of a user there": ours.issue("user", "URI:sip:alice@sbc.example.com"),
                "of a stranger": other.issue("stranger", "URI:sip:sbc.example.com"),
                "that is over": ours.issue("over", "URI:sip:sbc.example.com", days=-1),
                "none": None,
                "revoked": ours.issue("revoked", "URI:sip:sbc.example.com"),
                "of 1002": ours.issue("alice", "URI:sip:alice@phones.example.com"),
            }
            office.authority = ours
            office.sql("INSERT INTO pbx.certificate VALUES ('alice@phones.example.com', 'office', '1002')")
            office.change("UPDATE pbx.trunk SET call_limit = 9 WHERE name = 'sbc'")
            yield office
        finally:
            office.stop()


def client(site, which):
    return Phone(site, "+4930123", proto="tls", context=tls_client(site.certificates[which]))


@pytest.mark.parametrize("which", ["by SIP URI", "by DNS name"])
def test_tls_trunk_calls_with_its_certificate_and_no_password(site, which):
    with client(site, which) as trunk, Phone(site, "1001") as phone:
        phone.register()
        here = trunk.invite("1001", auth=False)
        there = phone.answer_invite()
        there.answer()
        here.ack(here.expect(200, skip=(100, 180, 183)))
        here.bye()
        there.take_bye()
        phone.unregister()


@pytest.mark.parametrize("which", ["of somebody else", "of a user there", "of a stranger", "that is over", "none"])
def test_tls_client_whose_certificate_doesnt_fit_is_no_trunk(site, which):
    with client(site, which) as stranger:
        here = stranger.invite("1001", auth=False)
        here.ack(here.expect(401, 403))


def test_tls_certificate_is_for_its_connection_alone(site):
    """While the trunk is connected, who comes from the same address by another way is still nobody."""
    with client(site, "by SIP URI") as trunk, Phone(site, "+4930123", proto="tls", addr=trunk.addr, port=0) as other:
        assert trunk.ask("OPTIONS").status == 200
        with Phone(site, "+4930123", addr=trunk.addr) as udp:
            for stranger in (other, udp):
                here = stranger.invite("1001", auth=False)
                here.ack(here.expect(401, 403))


def test_tls_trunk_is_no_phone(site):
    """It registers nobody, whatever its certificate says."""
    with client(site, "by SIP URI") as trunk:
        assert trunk.register_once(auth=False, to="<sip:1001@cordboard>").status == 401


def test_tls_revoked_certificate_ends_connections_and_is_nobodys(site):
    with client(site, "revoked") as trunk, client(site, "by SIP URI") as other:
        for c in (trunk, other):
            here = c.invite("nobody", auth=False)
            here.ack(here.expect(404))
        site.authority.revoke("revoked")
        with pytest.raises((ConnectionClosed, OSError)):
            trunk.expect(200, timeout=20)       # the files are looked at every few seconds
        here = other.invite("nobody", auth=False)
        here.ack(here.expect(404))
    with client(site, "revoked") as trunk:
        here = trunk.invite("nobody", auth=False)
        here.ack(here.expect(401, 403))


def test_tls_phone_registers_calls_and_is_called_without_a_password(site):
    """pbx.certificate: it is its extension by its certificate, as that one alone, and no longer than the row says so."""
    with Phone(site, "1002", proto="tls", context=tls_client(site.certificates["of 1002"])) as phone, Phone(site, "1001") as other:
        other.register()
        assert phone.register_once(auth=False).status == 200
        here = phone.invite("1001", auth=False)
        there = other.answer_invite()
        assert "<sip:1002@" in there.invite["From"]
        there.answer()
        here.ack(here.expect(200, skip=(100, 180, 183)))
        here.bye()
        there.take_bye()
        here = other.invite("1002")
        there = phone.answer_invite()
        there.answer()
        here.ack(here.expect(200, skip=(100, 180, 183)))
        here.bye()
        there.take_bye()
        assert phone.register_once(auth=False, to="<sip:1003@cordboard>").status == 401
        site.change("DELETE FROM pbx.certificate")
        try:
            assert phone.register_once(auth=False).status == 401
        finally:
            site.change("INSERT INTO pbx.certificate VALUES ('alice@phones.example.com', 'office', '1002')")
        assert phone.register_once(auth=False, expires=0).status == 200
        other.unregister()


def test_tls_trunk_changes_take_effect_on_open_connections(site):
    with client(site, "by SIP URI") as trunk:
        site.change("UPDATE pbx.trunk SET tls_identity = 'new.example.com' WHERE name = 'sbc'")
        try:
            here = trunk.invite("1001", auth=False)
            here.ack(here.expect(401, 403))
        finally:
            site.change("UPDATE pbx.trunk SET tls_identity = 'sbc.example.com' WHERE name = 'sbc'")
        here = trunk.invite("nobody", auth=False)
        here.ack(here.expect(404))


@pytest.mark.office(tls={"client": "need"})
def test_tls_without_the_needed_certificate_there_is_no_connection(own_office):
    with pytest.raises((ConnectionClosed, OSError)):
        with Phone(own_office, "1001", proto="tls") as phone:
            phone.ask("OPTIONS")


@contextlib.contextmanager
def websocket(office, certificate):
    """A WebSocket as who shows this certificate."""
    with socket.create_connection((office.addr, WSS_PORT), 5 * SLOW) as plain, tls_client(certificate).wrap_socket(plain) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n")
        if not stream.recv(1000).startswith(b"HTTP/1.1 101"):
            raise ConnectionRefusedError
        yield stream


def is_served(office, certificate):
    try:
        with websocket(office, certificate):
            return True
    except OSError:
        return False


def goes_on(office, port, certificate, version):
    """Does a second connection go on with the session of a first?"""
    context = tls_client(certificate)
    context.maximum_version = version
    session = None
    for _ in range(2):
        with socket.create_connection((office.addr, port), 5 * SLOW) as plain, context.wrap_socket(plain, session=session) as stream:
            # An answer of HTTP, or the double CRLF's: what the server has to say of a session has come before.
            stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" if port == WSS_PORT else b"\r\n\r\n")
            assert stream.recv(1000)
            session = stream.session
            is_former = stream.session_reused
    return is_former


def test_tls_what_is_revoked_and_what_is_vouched_for():
    """RFC 5280: also over WSS a revoked certificate opens nothing where one is needed, nor does a session of the time before it was
    revoked (RFC 9325). RFC 6066 §8: ours comes with what its authority has said of it, by either way."""
    with tempfile.TemporaryDirectory(prefix="wss-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        ours = Authority(folder, "ours")
        good, revoked, server = (ours.issue(name, "DNS:pbx.example.com") for name in ("good", "revoked", "server"))
        office = Office(tls={"cert": server, "ca": ours.cert, "client": "need", "crl": ours.revoke("revoked"), "ocsp": ours.vouch("server")})
        try:
            office.start()
            for certificate, is_good in ((good, True), (revoked, False), (None, False)):
                assert is_served(office, certificate) == is_good, certificate
            for port in TLS_PORT, WSS_PORT:
                for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
                    assert not goes_on(office, port, good, version), (port, version)
                seen = subprocess.run(["openssl", "s_client", "-connect", f"{office.addr}:{port}", "-status", "-CAfile", ours.cert, "-cert", good],
                                      input="", capture_output=True, text=True, timeout=20 * SLOW).stdout
                assert "OCSP Response Status: successful" in seen and "Cert Status: good" in seen, seen
            with websocket(office, good) as ends, websocket(office, server) as stays:
                ours.revoke("revoked", "good")
                ends.settimeout(20 * SLOW)          # the files are looked at every few seconds
                with contextlib.suppress(ConnectionError):
                    assert ends.recv(100) == b""
                stays.sendall(b"\x81\x84\0\0\0\0\r\n\r\n") # a keep-alive, and its answer
                assert stays.recv(100) == b"\x81\x02\r\n"
        finally:
            office.stop()
