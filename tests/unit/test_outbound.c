/* test_outbound.c - phones that say who they are (RFC 5626), behind proxies (RFC 3327), with addresses of their own (RFC 5627). */
#include "registrar_fixture.h"

#define A "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-00000000000a>\""
#define B "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-00000000000B>\""
#define A_URN "urn:uuid:00000000-0000-1000-8000-00000000000a"
#define OUTBOUND "Supported: path, outbound\r\n"

/* "sip:a sip:b": contacts in the order they would be tried. */
static const char *bound(void)
{
	static char text[512];
	size_t n = 0;

	text[0] = '\0';
	for (const struct binding *b = registrar_find(registrar, "office", STR("1001")); b; b = b->next)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "", b->contact);
	return text;
}

struct step { const char *call_id, *lines; int status; const char *bound; };

static void run(const struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct strans st;

		if (submit_full(&st, "1001", steps[i].call_id, cseq++, steps[i].lines, SIP_UDP, 1) != steps[i].status ||
		    strcmp(bound(), steps[i].bound) != 0)
			fail_msg("step %zu: %d %s, bound %s", i, st.status, st.reason, bound());
	}
}

/* Pains of users: a phone that restarts with another address or port rings twice until the old contact expires. */
static void test_outbound_restarted_phone_takes_its_old_place(void **state)
{
	static const struct step steps[] = {
		{ "a", "Contact: <sip:1@h:1>;" A "\r\n", 200, "sip:1@h:1" },
		{ "b", "Contact: <sip:1@h:2>;" A "\r\n", 200, "sip:1@h:2" },                          /* restarted */
		{ "b", "Contact: <sip:1@i:2>;" A "\r\n", 200, "sip:1@i:2" },                          /* another network */
		{ "c", "Contact: <sip:2@h>;" B "\r\n", 200, "sip:2@h sip:1@i:2" },                    /* another phone */
		{ "c", "Contact: <sip:2@j>;+sip.instance=\"<URN:UUID:00000000-0000-1000-8000-00000000000b>\"\r\n", 200, "sip:2@j sip:1@i:2" },
		{ "d", "Contact: <sip:3@h>\r\n", 200, "sip:3@h sip:2@j sip:1@i:2" },                  /* one that says nothing of itself */
		/* All that it names in one request stands */
		{ "e", "Contact: <sip:3@h>;expires=0\r\n", 200, "sip:2@j sip:1@i:2" },
		{ "b", "Contact: <sip:1@u>;" A ", <sip:1@t;transport=tcp>;q=0.5;" A "\r\n", 200, "sip:1@u sip:2@j sip:1@t;transport=tcp" },
		{ "f", "Contact: <sip:1@v>;" A "\r\n", 200, "sip:1@v sip:2@j" },
		/* Taking away what isn't there supersedes nothing */
		{ "f", "Contact: <sip:1@w>;expires=0;" A "\r\n", 200, "sip:1@v sip:2@j" },
		{ "f", "Contact: <sip:1@v>;expires=0;" A "\r\n", 200, "sip:2@j" },
		/* Without telling who it is, a contact is known by its URI alone */
		{ "g", "Contact: <sip:2@j>;expires=0\r\n", 200, "" },
	};

	(void)state;
	run(steps, ARRAY_LEN(steps));
}

/* Which phone is at the other end of a dialog: by what it says of itself, by the contact that was called, by where it is. */
static void test_outbound_phone_is_known_again(void **state)
{
	static const struct { const char *target; uint16_t port; const char *is; } rows[] = {
		{ "sip:1001@office;gr=" A_URN, 9, "<" A_URN ">" },
		{ "sip:1001@office;gr=URN:uuid:00000000-0000-1000-8000-00000000000A", 9, "<" A_URN ">" },
		{ "sip:1002@office;gr=" A_URN, 9, NULL },  /* whose number that isn't */
		{ "sip:2@h", 9, "<urn:uuid:00000000-0000-1000-8000-00000000000b>" },
		{ "sip:else@where", 5062, "<" A_URN ">" }, /* the first that came from there */
		{ "sip:else@where", 9, NULL },
		{ "", 9, NULL },
	};
	struct strans st;

	(void)state;
	assert_int_equal(submit_full(&st, "1001", "a", cseq++, "Contact: <sip:2@h>;" B "\r\n", SIP_UDP, 1), 200);
	assert_int_equal(submit_full(&st, "1001", "a", cseq++, "Contact: <sip:1@h>;" A "\r\n", SIP_UDP, 1), 200);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sip_source src = { .proto = SIP_UDP };

		sockaddr_parse(&src.peer, STR("192.0.2.10"), rows[i].port);
		if (registrar_phone_of(registrar, "office", STR("1001"), str_from(rows[i].target), &src) != phone_id(rows[i].is))
			fail_msg("row %zu", i);
	}
	assert_true(phone_id("<urn:a>") && phone_id("<urn:a>") != phone_id("<urn:b>"));
}

