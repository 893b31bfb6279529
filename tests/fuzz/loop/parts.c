/* parts.c - what stands beside the signalling, made up: an office of four extensions and two trunks, its dialplan, a database without
 * rows, an outbox that reads what it is given, and streams without media.
 */
#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <strings.h>

#include "call/usage.h"
#include "loop/json_text.h"
#include "media/dump.h"
#include "loop/server_int.h"
#include "sip/digest.h"

#define PLAY_MS 2000

/* ---- directory ---- */

static const struct dir_domain domain = {
	.domain = "office", .realm = "cordboard", .timezone = "UTC", .language = "en", .music_class = "default", .algorithms = DIGEST_MD5,
	.qop = DIGEST_AUTH, .is_default = true, .default_context = "office", .session_expires_s = 1800, .session_min_s = 90,
	.transfer_answer_s = 60, .recall_ring_s = 20, .tones = "itu", .call_limit = UINT32_MAX, .capture = DIR_CAPTURE_FAILED,
};
static const char *const identities[] = { "2001", "2002" };
static const struct dir_extension extensions[] = {
	{ .domain = "office", .number = "1001", .display_name = "Alice", .context = "office", .language = "en", .music_class = "default",
	  .ring_s = 30, .media.has_video = true, .call_limit = 4, .algorithms = DIGEST_MD5, .has_mailbox = true, .pickup_group = "g", .sees_peers = true },
	{ .domain = "office", .number = "1002", .display_name = "Bob \"B\"", .context = "office", .language = "en", .music_class = "none",
	  .ring_s = 20, .media.has_video = true, .call_limit = UINT32_MAX, .algorithms = DIGEST_MD5, .pickup_group = "g", .anonymous = DIR_OUTSIDE,
	  .nidentities = 2, .identities = identities },
	{ .domain = "office", .number = "1003", .display_name = "Carol", .context = "office", .language = "en", .music_class = "default",
	  .ring_s = 10, .call_limit = UINT32_MAX, .algorithms = DIGEST_MD5, .pickup_group = "g" },
	{ .domain = "office", .number = "1004", .display_name = "Dave", .context = "office", .language = "en", .music_class = "default",
	  .ring_s = 10, .call_limit = UINT32_MAX, .algorithms = DIGEST_MD5, .anonymous = DIR_ALWAYS, .presence_hidden = true },
};
static char ha1[ARRAY_LEN(extensions)][65];
static struct dir_credential credentials[ARRAY_LEN(extensions)];
static const struct dir_trunk trunks[] = {
	{ .domain = "office", .name = "provider", .context = "office", .uri = "sip:192.0.2.200", .auth_user = "u", .auth_password = "p",
	  .call_limit = UINT32_MAX, .is_trusted = true, .has_asserted = true, .has_rpid = true, .session_expires_s = UINT32_MAX },
	{ .domain = "office", .name = "other", .context = "office", .uri = "sip:late.other.test", .call_limit = UINT32_MAX,
	  .has_preferred = true, .caller_id = "49301234", .session_expires_s = 600, .is_number_in_to = true, .has_overload_control = true },
};
static const struct dir_mailbox mailbox = { .domain = "office", .number = "1001", .language = "en", .timezone = "UTC" };
static const struct dir_note note = { .domain = "office", .number = "1003", .lamp = "busy", .status = "open", .activity = "meeting",
				      .note = "back at <4>" };

void parts_init(void)
{
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
		const struct dir_extension *e = &extensions[i];

		digest_ha1(DIGEST_MD5, str_from(e->number), STR("cordboard"), STR("secret"), ha1[i]);
		credentials[i] = (struct dir_credential){ .domain = "office", .auth_name = e->number, .number = e->number,
							    .ha1_md5 = ha1[i] };
	}
}

static enum dir_answer answer(bool is_found)
{
	return the_server->is_away ? DIR_UNKNOWN : is_found ? DIR_FOUND : DIR_ABSENT;
}

