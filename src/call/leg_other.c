/* leg_other.c - what a leg carries besides sound: video, slides, text. Its sections (sdp/oa_other.h) have a stream each, joined with that of the
 * same section of the partner; packets pass as they are.
 *
 * An offer of one leg is answered with what the other one has said. Where he has said nothing yet, he is asked, and the offer waits for
 * his answer:
 *
 *   a  -- INVITE audio, video -->  us  -- INVITE audio, video -->  b
 *      <-- 200 ------------------      <-- 200 ------------------
 *
 * All else comes about by comparing: when two legs are joined, or one has changed, whoever was told something else than what holds now is
 * offered it anew, until both know the same.
 */
#define LOG_MODULE "leg"
#include <stdlib.h>

#include "call/leg_int.h"
#include "base/log.h"

#define SYNCS_MAX 4 /* offers to one leg that nobody has asked for: two who never agree don't go on for ever */

struct leg_other {
	struct leg_other *next;
	struct leg *leg;
	struct stream *stream;
	bool is_closing;
	bool rides;              /* on the stream of the sound */
	uint8_t nth;
	uint16_t port;           /* as signalled, with addr */
	char type[OA_TYPE_MAX + 1], addr[64];
};

static bool may_pass(const struct leg *leg)
{
	struct oa_local l = { 0 };

	leg_secure_local(leg, &l);
	leg_ice_local(leg, &l);
	return leg_policy(leg)->has_video && oa_others_have_way(leg->oa, &l);
}

/* Whose words leg may be told. */
static const struct oa *source_of(const struct leg *leg, const struct leg *partner)
{
	return partner && may_pass(leg) && may_pass(partner) ? partner->oa : NULL;
}

static struct leg_other *find(const struct leg *leg, const char *type, unsigned nth)
{
	struct leg_other *x = leg->others;

	while (x && (x->is_closing || x->nth != nth || strcasecmp(x->type, type)))
		x = x->next;
	return x;
}

/* ---- streams ---- */

static void on_closed(struct stream *s, const struct stream_stats *final, void *arg)
{
	struct leg_other *x = arg, **at = &x->leg->others;
	struct leg *leg = x->leg;
	char id[64];

	(void)s;
	log_info(leg->call->calls->p.log, "%s media=%s ended received=%llu sent=%llu lost=%u", leg_log_id(leg, id), x->type,
		 (unsigned long long)final->packets_received, (unsigned long long)final->packets_sent, final->lost);
	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	free(x);
	leg_check_gone(leg);
}

static void on_latched(struct stream *s, const struct sockaddr *peer, enum latch_reason reason, void *arg)
{
	const struct leg_other *x = arg;
	union sockaddr_any addr = { 0 };
	char id[64], text[SOCKADDR_TEXT_MAX];

	(void)s;
	memcpy(&addr, peer, peer->sa_family == AF_INET6 ? sizeof(addr.v6) : sizeof(addr.v4));
	log_info(x->leg->call->calls->p.log, "%s media=%s latched signalled=%s:%u actual=%s why=%s", leg_log_id(x->leg, id), x->type, x->addr, x->port,
		 sockaddr_print(&addr, text), latch_reason_name(reason));
}

static const struct stream_handler handler = { .on_closed = on_closed, .on_latched = on_latched };

static void close_one(struct leg_other *x)
{
	if (x->is_closing)
		return;
	x->is_closing = true;
	stream_close(x->stream);
}

static struct leg_other *open_one(struct leg *leg, const union sockaddr_any *local, const struct oa_other_local *l, bool rides)
{
	struct leg_other *x = find(leg, l->type, l->nth);
	union sockaddr_any bound = *local;
	struct stream_params p = { .local = &bound.sa, .near = leg->stream, .is_video = !strcasecmp(l->type, "video"),
				   .carrier = rides ? leg->stream : NULL };

	if (x && x->rides == rides)
		return x;
	if (x)
		close_one(x);
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	*x = (struct leg_other){ .leg = leg, .nth = l->nth, .rides = rides };
	str_put(x->type, sizeof(x->type), l->type);
	transport_behind(sip_ua_transport(leg->call->calls->p.ua), &bound);
	if (stream_new(&x->stream, leg->call->calls->p.media, &p, &handler, x) != 0) {
		free(x);
		return NULL;
	}
	x->next = leg->others;
	leg->others = x;
	return x;
}

void leg_others_close(struct leg *leg)
{
	for (struct leg_other *x = leg->others; x; x = x->next)
		close_one(x);
}

void leg_others_local(struct leg *leg, const struct leg *partner, const union sockaddr_any *local, struct oa_local *l,
		      struct oa_other_local others[OA_OTHERS_MAX])
{
	unsigned n = oa_others_wish(leg->oa, source_of(leg, partner), others);

	l->nothers = 0;
	l->others = others;
	for (unsigned i = 0; i < n; i++) {
		const struct leg_other *x = open_one(leg, local, &others[i], oa_other_rides(leg->oa, l, others[i].type, others[i].nth));

		if (!x)
			continue; /* no port for it: the sound counts */
		others[l->nothers] = others[i];
		others[l->nothers].port = stream_port(x->stream);
		others[l->nothers++].rtcp_port = (uint16_t)(stream_port(x->stream) + 1);
	}
}

