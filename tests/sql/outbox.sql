-- What servers hand over is taken once, whatever it is.
BEGIN;
SELECT plan(33);

-- the warnings of what is refused
SET LOCAL client_min_messages = error;

CREATE TEMP TABLE ids AS SELECT n, format('00000000-0000-0000-0000-%s', lpad(n::text, 12, '0'))::uuid AS id FROM generate_series(1, 20) AS n;
CREATE FUNCTION pg_temp.id(n integer) RETURNS uuid LANGUAGE sql AS $$ SELECT id FROM ids WHERE ids.n = $1 $$;

-- voicemail
SELECT ok(pbx.outbox_take(pg_temp.id(1), 'voicemail', format('{"id": "%s", "domain": "office", "number": "1001", "caller_number": "1002", "caller_name": "Paul",
	"received_ms": 1700000000123, "duration_ms": 4200, "call": "%s"}', pg_temp.id(11), pg_temp.id(12))::jsonb, '\x52494646'), 'a message is taken');
SELECT results_eq($$ SELECT domain, number, folder, caller_number, received, duration_ms, sound, call FROM pbx.voicemail $$,
	$$ VALUES ('office', '1001', 'new', '1002', '2023-11-14 22:13:20.123+00'::timestamptz, 4200, '\x52494646'::bytea, pg_temp.id(12)) $$, 'as it was');
SELECT ok(NOT pbx.outbox_take(pg_temp.id(1), 'voicemail', '{}', '\x00'), 'sent again it is not');
SELECT is(count(*), 1::bigint, 'and there is one') FROM pbx.voicemail;
SELECT results_eq($$ SELECT new, saved FROM pbx.voicemail_count WHERE number IN ('1001', '1002') ORDER BY number $$, $$ VALUES (1::bigint, 0::bigint), (0, 0) $$, 'it counts as new');
UPDATE pbx.voicemail SET folder = 'saved';
SELECT results_eq($$ SELECT new, saved FROM pbx.voicemail_count WHERE number = '1001' $$, $$ VALUES (0::bigint, 1::bigint) $$, 'then as saved');
UPDATE pbx.voicemail SET deleted = now();
SELECT results_eq($$ SELECT new, saved FROM pbx.voicemail_count WHERE number = '1001' $$, $$ VALUES (0::bigint, 0::bigint) $$, 'then no longer');
SELECT throws_like($$ UPDATE pbx.voicemail SET folder = 'trash' $$, '%voicemail_folder_check%', 'folders');

-- what can't be stored
SELECT ok(pbx.outbox_take(pg_temp.id(2), 'voicemail', format('{"id": "%s", "domain": "office", "number": "9999", "received_ms": 1, "duration_ms": 1}', pg_temp.id(13))::jsonb,
	'\x52494646'), 'a message for a mailbox that is gone counts as taken');
SELECT results_eq($$ SELECT kind, doc ->> 'number', sound FROM pbx.outbox_refused WHERE id = pg_temp.id(2) AND reason LIKE '%mailbox_exists%' $$,
	$$ VALUES ('voicemail', '9999', '\x52494646'::bytea) $$, 'and is kept, with the reason');
SELECT ok(NOT pbx.outbox_take(pg_temp.id(2), 'voicemail', '{}', '\x00'), 'it does not come again');
SELECT ok(pbx.outbox_take(pg_temp.id(3), 'postcard', '{}'), 'an unknown kind too');
SELECT ok(pbx.outbox_take(pg_temp.id(4), 'cdr', '{"call": "nonsense"}'), 'and nonsense');
SELECT is(count(*), 3::bigint, 'three were refused') FROM pbx.outbox_refused;

-- bindings
SELECT ok(pbx.outbox_take(pg_temp.id(5), 'binding', '{"domain": "office", "number": "1001", "contact": "sip:1001@192.0.2.1", "remove": false, "call_id": "a", "cseq": 4294967295,
	"q_milli": 500, "expires_ms": 1700000000000, "proto": "udp", "address": "192.0.2.1:5060", "user_agent": null, "node": "n"}'), 'a binding');
SELECT ok(pbx.outbox_take(pg_temp.id(6), 'binding', '{"domain": "office", "number": "1001", "contact": "sip:1001@192.0.2.1", "remove": false, "call_id": "a", "cseq": 2,
	"q_milli": 1000, "expires_ms": 1700000060000, "proto": "tcp", "address": "[2001:db8::1]:5060", "user_agent": "phone", "node": "n"}'), 'refreshed');
SELECT results_eq($$ SELECT cseq, q_milli, expires, proto, address, user_agent FROM pbx.binding $$,
	$$ VALUES (2::bigint, 1000, '2023-11-14 22:14:20+00'::timestamptz, 'tcp', '[2001:db8::1]:5060', 'phone') $$, 'is as it was last');
SELECT ok(pbx.outbox_take(pg_temp.id(7), 'binding', '{"domain": "office", "number": "1001", "contact": "sip:1001@192.0.2.1", "remove": true}'), 'removed');
SELECT is_empty('SELECT * FROM pbx.binding', 'it is gone');

-- bindings of phones that say who they are (RFC 5626): one contact, three rows
SELECT ok(bool_and(pbx.outbox_take(gen_random_uuid(), 'binding', jsonb_build_object('domain', 'office', 'number', '1001', 'contact', 'sip:1001@192.168.1.2',
	'instance', i, 'reg_id', r, 'path', p, 'gruu_id', '00000000000000ff', 'remove', false, 'call_id', 'a', 'cseq', 1, 'expires_ms', 1700000000000, 'proto', 'tls',
	'address', '192.0.2.1:5060'))), 'bindings of two phones with equal addresses, one with two connections')
	FROM (VALUES ('<urn:a>', 1, NULL), ('<urn:a>', 2, '<sip:p;lr>'), ('<urn:b>', 1, NULL)) AS v(i, r, p);
SELECT results_eq($$ SELECT instance, reg_id, path, gruu_id FROM pbx.binding ORDER BY 1, 2 $$, $$ VALUES ('<urn:a>', 1, NULL, '00000000000000ff'),
	('<urn:a>', 2, '<sip:p;lr>', '00000000000000ff'), ('<urn:b>', 1, NULL, '00000000000000ff') $$, 'are three');
SELECT ok(pbx.outbox_take(gen_random_uuid(), 'binding', '{"domain": "office", "number": "1001", "contact": "sip:1001@192.168.1.2", "instance": "<urn:a>", "reg_id": 2,
	"remove": true}'), 'one removed');
SELECT results_eq($$ SELECT instance, reg_id FROM pbx.binding ORDER BY 1, 2 $$, $$ VALUES ('<urn:a>', 1), ('<urn:b>', 1) $$, 'leaves two');
SELECT throws_like($$ UPDATE pbx.binding SET reg_id = -1 $$, '%binding_reg_id_check%', 'reg-ids');
SELECT throws_like($$ UPDATE pbx.binding SET gruu_id = 'x' $$, '%binding_gruu_id_check%', 'and GRUU ids are checked');

-- greeting
SELECT ok(pbx.outbox_take(pg_temp.id(8), 'greeting', '{"domain": "office", "number": "1001", "kind": "busy", "duration_ms": 1}', '\x01'), 'a greeting');
SELECT ok(pbx.outbox_take(pg_temp.id(9), 'greeting', '{"domain": "office", "number": "1001", "kind": "busy", "duration_ms": 2}', '\x02'), 'another');
SELECT results_eq($$ SELECT sound, duration_ms FROM pbx.greeting $$, $$ VALUES ('\x02'::bytea, 2) $$, 'takes the place of the first');

-- records, many at once
SELECT is(pbx.outbox_take_many(format('[{"id": "%1$s", "kind": "cdr", "doc": {"call": "%2$s", "domain": "office", "caller": "1001", "dialled": "1002", "started_ms": 1000,
	"answered_ms": 2500, "ended_ms": 4000, "result": "answered", "cause": 16, "legs": [
	{"leg": 1, "role": "caller", "started_ms": 1000, "answered_ms": 2500, "ended_ms": 4000, "status": 200, "lost": -1},
	{"leg": 2, "role": "callee", "started_ms": 1000, "ringing_ms": null, "ended_ms": null, "status": 0}]}},
	{"id": "%1$s", "kind": "cdr", "doc": {}}, {"id": "%3$s", "kind": "cdr", "doc": {"call": "%3$s", "domain": "office", "started_ms": 5000, "ended_ms": 4000, "result": "busy"}}]',
	pg_temp.id(14), pg_temp.id(15), pg_temp.id(16))::jsonb), 2, 'two records, one of them sent twice');
SELECT results_eq($$ SELECT caller, answered, duration_ms, talk_ms FROM pbx.cdr WHERE call = pg_temp.id(15) $$,
	$$ VALUES ('1001', '1970-01-01 00:00:02.5+00'::timestamptz, 3000::bigint, 1500::bigint) $$, 'times are worked out');
SELECT results_eq($$ SELECT leg, role, status, ended, lost FROM pbx.cdr_leg WHERE call = pg_temp.id(15) ORDER BY leg $$,
	$$ VALUES (1, 'caller', 200, '1970-01-01 00:00:04+00'::timestamptz, -1::bigint), (2, 'callee', NULL, '1970-01-01 00:00:04+00'::timestamptz, NULL) $$, 'with legs');
SELECT is(duration_ms, 0::bigint, 'a clock that was set back costs no record') FROM pbx.cdr WHERE call = pg_temp.id(16);

-- what may work later goes up
CREATE FUNCTION pg_temp.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE disk_full; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON pbx.greeting FOR EACH ROW EXECUTE FUNCTION pg_temp.full();
SELECT throws_ok($$ SELECT pbx.outbox_take(pg_temp.id(10), 'greeting', '{"domain": "office", "number": "1002", "kind": "busy", "duration_ms": 1}', '\x01') $$, '53100',
	NULL, 'a full disk is no refusal');

SELECT * FROM finish();
ROLLBACK;
