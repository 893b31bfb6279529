/* test_auth.c - who is let in, and that what goes back never tells who exists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <errno.h>

#include "registrar/auth.h"
#include "fake_directory.h"
#include "fake_strans.h"

static int64_t now_ms = 1700000000000;

static uint64_t clock_mono(void *arg)
{
	(void)arg;
	return (uint64_t)now_ms;
}

static int64_t clock_wall(void *arg)
{
	(void)arg;
	return now_ms;
}

static const struct clock test_clock = { .mono_ms = clock_mono, .wall_ms = clock_wall };
static struct directory directory;
static struct auth auth;

static int setup(void **state)
{
	struct digest_server_params p = { .clock = &test_clock, .rng = fake_rng() };

	(void)state;
	fake_directory_init(&directory);
	auth = (struct auth){ .directory = &directory };
	return digest_server_new(&auth.digest, &p);
}

static int teardown(void **state)
{
	(void)state;
	digest_server_free(auth.digest);
	return 0;
}

static const char *request(const char *method, const char *from, const char *to, const char *authorization)
{
	static char text[4096];

	snprintf(text, sizeof(text),
		 "%s sip:office SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKx;rport\r\nFrom: <%s>;tag=1\r\nTo: <%s>\r\n"
		 "Call-ID: c\r\nCSeq: 1 %s\r\n%sContent-Length: 0\r\n\r\n",
		 method, from, to, method, authorization);
	return text;
}

/* Sends a request, answers the challenge, sends again. Returns the verdict of the second; its reply is in st. */
static enum auth_verdict try(const char *method, const char *from, const char *to, const char *user, const char *password,
			     struct strans *st, struct auth_identity *who)
{
	char authorization[1024];
	enum auth_verdict verdict;

	fake_strans_init(st, request(method, from, to, ""));
	assert_int_equal(auth_check(&auth, st, st->msg, who), AUTH_ANSWERED);
	assert_int_equal(st->status, 401);
	assert_int_equal(st->nreplies, 1);
	assert_int_equal(fake_authorization(st, user, password, 1, authorization, sizeof(authorization)), 0);
	fake_strans_fini(st);
	fake_strans_init(st, request(method, from, to, authorization));
	verdict = auth_check(&auth, st, st->msg, who);
	assert_int_equal(st->nreplies, verdict == AUTH_ANSWERED);
	return verdict;
}

static void test_auth_check_verdicts(void **state)
{
	static const struct {
		const char *method, *from, *to, *user, *password;
		int status; /* 0: let in */
		const char *number;
	} rows[] = {
		{ "INVITE", "sip:1001@office", "sip:1002@office", "1001", "secret", 0, "1001" },
		{ "INVITE", "sip:1001@192.0.2.1", "sip:1002@office", "1001", "secret", 0, "1001" },
		{ "INVITE", "sip:bob@office", "sip:1001@office", "bob", "secret", 0, "1002" },
		{ "INVITE", "sip:1002@office", "sip:1001@office", "bob", "secret", 0, "1002" },
		{ "INVITE", "sip:%31001@office", "sip:1002@office", "1001", "secret", 0, "1001" },
		{ "INVITE", "sip:1001@office", "sip:1002@office", "1001", "wrong", 401, NULL },
		{ "INVITE", "sip:9999@office", "sip:1002@office", "9999", "secret", 401, NULL },
		{ "INVITE", "sip:1002@office", "sip:1001@office", "1001", "secret", 403, NULL },
		{ "INVITE", "sip:1001%00@office", "sip:1002@office", "1001", "secret", 403, NULL },
		{ "INVITE", "sip:office", "sip:1002@office", "1001", "secret", 403, NULL },
		{ "INVITE", "sip:1003@office", "sip:1002@office", "1003", "secret", 403, NULL },
		/* REGISTER is about its To (RFC 3261 §10.3 step 4) */
		{ "REGISTER", "sip:1002@office", "sip:1001@office", "1001", "secret", 0, "1001" },
		/* RFC 3323 §4.1.1.3: he hides himself from others, not from us */
		{ "INVITE", "sip:anonymous@anonymous.invalid", "sip:1002@office", "1001", "secret", 0, "1001" },
		{ "INVITE", "sip:anonymous@anonymous.invalid", "sip:1002@office", "1001", "wrong", 401, NULL },
		{ "REGISTER", "sip:1001@office", "sip:anonymous@anonymous.invalid", "1001", "secret", 403, NULL },
		{ "REGISTER", "sip:1001@office", "sip:1002@office", "1001", "secret", 403, NULL },
		{ "SUBSCRIBE", "sip:1001@office", "sip:1001@office", "1001", "secret", 0, "1001" },
	};

	(void)state;
	for (unsigned algorithms = DIGEST_MD5; algorithms <= (DIGEST_MD5 | DIGEST_SHA256); algorithms++)
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			struct auth_identity who;
			struct strans st;
			enum auth_verdict verdict;

			directory.algorithms = algorithms;
			verdict = try(rows[i].method, rows[i].from, rows[i].to, rows[i].user, rows[i].password, &st, &who);
			if (verdict != (rows[i].status ? AUTH_ANSWERED : AUTH_OK) || st.status != rows[i].status)
				fail_msg("row %zu: %d", i, st.status);
			if (!rows[i].status) {
				assert_string_equal(who.number, rows[i].number);
				assert_string_equal(who.domain, "office");
				assert_string_equal(who.trunk, "");
				assert_string_equal(who.display_name, strcmp(rows[i].number, "1001") ? "Bob" : "Alice");
				assert_string_equal(who.context, strcmp(rows[i].number, "1001") ? "internal" : "office");
			}
			fake_strans_fini(&st);
		}
}

