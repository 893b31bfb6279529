/* client.c - requests outside dialogs, from look-up to final response. */
#define LOG_MODULE "client"
#include "registrar/client.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "sip/digest.h"

#define HDRS_MAX 8192
#define AUTH_LINE_MAX 4096
#define CHALLENGES_MAX 3     /* the registrar's, a proxy's on the way, and a nonce that was too old */

static void try_target(struct client *c, const char *auth);

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the end ---- */

static void forget_answers(struct client *c)
{
	free(c->auth);
	c->auth = NULL;
	c->nanswered = 0;
}

static void drop_ahead(struct client *c)
{
	free(c->ahead);
	c->ahead = NULL;
}

/* The credentials that the request under way has; "": none. */
static const char *credentials(const struct client *c)
{
	return c->auth ? c->auth : c->ahead ? c->ahead : "";
}

static void stop(struct client *c)
{
	forget_answers(c);
	if (c->resolving)
		sip_resolve_cancel(c->env->resolver, c->resolving);
	c->resolving = 0;
	if (c->ct)
		ctrans_detach(c->ct);
	c->ct = NULL;
	timer_stop(c->env->timers, &c->timer);
	c->r.method = SIP_OTHER;
}

static void finish(struct client *c, int status, const struct sip_msg *m)
{
	uint64_t us = c->sent_us ? now_us() - c->sent_us : 0;

	stop(c);
	c->h->on_done(c, status, m, us > UINT32_MAX ? UINT32_MAX : (uint32_t)us, c->arg);
}

/* Not from inside client_send: nobody expects an answer there. */
static void on_timer(void *arg)
{
	finish(arg, 0, NULL);
}

static void fail_later(struct client *c)
{
	timer_start(c->env->timers, &c->timer, 1);
}

static void next_target(struct client *c)
{
	c->ntried++;
	c->at = c->ndests ? (c->at + 1) % c->ndests : 0;
	forget_answers(c);
	drop_ahead(c); /* that nonce is another's */
	try_target(c, "");
}

/* ---- sending ---- */

static void write_name(struct out *o, const char *name, const char *uri)
{
	out_z(o, name);
	out_z(o, ": <");
	out_z(o, uri);
	out_chr(o, '>');
}

static void write_request(struct client *c, struct out *o, const struct sip_dest *dest, const union sockaddr_any *local, const char *auth)
{
	out_z(o, "Max-Forwards: 70\r\n");
	write_name(o, "From", c->r.from);
	out_z(o, ";tag=");
	out_z(o, c->tag);
	out_z(o, "\r\n");
	write_name(o, "To", c->r.to);
	out_z(o, "\r\nCall-ID: ");
	out_z(o, c->call_id);
	out_z(o, "\r\nCSeq: ");
	out_u64(o, ++c->cseq);
	out_chr(o, ' ');
	out_z(o, sip_method_name(c->r.method));
	out_z(o, "\r\n");
	if (c->r.route) {
		out_z(o, "Route: ");
		out_z(o, c->r.route);
		out_z(o, "\r\n");
	}
	if (c->r.write_hdrs)
		c->r.write_hdrs(o, dest, local, c->arg);
	out_z(o, auth);
}

/* RFC 3261 §22.2, §22.3: with the answer to a challenge of the last response, and those to others on the way before it. */
static bool answer(struct client *c, const struct sip_msg *m)
{
	char line[AUTH_LINE_MAX], *both;
	struct out o;

	if ((m->status != 401 && m->status != 407) || !c->r.auth_user || c->nanswered == CHALLENGES_MAX ||
	    (c->auth && !digest_asks_anew(m, str_from(c->auth))))
		return false;
	drop_ahead(c);
	out_init(&o, line, sizeof(line));
	if (digest_answer(&o, m, str_from(sip_method_name(c->r.method)), str_from(c->r.uri), str_from(c->r.auth_user),
			  str_from(c->r.auth_password), 1, c->env->rng) != 0)
		return false;
	if (c->auth)
		digest_keep_others(&o, m, str_from(c->auth));
	both = out_ok(&o) ? str_dup(out_view(&o)) : NULL;
	if (!both)
		return false;
	free(c->auth);
	c->auth = both;
	c->nanswered++;
	try_target(c, both);
	return true;
}

