/* test_intake.c - what is put off when more comes than can be handled, and in what order it is handled then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/transport_int.h"

#define AT_ONCE 64
#define FAR_TOO_MANY 20000

struct fx {
	uv_loop_t loop;
	struct transport *t;
	struct sip_source src;
	char taken[FAR_TOO_MANY][8];  /* "I17": handed up, in this order */
	unsigned n, nshed;
};

static void on_message(struct sip_msg *m, const struct sip_msg_error *err, const struct sip_source *src, void *arg)
{
	struct fx *fx = arg;

	(void)src;
	if (err && err->status == 503) {
		fx->nshed++;
		return;
	}
	assert_in_range(fx->n, 0, FAR_TOO_MANY - 1);
	snprintf(fx->taken[fx->n++], sizeof(fx->taken[0]), "%c%.*s", m->method_name.p[0], STR_ARG(m->call_id));
}

static struct fx *fx_new(void)
{
	static const struct transport_handler handler = { .on_message = on_message };
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	uv_loop_init(&fx->loop);
	assert_int_equal(transport_new(&fx->t, &fx->loop, NULL, &handler, fx), 0);
	fx->src = (struct sip_source){ .proto = SIP_UDP, .flow = 1 };
	assert_int_equal(sockaddr_parse(&fx->src.peer, STR("192.0.2.10"), 5060), 0);
	fx->src.local = fx->src.peer;
	return fx;
}

static void fx_free(struct fx *fx)
{
	transport_close(fx->t);
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fx->loop), 0);
	free(fx);
}

static void come(struct fx *fx, const char *method, unsigned id)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
			 "%s sip:b@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK%u\r\nFrom: <sip:a@x>;tag=t\r\nTo: <sip:b@x>\r\n"
			 "Call-ID: %u\r\nCSeq: 1 %s\r\n\r\n", method, id, id, method);

	transport_receive(fx->t, text, (size_t)n, &fx->src);
}

/* More than are handled at once. */
static unsigned crowd(struct fx *fx)
{
	for (unsigned i = 0; i < AT_ONCE; i++)
		come(fx, "OPTIONS", i);
	assert_int_equal(fx->n, AT_ONCE);
	return AT_ONCE;
}

static void run_until(struct fx *fx, unsigned n)
{
	uint64_t until_ns = uv_hrtime() + 60 * 1000000000ull;

	while (fx->n < n && uv_hrtime() < until_ns)
		uv_run(&fx->loop, UV_RUN_NOWAIT);
	assert_int_equal(fx->n, n);
}

static void run_until_last(struct fx *fx, const char *last)
{
	uint64_t until_ns = uv_hrtime() + 60 * 1000000000ull;

	while (strcmp(fx->taken[fx->n - 1], last) && uv_hrtime() < until_ns)
		uv_run(&fx->loop, UV_RUN_NOWAIT);
	assert_string_equal(fx->taken[fx->n - 1], last);
}

static void test_intake_calls_come_first(void **state)
{
	struct fx *fx = fx_new();
	unsigned n = crowd(fx);

	(void)state;
	come(fx, "REGISTER", 1);
	come(fx, "INVITE", 2);
	come(fx, "CANCEL", 2);
	come(fx, "BYE", 3);
	assert_int_equal(fx->n, n + 1);
	assert_string_equal(fx->taken[n], "B3");
	run_until(fx, n + 4);
	assert_string_equal(fx->taken[n + 1], "I2");
	assert_string_equal(fx->taken[n + 2], "C2");
	assert_string_equal(fx->taken[n + 3], "R1");
	fx_free(fx);
}

/* RFC 7339 §5: what piles up is told to those who can be asked to send less, and no more when it is gone. */
static void test_intake_what_piles_up_asks_for_less(void **state)
{
	struct fx *fx = fx_new();
	uint64_t until_ns = uv_hrtime() + 60 * 1000000000ull;
	unsigned i = 0;

	(void)state;
	assert_int_equal(transport_loss(fx->t), 0);
	uv_update_time(&fx->loop);
	while (!transport_loss(fx->t) && uv_hrtime() < until_ns) {
		for (unsigned n = 0; n < 600 && fx->n < FAR_TOO_MANY / 2; n++)
			come(fx, "REGISTER", i++);
		if (fx->n >= FAR_TOO_MANY / 2)
			fx->n = 0; /* only how many counts here */
		uv_run(&fx->loop, UV_RUN_NOWAIT);
	}
	assert_in_range(transport_loss(fx->t), 1, 95);
	while (transport_loss(fx->t) && uv_hrtime() < until_ns) {
		fx->n = 0;
		uv_run(&fx->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(transport_loss(fx->t), 0);
	fx_free(fx);
}

/* Whoever hangs up while the server has much to do must not leave a phone ringing. */
static void test_intake_cancel_stays_behind_its_invite_when_all_is_full(void **state)
{
	struct fx *fx = fx_new();
	unsigned n = crowd(fx), queued = 0, cancels = 0;
	char cancelled[16];

	(void)state;
	while (!fx->nshed) {
		assert_in_range(queued, 0, FAR_TOO_MANY / 4);
		come(fx, "INVITE", queued++);
	}
	queued--; /* the last one was told to come again */
	snprintf(cancelled, sizeof(cancelled), "I%u", queued - 1);
	come(fx, "CANCEL", queued - 1);
	assert_int_equal(fx->n, n);
	assert_int_equal(fx->nshed, 1);
	/* Nor do CANCELs take all the memory: what is too many has to come again, and isn't heard before its INVITE. */
	for (unsigned i = 0; i < FAR_TOO_MANY / 2; i++)
		come(fx, "CANCEL", 0);
	assert_int_equal(fx->n, n);
	assert_int_equal(fx->nshed, 1);
	come(fx, "REGISTER", 9);
	run_until_last(fx, "R9");
	assert_string_equal(fx->taken[n], "I0");
	assert_string_equal(fx->taken[n + queued - 1], cancelled);
	for (unsigned i = n; i < fx->n; i++)
		cancels += fx->taken[i][0] == 'C';
	assert_in_range(cancels, 2, FAR_TOO_MANY / 2 - 1);
	fx_free(fx);
}

/* Its connection has ended before it is its turn: whoever sent it would be bound to a flow that leads nowhere. */
static void test_intake_what_a_dead_connection_said_is_dropped(void **state)
{
	static const enum sip_proto protos[] = { SIP_TCP, SIP_TLS, SIP_WS, SIP_WSS };
	struct fx *fx = fx_new();
	unsigned n = crowd(fx);

	(void)state;
	fx->src.flow = FLOW_FIRST_CONN + 77;
	for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
		fx->src.proto = protos[i];
		come(fx, "REGISTER", (unsigned)i);
		come(fx, "INVITE", (unsigned)i);
	}
	fx->src.proto = SIP_UDP;
	fx->src.flow = 1;
	come(fx, "REGISTER", 9);
	run_until(fx, n + 1);
	assert_string_equal(fx->taken[n], "R9");
	fx_free(fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intake_calls_come_first),
		cmocka_unit_test(test_intake_what_piles_up_asks_for_less),
		cmocka_unit_test(test_intake_cancel_stays_behind_its_invite_when_all_is_full),
		cmocka_unit_test(test_intake_what_a_dead_connection_said_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