/* RFC 7616 §3.5: shown to who has shown the right password, where the domain wants it. */
static void test_auth_shows_that_it_knows_the_password(void **state)
{
	struct auth_identity who;
	struct strans st;

	(void)state;
	directory.algorithms = DIGEST_SHA256;
	assert_int_equal(try("INVITE", "sip:1001@office", "sip:1@office", "1001", "secret", &st, &who), AUTH_OK);
	assert_string_equal(st.hdrs_2xx, "");
	fake_strans_fini(&st);
	fake_domain.is_mutual = true;
	assert_int_equal(try("INVITE", "sip:1001@office", "sip:1@office", "1001", "secret", &st, &who), AUTH_OK);
	assert_ptr_equal(strstr(st.hdrs_2xx, "Authentication-Info: rspauth=\""), st.hdrs_2xx);
	fake_strans_fini(&st);
	assert_int_equal(try("INVITE", "sip:1001@office", "sip:1@office", "1001", "wrong", &st, &who), AUTH_ANSWERED);
	assert_string_equal(st.hdrs_2xx, "");
	fake_strans_fini(&st);
	assert_int_equal(try("INVITE", "sip:1003@office", "sip:1@office", "9999", "secret", &st, &who), AUTH_ANSWERED);
	assert_string_equal(st.hdrs_2xx, "");
	fake_strans_fini(&st);
	/* With auth-int once the answer's body is known */
	fake_domain.qop = DIGEST_AUTH_INT;
	assert_int_equal(try("INVITE", "sip:1001@office", "sip:1@office", "1001", "secret", &st, &who), AUTH_OK);
	assert_string_equal(st.hdrs_2xx, "");
	assert_true(st.has_proof);
	fake_strans_fini(&st);
	fake_domain.qop = 0;
	fake_domain.is_mutual = false;
}

/* RFC 6140: an exchange is whom it says that it is, among its numbers, but registers as itself alone. */
static void test_auth_exchange_is_each_of_its_numbers(void **state)
{
	static const struct { const char *method, *from, *to; int status; const char *number, *context; } rows[] = {
		{ "INVITE", "sip:1004@office", "sip:1002@office", 0, "1004", "internal" },
		{ "INVITE", "sip:2001@office", "sip:1002@office", 0, "2001", "office" },
		{ "INVITE", "sip:1002@office", "sip:1001@office", 403, NULL, NULL },
		{ "INVITE", "sip:2002@office", "sip:1001@office", 403, NULL, NULL },
		{ "REGISTER", "sip:1004@office", "sip:1004@office", 0, "1004", "internal" },
		{ "REGISTER", "sip:2001@office", "sip:2001@office", 403, NULL, NULL },
	};

	(void)state;
	directory.algorithms = DIGEST_MD5;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct auth_identity who;
		struct strans st;
		enum auth_verdict verdict = try(rows[i].method, rows[i].from, rows[i].to, "1004", "secret", &st, &who);

		if (verdict != (rows[i].status ? AUTH_ANSWERED : AUTH_OK) || st.status != rows[i].status ||
		    (verdict == AUTH_OK && (strcmp(who.number, rows[i].number) || strcmp(who.context, rows[i].context))))
			fail_msg("row %zu: %d", i, st.status);
		fake_strans_fini(&st);
	}
}

