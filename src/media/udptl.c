/* udptl.c - UDPTL packets, read and written (see udptl.h).
 *
 * Lengths are those of aligned PER (X.691 §10.9): one byte up to 127, two up to 16,383. Longer ones come in fragments, which no
 * datagram has room for.
 */
#include "media/udptl.h"

#include <errno.h>
#include <string.h>

#define IS_FEC 0x80

struct reader { const uint8_t *p; size_t n; };

static int read_length(struct reader *r, size_t *out)
{
	if (r->n < 1)
		return -EBADMSG;
	if (!(r->p[0] & 0x80)) {
		*out = r->p[0];
		r->p++;
		r->n--;
		return 0;
	}
	if (r->p[0] & 0x40 || r->n < 2)
		return -EBADMSG;
	*out = (size_t)(r->p[0] & 0x3f) << 8 | r->p[1];
	r->p += 2;
	r->n -= 2;
	return 0;
}

static int read_ifp(struct reader *r, struct udptl_ifp *out)
{
	size_t n;

	if (read_length(r, &n) < 0 || n > r->n)
		return -EBADMSG;
	*out = (struct udptl_ifp){ r->p, n };
	r->p += n;
	r->n -= n;
	return 0;
}

/* What it corrects is for who receives it: here its shape counts. */
static int skip_fec(struct reader *r)
{
	struct udptl_ifp ifp;
	size_t n;

	if (r->n < 2 || r->p[0] != 1) /* the span: an INTEGER of one byte */
		return -EBADMSG;
	r->p += 2;
	r->n -= 2;
	if (read_length(r, &n) < 0)
		return -EBADMSG;
	while (n--)
		if (read_ifp(r, &ifp) < 0)
			return -EBADMSG;
	return 0;
}

int udptl_parse(struct udptl *out, const uint8_t *p, size_t n)
{
	struct reader r = { p + 2, n - 2 };
	struct udptl_ifp ifp;
	size_t count;

	if (n < 4)
		return -EBADMSG;
	out->seq = (uint16_t)(p[0] << 8 | p[1]);
	out->nsecondaries = 0;
	if (read_ifp(&r, &out->primary) < 0 || !out->primary.n || r.n < 1)
		return -EBADMSG;
	r.p++;
	r.n--;
	if (r.p[-1] & IS_FEC)
		return skip_fec(&r);
	if (read_length(&r, &count) < 0)
		return -EBADMSG;
	while (count--) {
		if (read_ifp(&r, &ifp) < 0)
			return -EBADMSG;
		if (out->nsecondaries < UDPTL_SECONDARIES)
			out->secondaries[out->nsecondaries++] = ifp;
	}
	return 0;
}

static size_t print_ifp(uint8_t *p, size_t max, const struct udptl_ifp *ifp)
{
	size_t head = ifp->n < 128 ? 1 : 2;

	if (ifp->n > 0x3fff || head + ifp->n > max)
		return 0;
	if (head == 2)
		*p++ = (uint8_t)(0x80 | ifp->n >> 8);
	*p++ = (uint8_t)ifp->n;
	if (ifp->n)
		memcpy(p, ifp->p, ifp->n);
	return head + ifp->n;
}

size_t udptl_print(uint8_t *p, size_t max, const struct udptl *u)
{
	size_t at = 2, n;

	if (max < 6)
		return 0;
	p[0] = (uint8_t)(u->seq >> 8);
	p[1] = (uint8_t)u->seq;
	n = print_ifp(p + at, max - at, &u->primary);
	at += n;
	if (!n || max - at < 2)
		return 0;
	p[at++] = 0;
	p[at++] = (uint8_t)u->nsecondaries;
	for (unsigned i = 0; i < u->nsecondaries; i++) {
		n = print_ifp(p + at, max - at, &u->secondaries[i]);
		if (!n)
			return 0;
		at += n;
	}
	return at;
}
