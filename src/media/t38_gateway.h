/* t38_gateway.h - a fax machine that is heard as sound, and one that speaks T.38 over UDPTL: each understood by the other.
 *
 * SpanDSP's gateway does it: it answers the modems of the one in time, whatever the network does to the packets of the other. What we
 * send has the three packets before it in each, which makes good the loss of as many.
 *
 * Audio: int16 linear, mono, 8 kHz, 20 ms at a time both ways. Thread: one at a time for each.
 * Sources: ITU-T T.38 §9.1 (redundancy), T.30.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "media/udptl.h"

struct t38_gateway;

/* send: a whole UDPTL packet; may be called by any function here but _new and _free. NULL without memory. */
struct t38_gateway *t38_gateway_new(void (*send)(const uint8_t *packet, size_t n, void *arg), void *arg);
void t38_gateway_close(struct t38_gateway *g);
void t38_gateway_packet(struct t38_gateway *g, const struct udptl *u);
/* What the machine that is heard has said; pcm NULL: nothing came for so long. */
void t38_gateway_hear(struct t38_gateway *g, int16_t *pcm, size_t n);
/* What it shall hear. */
void t38_gateway_speak(struct t38_gateway *g, int16_t *pcm, size_t n);
