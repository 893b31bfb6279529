/* cdr.c - the record of a call: one JSON document with both legs, handed to the outbox when all is over. */
#define LOG_MODULE "cdr"
#include <arpa/inet.h>

#include "call/call_int.h"
#include "base/log.h"

static void member(struct out *o, const char *name)
{
	out_chr(o, '"');
	out_z(o, name);
	out_z(o, "\":");
}

static void member_int(struct out *o, const char *name, int64_t v)
{
	member(o, name);
	out_i64(o, v);
	out_chr(o, ',');
}

static void member_str(struct out *o, const char *name, const char *value)
{
	member(o, name);
	if (value && value[0])
		app_json_str(o, value);
	else
		out_z(o, "null");
	out_chr(o, ',');
}

/* 0 is "never": NULL. */
static void member_time(struct out *o, const char *name, int64_t ms)
{
	if (ms)
		member_int(o, name, ms);
}

static void media_address(const struct leg *leg, char buf[SOCKADDR_TEXT_MAX])
{
	union sockaddr_any addr;

	buf[0] = '\0';
	memcpy(&addr, &leg->stats.remote, sizeof(addr));
	if (addr.sa.sa_family == AF_INET || addr.sa.sa_family == AF_INET6)
		sockaddr_print(&addr, buf);
}

/* Of the whole leg: where it ended its record has it, not the calls it was in before. */
static void write_media(struct out *o, const struct leg *leg)
{
	char addr[SOCKADDR_TEXT_MAX];

	media_address(leg, addr);
	member_int(o, "packets_sent", (int64_t)leg->stats.packets_sent);
	member_int(o, "packets_received", (int64_t)leg->stats.packets_received);
	member_int(o, "lost", leg->stats.lost);
	member_int(o, "remote_lost", leg->stats.remote_lost);
	member_int(o, "jitter_us", leg->stats.jitter_us);
	member_int(o, "max_jitter_us", leg->stats.max_jitter_us);
	member_int(o, "rtt_us", leg->stats.rtt_us);
	member_str(o, "media_address", addr);
}

static void write_leg(struct out *o, const struct leg *leg)
{
	out_chr(o, '{');
	member_int(o, "leg", leg->id);
	member_str(o, "role", leg->is_caller != leg->is_swapped ? "caller" : "callee");
	member_str(o, "peer", leg->peer);
	member_str(o, "number", leg->number[0] ? leg->number : leg->is_caller ? leg->call->caller.number : leg->peer);
	member_time(o, "started_ms", leg->started_ms);
	member_time(o, "ringing_ms", leg->ringing_ms);
	member_time(o, "answered_ms", leg->answered_ms);
	member_time(o, "ended_ms", leg->ended_ms);
	member_time(o, "joined_ms", leg->joined_ms);
	if (leg->moved_from[0])
		member_str(o, "moved_from", leg->moved_from);
	if (leg->moved_to[0])
		member_str(o, "moved_to", leg->moved_to);
	member_int(o, "status", leg->status);
	member_int(o, "cause", leg->cause);
	member_str(o, "codec", leg->codec);
	member_str(o, "session_id", leg->told.session_id);
	if (!leg->has_left)
		write_media(o, leg);
	o->len--; /* the last comma */
	out_chr(o, '}');
}

/* Who ended an answered call, or refused an unanswered one: "caller", "callee" or "system". */
static const char *hangup_by(const struct call *call)
{
	if (call->caller_leg && call->caller_leg->by_peer)
		return "caller";
	for (const struct leg *leg = call->legs; leg; leg = leg->next)
		if (!leg->is_caller && leg->by_peer)
			return "callee";
	return "system";
}

/* How long the caller talked: until the end, or until who talked went to another call, but for what he came back from. */
static int64_t talk_ms(const struct call *call)
{
	if (!call->answered_ms)
		return 0;
	return (call->parted_ms ? call->parted_ms : call->ended_ms) - call->answered_ms - call->away_ms;
}

void cdr_write(struct call *call)
{
	struct calls *cs = call->calls;
	const struct leg *caller = call->caller_leg;
	const char *result = call->answered_ms ? "answered" : app_result_name(call->result);
	struct out o;

	out_init_grow(&o, 4 << 20); /* a group may have hundreds of legs */
	out_chr(&o, '{');
	member_str(&o, "call", call->id);
	member_str(&o, "domain", call->domain);
	member_str(&o, "caller", call->caller.number);
	member_str(&o, "caller_name", call->caller.display_name);
	member_str(&o, "dialled", call->number);
	member_str(&o, "context", call->route_context[0] ? call->route_context : call->context);
	member_str(&o, "route", call->route);
	member_time(&o, "started_ms", call->started_ms);
	member_time(&o, "answered_ms", call->answered_ms);
	member_time(&o, "ended_ms", call->ended_ms);
	member_str(&o, "result", result);
	member_int(&o, "cause", caller && caller->cause ? caller->cause : 16);
	member_str(&o, "hangup_by", hangup_by(call));
	member_int(&o, "duration_ms", call->ended_ms - call->started_ms);
	member_int(&o, "talk_ms", talk_ms(call));
	member_str(&o, "session_id", caller ? caller->told.session_id : NULL);
	if (call->transferred_by[0])
		member_str(&o, "transferred_by", call->transferred_by);
	out_z(&o, "\"legs\":[");
	for (const struct leg *leg = call->legs; leg; leg = leg->next) {
		write_leg(&o, leg);
		if (leg->next)
			out_chr(&o, ',');
	}
	out_z(&o, "]}");
	out_chr(&o, '\0');
	log_info(cs->p.log, "call=%s ended result=%s by=%s duration_ms=%lld", call->id, result, hangup_by(call),
		 (long long)(call->ended_ms - call->started_ms));
	if (!out_ok(&o) || (cs->p.outbox && outbox_add(cs->p.outbox, "cdr", o.p, NULL, NULL, NULL) != 0))
		log_error(cs->p.log, "call=%s record lost", call->id);
	out_fini(&o);
}
