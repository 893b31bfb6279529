/* ua.c - the user agent core: which request goes where, and what is answered here (RFC 3261 §8.2, §12.2.2).
 *
 * A request with a To tag belongs to a dialog or to nobody; one without goes to the handler of its method.
 * What is refused is refused in the order of §8.2: method, Request-URI, Require, content.
 */
#include "sip/ua_int.h"

#include <errno.h>
#include <stdlib.h>

#include "sip/dialog.h"
#include "sip/guard.h"

#define NEXT_TARGET_MS 4000
#define RETRY_AFTER_MAX_S 10 /* RFC 3261 §14.2 */

static enum sip_early on_early(const struct sip_msg *m, const struct sip_source *src, struct sip_reply *r, void *arg);
static void on_request(struct strans *st, const struct sip_msg *m, void *arg);
static void on_ack(const struct sip_msg *m, const struct sip_source *src, void *arg);
static void on_stray_2xx(const struct sip_msg *m, const struct sip_source *src, void *arg);
static void on_flow_closed(uint64_t flow, void *arg);
static void on_stun(struct str answer, const struct sip_source *src, void *arg);

static const struct sip_stack_handler stack_handler = {
	.on_early = on_early,
	.on_request = on_request,
	.on_ack = on_ack,
	.on_stray_2xx = on_stray_2xx,
	.on_flow_closed = on_flow_closed,
	.on_stun = on_stun,
};

/* ---- what we can do ---- */

static void write_allow(struct sip_ua *ua)
{
	struct out o;
	bool is_first = true;

	out_init(&o, ua->allow, sizeof(ua->allow) - 1);
	out_z(&o, "Allow: ");
	for (int i = SIP_OTHER + 1; i < SIP_METHOD_COUNT; i++) {
		if (!ua->allows[i])
			continue;
		out_z(&o, is_first ? "" : ", ");
		out_z(&o, sip_method_name((enum sip_method)i));
		is_first = false;
	}
	out_z(&o, "\r\n");
	ua->allow[o.len] = '\0';
}

void sip_ua_allow_in_dialog(struct sip_ua *ua, enum sip_method method)
{
	ua->allows[method] = true;
	write_allow(ua);
}

int sip_ua_support(struct sip_ua *ua, const char *option_tag)
{
	struct out o;

	if (ua->noption_tags == UA_OPTION_TAGS_MAX)
		return -ENOSPC;
	ua->option_tags[ua->noption_tags] = option_tag;
	out_init(&o, ua->supported, sizeof(ua->supported) - 1);
	for (unsigned i = 0; i <= ua->noption_tags; i++)
		out_fmt(&o, "%s%s", i == 0 ? "Supported: " : ", ", ua->option_tags[i]);
	out_z(&o, "\r\n");
	ua->supported[o.len] = '\0';
	ua->noption_tags++;
	return 0;
}

void sip_ua_allow_event(struct sip_ua *ua, const char *package)
{
	struct str before = str_trim(str_from(ua->allow_events));
	char line[UA_ALLOW_MAX];
	struct out o;

	out_init(&o, line, sizeof(line) - 1);
	out_str(&o, before);
	out_z(&o, before.n ? ", " : "Allow-Events: ");
	out_z(&o, package);
	out_z(&o, "\r\n");
	if (!out_ok(&o))
		return;
	line[o.len] = '\0';
	memcpy(ua->allow_events, line, o.len + 1);
}

int sip_ua_support_in(struct sip_ua *ua, enum sip_method method, const char *option_tag)
{
	if (ua->nmethod_tags == UA_OPTION_TAGS_MAX)
		return -ENOSPC;
	ua->method_tags[ua->nmethod_tags].method = method;
	ua->method_tags[ua->nmethod_tags++].tag = option_tag;
	return 0;
}

static bool is_supported(const struct sip_ua *ua, enum sip_method method, struct str tag)
{
	for (unsigned i = 0; i < ua->noption_tags; i++) {
		if (str_ieqz(tag, ua->option_tags[i]))
			return true;
	}
	for (unsigned i = 0; i < ua->nmethod_tags; i++) {
		if (ua->method_tags[i].method == method && str_ieqz(tag, ua->method_tags[i].tag))
			return true;
	}
	return false;
}

