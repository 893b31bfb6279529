/* zone.c - the offset of a time zone at one moment, from its compiled file (TZif, RFC 8536).
 *
 * Version 1 of a file's data has 32-bit times; the second block, 64-bit, is what is used. Behind its last transition the rule in the
 * footer goes on (zone_rule.c): Debian's files list transitions until 2037, others' end with the last that was out of the ordinary.
 */
#include "call/zone.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/str.h"
#include "call/zone_rule.h"

#define ZONE_FILE_MAX 16384
#define HEADER_LEN 44

struct counts { uint32_t isut, isstd, leap, time, type, chars; };

/* What a file says. Offsets are seconds east of UTC. */
struct table {
	bool has_rule;            /* for what comes behind the last change */
	struct zone_rule rule;
	int32_t first_s;          /* before the first change */
	uint32_t n;
	struct { int64_t from_s; int32_t offset_s; } changes[];
};

struct zone {
	struct zone *prev, *next;
	uint64_t read_ms;
	struct table *table;      /* NULL: err says why */
	int err;
	char name[];
};

/* ---- the file ---- */

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const unsigned char *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

static bool header_parse(const unsigned char *p, size_t n, struct counts *out)
{
	if (n < HEADER_LEN || memcmp(p, "TZif", 4) != 0 || p[4] < '2')
		return false;
	*out = (struct counts){ be32(p + 20), be32(p + 24), be32(p + 28), be32(p + 32), be32(p + 36), be32(p + 40) };
	/* Bounds that keep the sums below from overflowing. */
	return out->isut <= 256 && out->isstd <= 256 && out->leap <= 1024 && out->time <= 4096 && out->type >= 1 && out->type <= 256 &&
	       out->chars <= 1024;
}

static size_t block_len(const struct counts *c, size_t time_len)
{
	return c->time * (time_len + 1) + c->type * 6 + c->chars + c->leap * (time_len + 4) + c->isstd + c->isut;
}

/* A line between two newlines, behind the data; it may be empty, and then no rule is known. */
static bool footer_parse(struct str rest, struct zone_rule *out)
{
	if (!rest.n || rest.p[0] != '\n' || str_find_chr(str_from_at(rest, 1), '\n') < 0)
		return false;
	rest = str_from_at(rest, 1);
	return zone_rule_parse(out, str_cut(&rest, '\n')) == 0;
}

static int table_fill(struct table *t, const unsigned char *times, const struct counts *c)
{
	const unsigned char *indices = times + c->time * 8, *types = indices + c->time;

	t->first_s = (int32_t)be32(types);
	t->n = c->time;
	for (uint32_t i = 0; i < c->time; i++) {
		t->changes[i].from_s = be64(times + (size_t)i * 8);
		if (indices[i] >= c->type || (i && t->changes[i].from_s <= t->changes[i - 1].from_s))
			return -EBADMSG;
		t->changes[i].offset_s = (int32_t)be32(types + (size_t)indices[i] * 6);
	}
	return 0;
}

static int table_parse(struct table **out, const unsigned char *p, size_t n)
{
	struct counts c;
	struct table *t;
	size_t skip, len;

	if (!header_parse(p, n, &c))
		return -EBADMSG;
	skip = HEADER_LEN + block_len(&c, 4);
	if (skip > n || !header_parse(p + skip, n - skip, &c))
		return -EBADMSG;
	skip += HEADER_LEN;
	len = block_len(&c, 8);
	if (len > n - skip)
		return -EBADMSG;
	t = calloc(1, sizeof(*t) + c.time * sizeof(t->changes[0]));
	if (!t)
		return -ENOMEM;
	if (table_fill(t, p + skip, &c) != 0) {
		free(t);
		return -EBADMSG;
	}
	t->has_rule = footer_parse((struct str){ (const char *)p + skip + len, n - skip - len }, &t->rule);
	*out = t;
	return 0;
}

static int table_read(struct table **out, const char *folder, const char *zone)
{
	unsigned char *bytes; /* not on a task's small stack */
	char path[256];
	FILE *f;
	int err;

	if (zone[0] == '/' || strstr(zone, "..") || snprintf(path, sizeof(path), "%s/%s", folder, zone) >= (int)sizeof(path))
		return -ENOENT;
	f = fopen(path, "rbe");
	if (!f)
		return -ENOENT;
	bytes = malloc(ZONE_FILE_MAX);
	err = bytes ? table_parse(out, bytes, fread(bytes, 1, ZONE_FILE_MAX, f)) : -ENOMEM;
	free(bytes);
	fclose(f);
	return err;
}

static int32_t table_offset(const struct table *t, int64_t unix_s)
{
	uint32_t i = t->n;

	while (i && t->changes[i - 1].from_s > unix_s)
		i--;
	if (i == t->n && t->has_rule)
		return zone_rule_offset(&t->rule, unix_s);
	return i ? t->changes[i - 1].offset_s : t->first_s;
}

/* ---- those that are kept ---- */

void zones_init(struct zones *zones, const char *folder, const struct clock *clock)
{
	*zones = (struct zones){ .folder = folder, .clock = clock };
}

static void zone_remove(struct zones *zones, struct zone *z)
{
	DL_DELETE(zones->list, z);
	zones->n--;
	free(z->table);
	free(z);
}

void zones_fini(struct zones *zones)
{
	while (zones->list)
		zone_remove(zones, zones->list);
}

static void zone_read(const struct zones *zones, struct zone *z)
{
	struct table *fresh;
	int err = table_read(&fresh, zones->folder, z->name);

	z->read_ms = clock_mono_ms(zones->clock);
	if (!err) {
		free(z->table);
		z->table = fresh;
	}
	z->err = z->table ? 0 : err;
}

static struct zone *zone_add(struct zones *zones, const char *name)
{
	size_t size = strlen(name) + 1;
	struct zone *z = calloc(1, sizeof(*z) + size);

	if (!z)
		return NULL;
	memcpy(z->name, name, size);
	zone_read(zones, z);
	if (zones->n == ZONES_MAX)
		zone_remove(zones, zones->list->prev); /* a head's prev is the last */
	zones->n++;
	DL_PREPEND(zones->list, z);
	return z;
}

/* NULL: no memory. */
static struct zone *zone_find(struct zones *zones, const char *name)
{
	struct zone *z;

	DL_FOREACH(zones->list, z)
		if (!strcmp(z->name, name))
			break;
	if (!z)
		return zone_add(zones, name);
	if (z != zones->list) {
		DL_DELETE(zones->list, z);
		DL_PREPEND(zones->list, z);
	}
	if (clock_mono_ms(zones->clock) - z->read_ms >= ZONE_KEEP_MS)
		zone_read(zones, z);
	return z;
}

int zone_local(struct zones *zones, const char *zone, int64_t unix_s, struct tm *out)
{
	bool is_utc = !zone || !zone[0] || !strcmp(zone, "UTC");
	time_t t = (time_t)unix_s;
	const struct zone *z;
	struct tm there;

	if (!gmtime_r(&t, out)) {
		memset(out, 0, sizeof(*out));
		return -EBADMSG;
	}
	if (is_utc)
		return 0;
	z = zone_find(zones, zone);
	if (!z)
		return -ENOMEM;
	if (!z->table)
		return z->err;
	t += table_offset(z->table, unix_s);
	if (!gmtime_r(&t, &there))
		return -EBADMSG;
	*out = there;
	return 0;
}
