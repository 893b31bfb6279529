/* mouth.c - sound made by the worker (transcoded, tones, digits as tones) into packets of the agreed codec and length.
 */
#define LOG_MODULE "media"
#include "media/media_int.h"

#include <stdlib.h>

#define PAYLOAD_MAX (2 * 960 + 640) /* 60 ms of L16 at 16 kHz, and a frame more */

struct mouth {
	enum codec_id codec;
	struct encoder *encoder;
	size_t len;              /* encoded, not yet sent */
	uint8_t packet[RTP_HEADER_LEN + PAYLOAD_MAX];
};

void mouth_free(struct rtp_session *s)
{
	if (!s->mouth)
		return;
	encoder_free(s->mouth->encoder);
	free(s->mouth);
	s->mouth = NULL;
}

static bool mouth_open(struct rtp_session *s)
{
	if (s->mouth && s->mouth->codec == s->config.codec)
		return true;
	mouth_free(s);
	s->mouth = calloc(1, sizeof(*s->mouth));
	if (!s->mouth)
		return false;
	s->mouth->codec = s->config.codec;
	s->mouth->encoder = encoder_new(s->config.codec);
	if (s->mouth->encoder)
		return true;
	mouth_free(s);
	return false;
}

void mouth_send(struct rtp_session *s, uint8_t *packet, size_t payload_len)
{
	const struct codec *codec = codec_get(s->config.codec);
	uint32_t duration = (uint32_t)(payload_len * codec->clock_hz / (100u * codec->bytes_per_10ms));
	struct rtp_packet h = { .pt = s->config.send_pt };

	if (!rtp_session_may_send(s)) {
		s->tx.resync = true;
		return;
	}
	rtp_tx_next(&s->tx, s->worker->now_us, duration, &h);
	rtp_print(packet, &h);
	rtp_session_send(s, packet, RTP_HEADER_LEN + payload_len, payload_len);
}

void mouth_speak(struct rtp_session *s, const int16_t *pcm, size_t nsamples)
{
	const struct codec *codec = codec_get(s->config.codec);
	size_t want = (size_t)codec->bytes_per_10ms * s->config.ptime_ms / 10;
	struct mouth *m;

	if (want == 0 || !mouth_open(s))
		return;
	m = s->mouth;
	if (m->len + nsamples * codec->bytes_per_10ms / (codec->rate_hz / 100) > PAYLOAD_MAX)
		m->len = 0; /* ptime has shrunk under way */
	m->len += encoder_run(m->encoder, pcm, nsamples, m->packet + RTP_HEADER_LEN + m->len);
	while (m->len >= want) {
		uint8_t *payload = m->packet + RTP_HEADER_LEN;

		mouth_send(s, m->packet, want);
		m->len -= want;
		memmove(payload, payload + want, m->len);
	}
}
