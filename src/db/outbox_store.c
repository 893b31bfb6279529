/* outbox_store.c - the outbox's folder: what stands in it, in which order it is written, and what is made of it after a crash.
 *
 *   journal-N          small entries, a line each: "id kind json\n". A last line without end was never reported safe: dropped.
 *   SEQ-ID.entry       a large entry: "kind json\n"; counts when SEQ-ID.wav is there too.
 *   SEQ-ID.refused     one that no database will take, with its .wav beside it; refused: such lines of journals. For a person.
 *
 * The .entry is written first and the sound renamed to its place last: until that very moment it is the giver's, who has it in the
 * spool with what it is; from then on it is ours. When it has been delivered the .entry goes first. A process may die anywhere.
 */
#define LOG_MODULE "outbox"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scan.h"
#include "db/outbox_int.h"

#define FILE_MAX (256 << 20)

/* ---- entries ---- */

struct entry *entry_new(const char *id, struct str kind, struct str doc, const char *file)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->doc = str_dup(doc);
	e->file = file ? strdup(file) : NULL;
	if (!e->doc || (file && !e->file) || str_copy(kind, e->kind, sizeof(e->kind)) != 0) {
		entry_free(e);
		return NULL;
	}
	/* A line is an entry: JSON has no need of line ends. */
	for (char *p = e->doc, *end = p + doc.n; (p = (char *)scan_either(p, end, '\r', '\n')) < end; p++)
		*p = ' ';
	str_put(e->id, sizeof(e->id), id);
	return e;
}

void entry_free(struct entry *e)
{
	free(e->doc);
	free(e->file);
	free(e);
}

void store_print(struct out *o, const struct entry *e)
{
	out_z(o, e->id);
	out_chr(o, ' ');
	out_z(o, e->kind);
	out_chr(o, ' ');
	out_z(o, e->doc);
	out_chr(o, '\n');
}

void store_path(const char *dir, const struct entry *e, const char *ending, char path[OUTBOX_PATH_MAX])
{
	snprintf(path, OUTBOX_PATH_MAX, "%s/%016llx-%s.%s", dir, (unsigned long long)e->seq, e->id, ending);
}

static void journal_path(const char *dir, unsigned long number, char path[OUTBOX_PATH_MAX])
{
	snprintf(path, OUTBOX_PATH_MAX, "%s/journal-%lu", dir, number);
}

/* ---- bytes ---- */

static int sync_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) != 0)
		err = -errno;
	close(fd);
	return err;
}

static int sync_dir(const char *dir)
{
	return sync_path(dir, O_RDONLY | O_DIRECTORY);
}

/* The folder a file is in. */
static int sync_dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	int err = dir ? sync_dir(dir) : -ENOMEM;

	free(dir);
	return err;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

/* What a failed write left is cut off: at once if that works, else by the next. */
static int write_at(const char *path, off_t at, const struct out *bytes, bool is_synced)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), err;

	if (fd < 0)
		return -errno;
	err = ftruncate(fd, at) != 0 || lseek(fd, at, SEEK_SET) < 0 ? -errno : 0;
	if (!err)
		err = write_all(fd, bytes->p, bytes->len);
	if (!err && is_synced && fdatasync(fd) != 0)
		err = -errno;
	if (err && ftruncate(fd, at) != 0) {
		/* The next write does it. */
	}
	close(fd);
	return err;
}

int store_read(const char *path, struct out *bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	char *buf = malloc(65536);
	ssize_t n;

	out_init_grow(bytes, FILE_MAX);
	if (fd < 0)
		err = -errno;
	else if (!buf)
		err = -ENOMEM;
	while (!err && (n = read(fd, buf, 65536)) != 0) {
		if (n > 0)
			out_mem(bytes, buf, (size_t)n);
		else if (errno != EINTR)
			err = -errno;
	}
	if (!err && !out_ok(bytes))
		err = -EFBIG;
	free(buf);
	if (fd >= 0)
		close(fd);
	return err;
}

/* ---- a job ---- */

static int write_journal(const struct store_job *job)
{
	char path[OUTBOX_PATH_MAX];
	int err;

	journal_path(job->dir, job->journal->number, path);
	err = write_at(path, job->at, &job->lines, job->lines.len > 0);
	if (!err && !job->journal->is_on_disk)
		err = sync_dir(job->dir);
	return err;
}

