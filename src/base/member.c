/* member.c - text as JSON has it: most is written as it stands, so what needs an escape is looked for many bytes at a time.
 */
#include "base/member.h"

#include "base/scan.h"

void member_print_text(struct out *o, const char *z)
{
	const char *p = z, *end = z + strlen(z);

	out_chr(o, '"');
	for (;;) {
		const char *odd = scan_unusual(p, end, '"', '\\');
		unsigned n;

		out_mem(o, p, (size_t)(odd - p));
		p = odd;
		if (p == end)
			break;
		n = str_utf8_len((struct str){ p, (size_t)(end - p) });
		if (*p == '"' || *p == '\\') {
			out_chr(o, '\\');
			out_chr(o, *p);
		} else if ((unsigned char)*p < 0x20) {
			out_fmt(o, "\\u%04x", *p);
		} else if (!n) {
			out_chr(o, '?');
			n = 1;
		} else {
			out_mem(o, p, n);
		}
		p += n;
	}
	out_chr(o, '"');
}
