/* test_oa.c - the offer/answer machine against RFC 3264, RFC 4317 and RFC 6337. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sdp/oa.h"

static const struct oa_codec codecs[] = {
	{ .name = "G722", .clock_hz = 8000, .channels = 1, .pt = 9 },
	{ .name = "PCMA", .clock_hz = 8000, .channels = 1, .pt = 8 },
	{ .name = "PCMU", .clock_hz = 8000, .channels = 1, .pt = 0 },
};

static const struct oa_codec wide_codecs[] = {
	{ .name = "opus", .clock_hz = 48000, .channels = 2, .pt = 96, .fmtp = "useinbandfec=1" },
	{ .name = "PCMU", .clock_hz = 8000, .channels = 1, .pt = 0 },
};

static const struct oa_local local = {
	.addr = "203.0.113.5",
	.port = 20000,
	.rtcp_port = 20001,
	.dir = SDP_SENDRECV,
	.ptime_ms = 20,
	.ncodecs = ARRAY_LEN(codecs),
	.codecs = codecs,
	.dtmf = true,
};

#define THEIRS "v=0\r\no=alice 2890844526 2890844526 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
#define OURS(version) "v=0\r\no=- 7 " version " IN IP4 203.0.113.5\r\ns=-\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\n"
#define OUR_CODECS "a=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
#define OUR_EVENTS "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"

static char text[16384];

static const char *offer(struct oa *oa, const struct oa_local *l)
{
	struct out o;

	out_init(&o, text, sizeof(text));
	assert_int_equal(oa_offer(oa, l, &o), 0);
	out_chr(&o, '\0');
	return text;
}

static const char *answer(struct oa *oa, const char *theirs, const struct oa_local *l, bool prefer_local)
{
	struct out o;

	out_init(&o, text, sizeof(text));
	assert_int_equal(oa_take_offer(oa, str_from(theirs)), 0);
	assert_int_equal(oa_state(oa), OA_REMOTE_OFFER);
	assert_int_equal(oa_answer(oa, l, prefer_local, &o), 0);
	assert_int_equal(oa_state(oa), OA_IDLE);
	out_chr(&o, '\0');
	return text;
}

static int try_answer(struct oa *oa, const char *theirs)
{
	struct out o;
	int err = oa_take_offer(oa, str_from(theirs));
	bool can;

	out_init(&o, text, sizeof(text));
	if (err)
		return err;
	can = oa_can_answer(oa, &local);
	err = oa_answer(oa, &local, false, &o);
	assert_true(can == !err);
	return err;
}

static void test_oa_offer_lists_what_we_can(void **state)
{
	struct oa *oa = oa_new(7);

	(void)state;
	assert_false(oa_is_complete(oa));
	assert_string_equal(offer(oa, &local), OURS("1") "m=audio 20000 RTP/AVP 9 8 0 101\r\n" OUR_CODECS OUR_EVENTS
							   "a=ptime:20\r\na=sendrecv\r\n");
	assert_int_equal(oa_state(oa), OA_LOCAL_OFFER);
	oa_free(oa);
}

static void test_oa_offer_ipv6_rtcp_and_direction(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local;

	(void)state;
	l.addr = "2001:db8::5";
	l.addr_is_ip6 = true;
	l.rtcp_port = 30003;
	l.dir = SDP_SENDONLY;
	l.ptime_ms = 30;
	l.dtmf = false;
	l.ncodecs = 1;
	assert_string_equal(offer(oa, &l), "v=0\r\no=- 7 1 IN IP6 2001:db8::5\r\ns=-\r\nc=IN IP6 2001:db8::5\r\nt=0 0\r\n"
					   "m=audio 20000 RTP/AVP 9\r\na=rtpmap:9 G722/8000\r\na=ptime:30\r\na=rtcp:30003\r\n"
					   "a=sendonly\r\n");
	oa_free(oa);
}

static void test_oa_answer_rfc4317_audio_and_video(void **state)
{
	struct oa *oa = oa_new(7);
	const struct oa_agreed *a = oa_agreed(oa);

	(void)state;
	/* RFC 4317 §2.1, the offer of Alice; video is refused with its formats, iLBC is unknown here */
	assert_string_equal(answer(oa, THEIRS "m=audio 49170 RTP/AVP 0 8 97\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
					      "a=rtpmap:97 iLBC/8000\r\nm=video 51372 RTP/AVP 31 32\r\na=rtpmap:31 H261/90000\r\n"
					      "a=rtpmap:32 MPV/90000\r\n",
				   &local, false),
			    OURS("1") "m=audio 20000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n"
				      "a=sendrecv\r\nm=video 0 RTP/AVP 31 32\r\n");
	assert_true(a->has_audio);
	assert_string_equal(a->addr, "192.0.2.10");
	assert_int_equal(a->port, 49170);
	assert_int_equal(a->rtcp_port, 49171);
	assert_string_equal(a->codec.name, "PCMU");
	assert_int_equal(a->ncommon, 2);
	assert_int_equal(a->dtmf_send_pt, -1);
	assert_int_equal(a->dir, SDP_SENDRECV);
	assert_false(a->remote_hold);
	/* RFC 4317 §3.1: the other one holds, version + 1 */
	assert_string_equal(answer(oa, THEIRS "m=audio 49170 RTP/AVP 0 8\r\na=sendonly\r\nm=video 0 RTP/AVP 31\r\n", &local, false),
			    OURS("2") "m=audio 20000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n"
				      "a=recvonly\r\nm=video 0 RTP/AVP 31\r\n");
	assert_true(a->remote_hold);
	assert_int_equal(a->dir, SDP_RECVONLY);
	oa_free(oa);
}

