/* decision.c - the decisions of a call as lines of JSON.
 *
 * They are written in their last form at once, so that all that is left to do at the end is to copy them.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "base/member.h"
#include "call/decision.h"

#define FIRST_SIZE 256
#define SIZE_STEP 64
#define LINE_BYTES_MAX 1024      /* most have 50; one of long texts that are all escapes isn't kept */

struct decisions {
	uint16_t len, size;      /* of text */
	unsigned n, ngone;       /* lines in all, and those that were in the middle */
	char text[];
};

static const char *const names[DECISION_COUNT] = {
	[DECISION_CALLER] = "caller", [DECISION_REFUSED] = "refused", [DECISION_BLOCKED] = "blocked", [DECISION_LIMIT] = "limit",
	[DECISION_INBOUND] = "inbound", [DECISION_EMERGENCY] = "emergency", [DECISION_SENT] = "sent", [DECISION_ROUTE] = "route",
	[DECISION_NO_ROUTE] = "no_route", [DECISION_UNKNOWN] = "unknown", [DECISION_LOOP] = "loop", [DECISION_STEP] = "step",
	[DECISION_SKIPPED] = "skipped", [DECISION_RESULT] = "result", [DECISION_TRUNK_NEXT] = "trunk_next",
	[DECISION_TRUNK_NOT_DUE] = "trunk_not_due", [DECISION_NOT_RUNG] = "not_rung", [DECISION_NO_ANSWER] = "no_answer", [DECISION_FORWARD] = "forward",
	[DECISION_NO_FORWARD] = "no_forward", [DECISION_HOPS] = "hops", [DECISION_RING] = "ring", [DECISION_CANT_RING] = "cant_ring",
	[DECISION_RINGS] = "rings", [DECISION_REFUSES] = "refuses", [DECISION_FAILED] = "failed", [DECISION_CANCEL] = "cancel",
	[DECISION_GIVES_UP] = "gives_up", [DECISION_ANSWERS] = "answers", [DECISION_ANSWERED] = "answered",
	[DECISION_TALKS] = "talks", [DECISION_CONVERTS] = "converts", [DECISION_NO_CODEC] = "no_codec",
	[DECISION_ENCRYPTION] = "encryption", [DECISION_INSECURE] = "insecure", [DECISION_LATCHED] = "latched",
	[DECISION_SILENT] = "silent", [DECISION_HOLDS] = "holds", [DECISION_RESUMES] = "resumes", [DECISION_TAKES_PLACE] = "takes_place",
	[DECISION_LEAVES] = "leaves", [DECISION_HANGS_UP] = "hangs_up", [DECISION_TOLD] = "told",
	[DECISION_BUDGET] = "budget", [DECISION_BUDGET_WARNS] = "budget_warns", [DECISION_BUDGET_ENDS] = "budget_ends",
	[DECISION_REWRITE] = "rewrite", [DECISION_REWRITE_CALLER] = "rewrite_caller",
	[DECISION_ORIGINATED] = "originated", [DECISION_HUNG_UP_BY] = "hung_up_by", [DECISION_COMMANDED] = "commanded",
	[DECISION_LEG_HUNG_UP_BY] = "leg_hung_up_by", [DECISION_LEG_SENT_BY] = "leg_sent_by", [DECISION_LEG_COMMANDED] = "leg_commanded",
	[DECISION_SCRIPT_STEP] = "script_step", [DECISION_SCRIPT_ERROR] = "script_error",
};

struct decision_int decision_int(int64_t v)
{
	struct decision_int text;
	struct out o;

	out_init(&o, text.z, sizeof(text.z) - 1);
	out_i64(&o, v);
	text.z[o.len] = '\0';
	return text;
}

/* ---- the buffer ---- */

/* Of the lines those of the middle half go: how it began and how it went on last tell most. */
static void drop_middle(struct decisions *d)
{
	const char *end = d->text + d->len, *from = memchr(d->text + d->len / 4, '\n', d->len - d->len / 4), *to;

	if (!from || ++from >= end)
		return;
	to = memchr(d->text + d->len * 3 / 4, '\n', d->len - d->len * 3 / 4);
	if (!to || ++to <= from)
		return;
	for (const char *p = from; p < to; p++)
		d->ngone += *p == '\n';
	memmove(d->text + (from - d->text), to, (size_t)(end - to));
	d->len -= (uint16_t)(to - from);
}

static struct decisions *make_room(struct call *call, size_t n)
{
	struct decisions *d = call->decisions, *more;
	size_t size = d ? d->size : FIRST_SIZE - sizeof(*d);

	while (size < (d ? d->len : 0) + n)
		size += size < 1024 ? SIZE_STEP : size; /* most calls are over with little more than the first */
	if (size > DECISIONS_MAX)
		size = DECISIONS_MAX;
	if (d && d->len + n > size) {
		drop_middle(d);
		return d->len + n <= d->size ? d : NULL;
	}
	if (d && size == d->size)
		return d;
	more = realloc(d, sizeof(*d) + size);
	if (!more)
		return NULL;
	if (!d)
		*more = (struct decisions){ 0 };
	more->size = (uint16_t)size;
	call->decisions = more;
	return more;
}

static void add(struct call *call, enum decision kind, unsigned leg, va_list texts)
{
	char line[LINE_BYTES_MAX], part[DECISION_TEXT_MAX + 1];
	struct decisions *d;
	const char *text;
	size_t len;              /* up to the last text that isn't empty: those behind it needn't be said */
	struct out o;

	out_init(&o, line, sizeof(line));
	out_chr(&o, '[');
	out_i64(&o, call_now_ms(call) - call->started_ms);
	out_z(&o, ",\"");
	out_z(&o, names[kind]);
	out_chr(&o, '"');
	if (leg) {
		out_chr(&o, ',');
		out_u64(&o, leg);
	}
	len = o.len;
	while ((text = va_arg(texts, const char *)) != NULL) {
		out_chr(&o, ',');
		str_put(part, sizeof(part), text);
		member_print_text(&o, part);
		len = *text ? o.len : len;
	}
	o.len = len;
	out_z(&o, "],\n");
	d = out_ok(&o) ? make_room(call, o.len) : NULL;
	if (!d)
		return;
	memcpy(d->text + d->len, o.p, o.len);
	d->len += (uint16_t)o.len;
	d->n++;
	if (call->prev) /* it is one that others see */
		live_call(call);
}

void decided(struct call *call, enum decision kind, ...)
{
	va_list texts;

	va_start(texts, kind);
	add(call, kind, 0, texts);
	va_end(texts);
}

void leg_decided(const struct leg *leg, enum decision kind, ...)
{
	va_list texts;

	va_start(texts, kind);
	add(leg->call, kind, leg->id, texts);
	va_end(texts);
}

void decisions_print(struct out *o, const struct call *call)
{
	const struct decisions *d = call->decisions;

	if (!d || !d->len)
		return;
	out_str(o, KEY("decisions"));
	out_chr(o, '[');
	if (d->ngone) {
		out_z(o, "[0,\"more\",\"");
		out_u64(o, d->ngone);
		out_z(o, "\"],");
	}
	out_mem(o, d->text, d->len - 2u); /* without the last comma */
	out_z(o, "],");
}

unsigned decisions_count(const struct call *call)
{
	return call->decisions ? call->decisions->n : 0;
}

void decisions_free(struct call *call)
{
	free(call->decisions);
	call->decisions = NULL;
}
