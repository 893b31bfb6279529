/* oa_secure.c - the security of a leg's audio in its descriptions (see oa_secure.h).
 *
 * An answer takes the first line of theirs that we can do: the order is theirs (RFC 4568 §7.1.2). In a session that has SRTP already it
 * is the line with the suite in use, if there still is one, so that a refresh changes nothing.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/base64.h"
#include "sdp/oa_int.h"

#define LIFETIME_BITS_MAX 48  /* of SRTP packets; RFC 3711 §9.2 */
#define LIFETIME_DIGITS_MAX 15
#define TAG_MAX 999999999u    /* RFC 4568 §9.1: up to nine digits */
#define KEY_TEXT_MAX 64       /* base64 of the longest key */

static const struct suite {
	const char *name;
	uint8_t key_len;
	bool is_offered;      /* the others are taken where they are offered to us */
} suites[] = {
	{ "AEAD_AES_128_GCM", 28, true },         /* RFC 7714; costs the least */
	{ "AEAD_AES_256_GCM", 44, true },
	{ "AES_CM_128_HMAC_SHA1_80", 30, true },  /* RFC 4568; everybody has it */
	{ "AES_CM_128_HMAC_SHA1_32", 30, true },
	{ "AES_256_CM_HMAC_SHA1_80", 46, false }, /* RFC 6188 */
	{ "AES_256_CM_HMAC_SHA1_32", 46, false },
};
_Static_assert(ARRAY_LEN(suites) == OA_SUITES, "a key for each");

/* ---- a=crypto ---- */

static int suite_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(suites); i++)
		if (str_ieqz(name, suites[i].name))
			return (int)i;
	return -1;
}

/* "2^20" or "1048576": how many packets the key is good for. We send none with theirs; it only has to be possible. */
static bool is_lifetime(struct str s)
{
	uint32_t n;

	if (s.n > 2 && s.p[0] == '2' && s.p[1] == '^')
		return str_to_u32(str_from_at(s, 2), LIFETIME_BITS_MAX, &n) == 0;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0 && s.n <= LIFETIME_DIGITS_MAX;
}

/* "1:4": a number, and in how many bytes it stands in each packet. */
static int parse_mki(struct oa_key *key, struct str s)
{
	struct str number = str_cut(&s, ':');
	uint32_t value, len;

	if (str_to_u32(number, UINT32_MAX, &value) != 0 || str_to_u32(s, 128, &len) != 0 || !len || (len < 4 && value >> 8 * len))
		return -EINVAL;
	if (len > OA_MKI_MAX)
		return -ENOTSUP;
	key->mki_len = (uint8_t)len;
	memset(key->mki, 0, sizeof(key->mki));
	for (uint32_t i = 0; i < len && i < 4; i++)
		key->mki[len - 1 - i] = (uint8_t)(value >> 8 * i);
	return 0;
}

/* inline:key||salt["|"lifetime]["|"MKI":"length] */
static int parse_key(struct oa_key *key, size_t len, struct str s)
{
	struct str method = str_cut(&s, ':'), text = str_cut(&s, '|'), part;
	uint8_t bytes[OA_KEY_MAX];
	ssize_t n;

	if (!str_ieqz(method, "inline"))
		return -ENOTSUP;
	n = base64_read(text, bytes, sizeof(bytes));
	if (n < 0 || (size_t)n != len)
		return -EINVAL;
	memcpy(key->key, bytes, len);
	key->mki_len = 0;
	if (!s.p)
		return 0;
	part = str_cut(&s, '|');
	if (str_find_chr(part, ':') < 0) {
		if (!is_lifetime(part))
			return -EINVAL;
		if (!s.p)
			return 0;
		part = s;
	} else if (s.p) {
		return -EINVAL;
	}
	return parse_mki(key, part);
}

/* With several keys the MKI tells which one a packet is of, so it stands in all of them, as long in each (§6.1). */
static int parse_keys(struct oa_crypto *c, struct str s)
{
	while (s.p) {
		int err;

		if (c->nkeys == OA_KEYS_MAX)
			return -ENOTSUP;
		err = parse_key(&c->keys[c->nkeys], suites[c->suite].key_len, str_cut(&s, ';'));
		if (err)
			return err;
		c->nkeys++;
		if (c->nkeys > 1 && (!c->keys[0].mki_len || c->keys[c->nkeys - 1].mki_len != c->keys[0].mki_len))
			return -EINVAL;
	}
	return c->nkeys ? 0 : -EINVAL;
}

