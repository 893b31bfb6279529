/* test_msg.c - the message parser: what RFC 3261 §7 and §25 allow, and what a broken message is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/out.h"
#include "sip/msg.h"

static char bytes[SIP_MSG_MAX];
static struct sip_msg msg;
static struct sip_msg_error error;

static int parse(const char *text)
{
	size_t n = strlen(text);

	memcpy(bytes, text, n);
	return sip_msg_parse(&msg, bytes, n, &error);
}

#define COMMON                                            \
	"Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKx\r\n" \
	"From: <sip:a@x>;tag=1\r\nTo: <sip:b@y>\r\nCall-ID: c\r\n"

/* RFC 4475 §3.1.1.1, shortened in the middle: folding, compact forms, odd case, escapes, empty and unknown headers. */
static const char torture[] =
	"INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n"
	"TO :\r\n"
	" sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n"
	"from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n"
	"  ;\r\n"
	"  tag = 98asjd8\r\n"
	"MaX-fOrWaRdS: 0068\r\n"
	"Call-ID: wsinv.ndaksdj@192.0.2.1\r\n"
	"Content-Length   : 4\r\n"
	"cseq: 0009\r\n"
	"  INVITE\r\n"
	"Via  : SIP  /   2.0\r\n"
	" /UDP\r\n"
	"    192.0.2.2;branch=390skdjuw\r\n"
	"s :\r\n"
	"NewFangledHeader:   newfangled value\r\n"
	" continued newfangled value\r\n"
	"UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n"
	"Content-Type: application/sdp\r\n"
	"Route:\r\n"
	" <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n"
	"v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n"
	"  branch  =   z9hG4bK9ikj8  ,\r\n"
	" SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n"
	" z9hG4bK30239\r\n"
	"m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n"
	"      newvalue ;\r\n"
	"  secondparam ; q = 0.33\r\n"
	"\r\n"
	"v=0\r";

static void test_msg_torture_4475_3_1_1_1_is_read(void **state)
{
	struct sip_hdr_iter it = { 0 };
	struct str one;
	unsigned vias = 0;

	(void)state;
	assert_int_equal(parse(torture), 0);
	assert_int_equal(msg.method, SIP_INVITE);
	assert_true(str_eqz(msg.to.tag, "1918181833n"));
	assert_true(str_eqz(msg.from.tag, "98asjd8"));
	assert_true(str_eqz(msg.from.display, "J Rosenberg \\\\\\\""));
	assert_int_equal(msg.max_forwards, 68);
	assert_int_equal(msg.cseq.seq, 9);
	assert_true(str_eqz(msg.via.host, "192.0.2.2"));
	assert_true(str_eqz(msg.via.transport, "UDP"));
	assert_true(str_eqz(msg.via.branch, "390skdjuw"));
	assert_true(str_eqz(sip_msg_value_by_name(&msg, "newfangledheader"), "newfangled value   continued newfangled value"));
	assert_int_equal(msg.body.n, 4);
	while (sip_msg_element_next(&msg, SIP_HDR_VIA, &it, &one)) {
		struct sip_via via;

		assert_int_equal(sip_via_parse(&via, one), 0);
		vias++;
	}
	assert_int_equal(vias, 3);
	assert_true(sip_msg_has(&msg, SIP_HDR_CONTACT));
}

