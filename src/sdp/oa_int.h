/* oa_int.h - between oa.c (whose turn it is, what was agreed), oa_payloads.c (numbers of codecs) and oa_write.c (our texts).
 *
 * Owner:  struct oa, of all of it. Thread: any, one at a time.
 */
#pragma once

#include "sdp/oa.h"

#define DTMF_CLOCKS_MAX 4
#define PAYLOADS_MAX (OA_CODECS_MAX + DTMF_CLOCKS_MAX)

/* Payloads of a description of ours: pt is what we receive them with. */
struct payloads {
	unsigned n;
	struct oa_codec list[PAYLOADS_MAX];
};

#define OA_SUITES 6

struct oa_secure {                   /* where SRTP is offered or agreed */
	bool has_key[OA_SUITES];
	uint8_t keys[OA_SUITES][OA_KEY_MAX]; /* ours */
	unsigned noffered;
	int offered[OA_SUITES];      /* of our offer under way: the suite of each tag, from 1 on */
	uint32_t tag;                /* of the line agreed on */
	struct oa_srtp agreed, before;
};

struct oa_exchange {                 /* an offer, until it is answered or withdrawn */
	struct payloads ours;        /* of an offer of ours, */
	enum sdp_dir offered_dir;
	struct sdp *theirs;          /* or theirs, to be answered */
	struct oa_agreed before;     /* what oa_rollback() goes back to */
	struct oa_others *others;    /* theirs in their offer; what our offer may lead to; NULL: none */
	struct oa_others *others_before;
	bool has_others_before;
	uint8_t noffered;            /* sections in our offer; 0: as many as there were */
	bool was_complete;
};

struct oa_known { const char *name; uint32_t clock_hz; uint8_t channels, pt; };

/* A leg has one all its life, and nearly all of that between two exchanges. */
struct oa {
	enum oa_state state;
	bool is_complete;
	bool is_early;               /* their answer came in a provisional response, and stands until the 2xx has another */
	uint64_t sess_id, version;
	uint64_t last_hash;          /* of our last description, all but o=: what raises the version when it changes */
	unsigned nsections;
	unsigned audio;              /* index of our stream's section, valid when nsections > 0 */
	char **sections;             /* refusals: "m=video 0 RTP/AVP 31\r\n" */
	char proto[24];              /* of the audio section */
	struct oa_secure *secure;    /* NULL: there is no SRTP with keys in descriptions */
	struct oa_dtls_state *dtls;  /* NULL: nor by DTLS */
	struct oa_ice_state *ice;    /* NULL: neither offered nor agreed so far */
	struct oa_others *others;    /* sections besides the audio that are or were passed; NULL: there never were any */
	char mid[OA_MID_MAX + 1];    /* of the audio section; "": it has no name */
	bool is_bundled;             /* it is in a group (BUNDLE), with those others that ride on its transport */
	uint8_t nknown;
	struct oa_known *known;      /* codecs that have had a number here, with the latest */
	uint32_t seen_pts[128 / 32]; /* a bit each: numbers either side has used for anything */
	struct oa_exchange *exchange;/* NULL: OA_IDLE */
	struct oa_agreed agreed;
};

_Static_assert(sizeof(struct oa) <= 640, "a call has two");

/* NULL: there is none to be answered. */
static inline const struct sdp *oa_theirs(const struct oa *oa) { return oa->exchange ? oa->exchange->theirs : NULL; }
static inline void oa_see_pt(struct oa *oa, int pt) { oa->seen_pts[(pt & 127) / 32] |= 1u << (pt & 31); }
static inline bool oa_has_seen_pt(const struct oa *oa, int pt) { return oa->seen_pts[(pt & 127) / 32] >> (pt & 31) & 1; }

/* ---- oa.c, for oa_image.c ---- */

/* Before another state than OA_IDLE is set; that one ends it. -ENOMEM. */
int oa_exchange_begin(struct oa *oa);
void oa_exchange_free(struct oa *oa);                /* it didn't come to another state */
void oa_set_state(struct oa *oa, enum oa_state state);
/* Of their offer under way: no section is taken, all are kept in their places. -ENOMEM. */
int oa_take_all_off(struct oa *oa);
void oa_agree_nothing(struct oa *oa);

