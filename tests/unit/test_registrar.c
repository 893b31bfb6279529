/* test_registrar.c - REGISTER by RFC 3261 §10.3, and what is kept of it. Authentication has its own test. */
#include "registrar_fixture.h"

/* ---- tests ---- */

#define SUPPORTED "Supported: path, outbound, gruu, gin\r\n"

static void test_registrar_fetch_add_refresh_remove(void **state)
{
	struct strans st;
	const struct binding *b;

	(void)state;
	assert_int_equal(submit(&st, ""), 200);
	assert_string_equal(st.hdrs, SUPPORTED "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n");
	assert_int_equal(submit(&st, "Contact: \"Alice\" <sip:1001@10.0.0.5:5060;transport=udp>;expires=300;q=0.5\r\nUser-Agent: Phone/1\r\n"), 200);
	assert_string_equal(st.hdrs, "Contact: <sip:1001@10.0.0.5:5060;transport=udp>;expires=300;q=0.500\r\n"
				     SUPPORTED "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n");
	b = registrar_find(registrar, "office", STR("1001"));
	assert_non_null(b);
	assert_int_equal(b->q_milli, 500);
	assert_string_equal(b->user_agent, "Phone/1");
	assert_int_equal(b->dest.proto, SIP_UDP);
	assert_int_equal(b->dest.flow, 1);
	assert_int_equal(sockaddr_port(&b->dest.addr), 5062); /* the source, not the contact (RFC 3581) */
	assert_int_equal(nchanges, 1);
	pass(100);
	assert_int_equal(submit(&st, ""), 200);
	assert_non_null(strstr(st.hdrs, ";expires=200;"));
	assert_int_equal(submit(&st, "Contact: <sip:1001@10.0.0.5:5060;Transport=UDP>\r\nExpires: 400\r\n"), 200);
	assert_string_equal(st.hdrs, "Contact: <sip:1001@10.0.0.5:5060;Transport=UDP>;expires=400\r\n"
				     SUPPORTED "Date: Tue, 14 Nov 2023 22:15:00 GMT\r\n");
	assert_int_equal(nchanges, 1);
	assert_int_equal(registrar_count(registrar), 1);
	assert_int_equal(submit(&st, "Contact: <sip:1001@10.0.0.5:5060;transport=udp>;expires=0\r\n"), 200);
	assert_null(strstr(st.hdrs, "Contact"));
	assert_null(registrar_find(registrar, "office", STR("1001")));
	assert_int_equal(nchanges, 2);
	/* Removing what isn't there is no fault */
	assert_int_equal(submit(&st, "Contact: <sip:1001@10.0.0.5:5060>;expires=0\r\n"), 200);
	assert_int_equal(nchanges, 2);
}

