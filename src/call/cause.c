/* cause.c - between SIP status codes, Q.850 causes and the results applications see.
 *
 * Tables after RFC 3398 §7.2.4.1 and §8.2.6.1 (SIP and ISUP) and RFC 3326 (Reason).
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "call/call_int.h"

#define Q850_NORMAL 16

static const struct { int status, cause; } causes[] = {
	{ 400, 41 }, { 401, 21 }, { 402, 21 }, { 403, 21 }, { 404, 1 },	 { 405, 63 }, { 406, 79 }, { 407, 21 },
	{ 408, 102 }, { 410, 22 }, { 413, 127 }, { 414, 127 }, { 415, 79 }, { 416, 127 }, { 420, 127 }, { 421, 127 },
	{ 423, 127 }, { 433, 24 }, { 480, 18 }, { 481, 41 }, { 482, 25 }, { 483, 25 }, { 484, 28 }, { 485, 1 }, { 486, 17 },
	{ 487, 16 }, { 488, 65 }, { 500, 41 }, { 501, 79 }, { 502, 38 }, { 503, 41 }, { 504, 102 }, { 505, 127 }, { 513, 127 },
	{ 580, 47 }, { 600, 17 }, { 603, 21 }, { 604, 1 }, { 606, 65 },
	/* Newer than RFC 3398: nobody wants this call (RFC 8197, RFC 8688). */
	{ 607, 21 }, { 608, 21 },
};

int cause_of_status(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(causes); i++)
		if (causes[i].status == status)
			return causes[i].cause;
	return status >= 400 ? 31 /* normal, unspecified */ : Q850_NORMAL;
}

int status_to_pass(int status, bool is_outside)
{
	/* About what was asked for, not about how we asked. 401 and 407 would challenge the caller with nothing, 405, 415, 420
	 * and their like tell of methods, bodies and options of another dialog (RFC 3261 §21.4). 424 is about the caller's location. */
	static const int16_t passed[] = { 403, 404, 408, 410, 424, 480, 483, 484, 485, 486, 488, 500, 501, 502, 503, 504, 580 };

	if (status >= 600)
		return status;
	for (size_t i = 0; i < ARRAY_LEN(passed); i++)
		if (passed[i] == status)
			return status;
	return is_outside && status >= 400 ? 502 : 480;
}

static const int statuses[APP_RESULT_COUNT] = {
	[APP_OK] = 480, [APP_BUSY] = 486, [APP_NO_ANSWER] = 480, [APP_UNAVAILABLE] = 480, [APP_DECLINED] = 603,
	[APP_INVALID] = 404, [APP_CONGESTION] = 503, [APP_TIMEOUT] = 408, [APP_FAILED] = 500, [APP_HANGUP] = 487,
	[APP_MOVED] = 480, [APP_ANSWERED] = 480, [APP_ERROR] = 500,
};

int status_of_result(enum app_result r)
{
	return statuses[r];
}

enum app_result result_of_status(int status)
{
	switch (status) {
	case 486:
	case 600:
		return APP_BUSY;
	case 603:
	case 607:
	case 608:
	case 403:
		return APP_DECLINED;
	case 404:
	case 484:
	case 485:
	case 604:
		return APP_INVALID;
	case 408:
	case 487:
		return APP_NO_ANSWER;
	case 480:
	case 410:
	case 430:
	case 481:
		return APP_UNAVAILABLE;
	case 503:
		return APP_CONGESTION;
	default:
		return APP_FAILED;
	}
}

int status_of_error(int err)
{
	switch (err) {
	case -EPROTO:
		return 488;
	case -EADDRINUSE: /* no media port is free */
	case -EMFILE:
	case -ENFILE:
	case -ENOBUFS:
	case -ENOMEM:
		return 503;
	default:
		return 500;
	}
}

