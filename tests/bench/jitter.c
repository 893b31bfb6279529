/* jitter.c - what the jitter buffer makes of bad networks: delay added and sound made up, beside a fixed buffer of 60 ms.
 *
 *   make bench-jitter                     all traces, a line each
 *
 * A trace is, for each packet of 20 ms, when it arrives; or never. Most are made here, each by a model that its function
 * describes, from a fixed seed, so that two runs can be compared; the last one is recorded while this runs: a sender and a receiver on the
 * loopback, with as many threads as there are cores that keep the machine busy.
 *
 * Both buffers get the same packets. Delay is from when a sound could have been heard at the earliest (it was sent, and took the trace's
 * shortest time) to when it was: the mean and the 95th percentile over all that was heard. The fixed one conceals what arrives later than
 * its 60 ms. A frame that ours leaves out to catch up (cut) is no concealment, but it is counted.
 */
#include <arpa/inet.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "media/jitter.h"

#define PACKET_MS 20
#define N_MAX 15000          /* five minutes */
#define RECORDED 400         /* packets of the recorded trace: 8 s */
#define LOST -1.0
#define FIXED_MS 60

struct trace {
	unsigned n;
	double at_ms[N_MAX];     /* LOST, or when it arrives; packet i is sent at i * PACKET_MS * rate */
	double rate;             /* the sender's clock to ours */
};

static struct trace trace;

/* ---- chance ---- */

static uint64_t seed;

static double uniform(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(seed >> 11) / 9007199254740992.0;
}

static double exponential(double mean) { return -mean * log(1 - uniform()); }

static double normal(double deviation)
{
	return deviation * sqrt(-2 * log(1 - uniform())) * cos(2 * M_PI * uniform());
}

/* ---- the traces ---- */

static double sent_ms(const struct trace *t, unsigned i) { return i * PACKET_MS * t->rate; }

/* Each packet by itself: 40 ms, and a little. */
static void quiet(struct trace *t)
{
	for (unsigned i = 0; i < t->n; i++)
		t->at_ms[i] = sent_ms(t, i) + 40 + fabs(normal(1));
}

/* Gilbert-Elliott: in the good state nothing is lost, in the bad one half is. Good lasts 2 s on average, bad 80 ms. */
static void gilbert_elliott(struct trace *t)
{
	bool bad = false;

	quiet(t);
	for (unsigned i = 0; i < t->n; i++) {
		bad = bad ? uniform() > 20.0 / 80 : uniform() < 20.0 / 2000;
		if (bad && uniform() < 0.5)
			t->at_ms[i] = LOST;
	}
}

/* Wifi: the channel is taken now and then, for 30 ms on average and up to 150; what waits goes out at once, 1 ms apart. */
static void wifi(struct trace *t)
{
	double taken_from = exponential(700), taken_to = 0;

	for (unsigned i = 0; i < t->n; i++) {
		double at = sent_ms(t, i) + 5 + exponential(3);

		while (at > taken_from + 200) {
			taken_from += exponential(700) + 1;
			taken_to = taken_from + fmin(10 + exponential(30), 150);
		}
		if (at >= taken_from && at < taken_to)
			at = taken_to + 1;
		if (i > 0 && t->at_ms[i - 1] != LOST && at < t->at_ms[i - 1] + 1)
			at = t->at_ms[i - 1] + 1;
		t->at_ms[i] = uniform() < 0.005 ? LOST : at;
	}
}

/* LTE: 8 ms grid of the scheduler, and each 20 s a handover: nothing for 180 ms, then what the old cell forwarded comes at once, but for
 * the first two packets, which are lost. */
static void handover(struct trace *t)
{
	for (unsigned i = 0; i < t->n; i++) {
		double sent = sent_ms(t, i), at = ceil((sent + 35 + exponential(4)) / 8) * 8, phase = fmod(sent, 20000);

		if (phase >= 10000 && phase < 10180)
			at = phase < 10040 ? LOST : sent - phase + 10180 + 35;
		t->at_ms[i] = at;
	}
}

