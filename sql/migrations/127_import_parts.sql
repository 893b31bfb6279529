-- Imports, in parts that each kind of office needs: Asterisk's files and, from here on, its tables in a database (realtime).
--
-- What a source says becomes rows pbx.import_told, in order: statements that make something, and what is told of it. import_draft() tries them and puts
-- those that can be into a draft.

CREATE TYPE pbx.import_told AS (file text, line integer, said text, sql text, problem text, fix text, otherwise text);
COMMENT ON TYPE pbx.import_told IS 'Of an import: where something is said; the statement that makes it, NULL: none; what is told of it, and the statement that mends that; otherwise: the one for when what it belongs to isn''t there.';

CREATE TYPE pbx.conf_line AS (file text, line integer, section text, section_line integer, templates text[], key text, value text);
COMMENT ON TYPE pbx.conf_line IS 'A line of pbx.conf_parse() with its file, or a value of a table of Asterisk''s.';

CREATE FUNCTION pbx.conf_lines(file text, conf text) RETURNS SETOF pbx.conf_line LANGUAGE sql IMMUTABLE AS $$
    SELECT $1, c.line, c.section, c.section_line, c.templates, c.key, c.value FROM pbx.conf_parse($2) AS c
$$;
COMMENT ON FUNCTION pbx.conf_lines(text, text) IS 'A configuration file of Asterisk, line by line, see pbx.conf_parse().';

