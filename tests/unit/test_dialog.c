/* test_dialog.c - what a dialog learns from messages and writes into the next (RFC 3261 §12). */
#include "sip/dialog.h"
#include "wire.h"

static const struct dialog_usage usage = { 0 };

struct fixture {
	struct wire *w;
	struct sip_ua *ua;
	struct dialog d;
	char text[4096];
	struct sip_msg msg;
	struct sip_source src;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->w = wire_new(1);
	f->ua = f->w->ends[0].ua;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	wire_free(f->w);
	free(f);
	return 0;
}

static const struct sip_msg *parse(struct fixture *f, const char *start, const char *hdrs)
{
	struct sip_msg_error err;

	snprintf(f->text, sizeof(f->text), "%s\r\nVia: SIP/2.0/UDP 127.0.0.2:5062;branch=z9hG4bKx\r\n%sContent-Length: 0\r\n\r\n",
		 start, hdrs);
	assert_int_equal(sip_msg_parse(&f->msg, f->text, strlen(f->text), &err), 0);
	return &f->msg;
}

static void source(struct fixture *f, enum sip_proto proto, const char *host, uint16_t port)
{
	memset(&f->src, 0, sizeof(f->src));
	f->src.proto = proto;
	f->src.flow = 77;
	assert_int_equal(sockaddr_parse(&f->src.peer, str_from(host), port), 0);
}

/* A dialog of an INVITE with this Contact and these further lines. */
static int accept_invite(struct fixture *f, const char *contact, const char *hdrs)
{
	char all[2048];

	snprintf(all, sizeof(all), "From: \"Bob \\\"B\\\"\" <sip:bob@biloxi.com;user=phone>;tag=their-tag\r\n"
		 "To: Alice <sip:alice@atlanta.com>\r\nCall-ID: a84b4c76e66710\r\nCSeq: 314159 INVITE\r\n"
		 "Contact: %s\r\n%s", contact, hdrs);
	return dialog_init_uas(&f->d, f->ua, &usage, parse(f, "INVITE sip:ali%63e@127.0.0.1 SIP/2.0", all), &f->src);
}

static void invite_from(struct fixture *f, const char *target, const char *route)
{
	struct dialog_params p = {
		.target = str_from(target), .from_uri = STR("sip:a@x"), .to_uri = STR("sip:b@y"),
		.to_display = STR("B"), .contact_user = STR("a b"), .call_id = STR("own-call-id"),
		.route = str_from(route), .dest = wire_dest(f->w, 'B'),
	};

	assert_int_equal(dialog_init_uac(&f->d, f->ua, &usage, &p), 0);
}

static void answer_2xx(struct fixture *f, const char *contact, const char *hdrs)
{
	char all[2048];

	snprintf(all, sizeof(all), "From: <sip:a@x>;tag=%s\r\nTo: <sip:b@y>;tag=theirs\r\nCall-ID: own-call-id\r\n"
		 "CSeq: 1 INVITE\r\n%s%s%s%s", f->d.local_tag, *contact ? "Contact: " : "", contact,
		 *contact ? "\r\n" : "", hdrs);
	assert_int_equal(dialog_establish(&f->d, parse(f, "SIP/2.0 200 OK", all)), 0);
}

/* The Request-URI and the headers of the next request. */
static const char *request(struct fixture *f, enum sip_method method, char *buf, size_t size)
{
	struct out o;
	struct str uri;
	char hdrs[2048];

	out_init(&o, hdrs, sizeof(hdrs));
	dialog_print_request(&f->d, &o, method, sip_method_name(method), 9, 0, &uri);
	assert_true(out_ok(&o));
	snprintf(buf, size, "%.*s\n%.*s", STR_ARG(uri), STR_ARG(out_view(&o)));
	return buf;
}

