/* srv.c - sorting by rank, then drawing by weight within a rank. */
#include "sip/srv.h"

/* Stable: records that don't differ stay as they came. */
static void sort(const struct dns_answer *a, uint32_t (*rank)(const struct dns_record *), uint8_t order[DNS_RECORDS_MAX])
{
	for (unsigned i = 0; i < a->n; i++) {
		unsigned at = i;

		while (at > 0 && rank(&a->records[order[at - 1]]) > rank(&a->records[i])) {
			order[at] = order[at - 1];
			at--;
		}
		order[at] = (uint8_t)i;
	}
}

static uint32_t srv_rank(const struct dns_record *r)
{
	/* Those without weight first among their equals: the running sum of RFC 2782 then gives them their small chance. */
	return (uint32_t)r->srv.priority << 1 | (r->srv.weight ? 1 : 0);
}

static uint32_t naptr_rank(const struct dns_record *r)
{
	return (uint32_t)r->naptr.order << 16 | r->naptr.preference;
}

/* The page's algorithm: a number from 0 to the sum of the weights, and the first record whose running sum reaches it. */
static unsigned draw(const struct dns_answer *a, const uint8_t *order, unsigned n, struct rng *rng)
{
	uint32_t sum = 0, running = 0, drawn;

	for (unsigned i = 0; i < n; i++)
		sum += a->records[order[i]].srv.weight;
	drawn = rng_below(rng, sum + 1);
	for (unsigned i = 0; i < n; i++) {
		running += a->records[order[i]].srv.weight;
		if (running >= drawn)
			return i;
	}
	return 0;
}

static void shuffle(const struct dns_answer *a, uint8_t *order, unsigned n, struct rng *rng)
{
	for (; n > 1; order++, n--) {
		unsigned i = draw(a, order, n, rng);
		uint8_t drawn = order[i];

		memmove(order + 1, order, i);
		order[0] = drawn;
	}
}

void srv_order(const struct dns_answer *a, struct rng *rng, uint8_t order[DNS_RECORDS_MAX])
{
	unsigned from = 0, to;

	sort(a, srv_rank, order);
	for (; rng && from < a->n; from = to) {
		for (to = from + 1; to < a->n && a->records[order[to]].srv.priority == a->records[order[from]].srv.priority;)
			to++;
		shuffle(a, order + from, to - from, rng);
	}
}

void naptr_order(const struct dns_answer *a, uint8_t order[DNS_RECORDS_MAX])
{
	sort(a, naptr_rank, order);
}
