/* mediaload.c - the sound of thousands of calls: many streams on two sockets.
 *
 *   mediaload --pairs FILE --seconds S [--warm S] [--a CODEC] [--b CODEC] [--listen 1] [--room N] [--srtp TEXT]
 *
 * FILE is rtpload's, two lines a call: `localport remotehost:remoteport` of the caller (side a), then that of the callee (side b); with
 * --listen and --room each line is a call. All streams of a side share one local port, and so a socket: packets go and come 64 at a system
 * call, and a stream is known by the server's port. So it costs a part of what a server does that has a socket a stream. RTCP finds a
 * socket beside it that nobody reads. Each stream sends a packet each 20 ms, all evenly spread over them, for S seconds after those of --warm,
 * which are for latching and aren't counted.
 *
 * Codecs: PCMU (default), PCMA, G722, OPUS:PT. Delay, from when the kernel took a packet to the kernel's time stamp of its arrival, is taken
 * in three ways. When we ourselves wake late doesn't count in it: a packet's time begins when it is sent, not when it was due. That is
 * said beside, as late_p99_us and late_max_us, because what is sent all at once the server can't send on all at once.
 *
 *
 *     a and b the same    Payloads hold their flow, number and time; whoever relays leaves them alone. Lost: sent and not arrived.
 *     a and b not         Five packets of noise each second, else silence: how late the noise begins. Lost: missing RTP numbers.
 *     --listen, --room    None: what comes wasn't sent. Lost: missing RTP numbers. In a room of N three make noise all the time.
 *
 * --srtp: side a is encrypted by AES_CM_128_HMAC_SHA1_80 with these 30 characters as key and salt. What comes to it is counted by its RTP numbers.
 *
 * Prints "tick received=N p99_us=N" each second, all that came so far and how late it was in this one; at the end sent, received, lost, loss_percent, silent_flows, foreign, dropped
 * (by the kernel before our own sockets: counted as lost, too), delays (how many), p50_us, p99_us, max_us, late_p99_us, late_max_us,
 * cpu_us (our own, a packet that was sent). Exit: 0; 2 trouble.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <opus.h>
#include <spandsp.h>
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define PPS 50
#define HEADER 12
#define MAGIC 0x436f7265
#define PAYLOAD_MAX 400
#define PACKET_MAX 1500
#define BURST 5                    /* packets of noise a second */
#define BURST_QUIET 10             /* packets of silence before what counts as its beginning */
#define TALKERS 3
#define SOCKET_BYTES (64 << 20)
#define DRAIN_NS 500000000ull
#define SECOND_NS 1000000000ull
#define BUCKET_NS 10000ull
#define BUCKETS 100000             /* to 1 s */

struct stamp {                     /* how a payload begins; it never leaves this machine */
	uint32_t magic, flow, number;
};

struct delays { uint64_t n, max_ns; uint32_t bucket[BUCKETS]; };

struct payload { uint8_t p[PAYLOAD_MAX]; unsigned len; };

enum codec { PCMU, PCMA, G722, OPUS };

struct side {
	enum codec codec;
	uint8_t pt;
	unsigned ts_step;
	struct str local;              /* "127.0.0.1:port" */
	char local_text[32];
	uint16_t port;
	int fd;
	uint32_t flow_of[65536];       /* plus one, by the server's port */
	struct payload burst[PPS], noise[PPS], quiet[PPS];
	unsigned nout;
	struct mmsghdr out[LOAD_BATCH];
	struct iovec out_parts[LOAD_BATCH];
	uint64_t *out_sent_ns[LOAD_BATCH];   /* where to note when each was sent; NULL: nowhere */
	uint8_t out_bytes[LOAD_BATCH][PACKET_MAX];
};

#define SENT 64                    /* packets of a flow whose sending is remembered: of more than a second */

struct flow {
	struct side *side;
	struct sockaddr_in to;
	srtp_t srtp;
	uint64_t sent_ns[SENT];        /* by the packet's number */
	uint32_t number;               /* of the next packet */
	uint64_t received;
	uint16_t newest;               /* RTP number that came last */
	unsigned quiet;                /* packets of silence in a row that came */
	uint64_t burst_ns;             /* when it last began to send noise */
};

