/* test_stun.c - binding requests answered and broken ones dropped; vectors of RFC 5769. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "sip/stun.h"

/* RFC 5769 §2.1 */
static const unsigned char sample[] =
	"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\x80\x22\x00\x10STUN test client"
	"\x00\x24\x00\x04\x6e\x00\x01\xff\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09" "evtj:h6vY   "
	"\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\x80\x28\x00\x04\xe5\x7a\x3b\xcf";
#define SAMPLE_LEN (sizeof(sample) - 1)

static const char bare[] = "\x00\x01\x00\x00\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";

static union sockaddr_any from(const char *host, uint16_t port)
{
	union sockaddr_any a;

	assert_int_equal(sockaddr_parse(&a, str_from(host), port), 0);
	return a;
}

static void test_stun_answer_is_where_it_came_from(void **state)
{
	union sockaddr_any v4 = from("192.0.2.1", 32853), v6 = from("2001:db8:1234:5678:11:2233:4455:6677", 32853);
	char answer[STUN_ANSWER_MAX];

	(void)state;
	/* RFC 5769 §2.2, §2.3: the addresses there */
	assert_int_equal(stun_answer(bare, 20, &v4, answer), 32);
	assert_memory_equal(answer, "\x01\x01\x00\x0c", 4);
	assert_memory_equal(answer + 4, bare + 4, 16);
	assert_memory_equal(answer + 20, "\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43", 12);
	assert_int_equal(stun_answer(bare, 20, &v6, answer), 44);
	assert_memory_equal(answer + 20, "\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9", 24);
}

static void test_stun_answer_has_a_fingerprint_if_the_request_has(void **state)
{
	union sockaddr_any v4 = from("192.0.2.1", 32853);
	char answer[STUN_ANSWER_MAX], again[SAMPLE_LEN];

	(void)state;
	assert_int_equal(stun_answer((const char *)sample, SAMPLE_LEN, &v4, answer), 40);
	assert_memory_equal(answer + 32, "\x80\x28\x00\x04", 4);
	for (size_t i = 0; i < SAMPLE_LEN; i++) { /* whatever is changed before it */
		if (i == SAMPLE_LEN - 8 || i == SAMPLE_LEN - 7)
			continue; /* its own name */
		memcpy(again, sample, SAMPLE_LEN);
		again[i] ^= 1;
		assert_int_equal(stun_answer(again, SAMPLE_LEN, &v4, answer), 0);
	}
}

static void test_stun_unknown_attribute_gets_420(void **state)
{
	static const char request[] = "\x00\x01\x00\x08\x21\x12\xa4\x42" "abcdefghijkl" "\x00\x03\x00\x02\x00\x00\x00\x00"; /* CHANGE-REQUEST, RFC 3489 */
	union sockaddr_any v4 = from("192.0.2.1", 1);
	char answer[STUN_ANSWER_MAX];

	(void)state;
	assert_int_equal(stun_answer(request, 28, &v4, answer), 36);
	assert_memory_equal(answer, "\x01\x11\x00\x10", 4);
	assert_memory_equal(answer + 20, "\x00\x09\x00\x04\x00\x00\x04\x14\x00\x0a\x00\x02\x00\x03\x00\x00", 16);
}

