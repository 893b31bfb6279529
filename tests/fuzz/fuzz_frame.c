/* fuzz_frame.c - libFuzzer target on framing: a stream gives the same messages however TCP cuts it.
 *
 * What the framer takes for a message's end is also where the parser sees it: were they to differ, a request could be hidden
 * in another's body.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sip/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRAMES_MAX 64
#define FRAME_BROKEN SIZE_MAX

struct frames {
	unsigned n;
	struct { size_t at, len; } list[FRAMES_MAX];
};

/* Reads the stream as it comes in, `step` bytes at a time, the first piece of `first` bytes. */
static void read_stream(const char *p, size_t size, size_t first, size_t step, struct frames *out)
{
	size_t at = 0, have = first < size ? first : size;

	out->n = 0;
	while (out->n < FRAMES_MAX) {
		size_t skip = 0;
		ptrdiff_t len = sip_msg_frame(p + at, have - at, &skip);

		assert(skip <= have - at);
		at += skip;
		if (len == 0) {
			if (have == size)
				return;
			have = size - have < step ? size : have + step;
			continue;
		}
		assert(len == -EINVAL || len == -EMSGSIZE || (len > 0 && (size_t)len <= have - at));
		out->list[out->n].at = at;
		out->list[out->n++].len = len < 0 ? FRAME_BROKEN : (size_t)len;
		if (len < 0)
			return;
		at += (size_t)len;
	}
}

static void check_parser_agrees(const char *p, size_t len)
{
	static struct sip_msg m;
	struct sip_msg_error err;
	char *copy = malloc(len);

	if (!copy)
		return;
	memcpy(copy, p, len);
	if (sip_msg_parse(&m, copy, len, &err) == 0) {
		assert(m.content_length == (int64_t)m.body.n);
		assert(m.body.p + m.body.n == copy + len);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct frames whole, cut;
	/* A copy of exactly this size, so that a byte read too far is caught. */
	char *copy = malloc(size ? size : 1);

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	read_stream(copy, size, size, 1, &whole);
	for (unsigned i = 0; i < whole.n; i++)
		if (whole.list[i].len != FRAME_BROKEN)
			check_parser_agrees(copy + whole.list[i].at, whole.list[i].len);
	for (size_t step = 1; step < 70; step = step * 3 + 1) {
		read_stream(copy, size, size ? data[0] % (size + 1) : 0, step, &cut);
		assert(cut.n == whole.n);
		for (unsigned i = 0; i < cut.n; i++)
			assert(cut.list[i].at == whole.list[i].at && cut.list[i].len == whole.list[i].len);
	}
	free(copy);
	return 0;
}
