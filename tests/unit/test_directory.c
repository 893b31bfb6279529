/* test_directory.c - the directory is what the database says: from the first moment, after each COMMIT, and after every outage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>

#include "directory/directory.h"
#include "pg_fixture.h"

#define IN_FORCE_MAX_MS 5000 /* 100 ms are promised; this machine may be busy with other things */

struct bed {
	uv_loop_t loop;
	struct db *db;
	struct directory *directory;
	struct directory_watcher watcher;
	unsigned nloads, nchanges;
	char last[200];          /* change told last */
	char told[4000];         /* all of them */
	uint64_t slowest_ms;
};

static struct bed bed;

/* ---- what the directory says of an object, as text ---- */

static const char *or_none(const char *z)
{
	return z ? z : "-";
}

static void print_number(char *buf, uint32_t n)
{
	if (n == UINT32_MAX)
		strcpy(buf, "none");
	else
		sprintf(buf, "%u", n);
}

static enum dir_answer print_extension(char *buf, size_t size, const char *number)
{
	const struct dir_extension *e;
	char limit[16];
	enum dir_answer a = directory_extension(bed.directory, "office", str_from(number), &e);

	if (a != DIR_FOUND)
		return a;
	print_number(limit, e->call_limit);
	snprintf(buf, size, "%s %s '%s' %s ring=%u limit=%s alg=%u %s %s%s", e->domain, e->number, e->display_name, e->context, e->ring_s,
		 limit, e->algorithms, e->language, e->music_class, e->has_mailbox ? " mailbox" : "");
	return a;
}

static enum dir_answer print_credential(char *buf, size_t size, const char *name)
{
	const struct dir_credential *c;
	enum dir_answer a = directory_credential(bed.directory, "office", str_from(name), &c);

	if (a == DIR_FOUND)
		snprintf(buf, size, "%s %s %s %s %.8s", c->domain, c->auth_name, c->number, or_none(c->ha1_md5), or_none(c->ha1_sha256));
	return a;
}

/* "1002/busy" */
static enum dir_answer print_forward(char *buf, size_t size, const char *key)
{
	struct str reason = str_from(key), number = str_cut(&reason, '/');
	struct dir_forward f;
	enum dir_answer a = directory_forward(bed.directory, "office", number, reason.p, &f);

	if (a == DIR_FOUND)
		snprintf(buf, size, "%s to %s", f.reason, f.target);
	return a;
}

static void print_one_trunk(char *buf, size_t size, const struct dir_trunk *t)
{
	char limit[16];

	print_number(limit, t->call_limit);
	snprintf(buf, size, "%s %s %s %s %s:%s limit=%s", t->domain, t->name, t->context, or_none(t->uri), or_none(t->auth_user),
		 or_none(t->auth_password), limit);
}

static enum dir_answer print_trunk(char *buf, size_t size, const char *name)
{
	const struct dir_trunk *t;
	enum dir_answer a = directory_trunk(bed.directory, "office", str_from(name), &t);

	if (a == DIR_FOUND)
		print_one_trunk(buf, size, t);
	return a;
}

/* Who an extension is to others. */
static enum dir_answer print_shown(char *buf, size_t size, const char *number)
{
	static const char *const when[] = { "never", "outside", "always" };
	const struct dir_extension *e;
	const struct dir_domain *d;
	enum dir_answer a = directory_extension(bed.directory, "office", str_from(number), &e);
	int n;

	if (a != DIR_FOUND || directory_domain(bed.directory, "office", &d) != DIR_FOUND)
		return a;
	n = snprintf(buf, size, "%s/%s %s", or_none(e->caller_id), or_none(d->caller_id), when[e->anonymous]);
	for (unsigned i = 0; i < e->nidentities; i++)
		n += snprintf(buf + n, size - (size_t)n, " %s", e->identities[i]);
	return a;
}

/* What a trunk is told and believed. */
static enum dir_answer print_boundary(char *buf, size_t size, const char *name)
{
	const struct dir_trunk *t;
	enum dir_answer a = directory_trunk(bed.directory, "office", str_from(name), &t);

	if (a == DIR_FOUND)
		snprintf(buf, size, "%s%s%s%s %s", t->is_trusted ? "trusted" : "", t->has_asserted ? " pai" : "",
			 t->has_preferred ? " ppi" : "", t->has_rpid ? " rpid" : "", or_none(t->caller_id));
	return a;
}

/* "" is for all trunks. */
static enum dir_answer print_pass(char *buf, size_t size, const char *name)
{
	const struct dir_pass *p;
	enum dir_answer a = directory_pass(bed.directory, "office", *name ? name : NULL, &p);
	int n = 0;

	for (unsigned i = 0; a == DIR_FOUND && i < p->n; i++)
		n += snprintf(buf + n, size - (size_t)n, "%s%s:%s%s%s", i ? " " : "", p->headers[i].is_out ? "out" : "in", p->headers[i].header,
			      p->headers[i].value ? "=" : "", p->headers[i].value ? p->headers[i].value : "");
	return a;
}

static enum dir_answer print_address(char *buf, size_t size, const char *address)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
	const struct dir_trunk *t;
	enum dir_answer a;

	if (!is_v4)
		assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
	a = directory_trunk_by_address(bed.directory, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6, &t);
	if (a == DIR_FOUND)
		snprintf(buf, size, "%s", t->name);
	return a;
}

