/* test_leg_pass.c - requests that go on to the other leg, and when who sent them is answered (RFC 4320, RFC 4321). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "call/leg_int.h"
#include "fake_strans.h"

#define TIMER_F_MS 32000

/* ---- the other leg ---- */

static void (*answer_fn)(const struct sip_msg *m, void *arg);
static void *answer_arg;
static char sent[256];
static int send_err;

int session_request(struct session *s, const char *method, const char *hdrs, const char *ctype, struct str body,
		    void (*fn)(const struct sip_msg *m, void *arg), void *arg)
{
	(void)s;
	snprintf(sent, sizeof(sent), "%s %s%s %.*s", method, hdrs, ctype ? ctype : "", STR_ARG(body));
	answer_fn = fn;
	answer_arg = arg;
	return send_err;
}

static const struct strans_handler *asker;
static void *asker_arg;

void strans_set_handler(struct strans *st, const struct strans_handler *h, void *arg)
{
	(void)st;
	asker = h;
	asker_arg = arg;
}

struct fixture {
	struct calls calls;
	struct call call;
	struct leg near, far;
	struct strans st;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->calls.p.timers = timers_new(0);
	f->call.calls = &f->calls;
	f->near = (struct leg){ .call = &f->call, .partner = &f->far };
	f->far = (struct leg){ .call = &f->call, .partner = &f->near, .session = (struct session *)f };
	fake_strans_init(&f->st, "INFO sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n"
			 "Call-ID: c\r\nCSeq: 1 INFO\r\nMax-Forwards: 70\r\nContent-Type: text/x-note\r\nContent-Length: 2\r\n\r\nhi");
	send_err = 0;
	asker = NULL;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	leg_passes_free(&f->calls);
	assert_int_equal(f->calls.npasses, 0);
	assert_int_equal(timers_count(f->calls.p.timers), 0);
	timers_free(f->calls.p.timers);
	fake_strans_fini(&f->st);
	free(f);
	return 0;
}

static void answer(const char *status_line)
{
	static struct sip_msg m;
	struct sip_msg_error err;
	char text[512];

	snprintf(text, sizeof(text), "SIP/2.0 %s\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n"
		 "Call-ID: c\r\nCSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n", status_line);
	assert_int_equal(sip_msg_parse(&m, text, strlen(text), &err), 0);
	answer_fn(&m, answer_arg);
}

/* ---- tests ---- */

static void test_leg_pass_answer_goes_back(void **state)
{
	static const struct { const char *line; int status; } rows[] = {
		{ "200 OK", 200 }, { "415 No", 415 }, { "480 Not now", 480 },
		{ "401 Who", 403 }, { "407 Who", 403 }, /* credentials are between it and us */
		{ "408 Late", 504 },                    /* RFC 4320 §4.2 */
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		f->st.nreplies = 0;
		assert_true(leg_pass(&f->near, &f->st, f->st.msg));
		assert_string_equal(sent, "INFO text/x-note hi");
		answer(rows[i].line);
		assert_int_equal(f->st.nreplies, 1);
		assert_int_equal(f->st.status, rows[i].status);
		assert_int_equal(f->calls.npasses, 0);
	}
}

/* RFC 4321 §1.6 */
static void test_leg_pass_silent_leg_is_answered_for_in_time(void **state)
{
	struct fixture *f = *state;

	assert_true(leg_pass(&f->near, &f->st, f->st.msg));
	timers_run(f->calls.p.timers, 20000);
	assert_int_equal(f->st.nreplies, 0);
	/* Sent at 0, .5, 1.5, 3.5, 7.5 ... 27.5, 31.5 s: the last two fetch an answer that was lost. */
	timers_run(f->calls.p.timers, 27400);
	assert_int_equal(f->st.nreplies, 1);
	assert_int_equal(f->st.status, 504);
	assert_null(asker);
	/* What comes then, or that nothing does, is nobody's any more. */
	timers_run(f->calls.p.timers, TIMER_F_MS);
	answer_fn(NULL, answer_arg);
	assert_int_equal(f->st.nreplies, 1);
	assert_int_equal(f->calls.npasses, 0);
}

static void test_leg_pass_late_answer_is_dropped(void **state)
{
	struct fixture *f = *state;

	assert_true(leg_pass(&f->near, &f->st, f->st.msg));
	timers_run(f->calls.p.timers, 30000);
	answer("200 OK");
	assert_int_equal(f->st.nreplies, 1);
	assert_int_equal(f->st.status, 504);
}

static void test_leg_pass_nobody_waits_any_more(void **state)
{
	struct fixture *f = *state;

	assert_true(leg_pass(&f->near, &f->st, f->st.msg));
	asker->on_terminated(&f->st, -ETIMEDOUT, asker_arg);
	timers_run(f->calls.p.timers, 30000);
	answer("200 OK");
	assert_int_equal(f->st.nreplies, 0);
}

static void test_leg_pass_refuses_what_can_not_go_on(void **state)
{
	struct fixture *f = *state;

	f->near.partner = NULL;
	assert_false(leg_pass(&f->near, &f->st, f->st.msg));
	f->near.partner = &f->far;
	send_err = -ENOTCONN;
	assert_false(leg_pass(&f->near, &f->st, f->st.msg));
	assert_int_equal(f->st.nreplies, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_leg_pass_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(answer_goes_back),
		T(silent_leg_is_answered_for_in_time),
		T(late_answer_is_dropped),
		T(nobody_waits_any_more),
		T(refuses_what_can_not_go_on),
	};

	return cmocka_run_group_tests_name("leg_pass", tests, NULL, NULL);
}
