/* phone.c - which phone of an extension somebody is: what it says of itself (a GRUU as its Contact) counts before where it is. */
#include "registrar/registrar.h"

#include <stdlib.h>

/* FNV-1a; URNs of instances are compared without case (RFC 8141 §3.1). */
uint64_t phone_id(const char *instance)
{
	uint64_t h = 0xcbf29ce484222325u;

	if (!instance || !instance[0])
		return 0;
	for (const char *p = instance; *p; p++) {
		unsigned char c = (unsigned char)*p;

		h = (h ^ (c >= 'A' && c <= 'Z' ? c + 32 : c)) * 0x100000001b3u;
	}
	return h ? h : 1;
}

static uint64_t by_gruu(struct registrar *r, const char *domain, struct str number, struct str target)
{
	struct registrar_gruu g;
	struct sip_uri uri;

	if (sip_uri_parse(&uri, target) != 0 || registrar_gruu_find(r, domain, &uri, &g) != 0)
		return 0;
	return !strcmp(g.domain, domain) && str_eqz(number, g.number) ? phone_id(g.instance) : 0;
}

/* Behind a proxy of Path all phones come from one place. */
static bool is_from(const struct binding *b, const struct sip_source *src)
{
	if (b->path || b->dest.proto != src->proto)
		return false;
	return b->dest.proto == SIP_UDP ? sockaddr_eq(&b->dest.addr, &src->peer) : b->dest.flow == src->flow;
}

uint64_t registrar_phone_of(struct registrar *r, const char *domain, struct str number, struct str target, const struct sip_source *src)
{
	const struct registrar_reach all = registrar_reach(r, domain, number);
	uint64_t id = by_gruu(r, domain, number, target);

	for (struct registrar_reach at = all; at.b && !id; registrar_next(&at))
		if (str_eqz(target, at.b->contact))
			id = phone_id(at.b->instance);
	for (struct registrar_reach at = all; at.b && !id; registrar_next(&at))
		if (is_from(at.b, src))
			id = phone_id(at.b->instance);
	return id;
}
