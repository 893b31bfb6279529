/* auth.c - digest or a certificate for extensions, the source address or certificate for trunks (RFC 3261 §22, §26.3.2.2, RFC 5922, RFC 7616).
 *
 * An unknown user takes the same way as a known one, down to the hash that is computed: nothing that goes back tells
 * them apart. Only who has proved a password learns more (403).
 *
 * The sums are digest.c's, the rows directory.c's.
 */
#define LOG_MODULE "auth"
#include "registrar/auth.h"

#include "base/log.h"

#define CHALLENGE_MAX 2048
#define RETRY_AFTER "Retry-After: 5\r\n" /* the directory loads in less */

/* A request on its way through the checks. */
struct check {
	struct auth *auth;
	struct strans *st;       /* NULL: there is none yet */
	struct auth_identity *out;
	const struct sip_source *src;
	const struct sip_msg *m;
	const struct dir_domain *domain;
	char claimed[64];        /* the user it says it is from, unescaped; "" when there is none that could exist */
	bool is_anonymous;       /* it says nothing of it: whoever has a password may call so */
};

/* For who keeps account of refusals. */
static void note(const struct check *c, int status, const char *why)
{
	*c->out = (struct auth_identity){ .refused_status = status, .refused = why };
	str_put(c->out->domain, sizeof(c->out->domain), c->domain ? c->domain->domain : "");
	str_put(c->out->number, sizeof(c->out->number), c->claimed);
}

static enum auth_verdict refuse(const struct check *c, int status, const char *reason, const char *hdrs)
{
	struct sip_reply r = { .status = status, .reason = reason, .hdrs = str_from(hdrs) };

	note(c, status, reason ? reason : status == 503 ? "Directory not available" : "Internal error");
	strans_reply(c->st, &r);
	return AUTH_ANSWERED;
}

static enum auth_verdict unavailable(const struct check *c)
{
	return refuse(c, 503, NULL, RETRY_AFTER);
}

/* Whom a REGISTER is about is in its To (RFC 3261 §10.2). */
static const struct sip_uri *claimed_uri(const struct sip_msg *m)
{
	return m->method == SIP_REGISTER ? &m->to.uri : &m->from.uri;
}

/* Only what a password has been stored for: one set before a hash was known has none of it. */
static unsigned algorithms_stored(const struct dir_credential *cred, unsigned algs)
{
	unsigned stored = (cred->ha1_md5 ? DIGEST_MD5 : 0) | (cred->ha1_sha256 ? DIGEST_SHA256 : 0) |
			  (cred->ha1_sha512_256 ? DIGEST_SHA512_256 : 0);

	return algs & stored ? algs & stored : algs;
}

/* RFC 3323 §4.1.1.3: From of a caller who hides himself. He is whom his credentials say, and the domain is the one he calls in. */
static bool is_anonymous(const struct sip_msg *m)
{
	return m->method != SIP_REGISTER && str_ieqz(m->from.uri.host, "anonymous.invalid");
}

/* What who has these credentials, or nobody by that name, is challenged with; *algs is set unless the answer is unknown. */
static enum dir_answer algorithms_of(struct auth *a, const char *domain, const struct dir_credential *cred, struct str name, unsigned *algs)
{
	const struct dir_extension *ext;
	enum dir_answer answer = directory_extension(a->directory, domain, cred ? str_from(cred->number) : name, &ext);

	if (answer == DIR_FOUND)
		*algs = cred ? algorithms_stored(cred, ext->algorithms) : ext->algorithms;
	else if (answer == DIR_ABSENT)
		*algs = directory_algorithms_for(a->directory, domain, name);
	return answer;
}

/* What a challenge is bound to: the address, or of IPv6 the network, which a host changes at will. Those whom an administrator trusts may be
 * several proxies, any of which passes on the answer. */
static struct str source_of(const struct check *c, union sockaddr_any *buf)
{
	const union sockaddr_any *peer = &c->src->peer;