/* The nonce is the only thing that may differ. */
static void mask_nonces(char *hdrs)
{
	for (char *at = hdrs; (at = strstr(at, "nonce=\"")) != NULL;) {
		at += 7;
		while (*at && *at != '"')
			*at++ = 'N';
	}
}

/* RFC 7616 §3.4.4: the client answers with the hash of its name where that is offered, and nobody learns which ones there are. */
static void test_auth_userhash_where_the_domain_has_it(void **state)
{
	static const struct { const char *from, *user, *password; int status; } rows[] = {
		{ "sip:anonymous@anonymous.invalid", "1001", "secret", 0 }, { "sip:bob@office", "bob", "secret", 0 },
		{ "sip:1002@office", "bob", "secret", 0 }, { "sip:1001@office", "1001", "wrong", 401 },
		{ "sip:1001@office", "9999", "secret", 401 }, { "sip:1001@office", "bob", "secret", 403 },
	};
	static const char by_hash[] = "Authorization: Digest username=\"%s\", userhash=true, realm=\"cordboard\", nonce=\"x\", "
				      "uri=\"sip:office\", response=\"y\", qop=auth, nc=00000001, cnonce=\"z\"\r\n";
	char authorization[1024], hash[65], known[1024];
	struct auth_identity who;
	struct strans st;

	(void)state;
	fake_domain.has_userhash = true;
	for (unsigned alg = DIGEST_MD5; alg <= DIGEST_SHA512_256; alg *= 2)
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			directory.algorithms = alg;
			assert_int_equal(try("INVITE", rows[i].from, "sip:1@office", rows[i].user, rows[i].password, &st, &who),
					 rows[i].status ? AUTH_ANSWERED : AUTH_OK);
			assert_int_equal(st.status, rows[i].status);
			assert_non_null(strstr(sip_msg_value(st.msg, SIP_HDR_AUTHORIZATION).p, "userhash=true"));
			if (rows[i].status == 401)
				assert_non_null(strstr(st.hdrs, ", userhash=true\r\n"));
			fake_strans_fini(&st);
		}
	/* a hash of somebody, in capitals, and one of nobody: the same answer */
	digest_userhash(DIGEST_MD5, STR("bob"), STR("cordboard"), hash);
	for (char *p = hash; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	for (int i = 0; i < 2; i++) {
		snprintf(authorization, sizeof(authorization), by_hash, i ? "0123456789abcdef0123456789abcdef" : hash);
		fake_strans_init(&st, request("INVITE", "sip:bob@office", "sip:1@office", authorization));
		assert_int_equal(auth_check(&auth, &st, st.msg, &who), AUTH_ANSWERED);
		assert_int_equal(st.status, 401);
		mask_nonces(st.hdrs);
		if (i)
			assert_string_equal(st.hdrs, known);
		snprintf(known, sizeof(known), "%.1000s", st.hdrs);
		fake_strans_fini(&st);
	}
	fake_domain.has_userhash = false;
	/* where none is offered, it is nobody's name */
	directory.algorithms = DIGEST_MD5;
	snprintf(authorization, sizeof(authorization), by_hash, hash);
	fake_strans_init(&st, request("INVITE", "sip:bob@office", "sip:1@office", authorization));
	assert_int_equal(auth_check(&auth, &st, st.msg, &who), AUTH_ANSWERED);
	assert_int_equal(st.status, 401);
	assert_null(strstr(st.hdrs, "userhash"));
	fake_strans_fini(&st);
}

/* RFC 7616 §3.4: one of the two, and never both hashed and extended. */
static void test_auth_names_that_say_two_things_are_400(void **state)
{
	static const char *const names[] = {
		"username=\"1001\", username*=UTF-8''1001", "username*=UTF-8''1001, userhash=true", "username*=ISO-8859-1''1001", "username*=1001",
	};
	char authorization[1024];
	struct auth_identity who;
	struct strans st;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(authorization, sizeof(authorization), "Authorization: Digest %s, realm=\"cordboard\", nonce=\"x\", "
			 "uri=\"sip:office\", response=\"y\", qop=auth, nc=00000001, cnonce=\"z\"\r\n", names[i]);
		fake_strans_init(&st, request("INVITE", "sip:1001@office", "sip:1@office", authorization));
		assert_int_equal(auth_check(&auth, &st, st.msg, &who), AUTH_ANSWERED);
		assert_int_equal(st.status, 400);
		fake_strans_fini(&st);
	}
}