static void test_dialog_uas_request_turns_it_round(void **state)
{
	struct fixture *f = *state;
	char buf[4096], expected[1024];

	source(f, SIP_UDP, "127.0.0.2", 5062);
	assert_int_equal(accept_invite(f, "<sip:bob@127.0.0.2:5062>", ""), 0);
	snprintf(expected, sizeof(expected),
		 "sip:bob@127.0.0.2:5062\nMax-Forwards: 70\r\nFrom: \"Alice\" <sip:alice@atlanta.com>;tag=%s\r\n"
		 "To: \"Bob \\\"B\\\"\" <sip:bob@biloxi.com;user=phone>;tag=their-tag\r\nCall-ID: a84b4c76e66710\r\n"
		 "CSeq: 9 BYE\r\n", f->d.local_tag);
	assert_string_equal(request(f, SIP_BYE, buf, sizeof(buf)), expected);
	assert_non_null(strstr(request(f, SIP_NOTIFY, buf, sizeof(buf)), "\r\nContact: <sip:ali%63e@127.0.0.1:5061>\r\n"));
	assert_non_null(strstr(request(f, SIP_INVITE, buf, sizeof(buf)), "\r\nAllow: INVITE, "));
	dialog_fini(&f->d);
}

static void test_dialog_uas_without_contact_refused(void **state)
{
	struct fixture *f = *state;
	static const char *const rows[] = { "*", "<tel:+123>", "<mailto:a@b>", "<>" };

	source(f, SIP_UDP, "127.0.0.2", 5062);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(accept_invite(f, rows[i], ""), -EINVAL);
	assert_null(f->ua->dialogs);
}

/* RFC 3261 §8.1.1.8, §12.1.1, RFC 5630 §5.1: what begins with a sips URI has one in our Contact. */
static void test_dialog_contact_is_sips_where_it_must(void **state)
{
	static const struct { const char *contact, *routes; enum sip_proto proto; const char *line; } uas[] = {
		{ "<sip:b@127.0.0.2:5062>", "", SIP_TLS, "Contact: <sip:ali%63e@127.0.0.1:5061;transport=tls>\r\n" },
		{ "<sips:b@127.0.0.2:5062>", "", SIP_TLS, "Contact: <sips:ali%63e@127.0.0.1:5061>\r\n" },
		{ "<sip:b@127.0.0.2:5062>", "Record-Route: <sips:p;lr>\r\n", SIP_TLS, "Contact: <sips:ali%63e@127.0.0.1:5061>\r\n" },
		{ "<sips:b@127.0.0.2:5062>", "Record-Route: <sip:p;lr>\r\n", SIP_TLS, "Contact: <sip:ali%63e@127.0.0.1:5061;transport=tls>\r\n" },
		{ "<sips:b@127.0.0.2:5062>", "", SIP_WSS, "Contact: <sips:ali%63e@127.0.0.1:5061;transport=ws>\r\n" },
		/* behind something that ends TLS */
		{ "<sips:b@127.0.0.2:5062>", "", SIP_TCP, "Contact: <sip:ali%63e@127.0.0.1:5061;transport=tcp>\r\n" },
	};
	struct fixture *f = *state;
	char buf[4096];

	for (size_t i = 0; i < ARRAY_LEN(uas); i++) {
		source(f, SIP_UDP, "127.0.0.2", 5062);
		assert_int_equal(accept_invite(f, uas[i].contact, uas[i].routes), 0);
		f->d.dest.proto = uas[i].proto;
		if (!strstr(request(f, SIP_INVITE, buf, sizeof(buf)), uas[i].line))
			fail_msg("row %zu: %s", i, buf);
		dialog_fini(&f->d);
	}
	invite_from(f, "sips:b@127.0.0.2:5062", "");
	f->d.dest.proto = SIP_TLS;
	assert_non_null(strstr(request(f, SIP_INVITE, buf, sizeof(buf)), "Contact: <sips:a%20b@127.0.0.1:5061>\r\n"));
	dialog_fini(&f->d);
	invite_from(f, "sip:b@127.0.0.2:5062", "<sips:p1;lr>");
	f->d.dest.proto = SIP_TLS;
	assert_non_null(strstr(request(f, SIP_INVITE, buf, sizeof(buf)), "Contact: <sips:a%20b@127.0.0.1:5061>\r\n"));
	dialog_fini(&f->d);
}

