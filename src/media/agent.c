/* agent.c - ICE of a session: checks come from its sockets and are answered there; what ice.c concludes becomes the session's peer.
 *
 * The socket is never connected then: the peer goes on checking other ways than the one in use, and may change to one of them.
 */
#include "media/dtls_session.h"
#include "media/media_int.h"

#include <stdlib.h>
#include <sys/socket.h>

struct agent {
	struct ice *ice;
	struct timer consent_timer;
};

struct agent *agent_new(const struct ice_credentials *ours)
{
	struct agent *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->ice = ice_new(ours);
	if (a->ice)
		return a;
	free(a);
	return NULL;
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	ice_free(a->ice);
	free(a);
}

static void on_consent(void *arg)
{
	struct rtp_session *s = arg;
	uint32_t left_ms;

	if (ice_expire(s->agent->ice, s->last_rx_us / 1000, worker_now_ms(s->worker), &left_ms)) {
		struct event e = { 0 };

		latch_choose(&s->latch, NULL);
		rtp_session_event(s, EV_UNWANTED, &e);
	}
	timer_start(s->worker->timers, &s->agent->consent_timer, left_ms);
}

void agent_start(struct rtp_session *s)
{
	if (!s->agent)
		return;
	timer_init(&s->agent->consent_timer, on_consent, s);
	timer_start(s->worker->timers, &s->agent->consent_timer, ICE_CONSENT_MS);
}

void agent_stop(struct rtp_session *s)
{
	if (s->agent)
		timer_stop(s->worker->timers, &s->agent->consent_timer);
}

void agent_take(struct rtp_session *s, struct agent *a)
{
	if (a && s->agent) {
		ice_renew(s->agent->ice, a->ice, worker_now_ms(s->worker));
		agent_free(a);
		return;
	}
	if (!a && !s->agent)
		return;
	agent_stop(s);
	agent_free(s->agent);
	s->agent = a;
	latch_choose(&s->latch, NULL);
	rtp_session_unlock(s);
	agent_start(s);
}

static void chosen(struct rtp_session *s, enum ice_component component)
{
	const struct addr *to = ice_target(s->agent->ice, component);
	struct event e = { 0 };

	if (!to)
		return;
	if (component == ICE_RTCP) {
		s->rtcp_source = *to;
		dtls_session_reach(s);
		return;
	}
	latch_choose(&s->latch, to);
	to = ice_target(s->agent->ice, ICE_RTCP);
	if (to) /* named before it */
		s->rtcp_source = *to;
	s->locked_wall_ms = worker_wall_ms(s->worker);
	e.latched.peer = s->latch.source;
	e.latched.reason = LATCH_ICE;
	dtls_session_reach(s);
	rtp_session_event(s, EV_LATCHED, &e);
}

void agent_packet(struct rtp_session *s, struct endpoint *e, const uint8_t *p, size_t n, const struct addr *from)
{
	enum ice_component component = e->is_rtcp ? ICE_RTCP : ICE_RTP;
	struct ice_answer answer;
	enum ice_verdict verdict;

	if (!s->agent || !from) { /* from: kept by whoever isn't connected */
		count_one(&s->worker->count.dropped_malformed);
		return;
	}
	verdict = ice_packet(s->agent->ice, component, p, n, from, worker_now_ms(s->worker), &answer);
	if (verdict == ICE_CHOSEN)
		chosen(s, component);
	if (answer.len)
		sendto(e->fd, answer.bytes, answer.len, MSG_DONTWAIT | MSG_NOSIGNAL, &from->sa, addr_len(from));
}

bool agent_accepts(struct rtp_session *s, const struct addr *from)
{
	if (addr_eq(from, &s->latch.source) || ice_knows(s->agent->ice, from))
		return true;
	s->latch.rejected++;
	count_one(&s->worker->count.dropped_source);
	return false;
}