/* RFC 4317 §2.4: the offer's second audio stream carries the events; audio stays in its place between others. */
static void test_oa_answer_keeps_order_of_sections(void **state)
{
	struct oa *oa = oa_new(7);

	(void)state;
	assert_string_equal(answer(oa, THEIRS "m=video 51372 RTP/SAVPF 96 97\r\na=rtpmap:96 VP8/90000\r\n"
					      "m=audio 49172 RTP/SAVP 0\r\n"
					      "m=audio 49170 RTP/AVPF 97 8\r\na=rtpmap:97 iLBC/8000\r\n"
					      "m=image 5000 udptl t38\r\n"
					      "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
				   &local, false),
			    OURS("1") "m=video 0 RTP/SAVPF 96 97\r\nm=audio 0 RTP/SAVP 0\r\n"
				      "m=audio 20000 RTP/AVPF 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\na=sendrecv\r\n"
				      "m=image 0 udptl t38\r\nm=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n");
	assert_int_equal(oa_agreed(oa)->port, 49170);
	/* Our offer repeats them all (RFC 3264 §8) */
	assert_string_equal(offer(oa, &local), OURS("2") "m=video 0 RTP/SAVPF 96 97\r\nm=audio 0 RTP/SAVP 0\r\n"
							 "m=audio 20000 RTP/AVPF 9 8 0 101\r\n" OUR_CODECS OUR_EVENTS
							 "a=ptime:20\r\na=sendrecv\r\n"
							 "m=image 0 udptl t38\r\nm=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n");
	/* and its answer must have as many */
	assert_int_equal(oa_take_answer(oa, STR(THEIRS "m=audio 49170 RTP/AVP 8\r\n")), -EINVAL);
	assert_int_equal(oa_state(oa), OA_LOCAL_OFFER);
	assert_int_equal(oa_take_answer(oa, STR(THEIRS "m=video 0 RTP/SAVPF 96 97\r\nm=audio 0 RTP/SAVP 0\r\n"
						       "m=audio 6000 RTP/AVPF 0\r\nm=image 0 udptl t38\r\n"
						       "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n")), 0);
	assert_int_equal(oa_agreed(oa)->port, 6000);
	assert_string_equal(oa_agreed(oa)->codec.name, "PCMU");
	oa_free(oa);
}

static void test_oa_answer_order_of_preference(void **state)
{
	static const char theirs[] = THEIRS "m=audio 49170 RTP/AVP 0 3 8 9 96\r\na=rtpmap:96 telephone-event/8000\r\n";
	struct oa_codec offered[OA_CODECS_MAX];

	(void)state;
	for (int prefer_local = 0; prefer_local < 2; prefer_local++) {
		struct oa *oa = oa_new(7);

		assert_int_equal(oa_take_offer(oa, STR(theirs)), 0);
		assert_int_equal(oa_offered(oa, &local, offered), 3);
		assert_string_equal(offered[0].name, "PCMU");
		assert_string_equal(offered[1].name, "PCMA");
		assert_string_equal(offered[2].name, "G722");
		oa_rollback(oa);
		answer(oa, theirs, &local, prefer_local);
		assert_non_null(strstr(text, prefer_local ? "m=audio 20000 RTP/AVP 9 8 0 96\r\n" : "m=audio 20000 RTP/AVP 0 8 9 96\r\n"));
		assert_non_null(strstr(text, "a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\n"));
		assert_string_equal(oa_agreed(oa)->codec.name, prefer_local ? "G722" : "PCMU");
		assert_int_equal(oa_agreed(oa)->send_pt, prefer_local ? 9 : 0);
		assert_int_equal(oa_agreed(oa)->dtmf_send_pt, 96);
		assert_int_equal(oa_agreed(oa)->dtmf_recv_pt, 96);
		assert_int_equal(oa_agreed(oa)->dtmf_clock_hz, 8000);
		oa_free(oa);
	}
}

/* RFC 7587 §7.1: what they say of a codec is to be known before it is answered, and afterwards. */
static void test_oa_fmtp_of_theirs_is_kept(void **state)
{
	static const char theirs[] = THEIRS "m=audio 49170 RTP/AVP 0 96\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 stereo=1;%s\r\n";
	static const struct oa_codec opus = { .name = "opus", .clock_hz = 48000, .channels = 2, .pt = 111, .fmtp = "useinbandfec=1" };
	struct oa_local l = local;
	char with[600], long_one[200];

	(void)state;
	l.codecs = &opus;
	l.ncodecs = 1;
	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	for (int is_long = 0; is_long < 2; is_long++) {
		struct oa *oa = oa_new(7);

		snprintf(with, sizeof(with), theirs, is_long ? long_one : "usedtx=1");
		assert_true(str_empty(oa_fmtp(oa, &opus)));
		assert_int_equal(oa_take_offer(oa, str_from(with)), 0);
		assert_true(str_starts(oa_fmtp(oa, &opus), STR("stereo=1;")));
		assert_true(str_empty(oa_fmtp(oa, &codecs[0])));
		oa_rollback(oa);
		answer(oa, with, &l, true);
		assert_non_null(strstr(text, "a=fmtp:96 useinbandfec=1\r\n"));
		assert_string_equal(oa_agreed(oa)->fmtp, is_long ? "stereo=1" : "stereo=1;usedtx=1");
		assert_true(str_eqz(oa_fmtp(oa, &opus), oa_agreed(oa)->fmtp));
		assert_true(str_empty(oa_fmtp(oa, &codecs[0])));
		oa_free(oa);
	}
}

