/* test_subscription.c - the notifier's side (RFC 6665), against a subscriber the test speaks for. */
#include "wire.h"

struct fixture {
	struct wire *w;
	struct wire_end *end;
	struct subscription *sub;
	uint32_t grant_s;
	char events[512];
	const char *notify_on_refresh;
	const char *close_on_refresh;
	const struct subscription_handler *handler;
	const char *from;        /* where the subscriber speaks from, NULL: its address */
	bool refuses;
	char to_tag[64];
	unsigned branch, call;
};

static void on_refresh(struct subscription *sub, uint32_t expires_s, void *arg)
{
	struct fixture *f = arg;
	size_t n = strlen(f->events);

	snprintf(f->events + n, sizeof(f->events) - n, "refresh %u;", expires_s);
	if (f->notify_on_refresh)
		subscription_notify(sub, "text/plain", str_from(f->notify_on_refresh));
	if (f->close_on_refresh)
		subscription_close(sub, f->close_on_refresh);
}

static void on_closed(struct subscription *sub, void *arg)
{
	struct fixture *f = arg;

	assert_ptr_equal(sub, f->sub);
	f->sub = NULL;
	strcat(f->events, "closed;");
}

static void on_notified(struct subscription *sub, void *arg)
{
	struct fixture *f = arg;

	assert_false(subscription_is_notifying(sub));
	strcat(f->events, "notified;");
}

static bool on_authorize(struct subscription *sub, struct strans *st, const struct sip_msg *m, void *arg)
{
	struct fixture *f = arg;

	(void)sub;
	(void)m;
	strcat(f->events, "authorize;");
	if (f->refuses)
		strans_reply_simple(st, 401, NULL);
	return !f->refuses;
}

static const struct subscription_handler watchful = {
	.on_refresh = on_refresh, .on_closed = on_closed, .on_notified = on_notified, .on_authorize = on_authorize,
};

static const struct subscription_handler handler = { .on_refresh = on_refresh, .on_closed = on_closed };

