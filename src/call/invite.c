/* invite.c - an INVITE that begins a call: whether it may, whose it is and what it calls, then a call with its caller's leg, whose task runs
 * the route (call.c). One that is refused before is written down all the same (decision_refused.c).
 */
#define LOG_MODULE "call"
#include <errno.h>
#include <stdlib.h>

#include "call/admission.h"
#include "call/decision.h"
#include "call/leg_int.h"
#include "call/trace.h"
#include "base/log.h"

#define BEGIN_HDRS_MAX 32
#define MAX_BREADTH 60 /* RFC 5393 §5.3.3.1 */

/* ---- what it says ---- */

/* What was dialled is in To where a trunk sends all calls to the contact that was registered. */
static bool is_number_in_to(struct calls *cs, const struct auth_identity *who)
{
	const struct dir_trunk *trunk;

	return directory_trunk(cs->p.directory, who->domain, str_from(who->trunk), &trunk) == DIR_FOUND && trunk->is_number_in_to;
}

/* RFC 4458 §2: whom a call was for that is sent on to a mailbox. Routes have it as ${target}. */
static void take_target(struct call *call, const struct sip_uri *uri)
{
	char text[256], number[128];
	struct sip_uri target;
	struct str value;

	if (uri->params.n && sip_param_find(uri->params, "target", &value) && sip_unescape(value, text, sizeof(text)) == 0 &&
	    sip_uri_parse(&target, str_from(text)) == 0 && sip_uri_number(&target, number, sizeof(number)) == 0)
		app_set_var(call, "target", number);
}

/* One phone of an extension of this domain may have been dialled (RFC 5627 §5.3). Returns a status to refuse with, or 0. */
int call_take_gruu(struct call *call, const struct sip_uri *uri)
{
	struct registrar_gruu g;

	switch (registrar_gruu_find(call->calls->p.registrar, call->domain, uri, &g)) {
	case 0:
		break;
	case -ENOENT:
		return 0;
	default:
		return 404;
	}
	if (strcmp(g.domain, call->domain) != 0)
		return 404;
	call->gruu = malloc(sizeof(g));
	if (!call->gruu)
		return 503;
	*call->gruu = g;
	str_put(call->number, sizeof(call->number), g.number);
	return 0;
}

/* RFC 5393 §5.3: calls that lead back here, and fork each time, would otherwise multiply until their hops are used up. */
void call_take_hops(struct call *call, const struct sip_msg *m)
{
	uint32_t n;

	call->max_forwards = !m || m->max_forwards < 0 ? 70 : (uint8_t)m->max_forwards;
	call->max_breadth = MAX_BREADTH;
	call->is_breadth_given = m && str_to_u32(sip_msg_value_by_name(m, "Max-Breadth"), UINT16_MAX, &n) == 0;
	if (call->is_breadth_given && n < MAX_BREADTH)
		call->max_breadth = (uint16_t)n;
}

/* ---- may it? ---- */

/* The checks that need no call. status 0: go on. */
static struct refusal check_invite(struct calls *cs, const struct sip_msg *m)
{
	if (cs->is_closing)
		return (struct refusal){ 503, "Retry-After: 10\r\n", "The server is being stopped" };
	if (cs->is_draining && !sip_msg_has(m, SIP_HDR_REPLACES) && !admission_is_urgent(cs, m))
		return (struct refusal){ 503, "Retry-After: 10\r\n", "The server takes no new calls" };
	if (cs->p.max_calls && cs->n.live >= cs->p.max_calls && !admission_is_urgent(cs, m))
		return (struct refusal){ 503, "Retry-After: 10\r\n", "There are as many calls as the server may have" };
	if (m->ruri.scheme == SIP_SCHEME_OTHER)
		return (struct refusal){ 416, NULL, "What is called is no SIP or telephone URI" };
	if (!m->ruri.user.n)
		return (struct refusal){ 484, NULL, "Nobody is called: the URI has no user" };
	return (struct refusal){ 0, NULL, NULL };
}

/* ---- the call ---- */

static struct session_timing caller_timing(const struct call *call)
{
	const struct dir_trunk *trunk = NULL;

	if (call->caller.trunk[0] &&
	    directory_trunk(call->calls->p.directory, call->domain, str_from(call->caller.trunk), &trunk) != DIR_FOUND)
		trunk = NULL;
	return call_timing(call, trunk);
}

