/* command.c - takes rows of pbx.command, one query at a time, and writes what came of them.
 *
 *   queued -> (taken, in the database) -> under way -> over -> (done or failed, in the database) -> forgotten
 *
 * Each query that takes says which commands are known here. So when its answer was lost, the next one brings what it had taken.
 */
#define LOG_MODULE "command"
#include "call/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/json.h"
#include "base/out.h"
#include "base/table.h"

#define AGAIN_MS 500          /* after a query that failed */
#define TAKE_MAX 200          /* of pbx.command_take(): so many at once, there may be more */
#define KNOWN_MAX (1 << 20)   /* bytes of ids */

struct command {
	struct command *next;
	struct commands *commands;
	int64_t id;
	char name[32], by[64], domain[64], call[37];
	unsigned leg;
	json_t *args;
	bool is_over, is_sent;    /* its end is being written */
	char cause[32];           /* "": done */
	char outcome[256];
};

struct executor {
	struct executor *next;
	const char *name;
	void (*fn)(struct command *c, void *arg);
	void *arg;
};

struct commands {
	struct commands_params p;
	struct executor *executors;
	struct command *list;     /* under way, or over and not written yet; in the order of ids */
	char run[37];
	struct timer timer;
	uint64_t query;           /* that takes; 0: none under way */
	bool is_wanted;           /* another one behind that */
	bool is_started, is_stopped;
};

/* ---- what it says ---- */

const char *command_name(const struct command *c) { return c->name; }
const char *command_by(const struct command *c) { return c->by; }
const char *command_domain(const struct command *c) { return c->domain; }
const char *command_call(const struct command *c) { return c->call; }
unsigned command_leg(const struct command *c) { return c->leg; }

const char *command_text(const struct command *c, const char *arg)
{
	return json_string_value(json_object_get(c->args, arg));
}

