/* TLS between two ends in memory: handshakes, data in any pieces, certificates and names (RFC 5922), renewal. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sip/tls.h"
#include "certs.h"

struct bed {
	struct authority ca, other;
	char dir[64], ca_path[96], path[96], path2[96], path3[96];
};

static int bed_setup(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	strcpy(b->dir, "/tmp/test-tls-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->ca_path, sizeof(b->ca_path), "%s/ca.pem", b->dir);
	snprintf(b->path, sizeof(b->path), "%s/one.pem", b->dir);
	snprintf(b->path2, sizeof(b->path2), "%s/two.pem", b->dir);
	snprintf(b->path3, sizeof(b->path3), "%s/three.pem", b->dir);
	authority_init(&b->ca, "Authority");
	authority_init(&b->other, "Other");
	authority_save(&b->ca, b->ca_path);
	*state = b;
	return 0;
}

static int bed_teardown(void **state)
{
	struct bed *b = *state;

	unlink(b->ca_path);
	unlink(b->path);
	unlink(b->path2);
	unlink(b->path3);
	rmdir(b->dir);
	authority_fini(&b->ca);
	authority_fini(&b->other);
	free(b);
	return 0;
}

/* Carries what `from` has to `to` in pieces of at most `piece` bytes. */
static int carry(struct tls *from, struct tls *to, size_t piece)
{
	struct str out = tls_output(from);
	int err = 0;

	while (out.n && !err) {
		size_t n = out.n < piece ? out.n : piece;

		err = tls_receive(to, out.p, n);
		out.p += n;
		out.n -= n;
	}
	tls_output_sent(from);
	return err;
}

/* Until nobody has anything to say, or one refuses. */
static int converse(struct tls *a, struct tls *b, size_t piece)
{
	int err = 0;

	while (!err && (tls_output(a).n || tls_output(b).n)) {
		err = carry(a, b, piece);
		if (!err)
			err = carry(b, a, piece);
	}
	return err;
}

static void ends(const struct tls_context_params *server, const struct tls_context_params *client, const char *name,
		 struct tls **s, struct tls **c)
{
	struct tls_context *sc, *cc;

	assert_int_equal(tls_context_new(&sc, server), 0);
	assert_int_equal(tls_context_new(&cc, client), 0);
	assert_int_equal(tls_accept(s, sc), 0);
	assert_int_equal(tls_connect(c, cc, name), 0);
	tls_context_free(sc);
	tls_context_free(cc);
}

static void test_tls_carries_both_ways_in_any_pieces(void **state)
{
	static const size_t pieces[] = { 1, 7, 1000, 100000 };
	struct bed *b = *state;
	char big[40000], buf[50000];

	authority_issue(&b->ca, "pbx.example.com", "DNS:pbx.example.com", b->path);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 + i / 251);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct tls *s, *c;
		size_t got = 0;
		ssize_t n;

		ends(&(struct tls_context_params){ .cert = b->path },
		     &(struct tls_context_params){ .ca = b->ca_path, .checks_server = true }, "pbx.example.com", &s, &c);
		/* what is written before the handshake waits for it */
		assert_int_equal(tls_write(c, str_from("REGISTER")), 0);
		assert_int_equal(tls_read(s, buf, sizeof(buf)), 0);
		assert_int_equal(converse(s, c, pieces[i]), 0);
		assert_true(tls_is_established(s) && tls_is_established(c));
		assert_string_equal(tls_version(c), "TLSv1.3");
		assert_int_equal(tls_read(s, buf, sizeof(buf)), 8);
		assert_memory_equal(buf, "REGISTER", 8);
		assert_int_equal(tls_read(s, buf, sizeof(buf)), 0);
		assert_int_equal(tls_write(s, (struct str){ big, sizeof(big) }), 0);
		assert_int_equal(converse(s, c, pieces[i]), 0);
		while ((n = tls_read(c, buf + got, sizeof(buf) - got)) > 0)
			got += (size_t)n;
		assert_int_equal(n, 0);
		assert_int_equal(got, sizeof(big));
		assert_memory_equal(buf, big, sizeof(big));
		tls_close(s);
		converse(s, c, pieces[i]);
		assert_int_equal(tls_read(c, buf, sizeof(buf)), -ECONNRESET);
		tls_free(s);
		tls_free(c);
	}
}

