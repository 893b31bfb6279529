/* main.c - start, wiring, signals; nothing else.
 *
 * The order of the start: ports are bound, root is given up, the database is asked. Until the directory is there every request
 * is told 503 with Retry-After; then the parts that need it are made, and when the dialplan and the bindings are there too
 * the line "ready" says that calls are taken. The end goes the same way back: calls first, the database last.
 */
#define LOG_MODULE "main"
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <malloc.h>
#ifdef WITH_MIMALLOC
#include <mimalloc.h>
#endif
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pace.h"
#include "call/calls.h"
#include "call/app.h"
#include "call/control.h"
#include "config.h"
#include "presence/presence.h"
#include "registrar/bans.h"
#include "registrar/listeners.h"
#include "sip/tls.h"

#ifndef CORDBOARD_VERSION
#define CORDBOARD_VERSION "0.1"
#endif

#define READY_POLL_MS 20
#define STOP_MAX_MS 5000      /* a peer or disk that doesn't come to an end is left behind */
#define GOODBYE_MAX_MS 1000 /* a database that hangs holds nobody up */
#define SEEN_MS 5000
#define HOUSEKEEPING_FIRST_MS (5 * 60 * 1000)
#define HOUSEKEEPING_MS (3600 * 1000)
#define TASK_STACK (64 * 1024)
#define LOG_BUFFER (64 * 1024)
#define HEAP_SLACK (4 << 20)  /* kept at the heap's top, so that it isn't given back and asked for again with every call */
#define TRIM_CHECK_MS 5000
#define TRIM_WORTH 200        /* transactions, 4 KiB each with what belongs to them */

struct pbx {
	struct config config;
	struct log log;
	struct rng rng;
	uv_loop_t loop;
	struct timers *timers;
	struct timers_driver *driver;
	struct tasks *tasks;
	struct pace *pace;
	uv_prepare_t log_flush;
	struct resolver *resolver;
	struct sip_ua *ua;
	struct media *media;
	struct db *db;
	struct directory *directory;
	struct plan *plan;
	struct outbox *outbox;
	struct digest_server *digest;
	struct auth auth;
	struct bans *bans;
	struct listeners *listeners;
	struct tls_pair tls_more[CONFIG_CERTS_MAX];
	struct registrar *registrar;
	struct presence *presence;
	struct outgoing *outgoing;
	struct qualify *qualify;
	struct calls *calls;
	struct commands *commands;
	struct directory_watcher watcher;
	uv_signal_t sigint, sigterm, sigusr1;
	uv_timer_t ready, trim;
	unsigned peak;               /* transactions alive, since the heap was trimmed */
	struct timer stop_timer, goodbye_timer, housekeeping, seen;
	uint64_t goodbye;       /* the query under way that says that we end; 0: none */
	bool is_stopping;
	unsigned closing, stopping;
	char outbox_dir[600], recordings_dir[600];
};

/* ---- --print-apps ---- */

static const char *type_name(enum app_param_type t)
{
	static const char *const names[] = { "text", "number", "int", "bool", "seconds", "prompt", "mailbox", "menu", "group", "music",
					     "trunk", "context", "conference", "schedule", "script" };

	return names[t];
}

/* The words there are to choose from; null: it isn't that kind. */
static void print_choices(struct out *o, const struct app *app, const char *param)
{
	const struct app_choice *c = app->choices;
	struct str rest;

	while (c && c->param && strcmp(c->param, param) != 0)
		c++;
	if (!c || !c->param) {
		out_z(o, "null");
		return;
	}
	rest = str_from(c->words);
	for (char before = '['; rest.p; before = ',') {
		struct str word = str_cut(&rest, ' ');

		out_fmt(o, "%c\"%.*s\"", before, (int)word.n, word.p);
	}
	out_chr(o, ']');
}