static void test_registrar_expiry_is_granted_within_bounds(void **state)
{
	static const struct { const char *lines; int status; const char *expect; } rows[] = {
		{ "Contact: <sip:a@h>\r\n", 200, ";expires=600\r\n" },
		{ "Contact: <sip:a@h>\r\nExpires: 120\r\n", 200, ";expires=120\r\n" },
		{ "Contact: <sip:a@h>;expires=90\r\nExpires: 120\r\n", 200, ";expires=90\r\n" }, /* §10.2.1.1 the parameter counts */
		{ "Contact: <sip:a@h>;expires=60\r\n", 200, ";expires=60\r\n" },
		{ "Contact: <sip:a@h>;expires=59\r\n", 423, "Min-Expires: 60\r\n" },
		{ "Contact: <sip:a@h>\r\nExpires: 1\r\n", 423, "Min-Expires: 60\r\n" },
		{ "Contact: <sip:a@h>;expires=7200\r\n", 200, ";expires=3600\r\n" },
		{ "Contact: <sip:a@h>;expires=4294967295\r\n", 200, ";expires=3600\r\n" },
		{ "Contact: <sip:a@h>;expires=99999999999999\r\n", 200, ";expires=3600\r\n" },
		{ "Contact: <sip:a@h>;expires=soon\r\n", 200, ";expires=600\r\n" },
		{ "Contact: <sip:a@h>;expires=soon\r\nExpires: 300\r\n", 200, ";expires=300\r\n" },
		{ "Contact: <sip:a@h>\r\nExpires: Thu, 01 Dec 1994 16:00:00 GMT\r\n", 200, ";expires=600\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct strans st;

		if (submit(&st, rows[i].lines) != rows[i].status || !strstr(st.hdrs, rows[i].expect))
			fail_msg("row %zu: %d %s", i, st.status, st.hdrs);
	}
}

static void test_registrar_q_orders_contacts(void **state)
{
	static const struct { const char *q; uint16_t milli; } rows[] = {
		{ "", 1000 }, { ";q=1", 1000 }, { ";q=1.000", 1000 }, { ";q=0", 0 }, { ";q=0.7", 700 }, { ";q=0.25", 250 }, { ";q=0.001", 1 },
		{ ";q=0.", 0 }, { ";q=1.5", 1000 }, { ";q=0.1234", 1000 }, { ";q=x", 1000 }, { ";q", 1000 }, { ";q=2", 1000 },
	};
	struct strans st;
	const struct binding *b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char lines[128];

		snprintf(lines, sizeof(lines), "Contact: <sip:a@h>%s\r\n", rows[i].q);
		assert_int_equal(submit(&st, lines), 200);
		if (registrar_find(registrar, "office", STR("1001"))->q_milli != rows[i].milli)
			fail_msg("row %zu", i);
	}
	assert_int_equal(submit(&st, "Contact: <sip:a@h>;q=0.5, <sip:b@h>;q=0.9\r\nm: <sip:c@h>;q=0.1\r\n"), 200);
	b = registrar_find(registrar, "office", STR("1001"));
	assert_string_equal(b->contact, "sip:b@h");
	assert_string_equal(b->next->contact, "sip:a@h");
	assert_string_equal(b->next->next->contact, "sip:c@h");
	assert_null(b->next->next->next);
}

static void test_registrar_star(void **state)
{
	static const struct { const char *lines; int status; unsigned left; } rows[] = {
		{ "Contact: *\r\n", 400, 2 },
		{ "Contact: *\r\nExpires: 1\r\n", 400, 2 },
		{ "Contact: *\r\nExpires: x\r\n", 400, 2 },
		{ "Contact: *, <sip:c@h>\r\nExpires: 0\r\n", 400, 2 },
		{ "Contact: <sip:a@h>\r\nContact: *\r\nExpires: 0\r\n", 400, 2 },
		{ "Contact: *\r\nExpires: 0\r\n", 200, 0 },
		{ "Contact: *\r\nExpires: 0\r\n", 200, 0 },
	};
	struct strans st;

	(void)state;
	assert_int_equal(submit(&st, "Contact: <sip:a@h>\r\n"), 200);
	assert_int_equal(submit_full(&st, "1001", "phone-b", 9, "Contact: <sip:b@h>\r\n", SIP_UDP, 1), 200);
	assert_int_equal(submit_full(&st, "1002", "phone-c", 9, "Contact: <sip:c@h>\r\n", SIP_UDP, 1), 200);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (submit(&st, rows[i].lines) != rows[i].status || registrar_count(registrar) != rows[i].left + 1)
			fail_msg("row %zu: %d", i, st.status);
	assert_non_null(registrar_find(registrar, "office", STR("1002")));
}

