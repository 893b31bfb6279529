/* ear.c - what a session hears, as sound.
 *
 * Most streams need none: a relay doesn't listen. There is one while the session's partner speaks another codec, or
 * while digits must be heard as tones because the peer has no telephone events, or while others hear it in a conference. Packets
 * go into the jitter buffer as they come; each 20 ms two frames are taken out and given to whoever wants them. (A recording has a buffer of its own: tape.c.)
 */
#define LOG_MODULE "media"
#include "media/mixing.h"

#include <stdlib.h>

#include "media/inband.h"
#include "media/jitter.h"
#include "media/hearing.h"
#include "media/resample.h"

struct ear {
	struct jitter *jitter;   /* of the codec heard last; NULL: nothing heard so far */
	struct inband *inband;
	struct resampler *to;    /* to the partner's rate */
	uint32_t from_hz, to_hz;
	int16_t *line;           /* what the partner hears a little later, so that tones can be taken out of it; NULL: at once */
	size_t nline;
};

#define LINE_MS (INBAND_LAG_MS + 20)

static bool transcodes(const struct rtp_session *s)
{
	return s->to && s->rx_codec && s->to->config.codec != s->rx_codec && s->to->config.codec;
}

/* Digits are listened for where an application may want them; a bridge passes them on as the sound they are, unless told otherwise. */
static bool detects(const struct rtp_session *s)
{
	if (!(s->config.dir & STREAM_RECV) || s->config.nrecv == 0 || s->config.hears == STREAM_HEARS_NEVER)
		return false;
	return s->config.hears == STREAM_HEARS_ALWAYS || (s->config.dtmf_recv_pt < 0 && !s->to);
}

/* The partner gets its digits as events or messages: heard as well, they would be there twice. */
static bool filters(const struct rtp_session *s)
{
	return s->config.hears == STREAM_HEARS_ALWAYS && s->to && s->to != s && detects(s) &&
	       (s->to->config.dtmf_send_pt >= 0 || s->to->config.digits_elsewhere);
}

/* A fax machine at the partner's end speaks T.38: its gateway hears what is said here. */
static bool feeds_fax(const struct rtp_session *s)
{
	return s->to && s->to->config.is_udptl && !s->config.is_udptl;
}

static bool speaks(const struct rtp_session *s)
{
	return transcodes(s) || (s->is_filtered && s->to->config.codec);
}

void ear_free(struct rtp_session *s)
{
	struct ear *e = s->ear;

	if (!e)
		return;
	ear_heard(s, &s->heard);
	jitter_free(e->jitter);
	inband_free(e->inband);
	resampler_free(e->to);
	free(e->line);
	free(e);
	s->ear = NULL;
}

void ear_update(struct rtp_session *s)
{
	bool wanted = transcodes(s) || feeds_fax(s) || detects(s) || mixing_listens(s) || s->hearing;

	s->is_filtered = filters(s) || feeds_fax(s);
	if (!wanted) {
		ear_free(s);
	} else if (!s->ear) {
		s->ear = calloc(1, sizeof(*s->ear));
		if (!s->ear)
			log_error(s->worker->log, "no memory, a stream stays deaf");
	}
	rtp_session_update_tick(s);
}

void ear_listen(struct rtp_session *s, unsigned what)
{
	hearing_free(s->hearing);
	s->hearing = what ? hearing_new(what) : NULL;
	if (what && !s->hearing)
		log_error(s->worker->log, "no memory, a stream isn't listened to");
	ear_update(s);
}

void ear_heard(const struct rtp_session *s, struct heard *out)
{
	struct jitter_stats stats = { 0 };

	if (s->ear && s->ear->jitter)
		jitter_get_stats(s->ear->jitter, &stats);
	*out = (struct heard){
		.ms = s->heard.ms + stats.heard_ms,
		.concealed_ms = s->heard.concealed_ms + stats.concealed_ms,
		.recovered_ms = s->heard.recovered_ms + stats.recovered_ms,
		.delay_ms = stats.delay_ms,
	};
}

