/* subscription.c - the notifier's side of a subscription (RFC 6665).
 *
 *   ACTIVE    NOTIFYs say active;expires=
 *   ENDING    the subscriber asked for one state and no more (Expires: 0): the next NOTIFY is the last
 *   ENDED     the last NOTIFY is out, or the subscriber is gone
 *
 * One NOTIFY is under way at a time, so that they can't arrive out of order; while it is, only the newest state
 * waits, for an older one has lost its interest. Like a session it frees itself from a 0 ms timer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/request.h"

#define DEFAULT_EXPIRES_S 3600
#define MAX_EXPIRES_S     3600
#define LAST_NOTIFY_MS    5000 /* our owner's time to say the last state; then it goes without */

enum subscription_state { ACTIVE, ENDING, ENDED };

struct subscription {
	struct dialog dialog;
	const struct subscription_handler *handler;
	void *arg;
	struct timer expiry, reaper;
	struct request req;
	char *event;                  /* with its id parameter, as subscribed to */
	char *next_ctype, *next_body; /* the state that waits */
	size_t next_len;
	uint64_t expires_at_ms;
	uint32_t min_expires_s, max_expires_s;
	uint8_t state;
	bool is_notifying, has_next, is_told;
	char reason[16];
};

static void on_response(struct request *r, const struct sip_msg *m);
static void on_done(struct request *r, int err);
static void on_expiry(void *arg);
static void on_reaper(void *arg);

static const struct request_handler notify_handler = { .on_response = on_response, .on_done = on_done };

/* ---- the end ---- */

static void sub_free(struct subscription *sub)
{
	struct timers *timers = sub->dialog.ua->timers;

	timer_stop(timers, &sub->expiry);
	timer_stop(timers, &sub->reaper);
	if (sub->is_notifying)
		request_fini(&sub->req);
	free(sub->event);
	free(sub->next_ctype);
	free(sub->next_body);
	dialog_fini(&sub->dialog);
	free(sub);
}

static void on_reaper(void *arg)
{
	struct subscription *sub = arg;

	if (!sub->is_told) {
		sub->is_told = true;
		if (sub->handler && sub->handler->on_closed)
			sub->handler->on_closed(sub, sub->arg);
	}
	if (!sub->is_notifying)
		sub_free(sub);
}

/* The one place where the state changes; it only goes forward. */
static void set_state(struct subscription *sub, enum subscription_state state)
{
	struct timers *timers = sub->dialog.ua->timers;

	if (state <= sub->state)
		return;
	sub->state = (uint8_t)state;
	if (state == ENDED) {
		timer_stop(timers, &sub->expiry);
		timer_start(timers, &sub->reaper, 0);
	}
}

/* ---- NOTIFY ---- */

static int send_notify(struct subscription *sub, const char *ctype, struct str body)
{
	struct timers *timers = sub->dialog.ua->timers;
	struct request_params p = { .method = "NOTIFY", .ctype = body.n > 0 ? ctype : NULL, .body = body };
	char hdrs[512];
	struct out o;

	out_init(&o, hdrs, sizeof(hdrs));
	out_fmt(&o, "Event: %s\r\nSubscription-State: ", sub->event);
	if (sub->state == ACTIVE) {
		uint64_t now = timers_now(timers);
		out_fmt(&o, "active;expires=%llu\r\n",
			(unsigned long long)(sub->expires_at_ms > now ? (sub->expires_at_ms - now) / 1000 : 0));
	} else {
		out_fmt(&o, "terminated;reason=%s\r\n", sub->reason);
	}
	p.hdrs = out_view(&o);
	int err = out_ok(&o) ? request_start(&sub->req, &sub->dialog, &p, &notify_handler) : -EMSGSIZE;
	if (!err)
		sub->is_notifying = true;
	if (err || sub->state == ENDING)
		set_state(sub, ENDED);
	return err;
}

