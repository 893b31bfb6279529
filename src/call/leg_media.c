/* leg_media.c - a leg's descriptions and its stream: what was agreed in SDP is what the stream is told to do.
 *
 * Which codecs these descriptions have is leg_codecs.c's.
 */
#define LOG_MODULE "leg"
#include <stdlib.h>

#include "call/decision.h"
#include "call/announce.h"
#include "call/leg_int.h"
#include "call/rtp_trace.h"
#include "base/log.h"

#define PTIME_MS 20

static void fill_local(struct oa_local *l, struct leg_codecs *codecs, char addr[SOCKADDR_TEXT_MAX], const struct leg *leg,
		       const union sockaddr_any *local, const struct leg *codec_of)
{
	leg_codecs(leg, codec_of, codecs);
	*l = (struct oa_local){
		.addr = sockaddr_print_host(local, addr),
		.addr_is_ip6 = local->sa.sa_family == AF_INET6,
		.port = stream_port(leg->stream),
		.rtcp_port = (uint16_t)(stream_port(leg->stream) + 1),
		.dir = leg->wish,
		.ptime_ms = PTIME_MS,
		.ncodecs = codecs->n,
		.codecs = codecs->list,
		.dtmf = leg_digits_has_events(leg),
	};
	leg_secure_local(leg, l);
	leg_ice_local(leg, l);
}

int leg_write_offer(struct leg *leg, const union sockaddr_any *local, const struct leg *codec_of, struct out *o)
{
	struct leg_codecs codecs;
	struct oa_other_local others[OA_OTHERS_MAX];
	struct oa_local l;
	char addr[SOCKADDR_TEXT_MAX];
	int err;

	fill_local(&l, &codecs, addr, leg, local, codec_of);
	leg_others_local(leg, codec_of, local, &l, others);
	leg->described = l.dir;
	err = oa_offer(leg->oa, &l, o);
	if (!err)
		leg_ice_offered(leg);
	return err;
}

int leg_write_answer(struct leg *leg, const union sockaddr_any *local, const struct leg *codec_of, struct out *o)
{
	struct leg_codecs codecs;
	struct oa_other_local others[OA_OTHERS_MAX];
	struct oa_local l;
	char addr[SOCKADDR_TEXT_MAX];
	int err;

	fill_local(&l, &codecs, addr, leg, local, codec_of);
	leg_others_local(leg, codec_of, local, &l, others);
	leg->described = l.dir;
	/* Only a partner is a reason to prefer our order to theirs. */
	err = oa_answer(leg->oa, &l, codec_of != NULL, o);
	if (!err)
		leg_note_offered(leg);
	return err;
}

int leg_write_image(struct leg *leg, const union sockaddr_any *local, const struct oa_image *theirs, bool is_offer, struct out *o)
{
	struct leg_codecs codecs;
	struct oa_local l;
	char addr[SOCKADDR_TEXT_MAX];

	fill_local(&l, &codecs, addr, leg, local, NULL);
	return is_offer ? oa_image_offer(leg->oa, &l, theirs, o) : oa_image_answer(leg->oa, &l, theirs, o);
}

int leg_write_decline(struct leg *leg, const union sockaddr_any *local, struct out *o)
{
	struct leg_codecs codecs;
	struct oa_local l;
	char addr[SOCKADDR_TEXT_MAX];

	fill_local(&l, &codecs, addr, leg, local, NULL);
	return oa_decline(leg->oa, &l, o);
}

/* The leg whose codec the caller's answer should share: one that has answered or gives early media. */
static const struct leg *codec_partner(const struct leg *leg)
{
	if (leg->partner)
		return leg->partner;
	for (const struct leg *other = leg->call->legs; other; other = other->next)
		if (other != leg && other->state != LEG_ENDED && oa_is_complete(other->oa))
			return other;
	return NULL;
}

static int keep_sdp(struct leg *leg, struct out *o)
{
	out_chr(o, '\0');
	if (!out_ok(o))
		return -ENOSPC;
	leg->local_sdp = str_dup(out_view(o));
	return leg->local_sdp ? 0 : -ENOMEM;
}

