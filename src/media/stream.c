/* stream.c - the loop's handle of a stream: turns calls into commands for its worker.
 *
 * Commands for a stream are carried out in the order they were given. That is free as long as its worker stays the
 * same. A bridge across workers hands b over first: b's worker releases the session to the loop (EV_RELEASED), the
 * loop gives it to a's worker. Meanwhile, commands for b, and what was asked after them for streams they are
 * bridged with, wait in the media's one deferred list, in order; it is replayed when the session has arrived.
 * Moves are rare (a transfer, a pick-up), so the list is short.
 */
#define LOG_MODULE "media"
#include "media/stream_int.h"
#include "media/dtls_session.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <utlist.h>

#define BUSY_PERMILLE 400 /* so much of a core is to be had for what begins later: a transcoding, a recording */

/* ---- commands ---- */

struct command *stream_command(struct stream *s, enum command_type type, size_t extra)
{
	struct command *c;

	if (s->is_closing)
		return NULL;
	c = calloc(1, sizeof(*c) + extra);
	if (!c) {
		log_error(s->media->log, "no memory, command %d is lost", (int)type);
		return NULL;
	}
	c->type = type;
	c->s = s;
	c->session = s->session;
	return c;
}

/* One that is part of the stream. Each is used again only when the worker is done with it: a release is answered by
 * EV_RELEASED, before which what brought the stream to that worker has been served. */
static void command_init(struct command *c, struct stream *s, enum command_type type)
{
	*c = (struct command){ .type = type, .is_embedded = true, .s = s, .session = s->session };
}

/* What rides is where its carrier is, and goes where it goes. */
static struct stream *place(struct stream *s)
{
	return s->carrier ? s->carrier : s;
}

static bool is_blocked(struct stream *s)
{
	return place(s)->is_moving || place(s)->ndeferred > 0;
}

static void defer(struct command *c)
{
	struct media *m = c->s->media;

	place(c->s)->ndeferred++;
	if (c->other)
		place(c->other)->ndeferred++;
	if (c->mix)
		c->mix->ndeferred++;
	c->m.next = NULL;
	*m->deferred_tail = &c->m;
	m->deferred_tail = &c->m.next;
}

static void move_start(struct stream *s, struct worker *to)
{
	s->is_moving = true;
	s->worker->nstreams--;
	to->nstreams++;
	s->move_to = to;
	command_init(&s->release, s, CMD_RELEASE);
	worker_post(s->worker, &s->release);
}

void stream_post(struct command *c)
{
	struct stream *s = c->s, *other = c->other;

	if (is_blocked(s) || (other && is_blocked(other))) {
		defer(c);
		return;
	}
	if (c->mix && s->worker != c->mix->worker) {
		move_start(s, c->mix->worker);
		defer(c);
		return;
	}
	if (other && place(s)->worker != place(other)->worker) {
		/* What rides is nothing to be moved for: its carrier is where the sound of both is. */
		if (other->carrier && !s->carrier)
			move_start(s, place(other)->worker);
		else
			move_start(place(other), place(s)->worker);
		defer(c);
		return;
	}
	worker_post(place(s)->worker, c);
}

/* The session of s has left its old worker. */
void stream_moved(struct stream *s)
{
	struct media *m = s->media;
	struct msg *first = m->deferred, *i, *next;

	s->worker = s->move_to;
	s->is_moving = false;
	command_init(&s->enter, s, CMD_ADOPT);
	worker_post(s->worker, &s->enter);

	/* Nothing counts as waiting while the list is replayed: what still must, waits again, in the same order. */
	m->deferred = NULL;
	m->deferred_tail = &m->deferred;
	for (i = first; i; i = i->next) {
		struct command *c = container_of(i, struct command, m);

		place(c->s)->ndeferred--;
		if (c->other)
			place(c->other)->ndeferred--;
		if (c->mix)
			c->mix->ndeferred--;
	}
	for (i = first; i; i = next) {
		next = i->next;
		stream_post(container_of(i, struct command, m));
	}
	for (struct mix *mix = m->mixes, *after; mix; mix = after) {
		after = mix->next;
		mix_check_closing(mix);
	}
}

