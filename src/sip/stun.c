/* stun.c - one kind of request, without credentials: where does it come from? The answer is hardly longer than the request, so
 * that nobody gains by asking in another's name.
 */
#include "sip/stun.h"

#include <errno.h>

#define HEADER 20
#define COOKIE 0x2112a442u
#define BINDING_REQUEST 0x0001
#define BINDING_SUCCESS 0x0101
#define BINDING_ERROR 0x0111
#define ERROR_CODE 0x0009
#define UNKNOWN_ATTRIBUTES 0x000a
#define XOR_MAPPED_ADDRESS 0x0020
#define CLASS_ANSWER 0x0100          /* success and error have this bit, requests and indications don't */
#define FINGERPRINT 0x8028
#define FINGERPRINT_XOR 0x5354554eu
#define MUST_MAX 0x7fff              /* attributes up to here must be understood */

static unsigned get16(const unsigned char *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const unsigned char *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static unsigned char *put16(unsigned char *p, unsigned v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
	return p + 2;
}

static unsigned char *put32(unsigned char *p, uint32_t v)
{
	return put16(put16(p, v >> 16), v & 0xffff);
}

/* The CRC of ITU-T V.42, bit by bit: there are some hundred bytes a minute of it. */
static uint32_t crc32(const unsigned char *p, size_t n)
{
	uint32_t crc = 0xffffffff;

	while (n--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

/* Those that a phone may send: a server without credentials has nothing to do with them (§10). USERNAME, MESSAGE-INTEGRITY, REALM,
 * NONCE, and of ICE PRIORITY and USE-CANDIDATE. */
static bool is_understood(unsigned type)
{
	static const unsigned short known[] = { 0x0006, 0x0008, 0x0014, 0x0015, 0x0024, 0x0025 };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (type == known[i])
			return true;
	return type > MUST_MAX;
}

bool stun_is(const char *bytes, size_t n)
{
	const unsigned char *p = (const unsigned char *)bytes;

	return n >= HEADER && !(p[0] & 0xc0) && get32(p + 4) == COOKIE;
}

struct wishes { unsigned unknown; bool has_fingerprint; };

/* False when the attributes are broken. */
static bool read_attributes(const unsigned char *p, size_t n, struct wishes *w)
{
	size_t at = HEADER;

	*w = (struct wishes){ 0 };
	while (at < n) {
		unsigned type, len;

		if (n - at < 4 || w->has_fingerprint) /* which is the last (§15.5) */
			return false;
		type = get16(p + at);
		len = get16(p + at + 2);
		if (n - at - 4 < (len + 3u) / 4 * 4)
			return false;
		if (type == FINGERPRINT) {
			if (len != 4 || get32(p + at + 4) != (crc32(p, at) ^ FINGERPRINT_XOR))
				return false;
			w->has_fingerprint = true;
		} else if (!is_understood(type) && !w->unknown) {
			w->unknown = type;
		}
		at += 4 + (len + 3u) / 4 * 4;
	}
	return true;
}

static unsigned char *write_address(unsigned char *p, const unsigned char *request, const union sockaddr_any *from)
{
	bool is_v6 = from->sa.sa_family == AF_INET6;
	const unsigned char *host = is_v6 ? from->v6.sin6_addr.s6_addr : (const unsigned char *)&from->v4.sin_addr;
	unsigned n = is_v6 ? 16 : 4;

	p = put16(put16(p, XOR_MAPPED_ADDRESS), n + 4);
	p = put16(p, is_v6 ? 2 : 1);
	p = put16(p, sockaddr_port(from) ^ COOKIE >> 16);
	for (unsigned i = 0; i < n; i++) /* with the cookie and, of IPv6, the transaction id behind it */
		*p++ = host[i] ^ request[4 + i];
	return p;
}

static unsigned char *write_error(unsigned char *p, unsigned unknown)
{
	p = put16(put16(p, ERROR_CODE), 4);
	p = put32(p, 4 << 8 | 20);
	p = put16(put16(p, UNKNOWN_ATTRIBUTES), 2);
	return put16(put16(p, unknown), 0);
}

size_t stun_answer(const char *bytes, size_t n, const union sockaddr_any *from, char answer[STUN_ANSWER_MAX])
{
	const unsigned char *request = (const unsigned char *)bytes;
	unsigned char *start = (unsigned char *)answer, *p = start;
	struct wishes w;
	size_t len;

	if (!stun_is(bytes, n) || get16(request) != BINDING_REQUEST || get16(request + 2) != n - HEADER || n % 4 ||
	    !read_attributes(request, n, &w))
		return 0;
	p = put16(p, w.unknown ? BINDING_ERROR : BINDING_SUCCESS);
	p = put16(p, 0);
	memcpy(p, request + 4, HEADER - 4);
	p += HEADER - 4;
	p = w.unknown ? write_error(p, w.unknown) : write_address(p, request, from);
	len = (size_t)(p - start);
	if (w.has_fingerprint) {
		put16(start + 2, (unsigned)(len + 8 - HEADER));
		p = put16(put16(p, FINGERPRINT), 4);
		put32(p, crc32(start, len) ^ FINGERPRINT_XOR);
		return len + 8;
	}
	put16(start + 2, (unsigned)(len - HEADER));
	return len;
}

/* ---- asking ---- */

bool stun_is_answer(const char *bytes, size_t n)
{
	return stun_is(bytes, n) && get16((const unsigned char *)bytes) & CLASS_ANSWER;
}

void stun_request(const char id[STUN_ID_LEN], char request[STUN_REQUEST_LEN])
{
	unsigned char *p = (unsigned char *)request;

	p = put16(put16(p, BINDING_REQUEST), 0);
	p = put32(p, COOKIE);
	memcpy(p, id, STUN_ID_LEN);
}

static void read_address(const unsigned char *p, unsigned len, const unsigned char *answer, union sockaddr_any *out)
{
	unsigned char host[16];
	unsigned n = p[1] == 2 ? 16 : 4;

	if (len != n + 4 || (p[1] != 1 && p[1] != 2))
		return;
	for (unsigned i = 0; i < n; i++)
		host[i] = p[4 + i] ^ answer[4 + i];
	*out = (union sockaddr_any){ .sa.sa_family = n == 16 ? AF_INET6 : AF_INET };
	memcpy(n == 16 ? (void *)&out->v6.sin6_addr : (void *)&out->v4.sin_addr, host, n);
	sockaddr_set_port(out, (uint16_t)(get16(p + 2) ^ COOKIE >> 16));
}

int stun_read_answer(const char *bytes, size_t n, const char id[STUN_ID_LEN], union sockaddr_any *mapped)
{
	const unsigned char *p = (const unsigned char *)bytes;
	unsigned type;
	size_t at = HEADER;

	*mapped = (union sockaddr_any){ .sa.sa_family = 0 };
	if (!stun_is(bytes, n) || get16(p + 2) != n - HEADER)
		return -EINVAL;
	type = get16(p);
	if ((type != BINDING_SUCCESS && type != BINDING_ERROR) || memcmp(p + 8, id, STUN_ID_LEN) != 0)
		return -ENOENT;
	while (n - at >= 4) {
		unsigned len = get16(p + at + 2);

		if (n - at - 4 < (len + 3u) / 4 * 4)
			return -EINVAL;
		if (type == BINDING_SUCCESS && get16(p + at) == XOR_MAPPED_ADDRESS && len >= 4)
			read_address(p + at + 4, len, p, mapped);
		at += 4 + (len + 3u) / 4 * 4;
	}
	return at == n ? 0 : -EINVAL;
}
