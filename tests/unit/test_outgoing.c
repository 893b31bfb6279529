/* test_outgoing.c - registrations at trunks, over hours of a fake clock (RFC 3261 §10.2, RFC 3608, RFC 5626 §4.5). */
#include "sip_fixture.h"

#include "registrar/outgoing.h"

static struct fx *fx;
static struct sip_ua *ua;
static struct outgoing *outgoing;
static struct dir_trunk row;
static bool has_row;
static struct directory_watcher *watcher;
static unsigned nstopped;
static char last_branch[64];     /* of the REGISTER seen last */

/* ---- the seams ---- */

void directory_trunks(struct directory *d, void (*fn)(const struct dir_trunk *trunk, void *arg), void *arg)
{
	(void)d;
	if (has_row)
		fn(&row, arg);
}

enum dir_answer directory_trunk(struct directory *d, const char *domain, struct str name, const struct dir_trunk **out)
{
	(void)d;
	if (!has_row || strcmp(domain, "office") != 0 || !str_eqz(name, "p"))
		return DIR_ABSENT;
	*out = &row;
	return DIR_FOUND;
}

void directory_watch(struct directory *d, struct directory_watcher *w)
{
	(void)d;
	watcher = w;
}

void directory_unwatch(struct directory *d, struct directory_watcher *w)
{
	(void)d;
	(void)w;
	watcher = NULL;
}

/* ---- the bed ---- */

