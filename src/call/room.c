/* room.c - conference rooms (see room.h).
 */
#define LOG_MODULE "room"
#include "call/room.h"

#include <stdlib.h>
#include <utlist.h>

#include "call/call_int.h"
#include "call/room_record.h"
#include "base/log.h"

#define GAIN_MAX_DB 12
#define GAIN_MIN_DB (-24)

struct room {
	struct room *prev, *next;
	struct calls *calls;
	struct mix *mix;
	struct room_record record;
	struct room_member *members; /* in the order they came */
	unsigned nmembers, nmoderators;
	bool is_locked, has_tones, waits_for_moderator;
	char domain[64], number[64], music_class[64];
};

enum source { SOURCE_OTHER, SOURCE_MIX, SOURCE_MUSIC };

struct room_member {
	struct room_member *prev, *next;
	struct room *room;
	struct call *call;
	struct app_room state;
	bool has_changed;
	enum source source;
	struct mix_member mixed;     /* as told last */
	unsigned nswaps;             /* of the call, when it was */
};

static const struct tone tones_come[] = { { .hz1 = 440, .on_ms = 120 }, { .hz1 = 660, .on_ms = 150 } };
static const struct tone tones_go[] = { { .hz1 = 660, .on_ms = 120 }, { .hz1 = 440, .on_ms = 150 } };

/* ---- what is heard ---- */

/* On hold his phone may play music: that isn't for the others. */
static struct mix_member mix_wanted(const struct room_member *m)
{
	bool is_apart = m->state.is_waiting;

	return (struct mix_member){ .is_muted = m->state.is_muted || is_apart || m->call->caller_leg->remote_hold, .is_deaf = is_apart,
				    .gain_in_db = m->state.gain_in_db, .gain_out_db = m->state.gain_out_db };
}

static bool is_same(const struct mix_member *a, const struct mix_member *b)
{
	return a->is_muted == b->is_muted && a->is_deaf == b->is_deaf && a->gain_in_db == b->gain_in_db && a->gain_out_db == b->gain_out_db;
}

static void changed(struct room_member *m)
{
	m->has_changed = true;
	call_wake(m->call);
}

static void set_source(struct room_member *m, enum source source)
{
	m->source = source;
	if (source == SOURCE_MIX || !m->state.is_talking)
		return;
	m->state.is_talking = false;
	changed(m);
}

static bool hear_music(struct room_member *m)
{
	if (!m->room->music_class[0] || !(m->state.is_alone || m->state.is_waiting))
		return false;
	if (m->source != SOURCE_MUSIC && leg_music(m->call->caller_leg, m->room->music_class) != 0)
		return false;
	set_source(m, SOURCE_MUSIC);
	return true;
}

void room_hear(struct call *call)
{
	struct room_member *m = call->room;
	struct stream *stream = call->caller_leg->stream;
	struct mix_member wanted;

	if (!m || call->is_hungup || call->is_playing || call->caller_leg->announcement || !stream)
		return;
	if (m->nswaps != call->nswaps) { /* another has taken his place */
		m->nswaps = call->nswaps;
		set_source(m, SOURCE_OTHER);
	}
	if (hear_music(m))
		return;
	wanted = mix_wanted(m);
	if (m->source == SOURCE_MIX && is_same(&m->mixed, &wanted))
		return;
	m->mixed = wanted;
	set_source(m, SOURCE_MIX);
	stream_mix(stream, m->room->mix, &wanted);
}

void room_disturbed(struct call *call)
{
	if (call->room)
		set_source(call->room, SOURCE_OTHER);
}

void room_leg_changed(struct leg *leg)
{
	if (leg->call->room && leg == leg->call->caller_leg)
		room_hear(leg->call);
}

void room_leg_gone(struct leg *leg)
{
	if (leg->call->room && leg == leg->call->caller_leg && leg->stream)
		stream_silence(leg->stream);
}

void room_talking(struct leg *leg, bool is_talking)
{
	struct room_member *m = leg->call->room;

	if (!m || leg != leg->call->caller_leg || m->source != SOURCE_MIX || m->state.is_talking == is_talking)
		return;
	m->state.is_talking = is_talking;
	changed(m);
}

/* Do they hear each other? */
static bool is_open(const struct room *r)
{
	return r->nmembers > 1 && !(r->waits_for_moderator && r->nmoderators == 0);
}

static void update_record(struct room *r)
{
	struct room_member *m;

	if (!room_record_update(&r->record, is_open(r)))
		return;
	DL_FOREACH(r->members, m) {
		if (r->record.is_going)
			room_record_member(&r->record, m->call, true);
	}
}

/* Somebody has come or gone. */
static void room_update(struct room *r)
{
	struct room_member *m;

	update_record(r);

	DL_FOREACH(r->members, m) {
		bool is_alone = r->nmembers == 1, is_waiting = r->waits_for_moderator && r->nmoderators == 0;

		if (m->state.is_alone == is_alone && m->state.is_waiting == is_waiting)
			continue;
		m->state.is_alone = is_alone;
		m->state.is_waiting = is_waiting;
		changed(m);
		room_hear(m->call);
	}
}

/* ---- coming and going ---- */

static struct room *room_find(struct calls *cs, const char *domain, const char *number)
{
	struct room *r;

	DL_FOREACH(cs->rooms, r) {
		if (!strcmp(r->number, number) && !strcmp(r->domain, domain))
			return r;
	}
	return NULL;
}

