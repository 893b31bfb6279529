/* msg.h - a SIP message, parsed once, in place (RFC 3261 §7, §25).
 *
 * sip_msg_parse() fills slices into the caller's bytes: the message lives as long as they do, which
 * for a received datagram is until the receive callback returns. Whoever needs it longer takes
 * sip_msg_hold(), a counted copy that owns its bytes. Header values are unfolded in place (a line
 * fold becomes spaces), so the bytes must be writable.
 *
 * Limits (reasons beside the constants in msg.c): SIP_MSG_MAX bytes, SIP_HDR_MAX headers.
 *
 * Thread: any, one at a time.
 */
#pragma once

#include "base/out.h"
#include "base/str.h"
#include "sip/uri.h"

#define SIP_MSG_MAX 65535
#define SIP_HDR_MAX 128

enum sip_method {
	SIP_OTHER, SIP_INVITE, SIP_ACK, SIP_BYE, SIP_CANCEL, SIP_OPTIONS, SIP_REGISTER, SIP_PRACK,
	SIP_UPDATE, SIP_INFO, SIP_SUBSCRIBE, SIP_NOTIFY, SIP_REFER, SIP_MESSAGE, SIP_PUBLISH,
	SIP_METHOD_COUNT
};

enum sip_hdr_id {
	SIP_HDR_OTHER, SIP_HDR_VIA, SIP_HDR_FROM, SIP_HDR_TO, SIP_HDR_CALL_ID, SIP_HDR_CSEQ,
	SIP_HDR_CONTACT, SIP_HDR_MAX_FORWARDS, SIP_HDR_CONTENT_LENGTH, SIP_HDR_CONTENT_TYPE,
	SIP_HDR_ROUTE, SIP_HDR_RECORD_ROUTE, SIP_HDR_EXPIRES, SIP_HDR_MIN_EXPIRES,
	SIP_HDR_AUTHORIZATION, SIP_HDR_PROXY_AUTHORIZATION, SIP_HDR_WWW_AUTHENTICATE,
	SIP_HDR_PROXY_AUTHENTICATE, SIP_HDR_REQUIRE, SIP_HDR_PROXY_REQUIRE, SIP_HDR_SUPPORTED,
	SIP_HDR_UNSUPPORTED, SIP_HDR_ALLOW, SIP_HDR_ALLOW_EVENTS, SIP_HDR_ACCEPT, SIP_HDR_EVENT,
	SIP_HDR_SUBSCRIPTION_STATE, SIP_HDR_REFER_TO, SIP_HDR_REFERRED_BY, SIP_HDR_REPLACES,
	SIP_HDR_RACK, SIP_HDR_RSEQ, SIP_HDR_SESSION_EXPIRES, SIP_HDR_MIN_SE, SIP_HDR_REASON,
	SIP_HDR_RETRY_AFTER, SIP_HDR_USER_AGENT, SIP_HDR_SERVER, SIP_HDR_WARNING,
	SIP_HDR_P_ASSERTED_IDENTITY, SIP_HDR_P_PREFERRED_IDENTITY, SIP_HDR_REMOTE_PARTY_ID,
	SIP_HDR_PRIVACY, SIP_HDR_DIVERSION, SIP_HDR_HISTORY_INFO, SIP_HDR_ALERT_INFO,
	SIP_HDR_CALL_INFO, SIP_HDR_PATH, SIP_HDR_SERVICE_ROUTE, SIP_HDR_SESSION_ID, SIP_HDR_SUBJECT,
	SIP_HDR_DATE, SIP_HDR_TIMESTAMP, SIP_HDR_CONTENT_DISPOSITION, SIP_HDR_CONTENT_ENCODING,
	SIP_HDR_MIME_VERSION, SIP_HDR_SIP_ETAG, SIP_HDR_SIP_IF_MATCH, SIP_HDR_USER_TO_USER,
	SIP_HDR_IN_REPLY_TO, SIP_HDR_ORGANIZATION, SIP_HDR_PRIORITY, SIP_HDR_COUNT
};

enum sip_proto { SIP_UDP, SIP_TCP, SIP_TLS, SIP_WS, SIP_WSS };

struct sip_hdr {
	enum sip_hdr_id id;
	struct str name;      /* as received */
	struct str value;     /* trimmed, unfolded; a comma list stays one header */
};

struct sip_via {          /* topmost Via, RFC 3261 §20.42 */
	struct str value;     /* this Via alone, without its siblings in a comma list */
	struct str transport; /* "UDP" */
	struct str host;      /* sent-by, IPv6 with brackets */
	uint16_t port;        /* 0: none */
	struct str params, branch, received;
	bool has_rport;
};