static int make_description(struct leg *leg, int (*write)(struct leg *, const union sockaddr_any *, const struct leg *, struct out *))
{
	union sockaddr_any local;
	struct out o;
	int err = session_local_addr(leg->session, &local);

	if (!err)
		err = leg_open_stream(leg, &local, NULL);
	out_init_grow(&o, SDP_TEXT_MAX);
	if (!err)
		err = write(leg, &local, codec_partner(leg), &o);
	if (!err)
		err = keep_sdp(leg, &o);
	out_fini(&o);
	return err;
}

int leg_make_answer(struct leg *leg)
{
	if (leg->local_sdp)
		return 0;
	if (!leg->session)
		return -ECANCELED;
	if (oa_state(leg->oa) != OA_REMOTE_OFFER)
		return -ENOTSUP;
	return make_description(leg, leg->first_image ? leg_image_write_first : leg_write_answer);
}

int leg_make_late_offer(struct leg *leg)
{
	return make_description(leg, leg_write_offer);
}

/* ---- the stream ---- */

static void on_digit(struct stream *s, char digit, uint32_t duration_ms, void *arg)
{
	struct leg *leg = arg;

	(void)s;
	leg_digit_heard(leg, digit, duration_ms);
}

static void on_heard(struct stream *s, enum stream_heard what, uint32_t lasted_ms, void *arg)
{
	struct leg *leg = arg;

	(void)s;
	call_heard(leg->call, leg, what, lasted_ms);
}

static void on_play_end(struct stream *s, uint32_t play_id, enum play_end end, void *arg)
{
	struct leg *leg = arg;
	struct call *call = leg->call;

	(void)s;
	if (leg->announcement && play_id == leg->announce_id) {
		announce_ended(leg, end == PLAY_DONE);
		return;
	}
	if (leg != call->caller_leg || play_id != call->play_id)
		return;
	call->is_playing = false;
	call->play_end = end;
	call_wake(call);
}

static void on_record_end(struct stream *s, uint32_t record_id, const struct record_result *r, void *arg)
{
	struct leg *leg = arg;
	struct call *call = leg->recording_for; /* the leg itself may be in another by now */

	(void)s;
	if (!call || record_id != call->record_id)
		return;
	leg->recording_for = NULL;
	call->is_recording = false;
	call->record_result = *r;
	call_wake(call);
}

/* Where it says that it is: then there is nothing to tell. */
static void note_latched(const struct leg *leg, const char *actual, enum latch_reason reason)
{
	char signalled[SOCKADDR_TEXT_MAX];
	union sockaddr_any addr;

	if (sockaddr_parse(&addr, str_from(oa_agreed(leg->oa)->addr), oa_agreed(leg->oa)->port) != 0)
		return;
	if (strcmp(sockaddr_print(&addr, signalled), actual) != 0)
		leg_decided(leg, DECISION_LATCHED, signalled, actual, latch_reason_name(reason), NULL);
}

static void on_latched(struct stream *s, const struct sockaddr *peer, enum latch_reason reason, void *arg)
{
	struct leg *leg = arg;
	union sockaddr_any addr = { 0 };
	char id[64], text[SOCKADDR_TEXT_MAX];

	(void)s;
	memcpy(&addr, peer, peer->sa_family == AF_INET6 ? sizeof(addr.v6) : sizeof(addr.v4));
	note_latched(leg, sockaddr_print(&addr, text), reason);
	log_info(leg->call->calls->p.log, "%s media latched signalled=%s:%u actual=%s why=%s", leg_log_id(leg, id),
		 oa_agreed(leg->oa)->addr, oa_agreed(leg->oa)->port, sockaddr_print(&addr, text), latch_reason_name(reason));
}

/* Somebody from whom sound is due: not on hold, and he sends. */
static bool is_talking(const struct leg *leg)
{
	const struct oa_agreed *a = oa_agreed(leg->oa);

	return (a->dir & SDP_RECVONLY) && !a->remote_hold;
}

