/* ctrans.c - client transactions: RFC 3261 figures 5 and 6, with RFC 6026's Accepted state.
 *
 * One table gives the next state for (kind, state, event); ctrans_event() is the only place that changes the state. The request is
 * kept as bytes: for retransmission, and to make ACK and CANCEL, which copy parts of it.
 */
#define LOG_MODULE "ctrans"
#include <errno.h>
#include <stdlib.h>

#include "sip/resolve.h"
#include "sip/stack_int.h"

#define UDP_REQUEST_MAX 1300 /* RFC 3261 §18.1.1, where the path's MTU isn't known */
#define NO_TCP_S 600         /* who has none isn't asked again so soon */
#define TCP_PATIENCE_MS 3000 /* for what went by TCP for its size: a firewall may drop what a host would refuse */

enum st { ST_BAD, ST_CALLING, ST_TRYING, ST_PROCEEDING, ST_COMPLETED, ST_ACCEPTED, ST_TERMINATED, ST_COUNT };
enum ev { EV_1XX, EV_2XX, EV_3XX_6XX, EV_TIMER_AE, EV_TIMER_BF, EV_TIMER_END, EV_TRANSPORT, EV_COUNT };

static const enum st invite_next[ST_COUNT][EV_COUNT] = {
	[ST_CALLING] = { [EV_1XX] = ST_PROCEEDING, [EV_2XX] = ST_ACCEPTED, [EV_3XX_6XX] = ST_COMPLETED, [EV_TIMER_AE] = ST_CALLING,
			 [EV_TIMER_BF] = ST_TERMINATED, [EV_TRANSPORT] = ST_TERMINATED },
	/* Timer B runs here only after a CANCEL (§9.1), or when nobody waits any more. Nothing is sent here: that the connection has ended is lose_flow()'s. */
	[ST_PROCEEDING] = { [EV_1XX] = ST_PROCEEDING, [EV_2XX] = ST_ACCEPTED, [EV_3XX_6XX] = ST_COMPLETED,
			    [EV_TIMER_BF] = ST_TERMINATED },
	/* An ACK that can't be sent ends nothing: when the response comes again it is tried again. */
	[ST_COMPLETED] = { [EV_1XX] = ST_COMPLETED, [EV_3XX_6XX] = ST_COMPLETED, [EV_TIMER_END] = ST_TERMINATED /* D */ },
	[ST_ACCEPTED] = { [EV_1XX] = ST_ACCEPTED, [EV_2XX] = ST_ACCEPTED, [EV_TIMER_END] = ST_TERMINATED /* M */ },
};
static const enum st other_next[ST_COUNT][EV_COUNT] = {
	[ST_TRYING] = { [EV_1XX] = ST_PROCEEDING, [EV_2XX] = ST_COMPLETED, [EV_3XX_6XX] = ST_COMPLETED, [EV_TIMER_AE] = ST_TRYING,
			[EV_TIMER_BF] = ST_TERMINATED, [EV_TRANSPORT] = ST_TERMINATED },
	[ST_PROCEEDING] = { [EV_1XX] = ST_PROCEEDING, [EV_2XX] = ST_COMPLETED, [EV_3XX_6XX] = ST_COMPLETED, [EV_TIMER_AE] = ST_PROCEEDING,
			    [EV_TIMER_BF] = ST_TERMINATED, [EV_TRANSPORT] = ST_TERMINATED },
	[ST_COMPLETED] = { [EV_1XX] = ST_COMPLETED, [EV_2XX] = ST_COMPLETED, [EV_3XX_6XX] = ST_COMPLETED,
			   [EV_TIMER_END] = ST_TERMINATED /* K */ },
};

