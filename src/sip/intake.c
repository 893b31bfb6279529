/* intake.c - what is heard first when more comes than can be handled at once.
 *
 * Calls are few and can't wait; REGISTER, OPTIONS and the like come by the ten thousand after a power cut, and can. So in each turn of the
 * loop all that has come is read, what belongs to calls is handled as it is read, new calls next, and the rest as far as time allows: it is
 * copied into a queue, and when that is full told to come again. With little to do nothing is ever queued. A CANCEL stays behind its
 * INVITE: it finds room in the queue of new calls when they find none any more, and when that is gone too it has to come again. What waits and
 * whose connection ends meanwhile is dropped: nobody is there any more for what it asks, least of all to be registered.
 *
 * If more datagrams come than can be read (udp.c), three turns in a row, or a queue gets long, the guard is told that the server doesn't
 * keep up: then no source gets more than its share of it; and who can be asked to send less is asked (overload.h), more with every moment
 * that it stays so.
 */
#define LOG_MODULE "transport"
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "sip/overload.h"
#include "sip/transport_int.h"

#define AT_ONCE 64                   /* of what can wait, a turn: a reading of udp.c, which then handles its kinds together, in a millisecond */
#define QUEUE_MAX 4096               /* messages in each: a quarter of a second, before anybody sends again */
#define QUEUE_BYTES (8u << 20)       /* new calls find as much again */
#define QUEUE_LONG 512               /* more than a moment's crowd */
#define QUEUE_NS (4 * 1000000u)      /* a turn spends on them */
#define REFUSED_AT_ONCE 64           /* a turn; the rest isn't even told */
#define BEHIND_TURNS 3
#define PRESSED_MS 1000
#define LOSS_STALE_MS 2000

enum urgency { URGENT, NEW_CALL, CAN_WAIT };

struct waiting {
	struct waiting *next;
	struct sip_source src;
	size_t len;
	char bytes[];
};

struct queue { struct waiting *first, **end; unsigned n; };

struct intake {
	struct transport *t;
	uv_check_t check;
	uv_idle_t idle;              /* so that the loop doesn't sleep while some wait */
	unsigned handles;
	struct queue queues[CAN_WAIT];  /* of NEW_CALL and CAN_WAIT */
	unsigned n;
	size_t bytes;
	unsigned at_once, refused;   /* in this turn */
	bool is_behind;              /* in this turn not all was read, */
	unsigned behind;             /* so many turns in a row */
	bool is_pressed;
	uint64_t pressed_ms;
	unsigned loss_percent;
	uint64_t loss_ms;            /* since when it is that */
};

/* ---- what can wait ---- */

/* Has it a To tag? A guess is enough: it decides of the order alone. */
static bool is_in_dialog(const char *p, size_t n)
{
	const char *end = p + n;

	while (p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p)), *stop = eol ? eol : end;

		if (stop - p > 3 && (!strncasecmp(p, "To", 2) || ((p[0] | 32) == 't' && (p[1] == ':' || p[1] == ' '))))
			return memmem(p, (size_t)(stop - p), ";tag=", 5) != NULL;
		if (stop - p <= 1)
			return false;
		p = stop + 1;
	}
	return false;
}

/* It must not overtake its INVITE. */
static bool is_cancel(const char *p, size_t n)
{
	return n > 7 && !memcmp(p, "CANCEL ", 7);
}

static enum urgency urgency_of(const char *p, size_t n)
{
	static const char *const patient[] = { "REGISTER ", "OPTIONS ", "SUBSCRIBE ", "PUBLISH ", "MESSAGE " };

	if (n > 7 && !memcmp(p, "INVITE ", 7))
		return is_in_dialog(p, n) ? URGENT : NEW_CALL;
	if (is_cancel(p, n))
		return NEW_CALL;
	for (size_t i = 0; i < ARRAY_LEN(patient); i++)
		if (n > strlen(patient[i]) && !memcmp(p, patient[i], strlen(patient[i])))
			return CAN_WAIT;
	return URGENT;
}

static bool put_off(struct intake *in, enum urgency urgency, const char *buf, size_t len, const struct sip_source *src)
{
	struct queue *q = &in->queues[urgency - 1];
	struct waiting *w;

	unsigned rank = urgency == CAN_WAIT ? 1 : is_cancel(buf, len) ? 3 : 2;

	if (q->n >= (rank == 3 ? 2 : 1) * QUEUE_MAX || in->bytes + len > rank * QUEUE_BYTES)
		return false;
	w = malloc(sizeof(*w) + len);
	if (!w)
		return false;
	w->next = NULL;
	w->src = *src;
	w->len = len;
	memcpy(w->bytes, buf, len);
	*q->end = w;
	q->end = &w->next;
	q->n++;
	in->n++;
	in->bytes += len;
	return true;
}