/* RFC 4733 §2.1, RFC 7587 §4.1: events have the clock of the audio they stand in for, where they can be had so. */
static void test_oa_events_have_the_clock_of_the_codec(void **state)
{
	static const char opus[] = THEIRS "m=audio 49170 RTP/AVP 96 97 98\r\na=rtpmap:96 opus/48000/2\r\n";
	static const struct { const char *events; uint32_t clock_hz; int pt; } v[] = {
		{ "a=rtpmap:97 telephone-event/8000\r\na=rtpmap:98 telephone-event/48000\r\n", 48000, 98 },
		{ "a=rtpmap:98 telephone-event/48000\r\n", 48000, 98 },
		{ "a=rtpmap:97 telephone-event/8000\r\n", 8000, 97 }, /* baresip 1.0 */
		{ "", 0, -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct oa *oa = oa_new(7);
		char theirs[600];

		snprintf(theirs, sizeof(theirs), "%s%s", opus, v[i].events);
		answer(oa, theirs, &(struct oa_local){ .addr = local.addr, .port = 20000, .rtcp_port = 20001, .dir = SDP_SENDRECV,
						       .ncodecs = 1, .dtmf = true,
						       .codecs = &(struct oa_codec){ .name = "opus", .clock_hz = 48000, .channels = 2, .pt = 111 } }, true);
		assert_int_equal(oa_agreed(oa)->dtmf_send_pt, v[i].pt);
		assert_int_equal(oa_agreed(oa)->dtmf_recv_pt, v[i].pt);
		assert_int_equal(oa_agreed(oa)->dtmf_clock_hz, v[i].clock_hz);
		oa_free(oa);
	}
}

static void test_oa_offered_without_offer_is_none(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_codec offered[OA_CODECS_MAX];

	(void)state;
	assert_int_equal(oa_offered(oa, &local, offered), 0);
	oa_free(oa);
}

/* RFC 3264 §6.1, §5.1 and §8.4: what we may do with each of their directions, for each wish of ours. */
static void test_oa_answer_directions(void **state)
{
	static const struct { const char *attr, *addr; enum sdp_dir wish, dir; bool remote_hold; } rows[] = {
		{ "sendrecv", "192.0.2.10", SDP_SENDRECV, SDP_SENDRECV, false },
		{ "sendonly", "192.0.2.10", SDP_SENDRECV, SDP_RECVONLY, true },
		{ "recvonly", "192.0.2.10", SDP_SENDRECV, SDP_SENDONLY, false },
		{ "inactive", "192.0.2.10", SDP_SENDRECV, SDP_INACTIVE, true },
		{ "sendrecv", "192.0.2.10", SDP_SENDONLY, SDP_SENDONLY, false },
		{ "sendonly", "192.0.2.10", SDP_SENDONLY, SDP_INACTIVE, true },
		{ "recvonly", "192.0.2.10", SDP_SENDONLY, SDP_SENDONLY, false },
		{ "sendrecv", "192.0.2.10", SDP_RECVONLY, SDP_RECVONLY, false },
		{ "recvonly", "192.0.2.10", SDP_RECVONLY, SDP_INACTIVE, false },
		{ "sendrecv", "192.0.2.10", SDP_INACTIVE, SDP_INACTIVE, false },
		/* Hold as in RFC 2543 */
		{ "sendrecv", "0.0.0.0", SDP_SENDRECV, SDP_RECVONLY, true },
		{ "sendonly", "0.0.0.0", SDP_SENDRECV, SDP_RECVONLY, true },
		{ "inactive", "0.0.0.0", SDP_SENDRECV, SDP_INACTIVE, true },
		{ "sendrecv", "hold.INVALID", SDP_SENDRECV, SDP_RECVONLY, true }, /* RFC 6157 §5.1 */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(7);
		struct oa_local l = local;
		char theirs[512], attr[32];

		l.dir = rows[i].wish;
		snprintf(theirs, sizeof(theirs), "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
			 "m=audio 4000 RTP/AVP 0\r\na=%s\r\n", rows[i].addr, rows[i].attr);
		answer(oa, theirs, &l, false);
		snprintf(attr, sizeof(attr), "a=%s\r\n", sdp_dir_name(rows[i].dir));
		if (oa_agreed(oa)->dir != rows[i].dir || oa_agreed(oa)->remote_hold != rows[i].remote_hold || !strstr(text, attr))
			fail_msg("row %zu: %s", i, sdp_dir_name(oa_agreed(oa)->dir));
		oa_free(oa);
	}
}

static void test_oa_take_answer_directions(void **state)
{
	static const struct { enum sdp_dir offered; const char *attr; enum sdp_dir dir; bool remote_hold; } rows[] = {
		{ SDP_SENDRECV, "sendrecv", SDP_SENDRECV, false }, { SDP_SENDRECV, "sendonly", SDP_RECVONLY, true },
		{ SDP_SENDRECV, "recvonly", SDP_SENDONLY, false }, { SDP_SENDRECV, "inactive", SDP_INACTIVE, true },
		{ SDP_SENDONLY, "recvonly", SDP_SENDONLY, false }, { SDP_SENDONLY, "inactive", SDP_INACTIVE, true },
		{ SDP_SENDONLY, "sendrecv", SDP_SENDONLY, false }, /* wrong of them, harmless to us */
		{ SDP_RECVONLY, "sendonly", SDP_RECVONLY, false }, { SDP_INACTIVE, "inactive", SDP_INACTIVE, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(7);
		struct oa_local l = local;
		char theirs[512];

		l.dir = rows[i].offered;
		offer(oa, &l);
		snprintf(theirs, sizeof(theirs), THEIRS "m=audio 4000 RTP/AVP 0\r\na=%s\r\n", rows[i].attr);
		assert_int_equal(oa_take_answer(oa, str_from(theirs)), 0);
		if (oa_agreed(oa)->dir != rows[i].dir || oa_agreed(oa)->remote_hold != rows[i].remote_hold)
			fail_msg("row %zu: %s", i, sdp_dir_name(oa_agreed(oa)->dir));
		oa_free(oa);
	}
}

static void test_oa_take_answer_maps_payload_types(void **state)
{
	struct oa *oa = oa_new(7);
	const struct oa_agreed *a = oa_agreed(oa);
	struct oa_local l = local;

	(void)state;
	l.codecs = wide_codecs;
	l.ncodecs = ARRAY_LEN(wide_codecs);
	/* Events for both clocks: 101 is that of 8000, which old gateways expect there */
	assert_string_equal(offer(oa, &l), OURS("1") "m=audio 20000 RTP/AVP 96 0 110 101\r\na=rtpmap:96 opus/48000/2\r\n"
						     "a=fmtp:96 useinbandfec=1\r\na=rtpmap:0 PCMU/8000\r\n"
						     "a=rtpmap:110 telephone-event/48000\r\na=fmtp:110 0-16\r\n"
						     "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
						     "a=ptime:20\r\na=sendrecv\r\n");
	/* They answer with numbers of their own (RFC 3264 §6.1 allows it) */
	assert_int_equal(oa_take_answer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 120 110 100 0\r\na=rtpmap:120 OPUS/48000/2\r\n"
						       "a=rtpmap:110 telephone-event/8000\r\na=rtpmap:100 telephone-event/48000\r\n"
						       "a=ptime:40\r\n")), 0);
	assert_string_equal(a->codec.name, "opus");
	assert_int_equal(a->send_pt, 120);
	assert_int_equal(a->recv_pt, 96);
	assert_int_equal(a->dtmf_send_pt, 100);
	assert_int_equal(a->dtmf_recv_pt, 110);
	assert_int_equal(a->dtmf_clock_hz, 48000);
	assert_int_equal(a->ptime_ms, 40);
	assert_int_equal(a->ncommon, 2);
	assert_string_equal(a->common[1].name, "PCMU");
	/* A later offer keeps ours, in another order too (RFC 3264 §8.3.2); unchanged text keeps its version */
	assert_non_null(strstr(offer(oa, &l), "o=- 7 1 IN"));
	assert_non_null(strstr(text, "m=audio 20000 RTP/AVP 96 0 110 101\r\n"));
	oa_rollback(oa);
	l.codecs = codecs;
	l.ncodecs = ARRAY_LEN(codecs);
	assert_non_null(strstr(offer(oa, &l), "m=audio 20000 RTP/AVP 9 8 0 101\r\n"));
	assert_non_null(strstr(text, "o=- 7 2 IN"));
	assert_int_equal(a->send_pt, 120); /* until it is answered */
	oa_free(oa);
}

