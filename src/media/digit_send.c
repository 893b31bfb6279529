/* digit_send.c - what a session sends beside its source: digits, as telephone events, or as tones to a peer that takes none; and the beep
 * that tells of a recording (beep.h).
 */
#define LOG_MODULE "media"
#include "media/media_int.h"

#include <stdlib.h>

#include "media/beep.h"

struct digit_sender {
	struct dtmf_out out;
	uint32_t ts;             /* of the event being sent */
	struct tonegen tone;     /* or what it sounds like */
	struct beep *beep;       /* NULL: none */
};

static struct digit_sender *sender_of(struct rtp_session *s)
{
	if (!s->digits)
		s->digits = calloc(1, sizeof(*s->digits));
	return s->digits;
}

void digits_add(struct rtp_session *s, char digit, uint32_t ms)
{
	if (!sender_of(s)) {
		log_error(s->worker->log, "no memory, a digit is lost");
		return;
	}
	if (dtmf_out_add(&s->digits->out, digit, ms) < 0)
		log_debug(s->worker->log, "a digit is dropped: not one, or too many wait");
	rtp_session_update_tick(s);
}

void digits_free(struct rtp_session *s)
{
	if (s->digits)
		beep_free(s->digits->beep);
	free(s->digits);
	s->digits = NULL;
}

static bool has_digits(const struct rtp_session *s)
{
	return s->digits->out.count > 0 || s->digits->out.state != DTMF_OUT_IDLE;
}

bool digits_are_pending(const struct rtp_session *s)
{
	return s->digits && (has_digits(s) || beep_is_sounding(s->digits->beep));
}

/* ---- the beep ---- */

void digits_beep(struct rtp_session *s, uint32_t every_ms)
{
	struct digit_sender *d = every_ms == UINT32_MAX ? s->digits : sender_of(s);

	if (d) {
		beep_free(d->beep);
		d->beep = NULL; /* a new one looks at what sounds as it begins */
		if (every_ms != UINT32_MAX)
			d->beep = beep_new(s, every_ms);
	}
	if (every_ms != UINT32_MAX && (!d || !d->beep))
		log_error(s->worker->log, "no memory, a recording isn't told of by a beep");
	rtp_session_update_tick(s);
}

void digits_attach(struct rtp_session *s)
{
	if (s->digits)
		beep_attach(s->digits->beep);
}

void digits_detach(struct rtp_session *s)
{
	if (s->digits)
		beep_detach(s->digits->beep);
}

bool digits_pass(struct rtp_session *s, enum codec_id codec, uint8_t *payload, size_t len)
{
	return digits_are_sounding(s) || (beep_is_sounding(s->digits->beep) && !beep_add(s->digits->beep, codec, payload, len));
}

bool digits_pass_pcm(struct rtp_session *s, int16_t *pcm, size_t nsamples, uint32_t rate_hz)
{
	if (!s->digits)
		return false;
	if (digits_are_sounding(s))
		return true;
	if (beep_is_sounding(s->digits->beep))
		beep_add_pcm(s->digits->beep, pcm, nsamples, rate_hz);
	return false;
}

bool digits_are_sounding(const struct rtp_session *s)
{
	return s->digits && dtmf_out_is_sounding(&s->digits->out);
}

static void event_send(struct rtp_session *s, const struct dtmf_event *e, bool first)
{
	uint8_t packet[RTP_HEADER_LEN + DTMF_PAYLOAD_LEN];
	struct rtp_packet h = { .pt = (uint8_t)s->config.dtmf_send_pt, .marker = first, .ts = s->digits->ts };

	if (!rtp_session_may_send(s))
		return;
	rtp_tx_next_event(&s->tx, &h);
	rtp_print(packet, &h);
	dtmf_print(packet + RTP_HEADER_LEN, e);
	rtp_session_send(s, packet, sizeof(packet), DTMF_PAYLOAD_LEN);
}

static void tone_send(struct rtp_session *s, const struct dtmf_event *e, bool first)
{
	struct digit_sender *d = s->digits;
	int16_t pcm[FRAME_SAMPLES_MAX];

	if (first)
		tonegen_init_digit(&d->tone, dtmf_digit_of(e->event), d->out.total_ms, mouth_rate(s));
	if (d->tone.n == 0) /* its repeated ends are silent */
		return;
	if (d->tone.rate_hz != mouth_rate(s)) /* the codec has changed under way */
		tonegen_set_rate(&d->tone, mouth_rate(s));
	tonegen_run(&d->tone, pcm, d->tone.rate_hz * DTMF_STEP_MS / 1000);
	mouth_speak(s, pcm, d->tone.rate_hz * DTMF_STEP_MS / 1000, d->tone.rate_hz);
}

void digits_tick(struct rtp_session *s)
{
	struct digit_sender *d = s->digits;
	struct dtmf_event e;
	bool as_event = s->config.dtmf_send_pt >= 0;
	enum dtmf_out_step step;

	if (beep_is_sounding(d->beep) && !digits_are_sounding(s))
		beep_tick(d->beep);
	if (!has_digits(s))
		return;
	step = dtmf_out_next(&d->out, s->config.dtmf_clock_hz, &e);
	if (step == DTMF_STEP_NONE || step == DTMF_STEP_WAIT)
		return;
	if (step == DTMF_STEP_FIRST)
		d->ts = rtp_tx_ts(&s->tx, s->worker->now_us);
	if (as_event)
		event_send(s, &e, step == DTMF_STEP_FIRST);
	else
		tone_send(s, &e, step == DTMF_STEP_FIRST);
	if (step == DTMF_STEP_SEGMENT)
		d->ts += e.duration;
	/* The audio held back meanwhile is no gap in time: what goes on is a new talk spurt. */
	if (!dtmf_out_is_sounding(&d->out) && d->out.ends == 1)
		s->tx.resync = true;
}
