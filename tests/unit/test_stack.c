/* test_stack.c - which transaction a message belongs to, what belongs to none, and where responses go. */
#include "sip_fixture.h"

#include <unistd.h>

#include "sip/guard.h"
#include "sip/stack_int.h"

#define COMMON                                                                                             \
	"Max-Forwards: 70\r\nFrom: <sip:a@192.0.2.10>;tag=theirs\r\nTo: <sip:us@192.0.2.200>\r\n"           \
	"Call-ID: call1\r\nContact: <sip:a@192.0.2.10:5062>\r\n"

static void receive(struct fx *fx, const char *method, const char *via, const char *cseq_method, unsigned cseq)
{
	fx_receive(fx, "%s sip:us@192.0.2.200 SIP/2.0\r\nVia: %s\r\n" COMMON "CSeq: %u %s\r\n\r\n", method, via, cseq, cseq_method);
}

/* ---- matching, RFC 3261 §17.2.3 ---- */

static void test_stack_request_is_matched_by_branch_sent_by_and_method(void **state)
{
	static const struct { const char *method, *via, *call_id; unsigned cseq; bool is_new; } rows[] = {
		{ "OPTIONS", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "c1", 1, true },
		{ "OPTIONS", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "c1", 1, false },
		{ "OPTIONS", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa;rport", "c1", 1, false },
		{ "OPTIONS", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKb", "c2", 1, true },
		{ "OPTIONS", "SIP/2.0/UDP 192.0.2.10:5063;branch=z9hG4bKa", "c3", 1, true },
		{ "OPTIONS", "SIP/2.0/UDP 192.0.2.11:5062;branch=z9hG4bKa", "c4", 1, true },
		{ "OPTIONS", "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKa", "c5", 1, true },
		{ "BYE", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "c1", 1, true },
		{ "BYE", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "c1", 1, false },
		/* The cookie makes the branch enough: what else differs is no matter. */
		{ "BYE", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "other", 9, false },
		/* Methods nobody knows are told apart by their names. */
		{ "FOO", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "c6", 1, true },
		{ "BAR", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "c6", 1, true },
		{ "FOO", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "c6", 1, false },
	};
	struct fx *fx = fx_new(SIP_UDP);
	unsigned nrequests = 0, again = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		fx_receive(fx,
			   "%s sip:us@192.0.2.200 SIP/2.0\r\nVia: %s\r\nFrom: <sip:a@x>;tag=t\r\nTo: <sip:b@x>\r\nCall-ID: %s\r\n"
			   "CSeq: %u %s\r\n\r\n",
			   rows[i].method, rows[i].via, rows[i].call_id, rows[i].cseq, rows[i].method);
		nrequests += rows[i].is_new;
		again += !rows[i].is_new;
		if (fx->nrequests != nrequests)
			fail_msg("row %zu: %u requests, not %u", i, fx->nrequests, nrequests);
	}
	assert_int_equal(sip_stack_counters(fx->stack)->retransmissions_received, again);
	assert_int_equal(sip_stack_counters(fx->stack)->requests, ARRAY_LEN(rows));
	assert_int_equal(sip_stack_counters(fx->stack)->strans_live, nrequests);
	fx_free(fx);
}

/* RFC 2543 clients send no cookie, some no branch: then their transaction is known by the rest. */
static void test_stack_request_without_cookie_is_matched_by_its_rest(void **state)
{
	static const char *const vias[] = { "SIP/2.0/UDP 192.0.2.10:5062", "SIP/2.0/UDP 192.0.2.10:5062;branch=1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vias); i++) {
		struct fx *fx = fx_new(SIP_UDP);

		receive(fx, "INVITE", vias[i], "INVITE", 1);
		receive(fx, "INVITE", vias[i], "INVITE", 1);
		assert_int_equal(fx->nrequests, 1);
		assert_string_equal(fx_sent_text(fx, 0), "100 100");
		assert_int_equal(strans_reply_simple(fx->st, 486, NULL), 0);
		/* Its ACK has the response's To tag (§17.2.3). */
		fx_receive(fx,
			   "ACK sip:us@192.0.2.200 SIP/2.0\r\nVia: %s\r\nFrom: <sip:a@192.0.2.10>;tag=theirs\r\n"
			   "To: <sip:us@192.0.2.200>;tag=%.*s\r\nCall-ID: call1\r\nCSeq: 1 ACK\r\n\r\n",
			   vias[i], STR_ARG(fx_sent(fx, -1)->to.tag));
		assert_int_equal(fx->nacks, 0);
		fx_forget_sent(fx);
		fx_advance(fx, SIP_T4_MS);
		assert_int_equal(fx->nsent, 0); /* it ended the repeating */
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
		receive(fx, "INVITE", vias[i], "INVITE", 2);
		assert_int_equal(fx->nrequests, 2);
		fx_free(fx);
	}
}

static void test_stack_cancel_without_cookie_finds_its_invite(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);

	(void)state;
	receive(fx, "INVITE", "SIP/2.0/UDP 192.0.2.10:5062", "INVITE", 1);
	receive(fx, "CANCEL", "SIP/2.0/UDP 192.0.2.10:5062", "CANCEL", 1);
	assert_string_equal(fx_sent_text(fx, 0), "100 200");
	receive(fx, "CANCEL", "SIP/2.0/UDP 192.0.2.10:5062", "CANCEL", 2);
	assert_string_equal(fx_sent_text(fx, 0), "100 200 481");
	fx_free(fx);
}