struct ctrans {
	UT_hash_handle hh;
	struct sip_stack *stack;
	const struct ctrans_handler *h;
	void *arg;
	struct sip_dest dest;
	uint64_t flow;             /* the connection it went by */
	enum st state;
	bool is_invite, wants_cancel, is_cancelled;
	bool is_heard, is_proven;  /* a response has come; one that a server in order gives */
	bool is_large;             /* goes by TCP for its size alone */
	bool has_lost_flow;        /* the connection it went by has ended */
	bool offers_oc;            /* overload.h */
	uint32_t patience_ms;      /* 0: none */
	uint64_t udp_flow;         /* of dest when it goes by UDP after all */
	size_t via_at;             /* of the transport's name in the Via, in request */
	uint32_t a_ms;
	struct timer timer_ae, timer_bf, timer_end;
	char *request, *cancel_hdrs;
	size_t request_len;
	unsigned key_len;
	char key[];                /* branch, space, method */
};

static void ctrans_event(struct ctrans *ct, enum ev ev, const struct sip_msg *m);

static void on_timer_ae(void *arg) { ctrans_event(arg, EV_TIMER_AE, NULL); }
static void on_timer_bf(void *arg) { ctrans_event(arg, EV_TIMER_BF, NULL); }
static void on_timer_end(void *arg);

static void ctrans_free(struct ctrans *ct)
{
	struct sip_stack *s = ct->stack;

	timer_stop(s->p.timers, &ct->timer_ae);
	timer_stop(s->p.timers, &ct->timer_bf);
	timer_stop(s->p.timers, &ct->timer_end);
	HASH_DEL(s->ctrans, ct);
	s->n.ctrans_live--;
	free(ct->request);
	free(ct->cancel_hdrs);
	free(ct);
}

void ctrans_free_all(struct sip_stack *s)
{
	struct ctrans *ct, *next;

	HASH_ITER(hh, s->ctrans, ct, next)
		ctrans_free(ct);
}

/* ---- writing ---- */

static void write_via(struct out *o, struct sip_stack *s, const struct sip_req *r, const struct sip_dest *dest, const char *branch)
{
	union sockaddr_any local;
	char text[SOCKADDR_TEXT_MAX] = "unit.invalid";

	if (s->transport && transport_local(s->transport, dest, &local) == 0)
		sockaddr_print(&local, text);
	out_z(o, "Via: SIP/2.0/");
	out_z(o, sip_proto_name(dest->proto));
	out_chr(o, ' ');
	out_z(o, text);
	out_z(o, ";branch=");
	out_z(o, branch);
	out_z(o, ";rport");
	/* RFC 5923 §5: who calls us back may do it by a connection that we have opened, if he believes our certificate. */
	if (dest->proto == SIP_TLS && !dest->flow)
		out_z(o, ";alias");
	if (r->via_params)
		out_z(o, r->via_params);
	if (r->oc)
		out_z(o, OVERLOAD_OFFER);
	out_mem(o, "\r\n", 2);
}

static void write_request(struct out *o, struct sip_stack *s, const struct sip_req *r, const struct sip_dest *dest, const char *branch)
{
	out_str(o, r->method);
	out_chr(o, ' ');
	out_str(o, r->uri);
	out_z(o, " SIP/2.0\r\n");
	write_via(o, s, r, dest, branch);
	out_str(o, r->hdrs);
	write_end(o, "User-Agent", s->p.server, r->ctype, r->body);
}

static void make_branch(struct sip_stack *s, char branch[32])
{
	strcpy(branch, SIP_BRANCH_COOKIE);
	rng_token(s->p.rng, branch + sizeof(SIP_BRANCH_COOKIE) - 1, 16);
}

/* ACK of a non-2xx and CANCEL: the INVITE's URI, Via, From, Call-ID, Route, its CSeq number (§9.1, §17.1.1.3),
 * and its Session-ID (RFC 7989 §6: that of a CANCEL is the INVITE's). */