enum dir_answer directory_domain_of_host(struct directory *d, struct str host, const struct dir_domain **out)
{
	(void)d;
	*out = &domain;
	return answer(!str_eqz(host, "no.such.domain"));
}

bool directory_captures(const struct directory *d)
{
	(void)d;
	return domain.capture != DIR_CAPTURE_NONE;
}

int64_t directory_seq(const struct directory *d)
{
	(void)d;
	return 1;
}

enum dir_answer directory_domain(struct directory *d, const char *name, const struct dir_domain **out)
{
	(void)d;
	*out = &domain;
	return answer(!strcmp(name, "office"));
}

enum dir_answer directory_extension(struct directory *d, const char *dom, struct str number, const struct dir_extension **out)
{
	(void)d;
	(void)dom;
	for (size_t i = 0; i < ARRAY_LEN(extensions) && !the_server->is_away; i++)
		if (str_eqz(number, extensions[i].number)) {
			*out = &extensions[i];
			return DIR_FOUND;
		}
	return answer(false);
}

bool directory_extension_begins(struct directory *d, const char *dom, struct str digits)
{
	(void)d;
	(void)dom;
	return digits.n < 4 && str_starts(STR("1001"), digits);
}

enum dir_answer directory_credential(struct directory *d, const char *dom, struct str auth_name, const struct dir_credential **out)
{
	(void)d;
	(void)dom;
	for (size_t i = 0; i < ARRAY_LEN(credentials) && !the_server->is_away; i++)
		if (str_eqz(auth_name, credentials[i].auth_name)) {
			*out = &credentials[i];
			return DIR_FOUND;
		}
	return answer(false);
}

/* Nobody hides his name, and no exchange registers for others. */
enum dir_answer directory_credential_by_hash(struct directory *d, const char *dom, struct str hash, const struct dir_credential **out)
{
	(void)d;
	(void)dom;
	(void)hash;
	(void)out;
	return answer(false);
}

void directory_bulk_numbers(struct directory *d, const char *dom, const char *account, void (*fn)(const struct dir_extension *ext, void *arg),
			    void *arg)
{
	(void)d;
	(void)dom;
	(void)account;
	(void)fn;
	(void)arg;
}

unsigned directory_algorithms_for(struct directory *d, const char *dom, struct str name)
{
	(void)d;
	(void)dom;
	(void)name;
	return DIGEST_MD5;
}

/* 1004 has gone home; 1003 is helped out. */
enum dir_answer directory_forward(struct directory *d, const char *dom, struct str number, const char *reason, struct dir_forward *out)
{
	(void)d;
	(void)dom;
	if (str_eqz(number, "1004") && !strcmp(reason, "always"))
		*out = (struct dir_forward){ reason, "1002" };
	else if (str_eqz(number, "1003") && !strcmp(reason, "busy"))
		*out = (struct dir_forward){ reason, "1001" };
	else if (str_eqz(number, "1003") && !strcmp(reason, "no_answer"))
		*out = (struct dir_forward){ reason, "0301" };
	else
		return answer(false);
	return answer(true);
}

enum dir_answer directory_trunk(struct directory *d, const char *dom, struct str name, const struct dir_trunk **out)
{
	(void)d;
	(void)dom;
	for (size_t i = 0; i < ARRAY_LEN(trunks) && !the_server->is_away; i++)
		if (str_eqz(name, trunks[i].name)) {
			*out = &trunks[i];
			return DIR_FOUND;
		}
	return answer(false);
}

void directory_trunks(struct directory *d, void (*fn)(const struct dir_trunk *trunk, void *arg), void *arg)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(trunks); i++)
		fn(&trunks[i], arg);
}

bool directory_is_network_shared(struct directory *d, const struct sockaddr *addr)
{
	(void)d;
	(void)addr;
	return false;
}

enum dir_answer directory_trunk_by_address(struct directory *d, const struct sockaddr *addr, const struct dir_trunk **out)
{
	char text[SOCKADDR_TEXT_MAX];

