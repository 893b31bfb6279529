/* dialog_int.h - between dialog.c (who the peers are, what they write) and dialog_way.c (where it goes).
 *
 * Thread: loop thread.
 */
#pragma once

#include "sip/dialog.h"

/* UAC: where the INVITE goes, and the peer is until it says otherwise. */
void dialog_set_first_dest(struct dialog *d, const struct sip_dest *dest);
/* UAC: whoever sends the INVITE has chosen one; the name's other targets stand by. What it offers is made for one address family. */
void dialog_find_other_targets(struct dialog *d);
/* Anew, after the target, the routes or the source have changed. Looks a name up, if need be; until then requests go to the source. */
void dialog_choose_dest(struct dialog *d);
void dialog_drop_targets(struct dialog *d);
/* "" without one; text of the dialog. */
struct str dialog_first_route(const struct dialog *d);
