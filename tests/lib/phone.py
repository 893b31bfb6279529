"""A real telephone: one baresip, told what to do and asked what it heard.

    phone = Phone(office, "1001").start()          registers
    phone.dial("1002"); other.wait("CALL_INCOMING"); other.accept()
    phone.say(clip); other.hears(clip)             what one's microphone picks up is what the other's receiver gives

Each has a loopback address of its own for SIP, media addresses in SDP and control (module ctrl_tcp: netstrings of JSON; it tells
every event, so nothing is waited for by the clock). Its RTP leaves from 127.0.0.1, whatever its SDP says: so phones behind NAT do.

Its microphone is a file (aufile): a clip and then silence, because baresip ends a call whose file has ended. Its receiver is the
dump of what it decoded (sndfile), a folder a call; packets that didn't arrive leave no gap in it. baresip stops dumping what it
decodes once it has held a call; `repeats_what_it_hears` serves then: what it sends is dumped still.
"""
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import wave

from office import PROMPTS, ROOT, SLOW, TLS_PORT, OfficeError, end_with_us, own_address, wait_until

COMPARE = ROOT / "build/tests/media/compare"      # a tool; it needn't be slow because the server is a sanitizer build
CLIPS = ROOT / "build/tests/phones/clips"
SILENCE_S = 180                # behind each clip; no call of a test lasts longer
RATE_HZ = {"PCMU": 8000, "PCMA": 8000, "G722": 16000, "GSM": 8000, "opus": 48000, "L16": 16000, "G726-32": 8000}
CHANNELS = {"opus": 2}           # microphone and receiver have as many
AUDIO_BUFFER_S = 0.2           # between its microphone and the packets
WAV_HEADER = 44                # of the files that sndfile writes
# On a machine so busy that phones stall, jitter buffers conceal and skip. Other sounds are below 0.5 still.
MIN_CORR = 0.7


class PhoneError(OfficeError):
    pass


class Clip:
    """Something to say or to be heard: a file, or a part of it."""

    def __init__(self, path, start_s=0, end_s=None):
        self.path = pathlib.Path(path)
        self.start_s, self.end_s = start_s, end_s
        with wave.open(str(self.path)) as file:
            self.seconds = (end_s or file.getnframes() / file.getframerate()) - start_s

    def __repr__(self):
        return f"{self.path.stem}[{self.start_s}-{self.end_s or ''}]"

    def part(self, start_s, end_s=None):
        return Clip(self.path, self.start_s + start_s, self.start_s + end_s if end_s else self.end_s)

    def file(self, rate=None, pad_s=0, channels=1):
        """A WAV of it, at another rate and with silence behind if wanted; made once."""
        if rate is None and not self.start_s and not self.end_s:
            return self.path
        made = CLIPS / f"{self.path.stem}-{self.start_s:.2f}-{self.end_s or 0:.2f}-{rate or 0}-{pad_s}-{channels}.wav"
        if not made.exists() or made.stat().st_mtime < self.path.stat().st_mtime:
            CLIPS.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=CLIPS, suffix=".wav", delete=False) as new:
                pass
            cut = ["trim", f"{self.start_s}"] + ([f"={self.end_s}"] if self.end_s else [])
            subprocess.run(["sox", "-R", self.path, "-b", "16", "-c", str(channels)] + (["-r", str(rate)] if rate else []) + [new.name] + cut
                           + ["pad", "0", str(pad_s)], check=True, timeout=60)
            os.chmod(new.name, 0o644)
            os.rename(new.name, made)
        return made


def prompt(name):
    """A phrase, as converted for the server."""
    return Clip(PROMPTS / "en" / f"{name}.wav")


def music(name):
    return Clip(PROMPTS / "music" / f"{name}.wav")


BEEP = prompt("beep")


class Heard(dict):
    """What compare printed; same: whether it is what was looked for."""

    @property
    def same(self):
        return self["verdict"] == "same"


def compare(*args):
    """Runs tests/media/compare; its key=value lines as a dictionary, numbers as such."""
    done = subprocess.run([COMPARE, "--min-corr", str(MIN_CORR), *map(str, args)], capture_output=True, text=True, timeout=120)
    if done.returncode not in (0, 1):
        raise PhoneError(f"compare {args}: {done.stderr}")
    heard = Heard()
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        try:
            heard[key] = float(value)
        except ValueError:
            heard[key] = value
    return heard


