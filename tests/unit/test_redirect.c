/* test_redirect.c - the Contacts of a 3xx in the order they are tried (RFC 3261 §8.1.3.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "call/redirect.h"

static struct sip_msg msg;

static const struct sip_msg *response(int status, const char *hdrs)
{
	static char text[4096];
	struct sip_msg_error err;
	int n = snprintf(text, sizeof(text), "SIP/2.0 %d Moved\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK1\r\nFrom: <sip:0@b>;tag=1\r\n"
			 "To: <sip:1@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n%sContent-Length: 0\r\n\r\n", status, hdrs);

	if (sip_msg_parse(&msg, text, (size_t)n, &err) != 0)
		fail_msg("%s: %s", hdrs, err.reason);
	return &msg;
}

static const char *describe(const struct redirects *r)
{
	static char buf[2048];
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned i = 0; r && i < r->n; i++)
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%s%s/%s/%u", i ? " " : "", r->to[i].number, r->to[i].reason, r->to[i].q_milli);
	return buf;
}

static void test_redirects_take_orders_by_q(void **state)
{
	static const struct { int status; const char *hdrs, *list; } rows[] = {
		{ 302, "", "" },
		{ 302, "Contact: <sip:1@b>\r\n", "1/deflection/1000" },
		{ 300, "Contact: <sip:1@b>;q=0.1, <sip:2@b>;q=0.5\r\nm: <sip:3@b>;q=0.5\r\n", "2/deflection/500 3/deflection/500 1/deflection/100" },
		{ 301, "Contact: sip:1@b;q=0.3, <tel:+49-30-1;phone-context=x>\r\n", "+49301/deflection/1000 1/deflection/300" },
		/* each once, where it stands first; another host is another way */
		{ 302, "Contact: <sip:1@b>;q=0.1, <sip:1@b>;q=1, <sip:2@b>;q=0.2\r\n", "2/deflection/200 1/deflection/100" },
		{ 302, "Contact: <sip:1@b?Replaces=x>;q=0.1, <sip:1@c>;q=1\r\n", "1/deflection/1000 1/deflection/100" },
		/* each its own reason (RFC 4458) */
		{ 302, "Contact: <sip:1@b;cause=486>;q=0.1, <sip:2@b;cause=408>\r\n", "2/no-answer/1000 1/user-busy/100" },
		{ 302, "Contact: <mailto:a@b>, <sip:b>, <sip:%00@b>, <, *\r\n", "" },
		{ 302, "Contact: <sip:1@b>,<sip:2@b>,<sip:3@b>,<sip:4@b>,<sip:5@b>,<sip:6@b>,<sip:7@b>,<sip:8@b>,<sip:9@b>;q=1\r\n",
		  "1/deflection/1000 2/deflection/1000 3/deflection/1000 4/deflection/1000 5/deflection/1000 6/deflection/1000 7/deflection/1000 "
		  "8/deflection/1000" },
		/* a proxy, and services that the body describes (§21.3.4, §21.3.5) */
		{ 305, "Contact: <sip:1@b>\r\n", "" }, { 380, "Contact: <sip:1@b>\r\n", "" }, { 486, "Contact: <sip:1@b>\r\n", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct redirects *r = redirects_take(response(rows[i].status, rows[i].hdrs));

		if (strcmp(describe(r), rows[i].list) != 0)
			fail_msg("row %zu: %s", i, describe(r));
		assert_true(!r == !rows[i].list[0]);
		for (unsigned k = 0; r && k < r->n; k++)
			assert_true(strchr(r->to[k].uri, '?') == NULL && r->to[k].uri[0]);
		free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_redirects_take_orders_by_q),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