/* A download fills the queue of the slow link in 4 s to 250 ms, stops, and it empties in 2 s; each 30 s. */
static void bufferbloat(struct trace *t)
{
	for (unsigned i = 0; i < t->n; i++) {
		double sent = sent_ms(t, i), phase = fmod(sent, 30000) / 1000;
		double queue = phase < 10 || phase > 16 ? 0 : phase < 14 ? (phase - 10) / 4 * 250 : (16 - phase) / 2 * 250;

		t->at_ms[i] = sent + 20 + queue + fabs(normal(2 + queue / 50));
	}
}

/* Two paths of unlike length, packet by packet: one in ten takes the one that is 30 ms longer, and comes out of order. */
static void reordering(struct trace *t)
{
	quiet(t);
	for (unsigned i = 0; i < t->n; i++)
		if (uniform() < 0.1)
			t->at_ms[i] += 30;
}

static void drift_fast(struct trace *t)
{
	t->rate = 1 - 300e-6;
	quiet(t);
}

static void drift_slow(struct trace *t)
{
	t->rate = 1 + 300e-6;
	quiet(t);
}

/* ---- recorded ---- */

static atomic_bool is_over;

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1000 + (double)ts.tv_nsec / 1e6;
}

static void *burn(void *arg)
{
	volatile unsigned n = 0;

	(void)arg;
	while (!is_over)
		n++;
	return NULL;
}

struct wire { int from, to; double began; };

static void *send_packets(void *arg)
{
	struct wire *w = arg;

	for (uint32_t i = 0; i < RECORDED; i++) {
		double due = w->began + i * PACKET_MS;
		struct timespec ts = { .tv_sec = (time_t)(due / 1000), .tv_nsec = (long)(fmod(due, 1000) * 1e6) };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
		if (send(w->from, &i, sizeof(i), 0) < 0)
			break;
	}
	return NULL;
}

static int open_wire(struct wire *w)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval longest = { .tv_sec = 1 };
	socklen_t len = sizeof(a);

	w->to = socket(AF_INET, SOCK_DGRAM, 0);
	w->from = socket(AF_INET, SOCK_DGRAM, 0);
	if (w->to < 0 || w->from < 0 || bind(w->to, (struct sockaddr *)&a, len) < 0 || getsockname(w->to, (struct sockaddr *)&a, &len) < 0)
		return -1;
	setsockopt(w->to, SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof(longest));
	return connect(w->from, (struct sockaddr *)&a, len);
}

/* A thread with no priority on a machine that has too much to do: what the scheduler does to it. */
static void loopback_under_load(struct trace *t)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned nburners = 2 * (unsigned)(cores < 1 ? 1 : cores > 16 ? 16 : cores), nstarted = 0;
	pthread_t burners[32], sender;
	struct wire w = { .began = now_ms() + 50 };
	uint32_t i;

	t->n = RECORDED;
	for (unsigned k = 0; k < t->n; k++)
		t->at_ms[k] = LOST;
	is_over = false;
	if (open_wire(&w) < 0 || pthread_create(&sender, NULL, send_packets, &w) != 0) {
		perror("loopback");
		exit(1);
	}
	while (nstarted < nburners && pthread_create(&burners[nstarted], NULL, burn, NULL) == 0)
		nstarted++;
	while (recv(w.to, &i, sizeof(i), 0) == sizeof(i)) {
		if (i < t->n)
			t->at_ms[i] = now_ms() - w.began;
		if (i == t->n - 1)
			break;
	}
	is_over = true;
	pthread_join(sender, NULL);
	while (nstarted > 0)
		pthread_join(burners[--nstarted], NULL);
	close(w.from);
	close(w.to);
}

/* ---- the buffers ---- */

struct result {
	double concealed, cut;   /* share of all frames */
	double mean_ms, p95_ms;
};

static double shortest_ms(const struct trace *t)
{
	double least = 1e9;

	for (unsigned i = 0; i < t->n; i++)
		if (t->at_ms[i] != LOST)
			least = fmin(least, t->at_ms[i] - sent_ms(t, i));
	return least;
}

