/* request.c - sends our requests and answers their challenges. */
#include "sip/request.h"

#include <errno.h>
#include <stdlib.h>

#include "sip/digest.h"

#define AUTH_LINE_MAX 4096
#define NEXT_MAX 1024
#define CHALLENGES_MAX 3 /* ours, a proxy's on the way, and a nonce that was too old */

static void on_response(struct ctrans *ct, const struct sip_msg *m, void *arg);
static void on_terminated(struct ctrans *ct, int err, void *arg);

static const struct ctrans_handler ctrans_handler = { .on_response = on_response, .on_terminated = on_terminated };

static bool has_next_target(const struct request *r)
{
	return r->is_kept && !r->is_cancelled && r->ntried + 1u < r->dialog->ntargets;
}

/* What is repeated with a password was let through, and what belongs to a call isn't held back. */
static enum sip_oc oc_of(const struct request *r)
{
	const struct dialog *d = r->dialog;

	return d->oc == SIP_OC_MAY_WAIT && (r->method != SIP_INVITE || d->is_established || r->auth) ? SIP_OC_OFFER : d->oc;
}

/* Starts a transaction; when the connection it should go by has ended, by another way. */
static int start(struct ctrans **ct, struct request *r, struct sip_req *req)
{
	struct dialog *d = r->dialog;
	int err;

	req->oc = oc_of(r);
	req->patience_ms = has_next_target(r) || (d->has_rivals && !d->is_established) ? d->ua->next_target_ms : 0;
	err = ctrans_start(ct, d->ua->stack, req, &d->dest, &ctrans_handler, r);
	if (err == -ENOTCONN && dialog_flow_lost(d))
		err = ctrans_start(ct, d->ua->stack, req, &d->dest, &ctrans_handler, r);
	return err;
}

static int send_content(struct request *r, struct str hdrs, const char *ctype, struct str body)
{
	struct sip_req req = { .method = str_from(r->method_name), .ctype = ctype, .body = body };
	struct sip_ua *ua = r->dialog->ua;
	struct ctrans *ct = NULL;
	struct out o;
	int err;

	out_init_on(&o, ua->scratch, sizeof(ua->scratch), SIP_MSG_MAX);
	dialog_print_request(r->dialog, &o, r->method, r->method_name, r->cseq, r->max_forwards, &req.uri);
	out_z(&o, r->auth ? r->auth : "");
	out_str(&o, hdrs);
	req.hdrs = out_view(&o);
	err = out_ok(&o) ? start(&ct, r, &req) : -EMSGSIZE;
	out_fini(&o);
	if (err)
		return err;
	if (r->ct)
		ctrans_detach(r->ct);
	r->ct = ct;
	return 0;
}

/* There is nothing to wait for when it can't even be sent. */
static int send_to_any(struct request *r, struct str hdrs, const char *ctype, struct str body)
{
	int err = send_content(r, hdrs, ctype, body);

	while (err && err != -ENOMEM && err != -EMSGSIZE && has_next_target(r) && dialog_next_target(r->dialog)) {
		r->ntried++;
		err = send_content(r, hdrs, ctype, body);
	}
	return err;
}

static int keep_content(struct request *r, const struct request_params *p)
{
	r->is_kept = true;
	r->hdrs = str_dup(p->hdrs);
	r->ctype = p->ctype ? strdup(p->ctype) : NULL;
	r->body = str_dup(p->body);
	r->body_len = p->body.n;
	return r->hdrs && r->body && (r->ctype || !p->ctype) ? 0 : -ENOMEM;
}

/* ---- the next nonce (RFC 7616 §3.5) ---- */

static void print_uri(const struct request *r, struct out *scratch, struct str *uri)
{
	out_init_grow(scratch, SIP_MSG_MAX);
	dialog_print_request(r->dialog, scratch, r->method, r->method_name, r->cseq, 0, uri);
}

static void keep_next(const struct request *r, const struct sip_msg *m)
{
	struct dialog_auth *auth = r->dialog->auth;
	char kept[NEXT_MAX];
	struct out o;

	if (m->status / 100 != 2 || !r->auth || !auth)
		return;
	out_init(&o, kept, sizeof(kept));
	if (digest_keep_next(&o, m, str_from(r->auth)) != 0)
		return;
	free(auth->next);
	auth->next = str_dup(out_view(&o));
}

