-- An office from FreeSWITCH or FusionPBX, as a draft with a report.
BEGIN;
SELECT plan(63);

-- what patterns can say of regular expressions
SELECT is((SELECT string_agg(concat_ws(' ', p.pattern, nullif(p.groups ->> '1', ''), CASE WHEN p.groups ? '2' THEN '/' || (p.groups ->> '2') END), ', ' ORDER BY n) FROM pbx.regex_patterns(r) WITH ORDINALITY AS p(pattern, groups, note, n)), w, r)
FROM (VALUES ('^886$', '886'), ('^(10[01][0-9])$', '_10[01]X ${number}'), ('^\*97$', '*97'), ('^(redial|870)$', 'redial ${number}, 870 ${number}'), ('^80(\d{2})$', '_80XX ${number:2}'),
	('^\+?1?(\d{3})$', '_XXX ${number}, _1XXX ${number:1}, _+XXX ${number:1}, _+1XXX ${number:2}'), ('^0(11\d+)$', '_011. ${number:1}'), ('^(.*)$', '_! ${number}'), ('^.+$', '_.'), ('^(?:00|\+)([1-9]\d*)$', '_00Z! ${number:2}, _+Z! ${number:1}'),
	('^88(\d)(\d+)$|^\*0(.*)$', '_88X. ${number:2:1} /${number:3}, _*0! /'), ('^[2-9]\d{2,3}$', '_NXX, _NXXX'), ('^[*#]5$', '*5, #5'), ('^[^0]1$', '_Z1'), ('^X[13-5]$', ''), ('^9X$', '9X'), ('12', '_12!')) AS v(r, w);
SELECT is((SELECT string_agg(p.note, ', ') FROM pbx.regex_patterns(r) AS p), w, r || ' is told') FROM (VALUES ('^(?!6)\d$', '(?!...) is more than a pattern can say'), ('^1(2$', 'a parenthesis has no end'), ('^1)2$', 'a parenthesis has no beginning'),
	('^[12$', 'a class has no end'), ('^\w+$', '\w is more than a pattern can say'), ('^.*1$', 'something follows what can have any length'), ('^1\d{2,9}$', 'longer numbers than {2,9} allows match too'),
	('12$', 'it isn''t tied to the beginning (^), but taken so'), ('^a\d$', '_aX: ''a'' has no meaning after the _'), ('^(\d?){9}$', 'it has more than 64 variants')) AS v(r, w);
SELECT is(pbx.freeswitch_days(d), w, 'days ' || d) FROM (VALUES ('2-6', '{1,2,3,4,5}'::integer[]), ('sat,sun', '{6,7}'), ('6-1', '{5,6,7}'), ('1', '{7}'), ('any', NULL)) AS v(d, w);

INSERT INTO pbx.domain (domain, realm) VALUES ('fs', 'pbx.example.net');
INSERT INTO pbx.context VALUES ('fs', 'office');
INSERT INTO pbx.music_class VALUES ('fs', 'default');
SELECT pbx.phrase_register('en', '{"hello": "Hello"}');

