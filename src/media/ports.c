/* ports.c - the pool of bound RTP/RTCP socket pairs.
 *
 * Opening and binding two sockets costs more than all else in setting up a stream, so pairs are bound in batches
 * before they are needed and kept when they come back. They come back at the end of a queue, so that a port rests
 * as long as possible while its last peer may still be sending; what it did send is thrown away before the port is taken
 * again. A pair rests for a stream of the worker that served it last, which goes on watching it. Ports are tried from
 * a random place in the range on, since several servers may share the machine and its range; SO_REUSEADDR is not set,
 * it would let two of them bind the same port.
 */
#include "media/media_int.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#define BATCH 16         /* pairs bound ahead at once */
#define LOW_WATER 8      /* fewer idle pairs than this: bind a batch */
#define KEEP_MAX 256     /* idle pairs kept for each worker; more are closed */
#define EXHAUSTED_MS 1000 /* after the whole range was found busy, don't search it again for so long */
#define DRAIN_MAX 4096   /* more than any socket buffer holds */
#define TOS_EF 0xb8      /* RFC 4594: telephony */
#define TOS_AF41 0x88    /* and multimedia conferencing */

struct idle {                    /* pairs that rest, in the order they came back */
	struct port_pair *first, *last;
	unsigned n;
	bool is_wanted;          /* some have been taken: keep some ready */
};

struct port_set {                /* of one local address */
	struct port_set *next;
	struct addr local;
	unsigned nopen;          /* pairs, idle or not */
	unsigned at;             /* next pair of the range to try */
	uint64_t exhausted_until_ms;
	uint8_t *held;           /* bit i: pair i of the range is ours */
	struct idle idle[];      /* one a worker */
};

struct ports {
	uv_loop_t *loop;
	uv_idle_t refill;        /* runs while some set is below its low water */
	uint16_t first;          /* even */
	unsigned npairs, nworkers;
	struct port_set *sets;
	struct rng rng;
	void (*done)(void *arg);
	void *arg;
};

static void on_refill(uv_idle_t *idle);

int ports_new(struct ports **out, uv_loop_t *loop, unsigned nworkers, uint16_t port_min, uint16_t port_max)
{
	struct ports *p;
	unsigned first = (port_min + 1u) & ~1u;

	if (port_min == 0 || first + 1 > port_max)
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->loop = loop;
	p->first = (uint16_t)first;
	p->npairs = (port_max - first + 1) / 2;
	p->nworkers = nworkers;
	rng_init(&p->rng);
	uv_idle_init(loop, &p->refill);
	p->refill.data = p;
	*out = p;
	return 0;
}

void port_pair_free(struct port_pair *pair)
{
	close(pair->rtp.fd);
	close(pair->rtcp.fd);
	free(pair);
}

/* No longer ours; whether it could be bound again at once isn't known while its worker still has it. */
static void pair_release(struct ports *p, struct port_pair *pair)
{
	unsigned i = (pair->port - p->first) / 2u;

	pair->set->held[i / 8] &= (uint8_t)~(1u << i % 8);
	pair->set->nopen--;
}

static void pair_drop(struct ports *p, struct port_pair *pair)
{
	pair_release(p, pair);
	if (!pair->worker) {
		port_pair_free(pair);
		return;
	}
	pair->forget = (struct command){ .type = CMD_FORGET, .is_embedded = true, .pair = pair };
	worker_post(pair->worker, &pair->forget);
}

static struct port_pair *idle_shift(struct idle *idle)
{
	struct port_pair *pair = idle->first;

	idle->first = pair->next;
	if (!idle->first)
		idle->last = NULL;
	pair->next = NULL;
	idle->n--;
	return pair;
}

static void idle_append(struct idle *idle, struct port_pair *pair)
{
	pair->next = NULL;
	if (idle->last)
		idle->last->next = pair;
	else
		idle->first = pair;
	idle->last = pair;
	idle->n++;
}

static void on_closed(uv_handle_t *h)
{
	struct ports *p = h->data;
	void (*done)(void *) = p->done;
	void *arg = p->arg;

	free(p);
	if (done)
		done(arg);
}

void ports_close(struct ports *p, void (*done)(void *arg), void *arg)
{
	struct port_set *set, *next;

	LL_FOREACH_SAFE(p->sets, set, next) {
		for (unsigned i = 0; i < p->nworkers; i++)
			while (set->idle[i].first)
				port_pair_free(idle_shift(&set->idle[i]));
		free(set->held);
		free(set);
	}
	p->sets = NULL;
	p->done = done;
	p->arg = arg;
	uv_close((uv_handle_t *)&p->refill, on_closed);
}

