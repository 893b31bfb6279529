/* test_outgoing.c - registrations at trunks, over hours of a fake clock (RFC 3261 §10.2, RFC 3608, RFC 5626 §4.5). */
#include "trunk_bed.h"

#include "registrar/outgoing.h"
#include "sip/digest.h"
#include "sip/stun.h"

static struct outgoing *outgoing;
static unsigned nstopped;
static char last_branch[64];     /* of the REGISTER seen last */

/* ---- the bed ---- */

static int setup(void **state)
{
	struct outgoing_params o = { .node = "n", .key = "the key of all nodes" };

	(void)state;
	trunk_bed_open();
	row.registrar = "sip:192.0.2.10";
	row.register_as = "acme";
	row.is_registering = true;
	row.register_expires_s = 600;
	has_row = true;
	nstopped = 0;
	last_branch[0] = '\0';
	o.env = (struct client_env){ .ua = ua, .timers = fx->timers, .clock = &fx->clock, .rng = &fx->rng };
	assert_int_equal(outgoing_new(&outgoing, &o), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	outgoing_free(outgoing);
	trunk_bed_close();
	return 0;
}

static void changed(void)
{
	watcher->on_change("trunk", "office/p", watcher->arg);
}

/* Until a new REGISTER is sent (retransmissions apart), a second at a time; how many passed. */
static unsigned until_register(unsigned most_s)
{
	unsigned s;

	for (s = 0; s <= most_s; s++) {
		if (fx->nsent && !stun_is(fx->sent[fx->nsent - 1].bytes, fx->sent[fx->nsent - 1].n)) {
			const struct sip_msg *m = fx_sent(fx, -1);

			if (m->is_request && !str_eqz(m->via.branch, last_branch)) {
				assert_int_equal(m->method, SIP_REGISTER);
				str_copy(m->via.branch, last_branch, sizeof(last_branch));
				return s;
			}
		}
		fx_forget_sent(fx);
		fx_advance(fx, 1000);
	}
	fail_msg("no REGISTER within %u s", most_s);
	return 0;
}

static const char *kept = "keep"; /* what an answer says of it */

/* Answers the last REGISTER; "CONTACT" in lines stands for what it registered. */
static void answer_to(int which, int status, const char *lines)
{
	const struct sip_msg *m = fx_sent(fx, which);
	struct str contact = sip_msg_value(m, SIP_HDR_CONTACT), via = sip_msg_value(m, SIP_HDR_VIA);
	bool is_kept = via.n > 5 && !memcmp(via.p + via.n - 5, ";keep", 5);
	char text[2048] = "";
	const char *at = strstr(lines, "CONTACT");

	if (at)
		snprintf(text, sizeof(text), "%.*s%.*s%s", (int)(at - lines), lines, STR_ARG(contact), at + 7);
	else
		snprintf(text, sizeof(text), "%s", lines);
	if (is_kept)
		via.n -= strlen("keep");
	fx_receive(fx, "SIP/2.0 %d X\r\nVia: %.*s%s\r\nFrom: %.*s\r\nTo: %.*s;tag=z\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n%sContent-Length: 0\r\n\r\n", status,
		   STR_ARG(via), is_kept ? kept : "", STR_ARG(sip_msg_value(m, SIP_HDR_FROM)), STR_ARG(sip_msg_value(m, SIP_HDR_TO)),
		   STR_ARG(m->call_id), STR_ARG(sip_msg_value(m, SIP_HDR_CSEQ)), text);
}

static void answer(int status, const char *lines)
{
	answer_to(-1, status, lines);
}

static uint32_t asked(void)
{
	return (uint32_t)sip_msg_expires(fx_sent(fx, -1), -1);
}

/* ---- tests ---- */

static void test_outgoing_backoff_is_that_of_rfc_5626(void **state)
{
	/* 30 s doubled with each failure, 1800 at most; half to all of it (§4.5) */
	static const uint32_t most_s[] = { 30, 60, 120, 240, 480, 960, 1800, 1800, 1800 };
	struct rng rng;

	(void)state;
	rng_init_fixed(&rng, 7);
	for (unsigned i = 0; i < ARRAY_LEN(most_s); i++) {
		uint32_t least = UINT32_MAX, most = 0;

		for (unsigned k = 0; k < 300; k++) {
			uint32_t ms = outgoing_backoff_ms(&rng, i, false);

			assert_in_range(ms, most_s[i] * 500, most_s[i] * 1000);
			least = ms < least ? ms : least;
			most = ms > most ? ms : most;
		}
		assert_true(most - least > most_s[i] * 400); /* not all at once */
	}
	assert_in_range(outgoing_backoff_ms(&rng, 1000, false), 900000, 1800000);
	/* 90 s while another flow stands, and 1800 at most all the same */
	assert_in_range(outgoing_backoff_ms(&rng, 0, true), 45000, 90000);
	assert_in_range(outgoing_backoff_ms(&rng, 4, true), 720000, 1440000);
	for (unsigned i = 5; i < 100; i++)
		assert_in_range(outgoing_backoff_ms(&rng, i, true), 900000, 1800000);
}

static void test_outgoing_is_renewed_before_it_expires(void **state)
{
	static const struct { const char *lines; unsigned from_s, to_s; } rows[] = {
		{ "Contact: CONTACT;expires=600\r\n", 480, 571 },
		{ "Contact: CONTACT\r\nExpires: 300\r\n", 240, 271 },
		{ "Contact: <sip:other@192.0.2.1>;expires=60\r\nContact: CONTACT;expires=1000\r\n", 800, 951 },
		{ "", 480, 571 },                                      /* one that lists nothing has taken it */
		{ "Contact: CONTACT;expires=60\r\n", 30, 31 },
		{ "Contact: CONTACT;expires=0\r\n", 30, 61 },           /* one that it has not */
	};

	(void)state;
	assert_in_range(until_register(2), 0, 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned s;

		answer(200, rows[i].lines);
		s = until_register(1000);
		if (s < rows[i].from_s || s > rows[i].to_s)
			fail_msg("row %zu: renewed after %u s", i, s);
	}
}

#define ASKS(header, realm, more) header ": Digest realm=\"" realm "\", nonce=\"n\", algorithm=MD5, qop=\"auth\"" more "\r\n"
#define PROXY(more) ASKS("Proxy-Authenticate", "proxy", more)
#define REGISTRAR(more) ASKS("WWW-Authenticate", "registrar", more)

/* RFC 3261 §22.3: a proxy asks, then who is behind it; each is answered in all that follows. The same once more means no. */
static void test_outgoing_answers_all_who_ask_on_the_way(void **state)
{
	static const struct { int status; const char *lines; bool has_proxy, has_registrar; } rows[] = {
		{ 407, PROXY(""), true, false },
		{ 401, REGISTRAR(""), true, true },
		{ 407, PROXY(", stale=true"), true, true },
	};

	(void)state;
	row.auth_user = "acme";
	row.auth_password = "secret";
	changed();
	until_register(2);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		answer(rows[i].status, rows[i].lines);
		assert_int_equal(until_register(0), 0);
		if (sip_msg_has(fx_sent(fx, -1), SIP_HDR_PROXY_AUTHORIZATION) != rows[i].has_proxy ||
		    sip_msg_has(fx_sent(fx, -1), SIP_HDR_AUTHORIZATION) != rows[i].has_registrar)
			fail_msg("row %zu", i);
	}
	answer(200, "Contact: CONTACT;expires=600\r\n");
	assert_true(until_register(600) > 400);
	answer(401, REGISTRAR(""));
	until_register(0);
	answer(401, REGISTRAR(""));
	assert_true(until_register(100) > 10);
	assert_false(sip_msg_has(fx_sent(fx, -1), SIP_HDR_AUTHORIZATION));
}

