/* recording.c - what is kept of what a session hears: a recording of its own, when that ends, and what of it was speech, and its share of
 * a call's. The files are recorder.c's, and a reel's, which has a tap here, and another one for what the session says by itself: what
 * it passes on from its partner is that one's to tell.
 *
 * It takes packets as they come, beside the jitter buffer: that one lets go what comes too late to be heard, a recording has time
 * (tape.c).
 */
#define LOG_MODULE "media"
#include "media/media_int.h"

#include <stdlib.h>

#include "media/resample.h"
#include "media/tap.h"
#include "media/tape.h"

#define FRAME_MS 20
#define SAMPLES_MAX (48 * CODEC_FRAME_MAX_MS + 48) /* of a piece of tape, at 48 kHz, and what a resampler held back */
#define SPEECH_HZ 16000        /* what a file is written at when the codec takes any rate */
#define TALK_LEVEL 256 /* mean of |sample|, about -42 dBov: above line noise, below a whisper */

struct recording {
	struct tap *tap;                          /* NULL: no call's recording hears it, */
	struct tap *said;                         /* nor what its peer hears of us */
	struct recorder *recorder;                /* NULL: there is none of its own */
	struct tape *tape;
	struct decoder *decoder;
	enum codec_id codec;                      /* that of the decoder */
	uint32_t max_ms, silence_ms;
	uint64_t nsamples;                        /* in the file */
	int64_t talk, silent;                     /* speech, silence at the end: in TAPE_HZ */
	struct resampler *resampler;              /* after a change of codec */
	uint32_t resampler_hz;
	char stop_digits[STOP_DIGITS_MAX + 1];
};

static uint32_t ms_of(int64_t units) { return (uint32_t)(units / (TAPE_HZ / 1000)); }

static bool is_talk(const int16_t *pcm, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (uint32_t)abs(pcm[i]);
	return sum > n * TALK_LEVEL;
}

/* Brings pcm to the rate of the file. */
static const int16_t *at_file_rate(struct recording *r, const int16_t *pcm, size_t *n, uint32_t rate_hz, int16_t *buf)
{
	uint32_t file_hz = recorder_rate(r->recorder);

	if (rate_hz == file_hz)
		return pcm;
	if (!r->resampler || r->resampler_hz != rate_hz) {
		resampler_free(r->resampler);
		r->resampler = resampler_new(rate_hz, file_hz);
		r->resampler_hz = rate_hz;
		if (!r->resampler)
			return NULL;
	}
	*n = resampler_run(r->resampler, pcm, *n, buf, SAMPLES_MAX);
	return buf;
}

/* Decodes a piece of sound; returns samples at *rate_hz, 0 without memory. */
static size_t decode(struct recording *r, const struct tape_piece *p, int16_t *pcm, uint32_t *rate_hz)
{
	ptrdiff_t n, skip;

	if (r->codec != p->codec) {
		decoder_free(r->decoder);
		r->decoder = decoder_new(p->codec, codec_rate(codec_get(p->codec), recorder_rate(r->recorder)));
		r->codec = r->decoder ? p->codec : CODEC_NONE;
	}
	if (!r->decoder)
		return 0;
	*rate_hz = codec_rate(codec_get(p->codec), recorder_rate(r->recorder));
	n = decoder_run(r->decoder, p->payload, p->len, pcm, SAMPLES_MAX);
	skip = (ptrdiff_t)(p->skip * *rate_hz / TAPE_HZ);
	if (n <= skip)
		return 0;
	memmove(pcm, pcm + skip, (size_t)(n - skip) * sizeof(*pcm));
	return (size_t)(n - skip);
}

/* The file never gets longer than it may. */
static int write_samples(struct recording *r, const int16_t *pcm, size_t n)
{
	uint64_t max = (uint64_t)r->max_ms * recorder_rate(r->recorder) / 1000;

	if (r->max_ms && n > max - r->nsamples)
		n = (size_t)(max - r->nsamples);
	r->nsamples += n;
	return n ? recorder_write(r->recorder, pcm, n) : 0;
}

static int write_piece(struct recording *r, const struct tape_piece *p)
{
	static const int16_t silence[SAMPLES_MAX];
	int64_t file_hz = recorder_rate(r->recorder);
	int16_t pcm[SAMPLES_MAX], buf[SAMPLES_MAX];
	const int16_t *out = NULL;
	uint32_t rate_hz = 0;
	size_t n = p->codec != CODEC_NONE ? decode(r, p, pcm, &rate_hz) : 0;

	if (n > 0 && is_talk(pcm, n)) {
		r->talk += p->end - p->pos;
		r->silent = 0;
	} else {
		r->silent += p->end - p->pos;
	}
	if (n > 0)
		out = at_file_rate(r, pcm, &n, rate_hz, buf);
	if (!out) {
		out = silence;
		n = (size_t)(p->end * file_hz / TAPE_HZ - p->pos * file_hz / TAPE_HZ);
	}
	return write_samples(r, out, n);
}