static int keep_next(struct subscription *sub, const char *ctype, struct str body)
{
	char *type = ctype ? strdup(ctype) : NULL, *text = str_dup(body);

	if (!text || (ctype && !type)) {
		free(type);
		free(text);
		return -ENOMEM;
	}
	free(sub->next_ctype);
	free(sub->next_body);
	sub->next_ctype = type;
	sub->next_body = text;
	sub->next_len = body.n;
	sub->has_next = true;
	return 0;
}

int subscription_notify(struct subscription *sub, const char *ctype, struct str body)
{
	if (sub->state == ENDED)
		return -ENOTCONN;
	return sub->is_notifying ? keep_next(sub, ctype, body) : send_notify(sub, ctype, body);
}

/* The one under way is over; what waited goes now. */
static void notified(struct subscription *sub)
{
	sub->is_notifying = false;
	if (sub->has_next) {
		char *ctype = sub->next_ctype, *body = sub->next_body;
		sub->next_ctype = sub->next_body = NULL;
		sub->has_next = false;
		send_notify(sub, ctype, (struct str){ body, sub->next_len });
		free(ctype);
		free(body);
	}
	if (sub->state == ENDED)
		timer_start(sub->dialog.ua->timers, &sub->reaper, 0);
	else if (!sub->is_notifying && sub->handler->on_notified)
		sub->handler->on_notified(sub, sub->arg);
}

struct str subscription_event(const struct subscription *sub)
{
	return str_from(sub->event);
}

bool subscription_is_notifying(const struct subscription *sub)
{
	return sub->is_notifying;
}

/* RFC 6665 §4.2.2: who answers like this has forgotten the subscription. */
static bool is_subscriber_gone(int status, const struct sip_msg *m)
{
	return !(m && sip_msg_has(m, SIP_HDR_RETRY_AFTER)) && dialog_end_of(status) != DIALOG_END_NOTHING;
}

static void notify_answered(struct request *r, int status, const struct sip_msg *m)
{
	struct subscription *sub = container_of(r, struct subscription, req);

	request_fini(r);
	if (is_subscriber_gone(status, m)) {
		sub->has_next = false;
		set_state(sub, ENDED);
	}
	notified(sub);
}

static void on_response(struct request *r, const struct sip_msg *m)
{
	if (m->status >= 200)
		notify_answered(r, m->status, m);
}

static void on_done(struct request *r, int err)
{
	(void)err;
	notify_answered(r, 408, NULL); /* nobody there, by time-out or by the transport's word */
}

/* ---- SUBSCRIBE ---- */

static int reply_accepted(struct subscription *sub, struct strans *st, int status, uint32_t expires_s)
{
	struct out o;
	int err = -EMSGSIZE;

	out_init_grow(&o, SIP_MSG_MAX);
	out_fmt(&o, "Expires: %u\r\n", expires_s);
	dialog_print_contact(&sub->dialog, &o);
	out_z(&o, sub->dialog.ua->allow_events);
	if (out_ok(&o))
		err = strans_reply(st, &(struct sip_reply){
			.status = status, .to_tag = str_from(sub->dialog.local_tag), .hdrs = out_view(&o),
		});
	out_fini(&o);
	return err;
}

static void set_expiry(struct subscription *sub, uint32_t expires_s)
{
	struct timers *timers = sub->dialog.ua->timers;
	uint64_t wait_ms = expires_s > 0 ? (uint64_t)expires_s * 1000 : LAST_NOTIFY_MS;

	sub->expires_at_ms = timers_now(timers) + (uint64_t)expires_s * 1000;
	timer_start(timers, &sub->expiry, wait_ms);
	if (expires_s == 0) {
		str_copy(STR("timeout"), sub->reason, sizeof(sub->reason));
		set_state(sub, ENDING);
	}
}

static bool is_same_event(const struct subscription *sub, const struct sip_msg *m)
{
	struct str ours, theirs, ours_params, theirs_params, our_id = STR_NULL, their_id = STR_NULL;

	sip_token_params(str_from(sub->event), &ours, &ours_params);
	sip_token_params(sip_msg_value(m, SIP_HDR_EVENT), &theirs, &theirs_params);
	sip_param_find(ours_params, "id", &our_id);
	sip_param_find(theirs_params, "id", &their_id);
	return str_eq(ours, theirs) && str_eq(our_id, their_id);
}