	if (guard_is_allowed(c->auth->guard, peer))
		return STR_NULL;
	*buf = guard_source_of(peer);
	return buf->sa.sa_family == AF_INET6 ? (struct str){ (const char *)&buf->v6.sin6_addr, 8 }
					     : (struct str){ (const char *)&buf->v4.sin_addr, 4 };
}

static unsigned sessions_of(const struct dir_domain *domain)
{
	return domain->has_digest_session ? DIGEST_SESS : 0;
}

/* The lines of a challenge of a user of that name. */
static enum dir_answer write_challenge(const struct check *c, struct out *o, struct str name, bool stale)
{
	const struct dir_credential *cred = NULL;
	union sockaddr_any source;
	unsigned algs;

	if (directory_credential(c->auth->directory, c->domain->domain, name, &cred) == DIR_UNKNOWN ||
	    algorithms_of(c->auth, c->domain->domain, cred, name, &algs) == DIR_UNKNOWN)
		return DIR_UNKNOWN;
	digest_challenge(c->auth->digest, o, SIP_HDR_WWW_AUTHENTICATE, str_from(c->domain->realm),
			 algs | c->domain->qop | (c->domain->has_userhash ? DIGEST_USERHASH : 0) | sessions_of(c->domain), stale,
			 source_of(c, &source));
	return DIR_FOUND;
}

static enum auth_verdict challenge(const struct check *c, struct str name, bool stale)
{
	char hdrs[CHALLENGE_MAX];
	struct sip_reply r = { .status = 401 };
	struct out o;

	out_init(&o, hdrs, sizeof(hdrs));
	if (write_challenge(c, &o, name, stale) == DIR_UNKNOWN)
		return unavailable(c);
	if (!out_ok(&o))
		return refuse(c, 500, NULL, NULL);
	r.hdrs = out_view(&o);
	strans_reply(c->st, &r);
	return AUTH_ANSWERED;
}

static void log_failure(const struct check *c, struct str user, const char *what)
{
	char addr[SOCKADDR_TEXT_MAX];

	log_info(c->auth->log, "%s domain=%s user=%.*s method=%.*s from=%s", what, c->domain->domain,
		 (int)(user.n < 64 ? user.n : 64), user.p ? user.p : "", STR_ARG(c->m->method_name),
		 sockaddr_print(&c->src->peer, addr));
}

/* A number of an exchange, that the exchange claims to be (RFC 6140): it is taken for that number. */
static const struct dir_extension *number_of_bulk(const struct check *c, const char *account)
{
	const struct dir_extension *ext;

	if (c->m->method == SIP_REGISTER || !c->claimed[0] ||
	    directory_extension(c->auth->directory, c->domain->domain, str_from(c->claimed), &ext) != DIR_FOUND)
		return NULL;
	return ext->bulk_account && !strcmp(ext->bulk_account, account) ? ext : NULL;
}

static enum auth_verdict take(const struct check *c, const struct dir_extension *ext, const char *known_by)
{
	struct auth_identity *out = c->out;

	*out = (struct auth_identity){ .known_by = known_by };
	if (str_copy(str_from(ext->domain), out->domain, sizeof(out->domain)) ||
	    str_copy(str_from(ext->number), out->number, sizeof(out->number)) ||
	    str_copy(str_from(ext->context), out->context, sizeof(out->context)))
		return refuse(c, 500, NULL, NULL);
	str_put(out->display_name, sizeof(out->display_name), ext->display_name);
	return AUTH_OK;
}

/* The password was right: may this user send this? */
static enum auth_verdict admit(const struct check *c, const struct dir_credential *cred)
{
	const struct dir_extension *ext, *number;

