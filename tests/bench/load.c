/* load.c - sockets in batches, messages at a glance, digest answers: see load.h. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_BYTES (4 << 20)
#define NAME_MAX_LEN 64

_Noreturn void load_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

/* ---- sockets ---- */

struct load_socket {
	int fd;
	char name[NAME_MAX_LEN];
	uint64_t sent, unsent;
	unsigned nout;
	struct out out[LOAD_BATCH];
	struct mmsghdr out_msgs[LOAD_BATCH], in_msgs[LOAD_BATCH];
	struct iovec out_parts[LOAD_BATCH], in_parts[LOAD_BATCH];
	char out_bytes[LOAD_BATCH][LOAD_DATAGRAM], in_bytes[LOAD_BATCH][LOAD_DATAGRAM];
};

static struct sockaddr_in address(struct str text)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	char host[NAME_MAX_LEN];
	struct str port = text;
	uint32_t n;

	if (str_copy(str_cut(&port, ':'), host, sizeof(host)) != 0 || inet_pton(AF_INET, host, &a.sin_addr) != 1 ||
	    str_to_u32(port, 65535, &n) != 0)
		load_die("not ADDR:PORT: %.*s", STR_ARG(text));
	a.sin_port = htons((uint16_t)n);
	return a;
}

struct load_socket *load_open(struct str local, struct str server)
{
	struct load_socket *s = calloc(1, sizeof(*s));
	struct sockaddr_in from = address(local), to = address(server);
	int size = SOCKET_BYTES;

	if (!s || str_copy(local, s->name, sizeof(s->name)) != 0)
		load_die("no memory");
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
	    connect(s->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		load_die("%s: %s", s->name, strerror(errno));
	setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	for (unsigned i = 0; i < LOAD_BATCH; i++) {
		s->in_parts[i] = (struct iovec){ s->in_bytes[i], LOAD_DATAGRAM };
		s->in_msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &s->in_parts[i], .msg_iovlen = 1 };
		s->out_msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &s->out_parts[i], .msg_iovlen = 1 };
	}
	return s;
}

void load_close(struct load_socket *s)
{
	close(s->fd);
	free(s);
}

void load_sink(struct str local, unsigned port)
{
	struct sockaddr_in at = address(local);

	for (unsigned i = 0; i < 2; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 0;

		at.sin_port = htons((uint16_t)(port + i));
		if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
			load_die("port %u: %s", port + i, strerror(errno));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	}
}

int load_fd(const struct load_socket *s) { return s->fd; }
const char *load_name(const struct load_socket *s) { return s->name; }
uint64_t load_sent(const struct load_socket *s) { return s->sent; }
uint64_t load_unsent(const struct load_socket *s) { return s->unsent; }

struct out *load_out(struct load_socket *s)
{
	struct out *o;

	if (s->nout == LOAD_BATCH)
		load_flush(s);
	o = &s->out[s->nout];
	out_init(o, s->out_bytes[s->nout], LOAD_DATAGRAM);
	s->nout++;
	return o;
}

void load_flush(struct load_socket *s)
{
	unsigned done = 0;

	for (unsigned i = 0; i < s->nout; i++) {
		if (!out_ok(&s->out[i]))
			load_die("a message is too long");
		s->out_parts[i] = (struct iovec){ s->out[i].p, s->out[i].len };
	}
	while (done < s->nout) {
		int n = sendmmsg(s->fd, s->out_msgs + done, s->nout - done, 0);

		if (n > 0) {
			done += (unsigned)n;
			s->sent += (unsigned)n;
		} else if (errno != EINTR) {
			s->unsent++;
			done++;
		}
	}
	s->nout = 0;
}

unsigned load_take(struct load_socket *s, struct str got[LOAD_BATCH])
{
	int n = recvmmsg(s->fd, s->in_msgs, LOAD_BATCH, MSG_DONTWAIT, NULL);

	for (int i = 0; i < n; i++)
		got[i] = (struct str){ s->in_bytes[i], s->in_msgs[i].msg_len };
	return n > 0 ? (unsigned)n : 0;
}

uint64_t load_dropped(struct str local)
{
	struct sockaddr_in a = address(local);
	FILE *f = fopen("/proc/net/udp", "r");
	unsigned long long drops, sum = 0;
	char line[512], have[64], want[64];

	if (!f)
		return 0;
	snprintf(want, sizeof(want), "%08X:%04X", a.sin_addr.s_addr, ntohs(a.sin_port));
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " %*s %63s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", have, &drops) == 2 && !strcmp(have, want))
			sum += drops;
	fclose(f);
	return sum;
}

