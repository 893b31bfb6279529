/* decision_refused.c - calls that were refused before they had a record are written down, too, as far as that does no harm. */
#define LOG_MODULE "call"
#include <stdlib.h>

#include "base/log.h"
#include "base/member.h"
#include "call/decision.h"
#include "call/trace.h"

#define STRANGERS_BURST 60       /* refusals of callers whom nobody knows, and how many a minute */
#define KNOWN_BURST 600

/* As many at once as `burst`, and then so many a minute. */
static bool is_worth_writing(struct refusal_pace *p, int64_t now_ms, unsigned burst)
{
	int64_t more = (now_ms - p->at_ms) * burst / 60000;

	if (!p->at_ms || now_ms < p->at_ms || more >= burst - p->left) {
		p->left = burst;
		p->at_ms = now_ms;
	} else if (more) {
		p->left += (unsigned)more;
		p->at_ms = now_ms;
	}
	if (!p->left)
		return false;
	p->left--;
	return true;
}

/* Known callers have more, of their own: a flood of strangers hides nobody's trouble. */
static bool is_due(struct calls *cs, const struct auth_identity *who)
{
	int64_t now_ms = clock_wall_ms(cs->p.clock);

	if (!cs->p.outbox)
		return false;
	return who->known_by ? is_worth_writing(&cs->refused_known, now_ms, KNOWN_BURST)
			     : is_worth_writing(&cs->refused_strangers, now_ms, STRANGERS_BURST);
}

static bool write_refusal(struct call *call, int status, const struct sip_source *src)
{
	struct calls *cs = call->calls;
	char addr[SOCKADDR_TEXT_MAX];
	bool is_written;
	struct out o;

	out_init_on(&o, cs->record, sizeof(cs->record), 2 * DECISIONS_MAX);
	out_chr(&o, '{');
	member_str(&o, KEY("call"), call->id);
	member_str(&o, KEY("domain"), call->domain);
	member_str(&o, KEY("caller"), call->caller.number);
	member_str(&o, KEY("dialled"), call->number);
	member_str(&o, KEY("source"), sockaddr_print(&src->peer, addr));
	member_int(&o, KEY("started_ms"), call->started_ms);
	member_int(&o, KEY("status"), status);
	decisions_print(&o, call);
	o.len -= out_ok(&o) ? 1 : 0; /* the last comma */
	out_z(&o, "}");
	out_chr(&o, '\0');
	is_written = out_ok(&o) && outbox_add(cs->p.outbox, "refused", o.p, NULL, NULL, NULL) == 0;
	if (!is_written)
		log_error(cs->p.log, "call=%s refusal not written", call->id);
	out_fini(&o);
	return is_written;
}

bool decision_refused(struct call *call, int status, const struct sip_source *src)
{
	return is_due(call->calls, &call->caller) && write_refusal(call, status, src);
}

/* Whom a request says to come from. */
static void put_claim(struct call *call, const struct sip_msg *m)
{
	if (!call->caller.number[0] && sip_uri_number(&m->from.uri, call->caller.number, sizeof(call->caller.number)) != 0)
		call->caller.number[0] = '\0';
	if (!call->number[0] && sip_uri_number(&m->ruri, call->number, sizeof(call->number)) != 0)
		call->number[0] = '\0';
}

void decision_caller(struct call *call, const struct sip_msg *m, const struct sip_source *src)
{
	const struct auth_identity *who = &call->caller;
	char from[SOCKADDR_TEXT_MAX + 8] = "", addr[SOCKADDR_TEXT_MAX], number[64] = "";
	struct out o;

	out_init(&o, from, sizeof(from) - 1);
	out_z(&o, sip_proto_word(src->proto));
	out_chr(&o, ' ');
	out_z(&o, sockaddr_print(&src->peer, addr));
	from[o.len] = '\0';
	if (!who->number[0] && sip_uri_number(&m->from.uri, number, sizeof(number)) != 0)
		number[0] = '\0';
	decided(call, DECISION_CALLER, who->number[0] ? who->number : number, call->number, from, who->known_by ? who->known_by : "", who->trunk, NULL);
}

void decision_refused_request(struct calls *cs, const struct sip_msg *m, const struct sip_source *src, const struct auth_identity *who, int status,
			      const char *why)
{
	struct call *call = is_due(cs, who) ? calloc(1, sizeof(*call)) : NULL; /* never among the others */

	if (!call)
		return;
	call->calls = cs;
	call->caller = *who;
	call->started_ms = call_now_ms(call);
	rng_uuid(cs->p.rng, call->id);
	str_put(call->domain, sizeof(call->domain), who->domain);
	put_claim(call, m);
	decision_caller(call, m, src);
	decided(call, DECISION_REFUSED, decision_int(status).z, why, NULL);
	if (write_refusal(call, status, src))
		trace_refused(call, m);
	decisions_free(call);
	free(call);
}