	(void)d;
	sockaddr_print_host((const union sockaddr_any *)addr, text);
	if (strcmp(text, "192.0.2.200") == 0)
		*out = &trunks[0];
	else if (strcmp(text, "192.0.2.201") == 0)
		*out = &trunks[1];
	else
		return answer(false);
	return answer(true);
}

enum dir_answer directory_certificate(struct directory *d, const char *identity, const struct dir_certificate **out)
{
	(void)d;
	(void)identity;
	(void)out;
	return answer(false);
}

enum dir_answer directory_trunk_by_identity(struct directory *d, const char *identity, const struct dir_trunk **out)
{
	(void)d;
	if (strcmp(identity, "other.test") != 0)
		return answer(false);
	*out = &trunks[1];
	return answer(true);
}

enum dir_answer directory_pass(struct directory *d, const char *dom, const char *trunk, const struct dir_pass **out)
{
	static const struct dir_pass_header headers[] = { { "X-Pass", true, NULL }, { "X-Pass", false, NULL }, { "X-Set", true, "a" }, { "Subject", false, "" } };
	static const struct dir_pass pass = { 4, headers };

	(void)d;
	(void)dom;
	*out = &pass;
	return answer(trunk != NULL);
}

enum dir_answer directory_group(struct directory *d, const char *dom, struct str number, const struct dir_group **out)
{
	static const struct dir_group_member members[] = { { "1002", 0, 10 }, { "1003", 3, 10 } };
	static const struct dir_group group = { "office", "700", "Desk", "all", 20, 2, members };

	(void)d;
	(void)dom;
	*out = &group;
	return answer(str_eqz(number, "700"));
}

enum dir_answer directory_conference(struct directory *d, const char *dom, struct str number, const struct dir_conference **out)
{
	static const struct dir_conference room = { .domain = "office", .number = "880", .name = "Room", .music_class = "default",
						    .max_members = 3, .nspeakers = 4, .has_tones = true };

	(void)d;
	(void)dom;
	*out = &room;
	return answer(str_eqz(number, "880"));
}

/* The provider's calls may last ten minutes a day. */
enum dir_answer directory_budgets(struct directory *d, const char *dom, struct str owner, const struct dir_budgets **out)
{
	static const struct dir_budget day = { .name = "day", .prompt = "beep", .period = DIR_BUDGET_DAY, .amount_ms = 600000, .warn_ms = 60000 };
	static const struct dir_budgets all = { 1, &day };

	(void)d;
	(void)dom;
	*out = &all;
	return answer(str_eqz(owner, "trunk/provider"));
}

/* One that asks for digits and rings where they lead, and turns in a circle with others. */
enum dir_answer directory_script(struct directory *d, const char *dom, struct str name, const struct dir_script **out)
{
	static const struct dir_script one = { "office", "one", "local d = get('number') log(d) for i = 1, 3000 do d = d .. '' end\n"
					       "if ring() == 'ok' then return dial{ number = { '1002', '1003' }, ring_s = 3 } end goto_('881')", 100000, 256 };

	(void)d;
	(void)dom;
	*out = &one;
	return answer(str_eqz(name, "one"));
}

bool directory_is_loaded(const struct directory *d)
{
	(void)d;
	return false;
}

void directory_scripts(struct directory *d, void (*fn)(const struct dir_script *script, void *arg), void *arg)
{
	(void)d;
	(void)fn;
	(void)arg;
}

/* Two trunks, of which one is there on Mondays alone. */
enum dir_answer directory_trunk_group(struct directory *d, const char *dom, struct str name, const struct dir_trunk_group **out)
{
	static const struct dir_trunk_member members[] = { { "provider", NULL, 1, 3 }, { "other", "day", 1, 1 } };
	static const struct dir_trunk_group all = { .domain = "office", .name = "all", .failover = "408,5XX", .nmembers = 2, .members = members };

	(void)d;
	(void)dom;
	*out = &all;
	return answer(str_eqz(name, "all"));
}