static enum dir_answer print_certificate(char *buf, size_t size, const char *identity)
{
	const struct dir_certificate *c;
	enum dir_answer a = directory_certificate(bed.directory, identity, &c);

	if (a == DIR_FOUND)
		snprintf(buf, size, "%s %s", c->domain, c->number);
	return a;
}

static enum dir_answer print_identity(char *buf, size_t size, const char *identity)
{
	const struct dir_trunk *t;
	enum dir_answer a = directory_trunk_by_identity(bed.directory, identity, &t);

	if (a == DIR_FOUND)
		snprintf(buf, size, "%s", t->name);
	return a;
}

static enum dir_answer print_group(char *buf, size_t size, const char *number)
{
	const struct dir_group *g;
	enum dir_answer a = directory_group(bed.directory, "office", str_from(number), &g);
	int n;

	if (a != DIR_FOUND)
		return a;
	n = snprintf(buf, size, "%s %s %s ring=%u", g->number, g->name, g->strategy, g->ring_s);
	for (unsigned i = 0; i < g->nmembers; i++)
		n += snprintf(buf + n, size - (size_t)n, " %s+%u/%u", g->members[i].number, g->members[i].delay_s, g->members[i].ring_s);
	return a;
}

static enum dir_answer print_conference(char *buf, size_t size, const char *number)
{
	const struct dir_conference *c;
	enum dir_answer a = directory_conference(bed.directory, "office", str_from(number), &c);

	if (a == DIR_FOUND)
		snprintf(buf, size, "%s %s %.7s %.7s %s %u %u%s%s%s", c->number, c->name, or_none(c->pin_hash), or_none(c->moderator_pin_hash),
			 or_none(c->music_class), c->max_members, c->nspeakers, c->has_tones ? " tones" : "",
			 c->is_muted_on_entry ? " muted" : "", c->waits_for_moderator ? " waits" : "");
	return a;
}

static enum dir_answer print_menu(char *buf, size_t size, const char *number)
{
	const struct dir_menu *m;
	enum dir_answer a = directory_menu(bed.directory, "office", str_from(number), &m);
	int n;

	if (a != DIR_FOUND)
		return a;
	n = snprintf(buf, size, "%s %s %s %s %s %u %u %u%s", m->number, m->context, m->prompt, or_none(m->invalid_prompt),
		     or_none(m->fallback), m->first_timeout_ms, m->digit_timeout_ms, m->retries, m->dial_extensions ? " dial" : "");
	for (unsigned i = 0; i < m->nchoices; i++)
		n += snprintf(buf + n, size - (size_t)n, " %s:%s", m->choices[i].digits, m->choices[i].target);
	return a;
}

static enum dir_answer print_mailbox(char *buf, size_t size, const char *number)
{
	const struct dir_mailbox *m;
	enum dir_answer a = directory_mailbox(bed.directory, "office", str_from(number), &m);

	if (a == DIR_FOUND)
		snprintf(buf, size, "%s %s %.7s %u %u", m->number, or_none(m->language), or_none(m->pin_hash), m->max_messages,
			 m->max_message_s);
	return a;
}

static enum dir_answer print_music(char *buf, size_t size, const char *class_name)
{
	const struct dir_music *m;
	enum dir_answer a = directory_music(bed.directory, "office", class_name, &m);
	int n;

	if (a != DIR_FOUND)
		return a;
	n = snprintf(buf, size, "%s", m->class_name);
	for (unsigned i = 0; i < m->nfiles; i++)
		n += snprintf(buf + n, size - (size_t)n, " %s", m->files[i]);
	return a;
}

static void print_one_domain(char *buf, size_t size, const struct dir_domain *d)
{
	snprintf(buf, size, "%s %s %s %s %s alg=%u %s%s", d->domain, d->realm, d->timezone, d->language, d->music_class, d->algorithms,
		 d->default_context, d->is_default ? " default" : "");
}

static enum dir_answer print_domain(char *buf, size_t size, const char *domain)
{
	const struct dir_domain *d;
	enum dir_answer a = directory_domain(bed.directory, domain, &d);

	if (a == DIR_FOUND)
		print_one_domain(buf, size, d);
	return a;
}

static enum dir_answer print_host(char *buf, size_t size, const char *host)
{
	const struct dir_domain *d;
	enum dir_answer a = directory_domain_of_host(bed.directory, str_from(host), &d);

	if (a == DIR_FOUND)
		snprintf(buf, size, "%s", d->domain);
	return a;
}

/* what: "extension 1002" */
static const char *describe(const char *what)
{
	static const struct { const char *kind; enum dir_answer (*print)(char *buf, size_t size, const char *key); } kinds[] = {
		{ "extension ", print_extension }, { "credential ", print_credential }, { "forward ", print_forward },
		{ "trunk ", print_trunk }, { "address ", print_address }, { "identity ", print_identity }, { "certificate ", print_certificate },
		{ "group ", print_group }, { "menu ", print_menu }, { "conference ", print_conference },
		{ "mailbox ", print_mailbox }, { "music ", print_music }, { "domain ", print_domain }, { "host ", print_host },
		{ "shown ", print_shown }, { "boundary ", print_boundary }, { "pass ", print_pass },
	};
	static char buf[600];

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strncmp(what, kinds[i].kind, strlen(kinds[i].kind))) {
			enum dir_answer a = kinds[i].print(buf, sizeof(buf), what + strlen(kinds[i].kind));

			return a == DIR_FOUND ? buf : a == DIR_ABSENT ? "absent" : "unknown";
		}
	fail_msg("what is %s?", what);
	return NULL;
}

