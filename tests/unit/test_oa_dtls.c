/* test_oa_dtls.c - DTLS-SRTP in offers and answers against RFC 5763, 8122, 8643 and 8842. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sdp/oa.h"

/* RFC 8122 §5, RFC 5763 §7.1 */
#define SHA1_A "4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB"
#define SHA256_A "12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD"
#define SHA256_B "FF:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD"
#define OURS "sha-256 01:23:45"
#define TLS_ID(x) "a=tls-id:" x "abcdefghijklmnopqrstuvwxyz\r\n"

#define FP(hash, digest) "a=fingerprint:" hash " " digest "\r\n"
#define FP_A FP("sha-256", SHA256_A)
#define FP_B FP("SHA-256", SHA256_B)
#define SETUP(x) "a=setup:" x "\r\n"
#define TOP "v=0\r\no=a 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
#define M(profile) "m=audio 4000 " profile " 0\r\n"
#define DTLS TOP M("UDP/TLS/RTP/SAVP")
#define AVP TOP M("RTP/AVP")
#define CRYPTO "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"

static const struct oa_codec codecs[] = { { .name = "PCMU", .clock_hz = 8000, .channels = 1, .pt = 0 } };
static struct rng rng;
static char text[16384];

static struct oa_local local_of(enum oa_policy policy)
{
	return (struct oa_local){ .addr = "203.0.113.5", .port = 20000, .rtcp_port = 20001, .dir = SDP_SENDRECV, .ncodecs = 1,
				  .codecs = codecs, .policy = policy, .fingerprint = OURS, .offers_dtls = true, .rng = &rng };
}

static int try_offer(struct oa *oa, const struct oa_local *l)
{
	struct out o;
	int err;

	out_init(&o, text, sizeof(text));
	err = oa_offer(oa, l, &o);
	out_chr(&o, '\0');
	return err;
}

