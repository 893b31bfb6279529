/* call_record.c - the recordings of calls: which calls have one, when it pauses, and what is told of it to the database.
 *
 * A recording begins when two answered legs are joined and somebody wants it: the policy of an extension or trunk that takes part, a
 * step, a key. It hears both, and belongs to the call: legs may be replaced, and when who talked goes on in another call, the recording goes
 * with him. While nobody is joined it stands still, so its segments are what was talked. It ends with the call it is in.
 */
#define LOG_MODULE "record"
#include <stdlib.h>
#include <utlist.h>

#include "call/leg_int.h"
#include "call/zone.h"
#include "base/log.h"

#define KEY_TIME_MS 3000        /* between two keys of a code */
#define SEGMENTS_MAX 1000       /* of which the record is kept; pauses beyond are made, but not told of */
#define RATE_HZ 8000
#define RATE_WIDE_HZ 16000      /* when one of those who talk has more than that */

struct segment {
	char call[CALL_ID_LEN + 1];
	int64_t started_ms, ended_ms; /* ended 0: it goes on */
};

struct recording {
	struct recording *prev, *next;
	struct calls *calls;
	struct call *call;           /* NULL: has ended */
	struct capture *capture;     /* NULL: the file has ended */
	char id[CALL_ID_LEN + 1];
	char domain[64], format[8], caller[64], callee[64], started_by[64];
	unsigned channels;
	bool is_paused;              /* somebody said so; else it goes on while two are joined */
	bool is_going;
	int64_t started_ms, ended_ms;
	unsigned nsegments, room;
	struct segment *segments;
	char path[];
};

static void log_state(const struct recording *r, const char *what)
{
	log_info(r->calls->p.log, "call=%s recording=%s %s", r->call ? r->call->id : "-", r->id, what);
}

/* ---- what the database is told ---- */

static void member(struct out *o, const char *key, const char *value)
{
	out_fmt(o, "\"%s\":", key);
	app_json_str(o, value);
	out_chr(o, ',');
}

static const char *result_of(int err)
{
	switch (err) {
	case 0:
		return "complete";
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		return "disk_full";
	default:
		return "failed";
	}
}

/* result NULL: it has begun. */
static void tell(const struct recording *r, const struct capture_result *result)
{
	struct calls *cs = r->calls;
	struct out o;

	out_init_on(&o, cs->record, sizeof(cs->record), 1 << 20);
	out_chr(&o, '{');
	member(&o, "recording", r->id);
	member(&o, "domain", r->domain);
	member(&o, "node", cs->p.node ? cs->p.node : "");
	member(&o, "path", r->path);
	member(&o, "format", r->format);
	member(&o, "caller", r->caller);
	member(&o, "callee", r->callee);
	member(&o, "started_by", r->started_by);
	member(&o, "result", result ? result_of(result->err) : "recording");
	out_fmt(&o, "\"channels\":%u,\"started_ms\":%lld", r->channels, (long long)r->started_ms);
	if (result) {
		out_fmt(&o, ",\"ended_ms\":%lld,\"bytes\":%llu,\"duration_ms\":%llu,\"lost_ms\":%u,\"segments\":[", (long long)r->ended_ms,
			(unsigned long long)result->bytes, (unsigned long long)result->duration_ms, result->lost_ms);
		for (unsigned i = 0; i < r->nsegments; i++)
			out_fmt(&o, "%s{\"call\":\"%s\",\"started_ms\":%lld,\"ended_ms\":%lld}", i ? "," : "", r->segments[i].call,
				(long long)r->segments[i].started_ms, (long long)r->segments[i].ended_ms);
		out_chr(&o, ']');
	}
	out_chr(&o, '}');
	out_chr(&o, '\0');
	if (!out_ok(&o) || (cs->p.outbox && outbox_add(cs->p.outbox, "recording", o.p, NULL, NULL, NULL) != 0))
		log_error(cs->p.log, "recording=%s file=%s isn't told of", r->id, r->path);
	out_fini(&o);
}

/* ---- segments ---- */

