-- Minutes that calls by trunks may have.
BEGIN;
SELECT plan(31);

INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'isp', 'office', 'sip:192.0.2.1');
UPDATE pbx.domain SET timezone = 'Europe/Vienna';

SELECT t.refused($$ INSERT INTO pbx.budget (domain, name, amount) VALUES ('office', 'a b', '1 minute') $$, '%budget_is_a_short_name%', 'a name');
SELECT t.refused($$ INSERT INTO pbx.budget (domain, name, amount) VALUES ('office', 'a', '-1 minute') $$, '%budget_amount_check%', 'an amount');
SELECT t.refused($$ INSERT INTO pbx.budget (domain, name, amount, period) VALUES ('office', 'a', '1 minute', 'week') $$, '%budget_period_check%', 'a period');
SELECT t.refused($$ INSERT INTO pbx.budget (domain, name, amount, extension, trunk) VALUES ('office', 'a', '1 minute', '1001', 'isp') $$, '%budget_is_an_extensions_or_a_trunks%', 'of one');
SELECT t.refused($$ INSERT INTO pbx.budget (domain, name, amount, extension) VALUES ('office', 'a', '1 minute', '1099') $$, '%extension_exists%', 'who exists');
SELECT t.refused($$ INSERT INTO pbx.budget (domain, name, amount, trunk) VALUES ('office', 'a', '1 minute', 'usp') $$, '%trunk_exists%', 'a trunk that exists');
SELECT t.refused($$ INSERT INTO pbx.budget (domain, name, amount, extension, direction) VALUES ('office', 'a', '1 minute', '1001', 'in') $$, '%extension_pays_for_calls_out%', 'who is called doesn''t pay');
DO $$ BEGIN PERFORM pbx.phrase_register('en', '{"beep": ""}'); END $$;
SELECT t.refused($$ INSERT INTO pbx.budget (domain, name, amount, prompt) VALUES ('office', 'a', '1 minute', 'nonsense') $$,
	'budget office/a: there is no prompt or phrase ''nonsense''', 'a prompt that exists');
SELECT t.accepted($$ INSERT INTO pbx.budget (domain, name, amount, period, extension) VALUES ('office', 'mobile', '60 minutes', 'month', '1001');
	INSERT INTO pbx.budget (domain, name, amount, period, trunk) VALUES ('office', 'isp', '10 minutes', 'day', 'isp');
	INSERT INTO pbx.budget (domain, name, amount, period, since) VALUES ('office', 'card', '100 minutes', 'total', '2026-01-05 10:00+00');
	INSERT INTO pbx.budget (domain, name, amount, trunk, direction) VALUES ('office', 'in', '0 minutes', 'isp', 'in') $$, 'budgets');
SELECT is((SELECT string_agg(key, ' ' ORDER BY seq) FROM (SELECT DISTINCT ON (key) key, seq FROM pbx.change WHERE "table" = 'budget') AS c), 'office/extension/1001 office/trunk/isp office/domain', 'servers are told, by owner');
SELECT is((SELECT string_agg(owner, ' ' ORDER BY name COLLATE "C") FROM pbx.budget), 'domain trunk/isp trunk/isp extension/1001', 'owners');

-- days and months are those of the time zone
SELECT is(pbx.budget_since(b, '2026-11-22 23:30+00')::text, '2026-11-22 23:00:00+00'::timestamptz::text, 'a day begins at midnight there') FROM pbx.budget AS b WHERE name = 'isp';
SELECT is(pbx.budget_since(b, '2026-10-31 23:30+00')::text, '2026-10-31 23:00:00+00'::timestamptz::text, 'so does a month') FROM pbx.budget AS b WHERE name = 'mobile';
SELECT is(pbx.budget_until(b, '2026-10-24 22:00+00')::text, '2026-10-25 23:00:00+00'::timestamptz::text, 'one day has 25 hours') FROM pbx.budget AS b WHERE name = 'isp';
SELECT is(pbx.budget_since(b, '2026-10-31 23:30+00')::text, '2026-01-05 10:00:00+00'::timestamptz::text, 'a total is its own') FROM pbx.budget AS b WHERE name = 'card';

