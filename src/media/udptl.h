/* udptl.h - UDPTL, the packets that T.38 travels in (ITU-T T.38 §9.1): pure.
 *
 * A packet is a sequence number, one IFP packet, and for who lost some the ones before it, or forward error correction of several.
 *
 * Thread: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define UDPTL_SECONDARIES 16   /* IFP packets repeated in one; those beyond are left out */

struct udptl_ifp { const uint8_t *p; size_t n; }; /* lies in the packet */

struct udptl {
	uint16_t seq;
	struct udptl_ifp primary;
	unsigned nsecondaries;
	struct udptl_ifp secondaries[UDPTL_SECONDARIES]; /* of seq - 1, seq - 2 ... */
};

/* -EBADMSG: it isn't one, or its IFP packet is empty. What follows the error correction is ignored, as §9.1 wants it of what is unknown. */
int udptl_parse(struct udptl *out, const uint8_t *p, size_t n);
/* With these redundant packets. Returns its length, 0: it doesn't fit in max. IFP packets up to 16,383 bytes. */
size_t udptl_print(uint8_t *p, size_t max, const struct udptl *u);