static void test_auth_challenge_hides_who_exists(void **state)
{
	static const char *const users[] = { "1001", "9999", "1003", "bob", "1002" };
	char first[ARRAY_LEN(users)][2048], second[ARRAY_LEN(users)][2048];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		char from[64];
		struct auth_identity who;
		struct strans st;

		snprintf(from, sizeof(from), "sip:%s@office", users[i]);
		fake_strans_init(&st, request("INVITE", from, "sip:1001@office", ""));
		assert_int_equal(auth_check(&auth, &st, st.msg, &who), AUTH_ANSWERED);
		snprintf(first[i], sizeof(first[i]), "%d %s %.1500s", st.status, st.reason, st.hdrs);
		mask_nonces(first[i]);
		fake_strans_fini(&st);
		assert_int_equal(try("INVITE", from, "sip:1001@office", users[i], "wrong", &st, &who), AUTH_ANSWERED);
		snprintf(second[i], sizeof(second[i]), "%d %s %.1500s", st.status, st.reason, st.hdrs);
		mask_nonces(second[i]);
		fake_strans_fini(&st);
		assert_string_equal(first[i], first[0]);
		assert_string_equal(second[i], second[0]);
	}
	assert_non_null(strstr(first[0], "WWW-Authenticate: Digest realm=\"cordboard\""));
	assert_non_null(strstr(first[0], "algorithm=MD5"));
	assert_null(strstr(first[0], "SHA-256"));
}

static void test_auth_replay_is_stale(void **state)
{
	char authorization[1024];
	struct auth_identity who;
	struct strans st;

	(void)state;
	fake_strans_init(&st, request("INVITE", "sip:1001@office", "sip:1002@office", ""));
	auth_check(&auth, &st, st.msg, &who);
	assert_int_equal(fake_authorization(&st, "1001", "secret", 1, authorization, sizeof(authorization)), 0);
	fake_strans_fini(&st);
	for (int i = 0; i < 2; i++) {
		fake_strans_init(&st, request("INVITE", "sip:1001@office", "sip:1002@office", authorization));
		assert_int_equal(auth_check(&auth, &st, st.msg, &who), i ? AUTH_ANSWERED : AUTH_OK);
		assert_int_equal(st.status, i ? 401 : 0);
		assert_true(!i || strstr(st.hdrs, "stale=true"));
		fake_strans_fini(&st);
	}
	/* Grown old */
	fake_strans_init(&st, request("INVITE", "sip:1001@office", "sip:1002@office", ""));
	auth_check(&auth, &st, st.msg, &who);
	assert_int_equal(fake_authorization(&st, "1001", "secret", 1, authorization, sizeof(authorization)), 0);
	fake_strans_fini(&st);
	now_ms += 301 * 1000;
	fake_strans_init(&st, request("INVITE", "sip:1001@office", "sip:1002@office", authorization));
	assert_int_equal(auth_check(&auth, &st, st.msg, &who), AUTH_ANSWERED);
	assert_int_equal(st.status, 401);
	assert_non_null(strstr(st.hdrs, "stale=true"));
	fake_strans_fini(&st);
}

static void test_auth_unloaded_directory_is_503(void **state)
{
	struct auth_identity who;
	struct strans st;

	(void)state;
	directory.is_unknown = true;
	fake_strans_init(&st, request("INVITE", "sip:1001@office", "sip:1002@office", ""));
	assert_int_equal(auth_check(&auth, &st, st.msg, &who), AUTH_ANSWERED);
	assert_int_equal(st.status, 503);
	assert_non_null(strstr(st.hdrs, "Retry-After: "));
	fake_strans_fini(&st);
}

