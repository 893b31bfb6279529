/* message.c - a MESSAGE on its way in: checked, routed by the sender's context, sent on or stored, and answered.
 *
 * What must be waited for is a job: it holds the server transaction and goes with its answer.
 */
#define LOG_MODULE "message"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "call/told.h"
#include "presence/message_int.h"

#define BURST 20                 /* of one sender */
#define REFILL_MS 500            /* then one more each */
#define UDP_MAX 1300             /* a request that came by UDP (RFC 3428 §8) */
#define CTYPE_MAX 256
#define KEEP_DEFAULT_S (7 * 24 * 3600)
#define KEEP_MAX_S (30 * 24 * 3600)
#define ROUTE_MAX 2048
#define T2_MS 4000
/* Over UDP he asks again each T2: he does so once at least behind our answer, if that is lost. */
#define WAIT_MS (64 * SIP_T1_MS - T2_MS - 2 * SIP_T1_MS)

struct message_rate {
	UT_hash_handle hh;
	uint64_t sent_until_ms;
	char key[160];           /* "domain/number", "domain/trunk:name" */
};

struct message_job {
	struct message_job *prev, *next;
	struct messages *ms;
	struct strans *st;       /* NULL: it has ended */
	uint64_t query;
	struct outside *outside; /* to a trunk */
	struct timer timer;      /* until the sender has to be told */
	char trunk[64], route[ROUTE_MAX]; /* the way that is tried now */
	unsigned way;            /* which comes next, see trunk_way() */
	char domain[64], number[128];
	char sender[64], sender_name[128], ctype[CTYPE_MAX];
	char shown[64], shown_name[128]; /* as whom the reader sees him */
	unsigned privacy;        /* as he asks for */
	struct identity known;   /* as the trunk may know him, whoever sees him */
	char instance[256], sg[64]; /* of the phone of number that it is for alone (RFC 5627); "": all of them */
	char *body;
	size_t body_len;
	uint32_t keep_s;
	uint8_t max_forwards;
	bool is_extension;       /* the sender is one of ours */
};

static void refuse(struct strans *st, int status, const char *reason, const char *hdrs)
{
	strans_reply(st, &(struct sip_reply){ .status = status, .reason = reason, .hdrs = str_from(hdrs) });
}

/* ---- jobs ---- */

static void on_terminated(struct strans *st, int err, void *arg)
{
	(void)st;
	(void)err;
	((struct message_job *)arg)->st = NULL;
}

static const struct strans_handler strans_handler = { .on_terminated = on_terminated };

static void job_free(struct message_job *j)
{
	DL_DELETE(j->ms->jobs, j);
	timer_stop(j->ms->p.timers, &j->timer);
	if (j->st)
		strans_set_handler(j->st, NULL, NULL);
	if (j->query)
		db_forget(j->ms->p.db, j->query);
	if (j->outside)
		outside_forget(j->outside);
	deliveries_forget(j->ms, j);
	free(j->body);
	free(j);
}

static void job_end(struct message_job *j, int status)
{
	log_info(j->ms->p.log, "from=%s/%s to=%s status=%d", j->domain, j->sender, j->number, status);
	if (j->st) {
		struct strans *st = j->st;

		strans_set_handler(st, NULL, NULL);
		j->st = NULL;
		/* RFC 4320 §4.2: a 408 to another request than INVITE comes too late for everybody. */
		refuse(st, status == 408 ? 504 : status, NULL, NULL);
	}
	job_free(j);
}

static void on_silence(void *arg);

static struct text job_text(const struct message_job *j)
{
	return (struct text){ .sender = j->shown, .sender_name = j->shown_name, .ctype = j->body_len ? j->ctype : NULL,
			      .body = { j->body, j->body_len }, .max_forwards = j->max_forwards,
			      .instance = j->instance[0] ? j->instance : NULL, .sg = j->sg };
}

