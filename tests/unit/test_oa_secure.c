/* test_oa_secure.c - SRTP in offers and answers against RFC 4568, 7714 and 8643. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "sdp/oa.h"

#define KEY_A "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz" /* RFC 4568 §6.1 */
#define KEY_B "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR" /* RFC 4568 §10.1 */
#define KEY_GCM "MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZA==" /* RFC 7714 §14.2 has 28 bytes; these are */
#define KEY_46 "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NQ=="

#define HEAD "v=0\r\no=a 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
#define CRYPTO(tag, suite, key) "a=crypto:" #tag " " suite " inline:" key "\r\n"
#define SAVP HEAD "m=audio 4000 RTP/SAVP 0\r\n"
#define AVP HEAD "m=audio 4000 RTP/AVP 0\r\n"
#define CM80 "AES_CM_128_HMAC_SHA1_80"

static const struct oa_codec codecs[] = { { .name = "PCMU", .clock_hz = 8000, .channels = 1, .pt = 0 } };
static struct rng rng;
static char text[16384];

static struct oa_local local_of(enum oa_policy policy)
{
	return (struct oa_local){ .addr = "203.0.113.5", .port = 20000, .rtcp_port = 20001, .dir = SDP_SENDRECV, .ncodecs = 1,
				  .codecs = codecs, .policy = policy, .sdes = true, .rng = &rng };
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

/* The key of the line with this tag in our last description. */
static const char *key_in(const char *sdp, const char *tag_and_suite)
{
	static char key[2][100];
	static int turn;
	const char *at = strstr(sdp, tag_and_suite);

	assert_non_null(at);
	at += strlen(tag_and_suite);
	assert_int_equal(strncmp(at, " inline:", 8), 0);
	turn = !turn;
	assert_int_equal(sscanf(at + 8, "%99[^\r|]", key[turn]), 1);
	return key[turn];
}

static void assert_ours(const struct oa *oa, const char *key)
{
	uint8_t bytes[64];
	ssize_t n = base64_read(str_from(key), bytes, sizeof(bytes));

	assert_non_null(oa_srtp(oa));
	assert_int_equal(n, oa_srtp(oa)->key_len);
	assert_memory_equal(oa_srtp(oa)->ours.key, bytes, (size_t)n);
}

static void assert_theirs(const struct oa *oa, const char *key)
{
	uint8_t bytes[64];
	ssize_t n = base64_read(str_from(key), bytes, sizeof(bytes));

	assert_non_null(oa_srtp(oa));
	assert_int_equal(n, oa_srtp(oa)->key_len);
	assert_memory_equal(oa_srtp(oa)->theirs[0].key, bytes, (size_t)n);
}

/* ---- lines ---- */

static void test_oa_crypto_lines(void **state)
{
	static const struct { const char *line; int err; unsigned nkeys; uint32_t tag; uint8_t mki_len, mki_last; } rows[] = {
		/* RFC 4568 §6.1, §9.2, §10 */
		{ "1 " CM80 " inline:" KEY_A "|2^20|1:4", 0, 1, 1, 4, 1 },
		{ "1 " CM80 " inline:" KEY_B "|2^20|1:32", -ENOTSUP, 0, 0, 0, 0 }, /* §4's long MKI */
		{ "2 " CM80 " inline:" KEY_A "|2^20|1:4;inline:" KEY_B "|2^20|2:4", 0, 2, 2, 4, 1 },
		{ "1 " CM80 " inline:" KEY_A ";inline:" KEY_B, -EINVAL, 0, 0, 0, 0 }, /* which is which? */
		{ "1 " CM80 " inline:" KEY_A "|1:4;inline:" KEY_B "|2:2", -EINVAL, 0, 0, 0, 0 },
		{ "7 " CM80 " inline:" KEY_A, 0, 1, 7, 0, 0 },
		{ "999999999 " CM80 " inline:" KEY_A "|1048576", 0, 1, 999999999, 0, 0 },
		{ "1000000000 " CM80 " inline:" KEY_A, -EINVAL, 0, 0, 0, 0 },
		{ "x " CM80 " inline:" KEY_A, -EINVAL, 0, 0, 0, 0 },
		{ "1 " CM80 " inline:" KEY_A "|7:1", 0, 1, 1, 1, 7 },
		{ "1 " CM80 " inline:" KEY_A "|300:1", -EINVAL, 0, 0, 0, 0 },
		{ "1 " CM80 " inline:" KEY_A "|2^49", -EINVAL, 0, 0, 0, 0 },
		{ "1 " CM80 " inline:" KEY_A "|2^20|", -EINVAL, 0, 0, 0, 0 },
		{ "1 " CM80 " inline:" KEY_A "|1:4|2^20", -EINVAL, 0, 0, 0, 0 },
		{ "1 " CM80 " inline:" KEY_A "|", -EINVAL, 0, 0, 0, 0 },
		{ "1 " CM80 " inline:" KEY_A "x", -EINVAL, 0, 0, 0, 0 },
		{ "1 " CM80 " inline:WVNfX19zZW1jdGw", -EINVAL, 0, 0, 0, 0 },
		{ "1 " CM80 " inline:", -EINVAL, 0, 0, 0, 0 },
		{ "1 " CM80 " other:" KEY_A, -ENOTSUP, 0, 0, 0, 0 },
		{ "1 " CM80, -EINVAL, 0, 0, 0, 0 },
		{ "1 F8_128_HMAC_SHA1_80 inline:" KEY_A, -ENOTSUP, 0, 0, 0, 0 },
		{ "1 aes_cm_128_hmac_sha1_32 inline:" KEY_A, 0, 1, 1, 0, 0 },
		{ "1 AEAD_AES_128_GCM inline:" KEY_GCM, 0, 1, 1, 0, 0 },
		{ "1 AEAD_AES_128_GCM inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZA", 0, 1, 1, 0, 0 }, /* without its padding */
		{ "1 AEAD_AES_128_GCM inline:" KEY_A, -EINVAL, 0, 0, 0, 0 }, /* too long for it */
		{ "1 AES_256_CM_HMAC_SHA1_80 inline:" KEY_46, 0, 1, 1, 0, 0 },
		/* session parameters: §6.3 */
		{ "1 " CM80 " inline:" KEY_A " WSH=128", 0, 1, 1, 0, 0 },
		{ " 1  " CM80 "   inline:" KEY_A "  WSH=128  ", 0, 1, 1, 0, 0 }, /* some write more than one space */
		{ "1 " CM80 " inline:" KEY_A " -KDR=5", 0, 1, 1, 0, 0 },
		{ "1 " CM80 " inline:" KEY_A " KDR=5", -ENOTSUP, 0, 0, 0, 0 },
		{ "1 " CM80 " inline:" KEY_A " UNENCRYPTED_SRTP", -ENOTSUP, 0, 0, 0, 0 },
		{ "1 " CM80 " inline:" KEY_A " WSH=64 UNAUTHENTICATED_SRTP", -ENOTSUP, 0, 0, 0, 0 },
		{ "1 " CM80 " inline:" KEY_A " FEC_ORDER=FEC_SRTP", -ENOTSUP, 0, 0, 0, 0 },
		{ "", -EINVAL, 0, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa_crypto c = { 0 };

		if (oa_crypto_parse(&c, str_from(rows[i].line)) != rows[i].err)
			fail_msg("%s", rows[i].line);
		if (rows[i].err)
			continue;
		assert_int_equal(c.nkeys, rows[i].nkeys);
		assert_int_equal(c.tag, rows[i].tag);
		assert_int_equal(c.keys[0].mki_len, rows[i].mki_len);
		if (rows[i].mki_len)
			assert_int_equal(c.keys[0].mki[rows[i].mki_len - 1], rows[i].mki_last);
	}
}

/* ---- answers ---- */

static void test_oa_secure_answer_takes_their_first(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local_of(OA_OFFER);

	(void)state;
	assert_int_equal(try_answer(oa, SAVP CRYPTO(3, "F8_128_HMAC_SHA1_80", KEY_B) CRYPTO(4, "AES_CM_128_HMAC_SHA1_32", KEY_A)
					     CRYPTO(5, "AEAD_AES_128_GCM", KEY_GCM), &l), 0);
	assert_non_null(strstr(text, "m=audio 20000 RTP/SAVP 0\r\n"));
	assert_null(strstr(text, "crypto:5"));
	assert_ours(oa, key_in(text, "a=crypto:4 AES_CM_128_HMAC_SHA1_32"));
	assert_theirs(oa, KEY_A);
	assert_string_equal(oa_srtp(oa)->suite, "AES_CM_128_HMAC_SHA1_32");
	oa_free(oa);
}

static void test_oa_secure_reoffer_keeps_keys(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local_of(OA_OFFER);
	char first[100], again[100];

	(void)state;
	assert_int_equal(try_answer(oa, SAVP CRYPTO(1, CM80, KEY_A), &l), 0);
	str_put(first, sizeof(first), key_in(text, "a=crypto:1 " CM80));
	/* a refresh, whose new first line isn't taken; then another key of theirs */
	assert_int_equal(try_answer(oa, SAVP CRYPTO(1, "AEAD_AES_128_GCM", KEY_GCM) CRYPTO(2, CM80, KEY_A), &l), 0);
	assert_string_equal(key_in(text, "a=crypto:2 " CM80), first);
	assert_int_equal(try_answer(oa, SAVP CRYPTO(1, CM80, KEY_B), &l), 0);
	assert_string_equal(key_in(text, "a=crypto:1 " CM80), first);
	assert_theirs(oa, KEY_B);
	/* ours: the suite in use and no other */
	offer(oa, &l);
	assert_non_null(strstr(text, "RTP/SAVP"));
	assert_string_equal(key_in(text, "a=crypto:1 " CM80), first);
	assert_null(strstr(text, "crypto:2"));
	assert_int_equal(oa_take_answer(oa, STR(SAVP CRYPTO(1, CM80, KEY_A))), 0);
	assert_ours(oa, first);
	assert_theirs(oa, KEY_A);
	/* another suite: another key, and when the first comes back, so does no old key: its counters are gone */
	assert_int_equal(try_answer(oa, SAVP CRYPTO(1, "AEAD_AES_128_GCM", KEY_GCM), &l), 0);
	assert_int_equal(try_answer(oa, SAVP CRYPTO(1, CM80, KEY_A), &l), 0);
	str_put(again, sizeof(again), key_in(text, "a=crypto:1 " CM80));
	assert_string_not_equal(again, first);
	/* the same after the audio was off */
	assert_int_equal(try_answer(oa, HEAD "m=audio 0 RTP/SAVP 0\r\n", &l), 0);
	assert_null(oa_srtp(oa));
	assert_int_equal(try_answer(oa, SAVP CRYPTO(1, CM80, KEY_A), &l), 0);
	assert_string_not_equal(key_in(text, "a=crypto:1 " CM80), again);
	oa_free(oa);
}

static void test_oa_secure_policies(void **state)
{
	static const struct { enum oa_policy policy; bool sdes; const char *offer; int err; bool is_secure; } rows[] = {
		{ OA_NEVER, true, SAVP CRYPTO(1, CM80, KEY_A), -EPROTO, false },
		{ OA_NEVER, true, AVP CRYPTO(1, CM80, KEY_A), 0, false },
		{ OA_NEVER, true, AVP, 0, false },
		{ OA_OFFER, true, SAVP CRYPTO(1, CM80, KEY_A), 0, true },
		{ OA_OFFER, true, HEAD "m=audio 4000 RTP/SAVPF 0\r\n" CRYPTO(1, CM80, KEY_A), 0, true },
		{ OA_OFFER, true, AVP CRYPTO(1, CM80, KEY_A), 0, true }, /* RFC 8643 */
		{ OA_OFFER, true, AVP CRYPTO(1, "F8_128_HMAC_SHA1_80", KEY_A), 0, false },
		{ OA_OFFER, true, AVP, 0, false },
		{ OA_OFFER, true, SAVP, -EPROTO, false },
		{ OA_OFFER, true, SAVP CRYPTO(1, CM80, KEY_A "x"), -EPROTO, false },
		{ OA_OFFER, false, SAVP CRYPTO(1, CM80, KEY_A), -EPROTO, false },
		{ OA_OFFER, false, AVP CRYPTO(1, CM80, KEY_A), 0, false },
		{ OA_REQUIRE, true, SAVP CRYPTO(1, CM80, KEY_A), 0, true },
		{ OA_REQUIRE, true, AVP CRYPTO(1, CM80, KEY_A), 0, true },
		{ OA_REQUIRE, true, AVP, -EPROTO, false },
		{ OA_REQUIRE, false, SAVP CRYPTO(1, CM80, KEY_A), -EPROTO, false },
		/* the section that suits */
		{ OA_REQUIRE, true, AVP "m=audio 4002 RTP/SAVP 0\r\n" CRYPTO(1, CM80, KEY_A), 0, true },
		{ OA_NEVER, true, SAVP CRYPTO(1, CM80, KEY_A) "m=audio 4002 RTP/AVP 0\r\n", 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(7);
		struct oa_local l = local_of(rows[i].policy);
		struct oa_codec common[OA_CODECS_MAX];

		l.sdes = rows[i].sdes;
		assert_int_equal(oa_take_offer(oa, str_from(rows[i].offer)), 0);
		assert_int_equal(oa_offered(oa, &l, common) == 0, rows[i].err != 0);
		oa_rollback(oa);
		if (try_answer(oa, rows[i].offer, &l) != rows[i].err)
			fail_msg("row %zu", i);
		assert_int_equal(oa_srtp(oa) != NULL, rows[i].is_secure);
		if (!rows[i].err)
			assert_int_equal(strstr(text, "a=crypto:1 ") != NULL, rows[i].is_secure);
		oa_free(oa);
	}
}

/* ---- offers ---- */

static void test_oa_secure_offers(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local_of(OA_OFFER);
	char key[100];

	(void)state;
	offer(oa, &l);
	assert_non_null(strstr(text, "m=audio 20000 RTP/AVP 0\r\n"));
	assert_non_null(strstr(text, "a=crypto:1 AEAD_AES_128_GCM inline:"));
	assert_non_null(strstr(text, "a=crypto:2 AEAD_AES_256_GCM inline:"));
	assert_non_null(strstr(text, "a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:"));
	str_put(key, sizeof(key), key_in(text, "a=crypto:3 " CM80));
	/* of two who answer, the second counts */
	assert_int_equal(oa_take_early_answer(oa, STR(AVP CRYPTO(1, "AEAD_AES_128_GCM", KEY_GCM))), 0);
	assert_string_equal(oa_srtp(oa)->suite, "AEAD_AES_128_GCM");
	assert_int_equal(oa_take_answer(oa, STR(AVP CRYPTO(3, CM80, KEY_B))), 0);
	assert_ours(oa, key);
	assert_theirs(oa, KEY_B);
	oa_free(oa);

	/* passed over: plain, and not offered again */
	oa = oa_new(7);
	offer(oa, &l);
	assert_int_equal(oa_take_answer(oa, STR(AVP)), 0);
	assert_null(oa_srtp(oa));
	offer(oa, &l);
	assert_null(strstr(text, "crypto"));
	oa_free(oa);

	l = local_of(OA_REQUIRE);
	oa = oa_new(7);
	offer(oa, &l);
	assert_non_null(strstr(text, "m=audio 20000 RTP/SAVP 0\r\n"));
	assert_int_equal(oa_take_answer(oa, STR(SAVP CRYPTO(3, CM80, KEY_B))), 0);
	assert_non_null(oa_srtp(oa));
	oa_free(oa);

	l = local_of(OA_NEVER);
	oa = oa_new(7);
	assert_null(strstr(offer(oa, &l), "crypto"));
	oa_free(oa);

	/* no key where it could be read; who requires one has no offer */
	l = local_of(OA_OFFER);
	l.sdes = false;
	oa = oa_new(7);
	assert_null(strstr(offer(oa, &l), "crypto"));
	oa_free(oa);
	l.policy = OA_REQUIRE;
	oa = oa_new(7);
	struct out o;
	out_init(&o, text, sizeof(text));
	assert_int_equal(oa_offer(oa, &l, &o), -EPROTONOSUPPORT);
	assert_int_equal(oa_state(oa), OA_IDLE);
	oa_free(oa);
}

static void test_oa_secure_take_answer_refuses(void **state)
{
	static const char *const answers[] = {
		SAVP,                                            /* without a key */
		AVP,                                             /* plain */
		SAVP CRYPTO(1, CM80, KEY_A),                     /* that tag was another suite */
		SAVP CRYPTO(9, CM80, KEY_A),
		SAVP CRYPTO(3, CM80, KEY_A "|2^99"),
		SAVP "a=crypto:3 " CM80 " inline:" KEY_A " KDR=5\r\n",
		SAVP CRYPTO(5, "AES_256_CM_HMAC_SHA1_80", KEY_46), /* never offered */
	};
	struct oa_local l = local_of(OA_REQUIRE);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct oa *oa = oa_new(7);

		offer(oa, &l);
		if (oa_take_answer(oa, str_from(answers[i])) != -EINVAL)
			fail_msg("answer %zu", i);
		assert_null(oa_srtp(oa));
		oa_free(oa);
	}
}

static void test_oa_secure_rollback_and_no_way_back_to_plain(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local_of(OA_OFFER);
	char first[100];

	(void)state;
	assert_int_equal(try_answer(oa, AVP CRYPTO(1, CM80, KEY_A), &l), 0);
	str_put(first, sizeof(first), key_in(text, "a=crypto:1 " CM80));
	/* an answer that leaves the key out isn't one */
	offer(oa, &l);
	assert_int_equal(oa_take_answer(oa, STR(AVP)), -EINVAL);
	oa_rollback(oa);
	assert_ours(oa, first);
	/* an early answer that comes to nothing */
	offer(oa, &l);
	assert_int_equal(oa_take_early_answer(oa, STR(AVP CRYPTO(1, CM80, KEY_B))), 0);
	assert_theirs(oa, KEY_B);
	oa_rollback(oa);
	assert_theirs(oa, KEY_A);
	/* an offer of theirs may: they say so */
	assert_int_equal(try_answer(oa, AVP, &l), 0);
	assert_null(oa_srtp(oa));
	oa_free(oa);
}

/* Audio that they switch off and we switch on again is as secret as it was. */
static void test_oa_secure_audio_off_and_on_stays_required(void **state)
{
	static const struct { enum oa_policy policy; const char *proto; int err; } rows[] = {
		{ OA_REQUIRE, "RTP/SAVP", -EINVAL }, { OA_OFFER, "RTP/AVP", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(7);
		struct oa_local l = local_of(rows[i].policy);
		char media[64];

		assert_int_equal(try_answer(oa, AVP CRYPTO(1, CM80, KEY_A), &l), 0);
		assert_int_equal(try_answer(oa, HEAD "m=audio 0 RTP/AVP 0\r\n", &l), 0);
		snprintf(media, sizeof(media), "m=audio 20000 %s 0\r\n", rows[i].proto);
		assert_non_null(strstr(offer(oa, &l), media));
		assert_non_null(strstr(text, "a=crypto:1 "));
		assert_int_equal(oa_take_answer(oa, STR(AVP)), rows[i].err);
		assert_null(oa_srtp(oa));
		oa_rollback(oa);
		offer(oa, &l);
		assert_int_equal(strstr(text, "a=crypto:1 ") != NULL, rows[i].err != 0); /* what was agreed in the clear stays so */
		oa_free(oa);
	}
}

static void test_base64_vectors(void **state)
{
	/* RFC 4648 §10 */
	static const struct { const char *plain, *coded; } rows[] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};
	static const char *const bad[] = { "Z", "Zg=", "Zh==", "Zm8===", "=", "Zm9v=", "Zm 9", "Zm9v\n", "Zm-v" };
	char buf[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct out o;

		out_init(&o, buf, sizeof(buf));
		base64_write(&o, rows[i].plain, strlen(rows[i].plain));
		assert_int_equal(o.len, strlen(rows[i].coded));
		assert_memory_equal(buf, rows[i].coded, o.len);
		assert_int_equal(base64_read(str_from(rows[i].coded), buf, sizeof(buf)), strlen(rows[i].plain));
		assert_memory_equal(buf, rows[i].plain, strlen(rows[i].plain));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (base64_read(str_from(bad[i]), buf, sizeof(buf)) != -EINVAL)
			fail_msg("%s", bad[i]);
	assert_int_equal(base64_read(STR("Zg"), buf, sizeof(buf)), 1);
	assert_int_equal(base64_read(STR("Zm9v"), buf, 2), -ENOSPC);
}

static int setup(void **state)
{
	(void)state;
	rng_init_fixed(&rng, 42);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oa_crypto_lines),
		cmocka_unit_test(test_oa_secure_answer_takes_their_first),
		cmocka_unit_test(test_oa_secure_reoffer_keeps_keys),
		cmocka_unit_test(test_oa_secure_policies),
		cmocka_unit_test(test_oa_secure_offers),
		cmocka_unit_test(test_oa_secure_take_answer_refuses),
		cmocka_unit_test(test_oa_secure_rollback_and_no_way_back_to_plain),
		cmocka_unit_test(test_oa_secure_audio_off_and_on_stays_required),
		cmocka_unit_test(test_base64_vectors),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