static int write_copy(struct out *o, const struct ctrans *ct, const char *method, struct str to, struct str hdrs)
{
	struct sip_msg *m = malloc(sizeof(*m));
	char *bytes = malloc(ct->request_len);
	struct sip_msg_error err;
	struct sip_hdr_iter it = { 0 };
	struct str route, session_id;
	int r = -ENOMEM;

	if (m && bytes) {
		memcpy(bytes, ct->request, ct->request_len);
		r = sip_msg_parse(m, bytes, ct->request_len, &err);
	}
	if (!r) {
		out_fmt(o, "%s %.*s SIP/2.0\r\n", method, STR_ARG(m->ruri.text));
		out_fmt(o, "Via: %.*s\r\n", STR_ARG(m->via.value));
		out_fmt(o, "From: %.*s\r\n", STR_ARG(sip_msg_value(m, SIP_HDR_FROM)));
		out_fmt(o, "To: %.*s\r\n", STR_ARG(to.n ? to : sip_msg_value(m, SIP_HDR_TO)));
		out_fmt(o, "Call-ID: %.*s\r\nCSeq: %u %s\r\nMax-Forwards: 70\r\n", STR_ARG(m->call_id), m->cseq.seq, method);
		while (sip_msg_hdr_next(m, SIP_HDR_ROUTE, &it, &route))
			out_fmt(o, "Route: %.*s\r\n", STR_ARG(route));
		session_id = sip_msg_value(m, SIP_HDR_SESSION_ID);
		if (session_id.n)
			out_fmt(o, "Session-ID: %.*s\r\n", STR_ARG(session_id));
		out_str(o, hdrs);
		out_z(o, "Content-Length: 0\r\n\r\n");
		r = out_ok(o) ? 0 : -EMSGSIZE;
	}
	free(m);
	free(bytes);
	return r;
}

/* Where what follows the INVITE goes: the way it went, or when that connection has ended and leads to an address, by a new one. */
static struct sip_dest follow_dest(const struct ctrans *ct)
{
	struct sip_dest dest = ct->dest;

	if (!ct->has_lost_flow)
		dest.flow = ct->flow;
	return dest;
}

static void send_ack(struct ctrans *ct, const struct sip_msg *response)
{
	struct sip_dest dest = follow_dest(ct);
	struct out o;

	out_init_grow(&o, SIP_MSG_MAX);
	if (write_copy(&o, ct, "ACK", sip_msg_value(response, SIP_HDR_TO), STR_NULL) == 0)
		stack_send(ct->stack, &dest, out_view(&o), NULL);
	out_fini(&o);
}

/* ---- targets (RFC 3263 §4.3) ---- */

/* A flow is the peer's: what it does says nothing of an address. */
static void target_failed(const struct ctrans *ct, uint32_t for_s)
{
	if (!ct->dest.flow)
		resolver_failed(ct->stack->p.resolver, &ct->dest, for_s);
}

/* RFC 3261 §21.5.4: a 503 that says for how long is believed; one that doesn't counts for this request alone. */
static void judge_target(struct ctrans *ct, const struct sip_msg *m)
{
	struct str value = m->status == 503 ? sip_msg_value(m, SIP_HDR_RETRY_AFTER) : STR_NULL;
	uint32_t for_s = 0;
	size_t n = 0;

	while (n < value.n && value.p[n] >= '0' && value.p[n] <= '9')
		n++;
	if (n && str_to_u32((struct str){ value.p, n }, UINT32_MAX, &for_s) == 0 && for_s) {
		target_failed(ct, for_s);
	} else if (!ct->is_proven && !ct->dest.flow && m->status != 503 && m->status != 100) {
		ct->is_proven = true;
		resolver_worked(ct->stack->p.resolver, &ct->dest);
	}
	ct->is_heard = true;
}

/* ---- the machine ---- */

static void send_request(struct ctrans *ct, bool again)
{
	if (again)
		ct->stack->n.retransmissions_sent++;
	if (stack_send(ct->stack, &ct->dest, (struct str){ ct->request, ct->request_len }, &ct->flow) != 0)
		ctrans_event(ct, EV_TRANSPORT, NULL);
}

