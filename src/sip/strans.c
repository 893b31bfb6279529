/* strans.c - server transactions: RFC 3261 figures 7 and 8, with RFC 6026's Accepted state.
 *
 * One table gives the next state for (kind, state, event); strans_event() is the only place that changes the state, and does
 * what entering or staying in it asks for. The response last sent is kept as bytes, for retransmissions.
 */
#define LOG_MODULE "strans"
#include <errno.h>
#include <stdlib.h>

#include "sip/digest.h"
#include "sip/stack_int.h"

/* RFC 4320 §4.1: another request than INVITE gets its 100 when a client's timer E has come to T2, after 500 + 1000 + 2000 ms. */
#define TRYING_AFTER_MS 3500

enum st { ST_BAD, ST_TRYING, ST_PROCEEDING, ST_COMPLETED, ST_CONFIRMED, ST_ACCEPTED, ST_TERMINATED, ST_COUNT };
enum ev { EV_REQUEST, EV_ACK, EV_SEND_1XX, EV_SEND_2XX, EV_SEND_3XX_6XX, EV_TIMER_G, EV_TIMER_END, EV_TRANSPORT, EV_COUNT };

/* ST_BAD (0): can't happen, or is refused to the upper layer. */
static const enum st invite_next[ST_COUNT][EV_COUNT] = {
	[ST_PROCEEDING] = { [EV_REQUEST] = ST_PROCEEDING, [EV_SEND_1XX] = ST_PROCEEDING, [EV_SEND_2XX] = ST_ACCEPTED,
			    [EV_SEND_3XX_6XX] = ST_COMPLETED, [EV_TRANSPORT] = ST_TERMINATED },
	[ST_COMPLETED] = { [EV_REQUEST] = ST_COMPLETED, [EV_ACK] = ST_CONFIRMED, [EV_TIMER_G] = ST_COMPLETED,
			   [EV_TIMER_END] = ST_TERMINATED /* H */, [EV_TRANSPORT] = ST_TERMINATED },
	[ST_CONFIRMED] = { [EV_REQUEST] = ST_CONFIRMED, [EV_ACK] = ST_CONFIRMED, [EV_TIMER_END] = ST_TERMINATED /* I */ },
	[ST_ACCEPTED] = { [EV_REQUEST] = ST_ACCEPTED, [EV_ACK] = ST_ACCEPTED, [EV_SEND_2XX] = ST_ACCEPTED,
			  [EV_TIMER_END] = ST_TERMINATED /* L */, [EV_TRANSPORT] = ST_ACCEPTED },
};
static const enum st other_next[ST_COUNT][EV_COUNT] = {
	[ST_TRYING] = { [EV_REQUEST] = ST_TRYING, [EV_SEND_1XX] = ST_PROCEEDING, [EV_SEND_2XX] = ST_COMPLETED,
			[EV_SEND_3XX_6XX] = ST_COMPLETED, [EV_TRANSPORT] = ST_TERMINATED },
	[ST_PROCEEDING] = { [EV_REQUEST] = ST_PROCEEDING, [EV_SEND_1XX] = ST_PROCEEDING, [EV_SEND_2XX] = ST_COMPLETED,
			    [EV_SEND_3XX_6XX] = ST_COMPLETED, [EV_TRANSPORT] = ST_TERMINATED },
	[ST_COMPLETED] = { [EV_REQUEST] = ST_COMPLETED, [EV_TIMER_END] = ST_TERMINATED /* J */, [EV_TRANSPORT] = ST_TERMINATED },
};

