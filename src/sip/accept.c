/* accept.c - connections that come in, TCP's, TLS's and WebSocket's: taken off the queue here, so that the limits are the same for all.
 *
 * libuv's own way asks again and again, and returns to nobody, while the process or the machine has no descriptor left; here the
 * queue is left alone then until the next sweep.
 */
#define LOG_MODULE "transport"
#include <errno.h>
#include <unistd.h>

#include "sip/transport_int.h"

#define ACCEPT_BATCH 64          /* then other sockets have their turn */
#define BACKLOG 512

static void accept_one(struct listener *l, int fd, const union sockaddr_any *peer)
{
	struct transport *t = l->transport;

	if (!guard_admits(t->guard, peer) || !gate_enter(t->gate, peer))
		close(fd);
	else
		l->take(l, fd, peer);
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH && status == 0 && !l->transport->is_closing; i++) {
		union sockaddr_any peer = { 0 };
		socklen_t len = sizeof(peer);
		int fd = accept4(l->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			accept_one(l, fd, &peer);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			uv_poll_stop(poll);
			return;
		}
	}
}

static int open_socket(const union sockaddr_any *addr)
{
	int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, err = 0;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    (addr->sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0) ||
	    bind(fd, &addr->sa, sockaddr_len(addr)) != 0 || listen(fd, BACKLOG) != 0)
		err = -errno;
	if (err)
		close(fd);
	return err ? err : fd;
}

int accept_open(struct listener *l, void (*take)(struct listener *l, int fd, const union sockaddr_any *peer))
{
	socklen_t len = sizeof(l->addr);
	int fd = open_socket(&l->addr), err;

	if (fd < 0)
		return fd;
	err = uv_poll_init(l->transport->loop, &l->poll, fd);
	if (err) {
		close(fd);
		return err;
	}
	l->fd = fd;
	l->take = take;
	l->poll.data = l;
	l->transport->handles++;
	l->handles++;
	return getsockname(fd, &l->addr.sa, &len) == 0 ? 0 : -errno;
}

int accept_start(struct listener *l)
{
	return uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
}

void accept_sweep(struct transport *t)
{
	for (struct listener *l = t->listeners; l && !t->is_closing; l = l->next)
		if (l->take && !uv_is_active((uv_handle_t *)&l->poll))
			accept_start(l);
}
