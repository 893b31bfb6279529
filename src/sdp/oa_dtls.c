/* oa_dtls.c - DTLS-SRTP in a leg's descriptions (see oa_dtls.h).
 *
 * All that an exchange says of the other end is read into a struct theirs; two of them, the one in force and the new one, tell whether
 * the association goes on.
 */
#include <errno.h>
#include <stdlib.h>

#include "sdp/oa_int.h"

#define TLS_ID_LEN 24        /* five bits of randomness each: RFC 8842 §3.1 asks for 120 */
#define TLS_ID_MAX 255
#define PROTO_DTLS "UDP/TLS/RTP/SAVP"
#define PROTO_BROWSER "UDP/TLS/RTP/SAVPF" /* RFC 8829 §5.1.2 */

enum setup { SETUP_NONE, SETUP_ACTIVE, SETUP_PASSIVE, SETUP_ACTPASS, SETUP_OTHER };

struct theirs {
	struct oa_dtls dtls;         /* number and roles as agreed with them */
	char tls_id[TLS_ID_MAX + 1]; /* "": none */
	char addr[64];
	uint16_t port;
};

struct oa_dtls_state {
	char tls_id[TLS_ID_LEN + 1]; /* ours, for the whole leg: we never ask for a new association */
	bool is_offered;             /* by our offer under way */
	uint32_t nassociations;
	struct theirs agreed, before;/* association 0: none */
};

/* ---- a=fingerprint ---- */