/* RFC 6665 §4.2.1.1 */
static void refuse_brief(const struct subscription *sub, struct strans *st)
{
	char min_expires[48];

	snprintf(min_expires, sizeof(min_expires), "Min-Expires: %u\r\n", sub->min_expires_s);
	strans_reply_simple(st, 423, min_expires);
}

/* RFC 6665 §8.2.2: says which would do. */
static void refuse_event(const struct subscription *sub, struct strans *st)
{
	struct str event, params;
	char line[128];

	sip_token_params(str_from(sub->event), &event, &params);
	snprintf(line, sizeof(line), "Allow-Events: %.*s\r\n", (int)(event.n < 64 ? event.n : 64), event.p);
	strans_reply_simple(st, 489, line);
}

static void on_resubscribe(struct subscription *sub, struct strans *st, const struct sip_msg *m)
{
	int64_t wanted_s = sip_msg_expires(m, DEFAULT_EXPIRES_S);

	if (sub->state != ACTIVE) {
		strans_reply_simple(st, 481, NULL);
		return;
	}
	if (!is_same_event(sub, m)) {
		refuse_event(sub, st);
		return;
	}
	if (wanted_s < 0) {
		strans_reply(st, &(struct sip_reply){ .status = 400, .reason = "Malformed Expires" });
		return;
	}
	if (wanted_s > 0 && wanted_s < sub->min_expires_s) {
		refuse_brief(sub, st);
		return;
	}
	if (!dialog_is_own_flow(&sub->dialog, strans_source(st)) && sub->handler->on_authorize &&
	    !sub->handler->on_authorize(sub, st, m, sub->arg))
		return;
	uint32_t expires_s = wanted_s < sub->max_expires_s ? (uint32_t)wanted_s : sub->max_expires_s;
	dialog_seen_from(&sub->dialog, strans_source(st));
	dialog_refresh_target(&sub->dialog, m);
	if (reply_accepted(sub, st, 200, expires_s)) {
		strans_reply_simple(st, 500, NULL);
		return;
	}
	set_expiry(sub, expires_s);
	if (sub->handler && sub->handler->on_refresh)
		sub->handler->on_refresh(sub, expires_s, sub->arg);
}

static void on_request(struct dialog *d, struct strans *st, const struct sip_msg *m)
{
	struct subscription *sub = container_of(d, struct subscription, dialog);

	if (m->method == SIP_SUBSCRIBE)
		on_resubscribe(sub, st, m);
	else
		strans_reply_simple(st, m->method == SIP_BYE ? 481 : 405, d->ua->allow);
}

static void on_ack(struct dialog *d, const struct sip_msg *m, const struct sip_source *src)
{
	(void)d;
	(void)m;
	(void)src;
}

static void on_stray_2xx(struct dialog *d, const struct sip_msg *m, const struct sip_source *src)
{
	(void)d;
	(void)m;
	(void)src;
}

static void drop(struct dialog *d)
{
	sub_free(container_of(d, struct subscription, dialog));
}

static const struct dialog_usage subscription_usage = {
	.on_request = on_request,
	.on_ack = on_ack,
	.on_stray_2xx = on_stray_2xx,
	.drop = drop,
};

static struct subscription *sub_new(uint32_t expires_s, const struct subscription_handler *h, void *arg)
{
	struct subscription *sub = calloc(1, sizeof(*sub));

	if (!sub)
		return NULL;
	sub->handler = h;
	sub->arg = arg;
	sub->max_expires_s = expires_s > MAX_EXPIRES_S ? expires_s : MAX_EXPIRES_S;
	timer_init(&sub->expiry, on_expiry, sub);
	timer_init(&sub->reaper, on_reaper, sub);
	return sub;
}

struct accepted { struct str event; int status; uint32_t expires_s; };