/* 08:00 to 17:00 every Monday. */
enum dir_answer directory_schedule(struct directory *d, const char *dom, struct str name, const struct dir_schedule **out)
{
	static const struct dir_period monday = { 1, 480, 1020 };
	static const struct dir_schedule day = { .domain = "office", .name = "day", .timezone = "UTC", .nperiods = 1, .periods = &monday };

	(void)d;
	(void)dom;
	*out = &day;
	return answer(str_eqz(name, "day"));
}

enum dir_answer directory_menu(struct directory *d, const char *dom, struct str number, const struct dir_menu **out)
{
	static const struct dir_menu_choice choices[] = { { "1", "1002" }, { "2", "601" } };
	static const struct dir_menu menu = { "office", "800", "office", "hello", "wrong", "1001", 3000, 1000, 1, true, 2, choices };

	(void)d;
	(void)dom;
	*out = &menu;
	return answer(str_eqz(number, "800"));
}

enum dir_answer directory_mailbox(struct directory *d, const char *dom, struct str number, const struct dir_mailbox **out)
{
	(void)d;
	(void)dom;
	*out = &mailbox;
	return answer(str_eqz(number, "1001"));
}

enum dir_answer directory_note(struct directory *d, const char *dom, struct str number, const struct dir_note **out)
{
	(void)d;
	(void)dom;
	*out = &note;
	return answer(str_eqz(number, "1003"));
}

enum dir_answer directory_music(struct directory *d, const char *dom, const char *class_name, const struct dir_music **out)
{
	static const char *const files[] = { "music/a.wav" };
	static const struct dir_music music = { "office", "default", 1, files };

	(void)d;
	(void)dom;
	*out = &music;
	return answer(!strcmp(class_name, "default"));
}

enum dir_answer directory_tones(struct directory *d, const char *plan, const struct dir_tones **out)
{
	static const struct dir_cadence cadences[DIR_TONE_COUNT] = { [DIR_TONE_RINGBACK] = { 1, { { .hz1 = 425, .on_ms = 1000, .off_ms = 4000 } } } };
	static const struct dir_tones tones = { "itu", cadences };

	(void)d;
	*out = &tones;
	return answer(!strcmp(plan, "itu"));
}

void directory_watch(struct directory *d, struct directory_watcher *w)
{
	(void)d;
	(void)w;
}

void directory_unwatch(struct directory *d, struct directory_watcher *w)
{
	(void)d;
	(void)w;
}

/* ---- dialplan ---- */

struct route { const char *pattern; bool is_prefix; struct step steps[3]; unsigned n; };

#define ARGS(...) .args = (const struct step_arg[]){ __VA_ARGS__ }, .nargs = sizeof((const struct step_arg[]){ __VA_ARGS__ }) / sizeof(struct step_arg)
static const struct route routes[] = {
	{ "100", true, { { .app = "dial", ARGS({ "number", "${number}" }) },
			 { .app = "playback", .condition = "result=busy", ARGS({ "prompt", "busy" }) } }, 2 },
	{ "601", false, { { .app = "answer" }, { .app = "echo" } }, 2 },
	{ "602", false, { { .app = "playback", ARGS({ "prompt", "hello" }) }, { .app = "music" } }, 2 },
	{ "603", false, { { .app = "ring" }, { .app = "wait", ARGS({ "seconds", "2" }) }, { .app = "hangup" } }, 3 },
	{ "604", false, { { .app = "set", ARGS({ "name", "caller_number" }, { "value", "12345" }) },
			  { .app = "goto", ARGS({ "number", "1002" }) } }, 2 },
	{ "605", false, { { .app = "goto", ARGS({ "number", "605" }) } }, 1 },
	{ "606", false, { { .app = "dial", ARGS({ "number", "1001&1002&1003" }, { "music", "default" }, { "ring_s", "15" }) } }, 1 },
	{ "700", false, { { .app = "dial_group", ARGS({ "group", "700" }) } }, 1 },
	{ "800", false, { { .app = "menu", ARGS({ "menu", "800" }) } }, 1 },
	{ "03", true, { { .app = "dial", ARGS({ "number", "${number}" }, { "trunk", "provider" }) } }, 1 },
	{ "04", true, { { .app = "dial", ARGS({ "number", "${number}" }, { "trunk", "other" }) } }, 1 },
};

