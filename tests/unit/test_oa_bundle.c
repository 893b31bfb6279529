/* test_oa_bundle.c - video on the transport of the sound (BUNDLE, RFC 9143), as browsers have it, in offers and answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "nomem.h"
#include "sdp/oa.h"

#define FINGERPRINT "sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF"
#define HEAD "v=0\r\no=a 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
#define WAY "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=candidate:1 1 UDP 2130706431 192.0.2.10 4000 typ host\r\n" \
	"a=fingerprint:" FINGERPRINT "\r\na=setup:actpass\r\na=rtcp-mux\r\n"
#define SOUND "m=audio 4000 UDP/TLS/RTP/SAVPF 111 8\r\na=rtpmap:111 opus/48000/2\r\na=mid:0\r\n"
#define SOUND_ANSWER "m=audio 4000 UDP/TLS/RTP/SAVPF 8\r\na=mid:0\r\na=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n" \
	"a=fingerprint:" FINGERPRINT "\r\na=setup:active\r\na=rtcp-mux\r\n"
#define VP8 "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\n"
#define PICTURE(port) "m=video " #port " UDP/TLS/RTP/SAVPF 96\r\n" VP8 "a=mid:1\r\na=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
#define BROWSER HEAD "a=group:BUNDLE 0 1\r\n" SOUND WAY PICTURE(4000) WAY
#define PHONE HEAD "m=audio 5000 RTP/AVP 8\r\nm=video 5002 RTP/AVP 96\r\n" VP8

static const struct oa_codec codecs[] = { { .name = "PCMA", .clock_hz = 8000, .channels = 1, .pt = 8 },
					  { .name = "opus", .clock_hz = 48000, .channels = 2, .pt = 96 } };
static struct rng rng;
static char text[16384];

enum kind { PLAIN, TO_BROWSER, TAKES_ALL };
struct side { struct oa *oa; enum kind kind; struct oa_other_local others[OA_OTHERS_MAX]; };

static struct oa_local local_of(struct side *s, const struct oa *partner)
{
	struct oa_local l = {
		.addr = "203.0.113.5", .port = 20000, .rtcp_port = 20001, .dir = SDP_SENDRECV, .ptime_ms = 20, .ncodecs = ARRAY_LEN(codecs), .codecs = codecs,
		.dtmf = true, .nothers = oa_others_wish(s->oa, partner, s->others), .others = s->others, .policy = OA_OFFER, .rng = &rng,
		.fingerprint = FINGERPRINT, .takes_ice = s->kind != PLAIN, .offers_ice = s->kind == TO_BROWSER, .to_browser = s->kind == TO_BROWSER,
		.offers_dtls = s->kind == TO_BROWSER,
	};

	for (unsigned i = 0; i < l.nothers; i++) {
		bool rides = oa_other_rides(s->oa, &l, s->others[i].type, s->others[i].nth);

		s->others[i].port = rides ? 0 : 20010;
		s->others[i].rtcp_port = rides ? 1 : 20011;
	}
	return l;
}

static const char *offer(struct side *s, const struct oa *partner)
{
	struct oa_local l = local_of(s, partner);
	struct out o;

	out_init(&o, text, sizeof(text) - 1);
	assert_int_equal(oa_offer(s->oa, &l, &o), 0);
	text[o.len] = '\0';
	return text;
}

static const char *answer(struct side *s, const struct oa *partner)
{
	struct oa_local l = local_of(s, partner);
	struct out o;

	out_init(&o, text, sizeof(text) - 1);
	assert_int_equal(oa_answer(s->oa, &l, false, &o), 0);
	text[o.len] = '\0';
	return text;
}

static void take(struct side *s, const char *theirs)
{
	assert_int_equal(oa_take_offer(s->oa, str_from(theirs)), 0);
}

static void answered(struct side *s, const char *theirs)
{
	assert_int_equal(oa_take_answer(s->oa, str_from(theirs)), 0);
}

static void assert_has(const char *what)
{
	if (!strstr(text, what))
		fail_msg("no %s in\n%s", what, text);
}

static void assert_no(const char *what)
{
	if (strstr(text, what))
		fail_msg("%s in\n%s", what, text);
}

struct pair { struct side a, b; };

static struct pair pair_new(enum kind a, enum kind b)
{
	return (struct pair){ { .oa = oa_new(7), .kind = a }, { .oa = oa_new(8), .kind = b } };
}

static void pair_free(struct pair *p)
{
	oa_free(p->a.oa);
	oa_free(p->b.oa);
}

static void test_bundle_browsers_offer_reaches_a_phone_and_is_answered_on_one_port(void **state)
{
	struct pair p = pair_new(TAKES_ALL, PLAIN);
	uint32_t pts[4];

	(void)state;
	take(&p.a, BROWSER);
	offer(&p.b, p.a.oa);
	assert_has("m=video 20010 RTP/AVP 96\r\n" VP8 "a=sendrecv\r\n"); /* no AVPF, no name, no extension for it */
	answered(&p.b, PHONE);
	answer(&p.a, p.b.oa);
	assert_has("a=group:BUNDLE 0 1\r\n");
	assert_has("m=audio 20000 UDP/TLS/RTP/SAVPF 111 8\r\n");
	assert_has("m=video 20000 UDP/TLS/RTP/SAVPF 96\r\n" VP8 "a=mid:1\r\na=rtcp-mux\r\na=sendrecv\r\n");
	assert_true(oa_others(p.a.oa)->list[0].is_bundled && oa_others(p.a.oa)->list[0].is_on);
	oa_other_pts(&oa_others(p.a.oa)->list[0], pts);
	assert_int_equal(pts[3], 1); /* 96 */
	assert_int_equal(pts[0] | pts[1] | pts[2], 0);
	assert_false(oa_others_are_stale(p.a.oa, p.b.oa));
	assert_false(oa_others_are_stale(p.b.oa, p.a.oa));
	/* What is agreed on is offered again where it is. */
	offer(&p.a, p.b.oa);
	assert_has("a=group:BUNDLE 0 1\r\n");
	assert_has("m=video 20000 UDP/TLS/RTP/SAVPF 96\r\n");
	assert_no("bundle-only");
	pair_free(&p);
}

