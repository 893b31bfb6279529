#!/usr/bin/python3 -B
"""Nothing flows from one tenant to another.

Random statements, over all tables, views and functions, are made by an administrator of domain a in a world, and once more in one
that differs only in what other domains have. He must get the same in both, errors included, and nothing of others may have changed.
Both worlds are transactions of a superuser in the tenant's place (so SET SESSION AUTHORIZATION isn't tried) that are rolled back.
What PostgreSQL itself shows is left out: identity columns and functions that return one (their sequences count for all domains),
system columns, times.

FUZZ_SEED (1), FUZZ_ROUNDS (30) rounds of FUZZ_STATEMENTS (150) statements in two worlds; FUZZ_SHOW=1 prints them.
"""
import io
import os
import random
import re
import sys

import psycopg2
import psycopg2.extensions

SEED = int(os.environ.get("FUZZ_SEED", "1"))
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "30"))
STATEMENTS = int(os.environ.get("FUZZ_STATEMENTS", "150"))
HERE = os.path.dirname(os.path.abspath(__file__))
BASE = os.environ["SUPERUSER"]

# Random or of the clock themselves.
UNSTEADY = {"random_text", "pin_hash", "event_next"}
COUNTED = {("call", "lasts"), ("audit", "transaction"), ("event", "id"), ("event_cursor", "id")}

DOMAINS = ["'a'", "'b'", "'b'", "'c'", "'office'", "'nowhere'", "NULL"]
TEXTS = ["'101'", "'102'", "'110'", "'120'", "'130'", "'199'", "'office'", "'lobby'", "'default'", "'hello'", "'gw'", "'out'", "'day'", "'feature'", "'_1XX'",
         "'busy'", "'dial'", "'+4398'", "'b/101'", "'a/101'", "'sip:x'", "'n'", "'dialog'", "'x'", "''", "NULL", "'phone.b.example'", "'secret of b'",
         "'cordboard_admin_b'", "'node'", "'voicemail'", "'cdr'", "'trunk'", "'closed'", "'result=busy'", "'schedule=day'", "'anonymous'", "'112'", "'${number}'"]
WORDS = {
    "boolean": ["true", "false", "NULL"],
    "integer": ["0", "1", "2", "-1", "97", "98", "1000000", "NULL"],
    "bigint": ["0", "1", "97", "98", "99999999999", "NULL"],
    "uuid": ["md5('a')::uuid", "md5('b')::uuid", "md5('c')::uuid", "NULL"],
    "bytea": ["'x'::bytea", "''::bytea", "NULL"],
    "jsonb": ["'{}'::jsonb", "'[]'::jsonb", "'{\"number\": \"101\"}'::jsonb", "'{\"domain\": \"b\", \"number\": \"101\", \"contact\": \"*\", \"remove\": true}'::jsonb",
              "'{\"domain\": \"b\", \"id\": \"b\", \"remove\": true}'::jsonb", "'[{\"domain\": \"b\", \"name\": \"gw\", \"number\": \"101\", \"contact\": \"sip:x\"}]'::jsonb",
              "jsonb_build_object('call', md5('b')::uuid, 'domain', 'b', 'started_ms', 1, 'ended_ms', 2, 'result', 'answered', 'cause', 16)", "NULL"],
    "text[]": ["'{}'::text[]", "'{101,b}'::text[]", "'{PCMA}'::text[]", "'{MD5}'::text[]", "NULL"],
    "uuid[]": ["ARRAY[md5('b')::uuid]", "NULL"],
    "bigint[]": ["'{98}'::bigint[]", "NULL"],
    "timestamp with time zone": ["'2026-11-23 10:00Z'::timestamptz", "'-infinity'::timestamptz", "NULL"],
    "interval": ["interval '1 day'", "NULL"],
    "inet": ["'192.0.2.99'::inet", "'192.0.2.0/24'::inet", "NULL"],
    "cidr": ["'192.0.2.99/32'::cidr", "NULL"],
    "date": ["'2026-12-25'::date", "NULL"],
    "time without time zone": ["'08:00'::time", "NULL"],
    "numeric": ["0", "1.5", "NULL"],
    "regclass": ["'pbx.extension'::regclass", "'pbx.trunk'::regclass"],
    "name": ["'cordboard_admin_b'::name", "'anna'::name"],
}


# Bytes, times and intervals as PostgreSQL writes them.
psycopg2.extensions.register_type(psycopg2.extensions.new_type((17, 114, 1082, 1083, 1114, 1184, 1186, 3802), "TEXT", lambda value, _: value))


