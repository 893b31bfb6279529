/* events.h - the notifier: who watches what, and when they are told (RFC 6665).
 *
 * Packages (message-summary, dialog, presence, reg) say who may watch a number and write its state; all the rest is here: SUBSCRIBE and
 * its checks, the list of watchers, one NOTIFY at a time, a pace, and the copy in pbx.subscription from which the next process goes on.
 *
 * State is pulled: events_changed() only marks the watchers as owed, and the body is written when its NOTIFY can go. So a burst of
 * changes costs one NOTIFY with the newest state, and every NOTIFY has full state.
 *
 * A GRUU in the Request-URI watches one phone of a number: what the package can tell apart by phones is told of that one. What is told bears
 * the GRUU as it was written, so that who has a temporary one learns nobody's number.
 *
 * What is watched is a number of the watcher's own domain. Trunks watch nothing.
 *
 * Owner:  its maker. events_stop() while ua, directory, db and outbox live, events_free() after ua and directory are closed (both may
 *         call back until then).
 * Thread: loop thread.
 */
#pragma once

#include "base/out.h"
#include "db/outbox.h"
#include "registrar/auth.h"

struct events;

struct events_params {
	struct sip_ua *ua;
	struct directory *directory;
	struct auth *auth;
	struct registrar *registrar;           /* knows GRUUs */
	struct timers *timers;
	const struct clock *clock;
	struct rng *rng;
	const struct log *log;
	struct db *db;                         /* NULL: none are read back */
	struct outbox *outbox;                 /* NULL: they end with this process, and their watchers are told so */
	const char *node;                      /* our name, kept with each: only we read it back; NULL: "" */
	uint32_t min_expires_s, max_expires_s; /* 0: 60, 3600; the latter is also granted to who asks for nothing */
	unsigned max_per_user;                 /* subscriptions of one extension in all its phones; 0: 300 */
};

/* Takes over SUBSCRIBE. *p is copied, node included; what it points to must outlive events_stop(). -ENOMEM. */
int events_new(struct events **out, const struct events_params *p);
/* All packages are there: reads back the subscriptions that a former process left. */
void events_start(struct events *e);
/* No more NOTIFYs. Those that are kept wait for the next process. A second call does nothing. */
void events_stop(struct events *e);
void events_free(struct events *e); /* NULL allowed */
unsigned events_count(const struct events *e);
bool events_is_loaded(const struct events *e);

/* Why a request is refused; status 0: it isn't. reason NULL: the standard phrase. hdrs: whole lines or NULL. */
struct event_refusal {
	int status;
	const char *reason, *hdrs;
};

struct event_view {
	const char *domain, *number;           /* what is watched */
	const char *watcher;                   /* the extension that watches */
	const char *entity;                    /* URI of what is watched, as the watcher knows it: the AoR, or the GRUU of phone */
	struct str host;                       /* of entity */
	uint64_t phone;                        /* phone_id(): of number's phones that one alone is watched (RFC 5627); 0: all of them */
	struct str params;                     /* of its Event */
	uint32_t version;                      /* of this body: from 0, rising (RFC 4235 §4.1) */
	void *state;                           /* what on_watched gave */
};
/* The AoR of what is watched, whatever it was watched by: for who knows it, being it himself. */
#define EVENT_AOR_MAX 512
struct str event_aor(const struct event_view *v, char buf[EVENT_AOR_MAX]);

/* What a package is; the fields are constant from events_add() on. */
struct event_package {
	const char *name;                      /* "dialog" */
	const char *ctype;                     /* of its bodies */
	unsigned max_watchers;                 /* of one number */
	uint16_t gap_ms, burst;                /* so many NOTIFYs at once, then one every gap; 0: as fast as they are answered */
	void *arg;
	/* The number that is meant, by default the user of the Request-URI. -ENOENT: none that could be. May be NULL. */
	int (*number_of)(const struct sip_msg *m, const struct auth_identity *who, char *buf, size_t size, void *arg);
	/* May this extension watch that number? Asked again when the directory changes; 503: not known now. */
	struct event_refusal (*admit)(const char *domain, const char *watcher, const char *number, void *arg);
	/* A number is watched by its first watcher, by none any more. NULL without memory. */
	void *(*on_watched)(const char *domain, const char *number, void *arg);
	void (*on_unwatched)(void *state, void *arg);
	/* Writes the state; nothing: a NOTIFY without a body. -EAGAIN: not known yet, events_ready() will follow. */
	int (*write)(const struct event_view *v, struct out *o, void *arg);

	/* The notifier's own. */
	struct events *events;
	struct event_resource *resources;
	struct event_package *next;
};

/* p must outlive events_free(). */
void events_add(struct events *e, struct event_package *p);
/* The state has changed: all its watchers are told, soon. */
void events_changed(struct event_package *p, const char *domain, const char *number);
/* That of one of its phones has, and by that nothing of all of them together. */
void events_phones_changed(struct event_package *p, const char *domain, const char *number);
/* The state is known now (or won't be): those that wait for it are told. */
void events_ready(struct event_package *p, const char *domain, const char *number);
