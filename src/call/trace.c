/* trace.c - the messages of calls, found by their Call-ID as they pass the transport.
 *
 *   EARLY  an INVITE that no call has taken yet -> LEG  a leg's -> ENDING  its call is over, the last answers may yet come -> written
 *
 * One buffer a dialog, entry behind entry; an entry is a fixed head and the bytes of the message.
 */
#define LOG_MODULE "trace"
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/member.h"
#include "call/decision.h"
#include "call/trace.h"
#include "call/trace_mask.h"

#define CALL_ID_MAX 256      /* longer ones aren't traced */
#define DOC_MAX (2u << 20)

enum state { EARLY, LEG, ENDING };

struct entry {
	int64_t at_ms;       /* wall clock */
	uint64_t seq;        /* of all messages */
	uint32_t len;        /* of the message, behind this */
	uint32_t ndecided;   /* how many decisions its call had then */
	uint8_t is_sent, proto;
	union sockaddr_any peer, local;
};

struct trace {
	UT_hash_handle hh;
	struct trace *prev, *next;   /* in the list of its state */
	struct traces *traces;
	enum state state;
	struct leg *leg;             /* NULL: none, or no more */
	char *call_id;               /* NULL: it isn't found by it any more */
	uint64_t began_ms;           /* of the wheel */
	struct timer timer;
	char call[CALL_ID_LEN + 1], domain[64];
	unsigned leg_id;
	unsigned ndropped;
	struct out out;              /* entries */
};

struct traces {
	struct calls *calls;
	struct trace *by_id;         /* uthash */
	struct trace *early, *ending; /* utlist, oldest first */
	unsigned nearly;
	size_t bytes;
	uint64_t seq;
	unsigned nwanted;            /* calls that commands want to be kept */
	bool is_on;
	struct directory_watcher watcher;
};

static void look(struct traces *ts);

/* ---- one trace ---- */

static void forget_id(struct trace *t)
{
	if (t->call_id)
		HASH_DEL(t->traces->by_id, t);
	free(t->call_id);
	t->call_id = NULL;
}

static void trace_free(struct trace *t)
{
	struct traces *ts = t->traces;

	forget_id(t);
	if (t->state == EARLY) {
		DL_DELETE(ts->early, t);
		ts->nearly--;
	} else if (t->state == ENDING) {
		DL_DELETE(ts->ending, t);
	}
	timer_stop(ts->calls->p.timers, &t->timer);
	if (t->leg)
		t->leg->trace = NULL;
	ts->bytes -= t->out.size;
	out_fini(&t->out);
	free(t);
}

static void write_packet(struct out *o, const struct entry *e, int64_t began_ms)
{
	char addr[SOCKADDR_TEXT_MAX];

	out_chr(o, '[');
	out_i64(o, e->at_ms - began_ms);
	out_chr(o, ',');
	out_u64(o, e->seq);
	out_z(o, e->is_sent ? ",\"sent\",\"" : ",\"received\",\"");
	out_z(o, sip_proto_word(e->proto));
	out_z(o, "\",\"");
	out_z(o, sockaddr_print(&e->peer, addr));
	out_z(o, "\",\"");
	out_z(o, sockaddr_print(&e->local, addr));
	out_z(o, "\",");
	out_u64(o, e->len);
	out_chr(o, ',');
	out_u64(o, e->ndecided);
	out_z(o, "],");
}

/* Entries aren't aligned. */
static size_t entry_at(const struct trace *t, size_t at, struct entry *e)
{
	memcpy(e, t->out.p + at, sizeof(*e));
	return at + sizeof(*e) + e->len;
}