static void test_tls_bounds_what_waits_for_the_handshake(void **state)
{
	struct bed *b = *state;
	struct tls *s, *c;
	char big[30000] = "";
	int err = 0;

	authority_issue(&b->ca, "a", NULL, b->path);
	ends(&(struct tls_context_params){ .cert = b->path }, &(struct tls_context_params){ 0 }, NULL, &s, &c);
	for (int i = 0; i < 5 && !err; i++)
		err = tls_write(c, (struct str){ big, sizeof(big) });
	assert_int_equal(err, -ENOBUFS);
	tls_free(s);
	tls_free(c);
}

/* RFC 5922 §7.1, §7.2: which names a certificate stands for. */
static void test_tls_server_must_be_who_was_called(void **state)
{
	static const struct { const char *cn, *alt, *called; int err; } v[] = {
		{ "x", "DNS:example.com", "example.com", 0 },
		{ "x", "DNS:example.com", "EXAMPLE.com", 0 },
		{ "x", "URI:sip:example.com", "example.com", 0 },
		{ "x", "URI:SIP:example.com", "example.com", 0 },
		{ "x", "URI:sip:a.example.com,URI:sip:example.com", "example.com", 0 },
		{ "x", "URI:https:example.com,DNS:example.com", "example.com", 0 },    /* other schemes don't count */
		{ "x", "IP:192.0.2.7", "192.0.2.7", 0 },
		{ "example.com", NULL, "example.com", 0 },                             /* no alternative name: the common name */
		{ "example.com", "DNS:other.com", "example.com", -EACCES },
		{ "example.com", "IP:192.0.2.7", "example.com", -EACCES },
		{ "example.com", "URI:https:example.com", "example.com", -EACCES },
		{ "x", "DNS:*.example.com", "pbx.example.com", -EACCES },              /* no wildcards */
		{ "x", "DNS:example.com", "pbx.example.com", -EACCES },
		{ "x", "URI:sip:alice@example.com", "example.com", -EACCES },          /* a user isn't his domain */
		{ "x", "URI:sip:other.com,DNS:example.com", "example.com", -EACCES },  /* SIP URIs alone count where there are any */
	};
	struct bed *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct tls *s, *c;

		authority_issue(&b->ca, v[i].cn, v[i].alt, b->path);
		ends(&(struct tls_context_params){ .cert = b->path },
		     &(struct tls_context_params){ .ca = b->ca_path, .checks_server = true }, v[i].called, &s, &c);
		if (converse(s, c, 9999) != v[i].err)
			fail_msg("case %zu", i);
		tls_free(s);
		tls_free(c);
	}
}

static void test_tls_stranger_is_refused_only_where_checked(void **state)
{
	struct bed *b = *state;
	struct tls *s, *c;

	authority_issue(&b->other, "example.com", NULL, b->path);
	ends(&(struct tls_context_params){ .cert = b->path },
	     &(struct tls_context_params){ .ca = b->ca_path, .checks_server = true }, "example.com", &s, &c);
	assert_int_equal(converse(s, c, 9999), -EACCES);
	tls_free(s);
	tls_free(c);
	ends(&(struct tls_context_params){ .cert = b->path }, &(struct tls_context_params){ .ca = b->ca_path }, "example.com", &s, &c);
	assert_int_equal(converse(s, c, 9999), 0);
	assert_false(tls_peer_is(c, "example.com"));
	tls_free(s);
	tls_free(c);
}

static void test_tls_client_certificate_by_choice(void **state)
{
	struct bed *b = *state;
	struct tls *s, *c;

	authority_issue(&b->ca, "pbx", NULL, b->path);
	/* Asked for and absent: served all the same, as nobody. */
	ends(&(struct tls_context_params){ .cert = b->path, .ca = b->ca_path, .asks_client = true },
	     &(struct tls_context_params){ .ca = b->ca_path }, NULL, &s, &c);
	assert_int_equal(converse(s, c, 9999), 0);
	assert_false(tls_peer_is(s, "trunk.example.com"));
	tls_free(s);
	tls_free(c);
	/* Needed and absent. */
	ends(&(struct tls_context_params){ .cert = b->path, .ca = b->ca_path, .needs_client = true },
	     &(struct tls_context_params){ .ca = b->ca_path }, NULL, &s, &c);
	assert_true(converse(s, c, 9999) < 0);
	tls_free(s);
	tls_free(c);
	/* Needed and good. */
	authority_issue(&b->ca, "trunk", "URI:sip:trunk.example.com", b->path2);
	ends(&(struct tls_context_params){ .cert = b->path, .ca = b->ca_path, .needs_client = true },
	     &(struct tls_context_params){ .ca = b->ca_path, .cert = b->path2 }, NULL, &s, &c);
	assert_int_equal(converse(s, c, 9999), 0);
	assert_true(tls_peer_is(s, "trunk.example.com"));
	assert_false(tls_peer_is(s, "example.com"));
	tls_free(s);
	tls_free(c);
	/* Needed and somebody else's. */
	authority_issue(&b->other, "trunk", "URI:sip:trunk.example.com", b->path2);
	ends(&(struct tls_context_params){ .cert = b->path, .ca = b->ca_path, .needs_client = true },
	     &(struct tls_context_params){ .ca = b->ca_path, .cert = b->path2 }, NULL, &s, &c);
	assert_int_equal(converse(s, c, 9999), -EACCES);
	tls_free(s);
	tls_free(c);
}

