/* stun_msg.c - STUN messages: a header, attributes of type, length and value padded to four bytes, and two that speak of all before them
 * as if they were the last (RFC 8489 §5, §14).
 */
#include "base/stun_msg.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define COOKIE 0x2112a442u
#define FINGERPRINT_XOR 0x5354554eu
#define FINGERPRINT_LEN 8
#define INTEGRITY_LEN 20
#define MUST_MAX 0x7fff /* attributes up to here must be understood */
#define ATTR_HEAD 4
#define INTEGRITY_BYTES_MAX 1280 /* no message of this size is anybody's (§6.1) */

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static size_t padded(size_t n)
{
	return (n + 3) / 4 * 4;
}

/* The CRC of ITU-T V.42, bit by bit: there are some hundred bytes a minute of it. */
static uint32_t crc32(const uint8_t *p, size_t n)
{
	uint32_t crc = 0xffffffff;

	while (n--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

/* ---- reading ---- */

bool stun_msg_is(const void *p, size_t n)
{
	const uint8_t *bytes = p;

	return n >= STUN_HEADER_LEN && !(bytes[0] & 0xc0) && get32(bytes + 4) == COOKIE;
}

static void note_unknown(struct stun_msg *m, unsigned type)
{
	/* Those that a client may send, though a server without accounts has nothing to do with them (§9.1.3), are no reason to refuse. */
	static const uint16_t known[] = { STUN_REALM, STUN_NONCE, STUN_MESSAGE_INTEGRITY_SHA256, STUN_USERHASH };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (type == known[i])
			return;
	if (type <= MUST_MAX && m->nunknown < STUN_UNKNOWN_MAX)
		m->unknown[m->nunknown++] = (uint16_t)type;
}

static int take_attribute(struct stun_msg *m, unsigned type, const uint8_t *value, size_t len)
{
	switch (type) {
	case STUN_USERNAME:
		if (!m->username.p)
			m->username = (struct str){ (const char *)value, len };
		return 0;
	case STUN_MESSAGE_INTEGRITY:
		m->integrity_at = (size_t)(value - m->bytes) - ATTR_HEAD;
		return len == INTEGRITY_LEN ? 0 : -EINVAL;
	case STUN_XOR_MAPPED_ADDRESS:
		m->mapped = value;
		m->mapped_len = len;
		return 0;
	case STUN_PRIORITY:
		m->has_priority = len == 4;
		m->priority = len == 4 ? get32(value) : 0;
		return len == 4 ? 0 : -EINVAL;
	case STUN_USE_CANDIDATE: m->use_candidate = true; return 0;
	case STUN_ICE_CONTROLLED: m->is_controlled = true; return len == 8 ? 0 : -EINVAL;
	case STUN_ICE_CONTROLLING: m->is_controlling = true; return len == 8 ? 0 : -EINVAL;
	default: note_unknown(m, type); return 0;
	}
}

int stun_msg_parse(struct stun_msg *out, const void *p, size_t n)
{
	struct stun_msg m = { .bytes = p, .len = n };
	size_t at = STUN_HEADER_LEN;

	if (!stun_msg_is(p, n) || get16(m.bytes + 2) != n - STUN_HEADER_LEN || n % 4)
		return -EINVAL;
	m.type = (uint16_t)get16(m.bytes);
	m.id = m.bytes + 8;
	while (at < n) {
		unsigned type, len;

		if (n - at < ATTR_HEAD || m.has_fingerprint) /* which is the last (§14.7) */
			return -EINVAL;
		type = get16(m.bytes + at);
		len = get16(m.bytes + at + 2);
		if (n - at - ATTR_HEAD < padded(len))
			return -EINVAL;
		if (type == STUN_FINGERPRINT) {
			if (len != 4 || get32(m.bytes + at + ATTR_HEAD) != (crc32(m.bytes, at) ^ FINGERPRINT_XOR))
				return -EINVAL;
			m.has_fingerprint = true;
		} else if (!m.integrity_at && take_attribute(&m, type, m.bytes + at + ATTR_HEAD, len) != 0) {
			return -EINVAL;
		}
		at += ATTR_HEAD + padded(len);
	}
	*out = m;
	return 0;
}

/* Over the n bytes at p as if the attribute to come were the last: the header's length counts it, and nothing behind it (§14.5). */
static bool make_integrity(const uint8_t *p, size_t n, struct str password, uint8_t mac[INTEGRITY_LEN])
{
	uint8_t copy[INTEGRITY_BYTES_MAX];
	unsigned len = INTEGRITY_LEN;

	if (n > sizeof(copy))
		return false;
	memcpy(copy, p, n);
	put16(copy + 2, (unsigned)(n - STUN_HEADER_LEN + ATTR_HEAD + INTEGRITY_LEN));
	return HMAC(EVP_sha1(), password.p, (int)password.n, copy, n, mac, &len) != NULL;
}

bool stun_msg_is_by(const struct stun_msg *m, struct str password)
{
	uint8_t mac[INTEGRITY_LEN];

	return m->integrity_at && make_integrity(m->bytes, m->integrity_at, password, mac) &&
	       CRYPTO_memcmp(mac, m->bytes + m->integrity_at + ATTR_HEAD, sizeof(mac)) == 0;
}

bool stun_msg_mapped(const struct stun_msg *m, struct sockaddr_storage *out)
{
	const uint8_t *value = m->mapped;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	uint8_t host[sizeof(v6->sin6_addr)];
	size_t n = m->mapped_len - ATTR_HEAD;
	in_port_t port;

	if (!value || m->mapped_len < ATTR_HEAD || n != (value[1] == 2 ? 16u : 4u) || (value[1] != 1 && value[1] != 2))
		return false;
	port = htons((uint16_t)(get16(value + 2) ^ COOKIE >> 16));
	for (size_t i = 0; i < n; i++) /* with the cookie and, of IPv6, the transaction id behind it */
		host[i] = value[ATTR_HEAD + i] ^ m->bytes[4 + i];
	memset(out, 0, sizeof(*out));
	if (n == sizeof(host)) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = port;
		memcpy(&v6->sin6_addr, host, n);
	} else {
		v4->sin_family = AF_INET;
		v4->sin_port = port;
		memcpy(&v4->sin_addr, host, n);
	}
	return true;
}

/* ---- writing ---- */

void stun_begin(struct stun_out *o, void *buf, size_t size, enum stun_type type, const void *id)
{
	*o = (struct stun_out){ .p = buf, .size = size };
	if (size < STUN_HEADER_LEN)
		return;
	put16(o->p, type);
	put16(o->p + 2, 0);
	put32(o->p + 4, COOKIE);
	memcpy(o->p + 8, id, STUN_ID_LEN);
	o->len = STUN_HEADER_LEN;
}

/* Room for a value of n bytes, zeroed; NULL: there is none. */
static uint8_t *add(struct stun_out *o, enum stun_attr type, size_t n)
{
	size_t need = ATTR_HEAD + padded(n);
	uint8_t *p = o->p + o->len;

	if (!o->len || need > o->size - o->len) {
		o->len = 0;
		return NULL;
	}
	put16(p, type);
	put16(p + 2, (unsigned)n);
	memset(p + ATTR_HEAD, 0, padded(n));
	o->len += need;
	put16(o->p + 2, (unsigned)(o->len - STUN_HEADER_LEN));
	return p + ATTR_HEAD;
}

void stun_add(struct stun_out *o, enum stun_attr type, const void *value, size_t n)
{
	uint8_t *p = add(o, type, n);

	if (p && n)
		memcpy(p, value, n);
}

void stun_add_u32(struct stun_out *o, enum stun_attr type, uint32_t value)
{
	uint8_t *p = add(o, type, 4);

	if (p)
		put32(p, value);
}

void stun_add_address(struct stun_out *o, const struct sockaddr *sa)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
	bool is_v6 = sa->sa_family == AF_INET6;
	const uint8_t *host = is_v6 ? v6->sin6_addr.s6_addr : (const uint8_t *)&v4->sin_addr;
	size_t n = is_v6 ? sizeof(v6->sin6_addr) : sizeof(v4->sin_addr);
	uint8_t *p = add(o, STUN_XOR_MAPPED_ADDRESS, ATTR_HEAD + n);

	if (!p)
		return;
	p[1] = is_v6 ? 2 : 1;
	put16(p + 2, ntohs(is_v6 ? v6->sin6_port : v4->sin_port) ^ COOKIE >> 16);
	for (size_t i = 0; i < n; i++)
		p[ATTR_HEAD + i] = host[i] ^ o->p[4 + i];
}

