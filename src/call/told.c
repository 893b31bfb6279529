/* told.c - who is at the far end of a leg, and what his counterpart gets to know of it. */
#include <stdlib.h>

#include "call/leg_int.h"
#include "call/pass.h"
#include "call/rewrite.h"

void told_fini(struct told *t)
{
	free(t->hdrs);
	free(t->passed);
	free(t->parting);
	pass_parts_free(t->parts);
	t->parts = NULL;
	t->hdrs = t->passed = t->parting = NULL;
}

/* ---- headers that pass ---- */

static struct pass_side side_of(const struct leg *leg)
{
	struct directory *d = leg->call->calls->p.directory;
	struct pass_side s = { .is_trunk = leg->is_outside };

	if (directory_pass(d, leg->call->domain, NULL, &s.all) != DIR_FOUND)
		s.all = NULL;
	if (!leg->is_outside || directory_pass(d, leg->call->domain, leg->peer, &s.own) != DIR_FOUND)
		s.own = NULL;
	return s;
}

static void take_lines(struct leg *leg, const struct sip_msg *m, char **lines)
{
	struct pass_side from = side_of(leg);
	struct out o;

	free(*lines);
	*lines = NULL;
	out_init_grow(&o, PASS_MAX);
	pass_take(&o, m, &from);
	if (o.len && out_ok(&o))
		*lines = str_dup(out_view(&o)); /* without memory nothing passes */
	out_fini(&o);
}

static void take_passed(struct leg *leg, const struct sip_msg *m)
{
	take_lines(leg, m, &leg->told.passed);
}

static void give_lines(struct out *o, const char *lines, const struct leg *from, const struct leg *to, bool is_private)
{
	struct pass_side side;

	if (!lines)
		return;
	side = side_of(to);
	side.has_referrer = to->call->transfer_in != NULL;
	pass_give(o, str_from(lines), from->is_outside, &side, is_private);
}

static void give_passed(struct out *o, const struct leg *from, const struct leg *to, bool is_private)
{
	give_lines(o, from->told.passed, from, to, is_private);
}

void told_part(struct leg *leg, const struct sip_msg *m)
{
	take_lines(leg, m, &leg->told.parting);
}

void told_print_parting(const struct leg *leg, struct out *o)
{
	const struct call *call = leg->call;
	const struct leg *last = NULL;

	/* Who it talked to; of those who refused the one that did so last. */
	for (const struct leg *l = call->legs; l; l = l->next)
		if (l != leg && l->state == LEG_ENDED && l->told.parting && (l == call->caller_leg || l == call->callee_leg || !last))
			last = l;
	if (last)
		give_lines(o, last->told.parting, last, leg, identity_is_hidden(&last->told.who));
}

/* ---- the session's name ---- */

/* Our own half, where we are the other end. */
static void own_half(const struct call *call, char uuid[SESSID_LEN + 1])
{
	size_t n = 0;

	for (const char *p = call->id; *p && n < SESSID_LEN; p++)
		if (*p != '-')
			uuid[n++] = *p;
	uuid[n] = '\0';
}

void told_print_session(const struct leg *leg, struct out *o)
{
	const struct told *t = &leg->told;

	/* RFC 7989 §6: before the far end has said anything it is the nil one. */
	sessid_print(o, t->other_id, t->is_named || leg->session ? t->session_id : SESSID_NIL);
}

void told_session(struct leg *leg)
{
	char line[SESSID_LINE_MAX];
	struct out o;

	if (!leg->session)
		return;
	out_init(&o, line, sizeof(line));
	told_print_session(leg, &o);
	session_set_hdrs(leg->session, out_view(&o)); /* without memory it says what it said */
}

static void set_other(struct leg *leg, const char *uuid)
{
	if (!strcmp(leg->told.other_id, uuid))
		return;
	str_put(leg->told.other_id, sizeof(leg->told.other_id), uuid);
	told_session(leg);
}

static void learn_session(struct leg *leg, const struct sip_msg *m)
{
	char sender[SESSID_LEN + 1], receiver[SESSID_LEN + 1], before[SESSID_LEN + 1];
	struct told *t = &leg->told;

	/* RFC 7329 knew one UUID for both ends: who sends ours back has none of his own. */
	if (!sessid_of(m, sender, receiver) || !strcmp(sender, SESSID_NIL) || !strcmp(sender, t->other_id))
		return;
	t->is_named = true;
	if (!strcmp(sender, t->session_id))
		return;
	str_put(before, sizeof(before), t->session_id);
	str_put(t->session_id, sizeof(t->session_id), sender);
	told_session(leg);
	for (struct leg *l = leg->call->legs; l; l = l->next)
		if (l != leg && !strcmp(l->told.other_id, before))
			set_other(l, sender);
}