/* Nothing that has come is left out, and it lasts until now. */
static enum record_end take_rest(struct recording *r, enum record_end end)
{
	struct tape_piece p;

	while (end != RECORD_FAILED && end != RECORD_SILENCE && tape_take(r->tape, true, &p)) {
		if (write_piece(r, &p) < 0)
			end = RECORD_FAILED;
	}
	return end;
}

bool recording_needs_tick(const struct rtp_session *s)
{
	return s->recording && s->recording->recorder;
}

static void free_unused(struct rtp_session *s)
{
	if (!s->recording->recorder && !s->recording->tap && !s->recording->said) {
		free(s->recording);
		s->recording = NULL;
	}
	rtp_session_update_tick(s);
}

static struct recording *recording_get(struct rtp_session *s)
{
	if (!s->recording)
		s->recording = calloc(1, sizeof(*s->recording));
	return s->recording;
}

void recording_stop(struct rtp_session *s, enum record_end end)
{
	struct recording *r = s->recording;

	if (!r || !r->recorder)
		return;
	end = take_rest(r, end);
	recorder_finish(r->recorder, end, ms_of(r->talk));
	tape_free(r->tape);
	decoder_free(r->decoder);
	resampler_free(r->resampler);
	*r = (struct recording){ .tap = r->tap, .said = r->said };
	free_unused(s);
}

void recording_tap(struct rtp_session *s, struct tap *tap)
{
	uint64_t now_us = s->worker->now_us;
	struct recording *r = tap ? recording_get(s) : s->recording;

	if (!r) {
		if (tap)
			tap_finish(tap, now_us);
		return;
	}
	if (r->tap)
		tap_finish(r->tap, now_us);
	if (r->said)
		tap_finish(r->said, now_us);
	r->tap = tap;
	r->said = NULL;
	free_unused(s);
}

void recording_tap_said(struct rtp_session *s, struct tap *tap)
{
	struct recording *r = recording_get(s);

	if (!r) {
		tap_finish(tap, s->worker->now_us);
		return;
	}
	if (r->said)
		tap_finish(r->said, s->worker->now_us);
	r->said = tap;
}

void recording_said(struct rtp_session *s, const struct rtp_packet *h, const uint8_t *payload, size_t len)
{
	if (s->recording->said)
		tap_packet(s->recording->said, s->worker->now_us, s->config.codec, h->ts, payload, len);
}

void recording_start(struct rtp_session *s, struct command *c)
{
	const struct codec *codec = codec_get(s->rx_codec ? s->rx_codec : s->config.recv[0].codec);
	struct recording *r;
	struct tape *tape;

	recording_stop(s, RECORD_STOPPED);
	r = recording_get(s);
	tape = r ? tape_new() : NULL;
	if (!tape) {
		if (r)
			free_unused(s);
		recorder_finish(c->record->recorder, RECORD_FAILED, 0);
		return;
	}
	r->recorder = c->record->recorder;
	r->tape = tape;
	r->max_ms = c->record->max_ms;
	r->silence_ms = c->record->silence_ms;
	memcpy(r->stop_digits, c->record->stop_digits, sizeof(r->stop_digits));
	recorder_open(r->recorder, codec_rate(codec, SPEECH_HZ));
	rtp_session_update_tick(s);
}

void recording_digit(struct rtp_session *s, char digit)
{
	if (recording_needs_tick(s) && digit && strchr(s->recording->stop_digits, digit))
		recording_stop(s, RECORD_DIGIT);
}

/* Writes what is due, and ends the recording when it is time. */
static void go_on(struct rtp_session *s)
{
	struct recording *r = s->recording;
	struct tape_piece p;

	while (tape_take(r->tape, false, &p)) {
		if (write_piece(r, &p) < 0) {
			recording_stop(s, RECORD_FAILED);
			return;
		}
		if (r->silence_ms && ms_of(r->silent) >= r->silence_ms) {
			recording_stop(s, RECORD_SILENCE);
			return;
		}
	}
	if (r->max_ms && ms_of(tape_present(r->tape)) >= r->max_ms)
		recording_stop(s, RECORD_LIMIT);
}

void recording_packet(struct rtp_session *s, const struct rtp_packet *h, const uint8_t *payload, const struct codec *codec)
{
	struct recording *r = s->recording;

	if (r->tap)
		tap_packet(r->tap, s->worker->now_us, codec->id, h->ts, payload, h->len);
	if (r->recorder && tape_put(r->tape, codec->id, h->ts, payload, h->len) == 0)
		go_on(s);
}

void recording_source_changed(struct rtp_session *s)
{
	struct recording *r = s->recording;

	if (r && r->tap)
		tap_reset(r->tap, s->worker->now_us);
	if (r && r->recorder)
		tape_reset(r->tape);
}

void recording_tick(struct rtp_session *s)
{
	tape_pass(s->recording->tape, FRAME_MS);
	go_on(s);
}
