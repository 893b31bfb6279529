/* scripts.c - says of each script whether it compiles: PostgreSQL can't (pbx.script_state).
 *
 * Each server does so as soon as it knows the script, and they come to the same. What is written is of a source, by its hash in SQL: an
 * older server's word about another source counts for nothing.
 */
#define LOG_MODULE "script"
#include <stdlib.h>

#include "base/log.h"
#include "call/call_int.h"
#include "script/script.h"

static const char state_sql[] = "SELECT pbx.script_state_set($1, $2, $3, $4)";

/* Lost, it is written when the script changes or the server starts again. */
static void on_written(uint64_t id, const struct db_answer *a, void *arg)
{
	const struct calls *cs = arg;

	(void)id;
	if (a->err && a->err != -ECANCELED)
		log_warn(cs->p.log, "what became of a script isn't written: %s", a->message ? a->message : "database away");
}

static void check(const struct dir_script *s, void *arg)
{
	struct calls *cs = arg;
	char text[SCRIPT_TEXT_MAX];
	bool is_good = script_compiles(s->name, s->source, text);

	if (!is_good)
		log_warn(cs->p.log, "domain=%s script=%s %s", s->domain, s->name, text);
	db_query(cs->p.db, state_sql, 4, (struct db_param[]){ DB_TEXT(s->domain), DB_TEXT(s->name), DB_TEXT(s->source), DB_TEXT(is_good ? NULL : text) },
		 on_written, cs);
}

static void on_change(const char *table, const char *key, void *arg)
{
	struct calls *cs = arg;
	const char *slash = strchr(key, '/');
	const struct dir_script *s;
	char domain[64];

	if (!strcmp(table, "*"))
		directory_scripts(cs->p.directory, check, cs);
	else if (!strcmp(table, "script") && slash && str_copy((struct str){ key, (size_t)(slash - key) }, domain, sizeof(domain)) == 0 &&
		 directory_script(cs->p.directory, domain, str_from(slash + 1), &s) == DIR_FOUND)
		check(s, cs);
}

void scripts_start(struct calls *cs)
{
	if (!cs->p.directory)
		return;
	cs->script_watcher = (struct directory_watcher){ .on_change = on_change, .arg = cs };
	directory_watch(cs->p.directory, &cs->script_watcher);
	if (directory_is_loaded(cs->p.directory))
		directory_scripts(cs->p.directory, check, cs);
}

void scripts_stop(struct calls *cs)
{
	if (cs->p.directory)
		directory_unwatch(cs->p.directory, &cs->script_watcher);
}