static int room_new(struct room **out, struct calls *cs, const struct dir_conference *c, const struct leg *first)
{
	static const struct mix_handler none = { 0 };
	const struct mix_params p = { .nspeakers = c->nspeakers, .near = first->stream };
	struct room *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	err = mix_new(&r->mix, cs->p.media, &p, &none, r);
	if (err) {
		free(r);
		return err;
	}
	r->calls = cs;
	str_put(r->domain, sizeof(r->domain), c->domain);
	str_put(r->number, sizeof(r->number), c->number);
	room_record_init(&r->record, cs, r->mix, r->domain, r->number);
	DL_APPEND(cs->rooms, r);
	*out = r;
	return 0;
}

static void room_check_empty(struct room *r)
{
	if (r->nmembers > 0)
		return;
	room_record_end(&r->record);
	mix_close(r->mix);
	DL_DELETE(r->calls->rooms, r);
	free(r);
}

int room_enter(struct call *call, const struct dir_conference *c, bool is_moderator)
{
	struct calls *cs = call->calls;
	struct room *r = room_find(cs, c->domain, c->number);
	struct room_member *m;
	int err;

	if (r && r->nmembers >= c->max_members)
		return -EBUSY;
	if (r && r->is_locked && !is_moderator)
		return -EPERM;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	err = r ? 0 : room_new(&r, cs, c, call->caller_leg);
	if (err) {
		free(m);
		return err;
	}
	r->has_tones = c->has_tones;
	r->waits_for_moderator = c->waits_for_moderator;
	str_put(r->music_class, sizeof(r->music_class), c->music_class ? c->music_class : "");
	m->room = r;
	m->call = call;
	m->state.is_moderator = is_moderator;
	m->state.is_muted = c->is_muted_on_entry && !is_moderator;
	m->state.is_locked = r->is_locked;
	m->nswaps = call->nswaps;
	m->has_changed = true;
	call->room = m;
	DL_APPEND(r->members, m);
	r->nmembers++;
	r->nmoderators += is_moderator;
	room_record_member(&r->record, call, true);
	if (c->is_recorded && is_open(r))
		room_record_wanted(&r->record, call, "policy");
	room_update(r);
	room_hear(call);
	if (r->has_tones && r->nmembers > 1)
		mix_tones(r->mix, tones_come, ARRAY_LEN(tones_come));
	log_info(cs->p.log, "call=%s enters conference=%s/%s members=%u", call->id, r->domain, r->number, r->nmembers);
	return 0;
}

void room_leave(struct call *call)
{
	struct room_member *m = call->room;
	struct room *r;

	if (!m)
		return;
	r = m->room;
	call->room = NULL;
	if (call->caller_leg->stream && !call->is_hungup)
		stream_silence(call->caller_leg->stream);
	room_record_member(&r->record, call, false);
	DL_DELETE(r->members, m);
	r->nmembers--;
	r->nmoderators -= m->state.is_moderator;
	free(m);
	log_info(r->calls->p.log, "call=%s leaves conference=%s/%s members=%u", call->id, r->domain, r->number, r->nmembers);
	if (r->nmoderators == 0 && r->is_locked)
		r->is_locked = false; /* there is nobody who could open it */
	if (r->has_tones && r->nmembers > 0)
		mix_tones(r->mix, tones_go, ARRAY_LEN(tones_go));
	room_update(r);
	room_check_empty(r);
}

/* ---- what members do ---- */

const struct app_room *room_state(struct room_member *m, bool *has_changed)
{
	*has_changed = m->has_changed;
	m->has_changed = false;
	m->state.is_locked = m->room->is_locked;
	m->state.nmembers = m->room->nmembers;
	m->state.is_recorded = m->room->record.is_going;
	return &m->state;
}

void room_set_muted(struct room_member *m, bool is_muted)
{
	if (m->state.is_muted == is_muted)
		return;
	m->state.is_muted = is_muted;
	changed(m);
	room_hear(m->call);
}

static int bounded(int db)
{
	return db < GAIN_MIN_DB ? GAIN_MIN_DB : db > GAIN_MAX_DB ? GAIN_MAX_DB : db;
}

void room_set_gain(struct room_member *m, int in_db, int out_db)
{
	m->state.gain_in_db = bounded(in_db);
	m->state.gain_out_db = bounded(out_db);
	room_hear(m->call);
}

void room_set_locked(struct room_member *m, bool is_locked)
{
	m->room->is_locked = is_locked;
}

int room_record(struct room_member *m)
{
	struct room *r = m->room;
	int err = room_record_toggle(&r->record, m->call, m->call->caller_leg->peer);

	update_record(r);
	return err;
}

void room_send_out(struct room_member *m)
{
	m->state.is_sent_out = true;
	changed(m);
}

bool room_send_out_last(struct room_member *by)
{
	struct room_member *m, *last = NULL;

	DL_FOREACH(by->room->members, m) {
		if (!m->state.is_moderator && !m->state.is_sent_out)
			last = m;
	}
	if (!last)
		return false;
	room_send_out(last);
	return true;
}

void room_play(struct room_member *m, const char *const *files, unsigned nfiles)
{
	if (nfiles > 0)
		mix_play(m->room->mix, &(struct play_params){ .files = files, .nfiles = nfiles });
}