struct strans {
	struct sip_stack *stack;
	uint64_t hash, merge_hash;
	struct sip_msg *msg;     /* NULL soon after the final response: it would lie there for half a minute */
	bool is_lent;            /* msg is the transport's, until on_request has returned */
	struct sip_source src;
	struct sip_dest dest;
	const struct strans_handler *h;
	void *arg;
	enum st state;
	bool is_invite, is_in_merge, is_busy; /* is_busy: inside on_request, so not freed yet */
	bool is_cancelled;       /* once is enough */
	bool is_late;            /* who asked has given up (timer F): no answer goes out any more */
	bool is_too_long;        /* the final response was: timer_end brings a brief one, unless there is another */
	bool has_failed;         /* couldn't send: timer_end brings EV_TRANSPORT */
	struct sip_msg *cancel;  /* a CANCEL that nobody could be told of yet; timer_g brings it */
	char tag[17];
	char *hdrs;              /* in all its responses; NULL: none */
	char *hdrs_2xx;          /* in its 2xx; NULL: none */
	struct digest_proof *proof; /* likewise */
	char *last;              /* response last sent */
	size_t last_len;
	uint32_t g_ms;
	struct timer timer_g, timer_end; /* timer_g: the next thing to be done in a state that goes on */
	unsigned key_len, merge_len;
	char *merge_key;         /* behind key */
	char key[];
};

/* ---- keys: made for each request received, so without printf ---- */

static void key_str(struct out *o, struct str s)
{
	out_str(o, s);
	out_chr(o, ' ');
}

static void key_num(struct out *o, uint32_t n)
{
	out_u64(o, n);
	out_chr(o, ' ');
}

/* Strangers choose the keys. */
static int end_key(const struct sip_stack *s, const struct out *o, struct strans_key *key)
{
	key->len = 0;
	if (!out_ok(o))
		return -EINVAL;
	key->len = (unsigned)o->len;
	key->hash = hash_keyed(s->tag_key, key->text, key->len);
	return 0;
}

int strans_key(const struct sip_stack *s, const struct sip_msg *m, enum sip_method method, struct strans_key *key)
{
	struct out o;

	out_init(&o, key->text, sizeof(key->text));
	if (str_istarts(m->via.branch, STR(SIP_BRANCH_COOKIE))) {
		/* §17.2.3: branch, sent-by, method */
		key_str(&o, m->via.branch);
		key_str(&o, m->via.host);
		key_num(&o, m->via.port);
	} else {
		/* RFC 2543 clients: what identifies their transaction; To tag and URI differ between INVITE and ACK. */
		key_str(&o, m->call_id);
		key_str(&o, m->from.tag);
		key_num(&o, m->cseq.seq);
		key_str(&o, m->via.value);
	}
	out_u64(&o, method);
	if (method == SIP_OTHER)
		out_str(&o, m->method_name);
	return end_key(s, &o, key);
}

void strans_merge_key(const struct sip_stack *s, const struct sip_msg *m, struct strans_key *key)
{
	struct out o;

	key->len = 0;
	if (m->to.tag.n || !m->from.tag.n)
		return;
	out_init(&o, key->text, sizeof(key->text));
	key_str(&o, m->from.tag);
	key_str(&o, m->call_id);
	key_num(&o, m->cseq.seq);
	out_str(&o, m->method_name);
	end_key(s, &o, key);
}

struct strans *strans_find(const struct sip_stack *s, const struct strans_key *key)
{
	uint64_t at = key->hash;
	struct strans *st;

	while ((st = index_next(&s->strans, key->hash, &at)) != NULL)
		if (st->key_len == key->len && !memcmp(st->key, key->text, key->len))
			return st;
	return NULL;
}

bool strans_is_merged(const struct sip_stack *s, const struct strans_key *merge)
{
	uint64_t at = merge->hash;
	const struct strans *st;

	while (merge->len && (st = index_next(&s->merge, merge->hash, &at)) != NULL)
		if (st->merge_len == merge->len && !memcmp(st->merge_key, merge->text, merge->len))
			return true;
	return false;
}

/* ---- life ---- */

static void strans_event(struct strans *st, enum ev ev);
static void tell_cancel(struct strans *st);
static void reply_briefly(struct strans *st);
static int send_reply(struct strans *st, const struct sip_reply *r);

static enum st next_state(const struct strans *st, enum ev ev)
{
	return (st->is_invite ? invite_next : other_next)[st->state][ev];
}

