/* guard.c - what is known of the sources of messages, in tables of a fixed size.
 *
 * Both tables are made of sets of four places, chosen by a keyed hash. All that is counted leaks: a level that rises with each event
 * and falls with time, so nothing has to be swept.
 */
#define LOG_MODULE "guard"
#include "sip/guard.h"

#include <errno.h>
#include <stdlib.h>

#include <utlist.h>

#include "base/out.h"
#include "base/table.h"

#define WAYS 4
#define SOURCE_SETS 8192
#define FLOW_SETS 16384
#define BANS_MAX 65536
#define PROVEN_S 3700                /* a little more than most registrations last */
#define BAN_MEMORY_MS 86400000u      /* good for so long, a source begins anew */
#define STRANGE_MAX 500              /* challenges without an answer: the phones of an office after a power cut */
#define STRANGE_RATE 20
#define STRANGE_PROVEN 10            /* times as much where phones are */
#define PROVEN_FAILURES 3            /* times as many */

/* Units in which levels are kept, so that a millisecond's share is a whole number. */
#define PER_SECOND 1000u
#define PER_MINUTE 60000u

struct leak { uint32_t level, at_ms; };

struct key { uint64_t host; uint64_t family; }; /* family 0: a free place */

struct source {                      /* a line of the cache */
	uint64_t host;               /* as in key */
	uint64_t banned_until_ms;
	struct leak said[2], asked[2]; /* by datagrams, on connections */
	struct leak failed;
	uint32_t proven_s;           /* 0: never */
	uint8_t family;
	uint8_t rule : 4, is_mixed : 4; /* rule of the address that was heard last; others of its network have another */
	uint16_t rules;              /* the generation that rule is of */
};
_Static_assert(sizeof(struct source) == 64, "a source fills a line");

struct flow { uint64_t id; struct leak failed; uint32_t proven_s, unused; };

struct ban {
	UT_hash_handle hh;
	struct ban *prev, *next;     /* among those that end, the oldest first */
	struct key key;
	struct guard_ban b;
};

struct guard {
	struct guard_params p;
	struct guard_limits limits;
	struct guard_handler h;
	void *arg;
	struct guard_counters n;
	bool is_pressed;
	uint16_t rules;
	struct source *last;         /* the one found last */
	struct ban *bans, *ending;   /* all; those of them that end, and may make room */
	unsigned nending;
	struct source sources[SOURCE_SETS][WAYS];
	struct flow flows[FLOW_SETS][WAYS];
};

/* ---- what leaks ---- */

static uint32_t leaked(const struct leak *l, uint64_t per_ms, uint64_t now_ms)
{
	uint64_t out = (uint64_t)((uint32_t)now_ms - l->at_ms) * per_ms;

	return l->level > out ? l->level - (uint32_t)out : 0;
}

/* One more, if there is room below max. */
static bool pour(struct leak *l, uint32_t unit, uint64_t per_ms, uint64_t max, uint64_t now_ms)
{
	uint32_t level = leaked(l, per_ms, now_ms);
	bool fits = (uint64_t)level + unit <= max * unit;

	l->level = fits ? level + unit : level;
	l->at_ms = (uint32_t)now_ms;
	return fits;
}

/* ---- sources ---- */

static struct key key_of(const union sockaddr_any *a)
{
	struct key k = { .family = a->sa.sa_family == AF_INET6 ? 6 : 4 };

	if (k.family == 6)
		memcpy(&k.host, &a->v6.sin6_addr, sizeof(k.host));
	else
		memcpy(&k.host, &a->v4.sin_addr, sizeof(a->v4.sin_addr));
	return k;
}

union sockaddr_any guard_source_of(const union sockaddr_any *addr)
{
	union sockaddr_any s;

	memset(&s, 0, sizeof(s)); /* all of it: it may be a key */
	s.sa.sa_family = addr->sa.sa_family;
	if (addr->sa.sa_family == AF_INET6)
		memcpy(&s.v6.sin6_addr, &addr->v6.sin6_addr, 8);
	else
		s.v4.sin_addr = addr->v4.sin_addr;
	return s;
}

static uint32_t seconds(uint64_t now_ms)
{
	return (uint32_t)(now_ms / 1000) + 1; /* 0 is never */
}

static bool is_proven(uint32_t proven_s, uint64_t now_ms)
{
	return proven_s && seconds(now_ms) - proven_s <= PROVEN_S;
}

static struct ban *find_ban(const struct guard *g, const struct key *key)
{
	struct ban *b;

	HASH_FIND(hh, g->bans, key, sizeof(*key), b);
	return b;
}