/* ---- a directory ---- */

static void on_change(const char *table, const char *key, void *arg)
{
	size_t at = strlen(bed.told);

	(void)arg;
	if (!strcmp(table, "*"))
		bed.nloads++;
	else
		bed.nchanges++;
	snprintf(bed.last, sizeof(bed.last), "%s %s", table, key);
	if (at + 100 < sizeof(bed.told))
		snprintf(bed.told + at, sizeof(bed.told) - at, "%s %s;", table, key);
}

static bool is_loaded(void *arg)
{
	(void)arg;
	return directory_is_loaded(bed.directory);
}

static void open_empty(void)
{
	bed = (struct bed){ .watcher.on_change = on_change };
	uv_loop_init(&bed.loop);
	assert_int_equal(db_new(&bed.db, &(struct db_params){ .loop = &bed.loop, .log = pg_quiet(), .conninfo = pg.conninfo }), 0);
	assert_int_equal(directory_new(&bed.directory, &bed.loop, bed.db, pg_quiet()), 0);
	directory_watch(bed.directory, &bed.watcher);
}

static void open_directory(void)
{
	open_empty();
	pg_wait(&bed.loop, is_loaded, NULL);
}

static void close_directory(void)
{
	bool is_closed = false;

	directory_close(bed.directory, pg_set, &is_closed);
	pg_wait(&bed.loop, pg_is_set, &is_closed);
	is_closed = false;
	db_close(bed.db, pg_set, &is_closed);
	pg_wait(&bed.loop, pg_is_set, &is_closed);
	pg_loop_end(&bed.loop);
}

struct expect { const char *what, *text; };

static bool is_as_expected(void *arg)
{
	const struct expect *e = arg;

	return !strcmp(describe(e->what), e->text);
}

static void expect(const char *what, const char *text)
{
	assert_string_equal(describe(what), text);
}

/* It becomes so. */
static void expect_soon(const char *what, const char *text)
{
	struct expect e = { what, text };
	uint64_t began = uv_hrtime(), took_ms;

	for (unsigned i = 0; i < 100 && !is_as_expected(&e); i++)
		pg_wait_polling(&bed.loop, is_as_expected, &e, 20);
	took_ms = (uv_hrtime() - began) / 1000000;
	if (took_ms > bed.slowest_ms)
		bed.slowest_ms = took_ms;
}

/* All that was committed before is in force when this is. */
static void catch_up(void)
{
	static unsigned n;
	char text[60];

	n++;
	pg_sql("UPDATE pbx.mailbox SET max_messages = %u WHERE number = '1009'", n);
	snprintf(text, sizeof(text), "1009 - sha256$ %u 300", n);
	expect_soon("mailbox 1009", text);
}

/* ---- loading ---- */

static void test_directory_before_loading_is_unknown(void **state)
{
	static const char *const rows[] = { "extension 1001", "credential 1001", "forward 1001/busy", "trunk x", "address 192.0.2.1",
					    "group 410", "menu 400", "mailbox 1001", "music default", "domain office", "host office",
					    "pass x", "pass " };
	unsigned char secret[32];

	(void)state;
	open_empty();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i], "unknown");
	assert_false(directory_secret(bed.directory, secret));
	assert_int_equal(directory_algorithms_for(bed.directory, "office", STR("bob")), 1);
	assert_false(directory_extension_begins(bed.directory, "office", STR("10")));
	close_directory();
	assert_int_equal(bed.nloads, 0);
}

static void test_directory_loads_when_the_database_comes(void **state)
{
	(void)state;
	pg_down();
	open_empty();
	for (int i = 0; i < 20; i++)
		uv_run(&bed.loop, UV_RUN_NOWAIT);
	expect("extension 1001", "unknown");
	pg_up();
	pg_wait(&bed.loop, is_loaded, NULL);
	expect("extension 1001", "office 1001 'Olive Operator' office ring=20 limit=none alg=1 en default mailbox");
	close_directory();
}