static void segment_begin(struct recording *r)
{
	if (r->nsegments == r->room && r->room < SEGMENTS_MAX) {
		unsigned room = r->room ? r->room * 2 : 4;
		struct segment *more = realloc(r->segments, room * sizeof(*more));

		if (more) {
			r->segments = more;
			r->room = room;
		}
	}
	if (r->nsegments == r->room)
		return;
	r->segments[r->nsegments] = (struct segment){ .started_ms = call_now_ms(r->call) };
	str_put(r->segments[r->nsegments].call, sizeof(r->segments[0].call), r->call->id);
	r->nsegments++;
}

static void segment_end(struct recording *r, int64_t now_ms)
{
	if (r->nsegments > 0 && !r->segments[r->nsegments - 1].ended_ms)
		r->segments[r->nsegments - 1].ended_ms = now_ms;
}

static bool is_joined(const struct call *call)
{
	const struct leg *a = call->caller_leg, *b = call->callee_leg;

	return a && b && a->partner == b && a->state == LEG_ANSWERED && b->state == LEG_ANSWERED;
}

/* Goes on or stands still, as it should now. */
static void update(struct recording *r)
{
	bool goes = r->capture && !r->is_paused && r->call && is_joined(r->call);

	if (goes == r->is_going)
		return;
	r->is_going = goes;
	if (goes) {
		segment_begin(r);
		if (r->capture)
			capture_resume(r->capture);
		return;
	}
	segment_end(r, r->call ? call_now_ms(r->call) : r->ended_ms);
	if (r->capture)
		capture_pause(r->capture);
}

/* ---- the beginning ---- */