/* What a response has given for it: that spares the challenge. It serves once. */
static void use_next(struct request *r, const struct request_params *p)
{
	struct dialog_auth *auth = r->dialog->auth;
	char line[AUTH_LINE_MAX];
	struct out scratch, o;
	struct str uri;

	if (!auth || !auth->next)
		return;
	print_uri(r, &scratch, &uri);
	out_init(&o, line, sizeof(line));
	if (digest_answer_kept(&o, str_from(auth->next), &(struct digest_request){
		    .method = str_from(r->method_name), .uri = uri, .body = p->body, .user = str_from(auth->user),
		    .password = str_from(auth->password), .nc = 1 }, r->dialog->ua->rng) == 0)
		r->auth = str_dup(out_view(&o));
	out_fini(&scratch);
	free(auth->next);
	auth->next = NULL;
}

int request_start(struct request *r, struct dialog *d, const struct request_params *p, const struct request_handler *h)
{
	int err;

	*r = (struct request){ .dialog = d, .handler = h, .max_forwards = p->max_forwards };
	r->method = sip_method_parse(str_from(p->method));
	r->method_name = strdup(p->method);
	if (!r->method_name)
		return -ENOMEM;
	err = d->auth || p->keeps_content || d->ntargets > 1 ? keep_content(r, p) : 0;
	if (!err) {
		r->cseq = r->first_cseq = ++d->local_seq;
		use_next(r, p);
		err = send_to_any(r, p->hdrs, p->ctype, p->body);
	}
	if (err)
		request_fini(r);
	return err;
}

/* The same to the next target, as a new transaction. What was said to a server's challenge is for that server. */
static bool try_next_target(struct request *r)
{
	if (!has_next_target(r) || !dialog_next_target(r->dialog))
		return false;
	r->ntried++;
	r->has_progress = false; /* it rings no more there */
	r->answered_challenges = 0;
	free(r->auth);
	r->auth = NULL;
	return send_to_any(r, str_from(r->hdrs), r->ctype, (struct str){ r->body, r->body_len }) == 0;
}

static int send_again(struct request *r)
{
	uint32_t cseq = r->cseq;

	r->cseq = r->dialog->local_seq + 1;
	int err = send_content(r, str_from(r->hdrs), r->ctype, (struct str){ r->body, r->body_len });
	if (err) {
		r->cseq = cseq;
		return err;
	}
	r->dialog->local_seq++;
	return 0;
}

int request_resend(struct request *r)
{
	if (!r->hdrs)
		return -EINVAL; /* not kept */
	r->has_final = false;
	r->has_progress = false;
	r->answered_challenges = 0;
	r->ntried = 0;
	free(r->auth);
	r->auth = NULL;
	return send_again(r);
}

void request_drop_content(struct request *r)
{
	char **const fields[] = { &r->hdrs, &r->ctype, &r->body };

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		free(*fields[i]);
		*fields[i] = NULL;
	}
	r->body_len = 0;
}

void request_cancel(struct request *r, struct str hdrs)
{
	if (r->ct && !r->has_final && !r->is_cancelled)
		ctrans_cancel(r->ct, hdrs);
	r->is_cancelled = true;
}

void request_fini(struct request *r)
{
	if (r->ct)
		ctrans_detach(r->ct);
	r->ct = NULL;
	char **const fields[] = { &r->method_name, &r->hdrs, &r->ctype, &r->body, &r->auth };
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		free(*fields[i]);
		*fields[i] = NULL;
	}
}

/* ---- challenges ---- */

/* One answer to each realm that asks on the way, and another when it says that only the nonce was too old. */
static bool may_answer(const struct request *r, const struct sip_msg *m)
{
	if ((m->status != 401 && m->status != 407) || !r->dialog->auth || r->is_cancelled || r->has_final)
		return false;
	return r->answered_challenges == 0 ||
	       (r->answered_challenges < CHALLENGES_MAX && r->auth && digest_asks_anew(m, str_from(r->auth)));
}

