-- Changes that are tried before they are made: tests of the dialplan, drafts, versions.
--
-- A draft is a set of rows before and after, as pbx.audit has them. Whatever is asked of one is asked in a subtransaction in which its rows are
-- made, with all checks, and which is then rolled back: nobody else sees them, and servers are told nothing. So explain(), the tests and
-- whatever is asked besides need not know of drafts.

-- Where a call goes, in a line ---------------------------------------------------------------------------

CREATE FUNCTION pbx.outcome(domain text, caller text, number text, at timestamptz DEFAULT now(), from_number text DEFAULT NULL) RETURNS text LANGUAGE sql STABLE AS $$
    WITH told AS (
        SELECT e.*, count(*) FILTER (WHERE e.what = 'step') OVER (ORDER BY e.n) AS step
        FROM pbx.explain($1, $2, $3, $4, $5) WITH ORDINALITY AS e(depth, what, context, pattern, position, app, args, condition, holds, detail, n)
    ), place AS (
        SELECT t.n, t.step, CASE
            WHEN t.what = 'blocked' THEN 'blocked ' || substring(t.detail FROM '[0-9]{3}$')
            WHEN t.what = 'nowhere' THEN 'nowhere'
            WHEN t.what = 'limit' AND t.depth = 0 AND t.holds IS FALSE THEN 'refused'
            WHEN t.what <> 'target' THEN NULL
            WHEN t.detail ~ '^extension [^ ]+: ' THEN substring(t.detail FROM '^extension [^ ]+(?=: )')
            WHEN t.detail ~ '^extension [^ ]+ isn''t enabled$' THEN substring(t.detail FROM '^extension [^ ]+') || ' (off)'
            WHEN t.detail ~ ' is no extension$' THEN 'nobody at ' || substring(t.detail FROM '^(.*) is no extension$')
            WHEN t.detail ~ ' by trunk [^ ]+: ' THEN (
                SELECT format('trunk %s %s%s', m[2], m[1], CASE WHEN EXISTS (SELECT FROM pbx.trunk AS x WHERE (x.domain, x.name) = ($1, m[2]) AND x.enabled AND x.uri IS NOT NULL)
                                                                THEN '' ELSE ' (off)' END)
                FROM regexp_match(t.detail, '^(.*) by trunk ([^ ]+): ') AS m)
            ELSE t.detail END AS place
        FROM told AS t
    ), station AS (
        SELECT p.step, min(p.n) AS n, string_agg(p.place, CASE WHEN p.place LIKE 'trunk %' THEN ' > ' ELSE ' & ' END ORDER BY p.n) AS place
        FROM place AS p WHERE p.place IS NOT NULL GROUP BY p.step, p.place LIKE 'trunk %'
        UNION ALL
        -- An application that takes the call itself.
        SELECT t.step, t.n, concat_ws(' ', t.app, coalesce(t.args ->> 'number', t.args ->> 'mailbox', t.args ->> 'menu', t.args ->> 'group', t.args ->> 'conference', t.args ->> 'class',
                                                         t.args ->> 'schedule', t.args ->> 'status'))
        FROM told AS t
        WHERE t.what = 'step' AND t.holds IS NOT FALSE AND NOT EXISTS (SELECT FROM place AS p WHERE p.step = t.step AND p.place IS NOT NULL)
          AND NOT EXISTS (SELECT FROM told AS f WHERE f.step = t.step AND f.what = 'forward' AND f.condition = 'always')
          AND t.app NOT IN ('answer', 'set', 'playback', 'say', 'wait', 'wait_silence', 'ring', 'record', 'amd', 'fax_detect', 'goto')
    )
    SELECT coalesce(string_agg(s.place, ' > ' ORDER BY s.n),
                    (SELECT string_agg(t.app, ' > ' ORDER BY t.n) FROM told AS t WHERE t.what = 'step' AND t.holds IS NOT FALSE), 'nothing')
    FROM station AS s
$$;
COMMENT ON FUNCTION pbx.outcome(text, text, text, timestamptz, text) IS 'Where a call goes, in a line made of what explain() tells: "extension 1002 > voicemail 1002", one after the other with ">", at once with "&". extension, trunk (with the number sent there), voicemail, menu, conference, another application with its argument; nobody at NUMBER, nowhere, blocked STATUS, refused; (off): it isn''t enabled. Which phones are registered at the moment counts for nothing.';