/* RFC 5922 §7.1: what a client stands for. */
static void test_tls_peer_identities_are_those_of_its_certificate(void **state)
{
	static const struct { const char *alt; bool is_stranger; const char *domains; } v[] = {
		{ "URI:sip:SBC.example.com", false, "sbc.example.com " },
		{ "URI:sip:a.example.com,DNS:c.example.com,URI:sip:b.example.com:5061", false, "a.example.com b.example.com " },
		{ "DNS:a.example.com,DNS:B.example.com", false, "a.example.com b.example.com " },
		{ "URI:https://www.example.com,DNS:a.example.com", false, "a.example.com " },
		{ "URI:sips:a.example.com,IP:192.0.2.7,email:a@b.example", false, "" },
		{ "URI:sip:Alice@EXAMPLE.com,URI:sips:bob@example.com,URI:sip:carol:secret@example.com", false, "Alice@example.com " },
		{ "DNS:phone.example.com,URI:sip:alice@example.com", false, "phone.example.com alice@example.com " },
		{ "URI:sip:a b@example.com,URI:sip:a@b@example.com,URI:sip:@example.com", false, "" },
		{ "URI:sip:alice@example.com", true, "" },
		{ "DNS:*.example.com,DNS:a.example.com", false, "a.example.com " },
		{ "DNS:sip:alice@b.example.com,DNS:a.example.com", false, "a.example.com " },
		{ NULL, false, "" },                                  /* the common name isn't vouched for */
		{ "URI:sip:sbc.example.com", true, "" },
	};
	struct bed *b = *state;

	authority_issue(&b->ca, "pbx", NULL, b->path);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		char got[200] = "";
		const char *domain;
		struct tls *s, *c;

		authority_issue(v[i].is_stranger ? &b->other : &b->ca, "common.example.com", v[i].alt, b->path2);
		ends(&(struct tls_context_params){ .cert = b->path, .ca = b->ca_path, .asks_client = true },
		     &(struct tls_context_params){ .ca = b->ca_path, .cert = b->path2 }, NULL, &s, &c);
		assert_null(tls_peer_identity(s, 0));           /* not yet */
		assert_int_equal(converse(s, c, 9999), 0);
		for (unsigned k = 0; (domain = tls_peer_identity(s, k)) != NULL; k++) {
			strcat(got, domain);
			strcat(got, " ");
		}
		assert_string_equal(got, v[i].domains);
		tls_free(s);
		tls_free(c);
	}
}

static bool serves_name(struct tls_context *server, struct tls_context *client, const char *name)
{
	struct tls *s, *c;
	int err;

	assert_int_equal(tls_accept(&s, server), 0);
	assert_int_equal(tls_connect(&c, client, name), 0);
	err = converse(s, c, 9999);
	tls_free(s);
	tls_free(c);
	return err == 0;
}

