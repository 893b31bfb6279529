/* gate.c - how many connections there may be, in all and from one address, and what those of one may hold of messages that are coming
 * in, so that one source can't shut out the others.
 *
 * An address has an entry for as long as it has a connection or holds something.
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
	size_t held;
};

struct gate {
	const struct log *log;
	struct gate_entry *entries;
	unsigned n, max, per_address;
	size_t held;
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
		if (!e->hh.tbl) {
			free(e);
			return false;
		}
	}
	e->n++;
	g->n++;
	return true;
}

static void forget(struct gate *g, struct gate_entry *e)
{
	if (e->n || e->held)
		return;
	HASH_DEL(g->entries, e);
	free(e);
}

void gate_leave(struct gate *g, const union sockaddr_any *peer)
{
	struct gate_key key;
	struct gate_entry *e = find(g, peer, &key);

	if (!e)
		return;
	g->n--;
	e->n--;
	forget(g, e);
}

/* A source has its part of what nobody holds: so however many hold all they can, some is left for the next. One message of one source
 * finds room as long as there is any. */
bool gate_hold(struct gate *g, const union sockaddr_any *peer, size_t n)
{
	struct gate_key key;
	struct gate_entry *e = find(g, peer, &key);
	size_t share = (HELD_MAX - g->held) / HELD_SHARE;

	if (!e || n > HELD_MAX - g->held || e->held + n > (share > HELD_LEAST ? share : HELD_LEAST))
		return false;
	e->held += n;
	g->held += n;
	return true;
}

void gate_give(struct gate *g, const union sockaddr_any *peer, size_t n)
{
	struct gate_key key;
	struct gate_entry *e = n ? find(g, peer, &key) : NULL;

	if (!e)
		return;
	e->held -= n;
	g->held -= n;
	forget(g, e);
}