/* Of the parameters, WSH is a hint that we follow by having a large window; one with "-" may be passed over (§6.3.7). KDR, UNENCRYPTED_...,
 * FEC_... change what the packets are. */
static int check_params(struct str s)
{
	while (s.p) {
		struct str param = str_cut(&s, ' ');

		if (param.n && param.p[0] != '-' && !str_istarts(param, STR("WSH=")))
			return -ENOTSUP;
	}
	return 0;
}

/* One space stands between them (§9.1), and some write more. */
static struct str cut_word(struct str *rest)
{
	*rest = str_trim(*rest);
	return str_cut(rest, ' ');
}

int oa_crypto_parse(struct oa_crypto *out, struct str value)
{
	struct oa_crypto c = { 0 };
	struct str rest = value, tag = cut_word(&rest), suite = cut_word(&rest), keys = cut_word(&rest);
	int err;

	if (str_to_u32(tag, TAG_MAX, &c.tag) != 0 || str_empty(suite) || str_empty(keys))
		return -EINVAL;
	c.suite = suite_find(suite);
	if (c.suite < 0)
		return -ENOTSUP;
	err = parse_keys(&c, keys);
	if (!err)
		err = check_params(rest);
	if (!err)
		*out = c;
	return err;
}

/* ---- profiles ---- */

enum oa_profile oa_profile_of(struct str proto)
{
	if (str_ieqz(proto, "RTP/AVP") || str_ieqz(proto, "RTP/AVPF"))
		return OA_PROFILE_PLAIN;
	if (str_ieqz(proto, "RTP/SAVP") || str_ieqz(proto, "RTP/SAVPF"))
		return OA_PROFILE_SECURE;
	/* RFC 5764 §8 */
	return str_ieqz(proto, "UDP/TLS/RTP/SAVP") || str_ieqz(proto, "UDP/TLS/RTP/SAVPF") ? OA_PROFILE_DTLS : OA_PROFILE_OTHER;
}

/* The line of m to take: that of suite (-1: none in use), else the first that can be. */
static bool choose_crypto(const struct sdp_media *m, int suite, struct oa_crypto *out)
{
	struct oa_crypto c;
	bool found = false;

	for (unsigned i = 0; i < m->nattrs; i++) {
		if (!str_eqz(m->attrs[i].name, "crypto") || oa_crypto_parse(&c, m->attrs[i].value) != 0)
			continue;
		if (!found || c.suite == suite)
			*out = c;
		found = true;
		if (suite < 0 || c.suite == suite)
			break;
	}
	return found;
}

static bool has_crypto(const struct sdp_media *m, const struct oa_local *l)
{
	struct oa_crypto c;

	return l->policy != OA_NEVER && l->sdes && choose_crypto(m, -1, &c);
}

bool oa_is_secure_enough(const struct sdp_media *m, const struct oa_local *l)
{
	switch (oa_profile_of(m->proto)) {
	case OA_PROFILE_PLAIN: return l->policy != OA_REQUIRE || has_crypto(m, l) || oa_dtls_can_answer(m, l);
	case OA_PROFILE_SECURE: return has_crypto(m, l) || oa_dtls_can_answer(m, l);
	case OA_PROFILE_DTLS: return oa_dtls_can_answer(m, l);
	default: return false;
	}
}

/* ---- the state of a leg ---- */

static struct oa_secure *state_of(struct oa_secure **sec)
{
	if (!*sec)
		*sec = calloc(1, sizeof(**sec));
	return *sec;
}

/* Ours for a suite, made when it is first asked for. */
static const uint8_t *key_of(struct oa_secure *sec, int suite, struct rng *rng)
{
	if (!sec->has_key[suite])
		rng_fill(rng, sec->keys[suite], suites[suite].key_len);
	sec->has_key[suite] = true;
	return sec->keys[suite];
}

static int suite_in_use(const struct oa_secure *sec)
{
	return sec && sec->agreed.suite ? suite_find(str_from(sec->agreed.suite)) : -1;
}

