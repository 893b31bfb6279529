/* names.c - tables of the names SIP gives to methods, headers and status codes. Constant data and its look-ups. */
#include "sip/msg.h"

static const struct str methods[SIP_METHOD_COUNT] = {
	[SIP_OTHER] = { "?", 1 },	    [SIP_INVITE] = { "INVITE", 6 },	[SIP_ACK] = { "ACK", 3 },
	[SIP_BYE] = { "BYE", 3 },	    [SIP_CANCEL] = { "CANCEL", 6 },	[SIP_OPTIONS] = { "OPTIONS", 7 },
	[SIP_REGISTER] = { "REGISTER", 8 }, [SIP_PRACK] = { "PRACK", 5 },	[SIP_UPDATE] = { "UPDATE", 6 },
	[SIP_INFO] = { "INFO", 4 },	    [SIP_SUBSCRIBE] = { "SUBSCRIBE", 9 }, [SIP_NOTIFY] = { "NOTIFY", 6 },
	[SIP_REFER] = { "REFER", 5 },	    [SIP_MESSAGE] = { "MESSAGE", 7 },	[SIP_PUBLISH] = { "PUBLISH", 7 },
};

const char *sip_method_name(enum sip_method m)
{
	return methods[(unsigned)m < SIP_METHOD_COUNT ? m : SIP_OTHER].p;
}

enum sip_method sip_method_parse(struct str name)
{
	for (unsigned i = SIP_OTHER + 1; i < SIP_METHOD_COUNT; i++)
		if (str_eq(methods[i], name))
			return (enum sip_method)i;
	return SIP_OTHER;
}

/* Name and compact form (RFC 3261 §7.3.3, RFC 3265, 3515, 3892, 4028, 5627 ...), '\0' without. */
struct hdr_name {
	const char *name;
	unsigned char len;
	char first;   /* lower case */
	char compact;
};

#define NAME(s, f, c) { s, sizeof(s) - 1, f, c }

