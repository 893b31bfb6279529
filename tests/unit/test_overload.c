/* test_overload.c - overload control in the Via: RFC 7339 (loss) and RFC 7415 (rate), both sides. */
#include "sip_fixture.h"
#include "sip/overload.h"
#include "sip/stack_int.h"

#define MANY 20000

struct fx2 { struct overload o; struct rng rng; union sockaddr_any peer; uint64_t now_ms; };

static void fx2_init(struct fx2 *fx)
{
	*fx = (struct fx2){ .now_ms = 1000000 };
	rng_init_fixed(&fx->rng, 7);
	assert_int_equal(sockaddr_parse(&fx->peer, STR("192.0.2.10"), 5060), 0);
}

static void take(struct fx2 *fx, const char *params)
{
	char text[256];
	struct sip_via via;

	snprintf(text, sizeof(text), "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx%s", params);
	assert_int_equal(sip_via_parse(&via, str_from(text)), 0);
	overload_take(&fx->o, &fx->peer, &via, &fx->rng, fx->now_ms);
}

static bool admits(struct fx2 *fx, bool is_new_call)
{
	return overload_admits(&fx->o, &fx->peer, is_new_call, &fx->rng, fx->now_ms);
}

/* Of a thousand new calls, one every ms. */
static unsigned admitted(struct fx2 *fx)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 1000; i++, fx->now_ms++)
		n += admits(fx, true);
	return n;
}