CREATE TEMPORARY TABLE report AS SELECT * FROM pbx.import_freeswitch('fs', $xml$<?xml version="1.0"?>
<include>
<!-- a comment
     of two lines with <extension name="gone"/> -->
<context name="inside">
  <extension name="mark" continue="true"><condition><action application="set" data="prefix=9"/></condition></extension>
  <extension name="people">
    <condition field="destination_number" expression="^(2[01]\d\d)$">
      <action application="export" data="dialed_extension=$1"/>
      <action application="set" data="call_timeout=25"/>
      <action application="set" data="hangup_after_bridge=true"/>
      <action application="set" data="continue_on_fail=true"/>
      <action application="bridge" data="user/${dialed_extension}@${domain_name}"/>
      <action application="answer"/>
      <action application="sleep" data="1200"/>
      <action application="voicemail" data="default ${domain_name} ${dialed_extension}"/>
    </condition>
  </extension>
  <extension name="boss"><condition field="destination_number" expression="^2101$"><action application="answer"/></condition></extension>
  <extension name="out">
    <condition field="destination_number" expression="^0(\d+)$">
      <action application="set" data="effective_caller_id_number=123"/>
      <action application="set" data="continue_on_fail=true"/>
      <action application="bridge" data="{sip_h_X-a=b,leg_timeout=40}sofia/gateway/line/${prefix}$1|sofia/gateway/spare/$1"/>
    </condition>
  </extension>
  <extension name="sales"><condition field="destination_number" expression="^300$"><action application="bridge" data="group/sales@$${domain}"/></condition></extension>
  <extension name="hours">
    <condition wday="2-6" hour="9-17" break="never"/>
    <condition field="destination_number" expression="^301$"/>
    <condition wday="mon-fri" time-of-day="09:00-18:00">
      <action application="transfer" data="300 XML inside"/>
      <anti-action application="playback" data="ivr/hello.wav"/>
      <anti-action application="hangup" data="USER_BUSY"/>
    </condition>
  </extension>
  <extension name="only-boss">
    <condition field="destination_number" expression="^302$"/>
    <condition field="caller_id_number" expression="^2001$"><action application="echo"/></condition>
  </extension>
  <extension name="others"><condition field="destination_number" expression="^302$"><action application="hangup"/></condition></extension>
  <extension name="twice">
    <condition field="destination_number" expression="^303$" break="on-true"><action application="conference" data="303-${domain_name}@default"/></condition>
    <condition field="destination_number" expression="^304$"><action application="conference" data="room4@default+1234"/></condition>
  </extension>
  <extension name="any of them"><condition regex="any"><regex field="destination_number" expression="^305$"/><regex field="destination_number" expression="^306$"/><action application="echo"/></condition></extension>
  <extension name="inner">
    <condition field="destination_number" expression="^307$"><condition field="${x}" expression="1"><action application="echo"/></condition><action application="answer"/></condition>
  </extension>
  <extension name="lookup"><condition field="destination_number" expression="^308$"><action application="answer"/><action application="transfer" data="${hash(select/a/b)}"/></condition></extension>
  <extension name="menu"><condition field="destination_number" expression="^309$"><action application="answer"/><action application="ivr" data="demo"/></condition></extension>
  <extension name="off" enabled="false"><condition field="destination_number" expression="^310$"><action application="echo"/></condition></extension>
  <extension name="secret"><condition field="${secure}" expression="^true$"/><condition field="destination_number" expression="^311$"><action application="echo"/></condition></extension>
  <extension name="check-vm"><condition field="destination_number" expression="^\*97$"><action application="voicemail" data="check default ${domain_name} ${caller_id_number}"/></condition></extension>
  <extension name="look"><condition field="destination_number" expression="^(?=3)31.$"><action application="echo"/></condition></extension>
  <extension name="wide"><condition field="destination_number" expression="^4.*$"><action application="echo"/></condition></extension>
  <extension name="hidden"><condition field="destination_number" expression="^4(\d\d)$"><action application="answer"/></condition></extension>
</context>
</include>
<?xml version="1.0"?>
<include><context name="public">
  <extension name="did"><condition field="destination_number" expression="^5551212$"><action application="transfer" data="2001 XML inside"/></condition></extension>
  <extension name="rest"><condition><action application="respond" data="404 Not Found"/></condition></extension>
  <X-PRE-PROCESS cmd="include" data="public/*.xml"/>
</context></include>
$xml$, $xml$<include><domain name="pbx.example.net">
<params><param name="dial-string" value="x"/></params>
<variables><variable name="default_language" value="en"/><variable name="record_stereo" value="true"/></variables>
<groups><group name="all"><users>
  <user id="2001"><params><param name="password" value="$${secret}"/><param name="vm-password" value="4711"/><param name="vm-mailto" value="a@example.net"/></params>
    <variables><variable name="user_context" value="inside"/><variable name="effective_caller_id_name" value="Ann &amp; Co"/><variable name="outbound_caller_id_number" value="+431234"/>
      <variable name="limit_max" value="3"/><variable name="absolute_codec_string" value="OPUS,PCMA@20i"/></variables></user>
  <user id="bob" number-alias="2002"><params><param name="a1-hash" value="0123456789abcdef0123456789abcdef"/><param name="vm-enabled" value="false"/><param name="vm-password" value="1"/></params>
    <variables><variable name="user_context" value="pbx.example.net"/><variable name="toll_allow" value="local"/></variables></user>
  <user id="2003"><params><param name="password" value="$${nothing}"/><param name="vm-password" value="user-choose"/></params></user>
</users></group>
<group name="sales"><users><user id="2001" type="pointer"/><user id="bob" type="pointer"/></users></group>
</groups></domain></include>$xml$, $xml$
<include><gateway name="line"><param name="username" value="us"/><param name="password" value="hidden"/><param name="proxy" value="sip.example.net:5080"/><param name="register-transport" value="tcp"/><param name="context" value="public"/>
  <param name="sip-trace" value="yes"/></gateway>
<gateway name="spare"><param name="realm" value="spare.example.net"/><param name="register" value="false"/></gateway></include>$xml$,
'<include><X-PRE-PROCESS cmd="set" data="base=1"/><X-PRE-PROCESS cmd="set" data="secret=$${base}234"/></include>');
SELECT is(pbx.activate('fs', 'freeswitch'), 1, 'the draft can be activated');

