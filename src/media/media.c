/* media.c - starting and stopping the media workers, and the events they send up.
 */
#define LOG_MODULE "media"
#include "media/stream_int.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "media/reel.h"

#define WORKERS_MAX 64
#define STREAMS_TOGETHER 2048

static void media_end(struct media *m);

/* ---- events ---- */

void media_events(struct media *m, struct event *first, struct event *last)
{
	if (mqueue_push(&m->events, &first->m, &last->m))
		uv_async_send(&m->wake);
}

/* May call the stream's owner, who may do anything but free the stream: that is EV_CLOSED's. */
static void event_deliver(struct event *e)
{
	struct stream *s = e->s;
	const struct stream_handler *h;

	if (e->mix) {
		mix_event(e);
		return;
	}
	if (e->type == EV_CAPTURE_END) {
		capture_ended(e->capture);
		return;
	}
	if (e->type == EV_DUMP) {
		dump_chunk_come(e->chunk); /* which frees it, the event with it */
		return;
	}
	if (e->type == EV_DUMP_END) {
		dump_ended(e->dump);
		return;
	}
	h = &s->handler;
	switch (e->type) {
	case EV_DIGIT:
		wish_digit(s, e->digit.digit); /* before the owner begins the next play; what it reports comes after */
		if (h->on_digit)
			h->on_digit(s, e->digit.digit, e->digit.duration_ms, s->arg);
		break;
	case EV_PLAY_END:
		wish_ended(s, e->play.id);
		if (h->on_play_end)
			h->on_play_end(s, e->play.id, e->play.end, s->arg);
		break;
	case EV_RECORD_END:
		if (h->on_record_end)
			h->on_record_end(s, e->record.id, &e->record.result, s->arg);
		stream_record_ended(s);
		break;
	case EV_LATCHED:
		if (h->on_latched)
			h->on_latched(s, &e->latched.peer.sa, e->latched.reason, s->arg);
		break;
	case EV_UNWANTED:
		if (h->on_unwanted)
			h->on_unwanted(s, s->arg);
		break;
	case EV_TIMEOUT:
		if (h->on_timeout)
			h->on_timeout(s, s->arg);
		break;
	case EV_HEARD:
		if (h->on_heard)
			h->on_heard(s, e->heard.what, e->heard.lasted_ms, s->arg);
		break;
	case EV_TALKING:
		if (h->on_talking)
			h->on_talking(s, e->is_talking, s->arg);
		break;
	case EV_MIX_PLAY_END:
	case EV_MIX_CLOSED:
	case EV_CAPTURE_END:
	case EV_DUMP:
	case EV_DUMP_END: break;
	case EV_STATS:
		if (h->on_stats)
			h->on_stats(s, e->stats, s->arg);
		break;
	case EV_SECURED:
		if (h->on_secured)
			h->on_secured(s, e->secured, s->arg);
		break;
	case EV_INSECURE:
		if (h->on_insecure)
			h->on_insecure(s, e->insecure.why, e->insecure.is_over, s->arg);
		break;
	case EV_RELEASED: stream_moved(s); break;
	case EV_CLOSED: stream_closed(s); break;
	}
}

static void on_wake(uv_async_t *wake)
{
	struct media *m = wake->data;
	struct msg *i, *next;

	for (i = mqueue_take(&m->events); i; i = next) {
		struct event *e = container_of(i, struct event, m);
		bool is_embedded = e->is_embedded;

		next = i->next;
		event_deliver(e);
		if (!is_embedded)
			free(e);
	}
	media_check_end(m);
}

/* ---- commands ---- */

/* Waking a worker costs more than most commands. So all commands of a turn of the loop go together, and when the last ones went a
 * moment ago, those of several turns: a command may be as late as a tick of the worker, which nobody hears. */

static void flush(struct media *m)
{
	m->flushed_ms = uv_now(m->loop);
	for (unsigned i = 0; i < m->nworkers; i++)
		worker_flush(&m->workers[i]);
}

static void on_flush(uv_prepare_t *prepare)
{
	uv_prepare_stop(prepare);
	flush(prepare->data);
}

static void on_flush_later(uv_timer_t *timer)
{
	flush(timer->data);
}

void media_posted(struct media *m)
{
	uint64_t now_ms = uv_now(m->loop), due_ms = m->flushed_ms + TICK_US / 1000;

	if (uv_is_active((uv_handle_t *)&m->flush) || uv_is_active((uv_handle_t *)&m->flush_later))
		return;
	if (now_ms >= due_ms)
		uv_prepare_start(&m->flush, on_flush);
	else
		uv_timer_start(&m->flush_later, on_flush_later, due_ms - now_ms, 0);
}

/* ---- life ---- */

static void workers_stop(struct media *m)
{
	struct command stop[WORKERS_MAX];

	for (unsigned i = 0; i < m->nworkers; i++) {
		stop[i] = (struct command){ .type = CMD_STOP, .is_embedded = true };
		worker_post(&m->workers[i], &stop[i]);
		worker_flush(&m->workers[i]);
	}
	for (unsigned i = 0; i < m->nworkers; i++)
		worker_join(&m->workers[i]);
	m->nworkers = 0;
}