/* A number they used for something else is not taken for a new codec of ours. */
static void test_oa_offer_avoids_their_numbers(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local;

	(void)state;
	l.codecs = wide_codecs;
	l.ncodecs = ARRAY_LEN(wide_codecs);
	answer(oa, THEIRS "m=audio 4000 RTP/AVP 0 96 97 101\r\na=rtpmap:96 telephone-event/8000\r\na=rtpmap:97 iLBC/8000\r\n"
			  "a=rtpmap:101 speex/8000\r\n", &l, false);
	assert_non_null(strstr(offer(oa, &l), "m=audio 20000 RTP/AVP 98 0 110 96\r\na=rtpmap:98 opus/48000/2\r\n"));
	assert_non_null(strstr(text, "a=rtpmap:110 telephone-event/48000\r\n"));
	assert_non_null(strstr(text, "a=rtpmap:96 telephone-event/8000\r\n"));
	oa_free(oa);
}

/* RFC 3264 §8.3.2: nor is one of ours that has gone out of use, since they have heard what it stands for. */
static void test_oa_offer_avoids_our_own_former_numbers(void **state)
{
	static const struct oa_codec first[] = { { .name = "opus", .clock_hz = 48000, .channels = 2, .pt = 96 } };
	static const struct oa_codec second[] = { { .name = "speex", .clock_hz = 16000, .channels = 1, .pt = 96 } };
	struct oa *oa = oa_new(7);
	struct oa_local l = local;

	(void)state;
	l.dtmf = false;
	l.ncodecs = 1;
	l.codecs = first;
	assert_non_null(strstr(offer(oa, &l), "m=audio 20000 RTP/AVP 96\r\n"));
	oa_rollback(oa); /* refused: they have seen it all the same */
	l.codecs = second;
	assert_non_null(strstr(offer(oa, &l), "m=audio 20000 RTP/AVP 97\r\na=rtpmap:97 speex/16000\r\n"));
	oa_free(oa);
}

