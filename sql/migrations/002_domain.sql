-- Tenants, their contexts, and the one number space of each.

CREATE FUNCTION pbx.timezone_valid(timezone text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- PostgreSQL alone would also take POSIX rules such as FOO3, which mean something else to the C library.
    IF timezone !~ '^(UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+)+)$' THEN
        RETURN false;
    END IF;
    PERFORM now() AT TIME ZONE timezone;
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END $$;
COMMENT ON FUNCTION pbx.timezone_valid(text) IS 'Is it UTC or an Area/City of the time zone database?';

CREATE FUNCTION pbx.algorithms_valid(algorithms text[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT cardinality(algorithms) BETWEEN 1 AND 2 AND algorithms <@ '{MD5,SHA-256}'
       AND cardinality(algorithms) = (SELECT count(DISTINCT a) FROM unnest(algorithms) AS a)
$$;
COMMENT ON FUNCTION pbx.algorithms_valid(text[]) IS 'One or both of MD5 and SHA-256 (RFC 8760), none twice?';

CREATE TABLE pbx.domain (
    domain          text PRIMARY KEY,
    display_name    text,
    realm           text NOT NULL,
    timezone        text NOT NULL DEFAULT 'UTC',
    language        text NOT NULL DEFAULT 'en',
    music_class     text NOT NULL DEFAULT 'default',
    algorithms      text[] NOT NULL DEFAULT '{MD5}',
    default_context text NOT NULL DEFAULT 'office',
    is_default      boolean NOT NULL DEFAULT false,
    CONSTRAINT domain_is_a_lower_case_host_name CHECK (domain ~ '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$'),
    CONSTRAINT realm_is_printable_without_quotes CHECK (realm ~ '^[ !#-\[\]-~]{1,63}$'),
    CONSTRAINT timezone_is_known CHECK (pbx.timezone_valid(timezone)),
    CONSTRAINT language_is_a_tag CHECK (language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$'),
    CONSTRAINT algorithms_are_md5_or_sha256 CHECK (pbx.algorithms_valid(algorithms))
);
COMMENT ON TABLE pbx.domain IS 'A tenant: its own extensions, numbers, dialplan and prompts. Deleting it deletes all of them.';
COMMENT ON COLUMN pbx.domain.domain IS 'Its name, and the host name by which phones may address it.';
COMMENT ON COLUMN pbx.domain.display_name IS 'Name for people.';
COMMENT ON COLUMN pbx.domain.realm IS 'Realm of digest authentication. Part of every stored password hash, so it never changes.';
COMMENT ON COLUMN pbx.domain.timezone IS 'In which dates and times are spoken: Europe/Vienna.';
COMMENT ON COLUMN pbx.domain.language IS 'Language of its prompts, a folder of prompts/.';
COMMENT ON COLUMN pbx.domain.music_class IS 'Music on hold, unless an extension has its own.';
COMMENT ON COLUMN pbx.domain.algorithms IS 'Digest algorithms offered to phones. MD5 alone by default: some phones give up on a challenge that offers SHA-256 too.';
COMMENT ON COLUMN pbx.domain.default_context IS 'Context of callers that have none of their own, and of inbound numbers.';
COMMENT ON COLUMN pbx.domain.is_default IS 'Requests to an address or a name that is no domain mean this one. One domain at most.';

CREATE UNIQUE INDEX only_one_domain_is_default ON pbx.domain (is_default) WHERE is_default;
COMMENT ON INDEX pbx.only_one_domain_is_default IS 'At most one default domain.';

CREATE FUNCTION pbx.domain_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.domain <> OLD.domain THEN
        RAISE EXCEPTION 'domain %: a domain is not renamed', OLD.domain
            USING ERRCODE = 'check_violation',
                  DETAIL = 'Phones are configured with its name, and call records keep it.', HINT = 'Change display_name.';
    END IF;
    IF NEW.realm <> OLD.realm THEN
        RAISE EXCEPTION 'domain %: its realm stays "%"', OLD.domain, OLD.realm
            USING ERRCODE = 'check_violation',
                  DETAIL = 'The stored passwords are hashes over user, realm and password; with another realm none would fit.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION pbx.domain_keep() IS 'Trigger: refuses another name or realm.';
CREATE TRIGGER domain_keep BEFORE UPDATE OF domain, realm ON pbx.domain
    FOR EACH ROW EXECUTE FUNCTION pbx.domain_keep();

CREATE TABLE pbx.setting (
    domain text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    name   text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_.]*$'),
    value  text NOT NULL,
    PRIMARY KEY (domain, name)
);
COMMENT ON TABLE pbx.setting IS 'Further settings of a domain.';
COMMENT ON COLUMN pbx.setting.domain IS 'The domain.';
COMMENT ON COLUMN pbx.setting.name IS 'Name of the setting.';
COMMENT ON COLUMN pbx.setting.value IS 'Its value.';

-- Contexts: who may dial what ----------------------------------------------------------------------

CREATE TABLE pbx.context (
    domain  text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    context text NOT NULL,
    name    text,
    PRIMARY KEY (domain, context),
    CONSTRAINT context_is_a_short_name CHECK (context ~ '^[A-Za-z0-9._-]{1,63}$')
);
COMMENT ON TABLE pbx.context IS 'A class of service: the routes that a caller may use are those of its context and of the contexts included there.';
COMMENT ON COLUMN pbx.context.domain IS 'The domain.';
COMMENT ON COLUMN pbx.context.context IS 'Name of the context.';
COMMENT ON COLUMN pbx.context.name IS 'Name for people.';

ALTER TABLE pbx.domain ADD CONSTRAINT default_context_exists
    FOREIGN KEY (domain, default_context) REFERENCES pbx.context (domain, context)
    ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE pbx.context_include (
    domain   text NOT NULL,
    context  text NOT NULL,
    position integer NOT NULL CHECK (position > 0),
    included text NOT NULL,
    PRIMARY KEY (domain, context, position),
    CONSTRAINT included_once UNIQUE (domain, context, included),
    CONSTRAINT context_does_not_include_itself CHECK (included <> context),
    FOREIGN KEY (domain, context) REFERENCES pbx.context ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT included_context_exists FOREIGN KEY (domain, included) REFERENCES pbx.context ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE pbx.context_include IS 'A context also offers the routes of another. Its own routes win over included ones; includes are searched in order of position, depth first, each context once.';
COMMENT ON COLUMN pbx.context_include.domain IS 'The domain.';
COMMENT ON COLUMN pbx.context_include.context IS 'The context that includes.';
COMMENT ON COLUMN pbx.context_include.position IS 'Order of search.';
COMMENT ON COLUMN pbx.context_include.included IS 'The context that is included.';

-- Numbers ------------------------------------------------------------------------------------------

CREATE TABLE pbx.number (
    domain text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    number text NOT NULL,
    kind   text NOT NULL CHECK (kind IN ('extension', 'ring_group', 'menu')),
    PRIMARY KEY (domain, number),
    CONSTRAINT number_can_be_dialled CHECK (number ~ '^[A-Za-z0-9*#+][A-Za-z0-9*#+._-]{0,62}$')
);
COMMENT ON TABLE pbx.number IS 'All numbers in use in a domain: extensions, groups and menus share one number space. Kept by triggers of their tables.';
COMMENT ON COLUMN pbx.number.domain IS 'The domain.';
COMMENT ON COLUMN pbx.number.number IS 'The number.';
COMMENT ON COLUMN pbx.number.kind IS 'What it is: the name of the table that holds it.';

CREATE FUNCTION pbx.number_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'pbx.number is kept by the tables of what has a number'
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'Insert, renumber or delete the extension, ring_group or menu itself.';
END $$;
COMMENT ON FUNCTION pbx.number_refuse() IS 'Trigger: refuses statements that write pbx.number directly.';
CREATE TRIGGER number_refuse BEFORE INSERT OR UPDATE OR DELETE ON pbx.number
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION pbx.number_refuse();

CREATE FUNCTION pbx.number_claim() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    holder text;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.domain = OLD.domain AND NEW.number = OLD.number THEN
        RETURN NEW;
    END IF;
    INSERT INTO pbx.number (domain, number, kind) VALUES (NEW.domain, NEW.number, TG_TABLE_NAME) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT kind INTO holder FROM pbx.number WHERE domain = NEW.domain AND number = NEW.number;
        -- One of the same kind is left to the primary key of its table, so that ON CONFLICT works there.
        IF holder IS DISTINCT FROM TG_TABLE_NAME THEN
            RAISE EXCEPTION '% %/%: the number is taken by %', TG_TABLE_NAME, NEW.domain, NEW.number,
                            CASE holder WHEN 'extension' THEN 'an extension' WHEN 'ring_group' THEN 'a ring group'
                                        WHEN 'menu' THEN 'a menu' ELSE 'what another session just made' END
                USING ERRCODE = 'unique_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION pbx.number_claim() IS 'Trigger: takes the number of a new or renumbered object, or says what has it already.';

CREATE FUNCTION pbx.number_release() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.domain <> OLD.domain OR NEW.number <> OLD.number THEN
        DELETE FROM pbx.number WHERE domain = OLD.domain AND number = OLD.number AND kind = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.number_release() IS 'Trigger: frees the number of an object that is gone or was renumbered.';

CREATE PROCEDURE pbx.number_holder(tab regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER number_claim BEFORE INSERT OR UPDATE OF domain, number ON %s
                    FOR EACH ROW EXECUTE FUNCTION pbx.number_claim()', tab);
    EXECUTE format('CREATE TRIGGER number_release AFTER DELETE OR UPDATE OF domain, number ON %s
                    FOR EACH ROW EXECUTE FUNCTION pbx.number_release()', tab);
    -- Cascades only when the whole domain goes: else the number follows its object.
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT number_is_held FOREIGN KEY (domain, number)
                    REFERENCES pbx.number ON DELETE CASCADE', tab);
END $$;
COMMENT ON PROCEDURE pbx.number_holder(regclass) IS 'For migrations: makes a table with columns domain and number one of those that share the number space.';

CALL pbx.change_watch('pbx.domain', 'domain', 'domain');
CALL pbx.change_watch('pbx.setting', 'setting', 'domain', 'name');
CALL pbx.change_watch('pbx.context', 'context', 'domain', 'context');
CALL pbx.change_watch('pbx.context_include', 'context', 'domain', 'context');
