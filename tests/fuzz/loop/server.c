/* server.c - makes the server, moves its time, and plays the network: addresses, connections and names. */
#include "loop/server_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sip/stack.h"

#define START_MS 1000000
#define TASK_STACK (64 * 1024)

struct server *the_server;
void (*server_on_cross)(bool is_inside);
bool server_keeps_stacks;

/* ---- what happens when the loop turns ---- */

struct later {
	struct later *next;
	uint64_t id;
	void (*fn)(uint64_t id, void *arg, bool is_forgotten);
	void *arg;
	bool is_forgotten;
};

uint64_t server_later(struct server *s, void (*fn)(uint64_t id, void *arg, bool is_forgotten), void *arg)
{
	struct later *l;

	server_leave();
	l = malloc(sizeof(*l));
	server_enter();
	*l = (struct later){ .id = ++s->nlater, .fn = fn, .arg = arg };
	*s->later_end = l;
	s->later_end = &l->next;
	return l->id;
}

void server_forget(struct server *s, uint64_t id)
{
	for (struct later *l = s->later; l; l = l->next)
		if (l->id == id)
			l->is_forgotten = true;
}

static void turn(struct server *s)
{
	for (unsigned i = 0; i < 1000; i++) {
		struct later *l = s->later;

		tasks_run(s->tasks);
		uv_run(s->loop, UV_RUN_NOWAIT);
		if (!l) {
			if (!s->later)
				return;
			continue;
		}
		s->later = l->next;
		if (!s->later)
			s->later_end = &s->later;
		l->fn(l->id, l->arg, l->is_forgotten);
		free(l);
	}
	assert(!"the loop goes on turning");
}

/* ---- transport ---- */

int transport_new(struct transport **out, uv_loop_t *loop, const struct log *log, const struct transport_handler *h, void *arg)
{
	(void)loop;
	(void)log;
	the_server->transport.h = *h;
	the_server->transport.arg = arg;
	*out = &the_server->transport;
	return 0;
}

void transport_close(struct transport *t)
{
	t->is_closing = true;
}

void transport_watch(struct transport *t, void (*fn)(const struct transport_seen *seen, void *arg), void *arg)
{
	assert(t == &the_server->transport);
	t->on_seen = fn;
	t->on_seen_arg = arg;
}

static void show(struct transport *t, bool is_sent, enum sip_proto proto, const union sockaddr_any *peer, struct str bytes)
{
	static const union sockaddr_any local = { .v4 = { .sin_family = AF_INET } };

	if (t->on_seen)
		t->on_seen(&(struct transport_seen){ is_sent, proto, peer, &local, bytes }, t->on_seen_arg);
}

int transport_send(struct transport *t, const struct sip_dest *dest, struct str bytes, uint64_t *flow)
{
	assert(!t->is_closing && bytes.n && bytes.n <= SIP_MSG_MAX);
	if (the_server->send_error)
		return the_server->send_error;
	if (dest->flow == 999)
		return -ENOTCONN;
	if (flow)
		*flow = dest->flow ? dest->flow : 1;
	show(t, true, dest->proto, &dest->addr, bytes);
	server_leave();
	the_server->on_sent(dest, bytes, the_server->on_sent_arg);
	server_enter();
	return 0;
}

int transport_local(struct transport *t, const struct sip_dest *dest, union sockaddr_any *local)
{
	(void)t;
	return sockaddr_parse(local, dest->addr.sa.sa_family == AF_INET6 ? STR("2001:db8::5") : STR("192.0.2.250"), 5060);
}

void transport_behind(const struct transport *t, union sockaddr_any *local)
{
	(void)t;
	(void)local;
}

unsigned transport_loss(const struct transport *t)
{
	(void)t;
	return 40;
}

int transport_name(struct transport *t, struct str host, uint32_t *name)
{
	(void)t;
	*name = 1 + (uint32_t)(host.n & 7);
	return 0;
}

void transport_flow_expect(struct transport *t, uint64_t flow, uint32_t every_s)
{
	assert(t == &the_server->transport && flow && every_s < 1000000);
}

struct listener *transport_listener(const struct transport *t, int family, enum sip_proto proto)
{
	static struct listener any;

	(void)t;
	(void)family;
	return proto == SIP_WSS ? NULL : &any;
}

void server_receive(struct server *s, char *bytes, size_t n, const struct sip_source *src)
{
	struct sip_msg_error err;
	int bad;

	server_enter();
	show(&s->transport, false, src->proto, &src->peer, (struct str){ bytes, n });
	bad = sip_msg_parse(&s->transport.msg, bytes, n, &err);
	if (!bad || err.status)
		s->transport.h.on_message(&s->transport.msg, &err, src, s->transport.arg);
	turn(s);
	server_leave();
}

