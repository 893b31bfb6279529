/* lines.c - a table of held lines, filled from the live calls when one is first held and kept true by what the calls tell. */
#include "presence/lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/table.h"

#define LINGER_MS 1000  /* longer than the pace of NOTIFYs */
#define KEY_MAX 160

struct held {
	struct line line;       /* first: what is handed out */
	struct lines *of;
	unsigned refs;
	struct timer linger;
	UT_hash_handle hh;
	char domain[64], number[64];
	char key[KEY_MAX];
};

struct lines {
	struct calls *calls;
	struct timers *timers;
	struct held *held;
	unsigned nwatchers;
	bool is_stopped;
	struct {
		void (*fn)(const struct line *line, void *arg);
		void *arg;
	} watchers[LINES_WATCHERS_MAX];
};

static struct held *held_find(struct lines *ls, const char *domain, const char *number)
{
	struct held *h = NULL;
	char key[KEY_MAX];
	int n = str_join(key, sizeof(key), domain, '/', str_from(number));

	if (n > 0)
		HASH_FIND(hh, ls->held, key, (unsigned)n, h);
	return h;
}

/* What doesn't fit wasn't made by a phone: better unknown than wrong. */
static void copy(char *to, size_t size, struct str from)
{
	if (str_copy(from, to, size) != 0)
		to[0] = '\0';
}

static void take(struct line_dialog *d, const struct call_line *l)
{
	d->state = l->state;
	d->end = l->end;
	d->code = l->code;
	if (l->state == CALL_LINE_TERMINATED)
		return; /* the rest is as it was */
	if (!d->phone)
		d->phone = call_line_phone(l);
	d->is_initiator = l->is_initiator;
	copy(d->call_id, sizeof(d->call_id), l->call_id);
	copy(d->our_tag, sizeof(d->our_tag), l->our_tag);
	copy(d->phone_tag, sizeof(d->phone_tag), l->phone_tag);
	copy(d->peer_number, sizeof(d->peer_number), str_from(l->peer_number));
	copy(d->peer_name, sizeof(d->peer_name), str_from(l->peer_name));
}

static void on_linger(void *arg)
{
	struct held *h = arg;
	struct timers *timers = h->of->timers;
	struct line_dialog **at = &h->line.dialogs, *d;
	uint64_t now = timers_now(timers), next = UINT64_MAX;

	while ((d = *at)) {
		if (d->state == CALL_LINE_TERMINATED && d->gone_at_ms <= now) {
			*at = d->next;
			free(d);
			continue;
		}
		if (d->state == CALL_LINE_TERMINATED && d->gone_at_ms < next)
			next = d->gone_at_ms;
		at = &d->next;
	}
	if (next != UINT64_MAX)
		timer_start(timers, &h->linger, next - now);
}

/* True when anything has changed. */
static bool update(struct held *h, const struct call_line *l)
{
	struct timers *timers = h->of->timers;
	struct line_dialog *d, before;

	LL_SEARCH_SCALAR(h->line.dialogs, d, id, l->id);
	if (!d) {
		if (l->state == CALL_LINE_TERMINATED)
			return false;
		d = calloc(1, sizeof(*d));
		if (!d)
			return false;
		d->id = l->id;
		take(d, l);
		LL_APPEND(h->line.dialogs, d);
		return true;
	}
	if (d->state == CALL_LINE_TERMINATED)
		return false;
	before = *d;
	take(d, l);
	if (d->state == CALL_LINE_TERMINATED) {
		d->gone_at_ms = timers_now(timers) + LINGER_MS;
		if (!timer_is_running(&h->linger))
			timer_start(timers, &h->linger, LINGER_MS);
	}
	return before.state != d->state || strcmp(before.call_id, d->call_id) != 0 || strcmp(before.phone_tag, d->phone_tag) != 0 ||
	       strcmp(before.peer_number, d->peer_number) != 0 || strcmp(before.peer_name, d->peer_name) != 0;
}

static void on_line(const struct call_line *l, void *arg)
{
	struct lines *ls = arg;
	struct held *h = held_find(ls, l->domain, l->number);

	if (!h || !update(h, l))
		return;
	for (unsigned i = 0; i < ls->nwatchers; i++)
		ls->watchers[i].fn(&h->line, ls->watchers[i].arg);
}

static void on_line_now(const struct call_line *l, void *arg)
{
	update(arg, l);
}

const struct line *line_get(struct lines *ls, const char *domain, const char *number)
{
	struct held *h = held_find(ls, domain, number);

	if (h) {
		h->refs++;
		return &h->line;
	}
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->of = ls;
	h->refs = 1;
	timer_init(&h->linger, on_linger, h);
	str_put(h->domain, sizeof(h->domain), domain);
	str_put(h->number, sizeof(h->number), number);
	h->line.domain = h->domain;
	h->line.number = h->number;
	if (str_join(h->key, sizeof(h->key), domain, '/', str_from(number)) < 0) {
		free(h);
		return NULL;
	}
	HASH_ADD_STR(ls->held, key, h);
	if (!h->hh.tbl) {
		free(h);
		return NULL;
	}
	if (HASH_COUNT(ls->held) == 1)
		calls_watch(ls->calls, on_line, ls);
	calls_each_line(ls->calls, domain, number, on_line_now, h);
	return &h->line;
}

void line_put(struct lines *ls, const struct line *line)
{
	struct held *h = (struct held *)line; /* its first member */
	struct line_dialog *d, *next;

	if (--h->refs > 0)
		return;
	timer_stop(ls->timers, &h->linger);
	LL_FOREACH_SAFE(h->line.dialogs, d, next)
		free(d);
	HASH_DEL(ls->held, h);
	free(h);
	if (!ls->held && !ls->is_stopped)
		calls_watch(ls->calls, NULL, NULL);
}

bool line_is_busy(const struct line *line, uint64_t phone)
{
	for (const struct line_dialog *d = line->dialogs; d; d = d->next)
		if (d->state != CALL_LINE_TERMINATED && (!phone || d->phone == phone))
			return true;
	return false;
}

/* Bit 0 says that one is; each phone of the few that an extension has sets another. */
static uint64_t phone_bit(uint64_t phone)
{
	return (uint64_t)1 << (1 + phone % 63);
}

uint64_t line_busy_phones(const struct line *line)
{
	uint64_t sum = 0;

	for (const struct line_dialog *d = line->dialogs; d; d = d->next)
		if (d->state != CALL_LINE_TERMINATED)
			sum |= 1 | (d->phone ? phone_bit(d->phone) : 0);
	return sum;
}

int lines_new(struct lines **out, struct calls *calls, struct timers *timers)
{
	struct lines *ls = calloc(1, sizeof(*ls));

	if (!ls)
		return -ENOMEM;
	ls->calls = calls;
	ls->timers = timers;
	*out = ls;
	return 0;
}

void lines_watch(struct lines *ls, void (*fn)(const struct line *line, void *arg), void *arg)
{
	if (ls->nwatchers == LINES_WATCHERS_MAX)
		return;
	ls->watchers[ls->nwatchers].fn = fn;
	ls->watchers[ls->nwatchers++].arg = arg;
}

void lines_stop(struct lines *ls)
{
	struct held *h, *tmp;

	if (ls->is_stopped)
		return;
	ls->is_stopped = true;
	calls_watch(ls->calls, NULL, NULL);
	HASH_ITER(hh, ls->held, h, tmp)
		timer_stop(ls->timers, &h->linger);
}

void lines_free(struct lines *ls)
{
	free(ls);
}