	switch (directory_extension(c->auth->directory, c->domain->domain, str_from(cred->number), &ext)) {
	case DIR_UNKNOWN:
		return unavailable(c);
	case DIR_ABSENT:
		log_failure(c, str_from(cred->auth_name), "extension gone or disabled");
		return refuse(c, 403, "Extension disabled", NULL);
	case DIR_FOUND:
		break;
	}
	number = ext->may_bulk && !c->is_anonymous ? number_of_bulk(c, cred->number) : NULL;
	if (number) {
		ext = number;
	} else if (!c->is_anonymous && strcmp(c->claimed, cred->number) != 0 && strcmp(c->claimed, cred->auth_name) != 0) {
		log_failure(c, str_from(cred->auth_name), "claims to be another user");
		return refuse(c, 403, "Credentials belong to another user", NULL);
	}
	return take(c, ext, "password");
}

/* Whose credentials they say to be. A hash that we don't know, or where none was offered, goes on as the name of nobody. */
static enum dir_answer find_credential(const struct check *c, const struct sip_credentials *given, const struct dir_credential **cred)
{
	char hash[65];

	if (!given->userhash || !c->domain->has_userhash)
		return directory_credential(c->auth->directory, c->domain->domain, given->username, cred);
	if (str_copy(given->username, hash, sizeof(hash)) != 0)
		return DIR_ABSENT;
	for (char *p = hash; *p; p++)
		if (*p >= 'A' && *p <= 'F')
			*p |= 0x20;
	return directory_credential_by_hash(c->auth->directory, c->domain->domain, str_from(hash), cred);
}

/* Of credentials: whose they are, *cred NULL: nobody's, the name to challenge, and what may be answered. false: not known now. */
static bool find_offer(const struct check *c, const struct sip_credentials *given, const struct dir_credential **cred, struct str *name,
		       unsigned *offered)
{
	*cred = NULL;
	if (find_credential(c, given, cred) == DIR_UNKNOWN)
		return false;
	*name = *cred ? str_from((*cred)->auth_name) : given->username;
	if (algorithms_of(c->auth, c->domain->domain, *cred, *name, offered) == DIR_UNKNOWN)
		return false;
	*offered |= c->domain->qop | sessions_of(c->domain);
	return true;
}

/* The 2xx will show that we know the password, too. */
static void show_proof(const struct check *c, const struct sip_credentials *given, const struct digest_secret *secret, struct str source)
{
	char line[CHALLENGE_MAX];
	struct out o;

	out_init(&o, line, sizeof(line));
	strans_set_proof(c->st, digest_info(c->auth->digest, &o, given, secret, source));
	if (out_ok(&o))
		strans_set_hdrs_2xx(c->st, out_view(&o));
}

/* Has it been, just now? What comes next from there isn't even read. */
static bool is_banned(const struct check *c)
{
	const struct guard_ban *ban = c->auth->guard ? guard_ban_find(c->auth->guard, &c->src->peer) : NULL;

	return ban && ban->until_ms > guard_now_ms(c->auth->guard);
}

static enum auth_verdict check_digest(const struct check *c, const struct sip_credentials *given)
{
	const struct dir_credential *cred;
	struct digest_secret secret;
	union sockaddr_any source;
	unsigned offered;
	struct str name;

	if (!find_offer(c, given, &cred, &name, &offered))
		return unavailable(c);
	if (cred)
		secret = (struct digest_secret){ .ha1_md5 = cred->ha1_md5, .ha1_sha256 = cred->ha1_sha256,
						   .ha1_sha512_256 = cred->ha1_sha512_256 };
	switch (digest_check(c->auth->digest, c->m, given, cred ? &secret : NULL, offered, source_of(c, &source))) {
	case DIGEST_OK:
		guard_proved(c->auth->guard, c->src);
		if (cred && c->domain->is_mutual)
			show_proof(c, given, &secret, source_of(c, &source));
		return cred ? admit(c, cred) : challenge(c, name, false);
	case DIGEST_STALE:
	case DIGEST_REPLAY:
		return challenge(c, name, true);
	case DIGEST_MALFORMED:
		return refuse(c, 400, "Malformed Authorization", NULL);
	case DIGEST_FAILED:
		log_failure(c, name, "wrong password or unknown user");
		note(c, 401, "Wrong password or unknown user");
		guard_failed(c->auth->guard, c->src, name, given->realm);
		if (is_banned(c))
			note(c, 401, "Wrong password or unknown user, once too often: nothing from there is heard for a while");
		break;
	case DIGEST_FOREIGN:
	case DIGEST_NONE:
		break;
	}
	return challenge(c, name, false);
}