/* The peer has sent nothing for too long: the call is dead, though no BYE came. */
static void on_timeout(struct stream *s, void *arg)
{
	struct leg *leg = arg;
	char id[64];

	(void)s;
	if (leg->session) {
		leg->media_timeout = is_talking(leg) ? "talking" : "held";
		leg_decided(leg, DECISION_SILENT, leg->media_timeout, NULL);
		log_warn(leg->call->calls->p.log, "%s no media, hanging up while=%s", leg_log_id(leg, id), leg->media_timeout);
		leg->status = 408;
		text_keep(&leg->reason, "Q.850;cause=102;text=\"media timeout\""); /* the others are told it, too */
		leg_close(leg, 408, leg->reason);
	}
}

static void on_stats(struct stream *s, const struct stream_stats *stats, void *arg)
{
	struct leg *leg = arg;

	(void)s;
	leg->stats = *stats;
	live_leg(leg);
}

static void on_stream_closed(struct stream *s, const struct stream_stats *final, void *arg)
{
	struct leg *leg = arg;
	const struct codec *codec = codec_get(final->codec);

	(void)s;
	leg->stream = NULL;
	rtp_trace_end(leg);
	leg->stats = *final;
	if (codec)
		str_put(leg->codec, sizeof(leg->codec), codec->name);
	if (leg->announcement)
		announce_ended(leg, false);
	if (leg->recording_for) {
		leg->recording_for->is_recording = false;
		call_wake(leg->recording_for);
		leg->recording_for = NULL;
	}
	if (leg == leg->call->caller_leg && leg->call->is_playing) {
		leg->call->is_playing = false;
		call_wake(leg->call);
	}
	leg_check_gone(leg);
}

static void on_talking(struct stream *s, bool is_talking, void *arg)
{
	(void)s;
	room_talking(arg, is_talking);
}

static const struct stream_handler stream_handler = {
	.on_digit = on_digit,
	.on_heard = on_heard,
	.on_play_end = on_play_end,
	.on_record_end = on_record_end,
	.on_latched = on_latched,
	.on_timeout = on_timeout,
	.on_closed = on_stream_closed,
	.on_stats = on_stats,
	.on_unwanted = leg_ice_unwanted,
	.on_talking = on_talking,
	.on_secured = leg_on_secured,
	.on_insecure = leg_on_insecure,
};

int leg_open_stream(struct leg *leg, const union sockaddr_any *local, const struct leg *near)
{
	union sockaddr_any bound = *local;
	struct stream_params p = { .local = &bound.sa, .near = near ? near->stream : NULL };
	char id[64];
	int err;

	if (leg->stream)
		return 0;
	transport_behind(sip_ua_transport(leg->call->calls->p.ua), &bound);
	err = stream_new(&leg->stream, leg->call->calls->p.media, &p, &stream_handler, leg);
	if (!err)
		rtp_trace_begin(leg, local);
	if (err)
		log_error(leg->call->calls->p.log, "%s no media port: %s", leg_log_id(leg, id), uv_strerror(err));
	return err;
}

static void set_remote(struct sockaddr_storage *to, const struct oa_agreed *a, uint16_t port)
{
	union sockaddr_any addr = { 0 };

	/* A host name in c= (no phone in use does it) leaves the address to latching. */
	if (sockaddr_parse(&addr, str_from(a->addr), port) == 0)
		memcpy(to, &addr, sizeof(addr));
}

static void add_recv(struct stream_config *c, const char *name, uint32_t clock_hz, int pt)
{
	const struct codec *codec = codec_find(name, clock_hz);

	if (!codec || c->nrecv == ARRAY_LEN(c->recv))
		return;
	for (unsigned i = 0; i < c->nrecv; i++)
		if (c->recv[i].pt == pt)
			return;
	c->recv[c->nrecv].codec = codec->id;
	c->recv[c->nrecv++].pt = pt;
}

