-- Scripts, where steps don't suffice: Lua 5.4, with every application as a function.
--
-- PostgreSQL can't compile them. So servers do, as soon as a script is committed, and write down what they find: a step may name a
-- script that doesn't compile yet, as it may name a prompt that says nothing sensible, and pbx.check tells of it.

CREATE TABLE pbx.script (
    domain  text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    name    text NOT NULL,
    source  text NOT NULL,
    comment text NOT NULL DEFAULT '',
    PRIMARY KEY (domain, name),
    CONSTRAINT script_is_a_short_name CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    CONSTRAINT source_is_not_empty CHECK (source ~ '\S'),
    CONSTRAINT source_has_at_most_64_kb CHECK (octet_length(source) <= 65536),
    CONSTRAINT source_is_text CHECK (source !~ '[\x01-\x08\x0b\x0c\x0e-\x1f]')
);
COMMENT ON TABLE pbx.script IS 'Scripts in Lua 5.4, run by the application "script". Every application is a function in them, its arguments by name, dial{number = "1002"}, or in their order; it returns the result as conditions have it. goto is goto_, since Lua has that word itself. get(variable), exists(number), is_answered(), now() and log(text) are there, too, and of Lua what computes: no files, no network, no metatables, no coroutines. What it returns is the step''s result: return "busy"; an error is "error", with line and message in pbx.why(). A changed script is in force at COMMIT; calls that run it keep what they run. Whether it compiles is in pbx.script_state, and, if not, in pbx.check.';
COMMENT ON COLUMN pbx.script.domain IS 'The domain.';
COMMENT ON COLUMN pbx.script.name IS 'Its name, as steps have it.';
COMMENT ON COLUMN pbx.script.source IS 'The script.';
COMMENT ON COLUMN pbx.script.comment IS 'For people.';
CALL pbx.change_watch('pbx.script', 'script', 'domain', 'name');
CALL pbx.audit_watch('pbx.script');
CALL pbx.tenant_table('pbx.script', '{SELECT,INSERT,UPDATE,DELETE}');
CALL pbx.recheck_watch('pbx.script', 'script', 'name');

ALTER TABLE pbx.domain
    ADD COLUMN script_instructions bigint NOT NULL DEFAULT 1000000 CHECK (script_instructions BETWEEN 10000 AND 1000000000),
    ADD COLUMN script_memory_kb integer NOT NULL DEFAULT 1024 CHECK (script_memory_kb BETWEEN 64 AND 4096);
COMMENT ON COLUMN pbx.domain.script_instructions IS 'How many instructions of Lua a script may carry out, all in all; a million take some 50 ms. Waiting costs none.';
COMMENT ON COLUMN pbx.domain.script_memory_kb IS 'How much memory a script may have, in KiB, 25 of Lua''s own among them.';
-- What a script costs all is not a tenant's to say.
DO $$
DECLARE
    old text[] := (SELECT t.fixed FROM pbx.tenancy AS t WHERE t.tab = 'domain');
BEGIN
    CALL pbx.tenant_table('pbx.domain', fixed => old || '{script_instructions,script_memory_kb}'::text[]);
END $$;

-- Does it compile? ---------------------------------------------------------------------------------

CREATE TABLE pbx.script_state (
    domain  text NOT NULL,
    name    text NOT NULL,
    source  text NOT NULL,
    error   text,
    checked timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain, name),
    CONSTRAINT script_exists FOREIGN KEY (domain, name) REFERENCES pbx.script ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE pbx.script_state IS 'Whether scripts compile. Written by servers, a moment after COMMIT.';
COMMENT ON COLUMN pbx.script_state.domain IS 'The domain.';
COMMENT ON COLUMN pbx.script_state.name IS 'The script.';
COMMENT ON COLUMN pbx.script_state.source IS 'MD5 of the source that was compiled: what is said of another one counts no more.';
COMMENT ON COLUMN pbx.script_state.error IS 'Line and reason why it doesn''t; NULL: it does.';
COMMENT ON COLUMN pbx.script_state.checked IS 'When that was found.';
CALL pbx.tenant_table('pbx.script_state');

