/* log.c - formats one line in a local buffer and writes it with one call, so lines of several threads don't mix. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "base/scan.h"

static const char *const names[] = { "error", "warn", "info", "debug" };

int log_level_parse(const char *name, enum log_level *out)
{
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i])) {
			*out = (enum log_level)i;
			return 0;
		}
	return -EINVAL;
}

static char *put(char *at, unsigned v, unsigned digits, char behind)
{
	for (unsigned i = digits; i-- > 0; v /= 10)
		at[i] = (char)('0' + v % 10);
	at[digits] = behind;
	return at + digits + 1;
}

/* "2026-01-31 12:00:00.000 info  sip: " (strftime and printf would take longer than the rest of the line). */
static size_t put_head(char *line, enum log_level level, const char *module)
{
	struct timespec ts;
	struct tm tm;
	char *at = line;
	size_t n = strlen(module);

	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	at = put(at, (unsigned)tm.tm_year + 1900, 4, '-');
	at = put(at, (unsigned)tm.tm_mon + 1, 2, '-');
	at = put(at, (unsigned)tm.tm_mday, 2, ' ');
	at = put(at, (unsigned)tm.tm_hour, 2, ':');
	at = put(at, (unsigned)tm.tm_min, 2, ':');
	at = put(at, (unsigned)tm.tm_sec, 2, '.');
	at = put(at, (unsigned)(ts.tv_nsec / 1000000), 3, ' ');
	memcpy(at, "      ", 6);
	memcpy(at, names[level], strlen(names[level]));
	at += 6;
	if (n > 32)
		n = 32;
	memcpy(at, module, n);
	at += n;
	*at++ = ':';
	*at++ = ' ';
	return (size_t)(at - line);
}

#define LINE_MAX 1024

/* n bytes stand in line, which has room for LINE_MAX: what goes on behind them is cut, and the line ended. */
static void write_line(const struct log *log, enum log_level level, char *line, size_t n)
{
	const char *end, *at = line;

	if (n > LINE_MAX - 2)
		n = LINE_MAX - 2;
	/* Peers' bytes end up here: control characters must not forge lines. */
	end = line + n;
	while ((at = scan_unusual(at, end, 127, 127)) < end) {
		if ((unsigned char)*at < 128)
			line[at - line] = ' ';
		at++;
	}
	line[n++] = '\n';
	fwrite(line, 1, n, log->to);
	if (level <= LOG_WARN)
		fflush(log->to);
}

void log_write(const struct log *log, enum log_level level, const char *module, const char *fmt, ...)
{
	char line[LINE_MAX];
	size_t n;
	int more;
	va_list ap;

	if (!log_on(log, level))
		return;
	n = put_head(line, level, module);
	va_start(ap, fmt);
	more = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	write_line(log, level, line, more > 0 ? n + (size_t)more : n);
}

void log_text(const struct log *log, enum log_level level, const char *module, struct str text)
{
	char line[LINE_MAX];
	size_t n;

	if (!log_on(log, level))
		return;
	n = put_head(line, level, module);
	if (text.n > sizeof(line) - n)
		text.n = sizeof(line) - n;
	memcpy(line + n, text.p, text.n);
	write_line(log, level, line, n + text.n);
}