/* §8.2.2.2: the same request that came by two ways. */
static void test_stack_merged_request_is_482(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);

	(void)state;
	receive(fx, "INVITE", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "INVITE", 1);
	receive(fx, "INVITE", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKb", "INVITE", 1);
	assert_int_equal(fx->nrequests, 1);
	assert_string_equal(fx_sent_text(fx, 0), "100 482");
	assert_int_equal(sip_stack_counters(fx->stack)->merged, 1);
	/* The next request of the same dialog is no copy, nor is one inside a dialog. */
	receive(fx, "INVITE", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKc", "INVITE", 2);
	assert_int_equal(fx->nrequests, 2);
	for (unsigned i = 0; i < 2; i++)
		fx_receive(fx,
			   "INFO sip:us@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKd%u\r\n"
			   "From: <sip:a@x>;tag=t\r\nTo: <sip:b@x>;tag=u\r\nCall-ID: c\r\nCSeq: 1 INFO\r\n\r\n",
			   i);
	assert_int_equal(fx->nrequests, 4);
	assert_int_equal(sip_stack_counters(fx->stack)->merged, 1);
	fx_free(fx);
}

/* As long as the first one's transaction lasts, no longer: the same request may then be tried anew. */
static void test_stack_merged_request_is_forgotten_with_its_transaction(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);

	(void)state;
	receive(fx, "OPTIONS", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "OPTIONS", 1);
	strans_reply_simple(fx->st, 200, NULL);
	fx_advance(fx, 64 * SIP_T1_MS - 1);
	receive(fx, "OPTIONS", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKb", "OPTIONS", 1);
	assert_string_equal(fx_sent_text(fx, 0), "200 482");
	fx_advance(fx, 1);
	receive(fx, "OPTIONS", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKc", "OPTIONS", 1);
	assert_int_equal(fx->nrequests, 2);
	fx_free(fx);
}

/* A flood holds no more than so much: what would begin something is told to come back, what is under way goes on. */
static void test_stack_flood_is_shed_and_dialogs_go_on(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);

	(void)state;
	receive(fx, "INVITE", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "INVITE", 1);
	assert_int_equal(fx->nrequests, 1);
	fx->stack->strans_bytes_max = fx->stack->strans_bytes - 1;
	receive(fx, "INVITE", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKb", "INVITE", 2);
	assert_int_equal(fx->nrequests, 1);
	assert_string_equal(fx_sent_text(fx, 0), "100 503");
	uint32_t retry_s;
	assert_int_equal(str_to_u32(sip_msg_value(fx_sent(fx, 1), SIP_HDR_RETRY_AFTER), 1000, &retry_s), 0);
	assert_in_range(retry_s, 10, 39);
	assert_int_equal(sip_stack_counters(fx->stack)->shed, 1);
	assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 1);
	fx_receive(fx,
		   "BYE sip:us@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKd\r\n"
		   "From: <sip:a@x>;tag=t\r\nTo: <sip:b@x>;tag=u\r\nCall-ID: c\r\nCSeq: 1 BYE\r\n\r\n");
	assert_int_equal(fx->nrequests, 2);
	strans_reply_simple(fx->st, 200, NULL);
	/* A CANCEL of nothing holds nothing, that of the INVITE is taken; nor do made-up To tags hold more and more. */
	receive(fx, "CANCEL", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKf", "CANCEL", 9);
	assert_int_equal(fx_sent(fx, -1)->status, 481);
	assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 2);
	receive(fx, "CANCEL", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "CANCEL", 1);
	assert_int_equal(fx_sent(fx, -1)->status, 200);
	fx->stack->strans_bytes_max = fx->stack->strans_bytes / 2 - 1;
	fx_receive(fx,
		   "BYE sip:us@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKg\r\n"
		   "From: <sip:a@x>;tag=t\r\nTo: <sip:b@x>;tag=v\r\nCall-ID: c\r\nCSeq: 1 BYE\r\n\r\n");
	assert_int_equal(fx->nrequests, 2);
	assert_int_equal(fx_sent(fx, -1)->status, 503);
	assert_int_equal(sip_stack_counters(fx->stack)->shed, 2);
	/* There is room again. */
	fx->stack->strans_bytes_max = STRANS_BYTES_MAX;
	receive(fx, "INVITE", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKe", "INVITE", 3);
	assert_int_equal(fx->nrequests, 3);
	fx_free(fx);
}

/* Whatever path a transaction takes, what it held is given back. */
static void test_stack_bytes_held_are_given_back(void **state)
{
	static const int statuses[] = { 200, 486 };
	static const char *const methods[] = { "INVITE", "OPTIONS" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(statuses) * ARRAY_LEN(methods); i++) {
		struct fx *fx = fx_new(SIP_UDP);

		receive(fx, methods[i % 2], "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", methods[i % 2], 1);
		assert_true(fx->stack->strans_bytes > 200);
		strans_reply_simple(fx->st, statuses[i / 2], NULL);
		fx_advance(fx, 128 * SIP_T1_MS);
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
		assert_int_equal(fx->stack->strans_bytes, 0);
		fx_free(fx);
	}
}

/* As many Vias as fit into a request don't fit into its answer, a line for each; and headers of our own may be too many. */
static void test_stack_answer_too_long_ends_the_transaction(void **state)
{
	static const char *const methods[] = { "INVITE", "OPTIONS" };
	static char text[SIP_MSG_MAX];

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(methods); i++) {
		struct fx *fx = fx_new(SIP_UDP);
		const char *method = methods[i / 2];
		bool is_via = i % 2;

		memset(text, 0, sizeof(text));
		strcpy(text, "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa");
		for (size_t n = 0; is_via && n < 15000; n++)
			memcpy(text + strlen("SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa") + 2 * n, ",a", 2);
		receive(fx, method, text, method, 1);
		assert_int_equal(fx->nrequests, 1);
		memset(text, 'x', sizeof(text) - 3);
		memcpy(text, "X: ", 3);
		strcpy(text + sizeof(text) - 3, "\r\n");
		assert_int_equal(strans_reply_simple(fx->st, 200, is_via ? NULL : text), -EMSGSIZE);
		fx_advance(fx, 1);
		if (is_via)
			assert_int_equal(fx->nsent, 0);
		else
			assert_int_equal(fx_sent(fx, -1)->status, 500);
		fx_advance(fx, 128 * SIP_T1_MS);
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
		assert_int_equal(fx->stack->strans_bytes, 0);
		fx_free(fx);
	}
}

/* ---- what belongs to nothing ---- */

static void test_stack_stray_ack_goes_up_and_is_never_answered(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		receive(fx, "ACK", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKstray", "ACK", 1);
	fx_advance(fx, FX_FOR_EVER_MS);
	assert_int_equal(fx->nacks, 3);
	assert_int_equal(fx->nrequests, 0);
	assert_int_equal(fx->nsent, 0);
	assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
	fx_free(fx);
}

static void test_stack_late_response_is_dropped_but_2xx_of_invite(void **state)
{
	static const struct { int status; const char *method; unsigned nstray; } rows[] = {
		{ 100, "INVITE", 0 }, { 180, "INVITE", 0 }, { 200, "INVITE", 1 }, { 202, "INVITE", 1 }, { 486, "INVITE", 0 },
		{ 200, "BYE", 0 }, { 200, "OPTIONS", 0 }, { 401, "REGISTER", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);

		fx_receive(fx,
			   "SIP/2.0 %d X\r\nVia: SIP/2.0/UDP 192.0.2.200;branch=z9hG4bKgone\r\n" COMMON "CSeq: 1 %s\r\n\r\n",
			   rows[i].status, rows[i].method);
		assert_int_equal(fx->nstray, rows[i].nstray);
		assert_int_equal(fx->nsent, 0);
		assert_int_equal(sip_stack_counters(fx->stack)->stray_responses, 1);
		fx_free(fx);
	}
}

/* §17.1.3: branch and CSeq method: a 200 to the CANCEL isn't the INVITE's. */
static void test_stack_response_is_matched_by_branch_and_method(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct sip_dest dest = { .proto = SIP_UDP, .addr = fx->src.peer };
	struct sip_req r = { .method = STR("INVITE"), .uri = STR("sip:b@x"), .hdrs = STR(COMMON "CSeq: 1 INVITE\r\n") };
	static const struct ctrans_handler none = { 0 };
	struct ctrans *ct;
	char branch[64];

	(void)state;
	assert_int_equal(ctrans_start(&ct, fx->stack, &r, &dest, &none, NULL), 0);
	ctrans_detach(ct);
	str_copy(fx_sent(fx, 0)->via.branch, branch, sizeof(branch));
	fx_receive(fx, "SIP/2.0 487 X\r\nVia: SIP/2.0/UDP u;branch=%s\r\n" COMMON "CSeq: 1 CANCEL\r\n\r\n", branch);
	fx_receive(fx, "SIP/2.0 487 X\r\nVia: SIP/2.0/UDP u;branch=%sx\r\n" COMMON "CSeq: 1 INVITE\r\n\r\n", branch);
	assert_int_equal(sip_stack_counters(fx->stack)->stray_responses, 2);
	assert_int_equal(fx->nsent, 1);
	fx_receive(fx, "SIP/2.0 487 X\r\nVia: SIP/2.0/UDP u;branch=%s\r\n" COMMON "CSeq: 1 INVITE\r\n\r\n", branch);
	assert_string_equal(fx_sent_text(fx, 0), "INVITE ACK");
	fx_free(fx);
}

/* ---- broken ones ---- */

#define VIA "Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKbad;rport\r\n"
#define FROM "From: <sip:a@192.0.2.10>;tag=t\r\n"
#define TO "To: <sip:us@192.0.2.200>\r\n"
#define ID "Call-ID: c\r\n"

static void test_stack_malformed_request_is_told_why(void **state)
{
	static const struct { const char *text; int status; const char *reason; } rows[] = {
		{ "OPTIONS sip:us@x SIP/2.0\r\n" VIA FROM TO ID "\r\n", 400, "Missing CSeq" },
		{ "OPTIONS sip:us@x SIP/2.0\r\n" VIA FROM TO "CSeq: 1 OPTIONS\r\n\r\n", 400, "Missing Call-ID" },
		{ "OPTIONS sip:us@x SIP/2.0\r\n" VIA FROM ID "CSeq: 1 OPTIONS\r\n\r\n", 400, "Missing To" },
		{ "OPTIONS sip:us@x SIP/2.0\r\n" VIA TO ID "CSeq: 1 OPTIONS\r\n\r\n", 400, "Missing From" },
		{ "OPTIONS sip:us@x SIP/2.0\r\n" VIA FROM TO ID "CSeq: 1 INVITE\r\n\r\n", 400, "CSeq" },
		{ "OPTIONS sip:us@x SIP/2.0\r\n" VIA FROM TO ID "CSeq: x OPTIONS\r\n\r\n", 400, "CSeq" },
		/* RFC 4475 §3.1.2.4: a CSeq number past 2^31 */
		{ "OPTIONS sip:us@x SIP/2.0\r\n" VIA FROM TO ID "CSeq: 36893488147419103232 OPTIONS\r\n\r\n", 400, "CSeq" },
		{ "OPTIONS sip:us@x SIP/2.0\r\n" VIA FROM TO TO ID "CSeq: 1 OPTIONS\r\n\r\n", 400, "repeated" },
		{ "OPTIONS sip:us@x SIP/2.0\r\n" VIA FROM TO ID "CSeq: 1 OPTIONS\r\nContent-Length: 9\r\n\r\nabc", 400, "Content-Length" },
		{ "OPTIONS sip:us@x SIP/2.0\r\n" VIA FROM TO ID "CSeq: 1 OPTIONS\r\nMax-Forwards: x\r\n\r\n", 400, "Max-Forwards" },
		{ "OPTIONS sip:us@x SIP/2.0\r\n" VIA "From: <sip:a@\r\n" TO ID "CSeq: 1 OPTIONS\r\n\r\n", 400, "From" },
		{ "OPTIONS sip:us@x SIP/7.0\r\n" VIA FROM TO ID "CSeq: 1 OPTIONS\r\n\r\n", 505, "Version" }, /* RFC 4475 §3.1.2.16 */
		{ "INVITE sip:us@x SIP/2.0\r\n" VIA FROM TO ID "\r\n", 400, "Missing CSeq" },
		{ "ACK sip:us@x SIP/2.0\r\n" VIA FROM TO ID "\r\n", 0, NULL }, /* an ACK is never answered */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);

		fx_receive_str(fx, str_from(rows[i].text));
		assert_int_equal(fx->nrequests, 0);
		assert_int_equal(fx->nacks, 0);
		assert_int_equal(sip_stack_counters(fx->stack)->malformed, 1);
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
		if (!rows[i].status) {
			assert_int_equal(fx->nsent, 0);
		} else {
			/* Where a header was missing the answer can't have it either, so it isn't parsed here. */
			char line[64];
			int n = snprintf(line, sizeof(line), "SIP/2.0 %d ", rows[i].status);

			assert_int_equal(fx->nsent, 1);
			assert_memory_equal(fx->sent[0].bytes, line, n);
			if (!strstr(fx->sent[0].bytes, rows[i].reason))
				fail_msg("row %zu: '%s' isn't in %s", i, rows[i].reason, fx->sent[0].bytes);
			assert_non_null(strstr(fx->sent[0].bytes, ";branch=z9hG4bKbad"));
			assert_true(sockaddr_eq(&fx->sent[0].dest.addr, &fx->src.peer));
		}
		fx_free(fx);
	}
}

static void test_stack_overlong_branch_is_refused(void **state)
{
	static char branch[2000];
	struct fx *fx = fx_new(SIP_UDP);

	(void)state;
	memset(branch, 'b', sizeof(branch) - 1);
	fx_receive(fx, "OPTIONS sip:us@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK%s\r\n" COMMON "CSeq: 1 OPTIONS\r\n\r\n",
		   branch);
	assert_string_equal(fx_sent_text(fx, 0), "400");
	/* Also as a response, an ACK or a CANCEL it finds nothing and breaks nothing. */
	fx_receive(fx, "SIP/2.0 200 X\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK%s\r\n" COMMON "CSeq: 1 OPTIONS\r\n\r\n", branch);
	fx_receive(fx, "ACK sip:us@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK%s\r\n" COMMON "CSeq: 1 ACK\r\n\r\n", branch);
	fx_receive(fx, "CANCEL sip:us@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK%s\r\n" COMMON "CSeq: 1 CANCEL\r\n\r\n",
		   branch);
	assert_int_equal(fx->nrequests, 0);
	assert_string_equal(fx_sent_text(fx, 0), "400 400");
	assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
	fx_free(fx);
}

/* ---- where responses go: RFC 3261 §18.2.1, §18.2.2, RFC 3581 §4 ---- */

static void test_stack_response_goes_where_via_and_source_say(void **state)
{
	static const struct { const char *via, *host; uint16_t port; const char *via_out, *to; } rows[] = {
		/* RFC 3581 §6.1 */
		{ "SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKkjshdyff", "192.0.2.1", 9988,
		  "SIP/2.0/UDP 10.1.1.1:4540;branch=z9hG4bKkjshdyff;rport=9988;received=192.0.2.1", "192.0.2.1:9988" },
		/* received though the address is the same, as RFC 3581 §4 wants where rport is */
		{ "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport", "192.0.2.1", 5060,
		  "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport=5060;received=192.0.2.1", "192.0.2.1:5060" },
		{ "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKx", "192.0.2.1", 5062,
		  "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKx", "192.0.2.1:5062" },
		/* Without rport: to the port of sent-by, 5060 without one. */
		{ "SIP/2.0/UDP 10.1.1.1:4540;branch=z9hG4bKx", "192.0.2.1", 9988,
		  "SIP/2.0/UDP 10.1.1.1:4540;branch=z9hG4bKx;received=192.0.2.1", "192.0.2.1:4540" },
		{ "SIP/2.0/UDP bobspc.biloxi.com;branch=z9hG4bKx", "192.0.2.4", 1234,
		  "SIP/2.0/UDP bobspc.biloxi.com;branch=z9hG4bKx;received=192.0.2.4", "192.0.2.4:5060" },
		/* What the peer claims about itself is replaced. */
		{ "SIP/2.0/UDP 10.1.1.1;received=203.0.113.9;rport=1;branch=z9hG4bKx", "192.0.2.1", 9988,
		  "SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKx;rport=9988;received=192.0.2.1", "192.0.2.1:9988" },
		/* RFC 5118 §4.5: received without brackets */
		{ "SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKx;rport", "2001:db8::9:255", 7000,
		  "SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKx;rport=7000;received=2001:db8::9:255", "[2001:db8::9:255]:7000" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);
		char to[SOCKADDR_TEXT_MAX];
		const struct sip_msg *m;
		char expected[512];

		fx_source(fx, SIP_UDP, rows[i].host, rows[i].port);
		/* A second Via in the same header stays as it is. */
		snprintf(expected, sizeof(expected), "%s, SIP/2.0/TCP 203.0.113.1;branch=z9hG4bKy;rport", rows[i].via);
		receive(fx, "OPTIONS", i % 2 ? expected : rows[i].via, "OPTIONS", 1);
		strans_reply_simple(fx->st, 200, NULL);
		m = fx_sent(fx, 0);
		if (!str_eqz(m->via.value, rows[i].via_out))
			fail_msg("row %zu: Via: %.*s", i, STR_ARG(m->via.value));
		if (i % 2)
			assert_non_null(strstr(fx->sent[0].bytes, "\r\nVia: SIP/2.0/TCP 203.0.113.1;branch=z9hG4bKy;rport\r\n"));
		assert_string_equal(sockaddr_print(&fx->sent[0].dest.addr, to), rows[i].to);
		assert_int_equal(fx->sent[0].dest.proto, SIP_UDP);
		fx_free(fx);
	}
}

/* §18.2.2: over the connection the request came by; if that is gone, to the source's address and the port of sent-by. */
static void test_stack_response_over_tcp_keeps_the_connection_or_opens_one(void **state)
{
	static const struct { enum sip_proto proto; const char *via; bool is_lost; const char *to; } rows[] = {
		{ SIP_TCP, "SIP/2.0/TCP 10.1.1.1:5070;branch=z9hG4bKx;rport", false, "192.0.2.10:40000" },
		{ SIP_TCP, "SIP/2.0/TCP 10.1.1.1:5070;branch=z9hG4bKx", false, "192.0.2.10:40000" },
		{ SIP_TCP, "SIP/2.0/TCP 10.1.1.1:5070;branch=z9hG4bKx", true, "192.0.2.10:5070" },
		{ SIP_TCP, "SIP/2.0/TCP 10.1.1.1;branch=z9hG4bKx", true, "192.0.2.10:5060" },
		{ SIP_TLS, "SIP/2.0/TLS 10.1.1.1;branch=z9hG4bKx", true, "192.0.2.10:5061" }, /* RFC 3261 §18.2.2: the transport's default */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(rows[i].proto);
		char to[SOCKADDR_TEXT_MAX];

		fx_source(fx, rows[i].proto, "192.0.2.10", 40000);
		receive(fx, "OPTIONS", rows[i].via, "OPTIONS", 1);
		if (rows[i].is_lost)
			fx->lost_flow = fx->src.flow;
		assert_int_equal(strans_reply_simple(fx->st, 200, NULL), 0);
		assert_int_equal(fx->nsent, 1);
		assert_int_equal(fx->sent[0].dest.proto, rows[i].proto);
		assert_int_equal(fx->sent[0].dest.flow, rows[i].is_lost ? 0 : fx->src.flow);
		assert_string_equal(sockaddr_print(&fx->sent[0].dest.addr, to), rows[i].to);
		fx_free(fx);
	}
}

/* ---- many ---- */

/* Any message in any order at any time: nothing breaks, and everything ends. */
static void random_step(struct fx *fx, struct rng *rng)
{
	static const char *const methods[] = { "INVITE", "ACK", "CANCEL", "OPTIONS", "BYE", "REGISTER" };
	static const int statuses[] = { 100, 180, 200, 302, 486, 603 };
	const char *method = methods[rng_below(rng, ARRAY_LEN(methods))];
	unsigned branch = rng_below(rng, 6);

	switch (rng_below(rng, 8)) {
	case 0:
		fx_advance(fx, rng_below(rng, 3) ? rng_below(rng, 700) : rng_below(rng, 40000));
		break;
	case 1:
		fx_receive(fx, "SIP/2.0 %d X\r\nVia: SIP/2.0/UDP u;branch=z9hG4bK%u\r\n" COMMON "CSeq: 1 %s\r\n\r\n",
			   statuses[rng_below(rng, 6)], branch, method);
		break;
	default:
		fx_receive(fx,
			   "%s sip:us@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK%u;rport\r\n"
			   "From: <sip:a@x>;tag=%u\r\nTo: <sip:b@x>%s\r\nCall-ID: c%u\r\nCSeq: %u %s\r\nContent-Length: 0\r\n\r\n",
			   method, branch, rng_below(rng, 2), rng_below(rng, 2) ? ";tag=x" : "", rng_below(rng, 3), rng_below(rng, 3),
			   method);
		break;
	}
	fx->send_error = rng_below(rng, 20) ? 0 : -ENOTCONN;
	if (rng_below(rng, 4))
		fx_forget_sent(fx);
}

static void on_cancel_487(struct strans *st, const struct sip_msg *m, void *arg)
{
	(void)m;
	(void)arg;
	assert_int_equal(strans_reply_simple(st, 487, NULL), 0);
}

/* Transactions still waiting for an answer of the random user. */
struct waiting { struct fx *fx; struct strans *st[512]; unsigned n; };

static void on_terminated_forget(struct strans *st, int err, void *arg)
{
	struct waiting *w = arg;

	(void)err;
	for (unsigned i = 0; i < w->n; i++)
		if (w->st[i] == st)
			w->st[i--] = w->st[--w->n];
}

static void test_stack_random_walk_leaves_nothing(void **state)
{
	static const struct strans_handler handler = { .on_cancel = on_cancel_487, .on_terminated = on_terminated_forget };
	static const int statuses[] = { 100, 180, 200, 302, 401, 603 };

	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct fx *fx = fx_new(SIP_UDP);
		struct waiting w = { .fx = fx };
		struct rng rng;

		rng_init_fixed(&rng, seed);
		for (unsigned i = 0; i < 1500; i++) {
			unsigned n = fx->nrequests;

			random_step(fx, &rng);
			if (fx->nrequests != n && w.n < ARRAY_LEN(w.st)) {
				strans_set_handler(fx->st, &handler, &w);
				w.st[w.n++] = fx->st;
			}
			if (w.n && rng_below(&rng, 3) == 0)
				strans_reply_simple(w.st[rng_below(&rng, w.n)], statuses[rng_below(&rng, 6)], NULL);
			if (w.n && rng_below(&rng, 9) == 0)
				strans_repeat(w.st[rng_below(&rng, w.n)]);
			if (fx->nsent > FX_SENT_MAX / 2)
				fx_forget_sent(fx);
		}
		fx->send_error = 0;
		fx_forget_sent(fx);
		for (unsigned i = 0; i < w.n; i++) {
			strans_reply_simple(w.st[i], 500, NULL);
			fx_forget_sent(fx);
		}
		fx->send_error = -ENOTCONN; /* not kept by the fixture any more */
		fx_advance(fx, FX_FOR_EVER_MS);
		assert_int_equal(w.n, 0);
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
		assert_int_equal(timers_count(fx->timers), 0);
		fx->send_error = 0;
		fx_free(fx);
	}
}

