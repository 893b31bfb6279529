-- Messages of calls: as rows, as a ladder, as a capture; and how long they are kept.
BEGIN;
SELECT no_plan();

CREATE FUNCTION pg_temp.id(n integer) RETURNS uuid LANGUAGE sql AS $$ SELECT format('00000000-0000-0000-0000-%s', lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.msg(first text, cseq text, body text DEFAULT '') RETURNS bytea LANGUAGE sql AS $$
	SELECT convert_to(first || E'\r\nVia: SIP/2.0/UDP x\r\nCSEQ : ' || cseq || CASE WHEN body = '' THEN '' ELSE E'\r\nc: application/sdp' END || E'\r\n\r\n' || body, 'UTF8')
$$;
CREATE TEMP TABLE said (leg integer, n integer, ms integer, way text, peer text, bytes bytea, decided integer);
INSERT INTO said VALUES
	(1, 1, 0, 'received', '192.0.2.1:5060', pg_temp.msg('INVITE sip:1002@office SIP/2.0', '1 INVITE', 'v=0'), 0),
	(1, 2, 500, 'received', '192.0.2.1:5060', pg_temp.msg('INVITE sip:1002@office SIP/2.0', '1 INVITE', 'v=0'), 1),
	(2, 3, 501, 'sent', '[2001:db8::2]:5062', pg_temp.msg('INVITE sip:1002@[2001:db8::2]:5062 SIP/2.0', '7 INVITE'), 2),
	(2, 4, 900, 'received', '[2001:db8::2]:5062', pg_temp.msg('SIP/2.0 180 Ringing' || chr(228), '7 INVITE'), 2),
	(1, 5, 901, 'sent', '192.0.2.1:5060', pg_temp.msg('SIP/2.0 200 OK', '9 BYE'), 3);
CREATE FUNCTION pg_temp.trace(of_leg integer, proto text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('call', pg_temp.id(1), 'domain', 'office', 'leg', of_leg, 'started_ms', 1700000000000 + min(ms), 'dropped', of_leg - 1,
		'messages', jsonb_agg(jsonb_build_array(ms - (SELECT min(ms) FROM said WHERE leg = of_leg), n, way, proto, peer,
			CASE WHEN peer LIKE '[%' THEN '[2001:db8::1]:5060' ELSE '192.0.2.9:5060' END, length(bytes), decided) ORDER BY n),
		'bytes', replace(encode(string_agg(bytes, ''::bytea ORDER BY n), 'base64'), E'\n', '')) FROM said WHERE leg = of_leg
$$;
SELECT ok(pbx.outbox_take(pg_temp.id(100 + leg), 'trace', pg_temp.trace(leg, p)), 'messages of leg ' || leg) FROM (VALUES (1, 'udp'), (2, 'tcp')) AS v(leg, p);
SELECT ok(pbx.outbox_take(pg_temp.id(104), 'cdr', format('{"call": "%s", "domain": "office", "caller": "1001", "dialled": "1002", "result": "busy",
	"started_ms": 1700000000000, "ended_ms": 1700000001000, "decisions": [[0, "caller", "1001", "1002", "udp 192.0.2.1:5060"], [1, "ring", 2, "1002", "h"], [901, "told", "486"]],
	"legs": [{"leg": 1, "role": "caller", "peer": "1001", "number": "1001", "started_ms": 1700000000000}, {"leg": 2, "role": "callee", "peer": "1002", "number": "1002", "started_ms": 1700000000000}]}',
	pg_temp.id(1))::jsonb), 'and the record');
SELECT is_empty($$ SELECT reason FROM pbx.outbox_refused $$, 'all is taken');

SELECT results_eq($$ SELECT leg, seq::integer, bytes FROM pbx.sip_message WHERE call = pg_temp.id(1) ORDER BY seq $$, $$ SELECT leg, n, bytes FROM said ORDER BY n $$, 'they are what they were');
SELECT results_eq($$ SELECT at, direction, transport, source, destination FROM pbx.sip_message WHERE call = pg_temp.id(1) AND seq IN (1, 3) ORDER BY seq $$,
	$$ VALUES ('2023-11-14 22:13:20+00'::timestamptz, 'received', 'udp', '192.0.2.1:5060', '192.0.2.9:5060'),
	('2023-11-14 22:13:20.501+00', 'sent', 'tcp', '[2001:db8::1]:5060', '[2001:db8::2]:5062') $$, 'with when, and from where to where');
SELECT results_eq($$ SELECT pbx.sip_label(bytes) FROM said ORDER BY n $$, $$ VALUES ('INVITE, SDP'), ('INVITE, SDP'), ('INVITE'), ('180 Ringing\303\244'), ('200 OK (BYE)') $$, 'in a few words');
SELECT is(pbx.sip_label('\x00ff0d0a'), '\000\377', 'rubbish is told as that');

SELECT results_eq($$ SELECT * FROM pbx.ladder(pg_temp.id(1)) $$, ARRAY[
	'                  1001                      Cordboard                     1002',
	'             192.0.2.1:5060                                        [2001:db8::2]:5062',
	'    0.000           |----- INVITE, SDP x2 ----->|                           |',
	'    0.000  * Call from 1001 at udp 192.0.2.1:5060 to 1002.',
	'    0.001  * 1002 (leg 2) is called at h.',
	'    0.501           |                           |--------- INVITE --------->|',
	'    0.900           |                           |<-- 180 Ringing\303\244 ---|',
	'    0.901  * The caller is told 486, busy.',
	'    0.901           |<----- 200 OK (BYE) -------|                           |',
	'    1.000  * Over after 1.0 s, never answered: busy.',
	'1 more messages of leg 2 were too many to be kept.'], 'the ladder');
SELECT is((SELECT count(*) FROM pbx.ladder(pg_temp.id(1), false) AS l WHERE l LIKE '%*%'), 0::bigint, 'or without decisions');
SELECT ok(xml_is_well_formed_document(pbx.ladder_svg(pg_temp.id(1))), 'the picture is XML');
SELECT is(pbx.xml_text(E'<a href="x">&\x07'), '&lt;a href=&quot;x&quot;&gt;&amp;?', 'whatever stands in a message');
SELECT is(pbx.ladder_svg(pg_temp.id(2)), pbx.ladder_svg(pg_temp.id(3)), 'without messages there is an empty one');

-- RFC 1071, section 3
SELECT is(pbx.internet_checksum('\x0001f203f4f5f6f7'), '\x220d'::bytea, 'the sum of the RFC');
SELECT is(pbx.internet_checksum('\x01'), '\xfeff'::bytea, 'an odd length');
SELECT is(substr(pbx.ip_packet('192.0.2.1:5060', '192.0.2.9:5062', 'udp', 0, 0, '\x61'), 1, 20), '\x4500001d000040004011b6c5'::bytea || '\xc0000201c0000209'::bytea, 'a header of IPv4');
SELECT is(pbx.ip_packet('[::1]:5060', '[::2]:5061', 'tls', 1, 2, '\x61'),
	'\x6000000000150640'::bytea || '\x00000000000000000000000000000001'::bytea || '\x00000000000000000000000000000002'::bytea || '\x13c413c500000001000000025018ffff'::bytea
	|| substr(pbx.ip_packet('[::1]:5060', '[::2]:5061', 'tls', 1, 2, '\x61'), 57, 2) || '\x000061'::bytea, 'TCP over IPv6');
SELECT is(substr(pbx.pcap(pg_temp.id(1)), 1, 24), '\xa1b2c3d400020004000000000000000000040000'::bytea || '\x00000065'::bytea, 'a capture of raw IP');
SELECT is(length(pbx.pcap(pg_temp.id(1))), (24 + (SELECT sum(16 + length(bytes) + CASE leg WHEN 1 THEN 28 ELSE 60 END) FROM said))::integer, 'with all of them');
SELECT is(length(pbx.pcap(pg_temp.id(9))), 24, 'or none');

-- RTP between the messages
CREATE FUNCTION pg_temp.rtp(leg integer, started_us bigint, at integer[], what text[], dropped integer DEFAULT 0) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('call', pg_temp.id(1), 'domain', 'office', 'leg', $1, 'started_us', $2, 'dropped', $5, 'at_us', to_jsonb($3),
		'lengths', (SELECT coalesce(jsonb_agg(length(w) ORDER BY n), '[]') FROM unnest($4) WITH ORDINALITY AS u(w, n)),
		'bytes', encode(convert_to(array_to_string($4, ''), 'UTF8'), 'base64'))
$$;
SELECT pbx.pcap(pg_temp.id(1)) AS before \gset
SELECT ok(pbx.outbox_take(pg_temp.id(110), 'rtp', pg_temp.rtp(1, 1700000000499999, '{0,402000}', '{<first>,<fourth>}')), 'packets of a leg');
SELECT ok(pbx.outbox_take(pg_temp.id(111), 'rtp', pg_temp.rtp(2, 1700000000500500, '{0,1}', '{<second>,<third>}', 3)), 'and of the other');
SELECT ok(pbx.outbox_take(pg_temp.id(112), 'rtp', pg_temp.rtp(2, 1700000000900000, '{}', '{}', 5)), 'or that there were more');
SELECT is_empty($$ SELECT reason FROM pbx.outbox_refused $$, 'all of it is taken');
SELECT is(pbx.pcap(pg_temp.id(1), false), :'before'::bytea, 'without RTP the capture is what it was');
SELECT is(length(pbx.pcap(pg_temp.id(1))), length(:'before'::bytea) + 7 + 8 + 8 + 7, 'with it, it has all packets');
SELECT is((SELECT string_agg(p[1], '' ORDER BY n) FROM regexp_matches(encode(pbx.pcap(pg_temp.id(1)), 'escape'), '(<(?:first|second|third|fourth)>|INVITE sip|180 Ringing|200 OK)', 'g') WITH ORDINALITY AS m(p, n)),
	'INVITE sip<first>INVITE sip<second><third>INVITE sip180 Ringing200 OK<fourth>', 'each at its time');
SELECT is((SELECT sum(dropped) FROM pbx.rtp_trace WHERE call = pg_temp.id(1)), 8::bigint, 'and how many are missing is known');
SELECT throws_ok($$ INSERT INTO pbx.rtp_trace VALUES (pg_temp.id(1), 1, 'office', now(), 0, '{1,2}', '{1}', 'x') $$, '23514', NULL, 'each packet has a length');

SELECT is(pbx.sdp_in_clear(convert_to(format(E'%s%s\r\n\r\nm=audio 4 %s 0 8\r\nm=video 6 %3$s 97\r\n', h, 30 + 2 * length(b), b), 'UTF8')),
	convert_to(format(E'%s%s\r\n\r\nm=audio 4 %s 0 8\r\nm=video 6 %3$s 97\r\n', h, 30 + 2 * length(a), a), 'UTF8'), b || ' is told as ' || a)
	FROM (VALUES (E'x\r\nContent-Length: ', 'RTP/SAVP', 'RTP/AVP'), (E'x\r\nl:', 'RTP/SAVPF', 'RTP/AVPF'), (E'x\r\ncontent-LENGTH  :  ', 'UDP/TLS/RTP/SAVP', 'RTP/AVP'),
		(E'x\r\nContent-Length: ', 'UDP/TLS/RTP/SAVPF', 'RTP/AVPF'), (E'x\r\nContent-Length: ', 'RTP/AVP', 'RTP/AVP')) AS v(h, b, a);
SELECT is(pbx.sdp_in_clear(b), b, 'and nothing else is touched') FROM unnest(ARRAY['\x006d3d', '\xff0a52', convert_to(E'INVITE sip:a@b SIP/2.0 RTP/SAVP x\r\nl: 5\r\n', 'UTF8'), convert_to('no length', 'UTF8')]) AS b;

-- a clock that is set back between two messages: they stay in their order, what was said has its times
SELECT ok(pbx.outbox_take(pg_temp.id(113), 'trace', jsonb_build_object('call', pg_temp.id(4), 'domain', 'office', 'leg', 1, 'started_ms', 1700000000000,
	'messages', '[[0, 1, "received", "udp", "192.0.2.1:5060", "192.0.2.9:5060", 5, 0], [-5000, 2, "sent", "udp", "192.0.2.1:5060", "192.0.2.9:5060", 6, 0]]'::jsonb,
	'bytes', encode('ONE..TWO...', 'base64'))), 'a clock is set back');
SELECT alike(encode(pbx.pcap(pg_temp.id(4)), 'escape'), '%ONE..%TWO...%', 'the capture has them as they came');
SELECT alike((SELECT string_agg(l, E'\n') FROM pbx.ladder(pg_temp.id(4), false) AS l), E'%5.000%ONE..%0.000%TWO...%', 'and so has the ladder');

-- midnight at the end of a month, and days that nobody has made yet
SAVEPOINT days;
SELECT pbx.partition_make('pbx.' || t, 'day', now(), timestamptz '2027-03-02' - now()) FROM unnest('{sip_trace,rtp_trace}'::text[]) AS t \g /dev/null
SELECT ok(pbx.outbox_take(pg_temp.id(120 + n), 'rtp', pg_temp.rtp(n, us, '{0}', ARRAY['<' || n || '>']) || jsonb_build_object('call', pg_temp.id(5))), says)
	FROM (VALUES (1, (extract(epoch FROM timestamptz '2027-02-28 23:59:59.999999') * 1000000)::bigint, 'the last microsecond of a month'),
	(2, (extract(epoch FROM timestamptz '2027-03-01') * 1000000)::bigint, 'the first of the next one'), (3, 1, 'the year 1970'), (4, 32503680000000000, 'the year 3000')) AS v(n, us, says);
SELECT results_eq($$ SELECT leg, tableoid::regclass::text FROM pbx.rtp_trace WHERE call = pg_temp.id(5) ORDER BY leg $$,
	$$ VALUES (1, 'pbx_part.rtp_trace_20270228'), (2, 'pbx_part.rtp_trace_20270301'), (3, 'pbx_part.rtp_trace_other'), (4, 'pbx_part.rtp_trace_other') $$, 'are each where they belong');
SELECT is((SELECT string_agg(p[1], '' ORDER BY n) FROM regexp_matches(encode(pbx.pcap(pg_temp.id(5)), 'escape'), '<.>', 'g') WITH ORDINALITY AS m(p, n)), '<3><1><2><4>', 'and in order');
SELECT pbx.retain_sip_trace('2027-03-01') \g /dev/null
SELECT results_eq($$ SELECT leg FROM pbx.rtp_trace WHERE call = pg_temp.id(5) ORDER BY leg $$, $$ VALUES (2), (4) $$, 'what is over goes, by days');
SELECT pbx.retain_sip_trace('2027-03-01 12:00') \g /dev/null
SELECT results_eq($$ SELECT leg FROM pbx.rtp_trace WHERE call = pg_temp.id(5) ORDER BY leg $$, $$ VALUES (2), (4) $$, 'a day that isn''t wholly over stays');
ROLLBACK TO days;

SELECT throws_like($$ UPDATE pbx.domain SET capture = 'some' $$, '%capture_is_known%', 'what is kept is one of four');
INSERT INTO pbx.sip_trace SELECT call, leg, domain, now(), dropped, messages, bytes FROM pbx.sip_trace WHERE leg = 1;
SELECT pbx.housekeeping() \g /dev/null
SELECT results_eq($$ SELECT count(*), min(started) > now() - interval '1 day' FROM pbx.sip_trace WHERE call = pg_temp.id(1) AND tableoid <> 'pbx_part.sip_trace_other'::regclass $$,
	$$ VALUES (1::bigint, true) $$, 'today''s stand in a table of their day');

SELECT * FROM finish();
ROLLBACK;
