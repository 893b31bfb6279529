-- Who changed what: every row that an administrator writes, before and after; and the way back.
--
-- One row of the log a row that was changed, written by triggers once a statement, so that a large import costs the same a row as a small one.
-- What must not be read there (passwords, PINs) is not in it, nor are sounds: only that they were there, and whether they became others.

CREATE TABLE pbx.audit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction bigint NOT NULL,
    at          timestamptz NOT NULL,
    who         text NOT NULL,
    role        text,
    domain      text,
    "table"     text NOT NULL,
    operation   text NOT NULL CHECK (operation IN ('INSERT', 'UPDATE', 'DELETE')),
    key         text NOT NULL,
    key_before  text,
    old         jsonb,
    new         jsonb
);
COMMENT ON TABLE pbx.audit IS 'Every change of what an administrator writes. pbx.history() reads it to people, pbx.undo() takes one transaction back. Kept for ever, unless you delete rows that are old.';
COMMENT ON COLUMN pbx.audit.id IS 'Order of the changes within a transaction.';
COMMENT ON COLUMN pbx.audit.transaction IS 'The transaction, as pg_current_xact_id() numbers them.';
COMMENT ON COLUMN pbx.audit.at IS 'When it began.';
COMMENT ON COLUMN pbx.audit.who IS 'Who had logged in.';
COMMENT ON COLUMN pbx.audit.role IS 'The role he had taken on (SET ROLE); NULL: none.';
COMMENT ON COLUMN pbx.audit.domain IS 'The domain; NULL: the row belongs to none.';
COMMENT ON COLUMN pbx.audit."table" IS 'The table.';
COMMENT ON COLUMN pbx.audit.operation IS 'INSERT, UPDATE or DELETE.';
COMMENT ON COLUMN pbx.audit.key IS 'Key of the row, joined with "/".';
COMMENT ON COLUMN pbx.audit.key_before IS 'Its key before, if that changed, too.';
COMMENT ON COLUMN pbx.audit.old IS 'The row before; NULL: there was none. Passwords and PINs are "(secret)", sounds "(n bytes)".';
COMMENT ON COLUMN pbx.audit.new IS 'The row after; NULL: it is gone. "(another secret)": the password or PIN was changed.';
CREATE INDEX audit_transaction ON pbx.audit (transaction);
COMMENT ON INDEX pbx.audit_transaction IS 'Changes of a transaction.';
CREATE INDEX audit_domain ON pbx.audit (domain, id);
COMMENT ON INDEX pbx.audit_domain IS 'Changes of a domain, in order.';

CREATE FUNCTION pbx.audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'pbx.audit is written by the triggers of the tables alone' USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;
COMMENT ON FUNCTION pbx.audit_keep() IS 'Trigger: refuses that the log is rewritten.';
CREATE TRIGGER audit_keep BEFORE UPDATE OR TRUNCATE ON pbx.audit EXECUTE FUNCTION pbx.audit_keep();
CREATE TRIGGER audit_write BEFORE INSERT ON pbx.audit FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION pbx.audit_keep();

-- What is in it of a row ------------------------------------------------------------------------------

CREATE FUNCTION pbx.audit_hidden(tab regclass) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(attname::text ORDER BY attnum), '{}') FROM pg_attribute
    WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
      AND (atttypid = 'bytea'::regtype OR atttypid = 'text'::regtype AND attname ~ '(password|secret|_hash$|^ha1_|^pin$)') AND attgenerated = ''
$$;
COMMENT ON FUNCTION pbx.audit_hidden(regclass) IS 'Columns of a table that are not told in pbx.audit: secrets, known by their names, and sounds.';

CREATE FUNCTION pbx.audit_derived(tab regclass) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(attname::text ORDER BY attnum), '{}') FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND attgenerated <> ''
$$;
COMMENT ON FUNCTION pbx.audit_derived(regclass) IS 'Columns of a table that follow from others.';

