/* test_outbox.c - what is given to the outbox reaches the database, once, whatever happens: crashes at every single operation on a
 * file, a database that is away, damaged files, a full disk.
 *
 * The crash test runs this program again as the server that dies: its own write(), fsync(), rename() ... count, and end it at
 * the one that was named, before it is done or half way through.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "db/outbox.h"
#include "pg_fixture.h"

#define CRASHED 42
#define SOUND "RIFF: not really a sound"

/* ---- operations on files, of which one may be the last ---- */

enum how { BEFORE, TORN /* a write: half of it */, LOST /* a sync: what it was for never reached the disk */ };

static struct {
	char dir[64];
	bool is_counting;
	unsigned n, at;
	enum how how;
	off_t kept;              /* length that a file was cut to, before it was written */
	char ops[200];           /* first letters of what there was */
} crash;

static bool is_point(const char *path, char op)
{
	if (!crash.is_counting || strncmp(path, crash.dir, strlen(crash.dir)) != 0)
		return false;
	if (crash.n < sizeof(crash.ops) - 1)
		crash.ops[crash.n] = op;
	return ++crash.n == crash.at;
}

static bool is_point_fd(int fd, char op)
{
	char link[40], path[300];
	ssize_t n;

	if (!crash.is_counting)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return is_point(path, op);
}

ssize_t write(int fd, const void *p, size_t n)
{
	if (is_point_fd(fd, 'w')) {
		if (crash.how == TORN)
			syscall(SYS_write, fd, p, n / 2);
		_exit(CRASHED);
	}
	return syscall(SYS_write, fd, p, n);
}

int ftruncate(int fd, off_t len)
{
	if (is_point_fd(fd, 't'))
		_exit(CRASHED);
	crash.kept = len;
	return (int)syscall(SYS_ftruncate, fd, len);
}

static int sync_fd(int fd, char op, long number)
{
	if (is_point_fd(fd, op)) {
		if (op == 'd' && crash.how == LOST)
			syscall(SYS_ftruncate, fd, crash.kept);
		_exit(CRASHED);
	}
	return (int)syscall(number, fd);
}

int fdatasync(int fd) { return sync_fd(fd, 'd', SYS_fdatasync); }
int fsync(int fd) { return sync_fd(fd, 's', SYS_fsync); }

int rename(const char *from, const char *to)
{
	if (is_point(from, 'r'))
		_exit(CRASHED);
	return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int unlink(const char *path)
{
	if (is_point(path, 'u'))
		_exit(CRASHED);
	return (int)syscall(SYS_unlink, path);
}

/* ---- an outbox ---- */

struct bed {
	uv_loop_t loop;
	struct db *db;
	struct rng rng;
	struct outbox *outbox;
	char dir[100], sound[100];
	unsigned safe, failed;
	int last_err;
	bool is_closed;
};

static struct bed bed;

static void open_outbox(const char *conninfo)
{
	memset(&bed.loop, 0, sizeof(bed.loop));
	bed.is_closed = false;
	bed.safe = bed.failed = 0;
	uv_loop_init(&bed.loop);
	rng_init(&bed.rng);
	assert_int_equal(db_new(&bed.db, &(struct db_params){ .loop = &bed.loop, .log = pg_quiet(), .conninfo = conninfo }), 0);
	assert_int_equal(outbox_new(&bed.outbox, &(struct outbox_params){ .loop = &bed.loop, .log = pg_quiet(), .db = bed.db,
									   .rng = &bed.rng, .dir = bed.dir }), 0);
}

static void close_outbox(void)
{
	bool is_db_closed = false;

	outbox_close(bed.outbox, pg_set, &bed.is_closed);
	pg_wait(&bed.loop, pg_is_set, &bed.is_closed);
	db_close(bed.db, pg_set, &is_db_closed);
	pg_wait(&bed.loop, pg_is_set, &is_db_closed);
	pg_loop_end(&bed.loop);
}

static bool is_empty(void *arg)
{
	(void)arg;
	return outbox_waiting(bed.outbox) == 0;
}

static void deliver_all(void)
{
	open_outbox(pg.conninfo);
	pg_wait(&bed.loop, is_empty, NULL);
	close_outbox();
}

static void on_safe(int err, void *arg)
{
	(void)arg;
	bed.last_err = err;
	if (err)
		bed.failed++;
	else
		bed.safe++;
}

static bool are_told(void *arg)
{
	return bed.safe + bed.failed >= *(unsigned *)arg;
}

static void wait_told(unsigned n)
{
	pg_wait(&bed.loop, are_told, &n);
}

/* A binding's contact says which one it is, its cseq when it was given. */
static int add_binding(unsigned contact, unsigned cseq)
{
	char doc[400];

	snprintf(doc, sizeof(doc), "{\"domain\":\"office\",\"number\":\"1001\",\"contact\":\"sip:c%u@192.0.2.1\",\"call_id\":\"x\",\n\"cseq\":%u,"
		 "\"expires_ms\":4102444800000,\"proto\":\"udp\",\"address\":\"192.0.2.1:5060\"}", contact, cseq);
	return outbox_add(bed.outbox, "binding", doc, NULL, on_safe, NULL);
}

static void write_sound(void)
{
	FILE *f = fopen(bed.sound, "w");

	assert_non_null(f);
	fputs(SOUND, f);
	fclose(f);
}

static int add_voicemail(const char *mailbox, void (*fn)(int err, void *arg))
{
	char doc[300], id[37];

	rng_uuid(&bed.rng, id);
	snprintf(doc, sizeof(doc), "{\"id\":\"%s\",\"domain\":\"office\",\"number\":\"%s\",\"caller_number\":\"1002\","
		 "\"received_ms\":1700000000000,\"duration_ms\":3000}", id, mailbox);
	return outbox_add(bed.outbox, "voicemail", doc, bed.sound, fn, NULL);
}

/* Files in the outbox's folder that hold something; all: also empty ones. */
static unsigned count_files(bool all)
{
	DIR *d = opendir(bed.dir);
	struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		char path[400];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", bed.dir, e->d_name);
		n += e->d_name[0] != '.' && stat(path, &st) == 0 && (all || st.st_size > 0);
	}
	closedir(d);
	return n;
}