static void test_bundle_offered_to_a_browser_has_numbers_of_its_own_for_sound(void **state)
{
	struct pair p = pair_new(PLAIN, TO_BROWSER);

	(void)state;
	take(&p.a, PHONE);
	offer(&p.b, p.a.oa);
	assert_has("a=group:BUNDLE 0 1\r\n");
	assert_has("m=audio 20000 UDP/TLS/RTP/SAVPF 8 97 101 110\r\n"); /* not opus with 96, which is the phone's for pictures */
	assert_has("m=video 0 UDP/TLS/RTP/SAVPF 96\r\n" VP8 "a=mid:1\r\na=bundle-only\r\na=rtcp-mux\r\na=sendrecv\r\n");
	answered(&p.b, HEAD "a=group:BUNDLE 0 1\r\n" SOUND_ANSWER "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" VP8 "a=mid:1\r\na=rtcp-mux\r\n");
	assert_true(oa_others(p.b.oa)->list[0].is_bundled && oa_others(p.b.oa)->list[0].is_on);
	answer(&p.a, p.b.oa);
	assert_has("m=video 20010 RTP/AVP 96\r\n" VP8 "a=sendrecv\r\n");
	assert_false(oa_others_are_stale(p.a.oa, p.b.oa));
	assert_false(oa_others_are_stale(p.b.oa, p.a.oa));
	pair_free(&p);
}

/* Outside of the group there is no transport for it: it isn't on. */
static void test_bundle_left_by_an_answer_is_off(void **state)
{
	struct pair p = pair_new(PLAIN, TO_BROWSER);

	(void)state;
	take(&p.a, PHONE);
	offer(&p.b, p.a.oa);
	answered(&p.b, HEAD "a=group:BUNDLE 0\r\n" SOUND_ANSWER "m=video 4002 UDP/TLS/RTP/SAVPF 96\r\n" VP8 "a=mid:1\r\na=rtcp-mux\r\n");
	assert_false(oa_others(p.b.oa)->list[0].is_on);
	pair_free(&p);
}

/* A browser that takes the sound alone. */
static void test_bundle_refused_stays_refused(void **state)
{
	struct pair p = pair_new(PLAIN, TO_BROWSER);

	(void)state;
	take(&p.a, PHONE);
	offer(&p.b, p.a.oa);
	answered(&p.b, HEAD "a=group:BUNDLE 0\r\n" SOUND_ANSWER "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n");
	answer(&p.a, p.b.oa);
	assert_has("m=video 0 RTP/AVP 96\r\n");
	assert_false(oa_others_are_stale(p.b.oa, p.a.oa));
	offer(&p.b, p.a.oa);
	assert_has("a=group:BUNDLE 0\r\n");
	assert_has("m=video 0 UDP/TLS/RTP/SAVPF 96\r\n");
	pair_free(&p);
}