static void test_directory_loads_the_demo_office(void **state)
{
	static const struct expect rows[] = {
		{ "extension 1001", "office 1001 'Olive Operator' office ring=20 limit=none alg=1 en default mailbox" },
		{ "extension 1010", "office 1010 'Lobby' lobby ring=20 limit=none alg=1 en default mailbox" },
		{ "extension 1011", "absent" }, { "extension ", "absent" },
		/* printf %s 1001:cordboard:s1001 | md5sum */
		{ "credential 1001", "office 1001 1001 CREDENTIAL" },
		{ "credential nobody", "absent" },
		{ "forward 1001/busy", "absent" }, { "trunk x", "absent" }, { "address 192.0.2.1", "absent" },
		{ "group 410", "410 Sales all ring=20 1004+0/0 1005+0/0 1006+0/0" }, { "group 400", "absent" },
		{ "menu 400", "400 office menu-main - 1001 5000 3000 2 dial 1:1002 2:1003 3:410 9:**1001" },
		{ "mailbox 1001", "1001 - sha256$ 100 300" },
		{ "music default", "default music/macroform-cold_day.wav music/macroform-robot_dity.wav"
		  " music/macroform-the_simplicity.wav music/manolo_camp-morning_coffee.wav music/reno_project-system.wav" },
		{ "domain office", "office cordboard UTC en default alg=1 office default" }, { "domain elsewhere", "absent" },
		{ "host OFFICE", "office" }, { "host 192.0.2.1", "office" }, { "host no.such.host", "office" },
	};
	unsigned char secret[32];
	char hex[65], long_name[400], credential[200];

	(void)state;
	open_directory();
	snprintf(credential, sizeof(credential), "office 1001 1001 %.32s ", pg_sql("SELECT md5('1001:cordboard:s1001')"));
	snprintf(credential + strlen(credential), 20, "%.8s", pg_sql("SELECT encode(sha256('1001:cordboard:s1001'), 'hex')"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].what, strstr(rows[i].text, "CREDENTIAL") ? credential : rows[i].text);
	assert_int_equal(bed.nloads, 1);
	assert_int_equal(bed.nchanges, 0);
	assert_true(directory_secret(bed.directory, secret));
	for (unsigned i = 0; i < 32; i++)
		sprintf(hex + 2 * i, "%02x", secret[i]);
	assert_string_equal(hex, pg_sql("SELECT encode(value, 'hex') FROM pbx.secret WHERE name = 'node'"));
	assert_true(directory_extension_begins(bed.directory, "office", STR("10")));
	assert_true(directory_extension_begins(bed.directory, "office", STR("")));
	assert_false(directory_extension_begins(bed.directory, "office", STR("1001")));
	assert_false(directory_extension_begins(bed.directory, "office", STR("2")));
	assert_false(directory_extension_begins(bed.directory, "elsewhere", STR("10")));
	/* What peers send may be long. */
	memset(long_name, '1', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	memcpy(long_name, "extension ", 10);
	expect(long_name, "absent");
	close_directory();
}

/* ---- changes ---- */

static bool is_told(void *arg)
{
	return strstr(bed.told, arg) != NULL;
}

static void test_directory_change_is_in_force_after_commit(void **state)
{
	static const struct { const char *sql, *what, *text, *told; } rows[] = {
		{ "INSERT INTO pbx.extension (domain, number, display_name) VALUES ('office', '1020', 'New \"One\", \xc3\x84')",
		  "extension 1020", "office 1020 'New \"One\", \xc3\x84' office ring=20 limit=none alg=1 en default", "extension office/1020" },
		{ "UPDATE pbx.extension SET ring_s = 7, call_limit = 0, algorithms = '{MD5,SHA-256}', language = 'de' WHERE number = '1020'",
		  "extension 1020", "office 1020 'New \"One\", \xc3\x84' office ring=7 limit=0 alg=3 de default", "extension office/1020" },
		{ "INSERT INTO pbx.mailbox (domain, number, language) VALUES ('office', '1020', 'fr')", "extension 1020",
		  "office 1020 'New \"One\", \xc3\x84' office ring=7 limit=0 alg=3 de default mailbox", "mailbox office/1020" },
		{ "UPDATE pbx.mailbox SET max_messages = 5, max_message_s = 60 WHERE number = '1020'", "mailbox 1020", "1020 fr - 5 60",
		  "mailbox office/1020" },
		{ "DELETE FROM pbx.mailbox WHERE number = '1020'", "mailbox 1020", "absent", "mailbox office/1020" },
		{ "SELECT 1", "extension 1020", "office 1020 'New \"One\", \xc3\x84' office ring=7 limit=0 alg=3 de default", NULL },
		{ "SELECT pbx.set_password('office', '1020', 'p')", "credential 1020", NULL, "credential office/1020" },
		{ "UPDATE pbx.extension SET enabled = false WHERE number = '1020'", "extension 1020", "absent", "extension office/1020" },
		{ "UPDATE pbx.extension SET enabled = true, number = '1021' WHERE number = '1020'", "extension 1021",
		  "office 1021 'New \"One\", \xc3\x84' office ring=7 limit=0 alg=3 de default", "extension office/1021" },
		{ "DELETE FROM pbx.extension WHERE number = '1021'", "extension 1021", "absent", "extension office/1021" },
		{ "SELECT 1", "credential 1020", "absent", NULL },
		{ "INSERT INTO pbx.forward (domain, number, reason, target) VALUES ('office', '1002', 'no_answer', '1003')",
		  "forward 1002/no_answer", "no_answer to 1003", "forward office/1002/no_answer" },
		{ "UPDATE pbx.forward SET enabled = false WHERE reason = 'no_answer'", "forward 1002/no_answer", "absent",
		  "forward office/1002/no_answer" },
		{ "INSERT INTO pbx.trunk (domain, name, context, uri, auth_user, auth_password, call_limit) VALUES"
		  " ('office', 'provider', 'lobby', 'sip:sbc.example.com', 'u', 'p', 4)", "trunk provider",
		  "office provider lobby sip:sbc.example.com u:p limit=4", "trunk office/provider" },
		{ "INSERT INTO pbx.trunk_address (domain, name, address) VALUES ('office', 'provider', '198.51.100.0/25'),"
		  " ('office', 'provider', '2001:db8:1::/48')", "address 198.51.100.7", "provider", "trunk office/provider" },
		{ "INSERT INTO pbx.trunk (domain, name, context) VALUES ('office', 'near', 'lobby');"
		  " INSERT INTO pbx.trunk_address (domain, name, address) VALUES ('office', 'near', '198.51.100.8/29'),"
		  " ('office', 'near', '2001:db8:1:ffff::1')", "address 198.51.100.8", "near", "trunk office/near" },
		{ "SELECT 1", "address 198.51.100.7", "provider", NULL }, { "SELECT 1", "address 198.51.100.15", "near", NULL },
		{ "SELECT 1", "address 198.51.100.16", "provider", NULL }, { "SELECT 1", "address 198.51.100.128", "absent", NULL },
		{ "SELECT 1", "address 2001:db8:1::5", "provider", NULL }, { "SELECT 1", "address 2001:db8:1:ffff::1", "near", NULL },
		{ "SELECT 1", "address 2001:db8:2::5", "absent", NULL }, { "SELECT 1", "address ::ffff:198.51.100.7", "absent", NULL },
		{ "DELETE FROM pbx.trunk_address WHERE name = 'near'", "address 198.51.100.8", "provider", "trunk office/near" },
		{ "SELECT 1", "identity sbc.example.com", "absent", NULL },
		{ "UPDATE pbx.trunk SET tls_identity = 'sbc.example.com' WHERE name = 'near'", "identity sbc.example.com", "near", "trunk office/near" },
		{ "UPDATE pbx.trunk SET enabled = false WHERE name = 'near'", "identity sbc.example.com", "absent", "trunk office/near" },
		{ "UPDATE pbx.trunk SET enabled = true WHERE name = 'near'", "identity sbc.example.com", "near", "trunk office/near" },
		{ "INSERT INTO pbx.certificate VALUES ('alice@example.com', 'office', '1001'), ('phone7.example.com', 'office', '1002')",
		  "certificate alice@example.com", "office 1001", "certificate alice@example.com" },
		{ "SELECT 1", "certificate phone7.example.com", "office 1002", NULL },
		{ "UPDATE pbx.certificate SET number = '1003' WHERE number = '1002'", "certificate phone7.example.com", "office 1003",
		  "certificate phone7.example.com" },
		{ "DELETE FROM pbx.certificate", "certificate alice@example.com", "absent", "certificate alice@example.com" },
		{ "SELECT 1", "boundary near", " -", NULL },
		{ "UPDATE pbx.trunk SET trusted = true, caller_id = '+431' WHERE name = 'near'", "boundary near", "trusted pai +431",
		  "trunk office/near" },
		{ "UPDATE pbx.trunk SET identity = 'both' WHERE name = 'near'", "boundary near", "trusted pai rpid +431", "trunk office/near" },
		{ "UPDATE pbx.trunk SET identity = 'ppi', trusted = false, caller_id = NULL WHERE name = 'near'", "boundary near", " ppi -",
		  "trunk office/near" },
		{ "INSERT INTO pbx.pass_header VALUES ('office', 'near', 'out', 'X-B'), ('office', 'near', 'in', 'x-C'),"
		  " ('office', 'near', 'in', 'X-A')", "pass near", "in:X-A in:x-C out:X-B", "pass_header office/near" },
		{ "INSERT INTO pbx.pass_header VALUES ('office', NULL, 'in', 'X-D')", "pass ", "in:X-D", "pass_header office" },
		{ "DELETE FROM pbx.pass_header WHERE header = 'x-C'", "pass near", "in:X-A out:X-B", "pass_header office/near" },
		{ "UPDATE pbx.pass_header SET trunk = NULL WHERE header = 'X-B'", "pass ", "in:X-D out:X-B", "pass_header office;" },
		{ "SELECT 1", "pass near", "in:X-A", NULL },
		{ "DELETE FROM pbx.trunk", "address 198.51.100.8", "absent", "trunk office/provider" },
		{ "INSERT INTO pbx.conference (domain, number, name) VALUES ('office', '880', 'Room')", "conference 880",
		  "880 Room - - - 50 4 tones", "conference office/880" },
		{ "SELECT pbx.set_conference_pin('office', '880', '1234', '5678');"
		  " UPDATE pbx.conference SET music_class = 'default', max_members = 300, speakers = 3, tones = false, muted_on_entry = true,"
		  " wait_for_moderator = true WHERE number = '880'", "conference 880", "880 Room sha256$ sha256$ default 300 3 muted waits", "conference office/880" },
		{ "DELETE FROM pbx.conference WHERE number = '880'", "conference 880", "absent", "conference office/880" },
		{ "UPDATE pbx.ring_group SET strategy = 'sequence', ring_s = 9 WHERE number = '410'", "group 410",
		  "410 Sales sequence ring=9 1004+0/0 1005+0/0 1006+0/0", "ring_group office/410" },
		{ "UPDATE pbx.ring_group_member SET position = 9 - right(member, 1)::int, delay_s = 3, ring_s = nullif(right(member, 1)::int, 5)",
		  "group 410", "410 Sales sequence ring=9 1006+3/6 1005+3/0 1004+3/4", "ring_group office/410" },
		{ "DELETE FROM pbx.ring_group_member WHERE member = '1005'", "group 410", "410 Sales sequence ring=9 1006+3/6 1004+3/4",
		  "ring_group office/410" },
		{ "UPDATE pbx.menu SET invalid_prompt = 'menu-main', fallback = NULL, first_timeout_ms = 1000, digit_timeout_ms = 200,"
		  " retries = 0, dial_extensions = false", "menu 400", "400 office menu-main menu-main - 1000 200 0 1:1002 2:1003 3:410 9:**1001",
		  "menu office/400" },
		{ "DELETE FROM pbx.menu_choice WHERE digits <> '3'", "menu 400", "400 office menu-main menu-main - 1000 200 0 3:410",
		  "menu office/400" },
		{ "DELETE FROM pbx.music_file WHERE position > 2; UPDATE pbx.music_file SET path = 'a b.wav' WHERE position = 1",
		  "music default", "default a b.wav music/macroform-robot_dity.wav", "music_class office/default" },
		{ "DELETE FROM pbx.music_file", "music default", "default", "music_class office/default" },
		{ "SELECT 1", "pass near", "absent", NULL },
		{ "UPDATE pbx.pass_header SET value = 'a; b' WHERE header = 'X-B'", "pass ", "in:X-D out:X-B=a; b", "pass_header office" },
		{ "UPDATE pbx.pass_header SET value = '' WHERE header = 'X-D'", "pass ", "in:X-D= out:X-B=a; b", "pass_header office" },
		{ "DELETE FROM pbx.pass_header", "pass ", "absent", "pass_header office" },
		{ "SELECT 1", "shown 1001", "-/- never", NULL },
		{ "UPDATE pbx.domain SET anonymous = 'outside', caller_id = '+43100'", "shown 1001", "-/+43100 outside", "domain office" },
		{ "UPDATE pbx.extension SET anonymous = 'always', caller_id = '+431001', identities = '{sales,+43199}' WHERE number = '1001'",
		  "shown 1001", "+431001/+43100 always sales +43199", "extension office/1001" },
		{ "UPDATE pbx.extension SET anonymous = 'never', identities = '{}' WHERE number = '1001'", "shown 1001", "+431001/+43100 never",
		  "extension office/1001" },
	};

	(void)state;
	open_directory();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bed.told[0] = '\0';
		pg_sql("%s", rows[i].sql);
		if (rows[i].text)
			expect_soon(rows[i].what, rows[i].text);
		else
			catch_up();
		if (rows[i].told)
			pg_wait(&bed.loop, is_told, (void *)(uintptr_t)rows[i].told);
	}
	print_message("slowest change in force after %u ms\n", (unsigned)bed.slowest_ms);
	assert_true(bed.slowest_ms < IN_FORCE_MAX_MS);
	assert_int_equal(bed.nloads, 1);
	close_directory();
}