static void test_overload_feedback_is_read_or_ignored(void **state)
{
	static const struct { const char *params; unsigned least, most; } rows[] = {
		{ ";oc=20;oc-algo=\"loss\";oc-validity=5000;oc-seq=1282321615.782", 750, 850 }, /* RFC 7339 §6 */
		{ ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.1", 0, 0 },
		{ ";oc=0;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.1", 1000, 1000 },
		{ ";oc=100;oc-validity=5000;oc-seq=1.1", 0, 0 },                 /* loss, which all must know */
		{ ";oc=100;oc-algo=\"loss\";oc-seq=1.1", 500, 500 },             /* §4.3: 500 ms */
		{ ";oc=100;oc-algo=loss;oc-validity=5000", 0, 0 },
		{ ";OC=100;OC-Algo=\"LOSS\";oc-Validity=5000", 0, 0 },
		{ ";oc=50;oc-algo=\"rate\";oc-validity=5000;oc-seq=1.1", 50, 58 }, /* RFC 7415: a second, and a burst */
		{ ";oc=0;oc-algo=\"rate\";oc-validity=5000;oc-seq=1.1", 0, 0 },
		{ ";oc=100;oc-algo=\"loss\";oc-validity=0;oc-seq=1.1", 1000, 1000 }, /* §4.3: it is over */
		{ ";oc;oc-algo=\"loss,rate\"", 1000, 1000 },                     /* our own offer: he knows nothing of it */
		{ ";oc=101;oc-algo=\"loss\";oc-validity=5000", 1000, 1000 },
		{ ";oc=-1;oc-algo=\"loss\";oc-validity=5000", 1000, 1000 },
		{ ";oc=20x;oc-algo=\"loss\";oc-validity=5000", 1000, 1000 },
		{ ";oc=99999999999;oc-algo=\"rate\";oc-validity=5000", 1000, 1000 },
		{ ";oc=100;oc-algo=\"window\";oc-validity=5000", 1000, 1000 },
		{ ";oc=100;oc-algo=\"loss\";oc-validity=soon", 1000, 1000 },
		{ ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=.5", 1000, 1000 },
		{ ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.2.3", 1000, 1000 },
		{ ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.123456", 1000, 1000 },
		{ ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=1234567890123", 1000, 1000 },
		{ ";oc-algo=\"loss\";oc-validity=5000;oc-seq=1.1", 1000, 1000 },
		{ "", 1000, 1000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx2 fx;
		unsigned n;

		fx2_init(&fx);
		take(&fx, rows[i].params);
		n = admitted(&fx);
		if (n < rows[i].least || n > rows[i].most)
			fail_msg("%s: %u of 1000", rows[i].params, n);
		overload_fini(&fx.o);
	}
}

/* §7.1: what is asked of all requests is taken off those that may be held back. */
static void test_overload_loss_falls_on_new_calls(void **state)
{
	static const struct { unsigned loss, others, least, most; } rows[] = {
		{ 20, 0, 780, 820 },    /* nothing but new calls */
		{ 20, 1, 580, 620 },    /* half of it */
		{ 20, 3, 180, 220 },
		{ 50, 1, 0, 20 },
		{ 80, 3, 0, 20 },       /* more than there are: all of them */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char params[80];
		struct fx2 fx;
		unsigned n = 0;

		fx2_init(&fx);
		snprintf(params, sizeof(params), ";oc=%u;oc-algo=\"loss\";oc-validity=600000;oc-seq=1.1", rows[i].loss);
		take(&fx, params);
		for (unsigned j = 0; j < MANY; j++, fx.now_ms++) {
			for (unsigned k = 0; k < rows[i].others; k++)
				assert_true(admits(&fx, false));
			n += admits(&fx, true);
		}
		n = n * 1000 / MANY;
		if (n < rows[i].least || n > rows[i].most)
			fail_msg("%u %% with %u others to a call: %u of 1000", rows[i].loss, rows[i].others, n);
		overload_fini(&fx.o);
	}
}

/* RFC 7415 §3.5: what isn't held back fills the bucket, too, but not for ever. */
static void test_overload_rate_counts_what_is_not_held_back(void **state)
{
	struct fx2 fx;
	unsigned n = 0;

	(void)state;
	fx2_init(&fx);
	take(&fx, ";oc=100;oc-algo=\"rate\";oc-validity=600000;oc-seq=1.1");
	for (unsigned i = 0; i < 10000; i++, fx.now_ms++) { /* 50 others a second */
		if (i % 20 == 0)
			assert_true(admits(&fx, false));
		n += admits(&fx, true);
	}
	assert_in_range(n, 480, 520);
	for (unsigned i = 0; i < MANY; i++)
		assert_true(admits(&fx, false));
	assert_false(admits(&fx, true));
	fx.now_ms += 200;
	assert_true(admits(&fx, true));
	overload_fini(&fx.o);
}

static void test_overload_ends_by_time_by_word_and_not_by_what_is_old(void **state)
{
	struct fx2 fx;

	(void)state;
	fx2_init(&fx);
	take(&fx, ";oc=100;oc-algo=\"loss\";oc-validity=1000;oc-seq=12.5");
	fx.now_ms += 999;
	assert_false(admits(&fx, true));
	fx.now_ms++;
	assert_true(admits(&fx, true));
	assert_null(fx.o.peers);

	take(&fx, ";oc=100;oc-algo=\"loss\";oc-validity=1000;oc-seq=12.5");
	take(&fx, ";oc=0;oc-algo=\"loss\";oc-validity=1000;oc-seq=12.49999");
	take(&fx, ";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq=9");
	assert_false(admits(&fx, true));
	take(&fx, ";oc=0;oc-algo=\"loss\";oc-validity=1000;oc-seq=12.50001");
	assert_true(admits(&fx, true));
	take(&fx, ";oc=0;oc-algo=\"rate\";oc-validity=1000;oc-seq=13.0");
	assert_false(admits(&fx, true));
	take(&fx, ";oc=0;oc-algo=\"rate\";oc-validity=0;oc-seq=13.0");
	assert_null(fx.o.peers);

	/* What another one said when it has run out is no measure for what comes then: he may have begun anew. */
	take(&fx, ";oc=0;oc-algo=\"loss\";oc-validity=1000;oc-seq=50.0");
	fx.now_ms += 1000;
	take(&fx, ";oc=100;oc-algo=\"loss\";oc-validity=1000;oc-seq=1.0");
	assert_false(admits(&fx, true));
	/* However long it is to count: who is sent nothing could never take it back. */
	take(&fx, ";oc=100;oc-algo=\"loss\";oc-validity=4294967295;oc-seq=999999999999.99999");
	fx.now_ms += 599999;
	assert_false(admits(&fx, true));
	fx.now_ms++;
	assert_true(admits(&fx, true));
	take(&fx, ";oc=100;oc-algo=\"loss\";oc-validity=1000;oc-seq=2.0");
	assert_false(admits(&fx, true));
	/* Another port of the host is somebody else. */
	sockaddr_set_port(&fx.peer, 5070);
	assert_true(admits(&fx, true));
	overload_fini(&fx.o);
}

static void test_overload_peers_are_bounded_and_make_room(void **state)
{
	struct fx2 fx;

	(void)state;
	fx2_init(&fx);
	for (unsigned i = 1; i <= OVERLOAD_PEERS_MAX + 5; i++) {
		sockaddr_set_port(&fx.peer, (uint16_t)i);
		take(&fx, ";oc=100;oc-algo=\"loss\";oc-validity=1000");
		assert_int_equal(admits(&fx, true), i > OVERLOAD_PEERS_MAX);
	}
	fx.now_ms += 1000;
	take(&fx, ";oc=100;oc-algo=\"loss\";oc-validity=1000");
	assert_false(admits(&fx, true));
	overload_fini(&fx.o);
}

static void test_overload_step_rises_while_pressed_and_falls_to_nothing(void **state)
{
	unsigned loss = 0, n = 0;

	(void)state;
	assert_int_equal(overload_step(0, false), 0);
	while (loss < 95) {
		unsigned next = overload_step(loss, true);

		assert_true(next > loss && next <= 95);
		loss = next;
		assert_in_range(++n, 1, 30); /* within 6 s */
	}
	assert_int_equal(overload_step(95, true), 95);
	for (n = 0; loss; n++) {
		unsigned next = overload_step(loss, false);

		assert_true(next < loss);
		loss = next;
	}
	assert_in_range(n, 10, 40);
}

/* ---- in the stack ---- */

static void receive_invite(struct fx *fx, unsigned n, const char *params)
{
	fx_receive(fx,
		   "INVITE sip:b@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bK%u%s\r\n"
		   "From: <sip:a@x>;tag=t\r\nTo: <sip:b@x>\r\nCall-ID: c%u\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n", n, params, n);
}

static void test_overload_who_offers_it_is_told_in_each_answer(void **state)
{
	static const struct { unsigned loss; const char *offer, *answer; } rows[] = {
		{ 0, ";oc;oc-algo=\"loss,rate\"", ";oc;oc-algo=\"loss,rate\"" },
		{ 40, "", "" },
		{ 40, ";oc;oc-algo=\"loss\"", ";oc=40;oc-algo=\"loss\";oc-validity=1000;oc-seq=1700001000.000" },
		{ 40, ";oc;oc-algo=\"rate,loss\"", ";oc=40;oc-algo=\"loss\";oc-validity=1000;oc-seq=1700001000.000" },
		{ 40, ";oc-algo=\"loss\";oc-seq=9.9;oc", ";oc=40;oc-algo=\"loss\";oc-validity=1000;oc-seq=1700001000.000" },
		{ 40, ";oc", ";oc=40;oc-algo=\"loss\";oc-validity=1000;oc-seq=1700001000.000" },
		{ 40, ";oc;oc-algo=\"rate\"", ";oc=1200;oc-algo=\"rate\";oc-validity=1000;oc-seq=1700001000.000" },
		{ 40, ";oc;oc-algo=\"window\"", ";oc;oc-algo=\"window\"" },
		{ 40, ";oc=3", ";oc=3" },                                        /* no offer */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);
		char via[256];

		fx->stack->p.loss_percent = rows[i].loss;
		receive_invite(fx, 1, rows[i].offer);
		assert_string_equal(fx_sent_text(fx, 0), "100");
		snprintf(via, sizeof(via), "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bK1%s", rows[i].answer);
		assert_memory_equal(fx_sent(fx, 0)->via.value.p, via, strlen(via));
		assert_int_equal(fx_sent(fx, 0)->via.value.n, strlen(via));
		strans_reply_simple(fx->st, 486, NULL);
		assert_memory_equal(fx_sent(fx, 1)->via.value.p, via, strlen(via));
		fx_free(fx);
	}
}

/* Transactions that fill the memory they may have are load, too. RFC 7339 §5.10.2: no Retry-After for who is told how much. */
static void test_overload_full_memory_is_told_and_503_has_no_retry_after_then(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);

	(void)state;
	receive_invite(fx, 1, "");
	fx->stack->strans_bytes_max = fx->stack->strans_bytes + fx->stack->strans_bytes / 6;
	assert_in_range(stack_loss(fx->stack), 30, 60);
	fx->stack->strans_bytes_max = fx->stack->strans_bytes - 1;
	assert_int_equal(stack_loss(fx->stack), 95);
	receive_invite(fx, 2, ";oc;oc-algo=\"loss\"");
	assert_string_equal(fx_sent_text(fx, 0), "100 503");
	assert_false(sip_msg_has(fx_sent(fx, 1), SIP_HDR_RETRY_AFTER));
	assert_non_null(memmem(fx_sent(fx, 1)->via.value.p, fx_sent(fx, 1)->via.value.n, ";oc=95;", 7));
	receive_invite(fx, 3, "");
	assert_true(sip_msg_has(fx_sent(fx, -1), SIP_HDR_RETRY_AFTER));
	fx_free(fx);
}

static int send_request(struct fx *fx, const char *method, enum sip_oc oc)
{
	struct sip_dest dest = { .proto = fx->src.proto, .addr = fx->src.peer };
	struct sip_req r = { .method = str_from(method), .uri = STR("sip:b@192.0.2.10:5062"), .oc = oc };
	struct ctrans *ct;
	char hdrs[128];

	snprintf(hdrs, sizeof(hdrs), "From: <sip:a@x>;tag=t\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 %s\r\n", method);
	r.hdrs = str_from(hdrs);
	return ctrans_start(&ct, fx->stack, &r, &dest, NULL, NULL);
}

static void answer(struct fx *fx, const char *params)
{
	struct str via = fx_sent(fx, -1)->via.branch;

	fx_receive(fx, "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.200;branch=%.*s%s\r\nFrom: <sip:a@x>;tag=t\r\nTo: <sip:b@x>;tag=u\r\n"
		   "Call-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", STR_ARG(via), params);
}

static void test_overload_peer_with_too_much_to_do_is_spared_new_calls(void **state)
{
	static const char full[] = ";oc=100;oc-algo=\"loss\";oc-validity=60000;oc-seq=1.0";
	struct fx *fx = fx_new(SIP_UDP);

	(void)state;
	/* Not offered: what he says then counts for nothing. */
	assert_int_equal(send_request(fx, "OPTIONS", SIP_OC_NONE), 0);
	assert_null(memmem(fx_sent(fx, -1)->via.value.p, fx_sent(fx, -1)->via.value.n, "oc", 2));
	answer(fx, full);
	assert_int_equal(send_request(fx, "INVITE", SIP_OC_MAY_WAIT), 0);
	assert_non_null(memmem(fx_sent(fx, -1)->via.value.p, fx_sent(fx, -1)->via.value.n, OVERLOAD_OFFER, strlen(OVERLOAD_OFFER)));

	assert_int_equal(send_request(fx, "OPTIONS", SIP_OC_OFFER), 0);
	answer(fx, full);
	fx_forget_sent(fx);
	assert_int_equal(send_request(fx, "INVITE", SIP_OC_MAY_WAIT), -EBUSY);
	assert_int_equal(fx->nsent, 0);
	assert_int_equal(sip_stack_counters(fx->stack)->spared, 1);
	assert_int_equal(send_request(fx, "INVITE", SIP_OC_OFFER), 0); /* a call for help */
	assert_int_equal(send_request(fx, "INVITE", SIP_OC_NONE), 0);  /* of somebody who doesn't ask him */
	fx_advance(fx, 60000);
	assert_int_equal(send_request(fx, "INVITE", SIP_OC_MAY_WAIT), 0);
	fx_free(fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overload_feedback_is_read_or_ignored),
		cmocka_unit_test(test_overload_loss_falls_on_new_calls),
		cmocka_unit_test(test_overload_rate_counts_what_is_not_held_back),
		cmocka_unit_test(test_overload_ends_by_time_by_word_and_not_by_what_is_old),
		cmocka_unit_test(test_overload_peers_are_bounded_and_make_room),
		cmocka_unit_test(test_overload_step_rises_while_pressed_and_falls_to_nothing),
		cmocka_unit_test(test_overload_who_offers_it_is_told_in_each_answer),
		cmocka_unit_test(test_overload_full_memory_is_told_and_503_has_no_retry_after_then),
		cmocka_unit_test(test_overload_peer_with_too_much_to_do_is_spared_new_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
