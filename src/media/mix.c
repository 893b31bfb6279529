/* mix.c - the loop's handle of a conference: turns calls into commands for its worker (mixing.c).
 *
 * A stream on another worker is handed over to the mix's first (stream.c). Until it has come the mix isn't closed.
 */
#define LOG_MODULE "media"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <utlist.h>

#include "media/mixer.h"
#include "media/mixing.h"
#include "media/stream_int.h"
#include "media/tap.h"

#define GAIN_MIN_DB (-40)
#define GAIN_MAX_DB 20 /* what a gain of 16 bits has room for */

int mix_new(struct mix **out, struct media *media, const struct mix_params *p, const struct mix_handler *h, void *arg)
{
	struct mix *m;

	if (media->is_closing)
		return -ECANCELED;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->mixing = mixing_new(m, p->nspeakers);
	if (!m->mixing) {
		free(m);
		return -ENOMEM;
	}
	m->media = media;
	m->worker = worker_choose(media, p->near);
	m->handler = *h;
	m->arg = arg;
	DL_APPEND(media->mixes, m);
	*out = m;
	return 0;
}

static struct command *mix_command(struct mix *m, enum command_type type, size_t extra)
{
	struct command *c = m->is_closing ? NULL : calloc(1, sizeof(*c) + extra);

	if (!c) {
		if (!m->is_closing)
			log_error(m->media->log, "no memory, command %d is lost", (int)type);
		return NULL;
	}
	c->type = type;
	c->mixing = m->mixing;
	return c;
}

void mix_check_closing(struct mix *m)
{
	if (!m->is_closing || m->ndeferred > 0 || m->close.type == CMD_MIX_CLOSE)
		return;
	m->close = (struct command){ .type = CMD_MIX_CLOSE, .is_embedded = true, .mixing = m->mixing };
	worker_post(m->worker, &m->close);
}

void mix_close(struct mix *m)
{
	if (m->is_closing)
		return;
	if (m->request)
		sounds_cancel(m->request);
	capture_mix_closing(m);
	m->handler = (struct mix_handler){ 0 };
	m->is_closing = true;
	mix_check_closing(m);
}

/* The worker has done with it. */
static void mix_closed(struct mix *m)
{
	DL_DELETE(m->media->mixes, m);
	mixing_free(m->mixing);
	free(m);
}

void mix_event(const struct event *e)
{
	struct mix *m = e->mix;

	if (e->type == EV_MIX_CLOSED)
		mix_closed(m);
	else if (m->handler.on_play_end)
		m->handler.on_play_end(m, e->play.id, e->play.end, m->arg);
}

/* ---- members ---- */

static uint16_t gain_of(int db)
{
	db = db < GAIN_MIN_DB ? GAIN_MIN_DB : db > GAIN_MAX_DB ? GAIN_MAX_DB : db;
	return (uint16_t)lrint(MIXER_GAIN_ONE * pow(10, db / 20.0));
}

void stream_mix(struct stream *s, struct mix *m, const struct mix_member *p)
{
	struct command *c = m->is_closing ? NULL : stream_command(s, CMD_MIX, 0);

	wish_clear(s, PLAY_STOPPED);
	if (!c)
		return;
	capture_said(s);
	c->mix = m;
	c->mixing = m->mixing;
	c->seat.is_muted = p->is_muted;
	c->seat.is_deaf = p->is_deaf;
	c->seat.gain_in = gain_of(p->gain_in_db);
	c->seat.gain_out = gain_of(p->gain_out_db);
	stream_post(c);
}

void mix_tap(struct mix *m, struct tap *tap, uint32_t rate_hz)
{
	struct command *c = mix_command(m, CMD_MIX_TAP, 0);

	if (!c) {
		if (tap)
			tap_finish(tap, worker_clock_us(m->media->clock));
		return;
	}
	c->tap = tap;
	c->tap_rate_hz = rate_hz;
	worker_post(m->worker, c);
}

/* ---- sound for all ---- */

static void report_end(struct mix *m, uint32_t id, enum play_end end)
{
	struct event *e = calloc(1, sizeof(*e));

	if (!e) {
		log_error(m->media->log, "no memory, the end of a play is lost");
		return;
	}
	*e = (struct event){ .type = EV_MIX_PLAY_END, .mix = m, .play = { .id = id, .end = end } };
	media_events(m->media, e, e);
}

/* What was asked for and isn't there yet is given up. */
static void forget_request(struct mix *m, enum play_end end)
{
	if (m->request)
		sounds_cancel(m->request);
	m->request = NULL;
	if (m->play_id)
		report_end(m, m->play_id, end);
	m->play_id = 0;
}

static void on_ready(struct playlist *list, int err, void *arg)
{
	struct mix *m = arg;
	struct command *c = err ? NULL : mix_command(m, CMD_MIX_PLAY, sizeof(*c->play));

	if (!c) {
		playlist_unref(list);
		forget_request(m, PLAY_FAILED);
		return;
	}
	c->play = command_room(c);
	c->play->id = m->play_id;
	c->play->list = list;
	m->play_id = 0;
	worker_post(m->worker, c);
}

uint32_t mix_play(struct mix *m, const struct play_params *p)
{
	uint32_t id = media_new_id(m->media);

	forget_request(m, PLAY_STOPPED);
	if (m->is_closing)
		return id;
	m->play_id = id;
	sounds_get(m->media->sounds, p->files, p->nfiles, CODEC_L16, on_ready, m, &m->request);
	return id;
}

void mix_play_stop(struct mix *m)
{
	struct command *c = mix_command(m, CMD_MIX_PLAY_STOP, 0);

	forget_request(m, PLAY_STOPPED);
	if (c)
		worker_post(m->worker, c);
}

void mix_tones(struct mix *m, const struct tone *cadence, unsigned n)
{
	struct command *c = mix_command(m, CMD_MIX_TONES, sizeof(*c->tones));

	if (!c)
		return;
	c->tones = command_room(c);
	c->tones->n = n < TONEGEN_CADENCE_MAX ? n : TONEGEN_CADENCE_MAX;
	memcpy(c->tones->cadence, cadence, c->tones->n * sizeof(*cadence));
	worker_post(m->worker, c);
}