static void print_param(struct out *o, const struct app *app, const struct app_param *p)
{
	out_z(o, "{\"name\":");
	app_json_str(o, p->name);
	out_fmt(o, ",\"type\":\"%s\",\"required\":%s,\"default\":", type_name(p->type), p->is_required ? "true" : "false");
	if (p->def)
		app_json_str(o, p->def);
	else
		out_z(o, "null");
	out_z(o, ",\"choices\":");
	print_choices(o, app, p->name);
	out_z(o, ",\"help\":");
	app_json_str(o, p->help);
	out_chr(o, '}');
}

static int print_apps(void)
{
	struct out o;

	out_init_grow(&o, 1 << 20);
	out_chr(&o, '[');
	for (unsigned i = 0; app_table[i]; i++) {
		const struct app *app = app_table[i];

		out_fmt(&o, "%s\n{\"name\":\"%s\",\"help\":", i ? "," : "", app->name);
		app_json_str(&o, app->help);
		out_z(&o, ",\"params\":[");
		for (unsigned k = 0; k < app->nparams; k++) {
			if (k)
				out_chr(&o, ',');
			print_param(&o, app, &app->params[k]);
		}
		out_z(&o, "]}");
	}
	out_z(&o, "\n]\n");
	fwrite(o.p, 1, o.len, stdout);
	out_fini(&o);
	return 0;
}

/* ---- the end ---- */

static void close_signals(struct pbx *p)
{
	uv_close((uv_handle_t *)&p->sigint, NULL);
	uv_close((uv_handle_t *)&p->sigterm, NULL);
	uv_close((uv_handle_t *)&p->sigusr1, NULL);
	uv_close((uv_handle_t *)&p->ready, NULL);
	uv_close((uv_handle_t *)&p->log_flush, NULL);
	uv_close((uv_handle_t *)&p->trim, NULL);
}

static void on_db_closed(void *arg)
{
	struct pbx *p = arg;

	sip_ua_close(p->ua);
	presence_free(p->presence);
	calls_free(p->calls);
	commands_free(p->commands);
	digest_server_free(p->digest);
	resolver_close(p->resolver);
	pace_close(p->pace);
	tasks_close(p->tasks);
	timers_driver_close(p->driver);
	close_signals(p);
}

/* Parts that close at the same time; the database goes when they have gone. */
static void on_part_closed(void *arg)
{
	struct pbx *p = arg;

	if (--p->closing == 0)
		db_close(p->db, on_db_closed, p);
}

static void close_parts(void *arg)
{
	struct pbx *p = arg;

	timer_stop(p->timers, &p->stop_timer);
	if (p->presence)
		presence_stop(p->presence);
	sip_ua_on_early(p->ua, NULL, NULL);
	p->auth.trunk_of = NULL;
	outgoing_free(p->outgoing);
	qualify_free(p->qualify);
	bans_free(p->bans);
	listeners_free(p->listeners);
	if (p->registrar)
		registrar_close(p->registrar);
	timer_stop(p->timers, &p->housekeeping);
	p->closing = 4;
	plan_close(p->plan, on_part_closed, p);
	directory_close(p->directory, on_part_closed, p);
	media_close(p->media, on_part_closed, p);
	outbox_close(p->outbox, on_part_closed, p);
}

/* The calls, the registrations at trunks, and our row. */
static void on_stopped(void *arg)
{
	struct pbx *p = arg;

	if (--p->stopping == 0)
		close_parts(p);
}

static void on_stop_overdue(void *arg)
{
	struct pbx *p = arg;

	log_warn(&p->log, "calls didn't end in time");
	fflush(NULL);
	_exit(1); /* what is to be kept is on disk */
}

/* That we end is written, or can't be. */
static void on_goodbye(uint64_t id, const struct db_answer *a, void *arg)
{
	struct pbx *p = arg;

	(void)id;
	(void)a;
	p->goodbye = 0;
	timer_stop(p->timers, &p->goodbye_timer);
	on_stopped(p);
}

