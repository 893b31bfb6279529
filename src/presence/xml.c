/* xml.c - escaping. */
#include "presence/xml.h"

/* Length of the UTF-8 sequence s begins with; 0: it is none, or not a character of XML 1.0 §2.2. */
static size_t utf8_length(struct str s)
{
	const unsigned char *b = (const unsigned char *)s.p;
	size_t n = b[0] < 0x80 ? 1 : b[0] >= 0xc2 && b[0] < 0xe0 ? 2 : b[0] >= 0xe0 && b[0] < 0xf0 ? 3 : b[0] >= 0xf0 && b[0] < 0xf5 ? 4 : 0;
	uint32_t c;

	if (n == 0 || n > s.n)
		return 0;
	if (n == 1)
		return b[0] >= 0x20 || b[0] == '\t' || b[0] == '\n' || b[0] == '\r' ? 1 : 0;
	c = b[0] & (0xff >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (b[i] & 0x3f);
	}
	/* overlong, surrogate, past the end, not a character */
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff || c == 0xfffe || c == 0xffff)
		return 0;
	return n;
}

void xml_text(struct out *o, struct str s)
{
	while (s.n > 0) {
		size_t n = utf8_length(s);

		if (n == 0)
			out_chr(o, '?');
		else if (s.p[0] == '&')
			out_z(o, "&amp;");
		else if (s.p[0] == '<')
			out_z(o, "&lt;");
		else if (s.p[0] == '>')
			out_z(o, "&gt;");
		else if (s.p[0] == '"')
			out_z(o, "&quot;");
		else
			out_mem(o, s.p, n);
		s = str_from_at(s, n ? n : 1);
	}
}

void xml_attr(struct out *o, const char *name, struct str s)
{
	if (str_empty(s))
		return;
	out_chr(o, ' ');
	out_z(o, name);
	out_z(o, "=\"");
	xml_text(o, s);
	out_chr(o, '"');
}
