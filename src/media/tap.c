/* tap.c - a source of a recording (see tap.h).
 *
 * The ring holds packets, each with the time it came. Its reader feeds them to a tape (tape.h), which brings them into order, as far as
 * the present of the recording has come; so what is read doesn't depend on when the reader gets around to it.
 *
 * A tape's time begins with the first packet and goes by timestamps. How it lies in the recording's is `shift`: the difference
 * between when a packet came and where the tape placed its end, the least of the last seconds. Sound is written on without a gap while it
 * is off by less than LAX; a pause corrects it, and so does the middle of a word when it is off by more than FAR.
 */
#include "media/tap.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "media/resample.h"
#include "media/tape.h"

#define UNITS_PER_MS (TAPE_HZ / 1000)
#define SETTLE ((int64_t)400 * UNITS_PER_MS) /* a new timeline's packets are looked at for so long before any of it is placed */
#define LAX_MS 5
#define FAR_MS 60
#define WINDOW ((int64_t)5 * TAPE_HZ) /* over which the shortest way is looked for, and the same again */
#define SAMPLES_MAX (48 * CODEC_FRAME_MAX_MS + 48)
#define QUIET_LEVEL 256         /* mean of |sample| */

struct head {                   /* of a packet in the ring */
	uint64_t at_us;
	uint32_t ts;
	uint16_t len;           /* 0: the source has changed */
	uint8_t codec;
};

struct shift {
	unsigned anchors;       /* of the tape: which timeline it is about */
	int64_t from;           /* on the tape */
	int64_t least, before;  /* of this window and the one before */
	int64_t window_end, settled; /* on the recording */
};

struct tap {
	_Atomic unsigned refs;  /* the worker's and the reader's */
	_Atomic bool is_finished;
	_Atomic uint32_t lost_ms;
	_Atomic size_t head, tail; /* bytes put in, taken out */
	uint64_t finished_us;
	/* worker */
	uint32_t pcm_ts;
	uint8_t *ring;
	size_t size;
	/* reader */
	uint64_t begin_us;      /* the recording's */
	int64_t origin;         /* where on it the tape begins */
	uint32_t rate_hz;
	struct tape *tape;
	uint32_t passed_ms;
	int64_t taken;          /* of the tape */
	struct shift now, old;  /* old: of what was placed before now.from */
	struct decoder *decoder;
	enum codec_id codec;
	struct resampler *resampler;
	uint32_t resampler_hz;
	int64_t at;             /* the next sample's; goes on while nothing is missing */
	bool is_begin;          /* of a talk spurt: may be put where it belongs */
	bool is_through;
};

/* ---- life ---- */

struct tap *tap_new(uint64_t begin_us, uint64_t now_us, uint32_t rate_hz, size_t ring)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->size = ring;
	t->ring = malloc(ring);
	t->tape = tape_new();
	if (!t->ring || !t->tape) {
		free(t->ring);
		tape_free(t->tape);
		free(t);
		return NULL;
	}
	atomic_init(&t->refs, 2);
	t->begin_us = begin_us;
	t->origin = (int64_t)(now_us - begin_us) * TAPE_HZ / 1000000;
	t->rate_hz = rate_hz;
	t->is_begin = true;
	return t;
}

static void tap_unref(struct tap *t)
{
	if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(t->ring);
	tape_free(t->tape);
	decoder_free(t->decoder);
	resampler_free(t->resampler);
	free(t);
}

void tap_free(struct tap *t)
{
	tap_unref(t);
}

/* ---- worker ---- */

static void ring_put(struct tap *t, size_t *head, const void *p, size_t n)
{
	size_t at = *head & (t->size - 1), first = n < t->size - at ? n : t->size - at;

	memcpy(t->ring + at, p, first);
	memcpy(t->ring, (const uint8_t *)p + first, n - first);
	*head += n;
}

static void put(struct tap *t, const struct head *h, const void *payload)
{
	size_t head = atomic_load_explicit(&t->head, memory_order_relaxed);
	size_t tail = atomic_load_explicit(&t->tail, memory_order_acquire);

	if (t->size - (head - tail) < sizeof(*h) + h->len) {
		const struct codec *c = codec_get(h->codec);
		uint32_t ms = h->len ? (uint32_t)((uint64_t)codec_units(c, payload, h->len) * 1000 / c->clock_hz) : 0;

		atomic_fetch_add_explicit(&t->lost_ms, ms, memory_order_relaxed);
		return;
	}
	ring_put(t, &head, h, sizeof(*h));
	ring_put(t, &head, payload, h->len);
	atomic_store_explicit(&t->head, head, memory_order_release);
}

