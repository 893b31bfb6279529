/* fuzz_digest.c - libFuzzer target on digest authentication: the first line is a challenge, the second credentials, the rest a user's name.
 *
 * Whatever a server asks, what we answer can be read and says the realm, the nonce and the user that were meant. Whatever a client says,
 * it isn't let in: it doesn't know the password.
 */
#include <assert.h>
#include <stdlib.h>

#include "sip/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t mono(void *arg) { (void)arg; return 1000; }
static int64_t wall(void *arg) { (void)arg; return 1700000000000; }
static const struct clock still = { mono, wall, NULL };

static struct sip_msg *message(const char *first, const char *name, struct str value)
{
	struct sip_msg *m = malloc(sizeof(*m)), *held = NULL;
	struct sip_msg_error err;
	struct out o;

	out_init_grow(&o, 131072);
	out_z(&o, first);
	out_z(&o, "\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKx\r\nFrom: <sip:d@e>;tag=f\r\nTo: <sip:a@b>;tag=g\r\nCall-ID: g\r\nCSeq: 1 INVITE\r\n");
	out_z(&o, name);
	out_z(&o, ": ");
	out_str(&o, value);
	out_z(&o, "\r\n\r\nbody");
	if (out_ok(&o) && sip_msg_parse(m, o.p, o.len, &err) == 0)
		held = sip_msg_hold(m);
	out_fini(&o);
	free(m);
	return held;
}

static void check_client(struct str challenge, struct str user, struct rng *rng)
{
	struct sip_msg *m = message("SIP/2.0 401 X", "WWW-Authenticate", challenge);
	const struct digest_request r = {
		.method = STR("INVITE"), .uri = STR("sip:a@b"), .body = STR("body"), .user = user, .password = STR("secret"), .nc = 1,
	};
	struct sip_credentials given;
	struct sip_challenge asked;
	struct out o;

	if (!m)
		return;
	out_init_grow(&o, 131072);
	if (digest_answer_request(&o, m, &r, rng) == 0) {
		struct str lines = out_view(&o), line = str_trim(str_cut(&lines, '\n')), value = line, name = str_cut(&value, ':');

		assert(str_eqz(name, "Authorization"));
		assert(sip_credentials_parse(&given, str_trim(value)) == 0);
		assert(given.response.n);
		if (lines.n == 0 && sip_challenge_parse(&asked, sip_msg_value(m, SIP_HDR_WWW_AUTHENTICATE)) == 0) {
			assert(str_eq(asked.realm, given.realm) && str_eq(asked.nonce, given.nonce) && str_eq(asked.opaque, given.opaque));
			/* The same again: it was wrong, or it is asked in vain. */
			assert(!digest_asks_anew(m, out_view(&o)) || asked.stale);
		}
	}
	out_fini(&o);
	sip_msg_release(m);
}

static void check_server(struct str credentials, struct rng *rng)
{
	const struct digest_server_params p = { .clock = &still, .rng = rng, .key = "0123456789" };
	struct sip_msg *m = message("INVITE sip:a@b SIP/2.0", "Authorization", credentials);
	struct digest_secret secret = { 0 };
	struct digest_server *d;
	struct sip_credentials c;
	char name[DIGEST_USER_MAX], ha1[65];
	struct out o;

	if (!m || digest_server_new(&d, &p) != 0)
		return;
	digest_ha1(DIGEST_MD5, STR("1001"), STR("cordboard"), STR("secret"), ha1);
	secret.ha1_md5 = ha1;
	if (digest_find(d, m, SIP_HDR_AUTHORIZATION, STR("cordboard"), &c, name)) {
		bool is_stale;

		assert(digest_check(d, m, &c, &secret, DIGEST_ALGS | DIGEST_AUTH | DIGEST_AUTH_INT, STR("s")) != DIGEST_OK);
		is_stale = digest_check(d, m, &c, NULL, DIGEST_MD5, STR_NULL) == DIGEST_STALE;
		out_init_grow(&o, 131072);
		digest_challenge(d, &o, SIP_HDR_WWW_AUTHENTICATE, STR("cordboard"), DIGEST_ALGS | DIGEST_AUTH, is_stale, STR("s"));
		assert(out_ok(&o));
		out_fini(&o);
	}
	digest_server_free(d);
	sip_msg_release(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = { (const char *)data, size }, challenge = str_cut(&rest, '\n'), credentials = str_cut(&rest, '\n');
	struct rng rng;

	rng_init_fixed(&rng, 5);
	check_client(challenge, rest, &rng);
	check_server(credentials, &rng);
	return 0;
}
