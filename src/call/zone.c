/* zone.c - reads a time zone's compiled file (TZif, RFC 8536) for the offset at one moment.
 *
 * Version 1 of a file's data has 32-bit times; the second block, 64-bit, is what is used. Past the last transition the
 * last offset goes on: Debian's files list transitions until 2037. The files are a few KiB and in the page cache of any
 * machine that uses them, so reading one is not worth a trip to the thread pool.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "call/zone.h"

#define ZONE_FOLDER "/usr/share/zoneinfo"
#define ZONE_FILE_MAX 16384
#define HEADER_LEN 44

struct counts { uint32_t isut, isstd, leap, time, type, chars; };

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

/* Seconds east of UTC at unix_s. */
static int offset_find(const unsigned char *p, size_t n, int64_t unix_s, int32_t *out)
{
	const unsigned char *times, *indices, *types;
	struct counts c;
	size_t skip;
	uint32_t i = 0, type;

	if (!header_parse(p, n, &c))
		return -EBADMSG;
	skip = HEADER_LEN + block_len(&c, 4);
	if (skip > n || !header_parse(p + skip, n - skip, &c) || HEADER_LEN + block_len(&c, 8) > n - skip)
		return -EBADMSG;
	times = p + skip + HEADER_LEN;
	indices = times + c.time * 8;
	types = indices + c.time;
	while (i < c.time && be64(times + (size_t)i * 8) <= unix_s)
		i++;
	type = i ? indices[i - 1] : 0;
	if (type >= c.type)
		return -EBADMSG;
	*out = (int32_t)be32(types + (size_t)type * 6);
	return 0;
}

static int zone_offset(const char *zone, int64_t unix_s, int32_t *out)
{
	unsigned char *bytes; /* not on a task's small stack */
	char path[256];
	FILE *f;
	int err;

	if (zone[0] == '/' || strstr(zone, "..") ||
	    snprintf(path, sizeof(path), ZONE_FOLDER "/%s", zone) >= (int)sizeof(path))
		return -ENOENT;
	f = fopen(path, "rbe");
	if (!f)
		return -ENOENT;
	bytes = malloc(ZONE_FILE_MAX);
	err = bytes ? offset_find(bytes, fread(bytes, 1, ZONE_FILE_MAX, f), unix_s, out) : -ENOMEM;
	free(bytes);
	fclose(f);
	return err;
}

int zone_local(const char *zone, int64_t unix_s, struct tm *out)
{
	int32_t offset = 0;
	int err = zone && zone[0] && strcmp(zone, "UTC") != 0 ? zone_offset(zone, unix_s, &offset) : 0;
	time_t shifted = (time_t)(unix_s + (err ? 0 : offset));

	if (!gmtime_r(&shifted, out)) {
		memset(out, 0, sizeof(*out));
		return -EBADMSG;
	}
	return err;
}