/* ---- who is there ---- */

struct identity_rules told_rules(const struct dir_trunk *trunk)
{
	return (struct identity_rules){ .is_trusted = trunk->is_trusted, .has_asserted = trunk->has_asserted,
					.has_preferred = trunk->has_preferred, .has_rpid = trunk->has_rpid };
}

/* The numbers it may call as, its own among them. */
static const char *preferred_number(const struct dir_extension *ext, const struct sip_msg *m)
{
	const char *shown[] = { ext->number, ext->caller_id }, *number;

	if (!sip_msg_has(m, SIP_HDR_P_PREFERRED_IDENTITY))
		return NULL;
	number = identity_preferred(m, shown, ARRAY_LEN(shown));
	return number ? number : identity_preferred(m, ext->identities, ext->nidentities);
}

static void begin_extension(struct leg *leg, const struct sip_msg *m)
{
	const struct call *call = leg->call;
	const struct dir_extension *ext;
	struct told *t = &leg->told;
	const char *number = call->caller.number;

	t->is_extension = true;
	t->rules.has_asserted = true;
	t->who.privacy = sip_msg_has(m, SIP_HDR_PRIVACY) ? privacy_of(m) : 0;
	if (identity_is_anonymous_uri(&m->from.uri) && !(t->who.privacy & PRIVACY_NONE))
		t->who.privacy |= PRIVACY_ID;
	if (directory_extension(call->calls->p.directory, call->domain, str_from(number), &ext) == DIR_FOUND) {
		const char *other = preferred_number(ext, m);

		t->is_extension = !other || !strcmp(other, number);
		number = other ? other : number;
	}
	str_put(t->who.number, sizeof(t->who.number), number);
	str_put(t->who.name, sizeof(t->who.name), call->caller.display_name);
}

/* A trunk vouches for its callers; how much that is worth is in its row. */
static void begin_trunk(struct leg *leg, const struct sip_msg *m)
{
	struct call *call = leg->call;
	const struct dir_trunk *trunk;
	struct told *t = &leg->told;

	if (directory_trunk(call->calls->p.directory, call->domain, str_from(call->caller.trunk), &trunk) == DIR_FOUND)
		t->rules = told_rules(trunk);
	identity_of_trunk(&t->who, m, t->rules.is_trusted);
	rewrite_trunk_number(call, call->caller.trunk, REWRITE_IN, REWRITE_CALLER, t->who.number, sizeof(t->who.number));
	call->diverted = diversion_take(&call->diversions, m);
	str_put(call->caller.number, sizeof(call->caller.number), t->who.number);
	str_put(call->caller.display_name, sizeof(call->caller.display_name), t->who.name);
}

int told_begin(struct leg *leg, const struct sip_msg *m)
{
	struct told *t = &leg->told;

	sessid_make(leg->call->calls->p.rng, t->session_id);
	own_half(leg->call, t->other_id);
	learn_session(leg, m);
	if (leg->is_outside)
		begin_trunk(leg, m);
	else
		begin_extension(leg, m);
	take_passed(leg, m);
	t->parts = pass_parts_take(m, str_from(t->passed));
	/* RFC 3323 §5: rather no call than one without it. */
	return (t->who.privacy & PRIVACY_CRITICAL) && (t->who.privacy & PRIVACY_UNKNOWN) ? 500 : 0;
}

void told_begin_absent(struct leg *leg, const char *number)
{
	sessid_make(leg->call->calls->p.rng, leg->told.session_id);
	own_half(leg->call, leg->told.other_id);
	str_put(leg->told.who.number, sizeof(leg->told.who.number), number);
}

void told_callee(struct leg *leg, const char *number, const struct dir_extension *ext, const struct dir_trunk *trunk)
{
	struct told *t = &leg->told;

	sessid_make(leg->call->calls->p.rng, t->session_id);
	str_put(t->other_id, sizeof(t->other_id), leg->call->caller_leg->told.session_id);
	str_put(t->who.number, sizeof(t->who.number), number);
	if (ext) {
		str_put(t->who.name, sizeof(t->who.name), ext->display_name);
		t->is_extension = true;
	}
	if (trunk)
		t->rules = told_rules(trunk);
	else
		t->rules.has_asserted = ext != NULL;
}

/* Outside an extension is known by another number: its own there, or that of the trunk, or of the whole house. */
static const char *outside_number(const struct leg *viewer, const struct dir_extension *ext)
{
	struct directory *d = viewer->call->calls->p.directory;
	const struct dir_trunk *trunk;
	const struct dir_domain *domain;

	if (ext->caller_id)
		return ext->caller_id;
	if (directory_trunk(d, ext->domain, str_from(viewer->peer), &trunk) == DIR_FOUND && trunk->caller_id)
		return trunk->caller_id;
	if (directory_domain(d, ext->domain, &domain) == DIR_FOUND && domain->caller_id)
		return domain->caller_id;
	return ext->number;
}

