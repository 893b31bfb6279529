/* secure.c - SRTP contexts by libsrtp2 (see secure.h).
 *
 * A context takes any SSRC: the key says whose packets they are. libsrtp2 keeps state for each SSRC it has met, for ever; a peer may
 * change its SSRC as often as it likes, so when there are too many the one that is silent for longest is forgotten, and first of those that have
 * been heard once only: with a source that goes on its roll-over counter would go, and nothing of it could be read any more.
 */
#include "media/secure.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <srtp2/srtp.h>

#include "base/str.h"

#define SSRCS_MAX 8      /* sources of a peer that are remembered, with their counters */
#define WINDOW 1024      /* packets by which one may be late */
#define RTCP_SSRC_AT 4
#define RTP_SSRC_AT 8
#define RTP_HEADER 12
#define RTCP_HEADER 8

static const struct suite {
	const char *name;
	uint8_t key_len; /* with salt */
	void (*rtp)(srtp_crypto_policy_t *p), (*rtcp)(srtp_crypto_policy_t *p);
} suites[] = {
	[SECURE_AES_CM_128_80] = { "AES_CM_128_HMAC_SHA1_80", 30, srtp_crypto_policy_set_rtp_default, srtp_crypto_policy_set_rtcp_default },
	/* SRTCP keeps the long tag (RFC 4568 §6.2.2). */
	[SECURE_AES_CM_128_32] = { "AES_CM_128_HMAC_SHA1_32", 30, srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32,
				   srtp_crypto_policy_set_rtcp_default },
	[SECURE_AES_CM_256_80] = { "AES_256_CM_HMAC_SHA1_80", 46, srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80,
				   srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80 },
	[SECURE_AES_CM_256_32] = { "AES_256_CM_HMAC_SHA1_32", 46, srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32,
				   srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80 },
	[SECURE_AEAD_AES_128_GCM] = { "AEAD_AES_128_GCM", 28, srtp_crypto_policy_set_aes_gcm_128_16_auth,
				      srtp_crypto_policy_set_aes_gcm_128_16_auth },
	[SECURE_AEAD_AES_256_GCM] = { "AEAD_AES_256_GCM", 44, srtp_crypto_policy_set_aes_gcm_256_16_auth,
				      srtp_crypto_policy_set_aes_gcm_256_16_auth },
};

struct secure {
	srtp_t tx, rx;
	bool tx_has_mki, rx_has_mki;
	struct source { uint32_t ssrc; bool has_gone_on; } sources[SSRCS_MAX]; /* the one heard last is first */
	unsigned nsources;
};

enum secure_suite secure_suite_find(const char *name)
{
	for (size_t i = 1; i < ARRAY_LEN(suites); i++)
		if (!strcasecmp(suites[i].name, name))
			return (enum secure_suite)i;
	return SECURE_NONE;
}

const char *secure_suite_name(enum secure_suite suite)
{
	return suite != SECURE_NONE && suite < ARRAY_LEN(suites) ? suites[suite].name : "";
}

size_t secure_key_len(enum secure_suite suite)
{
	return suite < ARRAY_LEN(suites) ? suites[suite].key_len : 0;
}

/* ---- contexts ---- */

static int context_new(srtp_t *out, enum secure_suite suite, const struct secure_key *keys, unsigned n, bool is_out)
{
	srtp_master_key_t master[SECURE_KEYS_MAX], *list[SECURE_KEYS_MAX];
	srtp_policy_t policy = {
		.ssrc.type = is_out ? ssrc_any_outbound : ssrc_any_inbound,
		.keys = list,
		.num_master_keys = n,
		.window_size = WINDOW, /* also of ours: no number is used twice, or one key stream would hide two packets */
	};
	srtp_err_status_t err;

	suites[suite].rtp(&policy.rtp);
	suites[suite].rtcp(&policy.rtcp);
	for (unsigned i = 0; i < n; i++) {
		master[i] = (srtp_master_key_t){
			.key = (unsigned char *)keys[i].key,
			.mki_id = (unsigned char *)keys[i].mki,
			.mki_size = keys[i].mki_len,
		};
		list[i] = &master[i];
	}
	err = srtp_create(out, &policy);
	return err == srtp_err_status_ok ? 0 : err == srtp_err_status_alloc_fail ? -ENOMEM : -EINVAL;
}

/* The library is begun once a process, with the first stream that needs it: its self-tests take their time. One context is kept for good:
 * Debian's libsrtp2 has NSS below, which is loaded for the first context there is and unloaded with the last, and a stream would pay
 * twenty times what its own two cost. */
static void start(void)
{
	static const struct secure_key none;
	static srtp_t kept;

	srtp_init();
	if (context_new(&kept, SECURE_AEAD_AES_128_GCM, &none, 1, true) != 0)
		kept = NULL;
}

static void start_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start);
}