/* Answered: what is left to do needs the response alone. */
static bool is_msg_done(const struct strans *st)
{
	return st->state == ST_COMPLETED || st->state == ST_CONFIRMED || st->state == ST_ACCEPTED;
}

static bool has_timer_g(const struct strans *st)
{
	return st->state == ST_COMPLETED && st->is_invite && !is_reliable(st->src.proto);
}

static void drop_msg(struct strans *st)
{
	if (st->msg && !st->is_lent) {
		st->stack->strans_bytes -= st->msg->raw.n;
		sip_msg_release(st->msg);
	}
	st->msg = NULL;
	free(st->hdrs);
	free(st->hdrs_2xx);
	digest_proof_free(st->proof);
	st->hdrs = st->hdrs_2xx = NULL;
	st->proof = NULL;
}

static void drop_last(struct strans *st)
{
	st->stack->strans_bytes -= st->last_len;
	free(st->last);
	st->last = NULL;
	st->last_len = 0;
}

static void drop_cancel(struct strans *st)
{
	if (st->cancel)
		st->stack->strans_bytes -= st->cancel->raw.n;
	sip_msg_release(st->cancel);
	st->cancel = NULL;
}

static void strans_free(struct strans *st)
{
	struct sip_stack *s = st->stack;

	timer_stop(s->p.timers, &st->timer_g);
	timer_stop(s->p.timers, &st->timer_end);
	index_remove(&s->strans, st->hash, st);
	if (st->is_in_merge)
		index_remove(&s->merge, st->merge_hash, st);
	s->n.strans_live--;
	s->strans_bytes -= sizeof(*st);
	drop_msg(st);
	drop_last(st);
	drop_cancel(st);
	free(st);
}

/* Whoever is to answer takes his time. */
static void wait_on(struct strans *st)
{
	if (st->state == ST_TRYING)
		send_reply(st, &(struct sip_reply){ .status = 100 });
	else
		st->is_late = true;
}

static void on_timer_g(void *arg)
{
	struct strans *st = arg;

	if (!is_msg_done(st)) {
		if (st->cancel)
			tell_cancel(st);
		else if (!st->is_invite)
			wait_on(st);
		return;
	}
	drop_msg(st);
	if (has_timer_g(st))
		strans_event(st, EV_TIMER_G);
}

static void on_timer_end(void *arg)
{
	struct strans *st = arg;

	if (st->is_too_long)
		reply_briefly(st);
	else
		strans_event(st, st->has_failed ? EV_TRANSPORT : EV_TIMER_END);
}

/* Of a REGISTER, which is answered as it comes, a copy would be read once. */
static int take_msg(struct strans *st, const struct sip_msg *m)
{
	st->is_lent = m->method == SIP_REGISTER;
	st->msg = st->is_lent ? (struct sip_msg *)m : sip_msg_hold(m);
	if (!st->msg)
		return -ENOMEM;
	if (!st->is_lent)
		st->stack->strans_bytes += st->msg->raw.n;
	return 0;
}

/* It isn't answered yet. */
static int keep_lent(struct strans *st)
{
	struct sip_msg *held = sip_msg_hold(st->msg);

	if (!held)
		return -ENOMEM;
	st->msg = held;
	st->is_lent = false;
	st->stack->strans_bytes += held->raw.n;
	return 0;
}

int strans_new(struct strans **out, struct sip_stack *s, const struct sip_msg *m, const struct sip_source *src,
	       const struct strans_keys *keys)
{
	struct strans *st = calloc(1, sizeof(*st) + keys->own.len + keys->merge.len);

	if (!st)
		return -ENOMEM;
	st->stack = s;
	st->hash = keys->own.hash;
	if (take_msg(st, m) != 0 || index_add(&s->strans, st->hash, st) != 0) {
		drop_msg(st);
		free(st);
		return -ENOMEM;
	}
	st->src = *src;
	response_dest(&st->dest, m, src);
	st->is_invite = m->method == SIP_INVITE;
	st->state = st->is_invite ? ST_PROCEEDING : ST_TRYING;
	timer_init(&st->timer_g, on_timer_g, st);
	timer_init(&st->timer_end, on_timer_end, st);
	rng_token(s->p.rng, st->tag, sizeof(st->tag) - 1);
	st->key_len = keys->own.len;
	memcpy(st->key, keys->own.text, st->key_len);
	if (keys->merge.len) {
		st->merge_len = keys->merge.len;
		st->merge_hash = keys->merge.hash;
		st->merge_key = st->key + st->key_len;
		memcpy(st->merge_key, keys->merge.text, st->merge_len);
		st->is_in_merge = index_add(&s->merge, st->merge_hash, st) == 0; /* without, its like isn't noticed */
	}
	st->is_busy = true;
	s->n.strans_live++;
	s->strans_bytes += sizeof(*st);
	*out = st;
	return 0;
}

