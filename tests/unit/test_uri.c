/* test_uri.c - URIs: RFC 3261 §19.1.4's examples of equality, parts, escapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <errno.h>

#include "sip/uri.h"

static void test_uri_equality_19_1_4(void **state)
{
	static const struct { const char *a, *b; bool equal; } rows[] = {
		{ "sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true },
		{ "sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true },
		{ "sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true },
		{ "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
		  "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true },
		{ "sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true },
		{ "SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false },
		{ "sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false },
		{ "sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false },
		{ "sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false },
		{ "sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false },
		{ "sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false },
		{ "sip:carol@chicago.com;p=5;p=6", "sip:carol@chicago.com;p=5;p=6", true }, /* §19.1.1 forbids it; found by fuzzing */
		{ "x:opaque", "x:opaque", true },
		{ "x:opaque", "x:Opaque", false },
		{ "sip:a@x", "sips:a@x", false },
		/* the examples that two others of the section are said not to be equal to */
		{ "sip:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false },
		{ "sip:bob@biloxi.com;transport=udp", "sip:bob@biloxi.com:6000;transport=tcp", false },
		{ "sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false },
		/* not transitive: both are like the one without */
		{ "sip:carol@chicago.com;security=on", "sip:carol@chicago.com", true },
		{ "sip:carol@chicago.com;security=off", "sip:carol@chicago.com", true },
		/* rules without an example */
		{ "sip:bob@biloxi.com", "sip:bob:pw@biloxi.com", false },
		{ "sip:bob:pw@biloxi.com", "sip:bob:PW@biloxi.com", false },
		{ "sip:biloxi.com", "sip:bob@biloxi.com", false },
		{ "sip:bob@biloxi.com;user=phone", "sip:bob@biloxi.com", false },
		{ "sip:bob@biloxi.com;ttl=1", "sip:bob@biloxi.com", false },
		{ "sip:bob@biloxi.com;method=INVITE", "sip:bob@biloxi.com", false },
		{ "sip:bob@biloxi.com;maddr=192.0.2.1", "sip:bob@biloxi.com", false },
		{ "sip:bob@biloxi.com;lr", "sip:bob@biloxi.com", true },
		{ "sip:bob@biloxi.com;a=1;b=2", "sip:bob@biloxi.com;b=2;a=1", true },
		{ "sip:bob@biloxi.com;%61=1", "sip:bob@biloxi.com;a=2", false },
		/* escapes of what needn't be escaped; and of what is reserved */
		{ "sip:b%6Fb%2D1@biloxi.com", "sip:bob-1@biloxi.com", true },
		{ "sip:b%6fb@biloxi.com", "sip:b%6Fb@biloxi.com", true },
		{ "sip:bob%3Bx@biloxi.com", "sip:bob;x@biloxi.com", false },
		{ "sip:%2B123@biloxi.com", "sip:+123@biloxi.com", false },
		{ "sip:bob%3Bx@biloxi.com", "sip:bob%3bx@biloxi.com", true },
		/* RFC 5954 §4.2 */
		{ "sip:bob@[2001:db8::9:1]", "sip:bob@[2001:DB8::9:01]", true },
		{ "sip:bob@[2001:db8::9:1]", "sip:bob@[2001:0DB8:0::9:1]", true },
		{ "sip:bob@[2001:db8::9:1]", "sip:bob@[2001:db8::9:2]", false },
		{ "sip:bob@[2001:db8::9:1]", "sip:bob@2001", false },
		/* RFC 3261 §19.1.6: the same telephone number, but these are SIP URIs */
		{ "sip:+358-555-1234567;postd=pp22@foo.com;user=phone", "sip:+358-555-1234567;POSTD=PP22@foo.com;user=phone", false },
		{ "sip:+358-555-1234567;postd=pp22;isub=1411@foo.com;user=phone", "sip:+358-555-1234567;isub=1411;postd=pp22@foo.com;user=phone",
		  false },
		/* RFC 3966 §4 */
		{ "tel:+1-201-555-0123", "tel:+12015550123", true },
		{ "tel:+358-555-1234567;postd=pp22", "tel:+358-555-1234567;POSTD=PP22", true },
		{ "tel:+358-555-1234567;ext=1-2;isub=1411", "TEL:+3585551234567;isub=1411;ext=12", true },
		{ "tel:+358-555-1234567;ext=12", "tel:+358-555-1234567", false },
		{ "tel:7042;phone-context=example.com", "tel:7042;phone-context=EXAMPLE.com", true },
		{ "tel:7042;phone-context=example.com", "tel:7042;phone-context=example.org", false },
		{ "tel:863-1234;phone-context=+1-914-555", "tel:8631234;phone-context=+1914555", true },
		{ "tel:+7042", "tel:7042;phone-context=+1", false },
		{ "tel:7042;phone-context=a.example", "tel:7042;phone-context=b-example", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sip_uri a, b;

		assert_int_equal(sip_uri_parse(&a, str_from(rows[i].a)), 0);
		assert_int_equal(sip_uri_parse(&b, str_from(rows[i].b)), 0);
		assert_int_equal(sip_uri_eq(&a, &b), rows[i].equal);
		assert_int_equal(sip_uri_eq(&b, &a), rows[i].equal);
	}
}

static void test_uri_parts(void **state)
{
	static const struct { const char *text, *user, *host; uint16_t port; const char *params; } rows[] = {
		{ "sip:1001@192.0.2.1:5070;transport=tcp", "1001", "192.0.2.1", 5070, "transport=tcp" },
		{ "sip:[2001:db8::1]", "", "[2001:db8::1]", 0, "" },
		{ "sip:user;par=u%40example.net@example.com", "user;par=u%40example.net", "example.com", 0, "" }, /* RFC 4475 3.1.1.3 */
		{ "sips:a:pw@[::1]:5061;lr?h=v", "a", "[::1]", 5061, "lr" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sip_uri u;

		assert_int_equal(sip_uri_parse(&u, str_from(rows[i].text)), 0);
		assert_true(str_eqz(u.user, rows[i].user));
		assert_true(str_eqz(u.host, rows[i].host));
		assert_int_equal(u.port, rows[i].port);
		assert_true(str_eqz(u.params, rows[i].params));
	}
}

static void test_uri_refuses(void **state)
{
	static const char *const rows[] = {
		"", "sip", "sip:", ":a@b", "sip:a@", "sip:@b", "sip:a@b:0", "sip:a@b:99999", "sip:a@b:5060x", "sip:a b@c", "sip:a%4@b",
		"sip:a%zz@b", "sip:[::1", "sip:a@b<c>", "1sip:a@b", "tel:", "tel:hello world", "sip:a@b@c",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sip_uri u;

		assert_int_equal(sip_uri_parse(&u, str_from(rows[i])), -EINVAL);
	}
}

/* Found by fuzzing: a NUL passed as one of the scheme's marks. */
static void test_uri_refuses_nul(void **state)
{
	static const struct str rows[] = {
		{ "s\0:v", 4 }, { "sip:a\0@b", 8 }, { "sip:a@b\0", 8 }, { "sip:a@b;x=\0", 11 }, { "sip:a@b?x=\0", 11 }, { "tel:1\0", 6 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sip_uri u;

		assert_int_equal(sip_uri_parse(&u, rows[i]), -EINVAL);
	}
}

/* RFC 3261 §25.1, each character in each part: unreserved and what is named, and UTF-8, which phones put there. */
static void test_uri_takes_the_characters_of_its_parts(void **state)
{
	static const char alnum[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", mark[] = "-_.!~*'()";
	static const struct { const char *before, *behind, *more; bool has_marks; } rows[] = {
		{ "sip:a", "b@h", "&=+$,;?/:[]#", true },  /* ':' ends the user, "b" is the password then; brackets and '#': seen */
		{ "sip:a:b", "c@h", "&=+$,", true },
		{ "sip:a@h;x=a", "b", "[]/:&+$;=@,\"?", true },  /* '?' ends them */
		{ "sip:a@h?x=a", "b", "[]/?:+$&=@,;\"", true },
		{ "sip:a@h", "b", "-._;?", false },        /* ';' and '?' end it */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int c = 0; c < 256; c++) {
			char text[64];
			int n = snprintf(text, sizeof(text), "%s%c%s", rows[i].before, c, rows[i].behind);
			bool fits = c && (strchr(alnum, c) || strchr(rows[i].more, c) || (rows[i].has_marks && (strchr(mark, c) || c > 127)));
			struct sip_uri u;
			int err = sip_uri_parse(&u, (struct str){ text, (size_t)n });

			if (c == '@' && i < 3) /* a second one: a rule of its own */
				continue;
			if ((err == 0) != fits)
				fail_msg("%s[%d]%s: %d", rows[i].before, c, rows[i].behind, err);
		}
}

/* Without its headers a URI that was taken is one, too: it is what a request goes to. */
static void test_uri_second_at_is_refused_with_headers_and_without(void **state)
{
	static const char *const texts[] = { "sip:a@h;x=b@c", "sip:a@h;x=b@c?d=e", "sip:a@h;x=b@c?d=e@f", "sip:a@b@c", "sip:a@b@c?d=e" };
	struct sip_uri u;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_int_equal(sip_uri_parse(&u, str_from(texts[i])), -EINVAL);
	assert_int_equal(sip_uri_parse(&u, STR("sip:a@h;x=b?d=e@f")), 0);
}

static void test_uri_escapes(void **state)
{
	char buf[32];
	struct out o;

	(void)state;
	assert_int_equal(sip_unescape(STR("%2a97%23"), buf, sizeof(buf)), 0);
	assert_string_equal(buf, "*97#");
	assert_int_equal(sip_unescape(STR("a%00b"), buf, sizeof(buf)), -EINVAL);
	assert_string_equal(buf, "");
	assert_int_equal(sip_unescape(STR("a%4"), buf, sizeof(buf)), -EINVAL);
	assert_string_equal(buf, "");
	assert_int_equal(sip_unescape(STR("abcd"), buf, 4), -ENOSPC);
	out_init(&o, buf, sizeof(buf));
	sip_escape_user(&o, STR("*97# a@b"));
	assert_true(str_eqz(out_view(&o), "*97%23%20a%40b"));
}

static void test_uri_number_is_without_what_helps_the_eye(void **state)
{
	static const struct { const char *uri, *number; int err; } rows[] = {
		{ "sip:101@x", "101", 0 },
		{ "sip:%31%2b01@x", "1+01", 0 },
		{ "sip:sales-team.(eu)@x", "sales-team.(eu)", 0 },              /* a name, not a number */
		{ "tel:+1-201-555-0123", "+12015550123", 0 },                   /* RFC 3966 §6 */
		{ "tel:7042;phone-context=example.com", "7042", 0 },
		{ "tel:+1.201.(555).0123", "+12015550123", 0 },
		{ "sip:+1-212-555-1212:1234@gateway.com;user=phone", "+12125551212", 0 }, /* RFC 3261 §19.1.3 */
		{ "sip:+358-555-1234567;postd=pp22@foo.com;user=phone", "+3585551234567", 0 }, /* §19.1.6 */
		{ "sip:a-b@x;user=ip", "a-b", 0 },
		{ "sip:x", "", 0 },
		{ "sip:a%00@x", "", -EINVAL },
		{ "sip:a%zz@x", "", -EINVAL },
		{ "mailto:a@x", "", -EINVAL },
		{ "sip:012345678901234567890123456789012345678901234567@x", "", -ENOSPC },
	};
	struct sip_uri uri;
	char buf[48];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (sip_uri_parse(&uri, str_from(rows[i].uri)) != 0) {
			assert_int_equal(rows[i].err, -EINVAL);
			continue;
		}
		if (sip_uri_number(&uri, buf, sizeof(buf)) != rows[i].err)
			fail_msg("%s", rows[i].uri);
		if (!rows[i].err)
			assert_string_equal(buf, rows[i].number);
	}
}

static void test_uri_params(void **state)
{
	struct str v;

	(void)state;
	assert_true(sip_param_find(STR("a=1; B =\"x;y\" ;flag"), "b", &v));
	assert_true(str_eqz(v, "\"x;y\""));
	assert_true(sip_param_find(STR("a=1;b;flag"), "FLAG", &v));
	assert_null(v.p);
	assert_false(sip_param_find(STR("a=1"), "x", &v));
}

/* Two that differ in their order, with so many parameters. */
static bool is_any_order_equal(unsigned nparams, char sep)
{
	char text[2][2048];
	struct sip_uri uris[2];

	for (unsigned i = 0; i < 2; i++) {
		struct out o;

		out_init(&o, text[i], sizeof(text[i]));
		out_fmt(&o, "sip:a@b%s", sep == '&' ? "?h=1" : "");
		for (unsigned k = 0; k < nparams; k++)
			out_fmt(&o, "%cp%u=1", sep, i ? nparams - k : k + 1);
		assert_true(out_ok(&o));
		assert_int_equal(sip_uri_parse(&uris[i], out_view(&o)), 0);
	}
	assert_true(sip_uri_eq(&uris[0], &uris[0]));
	return sip_uri_eq(&uris[0], &uris[1]);
}

/* Comparing takes the square of their number, which a REGISTER has room for 30,000 of. */
static void test_uri_with_many_params_equals_itself_alone(void **state)
{
	(void)state;
	assert_true(is_any_order_equal(32, ';'));
	assert_false(is_any_order_equal(33, ';'));
	assert_true(is_any_order_equal(31, '&'));
	assert_false(is_any_order_equal(32, '&'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uri_equality_19_1_4), cmocka_unit_test(test_uri_parts), cmocka_unit_test(test_uri_refuses),
		cmocka_unit_test(test_uri_refuses_nul),
		cmocka_unit_test(test_uri_number_is_without_what_helps_the_eye),
		cmocka_unit_test(test_uri_with_many_params_equals_itself_alone),
		cmocka_unit_test(test_uri_takes_the_characters_of_its_parts),
		cmocka_unit_test(test_uri_second_at_is_refused_with_headers_and_without), cmocka_unit_test(test_uri_escapes),	    cmocka_unit_test(test_uri_params),
	};

	return cmocka_run_group_tests_name("uri", tests, NULL, NULL);
}
