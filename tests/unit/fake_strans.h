/* fake_strans.h - a server transaction that keeps what it was answered with, and requests to put into it.
 *
 * For tests of what sits above the transaction layer: include it once, link without stack.c.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "sip/digest.h"
#include "sip/stack.h"

struct strans {
	struct sip_msg *msg;         /* held */
	struct sip_source source;
	unsigned nreplies;
	int status;                  /* of the last reply; 0: none yet */
	char reason[128], hdrs[8192];
	char hdrs_2xx[1024];
	bool has_proof;
};

const struct sip_msg *strans_msg(const struct strans *st)
{
	return st->msg;
}

const struct sip_source *strans_source(const struct strans *st)
{
	return &st->source;
}

void strans_set_hdrs_2xx(struct strans *st, struct str hdrs)
{
	snprintf(st->hdrs_2xx, sizeof(st->hdrs_2xx), "%.*s", STR_ARG(hdrs));
}

void strans_set_proof(struct strans *st, struct digest_proof *proof)
{
	st->has_proof = proof != NULL;
	digest_proof_free(proof);
}

int strans_reply(struct strans *st, const struct sip_reply *r)
{
	st->nreplies++;
	st->status = r->status;
	snprintf(st->reason, sizeof(st->reason), "%s", r->reason ? r->reason : sip_reason(r->status));
	snprintf(st->hdrs, sizeof(st->hdrs), "%.*s", STR_ARG(r->hdrs));
	return 0;
}

int strans_reply_simple(struct strans *st, int status, const char *hdrs)
{
	struct sip_reply r = { .status = status, .hdrs = str_from(hdrs) };

	return strans_reply(st, &r);
}

/* From 192.0.2.10:5062 over UDP, listener 1. */
static void fake_strans_init(struct strans *st, const char *text)
{
	static struct sip_msg m;
	struct sip_msg_error err;
	char *copy = strdup(text);

	memset(st, 0, sizeof(*st));
	assert_non_null(copy);
	assert_int_equal(sip_msg_parse(&m, copy, strlen(copy), &err), 0);
	st->msg = sip_msg_hold(&m);
	assert_non_null(st->msg);
	free(copy);
	st->source.proto = SIP_UDP;
	st->source.flow = 1;
	assert_int_equal(sockaddr_parse(&st->source.peer, STR("192.0.2.10"), 5062), 0);
}

static void fake_strans_fini(struct strans *st)
{
	sip_msg_release(st->msg);
	st->msg = NULL;
}

static inline struct rng *fake_rng(void)
{
	static struct rng rng;

	if (!rng.seed)
		rng_init_fixed(&rng, 42);
	return &rng;
}

/* The Authorization line that answers the challenge st was replied with. out is NUL-terminated. */
static inline int fake_authorization(const struct strans *st, const char *user, const char *password, uint32_t nc, char *buf, size_t size)
{
	static struct sip_msg m;
	struct sip_msg_error err;
	char response[sizeof(st->hdrs) + 512];
	struct out o;
	int r;

	snprintf(response, sizeof(response),
		 "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKx\r\nFrom: <sip:a@x>;tag=1\r\n"
		 "To: <sip:a@x>;tag=2\r\nCall-ID: c\r\nCSeq: 1 %.*s\r\n%sContent-Length: 0\r\n\r\n",
		 STR_ARG(st->msg->method_name), st->hdrs);
	assert_int_equal(sip_msg_parse(&m, response, strlen(response), &err), 0);
	out_init(&o, buf, size);
	r = digest_answer(&o, &m, st->msg->method_name, st->msg->ruri.text, str_from(user), str_from(password), nc, fake_rng());
	out_chr(&o, '\0');
	assert_true(out_ok(&o));
	return r;
}