static void test_directory_rolled_back_is_never_in_force(void **state)
{
	PGconn *other;

	(void)state;
	open_directory();
	catch_up();
	bed.told[0] = '\0';
	pg_sql("BEGIN; UPDATE pbx.extension SET display_name = 'Never' WHERE number = '1001'; ROLLBACK");
	/* Under way for long, and others commit meanwhile. */
	other = PQconnectdb(pg.conninfo);
	PQclear(PQexec(other, "BEGIN; UPDATE pbx.extension SET display_name = 'Late' WHERE number = '1002'"));
	catch_up();
	expect("extension 1001", "office 1001 'Olive Operator' office ring=20 limit=none alg=1 en default mailbox");
	expect("extension 1002", "office 1002 'Paul Plug' office ring=20 limit=none alg=1 en default mailbox");
	assert_null(strstr(bed.told, "1001"));
	assert_null(strstr(bed.told, "1002"));
	PQclear(PQexec(other, "COMMIT"));
	PQfinish(other);
	expect_soon("extension 1002", "office 1002 'Late' office ring=20 limit=none alg=1 en default mailbox");
	close_directory();
}

static void test_directory_tells_of_what_it_does_not_keep(void **state)
{
	(void)state;
	open_directory();
	pg_sql("INSERT INTO pbx.voicemail (id, domain, number, received, duration_ms, sound)"
	       " VALUES (gen_random_uuid(), 'office', '1003', now(), 1000, 'x')");
	pg_sql("UPDATE pbx.route SET name = 'Other' WHERE pattern = '700'");
	catch_up();
	assert_non_null(strstr(bed.told, "voicemail office/1003;"));
	assert_non_null(strstr(bed.told, "route office/office/700;"));
	close_directory();
}