/* Two homes with the same private addresses, both with a phone of the same extension. */
static void test_outbound_equal_contacts_of_two_phones_stand_beside_each_other(void **state)
{
	static const struct step steps[] = {
		{ "a", "Contact: <sip:1@192.168.1.2>;" A "\r\n", 200, "sip:1@192.168.1.2" },
		{ "b", "Contact: <sip:1@192.168.1.2>;" B "\r\n", 200, "sip:1@192.168.1.2 sip:1@192.168.1.2" },
		{ "a", "Contact: <sip:1@192.168.1.2>;" A ";expires=0\r\n", 200, "sip:1@192.168.1.2" },
		/* One that begins to say who it is remains who it was */
		{ "c", "Contact: <sip:3@h>\r\n", 200, "sip:3@h sip:1@192.168.1.2" },
		{ "c", "Contact: <sip:3@h>;" A "\r\n", 200, "sip:3@h sip:1@192.168.1.2" },
	};

	(void)state;
	run(steps, ARRAY_LEN(steps));
	assert_true(binding_has_instance(registrar_find(registrar, "office", STR("1001")), STR("<" A_URN ">")));
}

static void test_outbound_flows_stand_beside_each_other(void **state)
{
	static const struct step steps[] = {
		{ "a", OUTBOUND "Contact: <sip:1@h:1>;reg-id=1;" A "\r\n", 200, "sip:1@h:1" },
		{ "a", OUTBOUND "Contact: <sip:1@h:2>;reg-id=2;" A "\r\n", 200, "sip:1@h:2 sip:1@h:1" },
		{ "a", OUTBOUND "Contact: <sip:1@h:3>;reg-id=1;" A "\r\n", 200, "sip:1@h:3 sip:1@h:2" },  /* a flow comes back */
		{ "a", OUTBOUND "Contact: <sip:1@h:2>;reg-id=1;" A "\r\n", 200, "sip:1@h:2 sip:1@h:2" },  /* the URI is no key */
		/* §6: more than one contact with a reg-id */
		{ "a", OUTBOUND "Contact: <sip:1@h:1>;reg-id=1;" A ", <sip:1@h:2>;reg-id=2;" A "\r\n", 400, "sip:1@h:2 sip:1@h:2" },
		/* ... but others may go */
		{ "a", OUTBOUND "Contact: <sip:1@h:5>;reg-id=1;" A ", <sip:1@h:2>;reg-id=2;expires=0;" A "\r\n", 200, "sip:1@h:5" },
		/* reg-id without instance, without Supported, or nonsense: as if it weren't there */
		{ "b", OUTBOUND "Contact: <sip:1@i>;reg-id=1\r\n", 200, "sip:1@i sip:1@h:5" },
		{ "b", OUTBOUND "Contact: <sip:1@i>;expires=0\r\n", 200, "sip:1@h:5" },
		{ "c", OUTBOUND "Contact: <sip:1@h:6>;reg-id=2;" A "\r\n", 200, "sip:1@h:6 sip:1@h:5" },
		/* Restarted without outbound: its flows are gone */
		{ "d", "Contact: <sip:1@h:7>;reg-id=1;" A "\r\n", 200, "sip:1@h:7" },
		/* and with it again */
		{ "e", "Require: outbound\r\nContact: <sip:1@h:8>;reg-id=3;" A "\r\n", 200, "sip:1@h:8" },
		{ "f", OUTBOUND "Contact: <sip:1@h:9>;reg-id=x;" A "\r\n", 200, "sip:1@h:9" },
	};

	(void)state;
	run(steps, ARRAY_LEN(steps));
}

