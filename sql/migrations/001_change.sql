-- The schema, its version, and the log of changes that servers follow.

CREATE SCHEMA pbx;
COMMENT ON SCHEMA pbx IS 'Cordboard: everything an administrator sets and sees. Changes take effect when they are committed.';

CREATE TABLE pbx.version (
    version integer PRIMARY KEY CHECK (version > 0),
    name    text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pbx.version IS 'Migrations applied to this database, written by sql/migrate.sh. The schema is at the highest one.';
COMMENT ON COLUMN pbx.version.version IS 'Number of the migration: NNN of sql/migrations/NNN_name.sql.';
COMMENT ON COLUMN pbx.version.name IS 'Its name.';
COMMENT ON COLUMN pbx.version.applied IS 'When it was applied.';

-- The change log ---------------------------------------------------------------------------------
--
-- A server remembers the highest seq it has read and reads on from there, so seq must also be the order in which
-- commits become visible: a row that appeared behind a reader would never be read. A sequence alone doesn't give
-- that, because a transaction that drew its number early may commit late. So statements only note what they changed
-- in change_pending, and a deferred trigger numbers the notes at COMMIT, under an advisory lock that is held until
-- that commit is done: for the time of one commit, not of a transaction. An administrator who leaves a transaction
-- open holds up nobody.

CREATE TABLE pbx.change (
    seq     bigint PRIMARY KEY,
    "table" text NOT NULL,
    key     text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pbx.change IS 'What was changed, in the order of commits. Servers read on from the seq they have; NOTIFY pbx_change only wakes them.';
COMMENT ON COLUMN pbx.change.seq IS 'Grows with every commit; a reader that has seen n misses nothing at or below n.';
COMMENT ON COLUMN pbx.change."table" IS 'Which kind of object changed. Rows that belong to another object are told as a change of that: step as route, menu_choice as menu, ring_group_member as ring_group, context_include as context, music_file as music_class, trunk_address as trunk.';
COMMENT ON COLUMN pbx.change.key IS 'Its natural key, joined with "/": office/1001. For voicemail: domain/number.';
COMMENT ON COLUMN pbx.change.at IS 'When the transaction that changed it began.';

CREATE SEQUENCE pbx.change_seq OWNED BY pbx.change.seq;
COMMENT ON SEQUENCE pbx.change_seq IS 'Numbers of pbx.change, drawn at COMMIT under a lock.';

CREATE TABLE pbx.change_pending (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "table" text NOT NULL,
    keys    text[] NOT NULL
);
COMMENT ON TABLE pbx.change_pending IS 'Changes of transactions that are not committed yet, one row a statement. Seen from outside it is always empty.';
COMMENT ON COLUMN pbx.change_pending.id IS 'Order of the statements.';
COMMENT ON COLUMN pbx.change_pending."table" IS 'As in pbx.change.';
COMMENT ON COLUMN pbx.change_pending.keys IS 'Keys of the rows that the statement changed.';

CREATE FUNCTION pbx.change_publish() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('pbx.change', 0));
    INSERT INTO pbx.change (seq, "table", key)
    SELECT nextval('pbx.change_seq'), NEW."table", k FROM unnest(NEW.keys) AS k;
    DELETE FROM pbx.change_pending WHERE id = NEW.id;
    last := currval('pbx.change_seq');
    PERFORM pg_notify('pbx_change', last::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.change_publish() IS 'Trigger: at COMMIT, numbers what a statement noted, in the order of commits, and wakes the servers.';

CREATE CONSTRAINT TRIGGER publish AFTER INSERT ON pbx.change_pending
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.change_publish();

CREATE FUNCTION pbx.change_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- TG_ARGV: the name it is told under, the expression of the key
    key  text := TG_ARGV[1];
    keys text[];
BEGIN
    EXECUTE CASE TG_OP
        WHEN 'INSERT' THEN format('SELECT array_agg(DISTINCT %s) FROM new_rows', key)
        WHEN 'DELETE' THEN format('SELECT array_agg(DISTINCT %s) FROM old_rows', key)
        ELSE format('SELECT array_agg(DISTINCT k) FROM (SELECT %1$s FROM old_rows UNION ALL SELECT %1$s FROM new_rows) AS x(k)', key)
    END INTO keys;
    IF keys IS NOT NULL THEN
        INSERT INTO pbx.change_pending ("table", keys) VALUES (TG_ARGV[0], keys);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.change_note() IS 'Trigger: notes the keys of the rows that a statement changed. Once a statement, so that a bulk import stays cheap.';

CREATE FUNCTION pbx.truncate_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of pbx.% is refused: servers would not notice which rows went', TG_TABLE_NAME
        USING ERRCODE = 'feature_not_supported', HINT = 'Use DELETE.';
END $$;
COMMENT ON FUNCTION pbx.truncate_refuse() IS 'Trigger: refuses TRUNCATE, which tells no trigger what it removed.';

CREATE PROCEDURE pbx.change_watch(tab regclass, told_as text, VARIADIC key text[]) LANGUAGE plpgsql AS $$
DECLARE
    expr text;
    call text;
BEGIN
    SELECT format('concat_ws(''/'', %s)', string_agg(quote_ident(k), ', ' ORDER BY n)) INTO expr
    FROM unnest(key) WITH ORDINALITY AS u(k, n);
    call := format('FOR EACH STATEMENT EXECUTE FUNCTION pbx.change_note(%L, %L)', told_as, expr);
    EXECUTE format('CREATE TRIGGER change_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows %s', tab, call);
    EXECUTE format('CREATE TRIGGER change_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows %s', tab, call);
    EXECUTE format('CREATE TRIGGER change_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows %s', tab, call);
    EXECUTE format('CREATE TRIGGER truncate_refuse BEFORE TRUNCATE ON %s EXECUTE FUNCTION pbx.truncate_refuse()', tab);
END $$;
COMMENT ON PROCEDURE pbx.change_watch(regclass, text, text[]) IS 'For migrations: has the changes of a table logged in pbx.change under a name, with the columns that make the key.';

-- What nodes share ---------------------------------------------------------------------------------

CREATE TABLE pbx.secret (
    name  text PRIMARY KEY,
    value bytea NOT NULL CHECK (length(value) >= 16)
);
COMMENT ON TABLE pbx.secret IS 'Random keys that all nodes share.';
COMMENT ON COLUMN pbx.secret.name IS '"node": signs nonces, so that a challenge of one node, or from before a restart, can be answered to another.';
COMMENT ON COLUMN pbx.secret.value IS 'The key.';

-- gen_random_uuid() is the only strong randomness without an extension: 122 bits each, so three of them fill 256.
INSERT INTO pbx.secret VALUES
    ('node', sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));
