-- An import into an office that is there, and what is refused, in words of people.

CREATE OR REPLACE FUNCTION pbx.import_make(domain text, objects jsonb) RETURNS TABLE (n integer, problem text) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    o record;
    detail text;
    their_table text;
BEGIN
    FOR o IN SELECT (x ->> 'n')::integer AS n, x ->> 'sql' AS sql FROM jsonb_array_elements(objects) AS x LOOP
        BEGIN
            EXECUTE o.sql;
            PERFORM pbx.constraints_set('IMMEDIATE');
            PERFORM pbx.constraints_set('INITIAL');
        EXCEPTION WHEN integrity_constraint_violation OR data_exception OR syntax_error_or_access_rule_violation THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, their_table = TABLE_NAME;
            n := o.n;
            -- What isn't there, in place of the name of a constraint. Which one the line says, and PostgreSQL doesn't where rows are guarded.
            problem := coalesce(CASE WHEN SQLSTATE = '23503' AND detail LIKE '%is not present in table%' THEN
                format('there is no %s for this %s', replace(substring(detail FROM 'is not present in table "(.*)"'), '_', ' '), replace(their_table, '_', ' ')) END, SQLERRM);
            RETURN NEXT;
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.import_make(text, jsonb) IS 'For imports: makes objects, [{"n", "sql"}], one after the other; which can''t be, and why.';

