-- Tenants: whoever administers a domain is a PostgreSQL role that sees and changes what is the domain's, whatever program he uses.
--
-- Four groups. cordboard_tenant holds what every tenant may do; a group of each domain, a member of it, says to which rows
-- (pbx.domain_role). cordboard_operator does the daily work of all domains, cordboard_auditor reads. Row-level security is forced, so
-- that even the owner of the tables needs a policy: the role that owns the schema and as which servers connect has one that holds for
-- every row and costs nothing. Roles belong to the cluster, not to the database: without the right to make them (CREATEROLE) all of
-- this waits, closed, until pbx.tenancy() is called by who has it.

CREATE TABLE pbx.tenancy (
    tab     name PRIMARY KEY,
    scope   text NOT NULL CHECK (scope IN ('domain', 'global')),
    may     text[] NOT NULL CHECK (may <@ '{SELECT,INSERT,UPDATE,DELETE}'),
    secret  text[] NOT NULL DEFAULT '{}',
    fixed   text[] NOT NULL DEFAULT '{}',
    through text,
    staff   text[] NOT NULL DEFAULT '{SELECT,INSERT,UPDATE,DELETE}' CHECK (staff <@ '{SELECT,INSERT,UPDATE,DELETE}'),
    reason  text CHECK (scope = 'domain' OR reason IS NOT NULL)
);
COMMENT ON TABLE pbx.tenancy IS 'What tenants, operators and auditors may do with each table. Written by pbx.tenant_table() and pbx.global_table(), carried out by pbx.tenancy().';
COMMENT ON COLUMN pbx.tenancy.tab IS 'The table.';
COMMENT ON COLUMN pbx.tenancy.scope IS 'domain: each row is some domain''s, and row-level security shows it to that one alone; global: its rows are nobody''s.';
COMMENT ON COLUMN pbx.tenancy.may IS 'What a tenant may do with the rows that are his; with all, of a global table.';
COMMENT ON COLUMN pbx.tenancy.secret IS 'Columns that nobody reads but the servers: hashes, passwords. They can be set.';
COMMENT ON COLUMN pbx.tenancy.fixed IS 'Columns that a tenant doesn''t set.';
COMMENT ON COLUMN pbx.tenancy.through IS 'Condition that makes a row his, where the table has no column domain and refers to no table that has one; NULL: found by itself.';
COMMENT ON COLUMN pbx.tenancy.staff IS 'What an operator may do; an auditor may SELECT if that is among it.';
COMMENT ON COLUMN pbx.tenancy.reason IS 'Why the rows of a global table are nobody''s.';

CREATE TABLE pbx.domain_role (
    role   name PRIMARY KEY,
    domain text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    CONSTRAINT role_is_none_of_all_domains CHECK (role NOT IN ('cordboard_tenant', 'cordboard_operator', 'cordboard_auditor'))
);
COMMENT ON TABLE pbx.domain_role IS 'Which group of PostgreSQL administers a domain: cordboard_admin_<domain> as pbx.create_domain() makes it. Its members are the tenant''s people and programs.';
COMMENT ON COLUMN pbx.domain_role.role IS 'The group, a member of cordboard_tenant.';
COMMENT ON COLUMN pbx.domain_role.domain IS 'The domain.';
CREATE INDEX domain_role_domain ON pbx.domain_role (domain);
COMMENT ON INDEX pbx.domain_role_domain IS 'Groups of a domain.';

-- Who asks -----------------------------------------------------------------------------------------
--
-- Bodies between BEGIN ATOMIC and END are bound when they are made: whatever search_path a tenant sets, = stays PostgreSQL's.

CREATE FUNCTION pbx.own_roles() RETURNS SETOF name LANGUAGE sql STABLE PARALLEL SAFE ROWS 5
BEGIN ATOMIC
    WITH RECURSIVE mine(oid) AS (
        SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user
        UNION
        SELECT m.roleid FROM mine JOIN pg_catalog.pg_auth_members AS m ON m.member = mine.oid)
    SELECT r.rolname FROM mine JOIN pg_catalog.pg_roles AS r USING (oid) WHERE pg_has_role(current_user, r.oid, 'USAGE');
END;
COMMENT ON FUNCTION pbx.own_roles() IS 'The roles whose rights the present one has, itself among them.';