/* ---- messages ---- */

static struct str line_value(struct str line, size_t name_len)
{
	return str_trim(str_from_at(line, name_len + 1));
}

static void take_header(struct load_msg *m, struct str line, const char *end)
{
	if (line.n < 4)
		return;
	switch (line.p[0] | 0x20) {
	case 'v':
		if (!str_istarts(line, STR("Via:")))
			break;
		if (!m->via.p)
			m->via.p = line.p;
		m->via.n = (size_t)(end - m->via.p);
		break;
	case 'f':
		if (str_istarts(line, STR("From:")))
			m->from = line_value(line, 4);
		break;
	case 't':
		if (str_istarts(line, STR("To:")))
			m->to = line_value(line, 2);
		break;
	case 'c':
		if (str_istarts(line, STR("Call-ID:"))) {
			m->call_id = line_value(line, 7);
		} else if (str_istarts(line, STR("CSeq:"))) {
			m->cseq = line_value(line, 4);
		} else if (str_istarts(line, STR("Contact:"))) {
			struct str in = line_value(line, 7);

			str_cut(&in, '<');
			m->contact = str_cut(&in, '>');
		}
		break;
	case 'w':
		if (str_istarts(line, STR("WWW-Authenticate:")) && m->nchallenges < ARRAY_LEN(m->challenge))
			m->challenge[m->nchallenges++] = line_value(line, 16);
		break;
	default:
		break;
	}
}

bool load_parse(struct load_msg *m, struct str datagram)
{
	struct str rest = datagram, line = str_cut(&rest, '\n');
	uint32_t status;

	*m = (struct load_msg){ 0 };
	if (str_starts(line, STR("SIP/2.0 "))) {
		if (line.n < 12 || str_to_u32((struct str){ line.p + 8, 3 }, 699, &status) != 0)
			return false;
		m->status = (int)status;
	} else {
		m->method = str_cut(&line, ' ');
		str_cut(&line, ':');
		m->ruri_user = str_cut(&line, '@');
	}
	while (rest.p) {
		line = str_cut(&rest, '\n');
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (!line.n) {
			m->body = rest;
			break;
		}
		take_header(m, line, rest.p ? rest.p : line.p + line.n);
	}
	return m->via.p && m->from.p && m->to.p && m->call_id.n && m->cseq.n;
}

struct str load_tag(struct str value)
{
	while (value.p) {
		str_cut(&value, ';');
		if (value.p && str_starts(value, STR("tag="))) {
			value = str_from_at(value, 4);
			return str_cut(&value, ';');
		}
	}
	return (struct str){ "", 0 };
}

void load_answer(struct out *o, const struct load_msg *m, const char *status_line, struct str tag)
{
	out_z(o, status_line);
	out_z(o, "\r\n");
	out_str(o, m->via);
	out_z(o, "From: ");
	out_str(o, m->from);
	out_z(o, "\r\nTo: ");
	out_str(o, m->to);
	if (!load_tag(m->to).n) {
		out_z(o, ";tag=");
		out_str(o, tag);
	}
	out_z(o, "\r\nCall-ID: ");
	out_str(o, m->call_id);
	out_z(o, "\r\nCSeq: ");
	out_str(o, m->cseq);
	out_z(o, "\r\n");
}

/* ---- digest ---- */

struct algorithm { const char *name; EVP_MD *md; };

struct load_digest {
	struct algorithm algs[3];
	EVP_MD_CTX *ctx;
	uint32_t serial;
};

struct load_digest *load_digest_new(void)
{
	struct load_digest *d = calloc(1, sizeof(*d));

	if (!d)
		load_die("no memory");
	d->algs[0] = (struct algorithm){ "MD5", EVP_MD_fetch(NULL, "MD5", NULL) };
	d->algs[1] = (struct algorithm){ "SHA-256", EVP_MD_fetch(NULL, "SHA256", NULL) };
	d->algs[2] = (struct algorithm){ "SHA-512-256", EVP_MD_fetch(NULL, "SHA512-256", NULL) };
	d->ctx = EVP_MD_CTX_new();
	if (!d->algs[0].md || !d->algs[1].md || !d->algs[2].md || !d->ctx)
		load_die("OpenSSL has not all hashes");
	return d;
}