/* ---- life ---- */

/* How much of its time a worker needs: by its CPU time, or as many streams need that don't all send yet. */
static unsigned load_permille(struct worker *w)
{
	unsigned busy = worker_busy_permille(w), soon = w->nstreams * BUSY_PERMILLE / w->media->streams_together;

	return busy > soon ? busy : soon;
}

/* Streams of one worker share its wake-ups, which are a fifth of what a packet costs where packets are few. So workers are filled one
 * by one, as long as they have time; beyond that, streams are spread. */
struct worker *worker_choose(struct media *m, const struct stream *near)
{
	struct worker *best = NULL;
	unsigned least = UINT_MAX;

	if (near)
		return near->is_moving ? near->move_to : near->worker;
	for (unsigned i = 0; i < m->nworkers; i++) {
		unsigned load = load_permille(&m->workers[i]);

		if (load < BUSY_PERMILLE)
			return &m->workers[i];
		if (load < least) {
			least = load;
			best = &m->workers[i];
		}
	}
	return best;
}

/* Of the worker that fits; when that one has no ports, of another that has some left. */
static int take_ports(struct stream *s, const struct stream_params *p)
{
	struct media *m = s->media;
	int err;

	s->worker = worker_choose(m, p->near);
	err = ports_take(m->ports, p->local, s->worker, &s->pair);
	for (unsigned i = 0; i < m->nworkers && err == -EADDRINUSE; i++) {
		s->worker = &m->workers[i];
		err = ports_take(m->ports, p->local, s->worker, &s->pair);
	}
	return err;
}

int stream_new(struct stream **out, struct media *m, const struct stream_params *p, const struct stream_handler *h,
	       void *arg)
{
	struct stream *s;
	int err;

	if (m->is_closing)
		return -ECANCELED;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->media = m;
	s->handler = *h;
	s->arg = arg;
	s->carrier = p->carrier;
	err = p->carrier ? 0 : take_ports(s, p);
	if (err < 0)
		goto fail;
	err = -ENOMEM;
	s->session = rtp_session_new(s, s->pair);
	if (!s->session)
		goto fail;
	if (s->carrier && bundle_board(s->session, s->carrier->session) != 0)
		goto fail;
	if (s->carrier) {
		LL_PREPEND2(s->carrier->riders, s, rider_next);
	} else {
		port_pair_mark(s->pair, p->is_video);
		s->worker->nstreams++;
	}
	command_init(&s->enter, s, CMD_OPEN);
	stream_post(&s->enter);
	m->nstreams++;
	DL_APPEND(m->streams, s);
	*out = s;
	return 0;
fail:
	if (s->session)
		rtp_session_free(s->session);
	if (s->pair)
		ports_give(m->ports, s->pair, false);
	free(s);
	return err;
}

void stream_close(struct stream *s)
{
	if (s->is_closing)
		return;
	for (struct stream *rider = s->riders; rider; rider = rider->rider_next)
		stream_close(rider);
	wish_clear(s, PLAY_STOPPED);
	capture_stream_closing(s);
	dump_stream_closing(s);
	s->is_closing = true;
	command_init(&s->close, s, CMD_CLOSE);
	stream_post(&s->close);
}

void stream_detach(struct stream *s)
{
	void (*on_closed)(struct stream *, const struct stream_stats *, void *) = s->handler.on_closed;

	s->handler = (struct stream_handler){ .on_closed = on_closed };
}

static void forget_keys(struct secure_params *p)
{
	if (!p)
		return;
	explicit_bzero(p, sizeof(*p));
	free(p);
}