static void journal_find(char path[200])
{
	DIR *d = opendir(bed.dir);
	struct dirent *e;

	path[0] = '\0';
	while ((e = readdir(d)) != NULL)
		if (!strncmp(e->d_name, "journal-", 8))
			snprintf(path, 200, "%s/%.60s", bed.dir, e->d_name);
	closedir(d);
	assert_true(path[0]);
}

/* As a conninfo: nobody is there. */
static const char nowhere[] = "host=/nonexistent";

static int make_dir(void **state)
{
	(void)state;
	strcpy(crash.dir, "/tmp/outboxtest-XXXXXX");
	assert_non_null(mkdtemp(crash.dir));
	snprintf(bed.dir, sizeof(bed.dir), "%s/outbox", crash.dir);
	snprintf(bed.sound, sizeof(bed.sound), "%s/sound.wav", crash.dir);
	pg_sql("DELETE FROM pbx.binding; DELETE FROM pbx.voicemail; DELETE FROM pbx.greeting; DELETE FROM pbx.outbox_done;"
	       " DELETE FROM pbx.outbox_refused");
	return 0;
}

static int remove_dir(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", crash.dir);
	return system(command);
}

/* ---- the ordinary way ---- */

static void test_outbox_delivers_and_forgets(void **state)
{
	(void)state;
	write_sound();
	open_outbox(pg.conninfo);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(add_binding(i, i), 0);
	assert_int_equal(add_voicemail("1001", on_safe), 0);
	assert_int_equal(outbox_waiting(bed.outbox), 501);
	assert_int_equal(bed.safe, 0); /* not before it returned */
	wait_told(501);
	assert_int_equal(bed.failed, 0);
	assert_int_equal(access(bed.sound, F_OK), -1);
	pg_wait(&bed.loop, is_empty, NULL);
	close_outbox();
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.binding"), 500);
	assert_string_equal(pg_sql("SELECT convert_from(sound, 'UTF8') FROM pbx.voicemail"), SOUND);
	assert_int_equal(count_files(false), 0);
	deliver_all();
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.outbox_done"), 501);
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.outbox_refused"), 0);
}