void load_digest_free(struct load_digest *d)
{
	for (size_t i = 0; i < ARRAY_LEN(d->algs); i++)
		EVP_MD_free(d->algs[i].md);
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

/* H(a:b:c...) as text, in place of the parts. */
static struct str hash(struct load_digest *d, const EVP_MD *md, const struct str *parts, size_t n, char hex[65])
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	struct out o;

	EVP_DigestInit_ex2(d->ctx, md, NULL);
	for (size_t i = 0; i < n; i++) {
		if (i)
			EVP_DigestUpdate(d->ctx, ":", 1);
		EVP_DigestUpdate(d->ctx, parts[i].p, parts[i].n);
	}
	if (!EVP_DigestFinal_ex(d->ctx, raw, &len))
		load_die("OpenSSL doesn't hash");
	out_init(&o, hex, 65);
	out_hex(&o, raw, len);
	return out_view(&o);
}

static struct str parameter(struct str challenge, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i + n + 1 < challenge.n; i++) {
		struct str at = str_from_at(challenge, i);

		if (!str_istarts(at, (struct str){ name, n }) || at.p[n] != '=' || (i && at.p[-1] != ' ' && at.p[-1] != ','))
			continue;
		at = str_from_at(at, n + 1);
		if (at.n && at.p[0] == '"') {
			at = str_from_at(at, 1);
			return str_cut(&at, '"');
		}
		return str_trim(str_cut(&at, ','));
	}
	return STR_NULL;
}

bool load_authorize(struct load_digest *d, struct out *o, const struct load_msg *m, const char *method, struct str uri,
		    struct str user, struct str password)
{
	const struct algorithm *alg = NULL;
	struct str challenge = STR_NULL;
	char a1[65], a2[65], response[65], cnonce[16];

	for (unsigned i = 0; i < m->nchallenges && !alg; i++) {
		struct str name = parameter(m->challenge[i], "algorithm");

		challenge = m->challenge[i];
		for (size_t k = 0; k < ARRAY_LEN(d->algs) && !alg; k++)
			if (str_ieqz(name, d->algs[k].name))
				alg = &d->algs[k];
	}
	if (!alg)
		return false;
	snprintf(cnonce, sizeof(cnonce), "%08x", ++d->serial);

	const struct str realm = parameter(challenge, "realm"), nonce = parameter(challenge, "nonce");
	const struct str p1[] = { user, realm, password }, p2[] = { str_from(method), uri };
	const struct str p3[] = { hash(d, alg->md, p1, ARRAY_LEN(p1), a1), nonce, STR("00000001"), str_from(cnonce), STR("auth"),
				  hash(d, alg->md, p2, ARRAY_LEN(p2), a2) };
	const struct str answer = hash(d, alg->md, p3, ARRAY_LEN(p3), response);

	out_z(o, "Authorization: Digest username=\"");
	out_str(o, user);
	out_z(o, "\", realm=\"");
	out_str(o, realm);
	out_z(o, "\", nonce=\"");
	out_str(o, nonce);
	out_z(o, "\", uri=\"");
	out_str(o, uri);
	out_z(o, "\", response=\"");
	out_str(o, answer);
	out_z(o, "\", algorithm=");
	out_z(o, alg->name);
	out_z(o, ", qop=auth, nc=00000001, cnonce=\"");
	out_z(o, cnonce);
	out_z(o, "\"\r\n");
	return true;
}

/* ---- time ---- */

uint64_t load_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

double load_own_cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

void load_time_add(struct load_times *t, uint64_t ns)
{
	uint64_t i = ns / LOAD_BUCKET_NS;

	t->bucket[i < LOAD_BUCKETS ? i : LOAD_BUCKETS - 1]++;
	t->n++;
	if (ns > t->max_ns)
		t->max_ns = ns;
}

unsigned load_time_us(const struct load_times *t, double part)
{
	uint64_t below = 0;

	for (unsigned i = 0; i < LOAD_BUCKETS; i++) {
		below += t->bucket[i];
		if (t->n && (double)below >= part * (double)t->n)
			return (unsigned)((i + 1) * (LOAD_BUCKET_NS / 1000));
	}
	return 0;
}

/* ---- options ---- */

void load_options(int argc, char **argv, const struct load_option *options, unsigned n)
{
	for (int i = 1; i < argc; i += 2) {
		const struct load_option *o = options;

		while (o < options + n && (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i] + 2, o->name) != 0))
			o++;
		if (o == options + n || i + 1 == argc)
			load_die("%s: no such option, or without a value", argv[i]);
		if (o->text)
			*o->text = str_from(argv[i + 1]);
		else
			*o->number = (unsigned)atoi(argv[i + 1]);
	}
}
