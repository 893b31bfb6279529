/* test_dialog_info.c - lamps: what they show, how often, and how they live on (RFC 4235, RFC 6665). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "presence/dialog_info.h"
#include "presence/xml.h"
#include "fake_directory.h"
#include "fake_strans.h"
#include "fake_subscription.h"

/* ---- the seams ---- */

static void (*line_fn)(const struct call_line *line, void *arg);
static void *line_arg;
static const struct call_line *live[4]; /* what calls_each_line finds */

void calls_watch(struct calls *cs, void (*fn)(const struct call_line *line, void *arg), void *arg)
{
	(void)cs;
	line_fn = fn;
	line_arg = arg;
}

/* Tests give the phone itself. */
uint64_t call_line_phone(const struct call_line *line)
{
	return (uintptr_t)line->leg;
}

void calls_each_line(const struct calls *cs, const char *domain, const char *number,
		     void (*fn)(const struct call_line *line, void *arg), void *arg)
{
	(void)cs;
	assert_string_equal(domain, "office");
	for (size_t i = 0; i < ARRAY_LEN(live) && live[i]; i++)
		if (!strcmp(live[i]->number, number))
			fn(live[i], arg);
}

struct db_rows { int n; const char *cells[20]; };
static db_fn *rows_fn;
static void *rows_arg;

bool db_is_up(const struct db *db)
{
	(void)db;
	return true;
}

uint64_t db_query(struct db *db, const char *sql, unsigned n, const struct db_param *params, db_fn *fn, void *arg)
{
	(void)db;
	(void)sql;
	assert_int_equal(n, 1);
	assert_string_equal(params[0].p, "here");
	rows_fn = fn;
	rows_arg = arg;
	return 1;
}

void db_forget(struct db *db, uint64_t id)
{
	(void)db;
	(void)id;
}

int db_rows_count(const struct db_rows *r)
{
	return r->n;
}

struct str db_rows_get(const struct db_rows *r, int row, int col)
{
	(void)row;
	return str_from(r->cells[col]);
}

/* ---- helpers ---- */

static struct directory directory;
static struct timers *timers;
static struct rng rng;
static struct events *events;
static struct lines *lines;
static struct dialog_info *dialog_info;
static int64_t wall_ms;

static int64_t wall(void *arg)
{
	(void)arg;
	return wall_ms + (int64_t)timers_now(timers);
}

static const struct clock test_clock = { .wall_ms = wall };

static void make(bool is_kept)
{
	struct events_params p = { .directory = &directory, .clock = &test_clock, .rng = &rng, .timers = timers, .node = "here",
				   .max_per_user = 5 };

	if (is_kept) {
		p.outbox = (struct outbox *)&directory; /* never looked into */
		p.db = (struct db *)&directory;
	}
	assert_int_equal(lines_new(&lines, NULL, timers), 0);
	assert_int_equal(events_new(&events, &p), 0);
	assert_int_equal(dialog_info_new(&dialog_info, events, &directory, lines), 0);
	events_start(events);
}

static int setup(void **state)
{
	(void)state;
	fake_directory_init(&directory);
	fake_extensions[0].sees_peers = true;
	fake_extensions[1].sees_peers = true;
	fake_extensions[1].presence_hidden = false;
	fake_subscriptions_reset();
	memset(live, 0, sizeof(live));
	timers = timers_new(0);
	wall_ms = 1700000000000;
	rng_init_fixed(&rng, 1);
	make(false);
	return 0;
}

static void unmake(void)
{
	events_stop(events);
	lines_stop(lines);
	assert_int_equal(timers_count(timers), 0);
	events_free(events);
	dialog_info_free(dialog_info);
	lines_free(lines);
}

static int teardown(void **state)
{
	(void)state;
	unmake();
	timers_free(timers);
	return 0;
}

static const char *event = "dialog"; /* what is subscribed to */

static struct subscription *watch_uri(const char *uri, const char *number)
{
	struct strans st;
	char text[1024];

	snprintf(text, sizeof(text), "SUBSCRIBE sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKx\r\n"
		 "From: <sip:1001@office>;tag=1\r\nTo: <sip:%s@pbx.example>\r\nCall-ID: c\r\nCSeq: 1 SUBSCRIBE\r\n"
		 "Contact: <sip:x@192.0.2.10>\r\nEvent: %s\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n", uri, number, event);
	return fake_request(&st, text) == 200 ? &subs[nsubs - 1] : NULL;
}

static struct subscription *watch(const char *number)
{
	char uri[128];

	snprintf(uri, sizeof(uri), "%s@pbx.example", number);
	return watch_uri(uri, number);
}

static const struct call_line ringing = { .id = 7, .domain = "office", .number = "1002", .state = CALL_LINE_EARLY, .call_id = { "c<1>", 4 },
					  .our_tag = { "ours", 4 }, .phone_tag = { "phones", 6 }, .peer_number = "1004",
					  .peer_name = "A & \"B\"" };

