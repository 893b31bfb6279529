/* test_oa_ice.c - ICE (RFC 8839), names and groups of sections (RFC 5888, 9143) in offers and answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sdp/oa.h"

#define FINGERPRINT "sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF"
#define HEAD "v=0\r\no=a 1 1 IN IP4 192.0.2.10\r\ns=-\r\nt=0 0\r\n"
#define AUDIO(port, addr) "m=audio " #port " RTP/AVP 0\r\nc=IN IP4 " addr "\r\n"
#define UFRAG "a=ice-ufrag:8hhY\r\n"
#define PWD "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\n"                 /* RFC 8839 §4.2 */
#define HOST(addr, port) "a=candidate:1 1 UDP 2130706431 " addr " " #port " typ host\r\n"
#define GOOD UFRAG PWD HOST("192.0.2.10", 4000)

static const struct oa_codec codecs[] = { { .name = "PCMU", .clock_hz = 8000, .channels = 1, .pt = 0 } };
static struct rng rng;
static char text[16384];

static const struct oa_local local = {
	.addr = "203.0.113.5", .port = 20000, .rtcp_port = 20001, .dir = SDP_SENDRECV, .ncodecs = 1, .codecs = codecs, .takes_ice = true,
	.fingerprint = FINGERPRINT, .policy = OA_OFFER, .rng = &rng,
};

static struct oa_local with_ice(void)
{
	struct oa_local l = local;

	l.offers_ice = true;
	return l;
}

static const char *offer(struct oa *oa, const struct oa_local *l)
{
	struct out o;

	out_init(&o, text, sizeof(text));
	assert_int_equal(oa_offer(oa, l, &o), 0);
	out_chr(&o, '\0');
	return text;
}

static int try_answer(struct oa *oa, const char *theirs, const struct oa_local *l)
{
	struct out o;
	int err = oa_take_offer(oa, str_from(theirs));

	out_init(&o, text, sizeof(text));
	if (!err)
		err = oa_answer(oa, l, false, &o);
	out_chr(&o, '\0');
	return err;
}

static const char *answer(struct oa *oa, const char *theirs)
{
	assert_int_equal(try_answer(oa, theirs, &local), 0);
	return text;
}

static void assert_has(const char *line)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "\r\n%s\r\n", line);
	if (!strstr(text, whole))
		fail_msg("no %s in\n%s", line, text);
}

static void assert_no(const char *what)
{
	if (strstr(text, what))
		fail_msg("%s in\n%s", what, text);
}

static void assert_ours(const struct oa_ice *ice)
{
	char line[64];

	assert_non_null(ice);
	assert_int_equal(strlen(ice->ufrag), OA_ICE_UFRAG_LEN);
	assert_int_equal(strlen(ice->pwd), OA_ICE_PWD_LEN);
	snprintf(line, sizeof(line), "a=ice-ufrag:%s", ice->ufrag);
	assert_has(line);
	snprintf(line, sizeof(line), "a=ice-pwd:%s", ice->pwd);
	assert_has(line);
}

/* ---- ICE ---- */

static void test_oa_ice_is_answered_by_a_lite_agent(void **state)
{
	struct oa *oa = oa_new(1);

	(void)state;
	answer(oa, HEAD AUDIO(4000, "192.0.2.10") GOOD);
	assert_ours(oa_ice(oa));
	assert_false(oa_ice(oa)->is_peer_lite);
	assert_has("a=ice-lite");
	assert_has("a=ice-options:ice2");
	assert_has("a=candidate:1 1 UDP 2130706431 203.0.113.5 20000 typ host");
	assert_has("a=candidate:1 2 UDP 2130706430 203.0.113.5 20001 typ host");
	assert_has("a=end-of-candidates");
	assert_true(strstr(text, "a=ice-lite") < strstr(text, "m=audio"));
	assert_true(strstr(text, "a=ice-ufrag") > strstr(text, "m=audio"));
	oa_free(oa);
}