/* Switched off with port 0 (RFC 3264 §8.2): nothing goes to where the audio was, and nothing is missed from there. */
static void close_audio(struct leg *leg)
{
	const struct stream_config c = {
		.dir = STREAM_INACTIVE, .codec = leg->codec_id, .dtmf_send_pt = -1, .dtmf_recv_pt = -1, .ptime_ms = PTIME_MS,
	};

	leg->media_addr[0] = '\0'; /* switched on again, the source is learned anew */
	leg->media_port = 0;
	stream_configure(leg->stream, &c);
}

/* How long nothing may come from it: as its trunk says, its domain, or this server. */
static uint32_t timeout_ms(const struct leg *leg)
{
	const struct calls_params *p = &leg->call->calls->p;
	bool talks = is_talking(leg);
	uint32_t s = talks ? p->media_timeout_s : p->media_hold_timeout_s, set = UINT32_MAX;
	const struct dir_trunk *trunk;
	const struct dir_domain *domain;

	if (leg->is_outside && directory_trunk(p->directory, leg->call->domain, str_from(leg->peer), &trunk) == DIR_FOUND)
		set = talks ? trunk->media_timeout_s : trunk->media_hold_timeout_s;
	if (set == UINT32_MAX && directory_domain(p->directory, leg->call->domain, &domain) == DIR_FOUND)
		set = talks ? domain->media_timeout_s : domain->media_hold_timeout_s;
	return (set == UINT32_MAX ? s : set) * 1000;
}

void leg_configure(struct leg *leg)
{
	const struct oa_agreed *a = oa_agreed(leg->oa);
	struct stream_config c = { 0 };
	struct leg_keys keys;
	const struct codec *codec;

	if (leg->remote_hold != a->remote_hold) {
		leg_decided(leg, a->remote_hold ? DECISION_HOLDS : DECISION_RESUMES, NULL);
		live_leg(leg);
	}
	leg->remote_hold = a->remote_hold;
	if (!leg->stream || leg_image_is_first(leg))
		return;
	leg_ice_configure(leg);
	leg_others_configure(leg);
	if (!a->has_audio) {
		close_audio(leg);
		return;
	}
	codec = codec_find(a->codec.name, a->codec.clock_hz);
	if (!codec)
		return;
	set_remote(&c.remote, a, a->port);
	set_remote(&c.remote_rtcp, a, a->rtcp_port);
	c.rtcp_mux = a->rtcp_mux;
	c.dir = (a->dir & SDP_SENDONLY ? STREAM_SEND : 0) | (a->dir & SDP_RECVONLY ? STREAM_RECV : 0);
	c.codec = leg->codec_id = codec->id;
	c.send_pt = a->send_pt;
	add_recv(&c, a->codec.name, a->codec.clock_hz, a->recv_pt);
	for (unsigned i = 0; i < a->ncommon; i++)
		add_recv(&c, a->common[i].name, a->common[i].clock_hz, a->common[i].recv_pt);
	c.dtmf_send_pt = a->dtmf_send_pt;
	c.dtmf_recv_pt = a->dtmf_recv_pt;
	c.dtmf_clock_hz = a->dtmf_clock_hz;
	leg_digits_configure(leg, &c);
	c.ptime_ms = a->ptime_ms;
	opus_params_parse(&c.opus, str_from(a->fmtp));
	c.relearn = strcmp(a->addr, leg->media_addr) != 0 || a->port != leg->media_port;
	if (leg->state == LEG_ANSWERED)
		c.timeout_ms = timeout_ms(leg);
	str_put(leg->media_addr, sizeof(leg->media_addr), a->addr);
	leg->media_port = a->port;
	leg_secure_configure(leg, &c, &keys);
	stream_configure(leg->stream, &c);
	explicit_bzero(&keys, sizeof(keys));
	room_leg_changed(leg);
}

/* ---- bridge ---- */

const char *leg_music_class(const struct leg *leg)
{
	return leg->call->music_class;
}