static const struct route *route_of(struct str number)
{
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		if (routes[i].is_prefix ? str_starts(number, str_from(routes[i].pattern)) : str_eqz(number, routes[i].pattern))
			return &routes[i];
	return NULL;
}

enum dir_answer plan_match(struct plan *p, const char *dom, const char *context, struct str number, struct route **out)
{
	const struct route *r = route_of(number);
	enum dir_answer a = answer(r && !strcmp(context, "office"));

	(void)p;
	(void)dom;
	if (a == DIR_FOUND) {
		*out = (struct route *)r;
		the_server->nroutes++;
	}
	return a;
}

/* 112 is an emergency from anywhere; 0123 is our 601 outside; 0666 is blocked. */
const struct route *plan_list_find(const struct plan *p, const char *dom, const char *list, struct str number)
{
	static const struct route emergency = { .pattern = "112" }, inbound = { .pattern = "0123" }, blocked = { .pattern = "0666" };
	const struct route *r = !strcmp(list, PLAN_EMERGENCY) ? &emergency : !strcmp(list, PLAN_INBOUND) ? &inbound : &blocked;

	(void)p;
	(void)dom;
	return str_eqz(number, r->pattern) ? r : NULL;
}

const char *route_value(const struct route *r)
{
	return !strcmp(r->pattern, "0123") ? "${number:9}601" : "603";
}

bool plan_match_prefix(struct plan *p, const char *dom, const char *context, struct str digits)
{
	(void)p;
	(void)dom;
	(void)context;
	return digits.n < 4;
}

void route_release(struct route *r)
{
	assert(r && the_server->nroutes);
	the_server->nroutes--;
}

const char *route_pattern(const struct route *r) { return r->pattern; }
const char *route_context(const struct route *r) { (void)r; return "office"; }

unsigned route_steps(const struct route *r, const struct step **out)
{
	*out = r->steps;
	return r->n;
}

/* ---- database and outbox ---- */

struct db_rows { int n; const char *cell; const char *const *table; int columns; };

/* As pbx.binding has them: 1001 to 1003 at 192.0.2.1 to 3, the last by TCP, for an hour and a bit. */
#define KEPT(number, host, proto) \
	"office", number, "sip:" number "@" host, "", "kept", "1", "1000", "1700004600000", proto, host ":5060", "", "0", "", "", "n1"
#define KEPT_COLUMNS 15
#define KEPT_MAX 3
static const char *const kept_bindings[KEPT_MAX][KEPT_COLUMNS] = {
	{ KEPT("1001", "192.0.2.1", "udp") }, { KEPT("1002", "192.0.2.2", "udp") }, { KEPT("1003", "192.0.2.3", "tcp") },
};

static const struct db_rows none = { .cell = "" }, yes = { .n = 1, .cell = "t" }, counts = { .n = 1, .cell = "3" };

int db_rows_count(const struct db_rows *r) { return r->n; }
int db_rows_columns(const struct db_rows *r) { return r->table ? r->columns : 1; }

struct str db_rows_get(const struct db_rows *r, int row, int col)
{
	return str_from(r->table ? r->table[row * r->columns + col] : r->cell);
}

unsigned char *db_rows_bytes(const struct db_rows *r, int row, int col, size_t *len)
{
	(void)r;
	(void)row;
	(void)col;
	*len = 0;
	return calloc(1, 1);
}

