/* rtpload.c - RTP flows for the benchmark: sends, takes in, counts.
 *
 *   rtpload --pairs FILE --seconds S [--pps 50] [--bytes 160] [--pt 0] [--max-loss PERCENT] [--room N [--talk 3]]
 *
 * FILE has one flow a line: `localport remotehost:remoteport` (an IPv6 host in brackets). Each flow has a socket of its own, bound to
 * localport of the loopback, that sends an RTP packet every 1/pps s to the remote, the flows spread evenly over that time, and takes in
 * what comes back. Each payload begins with its flow, a number and when it was sent; whoever relays it leaves it alone, so
 * it doesn't matter on which of our sockets it arrives. Arrival is the kernel's time stamp: that we were slow to look costs nothing.
 *
 * With --room the flows are members of conferences, N of them each, in the order of the file. They get a mix, in which nothing of a payload is left:
 * what arrives is counted by the RTP numbers of each flow, lost is what is missing among them, and there is no latency. Of each room --talk
 * members talk: they send noise as loud as speech, the others silence of PCMU.
 *
 * Goes on taking in for half a second after the last packet. Prints sent, received, duplicated, foreign (not ours), lost,
 * loss_percent, silent_flows (nothing of them arrived), send_errors and the latency's p50_us, p95_us, p99_us and max_us.
 * Exit: 0; 1 more than --max-loss (default 100) was lost; 2 trouble.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEADER 12
#define MAGIC 0x436f7264
#define BYTES_MIN ((unsigned)sizeof(struct stamp))
#define BYTES_MAX 1400
#define BATCH 32
#define DRAIN_NS 500000000ull
#define BUCKET_NS 10000ull
#define BUCKETS 100000             /* to 1 s; what is slower counts as that */
#define LOUDNESS 16                 /* PCMU: of the eight steps of loudness the third */
#define USAGE "usage: rtpload --pairs FILE --seconds S [--pps N] [--bytes N] [--pt N] [--max-loss PERCENT] [--room N [--talk N]]\n"

struct stamp {                     /* how a payload begins; it never leaves this machine */
	uint32_t magic, flow, number, unused;
	uint64_t sent_ns;
};

struct flow {
	int fd;
	uint32_t ssrc, number;
	uint32_t newest;           /* of those that arrived, plus one; in a room: the RTP number, the same */
	uint64_t window;           /* which of the last 64 before newest arrived */
	uint64_t received;
};

struct options {
	const char *pairs;
	double seconds, max_loss;
	unsigned pps, bytes, pt, room, talk;
};

struct load {
	struct options o;
	struct flow *flows;
	unsigned nflows;
	int epoll_fd;
	uint64_t sent, received, duplicated, foreign, missing, errors, max_ns;
	uint32_t *bucket;
};

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static uint64_t mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* ---- flows ---- */

/* -EINVAL: no such line; else what the socket failed with. */
static int flow_open(struct flow *f, char *line)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *remote;
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} local = { 0 };
	char host[64], port[8];
	unsigned local_port;
	int on = 1, err = 0;

	if (sscanf(line, " %u [%63[^]]]:%7[0-9]", &local_port, host, port) != 3 &&
	    sscanf(line, " %u %63[^:]:%7[0-9]", &local_port, host, port) != 3)
		return -EINVAL;
	if (local_port > 65535 || getaddrinfo(host, port, &hints, &remote) != 0)
		return -EINVAL;
	local.sa.sa_family = (sa_family_t)remote->ai_family;
	if (remote->ai_family == AF_INET6) {
		local.v6.sin6_addr = in6addr_loopback;
		local.v6.sin6_port = htons((uint16_t)local_port);
	} else {
		local.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		local.v4.sin_port = htons((uint16_t)local_port);
	}
	f->fd = socket(remote->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (f->fd < 0 || setsockopt(f->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0 ||
	    bind(f->fd, &local.sa, remote->ai_addrlen) < 0 || connect(f->fd, remote->ai_addr, remote->ai_addrlen) < 0)
		err = -errno;
	freeaddrinfo(remote);
	return err;
}

static int flows_open(struct load *l)
{
	FILE *file = fopen(l->o.pairs, "re");
	unsigned room = 0, line_number = 0;
	char line[256];
	int err = 0;

	if (!file)
		return -errno;
	while (err == 0 && fgets(line, sizeof(line), file)) {
		struct epoll_event ev = { .events = EPOLLIN };
		struct flow *f;

		line_number++;
		if (line[strspn(line, " \t\n")] == 0)
			continue;
		if (l->nflows == room) {
			room = room ? room * 2 : 64;
			f = realloc(l->flows, room * sizeof(*f));
			if (!f) {
				err = -ENOMEM;
				break;
			}
			l->flows = f;
		}
		f = &l->flows[l->nflows];
		*f = (struct flow){ .fd = -1, .ssrc = 0x10000u + l->nflows };
		ev.data.u32 = l->nflows++;
		err = flow_open(f, line);
		if (err == 0 && epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, f->fd, &ev) < 0)
			err = -errno;
	}
	fclose(file);
	if (err < 0)
		fprintf(stderr, "rtpload: %s:%u: %s\n", l->o.pairs, line_number, strerror(-err));
	return err;
}