static void test_outgoing_waits_longer_with_every_failure(void **state)
{
	/* RFC 5626 §4.5: the first retry happens somewhere between 30 and 60 seconds after the failure */
	static const unsigned most_s[] = { 60, 120, 240, 480, 960, 1800, 1800 };

	(void)state;
	until_register(2);
	for (size_t i = 0; i < ARRAY_LEN(most_s); i++) {
		unsigned s;

		answer(500, "");
		s = until_register(2000);
		if (s < most_s[i] / 2 || s > most_s[i] + 1)
			fail_msg("failure %zu: tried again after %u s", i, s);
	}
	/* One success, and it begins anew */
	answer(200, "Contact: CONTACT;expires=600\r\n");
	until_register(600);
	answer(500, "");
	assert_in_range(until_register(40), 15, 31); /* what is registered is tried for sooner */
}

static void test_outgoing_tries_again_when_nobody_answers(void **state)
{
	(void)state;
	until_register(2);
	/* timer F, then the pause */
	assert_in_range(until_register(100), 32 + 30, 32 + 61);
	answer(200, "Contact: CONTACT;expires=600\r\n");
	fx->send_error = -EHOSTUNREACH;
	for (unsigned i = 0; i < 700; i++)
		fx_advance(fx, 1000);
	fx_forget_sent(fx);
	fx->send_error = 0;
	until_register(1900);
}

