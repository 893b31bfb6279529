/* steps.c - runs a route: conditions, arguments, one application after the other.
 *
 * Conditions and arguments are looked at just before each step, so that they see what the steps before it left in the
 * variables. The arguments live until the application returns.
 */
#define LOG_MODULE "plan"
#include <stdlib.h>
#include <utlist.h>

#include "call/decision.h"
#include "call/rewrite.h"
#include "call/schedule.h"
#include "base/log.h"

/* ---- variables ---- */

/* "open" or "closed"; one that isn't there, or isn't known yet, is closed. */
static struct str schedule_state(const struct call *call, struct str name)
{
	const struct dir_schedule *s;

	if (directory_schedule(call->calls->p.directory, call->domain, name, &s) != DIR_FOUND ||
	    !schedule_is_open(s, &call->calls->zones, call_now_ms(call) / 1000))
		return STR("closed");
	return STR("open");
}

struct str call_var_find(struct str name, void *arg)
{
	struct call *call = arg;
	const struct { const char *name, *value; } fixed[] = {
		{ "number", call->number }, { "caller", call->caller.number },
		{ "domain", call->domain }, { "context", call->context }, { "language", call->language },
		{ "trunk", call->caller.trunk }, { "result", app_result_name(call->result) }, { "call", call->id },
		{ "timezone", call->timezone }, { "node", call->calls->p.node },
	};

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (str_eqz(name, fixed[i].name))
			return str_from(fixed[i].value);
	if (str_starts(name, STR("schedule:")))
		return schedule_state(call, str_from_at(name, strlen("schedule:")));
	if (str_starts(name, STR("caller_")) && call->caller_leg)
		return told_var(call->caller_leg, str_from_at(name, strlen("caller_")));
	for (const struct call_var *v = call->vars; v; v = v->next)
		if (str_eqz(name, v->name))
			return str_from(v->value);
	return STR_NULL;
}

const char *app_var(struct call *call, const char *name)
{
	return call_var_find(str_from(name), call).p;
}

int app_set_var(struct call *call, const char *name, const char *value)
{
	struct call_var *v;
	char *copy;

	if (!strcmp(name, "language")) {
		str_put(call->language, sizeof(call->language), value);
		return 0;
	}
	if (!strncmp(name, "caller_", 7) && call->caller_leg && told_set_var(call->caller_leg, name + 7, value))
		return 0;
	LL_FOREACH(call->vars, v)
		if (!strcmp(v->name, name))
			break;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	if (!v) {
		v = calloc(1, sizeof(*v));
		if (v)
			v->name = strdup(name);
		if (!v || !v->name) {
			free(v);
			free(copy);
			return -ENOMEM;
		}
		LL_PREPEND(call->vars, v);
	}
	free(v->value);
	v->value = copy;
	return 0;
}

void call_set_result(struct call *call, enum app_result r)
{
	call->result = r;
}

/* ---- arguments ---- */

const struct app_param *param_find(const struct app *app, const char *name)
{
	for (unsigned i = 0; i < app->nparams; i++)
		if (!strcmp(app->params[i].name, name))
			return &app->params[i];
	return NULL;
}

const char *app_arg(struct call *call, const char *name)
{
	const struct app_param *param = param_find(call->app, name);

	for (const struct call_arg *a = call->args; a; a = a->next)
		if (!strcmp(a->name, name))
			return a->value;
	return param ? param->def : NULL;
}

int64_t app_arg_int(struct call *call, const char *name)
{
	const char *text = app_arg(call, name);

	return text ? strtoll(text, NULL, 10) : 0;
}

bool app_arg_bool(struct call *call, const char *name)
{
	const char *text = app_arg(call, name);

	return text && (!strcmp(text, "true") || !strcmp(text, "yes") || !strcmp(text, "on") || !strcmp(text, "1"));
}

/* May it be several, with '&' between them? */
static bool is_list(const struct app_param *param)
{
	return param && (param->type == APP_NUMBER || param->type == APP_PROMPT);
}

