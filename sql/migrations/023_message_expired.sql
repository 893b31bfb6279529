-- Messages that have expired make room, in the table, too: a sender of short-lived ones fills no disk until the next housekeeping.

CREATE OR REPLACE FUNCTION pbx.message_store(domain text, number text, sender text, sender_name text, content_type text, body bytea,
                                             keep_s integer, most integer) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    -- Two that come at once count one after the other.
    PERFORM pg_advisory_xact_lock(hashtextextended('pbx.message/' || $1 || '/' || $2, 0));
    DELETE FROM pbx.message WHERE (domain, number) = ($1, $2) AND expires <= now();
    INSERT INTO pbx.message (domain, number, sender, sender_name, content_type, body, expires)
    SELECT $1, $2, $3, $4, $5, $6, now() + $7 * interval '1 second'
    WHERE (SELECT count(*) FROM pbx.message WHERE (domain, number) = ($1, $2)) < $8;
    RETURN FOUND;
END $$;
