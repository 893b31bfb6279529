/* sip_fixture.h - a SIP stack without sockets, for unit tests: time, randomness and the network are the test's.
 *
 * What the stack would send is kept in order (fx->sent) with its time; what the peer says is fed by fx_receive(). Times are
 * ms since the start of the test.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/stack.h"

#define FX_SENT_MAX 256
#define FX_START_MS 1000000          /* any; not 0, so that nobody takes it for "none" */
#define FX_FOR_EVER_MS (10 * 64 * SIP_T1_MS)

struct fx_sent {
	struct sip_dest dest;
	char *bytes;
	size_t n;
	uint64_t at_ms;
};

struct fx {
	struct timers *timers;
	struct rng rng;
	struct clock clock;
	struct sip_stack *stack;
	struct sip_source src;       /* of what fx_receive() feeds */
	struct fx_sent sent[FX_SENT_MAX];
	unsigned nsent;
	int send_error;              /* what the network answers */
	uint64_t lost_flow;          /* a connection that is gone; 0: none */
	int busy;                    /* in a function of the stack that must not call back */

	unsigned nrequests, nacks, nstray;
	struct strans *st;           /* of the last request */
	void (*on_request)(struct fx *fx, struct strans *st, const struct sip_msg *m);
	char last_call_id[64];

	char in[SIP_MSG_MAX];
	struct sip_msg msg, parsed;
};

static inline uint64_t fx_now(const struct fx *fx)
{
	return timers_now(fx->timers) - FX_START_MS;
}

static inline uint64_t fx_mono_ms(void *arg)
{
	return timers_now(((struct fx *)arg)->timers);
}

static inline int64_t fx_wall_ms(void *arg)
{
	return (int64_t)fx_mono_ms(arg) + 1700000000000;
}

static inline int fx_send(const struct sip_dest *dest, struct str bytes, void *arg)
{
	struct fx *fx = arg;
	struct fx_sent *s = &fx->sent[fx->nsent];

	if (fx->send_error)
		return fx->send_error;
	if (fx->lost_flow && dest->flow == fx->lost_flow)
		return -ENOTCONN;
	assert_true(fx->nsent < FX_SENT_MAX);
	s->dest = *dest;
	s->bytes = malloc(bytes.n + 1);
	assert_non_null(s->bytes);
	memcpy(s->bytes, bytes.p, bytes.n);
	s->bytes[bytes.n] = '\0';
	s->n = bytes.n;
	s->at_ms = fx_now(fx);
	fx->nsent++;
	return 0;
}

static inline void fx_on_request(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct fx *fx = arg;

	assert_int_equal(fx->busy, 0);
	fx->nrequests++;
	fx->st = st;
	str_copy(m->call_id, fx->last_call_id, sizeof(fx->last_call_id));
	if (fx->on_request)
		fx->on_request(fx, st, m);
}

static inline void fx_on_ack(const struct sip_msg *m, const struct sip_source *src, void *arg)
{
	struct fx *fx = arg;

	(void)src;
	assert_int_equal(m->method, SIP_ACK);
	fx->nacks++;
}

static inline void fx_on_stray_2xx(const struct sip_msg *m, const struct sip_source *src, void *arg)
{
	struct fx *fx = arg;

	(void)src;
	assert_false(m->is_request);
	assert_int_equal(m->status / 100, 2);
	fx->nstray++;
}

static inline void fx_source(struct fx *fx, enum sip_proto proto, const char *host, uint16_t port)
{
	fx->src.proto = proto;
	fx->src.flow = proto == SIP_UDP ? 1 : 1001;
	assert_int_equal(sockaddr_parse(&fx->src.peer, str_from(host), port), 0);
	assert_int_equal(sockaddr_parse(&fx->src.local, STR("192.0.2.200"), 5060), 0);
}

static inline struct fx *fx_new(enum sip_proto proto)
{
	static const struct sip_stack_handler handler = {
		.on_request = fx_on_request, .on_ack = fx_on_ack, .on_stray_2xx = fx_on_stray_2xx,
	};
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->timers = timers_new(FX_START_MS);
	rng_init_fixed(&fx->rng, 42);
	fx->clock = (struct clock){ .mono_ms = fx_mono_ms, .wall_ms = fx_wall_ms, .arg = fx };
	fx_source(fx, proto, "192.0.2.10", 5062);
	{
		struct sip_stack_params p = {
			.timers = fx->timers, .rng = &fx->rng, .clock = &fx->clock, .server = "test", .send = fx_send,
			.send_arg = fx,
		};

		assert_int_equal(sip_stack_new(&fx->stack, &p, &handler, fx), 0);
	}
	return fx;
}

static inline void fx_forget_sent(struct fx *fx)
{
	while (fx->nsent)
		free(fx->sent[--fx->nsent].bytes);
}

static inline void fx_free(struct fx *fx)
{
	sip_stack_close(fx->stack);
	assert_int_equal(timers_count(fx->timers), 0);
	timers_free(fx->timers);
	fx_forget_sent(fx);
	free(fx);
}

static inline void fx_advance(struct fx *fx, uint64_t ms)
{
	timers_run(fx->timers, timers_now(fx->timers) + ms);
}

static inline void fx_receive_str(struct fx *fx, struct str text)
{
	struct sip_msg_error err;
	int bad;

	assert_in_range(text.n, 1, sizeof(fx->in));
	memcpy(fx->in, text.p, text.n);
	bad = sip_msg_parse(&fx->msg, fx->in, text.n, &err);
	if (bad && !err.status)
		fail_msg("the test's message isn't SIP: %.*s", STR_ARG(text));
	sip_stack_receive(fx->stack, &fx->msg, &err, &fx->src);
}

static inline void __attribute__((format(printf, 2, 3))) fx_receive(struct fx *fx, const char *fmt, ...)
{
	static char text[SIP_MSG_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	assert_in_range(n, 1, sizeof(text) - 1);
	fx_receive_str(fx, (struct str){ text, (size_t)n });
}

/* The i-th message sent, parsed (valid until the next call); -1 the last. */
static inline const struct sip_msg *fx_sent(struct fx *fx, int i)
{
	static char buf[SIP_MSG_MAX];
	const struct fx_sent *s = &fx->sent[i < 0 ? (int)fx->nsent + i : i];
	struct sip_msg_error err;

	assert_in_range(i < 0 ? -i : i + 1, 1, fx->nsent);
	memcpy(buf, s->bytes, s->n);
	if (sip_msg_parse(&fx->parsed, buf, s->n, &err) != 0)
		fail_msg("sent what doesn't parse (%s): %s", err.reason ? err.reason : "?", s->bytes);
	return &fx->parsed;
}

/* Methods and statuses of what was sent since `from`, as "INVITE ACK 200". */
static inline const char *fx_sent_text(struct fx *fx, unsigned from)
{
	static char text[4096];
	size_t n = 0;

	text[0] = '\0';
	for (unsigned i = from; i < fx->nsent; i++) {
		const struct sip_msg *m = fx_sent(fx, (int)i);

		if (m->is_request)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s", n ? " " : "", STR_ARG(m->method_name));
		else
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%d", n ? " " : "", m->status);
		assert_true(n < sizeof(text));
	}
	return text;
}
