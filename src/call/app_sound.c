/* app_sound.c - the operations of app.h that play, listen for digits and record.
 *
 * Digits are kept in the call in the order they came, whether by RFC 4733, in-band or INFO, so that what is typed
 * ahead isn't lost. A play that a digit may end looks there; the stream needn't know.
 */
#define LOG_MODULE "app"
#include <stdlib.h>

#include "call/call_int.h"
#include "call/say.h"
#include "base/log.h"

struct say *app_say_new_in(struct call *call, const char *language)
{
	return say_new(call->calls->p.prompts, language, &call->calls->zones, call->calls->p.log);
}

struct say *app_say_new(struct call *call)
{
	return app_say_new_in(call, call->language);
}

void app_say_free(struct say *s)
{
	say_free(s);
}

static void digit_remove(struct call *call, unsigned at)
{
	memmove(call->digits + at, call->digits + at + 1, call->ndigits - at - 1);
	call->ndigits--;
}

/* Takes the first digit that is among n. '\0': none. */
static char digit_take_any(struct call *call, const char *set, size_t n)
{
	for (unsigned i = 0; i < call->ndigits; i++) {
		char digit = call->digits[i];

		if (!memchr(set, digit, n))
			continue;
		digit_remove(call, i);
		return digit;
	}
	return '\0';
}

char call_take_digit(struct call *call, const char *set)
{
	return digit_take_any(call, set, strlen(set));
}

static void play_stop(struct call *call)
{
	call->play_id = 0;
	call->is_playing = false;
	if (call->caller_leg->stream)
		stream_play_stop(call->caller_leg->stream);
}

/* Starts to play; the caller must be answered. */
static int play_start(struct call *call, struct say *s, uint32_t start_ms)
{
	struct play_params p = { .start_ms = start_ms };

	say_files(s, &p.files, &p.nfiles);
	if (!p.nfiles)
		return 0;
	if (!call->caller_leg->stream)
		return -ECANCELED;
	room_disturbed(call);
	call->is_playing = true;
	call->play_id = stream_play(call->caller_leg->stream, &p);
	return 0;
}

/* Is it still being played? Who takes the caller's place meanwhile hears it from the beginning. */
static bool play_goes_on(struct call *call, struct say *s, uint32_t start_ms, unsigned *nswaps)
{
	if (call->is_hungup)
		return false;
	if (*nswaps != call->nswaps) {
		*nswaps = call->nswaps;
		play_start(call, s, start_ms);
	}
	return call->is_playing;
}

/* What the listener has pressed to find his way. */
static void find_way(struct call *call, const struct app_listen *l, bool *is_paused)
{
	const char keys[] = { l->pause, l->forward, l->rewind, '\0' };
	struct stream *stream = call->caller_leg->stream;
	char key;

	while ((key = digit_take_any(call, keys, sizeof(keys) - 1)) != '\0') {
		if (!stream)
			continue;
		if (key == l->forward || key == l->rewind) {
			stream_play_seek(stream, key == l->forward ? (int32_t)l->step_ms : -(int32_t)l->step_ms);
			continue;
		}
		*is_paused = !*is_paused;
		if (*is_paused)
			stream_play_pause(stream);
		else
			stream_play_resume(stream);
	}
}

static int say_listen(struct call *call, struct say *s, const struct app_listen *l)
{
	char digit = '\0';
	int err = app_answer(call);
	unsigned nswaps = call->nswaps;
	bool is_paused = false;

	if (err)
		return err;
	if (l->stop_digits)
		digit = call_take_digit(call, l->stop_digits);
	if (digit)
		return digit;
	err = play_start(call, s, l->start_ms);
	if (err)
		return err;
	while (play_goes_on(call, s, l->start_ms, &nswaps) && !digit) {
		call_wait(call, UINT64_MAX);
		if (l->stop_digits)
			digit = call_take_digit(call, l->stop_digits);
		if (!digit)
			find_way(call, l, &is_paused);
	}
	if (call->is_playing)
		play_stop(call);
	if (call->is_hungup)
		return -ECANCELED;
	return digit;
}

int app_say(struct call *call, struct say *s, const char *stop_digits)
{
	return say_listen(call, s, &(struct app_listen){ .stop_digits = stop_digits });
}