static void test_outbound_answer_says_what_was_done(void **state)
{
	struct strans st;

	(void)state;
	submit_full(&st, "1001", "a", cseq++, OUTBOUND "Contact: <sip:1@h>;reg-id=7;" A "\r\n", SIP_TCP, 5);
	assert_non_null(strstr(st.hdrs, "Contact: <sip:1@h>;expires=600;" A ";reg-id=7\r\n"));
	assert_non_null(strstr(st.hdrs, "Require: outbound\r\n"));
	assert_non_null(strstr(st.hdrs, "Flow-Timer: 120\r\n"));
	submit_full(&st, "1001", "a", cseq++, OUTBOUND "Contact: <sip:1@h>;reg-id=7;" A "\r\n", SIP_UDP, 5);
	assert_non_null(strstr(st.hdrs, "Require: outbound\r\n"));
	assert_null(strstr(st.hdrs, "Flow-Timer"));
	submit_full(&st, "1001", "a", cseq++, "Contact: <sip:1@h>;reg-id=7;" A "\r\n", SIP_TCP, 5);
	assert_null(strstr(st.hdrs, "Require"));
	assert_null(strstr(st.hdrs, "Flow-Timer"));
}

/* RFC 5626 §4.4.1: what it is told to do it is expected to do, on a connection of its own. */
static void test_outbound_flow_must_show_life_where_it_is_ours(void **state)
{
	static const char plain[] = "Contact: <sip:1@h>;" A "\r\n", flow[] = OUTBOUND "Contact: <sip:1@h>;reg-id=7;" A "\r\n";
	static const char behind[] = "Via: SIP/2.0/UDP edge;branch=z9hG4bKy\r\nPath: <sip:edge;lr;ob>\r\n" OUTBOUND "Contact: <sip:1@h>;reg-id=7;" A "\r\n";
	struct strans st;
	static const struct { const char *lines; enum sip_proto proto; unsigned n; } rows[] = {
		{ plain, SIP_TCP, 0 }, { flow, SIP_UDP, 0 }, { behind, SIP_TCP, 0 }, { flow, SIP_TCP, 1 }, { flow, SIP_TLS, 1 }, { flow, SIP_WSS, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		expected.n = 0;
		assert_int_equal(submit_full(&st, "1001", "a", cseq++, rows[i].lines, rows[i].proto, 70 + i), 200);
		if (expected.n != rows[i].n || (strstr(st.hdrs, "Flow-Timer: 120\r\n") != NULL) != (rows[i].n == 1) ||
		    (expected.n && (expected.flow != 70 + i || expected.every_s != 120)))
			fail_msg("row %zu: %u", i, expected.n);
	}
	/* Taken back, it owes nothing any more. */
	expected.n = 0;
	assert_int_equal(submit_full(&st, "1001", "a", cseq++, OUTBOUND "Expires: 0\r\nContact: <sip:1@h>;reg-id=7;" A "\r\n", SIP_WSS, 75), 200);
	assert_null(strstr(st.hdrs, "Flow-Timer"));
	assert_int_equal(expected.n, 1);
	assert_int_equal(expected.flow, 75);
	assert_int_equal(expected.every_s, 0);
	/* But for what else is registered by it. */
	assert_int_equal(submit_full(&st, "1001", "a", cseq++, flow, SIP_TCP, 76), 200);
	assert_int_equal(submit_full(&st, "1002", "b", cseq++, plain, SIP_TCP, 76), 200);
	expected.n = 0;
	assert_int_equal(submit_full(&st, "1002", "b", cseq++, "Contact: <sip:1@h>;expires=0;" A "\r\n", SIP_TCP, 76), 200);
	assert_int_equal(expected.n, 0);
	/* It was silent: its contact goes with it */
	flow_closed_fn(76, flow_closed_arg);
	assert_null(registrar_find(registrar, "office", STR("1001")));
}

/* RFC 5626 §6: the flow is kept by whom the phone is connected to. */
static void test_outbound_first_hop_must_keep_the_flow(void **state)
{
	static const char flow[] = "Supported: outbound, path\r\nContact: <sip:1@h>;reg-id=1;" A "\r\n";
	static const struct { const char *lines; int status; } rows[] = {
		{ "", 200 },
		{ "Via: SIP/2.0/UDP edge;branch=z9hG4bKy\r\n", 439 },
		{ "Via: SIP/2.0/UDP edge;branch=z9hG4bKy\r\nPath: <sip:edge;lr>\r\n", 439 },
		{ "Via: SIP/2.0/UDP edge;branch=z9hG4bKy\r\nPath: <sip:edge;lr;ob>\r\n", 200 },
		/* the edge's is the last one */
		{ "Via: SIP/2.0/UDP edge;branch=z9hG4bKy\r\nPath: <sip:inner;lr;ob>, <sip:edge;lr>\r\n", 439 },
		{ "Via: SIP/2.0/UDP edge;branch=z9hG4bKy\r\nPath: <sip:inner;lr>\r\nPath: <sip:t@edge;lr;ob>\r\n", 200 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct strans st;
		char lines[1024];

		snprintf(lines, sizeof(lines), "%s%s", rows[i].lines, flow);
		if (submit_full(&st, "1001", "a", cseq++, lines, SIP_UDP, 1) != rows[i].status)
			fail_msg("row %zu: %d %s", i, st.status, st.reason);
	}
}

static void test_outbound_path_is_kept_and_told(void **state)
{
	static const char *const bad[] = { "Path: sip:\r\n", "Path: <sip:p;lr\r\n", "Path: <tel:+1>\r\n", "Path: <sip:\xff>\r\n" };
	static char too_long[BINDING_PATH_MAX + 64];
	const struct binding *b;
	struct strans st;
	json_t *doc;

	(void)state;
	submit_full(&st, "1001", "a", cseq++, "Path: <sip:p1;lr>, <sip:p2:5062;lr;x=\"a,b\">\r\nPath: <sips:p3>\r\nContact: <sip:1@h>\r\n", SIP_TCP, 9);
	assert_int_equal(st.status, 200);
	assert_non_null(strstr(st.hdrs, "Path: <sip:p1;lr>,<sip:p2:5062;lr;x=\"a,b\">,<sips:p3>\r\n"));
	b = registrar_find(registrar, "office", STR("1001"));
	assert_string_equal(b->path, "<sip:p1;lr>,<sip:p2:5062;lr;x=\"a,b\">,<sips:p3>");
	doc = kept_doc(nkept - 1);
	assert_string_equal(json_string_value(json_object_get(doc, "path")), b->path);
	json_decref(doc);
	/* The proxy's connection isn't the phone's */
	flow_closed_fn(9, flow_closed_arg);
	assert_int_equal(registrar_count(registrar), 1);
	/* Another way, without proxies */
	assert_int_equal(submit(&st, "Contact: <sip:1@h>\r\n"), 200);
	assert_null(strstr(st.hdrs, "Path"));
	assert_null(registrar_find(registrar, "office", STR("1001"))->path);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char lines[256];

		snprintf(lines, sizeof(lines), "%sContact: <sip:1@h>\r\n", bad[i]);
		if (submit(&st, lines) != 400)
			fail_msg("row %zu: %d", i, st.status);
	}
	memset(too_long, 'x', sizeof(too_long) - 1);
	memcpy(too_long, "Contact: <sip:1@h>\r\nPath: <sip:", 31);
	memcpy(too_long + sizeof(too_long) - 4, ">\r\n", 4);
	assert_int_equal(submit(&st, too_long), 400);
}

static void test_outbound_other_address_of_a_phone_is_news(void **state)
{
	struct strans st;

	(void)state;
	submit(&st, "Contact: <sip:1@h:1>;" A "\r\n");
	assert_int_equal(nchanges, 1);
	submit(&st, "Contact: <sip:1@H:1>;" A "\r\n"); /* the same, spelt otherwise */
	assert_int_equal(nchanges, 1);
	submit(&st, OUTBOUND "Contact: <sip:1@h:1>;reg-id=1;" A "\r\n");
	nchanges = 0;
	submit(&st, OUTBOUND "Contact: <sip:1@h:2>;reg-id=1;" A "\r\n");
	assert_int_equal(nchanges, 1);
}

/* ---- exchanges (RFC 6140) ---- */

/* The URIs by which a number would be called. */
static const char *reached(const char *number)
{
	static char text[1024];
	char target[BINDING_TARGET_MAX];
	size_t n = 0;

	text[0] = '\0';
	for (struct registrar_reach at = registrar_reach(registrar, "office", str_from(number)); at.b; registrar_next(&at)) {
		assert_int_equal(binding_target(at.b, str_from(number), target), 0);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "", target);
	}
	return text;
}

