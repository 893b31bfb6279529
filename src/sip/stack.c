/* stack.c - which transaction does a message belong to? (RFC 3261 §17.1.3, §17.2.3, §18; RFC 6026)
 *
 * Everything received comes through sip_stack_receive(). What belongs to no transaction begins one (a request), goes up (the ACK of
 * a 2xx, a late 2xx) or is dropped and counted.
 */
#define LOG_MODULE "sip"
#include <errno.h>
#include <stdlib.h>

#include "sip/guard.h"
#include "sip/stack_int.h"

#define RETRY_AFTER_MIN_S 10
#define BYTES_STEPS 4 /* of what transactions may hold, the last such part is when less is asked for */

int stack_send(struct sip_stack *s, const struct sip_dest *dest, struct str bytes, uint64_t *flow)
{
	if (s->p.send)
		return s->p.send(dest, bytes, s->p.send_arg);
	return transport_send(s->transport, dest, bytes, flow);
}

int sip_stack_send_bytes(struct sip_stack *s, const struct sip_dest *dest, struct str bytes)
{
	return stack_send(s, dest, bytes, NULL);
}

static void on_stun(struct str answer, const struct sip_source *src, void *arg)
{
	struct sip_stack *s = arg;

	if (s->h.on_stun)
		s->h.on_stun(answer, src, s->arg);
}

/* The same each time for the same request (§8.2.7): it may come again. */
static void make_tag(const struct sip_stack *s, const struct sip_msg *m, char tag[17])
{
	const struct str parts[] = { m->via.branch, m->call_id, m->from.tag };
	uint64_t hashes[ARRAY_LEN(parts)], hash;
	struct out o;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		hashes[i] = hash_keyed(s->tag_key, parts[i].p, parts[i].n);
	hash = hash_keyed(s->tag_key, hashes, sizeof(hashes));
	out_init(&o, tag, 16);
	out_hex(&o, &hash, sizeof(hash));
	tag[16] = '\0';
}

/* Answers without keeping anything: for requests too broken, or too cheap, for a transaction. */
static void reply_stateless(struct sip_stack *s, const struct sip_msg *m, const struct sip_source *src, const struct sip_reply *r)
{
	static const struct response_hdrs none = { 0 };
	struct sip_dest dest;
	char tag[17];
	struct out o;

	response_dest(&dest, m, src);
	make_tag(s, m, tag);
	out_init_on(&o, s->scratch, sizeof(s->scratch), SIP_MSG_MAX);
	response_write(&o, s, m, src, r, tag, &none);
	if (out_ok(&o))
		stack_send(s, &dest, out_view(&o), NULL);
	out_fini(&o);
}

bool stack_is_worth_an_answer(const struct sip_stack *s, const struct sip_source *src)
{
	return guard_asks(s->transport ? transport_guard(s->transport) : s->p.guard, src);
}

/* Nobody has shown who sends it: a flood of it isn't answered for ever. */
static void reply_stranger(struct sip_stack *s, const struct sip_msg *m, const struct sip_source *src, int status, const char *reason)
{
	if (stack_is_worth_an_answer(s, src))
		reply_stateless(s, m, src, &(struct sip_reply){ .status = status, .reason = reason });
}

unsigned stack_loss(const struct sip_stack *s)
{
	size_t step = s->strans_bytes_max / BYTES_STEPS, free_bytes;
	unsigned loss = s->transport ? transport_loss(s->transport) : s->p.loss_percent, full = 0;

	if (s->strans_bytes > s->strans_bytes_max - step) {
		free_bytes = s->strans_bytes < s->strans_bytes_max ? s->strans_bytes_max - s->strans_bytes : 0;
		full = 95 - (unsigned)(95 * free_bytes / (step ? step : 1));
	}
	return loss > full ? loss : full;
}

/* Not all at once again. Who knows overload control is told by that, and must not take us for gone (RFC 7339 §5.10.2). */
static void refuse_busy(struct sip_stack *s, const struct sip_msg *m, const struct sip_source *src)
{
	char line[32];
	struct out o;

	s->n.shed++;
	out_init(&o, line, sizeof(line));
	if (!stack_loss(s) || !overload_is_offered(&m->via)) {
		out_z(&o, "Retry-After: ");
		out_u64(&o, RETRY_AFTER_MIN_S + rng_below(s->p.rng, RETRY_AFTER_MIN_S * 3));
		out_z(&o, "\r\n");
	}
	reply_stateless(s, m, src, &(struct sip_reply){ .status = 503, .hdrs = out_view(&o) });
}

/* §8.1.3.3: a response with a Via behind ours was meant for whoever that is. */
static bool is_astray(const struct sip_msg *m)
{
	struct sip_hdr_iter it = { 0 };
	struct str via;

	return m->has_more_vias && sip_msg_element_next(m, SIP_HDR_VIA, &it, &via) && sip_msg_element_next(m, SIP_HDR_VIA, &it, &via);
}

static void receive_response(struct sip_stack *s, struct sip_msg *m, const struct sip_source *src)
{
	struct ctrans *ct;
	bool is_ours;

	s->n.responses++;
	if (is_astray(m)) {
		s->n.stray_responses++;
		return;
	}
	ct = ctrans_find(s, m);
	is_ours = ct && !ctrans_is_detached(ct);
	if (ct)
		ctrans_receive(ct, m);
	else
		s->n.stray_responses++;
	if (is_ours)
		return;
	if (m->status / 100 == 2 && m->cseq.method == SIP_INVITE && s->h.on_stray_2xx)
		s->h.on_stray_2xx(m, src, s->arg);
}