static void agree(struct oa_secure *sec, const struct oa_crypto *c)
{
	struct oa_srtp *a = &sec->agreed;

	memset(a, 0, sizeof(*a));
	/* A key that is no longer in use is never used again: its counters are gone (RFC 3711 §9.1). */
	memset(sec->has_key, 0, sizeof(sec->has_key));
	sec->has_key[c->suite] = true;
	a->suite = suites[c->suite].name;
	a->key_len = suites[c->suite].key_len;
	memcpy(a->ours.key, sec->keys[c->suite], a->key_len);
	a->ntheirs = c->nkeys;
	memcpy(a->theirs, c->keys, sizeof(a->theirs));
	sec->tag = c->tag;
}

const struct oa_srtp *oa_srtp(const struct oa *oa)
{
	return oa->secure && oa->secure->agreed.suite ? &oa->secure->agreed : NULL;
}

void oa_keys_none(struct oa_secure *sec)
{
	if (!sec)
		return;
	sec->agreed.suite = NULL;
	memset(sec->has_key, 0, sizeof(sec->has_key));
}

void oa_secure_none(struct oa *oa)
{
	oa_keys_none(oa->secure);
	oa_dtls_none(oa);
}

void oa_secure_begin(struct oa *oa)
{
	if (oa->secure)
		oa->secure->before = oa->secure->agreed;
	oa_dtls_begin(oa);
}

void oa_secure_rollback(struct oa *oa)
{
	if (oa->secure)
		oa->secure->agreed = oa->secure->before;
	oa_dtls_rollback(oa);
}

void oa_keys_free(struct oa_secure *sec)
{
	if (sec)
		explicit_bzero(sec, sizeof(*sec));
	free(sec);
}

void oa_secure_free(struct oa *oa)
{
	oa_dtls_free(oa);
	oa_keys_free(oa->secure);
	oa->secure = NULL;
}

/* ---- offers ---- */

enum way { WAY_NONE, WAY_SDES, WAY_DTLS };

/* Once a session is plain it stays so, unless they offer otherwise; once it is secure, it does, too, in the same way. Audio that was switched
 * off is neither: it begins anew. */
static enum way way_to_offer(const struct oa *oa, const struct oa_local *l)
{
	enum oa_profile profile = oa_profile_of(str_from(oa->proto));

	if (oa_dtls(oa) || oa_srtp(oa))
		return oa_dtls(oa) ? WAY_DTLS : WAY_SDES;
	if (oa->nsections && oa->is_complete && oa->agreed.has_audio && profile == OA_PROFILE_PLAIN)
		return WAY_NONE;
	if (profile == OA_PROFILE_DTLS)
		return WAY_DTLS;
	if (l->policy == OA_NEVER && profile == OA_PROFILE_PLAIN)
		return WAY_NONE;
	return l->offers_dtls ? WAY_DTLS : WAY_SDES;
}

bool oa_dtls_is_due(const struct oa *oa, const struct oa_local *l)
{
	return l->fingerprint && way_to_offer(oa, l) == WAY_DTLS;
}

int oa_keys_offer(struct oa_secure **state, const struct oa_local *l)
{
	struct oa_secure *sec = state_of(state);
	int in_use = suite_in_use(sec);

	if (!sec)
		return -ENOMEM;
	sec->noffered = 0;
	for (int i = 0; i < (int)ARRAY_LEN(suites); i++) {
		if (in_use >= 0 ? i != in_use : !suites[i].is_offered)
			continue;
		key_of(sec, i, l->rng);
		sec->offered[sec->noffered++] = i;
	}
	return 0;
}

int oa_secure_offer(struct oa *oa, const struct oa_local *l)
{
	enum way way = way_to_offer(oa, l);

	if (oa->secure)
		oa->secure->noffered = 0;
	oa_dtls_offer_none(oa);
	/* Not even an answer that passes over a=crypto may make it plain. */
	if (l->policy == OA_REQUIRE && way != WAY_DTLS && !oa_srtp(oa))
		memcpy(oa->proto, "RTP/SAVP", sizeof("RTP/SAVP"));
	if (way == WAY_DTLS && l->fingerprint)
		return oa_dtls_offer(oa, l);
	if (way == WAY_SDES && l->sdes)
		return oa_keys_offer(&oa->secure, l);
	return way != WAY_NONE && l->policy == OA_REQUIRE ? -EPROTONOSUPPORT : 0;
}

