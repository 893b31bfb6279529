/* test_trace.c - messages of a call are kept as they pass, and written some seconds after its end, whole, whatever memory there was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/base64.h"
#include "call/trace.h"
#include "nomem.h"

#define T0 1700000000000LL
#define INVITE "INVITE sip:1002@office SIP/2.0\r\nTo: <sip:1002@office>\r\ni : c1\r\nCSeq: 1 INVITE\r\n\r\n"
#define TRIED_AGAIN "INVITE sip:1002@office SIP/2.0\r\nTo: <sip:1002@office>\r\ni : c1\r\nCSeq: 2 INVITE\r\n\r\n"
#define AGAIN "INVITE sip:1002@office SIP/2.0\r\nTo: <sip:1002@office>;tag=9\r\nCall-ID: c2\r\n\r\n"

static struct calls calls;
static struct call call;
static void (*seen)(const struct transport_seen *m, void *arg);
static void *seen_arg;
static enum dir_capture capture;
static char *written;
static unsigned nwritten;

static uint64_t mono(void *arg) { (void)arg; return 0; }
static int64_t wall(void *arg) { (void)arg; return T0; }

/* ---- what it is among ---- */

int outbox_add(struct outbox *o, const char *kind, const char *doc, const char *file, void (*fn)(int err, void *arg), void *arg)
{
	(void)o;
	(void)file;
	(void)fn;
	(void)arg;
	assert_string_equal(kind, "trace");
	free(written);
	written = strdup(doc);
	nwritten++;
	return 0;
}

struct transport *sip_ua_transport(struct sip_ua *ua)
{
	(void)ua;
	return NULL;
}

void transport_watch(struct transport *t, void (*fn)(const struct transport_seen *m, void *arg), void *arg)
{
	(void)t;
	seen = fn;
	seen_arg = arg;
}

void directory_watch(struct directory *d, struct directory_watcher *w)
{
	(void)d;
	(void)w;
}

void directory_unwatch(struct directory *d, struct directory_watcher *w)
{
	(void)d;
	(void)w;
}

bool directory_captures(const struct directory *d)
{
	(void)d;
	return true;
}

enum dir_answer directory_domain(struct directory *d, const char *name, const struct dir_domain **out)
{
	static struct dir_domain domain;

	(void)d;
	assert_string_equal(name, "office");
	domain.capture = capture;
	*out = &domain;
	return DIR_FOUND;
}

/* ---- playing ---- */

static int setup(void **state)
{
	static struct clock clock = { .mono_ms = mono, .wall_ms = wall };

	(void)state;
	capture = DIR_CAPTURE_ALL;
	nwritten = 0;
	calls = (struct calls){ .p = { .clock = &clock, .timers = timers_new(1000), .outbox = (struct outbox *)&calls } };
	call = (struct call){ .calls = &calls, .id = "11111111-2222-4333-8444-555555555555", .domain = "office" };
	return traces_new(&calls.traces, &calls);
}

static int teardown(void **state)
{
	(void)state;
	traces_free(calls.traces);
	assert_null(seen);
	timers_free(calls.p.timers);
	free(written);
	written = NULL;
	return 0;
}

static void pass(bool is_sent, struct str bytes)
{
	static const union sockaddr_any peer = { .v4 = { .sin_family = AF_INET } }, local = { .v4 = { .sin_family = AF_INET } };

	seen(&(struct transport_seen){ is_sent, SIP_UDP, &peer, &local, bytes }, seen_arg);
}

/* An answer with so many bytes behind its head. */
static void pass_answer(size_t n)
{
	char text[4096] = "SIP/2.0 486 Busy Here\r\nCall-ID:c1\r\n\r\n";
	size_t len = strlen(text);

	assert_true(len + n <= sizeof(text));
	memset(text + len, 'x', n);
	pass(true, (struct str){ text, len + n });
}

static void end(const char *call_id)
{
	trace_refused(&call, &(struct sip_msg){ .call_id = str_from(call_id) });
	timers_run(calls.p.timers, timers_now(calls.p.timers) + TRACE_LINGER_MS);
}

