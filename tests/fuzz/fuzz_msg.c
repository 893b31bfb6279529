/* fuzz_msg.c - libFuzzer target on whole messages.
 *
 * All slices lie in the buffer; a held copy says the same from bytes of its own; what was read prints and parses back; every
 * structured value of every header takes whatever is there.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/out.h"
#include "sip/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_inside(struct str s, struct str bytes)
{
	assert(!s.n || (s.p >= bytes.p && s.p + s.n <= bytes.p + bytes.n));
}

static void assert_uri_inside(const struct sip_uri *u, struct str bytes)
{
	assert_inside(u->text, bytes);
	assert_inside(u->user, bytes);
	assert_inside(u->password, bytes);
	assert_inside(u->host, bytes);
	assert_inside(u->params, bytes);
	assert_inside(u->headers, bytes);
}

static void assert_addr_inside(const struct sip_addr *a, struct str bytes)
{
	assert_inside(a->value, bytes);
	assert_inside(a->display, bytes);
	assert_uri_inside(&a->uri, bytes);
	assert_inside(a->params, bytes);
	assert_inside(a->tag, bytes);
}

static void assert_via_inside(const struct sip_via *v, struct str bytes)
{
	assert_inside(v->value, bytes);
	assert_inside(v->transport, bytes);
	assert_inside(v->host, bytes);
	assert_inside(v->params, bytes);
	assert_inside(v->branch, bytes);
	assert_inside(v->received, bytes);
}

static void check_slices(const struct sip_msg *m, struct str bytes)
{
	assert_inside(m->raw, bytes);
	assert_inside(m->method_name, bytes);
	assert_inside(m->reason, bytes);
	assert_inside(m->call_id, bytes);
	assert_inside(m->cseq.method_name, bytes);
	assert_inside(m->body, bytes);
	assert_uri_inside(&m->ruri, bytes);
	assert_addr_inside(&m->from, bytes);
	assert_addr_inside(&m->to, bytes);
	assert_via_inside(&m->via, bytes);
	assert(m->nhdrs <= SIP_HDR_MAX);
	for (unsigned i = 0; i < m->nhdrs; i++) {
		assert_inside(m->hdrs[i].name, bytes);
		assert_inside(m->hdrs[i].value, bytes);
		assert(m->hdrs[i].id < SIP_HDR_COUNT && !memchr(m->hdrs[i].name.p, '\n', m->hdrs[i].name.n));
		assert(!m->hdrs[i].value.n || !memchr(m->hdrs[i].value.p, '\n', m->hdrs[i].value.n));
	}
	for (int id = 0; id < SIP_HDR_COUNT; id++)
		assert(m->first[id] < (int)m->nhdrs && (m->first[id] < 0 || (int)m->hdrs[m->first[id]].id == id));
}

static bool same_addr(const struct sip_addr *a, const struct sip_addr *b)
{
	return str_eq(a->value, b->value) && str_eq(a->display, b->display) && str_eq(a->uri.text, b->uri.text) &&
	       str_eq(a->uri.user, b->uri.user) && str_eq(a->uri.host, b->uri.host) && str_eq(a->params, b->params) && str_eq(a->tag, b->tag);
}

/* Everything that is not where it lies. */
static void assert_same(const struct sip_msg *a, const struct sip_msg *b)
{
	assert(a->is_request == b->is_request && a->method == b->method && a->status == b->status);
	assert(str_eq(a->method_name, b->method_name) && str_eq(a->reason, b->reason) && str_eq(a->ruri.text, b->ruri.text));
	assert(str_eq(a->call_id, b->call_id) && a->cseq.seq == b->cseq.seq && a->cseq.method == b->cseq.method);
	assert(same_addr(&a->from, &b->from) && same_addr(&a->to, &b->to));
	assert(str_eq(a->via.value, b->via.value) && str_eq(a->via.branch, b->via.branch) && str_eq(a->via.host, b->via.host));
	assert(a->via.port == b->via.port && a->via.has_rport == b->via.has_rport);
	assert(a->max_forwards == b->max_forwards && a->content_length == b->content_length && str_eq(a->body, b->body));
	assert(a->nhdrs == b->nhdrs && !memcmp(a->first, b->first, sizeof(a->first)));
	for (unsigned i = 0; i < a->nhdrs; i++)
		assert(a->hdrs[i].id == b->hdrs[i].id && str_eq(a->hdrs[i].name, b->hdrs[i].name) &&
		       str_eq(a->hdrs[i].value, b->hdrs[i].value));
}

