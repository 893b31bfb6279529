/* fuzz_hdr.c - libFuzzer target on what headers mean: the input is the headers of an INVITE or REFER behind those that it can't do without.
 *
 * What is read prints and reads back as the same; what is written of a message for others is whole header lines that a parser takes, as
 * many as were written: nothing that came in ends a line of ours.
 */
#include <assert.h>
#include <stdlib.h>

#include "call/call_int.h"
#include "call/diversion.h"
#include "call/identity.h"
#include "call/pass.h"
#include "sip/sessid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM 65536

/* A message of its own bytes. Two are made for good: an allocator that watches is slow with what is large. */
struct text { struct sip_msg m; char *bytes; };

static struct text whole;  /* what came in */
static struct text ours;   /* what was written of it */

/* False: it isn't one. */
static bool text_read(struct text *t, struct str lines)
{
	static const char head[] = "REFER sip:1001@office SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKx\r\nFrom: \"D\" <sip:d@e>;tag=f\r\n"
				   "To: <sip:a@b>\r\nCall-ID: g\r\nCSeq: 1 REFER\r\nMax-Forwards: 70\r\n";
	struct sip_msg_error err;
	size_t n = sizeof(head) - 1 + lines.n + 2;

	t->bytes = malloc(n); /* of exactly this size, so that a byte read too far is caught */
	memcpy(t->bytes, head, sizeof(head) - 1);
	if (lines.n)
		memcpy(t->bytes + sizeof(head) - 1, lines.p, lines.n);
	memcpy(t->bytes + n - 2, "\r\n", 2);
	if (sip_msg_parse(&t->m, t->bytes, n, &err) == 0)
		return true;
	free(t->bytes);
	return false;
}

#define HEAD_LINES 6 /* of text_read() */

/* Lines that we wrote: each is one header to who reads them. The message of them; free its bytes. */
static const struct sip_msg *check_lines(const struct out *o)
{
	bool is_read = text_read(&ours, out_view(o));
	unsigned n = 0;

	assert(out_ok(o) && is_read);
	for (size_t i = 0; i < o->len; i++)
		n += o->p[i] == '\n';
	assert(ours.m.nhdrs == n + HEAD_LINES && ours.m.body.n == 0);
	return &ours.m;
}

/* What different rules write is mostly the same: it is checked once. */
struct written { unsigned n; struct out texts[16]; };

static bool is_new(struct written *w, const struct out *o)
{
	for (unsigned i = 0; i < w->n; i++)
		if (str_eq(out_view(&w->texts[i]), out_view(o)))
			return false;
	out_init_grow(&w->texts[w->n], ROOM);
	out_str(&w->texts[w->n++], out_view(o));
	return true;
}

static void written_free(struct written *w)
{
	while (w->n)
		out_fini(&w->texts[--w->n]);
}

/* ---- single values ---- */

static void check_addr(struct str one)
{
	struct sip_addr a, b;
	struct out o;

	if (sip_addr_parse(&a, one) != 0)
		return;
	assert(!a.display.n || a.display.p != a.uri.text.p);
	out_init_grow(&o, 2 * ROOM);
	out_chr(&o, '"');
	out_str(&o, a.display);
	out_z(&o, "\" <");
	out_str(&o, a.uri.text);
	out_chr(&o, '>');
	if (a.params.n) {
		out_chr(&o, ';');
		out_str(&o, a.params);
	}
	/* A name without quotes may have what quotes would end at: no token. */
	if (!memchr(a.display.p ? a.display.p : "", '"', a.display.n) && !memchr(a.display.p ? a.display.p : "", '\\', a.display.n)) {
		assert(sip_addr_parse(&b, out_view(&o)) == 0);
		assert(str_eq(a.uri.text, b.uri.text) && str_eq(a.params, b.params) && str_eq(a.tag, b.tag) && str_eq(a.display, b.display));
	}
	out_fini(&o);
}