static void test_oa_ice_is_taken_where_it_can_be(void **state)
{
	static const struct { const char *offer; bool takes, is_agreed, is_mismatch; } rows[] = {
		{ HEAD AUDIO(4000, "192.0.2.10"), true, false, false },
		{ HEAD AUDIO(4000, "192.0.2.10") GOOD, true, true, false },
		{ HEAD AUDIO(4000, "192.0.2.10") GOOD, false, false, false },
		{ HEAD UFRAG PWD AUDIO(4000, "192.0.2.10") HOST("192.0.2.10", 4000), true, true, false }, /* of the session: §5.4 */
		/* the address is another's: §4.2.5 */
		{ HEAD AUDIO(4000, "198.51.100.1") GOOD, true, false, true },
		{ HEAD AUDIO(4002, "192.0.2.10") GOOD, true, false, true },
		{ HEAD AUDIO(4000, "192.0.2.10") UFRAG PWD, true, false, true },
		{ HEAD AUDIO(4000, "192.0.2.10") UFRAG PWD "a=candidate:1 2 UDP 1 192.0.2.10 4000 typ host\r\n", true, false, true },
		{ HEAD AUDIO(4000, "192.0.2.10") UFRAG PWD "a=candidate:1 1 TCP 1 192.0.2.10 4000 typ host\r\n", true, false, true },
		{ HEAD AUDIO(4000, "192.0.2.10") UFRAG PWD "a=candidate:1 1 udp 1 192.0.2.10 4000 typ srflx raddr 10.0.0.1 rport 7\r\n",
		  true, true, false },
		{ HEAD AUDIO(4000, "192.0.2.10") UFRAG PWD HOST("b13c5b64-4a54-4ee6-8f4b.local", 4711) HOST("192.0.2.10", 4000), true, true, false },
		/* not known yet: RFC 8840 §4.1.1 */
		{ HEAD AUDIO(9, "0.0.0.0") UFRAG PWD "a=ice-options:trickle\r\n", true, true, false },
		{ HEAD AUDIO(9, "0.0.0.0") UFRAG PWD HOST("b13c5b64-4a54-4ee6-8f4b.local", 4711), true, true, false },
		{ HEAD "m=audio 9 RTP/AVP 0\r\nc=IN IP6 ::\r\n" UFRAG PWD, true, true, false },
		/* broken: none */
		{ HEAD AUDIO(4000, "192.0.2.10") UFRAG HOST("192.0.2.10", 4000), true, false, false },
		{ HEAD AUDIO(4000, "192.0.2.10") PWD HOST("192.0.2.10", 4000), true, false, false },
		{ HEAD AUDIO(4000, "192.0.2.10") "a=ice-ufrag:8hh\r\n" PWD HOST("192.0.2.10", 4000), true, false, false },
		{ HEAD AUDIO(4000, "192.0.2.10") UFRAG "a=ice-pwd:asd88fgpdd777uzjYhagZ\r\n" HOST("192.0.2.10", 4000), true, false, false },
		{ HEAD AUDIO(4000, "192.0.2.10") "a=ice-ufrag:8h:Y\r\n" PWD HOST("192.0.2.10", 4000), true, false, false },
		{ HEAD AUDIO(4000, "192.0.2.10") UFRAG PWD "a=candidate\r\na=candidate:\r\na=candidate:1 1\r\n", true, false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(1);
		struct oa_local l = local;

		l.takes_ice = rows[i].takes;
		assert_int_equal(try_answer(oa, rows[i].offer, &l), 0);
		if ((oa_ice(oa) != NULL) != rows[i].is_agreed || (strstr(text, "a=ice-mismatch\r\n") != NULL) != rows[i].is_mismatch)
			fail_msg("row %zu: %s", i, text);
		if (!rows[i].is_agreed) {
			assert_no("a=ice-ufrag");
			assert_no("a=candidate");
			assert_no("a=ice-lite");
		}
		oa_free(oa);
	}
}

static void test_oa_ice_no_address_yet_is_no_hold(void **state)
{
	struct oa *oa = oa_new(1);

	(void)state;
	answer(oa, HEAD AUDIO(9, "0.0.0.0") UFRAG PWD);
	assert_int_equal(oa_agreed(oa)->dir, SDP_SENDRECV);
	assert_false(oa_agreed(oa)->remote_hold);
	answer(oa, HEAD AUDIO(4000, "0.0.0.0"));
	assert_true(oa_agreed(oa)->remote_hold);
	oa_free(oa);
}

static void test_oa_ice_goes_on_restarts_and_ends_as_they_say(void **state)
{
	struct oa *oa = oa_new(1);
	struct oa_ice first, second;

	(void)state;
	answer(oa, HEAD AUDIO(4000, "192.0.2.10") GOOD);
	first = *oa_ice(oa);
	answer(oa, HEAD AUDIO(4000, "192.0.2.10") GOOD "a=sendonly\r\n");
	assert_string_equal(oa_ice(oa)->ufrag, first.ufrag);
	assert_string_equal(oa_ice(oa)->pwd, first.pwd);
	/* our own offer has the same, and candidates for RTP alone where RTCP goes the same way */
	offer(oa, &local);
	assert_ptr_equal(oa_ice_offered(oa), oa_ice(oa));
	assert_ours(&first);
	assert_has("a=ice-lite");
	oa_rollback(oa);
	assert_null(oa_ice_offered(oa));
	/* RFC 8839 §4.4.1.1.1 */
	answer(oa, HEAD AUDIO(4000, "192.0.2.10") "a=ice-ufrag:9uB6\r\na=ice-pwd:YH75Fviy6338Vbrhrlp8Yh\r\n" HOST("192.0.2.10", 4000));
	second = *oa_ice(oa);
	assert_ours(&second);
	assert_string_not_equal(second.ufrag, first.ufrag);
	assert_string_not_equal(second.pwd, first.pwd);
	/* somebody who hasn't any: a third party has put another phone there */
	answer(oa, HEAD AUDIO(5000, "192.0.2.11"));
	assert_null(oa_ice(oa));
	assert_no("ice");
	offer(oa, &local);
	assert_no("ice");
	oa_free(oa);
}

static void test_oa_ice_of_a_refused_exchange_is_as_before(void **state)
{
	struct oa *oa = oa_new(1);
	struct oa_ice first;
	struct out o;
	char small[40];

	(void)state;
	answer(oa, HEAD AUDIO(4000, "192.0.2.10") GOOD);
	first = *oa_ice(oa);
	assert_int_equal(oa_take_offer(oa, STR(HEAD AUDIO(4000, "192.0.2.10") "a=ice-ufrag:9uB6\r\na=ice-pwd:YH75Fviy6338Vbrhrlp8Yh\r\n"
							 HOST("192.0.2.10", 4000))), 0);
	out_init(&o, small, sizeof(small));
	assert_int_equal(oa_answer(oa, &local, false, &o), -ENOSPC);
	assert_string_equal(oa_ice(oa)->ufrag, first.ufrag);
	oa_free(oa);
}

static void test_oa_ice_lite_peers_are_known(void **state)
{
	struct oa *oa = oa_new(1);

	(void)state;
	answer(oa, HEAD "a=ice-lite\r\n" AUDIO(4000, "192.0.2.10") GOOD);
	assert_true(oa_ice(oa)->is_peer_lite);
	oa_free(oa);
}

static void test_oa_ice_offer_is_agreed_to_or_passed_over(void **state)
{
	static const struct { const char *answer; bool is_agreed; } rows[] = {
		{ HEAD AUDIO(4000, "192.0.2.10") GOOD, true },
		{ HEAD AUDIO(4000, "192.0.2.10"), false },
		{ HEAD AUDIO(4000, "192.0.2.10") GOOD "a=ice-mismatch\r\n", false },
		{ HEAD AUDIO(0, "192.0.2.10") GOOD, false },
	};
	struct oa_local l = with_ice();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(1);
		struct oa_ice offered;

		offer(oa, &l);
		assert_non_null(oa_ice_offered(oa));
		offered = *oa_ice_offered(oa);
		assert_ours(&offered);
		assert_has("a=candidate:1 1 UDP 2130706431 203.0.113.5 20000 typ host");
		assert_has("a=candidate:1 2 UDP 2130706430 203.0.113.5 20001 typ host");
		assert_null(oa_ice(oa));
		assert_int_equal(oa_take_answer(oa, str_from(rows[i].answer)), 0);
		assert_null(oa_ice_offered(oa));
		assert_int_equal(oa_ice(oa) != NULL, rows[i].is_agreed);
		if (rows[i].is_agreed)
			assert_string_equal(oa_ice(oa)->pwd, offered.pwd);
		/* What they didn't know isn't asked again. */
		offer(oa, &l);
		assert_int_equal(strstr(text, "a=ice-ufrag") != NULL, rows[i].is_agreed || !oa_agreed(oa)->has_audio);
		oa_free(oa);
	}
	/* Nobody has asked for it. */
	{
		struct oa *oa = oa_new(1);

		offer(oa, &local);
		assert_no("ice");
		assert_no("mid");
		oa_free(oa);
	}
}

