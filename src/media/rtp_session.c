/* rtp_session.c - the worker's side of a stream: opening, configuring, the peer's address, handover, the end.
 *
 * What comes in is relay.c's, what goes out source.c's, reports are report.c's; here is what holds them together.
 */
#define LOG_MODULE "media"
#include "media/dtls_session.h"
#include "media/mixing.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <utlist.h>

#include "media/hearing.h"

static void watch_start(struct rtp_session *s);
static void on_watch(void *arg);
static void on_digit_lost(void *arg);

#define LINE_END(member) (offsetof(struct rtp_session, member) + sizeof(((struct rtp_session *)0)->member))

#define LOOK_MS 40             /* two packets of most: who sends all the time is seen in it, sooner or later */
#define STRANGER_MS 10000      /* and then counted, until he has been silent for so long */

_Static_assert(sizeof(struct rtp_session) <= 1024, "a call has two");
_Static_assert(LINE_END(secure) <= CACHE_LINE, "line 0");
_Static_assert(LINE_END(rx) <= 2 * CACHE_LINE, "line 1");
_Static_assert(offsetof(struct rtp_session, config.remote) <= 3 * CACHE_LINE, "line 2");
_Static_assert(offsetof(struct rtp_session, tx) == 4 * CACHE_LINE && LINE_END(digits) <= 5 * CACHE_LINE, "line 4");

struct rtp_session *rtp_session_new(struct stream *handle, struct port_pair *pair)
{
	struct rtp_session *s = aligned_alloc(CACHE_LINE, sizeof(*s));

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->handle = handle;
	s->pair = pair;
	s->rtp_fd = pair ? pair->rtp.fd : -1;
	s->rtcp_fd = pair ? pair->rtcp.fd : -1;
	s->config.dtmf_send_pt = s->config.dtmf_recv_pt = -1;
	s->config.dtmf_clock_hz = 8000;
	return s;
}

void rtp_session_free(struct rtp_session *s)
{
	secure_free(s->secure);
	agent_free(s->agent);
	secure_free(s->rtcp_secure);
	dtls_session_free(s->dtls);
	bundle_free(s);
	free(s);
}

/* An event is lost only without memory; the ones that must not be are embedded. */
void rtp_session_event(struct rtp_session *s, enum event_type type, struct event *fill)
{
	struct event *e = malloc(sizeof(*e));

	if (!e) {
		log_error(s->worker->log, "no memory, event %d is lost", (int)type);
		return;
	}
	*e = *fill;
	e->type = type;
	e->is_embedded = false;
	e->s = s->handle;
	worker_emit(s->worker, e);
}

/* ---- the peer's address ---- */

/* Without a route connect() fails; then sources go on being checked here. */
static void rtp_session_connect(struct rtp_session *s)
{
	s->is_listening = s->is_looking = false;
	s->is_connected = connect(s->rtp_fd, &s->latch.source.sa, addr_len(&s->latch.source)) == 0;
	s->is_sifting = s->is_connected;
	if (s->secure)
		watch_start(s);
}

void rtp_session_lock(struct rtp_session *s)
{
	/* What was to be expected, and is so in nearly all calls, is only noted. */
	if (latch_is_learnt(&s->latch) || s->latch.locks > 1) {
		struct event e = { .latched = { .peer = s->latch.source, .reason = s->latch.reason } };

		rtp_session_event(s, EV_LATCHED, &e);
	}
	s->locked_wall_ms = worker_wall_ms(s->worker);
	rtp_session_connect(s);
}

/* The kernel no longer keeps others out: their packets can be looked at. */
static void rtp_session_disconnect(struct rtp_session *s)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (s->is_connected)
		connect(s->rtp_fd, &none, sizeof(none));
	s->is_connected = s->is_sifting = false;
}

void rtp_session_unlock(struct rtp_session *s)
{
	rtp_session_disconnect(s);
	s->is_listening = s->is_looking = false;
	memset(&s->rtcp_source, 0, sizeof(s->rtcp_source));
}

static uint32_t now_ms(const struct rtp_session *s)
{
	return (uint32_t)worker_now_ms(s->worker);
}

static bool has_stranger(const struct rtp_session *s)
{
	return s->stranger_ms && now_ms(s) - s->stranger_ms < STRANGER_MS;
}

