#!/usr/bin/python3
"""Drafts and the rest of the world: what is tried isn't told, what others change meanwhile isn't lost."""
import os

import psycopg2

count = 0


def check(holds, name):
    global count
    count += 1
    print(f"{'ok' if holds else 'not ok'} {count} - {name}", flush=True)


def connect():
    session = psycopg2.connect(os.environ["CONNINFO"])
    session.autocommit = True
    session.cursor().execute("SET statement_timeout = '20s'")
    return session


def run(session, sql, *args):
    cursor = session.cursor()
    try:
        cursor.execute(sql, args)
        return cursor.fetchall() if cursor.description else None
    except psycopg2.Error as e:
        return str(e)


print("1..12")
one, other, listener = connect(), connect(), connect()
run(listener, "LISTEN pbx_change")


def told():
    """What servers were told since the last time."""
    global seen
    before, seen = seen, run(other, "SELECT coalesce(max(seq), 0) FROM pbx.change")[0][0]
    run(listener, "SELECT 1")  # notifications come with an answer
    notes, listener.notifies[:] = len(listener.notifies), []
    return notes, sorted({k for (k,) in run(other, "SELECT key FROM pbx.change WHERE seq > %s", before)})


seen = 0
run(other, "UPDATE pbx.route SET name = CASE pattern WHEN '600' THEN 'Echo test' ELSE 'Music' END WHERE pattern IN ('600', '700')")
told()
record = "SELECT * FROM pbx.draft_record('office', 'd', %s)"
check(len(run(one, record, "UPDATE pbx.route SET name = 'Draft' WHERE pattern IN ('600', '700')")) == 2, "a draft is recorded")
run(one, "SELECT * FROM pbx.draft_explain('office', 'd', '1001', '600')")
run(one, "SELECT * FROM pbx.draft_test('office', 'd')")
check(told() == (0, []), "trying it tells servers nothing")

# While a draft is tried in an open transaction, other transactions commit.
run(one, "BEGIN")
check(run(one, "SELECT detail FROM pbx.draft_explain('office', 'd', '1001', '600') WHERE what = 'candidate'") == [("Draft",)], "it is tried in a transaction that stays open")
run(other, "UPDATE pbx.route SET name = 'Echo!' WHERE pattern = '600'")
check(told() == (1, ["office/lobby/600"]), "and holds up no commit, not even of a row that it changes")
run(one, "COMMIT")

error = run(one, "SELECT pbx.activate('office', 'd')")
check("route office/lobby/600: it was changed: name \"Echo test\" -> \"Echo!\"" in error, "what another changed since is told")
check(run(one, "SELECT row_name FROM pbx.draft_conflict('office', 'd')") == [("route office/lobby/600",)], "row by row")
check(told() == (0, []), "and nothing is activated")
check([(r, c) for _, r, c in run(one, "SELECT * FROM pbx.draft_rebase('office', 'd')")] ==
      [("route office/lobby/600", 'name "Echo!" -> "Draft"'), ("route office/office/700", 'name "Music" -> "Draft"')], "the draft may have its way")
check(run(one, "SELECT pbx.activate('office', 'd')") == [(1,)] and told() == (1, ["office/lobby/600", "office/office/700"]), "servers are told of all of it at once")
run(one, "SELECT pbx.rollback('office')")
check(told() == (1, ["office/lobby/600", "office/office/700"]) and
      run(one, "SELECT name FROM pbx.route WHERE pattern IN ('600', '700') ORDER BY name") == [("Echo!",), ("Music",)], "and so are they when it is taken back")

run(one, record, "INSERT INTO pbx.route (domain, context, pattern) SELECT 'office', 'lobby', (50000 + n)::text FROM generate_series(1, 2000) AS n")
check(run(one, "SELECT pbx.activate('office', 'd')") == [(3,)] and run(one, "SELECT count(*) FROM pbx.route WHERE pattern LIKE '5____'") == [(2000,)], "an import may be a draft")

run(one, record, "UPDATE pbx.route SET name = 'Again' WHERE pattern = '600'")
run(one, "BEGIN")
run(one, "SELECT pbx.activate('office', 'd')")
run(other, "SET statement_timeout = '5s'")
error = run(other, "INSERT INTO pbx.setting VALUES ('office', 'meanwhile', 'x')")
run(one, "COMMIT")
check(error is None, "one that is activated in a transaction that stays open holds up no other commit")
