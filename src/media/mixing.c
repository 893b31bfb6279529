/* mixing.c - the members of mixes, and their ticks (see mixing.h).
 */
#define LOG_MODULE "media"
#include "media/mixing.h"

#include <stdlib.h>
#include <utlist.h>

#include "media/limiter.h"
#include "media/mixer.h"
#include "media/outlet.h"
#include "media/tap.h"

#define LINGER_FRAMES 50       /* for so long, 1 s, who has fallen silent keeps packets of his own: see outlet.h */
#define SOUND_HZ 16000         /* of announcements (CODEC_L16) and tones */
#define SOUND_SAMPLES (SOUND_HZ / 1000 * MIXER_FRAME_MS)

struct group;

struct seat {                  /* a session's place in a mix */
	struct seat *prev, *next;
	struct seat *group_prev, *group_next;
	struct rtp_session *session;
	struct mixing *mixing;
	struct mixer_voice voice;
	struct group *group;   /* NULL: no codec yet */
	struct outlet *own;    /* NULL: hears what the group does */
	uint8_t own_frames;    /* until it is given up */
	bool is_deaf;
	uint16_t gain_out;
};

struct group {                 /* those who hear in one codec and packet length */
	struct group *prev, *next;
	struct outlet_key key;
	struct outlet *common; /* NULL: nobody needs it */
	struct seat *seats;
	unsigned nseats;
};

struct mixing {
	struct mixing *prev, *next; /* on the worker's list while somebody is there */
	struct mix *handle;
	struct worker *worker;
	struct mixer *mixer;
	uint32_t nframes;
	bool half;             /* which of two ticks is its own */
	struct seat *seats;
	struct group *groups;
	/* what all hear besides */
	uint32_t play_id;      /* 0: no announcement */
	struct playlist *list;
	uint32_t list_at;
	struct tonegen tones;  /* n 0: none */
	struct tap *tap;       /* of a recording that hears all; NULL: none */
	enum mixer_rate tap_rate;
	struct limiter tap_limiter;
	struct mixer_voice play_voice, tone_voice;
	struct event closed;
};

/* ---- life ---- */

struct mixing *mixing_new(struct mix *handle, unsigned nspeakers)
{
	struct mixing *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->mixer = mixer_new(nspeakers);
	if (!m->mixer) {
		free(m);
		return NULL;
	}
	m->handle = handle;
	mixer_voice_init(&m->play_voice);
	mixer_voice_init(&m->tone_voice);
	m->play_voice.is_room = m->tone_voice.is_room = true;
	m->closed = (struct event){ .type = EV_MIX_CLOSED, .is_embedded = true, .mix = handle };
	return m;
}

void mixing_free(struct mixing *m)
{
	mixer_leave(m->mixer, &m->play_voice);
	mixer_leave(m->mixer, &m->tone_voice);
	mixer_free(m->mixer);
	playlist_unref(m->list);
	free(m);
}

static void mixing_start(struct mixing *m, struct worker *w)
{
	if (!worker_ticks(w))
		w->tick_us = (w->now_us / TICK_US + 1) * TICK_US;
	m->worker = w;
	m->half = w->mixings && !w->mixings->half; /* by turns */
	DL_PREPEND(w->mixings, m);
}

static void play_end(struct mixing *m, enum play_end end)
{
	struct event *e;

	if (!m->play_id)
		return;
	e = calloc(1, sizeof(*e));
	if (e) {
		*e = (struct event){ .type = EV_MIX_PLAY_END, .mix = m->handle, .play = { .id = m->play_id, .end = end } };
		worker_emit(m->worker, e);
	} else {
		log_error(m->worker->log, "no memory, the end of an announcement is lost");
	}
	m->play_id = 0;
	playlist_unref(m->list);
	m->list = NULL;
}

/* In place of the one before; NULL: none. */
static void change_tap(struct mixing *m, struct tap *tap, uint32_t rate_hz)
{
	if (m->tap)
		tap_finish(m->tap, m->worker->now_us);
	m->tap = tap;
	m->tap_rate = mixer_rate_of(rate_hz);
}