/* Whom a certificate of the peer names; NULL: no more, or none. */
static const char *shown_identity(const struct check *c, unsigned i)
{
	return c->auth->transport && c->src->proto == SIP_TLS ? transport_flow_identity(c->auth->transport, c->src->flow, i) : NULL;
}

/* Is what it says to be this extension, or a number of that exchange? */
static enum dir_answer claimed_of(const struct check *c, const struct dir_certificate *cert, const struct dir_extension **ext)
{
	enum dir_answer answer;

	if (strcmp(cert->domain, c->domain->domain) != 0)
		return DIR_ABSENT;
	answer = directory_extension(c->auth->directory, cert->domain, str_from(cert->number), ext);
	if (answer != DIR_FOUND || c->is_anonymous || !strcmp(c->claimed, cert->number))
		return answer;
	*ext = (*ext)->may_bulk ? number_of_bulk(c, cert->number) : NULL;
	return *ext ? DIR_FOUND : DIR_ABSENT;
}

/* A phone that has shown over TLS whose it is. One that says to be somebody else is asked for that one's password: it may have several
 * accounts. */
static enum dir_answer phone_by_certificate(const struct check *c, const struct dir_extension **ext)
{
	enum dir_answer answer = DIR_ABSENT;
	const struct dir_certificate *cert;
	const char *identity;

	for (unsigned i = 0; answer == DIR_ABSENT && (identity = shown_identity(c, i)) != NULL; i++) {
		answer = directory_certificate(c->auth->directory, identity, &cert);
		if (answer == DIR_FOUND)
			answer = claimed_of(c, cert, ext);
	}
	if (answer == DIR_FOUND && c->st)
		guard_proved(c->auth->guard, c->src);
	return answer;
}

/* Who has shown over TLS that it is the trunk's domain (RFC 5922 §7.4), from wherever it comes. */
static enum dir_answer trunk_by_certificate(const struct check *c, const struct dir_trunk **trunk)
{
	enum dir_answer answer = DIR_ABSENT;
	const char *domain;

	for (unsigned i = 0; answer == DIR_ABSENT && (domain = shown_identity(c, i)) != NULL; i++)
		answer = directory_trunk_by_identity(c->auth->directory, domain, trunk);
	if (answer == DIR_FOUND && c->st)
		guard_proved(c->auth->guard, c->src);
	return answer;
}

/* Who comes from a trunk's address, or with its certificate, is the trunk, unless it shows credentials: a phone may sit behind the same NAT. It shows none unless
 * it is asked, and for what only phones may do it must be. */
static enum dir_answer find_trunk(const struct check *c)
{
	struct auth_identity *out = c->out;
	const char *known_by = "registration";
	const struct dir_trunk *trunk;
	enum dir_answer answer;

	if (c->m->method == SIP_REGISTER || c->m->method == SIP_SUBSCRIBE || c->m->method == SIP_PUBLISH)
		return DIR_ABSENT;
	trunk = c->auth->trunk_of ? c->auth->trunk_of(c->m, c->src, c->auth->trunk_of_arg) : NULL;
	answer = DIR_FOUND;
	if (!trunk) {
		answer = trunk_by_certificate(c, &trunk);
		known_by = "certificate";
	}
	if (answer == DIR_ABSENT) {
		answer = directory_trunk_by_address(c->auth->directory, &c->src->peer.sa, &trunk);
		known_by = "address";
	}
	if (answer != DIR_FOUND)
		return answer;
	*out = (struct auth_identity){ .known_by = known_by };
	if (str_copy(str_from(trunk->domain), out->domain, sizeof(out->domain)) ||
	    str_copy(str_from(trunk->name), out->trunk, sizeof(out->trunk)) ||
	    str_copy(str_from(trunk->context), out->context, sizeof(out->context)))
		return DIR_ABSENT;
	return DIR_FOUND;
}

