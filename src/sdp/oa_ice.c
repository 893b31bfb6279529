/* oa_ice.c - what a leg's descriptions say of ICE (see oa_ice.h).
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "sdp/oa_int.h"

#define UFRAG_MIN 4          /* RFC 8839 §5.4, of theirs */
#define PWD_MIN 22
#define CREDENTIAL_MAX 256
#define TRICKLE_PORT 9       /* RFC 8840 §4.1.1: where nothing is known yet */

struct ice_side {
	struct oa_ice ice;           /* ours are there from the first offer on */
	bool is_agreed;
	char their_ufrag[CREDENTIAL_MAX + 1], their_pwd[CREDENTIAL_MAX + 1]; /* by which a restart is known */
};

struct oa_ice_state {
	struct ice_side now, before;
	bool is_offered;             /* by our offer under way */
	bool is_mismatch;            /* to be said in our answer */
};

static void make_credentials(struct oa_ice *ice, struct rng *rng)
{
	rng_token(rng, ice->ufrag, OA_ICE_UFRAG_LEN);
	rng_token(rng, ice->pwd, OA_ICE_PWD_LEN);
}

static struct oa_ice_state *state_of(struct oa *oa, struct rng *rng)
{
	if (oa->ice)
		return oa->ice;
	oa->ice = calloc(1, sizeof(*oa->ice));
	if (oa->ice)
		make_credentials(&oa->ice->now.ice, rng);
	return oa->ice;
}

const struct oa_ice *oa_ice(const struct oa *oa)
{
	return oa->ice && oa->ice->now.is_agreed ? &oa->ice->now.ice : NULL;
}

const struct oa_ice *oa_ice_offered(const struct oa *oa)
{
	return oa->state == OA_LOCAL_OFFER && oa->ice && oa->ice->is_offered ? &oa->ice->now.ice : NULL;
}

void oa_ice_none(struct oa *oa)
{
	if (oa->ice)
		oa->ice->now.is_agreed = false;
}

void oa_ice_begin(struct oa *oa)
{
	if (oa->ice)
		oa->ice->before = oa->ice->now;
}

void oa_ice_rollback(struct oa *oa)
{
	if (oa->ice)
		oa->ice->now = oa->ice->before;
}

void oa_ice_free(struct oa *oa)
{
	if (!oa->ice)
		return;
	explicit_bzero(oa->ice, sizeof(*oa->ice));
	free(oa->ice);
	oa->ice = NULL;
}

/* ---- theirs ---- */

static bool is_credential(struct str s, size_t min)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '+' && s.p[i] != '/')
			return false;
	return s.n >= min && s.n <= CREDENTIAL_MAX;
}

static bool read_credentials(const struct sdp_media *m, struct str *ufrag, struct str *pwd)
{
	if (!sdp_attr_in_force(m, "ice-ufrag", ufrag) || !sdp_attr_in_force(m, "ice-pwd", pwd))
		return false;
	*ufrag = str_trim(*ufrag);
	*pwd = str_trim(*pwd);
	return is_credential(*ufrag, UFRAG_MIN) && is_credential(*pwd, PWD_MIN);
}

/* "1 1 UDP 2130706431 192.0.2.1 8998 typ host": foundation, component, transport, priority, address, port. */
static bool is_candidate_for(struct str value, struct str addr, uint16_t port)
{
	struct str field[6];
	uint32_t n;

	for (size_t i = 0; i < ARRAY_LEN(field); i++)
		do
			field[i] = str_cut(&value, ' ');
		while (str_empty(field[i]) && value.p);
	return str_eqz(field[1], "1") && str_ieqz(field[2], "UDP") && str_ieq(field[4], addr) && str_to_u32(field[5], UINT16_MAX, &n) == 0 &&
	       n == port;
}

bool oa_ice_is_addr_unknown(const struct sdp_media *m)
{
	struct str ufrag;

	return m->port == TRICKLE_PORT && (str_eqz(m->addr, "0.0.0.0") || str_eqz(m->addr, "::")) && sdp_attr_in_force(m, "ice-ufrag", &ufrag);
}

/* Is it their own address that their description has? (RFC 8839 §4.2.5) */
static bool is_mismatch(const struct sdp_media *m)
{
	if (oa_ice_is_addr_unknown(m))
		return false;
	for (unsigned i = 0; i < m->nattrs; i++)
		if (str_eqz(m->attrs[i].name, "candidate") && is_candidate_for(m->attrs[i].value, m->addr, m->port))
			return false;
	return true;
}