/* RFC 5280 §5: what the authority has taken back is good for nothing, on either side; of another it says nothing. */
static void test_tls_revoked_certificate_is_nobodys(void **state)
{
	static const struct { const char *cn, *of_ca, *of_other; bool is_good; } v[] = {
		{ "x", NULL, NULL, true }, { "x", "x", NULL, false }, { "x", "y", NULL, true }, { "x", NULL, "x", true },
		{ "y", "x", "y", true }, { "y", "y", "x", false },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		for (unsigned needs = 0; needs < 2; needs++) {
			struct tls *s, *c;
			int err;

			authority_revoke(&b->ca, v[i].of_ca, b->path3, "w");
			authority_revoke(&b->other, v[i].of_other, b->path3, "a");
			authority_issue(&b->ca, "pbx", NULL, b->path);
			authority_issue(&b->ca, v[i].cn, "URI:sip:sbc.example.com", b->path2);
			ends(&(struct tls_context_params){ .cert = b->path, .ca = b->ca_path, .crl = b->path3, .asks_client = !needs,
							   .needs_client = needs },
			     &(struct tls_context_params){ .ca = b->ca_path, .cert = b->path2 }, NULL, &s, &c);
			err = converse(s, c, 9999);
			assert_int_equal(err, needs && !v[i].is_good ? -EACCES : 0);
			assert_int_equal(tls_peer_identity(s, 0) != NULL, v[i].is_good);
			assert_int_equal(tls_peer_is(s, "sbc.example.com"), v[i].is_good);
			tls_free(s);
			tls_free(c);
		}
	}
	/* A server's. */
	authority_revoke(&b->ca, "x", b->path3, "w");
	authority_issue(&b->ca, "x", "DNS:sbc.example.com", b->path);
	for (unsigned is_checked = 0; is_checked < 2; is_checked++) {
		struct tls *s, *c;

		ends(&(struct tls_context_params){ .cert = b->path },
		     &(struct tls_context_params){ .ca = b->ca_path, .crl = b->path3, .checks_server = is_checked }, "sbc.example.com", &s, &c);
		assert_int_equal(converse(s, c, 9999), is_checked ? -EACCES : 0);
		tls_free(s);
		tls_free(c);
	}
}

static void test_tls_list_of_revoked_ones_is_read_again(void **state)
{
	struct bed *b = *state;
	struct tls_context *server, *client;
	struct tls *s, *c;
	FILE *f;

	authority_issue(&b->ca, "pbx", NULL, b->path);
	authority_issue(&b->ca, "x", "URI:sip:sbc.example.com", b->path2);
	f = fopen(b->path3, "w");
	assert_non_null(f);
	fclose(f);
	assert_true(tls_context_new(&server, &(struct tls_context_params){ .cert = b->path, .ca = b->ca_path, .crl = b->path3 }) < 0);
	authority_revoke(&b->ca, "y", b->path3, "w");
	assert_int_equal(tls_context_new(&server, &(struct tls_context_params){ .cert = b->path, .ca = b->ca_path, .crl = b->path3,
										.needs_client = true }), 0);
	assert_int_equal(tls_context_new(&client, &(struct tls_context_params){ .ca = b->ca_path, .cert = b->path2 }), 0);
	assert_int_equal(tls_accept(&s, server), 0);
	assert_int_equal(tls_connect(&c, client, NULL), 0);
	assert_int_equal(converse(s, c, 9999), 0);
	assert_false(tls_is_revoked(s, server));
	authority_revoke(&b->ca, "x", b->path3, "w");
	assert_int_equal(tls_context_reload(server), 0);
	assert_true(tls_is_revoked(s, server));
	tls_free(s);
	tls_free(c);
	assert_int_equal(tls_accept(&s, server), 0);
	assert_int_equal(tls_connect(&c, client, NULL), 0);
	assert_int_equal(converse(s, c, 9999), -EACCES);
	/* A broken list leaves the former one in force. */
	f = fopen(b->path3, "w");
	assert_non_null(f);
	fputs("nothing\n", f);
	fclose(f);
	assert_true(tls_context_reload(server) < 0);
	assert_false(serves_name(server, client, "x"));
	tls_free(s);
	tls_free(c);
	tls_context_free(server);
	tls_context_free(client);
}

