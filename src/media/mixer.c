/* mixer.c - sums of voices (see mixer.h).
 *
 * Each voice of a frame that may be part of the sum has a slot on the desk. Who was heard in the frame before always has one, if only to be
 * faded out; of the others the loudest have. When all have spoken, the slots are ranked. So of three hundred voices a dozen are copied.
 */
#include "media/mixer.h"

#include <stdlib.h>
#include <string.h>

#include "media/resample.h"

#define NEW_SLOTS MIXER_SPEAKERS_MAX
#define SLOTS (2 * MIXER_SPEAKERS_MAX + MIXER_ROOM_VOICES)
#define FADE_MS 5
#define TAIL_MS 5              /* in which the last sample of who has left comes to rest */

struct mixer_slot {
	struct mixer_voice *voice;
	uint32_t rank;         /* 0: only to be faded out */
	bool is_chosen;
	size_t n;
	int16_t pcm[MIXER_SAMPLES_MAX];
	int16_t at[MIXER_NRATES][MIXER_SAMPLES_MAX];
};

struct mixer_desk {
	unsigned nslots;
	struct mixer_slot slots[SLOTS];
	int32_t sum[MIXER_NRATES][MIXER_SAMPLES_MAX], but[MIXER_SAMPLES_MAX];
};

struct mixer {
	struct mixer_desk *desk;   /* of the frame under way */
	unsigned rates;
	unsigned nspeakers;        /* at most */
	unsigned nvoices;          /* that are not muted */
	unsigned nnew;             /* slots of this frame that belong to who wasn't heard in the last one */
	int32_t tail[MIXER_NRATES];
};

static const uint32_t rates_hz[MIXER_NRATES] = { 8000, 16000, 48000 };

uint32_t mixer_rate_hz(enum mixer_rate r) { return rates_hz[r]; }

enum mixer_rate mixer_rate_of(uint32_t rate_hz)
{
	return rate_hz <= 8000 ? MIXER_8K : rate_hz <= 16000 ? MIXER_16K : MIXER_48K;
}

struct mixer_desk *mixer_desk_new(void) { return calloc(1, sizeof(struct mixer_desk)); }
void mixer_desk_free(struct mixer_desk *d) { free(d); }

struct mixer *mixer_new(unsigned nspeakers)
{
	struct mixer *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->nspeakers = nspeakers ? nspeakers : MIXER_SPEAKERS;
	if (m->nspeakers > MIXER_SPEAKERS_MAX)
		m->nspeakers = MIXER_SPEAKERS_MAX;
	return m;
}

void mixer_free(struct mixer *m) { free(m); }

/* ---- who is there ---- */

void mixer_voice_init(struct mixer_voice *v)
{
	*v = (struct mixer_voice){ .gain = MIXER_GAIN_ONE };
}

static void resamplers_free(struct mixer_voice *v)
{
	for (unsigned r = 0; r < MIXER_NRATES; r++) {
		resampler_free(v->to[r]);
		v->to[r] = NULL;
	}
}

void mixer_enter(struct mixer *m, struct mixer_voice *v)
{
	m->nvoices += !v->is_room && !v->is_muted;
}

void mixer_leave(struct mixer *m, struct mixer_voice *v)
{
	m->nvoices -= !v->is_room && !v->is_muted;
	for (unsigned r = 0; r < MIXER_NRATES && v->is_speaking; r++)
		m->tail[r] += v->last[r];
	v->is_speaking = false;
	v->slot = NULL;
	talk_stop(&v->talk);
	resamplers_free(v);
}

void mixer_mute(struct mixer *m, struct mixer_voice *v, bool is_muted)
{
	if (v->is_muted == is_muted)
		return;
	v->is_muted = is_muted;
	m->nvoices += is_muted ? -1u : 1u;
}

/* ---- a frame: what is said ---- */