/* Whoever calls from there without the contact's parameter is the trunk for as long as the registration holds, and nobody then. */
static void test_outgoing_expired_registration_lets_nobody_in(void **state)
{
	struct sip_msg m = { 0 };

	(void)state;
	assert_int_equal(sip_uri_parse(&m.ruri, STR("sip:acme@192.0.2.200:5060")), 0);
	until_register(2);
	assert_null(outgoing_trunk_of(&m, &fx->src, outgoing)); /* not yet */
	answer(200, "Contact: CONTACT;expires=600\r\nService-Route: <sip:a;lr>\r\n");
	assert_ptr_equal(outgoing_trunk_of(&m, &fx->src, outgoing), &row);
	assert_string_equal(outgoing_route(outgoing, "office", "p"), "<sip:a;lr>");
	fx->send_error = -EHOSTUNREACH;
	for (unsigned i = 0; i < 598; i++)
		fx_advance(fx, 1000);
	assert_ptr_equal(outgoing_trunk_of(&m, &fx->src, outgoing), &row);
	for (unsigned i = 0; i < 4; i++)
		fx_advance(fx, 1000);
	assert_null(outgoing_trunk_of(&m, &fx->src, outgoing));
	assert_null(outgoing_route(outgoing, "office", "p"));
	fx->send_error = 0;
}

static void test_outgoing_heeds_retry_after_and_min_expires(void **state)
{
	(void)state;
	until_register(2);
	answer(503, "Retry-After: 900 (maintenance);duration=60\r\n");
	assert_in_range(until_register(1000), 900, 901);
	answer(423, "Min-Expires: 3600\r\n");
	assert_in_range(until_register(1), 0, 0);
	assert_int_equal(asked(), 3600);
	answer(423, "Min-Expires: 3600\r\n"); /* again the same: a failure, no loop */
	assert_in_range(until_register(130), 60, 121);
	/* Nobody is believed who says never */
	answer(503, "Retry-After: 4000000000\r\n");
	assert_in_range(until_register(4000), 3600, 3601);
	answer(503, "Retry-After: 99999999999999999999\r\n");
	assert_in_range(until_register(4000), 3600, 3601);
	answer(200, "Contact: CONTACT;expires=4000000000\r\n");
	assert_in_range(until_register(90000), 86400 * 80 / 100, 86400);
	/* what is registered is tried for sooner than that, but not before it may be */
	answer(503, "Retry-After: 900\r\n");
	assert_in_range(until_register(1000), 900, 901);
}

/* ---- flows (RFC 5626) ---- */

static bool says(enum sip_hdr_id id, const char *what)
{
	char value[512];

	str_copy(sip_msg_value(fx_sent(fx, -1), id), value, sizeof(value));
	return strstr(value, what) != NULL;
}

static void test_outgoing_flow_is_named_and_given_up_where_it_can_not_be_kept(void **state)
{
	(void)state;
	until_register(2);
	assert_false(says(SIP_HDR_CONTACT, "reg-id"));
	assert_false(says(SIP_HDR_SUPPORTED, "outbound"));
	answer(200, "Contact: CONTACT;expires=600\r\n");
	row.is_outbound = true;
	changed();
	until_register(2);
	assert_true(says(SIP_HDR_CONTACT, ";+sip.instance=\"<urn:uuid:") && says(SIP_HDR_CONTACT, "\";reg-id=1"));
	assert_true(says(SIP_HDR_SUPPORTED, "path, outbound"));
	answer(439, "");
	assert_int_equal(until_register(1), 0);
	assert_false(says(SIP_HDR_CONTACT, "reg-id"));
	answer(421, "Require: outbound\r\n"); /* that can't be had both ways */
	assert_in_range(until_register(100), 15, 61);
	answer(200, "Contact: CONTACT;expires=600\r\n");
	/* One that wants it, and wasn't asked for it */
	row.is_outbound = false;
	row.register_expires_s = 700;
	changed();
	until_register(2);
	assert_false(says(SIP_HDR_CONTACT, "reg-id"));
	answer(421, "Require: path, outbound\r\n");
	assert_int_equal(until_register(1), 0);
	assert_true(says(SIP_HDR_CONTACT, "reg-id=1"));
	answer(430, "");
	assert_in_range(until_register(100), 15, 61);
}

