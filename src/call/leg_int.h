/* leg_int.h - what the files of a leg share: leg.c (its life, and what it says), leg_session.c (what its session tells), leg_media.c (its
 * descriptions and its stream), and those of one matter each.
 *
 * Thread: loop thread.
 */
#pragma once

#include <errno.h>

#include "call/call_int.h"
#include "sdp/oa_image.h"

#define SDP_TEXT_MAX 16384 /* most are under 1,000 */

const char *leg_log_id(const struct leg *leg, char buf[64]);
void leg_set_state(struct leg *leg, enum leg_state state); /* only ever on: to an earlier one, nothing happens */
void leg_check_gone(struct leg *leg);
/* NULL: no leg's, or it has ended. */
struct leg *leg_of_session(const struct session *s);
/* Nobody has ended it, us included: the end of what we close is told a moment later. */
bool leg_is_live(const struct leg *leg);

/* leg_pass.c: passes a request of the far end to the leg it is joined with, and the answer back. False: it can't, and hasn't answered. */
bool leg_pass(struct leg *leg, struct strans *st, const struct sip_msg *m);

/* Takes a stream bound to our address towards the peer; near may be NULL. Nothing if there is one. */
int leg_open_stream(struct leg *leg, const union sockaddr_any *local, const struct leg *near);
/* Descriptions. codec_of: the leg whose codecs we would like to share, or NULL. */
int leg_write_offer(struct leg *leg, const union sockaddr_any *local, const struct leg *codec_of, struct out *o);
int leg_write_answer(struct leg *leg, const union sockaddr_any *local, const struct leg *codec_of, struct out *o);
int leg_write_image(struct leg *leg, const union sockaddr_any *local, const struct oa_image *theirs, bool is_offer, struct out *o);
int leg_write_decline(struct leg *leg, const union sockaddr_any *local, struct out *o); /* see oa_decline() */
/* leg_codecs.c. Their offer has been answered: it says what they can. */
void leg_note_offered(struct leg *leg);
/* Could it take this codec, were it offered? One that answered with a single codec may know others. */
bool leg_may_take(const struct leg *leg, const struct oa_codec *c);
/* leg_policy.c: what the directory says now of who is at its far end. */
const struct dir_media *leg_policy(const struct leg *leg);
/* What of it holds as long as the leg: its dialog begins by this transport. */
void leg_policy_begin(struct leg *leg, enum sip_proto proto);
/* leg_secure.c */
void leg_secure_begin(struct leg *leg, enum sip_proto proto, struct dir_srtp srtp);
void leg_secure_local(const struct leg *leg, struct oa_local *l);
/* What was agreed on of it; *keys is what c points to then, and to be forgotten when c has been used. */
struct leg_keys { struct secure_params sdes; struct dtls_params dtls; };
void leg_secure_configure(struct leg *leg, struct stream_config *c, struct leg_keys *keys);
bool leg_sdes_params(const struct oa_srtp *a, struct secure_params *p); /* false: a is NULL, there are none */
void leg_on_secured(struct stream *s, enum secure_suite suite, void *arg);
void leg_on_insecure(struct stream *s, enum stream_insecure why, bool is_over, void *arg);
/* leg_session.c: of all sessions of legs. */
extern const struct session_handler leg_session_handler;
/* leg_digits.c */
bool leg_digits_has_events(const struct leg *leg);   /* in its descriptions */
void leg_digits_configure(const struct leg *leg, struct stream_config *c);
/* Its far end has pressed a digit: for the partner, where that is to be told here, and the application. */
void leg_digit_heard(struct leg *leg, char digit, uint32_t duration_ms);
/* The same by an INFO. False: it carries no digit. */
bool leg_digit_info(struct leg *leg, const struct sip_msg *m);
/* leg_ice.c */
void leg_ice_local(const struct leg *leg, struct oa_local *l);
void leg_ice_offered(struct leg *leg);               /* an offer of ours has been written */
void leg_ice_configure(struct leg *leg);             /* an exchange is complete; before the stream is configured */
void leg_ice_unwanted(struct stream *s, void *arg);  /* on_unwanted of its stream */
/* leg_other.c: what it carries besides sound. */
/* Of its next description, with the ports of streams that are opened for it. partner: whose words it is told, or NULL. */
void leg_others_local(struct leg *leg, const struct leg *partner, const union sockaddr_any *local, struct oa_local *l,
		      struct oa_other_local others[OA_OTHERS_MAX]);
