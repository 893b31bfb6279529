/* load.h - what the load generators of the benchmark share: UDP in batches, a glance at SIP messages, digest answers.
 *
 * The generator stands in for a building full of phones on the same machine as the server, so it has to be much cheaper than that:
 * datagrams go and come many at a system call, and of a message only the lines are looked at that its answer needs. It is no user
 * agent: it sends nothing again, so that what is lost on either side shows.
 *
 * Thread: one.
 */
#pragma once

#include <openssl/evp.h>

#include "base/out.h"
#include "base/str.h"

#define LOAD_DATAGRAM 2048
#define LOAD_BATCH 64

/* ---- sockets ---- */

struct load_socket;

/* A UDP socket of local ("addr:port"), connected to the server, so that the kernel does the addressing. Exits with 2 on trouble. */
struct load_socket *load_open(struct str local, struct str server);
void load_close(struct load_socket *s);
/* Binds two ports of local's address, for RTP and RTCP that nobody listens to: without, each packet would cost the server an ICMP error. */
void load_sink(struct str local, unsigned port);
int load_fd(const struct load_socket *s);
const char *load_name(const struct load_socket *s);   /* "addr:port" as it was given */
/* A datagram to write; sent with the next load_flush(), or before when the batch is full. Then its bytes count. */
struct out *load_out(struct load_socket *s);
void load_flush(struct load_socket *s);
/* Takes in what is there, up to a batch; the slices are good until the next call. Returns how many. */
unsigned load_take(struct load_socket *s, struct str got[LOAD_BATCH]);
uint64_t load_sent(const struct load_socket *s);
uint64_t load_unsent(const struct load_socket *s);    /* that the kernel refused */
/* What the kernel threw away because whoever is bound to addr:port, here or elsewhere, didn't take it in time. */
uint64_t load_dropped(struct str local);

/* ---- messages ---- */

struct load_msg {
	int status;                    /* 0: a request */
	struct str method;             /* of a request */
	struct str ruri_user;          /* of a request: "9123" */
	struct str via;                /* all Via lines, with their line ends */
	struct str from, to, call_id, cseq, contact; /* values; contact: what is between its < and > */
	struct str challenge[4];       /* values of WWW-Authenticate */
	unsigned nchallenges;
	struct str body;
};

/* False for what isn't SIP. */
bool load_parse(struct load_msg *m, struct str datagram);
struct str load_tag(struct str value);                 /* of From or To; empty without */
/* The answer to a request: what it is to have from it, To with our tag unless it has one. Its further lines and the end are the caller's. */
void load_answer(struct out *o, const struct load_msg *m, const char *status_line, struct str tag);

/* ---- digest ---- */

struct load_digest;

struct load_digest *load_digest_new(void);
void load_digest_free(struct load_digest *d);
/* Writes the Authorization line for the first challenge of m that we know the algorithm of. False without one. */
bool load_authorize(struct load_digest *d, struct out *o, const struct load_msg *m, const char *method, struct str uri,
		    struct str user, struct str password);

/* ---- time ---- */

uint64_t load_now_ns(void);
double load_own_cpu_us(void);

/* A histogram of times. */
#define LOAD_BUCKETS 20000
#define LOAD_BUCKET_NS 100000ull
struct load_times { uint32_t bucket[LOAD_BUCKETS]; uint64_t n, max_ns; };
void load_time_add(struct load_times *t, uint64_t ns);
unsigned load_time_us(const struct load_times *t, double part);   /* 0.99: what 99 % are below */

/* ---- options ---- */

/* "--name value": into text or number, whichever isn't NULL. */
struct load_option { const char *name; struct str *text; unsigned *number; };
/* Exits with 2 when one isn't known. */
void load_options(int argc, char **argv, const struct load_option *options, unsigned n);

_Noreturn void load_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
