/* digest_client.c - answers a 401 or 407 (RFC 7616 §3.4, RFC 8760, RFC 3261 §22.2, §22.3).
 *
 * Of the challenges of one realm the strongest is taken, wherever it stands: RFC 8760 §2.4 would take the first, unless local policy
 * wants otherwise, and ours is that nobody on the way makes us use a weaker one by putting it on top.
 */
#include <errno.h>

#include "sip/digest_int.h"

#define CNONCE_LEN 16
#define REALMS_MAX 8       /* who asks for more gets no answer */
#define TEXT_MAX 256       /* of a realm without its escapes */
#define KEPT_MAX 1024

struct answerable {
	struct sip_challenge c;
	enum sip_hdr_id hdr;
	enum digest_alg alg;
	bool is_sess;
	const char *qop;   /* NULL: none was offered at all (RFC 2069) */
};

/* Which of the qop options we take; false: none that we know. */
static bool choose_qop(struct str options, const char **out)
{
	bool has_int = false;

	*out = NULL;
	if (str_empty(options))
		return true;
	while (options.p) {
		struct str one = str_trim(str_cut(&options, ','));

		if (str_ieqz(one, "auth"))
			*out = "auth";
		has_int |= str_ieqz(one, "auth-int");
	}
	if (!*out && has_int)
		*out = "auth-int";
	return *out != NULL;
}

static bool is_answerable(struct answerable *a, struct str value)
{
	return sip_challenge_parse(&a->c, value) == 0 && (a->alg = digest_alg_parse(a->c.algorithm, &a->is_sess)) != 0 &&
	       choose_qop(a->c.qop, &a->qop) && !(a->is_sess && !a->qop); /* -sess needs a cnonce */
}

/* The strongest challenge of each realm, in the order in which the realms come first. */
static size_t find_strongest(const struct sip_msg *m, struct answerable list[REALMS_MAX])
{
	static const enum sip_hdr_id hdrs[] = { SIP_HDR_WWW_AUTHENTICATE, SIP_HDR_PROXY_AUTHENTICATE };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(hdrs); i++) {
		struct sip_hdr_iter it = { 0 };
		struct str value;

		while (sip_msg_hdr_next(m, hdrs[i], &it, &value)) {
			struct answerable a = { .hdr = hdrs[i] };
			size_t k = 0;

			if (!is_answerable(&a, value))
				continue;
			while (k < n && (list[k].hdr != a.hdr || !str_eq(list[k].c.realm, a.c.realm)))
				k++;
			if (k < n ? a.alg > list[k].alg : k < REALMS_MAX)
				list[k] = a;
			n += k == n && k < REALMS_MAX;
		}
	}
	return n;
}

/* What came between quotes goes back between quotes, byte for byte: escapes are still in it. */
static void print_raw_quoted(struct out *o, const char *name, struct str s)
{
	out_fmt(o, ", %s=\"", name);
	out_str(o, s);
	out_chr(o, '"');
}

static void print_user(struct digest_engine *e, struct out *o, const struct answerable *a, struct str user, struct str realm)
{
	const struct str parts[] = { user, realm };
	char hash[DIGEST_HEX_MAX];

	out_z(o, a->hdr == SIP_HDR_PROXY_AUTHENTICATE ? "Proxy-Authorization: Digest username=" : "Authorization: Digest username=");
	if (!a->c.userhash) {
		digest_print_quoted(o, user);
		return;
	}
	digest_engine_hash(e, a->alg, parts, ARRAY_LEN(parts), hash); /* RFC 7616 §3.4.4 */
	out_fmt(o, "\"%s\", userhash=true", hash);
}