static void test_auth_trunk_by_address(void **state)
{
	static const struct { const char *method, *peer, *from; int status; } rows[] = {
		{ "INVITE", "192.0.2.200", "sip:+4930123@provider.example", 0 },
		{ "OPTIONS", "192.0.2.200", "sip:provider.example", 0 },
		{ "INVITE", "192.0.2.200", "tel:+4930123", 0 },
		{ "INVITE", "192.0.2.200", "sip:x@no.such.domain", 0 },
		{ "INVITE", "192.0.2.201", "sip:+4930123@provider.example", 401 },
		{ "INVITE", "192.0.2.201", "sip:x@no.such.domain", 403 },
		{ "REGISTER", "192.0.2.200", "sip:1001@office", 401 }, /* trunks don't register */
		{ "SUBSCRIBE", "192.0.2.200", "sip:1001@office", 401 }, /* nor watch anybody: that is a phone beside it */
		{ "PUBLISH", "192.0.2.200", "sip:1001@office", 401 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct auth_identity who;
		struct strans st;
		enum auth_verdict verdict;

		fake_strans_init(&st, request(rows[i].method, rows[i].from, "sip:1001@office", ""));
		assert_int_equal(sockaddr_parse(&st.source.peer, str_from(rows[i].peer), 5060), 0);
		verdict = auth_check(&auth, &st, st.msg, &who);
		if (verdict != (rows[i].status ? AUTH_ANSWERED : AUTH_OK) || st.status != rows[i].status)
			fail_msg("row %zu: %d", i, st.status);
		if (verdict == AUTH_OK) {
			assert_string_equal(who.trunk, "provider");
			assert_string_equal(who.number, "");
			assert_string_equal(who.context, "incoming");
		}
		fake_strans_fini(&st);
	}
}

static const char *shown[3]; /* what the peer's certificate stands for, on flow 1001 */

const char *transport_flow_identity(const struct transport *t, uint64_t flow, unsigned i)
{
	(void)t;
	return flow == 1001 && i < ARRAY_LEN(shown) ? shown[i] : NULL;
}

static void test_auth_phone_by_certificate(void **state)
{
	static const struct { const char *method; const char *who; enum sip_proto proto; const char *shown[3]; const char *number; } rows[] = {
		{ "REGISTER", "sip:1001@office", SIP_TLS, { "alice@example.com" }, "1001" },
		{ "INVITE", "sip:1001@office", SIP_TLS, { "alice@example.com" }, "1001" },
		{ "SUBSCRIBE", "sip:1002@office", SIP_TLS, { "phone2.example.com" }, "1002" },
		{ "MESSAGE", "sip:1002@office", SIP_TLS, { "x.example.com", "alice@example.com", "phone2.example.com" }, "1002" },
		{ "INVITE", "sip:1002@office", SIP_TLS, { "sbc.example.com", "phone2.example.com" }, "1002" },
		{ "INVITE", "sip:anonymous@anonymous.invalid", SIP_TLS, { "alice@example.com" }, "1001" },
		{ "INVITE", "sip:2001@office", SIP_TLS, { "exchange.example.com" }, "2001" },      /* RFC 6140: a number of it */
		{ "REGISTER", "sip:2001@office", SIP_TLS, { "exchange.example.com" }, NULL },
		{ "REGISTER", "sip:1002@office", SIP_TLS, { "alice@example.com" }, NULL },          /* not its own */
		{ "REGISTER", "sip:1003@office", SIP_TLS, { "gone.example.com" }, NULL },
		{ "REGISTER", "sip:1001@office", SIP_TLS, { "alice@elsewhere.example.com" }, NULL }, /* of another domain */
		{ "REGISTER", "sip:1001@office", SIP_TLS, { "bob@example.com" }, NULL },
		{ "REGISTER", "sip:1001@office", SIP_TLS, { NULL }, NULL },
		{ "REGISTER", "sip:1001@office", SIP_TCP, { "alice@example.com" }, NULL },
		{ "REGISTER", "sip:1001@office", SIP_UDP, { "alice@example.com" }, NULL },
	};

	(void)state;
	auth.transport = (struct transport *)&auth;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct auth_identity who;
		enum auth_verdict verdict;
		char hdrs[2048];
		struct strans st;
		struct out o;

		memcpy(shown, rows[i].shown, sizeof(shown));
		fake_strans_init(&st, request(rows[i].method, rows[i].who, rows[i].method[0] == 'R' ? rows[i].who : "sip:1001@office", ""));
		st.source.proto = rows[i].proto;
		st.source.flow = 1001;
		out_init(&o, hdrs, sizeof(hdrs));
		assert_int_equal(auth_challenge_early(st.msg, &st.source, &o, &auth), rows[i].number ? SIP_EARLY_KEEP : SIP_EARLY_REPLY);
		verdict = auth_check(&auth, &st, st.msg, &who);
		if (verdict != (rows[i].number ? AUTH_OK : AUTH_ANSWERED) || st.status != (rows[i].number ? 0 : 401))
			fail_msg("row %zu: %d", i, st.status);
		if (rows[i].number) {
			assert_string_equal(who.number, rows[i].number);
			assert_string_equal(who.domain, "office");
			assert_string_equal(who.trunk, "");
		}
		fake_strans_fini(&st);
	}
	auth.transport = NULL;
}