void rtp_session_look_out(struct rtp_session *s)
{
	if (s->agent || !s->latch.locked || s->is_listening)
		return;
	if (s->is_connected) {
		rtp_session_disconnect(s);
		s->is_looking = true;
		s->looked_ms = (uint16_t)now_ms(s);
	} else if (s->is_looking && !has_stranger(s)) {
		rtp_session_connect(s); /* nothing comes from the peer that would have ended it */
	}
}

static bool is_silent(const struct rtp_session *s)
{
	return (s->worker->now_us - s->last_rx_us) / 1000 >= LATCH_SILENCE_MS;
}

/* Its source is locked but silent, and what comes from elsewhere has the peer's keys: it has moved, or its NAT has. */
static bool has_moved(const struct rtp_session *s, const struct addr *from)
{
	return s->secure && s->latch.locked && !addr_eq(from, &s->latch.source) && is_silent(s);
}

bool rtp_session_is_from_peer(struct rtp_session *s, const struct addr *from, const struct rtp_packet *h)
{
	uint32_t rejected = s->latch.rejected;
	enum latch_verdict verdict;

	if (s->agent)
		return agent_accepts(s, from);
	if (has_moved(s, from)) {
		latch_move(&s->latch, from);
		rtp_session_unlock(s);
		verdict = LATCH_LOCK;
	} else {
		verdict = latch_packet(&s->latch, from, h->ssrc, h->seq, worker_now_ms(s->worker));
	}
	if (rejected != s->latch.rejected)
		s->stranger_ms = now_ms(s) ? now_ms(s) : UINT32_MAX; /* a millisecond sooner: 0 is never */
	for (; rejected < s->latch.rejected; rejected++)
		count_one(&s->worker->count.dropped_source);
	if (verdict == LATCH_LOCK)
		rtp_session_lock(s);
	else if (verdict == LATCH_ACCEPT && s->is_listening)
		rtp_session_connect(s); /* it was silent, and is there again */
	else if (verdict == LATCH_ACCEPT && s->is_looking && (uint16_t)(now_ms(s) - s->looked_ms) >= LOOK_MS && !has_stranger(s))
		rtp_session_connect(s);
	return verdict == LATCH_ACCEPT || verdict == LATCH_LOCK;
}

void rtp_session_insecure(struct rtp_session *s)
{
	s->dropped_insecure++;
	count_one(&s->worker->count.dropped_insecure);
}

/* The peer's machine is there but nobody listens (it is restarting, or changes its port), or the way to it is cut. That may pass. */
void rtp_session_icmp(struct rtp_session *s)
{
	s->icmp_errors++;
	count_one(&s->worker->count.icmp_errors);
}

void rtp_session_prove(struct rtp_session *s, const struct addr *peer)
{
	if (s->agent || (s->latch.locked && addr_eq(&s->latch.source, peer)))
		return;
	rtp_session_unlock(s);
	latch_prove(&s->latch, peer);
	rtp_session_lock(s);
}

bool rtp_session_may_send(const struct rtp_session *s)
{
	const struct rtp_session *way = rtp_session_way(s);

	return (s->config.dir & STREAM_SEND) && way && (way->is_connected || latch_target(&way->latch) != NULL);
}

void rtp_session_send(struct rtp_session *s, uint8_t *packet, size_t len, size_t payload_len)
{
	struct rtp_session *way = rtp_session_way(s);
	const struct addr *to = !way || way->is_connected ? NULL : latch_target(&way->latch);
	ssize_t n = -1;

	if (!way || (!way->is_connected && !to))
		return;
	if (s->is_dumped)
		dump_packet(s, &(struct dump_mark){ .peer = to ? to : &way->latch.source, .is_sent = true }, packet, len);
	if (way->secure) {
		memcpy(s->worker->sealed, packet, len);
		packet = s->worker->sealed;
		len = secure_seal(way->secure, packet, len);
		if (len == 0)
			return;
	}
	/* A pending ICMP error is handed to the next send, which then sends nothing: try once more. */
	for (int i = 0; i < 2; i++) {
		n = way->is_connected ? send(way->rtp_fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL)
				      : sendto(way->rtp_fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL, &to->sa, addr_len(to));
		if (n >= 0 || errno == EAGAIN)
			break;
		rtp_session_icmp(s);
	}
	if (n < 0)
		return; /* as if lost on the way */
	s->packets_sent++;
	s->bytes_sent += payload_len;
	s->sent_since_report = true;
	count_one(&s->worker->count.sent);
}