static void test_outbound_exchange_registers_for_all_its_numbers(void **state)
{
#define GIN "Require: gin\r\nProxy-Require: gin\r\nSupported: path, gin, gruu\r\n"
	static const struct { const char *number, *lines; int status; } refused[] = {
		{ "1009", "Contact: <sip:198.51.100.3;bnc>\r\n", 400 },         /* what must be understood isn't required */
		{ "1009", GIN "Contact: <sip:ssp@198.51.100.3;bnc>\r\n", 400 },  /* §5.1: no user */
		{ "1001", GIN "Contact: <sip:198.51.100.3;bnc>\r\n", 403 },      /* a phone */
	};
	char target[BINDING_TARGET_MAX];
	struct registrar_gruu g;
	struct sip_uri uri;
	struct strans st;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (submit_full(&st, refused[i].number, "x", cseq++, refused[i].lines, SIP_UDP, 1) != refused[i].status || registrar_count(registrar))
			fail_msg("row %zu: %d %s", i, st.status, st.reason);
	/* §5.2, with what else stands in the URI; and a phone at its own number, which isn't for the others */
	assert_int_equal(submit_full(&st, "1009", "x", cseq++, GIN "Contact: <sip:198.51.100.3:5070;bnc;line=7>;" A "\r\n", SIP_UDP, 1), 200);
	assert_non_null(strstr(st.hdrs, "Contact: <sip:198.51.100.3:5070;bnc;line=7>;expires=600;" A ";pub-gruu="));
	/* RFC 6140 §7.1.1: of which it makes those of its phones */
	assert_non_null(strstr(st.hdrs, ";pub-gruu=\"sip:office;bnc;gr=" A_URN "\"\r\n"));
	assert_null(strstr(st.hdrs, "temp-gruu"));
	assert_int_equal(nchanges, 3); /* of each number, and its own */
	assert_non_null(strstr(st.hdrs, "gin"));
	assert_int_equal(submit_full(&st, "1009", "y", cseq++, "Contact: <sip:desk@198.51.100.4>;q=0.9\r\n", SIP_UDP, 1), 200);
	assert_string_equal(reached("2001"), "sip:2001@198.51.100.3:5070;line=7");
	assert_string_equal(reached("200#"), "sip:200%23@198.51.100.3:5070;line=7");
	assert_string_equal(reached("1009"), "sip:1009@198.51.100.3:5070;line=7 sip:desk@198.51.100.4");
	assert_string_equal(reached("1001"), "");
	assert_int_equal(sip_uri_parse(&uri, STR("sip:2001@office;gr=" A_URN ";sg=phone7")), 0);
	assert_int_equal(registrar_gruu_find(registrar, "office", &uri, &g), 0);
	assert_string_equal(g.number, "2001");
	assert_string_equal(g.instance, "<" A_URN ">");
	assert_int_equal(binding_target_sg(registrar_reach(registrar, "office", STR("2001")).b, STR("2001"), g.sg, target), 0);
	assert_string_equal(target, "sip:2001@198.51.100.3:5070;line=7;sg=phone7");
	assert_int_equal(sip_uri_parse(&uri, STR("sip:2001@office;gr=" A_URN ";sg=0123456789012345678901234567890123456789012345678901234567890123")), 0);
	assert_int_equal(registrar_gruu_find(registrar, "office", &uri, &g), -ESTALE);
	/* One that has a phone of its own rings there */
	assert_int_equal(submit_full(&st, "2002", "z", cseq++, "Contact: <sip:phone@198.51.100.5>\r\n", SIP_UDP, 1), 200);
	assert_string_equal(reached("2002"), "sip:phone@198.51.100.5");
	/* Secure ones stay so, addresses of version 6 too */
	assert_int_equal(submit_full(&st, "1009", "x", cseq++, GIN "Contact: <sips:[2001:db8::1];bnc>;" A "\r\n", SIP_TLS, 9), 200);
	assert_string_equal(reached("2001"), "sips:2001@[2001:db8::1]");
	/* No exchange any more: what it has registered may last for a while, its numbers aren't reached by it. */
	exchange.may_bulk = false;
	assert_string_equal(reached("2001"), "");
	exchange.may_bulk = true;
	nchanges = 0;
	directory_answer = DIR_UNKNOWN;
	assert_string_equal(reached("2001"), "");
	directory_answer = DIR_FOUND;
	flow_closed_fn(9, flow_closed_arg);
	assert_string_equal(reached("2001"), "");
	assert_int_equal(nchanges, 3);
}