/* The database writes down in which order it was told. */
static void test_outbox_keeps_order_through_an_outage(void **state)
{
	unsigned given = 0;

	(void)state;
	pg_sql("CREATE TABLE pbx.told (n serial, cseq bigint);"
	       "CREATE FUNCTION pbx.tell() RETURNS trigger LANGUAGE plpgsql AS"
	       " $$BEGIN INSERT INTO pbx.told (cseq) VALUES (NEW.cseq); RETURN NULL; END$$;"
	       "CREATE TRIGGER tell AFTER INSERT OR UPDATE ON pbx.binding FOR EACH ROW EXECUTE FUNCTION pbx.tell()");
	open_outbox(pg.conninfo);
	for (; given < 300; given++)
		add_binding(given % 3, given);
	wait_told(300);
	pg_down();
	for (; given < 700; given++)
		add_binding(given % 3, given);
	wait_told(700);
	assert_int_equal(bed.failed, 0);
	assert_true(outbox_waiting(bed.outbox) >= 400);
	pg_up();
	for (; given < 800; given++)
		add_binding(given % 3, given);
	pg_wait(&bed.loop, is_empty, NULL);
	close_outbox();
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.told"), 800);
	assert_int_equal(pg_int("SELECT count(*) FROM (SELECT cseq - lag(cseq, 1, -1::bigint) OVER (ORDER BY n) AS step FROM pbx.told) AS t"
				" WHERE step <> 1"), 0);
	pg_sql("DROP TRIGGER tell ON pbx.binding; DROP FUNCTION pbx.tell; DROP TABLE pbx.told");
}

static void add_greeting(unsigned n)
{
	char doc[200];
	FILE *f = fopen(bed.sound, "w");

	fprintf(f, "greeting %u", n);
	fclose(f);
	snprintf(doc, sizeof(doc), "{\"domain\":\"office\",\"number\":\"1001\",\"kind\":\"busy\",\"duration_ms\":%u}", n);
	assert_int_equal(outbox_add(bed.outbox, "greeting", doc, bed.sound, on_safe, NULL), 0);
	wait_told(n);
}

/* The greeting recorded last is the one in force, also when all were left for another process to send. */
static void test_outbox_keeps_order_of_files_over_a_restart(void **state)
{
	(void)state;
	open_outbox(nowhere);
	for (unsigned i = 1; i <= 20; i++)
		add_greeting(i);
	close_outbox();
	open_outbox(nowhere);
	bed.safe = 20;
	add_greeting(21);
	close_outbox();
	deliver_all();
	assert_string_equal(pg_sql("SELECT convert_from(sound, 'UTF8') FROM pbx.greeting"), "greeting 21");
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.outbox_done"), 21);
	assert_int_equal(count_files(true), 0);
}

/* A journal that is never empty is given up for another, and removed when all of it has been taken. */
static void test_outbox_journal_does_not_grow_without_end(void **state)
{
	char *doc = malloc(70000), path[200];

	(void)state;
	snprintf(doc, 70000, "{%69900s}", "");
	open_outbox(nowhere);
	for (unsigned i = 1; i <= 40; i++) {
		outbox_add(bed.outbox, "none", doc, NULL, on_safe, NULL);
		wait_told(i);
	}
	assert_in_range(count_files(false), 3, 4); /* 2.8 MB, 1 MiB each */
	close_outbox();
	open_outbox(pg.conninfo);
	pg_wait(&bed.loop, is_empty, NULL);
	add_binding(1, 1);
	wait_told(1);
	pg_wait(&bed.loop, is_empty, NULL);
	close_outbox();
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.outbox_refused"), 40);
	assert_int_equal(count_files(true), 1);
	journal_find(path);
	assert_int_equal(count_files(false), 0);
	free(doc);
}

/* ---- what is refused ---- */

static void test_outbox_puts_the_hopeless_aside(void **state)
{
	static const char *const hopeless[] = { "{not json", "{\"domain\":\"\\u0000\"}", "{\"domain\":\"\xff\"}", "{}}" };

	(void)state;
	write_sound();
	open_outbox(nowhere);
	for (unsigned i = 0; i < 20; i++) {
		add_binding(i, i);
		if (i < ARRAY_LEN(hopeless))
			outbox_add(bed.outbox, "binding", hopeless[i], NULL, on_safe, NULL);
	}
	outbox_add(bed.outbox, "voicemail", "{bad", bed.sound, on_safe, NULL);
	wait_told(25);
	write_sound();
	add_voicemail("1001", on_safe);
	wait_told(26);
	close_outbox();
	open_outbox(pg.conninfo);
	add_binding(100, 100);
	outbox_add(bed.outbox, "binding", "no object", NULL, on_safe, NULL);
	pg_wait(&bed.loop, is_empty, NULL);
	close_outbox();
	deliver_all();
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.binding"), 21);
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.voicemail"), 1);
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.outbox_refused"), 0);
	/* "refused", and the .entry that makes no sense with its .wav, for a person; and the journal, empty. */
	assert_int_equal(count_files(false), 3);
}