/* ---- time ---- */

/* Who only listens sends no sound, but reports. */
static uint64_t alive_us(const struct rtp_session *s)
{
	uint64_t us = s->last_rx_us > s->last_rtcp_us ? s->last_rx_us : s->last_rtcp_us;

	return us > s->watched_us ? us : s->watched_us;
}

static uint64_t left_ms(const struct rtp_session *s, uint64_t since_us, uint32_t ms)
{
	uint64_t idle_ms = (s->worker->now_us - since_us) / 1000;

	return idle_ms < ms ? ms - idle_ms : 0;
}

/* Its packets are known wherever they come from. */
static bool may_move(const struct rtp_session *s)
{
	return s->secure && s->is_connected && !s->agent;
}

static void watch_start(struct rtp_session *s)
{
	uint64_t wait_ms = UINT64_MAX;

	timer_stop(s->worker->timers, &s->watch_timer);
	if (s->config.timeout_ms && !s->has_timed_out)
		wait_ms = left_ms(s, alive_us(s), s->config.timeout_ms);
	if (may_move(s) && left_ms(s, s->last_rx_us, LATCH_SILENCE_MS) < wait_ms)
		wait_ms = left_ms(s, s->last_rx_us, LATCH_SILENCE_MS);
	if (wait_ms != UINT64_MAX)
		timer_start(s->worker->timers, &s->watch_timer, wait_ms);
}

/* Packets only note their time; whether they stopped is looked at once a period. */
static void on_watch(void *arg)
{
	struct rtp_session *s = arg;
	struct event e = { 0 };

	if (s->config.timeout_ms && !s->has_timed_out && left_ms(s, alive_us(s), s->config.timeout_ms) == 0) {
		s->has_timed_out = true;
		rtp_session_event(s, EV_TIMEOUT, &e);
	}
	if (may_move(s) && is_silent(s)) {
		rtp_session_disconnect(s);
		s->is_listening = true;
	}
	watch_start(s);
}

static void on_digit_lost(void *arg)
{
	struct rtp_session *s = arg;
	struct dtmf_digit d;

	if (dtmf_in_expire(&s->digit_in, s->config.dtmf_clock_hz, s->worker->now_us, &d))
		rtp_session_digit(s, &d, false);
	else if (s->digit_in.open)
		timer_start(s->worker->timers, &s->digit_timer, DTMF_LOST_END_MS);
}

void rtp_session_update_tick(struct rtp_session *s)
{
	struct worker *w = s->worker;
	bool needed = source_needs_tick(s);

	if (needed == s->is_ticking)
		return;
	s->is_ticking = needed;
	if (needed) {
		if (!worker_ticks(w))
			w->tick_us = (w->now_us / TICK_US + 1) * TICK_US;
		DL_APPEND2(w->ticking, s, tick_prev, tick_next);
		return;
	}
	if (w->tick_next == s)
		w->tick_next = s->tick_next;
	DL_DELETE2(w->ticking, s, tick_prev, tick_next);
}

void rtp_session_tick(struct rtp_session *s)
{
	source_tick(s);
	rtp_session_update_tick(s);
}

/* ---- what the peer presses ---- */

void rtp_session_digit(struct rtp_session *s, const struct dtmf_digit *d, bool is_sound)
{
	struct event e = { .digit = *d };

	rtp_session_event(s, EV_DIGIT, &e);
	/* The partner's peer gets events from relay.c already if these were events, and hears tones already if these were tones. */
	if (s->to && s->to != s && !s->to->config.digits_elsewhere && is_sound == (s->to->config.dtmf_send_pt >= 0))
		digits_add(s->to, d->digit, d->duration_ms);
	player_digit(s, d->digit);
	recording_digit(s, d->digit);
}

void rtp_session_heard(struct rtp_session *s, enum stream_heard what, uint32_t lasted_ms)
{
	struct event e = { .heard = { what, lasted_ms } };

	rtp_session_event(s, EV_HEARD, &e);
}

/* ---- life ---- */

static int watch(struct worker *w, struct endpoint *e)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = e };

	if (!e->is_watched && epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, e->fd, &ev) < 0)
		return -errno;
	e->is_watched = true;
	return 0;
}