CREATE FUNCTION pbx.own_domains() RETURNS SETOF text LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT d.domain FROM pbx.domain_role AS d WHERE d.role = ANY (ARRAY(SELECT pbx.own_roles()));
END;
COMMENT ON FUNCTION pbx.own_domains() IS 'The domains that the present role administers as a tenant.';

CREATE FUNCTION pbx.caller() RETURNS name LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN current_setting('role') IN ('none', '') THEN session_user ELSE current_setting('role')::name END;
END;
COMMENT ON FUNCTION pbx.caller() IS 'Who asks, also within a function that runs with its owner''s rights (SECURITY DEFINER), where current_user is that owner.';

CREATE FUNCTION pbx.is_staff(may_change boolean DEFAULT true) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_roles AS r
        WHERE (r.oid = (SELECT n.nspowner FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'pbx') OR r.rolname = 'cordboard_operator'
               OR r.rolname = 'cordboard_auditor' AND NOT may_change)
          AND pg_has_role(pbx.caller(), r.oid, 'USAGE'));
END;
COMMENT ON FUNCTION pbx.is_staff(boolean) IS 'Is who asks (pbx.caller()) an operator or the owner of the schema, for whom all domains are open? With false: or an auditor, who may only look.';

CREATE FUNCTION pbx.sees(domain text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pbx.is_staff(false) OR EXISTS (
        SELECT FROM pbx.domain_role AS d JOIN pg_catalog.pg_roles AS r ON r.rolname = d.role
        WHERE d.domain = sees.domain AND pg_has_role(pbx.caller(), r.oid, 'USAGE'));
END;
COMMENT ON FUNCTION pbx.sees(text) IS 'May who asks (pbx.caller()) see what is this domain''s? For functions that run with their owner''s rights.';

-- Policies and grants ------------------------------------------------------------------------------

CREATE FUNCTION pbx.group_exists(name) RETURNS boolean LANGUAGE sql STABLE RETURN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1);
COMMENT ON FUNCTION pbx.group_exists(name) IS 'Is there such a role?';

CREATE FUNCTION pbx.tenant_condition(tab regclass) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    given text := (SELECT t.through FROM pbx.tenancy AS t JOIN pg_class AS c ON c.relname = t.tab WHERE c.oid = $1);
    ref record;
BEGIN
    IF given IS NOT NULL THEN
        RETURN given;
    ELSIF EXISTS (SELECT FROM pg_attribute WHERE attrelid = $1 AND attname = 'domain' AND NOT attisdropped) THEN
        RETURN 'domain = ANY (ARRAY(SELECT pbx.own_domains()))';
    END IF;
    SELECT f.confrelid::regclass AS parent, (
        SELECT string_agg(format('p.%I = %I.%I', b.attname, c.relname, a.attname), ' AND ' ORDER BY k.n)
        FROM unnest(f.conkey, f.confkey) WITH ORDINALITY AS k(own, other, n)
        JOIN pg_attribute AS a ON (a.attrelid, a.attnum) = (f.conrelid, k.own)
        JOIN pg_attribute AS b ON (b.attrelid, b.attnum) = (f.confrelid, k.other)
        JOIN pg_class AS c ON c.oid = f.conrelid) AS same
    INTO ref
    FROM pg_constraint AS f JOIN pg_class AS p ON p.oid = f.confrelid JOIN pbx.tenancy AS t ON t.tab = p.relname AND t.scope = 'domain'
    WHERE f.conrelid = $1 AND f.contype = 'f' ORDER BY f.conname LIMIT 1;
    RETURN 'EXISTS (SELECT FROM ' || ref.parent::text || ' AS p WHERE ' || ref.same || ')';
END $$;
COMMENT ON FUNCTION pbx.tenant_condition(regclass) IS 'Condition that makes a row of a table the tenant''s who asks: by its column domain, or through the row of another table to which it refers. NULL: there is no way to say.';