/* RFC 7616 §3.5: a registrar that doesn't know the password is none, where it is known to show it. */
static void test_outgoing_registrar_must_prove_the_password_if_asked(void **state)
{
	static const char challenge[] = "WWW-Authenticate: Digest realm=\"p\", nonce=\"n\", qop=\"auth\", algorithm=MD5\r\n";
	char line[512], ha1[65], proof[65];
	struct sip_credentials c;

	(void)state;
	row.auth_user = "acme";
	row.auth_password = "secret";
	row.is_mutual = true;
	changed();
	until_register(2);
	answer(200, "Contact: CONTACT;expires=600\r\n"); /* without having asked */
	until_register(100);
	answer(401, challenge);
	until_register(0);
	answer(200, "Contact: CONTACT;expires=600\r\nAuthentication-Info: rspauth=\"0123456789abcdef0123456789abcdef\", qop=auth\r\n");
	until_register(200);
	answer(401, challenge);
	until_register(0);
	assert_int_equal(sip_credentials_parse(&c, sip_msg_value(fx_sent(fx, -1), SIP_HDR_AUTHORIZATION)), 0);
	digest_ha1(DIGEST_MD5, STR("acme"), STR("p"), STR("secret"), ha1);
	digest_response(DIGEST_MD5, ha1, c.nonce, c.nc, c.cnonce, STR("auth"), STR(""), c.uri, proof);
	snprintf(line, sizeof(line), "Contact: CONTACT;expires=600\r\nAuthentication-Info: rspauth=\"%s\", cnonce=\"%.*s\", nc=%.*s, qop=auth\r\n", proof,
		 STR_ARG(c.cnonce), STR_ARG(c.nc));
	answer(200, line);
	assert_in_range(until_register(600), 300, 600); /* it is registered, and is refreshed in time */
}

/* RFC 7616 §3.5: the refresh after a 2xx with the next nonce isn't challenged. */
static void test_outgoing_next_nonce_is_used(void **state)
{
	static const char challenge[] = "WWW-Authenticate: Digest realm=\"p\", nonce=\"first\", qop=\"auth\", algorithm=SHA-256, opaque=\"o\"\r\n";
	char line[512], ha1[65], expected[65];
	struct sip_credentials c;

	(void)state;
	row.auth_user = "acme";
	row.auth_password = "secret";
	changed();
	until_register(2);
	assert_false(sip_msg_has(fx_sent(fx, -1), SIP_HDR_AUTHORIZATION));
	answer(401, challenge);
	until_register(0);
	answer(200, "Contact: CONTACT;expires=600\r\nAuthentication-Info: nextnonce=\"second\"\r\n");
	for (unsigned i = 0; i < 2; i++) {
		until_register(600);
		assert_int_equal(sip_credentials_parse(&c, sip_msg_value(fx_sent(fx, -1), SIP_HDR_AUTHORIZATION)), 0);
		assert_true(str_eqz(c.nonce, i ? "third" : "second") && str_eqz(c.nc, "00000001") && str_eqz(c.opaque, "o"));
		digest_ha1(DIGEST_SHA256, STR("acme"), STR("p"), STR("secret"), ha1);
		digest_response(DIGEST_SHA256, ha1, c.nonce, c.nc, c.cnonce, STR("auth"), STR("REGISTER"), c.uri, expected);
		assert_true(str_eqz(c.response, expected));
		snprintf(line, sizeof(line), "Contact: CONTACT;expires=600\r\nAuthentication-Info: nextnonce=\"third\", qop=auth,"
			 " cnonce=\"%.*s\", nc=%.*s\r\n", STR_ARG(c.cnonce), STR_ARG(c.nc));
		answer(200, i ? "Contact: CONTACT;expires=600\r\n" : line);
	}
	/* None came with that one: it is asked for again, as it is where ours isn't taken. */
	until_register(600);
	assert_false(sip_msg_has(fx_sent(fx, -1), SIP_HDR_AUTHORIZATION));
	answer(401, challenge);
	until_register(0);
	answer(200, "Contact: CONTACT;expires=600\r\nAuthentication-Info: nextnonce=\"fourth\"\r\n");
	until_register(600);
	assert_int_equal(sip_credentials_parse(&c, sip_msg_value(fx_sent(fx, -1), SIP_HDR_AUTHORIZATION)), 0);
	assert_true(str_eqz(c.nonce, "fourth"));
	answer(401, challenge);
	until_register(0);
	assert_int_equal(sip_credentials_parse(&c, sip_msg_value(fx_sent(fx, -1), SIP_HDR_AUTHORIZATION)), 0);
	assert_true(str_eqz(c.nonce, "first"));
	answer(200, "Contact: CONTACT;expires=600\r\n");
}