static void show_account(const struct leg *viewer, const char *number, bool is_by_number, struct identity *out)
{
	const struct dir_extension *ext;

	if (directory_extension(viewer->call->calls->p.directory, viewer->call->domain, str_from(number), &ext) != DIR_FOUND)
		return;
	if (ext->anonymous == DIR_ALWAYS || (ext->anonymous == DIR_OUTSIDE && viewer->is_outside))
		out->privacy |= PRIVACY_ID;
	if (is_by_number && viewer->is_outside)
		str_put(out->number, sizeof(out->number), outside_number(viewer, ext));
}

/* As our house knows them, so far. */
static void known_of(const struct leg *of, const struct leg *viewer, struct identity *out)
{
	*out = of->told.who;
	if (!of->is_outside)
		show_account(viewer, of->peer, of->told.is_extension, out);
}

void told_of(const struct leg *of, const struct leg *viewer, struct identity *out)
{
	known_of(of, viewer, out);
	if (viewer->is_outside)
		rewrite_by_trunk(viewer->call, viewer->peer, REWRITE_OUT, REWRITE_CALLER, out->number, sizeof(out->number));
}

bool told_referrer(const struct leg *viewer, const char *account, struct identity *who)
{
	if (account[0])
		show_account(viewer, account, true, who);
	return who->number[0] && !identity_is_hidden(who);
}

/* Somebody else may be there than was: a trusted trunk asserts it, at any time; an untrusted one may only change its From, which is all that
 * it is known by anyway, and only in the way of RFC 4916. false: nothing is said of it. */
static bool has_named(const struct leg *leg, const struct sip_msg *m, struct identity *id)
{
	bool is_trusted = leg->told.rules.is_trusted;

	if (!leg->is_outside)
		return false;
	if (!m->is_request || !m->to.tag.n)
		return is_trusted && identity_of_trunk(id, m, true);
	if (m->method != SIP_INVITE && m->method != SIP_UPDATE)
		return false;
	if (is_trusted && identity_asserted(id, m))
		return true;
	return leg->session && session_is_from_new(leg->session) && identity_of_trunk(id, m, false);
}

/* Who has hidden himself stays hidden until he says otherwise: many gateways write Privacy, or an anonymous From, into their first INVITE
 * alone, and their number into everything. */
static bool remains_hidden(const struct identity *was, const struct sip_msg *m, const struct identity *id)
{
	return identity_is_hidden(was) && !sip_msg_has(m, SIP_HDR_PRIVACY) &&
	       (!strcmp(was->number, id->number) || (m->is_request && identity_is_anonymous_uri(&m->from.uri)));
}

static void learn_who(struct leg *leg, const struct sip_msg *m)
{
	struct identity *who = &leg->told.who, id;

	if (has_named(leg, m, &id)) {
		rewrite_by_trunk(leg->call, leg->peer, REWRITE_IN, REWRITE_CALLER, id.number, sizeof(id.number));
		if (remains_hidden(who, m, &id))
			id.privacy |= who->privacy;
		*who = id;
		leg->told.is_extension = false;
	} else if (sip_msg_has(m, SIP_HDR_PRIVACY)) {
		who->privacy = privacy_of(m);
	} else {
		return;
	}
	if (leg->partner)
		connected_check(leg->partner);
}

void told_learn(struct leg *leg, const struct sip_msg *m)
{
	learn_session(leg, m);
	if (!m->is_request && leg->state < LEG_ANSWERED)
		take_passed(leg, m);
	learn_who(leg, m);
}

/* ---- the dialplan ---- */

struct str told_var(const struct leg *caller, struct str name)
{
	const struct identity *who = &caller->told.who;
	bool is_shown = !identity_is_hidden(who);

	if (str_eqz(name, "number"))
		return is_shown ? str_from(who->number) : STR("");
	if (str_eqz(name, "name"))
		return is_shown ? str_from(who->name) : STR("");
	if (str_eqz(name, "privacy"))
		return str_from(identity_is_hidden(who) ? "id" : who->privacy & PRIVACY_NONE ? "none" : "");
	return STR_NULL;
}

bool told_set_var(struct leg *caller, const char *name, const char *value)
{
	struct told *t = &caller->told;

	if (!strcmp(name, "number")) {
		str_put(t->who.number, sizeof(t->who.number), value);
		t->is_extension = false;
	} else if (!strcmp(name, "name")) {
		identity_name_of(str_from(value), t->who.name, sizeof(t->who.name));
	} else if (!strcmp(name, "privacy")) {
		t->who.privacy = privacy_parse(str_from(value));
	} else {
		return false;
	}
	return true;
}

