/* overload.c - feedback on load in the Via: what it says, and what is held back for it.
 *
 * Loss: each new call is drawn for. What is drawn against is worked out from what went there in the last seconds, since calls in progress go on:
 * to send 20 % less where half of it are new calls, 40 % of those must go.
 * Rate: a leaky bucket (RFC 7415 §3.5.1). It begins half full by chance, so that many of us don't all fill it at once.
 */
#include "sip/overload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "sip/guard.h"

#define VALIDITY_DEFAULT_MS 500      /* RFC 7339 §4.3 */
#define VALIDITY_MAX_MS 600000       /* who sends nothing hears nothing newer: one slip mustn't shut a peer out for weeks */
#define VALIDITY_MS 1000             /* of what we say: it is said again in each response */
#define SHARE_MS 5000                /* so often what has been counted counts for half of it */
#define BURST 4                      /* requests that a bucket takes at once (TAU of RFC 7415) */
#define LOSS_MAX 95                  /* some get through, or nobody would hear that it is over */

enum algo { ALGO_NONE, ALGO_LOSS, ALGO_RATE };

struct peer_key { unsigned char host[16]; uint16_t port, family; };

struct overload_peer {
	UT_hash_handle hh;
	struct peer_key key;
	enum algo algo;
	uint32_t value;              /* per cent, or requests a second */
	uint64_t seq;                /* of what was said last */
	uint64_t until_ms;           /* it counts */
	uint64_t since_ms;           /* loss: of what is counted here */
	uint32_t all, new_calls;     /* loss: would have gone there */
	uint64_t filled_us, full_at_us; /* rate: how full the bucket was, when */
};

struct feedback { enum algo algo; uint32_t value, validity_ms; bool has_seq; uint64_t seq; };

static struct overload_peer *find(const struct overload *o, const union sockaddr_any *addr, struct peer_key *key)
{
	struct overload_peer *p;

	*key = (struct peer_key){ .port = sockaddr_port(addr), .family = addr->sa.sa_family == AF_INET6 };
	if (key->family)
		memcpy(key->host, &addr->v6.sin6_addr, sizeof(addr->v6.sin6_addr));
	else
		memcpy(key->host, &addr->v4.sin_addr, sizeof(addr->v4.sin_addr));
	HASH_FIND(hh, o->peers, key, sizeof(*key), p);
	return p;
}

static void forget(struct overload *o, struct overload_peer *p)
{
	HASH_DEL(o->peers, p);
	free(p);
}

void overload_fini(struct overload *o)
{
	struct overload_peer *p, *next;

	HASH_ITER(hh, o->peers, p, next)
		forget(o, p);
}

/* ---- as the one who sends ---- */

static bool draw(struct overload_peer *p, bool is_new_call, struct rng *rng, uint64_t now_ms)
{
	uint64_t percent;

	if (now_ms - p->since_ms >= SHARE_MS) {
		p->since_ms = now_ms;
		p->all /= 2;
		p->new_calls /= 2;
	}
	p->all++;
	if (!is_new_call)
		return true;
	p->new_calls++;
	percent = (uint64_t)p->value * p->all / p->new_calls;
	return rng_below(rng, 100) >= percent;
}

static bool pour(struct overload_peer *p, bool is_new_call, uint64_t now_ms)
{
	uint64_t now_us = now_ms * 1000, drop_us, gone_us = now_us - p->full_at_us, most_us;

	if (!p->value)
		return !is_new_call;
	drop_us = 1000000 / p->value;
	most_us = BURST * drop_us > 1000 ? BURST * drop_us : 1000; /* the clock goes by ms */
	p->filled_us -= gone_us < p->filled_us ? gone_us : p->filled_us;
	p->full_at_us = now_us;
	if (p->filled_us > most_us && is_new_call)
		return false;
	/* However many calls end at once, new ones aren't shut out for longer than it takes to send as many again. */
	if (p->filled_us < 4 * most_us)
		p->filled_us += drop_us;
	return true;
}

bool overload_admits(struct overload *o, const union sockaddr_any *peer, bool is_new_call, struct rng *rng, uint64_t now_ms)
{
	struct peer_key key;
	struct overload_peer *p = o->peers ? find(o, peer, &key) : NULL;

	if (!p)
		return true;
	if (now_ms >= p->until_ms) {
		forget(o, p);
		return true;
	}
	return p->algo == ALGO_RATE ? pour(p, is_new_call, now_ms) : draw(p, is_new_call, rng, now_ms);
}

/* "1282321615.782" (RFC 7339 §4.4: up to 12 digits, a point, up to 5): a number that compares as it does. */
static bool parse_seq(struct str value, uint64_t *out)
{
	unsigned whole = 0, part = 0;
	bool has_point = false;
	uint64_t n = 0;

	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == '.' && !has_point) {
			has_point = true;
			continue;
		}
		if (c < '0' || c > '9' || (has_point ? ++part > 5 : ++whole > 12))
			return false;
		n = n * 10 + (uint64_t)(c - '0');
	}
	for (; part < 5; part++)
		n *= 10;
	*out = n;
	return whole > 0;
}

static struct str unquote(struct str s)
{
	return s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"' ? (struct str){ s.p + 1, s.n - 2 } : s;
}

