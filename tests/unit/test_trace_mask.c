/* What is taken out of messages before they are kept: keys and responses, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "call/trace_mask.h"

#define HEAD "INVITE sip:a@b SIP/2.0\r\n"

static const struct { const char *in, *out; } rows[] = {
	/* RFC 7616 §3.9.1 */
	{ HEAD "Authorization: Digest username=\"Mufasa\", response=\"8ca523f5e9506fed\", qop=auth\r\n\r\n",
	  HEAD "Authorization: Digest username=\"Mufasa\", response=\"xxxxxxxxxxxxxxxx\", qop=auth\r\n\r\n" },
	{ HEAD "PROXY-AUTHORIZATION : digest RESPONSE = \"8c\",uri=\"sip:b;response=1\"\r\n\r\n",
	  HEAD "PROXY-AUTHORIZATION : digest RESPONSE = \"xx\",uri=\"sip:b;response=1\"\r\n\r\n" },
	{ HEAD "Authorization: Digest realm=\"r\",\r\n\tresponse=8ca5,\r\n nonce=\"n\"\r\nVia: response=\"12\"\r\n\r\n",
	  HEAD "Authorization: Digest realm=\"r\",\r\n\tresponse=xxxx,\r\n nonce=\"n\"\r\nVia: response=\"12\"\r\n\r\n" },
	{ HEAD "Authorization: Digest response=\"12\nTo: x\n\n", HEAD "Authorization: Digest response=\"xx\nTo: x\n\n" },
	{ HEAD "Authorization: Digest response=\"12", HEAD "Authorization: Digest response=\"xx" },
	{ HEAD "Authorization: Basic YTpi\r\n\r\n", HEAD "Authorization: Basic xxxx\r\n\r\n" },
	{ HEAD "Authentication-Info: qop=auth, rspauth=\"6629\", cnonce=\"ab\"\r\n\r\n", HEAD "Authentication-Info: qop=auth, rspauth=\"xxxx\", cnonce=\"ab\"\r\n\r\n" },
	{ HEAD "Authorization-Events: response=\"12\"\r\nWWW-Authenticate: Digest nonce=\"12\"\r\n\r\n",
	  HEAD "Authorization-Events: response=\"12\"\r\nWWW-Authenticate: Digest nonce=\"12\"\r\n\r\n" },
	/* RFC 4568 §4.1, §9.1: two keys, with lifetime and MKI */
	{ HEAD "\r\nv=0\r\na=crypto:1 F8_128_HMAC_SHA1_80 inline:MTIz|2^20|1:4;inline:QUJj|2^20|2:4 FEC_ORDER=FEC_SRTP\r\na=rtpmap:0 PCMU/8000\r\n",
	  HEAD "\r\nv=0\r\na=crypto:1 F8_128_HMAC_SHA1_80 inline:xxxx|2^20|1:4;inline:xxxx|2^20|2:4 FEC_ORDER=FEC_SRTP\r\na=rtpmap:0 PCMU/8000\r\n" },
	{ HEAD "\n\na=CRYPTO:1 A INLINE:MTIz", HEAD "\n\na=CRYPTO:1 A INLINE:xxxx" },
	{ HEAD "\r\na=key-mgmt:mikey AQAFgM0X\r\nk=clear:geheim\r\nk=prompt\r\na=fingerprint:sha-256 AB\r\n",
	  HEAD "\r\na=key-mgmt:mikey xxxxxxxx\r\nk=clear:xxxxxx\r\nk=prompt\r\na=fingerprint:sha-256 AB\r\n" },
	{ HEAD "\r\nAuthorization: Digest response=\"12\"\r\n", HEAD "\r\nAuthorization: Digest response=\"12\"\r\n" }, /* the body of something */
	{ "", "" }, { "\r\n\r\n", "\r\n\r\n" }, { "Authorization", "Authorization" }, { "Authorization:", "Authorization:" }, { " ", " " },
};

static void test_trace_mask_hides_secrets_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = strlen(rows[i].in);
		char *p = malloc(n + 1); /* what reads or writes beyond it is found */

		assert_non_null(p);
		memcpy(p, rows[i].in, n);
		p[n] = '\0';
		trace_mask(p, n);
		assert_string_equal(p, rows[i].out);
		free(p);
	}
}

/* Cut anywhere, the same lengths, and nothing beyond. */
static void test_trace_mask_takes_what_is_cut_off(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t n = 0; n < strlen(rows[i].in); n++) {
			char *p = malloc(n ? n : 1);

			assert_non_null(p);
			memcpy(p, rows[i].in, n);
			trace_mask(p, n);
			free(p);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trace_mask_hides_secrets_alone),
		cmocka_unit_test(test_trace_mask_takes_what_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
