/* test_sdp.c - session descriptions read as RFC 8866 and RFC 3264 have them, and as phones really write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sdp/sdp.h"

#define HEAD "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"

static struct sdp *must_parse(const char *text)
{
	struct sdp *s = NULL;

	assert_int_equal(sdp_parse(&s, str_from(text)), 0);
	return s;
}

/* RFC 8866 §5, the example. */
static void test_sdp_parse_rfc8866_example(void **state)
{
	struct sdp *s = must_parse("v=0\r\n"
				   "o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\n"
				   "s=Call to John Smith\r\n"
				   "i=SDP Offer #1\r\n"
				   "u=http://www.jdoe.example.com/home.html\r\n"
				   "e=Jane Doe <jane@jdoe.example.com>\r\n"
				   "p=+1 617 555-6011\r\n"
				   "c=IN IP4 198.51.100.1\r\n"
				   "t=0 0\r\n"
				   "m=audio 49170 RTP/AVP 0\r\n"
				   "m=audio 49180 RTP/AVP 0\r\n"
				   "m=video 51372 RTP/AVP 99\r\n"
				   "c=IN IP6 2001:db8::2\r\n"
				   "a=rtpmap:99 h263-1998/90000\r\n");

	(void)state;
	assert_true(str_eqz(s->origin_user, "jdoe"));
	assert_true(str_eqz(s->origin_id, "3724394400"));
	assert_true(str_eqz(s->origin_version, "3724394405"));
	assert_true(str_eqz(s->origin_addr, "198.51.100.1"));
	assert_true(str_eqz(s->name, "Call to John Smith"));
	assert_true(str_eqz(s->timing, "0 0"));
	assert_int_equal(s->nmedia, 3);
	assert_int_equal(s->media[0].port, 49170);
	assert_int_equal(s->media[0].rtcp_port, 49171);
	assert_true(str_eqz(s->media[1].addr, "198.51.100.1"));
	assert_false(s->media[1].addr_is_ip6);
	assert_true(str_eqz(s->media[2].addr, "2001:db8::2"));
	assert_true(s->media[2].addr_is_ip6);
	assert_int_equal(s->media[2].formats[0].pt, 99);
	assert_true(str_eqz(s->media[2].formats[0].name, "h263-1998"));
	assert_int_equal(s->media[2].formats[0].clock_hz, 90000);
	free(s);
}

