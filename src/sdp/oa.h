/* oa.h - one leg's offer/answer (RFC 3264, RFC 6337 §2) about one audio stream, and what else goes by RTP (oa_other.h).
 *
 * Its own machine: it knows which description is ours, which is theirs and whose turn it is, and refuses
 * what may not happen. It says what was agreed; it opens no socket. Sections of an offer that nobody
 * takes are answered with port 0 and keep their place in every later offer (RFC 3264 §8).
 *
 *   IDLE -> LOCAL_OFFER -> IDLE          (we offered, they answered)
 *   IDLE -> REMOTE_OFFER -> IDLE         (they offered, we answered)
 *
 * Owner: the leg embeds a pointer. Thread: any one.
 */
#pragma once

#include "base/out.h"
#include "base/rng.h"
#include "sdp/oa_dtls.h"
#include "sdp/oa_ice.h"
#include "sdp/oa_other.h"
#include "sdp/oa_secure.h"
#include "sdp/sdp.h"

#define OA_CODECS_MAX 12
#define OA_FMTP_MAX 128   /* of theirs, for the codec agreed on; what is longer is cut off at a parameter */

struct oa_codec {             /* what we can do, most preferred first */
	const char *name;     /* "PCMA"; static storage */
	uint32_t clock_hz;    /* RTP clock: 8000 for G722 */
	uint8_t channels;
	int16_t pt;           /* static payload type, or the dynamic one we offer */
	const char *fmtp;     /* NULL: none; read while a description is written, no later */
};

/* The same one is mostly the same pointer: names of ours are static. */
static inline bool oa_same_name(const char *a, const char *b) { return a == b || (*a == *b && !strcmp(a, b)); }

struct oa_local {             /* our side of the next description */
	const char *addr;     /* textual IP, "0.0.0.0" is never used for hold */
	bool addr_is_ip6;
	uint16_t port, rtcp_port;
	enum sdp_dir dir;
	uint32_t ptime_ms;
	unsigned ncodecs;
	const struct oa_codec *codecs;
	bool dtmf;            /* offer/accept telephone-event */
	enum oa_policy policy;/* SRTP */
	bool sdes;            /* keys may stand in descriptions: whoever reads them on their way is to be trusted */
	const char *fingerprint; /* of our certificate, as in a=fingerprint; NULL: no DTLS. Read while a description is written, no later */
	bool offers_dtls;     /* an offer that begins SRTP does so by DTLS, not by sdes */
	bool takes_ice;       /* where they offer it */
	bool offers_ice;      /* an offer that begins a session has it, and the group of browsers (BUNDLE) */
	bool to_browser;      /* which takes nothing but SRTP by DTLS: such an offer is of no other profile, unless OA_NEVER says otherwise */
	unsigned nothers;     /* sections besides the audio */
	const struct oa_other_local *others;
	struct rng *rng;      /* for our keys; may be NULL with OA_NEVER and without ICE */
};

struct oa_agreed {            /* result of a completed exchange */
	bool has_audio;       /* false: refused or no common codec */
	char addr[64];        /* theirs, textual; "" when has_audio is false */
	bool addr_is_ip6;
	uint16_t port, rtcp_port;
	bool rtcp_mux;        /* RTCP goes where RTP goes (RFC 5761): they have offered it, and later offers of ours keep it */
	bool rtcp_rsize;      /* reports of theirs may be of reduced size (RFC 5506); offered and kept as rtcp_mux */
	enum sdp_dir dir;     /* OURS: bit send = we may send. 0.0.0.0 counts as remote hold (RFC 3264 §8.4) */
	bool remote_hold;     /* we wished to send and they don't let us: sendonly, inactive, or 0.0.0.0 */
	uint32_t ptime_ms;    /* what they wish to receive, else 20; 10..60 in steps of 10 */
	struct oa_codec codec;/* name from our list; pt meaningless here */
	char fmtp[OA_FMTP_MAX]; /* what they say of it; "" for nothing */
	int send_pt, recv_pt; /* payload type towards them; the one they use towards us */
	int dtmf_send_pt, dtmf_recv_pt; /* -1: none */
	uint32_t dtmf_clock_hz;
	unsigned ncommon;     /* all shared codecs, in the order of the answer, for bridging without transcoding */
	struct { const char *name; uint32_t clock_hz; int16_t send_pt, recv_pt; } common[OA_CODECS_MAX];
};

