/* fuzz_dtls.c - libFuzzer target on DTLS records: what comes to an association while a real peer shakes hands with it.
 *
 * The input is what happens, a step a byte and what follows it: the peer's next datagram arrives, or arrives bent, or something else does; time
 * passes; a stranger calls. Whatever it was, keys come only of a handshake with the certificate that was named, and then both ends
 * have the same.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <sys/time.h>

#include "base/str.h"
#include "media/dtls.h"

#define WIRE_MAX 32
#define STEPS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct end {
	struct dtls *d;
	enum dtls_status status;
	bool is_listening;
	unsigned n, at;
	struct { size_t n; uint8_t p[DTLS_MTU]; } wire[WIRE_MAX]; /* from it */
};

static struct dtls_identity *alice, *bob;
static uint64_t now_us = 1700000000ULL * 1000000;

/* OpenSSL's clock. */
int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	(void)tz;
	tv->tv_sec = (time_t)(now_us / 1000000);
	tv->tv_usec = (suseconds_t)(now_us % 1000000);
	return 0;
}

static void on_send(const uint8_t *p, size_t n, void *arg)
{
	struct end *e = arg;

	assert(n > 0 && n <= DTLS_MTU && dtls_is_record(p, n));
	if (e->n == WIRE_MAX)
		return;
	memcpy(e->wire[e->n].p, p, n);
	e->wire[e->n++].n = n;
}

static void begin(struct end *e, const struct dtls_identity *id, const struct dtls_identity *peer, bool is_client)
{
	struct dtls_params p = { .number = 1, .is_client = is_client, .nfingerprints = 1, .fingerprints = { { .len = 32 } } };

	for (unsigned i = 0; i < 32; i++)
		p.fingerprints[0].digest[i] = (uint8_t)strtoul(dtls_identity_fingerprint(peer) + 8 + 3 * i, NULL, 16);
	assert(dtls_new(&e->d, id, &p, on_send, e) == 0);
	if (is_client)
		e->status = dtls_start(e->d);
}

/* Of exactly this size, so that a byte read too far is caught. */
static void arrive(struct end *e, const uint8_t *p, size_t n, uint8_t stranger)
{
	uint8_t *copy = malloc(n ? n : 1);
	struct addr from = { .v4 = { .sin_family = AF_INET, .sin_port = stranger, .sin_addr.s_addr = stranger } };

	memcpy(copy, p, n);
	if (dtls_is_hello(copy, n))
		assert(dtls_is_record(copy, n));
	if (!e->is_listening)
		e->status = dtls_take(e->d, copy, n);
	else if (dtls_listen(e->d, &from, copy, n, &e->status))
		e->is_listening = false;
	free(copy);
}

/* The next of a's datagrams reaches b, perhaps with a byte that is another. */
static void deliver(struct end *a, struct end *b, int at, uint8_t x)
{
	uint8_t p[DTLS_MTU];
	size_t n;

	if (a->at == a->n)
		return;
	n = a->wire[a->at].n;
	memcpy(p, a->wire[a->at].p, n);
	if (at >= 0)
		p[(size_t)at * n / 256] ^= x;
	a->at++;
	if (a->at == a->n)
		a->at = a->n = 0;
	arrive(b, p, n, 1);
}

static void pass_time(struct end *e)
{
	int ms = dtls_wait_ms(e->d);

	if (ms < 0)
		return;
	now_us += (uint64_t)(ms + 20) * 1000;
	if (e->status == DTLS_GOING)
		e->status = dtls_timeout(e->d);
}

static uint8_t take(const uint8_t **p, size_t *n)
{
	if (!*n)
		return 0;
	(*n)--;
	return *(*p)++;
}

static void step(struct end *us, struct end *peer, const uint8_t **p, size_t *n)
{
	uint8_t what = take(p, n), x, at;
	size_t len;

	switch (what % 8) {
	case 0:
	case 1: deliver(peer, us, -1, 0); break;
	case 2: deliver(us, peer, -1, 0); break;
	case 3:
		at = take(p, n);
		x = take(p, n);
		deliver(peer, us, at, x);
		break;
	case 4:
		len = (size_t)take(p, n) * 4;
		len = len > *n ? *n : len;
		arrive(us, *p, len, what >> 3);
		*p += len;
		*n -= len;
		break;
	case 5: pass_time(us); break;
	case 6: pass_time(peer); break;
	case 7: peer->at = peer->n = 0; break; /* lost */
	}
}

static void check(struct end *us, struct end *peer, bool is_wrong)
{
	struct secure_params a, b;

	assert(!is_wrong || us->status != DTLS_DONE);
	if (us->status != DTLS_DONE || dtls_keys(us->d, &a) != 0)
		return;
	if (peer->status != DTLS_DONE || dtls_keys(peer->d, &b) != 0)
		return;
	assert(a.suite == b.suite && !memcmp(a.send.key, b.recv[0].key, SECURE_KEY_MAX) && !memcmp(b.send.key, a.recv[0].key, SECURE_KEY_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t how = take(&data, &size);
	bool is_client = how & 1, is_wrong = how & 2;
	struct end *us = calloc(1, sizeof(*us)), *peer = calloc(1, sizeof(*peer));

	if (!alice)
		assert(dtls_identity_new(&alice) == 0 && dtls_identity_new(&bob) == 0);
	us->is_listening = !is_client && (how & 4);
	begin(us, alice, is_wrong ? alice : bob, is_client);
	begin(peer, bob, alice, !is_client);
	for (int i = 0; i < STEPS_MAX && size; i++)
		step(us, peer, &data, &size);
	/* And then nothing more comes between. */
	for (int i = 0; i < (how & 8 ? 12 : 0); i++) {
		deliver(peer, us, -1, 0);
		deliver(us, peer, -1, 0);
	}
	check(us, peer, is_wrong);
	dtls_free(us->d);
	dtls_free(peer->d);
	free(us);
	free(peer);
	return 0;
}
