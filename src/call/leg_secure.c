/* leg_secure.c - is a leg's sound encrypted? What its extension or trunk says of it, and how the keys get from its descriptions to its
 * stream.
 */
#define LOG_MODULE "leg"
#include "call/leg_int.h"
#include "base/log.h"

/* A URI that is dialled, and whom the directory doesn't know at this moment, are treated as the columns' defaults say. */
void leg_secure_begin(struct leg *leg, enum sip_proto proto)
{
	struct directory *d = leg->call->calls->p.directory;
	const struct dir_extension *ext;
	const struct dir_trunk *trunk;
	struct dir_srtp srtp = { .policy = DIR_SRTP_OFFER };

	if (leg->is_outside && directory_trunk(d, leg->call->domain, str_from(leg->peer), &trunk) == DIR_FOUND)
		srtp = trunk->srtp;
	else if (!leg->is_outside && directory_extension(d, leg->call->domain, str_from(leg->peer), &ext) == DIR_FOUND)
		srtp = ext->srtp;
	leg->srtp = srtp.policy == DIR_SRTP_NEVER ? OA_NEVER : srtp.policy == DIR_SRTP_REQUIRE ? OA_REQUIRE : OA_OFFER;
	leg->tells_keys = proto == SIP_TLS || proto == SIP_WSS || srtp.keys_in_clear;
}

void leg_secure_local(const struct leg *leg, struct oa_local *l)
{
	l->policy = leg->srtp;
	l->sdes = leg->tells_keys;
	l->rng = leg->call->calls->p.rng;
}

bool leg_can_answer(const struct leg *leg)
{
	struct leg_codecs codecs;
	struct oa_local all = { .codecs = codecs.list };

	leg_codecs(leg, NULL, &codecs);
	all.ncodecs = codecs.n;
	leg_secure_local(leg, &all);
	leg_ice_local(leg, &all);
	return oa_can_answer(leg->oa, &all);
}

static void copy_key(struct secure_key *to, const struct oa_key *from, size_t len)
{
	memcpy(to->key, from->key, len);
	to->mki_len = from->mki_len;
	memcpy(to->mki, from->mki, from->mki_len);
}

bool leg_secure_params(const struct leg *leg, struct secure_params *p)
{
	const struct oa_srtp *a = oa_srtp(leg->oa);

	*p = (struct secure_params){ 0 };
	if (!a)
		return false;
	p->suite = secure_suite_find(a->suite);
	copy_key(&p->send, &a->ours, a->key_len);
	p->nrecv = a->ntheirs;
	for (unsigned i = 0; i < a->ntheirs; i++)
		copy_key(&p->recv[i], &a->theirs[i], a->key_len);
	return true;
}
