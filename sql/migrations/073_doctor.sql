-- The doctor: what is wrong or risky, with the statement that mends it.

CREATE VIEW pbx.check AS
WITH seen AS (
    SELECT p.row_name, p.problem, split_part(p.row_name, ' ', 1) AS kind, string_to_array(substr(p.row_name, strpos(p.row_name, ' ') + 1), '/') AS key
    FROM pbx.problem AS p
), weak AS (
    SELECT c.domain, c.auth_name, CASE w.word WHEN c.number THEN 'its number' WHEN c.auth_name THEN 'its name' ELSE w.word END AS word
    FROM pbx.credential AS c JOIN pbx.domain AS d USING (domain),
         LATERAL (SELECT DISTINCT u.word FROM unnest(ARRAY[c.number, c.auth_name, '1234', '12345', '123456', '12345678', '0000', 'password', 'secret', 'test',
                                                           c.number || c.number]) AS u(word)) AS w
    WHERE c.ha1_md5 = md5(concat_ws(':', c.auth_name, d.realm, w.word))
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
SELECT 'risk', format('credential %s/%s', w.domain, w.auth_name), 'its password is ' || w.word,
       format('SELECT pbx.set_password(%L, %L, pbx.random_text(16, ''abcdefghijkmnpqrstuvwxyz23456789''))', w.domain, w.auth_name)
FROM weak AS w
UNION ALL
SELECT 'risk', format('mailbox %s/%s', m.domain, m.number), 'its PIN is ' || CASE w.pin WHEN m.number THEN 'its number' ELSE w.pin END,
       format('SELECT pbx.set_pin(%L, %L, pbx.random_text(6, ''0123456789''))', m.domain, m.number)
FROM pbx.mailbox AS m, LATERAL (SELECT DISTINCT u.pin FROM unnest(ARRAY[m.number, '0000', '1111', '1234', '12345', '123456']) AS u(pin)) AS w
WHERE m.pin_hash IS NOT NULL AND pbx.pin_check(w.pin, m.pin_hash)
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
COMMENT ON VIEW pbx.check IS 'The doctor: what is wrong or risky. Worst first: SELECT * FROM pbx.check ORDER BY severity.';
COMMENT ON COLUMN pbx.check.severity IS 'error: it doesn''t work; risk: it may be misused, or somebody may come to harm; notice: it may be meant so.';
COMMENT ON COLUMN pbx.check.row_name IS 'The row.';
COMMENT ON COLUMN pbx.check.problem IS 'What is wrong with it.';
COMMENT ON COLUMN pbx.check.fix IS 'A statement that mends it; what stands in <> is for the administrator to fill in. NULL: no statement can.';