static void trace_write(struct trace *t)
{
	struct calls *cs = t->traces->calls;
	struct out o, bytes;
	struct entry e;
	int64_t began_ms;

	if (!t->out.len || !cs->p.outbox)
		return;
	entry_at(t, 0, &e);
	began_ms = e.at_ms;
	out_init_grow(&o, DOC_MAX);
	out_init_grow(&bytes, TRACE_BYTES_MAX);
	out_chr(&o, '{');
	member_str(&o, KEY("call"), t->call);
	member_str(&o, KEY("domain"), t->domain);
	member_int(&o, KEY("leg"), t->leg_id);
	member_int(&o, KEY("started_ms"), began_ms);
	member_int(&o, KEY("dropped"), t->ndropped);
	out_z(&o, "\"messages\":[");
	for (size_t at = 0, next; at < t->out.len; at = next) {
		next = entry_at(t, at, &e);
		write_packet(&o, &e, began_ms);
		trace_mask(t->out.p + at + sizeof(e), e.len);
		out_mem(&bytes, t->out.p + at + sizeof(e), e.len);
	}
	if (out_ok(&o))
		o.len--; /* the last comma */
	out_z(&o, "],\"bytes\":\"");
	base64_write(&o, bytes.p, bytes.len);
	out_z(&o, "\"}");
	out_chr(&o, '\0');
	if (!out_ok(&o) || !out_ok(&bytes) || outbox_add(cs->p.outbox, "trace", o.p, NULL, NULL, NULL) != 0)
		log_error(cs->p.log, "call=%s leg=%u messages lost", t->call, t->leg_id);
	out_fini(&bytes);
	out_fini(&o);
}

static void on_linger(void *arg)
{
	struct trace *t = arg;

	struct traces *ts = t->traces;

	trace_write(t);
	trace_free(t);
	if (!ts->ending)
		look(ts);
}

static struct trace *trace_new(struct traces *ts, struct str call_id)
{
	struct trace *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->traces = ts;
	t->call_id = str_dup(call_id);
	if (!t->call_id) {
		free(t);
		return NULL;
	}
	timer_init(&t->timer, on_linger, t);
	t->began_ms = timers_now(ts->calls->p.timers);
	out_init_grow(&t->out, TRACE_BYTES_MAX);
	HASH_ADD_KEYPTR(hh, ts->by_id, t->call_id, (unsigned)call_id.n, t);
	if (!t->hh.tbl) {
		free(t->call_id);
		free(t);
		return NULL;
	}
	DL_APPEND(ts->early, t);
	ts->nearly++;
	return t;
}

static struct trace *trace_find(struct traces *ts, struct str call_id)
{
	struct trace *t;

	HASH_FIND(hh, ts->by_id, call_id.p, (unsigned)call_id.n, t);
	return t;
}

/* ---- on the wire ---- */

/* A header's value, as it stands; only what is needed to know whose message it is. */
static struct str header_of(struct str bytes, const char *name, char compact)
{
	struct str line;

	while (bytes.n) {
		const char *end = memchr(bytes.p, '\n', bytes.n);
		size_t n = end ? (size_t)(end - bytes.p) : bytes.n, len = strlen(name);

		line = (struct str){ bytes.p, n && bytes.p[n - 1] == '\r' ? n - 1 : n };
		bytes = str_from_at(bytes, end ? n + 1 : n);
		if (!line.n)
			break;
		if (line.n > len && !strncasecmp(line.p, name, len) && (line.p[len] == ':' || line.p[len] == ' '))
			line = str_from_at(line, len);
		else if (line.n > 1 && (line.p[0] | 0x20) == compact && (line.p[1] == ':' || line.p[1] == ' '))
			line = str_from_at(line, 1);
		else
			continue;
		line = str_trim(line);
		if (line.n && line.p[0] == ':')
			return str_trim(str_from_at(line, 1));
	}
	return STR_NULL;
}

/* The first INVITE of a dialog. */
static bool begins_dialog(struct str bytes)
{
	struct str to;

	if (!str_starts(bytes, STR("INVITE ")))
		return false;
	to = header_of(bytes, "To", 't');
	return to.n && !memmem(to.p, to.n, ";tag=", 5);
}

/* Those that nobody took: the oldest go. */
static void drop_early(struct traces *ts)
{
	uint64_t now = timers_now(ts->calls->p.timers);

	while (ts->early && (ts->nearly >= TRACE_EARLY_MAX || now - ts->early->began_ms > TRACE_EARLY_MS))
		trace_free(ts->early);
}