static void tell(enum call_line_state state)
{
	struct call_line l = ringing;

	l.state = state;
	if (line_fn)
		line_fn(&l, line_arg);
}

static void run(uint64_t ms)
{
	timers_run(timers, timers_now(timers) + ms);
}

/* ---- tests ---- */

static void test_dialog_info_body_has_identities_escaped(void **state)
{
	struct subscription *s;

	(void)state;
	live[0] = &ringing;
	s = watch("1002");
	assert_int_equal(s->notified, 1);
	assert_string_equal(s->ctype, "application/dialog-info+xml");
	assert_string_equal(s->body,
		"<?xml version=\"1.0\"?>\r\n"
		"<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\" entity=\"sip:1002@pbx.example\">\r\n"
		"<dialog id=\"7\" call-id=\"c&lt;1&gt;\" local-tag=\"phones\" remote-tag=\"ours\" direction=\"recipient\">"
		"<state>early</state>"
		"<local><identity>sip:1002@pbx.example</identity><target uri=\"sip:1002@pbx.example\"/></local>"
		"<remote><identity display=\"A &amp; &quot;B&quot;\">sip:1004@pbx.example</identity><target uri=\"sip:1004@pbx.example\"/></remote>"
		"</dialog>\r\n</dialog-info>\r\n");
}

static void test_dialog_info_follows_the_call(void **state)
{
	struct subscription *s = watch("1002");
	static const char *const names[] = { "trying", "early", "confirmed", "terminated" };

	(void)state;
	assert_null(strstr(s->body, "<dialog "));
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		char want[64];

		tell(i);
		assert_int_equal(s->notified, i + 2);
		snprintf(want, sizeof(want), "<state>%s</state>", names[i]);
		assert_non_null(strstr(s->body, want));
		snprintf(want, sizeof(want), "version=\"%u\"", i + 1);
		assert_non_null(strstr(s->body, want));
		tell(i); /* nothing new */
		assert_int_equal(s->notified, i + 2);
	}
	/* What has ended is forgotten, and that is no news */
	run(1000);
	assert_int_equal(s->notified, 5);
	s->h->on_refresh(s, 600, s->arg);
	assert_null(strstr(s->body, "<dialog "));
	/* With the last watcher goes the watching */
	assert_non_null(line_fn);
	s->h->on_closed(s, s->arg);
	assert_null(line_fn);
}

/* RFC 6446: a burst, then one a gap, and the last state always comes. */
static void test_dialog_info_burst_is_paced(void **state)
{
	struct subscription *s = watch("1002");

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct call_line l = ringing;

		l.id = 100 + i;
		l.state = CALL_LINE_TRYING;
		line_fn(&l, line_arg);
	}
	assert_int_equal(s->notified, 5);
	run(249);
	assert_int_equal(s->notified, 5);
	run(1);
	assert_int_equal(s->notified, 6);
	run(10000);
	assert_int_equal(s->notified, 6);
	assert_non_null(strstr(s->body, "version=\"5\""));
	/* A refresh is answered at once, whatever the pace */
	for (unsigned i = 0; i < 8; i++)
		s->h->on_refresh(s, 600, s->arg);
	assert_int_equal(s->notified, 14);
}

static void test_dialog_info_one_notify_under_way_newest_follows(void **state)
{
	struct subscription *s = watch("1002");

	(void)state;
	s->is_notifying = true;
	tell(CALL_LINE_EARLY);
	tell(CALL_LINE_CONFIRMED);
	assert_int_equal(s->notified, 1);
	fake_subscription_answered(s);
	assert_int_equal(s->notified, 2);
	assert_non_null(strstr(s->body, "version=\"1\""));
	assert_non_null(strstr(s->body, "confirmed"));
	fake_subscription_answered(s);
	assert_int_equal(s->notified, 2);
}

static void test_dialog_info_who_may_see(void **state)
{
	struct subscription *s;

	(void)state;
	assert_null(watch("1777"));
	live[0] = &ringing;
	fake_extensions[0].sees_peers = false;
	s = watch("1002");
	assert_null(strstr(s->body, "<remote>"));
	assert_non_null(strstr(s->body, "call-id="));
	/* Hidden while it is watched */
	fake_extensions[1].presence_hidden = true;
	fake_directory_tell(&directory, "extension", "office/1002");
	assert_string_equal(s->closed, "noresource");
	assert_null(watch("1002"));
	/* Oneself one may always see */
	fake_extensions[0].presence_hidden = true;
	assert_non_null(watch("1001"));
	fake_extensions[0].presence_hidden = false;
}