void stun_add_error(struct stun_out *o, unsigned code, const char *reason)
{
	size_t n = strlen(reason);
	uint8_t *p = add(o, STUN_ERROR_CODE, ATTR_HEAD + n);

	if (!p)
		return;
	p[2] = (uint8_t)(code / 100);
	p[3] = (uint8_t)(code % 100);
	memcpy(p + ATTR_HEAD, reason, n);
}

void stun_add_unknown(struct stun_out *o, const struct stun_msg *request)
{
	uint8_t *p = add(o, STUN_UNKNOWN_ATTRIBUTES, 2 * request->nunknown);

	for (unsigned i = 0; p && i < request->nunknown; i++)
		put16(p + 2 * i, request->unknown[i]);
}

void stun_add_integrity(struct stun_out *o, struct str password)
{
	uint8_t mac[INTEGRITY_LEN];

	if (!o->len || !make_integrity(o->p, o->len, password, mac)) {
		o->len = 0;
		return;
	}
	stun_add(o, STUN_MESSAGE_INTEGRITY, mac, sizeof(mac));
}

void stun_add_fingerprint(struct stun_out *o)
{
	size_t before = o->len;
	uint8_t *p = add(o, STUN_FINGERPRINT, 4); /* the header's length counts it, too (§14.7) */

	if (p)
		put32(p, crc32(o->p, before) ^ FINGERPRINT_XOR);
}
