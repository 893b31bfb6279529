/* oa_words.h - what one leg says of a section, in the form in which it is said to another: its words.
 *
 * They are text: the formats in the first line, as "96 97", then lines of the description, each with its CRLF. A line belongs to them when it
 * speaks of what is sent, and not of the way that it goes. A format is the same in two of them when its number and its rtpmap are.
 *
 * Owner:  a text is its caller's, to be freed. Thread: any. Sources: RFC 3264 §6.1, RFC 8866 §5.14, §6.
 */
#pragma once

#include "sdp/sdp.h"

/* Of a section as it came; NULL: they would be longer than OA_OTHER_TEXT_MAX, or there is no memory. */
char *oa_words_of(const struct sdp_media *m);
/* Parts of words: "96 97", and what follows. Empty if words is NULL. */
struct str oa_words_formats(const char *words);
struct str oa_words_lines(const char *words);
/* Do both have one format at least? */
bool oa_words_have_common(const char *a, const char *b);
/* Does a have all the formats of the other? */
bool oa_words_have_all(const char *a, const char *of);
/* Those of words that the other has, too, and what is said of them. NULL without memory. */
char *oa_words_common(const char *words, const char *with);
