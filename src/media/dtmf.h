/* dtmf.h - telephone events (RFC 4733), received and sent: pure state machines.
 *
 * An event is one digit spread over many packets that share a timestamp; its last packet is sent three times. The
 * receiver reports each digit once, at its end, however many of its packets get lost, doubled or disordered.
 *
 * Thread: none of its own.
 * Sources: RFC 4733 §2.3 (format), §2.5.1 (sender), §2.5.2 (receiver), §3.2 (events 0-15).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DTMF_PAYLOAD_LEN 4
#define DTMF_LOST_END_MS 200  /* no packet of an open event for so long: its end got lost */
#define DTMF_STEP_MS 20       /* between packets of an event we send */
#define DTMF_MIN_MS 40       /* what every receiver of tones takes for a digit (ITU-T Q.24 §4.2) */
#define DTMF_GAP_MS 60        /* between two digits we send, the repeated end packets within */
#define DTMF_QUEUE 32
#define DTMF_EVENT_CNG 36     /* a fax machine calls: no digit (RFC 4734 §3.2) */

struct dtmf_event {           /* one payload */
	uint8_t event, volume;
	bool end;
	uint16_t duration;        /* in clock units */
};

int dtmf_parse(struct dtmf_event *out, const uint8_t *p, size_t n); /* -EBADMSG */
void dtmf_print(uint8_t p[DTMF_PAYLOAD_LEN], const struct dtmf_event *e);
/* '0'-'9', '*', '#', 'A'-'D' (either case), or -1; 0..15, or 0 */
int dtmf_event_of(char digit);
char dtmf_digit_of(uint8_t event);

/* ---- receiver ---- */

struct dtmf_in {
	bool open;                /* an event goes on */
	bool seen;                /* ts is of the last event */
	uint8_t event;
	uint16_t duration;        /* of the current segment */
	uint32_t ts;              /* of the current segment */
	uint32_t before;          /* duration of earlier segments, §2.5.1.3 */
	uint64_t last_us;
};

struct dtmf_digit {
	char digit;
	uint32_t duration_ms;
};

/* Takes one packet. Returns the number of digits that ended with it: 0, 1, or 2 when the end of the one before was lost. */
int dtmf_in_packet(struct dtmf_in *d, const struct dtmf_event *e, uint32_t ts, uint32_t clock_hz, uint64_t now_us,
		   struct dtmf_digit out[2]);
/* Ends an open event whose packets have stopped coming. Returns 1 when a digit ended. */
int dtmf_in_expire(struct dtmf_in *d, uint32_t clock_hz, uint64_t now_us, struct dtmf_digit *out);
/* The source has changed: its timestamps mean nothing any more. An open event is reported: returns 1. */
int dtmf_in_reset(struct dtmf_in *d, uint32_t clock_hz, struct dtmf_digit *out);

/* ---- sender ---- */

struct dtmf_out {
	struct { uint8_t event; uint16_t ms; } queue[DTMF_QUEUE];
	uint8_t head, count;
	enum { DTMF_OUT_IDLE, DTMF_OUT_TONE, DTMF_OUT_END, DTMF_OUT_GAP } state;
	uint8_t ends;             /* end packets sent */
	uint32_t ms;              /* since the digit (or the gap) began */
	uint32_t base_ms;         /* where the current segment began */
	uint32_t total_ms;
};

enum dtmf_out_step {
	DTMF_STEP_NONE,           /* queue empty, nothing to do */
	DTMF_STEP_WAIT,           /* gap between digits: audio may flow */
	DTMF_STEP_FIRST,          /* send *e with marker; its timestamp starts now */
	DTMF_STEP_MORE,           /* send *e with the timestamp of the first */
	DTMF_STEP_SEGMENT,        /* the duration field is full: send *e; the timestamp moves on by its duration */
};

/* ms: clamped to DTMF_MIN_MS..10 s; the last packet says it exactly. -EINVAL not a digit, -ENOBUFS queue full. */
int dtmf_out_add(struct dtmf_out *d, char digit, uint32_t ms);
/* Called each DTMF_STEP_MS while it doesn't return DTMF_STEP_NONE. */
enum dtmf_out_step dtmf_out_next(struct dtmf_out *d, uint32_t clock_hz, struct dtmf_event *e);
/* A digit is sounding (audio is held back meanwhile). */
static inline bool dtmf_out_is_sounding(const struct dtmf_out *d)
{
	return d->state == DTMF_OUT_TONE;
}