/* §10.3 step 7 */
static void test_registrar_cseq_orders_within_call_id(void **state)
{
	static const struct { const char *call_id; unsigned seq; const char *lines; int status; } rows[] = {
		{ "x", 5, "Contact: <sip:a@h>;expires=100\r\n", 200 },
		{ "x", 5, "Contact: <sip:a@h>;expires=200\r\n", 500 },
		{ "x", 4, "Contact: <sip:a@h>;expires=0\r\n", 500 },
		{ "x", 4, "Contact: *\r\nExpires: 0\r\n", 500 },
		{ "x", 4, "Contact: <sip:b@h>\r\n", 200 },                     /* another binding */
		{ "x", 5, "Contact: <sip:c@h>, <sip:a@h>\r\n", 500 },           /* all or nothing */
		{ "x", 3, "", 200 },                                           /* asking is always in order */
		{ "X", 1, "Contact: <sip:a@h>;expires=300\r\n", 200 },          /* rebooted: a new Call-ID */
		{ "X", 2147483647, "Contact: <sip:a@h>;expires=300\r\n", 200 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct strans st;

		if (submit_full(&st, "1001", rows[i].call_id, rows[i].seq, rows[i].lines, SIP_UDP, 1) != rows[i].status)
			fail_msg("row %zu: %d %s", i, st.status, st.reason);
	}
	assert_int_equal(registrar_count(registrar), 2);
}

static void test_registrar_refuses_whole_request(void **state)
{
	static char long_contact[1024], many[4096];
	static const struct { const char *lines; int status; } rows[] = {
		{ "Contact: <sip:b@h>, <sip:c@h>;expires=5\r\n", 423 },
		{ "Contact: <sip:b@h>, <sip:c@h\r\n", 400 },
		{ "Contact: <sip:b@h>, <mailto:c@h>\r\n", 400 },
		{ "Contact: <sip:b@h>, <sip:\xff@h>\r\n", 400 },
		{ "Contact: <sip:b@h>, <sip:c@h>, <sip:d@h>\r\n", 403 }, /* with the one that is there too many */
		{ long_contact, 400 },
		{ many, 403 },
		{ "Priority: stranger\r\nContact: <sip:b@h>\r\n", 401 },
	};
	struct strans st;
	int n = snprintf(many, sizeof(many), "Contact: <sip:b@h>");

	(void)state;
	memset(long_contact, 'x', sizeof(long_contact) - 1);
	memcpy(long_contact, "Contact: <sip:", 14);
	memcpy(long_contact + sizeof(long_contact) - 8, "@h>\r\n", 6);
	for (unsigned i = 0; i < 40; i++)
		n += snprintf(many + n, sizeof(many) - (size_t)n, ", <sip:x%u@h>", i);
	snprintf(many + n, sizeof(many) - (size_t)n, "\r\n");
	assert_int_equal(submit(&st, "Contact: <sip:a@h>\r\n"), 200);
	nkept = nchanges = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (submit(&st, rows[i].lines) != rows[i].status || registrar_count(registrar) != 1 || nkept || nchanges)
			fail_msg("row %zu: %d %s", i, st.status, st.reason);
	}
	/* Room is made by what goes in the same request */
	assert_int_equal(submit(&st, "Contact: <sip:b@h>, <sip:c@h>, <sip:d@h>, <sip:a@h>;expires=0\r\n"), 200);
	assert_int_equal(registrar_count(registrar), 3);
	/* and refreshing is possible when it's full */
	assert_int_equal(submit(&st, "Contact: <sip:b@h>\r\n"), 200);
}

/* Equality isn't transitive (§19.1.4): both of these equal what is bound, and not each other. */
static void test_registrar_two_contacts_equal_one_binding(void **state)
{
	struct strans st;

	(void)state;
	assert_int_equal(submit(&st, "Contact: <sip:carol@h>\r\n"), 200);
	assert_int_equal(submit(&st, "Contact: <sip:carol@h;security=on>, <sip:carol@h;security=off>;expires=0\r\n"), 200);
	assert_int_equal(registrar_count(registrar), 0);
	assert_int_equal(submit(&st, "Contact: <sip:carol@h>\r\n"), 200);
	assert_int_equal(submit(&st, "Contact: <sip:carol@h;security=on>;expires=0, <sip:carol@h;security=off>\r\n"), 200);
	assert_int_equal(registrar_count(registrar), 1);
	assert_string_equal(registrar_find(registrar, "office", STR("1001"))->contact, "sip:carol@h;security=off");
	assert_int_equal(submit(&st, "Contact: <sip:x@h>, <sip:x@h>;expires=700\r\n"), 200);
	assert_int_equal(registrar_count(registrar), 2);
	assert_non_null(strstr(st.hdrs, "<sip:x@h>;expires=700\r\n"));
}

