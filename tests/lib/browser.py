"""A phone in headless Chromium (tests/js/browser.js): JsSIP over WebSocket, and the browser's own ICE, DTLS-SRTP and codecs.

    with Browser(office, "1001", says=clip) as phone:
        phone.do("call", "1002")
        phone.wait("connection", state="connected")
        phone.hears(other)

beside=: a browser that is there already, with whom it shares the machine. video=True: it has a camera, too. secure=True: over WSS.

Its microphone says the clip over and over, with a pause between, from the moment that it is asked for sound. What it hears is what its RTP
stack gives out, frame by frame, not what it plays of that (tests/js/page.js): stats() tells of the playing.
"""
import base64
import fcntl
import hashlib
import pathlib
import shutil
import subprocess
import tempfile
import time

from jsphone import JsPhone
from office import wait_until
from phone import CLIPS, Listener, Recording

LOCK = CLIPS / "browser.lock"
PAUSE_S = 1
RATE_HZ = 48000                # of its microphone


def spki(path):
    """By which Chromium knows a certificate: SHA-256 of its public key."""
    pem = subprocess.run(["openssl", "x509", "-in", path, "-pubkey", "-noout"], check=True, capture_output=True, timeout=20).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=pem, check=True, capture_output=True, timeout=20).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


class Browser(JsPhone, Listener):
    script = "browser.js"

    def __init__(self, office, number, says, beside=None, video=False, secure=False):
        CLIPS.mkdir(parents=True, exist_ok=True)
        self.turn = None
        if not beside:                   # one test at a time: each takes what a machine has
            self.turn = open(LOCK, "w")
            fcntl.flock(self.turn, fcntl.LOCK_EX)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"browser-{number}-"))
        self.heard = Recording(self.dir, "dec")
        super().__init__(office, number, secure, args=("cordboard", says.file(RATE_HZ, PAUSE_S), self.dir / "dump-1-dec.wav", "video" if video else "sound",
                                               *([spki(office.dir / "cert.pem")] if secure else [])))

    def close(self):
        super().close()
        if self.turn:
            self.turn.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def says(self, seconds):
        """So much of what its microphone says is sent (in packets of 20 ms)."""
        until = self.stats()["sent"] + seconds * 50
        wait_until(lambda: self.stats()["sent"] >= until, seconds + 5)

    def stats(self):
        self.do("stats")
        return self.wait("stats")

    def _read(self, seconds):
        """Events wait in the pipe; what is heard comes by itself."""
        time.sleep(seconds)
