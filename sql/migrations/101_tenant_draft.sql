-- What a tenant prepares can't make an operator change what is another's.
--
-- Whoever activates a draft or goes back behind a version does so with his own rights, and an operator's reach further than those of the
-- tenant who may have written its rows by hand.

ALTER TABLE pbx.draft_row ADD CONSTRAINT row_is_of_the_same_domain
    CHECK (coalesce(old ->> 'domain', new ->> 'domain') IS NOT DISTINCT FROM domain AND coalesce(new ->> 'domain', old ->> 'domain') IS NOT DISTINCT FROM domain);

CREATE FUNCTION pbx.version_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) - 'overridden' <> to_jsonb(NEW) - 'overridden'
       OR TG_OP = 'INSERT' AND (NEW.transaction <> pg_current_xact_id()::text::bigint OR EXISTS (
           SELECT FROM pbx.audit AS a WHERE a.transaction = NEW.transaction AND a.id BETWEEN NEW.first_audit AND NEW.last_audit
           AND a.at = NEW.at AND a.domain IS DISTINCT FROM NEW.domain))
    THEN
        RAISE EXCEPTION 'version %/%: versions are made by pbx.activate() and pbx.rollback()', NEW.domain, NEW.version USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION pbx.version_keep() IS 'Trigger: a version is of the transaction that makes it and of changes of its domain, and stays as it is.';
CREATE TRIGGER version_keep BEFORE INSERT OR UPDATE ON pbx.dialplan_version FOR EACH ROW EXECUTE FUNCTION pbx.version_keep();
