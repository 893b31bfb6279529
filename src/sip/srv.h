/* srv.h - the order of SRV and NAPTR records (RFC 2782, RFC 3263 §4.1). Pure. Inside sip/ alone. Thread: any. */
#pragma once

#include "base/rng.h"
#include "sip/dns.h"

/* order[] gets indices of the records: by priority, those of equal priority drawn by weight. rng NULL: as they stand. */
void srv_order(const struct dns_answer *a, struct rng *rng, uint8_t order[DNS_RECORDS_MAX]);
/* By order, then preference. */
void naptr_order(const struct dns_answer *a, uint8_t order[DNS_RECORDS_MAX]);
