/* test_oa_other.c - sections besides the audio, as text of one leg in and text of the other one out (RFC 3264 §5, 6, 8). */
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

static const struct oa_codec codecs[] = { { .name = "PCMA", .clock_hz = 8000, .channels = 1, .pt = 8 } };

#define THEIRS "v=0\r\no=alice 28 28 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
#define OURS(version) "v=0\r\no=- 7 " version " IN IP4 203.0.113.5\r\ns=-\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\n"
#define AUDIO "m=audio 4000 RTP/AVP 8\r\n"
#define OUR_AUDIO "m=audio 20000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\na=sendrecv\r\n"
#define H264 "a=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=42e01f\r\n"
#define VP8 "a=rtpmap:97 VP8/90000\r\n"

static char text[16384];

/* A leg, and the ports that its sections would have: 20010, 20020, ... */
struct side { struct oa *oa; struct oa_other_local others[OA_OTHERS_MAX]; enum oa_policy policy; bool sdes; };

static struct rng rng;

static struct side side_new(void)
{
	struct side s = { .oa = oa_new(7) };

	assert_non_null(s.oa);
	return s;
}

static struct oa_local local_of(struct side *s, const struct oa *partner)
{
	struct oa_local l = {
		.addr = "203.0.113.5", .port = 20000, .rtcp_port = 20001, .dir = SDP_SENDRECV, .ptime_ms = 20, .ncodecs = ARRAY_LEN(codecs), .codecs = codecs,
		.nothers = oa_others_wish(s->oa, partner, s->others), .others = s->others, .policy = s->policy, .sdes = s->sdes, .rng = &rng,
	};