void server_flow_closed(struct server *s, uint64_t flow)
{
	server_enter();
	s->transport.h.on_flow_closed(flow, s->transport.arg);
	turn(s);
	server_leave();
}

void server_set_send_error(struct server *s, int err)
{
	s->send_error = err;
}

void server_set_away(struct server *s, bool is_away)
{
	s->is_away = is_away;
}

/* ---- names: everything ends in 192.0.2.3, but "no.*" is nothing and "late.*" takes a while ---- */

struct dns { struct dns_answer *addr, *srv, *none; };
struct dns_entry { struct timer timer; struct dns_waiter *waiter; struct dns_entry *next; };

int dns_new(struct dns **out, const struct dns_params *p)
{
	struct dns *d = calloc(1, sizeof(*d));
	union sockaddr_any addrs[2];

	(void)p;
	sockaddr_parse(&addrs[0], STR("192.0.2.3"), 0);
	sockaddr_parse(&addrs[1], STR("192.0.2.2"), 0);
	d->addr = dns_answer_addresses(addrs, 2, 60);
	d->srv = dns_answer_empty(-ENOENT, 60);
	d->none = dns_answer_empty(-ENOENT, 60);
	*out = d;
	return 0;
}

void dns_close(struct dns *d)
{
	free(d->addr);
	free(d->srv);
	free(d->none);
	free(d);
}

const struct dns_answer *dns_peek(struct dns *d, enum dns_type type, struct str name)
{
	if (str_istarts(name, STR("late.")) && the_server->now_ms / 8000 % 2)
		return NULL;
	return type == DNS_ADDR && !str_istarts(name, STR("no.")) ? d->addr : d->none;
}

static void on_dns(void *arg)
{
	struct dns_entry *e = arg;
	struct dns_waiter *w = e->waiter;

	w->entry = NULL;
	free(e);
	w->fn(w);
}

const struct dns_answer *dns_find(struct dns *d, enum dns_type type, struct str name, uint64_t since_ms, struct dns_waiter *w)
{
	const struct dns_answer *a = dns_peek(d, type, name);

	(void)since_ms;
	if (a || !w)
		return a;
	assert(!w->entry);
	server_leave();
	w->entry = calloc(1, sizeof(*w->entry));
	server_enter();
	w->entry->waiter = w;
	timer_init(&w->entry->timer, on_dns, w->entry);
	timer_start(the_server->timers, &w->entry->timer, 8000 - the_server->now_ms % 8000);
	return NULL;
}

void dns_stop_waiting(struct dns_waiter *w)
{
	if (!w->entry)
		return;
	timer_stop(the_server->timers, &w->entry->timer);
	free(w->entry);
	w->entry = NULL;
}

/* ---- life ---- */

static uint64_t mono(void *arg)
{
	return ((struct server *)arg)->now_ms;
}

static int64_t wall(void *arg)
{
	return 1700000000000 + (int64_t)((struct server *)arg)->now_ms;
}

static void make_sip(struct server *s)
{
	struct sip_ua_params p = {
		.stack = { .loop = s->loop, .timers = s->timers, .rng = &s->rng, .clock = &s->clock, .server = "Cordboard" },
	};
	int err = resolver_new(&s->resolver, &(struct resolver_params){ .loop = s->loop, .rng = &s->rng });

	p.resolver = s->resolver;
	err = err ? err : sip_ua_new(&s->ua, &p);
	assert(!err);
	sip_ua_allow_in_dialog(s->ua, SIP_INFO);
	sip_ua_allow_in_dialog(s->ua, SIP_MESSAGE);
}

