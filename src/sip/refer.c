/* refer.c - the implicit subscription of a REFER, as a further usage of a session's dialog (RFC 3515 §2.4, RFC 5057).
 *
 * One NOTIFY is under way at a time; meanwhile only the newest status waits. The session's dialog stays until the last refer
 * has left it, also when the session itself has ended with BYE: the referrer may hang up first (RFC 5589 §6).
 */
#include "sip/refer.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "sip/session_int.h"

#define EXPIRES_S 600 /* longer than anything rings */

struct refer {
	struct refer *prev, *next;    /* in session->refers */
	struct session *session;      /* NULL: has left it, or never was in one */
	struct subscription *sub;     /* the dialog of its own; NULL: none, or it has ended */
	struct request req;
	struct timer expiry;
	uint64_t expires_at_ms;
	uint32_t id;                  /* CSeq of the REFER */
	int status, told;             /* newest; last sent */
	bool is_notifying;
	bool is_over;                 /* the last NOTIFY was sent, or nobody listens */
	bool is_finished;             /* by its owner */
	const char *reason;           /* of the end, when it isn't the final status */
};

static void on_response(struct request *req, const struct sip_msg *m);
static void on_done(struct request *req, int err);

static const struct request_handler notify_handler = { .on_response = on_response, .on_done = on_done };

/* ---- values ---- */

static bool take_tag(struct str params, const char *name, struct str *out)
{
	return sip_param_find(params, name, out) && out->n > 0;
}

int replaces_parse(struct replaces *out, struct str value)
{
	struct str params;

	*out = (struct replaces){ 0 };
	sip_token_params(value, &out->call_id, &params);
	if (!out->call_id.n || !take_tag(params, "to-tag", &out->to_tag) || !take_tag(params, "from-tag", &out->from_tag))
		return -EINVAL;
	out->is_early_only = sip_param_find(params, "early-only", NULL);
	return 0;
}

int target_dialog_of(struct replaces *out, const struct sip_msg *m)
{
	struct str value = sip_msg_value_by_name(m, "Target-Dialog"), params;

	*out = (struct replaces){ 0 };
	if (!value.p)
		return -ENOENT;
	sip_token_params(value, &out->call_id, &params);
	return out->call_id.n && take_tag(params, "local-tag", &out->to_tag) && take_tag(params, "remote-tag", &out->from_tag) ? 0 : -EINVAL;
}

/* It goes out as a header line: nothing in it may end that. */
static bool is_one_line(const char *z)
{
	for (; *z; z++)
		if ((unsigned char)*z < ' ' || *z == 127)
			return false;
	return true;
}

/* A header of a URI ("?Replaces=...&..."), unescaped. False: there is none; an error in *err when it can't be read. */
static bool uri_header(const struct sip_uri *uri, const char *name, char *buf, size_t size, int *err)
{
	struct str rest = uri->headers;

	while (rest.n > 0) {
		struct str one = str_cut(&rest, '&');
		struct str key = str_cut(&one, '=');

		if (!str_ieqz(key, name))
			continue;
		*err = sip_unescape(one, buf, size);
		if (!*err && !is_one_line(buf))
			*err = -EINVAL;
		return true;
	}
	return false;
}

int refer_to_parse(struct refer_to *out, const struct sip_msg *m)
{
	struct sip_hdr_iter it = { 0 };
	struct str value, another, method;
	struct sip_addr addr;
	int err = 0;

	*out = (struct refer_to){ 0 };
	if (!sip_msg_hdr_next(m, SIP_HDR_REFER_TO, &it, &value) || sip_msg_hdr_next(m, SIP_HDR_REFER_TO, &it, &another) ||
	    sip_addr_parse(&addr, value) != 0)
		return -EINVAL;
	out->uri = addr.uri;
	out->is_invite = !sip_param_find(addr.uri.params, "method", &method) || str_ieqz(method, "INVITE");
	uri_header(&addr.uri, "Replaces", out->replaces, sizeof(out->replaces), &err);
	return err ? -EINVAL : 0;
}

/* ---- life ---- */

static struct timers *timers_of(const struct refer *r)
{
	return r->session->dialog.ua->timers;
}

/* Leaves the dialog once nothing is under way in it; frees itself when its owner is done with it too. */
static void settle(struct refer *r)
{
	struct session *s = r->session;

	if (s && r->is_over && !r->is_notifying) {
		timer_stop(timers_of(r), &r->expiry);
		DL_DELETE(s->refers, r);
		r->session = NULL;
		session_reap(s);
	}
	if (!r->session && r->is_finished)
		free(r);
}

void refer_end_all(struct session *s)
{
	struct refer *r, *next;

	DL_FOREACH_SAFE(s->refers, r, next) {
		r->is_over = true;
		settle(r);
	}
}

