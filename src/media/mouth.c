/* mouth.c - sound made by the worker (transcoded, tones, digits as tones) into packets of the agreed codec and length.
 *
 * Sound is gathered until there is a packet of it; that is encoded whole, as the codecs with frames of their own need it.
 */
#define LOG_MODULE "media"
#include "media/media_int.h"

#include <stdlib.h>

#define GATHER_MS 80           /* the longest packet, and a frame more */

struct mouth {
	enum codec_id codec;
	uint32_t rate_hz;
	struct encoder *encoder;
	size_t n, size;          /* samples gathered, and room for them */
	int16_t pcm[];
};

void mouth_free(struct rtp_session *s)
{
	if (!s->mouth)
		return;
	encoder_free(s->mouth->encoder);
	free(s->mouth);
	s->mouth = NULL;
}

void mouth_tune(struct rtp_session *s)
{
	if (s->mouth)
		encoder_tune(s->mouth->encoder, &s->opus, s->remote_loss * 100u / 256);
}

uint32_t mouth_rate(const struct rtp_session *s)
{
	bool is_open = s->mouth && s->mouth->codec == s->config.codec;

	return codec_rate(codec_get(s->config.codec), is_open ? s->mouth->rate_hz : SPEAK_HZ);
}

static bool mouth_open(struct rtp_session *s, uint32_t rate_hz)
{
	size_t size = (size_t)rate_hz / 1000 * GATHER_MS;

	if (s->mouth && s->mouth->codec == s->config.codec && s->mouth->rate_hz == rate_hz)
		return true;
	mouth_free(s);
	s->mouth = malloc(sizeof(*s->mouth) + size * sizeof(s->mouth->pcm[0]));
	if (!s->mouth)
		return false;
	*s->mouth = (struct mouth){ .codec = s->config.codec, .rate_hz = rate_hz, .size = size };
	s->mouth->encoder = encoder_new(s->config.codec, rate_hz);
	if (!s->mouth->encoder) {
		mouth_free(s);
		return false;
	}
	mouth_tune(s);
	return true;
}

void mouth_send(struct rtp_session *s, uint8_t *packet, size_t payload_len, uint32_t units)
{
	struct rtp_packet h = { .pt = s->config.send_pt };

	if (!rtp_session_may_send(s)) {
		s->tx.resync = true;
		return;
	}
	rtp_tx_next(&s->tx, s->worker->now_us, units, &h);
	if (s->recording && !s->from)
		recording_said(s, &h, packet + RTP_HEADER_LEN, payload_len);
	rtp_print(packet, &h);
	rtp_session_send(s, packet, RTP_HEADER_LEN + payload_len, payload_len);
}

/* Encodes the first n samples of what is gathered. */
static void send_gathered(struct rtp_session *s, size_t n)
{
	const struct codec *codec = codec_get(s->config.codec);
	struct mouth *m = s->mouth;
	uint8_t packet[RTP_HEADER_LEN + CODEC_PAYLOAD_MAX];
	size_t len = encoder_run(m->encoder, m->pcm, n, packet + RTP_HEADER_LEN, CODEC_PAYLOAD_MAX);

	m->n -= n;
	memmove(m->pcm, m->pcm + n, m->n * sizeof(m->pcm[0]));
	if (len)
		mouth_send(s, packet, len, (uint32_t)(n * codec->clock_hz / m->rate_hz));
	else
		s->tx.resync = true; /* a pause, by the encoder's judgement: what follows begins a talk spurt */
}

void mouth_speak(struct rtp_session *s, const int16_t *pcm, size_t nsamples, uint32_t rate_hz)
{
	size_t want = (size_t)rate_hz / 1000 * s->config.ptime_ms;
	struct mouth *m;

	if (want == 0 || !s->config.codec || !mouth_open(s, rate_hz))
		return;
	m = s->mouth;
	if (m->n + nsamples > m->size)
		m->n = 0; /* ptime has shrunk under way */
	memcpy(m->pcm + m->n, pcm, nsamples * sizeof(*pcm));
	m->n += nsamples;
	while (m->n >= want)
		send_gathered(s, want);
}