static bool is_same_key(const struct secure_params *a, const struct secure_params *b, const struct secure_key *ka,
			const struct secure_key *kb)
{
	return a->suite == b->suite && ka->mki_len == kb->mki_len && !memcmp(ka->mki, kb->mki, ka->mki_len) &&
	       !memcmp(ka->key, kb->key, secure_key_len(a->suite));
}

static bool is_same_recv(const struct secure_params *a, const struct secure_params *b)
{
	if (a->nrecv != b->nrecv)
		return false;
	for (unsigned i = 0; i < a->nrecv; i++)
		if (!is_same_key(a, b, &a->recv[i], &b->recv[i]))
			return false;
	return true;
}

int secure_new(struct secure **out, const struct secure_params *before, const struct secure_params *now)
{
	struct secure *s;
	int err = 0;

	start_once();
	if (!secure_key_len(now->suite) || now->nrecv == 0 || now->nrecv > SECURE_KEYS_MAX)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	if (!before || !is_same_key(before, now, &before->send, &now->send))
		err = context_new(&s->tx, now->suite, &now->send, 1, true);
	if (!err && (!before || !is_same_recv(before, now)))
		err = context_new(&s->rx, now->suite, now->recv, now->nrecv, false);
	s->tx_has_mki = now->send.mki_len > 0;
	s->rx_has_mki = now->recv[0].mki_len > 0;
	if (err) {
		secure_free(s);
		return err;
	}
	*out = s;
	return 0;
}

struct secure *secure_new_shut(void)
{
	start_once(); /* here, not when the keys come, which is on a worker */
	return calloc(1, sizeof(struct secure));
}

static void context_free(srtp_t c)
{
	if (c)
		srtp_dealloc(c);
}

void secure_free(struct secure *s)
{
	if (!s)
		return;
	context_free(s->tx);
	context_free(s->rx);
	free(s);
}

void secure_renew(struct secure **to, struct secure *fresh)
{
	struct secure *s = *to;

	if (!s) {
		*to = fresh;
		return;
	}
	if (fresh->tx) {
		context_free(s->tx);
		s->tx = fresh->tx;
		s->tx_has_mki = fresh->tx_has_mki;
	}
	if (fresh->rx) {
		context_free(s->rx);
		s->rx = fresh->rx;
		s->rx_has_mki = fresh->rx_has_mki;
		s->nsources = 0;
	}
	free(fresh);
}

/* ---- packets ---- */

size_t secure_seal(struct secure *s, uint8_t *p, size_t n)
{
	int len = (int)n;

	return s->tx && srtp_protect_mki(s->tx, p, &len, s->tx_has_mki, 0) == srtp_err_status_ok ? (size_t)len : 0;
}

size_t secure_seal_rtcp(struct secure *s, uint8_t *p, size_t n)
{
	int len = (int)n;

	return s->tx && srtp_protect_rtcp_mki(s->tx, p, &len, s->tx_has_mki, 0) == srtp_err_status_ok ? (size_t)len : 0;
}

static uint32_t ssrc_at(const uint8_t *p, size_t at)
{
	uint32_t ssrc;

	memcpy(&ssrc, p + at, sizeof(ssrc));
	return ssrc;
}

/* Returns the place that is free then. */
static unsigned forget_one(struct secure *s)
{
	unsigned i = SSRCS_MAX - 1;

	while (i && s->sources[i].has_gone_on)
		i--;
	if (s->sources[i].has_gone_on)
		i = SSRCS_MAX - 1;
	srtp_remove_stream(s->rx, s->sources[i].ssrc);
	return i;
}

/* A packet with this SSRC (in network order) was the peer's. */
static void remember(struct secure *s, uint32_t ssrc)
{
	struct source now = { .ssrc = ssrc };
	unsigned i = 0;

	while (i < s->nsources && s->sources[i].ssrc != ssrc)
		i++;
	if (i == 0 && s->nsources) {
		s->sources[0].has_gone_on = true;
		return;
	}
	now.has_gone_on = i < s->nsources;
	if (i == SSRCS_MAX)
		i = forget_one(s);
	else if (i == s->nsources)
		s->nsources++;
	memmove(s->sources + 1, s->sources, i * sizeof(now));
	s->sources[0] = now;
}

size_t secure_open(struct secure *s, uint8_t *p, size_t n)
{
	int len = (int)n;

	if (!s->rx || n < RTP_HEADER || srtp_unprotect_mki(s->rx, p, &len, s->rx_has_mki) != srtp_err_status_ok || len < RTP_HEADER)
		return 0;
	remember(s, ssrc_at(p, RTP_SSRC_AT));
	return (size_t)len;
}

size_t secure_open_rtcp(struct secure *s, uint8_t *p, size_t n)
{
	int len = (int)n;

	if (!s->rx || n < RTCP_HEADER || srtp_unprotect_rtcp_mki(s->rx, p, &len, s->rx_has_mki) != srtp_err_status_ok || len < RTCP_HEADER)
		return 0;
	remember(s, ssrc_at(p, RTCP_SSRC_AT));
	return (size_t)len;
}