static void write_crypto(struct out *o, uint32_t tag, const struct oa_secure *sec, int suite)
{
	out_z(o, "a=crypto:");
	out_u64(o, tag);
	out_chr(o, ' ');
	out_z(o, suites[suite].name);
	out_z(o, " inline:");
	base64_write(o, sec->keys[suite], suites[suite].key_len);
	out_z(o, "\r\n");
}

void oa_keys_write(struct out *o, const struct oa_secure *sec, bool is_offer)
{
	if (!sec)
		return;
	if (!is_offer) {
		if (sec->agreed.suite)
			write_crypto(o, sec->tag, sec, suite_in_use(sec));
		return;
	}
	for (unsigned i = 0; i < sec->noffered; i++)
		write_crypto(o, i + 1, sec, sec->offered[i]);
}

void oa_secure_write(struct out *o, const struct oa *oa, const struct oa_local *l)
{
	oa_keys_write(o, oa->secure, oa->state != OA_REMOTE_OFFER);
	oa_dtls_write(o, oa, l);
}

/* ---- answers ---- */

bool oa_keys_can_answer(const struct sdp_media *m, const struct oa_local *l)
{
	return has_crypto(m, l);
}

int oa_keys_answer(struct oa_secure **state, const struct sdp_media *m, const struct oa_local *l)
{
	struct oa_secure *sec = state_of(state);
	struct oa_crypto c;

	if (!sec)
		return -ENOMEM;
	choose_crypto(m, suite_in_use(sec), &c);
	key_of(sec, c.suite, l->rng);
	agree(sec, &c);
	return 0;
}

/* Where both ways are open it is the one in use, else the keys, which cost no handshake. */
int oa_secure_answer(struct oa *oa, const struct sdp_media *m, const struct oa_local *l)
{
	bool has_keys = oa_profile_of(m->proto) != OA_PROFILE_DTLS && has_crypto(m, l), has_dtls = oa_dtls_can_answer(m, l);

	if (has_dtls && (!has_keys || oa_dtls(oa))) {
		oa_keys_none(oa->secure);
		return oa_dtls_answer(oa, m, l);
	}
	oa_dtls_none(oa);
	if (has_keys)
		return oa_keys_answer(&oa->secure, m, l);
	oa_keys_none(oa->secure);
	return 0;
}

/* Their answer names one of our lines, by tag and suite (RFC 4568 §7.1.3). */
static bool is_ours(const struct oa_secure *sec, const struct oa_crypto *c)
{
	return c->tag >= 1 && c->tag <= sec->noffered && sec->offered[c->tag - 1] == c->suite;
}

int oa_keys_take_answer(struct oa_secure *sec, const struct sdp_media *m)
{
	struct oa_crypto c;
	struct str value;

	if (!sec || !sec->noffered || !sdp_attr_find(m, "crypto", &value))
		return -ENOENT;
	if (oa_crypto_parse(&c, value) != 0 || !is_ours(sec, &c))
		return -EINVAL;
	agree(sec, &c);
	return 0;
}

static bool was_secure(const struct oa *oa)
{
	return oa->secure && oa->secure->before.suite;
}

int oa_secure_take_answer(struct oa *oa, const struct sdp_media *m)
{
	bool must = oa_profile_of(str_from(oa->proto)) != OA_PROFILE_PLAIN || oa_profile_of(m->proto) != OA_PROFILE_PLAIN;
	int err = oa_keys_take_answer(oa->secure, m);

	if (!err)
		oa_dtls_none(oa);
	if (err != -ENOENT)
		return err;
	if (oa_dtls_is_offered(oa) && sdp_attr_in_force(m, "fingerprint", NULL))
		return oa_dtls_take_answer(oa, m);
	/* Ours was an offer they may pass over (RFC 8643 §3.1), or one of a secure profile. A session that is secure doesn't become plain by an
	 * answer. */
	if (must || was_secure(oa) || oa_dtls_was_agreed(oa))
		return -EINVAL;
	oa_secure_none(oa);
	return 0;
}