/* RFC 5922: from wherever it comes, and over TLS alone. */
static void test_auth_trunk_by_certificate(void **state)
{
	static const struct { const char *method; enum sip_proto proto; uint64_t flow; const char *shown[3]; int status; } rows[] = {
		{ "INVITE", SIP_TLS, 1001, { "sbc.example.com" }, 0 },
		{ "MESSAGE", SIP_TLS, 1001, { "a.example.com", "sbc.example.com" }, 0 },
		{ "INVITE", SIP_TLS, 1001, { "a.example.com", "b.example.com" }, 401 },
		{ "INVITE", SIP_TLS, 1001, { NULL }, 401 },
		{ "INVITE", SIP_TLS, 1002, { "sbc.example.com" }, 401 },
		{ "INVITE", SIP_TCP, 1001, { "sbc.example.com" }, 401 },
		{ "REGISTER", SIP_TLS, 1001, { "sbc.example.com" }, 401 },
		{ "SUBSCRIBE", SIP_TLS, 1001, { "sbc.example.com" }, 401 },
	};

	(void)state;
	auth.transport = (struct transport *)&auth; /* told from none, and nothing else */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct auth_identity who;
		enum auth_verdict verdict;
		char hdrs[2048];
		struct strans st;
		struct out o;

		memcpy(shown, rows[i].shown, sizeof(shown));
		fake_strans_init(&st, request(rows[i].method, "sip:+4930123@sbc.example.com", "sip:1001@office", ""));
		st.source.proto = rows[i].proto;
		st.source.flow = rows[i].flow;
		out_init(&o, hdrs, sizeof(hdrs));
		assert_int_equal(auth_challenge_early(st.msg, &st.source, &o, &auth), rows[i].status ? SIP_EARLY_REPLY : SIP_EARLY_KEEP);
		verdict = auth_check(&auth, &st, st.msg, &who);
		if (verdict != (rows[i].status ? AUTH_ANSWERED : AUTH_OK) || st.status != rows[i].status)
			fail_msg("row %zu: %d", i, st.status);
		if (verdict == AUTH_OK)
			assert_string_equal(who.trunk, "sbc");
		fake_strans_fini(&st);
	}
	auth.transport = NULL;
}

static uint64_t guard_clock(void *arg)
{
	(void)arg;
	return (uint64_t)now_ms;
}

/* Asks from one address and answers from another, as often as said. */
static void guess(const char *asks, const char *answers, const char *user, const char *password, unsigned times)
{
	char authorization[1024];
	struct auth_identity who;
	struct strans st;

	while (times--) {
		fake_strans_init(&st, request("REGISTER", "sip:1001@office", "sip:1001@office", ""));
		assert_int_equal(sockaddr_parse(&st.source.peer, str_from(asks), 5060), 0);
		auth_check(&auth, &st, st.msg, &who);
		assert_int_equal(fake_authorization(&st, user, password, 1, authorization, sizeof(authorization)), 0);
		fake_strans_fini(&st);
		fake_strans_init(&st, request("REGISTER", "sip:1001@office", "sip:1001@office", authorization));
		assert_int_equal(sockaddr_parse(&st.source.peer, str_from(answers), 5060), 0);
		auth_check(&auth, &st, st.msg, &who);
		fake_strans_fini(&st);
	}
}

/* What counts as a guess: an answer to a challenge that came from where it went. */
static void test_auth_guesses_lead_to_a_ban(void **state)
{
	static const struct { const char *asks, *answers, *user, *password; bool is_banned; } rows[] = {
		{ "192.0.2.1", "192.0.2.1", "1001", "wrong", true },
		{ "192.0.2.2", "192.0.2.2", "9999", "wrong", true },      /* nobody: as if there were one */
		{ "192.0.2.3", "192.0.2.3", "1001", "secret", false },
		{ "192.0.2.4", "192.0.2.5", "1001", "wrong", false },     /* with a forged address */
		{ "2001:db8::1", "2001:db8::2", "1001", "wrong", true },  /* of IPv6 that is one host */
	};
	const struct guard_params p = { .key = "key", .now_ms = guard_clock };

	(void)state;
	assert_int_equal(guard_new(&auth.guard, &p), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		union sockaddr_any from;

		assert_int_equal(sockaddr_parse(&from, str_from(rows[i].answers), 6000), 0);
		guess(rows[i].asks, rows[i].answers, rows[i].user, rows[i].password, GUARD_FAILURES);
		assert_int_equal(guard_enter(auth.guard, &from, false), GUARD_PASS);
		guess(rows[i].asks, rows[i].answers, rows[i].user, rows[i].password, 1);
		if ((guard_enter(auth.guard, &from, false) == GUARD_BANNED) != rows[i].is_banned)
			fail_msg("row %zu", i);
	}
	assert_int_equal(guard_bans(auth.guard), 3);
	guard_free(auth.guard);
}

