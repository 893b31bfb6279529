/* quality.c - how a session sounds, every five seconds, for the live view and the record (see quality.h).
 */
#define LOG_MODULE "media"
#include "media/media_int.h"

#include <stdlib.h>

#include "media/emodel.h"

#define BUFFER_MIN_MS 20      /* of a jitter buffer that isn't ours */
#define BUFFER_MAX_MS 200
#define HEARD_MIN_MS 1000     /* listened so long within an interval: what was heard is the measure */

static void score(struct quality_score *s, unsigned mos, uint64_t weight)
{
	s->now = (uint16_t)mos;
	if (s->min == 0 || mos < s->min)
		s->min = (uint16_t)mos;
	s->sum += mos * weight;
	s->weight += weight;
}

static uint16_t score_mean(const struct quality_score *s)
{
	return s->weight ? (uint16_t)((s->sum + s->weight / 2) / s->weight) : 0;
}

/* buffer_ms: 0: of one that isn't ours */
static double delay_ms(const struct rtp_session *s, uint32_t buffer_ms, uint32_t jitter_us)
{
	if (buffer_ms == 0) {
		buffer_ms = 2 * jitter_us / 1000;
		buffer_ms = buffer_ms < BUFFER_MIN_MS ? BUFFER_MIN_MS : buffer_ms > BUFFER_MAX_MS ? BUFFER_MAX_MS : buffer_ms;
	}
	return s->rtt_us / 2000.0 + s->config.ptime_ms + buffer_ms;
}

static double share(int32_t part, uint32_t whole)
{
	return part <= 0 || whole == 0 ? 0 : (uint32_t)part >= whole ? 1 : (double)part / whole;
}

/* What of the interval was not heard. sent: packets, lost: of them; heard: since it began. */
static double loss_of(uint32_t sent, int32_t lost, const struct heard *heard)
{
	double on_the_way = share(lost, sent), concealed, recovered;

	if ((int32_t)heard->ms < HEARD_MIN_MS)
		return on_the_way;
	concealed = share((int32_t)heard->concealed_ms, heard->ms);
	recovered = share((int32_t)heard->recovered_ms, heard->ms);
	/* A gap so long that it was taken for a pause has been concealed in part only. */
	on_the_way -= recovered;
	return concealed > on_the_way ? concealed : on_the_way;
}

/* The interval ends here. Too little in it: it is unknown how it was. */
static void interval_end(struct rtp_session *s, uint32_t packets_min)
{
	struct quality *q = &s->quality;
	struct heard heard;
	uint32_t all_lost = rtp_rx_lost(&s->rx), received = (uint32_t)(s->packets_received - q->received), gaps = s->rx.gaps - q->gaps;
	int32_t lost = (int32_t)(all_lost - q->lost);
	uint32_t sent = received + (lost > 0 ? (uint32_t)lost : 0);

	ear_heard(s, &heard);
	q->from.now = 0;
	if (sent >= packets_min && received > 0) {
		struct heard since = { .ms = heard.ms - q->heard.ms, .concealed_ms = heard.concealed_ms - q->heard.concealed_ms,
				       .recovered_ms = heard.recovered_ms - q->heard.recovered_ms };
		struct emodel_input in = { .codec = s->rx_codec, .loss = loss_of(sent, lost, &since),
					   .delay_ms = delay_ms(s, heard.delay_ms, rtp_rx_jitter_us(&s->rx)) };
		uint16_t before = q->from.min;

		/* Random loss of share p comes in runs of 1 / (1 - p). */
		if (gaps > 0 && lost > 0)
			in.burst = (double)lost / gaps * received / sent;
		score(&q->from, emodel_mos(in.codec, emodel_r(&in)), sent);
		if (q->from.min != before)
			q->min_at_ms = worker_wall_ms(s->worker);
	}
	q->received = s->packets_received;
	q->lost = all_lost;
	q->gaps = s->rx.gaps;
	q->heard = heard;
}

void quality_report(struct rtp_session *s, const struct rtcp_block *b)
{
	struct quality *q = &s->quality;
	struct emodel_input in = { .codec = s->config.codec, .loss = b->fraction / 256.0 };

	s->remote_jitter_us = s->tx.clock_hz ? (uint32_t)((uint64_t)b->jitter * 1000000 / s->tx.clock_hz) : 0;
	if (b->highest == q->remote_highest || !in.codec)
		return; /* nothing has come there since its last report */
	q->remote_highest = b->highest;
	in.delay_ms = delay_ms(s, 0, s->remote_jitter_us);
	score(&q->to, emodel_mos(in.codec, emodel_r(&in)), 1);
}

void quality_stats(const struct rtp_session *s, struct stream_stats *out)
{
	const struct quality *q = &s->quality;
	const struct addr *to = latch_target(&s->latch);
	struct heard heard;

	ear_heard(s, &heard);
	*out = (struct stream_stats){
		.packets_sent = s->packets_sent,
		.packets_received = s->packets_received,
		.bytes_sent = s->bytes_sent,
		.bytes_received = s->bytes_received,
		.lost = rtp_rx_lost(&s->rx),
		.remote_lost = s->remote_lost,
		.jitter_us = rtp_rx_jitter_us(&s->rx),
		.max_jitter_us = rtp_rx_max_jitter_us(&s->rx),
		.rtt_us = s->rtt_us,
		.remote_jitter_us = s->remote_jitter_us,
		.dropped_source = s->latch.rejected + s->dropped_rtcp,
		.dropped_insecure = s->dropped_insecure,
		.icmp_errors = s->icmp_errors,
		.heard_ms = heard.ms,
		.concealed_ms = heard.concealed_ms,
		.recovered_ms = heard.recovered_ms,
		.mos = score_mean(&q->from), .mos_now = q->from.now, .mos_min = q->from.min,
		.remote_mos = score_mean(&q->to), .remote_mos_now = q->to.now, .remote_mos_min = q->to.min,
		.mos_min_at_ms = q->min_at_ms,
		.latched = latch_is_learnt(&s->latch),
		.reason = s->latch.reason,
		.since_ms = s->locked_wall_ms,
		.changes = s->latch.locks,
		.codec = s->rx_codec,
	};
	if (to)
		out->remote = *to;
	if (addr_is_set(&s->latch.signalled))
		out->signalled = s->latch.signalled;
}

static void tell(struct rtp_session *s)
{
	struct event *e = malloc(sizeof(*e) + sizeof(*e->stats));

	if (!e)
		return; /* the next one says it as well */
	*e = (struct event){ .type = EV_STATS, .s = s->handle, .stats = (struct stream_stats *)(e + 1) };
	quality_stats(s, e->stats);
	worker_emit(s->worker, e);
}

static void wait_for_end(struct rtp_session *s)
{
	uint64_t now_ms = timers_now(s->worker->timers);

	timer_start(s->worker->timers, &s->quality.timer, QUALITY_MS + QUALITY_STEP_MS - 1 - (now_ms + QUALITY_STEP_MS - 1) % QUALITY_STEP_MS);
}

static void on_interval(void *arg)
{
	struct rtp_session *s = arg;

	interval_end(s, 1);
	if (s->packets_sent + s->packets_received > 0)
		tell(s);
	wait_for_end(s);
}

void quality_start(struct rtp_session *s)
{
	timer_init(&s->quality.timer, on_interval, s);
	wait_for_end(s);
}

void quality_stop(struct rtp_session *s)
{
	timer_stop(s->worker->timers, &s->quality.timer);
}

void quality_end(struct rtp_session *s)
{
	interval_end(s, s->quality.from.weight ? QUALITY_PACKETS_MIN : 1);
}