/* ---- GRUU ---- */

/* The value of a parameter in the answer, between quotes. */
static struct str param(const struct strans *st, const char *name)
{
	char want[32];
	const char *p, *end;

	snprintf(want, sizeof(want), ";%s=\"", name);
	p = strstr(st->hdrs, want);
	assert_non_null(p);
	p += strlen(want);
	end = strchr(p, '"');
	assert_non_null(end);
	return (struct str){ p, (size_t)(end - p) };
}

static int find(struct str text, struct registrar_gruu *out)
{
	struct sip_uri uri;

	assert_int_equal(sip_uri_parse(&uri, text), 0);
	return registrar_gruu_find(registrar, "office", &uri, out);
}

static void test_outbound_gruus_mean_one_phone(void **state)
{
	char first[128], second[128], changed[128];
	struct registrar_gruu g;
	struct strans st;

	(void)state;
	assert_int_equal(submit(&st, "Contact: <sip:1@h>;" A "\r\n"), 200);
	assert_null(strstr(st.hdrs, "gruu="));
	assert_int_equal(submit(&st, "Supported: gruu\r\nContact: <sip:1@h>;" A "\r\n"), 200);
	assert_true(str_eqz(param(&st, "pub-gruu"), "sip:1001@office;gr=" A_URN));
	assert_int_equal(find(param(&st, "pub-gruu"), &g), 0);
	assert_string_equal(g.number, "1001");
	assert_string_equal(g.instance, "<" A_URN ">");
	str_copy(param(&st, "temp-gruu"), first, sizeof(first));
	assert_null(strstr(first, "1001"));
	assert_int_equal(find(str_from(first), &g), 0);
	assert_string_equal(g.number, "1001");
	assert_string_equal(g.domain, "office");
	assert_string_equal(g.instance, "<" A_URN ">");
	/* Each REGISTER gives another; the former ones hold (§5.1), also over a restart of the phone's other data */
	assert_int_equal(submit(&st, "Supported: gruu\r\nContact: <sip:1@i>;" A "\r\n"), 200);
	str_copy(param(&st, "temp-gruu"), second, sizeof(second));
	assert_string_not_equal(first, second);
	assert_int_equal(find(str_from(first), &g), 0);
	assert_int_equal(find(str_from(second), &g), 0);
	/* The user part may be written in capitals on the way, and may not be guessed */
	snprintf(changed, sizeof(changed), "%s", second);
	for (char *p = changed + 4; *p != '@'; p++)
		*p = *p >= 'a' && *p <= 'z' ? *p - 32 : *p;
	assert_int_equal(find(str_from(changed), &g), 0);
	/* Nor is it lost with its parameter: so our Contact has it, where one was called */
	*strchr(changed, ';') = '\0';
	assert_int_equal(find(str_from(changed), &g), 0);
	assert_string_equal(g.number, "1001");
	strcat(changed, ";gr");
	changed[20] = changed[20] == 'A' ? 'B' : 'A';
	assert_int_equal(find(str_from(changed), &g), -ESTALE);
	assert_int_equal(find(STR("sip:tgruu.x@office;gr"), &g), -ESTALE);
	assert_int_equal(find(STR("sip:1001@office;gr"), &g), -ESTALE);
	assert_int_equal(find(STR("sip:1001@office"), &g), -ENOENT);
	/* A new Call-ID ends them, the end of the registration too */
	submit_full(&st, "1001", "restarted", 1, "Supported: gruu\r\nContact: <sip:1@i>;" A "\r\n", SIP_UDP, 1);
	assert_int_equal(find(str_from(first), &g), -ESTALE);
	assert_int_equal(find(str_from(second), &g), -ESTALE);
	str_copy(param(&st, "temp-gruu"), first, sizeof(first));
	assert_int_equal(find(str_from(first), &g), 0);
	submit_full(&st, "1001", "restarted", 2, "Contact: *\r\nExpires: 0\r\n", SIP_UDP, 1);
	assert_int_equal(find(str_from(first), &g), -ESTALE);
}

