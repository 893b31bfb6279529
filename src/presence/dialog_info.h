/* dialog_info.h - busy lamps: event package dialog (RFC 4235), bodies of application/dialog-info+xml.
 *
 * Of every number full state is told: its dialogs, trying, early, confirmed or, for a moment, terminated; and what
 * pbx.presence_note says of its lamp. Call-ID and tags are those of our dialog with the phone, so that a watcher can pick the call
 * up with Replaces; with whom it talks only those see whose extension says sees_peers, or of themselves.
 *
 * Owner:  its maker; dialog_info_free() after events_free().
 * Thread: loop thread.
 */
#pragma once

#include "presence/events.h"
#include "presence/lines.h"

struct dialog_info;

/* Adds its package to the notifier. -ENOMEM. */
int dialog_info_new(struct dialog_info **out, struct events *events, struct directory *directory, struct lines *lines);
void dialog_info_free(struct dialog_info *di); /* NULL allowed */