	for (unsigned i = 0; i < l.nothers; i++) {
		s->others[i].port = (uint16_t)(20010 + 10 * i);
		s->others[i].rtcp_port = (uint16_t)(20011 + 10 * i);
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

static void take(struct side *s, const char *theirs)
{
	assert_int_equal(oa_take_offer(s->oa, str_from(theirs)), 0);
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

static void answered(struct side *s, const char *theirs)
{
	assert_int_equal(oa_take_answer(s->oa, str_from(theirs)), 0);
}

/* What stands behind the audio. */
static const char *behind(const char *description)
{
	const char *at = strstr(description, OUR_AUDIO);

	assert_non_null(at);
	return at + strlen(OUR_AUDIO);
}

struct pair { struct side a, b; };

/* a has called b, both with video. */
static struct pair pair_new(const char *offered, const char *b_answers)
{
	struct pair p = { side_new(), side_new() };

	take(&p.a, offered);
	offer(&p.b, p.a.oa);
	answered(&p.b, b_answers);
	answer(&p.a, p.b.oa);
	assert_false(oa_others_are_stale(p.a.oa, p.b.oa));
	assert_false(oa_others_are_stale(p.b.oa, p.a.oa));
	return p;
}

static void pair_free(struct pair *p)
{
	oa_free(p->a.oa);
	oa_free(p->b.oa);
}

#define OFFERED THEIRS AUDIO "m=video 4002 RTP/AVP 96 97\r\n" H264 VP8
#define ANSWERED THEIRS AUDIO "m=video 6002 RTP/AVP 96\r\n" H264

static void test_oa_other_words_pass_and_the_way_is_ours(void **state)
{
	struct side a = side_new(), b = side_new();
	const struct oa_other *x;

	(void)state;
	take(&a, THEIRS AUDIO
	     "m=video 4002 RTP/AVPF 96 97\r\ni=me\r\nc=IN IP4 192.0.2.11\r\nb=TIAS:512000\r\n" H264 VP8
	     "a=rtcp-fb:96 nack pli\r\na=rtcp-fb:* ccm fir\r\na=rtcp:4009\r\na=rtcp-mux\r\na=mid:v\r\na=label:11\r\na=content:main\r\n"
	     "a=extmap:3 urn:ietf:params:rtp-hdrext:toffset\r\na=ice-ufrag:8hhY\r\na=candidate:1 1 UDP 1 192.0.2.11 4002 typ host\r\na=sendonly\r\n");
	assert_string_equal(offer(&b, a.oa),
			    OURS("1") OUR_AUDIO
			    "m=video 20010 RTP/AVPF 96 97\r\ni=me\r\nb=TIAS:512000\r\n" H264 VP8
			    "a=rtcp-fb:96 nack pli\r\na=rtcp-fb:* ccm fir\r\na=label:11\r\na=content:main\r\n"
			    "a=extmap:3 urn:ietf:params:rtp-hdrext:toffset\r\na=sendonly\r\n");
	answered(&b, THEIRS AUDIO "m=video 6002 RTP/AVPF 97\r\nb=AS:300\r\n" VP8 "a=recvonly\r\n");
	assert_string_equal(answer(&a, b.oa),
			    OURS("1") OUR_AUDIO "m=video 20010 RTP/AVPF 97\r\nb=AS:300\r\n" VP8 "a=mid:v\r\na=rtcp-mux\r\na=recvonly\r\n");
	x = &oa_others(a.oa)->list[0];
	assert_true(x->is_on && x->rtcp_mux);
	assert_string_equal(x->addr, "192.0.2.11");
	assert_int_equal(x->port, 4002);
	assert_int_equal(x->rtcp_port, 4009);
	assert_int_equal(x->flow, SDP_RECVONLY);
	assert_int_equal(x->clock_hz, 90000);
	x = &oa_others(b.oa)->list[0];
	assert_true(x->is_on && !x->rtcp_mux);
	assert_int_equal(x->flow, SDP_SENDONLY);
	assert_int_equal(x->port, 6002);
	assert_false(oa_others_are_stale(a.oa, b.oa));
	assert_false(oa_others_are_stale(b.oa, a.oa));
	oa_free(a.oa);
	oa_free(b.oa);
}

static void test_oa_other_what_cannot_pass_is_refused_in_its_place(void **state)
{
	struct side a = side_new(), b = side_new();

	(void)state;
	take(&a, THEIRS
	     "m=message 7000 TCP/MSRP *\r\n"
	     "m=video 4010 UDP/TLS/RTP/SAVPF 96\r\n" H264
	     AUDIO
	     "m=application 5000 UDP/BFCP *\r\n"
	     "m=video 4002 RTP/AVP 97\r\n" VP8
	     "m=text 4004 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n");
	/* b has places for the sections of those types, for what counts is the nth of a type. */
	assert_string_equal(offer(&b, a.oa),
			    OURS("1") OUR_AUDIO "m=video 0 RTP/AVP 97\r\nm=video 20010 RTP/AVP 97\r\n" VP8 "a=sendrecv\r\n"
			    "m=text 20020 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\na=sendrecv\r\n");
	answered(&b, THEIRS AUDIO "m=video 0 RTP/AVP 97\r\nm=video 0 RTP/AVP 97\r\nm=text 6004 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n");
	assert_string_equal(answer(&a, b.oa),
			    OURS("1") "m=message 0 TCP/MSRP *\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\n" OUR_AUDIO
			    "m=application 0 UDP/BFCP *\r\nm=video 0 RTP/AVP 97\r\n"
			    "m=text 20010 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\na=sendrecv\r\n");
	assert_false(oa_others_are_stale(a.oa, b.oa));
	assert_false(oa_others_are_stale(b.oa, a.oa));
	oa_free(a.oa);
	oa_free(b.oa);
}

static void test_oa_other_nobody_there_refuses(void **state)
{
	struct side a = side_new();

	(void)state;
	take(&a, OFFERED);
	assert_string_equal(answer(&a, NULL), OURS("1") OUR_AUDIO "m=video 0 RTP/AVP 96 97\r\n");
	assert_true(oa_others(a.oa)->list[0].is_wanted);
	assert_false(oa_others(a.oa)->list[0].is_on);
	oa_free(a.oa);
}

/* Whom a menu has answered without it is asked when there is somebody to be seen (and never, if he isn't). */
static void test_oa_other_is_offered_when_somebody_comes(void **state)
{
	struct side a = side_new(), b = side_new();

	(void)state;
	take(&a, OFFERED);
	answer(&a, NULL);
	offer(&b, a.oa);
	answered(&b, ANSWERED);
	assert_true(oa_others_are_stale(a.oa, b.oa));
	assert_false(oa_others_are_stale(b.oa, a.oa));
	assert_string_equal(behind(offer(&a, b.oa)), "m=video 20010 RTP/AVP 96\r\n" H264 "a=sendrecv\r\n");
	answered(&a, THEIRS AUDIO "m=video 4002 RTP/AVP 96\r\n" H264);
	assert_true(oa_others(a.oa)->list[0].is_on);
	/* b was told of more than a knows now. */
	assert_true(oa_others_are_stale(b.oa, a.oa));
	assert_string_equal(behind(offer(&b, a.oa)), "m=video 20010 RTP/AVP 96\r\n" H264 "a=sendrecv\r\n");
	answered(&b, ANSWERED);
	assert_false(oa_others_are_stale(a.oa, b.oa));
	assert_false(oa_others_are_stale(b.oa, a.oa));
	oa_free(a.oa);
	oa_free(b.oa);
}

static void test_oa_other_refusal_is_not_asked_again_unless_forgotten(void **state)
{
	struct pair p = pair_new(OFFERED, THEIRS AUDIO "m=video 0 RTP/AVP 96\r\n");

	(void)state;
	assert_string_equal(behind(offer(&p.b, p.a.oa)), "m=video 0 RTP/AVP 96 97\r\n");
	oa_rollback(p.b.oa);
	oa_others_forget(p.b.oa);
	assert_true(oa_others_are_stale(p.b.oa, p.a.oa));
	assert_string_equal(behind(offer(&p.b, p.a.oa)), "m=video 20010 RTP/AVP 96 97\r\n" H264 VP8 "a=sendrecv\r\n");
	pair_free(&p);
}

static void test_oa_other_added_later_is_asked_for_and_comes_last(void **state)
{
	struct pair p = pair_new(THEIRS AUDIO, THEIRS AUDIO);

	(void)state;
	take(&p.a, OFFERED);
	assert_true(oa_others_are_open(p.a.oa, p.b.oa));
	assert_string_equal(offer(&p.b, p.a.oa), OURS("2") OUR_AUDIO "m=video 20010 RTP/AVP 96 97\r\n" H264 VP8 "a=sendrecv\r\n");
	answered(&p.b, ANSWERED);
	assert_false(oa_others_are_open(p.a.oa, p.b.oa));
	assert_string_equal(answer(&p.a, p.b.oa), OURS("2") OUR_AUDIO "m=video 20010 RTP/AVP 96\r\n" H264 "a=sendrecv\r\n");
	/* The same again needs nobody asked. */
	take(&p.a, OFFERED);
	assert_false(oa_others_are_open(p.a.oa, p.b.oa));
	assert_string_equal(answer(&p.a, p.b.oa), OURS("2") OUR_AUDIO "m=video 20010 RTP/AVP 96\r\n" H264 "a=sendrecv\r\n");
	assert_false(oa_others_are_stale(p.b.oa, p.a.oa));
	pair_free(&p);
}

static void test_oa_other_failed_offer_leaves_nothing(void **state)
{
	struct pair p = pair_new(THEIRS AUDIO, THEIRS AUDIO);

	(void)state;
	take(&p.a, OFFERED);
	offer(&p.b, p.a.oa);
	oa_rollback(p.b.oa); /* 488 */
	assert_null(oa_others(p.b.oa));
	assert_string_equal(behind(answer(&p.a, p.b.oa)), "m=video 0 RTP/AVP 96 97\r\n");
	take(&p.b, THEIRS AUDIO);
	assert_string_equal(behind(answer(&p.b, p.a.oa)), "");
	pair_free(&p);
}

static void test_oa_other_removed_goes_off_on_both(void **state)
{
	struct pair p = pair_new(OFFERED, ANSWERED);

	(void)state;
	take(&p.a, THEIRS AUDIO "m=video 0 RTP/AVP 96\r\n");
	assert_string_equal(behind(answer(&p.a, p.b.oa)), "m=video 0 RTP/AVP 96\r\n");
	assert_true(oa_others_are_stale(p.b.oa, p.a.oa));
	assert_string_equal(behind(offer(&p.b, p.a.oa)), "m=video 0 RTP/AVP 96 97\r\n");
	answered(&p.b, THEIRS AUDIO "m=video 0 RTP/AVP 96\r\n");
	assert_false(oa_others(p.b.oa)->list[0].is_on);
	assert_false(oa_others_are_stale(p.b.oa, p.a.oa));
	assert_false(oa_others_are_stale(p.a.oa, p.b.oa)); /* who has switched it off isn't asked */
	/* In the same place once more: b still is as it was. */
	take(&p.a, OFFERED);
	assert_string_equal(behind(answer(&p.a, p.b.oa)), "m=video 20010 RTP/AVP 96\r\n" H264 "a=sendrecv\r\n");
	assert_true(oa_others_are_stale(p.b.oa, p.a.oa));
	pair_free(&p);
}

static void test_oa_other_hold_and_its_end_reach_the_other_one(void **state)
{
	struct pair p = pair_new(OFFERED, ANSWERED);

	(void)state;
	take(&p.a, OFFERED "a=sendonly\r\n");
	assert_string_equal(behind(answer(&p.a, p.b.oa)), "m=video 20010 RTP/AVP 96\r\n" H264 "a=recvonly\r\n");
	assert_true(oa_others_are_stale(p.b.oa, p.a.oa));
	assert_string_equal(behind(offer(&p.b, p.a.oa)), "m=video 20010 RTP/AVP 96 97\r\n" H264 VP8 "a=sendonly\r\n");
	answered(&p.b, ANSWERED "a=recvonly\r\n");
	assert_false(oa_others_are_stale(p.b.oa, p.a.oa));
	assert_false(oa_others_are_stale(p.a.oa, p.b.oa));
	/* That b doesn't send is a's will alone. */
	take(&p.a, OFFERED "a=sendrecv\r\n");
	assert_string_equal(behind(answer(&p.a, p.b.oa)), "m=video 20010 RTP/AVP 96\r\n" H264 "a=sendrecv\r\n");
	assert_true(oa_others_are_stale(p.b.oa, p.a.oa));
	offer(&p.b, p.a.oa);
	answered(&p.b, ANSWERED);
	assert_false(oa_others_are_stale(p.a.oa, p.b.oa));
	pair_free(&p);
}

static void test_oa_other_old_hold_by_address_stops_sending(void **state)
{
	struct pair p = pair_new(OFFERED, ANSWERED);

	(void)state;
	take(&p.a, THEIRS AUDIO "m=video 4002 RTP/AVP 96 97\r\nc=IN IP4 0.0.0.0\r\n" H264 VP8);
	answer(&p.a, p.b.oa);
	assert_int_equal(oa_others(p.a.oa)->list[0].flow, SDP_RECVONLY);
	pair_free(&p);
}

/* Who is joined anew may use the same number for something else: then it isn't answered, but offered. */
static void test_oa_other_numbers_that_differ_are_not_joined(void **state)
{
	struct pair p = pair_new(OFFERED, ANSWERED);
	struct side c = side_new();

	(void)state;
	take(&c, THEIRS AUDIO "m=video 4002 RTP/AVP 96\r\n" "a=rtpmap:96 VP9/90000\r\n");
	assert_true(oa_others_are_open(c.oa, p.b.oa));
	assert_string_equal(behind(answer(&c, p.b.oa)), "m=video 0 RTP/AVP 96\r\n");
	assert_true(oa_others_are_stale(c.oa, p.b.oa));
	assert_true(oa_others_are_stale(p.b.oa, c.oa));
	oa_free(c.oa);
	pair_free(&p);
}

static void test_oa_other_early_answer_is_replaced(void **state)
{
	struct side a = side_new(), b = side_new();

	(void)state;
	take(&a, OFFERED);
	offer(&b, a.oa);
	assert_int_equal(oa_take_early_answer(b.oa, str_from(ANSWERED)), 0);
	assert_true(oa_others(b.oa)->list[0].is_on);
	answered(&b, THEIRS AUDIO "m=video 0 RTP/AVP 96\r\n");
	assert_false(oa_others(b.oa)->list[0].is_on);
	assert_string_equal(behind(answer(&a, b.oa)), "m=video 0 RTP/AVP 96 97\r\n");
	oa_free(a.oa);
	oa_free(b.oa);
}

/* The sound is refused early, and then the whole offer: all is as it was. */
static void test_oa_other_early_refusal_of_the_sound_is_taken_back(void **state)
{
	struct pair p = pair_new(OFFERED, ANSWERED);

	(void)state;
	offer(&p.b, p.a.oa);
	assert_int_equal(oa_take_early_answer(p.b.oa, str_from(THEIRS "m=audio 0 RTP/AVP 8\r\nm=video 0 RTP/AVP 96\r\n")), 0);
	assert_false(oa_others(p.b.oa)->list[0].is_on);
	oa_rollback(p.b.oa);
	assert_true(oa_others(p.b.oa)->list[0].is_on);
	assert_int_equal(oa_others(p.b.oa)->list[0].flow, SDP_SENDRECV);
	assert_false(oa_others_are_stale(p.b.oa, p.a.oa));
	pair_free(&p);
}

static void test_oa_other_early_answer_may_be_kept(void **state)
{
	struct side a = side_new(), b = side_new();

	(void)state;
	take(&a, OFFERED);
	offer(&b, a.oa);
	assert_int_equal(oa_take_early_answer(b.oa, str_from(ANSWERED)), 0);
	assert_int_equal(oa_keep_early_answer(b.oa), 0);
	assert_string_equal(offer(&b, a.oa), OURS("1") OUR_AUDIO "m=video 20010 RTP/AVP 96 97\r\n" H264 VP8 "a=sendrecv\r\n");
	oa_free(a.oa);
	oa_free(b.oa);
}

/* Phones that know nothing but sound answer so. */
static void test_oa_other_left_out_of_an_answer_is_refused(void **state)
{
	struct side a = side_new(), b = side_new();

	(void)state;
	take(&a, OFFERED);
	offer(&b, a.oa);
	answered(&b, THEIRS AUDIO);
	assert_true(oa_others(b.oa)->list[0].is_refused);
	assert_string_equal(behind(answer(&a, b.oa)), "m=video 0 RTP/AVP 96 97\r\n");
	assert_string_equal(behind(offer(&b, a.oa)), "m=video 0 RTP/AVP 96 97\r\n");
	assert_int_equal(oa_take_answer(b.oa, str_from(THEIRS AUDIO "m=video 0 RTP/AVP 96\r\nm=text 0 RTP/AVP 98\r\n")), -EINVAL);
	answered(&b, THEIRS AUDIO);
	oa_free(a.oa);
	oa_free(b.oa);
}

static void test_oa_other_too_long_or_too_many_are_refused(void **state)
{
	static char big[20000];
	struct side a = side_new(), b = side_new();
	size_t n = (size_t)snprintf(big, sizeof(big), "%sm=video 4002 RTP/AVP 96\r\n" H264, THEIRS AUDIO);

	(void)state;
	for (unsigned i = 0; i < 90; i++)
		n += (size_t)snprintf(big + n, sizeof(big) - n, "a=x-long:%099u\r\n", i);
	for (unsigned i = 0; i < 6; i++)
		n += (size_t)snprintf(big + n, sizeof(big) - n, "m=video %u RTP/AVP 96\r\n" H264, 5000 + 2 * i);
	take(&a, big);
	assert_string_equal(behind(offer(&b, a.oa)),
			    "m=video 0 RTP/AVP 96\r\n"
			    "m=video 20010 RTP/AVP 96\r\n" H264 "a=sendrecv\r\n"
			    "m=video 20020 RTP/AVP 96\r\n" H264 "a=sendrecv\r\n"
			    "m=video 20030 RTP/AVP 96\r\n" H264 "a=sendrecv\r\n");
	oa_free(a.oa);
	oa_free(b.oa);
}

#define KEY "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz" /* RFC 4568 §6.1 */
#define CRYPTO(tag) "a=crypto:" #tag " AES_CM_128_HMAC_SHA1_80 inline:" KEY "\r\n"
#define SECURE_AUDIO "m=audio 4000 RTP/SAVP 8\r\n" CRYPTO(1)

/* The section of the video alone, without its keys, which are of chance. */
static const char *video_of(const char *description)
{
	static char line[2048];
	const char *at = strstr(description, "m=video"), *keys = strstr(at, "a=crypto");

	snprintf(line, sizeof(line), "%.*s", keys ? (int)(keys - at) : (int)strlen(at), at);
	return line;
}

static void test_oa_other_srtp_is_each_legs_own(void **state)
{
	struct side a = side_new(), b = side_new();
	const struct oa_srtp *srtp;

	(void)state;
	a.policy = OA_OFFER;
	a.sdes = true;
	b.policy = OA_NEVER;
	take(&a, THEIRS SECURE_AUDIO "m=video 4002 RTP/SAVPF 96\r\n" H264 CRYPTO(3));
	assert_null(strstr(offer(&b, a.oa), "crypto"));
	assert_string_equal(video_of(text), "m=video 20010 RTP/AVPF 96\r\n" H264 "a=sendrecv\r\n");
	answered(&b, ANSWERED);
	assert_string_equal(video_of(answer(&a, b.oa)), "m=video 20010 RTP/SAVPF 96\r\n" H264);
	assert_non_null(strstr(strstr(text, "m=video"), "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:"));
	srtp = oa_other_srtp(&oa_others(a.oa)->list[0]);
	assert_non_null(srtp);
	assert_string_equal(srtp->suite, "AES_CM_128_HMAC_SHA1_80");
	assert_int_equal(srtp->ntheirs, 1);
	assert_memory_not_equal(srtp->ours.key, oa_srtp(a.oa)->ours.key, srtp->key_len); /* not the sound's (RFC 3711 §9.1) */
	assert_null(oa_other_srtp(&oa_others(b.oa)->list[0]));
	oa_free(a.oa);
	oa_free(b.oa);
}

static void test_oa_other_required_srtp_is_never_plain(void **state)
{
	struct side a = side_new(), b = side_new();
	uint8_t key[OA_KEY_MAX];

	(void)state;
	b.policy = OA_REQUIRE;
	b.sdes = true;
	take(&a, OFFERED);
	assert_string_equal(video_of(offer(&b, a.oa)), "m=video 20010 RTP/SAVP 96 97\r\n" H264 VP8);
	assert_non_null(strstr(strstr(text, "m=video"), "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:"));
	answered(&b, THEIRS "m=audio 4000 RTP/SAVP 8\r\n" CRYPTO(3) "m=video 6002 RTP/SAVP 96\r\n" H264 CRYPTO(3));
	assert_string_equal(video_of(answer(&a, b.oa)), "m=video 20010 RTP/AVP 96\r\n" H264 "a=sendrecv\r\n");
	assert_non_null(oa_other_srtp(&oa_others(b.oa)->list[0]));
	/* The same key in a refresh, and no other way any more. */
	memcpy(key, oa_other_srtp(&oa_others(b.oa)->list[0])->ours.key, sizeof(key));
	offer(&b, a.oa);
	assert_non_null(strstr(strstr(text, "m=video"), "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"));
	assert_null(strstr(strstr(text, "m=video"), "a=crypto:2"));
	answered(&b, THEIRS "m=audio 4000 RTP/SAVP 8\r\n" CRYPTO(1) "m=video 6002 RTP/SAVP 96\r\n" H264 CRYPTO(1));
	assert_memory_equal(key, oa_other_srtp(&oa_others(b.oa)->list[0])->ours.key, sizeof(key));
	/* A plain offer of it is refused, and so is a plain answer. */
	take(&b, THEIRS "m=audio 4000 RTP/SAVP 8\r\n" CRYPTO(1) "m=video 6002 RTP/AVP 96\r\n" H264);
	assert_string_equal(video_of(answer(&b, a.oa)), "m=video 0 RTP/AVP 96\r\n");
	assert_null(oa_other_srtp(&oa_others(b.oa)->list[0]));
	oa_others_forget(b.oa);
	offer(&b, a.oa);
	answered(&b, THEIRS "m=audio 4000 RTP/SAVP 8\r\n" CRYPTO(1) "m=video 6002 RTP/AVP 96\r\n" H264);
	assert_false(oa_others(b.oa)->list[0].is_on);
	oa_free(a.oa);
	oa_free(b.oa);
}

/* RFC 8643: keys beside RTP/AVP, which may be passed over. */
static void test_oa_other_keys_may_be_passed_over(void **state)
{
	struct side a = side_new(), b = side_new();

	(void)state;
	b.policy = OA_OFFER;
	b.sdes = true;
	take(&a, OFFERED);
	assert_string_equal(video_of(offer(&b, a.oa)), "m=video 20010 RTP/AVP 96 97\r\n" H264 VP8);
	assert_non_null(strstr(strstr(text, "m=video"), "a=crypto:1 "));
	answered(&b, ANSWERED);
	assert_true(oa_others(b.oa)->list[0].is_on);
	assert_null(oa_other_srtp(&oa_others(b.oa)->list[0]));
	assert_null(strstr(strstr(offer(&b, a.oa), "m=video"), "a=crypto")); /* plain it stays */
	oa_rollback(b.oa);
	oa_free(a.oa);
	oa_free(b.oa);
}

static void test_oa_other_keys_that_are_none_are_refused(void **state)
{
	struct side a = side_new(), b = side_new();

	(void)state;
	a.policy = OA_OFFER;
	a.sdes = true;
	take(&a, THEIRS AUDIO "m=video 4002 RTP/SAVP 96\r\n" H264);
	offer(&b, a.oa);
	answered(&b, ANSWERED);
	assert_string_equal(video_of(answer(&a, b.oa)), "m=video 0 RTP/SAVP 96\r\n");
	assert_true(oa_others(a.oa)->list[0].is_refused);
	oa_free(a.oa);
	oa_free(b.oa);
}

static bool take_it(struct side *s, const char *theirs)
{
	int err = oa_take_offer(s->oa, str_from(theirs));

	assert_true(err == 0 || err == -ENOMEM);
	return !err;
}

static bool say(struct side *s, const struct oa *partner, bool is_offer)
{
	struct oa_local l = local_of(s, partner);
	struct out o;
	int err;

	out_init(&o, text, sizeof(text));
	err = is_offer ? oa_offer(s->oa, &l, &o) : oa_answer(s->oa, &l, false, &o);
	assert_true(err == 0 || err == -ENOMEM || err == -ENOSPC);
	return !err;
}

/* -EINVAL: there was no memory for the video's words, so it wasn't offered, and is answered all the same. */
static bool hear(struct side *s, const char *theirs)
{
	int err = oa_take_answer(s->oa, str_from(theirs));

	assert_true(err == 0 || err == -ENOMEM || err == -EINVAL);
	return !err;
}

/* A call with video that both encrypt, a change, an offer that is withdrawn. */
static void scenario(void)
{
	struct side a = { .oa = oa_new(1), .policy = OA_OFFER, .sdes = true }, b = { .oa = oa_new(2), .policy = OA_OFFER, .sdes = true };

	heap.armed = true;
	if (a.oa && b.oa && take_it(&a, OFFERED CRYPTO(1)) && say(&b, a.oa, true) && hear(&b, ANSWERED CRYPTO(3)) && say(&a, b.oa, false) &&
	    take_it(&a, OFFERED CRYPTO(1) "a=sendonly\r\nm=text 4004 RTP/AVP 98\r\n") && say(&a, b.oa, false) && say(&b, a.oa, true))
		oa_rollback(b.oa);
	heap.armed = false;
	oa_rollback(a.oa);
	oa_rollback(b.oa);
	oa_free(a.oa);
	oa_free(b.oa);
}

static void test_oa_other_memory_runs_out_and_nothing_is_left(void **state)
{
	unsigned total;

	(void)state;
	heap.is_counted = true;
	heap.count = heap.fail_at = 0;
	heap.balance = 0;
	scenario();
	total = heap.count;
	assert_int_equal(heap.balance, 0);
	assert_true(!CAN_FAIL || total > 40);
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
		cmocka_unit_test(test_oa_other_words_pass_and_the_way_is_ours),
		cmocka_unit_test(test_oa_other_what_cannot_pass_is_refused_in_its_place),
		cmocka_unit_test(test_oa_other_nobody_there_refuses),
		cmocka_unit_test(test_oa_other_is_offered_when_somebody_comes),
		cmocka_unit_test(test_oa_other_refusal_is_not_asked_again_unless_forgotten),
		cmocka_unit_test(test_oa_other_added_later_is_asked_for_and_comes_last),
		cmocka_unit_test(test_oa_other_failed_offer_leaves_nothing),
		cmocka_unit_test(test_oa_other_removed_goes_off_on_both),
		cmocka_unit_test(test_oa_other_hold_and_its_end_reach_the_other_one),
		cmocka_unit_test(test_oa_other_old_hold_by_address_stops_sending),
		cmocka_unit_test(test_oa_other_numbers_that_differ_are_not_joined),
		cmocka_unit_test(test_oa_other_early_answer_is_replaced),
		cmocka_unit_test(test_oa_other_early_refusal_of_the_sound_is_taken_back),
		cmocka_unit_test(test_oa_other_early_answer_may_be_kept),
		cmocka_unit_test(test_oa_other_left_out_of_an_answer_is_refused),
		cmocka_unit_test(test_oa_other_too_long_or_too_many_are_refused),
		cmocka_unit_test(test_oa_other_srtp_is_each_legs_own),
		cmocka_unit_test(test_oa_other_required_srtp_is_never_plain),
		cmocka_unit_test(test_oa_other_keys_may_be_passed_over),
		cmocka_unit_test(test_oa_other_keys_that_are_none_are_refused),
		cmocka_unit_test(test_oa_other_memory_runs_out_and_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