/* ---- names and groups ---- */

#define BROWSER HEAD "a=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS 0cd3d956\r\n" \
	"m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n" \
	"a=ice-ufrag:wdGu\r\na=ice-pwd:64tS9LpjsosNhniTSASAYm/J\r\na=ice-options:trickle\r\na=fingerprint:" FINGERPRINT "\r\n" \
	"a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n" \
	"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendrecv\r\na=msid:0cd3d956 547415e4\r\na=rtcp-mux\r\na=rtcp-mux-only\r\n" \
	"a=rtcp-rsize\r\na=rtcp-fb:111 transport-cc\r\na=rtcp-fb:* nack\r\na=ssrc:2063590307 cname:4spjusRgc8XyU0vY\r\n"
#define BROWSER_VIDEO "m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=bundle-only\r\na=rtpmap:96 VP8/90000\r\n"

static void test_oa_group_of_a_browser_is_answered_with_the_audio_alone(void **state)
{
	struct oa *oa = oa_new(1);

	(void)state;
	answer(oa, BROWSER BROWSER_VIDEO);
	assert_has("a=group:BUNDLE 0");
	assert_has("a=mid:0");
	assert_has("m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1");
	assert_has("a=rtcp-mux");
	assert_has("m=audio 20000 UDP/TLS/RTP/SAVPF 0");
	assert_true(oa_agreed(oa)->rtcp_mux);
	assert_no("20001"); /* no component of RTCP's, then */
	assert_no("extmap");
	assert_no("rtcp-fb");
	assert_no("bundle-only");
	assert_ours(oa_ice(oa));
	assert_non_null(oa_dtls(oa));
	/* Ours keeps names and group: a browser knows its sections by them. */
	offer(oa, &local);
	assert_has("a=group:BUNDLE 0");
	assert_has("a=mid:0");
	assert_has("a=mid:1");
	assert_has("a=rtcp-mux");
	assert_ours(oa_ice(oa));
	oa_free(oa);
}

