/* rtcp.h - RTCP reports: pure parsing and printing.
 *
 * Only what two-party audio needs: SR, RR (with the report block about us), SDES CNAME, BYE. Other packet
 * types are stepped over.
 * Sources: RFC 3550 §6. Thread: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTCP_CNAME_MAX 32
#define RTCP_PRINT_MAX 160 /* what rtcp_print can fill at most */

enum { RTCP_SR = 200, RTCP_RR, RTCP_SDES, RTCP_BYE, RTCP_APP, RTCP_RTPFB, RTCP_PSFB, RTCP_XR };

struct rtcp_block {          /* §6.4.1, the report about one source */
	uint32_t ssrc;
	uint8_t fraction;
	int32_t lost;            /* cumulative, 24 bits signed on the wire */
	uint32_t highest, jitter, lsr, dlsr;
};

struct rtcp_report {
	uint32_t ssrc;           /* the sender of the report */
	bool is_sender;          /* SR: the four fields below are set */
	uint64_t ntp;            /* 32.32 fixed point */
	uint32_t rtp_ts, packets, octets;
	bool has_block;
	struct rtcp_block block; /* when parsed: the one about the SSRC asked for */
	bool bye;
};

/* Reads a compound packet. ours: whose block is wanted. -EBADMSG: malformed, or it begins neither with a report (§6.1) nor, of reduced
 * size, with feedback, APP or XR (RFC 5506, which asks for that to be agreed on: where it wasn't it harms nobody). */
int rtcp_parse(struct rtcp_report *out, const uint8_t *p, size_t n, uint32_t ours);
/* Writes SR or RR, SDES CNAME and, if r->bye, BYE. Returns the length, 0 if it doesn't fit. */
size_t rtcp_print(uint8_t *p, size_t size, const struct rtcp_report *r, const char *cname);

/* Unix time in us as NTP time. */
uint64_t rtcp_ntp(uint64_t unix_us);
/* Round trip in us from a report block that came at NTP time now; 0 if it answers no report of ours. */
uint32_t rtcp_rtt_us(uint64_t now_ntp, const struct rtcp_block *b);
