/* test_digest.c - digest authentication against the vectors of its RFCs, and against those who'd cheat it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <errno.h>
#include <stdio.h>
#include <cmocka.h>

#include "sip/digest.h"

/* ---- vectors ---- */

static void test_digest_ha1_vectors_match(void **state)
{
	static const struct {
		enum digest_alg alg;
		const char *user, *realm, *password, *ha1;
	} rows[] = {
		/* RFC 2617 §3.5, the HA1 of its example */
		{ DIGEST_MD5, "Mufasa", "testrealm@host.com", "Circle Of Life", "939e7578ed9e3c518a452acee763bce9" },
		/* RFC 7616 §3.9.1 */
		{ DIGEST_MD5, "Mufasa", "http-auth@example.org", "Circle of Life", "3d78807defe7de2157e2b0b6573a855f" },
		{ DIGEST_SHA256, "Mufasa", "http-auth@example.org", "Circle of Life",
		  "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[65];
		digest_ha1(rows[i].alg, str_from(rows[i].user), str_from(rows[i].realm), str_from(rows[i].password),
			   out);
		assert_string_equal(out, rows[i].ha1);
	}
}

static void test_digest_response_vectors_match(void **state)
{
	static const char nonce7616[] = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
	static const char cnonce7616[] = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
	static const struct {
		enum digest_alg alg;
		const char *realm, *password, *nonce, *cnonce, *qop, *response;
	} rows[] = {
		/* RFC 7616 §3.9.1 */
		{ DIGEST_MD5, "http-auth@example.org", "Circle of Life", nonce7616, cnonce7616, "auth",
		  "8ca523f5e9506fed4657c9700eebdbec" },
		{ DIGEST_SHA256, "http-auth@example.org", "Circle of Life", nonce7616, cnonce7616, "auth",
		  "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1" },
		/* RFC 2617 §3.5 */
		{ DIGEST_MD5, "testrealm@host.com", "Circle Of Life", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "0a4f113b",
		  "auth", "6629fae49393a05397450978507c4ef1" },
		/* RFC 2069 §2.4 as corrected by erratum 749: no qop */
		{ DIGEST_MD5, "testrealm@host.com", "CircleOfLife", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "", "",
		  "1949323746fe6a43ef61f9606e7febea" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char ha1[65], out[65];
		digest_ha1(rows[i].alg, STR("Mufasa"), str_from(rows[i].realm), str_from(rows[i].password), ha1);
		digest_response(rows[i].alg, ha1, str_from(rows[i].nonce), STR("00000001"), str_from(rows[i].cnonce),
				str_from(rows[i].qop), STR("GET"), STR("/dir/index.html"), out);
		assert_string_equal(out, rows[i].response);
	}
}

/* ---- server ---- */

static int64_t wall_of(void *arg)
{
	return *(int64_t *)arg;
}

static uint64_t mono_of(void *arg)
{
	return (uint64_t)*(int64_t *)arg;
}

struct fixture {
	struct digest_server *server;
	struct clock clock;
	struct rng rng;
	int64_t now_ms;
	char ha1_md5[65], ha1_sha256[65];
	struct digest_secret secret;
	char challenge[1024];
	char nonce[128];
	char text[4096]; /* the message under way */
	struct sip_msg msg;
};

#define REALM "cord.example"

static struct digest_server *server_new(struct fixture *f, unsigned char key)
{
	struct digest_server_params p = { .clock = &f->clock, .rng = &f->rng, .nonce_life_s = 60 };
	struct digest_server *d = NULL;

	memset(p.key, key, sizeof(p.key));
	assert_int_equal(digest_server_new(&d, &p), 0);
	return d;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->now_ms = 1700000000000;
	f->clock = (struct clock){ .mono_ms = mono_of, .wall_ms = wall_of, .arg = &f->now_ms };
	rng_init_fixed(&f->rng, 42);
	f->server = server_new(f, 7);
	digest_ha1(DIGEST_MD5, STR("1001"), STR(REALM), STR("secret"), f->ha1_md5);
	digest_ha1(DIGEST_SHA256, STR("1001"), STR(REALM), STR("secret"), f->ha1_sha256);
	f->secret = (struct digest_secret){ f->ha1_md5, f->ha1_sha256 };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	digest_server_free(f->server);
	free(f);
	return 0;
}

/* Takes a challenge from the server; the nonce of its last line is kept. */
static void challenge(struct fixture *f, unsigned algs, bool stale)
{
	struct out o;
	const char *at, *found = NULL;

	out_init(&o, f->challenge, sizeof(f->challenge) - 1);
	digest_challenge(f->server, &o, SIP_HDR_WWW_AUTHENTICATE, STR(REALM), algs, stale);
	assert_true(out_ok(&o));
	f->challenge[o.len] = '\0';
	for (at = f->challenge; (at = strstr(at, "nonce=\"")); at++)
		found = at + 7;
	assert_non_null(found);
	snprintf(f->nonce, sizeof(f->nonce), "%.*s", (int)strcspn(found, "\""), found);
}

static void parse(struct fixture *f)
{
	struct sip_msg_error err = { 0 };

	assert_int_equal(sip_msg_parse(&f->msg, f->text, strlen(f->text), &err), 0);
}

struct attempt {
	enum digest_alg alg;
	const char *ha1;       /* NULL: that of the fixture */
	const char *algorithm; /* NULL: named as alg is */
	const char *qop;       /* NULL: auth; "": none */
	const char *uri;       /* NULL: that of the request */
	uint32_t nc;
};

/* Makes a REGISTER with credentials and has it checked. */
static enum digest_verdict check_secret(struct fixture *f, const struct attempt *a, const struct digest_secret *secret,
					unsigned algs)
{
	const char *qop = a->qop ? a->qop : "auth", *uri = a->uri ? a->uri : "sip:cord.example";
	const char *algorithm = a->algorithm ? a->algorithm : a->alg == DIGEST_SHA256 ? "SHA-256" : "MD5";
	const char *ha1 = a->ha1 ? a->ha1 : a->alg == DIGEST_SHA256 ? f->ha1_sha256 : f->ha1_md5;
	char response[65], nc[16], extra[128] = "";
	struct sip_credentials c;

	snprintf(nc, sizeof(nc), "%08x", a->nc);
	digest_response(a->alg, ha1, str_from(f->nonce), str_from(nc), STR("abc"), str_from(qop), STR("REGISTER"),
			str_from(uri), response);
	if (*qop)
		snprintf(extra, sizeof(extra), ", qop=%s, nc=%s, cnonce=\"abc\"", qop, nc);
	snprintf(f->text, sizeof(f->text),
		 "REGISTER sip:cord.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK1\r\n"
		 "From: <sip:1001@cord.example>;tag=1\r\nTo: <sip:1001@cord.example>\r\nCall-ID: a\r\n"
		 "CSeq: 1 REGISTER\r\nMax-Forwards: 70\r\n"
		 "Authorization: Digest username=\"1001\", realm=\"elsewhere\", nonce=\"x\", uri=\"sip:a\","
		 " response=\"0\"\r\n"
		 "Authorization: Digest username=\"1001\", realm=\"%s\", nonce=\"%s\", uri=\"%s\","
		 " response=\"%s\", algorithm=%s%s\r\nContent-Length: 0\r\n\r\n",
		 REALM, f->nonce, uri, response, algorithm, extra);
	parse(f);
	assert_true(digest_find(&f->msg, SIP_HDR_AUTHORIZATION, STR(REALM), &c));
	return digest_check(f->server, &f->msg, &c, secret, algs);
}

static enum digest_verdict check(struct fixture *f, const struct attempt *a)
{
	return check_secret(f, a, &f->secret, DIGEST_MD5 | DIGEST_SHA256);
}

#define MD5_NC(n) &(struct attempt){ .alg = DIGEST_MD5, .nc = (n) }

static void test_digest_challenge_strongest_algorithm_first(void **state)
{
	struct fixture *f = *state;

	challenge(f, DIGEST_MD5 | DIGEST_SHA256, false);
	assert_ptr_equal(strstr(f->challenge, "WWW-Authenticate: Digest realm=\"cord.example\", nonce=\""), f->challenge);
	char *sha = strstr(f->challenge, "algorithm=SHA-256, qop=\"auth\"\r\n");
	char *md5 = strstr(f->challenge, "algorithm=MD5, qop=\"auth\"\r\n");
	assert_non_null(sha);
	assert_non_null(md5);
	assert_true(sha < md5);
	challenge(f, DIGEST_MD5, true);
	assert_null(strstr(f->challenge, "SHA-256"));
	assert_non_null(strstr(f->challenge, ", stale=true\r\n"));
}

static void test_digest_check_right_password_ok(void **state)
{
	struct fixture *f = *state;

	challenge(f, DIGEST_MD5 | DIGEST_SHA256, false);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 1 }), DIGEST_OK);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_SHA256, .nc = 2 }), DIGEST_OK);
	/* an algorithm parameter may be left out for MD5 only by its absence; lower case is the same token */
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .algorithm = "md5", .nc = 3 }), DIGEST_OK);
}