/* ---- out ---- */

static void talk(const struct load *l, const struct flow *f, unsigned index, uint8_t *payload)
{
	uint32_t random = f->number * 2654435761u + index;

	for (unsigned i = 0; i < l->o.bytes && index % l->o.room < l->o.talk; i++) {
		random = random * 1664525 + 1013904223;
		payload[i] = (uint8_t)((random >> 24 & 0x80) | (0x7f - (LOUDNESS * 3 + (random >> 25) % LOUDNESS)));
	}
}

static void flow_send(struct load *l, unsigned index)
{
	struct flow *f = &l->flows[index];
	uint32_t ts = f->number * (8000 / l->o.pps);
	struct stamp stamp = { .magic = MAGIC, .flow = index, .number = f->number };
	uint8_t p[HEADER + BYTES_MAX];

	p[0] = 0x80;
	p[1] = (uint8_t)(l->o.pt | (f->number == 0 ? 0x80 : 0));
	p[2] = (uint8_t)(f->number >> 8);
	p[3] = (uint8_t)f->number;
	for (unsigned i = 0; i < 4; i++) {
		p[4 + i] = (uint8_t)(ts >> (24 - 8 * i));
		p[8 + i] = (uint8_t)(f->ssrc >> (24 - 8 * i));
	}
	memset(p + HEADER, 0xff, l->o.bytes);
	if (l->o.room) {
		talk(l, f, index, p + HEADER);
	} else {
		stamp.sent_ns = wall_ns();
		memcpy(p + HEADER, &stamp, sizeof(stamp));
	}
	f->number++;
	if (send(f->fd, p, HEADER + l->o.bytes, 0) < 0)
		l->errors++; /* what was not sent is lost all the same */
	l->sent++;
}

/* ---- in ---- */

/* Of the last 64 of a flow is known which arrived; older ones are taken for new. */
static bool is_duplicate(struct flow *f, uint32_t number)
{
	uint32_t end = number + 1;

	if (end > f->newest) {
		uint32_t by = end - f->newest;

		f->window = by < 64 ? f->window << by | 1 : 1;
		f->newest = end;
		return false;
	}
	if (f->newest - end >= 64)
		return false;
	if (f->window >> (f->newest - end) & 1)
		return true;
	f->window |= 1ull << (f->newest - end);
	return false;
}