static void check_via(struct str one)
{
	struct sip_via a, b;
	struct out o;

	if (sip_via_parse(&a, one) != 0)
		return;
	out_init_grow(&o, 2 * ROOM);
	out_z(&o, "SIP/2.0/");
	out_str(&o, a.transport);
	out_chr(&o, ' ');
	out_str(&o, a.host);
	if (a.port)
		out_fmt(&o, ":%u", a.port);
	if (a.params.n) {
		out_chr(&o, ';');
		out_str(&o, a.params);
	}
	assert(sip_via_parse(&b, out_view(&o)) == 0);
	assert(str_eq(a.host, b.host) && a.port == b.port && str_eq(a.branch, b.branch) && str_eq(a.received, b.received) &&
	       a.has_rport == b.has_rport && str_eq(a.transport, b.transport));
	out_fini(&o);
}

static void check_params(struct str value)
{
	struct str token, params, name, found;
	size_t n = 0;

	sip_token_params(value, &token, &params);
	while (sip_param_next(&params, &name, &found)) {
		assert(++n <= value.n);
		assert(!name.n || (name.p >= value.p && name.p + name.n <= value.p + value.n));
		assert(!found.n || (found.p >= name.p + name.n && found.p + found.n <= value.p + value.n));
	}
}

static void check_values(const struct sip_msg *m)
{
	for (unsigned i = HEAD_LINES; i < m->nhdrs; i++) {
		struct sip_hdr_iter it = { 0 };
		struct replaces replaces;
		struct str one;

		while (sip_msg_element_next(m, m->hdrs[i].id, &it, &one)) {
			check_addr(one);
			check_via(one);
			check_params(one);
		}
		check_params(m->hdrs[i].value);
		if (replaces_parse(&replaces, m->hdrs[i].value) == 0)
			assert(replaces.call_id.n && replaces.to_tag.n && replaces.from_tag.n);
		assert(cause_of_reason(m->hdrs[i].value) >= 0);
	}
}

/* ---- a message ---- */

static void check_refer_to(const struct sip_msg *m)
{
	struct refer_to to;

	if (refer_to_parse(&to, m) != 0)
		return;
	assert(to.uri.text.n && strlen(to.replaces) < sizeof(to.replaces));
	assert(!strpbrk(to.replaces, "\r\n"));
}

static void check_session(const struct sip_msg *m)
{
	const struct session_timing timing = { 1800, 90 };
	char sender[SESSID_LEN + 1] = "", receiver[SESSID_LEN + 1] = "";
	uint32_t min_s = session_min_expires(m, &timing);
	const struct sip_msg *back;
	struct out o;

	assert(min_s == 0 || min_s >= 90);
	assert(sip_msg_expires(m, 5) >= -1);
	if (!sessid_of(m, sender, receiver))
		return;
	assert(strlen(sender) == SESSID_LEN && strspn(sender, "0123456789abcdef") == SESSID_LEN);
	out_init_grow(&o, ROOM);
	sessid_print(&o, sender, receiver);
	back = check_lines(&o);
	{
		char again[SESSID_LEN + 1], other[SESSID_LEN + 1];

		assert(sessid_of(back, again, other) && !strcmp(sender, again));
		assert(!receiver[0] || !strcmp(receiver, other));
	}
	free(ours.bytes);
	out_fini(&o);
}

