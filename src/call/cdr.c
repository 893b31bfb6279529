/* cdr.c - the record of a call: one JSON document with both legs, handed to the outbox when all is over. */
#define LOG_MODULE "cdr"
#include "base/log.h"
#include "base/member.h"
#include "call/decision.h"
#include "call/originate.h"

/* Of the whole leg: where it ended its record has it, not the calls it was in before. */
static void write_media(struct out *o, const struct leg *leg)
{
	member_int(o, KEY("max_jitter_us"), leg->stats.max_jitter_us);
	member_hundredths(o, KEY("mos"), leg->stats.mos);
	member_hundredths(o, KEY("remote_mos"), leg->stats.remote_mos);
	member_time(o, KEY("mos_min_at_ms"), leg->stats.mos_min_at_ms);
	if (leg->media_security)
		member_str(o, KEY("media_security"), leg->media_security);
	if (leg->media_timeout)
		member_str(o, KEY("media_timeout"), leg->media_timeout);
	live_write_media(o, &leg->stats);
}

/* For the caller of a call made by command, until he was there. */
static bool is_stand_in(const struct leg *leg)
{
	return leg->call->run == originate_run && leg->has_left && !leg->moved_to[0];
}

/* The one in use at the end; without sound, the one that was agreed on. */
static const char *codec_name(const struct leg *leg)
{
	const struct codec *agreed = leg->answered_ms ? codec_get(leg->codec_id) : NULL;

	return leg->codec[0] || !agreed || agreed->id == CODEC_NONE ? leg->codec : agreed->name;
}

static void write_leg(struct out *o, const struct leg *leg)
{
	out_chr(o, '{');
	member_int(o, KEY("leg"), leg->id);
	member_str(o, KEY("role"), leg_role(leg));
	member_str(o, KEY("peer"), leg->peer);
	member_str(o, KEY("number"), leg_number(leg));
	member_time(o, KEY("started_ms"), leg->started_ms);
	member_time(o, KEY("ringing_ms"), leg->ringing_ms);
	member_time(o, KEY("answered_ms"), leg->answered_ms);
	member_time(o, KEY("ended_ms"), leg->ended_ms);
	member_time(o, KEY("joined_ms"), leg->joined_ms);
	if (leg->moved_from[0])
		member_str(o, KEY("moved_from"), leg->moved_from);
	if (leg->moved_to[0])
		member_str(o, KEY("moved_to"), leg->moved_to);
	member_int(o, KEY("status"), leg->status);
	member_int(o, KEY("cause"), leg->cause);
	if (!leg->has_left) {
		member_str(o, KEY("hangup_by"), leg->by_peer ? "peer" : "us");
		member_str(o, KEY("reason"), leg->reason);
	}
	member_str(o, KEY("codec"), codec_name(leg));
	member_str(o, KEY("session_id"), leg->told.session_id);
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

/* When the first of those that were called here rang; 0: none did. */
static int64_t ringing_ms(const struct call *call)
{
	int64_t first = 0;

	for (const struct leg *leg = call->legs; leg; leg = leg->next)
		if (!leg->is_caller && !leg->joined_ms && leg->ringing_ms && (!first || leg->ringing_ms < first))
			first = leg->ringing_ms;
	return first;
}

/* Why it is over, as Q.850 has it. Where there never was a caller, because the one to be connected wasn't reached: why he wasn't. */
static int cause_of(const struct call *call)
{
	int cause = call->caller_leg ? call->caller_leg->cause : 0;

	if (!cause && !call->answered_ms && call->result != APP_HANGUP) {
		cause = cause_of_reason(call->reject_reason ? str_from(call->reject_reason) : STR_NULL);
		if (!cause)
			cause = cause_of_status(call_final_status(call));
	}
	return cause ? cause : 16;
}

/* What the caller was told in the end. */
static void write_told(struct out *o, const struct call *call)
{
	int status = call->answered_ms ? 200 : call->caller_leg ? call->caller_leg->status : 0;

	if (status)
		member_int(o, KEY("told_status"), status);
	if (!call->answered_ms)
		member_str(o, KEY("reason"), call->reject_reason);
}

static void log_ended(const struct call *call, const char *result)
{
	char line[256];
	struct out o;

	if (!log_on(call->calls->p.log, LOG_INFO))
		return;
	out_init(&o, line, sizeof(line));
	out_z(&o, "call=");
	out_z(&o, call->id);
	out_z(&o, " ended result=");
	out_z(&o, result);
	out_z(&o, " by=");
	out_z(&o, hangup_by(call));
	out_z(&o, " duration_ms=");
	out_i64(&o, call->ended_ms - call->started_ms);
	log_text(call->calls->p.log, LOG_INFO, LOG_MODULE, out_view(&o));
}

void cdr_write(struct call *call)
{
	struct calls *cs = call->calls;
	const struct leg *caller = call->caller_leg;
	const char *result = call->answered_ms ? "answered" : app_result_name(call->result);
	struct out o;

	/* A group may have hundreds of legs, and a record that takes more. */
	out_init_on(&o, cs->record, sizeof(cs->record), 4 << 20);
	out_chr(&o, '{');
	member_str(&o, KEY("call"), call->id);
	member_str(&o, KEY("domain"), call->domain);
	member_str(&o, KEY("caller"), call->caller.number);
	member_str(&o, KEY("caller_name"), call->caller.display_name);
	member_str(&o, KEY("dialled"), call->number);
	member_str(&o, KEY("context"), call->route_context ? call->route_context : call->context);
	member_str(&o, KEY("route"), call->route);
	if (call->route)
		member_int(&o, KEY("version"), call->version);
	member_time(&o, KEY("started_ms"), call->started_ms);
	member_time(&o, KEY("ringing_ms"), ringing_ms(call));
	member_time(&o, KEY("answered_ms"), call->answered_ms);
	member_time(&o, KEY("ended_ms"), call->ended_ms);
	member_str(&o, KEY("result"), result);
	member_int(&o, KEY("cause"), cause_of(call));
	write_told(&o, call);
	member_str(&o, KEY("hangup_by"), hangup_by(call));
	member_int(&o, KEY("duration_ms"), call->ended_ms - call->started_ms);
	member_int(&o, KEY("talk_ms"), talk_ms(call));
	member_str(&o, KEY("session_id"), caller ? caller->told.session_id : NULL);
	if (call->transferred_by)
		member_str(&o, KEY("transferred_by"), call->transferred_by);
	decisions_print(&o, call);
	out_z(&o, "\"legs\":[");
	for (const struct leg *leg = call->legs; leg; leg = leg->next) {
		if (is_stand_in(leg))
			continue;
		write_leg(&o, leg);
		out_chr(&o, ',');
	}
	if (out_ok(&o) && o.p[o.len - 1] == ',')
		o.len--;
	out_z(&o, "]}");
	out_chr(&o, '\0');
	log_ended(call, result);
	if (!out_ok(&o) || (cs->p.outbox && outbox_add(cs->p.outbox, "cdr", o.p, NULL, NULL, NULL) != 0))
		log_error(cs->p.log, "call=%s record lost", call->id);
	out_fini(&o);
}