/* What extensions take from their domain changes with it, without an extension being touched. */
static void test_directory_domain_change_reaches_extensions(void **state)
{
	(void)state;
	open_directory();
	pg_sql("UPDATE pbx.extension SET language = 'fr' WHERE number = '1004';"
	       "INSERT INTO pbx.music_class (domain, class) VALUES ('office', 'jazz');"
	       "UPDATE pbx.domain SET language = 'de', music_class = 'jazz', algorithms = '{SHA-256}', timezone = 'Europe/Berlin'");
	expect_soon("extension 1003", "office 1003 'Jane Jack' office ring=20 limit=none alg=2 de jazz mailbox");
	expect("domain office", "office cordboard Europe/Berlin de jazz alg=2 office default");
	expect("extension 1004", "office 1004 'Connie Cord' office ring=20 limit=none alg=2 fr jazz mailbox");
	pg_sql("UPDATE pbx.domain SET language = 'en', music_class = 'default', algorithms = '{MD5}', timezone = 'UTC'");
	expect_soon("extension 1003", "office 1003 'Jane Jack' office ring=20 limit=none alg=1 en default mailbox");
	assert_int_equal(bed.nloads, 1);
	/* Another domain, with its own; and gone again, with all that is in it. */
	pg_sql("BEGIN; INSERT INTO pbx.domain (domain, realm, default_context) VALUES ('branch.example', 'b', 'c');"
	       " INSERT INTO pbx.context (domain, context) VALUES ('branch.example', 'c');"
	       " INSERT INTO pbx.music_class (domain, class) VALUES ('branch.example', 'default');"
	       " INSERT INTO pbx.extension (domain, number, context) VALUES ('branch.example', '1001', 'c'); COMMIT");
	expect_soon("host Branch.Example", "branch.example");
	expect("host other.example", "office");
	assert_true(directory_extension_begins(bed.directory, "branch.example", STR("1")));
	pg_sql("DELETE FROM pbx.domain WHERE domain = 'branch.example'");
	expect_soon("host branch.example", "office");
	catch_up();
	assert_false(directory_extension_begins(bed.directory, "branch.example", STR("1")));
	close_directory();
}

