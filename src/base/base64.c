/* base64.c - three bytes as four letters, and back (see base64.h). */
#include "base/base64.h"

#include <errno.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write(struct out *o, const void *p, size_t n)
{
	const unsigned char *from = p;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t)from[i] << 16 | (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) | (left > 2 ? from[i + 2] : 0);

		out_chr(o, letters[v >> 18]);
		out_chr(o, letters[v >> 12 & 63]);
		out_chr(o, left > 1 ? letters[v >> 6 & 63] : '=');
		out_chr(o, left > 2 ? letters[v & 63] : '=');
	}
}

static int digit_of(char c)
{
	const char *at = c ? strchr(letters, c) : NULL;

	return at ? (int)(at - letters) : -1;
}

static struct str without_padding(struct str text)
{
	for (int i = 0; i < 2 && text.n % 4 == (size_t)(i ? 3 : 0) && text.n && text.p[text.n - 1] == '='; i++)
		text.n--;
	return text;
}

ssize_t base64_read(struct str text, void *p, size_t size)
{
	unsigned char *to = p;
	uint32_t v = 0;
	size_t n = 0, bits = 0;

	text = without_padding(text);
	if (text.n % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < text.n; i++) {
		int digit = digit_of(text.p[i]);

		if (digit < 0)
			return -EINVAL;
		v = v << 6 | (uint32_t)digit;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (n == size)
			return -ENOSPC;
		to[n++] = (unsigned char)(v >> bits);
	}
	return v & ((1u << bits) - 1) ? -EINVAL : (ssize_t)n;
}