static void test_oa_early_answer_leaves_offer_open(void **state)
{
	struct oa *oa = oa_new(7);

	(void)state;
	assert_int_equal(oa_take_early_answer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\n")), -EBUSY);
	offer(oa, &local);
	assert_int_equal(oa_take_early_answer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\n")), 0);
	assert_int_equal(oa_state(oa), OA_LOCAL_OFFER);
	assert_true(oa_is_complete(oa));
	assert_int_equal(oa_agreed(oa)->port, 4000);
	/* Another fork answers in the end */
	assert_int_equal(oa_take_answer(oa, STR(THEIRS "m=audio 5000 RTP/AVP 8\r\n")), 0);
	assert_int_equal(oa_state(oa), OA_IDLE);
	assert_int_equal(oa_agreed(oa)->port, 5000);
	assert_string_equal(oa_agreed(oa)->codec.name, "PCMA");
	oa_free(oa);

	oa = oa_new(7);
	offer(oa, &local);
	assert_int_equal(oa_take_early_answer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\n")), 0);
	oa_rollback(oa);
	assert_false(oa_is_complete(oa));
	assert_false(oa_agreed(oa)->has_audio);
	assert_int_equal(oa_keep_early_answer(oa), -EPROTO);
	/* nothing follows it: it was the answer, of this offer and no other */
	offer(oa, &local);
	assert_int_equal(oa_keep_early_answer(oa), -EPROTO);
	assert_int_equal(oa_take_early_answer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\n")), 0);
	assert_int_equal(oa_keep_early_answer(oa), 0);
	assert_int_equal(oa_state(oa), OA_IDLE);
	assert_int_equal(oa_agreed(oa)->port, 4000);
	offer(oa, &local);
	assert_int_equal(oa_keep_early_answer(oa), -EPROTO);
	oa_free(oa);
}

static void test_oa_rollback_restores(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local;

	(void)state;
	answer(oa, THEIRS "m=audio 4000 RTP/AVP 0\r\n", &local, false);
	l.dir = SDP_SENDONLY;
	offer(oa, &l);
	oa_rollback(oa);
	assert_int_equal(oa_state(oa), OA_IDLE);
	assert_int_equal(oa_agreed(oa)->port, 4000);
	assert_int_equal(oa_agreed(oa)->dir, SDP_SENDRECV);
	assert_int_equal(oa_take_offer(oa, STR(THEIRS "m=audio 5000 RTP/AVP 0\r\n")), 0);
	oa_rollback(oa);
	assert_int_equal(oa_agreed(oa)->port, 4000);
	oa_rollback(oa);
	assert_int_equal(oa_state(oa), OA_IDLE);
	/* The failed offer's version isn't used again for another text */
	assert_non_null(strstr(offer(oa, &local), "o=- 7 3 IN"));
	oa_free(oa);
}

static void test_oa_refuses_out_of_turn(void **state)
{
	struct oa *oa = oa_new(7);
	struct out o;

	(void)state;
	out_init(&o, text, sizeof(text));
	assert_int_equal(oa_answer(oa, &local, false, &o), -EBUSY);
	assert_int_equal(oa_take_answer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\n")), -EBUSY);
	offer(oa, &local);
	assert_int_equal(oa_offer(oa, &local, &o), -EBUSY);
	assert_int_equal(oa_take_offer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\n")), -EBUSY);
	assert_int_equal(oa_answer(oa, &local, false, &o), -EBUSY);
	oa_rollback(oa);
	assert_int_equal(oa_take_offer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\n")), 0);
	assert_int_equal(oa_take_offer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\n")), -EBUSY);
	assert_int_equal(oa_offer(oa, &local, &o), -EBUSY);
	assert_int_equal(oa_take_answer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\n")), -EBUSY);
	oa_free(oa);
}

static void test_oa_answer_refuses(void **state)
{
	static const struct { const char *offer; int err; } rows[] = {
		{ THEIRS "m=audio 4000 RTP/AVP 0\r\n", 0 },
		{ THEIRS "m=audio 4000 RTP/AVP 3 97\r\na=rtpmap:97 iLBC/8000\r\n", -EPROTO },
		{ THEIRS "m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n", -EPROTO },
		{ THEIRS "m=audio 4000 RTP/AVP 9\r\na=rtpmap:9 G722/16000\r\n", -EPROTO }, /* not our clock */
		{ THEIRS "m=audio 4000 RTP/SAVP 0\r\n", -EPROTO },
		{ THEIRS "m=video 4000 RTP/AVP 0\r\n", -EPROTO },
		{ THEIRS "m=audio 0 RTP/AVP 0\r\n", -EPROTO }, /* nothing to talk with in a new session */
		{ THEIRS, 0 }, /* no stream yet: RFC 3264 §5 */
		{ "nonsense", -EINVAL },
		{ "", -EINVAL },
		{ "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n", -EINVAL }, /* no c= */
		{ "v=0\r\no=- 1 1 IN IP4 x\r\nc=IN IP4 \033[2J\r\nm=audio 4000 RTP/AVP 0\r\n", -EINVAL },
		{ "v=0\r\no=- 1 1 IN IP4 x\r\nc=IN IP4 a123456789b123456789c123456789d123456789e123456789f123456789.example\r\n"
		  "m=audio 4000 RTP/AVP 0\r\n", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(7);
		int err = try_answer(oa, rows[i].offer);

		if (err != rows[i].err || oa_state(oa) != OA_IDLE || oa_is_complete(oa) != !err)
			fail_msg("row %zu: %d", i, err);
		oa_free(oa);
	}
}

/* Each section in its place with port 0 (RFC 3264 §6); audio may come with a later offer of ours. */
static void test_oa_decline_takes_nothing(void **state)
{
	struct oa *oa = oa_new(7);
	struct out o;

	(void)state;
	out_init(&o, text, sizeof(text));
	assert_int_equal(oa_decline(oa, &local, &o), -EBUSY);
	assert_int_equal(oa_take_offer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 77\r\nm=video 4002 RTP/AVP 31\r\n")), 0);
	assert_int_equal(oa_decline(oa, &local, &o), 0);
	out_chr(&o, '\0');
	assert_string_equal(text, OURS("1") "m=audio 0 RTP/AVP 77\r\nm=video 0 RTP/AVP 31\r\n");
	assert_int_equal(oa_state(oa), OA_IDLE);
	assert_false(oa_agreed(oa)->has_audio);
	oa_free(oa);
}

static void test_oa_take_answer_refuses(void **state)
{
	static const struct { const char *answer; int err; bool has_audio; } rows[] = {
		{ THEIRS "m=audio 4000 RTP/AVP 0\r\n", 0, true },
		{ THEIRS "m=audio 4000 RTP/AVP 3 8\r\n", 0, true }, /* what wasn't offered is left alone */
		{ THEIRS "m=audio 0 RTP/AVP 0\r\n", 0, false },     /* refused */
		{ THEIRS "m=audio 4000 RTP/AVP 3\r\n", -EINVAL, false },
		{ THEIRS "m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n", -EINVAL, false },
		{ THEIRS "m=audio 4000 RTP/SAVP 0\r\n", -EINVAL, false },
		{ THEIRS "m=video 4000 RTP/AVP 0\r\n", -EINVAL, false },
		{ THEIRS "m=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVP 31\r\n", -EINVAL, false },
		{ THEIRS, -EINVAL, false },
		{ "nonsense", -EINVAL, false },
		{ "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n", -EINVAL, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(7);

		offer(oa, &local);
		int err = oa_take_answer(oa, str_from(rows[i].answer));

		if (err != rows[i].err || oa_state(oa) != (err ? OA_LOCAL_OFFER : OA_IDLE) || oa_agreed(oa)->has_audio != rows[i].has_audio)
			fail_msg("row %zu: %d", i, err);
		oa_free(oa);
	}
}

/* A stream switched off and on again keeps its slot (RFC 3264 §8.2, §8.1). */
static void test_oa_audio_off_and_on(void **state)
{
	struct oa *oa = oa_new(7);

	(void)state;
	answer(oa, THEIRS "m=video 5000 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 8\r\n", &local, false);
	assert_non_null(strstr(answer(oa, THEIRS "m=video 5000 RTP/AVP 31\r\nm=audio 0 RTP/AVP 8\r\n", &local, false),
			       "m=video 0 RTP/AVP 31\r\nm=audio 0 RTP/AVP 8\r\n"));
	assert_false(oa_agreed(oa)->has_audio);
	assert_true(oa_is_complete(oa));
	assert_non_null(strstr(offer(oa, &local), "m=video 0 RTP/AVP 31\r\nm=audio 20000 RTP/AVP 9 8 0 101\r\n"));
	assert_int_equal(oa_take_answer(oa, STR(THEIRS "m=video 0 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 8\r\n")), 0);
	assert_true(oa_agreed(oa)->has_audio);
	/* A re-offer we can't take leaves what was agreed */
	assert_int_equal(try_answer(oa, THEIRS "m=video 0 RTP/AVP 31\r\nm=audio 6000 RTP/AVP 3\r\n"), -EPROTO);
	assert_true(oa_agreed(oa)->has_audio);
	assert_int_equal(oa_agreed(oa)->port, 4000);
	oa_free(oa);
}

/* A controller has us answer before it knows what to offer (RFC 3725 §4.4, flow IV): the stream comes later, from either side. */
static void test_oa_session_begins_without_streams(void **state)
{
	(void)state;
	for (int ours = 0; ours < 2; ours++) {
		struct oa *oa = oa_new(7);

		assert_string_equal(answer(oa, THEIRS, &local, false), OURS("1"));
		assert_true(oa_is_complete(oa));
		assert_false(oa_agreed(oa)->has_audio);
		assert_false(oa_agreed(oa)->remote_hold);
		if (ours) {
			assert_non_null(strstr(offer(oa, &local), "t=0 0\r\nm=audio 20000 RTP/AVP 9 8 0 101\r\n"));
			assert_int_equal(oa_take_answer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 8\r\n")), 0);
		} else {
			assert_non_null(strstr(answer(oa, THEIRS "m=audio 4000 RTP/AVP 8\r\n", &local, false), "m=audio 20000 RTP/AVP 8\r\n"));
		}
		assert_true(oa_agreed(oa)->has_audio);
		assert_int_equal(try_answer(oa, THEIRS), -EPROTO); /* a section that was there stays (RFC 3264 §8) */
		assert_true(oa_agreed(oa)->has_audio);
		oa_free(oa);
	}
}

static void test_oa_version_rises_with_changes_only(void **state)
{
	static const char theirs[] = THEIRS "m=audio 4000 RTP/AVP 0\r\n";
	struct oa *oa = oa_new(7);
	struct oa_local l = local;

	(void)state;
	assert_non_null(strstr(answer(oa, theirs, &local, false), "o=- 7 1 IN"));
	assert_non_null(strstr(answer(oa, theirs, &local, false), "o=- 7 1 IN")); /* session refresh */
	l.addr = "203.0.113.6";
	assert_non_null(strstr(answer(oa, theirs, &l, false), "o=- 7 2 IN IP4 203.0.113.6\r\n"));
	l.port = 20002;
	l.rtcp_port = 20003;
	assert_non_null(strstr(answer(oa, theirs, &l, false), "o=- 7 3 IN"));
	oa_free(oa);
}

static void test_oa_answer_timing_equals_offer(void **state)
{
	static const struct { const char *timing, *answered; } rows[] = {
		{ "t=0 0\r\n", "\r\nt=0 0\r\n" }, { "t=2873397496 2873404696\r\n", "\r\nt=2873397496 2873404696\r\n" },
		{ "", "\r\nt=0 0\r\n" }, { "t=now then\r\n", "\r\nt=0 0\r\n" }, { "t=0 0 0\r\n", "\r\nt=0 0\r\n" },
		{ "t=\r\n", "\r\nt=0 0\r\n" }, { "t=1 \r\n", "\r\nt=0 0\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(7);
		char theirs[512];

		snprintf(theirs, sizeof(theirs), "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.1\r\n%sm=audio 4000 RTP/AVP 0\r\n",
			 rows[i].timing);
		if (!strstr(answer(oa, theirs, &local, false), rows[i].answered))
			fail_msg("row %zu: %s", i, text);
		oa_free(oa);
	}
}

static void test_oa_agreed_ptime(void **state)
{
	static const struct { const char *attrs; uint32_t ptime_ms; } rows[] = {
		{ "", 20 }, { "a=ptime:30\r\n", 30 }, { "a=ptime:20\r\na=maxptime:10\r\n", 10 }, { "a=ptime:1\r\n", 10 },
		{ "a=ptime:500\r\n", 60 }, { "a=ptime:25\r\n", 20 }, { "a=maxptime:150\r\n", 20 }, { "a=ptime:0\r\n", 20 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(7);
		char theirs[512];

		snprintf(theirs, sizeof(theirs), THEIRS "m=audio 4000 RTP/AVP 0\r\n%s", rows[i].attrs);
		answer(oa, theirs, &local, false);
		if (oa_agreed(oa)->ptime_ms != rows[i].ptime_ms)
			fail_msg("row %zu: %u", i, oa_agreed(oa)->ptime_ms);
		oa_free(oa);
	}
}

static void test_oa_rtcp_and_ipv6_of_theirs(void **state)
{
	struct oa *oa = oa_new(7);

	(void)state;
	answer(oa, "v=0\r\no=- 1 1 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
		   "a=rtcp:4444\r\na=rtcp-mux\r\n", &local, false);
	assert_string_equal(oa_agreed(oa)->addr, "2001:db8::1");
	assert_true(oa_agreed(oa)->addr_is_ip6);
	assert_int_equal(oa_agreed(oa)->rtcp_port, 4444);
	assert_true(oa_agreed(oa)->rtcp_mux);
	assert_non_null(strstr(text, "a=rtcp-mux\r\n"));
	oa_free(oa);
}

/* RFC 4091: of the same sound at an address of each family the first is taken, the group isn't agreed to. */
static void test_oa_first_of_two_families_is_taken(void **state)
{
	struct oa *oa = oa_new(7);

	(void)state;
	assert_string_equal(answer(oa, "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\na=group:ANAT 1 2\r\nm=audio 4000 RTP/AVP 0\r\n"
				       "c=IN IP6 2001:db8::1\r\na=mid:1\r\nm=audio 4002 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\na=mid:2\r\n",
				   &local, false),
			    OURS("1") "m=audio 20000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=mid:1\r\na=ptime:20\r\na=sendrecv\r\n"
				      "m=audio 0 RTP/AVP 0\r\na=mid:2\r\n");
	assert_string_equal(oa_agreed(oa)->addr, "2001:db8::1");
	assert_true(oa_agreed(oa)->addr_is_ip6);
	oa_free(oa);
}

/* RFC 5761 §5.1.1: it takes both, and is agreed anew with each exchange. */
static void test_oa_rtcp_mux_takes_both(void **state)
{
	struct oa *oa = oa_new(7);

	(void)state;
	assert_null(strstr(offer(oa, &local), "rtcp-mux"));
	assert_int_equal(oa_take_answer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n")), 0);
	assert_false(oa_agreed(oa)->rtcp_mux);
	assert_non_null(strstr(answer(oa, THEIRS "m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n", &local, false), "a=rtcp-mux\r\n"));
	assert_true(oa_agreed(oa)->rtcp_mux);
	assert_non_null(strstr(offer(oa, &local), "a=rtcp-mux\r\n"));
	assert_int_equal(oa_take_answer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n")), 0);
	assert_true(oa_agreed(oa)->rtcp_mux);
	offer(oa, &local);
	assert_int_equal(oa_take_answer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\n")), 0);
	assert_false(oa_agreed(oa)->rtcp_mux);
	assert_null(strstr(answer(oa, THEIRS "m=audio 4000 RTP/AVP 0\r\n", &local, false), "rtcp-mux"));
	oa_free(oa);
}

/* RFC 3261 section 20.43 */
static void test_oa_warn_codes(void **state)
{
#define SDP "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
	static const struct { const char *text; int code; } rows[] = {
		{ SDP "m=audio 4000 RTP/AVP 18\r\n", 305 },
		{ SDP "m=video 4000 RTP/AVP 31\r\nm=audio 4002 RTP/AVPF 97\r\n", 305 },
		{ SDP "m=audio 4000 RTP/SAVP 0\r\n", 302 },
		{ SDP "m=audio 4000 RTP/SAVP 18\r\nm=audio 4002 RTP/AVP 18\r\n", 305 },
		{ SDP "m=audio 4000 DCCP/TLS/RTP/SAVP 0\r\n", 302 },
		{ SDP "m=video 4000 RTP/AVP 31\r\n", 304 },
		{ SDP "m=audio 0 RTP/AVP 0\r\nm=video 4000 RTP/AVP 31\r\n", 304 },
		{ SDP, 304 },
		{ "no description", 0 },
	};
#undef SDP
	static const struct oa_codec pcmu = { .name = "PCMU", .pt = 0, .clock_hz = 8000, .channels = 1 };
	const struct oa_local l = { .ncodecs = 1, .codecs = &pcmu };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(oa_warn_code(str_from(rows[i].text), &l), rows[i].code);
}

static void test_oa_small_buffer_is_refused(void **state)
{
	struct oa *oa = oa_new(7);
	struct out o;

	(void)state;
	out_init(&o, text, 100);
	assert_int_equal(oa_offer(oa, &local, &o), -ENOSPC);
	assert_int_equal(oa_state(oa), OA_IDLE);
	out_init(&o, text, 100);
	assert_int_equal(oa_take_offer(oa, STR(THEIRS "m=audio 4000 RTP/AVP 0\r\n")), 0);
	assert_int_equal(oa_answer(oa, &local, false, &o), -ENOSPC);
	assert_int_equal(oa_state(oa), OA_IDLE);
	assert_false(oa_is_complete(oa));
	oa_free(oa);
	oa_free(NULL);
}

/* RFC 5506 §5: who is asked may say yes; nobody else begins with it, and what is agreed on stays. */
static void test_oa_rtcp_rsize_is_agreed_to_and_kept(void **state)
{
	struct oa *oa = oa_new(7);

	(void)state;
	assert_null(strstr(offer(oa, &local), "rtcp-rsize"));
	assert_int_equal(oa_take_answer(oa, str_from(THEIRS "m=audio 4000 RTP/AVP 8\r\na=rtcp-rsize\r\n")), 0);
	assert_false(oa_agreed(oa)->rtcp_rsize);
	assert_non_null(strstr(answer(oa, THEIRS "m=audio 4000 RTP/AVPF 8\r\na=rtcp-rsize\r\n", &local, false), "\r\na=rtcp-rsize\r\n"));
	assert_true(oa_agreed(oa)->rtcp_rsize);
	assert_non_null(strstr(offer(oa, &local), "\r\na=rtcp-rsize\r\n"));
	assert_int_equal(oa_take_answer(oa, str_from(THEIRS "m=audio 4000 RTP/AVPF 8\r\n")), 0);
	assert_null(strstr(offer(oa, &local), "rtcp-rsize"));
	oa_free(oa);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oa_offer_lists_what_we_can),
		cmocka_unit_test(test_oa_offer_ipv6_rtcp_and_direction),
		cmocka_unit_test(test_oa_answer_rfc4317_audio_and_video),
		cmocka_unit_test(test_oa_answer_keeps_order_of_sections),
		cmocka_unit_test(test_oa_answer_order_of_preference),
		cmocka_unit_test(test_oa_fmtp_of_theirs_is_kept),
		cmocka_unit_test(test_oa_events_have_the_clock_of_the_codec),
		cmocka_unit_test(test_oa_offered_without_offer_is_none),
		cmocka_unit_test(test_oa_answer_directions),
		cmocka_unit_test(test_oa_take_answer_directions),
		cmocka_unit_test(test_oa_take_answer_maps_payload_types),
		cmocka_unit_test(test_oa_offer_avoids_their_numbers),
		cmocka_unit_test(test_oa_offer_avoids_our_own_former_numbers),
		cmocka_unit_test(test_oa_early_answer_leaves_offer_open),
		cmocka_unit_test(test_oa_rollback_restores),
		cmocka_unit_test(test_oa_refuses_out_of_turn),
		cmocka_unit_test(test_oa_answer_refuses),
		cmocka_unit_test(test_oa_decline_takes_nothing),
		cmocka_unit_test(test_oa_take_answer_refuses),
		cmocka_unit_test(test_oa_audio_off_and_on),
		cmocka_unit_test(test_oa_session_begins_without_streams),
		cmocka_unit_test(test_oa_version_rises_with_changes_only),
		cmocka_unit_test(test_oa_answer_timing_equals_offer),
		cmocka_unit_test(test_oa_agreed_ptime),
		cmocka_unit_test(test_oa_rtcp_and_ipv6_of_theirs),
		cmocka_unit_test(test_oa_warn_codes),
		cmocka_unit_test(test_oa_first_of_two_families_is_taken),
		cmocka_unit_test(test_oa_rtcp_mux_takes_both),
		cmocka_unit_test(test_oa_small_buffer_is_refused),
		cmocka_unit_test(test_oa_rtcp_rsize_is_agreed_to_and_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
