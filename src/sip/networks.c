/* networks.c - is an address in one of these networks? A list is short: it is walked. */
#include "sip/networks.h"

#include <errno.h>

static int parse_one(struct networks *out, struct str text)
{
	struct str rest = text, host = str_cut(&rest, '/');
	unsigned most;
	uint32_t bits;

	if (out->n == NETWORKS_MAX)
		return -ENOSPC;
	if (sockaddr_parse(&out->at[out->n].addr, host, 0) != 0)
		return -EINVAL;
	most = out->at[out->n].addr.sa.sa_family == AF_INET6 ? 128 : 32;
	bits = most;
	if (rest.p && str_to_u32(rest, most, &bits) != 0)
		return -EINVAL;
	out->at[out->n++].bits = bits;
	return 0;
}

int networks_parse(struct networks *out, struct str text)
{
	int err = 0;

	out->n = 0;
	while (text.n && !err) {
		struct str part = str_cut(&text, ',');

		while (part.n && !err) {
			struct str one = str_trim(str_cut(&part, ' '));

			err = one.n ? parse_one(out, one) : 0;
		}
	}
	return err;
}

static const unsigned char *bytes_of(const union sockaddr_any *a)
{
	return a->sa.sa_family == AF_INET6 ? a->v6.sin6_addr.s6_addr : (const unsigned char *)&a->v4.sin_addr;
}

static bool has_prefix(const unsigned char *a, const unsigned char *net, unsigned bits)
{
	unsigned rest = bits % 8;

	return memcmp(a, net, bits / 8) == 0 && (!rest || (a[bits / 8] ^ net[bits / 8]) >> (8 - rest) == 0);
}

bool networks_have(const struct networks *n, const union sockaddr_any *addr)
{
	for (unsigned i = 0; i < n->n; i++)
		if (n->at[i].addr.sa.sa_family == addr->sa.sa_family && has_prefix(bytes_of(addr), bytes_of(&n->at[i].addr), n->at[i].bits))
			return true;
	return false;
}
