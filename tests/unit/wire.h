/* wire.h - user agents joined in memory: what one sends another receives, over a wire that the test can cut.
 *
 * Time is the fake clock's and moves only in wire_until() and its like. Every packet leaves a step in the ladder: who sent what, as
 * "A INVITE" or "B 180 INVITE", with '!' behind it when the wire lost it and '~' when it is held back.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>
#include <cmocka.h>

#include "sip/ua.h"

#define WIRE_ENDS 4
#define WIRE_RULES 8
#define WIRE_PACKETS 64
#define WIRE_LADDER 16384

struct wire_end {
	struct wire *wire;
	struct sip_ua *ua;       /* NULL: a place the test speaks for itself */
	char name;
	union sockaddr_any addr; /* 127.0.0.1:5061 for A, 127.0.0.2:5062 for B ... */
	char last[8192];         /* what it sent last */
	enum sip_proto last_proto;
};

struct wire_packet {
	struct wire_end *from;
	union sockaddr_any to;
	enum sip_proto proto;
	char *bytes;
	size_t len;
	bool is_held;
};

struct wire {
	uint64_t now_ms;
	struct clock clock;
	struct rng rng;
	struct timers *timers;
	struct wire_end ends[WIRE_ENDS];
	struct {
		char from;
		const char *label;
		int count;
		bool is_hold;
	} rules[WIRE_RULES];
	struct wire_packet packets[WIRE_PACKETS];
	unsigned npackets;
	char ladder[WIRE_LADDER];
	char fork_to[WIRE_ENDS + 1]; /* packets to 127.0.0.9 go to all of these */
	unsigned loss_percent, double_percent;
	const char *needs;           /* every packet but a 100 must have this text; NULL: none */
};

static inline uint64_t wire_mono(void *arg)
{
	return ((struct wire *)arg)->now_ms;
}

static inline int64_t wire_wall(void *arg)
{
	return 1700000000000 + (int64_t)((struct wire *)arg)->now_ms;
}

static inline struct wire_end *wire_end(struct wire *w, char name)
{
	return &w->ends[name - 'A'];
}

/* "INVITE" or "180 INVITE". */
static inline void wire_label(const char *bytes, size_t len, char *label, size_t size)
{
	struct str all = { bytes, len }, first = str_cut(&all, ' ');

	if (!str_eqz(first, "SIP/2.0")) {
		snprintf(label, size, "%.*s", STR_ARG(first));
		return;
	}
	const char *cseq = memmem(bytes, len, "\r\nCSeq: ", 8);
	char method[32] = "?";
	if (cseq)
		sscanf(cseq + 8, "%*u %31[A-Z]", method);
	snprintf(label, size, "%.3s %s", all.p, method);
}

static inline void wire_step(struct wire *w, char from, const char *label, const char *mark)
{
	size_t n = strlen(w->ladder);

	snprintf(w->ladder + n, sizeof(w->ladder) - n, "%s%c %s%s", n ? ", " : "", from, label, mark);
}

static inline void wire_put(struct wire *w, struct wire_end *from, const struct sip_dest *dest, struct str bytes, bool is_held)
{
	struct wire_packet *p = &w->packets[w->npackets];

	assert_true(w->npackets < WIRE_PACKETS);
	*p = (struct wire_packet){ from, dest->addr, dest->proto, malloc(bytes.n + 1), bytes.n, is_held };
	memcpy(p->bytes, bytes.p, bytes.n);
	p->bytes[bytes.n] = '\0';
	w->npackets++;
}

static inline int wire_send(const struct sip_dest *dest, struct str bytes, void *arg)
{
	struct wire_end *from = arg;
	struct wire *w = from->wire;
	char label[64];
	bool is_lost = false, is_held = false;

	wire_label(bytes.p, bytes.n, label, sizeof(label));
	snprintf(from->last, sizeof(from->last), "%.*s", STR_ARG(bytes));
	from->last_proto = dest->proto;
	if (w->needs && strncmp(label, "100", 3) && !strstr(from->last, w->needs))
		fail_msg("without \"%s\": %s", w->needs, from->last);
	for (size_t i = 0; i < WIRE_RULES && !is_lost && !is_held; i++) {
		if (w->rules[i].count > 0 && w->rules[i].from == from->name && !strcmp(w->rules[i].label, label)) {
			w->rules[i].count--;
			is_held = w->rules[i].is_hold;
			is_lost = !is_held;
		}
	}
	if (w->loss_percent && rng_below(&w->rng, 100) < w->loss_percent)
		is_lost = true;
	wire_step(w, from->name, label, is_lost ? "!" : is_held ? "~" : "");
	if (is_lost)
		return 0;
	wire_put(w, from, dest, bytes, is_held);
	if (w->double_percent && rng_below(&w->rng, 100) < w->double_percent)
		wire_put(w, from, dest, bytes, false);
	return 0;
}

/* Hands bytes to an end as if they came from an address. */
static inline void wire_receive(struct wire_end *to, const union sockaddr_any *from, enum sip_proto proto, const char *bytes,
				size_t len)
{
	struct sip_source src = { .proto = proto, .peer = *from, .local = to->addr, .flow = 1 };
	struct sip_msg_error err = { 0 };
	struct sip_msg *m = malloc(sizeof(*m));
	char *copy = malloc(len + 1);

	memcpy(copy, bytes, len);
	copy[len] = '\0';
	int rc = sip_msg_parse(m, copy, len, &err);
	if (rc == 0 || err.status)
		sip_stack_receive(sip_ua_stack(to->ua), m, &err, &src);
	free(copy);
	free(m);
}

