/* lookup.c - what a look-up costs in the server's copy of the directory and the dialplan, for the benchmark.
 *
 *   lookup --database CONNINFO [--domain D --contexts N --routes N] [--domains N --extensions N]
 *
 * Loads both as the server does. Routes: context c(n % N) of D has the number 100000000 + n; a million random ones are looked up. Extensions:
 * domain d(n % N) has 1000000 + n, with a credential of that name; each is looked up once, in random order, right after loading: that it
 * registers and that it is called. Prints loaded_ms, route_ns (the mean),
 * cold_p50_us, cold_p99_us, cold_max_us, missing. Exit: 0; 2 trouble.
 */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "load.h"
#include "plan/plan.h"

#define LOOKUPS 1000000u
#define WAIT_NS 120000000000ull

struct options {
	struct str database, domain;
	unsigned contexts, routes, domains, extensions;
};

struct bench {
	struct options o;
	uv_loop_t loop;
	uv_timer_t tick;
	struct db *db;
	struct directory *directory;
	struct plan *plan;
	uint64_t seed;
	unsigned missing;
};

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

/* The same row of numbers in each run (xorshift64). */
static unsigned next_random(struct bench *b, unsigned below)
{
	b->seed ^= b->seed << 13;
	b->seed ^= b->seed >> 7;
	b->seed ^= b->seed << 17;
	return (unsigned)((b->seed >> 11) % below);
}

static void load(struct bench *b)
{
	static struct log log = { .level = LOG_WARN };
	char conninfo[300];
	uint64_t began = load_now_ns();

	log.to = stderr;
	str_copy(b->o.database, conninfo, sizeof(conninfo));
	uv_loop_init(&b->loop);
	uv_timer_init(&b->loop, &b->tick);
	uv_timer_start(&b->tick, on_tick, 50, 50);
	if (db_new(&b->db, &(struct db_params){ .loop = &b->loop, .log = &log, .conninfo = conninfo }) != 0 ||
	    directory_new(&b->directory, &b->loop, b->db, &log) != 0 || plan_new(&b->plan, &b->loop, b->db, b->directory, &log) != 0)
		load_die("lookup: no plan");
	while (!plan_is_loaded(b->plan) && load_now_ns() < began + WAIT_NS)
		uv_run(&b->loop, UV_RUN_ONCE);
	if (!plan_is_loaded(b->plan))
		load_die("lookup: not loaded in two minutes");
	printf("loaded_ms=%llu ", (unsigned long long)((load_now_ns() - began) / 1000000));
}

/* Names are made before the clock starts. */
static void make_number(struct bench *b, char context[24], char number[24])
{
	unsigned n = next_random(b, b->o.routes);

	snprintf(context, 24, "c%u", n % b->o.contexts);
	snprintf(number, 24, "%u", 100000000 + n);
}

static void look_up_route(struct bench *b, const char *domain, const char *context, const char *number)
{
	struct route *route;

	if (plan_match(b->plan, domain, context, str_from(number), &route) == DIR_FOUND)
		route_release(route);
	else
		b->missing++;
}

static void measure_routes(struct bench *b)
{
	static char context[1000][24], number[1000][24];
	uint64_t spent = 0;
	char domain[64];

	str_copy(b->o.domain, domain, sizeof(domain));
	for (unsigned done = 0; done < LOOKUPS; done += 1000) {
		uint64_t began;

		for (unsigned i = 0; i < 1000; i++)
			make_number(b, context[i], number[i]);
		began = load_now_ns();
		for (unsigned i = 0; i < 1000; i++)
			look_up_route(b, domain, context[i], number[i]);
		spent += load_now_ns() - began;
	}
	printf("route_ns=%.0f ", (double)spent / LOOKUPS);
}

static void measure_extensions(struct bench *b)
{
	struct load_times *times = calloc(1, sizeof(*times));
	unsigned *order = calloc(b->o.extensions, sizeof(*order));

	if (!times || !order)
		load_die("lookup: no memory");
	for (unsigned i = 0; i < b->o.extensions; i++) {
		unsigned at = next_random(b, i + 1);

		order[i] = order[at];
		order[at] = i;
	}
	for (unsigned i = 0; i < b->o.extensions; i++) {
		const struct dir_extension *extension;
		const struct dir_credential *credential;
		char domain[24], number[24];
		uint64_t began;
		bool is_there;

		snprintf(domain, sizeof(domain), "d%u", order[i] % b->o.domains);
		snprintf(number, sizeof(number), "%u", 1000000 + order[i]);
		began = load_now_ns();
		is_there = directory_credential(b->directory, domain, str_from(number), &credential) == DIR_FOUND &&
			   directory_extension(b->directory, domain, str_from(number), &extension) == DIR_FOUND;
		load_time_add(times, load_now_ns() - began);
		b->missing += !is_there;
	}
	printf("cold_p50_us=%u cold_p99_us=%u cold_max_us=%llu ", load_time_us(times, 0.5), load_time_us(times, 0.99),
	       (unsigned long long)(times->max_ns / 1000));
	free(order);
	free(times);
}

static void on_closed(void *arg)
{
	++*(unsigned *)arg;
}

static void close_all(struct bench *b)
{
	unsigned closed = 0;

	plan_close(b->plan, on_closed, &closed);
	directory_close(b->directory, on_closed, &closed);
	while (closed < 2)
		uv_run(&b->loop, UV_RUN_ONCE);
	db_close(b->db, on_closed, &closed);
	uv_close((uv_handle_t *)&b->tick, NULL);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	uv_loop_close(&b->loop);
}

int main(int argc, char **argv)
{
	static struct bench b = { .seed = 88172645463325252ull };
	const struct load_option options[] = {
		{ "database", &b.o.database, NULL },     { "domain", &b.o.domain, NULL },
		{ "contexts", NULL, &b.o.contexts },     { "routes", NULL, &b.o.routes },
		{ "domains", NULL, &b.o.domains },       { "extensions", NULL, &b.o.extensions },
	};

	load_options(argc, argv, options, ARRAY_LEN(options));
	if (!b.o.database.n)
		load_die("lookup: see the head of lookup.c");
	load(&b);
	if (b.o.routes && b.o.contexts)
		measure_routes(&b);
	if (b.o.extensions && b.o.domains)
		measure_extensions(&b);
	printf("missing=%u\n", b.missing);
	close_all(&b);
	return 0;
}
