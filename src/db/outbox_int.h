/* outbox_int.h - between outbox.c (what is sent when) and outbox_store.c (files). Inside db/ alone.
 *
 * Thread: store_run() on the libuv pool, which has the job to itself until it is done; all else on the loop thread.
 */
#pragma once

#include <sys/types.h>

#include "base/out.h"
#include "db/outbox.h"

#define OUTBOX_ID_LEN 36
#define OUTBOX_PATH_MAX 700

enum entry_state {
	ENTRY_NEW, ENTRY_SAVING, ENTRY_SAVED, ENTRY_SENT,
	ENTRY_TAKEN, ENTRY_REFUSED /* off its lane: its files are to go, or to be put aside */
};

struct entry {
	struct entry *prev, *next;
	enum entry_state state;
	char id[OUTBOX_ID_LEN + 1], kind[24];
	char *doc;
	char *file;              /* a large entry: where its file was when it was added, or is */
	uint64_t seq;            /* of a large one: its place */
	struct journal *journal; /* of a small one; NULL: not on disk */
	void (*fn)(int err, void *arg);
	void *arg;
	int err;
};

/* One journal file. The last one is written to; one is removed when the database has taken all of it. */
struct journal {
	struct journal *next;
	unsigned long number;
	off_t len;               /* that is good: behind it may stand what a failed write left */
	unsigned nlive;          /* entries not taken yet */
	bool is_on_disk;
};

/* What one run on the pool does; made and taken apart on the loop thread. */
struct store_job {
	const char *dir;
	struct journal *journal; /* NULL: nothing to write */
	off_t at;                /* write here, cut what is behind */
	struct out lines;
	int err;                 /* of the journal */
	struct entry **large;    /* to save: each is told its err */
	unsigned nlarge;
	struct entry *finished;  /* taken or refused; err: what is refused could not be put aside */
	struct journal *dead;    /* to remove */
};
void store_run(struct store_job *job);

/* Calls back for each entry that is there, in order; journals are the caller's to free. */
struct store_loader {
	const struct log *log;
	void (*on_entry)(struct entry *e, void *arg); /* the callee's; e->file tells a large one */
	void (*on_journal)(struct journal *j, void *arg);
	void *arg;
};
int store_load(const char *dir, const struct store_loader *l);

struct entry *entry_new(const char *id, struct str kind, struct str doc, const char *file);
void entry_free(struct entry *e);
void store_print(struct out *o, const struct entry *e);  /* as a line of the journal */
void store_path(const char *dir, const struct entry *e, const char *ending, char path[OUTBOX_PATH_MAX]); /* of a large one */
/* The file of a large entry; malloced. Any thread. */
int store_read(const char *path, struct out *bytes);
