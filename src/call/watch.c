/* watch.c - tells who watches calls what state the extensions' legs are in.
 *
 * A leg is told of when its dialog begins and at each change of its state or of who is at the other end. With nobody watching that
 * costs a look at a pointer.
 */
#include <errno.h>

#include "call/call_int.h"

static enum call_line_state line_state(const struct leg *leg)
{
	switch (leg->state) {
	case LEG_NEW:
		return CALL_LINE_TRYING;
	case LEG_RINGING:
		return CALL_LINE_EARLY;
	case LEG_ANSWERED:
		return CALL_LINE_CONFIRMED;
	case LEG_ENDED:
		break;
	}
	return CALL_LINE_TERMINATED;
}

/* Whom it talks with, or will: who is at the far end of the leg it is joined with; before that who called, or what was dialled. Who
 * hides from the phone itself is hidden from who watches it. */
static void fill_peer(const struct leg *leg, struct identity *peer)
{
	const struct leg *other = leg->partner ? leg->partner : leg != leg->call->caller_leg ? leg->call->caller_leg : NULL;

	*peer = (struct identity){ 0 };
	if (!other) {
		str_put(peer->number, sizeof(peer->number), leg->call->number);
		return;
	}
	told_of(other, leg, peer);
	if (identity_is_hidden(peer))
		*peer = (struct identity){ 0 };
}

static void fill_end(const struct leg *leg, struct call_line *line)
{
	if (leg->answered_ms) {
		line->end = leg->media_timeout || leg->has_failed ? "timeout" : leg->by_peer ? "local-bye" : "remote-bye";
	} else if (leg->is_cancelled || (leg->is_caller && leg->by_peer)) {
		line->end = "cancelled";
	} else if (leg->has_failed) {
		line->end = "timeout";
	} else {
		line->end = "rejected";
		line->code = leg->status >= 300 ? leg->status : 0;
	}
}

/* peer: room for what line points to. */
static void fill(const struct leg *leg, struct call_line *line, struct identity *peer)
{
	*line = (struct call_line){ .id = leg->line_id, .domain = leg->call->domain, .number = leg->peer, .state = line_state(leg),
				    .is_initiator = leg->is_caller, .peer_number = peer->number, .peer_name = peer->name, .leg = leg };
	if (leg->session) {
		line->call_id = session_call_id(leg->session);
		line->our_tag = session_local_tag(leg->session);
		line->phone_tag = session_remote_tag(leg->session);
	}
	fill_peer(leg, peer);
	if (leg->state == LEG_ENDED)
		fill_end(leg, line);
}

static bool is_line(const struct leg *leg)
{
	return !leg->is_outside && leg->peer[0] && (leg->session || leg->state == LEG_ENDED);
}

void leg_tell(struct leg *leg)
{
	const struct calls *cs = leg->call->calls;
	struct call_line line;
	struct identity peer;

	if (leg->state == LEG_ENDED)
		live_leg_gone(leg);
	else
		live_leg(leg);
	if (!cs->on_line || !is_line(leg))
		return;
	fill(leg, &line, &peer);
	cs->on_line(&line, cs->on_line_arg);
}

uint64_t call_line_phone(const struct call_line *line)
{
	const struct leg *leg = line->leg;

	return leg->session ? registrar_phone_of(leg->call->calls->p.registrar, line->domain, str_from(line->number),
						 session_target(leg->session), session_source(leg->session)) : 0;
}

void calls_watch(struct calls *cs, void (*fn)(const struct call_line *line, void *arg), void *arg)
{
	cs->on_line = fn;
	cs->on_line_arg = arg;
}

void calls_each_line(const struct calls *cs, const char *domain, const char *number,
		     void (*fn)(const struct call_line *line, void *arg), void *arg)
{
	struct call_line line;
	struct identity peer;

	for (const struct call *call = cs->live; call; call = call->next) {
		if (strcmp(call->domain, domain) != 0)
			continue;
		for (const struct leg *leg = call->legs; leg; leg = leg->next)
			if (leg->state != LEG_ENDED && is_line(leg) && !strcmp(leg->peer, number)) {
				fill(leg, &line, &peer);
				fn(&line, arg);
			}
	}
}

/* The leg that is meant: to talk the one that rings, else the one that stands; to hold the latter alone. */
static struct leg *leg_to_ask(const struct calls *cs, const char *domain, const char *number, bool to_talk)
{
	struct leg *found = NULL;

	for (const struct call *call = cs->live; call; call = call->next) {
		if (strcmp(call->domain, domain) != 0)
			continue;
		for (struct leg *leg = call->legs; leg; leg = leg->next) {
			if (!is_line(leg) || leg->state == LEG_ENDED || strcmp(leg->peer, number) != 0)
				continue;
			if (to_talk && !leg->is_caller && leg->state == LEG_RINGING)
				return leg;
			if (leg->state == LEG_ANSWERED && !found)
				found = leg;
		}
	}
	return found;
}

int calls_ask_phone(struct calls *cs, const char *domain, const char *number, const char *event)
{
	struct leg *leg = leg_to_ask(cs, domain, number, !strcmp(event, "talk"));
	char hdrs[128];

	if (!leg)
		return -ENOENT;
	snprintf(hdrs, sizeof(hdrs), "Event: %s\r\nSubscription-State: terminated;reason=noresource\r\n", event);
	return session_request(leg->session, "NOTIFY", hdrs, NULL, STR_NULL, NULL, NULL);
}
