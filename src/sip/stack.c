/* stack.c - which transaction does a message belong to? (RFC 3261 §17.1.3, §17.2.3, §18; RFC 6026)
 *
 * Everything received comes through sip_stack_receive(). What belongs to no transaction begins one (a request), goes up (the ACK of
 * a 2xx, a late 2xx) or is dropped and counted.
 */
#define LOG_MODULE "sip"
#include <errno.h>
#include <stdlib.h>

#include "sip/stack_int.h"

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

/* Answers without keeping anything: for requests too broken, or too cheap, for a transaction. */
static void reply_stateless(struct sip_stack *s, const struct sip_msg *m, const struct sip_source *src, int status, const char *reason)
{
	struct sip_reply r = { .status = status, .reason = reason, .hdrs = str_from(status == 503 ? "Retry-After: 10\r\n" : "") };
	struct sip_dest dest;
	char tag[17];
	struct out o;

	response_dest(&dest, m, src);
	rng_token(s->p.rng, tag, sizeof(tag) - 1);
	out_init_grow(&o, SIP_MSG_MAX);
	response_write(&o, s, m, src, &r, tag, STR_NULL);
	if (out_ok(&o))
		stack_send(s, &dest, out_view(&o), NULL);
	out_fini(&o);
}

/* §8.1.3.3: a response with a Via behind ours was meant for whoever that is. */
static bool is_astray(const struct sip_msg *m)
{
	struct sip_hdr_iter it = { 0 };
	struct str via;

	return sip_msg_element_next(m, SIP_HDR_VIA, &it, &via) && sip_msg_element_next(m, SIP_HDR_VIA, &it, &via);
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
	char key[SIP_KEY_MAX];
	int len = strans_key(m, SIP_INVITE, key);
	struct strans *st = len > 0 ? strans_find(s, key, (size_t)len) : NULL;

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

static void receive_cancel(struct sip_stack *s, struct sip_msg *m, const struct sip_source *src)
{
	char key[SIP_KEY_MAX];
	int len = strans_key(m, SIP_INVITE, key);
	struct strans *invite = len > 0 ? strans_find(s, key, (size_t)len) : NULL, *st;
	struct sip_reply r = { .status = invite ? 200 : 481, .to_tag = invite ? strans_to_tag(invite) : STR_NULL };

	if (!invite && is_too_much(s, m)) {
		s->n.shed++;
		reply_stateless(s, m, src, 481, NULL);
		return;
	}
	if (strans_new(&st, s, m, src) != 0)
		return;
	if (invite)
		strans_set_hdrs(st, strans_hdrs(invite));
	strans_reply(st, &r);
	strans_after_request(st);
	if (invite)
		strans_cancel(invite, m);
}

static void receive_request(struct sip_stack *s, struct sip_msg *m, const struct sip_source *src)
{
	char key[SIP_KEY_MAX];
	struct strans *st;
	int len;

	s->n.requests++;
	if (m->method == SIP_ACK) {
		receive_ack(s, m, src);
		return;
	}
	len = strans_key(m, m->method, key);
	if (len < 0) {
		reply_stateless(s, m, src, 400, "Via branch too long");
		return;
	}
	st = strans_find(s, key, (size_t)len);
	if (st) {
		strans_request_again(st);
		return;
	}
	if (m->method == SIP_CANCEL) {
		receive_cancel(s, m, src);
		return;
	}
	if (strans_is_merged(s, m)) {
		s->n.merged++;
		reply_stateless(s, m, src, 482, "Merged Request");
		return;
	}
	if (is_too_much(s, m)) {
		s->n.shed++;
		reply_stateless(s, m, src, 503, NULL);
		return;
	}
	if (strans_new(&st, s, m, src) != 0) {
		reply_stateless(s, m, src, 503, NULL);
		return;
	}
	s->h.on_request(st, strans_msg(st), s->arg);
	strans_after_request(st);
}

void sip_stack_receive(struct sip_stack *s, struct sip_msg *m, const struct sip_msg_error *err, const struct sip_source *src)
{
	if (err && err->status) {
		s->n.malformed++;
		if (m->is_request && m->method != SIP_ACK)
			reply_stateless(s, m, src, err->status, err->reason);
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