static void test_sdp_parse_refuses_and_takes(void **state)
{
	static const struct { const char *text; int err; unsigned nmedia; } rows[] = {
		{ HEAD "m=audio 1000 RTP/AVP 0\r\n", 0, 1 },
		{ HEAD, 0, 0 }, /* RFC 3264 §5: zero media streams */
		/* Lenient: LF alone, no final line end, empty lines behind, no s= or t=, unknown types. */
		{ "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 1000 RTP/AVP 0", 0, 1 },
		{ HEAD "m=audio 1000 RTP/AVP 0\r\n\r\n\r\n", 0, 1 },
		{ "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 1000 RTP/AVP 0\r\n", 0, 1 },
		{ HEAD "x=what\r\nm=audio 1000 RTP/AVP 0\r\n", 0, 1 },
		{ HEAD "m=audio 1000  RTP/AVP  0 8 \r\n", 0, 1 },
		{ HEAD "m=audio 1000/2 RTP/AVP 0\r\n", 0, 1 },
		{ HEAD "m=audio 65535 RTP/AVP 0\r\n", 0, 1 },
		{ "", -EINVAL, 0 },
		{ "v=1\r\n", -EINVAL, 0 },
		{ "o=- 1 1 IN IP4 192.0.2.1\r\nv=0\r\n", -EINVAL, 0 }, /* v= is first */
		{ "v=0\r\ns=-\r\nt=0 0\r\n", -EINVAL, 0 },             /* o= is the session's name */
		{ "v=0\r\no=- 1 1 IN IP4\r\n", -EINVAL, 0 },
		{ HEAD "nonsense\r\n", -EINVAL, 0 },
		{ HEAD "m\r\n", -EINVAL, 0 },
		{ HEAD "a=x\ry\r\n", -EINVAL, 0 },
		{ HEAD "m=audio\r\n", -EINVAL, 0 },
		{ HEAD "m=audio 1000\r\n", -EINVAL, 0 },
		{ HEAD "m=audio 1000 RTP/AVP\r\n", -EINVAL, 0 },
		{ HEAD "m=audio 65536 RTP/AVP 0\r\n", -EINVAL, 0 },
		{ HEAD "m=audio -1 RTP/AVP 0\r\n", -EINVAL, 0 },
		{ HEAD "m=audio x RTP/AVP 0\r\n", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sdp *s = NULL;
		int err = sdp_parse(&s, str_from(rows[i].text));
		if (err != rows[i].err || (!err && s->nmedia != rows[i].nmedia))
			fail_msg("row %zu: %d", i, err);
		free(s);
	}
}

static void test_sdp_parse_refuses_nul(void **state)
{
	static const char text[] = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\na=x\0y\r\n";
	struct sdp *s = NULL;

	(void)state;
	assert_int_equal(sdp_parse(&s, STR(text)), -EINVAL);
	assert_null(s);
}

/* Parses text of a buffer of just its size, so that a sanitizer sees a byte too far, in it or in the block of what was parsed. */
static int parse_exactly(struct sdp **out, const char *text)
{
	size_t n = strlen(text);
	char *copy = malloc(n);
	int err;

	assert_non_null(copy);
	memcpy(copy, text, n);
	err = sdp_parse(out, (struct str){ copy, n });
	free(copy);
	return err;
}

static void test_sdp_parse_limits(void **state)
{
	static char text[65536];
	struct sdp *s;
	int n;

	(void)state;
	for (unsigned media = SDP_MEDIA_MAX; media <= SDP_MEDIA_MAX + 1; media++) {
		n = snprintf(text, sizeof(text), HEAD);
		for (unsigned i = 0; i < media; i++)
			n += snprintf(text + n, sizeof(text) - (size_t)n, "m=audio 1000 RTP/AVP 0\r\n");
		s = NULL;
		assert_int_equal(parse_exactly(&s, text), media == SDP_MEDIA_MAX ? 0 : -E2BIG);
		assert_true(!s || s->media[SDP_MEDIA_MAX - 1].formats[0].pt == 0);
		free(s);
	}
	for (unsigned formats = SDP_FORMAT_MAX; formats <= SDP_FORMAT_MAX + 1; formats++) {
		n = snprintf(text, sizeof(text), HEAD "m=audio  1000\t RTP/AVP");
		for (unsigned i = 0; i < formats; i++)
			n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%u", i % 2 ? " " : " \t ", i);
		s = NULL;
		assert_int_equal(parse_exactly(&s, text), formats == SDP_FORMAT_MAX ? 0 : -E2BIG);
		assert_true(!s || s->media[0].formats[SDP_FORMAT_MAX - 1].pt == SDP_FORMAT_MAX - 1);
		free(s);
	}
	/* Attributes past the limit aren't kept, but understood; in the session's part and in each of all sections. */
	n = snprintf(text, sizeof(text), HEAD);
	for (unsigned m = 0; m <= SDP_MEDIA_MAX; m++) {
		if (m)
			n += snprintf(text + n, sizeof(text) - (size_t)n, "m=audio 1000 RTP/AVP 96\r\n");
		for (unsigned i = 0; i < SDP_ATTR_MAX; i++)
			n += snprintf(text + n, sizeof(text) - (size_t)n, "a=x%u\r\n", i);
		n += snprintf(text + n, sizeof(text) - (size_t)n, "a=rtpmap:96 opus/48000/2\r\na=sendonly\r\n");
	}
	s = NULL;
	assert_int_equal(parse_exactly(&s, text), 0);
	assert_int_equal(s->nattrs, SDP_ATTR_MAX);
	for (unsigned m = 0; m < SDP_MEDIA_MAX; m++) {
		assert_int_equal(s->media[m].nattrs, SDP_ATTR_MAX);
		assert_true(str_eqz(s->media[m].attrs[SDP_ATTR_MAX - 1].name, "x95"));
		assert_int_equal(s->media[m].dir, SDP_SENDONLY);
		assert_true(str_eqz(s->media[m].formats[0].name, "opus"));
	}
	free(s);
}

static void test_sdp_parse_names_formats(void **state)
{
	static const struct { const char *lines, *name; int pt; uint32_t clock_hz, channels; const char *fmtp; } rows[] = {
		/* RFC 3551 table 4: static types without rtpmap; G722's clock is 8000 though it samples at 16000 (§4.5.2) */
		{ "m=audio 1 RTP/AVP 0\r\n", "PCMU", 0, 8000, 1, "" },
		{ "m=audio 1 RTP/AVP 8\r\n", "PCMA", 8, 8000, 1, "" },
		{ "m=audio 1 RTP/AVP 9\r\n", "G722", 9, 8000, 1, "" },
		{ "m=audio 1 RTP/AVP 10\r\n", "L16", 10, 44100, 2, "" },
		{ "m=audio 1 RTP/SAVPF 18\r\n", "G729", 18, 8000, 1, "" },
		{ "m=video 1 RTP/AVP 34\r\n", "H263", 34, 90000, 1, "" },
		{ "m=audio 1 RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10; useinbandfec=1\r\n", "opus", 111, 48000,
		  2, "minptime=10; useinbandfec=1" },
		{ "m=audio 1 RTP/AVP 101\r\na=fmtp:101 0-15\r\na=rtpmap:101 telephone-event/8000\r\n", "telephone-event", 101, 8000, 1,
		  "0-15" },
		{ "m=audio 1 RTP/AVP 97\r\na=rtpmap:97 iLBC/8000/1\r\n", "iLBC", 97, 8000, 1, "" },
		/* Unknown or broken: no name, so nothing will match it */
		{ "m=audio 1 RTP/AVP 97\r\n", "", 97, 0, 1, "" },
		{ "m=audio 1 RTP/AVP 97\r\na=rtpmap:97 iLBC\r\n", "", 97, 0, 1, "" },
		{ "m=audio 1 RTP/AVP 97\r\na=rtpmap:97 iLBC/x\r\n", "", 97, 0, 1, "" },
		{ "m=audio 1 RTP/AVP 97\r\na=rtpmap:98 iLBC/8000\r\n", "", 97, 0, 1, "" },
		{ "m=audio 1 RTP/AVP 97\r\na=rtpmap\r\na=fmtp\r\na=rtpmap:\r\n", "", 97, 0, 1, "" },
		{ "m=audio 1 RTP/AVP 128\r\n", "", -1, 0, 1, "" },
		/* RFC 3362: formats that are no payload types */
		{ "m=image 1 udptl t38\r\n", "", -1, 0, 1, "" },
		{ "m=x 1 udp 0\r\n", "", 0, 0, 1, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[512];
		struct sdp *s;
		const struct sdp_format *f;

		snprintf(text, sizeof(text), HEAD "%s", rows[i].lines);
		s = must_parse(text);
		f = &s->media[0].formats[0];
		if (!str_eqz(f->name, rows[i].name) || f->pt != rows[i].pt || f->clock_hz != rows[i].clock_hz ||
		    f->channels != rows[i].channels || !str_eqz(f->fmtp, rows[i].fmtp))
			fail_msg("row %zu: %.*s", i, STR_ARG(f->name));
		free(s);
	}
}

static void test_sdp_parse_media_lines(void **state)
{
	static const struct {
		const char *session, *media;
		enum sdp_dir dir;
		uint16_t rtcp_port;
		bool mux;
		uint32_t ptime, maxptime;
	} rows[] = {
		{ "", "", SDP_SENDRECV, 1001, false, 0, 0 },
		{ "a=sendonly\r\n", "", SDP_SENDONLY, 1001, false, 0, 0 }, /* RFC 8866 §6.7: default for all */
		{ "a=sendonly\r\n", "a=recvonly\r\n", SDP_RECVONLY, 1001, false, 0, 0 },
		{ "", "a=inactive\r\na=ptime:30\r\na=maxptime:60\r\n", SDP_INACTIVE, 1001, false, 30, 60 },
		{ "", "a=rtcp:53020\r\n", SDP_SENDRECV, 53020, false, 0, 0 }, /* RFC 3605 §2.1 */
		{ "", "a=rtcp:53020 IN IP6 2001:2345:6789:ABCD:EF01:2345:6789:ABCD\r\n", SDP_SENDRECV, 53020, false, 0, 0 },
		{ "", "a=rtcp:nonsense\r\na=ptime:\r\n", SDP_SENDRECV, 1001, false, 0, 0 },
		{ "", "a=rtcp-mux\r\na=ptime:20.5\r\n", SDP_SENDRECV, 1001, true, 20, 0 },
		{ "", "a=ptime:99999999999999999999\r\n", SDP_SENDRECV, 1001, false, 1000, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[512];
		struct sdp *s;
		const struct sdp_media *m;

		snprintf(text, sizeof(text), HEAD "%sm=audio 1000 RTP/AVP 0\r\n%s", rows[i].session, rows[i].media);
		s = must_parse(text);
		m = &s->media[0];
		if (m->dir != rows[i].dir || m->rtcp_port != rows[i].rtcp_port || m->rtcp_mux != rows[i].mux ||
		    m->ptime_ms != rows[i].ptime || m->maxptime_ms != rows[i].maxptime)
			fail_msg("row %zu", i);
		free(s);
	}
}

static void test_sdp_parse_connection(void **state)
{
	static const struct { const char *session, *media, *addr; bool ip6; } rows[] = {
		{ "c=IN IP4 192.0.2.9\r\n", "", "192.0.2.9", false },
		{ "c=IN IP4 192.0.2.9\r\n", "c=IN IP6 ::1\r\n", "::1", true },
		{ "", "c=IN IP4 224.2.1.1/127/3\r\n", "224.2.1.1", false }, /* RFC 8866 §5.7 */
		{ "", "c=IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.2\r\n", "192.0.2.1", false },
		{ "", "", "", false },
		{ "c=ATM NSAP 47.0091\r\n", "", "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[512];
		struct sdp *s;

		snprintf(text, sizeof(text), "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n%sm=audio 1000 RTP/AVP 0\r\n%s", rows[i].session,
			 rows[i].media);
		s = must_parse(text);
		if (!str_eqz(s->media[0].addr, rows[i].addr) || s->media[0].addr_is_ip6 != rows[i].ip6)
			fail_msg("row %zu: %.*s", i, STR_ARG(s->media[0].addr));
		free(s);
	}
}

/* RFC 5118 §4.6, §4.8: IPv6 in a description, and one family beside the other. */
static void test_sdp_parse_rfc5118_examples(void **state)
{
	struct sdp *s = must_parse("v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\ns=Live video feed for today's meeting\r\n"
				   "c=IN IP6 2001:db8::20\r\nt=3338481189 3370017201\r\nm=audio 6000 RTP/AVP 2\r\na=rtpmap:2 G726-32/8000\r\n"
				   "m=video 6024 RTP/AVP 107\r\na=rtpmap:107 H263-1998/90000\r\n");

	(void)state;
	assert_int_equal(s->nmedia, 2);
	for (unsigned i = 0; i < s->nmedia; i++) {
		assert_true(str_eqz(s->media[i].addr, "2001:db8::20"));
		assert_true(s->media[i].addr_is_ip6);
	}
	free(s);
	s = must_parse("v=0\r\no=bob 280744730 28977631 IN IP4 host.example.com\r\ns=\r\nt=0 0\r\nm=audio 22334 RTP/AVP 0\r\n"
		       "c=IN IP4 192.0.2.1\r\nm=video 6024 RTP/AVP 107\r\nc=IN IP6 2001:db8::1\r\na=rtpmap:107 H263-1998/90000\r\n");
	assert_true(str_eqz(s->media[0].addr, "192.0.2.1"));
	assert_false(s->media[0].addr_is_ip6);
	assert_true(str_eqz(s->media[1].addr, "2001:db8::1"));
	assert_true(s->media[1].addr_is_ip6);
	free(s);
}

static void test_sdp_find_prefers_what_is_on(void **state)
{
	struct sdp *s = must_parse(HEAD "m=audio 0 RTP/AVP 0\r\nm=video 2000 RTP/AVP 34\r\nm=AUDIO 3000 RTP/AVP 8\r\na=mid:a\r\na=x\r\n"
					"a=label:1\r\n");
	struct str value;

	(void)state;
	assert_ptr_equal(sdp_find(s, "audio"), &s->media[2]);
	assert_ptr_equal(sdp_find(s, "video"), &s->media[1]);
	assert_null(sdp_find(s, "text"));
	assert_int_equal(s->media[0].rtcp_port, 0);
	assert_true(str_eqz(s->media[2].mid, "a"));
	assert_true(sdp_attr_find(&s->media[2], "label", &value));
	assert_true(str_eqz(value, "1"));
	assert_true(sdp_attr_find(&s->media[2], "x", &value));
	assert_null(value.p);
	assert_false(sdp_attr_find(&s->media[2], "y", NULL));
	free(s);
	s = must_parse(HEAD "m=audio 0 RTP/AVP 0\r\n");
	assert_ptr_equal(sdp_find(s, "audio"), &s->media[0]);
	free(s);
}

static void test_sdp_dir_reverse_swaps(void **state)
{
	(void)state;
	assert_int_equal(sdp_dir_reverse(SDP_SENDONLY), SDP_RECVONLY);
	assert_int_equal(sdp_dir_reverse(SDP_RECVONLY), SDP_SENDONLY);
	assert_int_equal(sdp_dir_reverse(SDP_SENDRECV), SDP_SENDRECV);
	assert_int_equal(sdp_dir_reverse(SDP_INACTIVE), SDP_INACTIVE);
	assert_string_equal(sdp_dir_name(SDP_RECVONLY), "recvonly");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sdp_parse_rfc8866_example),
		cmocka_unit_test(test_sdp_parse_refuses_and_takes),
		cmocka_unit_test(test_sdp_parse_refuses_nul),
		cmocka_unit_test(test_sdp_parse_limits),
		cmocka_unit_test(test_sdp_parse_names_formats),
		cmocka_unit_test(test_sdp_parse_media_lines),
		cmocka_unit_test(test_sdp_parse_connection),
		cmocka_unit_test(test_sdp_parse_rfc5118_examples),
		cmocka_unit_test(test_sdp_find_prefers_what_is_on),
		cmocka_unit_test(test_sdp_dir_reverse_swaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