/* The ways to say "send nowhere": RFC 3264 §8.4, its IPv6 twin, and the name RFC 6157 §5.1 gives. */
bool oa_is_addr_null(struct str addr);
/* An IP address or a host name, short enough to be kept, and nothing that could upset a log line. */
bool oa_is_addr_usable(struct str addr);

/* ---- oa_other.c ---- */

int oa_others_take_offer(struct oa *oa);             /* in exchange->theirs. -ENOMEM */
int oa_others_answer(struct oa *oa, const struct oa_local *l); /* before the answer is written. -ENOMEM */
int oa_others_offer(struct oa *oa, const struct oa_local *l);  /* before an offer is written. -ENOMEM */
int oa_others_take_answer(struct oa *oa, const struct sdp *s); /* which has as many sections as the offer. -ENOMEM */
void oa_others_none(struct oa *oa);                  /* all are switched off */
void oa_others_rollback(struct oa *oa);
void oa_others_free(struct oa_others *list);
/* False: it has nothing to say there, so the section is refused as it was. */
bool oa_others_write(struct out *o, const struct oa *oa, const struct oa_local *l, unsigned section);
/* The names of those that ride in the description under way, a space before each. */
void oa_others_write_group(struct out *o, const struct oa *oa);
/* Of a section that our offer under way has added, as oa_write_refusal(). */
char *oa_others_refusal(const struct oa *oa, unsigned section);

/* ---- oa_payloads.c: each fills *ps anew ---- */

/* An offer's: the codecs of l, and events for each clock among them, whose clock they share (RFC 4733 §2.1). */
void payloads_offer(struct oa *oa, const struct oa_local *l, struct payloads *ps);
/* What l has besides, for the same transport: its numbers are taken. */
void payloads_reserve(struct oa *oa, const struct oa_local *l);
/* Our answer's to m: codecs in the order wanted, then events for their clocks, all with the offer's numbers
 * (RFC 3264 §6.1: the same mapping both ways). */
void payloads_answer(const struct sdp_media *m, const struct oa_local *l, bool prefer_local, struct payloads *ps);
/* Those of our offer that their answer m took, in its order; codecs before events. */
void payloads_answered(const struct payloads *offered, const struct sdp_media *m, struct payloads *ps);
/* They have been in a description of ours: the numbers are taken. */
void payloads_remember(struct oa *oa, const struct payloads *ps);
bool oa_is_dtmf(const struct oa_codec *c);
bool oa_fits_format(const struct oa_codec *c, const struct sdp_format *f);
/* NULL: m hasn't it. */
const struct sdp_format *oa_find_format(const struct sdp_media *m, const struct oa_codec *c);

/* ---- oa_secure.c ---- */

enum oa_profile { OA_PROFILE_PLAIN, OA_PROFILE_SECURE, OA_PROFILE_DTLS, OA_PROFILE_OTHER };
enum oa_profile oa_profile_of(struct str proto);
/* Can this section of their offer be taken with what we are to do and not to do? */
bool oa_is_secure_enough(const struct sdp_media *m, const struct oa_local *l);
/* Keys of one section, in a state that is made with the first of them; NULL: there never were any. */
bool oa_keys_can_answer(const struct sdp_media *m, const struct oa_local *l);
int oa_keys_offer(struct oa_secure **state, const struct oa_local *l);                  /* -ENOMEM */
int oa_keys_answer(struct oa_secure **state, const struct sdp_media *m, const struct oa_local *l); /* that can be answered. -ENOMEM */
int oa_keys_take_answer(struct oa_secure *sec, const struct sdp_media *m);              /* -ENOENT: it has none; -EINVAL: it isn't one of ours */
void oa_keys_none(struct oa_secure *sec);
void oa_keys_free(struct oa_secure *sec);
void oa_keys_write(struct out *o, const struct oa_secure *sec, bool is_offer);
/* Before an offer is written: its profile and keys. */
int oa_secure_offer(struct oa *oa, const struct oa_local *l);
/* Before an answer to m is written. -ENOMEM. */
int oa_secure_answer(struct oa *oa, const struct sdp_media *m, const struct oa_local *l);
/* -EINVAL: it doesn't answer what we offered. */
int oa_secure_take_answer(struct oa *oa, const struct sdp_media *m);
void oa_secure_none(struct oa *oa);
void oa_secure_begin(struct oa *oa);                 /* an exchange begins, */
void oa_secure_rollback(struct oa *oa);              /* and comes to nothing */
void oa_secure_free(struct oa *oa);
/* The lines of the description under way. */
void oa_secure_write(struct out *o, const struct oa *oa, const struct oa_local *l);