static int answer_challenge(struct request *r, const struct sip_msg *m)
{
	const struct dialog_auth *auth = r->dialog->auth;
	char line[AUTH_LINE_MAX], *old = r->auth;
	struct out scratch, o;
	struct str uri;
	int err;

	/* the Request-URI the request will have is the one the answer is made for */
	print_uri(r, &scratch, &uri);
	out_init(&o, line, sizeof(line));
	err = digest_answer_request(&o, m, &(struct digest_request){
		.method = str_from(r->method_name), .uri = uri, .body = { r->body, r->body_len },
		.user = str_from(auth->user), .password = str_from(auth->password), .nc = 1 }, r->dialog->ua->rng);
	out_fini(&scratch);
	if (!err && old)
		digest_keep_others(&o, m, str_from(old));
	if (err || !out_ok(&o))
		return err ? err : -ENOSPC;
	r->auth = str_dup(out_view(&o));
	if (!r->auth) {
		r->auth = old;
		return -ENOMEM;
	}
	err = send_again(r);
	if (err) {
		free(r->auth);
		r->auth = old;
		return err;
	}
	free(old);
	r->answered_challenges++;
	return 0;
}

static void on_response(struct ctrans *ct, const struct sip_msg *m, void *arg)
{
	struct request *r = arg;

	(void)ct;
	if (may_answer(r, m) && answer_challenge(r, m) == 0)
		return;
	if (m->status == 503 && !r->has_final && try_next_target(r))
		return;
	r->has_progress = true;
	keep_next(r, m);
	if (m->status >= 200)
		r->has_final = true;
	if (m->status >= 300 || (m->status >= 200 && r->method != SIP_INVITE)) {
		ctrans_detach(r->ct);
		r->ct = NULL;
	}
	r->handler->on_response(r, m);
}

static void on_terminated(struct ctrans *ct, int err, void *arg)
{
	struct request *r = arg;

	(void)ct;
	r->ct = NULL;
	/* One that has begun to ring isn't rung elsewhere. */
	if (err && !r->has_progress && !r->has_final && try_next_target(r))
		return;
	r->handler->on_done(r, r->has_final ? 0 : err ? err : -EIO);
}

/* ---- ACK ---- */

int ack_make(struct ack *a, const struct request *invite, uint32_t cseq, const struct dialog *d, const char *ctype, struct str body)
{
	struct str uri;
	struct out o;

	*a = (struct ack){ 0 };
	out_init_on(&o, d->ua->scratch, sizeof(d->ua->scratch), SIP_MSG_MAX);
	dialog_print_request(d, &o, SIP_ACK, "ACK", cseq, 0, &uri);
	out_z(&o, invite->auth && cseq == invite->cseq ? invite->auth : ""); /* the credentials of the INVITE (§13.2.2.4) */
	a->uri = str_dup(uri);
	a->hdrs = out_take(&o);
	a->ctype = ctype ? strdup(ctype) : NULL;
	a->body = ctype ? str_dup(body) : NULL;
	a->body_len = ctype ? body.n : 0;
	if (a->uri && a->hdrs && (!ctype || (a->ctype && a->body)))
		return 0;
	ack_fini(a);
	return -ENOMEM;
}

static void stop_waiting(struct ack *a)
{
	if (a->waits)
		a->waits->ack = NULL;
	a->waits = NULL;
}

int ack_send(struct ack *a, struct dialog *d)
{
	const struct sip_req req = {
		.method = STR("ACK"),
		.uri = str_from(a->uri),
		.hdrs = str_from(a->hdrs),
		.ctype = a->ctype,
		.body = { a->body, a->body_len },
		.oc = d->oc,
	};
	struct sip_dest dest;
	int err;

	stop_waiting(a);
	if (d->resolving) {
		if (d->ack)
			stop_waiting(d->ack); /* of an earlier INVITE: its 2xx comes again */
		a->waits = d;
		d->ack = a;
		return 0;
	}
	dest = d->dest;
	dest.has_tcp = dest.has_tcp && !a->is_sent; /* it didn't arrive: perhaps there is no TCP */
	a->is_sent = true;
	err = sip_stack_send_stateless(d->ua->stack, &req, &dest);
	if (err == -ENOTCONN && dialog_flow_lost(d))
		err = sip_stack_send_stateless(d->ua->stack, &req, &d->dest);
	return err;
}

void ack_fini(struct ack *a)
{
	stop_waiting(a);
	free(a->uri);
	free(a->hdrs);
	free(a->ctype);
	free(a->body);
	*a = (struct ack){ 0 };
}