/* Answers that come twice, too late, or are from before a new key: no phone is banned. */
static void test_auth_old_nonces_are_no_guesses(void **state)
{
	const struct guard_params p = { .key = "key", .now_ms = guard_clock };
	char authorization[1024];
	struct auth_identity who;
	struct strans st;

	(void)state;
	assert_int_equal(guard_new(&auth.guard, &p), 0);
	fake_strans_init(&st, request("REGISTER", "sip:1001@office", "sip:1001@office", ""));
	auth_check(&auth, &st, st.msg, &who);
	assert_int_equal(fake_authorization(&st, "1001", "secret", 1, authorization, sizeof(authorization)), 0);
	fake_strans_fini(&st);
	for (unsigned i = 0; i < 100000; i++) {
		now_ms += i == 50000 ? 301000 : 0;
		if (i == 75000) {
			struct digest_server_params other = { .clock = &test_clock, .rng = fake_rng(), .key = "another" };

			digest_server_free(auth.digest);
			assert_int_equal(digest_server_new(&auth.digest, &other), 0);
		}
		fake_strans_init(&st, request("REGISTER", "sip:1001@office", "sip:1001@office", authorization));
		assert_int_equal(auth_check(&auth, &st, st.msg, &who), i ? AUTH_ANSWERED : AUTH_OK);
		assert_int_equal(strstr(st.hdrs, "stale=true") != NULL, i && i < 75000);
		fake_strans_fini(&st);
	}
	assert_int_equal(guard_counters(auth.guard)->failures, 0);
	guard_free(auth.guard);
}

/* Credentials that nobody was asked for. */
#define MADE_UP(user, nonce) "Authorization: Digest username=\"" user "\", realm=\"cordboard\", nonce=\"" nonce "\", uri=\"sip:office\"," \
	" response=\"00000000000000000000000000000000\", algorithm=MD5\r\n"

