/* outbox.h - what must reach the database, sooner or later, exactly once (design section 9).
 *
 * An entry is a kind, a JSON text and perhaps a file. It is written to the outbox's folder first, then sent to
 *   SELECT pbx.outbox_take(id uuid, kind text, doc jsonb, sound bytea)
 * which does its work and records the id in one transaction, so that an entry sent twice does nothing the
 * second time. Only after COMMIT is the entry (and its file) removed. Entries without a file are written to a
 * journal and sent in batches, so that a CDR costs little. At start, what a former process left is sent. Entries go in
 * order per kind (a kind always or never has a file). What no database will ever take (no JSON) is put aside in the folder,
 * in files that end in "refused", and logged.
 *
 * Thread: loop thread; files by the libuv pool.
 */
#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "db/db.h"

struct outbox;
struct outbox_params {
	uv_loop_t *loop;
	const struct log *log;
	struct db *db;
	struct rng *rng;
	const char *dir;           /* made when missing */
};
int outbox_new(struct outbox **out, const struct outbox_params *p);
void outbox_close(struct outbox *o, void (*done)(void *arg), void *arg); /* what is waiting stays on disk */
/* Adds an entry; doc is a JSON object, copied. file NULL, or a path on the outbox's file system: it is renamed into its folder and
 * sent as sound. fn (may be NULL) is called once, later: err 0 = safely on disk, and the file is the outbox's. Else the file is where it
 * was and the giver's; an entry without file is sent from memory all the same, and lost only if the process ends before.
 * -ENOMEM, -ECANCELED closing: fn isn't called. */
int outbox_add(struct outbox *o, const char *kind, const char *doc, const char *file, void (*fn)(int err, void *arg), void *arg);
unsigned outbox_waiting(const struct outbox *o);
