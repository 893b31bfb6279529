/* session_rel.c - reliable provisional responses of ours (RFC 3262 §3).
 *
 * A caller who requires it gets every response above 100 so, one who supports it those that carry a description: the answer in
 * them is then the answer, and the 200 has none. One at a time: what is to follow waits until the PRACK has come, a later
 * progress in favour of the one before it, and the 200 too if the caller hasn't acknowledged the description yet.
 */
#include "sip/session_int.h"

#include <errno.h>
#include <stdlib.h>

#define RSEQ_FIRST_MAX 0x7fffffffu /* RFC 3262 §3: the first is 1 to 2^31 - 1 */

static void on_timer(void *arg);

/* What waits for the PRACK. */
struct held {
	int status;
	char *hdrs, *ctype, *body;
	size_t body_len;
};

struct rel {
	struct session *session;
	uint32_t rseq, invite_cseq;
	bool is_waiting;              /* for the PRACK of rseq */
	bool is_owed;                 /* that PRACK: the final response didn't wait for it */
	bool has_sdp, is_offer;       /* what it carries */
	bool is_agreed;               /* the first offer has its answer, by these responses */
	uint64_t deadline_ms;
	uint32_t interval_ms;
	struct timer timer;
	struct held held;             /* status 0: nothing */
};

static void drop_held(struct held *h)
{
	free(h->hdrs);
	free(h->ctype);
	free(h->body);
	*h = (struct held){ 0 };
}

void rel_end(struct session *s)
{
	if (!s->rel)
		return;
	timer_stop(s->dialog.ua->timers, &s->rel->timer);
	s->rel->is_owed = s->rel->is_owed || s->rel->is_waiting;
	s->rel->is_waiting = false;
	drop_held(&s->rel->held);
}

void rel_free(struct session *s)
{
	rel_end(s);
	free(s->rel);
	s->rel = NULL;
}

bool rel_is_waiting(const struct session *s)
{
	return s->rel && s->rel->is_waiting;
}

bool rel_is_owed(const struct session *s)
{
	return s->rel && (s->rel->is_waiting || s->rel->is_owed);
}

bool rel_is_agreed(const struct session *s)
{
	return s->rel && s->rel->is_agreed;
}

bool session_can_be_reliable(const struct session *s)
{
	return s->invite && (sip_msg_has_token(s->invite, SIP_HDR_SUPPORTED, "100rel") ||
			     sip_msg_has_token(s->invite, SIP_HDR_REQUIRE, "100rel"));
}

bool rel_is_wanted(const struct session *s, bool has_sdp)
{
	if (!s->invite)
		return false;
	return sip_msg_has_token(s->invite, SIP_HDR_REQUIRE, "100rel") ||
	       (has_sdp && sip_msg_has_token(s->invite, SIP_HDR_SUPPORTED, "100rel"));
}

bool rel_holds_answer(const struct session *s)
{
	return rel_is_waiting(s) && s->rel->has_sdp;
}

int rel_hold(struct session *s, int status, const char *hdrs, const char *ctype, struct str body)
{
	struct held h = { .status = status, .body_len = body.n };

	h.hdrs = strdup(hdrs ? hdrs : "");
	h.ctype = strdup(ctype ? ctype : "");
	h.body = str_dup(body);
	if (!h.hdrs || !h.ctype || !h.body) {
		drop_held(&h);
		return -ENOMEM;
	}
	drop_held(&s->rel->held);
	s->rel->held = h;
	return 0;
}

int rel_begin(struct session *s, const struct uas_offer *invite, bool has_sdp)
{
	struct rel *r = s->rel;

	if (!r) {
		r = s->rel = calloc(1, sizeof(*r));
		if (!r)
			return -ENOMEM;
		r->session = s;
		r->rseq = rng_below(s->dialog.ua->rng, RSEQ_FIRST_MAX);
		timer_init(&r->timer, on_timer, r);
	}
	r->rseq++;
	r->invite_cseq = invite->cseq;
	r->is_waiting = true;
	r->is_owed = false;
	r->has_sdp = has_sdp;
	r->is_offer = has_sdp && !invite->had_offer && !r->is_agreed;
	return 0;
}

void rel_sent(struct session *s)
{
	struct timers *timers = s->dialog.ua->timers;
	struct rel *r = s->rel;

	r->interval_ms = SIP_T1_MS;
	r->deadline_ms = timers_now(timers) + 64 * SIP_T1_MS;
	timer_start(timers, &r->timer, r->interval_ms);
}

void rel_print(const struct session *s, struct out *o)
{
	out_z(o, "Require: 100rel\r\nRSeq: ");
	out_u64(o, s->rel->rseq);
	out_z(o, "\r\n");
}

/* No T2 here: it doubles to the end (§3). */
static void on_timer(void *arg)
{
	struct rel *r = arg;
	struct session *s = r->session;
	struct timers *timers = s->dialog.ua->timers;
	uint64_t now = timers_now(timers);

	if (now >= r->deadline_ms) {
		r->is_waiting = false;
		uas_reject_pending(s, 504, NULL, NULL);
		session_end(s, SESSION_TIMEOUT, 504, NULL);
		return;
	}
	uas_repeat(s);
	r->interval_ms *= 2;
	uint64_t left = r->deadline_ms - now;
	timer_start(timers, &r->timer, r->interval_ms < left ? r->interval_ms : left);
}

/* ---- PRACK ---- */

static bool is_rack_of(const struct rel *r, const struct sip_msg *m)
{
	struct str rest = str_trim(sip_msg_value(m, SIP_HDR_RACK)), rseq_text = str_cut(&rest, ' '), cseq_text;
	uint32_t rseq, cseq;

	rest = str_trim(rest);
	cseq_text = str_cut(&rest, ' ');
	return (r->is_waiting || r->is_owed) && str_to_u32(rseq_text, UINT32_MAX, &rseq) == 0 &&
	       str_to_u32(cseq_text, UINT32_MAX, &cseq) == 0 && rseq == r->rseq && cseq == r->invite_cseq &&
	       str_eqz(str_trim(rest), "INVITE");
}

static void release(struct session *s)
{
	struct held h = s->rel->held;
	struct str body = { h.body, h.body_len };

	s->rel->held = (struct held){ 0 };
	if (h.status >= 200)
		session_answer(s, h.hdrs, h.ctype, body);
	else if (h.status)
		session_progress(s, h.status, h.hdrs, h.ctype, body);
	drop_held(&h);
}

void rel_prack(struct session *s, struct strans *st, const struct sip_msg *m)
{
	struct str sdp = sip_msg_part(m, "application/sdp");
	struct rel *r = s->rel;

	if (!r || !is_rack_of(r, m)) {
		strans_reply_simple(st, 481, NULL);
		return;
	}
	if (r->is_offer && !sdp.n) {
		strans_reply(st, &(struct sip_reply){ .status = 400, .reason = "Missing Answer" });
		return;
	}
	timer_stop(s->dialog.ua->timers, &r->timer);
	r->is_waiting = r->is_owed = false;
	r->is_agreed = r->is_agreed || r->has_sdp;
	if (sdp.n && !r->is_offer) {
		uas_reoffer(s, st, m); /* another offer (RFC 3262 §5) */
	} else {
		strans_reply_simple(st, 200, NULL);
		if (s->handler->on_prack)
			s->handler->on_prack(s, m, s->arg);
	}
	if (s->state != SESSION_ST_TERMINATED)
		release(s);
}
