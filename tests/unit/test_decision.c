/* test_decision.c - what is kept of a call's decisions, in how little memory, and how many refusals of strangers are written down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <malloc.h>

#include "call/decision.h"

#define T0 1700000000000LL

static struct calls calls;
static struct call call;
static int64_t now_ms;
static unsigned nwritten;
static char *written;

static uint64_t mono(void *arg)
{
	(void)arg;
	return 0;
}

static int64_t wall(void *arg)
{
	(void)arg;
	return now_ms;
}

int outbox_add(struct outbox *o, const char *kind, const char *doc, const char *file, void (*fn)(int err, void *arg), void *arg)
{
	(void)o;
	(void)file;
	(void)fn;
	(void)arg;
	assert_string_equal(kind, "refused");
	nwritten++;
	free(written);
	written = strdup(doc);
	return 0;
}

static int setup(void **state)
{
	static struct clock clock = { .mono_ms = mono, .wall_ms = wall };

	(void)state;
	now_ms = T0;
	nwritten = 0;
	calls = (struct calls){ .p.clock = &clock, .p.outbox = (struct outbox *)&calls };
	call = (struct call){ .calls = &calls, .id = "11111111-2222-4333-8444-555555555555", .domain = "office", .number = "1002", .started_ms = T0 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	decisions_free(&call);
	free(written);
	written = NULL;
	return 0;
}

/* All of them as JSON. */
static json_t *kept(void)
{
	char buf[16384];
	struct out o;
	json_t *doc;

	out_init(&o, buf, sizeof(buf));
	out_chr(&o, '{');
	decisions_print(&o, &call);
	if (o.len > 1)
		o.len--;
	out_chr(&o, '}');
	doc = json_loadb(buf, o.len, 0, NULL);
	assert_non_null(doc);
	return doc;
}

static void test_decision_is_kept_with_its_time_and_texts(void **state)
{
	json_t *doc, *list;
	char *text;

	(void)state;
	decided(&call, DECISION_ROUTE, "1002", "office", "_10XX", "4711", NULL);
	now_ms += 2500;
	leg_decided(&(struct leg){ .call = &call, .id = 3 }, DECISION_REFUSES, decision_int(486).z, "Busy \"here\"\t\xff", "", NULL);
	doc = kept();
	list = json_object_get(doc, "decisions");
	text = json_dumps(list, JSON_COMPACT);
	assert_string_equal(text, "[[0,\"route\",\"1002\",\"office\",\"_10XX\",\"4711\"],[2500,\"refuses\",3,\"486\",\"Busy \\\"here\\\"\\t?\"]]");
	free(text);
	json_decref(doc);
}

static void test_decision_none_is_nothing(void **state)
{
	json_t *doc = kept();

	(void)state;
	assert_int_equal(json_object_size(doc), 0);
	json_decref(doc);
}

static void test_decision_every_kind_has_a_name(void **state)
{
	json_t *doc, *list, *names = json_object();

	(void)state;
	for (unsigned i = 0; i < DECISION_COUNT; i++)
		decided(&call, i, NULL);
	doc = kept();
	list = json_object_get(doc, "decisions");
	assert_int_equal(json_array_size(list), DECISION_COUNT);
	for (unsigned i = 0; i < DECISION_COUNT; i++)
		json_object_set(names, json_string_value(json_array_get(json_array_get(list, i), 1)), json_true());
	assert_int_equal(json_object_size(names), DECISION_COUNT);
	json_decref(names);
	json_decref(doc);
}

/* Of one that was answered, while it talks. */
static void ordinary_call(void)
{
	struct leg callee = { .call = &call, .id = 2 };

	decided(&call, DECISION_CALLER, "1001", "1002", "udp 192.168.100.101:5060", "password", "", NULL);
	decided(&call, DECISION_ROUTE, "1002", "office", "_10XX", "123456", NULL);
	decided(&call, DECISION_STEP, "1", "dial", "number=1002", NULL);
	leg_decided(&callee, DECISION_RING, "1002", "192.168.100.102:5060", "", NULL);
	leg_decided(&callee, DECISION_RINGS, "180", NULL);
	now_ms += 5000;
	leg_decided(&callee, DECISION_ANSWERS, NULL);
	leg_decided(&callee, DECISION_TALKS, "PCMU", NULL);
}