void mixer_begin(struct mixer *m, struct mixer_desk *d, unsigned rates)
{
	m->desk = d;
	m->rates = rates;
	m->nnew = 0;
	d->nslots = 0;
}

/* May it be part of the sum? Its rank among those who may, 0: no. */
static uint32_t rank_of(const struct mixer *m, const struct mixer_voice *v)
{
	uint32_t rank = v->talk.loudness_q8 / 2 + 1;

	if (v->is_room)
		return UINT32_MAX;
	if (v->is_muted || (!v->talk.is_active && m->nvoices > m->nspeakers))
		return 0;
	return v->is_speaking ? 2 * rank : rank;
}

static struct mixer_slot *slot_new(struct mixer_desk *d)
{
	return d->nslots < SLOTS ? &d->slots[d->nslots++] : NULL;
}

/* For a voice that wasn't heard in the last frame: when all are taken, that of the softest of its kind. */
static struct mixer_slot *slot_of_softest(struct mixer *m, uint32_t rank)
{
	struct mixer_slot *softest = NULL;

	if (m->nnew < NEW_SLOTS) {
		m->nnew++;
		return slot_new(m->desk);
	}
	for (unsigned i = 0; i < m->desk->nslots; i++) {
		struct mixer_slot *s = &m->desk->slots[i];

		if (!s->voice->is_speaking && !s->voice->is_room && (!softest || s->rank < softest->rank))
			softest = s;
	}
	if (!softest || softest->rank >= rank)
		return NULL;
	softest->voice->slot = NULL;
	return softest;
}

static void take_slot(struct mixer *m, struct mixer_voice *v, const int16_t *pcm, size_t n)
{
	uint32_t rank = rank_of(m, v);
	struct mixer_slot *s = NULL;

	if (v->is_speaking || v->is_room)
		s = slot_new(m->desk);
	else if (rank > 0)
		s = slot_of_softest(m, rank);
	if (!s)
		return;
	s->voice = v;
	s->rank = rank;
	s->is_chosen = false;
	s->n = n;
	memcpy(s->pcm, pcm, n * sizeof(*pcm));
	v->slot = s;
}

enum talk_change mixer_say(struct mixer *m, struct mixer_voice *v, const int16_t *pcm, size_t n, uint32_t rate_hz)
{
	enum talk_change change = TALK_SAME;

	v->slot = NULL;
	if (v->rate_hz != rate_hz) {
		resamplers_free(v);
		v->rate_hz = rate_hz;
	}
	if (v->is_muted)
		change = talk_stop(&v->talk);
	else if (!v->is_room)
		change = talk_frame(&v->talk, talk_level(pcm, n), true);
	if (n <= MIXER_SAMPLES_MAX)
		take_slot(m, v, pcm, n);
	return change;
}

enum talk_change mixer_silent(struct mixer *m, struct mixer_voice *v)
{
	v->slot = NULL;
	for (unsigned r = 0; r < MIXER_NRATES && v->is_speaking; r++)
		m->tail[r] += v->last[r];
	v->is_speaking = false;
	return v->is_muted ? talk_stop(&v->talk) : talk_frame(&v->talk, 0, false);
}

/* ---- a frame: what is heard ---- */

/* The best of those not chosen yet; NULL: nobody else may be heard. */
static struct mixer_slot *best_slot(struct mixer_desk *d)
{
	struct mixer_slot *best = NULL;

	for (unsigned i = 0; i < d->nslots; i++) {
		struct mixer_slot *s = &d->slots[i];

		if (!s->is_chosen && !s->voice->is_room && s->rank > 0 && (!best || s->rank > best->rank))
			best = s;
	}
	return best;
}

static void choose(struct mixer *m)
{
	for (unsigned i = 0; i < m->desk->nslots; i++)
		m->desk->slots[i].is_chosen = m->desk->slots[i].voice->is_room;
	for (unsigned i = 0; i < m->nspeakers; i++) {
		struct mixer_slot *best = best_slot(m->desk);

		if (!best)
			break;
		best->is_chosen = true;
	}
}