static void test_dialog_uac_first_request_and_next(void **state)
{
	struct fixture *f = *state;
	char buf[4096], expected[1024];

	invite_from(f, "sip:b@127.0.0.2:5062", "<sip:p1;lr>, <sip:p2;lr>");
	snprintf(expected, sizeof(expected),
		 "sip:b@127.0.0.2:5062\nRoute: <sip:p1;lr>, <sip:p2;lr>\r\nMax-Forwards: 70\r\n"
		 "From: <sip:a@x>;tag=%s\r\nTo: \"B\" <sip:b@y>\r\nCall-ID: own-call-id\r\nCSeq: 9 BYE\r\n", f->d.local_tag);
	assert_string_equal(request(f, SIP_BYE, buf, sizeof(buf)), expected);
	assert_non_null(strstr(request(f, SIP_INVITE, buf, sizeof(buf)), "Contact: <sip:a%20b@127.0.0.1:5061>\r\n"));
	/* the 2xx sets the routes anew, in reverse (§12.1.2), and the target */
	answer_2xx(f, "Bob <sip:bob@127.0.0.2:7000>;q=1", "Record-Route: <sip:r1;lr>, <sip:r2;lr>\r\nRecord-Route: <sip:r3;lr>\r\n");
	snprintf(expected, sizeof(expected),
		 "sip:bob@127.0.0.2:7000\nRoute: <sip:r3;lr>, <sip:r2;lr>, <sip:r1;lr>\r\nMax-Forwards: 70\r\n"
		 "From: <sip:a@x>;tag=%s\r\nTo: \"B\" <sip:b@y>;tag=theirs\r\nCall-ID: own-call-id\r\nCSeq: 9 BYE\r\n",
		 f->d.local_tag);
	assert_string_equal(request(f, SIP_BYE, buf, sizeof(buf)), expected);
	dialog_fini(&f->d);
}

static void test_dialog_route_set_loose_and_strict(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *record_route, *uri, *route;
	} rows[] = {
		/* UAS: in order (§12.1.1) */
		{ "Record-Route: <sip:127.0.0.3;lr>\r\n", "sip:bob@127.0.0.2", "Route: <sip:127.0.0.3;lr>\r\n" },
		{ "Record-Route: <sip:127.0.0.3;lr>, <sip:127.0.0.4;lr>\r\n", "sip:bob@127.0.0.2",
		  "Route: <sip:127.0.0.3;lr>, <sip:127.0.0.4;lr>\r\n" },
		{ "Record-Route: \"a, b\" <sip:127.0.0.3;lr>;x=\"y,z\"\r\nRecord-Route: <sip:127.0.0.4;lr=on>\r\n",
		  "sip:bob@127.0.0.2", "Route: \"a, b\" <sip:127.0.0.3;lr>;x=\"y,z\", <sip:127.0.0.4;lr=on>\r\n" },
		/* strict: the first route becomes the Request-URI, the target ends the Route (§12.2.1.1) */
		{ "Record-Route: <sip:127.0.0.3>, <sip:127.0.0.4;lr>\r\n", "sip:127.0.0.3",
		  "Route: <sip:127.0.0.4;lr>, <sip:bob@127.0.0.2>\r\n" },
		{ "Record-Route: <sip:a?b@127.0.0.3>\r\n", "sip:a?b@127.0.0.3", "Route: <sip:bob@127.0.0.2>\r\n" },
		{ "Record-Route: <sip:127.0.0.3;a=b?Subject=x>\r\n", "sip:127.0.0.3;a=b", "Route: <sip:bob@127.0.0.2>\r\n" },
	};

	source(f, SIP_UDP, "127.0.0.2", 5060);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char buf[4096], expected[512];
		/* the Contact's headers stay behind */
		assert_int_equal(accept_invite(f, i % 2 ? "<sip:bob@127.0.0.2?Subject=x>" : "<sip:bob@127.0.0.2>", rows[i].record_route), 0);
		request(f, SIP_BYE, buf, sizeof(buf));
		snprintf(expected, sizeof(expected), "%s\n%sMax-Forwards", rows[i].uri, rows[i].route);
		assert_memory_equal(buf, expected, strlen(expected));
		dialog_fini(&f->d);
	}
}