struct sip_addr {         /* name-addr or addr-spec with parameters: From, To, Contact, Route ... */
	struct str value;     /* this element alone */
	struct str display;   /* without quotes; quoted-pairs still escaped */
	struct sip_uri uri;
	struct str params;    /* header parameters, without the leading ';' */
	struct str tag;       /* From, To: STR_NULL without */
};

struct sip_cseq {
	uint32_t seq;
	enum sip_method method;
	struct str method_name;
};

struct sip_msg {
	bool is_request;
	enum sip_method method;   /* of the request line; of CSeq in a response */
	struct str method_name;
	struct sip_uri ruri;      /* requests */
	int status;               /* responses: 100..699 */
	struct str reason;        /* responses */
	struct sip_via via;
	bool has_more_vias;       /* than the topmost; perhaps but empty ones */
	struct sip_addr from, to;
	struct str call_id;
	struct sip_cseq cseq;
	int max_forwards;         /* -1: absent */
	int64_t content_length;   /* -1: absent */
	struct str body;          /* cut to Content-Length */
	struct str raw;           /* all bytes */
	int16_t first[SIP_HDR_COUNT]; /* index of the first header with an id, -1 */
	int refs;                 /* 0: in place, not counted */
	unsigned nhdrs;
	struct sip_hdr hdrs[SIP_HDR_MAX]; /* last: a held copy is allocated only as long as it has headers */
};

/* What is wrong with a message that could be read far enough to be answered. */
struct sip_msg_error {
	int status;           /* 400, 413, 416, 505, 513 ...; 0: not answerable, drop */
	const char *reason;   /* static text, "Missing CSeq" */
};

/* Parses one whole message. Returns 0, or -EINVAL with *err set; on an answerable error the parts
 * needed for a response (Via, From, To, Call-ID, CSeq) are filled. A datagram's Content-Length larger
 * than what came is an error (400), smaller cuts (RFC 3261 §18.3). */
int sip_msg_parse(struct sip_msg *m, char *buf, size_t len, struct sip_msg_error *err);

/* Frames a byte stream (RFC 3261 §7.5, §18.3): how many bytes the message at the front of buf has.
 * >0 length, 0 more bytes are needed, -EINVAL not SIP or without Content-Length, -EMSGSIZE too large.
 * *skip gets the number of CRLFs bytes in front (keep-alives) to drop first. */
ptrdiff_t sip_msg_frame(const char *buf, size_t len, size_t *skip);

/* The front of a message that is too large, as one that can be read and refused: its header section, or where that has no end within
 * SIP_MSG_MAX the whole lines of it, with an end put behind them. Returns its length, 0: there is nothing; *has_end: the section was whole. */
size_t sip_msg_cut(char *buf, size_t len, bool *has_end);

/* A counted copy; of a held message, the same one with one more reference. NULL without memory. */
struct sip_msg *sip_msg_hold(const struct sip_msg *m);
void sip_msg_release(struct sip_msg *m); /* NULL allowed */

/* Header access. _value: the first one's value, STR_NULL when absent. */
bool sip_msg_has(const struct sip_msg *m, enum sip_hdr_id id);
struct str sip_msg_value(const struct sip_msg *m, enum sip_hdr_id id);
struct str sip_msg_value_by_name(const struct sip_msg *m, const char *name);
/* Walks all elements of all headers with id, splitting comma lists (not inside quotes or <>). Start with
 * *it zeroed. False at the end. For headers whose values aren't lists use sip_msg_hdr_next. */
struct sip_hdr_iter { unsigned hdr; size_t at; bool started; };
/* Takes the first element off a comma list, trimmed; *list becomes STR_NULL behind the last one. */
struct str sip_list_cut(struct str *list);
bool sip_msg_element_next(const struct sip_msg *m, enum sip_hdr_id id, struct sip_hdr_iter *it, struct str *out);
bool sip_msg_hdr_next(const struct sip_msg *m, enum sip_hdr_id id, struct sip_hdr_iter *it, struct str *out);
/* True when a comma list of tokens (Require, Supported, Allow) names token. */
bool sip_msg_has_token(const struct sip_msg *m, enum sip_hdr_id id, const char *token);

/* The parts of a body that are no multiparts themselves, in order (RFC 5621): of a simple body, itself. Those of a multipart that can't
 * be read are none, one that lies too deep is a part. */