static void test_registrar_binding_expires(void **state)
{
	struct strans st;

	(void)state;
	assert_int_equal(submit(&st, "Contact: <sip:a@h>;expires=60, <sip:b@h>;expires=120\r\n"), 200);
	pass(59);
	assert_int_equal(registrar_count(registrar), 2);
	pass(1);
	assert_int_equal(registrar_count(registrar), 1);
	assert_int_equal(nchanges, 3);
	assert_int_equal(submit(&st, ""), 200);
	assert_non_null(strstr(st.hdrs, "Contact: <sip:b@h>;expires=60\r\n"));
	pass(60);
	assert_int_equal(registrar_count(registrar), 0);
	assert_null(registrar_find(registrar, "office", STR("1001")));
}

static void test_registrar_connection_takes_its_bindings_along(void **state)
{
	struct strans st;

	(void)state;
	submit_full(&st, "1001", "a", 1, "Contact: <sip:a@h;transport=tcp>\r\n", SIP_TCP, 77);
	submit_full(&st, "1002", "b", 1, "Contact: <sip:b@h;transport=tcp>\r\n", SIP_TCP, 77);
	submit_full(&st, "1001", "c", 1, "Contact: <sip:c@h;transport=tcp>\r\n", SIP_TCP, 78);
	submit_full(&st, "1001", "d", 1, "Contact: <sip:d@h>\r\n", SIP_UDP, 77);
	assert_int_equal(registrar_count(registrar), 4);
	flow_closed_fn(79, flow_closed_arg);
	assert_int_equal(registrar_count(registrar), 4);
	flow_closed_fn(77, flow_closed_arg);
	assert_int_equal(registrar_count(registrar), 2);
	assert_null(registrar_find(registrar, "office", STR("1002")));
	/* Refreshed over another connection: the old one's end changes nothing */
	submit_full(&st, "1001", "c", 2, "Contact: <sip:c@h;transport=tcp>\r\n", SIP_TCP, 80);
	flow_closed_fn(78, flow_closed_arg);
	assert_int_equal(registrar_count(registrar), 2);
	flow_closed_fn(80, flow_closed_arg);
	assert_int_equal(registrar_count(registrar), 1);
}

