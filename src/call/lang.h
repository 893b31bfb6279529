/* lang.h - the grammar of one language: in which order which phrases are spoken.
 *
 * A language is a file lang_<code>.c with one struct lang, and a line in the table of say.c. Its functions add phrases
 * with say_phrase() and the other say_*; they keep nothing.
 *
 * Owner:  static const. Thread: loop thread.
 */
#pragma once

#include <time.h>

#include "call/app.h"

struct lang {
	const char *code; /* "en" */
	void (*number)(struct say *s, int64_t n);
	void (*digit)(struct say *s, char digit); /* 0-9 * # + and A-D */
	void (*messages)(struct say *s, unsigned n, bool is_new);
	/* then and now in the listener's time zone; days: how many midnights then is past, negative when it is to come. */
	void (*datetime)(struct say *s, const struct tm *then, const struct tm *now, int64_t days);
	void (*duration)(struct say *s, uint32_t seconds);
	/* Who isn't there: a number to be spelled, or else the name, in a file. */
	void (*absent)(struct say *s, const char *number, const char *name_file, bool is_busy);
	/* caller: a number to be spelled, NULL: unknown. */
	void (*envelope)(struct say *s, unsigned position, const char *caller, int64_t unix_s, const char *zone);
};

extern const struct lang lang_en;