CREATE PROCEDURE pbx.tenant_policies(tab regclass) LANGUAGE plpgsql AS $$
DECLARE
    own text := pbx.tenant_condition(tab);
    pol record;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', tab);
    FOR pol IN
        SELECT p.name, p.role, p.command, p.condition, p.role IS NULL OR pbx.group_exists(p.role) AND p.condition IS NOT NULL AS wanted
        FROM (VALUES ('owner', NULL, 'ALL', 'true'), ('operator', 'cordboard_operator', 'ALL', 'true'),
                     ('auditor', 'cordboard_auditor', 'SELECT', 'true'), ('tenant', 'cordboard_tenant', 'ALL', own)) AS p(name, role, command, condition)
    LOOP
        IF EXISTS (SELECT FROM pg_policy WHERE polrelid = tab AND polname = pol.name) THEN
            EXECUTE format('DROP POLICY %I ON %s', pol.name, tab);
        END IF;
        IF pol.wanted THEN
            EXECUTE format('CREATE POLICY %I ON %s FOR %s TO %I USING (%s)', pol.name, tab, pol.command,
                           coalesce(pol.role, (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = tab)), pol.condition);
        END IF;
    END LOOP;
END $$;
COMMENT ON PROCEDURE pbx.tenant_policies(regclass) IS 'Gives a table its policies: of the owner, of operators, auditors and tenants.';

CREATE FUNCTION pbx.columns_but(tab regclass, but text[]) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN cardinality($2) = 0 THEN '' ELSE format('(%s)', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)) END
    FROM pg_attribute AS a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL ($2)
$$;
COMMENT ON FUNCTION pbx.columns_but(regclass, text[]) IS 'The columns of a table without some, as GRANT wants them; empty, which means all: without none.';

CREATE PROCEDURE pbx.tenant_grants(tab regclass) LANGUAGE plpgsql AS $$
DECLARE
    t pbx.tenancy;
    g record;
    p text;
BEGIN
    SELECT * INTO STRICT t FROM pbx.tenancy AS x JOIN pg_class AS c ON c.relname = x.tab WHERE c.oid = $1;
    FOR g IN SELECT * FROM (VALUES ('cordboard_tenant', t.may, t.fixed), ('cordboard_operator', t.staff, '{}'),
                            ('cordboard_auditor', CASE WHEN 'SELECT' = ANY (t.staff) THEN '{SELECT}'::text[] END, '{}')) AS v(name, may, fixed)
             WHERE pbx.group_exists(v.name) LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %I', $1, g.name);
        FOREACH p IN ARRAY coalesce(g.may, '{}') LOOP
            EXECUTE format('GRANT %s%s ON %s TO %I', p, CASE p WHEN 'SELECT' THEN pbx.columns_but($1, t.secret) WHEN 'DELETE' THEN ''
                                                        ELSE pbx.columns_but($1, g.fixed) END, $1, g.name);
        END LOOP;
    END LOOP;
END $$;
COMMENT ON PROCEDURE pbx.tenant_grants(regclass) IS 'Grants what pbx.tenancy says of a table, and nothing else.';

CREATE PROCEDURE pbx.tenant_table(tab regclass, may text[] DEFAULT NULL, secret text[] DEFAULT NULL, fixed text[] DEFAULT NULL, through text DEFAULT NULL)
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pbx.tenancy AS t (tab, scope, may, secret, fixed, through)
    SELECT c.relname, 'domain', coalesce($2, '{SELECT}'), coalesce($3, '{}'), coalesce($4, '{}'), $5 FROM pg_class AS c WHERE c.oid = $1
    ON CONFLICT ON CONSTRAINT tenancy_pkey DO UPDATE
    SET scope = 'domain', may = coalesce($2, t.may), secret = coalesce($3, t.secret), fixed = coalesce($4, t.fixed), through = coalesce($5, t.through);
    IF pbx.tenant_condition($1) IS NULL THEN
        RAISE EXCEPTION '%: whose are its rows? It has no column domain, and refers to no table of a domain', $1
            USING HINT = 'Give the condition (through), or, if they are nobody''s, CALL pbx.global_table(table, reason).';
    END IF;
    CALL pbx.tenant_policies($1);
    CALL pbx.tenant_grants($1);
END $$;
COMMENT ON PROCEDURE pbx.tenant_table(regclass, text[], text[], text[], text) IS 'For migrations: shows the rows of a table to their domain alone. What a tenant may do with them (by default and at first SELECT), columns that nobody reads, columns that he doesn''t set, and, without a column domain, the condition that makes a row his. NULL leaves what was said before.';

CREATE PROCEDURE pbx.global_table(tab regclass, reason text, may text[] DEFAULT '{}', staff text[] DEFAULT '{SELECT,INSERT,UPDATE,DELETE}', secret text[] DEFAULT '{}')
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pbx.tenancy AS t (tab, scope, may, secret, staff, reason)
    SELECT c.relname, 'global', $3, $5, $4, $2 FROM pg_class AS c WHERE c.oid = $1
    ON CONFLICT ON CONSTRAINT tenancy_pkey DO UPDATE
    SET scope = 'global', may = $3, secret = $5, staff = $4, reason = $2, fixed = '{}', through = NULL;
    EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', $1);
    CALL pbx.tenant_grants($1);