void refer_drop_all(struct session *s)
{
	struct refer *r, *next;

	DL_FOREACH_SAFE(s->refers, r, next) {
		timer_stop(timers_of(r), &r->expiry);
		if (r->is_notifying)
			request_fini(&r->req);
		r->is_notifying = false;
		r->is_over = true;
		DL_DELETE(s->refers, r);
		r->session = NULL;
		if (r->is_finished)
			free(r);
	}
}

/* ---- NOTIFY ---- */

#define CTYPE "message/sipfrag;version=2.0"

static struct str status_line(const struct refer *r, char *buf, size_t size)
{
	struct out o;

	out_init(&o, buf, size);
	out_fmt(&o, "SIP/2.0 %d %s\r\n", r->status, sip_reason(r->status));
	return out_view(&o);
}

static void send_notify(struct refer *r)
{
	char hdrs[160], body[128];
	struct out ho;
	uint64_t now = timers_now(timers_of(r));
	bool is_last = r->status >= 200 || r->reason;

	out_init(&ho, hdrs, sizeof(hdrs));
	out_fmt(&ho, "Event: refer;id=%u\r\n", r->id);
	if (is_last)
		out_fmt(&ho, "Subscription-State: terminated;reason=%s\r\n", r->reason ? r->reason : "noresource");
	else
		out_fmt(&ho, "Subscription-State: active;expires=%llu\r\n",
			(unsigned long long)(r->expires_at_ms > now ? (r->expires_at_ms - now) / 1000 : 0));

	const struct request_params p = {
		.method = "NOTIFY", .hdrs = out_view(&ho), .ctype = CTYPE, .body = status_line(r, body, sizeof(body)),
	};
	if (request_start(&r->req, &r->session->dialog, &p, &notify_handler) == 0)
		r->is_notifying = true;
	else
		r->is_over = true;
	r->told = r->status;
	r->is_over = r->is_over || is_last;
}

/* Sends what there is to say, if the one before is through. */
static void update(struct refer *r)
{
	if (r->session && !r->is_over && !r->is_notifying && (r->status != r->told || r->reason))
		send_notify(r);
	settle(r);
}

static void answered(struct refer *r, int status, const struct sip_msg *m)
{
	enum dialog_end end = dialog_end_of(status);

	request_fini(&r->req);
	r->is_over = r->is_over || end != DIALOG_END_NOTHING;
	if (end == DIALOG_END_ALL)
		session_failed_by(r->session, status, m); /* may tell our owner: we stay, as long as we notify */
	r->is_notifying = false;
	update(r);
}

static void on_response(struct request *req, const struct sip_msg *m)
{
	if (m->status >= 200)
		answered(container_of(req, struct refer, req), m->status, m);
}

static void on_done(struct request *req, int err)
{
	(void)err;
	answered(container_of(req, struct refer, req), 408, NULL);
}

/* ---- its owner ---- */

static void on_expiry(void *arg)
{
	struct refer *r = arg;

	r->reason = "timeout";
	update(r);
}

static void set_expiry(struct refer *r, uint32_t expires_s)
{
	r->expires_at_ms = timers_now(timers_of(r)) + (uint64_t)expires_s * 1000;
	timer_start(timers_of(r), &r->expiry, (uint64_t)expires_s * 1000);
}

static int reply_accepted(struct session *s, struct strans *st, int status, const char *more)
{
	struct out o;
	int err = -EMSGSIZE;

	out_init_grow(&o, SIP_MSG_MAX);
	dialog_print_contact(&s->dialog, &o);
	out_z(&o, more);
	if (out_ok(&o))
		err = strans_reply(st, &(struct sip_reply){ .status = status, .hdrs = out_view(&o) });
	out_fini(&o);
	return err;
}

/* RFC 4488 */
static bool has_no_subscription(const struct sip_msg *m)
{
	return str_ieqz(sip_msg_value_by_name(m, "Refer-Sub"), "false") || sip_msg_has_token(m, SIP_HDR_REQUIRE, "norefersub");
}

int refer_accept(struct refer **out, struct session *s, struct strans *st, const struct sip_msg *m)
{
	bool is_silent = has_no_subscription(m);
	struct refer *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	err = reply_accepted(s, st, 202, is_silent ? "Refer-Sub: false\r\n" : "");
	if (err) {
		free(r);
		return err;
	}
	*out = r;
	if (is_silent)
		return 0;
	r->session = s;
	r->id = m->cseq.seq;
	DL_APPEND(s->refers, r);
	timer_init(&r->expiry, on_expiry, r);
	set_expiry(r, EXPIRES_S);
	refer_progress(r, 100);
	return 0;
}

/* ---- in a dialog of its own ---- */

static void notify_outside(struct refer *r)
{
	char body[128];

	if (r->sub && r->told != r->status)
		subscription_notify(r->sub, CTYPE, status_line(r, body, sizeof(body)));
	r->told = r->status;
}