/* The 2xx may have given a nonce for the next request, which will be like this one. */
static void look_ahead(struct client *c, const struct sip_msg *m)
{
	const struct digest_request r = { .method = str_from(sip_method_name(c->r.method)), .uri = str_from(c->r.uri),
					  .user = str_from(c->r.auth_user), .password = str_from(c->r.auth_password), .nc = 1 };
	char line[AUTH_LINE_MAX], *next = NULL;
	struct out o;

	out_init(&o, line, sizeof(line));
	if (m->status / 100 == 2 && c->r.auth_user && digest_answer_ahead(&o, m, str_from(credentials(c)), &r, c->env->rng) == 0)
		next = str_dup(out_view(&o));
	free(c->ahead);
	c->ahead = next;
	c->ahead_for = c->r.method;
}

/* It was made for a request like this one. */
static bool is_ahead(const struct client *c, const struct client_request *r)
{
	struct sip_credentials given;
	struct str value = str_from(c->ahead);

	str_cut(&value, ':');
	return c->ahead_for == r->method && r->auth_user && sip_credentials_parse(&given, str_trim(value)) == 0 && str_eqz(given.uri, r->uri);
}

static uint32_t retry_after_s(const struct sip_msg *m)
{
	struct str value = sip_msg_value(m, SIP_HDR_RETRY_AFTER);
	uint32_t s = 0;
	size_t n = 0;

	/* Retry-After: 18000 (I'm in a meeting);duration=3600 */
	while (n < value.n && value.p[n] >= '0' && value.p[n] <= '9')
		n++;
	return str_to_u32((struct str){ value.p, n }, UINT32_MAX, &s) == 0 ? s : 0;
}

static void on_response(struct ctrans *ct, const struct sip_msg *m, void *arg)
{
	struct client *c = arg;

	(void)ct;
	if (m->status < 200)
		return;
	c->flow = ctrans_flow(c->ct);
	ctrans_detach(c->ct);
	c->ct = NULL;
	if (answer(c, m))
		return;
	if (c->r.is_mutual && m->status / 100 == 2 &&
	    !digest_is_proved(m, str_from(credentials(c)), str_from(c->r.auth_user), str_from(c->r.auth_password))) {
		log_warn(c->env->log, "%s %s: who answers hasn't shown that he knows the password", sip_method_name(c->r.method), c->r.uri);
		resolver_failed(c->env->resolver, client_dest(c), 0);
		next_target(c);
		return;
	}
	if (m->status == 503)
		resolver_failed(c->env->resolver, client_dest(c), retry_after_s(m));
	else
		resolver_worked(c->env->resolver, client_dest(c));
	if (m->status == 503 && !c->r.dest && c->ntried + 1 < c->ndests) {
		next_target(c);
		return;
	}
	look_ahead(c, m);
	finish(c, m->status, m);
}

static void on_terminated(struct ctrans *ct, int err, void *arg)
{
	struct client *c = arg;

	(void)ct;
	(void)err;
	c->ct = NULL;
	resolver_failed(c->env->resolver, client_dest(c), 0);
	next_target(c);
}

static const struct ctrans_handler ctrans_handler = { .on_response = on_response, .on_terminated = on_terminated };

/* Sends to dests[at], or the next that takes it. */
static void try_target(struct client *c, const char *auth)
{
	struct sip_req r = { .method = str_from(sip_method_name(c->r.method)), .uri = str_from(c->r.uri),
			     .via_params = c->r.via_params, .oc = c->r.oc };
	union sockaddr_any local;
	char hdrs[HDRS_MAX];
	struct out o;

	for (; c->ntried < c->ndests; c->ntried++, c->at = (c->at + 1) % c->ndests) {
		struct sip_dest *dest = &c->dests[c->at];
		int err = sip_ua_local(c->env->ua, dest, &local);

		out_init(&o, hdrs, sizeof(hdrs));
		if (!err)
			write_request(c, &o, dest, &local, auth);
		r.hdrs = out_view(&o);
		r.patience_ms = c->ntried + 1 < c->ndests ? sip_ua_next_target_ms(c->env->ua) : 0;
		if (!err)
			err = out_ok(&o) ? ctrans_start(&c->ct, sip_ua_stack(c->env->ua), &r, dest, &ctrans_handler, c) : -EMSGSIZE;
		if (err == -ENOTCONN && dest->flow) { /* the connection has gone: a new one to the same target */
			dest->flow = 0;
			err = ctrans_start(&c->ct, sip_ua_stack(c->env->ua), &r, dest, &ctrans_handler, c);
		}
		if (!err) {
			c->sent_us = now_us();
			return;
		}
		log_debug(c->env->log, "%s %s: %s", sip_method_name(c->r.method), c->r.uri, uv_strerror(err));
	}
	fail_later(c);
}

