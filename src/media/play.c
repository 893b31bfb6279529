/* play.c - the loop's side of playing and recording: gets sounds loaded, starts recorders.
 *
 * A play begins as a wish: files that sounds.c is asked for in the stream's codec. When they are there, the worker gets
 * the playlist. Should the codec change while it plays, the wish is loaded again in the new one and the worker swaps
 * lists at the position it is at. Whatever happens to a play, its end is reported exactly once: by the worker if it
 * has heard of it, else from here, through the same queue, so that no handler is called from inside a call.
 */
#define LOG_MODULE "media"
#include "media/stream_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

uint32_t media_new_id(struct media *m)
{
	if (++m->next_id == 0)
		m->next_id = 1;
	return m->next_id;
}

static void copy_stop_digits(char out[STOP_DIGITS_MAX + 1], const char *digits)
{
	size_t n = digits ? strlen(digits) : 0;

	if (n > STOP_DIGITS_MAX)
		n = STOP_DIGITS_MAX; /* there are sixteen in all */
	memset(out, 0, STOP_DIGITS_MAX + 1);
	if (n > 0)
		memcpy(out, digits, n);
}

/* ---- wishes ---- */

static void report_end(struct stream *s, uint32_t id, enum play_end end)
{
	struct event *e = calloc(1, sizeof(*e));

	if (!e) {
		log_error(s->media->log, "no memory, the end of a play is lost");
		return;
	}
	e->type = EV_PLAY_END;
	e->s = s;
	e->play.id = id;
	e->play.end = end;
	media_events(s->media, e, e);
}

static void wish_free(struct wish *w)
{
	for (unsigned i = 0; i < w->nfiles; i++)
		free(w->files[i]);
	free(w->files);
	memset(w, 0, sizeof(*w));
}

void wish_clear(struct stream *s, enum play_end end)
{
	struct wish *w = &s->wish;

	if (w->kind == WISH_NONE)
		return;
	if (w->request)
		sounds_cancel(w->request);
	if (w->kind == WISH_PLAY && !w->is_sent)
		report_end(s, w->id, end);
	wish_free(w);
}

void wish_ended(struct stream *s, uint32_t id)
{
	if (s->wish.kind != WISH_PLAY || s->wish.id != id)
		return;
	s->wish.is_sent = true; /* reported by who has sent this */
	wish_clear(s, PLAY_DONE);
}

void wish_digit(struct stream *s, char digit)
{
	if (s->wish.kind == WISH_PLAY && !s->wish.is_sent && strchr(s->wish.stop_digits, digit))
		wish_clear(s, PLAY_DIGIT);
}

static void send_list(struct stream *s, struct playlist *list)
{
	struct wish *w = &s->wish;
	enum command_type first = w->kind == WISH_MUSIC ? CMD_MUSIC : CMD_PLAY;
	struct command *c = stream_command(s, w->is_sent ? CMD_PLAY_LIST : first, sizeof(*c->play));

	if (!c) {
		playlist_unref(list);
		return;
	}
	capture_said(s);
	c->play = command_room(c);
	c->play->id = w->id;
	c->play->list = list;
	c->play->loop = w->loop;
	c->play->is_paused = w->is_paused;
	c->play->start_ms = w->start_ms;
	c->play->epoch_us = w->epoch_us;
	memcpy(c->play->stop_digits, w->stop_digits, sizeof(c->play->stop_digits));
	w->is_sent = true;
	stream_post(c);
}

static void on_ready(struct playlist *list, int err, void *arg)
{
	struct stream *s = arg;

	if (err == 0)
		send_list(s, list);
	else if (!s->wish.is_sent)
		wish_clear(s, PLAY_FAILED); /* sounds.c has logged which file, and why */
}

/* Asks for the wish in the stream's codec, if that is known. */
static void wish_load(struct stream *s)
{
	struct wish *w = &s->wish;

	if (s->codec == CODEC_NONE)
		return;
	if (w->request)
		sounds_cancel(w->request);
	w->codec = s->codec;
	sounds_get(s->media->sounds, (const char *const *)w->files, w->nfiles, s->codec, on_ready, s, &w->request);
}

void wish_codec_changed(struct stream *s)
{
	if (s->wish.kind != WISH_NONE && s->wish.codec != s->codec)
		wish_load(s);
}

static int wish_make(struct stream *s, const char *const *files, unsigned nfiles)
{
	struct wish *w = &s->wish;

	w->files = calloc(nfiles ? nfiles : 1, sizeof(*w->files));
	if (!w->files)
		return -ENOMEM;
	for (unsigned i = 0; i < nfiles; i++) {
		w->files[i] = strdup(files[i]);
		if (!w->files[i])
			return -ENOMEM;
		w->nfiles++;
	}
	return 0;
}

/* Until the sound is there, the source before is not heard either. */
static void silence_until_sent(struct stream *s)
{
	struct command *c;

	if (s->wish.is_sent || s->wish.kind == WISH_NONE)
		return;
	c = stream_command(s, CMD_SILENCE, 0);
	if (c)
		stream_post(c);
}

