/* registrar_int.h - between registrar.c (answers), register.c (what a REGISTER changes), bindings.c (the table) and kept.c (the
 * database's copy of it).
 *
 * An aor is an extension with at least one binding; it goes with its last one. Every change but a mere refresh is told to the
 * watchers; every change goes to the outbox, refreshes only when the kept expiry has become old.
 *
 * Owner:  struct registrar, of all of it. Thread: loop thread.
 */
#pragma once

#include "base/table.h"

#include "registrar/auth.h"
#include "registrar/gruu.h"
#include "registrar/registrar.h"

#define BINDING_CONTACT_MAX 512  /* URI text; longer ones nobody needs, and a 200 must hold max_contacts of them */
#define BINDING_CALL_ID_MAX 255
#define BINDING_INSTANCE_MAX 255
#define BINDING_PATH_MAX 1024    /* of some proxies; it is sent with every call */
#define REG_ID_MAX 2147483647u   /* RFC 5626 §4.2 */

struct bindings;
struct aor;

/* Bindings that are also found by a number: those of a connection, those that a temporary GRUU means. */
enum group_kind { GROUP_FLOW, GROUP_GRUU, GROUP_KINDS };
struct group {
	uint64_t id;
	struct entry *first;       /* never NULL */
	UT_hash_handle hh;
};

struct entry {
	struct binding b;          /* first: what registrar_find hands out */
	struct bindings *of;
	struct aor *aor;
	struct timer expiry;       /* runs out when the binding ends, or before */
	uint64_t due_ms;           /* when it ends, by the clock of the timers */
	int64_t kept_expires_ms;   /* what the database has or will have; 0: nothing yet */
	struct {
		struct entry *next, **pprev; /* NULL pprev: it is in none */
	} in[GROUP_KINDS];
};

struct aor {
	char *domain, *number;
	struct binding *first;     /* by falling q, then most recent first */
	unsigned count;
	UT_hash_handle hh;
	char key[];                /* "domain/number" */
};

struct watcher {
	void (*fn)(const char *domain, const char *number, void *arg);
	void *arg;
};

struct bindings {
	struct registrar_params p;
	char *node;
	struct aor *aors;
	struct group *groups[GROUP_KINDS];
	unsigned count;
	struct watcher watchers[REGISTRAR_WATCHERS_MAX];
	unsigned nwatchers;
	bool is_loaded;
	uint64_t load_query;       /* 0: none under way */
	struct timer load_retry;
};

int bindings_new(struct bindings **out, const struct registrar_params *p);
void bindings_free(struct bindings *bs);
bool bindings_is_loaded(const struct bindings *bs);
unsigned bindings_count(const struct bindings *bs);
struct aor *bindings_find(struct bindings *bs, const char *domain, struct str number); /* NULL: no binding */
/* The binding that a Contact is about: the flow of its instance, or who has an equal URI (RFC 5626 §6). NULL: none yet. */
struct contact_key { struct str uri, instance; uint32_t reg_id; };
struct entry *bindings_entry(const struct aor *aor, const struct contact_key *key);
bool binding_has_instance(const struct binding *b, struct str instance);
const struct entry *bindings_of_gruu_id(const struct bindings *bs, uint64_t id);       /* one of them */
int bindings_watch(struct bindings *bs, void (*fn)(const char *domain, const char *number, void *arg), void *arg);
void bindings_unwatch(struct bindings *bs, void *arg);

/* A detached entry with copies of everything in b, dest included; NULL without memory. */
struct entry *bindings_entry_new(struct bindings *bs, const struct binding *b);
void bindings_entry_free(struct entry *e);
/* Puts a detached entry in, in place of old (freed then) unless that is NULL. -ENOMEM: e is freed, nothing has changed. */
int bindings_put(struct bindings *bs, const char *domain, const char *number, struct entry *e, struct entry *old);
/* The same phone once more, with nothing new but its number and its end. */
void bindings_refresh(struct entry *e, uint32_t cseq, int64_t expires_at_ms);
void bindings_remove(struct entry *e);
void bindings_flow_closed(struct bindings *bs, uint64_t flow);
bool bindings_has_flow(const struct bindings *bs, uint64_t flow); /* is anybody reached by this connection? */
/* kept.c: what the database has. */
void kept_write(struct bindings *bs, const struct entry *e, bool is_removed);
/* True when the kept copy of what is now e would mislead a start within the time granted. */
bool kept_must_write(const struct entry *e, const struct entry *old, int64_t now_ms);
bool kept_is_old(int64_t kept_expires_ms, int64_t expires_at_ms, int64_t now_ms); /* the same of a mere refresh */
/* The row's key is text: an equal URI in another spelling is another row. */
bool kept_is_other_row(const struct entry *e, const struct entry *old);
void kept_load(struct bindings *bs); /* tries until it has worked */

/* register.c: what a REGISTER changes, worked out before anything is touched. */
#define REGISTER_CHANGES_MAX 32  /* contacts in one request; nothing registers more than a few */

struct change {
	struct entry *old;       /* bound now; NULL: new */
	struct entry *add;       /* to be put in; NULL: removal, or a refresh */
	int64_t refresh_until_ms; /* old stays as it is, until then; 0: it doesn't */
	struct sip_uri uri;      /* of the contact, to find repetitions; without text for a binding that wasn't named */
	bool is_superseded;      /* taken away because its phone has another now */
};

/* Why a request is refused; status 0: it isn't. reason NULL: the standard phrase says it. */
struct fault {
	int status;
	const char *reason;
};

struct registration {
	const struct registrar_params *p;
	struct bindings *bindings;
	struct gruu_maker *gruus;
	struct strans *st;
	const struct sip_msg *m;
	const struct auth_identity *who;
	struct aor *aor;         /* NULL: nothing bound */
	int64_t now_ms;
	uint32_t default_s;      /* Expires, or ours */
	char path[BINDING_PATH_MAX];
	bool is_direct;          /* no proxy stands between us and the phone */
	bool is_outbound;        /* the phone speaks RFC 5626 */
	bool is_flow;            /* a reg-id counts here: it registers this flow */
	bool is_removing;        /* asked to take something away */
	unsigned n;
	struct change changes[REGISTER_CHANGES_MAX];
};

struct fault register_plan(struct registration *r);
void register_carry_out(struct registration *r);
void register_fini(struct registration *r); /* what was not carried out */