-- the directory
SELECT results_eq($$ SELECT number, display_name, context, caller_id, call_limit, language, CASE WHEN number = '2001' THEN codecs END, (SELECT auth_name FROM pbx.credential AS c WHERE (c.domain, c.number) = (e.domain, e.number))
	FROM pbx.extension AS e WHERE domain = 'fs' ORDER BY number $$,
	$$ VALUES ('2001', 'Ann & Co', 'inside', '+431234', 3, 'en', '{opus,PCMA}'::text[], '2001'), ('2002', '', 'office', NULL, NULL, 'en', NULL, 'bob'), ('2003', '', 'office', NULL, NULL, 'en', NULL, '2003') $$, 'users, with what their domain says');
SELECT results_eq($$ SELECT number, email FROM pbx.mailbox WHERE domain = 'fs' ORDER BY 1 $$, $$ VALUES ('2001', 'a@example.net'), ('2003', NULL) $$, 'mailboxes');
SELECT results_eq($$ SELECT name, context, uri, registrar, register_as FROM pbx.trunk WHERE domain = 'fs' ORDER BY 1 $$, $$ VALUES ('line', 'public', 'sip:sip.example.net:5080;transport=tcp', 'sip:sip.example.net:5080', 'us@sip.example.net'),
	('spare', 'office', 'sip:spare.example.net', NULL, NULL) $$, 'gateways');

-- the dialplan
SELECT is(pbx.outcome('fs', '2001', n, '2026-11-23 11:30+00'), w, n) FROM (VALUES ('2002', 'extension 2002 > voicemail 2002'), ('0431', 'trunk line 9431 > trunk spare 431'), ('300', 'extension 2001 & extension 2002'), ('301', 'extension 2001 & extension 2002'),
	('302', 'echo'), ('303', 'conference 303'), ('304', 'conference room4'), ('306', 'echo'), ('307', 'nowhere'), ('310', 'nowhere'), ('*97', 'voicemail_menu 2001'), ('455', 'echo')) AS v(n, w);