static void mixing_close(struct mixing *m, struct worker *w)
{
	m->worker = w;
	change_tap(m, NULL, 0);
	play_end(m, PLAY_STOPPED);
	while (m->seats)
		mixing_leave(m->seats->session);
	worker_emit(w, &m->closed);
}

/* ---- groups ---- */

static void group_leave(struct seat *seat)
{
	struct group *g = seat->group;

	outlet_free(seat->own);
	seat->own = NULL;
	if (!g)
		return;
	seat->group = NULL;
	DL_DELETE2(g->seats, seat, group_prev, group_next);
	if (--g->nseats > 0)
		return;
	DL_DELETE(seat->mixing->groups, g);
	outlet_free(g->common);
	free(g);
}

static void group_join(struct seat *seat)
{
	const struct rtp_session *s = seat->session;
	struct outlet_key key = { .codec = s->config.codec, .ptime_ms = s->config.ptime_ms, .is_silent = seat->is_deaf, .opus = s->opus };
	struct mixing *m = seat->mixing;
	struct group *g;

	if (seat->group && outlet_key_eq(&seat->group->key, &key))
		return;
	group_leave(seat);
	if (!s->config.codec)
		return;
	DL_FOREACH(m->groups, g) {
		if (outlet_key_eq(&g->key, &key))
			break;
	}
	if (!g) {
		g = calloc(1, sizeof(*g));
		if (!g) {
			log_error(s->worker->log, "no memory, somebody hears nothing");
			return;
		}
		g->key = key;
		DL_APPEND(m->groups, g);
	}
	seat->group = g;
	g->nseats++;
	DL_APPEND2(g->seats, seat, group_prev, group_next);
}

/* ---- members ---- */

static void tell_talking(struct seat *seat, enum talk_change change)
{
	struct event e = { .is_talking = change == TALK_BEGINS };

	if (change != TALK_SAME)
		rtp_session_event(seat->session, EV_TALKING, &e);
}

static struct seat *seat_new(struct rtp_session *s, struct mixing *m)
{
	struct seat *seat = calloc(1, sizeof(*seat));

	if (!seat)
		return NULL;
	seat->session = s;
	seat->mixing = m;
	mixer_voice_init(&seat->voice);
	mixer_enter(m->mixer, &seat->voice);
	if (!m->seats)
		mixing_start(m, s->worker);
	DL_APPEND(m->seats, seat);
	return seat;
}

void mixing_join(struct rtp_session *s, const struct command *c)
{
	struct mixing *m = c->mixing;
	struct seat *seat;

	if (!s->seat || s->seat->mixing != m) {
		source_unbridge(s);
		source_none(s);
		s->seat = seat_new(s, m);
		if (!s->seat) {
			log_error(s->worker->log, "no memory, a stream is in no conference");
			return;
		}
	}
	seat = s->seat;
	seat->is_deaf = c->seat.is_deaf;
	seat->gain_out = c->seat.gain_out;
	seat->voice.gain = c->seat.gain_in;
	mixer_mute(m->mixer, &seat->voice, c->seat.is_muted);
	if (c->seat.is_muted)
		tell_talking(seat, talk_stop(&seat->voice.talk));
	group_join(seat);
	ear_update(s);
}

void mixing_leave(struct rtp_session *s)
{
	struct seat *seat = s->seat;
	struct mixing *m;

	if (!seat)
		return;
	m = seat->mixing;
	s->seat = NULL;
	group_leave(seat);
	tell_talking(seat, talk_stop(&seat->voice.talk));
	mixer_leave(m->mixer, &seat->voice);
	DL_DELETE(m->seats, seat);
	if (!m->seats) {
		DL_DELETE(m->worker->mixings, m);
		play_end(m, PLAY_STOPPED); /* nobody hears it */
	}
	free(seat);
	rtp_tx_resync(&s->tx);
	ear_update(s);
}

void mixing_configured(struct rtp_session *s)
{
	if (s->seat)
		group_join(s->seat);
}

bool mixing_listens(const struct rtp_session *s)
{
	return s->seat && (s->config.dir & STREAM_RECV) && (!s->seat->voice.is_muted || s->seat->voice.is_speaking);
}