void say_phrases(struct say *s, const char *phrases)
{
	struct str rest = str_from(phrases);

	while (rest.p) {
		struct str one = str_trim(str_cut(&rest, '&'));
		char name[128];

		if (!one.n || str_copy(one, name, sizeof(name)) != 0)
			continue;
		if (name[0] == '/')
			say_file(s, name);
		else
			say_phrase(s, name);
	}
}

int app_play_listen(struct call *call, const char *phrases, const struct app_listen *l)
{
	struct say *s = app_say_new(call);
	int r;

	if (!s)
		return -ENOMEM;
	say_phrases(s, phrases);
	r = say_listen(call, s, l);
	app_say_free(s);
	return r;
}

int app_play(struct call *call, const char *phrases, const char *stop_digits)
{
	return app_play_listen(call, phrases, &(struct app_listen){ .stop_digits = stop_digits });
}

int app_beep(struct call *call)
{
	return app_play(call, "beep", NULL);
}

/* ---- digits ---- */

int app_read_digits(struct call *call, const struct app_read *r, char *buf)
{
	uint64_t until;
	int err = app_answer(call);
	unsigned n = 0, nswaps = call->nswaps;

	buf[0] = '\0';
	if (err)
		return err;
	if (r->say && !call->ndigits) {
		err = play_start(call, r->say, 0);
		if (err)
			return err;
		while (play_goes_on(call, r->say, 0, &nswaps) && !call->ndigits)
			call_wait(call, UINT64_MAX);
		if (call->is_playing)
			play_stop(call);
	}
	until = call_deadline(call, r->first_ms);
	while (!call->is_hungup && n < r->max) {
		if (!call->ndigits) {
			if (call_wait(call, until) == -ETIMEDOUT && !call->ndigits)
				break;
			continue;
		}
		buf[n] = call->digits[0];
		digit_remove(call, 0);
		if (r->terminators && strchr(r->terminators, buf[n]))
			break;
		buf[++n] = '\0';
		if (r->is_complete && r->is_complete(buf, r->arg))
			break;
		until = call_deadline(call, r->next_ms);
	}
	buf[n] = '\0';
	return call->is_hungup ? -ECANCELED : (int)n;
}

/* ---- recording ---- */

static enum app_record_end record_end(const struct call *call, char digit)
{
	if (digit)
		return APP_REC_DIGIT;
	switch (call->record_result.end) {
	case RECORD_LIMIT:
		return APP_REC_LIMIT;
	case RECORD_SILENCE:
		return APP_REC_SILENCE;
	case RECORD_FAILED:
		return APP_REC_FAILED;
	default:
		return APP_REC_HANGUP;
	}
}

int app_record(struct call *call, struct app_recording *rec, uint32_t max_ms, uint32_t silence_ms, const char *stop_digits,
	       const char *kind, const char *doc)
{
	struct record_params p = { .max_ms = max_ms, .silence_ms = silence_ms, .path = rec->path };
	char digit = '\0';
	int err = app_answer(call);
	struct leg *leg;

	*rec = (struct app_recording){ .end = APP_REC_HANGUP };
	if (err)
		return err;
	err = spool_new(call, rec->path, sizeof(rec->path), kind, doc);
	if (err)
		return err;
	leg = call->caller_leg; /* not before: meanwhile another may have taken his place, or he left */
	if (!leg->stream) {
		app_recording_discard(rec);
		return -ECANCELED;
	}
	call->ndigits = 0; /* what was pressed before the beep doesn't end it */
	call->record_result = (struct record_result){ .end = RECORD_CLOSED };
	call->is_recording = true;
	call->record_id = stream_record(leg->stream, &p);
	leg->recording_for = call;
	while (call->is_recording) { /* so long the leg is there, wherever it went */
		if (!digit && stop_digits)
			digit = call_take_digit(call, stop_digits);
		if (digit && leg->stream)
			stream_record_stop(leg->stream);
		call_wait(call, UINT64_MAX);
	}
	call->record_id = 0;
	rec->duration_ms = call->record_result.duration_ms;
	rec->talk_ms = call->record_result.talk_ms;
	rec->end = record_end(call, digit);
	rec->digit = digit;
	if (rec->end == APP_REC_FAILED)
		log_error(call->calls->p.log, "call=%s recording failed: %s", call->id, uv_strerror(call->record_result.err));
	return rec->end == APP_REC_FAILED && !rec->duration_ms ? call->record_result.err : 0;
}
