/* media_bed.h - what the tests of streams share: peers with real sockets on 127.0.0.1, a loop, what streams report.
 *
 * A bed is made in one of two ways. bed_new() has real workers and real time: for what must be right however its threads
 * are scheduled. bed_new_by_hand() has workers that run when it turns them and a clock that it moves: for what
 * depends on time, so that a machine with better things to do doesn't decide the test.
 */
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <sndfile.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/dtmf.h"
#include "media/media.h"
#include "media/rtcp.h"
#include "media/rtp.h"

#define DEADLINE_MS 30000 /* a busy machine turns a bed by hand in five times real time */
#define PEER_MAX 4096

/* ---- the test's own end of the wire ---- */

struct peer {
	int fd, rtcp_fd;
	uint16_t port;
	uint16_t seq;
	uint32_t ts, ssrc;
	struct peer *listener;   /* takes in what has come for it while this one talks; may be NULL */
	/* what arrived */
	unsigned n;
	struct rtp_packet got[PEER_MAX];
	uint64_t at_us[PEER_MAX];
	uint8_t payload[PEER_MAX][CODEC_PAYLOAD_MAX];
};

struct bed {
	uv_loop_t loop;
	struct media *media;
	bool media_closed;
	uv_timer_t step;
	bool is_by_hand;
	uint64_t now_ms;
	struct clock clock;
};

static inline uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static struct bed *bed_in_use;

/* The time that streams go by. */
static inline uint64_t bed_now_us(void)
{
	return bed_in_use && bed_in_use->is_by_hand ? bed_in_use->now_ms * 1000 : now_us();
}

static inline uint64_t bed_mono_ms(void *arg) { return ((struct bed *)arg)->now_ms; }
static inline int64_t bed_wall_ms(void *arg) { return 1700000000000 + (int64_t)((struct bed *)arg)->now_ms; }

static inline int loopback_socket(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*port) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static inline struct peer *peer_new(uint16_t seq, uint32_t ts, uint32_t ssrc)
{
	struct peer *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	for (int i = 0; i < 100; i++) {
		uint16_t rtcp;

		p->port = 0;
		p->fd = loopback_socket(&p->port);
		rtcp = (uint16_t)(p->port + 1);
		p->rtcp_fd = loopback_socket(&rtcp);
		if (p->rtcp_fd >= 0)
			break;
		close(p->fd);
	}
	assert_true(p->rtcp_fd >= 0);
	p->seq = seq;
	p->ts = ts;
	p->ssrc = ssrc;
	return p;
}

static inline void peer_free(struct peer *p)
{
	close(p->fd);
	close(p->rtcp_fd);
	free(p);
}

static inline void send_to(int fd, uint16_t port, const void *p, size_t n)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };

	assert_int_equal(sendto(fd, p, n, 0, (struct sockaddr *)&a, sizeof(a)), n);
}

static inline void peer_send_raw(struct peer *p, uint16_t port, uint8_t pt, bool marker, uint32_t ts, const void *payload, size_t n)
{
	uint8_t packet[RTP_HEADER_LEN + 1920];
	struct rtp_packet h = { .marker = marker, .pt = pt, .seq = p->seq++, .ts = ts, .ssrc = p->ssrc };

	rtp_print(packet, &h);
	memcpy(packet + RTP_HEADER_LEN, payload, n);
	send_to(p->fd, port, packet, RTP_HEADER_LEN + n);
}

/* 20 ms of one byte value at pt. */
static inline void peer_send(struct peer *p, uint16_t port, uint8_t pt, uint8_t value)
{
	uint8_t payload[160];

	memset(payload, value, sizeof(payload));
	peer_send_raw(p, port, pt, false, p->ts, payload, sizeof(payload));
	p->ts += 160;
}

