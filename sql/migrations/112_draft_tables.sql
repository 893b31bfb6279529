-- A draft changes what is a domain's, in tables whose changes are recorded, and nothing else.
--
-- That each of its rows says the same domain (101) is not enough: rows of a table that has no such column can say so as well. So a tenant's
-- draft could ban an address, or open a column that nobody reads, as soon as an operator or the owner activated it.

CREATE FUNCTION pbx.draft_row_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'pbx'::regnamespace AND c.relname = NEW."table"
          AND EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'domain' AND a.attnum > 0 AND NOT a.attisdropped)
          AND EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = 'audit_insert'))
    THEN
        RAISE EXCEPTION 'draft %/%: there are no rows of a domain in %', NEW.domain, NEW.draft, quote_literal(NEW."table")
            USING ERRCODE = 'check_violation', DETAIL = 'A draft is of tables with a column domain whose changes pbx.audit has.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION pbx.draft_row_keep() IS 'Trigger: a draft has rows of tables that are a domain''s and whose changes are recorded.';
CREATE TRIGGER draft_row_keep BEFORE INSERT OR UPDATE ON pbx.draft_row FOR EACH ROW EXECUTE FUNCTION pbx.draft_row_keep();
DELETE FROM pbx.draft_row AS r
WHERE NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = to_regclass(format('pbx.%I', r."table")) AND a.attname = 'domain' AND NOT a.attisdropped)
   OR NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = to_regclass(format('pbx.%I', r."table")) AND t.tgname = 'audit_insert');