/* The rows of those who are kept. */
static const struct db_rows *kept_rows(void)
{
	static const char *table[KEPT_MAX * KEPT_COLUMNS];
	static struct db_rows rows = { .table = table, .columns = KEPT_COLUMNS };

	rows.n = 0;
	for (unsigned i = 0; i < KEPT_MAX; i++)
		if (the_server->kept & 1u << i)
			memcpy(table + rows.n++ * KEPT_COLUMNS, kept_bindings[i], sizeof(kept_bindings[i]));
	return &rows;
}

static const struct db_rows *rows_of(const char *sql)
{
	if (strstr(sql, "FROM pbx.binding WHERE expires"))
		return kept_rows();
	return strstr(sql, "message_store(") ? &yes : strstr(sql, "count(") ? &counts : &none;
}

/* What is found, by what was asked. */
struct query { db_fn *fn; const struct db_rows *rows; void *arg; };

static void on_query(uint64_t id, void *arg, bool is_forgotten)
{
	static const struct db_answer lost = { .err = -ENOTCONN, .message = "away" };
	struct query *q = arg;
	struct db_answer found = { .rows = q->rows };

	if (q->fn && !is_forgotten)
		q->fn(id, the_server->is_away ? &lost : &found, q->arg);
	free(q);
}

uint64_t db_query(struct db *db, const char *sql, unsigned n, const struct db_param *params, db_fn *fn, void *arg)
{
	struct query *q;

	(void)db;
	server_leave();
	q = malloc(sizeof(*q));
	server_enter();
	for (unsigned i = 0; i < n; i++)
		assert(!params[i].p || params[i].is_binary || strlen(params[i].p) < 65536);
	*q = (struct query){ fn, rows_of(sql), arg };
	return server_later(the_server, on_query, q);
}

/* The query still takes its time, nobody is told. */
void db_forget(struct db *db, uint64_t id)
{
	(void)db;
	server_forget(the_server, id);
}

/* Its listening connection never goes. */
int db_listen(struct db *db, const char *channel, const struct db_listen_handler *h, void *arg)
{
	(void)db;
	(void)channel;
	(void)h;
	(void)arg;
	return 0;
}

void db_unlisten(struct db *db, void *arg)
{
	(void)db;
	(void)arg;
}

bool db_is_up(const struct db *db)
{
	(void)db;
	return !the_server->is_away;
}

struct put { void (*fn)(int err, void *arg); void *arg; };

static void on_put(uint64_t id, void *arg, bool is_forgotten)
{
	struct put *p = arg;

	(void)id;
	if (!is_forgotten)
		p->fn(0, p->arg);
	free(p);
}

/* ---- the other servers: there are none, and nobody asks for them every two seconds of hours that pass in a moment ---- */

struct shared share_others(const struct calls *cs, const char *dom, const char *what)
{
	(void)cs;
	(void)dom;
	(void)what;
	return (struct shared){ 0, 0 };
}

void share_changed(struct calls *cs)
{
	(void)cs;
}

void share_start(struct calls *cs)
{
	(void)cs;
}

void share_stop(struct calls *cs)
{
	(void)cs;
}

void share_print(struct out *o, const char *key, const char *prefix, unsigned n, int64_t began_ms)
{
	(void)o;
	(void)key;
	(void)prefix;
	(void)n;
	(void)began_ms;
	assert(!"nobody asks");
}

/* What the database would refuse is lost for good. */
int outbox_add(struct outbox *o, const char *kind, const char *doc, const char *file, void (*fn)(int err, void *arg), void *arg)
{
	(void)o;
	(void)kind;
	(void)file;
	assert(json_text_is_object(doc));
	server_leave();
	if (fn) {
		struct put *p = malloc(sizeof(*p));

		*p = (struct put){ fn, arg };
		server_later(the_server, on_put, p);
	}
	server_enter();
	return 0;
}

unsigned outbox_waiting(const struct outbox *o)
{
	(void)o;
	return 0;
}

/* ---- media ---- */

struct stream {
	struct stream *next, **pprev;
	const struct stream_handler *h;
	void *arg;
	struct timer close, play, stopped, record;
	uint32_t play_id, stopped_id, record_id, nids;
	bool is_looping, is_closing;
	uint16_t port;
};