static void test_dialog_info_note_is_a_lamp(void **state)
{
	struct dir_note note = { .domain = "office", .number = "door", .lamp = "busy" };
	struct subscription *s;

	(void)state;
	assert_null(watch("door"));
	directory.note = &note;
	s = watch("door");
	assert_non_null(strstr(s->body, "<state>confirmed</state>"));
	note.lamp = "ringing";
	fake_directory_tell(&directory, "presence_note", "office/door");
	assert_non_null(strstr(s->body, "<state>early</state>"));
	note.lamp = "idle";
	fake_directory_tell(&directory, "*", "");
	assert_null(strstr(s->body, "<dialog "));
	directory.note = NULL;
	fake_directory_tell(&directory, "presence_note", "office/door");
	assert_string_equal(s->closed, "noresource");
}

static void test_dialog_info_subscriptions_of_a_user_are_bounded(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		assert_non_null(watch("1002"));
	assert_null(watch("1002"));
	assert_int_equal(events_count(events), 5);
	subs[0].h->on_closed(&subs[0], subs[0].arg);
	assert_non_null(watch("1001"));
}

/* RFC 5627 §5.1: a GRUU is one phone of the number, and a temporary one tells nobody whose it is. */
static void test_dialog_info_gruu_watches_one_phone(void **state)
{
	static const struct { const char *uri, *entity; } gruus[] = {
		{ "1002@pbx.example;gr=urn:uuid:b", "entity=\"sip:1002@pbx.example;gr=urn:uuid:b\"" },
		{ "tgruu.1@pbx.example;gr", "entity=\"sip:tgruu.1@pbx.example;gr\"" },
	};
	struct call_line a = ringing, b = ringing;
	struct subscription *s;

	(void)state;
	a.leg = (const struct leg *)(uintptr_t)'a';
	a.call_id = STR("of-a");
	b.leg = (const struct leg *)(uintptr_t)'b';
	b.id = 8;
	b.call_id = STR("of-b");
	live[0] = &a;
	live[1] = &b;
	for (size_t i = 0; i < ARRAY_LEN(gruus); i++) {
		s = watch_uri(gruus[i].uri, "1002");
		assert_non_null(s);
		assert_non_null(strstr(s->body, gruus[i].entity));
		assert_non_null(strstr(s->body, "of-b"));
		assert_null(strstr(s->body, "of-a"));
		assert_non_null(strstr(s->body, ">sip:1004@pbx.example<"));
	}
	assert_null(strstr(s->body, "1002"));
	s = watch("1002");
	assert_non_null(strstr(s->body, "of-a"));
	assert_non_null(strstr(s->body, "of-b"));
	assert_null(watch_uri("tgruu.2@pbx.example;gr", "1002"));
}

/* RFC 4235 §3.2 */
static void test_dialog_info_of_one_dialog(void **state)
{
	static const struct { const char *event; bool has_it; } rows[] = {
		{ "dialog;call-id=\"c<1>\";to-tag=phones;from-tag=ours", true }, { "dialog;call-id=\"c<1>\"", true },
		{ "dialog;call-id=\"c<1>\";to-tag=ours;from-tag=phones", false }, { "dialog;call-id=other", false },
	};

	(void)state;
	live[0] = &ringing;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct subscription *s;

		event = rows[i].event;
		s = watch("1002");
		assert_non_null(s);
		if (!strstr(s->body, "<dialog ") == rows[i].has_it)
			fail_msg("%s: %s", event, s->body);
	}
	event = "dialog";
}

/* RFC 4235 §3.7.1, §4.1.6.1 */
static void test_dialog_info_says_how_it_ended(void **state)
{
	struct subscription *s = watch("1002");
	struct call_line l = ringing;

	(void)state;
	line_fn(&l, line_arg);
	l.state = CALL_LINE_TERMINATED;
	l.end = "rejected";
	l.code = 486;
	line_fn(&l, line_arg);
	assert_non_null(strstr(s->body, "<state event=\"rejected\" code=\"486\">terminated</state>"));
}

static void test_dialog_info_gruu_is_watched_on_in_the_next_process(void **state)
{
	static const char *const entities[] = { "sip:tgruu.1@pbx.example;gr", "sip:tgruu.2@pbx.example;gr" };
	struct call_line b = ringing;

	(void)state;
	unmake();
	make(true);
	b.leg = (const struct leg *)(uintptr_t)'a';
	live[0] = &b;
	for (size_t i = 0; i < ARRAY_LEN(entities); i++) {
		struct db_rows rows = { 1, { "tagoftheformerpr", "office", "1001", "dialog", "1002", entities[i], "dialog", "c", "1",
					     "<sip:a@x>", "<sip:b@x>", "sip:b@192.0.2.10", "", "a", "1001", "4", "1000", "udp",
					     "192.0.2.10:5062", "1700000600000" } };

		rows_fn(1, &(struct db_answer){ .rows = &rows }, rows_arg);
		run(500);
	}
	/* That of a phone that registers no more isn't taken up. */
	assert_int_equal(events_count(events), 1);
	assert_int_equal(subs[0].notified, 1);
	assert_null(strstr(subs[0].body, "<dialog "));
}

