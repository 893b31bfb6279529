-- An office from Asterisk, as a draft with a report.
BEGIN;
SELECT plan(47);

INSERT INTO pbx.domain (domain, realm) VALUES ('new', 'new');
INSERT INTO pbx.context VALUES ('new', 'office');
INSERT INTO pbx.music_class VALUES ('new', 'default');
SELECT pbx.phrase_register('en', '{"hello": "Hello"}');

SELECT results_eq($$ SELECT line, section, templates, key, value FROM pbx.conf_parse(E'; nothing\n[a](t,!) ; x\nk = v ; c\n;-- gone\nstill = gone\n--;\nexten => 1,1,Say(a\\;b)\r\n#include "x"\n') $$,
	$$ VALUES (2, 'a', '{t,!}'::text[], NULL, NULL), (3, 'a', '{t,!}', 'k', 'v'), (7, 'a', '{t,!}', 'exten', '1,1,Say(a;b)'), (8, 'a', '{t,!}', '#include "x"', NULL) $$, 'lines, sections, comments');

CREATE TEMPORARY TABLE report AS SELECT * FROM pbx.import_asterisk('new', $conf$
[general]
static=yes
[globals]
GATE = PJSIP
[internal]
exten => _20XX,1,NoOp(call to ${EXTEN})
 same => n,Dial(PJSIP/${EXTEN},25)
 same => n,VoiceMail(${EXTEN}@default,u)
 same => n,Hangup()
exten => 2100,1,Dial(PJSIP/2001&PJSIP/2002,20)
exten => 2100,hint,PJSIP/2001
exten => 300,1,Answer()
exten => 300,n,ConfBridge(300)
exten => *97,1,VoiceMailMain(${CALLERID(num)})
exten => 555-12,1,Echo()
exten => 400,1,Goto(internal,2100,1)
exten => 401,1,Queue(sales)
exten => 401,n,Hangup()
exten => 402,1,Playback(no-such-sound)
exten => s,1,Answer()
exten => s-BUSY,1,Hangup()
exten => 2001/2002,1,Answer()
exten => _7[b]X,1,Echo()
switch => Realtime
[outside]
include => internal
include => nowhere
exten => _0.,1,Dial(${GATE}/${EXTEN:1}@provider,60,Tt)
exten => 112,1,Set(CALLERID(num)=1)
 same => n,Dial(PJSIP/112@provider)
$conf$, $conf$
[udp]
type=transport
protocol=udp
[phone](!)
type=endpoint
context=internal
disallow=all
allow=alaw,g722
[2001](phone)
callerid="Ann A." <2001>
auth=ann
aors=2001
[ann]
type=auth
username=ann
password=open;sesame
[2001]
type=aor
max_contacts=2
[2002](phone)
context=outside
allow=ulaw
media_encryption=sdes
[provider]
type=endpoint
context=outside
outbound_auth=pass
aors=provider
[pass]
type=auth
username=us
password=verysecret
[provider]
type=aor
contact=sip:sip.example.net:5060
[reg]
type=registration
outbound_auth=pass
server_uri=sip:sip.example.net
client_uri=sip:us@sip.example.net
[who]
type=identify
endpoint=provider
match=192.0.2.10,192.0.2.11/32
$conf$, $conf$
[general]
format=wav
[default]
2001 => 4711,Ann,ann@example.net
2009 => 1234,Nobody
$conf$);

-- what is understood
SELECT is((SELECT count(*) FROM pbx.extension WHERE domain = 'new'), 0::bigint, 'nothing is changed yet');
SELECT is(pbx.activate('new', 'asterisk'), 1, 'the draft can be activated');
SELECT results_eq($$ SELECT number, display_name, context, codecs FROM pbx.extension WHERE domain = 'new' ORDER BY number $$,
	$$ VALUES ('2001', 'Ann A.', 'internal', '{PCMA,G722}'::text[]), ('2002', '', 'outside', '{PCMU}') $$, 'phones, by their templates');
SELECT results_eq($$ SELECT auth_name, number FROM pbx.credential WHERE domain = 'new' $$, $$ VALUES ('ann', '2001') $$, 'the name of one''s account');
SELECT results_eq($$ SELECT name, context, uri, registrar, register_as, (SELECT array_agg(host(address) ORDER BY address) FROM pbx.trunk_address AS a WHERE a.name = t.name) FROM pbx.trunk AS t WHERE domain = 'new' $$,
	$$ VALUES ('provider', 'outside', 'sip:sip.example.net:5060', 'sip:sip.example.net', 'us@sip.example.net', '{192.0.2.10,192.0.2.11}'::text[]) $$, 'a trunk');
