/* parse.c - messages a second on one core: Cordboard's parser beside those of libosip2 and Sofia-SIP, on the same messages.
 *
 *   parse OSIP.so SOFIA.so
 *
 * The messages are those of a registration and a call, as a phone and a proxy write them. Each parser must first say the same of each
 * message (parse.h); then they take turns, in rounds, and the best round of each counts: the others were disturbed. What is timed is a
 * datagram's bytes turned into those facts, and given back.
 *
 * Prints a line a message, and one for all of them together, which is a call's worth and a REGISTER. Exit: 0; 1 Cordboard
 * isn't the fastest at each by MARGIN; 2 trouble, or they don't agree.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "parse.h"

#define MARGIN 2.0
#define ROUNDS 15
#define ROUND_NS 20000000ull
#define PARSERS 3

#define SDP_OFFER \
	"v=0\r\n" \
	"o=- 3915263512 3915263512 IN IP4 192.0.2.17\r\n" \
	"s=call\r\n" \
	"c=IN IP4 192.0.2.17\r\n" \
	"t=0 0\r\n" \
	"m=audio 11796 RTP/AVP 9 0 8 18 101\r\n" \
	"a=rtpmap:9 G722/8000\r\n" \
	"a=rtpmap:0 PCMU/8000\r\n" \
	"a=rtpmap:8 PCMA/8000\r\n" \
	"a=rtpmap:18 G729/8000\r\n" \
	"a=fmtp:18 annexb=no\r\n" \
	"a=rtpmap:101 telephone-event/8000\r\n" \
	"a=fmtp:101 0-15\r\n" \
	"a=ptime:20\r\n" \
	"a=sendrecv\r\n"

#define SDP_ANSWER \
	"v=0\r\n" \
	"o=- 1763741234 1763741234 IN IP4 198.51.100.4\r\n" \
	"s=-\r\n" \
	"c=IN IP4 198.51.100.4\r\n" \
	"t=0 0\r\n" \
	"m=audio 18344 RTP/AVP 9 101\r\n" \
	"a=rtpmap:9 G722/8000\r\n" \
	"a=rtpmap:101 telephone-event/8000\r\n" \
	"a=fmtp:101 0-15\r\n" \
	"a=ptime:20\r\n" \
	"a=sendrecv\r\n"

_Static_assert(sizeof(SDP_OFFER) - 1 == 308 && sizeof(SDP_ANSWER) - 1 == 214, "Content-Length below");

#define VIA_PHONE "Via: SIP/2.0/UDP 192.0.2.17:5060;branch=z9hG4bK-524287-1---8f2a6b4c1d9e3f70;rport=49152;received=203.0.113.9\r\n"
#define VIA_PROXY "Via: SIP/2.0/UDP 198.51.100.2:5060;branch=z9hG4bKa9c4.5e1f7a33000000000000000000000000.0\r\n"
#define RECORD_ROUTE "Record-Route: <sip:198.51.100.2;lr;ftag=4b1c9d7e>\r\n"
#define FROM "From: \"Olive Operator\" <sip:1001@pbx.example.com>;tag=4b1c9d7e\r\n"
#define TO "To: \"1002\" <sip:1002@pbx.example.com>"
#define TO_TAG TO ";tag=as6f3b2c11\r\n"
#define CALL_ID "Call-ID: ZjA4OWYyMzk4NTRhNDYxNGE3ODZjYjk1MzU0ZTQ2ZDI\r\n"
#define USER_AGENT "User-Agent: Yealink SIP-T46U 108.86.0.20\r\n"
#define CONTACT_PHONE "Contact: <sip:1001@192.0.2.17:5060;transport=udp>\r\n"
#define CONTACT_PBX "Contact: <sip:1002@198.51.100.4:5060>\r\n"
#define ALLOW "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, INFO, PRACK, UPDATE, MESSAGE\r\n"
#define SUPPORTED "Supported: replaces, norefersub, 100rel, timer\r\n"
#define TYPE "Content-Type: application/sdp\r\n"
#define EMPTY "Content-Length: 0\r\n\r\n"

static const struct sample { const char *name, *text; } samples[] = {
	{ "INVITE with SDP", "INVITE sip:1002@pbx.example.com SIP/2.0\r\n" VIA_PROXY VIA_PHONE RECORD_ROUTE "Max-Forwards: 69\r\n" FROM
	  TO "\r\n" CALL_ID "CSeq: 2 INVITE\r\n" CONTACT_PHONE ALLOW SUPPORTED USER_AGENT "Session-Expires: 1800\r\nMin-SE: 90\r\n"
	  "P-Asserted-Identity: \"Olive Operator\" <sip:1001@pbx.example.com>\r\n" TYPE "Content-Length: 308\r\n\r\n" SDP_OFFER },
	{ "180", "SIP/2.0 180 Ringing\r\n" VIA_PROXY VIA_PHONE RECORD_ROUTE FROM TO_TAG CALL_ID "CSeq: 2 INVITE\r\n" CONTACT_PBX
	  ALLOW USER_AGENT EMPTY },
	{ "200 with SDP", "SIP/2.0 200 OK\r\n" VIA_PROXY VIA_PHONE RECORD_ROUTE FROM TO_TAG CALL_ID "CSeq: 2 INVITE\r\n" CONTACT_PBX
	  ALLOW SUPPORTED "Session-Expires: 1800;refresher=uac\r\nRequire: timer\r\n" TYPE "Content-Length: 214\r\n\r\n" SDP_ANSWER },
	{ "ACK", "ACK sip:1002@198.51.100.4:5060 SIP/2.0\r\n" VIA_PHONE "Route: <sip:198.51.100.2;lr;ftag=4b1c9d7e>\r\nMax-Forwards: 70\r\n"
	  FROM TO_TAG CALL_ID "CSeq: 2 ACK\r\n" CONTACT_PHONE USER_AGENT EMPTY },
	{ "BYE", "BYE sip:1002@198.51.100.4:5060 SIP/2.0\r\n" VIA_PHONE "Route: <sip:198.51.100.2;lr;ftag=4b1c9d7e>\r\nMax-Forwards: 70\r\n"
	  FROM TO_TAG CALL_ID "CSeq: 3 BYE\r\n" USER_AGENT "Reason: Q.850;cause=16;text=\"Normal call clearing\"\r\n" EMPTY },
	{ "REGISTER with digest", "REGISTER sip:pbx.example.com SIP/2.0\r\n" VIA_PHONE "Max-Forwards: 70\r\n"
	  "From: \"Olive Operator\" <sip:1001@pbx.example.com>;tag=2b7e1f5a\r\nTo: \"Olive Operator\" <sip:1001@pbx.example.com>\r\n"
	  CALL_ID "CSeq: 1021 REGISTER\r\nContact: <sip:1001@192.0.2.17:5060;transport=udp>"
	  ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-805ec0b8d1f2>\";reg-id=1;expires=3600\r\n"
	  "Authorization: Digest username=\"1001\", realm=\"pbx.example.com\", "
	  "nonce=\"019aa6f3c2d81f3e5d7c9b2a4f60718293a4b5c6d7e8f90a1b2c3d4e5f60\", uri=\"sip:pbx.example.com\", "
	  "response=\"6629fae49393a05397450978507c4ef1\", algorithm=MD5, cnonce=\"0a4f113b\", qop=auth, nc=00000001\r\n"
	  ALLOW "Supported: path, outbound, gruu\r\n" USER_AGENT EMPTY },
};

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static const struct parser *load(const char *path)
{
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct parser *p = so ? dlsym(so, "parser") : NULL;

	if (!p) {
		fprintf(stderr, "parse: %s\n", dlerror());
		exit(2);
	}
	return p;
}

/* Texts beside the numbers; the messages have no fact that one of them reads otherwise. */
static bool agree(const struct facts *a, const struct facts *b)
{
	return str_eq(a->method, b->method) && a->status == b->status && a->cseq == b->cseq && a->max_forwards == b->max_forwards &&
	       str_eq(a->call_id, b->call_id) && str_eq(a->from_tag, b->from_tag) && str_eq(a->to_tag, b->to_tag) &&
	       str_eq(a->branch, b->branch) && str_eq(a->from_user, b->from_user) && str_eq(a->to_host, b->to_host) &&
	       str_eq(a->ruri_host, b->ruri_host) && a->nvias == b->nvias && a->nroutes == b->nroutes && a->ncontacts == b->ncontacts &&
	       str_eq(a->via_host, b->via_host) && str_eq(a->contact_host, b->contact_host) && str_eq(a->route_host, b->route_host) &&
	       str_eq(a->content_type, b->content_type) && str_eq(a->auth_response, b->auth_response) &&
	       a->media_port == b->media_port && a->nformats == b->nformats && a->event_hz == b->event_hz &&
	       str_eq(a->media_addr, b->media_addr) && str_eq(a->event_format, b->event_format) && a->direction == b->direction;
}