#define SIP_PART_DEPTH 4
enum sip_transfer { SIP_AS_IS, SIP_BASE64, SIP_QUOTED_PRINTABLE }; /* Content-Transfer-Encoding of a part (RFC 2045 §6) */
struct sip_part {
	struct str type, params;  /* of Content-Type */
	struct str content, disposition;
	struct str id;            /* of Content-ID, without its brackets: what cid: refers to (RFC 2392); empty: none */
	struct str text;          /* with its own header lines; empty for all of the body */
	bool is_whole;            /* all of the body */
	bool is_encoded;          /* Content-Encoding, or a Content-Transfer-Encoding that nobody knows: can't be read */
	enum sip_transfer transfer; /* how the content is written */
	bool is_required;         /* has a Content-Disposition without handling=optional (RFC 3261 §20.11) */
	bool is_demanded;         /* has handling=required */
	unsigned alternative;     /* parts with the same number say the same (multipart/alternative); 0: no such part */
};
struct sip_part_level { struct str rest, boundary; bool is_alternative, is_last; };
struct sip_part_iter {        /* begin with { 0 } */
	bool has_begun;
	unsigned depth, alternative, nalternatives;
	struct sip_part_level levels[SIP_PART_DEPTH];
};
bool sip_part_next(const struct sip_msg *m, struct sip_part_iter *it, struct sip_part *out);
/* Is there a part of another type than the one understood that must be? A whole body always must, unless it says
 * handling=optional; a part beside others only where it has a Content-Disposition without that: RFC 3261 §20.11 would assume
 * the same of one without any, but locations and the like come so, and the call they come with is worth more. Nor is one refused that stands
 * by reference (RFC 5621 §9.1) of a header that is there: who understands the header understands the part. Of such parts SIP_REFERRED_MAX
 * are looked for, so that a stranger's message of many parts and references costs no more than another. */
#define SIP_REFERRED_MAX 8
bool sip_msg_must_understand(const struct sip_msg *m, const char *understood);
/* Has it a part that says in so many words that it must be understood (handling=required)? For methods whose bodies are looked at by nobody. */
bool sip_msg_demands(const struct sip_msg *m);
/* Do these lines refer to it, as <cid:id>? The first 32 references are looked at. */
bool sip_part_is_referred(const struct sip_part *p, struct str lines);
/* The body, or the first part of it (of alternatives the last one), of this type ("application/sdp") that isn't encoded and belongs to
 * the session (Content-Disposition). A body without Content-Type counts. */
bool sip_msg_part_find(const struct sip_msg *m, const char *type, struct sip_part *out);
/* Its content as it stands in the message, perhaps in base64 or quoted-printable: is there one? STR_NULL: no. */
struct str sip_msg_part(const struct sip_msg *m, const char *type);
/* Writes the content of a part without its transfer encoding. -EINVAL: it isn't what it says. */
int sip_part_decode(const struct sip_part *p, struct out *o);

/* Structured values. -EINVAL when malformed: then *out is empty. */
int sip_addr_parse(struct sip_addr *out, struct str value);
int sip_via_parse(struct sip_via *out, struct str value);
int sip_cseq_parse(struct sip_cseq *out, struct str value);
/* "active;expires=3600" -> token and params (also Event, Content-Type, Refer-To-like values). */
void sip_token_params(struct str value, struct str *token, struct str *params);
/* Seconds of Expires & co; def when absent, -1 when malformed. Values over 2^32-1 are clamped. */
int64_t sip_msg_expires(const struct sip_msg *m, int64_t def);
/* Accept, RFC 3261 §20.1: can who sent it read a body of that type ("application/sdp")? Without one he can. */
bool sip_msg_takes(const struct sip_msg *m, const char *ctype);

struct sip_challenge {     /* one WWW-/Proxy-Authenticate, RFC 7616 §3.3 */
	struct str realm, nonce, opaque, algorithm, qop, domain;
	bool stale, userhash;
};
struct sip_credentials {   /* one (Proxy-)Authorization, RFC 7616 §3.4 */
	struct str username, realm, nonce, uri, response, algorithm, cnonce, opaque, qop, nc;
	struct str username_ext; /* instead of username: RFC 8187 */
	bool userhash;
};
struct sip_auth_info { struct str rspauth, cnonce, nc, qop, nextnonce; }; /* one (Proxy-)Authentication-Info, RFC 7616 §3.5 */
/* -EINVAL for another scheme than Digest or a malformed value. Quoted values come without quotes, with their escapes. */
int sip_challenge_parse(struct sip_challenge *out, struct str value);
int sip_credentials_parse(struct sip_credentials *out, struct str value);
int sip_auth_info_parse(struct sip_auth_info *out, struct str value); /* -EINVAL: malformed, or neither rspauth nor nextnonce */

const char *sip_method_name(enum sip_method m);      /* SIP_OTHER: "?" */
enum sip_method sip_method_parse(struct str name);   /* case-sensitive, RFC 3261 §7.1 */
enum sip_hdr_id sip_hdr_parse(struct str name);       /* any case, compact forms; SIP_HDR_OTHER: unknown */
const char *sip_reason(int status);                  /* "Not Found"; never NULL */
const char *sip_hdr_name(enum sip_hdr_id id);        /* "Call-ID" */
