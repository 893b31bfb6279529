/* leg_t38.c - a fax that goes on as T.38: the offer of one end of a bridge is made to the other, whose answer is the answer (ITU-T T.38
 * Annex D).
 *
 * Cordboard is the far end of both descriptions, with the ports that the audio had; the attributes are copied. Who offers waits while the
 * partner is asked. A partner who refuses (488) stays sound, and the gateway of the stream joins, if his codec is G.711; else both stay
 * so. When either offers audio again, the other one is asked as well.
 *
 *   offerer  -- INVITE m=image -->  us  -- INVITE m=image -->  partner
 *            <-- 200 ------------       <-- 200 ------------
 *
 * A call may begin as a fax (Annex D.2.2.4). Who is called is rung as for any other call, with G.711, for he may be a person, an adapter or an
 * exchange that knows no T.38; when he has answered the gateway is there, and he is asked whether he would rather have T.38 himself:
 *
 *   caller   -- INVITE m=image -->  us  -- INVITE m=audio -->  callee
 *            <-- 200 m=image ----       <-- 200 m=audio ----
 *                                       -- INVITE m=image -->
 */
#define LOG_MODULE "leg"
#include <stdlib.h>

#include "call/leg_int.h"
#include "base/log.h"

static void configure(struct leg *leg, const struct oa_image *theirs)
{
	struct stream_config c = {
		.dir = STREAM_BOTH, .codec = leg->codec_id, .dtmf_send_pt = -1, .dtmf_recv_pt = -1, .is_udptl = true, .relearn = true,
	};
	union sockaddr_any addr = { 0 };

	leg->is_image = true;
	leg->remote_hold = false;
	leg->media_addr[0] = '\0'; /* when it is audio again, the source is learned anew */
	leg->media_port = 0;
	if (!leg->stream)
		return;
	leg_ice_configure(leg);
	leg_others_configure(leg);
	if (sockaddr_parse(&addr, str_from(theirs->addr), theirs->port) == 0)
		memcpy(&c.remote, &addr, sizeof(addr));
	stream_configure(leg->stream, &c);
}

static void refuse_offer(struct leg *leg, int status)
{
	struct leg_image *image = leg->image;

	leg->image = NULL;
	oa_rollback(leg->oa);
	session_reply_offer(leg->session, image->st, status, NULL, NULL, STR_NULL);
	free(image);
}

static int offer(struct leg *to, const struct oa_image *image)
{
	union sockaddr_any local;
	struct out o;
	int err = session_local_addr(to->session, &local);

	out_init_grow(&o, SDP_TEXT_MAX);
	if (!err)
		err = leg_write_image(to, &local, image, true, &o);
	if (!err)
		err = session_reinvite(to->session, NULL, "application/sdp", out_view(&o));
	out_fini(&o);
	if (err)
		oa_rollback(to->oa);
	return err;
}

/* UDPTL is sent in the clear. */
static bool may_be_plain(const struct leg *leg)
{
	return leg->srtp != OA_REQUIRE;
}

static bool may_be_asked(const struct leg *to)
{
	return to && may_be_plain(to) && to->state == LEG_ANSWERED && to->session && to->stream && !to->image && !to->image_for &&
	       oa_state(to->oa) == OA_IDLE && session_can_offer(to->session);
}

static const char *why_not(const struct leg *leg, const struct leg *to, int err)
{
	if (err != -EPROTO)
		return uv_strerror(err);
	if (!may_be_plain(leg) || (to && !may_be_plain(to)))
		return "SRTP is required, UDPTL has none";
	return to ? "the other side can't be asked now" : "there is no other side";
}

int leg_image_accept(struct leg *leg)
{
	struct oa_image theirs;

	if (!may_be_plain(leg) || oa_image_offered(leg->oa, &theirs) != 0)
		return 0;
	leg->first_image = malloc(sizeof(theirs));
	if (!leg->first_image)
		return -ENOMEM;
	*leg->first_image = theirs;
	return 0;
}

bool leg_image_offered(struct leg *leg, struct strans *st, const struct sip_msg *m)
{
	struct str text = leg_sdp_of(leg, m);
	struct leg *to = leg->partner;
	struct leg_image *image;
	char id[64];
	int err;

	/* All but few offers are of audio: a look at the text spares reading it twice. */
	if (!memmem(text.p, text.n, "m=image", 7) || !oa_image_is_offer(text))
		return false;
	image = leg->image ? NULL : calloc(1, sizeof(*image));
	err = !image ? -ENOMEM : !leg->stream || !may_be_plain(leg) || !may_be_asked(to) ? -EPROTO : oa_image_take_offer(leg->oa, text, &image->theirs);
	if (err) {
		log_info(leg->call->calls->p.log, "%s offers T.38, refused: %s", leg_log_id(leg, id), why_not(leg, to, err));
		free(image);
		session_reply_offer(leg->session, st, err == -EBUSY ? 491 : err == -ENOMEM ? 500 : 488, NULL, NULL, STR_NULL);
		return true;
	}
	image->st = st;
	leg->image = image;
	to->image_for = leg;
	log_info(leg->call->calls->p.log, "%s offers T.38", leg_log_id(leg, id));
	if (offer(to, &image->theirs) != 0) {
		to->image_for = NULL;
		refuse_offer(leg, 488);
	}
	return true;
}