static int answer_one(struct digest_engine *e, struct out *o, const struct answerable *a, const struct digest_request *r, struct rng *rng)
{
	char ha1[DIGEST_HEX_MAX], value[DIGEST_HEX_MAX], cnonce[CNONCE_LEN + 1], nc[9], buf[TEXT_MAX];
	const struct sip_challenge *c = &a->c;
	struct str realm = digest_unquote(c->realm, buf, sizeof(buf));
	const struct str a1[] = { r->user, realm, r->password };
	struct out nc_out;
	int err;

	rng_token(rng, cnonce, CNONCE_LEN);
	out_init(&nc_out, nc, sizeof(nc));
	out_hex(&nc_out, (unsigned char[]){ r->nc >> 24 & 0xff, r->nc >> 16 & 0xff, r->nc >> 8 & 0xff, r->nc & 0xff }, 4);
	err = digest_engine_hash(e, a->alg, a1, ARRAY_LEN(a1), ha1);
	const struct digest_input in = {
		.alg = a->alg,
		.is_sess = a->is_sess,
		.ha1 = str_from(ha1),
		.nonce = c->nonce,
		.nc = out_view(&nc_out),
		.cnonce = str_from(cnonce),
		.qop = a->qop ? str_from(a->qop) : STR_NULL,
		.method = r->method,
		.uri = r->uri,
		.body = r->body,
	};
	if (!err)
		err = digest_engine_response(e, &in, value);
	if (err)
		return err;

	print_user(e, o, a, r->user, realm);
	print_raw_quoted(o, "realm", c->realm);
	print_raw_quoted(o, "nonce", c->nonce);
	print_raw_quoted(o, "uri", r->uri);
	print_raw_quoted(o, "response", str_from(value));
	if (!str_empty(c->algorithm))
		out_fmt(o, ", algorithm=%s%s", digest_alg_name(a->alg), a->is_sess ? "-sess" : "");
	if (a->qop)
		out_fmt(o, ", cnonce=\"%s\", qop=%s, nc=%.*s", cnonce, a->qop, STR_ARG(out_view(&nc_out)));
	if (c->opaque.p)
		print_raw_quoted(o, "opaque", c->opaque);
	out_z(o, "\r\n");
	return 0;
}

int digest_answer_request(struct out *o, const struct sip_msg *response, const struct digest_request *r, struct rng *rng)
{
	struct answerable list[REALMS_MAX];
	size_t n = find_strongest(response, list);
	struct digest_engine e;
	int err = n ? digest_engine_init(&e) : -ENOENT;

	if (err)
		return err;
	for (size_t i = 0; i < n && !err; i++)
		err = answer_one(&e, o, &list[i], r, rng);
	digest_engine_fini(&e);
	if (err)
		return err;
	return out_ok(o) ? 0 : -ENOSPC;
}

int digest_answer(struct out *o, const struct sip_msg *response, struct str method, struct str uri, struct str user,
		  struct str password, uint32_t nc, struct rng *rng)
{
	const struct digest_request r = { .method = method, .uri = uri, .user = user, .password = password, .nc = nc };

	return digest_answer_request(o, response, &r, rng);
}

static bool next_challenge(const struct sip_msg *m, unsigned *which, struct sip_hdr_iter *it, struct sip_challenge *c)
{
	static const enum sip_hdr_id hdrs[] = { SIP_HDR_WWW_AUTHENTICATE, SIP_HDR_PROXY_AUTHENTICATE };
	struct str value;

	for (; *which < ARRAY_LEN(hdrs); ++*which, *it = (struct sip_hdr_iter){ 0 }) {
		while (sip_msg_hdr_next(m, hdrs[*which], it, &value)) {
			if (sip_challenge_parse(c, value) == 0)
				return true;
		}
	}
	return false;
}

/* Takes a line off credentials; false: there is none. */
static bool cut_credentials(struct str *rest, struct str *line, struct sip_credentials *c)
{
	while (rest->p && rest->n) {
		struct str value;

		*line = value = str_trim(str_cut(rest, '\n'));
		str_cut(&value, ':');
		if (sip_credentials_parse(c, value) == 0)
			return true;
	}
	return false;
}

static bool is_answered(struct str credentials, struct str realm)
{
	struct sip_credentials given;
	struct str line;

	while (cut_credentials(&credentials, &line, &given)) {
		if (str_eq(given.realm, realm))
			return true;
	}
	return false;
}

bool digest_asks_anew(const struct sip_msg *response, struct str credentials)
{
	struct sip_hdr_iter it = { 0 };
	struct sip_challenge c;
	unsigned which = 0;

	while (next_challenge(response, &which, &it, &c)) {
		if (c.stale || !is_answered(credentials, c.realm))
			return true;
	}
	return false;
}

/* The proof for these credentials, in a response with this body. */
static int expected_proof(const struct sip_credentials *c, const struct sip_auth_info *info, struct str body, struct str user,
			  struct str password, char out[DIGEST_HEX_MAX])
{
	char ha1[DIGEST_HEX_MAX], buf[TEXT_MAX];
	bool is_sess;
	enum digest_alg alg = digest_alg_parse(c->algorithm, &is_sess);
	const struct str a1[] = { user, digest_unquote(c->realm, buf, sizeof(buf)), password };
	struct digest_engine e;
	int err = alg ? digest_engine_init(&e) : -EINVAL;