CREATE FUNCTION pbx.audit_key(tab regclass) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT coalesce((
        SELECT array_agg(a.attname::text ORDER BY array_position(i.indkey::smallint[], a.attnum))
        FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = $1 AND i.indisprimary), CASE $1 WHEN 'pbx.pass_header'::regclass THEN '{domain,trunk,direction,header}'::text[] END)
$$;
COMMENT ON FUNCTION pbx.audit_key(regclass) IS 'Columns of a table by which its rows are told apart: those of its primary key, in its order.';

CREATE FUNCTION pbx.audit_same(tab regclass, one text, other text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg(format('%1$s.%3$I %4$s %2$s.%3$I', one, other, a.attname, CASE WHEN a.attnotnull THEN '=' ELSE 'IS NOT DISTINCT FROM' END), ' AND ')
    FROM pg_attribute AS a WHERE a.attrelid = $1 AND a.attname = ANY (pbx.audit_key($1))
$$;
COMMENT ON FUNCTION pbx.audit_same(regclass, text, text) IS 'The condition that two of a table''s rows, by their aliases, have the same key.';

CREATE FUNCTION pbx.audit_is_mask(value jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(value #>> '{}' ~ '^\((another )?(secret|[0-9]+ bytes)\)$', false)
$$;
COMMENT ON FUNCTION pbx.audit_is_mask(jsonb) IS 'Does it stand in pbx.audit for a value that isn''t told?';

-- Times and intervals are written the same in all sessions, so that they can be compared.
CREATE FUNCTION pbx.audit_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'postgres' SET bytea_output = 'hex' AS $$
DECLARE
    derived text := quote_literal(pbx.audit_derived(TG_RELID));
    key_old text;
    key_new text;
    masks_old text := '';
    masks_new text := '';
    own text := CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = TG_RELID AND attname = 'domain' AND NOT attisdropped)
                     THEN '%s.domain' ELSE 'NULL' END;
    hidden text;
    mask text;
    changes text;
BEGIN
    SELECT format('concat_ws(''/'', %s)', string_agg(format('o.%I', k), ', ' ORDER BY n)), format('concat_ws(''/'', %s)', string_agg(format('n.%I', k), ', ' ORDER BY n))
    INTO key_old, key_new FROM unnest(pbx.audit_key(TG_RELID)) WITH ORDINALITY AS u(k, n);
    FOREACH hidden IN ARRAY pbx.audit_hidden(TG_RELID) LOOP
        mask := CASE (SELECT atttypid FROM pg_attribute WHERE attrelid = TG_RELID AND attname = hidden)
                WHEN 'bytea'::regtype THEN format('length(%%1$s.%I) || '' bytes''', hidden) ELSE '''secret''' END;
        masks_old := masks_old || format(' || jsonb_build_object(%L, CASE WHEN o.%I IS NOT NULL THEN ''('' || %s || '')'' END)', hidden, hidden, format(mask, 'o'));
        masks_new := masks_new || format(' || jsonb_build_object(%L, CASE WHEN n.%I IS NOT NULL THEN ''('' || %s%s || '')'' END)', hidden, hidden,
            CASE TG_OP WHEN 'UPDATE' THEN format('CASE WHEN o.%I <> n.%I THEN ''another '' ELSE '''' END || ', hidden, hidden) ELSE '' END, format(mask, 'n'));
    END LOOP;
    changes := CASE TG_OP
        WHEN 'INSERT' THEN format('SELECT %s, %s, NULL, NULL::jsonb, to_jsonb(n) - %s::text[]%s FROM new_rows AS n', format(own, 'n'), key_new, derived, masks_new)
        WHEN 'DELETE' THEN format('SELECT %s, %s, NULL, to_jsonb(o) - %s::text[]%s, NULL::jsonb FROM old_rows AS o', format(own, 'o'), key_old, derived, masks_old)
        -- A row is appended to both at the same time: the n-th of one is the n-th of the other.
        ELSE format('SELECT %s, %s, nullif(%s, %s), to_jsonb(o) - ''#''::text - %s::text[]%s, to_jsonb(n) - ''#''::text - %s::text[]%s
                     FROM (SELECT row_number() OVER () AS "#", x.* FROM old_rows AS x) AS o JOIN (SELECT row_number() OVER () AS "#", x.* FROM new_rows AS x) AS n USING ("#")
                     WHERE o IS DISTINCT FROM n', format(own, 'n'), key_new, key_old, key_new, derived, masks_old, derived, masks_new) END;
    EXECUTE format('INSERT INTO pbx.audit (transaction, at, who, role, "table", operation, domain, key, key_before, old, new)
                    SELECT %s, now(), %L, %L, %L, %L, c.* FROM (%s) AS c', pg_current_xact_id(), session_user,
                   nullif(current_setting('role'), 'none'), TG_TABLE_NAME, TG_OP, changes);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.audit_note() IS 'Trigger: writes what a statement changed to pbx.audit.';
-- Whoever may not execute it can't make a trigger of it on a table of his own.
REVOKE EXECUTE ON FUNCTION pbx.audit_note() FROM PUBLIC;

CREATE PROCEDURE pbx.audit_watch(VARIADIC tabs regclass[]) LANGUAGE plpgsql AS $$
DECLARE
    tab regclass;
    fk record;
BEGIN
    FOREACH tab IN ARRAY tabs LOOP
        EXECUTE format('CREATE TRIGGER audit_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pbx.audit_note()', tab);
        EXECUTE format('CREATE TRIGGER audit_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
                        FOR EACH STATEMENT EXECUTE FUNCTION pbx.audit_note()', tab);
        EXECUTE format('CREATE TRIGGER audit_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION pbx.audit_note()', tab);
    END LOOP;
    -- Rows go back, or come from a draft, in whatever order. Otherwise they are checked at the statement, as before. All of the schema, because
    -- SET CONSTRAINTS takes a name for all constraints that have it.
    FOR fk IN SELECT conrelid::regclass AS tab, conname FROM pg_constraint WHERE connamespace = 'pbx'::regnamespace AND contype = 'f' AND NOT condeferrable LOOP
        EXECUTE format('ALTER TABLE %s ALTER CONSTRAINT %I DEFERRABLE INITIALLY IMMEDIATE', fk.tab, fk.conname);
    END LOOP;
END $$;
COMMENT ON PROCEDURE pbx.audit_watch(regclass[]) IS 'For migrations: has the changes of tables recorded in pbx.audit.';

CALL pbx.audit_watch('pbx.domain', 'pbx.setting', 'pbx.context', 'pbx.context_include', 'pbx.extension', 'pbx.credential', 'pbx.forward', 'pbx.mailbox', 'pbx.greeting',
    'pbx.prompt', 'pbx.music_class', 'pbx.music_file', 'pbx.ring_group', 'pbx.ring_group_member', 'pbx.menu', 'pbx.menu_choice', 'pbx.conference',
    'pbx.trunk', 'pbx.trunk_address', 'pbx.trunk_group', 'pbx.trunk_group_member', 'pbx.inbound_number', 'pbx.emergency_number', 'pbx.blocked_caller',
    'pbx.route', 'pbx.step', 'pbx.schedule', 'pbx.schedule_period', 'pbx.schedule_holiday', 'pbx.pass_header', 'pbx.certificate', 'pbx.network', 'pbx.listener',
    'pbx.tone_plan', 'pbx.retention');

-- For people -----------------------------------------------------------------------------------------

CREATE FUNCTION pbx.row_difference(old jsonb, new jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(CASE WHEN $1 IS NULL OR $2 IS NULL THEN format('%s %s', c.key, c.value)
                           ELSE format('%s %s -> %s', c.key, coalesce($1 -> c.key, 'null'), coalesce($2 -> c.key, 'null')) END, ', ' ORDER BY c.key)
    FROM jsonb_each(coalesce($2, '{}') || coalesce($1, '{}')) AS c
    WHERE CASE WHEN $1 IS NULL OR $2 IS NULL THEN c.value NOT IN ('null', '""', '[]', '{}') ELSE ($1 -> c.key) IS DISTINCT FROM ($2 -> c.key) END
$$;
COMMENT ON FUNCTION pbx.row_difference(jsonb, jsonb) IS 'What is different between two versions of a row, or what is in the only one.';

CREATE FUNCTION pbx.history(domain text DEFAULT NULL, since timestamptz DEFAULT '-infinity', "table" text DEFAULT NULL, key text DEFAULT NULL)
    RETURNS TABLE (at timestamptz, who text, transaction bigint, what text, row_name text, changes text) LANGUAGE sql STABLE AS $$
    SELECT a.at, a.who || coalesce(' as ' || a.role, ''), a.transaction, CASE a.operation WHEN 'INSERT' THEN 'new' WHEN 'DELETE' THEN 'gone' ELSE 'changed' END,
           format('%s %s', a."table", coalesce(a.key_before, a.key)), pbx.row_difference(a.old, a.new)
    FROM pbx.audit AS a
    WHERE ($1 IS NULL OR a.domain = $1) AND a.at >= $2 AND ($3 IS NULL OR a."table" = $3) AND ($4 IS NULL OR $4 IN (a.key, a.key_before))
    ORDER BY a.id DESC
$$;
COMMENT ON FUNCTION pbx.history(text, timestamptz, text, text) IS 'What was changed in a domain (NULL: anywhere) since a time, in a table, of a row: newest first.';

-- Changes as a set, and how they are made ---------------------------------------------------------------

CREATE TYPE pbx.row_change AS (
    "table"    text,
    key_before text,
    key        text,
    old        jsonb,
    new        jsonb
);
COMMENT ON TYPE pbx.row_change IS 'One row before and after.';
COMMENT ON COLUMN pbx.row_change."table" IS 'The table.';
COMMENT ON COLUMN pbx.row_change.key_before IS 'Its key before, or that which it gets.';
COMMENT ON COLUMN pbx.row_change.key IS 'Its key after, or that which it had.';
COMMENT ON COLUMN pbx.row_change.old IS 'The row before; NULL: none.';
COMMENT ON COLUMN pbx.row_change.new IS 'The row after; NULL: none.';

CREATE FUNCTION pbx.changes_net(changes pbx.row_change[]) RETURNS pbx.row_change[] LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(changes) AS c WHERE c.key_before <> c.key) THEN
        RETURN (SELECT array_agg(ROW(x."table", x.key, x.key, x.old, x.new)::pbx.row_change ORDER BY x.n) FROM (
            SELECT c."table", c.key, min(c.n) AS n, (array_agg(c.old ORDER BY c.n))[1] AS old, (array_agg(c.new ORDER BY c.n DESC))[1] AS new
            FROM unnest(changes) WITH ORDINALITY AS c("table", key_before, key, old, new, n) GROUP BY c."table", c.key) AS x
            WHERE x.old IS DISTINCT FROM x.new);
    END IF;
    -- A row that got another key is followed: each change goes on from the last one before that left the row where this one found it.
    RETURN (WITH RECURSIVE c AS (
            SELECT * FROM unnest(changes) WITH ORDINALITY AS c("table", key_before, key, old, new, n)
        ), came AS (
            SELECT n, "table", key_before AS key, false AS leaves FROM c UNION ALL SELECT n, "table", key, true FROM c
        ), link AS (
            SELECT n, leaves, lag(n) OVER slot AS before, lag(leaves) OVER slot AS is_there FROM came WINDOW slot AS (PARTITION BY "table", key ORDER BY n, leaves)
        ), chain AS (
            SELECT l.n, l.n AS root FROM link AS l WHERE NOT l.leaves AND l.is_there IS NOT TRUE
            UNION ALL
            SELECT l.n, chain.root FROM chain JOIN link AS l ON l.before = chain.n AND NOT l.leaves AND l.is_there
        )
        SELECT array_agg(ROW(x."table", x.key_before, x.key, x.old, x.new)::pbx.row_change ORDER BY x.root) FROM (
            SELECT chain.root, c."table", (array_agg(c.key_before ORDER BY c.n))[1] AS key_before, (array_agg(c.key ORDER BY c.n DESC))[1] AS key,
                   (array_agg(c.old ORDER BY c.n))[1] AS old, (array_agg(c.new ORDER BY c.n DESC))[1] AS new
            FROM chain JOIN c USING (n) GROUP BY chain.root, c."table") AS x
        WHERE x.old IS DISTINCT FROM x.new);
END $$;
COMMENT ON FUNCTION pbx.changes_net(pbx.row_change[]) IS 'What changes made one after the other amount to: each row once, as it was before the first and is after the last.';

CREATE FUNCTION pbx.changes_back(changes pbx.row_change[]) RETURNS pbx.row_change[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(ROW(c."table", c.key, c.key_before, c.new, c.old)::pbx.row_change ORDER BY c.n DESC)
    FROM unnest(changes) WITH ORDINALITY AS c("table", key_before, key, old, new, n)
$$;
COMMENT ON FUNCTION pbx.changes_back(pbx.row_change[]) IS 'The changes that take changes back.';

CREATE FUNCTION pbx.row_is(have jsonb, wanted jsonb, but text[] DEFAULT '{}') RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN have IS NULL OR wanted IS NULL THEN have IS NULL AND wanted IS NULL ELSE
        -- A column that is younger than the record isn't compared.
        NOT EXISTS (SELECT FROM jsonb_each(wanted - but) AS w WHERE have ? w.key AND have -> w.key <> w.value) END
$$;
COMMENT ON FUNCTION pbx.row_is(jsonb, jsonb, text[]) IS 'Is a row as it was recorded, but for some columns?';

CREATE FUNCTION pbx.changes_now(changes pbx.row_change[]) RETURNS TABLE (n bigint, "table" text, key_before text, key text, old jsonb, new jsonb, have jsonb, hidden text[])
    LANGUAGE plpgsql STABLE SET timezone = 'UTC' SET intervalstyle = 'postgres' SET bytea_output = 'hex' AS $$
#variable_conflict use_column
DECLARE
    tab regclass;
BEGIN
    FOR tab IN SELECT DISTINCT format('pbx.%I', c."table")::regclass FROM unnest(changes) AS c ORDER BY 1 LOOP
        RETURN QUERY EXECUTE format($q$
            -- Of a row that comes to where another one leaves there is nothing yet.
            SELECT c.n, c."table", c.key_before, c.key, c.old, c.new, CASE WHEN c.old IS NULL AND leaves.key IS NOT NULL THEN NULL ELSE t.have - $3 END, $2
            FROM unnest($1) WITH ORDINALITY AS c("table", key_before, key, old, new, n)
            LEFT JOIN (SELECT DISTINCT o.key_before AS key FROM unnest($1) AS o WHERE o."table" = $4 AND o.old IS NOT NULL) AS leaves ON leaves.key = c.key
            CROSS JOIN LATERAL jsonb_populate_record(NULL::%1$s, coalesce(c.old, c.new)) AS k
            LEFT JOIN LATERAL (SELECT to_jsonb(x) AS have FROM %1$s AS x WHERE %2$s) AS t ON true
            WHERE c."table" = $4$q$, tab, pbx.audit_same(tab, 'x', 'k'))
        USING changes, pbx.audit_hidden(tab), pbx.audit_derived(tab), (SELECT relname::text FROM pg_class WHERE oid = tab);
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.changes_now(pbx.row_change[]) IS 'Changes with the rows as they are now.';

CREATE FUNCTION pbx.changes_conflict(changes pbx.row_change[]) RETURNS TABLE ("table" text, key text, problem text) LANGUAGE sql STABLE AS $$
    SELECT c."table", c.key_before, CASE
        WHEN c.have IS NULL THEN 'it is gone'
        WHEN c.old IS NULL THEN format('there is one already: %s', coalesce(pbx.row_difference(c.new - c.hidden, c.have - c.hidden), 'the same'))
        ELSE format('it was changed: %s', pbx.row_difference(c.old - c.hidden, c.have - c.hidden)) END
    FROM pbx.changes_now($1) AS c
    WHERE NOT pbx.row_is(c.have, c.old, c.hidden)
      -- Somebody else has made the same change.
      AND NOT (c.key = c.key_before AND pbx.row_is(c.have, c.new, c.hidden))
    ORDER BY c.n
$$;
COMMENT ON FUNCTION pbx.changes_conflict(pbx.row_change[]) IS 'Rows that are no longer as changes found them, so that these can''t be made without loss.';

CREATE FUNCTION pbx.changes_rebase(changes pbx.row_change[]) RETURNS pbx.row_change[] LANGUAGE sql STABLE AS $$
    SELECT array_agg(ROW(c."table", c.key_before, c.key, c.have, c.new)::pbx.row_change ORDER BY c.n)
    FROM pbx.changes_now($1) AS c WHERE NOT (c.have IS NULL AND c.new IS NULL)
$$;
COMMENT ON FUNCTION pbx.changes_rebase(pbx.row_change[]) IS 'The same changes, of the rows as they are now.';

CREATE FUNCTION pbx.changes_write(changes pbx.row_change[], leaf_anew boolean) RETURNS void LANGUAGE plpgsql
    SET timezone = 'UTC' SET intervalstyle = 'postgres' SET bytea_output = 'hex' AS $$
#variable_conflict use_column
DECLARE
    way text;
    t record;
    cols text[];
    wanted pbx.row_change[];
BEGIN
    -- What goes away goes before what comes, in case both have a number; and after what is changed, so that it takes nothing along that is to stay.
    FOREACH way IN ARRAY CASE WHEN leaf_anew THEN '{DELETE,UPDATE,INSERT}'::text[] ELSE '{UPDATE,DELETE,INSERT}' END LOOP
        FOR t IN
            SELECT r.tab, r.name, r.again, pbx.audit_hidden(r.tab) AS hidden FROM (
                SELECT c.tab, c.name, leaf_anew AND pbx.audit_hidden(c.tab) = '{}' AND NOT EXISTS (SELECT FROM pg_constraint WHERE confrelid = c.tab) AS again
                FROM (SELECT DISTINCT c."table" AS name, format('pbx.%I', c."table")::regclass AS tab FROM unnest(changes) AS c) AS c) AS r ORDER BY r.name
        LOOP
            SELECT array_agg(c) INTO wanted FROM unnest(changes) AS c
            WHERE c."table" = t.name AND CASE way
                WHEN 'UPDATE' THEN c.old IS NOT NULL AND c.new IS NOT NULL AND NOT t.again
                WHEN 'DELETE' THEN c.old IS NOT NULL AND (c.new IS NULL OR t.again)
                ELSE c.new IS NOT NULL AND (c.old IS NULL OR t.again) END;
            CONTINUE WHEN wanted IS NULL;
            IF way = 'DELETE' THEN
                EXECUTE format('DELETE FROM %1$s AS x USING unnest($1) AS c, jsonb_populate_record(NULL::%1$s, c.old) AS k WHERE %2$s', t.tab, pbx.audit_same(t.tab, 'x', 'k'))
                USING wanted;
                CONTINUE;
            END IF;
            SELECT array_agg(DISTINCT n.key) INTO cols FROM unnest(wanted) AS c, jsonb_each(c.new) AS n
            WHERE (way = 'INSERT' OR c.old -> n.key IS DISTINCT FROM n.value) AND NOT (n.key = ANY (t.hidden) AND pbx.audit_is_mask(n.value))
              AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = t.tab AND a.attname = n.key AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '');
            IF way = 'UPDATE' AND cols IS NOT NULL THEN
                EXECUTE format('UPDATE %1$s AS x SET %3$s FROM unnest($1) AS c, jsonb_populate_record(NULL::%1$s, c.old) AS k, jsonb_populate_record(NULL::%1$s, c.new) AS p
                                WHERE %2$s', t.tab, pbx.audit_same(t.tab, 'x', 'k'), (SELECT string_agg(format('%1$I = p.%1$I', u), ', ') FROM unnest(cols) AS u)) USING wanted;
            ELSIF way = 'INSERT' THEN
                -- A trunk's password, which isn't known, is empty then: without one it could not have a user.
                EXECUTE format('INSERT INTO %1$s (%2$s) SELECT %3$s FROM unnest($1) AS c, jsonb_populate_record(NULL::%1$s, c.new) AS p', t.tab,
                    (SELECT string_agg(format('%I', u), ', ') FROM unnest(cols || CASE WHEN t.name = 'trunk' AND NOT 'auth_password' = ANY (cols) THEN '{auth_password}'::text[] ELSE '{}' END) AS u),
                    (SELECT string_agg(format('p.%I', u), ', ') FROM unnest(cols) AS u)
                        || CASE WHEN t.name = 'trunk' AND NOT 'auth_password' = ANY (cols) THEN ', CASE WHEN p.auth_user IS NOT NULL THEN '''' END' ELSE '' END) USING wanted;
            END IF;
        END LOOP;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.changes_write(pbx.row_change[], boolean) IS 'For changes_make(): the statements that make changes. leaf_anew: rows to which none refers are deleted and inserted, not updated.';

CREATE FUNCTION pbx.constraints_set(mode text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    names text;
BEGIN
    -- Not the one that numbers changes for servers: it holds up other commits, and what is only tried is not numbered.
    SELECT string_agg(DISTINCT format('%s.%I', c.connamespace::regnamespace, c.conname), ', ') INTO names
    FROM pg_constraint AS c
    WHERE c.condeferrable AND (mode <> 'INITIAL' OR c.condeferred)
      AND (c.conrelid = 'pbx.recheck'::regclass OR EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.conrelid AND t.tgname = 'audit_insert'))
      AND NOT EXISTS (SELECT FROM pg_constraint AS o WHERE (o.connamespace, o.conname) = (c.connamespace, c.conname) AND NOT o.condeferrable);
    EXECUTE format('SET CONSTRAINTS %s %s', names, CASE mode WHEN 'IMMEDIATE' THEN mode ELSE 'DEFERRED' END);
END $$;
COMMENT ON FUNCTION pbx.constraints_set(text) IS 'Checks what is checked at COMMIT now (IMMEDIATE), leaves all checks until COMMIT (DEFERRED), or those that always wait for it (INITIAL).';

CREATE FUNCTION pbx.changes_make(changes pbx.row_change[], override boolean DEFAULT false) RETURNS SETOF pbx.row_change LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    mark bigint := coalesce((SELECT max(id) FROM pbx.audit WHERE transaction = pg_current_xact_id()::text::bigint), 0);
    problems text;
    missing text;
BEGIN
    IF changes IS NULL THEN
        RETURN;
    END IF;
    SELECT string_agg(format('%s %s: %s', c."table", c.key, c.problem), E'\n' ORDER BY c."table", c.key) INTO problems
    FROM pbx.changes_conflict(changes) AS c WHERE NOT override;
    IF problems IS NOT NULL THEN
        RAISE EXCEPTION 'rows were changed since: %', problems USING ERRCODE = 'serialization_failure',
            HINT = 'pbx.history() tells by whom. Override it, or take those changes back first.';
    END IF;
    changes := pbx.changes_rebase(changes);
    -- A sound that isn't recorded doesn't come back, and its row can't be without.
    changes := ARRAY(SELECT c FROM unnest(changes) AS c WHERE NOT (c.old IS NULL AND EXISTS (
        SELECT FROM jsonb_each(c.new) AS n WHERE n.value #>> '{}' ~ '^\(([0-9]+) bytes\)$' AND n.key = ANY (pbx.audit_hidden(format('pbx.%I', c."table")::regclass)))));
    PERFORM pbx.constraints_set('DEFERRED');
    BEGIN
        PERFORM pbx.changes_write(changes, false);
        PERFORM pbx.constraints_set('IMMEDIATE');
    EXCEPTION WHEN unique_violation THEN
        PERFORM pbx.constraints_set('DEFERRED');
        PERFORM pbx.changes_write(changes, true);
        PERFORM pbx.constraints_set('IMMEDIATE');
    END;
    PERFORM pbx.constraints_set('INITIAL');
    SELECT string_agg(format('%s %s', a."table", a.key), ', ' ORDER BY a.id) INTO missing
    FROM pbx.audit AS a
    WHERE NOT override AND a.transaction = pg_current_xact_id()::text::bigint AND a.id > mark AND a.operation = 'DELETE'
      AND NOT EXISTS (SELECT FROM unnest(changes) AS c WHERE c."table" = a."table" AND c.key_before = a.key);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'rows were added since, which would be lost: %', missing USING ERRCODE = 'serialization_failure', HINT = 'Override it, or delete them first.';
    END IF;
    RETURN QUERY SELECT a."table", coalesce(a.key_before, a.key), a.key, a.old, a.new FROM pbx.audit AS a
    WHERE a.transaction = pg_current_xact_id()::text::bigint AND a.id > mark ORDER BY a.id;
END $$;
COMMENT ON FUNCTION pbx.changes_make(pbx.row_change[], boolean) IS 'Makes changes, whatever their order, with all checks; refused when rows aren''t as the changes found them, unless override. Returns what was done.';

CREATE FUNCTION pbx.undo(transaction bigint, override boolean DEFAULT false) RETURNS TABLE (what text, row_name text, changes text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    net pbx.row_change[];
BEGIN
    -- In a database that was restored from a dump numbers begin anew: the last one of that number is meant.
    SELECT pbx.changes_net(array_agg(ROW(a."table", coalesce(a.key_before, a.key), a.key, a.old, a.new)::pbx.row_change ORDER BY a.id)) INTO net
    FROM pbx.audit AS a WHERE a.transaction = $1 AND a.at = (SELECT max(b.at) FROM pbx.audit AS b WHERE b.transaction = $1);
    IF NOT EXISTS (SELECT FROM pbx.audit AS a WHERE a.transaction = $1) THEN
        RAISE EXCEPTION 'transaction % has changed nothing that is recorded', $1 USING ERRCODE = 'no_data_found', HINT = 'pbx.history() has the numbers.';
    END IF;
    RETURN QUERY SELECT CASE WHEN c.old IS NULL THEN 'back' WHEN c.new IS NULL THEN 'gone' ELSE 'changed back' END, format('%s %s', c."table", c.key),
        pbx.row_difference(c.old, c.new)
    FROM pbx.changes_make(pbx.changes_back(net), $2) AS c;
    RETURN QUERY SELECT 'not back', format('%s %s', c."table", c.key), string_agg(format('%s is not recorded', u), ', ')
    FROM unnest(net) AS c, unnest(pbx.audit_hidden(format('pbx.%I', c."table")::regclass)) AS u
    WHERE c.old IS NOT NULL AND c.old ->> u IS NOT NULL AND (c.new IS NULL OR (c.old ->> u) IS DISTINCT FROM (c.new ->> u)) GROUP BY c."table", c.key;
END $$;
COMMENT ON FUNCTION pbx.undo(bigint, boolean) IS 'Takes back what a transaction changed, wholly or not at all; refused when one of its rows was changed since, unless override. Passwords, PINs and sounds can''t come back: it says which.';
