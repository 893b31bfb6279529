/* outgoing_row.c - what a row of pbx.trunk says of its registration: addresses, and names that only we can have made. */
#include "registrar/outgoing_int.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "base/out.h"
#include "sip/uri.h"

bool trunk_way(const struct dir_trunk *t, unsigned i, char *route, size_t size)
{
	const char *proxy = i ? (i <= t->nmore_proxies ? t->more_proxies[i - 1] : NULL) : t->proxy;
	struct out o;

	if (!proxy && i)
		return false;
	out_init(&o, route, size - 1);
	if (proxy)
		out_fmt(&o, "<%s%s>", proxy, strstr(proxy, ";lr") ? "" : ";lr");
	if (!out_ok(&o))
		return false;
	route[o.len] = '\0';
	return true;
}

/* The registrar without what may not stand in a Request-URI of REGISTER (RFC 3261 §10.2), and the AoR at its host. */
int reg_settings_read(const struct dir_trunk *t, unsigned reg_id, struct reg_settings *s)
{
	struct sip_uri uri;
	struct str user = str_from(t->register_as), host, rest = user;
	struct out registrar, aor;

	memset(s, 0, sizeof(*s));
	if (!t->registrar || !t->register_as || sip_uri_parse(&uri, str_from(t->registrar)) != 0)
		return -EINVAL;
	user = str_cut(&rest, '@');
	host = rest.n ? rest : uri.host;
	s->is_secure = uri.scheme == SIP_SCHEME_SIPS;
	out_init(&registrar, s->registrar, sizeof(s->registrar) - 1);
	out_fmt(&registrar, "%s:%.*s", s->is_secure ? "sips" : "sip", STR_ARG(uri.host));
	if (uri.port)
		out_fmt(&registrar, ":%u", uri.port);
	if (uri.params.n)
		out_fmt(&registrar, ";%.*s", STR_ARG(uri.params));
	out_init(&aor, s->aor, sizeof(s->aor) - 1);
	out_z(&aor, s->is_secure ? "sips:" : "sip:");
	sip_escape_user(&aor, user);
	out_chr(&aor, '@');
	out_str(&aor, host);
	s->has_auth = t->auth_user != NULL;
	s->expires_s = t->register_expires_s;
	s->is_outbound = t->is_outbound;
	s->is_bulk = t->is_bulk;
	s->is_mutual = t->is_mutual;
	s->has_oc = t->has_overload_control;
	s->keepalive_s = t->keepalive_s;
	if (!out_ok(&registrar) || !out_ok(&aor) || !trunk_way(t, reg_id - 1, s->route, sizeof(s->route)) ||
	    str_copy(t->contact_user ? str_from(t->contact_user) : user, s->contact_user, sizeof(s->contact_user)) != 0 ||
	    (t->auth_user && (str_copy(str_from(t->auth_user), s->auth_user, sizeof(s->auth_user)) != 0 ||
			      str_copy(str_from(t->auth_password), s->auth_password, sizeof(s->auth_password)) != 0)))
		return -ENAMETOOLONG;
	return 0;
}

void reg_names_make(struct reg_names *names, const unsigned char key[32], const char *node, const char *domain, const char *trunk)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned char sum[32];
	char text[200];
	unsigned n = 0;
	int len = snprintf(text, sizeof(text), "registration %s/%s/%s", node, domain, trunk);

	HMAC(EVP_sha256(), key, 32, (unsigned char *)text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1, sum, &n);
	for (unsigned i = 0; i < REG_LINE_LEN; i++)
		names->line[i] = digits[sum[i] & 31];
	names->line[REG_LINE_LEN] = '\0';
	snprintf(names->instance, sizeof(names->instance), "<urn:uuid:%02x%02x%02x%02x-%02x%02x-4%01x%02x-8%01x%02x-%02x%02x%02x%02x%02x%02x>",
		 sum[16], sum[17], sum[18], sum[19], sum[20], sum[21], sum[22] & 15, sum[23], sum[24] & 15, sum[25], sum[26], sum[27],
		 sum[28], sum[29], sum[30], sum[31]);
}