static void take(struct load *l, const uint8_t *p, size_t n, uint64_t arrived_ns)
{
	struct stamp stamp;
	uint64_t late_ns, bucket;

	if (n < HEADER + sizeof(stamp))
		goto foreign;
	memcpy(&stamp, p + HEADER, sizeof(stamp));
	if (stamp.magic != MAGIC || stamp.flow >= l->nflows || stamp.number >= l->flows[stamp.flow].number)
		goto foreign;
	if (is_duplicate(&l->flows[stamp.flow], stamp.number)) {
		l->duplicated++;
		return;
	}
	late_ns = arrived_ns > stamp.sent_ns ? arrived_ns - stamp.sent_ns : 0;
	bucket = late_ns / BUCKET_NS;
	l->bucket[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
	l->max_ns = late_ns > l->max_ns ? late_ns : l->max_ns;
	l->flows[stamp.flow].received++;
	l->received++;
	return;
foreign:
	l->foreign++;
}

/* Of a mix: numbers of its own. */
static void take_mixed(struct load *l, struct flow *f, const uint8_t *p, size_t n)
{
	uint16_t step, number = (uint16_t)(p[2] << 8 | p[3]);

	if (n < HEADER || (p[1] & 0x7f) != l->o.pt) {
		l->foreign++;
		return;
	}
	step = f->received ? (uint16_t)(number + 1 - f->newest) : 1;
	if (step == 0 || step > UINT16_MAX / 2) {
		l->duplicated++; /* or late: neither is there on one machine */
		return;
	}
	l->missing += step - 1u;
	f->newest = (uint16_t)(number + 1);
	f->received++;
	l->received++;
}

static uint64_t arrival(struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		struct timespec t;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
	}
	return wall_ns();
}

static void flow_receive(struct load *l, struct flow *f)
{
	static const size_t size = HEADER + BYTES_MAX;
	uint8_t data[BATCH][HEADER + BYTES_MAX];
	_Alignas(struct cmsghdr) uint8_t control[BATCH][CMSG_SPACE(sizeof(struct timespec))];
	struct mmsghdr m[BATCH];
	struct iovec iov[BATCH];
	int n;

	do {
		for (unsigned i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){ data[i], size };
			m[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1,
							.msg_control = control[i], .msg_controllen = sizeof(control[i]) };
		}
		n = recvmmsg(f->fd, m, BATCH, MSG_DONTWAIT, NULL); /* an error of ICMP's is taken, too, and done with */
		for (int i = 0; i < n && l->o.room; i++)
			take_mixed(l, f, data[i], m[i].msg_len);
		for (int i = 0; i < n && !l->o.room; i++)
			take(l, data[i], m[i].msg_len, arrival(&m[i].msg_hdr));
	} while (n == BATCH);
}

/* ---- the run ---- */

/* Sends what is due: of each 1/pps s, flow i has its place at i / nflows of it. */
static void send_due(struct load *l, uint64_t since_ns, uint64_t *next)
{
	uint64_t per_s = (uint64_t)l->nflows * l->o.pps;
	uint64_t due = (uint64_t)((double)since_ns / 1e9 * (double)per_s) + 1;
	uint64_t all = (uint64_t)(l->o.seconds * l->o.pps) * l->nflows;

	for (due = due < all ? due : all; *next < due; ++*next)
		flow_send(l, (unsigned)(*next % l->nflows));
}

/* It sleeps by the clock and then takes in what has come. Who waits for packets is woken by them, and the kernel counts that for whoever
 * sent them: it would be counted for the server, which with telephones on a network it never is. */
static int run(struct load *l)
{
	struct epoll_event events[256];
	uint64_t begin = mono_ns(), end = begin + (uint64_t)(l->o.seconds * 1e9) + DRAIN_NS, next = 0, now;

	while ((now = mono_ns()) < end) {
		struct timespec ms = { 0, 1000000 };
		int n;

		send_due(l, now - begin, &next);
		do {
			n = epoll_wait(l->epoll_fd, events, 256, 0);
			if (n < 0 && errno != EINTR)
				return -errno;
			for (int i = 0; i < n; i++)
				flow_receive(l, &l->flows[events[i].data.u32]);
		} while (n == 256);
		nanosleep(&ms, NULL);
	}
	return 0;
}

static uint64_t percentile_us(const struct load *l, double part)
{
	uint64_t wanted = (uint64_t)ceil(part * (double)l->received), sum = 0;

	for (unsigned i = 0; i < BUCKETS && wanted > 0; i++) {
		sum += l->bucket[i];
		if (sum >= wanted)
			return (i + 1) * BUCKET_NS / 1000;
	}
	return 0;
}