END $$;
COMMENT ON PROCEDURE pbx.global_table(regclass, text, text[], text[], text[]) IS 'For migrations: says that the rows of a table are no domain''s, and why; what a tenant may do with all of them (by default nothing), what operators, and columns that nobody reads.';

CREATE PROCEDURE pbx.tenancy() LANGUAGE plpgsql AS $$
DECLARE
    groups name[] := '{cordboard_tenant,cordboard_operator,cordboard_auditor}';
    g name;
    r record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('pbx.tenancy', 0));
    FOREACH g IN ARRAY groups LOOP
        IF NOT pbx.group_exists(g) AND (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I', g);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- the same for another database of the cluster, at this moment
            END;
        END IF;
        IF pbx.group_exists(g) THEN
            EXECUTE format('GRANT USAGE ON SCHEMA pbx TO %I', g);
        ELSE
            RAISE WARNING 'there is no role %, so tenants can''t be given access', g
                USING HINT = format('ALTER ROLE %I CREATEROLE, as superuser; then CALL pbx.tenancy().', current_user);
        END IF;
    END LOOP;

    -- What runs with its owner's rights: it writes what nobody else may, of rows that were let in already.
    FOR r IN SELECT f.oid::regprocedure AS fn FROM pg_proc AS f
             WHERE f.pronamespace = 'pbx'::regnamespace AND f.proname IN ('change_note', 'change_publish', 'recheck_note', 'recheck_run') LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, pg_temp', r.fn);
        -- Whoever may not execute it can't make a trigger of it either, on a table and with arguments of his own.
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', r.fn);
    END LOOP;

    FOR r IN SELECT c.oid::regclass AS view, EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgtype & 64 <> 0) AS written
             FROM pg_class AS c WHERE c.relnamespace = 'pbx'::regnamespace AND c.relkind = 'v' LOOP
        -- Such a view shows what the one who asks may see of its tables, not what its owner may.
        EXECUTE format('ALTER VIEW %s SET (security_invoker = true)', r.view);
        FOREACH g IN ARRAY groups LOOP
            IF pbx.group_exists(g) THEN
                EXECUTE format('GRANT SELECT%s ON %s TO %I', CASE WHEN r.written AND g <> 'cordboard_auditor' THEN ', INSERT, UPDATE, DELETE' ELSE '' END, r.view, g);
            END IF;
        END LOOP;
    END LOOP;

    -- The outer ones first: a table may be its domain's through another.
    FOR r IN SELECT c.oid::regclass AS tab, t.scope,
                    c.relforcerowsecurity AND (SELECT count(*) FROM pg_policy AS p WHERE p.polrelid = c.oid)
                                            = 1 + (SELECT count(*) FROM unnest(groups) AS u(name) WHERE pbx.group_exists(u.name)) AS whole
             FROM pg_class AS c LEFT JOIN pbx.tenancy AS t ON t.tab = c.relname
             WHERE c.relnamespace = 'pbx'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
             ORDER BY EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'domain' AND NOT attisdropped) DESC, c.relname LOOP
        IF r.scope = 'global' OR r.whole AND r.scope = 'domain' THEN
            CALL pbx.tenant_grants(r.tab);
        ELSIF r.scope = 'domain' OR pbx.tenant_condition(r.tab) IS NOT NULL THEN
            CALL pbx.tenant_table(r.tab);
        ELSE
            -- Nobody has said whose its rows are: closed to tenants.
            CALL pbx.tenant_policies(r.tab);
        END IF;
    END LOOP;
END $$;
COMMENT ON PROCEDURE pbx.tenancy() IS 'Makes the groups cordboard_tenant, cordboard_operator and cordboard_auditor, and gives all tables, views and functions the policies and rights that belong to them. sql/migrate.sh calls it each time; may be called at any time.';

-- What there is ------------------------------------------------------------------------------------

DO $$
DECLARE
    every CONSTANT text[] := '{SELECT,INSERT,UPDATE,DELETE}';
    r record;
