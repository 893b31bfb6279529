/* callload.c - calls through the server, both phones of each, for the benchmark.
 *
 *   callload --server ADDR:PORT --caller ADDR:PORT --callee ADDR:PORT --calls N --rate N [--talk MS] [--prefix 9]
 *            [--user U --password P --domain D] [--wait S]
 *
 * The caller dials PREFIX and the number of the call; the server is to send that call on to the callee with the same number (as user of
 * the Request-URI), which rings and answers at once. After MS ms (200) the caller hangs up. With --user the caller answers challenges. By the number of the
 * call, which is in the Call-ID of one side and in the Contact of the other, its messages find it without a search:
 *
 *     caller                   server                   callee
 *       |---- INVITE ------------>|                        |
 *       |<--- (401, ACK, INVITE) -|                        |
 *       |<--- 100 ----------------|---- INVITE ----------->|
 *       |                         |<--- 180, 200 ----------|
 *       |<--- 180, 200 -----------|---- ACK -------------->|
 *       |---- ACK --------------->|                        |
 *       |---- BYE --------------->|---- BYE -------------->|
 *       |<--- 200 ----------------|<--- 200 ---------------|
 *
 * Nothing is sent again, and each message has a bit in the call that says it came: one that is lost leaves its call undone, one that
 * the server sends again is counted. Goes on for S seconds (5) after the last call was made, then for half a second more, in which what
 * was sent and not answered would come again (RFC 3261 timer E).
 *
 * Prints calls, completed, lost, refused, repeated, strange (messages that belong nowhere), dropped (by the kernel, on both sides),
 * rate (calls a second that were made), setup_p50_us, setup_p99_us, setup_max_us (INVITE to 200), cpu_us (our own, a call).
 * Exit: 0; 1 a call was lost or refused, or a message repeated or strange; 2 trouble.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "load.h"

#define MS 1000000ull
#define BURST 32           /* calls made at once to catch up; more would test the socket buffers */
#define LINGER_NS (600 * MS)
#define RTP_PORT 5068      /* of all calls, for what nobody listens to */
#define RTP_PORT_TEXT "5068"

/* What came of a call. */
enum {
	GOT_TRYING = 1, GOT_CHALLENGE = 2, GOT_RINGING = 4, GOT_ANSWER = 8, GOT_BYE_ANSWER = 16, /* the caller */
	GOT_INVITE = 32, GOT_ACK = 64, GOT_BYE = 128,                                          /* the callee */
	GOT_REFUSAL = 256, GOT_TRYING_AGAIN = 512,
	GOT_ALL = GOT_ANSWER | GOT_BYE_ANSWER | GOT_INVITE | GOT_ACK | GOT_BYE,
};

struct call {
	uint64_t started_ns;
	unsigned got;
	unsigned cseq;
	char target[96];       /* the server's Contact */
	char tag[48];          /* and its tag */
};

struct options {
	struct str server, caller, callee, prefix, user, password, domain;
	unsigned calls, rate, talk_ms, wait_s;
};

struct load {
	struct options o;
	struct load_socket *caller, *callee;
	struct load_digest *digest;
	struct call *calls;
	unsigned serial;                  /* of this run: what one before left on the server isn't ours */
	unsigned made, ended_talks;       /* calls that began; the first so many of them were hung up */
	unsigned completed, refused, repeated, strange;
	unsigned *talking, ntalking;      /* in the order of their answers, so of their ends */
	uint64_t *talk_end_ns;
	struct load_times setup;
	char first_refusal[128];
};

/* ---- what the caller sends ---- */

static void write_sdp(struct out *o, struct str addr)
{
	char sdp[512];
	struct out body;

	addr.n = (size_t)((const char *)memchr(addr.p, ':', addr.n) - addr.p);
	out_init(&body, sdp, sizeof(sdp));
	out_z(&body, "v=0\r\no=- 1 1 IN IP4 ");
	out_str(&body, addr);
	out_z(&body, "\r\ns=-\r\nc=IN IP4 ");
	out_str(&body, addr);
	out_z(&body, "\r\nt=0 0\r\nm=audio " RTP_PORT_TEXT " RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
		     "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n");
	out_z(o, "Content-Type: application/sdp\r\nContent-Length: ");
	out_u64(o, body.len);
	out_z(o, "\r\n\r\n");
	out_str(o, out_view(&body));
}

static void write_number(struct load *l, struct out *o, unsigned number)
{
	out_str(o, l->o.prefix);
	out_u64(o, number);
}

static void write_dialled_uri(struct load *l, struct out *o, unsigned number)
{
	out_z(o, "sip:");
	write_number(l, o, number);
	out_chr(o, '@');
	out_str(o, l->o.domain);
}

