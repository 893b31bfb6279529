/* source.c - what a session sends: its partner's media, its own echo, or nothing, and digits beside it.
 *
 * The numbering towards the peer (struct rtp_tx) outlives every source; changing the source only tells it that a new
 * talk spurt begins.
 */
#define LOG_MODULE "media"
#include "media/media_int.h"

#include <stdlib.h>

/* s no longer gets media from its partner. */
static void unfeed(struct session *s)
{
	struct session *from = s->from;

	if (!from)
		return;
	s->from = NULL;
	from->to = NULL;
	s->event_open = false;
	rtp_tx_resync(&s->tx);
}

static void feed(struct session *from, struct session *to)
{
	from->to = to;
	to->from = from;
}

void source_none(struct session *s)
{
	unfeed(s);
	rtp_tx_resync(&s->tx);
	session_update_tick(s);
}

void source_unbridge(struct session *s)
{
	if (s->to)
		unfeed(s->to);
	unfeed(s);
}

void source_bridge(struct session *a, struct session *b)
{
	if (a->from == b && a->to == b)
		return;
	source_unbridge(a);
	source_unbridge(b);
	source_none(a);
	source_none(b);
	feed(a, b);
	feed(b, a);
}

void source_echo(struct session *s)
{
	if (s->to)
		unfeed(s->to);
	source_none(s);
	feed(s, s);
}

/* ---- digits ---- */

void source_send_digit(struct session *s, char digit, uint32_t ms)
{
	if (!s->digit_out) {
		s->digit_out = calloc(1, sizeof(*s->digit_out));
		if (!s->digit_out) {
			log_error(s->worker->log, "no memory, a digit is lost");
			return;
		}
	}
	if (dtmf_out_add(s->digit_out, digit, ms) < 0)
		log_debug(s->worker->log, "a digit is dropped: not one, or too many wait");
	session_update_tick(s);
}

static void digit_send(struct session *s, const struct dtmf_event *e, bool first)
{
	uint8_t packet[RTP_HEADER_LEN + DTMF_PAYLOAD_LEN];
	struct rtp_packet h = { .pt = (uint8_t)s->config.dtmf_send_pt, .marker = first, .ts = s->digit_out_ts };

	if (s->config.dtmf_send_pt < 0 || !session_may_send(s))
		return;
	rtp_tx_next_event(&s->tx, &h);
	rtp_print(packet, &h);
	dtmf_print(packet + RTP_HEADER_LEN, e);
	session_send(s, packet, sizeof(packet), DTMF_PAYLOAD_LEN);
}

static void digit_tick(struct session *s)
{
	struct dtmf_event e;

	s->digit_half = !s->digit_half;
	if (!s->digit_half)
		return;
	switch (dtmf_out_next(s->digit_out, s->config.dtmf_clock_hz, &e)) {
	case DTMF_STEP_NONE:
	case DTMF_STEP_WAIT: break;
	case DTMF_STEP_FIRST:
		s->digit_out_ts = rtp_tx_ts(&s->tx, s->worker->now_us);
		digit_send(s, &e, true);
		break;
	case DTMF_STEP_MORE: digit_send(s, &e, false); break;
	case DTMF_STEP_SEGMENT:
		digit_send(s, &e, false);
		s->digit_out_ts += e.duration;
		break;
	}
	/* The audio held back meanwhile is no gap in time: what goes on is a new talk spurt. */
	if (dtmf_out_is_sounding(s->digit_out))
		s->tx.resync = true;
}

static bool digit_is_pending(const struct session *s)
{
	return s->digit_out && (s->digit_out->count > 0 || s->digit_out->state != DTMF_OUT_IDLE);
}

bool source_is_sounding(const struct session *s)
{
	return s->digit_out && dtmf_out_is_sounding(s->digit_out);
}

/* ---- ticks ---- */

bool source_needs_tick(const struct session *s)
{
	return digit_is_pending(s);
}

void source_tick(struct session *s)
{
	if (digit_is_pending(s))
		digit_tick(s);
}

void source_configured(struct session *s)
{
	(void)s;
}
