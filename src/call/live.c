/* live.c - what legs of calls in progress are like, for the view pbx.leg; and the same as part of a call's record.
 *
 * Statistics of a leg come every five seconds while there are packets (stream_handler.on_stats). Each becomes a row in a text, and the
 * text one statement, LIVE_BATCH_MS after its first row: a few thousand legs are a few statements a second. Nothing of it is kept:
 * while the database is away, or still busy with the last one, rows beyond LIVE_ROWS_MAX are left out, and five seconds later they are
 * said anew. Rows that stay behind in that way are old, and the view doesn't show them.
 *
 * A call that ends before it has any statistics costs nothing here.
 */
#define LOG_MODULE "live"
#include "base/log.h"
#include "call/call_int.h"
#include "call/member.h"

#define LIVE_BATCH_MS 500
#define LIVE_ROWS_MAX 2000
#define LIVE_ROW_MAX 2048     /* bytes, more or less: a bound for the memory of the text */

static const char live_sql[] = "SELECT pbx.live_legs($1, $2::jsonb)";
static const char forget_sql[] = "DELETE FROM pbx.live_leg WHERE node = $1";

static void member_address(struct out *o, struct str key, const struct sockaddr_storage *ss)
{
	union sockaddr_any addr;
	char text[SOCKADDR_TEXT_MAX];

	memcpy(&addr, ss, sizeof(addr));
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

/* ---- the text ---- */

static void on_batch(void *arg);

static void on_written(uint64_t id, const struct db_answer *a, void *arg)
{
	struct calls *cs = arg;

	(void)id;
	if (a->err == -ECANCELED)
		return; /* the end: the calls may have gone before the database */
	cs->rows.is_sent = false;
	if (a->err == -EINVAL)
		log_warn(cs->p.log, "live legs refused: %s", a->message);
}

static void on_batch(void *arg)
{
	struct calls *cs = arg;
	struct out *o = &cs->rows.rows;

	if (cs->rows.is_sent) {
		timer_start(cs->p.timers, &cs->rows.timer, LIVE_BATCH_MS);
		return;
	}
	if (cs->rows.n && out_ok(o)) {
		o->p[o->len - 1] = ']'; /* the last comma */
		out_chr(o, '\0');
	}
	if (cs->rows.n && out_ok(o) && db_is_up(cs->p.db))
		cs->rows.is_sent = db_query(cs->p.db, live_sql, 2, (struct db_param[]){ DB_TEXT(cs->p.node), DB_TEXT(o->p) },
					    on_written, cs) != 0;
	out_fini(o); /* a busy hour's memory isn't kept for the night */
	cs->rows.n = 0;
}

/* Begins a row; NULL: there is no room for it. */
static struct out *row_begin(const struct leg *leg)
{
	struct calls *cs = leg->call->calls;
	struct out *o = &cs->rows.rows;

	if (!cs->p.db || cs->rows.n == LIVE_ROWS_MAX)
		return NULL;
	if (cs->rows.n++ == 0) {
		out_init_grow(o, (size_t)LIVE_ROWS_MAX * LIVE_ROW_MAX);
		out_chr(o, '[');
	}
	if (!timer_is_running(&cs->rows.timer))
		timer_start(cs->p.timers, &cs->rows.timer, LIVE_BATCH_MS);
	out_chr(o, '{');
	member_int(o, KEY("id"), (int64_t)leg->line_id);
	return o;
}

static void row_end(struct out *o)
{
	if (out_ok(o))
		o->p[o->len - 1] = '}'; /* the last comma */
	out_chr(o, ',');
}

/* ---- legs ---- */

void live_leg(struct leg *leg)
{
	const struct codec *codec = codec_get(leg->stats.codec);
	struct out *o = row_begin(leg);

	if (!o)
		return;
	leg->is_live = true;
	member_str(o, KEY("call"), leg->call->id);
	member_int(o, KEY("leg"), leg->id);
	member_str(o, KEY("domain"), leg->call->domain);
	member_str(o, KEY("role"), leg_role(leg));
	member_str(o, KEY("number"), leg_number(leg));
	member_str(o, KEY("peer"), leg->peer);
	member_time(o, KEY("answered_ms"), leg->answered_ms);
	if (codec && codec->id != CODEC_NONE)
		member_str(o, KEY("codec"), codec->name);
	member_hundredths(o, KEY("mos"), leg->stats.mos_now);
	member_hundredths(o, KEY("remote_mos"), leg->stats.remote_mos_now);
	live_write_media(o, &leg->stats);
	row_end(o);
}

void live_leg_gone(struct leg *leg)
{
	struct out *o = leg->is_live ? row_begin(leg) : NULL;

	leg->is_live = false;
	if (o)
		row_end(o);
}

void live_start(struct calls *cs)
{
	timer_init(&cs->rows.timer, on_batch, cs);
	/* What a former process of this name left. */
	if (cs->p.db)
		db_query(cs->p.db, forget_sql, 1, (struct db_param[]){ DB_TEXT(cs->p.node) }, NULL, NULL);
}

void live_stop(struct calls *cs)
{
	timer_stop(cs->p.timers, &cs->rows.timer);
	if (cs->rows.n)
		on_batch(cs);
	if (cs->p.db)
		db_query(cs->p.db, forget_sql, 1, (struct db_param[]){ DB_TEXT(cs->p.node) }, NULL, NULL);
}