struct options {
	struct str pairs, a, b, srtp;
	unsigned seconds, warm, listen, room;
};

struct load {
	struct options o;
	struct side *side[2];
	unsigned nsides;
	struct flow *flows;
	unsigned nflows;
	bool is_stamped, is_counting;
	uint64_t all_received, sent, received, missing, foreign, unsent;
	struct delays all, second;     /* second: of the one since the last tick */
	struct delays late;            /* our own: what was sent after its time */
};

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* ---- payloads ---- */

/* 20 ms of white noise as loud as speech, or of silence. */
static void make_sound(int16_t *pcm, unsigned n, bool is_loud, uint32_t *random)
{
	for (unsigned i = 0; i < n; i++) {
		*random = *random * 1664525 + 1013904223;
		pcm[i] = is_loud ? (int16_t)((int)(*random >> 16) % 16000 - 8000) : 0;
	}
}

struct encoder { g722_encode_state_t *g722; OpusEncoder *opus; };

static unsigned encode(enum codec codec, struct encoder *e, const int16_t *pcm, unsigned n, uint8_t *to)
{
	int len = (int)n;

	if (codec == G722) {
		len = g722_encode(e->g722, to, pcm, len);
	} else if (codec == OPUS) {
		len = opus_encode(e->opus, pcm, len, to, PAYLOAD_MAX);
		if (len < 0)
			load_die("opus: %s", opus_strerror(len));
	} else {
		for (unsigned i = 0; i < n; i++)
			to[i] = codec == PCMU ? linear_to_ulaw(pcm[i]) : linear_to_alaw(pcm[i]);
	}
	return (unsigned)len;
}

/* A second of packets, the first nloud of them noise; sent over and over. */
static void make_second(enum codec codec, struct payload *to, unsigned nloud)
{
	const unsigned n = codec == OPUS ? 960 : codec == G722 ? 320 : 160;
	struct encoder e = { 0 };
	uint32_t random = 1;
	int16_t pcm[960];
	int err = 0;

	if (codec == G722)
		e.g722 = g722_encode_init(NULL, 64000, 0);
	if (codec == OPUS)
		e.opus = opus_encoder_create(48000, 1, OPUS_APPLICATION_VOIP, &err);
	if (err != OPUS_OK || (codec == G722 && !e.g722))
		load_die("no encoder");
	for (unsigned i = 0; i < PPS; i++) {
		make_sound(pcm, n, i < nloud, &random);
		to[i].len = encode(codec, &e, pcm, n, to[i].p);
	}
	if (e.g722)
		g722_encode_free(e.g722);
	if (e.opus)
		opus_encoder_destroy(e.opus);
}

/* Of G.711 noise has loud samples; of G.722 it takes all values, silence few; and of Opus, whose rate varies, many bytes. */
static bool is_loud(enum codec codec, const uint8_t *p, unsigned n)
{
	const uint8_t zero = codec == PCMU ? 0xff : 0xd5;
	uint32_t seen[8] = { 0 };
	unsigned count = 0;

	if (codec == OPUS)
		return n > 40;
	for (unsigned i = 0; i < n; i++) {
		count += codec != G722 && ((p[i] ^ zero) & 0x70) >= 0x40;
		seen[p[i] >> 5] |= 1u << (p[i] & 31);
	}
	for (unsigned i = 0; i < 8 && codec == G722; i++)
		count += (unsigned)__builtin_popcount(seen[i]);
	return count > 40;
}

/* ---- sides and flows ---- */

static void side_codec(struct side *s, struct str name)
{
	struct str pt = name, base = str_cut(&pt, ':');
	uint32_t number = 0;

	if (!name.n || str_eqz(base, "PCMU"))
		s->codec = PCMU;
	else if (str_eqz(base, "PCMA"))
		s->codec = PCMA, number = 8;
	else if (str_eqz(base, "G722"))
		s->codec = G722, number = 9;
	else if (str_eqz(base, "OPUS") && str_to_u32(pt, 127, &number) == 0)
		s->codec = OPUS;
	else
		load_die("unknown codec: %.*s", STR_ARG(name));
	s->pt = (uint8_t)number;
	s->ts_step = s->codec == OPUS ? 960 : 160;
	make_second(s->codec, s->burst, BURST);
	make_second(s->codec, s->noise, PPS);
	make_second(s->codec, s->quiet, 0);
}

