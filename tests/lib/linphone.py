"""Another make of telephone: linphonec, Linphone's phone for the terminal, told what to do by its standard input.

    phone = Linphone(office, "1001", transport="tcp").start()       registers
    phone.call("1002"); phone.wait("connected"); phone.play(clip); phone.hangup()

It has a loopback address of its own for SIP (over TCP and TLS only to listen at) and RTP. Its sound card is a file: it is mute until it
plays one, what it hears is in `heard`. Its jitter buffer is one for busy machines: it doesn't cut what a stalled process delays.
"""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import wave

from office import SLOW, end_with_us, own_address, wait_until
from phone import WAV_HEADER, PhoneError, compare

PLAY_HZ = 8000
RECORDS = re.compile(r"-->MSFileRec:\S+ from rate \[\d+\] to rate \[(\d+)\]")


class Linphone:
    def __init__(self, office, number, transport="udp"):
        self.office, self.number, self.transport = office, number, transport
        self.addr = own_address()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"linphone-{number}-"))
        self.heard = self.dir / "heard.wav"
        self.process = None
        self.read = 0                    # how much of what it said somebody has waited for

    def start(self):
        (self.dir / ".local/share/linphone").mkdir(parents=True)
        # auto_net_state_mon, register_only...: without a way out it thinks that there is no network, and stays quiet.
        (self.dir / "rc").write_text(f"""
[sip]
bind_address={self.addr}
sip_port={5060 if self.transport == 'udp' else 0}
sip_tcp_port={5060 if self.transport == 'tcp' else 0}
sip_tls_port=0
auto_net_state_mon=0
register_only_when_network_is_up=0
use_ipv6=0
default_proxy=0
[rtp]
bind_address={self.addr}
audio_rtp_port=5070
audio_adaptive_jitt_comp_enabled=0
audio_jitt_comp=300
[auth_info_0]
username={self.number}
passwd=s{self.number}
realm=cordboard
[proxy_0]
reg_proxy=<sip:{self.office.addr};transport={self.transport}>
reg_identity=sip:{self.number}@{self.office.addr}
reg_expires=600
reg_sendregister=1
""")
        env = {**os.environ, "HOME": str(self.dir), "TERM": "dumb"}
        with open(self.dir / "out", "wb") as out:
            self.process = subprocess.Popen(["linphonec", "-c", self.dir / "rc", "-d", "6", "-l", self.dir / "log"], cwd=self.dir, env=env,
                                            stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, preexec_fn=end_with_us)
        try:
            self.command("soundcard use files")
            self.wait("Using wav files")
            self.command(f"record {self.heard}")
            self.office.wait_sql("SELECT count(*) = 1 FROM pbx.binding WHERE number = %s AND proto = %s AND user_agent LIKE 'Linphonec%%'",
                                 self.number, self.transport)
        except BaseException:
            self.stop()
            raise
        return self

    def command(self, text):
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def said(self):
        return (self.dir / "out").read_text(errors="replace")

    def log_tail(self, size=12000):
        path = self.dir / "log"
        if not self.dir.exists():
            return "removed already"
        return self.said() + (path.read_text(errors="replace")[-size:] if path.exists() else "")

    def wait(self, text, seconds=10):
        """Until it has said so, behind what was waited for before."""
        def ask():
            if self.process.poll() is not None:
                raise PhoneError(f"linphonec ended with {self.process.returncode}\n{self.log_tail()}")
            at = self.said().find(text, self.read)
            return at + len(text) if at >= 0 else 0
        self.read = wait_until(ask, seconds)

    def call(self, number):
        self.command(f"call {number}")

    def answer(self):
        self.wait("new incoming call")
        self.command("answer")
        self.wait("connected")

    def hangup(self):
        self.command("terminate")
        self.wait("ended")

    def play(self, clip):
        self.command(f"play {clip.file(PLAY_HZ)}")

    def heard_hz(self):
        """Of its recording: that of the codec, as its log says."""
        found = RECORDS.findall((self.dir / "log").read_text(errors="replace"))
        return int(found[-1]) if found else PLAY_HZ

    def hears(self, clip, seconds=15):
        """Waits until that is what it has heard. The header of a file that is still being written says nothing."""
        def ask():
            data = self.heard.read_bytes()[WAV_HEADER:] if self.heard.exists() else b""
            rate_hz = self.heard_hz()
            if len(data) < 2 * rate_hz * clip.seconds / 2:
                return False
            part = self.dir / "part.wav"
            with wave.open(str(part), "wb") as out:
                out.setnchannels(1)
                out.setsampwidth(2)
                out.setframerate(rate_hz)
                out.writeframes(data[:len(data) & ~1])
            return compare(clip.file(), part).same
        wait_until(ask, seconds + clip.seconds, every=0.5)

    def stop(self):
        """Unregisters and ends."""
        process, self.process = self.process, None
        if process:
            try:
                process.communicate(b"terminate\nquit\n", timeout=5 * SLOW)
            except (subprocess.TimeoutExpired, BrokenPipeError):
                process.kill()
                process.wait()

    def remove(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
