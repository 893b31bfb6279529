/* dns.c - c-ares on the loop, and what it said.
 *
 * c-ares names the sockets it waits for; each gets a uv_poll, and one timer serves its time-outs. Every question is an entry
 * of the cache from the moment it is asked: those who ask the same meanwhile wait at the entry.
 */
#define LOG_MODULE "dns"
#include "sip/dns.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <utlist.h>

#include "base/table.h"

#define TIMEOUT_MS 2000
#define TRIES 2
#define CONF_LOOK_MS 5000
#define TICK_MS 1000 /* c-ares is given time at least so often while it waits */

struct dns_entry {
	UT_hash_handle hh;
	struct dns_entry *prev, *next; /* by last use, the longest unused first */
	struct dns *dns;
	struct dns_answer *answer;     /* NULL: the first is under way */
	uint64_t answered_ms, until_ms, known_ms; /* known: when a server said it */
	struct dns_waiter *waiters;
	enum dns_type type;
	bool is_asking, is_telling;
	unsigned key_len;
	char key[];                    /* type, name */
};

struct watch {
	struct watch *next;
	struct dns *dns;
	ares_socket_t fd;
	uv_poll_t poll;
};

struct dns {
	uv_loop_t *loop;
	const struct log *log;
	char *hosts;
	ares_channel channel;
	bool has_channel, is_closing;
	char *resolv_conf;             /* NULL: the name servers are given */
	struct timespec conf_changed;  /* of that file, when it was read */
	uint64_t conf_seen_ms;         /* when it was last looked at */
	uint32_t timeout_ms;
	uv_timer_t timer;
	struct watch *watches;
	unsigned handles;              /* open ones: freed at 0 */
	struct dns_entry *entries, *used;
	unsigned nasking;
	unsigned ntelling;             /* calls of waiters, which c-ares may be below */
};

static const struct dns_answer busy = { .status = -EBUSY };

/* ---- c-ares on libuv ---- */

static void handle_closed(struct dns *d)
{
	if (--d->handles)
		return;
	free(d->hosts);
	free(d->resolv_conf);
	free(d);
}

static void on_watch_closed(uv_handle_t *handle)
{
	struct watch *w = handle->data;
	struct dns *d = w->dns;

	free(w);
	handle_closed(d);
}

static void on_timer(uv_timer_t *timer);

static void keep_time(struct dns *d)
{
	struct timeval most = { .tv_sec = TICK_MS / 1000 }, tv, *next;

	if (!d->nasking || d->is_closing) {
		uv_timer_stop(&d->timer);
		return;
	}
	next = ares_timeout(d->channel, &most, &tv);
	uv_timer_start(&d->timer, on_timer, (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct dns *d = timer->data;

	ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	keep_time(d);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;
	struct dns *d = w->dns;
	ares_socket_t fd = w->fd;

	/* An error is read off the socket. w may be gone when it returns. */
	if (status < 0)
		events = UV_READABLE | UV_WRITABLE;
	ares_process_fd(d->channel, events & UV_READABLE ? fd : ARES_SOCKET_BAD, events & UV_WRITABLE ? fd : ARES_SOCKET_BAD);
	keep_time(d);
}

static struct watch *watch_new(struct dns *d, ares_socket_t fd)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	if (uv_poll_init_socket(d->loop, &w->poll, fd)) {
		free(w);
		return NULL;
	}
	w->dns = d;
	w->fd = fd;
	w->poll.data = w;
	d->handles++;
	LL_PREPEND(d->watches, w);
	return w;
}

/* Without memory for a watch the question ends by its time-out. */
static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns *d = arg;
	struct watch *w;

	LL_SEARCH_SCALAR(d->watches, w, fd, fd);
	if (!readable && !writable) {
		if (w) {
			LL_DELETE(d->watches, w);
			uv_poll_stop(&w->poll); /* c-ares closes the socket next */
			uv_close((uv_handle_t *)&w->poll, on_watch_closed);
		}
		return;
	}
	if (!w)
		w = watch_new(d, fd);
	if (w)
		uv_poll_start(&w->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_poll);
}

/* ---- whom to ask ---- */

