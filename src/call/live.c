/* live.c - the calls in progress and their legs, for the views pbx.call and pbx.leg; and what legs' media are like as part of a call's record.
 *
 * What changes is only marked: a call once, its legs each. LIVE_BATCH_MS after the first mark all that is marked is written by one
 * statement, as it is then; so what changed three times is written once, and a call that has come and gone in less than LIVE_YOUNG_MS
 * is never written at all. One statement at a time: what is marked meanwhile waits for its answer.
 *
 *   marked -> written, is_live -> ended: its name goes to those that are taken away
 *
 * A statement that fails, or a database that is away, leaves it unknown which rows there are: then the next one that can be sent takes
 * all rows of this server away, and all that is live is written anew.
 *
 * Nothing is written before the rows that a former process left have been set aside. Of those some may have ended with a record that is
 * still in the outbox; so an entry is put behind all that the outbox has, upon which those that have no record then count as lost.
 */
#define LOG_MODULE "live"
#include "base/log.h"
#include <utlist.h>

#include "base/member.h"
#include "call/decision.h"

#define LIVE_BATCH_MS 120
#define LIVE_YOUNG_MS 80
#define LIVE_AGAIN_MS 1000    /* after a failure */
#define LIVE_LEGS_MAX 2000    /* a statement; the rest is for the next */
#define LIVE_ROW_MAX 2048     /* bytes, more or less: a bound for the memory of the text */

static const char live_sql[] = "SELECT pbx.live_write($1, $2, $3::jsonb, $4::jsonb, $5::bigint[], $6::uuid[])";
static const char forget_sql[] = "SELECT now(), pbx.live_forget($1)";

static void member_address(struct out *o, struct str key, const struct addr *a)
{
	union sockaddr_any addr = { 0 };
	char text[SOCKADDR_TEXT_MAX];

	memcpy(&addr, a, sizeof(*a));
	if (addr.sa.sa_family == AF_INET || addr.sa.sa_family == AF_INET6)
		member_str(o, key, sockaddr_print(&addr, text));
}

void live_write_media(struct out *o, const struct stream_stats *s)
{
	member_int(o, KEY("packets_sent"), (int64_t)s->packets_sent);
	member_int(o, KEY("packets_received"), (int64_t)s->packets_received);
	member_int(o, KEY("bytes_sent"), (int64_t)s->bytes_sent);
	member_int(o, KEY("bytes_received"), (int64_t)s->bytes_received);
	member_int(o, KEY("lost"), s->lost);
	member_int(o, KEY("remote_lost"), s->remote_lost);
	member_int(o, KEY("jitter_us"), s->jitter_us);
	member_int(o, KEY("remote_jitter_us"), s->remote_jitter_us);
	member_int(o, KEY("rtt_us"), s->rtt_us);
	member_int(o, KEY("heard_ms"), s->heard_ms);
	member_int(o, KEY("concealed_ms"), s->concealed_ms);
	member_int(o, KEY("recovered_ms"), s->recovered_ms);
	member_hundredths(o, KEY("mos_min"), s->mos_min);
	member_hundredths(o, KEY("remote_mos_min"), s->remote_mos_min);
	member_address(o, KEY("signalled_address"), &s->signalled);
	member_address(o, KEY("media_address"), &s->remote);
	if (s->reason)
		member_str(o, KEY("media_reason"), latch_reason_name(s->reason));
	member_time(o, KEY("media_since_ms"), s->since_ms);
	member_int(o, KEY("media_changes"), s->changes);
	member_int(o, KEY("dropped_source"), s->dropped_source);
	member_int(o, KEY("dropped_insecure"), s->dropped_insecure);
	member_int(o, KEY("icmp_errors"), s->icmp_errors);
}

/* ---- what is marked ---- */

static void start_timer(struct calls *cs, uint32_t ms)
{
	struct live *v = &cs->live_view;

	if (!v->is_sent && !timer_is_running(&v->timer))
		timer_start(cs->p.timers, &v->timer, ms);
}