class Maker:
    """Statements from a seed, over the relations and functions that there are."""

    def __init__(self, db, seed):
        self.r = random.Random(seed)
        with db.cursor() as c:
            c.execute("""SELECT c.relname, c.relkind = 'v', array_agg(a.attname::text ORDER BY a.attnum), array_agg(format_type(a.atttypid, NULL) ORDER BY a.attnum),
                                array_agg(a.attidentity <> '' ORDER BY a.attnum)
                         FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
                         WHERE c.relnamespace = 'pbx'::regnamespace AND c.relkind IN ('r', 'v', 'p') AND a.attnum > 0 AND NOT a.attisdropped
                         GROUP BY 1, 2 ORDER BY 1""")
            self.tables = [(t, view, [(n, k) for n, k, counts in zip(names, kinds, ids) if not counts and (t, n) not in COUNTED])
                           for t, view, names, kinds, ids in c.fetchall()]
            c.execute("""SELECT c.relname, a.attname::text, a.attgenerated <> '' FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid LEFT JOIN pbx.tenancy AS t ON t.tab = c.relname
                         WHERE c.relnamespace = 'pbx'::regnamespace AND (a.attgenerated <> '' OR a.attname = ANY (t.secret))""")
            found = c.fetchall()
            self.not_copied = {(t, n) for t, n, _ in found}
            self.generated = {(t, n) for t, n, g in found if g}
            # What the other has there, to be guessed.
            self.theirs = {}
            for table, view, cols in self.tables:
                for n, k in cols if not view and ("domain", "text") in cols else []:
                    c.execute(f"SELECT DISTINCT format('%L::{k}', \"{n}\") FROM pbx.\"{table}\" WHERE domain = 'b' AND \"{n}\" IS NOT NULL ORDER BY 1 LIMIT 3")
                    self.theirs[table, n] = [v for v, in c.fetchall()]
            c.execute("""SELECT p.proname, p.prokind::text, ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) AS t), coalesce(p.proargnames[1:p.pronargs], '{}'), p.prorettype = 'bigint'::regtype
                         FROM pg_proc AS p WHERE p.pronamespace = 'pbx'::regnamespace AND p.prorettype <> 'trigger'::regtype ORDER BY p.oid::regprocedure::text""")
            self.functions = [f for f in c.fetchall() if f[0] not in UNSTEADY]

    def value(self, kind, name="", table=None):
        theirs = self.theirs.get((table, name))
        if theirs and name != "domain" and self.r.random() < 0.5:
            return self.r.choice(theirs)
        if name == "domain" or kind == "text" and self.r.random() < 0.1:
            return self.r.choice(DOMAINS)
        return self.r.choice(WORDS.get(kind, TEXTS))

    def columns(self, cols):
        return self.r.sample(cols, self.r.randint(1, min(4, len(cols))))

    def condition(self, alias, cols, depth=0):
        r = self.r
        name, kind = r.choice(cols)
        if ("domain", "text") in cols and r.random() < 0.3:
            name, kind = "domain", "text"
        col = f'{alias}."{name}"'
        choice = r.randrange(9)
        if choice == 0:
            return f"{col} IS {r.choice(['', 'NOT '])}NULL"
        if choice == 1:
            return f"{col}::text LIKE '%{r.choice(['b', '1', 'secret', '4'])}%'"
        if choice == 2:  # an error that would tell of a row
            return f"1 / (length({col}::text) - {r.randint(0, 8)}) > 0"
        if choice == 3:
            return f"{col}::text::integer > {r.randint(0, 200)}"
        if choice == 4 and depth < 2:
            other, _, theirs = r.choice(self.tables)
            return f"EXISTS (SELECT FROM pbx.\"{other}\" AS y{depth} WHERE {self.condition(f'y{depth}', theirs, depth + 1)})"
        if choice == 5 and depth < 2:
            return f"({self.condition(alias, cols, depth + 1)} {r.choice(['AND', 'OR'])} {self.condition(alias, cols, depth + 1)})"
        if choice == 6:
            return f"pbx.sees({col}::text)"
        return f"{col} {r.choice(['=', '<>', '<', '>='])} {self.value(kind, name)}"

    def select(self):
        r = self.r
        table, _, cols = r.choice(self.tables)
        source = f'pbx."{table}" AS x'
        if r.random() < 0.25:
            other, _, theirs = r.choice(self.tables)
            source += f" {r.choice(['JOIN', 'LEFT JOIN', 'FULL JOIN'])} pbx.\"{other}\" AS y ON x.\"{r.choice(cols)[0]}\"::text = y.\"{r.choice(theirs)[0]}\"::text"
        what = ", ".join(f'x."{n}"' for n, _ in self.columns(cols))
        choice = r.randrange(6)
        if choice == 0:
            what = "count(*)"
        elif choice == 1:
            what = f"min(x.\"{r.choice(cols)[0]}\"::text), max(x.\"{r.choice(cols)[0]}\"::text), count(DISTINCT x.\"{r.choice(cols)[0]}\"::text)"
        elif choice == 2:
            what = ", ".join(f'x."{n}"' for n, _ in cols)
        return f"SELECT {what} FROM {source}" + (f" WHERE {self.condition('x', cols)}" if r.random() < 0.7 else "")

    def call(self):
        name, kind, args, names, counts = self.r.choice(self.functions)
        values = ", ".join(self.value(k, names[i] if i < len(names) else "") for i, k in enumerate(args))
        if kind == "p":
            return f"CALL pbx.{name}({values})"
        result = "x IS NULL" if counts else "x::text"
        return f"SELECT {result} FROM pbx.{name}({values}) AS x" if self.r.random() < 0.8 else \
            f"SELECT {result} FROM (SELECT pbx.{name}({', '.join('x.domain' if k == 'text' and self.r.random() < 0.5 else self.value(k) for k in args)}) AS x FROM pbx.extension AS x) AS y"

    def insert(self):
        r = self.r
        table, _, cols = r.choice(self.tables)
        if r.random() < 0.5:  # his own row once more, with something of another's
            cols = [c for c in cols if (table, c[0]) not in self.not_copied]
            new = r.sample(cols, min(r.choice([1, 1, 1, 2, 3]), len(cols)))
            return (f'INSERT INTO pbx."{table}" ({", ".join(chr(34) + n + chr(34) for n, _ in cols)}) SELECT '
                    + ", ".join(self.value(k, n, table) if (n, k) in new else f'x."{n}"' for n, k in cols) + f' FROM pbx."{table}" AS x' + r.choice(["", " ON CONFLICT DO NOTHING"]))
        cols = [c for c in cols if (table, c[0]) not in self.generated]
        some = r.sample(cols, r.randint(1, min(7, len(cols))))
        for must in cols[:r.choice([0, 2, 3, 4])]:
            if must not in some:
                some.append(must)
        names = ", ".join(f'"{n}"' for n, _ in some)
        if r.random() < 0.7:
            rows = "VALUES (" + ", ".join(self.value(k, n, table) for n, k in some) + ")"
        else:  # a copy of rows that are there
            rows = "SELECT " + ", ".join(f'x."{n}"' if r.random() < 0.7 else self.value(k, n) for n, k in some) + f' FROM pbx."{table}" AS x'
        return f'INSERT INTO pbx."{table}" ({names}) {rows}' + r.choice(["", " ON CONFLICT DO NOTHING", self.returning(cols)])

    def returning(self, cols):
        return " RETURNING " + ", ".join(f'"{n}"' for n, _ in self.columns(cols))

    def update(self):
        table, _, cols = self.r.choice(self.tables)
        kept = [c for c in cols if (table, c[0]) not in self.generated] or cols
        sets = ", ".join(f'"{n}" = {self.value(k, n, table) if self.r.random() < 0.7 else chr(34) + self.r.choice(cols)[0] + chr(34)}' for n, k in self.columns(kept))
        return f'UPDATE pbx."{table}" AS x SET {sets} WHERE {self.condition("x", cols)}' + self.r.choice(["", self.returning(cols)])

    def delete(self):
        table, _, cols = self.r.choice(self.tables)
        return f'DELETE FROM pbx."{table}" AS x WHERE {self.condition("x", cols)}' + self.r.choice(["", self.returning(cols)])

    def other(self):
        return self.r.choice([
            "SELECT tablename, attname, most_common_vals::text FROM pg_stats WHERE schemaname = 'pbx'", "SELECT last_value FROM pbx.change_seq",
            "SELECT nextval('pbx.change_seq')", "SELECT lo_get(1)", "SET LOCAL row_security = off", "ALTER TABLE pbx.extension DISABLE ROW LEVEL SECURITY",
            "DROP POLICY tenant ON pbx.extension", "TRUNCATE pbx.extension", "SET ROLE cordboard", "SET ROLE cordboard_admin_b", "SET ROLE cordboard_operator",
            "GRANT cordboard_admin_b TO anna", "CREATE ROLE eve IN ROLE cordboard_admin_b", "SET LOCAL search_path = pg_temp, pbx",
            "COPY pbx.credential TO STDOUT", "CREATE TEMP TABLE mine (domain text, x text)",
            "CREATE FUNCTION pg_temp.peek(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS 'BEGIN RAISE ''peek %'', $1; END'",
            "SELECT x.number FROM pbx.extension AS x WHERE pg_temp.peek(x.domain || x.number) ORDER BY x.number",
            "CREATE TRIGGER mine AFTER INSERT ON mine FOR EACH STATEMENT EXECUTE FUNCTION pbx.change_note('domain', '1')",
            "CREATE VIEW pg_temp.all_of_it AS SELECT * FROM pbx.extension", "CREATE TABLE pbx.mine (x integer)", "ALTER VIEW pbx.call SET (security_invoker = false)",
            "SELECT set_config('role', 'cordboard', true)",
            "LOCK TABLE pbx.secret", "SELECT x.kind, x.domain, x.call, x.data FROM pbx.event_next('mine') AS x", "SELECT x.kind, x.domain FROM pbx.event_next('b', 5, 'b') AS x", "SELECT query_to_xml('SELECT number FROM pbx.extension ORDER BY 1', true, false, '')::text",
            "CREATE TEMP TABLE spy (domain text REFERENCES pbx.domain)", "ALTER DEFAULT PRIVILEGES IN SCHEMA pbx GRANT SELECT ON TABLES TO anna"])

    def statement(self):
        return self.r.choices([self.select, self.call, self.insert, self.update, self.delete, self.other], [40, 25, 20, 12, 6, 5])[0]()


