"""Connections that never come to the point, in a process of their own, as they are more than select() takes.

    python3 dribble.py ADDRESS SIP_PORT WS_PORT COUNT

Half of them begin a SIP message, half a WebSocket. Writes a line when they stand, and with each line that it reads gives every one
a byte more, until the end of its input.
"""
import contextlib
import resource
import socket
import sys

HALF = b"INVITE sip:1001@cordboard SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKhalf\r\nContent-Length: 60000\r\n\r\nv=0"
SLOW = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


def main(addr, sip_port, ws_port, count):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = []
    for i in range(int(count)):
        one = socket.create_connection((addr, int(sip_port) if i % 2 else int(ws_port)), source_address=("127.0.0.1", 0))
        text = HALF if i % 2 else SLOW
        one.sendall(text[:1 + i % 40])
        held.append([one, text, 1 + i % 40])
    print("standing", flush=True)
    for _ in sys.stdin:
        for h in held:
            with contextlib.suppress(OSError):               # given up by the server already
                h[0].send(h[1][h[2]:h[2] + 1])
            h[2] += 1


main(*sys.argv[1:])