static void set_remote(struct sockaddr_storage *to, const char *host, uint16_t port)
{
	union sockaddr_any addr = { 0 };

	if (sockaddr_parse(&addr, str_from(host), port) == 0)
		memcpy(to, &addr, sizeof(addr));
}

static void configure(struct leg_other *x, const struct oa_other *agreed)
{
	struct stream_config c = {
		.dir = (agreed->flow & SDP_SENDONLY ? STREAM_SEND : 0) | (agreed->flow & SDP_RECVONLY ? STREAM_RECV : 0), .is_opaque = true,
		.opaque_clock_hz = agreed->clock_hz, .dtmf_send_pt = -1, .dtmf_recv_pt = -1, .rtcp_mux = agreed->rtcp_mux,
		.relearn = x->port != agreed->port || strcmp(x->addr, agreed->addr) != 0,
	};
	struct secure_params keys = { 0 };

	if (x->rides) {
		oa_other_pts(agreed, c.riding_pts);
	} else {
		if (leg_sdes_params(oa_other_srtp(agreed), &keys))
			c.security = &keys;
		set_remote(&c.remote, agreed->addr, agreed->port);
		set_remote(&c.remote_rtcp, agreed->addr, agreed->rtcp_port);
	}
	x->port = agreed->port;
	str_put(x->addr, sizeof(x->addr), agreed->addr);
	stream_configure(x->stream, &c);
	explicit_bzero(&keys, sizeof(keys));
}

static const struct oa_other *agreed_of(const struct leg *leg, const struct leg_other *x)
{
	const struct oa_others *list = oa_others(leg->oa);

	for (unsigned i = 0; list && i < list->n; i++)
		if (list->list[i].is_on && list->list[i].is_bundled == x->rides && list->list[i].nth == x->nth && !strcasecmp(list->list[i].type, x->type))
			return &list->list[i];
	return NULL;
}

void leg_others_configure(struct leg *leg)
{
	for (struct leg_other *x = leg->others; x; x = x->next) {
		const struct oa_other *agreed = x->is_closing ? NULL : agreed_of(leg, x);

		if (agreed)
			configure(x, agreed);
		else if (oa_state(leg->oa) == OA_IDLE) /* an offer under way may name its port */
			close_one(x);
	}
}

static void bridge(struct leg *a, struct leg *b)
{
	for (struct leg_other *x = a->others; x; x = x->next) {
		const struct leg_other *y = x->is_closing ? NULL : find(b, x->type, x->nth);

		if (y)
			stream_bridge(x->stream, y->stream);
	}
}

static void unbridge(struct leg *leg)
{
	for (struct leg_other *x = leg->others; x; x = x->next)
		if (!x->is_closing)
			stream_silence(x->stream);
}

/* ---- two who are joined ---- */

static bool is_at_rest(const struct leg *leg)
{
	return leg->state == LEG_ANSWERED && leg->session && oa_state(leg->oa) == OA_IDLE && !leg->wants_reoffer && !leg->image && !leg->image_for &&
	       !leg->is_image;
}

static bool is_stale(const struct leg *leg, const struct leg *partner)
{
	return leg->nsyncs < SYNCS_MAX && oa_others_are_stale(leg->oa, source_of(leg, partner));
}

void leg_others_update(struct leg *a, struct leg *b)
{
	struct leg *stale;

	bridge(a, b);
	if (!is_at_rest(a) || !is_at_rest(b))
		return; /* whatever is under way ends in here */
	stale = is_stale(a, b) ? a : is_stale(b, a) ? b : NULL;
	if (!stale)
		return;
	stale->nsyncs++;
	leg_reoffer(stale);
}

void leg_others_renew(struct leg *leg)
{
	leg->nsyncs = 0;
}

void leg_others_give_up(struct leg *leg)
{
	leg->nsyncs = SYNCS_MAX;
	leg_others_configure(leg);
}

/* ---- an offer that waits for the partner ---- */

bool leg_others_ask(struct leg *leg, struct strans *st)
{
	struct leg *to = leg->partner;
	char id[64];

	if (!to || leg->held_offer || !source_of(leg, to) || !oa_others_are_open(leg->oa, to->oa) || !is_at_rest(to) || to->asked_by)
		return false;
	oa_others_forget(to->oa); /* it is a person who asks */
	leg->held_offer = st;
	to->asked_by = leg;
	log_debug(leg->call->calls->p.log, "%s offers more than sound, the other side is asked", leg_log_id(leg, id));
	if (leg_reoffer(to) == 0 && to->asked_by)
		return true;
	leg->held_offer = NULL;
	to->asked_by = NULL;
	return false;
}

void leg_others_answered(struct leg *leg)
{
	struct leg *by = leg->asked_by;
	struct strans *st = by ? by->held_offer : NULL;

	leg->asked_by = NULL;
	if (!by)
		return;
	by->held_offer = NULL;
	if (st)
		leg_answer_held(by, st);
}

void leg_others_part(struct leg *leg, struct leg *other)
{
	unbridge(leg);
	unbridge(other);
	leg_others_answered(leg);
	leg_others_answered(other);
}
