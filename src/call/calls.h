/* calls.h - the B2BUA: takes INVITEs, makes calls of them and drives each by its dialplan route.
 *
 * A call is the legs that serve one incoming request and the task that runs its route's steps. A leg is one SIP
 * dialog with its offer/answer and its media; each leg negotiates for itself.
 *
 * Owner:  main. Calls and legs belong to struct calls and end by themselves.
 * Thread: loop thread.
 */
#pragma once

#include "base/task.h"
#include "db/outbox.h"
#include "directory/directory.h"
#include "media/media.h"
#include "plan/plan.h"
#include "registrar/auth.h"
#include "registrar/registrar.h"
#include "sip/ua.h"

struct calls;

struct calls_params {
	uv_loop_t *loop;
	struct sip_ua *ua;
	struct resolver *resolver;
	struct media *media;
	struct directory *directory;
	struct plan *plan;
	struct registrar *registrar;
	struct auth *auth;
	struct db *db;
	struct outbox *outbox;
	struct tasks *tasks;
	struct timers *timers;
	struct rng *rng;
	const struct clock *clock;
	const struct log *log;
	const char *prompts;      /* folder with one folder a language, and music/ */
	const char *spool;        /* folder for recordings under way and temporary sound */
	unsigned max_calls;       /* more are refused with 503; 0: no limit */
};

struct calls_counters {
	uint64_t total, answered, refused;
	unsigned live, legs;
};

/* Takes over INVITE at the ua. All of *p must outlive the calls. Delivers recordings that a former process left in the spool. */
int calls_new(struct calls **out, const struct calls_params *p);
/* Refuses new calls and hangs up the live ones; done is called, once, when the last has gone. */
void calls_close(struct calls *cs, void (*done)(void *arg), void *arg);
void calls_free(struct calls *cs); /* after done */
const struct calls_counters *calls_counters(const struct calls *cs);