static void test_dialog_info_lives_on_in_the_next_process(void **state)
{
	struct subscription *s;
	struct db_rows rows = { 1, { "tagoftheformerpr", "office", "1001", "dialog", "1002", "sip:1002@pbx.example", "dialog", "c", "1",
				     "<sip:a@x>", "<sip:b@x>", "sip:b@192.0.2.10", "", "a", "1001", "4", "1000", "udp", "192.0.2.10:5062",
				     "1700000600000" } };
	struct db_answer a = { .rows = &rows };

	(void)state;
	unmake();
	make(true);
	/* A copy for the first NOTIFY, way ahead; none for the next ones */
	s = watch("1002");
	assert_int_equal(ndocs, 1);
	assert_string_equal(last_kind, "subscription");
	assert_non_null(strstr(last_doc, "\"local_seq\":1001,"));
	assert_non_null(strstr(last_doc, "\"version\":1001,"));
	assert_non_null(strstr(last_doc, "\"node\":\"here\""));
	for (int i = 0; i < 2; i++) {
		tell(CALL_LINE_EARLY);
		run(250);
		tell(CALL_LINE_CONFIRMED);
		run(250);
	}
	assert_int_equal(ndocs, 1);
	/* Near the end of what was kept, a new one; and when it ends, its removal */
	s->seq = 1000;
	s->h->on_refresh(s, 600, s->arg);
	assert_int_equal(ndocs, 2);
	assert_non_null(strstr(last_doc, "\"local_seq\":2001,"));
	s->h->on_refresh(s, 0, s->arg);
	assert_int_equal(ndocs, 2);
	s->h->on_closed(s, s->arg);
	assert_int_equal(ndocs, 3);
	assert_non_null(strstr(last_doc, "\"remove\":true"));
	/* What a former process left is told the state, with a version that is higher */
	live[0] = &ringing;
	rows_fn(1, &a, rows_arg);
	assert_true(events_is_loaded(events));
	assert_int_equal(events_count(events), 1);
	s = &subs[nsubs - 1];
	assert_int_equal(s->seq, 1001);
	run(500);
	assert_int_equal(s->notified, 1);
	assert_non_null(strstr(s->body, "version=\"1000\""));
	assert_non_null(strstr(s->body, "<state>early</state>"));
	assert_int_equal(ndocs, 4);
	assert_non_null(strstr(last_doc, "\"local_seq\":2002,"));
	/* Rows that make no sense, or are of no use any more, are left */
	rows.cells[18] = "nowhere";
	rows_fn(1, &a, rows_arg);
	rows.cells[18] = "192.0.2.10:5062";
	rows.cells[4] = "1777";
	rows_fn(1, &a, rows_arg);
	rows.cells[4] = "1002";
	rows.cells[3] = "weather";
	rows_fn(1, &a, rows_arg);
	assert_int_equal(events_count(events), 1);
	/* Stopping says nothing: the next process goes on */
	events_stop(events);
	assert_string_equal(s->closed, "");
	assert_int_equal(ndocs, 4);
}

static void test_xml_text_is_nothing_but_text(void **state)
{
	static const struct { const char *in, *out; } rows[] = {
		{ "a<b>&\"c\"", "a&lt;b&gt;&amp;&quot;c&quot;" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\x01\x7f\t", "?\x7f\t" },
		{ "\xc0\xaf", "??" },                 /* overlong */
		{ "\xed\xa0\x80", "???" },            /* a surrogate */
		{ "\xef\xbf\xbf", "???" },            /* U+FFFF is no character */
		{ "\xe2\x82", "??" },                 /* cut off */
		{ "\xf5\x80\x80\x80", "????" },
	};
	char buf[64];
	struct out o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		out_init(&o, buf, sizeof(buf));
		xml_text(&o, str_from(rows[i].in));
		assert_true(str_eqz(out_view(&o), rows[i].out));
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_dialog_info_##name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(body_has_identities_escaped), T(follows_the_call), T(burst_is_paced), T(one_notify_under_way_newest_follows),
		T(who_may_see), T(note_is_a_lamp), T(subscriptions_of_a_user_are_bounded), T(lives_on_in_the_next_process),
		T(of_one_dialog), T(says_how_it_ended), T(gruu_watches_one_phone), T(gruu_is_watched_on_in_the_next_process),
		cmocka_unit_test(test_xml_text_is_nothing_but_text),
	};

	return cmocka_run_group_tests_name("dialog_info", tests, NULL, NULL);
}
