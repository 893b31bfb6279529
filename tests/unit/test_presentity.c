/* test_presentity.c - PUBLISH and what watchers are told, with time that a test moves (RFC 3856, RFC 3903). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "presence/pidf.h"
#include "presence/presentity.h"
#include "registrar/registrar.h"
#include "fake_directory.h"
#include "fake_strans.h"
#include "fake_subscription.h"

/* ---- the seams ---- */

static void (*line_fn)(const struct call_line *line, void *arg);
static void *line_arg;
static const struct binding *registered;
static void (*registered_fn)(const char *domain, const char *number, void *arg);
static void *registered_arg;

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
	(void)domain;
	(void)number;
	(void)fn;
	(void)arg;
}

struct registrar_reach registrar_reach(struct registrar *r, const char *domain, struct str number)
{
	(void)r;
	(void)domain;
	return (struct registrar_reach){ .b = str_eqz(number, "1001") ? registered : NULL };
}

void registrar_next(struct registrar_reach *at)
{
	at->b = at->b->next;
}

void registrar_watch(struct registrar *r, void (*fn)(const char *domain, const char *number, void *arg), void *arg)
{
	(void)r;
	registered_fn = fn;
	registered_arg = arg;
}

bool db_is_up(const struct db *db)
{
	(void)db;
	return false;
}

uint64_t db_query(struct db *db, const char *sql, unsigned n, const struct db_param *params, db_fn *fn, void *arg)
{
	(void)db;
	(void)sql;
	(void)n;
	(void)params;
	(void)fn;
	(void)arg;
	return 0;
}

void db_forget(struct db *db, uint64_t id)
{
	(void)db;
	(void)id;
}

int db_rows_count(const struct db_rows *r)
{
	(void)r;
	return 0;
}

struct str db_rows_get(const struct db_rows *r, int row, int col)
{
	(void)r;
	(void)row;
	(void)col;
	return STR_NULL;
}

/* ---- helpers ---- */

static struct directory directory;
static struct timers *timers;
static struct rng rng;
static struct events *events;
static struct lines *lines;
static struct presentities *presentities;
static const struct binding binding = { 0 };

static int setup(void **state)
{
	(void)state;
	fake_directory_init(&directory);
	fake_subscriptions_reset();
	registered = NULL;
	timers = timers_new(0);
	rng_init_fixed(&rng, 1);
	assert_int_equal(lines_new(&lines, NULL, timers), 0);
	assert_int_equal(events_new(&events, &(struct events_params){ .directory = &directory, .clock = &clock_system, .timers = timers }), 0);
	assert_int_equal(presentities_new(&presentities, &(struct presentities_params){
		.events = events, .directory = &directory, .lines = lines, .timers = timers, .rng = &rng }), 0);
	events_start(events);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	events_stop(events);
	presentities_stop(presentities);
	lines_stop(lines);
	assert_int_equal(timers_count(timers), 0);
	events_free(events);
	presentities_free(presentities);
	lines_free(lines);
	timers_free(timers);
	return 0;
}

#define OPEN "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='a:b'><tuple id='t'><status><basic>open</basic></status></tuple></presence>"
#define CLOSED "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='a:b'><tuple id='t'><status><basic>closed</basic></status></tuple></presence>"

/* etag: gets the new one with 200. */
static int publish(const char *from, const char *lines_, const char *body, char etag[17])
{
	struct strans st;
	static char text[8192];
	int status;

	snprintf(text, sizeof(text), "PUBLISH sip:1001@office SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKx\r\n"
		 "From: <sip:%s@office>;tag=1\r\nTo: <sip:1001@office>\r\nCall-ID: c\r\nCSeq: 1 PUBLISH\r\nEvent: presence\r\n"
		 "%s%sContent-Length: %zu\r\n\r\n%s", from, lines_, body[0] ? "Content-Type: application/pidf+xml\r\n" : "", strlen(body), body);
	status = fake_request(&st, text);
	if (status == 200)
		assert_int_equal(sscanf(st.hdrs, "SIP-ETag: %16s", etag), 1);
	return status;
}

static int publish_if(const char *etag_had, const char *lines_, const char *body, char etag[17])
{
	char hdrs[256];

	snprintf(hdrs, sizeof(hdrs), "SIP-If-Match: %s\r\n%s", etag_had, lines_);
	return publish("1001", hdrs, body, etag);
}

static struct subscription *watch(void)
{
	struct strans st;

	assert_int_equal(fake_request(&st, "SUBSCRIBE sip:1001@office SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKx\r\n"
		 "From: <sip:1002@office>;tag=1\r\nTo: <sip:1001@office>\r\nCall-ID: c\r\nCSeq: 1 SUBSCRIBE\r\n"
		 "Contact: <sip:x@192.0.2.10>\r\nEvent: presence\r\nContent-Length: 0\r\n\r\n"), 200);
	return &subs[nsubs - 1];
}

static const char *basic(const struct subscription *s)
{
	const char *at = strstr(s->body, "<basic>");

	return !at ? "none" : !strncmp(at + 7, "open", 4) ? "open" : "closed";
}

static void run(uint64_t ms)
{
	timers_run(timers, timers_now(timers) + ms);
}

/* ---- tests ---- */