/* ---- life ---- */

int sip_ua_new(struct sip_ua **out, const struct sip_ua_params *p)
{
	static const enum sip_method built_in[] = { SIP_INVITE, SIP_ACK, SIP_BYE, SIP_CANCEL, SIP_OPTIONS, SIP_UPDATE, SIP_PRACK };
	struct sip_stack_params stack = p->stack;
	struct sip_ua *ua = calloc(1, sizeof(*ua));

	if (!ua)
		return -ENOMEM;
	ua->resolver = p->resolver;
	ua->next_target_ms = p->next_target_ms ? p->next_target_ms : NEXT_TARGET_MS;
	ua->timers = p->stack.timers;
	ua->rng = p->stack.rng;
	ua->clock = p->stack.clock;
	ua->log = p->stack.log;
	ua->local = p->local;
	stack.resolver = p->resolver;
	int err = sip_stack_new(&ua->stack, &stack, &stack_handler, ua);
	if (err) {
		free(ua);
		return err;
	}
	if (ua->resolver && sip_stack_transport(ua->stack))
		resolver_set_transport(ua->resolver, sip_stack_transport(ua->stack));
	for (size_t i = 0; i < ARRAY_LEN(built_in); i++)
		ua->allows[built_in[i]] = true;
	write_allow(ua);
	/* session_timer.c, session_rel.c, session_early.c */
	sip_ua_support(ua, "timer");
	sip_ua_support(ua, "100rel");
	sip_ua_support(ua, "199");
	sip_ua_support(ua, "from-change"); /* session_update.c */
	*out = ua;
	return 0;
}

void sip_ua_close(struct sip_ua *ua)
{
	if (!ua)
		return;
	while (ua->dialogs)
		ua->dialogs->usage->drop(ua->dialogs);
	sip_stack_close(ua->stack);
	free(ua);
}

struct sip_stack *sip_ua_stack(struct sip_ua *ua)
{
	return ua->stack;
}

struct transport *sip_ua_transport(struct sip_ua *ua)
{
	return sip_stack_transport(ua->stack);
}

void sip_ua_handle(struct sip_ua *ua, enum sip_method method, sip_ua_request_fn *fn, void *arg)
{
	ua->handlers[method].fn = fn;
	ua->handlers[method].arg = arg;
	if (method != SIP_OTHER)
		sip_ua_allow_in_dialog(ua, method);
}

void sip_ua_on_flow_closed(struct sip_ua *ua, void (*fn)(uint64_t flow, void *arg), void *arg)
{
	ua->on_flow_closed = fn;
	ua->on_flow_closed_arg = arg;
}

void sip_ua_flow_expect(struct sip_ua *ua, uint64_t flow, uint32_t every_s)
{
	struct transport *t = sip_stack_transport(ua->stack);

	if (t)
		transport_flow_expect(t, flow, every_s);
}

void sip_ua_flow_ping(struct sip_ua *ua, uint64_t flow, uint32_t every_s, bool must_answer)
{
	struct transport *t = sip_stack_transport(ua->stack);

	if (t)
		transport_flow_ping(t, flow, every_s, must_answer);
}

void sip_ua_flow_close(struct sip_ua *ua, uint64_t flow)
{
	struct transport *t = sip_stack_transport(ua->stack);

	if (t)
		transport_flow_close(t, flow);
}

void sip_ua_on_stun(struct sip_ua *ua, void (*fn)(struct str answer, const struct sip_source *src, void *arg), void *arg)
{
	ua->on_stun = fn;
	ua->on_stun_arg = arg;
}

uint32_t sip_ua_next_target_ms(const struct sip_ua *ua)
{
	return ua->next_target_ms;
}

unsigned sip_ua_sessions(const struct sip_ua *ua)
{
	return ua->nsessions;
}

const char *sip_ua_allow(const struct sip_ua *ua)
{
	return ua->allow;
}

int sip_ua_local(const struct sip_ua *ua, const struct sip_dest *dest, union sockaddr_any *out)
{
	return ua_local(ua, dest, out);
}

int ua_local(const struct sip_ua *ua, const struct sip_dest *dest, union sockaddr_any *out)
{
	struct transport *t = sip_stack_transport(ua->stack);

	if (t)
		return transport_local(t, dest, out);
	*out = ua->local;
	return 0;
}