static struct result fixed(const struct trace *t)
{
	double least = shortest_ms(t);
	unsigned missed = 0;

	for (unsigned i = 0; i < t->n; i++)
		missed += t->at_ms[i] == LOST || t->at_ms[i] > sent_ms(t, i) + least + FIXED_MS;
	return (struct result){ (double)missed / t->n, 0, FIXED_MS, FIXED_MS };
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Packets by the time of their arrival. */
static unsigned *order_of(const struct trace *t)
{
	unsigned *order = malloc(t->n * sizeof(*order)), n = 0;

	if (!order)
		exit(1);
	for (unsigned i = 0; i < t->n; i++) {
		unsigned k = n;

		if (t->at_ms[i] == LOST)
			continue;
		for (; k > 0 && t->at_ms[order[k - 1]] > t->at_ms[i]; k--)
			order[k] = order[k - 1];
		order[k] = i;
		n++;
	}
	for (; n < t->n; n++)
		order[n] = UINT32_MAX;
	return order;
}

static struct result ours(const struct trace *t)
{
	static double delays[N_MAX * 2];
	struct jitter *j = jitter_new(CODEC_PCMU, 8000);
	unsigned *order = order_of(t), next = 0, nheard = 0, nconcealed = 0, nframes = 0;
	double least = shortest_ms(t), sum = 0;
	struct jitter_stats stats;
	uint8_t payload[160];

	if (!j)
		exit(1);
	for (double now = 0; now < t->n * PACKET_MS; now += 10) {
		enum jitter_frame what;
		int16_t pcm[80];

		for (; next < t->n && order[next] != UINT32_MAX && t->at_ms[order[next]] <= now; next++) {
			/* Speech has pauses: a second and a half of each two are loud. */
			memset(payload, order[next] % 100 < 75 ? 0x20 : 0xff, sizeof(payload));
			jitter_put(j, 160 * order[next], payload, sizeof(payload));
		}
		what = jitter_get(j, pcm);
		nframes += what != JITTER_IDLE;
		nconcealed += what == JITTER_CONCEALED;
		if (what == JITTER_SOUND) {
			jitter_get_stats(j, &stats);
			/* heard: the 10 ms before next_ts */
			delays[nheard] = now - ((double)stats.next_ts / 8 - 10) * t->rate - least;
			sum += delays[nheard++];
		}
	}
	jitter_get_stats(j, &stats);
	jitter_free(j);
	free(order);
	qsort(delays, nheard, sizeof(delays[0]), by_size);
	return (struct result){ (double)nconcealed / nframes, (double)stats.overrun / nframes, sum / nheard, delays[nheard * 95 / 100] };
}

int main(void)
{
	static const struct { const char *name; void (*make)(struct trace *t); } traces[] = {
		{ "quiet (1 ms)", quiet }, { "Gilbert-Elliott, 2 %", gilbert_elliott }, { "wifi bursts", wifi }, { "LTE handovers", handover },
		{ "bufferbloat", bufferbloat }, { "reordering", reordering }, { "drift +300 ppm", drift_fast }, { "drift -300 ppm", drift_slow },
		{ "recorded: loopback, busy", loopback_under_load },
	};

	printf("%-26s %9s | %-28s | %s\n", "", "", "adaptive", "fixed 60 ms");
	printf("%-26s %9s | %9s %6s %5s %5s | %9s %6s\n", "trace", "packets", "concealed", "cut", "mean", "p95", "concealed", "delay");
	for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
		struct result a, f;

		seed = 0x5eed;
		trace.n = N_MAX;
		trace.rate = 1;
		traces[i].make(&trace);
		a = ours(&trace);
		f = fixed(&trace);
		printf("%-26s %9u | %8.2f%% %5.2f%% %5.0f %5.0f | %8.2f%% %6.0f\n", traces[i].name, trace.n, a.concealed * 100, a.cut * 100, a.mean_ms,
		       a.p95_ms, f.concealed * 100, f.mean_ms);
	}
	return 0;
}
