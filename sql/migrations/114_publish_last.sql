-- What is checked at COMMIT is checked before changes are numbered, not while all others wait.
--
-- Numbers are given under a lock that each commit takes that changes something or has an event (001, 095), since today's events those of calls,
-- too. What a statement noted was numbered when its turn came, in front of the checks of what it had changed: for an import of 20,000 routes the
-- lock was held for a second, in which no call could be told. So at its turn a note goes to the end once, behind all checks, which have
-- had theirs then.

ALTER TABLE pbx.change_pending ADD COLUMN is_last boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pbx.change_pending.is_last IS 'What is checked at COMMIT has been checked: it is numbered now.';

CREATE OR REPLACE FUNCTION pbx.change_publish() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last bigint;
BEGIN
    IF NOT NEW.is_last THEN
        DELETE FROM pbx.change_pending WHERE id = NEW.id;
        INSERT INTO pbx.change_pending ("table", keys, is_last) VALUES (NEW."table", NEW.keys, true);
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('pbx.change', 0));
    INSERT INTO pbx.change (seq, "table", key)
    SELECT nextval('pbx.change_seq'), NEW."table", k FROM unnest(NEW.keys) AS k;
    DELETE FROM pbx.change_pending WHERE id = NEW.id;
    last := currval('pbx.change_seq');
    PERFORM pg_notify('pbx_change', last::text);
    RETURN NULL;
END $$;
