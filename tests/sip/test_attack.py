"""100,000 datagrams, random and bent, and 2,000 connections that dribble, during calls: the part of `make attack` that fits in here."""
import subprocess
import sys

from office import BUILD, ROOT, SLOW


def test_attack_stops_no_calls():
    command = [sys.executable, "-B", ROOT / "tests/sip/attack.py", "--only", "bend", "--datagrams", str(100000 // SLOW)]
    done = subprocess.run(command, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "BUILD": str(BUILD)}, capture_output=True, text=True,
                          timeout=240 * SLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("ok connections and datagrams: 2000 dribbling")
