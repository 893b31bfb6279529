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
#include "registrar/outgoing.h"
#include "registrar/qualify.h"
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
	struct outgoing *outgoing;   /* NULL: trunks have no service route */
	struct qualify *qualify;     /* NULL: nobody knows which trunks answer */
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
	const char *recordings;   /* folder for recordings of calls; NULL: there are none */
	const char *node;         /* name of this server */
	unsigned max_calls;       /* more are refused with 503; 0: no limit */
	/* A leg is given up when nothing has come from it for so long, where domain and trunk say nothing else; 0: never. hold: of one that
	 * holds, or is held and needn't send. */
	uint32_t media_timeout_s, media_hold_timeout_s;
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
/* Removes recordings that have been kept long enough. From time to time. */
void calls_housekeeping(struct calls *cs);

/* A leg of an extension, for lamps (RFC 4235). Texts are valid until the callback returns. */
enum call_line_state { CALL_LINE_TRYING, CALL_LINE_EARLY, CALL_LINE_CONFIRMED, CALL_LINE_TERMINATED };
struct call_line {
	uint64_t id;              /* of the leg, also when it moves to another call; never used again by this process */
	const char *domain, *number;
	enum call_line_state state;
	bool is_initiator;        /* the extension called */
	/* Of our dialog with its phone; empty once terminated, and phone_tag as long as the phone has said nothing. Who picks a call up
	 * says them in Replaces as the phone would: to-tag the phone's, from-tag ours. */
	struct str call_id, our_tag, phone_tag;
	const char *peer_number, *peer_name; /* at the other end; may be "" */
	const char *end;          /* terminated: how, as RFC 4235 §3.7.1 has it, seen from the phone; else NULL. Static */
	int code;                 /* terminated by a refusal: which; 0: it wasn't */
	const struct leg *leg;    /* for call_line_phone() */
};
/* Told of every leg of an extension: when its dialog begins, when its state or its other end changes. fn must not touch the call. At
 * most one; NULL: nobody, and then it costs nothing. */
void calls_watch(struct calls *cs, void (*fn)(const struct call_line *line, void *arg), void *arg);
/* Asks the phone of an extension by a NOTIFY in the dialog of its call, as phones with remote control understand it: event "talk" (take
 * the call that rings, or is held) or "hold". -ENOENT: it has no such call; -ENOTCONN: its dialog isn't established. */
int calls_ask_phone(struct calls *cs, const char *domain, const char *number, const char *event);
/* Which of the extension's phones it is (registrar.h), as long as that can be seen; 0: not known. */
uint64_t call_line_phone(const struct call_line *line);
/* All live legs of an extension now. */
void calls_each_line(const struct calls *cs, const char *domain, const char *number,
		     void (*fn)(const struct call_line *line, void *arg), void *arg);
const struct calls_counters *calls_counters(const struct calls *cs);
