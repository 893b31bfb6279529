-- Commands: what is refused before it is made, what a transaction that is rolled back leaves (nothing), and who takes them, once.
BEGIN;
SELECT no_plan();

INSERT INTO pbx.node (node, started, seen, version) VALUES ('a', now(), now(), '1'), ('b', now(), now(), '1'), ('gone', now(), now() - interval '1 hour', '1');
INSERT INTO pbx.domain (domain, realm) VALUES ('other', 'other');
INSERT INTO pbx.live_call (node, call, domain, caller, caller_name, dialled, context, started) VALUES
	('a', '00000000-0000-4000-8000-000000000001', 'office', '1001', '', '1002', 'office', now()),
	('b', '00000000-0000-4000-8000-000000000002', 'other', '1', '', '2', 'office', now()),
	('gone', '00000000-0000-4000-8000-000000000003', 'office', '1001', '', '1002', 'office', now());
SELECT pbx.live_write('a', false, '[]', '[{"id": 1, "call": "00000000-0000-4000-8000-000000000001", "leg": 1, "domain": "office", "role": "caller",
	"state": "answered"}]', '{}', '{}');

CREATE FUNCTION pg_temp.call(n integer) RETURNS uuid LANGUAGE sql AS $$ SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid $$;

-- refused
SELECT throws_like($$ SELECT pbx.hangup(pg_temp.call(9)) $$, 'there is no call 00000000-0000-4000-8000-000000000009', 'a call that isn''t');
SELECT throws_like($$ SELECT pbx.hangup(NULL) $$, 'there is no call without id', 'none at all');
SELECT throws_like($$ SELECT pbx.hangup(pg_temp.call(3)) $$, 'there is no call %', 'one of a server that is away');
SELECT throws_like($$ SELECT pbx.hangup(pg_temp.call(1), 7) $$, 'call % has no leg 7', 'a leg that isn''t');
SELECT throws_like($$ INSERT INTO pbx.command (domain, command, call) VALUES ('office', 'hangup', pg_temp.call(2)) $$,
	'there is no call % in office', 'another domain''s call');
SELECT throws_like($$ INSERT INTO pbx.command (command) VALUES ('dance') $$, 'there is no command dance', 'what nobody can do');
SELECT throws_like($$ INSERT INTO pbx.command (command, call, args) VALUES ('hangup', pg_temp.call(1), '[]') $$, '%args_are_an_object%', 'arguments have names');
SELECT throws_like($$ SELECT pbx.transfer(pg_temp.call(1), 1, '4711') $$, 'no route leads to 4711 in office/office', 'a number without a route');
SELECT throws_like($$ SELECT pbx.transfer(pg_temp.call(1), 1, '1002', 'nowhere') $$, 'no route leads to 1002 in office/nowhere', 'or in that context');
SELECT throws_like($$ SELECT pbx.transfer(pg_temp.call(1), 1, '') $$, 'there is no number to call', 'nothing');
SELECT throws_like($$ SELECT pbx.transfer(pg_temp.call(1), NULL, '1002') $$, 'it needs a leg%', 'nobody in particular');
SELECT throws_like($$ SELECT pbx.originate('office', '4711', '1002') $$, 'there is no extension office/4711', 'an extension that isn''t');
SELECT throws_like($$ SELECT pbx.originate('other', '1001', '1002') $$, 'there is no extension other/1001', 'another domain''s');
SELECT throws_like($$ SELECT pbx.originate('office', '1001', '4711') $$, 'no route leads to 4711 in office/office', 'a number it couldn''t dial');
SELECT throws_like($$ SELECT pbx.originate('office', '1010', '420') $$, 'no route leads to 420 in office/%', 'nor by its class of service');
SELECT throws_like(format($$ SELECT pbx.%s(pg_temp.call(1), NULL%s) $$, f, a), 'it needs a leg%', f || ' needs one')
	FROM (VALUES ('hold', ''), ('unhold', ''), ('digit', ', ''1'''), ('park', ''), ('bridge', ', pg_temp.call(1), 1')) AS v(f, a);
SELECT throws_like(format($$ SELECT pbx.%s(pg_temp.call(3)) $$, f), 'there is no call %', f || ' needs a call') FROM unnest('{mute,unmute,kick,record}'::text[]) AS f;
SELECT throws_like(format($$ SELECT pbx.digit(pg_temp.call(1), 1, %L) $$, d), '% are no digits', coalesce(d, 'nothing') || ' is no digit')
	FROM unnest(ARRAY['', 'x', '1 2', NULL, repeat('1', 33)]) AS d;