static void test_oa_group_dtls_association_outlives_the_address(void **state)
{
	struct oa *oa = oa_new(1);
	char later[sizeof(BROWSER) + 200], *at;
	uint32_t association;

	(void)state;
	answer(oa, BROWSER);
	association = oa_dtls(oa)->association;
	strcpy(later, BROWSER HOST("192.0.2.10", 4000));
	at = strstr(later, "m=audio 9 ");
	memmove(at + 12, at + 9, strlen(at + 9) + 1);
	memcpy(at, "m=audio 4000", 12);
	at = strstr(later, "c=IN IP4 0.0.0.0");
	memmove(at + 19, at + 16, strlen(at + 16) + 1);
	memcpy(at, "c=IN IP4 192.0.2.10", 19);
	answer(oa, later);
	assert_non_null(oa_ice(oa));
	assert_int_equal(oa_dtls(oa)->association, association);
	oa_free(oa);
}

static void test_oa_group_is_answered_as_offered(void **state)
{
	static const struct { const char *offer, *has, *hasnt; } rows[] = {
		/* a name without a group: RFC 5888 §9.1 */
		{ HEAD AUDIO(4000, "192.0.2.10") "a=mid:first\r\n", "a=mid:first", "a=group" },
		{ HEAD AUDIO(4000, "192.0.2.10"), "a=sendrecv", "a=mid" },
		/* lip synchronisation is another's business */
		{ HEAD "a=group:LS 1\r\n" AUDIO(4000, "192.0.2.10") "a=mid:1\r\n", "a=mid:1", "a=group" },
		{ HEAD "a=group:LS 1 2\r\na=group:BUNDLE 2 1\r\n" AUDIO(4000, "192.0.2.10") "a=mid:1\r\n", "a=group:BUNDLE 1", "LS" },
		{ HEAD "a=group:BUNDLE 2 3\r\n" AUDIO(4000, "192.0.2.10") "a=mid:1\r\n", "a=mid:1", "a=group" },
		{ HEAD "a=group:BUNDLE 11\r\n" AUDIO(4000, "192.0.2.10") "a=mid:1\r\n", "a=mid:1", "a=group" },
		{ HEAD "a=group:BUNDLE 1\r\n" AUDIO(4000, "192.0.2.10"), "a=sendrecv", "a=group" },
		{ HEAD "a=group:BUNDLE a b\r\n" AUDIO(4000, "192.0.2.10") "a=mid:a b\r\n", "a=sendrecv", "a=mid" }, /* no token */
		/* a second audio that is only to be had in the group: refused */
		{ HEAD "a=group:BUNDLE a b\r\n" AUDIO(4000, "192.0.2.10") "a=mid:a\r\n" AUDIO(0, "192.0.2.10") "a=mid:b\r\na=bundle-only\r\n",
		  "m=audio 0 RTP/AVP 0\r\na=mid:b", "BUNDLE a b" },
		/* the group's transport is the video's, but the audio has one of its own */
		{ HEAD "a=group:BUNDLE v a\r\nm=video 5000 RTP/AVP 31\r\nc=IN IP4 192.0.2.10\r\na=mid:v\r\n" AUDIO(4000, "192.0.2.10") "a=mid:a\r\n",
		  "a=group:BUNDLE a", "BUNDLE v" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(1);

		answer(oa, rows[i].offer);
		assert_has(rows[i].has);
		assert_no(rows[i].hasnt);
		oa_free(oa);
	}
}

static void test_oa_group_audio_in_a_refused_transport_is_refused(void **state)
{
	struct oa *oa = oa_new(1);

	(void)state;
	assert_int_equal(try_answer(oa, HEAD "a=group:BUNDLE v a\r\nm=video 5000 RTP/AVP 31\r\nc=IN IP4 192.0.2.10\r\na=mid:v\r\n"
					AUDIO(0, "192.0.2.10") "a=mid:a\r\na=bundle-only\r\n", &local), -EPROTO);
	oa_free(oa);
}

static void test_oa_group_is_offered_with_ice(void **state)
{
	struct oa *oa = oa_new(1);
	struct oa_local l = with_ice();

	(void)state;
	offer(oa, &l);
	assert_has("a=group:BUNDLE 0");
	assert_has("a=mid:0");
	assert_int_equal(oa_take_answer(oa, STR(HEAD "a=group:BUNDLE 0\r\n" AUDIO(4000, "192.0.2.10") "a=mid:0\r\n" GOOD)), 0);
	offer(oa, &l);
	assert_has("a=group:BUNDLE 0");
	oa_rollback(oa);
	oa_free(oa);

	/* A phone that knows nothing of it. */
	oa = oa_new(1);
	offer(oa, &l);
	assert_int_equal(oa_take_answer(oa, STR(HEAD AUDIO(4000, "192.0.2.10"))), 0);
	offer(oa, &l);
	assert_no("a=group");
	assert_no("a=mid");
	oa_free(oa);
}

static void test_oa_group_browsers_are_offered_their_profile(void **state)
{
	struct oa *oa = oa_new(1);
	struct oa_local l = with_ice();

	(void)state;
	l.to_browser = l.offers_dtls = true;
	offer(oa, &l);
	assert_has("m=audio 20000 UDP/TLS/RTP/SAVPF 0"); /* RFC 8829 §5.1.2 */
	assert_has("a=setup:actpass");
	assert_has("a=rtcp-mux");
	assert_has("a=group:BUNDLE 0");
	/* A plain answer is none. */
	assert_int_equal(oa_take_answer(oa, STR(HEAD AUDIO(4000, "192.0.2.10"))), -EINVAL);
	oa_free(oa);
}

static int seed(void **state)
{
	(void)state;
	rng_init_fixed(&rng, 7);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oa_ice_is_answered_by_a_lite_agent),
		cmocka_unit_test(test_oa_ice_is_taken_where_it_can_be),
		cmocka_unit_test(test_oa_ice_no_address_yet_is_no_hold),
		cmocka_unit_test(test_oa_ice_goes_on_restarts_and_ends_as_they_say),
		cmocka_unit_test(test_oa_ice_of_a_refused_exchange_is_as_before),
		cmocka_unit_test(test_oa_ice_lite_peers_are_known),
		cmocka_unit_test(test_oa_ice_offer_is_agreed_to_or_passed_over),
		cmocka_unit_test(test_oa_group_of_a_browser_is_answered_with_the_audio_alone),
		cmocka_unit_test(test_oa_group_dtls_association_outlives_the_address),
		cmocka_unit_test(test_oa_group_is_answered_as_offered),
		cmocka_unit_test(test_oa_group_audio_in_a_refused_transport_is_refused),
		cmocka_unit_test(test_oa_group_is_offered_with_ice),
		cmocka_unit_test(test_oa_group_browsers_are_offered_their_profile),
	};

	return cmocka_run_group_tests(tests, seed, NULL);
}