static void set_via_proto(char *request, size_t at, enum sip_proto proto)
{
	memcpy(request + at, sip_proto_name(proto), 3);
}

/* It went by TCP for its size, and there is none: by UDP after all, in the same transaction (RFC 3261 §18.1.1). */
static void use_udp(struct ctrans *ct)
{
	struct timers *w = ct->stack->p.timers;

	target_failed(ct, NO_TCP_S);
	ct->is_large = false;
	ct->dest.proto = SIP_UDP;
	ct->dest.flow = ct->udp_flow;
	set_via_proto(ct->request, ct->via_at, SIP_UDP);
	timer_start(w, &ct->timer_ae, ct->a_ms);
	timer_stop(w, &ct->timer_end);
	if (ct->patience_ms)
		timer_start(w, &ct->timer_end, ct->patience_ms);
	send_request(ct, false);
}

/* An INVITE that nobody waits for any more stays to hear what may still come: what rings is cancelled, a final response ACKed. */
static void give_up(struct ctrans *ct, int err)
{
	const struct ctrans_handler *h = ct->h;

	ct->is_heard = ct->is_proven = true; /* that was its failure, whatever it says later */
	timer_stop(ct->stack->p.timers, &ct->timer_ae);
	ctrans_cancel(ct, STR_NULL);
	ct->h = NULL;
	if (h && h->on_terminated)
		h->on_terminated(ct, err, ct->arg);
}

/* There is another target to try. */
static void lose_patience(struct ctrans *ct)
{
	if (!ct->is_invite) {
		ctrans_event(ct, EV_TIMER_BF, NULL);
		return;
	}
	target_failed(ct, 0);
	ct->stack->n.ctrans_timeouts++;
	give_up(ct, -ETIMEDOUT);
}

/* Its connection has ended. A phone that rings doesn't stop for that, and answers by a new one (RFC 3261 §18.2.2). */
static void lose_flow(struct ctrans *ct)
{
	ct->has_lost_flow = true;
	if (ct->is_invite && ct->state == ST_PROCEEDING)
		give_up(ct, -EIO);
	else if (ct->state != ST_COMPLETED && ct->state != ST_ACCEPTED)
		ctrans_event(ct, EV_TRANSPORT, NULL);
}

static void on_timer_end(void *arg)
{
	struct ctrans *ct = arg;

	if (ct->state != ST_CALLING && ct->state != ST_TRYING)
		ctrans_event(ct, EV_TIMER_END, NULL);
	else if (ct->is_large)
		use_udp(ct);
	else
		lose_patience(ct);
}

static void terminate(struct ctrans *ct, int err)
{
	const struct ctrans_handler *h = ct->h;

	ct->h = NULL;
	if (err && !ct->is_heard)
		target_failed(ct, 0);
	if (err == -ETIMEDOUT)
		ct->stack->n.ctrans_timeouts++;
	if (h && h->on_terminated)
		h->on_terminated(ct, err, ct->arg);
	ctrans_free(ct);
}

static void drop_request(struct ctrans *ct)
{
	free(ct->request);
	ct->request = NULL;
	ct->request_len = 0;
}

static void enter(struct ctrans *ct, enum st state)
{
	struct timers *w = ct->stack->p.timers;
	bool reliable = is_reliable(ct->dest.proto);

	ct->state = state;
	switch (state) {
	case ST_PROCEEDING:
		timer_stop(w, &ct->timer_end); /* patience */
		if (ct->is_invite) {
			timer_stop(w, &ct->timer_ae);
			if (ct->h) /* nobody else has patience without end */
				timer_stop(w, &ct->timer_bf);
		}
		break;
	case ST_COMPLETED:
		timer_stop(w, &ct->timer_ae);
		timer_stop(w, &ct->timer_bf);
		if (ct->is_invite)
			timer_start_late(w, &ct->timer_end, reliable ? 0 : SIP_TIMER_D_MS);
		else
			timer_start_late(w, &ct->timer_end, reliable ? 0 : SIP_T4_MS); /* K */
		break;
	case ST_ACCEPTED:
		timer_stop(w, &ct->timer_ae);
		timer_stop(w, &ct->timer_bf);
		timer_start_late(w, &ct->timer_end, SIP_TIMER_B_MS); /* M */
		break;
	default:
		break;
	}
}