void tap_packet(struct tap *t, uint64_t now_us, enum codec_id codec, uint32_t ts, const uint8_t *payload, size_t len)
{
	const struct head h = { .at_us = now_us, .ts = ts, .len = (uint16_t)len, .codec = (uint8_t)codec };

	if (len > 0 && len <= CODEC_UNCUT_MAX)
		put(t, &h, payload);
}

void tap_pcm(struct tap *t, uint64_t now_us, const int16_t *pcm, size_t nsamples, uint32_t rate_hz)
{
	uint8_t payload[CODEC_UNCUT_MAX];
	enum codec_id codec = rate_hz == 8000 ? CODEC_L16_8 : rate_hz == 16000 ? CODEC_L16 : CODEC_L16_48;

	if (nsamples * 2 > sizeof(payload))
		return;
	for (size_t i = 0; i < nsamples; i++) {
		payload[2 * i] = (uint8_t)((uint16_t)pcm[i] >> 8);
		payload[2 * i + 1] = (uint8_t)pcm[i];
	}
	tap_packet(t, now_us, codec, t->pcm_ts, payload, nsamples * 2);
	t->pcm_ts += (uint32_t)nsamples;
}

void tap_reset(struct tap *t, uint64_t now_us)
{
	put(t, &(const struct head){ .at_us = now_us }, "");
}

void tap_finish(struct tap *t, uint64_t now_us)
{
	t->finished_us = now_us;
	atomic_store_explicit(&t->is_finished, true, memory_order_release);
	tap_unref(t);
}

/* ---- reading: from the ring onto the tape ---- */

static void ring_get(const struct tap *t, size_t tail, void *p, size_t n)
{
	size_t at = tail & (t->size - 1), first = n < t->size - at ? n : t->size - at;

	memcpy(p, t->ring + at, first);
	memcpy((uint8_t *)p + first, t->ring, n - first);
}

static int64_t position(const struct tap *t, uint64_t us)
{
	return (int64_t)(us - t->begin_us) * TAPE_HZ / 1000000;
}

static int64_t shift_of(const struct shift *s)
{
	return s->least < s->before ? s->least : s->before;
}

/* A packet that came at pos has been placed. */
static void learn_shift(struct tap *t, int64_t pos, int64_t newest_before)
{
	int64_t newest = tape_newest(t->tape), shift = pos - t->origin - newest;
	struct shift *s = &t->now;

	if (s->anchors != tape_anchors(t->tape)) {
		t->old = *s;
		*s = (struct shift){ tape_anchors(t->tape), newest_before, shift, shift, pos + WINDOW, pos + SETTLE };
		return;
	}
	if (newest == newest_before)
		return; /* it was late */
	if (pos >= s->window_end) {
		s->before = s->least;
		s->least = shift;
		s->window_end = pos + WINDOW;
	} else if (shift < s->least) {
		s->least = shift;
	}
}

static void put_on_tape(struct tap *t, const struct head *h, const uint8_t *payload)
{
	int64_t pos = position(t, h->at_us), newest = tape_newest(t->tape);
	uint32_t ms = pos > t->origin ? (uint32_t)((pos - t->origin) / UNITS_PER_MS) : 0;

	if (ms > t->passed_ms) {
		tape_pass(t->tape, ms - t->passed_ms);
		t->passed_ms = ms;
	}
	if (h->len == 0)
		tape_reset(t->tape);
	else if (tape_put(t->tape, h->codec, h->ts, payload, h->len) == 0)
		learn_shift(t, pos, newest);
}

/* What came before until goes onto the tape. */
static void drain(struct tap *t, int64_t until)
{
	size_t head = atomic_load_explicit(&t->head, memory_order_acquire);
	size_t tail = atomic_load_explicit(&t->tail, memory_order_relaxed);
	uint32_t ms;

	while (tail != head) {
		uint8_t payload[CODEC_UNCUT_MAX];
		struct head h;

		ring_get(t, tail, &h, sizeof(h));
		if (position(t, h.at_us) >= until)
			break;
		ring_get(t, tail + sizeof(h), payload, h.len);
		tail += sizeof(h) + h.len;
		put_on_tape(t, &h, payload);
		atomic_store_explicit(&t->tail, tail, memory_order_release);
	}
	ms = until > t->origin ? (uint32_t)((until - t->origin) / UNITS_PER_MS) : 0;
	if (ms > t->passed_ms && until < INT64_MAX) {
		tape_pass(t->tape, ms - t->passed_ms);
		t->passed_ms = ms;
	}
}

