/* pg_fixture.h - a PostgreSQL of its own for a test binary (tests/lib/pgtmp), and a loop that runs until something has happened.
 *
 * One cluster a binary: started by the group's setup, stopped by its teardown, and if the test dies before that, by a guardian that
 * notices. Copies of a test may run side by side. Include it once.
 */
#pragma once

#include <fcntl.h>
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "base/log.h"

#define PG_WAIT_MS 15000 /* a sanitizer build on a busy machine */

struct pg {
	char dir[64], pgtmp[512], conninfo[300], superuser[300];
	pid_t guardian;
	int alive;               /* the guardian reads the other end: closed when we are gone */
	PGconn *conn;            /* for the test's own statements; opened when needed */
};

static struct pg pg;

/* What is logged: nothing, as tests provoke it, unless PG_TEST_LOG is set. */
static inline const struct log *pg_quiet(void)
{
	static struct log log;

	if (!getenv("PG_TEST_LOG"))
		return NULL;
	log = (struct log){ .to = stderr, .level = LOG_DEBUG };
	return &log;
}

static inline void pg_tmp(const char *verb)
{
	char command[700];

	snprintf(command, sizeof(command), "'%s' %s '%s' >/dev/null", pg.pgtmp, verb, pg.dir);
	assert_int_equal(system(command), 0);
}

/* The guardian starts the cluster, says where it is, and stops it when we have gone, even while it was starting. It has a session of its
 * own, so that a signal for the test's process group doesn't end it too. */
static inline void pg_guard(const char *option)
{
	static const char script[] =
		"\"$0\" start \"$1\" $2 >&3 3>&- </dev/null; exec 3>&-; cat >/dev/null;"
		" kill -CONT $(head -n 1 \"$1/pgtmp/db/postmaster.pid\") 2>/dev/null; \"$0\" stop \"$1\"; rm -rf \"$1\"";
	int alive[2], answer[2];
	FILE *f;

	assert_int_equal(pipe2(alive, O_CLOEXEC), 0);
	assert_int_equal(pipe2(answer, O_CLOEXEC), 0);
	pg.guardian = fork();
	assert_true(pg.guardian >= 0);
	if (!pg.guardian) {
		setsid();
		dup2(alive[0], STDIN_FILENO);
		if (answer[1] == 3)
			fcntl(3, F_SETFD, 0);
		else
			dup2(answer[1], 3);
		execl("/bin/sh", "sh", "-c", script, pg.pgtmp, pg.dir, option, (char *)NULL);
		_exit(127);
	}
	close(alive[0]);
	close(answer[1]);
	pg.alive = alive[1];
	f = fdopen(answer[0], "r");
	assert_non_null(f);
	if (!fgets(pg.conninfo, sizeof(pg.conninfo), f))
		fail_msg("no database");
	fclose(f);
	pg.conninfo[strcspn(pg.conninfo, "\n")] = '\0';
}

static inline void pg_forget_conn(void)
{
	PQfinish(pg.conn);
	pg.conn = NULL;
}

/* The guardian does it. */
static inline int pg_stop(void)
{
	int status;

	pg_forget_conn();
	close(pg.alive);
	waitpid(pg.guardian, &status, 0);
	return status;
}

/* Process id of the server. */
static inline pid_t pg_server(void)
{
	char path[100];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/pgtmp/db/postmaster.pid", pg.dir);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	fclose(f);
	assert_true(pid > 1);
	return pid;
}

/* As a power cut, and back again. */
static inline void pg_down(void)
{
	pg_forget_conn();
	pg_tmp("down");
}

static inline void pg_up(void)
{
	pg_tmp("up");
}

static inline void pg_on_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

/* Runs statements at once, as the administrator, and returns the first value of the last one ("" for none): valid until the next. */
static inline const char *pg_sql(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline const char *pg_sql(const char *fmt, ...)
{
	static char value[4096];
	char *sql = NULL;
	va_list args;
	PGresult *r;

	va_start(args, fmt);
	assert_true(vasprintf(&sql, fmt, args) >= 0);
	va_end(args);
	if (!pg.conn) {
		pg.conn = PQconnectdb(pg.conninfo);
		PQsetNoticeReceiver(pg.conn, pg_on_notice, NULL);
	}
	r = PQexec(pg.conn, sql);
	if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
		print_error("%s: %s\n", sql, PQresultErrorMessage(r));
	assert_true(PQresultStatus(r) == PGRES_TUPLES_OK || PQresultStatus(r) == PGRES_COMMAND_OK);
	snprintf(value, sizeof(value), "%s", PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
	PQclear(r);
	free(sql);
	return value;
}

static inline long pg_int(const char *sql)
{
	return atol(pg_sql("%s", sql));
}

/* "--empty": without the demo office. */
static inline int pg_start(const char *option)
{
	char exe[400], *at;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	assert_true(n > 0);
	exe[n] = '\0';
	/* <root>/<build>/tests/unit/<test> */
	for (int up = 0; up < 4; up++) {
		at = strrchr(exe, '/');
		assert_non_null(at);
		*at = '\0';
	}
	snprintf(pg.pgtmp, sizeof(pg.pgtmp), "%s/tests/lib/pgtmp", exe);
	strcpy(pg.dir, "/tmp/pgtest-XXXXXX");
	assert_non_null(mkdtemp(pg.dir));
	assert_int_equal(chmod(pg.dir, 0755), 0); /* root's cluster runs as another user */
	pg_guard(option);
	at = strstr(pg.conninfo, " user=");
	assert_non_null(at);
	snprintf(pg.superuser, sizeof(pg.superuser), "%.*s user=postgres", (int)(at - pg.conninfo), pg.conninfo);
	/* pgtmp's clusters are in no hurry to write; what was committed before pg_down() shall be there after it. */
	pg_sql("ALTER ROLE cordboard SET synchronous_commit = on");
	pg_forget_conn();
	return 0;
}

/* Setup and teardown of a group with the demo office. */
static inline int pg_group_start(void **state)
{
	(void)state;
	return pg_start("");
}

static inline int pg_group_stop(void **state)
{
	(void)state;
	return pg_stop();
}

/* ---- waiting ---- */

static inline void pg_on_wait_over(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

static inline void pg_on_wait_closed(uv_handle_t *handle)
{
	handle->data = NULL;
}

/* Runs the loop until is_done, or fails; looks at least every tick_ms when is_done asks what the loop doesn't tell. */
static inline void pg_wait_polling(uv_loop_t *loop, bool (*is_done)(void *arg), void *arg, unsigned tick_ms)
{
	uint64_t until = uv_hrtime() / 1000000 + PG_WAIT_MS;
	uv_timer_t timer;
	bool is_over = false;

	uv_timer_init(loop, &timer);
	timer.data = &is_over;
	uv_timer_start(&timer, pg_on_wait_over, tick_ms, tick_ms);
	while (!is_done(arg) && uv_hrtime() / 1000000 < until)
		uv_run(loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, pg_on_wait_closed);
	while (timer.data)
		uv_run(loop, UV_RUN_NOWAIT);
	assert_true(is_done(arg));
}

static inline void pg_wait(uv_loop_t *loop, bool (*is_done)(void *arg), void *arg)
{
	pg_wait_polling(loop, is_done, arg, 50);
}

static inline bool pg_is_set(void *arg)
{
	return *(const bool *)arg;
}

static inline void pg_set(void *arg)
{
	*(bool *)arg = true;
}

/* Runs what is left of closing handles, and checks that nothing else is. */
static inline void pg_loop_end(uv_loop_t *loop)
{
	uv_run(loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(loop), 0);
}
