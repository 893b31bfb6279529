/* dump.c - see dump.h. One struct for both sides: the worker's half is its own from CMD_DUMP until EV_DUMP_END. */
#define LOG_MODULE "media"
#include "media/dump.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "media/stream_int.h"

#define RECORD_LEN 16            /* its head in the file */
#define IP4_LEN 20
#define IP6_LEN 40
#define UDP_LEN 8
#define PROTO_UDP 17
#define HOPS 64
#define NTP_UNIX 2208988800      /* seconds from 1900 to 1970 */

struct chunk {                   /* on its way up */
	struct event up;
	struct dump *dump;
	struct dump_chunk c;
};

struct dump {
	/* loop */
	struct dump *prev, *next;
	struct media *media;
	struct stream *stream;   /* NULL: it is closing, or this has been stopped */
	struct dump_handler handler;
	void *arg;
	/* worker */
	struct addr local, local_rtcp;
	size_t left;             /* bytes that may come yet */
	uint32_t ndropped;
	struct chunk *now;       /* NULL: none begun */
	struct event ended;
};

/* ---- worker: one packet ---- */

static uint8_t *put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	return put16(put16(p, v >> 16), v & 0xffff);
}

/* The Internet's checksum, of whole 16-bit words but for the last byte. */
static uint32_t sum_of(const uint8_t *p, size_t n, uint32_t sum)
{
	for (; n > 1; n -= 2, p += 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	return n ? sum + ((uint32_t)p[0] << 8) : sum;
}

static uint16_t folded(uint32_t sum)
{
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static const uint8_t *ip_of(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6 ? a->v6.sin6_addr.s6_addr : (const uint8_t *)&a->v4.sin_addr.s_addr;
}

static size_t head_len(const struct addr *a)
{
	return (a->sa.sa_family == AF_INET6 ? IP6_LEN : IP4_LEN) + UDP_LEN;
}

/* The head of IP, whose payload has n bytes. */
static uint8_t *put_ip(uint8_t *p, const struct addr *from, const struct addr *to, size_t n)
{
	uint8_t *head = p;

	if (from->sa.sa_family == AF_INET6) {
		p = put32(p, 0x60000000);
		p = put16(p, (uint32_t)n);
		*p++ = PROTO_UDP;
		*p++ = HOPS;
		memcpy(p, ip_of(from), 16);
		memcpy(p + 16, ip_of(to), 16);
		return p + 32;
	}
	p = put16(p, 0x4500);
	p = put16(p, (uint32_t)(IP4_LEN + n));
	p = put32(p, 0x00004000); /* not to be cut */
	*p++ = HOPS;
	*p++ = PROTO_UDP;
	p = put16(p, 0);
	memcpy(p, ip_of(from), 4);
	memcpy(p + 4, ip_of(to), 4);
	put16(head + 10, folded(sum_of(head, IP4_LEN, 0)));
	return p + 8;
}

static void put_record(uint8_t *p, int64_t us, const struct addr *from, const struct addr *to, const uint8_t *bytes, size_t n)
{
	size_t ip = from->sa.sa_family == AF_INET6 ? 16 : 4, len = head_len(from) + n;
	uint32_t sum;
	uint8_t *udp;

	p = put32(p, (uint32_t)(us / 1000000));
	p = put32(p, (uint32_t)(us % 1000000));
	p = put32(p, (uint32_t)len);
	p = put32(p, (uint32_t)len);
	udp = put_ip(p, from, to, UDP_LEN + n);
	p = put16(udp, addr_port(from));
	p = put16(p, addr_port(to));
	p = put16(p, (uint32_t)(UDP_LEN + n));
	p = put16(p, 0);
	memcpy(p, bytes, n);
	sum = sum_of(ip_of(from), ip, sum_of(ip_of(to), ip, (uint32_t)(PROTO_UDP + UDP_LEN + n)));
	sum = folded(sum_of(udp, UDP_LEN + n, sum));
	put16(udp + 6, sum ? sum : 0xffff);
}

/* ---- worker: chunks ---- */

static int64_t wall_us(const struct worker *w)
{
	uint64_t ntp = worker_ntp(w);

	return ((int64_t)(ntp >> 32) - NTP_UNIX) * 1000000 + (int64_t)(((ntp & UINT32_MAX) * 1000000 + (1u << 31)) >> 32);
}

static void pass_on(struct worker *w, struct dump *d)
{
	struct chunk *k = d->now;

	if (!k)
		return;
	d->now = NULL;
	k->up = (struct event){ .type = EV_DUMP, .is_embedded = true, .chunk = k };
	k->c.ndropped = d->ndropped;
	d->ndropped = 0;
	worker_emit(w, &k->up);
}

static bool has_room(const struct dump_chunk *c, int64_t us, size_t n)
{
	return c->npackets < DUMP_CHUNK_PACKETS && c->nbytes + n <= DUMP_CHUNK && us >= c->began_us && us - c->began_us < DUMP_CHUNK_MS * 1000;
}

/* NULL without memory. */
static struct dump_chunk *chunk_for(struct worker *w, struct dump *d, int64_t us, size_t n)
{
	if (d->now && !has_room(&d->now->c, us, n))
		pass_on(w, d);
	if (!d->now) {
		d->now = malloc(sizeof(*d->now));
		if (!d->now)
			return NULL;
		d->now->dump = d;
		d->now->c.began_us = us;
		d->now->c.npackets = 0;
		d->now->c.nbytes = 0;
	}
	return &d->now->c;
}

void dump_packet(struct rtp_session *s, const struct dump_mark *m, const uint8_t *p, size_t n)
{
	struct dump *d = s->pair->dump;
	const struct addr *local = m->is_rtcp && !s->config.rtcp_mux ? &d->local_rtcp : &d->local;
	size_t len = RECORD_LEN + head_len(local) + n;
	int64_t us = wall_us(s->worker);
	struct dump_chunk *c;

	if (m->peer->sa.sa_family != local->sa.sa_family || n > PACKET_MAX)
		return; /* the same socket can't have had it */
	c = len <= d->left ? chunk_for(s->worker, d, us, len) : NULL;
	if (!c) {
		d->ndropped++;
		return;
	}
	d->left -= len;
	put_record(c->bytes + c->nbytes, us, m->is_sent ? local : m->peer, m->is_sent ? m->peer : local, p, n);
	c->at_us[c->npackets] = (uint32_t)(us - c->began_us);
	c->len[c->npackets++] = (uint16_t)len;
	c->nbytes += len;
}

/* That some were too many is told, too. */
static void note_dropped(struct worker *w, struct dump *d)
{
	if (d->ndropped && !d->now)
		chunk_for(w, d, wall_us(w), 0);
}

void dump_take(struct rtp_session *s, struct dump *d)
{
	struct dump *before;

	if (!s->pair)
		return; /* it rides on another's, and is never dumped */
	before = s->pair->dump;
	s->pair->dump = d;
	s->is_dumped = d != NULL;
	if (!before)
		return;
	note_dropped(s->worker, before);
	pass_on(s->worker, before);
	before->ended = (struct event){ .type = EV_DUMP_END, .is_embedded = true, .dump = before };
	worker_emit(s->worker, &before->ended);
}

/* ---- loop ---- */

static bool post(struct stream *s, struct dump *d)
{
	struct command *c = stream_command(s, CMD_DUMP, 0);

	if (!c)
		return false;
	c->dump = d;
	stream_post(c);
	return true;
}

int dump_start(struct dump **out, struct stream *s, const struct dump_params *p, const struct dump_handler *h, void *arg)
{
	struct dump *d;

	if (s->is_closing)
		return -ECANCELED;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->media = s->media;
	d->handler = *h;
	d->arg = arg;
	d->left = p->bytes_max;
	addr_from_sockaddr(&d->local, p->local);
	addr_set_port(&d->local, stream_port(s));
	d->local_rtcp = d->local;
	addr_set_port(&d->local_rtcp, (uint16_t)(stream_port(s) + 1));
	if (!post(s, d)) {
		free(d);
		return -ENOMEM;
	}
	dump_stream_closing(s); /* the one before */
	s->is_dumped = true;
	d->stream = s;
	DL_APPEND(s->media->dumps, d);
	*out = d;
	return 0;
}

void dump_stop(struct dump *d)
{
	struct stream *s = d->stream;

	if (!s || !post(s, NULL)) /* without memory it goes on until the stream ends */
		return;
	dump_stream_closing(s);
}

/* The session of s ends its dump. Which one that is isn't kept there: streams are many, and few are dumped. */
void dump_stream_closing(struct stream *s)
{
	struct dump *d;

	if (!s->is_dumped)
		return;
	s->is_dumped = false;
	DL_SEARCH_SCALAR(s->media->dumps, d, stream, s);
	if (d)
		d->stream = NULL;
}

void dump_chunk_come(struct chunk *k)
{
	struct dump *d = k->dump;

	if (d->handler.on_chunk)
		d->handler.on_chunk(d, &k->c, d->arg);
	free(k);
}

void dump_ended(struct dump *d)
{
	DL_DELETE(d->media->dumps, d);
	if (d->handler.on_end)
		d->handler.on_end(d, d->arg);
	free(d);
}

void dumps_stop(struct media *m)
{
	struct dump *d;

	DL_FOREACH(m->dumps, d)
		d->handler = (struct dump_handler){ 0 };
}