/* More changes than one batch of the feed holds, in one COMMIT. */
static void test_directory_takes_changes_by_the_thousands(void **state)
{
	(void)state;
	open_directory();
	pg_sql("INSERT INTO pbx.trunk (domain, name, context) SELECT 'office', 't' || n, 'lobby' FROM generate_series(1, 7000) AS n");
	expect_soon("trunk t7000", "office t7000 lobby - -:- limit=none");
	expect("trunk t1", "office t1 lobby - -:- limit=none");
	pg_sql("DELETE FROM pbx.trunk WHERE name <> 't77'");
	expect_soon("trunk t7000", "absent");
	expect("trunk t1", "absent");
	expect("trunk t77", "office t77 lobby - -:- limit=none");
	assert_int_equal(bed.nchanges, 7000 + 6999);
	pg_sql("DELETE FROM pbx.trunk");
	catch_up();
	close_directory();
}

/* ---- outages ---- */

static const char kick[] = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cordboard'";

static void test_directory_catches_up_after_lost_connections(void **state)
{
	(void)state;
	open_directory();
	for (int i = 0; i < 5; i++) {
		char text[100];

		/* Both before the loop can see either. */
		pg_sql("%s", kick);
		pg_sql("UPDATE pbx.extension SET display_name = 'Round %d' WHERE number = '1005'", i);
		snprintf(text, sizeof(text), "office 1005 'Round %d' office ring=20 limit=none alg=1 en default mailbox", i);
		expect_soon("extension 1005", text);
	}
	assert_int_equal(bed.nloads, 1);
	close_directory();
}

static bool is_db_down(void *arg)
{
	(void)arg;
	return !db_is_up(bed.db);
}

static void test_directory_keeps_its_copy_while_the_database_is_away(void **state)
{
	(void)state;
	open_directory();
	catch_up();
	pg_down();
	pg_wait(&bed.loop, is_db_down, NULL);
	expect("extension 1001", "office 1001 'Olive Operator' office ring=20 limit=none alg=1 en default mailbox");
	expect("extension 9999", "absent");
	pg_up();
	pg_sql("DELETE FROM pbx.mailbox WHERE number = '1010'; UPDATE pbx.extension SET display_name = 'Back' WHERE number = '1006'");
	expect_soon("extension 1006", "office 1006 'Back' office ring=20 limit=none alg=1 en default mailbox");
	expect("mailbox 1010", "absent");
	assert_int_equal(bed.nloads, 1);
	close_directory();
}

static bool is_loading_menus(void *arg)
{
	(void)arg;
	return pg_int("SELECT count(*) FROM pg_locks WHERE relation = 'pbx.menu'::regclass AND NOT granted") > 0;
}

/* What was read by a load that broke off may have gone when the next one begins. */
static void test_directory_load_that_breaks_off_leaves_nothing(void **state)
{
	PGconn *locker;

	(void)state;
	locker = PQconnectdb(pg.conninfo);
	pg_sql("INSERT INTO pbx.trunk (domain, name, context) VALUES ('office', 'brief', 'lobby')");
	PQclear(PQexec(locker, "BEGIN; LOCK TABLE pbx.menu"));
	open_empty();
	pg_wait(&bed.loop, is_loading_menus, NULL);
	expect("trunk brief", "unknown");
	pg_sql("%s", kick);
	pg_sql("DELETE FROM pbx.trunk");
	PQclear(PQexec(locker, "COMMIT"));
	PQfinish(locker);
	pg_wait(&bed.loop, is_loaded, NULL);
	expect("trunk brief", "absent");
	expect("domain office", "office cordboard UTC en default alg=1 office default");
	close_directory();
}