static void retransmit(struct ctrans *ct)
{
	uint32_t next = ct->a_ms * 2;

	/* §17.1.2.2: non-INVITE up to T2, and every T2 once in Proceeding; INVITE without bound until timer B. */
	if (!ct->is_invite && (next > SIP_T2_MS || ct->state == ST_PROCEEDING))
		next = SIP_T2_MS;
	ct->a_ms = next;
	timer_start(ct->stack->p.timers, &ct->timer_ae, next);
	send_request(ct, true);
}

static void start_cancel(struct ctrans *ct);

/* A response that the handler is told: not a repeated final, not 100. */
static void tell(struct ctrans *ct, const struct sip_msg *m)
{
	if (ct->h && m->status != 100)
		ct->h->on_response(ct, m, ct->arg);
}

/* The one place where a client transaction changes its state. The transaction may be gone when it returns. */
static void ctrans_event(struct ctrans *ct, enum ev ev, const struct sip_msg *m)
{
	enum st from = ct->state, to = (ct->is_invite ? invite_next : other_next)[from][ev];

	if (to == ST_BAD)
		return;
	if (ev == EV_TRANSPORT && ct->is_large && (from == ST_CALLING || from == ST_TRYING)) {
		use_udp(ct);
		return;
	}
	if (to == ST_TERMINATED) {
		ct->state = ST_TERMINATED;
		terminate(ct, ev == EV_TRANSPORT ? -EIO : ev == EV_TIMER_BF ? -ETIMEDOUT : 0);
		return;
	}
	if (to != from)
		enter(ct, to);
	if (ev == EV_TIMER_AE) {
		retransmit(ct);
		return;
	}
	if (ev == EV_3XX_6XX && ct->is_invite)
		send_ack(ct, m);
	if (to == ST_PROCEEDING && ct->wants_cancel && !ct->is_cancelled)
		start_cancel(ct);
	if (from == ST_COMPLETED || (from == ST_ACCEPTED && ev == EV_1XX))
		return;
	if (to == ST_ACCEPTED || (to == ST_COMPLETED && !ct->is_invite))
		drop_request(ct);
	if (m)
		tell(ct, m);
}

/* ---- in ---- */

static int make_key(char key[SIP_KEY_MAX], struct str branch, struct str method)
{
	struct out o;

	out_init(&o, key, SIP_KEY_MAX);
	out_str(&o, branch);
	out_chr(&o, ' ');
	out_str(&o, method);
	return out_ok(&o) ? (int)o.len : -EINVAL;
}

struct ctrans *ctrans_find(struct sip_stack *s, const struct sip_msg *m)
{
	char key[SIP_KEY_MAX];
	int len = make_key(key, m->via.branch, m->cseq.method_name);
	struct ctrans *ct = NULL;

	if (len > 0)
		HASH_FIND(hh, s->ctrans, key, (unsigned)len, ct);
	return ct;
}

bool ctrans_is_detached(const struct ctrans *ct)
{
	return !ct->h;
}

void ctrans_receive(struct ctrans *ct, const struct sip_msg *m)
{
	judge_target(ct, m);
	if (ct->offers_oc)
		overload_take(&ct->stack->overload, &ct->dest.addr, &m->via, ct->stack->p.rng, clock_mono_ms(ct->stack->p.clock));
	ctrans_event(ct, m->status < 200 ? EV_1XX : m->status < 300 ? EV_2XX : EV_3XX_6XX, m);
}