SELECT is(pbx.outcome('fs', '2001', '301', '2026-11-22 11:30+00'), 'hangup 486', 'on a Sunday');
SELECT results_eq($$ SELECT app, args, condition FROM pbx.step WHERE domain = 'fs' AND pattern = '_2[01]XX' ORDER BY position $$, $$ VALUES ('dial', '{"number": "${number}", "ring_s": "25"}'::jsonb, NULL), ('answer', '{}', 'result!=answered'),
	('wait', '{"seconds": "2"}', 'result!=answered'), ('voicemail', '{"mailbox": "${number}"}', 'result!=answered') $$, 'after a bridge what it was told');
SELECT results_eq($$ SELECT app, args, condition FROM pbx.step WHERE domain = 'fs' AND pattern IN ('301', '302') ORDER BY pattern, position $$, $$ VALUES ('goto', '{"number": "300", "context": "inside"}'::jsonb, 'schedule=hours-2'),
	('playback', '{"phrases": "hello"}', 'schedule!=hours-2'), ('hangup', '{"status": "486"}', 'schedule!=hours-2'), ('echo', '{}', 'caller=2001'), ('hangup', '{}', 'caller!=2001') $$, 'conditions, and what comes when they don''t hold');
SELECT results_eq($$ SELECT weekday, from_time, to_time FROM pbx.schedule_period WHERE (domain, schedule) = ('fs', 'hours-2') $$, $$ SELECT d, '09:00'::time, '18:00'::time FROM generate_series(1, 5) AS d $$, 'times are schedules');
SELECT is(pbx.outcome('fs', 'line', n), w, n || ' from outside') FROM (VALUES ('5551212', 'extension 2001 > voicemail 2001'), ('99', 'hangup 404')) AS v(n, w);

-- what isn't
SELECT results_eq($$ SELECT line, said, problem FROM report WHERE file = 'dialplan' ORDER BY line, problem, said $$, $$ VALUES
	(19, 'boss', 'FreeSWITCH never gets there for 2101: people comes before it'),
	(22, 'set effective_caller_id_number=123', 'variable effective_caller_id_number is left out'),
	(24, 'bridge {sip_h_X-a=b,leg_timeout=40}sofia/gateway/line/${prefix}$1|sofia/gateway/spare/$1', 'options sip_h_X-a are left out'),
	(44, 'conference room4@default+1234', 'options 1234 are left out'),
	(48, 'inner: destination_number ~ ^307$', 'conditions within conditions are not understood, and with it a step is lost'),
	(50, 'transfer ${hash(select/a/b)}', 'a variable or function has no counterpart'), (50, 'lookup: 308', 'steps of it are missing, so the route is not enabled'),
	(51, 'ivr demo', 'menu demo: make it of pbx.menu and pbx.menu_choice, and the step of it'), (51, 'menu: 309', 'steps of it are missing, so the route is not enabled'),
	(52, 'off', 'it isn''t enabled there, and is left out'),
	(53, '${secure} ~ ^true$', 'a condition is not understood'), (53, 'secret: 311', 'steps of it are missing, so the route is not enabled'),
	(55, 'look: ^(?=3)31.$', '(?=...) is more than a pattern can say'),
	(57, 'hidden', 'FreeSWITCH never gets there for _4XX: wide comes before it'),
	(NULL, 'include public/*.xml', 'what it includes isn''t here: append it') $$, 'the report, line by line');