CREATE FUNCTION pbx.import_insert(name text, has jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT format('INSERT INTO pbx.%I (%s) VALUES (%s)', $1, string_agg(quote_ident(e.key), ', ' ORDER BY e.n),
                  string_agg(quote_literal(CASE jsonb_typeof(e.value) WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(e.value))::text ELSE e.value #>> '{}' END), ', ' ORDER BY e.n))
    FROM jsonb_each($2) WITH ORDINALITY AS e(key, value, n) WHERE e.value <> 'null'
$$;
COMMENT ON FUNCTION pbx.import_insert(text, jsonb) IS 'The statement that inserts a row; what is null has the default of its column.';

CREATE FUNCTION pbx.import_context(domain text, file text, line integer, context text) RETURNS SETOF pbx.import_told LANGUAGE sql STABLE AS $$
    SELECT $2, $3, format('[%s]', $4), format('INSERT INTO pbx.context (domain, context) VALUES (%L, %L) ON CONFLICT DO NOTHING', $1, $4), NULL, NULL, NULL
$$;
COMMENT ON FUNCTION pbx.import_context(text, text, integer, text) IS 'For imports: a context.';

CREATE FUNCTION pbx.import_phone(domain text, file text, line integer, said text, has jsonb) RETURNS SETOF pbx.import_told LANGUAGE sql STABLE AS $$
    WITH phone AS (
        SELECT d.domain, d.realm, p.*, coalesce(p.auth_name, p.number) AS name,
               jsonb_build_object('domain', d.domain, 'number', p.number, 'display_name', coalesce(p.display_name, ''), 'context', coalesce(p.context, d.default_context), 'codecs', p.codecs,
                                  'ring_s', p.ring_s, 'call_limit', p.call_limit, 'caller_id', p.caller_id, 'language', p.language, 'enabled', p.enabled) AS row
        FROM pbx.domain AS d, jsonb_to_record($5) AS p(number text, display_name text, context text, codecs jsonb, ring_s text, call_limit text, caller_id text, language text, enabled text,
                                                       auth_name text, password text, ha1_md5 text, ha1_realm text)
        WHERE d.domain = $1
    )
    SELECT $2, $3, $4, pbx.import_insert('extension', p.row), NULL, NULL, NULL FROM phone AS p
    UNION ALL
    SELECT $2, $3, format('%s: %s', $4, p.name), pbx.import_insert('credential', jsonb_build_object('domain', p.domain, 'auth_name', p.name, 'number', p.number)),
           CASE WHEN p.password IS NOT NULL THEN 'its password is not kept in drafts: set it when the draft is active'
                WHEN lower(p.ha1_realm) = lower(p.realm) THEN 'the hash of its password is not kept in drafts: set it when the draft is active'
                ELSE format('the hash of its password is of realm %s, this domain''s is %s: set a password when the draft is active', coalesce(nullif(p.ha1_realm, ''), 'asterisk'), p.realm) END,
           CASE WHEN p.password IS NULL AND lower(p.ha1_realm) = lower(p.realm) THEN format('UPDATE pbx.credential SET ha1_md5 = %L WHERE (domain, auth_name) = (%L, %L)', lower(p.ha1_md5), p.domain, p.name)
                ELSE format('SELECT pbx.set_password(%L, %L, %L)', p.domain, p.name, coalesce(p.password, '<password>')) END, NULL
    FROM phone AS p WHERE coalesce(p.password, p.ha1_md5) IS NOT NULL
$$;
COMMENT ON FUNCTION pbx.import_phone(text, text, integer, text, jsonb) IS 'For imports: an extension with its credential, of {"number", "display_name", "context", "codecs", "auth_name", "password"...}.';

CREATE FUNCTION pbx.import_trunk(domain text, file text, line integer, said text, has jsonb) RETURNS SETOF pbx.import_told LANGUAGE sql STABLE AS $$
    WITH trunk AS (
        SELECT d.domain, p.name, p.auth_user, p.auth_password, p.register, p.addresses,
               jsonb_build_object('domain', d.domain, 'name', p.name, 'context', coalesce(p.context, d.default_context), 'uri', p.uri, 'codecs', p.codecs, 'registrar', p.registrar, 'register_as', p.register_as,
                                  'caller_id', p.caller_id, 'enabled', p.enabled) AS row
        FROM pbx.domain AS d, jsonb_to_record($5) AS p(name text, context text, uri text, codecs jsonb, registrar text, register_as text, caller_id text, enabled text,
                                                       auth_user text, auth_password text, register boolean, addresses text[])
        WHERE d.domain = $1
    )
    SELECT $2, $3, $4, pbx.import_insert('trunk', t.row), CASE WHEN t.auth_user IS NOT NULL AND t.auth_password IS NOT NULL THEN 'its password is not kept in drafts: set it when the draft is active' END,
           CASE WHEN t.auth_user IS NOT NULL AND t.auth_password IS NOT NULL THEN format('UPDATE pbx.trunk SET auth_user = %L, auth_password = %L%s WHERE (domain, name) = (%L, %L)',
               t.auth_user, t.auth_password, CASE WHEN t.register THEN ', register = true' ELSE '' END, t.domain, t.name) END, NULL
    FROM trunk AS t
    UNION ALL
    SELECT $2, $3, format('match=%s', btrim(a)), format('INSERT INTO pbx.trunk_address VALUES (%L, %L, %L)', t.domain, t.name, btrim(a)), NULL, NULL, NULL FROM trunk AS t, unnest(t.addresses) AS a
$$;
COMMENT ON FUNCTION pbx.import_trunk(text, text, integer, text, jsonb) IS 'For imports: a trunk with the addresses it calls from, of {"name", "context", "uri", "registrar", "auth_user", "auth_password", "addresses"...}.';

CREATE FUNCTION pbx.import_mailbox(domain text, file text, line integer, said text, has jsonb) RETURNS SETOF pbx.import_told LANGUAGE sql STABLE AS $$
    SELECT $2, $3, $4, box.sql, CASE WHEN pin.is_right THEN 'its PIN is not kept in drafts: set it when the draft is active' WHEN pin.is_there THEN 'its PIN hasn''t 3 to 12 digits: set another when the draft is active' END,
           CASE WHEN pin.is_there THEN pin.sql END,
           concat_ws('; ', pbx.import_insert('extension', jsonb_strip_nulls(jsonb_build_object('domain', $1, 'number', m.number, 'display_name', m.display_name,
                               'context', (SELECT d.default_context FROM pbx.domain AS d WHERE d.domain = $1)))), box.sql, CASE WHEN pin.is_there THEN pin.sql END)
    FROM jsonb_to_record($5) AS m(number text, pin text, display_name text, email text, timezone text, language text),
         LATERAL (SELECT pbx.import_insert('mailbox', jsonb_build_object('domain', $1, 'number', m.number, 'email', nullif(btrim(m.email), ''), 'timezone', m.timezone, 'language', m.language))) AS box(sql),
         LATERAL (SELECT nullif(m.pin, '') IS NOT NULL, m.pin ~ '^[0-9]{3,12}$',
                         format('SELECT pbx.set_pin(%L, %L, %L)', $1, m.number, CASE WHEN m.pin ~ '^[0-9]{3,12}$' THEN m.pin ELSE '<PIN>' END)) AS pin(is_there, is_right, sql)
$$;
COMMENT ON FUNCTION pbx.import_mailbox(text, text, integer, text, jsonb) IS 'For imports: a mailbox, of {"number", "pin", "display_name", "email", "timezone", "language"}; one without an extension is told with the statements that make both.';

CREATE FUNCTION pbx.import_route(domain text, context text, pattern text, name text, file text, line integer, said text, steps jsonb, is_lost boolean DEFAULT false) RETURNS SETOF pbx.import_told LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    s record;
    made text := '';
    position integer := 0;
BEGIN
    FOR s IN SELECT * FROM jsonb_to_recordset(steps) AS x(line integer, said text, app text, args jsonb, condition text, problem text, fix text) LOOP
        IF s.app IS NOT NULL AND pbx.prompt_missing(domain, s.args ->> 'phrases') IS NOT NULL THEN
            s.problem := format('there is no prompt or phrase %s', pbx.prompt_missing(domain, s.args ->> 'phrases'));
            s.app := NULL;
        END IF;
        IF s.problem IS NOT NULL THEN
            RETURN NEXT ROW(file, s.line, s.said, NULL, s.problem, s.fix, NULL)::pbx.import_told;
        END IF;
        is_lost := is_lost OR s.app IS NULL;
        CONTINUE WHEN s.app IS NULL;
        IF s.app = 'conference' AND s.args ->> 'conference' ~ '^[0-9]+$' THEN
            RETURN NEXT ROW(file, s.line, s.said, format('INSERT INTO pbx.conference (domain, number) VALUES (%L, %L) ON CONFLICT DO NOTHING', domain, s.args ->> 'conference'), NULL, NULL, NULL)::pbx.import_told;
        END IF;
        position := position + 1;
        made := made || format('; INSERT INTO pbx.step VALUES (%L, %L, %L, %s, %L, %L, %L)', domain, context, pattern, position, s.app, s.args, s.condition);
    END LOOP;
    IF made <> '' THEN
        RETURN NEXT ROW(file, line, said, pbx.import_insert('route', jsonb_build_object('domain', domain, 'context', context, 'pattern', pattern, 'name', nullif(name, ''), 'enabled', NOT is_lost)) || made,
            CASE WHEN is_lost THEN 'steps of it are missing, so the route is not enabled' END,
            CASE WHEN is_lost THEN format('UPDATE pbx.route SET enabled = true WHERE (domain, context, pattern) = (%L, %L, %L)', domain, context, pattern) END, NULL)::pbx.import_told;
    END IF;
END $$;
COMMENT ON FUNCTION pbx.import_route(text, text, text, text, text, integer, text, jsonb, boolean) IS 'For imports: a route of steps [{"line", "said", "app", "args", "condition", "problem", "fix"}]. A step without app is lost, and a route that has lost something isn''t enabled.';

CREATE FUNCTION pbx.import_include(domain text, file text, line integer, context text, included text) RETURNS SETOF pbx.import_told LANGUAGE sql STABLE AS $$
    -- After those that the context has, unless it has this one.
    SELECT $2, $3, format('include => %s', $5), format('INSERT INTO pbx.context_include (domain, context, position, included) SELECT %1$L, %2$L, 1 + coalesce(max(position), 0), %3$L FROM pbx.context_include '
                   'WHERE (domain, context) = (%1$L, %2$L) HAVING bool_or(included = %3$L) IS NOT true', $1, $4, $5), NULL, NULL, NULL
$$;
COMMENT ON FUNCTION pbx.import_include(text, text, integer, text, text) IS 'For imports: a context that includes another.';

CREATE FUNCTION pbx.import_draft(domain text, draft text, note text, told pbx.import_told[]) RETURNS TABLE (file text, line integer, said text, problem text, fix text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    failed jsonb;
BEGIN
    INSERT INTO pbx.draft (domain, draft, note) VALUES ($1, $2, $3) ON CONFLICT ON CONSTRAINT draft_pkey DO NOTHING;
    -- Tried once, to find out what can't be; the rest is the draft.
    failed := pbx.draft_try(pbx.draft_changes($1, $2), NULL, format('SELECT * FROM pbx.import_make(%L, %L)', $1,
        (SELECT coalesce(jsonb_agg(jsonb_build_object('n', t.n, 'sql', t.sql) ORDER BY t.n), '[]') FROM unnest($4) WITH ORDINALITY AS t(file, line, said, sql, problem, fix, otherwise, n) WHERE t.sql IS NOT NULL))) -> 'told';
    PERFORM pbx.draft_record($1, $2, format('SELECT * FROM pbx.import_make(%L, %L)', $1,
        (SELECT coalesce(jsonb_agg(jsonb_build_object('n', t.n, 'sql', t.sql) ORDER BY t.n), '[]') FROM unnest($4) WITH ORDINALITY AS t(file, line, said, sql, problem, fix, otherwise, n)
         WHERE t.sql IS NOT NULL AND t.n NOT IN (SELECT (f ->> 'n')::bigint FROM jsonb_array_elements(failed) AS f))));
    RETURN QUERY SELECT t.file, t.line, t.said, coalesce(f.problem, t.problem), CASE WHEN f.problem IS NULL THEN t.fix WHEN f.problem LIKE 'there is no % for this %' THEN t.otherwise END
    FROM unnest($4) WITH ORDINALITY AS t(file, line, said, sql, problem, fix, otherwise, n) LEFT JOIN jsonb_to_recordset(failed) AS f(n bigint, problem text) ON f.n = t.n
    WHERE coalesce(f.problem, t.problem) IS NOT NULL ORDER BY 1, 2, 4;
END $$;
COMMENT ON FUNCTION pbx.import_draft(text, text, text, pbx.import_told[]) IS 'For imports: puts what can be into a draft, and tells what can''t, what is lost, and what is still to be set.';

CREATE FUNCTION pbx.domain_must_be(domain text) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pbx.domain AS d WHERE d.domain = $1) THEN
        RAISE EXCEPTION 'there is no domain %', coalesce($1, '(NULL)') USING ERRCODE = 'foreign_key_violation',
            HINT = format('See pbx.domain; SELECT pbx.create_domain(%L) makes it.', coalesce($1, '<name>'));
    END IF;
END $$;
COMMENT ON FUNCTION pbx.domain_must_be(text) IS 'Refuses a domain that isn''t there, or isn''t one''s own.';

CREATE OR REPLACE FUNCTION pbx.draft_record(domain text, draft text, statement text) RETURNS TABLE (what text, row_name text, changes text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    net pbx.row_change[];
    events jsonb;
    stranger text;
BEGIN
    PERFORM pbx.domain_must_be($1);
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

CREATE OR REPLACE FUNCTION pbx.import_domain(document text, name text DEFAULT NULL, draft text DEFAULT NULL) RETURNS TABLE (what text, row_name text, changes text) LANGUAGE plpgsql AS $$
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
            RAISE EXCEPTION 'there is no domain %', d USING ERRCODE = 'undefined_object', HINT = format('A draft is of a domain that exists. SELECT pbx.create_domain(%L) makes it; without draft, import_domain() makes it of the file.', d);
        END IF;
        SELECT * INTO fit FROM pbx.domain_file_fit(doc, d, true);
        RETURN QUERY SELECT * FROM pbx.draft_record(d, $3, format('SELECT pbx.domain_file_make(%L, %L)', fit.fits, d));
    END IF;
    RETURN QUERY SELECT r ->> 'what', r ->> 'row', r ->> 'told' FROM jsonb_array_elements(fit.report) WITH ORDINALITY AS u(r, n) ORDER BY n;
END $$;
COMMENT ON FUNCTION pbx.import_domain(text, text, text) IS 'Makes a domain of a file that pbx.export_domain() wrote, under its name or another; for operators. With draft: puts what would have to change in a domain that exists into a draft, for activate(). Returns what is new or would change, what was left out and why, and the statement for each secret that is still to be set.';

-- Asterisk -----------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pbx.asterisk_text(said text, globals jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    g record;
BEGIN
    FOR g IN SELECT * FROM jsonb_each_text(globals) WHERE key ~ '^\w+$' AND value IS NOT NULL LOOP
        CONTINUE WHEN strpos(upper(said), upper(g.key)) = 0;
        said := regexp_replace(said, '\$\{(' || g.key || '|GLOBAL\(' || g.key || '\))\}', replace(g.value, '\', '\\'), 'gi');
    END LOOP;
    said := regexp_replace(said, '\$\{EXTEN(:[0-9]+(:[0-9]+)?)?\}', '${number\1}', 'g');
    said := replace(replace(replace(said, '${CALLERID(num)}', '${caller}'), '${CALLERID(name)}', '${caller_name}'), '${CONTEXT}', '${context}');
    -- What is left of Asterisk's variables and expressions means nothing here: NULL.
    RETURN CASE WHEN said !~ '\$\[|\$\{(?!(number|caller|caller_name|context)[:}])' THEN said END;
END $$;
COMMENT ON FUNCTION pbx.asterisk_text(text, jsonb) IS 'A text with Asterisk''s variables as Cordboard''s, those of [globals] by their values. NULL: there is one that has no counterpart.';

CREATE FUNCTION pbx.asterisk_split(said text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    parts text[] := '{}';
    part text := '';
    depth integer := 0;
    is_quoted boolean := false;
    c text;
BEGIN
    FOREACH c IN ARRAY regexp_split_to_array(coalesce(said, ''), '') LOOP
        IF c = '"' THEN
            is_quoted := NOT is_quoted;
        ELSIF c IN ('(', '{', '[') THEN
            depth := depth + 1;
        ELSIF c IN (')', '}', ']') THEN
            depth := depth - 1;
        ELSIF c = ',' AND depth <= 0 AND NOT is_quoted THEN
            parts := parts || part;
            part := '';
            CONTINUE;
        END IF;
        part := part || c;
    END LOOP;
    RETURN parts || part;
END $$;
COMMENT ON FUNCTION pbx.asterisk_split(text) IS 'Arguments with commas between them, but for those in quotes and brackets.';

CREATE OR REPLACE FUNCTION pbx.asterisk_step(theirs text, "with" text[]) RETURNS TABLE (app text, args jsonb, problem text) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    one text := nullif(btrim($2[1]), '');
    two text := nullif(btrim($2[2]), '');
    m text[];
    numbers text[] := '{}';
    device text;
BEGIN
    args := '{}';
    CASE lower($1)
    WHEN 'noop', 'verbose', 'log', 'progress' THEN
        app := NULL;
    WHEN 'answer' THEN
        app := 'answer';
    WHEN 'hangup' THEN
        app := 'hangup';
    WHEN 'ringing' THEN
        app := 'ring';
    WHEN 'echo' THEN
        app := 'echo';
    WHEN 'busy', 'congestion' THEN
        app := lower($1);
        args := CASE WHEN one ~ '^[0-9]+$' THEN jsonb_build_object('seconds', one) ELSE '{}' END;
    WHEN 'wait' THEN
        app := 'wait';
        args := jsonb_build_object('seconds', ceil(substring(one FROM '^[0-9.]+')::numeric)::text);
    WHEN 'playback', 'background' THEN
        app := 'playback';
        args := jsonb_build_object('phrases', one);
        problem := CASE WHEN lower($1) = 'background' THEN 'digits dialled meanwhile are not heard: make a menu of it' END;
    WHEN 'saydigits', 'saynumber' THEN
        app := 'say';
        args := jsonb_build_object('value', one, 'as', CASE lower($1) WHEN 'saydigits' THEN 'digits' ELSE 'number' END);
    WHEN 'set' THEN
        app := CASE WHEN one ~* '^CHANNEL\(language\)=' THEN 'set' END;
        args := jsonb_build_object('name', 'language', 'value', substring(one FROM '=(.*)$'));
        problem := CASE WHEN app IS NULL THEN 'application Set has no counterpart' END;
    WHEN 'musiconhold' THEN
        app := 'music';
        args := jsonb_strip_nulls(jsonb_build_object('class', one, 'seconds', two));
    WHEN 'voicemail' THEN
        app := 'voicemail';
        args := jsonb_build_object('mailbox', split_part(split_part(one, '&', 1), '@', 1));
    WHEN 'voicemailmain' THEN
        app := 'voicemail_menu';
        args := jsonb_strip_nulls(jsonb_build_object('mailbox', nullif(split_part(one, '@', 1), '')));
    WHEN 'confbridge' THEN
        app := 'conference';
        args := jsonb_build_object('conference', one);
    WHEN 'goto' THEN
        app := 'goto';
        args := CASE cardinality($2) WHEN 3 THEN jsonb_build_object('context', one, 'number', two) WHEN 2 THEN jsonb_build_object('number', one) ELSE '{}' END;
        IF args = '{}' OR $2[cardinality($2)] !~ '^\s*1\s*$' OR args ->> 'number' ~ '^([a-z]$|[A-Za-z].*-)' THEN
            app := NULL;
            problem := 'only the beginning of a number can be gone to';
        END IF;
    WHEN 'dial' THEN
        app := 'dial';
        FOREACH device IN ARRAY string_to_array(one, '&') LOOP
            m := regexp_match(btrim(device), '^(?:PJSIP|SIP)/([^/@]+)(?:@([^/@]+))?(?:/(.+))?$', 'i');
            IF m IS NULL OR m[3] IS NOT NULL THEN
                app := NULL;
                problem := format('%s is no phone or trunk of SIP', device);
                RETURN NEXT;
                RETURN;
            END IF;
            args := args || jsonb_strip_nulls(jsonb_build_object('trunk', m[2]));
            numbers := numbers || m[1];
        END LOOP;
        args := args || jsonb_build_object('number', array_to_string(numbers, '&')) || CASE WHEN two ~ '^[0-9]+$' THEN jsonb_build_object('ring_s', two) ELSE '{}' END;
        problem := CASE WHEN nullif(btrim($2[3]), '') IS NOT NULL THEN format('options %s are left out', $2[3]) END;
    ELSE
        problem := format('application %s has no counterpart', $1);
    END CASE;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION pbx.asterisk_step(text, text[]) IS 'An application of Asterisk as one of Cordboard; app NULL: it is left out, problem: why, or what of it was lost.';

CREATE FUNCTION pbx.asterisk_phones(domain text, lines pbx.conf_line[]) RETURNS SETOF pbx.import_told LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    r record;
BEGIN
    FOR r IN
        -- What a section has of its templates comes before its own.
        WITH part AS MATERIALIZED (
            SELECT c.file, c.section, c.section_line, min(c.line) AS line, '!' = ANY (c.templates) AS is_template, c.templates,
                   coalesce(jsonb_object_agg(c.key, c.value ORDER BY c.line) FILTER (WHERE c.key IS NOT NULL AND c.value IS NOT NULL AND c.key NOT IN ('allow', 'match', 'contact')), '{}')
                   || jsonb_strip_nulls(jsonb_build_object('allow', string_agg(c.value, ',' ORDER BY c.line) FILTER (WHERE c.key = 'allow'), 'match', string_agg(c.value, ',') FILTER (WHERE c.key = 'match'),
                                                           'contact', (array_agg(c.value ORDER BY c.line) FILTER (WHERE c.key = 'contact'))[1])) AS own
            FROM unnest($2) AS c WHERE c.section IS NOT NULL GROUP BY c.file, c.section, c.section_line, c.templates
        ), whole AS MATERIALIZED (
            SELECT p.file, p.section, p.line, x.has, x.has ->> 'type' AS type
            FROM part AS p, LATERAL (SELECT coalesce((SELECT jsonb_object_agg(e.key, e.value ORDER BY u.n) FROM unnest(p.templates) WITH ORDINALITY AS u(name, n)
                                                      JOIN part AS t ON t.section = u.name AND t.is_template, jsonb_each(t.own) AS e WHERE u.name <> ''), '{}') || p.own AS has OFFSET 0) AS x
            WHERE NOT p.is_template
        ), one AS MATERIALIZED (
            SELECT DISTINCT ON (w.type, w.section) w.* FROM whole AS w ORDER BY w.type, w.section, w.line
        ), registration AS MATERIALIZED (
            SELECT w.*, substring(w.has ->> 'server_uri' FROM '^sips?:(?:[^@]*@)?([^;:?]+)') AS host FROM whole AS w WHERE w.type = 'registration'
        ), endpoint AS (
            SELECT w.*, aor.has AS aor, auth.has AS auth, out.has AS outbound_auth, reg.has AS registration, reg.section AS registration_section, m.match
            FROM whole AS w
            LEFT JOIN one AS aor ON aor.type = 'aor' AND aor.section = btrim(split_part(w.has ->> 'aors', ',', 1))
            LEFT JOIN one AS auth ON auth.type = 'auth' AND auth.section = btrim(split_part(w.has ->> 'auth', ',', 1))
            LEFT JOIN one AS out ON out.type = 'auth' AND out.section = btrim(split_part(w.has ->> 'outbound_auth', ',', 1))
            LEFT JOIN LATERAL (SELECT g.has, g.section FROM registration AS g
                               WHERE g.has ->> 'endpoint' = w.section OR g.has ->> 'outbound_auth' = w.has ->> 'outbound_auth' OR g.host = substring(aor.has ->> 'contact' FROM '^sips?:(?:[^@]*@)?([^;:?]+)')
                               ORDER BY g.has ->> 'endpoint' = w.section DESC NULLS LAST, g.has ->> 'outbound_auth' = w.has ->> 'outbound_auth' DESC NULLS LAST, g.line LIMIT 1) AS reg ON true
            LEFT JOIN (SELECT i.has ->> 'endpoint' AS endpoint, string_agg(i.has ->> 'match', ',' ORDER BY i.line) AS match FROM whole AS i WHERE i.type = 'identify' GROUP BY 1) AS m ON m.endpoint = w.section
            WHERE w.type = 'endpoint'
        ), codec AS (
            SELECT * FROM (VALUES ('ulaw', 'PCMU'), ('alaw', 'PCMA'), ('g722', 'G722'), ('opus', 'opus'), ('gsm', 'GSM'), ('g726', 'G726-32'), ('slin16', 'L16/16000'), ('slin', 'L16/8000')) AS k(theirs, ours)
        )
        SELECT e.*, e.registration IS NOT NULL OR e.match IS NOT NULL OR coalesce(e.aor ? 'contact', false) OR e.has ? 'outbound_auth' AS is_trunk, regexp_match(e.has ->> 'callerid', '^\s*"?([^"<]*?)"?\s*(?:<([^>]*)>)?\s*$') AS callerid,
               (SELECT array_agg(k.ours ORDER BY u.n) FROM regexp_split_to_table(e.has ->> 'allow', '\s*,\s*') WITH ORDINALITY AS u(name, n) JOIN codec AS k ON k.theirs = u.name) AS codecs
        FROM endpoint AS e
        UNION ALL
        -- A registration that is no endpoint's.
        SELECT g.file, g.section, g.line, g.has, NULL, NULL, NULL, NULL, g.has, g.section, NULL, NULL, NULL, NULL FROM registration AS g
        WHERE g.section NOT IN (SELECT e.registration_section FROM endpoint AS e WHERE e.registration_section IS NOT NULL)
        ORDER BY line
    LOOP
        IF r.is_trunk IS NULL THEN
            RETURN NEXT ROW(r.file, r.line, format('[%s]', r.section), NULL, format('no endpoint belongs to this registration at %s', r.has ->> 'server_uri'),
                'UPDATE pbx.trunk SET registrar = ..., register_as = ..., register = true WHERE (domain, name) = (...)', NULL)::pbx.import_told;
        ELSIF r.is_trunk THEN
            RETURN QUERY SELECT * FROM pbx.import_trunk($1, r.file, r.line, format('[%s]', r.section), jsonb_build_object('name', r.section, 'context', r.has ->> 'context',
                'uri', regexp_replace(coalesce(r.aor ->> 'contact', r.registration ->> 'server_uri'), '^(sips?:)[^@]*@', '\1'), 'codecs', to_jsonb(r.codecs),
                'registrar', regexp_replace(r.registration ->> 'server_uri', '^(sips?:)[^@]*@', '\1'), 'register_as', substring(r.registration ->> 'client_uri' FROM '^sips?:([^;:?]+)'),
                'register', r.registration IS NOT NULL, 'auth_user', r.outbound_auth ->> 'username', 'auth_password', r.outbound_auth ->> 'password', 'addresses', to_jsonb(string_to_array(r.match, ','))));
        ELSE
            RETURN QUERY SELECT * FROM pbx.import_phone($1, r.file, r.line, format('[%s]', r.section), jsonb_build_object('number', r.section, 'display_name', r.callerid[1], 'context', r.has ->> 'context',
                'codecs', to_jsonb(r.codecs), 'auth_name', coalesce(r.auth ->> 'username', r.section), 'password', r.auth ->> 'password', 'ha1_md5', r.auth ->> 'md5_cred', 'ha1_realm', r.auth ->> 'realm'));
        END IF;
    END LOOP;
    RETURN QUERY SELECT c.file, c.line, concat_ws(': ', CASE WHEN c.file NOT LIKE '%.conf' THEN c.section END, concat_ws('=', c.key, c.value)), NULL, 'not understood', NULL, NULL
    FROM unnest($2) AS c
    WHERE c.value IS NULL AND c.key IS NOT NULL OR c.key NOT IN ('type', 'context', 'allow', 'disallow', 'aors', 'auth', 'outbound_auth', 'callerid', 'contact', 'match', 'endpoint', 'server_uri', 'client_uri',
        'username', 'password', 'md5_cred', 'realm', 'auth_type', 'transport', 'max_contacts', 'remove_existing', 'protocol', 'bind', 'mailboxes', 'retry_interval', 'qualify_frequency', 'direct_media',
        'rewrite_contact', 'rtp_symmetric', 'force_rport')
      OR c.key = 'type' AND c.value NOT IN ('endpoint', 'aor', 'auth', 'registration', 'identify', 'transport', 'global', 'system');
END $$;
COMMENT ON FUNCTION pbx.asterisk_phones(text, pbx.conf_line[]) IS 'For imports: the phones and trunks of pjsip.conf, or of the tables ps_endpoints, ps_auths, ps_aors, ps_registrations and ps_endpoint_id_ips.';

CREATE FUNCTION pbx.asterisk_mailboxes(domain text, lines pbx.conf_line[]) RETURNS SETOF pbx.import_told LANGUAGE sql STABLE AS $$
    -- mailbox => PIN,name,e-mail,pager,option=value|...
    WITH box AS (
        SELECT c.*, string_to_array(c.value, ',') AS parts, o.tz, o.language
        FROM unnest($2) AS c, LATERAL (SELECT max(m[2]) FILTER (WHERE m[1] = 'tz') AS tz, max(m[2]) FILTER (WHERE m[1] = 'language') AS language
                                       FROM unnest(string_to_array(split_part(c.value, ',', 5), '|')) AS u, regexp_match(u, '^\s*(\w+)\s*=\s*(.*?)\s*$') AS m) AS o
        WHERE c.key !~ '@' AND c.section NOT IN ('general', 'zonemessages')
    )
    SELECT t.file, t.line, t.said, t.sql, t.problem, t.fix, t.otherwise FROM (
        SELECT t.*, b.line AS place FROM box AS b, LATERAL pbx.import_mailbox($1, b.file, b.line, format('%s => ...,%s', b.key, array_to_string(b.parts[2:], ',')),
            jsonb_build_object('number', b.key, 'pin', b.parts[1], 'display_name', nullif(btrim(b.parts[2]), ''), 'email', b.parts[3],
                -- A zone has a name of its own, or is one that everybody knows.
                'timezone', coalesce((SELECT split_part(z.value, '|', 1) FROM unnest($2) AS z WHERE z.section = 'zonemessages' AND z.key = lower(b.tz) LIMIT 1), CASE WHEN pbx.timezone_valid(b.tz) THEN b.tz END),
                'language', CASE WHEN b.language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$' THEN b.language END)) AS t
        UNION ALL
        SELECT b.file, b.line, format('%s: %s', b.key, btrim(u)), NULL, 'not understood', NULL, NULL, b.line
        FROM box AS b, unnest(string_to_array(b.parts[5], '|')) AS u WHERE u !~ '^\s*(tz|language)\s*=' AND btrim(u) <> ''
        UNION ALL
        SELECT c.file, c.line, concat_ws('=', c.key, c.value), NULL, 'not understood', NULL, NULL, c.line FROM unnest($2) AS c WHERE c.key IS NOT NULL AND (c.section IN ('general', 'zonemessages') OR c.key ~ '@')
    ) AS t ORDER BY t.place
$$;
COMMENT ON FUNCTION pbx.asterisk_mailboxes(text, pbx.conf_line[]) IS 'For imports: the mailboxes of voicemail.conf, or of the table voicemail.';

CREATE FUNCTION pbx.asterisk_routes(domain text, lines pbx.conf_line[]) RETURNS SETOF pbx.import_told LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    r record;
    s record;
    t record;
    m text[];
    globals CONSTANT jsonb := (SELECT coalesce(jsonb_object_agg(upper(c.key), c.value), '{}') FROM unnest($2) AS c WHERE c.section = 'globals' AND c.key ~ '^\w+$' AND c.value IS NOT NULL);
    vars jsonb;
    name text;
    arg text;
    steps jsonb;
    dialled boolean;
BEGIN
    FOR r IN
        -- "same" goes on with the number of the line before.
        WITH lines AS (
            SELECT c.*, CASE c.key WHEN 'exten' THEN regexp_match(c.value, '^([^,]+?)\s*,\s*([^,]+?)\s*,\s*(.*)$') WHEN 'same' THEN regexp_match(c.value, '^()\s*([^,]+?)\s*,\s*(.*)$') END AS m,
                   count(*) FILTER (WHERE c.key = 'exten') OVER (ORDER BY c.n) AS exten
            FROM unnest($2) WITH ORDINALITY AS c(file, line, section, section_line, templates, key, value, n) WHERE c.key IS NOT NULL AND c.section NOT IN ('general', 'globals')
        ), named AS (
            SELECT l.*, first_value(l.m[1]) OVER (PARTITION BY l.exten ORDER BY l.n) AS theirs FROM lines AS l WHERE l.key IN ('exten', 'same')
        )
        -- A dash in a number is there to be read.
        SELECT n.section, n.theirs, replace(n.theirs, '-', '') AS pattern, min(n.file) AS file, min(n.line) AS line,
               jsonb_agg(jsonb_build_object('line', n.line, 'priority', n.m[2], 'call', n.m[3], 'value', n.value) ORDER BY n.n) AS calls
        FROM named AS n GROUP BY n.section, n.theirs ORDER BY min(n.n)
    LOOP
        steps := '[]';
        vars := globals;
        dialled := false;
        FOR s IN SELECT * FROM jsonb_to_recordset(r.calls) AS x(line integer, priority text, call text, value text) LOOP
            CONTINUE WHEN s.priority = 'hint'; -- lamps need none here
            m := regexp_match(s.call, '^\s*([A-Za-z]+)\s*(?:\((.*)\))?\s*$');
            IF r.theirs ~ '^([a-z]$|[A-Za-z].*-)' OR r.theirs ~ '/' OR m IS NULL THEN
                steps := steps || jsonb_build_object('line', s.line, 'said', s.value, 'problem',
                    CASE WHEN r.theirs ~ '^([a-z]$|[A-Za-z].*-)' THEN format('"%s" is nothing that is dialled', r.theirs) WHEN r.theirs ~ '/' THEN 'a route doesn''t ask for the caller: give a step the condition caller=...' ELSE 'not understood' END);
                CONTINUE;
            END IF;
            CONTINUE WHEN lower(m[1]) IN ('noop', 'verbose', 'log', 'progress');
            arg := pbx.asterisk_text(coalesce(m[2], ''), vars);
            -- A variable stands for its value from here on.
            name := CASE WHEN lower(m[1]) = 'set' THEN substring(m[2] FROM '^_*([A-Za-z]\w*)\s*=') END;
            IF name IS NOT NULL AND arg IS NOT NULL THEN
                vars := vars || jsonb_build_object(upper(name), substring(arg FROM '=(.*)$'));
                CONTINUE;
            ELSIF arg IS NULL THEN
                vars := CASE WHEN name IS NOT NULL THEN vars - upper(name) ELSE vars END;
                steps := steps || jsonb_build_object('line', s.line, 'said', s.value, 'problem', 'a variable or expression has no counterpart');
                CONTINUE;
            END IF;
            FOR t IN SELECT * FROM pbx.asterisk_step(m[1], CASE WHEN m[2] IS NULL THEN ARRAY[''] ELSE pbx.asterisk_split(arg) END) LOOP
                CONTINUE WHEN t.app IS NULL AND t.problem IS NULL;
                -- In Asterisk a call that was answered ends after Dial.
                steps := steps || jsonb_build_object('line', s.line, 'said', s.value, 'app', t.app, 'args', t.args, 'problem', t.problem, 'condition', CASE WHEN dialled THEN 'result!=answered' END);
                dialled := dialled OR t.app IS NOT DISTINCT FROM 'dial';
            END LOOP;
        END LOOP;
        RETURN QUERY SELECT * FROM pbx.import_route($1, r.section, r.pattern, '', r.file, r.line, format('exten => %s', r.theirs), steps);
    END LOOP;
    RETURN QUERY SELECT i.* FROM unnest($2) WITH ORDINALITY AS c(file, line, section, section_line, templates, key, value, n), LATERAL pbx.import_include($1, c.file, c.line, c.section, c.value) AS i
        WHERE c.key = 'include' AND c.value IS NOT NULL ORDER BY c.n;
    RETURN QUERY SELECT c.file, c.line, concat_ws(' => ', c.key, c.value), NULL, 'not understood', NULL, NULL
        FROM unnest($2) AS c WHERE c.key IS NOT NULL AND (c.key NOT IN ('exten', 'same', 'include') AND c.section <> 'globals' OR c.value IS NULL);
END $$;
COMMENT ON FUNCTION pbx.asterisk_routes(text, pbx.conf_line[]) IS 'For imports: the dialplan of extensions.conf, or of the table extensions.';

CREATE FUNCTION pbx.import_asterisk_lines(domain text, draft text, extensions pbx.conf_line[], phones pbx.conf_line[], voicemail pbx.conf_line[], more pbx.import_told[])
    RETURNS TABLE (file text, line integer, said text, problem text, fix text) LANGUAGE sql AS $$
    -- Contexts first: phones, trunks and routes are in them.
    SELECT * FROM pbx.import_draft($1, $2, 'from Asterisk',
        ARRAY(SELECT ROW(t.*)::pbx.import_told FROM (
            SELECT DISTINCT ON (x.context) x.* FROM (
                SELECT c.file, c.line, c.section AS context FROM unnest($3) AS c WHERE c.key IS NULL AND c.section NOT IN ('general', 'globals')
                UNION ALL SELECT c.file, c.line, c.value FROM unnest($4) AS c WHERE c.key = 'context' AND c.value <> '') AS x ORDER BY x.context, x.file, x.line) AS x,
            LATERAL pbx.import_context($1, x.file, x.line, x.context) AS t)
        || ARRAY(SELECT t FROM pbx.asterisk_phones($1, $4) AS t) || ARRAY(SELECT t FROM pbx.asterisk_mailboxes($1, $5) AS t) || ARRAY(SELECT t FROM pbx.asterisk_routes($1, $3) AS t) || $6)
$$;
COMMENT ON FUNCTION pbx.import_asterisk_lines(text, text, pbx.conf_line[], pbx.conf_line[], pbx.conf_line[], pbx.import_told[]) IS 'For imports: Asterisk''s files or tables into a draft.';

CREATE OR REPLACE FUNCTION pbx.import_asterisk(domain text, extensions_conf text, pjsip_conf text DEFAULT NULL, voicemail_conf text DEFAULT NULL, draft text DEFAULT 'asterisk')
    RETURNS TABLE (file text, line integer, said text, problem text, fix text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pbx.domain_must_be($1);
    RETURN QUERY SELECT * FROM pbx.import_asterisk_lines($1, $5, ARRAY(SELECT c FROM pbx.conf_lines('extensions.conf', $2) AS c),
        ARRAY(SELECT c FROM pbx.conf_lines('pjsip.conf', $3) AS c), ARRAY(SELECT c FROM pbx.conf_lines('voicemail.conf', $4) AS c), '{}');
END $$;
COMMENT ON FUNCTION pbx.import_asterisk(text, text, text, text, text) IS 'Puts an office from Asterisk into a draft: the texts of extensions.conf, pjsip.conf and voicemail.conf. Returns what was not understood or can''t be, line by line, and for passwords and PINs, which are not kept in drafts, the statement that sets each when the draft is active. Nothing is changed yet: see draft_show(), draft_explain(), activate().';

-- Its tables ---------------------------------------------------------------------------------------------

CREATE FUNCTION pbx.realtime_rows(schema name, name text) RETURNS TABLE (n bigint, has jsonb) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    tab CONSTANT regclass := to_regclass(format('%I.%I', $1, $2));
BEGIN
    IF tab IS NULL THEN
        RETURN;
    END IF;
    -- In an order that stays: that of its rows' names, numbers as numbers.
    RETURN QUERY EXECUTE format($q$ SELECT row_number() OVER (ORDER BY CASE WHEN x.o ? 'exten' THEN x.o ->> 'context' END COLLATE "C", x.o ->> 'exten' COLLATE "C", lpad(x.o ->> 'priority', 20) COLLATE "C", x.o ->> 'mailbox' COLLATE "C", lpad(x.o ->> 'id', 200) COLLATE "C"), x.o
        FROM (SELECT to_jsonb(t) AS o FROM %s AS t) AS x $q$, tab);
END $$;
COMMENT ON FUNCTION pbx.realtime_rows(name, text) IS 'The rows of a table of Asterisk''s, in order; none if there is no such table.';

CREATE FUNCTION pbx.realtime_lines(schema name, name text, type text) RETURNS SETOF pbx.conf_line LANGUAGE sql STABLE AS $$
    SELECT $2, r.n::integer, r.has ->> 'id', r.n::integer, '{}'::text[], e.key, e.value
    FROM pbx.realtime_rows($1, $2) AS r, LATERAL (SELECT 'type', $3 UNION ALL SELECT lower(e.key), btrim(e.value) FROM jsonb_each_text(r.has) AS e WHERE e.key <> 'id' AND btrim(e.value) NOT IN ('', 'no')) AS e(key, value)
$$;
COMMENT ON FUNCTION pbx.realtime_lines(name, text, text) IS 'A table of Asterisk''s phones as the lines that pjsip.conf would have: a section for each row, without what is empty or "no", as nearly all is by default.';

CREATE FUNCTION pbx.import_asterisk_tables(domain text, schema name, draft text DEFAULT 'asterisk') RETURNS TABLE (file text, line integer, said text, problem text, fix text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    box CONSTANT text := CASE WHEN to_regclass(format('%I.voicemail', $2)) IS NULL THEN 'voicemail_users' ELSE 'voicemail' END;
    other pbx.import_told[] := '{}';
    t text;
    n bigint;
BEGIN
    PERFORM pbx.domain_must_be($1);
    IF $2 IS NULL OR to_regnamespace(quote_ident($2)) IS NULL THEN
        RAISE EXCEPTION 'there is no schema %', coalesce($2, '(NULL)') USING ERRCODE = 'invalid_schema_name', HINT = 'Restore Asterisk''s tables into one, or IMPORT FOREIGN SCHEMA ... INTO it.';
    ELSIF NOT EXISTS (SELECT FROM unnest('{ps_endpoints,extensions,voicemail,voicemail_users}'::text[]) AS u WHERE to_regclass(format('%I.%I', $2, u)) IS NOT NULL) THEN
        RAISE EXCEPTION 'schema % has none of the tables ps_endpoints, extensions and voicemail', $2 USING ERRCODE = 'undefined_table', HINT = 'Those are the names that Asterisk''s own schema gives them; make views of other names.';
    END IF;

    -- What else there is, in a line each.
    FOR t IN SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = quote_ident($2)::regnamespace AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
        AND c.relname NOT IN ('ps_endpoints', 'ps_auths', 'ps_aors', 'ps_registrations', 'ps_endpoint_id_ips', 'ps_transports', 'extensions', box) AND c.relname !~ '^alembic_version' ORDER BY 1
    LOOP
        EXECUTE format('SELECT count(*) FROM %I.%I', $2, t) INTO n;
        CONTINUE WHEN n = 0;
        other := other || ROW(t, NULL, format('%s row%s', n, CASE WHEN n > 1 THEN 's' ELSE '' END), NULL,
            CASE t WHEN 'ps_contacts' THEN 'where phones were registered is not taken: they register here' ELSE 'not understood' END, NULL, NULL)::pbx.import_told;
    END LOOP;

    RETURN QUERY SELECT * FROM pbx.import_asterisk_lines($1, $3,
        ARRAY(SELECT ROW('extensions', n::integer, c.context, 0, '{}', NULL, NULL)::pbx.conf_line
              FROM (SELECT r.has ->> 'context' AS context, min(r.n) AS n FROM pbx.realtime_rows($2, 'extensions') AS r GROUP BY 1) AS c ORDER BY n)
        || ARRAY(SELECT ROW('extensions', r.n, r.has ->> 'context', 0, '{}', 'exten', concat_ws(',', r.has ->> 'exten', r.has ->> 'priority', format('%s(%s)', r.has ->> 'app', r.has ->> 'appdata')))::pbx.conf_line
              FROM pbx.realtime_rows($2, 'extensions') AS r ORDER BY r.n),
        ARRAY(SELECT l FROM (VALUES (1, 'ps_endpoints', 'endpoint'), (2, 'ps_auths', 'auth'), (3, 'ps_aors', 'aor'), (4, 'ps_registrations', 'registration'), (5, 'ps_endpoint_id_ips', 'identify')) AS x(o, name, type),
              LATERAL pbx.realtime_lines($2, x.name, x.type) AS l ORDER BY x.o),
        ARRAY(SELECT ROW(box, r.n, coalesce(r.has ->> 'context', 'default'), r.n, '{}', r.has ->> 'mailbox', concat_ws(',', coalesce(r.has ->> 'password', ''), coalesce(translate(r.has ->> 'fullname', ',', ' '), ''),
                  coalesce(r.has ->> 'email', ''), '', concat_ws('|', 'tz=' || nullif(r.has ->> 'tz', ''), 'language=' || nullif(r.has ->> 'language', ''))))::pbx.conf_line FROM pbx.realtime_rows($2, box) AS r ORDER BY r.n),
        other);
END $$;
COMMENT ON FUNCTION pbx.import_asterisk_tables(text, name, text) IS 'Puts an office from Asterisk''s realtime tables into a draft: ps_endpoints, ps_auths, ps_aors, ps_registrations, ps_endpoint_id_ips, voicemail and extensions, as they stand in a schema of this database, restored or foreign. Returns what import_asterisk() returns; line is the row in order of its id, or of context, exten and priority. What of the office is in files goes into the same draft with import_asterisk().';