/* ---- over real sockets ---- */

struct live {
	uv_loop_t loop;
	struct timers *timers;
	struct timers_driver *driver;
	struct rng rng;
	struct sip_stack *stack;
	unsigned nrequests, nresponses, nended, nclosed;
	int last_status, end_err;
};

static void live_on_request(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct live *l = arg;

	(void)m;
	l->nrequests++;
	strans_reply_simple(st, 200, "Contact: <sip:us@127.0.0.1>\r\n");
}

static void live_on_flow_closed(uint64_t flow, void *arg)
{
	(void)flow;
	((struct live *)arg)->nclosed++;
}

static void live_on_response(struct ctrans *ct, const struct sip_msg *m, void *arg)
{
	struct live *l = arg;

	(void)ct;
	l->nresponses++;
	l->last_status = m->status;
}

static void live_on_terminated(struct ctrans *ct, int err, void *arg)
{
	struct live *l = arg;

	(void)ct;
	l->nended++;
	l->end_err = err;
}

static struct live *live_new(const char *addr)
{
	static const struct sip_stack_handler handler = { .on_request = live_on_request, .on_flow_closed = live_on_flow_closed };
	struct live *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	uv_loop_init(&l->loop);
	l->timers = timers_new(uv_now(&l->loop));
	assert_int_equal(timers_drive(&l->driver, l->timers, &l->loop), 0);
	rng_init(&l->rng);
	{
		struct sip_stack_params p = { .loop = &l->loop, .timers = l->timers, .rng = &l->rng, .clock = &clock_system };

		assert_int_equal(sip_stack_new(&l->stack, &p, &handler, l), 0);
	}
	assert_int_equal(transport_listen(sip_stack_transport(l->stack), addr, 0), 0);
	return l;
}