static const struct { struct str name; uint8_t len; } functions[] = {
	{ { "sha-256", 7 }, 32 }, { { "sha-1", 5 }, 20 }, { { "sha-224", 7 }, 28 }, { { "sha-384", 7 }, 48 }, { { "sha-512", 7 }, 64 },
};

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "4A:AD:B9": so many bytes. */
static int parse_digest(uint8_t *out, size_t len, struct str s)
{
	if (s.n != 3 * len - 1)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int high = nibble(s.p[3 * i]), low = nibble(s.p[3 * i + 1]);

		if (high < 0 || low < 0 || (i + 1 < len && s.p[3 * i + 2] != ':'))
			return -EINVAL;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

int oa_fingerprint_parse(struct oa_fingerprint *out, struct str value)
{
	struct str rest = str_trim(value), name = str_cut(&rest, ' ');
	struct oa_fingerprint f = { 0 };
	int err = -ENOTSUP;

	for (size_t i = 0; i < ARRAY_LEN(functions) && !f.len; i++)
		if (str_ieq(name, functions[i].name))
			f.len = functions[i].len;
	if (f.len)
		err = parse_digest(f.digest, f.len, str_trim(rest));
	if (!err)
		*out = f;
	return err;
}

/* Those by the strongest function; false: there is none to go by, or one is broken. */
static bool read_fingerprints(struct oa_dtls *d, const struct sdp_attr *attrs, unsigned nattrs, bool *is_given)
{
	*is_given = false;
	for (unsigned i = 0; i < nattrs; i++) {
		struct oa_fingerprint f;
		int err;

		if (!str_eqz(attrs[i].name, "fingerprint"))
			continue;
		*is_given = true;
		err = oa_fingerprint_parse(&f, attrs[i].value);
		if (err == -EINVAL)
			return false;
		if (err || (d->ntheirs && f.len < d->theirs[0].len))
			continue;
		if (d->ntheirs && f.len > d->theirs[0].len)
			d->ntheirs = 0;
		if (d->ntheirs < OA_FINGERPRINTS_MAX)
			d->theirs[d->ntheirs++] = f;
	}
	return d->ntheirs > 0;
}

/* ---- what they say ---- */

static enum setup setup_of(const struct sdp_media *m)
{
	static const char *const names[] = { [SETUP_ACTIVE] = "active", [SETUP_PASSIVE] = "passive", [SETUP_ACTPASS] = "actpass" };
	struct str value;

	if (!sdp_attr_in_force(m, "setup", &value))
		return SETUP_NONE;
	value = str_trim(value);
	for (unsigned i = SETUP_ACTIVE; i < ARRAY_LEN(names); i++)
		if (str_ieqz(value, names[i]))
			return (enum setup)i;
	return SETUP_OTHER;
}

/* Of a section: those of the section take the place of the session's (RFC 8122 §5). */
static bool read_theirs(struct theirs *t, const struct sdp_media *m)
{
	struct str tls_id = STR_NULL;
	bool is_given, is_usable;

	memset(t, 0, sizeof(*t));
	is_usable = read_fingerprints(&t->dtls, m->attrs, m->nattrs, &is_given);
	if (!is_given)
		is_usable = read_fingerprints(&t->dtls, m->session->attrs, m->session->nattrs, &is_given);
	if (!is_usable)
		return false;
	if (sdp_attr_find(m, "tls-id", &tls_id) && str_copy(str_trim(tls_id), t->tls_id, sizeof(t->tls_id)) < 0)
		return false;
	if (sdp_attr_in_force(m, "ice-ufrag", NULL)) /* which address it is changes as ICE goes on */
		return true;
	str_copy(m->addr, t->addr, sizeof(t->addr));
	t->port = m->port;
	return true;
}

static bool has_fingerprint(const struct oa_dtls *d, const struct oa_fingerprint *f)
{
	for (unsigned i = 0; i < d->ntheirs; i++)
		if (d->theirs[i].len == f->len && !memcmp(d->theirs[i].digest, f->digest, f->len))
			return true;
	return false;
}

static bool is_same_certificate(const struct oa_dtls *a, const struct oa_dtls *b)
{
	if (a->ntheirs != b->ntheirs)
		return false;
	for (unsigned i = 0; i < a->ntheirs; i++)
		if (!has_fingerprint(b, &a->theirs[i]))
			return false;
	return true;
}

static bool is_addr_on_hold(const char *addr)
{
	return !strcmp(addr, "0.0.0.0") || !strcmp(addr, "::");
}

/* Roles aside. */
static bool goes_on(const struct theirs *before, const struct theirs *now)
{
	if (!before->dtls.association || !is_same_certificate(&before->dtls, &now->dtls) || strcmp(before->tls_id, now->tls_id) != 0)
		return false;
	return now->tls_id[0] || is_addr_on_hold(now->addr) || is_addr_on_hold(before->addr) ||
	       (!strcmp(before->addr, now->addr) && before->port == now->port);
}

static void agree(struct oa_dtls_state *d, struct theirs *now, bool is_client)
{
	bool is_kept = goes_on(&d->agreed, now) && d->agreed.dtls.is_client == is_client;

	now->dtls.association = is_kept ? d->agreed.dtls.association : ++d->nassociations;
	now->dtls.is_client = is_client;
	if (is_kept && is_addr_on_hold(now->addr)) { /* it comes back to where it was */
		memcpy(now->addr, d->agreed.addr, sizeof(now->addr));
		now->port = d->agreed.port;
	}
	d->agreed = *now;
}

/* ---- the state of a leg ---- */

static struct oa_dtls_state *state_of(struct oa *oa, struct rng *rng)
{
	if (oa->dtls)
		return oa->dtls;
	oa->dtls = calloc(1, sizeof(*oa->dtls));
	if (oa->dtls)
		rng_token(rng, oa->dtls->tls_id, TLS_ID_LEN);
	return oa->dtls;
}

const struct oa_dtls *oa_dtls(const struct oa *oa)
{
	return oa->dtls && oa->dtls->agreed.dtls.association ? &oa->dtls->agreed.dtls : NULL;
}

bool oa_dtls_was_agreed(const struct oa *oa)
{
	return oa->dtls && oa->dtls->before.dtls.association;
}

void oa_dtls_none(struct oa *oa)
{
	if (oa->dtls)
		oa->dtls->agreed.dtls.association = 0;
}

void oa_dtls_begin(struct oa *oa)
{
	if (oa->dtls)
		oa->dtls->before = oa->dtls->agreed;
}

void oa_dtls_rollback(struct oa *oa)
{
	if (oa->dtls)
		oa->dtls->agreed = oa->dtls->before;
}

void oa_dtls_free(struct oa *oa)
{
	free(oa->dtls);
	oa->dtls = NULL;
}

/* ---- offers and answers ---- */

bool oa_dtls_can_answer(const struct sdp_media *m, const struct oa_local *l)
{
	struct theirs t;

	return l->policy != OA_NEVER && l->fingerprint && setup_of(m) != SETUP_OTHER && read_theirs(&t, m);
}

bool oa_dtls_is_offered(const struct oa *oa)
{
	return oa->dtls && oa->dtls->is_offered;
}

void oa_dtls_offer_none(struct oa *oa)
{
	if (oa->dtls)
		oa->dtls->is_offered = false;
}

int oa_dtls_offer(struct oa *oa, const struct oa_local *l)
{
	struct oa_dtls_state *d = state_of(oa, l->rng);

	if (!d)
		return -ENOMEM;
	d->is_offered = true;
	if (l->to_browser && !oa_dtls(oa))
		memcpy(oa->proto, PROTO_BROWSER, sizeof(PROTO_BROWSER));
	else if (l->policy == OA_REQUIRE && !oa_dtls(oa))
		memcpy(oa->proto, PROTO_DTLS, sizeof(PROTO_DTLS));
	return 0;
}

int oa_dtls_answer(struct oa *oa, const struct sdp_media *m, const struct oa_local *l)
{
	struct oa_dtls_state *d = state_of(oa, l->rng);
	struct theirs now;
	bool is_client;

	if (!d)
		return -ENOMEM;
	read_theirs(&now, m);
	switch (setup_of(m)) {
	case SETUP_PASSIVE: is_client = true; break;
	case SETUP_ACTPASS: is_client = goes_on(&d->agreed, &now) ? d->agreed.dtls.is_client : true; break;
	default: is_client = false; break; /* RFC 4145 §4: who says nothing is active in an offer */
	}
	agree(d, &now, is_client);
	return 0;
}

int oa_dtls_take_answer(struct oa *oa, const struct sdp_media *m)
{
	struct theirs now;
	enum setup setup = setup_of(m);

	if (!read_theirs(&now, m) || setup == SETUP_ACTPASS || setup == SETUP_OTHER)
		return -EINVAL;
	agree(oa->dtls, &now, setup != SETUP_ACTIVE); /* and passive in an answer */
	return 0;
}

void oa_dtls_write(struct out *o, const struct oa *oa, const struct oa_local *l)
{
	const struct oa_dtls_state *d = oa->dtls;
	bool is_answer = oa->state == OA_REMOTE_OFFER;

	if (!d || !(is_answer ? d->agreed.dtls.association != 0 : d->is_offered))
		return;
	out_z(o, !is_answer ? "a=setup:actpass\r\n" : d->agreed.dtls.is_client ? "a=setup:active\r\n" : "a=setup:passive\r\n");
	out_z(o, "a=fingerprint:");
	out_z(o, l->fingerprint);
	out_z(o, "\r\n");
	if (is_answer && !d->agreed.tls_id[0]) /* RFC 8842 §5.3 */
		return;
	out_z(o, "a=tls-id:");
	out_z(o, d->tls_id);
	out_z(o, "\r\n");
}
