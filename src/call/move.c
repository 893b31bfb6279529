/* move.c - a leg goes to another call, or takes the place of another in its call. What holds then is in call_int.h.
 *
 * Only pointers change: session and stream keep their owner, the leg, so nothing of what is on its way to them is lost.
 */
#define LOG_MODULE "leg"
#include <errno.h>
#include <stdlib.h>

#include "call/decision.h"
#include "call/leg_int.h"
#include "call/rtp_trace.h"
#include "call/trace.h"
#include "base/log.h"

struct leg *leg_record_new(const struct leg *leg)
{
	struct leg *record = calloc(1, sizeof(*record));
	const struct codec *codec = codec_get(leg->codec_id);

	if (!record)
		return NULL;
	*record = (struct leg){
		.call = leg->call, .id = leg->id, .is_caller = leg->is_caller, .is_outside = leg->is_outside, .is_swapped = leg->is_swapped,
		.has_left = true, .state = LEG_ENDED, .cause = 16, .started_ms = leg->started_ms, .ringing_ms = leg->ringing_ms,
		.answered_ms = leg->answered_ms, .joined_ms = leg->joined_ms,
	};
	str_put(record->peer, sizeof(record->peer), leg->peer);
	str_put(record->number, sizeof(record->number), leg->number);
	str_put(record->codec, sizeof(record->codec), codec ? codec->name : "");
	str_put(record->moved_from, sizeof(record->moved_from), leg->moved_from);
	record->told = leg->told;
	record->told.is_stale = false;
	record->told.hdrs = record->told.passed = record->told.parting = NULL; /* they go on with the leg */
	record->told.parts = NULL;
	return record;
}

/* What an application of its call does with it comes to its end. */
static void let_go(struct leg *leg)
{
	struct call *call = leg->call;

	if (leg->recording_for && leg->stream)
		stream_record_stop(leg->stream);
	room_leg_gone(leg);
	if (leg == call->caller_leg) {
		call->is_playing = false;
		call->play_id = 0;
	}
}

static void put_in_place(struct leg *leg, struct leg *record)
{
	struct call *call = leg->call;
	struct leg **at = &call->legs;

	while (*at != leg)
		at = &(*at)->next;
	record->next = leg->next;
	*at = record;
	if (call->caller_leg == leg) {
		call->caller_leg = record;
		call->is_hungup = true;
		call->is_moved = true;
	}
	if (call->callee_leg == leg)
		call->callee_leg = record;
	if (call->picked_up == leg)
		call->picked_up = NULL;
}

static void append(struct call *call, struct leg *leg)
{
	struct leg **end = &call->legs;

	while (*end)
		end = &(*end)->next;
	leg->next = NULL;
	*end = leg;
	leg->call = call;
	leg->id = ++call->nlegs_made;
}

void leg_move(struct leg *leg, struct call *to, struct leg *record)
{
	struct call *from = leg->call;
	char id[64];

	leg_unbridge(leg);
	let_go(leg);
	record->ended_ms = call_now_ms(from);
	str_put(record->moved_to, sizeof(record->moved_to), to->id);
	if (from->answered_ms && !from->parted_ms)
		from->parted_ms = record->ended_ms;
	leg_decided(leg, DECISION_LEAVES, leg_number(leg), to->id, NULL);
	log_info(from->calls->p.log, "%s peer=%s goes on in call=%s", leg_log_id(leg, id), leg->peer, to->id);
	record_moved(from, to);
	trace_moved(leg, record);
	put_in_place(leg, record);
	append(to, leg);
	rtp_trace_moved(leg);
	leg->told.diverted = NULL; /* that was the other call's */
	leg->joined_ms = record->ended_ms;
	leg->is_swapped = false;
	str_put(leg->moved_from, sizeof(leg->moved_from), from->id);
	leg_tell(leg);
	call_wake(to);
	call_leg_gone(from, record);
}

int leg_replace(struct leg *old, struct leg *by)
{
	struct call *call = old->call;
	bool is_caller = call->caller_leg == old;

	if (!is_caller && call->callee_leg != old)
		return -ENOENT;
	leg_unbridge(old);
	let_go(old);
	if (is_caller) {
		call->caller_leg = by;
		call->nswaps++;
	} else {
		call->callee_leg = by;
	}
	by->is_swapped = by->is_caller != is_caller;
	call_wake(call);
	return 0;
}
