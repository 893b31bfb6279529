/* room.h - conference rooms: who is in them, and what each of them hears.
 *
 * A room is there while somebody is in it; its row (pbx.conference) is looked at when somebody comes. What a member hears follows from how
 * things are: the others (a mix, media.h); music, if he is alone or waits for a moderator and the room has some; or, while an application plays
 * something to him, that alone. So whoever changes something has room_hear() called and needn't know what was before.
 *
 * Owner:  struct calls its rooms, a room its members; a call points to its own place in one (call->room).
 * Thread: loop thread.
 */
#pragma once

#include "call/app.h"
#include "directory/directory.h"

struct call;
struct leg;
struct room;
struct room_member;

/* As app_room_enter(). */
int room_enter(struct call *call, const struct dir_conference *c, bool is_moderator);
void room_leave(struct call *call);          /* nothing if it is in none */
/* Its state, and whether it is another than when this was asked last. */
const struct app_room *room_state(struct room_member *m, bool *has_changed);
void room_set_muted(struct room_member *m, bool is_muted);
void room_set_gain(struct room_member *m, int in_db, int out_db);
void room_set_locked(struct room_member *m, bool is_locked);
int room_record(struct room_member *m);      /* as app_room_record() */
void room_send_out(struct room_member *m);
bool room_send_out_last(struct room_member *m); /* who came last and is no moderator, himself not; false: nobody */
void room_play(struct room_member *m, const char *const *files, unsigned nfiles); /* to all */

/* ---- for those who change what a caller hears; nothing if his call is in no room ---- */

void room_hear(struct call *call);           /* what he is to hear now; while something is played to him: that */
void room_disturbed(struct call *call);      /* his stream has another source */
void room_leg_changed(struct leg *leg);      /* on hold, or no longer */
void room_leg_gone(struct leg *leg);         /* it goes on elsewhere */
void room_talking(struct leg *leg, bool is_talking);
