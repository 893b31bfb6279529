/* fake_subscription.h - a user agent that hands SUBSCRIBEs on and keeps what its subscriptions are told. Include it once, behind
 * fake_strans.h; for tests of event packages, that link without ua.c, auth.c and outbox.c.
 *
 * From "stranger": challenged; from "trunk": a trunk; from "bob": 1002; else the extension of the user's name. Nothing is under way
 * unless a test says so, and what the outbox would get is kept, too.
 */
#pragma once

#include "db/outbox.h"
#include "registrar/auth.h"
#include "registrar/registrar.h"

static sip_ua_request_fn *request_fns[SIP_METHOD_COUNT];
static void *request_args[SIP_METHOD_COUNT];

void sip_ua_allow_event(struct sip_ua *ua, const char *package)
{
	(void)ua;
	(void)package;
}

void sip_ua_handle(struct sip_ua *ua, enum sip_method method, sip_ua_request_fn *fn, void *arg)
{
	(void)ua;
	request_fns[method] = fn;
	request_args[method] = arg;
}

enum auth_verdict auth_check(struct auth *a, struct strans *st, const struct sip_msg *m, struct auth_identity *out)
{
	(void)a;
	if (str_eqz(m->from.uri.user, "stranger")) {
		strans_reply_simple(st, 401, NULL);
		return AUTH_ANSWERED;
	}
	*out = (struct auth_identity){ .domain = "office", .context = "office" };
	if (str_eqz(m->from.uri.user, "trunk"))
		strcpy(out->trunk, "provider");
	else
		str_copy(str_eqz(m->from.uri.user, "bob") ? STR("1002") : m->from.uri.user, out->number, sizeof(out->number));
	return AUTH_OK;
}

/* A public GRUU is what it says; the temporary "tgruu.1" is the phone <urn:uuid:b> of 1002, other ones mean nothing. */
int registrar_gruu_find(struct registrar *r, const char *domain, const struct sip_uri *uri, struct registrar_gruu *out)
{
	struct str gr;

	(void)r;
	if (!sip_param_find(uri->params, "gr", &gr))
		return -ENOENT;
	*out = (struct registrar_gruu){ 0 };
	str_put(out->domain, sizeof(out->domain), domain);
	if (!gr.n && !str_eqz(uri->user, "tgruu.1"))
		return -ESTALE;
	str_copy(gr.n ? uri->user : STR("1002"), out->number, sizeof(out->number));
	snprintf(out->instance, sizeof(out->instance), "<%.*s>", STR_ARG(gr.n ? gr : STR("urn:uuid:b")));
	return 0;
}

bool registrar_is_loaded(const struct registrar *r)
{
	(void)r;
	return true;
}

uint64_t phone_id(const char *instance)
{
	return instance ? (unsigned char)instance[10] : 0;
}

struct subscription {
	const struct subscription_handler *h;
	void *arg;
	uint32_t expires_s, min_s, max_s, seq;
	unsigned notified;
	bool is_notifying;
	char ctype[64], body[4096], closed[32], tag[17], event[128];
};
static struct subscription subs[400];
static unsigned nsubs;
static int accept_err;

int subscription_accept(struct subscription **out, struct sip_ua *ua, struct strans *st, const struct sip_msg *m,
			uint32_t expires_s, const struct subscription_handler *h, void *arg)
{
	(void)ua;
	if (accept_err)
		return accept_err;
	assert_true(nsubs < ARRAY_LEN(subs));
	subs[nsubs] = (struct subscription){ .h = h, .arg = arg, .expires_s = expires_s };
	snprintf(subs[nsubs].tag, sizeof(subs[nsubs].tag), "tag%013u", nsubs);
	str_copy(sip_msg_value(m, SIP_HDR_EVENT), subs[nsubs].event, sizeof(subs[nsubs].event));
	*out = &subs[nsubs++];
	strans_reply_simple(st, 200, NULL);
	return 0;
}

int subscription_notify(struct subscription *sub, const char *ctype, struct str body)
{
	assert_false(sub->is_notifying);
	sub->notified++;
	sub->seq++;
	snprintf(sub->ctype, sizeof(sub->ctype), "%s", ctype);
	snprintf(sub->body, sizeof(sub->body), "%.*s", STR_ARG(body));
	return 0;
}

struct str subscription_event(const struct subscription *sub)
{
	return str_from(sub->event);
}

void subscription_close(struct subscription *sub, const char *reason)
{
	snprintf(sub->closed, sizeof(sub->closed), "%s", reason);
}

void subscription_limit(struct subscription *sub, uint32_t min_s, uint32_t max_s)
{
	sub->min_s = min_s;
	sub->max_s = max_s;
}

bool subscription_is_notifying(const struct subscription *sub)
{
	return sub->is_notifying;
}

void subscription_keep(const struct subscription *sub, struct subscription_kept *out)
{
	*out = (struct subscription_kept){
		.call_id = STR("c"), .local_tag = str_from(sub->tag), .remote_tag = STR("1"), .local = STR("<sip:a@x>"), .remote = STR("<sip:b@x>"),
		.target = STR("sip:b@192.0.2.10"), .contact_user = STR("a"), .event = STR("dialog"), .routes = STR(""), .local_seq = sub->seq,
		.remote_seq = 1, .proto = SIP_UDP,
	};
	sockaddr_parse(&out->peer, STR("192.0.2.10"), 5062);
}

int subscription_restore(struct subscription **out, struct sip_ua *ua, const struct subscription_kept *k, uint32_t expires_s,
			 const struct subscription_handler *h, void *arg)
{
	(void)ua;
	assert_true(nsubs < ARRAY_LEN(subs));
	subs[nsubs] = (struct subscription){ .h = h, .arg = arg, .expires_s = expires_s, .seq = k->local_seq };
	str_copy(k->local_tag, subs[nsubs].tag, sizeof(subs[nsubs].tag));
	*out = &subs[nsubs++];
	return 0;
}

/* The NOTIFY under way is answered. */
static inline void fake_subscription_answered(struct subscription *sub)
{
	sub->is_notifying = false;
	sub->h->on_notified(sub, sub->arg);
}

static char last_doc[4096], last_kind[32];
static unsigned ndocs;

int outbox_add(struct outbox *o, const char *kind, const char *doc, const char *file, void (*fn)(int err, void *arg), void *arg)
{
	(void)o;
	(void)fn;
	(void)arg;
	assert_null(file);
	ndocs++;
	snprintf(last_kind, sizeof(last_kind), "%s", kind);
	snprintf(last_doc, sizeof(last_doc), "%s", doc);
	return 0;
}

unsigned outbox_waiting(const struct outbox *o)
{
	(void)o;
	return 0;
}

static inline void fake_subscriptions_reset(void)
{
	nsubs = ndocs = 0;
	accept_err = 0;
	memset(request_fns, 0, sizeof(request_fns));
}

/* Puts a request into st (which is left with the answer) and hands it on. Returns the status. */
static inline int fake_request(struct strans *st, const char *text)
{
	fake_strans_init(st, text);
	assert_non_null(request_fns[st->msg->method]);
	request_fns[st->msg->method](st, st->msg, request_args[st->msg->method]);
	fake_strans_fini(st);
	assert_int_equal(st->nreplies, 1);
	return st->status;
}
