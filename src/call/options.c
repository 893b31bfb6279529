/* options.c - what an OPTIONS to a number is answered, and what we could describe (RFC 3261 §11).
 *
 * Strangers, and trunks that only ask whether we are there, get the 200 of the house, whatever they write: the user agent gives it
 * without us. Who shows credentials is told what his INVITE would be told before anybody rings, and which media he would be offered, with port 0
 * (RFC 3264 §9).
 */
#include <errno.h>
#include <strings.h>

#include "call/leg_int.h"

/* A GRUU is of one phone, which is there or isn't (RFC 5627 §5.1). */
static bool is_there(struct calls *cs, const struct registrar_gruu *g)
{
	for (struct registrar_reach at = registrar_reach(cs->p.registrar, g->domain, str_from(g->number)); at.b; registrar_next(&at))
		if (at.b->instance && !strcasecmp(at.b->instance, g->instance))
			return true;
	return false;
}

/* 0, or what an INVITE to it would be refused with. */
static int refusal(struct calls *cs, const struct sip_msg *m, const struct auth_identity *who)
{
	struct usage *usage = NULL;
	struct registrar_gruu gruu;
	bool has_gruu = false;
	struct route *route;
	char number[128];

	if (calls_is_full(cs))
		return 503;
	if (sip_uri_number(&m->ruri, number, sizeof(number)) != 0)
		return 484;
	switch (registrar_gruu_find(cs->p.registrar, who->domain, &m->ruri, &gruu)) {
	case 0:
		if (strcmp(gruu.domain, who->domain) != 0)
			return 404;
		str_put(number, sizeof(number), gruu.number);
		has_gruu = true;
		break;
	case -ENOENT:
		break;
	default:
		return 404;
	}
	switch (plan_match(cs->p.plan, who->domain, who->context, str_from(number), &route)) {
	case DIR_FOUND:
		route_release(route);
		break;
	case DIR_ABSENT:
		return 404;
	case DIR_UNKNOWN:
		return 503;
	}
	if (has_gruu && !is_there(cs, &gruu))
		return 480;
	if (!admission_take_limit(cs, who, false, &usage))
		return 486;
	usage_give(cs, usage);
	return 0;
}

static int describe(struct calls *cs, const struct strans *st, const struct auth_identity *who, struct out *o)
{
	struct call call = { .calls = cs };
	struct leg leg = { .call = &call };
	const struct sip_source *src = strans_source(st);
	const struct sip_dest dest = { .proto = src->proto, .addr = src->peer, .flow = src->flow };
	struct leg_codecs codecs;
	char addr[SOCKADDR_TEXT_MAX];
	union sockaddr_any local;
	int err = sip_ua_local(cs->p.ua, &dest, &local);

	if (err)
		return err;
	leg.oa = oa_new(((uint64_t)rng_u32(cs->p.rng) << 16));
	if (!leg.oa)
		return -ENOMEM;
	str_put(call.domain, sizeof(call.domain), who->domain);
	str_put(leg.peer, sizeof(leg.peer), who->number);
	leg_codecs(&leg, NULL, &codecs);
	leg.dtmf = leg_policy(&leg)->dtmf;
	err = oa_offer(leg.oa, &(struct oa_local){ .addr = sockaddr_print_host(&local, addr), .addr_is_ip6 = local.sa.sa_family == AF_INET6,
						   .dir = SDP_SENDRECV, .ncodecs = codecs.n, .codecs = codecs.list, .dtmf = leg_digits_has_events(&leg) }, o);
	oa_free(leg.oa);
	return err;
}

void options_request(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct calls *cs = arg;
	struct auth_identity who = { 0 };
	struct out o;
	int status;

	if (auth_check(cs->p.auth, st, m, &who) != AUTH_OK)
		return;
	if (who.trunk[0] || !m->ruri.user.n) {
		sip_ua_answer_options(cs->p.ua, st, STR_NULL);
		return;
	}
	status = refusal(cs, m, &who);
	if (status) {
		strans_reply_simple(st, status, NULL);
		return;
	}
	out_init_grow(&o, SDP_TEXT_MAX);
	if (!sip_msg_takes(m, "application/sdp") || describe(cs, st, &who, &o) != 0 || !out_ok(&o))
		sip_ua_answer_options(cs->p.ua, st, STR_NULL);
	else
		sip_ua_answer_options(cs->p.ua, st, out_view(&o));
	out_fini(&o);
}