/* A fail-over to a copy that lags, a restored backup: changes that were seen have not happened there. */
static void test_directory_loads_anew_when_the_database_went_back(void **state)
{
	PGconn *super = PQconnectdb(pg.superuser);

	(void)state;
	pg_sql("INSERT INTO pbx.trunk (domain, name, context) VALUES ('office', 'lost', 'lobby')");
	open_directory();
	expect("trunk lost", "office lost lobby - -:- limit=none");
	pg_sql("%s", kick);
	PQclear(PQexec(super, "SET session_replication_role = replica; DELETE FROM pbx.trunk;"
			      " UPDATE pbx.extension SET display_name = 'Before' WHERE number = '1007';"
			      " DELETE FROM pbx.change WHERE seq > 5; SELECT setval('pbx.change_seq', 5)"));
	PQfinish(super);
	expect_soon("extension 1007", "office 1007 'Before' office ring=20 limit=none alg=1 en default mailbox");
	expect("trunk lost", "absent");
	assert_int_equal(bed.nloads, 2);
	catch_up();
	close_directory();
}

/* Cut off for longer than the log is kept: what it no longer tells is read from the tables. */
static void test_directory_loads_anew_when_the_log_begins_later(void **state)
{
	(void)state;
	open_directory();
	catch_up();
	pg_sql("%s", kick);
	pg_sql("UPDATE pbx.extension SET display_name = 'Unseen' WHERE number = '1008'");
	pg_sql("UPDATE pbx.extension SET display_name = 'Seen' WHERE number = '1009'");
	pg_sql("DELETE FROM pbx.change WHERE seq < (SELECT max(seq) FROM pbx.change)");
	expect_soon("extension 1008", "office 1008 'Unseen' office ring=20 limit=none alg=1 en default mailbox");
	expect("extension 1009", "office 1009 'Seen' office ring=20 limit=none alg=1 en default mailbox");
	assert_int_equal(bed.nloads, 2);
	close_directory();
}

/* ---- algorithms for those who may not exist ---- */

static void test_directory_algorithms_of_strangers_are_as_of_the_known(void **state)
{
	unsigned counts[4] = { 0 };

	(void)state;
	pg_sql("UPDATE pbx.extension SET algorithms = '{MD5,SHA-256}' WHERE number IN ('1001', '1002', '1003')");
	open_directory();
	for (unsigned i = 0; i < 3000; i++) {
		char name[20];
		unsigned set;

		snprintf(name, sizeof(name), "stranger%u", i);
		set = directory_algorithms_for(bed.directory, "office", str_from(name));
		assert_int_equal(set, directory_algorithms_for(bed.directory, "office", str_from(name)));
		assert_in_range(set, 1, 3);
		counts[set]++;
	}
	/* 3 of 10, with a deviation of 25 */
	assert_in_range(counts[3], 800, 1000);
	assert_int_equal(counts[2], 0);
	/* The next change counts. */
	pg_sql("UPDATE pbx.extension SET algorithms = '{SHA-256}'");
	catch_up();
	assert_int_equal(directory_algorithms_for(bed.directory, "office", STR("stranger1")), 2);
	pg_sql("UPDATE pbx.extension SET algorithms = NULL");
	catch_up();
	assert_int_equal(directory_algorithms_for(bed.directory, "office", STR("stranger1")), 1);
	assert_int_equal(directory_algorithms_for(bed.directory, "elsewhere", STR("stranger1")), 1);
	close_directory();
}

static void test_directory_closes_with_a_query_under_way(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		open_directory();
		pg_sql("UPDATE pbx.extension SET display_name = 'C%d' WHERE number = '1008'", i);
		for (int turns = 0; turns < i; turns++)
			uv_run(&bed.loop, UV_RUN_NOWAIT);
		close_directory();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directory_before_loading_is_unknown), cmocka_unit_test(test_directory_loads_the_demo_office),
		cmocka_unit_test(test_directory_loads_when_the_database_comes),
		cmocka_unit_test(test_directory_rolled_back_is_never_in_force), cmocka_unit_test(test_directory_tells_of_what_it_does_not_keep),
		cmocka_unit_test(test_directory_domain_change_reaches_extensions),
		cmocka_unit_test(test_directory_takes_changes_by_the_thousands),
		cmocka_unit_test(test_directory_catches_up_after_lost_connections),
		cmocka_unit_test(test_directory_keeps_its_copy_while_the_database_is_away),
		cmocka_unit_test(test_directory_load_that_breaks_off_leaves_nothing),
		cmocka_unit_test(test_directory_algorithms_of_strangers_are_as_of_the_known),
		cmocka_unit_test(test_directory_closes_with_a_query_under_way),
		cmocka_unit_test(test_directory_change_is_in_force_after_commit),
		cmocka_unit_test(test_directory_loads_anew_when_the_database_went_back),
		cmocka_unit_test(test_directory_loads_anew_when_the_log_begins_later),
	};

	return cmocka_run_group_tests_name("directory", tests, pg_group_start, pg_group_stop);
}