def shown(value):
    """Without times, which differ from one transaction to the next."""
    return re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d(:\d\d)?)?", "<time>", str(value))


def run(cur, statement):
    """What the tenant gets: rows in any order, or the error with all that PostgreSQL tells of it."""
    cur.execute("SAVEPOINT s")
    try:
        if statement.startswith("COPY"):
            sink = io.StringIO()
            cur.copy_expert(statement, sink)
            got = sink.getvalue()
        else:
            cur.execute(statement)
            got = sorted(shown(row) for row in cur.fetchall()) if cur.description else cur.rowcount
        cur.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cur.execute("RELEASE s")
        return got
    except psycopg2.Error as e:
        cur.execute("ROLLBACK TO s; RELEASE s")
        d = e.diag
        return shown((d.sqlstate, d.message_primary, d.message_detail, d.message_hint))


# What is not a's: of every table that has it, and of those that are nobody's but the ones that say what changed.
def others(cur, tables):
    parts = []
    for table, view, cols in tables:
        if view or table in ("change", "change_pending", "recheck"):
            continue
        # That something was changed is an event of nobody.
        own = "x.domain IS DISTINCT FROM 'a' AND x.kind <> 'change.committed'" if table == "event" else "x.domain IS DISTINCT FROM 'a'" if ("domain", "text") in cols else \
            "x.call <> md5('a')::uuid" if table == "cdr_leg" else "x.doc ->> 'domain' IS DISTINCT FROM 'a'" if table == "outbox_refused" else "true"
        parts.append(f"SELECT '{table}' AS t, md5(coalesce(string_agg(x::text, E'\\n' ORDER BY x::text), '')) AS h FROM pbx.\"{table}\" AS x WHERE {own}")
    cur.execute(" UNION ALL ".join(parts))
    return dict(cur.fetchall())