int media_new(struct media **out, const struct media_params *p)
{
	unsigned nworkers = p->nworkers ? p->nworkers : uv_available_parallelism();
	struct media *m = calloc(1, sizeof(*m));
	int err = -ENOMEM;

	if (!m)
		return -ENOMEM;
	if (nworkers > WORKERS_MAX)
		nworkers = WORKERS_MAX;
	m->loop = p->loop;
	m->log = p->log;
	m->clock = p->clock;
	m->streams_together = p->streams_together ? p->streams_together : STREAMS_TOGETHER;
	m->deferred_tail = &m->deferred;
	mqueue_init(&m->events);
	m->workers = calloc(nworkers, sizeof(*m->workers));
	if (!m->workers)
		goto fail;
	err = dtls_identity_new(&m->identity);
	if (err < 0)
		goto fail;
	err = ports_new(&m->ports, p->loop, nworkers, p->port_min, p->port_max);
	if (err < 0)
		goto fail;
	err = sounds_new(&m->sounds, p->loop, p->log, p->sound_cache_bytes);
	if (err < 0)
		goto fail_ports;
	err = uv_async_init(p->loop, &m->wake, on_wake);
	if (err < 0)
		goto fail_sounds;
	m->wake.data = m;
	uv_prepare_init(p->loop, &m->flush);
	m->flush.data = m;
	uv_timer_init(p->loop, &m->flush_later);
	m->flush_later.data = m;
	m->handles = 3;
	for (; m->nworkers < nworkers; m->nworkers++) {
		m->workers[m->nworkers].index = m->nworkers;
		err = worker_start(&m->workers[m->nworkers], m, p);
		if (err < 0)
			goto fail_async;
	}
	*out = m;
	return 0;

	/* The handles close asynchronously: from here on it is an ordinary close that nobody waits for. */
fail_async:
	log_error(m->log, "cannot start a media worker: %s", uv_strerror(err));
	media_close(m, NULL, NULL);
	return err;
fail_sounds:
	sounds_close(m->sounds, NULL, NULL);
fail_ports:
	ports_close(m->ports, NULL, NULL);
fail:
	dtls_identity_free(m->identity);
	free(m->workers);
	mqueue_fini(&m->events);
	free(m);
	return err;
}

void media_turn(struct media *m)
{
	for (unsigned i = 0; i < m->nworkers; i++) {
		worker_flush(&m->workers[i]);
		worker_turn(&m->workers[i]);
	}
	if (m->reels)
		reels_turn(m->reels);
}

static void on_sounds_closed(void *arg)
{
	struct media *m = arg;
	void (*done)(void *) = m->done;
	void *done_arg = m->arg;
	struct music *music, *next;

	LL_FOREACH_SAFE(m->music, music, next)
		free(music);
	dtls_identity_free(m->identity);
	free(m->workers);
	mqueue_fini(&m->events);
	free(m);
	if (done)
		done(done_arg);
}

static void on_ports_closed(void *arg)
{
	struct media *m = arg;

	sounds_close(m->sounds, on_sounds_closed, m);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct media *m = h->data;

	if (--m->handles == 0)
		ports_close(m->ports, on_ports_closed, m);
}

static void media_end(struct media *m)
{
	if (m->is_ending)
		return;
	m->is_ending = true;
	workers_stop(m);
	if (m->recorders)
		recorders_close(m->recorders);
	if (m->reels)
		reels_close(m->reels);
	uv_close((uv_handle_t *)&m->wake, on_handle_closed);
	uv_close((uv_handle_t *)&m->flush, on_handle_closed);
	uv_close((uv_handle_t *)&m->flush_later, on_handle_closed);
}

/* No stream and no mix is left: nothing can come up any more. */
void media_check_end(struct media *m)
{
	if (m->is_closing && m->nstreams == 0 && !m->mixes && !m->captures && !m->dumps)
		media_end(m);
}

void media_close(struct media *m, void (*done)(void *arg), void *arg)
{
	struct stream *s, *next;

	if (m->is_closing)
		return;
	m->is_closing = true;
	m->done = done;
	m->arg = arg;
	DL_FOREACH_SAFE(m->streams, s, next) {
		if (s->is_closing)
			continue; /* its owner waits for on_closed */
		s->handler = (struct stream_handler){ 0 };
		stream_close(s);
	}
	for (struct mix *mix = m->mixes, *after; mix; mix = after) {
		after = mix->next;
		mix_close(mix);
	}
	captures_stop(m);
	dumps_stop(m);
	media_check_end(m);
}

const char *media_fingerprint(const struct media *m)
{
	return dtls_identity_fingerprint(m->identity);
}

void media_counters(struct media *m, struct media_counters *out)
{
	struct sounds_count sounds;

	sounds_count(m->sounds, &sounds);
	*out = (struct media_counters){ .streams = m->nstreams, .sounds = sounds.sounds, .sound_bytes = sounds.bytes,
					.sounds_made = sounds.made };
	for (unsigned i = 0; i < m->nworkers; i++) {
		struct worker_counters *c = &m->workers[i].count;

		out->packets_received += atomic_load_explicit(&c->received, memory_order_relaxed);
		out->packets_sent += atomic_load_explicit(&c->sent, memory_order_relaxed);
		out->payloads_mixed += atomic_load_explicit(&c->mixed, memory_order_relaxed);
		out->dropped_source += atomic_load_explicit(&c->dropped_source, memory_order_relaxed);
		out->dropped_malformed += atomic_load_explicit(&c->dropped_malformed, memory_order_relaxed);
		out->dropped_insecure += atomic_load_explicit(&c->dropped_insecure, memory_order_relaxed);
		out->icmp_errors += atomic_load_explicit(&c->icmp_errors, memory_order_relaxed);
		out->handshakes += atomic_load_explicit(&c->handshakes, memory_order_relaxed);
		out->handshakes_failed += atomic_load_explicit(&c->handshakes_failed, memory_order_relaxed);
	}
	ports_count(m->ports, &out->sockets_open, &out->sockets_pooled);
}