/* RFC 6140 §5.1 */
static void test_outgoing_bulk_contact_is_for_all_numbers(void **state)
{
	const struct dir_trunk *found;
	char contact[256], uri[200];
	struct sip_msg m = { .is_request = true };

	(void)state;
	until_register(2);
	answer(200, "Contact: CONTACT;expires=600\r\n");
	row.is_bulk = true;
	changed();
	assert_int_equal(until_register(0), 0);
	assert_int_equal(asked(), 0); /* the former contact */
	answer(200, "");
	until_register(2);
	assert_true(says(SIP_HDR_CONTACT, "<sip:192.0.2.200:5060;bnc;line="));
	assert_true(says(SIP_HDR_REQUIRE, "gin") && says(SIP_HDR_PROXY_REQUIRE, "gin"));
	str_copy(sip_msg_value(fx_sent(fx, -1), SIP_HDR_CONTACT), contact, sizeof(contact));
	answer(200, "Contact: CONTACT;expires=600\r\n");
	/* Calls come to any of them, with the parameter or from the registrar */
	snprintf(uri, sizeof(uri), "sip:+12145550102@192.0.2.200:5060%.*s", 22, strstr(contact, ";line="));
	assert_int_equal(sip_uri_parse(&m.ruri, str_from(uri)), 0);
	found = outgoing_trunk_of(&m, &(struct sip_source){ 0 }, outgoing);
	assert_ptr_equal(found, &row);
	assert_int_equal(sip_uri_parse(&m.ruri, STR("sip:+12145550199@192.0.2.200:5060")), 0);
	assert_ptr_equal(outgoing_trunk_of(&m, &fx->src, outgoing), &row);
	assert_null(outgoing_trunk_of(&m, &(struct sip_source){ .peer.v4 = { .sin_family = AF_INET } }, outgoing));
}

static void test_outgoing_lost_flows_are_made_anew_ever_more_slowly(void **state)
{
	/* at once, where it is no flow by name; one that held for two minutes begins anew */
	static const struct { bool is_outbound; unsigned held_s, least_s, most_s; } rows[] = {
		{ false, 300, 0, 3 }, { false, 10, 30, 61 }, { false, 10, 60, 121 }, { false, 121, 0, 3 }, { false, 10, 30, 61 },
		{ true, 121, 15, 31 }, { true, 10, 30, 61 }, { true, 10, 60, 121 }, { true, 121, 15, 31 },
	};

	(void)state;
	row.registrar = "sip:192.0.2.10;transport=tcp";
	changed();
	until_register(2);
	answer(200, ""); /* the first one, without contacts: taken back */
	fx_source(fx, SIP_TCP, "192.0.2.10", 5060);
	fx_advance(fx, 1000);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned s;

		if (row.is_outbound != rows[i].is_outbound) {
			row.is_outbound = rows[i].is_outbound;
			changed();
			until_register(2);
		}
		answer(200, "Contact: CONTACT;expires=3600\r\n");
		fx_advance(fx, rows[i].held_s * 1000);
		outgoing_flow_closed(outgoing, 0);
		s = until_register(200);
		if (s < rows[i].least_s || s > rows[i].most_s)
			fail_msg("row %zu: made anew after %u s", i, s);
	}
}

/* The STUN requests sent within so many seconds; the last one's id. */
static unsigned stun_sent(unsigned seconds, char id[STUN_ID_LEN])
{
	unsigned n = 0;

	for (unsigned s = 0; s < seconds * 4; s++) {
		fx_forget_sent(fx);
		fx_advance(fx, 250);
		for (unsigned i = 0; i < fx->nsent; i++)
			if (stun_is(fx->sent[i].bytes, fx->sent[i].n)) {
				assert_int_equal(fx->sent[i].n, STUN_REQUEST_LEN);
				memcpy(id, fx->sent[i].bytes + 8, STUN_ID_LEN);
				n++;
			}
	}
	return n;
}

/* Until one is sent. */
static void stun_next(char id[STUN_ID_LEN])
{
	for (unsigned i = 0; i < 100; i++) {
		fx_forget_sent(fx);
		fx_advance(fx, 250);
		if (fx->nsent && stun_is(fx->sent[0].bytes, fx->sent[0].n)) {
			memcpy(id, fx->sent[0].bytes + 8, STUN_ID_LEN);
			return;
		}
	}
	fail_msg("none was sent");
}

