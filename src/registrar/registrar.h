/* registrar.h - where an extension can be reached now (RFC 3261 §10, RFC 3327, RFC 5626, RFC 5627, RFC 6140).
 *
 * Bindings live in memory, each change goes through the outbox to pbx.binding, and they are read back at start. A look-up
 * never waits. REGISTER is authenticated by auth.h like everything else.
 *
 * Thread: loop thread.
 */
#pragma once

#include "db/outbox.h"
#include "directory/directory.h"
#include "sip/digest.h"
#include "sip/ua.h"

struct registrar;

struct registrar_params {
	struct sip_ua *ua;
	struct directory *directory;
	struct db *db;
	struct outbox *outbox;       /* NULL: bindings aren't kept (tests) */
	struct digest_server *digest;
	struct guard *guard;         /* told who has shown what password; NULL: nobody is */
	struct transport *transport; /* whose connections' certificates tell phones; NULL: none do */
	struct timers *timers;
	const struct clock *clock;
	struct rng *rng;
	const struct log *log;
	uint32_t min_expires_s, max_expires_s, default_expires_s; /* 0: 60, 3600, 600 */
	unsigned max_contacts;       /* per AoR; 0: 10 */
	const char *node;            /* our name in pbx.node, kept with each binding; NULL: none */
	unsigned char key[32];       /* secret, the same on all nodes and after a restart: temporary GRUUs are sealed with it */
};

struct binding {
	char *contact;               /* URI text as registered */
	char *instance;              /* +sip.instance or NULL: "<urn:uuid:...>" */
	char *path;                  /* Path as a value of Route, or NULL (RFC 3327) */
	char *call_id;
	uint32_t reg_id;             /* which flow of its instance it is (RFC 5626); 0: none */
	uint64_t gruu_id;            /* what its temporary GRUUs mean; 0 without instance */
	uint32_t cseq;
	uint16_t q_milli;            /* 0..1000, 1000 when absent */
	int64_t expires_at_ms;       /* wall clock */
	struct sip_dest dest;        /* where requests to it go: the source it registered from (RFC 3581), its flow if it is a connection.
				      * With a path: where the REGISTER came from; requests go to the first URI of the path */
	char user_agent[64];
	bool is_bulk;                /* of an exchange (RFC 6140): the contact is without user, and has the parameter bnc */
	bool is_unreachable;         /* it doesn't answer when asked (qualify.h): others are called first */
	uint32_t rtt_us;             /* of its last answer, roughly */
	int64_t reach_since_ms;      /* since when it is so; wall clock, 0: it wasn't asked yet */
	int64_t reach_written_ms;    /* when its row was told */
	struct binding *next;
};

/* Takes over REGISTER and the flow-closed handler of the ua and starts to read the kept bindings. *p is copied, node included;
 * what it points to must outlive the registrar. -ENOMEM. */
int registrar_new(struct registrar **out, const struct registrar_params *p);
/* The kept bindings stay in the database. Before the ua, the directory, the timers, the db and the outbox are closed. NULL allowed. */
void registrar_close(struct registrar *r);
/* The kept bindings have been read. Until then a REGISTER that removes is put off (503), since what it removes may be read later. */
bool registrar_is_loaded(const struct registrar *r);
/* Live bindings of an extension, best q first, then who registered last; NULL: none. Valid until the loop callback returns or the
 * task parks. Of several with one instance only one may ring at a time (RFC 5626 §7). */
const struct binding *registrar_find(struct registrar *r, const char *domain, struct str number);
/* Those by which a number is reached: its own, or where it has none those of the exchange that registers for it. Of these one begins with
 * the first and goes on with registrar_next(). */
struct registrar_reach { const struct binding *b; bool is_bulk; };
struct registrar_reach registrar_reach(struct registrar *r, const char *domain, struct str number);
void registrar_next(struct registrar_reach *reach); /* b NULL: no more */
/* The URI by which a number is called at a binding. -EMSGSIZE. */
#define BINDING_TARGET_MAX 700
/* The same for a phone of an exchange; sg "": for all. */
int binding_target_sg(const struct binding *b, struct str number, const char *sg, char target[BINDING_TARGET_MAX]);
int binding_target(const struct binding *b, struct str number, char target[BINDING_TARGET_MAX]);
bool binding_is_same_instance(const struct binding *a, const struct binding *b); /* false when one of them has none */

/* What was sent to this flow was answered 430, or can't be sent: it is gone (RFC 5626 §7). Nothing if there is no such binding. */
struct binding_key { const char *domain, *number, *contact, *instance; uint32_t reg_id; }; /* instance NULL: none */
struct binding *registrar_binding(struct registrar *r, const struct binding_key *key); /* NULL: there is none. Only to be marked */
void registrar_flow_failed(struct registrar *r, const struct binding_key *key);

/* The phone that a GRUU means (RFC 5627). */
struct registrar_gruu {
	char domain[64], number[64], instance[256];
	char sg[64];                 /* of an exchange: what says which of its phones (RFC 6140 §7.1.1); "": none */
};
/* -ENOENT: uri is no GRUU. -ESTALE: it was one, or never: 404. With 0 the phone may be registered or not. domain: the one that
 * uri's host means. */
int registrar_gruu_find(struct registrar *r, const char *domain, const struct sip_uri *uri, struct registrar_gruu *out);
/* A phone in short: its instance, whatever its case. 0: none (NULL, ""). */
uint64_t phone_id(const char *instance);
/* Which phone of a number it is that asks to be reached at target (its Contact) and was last heard from src: 0: one without an instance, or
 * that can't be told. */
uint64_t registrar_phone_of(struct registrar *r, const char *domain, struct str number, struct str target, const struct sip_source *src);
/* Told of every connection that ends, after the bindings that went with it. At most one; the registrar has the ua's handler. */
void registrar_on_flow_closed(struct registrar *r, void (*fn)(uint64_t flow, void *arg), void *arg);
unsigned registrar_count(const struct registrar *r);
/* Told when an extension's set of bindings, or that of the exchange that registers for it, changed (not of refreshes), after it has. At most REGISTRAR_WATCHERS_MAX. */
#define REGISTRAR_WATCHERS_MAX 8
void registrar_watch(struct registrar *r, void (*fn)(const char *domain, const char *number, void *arg), void *arg);
void registrar_unwatch(struct registrar *r, void *arg); /* no more calls with arg */
/* Calls fn for each extension that has bindings; fn changes none. */
void registrar_each(struct registrar *r, void (*fn)(const char *domain, const char *number, void *arg), void *arg);