static struct side *side_open(struct load *l, uint16_t port, struct str codec)
{
	struct side *s = calloc(1, sizeof(*s));
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1, size = SOCKET_BYTES;

	if (!s)
		load_die("no memory");
	s->port = port;
	snprintf(s->local_text, sizeof(s->local_text), "127.0.0.1:%u", port);
	s->local = str_from(s->local_text);
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    setsockopt(s->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0)
		load_die("port %u: %s", port, strerror(errno));
	if (setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	load_sink(s->local, port + 1u);
	side_codec(s, codec);
	l->side[l->nsides++] = s;
	return s;
}

static void flow_encrypt(struct load *l, struct flow *f, uint32_t ssrc)
{
	srtp_policy_t policy = { .ssrc = { ssrc_specific, ssrc } };
	unsigned char key[SRTP_AES_ICM_128_KEY_LEN_WSALT];

	if (l->o.srtp.n != sizeof(key))
		load_die("--srtp has not %zu characters", sizeof(key));
	memcpy(key, l->o.srtp.p, sizeof(key));
	srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtp);
	srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtcp);
	policy.key = key;
	if (srtp_create(&f->srtp, &policy) != srtp_err_status_ok)
		load_die("libsrtp2 makes no session");
}

static void flow_add(struct load *l, const char *line)
{
	const unsigned which = l->o.listen || l->o.room ? 0 : l->nflows % 2;
	struct flow *f = &l->flows[l->nflows];
	unsigned local, port;
	char host[64];

	if (sscanf(line, " %u %63[^:]:%u", &local, host, &port) != 3 || local > 65534 || port > 65535 ||
	    inet_pton(AF_INET, host, &f->to.sin_addr) != 1)
		load_die("not LOCAL ADDR:PORT: %s", line);
	f->to.sin_family = AF_INET;
	f->to.sin_port = htons((uint16_t)port);
	f->side = which < l->nsides ? l->side[which] : side_open(l, (uint16_t)local, which ? l->o.b : l->o.a);
	if (f->side->port != local)
		load_die("a side has one port: %s", line);
	f->side->flow_of[port] = ++l->nflows;
	if (l->o.srtp.n && which == 0)
		flow_encrypt(l, f, l->nflows);
}

static void flows_open(struct load *l)
{
	char line[256], path[256];
	unsigned room = 0;
	FILE *file;

	if (str_copy(l->o.pairs, path, sizeof(path)) != 0 || !(file = fopen(path, "re")))
		load_die("no such file: %.*s", STR_ARG(l->o.pairs));
	while (fgets(line, sizeof(line), file)) {
		if (l->nflows == room) {
			room = room ? room * 2 : 256;
			l->flows = realloc(l->flows, room * sizeof(*l->flows));
			if (!l->flows)
				load_die("no memory");
			memset(l->flows + l->nflows, 0, (room - l->nflows) * sizeof(*l->flows));
		}
		flow_add(l, line);
	}
	fclose(file);
	if (!l->nflows || (!l->o.listen && !l->o.room && l->nflows % 2))
		load_die("a call has two flows");
}

/* ---- out ---- */

/* The kernel has taken n packets of a side, one after the other. */
static void note_sent(struct side *s, unsigned first, unsigned n, uint64_t begin_ns, uint64_t end_ns)
{
	for (unsigned i = 0; i < n; i++)
		if (s->out_sent_ns[first + i])
			*s->out_sent_ns[first + i] = begin_ns + (end_ns - begin_ns) * i / n;
}

