/* test_digest.c - digest authentication against the vectors of its RFCs, and against those who'd cheat it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <errno.h>
#include <stdio.h>
#include <cmocka.h>

#include "sip/digest_int.h"

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
		/* RFC 7616 §3.9.2 (its HA1, by Python's hashlib) */
		{ DIGEST_SHA512_256, "J\xc3\xa4s\xc3\xb8n Doe", "api@example.org", "Secret, or not?",
		  "2d3d9f12c9f3d30011259dc5fecee005ae24de40e3e1f61806d03e65f1e6024f" },
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
	struct str source;
	struct digest_server *server;
	struct clock clock;
	struct rng rng;
	int64_t now_ms;
	char ha1_md5[65], ha1_sha256[65], ha1_sha512_256[65];
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
	digest_ha1(DIGEST_SHA512_256, STR("1001"), STR(REALM), STR("secret"), f->ha1_sha512_256);
	f->secret = (struct digest_secret){ f->ha1_md5, f->ha1_sha256, f->ha1_sha512_256 };
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
	digest_challenge(f->server, &o, SIP_HDR_WWW_AUTHENTICATE, STR(REALM), algs, stale, f->source);
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
	const char *algorithm = a->algorithm ? a->algorithm : a->alg == DIGEST_SHA512_256 ? "SHA-512-256" : a->alg == DIGEST_SHA256 ? "SHA-256" : "MD5";
	const char *ha1 = a->ha1 ? a->ha1 : a->alg == DIGEST_SHA512_256 ? f->ha1_sha512_256 : a->alg == DIGEST_SHA256 ? f->ha1_sha256 : f->ha1_md5;
	char response[65], nc[16], extra[128] = "", name[DIGEST_USER_MAX];
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
	assert_true(digest_find(f->server, &f->msg, SIP_HDR_AUTHORIZATION, STR(REALM), &c, name));
	return digest_check(f->server, &f->msg, &c, secret, algs, f->source);
}

static enum digest_verdict check(struct fixture *f, const struct attempt *a)
{
	return check_secret(f, a, &f->secret, DIGEST_ALGS);
}

#define MD5_NC(n) &(struct attempt){ .alg = DIGEST_MD5, .nc = (n) }

static void test_digest_challenge_strongest_algorithm_first(void **state)
{
	struct fixture *f = *state;

	challenge(f, DIGEST_ALGS, false);
	assert_ptr_equal(strstr(f->challenge, "WWW-Authenticate: Digest realm=\"cord.example\", nonce=\""), f->challenge);
	char *sha = strstr(f->challenge, "algorithm=SHA-256, qop=\"auth\", charset=UTF-8\r\n");
	char *md5 = strstr(f->challenge, "algorithm=MD5, qop=\"auth\"\r\n");
	char *sha512 = strstr(f->challenge, "algorithm=SHA-512-256, qop=\"auth\", charset=UTF-8\r\n");
	assert_non_null(sha);
	assert_non_null(md5);
	assert_non_null(sha512);
	assert_true(sha512 < sha && sha < md5);
	challenge(f, DIGEST_MD5, true);
	assert_null(strstr(f->challenge, "SHA-256"));
	assert_non_null(strstr(f->challenge, ", stale=true\r\n"));
	challenge(f, DIGEST_MD5 | DIGEST_AUTH | DIGEST_AUTH_INT, false);
	assert_non_null(strstr(f->challenge, "qop=\"auth,auth-int\"\r\n"));
	challenge(f, DIGEST_MD5 | DIGEST_AUTH_INT, false);
	assert_non_null(strstr(f->challenge, "qop=\"auth-int\"\r\n"));
}

static void test_digest_check_right_password_ok(void **state)
{
	struct fixture *f = *state;

	challenge(f, DIGEST_MD5 | DIGEST_SHA256, false);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 1 }), DIGEST_OK);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_SHA256, .nc = 2 }), DIGEST_OK);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_SHA512_256, .nc = 4 }), DIGEST_OK);
	/* an algorithm parameter may be left out for MD5 only by its absence; lower case is the same token */
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .algorithm = "md5", .nc = 3 }), DIGEST_OK);
}

