/* digest_server.c - challenges and their verification, without state for what was only asked.
 *
 * A nonce carries its own birth time, a keyed hash of the source it is for and a random serial, and a keyed hash of these and the realm
 * proves that we made it. So anybody may be challenged, as often as he likes, and it costs no memory. Only a nonce somebody
 * answered correctly is remembered (nonces.c), with the nonce counts used, until it is too old to be accepted anyway.
 *
 * The time a check takes must not tell whether the user exists: without a secret the same hashes are made
 * over a made-up HA1, and the comparison is constant-time.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/hash.h"
#include "sip/digest_int.h"
#include "sip/nonces.h"

#define NONCE_TIME  6  /* bytes: ms since 1970, good until the year 10889 */
#define NONCE_MARK  4  /* bytes: of the source */
#define NONCE_SEED  6  /* bytes: random */
#define NONCE_ID    (NONCE_TIME + NONCE_MARK + NONCE_SEED)
#define NONCE_MAC   8  /* bytes: guessed one in 2^64, and what a guess brings is a challenge */
#define NONCE_TEXT  ((NONCE_ID + NONCE_MAC) * 2)
#define LAST_VALUE_MAX 512 /* longer ones are read each time */
#define LAST_REALM_MAX 64
#define DEFAULT_LIFE_S 300
#define CLOCK_SLACK_MS 60000 /* a nonce from the future: the wall clock was set back a little */

/* What was found out last. A request is looked at before there is a transaction for it, and once more behind that (auth.c): what
 * follows from its bytes alone needn't be worked out twice. */
struct digest_last {
	struct sip_credentials credentials; /* slices of value */
	size_t value_len;                   /* 0: none */
	char value[LAST_VALUE_MAX];
	bool is_ours;                       /* a nonce that we made for this realm, of which these are the parts */
	char nonce[NONCE_TEXT], realm[LAST_REALM_MAX];
	size_t realm_len;
	unsigned char id[NONCE_ID];
	uint64_t mac;
	int64_t born_ms;
};

struct digest_server {
	struct digest_engine engine;
	struct digest_last last;
	unsigned char mark_key[HASH_KEY], nonce_key[HASH_KEY];
	const struct clock *clock;
	struct rng *rng;
	int64_t life_ms;
	struct nonces *used;
};

/* From the key that all nodes share: any of them takes the nonces of any other. */
static int make_key(const struct digest_server_params *p, const char *label, unsigned char key[HASH_KEY])
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!HMAC(EVP_sha256(), p->key, sizeof(p->key), (const unsigned char *)label, strlen(label), mac, &len) || len < HASH_KEY)
		return -EIO;
	memcpy(key, mac, HASH_KEY);
	return 0;
}

int digest_server_new(struct digest_server **out, const struct digest_server_params *p)
{
	struct digest_server *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->clock = p->clock;
	d->rng = p->rng;
	d->life_ms = (int64_t)(p->nonce_life_s ? p->nonce_life_s : DEFAULT_LIFE_S) * 1000;
	err = digest_engine_init(&d->engine);
	if (!err)
		err = nonces_new(&d->used, d->life_ms + CLOCK_SLACK_MS);
	if (!err)
		err = make_key(p, "source of a nonce", d->mark_key);
	if (!err)
		err = make_key(p, "nonce", d->nonce_key);
	if (err) {
		digest_server_free(d);
		return err;
	}
	*out = d;
	return 0;
}

void digest_server_free(struct digest_server *d)
{
	if (!d)
		return;
	nonces_free(d->used);
	digest_engine_fini(&d->engine);
	free(d);
}

/* RFC 8187 §3.2: UTF-8'language'text with escapes of its own. */
static struct str extended_value(struct str s, char *buf, size_t size)
{
	if (!str_ieqz(str_cut(&s, '\''), "UTF-8"))
		return STR_NULL;
	str_cut(&s, '\'');
	return s.p && sip_unescape(s, buf, size) == 0 ? str_from(buf) : STR_NULL;
}

/* sip_credentials_parse(); the slices are the server's, until the next one. */
static int read_credentials(struct digest_server *d, struct sip_credentials *out, struct str value)
{
	struct digest_last *last = &d->last;

	if (value.n > sizeof(last->value))
		return sip_credentials_parse(out, value);
	if (!value.n || value.n != last->value_len || memcmp(last->value, value.p, value.n) != 0) {
		last->value_len = 0;
		memcpy(last->value, value.p, value.n);
		if (sip_credentials_parse(&last->credentials, (struct str){ last->value, value.n }) != 0)
			return -EINVAL;
		last->value_len = value.n;
	}
	*out = last->credentials;
	return 0;
}