/* RFC 5630: who registers a sips URI is given the sips version; either leads to him. */
static void test_outbound_gruu_has_the_scheme_of_the_contact(void **state)
{
	struct registrar_gruu g;
	struct strans st;

	(void)state;
	assert_int_equal(submit_full(&st, "1001", "secure", cseq++, "Supported: gruu\r\nContact: <sips:1@h>;" A "\r\n", SIP_TLS, 1), 200);
	assert_true(str_eqz(param(&st, "pub-gruu"), "sips:1001@office;gr=" A_URN));
	assert_true(str_istarts(param(&st, "temp-gruu"), STR("sips:tgruu.")));
	assert_int_equal(find(param(&st, "temp-gruu"), &g), 0);
	assert_string_equal(g.number, "1001");
	assert_int_equal(find(param(&st, "pub-gruu"), &g), 0);
	assert_int_equal(find(STR("sip:1001@office;gr=" A_URN), &g), 0);
	assert_string_equal(g.instance, "<" A_URN ">");
}

static void test_outbound_flows_share_their_gruus(void **state)
{
	struct registrar_gruu g;
	struct strans st;
	char gruu[128];

	(void)state;
	assert_int_equal(submit(&st, "Supported: outbound, gruu\r\nContact: <sip:1@h:1>;reg-id=1;" A "\r\n"), 200);
	str_copy(param(&st, "temp-gruu"), gruu, sizeof(gruu));
	assert_int_equal(submit(&st, "Supported: outbound, gruu\r\nContact: <sip:1@h:2>;reg-id=2;" A "\r\n"), 200);
	assert_int_equal(submit(&st, "Supported: outbound\r\nContact: <sip:1@h:1>;reg-id=1;expires=0;" A "\r\n"), 200);
	assert_int_equal(find(str_from(gruu), &g), 0);
	/* An instance that can't stand in a URI has none */
	assert_int_equal(submit_full(&st, "1002", "x", 1, "Supported: gruu\r\nContact: <sip:2@h>;+sip.instance=\"a b\"\r\n", SIP_UDP, 1), 200);
	assert_null(strstr(st.hdrs, "gruu="));
}

