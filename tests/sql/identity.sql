-- Numbers shown outside, privacy, and the headers that may pass.
BEGIN;
SELECT plan(32);

SELECT t.refused($$ UPDATE pbx.extension SET caller_id = '0043 1 234' WHERE number = '1001' $$, '%caller_id_is_a_number%', 'a number has no blanks');
SELECT t.refused($$ UPDATE pbx.extension SET caller_id = '1@evil.example' WHERE number = '1001' $$, '%caller_id_is_a_number%', 'nor a host');
SELECT t.refused($$ UPDATE pbx.domain SET caller_id = '' $$, '%caller_id_is_a_number%', 'an empty one is NULL');
SELECT t.refused($$ UPDATE pbx.extension SET anonymous = 'maybe' WHERE number = '1001' $$, '%anonymous_is_known%', 'when it hides');
SELECT t.refused($$ UPDATE pbx.domain SET anonymous = NULL $$, '%not-null%', 'a domain says when');
SELECT t.refused($$ UPDATE pbx.extension SET identities = '{1, NULL}' WHERE number = '1001' $$, '%identities_are_numbers%', 'an identity is something');
SELECT t.refused($$ UPDATE pbx.extension SET identities = '{a b}' WHERE number = '1001' $$, '%identities_are_numbers%', 'without blanks');
SELECT t.refused($$ UPDATE pbx.extension SET identities = '{""}' WHERE number = '1001' $$, '%identities_are_numbers%', 'and not empty');
SELECT t.refused($$ UPDATE pbx.extension SET identities = array_fill('1'::text, '{33}') WHERE number = '1001' $$, '%identities_are_numbers%', 'nor too many');
SELECT t.accepted($$ UPDATE pbx.extension SET identities = '{+43123400,sales}', caller_id = '+4312341001', anonymous = 'outside' WHERE number = '1001' $$, 'as it should be');

INSERT INTO pbx.trunk (domain, name, context) VALUES ('office', 'city', 'lobby'), ('office', 'far', 'lobby');
SELECT is(trusted, false, 'a trunk is not trusted unless somebody says so') FROM pbx.trunk WHERE name = 'city';
SELECT is(identity, 'pai', 'and is told by P-Asserted-Identity then') FROM pbx.trunk WHERE name = 'city';
SELECT t.refused($$ UPDATE pbx.trunk SET identity = 'from' $$, '%identity_is_known%', 'how a trunk is told');
SELECT t.refused($$ UPDATE pbx.trunk SET caller_id = '<1>' $$, '%caller_id_is_a_number%', 'number of a trunk');

SELECT t.refused(format($$ INSERT INTO pbx.pass_header VALUES ('office', NULL, 'in', %L) $$, header), '%header_belongs_to_one_leg%', header || ' is never passed')
FROM unnest('{Via,CONTACT,Route,CSeq,Authorization,Proxy-Authorization,P-Asserted-Identity,session-id}'::text[]) AS header;
SELECT t.refused($$ INSERT INTO pbx.pass_header VALUES ('office', NULL, 'in', 'v') $$, '%header_is_a_name%', 'nor by its short name');
SELECT t.refused($$ INSERT INTO pbx.pass_header VALUES ('office', NULL, 'in', E'X-A: 1\r\nX-B') $$, '%header_is_a_name%', 'a name is a name');
SELECT t.refused($$ INSERT INTO pbx.pass_header VALUES ('office', 'none', 'in', 'X-A') $$, '%trunk_exists%', 'a trunk exists');
SELECT t.refused($$ INSERT INTO pbx.pass_header VALUES ('office', 'city', 'up', 'X-A') $$, '%pass_header_direction_check%', 'directions');
SELECT t.refused($$ INSERT INTO pbx.pass_header VALUES ('office', 'city', 'out', 'X-A', E'1\r\nX-B: 2') $$, '%value_is_one_line%', 'a value is one line');
SELECT t.refused($$ INSERT INTO pbx.pass_header VALUES ('office', NULL, 'in', 'X-A'), ('office', NULL, 'in', 'x-a') $$, '%pass_header_once%', 'once');
SELECT t.accepted($$ INSERT INTO pbx.pass_header VALUES ('office', NULL, 'in', 'X-A'), ('office', 'city', 'in', 'X-A'), ('office', 'city', 'out', 'X-A'), ('office', 'city', 'in', 'Alert-Info') $$,
	'for each trunk and direction');

SELECT is(session_id, NULL, 'records have a session') FROM (SELECT (NULL::pbx.cdr).session_id) AS x;
SELECT ok(pbx.outbox_take('00000000-0000-0000-0000-000000000001', 'cdr', '{"call": "00000000-0000-0000-0000-000000000002", "domain": "office", "started_ms": 1, "ended_ms": 2,
	"result": "answered", "session_id": "ab30317f1a784dc48ff824d0d3715d86", "legs": [{"leg": 1, "role": "caller", "started_ms": 1, "session_id": "ab30317f1a784dc48ff824d0d3715d86"},
	{"leg": 2, "role": "callee", "started_ms": 1}]}'), 'a record with its session');
SELECT results_eq($$ SELECT c.session_id, l.leg, l.session_id FROM pbx.cdr AS c JOIN pbx.cdr_leg AS l USING (call) ORDER BY leg $$,
	$$ VALUES ('ab30317f-1a78-4dc4-8ff8-24d0d3715d86'::uuid, 1, 'ab30317f-1a78-4dc4-8ff8-24d0d3715d86'::uuid), ('ab30317f-1a78-4dc4-8ff8-24d0d3715d86', 2, NULL) $$, 'is stored');

SELECT * FROM finish();
ROLLBACK;