/* ---- answers of our own ---- */

void ua_reply_retry_after(struct sip_ua *ua, struct strans *st, int status)
{
	char line[32];
	struct out o;

	out_init(&o, line, sizeof(line));
	out_fmt(&o, "Retry-After: %u\r\n", rng_below(ua->rng, RETRY_AFTER_MAX_S + 1));
	line[o.len] = '\0';
	strans_reply_simple(st, status, line);
}

static void reply_bad_request(struct strans *st, const char *reason)
{
	strans_reply(st, &(struct sip_reply){ .status = 400, .reason = reason });
}

#define ACCEPT "Accept: application/sdp, multipart/mixed, multipart/alternative, multipart/related\r\n"

static void write_options(const struct sip_ua *ua, struct out *o)
{
	out_z(o, ua->allow);
	out_z(o, ua->supported);
	out_z(o, ua->allow_events);
	out_z(o, ACCEPT "Accept-Encoding: identity\r\nAccept-Language: *\r\n");
}

void sip_ua_answer_options(struct sip_ua *ua, struct strans *st, struct str sdp)
{
	char hdrs[UA_ALLOW_MAX * 3 + 192];
	struct out o;

	out_init(&o, hdrs, sizeof(hdrs) - 1);
	write_options(ua, &o);
	hdrs[o.len] = '\0';
	strans_reply(st, &(struct sip_reply){ .status = 200, .hdrs = out_view(&o), .ctype = sdp.n ? "application/sdp" : NULL, .body = sdp });
}

/* RFC 3891 §3: only an INVITE replaces. True: refused, and answered. */
static bool refuse_replaces(struct strans *st, const struct sip_msg *m)
{
	if (m->method == SIP_INVITE || !sip_msg_has(m, SIP_HDR_REPLACES))
		return false;
	reply_bad_request(st, "Replaces Outside INVITE");
	return true;
}

/* §8.2.2.3. True: refused, and answered. */
static bool refuse_required(struct sip_ua *ua, struct strans *st, const struct sip_msg *m)
{
	struct sip_hdr_iter it = { 0 };
	struct str tag;
	char hdrs[512];
	struct out o;
	bool has_unsupported = false;

	out_init(&o, hdrs, sizeof(hdrs) - 3);
	while (sip_msg_element_next(m, SIP_HDR_REQUIRE, &it, &tag)) {
		if (str_empty(tag) || is_supported(ua, m->method, tag))
			continue;
		out_z(&o, has_unsupported ? ", " : "Unsupported: ");
		out_str(&o, tag);
		has_unsupported = true;
	}
	if (!has_unsupported)
		return false;
	memcpy(hdrs + o.len, "\r\n", 3);
	strans_reply_simple(st, 420, out_ok(&o) ? hdrs : NULL);
	return true;
}

/* §8.2.3, RFC 5621: a session is described in SDP, perhaps beside other parts; one that is marked optional may be anything. A description means
 * the same in any Content-Language, so none is refused for that. */
static bool refuse_content(struct strans *st, const struct sip_msg *m)
{
	if (m->method == SIP_INVITE && !sip_msg_takes(m, "application/sdp")) {
		strans_reply_simple(st, 406, NULL);
		return true;
	}
	if (m->body.n == 0)
		return false;
	struct str encoding = sip_msg_value(m, SIP_HDR_CONTENT_ENCODING);
	if (!str_empty(encoding) && !str_ieqz(encoding, "identity")) {
		strans_reply_simple(st, 415, "Accept-Encoding: identity\r\n");
		return true;
	}
	if (m->method == SIP_REFER && sip_msg_demands(m)) {
		strans_reply_simple(st, 415, "Accept: \r\n" /* none is looked at */);
		return true;
	}
	if (m->method != SIP_INVITE && m->method != SIP_UPDATE && m->method != SIP_PRACK)
		return false;
	if (str_empty(sip_msg_value(m, SIP_HDR_CONTENT_TYPE))) {
		reply_bad_request(st, "Missing Content-Type");
		return true;
	}
	if (!sip_msg_must_understand(m, "application/sdp"))
		return false;
	strans_reply_simple(st, 415, ACCEPT "Accept-Encoding: identity\r\n");
	return true;
}