/* ---- the end of a flow, and of the process ---- */

static void test_outbound_failed_flow_goes(void **state)
{
	static const struct step steps[] = {
		{ "a", OUTBOUND "Contact: <sip:1@h>;reg-id=1;" A "\r\n", 200, "sip:1@h" },
		{ "a", OUTBOUND "Contact: <sip:1@h>;reg-id=2;" A "\r\n", 200, "sip:1@h sip:1@h" },
		{ "b", "Contact: <sip:1@h>;" B "\r\n", 200, "sip:1@h sip:1@h sip:1@h" },
	};
	struct binding_key key = { "office", "1001", "sip:1@h", "<" A_URN ">", 1 };

	(void)state;
	run(steps, ARRAY_LEN(steps));
	registrar_flow_failed(registrar, &key);
	assert_int_equal(registrar_count(registrar), 2);
	registrar_flow_failed(registrar, &key);
	assert_int_equal(registrar_count(registrar), 2);
	key.instance = NULL;
	key.reg_id = 0;
	registrar_flow_failed(registrar, &key);
	assert_int_equal(registrar_count(registrar), 2);
	key.number = "1009";
	registrar_flow_failed(registrar, &key);
	assert_int_equal(registrar_count(registrar), 2);
	assert_int_equal(registrar_find(registrar, "office", STR("1001"))->next->reg_id, 2);
}

static const char *row_of(unsigned i, const char *name)
{
	static char text[4][1100];
	static unsigned n;
	json_t *doc = kept_doc(i);
	char *out = text[n++ % 4];

	snprintf(out, sizeof(text[0]), "%s", json_string_value(json_object_get(doc, name)) ? json_string_value(json_object_get(doc, name)) : "");
	json_decref(doc);
	return out;
}