CREATE FUNCTION pbx.script_state_set(domain text, name text, source text, error text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.script_state AS t (domain, name, source, error)
    SELECT s.domain, s.name, md5(s.source), $4 FROM pbx.script AS s WHERE (s.domain, s.name, s.source) = ($1, $2, $3)
    ON CONFLICT ON CONSTRAINT script_state_pkey DO UPDATE SET source = excluded.source, error = excluded.error, checked = now()
    WHERE (t.source, t.error) IS DISTINCT FROM (excluded.source, excluded.error)
$$;
COMMENT ON FUNCTION pbx.script_state_set(text, text, text, text) IS 'For servers: whether a source compiles, and why not. Nothing if the script has another one by now.';

-- Steps --------------------------------------------------------------------------------------------

ALTER TABLE pbx.app_param DROP CONSTRAINT app_param_type_check,
    ADD CONSTRAINT app_param_type_check CHECK (type IN ('text', 'number', 'int', 'bool', 'seconds', 'prompt', 'mailbox', 'menu', 'group', 'music',
                                                        'trunk', 'context', 'conference', 'schedule', 'script'));
COMMENT ON COLUMN pbx.app_param.type IS 'What a value must be: text, number (one that can be dialled), int, bool, seconds, prompt (names with & between them), or the key of a mailbox, menu, group, conference, schedule, music class, trunk, context or script of the domain.';

CREATE OR REPLACE FUNCTION pbx.value_problem(domain text, type text, value text) RETURNS text LANGUAGE plpgsql STABLE AS $$
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
    WHEN 'conference' THEN
        found := EXISTS (SELECT FROM pbx.conference AS t WHERE t.domain = $1 AND t.number = $3);
    WHEN 'schedule' THEN
        found := EXISTS (SELECT FROM pbx.schedule AS t WHERE t.domain = $1 AND t.schedule = $3);
    WHEN 'script' THEN
        found := EXISTS (SELECT FROM pbx.script AS t WHERE t.domain = $1 AND t.name = $3);
    WHEN 'music' THEN
        found := EXISTS (SELECT FROM pbx.music_class AS t WHERE t.domain = $1 AND t.class = $3);
    WHEN 'trunk' THEN
        found := EXISTS (SELECT FROM pbx.trunk AS t WHERE t.domain = $1 AND t.name = $3)
              OR EXISTS (SELECT FROM pbx.trunk_group AS t WHERE t.domain = $1 AND t.name = $3);
    WHEN 'context' THEN
        found := EXISTS (SELECT FROM pbx.context AS t WHERE t.domain = $1 AND t.context = $3);
    END CASE;
    RETURN CASE WHEN NOT found THEN format('there is no %s %L', CASE $2 WHEN 'group' THEN 'ring group' WHEN 'music' THEN 'music class' ELSE $2 END, $3) END;
END $$;

INSERT INTO pbx.decision_kind (kind, sentence) VALUES
    ('script_step', 'Script {1}, line {2}: {3}[ ({4})].'),
    ('script_error', 'Script {1} went wrong: {2}[: {3}].');

CREATE OR REPLACE VIEW pbx.problem WITH (security_invoker) AS
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
FROM pbx.without_secret() AS w JOIN pbx.extension AS e ON (e.domain, e.number) = (w.domain, w.number)
WHERE w.kind = 'extension' AND e.enabled
UNION ALL
SELECT format('mailbox %s/%s', w.domain, w.number), 'it has no PIN, so it can''t be opened from other extensions'
FROM pbx.without_secret() AS w WHERE w.kind = 'mailbox'
UNION ALL
SELECT format('music_class %s/%s', c.domain, c.class), 'it has no files, so it is silent'
FROM pbx.music_class AS c WHERE NOT EXISTS (
    SELECT FROM pbx.music_file AS f WHERE (f.domain, f.class) = (c.domain, c.class))
UNION ALL
SELECT format('menu %s/%s', m.domain, m.number), 'there is no prompt or phrase ' || pbx.prompt_missing(m.domain, concat_ws('&', m.prompt, m.invalid_prompt))
FROM pbx.menu AS m WHERE pbx.prompt_missing(m.domain, concat_ws('&', m.prompt, m.invalid_prompt)) IS NOT NULL
UNION ALL
SELECT format('script %s/%s', t.domain, t.name), 'it does not compile: ' || t.error
FROM pbx.script_state AS t JOIN pbx.script AS s ON (s.domain, s.name, md5(s.source)) = (t.domain, t.name, t.source) WHERE t.error IS NOT NULL;
