/* gate.c - how many connections there may be, in all and from one address, so that one source can't shut out the others.
 *
 * An address has an entry for as long as it has a connection.
 */
#define LOG_MODULE "transport"
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "sip/transport_int.h"

struct gate_key { unsigned char host[8]; unsigned char family; }; /* of IPv6 the network: a host has all of it */

struct gate_entry {
	UT_hash_handle hh;
	struct gate_key key;
	unsigned n;
};

struct gate {
	const struct log *log;
	struct gate_entry *entries;
	unsigned n, max, per_address;
	bool is_full_told;       /* once each time it fills up */
};

static unsigned default_max(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur / 2 >= CONNS_MAX)
		return CONNS_MAX;
	return (unsigned)(r.rlim_cur / 2);
}

static struct gate_entry *find(struct gate *g, const union sockaddr_any *peer, struct gate_key *key)
{
	struct gate_entry *e;

	*key = (struct gate_key){ .family = peer->sa.sa_family == AF_INET6 };
	if (key->family)
		memcpy(key->host, &peer->v6.sin6_addr, sizeof(key->host));
	else
		memcpy(key->host, &peer->v4.sin_addr, sizeof(peer->v4.sin_addr));
	HASH_FIND(hh, g->entries, key, sizeof(*key), e);
	return e;
}

int gate_new(struct gate **out, const struct log *log)
{
	struct gate *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->log = log;
	gate_limits(g, 0, 0);
	*out = g;
	return 0;
}

void gate_free(struct gate *g)
{
	struct gate_entry *e, *next;

	if (!g)
		return;
	HASH_ITER(hh, g->entries, e, next) {
		HASH_DEL(g->entries, e);
		free(e);
	}
	free(g);
}

void gate_limits(struct gate *g, unsigned conns, unsigned per_address)
{
	unsigned most = default_max();

	g->max = conns && conns < most ? conns : most;
	g->per_address = per_address ? per_address : CONNS_PER_ADDRESS_MAX;
}

bool gate_enter(struct gate *g, const union sockaddr_any *peer)
{
	struct gate_key key;
	struct gate_entry *e;

	if (g->n >= g->max) {
		if (!g->is_full_told)
			log_warn(g->log, "%u connections: no more are taken", g->n);
		g->is_full_told = true;
		return false;
	}
	g->is_full_told = false;
	e = find(g, peer, &key);
	if (e && e->n >= g->per_address)
		return false;
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			return false;
		e->key = key;
		HASH_ADD(hh, g->entries, key, sizeof(key), e);
	}
	e->n++;
	g->n++;
	return true;
}

void gate_leave(struct gate *g, const union sockaddr_any *peer)
{
	struct gate_key key;
	struct gate_entry *e = find(g, peer, &key);

	if (!e)
		return;
	g->n--;
	if (--e->n)
		return;
	HASH_DEL(g->entries, e);
	free(e);
}