static void on_goodbye_late(void *arg)
{
	struct pbx *p = arg;

	db_forget(p->db, p->goodbye);
	on_goodbye(0, NULL, p);
}

static void say_goodbye(struct pbx *p)
{
	timer_init(&p->goodbye_timer, on_goodbye_late, p);
	if (db_is_up(p->db))
		p->goodbye = db_query(p->db, "SELECT pbx.node_stops($1)", 1, (struct db_param[]){ DB_TEXT(p->config.node) }, on_goodbye, p);
	if (p->goodbye)
		timer_start(p->timers, &p->goodbye_timer, GOODBYE_MAX_MS);
	else
		on_stopped(p);
}

static void stop(struct pbx *p)
{
	if (p->is_stopping)
		return;
	p->is_stopping = true;
	log_info(&p->log, "stopping");
	uv_timer_stop(&p->ready); /* what it asks goes now */
	timer_init(&p->stop_timer, on_stop_overdue, p);
	timer_start(p->timers, &p->stop_timer, STOP_MAX_MS);
	timer_stop(p->timers, &p->seen);
	p->stopping = 3;
	say_goodbye(p);
	if (p->commands)
		commands_stop(p->commands);
	if (p->outgoing)
		outgoing_stop(p->outgoing, on_stopped, p);
	else
		on_stopped(p);
	if (p->calls)
		calls_close(p->calls, on_stopped, p);
	else
		on_stopped(p);
}

static void on_signal(uv_signal_t *signal, int number)
{
	(void)number;
	stop(signal->data);
}

/* ---- how it is doing ---- */

/* SIGUSR1: all that is alive, in one line. */
static void on_counters(uv_signal_t *signal, int number)
{
	struct pbx *p = signal->data;
	const struct sip_stack_counters *sip = sip_stack_counters(sip_ua_stack(p->ua));
	const struct guard_counters *guard = guard_counters(transport_guard(sip_ua_transport(p->ua)));
	struct calls_counters calls = { 0 };
	struct media_counters media;

	(void)number;
	if (p->is_stopping)
		return;
	if (p->calls)
		calls = *calls_counters(p->calls);
	media_counters(p->media, &media);
	log_info(&p->log, "counters calls=%u legs=%u tasks=%u sessions=%u strans=%u ctrans=%u timers=%u streams=%u sockets=%u"
		 " pooled=%u outbox=%u total=%llu answered=%llu refused=%llu requests=%llu packets=%llu"
		 " banned=%llu late=%llu unanswered=%llu failures=%llu"
		 " dropped_source=%llu dropped_insecure=%llu dropped_malformed=%llu icmp_errors=%llu"
		 " handshakes=%llu handshakes_failed=%llu",
		 calls.live, calls.legs, tasks_count(p->tasks), sip_ua_sessions(p->ua), sip->strans_live, sip->ctrans_live,
		 timers_count(p->timers), media.streams, media.sockets_open, media.sockets_pooled, outbox_waiting(p->outbox),
		 (unsigned long long)calls.total, (unsigned long long)calls.answered, (unsigned long long)calls.refused,
		 (unsigned long long)sip->requests, (unsigned long long)media.packets_received, (unsigned long long)guard->banned,
		 (unsigned long long)guard->late, (unsigned long long)guard->unanswered, (unsigned long long)guard->failures,
		 (unsigned long long)media.dropped_source, (unsigned long long)media.dropped_insecure,
		 (unsigned long long)media.dropped_malformed, (unsigned long long)media.icmp_errors,
		 (unsigned long long)media.handshakes, (unsigned long long)media.handshakes_failed);
}

static void give_back(void)
{
#ifdef WITH_MIMALLOC
	mi_collect(true);
#else
	malloc_trim(0);
#endif
}

/* Transactions live for half a minute, so a busy hour leaves a heap full of holes. When most of them have gone, so does the memory.
 * What calls that talk by now took of their stacks while they were set up goes before. */