static void test_digest_check_wrong_or_unknown_fails_alike(void **state)
{
	struct fixture *f = *state;
	static const char zeros[] = "00000000000000000000000000000000";
	const struct digest_secret none = { 0 }, only_sha = { .ha1_sha256 = f->ha1_sha256 };
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
		assert_int_equal(check(f, MD5_NC(1)), DIGEST_FOREIGN);
	}
	memcpy(f->nonce, good, sizeof(good));
	f->nonce[strlen(good) - 1] = '\0';
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_FOREIGN);
	snprintf(f->nonce, sizeof(f->nonce), "somebody-elses");
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_FOREIGN);
	memcpy(f->nonce, good, sizeof(good));
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_OK);
}

/* What was found out last is known again, and taken for nothing else: another realm, another text. */
static void test_digest_looked_at_again_says_the_same(void **state)
{
	const unsigned offered = DIGEST_MD5 | DIGEST_AUTH;
	struct fixture *f = *state;
	struct sip_credentials c, again;
	char name[DIGEST_USER_MAX], *at;

	challenge(f, DIGEST_MD5, false);
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_OK);
	assert_true(digest_find(f->server, &f->msg, SIP_HDR_AUTHORIZATION, STR(REALM), &c, name));
	assert_int_equal(digest_glance(f->server, &f->msg, &c, offered, f->source), DIGEST_OK);
	again = c;
	again.realm = STR("other.example");
	assert_int_equal(digest_glance(f->server, &f->msg, &again, offered, f->source), DIGEST_FOREIGN);
	assert_int_equal(digest_glance(f->server, &f->msg, &c, offered, f->source), DIGEST_OK);
	assert_int_equal(digest_check(f->server, &f->msg, &c, &f->secret, offered, f->source), DIGEST_REPLAY);
	/* the same bytes of memory, with another count, and then another nonce, in them */
	at = strstr(f->text, "nc=00000001");
	assert_non_null(at);
	at[10] = '2';
	assert_true(digest_find(f->server, &f->msg, SIP_HDR_AUTHORIZATION, STR(REALM), &again, name));
	assert_true(str_eqz(again.nc, "00000002"));
	assert_int_equal(digest_check(f->server, &f->msg, &again, &f->secret, offered, f->source), DIGEST_FAILED);
	at = strstr(f->text, f->nonce);
	assert_non_null(at);
	at[0] = at[0] == '0' ? '1' : '0';
	assert_true(digest_find(f->server, &f->msg, SIP_HDR_AUTHORIZATION, STR(REALM), &again, name));
	assert_int_equal(digest_glance(f->server, &f->msg, &again, offered, f->source), DIGEST_FOREIGN);
}

static void test_digest_check_foreign_key_or_realm_fails(void **state)
{
	struct fixture *f = *state;
	struct digest_server *own = f->server, *other = server_new(f, 8), *same = server_new(f, 7);
	struct sip_credentials c;
	char name[DIGEST_USER_MAX];

	challenge(f, DIGEST_MD5, false);
	f->server = other;
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_FOREIGN);
	f->server = same; /* as after a restart */
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_OK);
	f->server = own;
	/* a nonce made for another realm */
	char buf[512];
	struct out o;
	out_init(&o, buf, sizeof(buf) - 1);
	digest_challenge(own, &o, SIP_HDR_WWW_AUTHENTICATE, STR("other.example"), DIGEST_MD5, false, STR_NULL);
	buf[o.len] = '\0';
	const char *at = strstr(buf, "nonce=\"") + 7;
	snprintf(f->nonce, sizeof(f->nonce), "%.*s", (int)strcspn(at, "\""), at);
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_FOREIGN);
	assert_false(digest_find(f->server, &f->msg, SIP_HDR_AUTHORIZATION, STR("third.example"), &c, name));
	assert_false(digest_find(f->server, &f->msg, SIP_HDR_PROXY_AUTHORIZATION, STR(REALM), &c, name));
	digest_server_free(other);
	digest_server_free(same);
}