static uint32_t silence_ms(const struct source *s, uint64_t now_ms)
{
	uint32_t a = (uint32_t)now_ms - s->said[0].at_ms, b = (uint32_t)now_ms - s->said[1].at_ms;

	return a < b ? a : b;
}

/* Of those of whom nothing is known but that they spoke, else of all, the one silent for longest: who forges a million addresses
 * makes the guard forget neither phones nor who guesses passwords. */
static struct source *make_room(const struct guard *g, struct source set[WAYS], uint64_t now_ms)
{
	struct source *best = NULL;
	bool is_best_known = true;

	for (unsigned i = 0; i < WAYS; i++) {
		struct source *s = &set[i];
		bool is_known;

		if (!s->family)
			return s;
		is_known = leaked(&s->failed, g->limits.failures, now_ms) || is_proven(s->proven_s, now_ms);
		if (!best || is_known < is_best_known ||
		    (is_known == is_best_known && silence_ms(s, now_ms) > silence_ms(best, now_ms))) {
			best = s;
			is_best_known = is_known;
		}
	}
	return best;
}

static uint8_t rule_of(const struct guard *g, const union sockaddr_any *peer)
{
	return (uint8_t)(g->h.rule_of ? g->h.rule_of(peer, g->arg) : GUARD_ORDINARY) & 15;
}

static struct source *find_source(struct guard *g, const union sockaddr_any *peer, uint64_t now_ms)
{
	struct key key = key_of(peer);
	struct source *set, *s = g->last;
	const struct ban *b;
	bool is_new = true;

	if (s->host == key.host && s->family == key.family)
		is_new = false;
	set = is_new ? g->sources[hash_keyed(g->p.key, &key, sizeof(key)) % SOURCE_SETS] : NULL;
	for (unsigned i = 0; i < WAYS && is_new; i++)
		if (set[i].host == key.host && set[i].family == key.family) {
			s = &set[i];
			is_new = false;
		}
	if (is_new) {
		s = make_room(g, set, now_ms);
		*s = (struct source){ .host = key.host, .family = (uint8_t)key.family, .rules = (uint16_t)(g->rules - 1) };
		b = g->bans ? find_ban(g, &key) : NULL;
		s->banned_until_ms = b ? b->b.until_ms : 0;
	}
	if (s->rules != g->rules) {
		s->is_mixed = g->h.is_mixed && key.family == 6 && g->h.is_mixed(peer, g->arg);
		s->rule = rule_of(g, peer);
		s->rules = g->rules;
	} else if (s->is_mixed) {
		s->rule = rule_of(g, peer);
	}
	g->last = s;
	return s;
}

/* ---- flows ---- */

static uint64_t flow_id(const struct guard *g, const union sockaddr_any *peer, bool is_conn)
{
	unsigned char text[20] = { is_conn, peer->sa.sa_family == AF_INET6 };
	uint16_t port = sockaddr_port(peer);

	memcpy(text + 2, &port, 2);
	if (text[1])
		memcpy(text + 4, &peer->v6.sin6_addr, 16);
	else
		memcpy(text + 4, &peer->v4.sin_addr, 4);
	return hash_keyed(g->p.key, text, sizeof(text));
}

static struct flow *find_flow(struct guard *g, uint64_t id, uint64_t now_ms)
{
	struct flow *set = g->flows[id % FLOW_SETS];

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].id == id && is_proven(set[i].proven_s, now_ms))
			return &set[i];
	return NULL;
}

static void prove_flow(struct guard *g, uint64_t id, uint64_t now_ms)
{
	struct flow *set = g->flows[id % FLOW_SETS], *f = find_flow(g, id, now_ms);

	if (!f) {
		f = &set[0];
		for (unsigned i = 1; i < WAYS; i++)
			if (set[i].proven_s < f->proven_s)
				f = &set[i];
		*f = (struct flow){ .id = id };
	}
	f->proven_s = seconds(now_ms);
}

static bool is_kept_out(struct guard *g, const struct source *s, const union sockaddr_any *peer, bool is_conn, uint64_t now_ms)
{
	if (s->rule == GUARD_ALLOWED)
		return false;
	if (s->rule == GUARD_DENIED)
		return true;
	return s->banned_until_ms > now_ms && !find_flow(g, flow_id(g, peer, is_conn), now_ms);
}

/* ---- the door ---- */

enum guard_verdict guard_enter(struct guard *g, const union sockaddr_any *peer, bool is_conn)
{
	uint64_t now_ms;
	struct source *s;
	bool fits;