CREATE OR REPLACE FUNCTION pbx.command_refuse(message text, hint text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF hint = '' THEN
        RAISE EXCEPTION '%', message USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RAISE EXCEPTION '%', message USING ERRCODE = 'invalid_parameter_value', HINT = hint;
END $$;
COMMENT ON FUNCTION pbx.command_refuse(text, text) IS 'Refuses a command.';

CREATE OR REPLACE FUNCTION pbx.import_asterisk(domain text, extensions_conf text, pjsip_conf text DEFAULT NULL, voicemail_conf text DEFAULT NULL, draft text DEFAULT 'asterisk')
    RETURNS TABLE (file text, line integer, said text, problem text, fix text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    objects jsonb := '[]';
    report jsonb := '[]';
    failed jsonb;
    globals jsonb;
    r record;
    s record;
    m text[];
    call text[];
    steps text;
    position integer;
    dialled boolean;
    lost boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM pbx.domain AS d WHERE d.domain = $1) THEN
        RAISE EXCEPTION 'there is no domain %', $1 USING ERRCODE = 'foreign_key_violation';
    END IF;

    -- Contexts first: phones, trunks and routes are in them.
    FOR r IN
        SELECT DISTINCT ON (x.context) x.* FROM (
            SELECT 'extensions.conf' AS file, c.line, c.section AS context FROM pbx.conf_parse($2) AS c WHERE c.key IS NULL AND c.section NOT IN ('general', 'globals')
            UNION ALL SELECT 'pjsip.conf', c.line, c.value FROM pbx.conf_parse($3) AS c WHERE c.key = 'context') AS x ORDER BY x.context, x.file, x.line
    LOOP
        objects := objects || jsonb_build_object('n', jsonb_array_length(objects), 'file', r.file, 'line', r.line, 'said', format('[%s]', r.context),
            'sql', format('INSERT INTO pbx.context (domain, context) VALUES (%L, %L) ON CONFLICT DO NOTHING', $1, r.context));
    END LOOP;

    -- Phones and trunks. What a section has of its templates comes before its own.
    FOR r IN
        WITH part AS (
            SELECT c.section, c.section_line, min(c.line) AS line, '!' = ANY (c.templates) AS is_template, c.templates,
                   coalesce(jsonb_object_agg(c.key, c.value ORDER BY c.line) FILTER (WHERE c.key IS NOT NULL AND c.value IS NOT NULL AND c.key NOT IN ('allow', 'match', 'contact')), '{}')
                   || jsonb_strip_nulls(jsonb_build_object('allow', string_agg(c.value, ',' ORDER BY c.line) FILTER (WHERE c.key = 'allow'), 'match', string_agg(c.value, ',') FILTER (WHERE c.key = 'match'),
                                                           'contact', (array_agg(c.value ORDER BY c.line) FILTER (WHERE c.key = 'contact'))[1])) AS own
            FROM pbx.conf_parse($3) AS c WHERE c.section IS NOT NULL GROUP BY c.section, c.section_line, c.templates
        ), whole AS (
            SELECT p.section, p.line, coalesce((SELECT jsonb_object_agg(e.key, e.value ORDER BY u.n) FROM unnest(p.templates) WITH ORDINALITY AS u(name, n)
                                                JOIN part AS t ON t.section = u.name AND t.is_template, jsonb_each(t.own) AS e), '{}') || p.own AS has
            FROM part AS p WHERE NOT p.is_template
        ), endpoint AS (
            SELECT w.*, (SELECT a.has FROM whole AS a WHERE a.has ->> 'type' = 'aor' AND a.section = split_part(w.has ->> 'aors', ',', 1) LIMIT 1) AS aor,
                   (SELECT a.has FROM whole AS a WHERE a.has ->> 'type' = 'auth' AND a.section = w.has ->> 'auth' LIMIT 1) AS auth,
                   (SELECT a.has FROM whole AS a WHERE a.has ->> 'type' = 'auth' AND a.section = w.has ->> 'outbound_auth' LIMIT 1) AS outbound_auth,
                   (SELECT a.has FROM whole AS a WHERE a.has ->> 'type' = 'registration' AND (a.has ->> 'endpoint' = w.section OR a.has ->> 'outbound_auth' = w.has ->> 'outbound_auth') LIMIT 1) AS registration,
                   (SELECT a.has ->> 'match' FROM whole AS a WHERE a.has ->> 'type' = 'identify' AND a.has ->> 'endpoint' = w.section LIMIT 1) AS match
            FROM whole AS w WHERE w.has ->> 'type' = 'endpoint'
        )
        SELECT e.*, e.registration IS NOT NULL OR e.match IS NOT NULL OR e.aor ? 'contact' OR e.has ? 'outbound_auth' AS is_trunk, regexp_match(e.has ->> 'callerid', '^\s*"?([^"<]*?)"?\s*(?:<([^>]*)>)?\s*$') AS callerid,
               (SELECT array_agg(k.ours ORDER BY u.n) FROM regexp_split_to_table(e.has ->> 'allow', '\s*,\s*') WITH ORDINALITY AS u(name, n)
                JOIN (VALUES ('ulaw', 'PCMU'), ('alaw', 'PCMA'), ('g722', 'G722'), ('opus', 'opus'), ('gsm', 'GSM'), ('g726', 'G726-32'), ('slin16', 'L16/16000'), ('slin', 'L16/8000')) AS k(theirs, ours) ON k.theirs = u.name) AS codecs
        FROM endpoint AS e ORDER BY e.line
    LOOP
        IF r.is_trunk THEN
            objects := objects || jsonb_build_object('n', jsonb_array_length(objects), 'file', 'pjsip.conf', 'line', r.line, 'said', format('[%s]', r.section), 'sql',
                format('INSERT INTO pbx.trunk (domain, name, context, uri%1$s, registrar, register_as) SELECT %2$L, %3$L, coalesce(%4$L, d.default_context), %5$L%6$s, %7$L, %8$L FROM pbx.domain AS d WHERE d.domain = %2$L',
                       CASE WHEN r.codecs IS NOT NULL THEN ', codecs' ELSE '' END, $1, r.section, r.has ->> 'context', regexp_replace(coalesce(r.aor ->> 'contact', r.registration ->> 'server_uri'), '^(sips?:)[^@]*@', '\1'),
                       CASE WHEN r.codecs IS NOT NULL THEN format(', %L', r.codecs) ELSE '' END, regexp_replace(r.registration ->> 'server_uri', '^(sips?:)[^@]*@', '\1'),
                       substring(r.registration ->> 'client_uri' FROM '^sips?:([^;:?]+)')));
            FOR s IN SELECT btrim(u) AS address FROM unnest(string_to_array(r.match, ',')) AS u LOOP
                objects := objects || jsonb_build_object('n', jsonb_array_length(objects), 'file', 'pjsip.conf', 'line', r.line, 'said', format('match=%s', s.address), 'sql',
                    format('INSERT INTO pbx.trunk_address VALUES (%L, %L, %L)', $1, r.section, s.address));
            END LOOP;
            IF r.outbound_auth ?& '{username,password}' THEN
                report := report || jsonb_build_object('file', 'pjsip.conf', 'line', r.line, 'said', format('[%s]', r.section), 'problem', 'its password is not kept in drafts: set it when the draft is active',
                    'fix', format('UPDATE pbx.trunk SET auth_user = %L, auth_password = %L%s WHERE (domain, name) = (%L, %L)', r.outbound_auth ->> 'username', r.outbound_auth ->> 'password',
                                  CASE WHEN r.registration IS NOT NULL THEN ', register = true' ELSE '' END, $1, r.section));
            END IF;
        ELSE
            objects := objects || jsonb_build_object('n', jsonb_array_length(objects), 'file', 'pjsip.conf', 'line', r.line, 'said', format('[%s]', r.section), 'sql',
                format('INSERT INTO pbx.extension (domain, number, display_name, context%1$s) SELECT %2$L, %3$L, %4$L, coalesce(%5$L, d.default_context)%6$s FROM pbx.domain AS d WHERE d.domain = %2$L',
                       CASE WHEN r.codecs IS NOT NULL THEN ', codecs' ELSE '' END, $1, r.section, coalesce(r.callerid[1], ''), r.has ->> 'context', CASE WHEN r.codecs IS NOT NULL THEN format(', %L', r.codecs) ELSE '' END));
            IF r.auth ? 'password' THEN
                objects := objects || jsonb_build_object('n', jsonb_array_length(objects), 'file', 'pjsip.conf', 'line', r.line, 'said', format('auth=%s', r.has ->> 'auth'), 'sql',
                    format('INSERT INTO pbx.credential (domain, auth_name, number) VALUES (%L, %L, %L)', $1, coalesce(r.auth ->> 'username', r.section), r.section));
                report := report || jsonb_build_object('file', 'pjsip.conf', 'line', r.line, 'said', format('[%s]', r.section), 'problem', 'its password is not kept in drafts: set it when the draft is active',
                    'fix', format('SELECT pbx.set_password(%L, %L, %L)', $1, coalesce(r.auth ->> 'username', r.section), r.auth ->> 'password'));
            END IF;
        END IF;
    END LOOP;
    SELECT report || coalesce(jsonb_agg(jsonb_build_object('file', 'pjsip.conf', 'line', c.line, 'said', concat_ws('=', c.key, c.value), 'problem', 'not understood') ORDER BY c.line), '[]') INTO report
    FROM pbx.conf_parse($3) AS c
    WHERE c.value IS NULL AND c.key IS NOT NULL OR c.key NOT IN ('type', 'context', 'allow', 'disallow', 'aors', 'auth', 'outbound_auth', 'callerid', 'contact', 'match', 'endpoint', 'server_uri', 'client_uri',
        'username', 'password', 'auth_type', 'transport', 'max_contacts', 'remove_existing', 'protocol', 'bind', 'mailboxes', 'retry_interval', 'qualify_frequency', 'direct_media', 'rewrite_contact', 'rtp_symmetric', 'force_rport')
      OR c.key = 'type' AND c.value NOT IN ('endpoint', 'aor', 'auth', 'registration', 'identify', 'transport', 'global', 'system');

    -- Mailboxes
    FOR r IN SELECT c.*, string_to_array(c.value, ',') AS parts FROM pbx.conf_parse($4) AS c WHERE c.key IS NOT NULL AND c.section NOT IN ('general', 'zonemessages') ORDER BY c.line LOOP
        objects := objects || jsonb_build_object('n', jsonb_array_length(objects), 'file', 'voicemail.conf', 'line', r.line, 'said', format('%s => ...,%s', r.key, array_to_string(r.parts[2:], ',')), 'sql',
            format('INSERT INTO pbx.mailbox (domain, number, email) VALUES (%L, %L, %L)', $1, r.key, nullif(btrim(r.parts[3]), '')));
        IF r.parts[1] ~ '^[0-9]{3,12}$' THEN
            report := report || jsonb_build_object('file', 'voicemail.conf', 'line', r.line, 'said', r.key, 'problem', 'its PIN is not kept in drafts: set it when the draft is active',
                'fix', format('SELECT pbx.set_pin(%L, %L, %L)', $1, r.key, r.parts[1]));
        END IF;
    END LOOP;
    SELECT report || coalesce(jsonb_agg(jsonb_build_object('file', 'voicemail.conf', 'line', c.line, 'said', concat_ws('=', c.key, c.value), 'problem', 'not understood') ORDER BY c.line), '[]') INTO report
    FROM pbx.conf_parse($4) AS c WHERE c.key IS NOT NULL AND c.section IN ('general', 'zonemessages');

    -- The dialplan
    SELECT coalesce(jsonb_object_agg(upper(c.key), c.value), '{}') INTO globals FROM pbx.conf_parse($2) AS c WHERE c.section = 'globals' AND c.key IS NOT NULL AND c.value IS NOT NULL;
    FOR r IN
        -- "same" goes on with the number of the line before.
        WITH lines AS (
            SELECT c.*, CASE c.key WHEN 'exten' THEN regexp_match(c.value, '^([^,]+?)\s*,\s*([^,]+?)\s*,\s*(.*)$') WHEN 'same' THEN regexp_match(c.value, '^()\s*([^,]+?)\s*,\s*(.*)$') END AS m,
                   count(*) FILTER (WHERE c.key = 'exten') OVER (ORDER BY c.line) AS exten
            FROM pbx.conf_parse($2) AS c WHERE c.key IS NOT NULL AND c.section NOT IN ('general', 'globals')
        ), named AS (
            SELECT l.*, first_value(l.m[1]) OVER (PARTITION BY l.exten ORDER BY l.line) AS theirs FROM lines AS l WHERE l.key IN ('exten', 'same')
        )
        -- A dash in a number is there to be read.
        SELECT n.section, n.theirs, replace(n.theirs, '-', '') AS pattern, min(n.line) AS line, jsonb_agg(jsonb_build_object('line', n.line, 'priority', n.m[2], 'call', n.m[3], 'value', n.value) ORDER BY n.line) AS calls
        FROM named AS n GROUP BY n.section, n.theirs ORDER BY min(n.line)
    LOOP
        steps := '';
        position := 0;
        dialled := false;
        lost := false;
        FOR s IN SELECT (c ->> 'line')::integer AS line, c ->> 'priority' AS priority, c ->> 'call' AS call, c ->> 'value' AS value FROM jsonb_array_elements(r.calls) AS c LOOP
            CONTINUE WHEN s.priority = 'hint'; -- lamps need none here
            m := regexp_match(s.call, '^\s*([A-Za-z]+)\s*(?:\((.*)\))?\s*$');
            IF r.theirs ~ '^([a-z]$|[A-Za-z].*-)' OR r.theirs ~ '/' OR m IS NULL THEN
                lost := true;
                report := report || jsonb_build_object('file', 'extensions.conf', 'line', s.line, 'said', s.value, 'problem',
                    CASE WHEN r.theirs ~ '^([a-z]$|[A-Za-z].*-)' THEN format('"%s" is nothing that is dialled', r.theirs) WHEN r.theirs ~ '/' THEN 'a route doesn''t ask for the caller: give a step the condition caller=...' ELSE 'not understood' END);
                CONTINUE;
            END IF;
            call := ARRAY(SELECT pbx.asterisk_text(u, globals) FROM unnest(string_to_array(coalesce(m[2], ''), ',')) AS u);
            IF array_position(call, NULL) IS NOT NULL AND lower(m[1]) NOT IN ('noop', 'verbose', 'log') THEN
                lost := true;
                report := report || jsonb_build_object('file', 'extensions.conf', 'line', s.line, 'said', s.value, 'problem', 'a variable or expression has no counterpart');
                CONTINUE;
            END IF;
            FOR s IN SELECT s.line, s.value, t.* FROM pbx.asterisk_step(m[1], call) AS t LOOP
                IF s.problem IS NULL AND s.app IS NOT NULL THEN
                    s.problem := pbx.prompt_missing($1, s.args ->> 'phrases');
                    IF s.problem IS NOT NULL THEN
                        s.app := NULL;
                        s.problem := format('there is no prompt or phrase %s', s.problem);
                    END IF;
                END IF;
                IF s.problem IS NOT NULL THEN
                    report := report || jsonb_build_object('file', 'extensions.conf', 'line', s.line, 'said', s.value, 'problem', s.problem);
                END IF;
                lost := lost OR s.app IS NULL AND s.problem IS NOT NULL;
                CONTINUE WHEN s.app IS NULL;
                IF s.app = 'conference' AND s.args ->> 'conference' ~ '^[0-9]+$' THEN
                    objects := objects || jsonb_build_object('n', jsonb_array_length(objects), 'file', 'extensions.conf', 'line', s.line, 'said', s.value, 'sql',
                        format('INSERT INTO pbx.conference (domain, number) VALUES (%L, %L) ON CONFLICT DO NOTHING', $1, s.args ->> 'conference'));
                END IF;
                position := position + 1;
                -- In Asterisk a call that was answered ends after Dial.
                steps := steps || format('; INSERT INTO pbx.step VALUES (%L, %L, %L, %s, %L, %L, %L)', $1, r.section, r.pattern, position, s.app, s.args,
                                         CASE WHEN dialled THEN 'result!=answered' END);
                dialled := dialled OR s.app = 'dial';
            END LOOP;
        END LOOP;
        CONTINUE WHEN steps = '';
        IF lost THEN
            report := report || jsonb_build_object('file', 'extensions.conf', 'line', r.line, 'said', format('exten => %s', r.theirs), 'problem', 'steps of it are missing, so the route is not enabled',
                'fix', format('UPDATE pbx.route SET enabled = true WHERE (domain, context, pattern) = (%L, %L, %L)', $1, r.section, r.pattern));
        END IF;
        objects := objects || jsonb_build_object('n', jsonb_array_length(objects), 'file', 'extensions.conf', 'line', r.line, 'said', format('exten => %s', r.theirs), 'sql',
            format('INSERT INTO pbx.route (domain, context, pattern, enabled) VALUES (%L, %L, %L, %L)', $1, r.section, r.pattern, NOT lost) || steps);
    END LOOP;
    -- After those that the context has, unless it has this one.
    FOR r IN SELECT c.* FROM pbx.conf_parse($2) AS c WHERE c.key = 'include' ORDER BY c.line LOOP
        objects := objects || jsonb_build_object('n', jsonb_array_length(objects), 'file', 'extensions.conf', 'line', r.line, 'said', format('include => %s', r.value), 'sql',
            format('INSERT INTO pbx.context_include (domain, context, position, included) SELECT %1$L, %2$L, 1 + coalesce(max(position), 0), %3$L FROM pbx.context_include '
                   'WHERE (domain, context) = (%1$L, %2$L) HAVING bool_or(included = %3$L) IS NOT true', $1, r.section, r.value));
    END LOOP;
    SELECT report || coalesce(jsonb_agg(jsonb_build_object('file', 'extensions.conf', 'line', c.line, 'said', concat_ws(' => ', c.key, c.value), 'problem', 'not understood') ORDER BY c.line), '[]') INTO report
    FROM pbx.conf_parse($2) AS c WHERE c.key IS NOT NULL AND (c.key NOT IN ('exten', 'same', 'include') AND c.section <> 'globals' OR c.value IS NULL);

    -- Tried once, to find out what can't be; the rest is the draft.
    INSERT INTO pbx.draft (domain, draft, note) VALUES ($1, $5, 'from Asterisk') ON CONFLICT ON CONSTRAINT draft_pkey DO NOTHING;
    failed := pbx.draft_try(pbx.draft_changes($1, $5), NULL, format('SELECT * FROM pbx.import_make(%L, %L)', $1, objects)) -> 'told';
    SELECT report || coalesce(jsonb_agg(o || jsonb_build_object('problem', f ->> 'problem')), '[]') INTO report
    FROM jsonb_array_elements(failed) AS f JOIN jsonb_array_elements(objects) AS o ON o -> 'n' = f -> 'n';
    PERFORM pbx.draft_record($1, $5, format('SELECT * FROM pbx.import_make(%L, %L)', $1, (
        SELECT coalesce(jsonb_agg(o ORDER BY n), '[]') FROM jsonb_array_elements(objects) WITH ORDINALITY AS u(o, n) WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(failed) AS f WHERE f -> 'n' = o -> 'n'))));
    RETURN QUERY SELECT x.file, x.line, x.said, x.problem, x.fix FROM jsonb_to_recordset(report) AS x(file text, line integer, said text, problem text, fix text) ORDER BY x.file, x.line, x.problem;
END $$;
COMMENT ON FUNCTION pbx.import_asterisk(text, text, text, text, text) IS 'Puts an office from Asterisk into a draft: the texts of extensions.conf, pjsip.conf and voicemail.conf. Returns what was not understood or can''t be, line by line, and for passwords and PINs, which are not kept in drafts, the statement that sets each when the draft is active. Nothing is changed yet: see draft_show(), draft_explain(), activate().';