static int report(const struct load *l)
{
	uint64_t lost = l->o.room ? l->missing : l->sent - l->received, of = l->o.room ? l->received + l->missing : l->sent;
	double percent = of ? 100.0 * (double)lost / (double)of : 0;
	unsigned silent = 0;

	for (unsigned i = 0; i < l->nflows; i++)
		silent += l->flows[i].received == 0;
	printf("flows=%u\nsent=%lu\nreceived=%lu\nduplicated=%lu\nforeign=%lu\nlost=%lu\nloss_percent=%.3f\n", l->nflows, l->sent,
	       l->received, l->duplicated, l->foreign, lost, percent);
	printf("silent_flows=%u\nsend_errors=%lu\np50_us=%lu\np95_us=%lu\np99_us=%lu\nmax_us=%lu\n", silent, l->errors,
	       percentile_us(l, 0.5), percentile_us(l, 0.95), percentile_us(l, 0.99), l->max_ns / 1000);
	return percent <= l->o.max_loss ? 0 : 1;
}

static int number(const char *z, double min, double max, double *out)
{
	char *end;

	*out = strtod(z, &end);
	return end != z && !*end && *out >= min && *out <= max ? 0 : -EINVAL;
}

static int options_parse(struct options *o, int argc, char **argv)
{
	double v = 0;
	int err = 0;

	for (int i = 1; i + 1 < argc && err == 0; i += 2) {
		if (strcmp(argv[i], "--pairs") == 0) {
			o->pairs = argv[i + 1];
		} else if (strcmp(argv[i], "--seconds") == 0) {
			err = number(argv[i + 1], 0.1, 86400, &o->seconds);
		} else if (strcmp(argv[i], "--pps") == 0) {
			err = number(argv[i + 1], 1, 1000, &v);
			o->pps = (unsigned)v;
		} else if (strcmp(argv[i], "--bytes") == 0) {
			err = number(argv[i + 1], BYTES_MIN, BYTES_MAX, &v);
			o->bytes = (unsigned)v;
		} else if (strcmp(argv[i], "--pt") == 0) {
			err = number(argv[i + 1], 0, 127, &v);
			o->pt = (unsigned)v;
		} else if (strcmp(argv[i], "--room") == 0) {
			err = number(argv[i + 1], 1, 100000, &v);
			o->room = (unsigned)v;
		} else if (strcmp(argv[i], "--talk") == 0) {
			err = number(argv[i + 1], 0, 100000, &v);
			o->talk = (unsigned)v;
		} else if (strcmp(argv[i], "--max-loss") == 0) {
			err = number(argv[i + 1], 0, 100, &o->max_loss);
		} else {
			err = -EINVAL;
		}
	}
	return err < 0 || argc % 2 == 0 || !o->pairs || o->seconds <= 0 ? -EINVAL : 0;
}

int main(int argc, char **argv)
{
	struct load l = { .o = { .pps = 50, .bytes = 160, .max_loss = 100, .talk = 3 }, .epoll_fd = -1 };
	struct rlimit files;
	int err = -ENOMEM, code = 2;

	if (options_parse(&l.o, argc, argv) < 0) {
		fputs(USAGE, stderr);
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* a socket a flow */
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	l.bucket = calloc(BUCKETS, sizeof(*l.bucket));
	l.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l.epoll_fd < 0)
		err = -errno;
	else if (l.bucket)
		err = flows_open(&l);
	if (err == 0 && l.nflows == 0)
		err = -ENODATA;
	if (err == 0)
		err = run(&l);
	if (err == 0)
		code = report(&l);
	else
		fprintf(stderr, "rtpload: %s\n", strerror(-err));
	for (unsigned i = 0; i < l.nflows; i++) {
		if (l.flows[i].fd >= 0)
			close(l.flows[i].fd);
	}
	free(l.flows);
	free(l.bucket);
	if (l.epoll_fd >= 0)
		close(l.epoll_fd);
	return code;
}