const char *app_result_name(enum app_result r)
{
	static const char *const names[APP_RESULT_COUNT] = {
		[APP_OK] = "ok", [APP_BUSY] = "busy", [APP_NO_ANSWER] = "no_answer", [APP_UNAVAILABLE] = "unavailable",
		[APP_DECLINED] = "declined", [APP_INVALID] = "invalid", [APP_CONGESTION] = "congestion",
		[APP_TIMEOUT] = "timeout", [APP_FAILED] = "failed", [APP_HANGUP] = "hangup", [APP_MOVED] = "moved",
		[APP_ANSWERED] = "answered", [APP_ERROR] = "error",
	};

	return (unsigned)r < APP_RESULT_COUNT ? names[r] : "failed";
}

/* The next value of a comma list; commas in quotes are text. */
static bool next_value(struct str *list, struct str *out)
{
	bool is_quoted = false;
	size_t n = 0;

	if (!list->n)
		return false;
	for (; n < list->n && (is_quoted || list->p[n] != ','); n++) {
		if (list->p[n] == '"')
			is_quoted = !is_quoted;
		else if (list->p[n] == '\\' && is_quoted && n + 1 < list->n)
			n++;
	}
	*out = str_trim((struct str){ list->p, n });
	*list = str_from_at(*list, n < list->n ? n + 1 : n);
	return true;
}

int cause_of_reason(struct str list)
{
	struct str one, protocol, params, cause;
	uint32_t n;

	while (next_value(&list, &one)) {
		sip_token_params(one, &protocol, &params);
		if (str_ieqz(protocol, "Q.850") && sip_param_find(params, "cause", &cause) &&
		    str_to_u32(cause, 127, &n) == 0)
			return (int)n;
	}
	return 0;
}

/* What another peer may be told: a protocol, its parameters, and no half of a quoted text. */
static bool is_well_formed(struct str value)
{
	struct str protocol, params;
	unsigned nquotes = 0;

	sip_token_params(value, &protocol, &params);
	for (size_t i = 0; i < protocol.n; i++)
		if (!isalnum((unsigned char)protocol.p[i]) && !strchr("-.!%*_+`'~", protocol.p[i]))
			return false;
	for (size_t i = 0; i < value.n; i++) {
		if ((unsigned char)value.p[i] < ' ' && value.p[i] != '\t')
			return false;
		if (value.p[i] == '\\')
			i++;
		else
			nquotes += value.p[i] == '"';
	}
	return protocol.n && nquotes % 2 == 0;
}

void reason_take(const struct sip_msg *m, char buf[REASON_MAX])
{
	struct sip_hdr_iter it = { 0 };
	struct str value;
	struct out o;

	out_init(&o, buf, REASON_MAX - 1);
	while (sip_msg_element_next(m, SIP_HDR_REASON, &it, &value)) {
		if (!is_well_formed(value) || o.len + value.n + 2 >= REASON_MAX - 1)
			continue;
		out_z(&o, o.len ? ", " : "");
		out_str(&o, value);
	}
	buf[o.len] = '\0';
}

void text_keep(char **kept, const char *reason)
{
	char *copy = reason && *reason ? strdup(reason) : NULL; /* without memory it isn't told */

	free(*kept);
	*kept = copy;
}

void reason_keep_of(char **kept, const struct sip_msg *m)
{
	char reason[REASON_MAX];

	reason_take(m, reason);
	text_keep(kept, reason);
}

void reason_print(struct out *o, const char *reason, int status)
{
	int cause = status >= 300 && !(reason && cause_of_reason(str_from(reason))) ? cause_of_status(status) : 0;
	bool has_any = reason && reason[0];

	if (!has_any && !cause)
		return;
	out_z(o, "Reason: ");
	out_z(o, has_any ? reason : "");
	if (cause)
		out_fmt(o, "%sQ.850;cause=%d", has_any ? ", " : "", cause);
	out_z(o, "\r\n");
}

void refuse(struct strans *st, int status, const char *hdrs)
{
	char buf[512];
	struct out o;

	out_init(&o, buf, sizeof(buf) - 1);
	out_z(&o, hdrs ? hdrs : "");
	if (status != 422 && !(hdrs && strstr(hdrs, "Reason:"))) /* a 422 only asks for another interval */
		reason_print(&o, NULL, status);
	buf[out_ok(&o) ? o.len : 0] = '\0';
	strans_reply_simple(st, status, buf);
}
