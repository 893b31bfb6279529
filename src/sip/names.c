/* names.c - tables of the names SIP gives to methods, headers and status codes. Constant data and its look-ups. */
#include "base/scan.h"
#include "sip/msg.h"

/* Of two names of two bytes and more, up to the last bit: two looks at both, that may overlap, in place of a call. */
static inline bool is_same(struct str a, struct str b)
{
	uint32_t a4, b4;

	if (a.n != b.n)
		return false;
	if (a.n > 16)
		return memcmp(a.p, b.p, a.n) == 0;
	if (a.n >= 8)
		return scan_load(a.p) == scan_load(b.p) && scan_load(a.p + a.n - 8) == scan_load(b.p + b.n - 8);
	if (a.n < 4)
		return a.p[0] == b.p[0] && a.p[1] == b.p[1] && a.p[a.n - 1] == b.p[b.n - 1];
	memcpy(&a4, a.p, 4);
	memcpy(&b4, b.p, 4);
	if (a4 != b4)
		return false;
	memcpy(&a4, a.p + a.n - 4, 4);
	memcpy(&b4, b.p + b.n - 4, 4);
	return a4 == b4;
}

/* Each with its first and last letter. */
#define METHODS(X) \
	X(INVITE, 'I', 'E') X(ACK, 'A', 'K') X(BYE, 'B', 'E') X(CANCEL, 'C', 'L') X(OPTIONS, 'O', 'S') X(REGISTER, 'R', 'R') \
	X(PRACK, 'P', 'K') X(UPDATE, 'U', 'E') X(INFO, 'I', 'O') X(SUBSCRIBE, 'S', 'E') X(NOTIFY, 'N', 'Y') X(REFER, 'R', 'R') \
	X(MESSAGE, 'M', 'E') X(PUBLISH, 'P', 'H')

#define METHOD_NAME(id, first, last) [SIP_##id] = { #id, sizeof(#id) - 1 },
static const struct str methods[SIP_METHOD_COUNT] = { [SIP_OTHER] = { "?", 1 }, METHODS(METHOD_NAME) };

/* A slot of its own for each, as with the headers below. */
#define METHOD_SLOT_OF(len, first, last) (((len) + (first) + (last) * 7u) & 31)
#define METHOD_SLOT(id, first, last) [METHOD_SLOT_OF(sizeof(#id) - 1, first, last)] = SIP_##id,
static const unsigned char method_slots[32] = { METHODS(METHOD_SLOT) };

const char *sip_method_name(enum sip_method m)
{
	return methods[(unsigned)m < SIP_METHOD_COUNT ? m : SIP_OTHER].p;
}

enum sip_method sip_method_parse(struct str name)
{
	enum sip_method m;

	if (name.n < 3)
		return SIP_OTHER;
	m = method_slots[METHOD_SLOT_OF(name.n, (unsigned char)name.p[0], (unsigned char)name.p[name.n - 1])];
	return m != SIP_OTHER && is_same(name, methods[m]) ? m : SIP_OTHER;
}

