/* record_file.h - a recording of talk while it is made: a call's (call_record.c) or a conference room's (room_record.c), whose business it is
 * when it begins, goes, stands still and ends.
 *
 * Owner:  struct calls, until its file is complete; the call or room points to it while it may go on.
 * Thread: loop thread.
 */
#pragma once

#include "call/call_int.h"

struct room_record;

struct segment {
	char call[CALL_ID_LEN + 1];
	int64_t started_ms, ended_ms; /* ended 0: it goes on */
};

struct recording {
	struct recording *prev, *next;
	struct calls *calls;
	struct call *call;           /* whose it is: one of them. Both NULL: has ended */
	struct room_record *room;
	void (*on_failed)(struct recording *r);
	struct capture *capture;     /* NULL: the file has ended */
	char id[CALL_ID_LEN + 1];
	char domain[64], format[8], caller[64], callee[64], started_by[64], conference[64];
	unsigned channels;
	bool is_paused;              /* somebody said so */
	bool is_early;               /* a call's: not only while two are joined */
	bool is_going;
	int64_t started_ms, ended_ms;
	unsigned nsegments, nsegments_max;
	struct segment *segments;
	char path[];
};

struct record_file_params {
	const struct dir_domain *domain;
	const char *caller, *callee, *number, *call_id, *started_by; /* copied; the first four are for the path, too */
	const char *conference;      /* the room's number; NULL: it is a call's */
	bool is_stereo;
	uint32_t rate_hz;
};

/* It stands still. on_failed: its file has ended by itself, and it is gone when that returns. -ENOENT: this server makes none. */
int record_file_begin(struct recording **out, struct calls *cs, const struct record_file_params *p, void (*on_failed)(struct recording *r));
/* Its owner is set: the database is told. */
void record_file_told(struct recording *r);
/* Goes on or stands still; false: it does already. What segments begin is the caller's to say; all end here. */
bool record_file_go(struct recording *r, bool goes);
void record_file_segment_begin(struct recording *r, const struct call *call);
void record_file_segments_end(struct recording *r, const struct call *call); /* NULL: all */
void record_file_stop(struct recording *r);    /* has no owner any more */
void record_file_log(const struct recording *r, const char *what);