/* The same for whoever called (§12.1.2: in reverse, from the 2xx), and before there is an answer, by a route that is configured. */
static void test_dialog_uac_route_set_loose_and_strict(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *record_route, *uri, *route, *dest;
	} rows[] = {
		{ "", "sip:bob@127.0.0.2", "", "127.0.0.2:5060" },
		{ "Record-Route: <sip:127.0.0.3;lr>\r\n", "sip:bob@127.0.0.2", "Route: <sip:127.0.0.3;lr>\r\n", "127.0.0.3:5060" },
		{ "Record-Route: <sip:127.0.0.3:5070>\r\n", "sip:127.0.0.3:5070", "Route: <sip:bob@127.0.0.2>\r\n", "127.0.0.3:5070" },
		{ "Record-Route: <sip:127.0.0.4;lr>, <sip:127.0.0.3;lr>\r\n", "sip:bob@127.0.0.2",
		  "Route: <sip:127.0.0.3;lr>, <sip:127.0.0.4;lr>\r\n", "127.0.0.3:5060" },
		/* the last of the response is the first on the way */
		{ "Record-Route: <sip:127.0.0.4;lr>\r\nRecord-Route: <sip:127.0.0.3>\r\n", "sip:127.0.0.3",
		  "Route: <sip:127.0.0.4;lr>, <sip:bob@127.0.0.2>\r\n", "127.0.0.3:5060" },
		/* a strict one behind a loose one is the proxy's to care for (§16.12) */
		{ "Record-Route: <sip:127.0.0.4>, <sip:127.0.0.3;lr>\r\n", "sip:bob@127.0.0.2",
		  "Route: <sip:127.0.0.3;lr>, <sip:127.0.0.4>\r\n", "127.0.0.3:5060" },
		{ "Record-Route: <sip:127.0.0.5;lr>, <sip:127.0.0.4>, <sip:127.0.0.3>\r\n", "sip:127.0.0.3",
		  "Route: <sip:127.0.0.4>, <sip:127.0.0.5;lr>, <sip:bob@127.0.0.2>\r\n", "127.0.0.3:5060" },
	};
	char buf[4096], expected[512], text[SOCKADDR_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		static const enum sip_method methods[] = { SIP_BYE, SIP_ACK, SIP_INFO, SIP_INVITE };

		invite_from(f, "sip:b@127.0.0.2:5062", "");
		answer_2xx(f, "<sip:bob@127.0.0.2>", rows[i].record_route);
		snprintf(expected, sizeof(expected), "%s\n%sMax-Forwards", rows[i].uri, rows[i].route);
		for (size_t k = 0; k < ARRAY_LEN(methods); k++)
			assert_memory_equal(request(f, methods[k], buf, sizeof(buf)), expected, strlen(expected));
		assert_string_equal(sockaddr_print(&f->d.dest.addr, text), rows[i].dest);
		dialog_fini(&f->d);
	}
	invite_from(f, "sip:b@127.0.0.2:5062", "<sip:127.0.0.3>, <sip:127.0.0.4;lr>");
	snprintf(expected, sizeof(expected), "sip:127.0.0.3\nRoute: <sip:127.0.0.4;lr>, <sip:b@127.0.0.2:5062>\r\nMax-Forwards");
	assert_memory_equal(request(f, SIP_INVITE, buf, sizeof(buf)), expected, strlen(expected));
	dialog_fini(&f->d);
}