static void on_trim(uv_timer_t *timer)
{
	struct pbx *p = timer->data;
	const struct sip_stack_counters *sip = sip_stack_counters(sip_ua_stack(p->ua));
	unsigned live = sip->strans_live + sip->ctrans_live;

	tasks_trim(p->tasks);
	if (live > p->peak)
		p->peak = live;
	if (p->is_stopping || p->peak < TRIM_WORTH || live > p->peak / 4)
		return;
	give_back();
	p->peak = live;
}

/* ---- the start ---- */

static const char *path_or_null(const char *path)
{
	return path[0] ? path : NULL;
}

static struct transport_tls config_tls(struct pbx *p)
{
	const struct config *c = &p->config;

	for (unsigned i = 0; i < c->tls_certs.n; i++)
		p->tls_more[i] = (struct tls_pair){ .cert = c->tls_certs.at[i].cert, .key = c->tls_certs.at[i].key,
						    .ocsp = c->tls_certs.at[i].ocsp };
	return (struct transport_tls){
		.cert = c->tls_cert, .key = path_or_null(c->tls_key), .ca = path_or_null(c->tls_ca),
		.crl = path_or_null(c->tls_crl), .ocsp = path_or_null(c->tls_ocsp), .needs_ocsp = c->tls_ocsp_require, .asks_client = c->tls_client == CLIENT_ASKED,
		.needs_client = c->tls_client == CLIENT_NEEDED, .checks_server = c->tls_verify_server,
		.more = p->tls_more, .nmore = c->tls_certs.n,
	};
}

static void reply_not_ready(struct strans *st, const struct sip_msg *m, void *arg)
{
	(void)m;
	(void)arg;
	strans_reply_simple(st, 503, "Retry-After: 5\r\n");
}

static const char node_sql[] =
	"INSERT INTO pbx.node (node, started, seen, version) VALUES ($1, now(), now(), $2)"
	" ON CONFLICT (node) DO UPDATE SET started = now(), seen = now(), version = excluded.version, draining = false";

static void on_flow_closed(uint64_t flow, void *arg)
{
	outgoing_flow_closed(arg, flow);
}

static int make_outgoing(struct pbx *p, const unsigned char key[32])
{
	struct outgoing_params params = {
		.env = { .ua = p->ua, .resolver = p->resolver, .timers = p->timers, .clock = &clock_system, .rng = &p->rng, .log = &p->log },
		.directory = p->directory, .db = p->db, .node = p->config.node,
	};
	int err;

	memcpy(params.key, key, sizeof(params.key));
	err = outgoing_new(&p->outgoing, &params);
	if (err)
		return err;
	p->auth.trunk_of = outgoing_trunk_of;
	p->auth.trunk_of_arg = p->outgoing;
	registrar_on_flow_closed(p->registrar, on_flow_closed, p->outgoing);
	return qualify_new(&p->qualify, &(struct qualify_params){ .env = params.env, .directory = p->directory, .registrar = p->registrar,
								   .db = p->db, .node = p->config.node });
}

