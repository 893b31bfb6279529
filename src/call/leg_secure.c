/* leg_secure.c - is a leg's sound encrypted? What its extension or trunk says of it, and how the keys get from its descriptions to its
 * stream.
 */
#define LOG_MODULE "leg"
#include "call/decision.h"
#include "call/leg_int.h"
#include "base/log.h"

void leg_secure_begin(struct leg *leg, enum sip_proto proto, struct dir_srtp srtp)
{
	leg->srtp = srtp.policy == DIR_SRTP_NEVER ? OA_NEVER : srtp.policy == DIR_SRTP_REQUIRE ? OA_REQUIRE : OA_OFFER;
	leg->tells_keys = srtp.keys != DIR_KEYS_DTLS && (proto == SIP_TLS || proto == SIP_WSS || srtp.keys_in_clear);
	leg->has_dtls = srtp.keys != DIR_KEYS_SDES;
	/* By choice; to a browser, which knows nothing else; and where there must be keys and they can't be told. A mere offer over UDP does
	 * without: its 170 bytes would take many an INVITE over what fits a datagram. */
	leg->offers_dtls = srtp.keys == DIR_KEYS_DTLS ||
			   (leg->has_dtls && (proto == SIP_WS || proto == SIP_WSS || (leg->srtp == OA_REQUIRE && !leg->tells_keys)));
}

void leg_secure_local(const struct leg *leg, struct oa_local *l)
{
	l->policy = leg->srtp;
	l->sdes = leg->tells_keys;
	l->fingerprint = leg->has_dtls ? media_fingerprint(leg->call->calls->p.media) : NULL;
	l->offers_dtls = leg->offers_dtls;
	l->rng = leg->call->calls->p.rng;
}

bool leg_can_answer(const struct leg *leg)
{
	struct leg_codecs codecs;
	struct oa_local all = { .codecs = codecs.list };

	if (leg->first_image)
		return true;
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

bool leg_sdes_params(const struct oa_srtp *a, struct secure_params *p)
{
	if (!a)
		return false;
	p->suite = secure_suite_find(a->suite);
	copy_key(&p->send, &a->ours, a->key_len);
	p->nrecv = a->ntheirs;
	for (unsigned i = 0; i < a->ntheirs; i++)
		copy_key(&p->recv[i], &a->theirs[i], a->key_len);
	return true;
}

static bool dtls_params(const struct leg *leg, struct dtls_params *p)
{
	const struct oa_dtls *a = oa_dtls(leg->oa);

	if (!a)
		return false;
	*p = (struct dtls_params){ .number = a->association, .is_client = a->is_client, .is_due = leg->state == LEG_ANSWERED };
	for (unsigned i = 0; i < a->ntheirs && i < DTLS_FINGERPRINTS_MAX; i++) {
		struct dtls_fingerprint *f = &p->fingerprints[p->nfingerprints++];

		f->len = a->theirs[i].len;
		memcpy(f->digest, a->theirs[i].digest, f->len);
	}
	return true;
}

void leg_secure_configure(struct leg *leg, struct stream_config *c, struct leg_keys *keys)
{
	*keys = (struct leg_keys){ 0 };
	if (dtls_params(leg, &keys->dtls)) {
		c->dtls = &keys->dtls; /* leg_on_secured() tells when it is there */
	} else if (leg_sdes_params(oa_srtp(leg->oa), &keys->sdes)) {
		c->security = &keys->sdes;
		leg->media_security = "sdes";
	} else {
		leg->media_security = NULL;
	}
}

/* ---- what comes of handshakes ---- */

void leg_on_secured(struct stream *s, enum secure_suite suite, void *arg)
{
	struct leg *leg = arg;
	char id[64];

	(void)s;
	leg->media_security = "dtls";
	log_info(leg->call->calls->p.log, "%s media secured by=dtls suite=%s", leg_log_id(leg, id), secure_suite_name(suite));
}

/* A leg that can't be heard, and won't be: nobody would hang up for hours. */
void leg_on_insecure(struct stream *s, enum stream_insecure why, bool is_over, void *arg)
{
	static const char *const texts[] = {
		[STREAM_WRONG_CERTIFICATE] = "the certificate isn't the one that was named",
		[STREAM_HANDSHAKE_BROKEN] = "handshake failed",
		[STREAM_HANDSHAKE_TIMEOUT] = "no handshake",
	};
	struct leg *leg = arg;
	char id[64], reason[128];

	(void)s;
	leg_decided(leg, DECISION_INSECURE, texts[why], is_over ? "over" : "", NULL);
	log_warn(leg->call->calls->p.log, "%s DTLS: %s%s", leg_log_id(leg, id), texts[why], is_over ? ", hanging up" : "");
	if (!is_over || !leg->session)
		return;
	snprintf(reason, sizeof(reason), "Q.850;cause=127;text=\"DTLS: %s\"", texts[why]);
	leg->status = 488;
	leg_close(leg, 488, reason);
}
