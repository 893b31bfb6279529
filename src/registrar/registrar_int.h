/* registrar_int.h - the table of bindings beneath the registrar. For bindings.c and registrar.c alone.
 *
 * An aor is an extension with at least one binding; it goes with its last one. Every change but a mere refresh is told to the
 * watchers; every change goes to the outbox, refreshes only when the kept expiry has become old.
 */
#pragma once

#include <uthash.h>

#include "registrar/auth.h"
#include "registrar/registrar.h"

#define BINDING_CONTACT_MAX 512  /* URI text; longer ones nobody needs, and a 200 must hold max_contacts of them */

struct bindings;
struct aor;

struct entry {
	struct binding b;          /* first: what registrar_find hands out */
	struct bindings *of;
	struct aor *aor;
	struct timer expiry;
	int64_t kept_expires_ms;   /* what the database has or will have; 0: nothing yet */
	struct entry *flow_next, **flow_pprev; /* bindings of one connection; NULL pprev: of none */
};

struct aor {
	char *domain, *number;
	struct binding *first;     /* by falling q, then most recent first */
	unsigned count;
	UT_hash_handle hh;
	char key[];                /* "domain/number" */
};

int bindings_new(struct bindings **out, const struct registrar_params *p);
void bindings_free(struct bindings *bs);
bool bindings_is_loaded(const struct bindings *bs);
unsigned bindings_count(const struct bindings *bs);
struct aor *bindings_find(struct bindings *bs, const char *domain, struct str number); /* NULL: no binding */
struct entry *bindings_entry(const struct aor *aor, struct str contact);               /* equal as URIs; NULL: none */
int bindings_watch(struct bindings *bs, void (*fn)(const char *domain, const char *number, void *arg), void *arg);

/* A detached entry with copies of everything in b, dest included; NULL without memory. */
struct entry *bindings_entry_new(struct bindings *bs, const struct binding *b);
void bindings_entry_free(struct entry *e);
/* Puts a detached entry in, in place of old (freed then) unless that is NULL. -ENOMEM: e is freed, nothing has changed. */
int bindings_put(struct bindings *bs, const char *domain, const char *number, struct entry *e, struct entry *old);
void bindings_remove(struct entry *e);
void bindings_flow_closed(struct bindings *bs, uint64_t flow);