/* Each with its first and last letter, lower case. */
#define HEADERS(X) \
	X(VIA, "Via", 'v', 'a') \
	X(FROM, "From", 'f', 'm') \
	X(TO, "To", 't', 'o') \
	X(CALL_ID, "Call-ID", 'c', 'd') \
	X(CSEQ, "CSeq", 'c', 'q') \
	X(CONTACT, "Contact", 'c', 't') \
	X(MAX_FORWARDS, "Max-Forwards", 'm', 's') \
	X(CONTENT_LENGTH, "Content-Length", 'c', 'h') \
	X(CONTENT_TYPE, "Content-Type", 'c', 'e') \
	X(ROUTE, "Route", 'r', 'e') \
	X(RECORD_ROUTE, "Record-Route", 'r', 'e') \
	X(EXPIRES, "Expires", 'e', 's') \
	X(MIN_EXPIRES, "Min-Expires", 'm', 's') \
	X(AUTHORIZATION, "Authorization", 'a', 'n') \
	X(PROXY_AUTHORIZATION, "Proxy-Authorization", 'p', 'n') \
	X(WWW_AUTHENTICATE, "WWW-Authenticate", 'w', 'e') \
	X(PROXY_AUTHENTICATE, "Proxy-Authenticate", 'p', 'e') \
	X(REQUIRE, "Require", 'r', 'e') \
	X(PROXY_REQUIRE, "Proxy-Require", 'p', 'e') \
	X(SUPPORTED, "Supported", 's', 'd') \
	X(UNSUPPORTED, "Unsupported", 'u', 'd') \
	X(ALLOW, "Allow", 'a', 'w') \
	X(ALLOW_EVENTS, "Allow-Events", 'a', 's') \
	X(ACCEPT, "Accept", 'a', 't') \
	X(EVENT, "Event", 'e', 't') \
	X(SUBSCRIPTION_STATE, "Subscription-State", 's', 'e') \
	X(REFER_TO, "Refer-To", 'r', 'o') \
	X(REFERRED_BY, "Referred-By", 'r', 'y') \
	X(REPLACES, "Replaces", 'r', 's') \
	X(RACK, "RAck", 'r', 'k') \
	X(RSEQ, "RSeq", 'r', 'q') \
	X(SESSION_EXPIRES, "Session-Expires", 's', 's') \
	X(MIN_SE, "Min-SE", 'm', 'e') \
	X(REASON, "Reason", 'r', 'n') \
	X(RETRY_AFTER, "Retry-After", 'r', 'r') \
	X(USER_AGENT, "User-Agent", 'u', 't') \
	X(SERVER, "Server", 's', 'r') \
	X(WARNING, "Warning", 'w', 'g') \
	X(P_ASSERTED_IDENTITY, "P-Asserted-Identity", 'p', 'y') \
	X(P_PREFERRED_IDENTITY, "P-Preferred-Identity", 'p', 'y') \
	X(REMOTE_PARTY_ID, "Remote-Party-ID", 'r', 'd') \
	X(PRIVACY, "Privacy", 'p', 'y') \
	X(DIVERSION, "Diversion", 'd', 'n') \
	X(HISTORY_INFO, "History-Info", 'h', 'o') \
	X(ALERT_INFO, "Alert-Info", 'a', 'o') \
	X(CALL_INFO, "Call-Info", 'c', 'o') \
	X(PATH, "Path", 'p', 'h') \
	X(SERVICE_ROUTE, "Service-Route", 's', 'e') \
	X(SESSION_ID, "Session-ID", 's', 'd') \
	X(SUBJECT, "Subject", 's', 't') \
	X(DATE, "Date", 'd', 'e') \
	X(TIMESTAMP, "Timestamp", 't', 'p') \
	X(CONTENT_DISPOSITION, "Content-Disposition", 'c', 'n') \
	X(CONTENT_ENCODING, "Content-Encoding", 'c', 'g') \
	X(MIME_VERSION, "MIME-Version", 'm', 'n') \
	X(SIP_ETAG, "SIP-ETag", 's', 'g') \
	X(SIP_IF_MATCH, "SIP-If-Match", 's', 'h') \
	X(USER_TO_USER, "User-to-User", 'u', 'r') \
	X(IN_REPLY_TO, "In-Reply-To", 'i', 'o') \
	X(ORGANIZATION, "Organization", 'o', 'n') \
	X(PRIORITY, "Priority", 'p', 'y')

#define NAME(id, name, first, last) [SIP_HDR_##id] = { name, sizeof(name) - 1 },
static const struct str hdr_names[SIP_HDR_COUNT] = { [SIP_HDR_OTHER] = { "", 0 }, HEADERS(NAME) };

/* A look-up without a search: length, first and last letter have a slot of their own for each name. A new name for which that isn't so
 * doesn't compile (-Woverride-init): then other factors are to be found. */
#define SLOT_OF(len, first, last) (((len) + (first) * 38u + (last) * 24u) & 255)
#define SLOT(id, name, first, last) [SLOT_OF(sizeof(name) - 1, first, last)] = SIP_HDR_##id,
static const unsigned char hdr_slots[256] = { HEADERS(SLOT) };

const char *sip_hdr_name(enum sip_hdr_id id)
{
	return hdr_names[(unsigned)id < SIP_HDR_COUNT ? id : SIP_HDR_OTHER].p;
}

/* RFC 3261 §7.3.3, RFC 3265, 3515, 3892, 4028, 5627 ... */
static enum sip_hdr_id parse_compact(char c)
{
	switch (c | 0x20) {
	case 'b': return SIP_HDR_REFERRED_BY;
	case 'c': return SIP_HDR_CONTENT_TYPE;
	case 'e': return SIP_HDR_CONTENT_ENCODING;
	case 'f': return SIP_HDR_FROM;
	case 'i': return SIP_HDR_CALL_ID;
	case 'k': return SIP_HDR_SUPPORTED;
	case 'l': return SIP_HDR_CONTENT_LENGTH;
	case 'm': return SIP_HDR_CONTACT;
	case 'o': return SIP_HDR_EVENT;
	case 'r': return SIP_HDR_REFER_TO;
	case 's': return SIP_HDR_SUBJECT;
	case 't': return SIP_HDR_TO;
	case 'u': return SIP_HDR_ALLOW_EVENTS;
	case 'v': return SIP_HDR_VIA;
	case 'x': return SIP_HDR_SESSION_EXPIRES;
	default: return SIP_HDR_OTHER;
	}
}

enum sip_hdr_id sip_hdr_parse(struct str name)
{
	enum sip_hdr_id id;

	if (name.n < 2)
		return name.n ? parse_compact(name.p[0]) : SIP_HDR_OTHER;
	id = hdr_slots[SLOT_OF(name.n, (unsigned char)(name.p[0] | 0x20), (unsigned char)(name.p[name.n - 1] | 0x20))];
	if (id == SIP_HDR_OTHER)
		return id;
	return is_same(name, hdr_names[id]) || str_ieq(name, hdr_names[id]) ? id : SIP_HDR_OTHER;
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
	{ 430, "Flow Failed" }, { 439, "First Hop Lacks Outbound Support" }, { 440, "Max-Breadth Exceeded" }, { 469, "Bad Info Package" },
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