/* False: it says nothing, or nothing that we understand. */
static bool read_feedback(const struct sip_via *via, struct feedback *f)
{
	struct str value, algo = STR("loss"), validity, seq;

	*f = (struct feedback){ .validity_ms = VALIDITY_DEFAULT_MS };
	if (!sip_param_find(via->params, "oc", &value) || !value.n || str_to_u32(value, UINT32_MAX, &f->value) != 0)
		return false;
	sip_param_find(via->params, "oc-algo", &algo);
	algo = unquote(algo);
	f->algo = str_ieq(algo, STR("loss")) ? ALGO_LOSS : str_ieq(algo, STR("rate")) ? ALGO_RATE : ALGO_NONE;
	if (f->algo == ALGO_NONE || (f->algo == ALGO_LOSS && f->value > 100))
		return false;
	if (sip_param_find(via->params, "oc-validity", &validity) && str_to_u32(validity, UINT32_MAX, &f->validity_ms) != 0)
		return false;
	if (f->validity_ms > VALIDITY_MAX_MS)
		f->validity_ms = VALIDITY_MAX_MS;
	f->has_seq = sip_param_find(via->params, "oc-seq", &seq);
	return !f->has_seq || parse_seq(seq, &f->seq);
}

/* Those that have run out make room. NULL: there is none. */
static struct overload_peer *add(struct overload *o, const struct peer_key *key, uint64_t now_ms)
{
	struct overload_peer *p, *next;

	if (HASH_COUNT(o->peers) >= OVERLOAD_PEERS_MAX) {
		HASH_ITER(hh, o->peers, p, next)
			if (now_ms >= p->until_ms)
				forget(o, p);
		if (HASH_COUNT(o->peers) >= OVERLOAD_PEERS_MAX)
			return NULL;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->key = *key;
	HASH_ADD(hh, o->peers, key, sizeof(p->key), p);
	if (p->hh.tbl)
		return p;
	free(p);
	return NULL;
}

void overload_take(struct overload *o, const union sockaddr_any *peer, const struct sip_via *via, struct rng *rng, uint64_t now_ms)
{
	struct feedback f;
	struct peer_key key;
	struct overload_peer *p;
	bool is_over;

	if (!read_feedback(via, &f))
		return;
	p = find(o, peer, &key);
	is_over = p && now_ms >= p->until_ms;
	if (p && !is_over && f.has_seq && f.seq < p->seq)
		return; /* overtaken by another response */
	if (!f.validity_ms) {
		if (p)
			forget(o, p);
		return;
	}
	if (!p)
		p = add(o, &key, now_ms);
	if (!p)
		return;
	if (is_over || p->algo != f.algo) {
		p->algo = f.algo;
		p->since_ms = now_ms;
		p->all = p->new_calls = 0;
		p->full_at_us = now_ms * 1000;
		p->filled_us = f.value ? rng_below(rng, BURST + 1) * (uint64_t)(1000000 / f.value) / 2 : 0;
	}
	p->value = f.value;
	p->seq = f.has_seq ? f.seq : p->seq;
	p->until_ms = now_ms + f.validity_ms;
}

/* ---- as the one who is asked ---- */

unsigned overload_step(unsigned loss_percent, bool is_pressed)
{
	if (!is_pressed)
		return loss_percent - (loss_percent / 8 ? loss_percent / 8 : loss_percent > 0);
	loss_percent += (100 - loss_percent) / 8 + 1;
	return loss_percent < LOSS_MAX ? loss_percent : LOSS_MAX;
}

/* RFC 7339 §4.2: one list in quotes. Who offers none means loss, which all must know. */
static enum algo offered(const struct sip_via *via)
{
	struct str value, list, one;
	enum algo best = ALGO_NONE;

	if (!sip_param_find(via->params, "oc", &value) || value.n)
		return ALGO_NONE;
	if (!sip_param_find(via->params, "oc-algo", &list))
		return ALGO_LOSS;
	list = unquote(list);
	while (best != ALGO_LOSS && list.n) {
		one = str_trim(str_cut(&list, ','));
		if (str_ieq(one, STR("loss")))
			best = ALGO_LOSS;
		else if (str_ieq(one, STR("rate")))
			best = ALGO_RATE;
	}
	return best;
}

bool overload_is_offered(const struct sip_via *via)
{
	return offered(via) != ALGO_NONE;
}

void overload_print(struct out *o, const struct sip_via *via, unsigned loss_percent, uint64_t seq_ms)
{
	bool is_rate = offered(via) == ALGO_RATE;
	unsigned ms = (unsigned)(seq_ms % 1000);

	/* The rate is a part of what the guard holds each source to while there is too much. */
	out_z(o, ";oc=");
	out_u64(o, is_rate ? GUARD_RATE * (100 - loss_percent) / 100 : loss_percent);
	out_z(o, is_rate ? ";oc-algo=\"rate\";oc-validity=" : ";oc-algo=\"loss\";oc-validity=");
	out_u64(o, VALIDITY_MS);
	out_z(o, ";oc-seq=");
	out_u64(o, seq_ms / 1000);
	out_z(o, ms < 10 ? ".00" : ms < 100 ? ".0" : ".");
	out_u64(o, ms);
}
