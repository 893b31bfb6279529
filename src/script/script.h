/* script.h - runs a script in Lua 5.4 that can do no harm (pbx.script).
 *
 * A script sees the language, the parts of its library that only compute, and the functions that its host gives it: no files, no
 * network, no bytecode, no coroutines, no finalizers, no addresses. It has so many instructions and so much memory, and nothing that
 * it catches lets it go on when they are used up. Whatever it does, it asks the host for a pause every half a millisecond.
 *
 * A script waits in the functions of its host, on the stack on which script_run() was called. That one must have SCRIPT_STACK bytes.
 *
 * Owner:  nothing outlives script_run(). Thread: any, one script on one; the host decides what happens in a pause.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_STACK (1024 * 1024) /* of which a page or two are touched, unless it nests 200 functions of the library */
#define SCRIPT_ARGS_MAX 16
#define SCRIPT_TEXT_MAX 200        /* of results and messages; the rest is cut off */

struct script_arg {
	const char *name;        /* NULL: by its place */
	const char *text;        /* a number or true and false, too. NULL: nil */
	bool is_list;            /* it was a list: its members have '&' between them, and none in them */
};

/* A function of the host that is called. */
struct script_call {
	unsigned fn;             /* which of script_host.names */
	int line;                /* where */
	unsigned nargs;
	const struct script_arg *args; /* until it returns */
};

/* What it returns. Nothing set: nil. */
struct script_value {
	const char *text;        /* copied when it has returned */
	bool has_truth, truth;   /* true or false, where text is NULL */
	bool has_number;
	int64_t number;
	char error[SCRIPT_TEXT_MAX]; /* not "": the script gets this error, which it may catch */
	bool is_over;            /* the script doesn't go on: SCRIPT_STOPPED */
};

struct script_host {
	const char *const *names; /* of its functions; NULL-terminated. A word that Lua keeps for itself gets a '_' behind it: goto_ */
	void (*call)(const struct script_call *c, struct script_value *out, void *arg);
	bool (*pause)(void *arg); /* lets others have their turn. false: the script is to end, SCRIPT_STOPPED */
	void (*log)(const char *text, void *arg); /* log() and print(); text has no control characters */
};

struct script_params {
	const char *name, *source; /* name: in messages, "name:3: ..." */
	size_t memory;           /* bytes at most, Lua's own 25 KiB among them */
	const struct script_host *host;
	void *arg;               /* the host's */
};

enum script_end {
	SCRIPT_DONE,             /* text: what it returned, "" for nothing */
	SCRIPT_ERROR,            /* text: line and message */
	SCRIPT_STOPPED
};

/* instructions: how many it may yet carry out, then how many are left; what functions of the library have to do with long texts counts, too. */
enum script_end script_run(const struct script_params *p, uint64_t *instructions, char text[SCRIPT_TEXT_MAX]);
/* Is it a script at all? false: text says why not. */
bool script_compiles(const char *name, const char *source, char text[SCRIPT_TEXT_MAX]);
