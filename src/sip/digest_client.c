/* digest_client.c - answers a 401 or 407 (RFC 7616 §3.4, RFC 3261 §22.2, §22.3). */
#include <errno.h>

#include "sip/digest_int.h"

#define CNONCE_LEN 16

/* "auth" among the qop options, or none offered at all (RFC 2069): those we can answer. */
static bool qop_is_possible(struct str qop, bool *with_auth)
{
	*with_auth = false;
	if (str_empty(qop))
		return true;
	struct str rest = qop;
	while (rest.p) {
		if (str_ieqz(str_trim(str_cut(&rest, ',')), "auth"))
			*with_auth = true;
	}
	return *with_auth;
}

static bool find_strongest(const struct sip_msg *m, enum sip_hdr_id hdr, struct sip_challenge *best,
			   enum digest_alg *best_alg)
{
	struct sip_hdr_iter it = { 0 };
	struct str value;
	bool with_auth;

	*best_alg = 0;
	while (sip_msg_hdr_next(m, hdr, &it, &value)) {
		struct sip_challenge c;
		if (sip_challenge_parse(&c, value))
			continue;
		enum digest_alg alg = digest_alg_parse(c.algorithm);
		if (alg > *best_alg && qop_is_possible(c.qop, &with_auth)) {
			*best = c;
			*best_alg = alg;
		}
	}
	return *best_alg != 0;
}

/* What came between quotes goes back between quotes, byte for byte: escapes are still in it. */
static void print_raw_quoted(struct out *o, const char *name, struct str s)
{
	out_fmt(o, ", %s=\"", name);
	out_str(o, s);
	out_chr(o, '"');
}

int digest_answer(struct out *o, const struct sip_msg *response, struct str method, struct str uri, struct str user,
		  struct str password, uint32_t nc, struct rng *rng)
{
	bool is_proxy = response->status == 407;
	struct sip_challenge c;
	enum digest_alg alg;
	struct digest_engine e;
	char ha1[DIGEST_HEX_MAX], value[DIGEST_HEX_MAX], cnonce[CNONCE_LEN + 1], nc_text[9];
	bool with_auth;

	if (!find_strongest(response, is_proxy ? SIP_HDR_PROXY_AUTHENTICATE : SIP_HDR_WWW_AUTHENTICATE, &c, &alg))
		return -ENOENT;
	qop_is_possible(c.qop, &with_auth);
	rng_token(rng, cnonce, CNONCE_LEN);
	struct out nc_out;
	out_init(&nc_out, nc_text, sizeof(nc_text));
	out_hex(&nc_out, (unsigned char[]){ nc >> 24 & 0xff, nc >> 16 & 0xff, nc >> 8 & 0xff, nc & 0xff }, 4);

	int err = digest_engine_init(&e);
	if (err)
		return err;
	const struct str a1[] = { user, c.realm, password };
	err = digest_engine_hash(&e, alg, a1, ARRAY_LEN(a1), ha1);
	const struct digest_input in = {
		.alg = alg,
		.ha1 = str_from(ha1),
		.nonce = c.nonce,
		.nc = out_view(&nc_out),
		.cnonce = str_from(cnonce),
		.qop = with_auth ? STR("auth") : STR_NULL,
		.method = method,
		.uri = uri,
	};
	if (!err)
		err = digest_engine_response(&e, &in, value);
	digest_engine_fini(&e);
	if (err)
		return err;

	out_z(o, is_proxy ? "Proxy-Authorization: Digest username=" : "Authorization: Digest username=");
	digest_print_quoted(o, user);
	print_raw_quoted(o, "realm", c.realm);
	print_raw_quoted(o, "nonce", c.nonce);
	print_raw_quoted(o, "uri", uri);
	print_raw_quoted(o, "response", str_from(value));
	if (!str_empty(c.algorithm))
		out_fmt(o, ", algorithm=%s", digest_alg_name(alg));
	if (with_auth)
		out_fmt(o, ", cnonce=\"%s\", qop=auth, nc=%.*s", cnonce, 8, nc_text);
	if (c.opaque.p)
		print_raw_quoted(o, "opaque", c.opaque);
	out_z(o, "\r\n");
	return out_ok(o) ? 0 : -ENOSPC;
}
