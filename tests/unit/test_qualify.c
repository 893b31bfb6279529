/* test_qualify.c - OPTIONS to trunks and phones, over hours of a fake clock. */
#include "trunk_bed.h"

#include "registrar/qualify.h"

#define TRUNK_S 60
#define PHONE_S 30

static struct qualify *qualify;
static struct dir_extension extension;
static struct binding *bindings;
static void (*phones_fn)(const char *domain, const char *number, void *arg);
static void *phones_arg;

/* ---- the seams ---- */

enum dir_answer directory_extension(struct directory *d, const char *domain, struct str number, const struct dir_extension **out)
{
	(void)d;
	(void)domain;
	if (!str_eqz(number, "1001"))
		return DIR_ABSENT;
	*out = &extension;
	return DIR_FOUND;
}

bool registrar_is_loaded(const struct registrar *r)
{
	(void)r;
	return true;
}

const struct binding *registrar_find(struct registrar *r, const char *domain, struct str number)
{
	(void)r;
	(void)domain;
	return str_eqz(number, "1001") ? bindings : NULL;
}

struct binding *registrar_binding(struct registrar *r, const struct binding_key *key)
{
	(void)r;
	for (struct binding *b = bindings; b; b = b->next)
		if (!strcmp(b->contact, key->contact))
			return b;
	return NULL;
}

void registrar_watch(struct registrar *r, void (*fn)(const char *domain, const char *number, void *arg), void *arg)
{
	(void)r;
	phones_fn = fn;
	phones_arg = arg;
}

void registrar_unwatch(struct registrar *r, void *arg)
{
	(void)r;
	(void)arg;
	phones_fn = NULL;
}

void registrar_each(struct registrar *r, void (*fn)(const char *domain, const char *number, void *arg), void *arg)
{
	(void)r;
	if (bindings)
		fn("office", "1001", arg);
}

/* ---- the bed ---- */

static int setup(void **state)
{
	(void)state;
	trunk_bed_open();
	row.qualify_s = TRUNK_S;
	extension = (struct dir_extension){ .domain = "office", .number = "1001", .context = "c", .qualify_s = PHONE_S };
	has_row = false;
	bindings = NULL;
	return 0;
}

static void start(void)
{
	const struct qualify_params q = { .env = { .ua = ua, .timers = fx->timers, .clock = &fx->clock, .rng = &fx->rng }, .node = "n" };

	assert_int_equal(qualify_new(&qualify, &q), 0);
}

static int teardown(void **state)
{
	(void)state;
	qualify_free(qualify);
	qualify = NULL;
	trunk_bed_close();
	return 0;
}

/* Until an OPTIONS of a new transaction is sent, a tenth of a second at a time; how many ms passed. */
static uint64_t until_asked(uint64_t most_ms)
{
	static char last[64];
	uint64_t ms;

	for (ms = 0; ms <= most_ms; ms += 100) {
		if (fx->nsent) {
			const struct sip_msg *m = fx_sent(fx, -1);

			assert_int_equal(m->method, SIP_OPTIONS);
			if (!str_eqz(m->via.branch, last)) {
				str_copy(m->via.branch, last, sizeof(last));
				return ms;
			}
		}
		fx_forget_sent(fx);
		fx_advance(fx, 100);
	}
	fail_msg("nobody is asked within %llu ms", (unsigned long long)most_ms);
	return 0;
}

static void answer(int status)
{
	const struct sip_msg *m = fx_sent(fx, -1);

	fx_receive(fx, "SIP/2.0 %d X\r\nVia: %.*s\r\nFrom: %.*s\r\nTo: %.*s;tag=z\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\nContent-Length: 0\r\n\r\n", status,
		   STR_ARG(sip_msg_value(m, SIP_HDR_VIA)), STR_ARG(sip_msg_value(m, SIP_HDR_FROM)), STR_ARG(sip_msg_value(m, SIP_HDR_TO)),
		   STR_ARG(m->call_id), STR_ARG(sip_msg_value(m, SIP_HDR_CSEQ)));
}

static bool is_down(void)
{
	return qualify_is_trunk_down(qualify, "office", "p");
}

/* ---- trunks ---- */