/* As stun.c would answer who comes from there. */
static void stun_answered(const char id[STUN_ID_LEN], const char *from, uint16_t port)
{
	char request[STUN_REQUEST_LEN], text[STUN_ANSWER_MAX];
	union sockaddr_any mapped;
	size_t n;

	stun_request(id, request);
	assert_int_equal(sockaddr_parse(&mapped, str_from(from), port), 0);
	n = stun_answer(request, sizeof(request), &mapped, text);
	ua->on_stun((struct str){ text, n }, &fx->src, ua->on_stun_arg);
}

static void test_outgoing_udp_flow_is_watched_by_stun(void **state)
{
	char id[STUN_ID_LEN], before[STUN_ID_LEN];

	(void)state;
	row.keepalive_s = 20;
	changed();
	until_register(2);
	answer(200, "Contact: CONTACT;expires=86400\r\n");
	/* One that has never answered needn't: seven times each, and on */
	assert_int_equal(stun_sent(20 + 34, id), 7);
	assert_int_equal(stun_sent(60, before), 7);
	assert_memory_not_equal(id, before, STUN_ID_LEN);
	/* One that has must: it is registered anew */
	stun_next(id);
	stun_answered(before, "192.0.2.200", 5060); /* to an old one: nothing */
	stun_answered(id, "192.0.2.200", 5060);
	stun_next(id);
	stun_answered(id, "192.0.2.200", 5060);
	fx_forget_sent(fx);
	assert_int_equal(stun_sent(20 + 32, id), 7);
	until_register(20);
	answer(200, "Contact: CONTACT;expires=86400\r\n");
	/* ... as when a NAT has given us another address (§4.4.2) */
	stun_next(id);
	stun_answered(id, "192.0.2.200", 5060);
	stun_next(id);
	stun_answered(id, "192.0.2.200", 5061);
	until_register(61);
	answer(200, "Contact: CONTACT;expires=86400\r\n");
	/* No more of it once it isn't registered */
	has_row = false;
	changed();
	answer(200, "");
	assert_int_equal(stun_sent(60, id), 0);
}

static void test_outgoing_signs_of_life_are_as_often_as_the_registrar_asks(void **state)
{
	static const struct { bool is_outbound; const char *lines; unsigned n; } rows[] = {
		{ false, "", 0 }, { false, "Flow-Timer: 40\r\n", 1 }, { true, "", 0 }, { true, "Require: outbound\r\n", 1 },
		{ true, "Require: outbound\r\nFlow-Timer: 60\r\n", 0 }, { false, "Flow-Timer: 0\r\n", 0 }, { false, "Flow-Timer: 1\r\n", 1 },
	};
	char id[STUN_ID_LEN], lines[256];

	(void)state;
	until_register(2);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		row.is_outbound = rows[i].is_outbound;
		row.register_expires_s++;
		changed();
		until_register(2);
		snprintf(lines, sizeof(lines), "Contact: CONTACT;expires=3600\r\n%s", rows[i].lines);
		answer(200, lines);
		if ((stun_sent(40, id) > 0) != rows[i].n)
			fail_msg("row %zu", i);
	}
}

/* RFC 6223 §4: asked for with a registration that is no flow, and done as the answer says. */
static void test_outgoing_keeps_alive_as_the_via_says(void **state)
{
	static const struct { bool is_outbound; const char *kept; bool is_sent; } rows[] = {
		{ false, "keep", false }, { false, "keep=30", true }, { false, "keep=90", false }, { false, "keep=0", true },
		{ true, "keep=30", false },
	};
	char id[STUN_ID_LEN];

	(void)state;
	until_register(2);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		row.is_outbound = rows[i].is_outbound;
		row.register_expires_s++;
		changed();
		until_register(2);
		assert_int_equal(says(SIP_HDR_VIA, ";rport;keep"), !rows[i].is_outbound);
		kept = rows[i].kept;
		answer(200, "Contact: CONTACT;expires=3600\r\n");
		kept = "keep";
		if ((stun_sent(40, id) > 0) != rows[i].is_sent)
			fail_msg("row %zu", i);
	}
}

