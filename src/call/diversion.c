/* diversion.c - reads and writes Diversion and History-Info.
 *
 * The two say the same from opposite ends: a Diversion is who sent the call on and why, a History-Info entry whom the call was
 * sent to, and (as cause, RFC 4458) why. RFC 7544 has how one becomes the other.
 */
#include "call/diversion.h"

#include <stdlib.h>

#include "call/identity.h"

/* RFC 5806 §4.2, with the cause of RFC 7544 §3.3. The first of a cause is what the cause becomes. */
static const struct { const char *name; uint16_t cause; } reasons[DIVERSION_REASON_COUNT] = {
	[DIVERSION_UNKNOWN] = { "unknown", 404 }, [DIVERSION_BUSY] = { "user-busy", 486 }, [DIVERSION_NO_ANSWER] = { "no-answer", 408 },
	[DIVERSION_UNAVAILABLE] = { "unavailable", 503 }, [DIVERSION_UNCONDITIONAL] = { "unconditional", 302 },
	[DIVERSION_TIME_OF_DAY] = { "time-of-day", 404 }, [DIVERSION_DO_NOT_DISTURB] = { "do-not-disturb", 404 },
	[DIVERSION_DEFLECTION] = { "deflection", 480 }, [DIVERSION_FOLLOW_ME] = { "follow-me", 404 },
	[DIVERSION_OUT_OF_SERVICE] = { "out-of-service", 404 }, [DIVERSION_AWAY] = { "away", 404 },
};

enum diversion_reason diversion_reason_of(struct str name)
{
	static const struct { const char *name; enum diversion_reason reason; } forwards[] = {
		{ "always", DIVERSION_UNCONDITIONAL }, { "busy", DIVERSION_BUSY }, { "no_answer", DIVERSION_NO_ANSWER },
		{ "diverted", DIVERSION_DEFLECTION },
	};

	if (name.n >= 2 && name.p[0] == '"')
		name = (struct str){ name.p + 1, name.n - 2 };
	for (size_t i = 0; i < ARRAY_LEN(forwards); i++)
		if (str_eqz(name, forwards[i].name))
			return forwards[i].reason;
	for (unsigned i = 0; i < DIVERSION_REASON_COUNT; i++)
		if (str_ieqz(name, reasons[i].name))
			return (enum diversion_reason)i;
	return DIVERSION_UNKNOWN;
}

static enum diversion_reason reason_of_cause(struct str cause)
{
	uint32_t n;

	/* §3.3: 487, deflection while it rings, has no reason of its own. */
	if (str_to_u32(cause, 699, &n) != 0)
		return DIVERSION_UNKNOWN;
	for (unsigned i = 0; i < DIVERSION_REASON_COUNT; i++)
		if (reasons[i].cause == n)
			return (enum diversion_reason)i;
	return n == 487 ? DIVERSION_DEFLECTION : DIVERSION_UNKNOWN;
}

/* ---- the chain ---- */

struct diversion *diversion_add(struct diversion **list, const struct diversion *before, const char *number, enum diversion_reason reason)
{
	struct diversion *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->before = before;
	d->reason = reason;
	d->counter = 1;
	str_put(d->number, sizeof(d->number), number);
	d->next = *list;
	*list = d;
	return d;
}

void diversion_free_all(struct diversion **list)
{
	while (*list) {
		struct diversion *d = *list;

		*list = d->next;
		free(d);
	}
}

unsigned diversion_count(const struct diversion *newest)
{
	unsigned n = 0;

	for (; newest; newest = newest->before)
		n += newest->counter;
	return n;
}

bool diversion_has(const struct diversion *newest, const char *number)
{
	for (; newest; newest = newest->before)
		if (!strcmp(newest->number, number))
			return true;
	return false;
}

/* ---- reading ---- */

static const struct diversion *take_diversions(struct diversion **list, const struct sip_msg *m)
{
	struct diversion *newest = NULL, *last = NULL;
	struct sip_hdr_iter it = { 0 };
	struct sip_addr a;
	struct str element, value;
	unsigned n = 0;

	/* The newest stands first: each is the one before the last. */
	while (sip_msg_element_next(m, SIP_HDR_DIVERSION, &it, &element)) {
		struct diversion *d;
		uint32_t counter;

		if (sip_addr_parse(&a, element) != 0)
			continue;
		if (!sip_param_find(a.params, "counter", &value) || str_to_u32(value, 1000, &counter) != 0 || !counter)
			counter = 1;
		if (n++ >= DIVERSIONS_MAX) {
			last->counter += counter;
			continue;
		}
		d = diversion_add(list, NULL, "", sip_param_find(a.params, "reason", &value) ? diversion_reason_of(value) : DIVERSION_UNKNOWN);
		if (!d)
			break;
		identity_number_of(&a.uri, d->number, sizeof(d->number));
		d->counter = counter;
		d->is_hidden = identity_is_anonymous_uri(&a.uri) ||
			       (sip_param_find(a.params, "privacy", &value) && !str_ieqz(value, "off"));
		if (last)
			last->before = d;
		else
			newest = d;
		last = d;
	}
	return newest;
}

/* RFC 7044 §10.1.1: "?Privacy=history" of one entry; what its sender means by another value isn't told either, unless it is that nothing is hidden. */
static bool hides_entry(struct str headers)
{
	while (headers.n) {
		struct str value = str_cut(&headers, '&'), name = str_cut(&value, '=');

		if (str_ieqz(name, "Privacy"))
			return !(privacy_parse(value) & PRIVACY_NONE);
	}
	return false;
}