static void send_last(struct strans *st, bool again)
{
	int err;

	if (!st->last)
		return;
	if (again)
		st->stack->n.retransmissions_sent++;
	err = stack_send(st->stack, &st->dest, (struct str){ st->last, st->last_len }, NULL);
	if (err == -ENOTCONN && is_reliable(st->dest.proto))
		err = reroute_send(st->stack, &st->src, &st->dest, (struct str){ st->last, st->last_len });
	/* Somebody still looks who it is, and can't be told: he answers, and that will end it. */
	if (!is_msg_done(st) && !st->h)
		return;
	/* Who sends isn't called back: the end comes with the next tick. */
	if (err && next_state(st, EV_TRANSPORT) == ST_TERMINATED) {
		st->has_failed = true;
		timer_stop(st->stack->p.timers, &st->timer_g);
		timer_start(st->stack->p.timers, &st->timer_end, 0);
	}
}

static void terminate(struct strans *st, int err)
{
	const struct strans_handler *h = st->h;

	st->h = NULL;
	if (h && h->on_terminated)
		h->on_terminated(st, err, st->arg);
	if (st->is_busy)
		return; /* strans_after_request() frees it */
	strans_free(st);
}

static void enter(struct strans *st, enum st state)
{
	struct timers *w = st->stack->p.timers;
	bool reliable = is_reliable(st->src.proto);

	st->state = state;
	st->has_failed = st->is_too_long = false;
	drop_cancel(st); /* too late for it */
	timer_stop(w, &st->timer_g);
	switch (state) {
	case ST_PROCEEDING:
		timer_start(w, &st->timer_g, SIP_TIMER_B_MS - TRYING_AFTER_MS); /* from Trying: an INVITE begins here */
		return;
	case ST_COMPLETED:
		if (st->is_invite) {
			st->g_ms = SIP_T1_MS;
			timer_start(w, &st->timer_end, SIP_TIMER_B_MS);          /* H */
		} else {
			timer_start_late(w, &st->timer_end, reliable ? 0 : SIP_TIMER_B_MS); /* J */
		}
		break;
	case ST_CONFIRMED:
		timer_start_late(w, &st->timer_end, reliable ? 0 : SIP_T4_MS);   /* I */
		break;
	case ST_ACCEPTED:
		timer_start_late(w, &st->timer_end, SIP_TIMER_B_MS);             /* L */
		break;
	default:
		break;
	}
	if (has_timer_g(st))
		timer_start(w, &st->timer_g, st->g_ms);
	else if (is_msg_done(st) && !st->is_lent)
		timer_start(w, &st->timer_g, 0); /* who is just answering may still look at it */
}

/* The one place where a server transaction changes its state. */
static void strans_event(struct strans *st, enum ev ev)
{
	enum st from = st->state, to = next_state(st, ev);

	if (to == ST_BAD)
		return;
	if (to == ST_TERMINATED) {
		bool no_ack = st->is_invite && from == ST_COMPLETED && ev == EV_TIMER_END;

		if (no_ack)
			st->stack->n.strans_timeouts++;
		st->state = ST_TERMINATED;
		terminate(st, ev == EV_TRANSPORT ? -EIO : no_ack ? -ETIMEDOUT : 0);
		return;
	}
	if (to != from)
		enter(st, to);
	if (ev == EV_TIMER_G) {
		st->g_ms = st->g_ms * 2 < SIP_T2_MS ? st->g_ms * 2 : SIP_T2_MS;
		timer_start(st->stack->p.timers, &st->timer_g, st->g_ms);
		send_last(st, true);
	} else if (ev == EV_SEND_1XX || ev == EV_SEND_2XX || ev == EV_SEND_3XX_6XX) {
		send_last(st, false);
	} else if (ev == EV_REQUEST && to != ST_TRYING && to != ST_CONFIRMED && to != ST_ACCEPTED) {
		send_last(st, true);
	}
}

