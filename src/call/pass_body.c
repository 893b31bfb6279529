/* pass_body.c - parts of an INVITE's body that go from one leg to the other.
 *
 * A description is each leg's own, and of what else there may be we know nothing. But a header that passes may refer to a part (RFC 5621 §9.1,
 * RFC 6442 §4.2: Geolocation: <cid:...>), and means nothing without it: that goes with its header, as it is, whoever may have the header.
 * What no header refers to stays here: nobody would know what it is for (RFC 5621 §8.3 has it refused where it is required).
 */
#include <stdlib.h>
#include <utlist.h>

#include "base/rng.h"
#include "call/pass.h"

struct pass_part {
	struct pass_part *next;
	struct str id, text;      /* in bytes */
	char bytes[];
};

static struct pass_part *copy(const struct sip_part *p)
{
	struct pass_part *c = malloc(sizeof(*c) + p->text.n);

	if (!c)
		return NULL;
	memcpy(c->bytes, p->text.p, p->text.n);
	c->next = NULL;
	c->text = (struct str){ c->bytes, p->text.n };
	c->id = (struct str){ c->bytes + (p->id.p - p->text.p), p->id.n };
	return c;
}

/* Whatever refers to it: another description beside ours would lead the other side's media past us. One may be inside of what is nested
 * too deep to be looked into. */
static bool may_describe(const struct sip_part *p)
{
	return str_ieqz(p->type, "application/sdp") || str_istarts(p->type, STR("multipart/"));
}

struct pass_part *pass_parts_take(const struct sip_msg *m, struct str lines)
{
	struct pass_part *parts = NULL, *c;
	struct sip_part_iter it = { 0 };
	struct sip_part p;
	size_t room = PASS_PARTS_MAX;
	unsigned nnamed = 0;

	if (!lines.n || !memmem(lines.p, lines.n, "<cid:", 5))
		return NULL;
	while (nnamed < SIP_REFERRED_MAX && sip_part_next(m, &it, &p)) {
		nnamed += p.id.n != 0;
		if (!p.text.n || p.text.n > room || may_describe(&p) || !sip_part_is_referred(&p, lines))
			continue;
		c = copy(&p);
		if (!c)
			break; /* without memory nothing passes */
		room -= p.text.n;
		LL_APPEND(parts, c);
	}
	return parts;
}

void pass_parts_free(struct pass_part *parts)
{
	struct pass_part *p, *next;

	LL_FOREACH_SAFE(parts, p, next)
		free(p);
}

bool pass_parts_give(struct out *o, const struct pass_part *parts, struct str lines, struct str sdp, struct rng *rng, char ctype[PASS_TYPE_MAX])
{
	char boundary[33];
	bool has_any = false;

	rng_token(rng, boundary, sizeof(boundary) - 1); /* who doesn't know it can't have written it into a part */
	for (const struct pass_part *p = parts; p; p = p->next) {
		const struct sip_part named = { .id = p->id };

		if (!sip_part_is_referred(&named, lines))
			continue;
		if (!has_any && sdp.n)
			out_fmt(o, "--%s\r\nContent-Type: application/sdp\r\nContent-Disposition: session\r\n\r\n%.*s\r\n", boundary, STR_ARG(sdp));
		has_any = true;
		out_fmt(o, "--%s\r\n", boundary);
		out_str(o, p->text);
		out_z(o, "\r\n");
	}
	if (!has_any)
		return false;
	out_fmt(o, "--%s--\r\n", boundary);
	snprintf(ctype, PASS_TYPE_MAX, "multipart/mixed;boundary=%s", boundary);
	return true;
}