void leg_others_configure(struct leg *leg);          /* after an exchange: what isn't agreed on is closed */
void leg_others_close(struct leg *leg);              /* it ends */
/* They are joined, or something of them has changed: may make an offer to one of them. */
void leg_others_update(struct leg *a, struct leg *b);
void leg_others_renew(struct leg *leg);              /* its peer has said something himself, or it has another partner */
void leg_others_give_up(struct leg *leg);            /* it wants none of it: it is offered nothing more, until then */
/* Has its partner to be asked about the offer that it has taken? Then he is, and leg_answer_held() follows, not from inside this call. */
bool leg_others_ask(struct leg *leg, struct strans *st);
void leg_others_answered(struct leg *leg);           /* an offer to it is through, whatever came of it */
void leg_others_part(struct leg *leg, struct leg *other); /* they aren't partners any more */
/* leg_offer.c: the answer to an offer that has waited. */
void leg_answer_held(struct leg *leg, struct strans *st);
/* leg_t38.c: T.38 in place of the audio. An offer of it is passed to the partner, and answered when he has; false: it is none. */
struct leg_image { struct strans *st; struct oa_image theirs; };
bool leg_image_offered(struct leg *leg, struct strans *st, const struct sip_msg *m);
bool leg_image_answered(struct leg *leg, int status, const struct sip_msg *m); /* false: nobody has asked it for such a thing */
/* The INVITE of a caller, whose offer has been taken, may be one of T.38 alone. -ENOMEM. */
int leg_image_accept(struct leg *leg);
/* The answer to it, when who was called has answered with sound that a gateway can make a fax of. -EPROTO: nobody has. */
int leg_image_write_first(struct leg *leg, const union sockaddr_any *local, const struct leg *codec_of, struct out *o);
/* Its stream is that of a fax, by its INVITE, as long as there is no audio. */
bool leg_image_is_first(struct leg *leg);
/* They are joined: who hears a fax from the gateway is asked whether he would have it as T.38 himself. */
void leg_image_propose(struct leg *leg);
void leg_image_over(struct leg *leg);                /* after an exchange: it may be audio again, for the partner, too */
void leg_image_part(struct leg *leg);                /* it loses its partner, or ends: who waits is told */
/* leg_offer.c: offers after the first, both ways. */
void leg_on_reoffer(struct session *s, struct strans *st, const struct sip_msg *m, bool has_offer, void *arg);
void leg_on_reoffer_done(struct session *s, int status, const struct sip_msg *m, void *arg);
/* The Warning of a 488 to the offer in m; nothing when it can't be read. */
void leg_print_warning(struct leg *leg, struct out *o, const struct sip_msg *m);
/* Something an offer may have waited for has happened. */
void leg_offer_waiting(struct leg *leg);
/* The peer has changed the codec (from `before`, NULL: there was none): the partner is asked for the same, which spares the
 * transcoding. */
void leg_align_partner(struct leg *leg, const char *before);
/* The description of a message, which may stand among other parts, good until that of another message is asked for. */
struct str leg_sdp_of(struct leg *leg, const struct sip_msg *m);

/* Makes local_sdp for the caller's INVITE, once. -ENOTSUP: it had no offer; -EPROTO: no codec in common. */
int leg_make_answer(struct leg *leg);
int leg_make_late_offer(struct leg *leg);
/* leg_late.c: our INVITE had no offer, so theirs comes in a reliable response or the 2xx; it is answered in the PRACK or ACK. */
int leg_on_early_offer(struct session *s, const struct sip_msg *m, struct out *o, void *arg);
/* ACKs the 2xx of such an INVITE. An error: it is ACKed, and there is nothing to be had of it. */
int leg_ack_late(struct leg *leg, const struct sip_msg *m);
/* P-Early-Media doesn't forbid it. */
bool leg_may_be_heard(const struct sip_msg *m);
/* Hands what was agreed to the stream. */
void leg_configure(struct leg *leg);