/* All has ended: the parts go back, the owner hears it last. */
static void stream_end(struct stream *s)
{
	struct media *m = s->media;
	struct stream_stats stats;

	quality_stats(s->session, &stats);
	if (s->carrier) {
		LL_DELETE2(s->carrier->riders, s, rider_next);
	} else {
		ports_give(m->ports, s->pair, s->session->is_connected);
		s->worker->nstreams--;
	}
	rtp_session_free(s->session);
	DL_DELETE(m->streams, s);
	m->nstreams--;
	if (s->handler.on_closed)
		s->handler.on_closed(s, &stats, s->arg);
	forget_keys(s->security);
	free(s);
}

void stream_closed(struct stream *s)
{
	s->is_closed = true;
	if (s->nrecordings == 0)
		stream_end(s);
}

void stream_record_ended(struct stream *s)
{
	s->nrecordings--;
	if (s->is_closed && s->nrecordings == 0)
		stream_end(s);
}

uint16_t stream_port(const struct stream *s)
{
	return s->carrier ? s->carrier->pair->port : s->pair->port;
}

enum codec_id stream_codec(const struct stream *s)
{
	return s->codec;
}

/* ---- configuration ---- */

/* Contexts for what has changed are made here, so that the worker needn't allocate. Without them the stream is silent, never plain. */
static int take_security(struct stream *s, struct command_configure *cmd, const struct secure_params *now)
{
	struct secure_params *copy;
	int err;

	if (!now) {
		forget_keys(s->security);
		s->security = NULL;
		return 0;
	}
	copy = malloc(sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	*copy = *now;
	err = secure_new(&cmd->secure, s->security, copy);
	if (err) {
		forget_keys(copy);
		return err;
	}
	cmd->is_secure = true;
	forget_keys(s->security);
	s->security = copy;
	return 0;
}

static int take_dtls(struct stream *s, struct command_configure *cmd, const struct dtls_params *now)
{
	uint32_t before = s->dtls;

	s->dtls = 0;
	if (!now)
		return 0;
	if (now->number != before) {
		cmd->dtls = dtls_session_new(s->media->identity, now);
		if (!cmd->dtls)
			return -ENOMEM;
	}
	s->dtls = now->number;
	cmd->is_dtls = true;
	return 0;
}

void stream_configure(struct stream *s, const struct stream_config *c)
{
	struct rtp_session_config *to;
	struct command_configure *cmd;
	struct command *post = stream_command(s, CMD_CONFIGURE, sizeof(*cmd));
	int err;

	if (!post)
		return;
	post->configure = cmd = command_room(post);
	to = &cmd->config;
	addr_from_sockaddr(&to->remote, (const struct sockaddr *)&c->remote);
	addr_from_sockaddr(&to->remote_rtcp, (const struct sockaddr *)&c->remote_rtcp);
	if (!addr_is_set(&to->remote_rtcp) && addr_is_set(&to->remote)) {
		to->remote_rtcp = to->remote; /* RFC 3550 §11 */
		addr_set_port(&to->remote_rtcp, (uint16_t)(addr_port(&to->remote) + 1));
	}
	to->dir = c->dir;
	to->codec = c->codec;
	to->send_pt = (uint8_t)(c->send_pt & 0x7f);
	to->ptime_ms = (uint8_t)codec_fit_ptime(codec_get(c->codec), c->ptime_ms < 10 ? 20 : c->ptime_ms > 60 ? 60 : c->ptime_ms);
	cmd->opus = c->opus;
	for (unsigned i = 0; i < c->nrecv && i < ARRAY_LEN(to->recv); i++) {
		to->recv[i].codec = c->recv[i].codec;
		to->recv[i].pt = (uint8_t)(c->recv[i].pt & 0x7f);
		to->nrecv++;
	}
	to->dtmf_send_pt = (int16_t)c->dtmf_send_pt;
	to->dtmf_recv_pt = (int16_t)c->dtmf_recv_pt;
	to->dtmf_clock_hz = c->is_opaque ? c->opaque_clock_hz : c->dtmf_clock_hz ? c->dtmf_clock_hz : 8000;
	to->hears = c->hears;
	to->digits_elsewhere = c->digits_elsewhere;
	to->is_udptl = c->is_udptl;
	to->is_opaque = c->is_opaque;
	memcpy(cmd->riding_pts, c->riding_pts, sizeof(cmd->riding_pts));
	to->relearn = c->relearn;
	to->timeout_ms = c->timeout_ms;
	to->dtls_is_due = c->dtls && c->dtls->is_due;
	to->rtcp_mux = c->rtcp_mux;
	err = take_security(s, cmd, c->dtls ? NULL : c->security);
	if (!err)
		err = take_dtls(s, cmd, c->dtls);
	if (err) {
		log_error(s->media->log, "no SRTP: %s, a stream is silent", uv_strerror(err));
		forget_keys(s->security);
		s->security = NULL;
		to->dir = STREAM_INACTIVE;
	}
	stream_post(post);
	if (s->codec != c->codec) {
		s->codec = c->codec;
		wish_codec_changed(s);
	}
}

void stream_ice(struct stream *s, const struct ice_credentials *ours)
{
	struct command *c = stream_command(s, CMD_ICE, 0);

	if (!c)
		return;
	if (ours) {
		c->agent = agent_new(ours);
		if (!c->agent) { /* then its checks stay without an answer */
			log_error(s->media->log, "no memory, a stream is without ICE");
			free(c);
			return;
		}
	}
	stream_post(c);
}

/* ---- sources ---- */

static void post_plain(struct stream *s, enum command_type type)
{
	struct command *c = stream_command(s, type, 0);

	if (c)
		stream_post(c);
}

void stream_bridge(struct stream *a, struct stream *b)
{
	struct command *c;

	if (a == b || b->is_closing)
		return;
	c = stream_command(a, CMD_BRIDGE, 0);
	if (!c)
		return;
	wish_clear(a, PLAY_STOPPED);
	wish_clear(b, PLAY_STOPPED);
	c->other = b;
	c->session2 = b->session;
	stream_post(c);
}

void stream_unbridge(struct stream *s) { post_plain(s, CMD_UNBRIDGE); }

void stream_echo(struct stream *s)
{
	wish_clear(s, PLAY_STOPPED);
	post_plain(s, CMD_ECHO);
}

void stream_silence(struct stream *s)
{
	wish_clear(s, PLAY_STOPPED);
	post_plain(s, CMD_SILENCE);
}

void stream_tones(struct stream *s, const struct tone *cadence, unsigned n)
{
	struct command *c = stream_command(s, CMD_TONES, sizeof(*c->tones));

	wish_clear(s, PLAY_STOPPED);
	if (!c)
		return;
	capture_said(s);
	c->tones = command_room(c);
	c->tones->n = n < TONEGEN_CADENCE_MAX ? n : TONEGEN_CADENCE_MAX;
	memcpy(c->tones->cadence, cadence, c->tones->n * sizeof(*cadence));
	stream_post(c);
}

void stream_listen(struct stream *s, unsigned what)
{
	struct command *c = stream_command(s, CMD_LISTEN, 0);

	if (!c)
		return;
	c->listen = what;
	stream_post(c);
}

void stream_beep(struct stream *s, int every_s)
{
	struct command *c = stream_command(s, CMD_BEEP, 0);

	if (!c)
		return;
	c->beep_ms = every_s < 0 ? UINT32_MAX : (uint32_t)every_s * 1000;
	stream_post(c);
}

void stream_send_digit(struct stream *s, char digit, uint32_t duration_ms)
{
	struct command *c = stream_command(s, CMD_DIGIT, 0);

	if (!c)
		return;
	c->digit.digit = digit;
	c->digit.ms = duration_ms;
	stream_post(c);
}
