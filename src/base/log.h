/* log.h - one line an event, to stderr or a file.
 *
 * Levels: error an operator must act; warn a call or a service suffered; info that a call
 * began or ended, and what a registration became; debug the steps between. Lines carry call= and leg= first, then key=value.
 * No secrets, no full SDP above debug.
 *
 * Thread: any. A NULL struct log * swallows everything, so tests may pass NULL.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log {
	FILE *to;
	enum log_level level;
};

void log_write(const struct log *log, enum log_level level, const char *module, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The same of a line that is written already: the lines of each call are put together, not formatted. */
void log_text(const struct log *log, enum log_level level, const char *module, struct str text);

static inline bool log_on(const struct log *log, enum log_level level)
{
	return log && level <= log->level;
}

/* Each .c defines LOG_MODULE before including this header. */
#ifdef LOG_MODULE
/* What isn't logged isn't evaluated. */
#define log_at(log, level, ...) (log_on(log, level) ? log_write(log, level, LOG_MODULE, __VA_ARGS__) : (void)0)
#define log_error(log, ...) log_at(log, LOG_ERROR, __VA_ARGS__)
#define log_warn(log, ...) log_at(log, LOG_WARN, __VA_ARGS__)
#define log_info(log, ...) log_at(log, LOG_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_at(log, LOG_DEBUG, __VA_ARGS__)
#endif

/* "error", "warn", "info", "debug"; -EINVAL otherwise. */
int log_level_parse(const char *name, enum log_level *out);