int64_t command_int(const struct command *c, const char *arg, int64_t otherwise)
{
	const json_t *value = json_object_get(c->args, arg);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool command_bool(const struct command *c, const char *arg)
{
	return json_is_true(json_object_get(c->args, arg));
}

/* ---- the end of one ---- */

static void forget(struct commands *cs, struct command *c)
{
	LL_DELETE(cs->list, c);
	json_decref(c->args);
	free(c);
}

static void on_written(uint64_t id, const struct db_answer *a, void *arg)
{
	struct command *c = arg;
	struct commands *cs = c->commands;

	(void)id;
	c->is_sent = false;
	if (a->err == -ECANCELED)
		return;
	if (a->err && a->err != -EINVAL) { /* it is told again */
		if (!cs->is_stopped)
			timer_start(cs->p.timers, &cs->timer, AGAIN_MS);
		return;
	}
	if (a->err)
		log_error(cs->p.log, "end of id=%lld refused: %s", (long long)c->id, a->message);
	forget(cs, c);
}

static const char end_sql[] = "SELECT pbx.command_end($1, $2, $3, $4)";

static void write_end(struct command *c)
{
	struct commands *cs = c->commands;
	char id[24];

	if (c->is_sent)
		return;
	snprintf(id, sizeof(id), "%lld", (long long)c->id);
	const struct db_param params[] = { DB_TEXT(id), DB_TEXT(cs->run), DB_TEXT(c->cause[0] ? c->cause : NULL), DB_TEXT(c->outcome) };

	c->is_sent = db_query(cs->p.db, end_sql, ARRAY_LEN(params), params, on_written, c) != 0;
	if (!c->is_sent && !cs->is_stopped)
		timer_start(cs->p.timers, &cs->timer, AGAIN_MS);
}

static void end(struct command *c, const char *cause, const char *fmt, va_list ap)
{
	if (c->is_over)
		return;
	vsnprintf(c->outcome, sizeof(c->outcome), fmt, ap);
	str_put(c->cause, sizeof(c->cause), cause);
	c->is_over = true;
	log_info(c->commands->p.log, "id=%lld %s call=%s %s: %s", (long long)c->id, c->name, c->call[0] ? c->call : "-",
		 cause[0] ? cause : "done", c->outcome);
	write_end(c);
}

void command_done(struct command *c, const char *outcome, ...)
{
	va_list ap;

	va_start(ap, outcome);
	end(c, "", outcome, ap);
	va_end(ap);
}

void command_fail(struct command *c, const char *cause, const char *outcome, ...)
{
	va_list ap;

	va_start(ap, outcome);
	end(c, cause, outcome, ap);
	va_end(ap);
}

/* ---- taking them ---- */

static const char take_sql[] = "SELECT id, command, domain, call, leg, args, asked_by FROM pbx.command_take($1, $2, $3)";

/* NULL without memory; c without args when they make no sense. */
static struct command *read_row(struct commands *cs, const struct db_rows *r, int row)
{
	struct command *c = calloc(1, sizeof(*c));
	struct str leg = db_rows_get(r, row, 4), args = db_rows_get(r, row, 5);
	uint32_t n = 0;

	if (!c)
		return NULL;
	c->commands = cs;
	c->id = strtoll(db_rows_get(r, row, 0).p, NULL, 10);
	str_copy(db_rows_get(r, row, 1), c->name, sizeof(c->name));
	str_copy(db_rows_get(r, row, 2), c->domain, sizeof(c->domain));
	str_copy(db_rows_get(r, row, 3), c->call, sizeof(c->call));
	str_copy(db_rows_get(r, row, 6), c->by, sizeof(c->by));
	if (leg.n && str_to_u32(leg, INT32_MAX, &n) == 0)
		c->leg = n;
	c->args = json_loadb(args.p, args.n, 0, NULL);
	return c;
}

static void carry_out(struct command *c)
{
	struct commands *cs = c->commands;
	const struct executor *e;

	log_debug(cs->p.log, "id=%lld %s taken", (long long)c->id, c->name);
	LL_FOREACH(cs->executors, e)
		if (!strcmp(e->name, c->name)) {
			e->fn(c, e->arg);
			return;
		}
	command_fail(c, "impossible", "this server doesn't know it");
}

static void take(struct commands *cs);

static void on_taken(uint64_t id, const struct db_answer *a, void *arg)
{
	struct commands *cs = arg;

	(void)id;
	cs->query = 0;
	if (a->err == -ECANCELED)
		return;
	if (a->err) {
		log_warn(cs->p.log, "commands can't be taken: %s", a->message ? a->message : "");
		timer_start(cs->p.timers, &cs->timer, AGAIN_MS);
		return;
	}
	for (int i = 0; i < db_rows_count(a->rows); i++) {
		struct command *c = read_row(cs, a->rows, i);

		if (!c) { /* the next query brings it once more */
			timer_start(cs->p.timers, &cs->timer, AGAIN_MS);
			break;
		}
		LL_APPEND(cs->list, c);
		carry_out(c);
	}
	if (cs->is_wanted || db_rows_count(a->rows) >= TAKE_MAX)
		take(cs);
}

static void take(struct commands *cs)
{
	struct command *c;
	struct out known;

	if (!cs->is_started || cs->is_stopped)
		return;
	cs->is_wanted = cs->query != 0;
	if (cs->query)
		return;
	out_init_grow(&known, KNOWN_MAX);
	out_chr(&known, '{');
	LL_FOREACH(cs->list, c)
		out_fmt(&known, "%s%lld", c == cs->list ? "" : ",", (long long)c->id);
	out_chr(&known, '}');
	out_chr(&known, '\0');
	if (out_ok(&known)) {
		const struct db_param params[] = { DB_TEXT(cs->p.node), DB_TEXT(cs->run), DB_TEXT(known.p) };

		cs->query = db_query(cs->p.db, take_sql, ARRAY_LEN(params), params, on_taken, cs);
	}
	out_fini(&known);
	if (!cs->query)
		timer_start(cs->p.timers, &cs->timer, AGAIN_MS);
}

static void on_timer(void *arg)
{
	struct commands *cs = arg;
	struct command *c;

	LL_FOREACH(cs->list, c)
		if (c->is_over)
			write_end(c);
	take(cs);
}

static void on_up(void *arg)
{
	take(arg);
}

/* payload: the server that is meant; empty: any. */
static void on_notify(const char *channel, const char *payload, void *arg)
{
	struct commands *cs = arg;

	(void)channel;
	if (!payload[0] || !strcmp(payload, cs->p.node))
		take(cs);
}

/* ---- its life ---- */

int commands_new(struct commands **out, const struct commands_params *p)
{
	static const struct db_listen_handler handler = { .on_up = on_up, .on_notify = on_notify };
	struct commands *cs = calloc(1, sizeof(*cs));
	int err;

	if (!cs)
		return -ENOMEM;
	cs->p = *p;
	rng_uuid(p->rng, cs->run);
	timer_init(&cs->timer, on_timer, cs);
	err = db_listen(p->db, "pbx_command", &handler, cs);
	if (err) {
		free(cs);
		return err;
	}
	*out = cs;
	return 0;
}

int commands_on(struct commands *cs, const char *name, void (*fn)(struct command *c, void *arg), void *arg)
{
	struct executor *e = malloc(sizeof(*e));

	if (!e)
		return -ENOMEM;
	*e = (struct executor){ .name = name, .fn = fn, .arg = arg };
	LL_PREPEND(cs->executors, e);
	return 0;
}

void commands_start(struct commands *cs)
{
	cs->is_started = true;
	take(cs);
}

void commands_stop(struct commands *cs)
{
	cs->is_stopped = true;
	timer_stop(cs->p.timers, &cs->timer);
	db_unlisten(cs->p.db, cs);
	if (cs->query)
		db_forget(cs->p.db, cs->query);
	cs->query = 0;
}

void commands_free(struct commands *cs)
{
	struct executor *e, *next;

	if (!cs)
		return;
	while (cs->list)
		forget(cs, cs->list);
	LL_FOREACH_SAFE(cs->executors, e, next)
		free(e);
	free(cs);
}