static const struct hdr_name hdr_names[SIP_HDR_COUNT] = {
	[SIP_HDR_OTHER] = NAME("", '\0', '\0'),
	[SIP_HDR_VIA] = NAME("Via", 'v', 'v'),
	[SIP_HDR_FROM] = NAME("From", 'f', 'f'),
	[SIP_HDR_TO] = NAME("To", 't', 't'),
	[SIP_HDR_CALL_ID] = NAME("Call-ID", 'c', 'i'),
	[SIP_HDR_CSEQ] = NAME("CSeq", 'c', '\0'),
	[SIP_HDR_CONTACT] = NAME("Contact", 'c', 'm'),
	[SIP_HDR_MAX_FORWARDS] = NAME("Max-Forwards", 'm', '\0'),
	[SIP_HDR_CONTENT_LENGTH] = NAME("Content-Length", 'c', 'l'),
	[SIP_HDR_CONTENT_TYPE] = NAME("Content-Type", 'c', 'c'),
	[SIP_HDR_ROUTE] = NAME("Route", 'r', '\0'),
	[SIP_HDR_RECORD_ROUTE] = NAME("Record-Route", 'r', '\0'),
	[SIP_HDR_EXPIRES] = NAME("Expires", 'e', '\0'),
	[SIP_HDR_MIN_EXPIRES] = NAME("Min-Expires", 'm', '\0'),
	[SIP_HDR_AUTHORIZATION] = NAME("Authorization", 'a', '\0'),
	[SIP_HDR_PROXY_AUTHORIZATION] = NAME("Proxy-Authorization", 'p', '\0'),
	[SIP_HDR_WWW_AUTHENTICATE] = NAME("WWW-Authenticate", 'w', '\0'),
	[SIP_HDR_PROXY_AUTHENTICATE] = NAME("Proxy-Authenticate", 'p', '\0'),
	[SIP_HDR_REQUIRE] = NAME("Require", 'r', '\0'),
	[SIP_HDR_PROXY_REQUIRE] = NAME("Proxy-Require", 'p', '\0'),
	[SIP_HDR_SUPPORTED] = NAME("Supported", 's', 'k'),
	[SIP_HDR_UNSUPPORTED] = NAME("Unsupported", 'u', '\0'),
	[SIP_HDR_ALLOW] = NAME("Allow", 'a', '\0'),
	[SIP_HDR_ALLOW_EVENTS] = NAME("Allow-Events", 'a', 'u'),
	[SIP_HDR_ACCEPT] = NAME("Accept", 'a', '\0'),
	[SIP_HDR_EVENT] = NAME("Event", 'e', 'o'),
	[SIP_HDR_SUBSCRIPTION_STATE] = NAME("Subscription-State", 's', '\0'),
	[SIP_HDR_REFER_TO] = NAME("Refer-To", 'r', 'r'),
	[SIP_HDR_REFERRED_BY] = NAME("Referred-By", 'r', 'b'),
	[SIP_HDR_REPLACES] = NAME("Replaces", 'r', '\0'),
	[SIP_HDR_RACK] = NAME("RAck", 'r', '\0'),
	[SIP_HDR_RSEQ] = NAME("RSeq", 'r', '\0'),
	[SIP_HDR_SESSION_EXPIRES] = NAME("Session-Expires", 's', 'x'),
	[SIP_HDR_MIN_SE] = NAME("Min-SE", 'm', '\0'),
	[SIP_HDR_REASON] = NAME("Reason", 'r', '\0'),
	[SIP_HDR_RETRY_AFTER] = NAME("Retry-After", 'r', '\0'),
	[SIP_HDR_USER_AGENT] = NAME("User-Agent", 'u', '\0'),
	[SIP_HDR_SERVER] = NAME("Server", 's', '\0'),
	[SIP_HDR_WARNING] = NAME("Warning", 'w', '\0'),
	[SIP_HDR_P_ASSERTED_IDENTITY] = NAME("P-Asserted-Identity", 'p', '\0'),
	[SIP_HDR_P_PREFERRED_IDENTITY] = NAME("P-Preferred-Identity", 'p', '\0'),
	[SIP_HDR_REMOTE_PARTY_ID] = NAME("Remote-Party-ID", 'r', '\0'),
	[SIP_HDR_PRIVACY] = NAME("Privacy", 'p', '\0'),
	[SIP_HDR_DIVERSION] = NAME("Diversion", 'd', '\0'),
	[SIP_HDR_HISTORY_INFO] = NAME("History-Info", 'h', '\0'),
	[SIP_HDR_ALERT_INFO] = NAME("Alert-Info", 'a', '\0'),
	[SIP_HDR_CALL_INFO] = NAME("Call-Info", 'c', '\0'),
	[SIP_HDR_PATH] = NAME("Path", 'p', '\0'),
	[SIP_HDR_SERVICE_ROUTE] = NAME("Service-Route", 's', '\0'),
	[SIP_HDR_SESSION_ID] = NAME("Session-ID", 's', '\0'),
	[SIP_HDR_SUBJECT] = NAME("Subject", 's', 's'),
	[SIP_HDR_DATE] = NAME("Date", 'd', '\0'),
	[SIP_HDR_TIMESTAMP] = NAME("Timestamp", 't', '\0'),
	[SIP_HDR_CONTENT_DISPOSITION] = NAME("Content-Disposition", 'c', '\0'),
	[SIP_HDR_CONTENT_ENCODING] = NAME("Content-Encoding", 'c', 'e'),
	[SIP_HDR_MIME_VERSION] = NAME("MIME-Version", 'm', '\0'),
	[SIP_HDR_SIP_ETAG] = NAME("SIP-ETag", 's', '\0'),
	[SIP_HDR_SIP_IF_MATCH] = NAME("SIP-If-Match", 's', '\0'),
	[SIP_HDR_USER_TO_USER] = NAME("User-to-User", 'u', '\0'),
	[SIP_HDR_IN_REPLY_TO] = NAME("In-Reply-To", 'i', '\0'),
	[SIP_HDR_ORGANIZATION] = NAME("Organization", 'o', '\0'),
	[SIP_HDR_PRIORITY] = NAME("Priority", 'p', '\0'),
};

