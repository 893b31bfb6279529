/* test_batch.c - datagrams that leave together when the loop waits again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "sip/transport_int.h"

#define MANY 150 /* more than go with one call */

struct bed {
	uv_loop_t loop;
	struct batch *batch;
	uint64_t lost;
	int from, to;
	union sockaddr_any at;
};

static int setup(void **state)
{
	static struct bed b;
	socklen_t len = sizeof(b.at);

	memset(&b, 0, sizeof(b));
	uv_loop_init(&b.loop);
	assert_int_equal(batch_new(&b.batch, &b.loop, &b.lost), 0);
	b.from = socket(AF_INET, SOCK_DGRAM, 0);
	b.to = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(sockaddr_parse(&b.at, STR("127.0.0.1"), 0), 0);
	assert_int_equal(bind(b.to, &b.at.sa, sockaddr_len(&b.at)), 0);
	assert_int_equal(getsockname(b.to, &b.at.sa, &len), 0);
	*state = &b;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;

	batch_close(b->batch);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	close(b->from);
	close(b->to);
	return uv_loop_close(&b->loop);
}

/* The number in the next datagram that has come; -1: none has. */
static int next_number(const struct bed *b)
{
	char text[64] = "";
	int n = -1;

	if (recv(b->to, text, sizeof(text) - 1, MSG_DONTWAIT) > 0)
		sscanf(text, "%d", &n);
	return n;
}

static void add(struct bed *b, const union sockaddr_any *to, int number)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", number);

	assert_true(batch_add(b->batch, b->from, to, (struct str){ text, (size_t)n }));
	memset(text, 'x', sizeof(text)); /* it has its own copy */
}

static void test_batch_leaves_when_the_loop_waits_in_order(void **state)
{
	struct bed *b = *state;

	for (int i = 0; i < 3; i++)
		add(b, &b->at, i);
	assert_true(batch_is_open(b->batch));
	assert_int_equal(next_number(b), -1);
	uv_run(&b->loop, UV_RUN_NOWAIT);
	assert_false(batch_is_open(b->batch));
	for (int i = 0; i < 3; i++)
		assert_int_equal(next_number(b), i);
	assert_int_equal(next_number(b), -1);
	uv_run(&b->loop, UV_RUN_NOWAIT); /* nothing goes twice */
	assert_int_equal(next_number(b), -1);
}

static void test_batch_of_too_many_leaves_before_in_order(void **state)
{
	struct bed *b = *state;

	for (int i = 0; i < MANY; i++)
		add(b, &b->at, i);
	batch_flush(b->batch);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(next_number(b), i);
	assert_int_equal(b->lost, 0);
}

static void test_batch_with_one_that_cannot_go_sends_the_others(void **state)
{
	struct bed *b = *state;
	union sockaddr_any nowhere;

	assert_int_equal(sockaddr_parse(&nowhere, STR("::1"), 9), 0); /* an IPv4 socket can't */
	add(b, &b->at, 0);
	add(b, &nowhere, 1);
	add(b, &b->at, 2);
	batch_flush(b->batch);
	assert_int_equal(next_number(b), 0);
	assert_int_equal(next_number(b), 2);
	assert_int_equal(b->lost, 1);
}

static void test_batch_of_another_socket_keeps_the_order(void **state)
{
	struct bed *b = *state;
	int other = socket(AF_INET, SOCK_DGRAM, 0), first = b->from;

	add(b, &b->at, 0);
	b->from = other;
	add(b, &b->at, 1);
	assert_int_equal(next_number(b), 0); /* went when the other came */
	b->from = first;
	batch_flush(b->batch);
	assert_int_equal(next_number(b), 1);
	close(other);
}

static void test_batch_refuses_what_is_too_large(void **state)
{
	static char large[65000];
	struct bed *b = *state;

	assert_false(batch_add(b->batch, b->from, &b->at, (struct str){ large, sizeof(large) }));
	assert_false(batch_is_open(b->batch));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_batch_leaves_when_the_loop_waits_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batch_of_too_many_leaves_before_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batch_with_one_that_cannot_go_sends_the_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batch_of_another_socket_keeps_the_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batch_refuses_what_is_too_large, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
