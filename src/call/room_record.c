/* room_record.c - the recording of a conference room (see room_record.h).
 */
#define LOG_MODULE "record"
#include "call/room_record.h"

#include <errno.h>

#include "call/record_file.h"
#include "base/log.h"

#define RATE_HZ 16000

/* ---- beeps, for all ---- */

static void on_beep(void *arg)
{
	struct room_record *rr = arg;

	mix_tones(rr->mix, &BEEP_TONE, 1);
	if (rr->beep_s)
		timer_start(rr->calls->p.timers, &rr->beep, rr->beep_s * 1000u);
}

static void tell_paused(const struct room_record *rr)
{
	static const struct tone tones[] = { { .hz1 = 900, .on_ms = 150, .off_ms = 100 }, { .hz1 = 900, .on_ms = 150 } };

	mix_tones(rr->mix, tones, ARRAY_LEN(tones));
}

/* ---- life ---- */

void room_record_init(struct room_record *rr, struct calls *calls, struct mix *mix, const char *domain, const char *number)
{
	*rr = (struct room_record){ .calls = calls, .mix = mix, .domain = domain, .number = number };
	timer_init(&rr->beep, on_beep, rr);
}

static void stand_still(struct room_record *rr)
{
	rr->is_going = false;
	timer_stop(rr->calls->p.timers, &rr->beep);
}

void room_record_end(struct room_record *rr)
{
	if (rr->recording)
		record_file_stop(rr->recording);
	rr->recording = NULL;
	stand_still(rr);
}

/* Once is enough of a full disk. */
static void on_failed(struct recording *r)
{
	r->room->recording = NULL;
	r->room->has_failed = true;
	stand_still(r->room);
}

int room_record_wanted(struct room_record *rr, const struct call *by, const char *started_by)
{
	struct calls *cs = rr->calls;
	struct record_file_params p = { .caller = "conference", .callee = "", .number = rr->number, .call_id = by->id, .started_by = started_by,
				      .conference = rr->number, .rate_hz = RATE_HZ };
	struct recording *r;
	int err;

	if (rr->recording || rr->has_failed)
		return 0;
	if (!cs->p.recordings || directory_domain(cs->p.directory, rr->domain, &p.domain) != DIR_FOUND)
		return -ENOENT;
	err = record_file_begin(&r, cs, &p, on_failed);
	if (err) {
		log_error(cs->p.log, "conference=%s/%s no recording: %s", rr->domain, rr->number, uv_strerror(err));
		return err;
	}
	rr->has_beep = p.domain->record_has_beep;
	rr->beep_s = rr->has_beep ? p.domain->record_beep_s : 0;
	rr->recording = r;
	r->room = rr;
	record_file_told(r);
	mix_capture(rr->mix, r->capture);
	return 0;
}

int room_record_toggle(struct room_record *rr, const struct call *by, const char *started_by)
{
	struct recording *r = rr->recording;
	int err = 0;

	if (!r) {
		rr->has_failed = false;
		err = room_record_wanted(rr, by, started_by);
	} else {
		r->is_paused = !r->is_paused;
		record_file_log(r, r->is_paused ? "pauses" : "goes on");
	}
	if (err == 0 && r && r->is_paused)
		tell_paused(rr);
	else if (err == 0)
		mix_tones(rr->mix, &BEEP_TONE, 1);
	return err;
}

bool room_record_update(struct room_record *rr, bool is_open)
{
	struct recording *r = rr->recording;

	if (!r || !record_file_go(r, is_open && !r->is_paused))
		return false;
	if (!r->is_going) {
		stand_still(rr);
		return true;
	}
	rr->is_going = true;
	if (rr->has_beep)
		on_beep(rr);
	return true;
}

void room_record_member(struct room_record *rr, const struct call *call, bool comes)
{
	if (rr->recording && rr->is_going && comes)
		record_file_segment_begin(rr->recording, call);
	else if (rr->recording && !comes)
		record_file_segments_end(rr->recording, call);
}