static void add(struct trace *t, const struct transport_seen *m)
{
	struct traces *ts = t->traces;
	size_t size = t->out.size, len = t->out.len;
	struct entry e = { .at_ms = clock_wall_ms(ts->calls->p.clock), .seq = ++ts->seq, .len = (uint32_t)m->bytes.n,
			   .ndecided = t->leg ? decisions_count(t->leg->call) : 0,
			   .is_sent = m->is_sent, .proto = (uint8_t)m->proto, .peer = *m->peer, .local = *m->local };

	if (t->out.len + sizeof(e) + m->bytes.n > TRACE_BYTES_MAX || ts->bytes > TRACE_TOTAL_MAX) {
		t->ndropped++;
		return;
	}
	out_mem(&t->out, &e, sizeof(e));
	out_str(&t->out, m->bytes);
	if (!out_ok(&t->out)) { /* without memory: what there is of it goes, too, or its head would have no message behind it */
		t->ndropped++;
		t->out.len = len;
		t->out.overflow = false;
	}
	ts->bytes += t->out.size - size;
}

/* The INVITE with which it began, once more: another with the same Call-ID is another call, which its phone has tried again. */
static bool is_repeated(const struct trace *t, struct str bytes)
{
	struct str first = STR_NULL;
	struct entry e;

	if (t->out.len) {
		entry_at(t, 0, &e);
		first = (struct str){ t->out.p + sizeof(e), e.len };
	}
	return str_eq(header_of(first, "CSeq", '\0'), header_of(bytes, "CSeq", '\0'));
}

static void on_seen(const struct transport_seen *m, void *arg)
{
	struct traces *ts = arg;
	struct str id = header_of(m->bytes, "Call-ID", 'i');
	struct trace *t;

	if (!id.n || id.n > CALL_ID_MAX)
		return;
	t = trace_find(ts, id);
	if (t && t->state == ENDING && begins_dialog(m->bytes) && !is_repeated(t, m->bytes)) {
		forget_id(t); /* it is written when its time comes */
		t = NULL;
	}
	if (!t && begins_dialog(m->bytes)) {
		drop_early(ts);
		t = trace_new(ts, id);
	}
	if (t)
		add(t, m);
}

/* ---- legs and calls ---- */

enum dir_capture trace_policy(const struct call *call)
{
	const struct dir_domain *domain;

	if (call->is_captured)
		return DIR_CAPTURE_RTP;
	return directory_domain(call->calls->p.directory, call->domain, &domain) == DIR_FOUND ? domain->capture : DIR_CAPTURE_NONE;
}

static struct trace *take(struct call *call, struct str call_id)
{
	struct traces *ts = call->calls->traces;
	struct trace *t = ts && ts->is_on ? trace_find(ts, call_id) : NULL;

	if (!t || t->state != EARLY)
		return NULL;
	if (trace_policy(call) == DIR_CAPTURE_NONE) {
		trace_free(t);
		return NULL;
	}
	DL_DELETE(ts->early, t);
	ts->nearly--;
	t->state = LEG;
	return t;
}

void trace_follow(struct call *call)
{
	struct traces *ts = call->calls->traces;

	if (call->is_captured || !ts)
		return;
	call->is_captured = true;
	ts->nwanted++;
	look(ts);
	for (struct leg *leg = call->legs; leg; leg = leg->next) {
		if (leg->session && !leg->trace && !trace_find(ts, session_call_id(leg->session)))
			trace_new(ts, session_call_id(leg->session));
		trace_begin(leg);
	}
}

/* What was sent before it was known whose it is, was sent by this call's decisions. */
static void note_decisions(struct trace *t, unsigned n)
{
	struct entry e;

	for (size_t at = 0, next; at < t->out.len; at = next) {
		next = entry_at(t, at, &e);
		e.ndecided = n;
		memcpy(t->out.p + at, &e, sizeof(e));
	}
}

void trace_begin(struct leg *leg)
{
	struct trace *t = leg->session && !leg->trace ? take(leg->call, session_call_id(leg->session)) : NULL;

	if (!t)
		return;
	t->leg = leg;
	leg->trace = t;
	if (!leg->is_caller)
		note_decisions(t, decisions_count(leg->call));
}