CREATE FUNCTION pbx.outcome_is(got text, expected text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    -- The first stations, each perhaps with more behind it: "trunk isp" is "trunk isp 0043...".
    SELECT coalesce(bool_and(coalesce(g.place = e.place OR starts_with(g.place, e.place || ' ') AND g.place NOT LIKE '%(off)', false)), false)
    FROM unnest(string_to_array($2, ' > ')) WITH ORDINALITY AS e(place, n) LEFT JOIN unnest(string_to_array($1, ' > ')) WITH ORDINALITY AS g(place, n) USING (n)
$$;
COMMENT ON FUNCTION pbx.outcome_is(text, text) IS 'Does a call go where it is expected? Expected may be the first part of pbx.outcome(), and a trunk without the number.';

-- Tests ------------------------------------------------------------------------------------------------

CREATE TABLE pbx.dialplan_test (
    domain      text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE DEFERRABLE,
    name        text NOT NULL CHECK (name <> ''),
    caller      text,
    from_number text,
    number      text NOT NULL CHECK (number <> ''),
    at          timestamptz,
    expected    text NOT NULL CHECK (expected <> ''),
    PRIMARY KEY (domain, name)
);
COMMENT ON TABLE pbx.dialplan_test IS 'What must stay so, whatever is changed: "emergency calls go by trunk gateway". pbx.dialplan_test_run() tries all; a draft is only activated when all pass.';
COMMENT ON COLUMN pbx.dialplan_test.domain IS 'The domain.';
COMMENT ON COLUMN pbx.dialplan_test.name IS 'Its name, for people.';
COMMENT ON COLUMN pbx.dialplan_test.caller IS 'Who calls: an extension''s number or a trunk''s name; NULL: anybody in the default context.';
COMMENT ON COLUMN pbx.dialplan_test.from_number IS 'Of a call by a trunk: the number it shows.';
COMMENT ON COLUMN pbx.dialplan_test.number IS 'What is dialled.';
COMMENT ON COLUMN pbx.dialplan_test.at IS 'When; NULL: at the time of the test.';
COMMENT ON COLUMN pbx.dialplan_test.expected IS 'Where it must go, as pbx.outcome() says it or the beginning of that: "extension 1002", "trunk isp", "extension 1002 > voicemail 1002", "nowhere".';
CALL pbx.audit_watch('pbx.dialplan_test');

CREATE FUNCTION pbx.dialplan_test_run(domain text, name text DEFAULT NULL) RETURNS TABLE (name text, passed boolean, expected text, got text) LANGUAGE sql STABLE AS $$
    SELECT t.name, pbx.outcome_is(g.got, t.expected), t.expected, g.got
    FROM pbx.dialplan_test AS t,
         LATERAL (SELECT CASE WHEN t.caller IS NULL OR EXISTS (SELECT FROM pbx.extension AS e WHERE (e.domain, e.number) = (t.domain, t.caller))
                                                    OR EXISTS (SELECT FROM pbx.trunk AS k WHERE (k.domain, k.name) = (t.domain, t.caller))
                              THEN pbx.outcome(t.domain, t.caller, t.number, coalesce(t.at, now()), t.from_number)
                              ELSE format('there is no caller %s', t.caller) END AS got OFFSET 0) AS g
    WHERE t.domain = $1 AND ($2 IS NULL OR t.name = $2) ORDER BY t.name
$$;
COMMENT ON FUNCTION pbx.dialplan_test_run(text, text) IS 'Runs the tests of a domain, or one: what was expected, where the call would go, and whether that is it.';

-- Drafts -----------------------------------------------------------------------------------------------

CREATE TABLE pbx.draft (
    domain text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    draft  text NOT NULL CHECK (draft <> ''),
    note   text NOT NULL DEFAULT '',
    made   timestamptz NOT NULL DEFAULT now(),
    who    text NOT NULL DEFAULT session_user,
    PRIMARY KEY (domain, draft)
);
COMMENT ON TABLE pbx.draft IS 'Changes of a domain that are prepared: recorded by pbx.draft_record(), tried by draft_explain(), draft_test(), draft_query(), made by pbx.activate(). Delete the row to throw one away.';
COMMENT ON COLUMN pbx.draft.domain IS 'The domain.';
COMMENT ON COLUMN pbx.draft.draft IS 'Its name.';
COMMENT ON COLUMN pbx.draft.note IS 'What it is for.';
COMMENT ON COLUMN pbx.draft.made IS 'When it was begun.';
COMMENT ON COLUMN pbx.draft.who IS 'By whom.';

CREATE TABLE pbx.draft_row (
    domain     text NOT NULL,
    draft      text NOT NULL,
    position   integer NOT NULL,
    "table"    text NOT NULL,
    key_before text NOT NULL,
    key        text NOT NULL,
    old        jsonb,
    new        jsonb,
    PRIMARY KEY (domain, draft, position),
    FOREIGN KEY (domain, draft) REFERENCES pbx.draft ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE pbx.draft_row IS 'The rows that a draft changes. One may be deleted, if the rest holds without it.';
COMMENT ON COLUMN pbx.draft_row.domain IS 'The domain.';
COMMENT ON COLUMN pbx.draft_row.draft IS 'The draft.';
COMMENT ON COLUMN pbx.draft_row.position IS 'Order.';
COMMENT ON COLUMN pbx.draft_row."table" IS 'The table.';
COMMENT ON COLUMN pbx.draft_row.key_before IS 'Key of the row, or that which a new one gets.';
COMMENT ON COLUMN pbx.draft_row.key IS 'Its key then.';
COMMENT ON COLUMN pbx.draft_row.old IS 'The row as the draft found it; NULL: there was none.';
COMMENT ON COLUMN pbx.draft_row.new IS 'The row as it is to be; NULL: it goes.';

-- Volatile: it would otherwise also be asked while a query is planned, when the present statement's own draft isn't seen.
CREATE FUNCTION pbx.draft_changes(domain text, draft text) RETURNS pbx.row_change[] LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT FROM pbx.draft AS d WHERE (d.domain, d.draft) = ($1, $2)) THEN
        RAISE EXCEPTION 'domain % has no draft %', $1, quote_literal($2) USING ERRCODE = 'no_data_found', HINT = 'pbx.draft_record() begins one.';
    END IF;
    RETURN (SELECT array_agg(ROW(r."table", r.key_before, r.key, r.old, r.new)::pbx.row_change ORDER BY r.position)
            FROM pbx.draft_row AS r WHERE (r.domain, r.draft) = ($1, $2));
END $$;
COMMENT ON FUNCTION pbx.draft_changes(text, text) IS 'The changes of a draft.';

CREATE FUNCTION pbx.draft_try(changes pbx.row_change[], statement text, query text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    mark bigint := coalesce((SELECT max(id) FROM pbx.audit WHERE transaction = pg_current_xact_id()::text::bigint), 0);
    told jsonb;
    made jsonb;
BEGIN
    BEGIN
        PERFORM pbx.changes_make(changes);
        IF statement IS NOT NULL THEN
            EXECUTE statement;
            PERFORM pbx.constraints_set('IMMEDIATE');
        END IF;
        IF query IS NOT NULL THEN
            EXECUTE format('SELECT coalesce(jsonb_agg(to_jsonb(x)), ''[]'') FROM (%s) AS x', query) INTO told;
        END IF;
        SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.id), '[]') INTO made
        FROM pbx.audit AS a WHERE a.transaction = pg_current_xact_id()::text::bigint AND a.id > mark AND statement IS NOT NULL;
        RAISE EXCEPTION USING ERRCODE = 'PBX01', MESSAGE = 'tried';
    EXCEPTION WHEN SQLSTATE 'PBX01' THEN
        -- What was tried is gone; what was told of it stays.
        RETURN jsonb_build_object('told', told, 'made', made);
    END;