static void live_free(struct live *l)
{
	sip_stack_close(l->stack);
	timers_driver_close(l->driver);
	uv_run(&l->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&l->loop), 0);
	assert_int_equal(timers_count(l->timers), 0);
	timers_free(l->timers);
	free(l);
}

static const struct ctrans_handler live_handler = { .on_response = live_on_response, .on_terminated = live_on_terminated };

static void test_stack_two_talk_over_loopback(void **state)
{
	static const struct { const char *addr; enum sip_proto proto; } rows[] = {
		{ "127.0.0.1", SIP_UDP }, { "127.0.0.1", SIP_TCP }, { "::1", SIP_UDP }, { "::1", SIP_TCP },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct live *a = live_new(rows[i].addr), *b = live_new(rows[i].addr);
		struct sip_dest dest = { .proto = rows[i].proto };
		struct sip_req r = { .method = STR("OPTIONS"), .uri = STR("sip:us@127.0.0.1"),
				     .hdrs = STR("Max-Forwards: 70\r\nFrom: <sip:a@127.0.0.1>;tag=t\r\nTo: <sip:us@127.0.0.1>\r\n"
						 "Call-ID: c\r\nCSeq: 1 OPTIONS\r\n") };
		struct ctrans *ct;
		uint64_t until = uv_hrtime() + 10 * 1000000000ull;

		sockaddr_parse(&dest.addr, str_from(rows[i].addr), transport_port(sip_stack_transport(b->stack)));
		assert_int_equal(ctrans_start(&ct, a->stack, &r, &dest, &live_handler, a), 0);
		assert_int_equal(a->nresponses, 0);
		while (!a->nresponses && uv_hrtime() < until) {
			uv_run(&a->loop, UV_RUN_NOWAIT);
			uv_run(&b->loop, UV_RUN_NOWAIT);
		}
		assert_int_equal(b->nrequests, 1);
		assert_int_equal(a->nresponses, 1);
		assert_int_equal(a->last_status, 200);
		live_free(a);
		live_free(b);
	}
}