class Recording:
    """A WAV file that is still being written: its samples so far, whatever its header says."""

    def __init__(self, folder, which):
        self.folder, self.which = folder, which

    @property
    def path(self):
        found = sorted(self.folder.glob(f"dump-*-{self.which}.wav")) if self.folder else []
        return found[-1] if found else None

    @property
    def rate(self):
        with open(self.path, "rb") as file:
            return struct.unpack("<I", file.read(28)[24:28])[0]

    @property
    def frame_bytes(self):
        with open(self.path, "rb") as file:
            return 2 * struct.unpack("<H", file.read(24)[22:24])[0]

    @property
    def seconds(self):
        path = self.path
        size = path.stat().st_size if path else 0
        return (size - WAV_HEADER) / self.frame_bytes / self.rate if size > WAV_HEADER else 0.0

    def copy(self, to, since_s=0.0, until_s=None):
        rate, frame = self.rate, self.frame_bytes
        with open(self.path, "rb") as file:
            file.seek(WAV_HEADER + frame * int(since_s * rate))
            data = file.read(-1 if until_s is None else frame * max(0, int((until_s - since_s) * rate)))
        with wave.open(str(to), "wb") as out:
            out.setnchannels(frame // 2)
            out.setsampwidth(2)
            out.setframerate(rate)
            out.writeframes(data[:len(data) // frame * frame])
        return to


class Listener:
    """Who hears something: `heard` is the Recording of it, `dir` a folder for scratch, `number` his name; _read() waits a little, at most."""

    def wait_sound(self, seconds=5):
        wait_until(lambda: self.heard.seconds > 0, seconds)

    def mark(self):
        """Now, as a place in what it hears."""
        return self.heard.seconds

    def listens(self, seconds):
        """Hears so much more; returns where that began."""
        since = self.mark()
        wait_until(lambda: self.heard.seconds >= since + seconds, seconds + 5)
        return since

    def look_for(self, clip, since=0.0, until=None, recording=None):
        """Is it in what was heard so far?"""
        path = (recording or self.heard).copy(self.dir / "part.wav", since, until)
        return compare(clip.file(), path)

    def hears(self, clip, since=0.0, seconds=20):
        """Waits until it has heard all of it; returns what compare says, with "end_s" where it ended in what was heard.
        seconds: how long until it begins."""
        return self._find(clip, since, seconds, self.heard)

    def _find(self, clip, since, seconds, recording):
        """Looks through windows little longer than the clip, one after the other, as far as the recording has come: so the first of
        several equal sounds (digits, say) is found, however busy the machine is. When nothing comes any more it looks at what
        there is: a last packet stays in the jitter buffer."""
        grown_at = time.monotonic()
        end = grown_at + (seconds + clip.seconds) * SLOW
        until, length, looked_at, best = since + clip.seconds, 0.0, 0.0, None
        while True:
            self._read(0.1)              # events go on coming meanwhile; this is also the pause
            now = time.monotonic()
            before, length = length, recording.seconds
            if length > before:
                grown_at = now
            is_over = now > min(grown_at + 0.3, end)
            while until <= length or is_over and length > max(looked_at, since + 0.3):
                until = min(until, length)
                start = max(since, until - clip.seconds - 1)
                heard = self.look_for(clip, start, until, recording)
                if heard.same:
                    heard["end_s"] = start + heard["offset_ms"] / 1000 + clip.seconds
                    return heard
                if not best or heard["corr"] > best["corr"]:
                    best = Heard(heard, window=(round(start, 2), round(until, 2)))
                looked_at, until = until, until + 0.4
            if now > end:
                raise PhoneError(f"{self.number}: didn't hear {clip} in {length - since:.1f} s from {since:.2f}, but at best: {best}")

    def tone_ms(self, since=0.0):
        """How long the longest steady tone was (ringing, a beep)."""
        return compare("--tone-free", self.heard.copy(self.dir / "part.wav", since))["tone_ms"]

    def music(self, clips, since, seconds=2.0):
        """Hears so much more and says whether it is music of these files."""
        wait_until(lambda: self.heard.seconds >= since + seconds, seconds + 10)
        path = self.heard.copy(self.dir / "part.wav", since, since + seconds)
        args = [arg for clip in clips for arg in ("--music", clip.file())]
        return compare(*args, path)


class Phone(Listener):
    """codec: one of RATE_HZ, or several in order, of which the first must be the one agreed on.
    encryption: how baresip calls it: srtp (a=crypto beside RTP/AVP), srtp-mand (RTP/SAVP), srtp-mandf, dtls_srtp; None: plain RTP.
    nat: its way through NATs, as baresip calls it: ice; None: none.
    video: its codec for a picture that it makes up, vp8 or vp9; None: it has no camera."""

    def __init__(self, office, number, codec="PCMU", transport="udp", mwi=False, max_calls=4, password=None, family=4,
                 encryption=None, nat=None, video=None):
        self.encryption, self.nat, self.video = encryption, nat, video
        self.office, self.number, self.transport, self.mwi = office, number, transport, mwi
        self.codecs = codec.split(",")
        self.rate, self.channels = RATE_HZ[self.codecs[0]], CHANNELS.get(self.codecs[0], 1)
        self.max_calls = max_calls
        self.password = password or f"s{number}"
        self.family = family
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"phone-{number}-"))
        self.addr = own_address()
        self.process = self.socket = None
        self.buffer = b""
        self.events = []                 # those that nobody has waited for yet
        self.serial = 0
        self.calls = 0
        self.heard = self.spoken = Recording(None, "dec")

    # ---- life ----

    def start(self, register=True):
        (self.dir / "config").write_text("\n".join([
            "poll_method epoll",
            f"net_interface {self.addr if self.family == 4 else '::1'}",
            f"sip_listen {self.addr if self.family == 4 else '[::1]'}:{5060 if self.family == 4 else 0}",
            f"ctrl_tcp_listen {self.addr}:4444",
            f"call_max_calls {self.max_calls}",
            "rtp_ports 14000-16382",
            "jitter_buffer_delay 1-20",
            f"audio_buffer 20-{int(AUDIO_BUFFER_S * 1000)}",
            # Its clips of ringing would be played into the receiver.
            f"audio_path {self.dir}", "ringback_disabled yes", "menu_bell no", "statmode_default off",
            "audio_player aubridge,receiver",
            f"audio_source aufile,{self._microphone()}",
            f"snd_path {self.dir}/sound",
            *(("video_source fakevideo,nil", "video_display fakevideo,nil", "video_size 176x144", "video_fps 10", "video_bitrate 128000",
               "video_fullscreen no") if self.video else ()),
            "module_path /usr/lib/baresip/modules",
            *(f"module {name}.so" for name in ("g711", "g722", "gsm", "g726", "l16", "opus", "sndfile", "aufile", "aubridge",
                                                       *(["dtls_srtp" if self.encryption == "dtls_srtp" else "srtp"] if self.encryption else []),
                                                       *([self.nat] if self.nat else []),
                                                       *([self.video, "fakevideo"] if self.video else []))),
            *(f"module_app {name}.so" for name in ("menu", "ctrl_tcp", *(["mwi"] if self.mwi else []))),
        ]) + "\n")
        self._next_call()
        with open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen(["baresip", "-s", "-v", "-f", self.dir], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=end_with_us)
        try:
            self.socket = wait_until(self._connect)
            if register:
                self.register()
        except BaseException:
            self.stop()
            raise
        return self

    def _connect(self):
        if self.process.poll() is not None:
            raise PhoneError(f"baresip ended with {self.process.returncode}\n{self.log_tail()}")
        with contextlib.suppress(OSError):
            return socket.create_connection((self.addr, 4444), timeout=5)

    def _server(self):
        return f"{self.office.addr}:{TLS_PORT}" if self.transport == "tls" else self.office.target(self.family)

    def register(self, wait="REGISTER_OK"):
        host = self._server()
        names = ",".join(f"{name}/{RATE_HZ[name]}/{CHANNELS.get(name, 1)}" for name in self.codecs)
        self.command("uanew", f"<sip:{self.number}@{host};transport={self.transport}>;auth_pass={self.password};regint=600"
                              f";audio_codecs={names};mwi={'yes' if self.mwi else 'no'}"
                              + (f";mediaenc={self.encryption}" if self.encryption else "")
                              + (f";video_codecs={self.video}" if self.video else "")
                              + (f";medianat={self.nat}" if self.nat else ""))
        return self.wait(wait) if wait else None

    def stop(self):
        """Hangs up, unregisters, ends."""
        process, self.process = self.process, None
        if self.socket:
            self.socket.close()
            self.socket = None
        if process:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5 * SLOW)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill(self):
        """Without a word to anyone."""
        process, self.process = self.process, None
        if process:
            process.kill()
            process.wait()

    def remove(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def log_tail(self, size=12000):
        path = self.dir / "log"
        return path.read_text(errors="replace")[-size:] if path.exists() else ""

    # ---- control ----

    def command(self, name, params=None, seconds=5):
        """Returns baresip's answer; fails when it refuses."""
        self.serial += 1
        token = str(self.serial)
        doc = json.dumps({"command": name, "token": token, **({"params": params} if params else {})})
        self.socket.sendall(f"{len(doc)}:{doc},".encode())
        answer = self._take(lambda m: m.get("response") and m.get("token") == token, seconds, f"answer to {name}")
        if not answer["ok"]:
            raise PhoneError(f"{self.number}: {name} {params or ''}: {answer.get('data')}")
        return answer.get("data", "")

    def wait(self, kind, seconds=10, **wanted):
        """The next event of this kind (CALL_INCOMING, CALL_RINGING, CALL_ESTABLISHED, CALL_CLOSED, REGISTER_OK, MWI_NOTIFY, ...) that
        nobody has waited for yet. wanted: what its fields have to contain."""
        return self._take(lambda m: m.get("type") == kind and all(text in str(m.get(key, "")) for key, text in wanted.items()),
                          seconds, f"{kind} {wanted or ''}")

    def has(self, kind):
        """Has it happened (and nobody waited for it)?"""
        self._read(0)
        return any(m.get("type") == kind for m in self.events)

    def _take(self, is_it, seconds, what):
        end = time.monotonic() + seconds * SLOW
        while True:
            for i, message in enumerate(self.events):
                if is_it(message):
                    return self.events.pop(i)
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                raise PhoneError(f"{self.number}: no {what} within {seconds * SLOW} s; there were "
                                 f"{[m.get('type') for m in self.events]}")

    def _read(self, seconds):
        """Reads what is there, waiting for it at most so long. Returns False when nothing came."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return False
        data = self.socket.recv(65536)
        if not data:
            raise PhoneError(f"{self.number}: baresip has gone")
        self.buffer += data
        while b":" in self.buffer:
            size, _, rest = self.buffer.partition(b":")
            if len(rest) <= int(size):
                break
            self.events.append(json.loads(rest[:int(size)].decode(errors="replace"), strict=False))
            self.buffer = rest[int(size) + 1:]
        return True

    # ---- calls ----

    def _next_call(self):
        """The sound of the next call goes to a folder of its own: baresip names its files by the second."""
        self.calls += 1
        folder = self.dir / f"call-{self.calls}"
        folder.mkdir()
        new = self.dir / "sound.new"
        new.symlink_to(folder.name)
        new.rename(self.dir / "sound")
        self.heard, self.spoken = Recording(folder, "dec"), Recording(folder, "enc")

    def dial(self, number):
        self._next_call()
        uri = number if number.startswith("sip:") else f"sip:{number}@{self._server()}"
        self.command("dial", uri)        # it adds the account's transport

    def accept(self):
        self._next_call()
        self.command("accept")
        self.wait("CALL_ESTABLISHED")

    def call(self, number, seconds=10):
        """Dials and waits until it is answered and sound comes."""
        self.dial(number)
        self.wait("CALL_ESTABLISHED", seconds)
        self.wait_sound()

    def hangup(self):
        """Ends the current call; an incoming one that isn't answered is refused with 486, a dialled one is cancelled."""
        self.command("hangup")
        self.wait("CALL_CLOSED")

    def hold(self):
        self.command("hold")

    def resume(self):
        self.command("resume")

    def press(self, digits):
        """RFC 4733 events. One command a digit: baresip ends only the last one of several with an event of its own."""
        for digit in digits:
            self.command("sndcode", digit)

    # ---- sound ----

    def _microphone(self, clip=None):
        if clip:
            return clip.file(self.rate, SILENCE_S, self.channels)
        made = CLIPS / f"silence-{self.rate}-{self.channels}.wav"
        if not made.exists():
            CLIPS.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=CLIPS, suffix=".wav", delete=False) as new:
                pass
            with wave.open(new.name, "wb") as out:
                out.setnchannels(self.channels)
                out.setsampwidth(2)
                out.setframerate(self.rate)
                out.writeframes(bytes(2 * self.channels * self.rate * SILENCE_S))
            os.rename(new.name, made)
        return made

    def say(self, clip):
        """Begins to say it, now, and is silent behind it. Returns what wait_said() wants."""
        self.command("ausrc", f"aufile,{self._microphone(clip)}")
        # On a busy machine it has gone on being silent until it got to the command, and some of that waits to be sent.
        return self.spoken.seconds + clip.seconds + AUDIO_BUFFER_S

    def wait_said(self, until):
        wait_until(lambda: self.spoken.seconds >= until, seconds=15)

    def says(self, clip):
        """Says it, to its end."""
        self.wait_said(self.say(clip))

    def repeats_what_it_hears(self):
        """From now on its microphone lies at its receiver."""
        self.command("ausrc", "aubridge,receiver")

    def repeated(self, clip, since=0.0, seconds=10):
        return self._find(clip, since, seconds, self.spoken)