static void write_caller_uri(struct load *l, struct out *o)
{
	out_z(o, "<sip:");
	out_str(o, l->o.user.n ? l->o.user : STR("5550100"));
	out_chr(o, '@');
	out_str(o, l->o.user.n ? l->o.domain : l->o.caller);
	out_chr(o, '>');
}

/* The request line is there. serial: of the transaction within the call; an ACK of a refusal has that of its INVITE. */
static void write_request(struct load *l, struct out *o, unsigned number, const char *method, unsigned cseq, unsigned serial)
{
	const struct call *c = &l->calls[number];

	out_z(o, " SIP/2.0\r\nVia: SIP/2.0/UDP ");
	out_str(o, l->o.caller);
	out_z(o, ";rport;branch=z9hG4bK-");
	out_u64(o, l->serial);
	out_chr(o, '-');
	out_u64(o, number);
	out_chr(o, '-');
	out_u64(o, serial);
	out_z(o, "\r\nMax-Forwards: 70\r\nFrom: \"Bench\" ");
	write_caller_uri(l, o);
	out_z(o, ";tag=a");
	out_u64(o, number);
	out_z(o, "\r\nTo: <");
	write_dialled_uri(l, o, number);
	out_chr(o, '>');
	if (c->tag[0]) {
		out_z(o, ";tag=");
		out_z(o, c->tag);
	}
	out_z(o, "\r\nCall-ID: ");
	out_u64(o, number);
	out_chr(o, '-');
	out_u64(o, l->serial);
	out_chr(o, '@');
	out_str(o, l->o.caller);
	out_z(o, "\r\nCSeq: ");
	out_u64(o, cseq);
	out_chr(o, ' ');
	out_z(o, method);
	out_z(o, "\r\n");
}

static void send_invite(struct load *l, unsigned number, const struct load_msg *challenge)
{
	struct out *o = load_out(l->caller);
	char uri[128];
	struct out u;

	out_init(&u, uri, sizeof(uri));
	write_dialled_uri(l, &u, number);
	l->calls[number].cseq++;
	out_z(o, "INVITE ");
	out_str(o, out_view(&u));
	write_request(l, o, number, "INVITE", l->calls[number].cseq, l->calls[number].cseq);
	out_z(o, "Contact: <sip:5550100@");
	out_str(o, l->o.caller);
	out_z(o, ">\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n");
	if (challenge && !load_authorize(l->digest, o, challenge, "INVITE", out_view(&u), l->o.user, l->o.password))
		load_die("a challenge without an algorithm we know");
	write_sdp(o, l->o.caller);
}

static void send_in_dialog(struct load *l, unsigned number, const char *method, unsigned cseq)
{
	struct out *o = load_out(l->caller);

	out_z(o, method);
	out_chr(o, ' ');
	out_z(o, l->calls[number].target);
	write_request(l, o, number, method, cseq, method[0] == 'A' ? cseq + 1000 : cseq);
	out_z(o, "Content-Length: 0\r\n\r\n");
}

/* Of a refusal: belongs to the INVITE's transaction (RFC 3261 §17.1.1.3). */
static void acknowledge_refusal(struct load *l, unsigned number, const struct load_msg *m)
{
	struct out *o = load_out(l->caller);
	struct call *c = &l->calls[number];

	str_copy(load_tag(m->to), c->tag, sizeof(c->tag));
	out_z(o, "ACK ");
	write_dialled_uri(l, o, number);
	write_request(l, o, number, "ACK", c->cseq, c->cseq);
	out_z(o, "Content-Length: 0\r\n\r\n");
	c->tag[0] = '\0';
}

/* ---- what comes ---- */

/* Marks it; false when it had come before, or doesn't belong to a call. */
static bool is_new(struct load *l, struct call *c, unsigned what)
{
	if (c->got & what) {
		l->repeated++;
		return false;
	}
	c->got |= what;
	if ((c->got & GOT_ALL) == GOT_ALL && (what & GOT_ALL))
		l->completed++;
	return true;
}

/* The call whose number the text begins with; NULL: none that was made. */
static struct call *call_of(struct load *l, struct str text)
{
	size_t n = 0;
	uint32_t number;

	while (n < text.n && text.p[n] >= '0' && text.p[n] <= '9')
		n++;
	if (str_to_u32((struct str){ text.p, n }, l->o.calls, &number) != 0 || number >= l->made)
		return NULL;
	return &l->calls[number];
}