void ear_source_changed(struct rtp_session *s)
{
	if (s->ear && s->ear->jitter)
		jitter_reset(s->ear->jitter);
}

/* The rate that spares a resampling, where the codec leaves the choice. */
static uint32_t hearing_hz(const struct rtp_session *s, const struct codec *codec)
{
	if (s->seat) /* who hears it in what codec changes: it is all that there is */
		return codec->rate_hz;
	return codec_rate(codec, speaks(s) ? codec_get(s->to->config.codec)->rate_hz : SPEAK_HZ);
}

/* Another codec or rate than before: everything after the jitter buffer is made anew. */
static bool listen_to(struct rtp_session *s, const struct codec *codec)
{
	struct ear *e = s->ear;
	uint32_t rate_hz = hearing_hz(s, codec);

	if (e->jitter && jitter_codec(e->jitter) == codec->id && jitter_rate(e->jitter) == rate_hz &&
	    jitter_is_fixed(e->jitter) == feeds_fax(s))
		return true;
	ear_heard(s, &s->heard);
	jitter_free(e->jitter);
	inband_free(e->inband);
	e->inband = NULL;
	free(e->line);
	e->line = NULL;
	e->jitter = jitter_new(codec->id, rate_hz);
	if (e->jitter && feeds_fax(s))
		jitter_fix(e->jitter, JITTER_DATA_MS);
	return e->jitter != NULL;
}

void ear_packet(struct rtp_session *s, const struct rtp_packet *h, const uint8_t *payload, const struct codec *codec)
{
	if (!s->ear && !transcodes(s))
		return;
	if (!s->ear)
		ear_update(s);
	if (!s->ear || !listen_to(s, codec))
		return;
	if (jitter_put(s->ear->jitter, h->ts, payload, h->len) < 0)
		count_one(&s->worker->count.dropped_malformed);
	rtp_session_update_tick(s);
}

void ear_noise(struct rtp_session *s, const struct rtp_packet *h, uint8_t level)
{
	if (!s->ear || !s->ear->jitter || codec_get(jitter_codec(s->ear->jitter))->clock_hz != 8000)
		return;
	jitter_put_noise(s->ear->jitter, h->ts, level & 0x7f); /* the spectrum that may follow is left to us (RFC 3389 §3.2) */
	rtp_session_update_tick(s);
}

bool ear_needs_tick(const struct rtp_session *s)
{
	/* A digit that sounds when nothing comes any more has an end, too. */
	return s->ear && !s->seat && (s->hearing || (s->ear->jitter &&
	       (!jitter_is_idle(s->ear->jitter) || (s->ear->inband && inband_is_open(s->ear->inband)))));
}

/* Gives 20 ms and takes those of LINE_MS before. What may be of a digit is silenced on its way. */
static bool line_pass(struct ear *e, int16_t *pcm, size_t n, uint32_t rate_hz)
{
	size_t size = (size_t)rate_hz * LINE_MS / 1000;

	if (!e->line) {
		e->line = calloc(size, sizeof(*e->line));
		e->nline = e->line ? size - n : 0;
	}
	if (!e->line)
		return false;
	memcpy(e->line + e->nline, pcm, n * sizeof(*pcm));
	if (e->inband && inband_is_open(e->inband))
		memset(e->line, 0, (e->nline + n) * sizeof(*pcm));
	memcpy(pcm, e->line, n * sizeof(*pcm));
	memmove(e->line, e->line + n, e->nline * sizeof(*pcm));
	return true;
}

