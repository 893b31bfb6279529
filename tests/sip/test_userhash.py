"""Names that come as their hashes (RFC 7616 section 3.4.4): where the domain has them, and kept true when it changes."""
from sip import Credentials, Phone


class Hashed(Credentials):
    name = None      # whose hash is said; None: its own

    def header(self, method, uri, count=None, response=None):
        line = super().header(method, uri, count, response)
        digest = self.HASHES[self.challenge.get("algorithm", "MD5")](f"{self.name or self.user}:{self.challenge['realm']}".encode())
        return line.replace(f'username="{self.user}"', f'username="{digest.hexdigest()}", userhash=true')


def test_userhash_in_domains_that_have_it(own_office):
    with Phone(own_office, "1001") as phone:
        phone.credentials = Hashed("1001", "s1001")
        m = phone.register()
        assert m.status == 401 and "userhash" not in m["WWW-Authenticate"]
        own_office.change("UPDATE pbx.domain SET userhash = true, algorithms = '{MD5,SHA-256,SHA-512-256}'")
        for algorithm in ("MD5", "SHA-256", "SHA-512-256"):
            phone.credentials = Hashed("1001", "s1001", algorithm)
            m = phone.register_once(auth=False)
            assert all("userhash=true" in v for v in m.all("WWW-Authenticate"))
            assert phone.register().status == 200, algorithm
        phone.credentials = Hashed("1001", "s1001")
        phone.credentials.name = "9999"
        assert phone.register().status == 401
        own_office.change("SELECT pbx.set_password('office', '1001', 'another')")
        phone.credentials = Hashed("1001", "another")
        assert phone.register().status == 200
        phone.unregister()