/* A trunk vouches for its callers, and so for who writes: by P-Asserted-Identity, if it is trusted (RFC 3325 §5). */
static void take_sender_of_trunk(struct message_job *j, const struct sip_msg *m, const char *name)
{
	const struct dir_trunk *trunk;
	struct identity id;
	bool is_trusted = directory_trunk(j->ms->p.directory, j->domain, str_from(name), &trunk) == DIR_FOUND && trunk->is_trusted;

	identity_of_trunk(&id, m, is_trusted);
	str_put(j->sender, sizeof(j->sender), id.number);
	str_put(j->sender_name, sizeof(j->sender_name), id.name);
	j->privacy = id.privacy | (identity_is_anonymous_uri(&m->from.uri) ? PRIVACY_ID : 0);
}

static struct message_job *job_new(struct messages *ms, struct strans *st, const struct sip_msg *m, const struct auth_identity *who)
{
	struct message_job *j = calloc(1, sizeof(*j));
	int64_t keep_s = sip_msg_expires(m, KEEP_DEFAULT_S);

	if (!j)
		return NULL;
	j->ms = ms;
	j->st = st;
	DL_APPEND(ms->jobs, j);
	str_put(j->domain, sizeof(j->domain), who->domain);
	j->is_extension = who->number[0] != '\0';
	if (who->number[0]) { /* an account is called by its number */
		str_put(j->sender, sizeof(j->sender), who->number);
		str_put(j->sender_name, sizeof(j->sender_name), who->display_name);
		j->privacy = privacy_of(m) | (identity_is_anonymous_uri(&m->from.uri) ? PRIVACY_ID : 0);
	} else {
		take_sender_of_trunk(j, m, who->trunk);
	}
	str_copy(sip_msg_value(m, SIP_HDR_CONTENT_TYPE), j->ctype, sizeof(j->ctype));
	j->body = str_dup(m->body);
	j->body_len = m->body.n;
	j->keep_s = keep_s < 0 ? KEEP_DEFAULT_S : keep_s > KEEP_MAX_S ? KEEP_MAX_S : (uint32_t)keep_s;
	j->max_forwards = m->max_forwards < 0 ? 69 : (uint8_t)(m->max_forwards - 1);
	strans_set_handler(st, &strans_handler, j);
	timer_init(&j->timer, on_silence, j);
	timer_start(ms->p.timers, &j->timer, WAIT_MS);
	if (j->body)
		return j;
	job_free(j);
	return NULL;
}

/* As in calls: outside an extension is known by another number, and who hides himself, or is hidden, is nobody. trunk NULL: to
 * an extension. */
static void show(struct message_job *j, const struct dir_trunk *trunk)
{
	struct identity id = { .privacy = j->privacy };
	const struct dir_extension *ext;
	const struct dir_domain *domain;
	const char *number = j->sender;

	if (j->is_extension && directory_extension(j->ms->p.directory, j->domain, str_from(j->sender), &ext) == DIR_FOUND) {
		if (ext->anonymous == DIR_ALWAYS || (ext->anonymous == DIR_OUTSIDE && trunk))
			id.privacy |= PRIVACY_ID;
		if (trunk && ext->caller_id)
			number = ext->caller_id;
		else if (trunk && trunk->caller_id)
			number = trunk->caller_id;
		else if (trunk && directory_domain(j->ms->p.directory, j->domain, &domain) == DIR_FOUND && domain->caller_id)
			number = domain->caller_id;
	}
	str_put(id.number, sizeof(id.number), number);
	str_put(id.name, sizeof(id.name), j->sender_name);
	j->known = id;
	str_put(j->shown, sizeof(j->shown), identity_is_hidden(&id) ? "anonymous" : number);
	str_put(j->shown_name, sizeof(j->shown_name), identity_is_hidden(&id) ? "Anonymous" : j->sender_name);
}

/* ---- to an extension ---- */

static void on_stored(uint64_t id, const struct db_answer *a, void *arg)
{
	struct message_job *j = arg;

	(void)id;
	j->query = 0;
	job_end(j, message_stored_status(a));
}

static void store(struct message_job *j)
{
	struct text t = job_text(j);

	/* What is for one phone isn't for whichever comes next. */
	if (j->instance[0]) {
		job_end(j, 480);
		return;
	}
	if (j->keep_s > 0)
		j->query = message_store(j->ms, j->domain, j->number, &t, j->keep_s, on_stored, j);
	if (!j->query)
		job_end(j, j->keep_s ? 503 : 480);
}