/* What a group has in common is made for the one that misses most. */
void mixing_tune(struct rtp_session *s)
{
	struct seat *seat = s->seat, *i;
	uint8_t loss = 0;

	if (!seat || !seat->group || seat->group->key.codec != CODEC_OPUS)
		return;
	if (seat->own)
		outlet_tune(seat->own, s->remote_loss * 100u / 256);
	DL_FOREACH2(seat->group->seats, i, group_next)
		loss = i->session->remote_loss > loss ? i->session->remote_loss : loss;
	if (seat->group->common)
		outlet_tune(seat->group->common, loss * 100u / 256);
}

/* ---- what is said ---- */

static void hear(struct mixing *m, struct seat *seat)
{
	struct rtp_session *s = seat->session;
	int16_t pcm[MIXER_SAMPLES_MAX];
	bool was_muted = seat->voice.is_muted;
	uint32_t rate_hz;
	size_t n = ear_take(s, pcm, &rate_hz);

	if (n > 0 && (s->config.dir & STREAM_RECV))
		tell_talking(seat, mixer_say(m->mixer, &seat->voice, pcm, n, rate_hz));
	else
		tell_talking(seat, mixer_silent(m->mixer, &seat->voice));
	if (was_muted && s->ear && !seat->voice.slot)
		ear_update(s); /* faded out: nothing need be decoded any more */
}

static void say_sound(struct mixing *m)
{
	int16_t pcm[SOUND_SAMPLES];
	size_t n = 0, len;

	while (n < SOUND_SAMPLES && m->list && m->list_at < playlist_nframes(m->list)) {
		const uint8_t *frame = playlist_frame(m->list, m->list_at++, &len);

		for (size_t i = 0; i + 1 < len && n < SOUND_SAMPLES; i += 2) /* L16 */
			pcm[n++] = (int16_t)(frame[i] << 8 | frame[i + 1]);
	}
	if (n == 0) {
		mixer_silent(m->mixer, &m->play_voice);
		play_end(m, PLAY_DONE);
		return;
	}
	memset(pcm + n, 0, (SOUND_SAMPLES - n) * sizeof(pcm[0]));
	mixer_say(m->mixer, &m->play_voice, pcm, SOUND_SAMPLES, SOUND_HZ);
}

static void say_tones(struct mixing *m)
{
	int16_t pcm[SOUND_SAMPLES];

	if (m->tones.n == 0) {
		mixer_silent(m->mixer, &m->tone_voice);
		return;
	}
	tonegen_run(&m->tones, pcm, SOUND_SAMPLES);
	mixer_say(m->mixer, &m->tone_voice, pcm, SOUND_SAMPLES, SOUND_HZ);
}

/* ---- what is heard ---- */

static void give(struct seat *seat, uint8_t *packet, size_t len, uint32_t units)
{
	uint8_t own[RTP_HEADER_LEN + CODEC_PAYLOAD_MAX];
	struct rtp_session *s = seat->session;

	if (len > 0 && s->digits) { /* what is added for him isn't for the others */
		memcpy(own, packet, RTP_HEADER_LEN + len);
		packet = own;
	}
	if (len == 0 || !rtp_session_may_send(s) || digits_hold(s, s->config.codec, packet + RTP_HEADER_LEN, len))
		s->tx.resync = true;
	else
		mouth_send(s, packet, len, units);
}

/* Who is heard himself, or hears louder or softer than the others, has packets of his own. */
static void choose_outlet(struct mixing *m, struct seat *seat)
{
	struct group *g = seat->group;

	if (!g->key.is_silent && (seat->voice.slot || seat->gain_out != MIXER_GAIN_ONE)) {
		seat->own_frames = LINGER_FRAMES;
		if (!seat->own)
			seat->own = g->common ? outlet_copy(g->common) : outlet_new(&g->key, m->nframes);
		return;
	}
	if (!seat->own || --seat->own_frames > 0)
		return;
	if (g->common)
		outlet_free(seat->own);
	else
		g->common = seat->own; /* it will do for the others as well */
	seat->own = NULL;
}

