/* udp.c - datagrams: read all that have come, parse them all, hand them up kind by kind; and send.
 *
 * What a message costs lies less in its instructions than in fetching them: the handling of one runs through more code than the
 * processor keeps at hand, and the next one, of another kind, through other code. So the messages of one reading are parsed one after the
 * other, and then go up sorted: the 200s, the ACKs, the BYEs, new calls, and last who can wait. Nothing overtakes another message of its call, for what has the
 * same Call-ID keeps its order; that of different calls is the network's anyway.
 *
 * Nothing is allocated for a received datagram. One is sent at once, but in a busy turn of the loop, which sends all of its own at its end;
 * one that the kernel doesn't take then is as if lost on the way, and its transaction sends it again.
 */
#define LOG_MODULE "transport"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sip/stun.h"
#include "sip/transport_int.h"

#define BATCH 64                     /* datagrams of one reading */
#define SLOT (65536 + 1088)          /* any datagram; not all at the same place of the processor's caches */
#define USUAL 2048                   /* bytes of a message */
#define BUSY 4                       /* datagrams received in a turn: what is sent waits for the end of the turn */
#define SOCKET_BUFFER (4 << 20)      /* a burst of some thousand requests */
#define DRAIN_NS (8 * 1000000u)      /* spent in one turn on those of a socket */
#define CALLS 256                    /* classes of Call-IDs */
#define RANKS_OF_METHODS 16

_Static_assert(SIP_METHOD_COUNT <= RANKS_OF_METHODS, "a rank for each method");
_Static_assert(BATCH < 256, "an index is a byte of order");

struct pending {
	struct sip_msg msg;
	struct sip_msg_error err;
	struct sip_source src;
};

struct udp {
	char *bytes;                 /* BATCH slots */
	struct mmsghdr msgs[BATCH];
	struct iovec parts[BATCH];
	union sockaddr_any from[BATCH];
	unsigned n;                  /* pending */
	uint16_t order[BATCH];       /* rank, index */
	uint8_t least[CALLS];        /* the rank of the last one with such a Call-ID */
	struct pending pending[BATCH];
};

int udp_new(struct udp **out)
{
	struct udp *u = calloc(1, sizeof(*u));

	if (u)
		u->bytes = malloc((size_t)BATCH * SLOT);
	if (!u || !u->bytes) {
		free(u);
		return -ENOMEM;
	}
	/* What a full reading of usual messages takes is there from the start: neither page faults in a busy turn, nor growth behind it.
	 * (A memset() behind calloc() would be left out.) */
	explicit_bzero(u->pending, sizeof(u->pending));
	for (unsigned i = 0; i < BATCH; i++) {
		memset(u->bytes + (size_t)i * SLOT, 0, USUAL);
		u->parts[i] = (struct iovec){ u->bytes + (size_t)i * SLOT, SLOT };
		u->msgs[i].msg_hdr = (struct msghdr){ .msg_name = &u->from[i], .msg_iov = &u->parts[i], .msg_iovlen = 1 };
	}
	*out = u;
	return 0;
}

void udp_free(struct udp *u)
{
	if (u)
		free(u->bytes);
	free(u);
}

/* ---- sending ---- */