BEGIN
    -- What tenants make and change themselves.
    FOR r IN SELECT unnest(ARRAY['setting', 'context', 'context_include', 'number', 'extension', 'forward', 'greeting', 'prompt', 'music_class', 'music_file',
                                 'ring_group', 'ring_group_member', 'menu', 'menu_choice', 'route', 'step', 'emergency_number', 'blocked_caller', 'schedule',
                                 'schedule_period', 'schedule_holiday', 'trunk_group', 'trunk_group_member', 'presence_note', 'pass_header']) AS tab LOOP
        CALL pbx.tenant_table(format('pbx.%I', r.tab)::regclass, every);
    END LOOP;
    CALL pbx.tenant_table('pbx.credential', every, '{ha1_md5,ha1_sha256,ha1_sha512_256}');
    CALL pbx.tenant_table('pbx.mailbox', every, '{pin_hash}');
    CALL pbx.tenant_table('pbx.conference', every, '{pin_hash,moderator_pin_hash}');
    -- By its certificate, its address and a public number a caller is known among all domains: none of these can be claimed, only got.
    CALL pbx.tenant_table('pbx.trunk', every, '{auth_password}', '{tls_identity}');
    CALL pbx.tenant_table('pbx.trunk_address');
    CALL pbx.tenant_table('pbx.certificate');
    CALL pbx.tenant_table('pbx.inbound_number', '{SELECT,UPDATE}', '{}', '{number,domain,rank}');
    -- What he is charged for, and where files lie, is not his to say.
    CALL pbx.tenant_table('pbx.domain', '{SELECT,UPDATE}', '{}', '{domain,realm,is_default,call_limit,record_path}');
    CALL pbx.tenant_table('pbx.voicemail', '{SELECT,UPDATE,DELETE}', '{}', '{id,domain,number,sound}');
    CALL pbx.tenant_table('pbx.message', '{SELECT,DELETE}');
    CALL pbx.tenant_table('pbx.phone_request', '{SELECT,INSERT}');
    -- What servers write.
    FOR r IN SELECT unnest(ARRAY['binding', 'subscription', 'cdr', 'cdr_leg', 'live_call', 'live_leg', 'trunk_state', 'conference_member', 'recording',
                                 'recording_segment']) AS tab LOOP
        CALL pbx.tenant_table(format('pbx.%I', r.tab)::regclass);
    END LOOP;
    CALL pbx.tenant_table('pbx.outbox_refused', through => 'doc ->> ''domain'' = ANY (ARRAY(SELECT pbx.own_domains()))');
    CALL pbx.tenant_table('pbx.domain_role', through => 'role = ANY (ARRAY(SELECT pbx.own_roles()))');

    CALL pbx.global_table('pbx.version', 'the schema is the same for all', '{SELECT}', '{SELECT}');
    CALL pbx.global_table('pbx.tenancy', 'says what tenants may, in general', '{SELECT}', '{SELECT}');
    CALL pbx.global_table('pbx.app', 'what the program can do', '{SELECT}', '{SELECT}');
    CALL pbx.global_table('pbx.app_param', 'what the program can do', '{SELECT}', '{SELECT}');
    CALL pbx.global_table('pbx.phrase', 'what the program can say', '{SELECT}', '{SELECT}');
    CALL pbx.global_table('pbx.tone_plan', 'tones of countries', '{SELECT}');
    CALL pbx.global_table('pbx.node', 'the servers, which are shared by all domains', '{SELECT}', '{SELECT}');
    CALL pbx.global_table('pbx.retention', 'how long things are kept, for all domains alike', '{SELECT}');
    CALL pbx.global_table('pbx.listener', 'sockets of the servers');
    CALL pbx.global_table('pbx.listener_state', 'sockets of the servers', '{}', '{SELECT}');
    CALL pbx.global_table('pbx.ban', 'strangers, of whom no domain is known');
    CALL pbx.global_table('pbx.network', 'strangers, of whom no domain is known');
    CALL pbx.global_table('pbx.change', 'told to servers, and names rows of all domains', '{}', '{SELECT}');
    CALL pbx.global_table('pbx.change_pending', 'written by triggers, empty at COMMIT', '{}', '{}');
    CALL pbx.global_table('pbx.recheck', 'written by triggers, empty at COMMIT', '{}', '{}');
    CALL pbx.global_table('pbx.secret', 'keys of the servers', '{}', '{}');
    CALL pbx.global_table('pbx.outbox_done', 'ids of what servers handed over', '{}', '{SELECT}');
