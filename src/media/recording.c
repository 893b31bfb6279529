/* recording.c - a session's recording: when it ends, and what of it was speech. The file is recorder.c's.
 */
#define LOG_MODULE "media"
#include "media/media_int.h"

#include <stdlib.h>

#include "media/resample.h"

#define FRAME_MS 20
#define FRAME_SAMPLES_MAX 320
#define TALK_LEVEL 256 /* mean of |sample|, about -42 dBov: above line noise, below a whisper */

struct recording {
	struct recorder *recorder;
	uint32_t max_ms, silence_ms;
	uint32_t duration_ms, talk_ms, silent_ms; /* all, speech, silence at the end */
	struct resampler *resampler;              /* after a change of codec */
	uint32_t resampler_hz;
	char stop_digits[STOP_DIGITS_MAX + 1];
};

void recording_stop(struct rtp_session *s, enum record_end end)
{
	struct recording *r = s->recording;

	if (!r)
		return;
	s->recording = NULL;
	recorder_finish(r->recorder, end, r->talk_ms);
	resampler_free(r->resampler);
	free(r);
	ear_update(s);
}

void recording_start(struct rtp_session *s, struct command *c)
{
	const struct codec *codec = codec_get(s->rx_codec ? s->rx_codec : s->config.recv[0].codec);
	struct recording *r = calloc(1, sizeof(*r));

	recording_stop(s, RECORD_STOPPED);
	if (!r) {
		recorder_finish(c->record.recorder, RECORD_FAILED, 0);
		return;
	}
	r->recorder = c->record.recorder;
	r->max_ms = c->record.max_ms;
	r->silence_ms = c->record.silence_ms;
	memcpy(r->stop_digits, c->record.stop_digits, sizeof(r->stop_digits));
	recorder_open(r->recorder, codec->rate_hz);
	s->recording = r;
	ear_update(s);
}

void recording_digit(struct rtp_session *s, char digit)
{
	if (s->recording && digit && strchr(s->recording->stop_digits, digit))
		recording_stop(s, RECORD_DIGIT);
}

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
	*n = resampler_run(r->resampler, pcm, *n, buf, FRAME_SAMPLES_MAX);
	return buf;
}

void recording_frame(struct rtp_session *s, const int16_t *pcm, size_t nsamples, uint32_t rate_hz)
{
	static const int16_t silence[FRAME_SAMPLES_MAX];
	struct recording *r = s->recording;
	int16_t buf[FRAME_SAMPLES_MAX];

	if (pcm && is_talk(pcm, nsamples)) {
		r->talk_ms += FRAME_MS;
		r->silent_ms = 0;
	} else {
		r->silent_ms += FRAME_MS;
	}
	pcm = pcm ? at_file_rate(r, pcm, &nsamples, rate_hz, buf) : NULL;
	if (!pcm) {
		pcm = silence;
		nsamples = recorder_rate(r->recorder) * FRAME_MS / 1000;
	}
	if (recorder_write(r->recorder, pcm, nsamples) < 0) {
		recording_stop(s, RECORD_FAILED);
		return;
	}
	r->duration_ms += FRAME_MS;
	if (r->max_ms && r->duration_ms >= r->max_ms)
		recording_stop(s, RECORD_LIMIT);
	else if (r->silence_ms && r->silent_ms >= r->silence_ms)
		recording_stop(s, RECORD_SILENCE);
}
