/* room_record.h - the recording of a conference room: because its row says so, or a moderator.
 *
 * It goes while members hear each other, is one of all that is said, and ends with the room. Its segments are its members' stays in that time.
 *
 * Owner:  embedded in the room. Thread: loop thread.
 */
#pragma once

#include <stdbool.h>

#include "base/timer.h"

struct call;
struct calls;
struct mix;
struct recording;

struct room_record {
	struct calls *calls;
	struct mix *mix;
	const char *domain, *number;   /* the room's */
	struct recording *recording;   /* NULL: none */
	struct timer beep;
	uint32_t beep_s;               /* 0: no more after the first */
	bool has_beep, is_going, has_failed;
};

void room_record_init(struct room_record *rr, struct calls *calls, struct mix *mix, const char *domain, const char *number);
void room_record_end(struct room_record *rr);
/* Begins one, if there is none; by: whose call it is named after. It stands still at first. */
int room_record_wanted(struct room_record *rr, const struct call *by, const char *started_by);
/* A moderator's key: begins one, or pauses it, or lets it go on. Tells all by a beep, or two. */
int room_record_toggle(struct room_record *rr, const struct call *by, const char *started_by);
/* They hear each other, or don't. true: it goes, or stands still, since now. */
bool room_record_update(struct room_record *rr, bool is_open);
/* Comes, or goes. */
void room_record_member(struct room_record *rr, const struct call *call, bool comes);
