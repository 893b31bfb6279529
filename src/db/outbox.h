/* outbox.h - what must reach the database, sooner or later, exactly once (design section 9).
 *
 * An entry is a kind, a JSON text and perhaps a file. It is written to the outbox's folder first, then sent to
 *   SELECT pbx.outbox_take(id uuid, kind text, doc jsonb, sound bytea)
 * which does its work and records the id in one transaction, so that an entry sent twice does nothing the
 * second time. Only after COMMIT is the entry (and its file) removed. Small entries are written to one
 * append-only journal in batches (from the libuv pool) and sent in batches, so that a CDR costs little.
 * At start, what a former process left is sent. Entries go in order per kind.
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
/* Adds an entry; doc is a JSON object, copied. file NULL, or a path that the outbox then owns (it is renamed into its folder and
 * sent as sound). fn (may be NULL) is called once: err 0 = safely on disk. */
int outbox_add(struct outbox *o, const char *kind, const char *doc, const char *file, void (*fn)(int err, void *arg), void *arg);
unsigned outbox_waiting(const struct outbox *o);