SELECT results_eq($$ SELECT number, email FROM pbx.mailbox WHERE domain = 'new' $$, $$ VALUES ('2001', 'ann@example.net') $$, 'a mailbox');
SELECT is(pbx.outcome('new', '2001', n), w, n) FROM (VALUES ('2002', 'extension 2002 > voicemail 2002 > hangup'), ('2100', 'extension 2001 & extension 2002'), ('300', 'conference 300'),
	('*97', 'voicemail_menu 2001'), ('55512', 'echo'), ('400', 'extension 2001 & extension 2002'), ('401', 'nowhere'), ('00664', 'nowhere')) AS v(n, w);
SELECT is(pbx.outcome('new', '2002', '00664'), 'trunk provider 0664', 'by the trunk');
SELECT is((SELECT string_agg(condition, ' ' ORDER BY position) FROM pbx.step WHERE domain = 'new' AND pattern = '_20XX'), 'result!=answered result!=answered', 'after Dial only what isn''t answered goes on');

-- what isn't
SELECT results_eq($$ SELECT said, problem FROM report WHERE file = 'extensions.conf' ORDER BY line, problem $$, $$ VALUES
	('static => yes', 'not understood'),
	('401,1,Queue(sales)', 'application Queue has no counterpart'), ('exten => 401', 'steps of it are missing, so the route is not enabled'),
	('402,1,Playback(no-such-sound)', 'there is no prompt or phrase ''no-such-sound'''),
	('s,1,Answer()', '"s" is nothing that is dialled'), ('s-BUSY,1,Hangup()', '"s-BUSY" is nothing that is dialled'),
	('2001/2002,1,Answer()', 'a route doesn''t ask for the caller: give a step the condition caller=...'),
	('exten => _7[b]X', 'route new/internal/_7[b]X: bad pattern: ''[b]'' is no class of digits and ranges, like [13-57]'),
	('switch => Realtime', 'not understood'),
	('include => nowhere', 'there is no context for this context include'),
	('_0.,1,Dial(${GATE}/${EXTEN:1}@provider,60,Tt)', 'options Tt are left out'),
	('112,1,Set(CALLERID(num)=1)', 'application Set has no counterpart'), ('exten => 112', 'steps of it are missing, so the route is not enabled') $$, 'the report, line by line');
SELECT results_eq($$ SELECT line, said FROM report WHERE file = 'pjsip.conf' AND fix IS NULL $$, $$ VALUES (24, 'media_encryption=sdes') $$, 'of the phones');
SELECT results_eq($$ SELECT fix FROM report WHERE fix LIKE '%pass%' OR fix LIKE '%pin%' ORDER BY fix $$, $$ VALUES
	('INSERT INTO pbx.extension (domain, number, context, display_name) VALUES (''new'', ''2009'', ''office'', ''Nobody''); INSERT INTO pbx.mailbox (domain, number) VALUES (''new'', ''2009''); SELECT pbx.set_pin(''new'', ''2009'', ''1234'')'),
	('SELECT pbx.set_password(''new'', ''ann'', ''open'')'), ('SELECT pbx.set_pin(''new'', ''2001'', ''4711'')'), ('UPDATE pbx.trunk SET auth_user = ''us'', auth_password = ''verysecret'', register = true WHERE (domain, name) = (''new'', ''provider'')') $$, 'statements for what drafts don''t keep');
SELECT is_empty($$ SELECT FROM pbx.audit WHERE concat(old, new) LIKE '%verysecret%' OR concat(old, new) LIKE '%sesame%' $$, 'which nothing kept');

-- into what is there
SELECT is_empty($$ SELECT * FROM pbx.import_asterisk('new', E'[outside]\ninclude => office\ninclude => office\n', NULL, NULL, 'more') $$, 'a context that includes others already');
SELECT results_eq($$ SELECT what FROM pbx.draft_show('new', 'more') WHERE row_name LIKE 'context_include %' $$, $$ VALUES ('new') $$, 'includes one more, once');

-- each statement of the report does what it says
CREATE FUNCTION pg_temp.mend(fixes text[]) RETURNS void LANGUAGE plpgsql AS $$ DECLARE f text; BEGIN FOREACH f IN ARRAY fixes LOOP EXECUTE f; END LOOP; END $$;
SELECT pg_temp.mend(ARRAY(SELECT fix FROM report WHERE fix ~ 'pass|pin'));
SELECT results_eq($$ SELECT number, pbx.pin_check(CASE number WHEN '2001' THEN '4711' ELSE '1234' END, pin_hash) FROM pbx.mailbox WHERE domain = 'new' ORDER BY 1 $$, $$ VALUES ('2001', true), ('2009', true) $$, 'PINs, also of the mailbox that had no phone');
SELECT is((SELECT auth_user || ' ' || register FROM pbx.trunk WHERE domain = 'new'), 'us true', 'the trunk''s account');