static void test_dialog_destination_follows_target_route_or_flow(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum sip_proto from_proto;
		const char *from;        /* port 40000 */
		const char *contact, *hdrs;
		enum sip_proto proto;
		const char *dest;        /* with its port */
		bool on_flow;
	} rows[] = {
		/* the target, on the same listener */
		{ SIP_UDP, "127.0.0.2", "<sip:b@127.0.0.2:5070>", "", SIP_UDP, "127.0.0.2:5070", true },
		{ SIP_UDP, "127.0.0.2", "<sip:b@127.0.0.2>", "", SIP_UDP, "127.0.0.2:5060", true },
		{ SIP_UDP, "::1", "<sip:b@[::1]:5070>", "", SIP_UDP, "[::1]:5070", true },
		/* a private Contact that isn't the sender: back through the NAT */
		{ SIP_UDP, "198.18.0.1", "<sip:b@192.168.1.5:5060>", "", SIP_UDP, "198.18.0.1:40000", true },
		{ SIP_UDP, "10.9.9.9", "<sip:b@10.0.0.5:5060>", "", SIP_UDP, "10.9.9.9:40000", true },
		{ SIP_UDP, "127.0.0.2", "<sip:b@192.0.2.1>", "", SIP_UDP, "127.0.0.2:40000", true },
		{ SIP_TCP, "198.18.0.1", "<sip:b@172.20.0.1;transport=tcp>", "", SIP_TCP, "198.18.0.1:40000", true },
		{ SIP_UDP, "2a00::1", "<sip:b@[fd00::5]>", "", SIP_UDP, "[2a00::1]:40000", true },
		/* a public one is meant (a provider with several addresses) */
		{ SIP_UDP, "198.18.0.1", "<sip:b@8.8.4.4:5080>", "", SIP_UDP, "8.8.4.4:5080", false },
		/* the connection is used as long as it stands, whether or not Contact names the transport */
		{ SIP_TCP, "127.0.0.2", "<sip:b@127.0.0.2:5070;transport=tcp>", "", SIP_TCP, "127.0.0.2:5070", true },
		{ SIP_TCP, "127.0.0.2", "<sip:b@127.0.0.2:5070>", "", SIP_TCP, "127.0.0.2:5070", true },
		/* another transport was asked for */
		{ SIP_UDP, "127.0.0.2", "<sip:b@127.0.0.2:5070;transport=tcp>", "", SIP_TCP, "127.0.0.2:5070", false },
		{ SIP_TCP, "127.0.0.2", "<sip:b@127.0.0.2:5070;transport=udp>", "", SIP_UDP, "127.0.0.2:5070", false },
		/* a name, and nobody to look it up */
		{ SIP_UDP, "127.0.0.2", "<sip:b@phone.invalid>", "", SIP_UDP, "127.0.0.2:40000", true },
		/* the first route decides, NAT or not */
		{ SIP_UDP, "127.0.0.2", "<sip:b@192.168.1.5>", "Record-Route: <sip:127.0.0.3:5090;lr>\r\n", SIP_UDP,
		  "127.0.0.3:5090", false },
		{ SIP_UDP, "127.0.0.3", "<sip:b@192.168.1.5>", "Record-Route: <sip:127.0.0.3:5090;lr>\r\n", SIP_UDP,
		  "127.0.0.3:5090", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[SOCKADDR_TEXT_MAX];
		source(f, rows[i].from_proto, rows[i].from, 40000);
		assert_int_equal(accept_invite(f, rows[i].contact, rows[i].hdrs), 0);
		assert_string_equal(sockaddr_print(&f->d.dest.addr, text), rows[i].dest);
		assert_int_equal(f->d.dest.proto, rows[i].proto);
		assert_int_equal(f->d.dest.flow, rows[i].on_flow ? 77 : 0);
		dialog_fini(&f->d);
	}
}