static void unwatch(const struct worker *w, struct endpoint *e)
{
	if (e->is_watched)
		epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, e->fd, NULL);
	e->is_watched = false;
}

/* What comes to a port at rest wakes nobody twice. */
static void rest(const struct worker *w, struct endpoint *e)
{
	endpoint_drain(e);
	unwatch(w, e);
}

/* The pair serves s, which w runs. */
static int watch_pair(struct worker *w, struct rtp_session *s)
{
	struct port_pair *pair = s->pair;
	int err;

	pair->worker = w;
	pair->rtp.s = pair->rtcp.s = s;
	err = watch(w, &pair->rtp);
	return err < 0 ? err : watch(w, &pair->rtcp);
}

void rtp_session_attach(struct worker *w, struct rtp_session *s)
{
	int err;

	s->worker = w;
	timer_init(&s->watch_timer, on_watch, s);
	timer_init(&s->digit_timer, on_digit_lost, s);
	err = s->pair ? watch_pair(w, s) : 0;
	if (err < 0)
		log_error(w->log, "epoll: %s, a stream stays deaf", uv_strerror(err));
	watch_start(s);
	if (s->digit_in.open)
		timer_start(w->timers, &s->digit_timer, DTMF_LOST_END_MS);
	agent_start(s);
	digits_attach(s);
	report_start(s);
	quality_start(s);
	dtls_session_attach(s);
	rtp_session_update_tick(s);
	if (s->has_riders)
		bundle_attach(w, s);
}

void rtp_session_detach(struct rtp_session *s)
{
	struct worker *w = s->worker;

	if (s->has_riders)
		bundle_detach(s);
	source_unbridge(s);
	mixing_leave(s);
	dtls_session_detach(s);
	if (s->is_ticking) {
		if (w->tick_next == s)
			w->tick_next = s->tick_next;
		DL_DELETE2(w->ticking, s, tick_prev, tick_next);
		s->is_ticking = false;
	}
	timer_stop(w->timers, &s->watch_timer);
	timer_stop(w->timers, &s->digit_timer);
	timer_stop(w->timers, &s->rtcp_timer);
	agent_stop(s);
	digits_detach(s);
	quality_stop(s);
	if (s->pair)
		s->pair->rtp.s = s->pair->rtcp.s = NULL;
}

static void rtp_session_open(struct worker *w, struct rtp_session *s)
{
	rtp_tx_init(&s->tx, rng_u32(&w->rng), (uint16_t)rng_u32(&w->rng), rng_u32(&w->rng), w->now_us, 8000);
	rng_token(&w->rng, s->cname, sizeof(s->cname) - 1);
	s->last_rx_us = w->now_us;
	if (s->is_rider)
		bundle_join(s);
	rtp_session_attach(w, s);
}

static void rtp_session_secure(struct rtp_session *s, const struct command_configure *cmd)
{
	if (s->dtls && !cmd->is_dtls)
		dtls_session_end(s);
	if (cmd->is_dtls) {
		dtls_session_configure(s, cmd->dtls);
	} else if (!cmd->is_secure) {
		secure_free(s->secure);
		s->secure = NULL;
	} else if (cmd->secure) {
		secure_renew(&s->secure, cmd->secure);
	}
}

static void rtp_session_configure(struct rtp_session *s, const struct command_configure *cmd)
{
	const struct rtp_session_config *c = &cmd->config;
	struct worker *w = s->worker;
	const struct codec *codec = codec_get(c->codec);
	enum latch_news news;

	if (c->timeout_ms != s->config.timeout_ms) {
		s->has_timed_out = false;
		s->watched_us = w->now_us;
	}
	s->config = *c;
	if (!c->is_udptl)
		t38_free(s);
	s->opus = cmd->opus;
	if (s->is_rider)
		bundle_configure(s, cmd->riding_pts);
	news = c->relearn ? LATCH_CHANGED : is_silent(s) ? LATCH_SILENT : LATCH_SAME;
	if (!s->agent && latch_signal(&s->latch, &c->remote, news, worker_now_ms(w)))
		rtp_session_unlock(s);
	rtp_session_secure(s, cmd);
	if (codec && codec->clock_hz)
		rtp_tx_clock(&s->tx, w->now_us, codec->clock_hz);
	mouth_tune(s);
	mixing_configured(s);
	watch_start(s);
	ear_update(s);
	if (s->from)
		ear_update(s->from);
}