static void on_delivered(int status, void *arg)
{
	if (status == 480)
		store(arg); /* registered, and not there */
	else
		job_end(arg, status);
}

static void to_extension(struct message_job *j)
{
	struct text t;
	int err;

	show(j, NULL);
	t = job_text(j);
	err = delivery_start(j->ms, j->domain, j->number, &t, on_delivered, j);

	if (err == -EMSGSIZE)
		job_end(j, 513);
	else if (err)
		store(j);
}

/* No phone or trunk has said anything, and the sender won't wait for long any more. */
static void on_silence(void *arg)
{
	struct message_job *j = arg;

	if (j->query)
		return; /* being stored: that has an end of its own */
	if (j->outside) {
		job_end(j, 504);
		return;
	}
	deliveries_forget(j->ms, j);
	store(j);
}

/* ---- to a trunk ---- */

static bool send_next_way(struct message_job *j);

static void on_trunk_answer(int status, const struct sip_msg *m, void *arg)
{
	struct message_job *j = arg;

	j->outside = NULL;
	if ((!m || status == 408 || status == 430 || status == 503) && send_next_way(j))
		return;
	job_end(j, status == 401 || status == 407 ? 403 : status);
}

struct teller { const struct message_job *job; struct identity_rules rules; };

/* As in an INVITE (RFC 3325 §9.1 has it in MESSAGE, too): From is what the reader sees, this is whom we vouch for. */
static void write_identity(struct out *o, const char *host, void *arg)
{
	const struct teller *t = arg;

	identity_print(o, &t->job->known, host, &t->rules, IDENTITY_CALLING);
}

/* By j->route: 0, or the status it fails with. */
static int send_by_way(struct message_job *j, const struct dir_trunk *trunk)
{
	struct teller teller = { .job = j, .rules = told_rules(trunk) };
	struct sip_uri uri;
	char target[320];
	struct out o;

	if (!trunk->uri || sip_uri_parse(&uri, str_from(trunk->uri)) != 0)
		return 503;
	out_init(&o, target, sizeof(target));
	out_z(&o, uri.scheme == SIP_SCHEME_SIPS ? "sips:" : "sip:");
	sip_escape_user(&o, str_from(j->number));
	out_chr(&o, '@');
	out_str(&o, uri.host);
	if (uri.port)
		out_fmt(&o, ":%u", uri.port);
	if (uri.params.n)
		out_fmt(&o, ";%.*s", STR_ARG(uri.params));
	show(j, trunk);
	const struct outside_params p = {
		.method = "MESSAGE", .target = out_view(&o), .route = str_from(j->route), .from_display = str_from(j->shown_name),
		.from_user = str_from(j->shown), .ctype = j->body_len ? j->ctype : NULL, .body = { j->body, j->body_len }, .max_forwards = j->max_forwards,
		.auth_user = trunk->auth_user, .auth_password = trunk->auth_password, .has_rivals = trunk->nmore_proxies > 0,
		.oc = trunk->has_overload_control ? SIP_OC_OFFER : SIP_OC_NONE,
		.write_hdrs = write_identity, .hdrs_arg = &teller,
	};
	if (!out_ok(&o))
		return 484;
	return outside_send(&j->outside, j->ms->p.ua, &p, on_trunk_answer, j) ? 503 : 0;
}

/* The way that has just failed isn't tried again at once. False: there is no other. */
static bool send_next_way(struct message_job *j)
{
	char failed[ROUTE_MAX];
	const struct dir_trunk *trunk;

	str_put(failed, sizeof(failed), j->route);
	while (directory_trunk(j->ms->p.directory, j->domain, str_from(j->trunk), &trunk) == DIR_FOUND &&
	       trunk_way(trunk, j->way++, j->route, sizeof(j->route)))
		if (strcmp(failed, j->route) != 0 && send_by_way(j, trunk) == 0)
			return true;
	return false;
}