int leg_music(struct leg *leg, const char *music_class)
{
	const struct dir_music *music;
	char key[160];
	const char *files[32];
	char *paths[32];
	unsigned n = 0;

	if (!leg->stream)
		return -ECANCELED;
	if (directory_music(leg->call->calls->p.directory, leg->call->domain, music_class, &music) != DIR_FOUND || !music->nfiles) {
		stream_silence(leg->stream);
		return -ENOENT;
	}
	for (unsigned i = 0; i < music->nfiles && n < ARRAY_LEN(paths); i++) {
		const char *dir = music->files[i][0] == '/' ? "" : leg->call->calls->p.prompts;

		if (asprintf(&paths[n], "%s%s%s", dir, dir[0] ? "/" : "", music->files[i]) < 0)
			break;
		files[n] = paths[n];
		n++;
	}
	snprintf(key, sizeof(key), "%s/%s", leg->call->domain, music_class);
	if (n)
		stream_music(leg->stream, key, files, n);
	else
		stream_silence(leg->stream);
	for (unsigned i = 0; i < n; i++)
		free(paths[i]);
	return n ? 0 : -ENOMEM;
}

/* The direction a leg should have is told to its peer when it is another than he was told last. */
static void wish_dir(struct leg *leg, enum sdp_dir dir)
{
	leg->wish = dir;
	if (leg->described != dir && leg->state == LEG_ANSWERED)
		leg_reoffer(leg);
}

/* Who was put on hold hears our music. Without any he gets what the holder sends, his own music perhaps, and is told so. */
static void hold(struct leg *holder, struct leg *held)
{
	stream_unbridge(holder->stream);
	wish_dir(holder, SDP_SENDRECV);
	if (leg_music(held, leg_music_class(held)) == 0) {
		wish_dir(held, SDP_SENDRECV);
		return;
	}
	if (!holder->remote_hold)
		return; /* its phone doesn't know that it holds */
	stream_bridge(holder->stream, held->stream);
	wish_dir(held, sdp_dir_reverse(oa_agreed(holder->oa)->dir));
}

static bool holds(const struct leg *leg)
{
	return leg->remote_hold || leg->is_put_on_hold;
}

void leg_update_bridge(struct leg *leg)
{
	struct leg *other = leg->partner;

	if (!other || !leg->stream || !other->stream)
		return;
	if (holds(leg) && holds(other)) {
		stream_unbridge(leg->stream);
	} else if (holds(leg)) {
		hold(leg, other);
	} else if (holds(other)) {
		hold(other, leg);
	} else {
		stream_bridge(leg->stream, other->stream);
		/* He who passes on a hold hears of its end; the direction of each then is his own affair. */
		wish_dir(leg, SDP_SENDRECV);
		wish_dir(other, SDP_SENDRECV);
	}
	leg_others_update(leg, other);
}

void leg_put_on_hold(struct leg *leg, bool is_held)
{
	if (leg->is_put_on_hold == is_held)
		return;
	leg->is_put_on_hold = is_held;
	live_leg(leg);
	leg_update_bridge(leg);
}

void leg_bridge(struct leg *a, struct leg *b)
{
	a->partner = b;
	b->partner = a;
	leg_others_renew(a);
	leg_others_renew(b);
	told_joined(a, b);
	leg_tell(a);
	leg_tell(b);
	leg_update_bridge(a);
	leg_image_propose(a);
	leg_image_propose(b);
	record_joined(a->call);
}

void leg_unbridge(struct leg *leg)
{
	struct leg *other = leg->partner;

	if (!other)
		return;
	leg_image_part(leg);
	leg_image_part(other);
	leg->partner = NULL;
	other->partner = NULL;
	leg->is_put_on_hold = other->is_put_on_hold = false;
	record_parted(leg);
	record_parted(other);
	if (leg->stream)
		stream_unbridge(leg->stream);
	if (other->stream)
		stream_silence(other->stream);
	leg_others_part(leg, other);
}