static void test_registrar_keeps_what_matters(void **state)
{
	struct strans st;
	json_t *doc;

	(void)state;
	submit(&st, "Contact: <sip:a@h>;expires=600;+sip.instance=\"<urn:uuid:1>\"\r\nUser-Agent: Ph\xc3\xb6ne\r\n");
	assert_non_null(strstr(st.hdrs, ";+sip.instance=\"<urn:uuid:1>\"\r\n"));
	assert_int_equal(nkept, 1);
	doc = kept_doc(0);
	assert_string_equal(json_string_value(json_object_get(doc, "domain")), "office");
	assert_string_equal(json_string_value(json_object_get(doc, "number")), "1001");
	assert_string_equal(json_string_value(json_object_get(doc, "contact")), "sip:a@h");
	assert_true(json_is_false(json_object_get(doc, "remove")));
	assert_string_equal(json_string_value(json_object_get(doc, "instance")), "<urn:uuid:1>");
	assert_string_equal(json_string_value(json_object_get(doc, "call_id")), "phone-a");
	assert_int_equal(json_integer_value(json_object_get(doc, "cseq")), 1);
	assert_int_equal(json_integer_value(json_object_get(doc, "q_milli")), 1000);
	assert_true(json_integer_value(json_object_get(doc, "expires_ms")) == START_MS + 600000);
	assert_string_equal(json_string_value(json_object_get(doc, "proto")), "udp");
	assert_string_equal(json_string_value(json_object_get(doc, "address")), "192.0.2.10:5062");
	assert_string_equal(json_string_value(json_object_get(doc, "user_agent")), "Ph??ne");
	assert_string_equal(json_string_value(json_object_get(doc, "node")), "n1");
	json_decref(doc);
	/* Early refreshes say nothing new until half of the time is gone */
	pass(100);
	submit(&st, "Contact: <sip:a@h>;expires=600;+sip.instance=\"<urn:uuid:1>\"\r\nUser-Agent: Ph\xc3\xb6ne\r\n");
	pass(100);
	submit(&st, "Contact: <sip:a@h>;expires=600;+sip.instance=\"<urn:uuid:1>\"\r\nUser-Agent: Ph\xc3\xb6ne\r\n");
	assert_int_equal(nkept, 1);
	pass(200);
	submit(&st, "Contact: <sip:a@h>;expires=600;+sip.instance=\"<urn:uuid:1>\"\r\nUser-Agent: Ph\xc3\xb6ne\r\n");
	assert_int_equal(nkept, 2);
	/* Anything else does at once: q, agent, shorter expiry */
	submit(&st, "Contact: <sip:a@h>;expires=600;q=0.5;+sip.instance=\"<urn:uuid:1>\"\r\nUser-Agent: Ph\xc3\xb6ne\r\n");
	assert_int_equal(nkept, 3);
	submit(&st, "Contact: <sip:a@h>;expires=600;q=0.5;+sip.instance=\"<urn:uuid:1>\"\r\n");
	assert_int_equal(nkept, 4);
	submit(&st, "Contact: <sip:a@h>;expires=60;q=0.5;+sip.instance=\"<urn:uuid:1>\"\r\n");
	assert_int_equal(nkept, 5);
	/* An equal URI in another spelling is another row */
	submit(&st, "Contact: <sip:a@H>;expires=60;q=0.5;+sip.instance=\"<urn:uuid:1>\"\r\n");
	assert_int_equal(nkept, 7);
	doc = kept_doc(5);
	assert_true(json_is_true(json_object_get(doc, "remove")));
	assert_string_equal(json_string_value(json_object_get(doc, "contact")), "sip:a@h");
	json_decref(doc);
	/* Its end is kept too */
	pass(60);
	assert_int_equal(nkept, 8);
	doc = kept_doc(7);
	assert_true(json_is_true(json_object_get(doc, "remove")));
	assert_string_equal(json_string_value(json_object_get(doc, "contact")), "sip:a@H");
	json_decref(doc);
}