void ctrans_flow_closed(struct sip_stack *s, uint64_t flow)
{
	struct ctrans *ct, *next;

	HASH_ITER(hh, s->ctrans, ct, next)
		if (ct->flow == flow && is_reliable(ct->dest.proto) && !ct->has_lost_flow) {
			lose_flow(ct);
			/* A handler may have ended others: begin anew. */
			next = s->ctrans;
		}
}

/* ---- out ---- */

static int start(struct ctrans **out, struct sip_stack *s, struct str bytes, struct str branch, struct str method,
		 const struct sip_dest *dest, uint32_t patience_ms)
{
	char key[SIP_KEY_MAX];
	int len = make_key(key, branch, method), err;
	struct ctrans *ct = len < 0 ? NULL : calloc(1, sizeof(*ct) + (size_t)len);

	if (!ct)
		return len < 0 ? len : -ENOMEM;
	ct->request = str_dup(bytes);
	if (!ct->request) {
		free(ct);
		return -ENOMEM;
	}
	ct->request_len = bytes.n;
	ct->stack = s;
	ct->dest = *dest;
	ct->is_invite = str_eqz(method, "INVITE");
	ct->state = ct->is_invite ? ST_CALLING : ST_TRYING;
	timer_init(&ct->timer_ae, on_timer_ae, ct);
	timer_init(&ct->timer_bf, on_timer_bf, ct);
	timer_init(&ct->timer_end, on_timer_end, ct);
	memcpy(ct->key, key, (size_t)len);
	ct->key_len = (unsigned)len;
	HASH_ADD_KEYPTR(hh, s->ctrans, ct->key, ct->key_len, ct);
	err = ct->hh.tbl ? stack_send(s, dest, bytes, &ct->flow) : -ENOMEM;
	if (err) {
		if (ct->hh.tbl)
			HASH_DEL(s->ctrans, ct);
		free(ct->request);
		free(ct);
		return err;
	}
	s->n.ctrans_live++;
	ct->a_ms = SIP_T1_MS;
	if (!is_reliable(dest->proto))
		timer_start(s->p.timers, &ct->timer_ae, ct->a_ms);
	timer_start(s->p.timers, &ct->timer_bf, SIP_TIMER_B_MS);
	ct->patience_ms = patience_ms;
	if (patience_ms)
		timer_start(s->p.timers, &ct->timer_end, patience_ms);
	*out = ct;
	return 0;
}

/* Of a request just written: behind the request line and the name of the Via. */
static size_t find_via_proto(const struct sip_req *r)
{
	return r->method.n + 1 + r->uri.n + sizeof(" SIP/2.0\r\nVia: SIP/2.0/") - 1;
}

static bool is_large(const struct out *o, const struct sip_dest *dest)
{
	return dest->proto == SIP_UDP && dest->has_tcp && o->len > UDP_REQUEST_MAX;
}

/* By TCP, if the other side may have it; out NULL: without a transaction. -EHOSTUNREACH: it is known not to, or to refuse it. */
static int send_large(struct ctrans **out, struct sip_stack *s, const struct sip_req *r, struct out *o, struct str branch,
		       const struct sip_dest *dest)
{
	struct sip_dest tcp = *dest;
	char *request = (char *)out_view(o).p;
	int err;

	tcp.proto = SIP_TCP;
	tcp.flow = 0;
	if (resolver_is_failed(s->p.resolver, &tcp))
		return -EHOSTUNREACH;
	set_via_proto(request, find_via_proto(r), SIP_TCP);
	err = out ? start(out, s, out_view(o), branch, r->method, &tcp, TCP_PATIENCE_MS) : stack_send(s, &tcp, out_view(o), NULL);
	set_via_proto(request, find_via_proto(r), SIP_UDP);
	if (err || !out)
		return err;
	(*out)->is_large = true;
	(*out)->udp_flow = dest->flow;
	(*out)->via_at = find_via_proto(r);
	(*out)->patience_ms = r->patience_ms;
	return 0;
}

