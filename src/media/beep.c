/* beep.c - the beep that tells of a recording (see beep.h).
 *
 * Codecs whose samples stand alone (G.711, L16) are added to where the packet lies: decoded, summed, coded again. What else passes in coded
 * form is held back, as for a digit, and the tick speaks the tone. When nothing has passed for longer than a packet lasts, the tick speaks as
 * well: so who is on hold without music hears it too.
 */
#include "media/beep.h"

#include <spandsp.h>
#include <stdlib.h>

#include "media/media_int.h"

#define TICK_MS 20
#define LONGEST_MS 1000        /* whatever becomes of what it was added to */
#define ADD_MAX 2048           /* samples of a payload */

struct beep {
	struct rtp_session *s;
	uint32_t every_ms;
	struct timer timer;    /* the next */
	struct tonegen tone;   /* n 0: it is quiet */
	bool holds;            /* what would pass is held back */
	uint64_t next_us, begun_us, passed_us; /* when the next is due, this one began, it was added to something last */
};

static void begin(void *arg)
{
	struct beep *b = arg;
	struct rtp_session *s = b->s;

	tonegen_init(&b->tone, &BEEP_TONE, 1, mouth_rate(s));
	b->tone.once = true;
	b->holds = false;
	b->begun_us = b->passed_us = s->worker->now_us;
	b->next_us = b->begun_us + (uint64_t)b->every_ms * 1000;
	if (b->every_ms)
		timer_start(s->worker->timers, &b->timer, b->every_ms);
	rtp_session_update_tick(s);
}

struct beep *beep_new(struct rtp_session *s, uint32_t every_ms)
{
	struct beep *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->s = s;
	b->every_ms = every_ms;
	timer_init(&b->timer, begin, b);
	begin(b);
	return b;
}

void beep_free(struct beep *b)
{
	beep_detach(b);
	free(b);
}

void beep_attach(struct beep *b)
{
	uint64_t now_us = b ? b->s->worker->now_us : 0;

	if (b && b->every_ms)
		timer_start(b->s->worker->timers, &b->timer, b->next_us > now_us ? (b->next_us - now_us) / 1000 : 0);
}

void beep_detach(struct beep *b)
{
	if (b)
		timer_stop(b->s->worker->timers, &b->timer);
}

bool beep_is_sounding(const struct beep *b)
{
	return b && b->tone.n > 0;
}

void beep_add_pcm(struct beep *b, int16_t *pcm, size_t nsamples, uint32_t rate_hz)
{
	int16_t tone[ADD_MAX];

	if (nsamples > ADD_MAX)
		return;
	if (b->tone.rate_hz != rate_hz)
		tonegen_set_rate(&b->tone, rate_hz);
	tonegen_run(&b->tone, tone, nsamples);
	for (size_t i = 0; i < nsamples; i++)
		pcm[i] = saturate(pcm[i] + tone[i]);
	b->passed_us = b->s->worker->now_us;
}

static uint32_t l16_rate(enum codec_id codec)
{
	return codec == CODEC_L16 || codec == CODEC_L16_8 || codec == CODEC_L16_48 ? codec_get(codec)->rate_hz : 0;
}

static int16_t sample_get(enum codec_id codec, const uint8_t *p)
{
	return codec == CODEC_PCMU ? ulaw_to_linear(*p) : codec == CODEC_PCMA ? alaw_to_linear(*p) : (int16_t)(p[0] << 8 | p[1]);
}

static void sample_put(enum codec_id codec, uint8_t *p, int16_t sample)
{
	if (codec == CODEC_PCMU) {
		*p = linear_to_ulaw(sample);
	} else if (codec == CODEC_PCMA) {
		*p = linear_to_alaw(sample);
	} else {
		p[0] = (uint8_t)((uint16_t)sample >> 8);
		p[1] = (uint8_t)sample;
	}
}

bool beep_add(struct beep *b, enum codec_id codec, uint8_t *payload, size_t len)
{
	uint32_t rate_hz = codec == CODEC_PCMU || codec == CODEC_PCMA ? 8000 : l16_rate(codec);
	size_t bytes = l16_rate(codec) ? 2 : 1;
	int16_t pcm[ADD_MAX];

	b->holds = !rate_hz || len / bytes > ADD_MAX;
	if (b->holds)
		return false;
	for (size_t i = 0; i < len / bytes; i++)
		pcm[i] = sample_get(codec, payload + i * bytes);
	beep_add_pcm(b, pcm, len / bytes, rate_hz);
	for (size_t i = 0; i < len / bytes; i++)
		sample_put(codec, payload + i * bytes, pcm[i]);
	return true;
}

void beep_tick(struct beep *b)
{
	struct rtp_session *s = b->s;
	uint64_t now_us = s->worker->now_us;
	uint32_t rate_hz = mouth_rate(s);
	int16_t pcm[FRAME_SAMPLES_MAX];

	if (now_us - b->begun_us > LONGEST_MS * 1000)
		b->tone.n = 0;
	if (b->tone.n == 0 || (!b->holds && now_us - b->passed_us < (s->config.ptime_ms + 2u * TICK_MS) * 1000))
		return;
	if (b->tone.rate_hz != rate_hz)
		tonegen_set_rate(&b->tone, rate_hz);
	tonegen_run(&b->tone, pcm, rate_hz / 1000 * TICK_MS);
	mouth_speak(s, pcm, rate_hz / 1000 * TICK_MS, rate_hz);
	if (b->tone.n == 0)
		s->tx.resync = true; /* what was held back is no gap in time */
}