static void test_digest_check_nonce_of_another_source_is_stale(void **state)
{
	struct fixture *f = *state;

	f->source = STR("\xc0\0\2\1");
	challenge(f, DIGEST_MD5, false);
	f->source = STR("\xc0\0\2\2");
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_STALE);
	assert_int_equal(check_secret(f, MD5_NC(1), NULL, DIGEST_MD5), DIGEST_STALE); /* whatever the answer: it isn't looked at */
	f->source = STR_NULL;
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_STALE);
	f->source = STR("\xc0\0\2\1");
	assert_int_equal(check_secret(f, MD5_NC(1), NULL, DIGEST_MD5), DIGEST_FAILED);
	/* another server with the same key knows it, too */
	struct digest_server *own = f->server, *same = server_new(f, 7);
	f->server = same;
	assert_int_equal(check(f, MD5_NC(1)), DIGEST_OK);
	f->server = own;
	digest_server_free(same);
}

static void test_digest_check_algorithm_not_offered_fails(void **state)
{
	struct fixture *f = *state;

	challenge(f, DIGEST_MD5 | DIGEST_SHA256, false);
	struct attempt a = { .alg = DIGEST_MD5, .nc = 1 };
	assert_int_equal(check_secret(f, &a, &f->secret, DIGEST_SHA256), DIGEST_FOREIGN);
	a.alg = DIGEST_SHA256;
	assert_int_equal(check_secret(f, &a, &f->secret, DIGEST_MD5), DIGEST_FOREIGN);
	a.algorithm = "SHA-256-sess";
	assert_int_equal(check(f, &a), DIGEST_FOREIGN);
	/* nor a qop that wasn't */
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 1, .qop = "auth-int" }), DIGEST_FOREIGN);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 1, .qop = "token" }), DIGEST_FOREIGN);
	a = (struct attempt){ .alg = DIGEST_MD5, .nc = 1 };
	assert_int_equal(check_secret(f, &a, &f->secret, DIGEST_MD5 | DIGEST_AUTH_INT), DIGEST_FOREIGN);
	a.qop = "";
	assert_int_equal(check_secret(f, &a, &f->secret, DIGEST_MD5 | DIGEST_AUTH_INT), DIGEST_FOREIGN);
	/* MD5 with SHA-256's HA1 */
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .ha1 = f->ha1_sha256, .nc = 1 }), DIGEST_FAILED);
}

static void test_digest_check_malformed_is_told(void **state)
{
	struct fixture *f = *state;

	challenge(f, DIGEST_MD5, false);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 0 }), DIGEST_MALFORMED);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 0, .qop = "auth-int" }), DIGEST_MALFORMED);
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

/* Has the server check what the client has written; the request has this body. */
static enum digest_verdict check_line(struct fixture *f, const char *line, const char *realm, const char *body, unsigned offered)
{
	static char request[4096];
	char name[DIGEST_USER_MAX];
	struct sip_credentials c;
	struct sip_msg_error err;

	snprintf(request, sizeof(request),
		 "REGISTER sip:cord.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK1\r\n"
		 "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: a\r\nCSeq: 2 REGISTER\r\n"
		 "%sContent-Length: %zu\r\n\r\n%s", line, strlen(body), body);
	assert_int_equal(sip_msg_parse(&f->msg, request, strlen(request), &err), 0);
	assert_true(digest_find(f->server, &f->msg, SIP_HDR_AUTHORIZATION, str_from(realm), &c, name));
	assert_true(str_eq(c.realm, str_from(realm)));
	return digest_check(f->server, &f->msg, &c, &f->secret, offered, STR_NULL);
}

/* What goes with the 2xx to the request in f->msg. */
static void write_info(struct fixture *f, char *info, size_t size)
{
	struct sip_credentials c;
	char name[DIGEST_USER_MAX];
	struct out o;

	assert_true(digest_find(f->server, &f->msg, SIP_HDR_AUTHORIZATION, STR(REALM), &c, name));
	out_init(&o, info, size - 1);
	assert_null(digest_info(f->server, &o, &c, &f->secret, f->source));
	assert_true(out_ok(&o));
	info[o.len] = 0;
}

static const char *answer(struct fixture *f, const char *user, const char *password, const char *body)
{
	static char line[4096];
	const struct digest_request r = { .method = STR("REGISTER"), .uri = STR("sip:cord.example"), .user = str_from(user),
					  .password = str_from(password), .body = str_from(body), .nc = 1 };
	struct out o;

	out_init(&o, line, sizeof(line) - 1);
	assert_int_equal(digest_answer_request(&o, &f->msg, &r, &f->rng), 0);
	line[o.len] = '\0';
	return line;
}