static void mark(struct call *call)
{
	struct live *v = &call->calls->live_view;

	if (!call->is_marked)
		DL_APPEND2(v->marked, call, live_prev, live_next);
	call->is_marked = true;
	start_timer(call->calls, LIVE_BATCH_MS);
}

static void unmark(struct call *call)
{
	if (call->is_marked)
		DL_DELETE2(call->calls->live_view.marked, call, live_prev, live_next);
	call->is_marked = false;
}

void live_call(struct call *call)
{
	if (!call->calls->p.db)
		return;
	call->has_changed = true;
	mark(call);
}

void live_leg(struct leg *leg)
{
	if (!leg->call->calls->p.db || leg->state == LEG_ENDED)
		return;
	leg->has_changed = true;
	mark(leg->call);
}

/* Begins or goes on with the text of an array. */
static struct out *gone_begin(struct calls *cs, struct out *o)
{
	if (!o->len) {
		out_init_grow(o, (size_t)LIVE_LEGS_MAX * LIVE_ROW_MAX);
		out_chr(o, '{');
	}
	start_timer(cs, LIVE_BATCH_MS);
	return o;
}

void live_leg_gone(struct leg *leg)
{
	struct calls *cs = leg->call->calls;
	bool had_row = leg->is_live;

	leg->has_changed = leg->is_live = false;
	if (!had_row || cs->live_view.is_unsure)
		return;
	gone_begin(cs, &cs->live_view.gone_legs);
	out_u64(&cs->live_view.gone_legs, leg->line_id);
	out_chr(&cs->live_view.gone_legs, ',');
}

void live_call_gone(struct call *call)
{
	struct calls *cs = call->calls;

	unmark(call);
	if (!call->is_live || cs->live_view.is_unsure)
		return;
	gone_begin(cs, &cs->live_view.gone_calls);
	out_z(&cs->live_view.gone_calls, call->id);
	out_chr(&cs->live_view.gone_calls, ',');
}

/* ---- rows ---- */

static void row_begin(struct out *o)
{
	if (!o->len)
		out_chr(o, '[');
	out_chr(o, '{');
}

static void row_end(struct out *o)
{
	if (out_ok(o))
		o->p[o->len - 1] = '}'; /* the last comma */
	out_chr(o, ',');
}

static void write_call(struct out *o, struct call *call)
{
	row_begin(o);
	member_str(o, KEY("call"), call->id);
	member_str(o, KEY("domain"), call->domain);
	member_str(o, KEY("caller"), call->caller.number);
	member_str(o, KEY("caller_name"), call->caller.display_name);
	member_str(o, KEY("trunk"), call->caller.trunk);
	member_str(o, KEY("dialled"), call->number);
	member_str(o, KEY("context"), call->route_context ? call->route_context : call->context);
	member_str(o, KEY("route"), call->route);
	member_str(o, KEY("app"), call->app ? call->app->name : call->run_name);
	member_time(o, KEY("started_ms"), call->started_ms);
	member_time(o, KEY("answered_ms"), call->answered_ms);
	decisions_print(o, call);
	row_end(o);
	call->has_changed = false;
	call->is_live = true;
}

static void write_leg(struct out *o, struct leg *leg)
{
	static const char *const states[] = { "trying", "ringing", "answered", "ended" };
	const struct stream_stats *s = &leg->stats;
	bool has_media = s->packets_sent || s->packets_received;
	const struct codec *codec = codec_get(has_media ? s->codec : leg->codec_id);

	row_begin(o);
	member_int(o, KEY("id"), (int64_t)leg->line_id);
	member_str(o, KEY("call"), leg->call->id);
	member_int(o, KEY("leg"), leg->id);
	member_str(o, KEY("domain"), leg->call->domain);
	member_str(o, KEY("role"), leg_role(leg));
	member_str(o, KEY("number"), leg_number(leg));
	member_str(o, KEY("peer"), leg->peer);
	member_str(o, KEY("state"), states[leg->state]);
	member_int(o, KEY("held"), leg->remote_hold || leg->is_put_on_hold);
	if (leg->partner)
		member_int(o, KEY("partner"), leg->partner->id);
	member_time(o, KEY("started_ms"), leg->started_ms);
	member_time(o, KEY("ringing_ms"), leg->ringing_ms);
	member_time(o, KEY("answered_ms"), leg->answered_ms);
	if (codec && codec->id != CODEC_NONE)
		member_str(o, KEY("codec"), codec->name);
	if (has_media) {
		member_hundredths(o, KEY("mos"), s->mos_now);
		member_hundredths(o, KEY("remote_mos"), s->remote_mos_now);
		live_write_media(o, s);
	}
	row_end(o);
	leg->has_changed = false;
	leg->is_live = true;
}