def mutate(cur, tables, r):
    """Another world: other domains have other rows, or no longer any, or one is new. Triggers and foreign keys look away."""
    cur.execute("SET LOCAL session_replication_role = replica")
    gone = r.random() < 0.25
    for table, view, cols in tables:
        if view:
            continue
        names = dict(cols)
        own = "domain IS DISTINCT FROM 'a'" if "domain" in names else "call <> md5('a')::uuid" if table == "cdr_leg" else \
            "doc ->> 'domain' IS DISTINCT FROM 'a'" if table == "outbox_refused" else None
        if own is None:
            continue
        cur.execute("SAVEPOINT m")
        try:
            choice = r.randrange(4)
            if gone or choice == 0:
                cur.execute(f'DELETE FROM pbx."{table}" WHERE {own}')
            elif choice == 1 and "domain" in names:
                cur.execute(f"UPDATE pbx.\"{table}\" SET domain = 'c' WHERE domain = 'b'")
            elif choice == 2:
                text = [n for n, k in cols if k == "text" and n != "domain"]
                for n in r.sample(text, min(2, len(text))):
                    cur.execute("SAVEPOINT n")
                    try:
                        cur.execute(f'UPDATE pbx."{table}" SET "{n}" = {r.choice(TEXTS)} WHERE {own}')
                    except psycopg2.Error:
                        cur.execute("ROLLBACK TO n")
        except psycopg2.Error:
            cur.execute("ROLLBACK TO m")
    for table, what in (("ban", "(source) VALUES ('192.0.2.77')"), ("secret", "VALUES ('more', '\\x000102030405060708090a0b0c0d0e0f')"),
                        ("change", "SELECT 100000 + g, 'extension', 'b/' || g FROM generate_series(1, 5) AS g"), ("listener", "(node, transport, address, port) VALUES ('n', 'udp', '0.0.0.0', 6000)")):
        if r.random() < 0.5:
            cur.execute(f"INSERT INTO pbx.{table} {what}")
    cur.execute("SET LOCAL session_replication_role = origin")


