/* outside.c - one request with a dialog's headers but without a dialog. That it is sent to one target after the other is
 * request.c's work. */
#include "sip/outside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/request.h"

struct outside {
	struct dialog dialog;
	struct request req;
	struct timer later;              /* tells a failure of the start, once the caller has his handle */
	outside_fn *fn;
	void *arg;
	char *method, *hdrs, *ctype, *body;
	size_t body_len;
	uint8_t max_forwards;
	bool is_sending, has_target;
	uint64_t resolving;
};

static void on_response(struct request *r, const struct sip_msg *m);
static void on_done(struct request *r, int err);

static const struct request_handler request_handler = { .on_response = on_response, .on_done = on_done };

static void outside_free(struct outside *o)
{
	timer_stop(o->dialog.ua->timers, &o->later);
	if (o->resolving)
		sip_resolve_cancel(o->dialog.ua->resolver, o->resolving);
	if (o->is_sending)
		request_fini(&o->req);
	dialog_fini(&o->dialog);
	free(o->method);
	free(o->hdrs);
	free(o->ctype);
	free(o->body);
	free(o);
}

static void finish(struct outside *o, int status, const struct sip_msg *m)
{
	outside_fn *fn = o->fn;

	o->fn = NULL;
	if (fn)
		fn(status, m, o->arg);
	outside_free(o);
}

static void start(struct outside *o)
{
	const struct request_params p = { .method = o->method, .hdrs = str_from(o->hdrs), .ctype = o->ctype,
					  .body = { o->body, o->body_len }, .max_forwards = o->max_forwards };

	o->is_sending = o->has_target && request_start(&o->req, &o->dialog, &p, &request_handler) == 0;
	if (!o->is_sending)
		finish(o, 503, NULL);
}

static void on_response(struct request *r, const struct sip_msg *m)
{
	if (m->status >= 200)
		finish(container_of(r, struct outside, req), m->status, m);
}

static void on_done(struct request *r, int err)
{
	finish(container_of(r, struct outside, req), err == -ETIMEDOUT ? 408 : 503, NULL);
}

static void on_later(void *arg)
{
	start(arg);
}

static void take_targets(struct outside *o, const struct sip_dest *dests, unsigned n)
{
	o->has_target = n > 0;
	if (n)
		dialog_set_targets(&o->dialog, dests, n);
}

static void on_resolved(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg)
{
	struct outside *o = arg;

	(void)id;
	o->resolving = 0;
	take_targets(o, dests, n);
	start(o);
}

/* ---- the request in a dialog: there is none ---- */

static void on_request(struct dialog *d, struct strans *st, const struct sip_msg *m)
{
	(void)d;
	(void)m;
	strans_reply_simple(st, 481, NULL);
}

static void on_ack(struct dialog *d, const struct sip_msg *m, const struct sip_source *src)
{
	(void)d;
	(void)m;
	(void)src;
}

static void on_stray_2xx(struct dialog *d, const struct sip_msg *m, const struct sip_source *src)
{
	(void)src;
	(void)d;
	(void)m;
}

static void drop(struct dialog *d)
{
	outside_free(container_of(d, struct outside, dialog));
}

static const struct dialog_usage outside_usage = {
	.on_request = on_request, .on_ack = on_ack, .on_stray_2xx = on_stray_2xx, .drop = drop,
};

/* ---- starting ---- */

static int next_hop(const struct outside_params *p, struct sip_uri *uri)
{
	struct str route = p->route;
	struct sip_addr a;

	if (str_empty(route))
		return sip_uri_parse(uri, p->target);
	if (sip_addr_parse(&a, sip_list_cut(&route)) != 0)
		return -EINVAL;
	*uri = a.uri;
	return 0;
}

/* Where it may go; *uri is what has to be asked for when that is -EAGAIN. */
static int find_targets(const struct sip_ua *ua, const struct outside_params *p, struct sip_dest dests[SIP_RESOLVE_MAX], unsigned *n,
			struct sip_uri *uri)
{
	int err;