static void begin_talk(struct load *l, unsigned number, const struct load_msg *m, uint64_t now)
{
	struct call *c = &l->calls[number];

	load_time_add(&l->setup, now - c->started_ns);
	if (str_copy(m->contact, c->target, sizeof(c->target)) != 0 || str_copy(load_tag(m->to), c->tag, sizeof(c->tag)) != 0)
		load_die("a Contact or tag of the server is too long");
	send_in_dialog(l, number, "ACK", c->cseq);
	l->talking[l->ntalking] = number;
	l->talk_end_ns[l->ntalking++] = now + l->o.talk_ms * MS;
}

static void on_refused(struct load *l, unsigned number, const struct load_msg *m, struct str datagram)
{
	struct call *c = &l->calls[number];
	bool is_challenge = m->status == 401 && l->o.user.n && c->cseq == 1;

	if (!is_new(l, c, is_challenge ? GOT_CHALLENGE : GOT_REFUSAL))
		return;
	acknowledge_refusal(l, number, m);
	if (is_challenge) {
		send_invite(l, number, m);
		return;
	}
	if (!l->refused++)
		str_copy((struct str){ datagram.p, datagram.n < 60 ? datagram.n : 60 }, l->first_refusal, sizeof(l->first_refusal));
}

static void caller_takes(struct load *l, struct str datagram, uint64_t now)
{
	struct load_msg m;
	struct call *c = load_parse(&m, datagram) && m.status ? call_of(l, m.call_id) : NULL;
	unsigned number = c ? (unsigned)(c - l->calls) : 0;

	if (!c) {
		l->strange++;
	} else if (m.status == 100) {
		is_new(l, c, str_starts(m.cseq, STR("1 ")) ? GOT_TRYING : GOT_TRYING_AGAIN); /* one a transaction */
	} else if (m.status < 200) {
		is_new(l, c, GOT_RINGING);
	} else if (m.status >= 300) {
		on_refused(l, number, &m, datagram);
	} else if (str_find_chr(m.cseq, 'B') >= 0) { /* "2 BYE" */
		is_new(l, c, GOT_BYE_ANSWER);
	} else if (is_new(l, c, GOT_ANSWER)) {
		begin_talk(l, number, &m, now);
	}
}

static void ring_and_answer(struct load *l, unsigned number, const struct load_msg *m)
{
	char tag[16];
	struct out t, *o = load_out(l->callee);

	out_init(&t, tag, sizeof(tag));
	out_chr(&t, 'b');
	out_u64(&t, number);
	for (int i = 0; i < 2; i++) {
		load_answer(o, m, i ? "SIP/2.0 200 OK" : "SIP/2.0 180 Ringing", out_view(&t));
		out_z(o, "Contact: <sip:");
		write_number(l, o, number);
		out_chr(o, '@');
		out_str(o, l->o.callee);
		out_z(o, ">\r\n");
		if (i) {
			write_sdp(o, l->o.callee);
		} else {
			out_z(o, "Content-Length: 0\r\n\r\n");
			o = load_out(l->callee);
		}
	}
}

static void callee_takes(struct load *l, struct str datagram)
{
	struct load_msg m;
	bool is_ours = load_parse(&m, datagram) && !m.status && str_starts(m.ruri_user, l->o.prefix);
	struct call *c = is_ours ? call_of(l, str_from_at(m.ruri_user, l->o.prefix.n)) : NULL;

	if (!c) {
		l->strange++;
	} else if (str_eqz(m.method, "INVITE")) {
		if (is_new(l, c, GOT_INVITE))
			ring_and_answer(l, (unsigned)(c - l->calls), &m);
	} else if (str_eqz(m.method, "ACK")) {
		is_new(l, c, GOT_ACK);
	} else if (str_eqz(m.method, "BYE") && is_new(l, c, GOT_BYE)) {
		struct out *o = load_out(l->callee);

		load_answer(o, &m, "SIP/2.0 200 OK", STR_NULL);
		out_z(o, "Content-Length: 0\r\n\r\n");
	}
}

static void take_all(struct load *l, uint64_t now)
{
	struct str got[LOAD_BATCH];
	unsigned n;

	do {
		n = load_take(l->callee, got);
		for (unsigned i = 0; i < n; i++)
			callee_takes(l, got[i]);
		load_flush(l->callee);
	} while (n == LOAD_BATCH);
	do {
		n = load_take(l->caller, got);
		for (unsigned i = 0; i < n; i++)
			caller_takes(l, got[i], now);
		load_flush(l->caller);
	} while (n == LOAD_BATCH);
}

/* ---- the run ---- */