-- variables, arguments, registrations, options
SELECT is(pbx.asterisk_split('a,${CUT(b,c,1)},"d,e",,f[1,2]'), '{a,"${CUT(b,c,1)}","\"d,e\"","","f[1,2]"}', 'arguments');
CREATE TEMPORARY TABLE more AS SELECT * FROM pbx.import_asterisk('new', $conf$
[globals]
Opt=,30
Out=PJSIP
[vars]
exten => 501,1,Set(__who=2001)
 same => n,NoOp(a, ${b})
 same => n,Set(CHANNEL(language)=en)
 same => n,SayDigits(12)
 same => n,Dial(${GLOBAL(OUT)}/${who}${opt})
exten => 502,1,Set(who=${RAND(1,2)})
 same => n,Dial(PJSIP/${who})
exten => 503,1,Goto(gone-BUSY,1)
exten => 504,1,VoiceMailMain(@default)
$conf$, $conf$
[line]
type=endpoint
aors=line
context=vars
[line]
type=aor
contact=sip:us@trunk.example.net
[reg]
type=registration
server_uri=sip:trunk.example.net
client_uri=sip:us@trunk.example.net
[lonely]
type=registration
server_uri=sip:elsewhere.example.net
[2003]
type=endpoint
context=vars
auth=2003
[2003]
type=auth
auth_type=md5
md5_cred=0123456789ABCDEF0123456789abcdef
realm=new
[2004]
type=endpoint
auth=2004
[2004]
type=auth
md5_cred=0123456789abcdef0123456789abcdef
$conf$, $conf$
[zonemessages]
wien=Europe/Vienna|Q
[default]
2003 => 12,Carl,,,tz=Wien|attach=yes|language=en
2003@other => 2003@default
$conf$, 'vars');
SELECT is(pbx.activate('new', 'vars'), 2, 'more of it');
SELECT results_eq($$ SELECT app, args FROM pbx.step WHERE domain = 'new' AND pattern = '501' ORDER BY position $$,
	$$ VALUES ('set', '{"name": "language", "value": "en"}'::jsonb), ('say', '{"as": "digits", "value": "12"}'), ('dial', '{"number": "2001", "ring_s": "30"}') $$, 'a variable stands for its value, with commas too');
SELECT is(pbx.outcome('new', '2003', '504'), 'voicemail_menu', 'any mailbox');
SELECT is((SELECT registrar FROM pbx.trunk WHERE (domain, name) = ('new', 'line')), 'sip:trunk.example.net', 'a registration at the same host');
SELECT is((SELECT timezone || ' ' || language FROM pbx.mailbox WHERE (domain, number) = ('new', '2003')), 'Europe/Vienna en', 'options of a mailbox');
SELECT results_eq($$ SELECT said, problem, fix FROM more ORDER BY file, line, problem $$, $$ VALUES
	('502,1,Set(who=${RAND(1,2)})', 'a variable or expression has no counterpart', NULL),
	('n,Dial(PJSIP/${who})', 'a variable or expression has no counterpart', NULL),
	('503,1,Goto(gone-BUSY,1)', 'only the beginning of a number can be gone to', NULL),
	('[lonely]', 'no endpoint belongs to this registration at sip:elsewhere.example.net', 'UPDATE pbx.trunk SET registrar = ..., register_as = ..., register = true WHERE (domain, name) = (...)'),
	('[2003]: 2003', 'the hash of its password is not kept in drafts: set it when the draft is active', 'UPDATE pbx.credential SET ha1_md5 = ''0123456789abcdef0123456789abcdef'' WHERE (domain, auth_name) = (''new'', ''2003'')'),
	('[2004]: 2004', 'the hash of its password is of realm asterisk, this domain''s is new: set a password when the draft is active', 'SELECT pbx.set_password(''new'', ''2004'', ''<password>'')'),
	('wien=Europe/Vienna|Q', 'not understood', NULL),
	('2003 => ...,Carl,,,tz=Wien|attach=yes|language=en', 'its PIN hasn''t 3 to 12 digits: set another when the draft is active', 'SELECT pbx.set_pin(''new'', ''2003'', ''<PIN>'')'),
	('2003: attach=yes', 'not understood', NULL),
	('2003@other=2003@default', 'not understood', NULL) $$, 'and what is not understood of it');