static int make_rest(struct pbx *p)
{
	struct digest_server_params digest = { .clock = &clock_system, .rng = &p->rng, .nonce_life_s = p->config.nonce_life_s };
	struct guard *guard = transport_guard(sip_ua_transport(p->ua));
	struct registrar_params registrar;
	int err = directory_secret(p->directory, digest.key) ? digest_server_new(&p->digest, &digest) : -EINVAL;

	if (err)
		return err;
	p->auth = (struct auth){ .directory = p->directory, .digest = p->digest, .log = &p->log, .guard = guard,
				 .transport = sip_ua_transport(p->ua) };
	err = bans_new(&p->bans, &(struct bans_params){ .guard = guard, .directory = p->directory, .db = p->db, .timers = p->timers,
							.clock = &clock_system, .log = &p->log, .node = p->config.node });
	if (err)
		return err;
	err = listeners_new(&p->listeners, &(struct listeners_params){
		.transport = sip_ua_transport(p->ua), .directory = p->directory, .db = p->db, .timers = p->timers, .clock = &clock_system,
		.log = &p->log, .node = p->config.node, .tls = config_tls(p) });
	if (err)
		return err;
	sip_ua_on_early(p->ua, auth_challenge_early, &p->auth);
	db_query(p->db, node_sql, 2, (struct db_param[]){ DB_TEXT(p->config.node), DB_TEXT(CORDBOARD_VERSION) }, NULL, NULL);
	registrar = (struct registrar_params){
		.ua = p->ua, .directory = p->directory, .db = p->db, .outbox = p->outbox, .digest = p->digest, .guard = guard,
		.transport = sip_ua_transport(p->ua), .timers = p->timers,
		.clock = &clock_system, .rng = &p->rng, .log = &p->log, .node = p->config.node, .min_expires_s = p->config.min_expires_s,
		.max_expires_s = p->config.max_expires_s, .default_expires_s = p->config.default_expires_s };
	memcpy(registrar.key, digest.key, sizeof(registrar.key));
	err = registrar_new(&p->registrar, &registrar);
	if (!err)
		err = make_outgoing(p, digest.key);
	if (!err)
		err = calls_new(&p->calls, &(struct calls_params){
			.loop = &p->loop, .ua = p->ua, .resolver = p->resolver, .media = p->media, .directory = p->directory,
			.plan = p->plan, .registrar = p->registrar, .outgoing = p->outgoing, .qualify = p->qualify, .auth = &p->auth, .db = p->db, .outbox = p->outbox,
			.tasks = p->tasks, .timers = p->timers, .rng = &p->rng, .clock = &clock_system, .log = &p->log,
			.prompts = p->config.prompts, .spool = p->config.spool,
			.recordings = p->recordings_dir, .node = p->config.node, .max_calls = p->config.max_calls,
			.media_timeout_s = p->config.media_timeout_s, .media_hold_timeout_s = p->config.media_hold_timeout_s });
	if (!err)
		err = commands_new(&p->commands, &(struct commands_params){
			.db = p->db, .timers = p->timers, .rng = &p->rng, .log = &p->log, .node = p->config.node });
	if (!err)
		err = control_begin(p->calls, p->commands);
	if (!err)
		err = presence_new(&p->presence, &(struct presence_params){
			.ua = p->ua, .directory = p->directory, .db = p->db, .outbox = p->outbox, .auth = &p->auth, .calls = p->calls,
			.commands = p->commands, .registrar = p->registrar, .outgoing = p->outgoing, .plan = p->plan, .timers = p->timers, .clock = &clock_system, .rng = &p->rng,
			.log = &p->log, .node = p->config.node });
	return err;
}

static void on_housekeeping(void *arg)
{
	struct pbx *p = arg;

	/* What it can't do now, it does next time. */
	db_query(p->db, "SELECT pbx.housekeeping()", 0, NULL, NULL, NULL);
	calls_housekeeping(p->calls);
	timer_start(p->timers, &p->housekeeping, HOUSEKEEPING_MS);
}

/* That we live; also what others, who don't any more, have left. */
static void on_seen(void *arg)
{
	struct pbx *p = arg;

	db_query(p->db, "SELECT pbx.node_seen($1)", 1, (struct db_param[]){ DB_TEXT(p->config.node) }, NULL, NULL);
	db_query(p->db, "SELECT pbx.command_forsake()", 0, NULL, NULL, NULL);
	timer_start(p->timers, &p->seen, SEEN_MS);
}

