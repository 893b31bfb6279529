"""Several certificates behind one listener: who says whom he calls is shown that one (RFC 6066 section 3)."""
import os
import pathlib
import socket
import ssl
import subprocess
import tempfile

import pytest

from office import Office, Raw, SLOW, TLS_PORT, WSS_PORT, wait_until


def certificate(path, name):
    """One of its own making, with the key in the same file; put into its place as a whole."""
    key, cert = path.with_suffix(".key"), path.with_suffix(".new")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", cert],
                   check=True, capture_output=True, timeout=60)
    cert.write_text(cert.read_text() + key.read_text())
    os.rename(cert, path)


@pytest.fixture(scope="module")
def site():
    with tempfile.TemporaryDirectory(prefix="names-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        certificate(folder / "one.pem", "one.test")
        certificate(folder / "two.pem", "two.test")
        office = Office(tls={"cert": folder / "one.pem", "certs": Raw(f'( {{ cert = "{folder}/two.pem"; }} )')})
        office.folder = folder
        try:
            office.start()
            yield office
        finally:
            office.stop()


def shown(site, port, name):
    """The name in the certificate that is shown to who calls this one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((site.addr, port), timeout=5 * SLOW) as plain:
        with context.wrap_socket(plain, server_hostname=name) as secure:
            der = secure.getpeercert(binary_form=True)
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=der, capture_output=True, check=True, timeout=60)
    return text.stdout.decode().split("=")[-1].strip()


@pytest.mark.parametrize("port", [TLS_PORT, WSS_PORT], ids=["tls", "wss"])
def test_certificate_is_that_of_the_name_called(site, port):
    assert [shown(site, port, name) for name in ("one.test", "two.test", "three.test", None)] == ["one.test", "two.test", "one.test", "one.test"]


def test_each_certificate_is_read_again_when_it_changes(site):
    certificate(site.folder / "two.pem", "new.test")
    try:
        wait_until(lambda: all(shown(site, port, "new.test") == "new.test" for port in (TLS_PORT, WSS_PORT)), 20)
        assert shown(site, TLS_PORT, "two.test") == "one.test"
    finally:
        certificate(site.folder / "two.pem", "two.test")
        wait_until(lambda: all(shown(site, port, "two.test") == "two.test" for port in (TLS_PORT, WSS_PORT)), 20)