static void test_presentity_publication_expires(void **state)
{
	struct subscription *s = watch();
	char etag[17], next[17];

	(void)state;
	assert_string_equal(basic(s), "closed");
	assert_int_equal(publish("1001", "Expires: 100\r\n", OPEN, etag), 200);
	assert_string_equal(basic(s), "open");
	run(90000);
	assert_int_equal(publish_if(etag, "Expires: 100\r\n", "", next), 200); /* refresh */
	assert_string_not_equal(etag, next);
	assert_int_equal(s->notified, 2);
	run(99999);
	assert_string_equal(basic(s), "open");
	run(1);
	assert_string_equal(basic(s), "closed");
	assert_int_equal(publish_if(next, "", "", etag), 412);
}

/* RFC 3903 §4.1: the tag that was replaced names nothing. */
static void test_presentity_tag_changes_with_each_success(void **state)
{
	char first[17], second[17], third[17], two[32];

	(void)state;
	assert_int_equal(publish("1001", "", OPEN, first), 200);
	assert_int_equal(publish_if(first, "", CLOSED, second), 200);
	assert_int_equal(publish_if(first, "", OPEN, third), 412);
	assert_int_equal(publish_if(second, "", "no XML", third), 400);
	/* one tag, and one alone (§6, step 4) */
	assert_int_equal(publish_if(second, "SIP-If-Match: other\r\n", "", third), 400);
	snprintf(two, sizeof(two), "%s, other", second);
	assert_int_equal(publish_if(two, "", "", third), 400);
	assert_int_equal(publish_if(second, "Expires: 0\r\n", "", third), 200);
	assert_int_equal(publish_if(third, "", "", first), 412);
}

static void test_presentity_publish_is_checked(void **state)
{
	char etag[17];

	(void)state;
	assert_int_equal(publish("1002", "", OPEN, etag), 403);
	assert_int_equal(publish("trunk", "", OPEN, etag), 403);
	assert_int_equal(publish("stranger", "", OPEN, etag), 401);
	assert_int_equal(publish("1001", "Expires: 59\r\n", OPEN, etag), 423);
	assert_int_equal(publish("1001", "Expires: x\r\n", OPEN, etag), 400);
	assert_int_equal(publish("1001", "", "", etag), 400);
	assert_int_equal(publish("1001", "Content-Encoding: gzip\r\n", OPEN, etag), 415);
	for (int i = 0; i < PUBLICATIONS_MAX; i++)
		assert_int_equal(publish("1001", "", OPEN, etag), 200);
	assert_int_equal(publish("1001", "", OPEN, etag), 503);
}

static void test_presentity_is_put_together(void **state)
{
	struct dir_note note = { .domain = "office", .number = "1001", .status = "closed", .activity = "vacation", .note = "<away>" };
	struct call_line l = { .id = 1, .domain = "office", .number = "1001", .state = CALL_LINE_EARLY, .peer_number = "", .peer_name = "" };
	struct subscription *s = watch();
	char etag[17];

	(void)state;
	/* a phone registers */
	registered = &binding;
	registered_fn("office", "1001", registered_arg);
	assert_string_equal(basic(s), "open");
	assert_non_null(strstr(s->body, "<contact>sip:1001@office</contact>"));
	/* one that publishes knows better */
	run(1000);
	assert_int_equal(publish("1001", "", CLOSED, etag), 200);
	assert_string_equal(basic(s), "closed");
	/* it telephones: one NOTIFY for its ringing, none for its answer */
	run(1000);
	line_fn(&l, line_arg);
	assert_non_null(strstr(s->body, "<rpid:on-the-phone/>"));
	unsigned n = s->notified;
	l.state = CALL_LINE_CONFIRMED;
	line_fn(&l, line_arg);
	assert_int_equal(s->notified, n);
	/* what SQL says wins */
	directory.note = &note;
	fake_directory_tell(&directory, "presence_note", "office/1001");
	assert_non_null(strstr(s->body, "<rpid:vacation/>"));
	assert_non_null(strstr(s->body, "<note>&lt;away&gt;</note>"));
	run(1000);
	directory.note = NULL;
	fake_directory_tell(&directory, "presence_note", "office/1001");
	l.state = CALL_LINE_TERMINATED;
	line_fn(&l, line_arg);
	run(1000);
	assert_null(strstr(s->body, "<rpid:on-the-phone/>"));
}

/* All that its phones may say at most is more than anybody is told: the beginning is what counts. */
static void test_presentity_of_many_words_is_told(void **state)
{
	struct subscription *s = watch();
	char body[4096], note[PIDF_TEXT_MAX], etag[17];
	struct out o;

	(void)state;
	memset(note, '>', sizeof(note) - 1);
	note[sizeof(note) - 1] = '\0';
	out_init(&o, body, sizeof(body) - 1);
	out_z(&o, "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='a:b'>");
	for (int i = 0; i < PIDF_TUPLES_MAX; i++)
		out_fmt(&o, "<tuple id='t%d'><status><basic>open</basic></status><note>%s</note></tuple>", i, note);
	out_z(&o, "</presence>");
	assert_true(out_ok(&o));
	body[o.len] = '\0';
	for (int i = 0; i < PUBLICATIONS_MAX; i++)
		assert_int_equal(publish("1001", "", body, etag), 200);
	run(10000);
	assert_string_equal(basic(s), "open");
	assert_int_equal(publish_if(etag, "Expires: 0\r\n", "", etag), 200);
	run(1000);
	assert_int_equal(watch()->notified, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_presentity_##name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(publication_expires), T(tag_changes_with_each_success), T(publish_is_checked), T(is_put_together),
		T(of_many_words_is_told),
	};

	return cmocka_run_group_tests_name("presentity", tests, NULL, NULL);
}
