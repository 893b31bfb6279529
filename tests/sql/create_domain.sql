-- A domain with its role, contexts and defaults in one call, and its end.
BEGIN;
SELECT plan(36);
CREATE ROLE olga IN ROLE cordboard_operator;
CREATE ROLE tess IN ROLE cordboard_tenant;
GRANT olga, tess TO CURRENT_USER;

SELECT is(t.as_role('tess', $$SELECT pbx.create_domain('mine')$$), 'domain mine: only operators make domains', 'a tenant makes none');
SELECT is(t.as_role('olga', $$SELECT pbx.create_domain('shop.example', 'The shop', timezone => 'Europe/Vienna', tones => 'at')$$), '(cordboard_admin_shop.example)',
	'an operator does, and is told the role');
SELECT results_eq($$ SELECT display_name, realm, timezone, tones, default_context, is_default FROM pbx.domain WHERE domain = 'shop.example' $$,
	$$ VALUES ('The shop', 'shop.example', 'Europe/Vienna', 'at', 'internal', false) $$, 'it is as he said');
SELECT is_empty($$ SELECT p.row_name, p.problem FROM pbx.problem AS p WHERE p.row_name LIKE '%shop.example%' $$, 'nothing of it has a problem');
SELECT is_empty($$ SELECT c.row_name, c.problem FROM pbx.check AS c WHERE c.row_name LIKE '%shop.example%' $$, 'the doctor finds nothing');

CREATE ROLE shop_anna IN ROLE "cordboard_admin_shop.example";
GRANT shop_anna TO CURRENT_USER;
SELECT is(t.as_role('shop_anna', q), gives, q) FROM (VALUES
	($q$SELECT domain FROM pbx.domain$q$, '(shop.example)'),
	($q$INSERT INTO pbx.extension (domain, number) VALUES ('shop.example', '101'), ('shop.example', '102')$q$, '2'),
	($q$SELECT context FROM pbx.extension WHERE number = '101'$q$, '(internal)'),
	($q$INSERT INTO pbx.mailbox (domain, number) VALUES ('shop.example', '101')$q$, '1'),
	($q$INSERT INTO pbx.trunk (domain, name, context, uri, auth_user, auth_password) VALUES ('shop.example', 'provider', 'inbound', 'sip:sip.example', 'u', 'p')$q$, '1'),
	($q$INSERT INTO pbx.trunk_group_member (domain, name, trunk) VALUES ('shop.example', 'outside', 'provider')$q$, '1'),
	($q$SELECT count(*) FROM pbx.explain('shop.example', '101', '0123') WHERE what = 'target'$q$, '(0)'),
	($q$UPDATE pbx.extension SET context = 'outgoing' WHERE number = '101'$q$, '1'),
	($q$SELECT count(*) FROM pbx.explain('shop.example', '101', '0123') WHERE what = 'target'$q$, '(1)'),
	($q$SELECT count(*) FROM pbx.explain('shop.example', '101', '+43123') WHERE what = 'target'$q$, '(1)'),
	($q$SELECT count(*) FROM pbx.explain('shop.example', '102', '112') WHERE what = 'target'$q$, '(1)'),
	($q$SELECT count(*) FROM pbx.explain('shop.example', 'provider', '0123') WHERE what = 'target'$q$, '(0)'),
	($q$SELECT code FROM pbx.feature_code ORDER BY code$q$, E'(*43)\n(*97)\n(*98)\n(_**X.)'),
	($q$SELECT count(*) > 0 FROM pbx.explain('shop.example', '102', '*97') WHERE what = 'step'$q$, '(t)'),
	($q$SELECT count(*) FROM pbx.tone_plan WHERE plan = 'at'$q$, '(1)')) AS v(q, gives) WHERE gives IS NOT NULL;
SELECT is(t.as_role('shop_anna', $$SELECT pbx.drop_domain('shop.example')$$), 'domain shop.example: only operators drop domains', 'a tenant doesn''t drop his domain');
SELECT is(t.as_role('olga', $$SELECT pbx.create_domain('shop.example')$$), 'domain shop.example: there is a role cordboard_admin_shop.example that has members',
	'a role that has members is not given another domain');
SELECT is(t.as_role('olga', $$SELECT pbx.create_domain('x', digits => 1)$$), 'domain x: its extensions have 2 to 12 digits, not 1', 'numbers of one digit leave no room');
SELECT is(t.as_role('olga', $$SELECT pbx.create_domain('Not A Name')$$), 'new row for relation "domain" violates check constraint "domain_is_a_lower_case_host_name"', 'a name is checked');
SELECT is((SELECT count(*) FROM pg_roles WHERE rolname = 'cordboard_admin_Not A Name'), 0::bigint, 'and then no role is left behind');
SELECT is(pbx.admin_role(repeat('long', 15))::text, 'cordboard_admin_longlonglonglonglonglonglonglonglonglo_' || left(md5(repeat('long', 15)), 8), 'a long name is cut, and stays one of a kind');
SELECT is(t.as_role('olga', format($$SELECT pbx.create_domain(%L, digits => 4, emergency => '{110,112}')$$, repeat('long', 15))), '(' || pbx.admin_role(repeat('long', 15)) || ')', 'such a domain is made, too');
SELECT results_eq($$ SELECT pattern FROM pbx.route WHERE domain LIKE 'longlong%' AND context IN ('inbound', 'emergency') ORDER BY 1 $$, ARRAY['110', '112', '_ZXXX'],
	'with other emergency numbers and longer extensions');

-- its end
SELECT lives_ok($$ SELECT pbx.outbox_take(md5('x')::uuid, 'cdr', jsonb_build_object('call', md5('x')::uuid, 'domain', 'shop.example', 'started_ms', 1, 'ended_ms', 2,
	'result', 'answered', 'cause', 16, 'hangup_by', 'caller')) $$, 'a call there was');
SELECT is(t.as_role('olga', $$SELECT pbx.drop_domain('shop.example')$$), '("")', 'an operator drops a domain');
SELECT is((SELECT count(*) FROM pbx.extension WHERE domain = 'shop.example') + (SELECT count(*) FROM pbx.route WHERE domain = 'shop.example')
	+ (SELECT count(*) FROM pbx.domain_role WHERE domain = 'shop.example') + (SELECT count(*) FROM pg_roles WHERE rolname = 'cordboard_admin_shop.example'), 0::bigint,
	'nothing of it is left, nor its role');
SELECT is(t.as_role('shop_anna', $$SELECT count(*) FROM pbx.domain$$), 'permission denied for schema pbx', 'who administered it has no right left');
SELECT is(t.as_role('olga', $$SELECT pbx.create_domain('shop.example')$$), 'domain shop.example: calls of a former domain of that name are on record, which the new one would see',
	'the next one of that name doesn''t get its calls');
SELECT is(t.as_role('olga', $$SELECT pbx.drop_domain('shop.example', records => true)$$), '("")', 'unless they are removed');
SELECT is(t.as_role('olga', $$SELECT pbx.create_domain('shop.example')$$), '(cordboard_admin_shop.example)', 'then it can be made again');
SELECT is(t.as_role('olga', $$SELECT pbx.drop_domain('nowhere')$$), 'there is no domain nowhere', 'what there isn''t is told');

SELECT * FROM finish();
ROLLBACK;