/* Never part of what calls it: an application runs above that, maybe for an hour, and what lies there is kept all the time. */
__attribute__((noinline)) static int set_args(struct call *call, const struct step *step)
{
	char buf[1024];

	for (unsigned i = 0; i < step->nargs; i++) {
		const struct step_arg *arg = &step->args[i];
		struct call_arg *a;
		int err;

		if (is_list(param_find(call->app, arg->name)))
			err = plan_substitute_list(arg->value, call_var_find, call, buf, sizeof(buf));
		else
			err = plan_substitute(arg->value, call_var_find, call, buf, sizeof(buf));
		if (err < 0)
			return err;
		if (err)
			log_warn(call->calls->p.log, "call=%s %s=%s: a variable has a value that has no place there", call->id, arg->name, arg->value);
		a = call_alloc(call, sizeof(*a));
		if (!a)
			return -ENOMEM;
		a->name = call_strdup(call, arg->name);
		a->value = call_strdup(call, buf);
		if (!a->name || !a->value)
			return -ENOMEM;
		LL_PREPEND(call->args, a);
	}
	return 0;
}

/* ---- steps ---- */

static const struct app *app_by_name(const char *name)
{
	for (unsigned i = 0; app_table[i]; i++)
		if (!strcmp(app_table[i]->name, name))
			return app_table[i];
	return NULL;
}

_Static_assert(STEP_ARGS_TEXT == DECISION_TEXT_MAX + 1, "as much as is kept");

/* As far as they fit. */
void step_print_args(const struct call *call, char args[STEP_ARGS_TEXT])
{
	struct out o;

	out_init(&o, args, STEP_ARGS_TEXT - 1);
	for (const struct call_arg *a = call->args; a && out_ok(&o); a = a->next) {
		size_t len = o.len;

		out_z(&o, len ? ", " : "");
		out_z(&o, a->name);
		out_chr(&o, '=');
		out_z(&o, a->value);
		if (!out_ok(&o)) /* half of one would be another */
			o.len = len;
	}
	args[o.len] = '\0';
}

/* What it does. Never part of its caller, as set_args(). */
__attribute__((noinline)) static void note_step(struct call *call, unsigned position, const struct step *step)
{
	char args[STEP_ARGS_TEXT];

	step_print_args(call, args);
	decided(call, DECISION_STEP, decision_int(position).z, step->app, args, NULL);
}

/* The variable that was looked at last: the one that decided. Its name is the condition's for as long as it is looked at, no longer. */
struct asked { struct call *call; char name[64], value[64]; };

static struct str ask(struct str name, void *arg)
{
	struct asked *a = arg;
	struct str value = call_var_find(name, a->call);

	str_copy(name, a->name, sizeof(a->name));
	str_copy(value, a->value, sizeof(a->value));
	return value;
}

/* Nor this. */
__attribute__((noinline)) static bool condition_holds(struct call *call, unsigned position, const struct step *step)
{
	struct asked asked = { .call = call };

	if (!step->condition || plan_condition_holds(step->condition, ask, &asked))
		return true;
	decided(call, DECISION_SKIPPED, decision_int(position).z, step->app, step->condition, asked.name, asked.value, NULL);
	return false;
}

static bool is_final(enum app_result r)
{
	return r == APP_HANGUP || r == APP_ANSWERED || r == APP_MOVED;
}

void step_enter(struct call *call, const struct app *app, struct outer_step *outer)
{
	*outer = (struct outer_step){ call->app, call->args, call->blocks };
	call->app = app;
	live_call(call);
	call->args = NULL;
	call->blocks = NULL;
}

enum app_result step_leave(struct call *call, enum app_result r, const struct outer_step *outer)
{
	if (r == APP_HANGUP && call->is_moved)
		r = APP_MOVED;
	if (r != APP_OK && !is_final(r) && !call->is_looping && call->app)
		decided(call, DECISION_RESULT, call->app->name, app_result_name(r), NULL);
	call_free_blocks(call);
	call->app = outer->app;
	call->args = outer->args;
	call->blocks = outer->blocks;
	return r;
}

static enum app_result run_step(struct call *call, unsigned position, const struct step *step)
{
	enum app_result r = APP_FAILED;
	struct outer_step outer;

