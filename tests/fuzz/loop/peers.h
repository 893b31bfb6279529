/* peers.h - the phones, trunks and strangers around the server, and a script for them.
 *
 * A script is text: steps, each a line that begins with '@' and what is said after it.
 *
 *   @a 500 1nx       who (a, b, c: 1001 to 1003, c by TCP; t, u: trunks; s: anybody), after how many ms, and then perhaps a digit:
 *                    which of his dialogs or of the requests he got, 0 the newest; n: in a new dialog; x: without credentials; f: as another
 *                    fork; r: as it is, nothing is added
 *   INVITE sip:1002@office   a request; or "200", a response to the newest request; or one of these words:
 *                    DIGIT 5, TIMEOUT, LATCH (media), CLOSE (his connection), LOST 0 (sending fails), AWAY 1 (the database)
 *   Subject: x       headers; the ones that a message can't do without are added where they are missing, as a peer would write
 *                    them who knows his dialogs, credentials included
 *                    an empty line, and the body; "$o", "$h", "$v" in it are an offer, one on hold, one with video
 *
 * Before the first step may stand, as letters, who of the phones are registered already and have been asked for their password; all others
 * have to register first.
 *
 * In headers $r and $R are his newest other dialog as Replaces has it, $q and $Q one of the next peer's, by the same digit; the capital
 * letters escaped as in a URI. $e is the last SIP-ETag, $c his contact. With FUZZ_TRACE in the environment all messages are shown.
 */
#pragma once

#include "loop/server.h"

struct peers;

struct peers *peers_new(struct str script);
void peers_play(struct peers *ps, struct str script); /* the same */
/* All hang up, fall silent and let their registrations run out; nothing may be left then. */
void peers_end(struct peers *ps);
struct server *peers_server(struct peers *ps);
void peers_free(struct peers *ps); /* the server, too */
