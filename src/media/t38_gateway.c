/* t38_gateway.c - SpanDSP's T.38 gateway behind our types (see t38_gateway.h).
 */
#include "media/t38_gateway.h"

#include <spandsp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define REDUNDANCY 3
#define IFP_MAX 400
#define PACKET_MAX 2048

struct ifp { size_t n; uint8_t bytes[IFP_MAX]; };

struct t38_gateway {
	t38_gateway_state_t *gw;
	void (*send)(const uint8_t *packet, size_t n, void *arg);
	void *arg;
	uint16_t seq;              /* of the next that is sent */
	struct ifp sent[REDUNDANCY]; /* the ones before, the newest first */
	unsigned nsent;
	bool has_received;
	uint16_t received;         /* newest */
};

/* count: how often it should be sent, for indicators, which nothing follows for long. */
static int on_ifp(t38_core_state_t *core, void *arg, const uint8_t *bytes, int n, int count)
{
	struct t38_gateway *g = arg;
	struct udptl u = { .seq = g->seq, .primary = { bytes, (size_t)n }, .nsecondaries = g->nsent };
	uint8_t packet[PACKET_MAX];
	size_t len;

	(void)core;
	if (n <= 0 || n > IFP_MAX)
		return 0;
	for (unsigned i = 0; i < g->nsent; i++)
		u.secondaries[i] = (struct udptl_ifp){ g->sent[i].bytes, g->sent[i].n };
	len = udptl_print(packet, sizeof(packet), &u);
	for (int i = 0; len && i < count; i++)
		g->send(packet, len, g->arg);
	g->seq++;
	memmove(&g->sent[1], &g->sent[0], (REDUNDANCY - 1) * sizeof(g->sent[0]));
	g->sent[0].n = (size_t)n;
	memcpy(g->sent[0].bytes, bytes, (size_t)n);
	g->nsent += g->nsent < REDUNDANCY;
	return 0;
}

struct t38_gateway *t38_gateway_new(void (*send)(const uint8_t *packet, size_t n, void *arg), void *arg)
{
	struct t38_gateway *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->send = send;
	g->arg = arg;
	g->gw = t38_gateway_init(NULL, on_ifp, g);
	if (!g->gw) {
		free(g);
		return NULL;
	}
	t38_gateway_set_transmit_on_idle(g->gw, 1);
	t38_gateway_set_ecm_capability(g->gw, 1);
	t38_gateway_set_supported_modems(g->gw, T30_SUPPORT_V27TER | T30_SUPPORT_V29 | T30_SUPPORT_V17);
	return g;
}

void t38_gateway_close(struct t38_gateway *g)
{
	if (!g)
		return;
	t38_gateway_free(g->gw);
	free(g);
}

static void take(struct t38_gateway *g, const struct udptl_ifp *ifp, uint16_t seq)
{
	if (ifp->n && (!g->has_received || (int16_t)(seq - g->received) > 0))
		t38_core_rx_ifp_packet(t38_gateway_get_t38_core_state(g->gw), ifp->p, (int)ifp->n, seq);
}

void t38_gateway_packet(struct t38_gateway *g, const struct udptl *u)
{
	/* Those that were lost come first; before the first packet there was nothing to lose. */
	for (unsigned i = u->nsecondaries; g->has_received && i-- > 0;)
		take(g, &u->secondaries[i], (uint16_t)(u->seq - 1 - i));
	take(g, &u->primary, u->seq);
	if (!g->has_received || (int16_t)(u->seq - g->received) > 0)
		g->received = u->seq;
	g->has_received = true;
}

void t38_gateway_hear(struct t38_gateway *g, int16_t *pcm, size_t n)
{
	if (pcm)
		t38_gateway_rx(g->gw, pcm, (int)n);
	else
		t38_gateway_rx_fillin(g->gw, (int)n);
}

void t38_gateway_speak(struct t38_gateway *g, int16_t *pcm, size_t n)
{
	int got = t38_gateway_tx(g->gw, pcm, (int)n);

	if (got >= 0 && (size_t)got < n)
		memset(pcm + got, 0, (n - (size_t)got) * sizeof(*pcm));
}
