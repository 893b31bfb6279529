/* registrar_fixture.h - a registrar with a clock, an outbox and a database that the test holds. Include it once, first.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <jansson.h>

#include "registrar/registrar_int.h"
#include "fake_strans.h"

#define START_MS 1700000000000 /* Tue, 14 Nov 2023 22:13:20 GMT */

static int64_t now_ms;
static struct timers *timers;
static struct registrar *registrar;
static unsigned nchanges;        /* told to the watcher */
static unsigned cseq;            /* of the next request */

/* ---- the seams ---- */

static sip_ua_request_fn *request_fn;
static void *request_arg;
static void (*flow_closed_fn)(uint64_t flow, void *arg);
static void *flow_closed_arg;

void sip_ua_handle(struct sip_ua *ua, enum sip_method method, sip_ua_request_fn *fn, void *arg)
{
	(void)ua;
	assert_int_equal(method, SIP_REGISTER);
	request_fn = fn;
	request_arg = arg;
}

int sip_ua_support_in(struct sip_ua *ua, enum sip_method method, const char *option_tag)
{
	(void)ua;
	(void)option_tag;
	assert_int_equal(method, SIP_REGISTER);
	return 0;
}

void sip_ua_on_flow_closed(struct sip_ua *ua, void (*fn)(uint64_t flow, void *arg), void *arg)
{
	(void)ua;
	flow_closed_fn = fn;
	flow_closed_arg = arg;
}

static struct { uint64_t flow; uint32_t every_s; unsigned n; } expected; /* of whom signs of life are expected */

void sip_ua_flow_expect(struct sip_ua *ua, uint64_t flow, uint32_t every_s)
{
	(void)ua;
	expected.flow = flow;
	expected.every_s = every_s;
	expected.n++;
}

/* 1009 is an exchange; 2001 and 2002 are its numbers. */
static enum dir_answer directory_answer = DIR_FOUND;

static struct dir_extension exchange = { .domain = "office", .number = "1009", .may_bulk = true };

enum dir_answer directory_extension(struct directory *d, const char *domain, struct str number, const struct dir_extension **out)
{
	static const struct dir_extension of_it = { .domain = "office", .bulk_account = "1009" }, other = { .domain = "office" };

	(void)d;
	assert_string_equal(domain, "office");
	*out = str_eqz(number, "1009") ? &exchange : str_starts(number, STR("200")) ? &of_it : &other;
	return directory_answer;
}

void directory_bulk_numbers(struct directory *d, const char *domain, const char *account,
			    void (*fn)(const struct dir_extension *ext, void *arg), void *arg)
{
	static const struct dir_extension numbers[] = { { .domain = "office", .number = "2001" }, { .domain = "office", .number = "2002" } };

	(void)d;
	assert_string_equal(domain, "office");
	for (size_t i = 0; i < ARRAY_LEN(numbers) && !strcmp(account, "1009"); i++)
		fn(&numbers[i], arg);
}

enum auth_verdict auth_check(struct auth *a, struct strans *st, const struct sip_msg *m, struct auth_identity *out)
{
	(void)a;
	if (sip_msg_has(m, SIP_HDR_PRIORITY)) { /* the test's sign for a stranger */
		strans_reply_simple(st, 401, NULL);
		return AUTH_ANSWERED;
	}
	*out = (struct auth_identity){ .domain = "office" };
	str_copy(m->to.uri.user, out->number, sizeof(out->number));
	return AUTH_OK;
}

static struct { char kind[16], doc[2048]; } kept[64];
static unsigned nkept;

int outbox_add(struct outbox *o, const char *kind, const char *doc, const char *file, void (*fn)(int err, void *arg), void *arg)
{
	(void)o;
	(void)fn;
	(void)arg;
	assert_null(file);
	assert_true(nkept < ARRAY_LEN(kept));
	snprintf(kept[nkept].kind, sizeof(kept[0].kind), "%s", kind);
	snprintf(kept[nkept++].doc, sizeof(kept[0].doc), "%s", doc);
	return 0;
}

#define BINDING_COLUMNS 15
struct db_rows { int n; const char *const (*cell)[BINDING_COLUMNS]; };
static db_fn *load_fn;
static void *load_arg;
static unsigned nqueries;
static uint64_t forgotten;

uint64_t db_query(struct db *db, const char *sql, unsigned n, const struct db_param *params, db_fn *fn, void *arg)
{
	(void)db;
	(void)params;
	assert_int_equal(n, 0);
	assert_non_null(strstr(sql, "pbx.binding"));
	load_fn = fn;
	load_arg = arg;
	return ++nqueries;
}

void db_forget(struct db *db, uint64_t id)
{
	(void)db;
	forgotten = id;
}

int db_rows_count(const struct db_rows *r)
{
	return r->n;
}

struct str db_rows_get(const struct db_rows *r, int row, int col)
{
	return str_from(r->cell[row][col]);
}

/* ---- helpers ---- */

static uint64_t clock_mono(void *arg)
{
	(void)arg;
	return (uint64_t)(now_ms - START_MS);
}

static int64_t clock_wall(void *arg)
{
	(void)arg;
	return now_ms;
}

static const struct clock test_clock = { .mono_ms = clock_mono, .wall_ms = clock_wall };

static inline void pass(unsigned s)
{
	now_ms += (int64_t)s * 1000;
	timers_run(timers, (uint64_t)(now_ms - START_MS));
}

static void on_change(const char *domain, const char *number, void *arg)
{
	assert_string_equal(domain, "office");
	assert_true(strlen(number) == 4);
	(*(unsigned *)arg)++;
}

static void start(struct db *db)
{
	struct registrar_params p = {
		.timers = timers, .clock = &test_clock, .outbox = (struct outbox *)&nkept, .db = db, .max_contacts = 3, .node = "n1",
		.rng = fake_rng(), .key = "the key of all nodes",
	};

	assert_int_equal(registrar_new(&registrar, &p), 0);
	registrar_watch(registrar, on_change, &nchanges);
}

static int setup(void **state)
{
	(void)state;
	now_ms = START_MS;
	timers = timers_new(0);
	nkept = nchanges = nqueries = 0;
	cseq = 1;
	start(NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	registrar_close(registrar);
	assert_int_equal(timers_count(timers), 0);
	timers_free(timers);
	return 0;
}

static int submit_full(struct strans *st, const char *number, const char *call_id, unsigned seq, const char *lines, enum sip_proto proto, uint64_t flow)
{
	char text[16384];
	int n = snprintf(text, sizeof(text),
			 "REGISTER sip:office SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKx;rport\r\nFrom: <sip:%s@office>;tag=1\r\n"
			 "To: <sip:%s@office>\r\nCall-ID: %s\r\nCSeq: %u REGISTER\r\n%sContent-Length: 0\r\n\r\n",
			 number, number, call_id, seq, lines);

	assert_true(n > 0 && (size_t)n < sizeof(text));
	fake_strans_init(st, text);
	st->source.proto = proto;
	st->source.flow = flow;
	request_fn(st, st->msg, request_arg);
	fake_strans_fini(st);
	assert_int_equal(st->nreplies, 1);
	return st->status;
}

/* One more REGISTER of 1001's phone. */
static inline int submit(struct strans *st, const char *lines)
{
	return submit_full(st, "1001", "phone-a", cseq++, lines, SIP_UDP, 1);
}

static inline json_t *kept_doc(unsigned i)
{
	json_t *doc = json_loads(kept[i].doc, 0, NULL);

	assert_string_equal(kept[i].kind, "binding");
	assert_non_null(doc);
	return doc;
}
