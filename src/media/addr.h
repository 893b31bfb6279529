/* addr.h - an IPv4 or IPv6 address with its port, in 28 bytes instead of the 128 of sockaddr_storage.
 *
 * Streams keep several of these each, and there are thousands of streams.
 *
 * Pure. Thread: any.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
};

static inline socklen_t addr_len(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

/* Host byte order; 0 for an unset address. */
static inline uint16_t addr_port(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return ntohs(a->v4.sin_port);
	return a->sa.sa_family == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

static inline void addr_set_port(struct addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET)
		a->v4.sin_port = htons(port);
	else if (a->sa.sa_family == AF_INET6)
		a->v6.sin6_port = htons(port);
}

/* An address that packets can be sent to: a family, a port, not the wildcard (which is how old SDP writes hold,
 * RFC 3264 §8.4) and nothing that is many peers: a call has one, and a network is no target for its sound. */
static inline bool addr_is_set(const struct addr *a)
{
	if (addr_port(a) == 0)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr != 0 && a->v4.sin_addr.s_addr != INADDR_BROADCAST &&
		       !IN_MULTICAST(ntohl(a->v4.sin_addr.s_addr));
	return !IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr) && !IN6_IS_ADDR_MULTICAST(&a->v6.sin6_addr);
}

static inline bool addr_same_host(const struct addr *a, const struct addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return a->sa.sa_family == AF_INET6 &&
	       memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
}

static inline bool addr_eq(const struct addr *a, const struct addr *b)
{
	return addr_same_host(a, b) && addr_port(a) == addr_port(b);
}

/* Any other family leaves *a unset. */
static inline void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa)
{
	memset(a, 0, sizeof(*a));
	if (sa && sa->sa_family == AF_INET)
		memcpy(&a->v4, sa, sizeof(a->v4));
	else if (sa && sa->sa_family == AF_INET6)
		memcpy(&a->v6, sa, sizeof(a->v6));
}

static inline void addr_to_storage(const struct addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	memcpy(ss, a, addr_len(a));
}