static int make_channel(struct dns *d, const char *servers, ares_channel *out)
{
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = (int)d->timeout_ms,
		.tries = TRIES,
		.lookups = (char *)"b", /* /etc/hosts is ours */
		.sock_state_cb = on_socket,
		.sock_state_cb_data = d,
		.resolvconf_path = d->resolv_conf,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
		   (d->resolv_conf ? ARES_OPT_RESOLVCONF : 0);
	int status = ares_init_options(out, &o, mask);

	if (status != ARES_SUCCESS)
		return status == ARES_ENOMEM ? -ENOMEM : -EIO;
	if (servers && ares_set_servers_ports_csv(*out, servers) != ARES_SUCCESS) {
		ares_destroy(*out);
		return -EINVAL;
	}
	return 0;
}

static struct timespec conf_time(const struct dns *d)
{
	struct stat st;

	return stat(d->resolv_conf, &st) == 0 ? st.st_mtim : (struct timespec){ 0 };
}

/* A laptop's or a cloud's name servers change. Looked at when something is to be asked and nothing is under way; nor while an answer
 * is told, for the channel that brought it still runs below us. */
static void follow_system(struct dns *d)
{
	uint64_t now = uv_now(d->loop);
	struct timespec changed;
	ares_channel channel;

	if (!d->resolv_conf || d->nasking || d->ntelling || now - d->conf_seen_ms < CONF_LOOK_MS)
		return;
	d->conf_seen_ms = now;
	changed = conf_time(d);
	if (changed.tv_sec == d->conf_changed.tv_sec && changed.tv_nsec == d->conf_changed.tv_nsec)
		return;
	if (make_channel(d, NULL, &channel))
		return; /* later, perhaps */
	ares_destroy(d->channel);
	d->channel = channel;
	d->conf_changed = changed;
	log_info(d->log, "%s read again", d->resolv_conf);
}

/* ---- entries ---- */

static void entry_free(struct dns_entry *e)
{
	HASH_DEL(e->dns->entries, e);
	DL_DELETE(e->dns->used, e);
	free(e->answer);
	free(e);
}

/* Room for one more: the longest unused goes. Those under way stay, which are few. */
static void make_room(struct dns *d)
{
	struct dns_entry *e, *next;

	DL_FOREACH_SAFE(d->used, e, next) {
		if (HASH_COUNT(d->entries) < DNS_CACHE_MAX)
			return;
		if (!e->is_asking && !e->is_telling)
			entry_free(e);
	}
}

/* Length, or -EINVAL: no name. Names are absolute: no domain is searched, a dot at the end is none. */
static int make_key(char key[DNS_NAME_MAX + 1], enum dns_type type, struct str name)
{
	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	if (!name.n || name.n >= DNS_NAME_MAX || str_find_chr(name, '\0') >= 0)
		return -EINVAL;
	key[0] = (char)('0' + type);
	for (size_t i = 0; i < name.n; i++)
		key[1 + i] = (char)tolower((unsigned char)name.p[i]);
	key[1 + name.n] = '\0';
	return (int)name.n + 1;
}

static struct dns_entry *entry_find(struct dns *d, const char *key, int len)
{
	struct dns_entry *e = NULL;

	HASH_FIND(hh, d->entries, key, (unsigned)len, e);
	return e;
}

static struct dns_entry *entry_new(struct dns *d, enum dns_type type, const char *key, int len)
{
	struct dns_entry *e;

	make_room(d);
	e = calloc(1, sizeof(*e) + (size_t)len + 1);
	if (!e)
		return NULL;
	e->dns = d;
	e->type = type;
	e->key_len = (unsigned)len;
	memcpy(e->key, key, (size_t)len);
	HASH_ADD_KEYPTR(hh, d->entries, e->key, e->key_len, e);
	if (!e->hh.tbl) {
		free(e);
		return NULL;
	}
	DL_APPEND(d->used, e);
	return e;
}

static const char *name_of(const struct dns_entry *e)
{
	return e->key + 1;
}

static void tell(struct dns_entry *e)
{
	e->is_telling = true;
	e->dns->ntelling++;
	while (e->waiters) {
		struct dns_waiter *w = e->waiters;

		DL_DELETE(e->waiters, w);
		w->entry = NULL;
		w->fn(w); /* may wait again, elsewhere: this entry has its answer */
	}
	e->dns->ntelling--;
	e->is_telling = false;
}