/* The connection that carried a request goes before an answer came: no need to wait for timer F. */
static void test_stack_lost_connection_ends_what_waits_on_it(void **state)
{
	static const char *const methods[] = { "OPTIONS", "INVITE" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		struct live *l = live_new("127.0.0.1");
		struct sip_dest dest = { .proto = SIP_TCP };
		struct sip_req r = { .method = str_from(methods[i]), .uri = STR("sip:us@127.0.0.1"),
				     .hdrs = i ? STR(COMMON "CSeq: 1 INVITE\r\n") : STR(COMMON "CSeq: 1 OPTIONS\r\n") };
		struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t len = sizeof(addr);
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), conn;
		uint64_t until = uv_hrtime() + 10 * 1000000000ull;
		struct ctrans *ct;

		assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
		assert_int_equal(listen(fd, 1), 0);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
		dest.addr.v4 = addr;
		assert_int_equal(ctrans_start(&ct, l->stack, &r, &dest, &live_handler, l), 0);
		conn = accept(fd, NULL, NULL); /* the kernel has it */
		assert_true(conn >= 0);
		close(conn);
		while (!l->nended && uv_hrtime() < until)
			uv_run(&l->loop, UV_RUN_NOWAIT);
		assert_int_equal(l->nended, 1);
		assert_int_equal(l->end_err, -EIO);
		assert_int_equal(l->nclosed, 1);
		assert_int_equal(sip_stack_counters(l->stack)->ctrans_live, 0);
		close(fd);
		live_free(l);
	}
}

