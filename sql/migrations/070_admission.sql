-- What is looked at before a call's route: emergency numbers, inbound numbers, blocked callers, calls of a domain at once.

CREATE FUNCTION pbx.list_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    pattern text := to_jsonb(NEW) ->> TG_ARGV[0];
    problem text := pbx.pattern_problem(pattern);
BEGIN
    -- A literal is left to the check of its table.
    IF problem IS NOT NULL AND left(pattern, 1) = '_' THEN
        RAISE EXCEPTION '% %/%: bad pattern: %', replace(TG_TABLE_NAME, '_', ' '), NEW.domain, pattern, problem
            USING ERRCODE = 'check_violation', HINT = obj_description('pbx.pattern_valid(text)'::regprocedure);
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION pbx.list_check() IS 'Trigger: refuses bad patterns in lists of numbers, and says why.';

-- Inbound numbers ----------------------------------------------------------------------------------

ALTER TABLE pbx.inbound_number
    DROP CONSTRAINT number_is_digits_perhaps_after_a_plus,
    ADD COLUMN context text,
    ADD COLUMN rank bytea NOT NULL GENERATED ALWAYS AS (pbx.pattern_rank(number)) STORED,
    ADD CONSTRAINT number_is_digits_perhaps_after_a_plus_or_a_pattern CHECK (number ~ '^(\+?[0-9]{1,32}|_.+)$'),
    ADD CONSTRAINT pattern_is_valid CHECK (pbx.pattern_valid(number)),
    ADD CONSTRAINT inbound_pattern_matches_other_numbers_than_the_rest UNIQUE (rank),
    ADD CONSTRAINT context_exists FOREIGN KEY (domain, context) REFERENCES pbx.context ON UPDATE CASCADE;
COMMENT ON TABLE pbx.inbound_number IS 'Public numbers and where their calls go, that come by trunks of the domain. Numbers that aren''t here are looked for in the trunk''s context.';
COMMENT ON COLUMN pbx.inbound_number.number IS 'The number as trunks send it, or a pattern (see pbx.pattern_valid()) for many: _4312345XXX.';
COMMENT ON COLUMN pbx.inbound_number.target IS 'Number dialled then. Of a pattern ${number} is the number called: 1${number:8} are its last digits behind a 1. The variable inbound_number keeps it for steps.';
COMMENT ON COLUMN pbx.inbound_number.context IS 'Context in which target is dialled; NULL: the domain''s default context.';
COMMENT ON COLUMN pbx.inbound_number.rank IS 'Sorts more specific patterns first.';
CREATE TRIGGER list_check BEFORE INSERT OR UPDATE OF domain, number ON pbx.inbound_number
    FOR EACH ROW EXECUTE FUNCTION pbx.list_check('number');
DROP TRIGGER change_insert ON pbx.inbound_number;
DROP TRIGGER change_update ON pbx.inbound_number;
DROP TRIGGER change_delete ON pbx.inbound_number;
DROP TRIGGER truncate_refuse ON pbx.inbound_number;
CALL pbx.change_watch('pbx.inbound_number', 'inbound_number', 'domain', 'number');

CREATE OR REPLACE FUNCTION pbx.inbound_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pbx.refuse(format('inbound number %s', i.number), pbx.dial_problem(i.domain, coalesce(i.context, d.default_context), i.target))
    FROM pbx.inbound_number AS i JOIN pbx.domain AS d USING (domain)
    -- Also run when a domain changes its default context: then for all its numbers.
    WHERE i.domain = NEW.domain AND (TG_TABLE_NAME = 'domain' OR i.number = to_jsonb(NEW) ->> 'number') AND i.target NOT LIKE '%${%';
    RETURN NULL;
END $$;

-- Emergency numbers --------------------------------------------------------------------------------

CREATE TABLE pbx.emergency_number (
    domain  text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    number  text NOT NULL,
    context text NOT NULL,
    name    text NOT NULL DEFAULT '',
    PRIMARY KEY (domain, number),
    CONSTRAINT number_is_digits CHECK (number ~ '^[0-9*#+]{2,15}$'),
    CONSTRAINT context_exists FOREIGN KEY (domain, context) REFERENCES pbx.context ON UPDATE CASCADE
);
COMMENT ON TABLE pbx.emergency_number IS 'Numbers that every extension of a domain may dial, whatever its context, and that no limit, schedule or budget holds back: 112, 911.';
COMMENT ON COLUMN pbx.emergency_number.domain IS 'The domain.';
COMMENT ON COLUMN pbx.emergency_number.number IS 'What is dialled.';
COMMENT ON COLUMN pbx.emergency_number.context IS 'Context with its route. That must lead somewhere, and its steps may not ask for a schedule.';
COMMENT ON COLUMN pbx.emergency_number.name IS 'Name for people.';
CALL pbx.change_watch('pbx.emergency_number', 'emergency_number', 'domain', 'number');