/* RFC 4007 §11: only the receiver's own address says on which link the peer is. */
static void test_dialog_destination_keeps_the_link(void **state)
{
	struct fixture *f = *state;

	source(f, SIP_UDP, "fe80::5", 40000);
	f->src.peer.v6.sin6_scope_id = 3;
	assert_int_equal(accept_invite(f, "<sip:b@[fe80::5]:5070>", ""), 0);
	assert_int_equal(sockaddr_port(&f->d.dest.addr), 5070);
	assert_int_equal(f->d.dest.addr.v6.sin6_scope_id, 3);
	dialog_fini(&f->d);
}

static void test_dialog_name_looked_up_meanwhile_source(void **state)
{
	struct fixture *f = *state;
	char text[SOCKADDR_TEXT_MAX];
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(resolver_new(&f->ua->resolver, &(struct resolver_params){ .loop = &loop, .servers = "127.0.0.1:9" }), 0);
	source(f, SIP_UDP, "127.0.0.2", 40000);
	assert_int_equal(accept_invite(f, "<sip:b@localhost:5070>", ""), 0);
	assert_string_equal(sockaddr_print(&f->d.dest.addr, text), "127.0.0.2:40000");
	/* localhost isn't where the request came from, so the source is kept here too; with routes the name counts */
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_string_equal(sockaddr_print(&f->d.dest.addr, text), "127.0.0.2:40000");
	dialog_fini(&f->d);
	assert_int_equal(accept_invite(f, "<sip:b@127.0.0.2>", "Record-Route: <sip:localhost:5090;lr>\r\n"), 0);
	/* known by now: at once */
	assert_int_equal(sockaddr_port(&f->d.dest.addr), 5090);
	dialog_fini(&f->d);
	/* a dialog that ends first isn't told */
	assert_int_equal(accept_invite(f, "<sip:b@unknown.example>", ""), 0);
	assert_true(f->d.resolving);
	dialog_fini(&f->d);
	uv_run(&loop, UV_RUN_DEFAULT);
	resolver_close(f->ua->resolver);
	f->ua->resolver = NULL;
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_dialog_flow_moves_and_is_lost(void **state)
{
	struct fixture *f = *state;
	char text[SOCKADDR_TEXT_MAX];

	source(f, SIP_UDP, "127.0.0.2", 40000);
	assert_int_equal(accept_invite(f, "<sip:b@192.168.1.5>", ""), 0);
	assert_true(dialog_is_own_flow(&f->d, &f->src));
	/* the NAT has given the phone another port */
	source(f, SIP_UDP, "127.0.0.2", 40001);
	assert_true(dialog_is_own_flow(&f->d, &f->src));
	dialog_seen_from(&f->d, &f->src);
	assert_string_equal(sockaddr_print(&f->d.dest.addr, text), "127.0.0.2:40001");
	source(f, SIP_UDP, "127.0.0.3", 40001);
	assert_false(dialog_is_own_flow(&f->d, &f->src));
	dialog_fini(&f->d);

	source(f, SIP_TCP, "127.0.0.2", 40000);
	assert_int_equal(accept_invite(f, "<sip:b@127.0.0.2:5070;transport=tcp>", ""), 0);
	assert_true(dialog_flow_lost(&f->d));
	assert_int_equal(f->d.dest.flow, 0);
	assert_string_equal(sockaddr_print(&f->d.dest.addr, text), "127.0.0.2:5070");
	assert_false(dialog_flow_lost(&f->d));
	dialog_fini(&f->d);
}

static void test_dialog_found_by_call_id_and_tag(void **state)
{
	struct fixture *f = *state;
	char tag[DIALOG_TAG_LEN + 1];

	source(f, SIP_UDP, "127.0.0.2", 5062);
	assert_int_equal(accept_invite(f, "<sip:b@127.0.0.2>", ""), 0);
	memcpy(tag, f->d.local_tag, sizeof(tag));
	assert_ptr_equal(dialog_find(f->ua, STR("a84b4c76e66710"), str_from(tag)), &f->d);
	assert_null(dialog_find(f->ua, STR("A84b4c76e66710"), str_from(tag)));
	assert_null(dialog_find(f->ua, STR("a84b4c76e66710"), STR("their-tag")));
	assert_null(dialog_find(f->ua, STR("a84b4c76e66710"), STR_NULL));
	tag[0] ^= 1;
	assert_null(dialog_find(f->ua, STR("a84b4c76e66710"), str_from(tag)));
	assert_true(dialog_has_remote_tag(&f->d, STR("their-tag")));
	assert_false(dialog_has_remote_tag(&f->d, STR("Their-tag")));
	dialog_fini(&f->d);
	assert_null(f->ua->dialogs);
}

static void test_dialog_cseq_only_grows(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t seq;
		bool is_taken;
	} rows[] = { { 314159, true }, { 314158, false }, { 314160, true }, { 1, false }, { 400000, true }, { 399999, false },
		     { 4294967295u, true } };

	source(f, SIP_UDP, "127.0.0.2", 5062);
	assert_int_equal(accept_invite(f, "<sip:b@127.0.0.2>", ""), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		f->msg.cseq.seq = rows[i].seq;
		assert_int_equal(dialog_take_seq(&f->d, &f->msg), rows[i].is_taken);
	}
	dialog_fini(&f->d);
	/* as UAC the first request of the peer sets it (§12.2.2) */
	invite_from(f, "sip:b@127.0.0.2", "");
	f->msg.cseq.seq = 5;
	assert_true(dialog_take_seq(&f->d, &f->msg));
	f->msg.cseq.seq = 4;
	assert_false(dialog_take_seq(&f->d, &f->msg));
	dialog_fini(&f->d);
}

