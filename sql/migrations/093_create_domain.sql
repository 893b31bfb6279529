-- A domain in one call, with all that belongs to it, and its end.

-- An extension may do what its domain's default context lets it, unless it is given another.
ALTER TABLE pbx.extension ALTER COLUMN context DROP DEFAULT;
COMMENT ON COLUMN pbx.extension.context IS 'What it may dial; left out: the domain''s default_context.';
COMMENT ON COLUMN pbx.domain.default_context IS 'Context of new extensions for which none is said, and of inbound numbers.';

CREATE FUNCTION pbx.extension_context() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.context := (SELECT d.default_context FROM pbx.domain AS d WHERE d.domain = NEW.domain);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION pbx.extension_context() IS 'Trigger: gives a new extension its domain''s default context.';
CREATE TRIGGER context_default BEFORE INSERT ON pbx.extension
    FOR EACH ROW WHEN (NEW.context IS NULL) EXECUTE FUNCTION pbx.extension_context();

CREATE FUNCTION pbx.admin_role(domain text) RETURNS name LANGUAGE sql IMMUTABLE AS $$
    -- The name of a role has 63 bytes.
    SELECT (CASE WHEN octet_length(r.name) < 64 THEN r.name ELSE left(r.name, 54) || '_' || left(md5($1), 8) END)::name
    FROM (SELECT 'cordboard_admin_' || $1) AS r(name)
$$;
COMMENT ON FUNCTION pbx.admin_role(text) IS 'The name of the group that administers a domain: cordboard_admin_<domain>; of a long one its beginning and a part of its MD5.';

CREATE FUNCTION pbx.create_domain(domain text, display_name text DEFAULT NULL, realm text DEFAULT NULL, timezone text DEFAULT 'UTC', language text DEFAULT 'en',
                                  tones text DEFAULT 'itu', digits integer DEFAULT 3, emergency text[] DEFAULT '{112}')
RETURNS name LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    d CONSTANT text := $1;
    own CONSTANT name := pbx.admin_role($1);
    extension CONSTANT text := '_Z' || repeat('X', digits - 1);
BEGIN
    IF NOT pbx.is_staff() THEN
        RAISE EXCEPTION 'domain %: only operators make domains', d USING ERRCODE = 'insufficient_privilege';
    ELSIF digits NOT BETWEEN 2 AND 12 THEN
        RAISE EXCEPTION 'domain %: its extensions have 2 to 12 digits, not %', d, digits USING ERRCODE = 'check_violation';
    ELSIF EXISTS (SELECT FROM pbx.cdr AS c WHERE c.domain = d) OR EXISTS (SELECT FROM pbx.recording AS r WHERE r.domain = d) THEN
        RAISE EXCEPTION 'domain %: calls of a former domain of that name are on record, which the new one would see', d
            USING ERRCODE = 'unique_violation', HINT = format('SELECT pbx.drop_domain(%L, records => true) removes the records.', d);
    END IF;
    -- Who is still a member of a group of that name would get the new domain with it, perhaps from another database.
    IF EXISTS (SELECT FROM pg_roles AS r JOIN pg_auth_members AS m ON m.roleid = r.oid WHERE r.rolname = own) THEN
        RAISE EXCEPTION 'domain %: there is a role % that has members', d, own
            USING ERRCODE = 'duplicate_object', HINT = format('REVOKE %I FROM them, if they are not to administer it.', own);
    ELSIF NOT pbx.group_exists(own) THEN
        IF NOT pbx.group_exists('cordboard_tenant') OR NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
            RAISE EXCEPTION 'domain %: % may not make roles', d, current_user
                USING ERRCODE = 'insufficient_privilege', HINT = format('ALTER ROLE %I CREATEROLE, as superuser; then CALL pbx.tenancy().', current_user);
        END IF;
        EXECUTE format('CREATE ROLE %I IN ROLE cordboard_tenant', own);
    ELSIF NOT pg_has_role(own, 'cordboard_tenant', 'USAGE') THEN
        EXECUTE format('GRANT cordboard_tenant TO %I', own);
    END IF;

    INSERT INTO pbx.domain (domain, display_name, realm, timezone, language, tones, default_context)
    VALUES (d, coalesce($2, d), coalesce($3, d), $4, $5, $6, 'internal');
    INSERT INTO pbx.domain_role (role, domain) VALUES (own, d);

    INSERT INTO pbx.context (domain, context, name) VALUES
        (d, 'inbound', 'Who calls from outside: extensions'), (d, 'feature', 'Feature codes'), (d, 'emergency', 'Emergency calls'),
        (d, 'internal', 'Extensions and feature codes'), (d, 'outgoing', 'The same, and calls outside');
    INSERT INTO pbx.context_include (domain, context, position, included) VALUES
        (d, 'internal', 1, 'inbound'), (d, 'internal', 2, 'feature'), (d, 'outgoing', 1, 'internal');
    INSERT INTO pbx.music_class (domain, class, name) VALUES (d, 'default', 'Music on hold');
    INSERT INTO pbx.music_file (domain, class, position, path)
    SELECT d, 'default', n, 'music/' || u.name || '.wav'
    FROM unnest(ARRAY['macroform-cold_day', 'macroform-robot_dity', 'macroform-the_simplicity', 'manolo_camp-morning_coffee', 'reno_project-system'])
         WITH ORDINALITY AS u(name, n);

    -- Outside is whatever trunks are made members of this group.
    INSERT INTO pbx.trunk_group (domain, name) VALUES (d, 'outside');
    INSERT INTO pbx.route (domain, context, pattern, name) VALUES
        (d, 'inbound', extension, 'Extensions'), (d, 'outgoing', '_+X.', 'Outside, international'), (d, 'outgoing', '_0X.', 'Outside'),
        (d, 'feature', '*97', 'Own mailbox'), (d, 'feature', '*98', 'Any mailbox'), (d, 'feature', '_**X.', 'Message for an extension'),
        (d, 'feature', '*43', 'Echo test');
    INSERT INTO pbx.step (domain, context, pattern, position, app, args, condition) VALUES
        (d, 'inbound', extension, 1, 'dial', '{"number": "${number}"}', NULL),
        (d, 'inbound', extension, 2, 'voicemail', '{"mailbox": "${number}"}', 'result=busy,no_answer,unavailable,declined'),
        (d, 'outgoing', '_+X.', 1, 'dial', '{"number": "${number}", "trunk": "outside"}', NULL),
        (d, 'outgoing', '_0X.', 1, 'dial', '{"number": "${number}", "trunk": "outside"}', NULL),
        (d, 'feature', '*97', 1, 'voicemail_menu', '{"mailbox": "${caller}"}', NULL),
        (d, 'feature', '*98', 1, 'voicemail_menu', '{}', NULL),
        (d, 'feature', '_**X.', 1, 'voicemail', '{"mailbox": "${number:2}"}', NULL),
        (d, 'feature', '*43', 1, 'echo', '{}', NULL);
    INSERT INTO pbx.route (domain, context, pattern, name) SELECT d, 'emergency', n, 'Emergency' FROM unnest($8) AS n;
    INSERT INTO pbx.step (domain, context, pattern, position, app, args)
    SELECT d, 'emergency', n, 1, 'dial', jsonb_build_object('number', n, 'trunk', 'outside') FROM unnest($8) AS n;
    INSERT INTO pbx.emergency_number (domain, number, context) SELECT d, n, 'emergency' FROM unnest($8) AS n;
    RETURN own;