static void check_identity(const struct sip_msg *m, bool is_trusted)
{
	static const struct identity_rules all = { .is_trusted = true, .has_asserted = true, .has_rpid = true };
	static const char *const allowed[] = { "2001", "1001" };
	static char room[ROOM];
	struct written written = { 0 };
	struct identity id, back;
	struct out o;

	identity_preferred(m, allowed, ARRAY_LEN(allowed));
	if (!identity_of_trunk(&id, m, is_trusted))
		return;
	assert(id.number[0] && memchr(id.number, '\0', sizeof(id.number)) && memchr(id.name, '\0', sizeof(id.name)));
	for (unsigned bits = 0; bits < 16; bits++) {
		const struct identity_rules rules = { bits & 1, bits & 2, bits & 4, bits & 8 };

		out_init(&o, room, sizeof(room));
		identity_print(&o, &id, "192.0.2.1", &rules, bits & 1 ? IDENTITY_CALLING : IDENTITY_CALLED);
		assert(o.len <= IDENTITY_HDRS_MAX);
		if (!is_new(&written, &o))
			continue;
		check_lines(&o);
		free(ours.bytes);
	}
	written_free(&written);
	/* Who is told everything knows the same. */
	out_init(&o, room, sizeof(room));
	identity_print(&o, &id, "192.0.2.1", &all, IDENTITY_CALLING);
	assert(identity_of_trunk(&back, check_lines(&o), true));
	assert(!strcmp(id.number, back.number) && !strcmp(id.name, back.name));
	assert(identity_is_hidden(&id) == identity_is_hidden(&back));
	free(ours.bytes);
}

static void check_diversions(const struct sip_msg *m)
{
	struct diversion *list = NULL, *again = NULL;
	const struct diversion *newest = diversion_take(&list, m), *back;
	const struct diversion_print p = { .target = "1002", .host = "192.0.2.1", .may_see = true };
	unsigned kept = 0;
	struct out o;

	for (const struct diversion *d = newest; d; d = d->before)
		assert(++kept <= DIVERSIONS_MAX + 1 && d->reason < DIVERSION_REASON_COUNT && !strpbrk(d->number, "\r\n"));
	assert(diversion_count(newest) >= kept);
	out_init_grow(&o, ROOM);
	diversion_print(&o, newest, &p);
	assert(o.len <= DIVERSION_HDRS_MAX);
	back = diversion_take(&again, check_lines(&o));
	for (const struct diversion *d = newest; d; d = d->before, back = back->before) {
		assert(back && d->reason == back->reason && (!d->number[0] || !strcmp(d->number, back->number)));
		assert(d->is_hidden == back->is_hidden || !d->number[0]);
	}
	assert(!back);
	free(ours.bytes);
	out_fini(&o);
	diversion_free_all(&list);
	diversion_free_all(&again);
}

static void check_passed(const struct sip_msg *m)
{
	static const struct dir_pass_header rows[] = { { "X-Pass", true, NULL }, { "X-Pass", false, NULL }, { "X-Set", true, "a" }, { "Subject", false, "" } };
	static const struct dir_pass pass = { 4, rows };
	static char room[2][ROOM];
	struct written written = { 0 };

	for (unsigned bits = 0; bits < 16; bits++) {
		const struct pass_side from = { .is_trunk = bits & 1, .has_referrer = bits & 8, .all = &pass };
		const struct pass_side to = { .is_trunk = bits & 2, .own = &pass };
		const struct sip_msg *t;
		struct out taken, given;

		out_init(&taken, room[0], ROOM);
		out_init(&given, room[1], ROOM);
		pass_take(&taken, m, &from);
		assert(taken.len <= PASS_MAX);
		pass_give(&given, out_view(&taken), bits & 1, &to, bits & 4);
		assert(given.len <= taken.len && out_ok(&taken));
		if (!is_new(&written, &given))
			continue;
		t = check_lines(&given);
		/* Nothing that belongs to one leg gets in this way. */
		assert(!sip_msg_has(t, SIP_HDR_CONTACT) && !sip_msg_has(t, SIP_HDR_ROUTE) && !sip_msg_has(t, SIP_HDR_AUTHORIZATION) &&
		       !sip_msg_has(t, SIP_HDR_CONTENT_TYPE) && !sip_msg_has(t, SIP_HDR_REQUIRE));
		free(ours.bytes);
	}
	written_free(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!text_read(&whole, (struct str){ (const char *)data, size }))
		return 0;
	check_values(&whole.m);
	check_refer_to(&whole.m);
	check_session(&whole.m);
	check_identity(&whole.m, true);
	check_identity(&whole.m, false);
	check_diversions(&whole.m);
	check_passed(&whole.m);
	free(whole.bytes);
	return 0;
}
