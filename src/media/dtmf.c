/* dtmf.c - RFC 4733 telephone events in and out (see dtmf.h).
 */
#include "media/dtmf.h"

#include <errno.h>
#include <string.h>

static const char digits[16] = "0123456789*#ABCD";

int dtmf_parse(struct dtmf_event *out, const uint8_t *p, size_t n)
{
	if (n < DTMF_PAYLOAD_LEN)
		return -EBADMSG;
	/* More than one event in a packet (RFC 2833 redundancy) is legal; the first is the current one. */
	*out = (struct dtmf_event){
		.event = p[0],
		.end = p[1] >> 7,
		.volume = p[1] & 0x3f,
		.duration = (uint16_t)(p[2] << 8 | p[3]),
	};
	return 0;
}

void dtmf_print(uint8_t p[DTMF_PAYLOAD_LEN], const struct dtmf_event *e)
{
	p[0] = e->event;
	p[1] = (uint8_t)(e->end << 7 | (e->volume & 0x3f));
	p[2] = (uint8_t)(e->duration >> 8);
	p[3] = (uint8_t)e->duration;
}

int dtmf_event_of(char digit)
{
	const char *at;

	if (digit >= 'a' && digit <= 'd')
		digit = (char)(digit - 'a' + 'A');
	at = digit ? memchr(digits, digit, sizeof(digits)) : NULL;
	return at ? (int)(at - digits) : -1;
}

char dtmf_digit_of(uint8_t event)
{
	return event < sizeof(digits) ? digits[event] : 0;
}

/* ---- receiver ---- */

static int in_close(struct dtmf_in *d, uint32_t clock_hz, struct dtmf_digit *out)
{
	uint64_t units = (uint64_t)d->before + d->duration;

	if (!d->open)
		return 0;
	d->open = false;
	*out = (struct dtmf_digit){ dtmf_digit_of(d->event), (uint32_t)(units * 1000 / clock_hz) };
	return 1;
}

int dtmf_in_packet(struct dtmf_in *d, const struct dtmf_event *e, uint32_t ts, uint32_t clock_hz, uint64_t now_us,
		   struct dtmf_digit out[2])
{
	int n = 0;

	if (!dtmf_digit_of(e->event))
		return 0; /* flash hook and the like: not digits */
	if (d->seen && (int32_t)(ts - d->ts) < 0)
		return 0; /* a straggler of an earlier event */
	if (d->seen && ts == d->ts && !d->open)
		return 0; /* repeated end packet */

	if (d->open && ts != d->ts && e->event == d->event && ts - d->ts == d->duration && d->duration == 0xffff) {
		d->before += d->duration; /* a long digit goes on in its next segment */
		d->ts = ts;
		d->duration = 0;
	} else if (!d->seen || ts != d->ts) {
		n += in_close(d, clock_hz, &out[n]); /* its end packets all got lost */
		*d = (struct dtmf_in){ .open = true, .seen = true, .event = e->event, .ts = ts };
	}
	d->last_us = now_us;
	if (e->duration > d->duration)
		d->duration = e->duration;
	if (e->end)
		n += in_close(d, clock_hz, &out[n]);
	return n;
}

int dtmf_in_expire(struct dtmf_in *d, uint32_t clock_hz, uint64_t now_us, struct dtmf_digit *out)
{
	if (!d->open || now_us - d->last_us < DTMF_LOST_END_MS * 1000)
		return 0;
	return in_close(d, clock_hz, out);
}

int dtmf_in_reset(struct dtmf_in *d, uint32_t clock_hz, struct dtmf_digit *out)
{
	int n = in_close(d, clock_hz, out);

	d->seen = false;
	return n;
}

/* ---- sender ---- */

int dtmf_out_add(struct dtmf_out *d, char digit, uint32_t ms)
{
	int event = dtmf_event_of(digit);
	unsigned at = (d->head + d->count) % DTMF_QUEUE;

	if (event < 0)
		return -EINVAL;
	if (d->count == DTMF_QUEUE)
		return -ENOBUFS;
	if (ms < DTMF_MIN_MS)
		ms = DTMF_MIN_MS;
	if (ms > 10000)
		ms = 10000;
	d->queue[at].event = (uint8_t)event;
	d->queue[at].ms = (uint16_t)ms;
	d->count++;
	return 0;
}

static void out_fill(const struct dtmf_out *d, uint32_t clock_hz, bool end, struct dtmf_event *e)
{
	*e = (struct dtmf_event){
		.event = d->queue[d->head].event,
		.volume = 10, /* dBm0 below zero, §2.3.3 */
		.end = end,
		.duration = (uint16_t)((d->ms - d->base_ms) * (uint64_t)clock_hz / 1000),
	};
}

/* The digit goes on for one more step. */
static enum dtmf_out_step out_tone(struct dtmf_out *d, uint32_t clock_hz, struct dtmf_event *e)
{
	bool first = d->ms == 0, last;

	/* The duration field holds 65535 units: past that the event goes on as a new segment, §2.5.1.3. */
	if ((uint64_t)(d->ms + DTMF_STEP_MS - d->base_ms) * clock_hz / 1000 > 0xffff) {
		out_fill(d, clock_hz, false, e);
		e->duration = 0xffff;
		d->base_ms = d->ms;
		return DTMF_STEP_SEGMENT;
	}
	d->ms += DTMF_STEP_MS;
	last = d->ms >= d->total_ms;
	if (last)
		d->ms = d->total_ms;
	out_fill(d, clock_hz, last, e);
	if (last) {
		d->state = DTMF_OUT_END;
		d->ends = 1;
	}
	return first ? DTMF_STEP_FIRST : DTMF_STEP_MORE;
}

enum dtmf_out_step dtmf_out_next(struct dtmf_out *d, uint32_t clock_hz, struct dtmf_event *e)
{
	switch (d->state) {
	case DTMF_OUT_IDLE:
		if (d->count == 0)
			return DTMF_STEP_NONE;
		d->state = DTMF_OUT_TONE;
		d->ms = d->base_ms = 0;
		d->total_ms = d->queue[d->head].ms;
		return out_tone(d, clock_hz, e);
	case DTMF_OUT_TONE:
		return out_tone(d, clock_hz, e);
	case DTMF_OUT_END:
		out_fill(d, clock_hz, true, e);
		if (++d->ends == 3) {
			d->state = DTMF_OUT_GAP;
			d->ms = 2 * DTMF_STEP_MS;
			d->head = (d->head + 1) % DTMF_QUEUE;
			d->count--;
		}
		return DTMF_STEP_MORE;
	case DTMF_OUT_GAP:
		d->ms += DTMF_STEP_MS;
		if (d->ms >= DTMF_GAP_MS)
			d->state = DTMF_OUT_IDLE;
		return DTMF_STEP_WAIT;
	}
	return DTMF_STEP_NONE;
}