	if (err)
		return err;
	err = digest_engine_hash(&e, alg, a1, ARRAY_LEN(a1), ha1);
	if (!err)
		err = digest_engine_response(&e, &(struct digest_input){
			.alg = alg, .is_sess = is_sess, .ha1 = str_from(ha1), .nonce = c->nonce, .nc = c->nc, .cnonce = c->cnonce,
			.qop = info->qop.n ? info->qop : c->qop, .uri = c->uri, .body = body }, out);
	digest_engine_fini(&e);
	return err;
}

/* cnonce and nc say whose proof it is (RFC 7616 §3.5): of several credentials one may be a proxy's. */
static bool is_for(const struct sip_auth_info *info, const struct sip_credentials *c)
{
	return c->qop.n && (!info->cnonce.n || str_eq(info->cnonce, c->cnonce)) && (!info->nc.n || str_ieq(info->nc, c->nc));
}

bool digest_is_proved(const struct sip_msg *response, struct str credentials, struct str user, struct str password)
{
	struct sip_credentials given;
	struct sip_auth_info info;
	char expected[DIGEST_HEX_MAX];
	struct str line;

	if (sip_auth_info_parse(&info, sip_msg_value_by_name(response, "Authentication-Info")) != 0)
		return false;
	while (cut_credentials(&credentials, &line, &given))
		if (str_istarts(line, STR("Authorization")) && is_for(&info, &given) &&
		    expected_proof(&given, &info, response->body, user, password, expected) == 0 && str_ieqz(info.rspauth, expected))
			return true;
	return false;
}

/* As the challenge that the next nonce stands for. */
static void print_next(struct out *o, const struct sip_credentials *given, struct str nonce)
{
	out_z(o, "Digest realm=\"");
	out_str(o, given->realm);
	out_chr(o, '"');
	print_raw_quoted(o, "nonce", nonce);
	print_raw_quoted(o, "qop", given->qop);
	if (given->algorithm.n)
		out_fmt(o, ", algorithm=%.*s", STR_ARG(given->algorithm));
	if (given->opaque.p)
		print_raw_quoted(o, "opaque", given->opaque);
	if (given->userhash)
		out_z(o, ", userhash=true");
}

int digest_keep_next(struct out *o, const struct sip_msg *response, struct str credentials)
{
	struct sip_credentials given;
	struct sip_auth_info info;
	struct str line;

	if (sip_auth_info_parse(&info, sip_msg_value_by_name(response, "Authentication-Info")) != 0 || !info.nextnonce.n)
		return -ENOENT;
	while (cut_credentials(&credentials, &line, &given)) {
		if (!str_istarts(line, STR("Authorization")) || !is_for(&info, &given))
			continue;
		print_next(o, &given, info.nextnonce);
		return out_ok(o) ? 0 : -ENOSPC;
	}
	return -ENOENT;
}

int digest_answer_kept(struct out *o, struct str kept, const struct digest_request *r, struct rng *rng)
{
	struct answerable a = { .hdr = SIP_HDR_WWW_AUTHENTICATE };
	struct digest_engine e;
	int err = is_answerable(&a, kept) ? digest_engine_init(&e) : -ENOENT;

	if (err)
		return err;
	err = answer_one(&e, o, &a, r, rng);
	digest_engine_fini(&e);
	return err ? err : out_ok(o) ? 0 : -ENOSPC;
}

int digest_answer_ahead(struct out *o, const struct sip_msg *response, struct str credentials, const struct digest_request *r, struct rng *rng)
{
	char kept[KEPT_MAX];
	struct out k;
	int err;

	out_init(&k, kept, sizeof(kept));
	err = digest_keep_next(&k, response, credentials);
	return err ? err : digest_answer_kept(o, out_view(&k), r, rng);
}

void digest_keep_others(struct out *o, const struct sip_msg *response, struct str credentials)
{
	struct sip_credentials given;
	struct str line;

	while (cut_credentials(&credentials, &line, &given)) {
		struct sip_hdr_iter it = { 0 };
		struct sip_challenge c;
		unsigned which = 0;
		bool asks = false;

		while (!asks && next_challenge(response, &which, &it, &c))
			asks = str_eq(c.realm, given.realm);
		if (asks)
			continue;
		out_str(o, line);
		out_z(o, "\r\n");
	}
}