static void speak_to_partner(struct rtp_session *s, int16_t *pcm, size_t n, uint32_t rate_hz)
{
	struct ear *e = s->ear;
	struct rtp_session *to = s->to;
	uint32_t to_hz = codec_rate(codec_get(to->config.codec), rate_hz);
	int16_t buf[FRAME_SAMPLES_MAX + 16];

	if (s->is_filtered && !line_pass(e, pcm, n, rate_hz))
		return;
	if (!rtp_session_may_send(to) || digits_pass_pcm(to, pcm, n, rate_hz)) {
		to->tx.resync = true;
		return;
	}
	if (rate_hz != to_hz) {
		if (!e->to || e->from_hz != rate_hz || e->to_hz != to_hz) {
			resampler_free(e->to);
			e->to = resampler_new(rate_hz, to_hz);
			e->from_hz = rate_hz;
			e->to_hz = to_hz;
		}
		if (!e->to)
			return;
		n = resampler_run(e->to, pcm, n, buf, sizeof(buf) / sizeof(buf[0]));
		pcm = buf;
	}
	mouth_speak(to, pcm, n, to_hz);
}

static void detect(struct rtp_session *s, const int16_t *pcm, size_t n, uint32_t rate_hz)
{
	struct dtmf_digit digits[4];
	unsigned ndigits;

	if (!s->ear->inband)
		s->ear->inband = inband_new(rate_hz);
	if (!s->ear->inband)
		return;
	ndigits = inband_run(s->ear->inband, pcm, n, digits, 4);
	for (unsigned i = 0; i < ndigits; i++)
		rtp_session_digit(s, &digits[i], true);
}

static void on_heard(enum stream_heard what, uint32_t lasted_ms, void *arg)
{
	rtp_session_heard(arg, what, lasted_ms);
}

size_t ear_take(struct rtp_session *s, int16_t *pcm, uint32_t *rate_hz)
{
	struct ear *e = s->ear;
	bool heard;
	size_t n;

	if (e && !e->jitter && s->hearing)
		hearing_run(s->hearing, NULL, 0, SPEAK_HZ, on_heard, s);
	if (!e || !e->jitter)
		return 0;
	*rate_hz = jitter_rate(e->jitter);
	n = *rate_hz / 100;
	heard = jitter_get(e->jitter, pcm) != JITTER_IDLE;
	heard |= jitter_get(e->jitter, pcm + n) != JITTER_IDLE;
	n *= 2;
	if (detects(s) && (heard || (e->inband && inband_is_open(e->inband)))) {
		if (!heard)
			memset(pcm, 0, n * sizeof(*pcm));
		detect(s, pcm, n, *rate_hz);
	}
	if (s->hearing)
		hearing_run(s->hearing, heard ? pcm : NULL, n, *rate_hz, on_heard, s);
	if (heard && s->seat && e->inband && inband_is_open(e->inband))
		memset(pcm, 0, n * sizeof(*pcm)); /* a key pressed is for us, not for the others */
	return heard ? n : 0;
}

/* The gateway is given each 10 ms as they are: it knows better what to make of a gap than anything that hides it. */
static void fax_tick(struct rtp_session *s)
{
	int16_t pcm[FRAME_SAMPLES_MAX];
	struct jitter *j = s->ear->jitter;
	size_t n = j ? jitter_rate(j) / 100 : 0;
	bool heard = false, is_sound;

	for (unsigned i = 0; i < 2 && n > 0; i++) {
		is_sound = jitter_get(j, pcm + i * n) == JITTER_SOUND;
		t38_hear(s->to, is_sound ? pcm + i * n : NULL, n, jitter_rate(j));
		heard |= is_sound;
	}
	if (s->hearing)
		hearing_run(s->hearing, heard ? pcm : NULL, 2 * n, n ? jitter_rate(j) : SPEAK_HZ, on_heard, s);
}

void ear_tick(struct rtp_session *s)
{
	int16_t pcm[FRAME_SAMPLES_MAX];
	uint32_t rate_hz;
	size_t n;

	if (s->seat)
		return;
	if (feeds_fax(s)) {
		fax_tick(s);
		return;
	}
	n = ear_take(s, pcm, &rate_hz);
	if (n == 0 && s->to)
		s->to->tx.resync |= speaks(s);
	if (n > 0 && speaks(s))
		speak_to_partner(s, pcm, n, rate_hz);
}
