-- A domain as a file: all that an administrator has set of it, to be kept, compared and brought elsewhere.
--
-- Tables take part by themselves: those whose changes pbx.audit records and that have a column domain. A row is written without its domain, so
-- that it is the same under another name, and without what follows from other columns.

CREATE FUNCTION pbx.domain_file_tables() RETURNS TABLE (tab regclass, name text, keys text[], derived text[], secrets text[], sounds text[]) LANGUAGE sql STABLE AS $$
    SELECT c.oid::regclass, c.relname::text, array_remove(pbx.audit_key(c.oid), 'domain'), pbx.audit_derived(c.oid), h.secrets, h.sounds
    FROM pg_class AS c, LATERAL (
        SELECT coalesce(array_agg(u) FILTER (WHERE a.atttypid <> 'bytea'::regtype), '{}') AS secrets, coalesce(array_agg(u) FILTER (WHERE a.atttypid = 'bytea'::regtype), '{}') AS sounds
        FROM unnest(pbx.audit_hidden(c.oid)) AS u JOIN pg_attribute AS a ON (a.attrelid, a.attname) = (c.oid, u)) AS h
    WHERE c.relnamespace = 'pbx'::regnamespace AND EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = 'audit_insert')
      AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'domain' AND NOT a.attisdropped)
      -- What was activated when is history, and of this database.
      AND c.relname <> 'dialplan_version'
    ORDER BY c.relname <> 'domain', c.relname COLLATE "C"
$$;
COMMENT ON FUNCTION pbx.domain_file_tables() IS 'The tables that are written to the file of a domain, the domain''s own first.';

CREATE FUNCTION pbx.domain_file_rows(tab regclass, domain text, but text[]) RETURNS SETOF jsonb LANGUAGE plpgsql STABLE
    SET timezone = 'UTC' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET datestyle = 'ISO' AS $$
DECLARE
    cols text;
    sorted text;
BEGIN
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO cols
    FROM pg_attribute AS a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'domain' AND a.attname <> ALL ($3);
    -- The same wherever it is asked, whatever the database's language.
    SELECT string_agg(quote_ident(u) || CASE WHEN a.atttypid = 'text'::regtype THEN ' COLLATE "C"' ELSE '' END, ', ' ORDER BY n) INTO sorted
    FROM unnest(pbx.audit_key($1)) WITH ORDINALITY AS k(u, n) JOIN pg_attribute AS a ON (a.attrelid, a.attname) = ($1, u);
    RETURN QUERY EXECUTE format('SELECT to_jsonb(s) FROM (SELECT %s FROM %s WHERE domain = $1 ORDER BY %s) AS s', cols, $1, sorted) USING $2;
END $$;
COMMENT ON FUNCTION pbx.domain_file_rows(regclass, text, text[]) IS 'The rows of a domain in a table, sorted by their keys, without the domain and some other columns.';

CREATE FUNCTION pbx.domain_file_key("row" jsonb, keys text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_agg($1 -> k ORDER BY n), '[]') FROM unnest($2) WITH ORDINALITY AS u(k, n)
$$;
COMMENT ON FUNCTION pbx.domain_file_key(jsonb, text[]) IS 'By what a row of a file is told apart from others of its table.';