/* Whom the request says it is from, and the domain that makes it. */
static enum dir_answer find_claim(struct check *c)
{
	const struct sip_uri *uri = c->is_anonymous ? &c->m->ruri : claimed_uri(c->m);

	if (c->is_anonymous || sip_unescape(uri->user, c->claimed, sizeof(c->claimed)) != 0)
		c->claimed[0] = '\0';
	return directory_domain_of_host(c->auth->directory, uri->host, &c->domain);
}

enum auth_verdict auth_check(struct auth *a, struct strans *st, const struct sip_msg *m, struct auth_identity *out)
{
	struct check c = { .auth = a, .st = st, .out = out, .src = strans_source(st), .m = m, .is_anonymous = is_anonymous(m) };
	enum dir_answer domain, trunk, phone;
	const struct dir_extension *ext;
	struct sip_credentials given;
	char name[DIGEST_USER_MAX];

	*out = (struct auth_identity){ 0 };
	domain = find_claim(&c);
	if (domain == DIR_FOUND && digest_find(a->digest, m, SIP_HDR_AUTHORIZATION, str_from(c.domain->realm), &given, name))
		return check_digest(&c, &given);
	phone = domain == DIR_FOUND ? phone_by_certificate(&c, &ext) : DIR_ABSENT;
	if (phone == DIR_FOUND)
		return take(&c, ext, "certificate");
	trunk = find_trunk(&c);
	if (trunk == DIR_FOUND)
		return AUTH_OK;
	if (phone == DIR_UNKNOWN || trunk == DIR_UNKNOWN || domain == DIR_UNKNOWN)
		return unavailable(&c);
	if (domain == DIR_ABSENT)
		return refuse(&c, 403, "Unknown domain", NULL);
	return challenge(&c, str_from(c.claimed), false);
}

enum sip_early auth_challenge_early(const struct sip_msg *m, const struct sip_source *src, struct out *hdrs, void *arg)
{
	struct auth_identity who;
	struct check c = { .auth = arg, .src = src, .out = &who, .m = m, .is_anonymous = is_anonymous(m) };
	const struct dir_credential *cred;
	const struct dir_extension *ext;
	struct sip_credentials given;
	union sockaddr_any source;
	char buf[DIGEST_USER_MAX];
	bool is_stale = false;
	unsigned offered;
	struct str name;

	if (m->method != SIP_REGISTER && m->method != SIP_INVITE && m->method != SIP_SUBSCRIBE && m->method != SIP_PUBLISH &&
	    m->method != SIP_MESSAGE && m->method != SIP_REFER && m->method != SIP_OPTIONS)
		return SIP_EARLY_KEEP;
	if (find_claim(&c) != DIR_FOUND || phone_by_certificate(&c, &ext) != DIR_ABSENT || find_trunk(&c) != DIR_ABSENT)
		return SIP_EARLY_KEEP;
	name = str_from(c.claimed);
	if (digest_find(c.auth->digest, m, SIP_HDR_AUTHORIZATION, str_from(c.domain->realm), &given, buf)) {
		if (!find_offer(&c, &given, &cred, &name, &offered))
			return SIP_EARLY_KEEP;
		/* Made up, or answered from elsewhere than it was asked: that mustn't cost more than to ask for nothing. */
		switch (digest_glance(c.auth->digest, m, &given, offered, source_of(&c, &source))) {
		case DIGEST_FOREIGN: break;
		case DIGEST_STALE: is_stale = true; break;
		default: return SIP_EARLY_KEEP;
		}
	}
	return write_challenge(&c, hdrs, name, is_stale) == DIR_FOUND ? SIP_EARLY_REPLY : SIP_EARLY_KEEP;
}