static unsigned write_legs(struct out *o, struct call *call)
{
	unsigned n = 0;

	for (struct leg *leg = call->legs; leg; leg = leg->next)
		if (leg->has_changed && leg->state != LEG_ENDED) {
			write_leg(o, leg);
			n++;
		}
	return n;
}

/* ---- the statement ---- */

static void on_batch(void *arg);

/* Ends the text of an array; an empty one is "" in the statement's text. */
static const char *array_end(struct out *o, char end, const char *empty)
{
	if (!o->len)
		return empty;
	if (out_ok(o))
		o->p[o->len - 1] = end; /* the last comma */
	out_chr(o, '\0');
	return o->p;
}

static void forget_gone(struct live *v)
{
	out_fini(&v->gone_legs);
	out_fini(&v->gone_calls);
	v->gone_legs = v->gone_calls = (struct out){ 0 };
}

static void fail(struct calls *cs)
{
	forget_gone(&cs->live_view);
	cs->live_view.is_unsure = true;
	start_timer(cs, LIVE_AGAIN_MS);
}

static void on_written(uint64_t id, const struct db_answer *a, void *arg)
{
	struct calls *cs = arg;
	struct live *v = &cs->live_view;

	(void)id;
	if (a->err == -ECANCELED)
		return; /* the end: the calls may have gone before the database */
	v->is_sent = false;
	if (a->err == -EINVAL)
		log_warn(cs->p.log, "live calls refused: %s", a->message);
	if (a->err)
		fail(cs);
	else if (v->marked || v->gone_legs.len || v->gone_calls.len)
		start_timer(cs, LIVE_BATCH_MS);
}

static void mark_all(struct calls *cs)
{
	for (struct call *call = cs->live; call; call = call->next) {
		for (struct leg *leg = call->legs; leg; leg = leg->next)
			leg->has_changed = leg->session != NULL;
		live_call(call);
	}
}

/* What is marked and old enough; what isn't stays marked. */
static void write_marked(struct calls *cs, struct out *calls, struct out *legs)
{
	struct call *call, *next;
	unsigned n = 0;

	DL_FOREACH_SAFE2(cs->live_view.marked, call, next, live_next) {
		if (n >= LIVE_LEGS_MAX)
			return;
		if (!call->is_live && call_now_ms(call) - call->started_ms < LIVE_YOUNG_MS)
			continue;
		unmark(call);
		if (call->has_changed || !call->is_live)
			write_call(calls, call);
		n += write_legs(legs, call);
	}
}

static bool send_rows(struct calls *cs, struct out *calls, struct out *legs)
{
	struct live *v = &cs->live_view;
	const struct db_param params[] = {
		DB_TEXT(cs->p.node), DB_TEXT(v->is_unsure ? "true" : "false"),
		DB_TEXT(array_end(calls, ']', "[]")), DB_TEXT(array_end(legs, ']', "[]")),
		DB_TEXT(array_end(&v->gone_legs, '}', "{}")), DB_TEXT(array_end(&v->gone_calls, '}', "{}")),
	};

	return out_ok(calls) && out_ok(legs) && out_ok(&v->gone_legs) && out_ok(&v->gone_calls) &&
	       db_query(cs->p.db, live_sql, ARRAY_LEN(params), params, on_written, cs) != 0;
}

