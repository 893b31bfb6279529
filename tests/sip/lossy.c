/* lossy.c - a UDP proxy that loses, doubles and reorders datagrams, for the tests.
 *
 *   lossy LISTENADDR:PORT TARGETADDR:PORT [--drop PERCENT] [--dup PERCENT] [--reorder PERCENT] [--seed N]
 *
 * Relays both ways. Each source that sends to the listening socket gets a socket of its own towards the target, so that the
 * target sees as many peers as there are. Prints "ready ADDR:PORT" once it relays (port 0 takes a free one). SIGTERM and SIGINT
 * end it: it prints what it did and exits with 0.
 *
 * Each direction of each source draws from a generator of its own, and three numbers for each datagram: the n-th datagram
 * of a direction meets the same fate in every run with the same seed, however the peers' datagrams interleave.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/rng.h"

#define DATAGRAM_MAX 65535
#define LINKS_MAX 1024
#define HOLD_MAX_MS 50               /* a held datagram goes after the next one or, if none comes, after this; far below T1 */
#define SOCKET_BUFFER (4 << 20)
#define USAGE "usage: lossy ADDR:PORT ADDR:PORT [--drop PERCENT] [--dup PERCENT] [--reorder PERCENT] [--seed N]\n"

union addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* One direction of a link. */
struct path {
	struct link *link;
	uv_udp_t *via;               /* sends from here */
	const union addr *to;
	struct rng rng;
	uv_timer_t timer;            /* runs while a datagram is held */
	char *held;                  /* overtaken by the next datagram */
	size_t held_len;
};

/* One source and its socket towards the target. */
struct link {
	struct link *next;
	struct proxy *proxy;
	union addr source;
	bool is_open;                /* false: there was no socket, all is lost */
	uv_udp_t socket;
	struct path up, down;
};

struct proxy {
	uv_loop_t loop;
	uv_udp_t listener;
	uv_signal_t term, interrupt;
	union addr listen, target;
	uint32_t drop, dup, reorder; /* per cent */
	uint32_t seed;
	struct link *links;
	unsigned nlinks;
	unsigned long received, sent, dropped, doubled, reordered;
	char buf[DATAGRAM_MAX + 1];
};

/* ---- fate ---- */

/* A full socket or an ICMP error is one more loss. */
static void path_send(struct path *p, const char *bytes, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)bytes, (unsigned)len);

	if (uv_udp_try_send(p->via, &buf, 1, &p->to->sa) >= 0)
		p->link->proxy->sent++;
}

static void path_release_held(struct path *p)
{
	if (!p->held)
		return;
	uv_timer_stop(&p->timer);
	path_send(p, p->held, p->held_len);
	free(p->held);
	p->held = NULL;
}

static void on_held_too_long(uv_timer_t *timer)
{
	path_release_held(timer->data);
}

static bool path_hold(struct path *p, const char *bytes, size_t len)
{
	char *copy = malloc(len ? len : 1);

	if (!copy)
		return false;
	memcpy(copy, bytes, len);
	p->held = copy;
	p->held_len = len;
	uv_timer_start(&p->timer, on_held_too_long, HOLD_MAX_MS, 0);
	return true;
}

static void path_relay(struct path *p, const char *bytes, size_t len)
{
	struct proxy *proxy = p->link->proxy;
	bool drop = rng_below(&p->rng, 100) < proxy->drop;
	bool dup = rng_below(&p->rng, 100) < proxy->dup;
	bool reorder = rng_below(&p->rng, 100) < proxy->reorder;

	proxy->received++;
	if (drop) {
		proxy->dropped++;
		return;
	}
	/* One at a time is held: a second one would only push the first further back. */
	if (reorder && !p->held && path_hold(p, bytes, len)) {
		proxy->reordered++;
		return;
	}
	path_send(p, bytes, len);
	if (dup) {
		proxy->doubled++;
		path_send(p, bytes, len);
	}
	path_release_held(p);
}

/* ---- sockets ---- */

static bool addr_eq(const union addr *a, const union addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET6)
		return a->v6.sin6_port == b->v6.sin6_port &&
		       memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
	return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