CREATE FUNCTION pbx.domain_file_name("table" text, "row" jsonb, keys text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT concat_ws(' ', $1, nullif((SELECT string_agg($2 ->> k, '/' ORDER BY n) FROM unnest($3) WITH ORDINALITY AS u(k, n)), ''))
$$;
COMMENT ON FUNCTION pbx.domain_file_name(text, jsonb, text[]) IS 'What a row of a file is called to people: "extension 1001".';

CREATE FUNCTION pbx.export_domain(domain text, secrets boolean DEFAULT false, sounds boolean DEFAULT false) RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT FROM pbx.domain AS d WHERE d.domain = $1) THEN
        RAISE EXCEPTION 'there is no domain %', $1 USING ERRCODE = 'undefined_object';
    ELSIF $2 AND EXISTS (SELECT FROM pbx.domain_file_tables() AS t, unnest(t.secrets) AS u WHERE NOT has_column_privilege(t.tab, u, 'SELECT')) THEN
        RAISE EXCEPTION 'domain %: % may not read passwords and PINs', $1, current_user USING ERRCODE = 'insufficient_privilege', HINT = 'Leave out secrets => true.';
    END IF;
    RETURN (SELECT jsonb_pretty(jsonb_build_object('format', 'cordboard domain', 'schema', (SELECT max(version) FROM pbx.version), 'domain', $1, 'tables', jsonb_object_agg(t.name, (
        SELECT coalesce(jsonb_agg(r ORDER BY n), '[]')
        FROM pbx.domain_file_rows(t.tab, $1, t.derived || CASE WHEN $2 THEN '{}' ELSE t.secrets END || CASE WHEN $3 THEN '{}' ELSE t.sounds END) WITH ORDINALITY AS u(r, n)))))
        FROM pbx.domain_file_tables() AS t);
END $$;
COMMENT ON FUNCTION pbx.export_domain(text, boolean, boolean) IS 'All that is set of a domain as one text (JSON), always in the same order, to be kept and compared: pbx.import_domain() reads it. Passwords'' hashes, PINs and trunks'' passwords only with secrets, for those who may read them; recorded greetings and prompts only with sounds. Calls, messages, drafts and versions are not in it.';

-- Reading it -------------------------------------------------------------------------------------------