enum oa_state { OA_IDLE, OA_LOCAL_OFFER, OA_REMOTE_OFFER };

struct oa;
/* sess_id: number for o=, unique to the leg. NULL without memory. */
struct oa *oa_new(uint64_t sess_id);
void oa_free(struct oa *oa);
enum oa_state oa_state(const struct oa *oa);
bool oa_is_complete(const struct oa *oa);                 /* at least one exchange is done, or answered early */
const struct oa_agreed *oa_agreed(const struct oa *oa);   /* of the last completed exchange; valid until the next */

/* The keys of the last completed exchange, NULL: plain RTP, or keys by DTLS. Valid until the next. */
const struct oa_srtp *oa_srtp(const struct oa *oa);
/* What it said of DTLS; NULL: keys don't come so. */
const struct oa_dtls *oa_dtls(const struct oa *oa);
/* What it said of ICE; NULL: there is none. */
const struct oa_ice *oa_ice(const struct oa *oa);
/* What our offer under way says of it, which checks may come by before the answer; NULL: nothing, or there is no such offer. */
const struct oa_ice *oa_ice_offered(const struct oa *oa);

/* Writes an offer. Keeps payload types and m= order of earlier exchanges; version rises only if the text changed.
 * -EBUSY in another state than IDLE, -ENOSPC; -EPROTONOSUPPORT: SRTP is required and keys may not be told; -ENOMEM. */
int oa_offer(struct oa *oa, const struct oa_local *l, struct out *o);
/* Takes their offer. -EBUSY; -EINVAL malformed (answer 400); on refusal state is unchanged. */
int oa_take_offer(struct oa *oa, struct str text);
/* Codec names of the taken offer, in their order, that are also in l (to choose the order for the other leg). Returns the count. */
unsigned oa_offered(const struct oa *oa, const struct oa_local *l, struct oa_codec out[OA_CODECS_MAX]);
/* Is there an answer to the taken offer, or would oa_answer() refuse it? */
bool oa_can_answer(const struct oa *oa, const struct oa_local *l);
/* Why an offer was refused with 488, for Warning (RFC 3261 §20.43): 302 no transport that may be used, keys included; 304 no audio, 305 no
 * codec in common with l. text: the offer; 0: it can't be read. */
int oa_warn_code(struct str text, const struct oa_local *l);
/* What they say of a codec (a=fmtp) in their offer under way, else what they said when it was agreed on; empty: nothing. Valid until the
 * next exchange goes on. */
struct str oa_fmtp(const struct oa *oa, const struct oa_codec *c);
/* Writes the answer to the taken offer: the common codecs in l's order of preference if prefer_local, else in theirs. l->dir is
 * what we wish; it is narrowed to what their direction allows. -EPROTO no common codec or no audio at all (answer 488; state
 * back to IDLE). Audio that they switch off (port 0) in a session that had some is agreed to, with has_audio false, and so is a
 * session that begins without any stream. -ENOSPC. */
int oa_answer(struct oa *oa, const struct oa_local *l, bool prefer_local, struct out *o);
/* Writes an answer that takes nothing of their offer: valid, for who can't be refused any more. -EBUSY, -ENOMEM, -ENOSPC. */
int oa_decline(struct oa *oa, const struct oa_local *l, struct out *o);
/* Takes the answer to our offer. -EBUSY without one; -EINVAL malformed or not fitting the offer (RFC 3264 §6). */
int oa_take_answer(struct oa *oa, struct str text);
/* As oa_take_answer, but the offer stays open: SDP in an unreliable provisional response announces the answer to come (RFC 6337
 * §3.1.1). oa_agreed() shows it; the 2xx's answer replaces it. */
int oa_take_early_answer(struct oa *oa, struct str text);
/* The 2xx came without a description: the early answer was it. -EPROTO when there was none. */
int oa_keep_early_answer(struct oa *oa);
/* The offer failed (4xx, 491) or was withdrawn: back to what was agreed before. */
void oa_rollback(struct oa *oa);