static void test_digest_answer_passes_own_check(void **state)
{
	struct fixture *f = *state;
	static const struct { unsigned offered; const char *algorithm, *qop; } rows[] = {
		{ DIGEST_MD5, "algorithm=MD5,", "qop=auth," },
		{ DIGEST_SHA256, "algorithm=SHA-256,", "qop=auth," },
		{ DIGEST_MD5 | DIGEST_SHA256, "algorithm=SHA-256,", "qop=auth," },
		{ DIGEST_ALGS, "algorithm=SHA-512-256,", "qop=auth," },
		{ DIGEST_MD5 | DIGEST_AUTH | DIGEST_AUTH_INT, "algorithm=MD5,", "qop=auth," },
		{ DIGEST_SHA512_256 | DIGEST_AUTH_INT, "algorithm=SHA-512-256,", "qop=auth-int," },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *line;

		challenge(f, rows[i].offered, false);
		response(f, 401, f->challenge);
		line = answer(f, "1001", "secret", "v=0\r\n");
		assert_non_null(strstr(line, rows[i].algorithm));
		assert_non_null(strstr(line, rows[i].qop));
		assert_int_equal(check_line(f, line, REALM, "v=1\r\n", rows[i].offered),
				 rows[i].offered & DIGEST_AUTH_INT && !(rows[i].offered & DIGEST_AUTH) ? DIGEST_FAILED : DIGEST_OK);
		if (strstr(rows[i].qop, "int"))
			assert_int_equal(check_line(f, line, REALM, "v=0\r\n", rows[i].offered), DIGEST_OK);
	}
}

/* The examples of RFC 7616 §3.9.1 and §3.9.2 (the latter as erratum 4897 corrects it) and of RFC 2617 §3.5; those of -sess and
 * auth-int by Python's hashlib. */
