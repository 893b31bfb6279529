/* trace_mask.c - line by line; what is folded belongs to the line before (trace_mask.h). */
#include "call/trace_mask.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

struct text { char *p; size_t n; };

static bool starts(struct text t, const char *word)
{
	size_t n = strlen(word);

	return t.n >= n && !strncasecmp(t.p, word, n);
}

/* Up to one of those. */
static void mask_until(struct text t, const char *ends)
{
	for (size_t i = 0; i < t.n && !strchr(ends, t.p[i]); i++)
		t.p[i] = 'x';
}

/* Behind each of these words. */
static void mask_behind(struct text t, const char *word, const char *ends)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= t.n; i++)
		if (!strncasecmp(t.p + i, word, n))
			mask_until((struct text){ t.p + i + n, t.n - i - n }, ends);
}

/* A value, quoted or not. */
static void mask_param(struct text t, const char *name)
{
	size_t n = strlen(name), at;

	for (size_t i = 0; i + n < t.n; i++) {
		if (strncasecmp(t.p + i, name, n) != 0 || (i > 0 && !strchr(" \t,", t.p[i - 1])))
			continue;
		for (at = i + n; at < t.n && strchr(" \t=\"", t.p[at]); at++)
			;
		if (at > i + n)
			mask_until((struct text){ t.p + at, t.n - at }, "\", \t\r\n");
	}
}

static void mask_credentials(struct text value)
{
	while (value.n && strchr(" \t\r\n", *value.p))
		value = (struct text){ value.p + 1, value.n - 1 };
	if (starts(value, "Digest"))
		mask_param(value, "response");
	else
		mask_behind(value, " ", "\r\n"); /* Basic, or what may come: all of it */
}

static void mask_header(struct text line)
{
	static const char *const names[] = { "Authorization", "Proxy-Authorization", "Authentication-Info", "Proxy-Authentication-Info" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t at = strlen(names[i]);

		if (!starts(line, names[i]))
			continue;
		while (at < line.n && strchr(" \t", line.p[at]))
			at++;
		if (at == line.n || line.p[at] != ':')
			continue;
		at++;
		if (i < 2)
			mask_credentials((struct text){ line.p + at, line.n - at });
		else
			mask_param((struct text){ line.p + at, line.n - at }, "rspauth");
	}
}

static void mask_body_line(struct text line)
{
	if (starts(line, "a=crypto:"))
		mask_behind(line, "inline:", "|; \t\r\n");
	else if (starts(line, "a=key-mgmt:"))
		mask_behind(line, " ", "\r\n");
	else if (starts(line, "k="))
		mask_behind(line, ":", "\r\n");
}

/* A line, in the head with those that go on in it: they begin with a space. */
static size_t line_len(struct text t, bool is_head)
{
	size_t n = 0;

	do {
		const char *end = memchr(t.p + n, '\n', t.n - n);

		n = end ? (size_t)(end - t.p) + 1 : t.n;
	} while (is_head && n < t.n && (t.p[n] == ' ' || t.p[n] == '\t'));
	return n;
}

void trace_mask(char *p, size_t n)
{
	struct text rest = { p, n };
	bool is_head = true;

	while (rest.n) {
		struct text line = { rest.p, line_len(rest, is_head) };

		if (line.n == 1 || (line.n == 2 && line.p[0] == '\r'))
			is_head = false;
		else if (is_head)
			mask_header(line);
		else
			mask_body_line(line);
		rest = (struct text){ rest.p + line.n, rest.n - line.n };
	}
}
