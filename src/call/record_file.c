/* record_file.c - a recording of talk while it is made: its file, its segments, and what is told of it to the database (see record_file.h).
 */
#define LOG_MODULE "record"
#include "call/record_file.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"

#define SEGMENTS_MAX 1000       /* of which the record is kept; pauses beyond are made, but not told of */

static int64_t now_ms(const struct recording *r) { return clock_wall_ms(r->calls->p.clock); }

static bool has_owner(const struct recording *r) { return r->call || r->room; }

void record_file_log(const struct recording *r, const char *what)
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
	if (r->conference[0])
		member(&o, "conference", r->conference);
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

void record_file_segment_begin(struct recording *r, const struct call *call)
{
	if (r->nsegments == r->nsegments_max && r->nsegments_max < SEGMENTS_MAX) {
		unsigned room = r->nsegments_max ? r->nsegments_max * 2 : 4;
		struct segment *more = realloc(r->segments, room * sizeof(*more));

		if (more) {
			r->segments = more;
			r->nsegments_max = room;
		}
	}
	if (r->nsegments == r->nsegments_max)
		return;
	r->segments[r->nsegments] = (struct segment){ .started_ms = now_ms(r) };
	str_put(r->segments[r->nsegments].call, sizeof(r->segments[0].call), call->id);
	r->nsegments++;
}

void record_file_segments_end(struct recording *r, const struct call *call)
{
	for (unsigned i = 0; i < r->nsegments; i++) {
		if (!r->segments[i].ended_ms && (!call || !strcmp(r->segments[i].call, call->id)))
			r->segments[i].ended_ms = now_ms(r);
	}
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

static void put_var(struct out *o, struct str name, const struct record_file_params *p, const struct recording *r, const struct tm *at)
{
	if (str_eqz(name, "domain"))
		put_part(o, r->domain);
	else if (str_eqz(name, "caller"))
		put_part(o, r->caller);
	else if (str_eqz(name, "number"))
		put_part(o, p->number);
	else if (str_eqz(name, "call"))
		out_z(o, p->call_id);
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
static void print_path(struct out *o, const struct record_file_params *p, const struct recording *r)
{
	struct str rest = str_from(p->domain->record_path);
	struct tm at;

	zone_local(&r->calls->zones, p->domain->timezone, r->started_ms / 1000, &at);
	out_fmt(o, "%s/", r->calls->p.recordings);
	while (rest.n) {
		struct str text = str_cut(&rest, '$');

		out_str(o, text);
		if (rest.n && rest.p[0] == '{') {
			rest.p++;
			rest.n--;
			put_var(o, str_cut(&rest, '}'), p, r, &at);
		}
	}
	if (!strstr(p->domain->record_path, "${recording}"))
		out_fmt(o, "-%.8s", r->id);
	out_fmt(o, ".%s", r->format);
	out_chr(o, '\0');
}

static enum capture_format format_of(const char *format)
{
	return !strcmp(format, "flac") ? CAPTURE_FLAC : !strcmp(format, "opus") ? CAPTURE_OPUS : CAPTURE_WAV;
}

static struct recording *record_file_make(struct calls *cs, const struct record_file_params *p)
{
	struct recording of = { .calls = cs, .started_ms = clock_wall_ms(cs->p.clock), .channels = p->is_stereo ? 2 : 1 };
	struct recording *r;
	char path[1024];
	struct out o;

	rng_uuid(cs->p.rng, of.id);
	str_put(of.domain, sizeof(of.domain), p->domain->domain);
	str_put(of.format, sizeof(of.format), p->domain->record_format);
	str_put(of.caller, sizeof(of.caller), p->caller);
	str_put(of.callee, sizeof(of.callee), p->callee);
	str_put(of.started_by, sizeof(of.started_by), p->started_by);
	str_put(of.conference, sizeof(of.conference), p->conference ? p->conference : "");
	out_init(&o, path, sizeof(path));
	print_path(&o, p, &of);
	r = out_ok(&o) ? malloc(sizeof(*r) + o.len) : NULL;
	if (!r)
		return NULL;
	*r = of;
	memcpy(r->path, path, o.len);
	return r;
}

static void on_capture_end(struct capture *c, const struct capture_result *result, void *arg);

int record_file_begin(struct recording **out, struct calls *cs, const struct record_file_params *p, void (*on_failed)(struct recording *r))
{
	struct recording *r = cs->p.recordings ? record_file_make(cs, p) : NULL;
	struct capture_params c = { .is_paused = true, .rate_hz = p->rate_hz, .is_stereo = p->is_stereo };
	int err;

	if (!r)
		return cs->p.recordings ? -ENAMETOOLONG : -ENOENT;
	c.path = r->path;
	c.format = format_of(r->format);
	r->on_failed = on_failed;
	err = capture_start(&r->capture, cs->p.media, &c, on_capture_end, r);
	if (err) {
		free(r);
		return err;
	}
	DL_APPEND(cs->recordings, r);
	*out = r;
	return 0;
}

void record_file_told(struct recording *r)
{
	record_file_log(r, "begins");
	tell(r, NULL);
}

bool record_file_go(struct recording *r, bool goes)
{
	if (goes == r->is_going)
		return false;
	r->is_going = goes;
	if (!goes)
		record_file_segments_end(r, NULL);
	if (r->capture && goes)
		capture_resume(r->capture);
	else if (r->capture)
		capture_pause(r->capture);
	return true;
}

/* ---- the end ---- */

void record_file_stop(struct recording *r)
{
	r->ended_ms = now_ms(r);
	record_file_log(r, "ends");
	r->is_going = false;
	record_file_segments_end(r, NULL);
	r->call = NULL;
	r->room = NULL;
	capture_stop(r->capture);
}

/* The file is complete, or has failed. */
static void on_capture_end(struct capture *c, const struct capture_result *result, void *arg)
{
	struct recording *r = arg;
	struct calls *cs = r->calls;

	(void)c;
	r->capture = NULL;
	if (has_owner(r)) { /* by itself */
		r->ended_ms = now_ms(r);
		record_file_segments_end(r, NULL);
		r->on_failed(r);
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