	*n = 1;
	if (p->dest) {
		dests[0] = *p->dest;
		return 0;
	}
	err = next_hop(p, uri);
	if (err)
		return err;
	return ua->resolver ? sip_resolve_now(ua->resolver, uri, dests, n) : sip_resolve_literal(&dests[0], uri);
}

static int find_host(const struct sip_ua *ua, const struct sip_dest *dest, char host[SOCKADDR_TEXT_MAX])
{
	union sockaddr_any local;
	int err = ua_local(ua, dest, &local);

	if (!err)
		sockaddr_print_uri(&local, host);
	return err;
}

static int write_from(const char *host, struct str user, struct out *o)
{
	out_z(o, "sip:");
	if (user.n) {
		sip_escape_user(o, user);
		out_chr(o, '@');
	}
	out_z(o, host);
	return out_ok(o) ? 0 : -EINVAL;
}

static char *make_hdrs(const struct outside_params *p, const char *host)
{
	char most[512];
	struct out o;

	if (!p->write_hdrs)
		return str_dup(p->hdrs);
	out_init_on(&o, most, sizeof(most), SIP_MSG_MAX);
	out_str(&o, p->hdrs);
	p->write_hdrs(&o, host, p->hdrs_arg);
	return out_take(&o);
}

static int copy_content(struct outside *o, const struct outside_params *p, const char *host)
{
	o->method = strdup(p->method);
	o->hdrs = make_hdrs(p, host);
	o->ctype = p->ctype && p->body.n ? strdup(p->ctype) : NULL;
	o->body = str_dup(p->body);
	o->body_len = p->body.n;
	o->max_forwards = p->max_forwards;
	return o->method && o->hdrs && o->body && (o->ctype || !p->ctype || !p->body.n) ? 0 : -ENOMEM;
}

int outside_send(struct outside **out, struct sip_ua *ua, const struct outside_params *p, outside_fn *fn, void *arg)
{
	struct sip_dest dests[SIP_RESOLVE_MAX];
	struct dialog_params dp = { .target = p->target, .from_display = p->from_display, .to_uri = p->to_uri.n ? p->to_uri : p->target,
				    .route = p->route, .contact_user = p->from_user, .auth_user = p->auth_user,
				    .auth_password = p->auth_password, .has_rivals = p->has_rivals, .oc = p->oc };
	struct outside *o = calloc(1, sizeof(*o));
	struct sip_uri uri;
	char from[256], host[SOCKADDR_TEXT_MAX];
	struct out from_out;
	unsigned n = 0;
	int found, err;

	if (!o)
		return -ENOMEM;
	found = find_targets(ua, p, dests, &n, &uri);
	if (found && found != -EAGAIN) {
		free(o);
		return found;
	}
	/* Of a name's address family nothing is known yet: our own address towards anybody will do. */
	if (found == -EAGAIN || n == 0)
		sip_resolve_literal(&dests[0], &(struct sip_uri){ .scheme = SIP_SCHEME_SIP, .host = STR("192.0.2.1") });
	out_init(&from_out, from, sizeof(from));
	dp.dest = dests[0];
	err = find_host(ua, &dests[0], host);
	if (!err)
		err = write_from(host, p->from_user, &from_out);
	dp.from_uri = out_view(&from_out);
	if (!err)
		err = dialog_init_uac(&o->dialog, ua, &outside_usage, &dp);
	if (err) {
		free(o);
		return err;
	}
	timer_init(&o->later, on_later, o);
	o->fn = fn;
	o->arg = arg;
	err = copy_content(o, p, host);
	if (!err && found == -EAGAIN)
		err = ua->resolver ? sip_resolve(ua->resolver, &uri, on_resolved, o, &o->resolving) : -EHOSTUNREACH;
	if (err) {
		outside_free(o);
		return err;
	}
	if (found == 0) {
		take_targets(o, dests, n);
		timer_start(ua->timers, &o->later, 0);
	}
	*out = o;
	return 0;
}

void outside_forget(struct outside *o)
{
	o->fn = NULL;
}
