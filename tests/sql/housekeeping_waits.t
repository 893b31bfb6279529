#!/usr/bin/python3
"""Housekeeping between sessions: it waits for nobody for long, has nobody wait behind it, and is in nobody's way who has events numbered."""
import os
import threading

import psycopg2

conninfo = os.environ["CONNINFO"]
count = 0
LAST = "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = %s::regclass AND inhrelid::regclass::text !~ 'other$'"
CUT = ("event", "decision_log", "sip_trace", "cdr", "cdr_leg")


def check(holds, name):
    global count
    count += 1
    print(f"{'ok' if holds else 'not ok'} {count} - {name}", flush=True)


def connect():
    session = psycopg2.connect(conninfo)
    session.cursor().execute("SET statement_timeout = '20s'; SET client_min_messages = error")
    session.commit()
    return session


def run(session, text, *args):
    cursor = session.cursor()
    cursor.execute(text, args or None)
    return cursor.fetchall() if cursor.description else None


def last(session, table):
    return run(session, LAST, f"pbx.{table}")[0][0] or ""


def call_begins(session):
    run(session, "SELECT pbx.event_write('call.started', 'office', gen_random_uuid(), '{}')")


print("1..7")
admin, reader, keeper, server = connect(), connect(), connect(), connect()

# A day is to be made, and somebody reads.
wanted = {table: last(admin, table) for table in CUT}
for part in wanted.values():
    run(admin, f"DROP TABLE {part}")
admin.commit()
for table in CUT:
    run(reader, f"SELECT count(*) FROM pbx.{table}")
run(keeper, "SELECT pbx.housekeeping()")
keeper.commit()
check(all(last(admin, table) < wanted[table] for table in CUT), "tables that are read get no day, and nobody waits for it")
admin.commit()
run(server, "SET lock_timeout = '5s'")
call_begins(server)
server.commit()
check(True, "calls go on")
reader.commit()
check(run(keeper, "SHOW lock_timeout") == [("0",)], "the session waits for locks as before")
run(keeper, "SELECT pbx.housekeeping()")
keeper.commit()
check({table: last(admin, table) for table in CUT} == wanted, "the next time they do")
admin.commit()

# A day is to be dropped, and events of what was removed besides are to be numbered; meanwhile a call begins.
run(admin, "SELECT pbx.partition_make('pbx.event', 'day', now() - interval '40 days')")
run(admin, "INSERT INTO pbx.binding (domain, number, contact, call_id, cseq, expires, proto, address)"
           " VALUES ('office', '1001', 'sip:1001@192.0.2.1', 'x', 1, now() - interval '2 days', 'udp', '192.0.2.1:5060')")
admin.commit()
mark = run(admin, "SELECT pbx.event_last()")[0][0]
admin.commit()
run(keeper, "SELECT pbx.housekeeping()")
call_begins(server)
said = []


def commit():
    try:
        server.commit()
    except psycopg2.Error as error:
        said.append(str(error))


behind = threading.Thread(target=commit)
behind.start()
while behind.is_alive() and not run(admin, "SELECT 1 FROM pg_locks WHERE NOT granted"):
    pass
try:
    keeper.commit()
except psycopg2.Error as error:
    said.append(str(error))
behind.join(20)
check(said == [], "a call that begins while days are dropped, and what was removed besides, aren't in each other's way")
check([row[0] for row in run(admin, "SELECT kind FROM pbx.event WHERE id > %s ORDER BY id", mark)] == ["registration.lost", "call.started"], "both are told")
admin.commit()

# What is kept for ever has its days, too.
keep = run(admin, "DELETE FROM pbx.retention WHERE what IN ('why', 'sip_trace') RETURNING what, keep::text")
run(admin, f"DROP TABLE {wanted['decision_log']}, {wanted['sip_trace']}")
run(admin, "SELECT pbx.housekeeping()")
for what, length in keep:
    run(admin, "INSERT INTO pbx.retention VALUES (%s, %s)", what, length)
check({table: last(admin, table) for table in CUT} == wanted, "what is kept for ever has its days, too")
admin.commit()
run(admin, "DELETE FROM pbx.event")
admin.commit()