static inline void peer_press(struct peer *p, uint16_t port, char digit, uint32_t ms)
{
	uint16_t units = (uint16_t)(ms * 8), at = 0;
	uint8_t payload[DTMF_PAYLOAD_LEN];
	bool first = true;

	while (at < units) {
		struct dtmf_event e = { .event = (uint8_t)dtmf_event_of(digit), .volume = 10 };

		at = (uint16_t)(at + 160 > units ? units : at + 160);
		e.duration = at;
		e.end = at == units;
		dtmf_print(payload, &e);
		for (int i = 0; i < (e.end ? 3 : 1); i++) {
			peer_send_raw(p, port, 101, first, p->ts, payload, sizeof(payload));
			first = false;
		}
	}
	p->ts += units;
}

static inline void peer_receive(struct peer *p)
{
	uint8_t buf[2048];
	ssize_t n;

	while ((n = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		struct rtp_packet *h = &p->got[p->n];

		assert_true(p->n < PEER_MAX);
		assert_int_equal(rtp_parse(h, buf, (size_t)n), 0);
		assert_true(h->len <= sizeof(p->payload[0]));
		memcpy(p->payload[p->n], buf + h->offset, h->len);
		p->at_us[p->n] = bed_now_us();
		p->n++;
	}
}

/* ---- what the streams report ---- */

struct seen {
	struct stream *s;
	char digits[32];
	uint32_t digit_ms[32];
	unsigned ndigits, nplay, nrecord, nlatched, ntimeout, nclosed, ntalks, nsecured, ninsecure, nover;
	bool is_talking;
	enum stream_heard heard[32];
	uint32_t heard_ms[32];
	unsigned nheard;
	enum secure_suite suite;
	enum stream_insecure insecure;
	uint32_t play_id, record_id;
	enum play_end play_end;
	struct record_result record;
	struct stream_stats stats; /* the last ones: of its end, or so far */
	unsigned nstats;
	enum latch_reason reason;
};

static inline void on_digit(struct stream *s, char digit, uint32_t duration_ms, void *arg)
{
	struct seen *e = arg;

	(void)s;
	assert_true(e->ndigits < sizeof(e->digits) - 1);
	e->digit_ms[e->ndigits] = duration_ms;
	e->digits[e->ndigits++] = digit;
}

static inline void on_play_end(struct stream *s, uint32_t id, enum play_end end, void *arg)
{
	struct seen *e = arg;

	(void)s;
	e->nplay++;
	e->play_id = id;
	e->play_end = end;
}

static inline void on_record_end(struct stream *s, uint32_t id, const struct record_result *r, void *arg)
{
	struct seen *e = arg;

	(void)s;
	e->nrecord++;
	e->record_id = id;
	e->record = *r;
}

static inline void on_latched(struct stream *s, const struct sockaddr *peer, enum latch_reason reason, void *arg)
{
	struct seen *e = arg;

	(void)s;
	assert_int_equal(peer->sa_family, AF_INET);
	e->nlatched++;
	e->reason = reason;
}

static inline void on_timeout(struct stream *s, void *arg)
{
	(void)s;
	((struct seen *)arg)->ntimeout++;
}

static inline void on_heard(struct stream *s, enum stream_heard what, uint32_t lasted_ms, void *arg)
{
	struct seen *e = arg;

	(void)s;
	assert_true(e->nheard < sizeof(e->heard) / sizeof(e->heard[0]));
	e->heard[e->nheard] = what;
	e->heard_ms[e->nheard++] = lasted_ms;
}

static inline void on_closed(struct stream *s, const struct stream_stats *final, void *arg)
{
	struct seen *e = arg;

	assert_ptr_equal(s, e->s);
	e->nclosed++;
	e->stats = *final;
}

static inline void on_talking(struct stream *s, bool is_talking, void *arg)
{
	struct seen *e = arg;

	(void)s;
	assert_true(e->is_talking != is_talking);
	e->is_talking = is_talking;
	e->ntalks += is_talking;
}

static inline void on_stats(struct stream *s, const struct stream_stats *stats, void *arg)
{
	struct seen *e = arg;

	(void)s;
	assert_int_equal(e->nclosed, 0);
	e->nstats++;
	e->stats = *stats;
}

static inline void on_secured(struct stream *s, enum secure_suite suite, void *arg)
{
	struct seen *e = arg;

	(void)s;
	e->nsecured++;
	e->suite = suite;
}

static inline void on_insecure(struct stream *s, enum stream_insecure why, bool is_over, void *arg)
{
	struct seen *e = arg;

	(void)s;
	e->ninsecure++;
	e->nover += is_over;
	e->insecure = why;
}

static const struct stream_handler handler = {
	.on_digit = on_digit, .on_play_end = on_play_end, .on_record_end = on_record_end, .on_latched = on_latched,
	.on_timeout = on_timeout, .on_closed = on_closed, .on_talking = on_talking, .on_stats = on_stats,
	.on_heard = on_heard, .on_secured = on_secured, .on_insecure = on_insecure,
};

/* ---- the test bed ---- */

static inline void on_step(uv_timer_t *t) { (void)t; }

static inline unsigned fds_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static unsigned fds_before;

static inline struct bed *bed_make(struct media_params p, bool is_by_hand)
{
	struct bed *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->is_by_hand = is_by_hand;
	b->now_ms = 123456789;
	b->clock = (struct clock){ bed_mono_ms, bed_wall_ms, b };
	if (is_by_hand)
		p.clock = &b->clock;
	bed_in_use = b;
	fds_before = fds_open();
	assert_int_equal(uv_loop_init(&b->loop), 0);
	uv_timer_init(&b->loop, &b->step);
	uv_timer_start(&b->step, on_step, 1, 1); /* the loop turns each millisecond, so that peers can be looked at */
	p.loop = &b->loop;
	if (!p.port_min) {
		p.port_min = 20000;
		p.port_max = 29999;
	}
	assert_int_equal(media_new(&b->media, &p), 0);
	return b;
}

static inline struct bed *bed_new(struct media_params p) { return bed_make(p, false); }
static inline struct bed *bed_new_by_hand(struct media_params p) { return bed_make(p, true); }

/* Workers and loop do what there is to do. The time of a bed by hand stands still. */
static inline void bed_turn(struct bed *b, uv_run_mode mode)
{
	if (b->is_by_hand && !b->media_closed)
		media_turn(b->media);
	uv_run(&b->loop, mode);
}

/* The same a millisecond later. What goes on beside the workers (files) has about that time in truth as well. */
static inline void bed_step(struct bed *b)
{
	b->now_ms++;
	bed_turn(b, UV_RUN_ONCE);
}

static inline void on_media_closed(void *arg) { ((struct bed *)arg)->media_closed = true; }

/* Ends everything; nothing may be left. */
static inline void bed_free(struct bed *b)
{
	struct media_counters c;
	uint64_t end = now_us() + DEADLINE_MS * 1000;

	media_counters(b->media, &c);
	assert_int_equal(c.streams, 0);
	assert_int_equal(c.sockets_open, c.sockets_pooled);
	media_close(b->media, on_media_closed, b);
	while (!b->media_closed && now_us() < end)
		uv_run(&b->loop, UV_RUN_ONCE);
	assert_true(b->media_closed);
	uv_close((uv_handle_t *)&b->step, NULL);
	assert_int_equal(uv_run(&b->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	free(b);
	bed_in_use = NULL;
	assert_int_equal(fds_open(), fds_before);
}

/* Turns the loop until the condition holds; fails the test after the deadline. WAIT_FOR moves the time of a bed by hand,
 * for WAIT_STILL it stands still. */
#define WAIT_FOR(bed, condition) WAIT_TURNING(bed, condition, bed_step(bed))
#define WAIT_STILL(bed, condition) WAIT_TURNING(bed, condition, bed_turn(bed, UV_RUN_ONCE))
#define WAIT_TURNING(bed, condition, turn) \
	do { \
		uint64_t end_ = now_us() + DEADLINE_MS * 1000; \
		while (!(condition)) { \
			if (now_us() > end_) \
				fail_msg("still not after %d ms: %s", DEADLINE_MS, #condition); \
			turn; \
		} \
	} while (0)

static inline void turn_for_ms(struct bed *b, unsigned ms)
{
	uint64_t end = bed_now_us() + ms * 1000;

	while (bed_now_us() < end) {
		b->now_ms++;
		bed_turn(b, b->is_by_hand ? UV_RUN_NOWAIT : UV_RUN_ONCE);
	}
}

static inline struct media_counters bed_counters(struct bed *b)
{
	struct media_counters c;

	media_counters(b->media, &c);
	return c;
}

/* Waits until the workers have taken in n packets in all: the kernel may be late with those that a peer sent. */
static inline void wait_received(struct bed *b, uint64_t n)
{
	if (b->is_by_hand)
		media_turn(b->media);
	WAIT_STILL(b, bed_counters(b).packets_received >= n);
}

/* peer_send(), and the 20 ms until the next. */
static inline void peer_send_in_time(struct bed *b, struct peer *p, uint16_t port, uint8_t pt, uint8_t value)
{
	uint64_t before = bed_counters(b).packets_received;

	peer_send(p, port, pt, value);
	wait_received(b, before + 1);
	turn_for_ms(b, 20);
}

static inline struct seen *stream_make(struct bed *b, struct stream *near)
{
	struct sockaddr_in local = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct stream_params p = { .local = (struct sockaddr *)&local, .near = near };
	struct seen *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	assert_int_equal(stream_new(&e->s, b->media, &p, &handler, e), 0);
	assert_int_equal(stream_port(e->s) % 2, 0);
	return e;
}

/* One that was closed: that is heard exactly once; returns the final statistics. */
static inline struct stream_stats stream_ended(struct bed *b, struct seen *e)
{
	struct stream_stats stats;

	WAIT_FOR(b, e->nclosed > 0);
	assert_int_equal(e->nclosed, 1);
	stats = e->stats;
	free(e);
	return stats;
}

static inline struct stream_stats stream_end(struct bed *b, struct seen *e)
{
	stream_close(e->s);
	stream_close(e->s);
	return stream_ended(b, e);
}

static inline struct stream_config config_of(uint16_t port, enum codec_id codec)
{
	struct stream_config c = {
		.dir = STREAM_BOTH, .codec = codec, .send_pt = codec_get(codec)->pt, .nrecv = 1,
		.dtmf_send_pt = 101, .dtmf_recv_pt = 101, .dtmf_clock_hz = 8000, .ptime_ms = 20,
	};
	struct sockaddr_in *a = (struct sockaddr_in *)&c.remote;

	c.recv[0].codec = codec;
	c.recv[0].pt = c.send_pt;
	if (port) {
		a->sin_family = AF_INET;
		a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a->sin_port = htons(port);
	}
	return c;
}

static inline void stream_setup(struct stream *s, uint16_t port, enum codec_id codec)
{
	struct stream_config c = config_of(port, codec);

	stream_configure(s, &c);
}

/* Waits until the worker has carried out what it was told so far: commands of one worker keep their order. */
static inline void settle(struct bed *b, struct stream *s)
{
	stream_end(b, stream_make(b, s));
}

/* One source for the whole life of a stream: same SSRC, no number missing or doubled, time never back (of events
 * and of audio, each by itself: an end packet is repeated with the time of its event). */
static inline void assert_continuous(const struct peer *p, unsigned from)
{
	uint32_t ts[2] = { p->got[from].ts, p->got[from].ts };

	for (unsigned i = from + 1; i < p->n; i++) {
		if (p->got[i].ssrc != p->got[i - 1].ssrc)
			fail_msg("packet %u: another SSRC", i);
		if (p->got[i].seq != (uint16_t)(p->got[i - 1].seq + 1))
			fail_msg("packet %u: seq %u after %u", i, p->got[i].seq, p->got[i - 1].seq);
		if ((int32_t)(p->got[i].ts - ts[p->got[i].pt == 101]) < 0)
			fail_msg("packet %u: ts %u after %u", i, p->got[i].ts, ts[p->got[i].pt == 101]);
		ts[p->got[i].pt == 101] = p->got[i].ts;
	}
}

/* The first loop of a process opens descriptors that libuv keeps for good. */
static inline int warm_up(void **state)
{
	uv_loop_t loop;

	(void)state;
	return uv_loop_init(&loop) || uv_loop_close(&loop);
}

/* ---- sound ---- */

/* A sweep from 300 to 1,800 Hz whose loudness moves like speech: like itself at no other place. */
static inline void sweep(int16_t *pcm, size_t n, uint32_t rate_hz)
{
	double phase = 0;

	for (size_t i = 0; i < n; i++) {
		double t = (double)i / rate_hz;

		phase += 2 * M_PI * (300 + 1500 * (double)i / (double)n) / rate_hz;
		pcm[i] = (int16_t)(9000 * (0.6 + 0.4 * sin(2 * M_PI * 3.1 * t)) * sin(phase));
	}
}

/* The largest normalised correlation of a with b shifted by up to max_lag samples either way. */
static inline double correlation(const int16_t *a, size_t na, const int16_t *b, size_t nb, int max_lag)
{
	double best = 0;

	for (int lag = -max_lag; lag <= max_lag; lag++) {
		double ab = 0, aa = 0, bb = 0;

		for (size_t i = 0; i < na; i++) {
			long j = (long)i + lag;

			if (j < 0 || j >= (long)nb)
				continue;
			ab += (double)a[i] * b[j];
			aa += (double)a[i] * a[i];
			bb += (double)b[j] * b[j];
		}
		if (aa > 0 && bb > 0 && ab / sqrt(aa * bb) > best)
			best = ab / sqrt(aa * bb);
	}
	return best;
}

/* Says pcm in a codec, 20 ms a packet. */
static inline void peer_talk(struct bed *b, struct peer *p, uint16_t port, enum codec_id codec, const int16_t *pcm, size_t n)
{
	const struct codec *c = codec_get(codec);
	struct encoder *e = encoder_new(codec, c->rate_hz);
	size_t frame = c->rate_hz / 50;
	uint64_t before = bed_counters(b).packets_received;

	assert_non_null(e);
	for (size_t i = 0; i + frame <= n; i += frame) {
		uint8_t payload[1920];
		size_t len = encoder_run(e, pcm + i, frame, payload, sizeof(payload));

		peer_send_raw(p, port, (uint8_t)c->pt, false, p->ts, payload, len);
		p->ts += c->clock_hz / 50;
		wait_received(b, before + i / frame + 1);
		turn_for_ms(b, 20);
		peer_receive(p);
		if (p->listener)
			peer_receive(p->listener);
	}
	encoder_free(e);
}

/* Decodes what has arrived from packet from on; returns samples. */
static inline size_t peer_listen(const struct peer *p, unsigned from, enum codec_id codec, int16_t *pcm, size_t max)
{
	struct decoder *d = decoder_new(codec, codec_get(codec)->rate_hz);
	size_t n = 0;

	assert_non_null(d);
	for (unsigned i = from; i < p->n; i++) {
		ptrdiff_t got;

		if (p->got[i].pt != codec_get(codec)->pt)
			continue;
		got = decoder_run(d, p->payload[i], p->got[i].len, pcm + n, max - n);
		assert_true(got > 0);
		n += (size_t)got;
	}
	decoder_free(d);
	return n;
}

static inline void wav_write(const char *path, const int16_t *pcm, size_t nframes, uint32_t rate_hz, int channels)
{
	SF_INFO info = { .samplerate = (int)rate_hz, .channels = channels, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16 };
	SNDFILE *f = sf_open(path, SFM_WRITE, &info);

	assert_non_null(f);
	assert_int_equal(sf_writef_short(f, pcm, (sf_count_t)nframes), nframes);
	sf_close(f);
}

/* Returns samples; the rate in *rate_hz. Asserts that it is a mono WAV file. */
static inline size_t wav_read(const char *path, int16_t *pcm, size_t max, uint32_t *rate_hz)
{
	SF_INFO info = { 0 };
	SNDFILE *f = sf_open(path, SFM_READ, &info);
	sf_count_t n;

	assert_non_null(f);
	assert_int_equal(info.channels, 1);
	*rate_hz = (uint32_t)info.samplerate;
	n = sf_readf_short(f, pcm, (sf_count_t)max);
	sf_close(f);
	return (size_t)n;
}