CREATE FUNCTION pbx.domain_file_read(tab regclass, name text, keys text[], rows jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE
    SET timezone = 'UTC' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET datestyle = 'ISO' AS $$
DECLARE
    read CONSTANT text := format('SELECT coalesce(jsonb_agg((SELECT jsonb_object_agg(k, to_jsonb(p) -> k) FROM jsonb_object_keys(r) AS k) ORDER BY n), ''[]'')
                                  FROM jsonb_array_elements($1) WITH ORDINALITY AS u(r, n), jsonb_populate_record(NULL::%s, r) AS p', tab);
    one jsonb;
    given jsonb;
    stranger text;
BEGIN
    IF jsonb_typeof($4) <> 'array' OR EXISTS (SELECT FROM jsonb_array_elements($4) AS r WHERE jsonb_typeof(r) <> 'object') THEN
        RAISE EXCEPTION 'table %: it isn''t a list of rows', $2 USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT format('%s: there is no column %s', pbx.domain_file_name($2, r, $3), k) INTO stranger
    FROM jsonb_array_elements($4) AS r, jsonb_object_keys(r) AS k
    WHERE k = 'domain' OR NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = $1 AND a.attname = k AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') LIMIT 1;
    IF stranger IS NOT NULL THEN
        RAISE EXCEPTION '%', stranger USING ERRCODE = 'undefined_column';
    END IF;
    BEGIN
        EXECUTE read INTO given USING $4;
    EXCEPTION WHEN data_exception OR datatype_mismatch OR check_violation THEN
        FOR one IN SELECT r FROM jsonb_array_elements($4) AS r LOOP
            BEGIN
                EXECUTE read INTO given USING jsonb_build_array(one);
            EXCEPTION WHEN data_exception OR datatype_mismatch OR check_violation THEN
                RAISE EXCEPTION '%: %', pbx.domain_file_name($2, one, $3), SQLERRM USING ERRCODE = SQLSTATE;
            END;
        END LOOP;
    END;
    SELECT format('%s: it is there twice', pbx.domain_file_name($2, (array_agg(r))[1], $3)) INTO stranger
    FROM jsonb_array_elements(given) AS r GROUP BY pbx.domain_file_key(r, $3) HAVING count(*) > 1 LIMIT 1;
    IF stranger IS NOT NULL THEN
        RAISE EXCEPTION '%', stranger USING ERRCODE = 'unique_violation';
    END IF;
    RETURN given;
END $$;
COMMENT ON FUNCTION pbx.domain_file_read(regclass, text, text[], jsonb) IS 'Rows of a file with values as the table would have them; tells the row that can''t be.';

CREATE FUNCTION pbx.domain_file_fit(document jsonb, domain text, is_draft boolean) RETURNS TABLE (fits jsonb, report jsonb) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    t record;
    r jsonb;
    is_new boolean;
    kept jsonb[];
    have jsonb;
    alone text[];
    col text;
    fix text;
    holder text;
BEGIN
    fits := '{}';
    report := '[]';
    FOR t IN SELECT * FROM pbx.domain_file_tables() AS x WHERE $1 -> 'tables' ? x.name LOOP
        kept := '{}';
        -- What is known among all domains belongs to one.
        alone := ARRAY(SELECT a.attname FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] AND a.attgenerated = ''
                       WHERE i.indrelid = t.tab AND i.indisunique AND i.indnatts = 1 AND a.attname <> 'domain');
        SELECT coalesce(jsonb_object_agg(pbx.domain_file_key(h, t.keys)::text, true), '{}') INTO have
        FROM pbx.domain_file_rows(t.tab, $2, t.derived || t.secrets || t.sounds) AS h;
        FOR r IN SELECT u FROM jsonb_array_elements(pbx.domain_file_read(t.tab, t.name, t.keys, $1 -> 'tables' -> t.name)) AS u LOOP
            is_new := NOT have ? pbx.domain_file_key(r, t.keys)::text;
            fix := NULL;
            IF is_draft THEN
                r := r - t.secrets - t.sounds;
            END IF;
            IF is_draft AND t.name = 'domain' AND r ->> 'realm' <> (SELECT d.realm FROM pbx.domain AS d WHERE d.domain = $2) THEN
                r := r - 'realm';
                report := report || jsonb_build_object('what', 'left out', 'row', 'domain', 'told', format('realm %s: that of a domain stays', $1 #>> '{tables,domain,0,realm}'));
            END IF;
            FOREACH col IN ARRAY alone LOOP
                CONTINUE WHEN coalesce(r ->> col, 'false') = 'false';
                EXECUTE format('SELECT x.domain FROM %1$s AS x, jsonb_populate_record(NULL::%1$s, $1) AS p WHERE x.%2$I = p.%2$I AND x.domain <> $2', t.tab, col) INTO holder USING r, $2;
                CONTINUE WHEN holder IS NULL;
                report := report || jsonb_build_object('what', 'left out', 'row', pbx.domain_file_name(t.name, r, t.keys), 'told', format('%s %s is domain %s''s', col, r ->> col, holder));
                IF col = ANY (t.keys) THEN
                    r := NULL;
                    EXIT;
                END IF;
                r := r || jsonb_build_object(col, CASE WHEN r -> col = 'true' THEN false END);
            END LOOP;
            CONTINUE WHEN r IS NULL;
            IF is_new AND cardinality(t.sounds) > 0 AND coalesce(r ->> t.sounds[1], r ->> 'path') IS NULL THEN
                report := report || jsonb_build_object('what', 'left out', 'row', pbx.domain_file_name(t.name, r, t.keys), 'told',
                    CASE WHEN is_draft THEN 'sounds are not kept in drafts' ELSE 'its sound is not in the file: export_domain(..., sounds => true)' END);
                CONTINUE;
            ELSIF is_new AND t.name = 'trunk' AND r ->> 'auth_user' IS NOT NULL AND r ->> 'auth_password' IS NULL THEN
                fix := format('UPDATE pbx.trunk SET auth_user = %L, auth_password = %L WHERE (domain, name) = (%L, %L)', r ->> 'auth_user', '<password>', $2, r ->> 'name');
                -- A trunk has both or none.
                r := r || CASE WHEN is_draft THEN '{"auth_user": null}'::jsonb ELSE '{"auth_password": ""}' END;
            ELSIF is_new AND t.name = 'credential' AND coalesce(r ->> 'ha1_md5', r ->> 'ha1_sha256', r ->> 'ha1_sha512_256') IS NULL THEN
                fix := format('SELECT pbx.set_password(%L, %L, %L)', $2, r ->> 'number', '<password>');
            ELSIF is_new AND t.name = 'mailbox' AND r ->> 'pin_hash' IS NULL THEN
                fix := format('SELECT pbx.set_pin(%L, %L, %L)', $2, r ->> 'number', '<PIN>');
            END IF;
            IF fix IS NOT NULL THEN
                report := report || jsonb_build_object('what', 'without secret', 'row', pbx.domain_file_name(t.name, r, t.keys), 'told', fix);
            END IF;
            kept := kept || r;
        END LOOP;
        fits := fits || jsonb_build_object(t.name, to_jsonb(kept));
    END LOOP;
    fits := jsonb_build_object('tables', fits);
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION pbx.domain_file_fit(jsonb, text, boolean) IS 'What of a file can become a domain''s, and what not: numbers and names that another domain has, sounds that aren''t in it, secrets in a draft.';

-- Writing it ---------------------------------------------------------------------------------------------

CREATE FUNCTION pbx.domain_file_run(statement text, rows jsonb, domain text, name text, keys text[]) RETURNS void LANGUAGE plpgsql
    SET timezone = 'UTC' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET datestyle = 'ISO' AS $$
DECLARE
    one jsonb;
    called text;
BEGIN
    EXECUTE $1 USING $2, $3;
EXCEPTION WHEN OTHERS THEN
    -- All at once, unless that fails: then the first one at which it does is told.
    FOR one IN SELECT r FROM jsonb_array_elements($2) AS r LOOP
        called := pbx.domain_file_name($4, one, $5);
        BEGIN
            EXECUTE $1 USING jsonb_build_array(one), $3;
        EXCEPTION WHEN OTHERS THEN
            RAISE EXCEPTION '%: %', called, SQLERRM USING ERRCODE = SQLSTATE;
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.domain_file_run(text, jsonb, text, text, text[]) IS 'Runs a statement on rows of a file; of an error it tells the row.';

CREATE FUNCTION pbx.domain_file_write(document jsonb, domain text, leaf_anew boolean) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    way text;
    t record;
    g record;
    again boolean;
    own text;
BEGIN
    FOREACH way IN ARRAY CASE WHEN leaf_anew THEN '{DELETE,UPDATE,INSERT}'::text[] ELSE '{UPDATE,DELETE,INSERT}' END LOOP
        FOR t IN SELECT * FROM pbx.domain_file_tables() AS x WHERE $1 -> 'tables' ? x.name LOOP
            again := leaf_anew AND t.secrets = '{}' AND t.sounds = '{}' AND NOT EXISTS (SELECT FROM pg_constraint WHERE confrelid = t.tab);
            own := format('FROM jsonb_array_elements($1) AS r, jsonb_populate_record(NULL::%s, r || jsonb_build_object(''domain'', $2)) AS p', t.tab);
            FOR g IN
                WITH have AS MATERIALIZED (
                    SELECT h AS have, pbx.domain_file_key(h, t.keys) AS key
                    FROM pbx.domain_file_rows(t.tab, $2, t.derived || ARRAY(SELECT a.attname::text FROM pg_attribute AS a
                        WHERE a.attrelid = t.tab AND a.attnum > 0 AND NOT a.attisdropped AND NOT has_column_privilege(t.tab, a.attnum, 'SELECT'))) AS h
                ), wanted AS MATERIALIZED (
                    SELECT w AS wanted, pbx.domain_file_key(w, t.keys) AS key FROM jsonb_array_elements($1 -> 'tables' -> t.name) AS w
                ), pair AS (
                    SELECT h.have, w.wanted, ARRAY(SELECT k.key FROM jsonb_each(w.wanted) AS k WHERE way = 'INSERT' OR way = 'UPDATE' AND h.have -> k.key IS DISTINCT FROM k.value ORDER BY 1) AS cols,
                           EXISTS (SELECT FROM jsonb_each(w.wanted) AS k WHERE h.have -> k.key IS DISTINCT FROM k.value) AS differs
                    FROM have AS h FULL JOIN wanted AS w ON h.key = w.key
                )
                -- Rows of which the same columns are said, in one statement.
                SELECT b.cols, jsonb_agg(CASE way WHEN 'DELETE' THEN b.have ELSE b.wanted END) AS rows FROM pair AS b
                WHERE CASE way WHEN 'UPDATE' THEN b.have IS NOT NULL AND b.wanted IS NOT NULL AND b.differs AND NOT again
                               WHEN 'DELETE' THEN b.have IS NOT NULL AND (b.wanted IS NULL OR again AND b.differs)
                               ELSE b.have IS NULL END
                GROUP BY b.cols
            LOOP
                PERFORM pbx.domain_file_run(CASE way
                    WHEN 'UPDATE' THEN format('UPDATE %s AS x SET %s %s WHERE x.domain = $2 AND %s', t.tab, (SELECT string_agg(format('%1$I = p.%1$I', u), ', ') FROM unnest(g.cols) AS u),
                                              own, pbx.audit_same(t.tab, 'x', 'p'))
                    WHEN 'DELETE' THEN format('DELETE FROM %s AS x USING %s WHERE x.domain = $2 AND %s', t.tab, substr(own, 6), pbx.audit_same(t.tab, 'x', 'p'))
                    ELSE format('INSERT INTO %s (%s) SELECT %s %s', t.tab, (SELECT string_agg(quote_ident(u), ', ') FROM unnest('{domain}' || g.cols) AS u),
                                (SELECT string_agg(format('p.%I', u), ', ') FROM unnest('{domain}' || g.cols) AS u), own) END, g.rows, $2, t.name, t.keys);
            END LOOP;
        END LOOP;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.domain_file_write(jsonb, text, boolean) IS 'For domain_file_make(): the statements that make the rows of a domain those of a file. leaf_anew: rows to which none refers are deleted and inserted, not updated.';

CREATE FUNCTION pbx.domain_file_make(document jsonb, domain text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    broken text;
    told text;
    in_table text;
    ref record;
BEGIN
    PERFORM pbx.constraints_set('DEFERRED');
    BEGIN
        PERFORM pbx.domain_file_write($1, $2, false);
    EXCEPTION WHEN unique_violation THEN
        PERFORM pbx.domain_file_write($1, $2, true);
    END;
    BEGIN
        PERFORM pbx.constraints_set('IMMEDIATE');
    EXCEPTION WHEN foreign_key_violation THEN
        GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME, in_table = TABLE_NAME, told = MESSAGE_TEXT;
        SELECT f.conrelid::regclass AS tab, f.confrelid::regclass AS parent, p.relname AS parent_name, string_agg(format('p.%I = x.%I', b.attname, a.attname), ' AND ') AS same,
               string_agg(format('x.%I IS NOT NULL', a.attname), ' AND ') AS refers, string_agg(format('x.%I', a.attname), ', ' ORDER BY k.n) FILTER (WHERE a.attname <> 'domain') AS cols
        INTO ref
        FROM pg_constraint AS f JOIN pg_class AS p ON p.oid = f.confrelid, unnest(f.conkey, f.confkey) WITH ORDINALITY AS k(own, other, n), pg_attribute AS a, pg_attribute AS b
        WHERE f.connamespace = 'pbx'::regnamespace AND f.contype = 'f' AND f.conname = broken AND f.conrelid = to_regclass(format('pbx.%I', in_table))
          AND (a.attrelid, a.attnum) = (f.conrelid, k.own) AND (b.attrelid, b.attnum) = (f.confrelid, k.other) GROUP BY f.oid, p.relname;
        IF ref.tab IS NOT NULL THEN
            EXECUTE format('SELECT format(''%%s %%s: there is no %%s %%s'', %L, concat_ws(''/'', %s), %L, concat_ws(''/'', %s)) FROM %s AS x
                            WHERE x.domain = $1 AND %s AND NOT EXISTS (SELECT FROM %s AS p WHERE %s) ORDER BY 1 LIMIT 1', in_table,
                (SELECT string_agg(format('x.%I', u), ', ') FROM unnest(array_remove(pbx.audit_key(ref.tab), 'domain')) AS u), ref.parent_name, ref.cols, ref.tab, ref.refers, ref.parent, ref.same)
            INTO broken USING $2;
            told := coalesce(broken, told);
        END IF;
        RAISE EXCEPTION '%', told USING ERRCODE = 'foreign_key_violation';
    END;
    PERFORM pbx.constraints_set('INITIAL');
END $$;
COMMENT ON FUNCTION pbx.domain_file_make(jsonb, text) IS 'For import_domain(): makes the rows of a domain those of a file, table by table; tables that aren''t in it stay as they are, as do secrets and sounds. With all checks.';

CREATE FUNCTION pbx.import_domain(document text, name text DEFAULT NULL, draft text DEFAULT NULL) RETURNS TABLE (what text, row_name text, changes text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    doc jsonb := $1::jsonb;
    here CONSTANT integer := (SELECT max(v.version) FROM pbx.version AS v);
    d text;
    stranger text;
    fit record;
BEGIN
    IF doc ->> 'format' IS DISTINCT FROM 'cordboard domain' OR jsonb_typeof(doc -> 'tables') IS DISTINCT FROM 'object' OR jsonb_typeof(doc -> 'schema') IS DISTINCT FROM 'number' THEN
        RAISE EXCEPTION 'this is no file of a domain' USING ERRCODE = 'invalid_parameter_value', HINT = 'pbx.export_domain() writes one.';
    ELSIF (doc ->> 'schema')::numeric > here THEN
        RAISE EXCEPTION 'the file is of schema %, this database of %', doc ->> 'schema', here USING ERRCODE = 'feature_not_supported', HINT = 'Use a newer Cordboard.';
    END IF;
    SELECT k INTO stranger FROM jsonb_object_keys(doc -> 'tables') AS k WHERE k NOT IN (SELECT t.name FROM pbx.domain_file_tables() AS t) LIMIT 1;
    IF stranger IS NOT NULL THEN
        RAISE EXCEPTION 'table %: files of a domain have none of that name', stranger USING ERRCODE = 'undefined_table';
    ELSIF jsonb_array_length(doc -> 'tables' -> 'domain') IS DISTINCT FROM 1 THEN
        RAISE EXCEPTION 'table domain: the file has no row of it, or several' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    d := coalesce($2, doc ->> 'domain');

    IF $3 IS NULL THEN
        IF EXISTS (SELECT FROM pbx.domain AS x WHERE x.domain = d) THEN
            RAISE EXCEPTION 'there is a domain % already', d USING ERRCODE = 'duplicate_object',
                HINT = format('import_domain(..., name => ''<another>''), or draft => ''<name>'', which shows what would change in %s.', d);
        END IF;
        -- The realm is in the hashes of passwords, and stays for ever.
        PERFORM pbx.create_domain(d, realm => doc #>> '{tables,domain,0,realm}');
        SELECT * INTO fit FROM pbx.domain_file_fit(doc, d, false);
        PERFORM pbx.domain_file_make(fit.fits, d);
        RETURN QUERY SELECT 'new', concat_ws(' ', 'domain', d), format('%s rows', (SELECT sum(jsonb_array_length(t.value)) FROM jsonb_each(fit.fits -> 'tables') AS t));
    ELSE
        IF NOT EXISTS (SELECT FROM pbx.domain AS x WHERE x.domain = d) THEN
            RAISE EXCEPTION 'there is no domain %', d USING ERRCODE = 'undefined_object', HINT = 'A draft is of a domain that exists.';
        END IF;
        SELECT * INTO fit FROM pbx.domain_file_fit(doc, d, true);
        RETURN QUERY SELECT * FROM pbx.draft_record(d, $3, format('SELECT pbx.domain_file_make(%L, %L)', fit.fits, d));
    END IF;
    RETURN QUERY SELECT r ->> 'what', r ->> 'row', r ->> 'told' FROM jsonb_array_elements(fit.report) WITH ORDINALITY AS u(r, n) ORDER BY n;
END $$;
COMMENT ON FUNCTION pbx.import_domain(text, text, text) IS 'Makes a domain of a file that pbx.export_domain() wrote, under its name or another; for operators. With draft: puts what would have to change in a domain that exists into a draft, for activate(). Returns what is new or would change, what was left out and why, and the statement for each secret that is still to be set.';

CALL pbx.tenancy();
