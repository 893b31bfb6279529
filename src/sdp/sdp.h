/* sdp.h - session descriptions (RFC 8866), pure: bytes in, slices out, no I/O.
 *
 * A parsed description is one block with a copy of its text, which its slices point into. Owner: who had it parsed; free().
 * Limits: SDP_MEDIA_MAX m= sections, SDP_FORMAT_MAX formats each; more is -E2BIG.
 */
#pragma once

#include "base/out.h"
#include "base/str.h"

#define SDP_MEDIA_MAX 16
#define SDP_FORMAT_MAX 48
#define SDP_ATTR_MAX 96   /* attributes kept per section */

enum sdp_dir { SDP_INACTIVE = 0, SDP_SENDONLY = 1, SDP_RECVONLY = 2, SDP_SENDRECV = 3 }; /* bits: send, receive */

struct sdp_attr { struct str name, value; };  /* value p NULL: a flag */

struct sdp_format {
	struct str text;      /* as in the m= line */
	int pt;               /* -1 when not a number 0..127 */
	struct str name;      /* rtpmap, or the static name (RFC 3551); empty when unknown */
	uint32_t clock_hz;
	uint32_t channels;    /* 1 unless given */
	struct str fmtp;
};

struct sdp_media {
	struct str type;      /* "audio" */
	struct str proto;     /* "RTP/AVP" */
	uint16_t port;        /* 0: refused or absent */
	struct str addr;      /* from its own c= or the session's; empty when neither */
	bool addr_is_ip6;
	uint16_t rtcp_port;   /* a=rtcp (RFC 3605), else port + 1; 0 when port is 0 */
	bool rtcp_mux;
	enum sdp_dir dir;     /* own attribute, else the session's, else sendrecv */
	uint32_t ptime_ms, maxptime_ms; /* 0: not given */
	struct str mid;
	unsigned nformats, nattrs;
	struct sdp_format *formats;
	struct sdp_attr *attrs;
	struct str lines;     /* all that follows its m= line, with their ends */
	const struct sdp *session; /* whose section it is */
};

struct sdp {
	struct str origin_user, origin_id, origin_version, origin_addr, name;
	struct str timing;    /* the first t=; empty when there is none */
	unsigned nmedia, nattrs;
	struct sdp_media *media;
	struct sdp_attr *attrs;
};

/* Line ends CRLF or LF. -EINVAL malformed, -E2BIG a limit, -ENOMEM. */
int sdp_parse(struct sdp **out, struct str text);
const struct sdp_media *sdp_find(const struct sdp *s, const char *type); /* the first with port != 0, else the first, or NULL */
bool sdp_attr_find(const struct sdp_media *m, const char *name, struct str *value);
/* The section's own, else the session's. */
bool sdp_attr_in_force(const struct sdp_media *m, const char *name, struct str *value);
const char *sdp_dir_name(enum sdp_dir d);
/* What the answerer does to a direction: sendonly -> recvonly and so on. */
enum sdp_dir sdp_dir_reverse(enum sdp_dir d);