SELECT results_eq($$ SELECT file, said, problem, fix FROM report WHERE file <> 'dialplan' ORDER BY file, line, problem, said $$, $$ VALUES
	('directory', 'mailbox 2001', 'its PIN is not kept in drafts: set it when the draft is active', 'SELECT pbx.set_pin(''fs'', ''2001'', ''4711'')'),
	('directory', '[2001]: 2001', 'its password is not kept in drafts: set it when the draft is active', 'SELECT pbx.set_password(''fs'', ''2001'', ''1234'')'),
	('directory', 'record_stereo=true (3 users)', 'not understood', NULL), ('directory', 'toll_allow=local', 'not understood', NULL),
	('directory', '[2002]: bob', 'the hash of its password is not kept in drafts: set it when the draft is active',
		'UPDATE pbx.credential SET ha1_md5 = ''0123456789abcdef0123456789abcdef'' WHERE (domain, auth_name) = (''fs'', ''bob'')'),
	('directory', 'mailbox 2003', 'its PIN hasn''t 3 to 12 digits: set another when the draft is active', 'SELECT pbx.set_pin(''fs'', ''2003'', ''<PIN>'')'),
	('directory', '[2003]: 2003', 'its password is not kept in drafts: set it when the draft is active', 'SELECT pbx.set_password(''fs'', ''2003'', ''<password>'')'),
	('gateways', 'gateway line', 'its password is not kept in drafts: set it when the draft is active',
		'UPDATE pbx.trunk SET auth_user = ''us'', auth_password = ''hidden'', register = true WHERE (domain, name) = (''fs'', ''line'')'),
	('gateways', 'line: sip-trace=yes', 'not understood', NULL) $$, 'of users and gateways');

-- FusionPBX: extensions with contexts of their own, scripts that variables tell what to do, users by ${user_exists}
INSERT INTO pbx.domain (domain, realm) VALUES ('fusion', 'fusion');
INSERT INTO pbx.context VALUES ('fusion', 'office');
INSERT INTO pbx.music_class VALUES ('fusion', 'default');
INSERT INTO pbx.extension (domain, number) VALUES ('fusion', '101');
INSERT INTO pbx.mailbox (domain, number) VALUES ('fusion', '101');
CREATE TEMPORARY TABLE fusion AS SELECT * FROM pbx.import_freeswitch('fusion', $xml$
<extension name="recorded" context="global" continue="true"><condition field="${user_exists}" expression="true"/><condition field="${user_record}" expression="all"><action application="record_session"/></condition></extension>
<extension name="to-box" context="${domain_name}"><condition field="destination_number" expression="^\*99(\d{3})$">
  <action application="set" data="voicemail_action=save"/><action application="set" data="voicemail_id=$1"/><action application="lua" data="app.lua voicemail"/></condition></extension>
<extension name="own-box" context="${domain_name}"><condition field="destination_number" expression="^\*98$">
  <action application="multiset" data="voicemail_action=check voicemail_authorized=false"/><action application="lua" data="app.lua voicemail"/></condition></extension>
<extension name="local" context="global" continue="true"><condition field="${user_exists}" expression="true"><action application="limit" data="hash a"/></condition>
  <condition><action application="multiset" data="hangup_after_bridge=true continue_on_fail=true"/><action application="bridge" data="user/${destination_number}@${domain_name}"/></condition></extension>
<extension name="box" context="global"><condition field="${user_exists}" expression="true"><action application="set" data="voicemail_id=${destination_number}"/><action application="lua" data="app.lua voicemail"/></condition></extension>
$xml$);
SELECT is(pbx.activate('fusion', 'freeswitch'), 1, 'an office of FusionPBX');
SELECT is(pbx.outcome('fusion', '101', n), w, n) FROM (VALUES ('101', 'extension 101 > voicemail 101'), ('*99101', 'voicemail 101'), ('*98', 'voicemail_menu')) AS v(n, w);
SELECT results_eq($$ SELECT line, said, problem FROM fusion ORDER BY line $$, $$ VALUES (2, 'recorded: ${user_record} ~ all', 'a condition is not understood, and with it a step is lost'), (7, 'limit hash a', 'application limit is left out') $$, 'and what is not understood');

SELECT throws_like($$ SELECT pbx.import_freeswitch('fs', '<a><b></a>') $$, 'the dialplan is no well-formed XML', 'what is no XML');
SELECT throws_like($$ SELECT pbx.import_freeswitch('nobody''s', '<a/>') $$, 'there is no domain nobody''s', 'a domain that isn''t there');

SELECT * FROM finish();
ROLLBACK;
