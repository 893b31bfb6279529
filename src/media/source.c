/* source.c - what a session sends: its partner's media, its own echo, a player's, tones, or nothing.
 *
 * The numbering towards the peer (struct rtp_tx) outlives every source; changing the source only tells it that a new
 * talk spurt begins.
 */
#define LOG_MODULE "media"
#include "media/mixing.h"

#include <stdlib.h>

#define FRAME_MS 20

/* s no longer gets media from its partner. */
static void unfeed(struct rtp_session *s)
{
	struct rtp_session *from = s->from;

	if (!from)
		return;
	s->from = NULL;
	from->to = NULL;
	s->event_open = false;
	rtp_tx_resync(&s->tx);
	ear_update(from);
}

static void feed(struct rtp_session *from, struct rtp_session *to)
{
	from->to = to;
	to->from = from;
	ear_update(from);
}

void source_none(struct rtp_session *s)
{
	unfeed(s);
	mixing_leave(s);
	player_stop(s, PLAY_STOPPED);
	free(s->tones);
	s->tones = NULL;
	rtp_tx_resync(&s->tx);
	rtp_session_update_tick(s);
}

void source_unbridge(struct rtp_session *s)
{
	if (s->to)
		unfeed(s->to);
	unfeed(s);
}

void source_bridge(struct rtp_session *a, struct rtp_session *b)
{
	if (a->from == b && a->to == b)
		return;
	source_unbridge(a);
	source_unbridge(b);
	source_none(a);
	source_none(b);
	feed(a, b);
	feed(b, a);
}

void source_echo(struct rtp_session *s)
{
	if (s->to)
		unfeed(s->to);
	source_none(s);
	feed(s, s);
}

/* ---- tones ---- */

void source_tones(struct rtp_session *s, const struct tone *cadence, unsigned n)
{
	source_none(s);
	if (n == 0)
		return;
	s->tones = malloc(sizeof(*s->tones));
	if (!s->tones) {
		log_error(s->worker->log, "no memory for tones");
		return;
	}
	tonegen_init(s->tones, cadence, n, mouth_rate(s));
	rtp_session_update_tick(s);
}

static void tones_tick(struct rtp_session *s)
{
	int16_t pcm[FRAME_SAMPLES_MAX];
	uint32_t rate_hz = mouth_rate(s);
	size_t n = rate_hz * FRAME_MS / 1000;

	if (s->tones->rate_hz != rate_hz) { /* the codec was agreed, or changed, under way */
		struct tonegen old = *s->tones;

		tonegen_init(s->tones, old.cadence, old.n, rate_hz);
	}
	tonegen_run(s->tones, pcm, n);
	if (!digits_pass_pcm(s, pcm, n, rate_hz))
		mouth_speak(s, pcm, n, rate_hz);
}

/* ---- ticks ---- */

bool source_needs_tick(const struct rtp_session *s)
{
	return s->player || s->tones || recording_needs_tick(s) || digits_are_pending(s) || ear_needs_tick(s) || s->t38;
}

void source_tick(struct rtp_session *s)
{
	if (s->player)
		player_tick(s);
	s->tick_half = !s->tick_half;
	if (s->tick_half)
		return;
	if (digits_are_pending(s))
		digits_tick(s);
	if (s->tones)
		tones_tick(s);
	if (s->ear)
		ear_tick(s);
	if (s->t38)
		t38_tick(s);
	if (recording_needs_tick(s))
		recording_tick(s);
}