static bool is_restart(const struct ice_side *now, struct str ufrag, struct str pwd)
{
	return now->their_ufrag[0] && (!str_eqz(ufrag, now->their_ufrag) || !str_eqz(pwd, now->their_pwd));
}

static void agree(struct ice_side *now, const struct sdp_media *m, struct str ufrag, struct str pwd)
{
	now->is_agreed = true;
	now->ice.is_peer_lite = sdp_attr_in_force(m, "ice-lite", NULL);
	str_copy(ufrag, now->their_ufrag, sizeof(now->their_ufrag));
	str_copy(pwd, now->their_pwd, sizeof(now->their_pwd));
}

/* ---- offers and answers ---- */

/* As with what else is on offer: what was agreed goes on, and what the peer didn't know is not asked again. */
int oa_ice_offer(struct oa *oa, const struct oa_local *l)
{
	bool is_begun = oa->nsections && oa->is_complete && oa->agreed.has_audio;
	bool is_wanted = oa_ice(oa) || (l->offers_ice && !is_begun);

	if (oa->ice)
		oa->ice->is_offered = oa->ice->is_mismatch = false;
	if (!is_wanted)
		return 0;
	if (!state_of(oa, l->rng))
		return -ENOMEM;
	oa->ice->is_offered = true;
	return 0;
}

int oa_ice_answer(struct oa *oa, const struct sdp_media *m, const struct oa_local *l)
{
	struct oa_ice_state *ice;
	struct str ufrag, pwd;

	oa_ice_none(oa);
	if (oa->ice)
		oa->ice->is_mismatch = false;
	if (!l->takes_ice || !read_credentials(m, &ufrag, &pwd))
		return 0;
	ice = state_of(oa, l->rng);
	if (!ice)
		return -ENOMEM;
	ice->is_mismatch = is_mismatch(m);
	if (ice->is_mismatch)
		return 0;
	if (is_restart(&ice->now, ufrag, pwd))
		make_credentials(&ice->now.ice, l->rng);
	agree(&ice->now, m, ufrag, pwd);
	return 0;
}

void oa_ice_take_answer(struct oa *oa, const struct sdp_media *m)
{
	struct str ufrag, pwd;

	oa_ice_none(oa);
	if (oa->ice && oa->ice->is_offered && read_credentials(m, &ufrag, &pwd) && !sdp_attr_in_force(m, "ice-mismatch", NULL))
		agree(&oa->ice->now, m, ufrag, pwd);
}

/* ---- writing ---- */

static bool is_in_description(const struct oa *oa)
{
	return oa->ice && (oa->state == OA_REMOTE_OFFER ? oa->ice->now.is_agreed : oa->ice->is_offered);
}

void oa_ice_write_session(struct out *o, const struct oa *oa)
{
	/* Of RFC 8445, not 5245 (RFC 8445 §10). */
	if (is_in_description(oa))
		out_z(o, "a=ice-lite\r\na=ice-options:ice2\r\n");
}

/* A host's, the only ones of their address: priority as RFC 8445 §5.1.2.1 has it. */
static void write_candidate(struct out *o, const struct oa_local *l, unsigned component, uint16_t port)
{
	out_fmt(o, "a=candidate:1 %u UDP %u %s %u typ host\r\n", component, 126u << 24 | 65535u << 8 | (256 - component), l->addr, port);
}

void oa_ice_write(struct out *o, const struct oa *oa, const struct oa_local *l)
{
	const struct oa_ice_state *ice = oa->ice;

	if (!ice)
		return;
	if (!is_in_description(oa)) {
		if (oa->state == OA_REMOTE_OFFER && ice->is_mismatch)
			out_z(o, "a=ice-mismatch\r\n");
		return;
	}
	out_z(o, "a=ice-ufrag:");
	out_z(o, ice->now.ice.ufrag);
	out_z(o, "\r\na=ice-pwd:");
	out_z(o, ice->now.ice.pwd);
	out_z(o, "\r\n");
	write_candidate(o, l, 1, l->port);
	if (!oa->agreed.rtcp_mux && l->rtcp_port)
		write_candidate(o, l, 2, l->rtcp_port);
	out_z(o, "a=end-of-candidates\r\n");
}