static void speak_to_group(struct mixing *m, struct group *g, uint8_t *packet)
{
	enum mixer_rate rate = outlet_rate(&g->key);
	struct seat *seat;
	size_t len;
	uint32_t units;

	outlet_put(g->common, mixer_all(m->mixer, rate), MIXER_GAIN_ONE);
	while (outlet_take(g->common, packet + RTP_HEADER_LEN, &len, &units)) {
		count_one(&m->worker->count.mixed);
		DL_FOREACH2(g->seats, seat, group_next) {
			if (!seat->own)
				give(seat, packet, len, units);
		}
	}
}

static void speak_to_one(struct mixing *m, struct seat *seat, uint8_t *packet)
{
	size_t len;
	uint32_t units;

	outlet_put(seat->own, mixer_but(m->mixer, &seat->voice, outlet_rate(&seat->group->key)), seat->gain_out);
	while (outlet_take(seat->own, packet + RTP_HEADER_LEN, &len, &units)) {
		count_one(&m->worker->count.mixed);
		give(seat, packet, len, units);
	}
}

static void speak(struct mixing *m, struct group *g)
{
	uint8_t packet[RTP_HEADER_LEN + CODEC_PAYLOAD_MAX];
	unsigned ncommon = 0;
	struct seat *seat;

	/* Before the common one goes on: copies begin where it is. */
	DL_FOREACH2(g->seats, seat, group_next) {
		choose_outlet(m, seat);
		ncommon += !seat->own;
	}
	if (ncommon == 0) {
		outlet_free(g->common);
		g->common = NULL;
	} else if (!g->common) {
		g->common = outlet_new(&g->key, m->nframes);
	}
	if (g->common)
		speak_to_group(m, g, packet);
	DL_FOREACH2(g->seats, seat, group_next) {
		if (seat->own)
			speak_to_one(m, seat, packet);
	}
}

static void record(struct mixing *m)
{
	int16_t pcm[MIXER_SAMPLES_MAX];
	size_t n = mixer_samples(m->tap_rate);

	limiter_run(&m->tap_limiter, mixer_all(m->mixer, m->tap_rate), pcm, n);
	tap_pcm(m->tap, m->worker->now_us, pcm, n, mixer_rate_hz(m->tap_rate));
}

static void mixing_run(struct mixing *m)
{
	unsigned rates = m->tap ? 1u << m->tap_rate : 0;
	struct group *g;
	struct seat *seat;

	DL_FOREACH(m->groups, g)
		rates |= g->key.is_silent ? 0 : 1u << outlet_rate(&g->key);
	mixer_begin(m->mixer, m->worker->desk, rates);
	DL_FOREACH(m->seats, seat)
		hear(m, seat);
	if (m->play_id)
		say_sound(m);
	say_tones(m);
	mixer_sum(m->mixer);
	if (m->tap)
		record(m);
	DL_FOREACH(m->groups, g)
		speak(m, g);
	m->nframes++;
}

void mixings_tick(struct worker *w)
{
	struct mixing *m;

	if (!w->desk)
		w->desk = mixer_desk_new();
	if (!w->desk) {
		log_error(w->log, "no memory, conferences are silent");
		return;
	}
	w->mix_half = !w->mix_half;
	DL_FOREACH(w->mixings, m) {
		if (m->half == w->mix_half)
			mixing_run(m);
	}
}

/* ---- commands that name no session ---- */

static void start_play(struct mixing *m, const struct command *c)
{
	play_end(m, PLAY_STOPPED);
	m->play_id = c->play->id;
	m->list = c->play->list;
	m->list_at = 0;
	if (!m->seats)
		play_end(m, PLAY_DONE); /* to nobody */
}

void mixing_command(struct worker *w, struct command *c)
{
	struct mixing *m = c->mixing;

	m->worker = w;
	switch (c->type) {
	case CMD_MIX_PLAY: start_play(m, c); break;
	case CMD_MIX_PLAY_STOP: play_end(m, PLAY_STOPPED); break;
	case CMD_MIX_TONES:
		tonegen_init(&m->tones, c->tones->cadence, c->tones->n, SOUND_HZ);
		m->tones.once = true;
		break;
	case CMD_MIX_TAP: change_tap(m, c->tap, c->tap_rate_hz); break;
	case CMD_MIX_CLOSE: mixing_close(m, w); break;
	default: break;
	}
}