/* ---- dispatch ---- */

/* 0; -ENOENT not of this dialog nor of a fork of it; -EINVAL too old. */
static int take_seq(struct dialog *d, const struct sip_msg *m)
{
	if (!dialog_has_remote_tag(d, m->from.tag))
		return d->usage->take_fork ? d->usage->take_fork(d, m) : -ENOENT;
	return dialog_take_seq(d, m) ? 0 : -EINVAL;
}

static void in_dialog(struct sip_ua *ua, struct strans *st, const struct sip_msg *m)
{
	struct dialog *d = dialog_find(ua, m->call_id, m->to.tag);
	int err = d ? take_seq(d, m) : -ENOENT;

	if (err == -ENOENT) {
		strans_reply_simple(st, 481, NULL);
		return;
	}
	if (d->hdrs)
		strans_set_hdrs(st, str_from(d->hdrs));
	if (err) {
		strans_reply(st, &(struct sip_reply){ .status = 500, .reason = "CSeq Out Of Order" });
		return;
	}
	if (refuse_required(ua, st, m) || refuse_content(st, m) || refuse_replaces(st, m))
		return;
	if (m->method == SIP_OPTIONS)
		sip_ua_answer_options(ua, st, STR_NULL);
	else
		d->usage->on_request(d, st, m);
}

/* Methods that mean something only inside a dialog. */
static bool is_dialog_only(enum sip_method method)
{
	return method == SIP_BYE || method == SIP_PRACK || method == SIP_UPDATE || method == SIP_INFO ||
	       method == SIP_NOTIFY;
}

/* Those that end here whatever happens; what goes on to another leg counts as a hop (RFC 7332). */
static bool is_terminal(enum sip_method method)
{
	return method == SIP_OPTIONS || method == SIP_REGISTER || method == SIP_SUBSCRIBE || method == SIP_PUBLISH;
}

/* An INVITE of ours that has come back: its Call-ID and tag are ours. To another number it is a spiral, which its hops will
 * end; to the same it will go round (RFC 3261 §16.3). */
static bool is_loop(struct sip_ua *ua, const struct sip_msg *m)
{
	const struct dialog *d = m->method == SIP_INVITE ? dialog_find(ua, m->call_id, m->from.tag) : NULL;
	struct sip_uri sent;

	return d && d->is_uac && sip_uri_parse(&sent, str_from(d->target)) == 0 && str_eq(sent.user, m->ruri.user);
}

/* An OPTIONS without credentials is answered here, whatever it is sent to: strangers aren't told who exists. */
static sip_ua_request_fn *handler_of(const struct sip_ua *ua, const struct sip_msg *m)
{
	return m->method == SIP_OPTIONS && !sip_msg_has(m, SIP_HDR_AUTHORIZATION) ? NULL : ua->handlers[m->method].fn;
}

static void out_of_dialog(struct sip_ua *ua, struct strans *st, const struct sip_msg *m)
{
	sip_ua_request_fn *fn = handler_of(ua, m);
	struct sip_uri contact;

	if (!fn && m->method == SIP_OTHER) {
		strans_reply_simple(st, 501, ua->allow);
	} else if (!fn && is_dialog_only(m->method)) {
		strans_reply_simple(st, 481, NULL);
	} else if (!fn && m->method != SIP_OPTIONS) {
		strans_reply_simple(st, 405, ua->allow);
	} else if (m->ruri.scheme == SIP_SCHEME_OTHER) {
		strans_reply_simple(st, 416, NULL);
	} else if (m->max_forwards == 0 && !is_terminal(m->method)) {
		strans_reply_simple(st, 483, NULL);
	} else if (is_loop(ua, m)) {
		strans_reply_simple(st, 482, NULL);
	} else if (refuse_required(ua, st, m) || refuse_content(st, m) || refuse_replaces(st, m)) {
		return;
	} else if ((m->method == SIP_INVITE || m->method == SIP_SUBSCRIBE) && dialog_contact_of(m, &contact)) {
		reply_bad_request(st, "Missing Contact");
	} else if (fn) {
		fn(st, m, ua->handlers[m->method].arg);
	} else {
		sip_ua_answer_options(ua, st, STR_NULL);
	}
}

/* ---- answers for which nothing is kept ---- */