END $$;
COMMENT ON FUNCTION pbx.create_domain(text, text, text, text, text, text, integer, text[]) IS 'Makes a domain that works: contexts inbound, internal (the default) and outgoing, routes for extensions of so many digits, for calls outside by the trunk group "outside" (whose members are still to be made) and for emergency numbers, feature codes, music and tones; and the role whose members administer it, which it returns. For operators.';

CREATE FUNCTION pbx.drop_domain(domain text, records boolean DEFAULT false) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    d CONSTANT text := $1;
    own name;
    gone boolean;
BEGIN
    IF NOT pbx.is_staff() THEN
        RAISE EXCEPTION 'domain %: only operators drop domains', d USING ERRCODE = 'insufficient_privilege';
    ELSIF $2 AND EXISTS (SELECT FROM pbx.recording AS r WHERE r.domain = d) THEN
        RAISE EXCEPTION 'domain %: there are recordings, whose files servers have to remove', d
            USING ERRCODE = 'object_in_use', HINT = format('UPDATE pbx.domain SET record_keep = ''1 second'' WHERE domain = %L, and within an hour they are gone.', d);
    END IF;
    FOR own IN DELETE FROM pbx.domain_role AS r WHERE r.domain = d RETURNING r.role LOOP
        -- It may have been given something else meanwhile, or be of use in another database: then its members lose what the domain gave them.
        BEGIN
            EXECUTE format('DROP ROLE %I', own);
        EXCEPTION WHEN dependent_objects_still_exist OR undefined_object OR insufficient_privilege THEN
            RAISE NOTICE 'role % stays: %', own, SQLERRM;
        END;
    END LOOP;
    DELETE FROM pbx.domain AS x WHERE x.domain = d;
    gone := FOUND;
    IF $2 THEN
        DELETE FROM pbx.cdr AS c WHERE c.domain = d;
        gone := gone OR FOUND;
    END IF;
    IF NOT gone THEN
        RAISE EXCEPTION 'there is no domain %', d USING ERRCODE = 'undefined_object';
    END IF;
END $$;
COMMENT ON FUNCTION pbx.drop_domain(text, boolean) IS 'Removes a domain with all that is its own, and its role. Call records stay, for operators to see, unless records is true. For operators.';

-- Explained to a tenant, who doesn't read the passwords of his trunks: columns are named.

CREATE OR REPLACE FUNCTION pbx.explain_step(domain text, app text, args jsonb, vars jsonb, at timestamptz, depth integer) RETURNS SETOF pbx.decision LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    trunk record;
    target text;
BEGIN
    IF $3::text LIKE '%${%' THEN
        RETURN;
    ELSIF $2 = 'dial' AND $3 ? 'trunk' THEN
        -- One trunk, or those of a group that may be tried at that time.
        FOR trunk IN
            SELECT t.domain, t.name, t.uri, t.enabled, t.call_limit FROM pbx.trunk AS t LEFT JOIN pbx.trunk_group_member AS m ON (m.domain, m.trunk, m.name) = (t.domain, t.name, $3 ->> 'trunk')
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