static void test_digest_engine_vectors_match(void **state)
{
	static const char nonce[] = "dcd98b7102dd2f0e8b11d0f600bfb0c093", cnonce[] = "0a4f113b";
	static const struct { enum digest_alg alg; bool is_sess; const char *qop, *response; } rows[] = {
		{ DIGEST_MD5, false, "auth", "6629fae49393a05397450978507c4ef1" },
		{ DIGEST_MD5, false, "auth-int", "151b6cabb7e59e0ac757207a039ff3d0" },
		{ DIGEST_MD5, true, "auth", "8e3825c57e897f5a0dec6c2d4e5059d0" },
		{ DIGEST_MD5, true, "auth-int", "4dbd7373f7ce11dbff12e1a90d17c6e8" },
		{ DIGEST_SHA256, false, "auth", "5abdd07184ba512a22c53f41470e5eea7dcaa3a93a59b630c13dfe0a5dc6e38b" },
		{ DIGEST_SHA256, false, "auth-int", "861b16c488a29cfc9d207f8330f62a8b575d5db831f6e188cb373aeb162507b3" },
		{ DIGEST_SHA256, true, "auth", "b8822e12417cb7750f4e2b8515f0dcf25b7dd26993e80bee1426201446a7f59b" },
		{ DIGEST_SHA256, true, "auth-int", "e11cd2ee31166fa69d0ff135cfbf1e13d92e956092f15dbe9af499e19752ba35" },
		{ DIGEST_SHA512_256, false, "auth", "f23c08ec7334a881f8286e68450ddbd9f0cd91c41481f0e1433604da8113c6dc" },
		{ DIGEST_SHA512_256, false, "auth-int", "f494a83d8861888dc0a4f73120acb9ab018d2a94e2e560b85c7cac3fbe916042" },
		{ DIGEST_SHA512_256, true, "auth", "0d21f0db3ec5cda5b850c0afa3bc29b4a3c5a6191959ff1baf511d4b38eb6b1e" },
		{ DIGEST_SHA512_256, true, "auth-int", "c8cdbaa40abcd6b0fb6e3abc145853639de890ddb4fbb675346665123e8705d9" },
	};
	struct digest_engine e;
	char ha1[65], got[65];

	(void)state;
	assert_int_equal(digest_engine_init(&e), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct digest_input in = { .alg = rows[i].alg, .is_sess = rows[i].is_sess, .nonce = str_from(nonce), .nc = STR("00000001"),
					   .cnonce = str_from(cnonce), .qop = str_from(rows[i].qop), .method = STR("GET"),
					   .uri = STR("/dir/index.html"), .body = STR("v=0\r\n") };

		digest_ha1(rows[i].alg, STR("Mufasa"), STR("testrealm@host.com"), STR("Circle Of Life"), ha1);
		in.ha1 = str_from(ha1);
		assert_int_equal(digest_engine_response(&e, &in, got), 0);
		assert_string_equal(got, rows[i].response);
	}
	digest_ha1(DIGEST_SHA512_256, STR("J\xc3\xa4s\xc3\xb8n Doe"), STR("api@example.org"), STR("Secret, or not?"), ha1);
	digest_response(DIGEST_SHA512_256, ha1, STR("5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK"), STR("00000001"),
			STR("NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"), STR("auth"), STR("GET"), STR("/doe.json"), got);
	assert_string_equal(got, "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
	digest_engine_fini(&e);
}

/* A user's name as its hash, RFC 7616 §3.9.2 with erratum 4897; and a session's key. */
static void test_digest_answer_takes_userhash_and_session(void **state)
{
	struct fixture *f = *state;
	const char *line;

	response(f, 401, "WWW-Authenticate: Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256,"
			 " nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", opaque=\"HRPC\", charset=UTF-8, userhash=true\r\n");
	line = answer(f, "J\xc3\xa4s\xc3\xb8n Doe", "Secret, or not?", "");
	assert_non_null(strstr(line, "username=\"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b\", userhash=true,"));
	response(f, 401, "WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", qop=\"auth\", algorithm=MD5-sess\r\n");
	assert_non_null(strstr(answer(f, "u", "p", ""), ", algorithm=MD5-sess,"));
}

/* RFC 7616 §3.5: what the server says of itself, and what of it a client believes. */
static void test_digest_info_proves_the_password_to_the_client(void **state)
{
	static const enum digest_alg algs[] = { DIGEST_MD5, DIGEST_SHA256, DIGEST_SHA512_256 };
	struct fixture *f = *state;
	char line[4096], info[1024], other[1100];
	struct sip_auth_info parsed;

	for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
		challenge(f, algs[i], false);
		response(f, 401, f->challenge);
		snprintf(line, sizeof(line), "Proxy-Authorization: Digest username=\"p\", realm=\"x\", nonce=\"n\", uri=\"sip:x\", "
			 "response=\"r\", qop=auth, nc=00000001, cnonce=\"c\"\r\n%s", answer(f, "1001", "secret", ""));
		assert_int_equal(check_line(f, line, REALM, "", algs[i]), DIGEST_OK);
		write_info(f, info, sizeof(info));
		assert_null(strstr(info, "nextnonce"));
		response(f, 200, info);
		assert_true(digest_is_proved(&f->msg, str_from(line), STR("1001"), STR("secret")));
		assert_false(digest_is_proved(&f->msg, str_from(line), STR("1001"), STR("other")));
		assert_false(digest_is_proved(&f->msg, STR_NULL, STR("1001"), STR("secret")));
		/* of another request, and of who knows nothing */
		assert_int_equal(sip_auth_info_parse(&parsed, str_from(strchr(info, ' '))), 0);
		snprintf(other, sizeof(other), "Authentication-Info: rspauth=\"%.*s\", cnonce=\"else\", nc=00000001, qop=auth\r\n", STR_ARG(parsed.rspauth));
		response(f, 200, other);
		assert_false(digest_is_proved(&f->msg, str_from(line), STR("1001"), STR("secret")));
		response(f, 200, "Authentication-Info: nextnonce=\"x\"\r\n");
		assert_false(digest_is_proved(&f->msg, str_from(line), STR("1001"), STR("secret")));
		response(f, 200, "");
		assert_false(digest_is_proved(&f->msg, str_from(line), STR("1001"), STR("secret")));
	}
}

