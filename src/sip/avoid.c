/* avoid.c - a table by address, port and transport; what has run out goes when it is looked at, or when room is needed. */
#include "sip/avoid.h"

#include <errno.h>
#include <stdlib.h>

#include "base/table.h"

struct avoid_key {
	unsigned char addr[16];
	uint16_t port;
	uint8_t family, proto;
};

struct avoided {
	UT_hash_handle hh;       /* in the order they were added */
	struct avoid_key key;
	uint64_t until_ms;
};

struct avoid {
	struct avoided *all;
};

int avoid_new(struct avoid **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

static void drop(struct avoid *a, struct avoided *e)
{
	HASH_DEL(a->all, e);
	free(e);
}

void avoid_free(struct avoid *a)
{
	while (a && a->all)
		drop(a, a->all);
	free(a);
}

static struct avoid_key key_of(const struct sip_dest *dest)
{
	struct avoid_key k = {
		.port = sockaddr_port(&dest->addr), .family = (uint8_t)dest->addr.sa.sa_family, .proto = (uint8_t)dest->proto,
	};

	if (dest->addr.sa.sa_family == AF_INET6)
		memcpy(k.addr, &dest->addr.v6.sin6_addr, 16);
	else
		memcpy(k.addr, &dest->addr.v4.sin_addr, 4);
	return k;
}

static struct avoided *find(struct avoid *a, const struct sip_dest *dest)
{
	const struct avoid_key k = key_of(dest);
	struct avoided *e = NULL;

	if (a->all)
		HASH_FIND(hh, a->all, &k, sizeof(k), e);
	return e;
}

void avoid_add(struct avoid *a, const struct sip_dest *dest, uint64_t until_ms)
{
	struct avoided *e = find(a, dest);

	if (e) {
		e->until_ms = until_ms > e->until_ms ? until_ms : e->until_ms;
		return;
	}
	if (HASH_COUNT(a->all) >= AVOID_MAX)
		drop(a, a->all);
	e = calloc(1, sizeof(*e));
	if (!e)
		return; /* it will be tried, and fail, once more */
	e->key = key_of(dest);
	e->until_ms = until_ms;
	HASH_ADD(hh, a->all, key, sizeof(e->key), e);
	if (!e->hh.tbl)
		free(e);
}

void avoid_remove(struct avoid *a, const struct sip_dest *dest)
{
	struct avoided *e = find(a, dest);

	if (e)
		drop(a, e);
}

bool avoid_has(struct avoid *a, const struct sip_dest *dest, uint64_t now_ms)
{
	struct avoided *e = find(a, dest);

	if (e && e->until_ms <= now_ms) {
		drop(a, e);
		return false;
	}
	return e != NULL;
}

void avoid_sort(struct avoid *a, struct sip_dest *dests, unsigned n, uint64_t now_ms)
{
	for (unsigned i = 0, left = n; a->all && left > 0; left--) {
		if (avoid_has(a, &dests[i], now_ms)) {
			struct sip_dest last = dests[i];

			memmove(&dests[i], &dests[i + 1], (n - i - 1) * sizeof(dests[0]));
			dests[n - 1] = last;
		} else {
			i++;
		}
	}
}
