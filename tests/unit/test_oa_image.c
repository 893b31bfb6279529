/* test_oa_image.c - T.38 in offers and answers: between two ends, with us as the far end of both (ITU-T T.38 Annex D). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdp/oa_image.h"

#define HEAD "v=0\r\no=a 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
#define AUDIO "m=audio 4000 RTP/AVP 0\r\n"
#define IMAGE "m=image 4002 udptl t38\r\n"
#define ATTRS "a=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxFillBitRemoval\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"

static const struct oa_codec codecs[] = { { .name = "PCMU", .clock_hz = 8000, .channels = 1, .pt = 0 } };
static const struct oa_local local = { .addr = "203.0.113.5", .port = 20000, .rtcp_port = 20001, .dir = SDP_SENDRECV, .ncodecs = 1, .codecs = codecs };
static char text[8192];

static struct out begin(void)
{
	struct out o;

	memset(text, 0, sizeof(text));
	out_init(&o, text, sizeof(text) - 1);
	return o;
}

/* They have offered audio, or we have; it is agreed on. */
static struct oa *agreed(bool is_ours)
{
	struct oa *oa = oa_new(7);
	struct out o = begin();

	assert_non_null(oa);
	if (is_ours) {
		assert_int_equal(oa_offer(oa, &local, &o), 0);
		assert_int_equal(oa_take_answer(oa, str_from(HEAD AUDIO)), 0);
	} else {
		assert_int_equal(oa_take_offer(oa, str_from(HEAD AUDIO)), 0);
		assert_int_equal(oa_answer(oa, &local, false, &o), 0);
	}
	return oa;
}

static void test_oa_image_passes_from_one_end_to_the_other(void **state)
{
	struct oa *a = agreed(false), *b = agreed(true);
	struct oa_image offered, answered;
	struct out o = begin();

	(void)state;
	assert_int_equal(oa_image_take_offer(a, str_from(HEAD IMAGE ATTRS "a=sendrecv\r\na=ptime:20\r\n"), &offered), 0);
	assert_string_equal(offered.addr, "192.0.2.10");
	assert_int_equal(offered.port, 4002);
	assert_string_equal(offered.attrs, ATTRS);
	assert_int_equal(oa_image_offer(b, &local, &offered, &o), 0);
	assert_non_null(strstr(text, "t=0 0\r\nm=image 20000 udptl t38\r\n" ATTRS));
	assert_null(strstr(text, "audio"));
	assert_int_equal(oa_state(b), OA_LOCAL_OFFER);
	assert_int_equal(oa_image_take_answer(b, str_from(HEAD "m=image 5000 UDPTL t38\r\na=T38FaxVersion:3\r\n"), &answered), 0);
	assert_int_equal(answered.port, 5000);
	assert_false(oa_agreed(b)->has_audio);
	o = begin();
	assert_int_equal(oa_image_answer(a, &local, &answered, &o), 0);
	assert_non_null(strstr(text, "m=image 20000 udptl t38\r\na=T38FaxVersion:3\r\n"));
	assert_int_equal(oa_state(a), OA_IDLE);
	assert_false(oa_agreed(a)->has_audio);
	/* and audio again: they offer it, and we to the other */
	o = begin();
	assert_int_equal(oa_take_offer(a, str_from(HEAD AUDIO)), 0);
	assert_int_equal(oa_answer(a, &local, false, &o), 0);
	assert_true(oa_agreed(a)->has_audio);
	assert_non_null(strstr(text, "m=audio 20000 RTP/AVP 0\r\n"));
	o = begin();
	assert_int_equal(oa_offer(b, &local, &o), 0);
	assert_non_null(strstr(text, "m=audio 20000 RTP/AVP 0\r\n"));
	assert_null(strstr(text, "image"));
	assert_int_equal(oa_take_answer(b, str_from(HEAD AUDIO)), 0);
	assert_true(oa_agreed(b)->has_audio);
	oa_free(a);
	oa_free(b);
}

static void test_oa_image_keeps_the_places_of_sections(void **state)
{
	struct oa *a = agreed(false);
	struct oa_image image;
	struct out o = begin();

	(void)state;
	assert_int_equal(oa_image_take_offer(a, str_from(HEAD "m=audio 0 RTP/AVP 0\r\n" IMAGE ATTRS), &image), 0);
	assert_int_equal(oa_image_answer(a, &local, &image, &o), 0);
	assert_non_null(strstr(text, "m=audio 0 RTP/AVP 0\r\nm=image 20000 udptl t38\r\n" ATTRS));
	o = begin();
	assert_int_equal(oa_take_offer(a, str_from(HEAD AUDIO "m=image 0 udptl t38\r\n")), 0);
	assert_int_equal(oa_answer(a, &local, false, &o), 0);
	assert_non_null(strstr(text, "m=audio 20000 RTP/AVP 0\r\n"));
	assert_non_null(strstr(text, "m=image 0 udptl t38\r\n"));
	oa_free(a);
}