static struct timers *timers(void)
{
	return the_server->timers;
}

static void on_close(void *arg)
{
	static const struct stream_stats stats;
	struct stream *s = arg;

	timer_stop(timers(), &s->play);
	timer_stop(timers(), &s->stopped);
	timer_stop(timers(), &s->record);
	*s->pprev = s->next;
	if (s->next)
		s->next->pprev = s->pprev;
	if (s->h && s->h->on_closed)
		s->h->on_closed(s, &stats, s->arg);
	free(s);
}

static void on_play(void *arg)
{
	struct stream *s = arg;
	uint32_t id = s->play_id;

	s->play_id = 0;
	s->h->on_play_end(s, id, PLAY_DONE, s->arg);
}

static void on_stopped(void *arg)
{
	struct stream *s = arg;

	s->h->on_play_end(s, s->stopped_id, PLAY_STOPPED, s->arg);
}

static void on_record(void *arg)
{
	const struct record_result r = { .end = RECORD_SILENCE, .duration_ms = PLAY_MS, .talk_ms = PLAY_MS };
	struct stream *s = arg;

	s->h->on_record_end(s, s->record_id, &r, s->arg);
}

const char *media_fingerprint(const struct media *m)
{
	(void)m;
	return "sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";
}

int stream_new(struct stream **out, struct media *m, const struct stream_params *p, const struct stream_handler *h, void *arg)
{
	struct server *server = (struct server *)m;
	struct stream *s = calloc(1, sizeof(*s));

	assert(server == the_server && p->local);
	if (!s)
		return -ENOMEM;
	s->h = h;
	s->arg = arg;
	s->port = 20000;
	timer_init(&s->close, on_close, s);
	timer_init(&s->play, on_play, s);
	timer_init(&s->stopped, on_stopped, s);
	timer_init(&s->record, on_record, s);
	s->next = server->streams;
	s->pprev = &server->streams;
	if (s->next)
		s->next->pprev = &s->next;
	server->streams = s;
	*out = s;
	return 0;
}

void stream_close(struct stream *s)
{
	if (s->is_closing)
		return;
	s->is_closing = true;
	timer_start(timers(), &s->close, 2);
}

uint16_t stream_port(const struct stream *s) { return s->port; }

void stream_configure(struct stream *s, const struct stream_config *c)
{
	assert(!s->is_closing && c->nrecv <= ARRAY_LEN(c->recv) && c->dir <= STREAM_BOTH && (!c->dtls || c->dtls->nfingerprints));
}

void stream_ice(struct stream *s, const struct ice_credentials *ours) { (void)s; (void)ours; }

/* Whatever it played ends. */
static void replace(struct stream *s)
{
	if (!s->play_id)
		return;
	s->stopped_id = s->play_id;
	s->play_id = 0;
	timer_stop(timers(), &s->play);
	timer_start(timers(), &s->stopped, 1);
}

void stream_bridge(struct stream *a, struct stream *b)
{
	replace(a);
	replace(b);
	the_server->nconversations++;
}

void stream_unbridge(struct stream *s) { replace(s); }
void stream_echo(struct stream *s) { replace(s); }
void stream_silence(struct stream *s) { replace(s); }

uint32_t stream_play(struct stream *s, const struct play_params *p)
{
	replace(s);
	s->play_id = ++s->nids;
	if (!p->loop)
		timer_start(timers(), &s->play, PLAY_MS);
	return s->play_id;
}

void stream_play_stop(struct stream *s) { replace(s); }
void stream_play_pause(struct stream *s) { (void)s; }
void stream_play_resume(struct stream *s) { (void)s; }
void stream_play_seek(struct stream *s, int32_t by_ms) { (void)s; (void)by_ms; }

void stream_music(struct stream *s, const char *class_key, const char *const *files, unsigned nfiles)
{
	assert(class_key && files[0] && nfiles);
	replace(s);
}

