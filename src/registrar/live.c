/* live.c - collects changed rows for a moment and writes them in one statement. */
#include "registrar/live.h"

#include <errno.h>
#include <stdlib.h>

#include "base/json.h"

#define COLLECT_MS 100       /* what happens together is written together */
#define RETRY_MS 3000
#define ROWS_MAX 500

static void write_rows(void *arg);

static void on_written(uint64_t id, const struct db_answer *a, void *arg)
{
	struct live *l = arg;

	(void)id;
	l->query = 0;
	if (a->err == -ECANCELED)
		return;
	if (a->err) {
		l->h->lost(l->arg);
		timer_start(l->timers, &l->timer, RETRY_MS);
		return;
	}
	if (l->h->arrived)
		l->h->arrived(l->arg);
	if (l->is_touched)
		timer_start(l->timers, &l->timer, COLLECT_MS);
}

static void write_rows(void *arg)
{
	struct live *l = arg;
	json_t *docs;
	char *text;

	if (!l->is_touched || l->query)
		return;
	docs = json_array();
	if (!docs) {
		timer_start(l->timers, &l->timer, RETRY_MS);
		return;
	}
	l->is_touched = l->h->collect(docs, ROWS_MAX, l->arg);
	text = json_array_size(docs) ? json_print(docs) : NULL;
	if (text)
		l->query = db_query(l->db, l->sql, 1, (struct db_param[]){ DB_TEXT(text) }, on_written, l);
	if (!l->query && json_array_size(docs)) {
		l->h->lost(l->arg);
		l->is_touched = true;
		timer_start(l->timers, &l->timer, RETRY_MS);
	}
	free(text);
	json_decref(docs);
}

void live_init(struct live *l, const struct live_handler *h, void *arg)
{
	l->h = h;
	l->arg = arg;
	timer_init(&l->timer, write_rows, l);
}

void live_fini(struct live *l)
{
	if (l->query)
		db_forget(l->db, l->query);
	l->query = 0;
	timer_stop(l->timers, &l->timer);
}

void live_touch(struct live *l)
{
	l->is_touched = l->db != NULL;
	if (l->is_touched && !l->query && !timer_is_running(&l->timer))
		timer_start(l->timers, &l->timer, COLLECT_MS);
}
