/* app_script.c - scripts on the task of a call: every application is a function.
 *
 * A script waits as applications do, but needs a deeper stack: it has a task of its own, which stands for the call's as long as it runs.
 * Arguments are checked as those of steps are when they are written, and what is a list is one because the script made it one:
 * nothing that a caller says becomes a second number, nor a file. When the caller has gone the application that is being called
 * returns, and the script goes no further.
 */
#define LOG_MODULE "script"
#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "call/decision.h"
#include "script/script.h"

#define FUNCTIONS_MAX 64
#define PARAMS_MAX 32         /* of an application, twice as many as any has */
#define NESTED_MAX 4          /* scripts, one from the other */
#define VALUE_MAX 1000        /* bytes of an argument, as in steps */
#define TURN_MS 1

struct script_run {
	struct script_run *next;  /* of those that wait for their turn */
	struct script_run *outer; /* from which it is run; NULL: none */
	struct call *call;
	struct task *caller;      /* the task that waits for its end */
	const char *name, *source;
	uint64_t *left;           /* instructions, which nested ones share */
	size_t memory;
	const char *names[FUNCTIONS_MAX + 1];
	unsigned napps, depth;
	bool is_waiting;
	enum script_end how;
	enum app_result last;     /* of the last application */
	char text[SCRIPT_TEXT_MAX];
};

/* ---- turns ---- */

static void on_turn(void *arg)
{
	struct calls *cs = arg;
	struct script_run *run = cs->script_turns.first;

	if (!run)
		return;
	LL_DELETE(cs->script_turns.first, run);
	run->is_waiting = false;
	call_wake(run->call);
	if (cs->script_turns.first)
		timer_start(cs->p.timers, &cs->script_turns.timer, TURN_MS);
}

void script_turns_init(struct calls *cs)
{
	timer_init(&cs->script_turns.timer, on_turn, cs);
}

static bool on_pause(void *arg)
{
	struct script_run *run = arg;
	struct calls *cs = run->call->calls;

	if (!cs->script_turns.first)
		timer_start(cs->p.timers, &cs->script_turns.timer, TURN_MS);
	run->is_waiting = true;
	LL_APPEND(cs->script_turns.first, run);
	while (run->is_waiting)
		call_wait(run->call, UINT64_MAX);
	return !run->call->is_hungup;
}

/* ---- arguments ---- */

static bool is_digits(const char *z)
{
	size_t n = strspn(z, "0123456789");

	return n >= 1 && n <= 9 && !z[n];
}

static bool is_word_of(const char *z, const char *words)
{
	struct str rest = str_from(words);

	while (rest.p) {
		struct str word = str_cut(&rest, ' ');

		if (str_eqz(word, z))
			return true;
	}
	return false;
}

static const char *words_of(const struct app *app, const char *param)
{
	for (const struct app_choice *c = app->choices; c && c->param; c++)
		if (!strcmp(c->param, param))
			return c->words;
	return NULL;
}

/* Why it is none that the parameter takes; NULL: it is one. */
static const char *value_problem(const struct app *app, const struct app_param *p, const struct script_arg *a)
{
	bool is_list = p->type == APP_NUMBER || p->type == APP_PROMPT;
	const char *words = words_of(app, p->name);

	if (strlen(a->text) > VALUE_MAX)
		return "is too long";
	if (p->is_required && !*a->text)
		return "is empty";
	if (a->is_list && !is_list)
		return "is one value, not a list";
	if (words && !is_word_of(a->text, words))
		return "is none of the words it can be";
	if (is_list && !a->is_list && strchr(a->text, '&'))
		return "has an '&' in it: give a list, { \"...\", \"...\" }";
	switch (p->type) {
	case APP_INT:
		return is_digits(a->text + (*a->text == '-')) ? NULL : "is no whole number";
	case APP_SECONDS:
		return is_digits(a->text) ? NULL : "is no number of seconds";
	case APP_BOOL:
		return is_word_of(a->text, "true yes on 1 false no off 0") ? NULL : "is neither true nor false";
	case APP_NUMBER:
		return strpbrk(a->text, " \t\r\n") ? "is no number that can be dialled" : NULL;
	case APP_PROMPT:
		return *a->text == '/' || strstr(a->text, "&/") ? "is a file, not a prompt" : NULL;
	default:
		return NULL;
	}
}

