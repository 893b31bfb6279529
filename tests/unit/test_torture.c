/* test_torture.c - the torture messages of RFC 4475 and RFC 5118: what the parser says to each.
 *
 * Shortened where only length or a body without interest was left out. Where the RFCs let a receiver choose between refusing
 * and guessing, the choice is named beside the row. What needs more than the message (420, 416, 415, 483, 401) is decided above
 * the parser; here such a message is read without fault.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "sip/msg.h"

#define VIA "Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKkdjuw23492\r\n"
#define IDS "From: <sip:user@example.org>;tag=33242\r\nTo: <sip:user@example.com>\r\nCall-ID: x@192.0.2.15\r\n"
#define HEAD VIA IDS "Max-Forwards: 70\r\n"
#define LONG20 "extremelylongandwide"
#define LONG LONG20 LONG20 LONG20 LONG20 LONG20 LONG20 LONG20
#define ROW(section, text, result, status) { section, text, sizeof(text) - 1, result, status }

static char bytes[SIP_MSG_MAX];
static struct sip_msg msg;
static struct sip_msg_error error;

static int parse(const char *text, size_t n)
{
	memcpy(bytes, text, n);
	return sip_msg_parse(&msg, bytes, n, &error);
}

#define INTMETH "!interesting-Method0123456789_*+`.%indeed'~"
#define INTURI "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com"
static const char intmeth[] =
	INTMETH " " INTURI " SIP/2.0\r\n"
	"Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~\r\n"
	"To: \"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7F\" <" INTURI ">\r\n"
	"From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"\xD1\x80\xD0\xB0\";tag=_token~1'+`*%!-.\r\n"
	"Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\r\n"
	"CSeq: 139122385 " INTMETH "\r\n"
	"Max-Forwards: 255\r\n"
	"extensionHeader-!.%*+_`'~: \xEF\xBB\xBF\xE5\xA4\xA7\r\n"
	"Content-Length: 0\r\n\r\n";

static void test_torture_messages_get_their_answer(void **state)
{
	static const struct { const char *section, *text; size_t n; int result, status; } rows[] = {
		ROW("4475 3.1.1.2 intmeth", intmeth, 0, 0),
		ROW("4475 3.1.1.3 esc01",
		    "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0\r\n" VIA
		    "To: sip:%75se%72@example.com\r\nFrom: <sip:I%20have%20spaces@example.net>;tag=938\r\nCall-ID: esc01\r\nCSeq: 234234 INVITE\r\n"
		    "Contact: <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>\r\n\r\n", 0, 0),
		ROW("4475 3.1.1.4 escnull",
		    "REGISTER sip:example.com SIP/2.0\r\n" VIA "To: sip:null-%00-null@example.com\r\nFrom: sip:null-%00-null@example.com;tag=839923423\r\n"
		    "Call-ID: escnull\r\nCSeq: 14398234 REGISTER\r\nContact: <sip:%00@host5.example.com>, <sip:%00%00@host5.example.com>\r\n\r\n", 0, 0),
		ROW("4475 3.1.1.5 esc02", "RE%47IST%45R sip:registrar.example.com SIP/2.0\r\n" HEAD "CSeq: 29344 RE%47IST%45R\r\n\r\n", 0, 0),
		ROW("4475 3.1.1.6 lwsdisp",
		    "OPTIONS sip:user@example.com SIP/2.0\r\n" VIA "To: sip:user@example.com\r\nFrom: caller<sip:caller@example.com>;tag=323\r\n"
		    "Call-ID: lwsdisp\r\nCSeq: 60 OPTIONS\r\n\r\n", 0, 0),
		ROW("4475 3.1.1.7 longreq",
		    "INVITE sip:user@example.com SIP/2.0\r\nTo: \"I have a user name of " LONG " proportion\"<sip:user@example.com:6000;unknownparam1=" LONG
		    ";longparam" LONG "=shortvalue;very" LONG "ParameterNameWithNoValue>\r\nF: sip:" LONG "@example.net;tag=12982" LONG "424;unknownheaderparam"
		    LONG "name=" LONG "value\r\nCall-ID: longreq.onereally" LONG "longcallid\r\nCSeq: 3882340 INVITE\r\nUnknown-" LONG "-Name: unknown-" LONG
		    "-value\r\nVia: SIP/2.0/TCP sip33.example.com\r\nv: SIP/2.0/TCP sip32.example.com\r\nV: SIP/2.0/TCP " LONG ".example.com;branch=z9hG4bK"
		    LONG "\r\nMax-Forwards: 70\r\nContact: <sip:" LONG "@host5.example.net>\r\n\r\n", 0, 0),
		ROW("4475 3.1.1.8 dblreq",
		    "REGISTER sip:example.com SIP/2.0\r\n" HEAD "CSeq: 8 REGISTER\r\nContent-Length: 0\r\n\r\n\r\n"
		    "INVITE sip:joe@example.com SIP/2.0\r\nt: sip:joe@example.com\r\n\r\n", 0, 0),
		ROW("4475 3.1.1.9 semiuri", "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0\r\n" HEAD "CSeq: 8 OPTIONS\r\n\r\n", 0, 0),
		ROW("4475 3.1.1.10 transports",
		    "OPTIONS sip:user@example.com SIP/2.0\r\nVia: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw\r\n"
		    "Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf\r\nVia: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj\r\n"
		    "Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en\r\n" IDS "CSeq: 8 OPTIONS\r\n\r\n", 0, 0),
		ROW("4475 3.1.1.11 mpart01",
		    "MESSAGE sip:kumiko@example.org SIP/2.0\r\n" HEAD "CSeq: 127 MESSAGE\r\nMIME-Version: 1.0\r\n"
		    "Content-Type: multipart/mixed;boundary=7a9cbec02ceef655\r\n\r\n--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n"
		    "Content-Transfer-Encoding: binary\r\n\r\nHello\r\n--7a9cbec02ceef655\r\nContent-Type: application/octet-stream\r\n"
		    "Content-Transfer-Encoding: binary\r\n\r\n0\x82\x01\x52\x00\x06\x09*\x86H\r\n--7a9cbec02ceef655--", 0, 0),
		ROW("4475 3.1.1.12 unreason", "SIP/2.0 200 = 2**3 * 5**2 \xD0\xBD\xD0\xBE\r\n" HEAD "CSeq: 35 INVITE\r\n\r\n", 0, 0),
		ROW("4475 3.1.1.13 noreason", "SIP/2.0 100 \r\n" HEAD "CSeq: 35 INVITE\r\n\r\n", 0, 0),
		/* Read all the same: separators with nothing between them leave no doubt */
		ROW("4475 3.1.2.1 badinv01",
		    "INVITE sip:user@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.15;;,;,,\r\n" IDS "CSeq: 8 INVITE\r\nContact: \"Joe\" <sip:joe@example.org>;;;;\r\n\r\n", 0, 0),
		ROW("4475 3.1.2.2 clerr", "INVITE sip:user@example.com SIP/2.0\r\n" HEAD "CSeq: 8 INVITE\r\nContent-Length: 9999\r\n\r\nv=0\r\n", -EINVAL, 400),
		ROW("4475 3.1.2.3 ncl", "INVITE sip:user@example.com SIP/2.0\r\n" HEAD "CSeq: 8 INVITE\r\nContent-Length: -999\r\n\r\nv=0\r\n", -EINVAL, 400),
		ROW("4475 3.1.2.4 scalar02", "REGISTER sip:example.com SIP/2.0\r\n" VIA IDS "CSeq: 36893488147419103232 REGISTER\r\n\r\n", -EINVAL, 400),
		ROW("4475 3.1.2.4 scalar02, Max-Forwards",
		    "REGISTER sip:example.com SIP/2.0\r\n" VIA IDS "CSeq: 1 REGISTER\r\nMax-Forwards: 300\r\n\r\n", -EINVAL, 400),
		ROW("4475 3.1.2.5 scalarlg", "SIP/2.0 503 Service Unavailable\r\n" HEAD "CSeq: 9292394834772304023312 OPTIONS\r\n\r\n", -EINVAL, 0),
		ROW("4475 3.1.2.6 quotbal",
		    "INVITE sip:user@example.com SIP/2.0\r\n" VIA "From: <sip:a@b>;tag=1\r\nTo: \"Mr. J. User <sip:j.user@example.com>\r\n"
		    "Call-ID: quotbal\r\nCSeq: 8 INVITE\r\n\r\n", -EINVAL, 400),
		ROW("4475 3.1.2.7 ltgtruri", "INVITE <sip:user@example.com> SIP/2.0\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", -EINVAL, 400),
		ROW("4475 3.1.2.8 lwsruri", "INVITE sip:user@example.com; lr SIP/2.0\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", -EINVAL, 400),
		ROW("4475 3.1.2.9 lwsstart", "INVITE  sip:user@example.com  SIP/2.0\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", -EINVAL, 400),
		/* Read all the same, as the RFC allows */
		ROW("4475 3.1.2.10 trws", "OPTIONS sip:remote-target@example.com SIP/2.0  \r\n" HEAD "CSeq: 1 OPTIONS\r\n\r\n", 0, 0),
		/* Read; nothing here takes headers from a Request-URI */
		ROW("4475 3.1.2.11 escruri", "INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", 0, 0),
		ROW("4475 3.1.2.12 baddate", "INVITE sip:user@example.com SIP/2.0\r\n" HEAD "CSeq: 1 INVITE\r\nDate: Fri, 01 Jan 2010 16:00:00 EST\r\n\r\n", 0, 0),
		ROW("4475 3.1.2.13 regbadct, in To",
		    "REGISTER sip:example.com SIP/2.0\r\n" VIA "From: <sip:a@b>;tag=1\r\nTo: sip:user@example.com?Route=%3Csip:sip.example.com%3E\r\n"
		    "Call-ID: regbadct\r\nCSeq: 1 REGISTER\r\n\r\n", -EINVAL, 400),
		/* Both read as they are meant: the RFC finds it reasonable */
		ROW("4475 3.1.2.14 badaspec",
		    "OPTIONS sip:user@example.org SIP/2.0\r\n" VIA "From: \"Bell, Alexander\" <sip:a.g.bell@example.com>;tag=433423\r\n"
		    "To: \"Watson, Thomas\" < sip:t.watson@example.org >\r\nCall-ID: badaspec\r\nCSeq: 1 OPTIONS\r\n\r\n", 0, 0),
		ROW("4475 3.1.2.15 baddn",
		    "OPTIONS sip:t.watson@example.org SIP/2.0\r\n" VIA "From: Bell, Alexander <sip:a.g.bell@example.com>;tag=43\r\n"
		    "To: Watson, Thomas <sip:t.watson@example.org>\r\nCall-ID: baddn\r\nCSeq: 1 OPTIONS\r\n\r\n", 0, 0),
		ROW("4475 3.1.2.16 badvers", "OPTIONS sip:t.watson@example.org SIP/7.0\r\n" HEAD "CSeq: 1 OPTIONS\r\n\r\n", -EINVAL, 505),
		ROW("4475 3.1.2.17 mismatch01", "OPTIONS sip:user@example.com SIP/2.0\r\n" HEAD "CSeq: 8 INVITE\r\n\r\n", -EINVAL, 400),
		ROW("4475 3.1.2.18 mismatch02", "NEWMETHOD sip:user@example.com SIP/2.0\r\n" HEAD "CSeq: 8 INVITE\r\n\r\n", -EINVAL, 400), /* or 501 */
		ROW("4475 3.1.2.19 bigcode", "SIP/2.0 4294967301 better not break the receiver\r\n" HEAD "CSeq: 8 INVITE\r\n\r\n", -EINVAL, 0),
		ROW("4475 3.2.1 badbranch", "OPTIONS sip:user@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK\r\n" IDS "CSeq: 8 OPTIONS\r\n\r\n", 0, 0),
		ROW("4475 3.3.1 insuf", "INVITE sip:user@example.com SIP/2.0\r\nCSeq: 193942 INVITE\r\n" VIA "\r\n", -EINVAL, 400),
		ROW("4475 3.3.2 unkscm", "OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0\r\n" HEAD "CSeq: 3923423 OPTIONS\r\n\r\n", 0, 0),
		ROW("4475 3.3.3 novelsc", "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0\r\n" HEAD "CSeq: 3923423 OPTIONS\r\n\r\n", 0, 0),
		ROW("4475 3.3.4 unksm2",
		    "REGISTER sip:example.com SIP/2.0\r\n" VIA "To: isbn:2983792873\r\nFrom: <http://www.example.com>;tag=3234233\r\nCall-ID: unksm2\r\n"
		    "CSeq: 234902 REGISTER\r\nContact: <name:John_Smith>\r\n\r\n", 0, 0),
		/* Asks for what nobody has (420), brings what nobody reads (415), wants no SDP: not for the parser to say */
		ROW("4475 3.3.5 bext01",
		    "OPTIONS sip:user@example.com SIP/2.0\r\n" HEAD "CSeq: 8 OPTIONS\r\nRequire: nothingSupportsThis, nothingSupportsThisEither\r\n"
		    "Proxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis\r\n\r\n", 0, 0),
		ROW("4475 3.3.6 invut", "INVITE sip:user@example.com SIP/2.0\r\n" HEAD "CSeq: 235448 INVITE\r\nContent-Type: application/unknownformat\r\n\r\n<audio/>", 0, 0),
		ROW("4475 3.3.14 regescrt",
		    "REGISTER sip:example.com SIP/2.0\r\n" HEAD "CSeq: 14398234 REGISTER\r\nContact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>\r\n\r\n",
		    0, 0),
		ROW("4475 3.3.15 sdp01", "INVITE sip:user@example.com SIP/2.0\r\n" HEAD "CSeq: 8 INVITE\r\nAccept: text/nobodyKnowsThis\r\n\r\n", 0, 0),
		ROW("4475 3.3.7 regaut01", "REGISTER sip:example.com SIP/2.0\r\n" HEAD "CSeq: 9338 REGISTER\r\nAuthorization: NoOneKnowsThisScheme opaque-data=here\r\n\r\n", 0, 0),
		ROW("4475 3.3.8 multi01", "INVITE sip:user@company.com SIP/2.0\r\n" HEAD "CSeq: 5 INVITE\r\nCSeq: 59 INVITE\r\n\r\n", -EINVAL, 400),
		ROW("4475 3.3.9 mcl01", "OPTIONS sip:user@example.com SIP/2.0\r\n" HEAD "CSeq: 8 OPTIONS\r\nContent-Length: 13\r\nContent-Length: 5\r\n\r\nThere's no way", -EINVAL, 400),
		ROW("4475 3.3.10 bcast", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923\r\nVia: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23\r\n" IDS "CSeq: 35 INVITE\r\n\r\n", 0, 0),
		ROW("4475 3.3.11 zeromf", "OPTIONS sip:user@example.com SIP/2.0\r\n" VIA IDS "CSeq: 8 OPTIONS\r\nMax-Forwards: 0\r\n\r\n", 0, 0),
		ROW("4475 3.4.1 inv2543",
		    "INVITE sip:UserB@example.com SIP/2.0\r\nVia: SIP/2.0/UDP iftgw.example.com\r\nFrom: <sip:+13035551111@ift.client.example.net;user=phone>\r\n"
		    "To: sip:+16505552222@ss1.example.net;user=phone\r\nCall-ID: 1717@ift.client.example.com\r\nCSeq: 56 INVITE\r\n\r\n", 0, 0),
		ROW("5118 4.1 ipv6-good", "REGISTER sip:[2001:db8::10] SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111\r\n" IDS "CSeq: 98176 REGISTER\r\n\r\n", 0, 0),
		ROW("5118 4.2 ipv6-bad", "REGISTER sip:2001:db8::10 SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111\r\n" IDS "CSeq: 98176 REGISTER\r\n\r\n", -EINVAL, 400),
		ROW("5118 4.3 port-ambiguous", "REGISTER sip:[2001:db8::10:5070] SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111\r\n" IDS "CSeq: 98176 REGISTER\r\n\r\n", 0, 0),
		ROW("5118 4.4 port-unambiguous", "REGISTER sip:[2001:db8::10]:5070 SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111\r\n" IDS "CSeq: 98176 REGISTER\r\n\r\n", 0, 0),
		ROW("5118 4.5 received with brackets", "BYE sip:[2001:db8::10] SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111\r\n" IDS "CSeq: 321 BYE\r\n\r\n", 0, 0),
		ROW("5118 4.5 received without brackets", "OPTIONS sip:[2001:db8::10] SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3\r\n" IDS "CSeq: 921 OPTIONS\r\n\r\n", 0, 0),
		ROW("5118 4.7 mult-ip-in-header", "BYE sip:user@host.example.net SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144\r\nVia: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200\r\n" IDS "CSeq: 89187 BYE\r\n\r\n", 0, 0),
		ROW("5118 4.9 ipv4-mapped-ipv6", "INVITE sip:user@example.com SIP/2.0\r\nVia: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19\r\n" IDS "CSeq: 8 INVITE\r\n\r\n", 0, 0),
		ROW("5118 4.10 ipv6-bug-abnf-3-colons", "OPTIONS sip:user@[2001:db8:::192.0.2.1] SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8:::9:1];received=[2001:db8:::9:255];branch=z9hG4bKas3\r\n" IDS "CSeq: 921 OPTIONS\r\n\r\n", 0, 0),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int result = parse(rows[i].text, rows[i].n);

		if (result != rows[i].result || error.status != rows[i].status)
			fail_msg("%s: %d, %d %s", rows[i].section, result, error.status, error.reason ? error.reason : "");
	}
}