static int16_t clipped(int32_t x)
{
	return (int16_t)(x > INT16_MAX ? INT16_MAX : x < INT16_MIN ? INT16_MIN : x);
}

/* From what it was heard with to what it shall be heard with, within FADE_MS. */
static void apply_gain(struct mixer_slot *s, int32_t from, int32_t to)
{
	int32_t n = (int32_t)s->n, fade = n * FADE_MS / MIXER_FRAME_MS;

	if (from == MIXER_GAIN_ONE && to == MIXER_GAIN_ONE)
		return;
	for (int32_t i = 0; i < n; i++) {
		int32_t gain = i < fade ? from + (to - from) * (i + 1) / fade : to;

		s->pcm[i] = clipped((int32_t)((int64_t)s->pcm[i] * gain / MIXER_GAIN_ONE));
	}
}

static void resample(struct mixer_voice *v, enum mixer_rate r, bool begins)
{
	struct mixer_slot *s = v->slot;
	size_t want = mixer_samples(r), n;

	if (v->rate_hz == rates_hz[r]) {
		memcpy(s->at[r], s->pcm, want * sizeof(s->pcm[0]));
		return;
	}
	if (!v->to[r])
		v->to[r] = resampler_new(v->rate_hz, rates_hz[r]);
	else if (begins)
		resampler_reset(v->to[r]);
	n = v->to[r] ? resampler_run(v->to[r], s->pcm, s->n, s->at[r], want) : 0;
	memset(s->at[r] + n, 0, (want - n) * sizeof(s->at[r][0]));
}

/* Its part of the sums. false: it has none. */
static bool speak(struct mixer *m, struct mixer_slot *s)
{
	struct mixer_voice *v = s->voice;
	bool begins = !v->is_speaking;

	if (!s->is_chosen && begins) {
		v->slot = NULL;
		return false;
	}
	apply_gain(s, begins ? 0 : v->gain_now, s->is_chosen ? v->gain : 0);
	v->gain_now = v->gain;
	v->is_speaking = s->is_chosen;
	for (unsigned r = 0; r < MIXER_NRATES; r++) {
		size_t n = mixer_samples(r);

		v->last[r] = 0;
		if (!(m->rates & 1u << r))
			continue;
		resample(v, r, begins);
		for (size_t i = 0; i < n; i++)
			m->desk->sum[r][i] += s->at[r][i];
		v->last[r] = s->at[r][n - 1];
	}
	return true;
}

static void end_tail(struct mixer *m, enum mixer_rate r)
{
	int32_t n = (int32_t)(rates_hz[r] / 1000 * TAIL_MS);

	for (int32_t i = 0; i < n && m->tail[r]; i++)
		m->desk->sum[r][i] += (int32_t)((int64_t)m->tail[r] * (n - i) / n);
	m->tail[r] = 0;
}

void mixer_sum(struct mixer *m)
{
	struct mixer_desk *d = m->desk;

	choose(m);
	for (unsigned r = 0; r < MIXER_NRATES; r++) {
		if (m->rates & 1u << r)
			memset(d->sum[r], 0, mixer_samples(r) * sizeof(d->sum[r][0]));
		if (m->rates & 1u << r)
			end_tail(m, r);
	}
	for (unsigned i = 0; i < d->nslots; i++)
		speak(m, &d->slots[i]);
}

const int32_t *mixer_all(struct mixer *m, enum mixer_rate r) { return m->desk->sum[r]; }

const int32_t *mixer_but(struct mixer *m, const struct mixer_voice *v, enum mixer_rate r)
{
	struct mixer_desk *d = m->desk;
	size_t n = mixer_samples(r);

	if (!v->slot)
		return d->sum[r];
	for (size_t i = 0; i < n; i++)
		d->but[i] = d->sum[r][i] - v->slot->at[r][i];
	return d->but;
}