/* As calls go: where its registration stands, else through its proxy. */
static void to_trunk(struct message_job *j, const char *name)
{
	const struct dir_trunk *trunk;
	const char *given;
	int status;

	str_put(j->trunk, sizeof(j->trunk), name);
	if (directory_trunk(j->ms->p.directory, j->domain, str_from(name), &trunk) != DIR_FOUND) {
		job_end(j, 503);
		return;
	}
	given = j->ms->p.outgoing ? outgoing_route(j->ms->p.outgoing, j->domain, name) : NULL;
	if (given)
		str_put(j->route, sizeof(j->route), given);
	else
		trunk_way(trunk, j->way++, j->route, sizeof(j->route));
	status = send_by_way(j, trunk);
	if (status && (status != 503 || !send_next_way(j)))
		job_end(j, status);
}

/* ---- where it goes ---- */

struct names {
	const struct auth_identity *who;
	const char *number, *sender;
};

static struct str find_var(struct str name, void *arg)
{
	const struct names *n = arg;

	if (str_eqz(name, "number"))
		return str_from(n->number);
	if (str_eqz(name, "caller"))
		return str_from(n->sender);
	if (str_eqz(name, "domain"))
		return str_from(n->who->domain);
	if (str_eqz(name, "context"))
		return str_from(n->who->context);
	if (str_eqz(name, "trunk"))
		return str_from(n->who->trunk);
	return STR_NULL;
}

static const char *arg_of(const struct step *s, const char *name)
{
	for (unsigned i = 0; i < s->nargs; i++)
		if (!strcmp(s->args[i].name, name))
			return s->args[i].value;
	return NULL;
}

/* The first dial step says where: number and trunk ("": none). 0, or the status it is refused with. */
static int route_to(struct messages *ms, const struct names *n, char *number, size_t size, char trunk[64])
{
	const struct step *steps;
	struct route *route;
	int status = 404;
	unsigned nsteps;

	switch (plan_match(ms->p.plan, n->who->domain, n->who->context, str_from(n->number), &route)) {
	case DIR_UNKNOWN:
		return 503;
	case DIR_ABSENT:
		return 404;
	case DIR_FOUND:
		break;
	}
	nsteps = route_steps(route, &steps);
	for (unsigned i = 0; i < nsteps; i++) {
		const char *to = arg_of(&steps[i], "number"), *by = arg_of(&steps[i], "trunk");

		if (strcmp(steps[i].app, "dial") != 0 || !to)
			continue;
		if (plan_substitute(to, find_var, (void *)n, number, size) == 0 &&
		    plan_substitute(by ? by : "", find_var, (void *)n, trunk, 64) == 0)
			status = 0;
		break;
	}
	route_release(route);
	return status;
}

static void send_on(struct message_job *j, const char *trunk)
{
	const struct dir_extension *ext;

	if (trunk[0]) {
		to_trunk(j, trunk);
		return;
	}
	switch (directory_extension(j->ms->p.directory, j->domain, str_from(j->number), &ext)) {
	case DIR_FOUND:
		to_extension(j);
		break;
	case DIR_ABSENT: /* or several numbers, or a URI: a text has one reader */
		job_end(j, 404);
		break;
	case DIR_UNKNOWN:
		job_end(j, 503);
		break;
	}
}

/* ---- MESSAGE ---- */

static bool is_too_many(struct messages *ms, const struct auth_identity *who)
{
	uint64_t now = timers_now(ms->p.timers);
	struct message_rate *r;
	char key[sizeof(r->key)];

	snprintf(key, sizeof(key), "%s/%s%s", who->domain, who->number[0] ? "" : "trunk:", who->number[0] ? who->number : who->trunk);
	HASH_FIND_STR(ms->rates, key, r);
	if (!r) { /* accounts are what the directory has: the table doesn't grow past it */
		r = calloc(1, sizeof(*r));
		if (!r)
			return true;
		str_put(r->key, sizeof(r->key), key);
		HASH_ADD_STR(ms->rates, key, r);
		if (!r->hh.tbl) {
			free(r);
			return true;
		}
	}
	if (r->sent_until_ms < now)
		r->sent_until_ms = now;
	if (r->sent_until_ms - now > (BURST - 1) * REFILL_MS)
		return true;
	r->sent_until_ms += REFILL_MS;
	return false;
}

struct fault { int status; const char *reason, *hdrs; };

static struct fault check(const struct strans *st, const struct sip_msg *m)
{
	struct str encoding = sip_msg_value(m, SIP_HDR_CONTENT_ENCODING);