static int setup(void **state)
{
	struct sip_ua_params p = { 0 };
	struct outgoing_params o = { .node = "n", .key = "the key of all nodes" };

	(void)state;
	fx = calloc(1, sizeof(*fx));
	assert_non_null(fx);
	fx->timers = timers_new(FX_START_MS);
	rng_init_fixed(&fx->rng, 42);
	fx->clock = (struct clock){ .mono_ms = fx_mono_ms, .wall_ms = fx_wall_ms, .arg = fx };
	fx_source(fx, SIP_UDP, "192.0.2.10", 5060);
	p.stack = (struct sip_stack_params){ .timers = fx->timers, .rng = &fx->rng, .clock = &fx->clock, .server = "test", .send = fx_send, .send_arg = fx };
	assert_int_equal(sockaddr_parse(&p.local, STR("192.0.2.200"), 5060), 0);
	assert_int_equal(sip_ua_new(&ua, &p), 0);
	fx->stack = sip_ua_stack(ua);
	row = (struct dir_trunk){ .domain = "office", .name = "p", .context = "c", .uri = "sip:192.0.2.10", .registrar = "sip:192.0.2.10",
				  .register_as = "acme", .is_registering = true, .register_expires_s = 600 };
	has_row = true;
	nstopped = 0;
	last_branch[0] = '\0';
	o.env = (struct client_env){ .ua = ua, .timers = fx->timers, .clock = &fx->clock, .rng = &fx->rng };
	assert_int_equal(outgoing_new(&outgoing, &o), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	outgoing_free(outgoing);
	sip_ua_close(ua);
	assert_int_equal(timers_count(fx->timers), 0);
	timers_free(fx->timers);
	fx_forget_sent(fx);
	free(fx);
	return 0;
}

static void changed(void)
{
	watcher->on_change("trunk", "office/p", watcher->arg);
}

/* Until a new REGISTER is sent (retransmissions apart), a second at a time; how many passed. */
static unsigned until_register(unsigned most_s)
{
	unsigned s;

	for (s = 0; s <= most_s; s++) {
		if (fx->nsent) {
			const struct sip_msg *m = fx_sent(fx, -1);

			if (m->is_request && !str_eqz(m->via.branch, last_branch)) {
				assert_int_equal(m->method, SIP_REGISTER);
				str_copy(m->via.branch, last_branch, sizeof(last_branch));
				return s;
			}
		}
		fx_forget_sent(fx);
		fx_advance(fx, 1000);
	}
	fail_msg("no REGISTER within %u s", most_s);
	return 0;
}

/* Answers the last REGISTER; "CONTACT" in lines stands for what it registered. */
static void answer(int status, const char *lines)
{
	const struct sip_msg *m = fx_sent(fx, -1);
	struct str contact = sip_msg_value(m, SIP_HDR_CONTACT);
	char text[2048] = "";
	const char *at = strstr(lines, "CONTACT");

	if (at)
		snprintf(text, sizeof(text), "%.*s%.*s%s", (int)(at - lines), lines, STR_ARG(contact), at + 7);
	else
		snprintf(text, sizeof(text), "%s", lines);
	fx_receive(fx, "SIP/2.0 %d X\r\nVia: %.*s\r\nFrom: %.*s\r\nTo: %.*s;tag=z\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n%sContent-Length: 0\r\n\r\n", status,
		   STR_ARG(sip_msg_value(m, SIP_HDR_VIA)), STR_ARG(sip_msg_value(m, SIP_HDR_FROM)), STR_ARG(sip_msg_value(m, SIP_HDR_TO)),
		   STR_ARG(m->call_id), STR_ARG(sip_msg_value(m, SIP_HDR_CSEQ)), text);
}

static uint32_t asked(void)
{
	return (uint32_t)sip_msg_expires(fx_sent(fx, -1), -1);
}

/* ---- tests ---- */

static void test_outgoing_backoff_is_that_of_rfc_5626(void **state)
{
	/* 30 s doubled with each failure, 1800 at most; half to all of it (§4.5) */
	static const uint32_t most_s[] = { 30, 60, 120, 240, 480, 960, 1800, 1800, 1800 };
	struct rng rng;

	(void)state;
	rng_init_fixed(&rng, 7);
	for (unsigned i = 0; i < ARRAY_LEN(most_s); i++) {
		uint32_t least = UINT32_MAX, most = 0;

		for (unsigned k = 0; k < 300; k++) {
			uint32_t ms = outgoing_backoff_ms(&rng, i);

			assert_in_range(ms, most_s[i] * 500, most_s[i] * 1000);
			least = ms < least ? ms : least;
			most = ms > most ? ms : most;
		}
		assert_true(most - least > most_s[i] * 400); /* not all at once */
	}
	assert_in_range(outgoing_backoff_ms(&rng, 1000), 900000, 1800000);
}

static void test_outgoing_is_renewed_before_it_expires(void **state)
{
	static const struct { const char *lines; unsigned from_s, to_s; } rows[] = {
		{ "Contact: CONTACT;expires=600\r\n", 480, 571 },
		{ "Contact: CONTACT\r\nExpires: 300\r\n", 240, 271 },
		{ "Contact: <sip:other@192.0.2.1>;expires=60\r\nContact: CONTACT;expires=1000\r\n", 800, 951 },
		{ "", 480, 571 },                                      /* one that lists nothing has taken it */
		{ "Contact: CONTACT;expires=60\r\n", 30, 31 },
		{ "Contact: CONTACT;expires=0\r\n", 15, 31 },           /* one that it has not */
	};

	(void)state;
	assert_in_range(until_register(2), 0, 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned s;

		answer(200, rows[i].lines);
		s = until_register(1000);
		if (s < rows[i].from_s || s > rows[i].to_s)
			fail_msg("row %zu: renewed after %u s", i, s);
	}
}

static void test_outgoing_waits_longer_with_every_failure(void **state)
{
	static const unsigned most_s[] = { 30, 60, 120, 240, 480, 960, 1800, 1800 };

	(void)state;
	until_register(2);
	for (size_t i = 0; i < ARRAY_LEN(most_s); i++) {
		unsigned s;

		answer(500, "");
		s = until_register(2000);
		if (s < most_s[i] / 2 || s > most_s[i] + 1)
			fail_msg("failure %zu: tried again after %u s", i, s);
	}
	/* One success, and it begins anew */
	answer(200, "Contact: CONTACT;expires=600\r\n");
	until_register(600);
	answer(500, "");
	assert_in_range(until_register(40), 7, 16); /* what is registered is tried for sooner */
}

static void test_outgoing_tries_again_when_nobody_answers(void **state)
{
	(void)state;
	until_register(2);
	/* timer F, then the pause */
	assert_in_range(until_register(100), 32 + 15, 32 + 31);
	answer(200, "Contact: CONTACT;expires=600\r\n");
	fx->send_error = -EHOSTUNREACH;
	for (unsigned i = 0; i < 700; i++)
		fx_advance(fx, 1000);
	fx_forget_sent(fx);
	fx->send_error = 0;
	until_register(1900);
}

static void test_outgoing_heeds_retry_after_and_min_expires(void **state)
{
	(void)state;
	until_register(2);
	answer(503, "Retry-After: 900 (maintenance);duration=60\r\n");
	assert_in_range(until_register(1000), 900, 901);
	answer(423, "Min-Expires: 3600\r\n");
	assert_in_range(until_register(1), 0, 0);
	assert_int_equal(asked(), 3600);
	answer(423, "Min-Expires: 3600\r\n"); /* again the same: a failure, no loop */
	assert_in_range(until_register(100), 15, 62);
}

static void test_outgoing_route_is_the_service_route(void **state)
{
	(void)state;
	until_register(2);
	assert_null(outgoing_route(outgoing, "office", "p"));
	answer(200, "Contact: CONTACT;expires=600\r\nService-Route: <sip:a;lr>, <sip:b;lr>\r\nService-Route: <sip:c;lr>\r\n");
	assert_string_equal(outgoing_route(outgoing, "office", "p"), "<sip:a;lr>,<sip:b;lr>,<sip:c;lr>");
	until_register(600);
	/* what isn't said any more doesn't hold, and nothing after the end */
	answer(200, "Contact: CONTACT;expires=600\r\nService-Route: <sip:d;lr>\r\n");
	assert_string_equal(outgoing_route(outgoing, "office", "p"), "<sip:d;lr>");
	fx->send_error = -EHOSTUNREACH;
	for (unsigned i = 0; i < 601; i++)
		fx_advance(fx, 1000);
	assert_null(outgoing_route(outgoing, "office", "p"));
	assert_null(outgoing_route(outgoing, "office", "q"));
}

static void test_outgoing_changes_of_the_row_take_effect(void **state)
{
	char call_id[64];

	(void)state;
	until_register(2);
	answer(200, "Contact: CONTACT;expires=600\r\n");
	str_copy(fx_sent(fx, -1)->call_id, call_id, sizeof(call_id));
	changed(); /* of something else */
	fx_advance(fx, 1000);
	row.register_expires_s = 1200;
	changed();
	assert_in_range(until_register(1), 0, 1);
	assert_int_equal(asked(), 1200);
	assert_true(str_eqz(fx_sent(fx, -1)->call_id, call_id)); /* the same registration */
	answer(200, "Contact: CONTACT;expires=1200\r\n");
	has_row = false;
	changed();
	assert_int_equal(asked(), 0);
	answer(200, "");
	fx_forget_sent(fx);
	fx_advance(fx, 2000000);
	assert_int_equal(fx->nsent, 0);
}

static void on_stopped(void *arg)
{
	(void)arg;
	nstopped++;
}

static void test_outgoing_stop_takes_all_back(void **state)
{
	(void)state;
	until_register(2);
	answer(200, "Contact: CONTACT;expires=600\r\n");
	outgoing_stop(outgoing, on_stopped, NULL);
	assert_int_equal(nstopped, 0);
	assert_int_equal(asked(), 0);
	answer(200, "");
	assert_int_equal(nstopped, 1);
	fx_advance(fx, 10000);
	assert_int_equal(nstopped, 1);
}

static void test_outgoing_stop_does_not_wait_for_ever(void **state)
{
	(void)state;
	until_register(2);
	answer(200, "Contact: CONTACT;expires=600\r\n");
	outgoing_stop(outgoing, on_stopped, NULL);
	fx_advance(fx, 1900);
	assert_int_equal(nstopped, 0);
	fx_advance(fx, 200);
	assert_int_equal(nstopped, 1);
}

static void test_outgoing_stop_without_registration_is_done_at_once(void **state)
{
	(void)state;
	until_register(2); /* no answer yet */
	outgoing_stop(outgoing, on_stopped, NULL);
	assert_int_equal(nstopped, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outgoing_backoff_is_that_of_rfc_5626),
		cmocka_unit_test_setup_teardown(test_outgoing_is_renewed_before_it_expires, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_waits_longer_with_every_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_tries_again_when_nobody_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_heeds_retry_after_and_min_expires, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_route_is_the_service_route, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_changes_of_the_row_take_effect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_stop_takes_all_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_stop_does_not_wait_for_ever, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outgoing_stop_without_registration_is_done_at_once, setup, teardown),
	};

	return cmocka_run_group_tests_name("outgoing", tests, NULL, NULL);
}
