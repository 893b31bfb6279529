/* batch.c - datagrams that go together: those that one turn of a busy loop sends.
 *
 * A message that is sent at once drags the kernel's whole way to the network through the processor's caches, and ours in again behind
 * it. Under load a turn sends dozens; kept until the loop waits again, they go with one call, at little more than half the cost.
 */
#define LOG_MODULE "transport"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "sip/transport_int.h"

#define BATCH_MAX 64
#define BATCH_BYTES (48 * 1024)

struct batch {
	uv_prepare_t prepare;        /* active while there is something to send */
	uint64_t *lost;              /* counts what the kernel didn't take */
	int fd;                      /* of all in it */
	unsigned n;
	size_t used;
	struct mmsghdr msgs[BATCH_MAX];
	struct iovec parts[BATCH_MAX];
	union sockaddr_any to[BATCH_MAX];
	char bytes[BATCH_BYTES];
};

int batch_new(struct batch **out, uv_loop_t *loop, uint64_t *lost)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	uv_prepare_init(loop, &b->prepare);
	b->prepare.data = b;
	b->lost = lost;
	*out = b;
	return 0;
}

/* What can't be sent is as if lost on the way: its transaction sends it again, alone, and then hears of the error. */
void batch_flush(struct batch *b)
{
	unsigned sent = 0;

	while (sent < b->n) {
		int n = sendmmsg(b->fd, b->msgs + sent, b->n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			sent += (unsigned)n;
		} else if (errno != EINTR) {
			++*b->lost;
			sent++;
		}
	}
	b->n = 0;
	b->used = 0;
	uv_prepare_stop(&b->prepare);
}

static void on_prepare(uv_prepare_t *prepare)
{
	batch_flush(prepare->data);
}

bool batch_is_open(const struct batch *b) { return b->n > 0; }

bool batch_add(struct batch *b, int fd, const union sockaddr_any *to, struct str bytes)
{
	if (bytes.n > BATCH_BYTES)
		return false;
	if (b->n && (b->fd != fd || b->n == BATCH_MAX || bytes.n > BATCH_BYTES - b->used))
		batch_flush(b);
	/* Prepare handles run last started first: before what rests there (base/pace.h). */
	if (!b->n) {
		b->fd = fd;
		uv_prepare_start(&b->prepare, on_prepare);
	}
	b->to[b->n] = *to;
	b->parts[b->n] = (struct iovec){ memcpy(b->bytes + b->used, bytes.p, bytes.n), bytes.n };
	b->msgs[b->n].msg_hdr = (struct msghdr){
		.msg_name = &b->to[b->n], .msg_namelen = sockaddr_len(to), .msg_iov = &b->parts[b->n], .msg_iovlen = 1 };
	b->used += bytes.n;
	b->n++;
	return true;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void batch_close(struct batch *b)
{
	if (!b)
		return;
	batch_flush(b);
	uv_close((uv_handle_t *)&b->prepare, on_closed);
}