static void test_decision_ordinary_call_takes_little_memory(void **state)
{
	(void)state;
	ordinary_call();
	assert_true(malloc_usable_size(call.decisions) <= 320 + 8);
	json_decref(kept());
}

static void test_decision_too_many_lose_their_middle(void **state)
{
	json_t *doc, *list;
	unsigned n = 1000;

	(void)state;
	for (unsigned i = 0; i < n; i++)
		decided(&call, DECISION_STEP, decision_int(i).z, "play", "prompt=hello", NULL);
	assert_true(malloc_usable_size(call.decisions) <= DECISIONS_MAX + 64);
	doc = kept();
	list = json_object_get(doc, "decisions");
	assert_string_equal(json_string_value(json_array_get(json_array_get(list, 0), 1)), "more");
	assert_int_equal(strtoul(json_string_value(json_array_get(json_array_get(list, 0), 2)), NULL, 10) + json_array_size(list) - 1, n);
	assert_string_equal(json_string_value(json_array_get(json_array_get(list, 1), 2)), "0");
	assert_string_equal(json_string_value(json_array_get(json_array_get(list, json_array_size(list) - 1), 2)), "999");
	json_decref(doc);
}

static void test_decision_long_texts_are_cut(void **state)
{
	json_t *doc, *first;
	char text[5000];

	(void)state;
	memset(text, '\x01', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	decided(&call, DECISION_FORWARD, text, "busy", "1003", NULL);
	doc = kept();
	first = json_array_get(json_object_get(doc, "decisions"), 0);
	assert_int_equal(json_string_length(json_array_get(first, 2)), DECISION_TEXT_MAX);
	assert_string_equal(json_string_value(json_array_get(first, 4)), "1003");
	json_decref(doc);
	for (unsigned i = 0; i < 100; i++)
		decided(&call, DECISION_FORWARD, text, "busy", "1003", NULL);
	json_decref(kept());
	assert_true(malloc_usable_size(call.decisions) <= DECISIONS_MAX + 64);
}

static void refuse_one(bool is_known)
{
	struct sip_source src = { .peer.v4 = { .sin_family = AF_INET } };

	call.caller.known_by = is_known ? "password" : NULL;
	call.started_ms = now_ms;
	decided(&call, DECISION_REFUSED, "403", "why", NULL);
	decision_refused(&call, 403, &src);
	decisions_free(&call);
}

static void test_decision_refusals_of_strangers_are_bounded(void **state)
{
	json_t *doc;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		refuse_one(false);
	assert_int_equal(nwritten, 60);
	doc = json_loads(written, 0, NULL);
	assert_non_null(doc);
	assert_int_equal(json_integer_value(json_object_get(doc, "status")), 403);
	json_decref(doc);
	refuse_one(true);                    /* they don't use up what others have */
	assert_int_equal(nwritten, 61);
	now_ms += 10000;
	for (unsigned i = 0; i < 1000; i++)
		refuse_one(false);
	assert_int_equal(nwritten, 71);      /* one a second */
	now_ms -= 1000000;                   /* a clock that is set back */
	refuse_one(false);
	assert_int_equal(nwritten, 72);
	now_ms += 3600000;
	for (unsigned i = 0; i < 1000; i++)
		refuse_one(false);
	assert_int_equal(nwritten, 132);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_decision_is_kept_with_its_time_and_texts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_decision_none_is_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_decision_every_kind_has_a_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_decision_ordinary_call_takes_little_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_decision_too_many_lose_their_middle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_decision_long_texts_are_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_decision_refusals_of_strangers_are_bounded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