	step_enter(call, app_by_name(step->app), &outer);
	if (!call->app)
		log_error(call->calls->p.log, "call=%s application %s is unknown to this server", call->id, step->app);
	else if (set_args(call, step) != 0)
		log_error(call->calls->p.log, "call=%s arguments of %s can't be made", call->id, step->app);
	else {
		log_debug(call->calls->p.log, "call=%s step app=%s", call->id, step->app);
		note_step(call, position, step);
		r = call->app->run(call);
		log_debug(call->calls->p.log, "call=%s app=%s result=%s", call->id, step->app, app_result_name(r));
	}
	return step_leave(call, r, &outer);
}

static enum app_result run_route(struct call *call, const struct route *route)
{
	const struct step *steps;
	unsigned n = route_steps(route, &steps);

	for (unsigned i = 0; i < n && !call->is_hungup && !call->is_looping && !call_is_overdue(call); i++) {
		if (!condition_holds(call, i + 1, &steps[i]))
			continue;
		call_set_result(call, run_step(call, i + 1, &steps[i]));
		if (is_final(call->result))
			return call->result;
	}
	if (call->is_hungup)
		return call->is_moved ? APP_MOVED : APP_HANGUP;
	return call->result;
}

enum app_result steps_run(struct call *call, const char *context, const char *number)
{
	struct calls *cs = call->calls;
	char outer_number[sizeof(call->number)], outer_context[sizeof(call->context)];
	struct route *route;
	enum app_result r;

	/* The way back out must not go in again: two routes that enter each other twice would be entered a million times. */
	if (call->is_looping)
		return APP_FAILED;
	if (call->depth == CALL_GOTO_MAX) {
		call->is_looping = true;
		decided(call, DECISION_LOOP, number, decision_int(CALL_GOTO_MAX).z, NULL);
		log_warn(cs->p.log, "call=%s more than %d routes entered one from the other", call->id, CALL_GOTO_MAX);
		return APP_FAILED;
	}
	switch (plan_match(cs->p.plan, call->domain, context, str_from(number), &route)) {
	case DIR_ABSENT:
		decided(call, DECISION_NO_ROUTE, number, context, NULL);
		log_info(cs->p.log, "call=%s no route context=%s number=%s", call->id, context, number);
		return APP_INVALID;
	case DIR_UNKNOWN:
		decided(call, DECISION_UNKNOWN, "dialplan", NULL);
		return APP_CONGESTION;
	case DIR_FOUND:
		break;
	}
	decided(call, DECISION_ROUTE, number, route_context(route), route_pattern(route), decision_int(directory_seq(cs->p.directory)).z, NULL);
	str_put(outer_number, sizeof(outer_number), call->number);
	str_put(outer_context, sizeof(outer_context), call->context);
	if (call->number != number)
		str_put(call->number, sizeof(call->number), number);
	if (call->context != context)
		str_put(call->context, sizeof(call->context), context);
	if (call->depth++ == 0) {
		text_keep(&call->route, route_pattern(route));
		text_keep(&call->route_context, route_context(route));
		call->version = directory_seq(cs->p.directory);
	}
	rewrite_by_route(call, route);
	call_set_result(call, APP_OK);
	r = run_route(call, route);
	call->depth--;
	str_put(call->number, sizeof(call->number), outer_number);
	str_put(call->context, sizeof(call->context), outer_context);
	route_release(route);
	return r;
}

enum app_result app_goto(struct call *call, const char *context, const char *number)
{
	return steps_run(call, context ? context : call->context, number);
}

bool app_number_exists(struct call *call, const char *context, const char *number)
{
	struct route *route;

	if (plan_match(call->calls->p.plan, call->domain, context ? context : call->context, str_from(number), &route) != DIR_FOUND)
		return false;
	route_release(route);
	return true;
}

bool app_number_begins(struct call *call, const char *context, const char *digits)
{
	struct directory *d = call->calls->p.directory;

	return directory_extension_begins(d, call->domain, str_from(digits)) &&
	       plan_match_prefix(call->calls->p.plan, call->domain, context ? context : call->context, str_from(digits));
}
