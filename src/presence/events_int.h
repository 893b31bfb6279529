/* events_int.h - between events.c (subscriptions and NOTIFYs) and events_store.c (their copy in the database).
 *
 * Owner:  a package its resources, a resource its watchers. Thread: loop thread.
 */
#pragma once

#include "base/table.h"

#include "presence/events.h"
#include "registrar/registrar.h"

#define EVENTS_NAME_MAX 64        /* of a domain, a number */
#define EVENTS_KEY_MAX (2 * EVENTS_NAME_MAX + 1)
#define EVENTS_ENTITY_MAX 192

struct event_user {               /* an extension that watches */
	UT_hash_handle hh;
	unsigned n;
	struct event_watcher *watchers;
	char key[EVENTS_KEY_MAX];
};

struct event_resource {           /* what is watched */
	UT_hash_handle hh;
	struct event_package *package;
	unsigned n;
	struct event_watcher *watchers;
	void *state;
	char domain[EVENTS_NAME_MAX], number[EVENTS_NAME_MAX];
	char key[EVENTS_KEY_MAX];
};

struct event_watcher {            /* a subscription */
	struct event_watcher *prev, *next;           /* of the resource */
	struct event_watcher *user_prev, *user_next; /* of the user */
	struct event_resource *of;
	struct event_user *user;
	struct subscription *sub;
	uint64_t phone;           /* see event_view */
	struct timer pace;
	uint64_t sent_until_ms;   /* theoretical time of arrival of the next NOTIFY at its pace */
	int64_t expires_at_ms;    /* wall clock */
	uint32_t version;         /* of the next body */
	bool is_owed, is_urgent;  /* a NOTIFY; whatever the pace */
	bool is_ending;           /* the next NOTIFY is the last: no copy is kept */
	char number[EVENTS_NAME_MAX];
	char entity[EVENTS_ENTITY_MAX];
	/* The copy. */
	char id[32];              /* its key there, our tag of the dialog; "" for none */
	uint32_t seq_kept, version_kept;
	int64_t expires_kept_ms;
	uint64_t dialog_kept;     /* a hash of what can change in the dialog */
};

struct events {
	struct events_params p;
	char node[EVENTS_NAME_MAX];
	struct event_package *packages;
	struct event_user *users;
	unsigned n;
	bool is_stopped, is_loaded;
	struct directory_watcher on_change;
	uint64_t load_query;      /* 0: none under way */
	struct timer load_timer;
	uint64_t load_until_ms;
};

extern const struct subscription_handler event_subscription_handler;

struct event_package *events_package(const struct events *e, struct str name);
/* A watcher in its lists, without a subscription yet. NULL without memory. */
struct event_watcher *event_watcher_new(struct event_package *p, const char *domain, const char *watcher, const char *number);
void event_watcher_free(struct event_watcher *w);
/* What a GRUU of the domain means: -ENOENT: it is none, -ESTALE: it means nothing now. */
int event_phone_find(const struct events *e, const char *domain, const struct sip_uri *uri, struct registrar_gruu *out);
/* Sends what is owed, if it may go now. */
void event_watcher_pump(struct event_watcher *w);

/* Brings the copy up to date, if it would mislead the next process. */
void event_keep(struct event_watcher *w);
void event_forget(struct event_watcher *w);
void events_load_start(struct events *e);
void events_load_stop(struct events *e);