	if (!g)
		return GUARD_PASS;
	now_ms = g->p.now_ms(g->p.arg);
	s = find_source(g, peer, now_ms);
	fits = pour(&s->said[is_conn], PER_SECOND, g->limits.rate, g->limits.rate, now_ms);
	if ((s->banned_until_ms || s->rule != GUARD_ORDINARY) && is_kept_out(g, s, peer, is_conn, now_ms)) {
		g->n.banned++;
		return GUARD_BANNED;
	}
	if (fits || is_conn || !g->is_pressed || s->rule == GUARD_ALLOWED)
		return GUARD_PASS;
	g->n.late++;
	return GUARD_LATER;
}

bool guard_admits(struct guard *g, const union sockaddr_any *peer)
{
	uint64_t now_ms;

	if (!g)
		return true;
	now_ms = g->p.now_ms(g->p.arg);
	return !is_kept_out(g, find_source(g, peer, now_ms), peer, true, now_ms);
}

bool guard_asks(struct guard *g, const struct sip_source *src)
{
	uint32_t times;
	uint64_t now_ms;
	struct source *s;

	if (!g)
		return true;
	now_ms = g->p.now_ms(g->p.arg);
	s = find_source(g, &src->peer, now_ms);
	times = is_proven(s->proven_s, now_ms) ? STRANGE_PROVEN : 1;
	if (s->rule == GUARD_ALLOWED || pour(&s->asked[src->proto != SIP_UDP], PER_SECOND, times * STRANGE_RATE, times * STRANGE_MAX, now_ms))
		return true;
	g->n.unanswered++;
	return false;
}

void guard_proved(struct guard *g, const struct sip_source *src)
{
	uint64_t now_ms;
	struct source *s;
	struct leak *asked;

	if (!g)
		return;
	now_ms = g->p.now_ms(g->p.arg);
	s = find_source(g, &src->peer, now_ms);
	asked = &s->asked[src->proto != SIP_UDP];
	asked->level = asked->level > PER_SECOND ? asked->level - PER_SECOND : 0;
	s->proven_s = seconds(now_ms);
	prove_flow(g, flow_id(g, &src->peer, src->proto != SIP_UDP), now_ms);
}

bool guard_is_allowed(struct guard *g, const union sockaddr_any *peer)
{
	return g && find_source(g, peer, g->p.now_ms(g->p.arg))->rule == GUARD_ALLOWED;
}

void guard_press(struct guard *g, bool is_pressed)
{
	g->is_pressed = is_pressed;
}

/* ---- bans ---- */

/* It may not be among the sources that are known now. */
static void mark_source(struct guard *g, const struct key *key, uint64_t until_ms)
{
	struct source *set = g->sources[hash_keyed(g->p.key, key, sizeof(*key)) % SOURCE_SETS];

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].host == key->host && set[i].family == key->family) {
			set[i].banned_until_ms = until_ms;
			if (!until_ms)
				set[i].failed.level = 0;
		}
}

static bool is_ending(const struct ban *b)
{
	return b->b.until_ms != UINT64_MAX;
}

static void unlist(struct guard *g, struct ban *b)
{
	if (!is_ending(b))
		return;
	DL_DELETE(g->ending, b);
	g->nending--;
}

static void drop_ban(struct guard *g, struct ban *b)
{
	mark_source(g, &b->key, 0);
	unlist(g, b);
	HASH_DEL(g->bans, b);
	free(b);
}

static struct ban *new_ban(struct guard *g, const struct key *key)
{
	struct ban *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->key = *key;
	b->b.until_ms = UINT64_MAX; /* in no list yet */
	HASH_ADD(hh, g->bans, key, sizeof(b->key), b);
	if (!b->hh.tbl) {
		free(b);
		return NULL;
	}
	return b;
}

int guard_ban_put(struct guard *g, const struct guard_ban *ban)
{
	struct key key = key_of(&ban->source);
	struct ban *b = find_ban(g, &key);

	if (ban->source.sa.sa_family != AF_INET && ban->source.sa.sa_family != AF_INET6)
		return -EINVAL;
	if (!b)
		b = new_ban(g, &key);
	if (!b)
		return -ENOMEM;
	unlist(g, b);
	b->b = *ban;
	if (is_ending(b)) {
		DL_APPEND(g->ending, b);
		if (++g->nending > BANS_MAX)
			drop_ban(g, g->ending);
	}
	mark_source(g, &key, ban->until_ms);
	return 0;
}

void guard_ban_remove(struct guard *g, const union sockaddr_any *source)
{
	struct key key = key_of(source);
	struct ban *b = find_ban(g, &key);

	if (b)
		drop_ban(g, b);
}

const struct guard_ban *guard_ban_find(const struct guard *g, const union sockaddr_any *source)
{
	struct key key = key_of(source);
	const struct ban *b = find_ban(g, &key);

	return b ? &b->b : NULL;
}

