/* rtcp.c - RTCP compound packets in and out (see rtcp.h).
 */
#include "media/rtcp.h"

#include <errno.h>
#include <string.h>

#define NTP_UNIX_OFFSET 2208988800u /* seconds from 1900 to 1970 */
#define BLOCK_LEN 24

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
	return p + 4;
}

static void parse_block(struct rtcp_block *b, const uint8_t *p)
{
	b->ssrc = get32(p);
	b->fraction = p[4];
	b->lost = (int32_t)(get32(p + 4) << 8) >> 8; /* sign of 24 bits */
	b->highest = get32(p + 8);
	b->jitter = get32(p + 12);
	b->lsr = get32(p + 16);
	b->dlsr = get32(p + 20);
}

/* One SR or RR of len bytes, header included. */
static int parse_report(struct rtcp_report *out, const uint8_t *p, size_t len, uint32_t ours)
{
	size_t at = p[1] == RTCP_SR ? 28 : 8;
	unsigned blocks = p[0] & 0x1f;

	if (len < at + (size_t)blocks * BLOCK_LEN)
		return -EBADMSG;
	out->ssrc = get32(p + 4);
	if (p[1] == RTCP_SR) {
		out->is_sender = true;
		out->ntp = (uint64_t)get32(p + 8) << 32 | get32(p + 12);
		out->rtp_ts = get32(p + 16);
		out->packets = get32(p + 20);
		out->octets = get32(p + 24);
	}
	for (; blocks > 0; blocks--, at += BLOCK_LEN) {
		if (get32(p + at) != ours)
			continue;
		parse_block(&out->block, p + at);
		out->has_block = true;
	}
	return 0;
}

/* A report, or what may come without one. */
static bool may_begin(uint8_t type)
{
	return type == RTCP_SR || type == RTCP_RR || (type >= RTCP_APP && type <= RTCP_XR);
}

int rtcp_parse(struct rtcp_report *out, const uint8_t *p, size_t n, uint32_t ours)
{
	struct rtcp_report r = { 0 };
	bool first = true;

	while (n > 0) {
		size_t len;

		if (n < 4 || p[0] >> 6 != 2)
			return -EBADMSG;
		len = 4u * (get16(p + 2) + 1u);
		if (len > n)
			return -EBADMSG;
		if (first && !may_begin(p[1]))
			return -EBADMSG;
		if ((p[1] == RTCP_SR || p[1] == RTCP_RR) && parse_report(&r, p, len, ours) < 0)
			return -EBADMSG;
		if (p[1] == RTCP_BYE)
			r.bye = true;
		first = false;
		p += len;
		n -= len;
	}
	if (first)
		return -EBADMSG;
	*out = r;
	return 0;
}

static uint8_t *print_head(uint8_t *p, unsigned count, uint8_t type, size_t len)
{
	p[0] = (uint8_t)(0x80 | count);
	p[1] = type;
	p[2] = (uint8_t)((len / 4 - 1) >> 8);
	p[3] = (uint8_t)(len / 4 - 1);
	return p + 4;
}

static uint8_t *print_block(uint8_t *p, const struct rtcp_block *b)
{
	int32_t lost = b->lost;

	if (lost > 0x7fffff)
		lost = 0x7fffff;
	if (lost < -0x800000)
		lost = -0x800000;
	p = put32(p, b->ssrc);
	p = put32(p, (uint32_t)b->fraction << 24 | ((uint32_t)lost & 0xffffff));
	p = put32(p, b->highest);
	p = put32(p, b->jitter);
	p = put32(p, b->lsr);
	return put32(p, b->dlsr);
}

size_t rtcp_print(uint8_t *p, size_t size, const struct rtcp_report *r, const char *cname)
{
	size_t name = strlen(cname);
	size_t report = (r->is_sender ? 28u : 8u) + (r->has_block ? BLOCK_LEN : 0u);
	size_t sdes = (8 + 2 + name + 1 + 3) & ~(size_t)3; /* items end with a null, padded to 32 bits (§6.5) */
	size_t bye = r->bye ? 8 : 0;
	uint8_t *at = p;

	if (name > RTCP_CNAME_MAX || report + sdes + bye > size)
		return 0;
	at = print_head(at, r->has_block, r->is_sender ? RTCP_SR : RTCP_RR, report);
	at = put32(at, r->ssrc);
	if (r->is_sender) {
		at = put32(at, (uint32_t)(r->ntp >> 32));
		at = put32(at, (uint32_t)r->ntp);
		at = put32(at, r->rtp_ts);
		at = put32(at, r->packets);
		at = put32(at, r->octets);
	}
	if (r->has_block)
		at = print_block(at, &r->block);

	memset(at, 0, sdes);
	print_head(at, 1, RTCP_SDES, sdes);
	put32(at + 4, r->ssrc);
	at[8] = 1; /* CNAME */
	at[9] = (uint8_t)name;
	memcpy(at + 10, cname, name);
	at += sdes;

	if (r->bye)
		at = put32(print_head(at, 1, RTCP_BYE, 8), r->ssrc);
	return (size_t)(at - p);
}

uint64_t rtcp_ntp(uint64_t unix_us)
{
	uint64_t s = unix_us / 1000000, us = unix_us % 1000000;

	return (s + NTP_UNIX_OFFSET) << 32 | (us << 32) / 1000000;
}

uint32_t rtcp_rtt_us(uint64_t now_ntp, const struct rtcp_block *b)
{
	uint32_t now = (uint32_t)(now_ntp >> 16);
	int32_t rtt = (int32_t)(now - b->lsr - b->dlsr); /* units of 1/65536 s, §6.4.1 */

	/* Below zero: the peer's delay is wrong. Above a minute: the echo of a report that isn't ours. */
	if (b->lsr == 0 || rtt < 0 || rtt > 60 << 16)
		return 0;
	return (uint32_t)(((uint64_t)rtt * 1000000) >> 16);
}