/* Takes the answer over. NULL: without memory. */
static void entry_take(struct dns_entry *e, struct dns_answer *a)
{
	struct dns *d = e->dns;
	uint64_t now = uv_now(d->loop);
	bool is_unknown = !a || (a->status && a->status != -ENOENT);

	if (e->is_asking) {
		e->is_asking = false;
		d->nasking--;
	}
	e->answered_ms = now;
	if (is_unknown && e->answer && (!e->answer->status || e->answer->status == -ENOENT) &&
	    now - e->known_ms < DNS_STALE_MAX_S * 1000ull) {
		log_debug(d->log, "name=%s no name server answers: what was known goes on to count", name_of(e));
		free(a);
		e->until_ms = now + DNS_NEGATIVE_S * 1000ull;
	} else {
		free(e->answer);
		e->answer = a;
		e->until_ms = a ? now + a->ttl_s * 1000ull : now;
		e->known_ms = is_unknown ? e->known_ms : now;
		if (is_unknown)
			log_warn(d->log, "name=%s can't be looked up: %s", name_of(e), strerror(a ? -a->status : ENOMEM));
	}
	if (!d->is_closing)
		tell(e);
}

/* ---- questions ---- */

static int status_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
		return -ENOENT;
	case ARES_ETIMEOUT:
		return -ETIMEDOUT;
	case ARES_ENOMEM:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

static void on_records(void *arg, int status, int timeouts, unsigned char *msg, int len)
{
	struct dns_entry *e = arg;
	int err = status_of(status);

	(void)timeouts;
	/* What there isn't comes with a message, too, that says for how long. */
	if ((!err || err == -ENOENT) && msg)
		entry_take(e, dns_answer_parse(e->type, msg, len));
	else
		entry_take(e, dns_answer_empty(err ? err : -EPROTO, err == -ENOENT ? DNS_NEGATIVE_S : DNS_FAILED_S));
}

static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *res)
{
	struct dns_entry *e = arg;
	union sockaddr_any addrs[DNS_RECORDS_MAX];
	uint32_t ttl_s = DNS_TTL_MAX_S;
	unsigned n = 0;
	int err = status_of(status);

	(void)timeouts;
	for (const struct ares_addrinfo_node *ai = res ? res->nodes : NULL; ai && n < DNS_RECORDS_MAX; ai = ai->ai_next) {
		if (ai->ai_addrlen > sizeof(addrs[n]))
			continue;
		addrs[n] = (union sockaddr_any){ 0 };
		memcpy(&addrs[n++], ai->ai_addr, ai->ai_addrlen);
		if (ai->ai_ttl >= 0 && (uint32_t)ai->ai_ttl < ttl_s)
			ttl_s = (uint32_t)ai->ai_ttl;
	}
	if (res)
		ares_freeaddrinfo(res);
	if (!err && n)
		entry_take(e, dns_answer_addresses(addrs, n, ttl_s > DNS_TTL_MIN_S ? ttl_s : DNS_TTL_MIN_S));
	else if (!err || err == -ENOENT)
		entry_take(e, dns_answer_empty(-ENOENT, DNS_NEGATIVE_S));
	else
		entry_take(e, dns_answer_empty(err, DNS_FAILED_S));
}

/* One line of /etc/hosts: an address and its names. */
static void take_hosts_line(struct str line, const char *name, union sockaddr_any *addrs, unsigned *n)
{
	struct str rest = line, word, addr = STR_NULL;

	rest = str_cut(&line, '#');
	while (rest.n) {
		size_t i = 0;

		rest = str_trim(rest);
		while (i < rest.n && rest.p[i] != ' ' && rest.p[i] != '\t')
			i++;
		word = (struct str){ rest.p, i };
		rest = str_from_at(rest, i);
		if (!addr.p)
			addr = word;
		else if (str_ieqz(word, name) && *n < DNS_RECORDS_MAX && sockaddr_parse(&addrs[*n], addr, 0) == 0)
			(*n)++;
	}
}

/* A small file of this machine, read at most every DNS_HOSTS_S a name. */
static void ask_hosts(struct dns_entry *e)
{
	union sockaddr_any addrs[DNS_RECORDS_MAX];
	char line[1024];
	unsigned n = 0;
	FILE *f = fopen(e->dns->hosts, "re");

	while (f && fgets(line, sizeof(line), f))
		take_hosts_line(str_from(line), name_of(e), addrs, &n);
	if (f)
		fclose(f);
	entry_take(e, n ? dns_answer_addresses(addrs, n, DNS_HOSTS_S) : dns_answer_empty(-ENOENT, DNS_HOSTS_S));
}

