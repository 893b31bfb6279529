-- Tenants, contexts, the number space.
BEGIN;
SELECT plan(33);

SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm) VALUES ('Büro', 'x') $$, '%domain_is_a_lower_case_host_name%', 'a domain is a host name');
SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm) VALUES ('a', 'with "quotes"') $$, '%realm_is_printable_without_quotes%', 'a realm can be quoted in a header');
SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm, timezone) VALUES ('a', 'x', 'Mars/Olympus') $$, '%timezone_is_known%', 'a time zone exists');
SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm, timezone) VALUES ('a', 'x', 'FOO3') $$, '%timezone_is_known%', 'a POSIX rule is no time zone');
SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm, language) VALUES ('a', 'x', '../etc') $$, '%language_is_a_tag%', 'a language is a tag');
SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm, algorithms) VALUES ('a', 'x', '{SHA-512}') $$, '%algorithms_are_known%', 'algorithms are known ones');
SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm, algorithms) VALUES ('a', 'x', '{}') $$, '%algorithms_are_known%', 'one algorithm is the least');
SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm, algorithms) VALUES ('a', 'x', '{MD5,MD5}') $$, '%algorithms_are_known%', 'no algorithm twice');
SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm, is_default) VALUES ('a', 'x', true) $$, '%only_one_domain_is_default%', 'one default domain');
SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm) VALUES ('a', 'x') $$, '%default_context_exists%', 'its default context exists at COMMIT');
SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm) VALUES ('a', 'x'); INSERT INTO pbx.context VALUES ('a', 'office') $$,
	'%music_class_exists%', 'its music class exists at COMMIT');
SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm, qop) VALUES ('a', 'x', '{auth,int}') $$, '%qop_is_known%', 'qop is a known one');
SELECT t.refused($$ INSERT INTO pbx.domain (domain, realm, qop) VALUES ('a', 'x', '{}') $$, '%qop_is_known%', 'one qop is the least');
SELECT t.accepted($$ INSERT INTO pbx.domain (domain, realm, algorithms, qop) VALUES ('c', 'x', '{SHA-512-256,SHA-256,MD5}', '{auth,auth-int}');
	INSERT INTO pbx.context VALUES ('c', 'office'); INSERT INTO pbx.music_class VALUES ('c', 'default') $$, 'all that digest has');
SELECT t.accepted($$ INSERT INTO pbx.domain (domain, realm, timezone, algorithms) VALUES ('a', 'x', 'Europe/Vienna', '{SHA-256,MD5}');
	INSERT INTO pbx.context VALUES ('a', 'office'); INSERT INTO pbx.music_class VALUES ('a', 'default') $$, 'a domain with what it refers to');
SELECT t.refused($$ UPDATE pbx.domain SET realm = 'other' WHERE domain = 'office' $$, 'domain office: its realm stays "cordboard"', 'a realm stays');
SELECT t.refused($$ UPDATE pbx.domain SET domain = 'other' WHERE domain = 'office' $$, 'domain office: a domain is not renamed', 'a domain is not renamed');
SELECT t.accepted($$ UPDATE pbx.domain SET realm = realm, timezone = 'UTC' $$, 'what else a domain has may change');
SELECT t.refused($$ INSERT INTO pbx.setting VALUES ('office', 'Bad Name', 'x') $$, '%setting_name_check%', 'a setting has a plain name');

-- contexts
SELECT t.refused($$ INSERT INTO pbx.context VALUES ('office', 'a/b') $$, '%context_is_a_short_name%', 'a slash would break keys of changes');
SELECT t.refused($$ INSERT INTO pbx.context_include VALUES ('office', 'lobby', 1, 'lobby') $$, '%context_does_not_include_itself%', 'no context includes itself');
SELECT t.refused($$ INSERT INTO pbx.context_include VALUES ('office', 'lobby', 1, 'nowhere') $$, '%included_context_exists%', 'an included context exists');
SELECT t.refused($$ INSERT INTO pbx.context_include VALUES ('office', 'office', 2, 'lobby') $$, '%included_once%', 'included once');
SELECT t.refused($$ INSERT INTO pbx.context_include VALUES ('office', 'lobby', 1, 'office') $$,
	'context office/lobby: it can''t include office, which itself includes lobby', 'contexts don''t include each other');
SELECT t.refused($$ INSERT INTO pbx.context VALUES ('office', 'x'), ('office', 'y');
	INSERT INTO pbx.context_include VALUES ('office', 'lobby', 1, 'x'), ('office', 'x', 1, 'y'), ('office', 'y', 1, 'office') $$,
	'context office/%: it can''t include %', 'nor in a longer circle');
SELECT t.accepted($$ INSERT INTO pbx.context_include VALUES ('office', 'lobby', 1, 'office'); DELETE FROM pbx.context_include WHERE context = 'lobby' $$,
	'a circle that is gone at COMMIT does no harm');
SELECT t.refused($$ DELETE FROM pbx.context WHERE context = 'lobby' $$, '%context_exists%extension%', 'a context in use stays');

-- numbers
SELECT t.refused($$ INSERT INTO pbx.extension (domain, number) VALUES ('office', '400') $$, 'extension office/400: the number is taken by a menu', 'one number space');
SELECT t.refused($$ UPDATE pbx.ring_group SET number = '1001' WHERE number = '410' $$, 'ring_group office/1001: the number is taken by an extension', 'when renumbering too');
SELECT t.refused($$ INSERT INTO pbx.extension (domain, number) VALUES ('office', '1 1') $$, '%number_can_be_dialled%', 'a number can be dialled');
SELECT t.refused($$ INSERT INTO pbx.number VALUES ('office', '5', 'menu') $$, 'pbx.number is kept by %', 'numbers are not made by hand');
SELECT t.accepted($$ UPDATE pbx.extension SET number = '1011' WHERE number = '1009' $$, 'an extension can be renumbered');
SELECT results_eq($$ SELECT number FROM pbx.number WHERE number IN ('1009', '1011') UNION ALL SELECT number FROM pbx.mailbox WHERE number IN ('1009', '1011') $$,
	ARRAY['1011', '1011'], 'its number and mailbox go with it');

SELECT * FROM finish();
ROLLBACK;
