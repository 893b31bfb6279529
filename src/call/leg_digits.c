/* leg_digits.c - digits that a leg's far end presses, and those it is told of: as telephone events, tones or SIP INFO.
 *
 * Which of them is the administrator's choice for the extension or trunk. Events and tones are the stream's affair; a digit that goes
 * by INFO comes up from the partner's stream and leaves here, one after the other: sent at once they could overtake each other
 * (RFC 3261 §12.2.2 has the late one refused).
 */
#define LOG_MODULE "leg"
#include <stdlib.h>

#include "call/digit_info.h"
#include "call/leg_int.h"
#include "base/log.h"

#define WAITING_MAX 32

struct leg_infos {
	bool is_plain;            /* the peer has refused the other body */
	bool is_under_way;        /* the first one */
	unsigned n;
	struct { char digit; uint32_t ms; } waiting[WAITING_MAX];
};

bool leg_digits_has_events(const struct leg *leg)
{
	return leg->dtmf == DIR_DTMF_AUTO || leg->dtmf == DIR_DTMF_RFC4733;
}

void leg_digits_configure(const struct leg *leg, struct stream_config *c)
{
	c->hears = leg->dtmf == DIR_DTMF_AUTO ? STREAM_HEARS_ALONE : leg->dtmf == DIR_DTMF_INBAND ? STREAM_HEARS_ALWAYS : STREAM_HEARS_NEVER;
	c->digits_elsewhere = leg->dtmf == DIR_DTMF_INFO;
}

/* ---- to the far end ---- */

static void send_first(struct leg *leg);

static void on_answer(const struct sip_msg *m, void *arg)
{
	struct leg *leg = arg;
	struct leg_infos *q = leg->infos;
	char id[64];

	q->is_under_way = false;
	if (!m) {
		q->n = 0; /* the dialog has ended */
		return;
	}
	if (m->status == 415 && !q->is_plain) {
		q->is_plain = true;
		send_first(leg);
		return;
	}
	if (m->status >= 300)
		log_debug(leg->call->calls->p.log, "%s INFO with a digit: %d", leg_log_id(leg, id), m->status);
	q->n--;
	memmove(q->waiting, q->waiting + 1, q->n * sizeof(q->waiting[0]));
	send_first(leg);
}

static void send_first(struct leg *leg)
{
	struct leg_infos *q = leg->infos;
	char body[64], id[64];
	const char *type;
	struct out o;
	int err;

	if (!q->n || q->is_under_way)
		return;
	out_init(&o, body, sizeof(body));
	type = digit_info_print(&o, q->waiting[0].digit, q->waiting[0].ms, q->is_plain);
	q->is_under_way = true;
	err = leg->session ? session_request(leg->session, "INFO", NULL, type, out_view(&o), on_answer, leg) : -ENOTCONN;
	if (err) {
		log_debug(leg->call->calls->p.log, "%s INFO not sent: %s", leg_log_id(leg, id), uv_strerror(err));
		q->is_under_way = false;
		q->n = 0;
	}
}

static void send_info(struct leg *leg, char digit, uint32_t duration_ms)
{
	struct leg_infos *q = leg->infos ? leg->infos : calloc(1, sizeof(*q));

	leg->infos = q;
	if (!q || q->n == WAITING_MAX)
		return;
	q->waiting[q->n].digit = digit;
	q->waiting[q->n++].ms = duration_ms;
	send_first(leg);
}

#define DIGIT_MS 100

void leg_send_digits(struct leg *leg, const char *digits)
{
	for (; *digits; digits++) {
		if (leg->dtmf == DIR_DTMF_INFO)
			send_info(leg, *digits, DIGIT_MS);
		else if (leg->stream)
			stream_send_digit(leg->stream, *digits, DIGIT_MS);
	}
}

/* ---- from the far end ---- */

void leg_digit_heard(struct leg *leg, char digit, uint32_t duration_ms)
{
	if (leg->partner && leg->partner->dtmf == DIR_DTMF_INFO)
		send_info(leg->partner, digit, duration_ms);
	call_digit(leg->call, leg, digit);
}

bool leg_digit_info(struct leg *leg, const struct sip_msg *m)
{
	uint32_t duration_ms;
	char digit = digit_info_take(m, &duration_ms);

	if (!digit)
		return false;
	/* Where events or tones are the way, what comes so as well is the same digit again. */
	if (leg->dtmf != DIR_DTMF_AUTO && leg->dtmf != DIR_DTMF_INFO)
		return true;
	if (leg->partner && leg->partner->dtmf != DIR_DTMF_INFO && leg->partner->stream)
		stream_send_digit(leg->partner->stream, digit, duration_ms);
	leg_digit_heard(leg, digit, duration_ms);
	return true;
}
