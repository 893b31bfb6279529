#!/usr/bin/python3
"""The change log between sessions: numbers in the order of commits, nobody held up, nothing missed by a reader."""
import os
import select
import threading

import psycopg2

conninfo = os.environ["CONNINFO"]
count = 0


def check(holds, name):
    global count
    count += 1
    print(f"{'ok' if holds else 'not ok'} {count} - {name}", flush=True)


def connect():
    session = psycopg2.connect(conninfo)
    session.cursor().execute("SET statement_timeout = '20s'")
    session.commit()
    return session


def setting(session, name):
    session.cursor().execute("INSERT INTO pbx.setting VALUES ('office', %s, 'x')", (name,))


def keys_since(reader, seq):
    cursor = reader.cursor()
    cursor.execute("""SELECT seq, key FROM pbx.change WHERE seq > %s AND "table" = 'setting' ORDER BY seq""", (seq,))
    rows = cursor.fetchall()
    reader.commit()
    return rows


print("1..6")
slow, quick, reader = connect(), connect(), connect()
reader.autocommit = True
reader.cursor().execute("LISTEN pbx_change")

setting(slow, "slow")
setting(quick, "quick")
quick.commit()
check([k for _, k in keys_since(reader, 0)] == ["office/quick"], "an open transaction holds up nobody")
quick_seq = keys_since(reader, 0)[-1][0]
slow.commit()
check([k for _, k in keys_since(reader, quick_seq)] == ["office/slow"], "who commits later has the higher number, though it began earlier")
slow_seq = keys_since(reader, quick_seq)[-1][0]
reader.poll()
while str(slow_seq) not in [n.payload for n in reader.notifies] and select.select([reader], [], [], 10)[0]:
    reader.poll()
check(str(slow_seq) in [n.payload for n in reader.notifies], "servers are woken with the number")

setting(slow, "never")
slow.rollback()
check(not [k for _, k in keys_since(reader, 0) if k == "office/never"], "what was rolled back is not told")

# A reader that only ever asks for what is above what it has must get every change, however commits interleave.
WRITERS, COMMITS = 4, 60
start = keys_since(reader, 0)[-1][0]


def write(me):
    session = connect()
    for i in range(COMMITS):
        setting(session, f"w{me}.{i}")
        setting(session, f"w{me}.{i}.b")
        session.commit()
    session.close()


threads = [threading.Thread(target=write, args=(me,)) for me in range(WRITERS)]
for thread in threads:
    thread.start()
seen, last = [], start
while True:
    running = any(thread.is_alive() for thread in threads)
    for seq, key in keys_since(reader, last):
        seen.append(key)
        last = seq
    if not running:
        break
expected = {f"office/w{me}.{i}{b}" for me in range(WRITERS) for i in range(COMMITS) for b in ("", ".b")}
check(set(seen) == expected, "a reader that reads on from where it stood misses nothing")
check(len(seen) == len(expected), "and gets nothing twice")

quick.cursor().execute("DELETE FROM pbx.setting")
quick.commit()