static void test_qualify_trunk_is_down_by_what_it_says(void **state)
{
	static const struct { int status; bool is_down; } rows[] = { /* 0: silence */
		{ 200, false }, { 503, true }, { 404, false }, { 408, true }, { 401, false }, { 480, true }, { 405, false }, { 430, true },
		{ 486, false }, { 0, true }, { 603, false },
	};

	(void)state;
	has_row = true;
	start();
	assert_false(is_down()); /* nobody knows: it is tried */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		until_asked(i ? TRUNK_S * 1100 + 11000 : 201);
		if (rows[i].status)
			answer(rows[i].status);
		else
			fx_advance(fx, 10001);
		if (is_down() != rows[i].is_down)
			fail_msg("%d: is_down %d", rows[i].status, is_down());
		assert_false(qualify_is_trunk_down(qualify, "other", "p"));
		assert_false(qualify_is_trunk_down(qualify, "office", "q"));
	}
}

static bool is_asked_by(const char *host)
{
	return strstr(fx->sent[fx->nsent - 1].bytes, host) != NULL;
}

/* Of several proxies one that answers is enough. */
static void test_qualify_trunk_is_asked_by_each_proxy(void **state)
{
	static const char *const more[] = { "sip:192.0.2.12;lr" };

	(void)state;
	has_row = true;
	row.is_outbound = true;
	row.proxy = "sip:192.0.2.11";
	row.more_proxies = more;
	row.nmore_proxies = 1;
	start();
	/* The first answers: the other isn't asked. */
	until_asked(201);
	assert_true(is_asked_by("Route: <sip:192.0.2.11;lr>"));
	answer(200);
	assert_false(is_down());
	/* It says 503, then nothing: the other is. */
	for (unsigned i = 0; i < 2; i++) {
		assert_true(until_asked(TRUNK_S * 1100 + 100) > TRUNK_S * 800);
		assert_true(is_asked_by("Route: <sip:192.0.2.11;lr>"));
		if (!i)
			answer(503);
		until_asked(i ? 10101 : 200);
		assert_true(is_asked_by("Route: <sip:192.0.2.12;lr>"));
		answer(i ? 405 : 200);
		assert_false(is_down());
	}
	/* Neither, when the one that was silent isn't asked again and again any more. */
	fx_advance(fx, 32000);
	fx_forget_sent(fx);
	until_asked(TRUNK_S * 1100 + 100);
	answer(503);
	until_asked(200);
	answer(503);
	assert_true(is_down());
	assert_true(until_asked(TRUNK_S * 1100 + 100) > TRUNK_S * 800);
	assert_true(is_asked_by("Route: <sip:192.0.2.11;lr>"));
}

/* Each round a tenth more or less: a thousand trunks don't go on being asked in one moment. */
static void test_qualify_trunk_times_spread(void **state)
{
	uint64_t least = UINT64_MAX, most = 0, sum = 0;

	(void)state;
	has_row = true;
	start();
	until_asked(201);
	answer(200);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t ms = until_asked(TRUNK_S * 1100 + 100);

		answer(200);
		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
		sum += ms;
	}
	assert_in_range(least, TRUNK_S * 900, TRUNK_S * 930);
	assert_in_range(most, TRUNK_S * 1070, TRUNK_S * 1100 + 100);
	assert_in_range(sum / 200, TRUNK_S * 980, TRUNK_S * 1020);
}

/* One that is asked seldom is tried again by calls, or the only one would be shut for an hour. */
static void test_qualify_trunk_down_long_ago_is_tried(void **state)
{
	(void)state;
	has_row = true;
	row.qualify_s = 3600;
	start();
	until_asked(201);
	answer(503);
	fx_advance(fx, 119000);
	assert_true(is_down());
	fx_advance(fx, 1001);
	assert_false(is_down());
	until_asked(3600 * 1100);
	answer(503);
	assert_true(is_down());
}