static void compare(const struct sample *s, const struct parser *const parsers[PARSERS])
{
	struct facts facts[PARSERS] = { 0 };

	for (int p = 0; p < PARSERS; p++) {
		if (parsers[p]->parse(s->text, strlen(s->text), &facts[p]) != 0) {
			fprintf(stderr, "parse: %s doesn't take the %s\n", parsers[p]->name, s->name);
			exit(2);
		}
		if (!agree(&facts[0], &facts[p])) {
			fprintf(stderr, "parse: %s and %s read the %s differently\n", parsers[0]->name, parsers[p]->name, s->name);
			exit(2);
		}
	}
	for (int p = 0; p < PARSERS; p++)
		parsers[p]->release();
}

/* ns a message in a round. */
static double time_round(const struct parser *p, const struct sample *s)
{
	size_t len = strlen(s->text);
	uint64_t began = cpu_ns(), now, n = 0;

	do {
		for (int i = 0; i < 200; i++) {
			struct facts f = { 0 };

			p->parse(s->text, len, &f);
			p->release();
		}
		n += 200;
		now = cpu_ns();
	} while (now - began < ROUND_NS);
	return (double)(now - began) / (double)n;
}

static bool print(const char *name, const double ns[PARSERS])
{
	printf("%-22s", name);
	for (int p = 0; p < PARSERS; p++)
		printf("  %9.0f/s %7.2f us", 1e9 / ns[p], ns[p] / 1000);
	for (int p = 1; p < PARSERS; p++)
		printf("  %6.1fx", ns[p] / ns[0]);
	putchar('\n');
	return ns[1] >= MARGIN * ns[0] && ns[2] >= MARGIN * ns[0];
}