static void test_outbound_survives_a_restart(void **state)
{
	char gruu[128], gruu_id[32];
	struct registrar_gruu g;
	struct strans st;

	(void)state;
	assert_int_equal(submit(&st, "Supported: gruu, path\r\nPath: <sip:p;lr>\r\nContact: <sip:1@h>;" A "\r\n"), 200);
	str_copy(param(&st, "temp-gruu"), gruu, sizeof(gruu));
	snprintf(gruu_id, sizeof(gruu_id), "%s", row_of(0, "gruu_id"));
	const char *const cells[][BINDING_COLUMNS] = {
		{ "office", "1001", "sip:1@h", "<" A_URN ">", "phone-a", "7", "1000", "1700000600000", "tcp", "192.0.2.10:5062", "", "0",
		  "<sip:p;lr>", gruu_id, "n1" },
		/* went with its connection: a flow of this node, a browser; those of other nodes are theirs */
		{ "office", "1002", "sip:2@h", "<urn:b>", "b", "7", "1000", "1700000600000", "tls", "192.0.2.10:5062", "", "1", NULL, NULL, "n1" },
		{ "office", "1003", "sip:3@h", "", "b", "7", "1000", "1700000600000", "wss", "192.0.2.10:5062", "", "0", NULL, NULL, "n1" },
		{ "office", "1004", "sip:4@h", "", "b", "7", "1000", "1700000600000", "wss", "192.0.2.10:5062", "", "0", NULL, NULL, "n2" },
		/* registered anew meanwhile from another address */
		{ "office", "1005", "sip:old@h", "<urn:e>", "b", "7", "1000", "1700000600000", "udp", "192.0.2.10:5062", "", "0", NULL, NULL, "n1" },
		{ "office", "1005", "sip:else@h", "", "b", "7", "1000", "1700000600000", "udp", "192.0.2.10:5062", "", "0", NULL, NULL, "n1" },
	};
	const struct db_rows rows = { ARRAY_LEN(cells), cells };
	const struct db_answer answer = { .rows = &rows };
	const struct binding *b;

	registrar_close(registrar);
	start((struct db *)&nqueries);
	submit_full(&st, "1005", "new", 1, "Contact: <sip:new@h>;+sip.instance=\"<urn:e>\"\r\n", SIP_UDP, 1);
	nkept = 0;
	load_fn(1, &answer, load_arg);
	assert_int_equal(registrar_count(registrar), 4);
	b = registrar_find(registrar, "office", STR("1001"));
	assert_string_equal(b->path, "<sip:p;lr>");
	assert_int_equal(sockaddr_port(&b->dest.addr), 5062);
	assert_int_equal(find(str_from(gruu), &g), 0);
	assert_string_equal(g.number, "1001");
	assert_null(registrar_find(registrar, "office", STR("1002")));
	assert_null(registrar_find(registrar, "office", STR("1003")));
	assert_non_null(registrar_find(registrar, "office", STR("1004")));
	b = registrar_find(registrar, "office", STR("1005"));
	assert_string_equal(b->contact, "sip:else@h");
	assert_string_equal(b->next->contact, "sip:new@h");
	assert_null(b->next->next);
	/* and what went is taken out of the database */
	assert_int_equal(nkept, 3);
	assert_string_equal(row_of(0, "contact"), "sip:2@h");
	assert_string_equal(row_of(2, "contact"), "sip:old@h");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_outbound_restarted_phone_takes_its_old_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_phone_is_known_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_equal_contacts_of_two_phones_stand_beside_each_other, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_flows_stand_beside_each_other, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_answer_says_what_was_done, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_flow_must_show_life_where_it_is_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_first_hop_must_keep_the_flow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_path_is_kept_and_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_other_address_of_a_phone_is_news, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_exchange_registers_for_all_its_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_gruus_mean_one_phone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_gruu_has_the_scheme_of_the_contact, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_flows_share_their_gruus, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_failed_flow_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbound_survives_a_restart, setup, teardown),
	};

	return cmocka_run_group_tests_name("outbound", tests, NULL, NULL);
}