/* RFC 6066 §8, RFC 6960: what an authority says of a server's certificate comes with that. Nobody is believed but the authority. */
static void test_tls_stapled_answer_is_believed(void **state)
{
	enum { NONE = -1, GOOD = V_OCSP_CERTSTATUS_GOOD, REVOKED = V_OCSP_CERTSTATUS_REVOKED, UNKNOWN = V_OCSP_CERTSTATUS_UNKNOWN };
	struct bed *b = *state;
	const struct { int status; const char *about; const struct authority *by; long since_s, until_s; bool is_needed, is_good; } v[] = {
		{ GOOD, "x", &b->ca, 3600, 3600, true, true }, { GOOD, "x", &b->ca, 3600, 3600, false, true },
		{ REVOKED, "x", &b->ca, 3600, 3600, true, false }, { REVOKED, "x", &b->ca, 3600, 3600, false, false },
		{ UNKNOWN, "x", &b->ca, 3600, 3600, true, false }, { UNKNOWN, "x", &b->ca, 3600, 3600, false, true },
		{ GOOD, "x", &b->ca, 3600, -1800, true, false },      /* out of date: it isn't shown */
		{ GOOD, "x", &b->other, 3600, 3600, true, false }, { REVOKED, "x", &b->other, 3600, 3600, false, true },
		{ GOOD, "y", &b->ca, 3600, 3600, true, false },       /* of another: it isn't shown */
		{ GOOD, "x", &b->ca, 3600, 0, true, true },
		{ GOOD, "x", &b->ca, 30 * 86400, 0, true, false }, /* old, though it doesn't say how long it holds */
		{ NONE, NULL, NULL, 0, 0, true, false }, { NONE, NULL, NULL, 0, 0, false, true },
	};

	authority_issue(&b->ca, "x", "DNS:sbc.example.com", b->path);
	for (size_t i = 0; i < 2 * ARRAY_LEN(v); i++) {
		struct tls *s, *c;
		size_t k = i / 2;

		if (v[k].status != NONE)
			authority_vouch(&b->ca, v[k].by, v[k].about, v[k].status, v[k].since_s, v[k].until_s, i & 1 ? EVP_sha256() : EVP_sha1(), b->path3);
		ends(&(struct tls_context_params){ .cert = b->path, .ocsp = v[k].status == NONE ? NULL : b->path3 },
		     &(struct tls_context_params){ .ca = b->ca_path, .checks_server = true, .needs_ocsp = v[k].is_needed },
		     "sbc.example.com", &s, &c);
		if (converse(s, c, 9999) != (v[k].is_good ? 0 : -EACCES))
			fail_msg("row %zu", k);
		tls_free(s);
		tls_free(c);
	}
}

/* A new answer is shown as soon as it is read; one that is broken keeps nobody away. */
static void test_tls_stapled_answer_is_read_again(void **state)
{
	struct bed *b = *state;
	struct tls_context *server, *client;
	FILE *f;

	authority_issue(&b->ca, "x", "DNS:sbc.example.com", b->path);
	f = fopen(b->path3, "w");
	assert_non_null(f);
	fputs("nothing", f);
	fclose(f);
	assert_int_equal(tls_context_new(&server, &(struct tls_context_params){ .cert = b->path, .ocsp = b->path3 }), 0);
	assert_int_equal(tls_context_new(&client, &(struct tls_context_params){ .ca = b->ca_path, .checks_server = true, .needs_ocsp = true }), 0);
	assert_false(serves_name(server, client, "sbc.example.com"));
	authority_vouch(&b->ca, &b->ca, "x", V_OCSP_CERTSTATUS_GOOD, 3600, 3600, EVP_sha1(), b->path3);
	assert_int_equal(tls_context_reload(server), 0);
	assert_true(serves_name(server, client, "sbc.example.com"));
	authority_vouch(&b->ca, &b->ca, "x", V_OCSP_CERTSTATUS_REVOKED, 3600, 3600, EVP_sha1(), b->path3);
	assert_int_equal(tls_context_reload(server), 0);
	assert_false(serves_name(server, client, "sbc.example.com"));
	tls_context_free(server);
	tls_context_free(client);
}

static void test_tls_certificate_renewed_while_connected(void **state)
{
	struct bed *b = *state;
	struct tls_context *server, *client;
	struct tls *s, *c;
	char buf[16];
	FILE *f;

	authority_issue(&b->ca, "old", "DNS:old.example.com", b->path);
	assert_int_equal(tls_context_new(&server, &(struct tls_context_params){ .cert = b->path }), 0);
	assert_int_equal(tls_context_new(&client, &(struct tls_context_params){ .ca = b->ca_path, .checks_server = true }), 0);
	assert_int_equal(tls_accept(&s, server), 0);
	assert_int_equal(tls_connect(&c, client, "old.example.com"), 0);
	assert_int_equal(converse(s, c, 9999), 0);
	authority_issue(&b->ca, "new", "DNS:new.example.com", b->path);
	assert_int_equal(tls_context_reload(server), 0);
	assert_true(serves_name(server, client, "new.example.com"));
	assert_false(serves_name(server, client, "old.example.com"));
	/* Broken files change nothing. */
	f = fopen(b->path, "w");
	fputs("-----BEGIN CERTIFICATE-----\nnonsense\n", f);
	fclose(f);
	assert_true(tls_context_reload(server) < 0);
	assert_true(serves_name(server, client, "new.example.com"));
	/* Who was connected before still is. */
	assert_int_equal(tls_write(c, str_from("still here")), 0);
	assert_int_equal(converse(s, c, 9999), 0);
	assert_int_equal(tls_read(s, buf, sizeof(buf)), 10);
	tls_free(s);
	tls_free(c);
	tls_context_free(server);
	tls_context_free(client);
}