/* RFC 7616 §3.4.2: offered behind the plain one, and taken where it was offered; the proof is made with the session's key, too. */
static void test_digest_session_keys_are_taken_where_offered(void **state)
{
	static const struct { enum digest_alg alg; const char *name; } rows[] = {
		{ DIGEST_MD5, "MD5-sess" }, { DIGEST_SHA256, "SHA-256-sess" }, { DIGEST_SHA512_256, "SHA-512-256-sess" },
	};
	struct fixture *f = *state;
	char line[4096], info[1024];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		challenge(f, rows[i].alg | DIGEST_SESS, false);
		assert_true(strstr(f->challenge, digest_alg_name(rows[i].alg)) < strstr(f->challenge, rows[i].name));
		response(f, 401, strchr(f->challenge, '\n') + 1); /* the second line alone */
		snprintf(line, sizeof(line), "%s", answer(f, "1001", "secret", ""));
		assert_non_null(strstr(line, rows[i].name));
		assert_int_equal(check_line(f, line, REALM, "", rows[i].alg), DIGEST_FOREIGN);
		assert_int_equal(check_line(f, line, REALM, "", rows[i].alg | DIGEST_SESS), DIGEST_OK);
		write_info(f, info, sizeof(info));
		response(f, 200, info);
		assert_true(digest_is_proved(&f->msg, str_from(line), STR("1001"), STR("secret")));
		response(f, 401, strchr(f->challenge, '\n') + 1);
		snprintf(line, sizeof(line), "%s", answer(f, "1001", "wrong", ""));
		assert_int_equal(check_line(f, line, REALM, "", rows[i].alg | DIGEST_SESS), DIGEST_FAILED);
	}
	/* It needs a cnonce, which RFC 2069 has none of. */
	challenge(f, DIGEST_MD5 | DIGEST_SESS, false);
	assert_int_equal(check_secret(f, &(struct attempt){ .alg = DIGEST_MD5, .algorithm = "MD5-sess", .qop = "", .nc = 1 }, &f->secret,
				      DIGEST_MD5 | DIGEST_SESS), DIGEST_FOREIGN);
}

/* With auth-int the proof is about the body of the answer, so it is made when that is there. */
static void test_digest_info_of_auth_int_waits_for_the_body_of_the_answer(void **state)
{
	static const char *const bodies[] = { "", "v=0\r\n" };
	struct fixture *f = *state;
	char line[4096], info[1024], name[DIGEST_USER_MAX], answer_text[4096];
	struct digest_proof *proof;
	struct sip_msg_error err;
	struct sip_credentials c;
	struct out o;

	challenge(f, DIGEST_MD5 | DIGEST_AUTH_INT, false);
	response(f, 401, f->challenge);
	snprintf(line, sizeof(line), "%s", answer(f, "1001", "secret", ""));
	assert_non_null(strstr(line, "qop=auth-int"));
	assert_int_equal(check_line(f, line, REALM, "", DIGEST_MD5 | DIGEST_AUTH_INT), DIGEST_OK);
	assert_true(digest_find(f->server, &f->msg, SIP_HDR_AUTHORIZATION, STR(REALM), &c, name));
	out_init(&o, info, sizeof(info) - 1);
	proof = digest_info(f->server, &o, &c, &f->secret, f->source);
	assert_non_null(proof);
	assert_int_equal(o.len, 0);
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		for (size_t k = 0; k < ARRAY_LEN(bodies); k++) { /* made for body i, come with body k */
			out_init(&o, info, sizeof(info) - 1);
			digest_proof_print(proof, &o, str_from(bodies[i]));
			info[o.len] = 0;
			assert_non_null(strstr(info, ", qop=auth-int"));
			snprintf(answer_text, sizeof(answer_text),
				 "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
				 "To: <sip:a@b>;tag=2\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\n%sContent-Type: a/b\r\nContent-Length: %zu\r\n\r\n%s",
				 info, strlen(bodies[k]), bodies[k]);
			assert_int_equal(sip_msg_parse(&f->msg, answer_text, strlen(answer_text), &err), 0);
			assert_int_equal(digest_is_proved(&f->msg, str_from(line), STR("1001"), STR("secret")), i == k);
			assert_false(digest_is_proved(&f->msg, str_from(line), STR("1001"), STR("other")));
		}
	digest_proof_free(proof);
}

