/* route.c - makes routes: once to know how large, once to fill.
 *
 * Arguments come as PostgreSQL prints jsonb, a million of them while calls go on, so they are cut from the text as they are: it has no
 * other escapes in it than those that JSON demands. What is no text becomes the text that stands there; null is as if it were not there.
 */
#include "plan/route.h"

#include <stdalign.h>
#include <stdlib.h>

void route_release(struct route *r)
{
	if (!r || --r->refs)
		return;
	free(r);
}

const char *route_pattern(const struct route *r) { return r->pattern; }
const char *route_context(const struct route *r) { return r->context; }
const char *route_value(const struct route *r) { return r->value; }

unsigned route_steps(const struct route *r, const struct step **out)
{
	*out = r->steps;
	return r->nsteps;
}

/* ---- arguments ---- */

static void skip_space(struct str *rest)
{
	while (rest->n && str_is_space(rest->p[0]))
		*rest = str_from_at(*rest, 1);
}

/* Is that the next character? Then it is gone. */
static bool skip(struct str *rest, char c)
{
	skip_space(rest);
	if (!rest->n || rest->p[0] != c)
		return false;
	*rest = str_from_at(*rest, 1);
	return true;
}

/* What is between the quotes of the text that begins rest. */
static bool cut_text(struct str *rest, struct str *out)
{
	size_t i = 1;

	if (!rest->n || rest->p[0] != '"')
		return false;
	for (; i < rest->n && rest->p[i] != '"'; i++)
		i += rest->p[i] == '\\';
	if (i >= rest->n)
		return false;
	*out = (struct str){ rest->p + 1, i - 1 };
	*rest = str_from_at(*rest, i + 1);
	return true;
}

/* A value that is no text, up to the ',' or '}' behind it. */
static bool cut_other(struct str *rest, struct str *out)
{
	struct str at = *rest, text;
	unsigned depth = 0;

	for (; at.n && (depth || (at.p[0] != ',' && at.p[0] != '}')); at = str_from_at(at, 1)) {
		if (at.p[0] == '"') {
			if (!cut_text(&at, &text))
				return false;
			at = (struct str){ at.p - 1, at.n + 1 };
			continue;
		}
		depth += at.p[0] == '{' || at.p[0] == '[';
		depth -= at.p[0] == '}' || at.p[0] == ']';
	}
	*out = str_trim((struct str){ rest->p, rest->n - at.n });
	*rest = at;
	return out->n && at.n;
}

struct arg { struct str name, value; bool is_text; };

/* 1 and the next argument, as it is written; 0: there is none; -1: it makes no sense. rest is behind the '{' at first. */
static int next_arg(struct str *rest, struct arg *out)
{
	bool is_there;

	do {
		if (skip(rest, '}'))
			return 0;
		skip(rest, ',');
		skip_space(rest);
		if (!cut_text(rest, &out->name) || !skip(rest, ':'))
			return -1;
		skip_space(rest);
		out->is_text = rest->n && rest->p[0] == '"';
		is_there = out->is_text ? cut_text(rest, &out->value) : cut_other(rest, &out->value);
		if (!is_there)
			return -1;
	} while (!out->is_text && str_eqz(out->value, "null"));
	return 1;
}

static char unescaped(struct str *rest)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	char c = rest->p[0];
	const char *known;
	unsigned code = 0;

	*rest = str_from_at(*rest, 1);
	if (c != '\\' || !rest->n)
		return c;
	c = rest->p[0];
	*rest = str_from_at(*rest, 1);
	known = c ? strchr(from, c) : NULL;
	if (known)
		return to[known - from];
	if (c != 'u')
		return c;
	/* Those of control characters alone are written so. */
	for (unsigned i = 0; i < 4 && rest->n; i++, *rest = str_from_at(*rest, 1))
		code = code * 16 + (unsigned)(rest->p[0] <= '9' ? rest->p[0] - '0' : (rest->p[0] | 0x20) - 'a' + 10);
	return (char)code;
}

/* ---- routes ---- */

/* The room that texts take, and then the texts. */
struct texts { char *at; size_t size; };

static const char *text_add(struct texts *t, struct str s)
{
	char *at = t->at;

	t->size += s.n + 1;
	if (!at)
		return NULL;
	if (s.n)
		memcpy(at, s.p, s.n);
	at[s.n] = '\0';
	t->at += s.n + 1;
	return at;
}

static const char *text_add_escaped(struct texts *t, struct str s)
{
	char *at = t->at;
	size_t n = 0;

	if (memchr(s.p, '\\', s.n) == NULL)
		return text_add(t, s);
	for (; s.n; n++) {
		char c = unescaped(&s);

		if (at)
			at[n] = c;
	}
	t->size += n + 1;
	if (!at)
		return NULL;
	at[n] = '\0';
	t->at += n + 1;
	return at;
}