static inline void wire_deliver(struct wire *w, struct wire_packet *p)
{
	union sockaddr_any fork;

	sockaddr_parse(&fork, STR("127.0.0.9"), 5060);
	for (size_t i = 0; i < WIRE_ENDS; i++) {
		struct wire_end *e = &w->ends[i];
		bool is_to = sockaddr_eq(&e->addr, &p->to) || (sockaddr_eq(&fork, &p->to) && strchr(w->fork_to, e->name));
		if (is_to && e->ua)
			wire_receive(e, &p->from->addr, p->proto, p->bytes, p->len);
	}
	free(p->bytes);
}

/* Delivers what is under way and isn't held, with what comes of it, in no time. */
static inline void wire_flush(struct wire *w)
{
	bool again = true;

	while (again) {
		again = false;
		for (unsigned i = 0; i < w->npackets; i++) {
			if (w->packets[i].is_held)
				continue;
			struct wire_packet p = w->packets[i];
			memmove(&w->packets[i], &w->packets[i + 1], (--w->npackets - i) * sizeof(p));
			wire_deliver(w, &p);
			again = true;
			break;
		}
	}
}

/* Lets time pass until then, with all that happens meanwhile. */
static inline void wire_until(struct wire *w, uint64_t until)
{
	wire_flush(w);
	while (w->now_ms < until) {
		int64_t next = timers_next(w->timers);
		uint64_t step = next <= 0 ? 1 : (uint64_t)next;
		w->now_ms = w->now_ms + step < until ? w->now_ms + step : until;
		timers_run(w->timers, w->now_ms);
		wire_flush(w);
	}
}

static inline void wire_run(struct wire *w, uint64_t ms)
{
	wire_until(w, w->now_ms + ms);
}

/* What happens at once: packets under way, and what was put off by a timer of 0 ms (which fires in the next). */
static inline void wire_settle(struct wire *w)
{
	wire_run(w, 1);
}

/* The next `count` packets of this label from this end get lost, or are held until wire_release(). */
static inline void wire_rule(struct wire *w, char from, const char *label, int count, bool is_hold)
{
	for (size_t i = 0; i < WIRE_RULES; i++) {
		if (w->rules[i].count == 0) {
			w->rules[i].from = from;
			w->rules[i].label = label;
			w->rules[i].count = count;
			w->rules[i].is_hold = is_hold;
			return;
		}
	}
	fail();
}

static inline void wire_lose(struct wire *w, char from, const char *label, int count)
{
	wire_rule(w, from, label, count, false);
}

static inline void wire_hold(struct wire *w, char from, const char *label)
{
	wire_rule(w, from, label, 1, true);
}

static inline void wire_release(struct wire *w)
{
	for (unsigned i = 0; i < w->npackets; i++)
		w->packets[i].is_held = false;
	wire_settle(w);
}

#define assert_ladder(w, text) do { assert_string_equal((w)->ladder, (text)); (w)->ladder[0] = '\0'; } while (0)

/* The first nuas ends get a user agent. */
static inline struct wire *wire_new(unsigned nuas)
{
	struct wire *w = calloc(1, sizeof(*w));

	w->now_ms = 1000;
	w->clock = (struct clock){ wire_mono, wire_wall, w };
	rng_init_fixed(&w->rng, 4711);
	w->timers = timers_new(w->now_ms);
	for (unsigned i = 0; i < WIRE_ENDS; i++) {
		struct wire_end *e = &w->ends[i];
		char host[16];
		e->wire = w;
		e->name = (char)('A' + i);
		snprintf(host, sizeof(host), "127.0.0.%u", i + 1);
		assert_int_equal(sockaddr_parse(&e->addr, str_from(host), (uint16_t)(5061 + i)), 0);
		if (i >= nuas)
			continue;
		struct sip_ua_params p = {
			.stack = { .timers = w->timers, .rng = &w->rng, .clock = &w->clock, .server = "Cordboard",
				   .send = wire_send, .send_arg = e },
			.local = e->addr,
		};
		assert_int_equal(sip_ua_new(&e->ua, &p), 0);
	}
	return w;
}

static inline void wire_free(struct wire *w)
{
	for (unsigned i = 0; i < WIRE_ENDS; i++)
		sip_ua_close(w->ends[i].ua);
	for (unsigned i = 0; i < w->npackets; i++)
		free(w->packets[i].bytes);
	assert_int_equal(timers_count(w->timers), 0);
	timers_free(w->timers);
	free(w);
}

static inline struct sip_dest wire_dest(struct wire *w, char name)
{
	return (struct sip_dest){ .proto = SIP_UDP, .addr = wire_end(w, name)->addr };
}

/* The value of the first header line "name: value" in bytes an end sent; "" without. */
static inline const char *wire_header(const char *bytes, const char *name, char *buf, size_t size)
{
	char key[64];

	snprintf(key, sizeof(key), "\r\n%s: ", name);
	const char *at = strstr(bytes, key);
	buf[0] = '\0';
	if (at)
		snprintf(buf, size, "%.*s", (int)strcspn(at + strlen(key), "\r"), at + strlen(key));
	return buf;
}
