/* plan_bed.h - a dialplan from a real database: opened, loaded, closed. Include it once. */
#pragma once

#include "pg_fixture.h"
#include "plan/plan.h"

struct bed {
	uv_loop_t loop;
	struct db *db;
	struct directory *directory;
	struct plan *plan;
};

static struct bed bed;

static inline bool is_loaded(void *arg)
{
	(void)arg;
	return plan_is_loaded(bed.plan);
}

static inline void open_plan(void)
{
	bed = (struct bed){ 0 };
	uv_loop_init(&bed.loop);
	assert_int_equal(db_new(&bed.db, &(struct db_params){ .loop = &bed.loop, .log = pg_quiet(), .conninfo = pg.conninfo }), 0);
	assert_int_equal(directory_new(&bed.directory, &bed.loop, bed.db, pg_quiet()), 0);
	assert_int_equal(plan_new(&bed.plan, &bed.loop, bed.db, bed.directory, pg_quiet()), 0);
}

static inline void open_loaded(void)
{
	open_plan();
	pg_wait(&bed.loop, is_loaded, NULL);
}

static inline void close_plan(void)
{
	bool is_closed[3] = { false };

	plan_close(bed.plan, pg_set, &is_closed[0]);
	directory_close(bed.directory, pg_set, &is_closed[1]);
	pg_wait(&bed.loop, pg_is_set, &is_closed[0]);
	pg_wait(&bed.loop, pg_is_set, &is_closed[1]);
	db_close(bed.db, pg_set, &is_closed[2]);
	pg_wait(&bed.loop, pg_is_set, &is_closed[2]);
	pg_loop_end(&bed.loop);
}