static void test_outbox_goes_on_when_the_database_refuses_for_good(void **state)
{
	(void)state;
	open_outbox(pg.conninfo);
	write_sound();
	add_voicemail("7777", on_safe);
	wait_told(1);
	write_sound();
	add_voicemail("1001", on_safe);
	pg_wait(&bed.loop, is_empty, NULL);
	close_outbox();
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.voicemail"), 1);
	assert_string_equal(pg_sql("SELECT convert_from(sound, 'UTF8') FROM pbx.outbox_refused"), SOUND);
}

/* ---- files that can't be written, or were ---- */

static void test_outbox_full_disk_tells_and_goes_on(void **state)
{
	struct rlimit old, small;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 300; /* a binding and a half */
	open_outbox(nowhere);
	setrlimit(RLIMIT_FSIZE, &small);
	add_binding(1, 1);
	wait_told(1);
	assert_int_equal(bed.safe, 1);
	add_binding(2, 2);
	wait_told(2);
	assert_int_equal(bed.last_err, -EFBIG);
	/* A file that can't be taken over stays with its giver. */
	setrlimit(RLIMIT_FSIZE, &old);
	write_sound();
	small.rlim_cur = 20;
	setrlimit(RLIMIT_FSIZE, &small);
	add_voicemail("1001", on_safe);
	wait_told(3);
	assert_int_equal(bed.last_err, -EFBIG);
	assert_int_equal(access(bed.sound, F_OK), 0);
	setrlimit(RLIMIT_FSIZE, &old);
	add_binding(3, 3);
	add_voicemail("1001", on_safe);
	wait_told(5);
	assert_int_equal(bed.failed, 2);
	assert_int_equal(outbox_waiting(bed.outbox), 4);
	close_outbox();
	deliver_all();
	assert_string_equal(pg_sql("SELECT string_agg(cseq::text, ',' ORDER BY cseq) FROM pbx.binding"), "1,3");
	assert_string_equal(pg_sql("SELECT convert_from(sound, 'UTF8') FROM pbx.voicemail"), SOUND);
}

/* With the database there a full disk costs nothing. */
static void test_outbox_full_disk_sends_from_memory(void **state)
{
	struct rlimit old, small;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 100;
	open_outbox(pg.conninfo);
	setrlimit(RLIMIT_FSIZE, &small);
	add_binding(1, 1);
	wait_told(1);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(bed.failed, 1);
	pg_wait(&bed.loop, is_empty, NULL);
	close_outbox();
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.binding"), 1);
}

static size_t load_file(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	n = fread(buf, 1, size, f);
	fclose(f);
	return n;
}

static void store_file(const char *path, const char *bytes, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fwrite(bytes, 1, n, f);
	fclose(f);
}

/* Cut at any byte, or with rubbish behind: each line that is whole counts, and what comes later is not harmed. */
static void test_outbox_damaged_journal_costs_only_the_damage(void **state)
{
	static const struct { int cut; const char *tail; size_t n; } rows[] = {
		{ 0, "", 0 }, { 1, "", 0 }, { 2, "", 0 }, { 30, "", 0 }, { 150, "", 0 }, { 0, "\0\0\0\0", 4 }, { 0, "rubbish", 7 },
		{ 0, "rubbish\n", 8 }, { 40, "\0\0\0\0\0\0\n", 7 }, { 0, "\n", 1 }, { 0, "\n\n \n  \n", 7 }, { 0, "a b {}\n", 7 },
		{ 0, "00000000-0000-4000-8000-000000000000 binding {\"x\":\n", 50 },
		{ 0, "00000000-0000-4000-8000-000000000000  {}\n", 41 },
	};
	char path[200], whole[2000];
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned expected;

		remove_dir(state);
		make_dir(state);
		open_outbox(nowhere);
		for (unsigned k = 0; k < 3; k++)
			add_binding(k, k);
		wait_told(3);
		close_outbox();
		journal_find(path);
		n = load_file(path, whole, sizeof(whole));
		n -= (size_t)rows[i].cut;
		memcpy(whole + n, rows[i].tail, rows[i].n);
		store_file(path, whole, n + rows[i].n);
		expected = rows[i].cut ? 2 : 3;
		/* Something new before it is sent: it must not be glued to the rest. */
		open_outbox(nowhere);
		assert_in_range(outbox_waiting(bed.outbox), expected, expected + 1);
		add_binding(10, 10);
		wait_told(1);
		close_outbox();
		deliver_all();
		assert_int_equal(pg_int("SELECT count(*) FROM pbx.binding"), expected + 1);
		assert_int_equal(pg_int("SELECT count(*) FROM pbx.binding WHERE cseq = 10"), 1);
	}
}