/* Both know of it. */
static int answer(struct leg *offerer, const struct oa_image *theirs)
{
	struct leg_image *image = offerer->image;
	union sockaddr_any local;
	struct out o;
	int err = session_local_addr(offerer->session, &local);

	offerer->image = NULL;
	out_init_grow(&o, SDP_TEXT_MAX);
	if (!err)
		err = leg_write_image(offerer, &local, theirs, false, &o);
	if (!err)
		configure(offerer, &image->theirs); /* he may send as soon as he hears of it */
	/* It may have been withdrawn meanwhile: then all is as it was. */
	if (!err)
		err = session_reply_offer(offerer->session, image->st, 200, NULL, "application/sdp", out_view(&o));
	else
		session_reply_offer(offerer->session, image->st, 500, NULL, NULL, STR_NULL);
	out_fini(&o);
	oa_rollback(offerer->oa);
	if (err)
		leg_reoffer(offerer);
	free(image);
	return err;
}

/* What our gateway can. */
static const char gateway_attrs[] =
	"a=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxBuffer:1800\r\n"
	"a=T38FaxMaxDatagram:400\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n";

/* A fax as sound: only these codecs leave it as it is. */
static bool may_be_heard(const struct leg *leg)
{
	return leg->stream && (leg->codec_id == CODEC_PCMU || leg->codec_id == CODEC_PCMA);
}

int leg_image_write_first(struct leg *leg, const union sockaddr_any *local, const struct leg *codec_of, struct out *o)
{
	struct oa_image ours = { .port = 0 };
	bool is_heard = false;

	(void)codec_of;
	for (const struct leg *other = leg->call->legs; other; other = other->next)
		is_heard = is_heard || (other != leg && other->state == LEG_ANSWERED && may_be_heard(other));
	if (!is_heard)
		return -EPROTO;
	str_put(ours.attrs, sizeof(ours.attrs), gateway_attrs);
	return leg_write_image(leg, local, &ours, false, o);
}

bool leg_image_is_first(struct leg *leg)
{
	if (!leg->first_image)
		return false;
	if (!oa_agreed(leg->oa)->has_audio) {
		configure(leg, leg->first_image);
		return true;
	}
	free(leg->first_image);
	leg->first_image = NULL;
	return false;
}

void leg_image_propose(struct leg *leg)
{
	struct leg *to = leg->partner;
	struct oa_image ours = { .port = 0 };

	if (!leg->first_image || !leg->is_image || !may_be_asked(to) || to->is_image)
		return;
	str_put(ours.attrs, sizeof(ours.attrs), gateway_attrs); /* what the caller has been told */
	to->image_for = leg;
	if (offer(to, &ours) != 0)
		to->image_for = NULL;
}

/* What became of that. */
static void proposed(struct leg *leg, int status, const struct sip_msg *m)
{
	struct oa_image theirs;
	char id[64];

	if (status / 100 == 2 && oa_image_take_answer(leg->oa, leg_sdp_of(leg, m), &theirs) == 0) {
		log_info(leg->call->calls->p.log, "%s takes T.38", leg_log_id(leg, id));
		configure(leg, &theirs);
		return;
	}
	oa_rollback(leg->oa);
	log_info(leg->call->calls->p.log, "%s has no T.38: by gateway", leg_log_id(leg, id));
	if (status / 100 == 2)
		leg_reoffer(leg);
}

bool leg_image_answered(struct leg *leg, int status, const struct sip_msg *m)
{
	struct leg *offerer = leg->image_for;
	struct oa_image theirs = { .port = 0 };
	char id[64];

	if (!offerer)
		return false;
	leg->image_for = NULL;
	if (!offerer->image) {
		proposed(leg, status, m);
		return true;
	}
	if (status / 100 != 2 && may_be_heard(leg)) {
		oa_rollback(leg->oa);
		log_info(leg->call->calls->p.log, "%s has no T.38: by gateway", leg_log_id(leg, id));
		str_put(theirs.attrs, sizeof(theirs.attrs), gateway_attrs);
		answer(offerer, &theirs);
		return true;
	}
	if (status / 100 != 2 || oa_image_take_answer(leg->oa, leg_sdp_of(leg, m), &theirs) != 0) {
		oa_rollback(leg->oa);
		log_info(leg->call->calls->p.log, "%s has no T.38: the fax goes on as sound", leg_log_id(leg, id));
		refuse_offer(offerer, 488);
		if (status / 100 == 2)
			leg_reoffer(leg); /* it has agreed to nothing at all */
		return true;
	}
	configure(leg, &theirs);
	if (answer(offerer, &theirs) != 0)
		leg_reoffer(leg);
	return true;
}

void leg_image_over(struct leg *leg)
{
	struct leg *other = leg->partner;

	if (!leg->is_image || !oa_agreed(leg->oa)->has_audio)
		return;
	leg->is_image = false;
	if (other && other->is_image && other->state == LEG_ANSWERED)
		leg_reoffer(other);
}

void leg_image_part(struct leg *leg)
{
	struct leg *asked = leg->partner;

	if (leg->image_for && leg->image_for->image)
		refuse_offer(leg->image_for, 488);
	leg->image_for = NULL;
	if (asked && asked->image_for == leg)
		asked->image_for = NULL;
	if (!leg->image)
		return;
	if (leg->session) {
		refuse_offer(leg, 488);
		return;
	}
	free(leg->image);
	leg->image = NULL;
}
