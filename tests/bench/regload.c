/* regload.c - phones that register again and again, for the benchmark.
 *
 *   regload --server ADDR:PORT --local ADDR:PORT --domain D --first N --users N --count N --rate N [--secret s] [--wait S]
 *           [--domains N]
 *
 * The phones are extensions FIRST, FIRST + 1, ... (their passwords: SECRET and the number), behind one address, as behind a NAT. They take
 * turns: REGISTER, 401, REGISTER with credentials, 200; a phone that comes round again refreshes its binding. Whatever the server asks
 * of them (OPTIONS, NOTIFY) is answered with 200. The number of the phone is in the Call-ID and finds it without a search. With N domains the
 * first phone is one of D0, the next one of D1 and so on.
 *
 * Nothing is sent again. Goes on for S seconds (5) after the last REGISTER. Prints count, registered, lost, refused, asked (requests of the
 * server), dropped (by the kernel, on both sides), rate, p50_us, p99_us, max_us (REGISTER to 200), cpu_us (our own, a registration).
 * Exit: 0; 1 one was lost or refused; 2 trouble.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "load.h"

#define MS 1000000ull
#define BURST 32           /* sent at once to catch up; more would test the socket buffers */

enum phase { IDLE, ASKED, PROVED }; /* ASKED: without credentials */

struct phone {
	uint64_t started_ns;
	unsigned cseq;
	enum phase phase;
};

struct options {
	struct str server, local, domain, secret;
	unsigned first, users, count, rate, wait_s, domains;
};

struct load {
	struct options o;
	struct load_socket *socket;
	struct load_digest *digest;
	struct phone *phones;
	unsigned serial, made, registered, refused, asked;
	struct load_times times;
	char first_refusal[128];
};

static void send_register(struct load *l, unsigned index, const struct load_msg *challenge)
{
	struct out *o = load_out(l->socket), u, d, s;
	char user[16], domain[100], uri[128], secret[64];

	l->phones[index].cseq++;
	out_init(&u, user, sizeof(user));
	out_u64(&u, l->o.first + index);
	out_init(&d, domain, sizeof(domain));
	out_str(&d, l->o.domain);
	if (l->o.domains)
		out_u64(&d, index % l->o.domains);
	out_init(&s, uri, sizeof(uri));
	out_z(&s, "sip:");
	out_str(&s, out_view(&d));
	out_z(o, "REGISTER ");
	out_str(o, out_view(&s));
	out_z(o, " SIP/2.0\r\nVia: SIP/2.0/UDP ");
	out_str(o, l->o.local);
	out_z(o, ";rport;branch=z9hG4bK-");
	out_u64(o, l->serial);
	out_chr(o, '-');
	out_u64(o, index);
	out_chr(o, '-');
	out_u64(o, l->phones[index].cseq);
	out_z(o, "\r\nMax-Forwards: 70\r\nFrom: <sip:");
	out_str(o, out_view(&u));
	out_chr(o, '@');
	out_str(o, out_view(&d));
	out_z(o, ">;tag=r");
	out_u64(o, index);
	out_z(o, "\r\nTo: <sip:");
	out_str(o, out_view(&u));
	out_chr(o, '@');
	out_str(o, out_view(&d));
	out_z(o, ">\r\nCall-ID: ");
	out_u64(o, index);
	out_chr(o, '-');
	out_u64(o, l->serial);
	out_chr(o, '@');
	out_str(o, l->o.local);
	out_z(o, "\r\nCSeq: ");
	out_u64(o, l->phones[index].cseq);
	out_z(o, " REGISTER\r\nContact: <sip:");
	out_str(o, out_view(&u));
	out_chr(o, '@');
	out_str(o, l->o.local);
	out_z(o, ">\r\nExpires: 3600\r\nUser-Agent: Bench 1.0\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n");
	if (challenge) {
		struct out p;

		out_init(&p, secret, sizeof(secret));
		out_str(&p, l->o.secret);
		out_str(&p, out_view(&u));
		if (!load_authorize(l->digest, o, challenge, "REGISTER", out_view(&s), out_view(&u), out_view(&p)))
			load_die("a challenge without an algorithm we know");
	}
	out_z(o, "Content-Length: 0\r\n\r\n");
}

static void answer_request(struct load *l, const struct load_msg *m)
{
	struct out *o = load_out(l->socket);

	l->asked++;
	load_answer(o, m, "SIP/2.0 200 OK", STR("b"));
	out_z(o, "Content-Length: 0\r\n\r\n");
}