END $$;

-- What can be said of a secret without telling it -------------------------------------------------------

CREATE FUNCTION pbx.without_secret() RETURNS TABLE (kind text, domain text, number text) LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    WITH seen AS (SELECT d.domain FROM pbx.domain AS d WHERE pbx.sees(d.domain))
    SELECT 'extension', e.domain, e.number FROM seen JOIN pbx.extension AS e USING (domain)
    WHERE NOT EXISTS (SELECT FROM pbx.credential AS c WHERE (c.domain, c.number) = (e.domain, e.number) AND c.ha1_md5 IS NOT NULL)
    UNION ALL
    SELECT 'mailbox', m.domain, m.number FROM seen JOIN pbx.mailbox AS m USING (domain) WHERE m.pin_hash IS NULL
$$;
COMMENT ON FUNCTION pbx.without_secret() IS 'Extensions without a password and mailboxes without a PIN, of the domains that the caller may see.';

CREATE FUNCTION pbx.weak_secret() RETURNS TABLE (kind text, domain text, name text, word text) LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    WITH seen AS (SELECT d.domain, d.realm FROM pbx.domain AS d WHERE pbx.sees(d.domain))
    SELECT 'credential', c.domain, c.auth_name, CASE w.word WHEN c.number THEN 'its number' WHEN c.auth_name THEN 'its name' ELSE w.word END
    FROM seen AS d JOIN pbx.credential AS c USING (domain),
         LATERAL (SELECT DISTINCT u.word FROM unnest(ARRAY[c.number, c.auth_name, '1234', '12345', '123456', '12345678', '0000', 'password', 'secret', 'test',
                                                           c.number || c.number]) AS u(word)) AS w
    WHERE c.ha1_md5 = md5(concat_ws(':', c.auth_name, d.realm, w.word))
    UNION ALL
    SELECT 'mailbox', m.domain, m.number, CASE w.pin WHEN m.number THEN 'its number' ELSE w.pin END
    FROM seen JOIN pbx.mailbox AS m USING (domain),
         LATERAL (SELECT DISTINCT u.pin FROM unnest(ARRAY[m.number, '0000', '1111', '1234', '12345', '123456']) AS u(pin)) AS w
    WHERE m.pin_hash IS NOT NULL AND pbx.pin_check(w.pin, m.pin_hash)
$$;
COMMENT ON FUNCTION pbx.weak_secret() IS 'Passwords and PINs that whoever tries a dozen words finds, of the domains that the caller may see: credential or mailbox, and what it is.';

CREATE OR REPLACE VIEW pbx.problem WITH (security_invoker) AS
SELECT format('step %s/%s/%s/%s', s.domain, s.context, s.pattern, s.position) AS row_name, pbx.args_problem(s.domain, s.app, s.args) AS problem
FROM pbx.step AS s WHERE pbx.args_problem(s.domain, s.app, s.args) IS NOT NULL
UNION ALL
SELECT t.held_by, pbx.dial_problem(t.domain, t.context, t.target)
FROM pbx.target AS t WHERE pbx.dial_problem(t.domain, t.context, t.target) IS NOT NULL
UNION ALL
SELECT format('route %s/%s/%s', r.domain, r.context, r.pattern), 'it has no steps'
FROM pbx.route AS r WHERE r.enabled AND NOT EXISTS (
    SELECT FROM pbx.step AS s WHERE (s.domain, s.context, s.pattern) = (r.domain, r.context, r.pattern))
UNION ALL
SELECT format('ring_group %s/%s', g.domain, g.number), 'it has no members'
FROM pbx.ring_group AS g WHERE NOT EXISTS (
    SELECT FROM pbx.ring_group_member AS m WHERE (m.domain, m.number) = (g.domain, g.number))
UNION ALL
SELECT format('extension %s/%s', e.domain, e.number), 'it has no password, so no phone can register'
FROM pbx.without_secret() AS w JOIN pbx.extension AS e ON (e.domain, e.number) = (w.domain, w.number)
WHERE w.kind = 'extension' AND e.enabled
UNION ALL
SELECT format('mailbox %s/%s', w.domain, w.number), 'it has no PIN, so it can''t be opened from other extensions'
FROM pbx.without_secret() AS w WHERE w.kind = 'mailbox'
UNION ALL
SELECT format('music_class %s/%s', c.domain, c.class), 'it has no files, so it is silent'
FROM pbx.music_class AS c WHERE NOT EXISTS (
    SELECT FROM pbx.music_file AS f WHERE (f.domain, f.class) = (c.domain, c.class))
