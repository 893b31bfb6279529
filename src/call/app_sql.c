/* app_sql.c - what applications get from SQL: queries, the outbox, and rows of the cached directory.
 *
 * Queries go on after the caller has hung up: they need no caller, and an application must be able to finish its
 * book-keeping. Their length is bounded by the database client's own time-out.
 */
#define LOG_MODULE "app"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/member.h"
#include "call/call_int.h"

/* ---- queries ---- */

struct app_rows {
	int nrows, ncols;
	char **cells; /* nrows * ncols, NULL for SQL NULL */
};

struct query {
	struct call *call;
	bool is_done;
	int err, ncols;
	struct app_rows *rows;
};

void app_rows_free(struct app_rows *r)
{
	if (!r)
		return;
	for (int i = 0; i < r->nrows * r->ncols; i++)
		free(r->cells[i]);
	free(r->cells);
	free(r);
}

static struct app_rows *copy_rows(const struct db_rows *from)
{
	struct app_rows *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->nrows = db_rows_count(from);
	r->ncols = db_rows_columns(from);
	r->cells = calloc((size_t)r->nrows * (size_t)r->ncols + 1, sizeof(char *));
	for (int i = 0; r->cells && i < r->nrows * r->ncols; i++) {
		struct str cell = db_rows_get(from, i / r->ncols, i % r->ncols);

		r->cells[i] = cell.p ? str_dup(cell) : NULL;
		if (cell.p && !r->cells[i]) {
			app_rows_free(r);
			return NULL;
		}
	}
	if (!r->cells) {
		free(r);
		return NULL;
	}
	return r;
}

static void on_answer(uint64_t id, const struct db_answer *a, void *arg)
{
	struct query *q = arg;

	(void)id;
	q->is_done = true;
	q->err = a->err;
	if (a->err == -EINVAL)
		log_warn(q->call->calls->p.log, "call=%s query refused sqlstate=%s %s", q->call->id, a->sqlstate ? a->sqlstate : "",
			 a->message ? a->message : "");
	if (!a->err) {
		q->rows = copy_rows(a->rows);
		q->err = q->rows ? 0 : -ENOMEM;
	}
	call_wake(q->call);
}

/* ms 0: as long as the database client waits. */
static int run_query(struct call *call, uint32_t ms, struct app_rows **out, const char *sql, unsigned n, const struct db_param *params)
{
	/* On the task's stack: the answer always comes, at the latest by time-out or when the database client closes, or is forgotten. */
	struct query q = { .call = call };
	uint64_t until = call_deadline(call, ms);
	uint64_t id = db_query(call->calls->p.db, sql, n, params, on_answer, &q);

	*out = NULL;
	if (!id)
		return -EAGAIN;
	while (!q.is_done)
		if (call_wait(call, until) == -ETIMEDOUT && !q.is_done) {
			db_forget(call->calls->p.db, id);
			return -EAGAIN;
		}
	*out = q.rows;
	return q.err == -ENOTCONN || q.err == -ETIMEDOUT || q.err == -ECANCELED ? -EAGAIN : q.err;
}

#define QUERY_PARAMS_MAX 12

int app_query_within(struct call *call, uint32_t ms, struct app_rows **out, const char *sql, unsigned n, const char *const *params)
{
	struct db_param bound[QUERY_PARAMS_MAX];

	*out = NULL;
	if (n > QUERY_PARAMS_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++)
		bound[i] = DB_TEXT(params[i]);
	return run_query(call, ms, out, sql, n, bound);
}

int app_query(struct call *call, struct app_rows **out, const char *sql, unsigned n, const char *const *params)
{
	return app_query_within(call, 0, out, sql, n, params);
}

struct loaded { const char *path; unsigned char *bytes; size_t n; };

static int load_file(void *arg)
{
	struct loaded *l = arg;
	FILE *f = fopen(l->path, "rbe");
	long size;
	int err = 0;

	if (!f)
		return -errno;
	if (fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0)
		err = -EIO;
	if (!err) {
		l->bytes = malloc((size_t)size + 1);
		l->n = l->bytes ? fread(l->bytes, 1, (size_t)size, f) : 0;
		err = !l->bytes ? -ENOMEM : l->n != (size_t)size ? -EIO : 0;
	}
	fclose(f);
	return err;
}

