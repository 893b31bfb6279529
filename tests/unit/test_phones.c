/* test_phones.c - by which flow of a phone a request goes, and by which next (RFC 5626 §7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "presence/phones.h"

/* ---- the seams ---- */

#define A "<urn:uuid:a>"
#define B "<urn:uuid:b>"

static struct binding bindings[4];       /* best first */
static unsigned nbindings;

static struct registrar_reach from(unsigned i)
{
	return (struct registrar_reach){ .b = i < nbindings ? &bindings[i] : NULL };
}

struct registrar_reach registrar_reach(struct registrar *r, const char *domain, struct str number)
{
	(void)r;
	assert_string_equal(domain, "office");
	assert_true(str_eqz(number, "1001"));
	return from(0);
}

void registrar_next(struct registrar_reach *at)
{
	*at = from((unsigned)(at->b - bindings) + 1);
}

int binding_target_sg(const struct binding *b, struct str number, const char *sg, char target[BINDING_TARGET_MAX])
{
	(void)number;
	snprintf(target, BINDING_TARGET_MAX, "%s%s", b->contact, sg);
	return 0;
}

static char removed[64];

void registrar_flow_failed(struct registrar *r, const struct binding_key *key)
{
	(void)r;
	str_put(removed, sizeof(removed), key->contact);
}

struct sent { char target[16]; outside_fn *fn; void *arg; bool has_rivals; };
static struct sent sent[16];
static unsigned nsent;
static const char *broken;               /* nothing can be sent there */

int outside_send(struct outside **out, struct sip_ua *ua, const struct outside_params *p, outside_fn *fn, void *arg)
{
	struct sent *s = &sent[nsent];

	(void)out;
	(void)ua;
	assert_true(str_eqz(p->body, "hello") && str_eqz(p->hdrs, "X: y\r\n") && str_eqz(p->from_user, "1002"));
	assert_string_equal(p->ctype, "text/plain");
	if (broken && str_eqz(p->target, broken))
		return -EHOSTUNREACH;
	nsent++;
	*s = (struct sent){ .fn = fn, .arg = arg, .has_rivals = p->has_rivals };
	str_copy(p->target, s->target, sizeof(s->target));
	return 0;
}

/* status 0: none comes. */
static void answer(unsigned i, int status)
{
	static const struct sip_msg m;

	sent[i].fn(status ? status : 408, status ? &m : NULL, sent[i].arg);
}

/* ---- helpers ---- */

static struct phones *phones;
static char told[64];

static void on_told(int status, void *arg)
{
	size_t n = strlen(told);

	assert_ptr_equal(arg, told);
	snprintf(told + n, sizeof(told) - n, "%d ", status);
}

static void have(const char *contact, const char *instance, uint32_t reg_id)
{
	bindings[nbindings++] = (struct binding){ .contact = (char *)contact, .instance = (char *)instance, .reg_id = reg_id, .dest.proto = SIP_TCP };
}

static int ask(const char *instance, bool is_long)
{
	char body[] = "hello", hdrs[] = "X: y\r\n", ctype[] = "text/plain", only[32];
	struct phones_request r = { .method = "MESSAGE", .from_user = STR("1002"), .hdrs = str_from(hdrs), .ctype = ctype,
				    .body = str_from(body), .is_long = is_long };
	int n;

	str_put(only, sizeof(only), instance);
	r.instance = instance ? only : NULL;
	n = phones_ask(phones, "office", "1001", &r, on_told, told);
	/* What was given is the caller's: it may change. */
	body[0] = hdrs[0] = ctype[0] = only[1] = '!';
	return n;
}

static int setup(void **state)
{
	(void)state;
	nbindings = nsent = 0;
	told[0] = removed[0] = '\0';
	broken = NULL;
	return phones_new(&phones, NULL, NULL);
}

static int teardown(void **state)
{
	(void)state;
	phones_free(phones);
	return 0;
}

/* ---- tests ---- */

static void test_phones_ask_goes_by_one_flow_of_each_phone(void **state)
{
	(void)state;
	have("a2", A, 2);
	have("b1", B, 1);
	have("a1", A, 1);
	have("c", NULL, 0);
	assert_int_equal(ask(NULL, false), 3);
	assert_int_equal(nsent, 3);
	assert_string_equal(sent[0].target, "a2");
	assert_true(sent[0].has_rivals);
	assert_string_equal(sent[1].target, "b1");
	assert_false(sent[1].has_rivals);
	assert_string_equal(sent[2].target, "c");
	answer(0, 200);
	answer(1, 486);
	answer(2, 0);
	assert_int_equal(nsent, 3);
	assert_string_equal(told, "200 486 408 ");
}