void stream_tones(struct stream *s, const struct tone *cadence, unsigned n)
{
	assert(cadence && n);
	replace(s);
}

struct mix { unsigned nmembers; };

int mix_new(struct mix **out, struct media *m, const struct mix_params *p, const struct mix_handler *h, void *arg)
{
	(void)m;
	(void)arg;
	assert(p->nspeakers && h);
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void mix_close(struct mix *m) { free(m); }
void stream_mix(struct stream *s, struct mix *m, const struct mix_member *p)
{
	assert(!s->is_closing && p);
	m->nmembers++;
	replace(s);
}

uint32_t mix_play(struct mix *m, const struct play_params *p)
{
	assert(p->files[0]);
	return ++m->nmembers;
}

void mix_tones(struct mix *m, const struct tone *cadence, unsigned n)
{
	assert(m && cadence && n);
}

void stream_listen(struct stream *s, unsigned what)
{
	(void)what;
	assert(!s->is_closing);
}

void stream_send_digit(struct stream *s, char digit, uint32_t duration_ms)
{
	(void)duration_ms;
	assert(!s->is_closing && digit);
}

uint32_t stream_record(struct stream *s, const struct record_params *p)
{
	assert(p->path);
	s->record_id = ++s->nids;
	timer_start(timers(), &s->record, PLAY_MS);
	return s->record_id;
}

void stream_record_stop(struct stream *s)
{
	if (timer_is_running(&s->record))
		timer_start(timers(), &s->record, 1);
}

/* As media.c does: a handler has what its stream can come to. */
static void tell_stream(struct stream *s, char what)
{
	const struct stream_handler *h = s->h;
	union sockaddr_any from;

	sockaddr_parse(&from, STR("192.0.2.9"), 4000);
	if (what == 'T' && h->on_timeout)
		h->on_timeout(s, s->arg);
	else if (what == 'L' && h->on_latched)
		h->on_latched(s, &from.sa, LATCH_FIRST, s->arg);
	else if (what == 'S' && h->on_secured)
		h->on_secured(s, SECURE_AEAD_AES_128_GCM, s->arg);
	else if (what == 'I' && h->on_insecure)
		h->on_insecure(s, STREAM_WRONG_CERTIFICATE, true, s->arg);
	else if (!strchr("TLSI", what) && h->on_digit)
		h->on_digit(s, what, 100, s->arg);
}

void server_media_event(struct server *server, char what)
{
	struct stream *next;

	server_enter();
	for (struct stream *s = server->streams; s; s = next) {
		next = s->next;
		if (!s->is_closing)
			tell_stream(s, what);
	}
	server_leave();
	server_pass(server, 0);
}

enum codec_id stream_codec(const struct stream *s)
{
	(void)s;
	return CODEC_PCMU;
}

/* The disk is full: no recording begins. */
int capture_start(struct capture **out, struct media *m, const struct capture_params *p,
		  void (*on_end)(struct capture *c, const struct capture_result *r, void *arg), void *arg)
{
	(void)out;
	(void)m;
	(void)on_end;
	(void)arg;
	assert(p->path);
	return -ENOSPC;
}

/* No domain here wants RTP to be kept. */
int dump_start(struct dump **out, struct stream *s, const struct dump_params *p, const struct dump_handler *h, void *arg)
{
	(void)out;
	(void)s;
	(void)p;
	(void)h;
	(void)arg;
	return -ENOMEM;
}

void dump_stop(struct dump *d) { assert(!d); }

void capture_stop(struct capture *c) { assert(!c); }
void capture_pause(struct capture *c) { assert(!c); }
void capture_resume(struct capture *c) { assert(!c); }

void mix_capture(struct mix *m, struct capture *c) { assert(m && !c); }

void stream_beep(struct stream *s, int every_s)
{
	(void)every_s;
	assert(!s->is_closing);
}

void stream_capture(struct stream *s, struct capture *c, enum capture_side side)
{
	(void)side;
	assert(s && !c);
}
