-- Recordings of calls: what may be asked for, what servers tell, what is removed.
BEGIN;
SELECT plan(28);

SET LOCAL client_min_messages = error;

SELECT is((SELECT record FROM pbx.domain WHERE domain = 'office'), 'none', 'nobody is recorded unasked');
SELECT lives_ok(format($$ UPDATE pbx.domain SET record = %L $$, w), w) FROM unnest('{inbound,outbound,all}'::text[]) AS w;
SELECT t.refused($$ UPDATE pbx.extension SET record = 'sometimes' $$, '%extension_record_check%', 'no other');
SELECT t.refused($$ UPDATE pbx.domain SET record_format = 'mp3' $$, '%domain_record_format_check%', 'nor other formats');
SELECT t.refused($$ UPDATE pbx.domain SET record_keep = '-1 day' $$, '%domain_record_keep_check%', 'nor shorter than nothing');
SELECT t.refused($$ UPDATE pbx.domain SET record_code = 'x' $$, '%domain_record_code_check%', 'a code is pressed');
SELECT is_empty($$ SELECT p FROM unnest(ARRAY['a', 'a/b', '${domain}/${recording}', '${year}-${month}/${day} ${time}', 'x.y', 'Büro/${caller}']) AS p
	WHERE NOT pbx.is_record_path(p) $$, 'these are paths');
SELECT is_empty($$ SELECT p FROM unnest(ARRAY['', '/a', 'a/', 'a//b', '../a', 'a/../b', './a', 'a/.b', '${who}', '${caller', '$caller', 'a}', E'a\nb', repeat('a', 201)]) AS p
	WHERE pbx.is_record_path(p) $$, 'these aren''t');

CREATE FUNCTION pg_temp.doc(ended bigint, result text, node text DEFAULT 'n1') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('recording', '00000000-0000-0000-0000-000000000001', 'domain', 'office', 'node', node, 'path', '/r/a.wav',
        'format', 'wav', 'channels', 2, 'caller', '1001', 'callee', '1002', 'started_by', 'policy', 'started_ms', 1700000000000, 'ended_ms', ended,
        'result', result, 'bytes', CASE WHEN ended IS NOT NULL THEN 44 + 96000 END, 'duration_ms', CASE WHEN ended IS NOT NULL THEN 3000 END,
        'segments', CASE WHEN ended IS NOT NULL THEN jsonb '[{"call": "00000000-0000-0000-0000-00000000000a", "started_ms": 1700000000000, "ended_ms": 1700000001000},
            {"call": "00000000-0000-0000-0000-00000000000b", "started_ms": 1700000002000, "ended_ms": 1700000004000}]' END))
$$;

SELECT ok(pbx.outbox_take('00000000-0000-0000-0000-0000000000f1', 'recording', pg_temp.doc(NULL, 'recording')), 'it begins');
SELECT results_eq($$ SELECT result, ended, bytes FROM pbx.recording $$, $$ VALUES ('recording', NULL::timestamptz, 0::bigint) $$, 'and goes on');
SELECT is(pbx.recording_interrupted('n2', 1800000000000), 0::bigint, 'another server''s end means nothing');
SELECT is(pbx.recording_interrupted('n1', 1600000000000), 0::bigint, 'nor does one that started before');
SELECT is(pbx.recording_interrupted('n1', 1800000000000), 1::bigint, 'its own does');
SELECT ok(pbx.outbox_take('00000000-0000-0000-0000-0000000000f2', 'recording', pg_temp.doc(1700000004000, 'complete')), 'what it said at the end comes late');
SELECT results_eq($$ SELECT result, ended, bytes, duration_ms FROM pbx.recording $$,
	$$ VALUES ('complete', timestamptz '2023-11-14 22:13:24+00', 96044::bigint, 3000::bigint) $$, 'but holds');
SELECT results_eq($$ SELECT position, call::text, ended - started FROM pbx.recording_segment ORDER BY position $$,
	$$ VALUES (1, '00000000-0000-0000-0000-00000000000a', interval '1 s'), (2, '00000000-0000-0000-0000-00000000000b', interval '2 s') $$, 'with its segments');
SELECT ok(pbx.outbox_take('00000000-0000-0000-0000-0000000000f3', 'recording', pg_temp.doc(NULL, 'recording')), 'the beginning comes last');
SELECT is((SELECT result FROM pbx.recording), 'complete', 'and changes nothing');

SELECT is_empty($$ SELECT * FROM pbx.recording_expired('n1') $$, 'by default they are kept');
UPDATE pbx.domain SET record_keep = '30 days';
SELECT is_empty($$ SELECT * FROM pbx.recording_expired('n2') $$, 'a server removes what it has');
SELECT results_eq($$ SELECT path FROM pbx.recording_expired('n1') $$, $$ VALUES ('/r/a.wav') $$, 'when it is time');
SELECT lives_ok($$ SELECT pbx.recording_stays(recording, 'permission denied') FROM pbx.recording WHERE path = '/r/a.wav' $$, 'a file may be there to stay');
SELECT is_empty($$ SELECT * FROM pbx.recording_expired('n1') $$, 'then it isn''t in the way of others');
UPDATE pbx.recording SET removal_failed = now() - interval '1 hour';
SELECT results_eq($$ SELECT path FROM pbx.recording_expired('n1') $$, $$ VALUES ('/r/a.wav') $$, 'and has its turn again');
SELECT lives_ok($$ SELECT pbx.recording_removed(recording) FROM pbx.recording $$, 'it says so');
SELECT is_empty($$ SELECT FROM pbx.recording_segment $$, 'and nothing is left');

SELECT * FROM finish();
ROLLBACK;