uint32_t stream_play(struct stream *s, const struct play_params *p)
{
	uint32_t id = media_new_id(s->media);
	struct wish *w = &s->wish;

	wish_clear(s, PLAY_STOPPED);
	if (s->is_closing)
		return id;
	if (wish_make(s, p->files, p->nfiles) < 0) {
		wish_free(w);
		report_end(s, id, PLAY_FAILED);
		return id;
	}
	w->kind = WISH_PLAY;
	w->id = id;
	w->loop = p->loop;
	w->start_ms = p->start_ms;
	copy_stop_digits(w->stop_digits, p->stop_digits);
	wish_load(s);
	silence_until_sent(s);
	return id;
}

void stream_play_stop(struct stream *s)
{
	struct command *c;

	if (s->wish.kind != WISH_PLAY)
		return;
	wish_clear(s, PLAY_STOPPED);
	c = stream_command(s, CMD_PLAY_STOP, 0);
	if (c)
		stream_post(c);
}

/* Tells the worker, if that has the play. NULL: it hasn't. */
static struct command *play_command(struct stream *s, enum command_type type)
{
	return s->wish.kind == WISH_PLAY && s->wish.is_sent ? stream_command(s, type, 0) : NULL;
}

static void play_pause(struct stream *s, bool is_paused)
{
	struct command *c = play_command(s, is_paused ? CMD_PLAY_PAUSE : CMD_PLAY_RESUME);

	if (s->wish.kind == WISH_PLAY)
		s->wish.is_paused = is_paused;
	if (c)
		stream_post(c);
}

void stream_play_pause(struct stream *s) { play_pause(s, true); }
void stream_play_resume(struct stream *s) { play_pause(s, false); }

void stream_play_seek(struct stream *s, int32_t by_ms)
{
	struct command *c = play_command(s, CMD_PLAY_SEEK);
	int64_t start = (int64_t)s->wish.start_ms + by_ms;

	if (c) {
		c->seek_ms = by_ms;
		stream_post(c);
	} else if (s->wish.kind == WISH_PLAY && !s->wish.is_sent) {
		s->wish.start_ms = start < 0 ? 0 : start > UINT32_MAX ? UINT32_MAX : (uint32_t)start;
	}
}

/* ---- music ---- */

static int music_get(struct media *m, const char *key, struct music **out)
{
	size_t len = strlen(key);
	struct music *music;

	LL_FOREACH(m->music, music) {
		if (strcmp(music->key, key) == 0) {
			*out = music;
			return 0;
		}
	}
	music = calloc(1, sizeof(*music) + len + 1);
	if (!music)
		return -ENOMEM;
	memcpy(music->key, key, len + 1);
	music->epoch_us = worker_clock_us(m->clock) / TICK_US * TICK_US; /* the workers' clock and grid */
	LL_PREPEND(m->music, music);
	*out = music;
	return 0;
}

void stream_music(struct stream *s, const char *class_key, const char *const *files, unsigned nfiles)
{
	struct wish *w = &s->wish;
	struct music *music;

	wish_clear(s, PLAY_STOPPED);
	if (s->is_closing)
		return;
	if (music_get(s->media, class_key, &music) < 0 || wish_make(s, files, nfiles) < 0) {
		wish_free(w);
		log_error(s->media->log, "no memory, no music");
		return;
	}
	w->kind = WISH_MUSIC;
	w->loop = true;
	w->epoch_us = music->epoch_us;
	wish_load(s);
	silence_until_sent(s);
}

void media_sound_forget(struct media *m, const char *file)
{
	sounds_forget(m->sounds, file);
}

/* ---- recording ---- */

/* On the writing thread; arg is the event that was made for it. */
static void on_recorder_end(const struct record_result *r, void *arg)
{
	struct event *e = arg;

	e->record.result = *r;
	media_events(e->s->media, e, e);
}

static struct recorder *recorder_make(struct stream *s, const char *path, struct event *e)
{
	struct media *m = s->media;

	if (!m->recorders && recorders_new(&m->recorders, m->log) < 0)
		return NULL;
	return recorder_new(m->recorders, path, on_recorder_end, e);
}

uint32_t stream_record(struct stream *s, const struct record_params *p)
{
	uint32_t id = media_new_id(s->media);
	struct event *e = calloc(1, sizeof(*e));
	struct command *c = stream_command(s, CMD_RECORD, sizeof(*c->record));

	if (!e || !c) {
		free(e);
		free(c);
		return id;
	}
	*e = (struct event){ .type = EV_RECORD_END, .s = s, .record = { .id = id } };
	s->nrecordings++;
	sounds_forget(s->media->sounds, p->path); /* what was there before is gone */
	c->record = command_room(c);
	c->record->recorder = recorder_make(s, p->path, e);
	if (!c->record->recorder) {
		free(c);
		e->record.result = (struct record_result){ .end = RECORD_FAILED, .err = -ENOMEM };
		media_events(s->media, e, e);
		return id;
	}
	c->record->max_ms = p->max_ms;
	c->record->silence_ms = p->silence_ms;
	copy_stop_digits(c->record->stop_digits, p->stop_digits);
	stream_post(c);
	return id;
}

void stream_record_stop(struct stream *s)
{
	struct command *c = stream_command(s, CMD_RECORD_STOP, 0);

	if (c)
		stream_post(c);
}