-- by the way in which Dial ended
CREATE TEMPORARY TABLE status AS SELECT * FROM pbx.import_asterisk('new', $conf$
[ways]
exten => _20XX,1,Set(WHO=${EXTEN})
 same => n,Dial(PJSIP/${WHO})
 same => n,Goto(end-${DIALSTATUS},1)
exten => end-NOANSWER,1,Wait(1)
 same => n,VoiceMail(${WHO}@default,u)
exten => end-BUSY,1,Goto(end-NOANSWER,1)
exten => end-ODD,1,Hangup()
$conf$, NULL, NULL, 'ways');
SELECT is(pbx.activate('new', 'ways'), 3, 'ends of Dial');
SELECT results_eq($$ SELECT pattern, app, args, condition FROM pbx.step WHERE domain = 'new' AND context = 'ways' ORDER BY pattern COLLATE "C", position $$, $$ VALUES
	('_20XX', 'set', '{"name": "who", "value": "${number}"}'::jsonb, NULL), ('_20XX', 'dial', '{"number": "${number}"}', NULL), ('_20XX', 'goto', '{"number": "end-BUSY"}', 'result=busy,declined'),
	('_20XX', 'goto', '{"number": "end-NOANSWER"}', 'result=no_answer'),
	('end-BUSY', 'goto', '{"number": "end-NOANSWER"}', NULL), ('end-NOANSWER', 'wait', '{"seconds": "1"}', NULL), ('end-NOANSWER', 'voicemail', '{"mailbox": "${who}"}', NULL) $$, 'are numbers that nobody dials');
SELECT results_eq($$ SELECT said, problem FROM status $$, $$ VALUES ('end-ODD,1,Hangup()', '"end-ODD" is nothing that is dialled') $$, 'but not others');

-- the realtime tables, in a domain of their own
INSERT INTO pbx.domain (domain, realm) VALUES ('tab', 'tab');
INSERT INTO pbx.context VALUES ('tab', 'office');
INSERT INTO pbx.music_class VALUES ('tab', 'default');
CREATE SCHEMA "Asterisk 22";
SET LOCAL search_path = "Asterisk 22", public;
CREATE TABLE ps_endpoints (id text, transport text, aors text, auth text, context text, disallow text, allow text, callerid text, outbound_auth text, media_encryption text, t38_udptl text);
CREATE TABLE ps_auths (id text, auth_type text, username text, password text, md5_cred text, realm text);
CREATE TABLE ps_aors (id text, contact text, max_contacts integer);
CREATE TABLE ps_registrations (id text, server_uri text, client_uri text, outbound_auth text);
CREATE TABLE ps_endpoint_id_ips (id text, endpoint text, match text);
CREATE TABLE ps_contacts (id text, uri text);
CREATE TABLE queues (name text);
CREATE TABLE voicemail (uniqueid integer, context text, mailbox text, password text, fullname text, email text, tz text, language text);
CREATE TABLE extensions (id bigint, context text, exten text, priority integer, app text, appdata text);
INSERT INTO ps_endpoints VALUES ('3001', NULL, '3001', '3001', 'people', 'all', 'alaw,g722', '"Bob, B." <3001>', NULL, 'sdes', 'no'), ('3002', '', '3002', NULL, 'people', NULL, NULL, '', NULL, NULL, NULL),
	('line', 'udp', 'line', NULL, 'outside', 'all', 'ulaw', NULL, 'line', NULL, NULL);
INSERT INTO ps_auths VALUES ('3001', 'userpass', 'bob', 'pass;word', NULL, NULL), ('line', 'userpass', 'us', 'hidden', NULL, NULL);
INSERT INTO ps_aors VALUES ('3001', NULL, 2), ('line', 'sip:sip.example.org', NULL);
INSERT INTO ps_registrations VALUES ('r', 'sip:sip.example.org', 'sip:us@sip.example.org', 'line');
INSERT INTO ps_endpoint_id_ips VALUES ('i', 'line', '192.0.2.20/32');
INSERT INTO ps_contacts VALUES ('3001;@1', 'sip:a'), ('3001;@2', 'sip:b');
INSERT INTO voicemail VALUES (1, 'default', '3001', '4712', 'Bob, B.', 'bob@example.net', 'Europe/Vienna', 'en'), (2, 'default', '3009', NULL, 'Nobody', '', NULL, NULL);
INSERT INTO extensions VALUES (7, 'people', '_30XX', 10, 'Hangup', NULL), (8, 'people', '_30XX', 2, 'VoiceMail', '${EXTEN}@default,u'), (9, 'people', '_30XX', 1, 'Dial', 'PJSIP/${EXTEN},25'),
	(10, 'people', '_0.', 1, 'Dial', 'PJSIP/${EXTEN:1}@line'), (11, 'people', '310', 1, 'Queue', 'sales'), (12, 'outside', '4000', 1, 'Goto', 'people,3001,1');
