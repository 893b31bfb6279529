/* menu.c - an IVR menu: a prompt, a choice of digits, and the number each leads to.
 *
 * A choice is taken at once when no longer one can begin with what was pressed; else a pause between digits ends it. When
 * the menu lets extensions be dialled, any number of its context counts as a choice.
 */
#include "apps.h"

#define DIGITS_MAX 16

struct entry { struct call *call; const struct app_menu *menu; };

static const char *choice_target(const struct app_menu *m, const char *digits)
{
	for (unsigned i = 0; i < m->nchoices; i++)
		if (!strcmp(m->choices[i].digits, digits))
			return m->choices[i].target;
	return NULL;
}

static bool is_prefix_of_choice(const struct app_menu *m, const char *digits)
{
	for (unsigned i = 0; i < m->nchoices; i++)
		if (strlen(m->choices[i].digits) > strlen(digits) && !strncmp(m->choices[i].digits, digits, strlen(digits)))
			return true;
	return false;
}

/* Whether more digits could matter can't be known of a dialplan's patterns: a whole number of it is taken at once, a choice only if
 * nothing dialable begins with it. */
static bool is_complete(const char *digits, void *arg)
{
	const struct entry *e = arg;

	if (is_prefix_of_choice(e->menu, digits))
		return false;
	if (choice_target(e->menu, digits))
		return !e->menu->dial_extensions || !app_number_begins(e->call, e->menu->context, digits);
	return e->menu->dial_extensions && strlen(digits) > 1 && app_number_exists(e->call, e->menu->context, digits);
}

static int ask(struct call *call, const struct app_menu *m, const char *prompt, char digits[DIGITS_MAX + 1])
{
	struct entry e = { call, m };
	struct app_read r = { .max = DIGITS_MAX, .first_ms = m->first_timeout_ms, .next_ms = m->digit_timeout_ms,
			      .is_complete = is_complete, .arg = &e, .say = app_say_new(call) };
	int n;

	if (!r.say)
		return -ENOMEM;
	say_phrases(r.say, prompt);
	n = app_read_digits(call, &r, digits);
	app_say_free(r.say);
	return n;
}

static enum app_result run(struct call *call)
{
	char digits[DIGITS_MAX + 1];
	struct app_menu m;
	int err = app_menu_find(call, app_arg(call, "menu"), &m);

	if (err)
		return err == -EAGAIN ? APP_CONGESTION : APP_INVALID;
	for (uint32_t attempt = 0; attempt <= m.retries; attempt++) {
		int n = ask(call, &m, m.prompt, digits);
		const char *target = n > 0 ? choice_target(&m, digits) : NULL;

		if (n < 0)
			return app_is_hungup(call) ? APP_HANGUP : APP_FAILED;
		if (!target && n > 0 && m.dial_extensions && app_number_exists(call, m.context, digits))
			target = digits;
		if (target) {
			app_log(call, "choice=%s target=%s", digits, target);
			return app_goto(call, m.context, target);
		}
		if (n > 0 && app_play(call, m.invalid_prompt ? m.invalid_prompt : "invalid", NULL) < 0)
			return app_is_hungup(call) ? APP_HANGUP : APP_FAILED;
	}
	app_log(call, "no choice, fallback=%s", m.fallback ? m.fallback : "none");
	return m.fallback ? app_goto(call, m.context, m.fallback) : APP_TIMEOUT;
}

static const struct app_param params[] = {
	{ "menu", APP_MENU, true, NULL, "number of the menu" },
};

const struct app app_menu_def = { .name = "menu", .help = "Asks for a choice and goes where it leads.", .params = params,
				  .nparams = ARRAY_LEN(params), .run = run };