static int take_arg(struct call *call, const char *name, const char *value)
{
	struct call_arg *a = call_alloc(call, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->name = name;
	a->value = call_strdup(call, value);
	if (!a->value)
		return -ENOMEM;
	LL_PREPEND(call->args, a);
	return 0;
}

/* Which parameter of call->app it is for; app->nparams: none, and out->error says so. */
static unsigned param_of(const struct app *app, const struct script_call *c, unsigned i, struct script_value *out)
{
	const char *name = c->args[i].name;
	const struct app_param *p = name ? param_find(app, name) : i < app->nparams ? &app->params[i] : NULL;

	if (!p && name)
		snprintf(out->error, sizeof(out->error), "%s has no argument %s", app->name, name);
	else if (!p)
		snprintf(out->error, sizeof(out->error), "%s has %u arguments", app->name, app->nparams);
	return p ? (unsigned)(p - app->params) : app->nparams;
}

/* Those of call->app, in its order; false: out->error says why not. */
static bool take_args(struct call *call, const struct script_call *c, struct script_value *out)
{
	const struct script_arg *given[PARAMS_MAX] = { NULL };
	const struct app *app = call->app;

	assert(app->nparams <= PARAMS_MAX);
	for (unsigned i = 0; i < c->nargs; i++) {
		unsigned at = param_of(app, c, i, out);

		if (at == app->nparams)
			return false;
		given[at] = c->args[i].text ? &c->args[i] : NULL;
	}
	for (unsigned i = app->nparams; i-- > 0;) {
		const struct app_param *p = &app->params[i];
		const char *problem = !given[i] ? NULL : value_problem(app, p, given[i]);

		if (given[i] && !problem && take_arg(call, p->name, given[i]->text) != 0)
			problem = "has no room in memory";
		if (problem)
			snprintf(out->error, sizeof(out->error), "%s: %s %s", app->name, p->name, problem);
		else if (!given[i] && p->is_required && !p->def)
			snprintf(out->error, sizeof(out->error), "%s needs an argument %s", app->name, p->name);
		if (out->error[0])
			return false;
	}
	return true;
}

/* ---- functions ---- */

static void call_app(struct script_run *run, const struct app *app, const struct script_call *c, struct script_value *out)
{
	struct call *call = run->call;
	char text[STEP_ARGS_TEXT];
	struct outer_step outer;
	enum app_result r = APP_OK;

	step_enter(call, app, &outer);
	if (take_args(call, c, out)) {
		step_print_args(call, text);
		decided(call, DECISION_SCRIPT_STEP, run->name, decision_int(c->line).z, app->name, text, NULL);
		r = app->run(call);
		run->last = step_leave(call, r, &outer);
		out->text = app_result_name(run->last);
	} else
		step_leave(call, r, &outer);
	/* A loop of routes is left the way it came; who has gone, or has waited long enough for an answer, needs no more. */
	out->is_over = call->is_hungup || call->is_looping || call_is_overdue(call) || r == APP_HANGUP || r == APP_MOVED;
	if (call->is_hungup)
		run->last = call->is_moved ? APP_MOVED : APP_HANGUP;
}

static const char *text_of(const struct script_call *c, unsigned i)
{
	return i < c->nargs && !c->args[i].name ? c->args[i].text : NULL;
}

static void fn_get(struct call *call, const struct script_call *c, struct script_value *out)
{
	if (text_of(c, 0))
		out->text = app_var(call, text_of(c, 0));
}

static void fn_exists(struct call *call, const struct script_call *c, struct script_value *out)
{
	out->has_truth = true;
	out->truth = text_of(c, 0) && app_number_exists(call, text_of(c, 1), text_of(c, 0));
}

static void fn_is_answered(struct call *call, const struct script_call *c, struct script_value *out)
{
	(void)c;
	out->has_truth = true;
	out->truth = app_is_answered(call);
}

static void fn_now(struct call *call, const struct script_call *c, struct script_value *out)
{
	(void)c;
	out->has_number = true;
	out->number = app_now_ms(call) / 1000;
}

/* Besides the applications. */
static const struct function {
	const char *name;
	void (*fn)(struct call *call, const struct script_call *c, struct script_value *out);
} functions[] = { { "get", fn_get }, { "exists", fn_exists }, { "is_answered", fn_is_answered }, { "now", fn_now } };

static void on_call(const struct script_call *c, struct script_value *out, void *arg)
{
	struct script_run *run = arg;

	if (run->call->is_hungup)
		out->is_over = true;
	else if (c->fn < run->napps)
		call_app(run, app_table[c->fn], c, out);
	else
		functions[c->fn - run->napps].fn(run->call, c, out);
}

static void on_log(const char *text, void *arg)
{
	struct script_run *run = arg;

	app_log(run->call, "script=%s %s", run->name, text);
}

/* ---- a run ---- */

static void take_names(struct script_run *run)
{
	unsigned n = 0;

	while (app_table[n] && n < FUNCTIONS_MAX - ARRAY_LEN(functions)) {
		run->names[n] = app_table[n]->name;
		n++;
	}
	run->napps = n;
	for (size_t i = 0; i < ARRAY_LEN(functions); i++)
		run->names[n++] = functions[i].name;
	run->names[n] = NULL;
}

static void run_script(void *arg)
{
	struct script_run *run = arg;
	const struct script_host host = { .names = run->names, .call = on_call, .pause = on_pause, .log = on_log };
	const struct script_params p = { .name = run->name, .source = run->source, .memory = run->memory, .host = &host, .arg = run };

	run->how = script_run(&p, run->left, run->text);
}

static void on_end(void *arg)
{
	struct script_run *run = arg;

	run->call->task = run->caller;
	task_wake(run->caller, 0);
}

static enum app_result result_of(const char *text)
{
	for (unsigned r = 0; r < APP_RESULT_COUNT; r++)
		if (r != APP_HANGUP && r != APP_MOVED && !strcmp(app_result_name(r), text))
			return r;
	return APP_RESULT_COUNT;
}

static enum app_result conclude(struct script_run *run)
{
	struct call *call = run->call;
	enum app_result r;

	if (call->is_hungup)
		return call->is_moved ? APP_MOVED : APP_HANGUP;
	switch (run->how) {
	case SCRIPT_STOPPED:
		return run->last;
	case SCRIPT_DONE:
		/* Who has talked is through with the route, as with a step that dials. */
		r = run->text[0] ? result_of(run->text) : run->last == APP_ANSWERED ? APP_ANSWERED : APP_OK;
		/* What somebody who was called has said isn't it any more, if the script says another thing. */
		if (r != run->last)
			call->reject_status = 0;
		if (r != APP_RESULT_COUNT)
			return r;
		decided(call, DECISION_SCRIPT_ERROR, run->name, "it returns a text that is no result", run->text, NULL);
		return APP_ERROR;
	default:
		log_warn(call->calls->p.log, "call=%s script=%s %s", call->id, run->name, run->text);
		decided(call, DECISION_SCRIPT_ERROR, run->name, run->text, NULL);
		return APP_ERROR;
	}
}

static enum app_result start(struct script_run *run)
{
	struct tasks *ts = run->call->calls->p.tasks;

	run->caller = run->call->task;
	if (task_start_deep(&run->call->task, ts, SCRIPT_STACK, run_script, on_end, run) != 0) {
		run->call->task = run->caller;
		decided(run->call, DECISION_SCRIPT_ERROR, run->name, "there is no memory for it", NULL);
		return APP_ERROR;
	}
	run->call->script = run;
	task_park(ts);
	run->call->script = run->outer;
	return conclude(run);
}

enum app_result app_run_script(struct call *call, const char *name)
{
	const struct dir_script *s;
	struct script_run *run;
	uint64_t left;

	if (call->is_hungup)
		return APP_HANGUP;
	switch (directory_script(call->calls->p.directory, call->domain, str_from(name), &s)) {
	case DIR_UNKNOWN:
		decided(call, DECISION_UNKNOWN, "script", NULL);
		return APP_CONGESTION;
	case DIR_ABSENT:
		decided(call, DECISION_SCRIPT_ERROR, name, "there is none of that name", NULL);
		return APP_ERROR;
	case DIR_FOUND:
		break;
	}
	if (call->script && call->script->depth == NESTED_MAX) {
		decided(call, DECISION_SCRIPT_ERROR, name, "too many scripts lead into each other", NULL);
		return APP_ERROR;
	}
	/* The row may be another one when it waits. */
	run = call_alloc(call, sizeof(*run));
	if (run) {
		run->name = call_strdup(call, s->name);
		run->source = call_strdup(call, s->source);
	}
	if (!run || !run->name || !run->source)
		return APP_FAILED;
	left = s->instructions;
	run->call = call;
	run->outer = call->script;
	run->depth = run->outer ? run->outer->depth + 1 : 1;
	run->left = run->outer ? run->outer->left : &left;
	run->memory = (size_t)s->memory_kb * 1024;
	take_names(run);
	return start(run);
}