void guard_ban_each(const struct guard *g, void (*fn)(const struct guard_ban *ban, void *arg), void *arg)
{
	for (const struct ban *b = g->bans; b; b = b->hh.next)
		fn(&b->b, arg);
}

unsigned guard_bans(const struct guard *g)
{
	return HASH_COUNT(g->bans);
}

/* Doubled each time, up to the longest. */
static uint64_t ban_ms(const struct guard *g, uint32_t times)
{
	uint64_t ms = (uint64_t)g->limits.ban_first_s * 1000, longest = (uint64_t)g->limits.ban_longest_s * 1000;

	while (--times && ms < longest)
		ms *= 2;
	return ms < longest ? ms : longest;
}

static void write_account(char *to, size_t size, struct str user, struct str realm)
{
	struct out o;

	out_init(&o, to, size - 1);
	out_mem(&o, user.p, user.n < 64 ? user.n : 64);
	out_chr(&o, '@');
	out_mem(&o, realm.p, realm.n < 30 ? realm.n : 30);
	for (size_t i = 0; i < o.len; i++)
		if (to[i] < ' ' || to[i] > '~')
			to[i] = '?';
	to[o.len] = '\0';
}

static void pronounce(struct guard *g, const struct sip_source *src, struct str user, struct str realm, uint64_t now_ms)
{
	struct guard_ban ban = { .source = guard_source_of(&src->peer), .times = 1, .failures = g->limits.failures + 1 };
	const struct guard_ban *was = guard_ban_find(g, &ban.source);

	if (was && (was->until_ms > now_ms || now_ms - was->until_ms < BAN_MEMORY_MS)) {
		ban.times += was->times;
		ban.failures += was->failures;
	}
	ban.for_ms = ban_ms(g, ban.times);
	ban.until_ms = now_ms + ban.for_ms;
	write_account(ban.account, sizeof(ban.account), user, realm);
	g->n.bans++;
	if (guard_ban_put(g, &ban) == 0 && g->h.on_ban)
		g->h.on_ban(&ban, g->arg);
}

void guard_failed(struct guard *g, const struct sip_source *src, struct str user, struct str realm)
{
	bool is_conn = src->proto != SIP_UDP, is_banned;
	uint32_t per_ms, most;
	struct source *s;
	struct flow *f;
	uint64_t now_ms;

	if (!g)
		return;
	now_ms = g->p.now_ms(g->p.arg);
	s = find_source(g, &src->peer, now_ms);
	g->n.failures++;
	if (s->rule == GUARD_ALLOWED)
		return;
	per_ms = g->limits.failures;
	f = find_flow(g, flow_id(g, &src->peer, is_conn), now_ms);
	if (f && !pour(&f->failed, PER_MINUTE, per_ms, g->limits.failures, now_ms))
		f->proven_s = 0;
	most = g->limits.failures * (is_proven(s->proven_s, now_ms) ? PROVEN_FAILURES : 1);
	is_banned = s->banned_until_ms > now_ms;
	if (pour(&s->failed, PER_MINUTE, per_ms, most, now_ms) || is_banned)
		return;
	s->failed.level = 0;
	pronounce(g, src, user, realm, now_ms);
}

/* ---- the whole ---- */

void guard_limit(struct guard *g, const struct guard_limits *l)
{
	g->limits = (struct guard_limits){
		.rate = l->rate ? l->rate : GUARD_RATE,
		.failures = l->failures ? l->failures : GUARD_FAILURES,
		.ban_first_s = l->ban_first_s ? l->ban_first_s : GUARD_BAN_FIRST_S,
		.ban_longest_s = l->ban_longest_s ? l->ban_longest_s : GUARD_BAN_LONGEST_S,
	};
}

int guard_new(struct guard **out, const struct guard_params *p)
{
	struct guard *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->p = *p;
	g->last = &g->sources[0][0];
	guard_limit(g, &(struct guard_limits){ 0 });
	*out = g;
	return 0;
}

void guard_free(struct guard *g)
{
	struct ban *b, *next;

	if (!g)
		return;
	HASH_ITER(hh, g->bans, b, next) {
		HASH_DEL(g->bans, b);
		free(b);
	}
	free(g);
}

void guard_handle(struct guard *g, const struct guard_handler *h, void *arg)
{
	g->h = h ? *h : (struct guard_handler){ 0 };
	g->arg = arg;
	guard_rules_changed(g);
}

void guard_rules_changed(struct guard *g)
{
	g->rules++;
}

uint64_t guard_now_ms(const struct guard *g)
{
	return g->p.now_ms(g->p.arg);
}

const struct guard_counters *guard_counters(const struct guard *g)
{
	return &g->n;
}
