/* oa_words.c - what is said of a section, as text (see oa_words.h): which lines of it are the sender's own, and which formats two have in common. */
#include "sdp/oa_words.h"

#include "base/out.h"
#include "sdp/oa_other.h"

/* Attributes of the way, which is ours, or of somebody who isn't the far end of it; all others are the sender's own. */
static const char *const of_the_way[] = {
	"sendrecv", "sendonly", "recvonly", "inactive", "rtcp", "rtcp-mux", "rtcp-mux-only", "mid", "bundle-only", "crypto", "fingerprint", "setup",
	"connection", "tls-id", "key-mgmt", "zrtp-hash", "candidate", "end-of-candidates", "remote-candidates", "curr", "des", "conf", "acap",
	"tcap", "pcfg", "acfg", "csup", "creq", "source-filter", "nortpproxy",
};

/* And those that speak of one payload type. */
static const char *const of_formats[] = { "rtpmap", "fmtp", "rtcp-fb", "imageattr" };

static bool is_among(struct str name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_ieqz(name, list[i]))
			return true;
	return false;
}

static bool is_carried(struct str line)
{
	struct str rest = str_from_at(line, 2), name = str_cut(&rest, ':');

	if (line.n < 3 || line.p[1] != '=')
		return false;
	for (size_t i = 0; i < line.n; i++)
		if ((unsigned char)line.p[i] < ' ' && line.p[i] != '\t')
			return false;
	if (line.p[0] != 'a')
		return line.p[0] == 'i' || line.p[0] == 'b';
	/* Names of sections are each leg's own, in packets, too (RFC 9143 §14). */
	str_cut(&rest, ' ');
	if (str_ieqz(name, "extmap") && str_starts(rest, STR("urn:ietf:params:rtp-hdrext:sdes:mid")))
		return false;
	return !is_among(name, of_the_way, ARRAY_LEN(of_the_way)) && !str_istarts(name, STR("ice-"));
}

static struct str next_line(struct str *rest)
{
	struct str line = str_cut(rest, '\n');

	while (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

char *oa_words_of(const struct sdp_media *m)
{
	struct str rest = m->lines;
	struct out o;

	out_init_grow(&o, OA_OTHER_TEXT_MAX);
	for (unsigned i = 0; i < m->nformats; i++) {
		if (i)
			out_chr(&o, ' ');
		out_str(&o, m->formats[i].text);
	}
	out_z(&o, "\r\n");
	while (rest.p) {
		struct str line = next_line(&rest);

		if (!is_carried(line))
			continue;
		out_str(&o, line);
		out_z(&o, "\r\n");
	}
	return out_take(&o);
}

struct str oa_words_formats(const char *words)
{
	struct str rest = str_from(words);

	return next_line(&rest);
}

struct str oa_words_lines(const char *words)
{
	struct str rest = str_from(words);

	next_line(&rest);
	return rest;
}

static bool has_word(struct str list, struct str word)
{
	while (list.p)
		if (str_eq(str_cut(&list, ' '), word))
			return true;
	return false;
}

/* "H264/90000" of a format; empty: it says nothing of it. */
static struct str encoding_of(const char *words, struct str format)
{
	struct str rest = str_from(words);

	while (rest.p) {
		struct str line = next_line(&rest), name = str_cut(&line, ':'), number = str_cut(&line, ' ');

		if (str_ieqz(name, "a=rtpmap") && str_eq(number, format))
			return str_trim(line);
	}
	return STR_NULL;
}

/* Does this number mean the same in both? */
static bool is_common(const char *a, const char *b, struct str format)
{
	return format.n && has_word(oa_words_formats(a), format) && has_word(oa_words_formats(b), format) &&
	       str_ieq(encoding_of(a, format), encoding_of(b, format));
}

bool oa_words_have_common(const char *a, const char *b)
{
	struct str rest = oa_words_formats(a);

	while (rest.p)
		if (is_common(a, b, str_cut(&rest, ' ')))
			return true;
	return false;
}

bool oa_words_have_all(const char *a, const char *of)
{
	struct str rest = oa_words_formats(of);

	while (rest.p)
		if (!is_common(a, of, str_cut(&rest, ' ')))
			return false;
	return true;
}

/* A line about a format that is left out. */
static bool is_about_other(struct str line, const char *words, const char *with)
{
	struct str name = str_cut(&line, ':'), format = str_cut(&line, ' ');

	if (!str_istarts(name, STR("a=")) || !is_among(str_from_at(name, 2), of_formats, ARRAY_LEN(of_formats)))
		return false;
	return !str_eqz(format, "*") && !is_common(words, with, format);
}

char *oa_words_common(const char *words, const char *with)
{
	struct str rest = str_from(words), formats = next_line(&rest);
	struct out o;
	bool is_first = true;

	out_init_grow(&o, OA_OTHER_TEXT_MAX);
	while (formats.p) {
		struct str format = str_cut(&formats, ' ');

		if (!is_common(words, with, format))
			continue;
		if (!is_first)
			out_chr(&o, ' ');
		is_first = false;
		out_str(&o, format);
	}
	out_z(&o, "\r\n");
	while (rest.n) {
		struct str line = next_line(&rest);

		if (is_about_other(line, words, with))
			continue;
		out_str(&o, line);
		out_z(&o, "\r\n");
	}
	return out_take(&o);
}