static void on_response(struct load *l, const struct load_msg *m, struct str datagram, uint64_t now)
{
	struct str number = m->call_id;
	struct phone *p;
	uint32_t index;

	number = str_cut(&number, '-');
	if (m->status < 200 || str_to_u32(number, l->o.users - 1, &index) != 0)
		return;
	p = &l->phones[index];
	if (m->status == 401 && p->phase == ASKED) {
		p->phase = PROVED;
		send_register(l, index, m);
	} else if (m->status == 200 && p->phase != IDLE) {
		p->phase = IDLE;
		l->registered++;
		load_time_add(&l->times, now - p->started_ns);
	} else if (p->phase != IDLE) {
		p->phase = IDLE;
		if (!l->refused++)
			str_copy((struct str){ datagram.p, datagram.n < 60 ? datagram.n : 60 }, l->first_refusal, sizeof(l->first_refusal));
	}
}

static void take_all(struct load *l, uint64_t now)
{
	struct str got[LOAD_BATCH];
	struct load_msg m;
	unsigned n;

	do {
		n = load_take(l->socket, got);
		for (unsigned i = 0; i < n; i++) {
			if (!load_parse(&m, got[i]))
				continue;
			if (m.status)
				on_response(l, &m, got[i], now);
			else
				answer_request(l, &m);
		}
		load_flush(l->socket);
	} while (n == LOAD_BATCH);
}

static void make_due(struct load *l, uint64_t began, uint64_t now)
{
	uint64_t due = (now - began) * l->o.rate / 1000000000ull + 1;

	for (unsigned i = 0; i < BURST && l->made < l->o.count && l->made < due; i++) {
		unsigned index = l->made++ % l->o.users;

		l->phones[index].phase = ASKED; /* what is still open is lost */
		l->phones[index].started_ns = now;
		send_register(l, index, NULL);
	}
}

static double run(struct load *l)
{
	struct pollfd fd = { .fd = load_fd(l->socket), .events = POLLIN };
	const struct timespec tick = { .tv_nsec = MS };
	uint64_t began = load_now_ns(), last_ns = 0, now = began;

	while (l->registered + l->refused < l->o.count && (!last_ns || now < last_ns + l->o.wait_s * 1000 * MS)) {
		now = load_now_ns();
		make_due(l, began, now);
		load_flush(l->socket);
		if (l->made == l->o.count && !last_ns)
			last_ns = now;
		ppoll(&fd, 1, &tick, NULL);
		take_all(l, load_now_ns());
	}
	return l->made / ((double)(last_ns - began) / 1e9);
}

static struct options read_options(int argc, char **argv)
{
	struct options o = { .wait_s = 5, .secret = STR("s") };
	const struct load_option options[] = {
		{ "server", &o.server, NULL },
		{ "local", &o.local, NULL },
		{ "domain", &o.domain, NULL },
		{ "secret", &o.secret, NULL },
		{ "first", NULL, &o.first },
		{ "users", NULL, &o.users },
		{ "count", NULL, &o.count },
		{ "rate", NULL, &o.rate },
		{ "wait", NULL, &o.wait_s },
		{ "domains", NULL, &o.domains },
	};

	load_options(argc, argv, options, ARRAY_LEN(options));
	if (!o.server.n || !o.local.n || !o.first || !o.users || !o.count || !o.rate)
		load_die("regload: see the head of regload.c");
	if (!o.domain.n)
		o.domain = o.server;
	return o;
}

int main(int argc, char **argv)
{
	static struct load l;
	uint64_t before;
	double rate;
	unsigned lost;

	l.o = read_options(argc, argv);
	l.serial = (unsigned)getpid();
	l.socket = load_open(l.o.local, l.o.server);
	l.digest = load_digest_new();
	l.phones = calloc(l.o.users, sizeof(*l.phones));
	if (!l.phones)
		load_die("no memory");
	before = load_dropped(l.o.server) + load_dropped(l.o.local);
	rate = run(&l);
	lost = l.o.count - l.registered - l.refused;
	printf("count=%u registered=%u lost=%u refused=%u asked=%u dropped=%llu rate=%.0f p50_us=%u p99_us=%u max_us=%llu cpu_us=%.1f\n",
	       l.o.count, l.registered, lost, l.refused, l.asked,
	       (unsigned long long)(load_dropped(l.o.server) + load_dropped(l.o.local) - before), rate, load_time_us(&l.times, 0.5),
	       load_time_us(&l.times, 0.99), (unsigned long long)(l.times.max_ns / 1000), load_own_cpu_us() / l.o.count);
	if (l.refused)
		fprintf(stderr, "first refusal: %s\n", l.first_refusal);
	load_digest_free(l.digest);
	load_close(l.socket);
	free(l.phones);
	return lost || l.refused;
}
