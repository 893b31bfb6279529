/* cause.c - between SIP status codes, Q.850 causes and the results applications see.
 *
 * Tables after RFC 3398 §7.2.4.1 and §8.2.6.1 (SIP and ISUP) and RFC 3326 (Reason).
 */
#include <errno.h>

#include "call/call_int.h"

#define Q850_NORMAL 16

static const struct { int status, cause; } causes[] = {
	{ 400, 41 }, { 401, 21 }, { 402, 21 }, { 403, 21 }, { 404, 1 },	 { 405, 63 }, { 406, 79 }, { 407, 21 },
	{ 408, 102 }, { 410, 22 }, { 413, 127 }, { 415, 79 }, { 416, 127 }, { 420, 127 }, { 480, 18 }, { 481, 41 },
	{ 482, 25 }, { 483, 25 }, { 484, 28 }, { 485, 1 }, { 486, 17 },	 { 487, 16 }, { 488, 65 }, { 500, 41 },
	{ 501, 79 }, { 502, 38 }, { 503, 41 }, { 504, 102 }, { 600, 17 }, { 603, 21 }, { 604, 1 }, { 606, 65 },
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
	 * and their like tell of methods, bodies and options of another dialog (RFC 3261 §21.4). */
	static const int16_t passed[] = { 403, 404, 408, 410, 480, 483, 484, 485, 486, 488, 500, 501, 502, 503, 504, 580 };

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
	[APP_MOVED] = 480, [APP_ANSWERED] = 480,
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
		[APP_ANSWERED] = "answered",
	};

	return (unsigned)r < APP_RESULT_COUNT ? names[r] : "failed";
}

int cause_of_reason(struct str value)
{
	struct str list = value;

	while (list.p) {
		struct str one = str_trim(str_cut(&list, ',')), protocol, params, cause;
		uint32_t n;

		sip_token_params(one, &protocol, &params);
		if (str_ieqz(protocol, "Q.850") && sip_param_find(params, "cause", &cause) &&
		    str_to_u32(cause, 127, &n) == 0)
			return (int)n;
	}
	return 0;
}