CREATE TEMPORARY TABLE told AS SELECT * FROM pbx.import_asterisk_tables('tab', 'Asterisk 22');
SELECT is(pbx.activate('tab', 'asterisk'), 1, 'tables as files');
SELECT results_eq($$ SELECT number, display_name, context, codecs, (SELECT auth_name FROM pbx.credential AS c WHERE (c.domain, c.number) = (e.domain, e.number)) FROM pbx.extension AS e WHERE domain = 'tab' ORDER BY number $$,
	$$ VALUES ('3001', 'Bob, B.', 'people', '{PCMA,G722}'::text[], 'bob'), ('3002', '', 'people', (SELECT codecs FROM pbx.extension WHERE (domain, number) = ('new', '2003')), NULL) $$, 'phones of tables');
SELECT results_eq($$ SELECT name, uri, register_as, (SELECT array_agg(host(address)) FROM pbx.trunk_address AS a WHERE (a.domain, a.name) = (t.domain, t.name)) FROM pbx.trunk AS t WHERE domain = 'tab' $$,
	$$ VALUES ('line', 'sip:sip.example.org', 'us@sip.example.org', '{192.0.2.20}'::text[]) $$, 'a trunk');
SELECT results_eq($$ SELECT number, email, timezone, language FROM pbx.mailbox WHERE domain = 'tab' $$, $$ VALUES ('3001', 'bob@example.net', 'Europe/Vienna', 'en') $$, 'a mailbox');
SELECT is(pbx.outcome('tab', c, n), w, n) FROM (VALUES ('3002', '3001', 'extension 3001 > voicemail 3001 > hangup'), ('3001', '0123', 'trunk line 123'), ('line', '4000', 'extension 3001 > voicemail 3001 > hangup')) AS v(c, n, w);
SELECT results_eq($$ SELECT file, line, said, problem, fix FROM told ORDER BY file, line, problem $$, $$ VALUES
	('extensions', 2, '310,1,Queue(sales)', 'application Queue has no counterpart', NULL),
	('ps_contacts', NULL, '2 rows', 'where phones were registered is not taken: they register here', NULL),
	('ps_endpoints', 1, '[3001]: bob', 'its password is not kept in drafts: set it when the draft is active', 'SELECT pbx.set_password(''tab'', ''bob'', ''pass;word'')'),
	('ps_endpoints', 1, '3001: media_encryption=sdes', 'not understood', NULL),
	('ps_endpoints', 3, '[line]', 'its password is not kept in drafts: set it when the draft is active', 'UPDATE pbx.trunk SET auth_user = ''us'', auth_password = ''hidden'', register = true WHERE (domain, name) = (''tab'', ''line'')'),
	('voicemail', 1, '3001 => ...,Bob  B.,bob@example.net,,tz=Europe/Vienna|language=en', 'its PIN is not kept in drafts: set it when the draft is active', 'SELECT pbx.set_pin(''tab'', ''3001'', ''4712'')'),
	('voicemail', 2, '3009 => ...,Nobody,,,', 'there is no extension for this mailbox', 'INSERT INTO pbx.extension (domain, number, context, display_name) VALUES (''tab'', ''3009'', ''office'', ''Nobody''); INSERT INTO pbx.mailbox (domain, number) VALUES (''tab'', ''3009'')') $$,
	'the report of tables');
SELECT throws_like($$ SELECT pbx.import_asterisk_tables('tab', 'there-is-none') $$, 'there is no schema there-is-none', 'a schema that isn''t there');
SELECT throws_like($$ SELECT pbx.import_asterisk_tables('tab', 'public') $$, 'schema public has none of the tables%', 'or has nothing of the kind');
SELECT throws_like($$ SELECT pbx.import_asterisk_tables('nobody''s', 'Asterisk 22') $$, 'there is no domain nobody''s', 'a domain that isn''t there');
SELECT throws_ok($$ SELECT pbx.draft_record('nobody''s', 'd', 'SELECT 1') $$, '23503', 'there is no domain nobody''s', 'nor has it drafts');

SELECT * FROM finish();
ROLLBACK;