/* RFC 5626 §4.2: a flow through each proxy. */
static void test_outgoing_keeps_a_flow_through_each_proxy(void **state)
{
	static const char *const more[] = { "sip:192.0.2.12;lr" };
	unsigned s;

	(void)state;
	row.is_outbound = true;
	row.proxy = "sip:192.0.2.11";
	row.more_proxies = more;
	row.nmore_proxies = 1;
	changed();
	fx_forget_sent(fx);
	fx_advance(fx, 100);
	assert_int_equal(fx->nsent, 2);
	for (int i = 0; i < 2; i++) {
		const struct sip_msg *m = fx_sent(fx, i);

		assert_true(str_eqz(sip_msg_value(m, SIP_HDR_ROUTE), i ? "<sip:192.0.2.12;lr>" : "<sip:192.0.2.11;lr>"));
		assert_non_null(strstr(fx->sent[i].bytes, i ? "\";reg-id=2\r\n" : "\";reg-id=1\r\n"));
	}
	assert_null(outgoing_route(outgoing, "office", "p"));
	/* The second alone: calls go by its proxy. */
	answer_to(1, 200, "Contact: CONTACT;expires=3600\r\nRequire: outbound\r\n");
	assert_string_equal(outgoing_route(outgoing, "office", "p"), "<sip:192.0.2.12;lr>");
	/* The first, too: by its Service-Route, or as the row says. */
	answer_to(0, 200, "Contact: CONTACT;expires=3600\r\nRequire: outbound\r\nService-Route: <sip:a;lr>\r\n");
	assert_string_equal(outgoing_route(outgoing, "office", "p"), "<sip:a;lr>");
	/* One that fails while the other stands has time (§4.5). */
	until_register(3600);
	while (!says(SIP_HDR_ROUTE, "192.0.2.11")) {
		answer(200, "Contact: CONTACT;expires=3600\r\nRequire: outbound\r\n");
		until_register(3600);
	}
	answer(500, "");
	assert_string_equal(outgoing_route(outgoing, "office", "p"), "<sip:192.0.2.12;lr>");
	s = until_register(100);
	while (!says(SIP_HDR_ROUTE, "192.0.2.11")) { /* the other's renewal */
		answer(200, "Contact: CONTACT;expires=3600\r\nRequire: outbound\r\n");
		s += until_register(100);
	}
	assert_in_range(s, 45, 92);
	answer(200, "Contact: CONTACT;expires=3600\r\nRequire: outbound\r\n");
	/* It ends when its proxy isn't named any more; the other stays. */
	row.nmore_proxies = 0;
	changed();
	until_register(1);
	assert_true(says(SIP_HDR_ROUTE, "192.0.2.12"));
	assert_int_equal(asked(), 0);
	answer(200, "");
	assert_null(outgoing_route(outgoing, "office", "p"));
}

/* Where the registrar knows no flows, further ones would only take the place of the first. */
static void test_outgoing_further_flows_need_a_registrar_that_keeps_them(void **state)
{
	static const char *const more[] = { "sip:192.0.2.12;lr" };

	(void)state;
	row.is_outbound = true;
	row.proxy = "sip:192.0.2.11";
	row.more_proxies = more;
	row.nmore_proxies = 1;
	changed();
	fx_forget_sent(fx);
	fx_advance(fx, 100);
	answer_to(0, 200, "Contact: CONTACT;expires=3600\r\n");
	answer_to(1, 439, "");
	assert_null(outgoing_route(outgoing, "office", "p"));
	str_copy(fx_sent(fx, 1)->via.branch, last_branch, sizeof(last_branch));
	assert_in_range(until_register(200), 90, 183);
	assert_true(says(SIP_HDR_CONTACT, ";reg-id=2"));
	answer(200, "Contact: CONTACT;expires=3600\r\n");
	assert_in_range(until_register(400), 180, 363);
	assert_true(says(SIP_HDR_CONTACT, ";reg-id=2"));
}

static void test_outgoing_route_is_the_service_route(void **state)
{
	(void)state;
	until_register(2);
	assert_null(outgoing_route(outgoing, "office", "p"));
	answer(200, "Contact: CONTACT;expires=600\r\nService-Route: <sip:a;lr>, <sip:b;lr>\r\nService-Route: <sip:c;lr>\r\n");
	assert_string_equal(outgoing_route(outgoing, "office", "p"), "<sip:a;lr>,<sip:b;lr>,<sip:c;lr>");
	until_register(600);
	/* what isn't said any more doesn't hold, and nothing after the end */
	answer(200, "Contact: CONTACT;expires=600\r\nService-Route: <sip:d;lr>\r\n");
	assert_string_equal(outgoing_route(outgoing, "office", "p"), "<sip:d;lr>");
	fx->send_error = -EHOSTUNREACH;
	for (unsigned i = 0; i < 601; i++)
		fx_advance(fx, 1000);
	assert_null(outgoing_route(outgoing, "office", "p"));
	assert_null(outgoing_route(outgoing, "office", "q"));
}

