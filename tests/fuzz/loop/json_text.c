/* json_text.c - a reader of RFC 8259's grammar that keeps nothing but where it is. */
#include "loop/json_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define DEPTH_MAX 16
#define NAMES_MAX 64

struct reader { const char *at, *end; unsigned depth; };

static bool take_value(struct reader *r);

/* c, after whatever space there is. */
static bool take_char(struct reader *r, char c)
{
	r->at += strspn(r->at, " \t\r\n");
	if (*r->at != c)
		return false;
	r->at++;
	return true;
}

static bool take_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(r->at, word, n) != 0)
		return false;
	r->at += n;
	return true;
}

/* ---- strings ---- */

static bool take_unit(struct reader *r, unsigned long *unit)
{
	char digits[5] = "";

	for (unsigned i = 0; i < 4; i++, r->at++) {
		if (!isxdigit((unsigned char)*r->at))
			return false;
		digits[i] = *r->at;
	}
	*unit = strtoul(digits, NULL, 16);
	return true;
}

static bool take_escape(struct reader *r)
{
	unsigned long unit, low;
	char c = *r->at ? *r->at++ : 'x';

	if (c != 'u')
		return strchr("\"\\/bfnrt", c) != NULL;
	if (!take_unit(r, &unit) || unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff))
		return false;
	if (unit < 0xd800 || unit > 0xdbff)
		return true;
	return take_word(r, "\\u") && take_unit(r, &low) && low >= 0xdc00 && low <= 0xdfff;
}

/* inside: what is between the quotes, as it is written. */
static bool take_string(struct reader *r, struct str *inside)
{
	const char *from;

	if (!take_char(r, '"'))
		return false;
	from = r->at;
	while (*r->at != '"') {
		unsigned n = (unsigned char)*r->at < 0x80 ? 1 : str_utf8_len((struct str){ r->at, (size_t)(r->end - r->at) });
		bool is_escape = *r->at == '\\';

		if (!n || (unsigned char)*r->at < 0x20)
			return false;
		r->at += n;
		if (is_escape && !take_escape(r))
			return false;
	}
	*inside = (struct str){ from, (size_t)(r->at - from) };
	r->at++;
	return true;
}

/* ---- numbers ---- */

static bool take_digits(struct reader *r)
{
	size_t n = strspn(r->at, "0123456789");

	r->at += n;
	return n > 0;
}

static bool take_number(struct reader *r)
{
	take_word(r, "-");
	if (!take_word(r, "0") && !take_digits(r))
		return false;
	if (take_word(r, ".") && !take_digits(r))
		return false;
	if (*r->at != 'e' && *r->at != 'E')
		return true;
	r->at++;
	if (!take_word(r, "-"))
		take_word(r, "+");
	return take_digits(r);
}

/* ---- values ---- */

static bool has(const struct str *names, unsigned n, struct str name)
{
	for (unsigned i = 0; i < n; i++)
		if (str_eq(names[i], name))
			return true;
	return false;
}

static bool take_object(struct reader *r)
{
	struct str names[NAMES_MAX];
	unsigned n = 0;

	if (take_char(r, '}'))
		return true;
	do {
		if (n == NAMES_MAX || !take_string(r, &names[n]) || has(names, n, names[n]) || !take_char(r, ':') || !take_value(r))
			return false;
		n++;
	} while (take_char(r, ','));
	return take_char(r, '}');
}

static bool take_array(struct reader *r)
{
	if (take_char(r, ']'))
		return true;
	do
		if (!take_value(r))
			return false;
	while (take_char(r, ','));
	return take_char(r, ']');
}

static bool take_scalar(struct reader *r)
{
	struct str text;

	if (*r->at == '"')
		return take_string(r, &text);
	return take_word(r, "null") || take_word(r, "true") || take_word(r, "false") || take_number(r);
}

static bool take_value(struct reader *r)
{
	bool is_good;

	if (r->depth == DEPTH_MAX)
		return false;
	r->depth++;
	if (take_char(r, '{'))
		is_good = take_object(r);
	else if (take_char(r, '['))
		is_good = take_array(r);
	else
		is_good = take_scalar(r);
	r->depth--;
	return is_good;
}

bool json_text_is_object(const char *text)
{
	struct reader r = { text, text + strlen(text), 0 };

	r.at += strspn(r.at, " \t\r\n");
	return *r.at == '{' && take_value(&r) && take_char(&r, '\0');
}