UNION ALL
SELECT format('menu %s/%s', m.domain, m.number), 'there is no prompt or phrase ' || pbx.prompt_missing(m.domain, concat_ws('&', m.prompt, m.invalid_prompt))
FROM pbx.menu AS m WHERE pbx.prompt_missing(m.domain, concat_ws('&', m.prompt, m.invalid_prompt)) IS NOT NULL;

CREATE OR REPLACE VIEW pbx.check WITH (security_invoker) AS
WITH seen AS (
    SELECT p.row_name, p.problem, split_part(p.row_name, ' ', 1) AS kind, string_to_array(substr(p.row_name, strpos(p.row_name, ' ') + 1), '/') AS key
    FROM pbx.problem AS p
)
SELECT 'error' AS severity, s.row_name, s.problem,
       CASE
       WHEN s.kind = 'extension' AND s.problem LIKE 'it has no password%' THEN
           format('SELECT pbx.set_password(%L, %L, pbx.random_text(16, ''abcdefghijkmnpqrstuvwxyz23456789''))', s.key[1], s.key[2])
       WHEN s.kind = 'mailbox' AND s.problem LIKE 'it has no PIN%' THEN format('SELECT pbx.set_pin(%L, %L, pbx.random_text(6, ''0123456789''))', s.key[1], s.key[2])
       WHEN s.kind = 'route' AND s.problem = 'it has no steps' THEN
           format('UPDATE pbx.route SET enabled = false WHERE (domain, context, pattern) = (%L, %L, %L)', s.key[1], s.key[2], s.key[3])
       WHEN s.kind = 'ring_group' AND s.problem = 'it has no members' THEN
           format('INSERT INTO pbx.ring_group_member (domain, number, member) VALUES (%L, %L, ''<extension>'')', s.key[1], s.key[2])
       WHEN s.kind = 'music_class' THEN format('INSERT INTO pbx.music_file VALUES (%L, %L, 1, ''<path>'')', s.key[1], s.key[2])
       WHEN s.kind = 'step' THEN
           format('UPDATE pbx.step SET args = ''<arguments>'' WHERE (domain, context, pattern, position) = (%L, %L, %L, %L)', s.key[1], s.key[2], s.key[3], s.key[4])
       END AS fix
FROM seen AS s
UNION ALL
SELECT 'risk', format('%s %s/%s', w.kind, w.domain, w.name), CASE w.kind WHEN 'mailbox' THEN 'its PIN is ' ELSE 'its password is ' END || w.word,
       CASE w.kind WHEN 'mailbox' THEN format('SELECT pbx.set_pin(%L, %L, pbx.random_text(6, ''0123456789''))', w.domain, w.name)
       ELSE format('SELECT pbx.set_password(%L, %L, pbx.random_text(16, ''abcdefghijkmnpqrstuvwxyz23456789''))', w.domain, w.name) END
FROM pbx.weak_secret() AS w
UNION ALL
SELECT 'risk', 'domain ' || d.domain, 'calls go out by its trunks, and no emergency number is set',
       format('INSERT INTO pbx.emergency_number (domain, number, context) VALUES (%L, ''<number>'', ''<context with its route>'')', d.domain)
FROM pbx.domain AS d
WHERE EXISTS (SELECT FROM pbx.trunk AS t WHERE t.domain = d.domain AND t.enabled AND t.uri IS NOT NULL)
  AND NOT EXISTS (SELECT FROM pbx.emergency_number AS e WHERE e.domain = d.domain)
UNION ALL
SELECT 'error', t.held_by, pbx.emergency_problem(t.domain, t.context, t.target), NULL
FROM pbx.target AS t WHERE t.held_by LIKE 'emergency number %' AND pbx.emergency_problem(t.domain, t.context, t.target) IS NOT NULL
UNION ALL
SELECT 'risk', format('%s %s/%s', k.kind, k.domain, k.name), 'keys of encrypted media are told in clear, so that who listens has them',
       format('UPDATE pbx.%I SET srtp_keys_in_clear = false WHERE (domain, %I) = (%L, %L)', k.kind, k.col, k.domain, k.name)