static void side_flush(struct load *l, struct side *s)
{
	uint64_t begin_ns = s->nout ? wall_ns() : 0;
	unsigned done = 0;

	while (done < s->nout) {
		int n = sendmmsg(s->fd, s->out + done, s->nout - done, 0);

		if (n > 0) {
			uint64_t end_ns = wall_ns();

			note_sent(s, done, (unsigned)n, begin_ns, end_ns);
			begin_ns = end_ns;
			done += (unsigned)n;
		} else if (errno != EINTR) { /* what was not sent is lost all the same */
			l->unsent++;
			done++;
		}
	}
	s->nout = 0;
}

/* sent_ns: where its time of sending is to be noted, or NULL. */
static unsigned write_payload(struct load *l, struct flow *f, unsigned index, uint8_t *to, uint64_t **sent_ns)
{
	const struct side *s = f->side;
	const struct payload *from = &s->quiet[f->number % PPS];
	const unsigned place = (f->number + index) % PPS;    /* so that not all burst at once */

	if (l->o.room && index % l->o.room < TALKERS)
		from = &s->noise[place];
	else if (!l->is_stamped && !l->o.room && !l->o.listen)
		from = &s->burst[place];
	memcpy(to, from->p, from->len);
	*sent_ns = NULL;
	if (l->is_stamped) {
		struct stamp stamp = { .magic = MAGIC, .flow = index, .number = f->number };

		memcpy(to, &stamp, sizeof(stamp));
		*sent_ns = &f->sent_ns[f->number % SENT];
	} else if (from == &s->burst[0]) {
		*sent_ns = &f->burst_ns;
	}
	return from->len;
}

static void flow_send(struct load *l, unsigned index)
{
	struct flow *f = &l->flows[index];
	struct side *s = f->side;
	const uint32_t ts = f->number * s->ts_step, ssrc = index + 1;
	uint8_t *p = s->out_bytes[s->nout];
	int len;

	p[0] = 0x80;
	p[1] = (uint8_t)(s->pt | (f->number == 0 ? 0x80 : 0));
	p[2] = (uint8_t)(f->number >> 8);
	p[3] = (uint8_t)f->number;
	for (unsigned i = 0; i < 4; i++) {
		p[4 + i] = (uint8_t)(ts >> (24 - 8 * i));
		p[8 + i] = (uint8_t)(ssrc >> (24 - 8 * i));
	}
	len = HEADER + (int)write_payload(l, f, index, p + HEADER, &s->out_sent_ns[s->nout]);
	if (f->srtp && srtp_protect(f->srtp, p, &len) != srtp_err_status_ok)
		load_die("libsrtp2 doesn't encrypt");
	s->out_parts[s->nout] = (struct iovec){ p, (size_t)len };
	s->out[s->nout].msg_hdr = (struct msghdr){ .msg_name = &f->to, .msg_namelen = sizeof(f->to),
						   .msg_iov = &s->out_parts[s->nout], .msg_iovlen = 1 };
	l->sent += f->number++ >= l->o.warm * PPS;
	if (++s->nout == LOAD_BATCH)
		side_flush(l, s);
}

/* ---- in ---- */

static void delays_add(struct delays *d, uint64_t ns)
{
	d->bucket[ns / BUCKET_NS < BUCKETS ? (unsigned)(ns / BUCKET_NS) : BUCKETS - 1]++;
	d->n++;
	d->max_ns = ns > d->max_ns ? ns : d->max_ns;
}

static void count_delay(struct load *l, uint64_t sent_ns, uint64_t arrived_ns)
{
	const uint64_t ns = arrived_ns > sent_ns ? arrived_ns - sent_ns : 0;

	delays_add(&l->all, ns);
	delays_add(&l->second, ns);
}

static void take_stamped(struct load *l, const uint8_t *p, unsigned n, uint64_t arrived_ns)
{
	struct stamp stamp;
	struct flow *f;

	if (n < HEADER + sizeof(stamp))
		goto foreign;
	memcpy(&stamp, p + HEADER, sizeof(stamp));
	if (stamp.magic != MAGIC || stamp.flow >= l->nflows || stamp.number >= l->flows[stamp.flow].number)
		goto foreign;
	if (stamp.number < l->o.warm * PPS)
		return;
	l->received++;
	f = &l->flows[stamp.flow];
	/* What is so late that its time is forgotten is as late as can be. */
	count_delay(l, f->number - stamp.number > SENT ? 0 : f->sent_ns[stamp.number % SENT], arrived_ns);
	return;
foreign:
	l->foreign++;
}