static void test_oa_image_refused_goes_back(void **state)
{
	struct oa *a = agreed(false), *b = agreed(true);
	struct oa_image image;
	struct out o = begin();

	(void)state;
	assert_int_equal(oa_image_take_offer(a, str_from(HEAD IMAGE), &image), 0);
	oa_rollback(a);
	assert_true(oa_agreed(a)->has_audio);
	assert_int_equal(oa_state(a), OA_IDLE);
	assert_int_equal(oa_image_offer(b, &local, &image, &o), 0);
	assert_int_equal(oa_image_offer(b, &local, &image, &o), -EBUSY);
	oa_rollback(b);
	assert_true(oa_agreed(b)->has_audio);
	o = begin();
	assert_int_equal(oa_image_offer(b, &local, &image, &o), 0);
	assert_int_equal(oa_image_take_answer(b, str_from(HEAD AUDIO IMAGE), &image), -EINVAL);
	assert_int_equal(oa_image_take_answer(b, str_from(HEAD "m=image 0 udptl t38\r\n"), &image), -EPROTO);
	assert_false(oa_agreed(b)->has_audio);
	assert_int_equal(oa_state(b), OA_IDLE);
	oa_free(a);
	oa_free(b);
}

static void test_oa_image_is_offer_knows_one(void **state)
{
	static const struct { const char *sdp; bool is; } rows[] = {
		{ HEAD IMAGE, true }, { HEAD "m=image 4002 UDPTL T38\r\n", true }, { HEAD "m=audio 0 RTP/AVP 0\r\n" IMAGE, true },
		{ HEAD AUDIO IMAGE, false }, { HEAD AUDIO, false }, { HEAD "m=image 0 udptl t38\r\n", false },
		{ HEAD "m=image 4002 tcp t38\r\n", false }, { HEAD "m=image 4002 udptl t37\r\n", false }, { "nonsense", false }, { "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (oa_image_is_offer(str_from(rows[i].sdp)) != rows[i].is)
			fail_msg("%s", rows[i].sdp);
}

/* What doesn't fit is left out, whole lines of it. */
static void test_oa_image_attributes_are_bounded(void **state)
{
	struct oa *a = agreed(false);
	struct oa_image image;
	struct out o = begin(), theirs;
	char sdp[4096];

	(void)state;
	out_init(&theirs, sdp, sizeof(sdp) - 1);
	out_z(&theirs, HEAD IMAGE);
	for (unsigned i = 0; i < 40; i++)
		out_fmt(&theirs, "a=T38Vendor%u:%u\r\n", i, 1000000000u + i);
	sdp[theirs.len] = '\0';
	assert_int_equal(oa_image_take_offer(a, str_from(sdp), &image), 0);
	assert_in_range(strlen(image.attrs), 400, OA_IMAGE_ATTRS_MAX - 1);
	assert_string_equal(image.attrs + strlen(image.attrs) - 2, "\r\n");
	assert_int_equal(oa_image_answer(a, &local, &image, &o), 0);
	oa_free(a);
}

/* A session that begins as a fax: its answer, and the audio that may follow in its place. */
static void test_oa_image_first_is_known_and_answered(void **state)
{
	static const struct oa_image ours = { .attrs = "a=T38FaxVersion:0\r\n" };
	struct oa *oa = oa_new(7);
	struct oa_image offered;
	struct out o = begin();

	(void)state;
	assert_int_equal(oa_image_offered(oa, &offered), -ENOENT);
	assert_int_equal(oa_take_offer(oa, str_from(HEAD IMAGE ATTRS)), 0);
	assert_int_equal(oa_image_offered(oa, &offered), 0);
	assert_string_equal(offered.attrs, ATTRS);
	assert_false(oa_can_answer(oa, &local));
	assert_int_equal(oa_image_answer(oa, &local, &ours, &o), 0);
	assert_non_null(strstr(text, "m=image 20000 udptl t38\r\na=T38FaxVersion:0\r\n"));
	assert_false(oa_agreed(oa)->has_audio);
	o = begin();
	assert_int_equal(oa_offer(oa, &local, &o), 0);
	assert_non_null(strstr(text, "m=audio 20000 RTP/AVP 0\r\n"));
	assert_null(strstr(text, "m=image"));
	assert_int_equal(oa_take_answer(oa, str_from(HEAD AUDIO)), 0);
	assert_true(oa_agreed(oa)->has_audio);
	oa_free(oa);
	/* Beside sound it is none. */
	oa = oa_new(7);
	assert_int_equal(oa_take_offer(oa, str_from(HEAD AUDIO IMAGE ATTRS)), 0);
	assert_int_equal(oa_image_offered(oa, &offered), -ENOENT);
	oa_free(oa);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oa_image_passes_from_one_end_to_the_other),
		cmocka_unit_test(test_oa_image_keeps_the_places_of_sections),
		cmocka_unit_test(test_oa_image_refused_goes_back),
		cmocka_unit_test(test_oa_image_is_offer_knows_one),
		cmocka_unit_test(test_oa_image_attributes_are_bounded),
		cmocka_unit_test(test_oa_image_first_is_known_and_answered),
	};

	return cmocka_run_group_tests_name("oa_image", tests, NULL, NULL);
}