/* RFC 6066 §3, RFC 5922 §7.8: several domains behind one address. */
static void test_tls_certificate_is_that_of_the_name_called(void **state)
{
	static const struct { const char *called; int shown; } v[] = {
		{ "one.example.com", 0 }, { "two.example.com", 1 }, { "TWO.example.com", 1 }, { "three.example.com", 2 },
		{ "web.three.example.com", 2 }, { "nobody.example.com", 0 }, { "192.0.2.7", 0 }, { NULL, 0 },
	};
	static const char *const names[] = { "DNS:one.example.com", "DNS:two.example.com", "URI:sip:three.example.com,DNS:*.three.example.com" };
	struct bed *b = *state;
	struct tls_pair more[] = { { .cert = b->path2 }, { .cert = b->path3 } };
	const char *const paths[] = { b->path, b->path2, b->path3 };
	struct tls_context *server, *client;

	for (unsigned i = 0; i < 3; i++)
		authority_issue(&b->ca, "x", names[i], paths[i]);
	assert_int_equal(tls_context_new(&server, &(struct tls_context_params){ .cert = b->path, .more = more, .nmore = 2 }), 0);
	assert_int_equal(tls_context_new(&client, &(struct tls_context_params){ .ca = b->ca_path }), 0);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		static const char *const domains[] = { "one.example.com", "two.example.com", "three.example.com" };
		struct tls *s, *c;

		assert_int_equal(tls_accept(&s, server), 0);
		assert_int_equal(tls_connect(&c, client, v[i].called), 0);
		if (i == 1)
			assert_int_equal(tls_context_reload(server), 0); /* it goes on with what it began with */
		assert_int_equal(converse(s, c, 9999), 0);
		if (!tls_peer_is(c, domains[v[i].shown]))
			fail_msg("case %zu", i);
		tls_free(s);
		tls_free(c);
	}
	/* Renewed like the first one, or, if one of them is broken, none of them is. */
	authority_issue(&b->ca, "x", "DNS:new.example.com", b->path2);
	tls_context_refresh(server);
	tls_context_free(client);
	assert_int_equal(tls_context_new(&client, &(struct tls_context_params){ .ca = b->ca_path, .checks_server = true }), 0);
	assert_true(serves_name(server, client, "new.example.com"));
	assert_false(serves_name(server, client, "two.example.com"));
	unlink(b->path3);
	authority_issue(&b->ca, "x", "DNS:newer.example.com", b->path);
	assert_int_equal(tls_context_reload(server), -ENOENT);
	assert_true(serves_name(server, client, "one.example.com") && serves_name(server, client, "three.example.com"));
	tls_context_free(server);
	tls_context_free(client);
	authority_issue(&b->ca, "x", "DNS:three.example.com", b->path3);
	more[1].key = b->path2;
	assert_int_equal(tls_context_new(&server, &(struct tls_context_params){ .cert = b->path, .more = more, .nmore = 2 }), -EINVAL);
}

static void pump(SSL *from, SSL *to)
{
	char buf[4096];
	int n;

	while ((n = BIO_read(SSL_get_wbio(from), buf, sizeof(buf))) > 0)
		assert_int_equal(BIO_write(SSL_get_rbio(to), buf, n), n);
}

static SSL *end_new(SSL_CTX *ctx, const char *groups)
{
	SSL *ssl = SSL_new(ctx);

	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	assert_int_equal(SSL_set1_groups_list(ssl, groups), 1);
	return ssl;
}

/* As secure WebSocket does, whose connections hold the context that was chosen and nothing else. RFC 8446 §4.1.4: asked for another key
 * share, the client says Hello twice; in between the files are read again. */