static void test_digest_check_wrong_or_unknown_fails_alike(void **state)
{
	struct fixture *f = *state;
	static const char zeros[] = "00000000000000000000000000000000";
	const struct digest_secret none = { NULL, NULL }, only_sha = { NULL, f->ha1_sha256 };
	char wrong[65];

	digest_ha1(DIGEST_MD5, STR("1001"), STR(REALM), STR("wrong"), wrong);
	challenge(f, DIGEST_MD5, false);
	struct attempt a = { .alg = DIGEST_MD5, .ha1 = wrong, .nc = 1 };
	assert_int_equal(check(f, &a), DIGEST_FAILED);
	assert_int_equal(check_secret(f, &a, NULL, DIGEST_MD5), DIGEST_FAILED);
	assert_int_equal(check_secret(f, &a, &none, DIGEST_MD5), DIGEST_FAILED);
	assert_int_equal(check_secret(f, &a, &only_sha, DIGEST_MD5), DIGEST_FAILED);
	/* who guesses the HA1 that stands in for an unknown user's must not get in with it */
	a.ha1 = zeros;
	assert_int_equal(check_secret(f, &a, NULL, DIGEST_MD5), DIGEST_FAILED);
	/* and the failures haven't used up the count */
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_OK);
	/* a stale nonce is stale for both */
	f->now_ms += 61000;
	assert_int_equal(check_secret(f, &a, NULL, DIGEST_MD5), DIGEST_STALE);
	assert_int_equal(check(f, MD5_NC(2)), DIGEST_STALE);
}