static int write_entry(const char *dir, const struct entry *e, const char *path)
{
	char tmp[OUTBOX_PATH_MAX];
	struct out text;
	int err;

	out_init_grow(&text, 64 << 20);
	out_fmt(&text, "%s ", e->kind);
	out_z(&text, e->doc);
	out_chr(&text, '\n');
	store_path(dir, e, "tmp", tmp);
	err = out_ok(&text) ? write_at(tmp, 0, &text, true) : -ENOMEM;
	out_fini(&text);
	if (!err && rename(tmp, path) != 0)
		err = -errno;
	if (err)
		unlink(tmp);
	return err ? err : sync_dir(dir);
}

static int save_large(const char *dir, const struct entry *e)
{
	char entry[OUTBOX_PATH_MAX], wav[OUTBOX_PATH_MAX];
	int err = sync_path(e->file, O_RDONLY);

	store_path(dir, e, "entry", entry);
	store_path(dir, e, "wav", wav);
	if (!err)
		err = write_entry(dir, e, entry);
	if (!err && rename(e->file, wav) != 0)
		err = -errno;
	else if (!err) {
		err = sync_dir(dir);
		if (!err)
			err = sync_dir_of(e->file);
		/* The giver keeps what he is told we have not; if he can't have it back, we do. */
		if (err && rename(wav, e->file) != 0)
			return 0;
	}
	if (err)
		unlink(entry);
	return err;
}

static void remove_large(const char *dir, const struct entry *e)
{
	char path[OUTBOX_PATH_MAX];

	store_path(dir, e, "entry", path);
	unlink(path);
	store_path(dir, e, "wav", path);
	unlink(path);
}

static int append_refused(const char *dir, const struct out *line)
{
	char path[OUTBOX_PATH_MAX];
	struct stat st;
	int err;

	snprintf(path, sizeof(path), "%s/refused", dir);
	err = write_at(path, stat(path, &st) == 0 ? st.st_size : 0, line, true);
	return err ? err : sync_dir(dir);
}

static int put_aside(const char *dir, const struct entry *e)
{
	char from[OUTBOX_PATH_MAX], to[OUTBOX_PATH_MAX];
	struct out line;
	int err;

	if (e->file) {
		store_path(dir, e, "entry", from);
		store_path(dir, e, "refused", to);
		return rename(from, to) != 0 ? -errno : sync_dir(dir);
	}
	out_init_grow(&line, 64 << 20);
	store_print(&line, e);
	err = append_refused(dir, &line);
	out_fini(&line);
	return err;
}

void store_run(struct store_job *job)
{
	char path[OUTBOX_PATH_MAX];

	if (job->journal)
		job->err = out_ok(&job->lines) ? write_journal(job) : -ENOMEM;
	for (unsigned i = 0; i < job->nlarge; i++)
		job->large[i]->err = save_large(job->dir, job->large[i]);
	for (struct entry *e = job->finished; e; e = e->next) {
		e->err = e->state == ENTRY_REFUSED ? put_aside(job->dir, e) : 0;
		if (e->state == ENTRY_TAKEN && e->file)
			remove_large(job->dir, e);
	}
	for (const struct journal *j = job->dead; j; j = j->next) {
		journal_path(job->dir, j->number, path);
		unlink(path);
	}
}

/* ---- what a former process left ---- */

static bool is_id(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!strchr("0123456789abcdef-", s.p[i]) || !s.p[i])
			return false;
	return s.n == OUTBOX_ID_LEN;
}

static bool is_object(struct str s)
{
	json_t *doc = json_loadb(s.p, s.n, 0, NULL);
	bool is = json_is_object(doc);

	json_decref(doc);
	return is;
}

static void load_line(const char *dir, const struct store_loader *l, struct journal *j, struct str line)
{
	struct str rest = line, id = str_cut(&rest, ' '), kind = str_cut(&rest, ' ');
	struct entry *e = is_id(id) && is_object(rest) ? entry_new(id.p, kind, rest, NULL) : NULL;
	struct out damaged;

	if (e) {
		e->journal = j;
		e->state = ENTRY_SAVED;
		j->nlive++;
		l->on_entry(e, l->arg);
		return;
	}
	log_error(l->log, "a line of %s/journal-%lu is damaged: put into %s/refused", dir, j->number, dir);
	out_init_grow(&damaged, 64 << 20);
	out_str(&damaged, line);
	out_chr(&damaged, '\n');
	append_refused(dir, &damaged);
	out_fini(&damaged);
}