int app_query_file(struct call *call, struct app_rows **out, const char *sql, unsigned n, const char *const *params, const char *path)
{
	struct db_param bound[QUERY_PARAMS_MAX + 1];
	struct loaded l = { .path = path };
	int err;

	*out = NULL;
	if (n > QUERY_PARAMS_MAX)
		return -EINVAL;
	err = call_blocking(call, load_file, &l);
	if (!err) {
		for (unsigned i = 0; i < n; i++)
			bound[i] = DB_TEXT(params[i]);
		bound[n] = DB_BYTES(l.bytes, l.n);
		err = run_query(call, 0, out, sql, n + 1, bound);
	}
	free(l.bytes);
	return err;
}

int app_rows_count(const struct app_rows *r)
{
	return r->nrows;
}

const char *app_rows_get(const struct app_rows *r, int row, int col)
{
	return row < r->nrows && col < r->ncols ? r->cells[row * r->ncols + col] : NULL;
}

struct unhex { const char *text, *path; };

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* bytea's hex form: \x0123... */
static int write_unhexed(void *arg)
{
	const struct unhex *u = arg;
	size_t n = strlen(u->text);
	unsigned char *bytes;
	int err;

	if (n < 2 || n % 2 || u->text[0] != '\\' || u->text[1] != 'x')
		return -EINVAL;
	n = n / 2 - 1;
	bytes = malloc(n + 1);
	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)(hex_value(u->text[2 + 2 * i]) << 4 | hex_value(u->text[3 + 2 * i]));
	err = spool_write_file(u->path, bytes, n);
	free(bytes);
	return err;
}

int app_rows_save(struct call *call, const struct app_rows *r, int row, int col, char path[256])
{
	struct unhex u = { .text = app_rows_get(r, row, col), .path = path };
	char uuid[37], **files;
	int n, err;

	if (!u.text)
		return -ENOENT;
	rng_uuid(call->calls->p.rng, uuid);
	n = snprintf(path, 256, "%s/tmp/%s.wav", call->calls->p.spool, uuid);
	if (n < 0 || n >= 256)
		return -ENAMETOOLONG;
	err = call_blocking(call, write_unhexed, &u);
	if (err)
		return err;
	files = realloc(call->temp_files, (call->ntemp_files + 1) * sizeof(*files));
	if (files) {
		call->temp_files = files;
		files[call->ntemp_files] = strdup(path);
		if (files[call->ntemp_files])
			call->ntemp_files++;
	}
	return 0;
}

/* ---- the outbox ---- */

struct put { struct call *call; bool is_done; int err; };

static void on_put(int err, void *arg)
{
	struct put *p = arg;

	p->is_done = true;
	p->err = err;
	call_wake(p->call);
}

int app_outbox(struct call *call, const char *kind, const char *doc, struct app_recording *rec)
{
	struct put p = { .call = call };
	char side[280];
	int err = outbox_add(call->calls->p.outbox, kind, doc, rec ? rec->path : NULL, on_put, &p);

	if (err)
		return err;
	while (!p.is_done)
		call_wait(call, UINT64_MAX);
	if (!p.err && rec) {
		/* The outbox owns the recording now; the side file must not deliver it twice. */
		snprintf(side, sizeof(side), "%s.json", rec->path);
		unlink(side);
		rec->path[0] = '\0';
	}
	return p.err;
}

void app_json_str(struct out *o, const char *s)
{
	member_print_text(o, s);
}

/* ---- the directory ---- */

static int answer_code(enum dir_answer a)
{
	return a == DIR_FOUND ? 0 : a == DIR_ABSENT ? -ENOENT : -EAGAIN;
}

int app_mailbox_find(struct call *call, const char *number, struct app_mailbox *out)
{
	struct directory *dir = call->calls->p.directory;
	const struct dir_mailbox *m;
	const struct dir_extension *ext;
	int err = answer_code(directory_mailbox(dir, call->domain, str_from(number), &m));

	if (err)
		return err;
	*out = (struct app_mailbox){ .max_messages = m->max_messages, .max_message_s = m->max_message_s, .has_pin = m->pin_hash != NULL };
	snprintf(out->number, sizeof(out->number), "%s", m->number);
	snprintf(out->language, sizeof(out->language), "%s", m->language ? m->language : call->language);
	snprintf(out->timezone, sizeof(out->timezone), "%s", m->timezone ? m->timezone : call->timezone);
	if (directory_extension(dir, call->domain, str_from(number), &ext) == DIR_FOUND)
		snprintf(out->name, sizeof(out->name), "%s", ext->display_name);
	return 0;
}