	if (m->body.n > MESSAGE_BODY_MAX || (strans_source(st)->proto == SIP_UDP && m->raw.n > UDP_MAX))
		return (struct fault){ 513, NULL, NULL };
	if (encoding.n && !str_ieqz(encoding, "identity"))
		return (struct fault){ 415, NULL, "Accept-Encoding: identity\r\n" };
	if (m->body.n && !sip_msg_has(m, SIP_HDR_CONTENT_TYPE))
		return (struct fault){ 400, "Missing Content-Type", NULL };
	if (sip_msg_value(m, SIP_HDR_CONTENT_TYPE).n >= CTYPE_MAX)
		return (struct fault){ 415, NULL, NULL };
	if (m->max_forwards >= 0 && m->max_forwards <= 1)
		return (struct fault){ 483, NULL, NULL };
	if (m->ruri.scheme == SIP_SCHEME_OTHER)
		return (struct fault){ 416, NULL, NULL };
	if (!m->ruri.user.n)
		return (struct fault){ 484, NULL, NULL };
	return (struct fault){ 0, NULL, NULL };
}

/* What was dialled; *phone: a GRUU, and which phone that is, instance "" for none. 0, or the status it is refused with. */
static int find_number(struct messages *ms, const char *domain, const struct sip_uri *uri, char number[128], struct registrar_gruu *phone)
{
	switch (registrar_gruu_find(ms->p.registrar, domain, uri, phone)) {
	case 0:
		str_put(number, 128, phone->number);
		return strcmp(phone->domain, domain) == 0 ? 0 : 404;
	case -ENOENT:
		phone->instance[0] = '\0';
		return sip_uri_number(uri, number, 128) == 0 ? 0 : 484;
	default:
		return 404;
	}
}

static void on_message(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct messages *ms = arg;
	struct fault f = check(st, m);
	struct registrar_gruu phone;
	struct auth_identity who;
	struct message_job *j;
	char number[128], trunk[64];
	int status;

	if (f.status) {
		refuse(st, f.status, f.reason, f.hdrs);
		return;
	}
	if (auth_check(ms->p.auth, st, m, &who) != AUTH_OK)
		return;
	if (is_too_many(ms, &who)) {
		refuse(st, 480, "Too many messages", "Retry-After: 5\r\n");
		return;
	}
	status = find_number(ms, who.domain, &m->ruri, number, &phone);
	if (status) {
		refuse(st, status, NULL, NULL);
		return;
	}
	j = job_new(ms, st, m, &who);
	if (!j) {
		refuse(st, 500, NULL, NULL);
		return;
	}
	status = route_to(ms, &(struct names){ &who, number, j->sender }, j->number, sizeof(j->number), trunk);
	if (!status && phone.instance[0] && strcmp(j->number, phone.number) == 0) {
		str_put(j->instance, sizeof(j->instance), phone.instance);
		str_put(j->sg, sizeof(j->sg), phone.sg);
	}
	if (status)
		job_end(j, status);
	else
		send_on(j, trunk);
}

/* ---- the service ---- */

int messages_new(struct messages **out, const struct messages_params *p)
{
	struct messages *ms = calloc(1, sizeof(*ms));

	if (!ms)
		return -ENOMEM;
	ms->p = *p;
	sip_ua_handle(p->ua, SIP_MESSAGE, on_message, ms);
	message_store_start(ms);
	*out = ms;
	return p->commands ? commands_on(p->commands, "message", message_command, ms) : 0;
}

void messages_stop(struct messages *ms)
{
	if (ms->is_stopped)
		return;
	ms->is_stopped = true;
	sip_ua_handle(ms->p.ua, SIP_MESSAGE, NULL, NULL);
	message_store_stop(ms);
	while (ms->jobs)
		job_end(ms->jobs, 503);
}

void messages_free(struct messages *ms)
{
	struct message_rate *r, *next;

	if (!ms)
		return;
	HASH_ITER(hh, ms->rates, r, next) {
		HASH_DEL(ms->rates, r);
		free(r);
	}
	deliveries_free(ms);
	message_commands_free(ms);
	message_store_free(ms);
	free(ms);
}