/* By its RTP number. */
static void take_numbered(struct load *l, struct flow *f, const uint8_t *p, bool is_first)
{
	const uint16_t number = (uint16_t)(p[2] << 8 | p[3]), step = (uint16_t)(number - f->newest);

	if (!is_first && (step == 0 || step > UINT16_MAX / 2)) {
		l->foreign++; /* twice or late: neither is there on one machine */
		return;
	}
	if (!is_first)
		l->missing += step - 1u;
	f->newest = number;
	l->received++;
}

static void take_burst(struct load *l, struct flow *f, unsigned index, const uint8_t *p, unsigned n, uint64_t arrived_ns)
{
	struct flow *partner = &l->flows[index ^ 1];

	if (!is_loud(f->side->codec, p + HEADER, n - HEADER)) {
		f->quiet++;
		return;
	}
	if (f->quiet >= BURST_QUIET && partner->burst_ns && l->is_counting)
		count_delay(l, partner->burst_ns, arrived_ns);
	partner->burst_ns = 0; /* that one has come */
	f->quiet = 0;
}

static void take(struct load *l, struct side *s, const struct sockaddr_in *from, const uint8_t *p, unsigned n, uint64_t arrived_ns)
{
	const uint32_t index = s->flow_of[ntohs(from->sin_port)] - 1;
	struct flow *f;

	l->all_received++;
	if (index >= l->nflows || n < HEADER || (p[1] & 0x7f) != s->pt) {
		l->foreign++;
		return;
	}
	f = &l->flows[index];
	if (l->is_stamped && !f->srtp) {
		f->received++;
		take_stamped(l, p, n, arrived_ns);
		return;
	}
	if (l->is_counting)
		take_numbered(l, f, p, f->received++ == 0);
	if (!l->is_stamped && !l->o.room && !l->o.listen)
		take_burst(l, f, index, p, n, arrived_ns);
}

static uint64_t arrival(struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		struct timespec t;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
	}
	return wall_ns();
}