/* ---- telling ---- */

static const char *diverter_number(const struct diversion *d, void *arg)
{
	const struct leg *leg = arg;
	const struct dir_extension *ext;

	if (!d->is_extension || !leg->is_outside ||
	    directory_extension(leg->call->calls->p.directory, leg->call->domain, str_from(d->number), &ext) != DIR_FOUND)
		return d->number;
	return outside_number(leg, ext);
}

void told_print_invite(struct leg *leg, struct out *o, const char *host, const char *target, const struct diversion *diverted)
{
	const struct diversion_print p = { .target = target, .host = host, .may_see = leg->told.rules.is_trusted,
					   .number_of = diverter_number, .arg = leg };
	struct pass_side side = side_of(leg);
	struct identity caller;

	known_of(leg->call->caller_leg, leg, &caller);
	if (leg->is_outside)
		rewrite_trunk_number(leg->call, leg->peer, REWRITE_OUT, REWRITE_CALLER, caller.number, sizeof(caller.number));
	connected_told(leg, &caller);
	identity_print(o, &caller, host, &leg->told.rules, IDENTITY_CALLING);
	diversion_print(o, diverted, &p);
	give_passed(o, leg->call->caller_leg, leg, identity_is_hidden(&caller));
	pass_set(o, &side);
	leg->told.diverted = diverted;
}

/* RFC 7044 §9.4: who can read it is told whom his call was sent to, and is now; the latter as far as he is told who answers (RFC 3325 §7). */
static void print_history(struct out *o, const struct leg *caller, const struct leg *callee, const struct identity *id, const char *host)
{
	const struct sip_msg *invite = callee->told.diverted ? session_invite_msg(caller->session) : NULL;
	bool is_told = (caller->told.rules.has_asserted || caller->told.rules.has_rpid) && !identity_is_hidden(id);
	const struct diversion_print p = { .target = is_told ? id->number : "", .host = host, .may_see = caller->told.rules.is_trusted,
					   .number_of = diverter_number, .arg = (struct leg *)caller };

	if (invite && sip_msg_has_token(invite, SIP_HDR_SUPPORTED, "histinfo"))
		history_print(o, callee->told.diverted, &p);
}

void told_print_refusal(const struct leg *caller, struct out *o)
{
	const struct leg *last = NULL;
	char host[SOCKADDR_TEXT_MAX];
	union sockaddr_any local;
	struct identity id;

	for (const struct leg *leg = caller->call->legs; leg; leg = leg->next)
		if (leg != caller && !leg->has_left && leg->told.diverted)
			last = leg;
	if (!last || session_local_addr(caller->session, &local) != 0)
		return;
	sockaddr_print_uri(&local, host);
	told_of(last, caller, &id);
	print_history(o, caller, last, &id, host);
}

void told_connected(struct leg *caller, const struct leg *callee)
{
	char own[SESSID_LEN + 1], host[SOCKADDR_TEXT_MAX];
	union sockaddr_any local;
	struct identity id;
	struct out o;

	own_half(caller->call, own);
	set_other(caller, callee ? callee->told.session_id : own);
	free(caller->told.hdrs);
	caller->told.hdrs = NULL;
	if (!callee || !caller->session || session_local_addr(caller->session, &local) != 0)
		return;
	sockaddr_print_uri(&local, host);
	told_of(callee, caller, &id);
	if (caller->state < LEG_ANSWERED)
		connected_told(caller, &id);
	out_init_grow(&o, IDENTITY_HDRS_MAX + REASON_MAX + PASS_MAX + DIVERSION_HDRS_MAX);
	identity_print(&o, &id, host, &caller->told.rules, IDENTITY_CALLED);
	print_history(&o, caller, callee, &id, host);
	if (callee->state < LEG_ANSWERED && callee->reason)
		reason_print(&o, callee->reason, 0); /* why it doesn't ring: what a gateway says to its announcement */
	give_passed(&o, callee, caller, identity_is_hidden(&id));
	if (o.len && out_ok(&o))
		caller->told.hdrs = str_dup(out_view(&o));
	out_fini(&o);
}

void told_joined(struct leg *a, struct leg *b)
{
	set_other(a, b->told.session_id);
	set_other(b, a->told.session_id);
	/* Who has answered and has no name of his own goes by the one that we gave him. */
	if (!a->told.is_named)
		told_session(a);
	if (!b->told.is_named)
		told_session(b);
	connected_check(a);
	connected_check(b);
}