static bool is_held_back(struct sip_stack *s, const struct sip_req *r, const struct sip_dest *dest)
{
	if (overload_admits(&s->overload, &dest->addr, r->oc == SIP_OC_MAY_WAIT, s->p.rng, clock_mono_ms(s->p.clock)))
		return false;
	s->n.spared++;
	return true;
}

int ctrans_start(struct ctrans **out, struct sip_stack *s, const struct sip_req *r, const struct sip_dest *dest,
		 const struct ctrans_handler *h, void *arg)
{
	char branch[32];
	struct out o;
	int err;

	if (r->oc && is_held_back(s, r, dest))
		return -EBUSY;
	make_branch(s, branch);
	out_init_on(&o, s->scratch, sizeof(s->scratch), SIP_MSG_MAX);
	write_request(&o, s, r, dest, branch);
	if (!out_ok(&o))
		err = -EINVAL;
	else if (is_large(&o, dest))
		err = send_large(out, s, r, &o, str_from(branch), dest);
	else
		err = -EHOSTUNREACH;
	if (err == -EHOSTUNREACH)
		err = start(out, s, out_view(&o), str_from(branch), r->method, dest, r->patience_ms);
	out_fini(&o);
	if (!err) {
		(*out)->h = h;
		(*out)->arg = arg;
		(*out)->offers_oc = r->oc != SIP_OC_NONE;
	}
	return err;
}

static void start_cancel(struct ctrans *ct)
{
	struct str branch = { ct->key, (size_t)str_find_chr((struct str){ ct->key, ct->key_len }, ' ') };
	struct sip_dest dest = follow_dest(ct);
	struct ctrans *cancel;
	struct out o;

	ct->is_cancelled = true;
	out_init_grow(&o, SIP_MSG_MAX);
	if (write_copy(&o, ct, "CANCEL", STR_NULL, str_from(ct->cancel_hdrs)) == 0)
		start(&cancel, ct->stack, out_view(&o), branch, STR("CANCEL"), &dest, 0);
	out_fini(&o);
	timer_start(ct->stack->p.timers, &ct->timer_bf, SIP_TIMER_B_MS);
}

int ctrans_cancel(struct ctrans *ct, struct str hdrs)
{
	if (!ct->is_invite || ct->wants_cancel || (ct->state != ST_CALLING && ct->state != ST_PROCEEDING))
		return 0;
	ct->wants_cancel = true;
	ct->cancel_hdrs = str_dup(hdrs);
	if (!ct->cancel_hdrs)
		return -ENOMEM;
	if (ct->state == ST_PROCEEDING)
		start_cancel(ct);
	return 0;
}

uint64_t ctrans_flow(const struct ctrans *ct)
{
	return ct->flow;
}

/* A re-INVITE that waits for its answer, perhaps for ever, while its dialog has ended. */
void ctrans_detach(struct ctrans *ct)
{
	ct->h = NULL;
	if (ct->is_invite && ct->state == ST_PROCEEDING && !timer_is_running(&ct->timer_bf))
		timer_start(ct->stack->p.timers, &ct->timer_bf, SIP_TIMER_B_MS);
}

int sip_stack_send_stateless(struct sip_stack *s, const struct sip_req *r, const struct sip_dest *dest)
{
	char branch[32];
	struct out o;
	int err;

	make_branch(s, branch);
	out_init_on(&o, s->scratch, sizeof(s->scratch), SIP_MSG_MAX);
	write_request(&o, s, r, dest, branch);
	if (!out_ok(&o))
		err = -EINVAL;
	else if (!is_large(&o, dest) || send_large(NULL, s, r, &o, STR_NULL, dest) != 0)
		err = stack_send(s, dest, out_view(&o), NULL);
	else
		err = 0;
	out_fini(&o);
	return err;
}