/* What isn't on the sound's transport would need keys of its own. */
static void test_bundle_apart_is_refused(void **state)
{
	static const char *const offers[] = {
		HEAD SOUND WAY PICTURE(4002) WAY,                                                        /* no group */
		HEAD "a=group:BUNDLE 0\r\na=group:BUNDLE 1\r\n" SOUND WAY PICTURE(4002) WAY,              /* another */
		HEAD "a=group:BUNDLE 0 1\r\n" SOUND WAY PICTURE(0) WAY,                                   /* switched off */
		HEAD "a=group:BUNDLE 0 1\r\n" SOUND WAY "m=video 4002 UDP/TLS/RTP/SAVPF 96\r\n" VP8 WAY, /* no name */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
		struct pair p = pair_new(TAKES_ALL, PLAIN);

		take(&p.a, offers[i]);
		offer(&p.b, p.a.oa);
		assert_no("m=video");
		answered(&p.b, HEAD "m=audio 5000 RTP/AVP 8\r\n");
		answer(&p.a, p.b.oa);
		assert_has("m=video 0 UDP/TLS/RTP/SAVPF 96\r\n");
		assert_no("BUNDLE 0 1");
		pair_free(&p);
	}
}

/* RTCP apart is another transport; then nothing can ride. */
static void test_bundle_without_rtcp_mux_is_refused(void **state)
{
	struct pair p = pair_new(TAKES_ALL, PLAIN);

	(void)state;
	take(&p.a, HEAD "a=group:BUNDLE 0 1\r\n" SOUND "a=fingerprint:" FINGERPRINT "\r\na=setup:actpass\r\n" PICTURE(4000));
	offer(&p.b, p.a.oa);
	answered(&p.b, PHONE);
	answer(&p.a, p.b.oa);
	assert_has("m=video 0 UDP/TLS/RTP/SAVPF 96\r\n");
	pair_free(&p);
}

static void test_bundle_only_is_taken(void **state)
{
	struct pair p = pair_new(TAKES_ALL, PLAIN);

	(void)state;
	take(&p.a, HEAD "a=group:BUNDLE 0 1\r\n" SOUND WAY PICTURE(0) "a=bundle-only\r\n");
	offer(&p.b, p.a.oa);
	assert_has("m=video 20010 RTP/AVP 96\r\n");
	answered(&p.b, PHONE);
	answer(&p.a, p.b.oa);
	assert_has("m=video 20000 UDP/TLS/RTP/SAVPF 96\r\n");
	assert_no("bundle-only");
	pair_free(&p);
}

static void scenario(void)
{
	struct pair p = pair_new(PLAIN, TO_BROWSER);
	struct oa_local l;
	struct out o;

	heap.armed = true;
	if (p.a.oa && p.b.oa && oa_take_offer(p.a.oa, STR(PHONE)) == 0) {
		l = local_of(&p.b, p.a.oa);
		out_init(&o, text, sizeof(text) - 1);
		if (oa_offer(p.b.oa, &l, &o) == 0)
			oa_rollback(p.b.oa);
	}
	heap.armed = false;
	pair_free(&p);
}

static void test_bundle_memory_runs_out_and_nothing_is_left(void **state)
{
	unsigned total;

	(void)state;
	heap.is_counted = true;
	heap.count = heap.fail_at = 0;
	heap.balance = 0;
	scenario();
	total = heap.count;
	assert_int_equal(heap.balance, 0);
	assert_true(!CAN_FAIL || total > 10);
	for (unsigned i = 1; CAN_FAIL && i <= total; i++) {
		heap.count = 0;
		heap.fail_at = i;
		heap.balance = 0;
		scenario();
		if (heap.balance)
			fail_msg("allocation %u: %ld left", i, heap.balance);
	}
	heap.is_counted = false;
	heap.fail_at = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bundle_browsers_offer_reaches_a_phone_and_is_answered_on_one_port),
		cmocka_unit_test(test_bundle_offered_to_a_browser_has_numbers_of_its_own_for_sound),
		cmocka_unit_test(test_bundle_left_by_an_answer_is_off),
		cmocka_unit_test(test_bundle_refused_stays_refused),
		cmocka_unit_test(test_bundle_apart_is_refused),
		cmocka_unit_test(test_bundle_without_rtcp_mux_is_refused),
		cmocka_unit_test(test_bundle_only_is_taken),
		cmocka_unit_test(test_bundle_memory_runs_out_and_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
