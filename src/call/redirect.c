/* redirect.c - reads the Contacts of a 3xx. */
#include "call/redirect.h"

#include <stdlib.h>

#include "call/diversion.h"

static bool has(const struct redirects *r, const struct redirect *one)
{
	for (unsigned i = 0; i < r->n; i++)
		if (!strcmp(r->to[i].number, one->number) && !strcmp(r->to[i].uri, one->uri))
			return true;
	return false;
}

static void take_uri(struct redirect *one, const struct sip_uri *uri)
{
	struct str text = uri->text;

	if (uri->headers.p)
		text.n = (size_t)(uri->headers.p - 1 - text.p);
	if (str_copy(text, one->uri, sizeof(one->uri)) != 0)
		one->uri[0] = '\0';
}

static void insert(struct redirects *r, const struct redirect *one)
{
	unsigned at = r->n++;

	for (; at && r->to[at - 1].q_milli < one->q_milli; at--)
		r->to[at] = r->to[at - 1];
	r->to[at] = *one;
}

struct redirects *redirects_to(const char *number)
{
	struct redirects *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->n = 1;
	str_put(r->to[0].number, sizeof(r->to[0].number), number);
	r->to[0].reason = "deflection";
	return r;
}

struct redirects *redirects_take(const struct sip_msg *m)
{
	struct sip_hdr_iter it = { 0 };
	struct redirects *r;
	struct str element;

	if (m->is_request || m->status / 100 != 3 || m->status == 305 || m->status == 380 || !sip_msg_has(m, SIP_HDR_CONTACT))
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	while (r->n < REDIRECTS_MAX && sip_msg_element_next(m, SIP_HDR_CONTACT, &it, &element)) {
		struct redirect one;
		struct sip_addr contact;

		if (sip_addr_parse(&contact, element) != 0 || sip_uri_number(&contact.uri, one.number, sizeof(one.number)) != 0 ||
		    !one.number[0])
			continue;
		take_uri(&one, &contact.uri);
		if (has(r, &one))
			continue;
		one.q_milli = sip_param_q_milli(contact.params);
		one.reason = diversion_reason_given(m, &contact.uri);
		insert(r, &one);
	}
	if (!r->n) {
		free(r);
		return NULL;
	}
	return r;
}