static bool measure_args(struct str args, struct texts *t, unsigned *nargs)
{
	struct arg arg;
	int next;

	if (!skip(&args, '{'))
		return false;
	while ((next = next_arg(&args, &arg)) > 0) {
		text_add_escaped(t, arg.name);
		(arg.is_text ? text_add_escaped : text_add)(t, arg.value);
		++*nargs;
	}
	return next == 0;
}

static void fill_args(struct str args, struct texts *t, struct step_arg *out)
{
	struct arg arg;

	skip(&args, '{');
	for (; next_arg(&args, &arg) > 0; out++) {
		out->name = text_add_escaped(t, arg.name);
		out->value = (arg.is_text ? text_add_escaped : text_add)(t, arg.value);
	}
}

static void add_names(struct texts *t, struct str context, struct str value, struct route *out)
{
	const char *c = text_add(t, context), *v = value.p ? text_add(t, value) : NULL;

	if (out) {
		out->context = c;
		out->value = v;
	}
}

/* Room for that, and its texts where they begin. */
static struct route *route_alloc(struct str pattern, unsigned nsteps, unsigned nargs, struct texts *t)
{
	size_t head = (sizeof(struct route) + pattern.n + alignof(struct step)) & ~(alignof(struct step) - 1);
	struct route *r = malloc(head + nsteps * sizeof(struct step) + nargs * sizeof(struct step_arg) + t->size);

	if (!r)
		return NULL;
	r->refs = 1;
	r->nsteps = nsteps;
	r->steps = (struct step *)((char *)r + head);
	t->at = (char *)((struct step_arg *)&r->steps[nsteps] + nargs);
	memcpy(r->pattern, pattern.p, pattern.n);
	r->pattern[pattern.n] = '\0';
	return r;
}

struct route *route_new(struct str context, struct str pattern, struct str value, const struct route_step *step)
{
	struct texts t = { 0 };
	unsigned nargs = 0;
	struct route *r;

	add_names(&t, context, value, NULL);
	if (step) {
		text_add(&t, step->app);
		if (step->condition.p)
			text_add(&t, step->condition);
		if (!measure_args(step->args, &t, &nargs))
			return NULL;
	}
	r = route_alloc(pattern, step != NULL, nargs, &t);
	if (!r)
		return NULL;
	add_names(&t, context, value, r);
	if (step) {
		struct step *s = &r->steps[0];
		struct step_arg *args = (struct step_arg *)&r->steps[1];

		s->app = text_add(&t, step->app);
		s->condition = step->condition.p ? text_add(&t, step->condition) : NULL;
		s->position = 0;
		str_to_u32(step->position, UINT32_MAX, &s->position);
		s->nargs = nargs;
		s->args = args;
		fill_args(step->args, &t, args);
	}
	return r;
}

/* to: NULL while measuring */
static void copy_step(const struct step *from, struct step *to, struct step_arg *args, struct texts *t)
{
	const char *app = text_add(t, str_from(from->app)), *condition = from->condition ? text_add(t, str_from(from->condition)) : NULL;

	for (unsigned i = 0; i < from->nargs; i++) {
		const char *name = text_add(t, str_from(from->args[i].name)), *value = text_add(t, str_from(from->args[i].value));

		if (to)
			args[i] = (struct step_arg){ name, value };
	}
	if (to)
		*to = (struct step){ app, from->nargs, from->position, args, condition };
}

struct route *route_with(const struct route *a, const struct route *b)
{
	struct str context = str_from(a->context), value = str_from(a->value);
	unsigned nsteps = a->nsteps + b->nsteps, nargs = 0, ia = 0, ib = 0;
	struct texts t = { 0 };
	struct step_arg *args;
	struct route *r;

	add_names(&t, context, value, NULL);
	for (unsigned i = 0; i < nsteps; i++) {
		const struct step *from = i < a->nsteps ? &a->steps[i] : &b->steps[i - a->nsteps];

		copy_step(from, NULL, NULL, &t);
		nargs += from->nargs;
	}
	r = route_alloc(str_from(a->pattern), nsteps, nargs, &t);
	if (!r)
		return NULL;
	add_names(&t, context, value, r);
	args = (struct step_arg *)&r->steps[nsteps];
	for (unsigned i = 0; i < nsteps; i++) {
		bool is_b = ia == a->nsteps || (ib < b->nsteps && b->steps[ib].position < a->steps[ia].position);
		const struct step *from = is_b ? &b->steps[ib++] : &a->steps[ia++];

		copy_step(from, &r->steps[i], args, &t);
		args += from->nargs;
	}
	return r;
}