/* The next nonce comes when this one is in the second half of its life, and is good for the same source. */
static void test_digest_info_gives_the_next_nonce_in_time(void **state)
{
	struct fixture *f = *state;
	struct sip_auth_info parsed;
	char info[1024];

	challenge(f, DIGEST_MD5, false);
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 1 }), DIGEST_OK);
	write_info(f, info, sizeof(info));
	assert_null(strstr(info, "nextnonce"));
	f->now_ms += 30000; /* it lives for a minute */
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 2 }), DIGEST_OK);
	write_info(f, info, sizeof(info));
	assert_int_equal(sip_auth_info_parse(&parsed, str_from(strchr(info, ' '))), 0);
	assert_true(str_eqz(parsed.nc, "00000002") && str_eqz(parsed.qop, "auth"));
	assert_int_not_equal(parsed.nextnonce.n, 0);
	f->now_ms += 31000;
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 3 }), DIGEST_STALE);
	snprintf(f->nonce, sizeof(f->nonce), "%.*s", STR_ARG(parsed.nextnonce));
	assert_int_equal(check(f, &(struct attempt){ .alg = DIGEST_MD5, .nc = 1 }), DIGEST_OK);
	/* None where it would depend on the answer's body, nor for RFC 2069. */
	challenge(f, DIGEST_MD5, false);
	check(f, &(struct attempt){ .alg = DIGEST_MD5, .qop = "", .nc = 1 });
	write_info(f, info, sizeof(info));
	assert_string_equal(info, "");
}

/* RFC 3261 §22.3: what several have asked comes in one response, and one answer is for all of them. */
static void test_digest_answer_takes_the_best_of_each_realm(void **state)
{
	struct fixture *f = *state;
	const char *line;
	char old[4096];
	struct out o;

	response(f, 407, "Proxy-Authenticate: Digest realm=\"one\", nonce=\"n1\", qop=\"auth\", algorithm=MD5\r\n"
			 "Proxy-Authenticate: Digest realm=\"two\", nonce=\"n2\", qop=\"auth-int\", algorithm=SHA-256\r\n"
			 "Proxy-Authenticate: Digest realm=\"one\", nonce=\"n3\", qop=\"auth\", algorithm=SHA-512-256\r\n"
			 "Proxy-Authenticate: Digest realm=\"one\", nonce=\"n4\", qop=\"auth\", algorithm=SHA-256\r\n"
			 "Proxy-Authenticate: Basic realm=\"three\"\r\n"
			 "WWW-Authenticate: Digest realm=\"one\", nonce=\"n5\", qop=\"auth\", algorithm=MD5\r\n");
	line = answer(f, "u", "p", "");
	assert_ptr_equal(strstr(line, "Authorization: Digest username=\"u\", realm=\"one\", nonce=\"n5\""), line);
	assert_non_null(strstr(line, "\r\nProxy-Authorization: Digest username=\"u\", realm=\"one\", nonce=\"n3\""));
	assert_non_null(strstr(line, "\r\nProxy-Authorization: Digest username=\"u\", realm=\"two\", nonce=\"n2\""));
	assert_null(strstr(line, "\"n1\""));
	assert_null(strstr(line, "\"n4\""));
	/* the next on the way asks: those that are content keep their answers */
	snprintf(old, sizeof(old), "%s", line);
	assert_false(digest_asks_anew(&f->msg, str_from(old)));
	response(f, 407, "Proxy-Authenticate: Digest realm=\"two\", nonce=\"n6\", qop=\"auth\", algorithm=MD5\r\n");
	assert_false(digest_asks_anew(&f->msg, str_from(old)));
	response(f, 407, "Proxy-Authenticate: Digest realm=\"two\", nonce=\"n6\", qop=\"auth\", algorithm=MD5, stale=true\r\n");
	assert_true(digest_asks_anew(&f->msg, str_from(old)));
	response(f, 407, "Proxy-Authenticate: Digest realm=\"four\", nonce=\"n7\", qop=\"auth\", algorithm=MD5\r\n");
	assert_true(digest_asks_anew(&f->msg, str_from(old)));
	out_init(&o, f->challenge, sizeof(f->challenge) - 1);
	digest_keep_others(&o, &f->msg, str_from(old));
	assert_int_equal(o.len, strlen(old));
	response(f, 407, "Proxy-Authenticate: Digest realm=\"two\", nonce=\"n6\", qop=\"auth\", algorithm=MD5, stale=true\r\n");
	out_init(&o, f->challenge, sizeof(f->challenge) - 1);
	digest_keep_others(&o, &f->msg, str_from(old));
	f->challenge[o.len] = '\0';
	assert_non_null(strstr(f->challenge, "\"n3\""));
	assert_non_null(strstr(f->challenge, "\"n5\""));
	assert_null(strstr(f->challenge, "\"two\""));
}

