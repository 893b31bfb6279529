#!/usr/bin/python3
"""Events between sessions: numbers in the order of commits, nobody held up, and readers that miss nothing and get nothing twice."""
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


def run(session, text, *args):
    cursor = session.cursor()
    cursor.execute(text, args)
    return cursor.fetchall() if cursor.description else None


def write(session, name):
    run(session, "SELECT pbx.event_write('call.lost', 'office', NULL, jsonb_build_object('name', %s::text))", name)


def read(session, most=1000):
    return [row[0] for row in run(session, "SELECT data ->> 'name' FROM pbx.event_next('me', %s) WHERE kind = 'call.lost'", most)]


print("1..12")
slow, quick, reader = connect(), connect(), connect()
listener = connect()
listener.autocommit = True
run(listener, "LISTEN pbx_event")
read(reader)
reader.commit()

write(slow, "slow")
write(quick, "quick")
quick.commit()
check(read(reader) == ["quick"], "an open transaction holds up nobody")
reader.commit()
slow.commit()
check(read(reader) == ["slow"], "who commits later has the higher number, though it began earlier")
reader.rollback()
check(read(reader) == ["slow"], "a reader that didn't commit gets it again")
reader.commit()
check(read(reader) == [], "one that did doesn't")
reader.commit()
while not listener.notifies and select.select([listener], [], [], 10)[0]:
    listener.poll()
check(listener.notifies, "those present are told")
write(slow, "never")
slow.rollback()
check(read(reader) == [], "what was rolled back is not told")
reader.commit()

# One has its number, and has not committed yet: who comes behind waits, so that no reader goes past what it can't see yet.
write(slow, "numbered")
run(slow, "SET CONSTRAINTS ALL IMMEDIATE")
write(quick, "behind")
behind = threading.Thread(target=quick.commit)
behind.start()
while behind.is_alive() and not run(listener, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
    pass
got = read(reader)
reader.commit()
slow.commit()
behind.join(20)
got += read(reader)
reader.commit()
check(got == ["numbered", "behind"], "a number that is given holds up those behind it until its commit")

# Changes and events are numbered under one lock: who does both waits for nobody who waits for it.
EVENT, CHANGE = "SELECT pbx.event_write('call.lost', NULL, NULL, NULL)", "INSERT INTO pbx.setting VALUES ('office', 'x' || txid_current(), 'x')"


def doing(texts):
    session = connect()
    for _ in range(30):
        for text in texts:
            run(session, text)
        session.commit()
    session.close()


both = [threading.Thread(target=doing, args=(texts,)) for texts in ((EVENT, CHANGE), (CHANGE, EVENT))]
for thread in both:
    thread.start()
for thread in both:
    thread.join(20)
check(run(reader, "SELECT count(*) FROM pbx.setting WHERE name ~ '^x[0-9]'")[0][0] == 60, "events and changes in either order")
read(reader)
reader.commit()

# What is checked at COMMIT is checked before anything is numbered. Here a check waits for a lock that the reader has.
run(slow, "CREATE TABLE pbx.checked (x integer)")
run(slow, "CREATE FUNCTION pbx.check_slowly() RETURNS trigger LANGUAGE plpgsql AS"
          " 'BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END'")
run(slow, "CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON pbx.checked DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.check_slowly()")
slow.commit()
run(reader, "SELECT pg_advisory_xact_lock(4711)")
run(slow, "INSERT INTO pbx.setting VALUES ('office', 'x0', 'x')")
run(slow, "INSERT INTO pbx.checked VALUES (1)")
behind = threading.Thread(target=slow.commit)
behind.start()
while not run(listener, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
    pass
write(quick, "meanwhile")
try:
    run(quick, "SET LOCAL lock_timeout = '3s'")
    quick.commit()
    check(True, "while a large change is checked, calls are told")
except psycopg2.Error as error:
    check(False, f"while a large change is checked, calls are told: {error}")
reader.commit()
behind.join(20)
check(run(quick, "SELECT key FROM pbx.change ORDER BY seq DESC LIMIT 1") == [("office/x0",)], "and the change in the end")
run(quick, "DROP TABLE pbx.checked")
run(quick, "DROP FUNCTION pbx.check_slowly")
quick.commit()
read(reader)
reader.commit()

# Two readers of one name share what there is, however commits interleave.
WRITERS, READERS, COMMITS = 4, 2, 60
seen = [[] for _ in range(READERS)]


def writing(me):
    session = connect()
    for i in range(COMMITS):
        write(session, f"w{me}.{i}")
        write(session, f"w{me}.{i}.b")
        session.commit()
    session.close()


writers = [threading.Thread(target=writing, args=(me,)) for me in range(WRITERS)]


def reading(me):
    session = connect()
    while True:
        running = any(thread.is_alive() for thread in writers)
        got = read(session, 5)
        # Every third time it dies before it has said that it has them.
        if len(seen[me]) % 3 == 1 and running:
            session.rollback()
            continue
        session.commit()
        seen[me] += got
        if not running and not got:
            break
    session.close()


readers = [threading.Thread(target=reading, args=(me,)) for me in range(READERS)]
for thread in writers + readers:
    thread.start()
for thread in writers + readers:
    thread.join(60)
expected = sorted(f"w{me}.{i}{b}" for me in range(WRITERS) for i in range(COMMITS) for b in ("", ".b"))
check(sorted(sum(seen, [])) == expected, "readers that die in between miss nothing and get nothing twice")
check(all(mine == sorted(mine, key=lambda n: (n.split(".")[0], int(n.split(".")[1]), n)) for w in range(WRITERS) for s in seen
          for mine in [[n for n in s if n.startswith(f"w{w}.")]]), "each in the order of commits")

run(quick, "DELETE FROM pbx.setting WHERE name ~ '^x[0-9]'")
run(quick, "DELETE FROM pbx.event_cursor")
quick.commit()