int main(int argc, char **argv)
{
	const struct parser *parsers[PARSERS] = { &cordboard_parser };
	double sum[PARSERS] = { 0 };
	bool ok = true;

	if (argc != PARSERS) {
		fprintf(stderr, "usage: parse OSIP.so SOFIA.so\n");
		return 2;
	}
	for (int p = 1; p < PARSERS; p++)
		parsers[p] = load(argv[p]);
	printf("%-22s", "one core");
	for (int p = 0; p < PARSERS; p++)
		printf("  %18s %2s", parsers[p]->name, "");
	printf("  %s\n", "   of these times Cordboard's");
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		double best[PARSERS] = { 1e9, 1e9, 1e9 };

		compare(&samples[i], parsers);
		for (int round = 0; round < ROUNDS; round++)
			for (int p = 0; p < PARSERS; p++) {
				double ns = time_round(parsers[p], &samples[i]);

				best[p] = ns < best[p] ? ns : best[p];
			}
		for (int p = 0; p < PARSERS; p++)
			sum[p] += best[p] / (double)ARRAY_LEN(samples);
		ok &= print(samples[i].name, best);
	}
	ok &= print("mean of these", sum);
	if (!ok)
		printf("OVER: Cordboard isn't %.0f times as fast as both at each\n", MARGIN);
	return !ok;
}