static void test_registrar_reads_back_at_start(void **state)
{
	static const char *const cells[][BINDING_COLUMNS] = {
		{ "office", "1001", "sip:a@h", NULL, "old", "7", "1000", "1700000100000", "udp", "192.0.2.20:5070", "Phone", "0", NULL, NULL, "n1" },
		{ "office", "1001", "sip:b@10.0.0.9:5090;transport=tcp", "<urn:x>", "old", "7", "500", "1700000200000", "tcp",
		  "[2001:db8::1]:40000", "", "0", NULL, NULL, "n1" },
		{ "office", "1001", "sip:gone@h", NULL, "old", "7", "1000", "1699999999999", "udp", "192.0.2.20:5070", "", "0", NULL, NULL, "n1" },
		{ "office", "1001", "sip:new@h", NULL, "old", "7", "1000", "1700000100000", "udp", "192.0.2.20:5070", "", "0", NULL, NULL, "n1" },
		{ "office", "1001", "sip:bad@h", NULL, "old", "-7", "1000", "1700000100000", "udp", "192.0.2.20:5070", "", "0", NULL, NULL, "n1" },
		{ "office", "1001", "sip:bad@h", NULL, "old", "7", "1000", "1700000100000", "carrier pigeon", "192.0.2.20:5070", "", "0", NULL, NULL, "n1" },
		{ "office", "1001", "sip:bad@h", NULL, "old", "7", "1000", "1700000100000", "udp", "nowhere", "", "0", NULL, NULL, "n1" },
	};
	const struct db_rows rows = { ARRAY_LEN(cells), cells };
	const struct db_answer away = { .err = -ENOTCONN }, answer = { .rows = &rows };
	const struct binding *b;
	char addr[SOCKADDR_TEXT_MAX];
	struct strans st;

	(void)state;
	registrar_close(registrar);
	start((struct db *)&nqueries);
	assert_int_equal(nqueries, 1);
	assert_false(registrar_is_loaded(registrar));
	/* What removes is put off, what adds isn't */
	assert_int_equal(submit(&st, "Contact: *\r\nExpires: 0\r\n"), 503);
	assert_non_null(strstr(st.hdrs, "Retry-After: "));
	assert_int_equal(submit(&st, "Contact: <sip:a@h>;expires=0\r\n"), 503);
	assert_int_equal(submit(&st, "Contact: <sip:new@h>;expires=600\r\n"), 200);
	/* The database is away at first */
	load_fn(1, &away, load_arg);
	assert_false(registrar_is_loaded(registrar));
	pass(2);
	assert_int_equal(nqueries, 2);
	nkept = 0;
	load_fn(2, &answer, load_arg);
	assert_true(registrar_is_loaded(registrar));
	assert_int_equal(registrar_count(registrar), 3);
	assert_int_equal(nkept, 0);
	b = registrar_find(registrar, "office", STR("1001"));
	assert_string_equal(b->contact, "sip:a@h");
	assert_string_equal(sockaddr_print(&b->dest.addr, addr), "192.0.2.20:5070");
	assert_int_equal(b->dest.flow, 0);
	assert_string_equal(b->next->contact, "sip:new@h");
	assert_string_equal(b->next->call_id, "phone-a"); /* ours, not the row's */
	b = b->next->next;
	assert_int_equal(b->q_milli, 500);
	assert_string_equal(b->instance, "<urn:x>");
	assert_int_equal(b->dest.proto, SIP_TCP);
	/* Its connection is gone; where its contact points may be tried */
	assert_string_equal(sockaddr_print(&b->dest.addr, addr), "10.0.0.9:5090");
	/* A refresh of the old Call-ID must still come in order */
	assert_int_equal(submit_full(&st, "1001", "old", 7, "Contact: <sip:a@h>\r\n", SIP_UDP, 1), 500);
	assert_int_equal(submit_full(&st, "1001", "old", 8, "Contact: <sip:a@h>\r\n", SIP_UDP, 1), 200);
	pass(200);
	assert_int_equal(registrar_count(registrar), 2);
}

static void test_registrar_close_forgets_the_query(void **state)
{
	(void)state;
	registrar_close(registrar);
	start((struct db *)&nqueries);
	registrar_close(registrar);
	assert_int_equal(forgotten, nqueries);
	assert_null(request_fn);
	assert_null(flow_closed_fn);
	registrar_close(NULL);
	start(NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registrar_fetch_add_refresh_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registrar_expiry_is_granted_within_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registrar_q_orders_contacts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registrar_star, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registrar_cseq_orders_within_call_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registrar_refuses_whole_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registrar_two_contacts_equal_one_binding, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registrar_binding_expires, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registrar_connection_takes_its_bindings_along, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registrar_keeps_what_matters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registrar_reads_back_at_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registrar_close_forgets_the_query, setup, teardown),
	};

	return cmocka_run_group_tests_name("registrar", tests, NULL, NULL);
}