static void addr_from(union addr *out, const struct sockaddr *sa)
{
	memset(out, 0, sizeof(*out));
	memcpy(out, sa, sa->sa_family == AF_INET6 ? sizeof(out->v6) : sizeof(out->v4));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct proxy *proxy = handle->loop->data;

	(void)suggested;
	*buf = uv_buf_init(proxy->buf, sizeof(proxy->buf));
}

static void on_target_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	struct link *link = udp->data;
	union addr source;

	(void)flags;
	if (n < 0 || !from)
		return;
	addr_from(&source, from);
	if (addr_eq(&source, &link->proxy->target))
		path_relay(&link->down, buf->base, (size_t)n);
}

static int udp_open(uv_loop_t *loop, uv_udp_t *udp, const union addr *local, uv_udp_recv_cb on_datagram)
{
	int size = SOCKET_BUFFER, err = uv_udp_init(loop, udp);

	if (err)
		return err;
	err = uv_udp_bind(udp, &local->sa, local->sa.sa_family == AF_INET6 ? UV_UDP_IPV6ONLY : 0);
	if (!err)
		err = uv_udp_recv_start(udp, on_alloc, on_datagram);
	if (err) {
		uv_close((uv_handle_t *)udp, NULL);
		return err;
	}
	uv_recv_buffer_size((uv_handle_t *)udp, &size); /* as large as the kernel lets it: its losses aren't seeded */
	return 0;
}

static void path_init(struct path *p, struct link *link, uv_udp_t *via, const union addr *to, uint64_t seed)
{
	p->link = link;
	p->via = via;
	p->to = to;
	rng_init_fixed(&p->rng, seed);
	uv_timer_init(&link->proxy->loop, &p->timer);
	p->timer.data = p;
}

/* Towards the target the proxy keeps the address it listens on, where that is possible, and takes a free port. */
static union addr link_local(const struct proxy *proxy)
{
	union addr local = proxy->listen;

	if (local.sa.sa_family != proxy->target.sa.sa_family) {
		memset(&local, 0, sizeof(local));
		local.sa.sa_family = proxy->target.sa.sa_family;
	} else if (local.sa.sa_family == AF_INET6) {
		local.v6.sin6_port = 0;
	} else {
		local.v4.sin_port = 0;
	}
	return local;
}

/* NULL without room. */
static struct link *link_for(struct proxy *proxy, const union addr *source)
{
	union addr local = link_local(proxy);
	struct link *link;
	uint64_t seed;

	for (link = proxy->links; link; link = link->next)
		if (addr_eq(&link->source, source))
			return link;
	if (proxy->nlinks == LINKS_MAX)
		return NULL;
	link = calloc(1, sizeof(*link));
	if (!link)
		return NULL;
	link->proxy = proxy;
	link->source = *source;
	link->is_open = udp_open(&proxy->loop, &link->socket, &local, on_target_datagram) == 0;
	link->socket.data = link;
	/* The n-th source and each of its directions: sequences of their own. 0 would mean unseeded. */
	seed = ((uint64_t)proxy->seed + 1) << 16 | (uint64_t)proxy->nlinks << 1;
	path_init(&link->up, link, &link->socket, &proxy->target, seed);
	path_init(&link->down, link, &proxy->listener, &link->source, seed + 1);
	link->next = proxy->links;
	proxy->links = link;
	proxy->nlinks++;
	return link;
}

static void on_source_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	struct proxy *proxy = udp->loop->data;
	union addr source;
	struct link *link;

	(void)flags;
	if (n < 0 || !from)
		return;
	addr_from(&source, from);
	link = link_for(proxy, &source);
	if (link && link->is_open)
		path_relay(&link->up, buf->base, (size_t)n);
}

/* ---- start and end ---- */

static void close_all(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
	(void)number;
	uv_walk(handle->loop, close_all, NULL);
}

static void print_addr(FILE *to, const union addr *a)
{
	char host[INET6_ADDRSTRLEN] = "?";

	uv_ip_name(&a->sa, host, sizeof(host));
	if (a->sa.sa_family == AF_INET6)
		fprintf(to, "[%s]:%u", host, ntohs(a->v6.sin6_port));
	else
		fprintf(to, "%s:%u", host, ntohs(a->v4.sin_port));
}