/* Without a transaction the challenge is the same, and only who would be challenged gets it. */
static void test_auth_early_challenges_are_those_of_auth_check(void **state)
{
	static const struct { const char *method, *from, *peer, *hdrs; bool is_challenged; } rows[] = {
		{ "REGISTER", "sip:1001@office", "192.0.2.10", "", true },   { "REGISTER", "sip:9999@office", "192.0.2.10", "", true },
		{ "INVITE", "sip:1001@office", "192.0.2.10", "", true },     { "MESSAGE", "sip:bob@office", "192.0.2.10", "", true },
		{ "INVITE", "sip:a@anonymous.invalid", "192.0.2.10", "", true },
		{ "INVITE", "sip:1001@office", "192.0.2.200", "", false },   { "REGISTER", "sip:1001@office", "192.0.2.200", "", true },
		{ "INVITE", "sip:a@no.such.domain", "192.0.2.10", "", false }, { "INFO", "sip:1001@office", "192.0.2.10", "", false },
		{ "INVITE", "sip:1001@office", "192.0.2.10", "Authorization: Digest realm=\"cordboard\"\r\n", true },
		{ "REGISTER", "sip:1001@office", "192.0.2.10", MADE_UP("1001", "0123"), true },
		{ "INVITE", "sip:1001@office", "192.0.2.10", MADE_UP("nobody", "0123"), true },
		{ "REGISTER", "sip:1001@office", "192.0.2.10", "Authorization: Digest realm=\"another\"\r\n", true },
		{ "INVITE", "sip:1001@office", "192.0.2.200", MADE_UP("1001", "0123"), false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char early[2048], late[8192];
		struct auth_identity who;
		enum sip_early verdict;
		struct strans st;
		struct out o;

		fake_strans_init(&st, request(rows[i].method, rows[i].from, rows[i].from, rows[i].hdrs));
		assert_int_equal(sockaddr_parse(&st.source.peer, str_from(rows[i].peer), 5060), 0);
		out_init(&o, early, sizeof(early) - 1);
		verdict = auth_challenge_early(st.msg, &st.source, &o, &auth);
		early[o.len] = '\0';
		if (verdict != (rows[i].is_challenged ? SIP_EARLY_REPLY : SIP_EARLY_KEEP))
			fail_msg("row %zu: %d", i, verdict);
		assert_int_equal(st.nreplies, 0);
		if (rows[i].is_challenged) {
			assert_int_equal(auth_check(&auth, &st, st.msg, &who), AUTH_ANSWERED);
			assert_int_equal(st.status, 401);
			snprintf(late, sizeof(late), "%s", st.hdrs);
			mask_nonces(early);
			mask_nonces(late);
			assert_string_equal(early, late);
		}
		fake_strans_fini(&st);
	}
}

/* One challenge that was really asked for is no ticket for who forges sources: from elsewhere its answers keep nothing, either. */
static void test_auth_answers_from_elsewhere_are_challenged_early(void **state)
{
	static const struct { const char *peer; unsigned age_ms; enum sip_early verdict; } rows[] = {
		{ "192.0.2.10", 0, SIP_EARLY_KEEP }, { "192.0.2.11", 0, SIP_EARLY_REPLY }, { "192.0.2.10", 301000, SIP_EARLY_REPLY },
	};
	char authorization[1024], early[2048];
	struct auth_identity who;
	struct strans st;

	(void)state;
	fake_strans_init(&st, request("REGISTER", "sip:1001@office", "sip:1001@office", ""));
	assert_int_equal(sockaddr_parse(&st.source.peer, STR("192.0.2.10"), 5060), 0);
	auth_check(&auth, &st, st.msg, &who);
	assert_int_equal(fake_authorization(&st, "1001", "wrong", 1, authorization, sizeof(authorization)), 0);
	fake_strans_fini(&st);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct out o;

		now_ms += rows[i].age_ms;
		fake_strans_init(&st, request("REGISTER", "sip:1001@office", "sip:1001@office", authorization));
		assert_int_equal(sockaddr_parse(&st.source.peer, str_from(rows[i].peer), 5060), 0);
		out_init(&o, early, sizeof(early) - 1);
		if (auth_challenge_early(st.msg, &st.source, &o, &auth) != rows[i].verdict)
			fail_msg("row %zu", i);
		early[o.len] = '\0';
		assert_int_equal(strstr(early, "stale=true") != NULL, rows[i].verdict == SIP_EARLY_REPLY);
		fake_strans_fini(&st);
	}
}

static void test_auth_malformed_credentials_are_400(void **state)
{
	struct auth_identity who;
	struct strans st;

	(void)state;
	/* qop without its nonce count (RFC 7616 §3.4) */
	fake_strans_init(&st, request("INVITE", "sip:1001@office", "sip:1002@office",
				      "Authorization: Digest username=\"1001\", realm=\"cordboard\", nonce=\"x\", uri=\"sip:office\","
				      " response=\"y\", qop=auth, cnonce=\"z\"\r\n"));
	assert_int_equal(auth_check(&auth, &st, st.msg, &who), AUTH_ANSWERED);
	assert_int_equal(st.status, 400);
	fake_strans_fini(&st);
	/* Credentials for somebody else's realm are none of ours */
	fake_strans_init(&st, request("INVITE", "sip:1001@office", "sip:1002@office",
				      "Authorization: Digest username=\"1001\", realm=\"other\", nonce=\"x\", uri=\"sip:office\","
				      " response=\"y\"\r\n"));
	assert_int_equal(auth_check(&auth, &st, st.msg, &who), AUTH_ANSWERED);
	assert_int_equal(st.status, 401);
	fake_strans_fini(&st);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_auth_check_verdicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_userhash_where_the_domain_has_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_names_that_say_two_things_are_400, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_exchange_is_each_of_its_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_challenge_hides_who_exists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_replay_is_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_unloaded_directory_is_503, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_shows_that_it_knows_the_password, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_trunk_by_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_trunk_by_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_phone_by_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_guesses_lead_to_a_ban, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_old_nonces_are_no_guesses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_early_challenges_are_those_of_auth_check, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_answers_from_elsewhere_are_challenged_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_malformed_credentials_are_400, setup, teardown),
	};

	return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