static void test_tls_renewed_between_two_hellos(void **state)
{
	static const char *const called[] = { "one.example.com", "two.example.com", "nobody.example.com", NULL };
	struct bed *b = *state;
	struct tls_pair more = { .cert = b->path2 };
	SSL_CTX *outer = SSL_CTX_new(TLS_server_method()), *cc = SSL_CTX_new(TLS_client_method());
	struct tls_context *c;

	authority_issue(&b->ca, "x", "DNS:one.example.com", b->path);
	authority_issue(&b->ca, "x", "DNS:two.example.com", b->path2);
	assert_int_equal(tls_context_new(&c, &(struct tls_context_params){ .cert = b->path, .more = &more, .nmore = 1 }), 0);
	tls_context_serve(c, outer);
	for (size_t i = 0; i < ARRAY_LEN(called); i++) {
		SSL *server = end_new(outer, "P-384"), *client = end_new(cc, "P-256:P-384");
		X509 *shown;

		SSL_set_accept_state(server);
		SSL_set_connect_state(client);
		if (called[i])
			SSL_set_tlsext_host_name(client, called[i]);
		assert_int_equal(SSL_do_handshake(client), -1);
		pump(client, server);
		assert_int_equal(SSL_do_handshake(server), -1);
		assert_false(SSL_is_init_finished(server));
		assert_int_equal(tls_context_reload(c), 0);
		pump(server, client);
		assert_int_equal(SSL_do_handshake(client), -1); /* the second Hello */
		pump(client, server);
		SSL_do_handshake(server);
		pump(server, client);
		assert_int_equal(SSL_do_handshake(client), 1);
		pump(client, server);
		assert_int_equal(SSL_do_handshake(server), 1);
		shown = SSL_get0_peer_certificate(client);
		assert_int_equal(X509_check_host(shown, i == 1 ? "two.example.com" : "one.example.com", 0, 0, NULL), 1);
		SSL_free(server);
		SSL_free(client);
	}
	SSL_CTX_free(outer);
	SSL_CTX_free(cc);
	tls_context_free(c);
}

static void test_tls_refuses_what_isnt_tls(void **state)
{
	static const char sip[] = "OPTIONS sip:a@b SIP/2.0\r\n\r\n";
	struct bed *b = *state;
	struct tls *s, *c;

	authority_issue(&b->ca, "a", NULL, b->path);
	ends(&(struct tls_context_params){ .cert = b->path }, &(struct tls_context_params){ 0 }, NULL, &s, &c);
	assert_int_equal(tls_receive(s, sip, strlen(sip)), -EPROTO);
	tls_free(s);
	tls_free(c);
}

static void test_tls_context_refuses_bad_files(void **state)
{
	struct bed *b = *state;
	struct tls_context *c;

	authority_issue(&b->ca, "a", NULL, b->path);
	authority_issue(&b->ca, "b", NULL, b->path2);
	assert_int_equal(tls_context_new(&c, &(struct tls_context_params){ .cert = "/nowhere.pem" }), -ENOENT);
	assert_int_equal(tls_context_new(&c, &(struct tls_context_params){ .cert = b->path, .key = b->path2 }), -EINVAL);
	assert_int_equal(tls_context_new(&c, &(struct tls_context_params){ .ca = "/nowhere.pem" }), -ENOENT);
	assert_int_equal(tls_context_new(&c, &(struct tls_context_params){ .cert = b->path, .key = "/nowhere.pem" }), -ENOENT);
	assert_int_equal(tls_context_new(&c, &(struct tls_context_params){ .cert = b->path, .crl = "/nowhere.pem" }), -ENOENT);
	assert_int_equal(tls_context_new(&c, &(struct tls_context_params){ .cert = "/dev/null" }), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tls_carries_both_ways_in_any_pieces, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_bounds_what_waits_for_the_handshake, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_server_must_be_who_was_called, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_stranger_is_refused_only_where_checked, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_client_certificate_by_choice, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_peer_identities_are_those_of_its_certificate, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_revoked_certificate_is_nobodys, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_list_of_revoked_ones_is_read_again, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_stapled_answer_is_believed, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_stapled_answer_is_read_again, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_certificate_renewed_while_connected, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_certificate_is_that_of_the_name_called, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_renewed_between_two_hellos, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_refuses_what_isnt_tls, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_tls_context_refuses_bad_files, bed_setup, bed_teardown),
	};

	return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