static void touch(const char *name, const char *text)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", bed.dir, name);
	store_file(path, text, strlen(text));
}

static void test_outbox_cleans_what_no_longer_counts(void **state)
{
	static const char id[] = "0000000000000001-00000000-0000-4000-8000-00000000000";
	char name[100];

	(void)state;
	assert_int_equal(mkdir(bed.dir, 0700), 0);
	snprintf(name, sizeof(name), "%s1.tmp", id);
	touch(name, "voicemail {");
	snprintf(name, sizeof(name), "%s2.wav", id); /* delivered */
	touch(name, SOUND);
	snprintf(name, sizeof(name), "%s3.entry", id); /* its sound was never given */
	touch(name, "voicemail {}\n");
	deliver_all();
	assert_int_equal(count_files(true), 0);
	/* A folder is not made where none can be. */
	snprintf(bed.dir, sizeof(bed.dir), "%s/no/where", crash.dir);
	assert_int_equal(outbox_new(&bed.outbox, &(struct outbox_params){ .dir = bed.dir }), -ENOENT);
}

/* ---- crashes ---- */

static void on_child_safe(int err, void *arg)
{
	if (!err)
		dprintf(STDOUT_FILENO, "%s", (const char *)arg);
	on_safe(err, NULL);
}

static int child_add(unsigned n, const char *name)
{
	char doc[300];

	snprintf(doc, sizeof(doc), "{\"domain\":\"office\",\"number\":\"1001\",\"contact\":\"sip:c%u@192.0.2.1\",\"call_id\":\"x\",\"cseq\":1,"
		 "\"expires_ms\":4102444800000,\"proto\":\"udp\",\"address\":\"192.0.2.1:5060\"}", n);
	return outbox_add(bed.outbox, "binding", doc, NULL, name ? on_child_safe : NULL, (void *)(uintptr_t)name);
}

static void on_child_voicemail(int err, void *arg)
{
	(void)arg;
	on_child_safe(err, (void *)(uintptr_t)"v");
}

/* The server that dies: two records, a message and another record, told safe as "0", "1", "v", "2", and two that nobody waits for; then all
 * that was done, if it lived. */
static int child(char **argv)
{
	bool has_database = !strcmp(argv[2], "up");

	snprintf(crash.dir, sizeof(crash.dir), "%s", argv[3]);
	crash.at = (unsigned)atoi(argv[4]);
	crash.how = (enum how)atoi(argv[5]);
	snprintf(bed.dir, sizeof(bed.dir), "%s/outbox", crash.dir);
	snprintf(bed.sound, sizeof(bed.sound), "%s/sound.wav", crash.dir);
	crash.is_counting = true;
	open_outbox(has_database ? argv[1] : nowhere);
	child_add(0, "0");
	child_add(1, "1");
	add_voicemail("1001", on_child_voicemail);
	wait_told(3);
	if (has_database)
		pg_wait(&bed.loop, is_empty, NULL);
	child_add(3, NULL);
	child_add(2, "2");
	wait_told(4);
	if (has_database)
		pg_wait(&bed.loop, is_empty, NULL);
	child_add(4, NULL); /* saved by closing */
	close_outbox();
	crash.is_counting = false;
	dprintf(STDOUT_FILENO, "%s", crash.ops);
	return 0;
}

