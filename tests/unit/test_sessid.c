/* test_sessid.c - Session-ID as RFC 7989 writes it, and as RFC 7329 did. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "sip/sessid.h"

#define A "ab30317f1a784dc48ff824d0d3715d86"
#define B "47755a9de7794ba387653f2099600ef2"

static void test_sessid_of_tells_both_ends(void **state)
{
	static const struct { const char *value, *sender, *receiver; } rows[] = {
		{ A ";remote=" B, A, B },                        /* RFC 7989 §5 */
		{ A ";remote=" SESSID_NIL, A, SESSID_NIL },      /* §6: the first INVITE */
		{ A, A, "" },                                    /* RFC 7329 §6 */
		{ A " ; logme ; REMOTE = " B, A, B },            /* RFC 8497 adds a parameter */
		{ "AB30317F1A784DC48FF824D0D3715D86;remote=" B, A, B },
		{ A ";remote=4775", A, "" },
		{ "ab30317f-1a78-4dc4-8ff8-24d0d3715d86", NULL, NULL },
		{ A "0;remote=" B, NULL, NULL },
		{ "gb30317f1a784dc48ff824d0d3715d86;remote=" B, NULL, NULL },
		{ "", NULL, NULL },
	};
	static struct sip_msg m;
	struct sip_msg_error err;
	char text[1024], sender[SESSID_LEN + 1], receiver[SESSID_LEN + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int n = snprintf(text, sizeof(text), "BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
				 "To: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 BYE\r\nSession-ID: %s\r\nContent-Length: 0\r\n\r\n", rows[i].value);

		assert_int_equal(sip_msg_parse(&m, text, (size_t)n, &err), 0);
		assert_int_equal(sessid_of(&m, sender, receiver), rows[i].sender != NULL);
		if (!rows[i].sender)
			continue;
		assert_string_equal(sender, rows[i].sender);
		assert_string_equal(receiver, rows[i].receiver);
	}
}

static void test_sessid_print_is_the_line(void **state)
{
	char buf[SESSID_LINE_MAX + 1];
	struct out o;

	(void)state;
	out_init(&o, buf, sizeof(buf));
	sessid_print(&o, A, B);
	assert_true(out_ok(&o));
	assert_true(o.len <= SESSID_LINE_MAX);
	assert_true(str_eqz(out_view(&o), "Session-ID: " A ";remote=" B "\r\n"));
}

static void test_sessid_make_is_a_random_uuid(void **state)
{
	char one[SESSID_LEN + 1], two[SESSID_LEN + 1];
	struct rng rng;

	(void)state;
	rng_init_fixed(&rng, 7);
	sessid_make(&rng, one);
	sessid_make(&rng, two);
	assert_int_equal(strspn(one, "0123456789abcdef"), SESSID_LEN);
	assert_int_equal(strlen(one), SESSID_LEN);
	assert_int_equal(one[12], '4');           /* RFC 9562 §5.4 */
	assert_non_null(strchr("89ab", one[16]));
	assert_string_not_equal(one, two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sessid_of_tells_both_ends),
		cmocka_unit_test(test_sessid_print_is_the_line),
		cmocka_unit_test(test_sessid_make_is_a_random_uuid),
	};

	return cmocka_run_group_tests_name("sessid", tests, NULL, NULL);
}