static void test_stun_broken_requests_get_nothing(void **state)
{
	static const struct { const char *bytes; size_t n; } rows[] = {
		{ bare, 19 },
		{ "\x00\x01\x00\x04\x21\x12\xa4\x42" "abcdefghijkl", 20 },                         /* a length that isn't so */
		{ "\x00\x01\x00\x00\x21\x12\xa4\x43" "abcdefghijkl", 20 },                         /* RFC 3489's, without the cookie */
		{ "\x01\x01\x00\x00\x21\x12\xa4\x42" "abcdefghijkl", 20 },                         /* an answer */
		{ "\x00\x11\x00\x00\x21\x12\xa4\x42" "abcdefghijkl", 20 },                         /* an indication */
		{ "\x00\x03\x00\x00\x21\x12\xa4\x42" "abcdefghijkl", 20 },                         /* TURN's Allocate */
		{ "\x00\x01\x00\x02\x21\x12\xa4\x42" "abcdefghijkl" "\x80\x22", 22 },
		{ "\x00\x01\x00\x08\x21\x12\xa4\x42" "abcdefghijkl" "\x80\x22\x00\x05" "abcd", 28 }, /* an attribute beyond the end */
		{ "\x00\x01\x00\x08\x21\x12\xa4\x42" "abcdefghijkl" "\x80\x28\x00\x04" "abcd", 28 }, /* a wrong fingerprint */
	};
	union sockaddr_any v4 = from("192.0.2.1", 1);
	char answer[STUN_ANSWER_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(stun_answer(rows[i].bytes, rows[i].n, &v4, answer), 0);
	assert_false(stun_is("OPTIONS sip:a@example.com SIP/2.0", 33));
}

/* RFC 5769 §2.2, §2.3: the addresses of its answers, without what surrounds them */
static void test_stun_answers_are_read(void **state)
{
#define ID "\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
#define HEAD(type, len) "\x01" type "\x00" len "\x21\x12\xa4\x42" ID
#define V4 "\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43"
#define V6 "\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9"
#define ROW(s) s, sizeof(s) - 1
	static const struct { const char *bytes; size_t n; const char *id; int err; const char *host; } rows[] = {
		{ ROW(HEAD("\x01", "\x0c") V4), ID, 0, "192.0.2.1" },
		{ ROW(HEAD("\x01", "\x18") V6), ID, 0, "2001:db8:1234:5678:11:2233:4455:6677" },
		{ ROW(HEAD("\x01", "\x14") "\x80\x22\x00\x03" "abc " V4), ID, 0, "192.0.2.1" }, /* padded */
		{ ROW(HEAD("\x11", "\x08") "\x00\x09\x00\x04\x00\x00\x04\x14"), ID, 0, NULL },      /* an error answer, too, is one */
		{ ROW(HEAD("\x01", "\x00")), ID, 0, NULL },
		{ ROW(HEAD("\x01", "\x0c") V4), "\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xaf", -ENOENT, NULL },
		{ ROW(HEAD("\x02", "\x00")), ID, -ENOENT, NULL },
		{ ROW(HEAD("\x01", "\x0c") V6), ID, -EINVAL, NULL },
		{ ROW(HEAD("\x01", "\x08") "\x00\x20\x00\x08\x00\x01\xa1\x47"), ID, -EINVAL, NULL }, /* longer than the rest */
		{ ROW(HEAD("\x01", "\x02") "\x00\x20"), ID, -EINVAL, NULL },
		{ ROW(HEAD("\x01", "\x08") "\x00\x20\x00\x04\x00\x01\xa1\x47"), ID, 0, NULL },       /* too short for one */
	};
	union sockaddr_any got;
	char request[STUN_REQUEST_LEN], text[SOCKADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (stun_read_answer(rows[i].bytes, rows[i].n, rows[i].id, &got) != rows[i].err ||
		    (rows[i].host ? strcmp(sockaddr_print_host(&got, text), rows[i].host) || sockaddr_port(&got) != 32853 : got.sa.sa_family))
			fail_msg("row %zu", i);
		assert_true(stun_is_answer(rows[i].bytes, rows[i].n));
	}
	stun_request(ID, request);
	assert_memory_equal(request, bare, sizeof(request));
	assert_false(stun_is_answer(request, sizeof(request)));
	assert_false(stun_is_answer("\r\n", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stun_answer_is_where_it_came_from),
		cmocka_unit_test(test_stun_answer_has_a_fingerprint_if_the_request_has),
		cmocka_unit_test(test_stun_unknown_attribute_gets_420),
		cmocka_unit_test(test_stun_broken_requests_get_nothing),
		cmocka_unit_test(test_stun_answers_are_read),
	};

	return cmocka_run_group_tests_name("STUN", tests, NULL, NULL);
}
