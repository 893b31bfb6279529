/* lines.h - who is on the telephone: the dialogs of those extensions that somebody watches.
 *
 * Follows the calls for the lines that are held, and for no others; with none held the calls tell nobody. A dialog that has ended is
 * kept for a moment, so that a watcher is told that it has (RFC 4235 §4.1.3).
 *
 * Owner:  its maker. A line lives from the first line_get() to the last line_put().
 * Thread: loop thread.
 */
#pragma once

#include "call/calls.h"

struct lines;

struct line_dialog {
	struct line_dialog *next;   /* in the order they began */
	uint64_t id;
	uint64_t phone;             /* phone_id() of whose it is; 0: not known */
	enum call_line_state state;
	bool is_initiator;          /* the extension called */
	const char *end;            /* terminated: how, as RFC 4235 §3.7.1 has it; NULL: not known. Static */
	int code;                   /* of its refusal; 0: none */
	char call_id[256], our_tag[64], phone_tag[128]; /* "" unknown; as in struct call_line */
	char peer_number[128], peer_name[128];
	uint64_t gone_at_ms;        /* terminated: when it is forgotten */
};

struct line {
	const char *domain, *number;
	struct line_dialog *dialogs;
};

int lines_new(struct lines **out, struct calls *calls, struct timers *timers);
void lines_stop(struct lines *ls);  /* no more news of calls, which end now */
void lines_free(struct lines *ls);  /* NULL allowed; after the last line_put() */
/* Told when a held line has changed, after it has. At most LINES_WATCHERS_MAX. */
#define LINES_WATCHERS_MAX 4
void lines_watch(struct lines *ls, void (*fn)(const struct line *line, void *arg), void *arg);

/* Holds a line, with the dialogs it has now. NULL without memory. */
const struct line *line_get(struct lines *ls, const char *domain, const char *number);
void line_put(struct lines *ls, const struct line *line);
/* In a call, or being rung; phone: that one alone, 0: any. */
bool line_is_busy(const struct line *line, uint64_t phone);
/* Which of its phones are, a bit for each; 0: none. Two of 63 may share one. */
uint64_t line_busy_phones(const struct line *line);
