/* rtp_trace.c - chunks of packets become entries of the outbox (rtp_trace.h). */
#define LOG_MODULE "trace"
#include "call/rtp_trace.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/member.h"
#include "call/trace.h"
#include "media/dump.h"

#define DOC_MAX (DUMP_CHUNK * 2u)    /* base64, and two numbers a packet */

/* Whose packets they are is fixed when they are begun: the last come when the leg may be gone, or another call's. */
struct rtp_trace {
	struct calls *calls;
	struct leg *leg;             /* NULL: it has ended, or lets this one go */
	struct dump *dump;
	char call[CALL_ID_LEN + 1], domain[64];
	unsigned leg_id;
};

/* ---- from the stream ---- */

static void write_list(struct out *o, struct str key, const struct dump_chunk *c, bool is_len)
{
	out_str(o, key);
	out_chr(o, '[');
	for (unsigned i = 0; i < c->npackets; i++) {
		if (i)
			out_chr(o, ',');
		out_u64(o, is_len ? c->len[i] : c->at_us[i]);
	}
	out_z(o, "],");
}

static void on_chunk(struct dump *d, const struct dump_chunk *c, void *arg)
{
	const struct rtp_trace *t = arg;
	struct calls *cs = t->calls;
	struct out o;

	(void)d;
	if (!cs->p.outbox)
		return;
	out_init_grow(&o, DOC_MAX);
	out_chr(&o, '{');
	member_str(&o, KEY("call"), t->call);
	member_str(&o, KEY("domain"), t->domain);
	member_int(&o, KEY("leg"), t->leg_id);
	member_int(&o, KEY("started_us"), c->began_us);
	member_int(&o, KEY("dropped"), c->ndropped);
	write_list(&o, KEY("at_us"), c, false);
	write_list(&o, KEY("lengths"), c, true);
	out_z(&o, "\"bytes\":\"");
	base64_write(&o, (const char *)c->bytes, c->nbytes);
	out_z(&o, "\"}");
	out_chr(&o, '\0');
	if (!out_ok(&o) || outbox_add(cs->p.outbox, "rtp", o.p, NULL, NULL, NULL) != 0)
		log_error(cs->p.log, "call=%s leg=%u packets lost n=%u", t->call, t->leg_id, c->npackets);
	out_fini(&o);
}

static void on_end(struct dump *d, void *arg)
{
	struct rtp_trace *t = arg;

	(void)d;
	if (t->leg)
		t->leg->rtp_trace = NULL;
	free(t);
}

/* ---- legs ---- */

void rtp_trace_begin(struct leg *leg, const union sockaddr_any *local)
{
	static const struct dump_handler handler = { .on_chunk = on_chunk, .on_end = on_end };
	const struct call *call = leg->call;
	struct rtp_trace *t;

	if (leg->rtp_trace || !leg->stream || call->has_no_rtp_kept || trace_policy(call) != DIR_CAPTURE_RTP)
		return;
	t = calloc(1, sizeof(*t));
	if (!t)
		return;
	*t = (struct rtp_trace){ .calls = call->calls, .leg = leg, .leg_id = leg->id };
	str_put(t->call, sizeof(t->call), call->id);
	str_put(t->domain, sizeof(t->domain), call->domain);
	if (dump_start(&t->dump, leg->stream, &(struct dump_params){ .local = &local->sa, .bytes_max = RTP_TRACE_LEG_MAX }, &handler, t) != 0) {
		free(t);
		return;
	}
	leg->rtp_trace = t;
}

void rtp_trace_end(struct leg *leg)
{
	struct rtp_trace *t = leg->rtp_trace;

	if (!t)
		return;
	leg->rtp_trace = NULL;
	t->leg = NULL;
	dump_stop(t->dump);
}

static void begin_again(struct leg *leg)
{
	union sockaddr_any local;

	if (leg->session && leg->stream && session_local_addr(leg->session, &local) == 0)
		rtp_trace_begin(leg, &local);
}

void rtp_trace_moved(struct leg *leg)
{
	rtp_trace_end(leg);
	begin_again(leg);
}

void rtp_trace_follow(struct call *call, bool is_on)
{
	call->has_no_rtp_kept = !is_on;
	for (struct leg *leg = call->legs; leg; leg = leg->next) {
		if (is_on)
			begin_again(leg);
		else
			rtp_trace_end(leg);
	}
}