static int set_get(struct ports *p, const struct sockaddr *local, struct port_set **out)
{
	struct port_set *set;
	struct addr a;

	addr_from_sockaddr(&a, local);
	if (a.sa.sa_family != AF_INET && a.sa.sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	LL_FOREACH(p->sets, set) {
		if (addr_same_host(&set->local, &a) && set->local.v6.sin6_scope_id == a.v6.sin6_scope_id) {
			*out = set;
			return 0;
		}
	}
	set = calloc(1, sizeof(*set) + p->nworkers * sizeof(set->idle[0]));
	if (!set)
		return -ENOMEM;
	set->held = calloc(1, p->npairs / 8 + 1);
	if (!set->held) {
		free(set);
		return -ENOMEM;
	}
	set->local = a;
	set->at = rng_below(&p->rng, p->npairs);
	LL_PREPEND(p->sets, set);
	*out = set;
	return 0;
}

/* Marking is a courtesy to the network: failing to is no failure. */
static void set_tos(int fd, int family, int tos)
{
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	else
		setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
}

void port_pair_mark(struct port_pair *pair, bool is_video)
{
	int family = pair->set->local.sa.sa_family;

	if (pair->is_video == is_video)
		return;
	pair->is_video = is_video;
	set_tos(pair->rtp.fd, family, is_video ? TOS_AF41 : TOS_EF);
	set_tos(pair->rtcp.fd, family, is_video ? TOS_AF41 : TOS_EF);
}

/* Returns a descriptor or a negative errno. */
static int bind_one(const struct addr *local, unsigned port)
{
	struct addr a = *local;
	int one = 1, err, fd;

	fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (a.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	set_tos(fd, a.sa.sa_family, TOS_EF);
	addr_set_port(&a, (uint16_t)port);
	if (bind(fd, &a.sa, addr_len(&a)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int bind_pair(struct ports *p, struct port_set *set, struct idle *idle, unsigned i)
{
	unsigned port = p->first + 2 * i;
	struct port_pair *pair = calloc(1, sizeof(*pair));
	int err;

	if (!pair)
		return -ENOMEM;
	pair->rtp.fd = bind_one(&set->local, port);
	if (pair->rtp.fd < 0) {
		err = pair->rtp.fd;
		goto fail;
	}
	pair->rtcp.fd = bind_one(&set->local, port + 1);
	if (pair->rtcp.fd < 0) {
		err = pair->rtcp.fd;
		close(pair->rtp.fd);
		goto fail;
	}
	pair->rtcp.is_rtcp = true;
	pair->port = (uint16_t)port;
	pair->set = set;
	set->held[i / 8] |= (uint8_t)(1u << i % 8);
	set->nopen++;
	idle_append(idle, pair);
	return 0;

fail:
	free(pair);
	return err;
}

/* Binds the next free pair of the range. -EADDRINUSE: none is free. */
static int bind_next(struct ports *p, struct port_set *set, struct idle *idle)
{
	uint64_t now_ms = uv_now(p->loop);

	if (now_ms < set->exhausted_until_ms)
		return -EADDRINUSE;
	for (unsigned tried = 0; tried < p->npairs; tried++) {
		unsigned i = set->at;
		int err;

		set->at = (set->at + 1) % p->npairs;
		if (set->held[i / 8] & 1u << i % 8)
			continue;
		err = bind_pair(p, set, idle, i);
		if (err != -EADDRINUSE && err != -EACCES)
			return err;
	}
	set->exhausted_until_ms = now_ms + EXHAUSTED_MS;
	return -EADDRINUSE;
}

static void refill(struct ports *p, struct port_set *set, struct idle *idle)
{
	if (!idle->is_wanted || idle->n >= LOW_WATER)
		return;
	for (int i = 0; i < BATCH; i++) {
		if (bind_next(p, set, idle) < 0)
			break;
	}
}

/* Once a turn of the loop, so that a batch doesn't delay what else is ready. */
static void on_refill(uv_idle_t *handle)
{
	struct ports *p = handle->data;
	struct port_set *set;

	LL_FOREACH(p->sets, set)
		for (unsigned i = 0; i < p->nworkers; i++)
			refill(p, set, &set->idle[i]);
	uv_idle_stop(handle);
}

void endpoint_drain(const struct endpoint *e)
{
	char byte;

	for (int i = 0; i < DRAIN_MAX; i++) {
		if (recv(e->fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
	}
}

/* What a worker watches it keeps empty. */
static void empty(const struct endpoint *e)
{
	if (!atomic_load_explicit(&e->is_watched, memory_order_relaxed))
		endpoint_drain(e);
}

int ports_take(struct ports *p, const struct sockaddr *local, const struct worker *w, struct port_pair **out)
{
	struct port_set *set;
	struct idle *idle;
	int err = set_get(p, local, &set);

	if (err < 0)
		return err;
	idle = &set->idle[w->index];
	if (!idle->first) {
		err = bind_next(p, set, idle);
		if (err < 0)
			return err;
	}
	*out = idle_shift(idle);
	empty(&(*out)->rtp);
	empty(&(*out)->rtcp);
	idle->is_wanted = true;
	if (idle->n < LOW_WATER && uv_now(p->loop) >= set->exhausted_until_ms)
		uv_idle_start(&p->refill, on_refill);
	return 0;
}

/* For a stream of the worker that watches it; where none does, for any: the first has nothing to move. */
void ports_give(struct ports *p, struct port_pair *pair, bool was_connected)
{
	struct port_set *set = pair->set;
	struct idle *idle = &set->idle[pair->worker ? pair->worker->index : 0];
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	set->exhausted_until_ms = 0;
	if (idle->n >= KEEP_MAX || (was_connected && connect(pair->rtp.fd, &none, sizeof(none)) < 0)) {
		pair_drop(p, pair);
		return;
	}
	idle_append(idle, pair);
}

void ports_count(const struct ports *p, unsigned *nopen, unsigned *pooled)
{
	const struct port_set *set;

	*nopen = *pooled = 0;
	LL_FOREACH(p->sets, set) {
		*nopen += 2 * set->nopen;
		for (unsigned i = 0; i < p->nworkers; i++)
			*pooled += 2 * set->idle[i].n;
	}
}