-- what is used
CREATE FUNCTION pg_temp.used(names text, began text, ended text) RETURNS void LANGUAGE sql AS $$
	SELECT pbx.outbox_budget(jsonb_build_object('domain', 'office', 'names', string_to_array(names, ','), 'from_ms', (extract(epoch FROM began::timestamptz) * 1000)::bigint, 'to_ms', (extract(epoch FROM ended::timestamptz) * 1000)::bigint))
$$;
CREATE FUNCTION pg_temp.uses(name text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(to_char(u.since AT TIME ZONE 'UTC', 'MM-DD HH24') || ' ' || u.used, ', ' ORDER BY u.since) FROM pbx.budget_use AS u WHERE u.name = $1
$$;
SELECT lives_ok($$ SELECT pg_temp.used('mobile,isp,card,gone', '2026-11-20 10:00+00', '2026-11-20 10:02:30+00'), pg_temp.used('mobile,isp', '2026-11-20 11:00+00', '2026-11-20 11:00:30+00') $$, 'calls end');
SELECT is(pg_temp.uses('isp'), '11-19 23 00:03:00', 'it adds up');
SELECT is(pg_temp.uses('card'), '01-05 10 00:02:30', 'in each');
SELECT lives_ok($$ SELECT pg_temp.used('mobile,isp,card', '2026-11-20 22:58+00', '2026-11-20 23:05+00') $$, 'one over midnight');
SELECT is(pg_temp.uses('isp'), '11-19 23 00:05:00, 11-20 23 00:05:00', 'is of both days');
SELECT is(pg_temp.uses('mobile'), '10-31 23 00:10:00', 'of one month');
SELECT is((SELECT count(*) FROM pbx.audit WHERE "table" = 'budget_use')::integer, 0, 'what is used isn''t what somebody changed');

-- what is seen
SELECT lives_ok(format($$ SELECT pg_temp.used('mobile', %L, %L) $$, now() - interval '1 second', now() - interval '1 second' + interval '100 ms'), 'a call just now');
INSERT INTO pbx.node (node) VALUES ('n1'), ('n2');
INSERT INTO pbx.live_use VALUES ('n1', 'office', 'budget:card', 2, 2 * extract(epoch FROM now()) - 60), ('n2', 'office', 'budget:card', 1, extract(epoch FROM now()) - 30), ('gone', 'office', 'budget:card', 9, 0);
SELECT is((SELECT format('%s %s %s', used, "left", calls) FROM pbx.budget_status WHERE name = 'card'), '00:11:00 01:29:00 3', 'what is used and left, calls on all servers that run included');
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_55.');
INSERT INTO pbx.step VALUES ('office', 'office', '_55.', 1, 'dial', '{"number": "${number:2}", "trunk": "isp"}');
SELECT is((SELECT count(*) FROM pbx.explain('office', '1001', '551') WHERE what = 'limit')::integer, 3, 'explain tells of those on the way');
SELECT alike((SELECT string_agg(detail, ', ') FROM pbx.explain('office', '1001', '551', '2025-11-20 12:00+00') WHERE what = 'limit'),
	'budget card of the domain: 01:29:00 of 01:40:00 are left, budget mobile of extension 1001: 01:00:00 of 01:00:00 a month are left, budget isp of trunk isp: 00:10:00 of 00:10:00 a day are left', 'at that time');
SELECT alike(pbx.outcome('office', 'isp', '1001'), 'refused%', 'one without minutes takes no call');
SELECT is((SELECT sum(n)::integer FROM pbx.use_exchange('n1', false, '[{"domain": "office", "what": "1001", "n": 2}]') WHERE domain <> ''), 1, 'servers are told of others, not of themselves');
SELECT is((SELECT n FROM pbx.use_exchange('n2', true, '[]') WHERE what = '1001'), 2, 'calls at once, too');
SELECT is((SELECT count(*) FROM pbx.live_use WHERE node = 'n2')::integer, 0, 'all of it');
SELECT t.accepted($$ DELETE FROM pbx.budget $$, 'they go');
SELECT * FROM finish();
ROLLBACK;