def world(db, maker, statements, mutation):
    with db.cursor() as cur:
        if mutation is not None:
            mutate(cur, maker.tables, random.Random(mutation))
        before = others(cur, maker.tables)
        cur.execute("SET SESSION AUTHORIZATION anna; SET statement_timeout = '5s'")
        got = [run(cur, s) for s in statements]
        cur.execute("RESET SESSION AUTHORIZATION; RESET ROLE; SET row_security = on; SET search_path = public")
        after = others(cur, maker.tables)
    db.rollback()
    return got, {t for t in before if before[t] != after[t]}


def prepare():
    admin = psycopg2.connect(BASE.replace("dbname=cordboard", "dbname=postgres"))
    admin.autocommit = True
    with admin.cursor() as c:
        c.execute("CREATE DATABASE fuzz OWNER cordboard TEMPLATE cordboard")
    admin.close()
    with psycopg2.connect(os.environ["CONNINFO"].replace("dbname=cordboard", "dbname=fuzz")) as db, db.cursor() as c:
        c.execute(open(os.path.join(HERE, "office.psql"), encoding="utf-8").read())
        c.execute("SELECT pg_temp.office('a'), pg_temp.office('b'); CREATE ROLE anna IN ROLE cordboard_admin_a; UPDATE pbx.node SET seen = 'infinity'")
    db.close()


def clean():
    admin = psycopg2.connect(BASE.replace("dbname=cordboard", "dbname=postgres"))
    admin.autocommit = True
    with admin.cursor() as c:
        c.execute("DROP DATABASE fuzz")
        c.execute("DROP ROLE anna, cordboard_admin_a, cordboard_admin_b")
    admin.close()


def main():
    prepare()
    db = psycopg2.connect(BASE.replace("dbname=cordboard", "dbname=fuzz"))
    maker = Maker(db, SEED)
    db.rollback()
    differ, changed, kinds, rows, refused = [], [], set(), 0, 0
    for n in range(ROUNDS):
        statements = [maker.statement() for _ in range(STATEMENTS)]
        one, wrote = world(db, maker, statements, None)
        two, wrote_too = world(db, maker, statements, f"{SEED}/{n}")
        for s, x, y in zip(statements, one, two):
            if os.environ.get("FUZZ_SHOW"):
                print("#", s, "->", str(x)[:200])
            if x != y:
                differ.append((s, x, y))
            if isinstance(x, str) and x.startswith("("):
                refused += 1
            else:
                kinds.add(s.split()[0])
                rows += len(x) if isinstance(x, list) else max(x, 0) if isinstance(x, int) else 0
        if wrote | wrote_too:
            changed.append((n, sorted(wrote | wrote_too)))
    db.close()
    clean()
    print("1..3")
    print(f"{'not ' if differ else ''}ok 1 - {ROUNDS * STATEMENTS} statements of a tenant give the same whatever others have (seed {SEED}; {rows} rows, {refused} refused)")
    for s, x, y in differ[:10]:
        print(f"# {s}\n#   {x}\n#   {y}")
    print(f"{'not ' if changed else ''}ok 2 - and change nothing of theirs")
    for n, tables in changed[:10]:
        print(f"# round {n}: {tables}")
    sound = rows > ROUNDS * STATEMENTS / 4 and {"SELECT", "INSERT", "UPDATE", "DELETE"} <= kinds and refused < ROUNDS * STATEMENTS * 0.9
    print(f"{'' if sound else 'not '}ok 3 - they read and write: {', '.join(sorted(kinds))}")
    return 0


sys.exit(main())
