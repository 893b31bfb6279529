/* mixing.h - sessions that hear each other in a mix: the worker's side of struct mix.
 *
 * A mix lives on one worker, where its members are brought when they join (stream.c), so that a packet takes no lock. Every 20 ms all of them are
 * asked what they have heard (their jitter buffers, ear.c), the voices are summed (mixer.c) and packets made of the sums: one for all
 * who only listen in the same codec and packet length, one each for those whose own voice is in it (outlet.c). Mixes of a worker take turns, half of
 * them in each tick.
 *
 * Thread: the worker's, but mixing_new() and what is said below.
 */
#pragma once

#include "media/media_int.h"

struct mixing;

/* Loop thread. nspeakers as in mixer_new(). NULL without memory. It passes to the worker with the first command that names it, and comes
 * back with EV_MIX_CLOSED. */
struct mixing *mixing_new(struct mix *handle, unsigned nspeakers);
void mixing_free(struct mixing *m);           /* loop: after that event, or if it never went */

void mixing_command(struct worker *w, struct command *c); /* CMD_MIX_... */
void mixings_tick(struct worker *w);          /* each 10 ms, while w->mixings */

/* CMD_MIX: joins, or changes what it is there. */
void mixing_join(struct rtp_session *s, const struct command *c);
void mixing_leave(struct rtp_session *s);     /* nothing if it is in none */
void mixing_configured(struct rtp_session *s);/* its codec, or whether it is sent to, may be another */
void mixing_tune(struct rtp_session *s);      /* its peer has said what it misses */
/* Shall what it hears be decoded? */
bool mixing_listens(const struct rtp_session *s);
