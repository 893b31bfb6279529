-- Several trunks as one: which is tried first, and which refusals let the next one have its turn.

CREATE FUNCTION pbx.failover_valid(failover text[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(bool_and(f ~ '^([45][0-9]{2}|[45]XX)$'), true) FROM unnest($1) AS f
$$;
COMMENT ON FUNCTION pbx.failover_valid(text[]) IS 'SIP statuses, like 404, or classes of them, 4XX or 5XX?';

CREATE TABLE pbx.trunk_group (
    domain   text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    name     text NOT NULL,
    failover text[] NOT NULL DEFAULT '{408,5XX}',
    PRIMARY KEY (domain, name),
    CONSTRAINT trunk_group_is_a_short_name CHECK (name ~ '^[A-Za-z0-9._-]{1,63}$'),
    CONSTRAINT failover_is_4xx_and_5xx CHECK (pbx.failover_valid(failover))
);
COMMENT ON TABLE pbx.trunk_group IS 'Several trunks as one: steps may name it wherever they may name a trunk. Its trunks are tried one after the other until one takes the call.';
COMMENT ON COLUMN pbx.trunk_group.domain IS 'The domain.';
COMMENT ON COLUMN pbx.trunk_group.name IS 'Its name, which no trunk of the domain has.';
COMMENT ON COLUMN pbx.trunk_group.failover IS 'After which refusals the next trunk is tried: SIP statuses (404) or classes of them (4XX, 5XX). A trunk that is full, unreachable or doesn''t answer counts as 503 or 408. What somebody called says himself, busy or declined, had better not be among them.';

CREATE TABLE pbx.trunk_group_member (
    domain   text NOT NULL,
    name     text NOT NULL,
    trunk    text NOT NULL,
    position integer NOT NULL DEFAULT 1 CHECK (position > 0),
    weight   integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),
    schedule text,
    PRIMARY KEY (domain, name, trunk),
    CONSTRAINT group_exists FOREIGN KEY (domain, name) REFERENCES pbx.trunk_group ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT trunk_exists FOREIGN KEY (domain, trunk) REFERENCES pbx.trunk ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT schedule_exists FOREIGN KEY (domain, schedule) REFERENCES pbx.schedule ON UPDATE CASCADE
);
COMMENT ON TABLE pbx.trunk_group_member IS 'The trunks of groups. How many calls one carries is trunk.call_limit.';
COMMENT ON COLUMN pbx.trunk_group_member.domain IS 'The domain.';
COMMENT ON COLUMN pbx.trunk_group_member.name IS 'The group.';
COMMENT ON COLUMN pbx.trunk_group_member.trunk IS 'The trunk.';
COMMENT ON COLUMN pbx.trunk_group_member.position IS 'Lower ones are tried first.';
COMMENT ON COLUMN pbx.trunk_group_member.weight IS 'Of those of one position: one with 3 comes first three times as often as one with 1.';
COMMENT ON COLUMN pbx.trunk_group_member.schedule IS 'It is tried only while this is open; NULL: always. Emergency calls try it at every time.';
CREATE INDEX trunk_group_member_trunk ON pbx.trunk_group_member (domain, trunk);
COMMENT ON INDEX pbx.trunk_group_member_trunk IS 'Groups of a trunk.';
CALL pbx.change_watch('pbx.trunk_group', 'trunk_group', 'domain', 'name');
CALL pbx.change_watch('pbx.trunk_group_member', 'trunk_group', 'domain', 'name');
CALL pbx.recheck_watch('pbx.trunk_group', 'trunk', 'name');

CREATE FUNCTION pbx.trunk_name_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pbx.trunk AS t JOIN pbx.trunk_group AS g USING (domain, name) WHERE (domain, name) = (NEW.domain, NEW.name)) THEN
        PERFORM pbx.refuse(format('%s %s/%s', replace(TG_TABLE_NAME, '_', ' '), NEW.domain, NEW.name), 'a trunk and a trunk group have the same name');
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.trunk_name_check() IS 'Trigger: at COMMIT, refuses a trunk and a group of trunks of one name.';
CREATE CONSTRAINT TRIGGER trunk_name_check AFTER INSERT OR UPDATE OF domain, name ON pbx.trunk
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.trunk_name_check();
CREATE CONSTRAINT TRIGGER trunk_name_check AFTER INSERT OR UPDATE OF domain, name ON pbx.trunk_group
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.trunk_name_check();

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


CREATE OR REPLACE FUNCTION pbx.explain_step(domain text, app text, args jsonb, vars jsonb, at timestamptz, depth integer) RETURNS SETOF pbx.decision LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    trunk pbx.trunk;
    target text;
BEGIN
    IF $3::text LIKE '%${%' THEN
        RETURN;
    ELSIF $2 = 'dial' AND $3 ? 'trunk' THEN
        -- One trunk, or those of a group that may be tried at that time.
        FOR trunk IN
            SELECT t.* FROM pbx.trunk AS t LEFT JOIN pbx.trunk_group_member AS m ON (m.domain, m.trunk, m.name) = (t.domain, t.name, $3 ->> 'trunk')
            WHERE t.domain = $1 AND (t.name = $3 ->> 'trunk' OR m.name IS NOT NULL AND (m.schedule IS NULL OR pbx.schedule_is_open($1, m.schedule, $5)))
            ORDER BY m.position, m.weight DESC, t.name
        LOOP
            IF trunk.call_limit IS NOT NULL THEN
                RETURN NEXT ROW($6, 'limit', NULL, NULL, NULL, NULL, NULL, NULL, CASE WHEN trunk.call_limit = 0 THEN false END,
                                format('trunk %s has %s calls at once', trunk.name, trunk.call_limit))::pbx.decision;
            END IF;
            RETURN NEXT ROW($6, 'target', NULL, NULL, NULL, NULL, NULL, NULL, trunk.enabled AND trunk.uri IS NOT NULL AND NOT EXISTS (
                                SELECT FROM pbx.trunk_state AS s WHERE (s.domain, s.name) = (trunk.domain, trunk.name) AND NOT s.reachable),
                            format('%s by trunk %s: %s', $3 ->> 'number', trunk.name, coalesce(trunk.uri, 'no calls go there')))::pbx.decision;
        END LOOP;
    ELSIF $2 = 'dial' THEN
        FOREACH target IN ARRAY string_to_array($3 ->> 'number', '&') LOOP
            IF target ~ '[:@]' THEN
                RETURN NEXT ROW($6, 'target', NULL, NULL, NULL, NULL, NULL, NULL, true, target)::pbx.decision;
            ELSE
                RETURN QUERY SELECT * FROM pbx.explain_target($1, target, $5, $6);
            END IF;
        END LOOP;
    ELSIF $2 = 'dial_group' THEN
        FOR target IN SELECT m.member FROM pbx.ring_group_member AS m WHERE (m.domain, m.number) = ($1, $3 ->> 'group') ORDER BY m.position, m.member LOOP
            RETURN QUERY SELECT * FROM pbx.explain_target($1, target, $5, $6);
        END LOOP;
    ELSIF $2 = 'goto' THEN
        RETURN QUERY SELECT * FROM pbx.explain_route($1, coalesce($3 ->> 'context', $4 ->> 'context'), $3 ->> 'number', $4, $5, $6 + 1);
    ELSIF $3 <> '{}' AND $2 IN ('voicemail', 'menu', 'conference') THEN
        RETURN NEXT ROW($6, 'target', NULL, NULL, NULL, NULL, NULL, NULL, true, format('%s %s', $2, coalesce($3 ->> $2, $3 ->> 'mailbox')))::pbx.decision;
    END IF;
END $$;