void strans_request_again(struct strans *st)
{
	st->stack->n.retransmissions_received++;
	strans_event(st, EV_REQUEST);
}

bool strans_ack(struct strans *st)
{
	bool is_for_2xx = st->state == ST_ACCEPTED;

	strans_event(st, EV_ACK);
	return !is_for_2xx;
}

static void tell_cancel(struct strans *st)
{
	struct sip_msg *cancel = st->cancel;

	st->cancel = NULL;
	st->stack->strans_bytes -= cancel->raw.n;
	if (st->h && st->h->on_cancel)
		st->h->on_cancel(st, cancel, st->arg);
	sip_msg_release(cancel);
}

/* The upper layer may still be asking somebody whether it wants the call, and have set no handler yet: then it is told when it has. */
void strans_cancel(struct strans *st, const struct sip_msg *cancel)
{
	if (st->state != ST_PROCEEDING || st->is_cancelled)
		return;
	st->is_cancelled = true;
	if (!st->h) {
		st->cancel = sip_msg_hold(cancel); /* held already: that can't fail */
		st->stack->strans_bytes += st->cancel->raw.n;
	} else if (st->h->on_cancel) {
		st->h->on_cancel(st, cancel, st->arg);
	}
}

struct str strans_to_tag(const struct strans *st)
{
	return str_from(st->tag);
}

void strans_after_request(struct strans *st)
{
	st->is_busy = false;
	if (st->is_lent && (is_msg_done(st) || st->state == ST_TERMINATED)) {
		drop_msg(st);
		st->is_lent = false;
	} else if (st->is_lent && keep_lent(st) != 0) {
		strans_event(st, EV_TRANSPORT); /* as if it hadn't come */
		return;
	}
	if (st->state == ST_TERMINATED)
		strans_free(st);
	else if (st->is_invite && st->state == ST_PROCEEDING && !st->last)
		strans_reply_simple(st, 100, NULL);
	else if (st->state == ST_TRYING)
		timer_start(st->stack->p.timers, &st->timer_g, TRYING_AFTER_MS);
}

void strans_free_all(struct sip_stack *s)
{
	for (size_t i = 0; i < s->strans.size; i++)
		while (i < s->strans.size && s->strans.slots[i].p)
			strans_free(s->strans.slots[i].p);
	index_fini(&s->strans);
	index_fini(&s->merge);
}

/* ---- for the upper layer ---- */

void strans_set_handler(struct strans *st, const struct strans_handler *h, void *arg)
{
	st->h = h;
	st->arg = arg;
	if (h && st->cancel)
		timer_start(st->stack->p.timers, &st->timer_g, 0);
}

const struct sip_msg *strans_msg(const struct strans *st)
{
	return st->msg;
}

const struct sip_source *strans_source(const struct strans *st)
{
	return &st->src;
}

struct sip_stack *strans_stack(const struct strans *st)
{
	return st->stack;
}

void strans_set_tag(struct strans *st, struct str tag)
{
	if (tag.n && tag.n < sizeof(st->tag))
		str_copy(tag, st->tag, sizeof(st->tag));
}

void strans_set_hdrs(struct strans *st, struct str hdrs)
{
	free(st->hdrs);
	st->hdrs = hdrs.n ? str_dup(hdrs) : NULL;
}

void strans_set_hdrs_2xx(struct strans *st, struct str hdrs)
{
	free(st->hdrs_2xx);
	st->hdrs_2xx = hdrs.n ? str_dup(hdrs) : NULL;
}