bool digest_find(struct digest_server *d, const struct sip_msg *m, enum sip_hdr_id hdr, struct str realm, struct sip_credentials *out,
		 char name[DIGEST_USER_MAX])
{
	struct sip_hdr_iter it = { 0 };
	struct sip_credentials c;
	struct str value;
	char buf[DIGEST_USER_MAX];

	while (sip_msg_hdr_next(m, hdr, &it, &value)) {
		if (read_credentials(d, &c, value) != 0 || !str_eq(digest_unquote(c.realm, buf, sizeof(buf)), realm))
			continue;
		*out = c;
		out->realm = realm;
		/* RFC 7616 §3.4: one or the other, and a hash needs no notation. */
		if (c.username_ext.p && (c.username.p || c.userhash))
			out->username = STR_NULL;
		else
			out->username = c.username.p ? digest_unquote(c.username, name, DIGEST_USER_MAX)
						     : extended_value(c.username_ext, name, DIGEST_USER_MAX);
		return true;
	}
	return false;
}

/* ---- nonces ---- */

/* The realm is part of it: a nonce of one domain isn't taken by another. */
static uint64_t nonce_mac(const struct digest_server *d, const unsigned char id[NONCE_ID], struct str realm)
{
	unsigned char text[NONCE_ID + sizeof(uint64_t)];
	uint64_t of_realm = hash_keyed(d->mark_key, realm.p, realm.n);

	memcpy(text, id, NONCE_ID);
	memcpy(text + NONCE_ID, &of_realm, sizeof(of_realm));
	return hash_keyed(d->nonce_key, text, sizeof(text));
}

static void write_mark(const struct digest_server *d, struct str source, unsigned char mark[NONCE_MARK])
{
	uint64_t hash = hash_keyed(d->mark_key, source.p, source.n);

	memcpy(mark, &hash, NONCE_MARK);
}

static void nonce_print(struct digest_server *d, struct str realm, struct str source, char text[NONCE_TEXT])
{
	unsigned char id[NONCE_ID];
	uint64_t now = (uint64_t)clock_wall_ms(d->clock), mac;
	struct out o;

	for (int i = 0; i < NONCE_TIME; i++)
		id[i] = (unsigned char)(now >> (8 * (NONCE_TIME - 1 - i)));
	write_mark(d, source, id + NONCE_TIME);
	rng_fill(d->rng, id + NONCE_TIME + NONCE_MARK, NONCE_SEED);
	mac = nonce_mac(d, id, realm);
	out_init(&o, text, NONCE_TEXT);
	out_hex(&o, id, NONCE_ID);
	out_hex(&o, &mac, NONCE_MAC);
}