static void print_addresses(const struct config_listen *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		unsigned protos = l->at[i].protos;

		printf(" %s %sport %u", l->at[i].addr, protos & SIP_PROTO_BIT(SIP_TLS) ? "TLS " : protos & SIP_PROTO_BIT(SIP_WS) ? "WS " :
		       protos & SIP_PROTO_BIT(SIP_WSS) ? "WSS " : "", l->at[i].port);
	}
}

static void on_ready_poll(uv_timer_t *timer)
{
	struct pbx *p = timer->data;

	if (!plan_is_loaded(p->plan) || !registrar_is_loaded(p->registrar) || !listeners_is_loaded(p->listeners))
		return;
	uv_timer_stop(timer);
	printf("ready: SIP on");
	print_addresses(&p->config.listen);
	print_addresses(&p->config.tls_listen);
	print_addresses(&p->config.ws_listen);
	print_addresses(&p->config.wss_listen);
	print_addresses(&p->config.listeners);
	printf("\n");
	fflush(stdout);
	commands_start(p->commands);
}

static void on_change(const char *table, const char *key, void *arg)
{
	struct pbx *p = arg;

	(void)key;
	if (strcmp(table, "*") != 0 || p->calls || p->is_stopping)
		return;
	if (make_rest(p) != 0) {
		log_error(&p->log, "start failed");
		stop(p);
		return;
	}
	timer_start(p->timers, &p->housekeeping, HOUSEKEEPING_FIRST_MS);
	on_seen(p);
	uv_timer_start(&p->ready, on_ready_poll, 0, READY_POLL_MS);
}