/* ---- the way ---- */

static void take_dests(struct client *c, const struct sip_dest *dests, unsigned n)
{
	const struct sip_dest *last = client_dest(c);
	struct sip_dest used;
	unsigned at = 0;

	if (last)
		used = *last;
	/* The order of a look-up is random among equals (RFC 2782): who has served stays, as long as it is one of them and works. */
	for (unsigned i = 0; i < n && last; i++)
		if (dests[i].proto == used.proto && sockaddr_eq(&dests[i].addr, &used.addr) && !resolver_is_failed(c->env->resolver, &used))
			at = i;
	memcpy(c->dests, dests, n * sizeof(dests[0]));
	c->ndests = n;
	c->at = at;
}

static void on_resolved(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg)
{
	struct client *c = arg;

	(void)id;
	c->resolving = 0;
	if (n)
		take_dests(c, dests, n < SIP_RESOLVE_MAX ? n : SIP_RESOLVE_MAX);
	if (!c->ndests) {
		finish(c, 0, NULL);
		return;
	}
	try_target(c, credentials(c)); /* without an answer now, where it went before */
}

int client_first_route(struct str route, struct sip_uri *out)
{
	struct sip_addr a;
	int err = sip_addr_parse(&a, sip_list_cut(&route));

	if (!err)
		*out = a.uri;
	return err;
}

static int look_up(struct client *c)
{
	struct sip_dest dest = { 0 };
	struct sip_uri uri;
	int err;

	if (c->r.dest) {
		c->dests[0] = *c->r.dest;
		c->ndests = 1;
		c->at = 0;
	}
	if (c->r.dest || (c->r.is_steady && c->ndests)) {
		try_target(c, credentials(c));
		return 0;
	}
	err = c->r.route ? client_first_route(str_from(c->r.route), &uri) : sip_uri_parse(&uri, str_from(c->r.uri));
	if (!err)
		err = sip_resolve_literal(&dest, &uri);
	if (!err) {
		take_dests(c, &dest, 1);
		try_target(c, credentials(c));
	} else if (err == -EAGAIN) {
		err = c->env->resolver ? sip_resolve(c->env->resolver, &uri, on_resolved, c, &c->resolving) : -EHOSTUNREACH;
	}
	return err;
}

/* ---- from outside ---- */

void client_init(struct client *c, const struct client_env *env, const struct client_handler *h, void *arg)
{
	*c = (struct client){ .env = env, .h = h, .arg = arg };
	rng_uuid(env->rng, c->call_id);
	rng_token(env->rng, c->tag, sizeof(c->tag) - 1);
	timer_init(&c->timer, on_timer, c);
}

void client_fini(struct client *c)
{
	stop(c);
	drop_ahead(c);
}

bool client_is_busy(const struct client *c)
{
	return c->r.method != SIP_OTHER;
}

const struct sip_dest *client_dest(const struct client *c)
{
	return c->ndests ? &c->dests[c->at] : NULL;
}

int client_send(struct client *c, const struct client_request *r)
{
	int err;

	if (client_is_busy(c))
		return -EBUSY;
	c->r = *r;
	c->ntried = 0;
	forget_answers(c);
	if (c->ahead && !is_ahead(c, r))
		drop_ahead(c);
	c->sent_us = 0;
	if (r->timeout_ms)
		timer_start(c->env->timers, &c->timer, r->timeout_ms);
	err = look_up(c);
	if (err)
		stop(c);
	return err;
}