void sip_ua_on_early(struct sip_ua *ua, sip_ua_early_fn *fn, void *arg)
{
	ua->early = fn;
	ua->early_arg = arg;
}

/* Nothing about it will be refused, whoever sends it. */
static bool is_plain(const struct sip_msg *m)
{
	struct sip_uri contact;

	return m->ruri.scheme != SIP_SCHEME_OTHER && (m->ruri.user.n || m->method != SIP_INVITE) && m->max_forwards != 0 &&
	       !sip_msg_has(m, SIP_HDR_REQUIRE) && !sip_msg_has(m, SIP_HDR_REPLACES) && !sip_msg_has(m, SIP_HDR_CONTENT_ENCODING) && (!m->body.n || sip_msg_has(m, SIP_HDR_CONTENT_TYPE)) &&
	       (m->method != SIP_INVITE || sip_msg_takes(m, "application/sdp")) && ((m->method != SIP_INVITE && m->method != SIP_SUBSCRIBE) || dialog_contact_of(m, &contact) == 0);
}

/* RFC 3261 §26.3.2.4: who hasn't shown who he is gets no state. */
static enum sip_early early_reply(struct sip_ua *ua, const struct sip_msg *m, const struct sip_source *src, struct sip_reply *r, struct out *hdrs)
{
	bool is_register = m->method == SIP_REGISTER;

	if (m->to.tag.n && !is_register) {
		r->status = 481;
		return dialog_find(ua, m->call_id, m->to.tag) ? SIP_EARLY_KEEP : SIP_EARLY_REPLY;
	}
	if (!is_plain(m) || is_loop(ua, m))
		return SIP_EARLY_KEEP;
	if (m->method == SIP_OPTIONS && !handler_of(ua, m)) {
		r->status = 200;
		write_options(ua, hdrs);
		return SIP_EARLY_REPLY;
	}
	r->status = 401;
	return ua->early && ua->handlers[m->method].fn ? ua->early(m, src, hdrs, ua->early_arg) : SIP_EARLY_KEEP;
}

static enum sip_early on_early(const struct sip_msg *m, const struct sip_source *src, struct sip_reply *r, void *arg)
{
	struct sip_ua *ua = arg;
	struct transport *t = sip_stack_transport(ua->stack);
	enum sip_early early;
	struct out hdrs;

	out_init(&hdrs, ua->early_hdrs, sizeof(ua->early_hdrs));
	early = early_reply(ua, m, src, r, &hdrs);
	if (early != SIP_EARLY_REPLY)
		return early;
	r->hdrs = out_view(&hdrs);
	return guard_asks(t ? transport_guard(t) : NULL, src) && out_ok(&hdrs) ? SIP_EARLY_REPLY : SIP_EARLY_DROP;
}

static void on_request(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct sip_ua *ua = arg;

	/* REGISTER is never part of a dialog, whatever tag it carries (§10.2). */
	if (m->to.tag.n > 0 && m->method != SIP_REGISTER)
		in_dialog(ua, st, m);
	else
		out_of_dialog(ua, st, m);
}

static void on_ack(const struct sip_msg *m, const struct sip_source *src, void *arg)
{
	struct dialog *d = dialog_find(arg, m->call_id, m->to.tag);

	if (!d || !dialog_has_remote_tag(d, m->from.tag))
		return;
	if (dialog_is_own_flow(d, src))
		dialog_seen_from(d, src);
	d->usage->on_ack(d, m, src);
}

static void on_stray_2xx(const struct sip_msg *m, const struct sip_source *src, void *arg)
{
	struct dialog *d = dialog_find(arg, m->call_id, m->from.tag);

	if (d)
		d->usage->on_stray_2xx(d, m, src);
}

static void on_flow_closed(uint64_t flow, void *arg)
{
	struct sip_ua *ua = arg;

	/* Dialogs notice when they send next; see dialog_flow_lost(). */
	if (ua->on_flow_closed)
		ua->on_flow_closed(flow, ua->on_flow_closed_arg);
}

static void on_stun(struct str answer, const struct sip_source *src, void *arg)
{
	struct sip_ua *ua = arg;

	if (ua->on_stun)
		ua->on_stun(answer, src, ua->on_stun_arg);
}