/* A part of a path is of these alone. */
static void put_part(struct out *o, const char *text)
{
	for (const char *at = text; *at; at++) {
		bool fits = (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || strchr("+-_@=", *at) ||
			    (*at == '.' && at > text);

		out_chr(o, fits ? *at : '_');
	}
	if (!*text)
		out_chr(o, '_');
}

static void put_var(struct out *o, struct str name, const struct call *call, const struct recording *r, const struct tm *at)
{
	if (str_eqz(name, "domain"))
		put_part(o, call->domain);
	else if (str_eqz(name, "caller"))
		put_part(o, r->caller);
	else if (str_eqz(name, "number"))
		put_part(o, call->number);
	else if (str_eqz(name, "call"))
		out_z(o, call->id);
	else if (str_eqz(name, "recording"))
		out_z(o, r->id);
	else if (str_eqz(name, "year"))
		out_fmt(o, "%04d", at->tm_year + 1900);
	else if (str_eqz(name, "month"))
		out_fmt(o, "%02d", at->tm_mon + 1);
	else if (str_eqz(name, "day"))
		out_fmt(o, "%02d", at->tm_mday);
	else if (str_eqz(name, "date"))
		out_fmt(o, "%04d%02d%02d", at->tm_year + 1900, at->tm_mon + 1, at->tm_mday);
	else if (str_eqz(name, "time"))
		out_fmt(o, "%02d%02d%02d", at->tm_hour, at->tm_min, at->tm_sec);
}

/* domain.record_path, with all that it names, below the folder of recordings. */
static void print_path(struct out *o, const struct dir_domain *domain, const struct call *call, const struct recording *r)
{
	struct str rest = str_from(domain->record_path);
	struct tm at;

	zone_local(domain->timezone, r->started_ms / 1000, &at);
	out_fmt(o, "%s/", call->calls->p.recordings);
	while (rest.n) {
		struct str text = str_cut(&rest, '$');

		out_str(o, text);
		if (rest.n && rest.p[0] == '{') {
			rest.p++;
			rest.n--;
			put_var(o, str_cut(&rest, '}'), call, r, &at);
		}
	}
	if (!strstr(domain->record_path, "${recording}"))
		out_fmt(o, "-%.8s", r->id);
	out_fmt(o, ".%s", r->format);
	out_chr(o, '\0');
}

static void on_capture_end(struct capture *c, const struct capture_result *result, void *arg);

static enum capture_format format_of(const char *format)
{
	return !strcmp(format, "flac") ? CAPTURE_FLAC : !strcmp(format, "opus") ? CAPTURE_OPUS : CAPTURE_WAV;
}

static uint32_t rate_of(const struct leg *leg)
{
	return leg->stream && codec_get(stream_codec(leg->stream))->rate_hz > RATE_HZ ? RATE_WIDE_HZ : RATE_HZ;
}

static void hear(struct recording *r, struct leg *leg)
{
	if (r->capture && leg->stream)
		stream_capture(leg->stream, r->capture, leg == leg->call->caller_leg ? CAPTURE_CALLER : CAPTURE_CALLEE);
}

/* A recording of a call whose two are joined; *path is written over. */
static struct recording *recording_make(struct call *call, const struct dir_domain *domain, const char *started_by, char *path, size_t size)
{
	struct recording of = { .calls = call->calls, .call = call, .started_ms = call_now_ms(call), .channels = domain->record_is_stereo ? 2 : 1 };
	struct recording *r;
	struct out o;

	rng_uuid(call->calls->p.rng, of.id);
	str_put(of.domain, sizeof(of.domain), call->domain);
	str_put(of.format, sizeof(of.format), domain->record_format);
	str_put(of.caller, sizeof(of.caller), call->caller_leg->number[0] ? call->caller_leg->number : call->caller_leg->peer);
	str_put(of.callee, sizeof(of.callee), call->callee_leg->number[0] ? call->callee_leg->number : call->callee_leg->peer);
	str_put(of.started_by, sizeof(of.started_by), started_by);
	out_init(&o, path, size);
	print_path(&o, domain, call, &of);
	r = out_ok(&o) ? malloc(sizeof(*r) + o.len) : NULL;
	if (!r)
		return NULL;
	*r = of;
	memcpy(r->path, path, o.len);
	return r;
}

static void begin(struct call *call, const char *started_by)
{
	struct calls *cs = call->calls;
	const struct dir_domain *domain;
	struct capture_params p = { .is_paused = true };
	char path[1024];
	struct recording *r;
	int err;

	if (!cs->p.recordings || directory_domain(cs->p.directory, call->domain, &domain) != DIR_FOUND)
		return;
	r = recording_make(call, domain, started_by, path, sizeof(path));
	if (!r) {
		log_error(cs->p.log, "call=%s no recording: it has no path", call->id);
		return;
	}
	p.path = r->path;
	p.format = format_of(r->format);
	p.is_stereo = r->channels == 2;
	p.rate_hz = rate_of(call->caller_leg) > rate_of(call->callee_leg) ? rate_of(call->caller_leg) : rate_of(call->callee_leg);
	err = capture_start(&r->capture, cs->p.media, &p, on_capture_end, r);
	if (err) {
		log_error(cs->p.log, "call=%s no recording: %s", call->id, uv_strerror(err));
		free(r);
		return;
	}
	DL_APPEND(cs->recordings, r);
	call->recording = r;
	log_state(r, "begins");
	tell(r, NULL);
	hear(r, call->caller_leg);
	hear(r, call->callee_leg);
	update(r);
}

/* Would the policy of who is at the far end of the leg have it recorded? */
static bool is_policy_of(const struct leg *leg, bool is_caller)
{
	/* What comes by a trunk comes in, what comes from an extension goes out. */
	return leg_policy(leg)->record & (is_caller == leg->is_outside ? DIR_RECORD_INBOUND : DIR_RECORD_OUTBOUND);
}

/* ---- what happens to legs ---- */

void record_joined(struct call *call)
{
	if (!is_joined(call))
		return;
	if (call->recording) {
		hear(call->recording, call->caller_leg);
		hear(call->recording, call->callee_leg);
		update(call->recording);
	} else if (call->record_wish == RECORD_WANTED) {
		begin(call, "step");
	} else if (call->record_wish == RECORD_BY_POLICY &&
		   (is_policy_of(call->caller_leg, true) || is_policy_of(call->callee_leg, false))) {
		begin(call, "policy");
	}
}

void record_parted(struct leg *leg)
{
	struct recording *r = leg->call->recording;

	if (!r)
		return;
	if (leg->stream && r->capture)
		stream_capture(leg->stream, NULL, CAPTURE_CALLER);
	update(r);
}

void record_moved(struct call *from, struct call *to)
{
	struct recording *r = from->recording;

	if (!r || to->recording || to == from)
		return;
	from->recording = NULL;
	update(r);
	r->call = to;
	to->recording = r;
	to->record_wish = from->record_wish;
	log_state(r, "goes on here");
}

/* ---- the end ---- */

static void stop(struct recording *r)
{
	r->ended_ms = call_now_ms(r->call);
	r->call->recording = NULL;
	log_state(r, "ends");
	r->is_going = false;
	segment_end(r, r->ended_ms);
	r->call = NULL;
	capture_stop(r->capture);
}

void record_ended(struct call *call)
{
	if (call->recording)
		stop(call->recording);
}

/* The file is complete, or has failed. */
static void on_capture_end(struct capture *c, const struct capture_result *result, void *arg)
{
	struct recording *r = arg;
	struct calls *cs = r->calls;

	(void)c;
	r->capture = NULL;
	if (r->call) { /* by itself */
		r->ended_ms = call_now_ms(r->call);
		segment_end(r, r->ended_ms);
		r->call->recording = NULL;
		r->call->record_wish = RECORD_UNWANTED; /* once is enough of a full disk */
	}
	if (result->err)
		log_error(cs->p.log, "recording=%s file=%s %s: %s", r->id, r->path, result_of(result->err), uv_strerror(result->err));
	if (result->lost_ms)
		log_warn(cs->p.log, "recording=%s file=%s lost_ms=%u, the disk is slow", r->id, r->path, result->lost_ms);
	tell(r, result);
	DL_DELETE(cs->recordings, r);
	free(r->segments);
	free(r);
	calls_check_closed(cs);
}

/* ---- what people say ---- */

static void set_paused(struct recording *r, bool is_paused)
{
	if (r->is_paused == is_paused)
		return;
	r->is_paused = is_paused;
	log_state(r, is_paused ? "pauses" : "goes on");
	update(r);
}

int app_record_call(struct call *call, const char *action)
{
	struct recording *r = call->recording;

	if (!strcmp(action, "start")) {
		call->record_wish = RECORD_WANTED;
		if (r)
			set_paused(r, false);
		else
			record_joined(call);
	} else if (!strcmp(action, "stop")) {
		call->record_wish = RECORD_UNWANTED;
		if (r)
			stop(r);
	} else if (!strcmp(action, "pause") || !strcmp(action, "resume")) {
		if (r)
			set_paused(r, action[0] == 'p');
	} else {
		return -EINVAL;
	}
	return 0;
}

/* record_code has been pressed. */
static void on_demand(struct leg *leg)
{
	struct call *call = leg->call;

	if (call->recording) {
		set_paused(call->recording, !call->recording->is_paused);
	} else if (is_joined(call)) {
		begin(call, leg->peer);
	}
}

void record_digit(struct leg *leg, char digit)
{
	struct call *call = leg->call;
	const struct dir_extension *ext;
	const struct dir_domain *domain;
	uint64_t now = timers_now(call->calls->p.timers);
	size_t n, len;

	if (!leg->partner || leg->is_outside)
		return;
	n = now - leg->key_ms > KEY_TIME_MS ? 0 : strlen(leg->keys);
	if (n == sizeof(leg->keys) - 1)
		memmove(leg->keys, leg->keys + 1, n--);
	leg->keys[n] = digit;
	leg->keys[n + 1] = '\0';
	leg->key_ms = now;
	if (directory_domain(call->calls->p.directory, call->domain, &domain) != DIR_FOUND || !domain->record_code)
		return;
	len = strlen(domain->record_code);
	if (!len || len > n + 1 || strcmp(leg->keys + n + 1 - len, domain->record_code) != 0)
		return;
	leg->keys[0] = '\0';
	if (directory_extension(call->calls->p.directory, call->domain, str_from(leg->peer), &ext) == DIR_FOUND && ext->may_record)
		on_demand(leg);
}