static void ask(struct dns_entry *e)
{
	/* AI_ADDRCONFIG isn't asked for: what can be reached, the resolver knows from the listeners. */
	const struct ares_addrinfo_hints any = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM };
	struct dns *d = e->dns;

	follow_system(d);
	e->is_asking = true;
	d->nasking++;
	if (e->type == DNS_HOSTS)
		ask_hosts(e);
	else if (e->type == DNS_ADDR)
		ares_getaddrinfo(d->channel, name_of(e), NULL, &any, on_addresses, e);
	else
		ares_query(d->channel, name_of(e), ns_c_in, e->type == DNS_SRV ? ns_t_srv : ns_t_naptr, on_records, e);
	keep_time(d);
}

static bool is_fresh(const struct dns_entry *e, uint64_t since_ms)
{
	return e->answer && !e->is_asking && (uv_now(e->dns->loop) < e->until_ms || e->answered_ms >= since_ms);
}

const struct dns_answer *dns_peek(struct dns *d, enum dns_type type, struct str name)
{
	char key[DNS_NAME_MAX + 1];
	int len = make_key(key, type, name);
	struct dns_entry *e = len > 0 ? entry_find(d, key, len) : NULL;

	return e && is_fresh(e, UINT64_MAX) ? e->answer : NULL;
}

const struct dns_answer *dns_find(struct dns *d, enum dns_type type, struct str name, uint64_t since_ms, struct dns_waiter *w)
{
	static const struct dns_answer none = { .status = -ENOENT };
	char key[DNS_NAME_MAX + 1];
	int len = make_key(key, type, name);
	struct dns_entry *e = len > 0 ? entry_find(d, key, len) : NULL;

	if (len < 0)
		return &none;
	if (!e && d->nasking < DNS_ASKING_MAX)
		e = entry_new(d, type, key, len);
	if (!e)
		return &busy;
	DL_DELETE(d->used, e);
	DL_APPEND(d->used, e);
	if (!is_fresh(e, since_ms) && !e->is_asking) {
		if (d->nasking >= DNS_ASKING_MAX)
			return &busy;
		ask(e);
	}
	/* /etc/hosts, and what c-ares refuses, are answered at once. */
	if (!e->is_asking)
		return e->answer ? e->answer : &busy;
	if (w) {
		w->entry = e;
		DL_APPEND(e->waiters, w);
	}
	return NULL;
}

void dns_stop_waiting(struct dns_waiter *w)
{
	if (!w->entry)
		return;
	DL_DELETE(w->entry->waiters, w);
	w->entry = NULL;
}

/* ---- life ---- */

int dns_new(struct dns **out, const struct dns_params *p)
{
	const bool has_servers = p->servers && p->servers[0];
	struct dns *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->loop = p->loop;
	d->log = p->log;
	d->timeout_ms = p->timeout_ms ? p->timeout_ms : TIMEOUT_MS;
	d->hosts = strdup(p->hosts ? p->hosts : "/etc/hosts");
	if (!has_servers)
		d->resolv_conf = strdup(p->resolv_conf ? p->resolv_conf : "/etc/resolv.conf");
	err = d->hosts && (d->resolv_conf || has_servers) ? ares_library_init(ARES_LIB_INIT_ALL) : ARES_ENOMEM;
	if (err) {
		free(d->hosts);
		free(d->resolv_conf);
		free(d);
		return -ENOMEM;
	}
	if (d->resolv_conf)
		d->conf_changed = conf_time(d);
	d->conf_seen_ms = uv_now(d->loop);
	uv_timer_init(d->loop, &d->timer);
	d->timer.data = d;
	d->handles = 1;
	err = make_channel(d, has_servers ? p->servers : NULL, &d->channel);
	d->has_channel = !err;
	if (err) {
		dns_close(d);
		return err;
	}
	*out = d;
	return 0;
}

/* Not before: dns_close() may be called by one who is told an answer, and then c-ares is below us. */
static void on_timer_closed(uv_handle_t *handle)
{
	struct dns *d = handle->data;
	struct dns_entry *e, *next;

	if (d->has_channel)
		ares_destroy(d->channel); /* ends every question, and its sockets */
	DL_FOREACH_SAFE(d->used, e, next)
		entry_free(e);
	ares_library_cleanup();
	handle_closed(d);
}

void dns_close(struct dns *d)
{
	struct dns_entry *e;

	if (!d || d->is_closing)
		return;
	d->is_closing = true;
	DL_FOREACH(d->used, e) {
		while (e->waiters)
			dns_stop_waiting(e->waiters);
	}
	uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}