static void test_outgoing_changes_of_the_row_take_effect(void **state)
{
	char call_id[64];

	(void)state;
	until_register(2);
	answer(200, "Contact: CONTACT;expires=600\r\n");
	str_copy(fx_sent(fx, -1)->call_id, call_id, sizeof(call_id));
	changed(); /* of something else */
	fx_advance(fx, 1000);
	row.register_expires_s = 1200;
	changed();
	assert_in_range(until_register(1), 0, 1);
	assert_int_equal(asked(), 1200);
	assert_true(str_eqz(fx_sent(fx, -1)->call_id, call_id)); /* the same registration */
	answer(200, "Contact: CONTACT;expires=1200\r\n");
	has_row = false;
	changed();
	assert_int_equal(asked(), 0);
	answer(200, "");
	fx_forget_sent(fx);
	fx_advance(fx, 2000000);
	assert_int_equal(fx->nsent, 0);
}

static void on_stopped(void *arg)
{
	(void)arg;
	nstopped++;
}

static void test_outgoing_stop_takes_all_back(void **state)
{
	(void)state;
	until_register(2);
	answer(200, "Contact: CONTACT;expires=600\r\n");
	outgoing_stop(outgoing, on_stopped, NULL);
	assert_int_equal(nstopped, 0);
	assert_int_equal(asked(), 0);
	answer(200, "");
	assert_int_equal(nstopped, 1);
	fx_advance(fx, 10000);
	assert_int_equal(nstopped, 1);
}

static void test_outgoing_stop_does_not_wait_for_ever(void **state)
{
	(void)state;
	until_register(2);
	answer(200, "Contact: CONTACT;expires=600\r\n");
	outgoing_stop(outgoing, on_stopped, NULL);
	fx_advance(fx, 1900);
	assert_int_equal(nstopped, 0);
	fx_advance(fx, 200);
	assert_int_equal(nstopped, 1);
}

static void test_outgoing_stop_without_registration_is_done_at_once(void **state)
{
	(void)state;
	until_register(2);
	answer(403, "");
	outgoing_stop(outgoing, on_stopped, NULL);
	assert_int_equal(nstopped, 1);
}

/* What the registrar was about to take when we stopped is taken back when it has, and not before. */
static void test_outgoing_stop_waits_for_the_first_answer(void **state)
{
	static const struct { int status; bool is_taken_back; } rows[] = { { 200, true }, { 403, false }, { 0, false } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (i) {
			teardown(state);
			assert_int_equal(setup(state), 0);
		}
		until_register(2);
		nstopped = 0;
		outgoing_stop(outgoing, on_stopped, NULL);
		assert_int_equal(nstopped, 0);
		assert_int_equal(asked(), 600);
		if (!rows[i].status) {
			fx_advance(fx, 2100);
			assert_int_equal(nstopped, 1);
			continue;
		}
		answer(rows[i].status, "Contact: CONTACT;expires=600\r\n");
		assert_int_equal(nstopped, !rows[i].is_taken_back);
		if (!rows[i].is_taken_back)
			continue;
		assert_int_equal(asked(), 0);
		answer(200, "");
		assert_int_equal(nstopped, 1);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outgoing_backoff_is_that_of_rfc_5626),
		cmocka_unit_test_setup_teardown(test_outgoing_is_renewed_before_it_expires, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_answers_all_who_ask_on_the_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_waits_longer_with_every_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_tries_again_when_nobody_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_expired_registration_lets_nobody_in, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_heeds_retry_after_and_min_expires, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_flow_is_named_and_given_up_where_it_can_not_be_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_registrar_must_prove_the_password_if_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_next_nonce_is_used, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_keeps_alive_as_the_via_says, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_keeps_a_flow_through_each_proxy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_further_flows_need_a_registrar_that_keeps_them, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_bulk_contact_is_for_all_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_lost_flows_are_made_anew_ever_more_slowly, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_udp_flow_is_watched_by_stun, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_signs_of_life_are_as_often_as_the_registrar_asks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_route_is_the_service_route, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_changes_of_the_row_take_effect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_stop_takes_all_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_stop_does_not_wait_for_ever, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_stop_without_registration_is_done_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_stop_waits_for_the_first_answer, setup, teardown),
	};

	return cmocka_run_group_tests_name("outgoing", tests, NULL, NULL);
}