SELECT throws_like($$ SELECT pbx.play(pg_temp.call(1), '') $$, 'there is no phrase to play', 'nothing to play');
SELECT throws_like($$ SELECT pbx.park(pg_temp.call(1), 1, 'a b') $$, 'nobody can be parked under ''a b''', 'a number is one that can be dialled');
SELECT throws_like($$ SELECT pbx.bridge(pg_temp.call(1), 1, pg_temp.call(2), 1) $$, 'there is no call %0002 in office', 'nobody is joined with another domain''s');
SELECT throws_like($$ SELECT pbx.bridge(pg_temp.call(1), 1, pg_temp.call(1), 2) $$, 'call % has no leg 2', 'nor with nobody');
SELECT throws_like(format('SELECT pbx.message(%L, %L, %L, %L)', d, f, n, t), says, says) FROM (VALUES
	('office', '1001', '4711', 'x', 'there is no extension office/4711'), ('other', '1001', '1002', 'x', 'there is no extension other/1002'),
	('office', 'a b', '1002', 'x', '''a b'' is no number%'), ('office', '1001', '1002', '', 'a text has %'), ('office', '1001', '1002', repeat('x', 8193), 'a text has %')) AS v(d, f, n, t, says);
SELECT throws_like($$ SELECT pbx.drain('gone') $$, 'no server gone runs', 'a server that doesn''t run');
SELECT throws_like($$ SELECT pbx.unban('192.0.2.77') $$, '192.0.2.77/32 isn''t banned', 'who isn''t banned');
SELECT throws_like(format($$ SELECT pbx.originate('office', '1001', '1002', ring_s => %s) $$, s), 'ring_s is no time: ' || s, s || ' s is no time to ring')
	FROM unnest('{-1,8640001,2147483647}'::integer[]) AS s;
SELECT throws_like(format($$ SELECT pbx.park(pg_temp.call(1), 1, timeout_s => %s) $$, s), 'timeout_s is no time: ' || s, s || ' s is no time to wait')
	FROM unnest('{-1,8640001,2147483647}'::integer[]) AS s;
SELECT throws_like(format($$ INSERT INTO pbx.command (domain, command, args) VALUES ('office', 'originate', '{"extension": "1001", "number": "1002", "context": "office",
	"ring_s": %s}') $$, s), 'ring_s is no time: %', s || ' isn''t either') FROM unnest('{1.5,"\"x\"",true,"[1]",1e30}'::text[]) AS s;
SELECT is(count(*), 0::bigint, 'of all that nothing is left') FROM pbx.command;
SELECT lives_ok(format($$ SELECT pbx.park(pg_temp.call(1), 1, timeout_s => %s) $$, s), s || ' s is one') FROM unnest('{0,8640000}'::integer[]) AS s;
DELETE FROM pbx.command;

-- what the database does itself
SELECT pbx.ban('192.0.2.77', '1 hour', 'noise') AS banned \gset
SELECT results_eq($$ SELECT source::text, until = now() + interval '1 hour', reason, node FROM pbx.ban $$, $$ VALUES ('192.0.2.77/32', true, 'noise', '') $$, 'a ban');
SELECT pbx.ban('2001:db8:1:2:3::4') AS six \gset
SELECT is(until, 'infinity', 'of a host''s network, for ever') FROM pbx.ban WHERE source = '2001:db8:1:2::/64';
SELECT pbx.unban('192.0.2.77') AS lifted \gset
SELECT is_empty($$ SELECT * FROM pbx.ban WHERE source = '192.0.2.77' $$, 'is lifted');
SELECT results_eq(format($$ SELECT state, domain, outcome FROM pbx.command WHERE id IN (%s, %s) ORDER BY id $$, :six, :lifted),
	$$ VALUES ('done', NULL::text, '2001:db8:1:2::/64 is banned'), ('done', NULL, '192.0.2.77/32 is heard again') $$, 'and that is done');
DELETE FROM pbx.command;


-- rolled back
SAVEPOINT before;
SELECT lives_ok($$ SELECT pbx.originate('office', '1001', '1002') $$, 'a command');
ROLLBACK TO before;
SELECT is_empty($$ SELECT * FROM pbx.command $$, 'rolled back it has never been');
SELECT is_empty($$ SELECT * FROM pbx.command_take('a', pg_temp.call(1), '{}') $$, 'and nobody takes it');

-- who, and where
INSERT INTO pbx.command (command, call, asked_by, state, node, run, taken, finished, cause, outcome)
VALUES ('hangup', pg_temp.call(1), 'somebody else', 'done', 'b', pg_temp.call(1), now(), now(), 'busy', 'lies');
SELECT results_eq($$ SELECT domain, asked_by = session_user, state, node, run, taken, finished, cause, outcome FROM pbx.command $$,
	$$ VALUES ('office', true, 'queued', 'a', NULL::uuid, NULL::timestamptz, NULL::timestamptz, NULL::text, NULL::text) $$,
	'who asks, and what became of it, isn''t his to say');
SELECT pbx.originate('office', '1001', '1002', ring_s => 5) AS made \gset
SELECT results_eq($$ SELECT domain, node, call IS NOT NULL, args FROM pbx.command WHERE command = 'originate' $$,
	$$ VALUES ('office', NULL::text, true, '{"extension": "1001", "number": "1002", "ring_s": 5, "context": "office"}'::jsonb) $$,
	'a call to be made has its id');
SELECT throws_like(format($$ SELECT pbx.hangup(%L) $$, call), 'there is no call %', 'which nobody has yet') FROM pbx.command WHERE id = :made;

-- a server that is drained leaves what any may do to the others
UPDATE pbx.node SET draining = true WHERE node = 'b';
SELECT is_empty($$ SELECT command FROM pbx.command_take('b', pg_temp.call(2), '{}') $$, 'who is drained takes nothing new');
UPDATE pbx.node SET draining = false WHERE node = 'b';

-- taken
SELECT results_eq($$ SELECT command, asked_by COLLATE "C" FROM pbx.command_take('b', pg_temp.call(2), '{}') $$, $$ VALUES ('originate', session_user::text COLLATE "C") $$,
	'any server takes what is for any, but not what is another''s');
SELECT lives_ok(format($$ SELECT pbx.hangup(%L) $$, call), 'it can be hung up before it is seen') FROM pbx.command WHERE id = :made;
SELECT results_eq($$ SELECT command, call FROM pbx.command_take('a', pg_temp.call(1), '{}') $$, $$ VALUES ('hangup', pg_temp.call(1)) $$,
	'the other one takes that');
SELECT results_eq(format($$ SELECT id, command FROM pbx.command_take('b', pg_temp.call(2), '{}') ORDER BY id LIMIT 1 $$),
	format($$ VALUES (%s::bigint, 'originate') $$, :made), 'a server that doesn''t know that it has taken it is told so');
SELECT is_empty(format($$ SELECT id FROM pbx.command_take('b', pg_temp.call(2), '{%s}') WHERE command = 'originate' $$, :made), 'and then no more');
SELECT pbx.command_end(:made, pg_temp.call(1), NULL, 'said by another run');
SELECT is(state, 'taken', 'only the run that has it says how it ended') FROM pbx.command WHERE id = :made;
SELECT is_empty($$ SELECT * FROM pbx.command_take('b', pg_temp.call(3), '{}') $$, 'a later run doesn''t repeat it');
SELECT results_eq(format($$ SELECT state, cause, outcome, finished IS NOT NULL FROM pbx.command WHERE id = %s $$, :made),
	$$ VALUES ('failed', 'lost', 'the server ended while it was carried out', true) $$, 'it is lost');
SELECT pbx.command_end(:made, pg_temp.call(2), NULL, 'late news');
SELECT results_eq(format($$ SELECT state, cause, outcome FROM pbx.command WHERE id = %s $$, :made), $$ VALUES ('done', NULL::text, 'late news') $$,
	'unless the earlier one lives after all');

-- too late
SELECT pbx.originate('office', '1001', '1003') AS late \gset
UPDATE pbx.command SET expires = now() - interval '1 second' WHERE id = :late;
SELECT pbx.command_forsake();
SELECT results_eq(format($$ SELECT state, cause FROM pbx.command WHERE id = %s $$, :late), $$ VALUES ('failed', 'expired') $$, 'nobody rings a minute later');

UPDATE pbx.command SET finished = now() - interval '8 days' WHERE id = :late;
SELECT results_eq($$ SELECT removed FROM pbx.housekeeping() WHERE what = 'command' $$, $$ VALUES (1::bigint) $$, 'after a week it goes');

SELECT * FROM finish();
ROLLBACK;