bool intake_put_off(struct intake *in, char *buf, size_t len, const struct sip_source *src)
{
	enum urgency urgency;

	if (!in->n && in->at_once < AT_ONCE) {
		in->at_once++; /* whatever it is: who has seen so few needn't look */
		return false;
	}
	urgency = urgency_of(buf, len);
	if (urgency == URGENT)
		return false;
	if (put_off(in, urgency, buf, len, src)) {
		uv_idle_start(&in->idle, intake_on_idle);
		return true;
	}
	in->t->n.refused++;
	if (!is_cancel(buf, len) && in->refused++ < REFUSED_AT_ONCE)
		transport_shed(in->t, buf, len, src);
	return true;
}

void intake_on_idle(uv_idle_t *idle)
{
	(void)idle;
}

static struct waiting *take(struct intake *in)
{
	struct queue *q = &in->queues[0];
	struct waiting *w;

	while (!q->first && q < &in->queues[ARRAY_LEN(in->queues) - 1])
		q++;
	w = q->first;
	if (!w)
		return NULL;
	q->first = w->next;
	if (!q->first)
		q->end = &q->first;
	q->n--;
	in->n--;
	in->bytes -= w->len;
	return w;
}

static bool is_there(const struct intake *in, const struct waiting *w)
{
	return w->src.proto == SIP_UDP || tcp_is_open(in->t, w->src.flow) || ws_is_open(in->t, w->src.flow);
}

static void work_off(struct intake *in)
{
	uint64_t until_ns = uv_hrtime() + QUEUE_NS;
	struct waiting *w;

	while (!in->t->is_closing && (w = take(in)) != NULL) {
		if (is_there(in, w))
			transport_take(in->t, w->bytes, w->len, &w->src);
		free(w);
		if (uv_hrtime() >= until_ns)
			break;
	}
	if (!in->n)
		uv_idle_stop(&in->idle);
}

/* ---- too much ---- */

void intake_is_behind(struct intake *in)
{
	in->is_behind = true;
}

/* A loop that has nothing to do doesn't turn, nor count. */
unsigned intake_loss(const struct intake *in)
{
	return in->loss_percent && uv_now(in->t->loop) - in->loss_ms < LOSS_STALE_MS ? in->loss_percent : 0;
}

static void count_loss(struct intake *in, bool is_pressed)
{
	uint64_t now_ms = uv_now(in->t->loop);

	if (!in->loss_percent && !is_pressed) {
		in->loss_ms = now_ms;
		return;
	}
	for (; now_ms - in->loss_ms >= OVERLOAD_STEP_MS && (in->loss_percent || is_pressed); in->loss_ms += OVERLOAD_STEP_MS)
		in->loss_percent = overload_step(in->loss_percent, is_pressed);
}

static void tell_guard(struct intake *in)
{
	bool is_pressed;

	in->behind = in->is_behind ? in->behind + 1 : 0;
	in->is_behind = false;
	is_pressed = in->behind >= BEHIND_TURNS || in->queues[0].n > QUEUE_LONG || in->queues[1].n > QUEUE_LONG;
	count_loss(in, is_pressed);
	if (is_pressed) {
		in->pressed_ms = uv_now(in->t->loop);
		if (!in->is_pressed)
			log_warn(in->t->log, "more comes than can be handled: each source is held to its rate");
		in->is_pressed = true;
		guard_press(in->t->guard, true);
	} else if (in->is_pressed && uv_now(in->t->loop) - in->pressed_ms > PRESSED_MS) {
		in->is_pressed = false;
		guard_press(in->t->guard, false);
	}
}

static void on_check(uv_check_t *check)
{
	struct intake *in = check->data;

	if (in->t->is_closing)
		return;
	tell_guard(in);
	if (in->n)
		work_off(in);
	in->at_once = in->refused = 0;
}

/* ---- life ---- */

int intake_new(struct intake **out, struct transport *t)
{
	struct intake *in = calloc(1, sizeof(*in));

	if (!in)
		return -ENOMEM;
	in->t = t;
	for (size_t i = 0; i < ARRAY_LEN(in->queues); i++)
		in->queues[i].end = &in->queues[i].first;
	uv_check_init(t->loop, &in->check);
	uv_idle_init(t->loop, &in->idle);
	in->check.data = in->idle.data = in;
	in->handles = 2;
	uv_check_start(&in->check, on_check);
	uv_unref((uv_handle_t *)&in->check);
	*out = in;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct intake *in = handle->data;

	if (--in->handles == 0)
		free(in);
}

void intake_close(struct intake *in)
{
	struct waiting *w;

	if (!in)
		return;
	while ((w = take(in)) != NULL)
		free(w);
	uv_close((uv_handle_t *)&in->check, on_closed);
	uv_close((uv_handle_t *)&in->idle, on_closed);
}