static void test_digest_check_nonce_expires(void **state)
{
	struct fixture *f = *state;

	challenge(f, DIGEST_MD5, false);
	f->now_ms += 60000;
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_OK);
	f->now_ms += 1;
	assert_int_equal(check(f, MD5_NC(2)), DIGEST_STALE);
	/* the wall clock was set back: a little is forgiven, an hour isn't */
	challenge(f, DIGEST_MD5, false);
	f->now_ms -= 30000;
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_OK);
	f->now_ms -= 3600000;
	assert_int_equal(check(f, MD5_NC(2)), DIGEST_STALE);
}

static void test_digest_check_replay_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t nc;
		enum digest_verdict verdict;
	} rows[] = {
		{ 1, DIGEST_OK },     { 1, DIGEST_REPLAY },  { 3, DIGEST_OK },       { 2, DIGEST_OK },
		{ 2, DIGEST_REPLAY }, { 3, DIGEST_REPLAY },  { 100, DIGEST_OK },     { 100, DIGEST_REPLAY },
		{ 36, DIGEST_REPLAY }, /* 64 below: out of the window, so perhaps used */
		{ 37, DIGEST_OK },    { 37, DIGEST_REPLAY }, { 200, DIGEST_OK },     { 137, DIGEST_OK },
		{ 136, DIGEST_REPLAY }, { 0xffffffff, DIGEST_OK }, { 0xfffffffe, DIGEST_OK }, { 200, DIGEST_REPLAY },
	};

	challenge(f, DIGEST_MD5, false);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(check(f, MD5_NC(rows[i].nc)), rows[i].verdict);
	/* others' nonces have their own counts */
	challenge(f, DIGEST_MD5, false);
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_OK);
}

static void test_digest_check_replay_refused_while_nonce_lives(void **state)
{
	struct fixture *f = *state;
	char first[128];

	challenge(f, DIGEST_MD5, false);
	memcpy(first, f->nonce, sizeof(first));
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_OK);
	/* later nonces come and expire around it; it is remembered to its own end */
	for (int i = 0; i < 6; i++) {
		f->now_ms += 9000;
		challenge(f, DIGEST_MD5, false);
		assert_int_equal(check(f, MD5_NC(1)), DIGEST_OK);
		memcpy(f->nonce, first, sizeof(first));
		assert_int_equal(check(f, MD5_NC(1)), DIGEST_REPLAY);
	}
}

