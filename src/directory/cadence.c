/* cadence.c - cadences from text (see cadence.h).
 */
#include "directory/cadence.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

#define FOR_EVER_MS 10000 /* it begins anew without a gap */

static const char *const names[DIR_TONE_COUNT] = { "dial", "ringback", "busy", "congestion", "call_waiting", "special_information" };

static int parse_number(struct str text, uint16_t *out)
{
	uint32_t n;

	if (!text.n || str_to_u32(text, UINT16_MAX, &n) < 0)
		return -EINVAL;
	*out = (uint16_t)n;
	return 0;
}

static int parse_tone(struct str one, bool is_alone, struct tone *t)
{
	struct str hertz = str_cut(&one, '/'), on = one, off, first;
	bool modulates = hertz.n && memchr(hertz.p, '*', hertz.n);

	*t = (struct tone){ .modulates = modulates };
	first = str_cut(&hertz, modulates ? '*' : '+');
	if (parse_number(first, &t->hz1) || !t->hz1 || (hertz.p && parse_number(hertz, &t->hz2)))
		return -EINVAL;
	if (!one.p) {
		t->on_ms = FOR_EVER_MS;
		return is_alone ? 0 : -EINVAL;
	}
	on = str_cut(&one, '/');
	off = one;
	if (parse_number(on, &t->on_ms) || !t->on_ms || (off.p && parse_number(off, &t->off_ms)))
		return -EINVAL;
	return 0;
}

int cadence_parse(struct dir_cadence *out, const char *text)
{
	struct str rest = str_from(text);
	struct dir_cadence c = { 0 };
	bool is_alone = !strchr(text, ' ');

	out->n = 0;
	while (rest.p) {
		if (c.n == CADENCE_MAX || parse_tone(str_cut(&rest, ' '), is_alone, &c.tones[c.n++]) < 0)
			return -EINVAL;
	}
	*out = c;
	return 0;
}

int cadence_find(const char *name)
{
	for (int i = 0; i < DIR_TONE_COUNT; i++)
		if (!strcmp(names[i], name))
			return i;
	return -ENOENT;
}