static void test_phones_ask_goes_on_by_the_next_flow_when_one_fails(void **state)
{
	static const struct { int status; bool goes_on, is_removed; } rows[] = {
		{ 0, true, false },      /* no answer, or a connection that broke */
		{ 408, true, false }, { 430, true, true },
		{ 200, false, false }, { 480, false, false }, { 503, false, false }, { 600, false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		teardown(state);
		assert_int_equal(setup(state), 0);
		have("a2", A, 2);
		have("a1", A, 1);
		assert_int_equal(ask(NULL, false), 1);
		answer(0, rows[i].status);
		assert_int_equal(nsent, rows[i].goes_on ? 2 : 1);
		assert_string_equal(removed, rows[i].is_removed ? "a2" : "");
		assert_int_equal(told[0] == '\0', rows[i].goes_on);
		if (!rows[i].goes_on)
			continue;
		assert_string_equal(sent[1].target, "a1");
		assert_false(sent[1].has_rivals);
		answer(1, 408); /* and there are no more */
		assert_int_equal(nsent, 2);
		assert_string_equal(told, "408 ");
	}
}

static void test_phones_ask_takes_another_flow_where_one_cannot_be_sent_over(void **state)
{
	(void)state;
	have("a2", A, 2);
	have("a1", A, 1);
	broken = "a2";
	assert_int_equal(ask(NULL, false), 1);
	assert_string_equal(sent[0].target, "a1");
	answer(0, 200);
	broken = "c";
	nbindings = 0;
	have("c", NULL, 0);
	assert_int_equal(ask(NULL, false), -ENOENT);
}

static void test_phones_ask_prefers_flows_that_answer(void **state)
{
	(void)state;
	have("a3", A, 3);
	have("a2", A, 2);
	have("a1", A, 1);
	bindings[0].is_unreachable = true;
	assert_int_equal(ask(NULL, false), 1);
	answer(0, 408);
	answer(1, 408);
	answer(2, 200);
	assert_string_equal(sent[0].target, "a2");
	assert_string_equal(sent[1].target, "a1");
	assert_string_equal(sent[2].target, "a3");
	assert_string_equal(told, "200 ");
}

static void test_phones_ask_for_one_phone_goes_to_that(void **state)
{
	(void)state;
	have("b1", B, 1);
	have("a0", A, 0);
	have("a1", A, 1);
	assert_int_equal(ask("<URN:uuid:a>", false), 1);
	answer(0, 408);
	answer(1, 200);
	assert_int_equal(nsent, 2);
	assert_string_equal(sent[0].target, "a0");
	assert_string_equal(sent[1].target, "a1");
	assert_string_equal(told, "200 ");
	assert_int_equal(ask("<urn:uuid:x>", false), -ENOENT);
}

static void test_phones_ask_sends_what_is_long_by_connections_alone(void **state)
{
	(void)state;
	have("a2", A, 2);
	have("a1", A, 1);
	bindings[0].dest.proto = SIP_UDP;
	assert_int_equal(ask(NULL, true), 1);
	assert_string_equal(sent[0].target, "a1");
	answer(0, 408);
	assert_int_equal(nsent, 1);
	bindings[1].dest.proto = SIP_UDP;
	assert_int_equal(ask(NULL, true), -EMSGSIZE);
}

static void test_phones_give_up_tries_no_other_flow(void **state)
{
	(void)state;
	have("a2", A, 2);
	have("a1", A, 1);
	assert_int_equal(ask(NULL, false), 1);
	phones_give_up(phones, told);
	answer(0, 0);
	assert_int_equal(nsent, 1);
	assert_string_equal(told, "408 ");
	assert_int_equal(ask(NULL, false), 1);
	phones_stop(phones);
	answer(1, 430); /* the registrar isn't asked any more */
	assert_int_equal(nsent, 2);
	assert_string_equal(removed, "");
	assert_int_equal(ask(NULL, false), 1); /* and goes with phones */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_phones_ask_goes_by_one_flow_of_each_phone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_phones_ask_goes_on_by_the_next_flow_when_one_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_phones_ask_takes_another_flow_where_one_cannot_be_sent_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_phones_ask_prefers_flows_that_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_phones_ask_for_one_phone_goes_to_that, setup, teardown),
		cmocka_unit_test_setup_teardown(test_phones_ask_sends_what_is_long_by_connections_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_phones_give_up_tries_no_other_flow, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
