#!/usr/bin/python3
"""Transactions of several sessions in pbx.audit, and one of them taken back."""
import os

import psycopg2

count = 0


def check(holds, name):
    global count
    count += 1
    print(f"{'ok' if holds else 'not ok'} {count} - {name}", flush=True)


def run(sql, *args, role=None):
    """What a transaction of its own returns; what it is refused with as an error's text."""
    with psycopg2.connect(os.environ["CONNINFO"]) as session, session.cursor() as cursor:
        if role:
            cursor.execute(f"SET ROLE {role}")
        try:
            cursor.execute(sql, args)
            return cursor.fetchall() if cursor.description else None
        except psycopg2.Error as e:
            session.rollback()
            return str(e)


def changed():
    return [k for (k,) in run('''SELECT key FROM pbx.change WHERE "table" IN ('route', 'extension') ORDER BY seq''')]


print("1..9")
superuser = psycopg2.connect(os.environ["SUPERUSER"])
superuser.autocommit = True
superuser.cursor().execute("CREATE ROLE audit_clerk IN ROLE cordboard_operator; GRANT audit_clerk TO cordboard")
run("UPDATE pbx.route SET name = 'Clerk' WHERE pattern = '600'", role="audit_clerk")
check(run("SELECT who, role, new ->> 'name' FROM pbx.audit ORDER BY id DESC LIMIT 1") == [("cordboard", "audit_clerk", "Clerk")],
      "who is recorded who has no rights on the log")

run("DELETE FROM pbx.route WHERE pattern IN ('600', '700')")
(gone,) = run("SELECT transaction FROM pbx.audit ORDER BY id DESC LIMIT 1")[0]
run("UPDATE pbx.extension SET display_name = 'Other' WHERE number = '1001'")
before = changed()
check({(w, r) for w, r, _ in run("SELECT * FROM pbx.undo(%s)", gone)} ==
      {("back", f"{t} office/{k}") for t, k in (("route", "lobby/600"), ("route", "office/700"), ("step", "lobby/600/1"), ("step", "office/700/1"))},
      "routes and their steps come back, what others did meanwhile stays")
check(sorted(set(changed()[len(before):])) == ["office/lobby/600", "office/office/700"], "servers are told")
check(run("SELECT name FROM pbx.route WHERE pattern = '600'") == [("Clerk",)], "as they were last")
(back,) = run("SELECT transaction FROM pbx.audit ORDER BY id DESC LIMIT 1")[0]
check(len(run("SELECT * FROM pbx.undo(%s)", back)) == 4 and run("SELECT 1 FROM pbx.route WHERE pattern = '600'") == [], "and go again")
run("INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'lobby', '600')")
check("route office/lobby/600: there is one already" in run("SELECT * FROM pbx.undo(%s)", gone), "not over what somebody made meanwhile")
check(run("SELECT 1 FROM pbx.route WHERE pattern = '700'") == [], "then nothing comes back")
check(len(run("SELECT * FROM pbx.undo(%s, true)", gone)) == 4 and run("SELECT count(*) FROM pbx.step WHERE pattern IN ('600', '700')") == [(2,)], "unless it is told to")

run("INSERT INTO pbx.trunk (domain, name, context, auth_user, auth_password) VALUES ('office', 'isp', 'lobby', 'me', 'secret')")
run("DELETE FROM pbx.trunk")
(gone,) = run("SELECT transaction FROM pbx.audit ORDER BY id DESC LIMIT 1")[0]
check([(w, r) for w, r, _ in run("SELECT * FROM pbx.undo(%s)", gone)] == [("back", "trunk office/isp"), ("not back", "trunk office/isp")]
      and run("SELECT auth_user, auth_password FROM pbx.trunk") == [("me", "")], "a trunk without its password, which is said")
