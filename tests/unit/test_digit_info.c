/* Digits in the bodies of INFO: what phones write, and what isn't a digit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "call/digit_info.h"

#define RELAY "application/dtmf-relay"
#define PLAIN "application/dtmf"

static char take(const char *type, const char *body, uint32_t *ms)
{
	static char text[1024];
	struct sip_msg m;
	struct sip_msg_error err;
	int n = snprintf(text, sizeof(text), "INFO sip:b@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\n"
			      "From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:b@127.0.0.1>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INFO\r\n"
			      "Max-Forwards: 70\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", type, strlen(body), body);

	assert_int_equal(sip_msg_parse(&m, text, (size_t)n, &err), 0);
	return digit_info_take(&m, ms);
}

static void test_digit_info_is_read_as_phones_write_it(void **state)
{
	static const struct { const char *type, *body; char digit; uint32_t ms; } rows[] = {
		{ RELAY, "Signal=5\r\nDuration=160\r\n", '5', 160 },
		{ RELAY, "Signal= 5\r\nDuration= 250", '5', 250 },
		{ RELAY, "signal=#\nduration=80\n", '#', 80 },
		{ RELAY, "Duration=2000\r\nSignal=*", '*', 2000 },
		{ RELAY, "Signal=10\r\n", '*', 100 },
		{ RELAY, "Signal=11\r\n", '#', 100 },
		{ RELAY, "Signal=12\r\n", 'A', 100 },
		{ RELAY, "Signal=d\r\nDuration=100000\r\n", 'D', 100 },
		{ RELAY ";charset=utf-8", "Signal=0\r\n", '0', 100 },
		{ "Application/DTMF-Relay", "Signal=0\r\n", '0', 100 },
		{ PLAIN, "7", '7', 100 },
		{ PLAIN, " 7\r\n", '7', 100 },
		{ PLAIN, "15", 'D', 100 },
		{ PLAIN, "16", '\0', 100 }, /* hook flash */
		{ PLAIN, "77", '\0', 100 },
		{ PLAIN, "E", '\0', 100 },
		{ PLAIN, "09", '\0', 100 },
		{ RELAY, "Signal=\r\nDuration=160\r\n", '\0', 160 },
		{ RELAY, "Duration=160\r\n", '\0', 160 },
		{ "text/plain", "Signal=5\r\n", '\0', 100 },
		{ "application/dtmf-events", "5", '\0', 100 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint32_t ms = 0;
		char digit = take(rows[i].type, rows[i].body, &ms);

		if (digit != rows[i].digit || ms != rows[i].ms)
			fail_msg("%s: %s: %d for %u", rows[i].type, rows[i].body, digit, ms);
	}
}

static void test_digit_info_reads_what_it_prints(void **state)
{
	(void)state;
	for (const char *d = "0123456789*#ABCD"; *d; d++)
		for (int is_plain = 0; is_plain < 2; is_plain++) {
			char body[64];
			struct out o;
			const char *type;
			uint32_t ms;

			out_init(&o, body, sizeof(body) - 1);
			type = digit_info_print(&o, *d, 320, is_plain);
			body[o.len] = '\0';
			assert_int_equal(take(type, body, &ms), *d);
			assert_int_equal(ms, is_plain ? DIGIT_INFO_MS : 320);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digit_info_is_read_as_phones_write_it),
		cmocka_unit_test(test_digit_info_reads_what_it_prints),
	};

	return cmocka_run_group_tests_name("digit_info", tests, NULL, NULL);
}