/* Each message begins as one, and they are all of the bytes; returns how many. */
static size_t check_written(unsigned *ndropped)
{
	json_t *doc = json_loads(written, 0, NULL), *messages = json_object_get(doc, "messages");
	const char *text = json_string_value(json_object_get(doc, "bytes"));
	size_t n = json_array_size(messages), at = 0, len = strlen(text);
	static uint8_t bytes[TRACE_BYTES_MAX];
	ssize_t nbytes;

	assert_non_null(doc);
	nbytes = base64_read((struct str){ text, len }, bytes, sizeof(bytes));
	assert_true(nbytes >= 0);
	for (size_t i = 0; i < n; i++) {
		json_t *m = json_array_get(messages, i);
		const char *begins = strcmp(json_string_value(json_array_get(m, 2)), "sent") == 0 ? "SIP/2.0 486" : "INVITE ";

		assert_true(at + strlen(begins) <= (size_t)nbytes);
		assert_memory_equal(bytes + at, begins, strlen(begins));
		at += (size_t)json_integer_value(json_array_get(m, 6));
	}
	assert_int_equal(at, nbytes);
	*ndropped = (unsigned)json_integer_value(json_object_get(doc, "dropped"));
	json_decref(doc);
	return n;
}

static void test_trace_has_all_messages_of_the_dialog_until_some_seconds_after(void **state)
{
	unsigned ndropped;

	(void)state;
	pass(false, STR(INVITE));
	pass(false, STR(AGAIN)); /* of a dialog that began before anybody looked */
	pass_answer(0);
	trace_refused(&call, &(struct sip_msg){ .call_id = STR("c1") });
	assert_int_equal(nwritten, 0);
	pass(false, STR(INVITE)); /* it comes once more */
	timers_run(calls.p.timers, timers_now(calls.p.timers) + TRACE_LINGER_MS);
	assert_int_equal(nwritten, 1);
	assert_int_equal(check_written(&ndropped), 3);
	assert_int_equal(ndropped, 0);
	end("c2");
	assert_int_equal(nwritten, 1);
}

static void test_trace_of_a_call_tried_again_is_its_own(void **state)
{
	unsigned ndropped;

	(void)state;
	pass(false, STR(INVITE));
	pass_answer(0);
	trace_refused(&call, &(struct sip_msg){ .call_id = STR("c1") });
	pass(false, STR(TRIED_AGAIN));
	timers_run(calls.p.timers, timers_now(calls.p.timers) + TRACE_LINGER_MS);
	assert_int_equal(nwritten, 1);
	assert_int_equal(check_written(&ndropped), 2);
	pass_answer(0);
	pass_answer(0);
	end("c1");
	assert_int_equal(nwritten, 2);
	assert_int_equal(check_written(&ndropped), 3);
}

static void test_trace_is_dropped_where_nobody_wants_it(void **state)
{
	(void)state;
	capture = DIR_CAPTURE_NONE;
	pass(false, STR(INVITE));
	end("c1");
	assert_int_equal(nwritten, 0);
}

static void test_trace_too_much_of_one_is_counted(void **state)
{
	unsigned ndropped;
	size_t n;

	(void)state;
	pass(false, STR(INVITE));
	for (unsigned i = 0; i < 40; i++)
		pass_answer(4000);
	end("c1");
	n = check_written(&ndropped);
	assert_true(n > TRACE_BYTES_MAX / 4500 && n <= TRACE_BYTES_MAX / 4000);
	assert_int_equal(n + ndropped, 41);
}

/* One allocation after the other fails: what is written is whole all the same. */
static void test_trace_without_memory_has_whole_messages(void **state)
{
	static const size_t sizes[] = { 0, 60, 1200, 10, 2500, 0 };

	(void)state;
	for (unsigned at = 1; CAN_FAIL && at < 20; at++) {
		unsigned before = nwritten, ndropped;

		heap.count = 0;
		heap.fail_at = at;
		heap.armed = true;
		pass(false, STR(INVITE));
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
			pass_answer(sizes[i]);
		heap.armed = false;
		end("c1");
		if (nwritten > before) {
			size_t n = check_written(&ndropped);

			assert_int_equal(n + ndropped, 1 + ARRAY_LEN(sizes));
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_trace_has_all_messages_of_the_dialog_until_some_seconds_after, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_of_a_call_tried_again_is_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_is_dropped_where_nobody_wants_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_too_much_of_one_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_without_memory_has_whole_messages, setup, teardown),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
