/* sockaddr.c - comparing, parsing and printing socket addresses. Literals only: nothing here asks DNS. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "base/dec.h"
#include "sip/transport.h"

bool sockaddr_host_eq(const union sockaddr_any *a, const union sockaddr_any *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET6)
		return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
	return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

bool sockaddr_eq(const union sockaddr_any *a, const union sockaddr_any *b)
{
	return sockaddr_host_eq(a, b) && sockaddr_port(a) == sockaddr_port(b);
}

socklen_t sockaddr_len(const union sockaddr_any *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

uint16_t sockaddr_port(const union sockaddr_any *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

void sockaddr_set_port(union sockaddr_any *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->v6.sin6_port = htons(port);
	else
		a->v4.sin_port = htons(port);
}

/* Four numbers up to 255 without leading zeros, as inet_pton takes them, and as nearly all addresses are. */
static bool parse_v4(struct str s, struct in_addr *out)
{
	unsigned char b[4];
	size_t at = 0;

	for (int i = 0; i < 4; i++) {
		unsigned v = 0;
		size_t from;

		if (i && (at == s.n || s.p[at++] != '.'))
			return false;
		for (from = at; at < s.n && at - from < 3 && s.p[at] >= '0' && s.p[at] <= '9'; at++)
			v = v * 10 + (unsigned)(s.p[at] - '0');
		if (at == from || v > 255 || (s.p[from] == '0' && at - from > 1))
			return false;
		b[i] = (unsigned char)v;
	}
	memcpy(out, b, sizeof(b));
	return at == s.n;
}

int sockaddr_parse(union sockaddr_any *out, struct str host, uint16_t port)
{
	union sockaddr_any a = { 0 };
	char text[INET6_ADDRSTRLEN];

	if (parse_v4(host, &a.v4.sin_addr)) {
		a.sa.sa_family = AF_INET;
		a.v4.sin_port = htons(port);
		*out = a;
		return 0;
	}
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = (struct str){ host.p + 1, host.n - 2 };
	if (str_find_chr(host, '\0') >= 0 || str_copy(host, text, sizeof(text)) != 0)
		return -EINVAL;
	if (inet_pton(AF_INET, text, &a.v4.sin_addr) == 1)
		a.sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &a.v6.sin6_addr) == 1)
		a.sa.sa_family = AF_INET6;
	else
		return -EINVAL;
	sockaddr_set_port(&a, port);
	*out = a;
	return 0;
}

/* Every message has several: inet_ntop and printf would cost more than reading it. */
static char *print_v4(const struct in_addr *a, char *at)
{
	const unsigned char *b = (const unsigned char *)a;

	for (int i = 0; i < 4; i++) {
		at = dec_put(at, b[i]);
		*at++ = '.';
	}
	*--at = '\0';
	return at;
}

const char *sockaddr_print_host(const union sockaddr_any *a, char buf[SOCKADDR_TEXT_MAX])
{
	if (a->sa.sa_family == AF_INET) {
		print_v4(&a->v4.sin_addr, buf);
		return buf;
	}

	const void *addr = a->sa.sa_family == AF_INET6 ? (const void *)&a->v6.sin6_addr : (const void *)&a->v4.sin_addr;

	if (!inet_ntop(a->sa.sa_family, addr, buf, SOCKADDR_TEXT_MAX))
		strcpy(buf, "?");
	return buf;
}

const char *sockaddr_print_uri(const union sockaddr_any *a, char buf[SOCKADDR_TEXT_MAX])
{
	size_t n;

	sockaddr_print_host(a, buf);
	if (a->sa.sa_family != AF_INET6)
		return buf;
	n = strlen(buf); /* no address takes all of it */
	memmove(buf + 1, buf, n);
	buf[0] = '[';
	memcpy(buf + 1 + n, "]", 2);
	return buf;
}

const char *sockaddr_print(const union sockaddr_any *a, char buf[SOCKADDR_TEXT_MAX])
{
	char host[SOCKADDR_TEXT_MAX];

	if (a->sa.sa_family == AF_INET) {
		char *at = print_v4(&a->v4.sin_addr, buf);

		*at++ = ':';
		*dec_put(at, sockaddr_port(a)) = '\0';
		return buf;
	}
	sockaddr_print_host(a, host);
	snprintf(buf, SOCKADDR_TEXT_MAX, a->sa.sa_family == AF_INET6 ? "[%.50s]:%u" : "%.50s:%u", host, sockaddr_port(a));
	return buf;
}

int sockaddr_parse_printed(union sockaddr_any *out, struct str text)
{
	uint32_t port;
	size_t colon = text.n;

	while (colon && text.p[colon - 1] != ':')
		colon--;
	if (!colon || str_to_u32(str_from_at(text, colon), UINT16_MAX, &port) != 0)
		return -EINVAL;
	return sockaddr_parse(out, (struct str){ text.p, colon - 1 }, (uint16_t)port);
}

const char *sip_proto_name(enum sip_proto p)
{
	static const char *const names[] = { "UDP", "TCP", "TLS", "WS", "WSS" };

	return names[p];
}

const char *sip_proto_word(enum sip_proto p)
{
	static const char *const words[] = { "udp", "tcp", "tls", "ws", "wss" };

	return words[p];
}

int sip_proto_parse(enum sip_proto *out, struct str name)
{
	for (enum sip_proto p = SIP_UDP; p <= SIP_WSS; p++)
		if (str_ieqz(name, sip_proto_name(p))) {
			*out = p;
			return 0;
		}
	return -EINVAL;
}