/* pbx.pin_hash(): sha256$<salt hex>$<hex of sha256(salt || pin)> */
bool call_pin_matches(const char *stored, const char *pin)
{
	struct str rest = str_from(stored), scheme = str_cut(&rest, '$'), salt = str_cut(&rest, '$');
	unsigned char bytes[128], digest[EVP_MAX_MD_SIZE];
	unsigned len;
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	size_t n = salt.n / 2, pin_len = strlen(pin);
	struct out o;

	if (!str_eqz(scheme, "sha256") || n + pin_len > sizeof(bytes))
		return false;
	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)(hex_value(salt.p[2 * i]) << 4 | hex_value(salt.p[2 * i + 1]));
	memcpy(bytes + n, pin, pin_len);
	if (EVP_Digest(bytes, n + pin_len, digest, &len, EVP_sha256(), NULL) != 1)
		return false;
	out_init(&o, hex, sizeof(hex));
	out_hex(&o, digest, len);
	return rest.n == o.len && CRYPTO_memcmp(rest.p, hex, o.len) == 0;
}

int app_pin_check(struct call *call, const char *mailbox, const char *pin)
{
	const struct dir_mailbox *m;
	int err = answer_code(directory_mailbox(call->calls->p.directory, call->domain, str_from(mailbox), &m));

	if (err)
		return err == -ENOENT ? -EACCES : err;
	return m->pin_hash && call_pin_matches(m->pin_hash, pin) ? 0 : -EACCES;
}

int app_menu_find(struct call *call, const char *number, struct app_menu *out)
{
	const struct dir_menu *m;
	struct app_menu_choice *choices;
	int err = answer_code(directory_menu(call->calls->p.directory, call->domain, str_from(number), &m));

	if (err)
		return err;
	choices = call_alloc(call, (m->nchoices + 1) * sizeof(*choices));
	if (!choices)
		return -ENOMEM;
	*out = (struct app_menu){
		.prompt = call_strdup(call, m->prompt ? m->prompt : ""),
		.invalid_prompt = m->invalid_prompt ? call_strdup(call, m->invalid_prompt) : NULL,
		.fallback = m->fallback ? call_strdup(call, m->fallback) : NULL,
		.context = call_strdup(call, m->context),
		.first_timeout_ms = m->first_timeout_ms,
		.digit_timeout_ms = m->digit_timeout_ms,
		.retries = m->retries,
		.dial_extensions = m->dial_extensions,
		.nchoices = m->nchoices,
		.choices = choices,
	};
	for (unsigned i = 0; i < m->nchoices; i++) {
		choices[i].digits = call_strdup(call, m->choices[i].digits);
		choices[i].target = call_strdup(call, m->choices[i].target);
		if (!choices[i].digits || !choices[i].target)
			return -ENOMEM;
	}
	return out->prompt && out->context ? 0 : -ENOMEM;
}

int app_group_find(struct call *call, const char *number, struct app_group *out)
{
	const struct dir_group *g;
	const char **numbers;
	uint32_t *delays, *rings;
	int err = answer_code(directory_group(call->calls->p.directory, call->domain, str_from(number), &g));

	if (err)
		return err;
	numbers = call_alloc(call, (g->nmembers + 1) * sizeof(*numbers));
	delays = call_alloc(call, (g->nmembers + 1) * sizeof(*delays));
	rings = call_alloc(call, (g->nmembers + 1) * sizeof(*rings));
	if (!numbers || !delays || !rings)
		return -ENOMEM;
	for (unsigned i = 0; i < g->nmembers; i++) {
		numbers[i] = call_strdup(call, g->members[i].number);
		delays[i] = g->members[i].delay_s;
		rings[i] = g->members[i].ring_s;
		if (!numbers[i])
			return -ENOMEM;
	}
	*out = (struct app_group){ .n = g->nmembers, .numbers = numbers, .delay_s = delays, .each_ring_s = rings,
				   .ring_s = g->ring_s, .in_sequence = !strcmp(g->strategy, "sequence") };
	return 0;
}