/* 0 or the status to refuse it with, and then perhaps a header line. */
static int begin(struct call *call, struct strans *st, const struct sip_msg *m, char hdrs[static BEGIN_HDRS_MAX])
{
	struct session_timing timing = caller_timing(call);
	uint32_t min_s = session_min_expires(m, &timing);
	struct leg *leg;
	int err, status;

	if (min_s) {
		snprintf(hdrs, BEGIN_HDRS_MAX, "Min-SE: %u\r\n", min_s);
		return 422;
	}
	leg = leg_new(call, true);
	if (!leg)
		return 500;
	call->caller_leg = leg;
	leg->is_outside = call->caller.trunk[0] != '\0';
	str_put(leg->peer, sizeof(leg->peer), call->caller.trunk[0] ? call->caller.trunk : call->caller.number);
	status = told_begin(leg, m);
	str_put(leg->number, sizeof(leg->number), call->caller.number);
	err = leg_accept(leg, st, m);
	if (err)
		return err == -EINVAL ? 400 : 500;
	session_set_timing(leg->session, &timing);
	if (status)
		return status;
	if (oa_state(leg->oa) == OA_REMOTE_OFFER && !leg_can_answer(leg)) {
		leg_tell_misfit(leg);
		return 488;
	}
	leg_tell(leg);
	return call_start(call) ? 503 : 0;
}

static void log_began(const struct call *call, const char *trunk)
{
	char line[1024];
	struct out o;

	if (!log_on(call->calls->p.log, LOG_INFO))
		return;
	out_init(&o, line, sizeof(line));
	out_z(&o, "call=");
	out_z(&o, call->id);
	out_z(&o, " session=");
	out_z(&o, call->caller_leg ? call->caller_leg->told.session_id : "-");
	out_z(&o, " from=");
	out_z(&o, call->caller.number);
	out_z(&o, trunk[0] ? " trunk=" : "");
	out_z(&o, trunk);
	out_z(&o, " to=");
	out_z(&o, call->number);
	out_z(&o, " context=");
	out_z(&o, call->context);
	log_text(call->calls->p.log, LOG_INFO, LOG_MODULE, out_view(&o));
}

/* Before there was a route, or even a call. */
static void refused_early(struct calls *cs, struct strans *st, const struct sip_msg *m, const struct auth_identity *who, int status, const char *why)
{
	cs->n.refused++;
	decision_refused_request(cs, m, strans_source(st), who, status, why);
}

/* It had no leg yet: nothing but this tells of it. */
static void refuse_call(struct call *call, struct strans *st, const struct sip_msg *m, int status, const char *hdrs)
{
	refuse(st, status, hdrs);
	if (decision_refused(call, status, strans_source(st)))
		trace_refused(call, m);
	call_drop(call);
}

/* No task runs: the call ends with its leg. */
static void end_unbegun(struct call *call, struct strans *st, const struct sip_msg *m, int status, const char *hdrs)
{
	decided(call, DECISION_REFUSED, decision_int(status).z, status == 422 ? "It wants a shorter session timer than may be" : "", NULL);
	if (!call->caller_leg) {
		refuse_call(call, st, m, status, hdrs);
		return;
	}
	call->task_ended = true;
	call->result = APP_FAILED;
	if (!call->caller_leg->session)
		refuse(st, status, hdrs);
	leg_close(call->caller_leg, status, NULL);
}

void invite_request(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct calls *cs = arg;
	struct auth_identity who = { 0 };
	struct usage *usage = NULL;
	struct refusal no = check_invite(cs, m);
	char hdrs[BEGIN_HDRS_MAX] = "";
	struct call *call;
	int status;

	if (no.status) {
		refused_early(cs, st, m, &who, no.status, no.why);
		refuse(st, no.status, no.hdrs);
		return;
	}
	if (auth_check(cs->p.auth, st, m, &who) != AUTH_OK) {
		if (who.refused)
			decision_refused_request(cs, m, strans_source(st), &who, who.refused_status, who.refused);
		return;
	}
	if (sip_msg_has(m, SIP_HDR_REPLACES)) {
		replaces_invite(cs, st, m, &who);
		return;
	}
	call = call_new(cs, &who);
	if (!call || sip_uri_number(&m->ruri, call->number, sizeof(call->number)) != 0) {
		refused_early(cs, st, m, &who, call ? 484 : 503, call ? "The number can't be read" : "Out of memory");
		refuse(st, call ? 484 : 503, NULL);
		if (call)
			call_drop(call);
		return;
	}
	call->is_secure = m->ruri.scheme == SIP_SCHEME_SIPS;
	if (who.trunk[0] && is_number_in_to(cs, &who))
		sip_uri_number(&m->to.uri, call->number, sizeof(call->number));
	take_target(call, &m->ruri);
	decision_caller(call, m, strans_source(st));
	no.status = call_take_gruu(call, &m->ruri);
	if (no.status)
		decided(call, DECISION_REFUSED, decision_int(no.status).z, "No such phone of that number is registered", NULL);
	if (!no.status) {
		no = admission_check(call, m, &usage);
		cs->n.refused += no.status != 0;
	}
	if (no.status) {
		usage_give(cs, usage);
		refuse_call(call, st, m, no.status, no.hdrs);
		return;
	}
	call_take_hops(call, m);
	cs->n.total++;
	status = begin(call, st, m, hdrs);
	if (call->caller_leg)
		call->caller_leg->usage = usage;
	else
		usage_give(cs, usage);
	log_began(call, who.trunk);
	if (status)
		end_unbegun(call, st, m, status, hdrs);
}
