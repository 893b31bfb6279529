/* probe.c - is an address free to be listened on? Asked before all that takes long is begun. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sip/transport.h"

static int try_bind(const union sockaddr_any *addr, int type)
{
	int fd = socket(addr->sa.sa_family, type | SOCK_CLOEXEC, 0), one = 1, err = 0;

	if (fd < 0)
		return -errno;
	/* As those do that listen: what a former server's connections have left is in nobody's way. */
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (addr->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, &addr->sa, sockaddr_len(addr)) != 0 || (type == SOCK_STREAM && listen(fd, 1) != 0))
		err = -errno;
	close(fd);
	return err;
}

int transport_probe(const char *addr, uint16_t port, unsigned protos)
{
	union sockaddr_any a;
	int err = sockaddr_parse(&a, str_from(addr), port);

	if (!err && (protos & SIP_PROTO_BIT(SIP_UDP)))
		err = try_bind(&a, SOCK_DGRAM);
	if (!err && (protos & ~SIP_PROTO_BIT(SIP_UDP)))
		err = try_bind(&a, SOCK_STREAM);
	return err;
}