static void load_journal(const char *dir, const struct store_loader *l, unsigned long number)
{
	struct journal *j = calloc(1, sizeof(*j));
	char path[OUTBOX_PATH_MAX];
	struct out bytes;
	struct str rest;
	ptrdiff_t end;
	int err;

	if (!j)
		return;
	j->number = number;
	j->is_on_disk = true;
	journal_path(dir, number, path);
	err = store_read(path, &bytes);
	if (err) {
		/* It stays for another start. */
		log_error(l->log, "%s can't be read: %s", path, uv_strerror(err));
		j->nlive = 1;
	}
	rest = out_view(&bytes);
	while (!err && (end = str_find_chr(rest, '\n')) >= 0) {
		load_line(dir, l, j, (struct str){ rest.p, (size_t)end });
		rest = str_from_at(rest, (size_t)end + 1);
	}
	if (!err && rest.n)
		log_warn(l->log, "%s: a last line of %zu bytes was never finished", path, rest.n);
	out_fini(&bytes);
	l->on_journal(j, l->arg);
}

/* "<seq>-<id>.entry" */
static void load_large(const char *dir, const struct store_loader *l, const char *name)
{
	char path[OUTBOX_PATH_MAX], wav[OUTBOX_PATH_MAX];
	struct str kind, rest;
	struct entry *e = NULL;
	struct out text;
	int err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(wav, sizeof(wav), "%s/%.*s.wav", dir, 16 + 1 + OUTBOX_ID_LEN, name);
	if (access(wav, F_OK) != 0) {
		unlink(path); /* the sound never left its giver */
		return;
	}
	err = store_read(path, &text);
	rest = str_trim(out_view(&text));
	kind = str_cut(&rest, ' ');
	if (!err && is_object(rest))
		e = entry_new(name + 17, kind, rest, wav);
	out_fini(&text);
	if (!e) {
		log_error(l->log, "%s can't be used: it stays as it is", path);
		return;
	}
	e->seq = strtoull(name, NULL, 16);
	e->state = ENTRY_SAVED;
	l->on_entry(e, l->arg);
}

/* A sound without its entry has been delivered, and a .tmp was never reported safe. */
static void clean(const char *dir, const char *name)
{
	static const char *const keepers[] = { "entry", "refused" };
	char path[OUTBOX_PATH_MAX];
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && !strcmp(dot, ".wav") && i < ARRAY_LEN(keepers); i++) {
		snprintf(path, sizeof(path), "%s/%.*s.%s", dir, (int)(dot - name), name, keepers[i]);
		if (access(path, F_OK) == 0)
			return;
	}
	if (!dot || (strcmp(dot, ".wav") != 0 && strcmp(dot, ".tmp") != 0))
		return;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
}

static int by_number(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

static void load_journals(const char *dir, const struct store_loader *l, struct dirent **names, int n)
{
	unsigned long *numbers = calloc((size_t)n + 1, sizeof(*numbers));
	size_t count = 0;
	char *end;

	for (int i = 0; numbers && i < n; i++)
		if (!strncmp(names[i]->d_name, "journal-", 8)) {
			numbers[count] = strtoul(names[i]->d_name + 8, &end, 10);
			count += !*end;
		}
	if (numbers)
		qsort(numbers, count, sizeof(*numbers), by_number);
	for (size_t i = 0; i < count; i++)
		load_journal(dir, l, numbers[i]);
	free(numbers);
}

int store_load(const char *dir, const struct store_loader *l)
{
	struct dirent **names;
	int n;

	if (mkdir(dir, 0700) == 0)
		sync_dir_of(dir);
	else if (errno != EEXIST)
		return -errno;
	n = scandir(dir, &names, NULL, alphasort);
	if (n < 0)
		return -errno;
	load_journals(dir, l, names, n);
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		size_t len = strlen(name);

		clean(dir, name);
		/* Sorted by name is sorted by sequence. */
		if (len == 17 + OUTBOX_ID_LEN + 6 && name[16] == '-' && !strcmp(name + len - 6, ".entry"))
			load_large(dir, l, name);
		free(names[i]);
	}
	free(names);
	return 0;
}
