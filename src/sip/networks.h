/* networks.h - a list of networks in text: "10.0.0.0/8, fd00::/8". Thread: any. */
#pragma once

#include "sip/transport.h"

#define NETWORKS_MAX 16

struct networks {
	unsigned n;
	struct { union sockaddr_any addr; unsigned bits; } at[NETWORKS_MAX];
};

/* Elements are parted by commas or spaces; an address alone is a network of one. -EINVAL malformed, -ENOSPC too many. */
int networks_parse(struct networks *out, struct str text);
bool networks_have(const struct networks *n, const union sockaddr_any *addr);