static int hex_nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool nonce_read(const struct digest_server *d, struct str text, struct str realm, unsigned char id[NONCE_ID], uint64_t *mac)
{
	unsigned char raw[NONCE_TEXT / 2];

	if (text.n != NONCE_TEXT)
		return false;
	for (size_t i = 0; i < sizeof(raw); i++) {
		int hi = hex_nibble(text.p[2 * i]), lo = hex_nibble(text.p[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return false;
		raw[i] = (unsigned char)(hi << 4 | lo);
	}
	memcpy(mac, raw + NONCE_ID, NONCE_MAC);
	if (*mac != nonce_mac(d, raw, realm))
		return false;
	memcpy(id, raw, NONCE_ID);
	return true;
}

/* True for a nonce of ours, whatever its age. */
static bool nonce_is_ours(struct digest_server *d, struct str text, struct str realm, unsigned char id[NONCE_ID], uint64_t *mac,
			  int64_t *born_ms)
{
	struct digest_last *last = &d->last;
	bool is_known = last->is_ours && str_eq(text, (struct str){ last->nonce, NONCE_TEXT }) &&
			str_eq(realm, (struct str){ last->realm, last->realm_len });

	if (is_known) {
		memcpy(id, last->id, NONCE_ID);
		*mac = last->mac;
		*born_ms = last->born_ms;
		return true;
	}
	if (!nonce_read(d, text, realm, id, mac))
		return false;
	*born_ms = 0;
	for (int i = 0; i < NONCE_TIME; i++)
		*born_ms = *born_ms << 8 | id[i];
	last->is_ours = realm.n <= sizeof(last->realm);
	if (!last->is_ours)
		return true;
	memcpy(last->nonce, text.p, NONCE_TEXT);
	memcpy(last->realm, realm.p, realm.n);
	last->realm_len = realm.n;
	memcpy(last->id, id, NONCE_ID);
	last->mac = *mac;
	last->born_ms = *born_ms;
	return true;
}

/* ---- the check ---- */

/* 8LHEX; shorter ones are seen and harmless. 0 isn't a count. */
static int parse_nc(struct str s, uint32_t *out)
{
	uint32_t v = 0;

	if (s.n == 0 || s.n > 8)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++) {
		int d = hex_nibble(s.p[i] >= 'A' && s.p[i] <= 'F' ? (char)(s.p[i] + 32) : s.p[i]);
		if (d < 0)
			return -EINVAL;
		v = v << 4 | (uint32_t)d;
	}
	if (v == 0)
		return -EINVAL;
	*out = v;
	return 0;
}

/* The credentials must have been made for this request (RFC 7616 §3.4.6), or those of one call would pay for
 * another. Only the user part is compared: a proxy before us may have rewritten host and parameters. */
static bool uri_is_of_request(struct str uri, const struct sip_msg *m)
{
	struct sip_uri u;

	if (str_eq(uri, m->ruri.text))
		return true;
	return sip_uri_parse(&u, uri) == 0 && str_eq(u.user, m->ruri.user);
}

/* What was answered must be among what was offered; without qop (RFC 2069) it is auth. */
static bool is_offered(const struct sip_credentials *c, enum digest_alg alg, bool is_sess, unsigned offered)
{
	unsigned qop = offered & (DIGEST_AUTH | DIGEST_AUTH_INT) ? offered : offered | DIGEST_AUTH;

	if (!(alg & offered & DIGEST_ALGS) || (is_sess && (!(offered & DIGEST_SESS) || str_empty(c->qop))))
		return false;
	if (str_ieqz(c->qop, "auth-int"))
		return qop & DIGEST_AUTH_INT;
	return (str_empty(c->qop) || str_ieqz(c->qop, "auth")) && (qop & DIGEST_AUTH);
}

static const char *secret_ha1(const struct digest_secret *s, enum digest_alg alg)
{
	switch (alg) {
	case DIGEST_SHA512_256: return s->ha1_sha512_256;
	case DIGEST_SHA256: return s->ha1_sha256;
	case DIGEST_MD5: break;
	}
	return s->ha1_md5;
}

/* What an answer is checked with, worked out before it is looked at. */
struct glance {
	enum digest_alg alg;
	bool is_sess;
	uint64_t nonce; /* its hash */
	uint32_t nc;
};

static enum digest_verdict glance(struct digest_server *d, const struct sip_msg *m, const struct sip_credentials *c, unsigned offered,
				  struct str source, struct glance *g)
{
	unsigned char id[NONCE_ID], mark[NONCE_MARK];
	int64_t born_ms, age_ms;

	g->alg = digest_alg_parse(c->algorithm, &g->is_sess);
	g->nc = 1; /* without qop: a nonce serves once */
	if (str_empty(c->nonce) || str_empty(c->response) || str_empty(c->uri) || str_empty(c->username))
		return DIGEST_MALFORMED;
	if (!str_empty(c->qop) && (str_empty(c->cnonce) || parse_nc(c->nc, &g->nc)))
		return DIGEST_MALFORMED;
	if (!uri_is_of_request(c->uri, m))
		return DIGEST_MALFORMED;
	if (!is_offered(c, g->alg, g->is_sess, offered) || !nonce_is_ours(d, c->nonce, c->realm, id, &g->nonce, &born_ms))
		return DIGEST_FOREIGN;
	age_ms = clock_wall_ms(d->clock) - born_ms;
	if (age_ms > d->life_ms || age_ms < -CLOCK_SLACK_MS)
		return DIGEST_STALE;
	/* Before the answer is looked at: whoever guesses must do it where he can be seen to. */
	write_mark(d, source, mark);
	return memcmp(mark, id + NONCE_TIME, NONCE_MARK) ? DIGEST_STALE : DIGEST_OK;
}

enum digest_verdict digest_glance(struct digest_server *d, const struct sip_msg *m, const struct sip_credentials *c, unsigned offered,
				  struct str source)
{
	struct glance g;

	return glance(d, m, c, offered, source, &g);
}

enum digest_verdict digest_check(struct digest_server *d, const struct sip_msg *m, const struct sip_credentials *c,
				 const struct digest_secret *secret, unsigned offered, struct str source)
{
	static const char no_ha1[] = "0000000000000000000000000000000000000000000000000000000000000000";
	struct glance g;
	enum digest_verdict verdict = glance(d, m, c, offered, source, &g);
	char expected[DIGEST_HEX_MAX];
	const char *ha1 = NULL;

	if (verdict != DIGEST_OK)
		return verdict;
	if (secret)
		ha1 = secret_ha1(secret, g.alg);
	bool is_known = ha1 && *ha1;
	const struct digest_input in = {
		.alg = g.alg,
		.is_sess = g.is_sess,
		.ha1 = is_known ? str_from(ha1) : (struct str){ no_ha1, g.alg == DIGEST_MD5 ? 32 : 64 },
		.nonce = c->nonce,
		.nc = c->nc,
		.cnonce = c->cnonce,
		.qop = c->qop,
		.method = m->method_name,
		.uri = c->uri,
		.body = m->body,
	};
	if (digest_engine_response(&d->engine, &in, expected))
		return DIGEST_FAILED;
	size_t len = strlen(expected);
	bool is_equal = c->response.n == len && CRYPTO_memcmp(c->response.p, expected, len) == 0;
	if (!is_equal || !is_known)
		return DIGEST_FAILED;

	switch (nonces_use(d->used, g.nonce, g.nc, clock_wall_ms(d->clock))) {
	case 0:
		return DIGEST_OK;
	case -EEXIST:
		return DIGEST_REPLAY;
	default:
		return DIGEST_STALE; /* can't be remembered now: let him ask again rather than open a replay */
	}
}

static void write_nextnonce(struct digest_server *d, struct out *o, const struct sip_credentials *c, struct str source)
{
	unsigned char id[NONCE_ID];
	char nonce[NONCE_TEXT];
	int64_t born_ms;
	uint64_t mac;

	if (!nonce_is_ours(d, c->nonce, c->realm, id, &mac, &born_ms) || clock_wall_ms(d->clock) - born_ms < d->life_ms / 2)
		return;
	nonce_print(d, c->realm, source, nonce);
	out_z(o, ", nextnonce=\"");
	out_mem(o, nonce, NONCE_TEXT);
	out_chr(o, '"');
}

struct digest_proof *digest_info(struct digest_server *d, struct out *o, const struct sip_credentials *c, const struct digest_secret *secret,
				 struct str source)
{
	bool is_sess, is_int = str_ieqz(c->qop, "auth-int");
	enum digest_alg alg = digest_alg_parse(c->algorithm, &is_sess);
	const char *ha1 = alg ? secret_ha1(secret, alg) : NULL;
	char proof[DIGEST_HEX_MAX], next[NONCE_TEXT + 32];
	struct digest_proof *later = NULL;
	struct out n;
	/* §3.5: as the response, with a method that is empty. */
	const struct digest_input in = { .alg = alg, .ha1 = str_from(ha1), .nonce = c->nonce, .nc = c->nc, .cnonce = c->cnonce, .qop = c->qop,
					 .uri = c->uri, .is_sess = is_sess };

	if (!ha1 || !(is_int || str_ieqz(c->qop, "auth")))
		return NULL;
	out_init(&n, next, sizeof(next));
	write_nextnonce(d, &n, c, source);
	if (is_int)
		return digest_proof_new(&later, &in, out_view(&n)) ? NULL : later;
	if (digest_engine_response(&d->engine, &in, proof) == 0)
		digest_info_write(o, &in, proof, out_view(&n));
	return NULL;
}

static void write_challenge(struct digest_server *d, struct out *o, enum sip_hdr_id hdr, struct str realm, enum digest_alg alg, bool is_sess,
			    unsigned offered, bool stale, struct str source)
{
	const char *qop = !(offered & DIGEST_AUTH_INT) ? "auth" : offered & DIGEST_AUTH ? "auth,auth-int" : "auth-int";
	char nonce[NONCE_TEXT];

	nonce_print(d, realm, source, nonce);
	out_z(o, sip_hdr_name(hdr));
	out_z(o, ": Digest realm=");
	digest_print_quoted(o, realm);
	out_z(o, ", nonce=\"");
	out_mem(o, nonce, NONCE_TEXT);
	out_z(o, "\", algorithm=");
	out_z(o, digest_alg_name(alg));
	out_z(o, is_sess ? "-sess, qop=\"" : ", qop=\"");
	out_z(o, qop);
	out_z(o, stale ? "\", stale=true" : "\"");
	/* What names and passwords were hashed in (§3.3). Whoever knows MD5 alone knows nothing of it, either. */
	if (alg != DIGEST_MD5)
		out_z(o, ", charset=UTF-8");
	out_z(o, offered & DIGEST_USERHASH ? ", userhash=true\r\n" : "\r\n");
}

void digest_challenge(struct digest_server *d, struct out *o, enum sip_hdr_id hdr, struct str realm, unsigned offered,
		      bool stale, struct str source)
{
	static const enum digest_alg strongest_first[] = { DIGEST_SHA512_256, DIGEST_SHA256, DIGEST_MD5 };

	for (size_t i = 0; i < ARRAY_LEN(strongest_first); i++) {
		if (!(offered & strongest_first[i]))
			continue;
		write_challenge(d, o, hdr, realm, strongest_first[i], false, offered, stale, source);
		if (offered & DIGEST_SESS)
			write_challenge(d, o, hdr, realm, strongest_first[i], true, offered, stale, source);
	}
}