static void test_torture_intmeth_is_understood(void **state)
{
	struct str param;

	(void)state;
	assert_int_equal(parse(intmeth, sizeof(intmeth) - 1), 0);
	assert_int_equal(msg.method, SIP_OTHER);
	assert_true(str_eqz(msg.method_name, INTMETH));
	assert_true(str_eqz(msg.ruri.user, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
	assert_true(str_eqz(msg.ruri.password, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
	assert_true(str_eqz(msg.ruri.host, "example.com"));
	assert_true(str_eqz(msg.from.display, "token1~` token2'+_ token3*%!.-"));
	assert_true(str_eqz(msg.from.tag, "_token~1'+`*%!-."));
	assert_true(sip_param_find(msg.from.params, "fromParam''~+*_!.-%", &param));
	assert_int_equal(msg.to.display.n, sizeof("BEL:\\\x07 NUL:\\\x00 DEL:\\\x7F") - 1);
	assert_true(str_eqz(msg.call_id, "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"));
	assert_int_equal(msg.max_forwards, 255);
}

static void test_torture_escapes_stay_until_asked(void **state)
{
	static const char text[] = "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0\r\n" VIA
				   "To: sip:%75se%72@example.com\r\nFrom: <sip:I%20have%20spaces@example.net>;tag=938\r\nCall-ID: esc01\r\nCSeq: 234234 INVITE\r\n\r\n";
	char user[64];
	struct sip_uri uri;

	(void)state;
	assert_int_equal(parse(text, sizeof(text) - 1), 0);
	assert_int_equal(sip_unescape(msg.ruri.user, user, sizeof(user)), 0);
	assert_string_equal(user, "sips:user@example.com");
	assert_int_equal(sip_unescape(msg.from.uri.user, user, sizeof(user)), 0);
	assert_string_equal(user, "I have spaces");
	assert_int_equal(sip_uri_parse(&uri, STR("sip:user@example.com")), 0);
	assert_true(sip_uri_eq(&msg.to.uri, &uri));
	/* Two escaped NULs aren't one (3.1.1.4) */
	assert_int_equal(sip_uri_parse(&uri, STR("sip:%00@host5.example.com")), 0);
	assert_int_equal(sip_uri_parse(&msg.ruri, STR("sip:%00%00@host5.example.com")), 0);
	assert_false(sip_uri_eq(&msg.ruri, &uri));
}

/* 3.3.12 and 3.3.13: without <> a parameter is the header's, inside them the URI's. */
static void test_torture_parameters_belong_where_they_stand(void **state)
{
	struct sip_addr a;

	(void)state;
	assert_int_equal(sip_addr_parse(&a, STR("sip:+19725552222@gw1.example.net;unknownparam")), 0);
	assert_true(str_eqz(a.params, "unknownparam"));
	assert_true(str_empty(a.uri.params));
	assert_int_equal(sip_addr_parse(&a, STR("<sip:+19725552222@gw1.example.net;unknownparam>")), 0);
	assert_true(str_empty(a.params));
	assert_true(str_eqz(a.uri.params, "unknownparam"));
	/* 3.3.14 */
	assert_int_equal(sip_addr_parse(&a, STR("<sip:user@example.com?Route=%3Csip:sip.example.com%3E>")), 0);
	assert_true(str_eqz(a.uri.headers, "Route=%3Csip:sip.example.com%3E"));
	/* 3.1.2.13 */
	assert_int_equal(sip_addr_parse(&a, STR("sip:user@example.com?Route=%3Csip:sip.example.com%3E")), -EINVAL);
}

static void test_torture_double_request_is_cut(void **state)
{
	static const char text[] = "REGISTER sip:example.com SIP/2.0\r\n" HEAD "CSeq: 8 REGISTER\r\nContent-Length: 0\r\n\r\n\r\n"
				   "INVITE sip:joe@example.com SIP/2.0\r\nt: sip:joe@example.com\r\n\r\n";

	(void)state;
	assert_int_equal(parse(text, sizeof(text) - 1), 0);
	assert_int_equal(msg.method, SIP_REGISTER);
	assert_int_equal(msg.body.n, 0);
}

static void test_torture_ipv6_via(void **state)
{
	static const struct { const char *via, *host, *received; uint16_t port; } rows[] = {
		{ "SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3", "[2001:db8::9:1]", "", 6050 },
		{ "SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3", "[2001:db8::9:1]", "[2001:db8::9:255]", 0 },
		{ "SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3", "[2001:db8::9:1]", "2001:db8::9:255", 0 },
		{ "SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKas3", "[::ffff:192.0.2.10]", "", 19823 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sip_via via;

		if (sip_via_parse(&via, str_from(rows[i].via)) != 0 || !str_eqz(via.host, rows[i].host) ||
		    !str_eqz(via.received, rows[i].received) || via.port != rows[i].port || !str_eqz(via.branch, "z9hG4bKas3"))
			fail_msg("%s", rows[i].via);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_torture_messages_get_their_answer),
		cmocka_unit_test(test_torture_intmeth_is_understood),
		cmocka_unit_test(test_torture_escapes_stay_until_asked),
		cmocka_unit_test(test_torture_parameters_belong_where_they_stand),
		cmocka_unit_test(test_torture_double_request_is_cut),
		cmocka_unit_test(test_torture_ipv6_via),
	};

	return cmocka_run_group_tests_name("torture", tests, NULL, NULL);
}