static void test_dialog_target_refreshed_by_contact(void **state)
{
	struct fixture *f = *state;
	char text[SOCKADDR_TEXT_MAX];
	char hdrs[] = "From: <sip:a@x>;tag=1\r\nTo: <sip:b@y>;tag=2\r\nCall-ID: x\r\nCSeq: 2 UPDATE\r\n";
	char with[512];

	source(f, SIP_UDP, "127.0.0.2", 5062);
	assert_int_equal(accept_invite(f, "<sip:b@127.0.0.2>", ""), 0);
	snprintf(with, sizeof(with), "%sm: <sip:new@127.0.0.2:5099>\r\n", hdrs);
	assert_int_equal(dialog_refresh_target(&f->d, parse(f, "UPDATE sip:a@b SIP/2.0", with)), 0);
	assert_string_equal(f->d.target, "sip:new@127.0.0.2:5099");
	assert_string_equal(sockaddr_print(&f->d.dest.addr, text), "127.0.0.2:5099");
	assert_int_equal(dialog_refresh_target(&f->d, parse(f, "UPDATE sip:a@b SIP/2.0", hdrs)), 0);
	assert_string_equal(f->d.target, "sip:new@127.0.0.2:5099");
	dialog_fini(&f->d);
}

static void test_dialog_2xx_without_contact_keeps_target(void **state)
{
	struct fixture *f = *state;
	char buf[1024];

	invite_from(f, "sip:b@127.0.0.2:5062", "");
	answer_2xx(f, "", "");
	assert_int_equal(strncmp(request(f, SIP_BYE, buf, sizeof(buf)), "sip:b@127.0.0.2:5062\n", 21), 0);
	dialog_fini(&f->d);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_dialog_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(uas_request_turns_it_round),
		T(uas_without_contact_refused),
		T(contact_is_sips_where_it_must),
		T(uac_first_request_and_next),
		T(route_set_loose_and_strict),
		T(uac_route_set_loose_and_strict),
		T(destination_follows_target_route_or_flow),
		T(destination_keeps_the_link),
		T(name_looked_up_meanwhile_source),
		T(flow_moves_and_is_lost),
		T(found_by_call_id_and_tag),
		T(cseq_only_grows),
		T(target_refreshed_by_contact),
		T(2xx_without_contact_keeps_target),
	};

	return cmocka_run_group_tests_name("dialog", tests, NULL, NULL);
}