static void hang_up_due(struct load *l, uint64_t now)
{
	while (l->ended_talks < l->ntalking && l->talk_end_ns[l->ended_talks] <= now) {
		unsigned number = l->talking[l->ended_talks++];

		send_in_dialog(l, number, "BYE", ++l->calls[number].cseq);
	}
}

static void make_due(struct load *l, uint64_t began, uint64_t now)
{
	uint64_t due = (now - began) * l->o.rate / 1000000000ull + 1;

	for (unsigned i = 0; i < BURST && l->made < l->o.calls && l->made < due; i++) {
		l->calls[l->made].started_ns = now;
		send_invite(l, l->made++, NULL);
	}
}

static void run(struct load *l)
{
	struct pollfd fds[] = { { .fd = load_fd(l->caller), .events = POLLIN }, { .fd = load_fd(l->callee), .events = POLLIN } };
	const struct timespec tick = { .tv_nsec = MS };
	uint64_t began = load_now_ns(), last_ns = 0, end = UINT64_MAX, now;
	bool is_done = false;

	while ((now = load_now_ns()) < end) {
		hang_up_due(l, now);
		make_due(l, began, now);
		load_flush(l->caller);
		if (l->made == l->o.calls && !last_ns) {
			last_ns = now;
			end = now + (l->o.wait_s * 1000 + l->o.talk_ms) * MS;
		}
		if (l->completed + l->refused == l->o.calls && !is_done) {
			is_done = true;
			end = now + LINGER_NS;
		}
		ppoll(fds, ARRAY_LEN(fds), &tick, NULL);
		take_all(l, load_now_ns());
	}
	printf("rate=%.0f ", l->made / ((double)(last_ns - began) / 1e9));
}

static struct options read_options(int argc, char **argv)
{
	struct options o = { .talk_ms = 200, .wait_s = 5, .prefix = STR("9") };
	const struct load_option options[] = {
		{ "server", &o.server, NULL },
		{ "caller", &o.caller, NULL },
		{ "callee", &o.callee, NULL },
		{ "prefix", &o.prefix, NULL },
		{ "user", &o.user, NULL },
		{ "password", &o.password, NULL },
		{ "domain", &o.domain, NULL },
		{ "calls", NULL, &o.calls },
		{ "rate", NULL, &o.rate },
		{ "talk", NULL, &o.talk_ms },
		{ "wait", NULL, &o.wait_s },
	};

	load_options(argc, argv, options, ARRAY_LEN(options));
	if (!o.server.n || !o.caller.n || !o.callee.n || !o.calls || !o.rate || (o.user.n && !o.password.n))
		load_die("callload: see the head of callload.c");
	if (!o.domain.n)
		o.domain = o.server;
	return o;
}

static uint64_t dropped(const struct load *l)
{
	return load_dropped(l->o.server) + load_dropped(l->o.caller) + load_dropped(l->o.callee);
}

int main(int argc, char **argv)
{
	static struct load l;
	unsigned lost;
	uint64_t before;

	l.o = read_options(argc, argv);
	l.serial = (unsigned)getpid();
	load_sink(l.o.caller, RTP_PORT);
	load_sink(l.o.callee, RTP_PORT);
	l.caller = load_open(l.o.caller, l.o.server);
	l.callee = load_open(l.o.callee, l.o.server);
	l.digest = load_digest_new();
	l.calls = calloc(l.o.calls, sizeof(*l.calls));
	l.talking = calloc(l.o.calls, sizeof(*l.talking));
	l.talk_end_ns = calloc(l.o.calls, sizeof(*l.talk_end_ns));
	if (!l.calls || !l.talking || !l.talk_end_ns)
		load_die("no memory");
	before = dropped(&l);
	run(&l);
	lost = l.o.calls - l.completed - l.refused;
	printf("calls=%u completed=%u lost=%u refused=%u repeated=%u strange=%u dropped=%llu setup_p50_us=%u setup_p99_us=%u "
	       "setup_max_us=%llu cpu_us=%.1f\n",
	       l.o.calls, l.completed, lost, l.refused, l.repeated, l.strange, (unsigned long long)(dropped(&l) - before),
	       load_time_us(&l.setup, 0.5), load_time_us(&l.setup, 0.99), (unsigned long long)(l.setup.max_ns / 1000),
	       load_own_cpu_us() / l.o.calls);
	if (l.refused)
		fprintf(stderr, "first refusal: %s\n", l.first_refusal);
	load_digest_free(l.digest);
	load_close(l.caller);
	load_close(l.callee);
	free(l.calls);
	free(l.talking);
	free(l.talk_end_ns);
	return lost || l.refused || l.repeated || l.strange;
}
