/* hop.c - looks the name of a first hop up while the call's task waits. */
#include "call/hop.h"

#include <errno.h>

#define TARGET_URI_MAX 512

struct lookup {
	struct call *call;
	bool is_done;
	unsigned n;
	struct hop hop;
};

static void on_resolved(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg)
{
	struct lookup *l = arg;

	(void)id;
	l->is_done = true;
	l->n = n;
	if (n)
		l->hop.dest = dests[0];
	for (unsigned i = 1; i < n && !l->hop.has_other; i++) {
		l->hop.has_other = dests[i].addr.sa.sa_family != dests[0].addr.sa.sa_family;
		l->hop.other = dests[i];
	}
	call_wake(l->call);
}

static int resolve(struct call *call, const char *uri_text, struct hop *out)
{
	struct lookup l = { .call = call };
	struct sip_uri uri;
	uint64_t id;
	int err = sip_uri_parse(&uri, str_from(uri_text));

	if (err)
		return err;
	*out = (struct hop){ 0 };
	err = sip_resolve_literal(&out->dest, &uri);
	if (err != -EAGAIN)
		return err;
	if (!call->calls->p.resolver)
		return -EHOSTUNREACH;
	err = sip_resolve(call->calls->p.resolver, &uri, on_resolved, &l, &id);
	if (err)
		return err;
	while (!l.is_done && !call->is_hungup)
		call_wait(call, UINT64_MAX);
	if (!l.is_done) {
		sip_resolve_cancel(call->calls->p.resolver, id);
		return -ECANCELED;
	}
	*out = l.hop;
	return l.n ? 0 : -EHOSTUNREACH;
}

int hop_find(struct call *call, const char *uri, const char *route, struct hop *out)
{
	char hop[TARGET_URI_MAX];
	struct sip_uri first;

	if (!route || !route[0])
		return resolve(call, uri, out);
	if (client_first_route(str_from(route), &first) != 0 || str_copy(first.text, hop, sizeof(hop)) != 0)
		return -EINVAL;
	return resolve(call, hop, out);
}
