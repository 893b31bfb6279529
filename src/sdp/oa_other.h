/* oa_other.h - the sections of a session besides its audio: video, text, whatever goes by RTP and is none of ours to understand.
 *
 * What one leg says of such a section is said to the other one in its words: formats, and the lines that describe them (rtpmap, fmtp, rtcp-fb,
 * extmap, label, content, bandwidth). Ours are the address, the ports, the direction, the profile and what belongs to the way: RTCP's
 * port, its multiplexing, names of sections. So a payload type means the same on both legs, and packets pass as they are (media.h,
 * is_opaque).
 *
 * Sections of two legs belong together when they are the nth of their type (RFC 3264 §5.1: the order is what counts), and each leg keeps its
 * own places of m= lines: a section that it has had is never taken away, only switched off, and new ones come after the last.
 * What can't be passed (another transport than RTP) is refused in its place. SRTP is each leg's own affair: its policy is that
 * of the sound, with keys of the section's own in the description (oa_secure.h). Where the sound has its keys by DTLS, a section rides on the
 * sound's transport (BUNDLE), as browsers have it, with these keys; what would need an association of its own is refused.
 *
 * Owner: struct oa. Thread: any, one at a time. Sources: RFC 3264 §5, 6, 8; RFC 4568, 4574, 4796, 4585, 5761, 9143.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sdp/sdp.h"

#define OA_OTHERS_MAX 4        /* of a leg: a face, slides, text, the far camera's control */
#define OA_OTHER_TEXT_MAX 8192 /* of their words about one; longer ones are refused. A browser has 25 formats of pictures, in 5000 bytes */
#define OA_TYPE_MAX 15         /* "application" */
#define OA_MID_MAX 32          /* RFC 9143 §15.2 would have 16 */

struct oa_other {              /* one of them, as it stands on a leg */
	char type[OA_TYPE_MAX + 1];
	uint8_t nth;           /* of its type, from 0 */
	uint8_t section;       /* its place among the m= lines */
	bool is_wanted;        /* their last word of it: they would have it */
	bool is_refused;       /* they would not, and aren't asked again by ourselves */
	bool is_offered;       /* in our offer under way */
	bool is_on;            /* agreed on */
	bool has_feedback;     /* RTP/AVPF (RFC 4585) */
	bool is_savp;          /* RTP/SAVP: without keys it can't be */
	bool is_bundled;       /* it rides on the sound's transport: no address, port or keys here count */
	bool rtcp_mux;
	enum sdp_dir dir;      /* what they would do if they might */
	enum sdp_dir told_dir; /* what we have told them; */
	enum sdp_dir flow;     /* and what is agreed on, of ours: bit send = we may send */
	uint16_t port, rtcp_port;
	uint32_t clock_hz;     /* of their first format; 0: unknown */
	char addr[64], mid[OA_MID_MAX + 1];
	char *words;           /* theirs; NULL: they have said nothing yet */
	char *told;            /* ours, the words of another leg; NULL: none */
	struct oa_secure *secure; /* its keys; NULL: there never were any */
};

struct oa_others {
	unsigned n;
	struct oa_other list[OA_OTHERS_MAX];
};

/* Our side of one in the next description. */
struct oa_other_local {
	const char *type;
	uint8_t nth;
	uint16_t port, rtcp_port; /* of no meaning if it rides */
	enum sdp_dir dir;
	bool has_feedback;
	const char *words;     /* of another leg; these three are read while a description is written, no later */
};

struct oa;
struct oa_local;
struct oa_srtp;

/* The keys agreed on for one of them; NULL: plain RTP. */
const struct oa_srtp *oa_other_srtp(const struct oa_other *x);

/* By which numbers its packets are known, a bit each. */
void oa_other_pts(const struct oa_other *x, uint32_t pts[4]);

/* In the next description of ours, an answer or an offer: does the nth of a type ride on the sound's transport? */
bool oa_other_rides(const struct oa *oa, const struct oa_local *l, const char *type, unsigned nth);
/* Can any of them be had there, with the security that l has for the sound? */
bool oa_others_have_way(const struct oa *oa, const struct oa_local *l);

/* What stands of them, or what is said of them in their offer under way; NULL: there never were any. Valid until the next exchange goes on. */
const struct oa_others *oa_others(const struct oa *oa);
/* What the next description to oa says of them, when it is joined with partner (NULL: nobody): all but the ports, which stay 0. Returns
 * how many. What they point to is partner's. */
unsigned oa_others_wish(const struct oa *oa, const struct oa *partner, struct oa_other_local out[OA_OTHERS_MAX]);
/* Between exchanges of both: would an offer to oa say anything else than what stands? */
bool oa_others_are_stale(const struct oa *oa, const struct oa *partner);
/* They offer one that partner has to be asked about before there is an answer other than no. */
bool oa_others_are_open(const struct oa *oa, const struct oa *partner);
/* Who has refused some may be asked again. */
void oa_others_forget(struct oa *oa);