static int take_up(struct subscription **out, struct sip_ua *ua, struct strans *st, const struct sip_msg *m, const struct accepted *a,
		  const struct subscription_handler *h, void *arg)
{
	struct subscription *sub = sub_new(a->expires_s, h, arg);
	int err;

	if (!sub)
		return -ENOMEM;
	err = dialog_init_uas(&sub->dialog, ua, &subscription_usage, m, strans_source(st));
	if (err) {
		free(sub);
		return err;
	}
	sub->event = str_dup(a->event);
	err = sub->event ? reply_accepted(sub, st, a->status, a->expires_s) : -ENOMEM;
	if (err) {
		sub_free(sub);
		return err;
	}
	set_expiry(sub, a->expires_s);
	*out = sub;
	return 0;
}

int subscription_accept(struct subscription **out, struct sip_ua *ua, struct strans *st, const struct sip_msg *m,
			uint32_t expires_s, const struct subscription_handler *h, void *arg)
{
	const struct accepted a = { sip_msg_value(m, SIP_HDR_EVENT), 200, expires_s };

	return sip_msg_has(m, SIP_HDR_EVENT) ? take_up(out, ua, st, m, &a, h, arg) : -EINVAL;
}

int subscription_accept_refer(struct subscription **out, struct sip_ua *ua, struct strans *st, const struct sip_msg *m,
			      uint32_t expires_s, const struct subscription_handler *h, void *arg)
{
	return take_up(out, ua, st, m, &(struct accepted){ STR("refer"), 202, expires_s }, h, arg);
}

void subscription_limit(struct subscription *sub, uint32_t min_s, uint32_t max_s)
{
	sub->min_expires_s = min_s;
	sub->max_expires_s = max_s;
}

/* ---- from one process to the next ---- */

void subscription_keep(const struct subscription *sub, struct subscription_kept *out)
{
	const struct dialog *d = &sub->dialog;

	*out = (struct subscription_kept){
		.call_id = str_from(d->call_id), .local_tag = str_from(d->local_tag), .remote_tag = str_from(d->remote_tag),
		.local = str_from(d->local), .remote = str_from(d->remote), .target = str_from(d->target),
		.contact_user = str_from(d->contact_user), .event = str_from(sub->event), .routes = str_from(d->routes),
		.local_seq = d->local_seq, .remote_seq = d->remote_seq, .proto = d->source.proto, .peer = d->source.peer,
	};
}

int subscription_restore(struct subscription **out, struct sip_ua *ua, const struct subscription_kept *k, uint32_t expires_s,
			 const struct subscription_handler *h, void *arg)
{
	struct subscription *sub = sub_new(expires_s, h, arg);
	int err;

	if (!sub)
		return -ENOMEM;
	err = dialog_init_kept(&sub->dialog, ua, &subscription_usage, k);
	if (err) {
		free(sub);
		return err;
	}
	sub->event = str_dup(k->event);
	if (!sub->event) {
		sub_free(sub);
		return -ENOMEM;
	}
	set_expiry(sub, expires_s);
	*out = sub;
	return 0;
}

/* The last NOTIFY, now or behind the one under way. */
static void finish(struct subscription *sub, const char *reason, const char *ctype, struct str body)
{
	if (sub->state == ENDED)
		return;
	str_copy(str_from(reason), sub->reason, sizeof(sub->reason));
	set_state(sub, ENDING);
	if (!sub->is_notifying)
		send_notify(sub, ctype, body);
	else if ((body.n || !sub->has_next) && keep_next(sub, ctype, body))
		set_state(sub, ENDED);
}

static void on_expiry(void *arg)
{
	finish(arg, "timeout", NULL, STR_NULL);
}

void subscription_close(struct subscription *sub, const char *reason)
{
	finish(sub, reason ? reason : "noresource", NULL, STR_NULL);
}

void subscription_finish(struct subscription *sub, const char *reason, const char *ctype, struct str body)
{
	static const struct subscription_handler nobody;

	sub->handler = &nobody;
	finish(sub, reason, ctype, body);
}