/* Where the entry says why the call came there, the one before it is who sent it. */
static const struct diversion *take_history(struct diversion **list, const struct sip_msg *m)
{
	struct diversion *newest = NULL;
	struct sip_hdr_iter it = { 0 };
	struct str element, cause;
	struct sip_addr a;
	/* For one entry in its URI, for all of them in the message. */
	bool are_hidden = sip_msg_has(m, SIP_HDR_PRIVACY) && (privacy_of(m) & (PRIVACY_HISTORY | PRIVACY_HEADER | PRIVACY_SESSION));
	char number[128] = "";
	bool is_hidden = false;
	unsigned n = 0;

	while (sip_msg_element_next(m, SIP_HDR_HISTORY_INFO, &it, &element)) {
		if (sip_addr_parse(&a, element) != 0)
			continue;
		if (n && sip_param_find(a.uri.params, "cause", &cause) && n <= DIVERSIONS_MAX) {
			struct diversion *d = diversion_add(list, newest, number, reason_of_cause(cause));

			if (!d)
				break;
			d->is_hidden = is_hidden;
			newest = d;
		} else if (n > DIVERSIONS_MAX && newest) {
			newest->counter++;
		}
		n++;
		identity_number_of(&a.uri, number, sizeof(number));
		is_hidden = are_hidden || identity_is_anonymous_uri(&a.uri) || hides_entry(a.uri.headers);
	}
	return newest;
}

const struct diversion *diversion_take(struct diversion **list, const struct sip_msg *m)
{
	if (sip_msg_has(m, SIP_HDR_DIVERSION))
		return take_diversions(list, m);
	return sip_msg_has(m, SIP_HDR_HISTORY_INFO) ? take_history(list, m) : NULL;
}

const char *diversion_reason_given(const struct sip_msg *m, const struct sip_uri *contact)
{
	struct diversion *list = NULL;
	const struct diversion *newest = diversion_take(&list, m);
	enum diversion_reason reason = newest ? newest->reason : DIVERSION_UNKNOWN;
	struct str cause;

	diversion_free_all(&list);
	if (!newest && sip_param_find(contact->params, "cause", &cause))
		reason = reason_of_cause(cause);
	/* RFC 7544 §3.3: "unknown" is what many a cause becomes; that it was the phone that did it is known at least. */
	return reasons[reason == DIVERSION_UNKNOWN ? DIVERSION_DEFLECTION : reason].name;
}

/* ---- writing ---- */

#define CHAIN_MAX (2 * DIVERSIONS_MAX)

static const char *number_for(const struct diversion *d, const struct diversion_print *p)
{
	return p->number_of ? p->number_of(d, p->arg) : d->number;
}

static bool is_told(const struct diversion *d, const struct diversion_print *p)
{
	return d->number[0] && (p->may_see || !d->is_hidden);
}

static void print_uri(struct out *o, const char *number, const char *host)
{
	out_z(o, "sip:");
	sip_escape_user(o, str_from(number));
	out_chr(o, '@');
	out_z(o, host);
}

static void print_one(struct out *o, const struct diversion *d, const struct diversion_print *p)
{
	out_z(o, "Diversion: <");
	if (is_told(d, p))
		print_uri(o, number_for(d, p), p->host);
	else
		out_z(o, IDENTITY_ANONYMOUS_URI);
	out_z(o, ">;reason=");
	out_z(o, reasons[d->reason].name);
	out_z(o, ";counter=");
	out_u64(o, d->counter);
	out_z(o, d->is_hidden ? ";privacy=full\r\n" : ";privacy=off\r\n");
}

static void print_index(struct out *o, unsigned depth)
{
	out_chr(o, '1');
	while (depth--)
		out_mem(o, ".1", 2);
}

/* One entry: its URI, why the call came to it (of the diversion before), and whom it was mapped from (RFC 7044 §5). */
static void print_entry(struct out *o, unsigned depth, const struct diversion *d, const struct diversion *from, const struct diversion_print *p)
{
	out_z(o, depth ? ", <" : "History-Info: <");
	if (!d && p->target[0])
		print_uri(o, p->target, p->host);
	else if (!d)
		out_z(o, IDENTITY_ANONYMOUS_URI);
	else if (is_told(d, p))
		print_uri(o, number_for(d, p), p->host);
	else
		out_z(o, IDENTITY_ANONYMOUS_URI);
	if (from) {
		out_z(o, ";cause=");
		out_u64(o, reasons[from->reason].cause);
	}
	if (d && d->is_hidden && is_told(d, p))
		out_z(o, "?Privacy=history");
	out_z(o, ">;index=");
	print_index(o, depth);
	if (from) {
		out_z(o, ";mp=");
		print_index(o, depth - 1);
	}
}

void diversion_print(struct out *o, const struct diversion *newest, const struct diversion_print *p)
{
	unsigned n = 0;

	for (const struct diversion *d = newest; d && n < CHAIN_MAX; d = d->before, n++)
		print_one(o, d, p);
	history_print(o, newest, p);
}

void history_print(struct out *o, const struct diversion *newest, const struct diversion_print *p)
{
	const struct diversion *chain[CHAIN_MAX];
	unsigned n = 0;

	if (!newest)
		return;
	for (const struct diversion *d = newest; d && n < ARRAY_LEN(chain); d = d->before)
		chain[n++] = d;
	for (unsigned i = n; i-- > 0;)
		print_entry(o, n - 1 - i, chain[i], i + 1 < n ? chain[i + 1] : NULL, p);
	print_entry(o, n, NULL, newest, p);
	out_mem(o, "\r\n", 2);
}