END $$;
COMMENT ON FUNCTION pbx.draft_try(pbx.row_change[], text, text) IS 'Makes changes, runs a statement, then a query, and takes all of it back: what the query told, and what pbx.audit had of all that was changed.';

CREATE FUNCTION pbx.draft_record(domain text, draft text, statement text) RETURNS TABLE (what text, row_name text, changes text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    net pbx.row_change[];
    events jsonb;
    stranger text;
BEGIN
    INSERT INTO pbx.draft (domain, draft) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT draft_pkey DO NOTHING;
    PERFORM FROM pbx.draft AS d WHERE (d.domain, d.draft) = ($1, $2) FOR UPDATE;
    events := pbx.draft_try(pbx.draft_changes($1, $2), $3, NULL) -> 'made';

    SELECT format('%s %s', e ->> 'table', e ->> 'key') INTO stranger
    FROM jsonb_array_elements(events) AS e WHERE e ->> 'domain' IS DISTINCT FROM $1 LIMIT 1;
    IF stranger IS NOT NULL THEN
        RAISE EXCEPTION '%: it doesn''t belong to domain %', stranger, $1 USING ERRCODE = 'check_violation', DETAIL = 'A draft is of one domain.';
    END IF;
    SELECT format('%s %s: %s is not kept in drafts', e ->> 'table', e ->> 'key', n.key) INTO stranger
    FROM jsonb_array_elements(events) AS e, jsonb_each(nullif(e -> 'new', 'null')) AS n
    WHERE pbx.audit_is_mask(n.value) AND n.value IS DISTINCT FROM e -> 'old' -> n.key AND n.key = ANY (pbx.audit_hidden(format('pbx.%I', e ->> 'table')::regclass)) LIMIT 1;
    IF stranger IS NOT NULL THEN
        RAISE EXCEPTION '%', stranger USING ERRCODE = 'check_violation', DETAIL = 'Passwords, PINs and sounds are not written down there.',
            HINT = 'Set it before, or when the draft is activated.';
    END IF;

    SELECT pbx.changes_net(array_agg(ROW(e ->> 'table', coalesce(e ->> 'key_before', e ->> 'key'), e ->> 'key', nullif(e -> 'old', 'null'), nullif(e -> 'new', 'null'))::pbx.row_change ORDER BY n))
    INTO net FROM jsonb_array_elements(events) WITH ORDINALITY AS u(e, n);
    DELETE FROM pbx.draft_row AS r WHERE (r.domain, r.draft) = ($1, $2);
    INSERT INTO pbx.draft_row SELECT $1, $2, c.n, c."table", c.key_before, c.key, c.old, c.new
    FROM unnest(net) WITH ORDINALITY AS c("table", key_before, key, old, new, n);
    RETURN QUERY SELECT * FROM pbx.draft_show($1, $2);
END $$;
COMMENT ON FUNCTION pbx.draft_record(text, text, text) IS 'Adds to a draft what statements would change, on top of what it has; begins the draft if there is none. Nothing is changed yet: draft_record(''office'', ''summer'', $$UPDATE pbx.route SET ...; DELETE ...$$). Returns all that the draft changes now.';

CREATE FUNCTION pbx.draft_show(domain text, draft text) RETURNS TABLE (what text, row_name text, changes text) LANGUAGE sql AS $$
    SELECT CASE WHEN c.old IS NULL THEN 'new' WHEN c.new IS NULL THEN 'gone' ELSE 'changed' END, format('%s %s', c."table", c.key_before), pbx.row_difference(c.old, c.new)
    FROM unnest(pbx.draft_changes($1, $2)) WITH ORDINALITY AS c("table", key_before, key, old, new, n) ORDER BY c.n
$$;
COMMENT ON FUNCTION pbx.draft_show(text, text) IS 'What a draft changes, for people.';

CREATE FUNCTION pbx.draft_conflict(domain text, draft text) RETURNS TABLE (row_name text, problem text) LANGUAGE sql AS $$
    SELECT format('%s %s', c."table", c.key), c.problem FROM pbx.changes_conflict(pbx.draft_changes($1, $2)) AS c
$$;
COMMENT ON FUNCTION pbx.draft_conflict(text, text) IS 'Rows that somebody has changed since the draft was recorded. It can''t be tried or activated then; draft_rebase() lets it have its way.';

CREATE FUNCTION pbx.draft_rebase(domain text, draft text) RETURNS TABLE (what text, row_name text, changes text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    net pbx.row_change[] := pbx.changes_rebase(pbx.draft_changes($1, $2));
BEGIN
    DELETE FROM pbx.draft_row AS r WHERE (r.domain, r.draft) = ($1, $2);
    INSERT INTO pbx.draft_row SELECT $1, $2, c.n, c."table", c.key_before, c.key,
        -- Not the secrets, which pbx.audit hasn't either.
        c.old - pbx.audit_hidden(format('pbx.%I', c."table")::regclass), c.new
    FROM unnest(net) WITH ORDINALITY AS c("table", key_before, key, old, new, n) WHERE NOT coalesce(c.key = c.key_before AND pbx.row_is(c.old, c.new, pbx.audit_hidden(format('pbx.%I', c."table")::regclass)), false);
    RETURN QUERY SELECT * FROM pbx.draft_show($1, $2);
END $$;
COMMENT ON FUNCTION pbx.draft_rebase(text, text) IS 'Has a draft change the rows as they are now: what others changed in them since is overwritten. Returns what it changes now; nothing is changed yet.';

CREATE FUNCTION pbx.draft_query(domain text, draft text, query text) RETURNS SETOF jsonb LANGUAGE sql AS $$
    SELECT t FROM jsonb_array_elements(pbx.draft_try(pbx.draft_changes($1, $2), NULL, $3) -> 'told') AS t
$$;
COMMENT ON FUNCTION pbx.draft_query(text, text, text) IS 'What a query would return if the draft were active, a row each as jsonb: draft_query(''office'', ''summer'', ''SELECT * FROM pbx.problem'').';

CREATE FUNCTION pbx.draft_explain(domain text, draft text, caller text, number text, at timestamptz DEFAULT now(), from_number text DEFAULT NULL) RETURNS SETOF pbx.decision LANGUAGE sql AS $$
    SELECT d.* FROM pbx.draft_query($1, $2, format('SELECT * FROM pbx.explain(%L, %L, %L, %L, %L)', $1, $3, $4, $5, $6)) AS q, jsonb_populate_record(NULL::pbx.decision, q) AS d
$$;
COMMENT ON FUNCTION pbx.draft_explain(text, text, text, text, timestamptz, text) IS 'What explain() would tell if the draft were active.';

CREATE FUNCTION pbx.draft_test(domain text, draft text) RETURNS TABLE (name text, passed boolean, expected text, got text) LANGUAGE sql AS $$
    SELECT q ->> 'name', (q ->> 'passed')::boolean, q ->> 'expected', q ->> 'got'
    FROM pbx.draft_query($1, $2, format('SELECT * FROM pbx.dialplan_test_run(%L)', $1)) AS q
$$;
COMMENT ON FUNCTION pbx.draft_test(text, text) IS 'What the tests of the domain, and those that the draft adds, would say if the draft were active.';

-- Versions ---------------------------------------------------------------------------------------------

CREATE TABLE pbx.dialplan_version (
    domain      text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE DEFERRABLE,
    version     integer NOT NULL CHECK (version > 0),
    at          timestamptz NOT NULL DEFAULT now(),
    who         text NOT NULL DEFAULT session_user,
    draft       text,
    note        text NOT NULL DEFAULT '',
    overridden  text[] NOT NULL DEFAULT '{}',
    back_to     integer,
    changes     integer NOT NULL,
    transaction bigint NOT NULL,
    first_audit bigint,
    last_audit  bigint,
    PRIMARY KEY (domain, version)
);
COMMENT ON TABLE pbx.dialplan_version IS 'What was activated and rolled back in a domain, in order. What each changed: pbx.audit of its transaction.';
COMMENT ON COLUMN pbx.dialplan_version.domain IS 'The domain.';
COMMENT ON COLUMN pbx.dialplan_version.version IS 'Its number; 0 is what was before the first.';
COMMENT ON COLUMN pbx.dialplan_version.at IS 'When.';
COMMENT ON COLUMN pbx.dialplan_version.who IS 'By whom.';
COMMENT ON COLUMN pbx.dialplan_version.draft IS 'The draft that was activated; NULL: it was rolled back.';
COMMENT ON COLUMN pbx.dialplan_version.note IS 'What for.';
COMMENT ON COLUMN pbx.dialplan_version.overridden IS 'Tests that failed and were overridden.';
COMMENT ON COLUMN pbx.dialplan_version.back_to IS 'The version that it was rolled back to; NULL: it was activated.';
COMMENT ON COLUMN pbx.dialplan_version.changes IS 'How many rows of pbx.audit it has made.';
COMMENT ON COLUMN pbx.dialplan_version.transaction IS 'The transaction, as in pbx.audit.';
COMMENT ON COLUMN pbx.dialplan_version.first_audit IS 'The first of its rows in pbx.audit; NULL: it changed nothing.';
COMMENT ON COLUMN pbx.dialplan_version.last_audit IS 'The last of them.';
CALL pbx.audit_watch('pbx.dialplan_version');

CREATE FUNCTION pbx.version_make(domain text, changes pbx.row_change[], override boolean, draft text, note text, back_to integer) RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    mark bigint := coalesce((SELECT max(id) FROM pbx.audit WHERE transaction = pg_current_xact_id()::text::bigint), 0);
    v integer;
BEGIN
    PERFORM pbx.changes_make($2, $3);
    INSERT INTO pbx.dialplan_version (domain, version, draft, note, back_to, transaction, changes, first_audit, last_audit)
    SELECT $1, coalesce((SELECT max(x.version) FROM pbx.dialplan_version AS x WHERE x.domain = $1), 0) + 1, $4, coalesce($5, ''), $6, pg_current_xact_id()::text::bigint,
           count(*), min(a.id), max(a.id)
    FROM pbx.audit AS a WHERE a.transaction = pg_current_xact_id()::text::bigint AND a.id > mark
    RETURNING version INTO v;
    RETURN v;
END $$;
COMMENT ON FUNCTION pbx.version_make(text, pbx.row_change[], boolean, text, text, integer) IS 'For activate() and rollback(): makes changes and numbers what is then.';

CREATE FUNCTION pbx.activate(domain text, draft text, override boolean DEFAULT false, note text DEFAULT NULL) RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v integer;
    failed record;
BEGIN
    PERFORM FROM pbx.draft AS d WHERE (d.domain, d.draft) = ($1, $2) FOR UPDATE;
    v := pbx.version_make($1, pbx.draft_changes($1, $2), false, $2, coalesce($4, (SELECT d.note FROM pbx.draft AS d WHERE (d.domain, d.draft) = ($1, $2))), NULL);
    SELECT array_agg(t.name ORDER BY t.name) AS names, string_agg(format('%s: expected %s, got %s', t.name, t.expected, t.got), E'\n' ORDER BY t.name) AS told
    INTO failed FROM pbx.dialplan_test_run($1) AS t WHERE NOT t.passed;
    IF failed.names IS NOT NULL AND NOT $3 THEN
        RAISE EXCEPTION 'tests fail: %', failed.told USING ERRCODE = 'check_violation', HINT = 'pbx.draft_explain() tells why. activate(..., override => true) goes over them, which is recorded.';
    END IF;
    UPDATE pbx.dialplan_version AS x SET overridden = failed.names WHERE (x.domain, x.version) = ($1, v) AND failed.names IS NOT NULL;
    DELETE FROM pbx.draft AS d WHERE (d.domain, d.draft) = ($1, $2);
    RETURN v;
END $$;
COMMENT ON FUNCTION pbx.activate(text, text, boolean, text) IS 'Makes a draft the dialplan, all of it at COMMIT, and returns the number of the version. Refused when a test of the domain fails, unless override, and when rows of the draft were changed by others since (draft_conflict(), draft_rebase()).';

CREATE FUNCTION pbx.rollback(domain text, version integer DEFAULT NULL, override boolean DEFAULT false) RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    last pbx.dialplan_version;
    target integer;
    net pbx.row_change[];
    known bigint;
BEGIN
    SELECT * INTO last FROM pbx.dialplan_version AS x WHERE x.domain = $1 ORDER BY x.version DESC LIMIT 1 FOR UPDATE;
    target := coalesce($2, coalesce(last.back_to, last.version) - 1);
    IF last.version IS NULL OR target < 0 OR target >= last.version THEN
        RAISE EXCEPTION 'domain % has no version % to go back to', $1, coalesce(target::text, 'at all') USING ERRCODE = 'no_data_found', HINT = 'See pbx.dialplan_version.';
    END IF;
    SELECT count(*), pbx.changes_net(array_agg(ROW(a."table", coalesce(a.key_before, a.key), a.key, a.old, a.new)::pbx.row_change ORDER BY x.version, a.id)) INTO known, net
    FROM pbx.dialplan_version AS x JOIN pbx.audit AS a ON a.transaction = x.transaction AND a.at = x.at AND a.id BETWEEN x.first_audit AND x.last_audit
    WHERE x.domain = $1 AND x.version > target;
    IF known <> (SELECT sum(x.changes) FROM pbx.dialplan_version AS x WHERE x.domain = $1 AND x.version > target) THEN
        RAISE EXCEPTION 'domain %: what was changed since version % is no longer all in pbx.audit', $1, target USING ERRCODE = 'no_data_found';
    END IF;
    RETURN pbx.version_make($1, pbx.changes_back(net), $3, NULL, format('back to version %s', target), target);
END $$;
COMMENT ON FUNCTION pbx.rollback(text, integer, boolean) IS 'Takes back what was activated after a version, by default the last one that was; 0: all. What was changed otherwise stays; where it concerns the same rows it is refused, unless override. Returns the number of the version that is then, to which one can go forth again.';