static void on_subscribe(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct fixture *f = arg;

	assert_int_equal(subscription_accept(&f->sub, f->end->ua, st, m, f->grant_s, f->handler, f), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->w = wire_new(1);
	f->end = wire_end(f->w, 'A');
	f->grant_s = 600;
	f->handler = &handler;
	sip_ua_handle(f->end->ua, SIP_SUBSCRIBE, on_subscribe, f);
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

static void subscribe(struct fixture *f, uint32_t cseq, const char *event, const char *hdrs)
{
	char text[2048], buf[256];

	int n = snprintf(text, sizeof(text),
			 "SUBSCRIBE sip:1001@127.0.0.1:5061 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5062;branch=z9hG4bKs%u\r\n"
			 "From: <sip:1001@cord>;tag=phone\r\nTo: <sip:1001@cord>%s%s\r\nCall-ID: sub%u\r\n"
			 "CSeq: %u SUBSCRIBE\r\nMax-Forwards: 70\r\nContact: <sip:1001@127.0.0.2:5062>\r\n"
			 "Event: %s\r\n%sContent-Length: 0\r\n\r\n",
			 ++f->branch, *f->to_tag ? ";tag=" : "", f->to_tag, f->call, cseq,
			 event, hdrs);
	union sockaddr_any from = wire_end(f->w, 'B')->addr;
	if (f->from)
		assert_int_equal(sockaddr_parse(&from, str_from(f->from), 5062), 0);
	wire_receive(f->end, &from, SIP_UDP, text, (size_t)n);
	wire_flush(f->w);
	const char *tag = strstr(wire_header(f->end->last, "To", buf, sizeof(buf)), "tag=");
	if (tag && !*f->to_tag)
		snprintf(f->to_tag, sizeof(f->to_tag), "%s", tag + 4);
}

/* Answers the NOTIFY sent last. */
static void answer(struct fixture *f, int status)
{
	char text[2048], via[256], from[256], to[256], cseq[64], call_id[64];

	wire_header(f->end->last, "Via", via, sizeof(via));
	wire_header(f->end->last, "From", from, sizeof(from));
	wire_header(f->end->last, "To", to, sizeof(to));
	wire_header(f->end->last, "CSeq", cseq, sizeof(cseq));
	wire_header(f->end->last, "Call-ID", call_id, sizeof(call_id));
	int n = snprintf(text, sizeof(text), "SIP/2.0 %d X\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n"
			 "Content-Length: 0\r\n\r\n", status, via, from, to, call_id, cseq);
	wire_receive(f->end, &wire_end(f->w, 'B')->addr, SIP_UDP, text, (size_t)n);
	wire_flush(f->w);
}

static void assert_header(struct fixture *f, const char *name, const char *value)
{
	char buf[256];

	assert_string_equal(wire_header(f->end->last, name, buf, sizeof(buf)), value);
}

static const char *body(struct fixture *f)
{
	return strstr(f->end->last, "\r\n\r\n") + 4;
}

static int notify(struct fixture *f, const char *text)
{
	int err = subscription_notify(f->sub, "text/plain", str_from(text));

	wire_flush(f->w);
	return err;
}

static void test_subscription_first_notify_is_active(void **state)
{
	struct fixture *f = *state;

	subscribe(f, 1, "message-summary;id=7", "Expires: 600\r\n");
	assert_ladder(f->w, "A 200 SUBSCRIBE");
	assert_header(f, "Expires", "600");
	assert_header(f, "Contact", "<sip:1001@127.0.0.1:5061>");
	assert_int_equal(notify(f, "one"), 0);
	assert_ladder(f->w, "A NOTIFY");
	assert_int_equal(strncmp(f->end->last, "NOTIFY sip:1001@127.0.0.2:5062 SIP/2.0\r\n", 40), 0);
	assert_header(f, "Event", "message-summary;id=7");
	assert_header(f, "Subscription-State", "active;expires=600");
	assert_header(f, "Content-Type", "text/plain");
	assert_header(f, "Contact", "<sip:1001@127.0.0.1:5061>");
	assert_string_equal(body(f), "one");
	answer(f, 200);
}

static void test_subscription_one_notify_at_a_time_newest_waits(void **state)
{
	struct fixture *f = *state;

	subscribe(f, 1, "message-summary", "");
	notify(f, "one");
	notify(f, "two");
	notify(f, "three");
	assert_ladder(f->w, "A 200 SUBSCRIBE, A NOTIFY");
	answer(f, 200);
	assert_ladder(f->w, "A NOTIFY");
	assert_string_equal(body(f), "three");
	assert_header(f, "CSeq", "2 NOTIFY");
	answer(f, 200);
	assert_ladder(f->w, "");
}

static void test_subscription_refreshed(void **state)
{
	struct fixture *f = *state;

	subscribe(f, 1, "message-summary", "Expires: 600\r\n");
	notify(f, "one");
	answer(f, 200);
	wire_run(f->w, 500000);
	subscribe(f, 2, "message-summary", "Expires: 300\r\n");
	assert_header(f, "Expires", "300");
	assert_string_equal(f->events, "refresh 300;");
	wire_run(f->w, 299999);
	assert_non_null(f->sub);
	/* more than anybody gets, and what RFC 6665 calls the default */
	subscribe(f, 3, "message-summary", "Expires: 99999999\r\n");
	assert_header(f, "Expires", "3600");
	subscribe(f, 4, "message-summary", "");
	assert_header(f, "Expires", "3600");
	/* another event isn't this subscription */
	subscribe(f, 5, "presence", "");
	assert_int_equal(strncmp(f->end->last, "SIP/2.0 489 ", 12), 0);
	assert_header(f, "Allow-Events", "message-summary");
	subscribe(f, 6, "message-summary;id=1", "");
	assert_int_equal(strncmp(f->end->last, "SIP/2.0 489 ", 12), 0);
	subscribe(f, 7, "message-summary", "Expires: soon\r\n");
	assert_int_equal(strncmp(f->end->last, "SIP/2.0 400 ", 12), 0);
}

static void test_subscription_expires(void **state)
{
	struct fixture *f = *state;

	subscribe(f, 1, "message-summary", "Expires: 600\r\n");
	notify(f, "one");
	answer(f, 200);
	f->w->ladder[0] = '\0';
	wire_run(f->w, 599999);
	assert_ladder(f->w, "");
	wire_run(f->w, 1);
	assert_ladder(f->w, "A NOTIFY");
	assert_header(f, "Subscription-State", "terminated;reason=timeout");
	answer(f, 200);
	wire_settle(f->w);
	assert_string_equal(f->events, "closed;");
	wire_run(f->w, 70000);
	assert_int_equal(timers_count(f->w->timers), 0);
	subscribe(f, 2, "message-summary", "");
	assert_int_equal(strncmp(f->end->last, "SIP/2.0 481 ", 12), 0);
}

static void test_subscription_unsubscribed_last_state_sent(void **state)
{
	struct fixture *f = *state;

	f->notify_on_refresh = "last";
	subscribe(f, 1, "message-summary", "");
	notify(f, "one");
	answer(f, 200);
	subscribe(f, 2, "message-summary", "Expires: 0\r\n");
	assert_ladder(f->w, "A 200 SUBSCRIBE, A NOTIFY, A 200 SUBSCRIBE, A NOTIFY");
	assert_header(f, "Subscription-State", "terminated;reason=timeout");
	assert_string_equal(body(f), "last");
	wire_settle(f->w);
	assert_string_equal(f->events, "refresh 0;closed;");
	answer(f, 200);
	wire_run(f->w, 70000);
	assert_int_equal(timers_count(f->w->timers), 0);
}

static void test_subscription_unsubscribed_owner_silent_ends_anyway(void **state)
{
	struct fixture *f = *state;

	subscribe(f, 1, "message-summary", "");
	subscribe(f, 2, "message-summary", "Expires: 0\r\n");
	wire_run(f->w, 5001);
	assert_header(f, "Subscription-State", "terminated;reason=timeout");
	assert_string_equal(f->events, "refresh 0;closed;");
}

static void test_subscription_fetch_gets_one_state(void **state)
{
	struct fixture *f = *state;

	f->grant_s = 0;
	subscribe(f, 1, "message-summary", "Expires: 0\r\n");
	assert_header(f, "Expires", "0");
	notify(f, "all there is");
	assert_header(f, "Subscription-State", "terminated;reason=timeout");
	assert_string_equal(body(f), "all there is");
	wire_settle(f->w);
	assert_string_equal(f->events, "closed;");
	answer(f, 200);
	wire_run(f->w, 70000);
	assert_int_equal(timers_count(f->w->timers), 0);
}

static void test_subscription_closed_by_owner(void **state)
{
	struct fixture *f = *state;

	subscribe(f, 1, "message-summary", "");
	notify(f, "one");
	notify(f, "two");
	subscription_close(f->sub, "deactivated");
	subscription_close(f->sub, "deactivated");
	assert_string_equal(f->events, ""); /* never from inside */
	answer(f, 200);
	/* the state that waited goes with the last word */
	assert_header(f, "Subscription-State", "terminated;reason=deactivated");
	assert_string_equal(body(f), "two");
	wire_settle(f->w);
	assert_string_equal(f->events, "closed;");
	answer(f, 200);
	wire_run(f->w, 70000);
	assert_int_equal(timers_count(f->w->timers), 0);
}

/* The owner hears no more of it, also when a NOTIFY was under way. */
static void test_subscription_finished_with_a_state(void **state)
{
	struct fixture *f = *state;

	subscribe(f, 1, "refer", "");
	assert_int_equal(notify(f, "one"), 0);
	subscription_finish(f->sub, "noresource", "text/plain", STR("last"));
	wire_flush(f->w);
	assert_string_equal(body(f), "one");
	answer(f, 200);
	assert_string_equal(body(f), "last");
	assert_header(f, "Subscription-State", "terminated;reason=noresource");
	answer(f, 200);
	wire_settle(f->w);
	assert_string_equal(f->events, "");
	subscribe(f, 2, "refer", "");
	assert_true(!strncmp(f->end->last, "SIP/2.0 481", 11));
}

static void test_subscription_closed_inside_refresh(void **state)
{
	struct fixture *f = *state;

	f->close_on_refresh = "rejected";
	subscribe(f, 1, "message-summary", "");
	subscribe(f, 2, "message-summary", "");
	assert_header(f, "Subscription-State", "terminated;reason=rejected");
	wire_settle(f->w);
	assert_string_equal(f->events, "refresh 3600;closed;");
}

static void test_subscription_failed_notify_ends_or_not(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int status; /* 0: no answer at all */
		bool is_closed;
	} rows[] = { { 481, true }, { 404, true }, { 489, true }, { 0, true }, { 500, false }, { 503, false }, { 200, false } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		f->to_tag[0] = f->events[0] = '\0';
		f->call++;
		subscribe(f, 1, "message-summary", "Expires: 600\r\n");
		notify(f, "one");
		notify(f, "two");
		if (rows[i].status)
			answer(f, rows[i].status);
		wire_run(f->w, rows[i].status ? 1 : 33000);
		assert_string_equal(f->events, rows[i].is_closed ? "closed;" : "");
		if (rows[i].is_closed)
			continue;
		assert_string_equal(body(f), "two");
		subscription_close(f->sub, NULL);
		answer(f, 200);
		wire_run(f->w, 70000);
		assert_string_equal(f->events, "closed;");
	}
	wire_run(f->w, 70000);
	assert_int_equal(timers_count(f->w->timers), 0);
}

static void test_subscription_refresh_too_brief_gets_423(void **state)
{
	struct fixture *f = *state;

	subscribe(f, 1, "message-summary", "Expires: 600\r\n");
	subscription_limit(f->sub, 60, 900);
	subscribe(f, 2, "message-summary", "Expires: 59\r\n");
	assert_header(f, "Min-Expires", "60");
	assert_ladder(f->w, "A 200 SUBSCRIBE, A 423 SUBSCRIBE");
	assert_string_equal(f->events, "");
	subscribe(f, 3, "message-summary", "Expires: 7200\r\n");
	assert_header(f, "Expires", "900");
	subscribe(f, 4, "message-summary", "");
	assert_header(f, "Expires", "900");
	subscribe(f, 5, "message-summary", "Expires: 60\r\n");
	assert_header(f, "Expires", "60");
}

static void test_subscription_refresh_from_elsewhere_is_authorized(void **state)
{
	struct fixture *f = *state;

	f->handler = &watchful;
	subscribe(f, 1, "message-summary", "Expires: 600\r\n");
	subscribe(f, 2, "message-summary", "Expires: 600\r\n");
	assert_string_equal(f->events, "refresh 600;");
	f->from = "127.0.0.3";
	f->refuses = true;
	subscribe(f, 3, "message-summary", "Expires: 0\r\n");
	assert_string_equal(f->events, "refresh 600;authorize;");
	assert_non_null(strstr(f->end->last, "SIP/2.0 401"));
	f->refuses = false;
	subscribe(f, 4, "message-summary", "Expires: 600\r\n");
	assert_string_equal(f->events, "refresh 600;authorize;authorize;refresh 600;");
}

static void test_subscription_tells_when_notified(void **state)
{
	struct fixture *f = *state;

	f->handler = &watchful;
	subscribe(f, 1, "message-summary", "Expires: 600\r\n");
	notify(f, "one");
	notify(f, "two");
	assert_true(subscription_is_notifying(f->sub));
	answer(f, 200);
	assert_string_equal(f->events, ""); /* "two" is under way */
	answer(f, 200);
	assert_string_equal(f->events, "notified;");
}

static void test_subscription_kept_goes_on_elsewhere(void **state)
{
	struct fixture *f = *state;
	struct subscription_kept k;
	struct subscription *other;
	char event[64], call_id[64], tag[32], remote_tag[32], uris[3][128];

	f->handler = &watchful;
	subscribe(f, 1, "message-summary;id=7", "Expires: 600\r\n");
	notify(f, "one");
	answer(f, 200);
	f->events[0] = '\0';
	subscription_keep(f->sub, &k);
	assert_int_equal(k.local_seq, 1);
	assert_int_equal(k.remote_seq, 1);
	/* In use here */
	assert_int_equal(subscription_restore(&other, f->end->ua, &k, 300, &watchful, f), -EINVAL);
	/* A new process knows what was written down, and that the CSeq was below 100 */
	struct { struct str *field; char *buf; size_t size; } texts[] = {
		{ &k.event, event, sizeof(event) }, { &k.call_id, call_id, sizeof(call_id) }, { &k.local_tag, tag, sizeof(tag) },
		{ &k.remote_tag, remote_tag, sizeof(remote_tag) }, { &k.local, uris[0], sizeof(uris[0]) },
		{ &k.remote, uris[1], sizeof(uris[1]) }, { &k.target, uris[2], sizeof(uris[2]) },
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(str_copy(*texts[i].field, texts[i].buf, texts[i].size), 0);
		*texts[i].field = str_from(texts[i].buf);
	}
	k.routes = STR("<sip:127.0.0.2:5062;lr>\n");
	k.contact_user = STR("1001");
	k.local_seq = 100;
	wire_free(f->w);
	f->w = wire_new(1);
	f->end = wire_end(f->w, 'A');
	assert_int_equal(subscription_restore(&f->sub, f->end->ua, &k, 300, &watchful, f), 0);
	notify(f, "again");
	assert_ladder(f->w, "A NOTIFY");
	assert_header(f, "CSeq", "101 NOTIFY");
	assert_header(f, "Event", "message-summary;id=7");
	assert_header(f, "Subscription-State", "active;expires=300");
	assert_header(f, "Route", "<sip:127.0.0.2:5062;lr>");
	answer(f, 200);
	assert_string_equal(f->events, "notified;");
	/* The subscriber refreshes as if nothing had been */
	subscribe(f, 2, "message-summary;id=7", "Expires: 0\r\n");
	assert_string_equal(f->events, "notified;refresh 0;");
	/* A tag that can't be ours */
	k.local_tag = STR("short");
	assert_int_equal(subscription_restore(&other, f->end->ua, &k, 300, &watchful, f), -EINVAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_subscription_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(first_notify_is_active),
		T(one_notify_at_a_time_newest_waits),
		T(refreshed),
		T(expires),
		T(unsubscribed_last_state_sent),
		T(unsubscribed_owner_silent_ends_anyway),
		T(fetch_gets_one_state),
		T(refresh_too_brief_gets_423),
		T(refresh_from_elsewhere_is_authorized),
		T(tells_when_notified),
		T(kept_goes_on_elsewhere),
		T(closed_by_owner),
		T(finished_with_a_state),
		T(closed_inside_refresh),
		T(failed_notify_ends_or_not),
	};

	return cmocka_run_group_tests_name("subscription", tests, NULL, NULL);
}