const char *sip_hdr_name(enum sip_hdr_id id)
{
	return hdr_names[(unsigned)id < SIP_HDR_COUNT ? id : SIP_HDR_OTHER].name;
}

enum sip_hdr_id sip_hdr_parse(struct str name)
{
	char first;

	if (name.n == 0)
		return SIP_HDR_OTHER;
	first = (char)(name.p[0] | 0x20);
	if (name.n == 1) {
		for (unsigned i = 1; i < SIP_HDR_COUNT; i++)
			if (hdr_names[i].compact == first)
				return (enum sip_hdr_id)i;
		return SIP_HDR_OTHER;
	}
	/* Length and first letter leave at most a few names to compare. */
	for (unsigned i = 1; i < SIP_HDR_COUNT; i++)
		if (hdr_names[i].len == name.n && hdr_names[i].first == first &&
		    str_ieq(name, (struct str){ hdr_names[i].name, hdr_names[i].len }))
			return (enum sip_hdr_id)i;
	return SIP_HDR_OTHER;
}

static const struct { int status; const char *reason; } reasons[] = {
	{ 100, "Trying" }, { 180, "Ringing" }, { 181, "Call Is Being Forwarded" }, { 182, "Queued" },
	{ 183, "Session Progress" }, { 199, "Early Dialog Terminated" }, { 200, "OK" }, { 202, "Accepted" },
	{ 204, "No Notification" }, { 300, "Multiple Choices" }, { 301, "Moved Permanently" }, { 302, "Moved Temporarily" },
	{ 305, "Use Proxy" }, { 380, "Alternative Service" }, { 400, "Bad Request" }, { 401, "Unauthorized" },
	{ 402, "Payment Required" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" }, { 407, "Proxy Authentication Required" }, { 408, "Request Timeout" }, { 410, "Gone" },
	{ 412, "Conditional Request Failed" }, { 413, "Request Entity Too Large" }, { 414, "Request-URI Too Long" },
	{ 415, "Unsupported Media Type" }, { 416, "Unsupported URI Scheme" }, { 420, "Bad Extension" },
	{ 421, "Extension Required" }, { 422, "Session Interval Too Small" }, { 423, "Interval Too Brief" },
	{ 430, "Flow Failed" }, { 439, "First Hop Lacks Outbound Support" }, { 469, "Bad Info Package" },
	{ 480, "Temporarily Unavailable" }, { 481, "Call/Transaction Does Not Exist" }, { 482, "Loop Detected" },
	{ 483, "Too Many Hops" }, { 484, "Address Incomplete" }, { 485, "Ambiguous" }, { 486, "Busy Here" },
	{ 487, "Request Terminated" }, { 488, "Not Acceptable Here" }, { 489, "Bad Event" }, { 491, "Request Pending" },
	{ 493, "Undecipherable" }, { 494, "Security Agreement Required" }, { 500, "Server Internal Error" },
	{ 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Server Time-out" },
	{ 505, "Version Not Supported" }, { 513, "Message Too Large" }, { 580, "Precondition Failure" },
	{ 600, "Busy Everywhere" }, { 603, "Decline" }, { 604, "Does Not Exist Anywhere" }, { 606, "Not Acceptable" },
	{ 607, "Unwanted" }, { 608, "Rejected" },
};

const char *sip_reason(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	switch (status / 100) {
	case 1: return "Progress";
	case 2: return "Success";
	case 3: return "Redirection";
	case 4: return "Request Failure";
	case 5: return "Server Failure";
	default: return "Global Failure";
	}
}
