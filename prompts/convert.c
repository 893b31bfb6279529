/* convert.c - makes one sound file of a phrase from the recordings it is put together of.
 *
 *     convert OUT.wav SOURCE[@FROM-TO] ...
 *
 * A source is a raw G.722 file (64 kbit/s, as Debian packages the wide-band recordings; decoded to 16 kHz by SpanDSP) or anything
 * libsndfile reads. FROM and TO, in ms, cut a part out of it; without TO it goes on to the end. Parts are joined in order, cut edges
 * faded so that they don't click. The result, mono 16-bit WAV at the sources' common rate, appears under its name only when whole.
 */
#include <sndfile.h>
#include <spandsp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FADE_MS 5
#define SOURCE_MAX_BYTES (64L << 20)

struct sound {
	int16_t *p;
	size_t n;
	int rate_hz; /* 0: none yet */
};

struct part {
	char path[4096];
	long from_ms, to_ms; /* to_ms -1: the end */
};

static bool part_parse(const char *arg, struct part *out)
{
	const char *at = strrchr(arg, '@');
	size_t n = at ? (size_t)(at - arg) : strlen(arg);
	char *end;

	*out = (struct part){ .to_ms = -1 };
	if (n >= sizeof(out->path))
		return false;
	memcpy(out->path, arg, n);
	if (!at)
		return true;
	out->from_ms = strtol(at + 1, &end, 10);
	if (end == at + 1 || *end != '-' || out->from_ms < 0)
		return false;
	if (!end[1])
		return true;
	out->to_ms = strtol(end + 1, &end, 10);
	return !*end && out->to_ms > out->from_ms;
}

static bool read_g722(const char *path, struct sound *out)
{
	FILE *f = fopen(path, "rbe");
	g722_decode_state_t *g722 = NULL;
	uint8_t *bytes = NULL;
	long n = -1;
	bool ok = false;

	if (!f)
		return false;
	if (fseek(f, 0, SEEK_END) == 0)
		n = ftell(f);
	if (n <= 0 || n > SOURCE_MAX_BYTES || fseek(f, 0, SEEK_SET) != 0)
		goto out;
	bytes = malloc((size_t)n);
	out->p = calloc((size_t)n * 2, sizeof(int16_t)); /* two samples an octet */
	g722 = g722_decode_init(NULL, 64000, 0);
	if (!bytes || !out->p || !g722 || fread(bytes, 1, (size_t)n, f) != (size_t)n)
		goto out;
	out->n = (size_t)g722_decode(g722, out->p, bytes, (int)n);
	out->rate_hz = 16000;
	ok = true;
out:
	if (g722)
		g722_decode_free(g722);
	free(bytes);
	fclose(f);
	return ok;
}

static bool read_sndfile(const char *path, struct sound *out)
{
	SF_INFO info = { 0 };
	SNDFILE *f = sf_open(path, SFM_READ, &info);
	bool ok = false;

	if (!f)
		return false;
	if (info.channels == 1 && info.frames > 0 && info.frames <= SOURCE_MAX_BYTES / 2) {
		out->p = calloc((size_t)info.frames, sizeof(int16_t));
		if (out->p) {
			out->n = (size_t)sf_readf_short(f, out->p, info.frames);
			out->rate_hz = info.samplerate;
			ok = (sf_count_t)out->n == info.frames;
		}
	}
	sf_close(f);
	return ok;
}

static bool has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n > m && !strcmp(s + n - m, suffix);
}

static void fade(int16_t *p, size_t n, bool at_start)
{
	for (size_t i = 0; i < n; i++) {
		int16_t *sample = at_start ? p + i : p - 1 - i;

		*sample = (int16_t)(*sample * (long)i / (long)n);
	}
}

static bool append(struct sound *to, struct sound *from, const struct part *part)
{
	size_t start = (size_t)part->from_ms * (size_t)from->rate_hz / 1000, end = from->n;
	size_t edge = (size_t)FADE_MS * (size_t)from->rate_hz / 1000;
	int16_t *p;

	if (part->to_ms >= 0)
		end = (size_t)part->to_ms * (size_t)from->rate_hz / 1000;
	if (end > from->n || start + 2 * edge > end || (to->rate_hz && to->rate_hz != from->rate_hz))
		return false;
	if (part->from_ms)
		fade(from->p + start, edge, true);
	if (part->to_ms >= 0)
		fade(from->p + end, edge, false);
	p = realloc(to->p, (to->n + end - start) * sizeof(*p));
	if (!p)
		return false;
	memcpy(p + to->n, from->p + start, (end - start) * sizeof(*p));
	to->p = p;
	to->n += end - start;
	to->rate_hz = from->rate_hz;
	return true;
}

static bool write_wav(const char *path, const struct sound *s)
{
	SF_INFO info = { .samplerate = s->rate_hz, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16 };
	char temp[4096];
	SNDFILE *f;
	bool ok;

	if (snprintf(temp, sizeof(temp), "%s.new", path) >= (int)sizeof(temp))
		return false;
	f = sf_open(temp, SFM_WRITE, &info);
	if (!f)
		return false;
	ok = sf_writef_short(f, s->p, (sf_count_t)s->n) == (sf_count_t)s->n;
	ok = sf_close(f) == 0 && ok && rename(temp, path) == 0;
	if (!ok)
		unlink(temp);
	return ok;
}

int main(int argc, char **argv)
{
	struct sound whole = { 0 };
	int status = 1;

	if (argc < 3) {
		fprintf(stderr, "usage: %s OUT.wav SOURCE[@FROM_MS-TO_MS] ...\n", argv[0]);
		return 2;
	}
	for (int i = 2; i < argc; i++) {
		struct sound s = { 0 };
		struct part part;
		bool ok = part_parse(argv[i], &part) && (has_suffix(part.path, ".g722") ? read_g722(part.path, &s) : read_sndfile(part.path, &s)) &&
			  append(&whole, &s, &part);

		free(s.p);
		if (!ok) {
			fprintf(stderr, "convert: can't use %s for %s\n", argv[i], argv[1]);
			goto out;
		}
	}
	if (!write_wav(argv[1], &whole))
		fprintf(stderr, "convert: can't write %s\n", argv[1]);
	else
		status = 0;
out:
	free(whole.p);
	return status;
}