/* ---- oa_dtls.c: of oa_secure.c ---- */

bool oa_dtls_can_answer(const struct sdp_media *m, const struct oa_local *l);
int oa_dtls_offer(struct oa *oa, const struct oa_local *l);  /* -ENOMEM */
void oa_dtls_offer_none(struct oa *oa);
/* Would an offer made now begin, or go on, by DTLS? */
bool oa_dtls_is_due(const struct oa *oa, const struct oa_local *l);
/* By our offer under way. */
bool oa_dtls_is_offered(const struct oa *oa);
/* To a section that oa_dtls_can_answer(). -ENOMEM. */
int oa_dtls_answer(struct oa *oa, const struct sdp_media *m, const struct oa_local *l);
/* -EINVAL: no fingerprint that we can go by, or nobody begins. */
int oa_dtls_take_answer(struct oa *oa, const struct sdp_media *m);
bool oa_dtls_was_agreed(const struct oa *oa);        /* before the exchange under way */
void oa_dtls_none(struct oa *oa);
void oa_dtls_begin(struct oa *oa);
void oa_dtls_rollback(struct oa *oa);
void oa_dtls_free(struct oa *oa);
void oa_dtls_write(struct out *o, const struct oa *oa, const struct oa_local *l);

/* ---- oa_ice.c ---- */

int oa_ice_offer(struct oa *oa, const struct oa_local *l);   /* before an offer is written. -ENOMEM */
int oa_ice_answer(struct oa *oa, const struct sdp_media *m, const struct oa_local *l); /* before an answer to m is. -ENOMEM */
void oa_ice_take_answer(struct oa *oa, const struct sdp_media *m);
/* 0.0.0.0 and port 9: not on hold, but to be found by ICE. */
bool oa_ice_is_addr_unknown(const struct sdp_media *m);
void oa_ice_none(struct oa *oa);
void oa_ice_begin(struct oa *oa);
void oa_ice_rollback(struct oa *oa);
void oa_ice_free(struct oa *oa);
void oa_ice_write_session(struct out *o, const struct oa *oa);
void oa_ice_write(struct out *o, const struct oa *oa, const struct oa_local *l);

/* ---- oa_group.c ---- */

/* Empty: it has none that could be repeated. */
struct str oa_group_mid(const struct sdp_media *m);
/* From a description of theirs with m for our audio. */
void oa_group_take(struct oa *oa, const struct sdp *s, const struct sdp_media *m);
void oa_group_offer(struct oa *oa, const struct oa_local *l);
/* Would an offer made now have the audio in a group? */
bool oa_group_is_due(const struct oa *oa, const struct oa_local *l);
/* Does a description of theirs have both of these sections in one group? */
bool oa_group_has_both(const struct sdp_media *a, const struct sdp_media *b);
void oa_group_write_session(struct out *o, const struct oa *oa);
void oa_group_write(struct out *o, struct str mid);

/* ---- oa_write.c ---- */

/* A whole description; ps NULL refuses the audio, too. timing: of t=, may be empty. The version in o= rises when anything has changed
 * since the last (RFC 3264 §8). -ENOSPC, -ENOMEM. */
int oa_write(struct oa *oa, const struct oa_local *l, const struct payloads *ps, enum sdp_dir dir, struct str timing, struct out *o);
/* The same with these lines in the place of the audio. */
int oa_write_section(struct oa *oa, const struct oa_local *l, struct str section, struct str timing, struct out *o);
/* "m=video 0 RTP/AVP 31 32": media, protocol and formats as offered (RFC 3264 §6). The caller's to free; NULL without memory. */
char *oa_write_refusal(const struct sdp_media *m);
/* The same for the audio of our offer under way. */
char *oa_write_own_refusal(const struct oa *oa);