static void side_receive(struct load *l, struct side *s)
{
	static uint8_t data[LOAD_BATCH][PACKET_MAX];
	static _Alignas(struct cmsghdr) uint8_t control[LOAD_BATCH][CMSG_SPACE(sizeof(struct timespec))];
	struct sockaddr_in from[LOAD_BATCH];
	struct mmsghdr m[LOAD_BATCH];
	struct iovec iov[LOAD_BATCH];
	int n;

	do {
		for (unsigned i = 0; i < LOAD_BATCH; i++) {
			iov[i] = (struct iovec){ data[i], PACKET_MAX };
			m[i].msg_hdr = (struct msghdr){ .msg_name = &from[i], .msg_namelen = sizeof(from[i]), .msg_iov = &iov[i], .msg_iovlen = 1,
							.msg_control = control[i], .msg_controllen = sizeof(control[i]) };
		}
		n = recvmmsg(s->fd, m, LOAD_BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			take(l, s, &from[i], data[i], m[i].msg_len, arrival(&m[i].msg_hdr));
	} while (n == LOAD_BATCH);
}

/* ---- the run ---- */

static uint64_t percentile_us(const struct delays *d, double part)
{
	const uint64_t wanted = (uint64_t)ceil(part * (double)d->n);
	uint64_t sum = 0;

	for (unsigned i = 0; i < BUCKETS && wanted > 0; i++) {
		sum += d->bucket[i];
		if (sum >= wanted)
			return (i + 1) * BUCKET_NS / 1000;
	}
	return 0;
}

/* Sends what is due: of each 20 ms, flow i has its place at i / nflows of it. */
static void send_due(struct load *l, uint64_t since_ns, uint64_t *next)
{
	const uint64_t all = (uint64_t)(l->o.warm + l->o.seconds) * PPS * l->nflows;
	const double apart_ns = 1e9 / PPS / l->nflows;
	uint64_t due = (uint64_t)((double)since_ns / apart_ns) + 1;

	for (uint64_t i = *next; i < due && i < all && l->is_counting; i++)
		delays_add(&l->late, since_ns - (uint64_t)((double)i * apart_ns));
	for (due = due < all ? due : all; *next < due; ++*next)
		flow_send(l, (unsigned)(*next % l->nflows));
	for (unsigned i = 0; i < l->nsides; i++)
		side_flush(l, l->side[i]);
}

/* It sleeps by the clock and then takes in what has come: who waits for packets is woken by them, which the kernel counts for the server. */
static void run(struct load *l)
{
	const struct timespec ms = { 0, 1000000 };
	const uint64_t begin = load_now_ns(), end = begin + (l->o.warm + l->o.seconds) * SECOND_NS + DRAIN_NS;
	uint64_t next = 0, tick = begin + l->o.warm * SECOND_NS, now;

	while ((now = load_now_ns()) < end) {
		send_due(l, now - begin, &next);
		for (unsigned i = 0; i < l->nsides; i++)
			side_receive(l, l->side[i]);
		if (now >= tick) {
			tick += SECOND_NS;
			l->is_counting = true;
			printf("tick received=%lu p99_us=%lu\n", l->all_received, percentile_us(&l->second, 0.99));
			fflush(stdout);
			l->second = (struct delays){ 0 };
		}
		nanosleep(&ms, NULL);
	}
}

static void report(const struct load *l, uint64_t dropped)
{
	const bool is_whole = l->is_stamped && !l->o.srtp.n;
	const uint64_t lost = !is_whole ? l->missing : l->sent > l->received ? l->sent - l->received : 0, of = lost + l->received;
	unsigned silent = 0;

	for (unsigned i = 0; i < l->nflows; i++)
		silent += l->flows[i].received == 0;
	printf("flows=%u sent=%lu received=%lu lost=%lu loss_percent=%.3f silent_flows=%u foreign=%lu unsent=%lu dropped=%lu\n", l->nflows,
	       l->sent, l->received, lost, of ? 100.0 * (double)lost / (double)of : 0, silent, l->foreign, l->unsent, dropped);
	printf("delays=%lu p50_us=%lu p99_us=%lu max_us=%lu late_p99_us=%lu late_max_us=%lu cpu_us=%.2f\n", l->all.n,
	       percentile_us(&l->all, 0.5), percentile_us(&l->all, 0.99), l->all.max_ns / 1000, percentile_us(&l->late, 0.99),
	       l->late.max_ns / 1000, load_own_cpu_us() / (double)(l->sent ? l->sent : 1));
}

static uint64_t dropped(const struct load *l)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < l->nsides; i++)
		sum += load_dropped(l->side[i]->local);
	return sum;
}

int main(int argc, char **argv)
{
	static struct load l = { .o = { .warm = 1 } };
	const struct load_option options[] = {
		{ "pairs", &l.o.pairs, NULL },
		{ "a", &l.o.a, NULL },
		{ "b", &l.o.b, NULL },
		{ "srtp", &l.o.srtp, NULL },
		{ "seconds", NULL, &l.o.seconds },
		{ "warm", NULL, &l.o.warm },
		{ "listen", NULL, &l.o.listen },
		{ "room", NULL, &l.o.room },
	};

	load_options(argc, argv, options, ARRAY_LEN(options));
	if (!l.o.pairs.n || !l.o.seconds || !l.o.warm)
		load_die("mediaload: see the head of mediaload.c");
	if (l.o.srtp.n && srtp_init() != srtp_err_status_ok)
		load_die("libsrtp2 doesn't begin");
	flows_open(&l);
	l.is_stamped = !l.o.listen && !l.o.room && l.side[0]->codec == l.side[1]->codec;
	run(&l);
	report(&l, dropped(&l));
	for (unsigned i = 0; i < l.nflows; i++)
		if (l.flows[i].srtp)
			srtp_dealloc(l.flows[i].srtp);
	for (unsigned i = 0; i < l.nsides; i++) {
		close(l.side[i]->fd);
		free(l.side[i]);
	}
	free(l.flows);
	return 0;
}