/* ---- strangers ---- */

static unsigned replies_to(struct fx *fx, const char *method, const char *branch, unsigned times)
{
	unsigned n = 0;

	while (times--) {
		fx_forget_sent(fx);
		receive(fx, method, branch, method, 1);
		n += fx->nsent;
	}
	return n;
}

/* What needs no password to be answered, and for which nothing is kept, is answered so long and no longer: the source may be forged, and the
 * answers go to somebody else. */
static void test_stack_strangers_get_only_so_many_answers(void **state)
{
	static char too_long[1200] = "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bK";
	const struct { const char *method, *via; } rows[] = {
		{ "CANCEL", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKnothing" },
		{ "INVITE", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKmerged" },
		{ "OPTIONS", too_long },
	};

	(void)state;
	memset(too_long + strlen(too_long), 'x', 1100);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);
		struct guard_params p = { .key = "a key", .now_ms = fx_mono_ms, .arg = fx };
		unsigned n;

		assert_int_equal(guard_new(&fx->stack->p.guard, &p), 0);
		receive(fx, "INVITE", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa", "INVITE", 1);
		n = replies_to(fx, rows[i].method, rows[i].via, 2000);
		if (n != 500)
			fail_msg("row %zu: %u answers", i, n);
		/* Others have theirs. */
		fx_source(fx, SIP_UDP, "192.0.2.11", 5062);
		assert_int_equal(replies_to(fx, rows[i].method, rows[i].via, 1), 1);
		guard_free(fx->stack->p.guard);
		fx_free(fx);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stack_request_is_matched_by_branch_sent_by_and_method),
		cmocka_unit_test(test_stack_request_without_cookie_is_matched_by_its_rest),
		cmocka_unit_test(test_stack_cancel_without_cookie_finds_its_invite),
		cmocka_unit_test(test_stack_merged_request_is_482),
		cmocka_unit_test(test_stack_merged_request_is_forgotten_with_its_transaction),
		cmocka_unit_test(test_stack_flood_is_shed_and_dialogs_go_on),
		cmocka_unit_test(test_stack_answer_too_long_ends_the_transaction),
		cmocka_unit_test(test_stack_bytes_held_are_given_back),
		cmocka_unit_test(test_stack_stray_ack_goes_up_and_is_never_answered),
		cmocka_unit_test(test_stack_late_response_is_dropped_but_2xx_of_invite),
		cmocka_unit_test(test_stack_response_is_matched_by_branch_and_method),
		cmocka_unit_test(test_stack_malformed_request_is_told_why),
		cmocka_unit_test(test_stack_overlong_branch_is_refused),
		cmocka_unit_test(test_stack_response_goes_where_via_and_source_say),
		cmocka_unit_test(test_stack_response_over_tcp_keeps_the_connection_or_opens_one),
		cmocka_unit_test(test_stack_random_walk_leaves_nothing),
		cmocka_unit_test(test_stack_two_talk_over_loopback),
		cmocka_unit_test(test_stack_lost_connection_ends_what_waits_on_it),
		cmocka_unit_test(test_stack_strangers_get_only_so_many_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