/* Back to the loop: alive for a handover, or for good. The event carries the ownership. */
static void rtp_session_leave(struct rtp_session *s, enum event_type type)
{
	struct worker *w = s->worker;

	rtp_session_detach(s);
	s->up = (struct event){ .type = type, .is_embedded = true, .s = s->handle }; /* in the place of its timers */
	worker_emit(w, &s->up);
}

static void rtp_session_release(struct rtp_session *s)
{
	unwatch(s->worker, &s->pair->rtp);
	unwatch(s->worker, &s->pair->rtcp);
	rtp_session_leave(s, EV_RELEASED);
}

/* What lies in the socket was said before. */
static void end_recording(struct rtp_session *s, enum record_end end)
{
	if (s->recording)
		relay_drain(s);
	recording_stop(s, end);
}

static void change_tap(struct rtp_session *s, struct tap *tap)
{
	if (s->recording)
		relay_drain(s);
	recording_tap(s, tap);
}

static void change_dump(struct rtp_session *s, struct dump *d)
{
	if (s->is_dumped)
		relay_drain(s);
	dump_take(s, d);
}

static void rtp_session_close(struct rtp_session *s)
{
	report_bye(s);
	end_recording(s, RECORD_CLOSED);
	recording_tap(s, NULL);
	change_dump(s, NULL);
	quality_end(s);
	source_none(s);
	source_unbridge(s);
	t38_free(s);
	hearing_free(s->hearing);
	s->hearing = NULL;
	ear_free(s);
	mouth_free(s);
	digits_free(s);
	bundle_leave(s);
	rtp_session_leave(s, EV_CLOSED);
}

void rtp_session_command(struct worker *w, struct command *c)
{
	struct rtp_session *s = c->session;

	switch (c->type) {
	case CMD_OPEN: rtp_session_open(w, s); break;
	case CMD_CONFIGURE: rtp_session_configure(s, c->configure); break;
	case CMD_ICE: agent_take(s, c->agent); break;
	case CMD_BRIDGE: source_bridge(s, c->session2); break;
	case CMD_UNBRIDGE: source_unbridge(s); break;
	case CMD_ECHO: source_echo(s); break;
	case CMD_SILENCE: source_none(s); break;
	case CMD_PLAY: player_start(s, c); break;
	case CMD_PLAY_LIST: player_change_list(s, c); break;
	case CMD_PLAY_STOP: player_stop(s, PLAY_STOPPED); break;
	case CMD_PLAY_PAUSE: player_pause(s, true); break;
	case CMD_PLAY_RESUME: player_pause(s, false); break;
	case CMD_PLAY_SEEK: player_seek(s, c->seek_ms); break;
	case CMD_MUSIC: player_music(s, c); break;
	case CMD_TONES: source_tones(s, c->tones->cadence, c->tones->n); break;
	case CMD_RECORD: recording_start(s, c); break;
	case CMD_RECORD_STOP: end_recording(s, RECORD_STOPPED); break;
	case CMD_MIX: mixing_join(s, c); break;
	case CMD_MIX_PLAY:
	case CMD_MIX_PLAY_STOP:
	case CMD_MIX_TONES:
	case CMD_MIX_TAP:
	case CMD_MIX_CLOSE: mixing_command(w, c); break;
	case CMD_TAP: change_tap(s, c->tap); break;
	case CMD_TAP_SAID: recording_tap_said(s, c->tap); break;
	case CMD_DUMP: change_dump(s, c->dump); break;
	case CMD_BEEP: digits_beep(s, c->beep_ms); break;
	case CMD_LISTEN: ear_listen(s, c->listen); break;
	case CMD_DIGIT: digits_add(s, c->digit.digit, c->digit.ms); break;
	case CMD_RELEASE: rtp_session_release(s); break;
	case CMD_ADOPT: rtp_session_attach(w, s); break;
	case CMD_CLOSE: rtp_session_close(s); break;
	case CMD_FORGET: port_pair_free(c->pair); break;
	case CMD_STOP: break;
	}
}

void rtp_session_readable(struct worker *w, struct endpoint *e)
{
	if (!e->s)
		rest(w, e);
	else if (e->is_rtcp)
		report_readable(e->s);
	else
		relay_readable(e->s);
}
