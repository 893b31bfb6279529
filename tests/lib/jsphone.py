"""A phone made of JsSIP (tests/js/phone.js) over WebSocket: signalling alone.

    with JsPhone(office, "1001") as phone:
        phone.do("register")
        phone.wait("registered")
"""
import json
import os
import select
import subprocess
import time

from office import ROOT, SLOW, WS_PORT, WSS_PORT, OfficeError, end_with_us


class JsPhone:
    script = "phone.js"

    def __init__(self, office, number, secure=False, args=()):
        url = f"wss://{office.addr}:{WSS_PORT}" if secure else f"ws://{office.addr}:{WS_PORT}"
        env = {**os.environ, "NODE_PATH": str(ROOT / "build/js/node_modules")}
        self.number, self.events, self.buffer = number, [], b""
        self.process = subprocess.Popen(["node", ROOT / "tests/js" / self.script, url, number, f"s{number}", *args], env=env, bufsize=0,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=end_with_us)

    def __enter__(self):
        try:
            self.wait("connected", timeout=20)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def do(self, *command):
        self.process.stdin.write((" ".join(str(c) for c in command) + "\n").encode())

    def wait(self, event, timeout=10, **what):
        """The next event of this name and with these values; those before it are let go."""
        end = time.monotonic() + timeout * SLOW
        while True:
            line, gap, rest = self.buffer.partition(b"\n")
            if gap:
                self.buffer = rest
                self.events.append(json.loads(line))
                found = self.events[-1]
                if found["event"] == event and all(found.get(k) == v for k, v in what.items()):
                    return found
                continue
            left = end - time.monotonic()
            data = left > 0 and select.select([self.process.stdout], [], [], left)[0] and os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise OfficeError(f"{self.number} waited for {event} {what}; there was: {self.events}")
            self.buffer += data