static const char *offer(struct oa *oa, const struct oa_local *l)
{
	assert_int_equal(try_offer(oa, l), 0);
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

static const struct oa_dtls *answered(struct oa *oa, const char *theirs, const struct oa_local *l)
{
	assert_int_equal(try_answer(oa, theirs, l), 0);
	assert_non_null(oa_dtls(oa));
	return oa_dtls(oa);
}

static bool says(const char *line)
{
	return strstr(text, line) != NULL;
}

/* ---- a=fingerprint ---- */

static void test_oa_fingerprint_lines(void **state)
{
	static const struct { const char *line; int err; uint8_t len, first, last; } rows[] = {
		{ "SHA-1 " SHA1_A, 0, 20, 0x4a, 0xab },
		{ "sha-256 " SHA256_A, 0, 32, 0x12, 0xad },
		{ "  sha-256  " SHA256_A " ", 0, 32, 0x12, 0xad },
		{ "sha-256 12:df:3e:5d:49:6b:19:e5:7c:ab:4a:ad:b9:b1:3f:82:18:3b:54:02:12:df:3e:5d:49:6b:19:e5:7c:ab:4a:ad", 0, 32, 0x12, 0xad },
		{ "sha-384 " SHA256_A ":" "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F", 0, 48, 0x12, 0x0f },
		{ "sha-512 " SHA256_A ":" SHA256_B, 0, 64, 0x12, 0xad },
		{ "sha-224 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:00:01:02:03:04:05:06:07:08:09:0A:0B", 0, 28, 0, 0x0b },
		{ "md5 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F", -ENOTSUP, 0, 0, 0 }, /* RFC 8122 §5 */
		{ "sha3-256 " SHA256_A, -ENOTSUP, 0, 0, 0 },
		{ "sha-256 " SHA1_A, -EINVAL, 0, 0, 0 },
		{ "sha-1 " SHA256_A, -EINVAL, 0, 0, 0 },
		{ "sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AG", -EINVAL, 0, 0, 0 },
		{ "sha-1 4A-AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB", -EINVAL, 0, 0, 0 },
		{ "sha-1", -EINVAL, 0, 0, 0 },
		{ "", -ENOTSUP, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa_fingerprint f = { 0 };

		if (oa_fingerprint_parse(&f, str_from(rows[i].line)) != rows[i].err)
			fail_msg("%s", rows[i].line);
		assert_int_equal(f.len, rows[i].len);
		if (rows[i].err)
			continue;
		assert_int_equal(f.digest[0], rows[i].first);
		assert_int_equal(f.digest[f.len - 1], rows[i].last);
	}
}

/* ---- answers ---- */

static void test_oa_dtls_policies(void **state)
{
	enum { PLAIN, SDES, BY_DTLS };
	static const struct { enum oa_policy policy; bool sdes, dtls; const char *offer; int err; int way; const char *says; } rows[] = {
		{ OA_OFFER, false, true, DTLS SETUP("actpass") FP_A, 0, BY_DTLS, "m=audio 20000 UDP/TLS/RTP/SAVP 0\r\n" },
		{ OA_OFFER, false, true, TOP M("UDP/TLS/RTP/SAVPF") SETUP("actpass") FP_A, 0, BY_DTLS, "m=audio 20000 UDP/TLS/RTP/SAVPF 0\r\n" },
		{ OA_REQUIRE, false, true, DTLS SETUP("actpass") FP_A, 0, BY_DTLS, "a=fingerprint:" OURS "\r\n" },
		{ OA_NEVER, true, true, DTLS SETUP("actpass") FP_A, -EPROTO, PLAIN, NULL },
		{ OA_OFFER, true, false, DTLS SETUP("actpass") FP_A, -EPROTO, PLAIN, NULL },
		/* of the session */
		{ OA_OFFER, false, true, TOP SETUP("actpass") FP_A M("UDP/TLS/RTP/SAVP"), 0, BY_DTLS, SETUP("active") },
		/* RFC 8643, and older browsers */
		{ OA_OFFER, false, true, AVP SETUP("actpass") FP_A, 0, BY_DTLS, "m=audio 20000 RTP/AVP 0\r\n" },
		{ OA_REQUIRE, false, true, AVP SETUP("actpass") FP_A, 0, BY_DTLS, "m=audio 20000 RTP/AVP 0\r\n" },
		{ OA_OFFER, false, true, TOP M("RTP/SAVPF") SETUP("actpass") FP_A, 0, BY_DTLS, "m=audio 20000 RTP/SAVPF 0\r\n" },
		{ OA_NEVER, false, true, AVP SETUP("actpass") FP_A, 0, PLAIN, "m=audio 20000 RTP/AVP 0\r\n" },
		{ OA_OFFER, false, false, AVP SETUP("actpass") FP_A, 0, PLAIN, "m=audio 20000 RTP/AVP 0\r\n" },
		/* both ways */
		{ OA_OFFER, true, true, AVP SETUP("actpass") FP_A CRYPTO, 0, SDES, "a=crypto:1 " },
		{ OA_OFFER, false, true, AVP SETUP("actpass") FP_A CRYPTO, 0, BY_DTLS, SETUP("active") },
		{ OA_OFFER, true, true, DTLS SETUP("actpass") FP_A CRYPTO, 0, BY_DTLS, SETUP("active") },
		/* nothing to go by */
		{ OA_OFFER, true, true, DTLS SETUP("actpass"), -EPROTO, PLAIN, NULL },
		{ OA_OFFER, true, true, DTLS SETUP("actpass") CRYPTO, -EPROTO, PLAIN, NULL },
		{ OA_OFFER, true, true, DTLS SETUP("actpass") FP("sha-256", "12:DF"), -EPROTO, PLAIN, NULL },
		{ OA_OFFER, true, true, DTLS SETUP("actpass") FP("md5", SHA1_A), -EPROTO, PLAIN, NULL },
		{ OA_OFFER, true, true, DTLS SETUP("holdconn") FP_A, -EPROTO, PLAIN, NULL }, /* RFC 5763 §5 */
		{ OA_REQUIRE, false, true, AVP, -EPROTO, PLAIN, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(7);
		struct oa_local l = local_of(rows[i].policy);

		l.sdes = rows[i].sdes;
		l.fingerprint = rows[i].dtls ? OURS : NULL;
		if (try_answer(oa, rows[i].offer, &l) != rows[i].err)
			fail_msg("row %zu", i);
		assert_int_equal(oa_dtls(oa) != NULL, rows[i].way == BY_DTLS);
		assert_int_equal(oa_srtp(oa) != NULL, rows[i].way == SDES);
		if (rows[i].says && !says(rows[i].says))
			fail_msg("row %zu: %s", i, text);
		if (!rows[i].err) {
			assert_int_equal(says("a=setup:"), rows[i].way == BY_DTLS);
			assert_int_equal(says("a=crypto:"), rows[i].way == SDES);
		}
		oa_free(oa);
	}
}

/* RFC 5763 §5, RFC 4145 §4.1, RFC 8842 §5.3 */
static void test_oa_dtls_answer_roles(void **state)
{
	static const struct { const char *offer, *setup; bool is_client, has_tls_id; } rows[] = {
		{ DTLS FP_A SETUP("actpass"), SETUP("active"), true, false },
		{ DTLS FP_A SETUP("passive"), SETUP("active"), true, false },
		{ DTLS FP_A SETUP("active"), SETUP("passive"), false, false },
		{ DTLS FP_A, SETUP("passive"), false, false },
		{ DTLS FP_A SETUP("ACTPASS") TLS_ID("1"), SETUP("active"), true, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(7);
		struct oa_local l = local_of(OA_OFFER);
		const struct oa_dtls *d = answered(oa, rows[i].offer, &l);

		assert_true(says(rows[i].setup));
		assert_int_equal(d->is_client, rows[i].is_client);
		assert_int_equal(d->association, 1);
		assert_int_equal(d->ntheirs, 1);
		assert_int_equal(d->theirs[0].len, 32);
		assert_int_equal(says("a=tls-id:"), rows[i].has_tls_id);
		oa_free(oa);
	}
}

/* RFC 8122 §5: of several, those by the strongest function; §5.1: any of those. */
static void test_oa_dtls_several_fingerprints(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local_of(OA_OFFER);
	const struct oa_dtls *d;

	(void)state;
	d = answered(oa, DTLS SETUP("actpass") FP("sha-1", SHA1_A) FP_A FP("md5", "00") FP_B FP("sha-1", SHA1_A), &l);
	assert_int_equal(d->ntheirs, 2);
	assert_int_equal(d->theirs[0].len, 32);
	assert_int_equal(d->theirs[0].digest[0], 0x12);
	assert_int_equal(d->theirs[1].digest[0], 0xff);
	/* in another order they are the same; one less is not */
	d = answered(oa, DTLS SETUP("actpass") FP_B FP_A, &l);
	assert_int_equal(d->association, 1);
	d = answered(oa, DTLS SETUP("actpass") FP_A, &l);
	assert_int_equal(d->association, 2);
	/* the section's alone, where it has any */
	d = answered(oa, TOP FP_A M("UDP/TLS/RTP/SAVP") SETUP("actpass") FP_B, &l);
	assert_int_equal(d->ntheirs, 1);
	assert_int_equal(d->theirs[0].digest[0], 0xff);
	oa_free(oa);
}

/* ---- which association ---- */

/* RFC 8842 §4 */
static void test_oa_dtls_association_changes_with(void **state)
{
	static const struct { const char *first, *then; bool is_new, is_client; } rows[] = {
		/* with a=tls-id: what it says, and the certificate */
		{ DTLS FP_A SETUP("actpass") TLS_ID("1"), DTLS FP_A SETUP("actpass") TLS_ID("1"), false, true },
		{ DTLS FP_A SETUP("actpass") TLS_ID("1"), DTLS FP_A SETUP("actpass") TLS_ID("2"), true, true },
		{ DTLS FP_A SETUP("actpass") TLS_ID("1"), DTLS FP_B SETUP("actpass") TLS_ID("1"), true, true },
		{ DTLS FP_A SETUP("actpass") TLS_ID("1"), TOP "m=audio 5000 UDP/TLS/RTP/SAVP 0\r\n" FP_A SETUP("actpass") TLS_ID("1"), false, true },
		{ DTLS FP_A SETUP("actpass") TLS_ID("1"), DTLS FP_A SETUP("active") TLS_ID("1"), true, false },
		{ DTLS FP_A SETUP("actpass") TLS_ID("1"), DTLS FP_A SETUP("passive") TLS_ID("1"), false, true },
		{ DTLS FP_A SETUP("actpass") TLS_ID("1"), DTLS FP_A SETUP("actpass"), true, true },
		/* the passive end stays it: who offers actpass leaves that to us */
		{ DTLS FP_A SETUP("active") TLS_ID("1"), DTLS FP_A SETUP("actpass") TLS_ID("1"), false, false },
		{ DTLS FP_A SETUP("active") TLS_ID("1"), DTLS FP_B SETUP("actpass") TLS_ID("1"), true, true },
		/* without: an address tells, too, but for a hold's */
		{ DTLS FP_A SETUP("actpass"), DTLS FP_A SETUP("actpass") "a=sendonly\r\n", false, true },
		{ DTLS FP_A SETUP("actpass"), TOP "m=audio 5000 UDP/TLS/RTP/SAVP 0\r\n" FP_A SETUP("actpass"), true, true },
		{ DTLS FP_A SETUP("actpass"), DTLS "c=IN IP4 192.0.2.11\r\n" FP_A SETUP("actpass"), true, true },
		{ DTLS FP_A SETUP("actpass"), DTLS "c=IN IP4 0.0.0.0\r\n" FP_A SETUP("actpass"), false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oa *oa = oa_new(7);
		struct oa_local l = local_of(OA_OFFER);
		const struct oa_dtls *d;

		answered(oa, rows[i].first, &l);
		d = answered(oa, rows[i].then, &l);
		if (d->association != (rows[i].is_new ? 2 : 1) || d->is_client != rows[i].is_client)
			fail_msg("row %zu", i);
		oa_free(oa);
	}
}

static void test_oa_dtls_hold_comes_back_to_where_it_was(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local_of(OA_OFFER);

	(void)state;
	answered(oa, DTLS FP_A SETUP("actpass"), &l);
	answered(oa, DTLS "c=IN IP4 0.0.0.0\r\n" FP_A SETUP("actpass"), &l);
	assert_int_equal(answered(oa, DTLS FP_A SETUP("actpass"), &l)->association, 1);
	answered(oa, DTLS "c=IN IP4 0.0.0.0\r\n" FP_A SETUP("actpass"), &l);
	assert_int_equal(answered(oa, DTLS "c=IN IP4 192.0.2.77\r\n" FP_A SETUP("actpass"), &l)->association, 2);
	/* off and on is another one */
	assert_int_equal(try_answer(oa, TOP "m=audio 0 UDP/TLS/RTP/SAVP 0\r\n", &l), 0);
	assert_null(oa_dtls(oa));
	assert_int_equal(answered(oa, DTLS FP_A SETUP("actpass"), &l)->association, 3);
	oa_free(oa);
}

/* ---- offers ---- */

static void test_oa_dtls_offers(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local_of(OA_REQUIRE);
	char tls_id[64];

	(void)state;
	offer(oa, &l);
	assert_true(says("m=audio 20000 UDP/TLS/RTP/SAVP 0\r\n"));
	assert_true(says("a=rtcp-mux\r\n"));
	assert_true(says(SETUP("actpass")));
	assert_true(says("a=fingerprint:" OURS "\r\n"));
	assert_false(says("a=crypto"));
	assert_int_equal(sscanf(strstr(text, "a=tls-id:"), "a=tls-id:%63[0-9a-v]\r\n", tls_id), 1);
	assert_in_range(strlen(tls_id), 20, 255); /* RFC 8842 §3.1 */
	assert_int_equal(oa_take_answer(oa, STR(DTLS FP_A SETUP("active") "a=rtcp-mux\r\n")), 0);
	assert_non_null(oa_dtls(oa));
	assert_false(oa_dtls(oa)->is_client);
	assert_true(oa_agreed(oa)->rtcp_mux);
	/* the next says the same again */
	offer(oa, &l);
	assert_true(says("m=audio 20000 UDP/TLS/RTP/SAVP 0\r\n"));
	assert_true(says(SETUP("actpass")));
	assert_non_null(strstr(text, tls_id));
	assert_int_equal(oa_take_answer(oa, STR(DTLS FP_A SETUP("active") "a=rtcp-mux\r\n")), 0);
	assert_int_equal(oa_dtls(oa)->association, 1);
	/* another device, which would begin; and one that leaves it to us */
	offer(oa, &l);
	assert_int_equal(oa_take_answer(oa, STR(DTLS FP_B SETUP("active"))), 0);
	assert_int_equal(oa_dtls(oa)->association, 2);
	assert_false(oa_agreed(oa)->rtcp_mux);
	offer(oa, &l);
	assert_int_equal(oa_take_answer(oa, STR(DTLS FP_B SETUP("passive"))), 0);
	assert_int_equal(oa_dtls(oa)->association, 3);
	assert_true(oa_dtls(oa)->is_client);
	/* and their own offer, in which everything is as it was */
	assert_int_equal(answered(oa, DTLS FP_B SETUP("actpass"), &l)->association, 3);
	assert_true(says(SETUP("active")));
	oa_free(oa);
}

/* RFC 8643: passed over it is plain, and not offered again. */
static void test_oa_dtls_offers_opportunistically(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local_of(OA_OFFER);

	(void)state;
	l.sdes = true;
	offer(oa, &l);
	assert_true(says("m=audio 20000 RTP/AVP 0\r\n"));
	assert_true(says(SETUP("actpass")));
	assert_false(says("a=crypto"));
	assert_int_equal(oa_take_answer(oa, STR(AVP)), 0);
	assert_null(oa_dtls(oa));
	offer(oa, &l);
	assert_false(says("a=setup"));
	assert_false(says("a=rtcp-mux"));
	oa_rollback(oa);
	oa_free(oa);

	oa = oa_new(7);
	offer(oa, &l);
	assert_int_equal(oa_take_answer(oa, STR(AVP FP_A SETUP("passive"))), 0);
	assert_true(oa_dtls(oa)->is_client);
	/* once secure it doesn't become plain by an answer */
	offer(oa, &l);
	assert_true(says(SETUP("actpass")));
	assert_int_equal(oa_take_answer(oa, STR(AVP)), -EINVAL);
	oa_rollback(oa);
	assert_int_equal(oa_dtls(oa)->association, 1);
	/* by an offer it does */
	assert_int_equal(try_answer(oa, AVP, &l), 0);
	assert_null(oa_dtls(oa));
	oa_free(oa);

	/* by a=crypto unless it is to be DTLS, and the other way round */
	oa = oa_new(7);
	l.offers_dtls = false;
	offer(oa, &l);
	assert_true(says("a=crypto:1 "));
	assert_false(says("a=setup"));
	oa_free(oa);
	oa = oa_new(7);
	l.offers_dtls = true;
	l.fingerprint = NULL;
	l.policy = OA_REQUIRE;
	assert_int_equal(try_offer(oa, &l), -EPROTONOSUPPORT);
	oa_free(oa);
}

static void test_oa_dtls_take_answer_refuses(void **state)
{
	static const char *const answers[] = {
		DTLS SETUP("active"), DTLS FP_A SETUP("actpass"), DTLS FP_A SETUP("holdconn"), AVP, DTLS CRYPTO,
		DTLS SETUP("active") FP("sha-256", "00:11"), DTLS SETUP("active") FP("md2", "00:11"),
	};
	struct oa_local l = local_of(OA_REQUIRE);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct oa *oa = oa_new(7);

		offer(oa, &l);
		if (oa_take_answer(oa, str_from(answers[i])) != -EINVAL)
			fail_msg("answer %zu", i);
		assert_null(oa_dtls(oa));
		oa_free(oa);
	}
}

/* Of two phones that ring, each has its own; what comes to nothing leaves what was. */
static void test_oa_dtls_early_answers_and_rollback(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local_of(OA_REQUIRE);

	(void)state;
	offer(oa, &l);
	assert_int_equal(oa_take_early_answer(oa, STR(DTLS FP_A SETUP("active") TLS_ID("1"))), 0);
	assert_int_equal(oa_dtls(oa)->association, 1);
	assert_int_equal(oa_take_early_answer(oa, STR(DTLS FP_B SETUP("active") TLS_ID("2"))), 0);
	assert_int_equal(oa_dtls(oa)->association, 2);
	assert_int_equal(oa_take_answer(oa, STR(DTLS FP_B SETUP("active") TLS_ID("2"))), 0);
	assert_int_equal(oa_dtls(oa)->association, 2);
	offer(oa, &l);
	assert_int_equal(oa_take_early_answer(oa, STR(DTLS FP_A SETUP("active") TLS_ID("3"))), 0);
	assert_int_equal(oa_dtls(oa)->association, 3);
	oa_rollback(oa);
	assert_int_equal(oa_dtls(oa)->association, 2);
	assert_int_equal(oa_dtls(oa)->theirs[0].digest[0], 0xff);
	/* no number comes twice */
	assert_int_equal(answered(oa, DTLS FP_A SETUP("actpass") TLS_ID("3"), &l)->association, 4);
	oa_free(oa);
}

static void test_oa_dtls_keys_to_dtls_and_back(void **state)
{
	struct oa *oa = oa_new(7);
	struct oa_local l = local_of(OA_OFFER);

	(void)state;
	l.sdes = true;
	assert_int_equal(try_answer(oa, TOP M("RTP/SAVP") CRYPTO, &l), 0);
	assert_non_null(oa_srtp(oa));
	answered(oa, DTLS FP_A SETUP("actpass"), &l);
	assert_null(oa_srtp(oa));
	/* both are there: the one in use */
	answered(oa, AVP FP_A SETUP("actpass") CRYPTO, &l);
	assert_null(oa_srtp(oa));
	assert_int_equal(try_answer(oa, TOP M("RTP/SAVP") CRYPTO, &l), 0);
	assert_non_null(oa_srtp(oa));
	assert_null(oa_dtls(oa));
	oa_free(oa);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oa_fingerprint_lines),
		cmocka_unit_test(test_oa_dtls_policies),
		cmocka_unit_test(test_oa_dtls_answer_roles),
		cmocka_unit_test(test_oa_dtls_several_fingerprints),
		cmocka_unit_test(test_oa_dtls_association_changes_with),
		cmocka_unit_test(test_oa_dtls_hold_comes_back_to_where_it_was),
		cmocka_unit_test(test_oa_dtls_offers),
		cmocka_unit_test(test_oa_dtls_offers_opportunistically),
		cmocka_unit_test(test_oa_dtls_take_answer_refuses),
		cmocka_unit_test(test_oa_dtls_early_answers_and_rollback),
		cmocka_unit_test(test_oa_dtls_keys_to_dtls_and_back),
	};

	rng_init_fixed(&rng, 7);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