/* ---- what a former process of this name left ---- */

static void on_forgotten(uint64_t id, const struct db_answer *a, void *arg)
{
	struct calls *cs = arg;
	char doc[512], until[64];
	struct out o;

	(void)id;
	if (a->err == -ECANCELED || cs->is_closing)
		return; /* the outbox may have gone; the next start tells it */
	cs->live_view.is_forgetting = false;
	if (a->err) {
		start_timer(cs, LIVE_AGAIN_MS);
		return;
	}
	cs->live_view.has_forgotten = true;
	start_timer(cs, LIVE_BATCH_MS);
	out_init(&o, doc, sizeof(doc));
	out_chr(&o, '{');
	member_str(&o, KEY("node"), cs->p.node);
	member_str(&o, KEY("until"), str_copy(db_rows_get(a->rows, 0, 0), until, sizeof(until)) ? NULL : until);
	o.len--; /* the last comma */
	out_mem(&o, "}", 2);
	if (!out_ok(&o) || (cs->p.outbox && outbox_add(cs->p.outbox, "missing", o.p, NULL, NULL, NULL) != 0))
		log_warn(cs->p.log, "calls that a former process lost aren't told");
}

static void forget_former(struct calls *cs)
{
	struct live *v = &cs->live_view;

	if (v->is_forgetting)
		return;
	v->is_forgetting = db_query(cs->p.db, forget_sql, 1, (struct db_param[]){ DB_TEXT(cs->p.node) }, on_forgotten, cs) != 0;
	if (!v->is_forgetting)
		start_timer(cs, LIVE_AGAIN_MS);
}

static void on_batch(void *arg)
{
	struct calls *cs = arg;
	struct live *v = &cs->live_view;
	struct out calls, legs;

	if (v->is_sent)
		return;
	if (!db_is_up(cs->p.db)) {
		fail(cs);
		return;
	}
	if (!v->has_forgotten) {
		forget_former(cs);
		return;
	}
	if (v->is_unsure)
		mark_all(cs);
	out_init_grow(&calls, (size_t)LIVE_LEGS_MAX * LIVE_ROW_MAX);
	out_init_grow(&legs, (size_t)LIVE_LEGS_MAX * LIVE_ROW_MAX);
	write_marked(cs, &calls, &legs);
	if (calls.len || legs.len || v->gone_legs.len || v->gone_calls.len || v->is_unsure) {
		v->is_sent = send_rows(cs, &calls, &legs);
		v->is_unsure = !v->is_sent;
	}
	out_fini(&calls); /* a busy hour's memory isn't kept for the night */
	out_fini(&legs);
	forget_gone(v);
	if (v->is_unsure || v->marked)
		start_timer(cs, v->is_unsure ? LIVE_AGAIN_MS : LIVE_BATCH_MS);
}

/* The database is there again: a crash of it has emptied what isn't logged. */
static void on_up(void *arg)
{
	struct calls *cs = arg;

	cs->live_view.is_unsure = true;
	start_timer(cs, LIVE_BATCH_MS);
}

static void on_notify(const char *channel, const char *payload, void *arg)
{
	(void)channel; /* nobody says anything there */
	(void)payload;
	(void)arg;
}

void live_start(struct calls *cs)
{
	static const struct db_listen_handler handler = { .on_up = on_up, .on_notify = on_notify };

	timer_init(&cs->live_view.timer, on_batch, cs);
	if (cs->p.db && db_listen(cs->p.db, "pbx_live", &handler, cs) != 0)
		log_warn(cs->p.log, "live calls won't be written anew when the database comes back");
	if (cs->p.db)
		forget_former(cs);
}

void live_stop(struct calls *cs)
{
	timer_stop(cs->p.timers, &cs->live_view.timer);
	forget_gone(&cs->live_view);
	if (!cs->p.db)
		return;
	db_unlisten(cs->p.db, cs);
	db_query(cs->p.db, forget_sql, 1, (struct db_param[]){ DB_TEXT(cs->p.node) }, NULL, NULL);
}
