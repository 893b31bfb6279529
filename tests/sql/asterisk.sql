-- An office from Asterisk, as a draft with a report.
BEGIN;
SELECT plan(23);

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
SELECT results_eq($$ SELECT fix FROM report WHERE fix LIKE '%pass%' OR fix LIKE '%pin%' ORDER BY fix $$, $$ VALUES ('SELECT pbx.set_password(''new'', ''ann'', ''open'')'), ('SELECT pbx.set_pin(''new'', ''2001'', ''4711'')'),
	('SELECT pbx.set_pin(''new'', ''2009'', ''1234'')'), ('UPDATE pbx.trunk SET auth_user = ''us'', auth_password = ''verysecret'', register = true WHERE (domain, name) = (''new'', ''provider'')') $$, 'statements for what drafts don''t keep');
SELECT is_empty($$ SELECT FROM pbx.audit WHERE concat(old, new) LIKE '%verysecret%' OR concat(old, new) LIKE '%sesame%' $$, 'which nothing kept');

-- into what is there
SELECT is_empty($$ SELECT * FROM pbx.import_asterisk('new', E'[outside]\ninclude => office\ninclude => office\n', NULL, NULL, 'more') $$, 'a context that includes others already');
SELECT results_eq($$ SELECT what FROM pbx.draft_show('new', 'more') WHERE row_name LIKE 'context_include %' $$, $$ VALUES ('new') $$, 'includes one more, once');

SELECT * FROM finish();
ROLLBACK;
