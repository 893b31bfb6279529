/* say.h - what shall be said, as a list of sound files put together by a language's grammar.
 *
 * The say_* functions of app.h add to the list; phrases are <prompts>/<language>/<phrase>.wav.
 * Owner: who made it. Thread: that of the zones.
 */
#pragma once

#include "base/log.h"
#include "call/app.h"
#include "call/zone.h"

/* An unknown language falls back to English grammar and files. The zones outlive it. NULL without memory. */
struct say *say_new(const char *prompts_dir, const char *language, struct zones *zones, const struct log *log);
void say_free(struct say *s);
/* The list, valid until the next addition. */
void say_files(const struct say *s, const char *const **files, unsigned *n);
/* What "today" is; else the time at say_new(). */
void say_set_now(struct say *s, int64_t unix_s);