/* Returns its exit code. */
static int run_child(bool has_database, unsigned at, enum how how, char *told, size_t size)
{
	char command[1000], exe[400];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	FILE *f;
	int status;

	assert_true(n > 0);
	exe[n] = '\0';
	snprintf(command, sizeof(command), "exec '%s' '%s' %s '%s' %u %d", exe, pg.conninfo, has_database ? "up" : "away", crash.dir, at, how);
	f = popen(command, "r");
	assert_non_null(f);
	told[fread(told, 1, size - 1, f)] = '\0';
	status = pclose(f);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void check_after_crash(const char *told)
{
	long nbindings, nvoicemails;
	char contact[60];

	deliver_all();
	for (unsigned i = 0; i < 5; i++) {
		snprintf(contact, sizeof(contact), "sip:c%u@192.0.2.1", i);
		if (strchr(told, '0' + (int)i))
			assert_string_equal(pg_sql("SELECT count(*) FROM pbx.binding WHERE contact = '%s'", contact), "1");
	}
	nbindings = pg_int("SELECT count(*) FROM pbx.binding");
	nvoicemails = pg_int("SELECT count(*) FROM pbx.voicemail");
	/* The message is in the database or with its giver, who delivers it anew. */
	assert_int_equal(nvoicemails, access(bed.sound, F_OK) != 0);
	if (strchr(told, 'v'))
		assert_int_equal(nvoicemails, 1);
	if (nvoicemails)
		assert_string_equal(pg_sql("SELECT convert_from(sound, 'UTF8') FROM pbx.voicemail"), SOUND);
	/* Once each. */
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.outbox_done"), nbindings + nvoicemails);
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.outbox_refused"), 0);
	assert_int_equal(count_files(false), 0);
}

static void crash_everywhere(bool has_database, void **state)
{
	char ops[300], told[300];
	const char *first;
	unsigned n;

	write_sound();
	assert_int_equal(run_child(has_database, 0, BEFORE, ops, sizeof(ops)), 0);
	check_after_crash("01234v");
	/* "0", "1", "v", "2" in any order, then what was done. */
	first = ops + strspn(ops, "01v2");
	assert_int_equal(first - ops, 4);
	n = (unsigned)strlen(first);
	assert_in_range(n, 15, 100);
	for (enum how how = BEFORE; how <= LOST; how++)
		for (unsigned at = 1; at <= n; at++) {
			int code;

			if ((how == TORN && first[at - 1] != 'w') || (how == LOST && first[at - 1] != 'd'))
				continue;
			remove_dir(state);
			make_dir(state);
			write_sound();
			code = run_child(has_database, at, how, told, sizeof(told));
			/* How many jobs the same work makes depends on time: the last operations may not come. */
			assert_true(code == CRASHED || (code == 0 && at > n / 2));
			check_after_crash(code ? told : "01234v");
		}
}

static void test_outbox_survives_a_crash_anywhere(void **state)
{
	crash_everywhere(true, state);
}

static void test_outbox_survives_a_crash_anywhere_with_the_database_away(void **state)
{
	crash_everywhere(false, state);
}

#define OUTBOX_TEST(fn) cmocka_unit_test_setup_teardown(fn, make_dir, remove_dir)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		OUTBOX_TEST(test_outbox_delivers_and_forgets), OUTBOX_TEST(test_outbox_keeps_order_through_an_outage),
		OUTBOX_TEST(test_outbox_keeps_order_of_files_over_a_restart), OUTBOX_TEST(test_outbox_journal_does_not_grow_without_end),
		OUTBOX_TEST(test_outbox_puts_the_hopeless_aside), OUTBOX_TEST(test_outbox_goes_on_when_the_database_refuses_for_good),
		OUTBOX_TEST(test_outbox_full_disk_tells_and_goes_on), OUTBOX_TEST(test_outbox_full_disk_sends_from_memory),
		OUTBOX_TEST(test_outbox_damaged_journal_costs_only_the_damage), OUTBOX_TEST(test_outbox_cleans_what_no_longer_counts),
		OUTBOX_TEST(test_outbox_survives_a_crash_anywhere),
		OUTBOX_TEST(test_outbox_survives_a_crash_anywhere_with_the_database_away),
	};

	if (argc == 6)
		return child(argv);
	return cmocka_run_group_tests_name("outbox", tests, pg_group_start, pg_group_stop);
}
