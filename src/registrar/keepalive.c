/* keepalive.c - STUN over UDP, sent and sent again as RFC 5389 §7.2.1 says: at 0, 500, 1500, 3500, 7500, 15500 and 31500 ms, given up 8 s after. */
#define LOG_MODULE "trunk"
#include "registrar/keepalive.h"

#define RTO_MS 500
#define TRIES 7              /* Rc */
#define LAST_WAIT_MS (16 * RTO_MS)

static void wait_for_next(struct keepalive *k)
{
	uint64_t all = (uint64_t)k->every_s * 1000;

	k->nsent = 0;
	timer_start(k->env->timers, &k->timer, all / 100 * 80 + rng_below(k->env->rng, (uint32_t)(all / 5) + 1));
}

static void send_request(struct keepalive *k)
{
	char request[STUN_REQUEST_LEN];

	if (!k->nsent)
		rng_fill(k->env->rng, k->id, sizeof(k->id));
	stun_request(k->id, request);
	/* One that can't be sent is as if lost. */
	sip_stack_send_bytes(sip_ua_stack(k->env->ua), &k->dest, (struct str){ request, sizeof(request) });
	k->nsent++;
	timer_start(k->env->timers, &k->timer, k->nsent < TRIES ? (uint64_t)RTO_MS << (k->nsent - 1) : LAST_WAIT_MS);
}

static void fail(struct keepalive *k, const char *why)
{
	char addr[SOCKADDR_TEXT_MAX];

	log_info(k->env->log, "registrar=%s keep-alive: %s", sockaddr_print(&k->dest.addr, addr), why);
	keepalive_stop(k);
	k->on_failed(k->arg);
}

static void on_timer(void *arg)
{
	struct keepalive *k = arg;

	if (k->nsent < TRIES)
		send_request(k);
	else if (k->must_answer || k->mapped.sa.sa_family)
		fail(k, "no answer");
	else
		wait_for_next(k); /* it holds the NAT open all the same */
}

void keepalive_init(struct keepalive *k, const struct client_env *env, void (*on_failed)(void *arg), void *arg)
{
	*k = (struct keepalive){ .env = env, .on_failed = on_failed, .arg = arg };
	timer_init(&k->timer, on_timer, k);
}

void keepalive_stop(struct keepalive *k)
{
	timer_stop(k->env->timers, &k->timer);
	k->every_s = 0;
	k->nsent = 0;
	k->mapped.sa.sa_family = 0;
}

void keepalive_start(struct keepalive *k, const struct sip_dest *dest, uint64_t flow, uint32_t every_s, bool must_answer)
{
	bool is_same = k->every_s == every_s && k->dest.proto == dest->proto && sockaddr_eq(&k->dest.addr, &dest->addr);

	if (dest->proto != SIP_UDP) {
		keepalive_stop(k);
		sip_ua_flow_ping(k->env->ua, flow, every_s, must_answer);
		return;
	}
	k->must_answer = must_answer;
	if (is_same)
		return;
	keepalive_stop(k);
	k->dest = *dest;
	k->every_s = every_s;
	if (every_s)
		wait_for_next(k);
}

bool keepalive_answer(struct keepalive *k, struct str answer, const struct sip_source *src)
{
	union sockaddr_any mapped, before = k->mapped;

	if (!k->every_s || !k->nsent || !sockaddr_eq(&src->peer, &k->dest.addr) ||
	    stun_read_answer(answer.p, answer.n, k->id, &mapped) != 0)
		return false;
	/* An error is a sign of life, too, but tells no address. */
	if (mapped.sa.sa_family)
		k->mapped = mapped;
	if (mapped.sa.sa_family && before.sa.sa_family && !sockaddr_eq(&mapped, &before))
		fail(k, "our address outside has changed"); /* RFC 5626 §4.4.2 */
	else
		wait_for_next(k);
	return true;
}