CREATE FUNCTION pbx.emergency_problem(domain text, context text, number text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(pbx.dial_problem($1, $2, $3), (
        SELECT CASE WHEN count(s) = 0 THEN format('route %s of context %s has no steps', m.pattern, m.context)
                    ELSE min(format('step %s of route %s asks for a schedule', s.position, m.pattern))
                         FILTER (WHERE s.condition ~ '(^| )schedule *!?=') END
        FROM pbx.match($1, $2, $3) AS m
        LEFT JOIN pbx.step AS s ON (s.domain, s.context, s.pattern) = (m.domain, m.context, m.pattern)
        GROUP BY m.context, m.pattern))
$$;
COMMENT ON FUNCTION pbx.emergency_problem(text, text, text) IS 'Why an emergency number might lead nowhere; NULL: it leads somewhere, always.';

CREATE FUNCTION pbx.emergency_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pbx.refuse(format('emergency number %s/%s', e.domain, e.number), pbx.emergency_problem(e.domain, e.context, e.number))
    FROM pbx.emergency_number AS e
    WHERE e.domain = NEW.domain AND CASE TG_TABLE_NAME WHEN 'emergency_number' THEN e.number = to_jsonb(NEW) ->> 'number'
        ELSE pbx.pattern_matches(to_jsonb(NEW) ->> 'pattern', e.number) END;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.emergency_check() IS 'Trigger: at COMMIT, refuses emergency numbers that lead nowhere or not always, also when their route or its steps change.';
CREATE CONSTRAINT TRIGGER emergency_check AFTER INSERT OR UPDATE ON pbx.emergency_number
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.emergency_check();
CREATE CONSTRAINT TRIGGER emergency_check AFTER INSERT OR UPDATE ON pbx.step
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.emergency_check();

-- A route, an include or a number that goes is looked for among targets; these are some.
CREATE OR REPLACE VIEW pbx.target AS
SELECT f.domain, e.context, f.target, format('forward %s/%s/%s', f.domain, f.number, f.reason) AS held_by
FROM pbx.forward AS f JOIN pbx.extension AS e USING (domain, number)
UNION ALL
SELECT c.domain, m.context, c.target, format('menu choice %s/%s/%s', c.domain, c.number, c.digits)
FROM pbx.menu_choice AS c JOIN pbx.menu AS m USING (domain, number)
UNION ALL
SELECT domain, context, fallback, format('menu %s/%s: its fallback', domain, number)
FROM pbx.menu WHERE fallback IS NOT NULL
UNION ALL
SELECT i.domain, coalesce(i.context, d.default_context), i.target, format('inbound number %s', i.number)
FROM pbx.inbound_number AS i JOIN pbx.domain AS d USING (domain) WHERE i.target NOT LIKE '%${%'
UNION ALL
SELECT domain, context, number, format('emergency number %s/%s', domain, number) FROM pbx.emergency_number;
COMMENT ON VIEW pbx.target IS 'All numbers to which forwards, menus and inbound numbers lead, and emergency numbers.';

-- Blocked callers ----------------------------------------------------------------------------------

CREATE TABLE pbx.blocked_caller (
    domain  text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    pattern text NOT NULL,
    status  integer NOT NULL DEFAULT 603 CHECK (status IN (403, 404, 480, 486, 603, 607)),
    note    text NOT NULL DEFAULT '',
    since   timestamptz NOT NULL DEFAULT now(),
    rank    bytea NOT NULL GENERATED ALWAYS AS (pbx.pattern_rank(pattern)) STORED,
    PRIMARY KEY (domain, pattern),
    CONSTRAINT pattern_is_valid CHECK (pbx.pattern_valid(pattern)),
    CONSTRAINT blocked_pattern_matches_other_numbers_than_the_rest UNIQUE (domain, rank)
);
COMMENT ON TABLE pbx.blocked_caller IS 'Callers from outside whose calls are refused before they ring anybody.';
COMMENT ON COLUMN pbx.blocked_caller.domain IS 'The domain.';
COMMENT ON COLUMN pbx.blocked_caller.pattern IS 'Their number as trunks send it, or a pattern (see pbx.pattern_valid()); "anonymous": those that show none.';
COMMENT ON COLUMN pbx.blocked_caller.status IS 'What they are told: 403 forbidden, 404 no such number, 480 not there, 486 busy, 603 declined, 607 unwanted.';
COMMENT ON COLUMN pbx.blocked_caller.note IS 'Why, for people.';
COMMENT ON COLUMN pbx.blocked_caller.since IS 'Since when.';
COMMENT ON COLUMN pbx.blocked_caller.rank IS 'Sorts more specific patterns first.';
CREATE TRIGGER list_check BEFORE INSERT OR UPDATE OF domain, pattern ON pbx.blocked_caller
    FOR EACH ROW EXECUTE FUNCTION pbx.list_check('pattern');
CALL pbx.change_watch('pbx.blocked_caller', 'blocked_caller', 'domain', 'pattern');

-- Calls at once ------------------------------------------------------------------------------------

ALTER TABLE pbx.domain ADD COLUMN call_limit integer CHECK (call_limit >= 0);
COMMENT ON COLUMN pbx.domain.call_limit IS 'How many calls at once on a server, those to emergency numbers besides; NULL: no limit. One that is set counts those that begin from then on.';