static void receive_ack(struct sip_stack *s, struct sip_msg *m, const struct sip_source *src)
{
	struct strans_key key;
	struct strans *st = strans_key(s, m, SIP_INVITE, &key) == 0 ? strans_find(s, &key) : NULL;

	if (st && strans_ack(st))
		return;
	if (s->h.on_ack)
		s->h.on_ack(m, src, s->arg);
}

/* What would begin something is refused at no cost. What belongs to a dialog goes on, up to a limit of its own: a To tag is easily
 * made up. */
static bool is_too_much(const struct sip_stack *s, const struct sip_msg *m)
{
	return s->strans_bytes > (m->to.tag.n ? 2 * s->strans_bytes_max : s->strans_bytes_max);
}

static void receive_cancel(struct sip_stack *s, struct sip_msg *m, const struct sip_source *src, struct strans_keys *keys)
{
	struct strans_key key;
	struct strans *invite = strans_key(s, m, SIP_INVITE, &key) == 0 ? strans_find(s, &key) : NULL, *st;
	struct sip_msg *held;
	struct sip_reply r = { .status = 200, .to_tag = invite ? strans_to_tag(invite) : STR_NULL };

	if (!invite) {
		reply_stranger(s, m, src, 481, NULL);
		return;
	}
	strans_merge_key(s, m, &keys->merge);
	if (strans_new(&st, s, m, src, keys) != 0)
		return;
	held = sip_msg_hold(strans_msg(st)); /* the same once more */
	strans_set_hdrs(st, strans_hdrs(invite));
	strans_reply(st, &r);
	strans_after_request(st);
	strans_cancel(invite, held);
	sip_msg_release(held);
}

static bool is_answered_early(struct sip_stack *s, const struct sip_msg *m, const struct sip_source *src)
{
	struct sip_reply r = { 0 };
	enum sip_early early = s->h.on_early ? s->h.on_early(m, src, &r, s->arg) : SIP_EARLY_KEEP;

	if (early == SIP_EARLY_KEEP)
		return false;
	s->n.early++;
	if (early == SIP_EARLY_REPLY)
		reply_stateless(s, m, src, &r);
	return true;
}

static void receive_request(struct sip_stack *s, struct sip_msg *m, const struct sip_source *src)
{
	struct strans_keys keys;
	struct strans *st;

	s->n.requests++;
	if (m->method == SIP_ACK) {
		receive_ack(s, m, src);
		return;
	}
	if (strans_key(s, m, m->method, &keys.own) != 0) {
		reply_stranger(s, m, src, 400, "Via branch too long");
		return;
	}
	st = strans_find(s, &keys.own);
	if (st) {
		strans_request_again(st);
		return;
	}
	if (m->method == SIP_CANCEL) {
		receive_cancel(s, m, src, &keys);
		return;
	}
	strans_merge_key(s, m, &keys.merge);
	if (strans_is_merged(s, &keys.merge)) {
		s->n.merged++;
		reply_stranger(s, m, src, 482, "Merged Request");
		return;
	}
	if (is_answered_early(s, m, src))
		return;
	if (is_too_much(s, m) || strans_new(&st, s, m, src, &keys) != 0) {
		refuse_busy(s, m, src);
		return;
	}
	s->h.on_request(st, strans_msg(st), s->arg);
	strans_after_request(st);
}

void sip_stack_receive(struct sip_stack *s, struct sip_msg *m, const struct sip_msg_error *err, const struct sip_source *src)
{
	if (err && err->status == 503) { /* by the transport, that has too much to do */
		if (m->is_request)
			refuse_busy(s, m, src);
		return;
	}
	if (err && err->status) {
		s->n.malformed++;
		if (m->is_request && m->method != SIP_ACK)
			reply_stranger(s, m, src, err->status, err->reason);
		return;
	}
	if (m->is_request)
		receive_request(s, m, src);
	else
		receive_response(s, m, src);
}

static void on_message(struct sip_msg *m, const struct sip_msg_error *err, const struct sip_source *src, void *arg)
{
	sip_stack_receive(arg, m, err, src);
}

static void on_flow_closed(uint64_t flow, void *arg)
{
	struct sip_stack *s = arg;

	ctrans_flow_closed(s, flow);
	reroute_flow_closed(s, flow);
	if (s->h.on_flow_closed)
		s->h.on_flow_closed(flow, s->arg);
}

int sip_stack_new(struct sip_stack **out, const struct sip_stack_params *p, const struct sip_stack_handler *h, void *arg)
{
	static const struct transport_handler handler = { .on_message = on_message, .on_flow_closed = on_flow_closed, .on_stun = on_stun };
	struct sip_stack *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->p = *p;
	s->h = *h;
	s->arg = arg;
	s->strans_bytes_max = STRANS_BYTES_MAX;
	s->seq_ms = clock_wall_ms(p->clock) - (int64_t)clock_mono_ms(p->clock);
	rng_fill(p->rng, s->tag_key, sizeof(s->tag_key));
	if (p->loop) {
		err = transport_new(&s->transport, p->loop, p->log, &handler, s);
		if (err) {
			free(s);
			return err;
		}
	}
	*out = s;
	return 0;
}

void sip_stack_close(struct sip_stack *s)
{
	if (!s)
		return;
	ctrans_free_all(s);
	strans_free_all(s);
	reroute_free_all(s);
	overload_fini(&s->overload);
	transport_close(s->transport);
	free(s);
}

struct transport *sip_stack_transport(struct sip_stack *s)
{
	return s->transport;
}

const struct sip_stack_counters *sip_stack_counters(const struct sip_stack *s)
{
	return &s->n;
}