/* As main.c does. */
static void make_rest(struct server *s)
{
	struct digest_server_params digest = { .clock = &s->clock, .rng = &s->rng };
	int err = digest_server_new(&s->digest, &digest);
	struct directory *dir = (struct directory *)s;
	struct outbox *outbox = (struct outbox *)s;
	struct plan *plan = (struct plan *)s;
	struct db *db = (struct db *)s;

	s->auth = (struct auth){ .directory = dir, .digest = s->digest };
	if (!err)
		err = registrar_new(&s->registrar, &(struct registrar_params){
			.ua = s->ua, .directory = dir, .db = db, .outbox = outbox, .digest = s->digest, .timers = s->timers,
			.clock = &s->clock, .rng = &s->rng, .node = "n1", .key = "the key of all nodes" });
	if (!err)
		err = calls_new(&s->calls, &(struct calls_params){
			.loop = s->loop, .ua = s->ua, .resolver = s->resolver, .media = (struct media *)s, .directory = dir, .plan = plan,
			.registrar = s->registrar, .auth = &s->auth, .db = db, .outbox = outbox, .tasks = s->tasks, .timers = s->timers,
			.rng = &s->rng, .clock = &s->clock, .prompts = "/nonexistent", .spool = "/nonexistent" });
	if (!err)
		err = presence_new(&s->presence, &(struct presence_params){
			.ua = s->ua, .directory = dir, .db = db, .outbox = outbox, .auth = &s->auth, .calls = s->calls,
			.registrar = s->registrar, .plan = plan, .timers = s->timers, .clock = &s->clock, .rng = &s->rng, .node = "n1" });
	assert(!err);
}

static struct tasks *make_tasks(void)
{
	static struct tasks *kept;
	struct tasks *tasks = kept;

	if (tasks)
		return tasks;
	tasks_new(&tasks, NULL, TASK_STACK);
	if (server_keeps_stacks)
		kept = tasks;
	return tasks;
}

void server_challenge(struct server *s, struct out *o, const struct sip_source *src)
{
	digest_challenge(s->digest, o, SIP_HDR_WWW_AUTHENTICATE, STR("cordboard"), DIGEST_MD5 | DIGEST_AUTH, false,
			 (struct str){ (const char *)&src->peer.v4.sin_addr, 4 });
}

struct server *server_new(unsigned kept, server_sent_fn *fn, void *arg)
{
	static uv_loop_t loop;
	static bool has_loop;
	static struct server server; /* large, and an allocator that watches is slow with it */
	struct server *s = &server;

	memset(s, 0, sizeof(*s));
	s->kept = kept;
	if (!has_loop) {
		uv_loop_init(&loop);
		parts_init();
		has_loop = true;
	}
	the_server = s;
	s->on_sent = fn;
	s->on_sent_arg = arg;
	s->now_ms = START_MS;
	s->clock = (struct clock){ mono, wall, s };
	s->loop = &loop;
	s->later_end = &s->later;
	rng_init_fixed(&s->rng, 4711);
	s->timers = timers_new(s->now_ms);
	s->tasks = make_tasks();
	make_sip(s);
	make_rest(s);
	server_pass(s, 2000);
	s->idle_timers = timers_count(s->timers) - registrar_count(s->registrar); /* bindings end */
	return s;
}

void server_pass(struct server *s, uint64_t ms)
{
	uint64_t until = s->now_ms + ms;

	server_enter();
	turn(s);
	while (s->now_ms < until) {
		int64_t next = timers_next(s->timers);
		uint64_t step = next < 0 ? until : next == 0 ? 1 : (uint64_t)next;

		s->now_ms = step < until - s->now_ms ? s->now_ms + step : until;
		timers_run(s->timers, s->now_ms);
		turn(s);
	}
	server_leave();
}

uint64_t server_now_ms(const struct server *s)
{
	return s->now_ms;
}

unsigned server_conversations(const struct server *s)
{
	return s->nconversations;
}

void server_assert_idle(struct server *s)
{
	const struct sip_stack_counters *n = sip_stack_counters(sip_ua_stack(s->ua));
	const struct calls_counters *calls = calls_counters(s->calls);

	assert(calls->live == 0 && calls->legs == 0);
	assert(tasks_count(s->tasks) == 0);
	assert(!s->streams && !s->nroutes);
	assert(registrar_count(s->registrar) == 0);
	assert(sip_ua_sessions(s->ua) == 0);
	assert(n->strans_live == 0 && n->ctrans_live == 0);
	assert(timers_count(s->timers) == s->idle_timers);
}

static void on_calls_closed(void *arg)
{
	(void)arg;
}

void server_free(struct server *s)
{
	calls_close(s->calls, on_calls_closed, NULL);
	presence_stop(s->presence);
	registrar_close(s->registrar);
	sip_ua_close(s->ua);
	presence_free(s->presence);
	calls_free(s->calls);
	digest_server_free(s->digest);
	resolver_close(s->resolver);
	while (s->later) {
		struct later *l = s->later;

		s->later = l->next;
		l->fn(l->id, l->arg, true);
		free(l);
	}
	uv_run(s->loop, UV_RUN_NOWAIT);
	if (!server_keeps_stacks)
		tasks_close(s->tasks);
	assert(timers_count(s->timers) == 0);
	timers_free(s->timers);
	the_server = NULL;
}