/* Of this call and leg, and the last answers may come. */
static void end(struct trace *t, const struct call *call, unsigned leg_id)
{
	struct traces *ts = t->traces;

	if (t->leg)
		t->leg->trace = NULL;
	t->leg = NULL;
	str_put(t->call, sizeof(t->call), call->id);
	str_put(t->domain, sizeof(t->domain), call->domain);
	t->leg_id = leg_id;
	t->state = ENDING;
	DL_APPEND(ts->ending, t);
	timer_start(ts->calls->p.timers, &t->timer, TRACE_LINGER_MS);
}

void trace_moved(struct leg *leg, struct leg *record)
{
	struct trace *t = leg->trace, *next;
	struct str id;

	if (!t)
		return;
	id = session_call_id(leg->session);
	forget_id(t);
	t->leg = record;
	record->trace = t;
	leg->trace = NULL;
	next = trace_new(t->traces, id);
	if (next)
		trace_begin(leg);
}

/* Something went wrong, rather than somebody being busy, away or of another mind. */
static bool has_failed(const struct call *call)
{
	for (const struct leg *leg = call->legs; leg; leg = leg->next)
		if (leg->media_timeout || leg->has_failed)
			return true;
	switch (call->result) {
	case APP_INVALID:
	case APP_CONGESTION:
	case APP_FAILED:
	case APP_ERROR:
	case APP_TIMEOUT:
	case APP_UNAVAILABLE:
		return !call->answered_ms;
	default:
		return false;
	}
}

void trace_ended(struct call *call)
{
	enum dir_capture policy;
	bool is_kept;

	if (!call->calls->traces || !call->calls->traces->is_on)
		return;
	if (call->is_captured)
		call->calls->traces->nwanted--;
	policy = trace_policy(call);
	is_kept = policy >= DIR_CAPTURE_ALL || (policy == DIR_CAPTURE_FAILED && has_failed(call));
	for (struct leg *leg = call->legs; leg; leg = leg->next) {
		if (!leg->trace)
			continue;
		if (is_kept)
			end(leg->trace, call, leg->id);
		else
			trace_free(leg->trace);
	}
}

void trace_refused(struct call *call, const struct sip_msg *m)
{
	struct trace *t = take(call, m->call_id);

	if (t)
		end(t, call, 1);
}

void trace_leg_gone(struct leg *leg)
{
	if (leg->trace)
		trace_free(leg->trace);
}

/* ---- all ---- */

static void free_all(struct traces *ts)
{
	struct trace *t, *next;

	HASH_ITER(hh, ts->by_id, t, next)
		trace_free(t);
}

/* What lingers is written now. */
static void flush(struct traces *ts)
{
	while (ts->ending)
		on_linger(ts->ending);
}

/* Does anybody want them? */
static void look(struct traces *ts)
{
	struct transport *tp = sip_ua_transport(ts->calls->p.ua);
	bool is_on = directory_captures(ts->calls->p.directory) || ts->nwanted || ts->ending;

	if (is_on == ts->is_on)
		return;
	ts->is_on = is_on;
	transport_watch(tp, is_on ? on_seen : NULL, ts);
	if (!is_on)
		free_all(ts);
}

static void on_change(const char *table, const char *key, void *arg)
{
	(void)key;
	if (!strcmp(table, "*") || !strcmp(table, "domain"))
		look(arg);
}

int traces_new(struct traces **out, struct calls *cs)
{
	struct traces *ts = calloc(1, sizeof(*ts));

	if (!ts)
		return -ENOMEM;
	ts->calls = cs;
	ts->watcher = (struct directory_watcher){ .on_change = on_change, .arg = ts };
	directory_watch(cs->p.directory, &ts->watcher);
	look(ts);
	*out = ts;
	return 0;
}

void traces_free(struct traces *ts)
{
	if (!ts)
		return;
	directory_unwatch(ts->calls->p.directory, &ts->watcher);
	if (ts->is_on)
		transport_watch(sip_ua_transport(ts->calls->p.ua), NULL, NULL);
	flush(ts);
	free_all(ts);
	free(ts);
}