static void test_qualify_trunk_changes_and_goes(void **state)
{
	(void)state;
	has_row = true;
	start();
	until_asked(201);
	answer(503);
	assert_true(is_down());
	row.uri = "sip:192.0.2.11"; /* what was seen was another's */
	watcher->on_change("trunk", "office/p", watcher->arg);
	assert_false(is_down());
	fx_forget_sent(fx);
	until_asked(201);
	assert_true(str_eqz(fx_sent(fx, -1)->ruri.text, "sip:192.0.2.11"));
	answer(200);
	has_row = false;
	watcher->on_change("trunk", "office/p", watcher->arg);
	fx_forget_sent(fx);
	fx_advance(fx, 2 * TRUNK_S * 1000);
	assert_int_equal(fx->nsent, 0);
}

/* ---- phones ---- */

static void phone(struct binding *b, const char *contact, const char *host)
{
	*b = (struct binding){ .contact = (char *)contact, .next = bindings, .expires_at_ms = INT64_MAX };
	b->dest.proto = SIP_UDP;
	assert_int_equal(sockaddr_parse(&b->dest.addr, str_from(host), 5060), 0);
	bindings = b;
}

static void test_qualify_phone_lost_and_back(void **state)
{
	struct binding b;
	int64_t since;

	(void)state;
	phone(&b, "sip:1001@192.0.2.20:5060", "192.0.2.20");
	start();
	until_asked(3100);
	answer(200);
	assert_false(b.is_unreachable);
	since = b.reach_since_ms;
	assert_true(since > 0);
	until_asked(PHONE_S * 1100 + 100);
	answer(200);
	assert_true(b.reach_since_ms == since); /* no news */
	until_asked(PHONE_S * 1100 + 100);
	fx_advance(fx, 4800);
	assert_false(b.is_unreachable);
	fx_advance(fx, 201);
	assert_true(b.is_unreachable);
	assert_true(b.reach_since_ms > since);
	since = b.reach_since_ms;
	until_asked(PHONE_S * 1100 + 100);
	answer(404); /* it speaks */
	assert_false(b.is_unreachable);
	assert_true(b.reach_since_ms > since);
}

/* The phones of an extension are asked together; one that has gone meanwhile is nobody's, and when the last has nobody is asked. */
static void test_qualify_phones_come_and_go(void **state)
{
	struct binding a, b;

	(void)state;
	start();
	fx_advance(fx, 100000);
	assert_int_equal(fx->nsent, 0);
	phone(&a, "sip:1001@192.0.2.20:5060", "192.0.2.20");
	phone(&b, "sip:1001@192.0.2.21:5060", "192.0.2.21");
	phones_fn("office", "1001", phones_arg);
	fx_advance(fx, 999);
	assert_int_equal(fx->nsent, 0); /* its row is on its way */
	until_asked(2100);
	assert_int_equal(fx->nsent, 2);
	bindings = NULL;
	answer(200);
	fx_advance(fx, 64 * SIP_T1_MS + 1000); /* the other's question has been sent again to its end */
	fx_forget_sent(fx);
	fx_advance(fx, 4 * PHONE_S * 1000);
	assert_int_equal(fx->nsent, 0);
	assert_int_equal(timers_count(fx->timers), 0);
	assert_false(a.is_unreachable || b.is_unreachable);
}

/* RFC 6140 §5.2: bnc means something in a REGISTER alone. */
static void test_qualify_exchange_is_asked_as_its_number(void **state)
{
	struct binding b;
	char uri[64];

	(void)state;
	phone(&b, "sip:192.0.2.20:5060;bnc;line=7", "192.0.2.20");
	b.is_bulk = true;
	start();
	until_asked(3100);
	assert_int_equal(str_copy(fx_sent(fx, -1)->ruri.text, uri, sizeof(uri)), 0);
	assert_string_equal(uri, "sip:1001@192.0.2.20:5060;line=7");
	answer(200);
	assert_true(b.reach_since_ms > 0);
	assert_false(b.is_unreachable);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_qualify_trunk_is_down_by_what_it_says),
		T(test_qualify_trunk_is_asked_by_each_proxy),
		T(test_qualify_trunk_times_spread),
		T(test_qualify_trunk_down_long_ago_is_tried),
		T(test_qualify_trunk_changes_and_goes),
		T(test_qualify_phone_lost_and_back),
		T(test_qualify_phones_come_and_go),
		T(test_qualify_exchange_is_asked_as_its_number),
	};
#undef T

	return cmocka_run_group_tests_name("qualify", tests, NULL, NULL);
}