static void test_digest_check_without_qop_nonce_serves_once(void **state)
{
	struct fixture *f = *state;

	challenge(f, DIGEST_MD5, false);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .qop = "" }), DIGEST_OK);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .qop = "" }), DIGEST_REPLAY);
}

static void test_digest_check_tampered_nonce_fails(void **state)
{
	struct fixture *f = *state;
	char good[128];

	challenge(f, DIGEST_MD5, false);
	memcpy(good, f->nonce, sizeof(good));
	for (size_t i = 0; good[i]; i++) {
		memcpy(f->nonce, good, sizeof(good));
		f->nonce[i] = good[i] == '0' ? '1' : '0';
		assert_int_equal(check(f, MD5_NC(1)), DIGEST_FAILED);
	}
	memcpy(f->nonce, good, sizeof(good));
	f->nonce[strlen(good) - 1] = '\0';
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_FAILED);
	snprintf(f->nonce, sizeof(f->nonce), "somebody-elses");
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_FAILED);
	memcpy(f->nonce, good, sizeof(good));
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_OK);
}

static void test_digest_check_foreign_key_or_realm_fails(void **state)
{
	struct fixture *f = *state;
	struct digest_server *own = f->server, *other = server_new(f, 8), *same = server_new(f, 7);
	struct sip_credentials c;

	challenge(f, DIGEST_MD5, false);
	f->server = other;
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_FAILED);
	f->server = same; /* as after a restart */
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_OK);
	f->server = own;
	/* a nonce made for another realm */
	char buf[512];
	struct out o;
	out_init(&o, buf, sizeof(buf) - 1);
	digest_challenge(own, &o, SIP_HDR_WWW_AUTHENTICATE, STR("other.example"), DIGEST_MD5, false);
	buf[o.len] = '\0';
	const char *at = strstr(buf, "nonce=\"") + 7;
	snprintf(f->nonce, sizeof(f->nonce), "%.*s", (int)strcspn(at, "\""), at);
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_FAILED);
	assert_false(digest_find(&f->msg, SIP_HDR_AUTHORIZATION, STR("third.example"), &c));
	assert_false(digest_find(&f->msg, SIP_HDR_PROXY_AUTHORIZATION, STR(REALM), &c));
	digest_server_free(other);
	digest_server_free(same);
}

static void test_digest_check_algorithm_not_offered_fails(void **state)
{
	struct fixture *f = *state;

	challenge(f, DIGEST_MD5 | DIGEST_SHA256, false);
	struct attempt a = { .alg = DIGEST_MD5, .nc = 1 };
	assert_int_equal(check_secret(f, &a, &f->secret, DIGEST_SHA256), DIGEST_FAILED);
	a.alg = DIGEST_SHA256;
	assert_int_equal(check_secret(f, &a, &f->secret, DIGEST_MD5), DIGEST_FAILED);
	a.algorithm = "SHA-256-sess";
	assert_int_equal(check(f, &a), DIGEST_FAILED);
	/* MD5 with SHA-256's HA1 */
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .ha1 = f->ha1_sha256, .nc = 1 }), DIGEST_FAILED);
}

static void test_digest_check_malformed_is_told(void **state)
{
	struct fixture *f = *state;

	challenge(f, DIGEST_MD5, false);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 0 }), DIGEST_MALFORMED);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 1, .qop = "auth-int" }), DIGEST_MALFORMED);
	/* credentials made for another request */
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 1, .uri = "sip:900@cord.example" }),
			 DIGEST_MALFORMED);
	/* a proxy changed host or parameters */
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 1, .uri = "sip:cord.example:5060;lr" }),
			 DIGEST_OK);
}

/* ---- client ---- */

static void response(struct fixture *f, int status, const char *hdrs)
{
	snprintf(f->text, sizeof(f->text),
		 "SIP/2.0 %d No\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
		 "To: <sip:a@b>;tag=2\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\n%sContent-Length: 0\r\n\r\n",
		 status, hdrs);
	parse(f);
}

