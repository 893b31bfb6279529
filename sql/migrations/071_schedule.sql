-- Schedules: office hours with time zones and holidays, and the night switch; conditions of steps ask for them.

CREATE TABLE pbx.schedule (
    domain         text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    schedule       text NOT NULL,
    name           text NOT NULL DEFAULT '',
    timezone       text,
    override       text NOT NULL DEFAULT 'auto' CHECK (override IN ('auto', 'open', 'closed')),
    override_until timestamptz,
    PRIMARY KEY (domain, schedule),
    CONSTRAINT schedule_is_a_short_name CHECK (schedule ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    CONSTRAINT timezone_is_known CHECK (pbx.timezone_valid(timezone))
);
COMMENT ON TABLE pbx.schedule IS 'Times at which something is open. The condition schedule=NAME of a step holds while it is, schedule!=NAME while it isn''t.';
COMMENT ON COLUMN pbx.schedule.domain IS 'The domain.';
COMMENT ON COLUMN pbx.schedule.schedule IS 'Its name, as conditions have it.';
COMMENT ON COLUMN pbx.schedule.name IS 'Name for people.';
COMMENT ON COLUMN pbx.schedule.timezone IS 'In which its times are meant: Europe/Vienna; NULL: the domain''s.';
COMMENT ON COLUMN pbx.schedule.override IS 'The night switch: open or closed, whatever the time; auto: as its periods and holidays say. See pbx.schedule_switch() and the application "night".';
COMMENT ON COLUMN pbx.schedule.override_until IS 'Until when the switch holds; NULL: until it is set back.';

CREATE TABLE pbx.schedule_period (
    domain    text NOT NULL,
    schedule  text NOT NULL,
    weekday   integer NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    from_time time NOT NULL,
    to_time   time NOT NULL,
    PRIMARY KEY (domain, schedule, weekday, from_time),
    CONSTRAINT schedule_exists FOREIGN KEY (domain, schedule) REFERENCES pbx.schedule ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT it_ends_after_it_begins CHECK (from_time < to_time),
    CONSTRAINT times_are_whole_minutes CHECK (date_trunc('minute', from_time::interval) = from_time::interval AND date_trunc('minute', to_time::interval) = to_time::interval)
);
COMMENT ON TABLE pbx.schedule_period IS 'When a schedule is open, week by week.';
COMMENT ON COLUMN pbx.schedule_period.domain IS 'The domain.';
COMMENT ON COLUMN pbx.schedule_period.schedule IS 'The schedule.';
COMMENT ON COLUMN pbx.schedule_period.weekday IS '1 Monday to 7 Sunday.';
COMMENT ON COLUMN pbx.schedule_period.from_time IS 'It opens, to the minute.';
COMMENT ON COLUMN pbx.schedule_period.to_time IS 'It closes then; 24:00 is the end of the day. What goes past midnight is two periods.';

CREATE TABLE pbx.schedule_holiday (
    domain    text NOT NULL,
    schedule  text NOT NULL,
    day       date NOT NULL,
    yearly    boolean NOT NULL DEFAULT false,
    name      text NOT NULL DEFAULT '',
    from_time time,
    to_time   time,
    PRIMARY KEY (domain, schedule, day),
    CONSTRAINT schedule_exists FOREIGN KEY (domain, schedule) REFERENCES pbx.schedule ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT both_times_or_none CHECK ((from_time IS NULL) = (to_time IS NULL)),
    CONSTRAINT it_ends_after_it_begins CHECK (from_time < to_time),
    CONSTRAINT times_are_whole_minutes CHECK (date_trunc('minute', from_time::interval) = from_time::interval AND date_trunc('minute', to_time::interval) = to_time::interval)
);
COMMENT ON TABLE pbx.schedule_holiday IS 'Days on which a schedule''s periods don''t count.';
COMMENT ON COLUMN pbx.schedule_holiday.domain IS 'The domain.';
COMMENT ON COLUMN pbx.schedule_holiday.schedule IS 'The schedule.';
COMMENT ON COLUMN pbx.schedule_holiday.day IS 'The day.';
COMMENT ON COLUMN pbx.schedule_holiday.yearly IS 'true: every year on that day of that month.';
COMMENT ON COLUMN pbx.schedule_holiday.name IS 'Name for people.';
COMMENT ON COLUMN pbx.schedule_holiday.from_time IS 'On that day it is open from then; NULL: not at all.';
COMMENT ON COLUMN pbx.schedule_holiday.to_time IS 'Until then.';

CALL pbx.change_watch('pbx.schedule', 'schedule', 'domain', 'schedule');
CALL pbx.change_watch('pbx.schedule_period', 'schedule', 'domain', 'schedule');
CALL pbx.change_watch('pbx.schedule_holiday', 'schedule', 'domain', 'schedule');

CREATE FUNCTION pbx.schedule_overlap_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pbx.refuse(format('schedule %s/%s', NEW.domain, NEW.schedule),
                       format('its periods from %s to %s and from %s to %s on weekday %s overlap', NEW.from_time, NEW.to_time, p.from_time, p.to_time, p.weekday))
    FROM pbx.schedule_period AS p, pbx.schedule_period AS own
    WHERE (own.domain, own.schedule, own.weekday, own.from_time) = (NEW.domain, NEW.schedule, NEW.weekday, NEW.from_time)
      AND (p.domain, p.schedule, p.weekday) = (own.domain, own.schedule, own.weekday) AND p.from_time <> own.from_time
      AND p.from_time < own.to_time AND own.from_time < p.to_time;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.schedule_overlap_check() IS 'Trigger: at COMMIT, refuses periods of a schedule that overlap.';
CREATE CONSTRAINT TRIGGER overlap_check AFTER INSERT OR UPDATE ON pbx.schedule_period
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.schedule_overlap_check();

CREATE FUNCTION pbx.schedule_is_open(domain text, schedule text, at timestamptz DEFAULT now()) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN s.override <> 'auto' AND (s.override_until IS NULL OR $3 < s.override_until) THEN s.override = 'open'
        ELSE coalesce((
            SELECT bool_or(coalesce(l.at::time >= h.from_time AND l.at::time < h.to_time, false)) FROM pbx.schedule_holiday AS h
            WHERE (h.domain, h.schedule) = (s.domain, s.schedule)
              AND CASE WHEN h.yearly THEN to_char(h.day, 'MMDD') = to_char(l.at, 'MMDD') ELSE h.day = l.at::date END), EXISTS (
            SELECT FROM pbx.schedule_period AS p
            WHERE (p.domain, p.schedule) = (s.domain, s.schedule) AND p.weekday = extract(isodow FROM l.at)
              AND l.at::time >= p.from_time AND l.at::time < p.to_time)) END
    FROM pbx.schedule AS s JOIN pbx.domain AS d USING (domain), LATERAL (SELECT $3 AT TIME ZONE coalesce(s.timezone, d.timezone) AS at) AS l
    WHERE (s.domain, s.schedule) = ($1, $2)
$$;
COMMENT ON FUNCTION pbx.schedule_is_open(text, text, timestamptz) IS 'Is a schedule open at that time? NULL: there is none of that name.';

CREATE FUNCTION pbx.schedule_switch(domain text, schedule text, mode text DEFAULT 'toggle') RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    wanted text;
BEGIN
    IF $3 NOT IN ('toggle', 'open', 'closed', 'auto') THEN
        RAISE EXCEPTION 'a schedule is switched to open, closed, auto or toggle, not %', quote_literal($3) USING ERRCODE = 'check_violation';
    END IF;
    UPDATE pbx.schedule AS s
    SET override = CASE WHEN $3 <> 'toggle' THEN $3
                        WHEN s.override <> 'auto' AND (s.override_until IS NULL OR now() < s.override_until) THEN 'auto'
                        WHEN pbx.schedule_is_open($1, $2) THEN 'closed' ELSE 'open' END,
        override_until = NULL
    WHERE (s.domain, s.schedule) = ($1, $2) RETURNING s.override INTO wanted;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no schedule %/%', $1, $2 USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN wanted;
END $$;
COMMENT ON FUNCTION pbx.schedule_switch(text, text, text) IS 'The night switch of a schedule: open, closed, auto; toggle: against what the time says, and back. Returns what it is now.';

-- Conditions ---------------------------------------------------------------------------------------

CREATE FUNCTION pbx.condition_terms(condition text) RETURNS TABLE (name text, is_not boolean, "values" text[]) LANGUAGE sql IMMUTABLE AS $$
    SELECT m[1], m[2] = '!', string_to_array(regexp_replace(m[3], ' ', '', 'g'), ',')
    FROM regexp_matches($1, '([a-z_][a-z0-9_]*) *(!?)= *([^ ,=!]+(?: *, *[^ ,=!]+)*)', 'g') AS m
$$;
COMMENT ON FUNCTION pbx.condition_terms(text) IS 'The terms of a valid condition.';

CREATE FUNCTION pbx.condition_holds(condition text, vars jsonb, domain text, at timestamptz DEFAULT now()) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN $1 IS NULL THEN true WHEN NOT pbx.condition_valid($1) THEN false ELSE (
        SELECT CASE WHEN bool_or(NOT holds) THEN false WHEN count(*) = count(holds) THEN true END
        FROM (SELECT t.is_not <> CASE
                  WHEN t.name = 'schedule' THEN EXISTS (SELECT FROM unnest(t."values") AS v WHERE pbx.schedule_is_open($3, v, $4))
                  WHEN t.name = 'result' AND NOT $2 ? 'result' THEN NULL
                  ELSE EXISTS (SELECT FROM unnest(t."values") AS v
                      WHERE CASE WHEN left(v, 1) = '_' THEN pbx.pattern_valid(v) AND coalesce($2 ->> t.name, '') ~ pbx.pattern_regex(v)
                                 ELSE v = coalesce($2 ->> t.name, '') END) END AS holds
              FROM pbx.condition_terms($1) AS t) AS x) END
$$;
COMMENT ON FUNCTION pbx.condition_holds(text, jsonb, text, timestamptz) IS 'Does a step''s condition hold with these variables at that time? NULL: that depends on how the steps before it end.';

CREATE FUNCTION pbx.schedule_missing(domain text, condition text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('there is no schedule %s', string_agg(quote_literal(v), ', '))
    FROM pbx.condition_terms($2) AS t, unnest(t."values") AS v
    WHERE t.name = 'schedule' AND NOT EXISTS (SELECT FROM pbx.schedule AS s WHERE (s.domain, s.schedule) = ($1, v))
    HAVING count(*) > 0
$$;
COMMENT ON FUNCTION pbx.schedule_missing(text, text) IS 'Which schedules a condition asks for that a domain doesn''t have; NULL: none.';

CREATE FUNCTION pbx.schedule_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pbx.refuse(format('step %s/%s/%s/%s', s.domain, s.context, s.pattern, s.position), pbx.schedule_missing(s.domain, s.condition))
    FROM pbx.step AS s
    WHERE s.condition LIKE '%schedule%' AND CASE TG_TABLE_NAME
        WHEN 'step' THEN (s.domain, s.context, s.pattern, s.position::text) =
                         (NEW.domain, to_jsonb(NEW) ->> 'context', to_jsonb(NEW) ->> 'pattern', to_jsonb(NEW) ->> 'position')
        ELSE s.domain = OLD.domain END;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.schedule_check() IS 'Trigger: at COMMIT, refuses conditions that ask for a schedule that isn''t there, and that one goes which is asked for.';
CREATE CONSTRAINT TRIGGER schedule_check AFTER INSERT OR UPDATE ON pbx.step
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.condition LIKE '%schedule%') EXECUTE FUNCTION pbx.schedule_check();
CREATE CONSTRAINT TRIGGER schedule_check AFTER UPDATE OF domain, schedule OR DELETE ON pbx.schedule
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.schedule_check();

-- Steps --------------------------------------------------------------------------------------------

ALTER TABLE pbx.app_param DROP CONSTRAINT app_param_type_check,
    ADD CONSTRAINT app_param_type_check CHECK (type IN ('text', 'number', 'int', 'bool', 'seconds', 'prompt',
                                                        'mailbox', 'menu', 'group', 'music', 'trunk', 'context', 'conference', 'schedule'));
COMMENT ON COLUMN pbx.app_param.type IS 'What a value must be: text, number (one that can be dialled), int, bool, seconds, prompt (names with & between them), or the key of a mailbox, menu, group, conference, schedule, music class, trunk or context of the domain.';

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
        found := EXISTS (SELECT FROM pbx.trunk AS t WHERE t.domain = $1 AND t.name = $3);
    WHEN 'context' THEN
        found := EXISTS (SELECT FROM pbx.context AS t WHERE t.domain = $1 AND t.context = $3);
    END CASE;
    RETURN CASE WHEN NOT found THEN format('there is no %s %L', CASE $2 WHEN 'group' THEN 'ring group' WHEN 'music' THEN 'music class' ELSE $2 END, $3) END;
END $$;

CALL pbx.recheck_watch('pbx.schedule', 'schedule', 'schedule');