/* ---- from the tape into sound ---- */

static size_t decode(struct tap *t, const struct tape_piece *p, int16_t *pcm, int16_t *buf, const int16_t **out)
{
	uint32_t rate_hz = codec_rate(codec_get(p->codec), t->rate_hz);
	ptrdiff_t n, skip = (ptrdiff_t)(p->skip * rate_hz / TAPE_HZ);

	if (t->codec != p->codec) {
		decoder_free(t->decoder);
		t->decoder = decoder_new(p->codec, rate_hz);
		t->codec = t->decoder ? p->codec : CODEC_NONE;
	}
	n = t->decoder ? decoder_run(t->decoder, p->payload, p->len, pcm, SAMPLES_MAX) : 0;
	if (n <= skip)
		return 0;
	*out = pcm + skip;
	if (rate_hz == t->rate_hz)
		return (size_t)(n - skip);
	if (!t->resampler || t->resampler_hz != rate_hz) {
		resampler_free(t->resampler);
		t->resampler = resampler_new(rate_hz, t->rate_hz);
		t->resampler_hz = rate_hz;
		if (!t->resampler)
			return 0;
		resampler_skip_start(t->resampler);
	}
	*out = buf;
	return resampler_run(t->resampler, pcm + skip, (size_t)(n - skip), buf, SAMPLES_MAX);
}

static bool is_quiet(const int16_t *pcm, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (uint32_t)abs(pcm[i]);
	return sum < n * QUIET_LEVEL;
}

/* Where a piece lies in the recording. */
static int64_t placed(const struct tap *t, int64_t on_tape)
{
	const struct shift *s = t->old.anchors && on_tape < t->now.from ? &t->old : &t->now;

	return t->origin + on_tape + shift_of(s);
}

static void give(struct tap *t, const struct tape_piece *p, void (*on_sound)(void *, int64_t, const int16_t *, size_t), void *arg)
{
	int64_t lax = (int64_t)LAX_MS * t->rate_hz / 1000, far = (int64_t)FAR_MS * t->rate_hz / 1000;
	int64_t should = placed(t, p->pos) * t->rate_hz / TAPE_HZ, off = should - t->at;
	int16_t pcm[SAMPLES_MAX], buf[SAMPLES_MAX];
	const int16_t *out = NULL;
	size_t n = decode(t, p, pcm, buf, &out);

	if (n == 0)
		return;
	if (t->is_begin || off > far || off < -far || ((off > lax || off < -lax) && is_quiet(out, n))) {
		if (off > 0) {
			t->at = should;
		} else if ((size_t)-off >= n) {
			return; /* there is sound at that time already */
		} else {
			out += -off;
			n -= (size_t)-off;
		}
	}
	t->is_begin = false;
	on_sound(arg, t->at, out, n);
	t->at += (int64_t)n;
}

void tap_read(struct tap *t, int64_t until, bool is_end,
	      void (*on_sound)(void *arg, int64_t at, const int16_t *pcm, size_t n), void *arg)
{
	bool finished = atomic_load_explicit(&t->is_finished, memory_order_acquire);
	bool is_last = is_end || (finished && position(t, t->finished_us) <= until), is_settled;
	struct tape_piece p;

	drain(t, is_last ? INT64_MAX : until);
	is_settled = is_last || until >= t->now.settled;
	while ((is_settled || t->taken < t->now.from) && tape_take(t->tape, is_last, &p)) {
		t->taken = p.end;
		if (p.codec == CODEC_NONE)
			t->is_begin = true;
		else
			give(t, &p, on_sound, arg);
	}
	t->is_through = is_last && finished;
}

bool tap_is_through(const struct tap *t) { return t->is_through; }
bool tap_is_finished(const struct tap *t) { return atomic_load_explicit(&t->is_finished, memory_order_acquire); }
uint32_t tap_lost_ms(const struct tap *t) { return atomic_load_explicit(&t->lost_ms, memory_order_relaxed); }