static void test_msg_broken_requests_are_told_why(void **state)
{
	static const struct { const char *text; int status; const char *reason; } rows[] = {
		{ "OPTIONS sip:b@y SIP/2.0\r\n" COMMON "CSeq: 1 OPTIONS\r\n\r\n", 0, NULL },
		{ "OPTIONS sip:b@y SIP/2.0\r\n" COMMON "\r\n", 400, "Missing CSeq" },
		{ "OPTIONS sip:b@y SIP/2.0\r\n" COMMON "CSeq: 1 INVITE\r\n\r\n", 400, "CSeq method differs from the request's" },
		{ "OPTIONS sip:b@y SIP/2.0\r\n" COMMON "CSeq: 36893488147419103232 OPTIONS\r\n\r\n", 400, "Malformed CSeq" }, /* 3.1.2.4 */
		{ "OPTIONS sip:b@y SIP/7.0\r\n" COMMON "CSeq: 1 OPTIONS\r\n\r\n", 505, "Version Not Supported" },          /* 3.1.2.16 */
		{ "OPTIONS <sip:b@y> SIP/2.0\r\n" COMMON "CSeq: 1 OPTIONS\r\n\r\n", 400, "Malformed Request-URI" },        /* 3.1.2.7 */
		{ "OPTIONS sip:b@y; lr SIP/2.0\r\n" COMMON "CSeq: 1 OPTIONS\r\n\r\n", 400, "Malformed Request-URI" },      /* 3.1.2.8 */
		{ "OPTIONS sip:b@y SIP/2.0\r\n" COMMON "CSeq: 1 OPTIONS\r\nContent-Length: 9999\r\n\r\n", 400, "Content-Length exceeds the body" }, /* 3.1.2.2 */
		{ "OPTIONS sip:b@y SIP/2.0\r\n" COMMON "CSeq: 1 OPTIONS\r\nContent-Length: -1\r\n\r\n", 400, "Malformed Content-Length" }, /* 3.1.2.3 */
		{ "OPTIONS sip:b@y SIP/2.0\r\n" COMMON "CSeq: 1 OPTIONS\r\nTo: <sip:z@y>\r\n\r\n", 400, "Header that may stand once is repeated" }, /* 3.3.8 */
		{ "OPTIONS sip:b@y SIP/2.0\r\n" COMMON "CSeq: 1 OPTIONS\r\nMax-Forwards: x\r\n\r\n", 400, "Malformed Max-Forwards" },
		{ "OPTIONS sip:b@y SIP/2.0\r\n" COMMON "CSeq: 1 OPTIONS\r\nno colon here\r\n\r\n", 400, "Malformed header line" },
		{ "OPTIONS sip:b@y SIP/2.0\r\n" COMMON "CSeq: 1 OPTIONS\r\n", 400, "Header section doesn't end" },
		{ "OPTIONS sip:b@y SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: \"x <sip:a@x>;tag=1\r\nTo: <sip:b@y>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n",
		  400, "Malformed From" }, /* 3.1.2.15 unterminated quoted string */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int r = parse(rows[i].text);

		assert_int_equal(r, rows[i].status ? -EINVAL : 0);
		assert_int_equal(error.status, rows[i].status);
		if (rows[i].status) {
			assert_string_equal(error.reason, rows[i].reason);
			assert_true(msg.via.host.n > 0);
		}
	}
}

static void test_msg_without_via_or_sense_is_dropped(void **state)
{
	static const char *const rows[] = {
		"", "\r\n\r\n", "hello\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "INVITE\r\n\r\n",
		"OPTIONS sip:b@y SIP/2.0\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@y>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n",
		/* a transport that is no token (RFC 3261 §25.1) would end elsewhere when it is repeated */
		"OPTIONS sip:b@y SIP/2.0\r\nVia: SIP/2.0/M; branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@y>\r\nCall-ID: c\r\n"
		"CSeq: 1 OPTIONS\r\n\r\n",
		"SIP/2.0 99 No\r\n" COMMON "CSeq: 1 OPTIONS\r\n\r\n", "SIP/2.0 700 No\r\n" COMMON "CSeq: 1 OPTIONS\r\n\r\n",
		"SIP/2.0 200 OK\r\n" COMMON "\r\n", /* a broken response is never answered */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(parse(rows[i]), -EINVAL);
		assert_int_equal(error.status, 0);
	}
}