int udp_send(struct transport *t, const struct listener *l, const union sockaddr_any *to, struct str bytes)
{
	if ((t->turn_received >= BUSY && t->turn_ms == uv_now(t->loop)) || batch_is_open(t->batch)) {
		if (batch_add(t->batch, l->udp_fd, to, bytes))
			return 0;
		batch_flush(t->batch);
	}
	while (sendto(l->udp_fd, bytes.p, bytes.n, MSG_DONTWAIT | MSG_NOSIGNAL, &to->sa, sockaddr_len(to)) < 0) {
		if (errno == EAGAIN) {
			t->n.send_errors++;
			return 0;
		}
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* ---- receiving ---- */

static bool is_keepalive(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != '\r' && p[i] != '\n' && p[i] != '\0')
			return false;
	return true;
}

static void take_stun(struct listener *l, const char *bytes, size_t n, const struct sip_source *src)
{
	char answer[STUN_ANSWER_MAX];
	size_t len;

	if (stun_is_answer(bytes, n)) {
		if (l->transport->h.on_stun)
			l->transport->h.on_stun((struct str){ bytes, n }, src, l->transport->arg);
		return;
	}
	len = stun_answer(bytes, n, &src->peer, answer);
	if (len && udp_send(l->transport, l, &src->peer, (struct str){ answer, len }) == 0)
		l->transport->n.keepalives++;
	else
		l->transport->n.dropped_malformed++;
}

/* The ways through the code, in the order in which they are gone. */
enum kind { KIND_1XX, KIND_2XX, KIND_REFUSAL, KIND_REQUEST, KIND_NEW_CALL, KIND_PATIENT, KINDS };

/* What belongs to calls there are goes before new ones; who takes the place of somebody in one comes before that one is gone. What
 * intake.c would let wait is last here, too. */
static enum kind kind_of(const struct sip_msg *m)
{
	if (!m->is_request)
		return m->status < 200 ? KIND_1XX : m->status < 300 ? KIND_2XX : KIND_REFUSAL;
	switch (m->method) {
	case SIP_INVITE:
		return m->to.tag.n || sip_msg_has(m, SIP_HDR_REPLACES) ? KIND_REQUEST : KIND_NEW_CALL;
	case SIP_REGISTER:
	case SIP_OPTIONS:
	case SIP_SUBSCRIBE:
	case SIP_PUBLISH:
	case SIP_MESSAGE:
		return KIND_PATIENT;
	default:
		return KIND_REQUEST;
	}
}

/* Who shows a password takes another way than who is asked for it. */
static unsigned rank_of(const struct sip_msg *m)
{
	unsigned is_proving = sip_msg_has(m, SIP_HDR_AUTHORIZATION);

	return (2 * kind_of(m) + is_proving) * RANKS_OF_METHODS + (unsigned)m->method;
}

static unsigned class_of(struct str call_id)
{
	uint64_t first = 0, last = 0;

	if (call_id.n < sizeof(first)) {
		memcpy(&first, call_id.p, call_id.n);
	} else {
		memcpy(&first, call_id.p, sizeof(first));
		memcpy(&last, call_id.p + call_id.n - sizeof(last), sizeof(last));
	}
	return (unsigned)(((first ^ (last << 23 | last >> 41)) * 0x9e3779b97f4a7c15u) >> 56);
}

static void parse(struct transport *t, char *bytes, size_t n, const struct sip_source *src)
{
	struct udp *u = t->udp;
	struct pending *p = &u->pending[u->n];
	unsigned rank;
	uint8_t *least;

	if (t->on_seen)
		transport_show(t, false, &(struct sip_dest){ .proto = SIP_UDP, .addr = src->peer, .flow = src->flow }, (struct str){ bytes, n });
	if (sip_msg_parse(&p->msg, bytes, n, &p->err) != 0 && !p->err.status) {
		t->n.dropped_malformed++;
		return;
	}
	t->n.received++;
	p->src = *src;
	least = &u->least[p->msg.call_id.n ? class_of(p->msg.call_id) : 0];
	rank = rank_of(&p->msg);
	if (rank < *least)
		rank = *least;
	*least = (uint8_t)rank;
	u->order[u->n] = (uint16_t)(rank << 8 | u->n);
	u->n++;
}

static void take(struct listener *l, char *bytes, size_t n, const union sockaddr_any *from)
{
	struct transport *t = l->transport;
	struct sip_source src;

	if (is_keepalive(bytes, n)) {
		t->n.keepalives++;
		return;
	}
	if (guard_enter(t->guard, from, false) != GUARD_PASS)
		return;
	src = (struct sip_source){ .proto = SIP_UDP, .local = l->addr, .flow = l->id };
	memcpy(&src.peer, from, sockaddr_len(from));
	if (stun_is(bytes, n)) {
		take_stun(l, bytes, n, &src);
		return;
	}
	if (t->turn_ms != uv_now(t->loop)) {
		t->turn_ms = uv_now(t->loop);
		t->turn_received = 0;
	}
	t->turn_received++;
	if (!intake_put_off(t->intake, bytes, n, &src))
		parse(t, bytes, n, &src);
}

static void sort(uint16_t *order, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		uint16_t one = order[i];
		unsigned k = i;

		for (; k > 0 && order[k - 1] > one; k--)
			order[k] = order[k - 1];
		order[k] = one;
	}
}

static void hand_up(struct transport *t)
{
	struct udp *u = t->udp;

	if (u->n > 1)
		sort(u->order, u->n);
	for (unsigned i = 0; i < u->n && !t->is_closing; i++) {
		struct pending *p = &u->pending[u->order[i] & 0xff];

		t->h.on_message(&p->msg, &p->err, &p->src, t->arg);
	}
}

/* How many there were, at most BATCH; errors of single datagrams (ICMP) are no errors of ours. */
static unsigned read_some(struct listener *l)
{
	struct transport *t = l->transport;
	struct udp *u = t->udp;
	int n;

	for (unsigned i = 0; i < BATCH; i++)
		u->msgs[i].msg_hdr.msg_namelen = sizeof(u->from[i]);
	n = recvmmsg(l->udp_fd, u->msgs, BATCH, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return 0;
	u->n = 0;
	memset(u->least, 0, sizeof(u->least));
	for (int i = 0; i < n; i++)
		take(l, u->parts[i].iov_base, u->msgs[i].msg_len, &u->from[i]);
	hand_up(t);
	return (unsigned)n;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;
	struct transport *t = l->transport;
	uint64_t until_ns = 0;

	(void)events;
	if (status < 0) { /* an error waited on the socket, which libuv takes for its end: reading takes it off */
		read_some(l);
		if (!t->is_closing)
			uv_poll_start(poll, UV_READABLE, on_readable);
		return;
	}
	while (!t->is_closing && read_some(l) == BATCH) {
		uint64_t now = uv_hrtime();

		if (!until_ns)
			until_ns = now + DRAIN_NS;
		if (now >= until_ns) {
			intake_is_behind(t->intake);
			return;
		}
	}
}

/* ---- listening ---- */

static int open_socket(const union sockaddr_any *addr)
{
	int fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, size = SOCKET_BUFFER, err = 0;

	if (fd < 0)
		return -errno;
	if ((addr->sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0) ||
	    bind(fd, &addr->sa, sockaddr_len(addr)) != 0) {
		err = -errno;
		close(fd);
		return err;
	}
	socket_mark(fd);
	/* Beyond the system's limit, too, as long as we are root. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return fd;
}

int udp_listen(struct listener *l)
{
	socklen_t len = sizeof(l->addr);
	int fd = open_socket(&l->addr), err;

	if (fd < 0)
		return fd;
	err = uv_poll_init(l->transport->loop, &l->udp_poll, fd);
	if (err) {
		close(fd);
		return err;
	}
	l->udp_fd = fd;
	l->udp_poll.data = l;
	l->transport->handles++;
	l->handles++;
	if (getsockname(fd, &l->addr.sa, &len) != 0)
		return -errno;
	return uv_poll_start(&l->udp_poll, UV_READABLE, on_readable);
}