static int drop_root(const struct config *c)
{
	const struct passwd *pw;

	if (getuid() != 0 || !c->user[0])
		return 0;
	pw = getpwnam(c->user);
	if (!pw) {
		fprintf(stderr, "there is no user %s\n", c->user);
		return -EINVAL;
	}
	if (initgroups(pw->pw_name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0) {
		int err = -errno;

		fprintf(stderr, "can't become %s: %s\n", c->user, strerror(-err));
		return err;
	}
	return 0;
}

/* Two sockets a stream: the usual 1024 descriptors would be 250 calls. */
static void raise_descriptor_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

/* Lines are written once a turn of the loop, before it sleeps; warnings and errors at once (log.c). */
static void on_log_flush(uv_prepare_t *prepare)
{
	fflush(((struct pbx *)prepare->data)->log.to);
}

static void make_log_buffer(struct pbx *p)
{
	setvbuf(p->log.to, NULL, _IOFBF, LOG_BUFFER);
	uv_prepare_init(&p->loop, &p->log_flush);
	p->log_flush.data = p;
	uv_prepare_start(&p->log_flush, on_log_flush); /* the last one started runs first: before pace takes its rest */
	uv_unref((uv_handle_t *)&p->log_flush);
}

static uint64_t messages_received(void *arg)
{
	struct pbx *p = arg;

	return transport_counters(sip_ua_transport(p->ua))->received;
}

/* While we are still root: also the certificate's key is read here. Renewed, it must be readable for the user we go on as. */
static int listen_on(struct pbx *p, const struct config_listen *l, const char *origins)
{
	const struct transport_tls tls = config_tls(p);
	int err = 0;

	for (unsigned i = 0; i < l->n && !err; i++) {
		const struct config_listener *at = &l->at[i];

		err = transport_listen_on(sip_ua_transport(p->ua), &(struct transport_listen){
			.addr = at->addr, .port = at->port, .protos = at->protos, .tls = &tls, .origins = at->origins ? at->origins : origins,
			.external = at->external, .external_port = at->external_port, .local_networks = at->local_networks });
		if (err)
			fprintf(stderr, "can't listen on %s port %u: %s\n", at->addr, at->port, uv_strerror(err));
	}
	return err;
}

static int listen_all(struct pbx *p)
{
	const struct config *c = &p->config;
	int err = listen_on(p, &c->listen, NULL);

	transport_limit(sip_ua_transport(p->ua), &(struct transport_limits){
		.conns = c->connections, .per_address = c->connections_per_address, .idle_s = c->connection_idle_s });
	guard_limit(transport_guard(sip_ua_transport(p->ua)), &(struct guard_limits){
		.rate = c->source_rate, .failures = c->ban_failures, .ban_first_s = c->ban_first_s, .ban_longest_s = c->ban_longest_s });
	if (!err)
		err = listen_on(p, &c->tls_listen, NULL);
	if (!err)
		err = listen_on(p, &c->ws_listen, c->ws_origins);
	if (!err)
		err = listen_on(p, &c->wss_listen, c->wss_origins);
	return err ? err : listen_on(p, &c->listeners, NULL);
}

static int make_sip(struct pbx *p)
{
	static const enum sip_method served[] = { SIP_INVITE, SIP_REGISTER, SIP_SUBSCRIBE, SIP_PUBLISH, SIP_MESSAGE, SIP_REFER };
	struct sip_ua_params params = {
		.stack = { .loop = &p->loop, .timers = p->timers, .rng = &p->rng, .clock = &clock_system, .log = &p->log,
			   .server = "Cordboard/" CORDBOARD_VERSION },
	};
	int err = resolver_new(&p->resolver, &(struct resolver_params){
		.loop = &p->loop, .log = &p->log, .rng = &p->rng, .servers = p->config.dns_servers, .timeout_ms = p->config.dns_timeout_ms,
		.avoid_s = p->config.avoid_s });

	if (err == -EINVAL)
		fprintf(stderr, "dns.servers: \"%s\" are no addresses\n", p->config.dns_servers);
	params.resolver = p->resolver;
	params.next_target_ms = p->config.next_target_ms;
	if (!err)
		err = sip_ua_new(&p->ua, &params);
	if (!err)
		err = listen_all(p);
	if (!err) {
		/* All that is served later: who is told 405 now may never ask again. */
		for (size_t i = 0; i < ARRAY_LEN(served); i++)
			sip_ua_handle(p->ua, served[i], reply_not_ready, p);
		sip_ua_allow_in_dialog(p->ua, SIP_INFO);
		sip_ua_allow_in_dialog(p->ua, SIP_MESSAGE);
	}
	return err;
}

static int make_database(struct pbx *p)
{
	int err = db_new(&p->db, &(struct db_params){ .loop = &p->loop, .log = &p->log, .conninfo = p->config.database });

	snprintf(p->outbox_dir, sizeof(p->outbox_dir), "%s/outbox", p->config.spool);
	if (p->config.recordings[0])
		snprintf(p->recordings_dir, sizeof(p->recordings_dir), "%s", p->config.recordings);
	else
		snprintf(p->recordings_dir, sizeof(p->recordings_dir), "%s/recordings", p->config.spool);
	mkdir(p->config.spool, 0700);
	if (!err)
		err = directory_new(&p->directory, &p->loop, p->db, &p->log);
	if (!err)
		err = plan_new(&p->plan, &p->loop, p->db, p->directory, &p->log);
	if (!err)
		err = outbox_new(&p->outbox, &(struct outbox_params){ .loop = &p->loop, .log = &p->log, .db = p->db, .rng = &p->rng,
								       .dir = p->outbox_dir });
	p->watcher = (struct directory_watcher){ .on_change = on_change, .arg = p };
	if (!err)
		directory_watch(p->directory, &p->watcher);
	return err;
}

static int start(struct pbx *p)
{
	int err = 0;

	p->log = (struct log){ .to = stderr, .level = p->config.log_level };
	rng_init(&p->rng);
	raise_descriptor_limit();
	uv_loop_init(&p->loop);
	p->timers = timers_new(uv_now(&p->loop));
	if (!p->timers)
		return -ENOMEM;
	err = timers_drive(&p->driver, p->timers, &p->loop);
	if (!err)
		err = tasks_new(&p->tasks, &p->loop, TASK_STACK);
	if (!err)
		err = make_sip(p);
	if (!err)
		err = pace_new(&p->pace, &p->loop, messages_received, p);
	make_log_buffer(p);
	if (!err)
		err = drop_root(&p->config);
	if (!err)
		err = media_new(&p->media, &(struct media_params){
			.loop = &p->loop, .log = &p->log, .nworkers = p->config.media_workers, .port_min = p->config.port_min,
			.port_max = p->config.port_max });
	if (!err)
		err = make_database(p);
	if (err)
		return err;
	uv_timer_init(&p->loop, &p->trim);
	p->trim.data = p;
	uv_timer_start(&p->trim, on_trim, TRIM_CHECK_MS, TRIM_CHECK_MS);
	timer_init(&p->housekeeping, on_housekeeping, p);
	timer_init(&p->seen, on_seen, p);
	uv_timer_init(&p->loop, &p->ready);
	p->ready.data = p;
	uv_signal_init(&p->loop, &p->sigint);
	uv_signal_init(&p->loop, &p->sigterm);
	p->sigint.data = p;
	p->sigterm.data = p;
	uv_signal_start(&p->sigint, on_signal, SIGINT);
	uv_signal_start(&p->sigterm, on_signal, SIGTERM);
	uv_signal_init(&p->loop, &p->sigusr1);
	p->sigusr1.data = p;
	uv_signal_start(&p->sigusr1, on_counters, SIGUSR1);
	return 0;
}

/* ---- --check-ports ---- */

static int check_listen(const struct config_listen *l)
{
	int nbusy = 0;

	for (unsigned i = 0; i < l->n; i++) {
		const struct config_listener *at = &l->at[i];
		int err = transport_probe(at->addr, at->port, at->protos);

		if (err)
			fprintf(stderr, "can't listen on %s port %u: %s\n", at->addr, at->port, uv_strerror(err));
		nbusy += err != 0;
	}
	return nbusy;
}

static int check_ports(const struct config *c)
{
	int nbusy = check_listen(&c->listen) + check_listen(&c->tls_listen) + check_listen(&c->ws_listen) + check_listen(&c->wss_listen) +
		    check_listen(&c->listeners);

	return nbusy ? 1 : 0;
}

static int usage(const char *name, int code)
{
	fprintf(code ? stderr : stdout,
		"usage: %s --config FILE    run with this configuration\n"
		"       %s --config FILE --check-ports    are its ports free? Tells which aren't, and runs nothing\n"
		"       %s --print-apps     the applications, for pbx.app_register()\n"
		"       %s --version\n", name, name, name, name);
	return code;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "print-apps", no_argument, NULL, 'a' },
		{ "check-ports", no_argument, NULL, 'p' },
		{ "version", no_argument, NULL, 'v' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static struct pbx pbx; /* zeroed; main's alone */
	const char *path = NULL;
	bool is_check = false;
	int c, err;

	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (c == 'a')
			return print_apps();
		if (c == 'v')
			return printf("Cordboard " CORDBOARD_VERSION "\n") < 0;
		if (c != 'c' && c != 'p')
			return usage(argv[0], c == 'h' ? 0 : 2);
		if (c == 'c')
			path = optarg;
		else
			is_check = true;
	}
	if (!path || optind != argc)
		return usage(argv[0], 2);
	if (config_load(&pbx.config, path) != 0)
		return 2;
	if (is_check)
		return check_ports(&pbx.config);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file as large as is allowed is an error of that file's writer */
	mallopt(M_TRIM_THRESHOLD, HEAP_SLACK);
	err = start(&pbx);
	if (err) {
		fprintf(stderr, "start failed: %s\n", uv_strerror(err));
		return 1;
	}
	uv_run(&pbx.loop, UV_RUN_DEFAULT);
	uv_loop_close(&pbx.loop);
	timers_free(pbx.timers);
	config_fini(&pbx.config);
	return 0;
}