static void check_hold(struct sip_msg *m)
{
	struct sip_msg *held = sip_msg_hold(m);

	if (!held)
		return;
	assert_same(m, held);
	check_slices(held, held->raw);
	assert(sip_msg_hold(held) == held);
	sip_msg_release(held);
	sip_msg_release(held);
}

static void check_print(const struct sip_msg *m)
{
	static struct sip_msg back;
	struct sip_msg_error err;
	struct out o;

	out_init_grow(&o, 4 * SIP_MSG_MAX);
	if (m->is_request)
		out_fmt(&o, "%.*s %.*s SIP/2.0\r\n", STR_ARG(m->method_name), STR_ARG(m->ruri.text));
	else
		out_fmt(&o, "SIP/2.0 %d %.*s\r\n", m->status, STR_ARG(m->reason));
	for (unsigned i = 0; i < m->nhdrs; i++) {
		out_str(&o, m->hdrs[i].name);
		out_z(&o, ": ");
		out_str(&o, m->hdrs[i].value);
		out_z(&o, "\r\n");
	}
	out_z(&o, "\r\n");
	out_str(&o, m->body);
	assert(out_ok(&o));
	if (o.len <= SIP_MSG_MAX && !(m->reason.n && memchr(m->reason.p, '\0', m->reason.n))) {
		assert(sip_msg_parse(&back, o.p, o.len, &err) == 0);
		assert_same(m, &back);
	}
	out_fini(&o);
}

static void check_element(struct str one, struct str bytes)
{
	struct sip_credentials credentials;
	struct sip_challenge challenge;
	struct str token, params;
	struct sip_addr a;
	struct sip_cseq cseq;
	struct sip_via via;

	assert_inside(one, bytes);
	if (sip_addr_parse(&a, one) == 0)
		assert_addr_inside(&a, bytes);
	if (sip_via_parse(&via, one) == 0)
		assert_via_inside(&via, bytes);
	if (sip_cseq_parse(&cseq, one) == 0)
		assert_inside(cseq.method_name, bytes);
	if (sip_credentials_parse(&credentials, one) == 0)
		assert_inside(credentials.response, bytes);
	if (sip_challenge_parse(&challenge, one) == 0)
		assert_inside(challenge.nonce, bytes);
	sip_token_params(one, &token, &params);
	assert_inside(token, bytes);
	assert_inside(params, bytes);
	sip_param_find(params, "tag", &token);
}

/* Walks everything; elements of a header are never more than its bytes. */
static void check_values(const struct sip_msg *m, struct str bytes)
{
	for (enum sip_hdr_id id = 0; id < SIP_HDR_COUNT; id++) {
		struct sip_hdr_iter it = { 0 };
		struct str one;
		size_t n = 0;

		while (sip_msg_element_next(m, id, &it, &one)) {
			assert(one.n && ++n <= bytes.n);
			check_element(one, bytes);
		}
		it = (struct sip_hdr_iter){ 0 };
		n = 0;
		while (sip_msg_hdr_next(m, id, &it, &one)) {
			assert(++n <= m->nhdrs);
			check_element(one, bytes);
		}
		sip_msg_has_token(m, id, "100rel");
	}
	sip_msg_expires(m, 0);
	sip_msg_value_by_name(m, "X-Unknown");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sip_msg m;
	struct sip_msg_error err;
	/* A copy of exactly this size, so that a byte read too far is caught. */
	char *copy = malloc(size ? size : 1);
	struct str bytes = { copy, size };
	int r;

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	r = sip_msg_parse(&m, copy, size, &err);
	assert(r == 0 || r == -EINVAL);
	assert(r != 0 || err.status == 0);
	if (r == 0 || err.status) {
		/* Fit to be used or answered */
		assert(m.via.host.n && (err.status == 0 || (err.reason && m.is_request)));
		check_slices(&m, bytes);
		check_values(&m, bytes);
		check_hold(&m);
	}
	if (r == 0)
		check_print(&m);
	free(copy);
	return 0;
}
