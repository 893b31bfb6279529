/* voicemail.h - what the parts of voicemail share: leaving a message (voicemail.c), and its owner's menus: the way in and
 * out (voicemail_menu.c), the messages of a folder (voicemail_folder.c), greetings and PIN (voicemail_options.c).
 *
 * The menus are places; each place's function asks and does what its keys mean until a key leads elsewhere, and returns that
 * place. Any key may be pressed while something is said. A key that nobody presses three times over ends the visit.
 *
 * Thread: the call's task.
 */
#pragma once

#include "apps.h"

#define VOICEMAIL_TRIES 3

enum voicemail_place {
	VOICEMAIL_MAIN, VOICEMAIL_NEW, VOICEMAIL_SAVED, VOICEMAIL_OPTIONS,
	VOICEMAIL_EXIT,   /* say goodbye */
	VOICEMAIL_GONE,   /* the caller has hung up, or can't be heard any more */
	VOICEMAIL_AWAY,   /* the database doesn't answer, or the mailbox is no more: apologise */
};

/* A visit of the owner, after the PIN. */
struct voicemail {
	struct call *call;
	struct app_mailbox box;
	enum voicemail_place from; /* where the visit was before */
};

/* Lets the caller into a mailbox if he may be there, and leads him through its menus. number NULL: he is asked for it, and for
 * the PIN in any case. */
enum app_result voicemail_visit(struct call *call, const char *number);

/* The places; one function each. */
enum voicemail_place voicemail_folder(struct voicemail *vm, const char *folder /* "new" or "saved" */);
enum voicemail_place voicemail_options(struct voicemail *vm);
enum voicemail_place voicemail_greeting(struct voicemail *vm, char key /* '1' unavailable, '2' busy, '3' name */);

/* Says s and waits for one of the keys, three times at most. The key; 0: none came; negative errno. s may be NULL (no memory). Frees s. */
int voicemail_ask(struct call *call, struct say *s, const char *keys);
/* The place that a key leads to in every menu: 1 and 2 the folders, 0 options, * the main menu; all else, '\0' (none) included, out. */
enum voicemail_place voicemail_place_of(int key);

/* A statement that changes or finds one row (RETURNING or SELECT). params: the mailbox's domain and number as $1 and $2, then n more.
 * 0; -ENOENT no such row; -EAGAIN database away; -EINVAL refused. out NULL: rows aren't wanted. */
int voicemail_sql(struct voicemail *vm, struct app_rows **out, const char *sql, unsigned n, const char *const *params);
/* "I'm sorry, please try again later." What app_play returns; a key of keys ends it. */
int voicemail_sorry(struct call *call, const char *keys);

/* Was something said, or is it only a click before hanging up? */
bool voicemail_is_said(const struct app_recording *rec, uint32_t min_ms);
