/* directory_int.h - between directory.c (loading, change feed), tables.c (what a row means) and rows.c (rows and look-ups).
 *
 * Thread: loop thread.
 */
#pragma once

#include "base/index.h"
#include "base/out.h"
#include "directory/directory.h"

enum dir_table {
	DIR_DOMAIN, DIR_EXTENSION, DIR_CREDENTIAL, DIR_FORWARD, DIR_TRUNK, DIR_GROUP, DIR_MENU, DIR_MAILBOX, DIR_MUSIC, DIR_PASS, DIR_NOTE,
	DIR_CERTIFICATE, DIR_TONES, DIR_CONFERENCE, DIR_SCHEDULE, DIR_TRUNK_GROUP, DIR_BUDGET, DIR_SCRIPT,
	DIR_TABLE_COUNT
};

struct dir_address { union { struct in_addr v4; struct in6_addr v6; } addr; int family; unsigned bits; };

/* One row, and the object made of it: one piece of memory with its texts. */
struct dir_row {
	struct dir_row *prev, *next; /* of its table, or of those that wait to be applied */
	char *key;                 /* "office/1001" */
	char **v;                  /* the columns behind the key; NULL for SQL NULL */
	unsigned nv;
	uint32_t generation;
	void *list;                /* array that the object points to */
	unsigned naddresses;
	struct dir_address *addresses; /* trunks */
	union {
		struct dir_domain domain;
		struct dir_extension extension;
		struct dir_credential credential;
		struct dir_forward forward;
		struct dir_trunk trunk;
		struct dir_group group;
		struct dir_menu menu;
		struct dir_mailbox mailbox;
		struct dir_music music;
		struct dir_tones tones;
		struct dir_pass pass;
		struct dir_note note;
		struct dir_certificate certificate;
		struct dir_conference conference;
		struct dir_schedule schedule;
		struct dir_trunk_group trunk_group;
		struct dir_budgets budgets;
		struct dir_script script;
	};
};

struct dir_rows {
	struct dir_row *first;
	struct index by_key;
};

struct dir_table_def {
	const char *name;          /* as in pbx.change */
	const char *sql;           /* key, then columns; $1::text[] the keys wanted, NULL: all */
	int (*fill)(struct directory *d, struct dir_row *r);
};
extern const struct dir_table_def dir_tables[DIR_TABLE_COUNT];

/* How many extensions of a domain use which set of algorithms: the domain asked for last. */
struct dir_algorithms { char domain[64]; unsigned counts[8], total; bool is_known; };

struct directory {
	uv_loop_t *loop;
	struct db *db;
	const struct log *log;
	struct directory_watcher *watchers;
	struct dir_rows rows[DIR_TABLE_COUNT];
	struct dir_row *fetched[DIR_TABLE_COUNT];
	unsigned char secret[32];
	bool has_secret, is_loaded, is_closing;
	struct dir_algorithms in_use;
	struct userhash *userhashes; /* of all domains that want them; made when first asked for */
	bool has_userhashes;
	/* The reader of pbx.change: one query at a time. */
	uint64_t query;
	int64_t seq, seq_read;     /* all up to seq is in the copy; the batch being worked on ends at seq_read */
	bool is_again;             /* woken while busy */
	bool is_check_due;         /* is it still the database we know? */
	uint32_t generation;       /* of the load: a row that wasn't in the last one has gone */
	unsigned table;            /* being fetched */
	struct change *changes;    /* the batch */
	unsigned nchanges;
	bool is_full;              /* the batch was cut at its limit */
	uv_timer_t poll;
	void (*done)(void *arg);
	void *done_arg;
};

struct change { char *table, *key; };

/* Makes an object of a result row; dir_rows_apply() puts all that were made in place of what had their keys. */
int dir_row_fetch(struct directory *d, enum dir_table t, const struct db_rows *rows, int row);
void dir_rows_apply(struct directory *d);
void dir_rows_forget(struct directory *d);
void dir_row_drop(struct directory *d, enum dir_table t, const char *key);
void dir_rows_sweep(struct directory *d); /* drops what the last load has not put */
void dir_rows_clear(struct directory *d);

/* userhash.c: a credential or a domain changes. */
void userhash_forget(struct directory *d);
