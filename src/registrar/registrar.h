/* registrar.h - where an extension can be reached now (RFC 3261 §10).
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
	struct timers *timers;
	const struct clock *clock;
	struct rng *rng;
	const struct log *log;
	uint32_t min_expires_s, max_expires_s, default_expires_s; /* 0: 60, 3600, 600 */
	unsigned max_contacts;       /* per AoR; 0: 10 */
	const char *node;            /* our name in pbx.node, kept with each binding; NULL: none */
};

struct binding {
	char *contact;               /* URI text as registered */
	char *instance;              /* +sip.instance or NULL */
	char *call_id;
	uint32_t cseq;
	uint16_t q_milli;            /* 0..1000, 1000 when absent */
	int64_t expires_at_ms;       /* wall clock */
	struct sip_dest dest;        /* where requests to it go: the source it registered from (RFC 3581), its flow if it is a connection */
	char user_agent[64];
	struct binding *next;
};

/* Takes over REGISTER and the flow-closed handler of the ua and starts to read the kept bindings. *p is copied, node included;
 * what it points to must outlive the registrar. -ENOMEM. */
int registrar_new(struct registrar **out, const struct registrar_params *p);
/* The kept bindings stay in the database. Before the ua, the directory, the timers, the db and the outbox are closed. NULL allowed. */
void registrar_close(struct registrar *r);
/* The kept bindings have been read. Until then a REGISTER that removes is put off (503), since what it removes may be read later. */
bool registrar_is_loaded(const struct registrar *r);
/* Live bindings of an extension, best q first; NULL: none. Valid until the loop callback returns or the task parks. */
const struct binding *registrar_find(struct registrar *r, const char *domain, struct str number);
unsigned registrar_count(const struct registrar *r);
/* Told when an extension's set of bindings changed (not of refreshes), after it has. At most REGISTRAR_WATCHERS_MAX. */
#define REGISTRAR_WATCHERS_MAX 8
void registrar_watch(struct registrar *r, void (*fn)(const char *domain, const char *number, void *arg), void *arg);
