-- What is kept for how long.
BEGIN;
SELECT plan(13);

INSERT INTO pbx.voicemail (id, domain, number, caller_number, received, duration_ms, sound, deleted)
SELECT gen_random_uuid(), 'office', '1001', n::text, now() - interval '1 year', 1000, '\x00', d
FROM (VALUES (1, NULL), (2, now() - interval '29 days'), (3, now() - interval '31 days')) AS v(n, d);
INSERT INTO pbx.outbox_done (id, at) VALUES (gen_random_uuid(), now() - interval '91 days'), (gen_random_uuid(), now() - interval '89 days');
INSERT INTO pbx.binding (domain, number, contact, call_id, cseq, q_milli, expires, proto, address, user_agent, node)
VALUES ('office', '1001', 'sip:a@192.0.2.1', 'a', 1, 1000, now() - interval '2 days', 'udp', '192.0.2.1:5060', '', ''),
       ('office', '1001', 'sip:b@192.0.2.1', 'b', 1, 1000, now() - interval '1 hour', 'udp', '192.0.2.1:5060', '', '');
UPDATE pbx.change SET at = now() - interval '8 days';

CREATE TEMP TABLE done AS SELECT * FROM pbx.housekeeping();
SELECT is((SELECT removed FROM done WHERE what = 'voicemail'), 1::bigint, 'a message is removed a month after its owner deleted it');
SELECT results_eq($$ SELECT caller_number FROM pbx.voicemail ORDER BY 1 $$, $$ VALUES ('1'), ('2') $$, 'the others stay, however old');
SELECT is((SELECT removed FROM done WHERE what = 'outbox_done'), 1::bigint, 'ids handed over');
SELECT is((SELECT removed FROM done WHERE what = 'binding'), 1::bigint, 'expired bindings');
SELECT results_eq($$ SELECT contact FROM pbx.binding $$, $$ VALUES ('sip:b@192.0.2.1') $$, 'a day after they expired');
SELECT is(count(*), 1::bigint, 'of the log the last stays') FROM pbx.change WHERE at < now() - interval '7 days';
SELECT is((SELECT count(*) FROM done WHERE what = 'cdr'), 0::bigint, 'calls are kept for ever');

INSERT INTO pbx.cdr (call, domain, caller, dialled, started, ended, result, cause, duration_ms)
SELECT gen_random_uuid(), 'office', '1001', '1002', now() - d, now() - d, 'answered', 16, 0 FROM unnest('{1 year, 1 day}'::interval[]) AS d;
INSERT INTO pbx.retention VALUES ('cdr', '180 days');
SELECT is((SELECT removed FROM pbx.housekeeping() WHERE what = 'cdr'), 1::bigint, 'unless it is said how long');
SELECT is(count(*), 1::bigint, 'the younger stays') FROM pbx.cdr;
DELETE FROM pbx.retention WHERE what = 'voicemail';
UPDATE pbx.voicemail SET deleted = now() - interval '9 years';
SELECT is((SELECT count(*) FROM pbx.housekeeping() WHERE what = 'voicemail'), 0::bigint, 'what has no retention is kept');
SELECT is(count(*), 2::bigint, 'both messages') FROM pbx.voicemail;
SELECT throws_like($$ INSERT INTO pbx.retention VALUES ('everything', '1 day') $$, '%what_is_known%', 'what is kept is known');
SELECT throws_like($$ UPDATE pbx.retention SET keep = '0' $$, '%retention_keep_check%', 'for some time at least');

SELECT * FROM finish();
ROLLBACK;