static void test_digest_answer_passes_own_check(void **state)
{
	struct fixture *f = *state;
	static const unsigned sets[] = { DIGEST_MD5, DIGEST_SHA256, DIGEST_MD5 | DIGEST_SHA256 };

	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		char line[1024], request[2048];
		struct sip_credentials c;
		struct sip_msg_error err;
		struct out o;

		challenge(f, sets[i], false);
		response(f, 401, f->challenge);
		out_init(&o, line, sizeof(line) - 1);
		assert_int_equal(digest_answer(&o, &f->msg, STR("REGISTER"), STR("sip:cord.example"), STR("1001"),
					       STR("secret"), 1, &f->rng), 0);
		line[o.len] = '\0';
		assert_non_null(strstr(line, sets[i] & DIGEST_SHA256 ? "algorithm=SHA-256" : "algorithm=MD5"));
		snprintf(request, sizeof(request),
			 "REGISTER sip:cord.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK1\r\n"
			 "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: a\r\nCSeq: 2 REGISTER\r\n"
			 "%sContent-Length: 0\r\n\r\n", line);
		assert_int_equal(sip_msg_parse(&f->msg, request, strlen(request), &err), 0);
		assert_true(digest_find(&f->msg, SIP_HDR_AUTHORIZATION, STR(REALM), &c));
		assert_int_equal(digest_check(f->server, &f->msg, &c, &f->secret, sets[i]), DIGEST_OK);
	}
}

static void test_digest_answer_rfc2069_and_proxy_form(void **state)
{
	struct fixture *f = *state;
	char line[1024];
	struct out o;

	response(f, 407, "Proxy-Authenticate: Digest realm=\"testrealm@host.com\", opaque=\"5ccc\","
			 " nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"\r\n");
	out_init(&o, line, sizeof(line) - 1);
	assert_int_equal(digest_answer(&o, &f->msg, STR("GET"), STR("/dir/index.html"), STR("Mufasa"),
				       STR("CircleOfLife"), 1, &f->rng), 0);
	line[o.len] = '\0';
	/* erratum 749 of RFC 2069 */
	assert_string_equal(line, "Proxy-Authorization: Digest username=\"Mufasa\", realm=\"testrealm@host.com\", "
				  "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", "
				  "response=\"1949323746fe6a43ef61f9606e7febea\", opaque=\"5ccc\"\r\n");
}

static void test_digest_answer_impossible_challenge_refused(void **state)
{
	struct fixture *f = *state;
	static const char *const rows[] = {
		"",
		"WWW-Authenticate: Basic realm=\"x\"\r\n",
		"WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", algorithm=SHA-512-256\r\n",
		"WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", qop=\"auth-int\"\r\n",
		"Proxy-Authenticate: Digest realm=\"x\", nonce=\"n\"\r\n", /* not what a 401 carries */
	};
	char line[1024];
	struct out o;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		response(f, 401, rows[i]);
		out_init(&o, line, sizeof(line));
		assert_int_equal(digest_answer(&o, &f->msg, STR("REGISTER"), STR("sip:x"), STR("u"), STR("p"), 1,
					       &f->rng), -ENOENT);
		assert_int_equal(o.len, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digest_ha1_vectors_match),
		cmocka_unit_test(test_digest_response_vectors_match),
#define WITH_SERVER(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		WITH_SERVER(test_digest_challenge_strongest_algorithm_first),
		WITH_SERVER(test_digest_check_right_password_ok),
		WITH_SERVER(test_digest_check_wrong_or_unknown_fails_alike),
		WITH_SERVER(test_digest_check_nonce_expires),
		WITH_SERVER(test_digest_check_replay_refused),
		WITH_SERVER(test_digest_check_replay_refused_while_nonce_lives),
		WITH_SERVER(test_digest_check_without_qop_nonce_serves_once),
		WITH_SERVER(test_digest_check_tampered_nonce_fails),
		WITH_SERVER(test_digest_check_foreign_key_or_realm_fails),
		WITH_SERVER(test_digest_check_algorithm_not_offered_fails),
		WITH_SERVER(test_digest_check_malformed_is_told),
		WITH_SERVER(test_digest_answer_passes_own_check),
		WITH_SERVER(test_digest_answer_rfc2069_and_proxy_form),
		WITH_SERVER(test_digest_answer_impossible_challenge_refused),
	};

	return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