/* "127.0.0.1:5060", "[::1]:5060" */
static int parse_addr(union addr *out, const char *text)
{
	struct str all = str_from(text), host;
	const char *colon = strrchr(text, ':');
	char literal[INET6_ADDRSTRLEN];
	uint32_t port;

	if (!colon || str_to_u32(str_from(colon + 1), 65535, &port) != 0)
		return -EINVAL;
	host = (struct str){ all.p, (size_t)(colon - all.p) };
	memset(out, 0, sizeof(*out));
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
		host = (struct str){ host.p + 1, host.n - 2 };
		return str_copy(host, literal, sizeof(literal)) ? -EINVAL : uv_ip6_addr(literal, (int)port, &out->v6);
	}
	return str_copy(host, literal, sizeof(literal)) ? -EINVAL : uv_ip4_addr(literal, (int)port, &out->v4);
}

static int parse_options(struct proxy *proxy, int argc, char **argv)
{
	const struct { const char *name; uint32_t *value, max; } options[] = {
		{ "--drop", &proxy->drop, 100 },
		{ "--dup", &proxy->dup, 100 },
		{ "--reorder", &proxy->reorder, 100 },
		{ "--seed", &proxy->seed, UINT32_MAX },
	};

	if (argc < 3 || argc % 2 == 0 || parse_addr(&proxy->listen, argv[1]) != 0 || parse_addr(&proxy->target, argv[2]) != 0)
		return -EINVAL;
	for (int i = 3; i < argc; i += 2) {
		size_t k = 0;

		while (k < ARRAY_LEN(options) && strcmp(argv[i], options[k].name) != 0)
			k++;
		if (k == ARRAY_LEN(options) || str_to_u32(str_from(argv[i + 1]), options[k].max, options[k].value) != 0)
			return -EINVAL;
	}
	return 0;
}

static int proxy_start(struct proxy *proxy)
{
	int len = sizeof(proxy->listen), err;

	err = udp_open(&proxy->loop, &proxy->listener, &proxy->listen, on_source_datagram);
	if (!err)
		err = uv_udp_getsockname(&proxy->listener, &proxy->listen.sa, &len);
	if (err)
		return err;
	uv_signal_init(&proxy->loop, &proxy->term);
	uv_signal_init(&proxy->loop, &proxy->interrupt);
	err = uv_signal_start(&proxy->term, on_signal, SIGTERM);
	return err ? err : uv_signal_start(&proxy->interrupt, on_signal, SIGINT);
}

static void proxy_free(struct proxy *proxy)
{
	uv_walk(&proxy->loop, close_all, NULL);
	uv_run(&proxy->loop, UV_RUN_DEFAULT);
	while (proxy->links) {
		struct link *link = proxy->links;

		proxy->links = link->next;
		free(link->up.held);
		free(link->down.held);
		free(link);
	}
	uv_loop_close(&proxy->loop);
	free(proxy);
}

int main(int argc, char **argv)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	int err;

	if (!proxy || uv_loop_init(&proxy->loop) != 0) {
		free(proxy);
		return 1;
	}
	proxy->loop.data = proxy;
	proxy->seed = 1;
	if (parse_options(proxy, argc, argv) != 0) {
		fputs(USAGE, stderr);
		proxy_free(proxy);
		return 2;
	}
	err = proxy_start(proxy);
	if (err) {
		fprintf(stderr, "lossy: %s: %s\n", argv[1], uv_strerror(err));
		proxy_free(proxy);
		return 1;
	}
	printf("ready ");
	print_addr(stdout, &proxy->listen);
	printf("\n");
	fflush(stdout);
	uv_run(&proxy->loop, UV_RUN_DEFAULT);
	printf("sources=%u received=%lu sent=%lu dropped=%lu doubled=%lu reordered=%lu\n", proxy->nlinks, proxy->received,
	       proxy->sent, proxy->dropped, proxy->doubled, proxy->reordered);
	proxy_free(proxy);
	return 0;
}
