/* oa_image.c - T.38 in descriptions (see oa_image.h).
 */
#include "sdp/oa_image.h"

#include <errno.h>
#include <stdlib.h>

#include "sdp/oa_int.h"

static bool is_t38(const struct sdp_media *m)
{
	if (!str_ieqz(m->type, "image") || !m->port || !str_ieqz(m->proto, "udptl"))
		return false;
	for (unsigned i = 0; i < m->nformats; i++)
		if (str_ieqz(m->formats[i].text, "t38"))
			return true;
	return false;
}

/* nmedia: there is none. */
static unsigned find_image(const struct sdp *s)
{
	unsigned i = 0;

	while (i < s->nmedia && !is_t38(&s->media[i]))
		i++;
	return i;
}

static void take(const struct sdp_media *m, struct oa_image *out)
{
	struct out o;

	*out = (struct oa_image){ .port = m->port };
	str_copy(m->addr, out->addr, sizeof(out->addr));
	out_init(&o, out->attrs, sizeof(out->attrs) - 1);
	for (unsigned i = 0; i < m->nattrs; i++) {
		const struct sdp_attr *a = &m->attrs[i];

		if (!str_istarts(a->name, STR("T38")) || o.len + a->name.n + a->value.n + 5 >= sizeof(out->attrs))
			continue;
		out_fmt(&o, "a=%.*s%s%.*s\r\n", STR_ARG(a->name), a->value.p ? ":" : "", STR_ARG(a->value));
	}
	out->attrs[o.len] = '\0';
}

static bool is_fax_alone(const struct sdp *s)
{
	for (unsigned i = 0; i < s->nmedia; i++)
		if (str_ieqz(s->media[i].type, "audio") && s->media[i].port)
			return false;
	return find_image(s) < s->nmedia;
}

bool oa_image_is_offer(struct str text)
{
	struct sdp *s;
	bool is_offer;

	if (sdp_parse(&s, text) != 0)
		return false;
	is_offer = is_fax_alone(s);
	free(s);
	return is_offer;
}

int oa_image_offered(const struct oa *oa, struct oa_image *out)
{
	const struct sdp *s = oa->state == OA_REMOTE_OFFER ? oa_theirs(oa) : NULL;

	if (!s || !is_fax_alone(s))
		return -ENOENT;
	take(&s->media[find_image(s)], out);
	return 0;
}

static int write_image(struct oa *oa, const struct oa_local *l, const struct oa_image *theirs, struct str timing, struct out *o)
{
	char text[OA_IMAGE_ATTRS_MAX + 64];
	struct out section;

	out_init(&section, text, sizeof(text) - 1);
	out_fmt(&section, "m=image %u udptl t38\r\n%s", l->port, theirs->attrs);
	return out_ok(&section) ? oa_write_section(oa, l, out_view(&section), timing, o) : -ENOSPC;
}

int oa_image_take_offer(struct oa *oa, struct str text, struct oa_image *out)
{
	int err = oa_take_offer(oa, text);
	unsigned index;

	if (err)
		return err;
	index = find_image(oa_theirs(oa));
	if (index == oa_theirs(oa)->nmedia) {
		oa_rollback(oa);
		return -EINVAL;
	}
	take(&oa_theirs(oa)->media[index], out);
	return 0;
}

int oa_image_answer(struct oa *oa, const struct oa_local *l, const struct oa_image *theirs, struct out *o)
{
	int err;
	unsigned index;

	if (oa->state != OA_REMOTE_OFFER)
		return -EBUSY;
	index = find_image(oa_theirs(oa));
	err = oa_take_all_off(oa);
	if (err)
		return err;
	oa->audio = index;
	err = write_image(oa, l, theirs, STR_NULL, o);
	if (err)
		oa_rollback(oa);
	oa_set_state(oa, OA_IDLE);
	return err;
}

int oa_image_offer(struct oa *oa, const struct oa_local *l, const struct oa_image *theirs, struct out *o)
{
	int err;

	if (oa->state != OA_IDLE)
		return -EBUSY;
	if (!oa->nsections)
		return -EINVAL; /* there is no audio yet in whose place it could be */
	err = oa_exchange_begin(oa);
	if (err)
		return err;
	err = write_image(oa, l, theirs, STR_NULL, o);
	if (err)
		oa_exchange_free(oa);
	else
		oa_set_state(oa, OA_LOCAL_OFFER);
	return err;
}

int oa_image_take_answer(struct oa *oa, struct str text, struct oa_image *out)
{
	struct sdp *s;
	int err;

	if (oa->state != OA_LOCAL_OFFER)
		return -EBUSY;
	err = sdp_parse(&s, text);
	if (err)
		return err == -ENOMEM ? err : -EINVAL;
	if (s->nmedia != oa->nsections) {
		err = -EINVAL;
		goto out;
	}
	oa_agree_nothing(oa);
	if (is_t38(&s->media[oa->audio]))
		take(&s->media[oa->audio], out);
	else
		err = -EPROTO;
	oa_set_state(oa, OA_IDLE);
out:
	free(s);
	return err;
}