/* A realm and a name with characters that need escapes between quotes: the password is that of the plain ones. */
static void test_digest_escapes_are_undone(void **state)
{
	struct fixture *f = *state;
	static const char realm[] = "the \"cord\\board\"";
	char buf[2048];
	struct out o;

	digest_ha1(DIGEST_MD5, STR("10\"01"), str_from(realm), STR("secret"), f->ha1_md5);
	out_init(&o, buf, sizeof(buf) - 1);
	digest_challenge(f->server, &o, SIP_HDR_WWW_AUTHENTICATE, str_from(realm), DIGEST_MD5, false, STR_NULL);
	buf[o.len] = '\0';
	assert_non_null(strstr(buf, "realm=\"the \\\"cord\\\\board\\\"\""));
	response(f, 401, buf);
	assert_int_equal(check_line(f, answer(f, "10\"01", "secret", ""), realm, "", DIGEST_MD5), DIGEST_OK);
}

static void test_digest_find_undoes_names(void **state)
{
	static const struct { const char *credentials, *name; } rows[] = {
		{ "username=\"bob\"", "bob" },
		{ "username=\"b\\\"o\\\\b\"", "b\"o\\b" },
		{ "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe", "J\xc3\xa4s\xc3\xb8n Doe" }, /* RFC 7616 §3.4.4 */
		{ "username*=utf-8'de'x", "x" },
		{ "username*=ISO-8859-1''x", NULL },
		{ "username*=UTF-8", NULL },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char line[512], name[DIGEST_USER_MAX];
		struct sip_credentials c;

		snprintf(line, sizeof(line), "Authorization: Digest %s, realm=\"r\", nonce=\"n\", uri=\"sip:cord.example\", response=\"0\"\r\n",
			 rows[i].credentials);
		response(f, 200, line);
		assert_true(digest_find(f->server, &f->msg, SIP_HDR_AUTHORIZATION, STR("r"), &c, name));
		if (rows[i].name)
			assert_true(str_eq(c.username, str_from(rows[i].name)));
		else
			assert_true(str_empty(c.username));
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
		"WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", algorithm=SHA-3\r\n",
		"WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", qop=\"auth-conf\"\r\n",
		"WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", algorithm=MD5-sess\r\n", /* has no cnonce without qop */
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
		cmocka_unit_test(test_digest_engine_vectors_match),
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
		WITH_SERVER(test_digest_looked_at_again_says_the_same),
		WITH_SERVER(test_digest_check_nonce_of_another_source_is_stale),
		WITH_SERVER(test_digest_check_algorithm_not_offered_fails),
		WITH_SERVER(test_digest_check_malformed_is_told),
		WITH_SERVER(test_digest_answer_passes_own_check),
		WITH_SERVER(test_digest_answer_takes_userhash_and_session),
		WITH_SERVER(test_digest_info_proves_the_password_to_the_client),
		WITH_SERVER(test_digest_session_keys_are_taken_where_offered),
		WITH_SERVER(test_digest_info_of_auth_int_waits_for_the_body_of_the_answer),
		WITH_SERVER(test_digest_info_gives_the_next_nonce_in_time),
		WITH_SERVER(test_digest_answer_takes_the_best_of_each_realm),
		WITH_SERVER(test_digest_escapes_are_undone),
		WITH_SERVER(test_digest_find_undoes_names),
		WITH_SERVER(test_digest_answer_rfc2069_and_proxy_form),
		WITH_SERVER(test_digest_answer_impossible_challenge_refused),
	};

	return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