FROM (SELECT 'extension' AS kind, 'number' AS col, e.domain, e.number AS name FROM pbx.extension AS e WHERE e.srtp_keys_in_clear
      UNION ALL SELECT 'trunk', 'name', t.domain, t.name FROM pbx.trunk AS t WHERE t.srtp_keys_in_clear) AS k
UNION ALL
SELECT 'error', format('step %s/%s/%s/%s', s.domain, s.context, s.pattern, s.position), format('trunk %s isn''t enabled', t.name),
       format('UPDATE pbx.trunk SET enabled = true WHERE (domain, name) = (%L, %L)', t.domain, t.name)
FROM pbx.step AS s JOIN pbx.app_param AS p ON p.app = s.app AND p.type = 'trunk'
JOIN pbx.trunk AS t ON (t.domain, t.name) = (s.domain, s.args ->> p.param)
WHERE NOT t.enabled
UNION ALL
SELECT 'error', format('step %s/%s/%s/%s', s.domain, s.context, s.pattern, s.position), format('no calls go out by trunk %s: it has no uri', t.name),
       format('UPDATE pbx.trunk SET uri = ''sip:<host>'' WHERE (domain, name) = (%L, %L)', t.domain, t.name)
FROM pbx.step AS s JOIN pbx.app_param AS p ON p.app = s.app AND p.type = 'trunk'
JOIN pbx.trunk AS t ON (t.domain, t.name) = (s.domain, s.args ->> p.param)
WHERE t.enabled AND t.uri IS NULL
UNION ALL
SELECT 'error', format('trunk %s/%s', s.domain, s.name), format('it can''t be registered at %s: %s %s', coalesce(s.registrar, 'its registrar'), s.status, s.reason), NULL
FROM pbx.trunk_state AS s WHERE s.registration = 'failed'
UNION ALL
SELECT 'error', format('trunk %s/%s', s.domain, s.name), format('it doesn''t answer node %s since %s', s.node, s.reachable_since), NULL
FROM pbx.trunk_state AS s WHERE NOT s.reachable
UNION ALL
SELECT 'error', format('schedule %s/%s', s.domain, s.schedule), 'it has no periods, so it is never open',
       format('INSERT INTO pbx.schedule_period SELECT %L, %L, weekday, ''08:00'', ''17:00'' FROM generate_series(1, 5) AS weekday', s.domain, s.schedule)
FROM pbx.schedule AS s WHERE s.override = 'auto' AND NOT EXISTS (SELECT FROM pbx.schedule_period AS p WHERE (p.domain, p.schedule) = (s.domain, s.schedule))
UNION ALL
SELECT 'notice', format('schedule %s/%s', s.domain, s.schedule), format('it is switched to %s by hand, with no end', s.override),
       format('SELECT pbx.schedule_switch(%L, %L, ''auto'')', s.domain, s.schedule)
FROM pbx.schedule AS s WHERE s.override <> 'auto' AND s.override_until IS NULL
UNION ALL
SELECT 'error', format('forward %s/%s/%s', f.domain, f.number, f.reason), format('extension %s isn''t enabled', f.target),
       format('UPDATE pbx.forward SET enabled = false WHERE (domain, number, reason) = (%L, %L, %L)', f.domain, f.number, f.reason)
FROM pbx.forward AS f JOIN pbx.extension AS e ON (e.domain, e.number) = (f.domain, f.target)
WHERE f.enabled AND NOT e.enabled
UNION ALL
SELECT 'notice', format('inbound number %s', i.number), 'its domain has no trunk by which calls to it could come', NULL
FROM pbx.inbound_number AS i WHERE NOT EXISTS (SELECT FROM pbx.trunk AS t WHERE t.domain = i.domain AND t.enabled)
UNION ALL
SELECT 'notice', format('binding %s/%s', b.domain, b.number), format('the phone names a private address, %s, and comes from %s: it depends on the way back staying open', b.contact, b.address), NULL
FROM pbx.binding AS b
WHERE b.expires > now() AND b.contact ~ '@(10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.)' AND b.address !~ '^(10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|127\.)'
UNION ALL
SELECT 'error', 'outbox_refused', format('%s records could not be stored, the last one: %s', count(*), (array_agg(o.reason ORDER BY o.at DESC))[1]), 'SELECT * FROM pbx.outbox_refused'
FROM pbx.outbox_refused AS o HAVING count(*) > 0;

CALL pbx.tenancy();