void strans_set_proof(struct strans *st, struct digest_proof *proof)
{
	digest_proof_free(st->proof);
	st->proof = proof;
}

struct str strans_hdrs(const struct strans *st)
{
	return str_from(st->hdrs);
}

static enum ev event_of_status(int status)
{
	return status < 200 ? EV_SEND_1XX : status < 300 ? EV_SEND_2XX : EV_SEND_3XX_6XX;
}

/* Nearly all fit into the stack's buffer. o is to be released in any case. */
static int write_reply(const struct strans *st, const struct sip_reply *r, struct out *o)
{
	out_init_on(o, st->stack->scratch, sizeof(st->stack->scratch), SIP_MSG_MAX);
	response_write(o, st->stack, st->msg, &st->src, r, st->tag,
		       &(struct response_hdrs){ .all = str_from(st->hdrs), .success = str_from(st->hdrs_2xx), .proof = st->proof });
	return out_ok(o) ? 0 : -EMSGSIZE;
}

/* No final response has been written but one that was too long, and nobody may have another one: it gets 500, or where all that is
 * copied from the request (§8.2.6) is too long already, its end. */
static void reply_briefly(struct strans *st)
{
	const struct sip_reply brief = { .status = 500, .reason = "Response Too Large" };
	struct out o;
	int err;

	strans_set_hdrs(st, STR_NULL);
	err = write_reply(st, &brief, &o);
	out_fini(&o);
	if (err)
		strans_event(st, EV_TRANSPORT);
	else
		strans_reply(st, &brief);
}

/* RFC 4320 §4.2: a 408, or an answer when who asked has given up, would only be one that belongs to nothing. */
static void reply_nothing(struct strans *st)
{
	drop_last(st);
	strans_event(st, EV_SEND_3XX_6XX);
}

static int send_reply(struct strans *st, const struct sip_reply *r)
{
	enum ev ev = event_of_status(r->status);
	struct out o;
	int err = write_reply(st, r, &o);
	size_t len = o.len;
	char *last = err ? NULL : malloc(len); /* it may stay for half a minute: no longer than needed */

	if (last)
		memcpy(last, o.p, len);
	else if (!err)
		err = -ENOMEM;
	out_fini(&o);
	if (err && r->status >= 200) {
		st->is_too_long = true;
		timer_start(st->stack->p.timers, &st->timer_end, 0);
	}
	if (err)
		return err;
	/* The tag of one response is that of all, and of the 200 to a CANCEL (§9.2). */
	strans_set_tag(st, r->to_tag);
	drop_last(st);
	st->last = last;
	st->last_len = len;
	st->stack->strans_bytes += len;
	strans_event(st, ev);
	return 0;
}

int strans_reply(struct strans *st, const struct sip_reply *r)
{
	if (st->state == ST_TERMINATED)
		return -EIO;
	if (st->state == ST_ACCEPTED || next_state(st, event_of_status(r->status)) == ST_BAD)
		return -EALREADY;
	if (st->is_invite)
		return send_reply(st, r);
	if (r->status < 200)
		return -EINVAL; /* RFC 4320 §4.1: no 1xx but 100, and that when it is time */
	if (st->is_late || r->status == 408) {
		reply_nothing(st);
		return 0;
	}
	return send_reply(st, r);
}

int strans_reply_simple(struct strans *st, int status, const char *hdrs)
{
	return strans_reply(st, &(struct sip_reply){ .status = status, .hdrs = str_from(hdrs) });
}

int strans_repeat(struct strans *st)
{
	if ((st->state != ST_ACCEPTED && st->state != ST_PROCEEDING) || !st->is_invite || !st->last)
		return -EALREADY;
	st->stack->n.retransmissions_sent++;
	strans_event(st, st->state == ST_ACCEPTED ? EV_SEND_2XX : EV_SEND_1XX);
	return 0;
}

void strans_acked(struct strans *st)
{
	if (st->state == ST_ACCEPTED)
		drop_last(st);
}