static void on_outside_refresh(struct subscription *sub, uint32_t expires_s, void *arg)
{
	(void)sub;
	(void)expires_s;
	((struct refer *)arg)->told = 0;
	notify_outside(arg);
}

static void on_outside_closed(struct subscription *sub, void *arg)
{
	(void)sub;
	((struct refer *)arg)->sub = NULL;
}

/* Whoever moves to another address meanwhile hears the end there no more than here: it has a few minutes. */
static bool refuse_elsewhere(struct subscription *sub, struct strans *st, const struct sip_msg *m, void *arg)
{
	(void)sub;
	(void)m;
	(void)arg;
	strans_reply_simple(st, 403, NULL);
	return false;
}

static const struct subscription_handler outside_handler = {
	.on_refresh = on_outside_refresh, .on_closed = on_outside_closed, .on_authorize = refuse_elsewhere,
};

int refer_accept_outside(struct refer **out, struct sip_ua *ua, struct strans *st, const struct sip_msg *m)
{
	struct refer *r = calloc(1, sizeof(*r));
	int err = 0;

	if (!r)
		return -ENOMEM;
	if (has_no_subscription(m))
		strans_reply_simple(st, 202, "Refer-Sub: false\r\n");
	else
		err = subscription_accept_refer(&r->sub, ua, st, m, EXPIRES_S, &outside_handler, r);
	if (err) {
		free(r);
		return err;
	}
	*out = r;
	refer_progress(r, 100);
	return 0;
}

/* ---- either way ---- */

void refer_progress(struct refer *r, int status)
{
	r->status = status;
	if (r->sub)
		notify_outside(r);
	else
		update(r);
}

void refer_finish(struct refer *r, int status)
{
	char body[128];

	r->is_finished = true;
	r->status = status;
	if (r->sub) {
		subscription_finish(r->sub, "noresource", CTYPE, status_line(r, body, sizeof(body)));
		r->sub = NULL;
	}
	update(r);
}

/* ---- SUBSCRIBE: the referrer goes on with it, or ends it (RFC 3515 §2.4.6) ---- */

void refer_subscribe(struct session *s, struct strans *st, const struct sip_msg *m)
{
	struct str event, params, id = STR_NULL;
	int64_t expires_s = sip_msg_expires(m, EXPIRES_S);
	uint32_t n = 0;
	struct refer *r;
	char line[32];

	sip_token_params(sip_msg_value(m, SIP_HDR_EVENT), &event, &params);
	if (!str_eqz(event, "refer")) {
		strans_reply_simple(st, 489, "Allow-Events: refer\r\n");
		return;
	}
	if (expires_s < 0 || (sip_param_find(params, "id", &id) && str_to_u32(id, UINT32_MAX, &n) != 0)) {
		strans_reply_simple(st, 400, NULL);
		return;
	}
	DL_FOREACH(s->refers, r) {
		if (!r->is_over && (!id.p || r->id == n))
			break;
	}
	if (!r) {
		strans_reply_simple(st, 481, NULL);
		return;
	}
	if (expires_s > EXPIRES_S)
		expires_s = EXPIRES_S;
	snprintf(line, sizeof(line), "Expires: %u\r\n", (unsigned)expires_s);
	if (reply_accepted(s, st, 200, line)) {
		strans_reply_simple(st, 500, NULL);
		return;
	}
	if (expires_s == 0) {
		on_expiry(r);
		return;
	}
	set_expiry(r, (uint32_t)expires_s);
	r->told = 0; /* RFC 6665 §4.2.1.1: each SUBSCRIBE is answered by a NOTIFY */
	update(r);
}

/* ---- dialogs of ours ---- */

static struct session *find_one(struct sip_ua *ua, struct str call_id, struct str local, struct str remote)
{
	struct dialog *d = dialog_find(ua, call_id, local);

	if (!d || d->usage != &session_usage)
		return NULL;
	/* RFC 3891 §3: from-tag "0" is that of a peer without tags (RFC 2543). */
	if (!dialog_has_remote_tag(d, remote) && !(str_eqz(remote, "0") && !d->remote_tag[0]))
		return NULL;
	return container_of(d, struct session, dialog);
}

struct session *session_find(struct sip_ua *ua, const struct replaces *which)
{
	struct session *s = find_one(ua, which->call_id, which->to_tag, which->from_tag);

	return s ? s : find_one(ua, which->call_id, which->from_tag, which->to_tag);
}

bool session_has_call_id(struct sip_ua *ua, struct str call_id)
{
	const struct dialog *d, *next;

	HASH_ITER(hh, ua->dialogs, d, next) {
		if (str_eqz(call_id, d->call_id))
			return true;
	}
	return false;
}

void *session_arg(const struct session *s, const struct session_handler *h)
{
	return s->handler == h ? s->arg : NULL;
}
