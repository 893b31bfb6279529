-- What a dialplan refers to must exist, when it is committed.
--
-- Two directions. Rows that refer to something are checked by deferred triggers of their own. When something that
-- could be referred to goes, a statement notes it in recheck, and at COMMIT whatever may have meant it is
-- checked again. So within a transaction the order of statements is free, and a bulk import pays once a row.

CREATE FUNCTION pbx.refuse(row_name text, problem text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%: %', row_name, problem USING ERRCODE = 'check_violation';
    END IF;
END $$;
COMMENT ON FUNCTION pbx.refuse(text, text) IS 'Raises an error that names the row and the reason; does nothing when the reason is NULL.';

-- Steps and their arguments ------------------------------------------------------------------------

CREATE FUNCTION pbx.value_problem(domain text, type text, value text) RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    found boolean;
BEGIN
    CASE $2
    WHEN 'text' THEN
        RETURN NULL;
    WHEN 'int' THEN
        RETURN CASE WHEN $3 !~ '^-?[0-9]{1,9}$' THEN format('%L is no whole number', $3) END;
    WHEN 'seconds' THEN
        RETURN CASE WHEN $3 !~ '^[0-9]{1,9}$' THEN format('%L is no number of seconds', $3) END;
    WHEN 'bool' THEN
        RETURN CASE WHEN $3 NOT IN ('true', 'yes', 'on', '1', 'false', 'no', 'off', '0') THEN format('%L is neither true nor false', $3) END;
    WHEN 'number' THEN
        RETURN CASE WHEN $3 !~ '^[^\s&]+(&[^\s&]+)*$' THEN format('%L is no number that can be dialled', $3) END;
    WHEN 'prompt' THEN
        RETURN 'there is no prompt or phrase ' || pbx.prompt_missing($1, $3);
    WHEN 'mailbox' THEN
        found := EXISTS (SELECT FROM pbx.mailbox AS t WHERE t.domain = $1 AND t.number = $3);
    WHEN 'menu' THEN
        found := EXISTS (SELECT FROM pbx.menu AS t WHERE t.domain = $1 AND t.number = $3);
    WHEN 'group' THEN
        found := EXISTS (SELECT FROM pbx.ring_group AS t WHERE t.domain = $1 AND t.number = $3);
    WHEN 'music' THEN
        found := EXISTS (SELECT FROM pbx.music_class AS t WHERE t.domain = $1 AND t.class = $3);
    WHEN 'trunk' THEN
        found := EXISTS (SELECT FROM pbx.trunk AS t WHERE t.domain = $1 AND t.name = $3);
    WHEN 'context' THEN
        found := EXISTS (SELECT FROM pbx.context AS t WHERE t.domain = $1 AND t.context = $3);
    END CASE;
    RETURN CASE WHEN NOT found THEN format('there is no %s %L', CASE $2 WHEN 'group' THEN 'ring group' WHEN 'music' THEN 'music class' ELSE $2 END, $3) END;
END $$;
COMMENT ON FUNCTION pbx.value_problem(text, text, text) IS 'Why a value is none of a parameter''s type in a domain; NULL: it is one.';

CREATE FUNCTION pbx.args_problem(domain text, app text, args jsonb) RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    problem text;
BEGIN
    IF NOT EXISTS (SELECT FROM pbx.app AS a WHERE a.app = $2) THEN
        RETURN format('there is no application %L', $2);
    END IF;
    SELECT CASE
        WHEN p.param IS NULL THEN format('application %s has no argument %L', $2, a.key)
        WHEN a.key IS NULL THEN format('application %s needs an argument %L', $2, p.param)
        WHEN jsonb_typeof(a.value) NOT IN ('string', 'number', 'boolean')
            THEN format('argument %L must be one value, not %s', a.key, jsonb_typeof(a.value))
        WHEN (a.value #>> '{}') LIKE '%${%' THEN NULL
        WHEN p.required AND (a.value #>> '{}') = '' THEN format('argument %L is empty', a.key)
        ELSE format('argument %L: ', a.key) || pbx.value_problem($1, p.type, a.value #>> '{}')
        END AS what
    INTO problem
    FROM (SELECT * FROM pbx.app_param WHERE app = $2) AS p
    FULL JOIN jsonb_each($3) AS a ON a.key = p.param
    WHERE a.key IS NOT NULL OR p.required
    ORDER BY what NULLS LAST LIMIT 1;
    RETURN problem;
END $$;
COMMENT ON FUNCTION pbx.args_problem(text, text, jsonb) IS 'What is wrong with an application''s arguments; NULL: nothing. Of values that contain ${ only the names are checked.';

CREATE FUNCTION pbx.step_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pbx.refuse(format('step %s/%s/%s/%s', s.domain, s.context, s.pattern, s.position), pbx.args_problem(s.domain, s.app, s.args))
    FROM pbx.step AS s
    WHERE (s.domain, s.context, s.pattern, s.position) = (NEW.domain, NEW.context, NEW.pattern, NEW.position);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.step_check() IS 'Trigger: at COMMIT, refuses steps whose application is unknown or whose arguments don''t fit it.';
CREATE CONSTRAINT TRIGGER step_check AFTER INSERT OR UPDATE ON pbx.step
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.step_check();

-- Numbers that something leads to ------------------------------------------------------------------

CREATE VIEW pbx.target AS
SELECT f.domain, e.context, f.target, format('forward %s/%s/%s', f.domain, f.number, f.reason) AS held_by
FROM pbx.forward AS f JOIN pbx.extension AS e USING (domain, number)
UNION ALL
SELECT c.domain, m.context, c.target, format('menu choice %s/%s/%s', c.domain, c.number, c.digits)
FROM pbx.menu_choice AS c JOIN pbx.menu AS m USING (domain, number)
UNION ALL
SELECT domain, context, fallback, format('menu %s/%s: its fallback', domain, number)
FROM pbx.menu WHERE fallback IS NOT NULL
UNION ALL
SELECT i.domain, d.default_context, i.target, format('inbound number %s', i.number)
FROM pbx.inbound_number AS i JOIN pbx.domain AS d USING (domain);
COMMENT ON VIEW pbx.target IS 'All numbers to which forwards, menus and inbound numbers lead.';
COMMENT ON COLUMN pbx.target.domain IS 'The domain.';
COMMENT ON COLUMN pbx.target.context IS 'Context in which the number is dialled.';
COMMENT ON COLUMN pbx.target.target IS 'The number.';
COMMENT ON COLUMN pbx.target.held_by IS 'The row that leads there.';

CREATE FUNCTION pbx.dial_problem(domain text, context text, number text) RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    won pbx.route := pbx.match($1, $2, $3);
    vars jsonb := jsonb_build_object('domain', $1, 'context', $2, 'number', $3);
    first pbx.step;
    arg record;
    problem text;
BEGIN
    IF won.pattern IS NULL THEN
        RETURN format('no route of context %s matches %s', $2, $3);
    END IF;
    SELECT * INTO first FROM pbx.step AS s
    WHERE (s.domain, s.context, s.pattern) = (won.domain, won.context, won.pattern) ORDER BY s.position LIMIT 1;
    IF first.condition IS NOT NULL THEN
        RETURN NULL;
    END IF;
    FOR arg IN
        SELECT p.type, pbx.substitute(first.args ->> p.param, vars, true) AS value,
               -- What is dialled through a trunk, or in another context, need not be a number of ours.
               EXISTS (SELECT FROM pbx.app_param AS o WHERE o.app = first.app AND o.type = 'context'
                       OR o.app = first.app AND o.type = 'trunk' AND first.args ? o.param) AS elsewhere
        FROM pbx.app_param AS p WHERE p.app = first.app AND first.args ? p.param
    LOOP
        IF arg.value LIKE '%${%' THEN
            CONTINUE;
        ELSIF arg.type <> 'number' THEN
            problem := pbx.value_problem($1, arg.type, arg.value);
        ELSIF NOT arg.elsewhere THEN
            SELECT format('there is no %s', string_agg(n, ', ')) INTO problem
            FROM unnest(string_to_array(arg.value, '&')) AS n
            WHERE n !~ '[:@]' AND NOT EXISTS (SELECT FROM pbx.number AS x WHERE x.domain = $1 AND x.number = n)
            HAVING count(*) > 0;
        END IF;
        IF problem IS NOT NULL THEN
            RETURN format('dialling %s takes route %s of context %s, and %s', $3, won.pattern, won.context, problem);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.dial_problem(text, text, text) IS 'Why a number dialled in a context would lead nowhere; NULL: it leads somewhere. Looks at the winning route and the arguments of its first step.';

CREATE FUNCTION pbx.forward_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pbx.refuse(format('forward %s/%s/%s', f.domain, f.number, f.reason), pbx.dial_problem(f.domain, e.context, f.target))
    FROM pbx.forward AS f JOIN pbx.extension AS e USING (domain, number)
    WHERE (f.domain, f.number, f.reason) = (NEW.domain, NEW.number, NEW.reason);

    IF NEW.reason = 'always' AND NEW.enabled AND EXISTS (
        WITH RECURSIVE chain AS (
            SELECT NEW.target AS number
            UNION
            SELECT f.target FROM chain AS c JOIN pbx.forward AS f
            ON f.domain = NEW.domain AND f.number = c.number AND f.reason = 'always' AND f.enabled)
        SELECT FROM chain AS c JOIN pbx.forward AS f ON (f.domain, f.number, f.reason, f.target) = (NEW.domain, NEW.number, 'always', NEW.target)
        WHERE c.number = NEW.number AND f.enabled)
    THEN
        PERFORM pbx.refuse(format('forward %s/%s/%s', NEW.domain, NEW.number, NEW.reason),
                           format('calls would go in a circle from %s over %s back to it', NEW.number, NEW.target));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.forward_check() IS 'Trigger: at COMMIT, refuses forwards to numbers that lead nowhere, and circles.';
CREATE CONSTRAINT TRIGGER forward_check AFTER INSERT OR UPDATE ON pbx.forward
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.forward_check();

CREATE FUNCTION pbx.extension_context_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pbx.refuse(format('forward %s/%s/%s', f.domain, f.number, f.reason), pbx.dial_problem(f.domain, e.context, f.target))
    FROM pbx.forward AS f JOIN pbx.extension AS e USING (domain, number)
    WHERE (e.domain, e.number) = (NEW.domain, NEW.number);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.extension_context_check() IS 'Trigger: at COMMIT, refuses a context in which an extension''s forwards lead nowhere.';
CREATE CONSTRAINT TRIGGER context_check AFTER UPDATE ON pbx.extension
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.context <> NEW.context) EXECUTE FUNCTION pbx.extension_context_check();

CREATE FUNCTION pbx.inbound_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pbx.refuse(format('inbound number %s', i.number), pbx.dial_problem(i.domain, d.default_context, i.target))
    FROM pbx.inbound_number AS i JOIN pbx.domain AS d USING (domain)
    -- Also run when a domain changes its default context: then for all its numbers.
    WHERE i.domain = NEW.domain AND (TG_TABLE_NAME = 'domain' OR i.number = to_jsonb(NEW) ->> 'number');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.inbound_check() IS 'Trigger: at COMMIT, refuses inbound numbers that lead nowhere.';
CREATE CONSTRAINT TRIGGER inbound_check AFTER INSERT OR UPDATE ON pbx.inbound_number
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.inbound_check();
CREATE CONSTRAINT TRIGGER inbound_check AFTER UPDATE ON pbx.domain
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.default_context <> NEW.default_context) EXECUTE FUNCTION pbx.inbound_check();

-- Menus --------------------------------------------------------------------------------------------

CREATE FUNCTION pbx.menu_problem(domain text, number text) RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    m pbx.menu;
    c pbx.menu_choice;
    problem text;
BEGIN
    SELECT * INTO m FROM pbx.menu AS x WHERE x.domain = $1 AND x.number = $2;
    IF NOT FOUND THEN
        RETURN NULL;
    ELSIF NOT EXISTS (SELECT FROM pbx.menu_choice AS x WHERE x.domain = $1 AND x.number = $2) THEN
        RETURN 'it has no choices';
    END IF;
    problem := coalesce('there is no prompt or phrase ' || pbx.prompt_missing($1, m.prompt),
                        'there is no prompt or phrase ' || pbx.prompt_missing($1, m.invalid_prompt),
                        'its fallback: ' || CASE WHEN m.fallback IS NOT NULL THEN pbx.dial_problem($1, m.context, m.fallback) END);
    IF problem IS NOT NULL THEN
        RETURN problem;
    END IF;
    FOR c IN SELECT * FROM pbx.menu_choice AS x WHERE x.domain = $1 AND x.number = $2 LOOP
        problem := format('choice %s: ', c.digits) || pbx.dial_problem($1, m.context, c.target);
        IF problem IS NOT NULL THEN
            RETURN problem;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.menu_problem(text, text) IS 'What is wrong with a menu and its choices; NULL: nothing, or there is none of that number.';

CREATE FUNCTION pbx.menu_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        PERFORM pbx.refuse(format('menu %s/%s', NEW.domain, NEW.number), pbx.menu_problem(NEW.domain, NEW.number));
    END IF;
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND (OLD.domain, OLD.number) IS DISTINCT FROM (NEW.domain, NEW.number) THEN
        PERFORM pbx.refuse(format('menu %s/%s', OLD.domain, OLD.number), pbx.menu_problem(OLD.domain, OLD.number));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.menu_check() IS 'Trigger: at COMMIT, refuses menus without choices, and choices, fallbacks or prompts that lead nowhere.';
CREATE CONSTRAINT TRIGGER menu_check AFTER INSERT OR UPDATE ON pbx.menu
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.menu_check();
CREATE CONSTRAINT TRIGGER menu_check AFTER INSERT OR UPDATE OR DELETE ON pbx.menu_choice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.menu_check();

-- Includes -----------------------------------------------------------------------------------------

CREATE FUNCTION pbx.include_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pbx.context_include AS i WHERE (i.domain, i.context, i.included) = (NEW.domain, NEW.context, NEW.included))
       AND EXISTS (SELECT FROM pbx.context_order(NEW.domain, NEW.included) AS o WHERE o.context = NEW.context)
    THEN
        PERFORM pbx.refuse(format('context %s/%s', NEW.domain, NEW.context),
                           format('it can''t include %s, which itself includes %s', NEW.included, NEW.context));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.include_check() IS 'Trigger: at COMMIT, refuses contexts that include each other in a circle.';
CREATE CONSTRAINT TRIGGER include_check AFTER INSERT OR UPDATE ON pbx.context_include
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.include_check();

-- What went ----------------------------------------------------------------------------------------

CREATE TABLE pbx.recheck (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain text NOT NULL,
    what   text NOT NULL,
    gone   text[] NOT NULL
);
COMMENT ON TABLE pbx.recheck IS 'What transactions that are not committed yet took away. Seen from outside it is always empty.';
COMMENT ON COLUMN pbx.recheck.id IS 'Order of the statements.';
COMMENT ON COLUMN pbx.recheck.domain IS 'The domain.';
COMMENT ON COLUMN pbx.recheck.what IS 'number, route, include, or a type of pbx.app_param.';
COMMENT ON COLUMN pbx.recheck.gone IS 'Keys; for a route: context/pattern.';

CREATE FUNCTION pbx.recheck_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- TG_ARGV: what, and the expression of the key, which is NULL for rows that nothing can refer to
    EXECUTE format('INSERT INTO pbx.recheck (domain, what, gone)
                    SELECT domain, %L, array_agg(k) FROM (SELECT domain, %s AS k FROM old_rows %s) AS x
                    WHERE k IS NOT NULL GROUP BY domain', TG_ARGV[0], TG_ARGV[1],
                   CASE TG_OP WHEN 'UPDATE' THEN format('EXCEPT SELECT domain, %s FROM new_rows', TG_ARGV[1]) ELSE '' END);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.recheck_note() IS 'Trigger: notes which keys a statement took away.';

CREATE FUNCTION pbx.recheck_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM pbx.recheck WHERE id = NEW.id;
    IF NEW.what IN ('number', 'route', 'include') THEN
        PERFORM pbx.refuse(t.held_by, pbx.dial_problem(t.domain, t.context, t.target))
        FROM pbx.target AS t
        WHERE t.domain = NEW.domain AND (NEW.what = 'include' OR EXISTS (
            SELECT FROM unnest(NEW.gone) AS g WHERE CASE NEW.what
                -- a target may contain the number, as **1001 does
                WHEN 'number' THEN strpos(t.target, g) > 0
                ELSE pbx.pattern_matches(substr(g, strpos(g, '/') + 1), t.target) END));
        RETURN NULL;
    END IF;
    PERFORM pbx.refuse(format('step %s/%s/%s/%s', s.domain, s.context, s.pattern, s.position), pbx.args_problem(s.domain, s.app, s.args))
    FROM pbx.step AS s JOIN pbx.app_param AS p ON p.app = s.app AND p.type = NEW.what
    WHERE s.domain = NEW.domain
      AND CASE NEW.what WHEN 'prompt' THEN string_to_array(s.args ->> p.param, '&') ELSE ARRAY[s.args ->> p.param] END && NEW.gone;
    IF NEW.what = 'prompt' THEN
        PERFORM pbx.refuse(format('menu %s/%s', m.domain, m.number), pbx.menu_problem(m.domain, m.number))
        FROM pbx.menu AS m
        WHERE m.domain = NEW.domain AND string_to_array(concat_ws('&', m.prompt, m.invalid_prompt), '&') && NEW.gone;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.recheck_run() IS 'Trigger: at COMMIT, refuses that something went which is still referred to.';
CREATE CONSTRAINT TRIGGER recheck_run AFTER INSERT ON pbx.recheck
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.recheck_run();

CREATE PROCEDURE pbx.recheck_watch(tab regclass, what text, key text) LANGUAGE plpgsql AS $$
DECLARE
    call text := format('FOR EACH STATEMENT EXECUTE FUNCTION pbx.recheck_note(%L, %L)', what, key);
BEGIN
    EXECUTE format('CREATE TRIGGER %I AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows %s',
                   'recheck_update_' || what, tab, call);
    EXECUTE format('CREATE TRIGGER %I AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows %s',
                   'recheck_delete_' || what, tab, call);
END $$;
COMMENT ON PROCEDURE pbx.recheck_watch(regclass, text, text) IS 'For migrations: has references checked again when keys of a table go.';

CALL pbx.recheck_watch('pbx.number', 'number', 'number');
CALL pbx.recheck_watch('pbx.route', 'route', 'CASE WHEN enabled THEN context || ''/'' || pattern END');
CALL pbx.recheck_watch('pbx.context_include', 'include', 'context || ''/'' || included');
CALL pbx.recheck_watch('pbx.mailbox', 'mailbox', 'number');
CALL pbx.recheck_watch('pbx.menu', 'menu', 'number');
CALL pbx.recheck_watch('pbx.ring_group', 'group', 'number');
CALL pbx.recheck_watch('pbx.music_class', 'music', 'class');
CALL pbx.recheck_watch('pbx.trunk', 'trunk', 'name');
CALL pbx.recheck_watch('pbx.context', 'context', 'context');
CALL pbx.recheck_watch('pbx.prompt', 'prompt', 'name');

-- Vocabulary ---------------------------------------------------------------------------------------

CREATE FUNCTION pbx.app_register(doc jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    -- Several nodes may start at once.
    LOCK TABLE pbx.app IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM pbx.app AS a WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(doc) AS d WHERE d ->> 'name' = a.app);
    INSERT INTO pbx.app (app, help)
    SELECT d ->> 'name', coalesce(d ->> 'help', '') FROM jsonb_array_elements(doc) AS d
    ON CONFLICT (app) DO UPDATE SET help = excluded.help;

    DELETE FROM pbx.app_param AS p WHERE NOT EXISTS (
        SELECT FROM jsonb_array_elements(doc) AS d, jsonb_array_elements(coalesce(d -> 'params', '[]')) AS q
        WHERE d ->> 'name' = p.app AND q ->> 'name' = p.param);
    INSERT INTO pbx.app_param (app, param, type, required, default_value, help)
    SELECT d ->> 'name', q ->> 'name', q ->> 'type', coalesce((q ->> 'required')::boolean, false), q ->> 'default', coalesce(q ->> 'help', '')
    FROM jsonb_array_elements(doc) AS d, jsonb_array_elements(coalesce(d -> 'params', '[]')) AS q
    ON CONFLICT (app, param) DO UPDATE
    SET type = excluded.type, required = excluded.required, default_value = excluded.default_value, help = excluded.help;

    RETURN (SELECT count(*) FROM pbx.step AS s WHERE pbx.args_problem(s.domain, s.app, s.args) IS NOT NULL);
END $$;
COMMENT ON FUNCTION pbx.app_register(jsonb) IS 'Replaces the vocabulary of applications: [{"name", "help", "params": [{"name", "type", "required", "default", "help"}]}]. Steps that exist are not refused; returns how many no longer fit (see pbx.problem).';

CREATE VIEW pbx.problem AS
SELECT format('step %s/%s/%s/%s', s.domain, s.context, s.pattern, s.position) AS row_name, pbx.args_problem(s.domain, s.app, s.args) AS problem
FROM pbx.step AS s WHERE pbx.args_problem(s.domain, s.app, s.args) IS NOT NULL
UNION ALL
SELECT t.held_by, pbx.dial_problem(t.domain, t.context, t.target)
FROM pbx.target AS t WHERE pbx.dial_problem(t.domain, t.context, t.target) IS NOT NULL
UNION ALL
SELECT format('route %s/%s/%s', r.domain, r.context, r.pattern), 'it has no steps'
FROM pbx.route AS r WHERE r.enabled AND NOT EXISTS (
    SELECT FROM pbx.step AS s WHERE (s.domain, s.context, s.pattern) = (r.domain, r.context, r.pattern))
UNION ALL
SELECT format('ring_group %s/%s', g.domain, g.number), 'it has no members'
FROM pbx.ring_group AS g WHERE NOT EXISTS (
    SELECT FROM pbx.ring_group_member AS m WHERE (m.domain, m.number) = (g.domain, g.number))
UNION ALL
SELECT format('extension %s/%s', e.domain, e.number), 'it has no password, so no phone can register'
FROM pbx.extension AS e WHERE e.enabled AND NOT EXISTS (
    SELECT FROM pbx.credential AS c WHERE (c.domain, c.number) = (e.domain, e.number) AND c.ha1_md5 IS NOT NULL)
UNION ALL
SELECT format('mailbox %s/%s', m.domain, m.number), 'it has no PIN, so it can''t be opened from other extensions'
FROM pbx.mailbox AS m WHERE m.pin_hash IS NULL
UNION ALL
SELECT format('music_class %s/%s', c.domain, c.class), 'it has no files, so it is silent'
FROM pbx.music_class AS c WHERE NOT EXISTS (
    SELECT FROM pbx.music_file AS f WHERE (f.domain, f.class) = (c.domain, c.class))
UNION ALL
SELECT format('menu %s/%s', m.domain, m.number), 'there is no prompt or phrase ' || pbx.prompt_missing(m.domain, concat_ws('&', m.prompt, m.invalid_prompt))
FROM pbx.menu AS m WHERE pbx.prompt_missing(m.domain, concat_ws('&', m.prompt, m.invalid_prompt)) IS NOT NULL;
COMMENT ON VIEW pbx.problem IS 'Rows that are allowed but won''t work as they are: look here first.';
COMMENT ON COLUMN pbx.problem.row_name IS 'The row.';
COMMENT ON COLUMN pbx.problem.problem IS 'What is wrong with it.';