/* RFC 3261 §25.1: display-name is tokens or a quoted string. */
static void test_msg_display_name_without_quotes_has_no_escapes(void **state)
{
	static const char *const good[] = { "J R <sip:a@b>", "\"J\\\\\" <sip:a@b>", "\"\\\"\" <sip:a@b>", "<sip:a@b>" };
	static const char *const bad[] = { "J\\ <sip:a@b>", "J\\\" <sip:a@b>", "J\" <sip:a@b>", "\"J\\\" <sip:a@b>" };
	struct sip_addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(sip_addr_parse(&a, str_from(good[i])), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(sip_addr_parse(&a, str_from(bad[i])), -EINVAL);
}

static void test_msg_lists_split_outside_quotes(void **state)
{
	struct sip_hdr_iter it = { 0 };
	struct sip_addr a;
	struct str one;

	(void)state;
	assert_int_equal(parse("REGISTER sip:y SIP/2.0\r\n" COMMON "CSeq: 1 REGISTER\r\n"
			       "Contact: \"a, b\" <sip:x@1.2.3.4;p=1,2>;q=0.5, <sip:y@z>\r\nm: *\r\nSupported: path , gruu\r\nk:outbound\r\n\r\n"), 0);
	assert_true(sip_msg_element_next(&msg, SIP_HDR_CONTACT, &it, &one));
	assert_int_equal(sip_addr_parse(&a, one), 0);
	assert_true(str_eqz(a.display, "a, b"));
	assert_true(str_eqz(a.uri.params, "p=1,2"));
	assert_true(str_eqz(a.params, "q=0.5"));
	assert_true(sip_msg_element_next(&msg, SIP_HDR_CONTACT, &it, &one));
	assert_true(sip_msg_element_next(&msg, SIP_HDR_CONTACT, &it, &one));
	assert_true(str_eqz(one, "*"));
	assert_false(sip_msg_element_next(&msg, SIP_HDR_CONTACT, &it, &one));
	assert_true(sip_msg_has_token(&msg, SIP_HDR_SUPPORTED, "gruu"));
	assert_true(sip_msg_has_token(&msg, SIP_HDR_SUPPORTED, "outbound"));
	assert_false(sip_msg_has_token(&msg, SIP_HDR_SUPPORTED, "100rel"));
}

/* What is passed on to another leg must not become a header of its own there. */
static void test_msg_lone_cr_becomes_a_space(void **state)
{
	(void)state;
	assert_int_equal(parse("BYE sip:y SIP/2.0\r\n" COMMON "CSeq: 1 BYE\r\nReason: SIP;text=\"a\rRoute: <sip:b>\"\r\r\n \rc\r\n\r\n"), 0);
	assert_true(str_eqz(sip_msg_value(&msg, SIP_HDR_REASON), "SIP;text=\"a Route: <sip:b>\"     c"));
	assert_true(str_empty(sip_msg_value(&msg, SIP_HDR_ROUTE)));
}

static void test_msg_hold_outlives_the_buffer(void **state)
{
	struct sip_msg *held, *again;

	(void)state;
	assert_int_equal(parse(torture), 0);
	held = sip_msg_hold(&msg);
	again = sip_msg_hold(held);
	assert_ptr_equal(held, again);
	memset(bytes, 'x', sizeof(bytes));
	memset(&msg, 0x55, sizeof(msg));
	sip_msg_release(again);
	assert_true(str_eqz(held->from.uri.host, "example.com"));
	assert_true(str_eqz(held->via.branch, "390skdjuw"));
	assert_true(str_eqz(sip_msg_value(held, SIP_HDR_CONTENT_TYPE), "application/sdp"));
	assert_true(str_eqz(held->ruri.user, "vivekg"));
	assert_memory_equal(held->body.p, "v=0\r", 4);
	sip_msg_release(held);
}

/* A stream gives the same messages however it is cut. */
static void test_msg_frame_is_split_invariant(void **state)
{
	static const char stream[] = "\r\n\r\nOPTIONS sip:b@y SIP/2.0\r\nl: 5\r\n\r\nhelloSIP/2.0 200 OK\r\nContent-Length:\r\n 2\r\n\r\nab";
	size_t n = sizeof(stream) - 1;

	(void)state;
	for (size_t cut = 0; cut <= n; cut++) {
		size_t at = 0, have = cut, skip, found = 0;

		while (at < n) {
			ptrdiff_t len = sip_msg_frame(stream + at, have - at, &skip);

			assert_true(len >= 0);
			at += skip;
			if (len == 0 && have == n)
				break;
			if (len == 0)
				have = n;
			else {
				assert_int_equal(len, found == 0 ? 38 : 41);
				found++;
			}
			at += (size_t)len;
		}
		assert_int_equal(found, 2);
	}
}

static void test_msg_frame_refuses(void **state)
{
	size_t skip;
	char *big = malloc(SIP_MSG_MAX + 10);

	(void)state;
	assert_int_equal(sip_msg_frame("GET / HTTP/1.0\r\n", 16, &skip), -EINVAL);
	assert_int_equal(sip_msg_frame("OPTIONS sip:b SIP/2.0\r\nv: x\r\n\r\n", 31, &skip), -EINVAL);
	assert_int_equal(sip_msg_frame("OPTIONS sip:b SIP/2.0\r\nl: 99999\r\n\r\n", 35, &skip), -EMSGSIZE);
	memset(big, 'a', SIP_MSG_MAX + 10);
	assert_int_equal(sip_msg_frame(big, SIP_MSG_MAX + 10, &skip), -EMSGSIZE);
	free(big);
}

/* They would be looked through again for each byte that comes. */
static void test_msg_frame_refuses_thousands_of_lines(void **state)
{
	static const char start[] = "OPTIONS sip:b@y SIP/2.0\r\n" COMMON "CSeq: 1 OPTIONS\r\nSubject: a\r\n", end[] = "l: 9\r\n\r\n";
	static const struct { unsigned nfolds; ptrdiff_t framed; } rows[] = { { 900, 0 }, { 9000, -EMSGSIZE } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = sizeof(start) - 1, skip;
		bool has_end;

		memcpy(bytes, start, n);
		for (unsigned k = 0; k < rows[i].nfolds; k++, n += 4)
			memcpy(bytes + n, " a\r\n", 4);
		assert_int_equal(sip_msg_frame(bytes, n, &skip), rows[i].framed);
		memcpy(bytes + n, end, sizeof(end) - 1);
		n += sizeof(end) - 1;
		assert_int_equal(sip_msg_frame(bytes, n, &skip), rows[i].framed);
		/* What it is refused with says who asked. */
		n = sip_msg_cut(bytes, n, &has_end);
		assert_int_equal(has_end, rows[i].framed == 0);
		sip_msg_parse(&msg, bytes, n, &error);
		assert_true(str_eqz(msg.via.branch, "z9hG4bKx"));
	}
}

static void test_msg_credentials(void **state)
{
	struct sip_credentials c;
	struct sip_challenge ch;

	(void)state;
	assert_int_equal(sip_credentials_parse(&c, STR("Digest username=\"bob\", realm=\"a,b\", nonce=\"n\", uri=\"sip:x\", "
						       "response=\"r\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c\"")), 0);
	assert_true(str_eqz(c.realm, "a,b"));
	assert_true(str_eqz(c.algorithm, "SHA-256"));
	assert_int_equal(sip_credentials_parse(&c, STR("Basic abc")), -EINVAL);
	/* RFC 3261 §25.1: quotes inside a quoted-string are escaped, a token has none */
	assert_int_equal(sip_challenge_parse(&ch, STR("Digest realm=\"a\\\"b\", nonce=\"n\"")), 0);
	assert_true(str_eqz(ch.realm, "a\\\"b"));
	assert_int_equal(sip_challenge_parse(&ch, STR("Digest realm=\"a\"b\", nonce=\"n\"")), -EINVAL);
	assert_int_equal(sip_challenge_parse(&ch, STR("Digest realm=\"\"n\"\", nonce=\"n\"")), -EINVAL);
	assert_int_equal(sip_challenge_parse(&ch, STR("Digest realm=a\"b, nonce=\"n\"")), -EINVAL);
	assert_int_equal(sip_challenge_parse(&ch, STR("Digest nonce=\"n\", realm=\"a\\\"")), -EINVAL);
	assert_int_equal(sip_challenge_parse(&ch, STR("Digest nonce=\"n\", realm=\"")), -EINVAL);
	assert_int_equal(sip_challenge_parse(&ch, STR("Digest realm=\"r\", nonce=n\\")), -EINVAL);
	assert_int_equal(sip_credentials_parse(&c, STR("Digest username=\"bob\"")), -EINVAL);
	assert_int_equal(sip_challenge_parse(&ch, STR("Digest realm=\"r\", nonce=\"n\", stale=TRUE")), 0);
	assert_true(ch.stale);
}

#define MULTI(kind, boundary) "Content-Type: multipart/" kind ";boundary=" boundary "\r\n\r\n"

/* RFC 2046 §5.1.1, RFC 5621 §3 */
static void test_msg_part_is_found_among_others(void **state)
{
	static const struct { const char *ctype, *body, *part; } rows[] = {
		{ "application/sdp", "v=0\r\n", "v=0\r\n" },
		{ "Application/SDP;charset=x", "v=0\r\n", "v=0\r\n" },
		{ NULL, "v=0\r\n", "v=0\r\n" },
		{ "text/plain", "v=0\r\n", NULL },
		{ "application/sdp", "", NULL },
		{ "multipart/mixed;boundary=b", "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b--\r\n", "v=0\r\n" },
		{ "multipart/mixed; boundary=\"b b\"", "x\r\n--b b \r\nContent-Type:text/x\r\n\r\nno\r\n--b b\r\ncontent-type : "
		  "application/SDP;a=b\r\n\r\nv=0\r\n--b b--", "v=0" },
		{ "multipart/mixed;boundary=b", "--b\n\nplain\n--b\nContent-Type: application/sdp\n\nv=0\n--b--\n", "v=0" },
		{ "multipart/mixed;boundary=b", "--bb\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n", NULL },
		{ "multipart/mixed;boundary=b", "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n", NULL }, /* doesn't end */
		{ "multipart/mixed;boundary=b", "--b--\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n", NULL },
		{ "multipart/mixed;boundary=b", "--b\r\nContent-Type: application/sdp\r\n--b--\r\n", NULL }, /* headers alone */
		{ "multipart/mixed;boundary=b", "--b\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w\r\n"
		  "--b--\r\n", "dj0w" }, /* as it stands */
		{ "multipart/mixed;boundary=b", "--b\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: x-mine\r\n\r\ndj0w\r\n"
		  "--b--\r\n", NULL },
		{ "multipart/mixed;boundary=b", "--b\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: binary\r\n\r\nv=0\r\n"
		  "--b--\r\n", "v=0" },
		{ "multipart/mixed;boundary=\"\"", "--\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n----\r\n", NULL },
		{ "multipart/mixed", "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n", NULL },
		/* Content-Disposition: a description that is none of the session (RFC 3959) */
		{ "multipart/mixed;boundary=b", "--b\r\nContent-Type: application/sdp\r\nContent-Disposition: early-session\r\n\r\nv=1\r\n--b\r\n"
		  "Content-Type: application/sdp\r\nContent-Disposition: session;handling=required\r\n\r\nv=0\r\n--b--\r\n", "v=0" },
		{ "multipart/mixed;boundary=b", "--b\r\nContent-Type: application/sdp\r\nContent-Encoding: gzip\r\n\r\nv=0\r\n--b--\r\n", NULL },
		/* of alternatives the last that we understand, of others the first */
		{ "multipart/alternative;boundary=b", "--b\r\nContent-Type: application/sdp\r\n\r\nv=1\r\n--b\r\nContent-Type: application/sdp\r\n"
		  "\r\nv=0\r\n--b\r\nContent-Type: application/sdpng\r\n\r\n<x/>\r\n--b--\r\n", "v=0" },
		{ "multipart/mixed;boundary=b", "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\nContent-Type: application/sdp\r\n"
		  "\r\nv=1\r\n--b--\r\n", "v=0" },
		/* parts in parts, which may be cut off or too deep */
		{ "multipart/mixed;boundary=b", "--b\r\n" MULTI("alternative", "c") "--c\r\nContent-Type: text/plain\r\n\r\nx\r\n--c\r\n"
		  "Content-Type: application/sdp\r\n\r\nv=0\r\n--c--\r\n--b\r\nContent-Type: application/sdp\r\n\r\nv=1\r\n--b--\r\n", "v=0" },
		{ "multipart/mixed;boundary=b", "--b\r\n" MULTI("mixed", "c") "--c\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\n"
		  "Content-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n", "v=0" },
		{ "multipart/mixed;boundary=b", "--b\r\n" MULTI("related", "c") "--c\r\n" MULTI("mixed", "d") "--d\r\n" MULTI("mixed", "e")
		  "--e\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--e--\r\n--d--\r\n--c--\r\n--b--\r\n", "v=0" },
		{ "multipart/mixed;boundary=b", "--b\r\n" MULTI("related", "c") "--c\r\n" MULTI("mixed", "d") "--d\r\n" MULTI("mixed", "e")
		  "--e\r\n" MULTI("mixed", "f") "--f\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--f--\r\n--e--\r\n--d--\r\n--c--\r\n--b--\r\n", NULL },
		{ "multipart/mixed;boundary=b", "--b", NULL }, { "multipart/mixed;boundary=b", "\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sip_msg_error err;
		struct sip_msg m;
		char text[2048];
		int n = snprintf(text, sizeof(text), "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKx\r\nFrom: <sip:d@e>;tag=f\r\n"
				 "To: <sip:a@b>\r\nCall-ID: g\r\nCSeq: 1 INVITE\r\n%s%s%s\r\n%s", rows[i].ctype ? "Content-Type: " : "",
				 rows[i].ctype ? rows[i].ctype : "", rows[i].ctype ? "\r\n" : "", rows[i].body);
		char *exact = memcpy(malloc((size_t)n), text, (size_t)n); /* so that a sanitizer sees a read behind it */

		assert_int_equal(sip_msg_parse(&m, exact, (size_t)n, &err), 0);
		struct str part = sip_msg_part(&m, "application/sdp");
		if (rows[i].part ? !str_eqz(part, rows[i].part) : part.p != NULL)
			fail_msg("row %zu: '%.*s'", i, STR_ARG(part));
		free(exact);
	}
}

/* RFC 5621 §9.1, and what a stranger may have us compare: so many parts, so many references. */
static void test_msg_references_are_bounded(void **state)
{
	static const struct { unsigned nrefs, nparts; bool must; } rows[] = {
		{ 0, SIP_REFERRED_MAX, false }, { 0, SIP_REFERRED_MAX + 1, true }, { 31, 1, false }, { 32, 1, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sip_msg_error err;
		struct sip_msg m;
		char text[4096];
		struct out o;

		out_init(&o, text, sizeof(text));
		out_z(&o, "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKx\r\nFrom: <sip:d@e>;tag=f\r\nTo: <sip:a@b>\r\n"
			  "Call-ID: g\r\nCSeq: 1 INVITE\r\nContent-Type: multipart/mixed;boundary=b\r\nGeolocation: ");
		for (unsigned n = 0; n < rows[i].nrefs; n++)
			out_z(&o, "<cid:x>,");
		out_z(&o, "<cid:l>\r\n\r\n");
		for (unsigned n = 0; n < rows[i].nparts; n++)
			out_z(&o, "--b\r\nContent-ID: <l>\r\nContent-Disposition: by-reference\r\n\r\n\r\n");
		out_z(&o, "--b--\r\n");
		assert_true(out_ok(&o));
		assert_int_equal(sip_msg_parse(&m, text, o.len, &err), 0);
		if (sip_msg_must_understand(&m, "application/sdp") != rows[i].must)
			fail_msg("row %zu", i);
	}
}

/* RFC 2045 §6.7, §6.8; RFC 4648 §10 has the first rows. */
static void test_part_decode_undoes_transfer_encodings(void **state)
{
	static const struct { enum sip_transfer transfer; const char *content, *text; } rows[] = {
		{ SIP_BASE64, "", "" }, { SIP_BASE64, "Zg==", "f" }, { SIP_BASE64, "Zm8=", "fo" }, { SIP_BASE64, "Zm9v", "foo" },
		{ SIP_BASE64, "Zm9vYg==", "foob" }, { SIP_BASE64, "Zm9v\r\nYmFy\r\n", "foobar" }, { SIP_BASE64, "+/+/", "\xfb\xff\xbf" },
		{ SIP_BASE64, "Zg=", NULL }, { SIP_BASE64, "Zg", NULL }, { SIP_BASE64, "Z", NULL }, { SIP_BASE64, "Zm9v=", NULL },
		{ SIP_BASE64, "Z===", NULL }, { SIP_BASE64, "Zg==Zg==", NULL }, { SIP_BASE64, "Zm9v!", NULL }, { SIP_BASE64, "====", NULL },
		{ SIP_QUOTED_PRINTABLE, "v=3D0\r\no=3D-", "v=0\r\no=-" }, { SIP_QUOTED_PRINTABLE, "a=\r\nb \t\r\nc", "ab\r\nc" },
		{ SIP_QUOTED_PRINTABLE, "=c3=A4", "\xc3\xa4" }, { SIP_QUOTED_PRINTABLE, "", "" }, { SIP_QUOTED_PRINTABLE, "x\ny\n", "x\r\ny\r\n" },
		{ SIP_QUOTED_PRINTABLE, "=4", NULL }, { SIP_QUOTED_PRINTABLE, "=zz", NULL }, { SIP_QUOTED_PRINTABLE, "a=4\r\n1", NULL },
		{ SIP_AS_IS, "v=0\r\n", "v=0\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sip_part part = { .transfer = rows[i].transfer, .content = str_from(rows[i].content) };
		char buf[64];
		struct out o;
		int err;

		out_init(&o, buf, sizeof(buf));
		err = sip_part_decode(&part, &o);
		if (err ? rows[i].text != NULL : !rows[i].text || !str_eqz(out_view(&o), rows[i].text))
			fail_msg("row %zu %s: %d '%.*s'", i, rows[i].content, err, STR_ARG(out_view(&o)));
	}
}

/* Of the processor, the least of some tries: a message filled up with this line. */
static int64_t parse_ns(const char *line)
{
	static const char start[] = "OPTIONS sip:b@y SIP/2.0\r\n" COMMON "CSeq: 1 OPTIONS\r\n";
	int64_t least = INT64_MAX;

	for (int i = 0; i < 5; i++) {
		struct timespec from, to;
		size_t n = sizeof(start) - 1;

		memcpy(bytes, start, n);
		for (; n + strlen(line) + 2 < sizeof(bytes); n += strlen(line))
			memcpy(bytes + n, line, strlen(line));
		memcpy(bytes + n, "\r\n", 2);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
		assert_int_equal(sip_msg_parse(&msg, bytes, n + 2, &error), -EINVAL);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
		assert_int_equal(error.status, 400);
		int64_t ns = (int64_t)(to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec;
		least = ns < least ? ns : least;
	}
	return least;
}

/* As many lines as a message can have, each refused for another reason: looking for a colon ends with its line. */
static void test_msg_lines_without_colon_cost_no_more_than_others(void **state)
{
	(void)state;
	assert_true(parse_ns("a\n") < 10 * parse_ns(":\n"));
}

/* RFC 3261 §7.3.1: a comma inside of quotes or of <> is none of the list. */
static void test_msg_list_cut_heeds_quotes_and_brackets(void **state)
{
	static const struct { const char *list, *elements[3]; } rows[] = {
		{ "<sip:a>", { "<sip:a>" } },
		{ "<sip:a>, <sip:b,c>;x=y", { "<sip:a>", "<sip:b,c>;x=y" } },
		{ "\"Smith, J <x>\" <sip:a>,\"a\\\", b\" <sip:b> , <sip:c>", { "\"Smith, J <x>\" <sip:a>", "\"a\\\", b\" <sip:b>", "<sip:c>" } },
		{ ",<sip:a>,", { "", "<sip:a>", "" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str list = str_from(rows[i].list);

		for (size_t k = 0; k < 3 && rows[i].elements[k]; k++)
			assert_true(str_eqz(sip_list_cut(&list), rows[i].elements[k]));
		assert_null(list.p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msg_list_cut_heeds_quotes_and_brackets),
		cmocka_unit_test(test_part_decode_undoes_transfer_encodings),
		cmocka_unit_test(test_msg_part_is_found_among_others),
		cmocka_unit_test(test_msg_references_are_bounded),
		cmocka_unit_test(test_msg_display_name_without_quotes_has_no_escapes),
		cmocka_unit_test(test_msg_torture_4475_3_1_1_1_is_read),
		cmocka_unit_test(test_msg_broken_requests_are_told_why),
		cmocka_unit_test(test_msg_without_via_or_sense_is_dropped),
		cmocka_unit_test(test_msg_lists_split_outside_quotes),
		cmocka_unit_test(test_msg_lone_cr_becomes_a_space),
		cmocka_unit_test(test_msg_hold_outlives_the_buffer),
		cmocka_unit_test(test_msg_frame_is_split_invariant),
		cmocka_unit_test(test_msg_frame_refuses),
		cmocka_unit_test(test_msg_frame_refuses_thousands_of_lines),
		cmocka_unit_test(test_msg_credentials),
		cmocka_unit_test(test_msg_lines_without_colon_cost_no_more_than_others),
	};

	return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
