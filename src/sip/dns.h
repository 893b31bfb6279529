/* dns.h - questions to the domain name system, asked on the loop by c-ares and remembered. Inside sip/ alone.
 *
 * Answers are kept as long as they say (at least a second, so that a storm of calls asks once), those that there is nothing as long
 * as RFC 2308 says. When no name server answers, what was known before goes on to count (RFC 8767). A question that is under
 * way isn't asked a second time: who asks it waits for the same answer.
 *
 * Owner:  the resolver.
 * Thread: loop thread.
 */
#pragma once

#include "base/log.h"
#include "sip/transport.h"

#define DNS_RECORDS_MAX 32      /* of one answer; more are nobody's servers */
#define DNS_NAME_MAX 256        /* as text, with its NUL */
#define DNS_CACHE_MAX 2048      /* answers kept, by last use */
#define DNS_ASKING_MAX 512      /* questions under way */
#define DNS_TTL_MIN_S 1
#define DNS_TTL_MAX_S 86400
#define DNS_NEGATIVE_S 30       /* without an SOA to say it */
#define DNS_NEGATIVE_MAX_S 300
#define DNS_FAILED_S 5          /* nobody answered: not asked again so soon */
#define DNS_STALE_MAX_S 86400   /* what was known counts so long when nobody answers */
#define DNS_HOSTS_S 10          /* /etc/hosts is looked into again */

struct dns;

/* DNS_HOSTS: addresses that stand in /etc/hosts. DNS_ADDR: A and AAAA, sorted as RFC 6724 says. */
enum dns_type { DNS_HOSTS, DNS_ADDR, DNS_SRV, DNS_NAPTR };

struct dns_record {
	union {
		union sockaddr_any addr;                               /* without port */
		struct { uint16_t priority, weight, port; } srv;       /* RFC 2782; name is the target, "" for "." */
		struct { uint16_t order, preference; char flag; enum sip_proto proto; } naptr; /* RFC 3403; name is the replacement */
	};
	const char *name;       /* in the answer's own memory */
};

struct dns_answer {
	int status;             /* 0; -ENOENT there is none; -ETIMEDOUT nobody answers; -EPROTO refused, or beyond reading */
	uint32_t ttl_s;
	unsigned n;
	struct dns_record records[];
};

/* Who waits for an answer that dns_find() didn't have. fn is called once, from the loop; find again then. */
struct dns_waiter {
	struct dns_waiter *prev, *next;
	struct dns_entry *entry; /* NULL: doesn't wait */
	void (*fn)(struct dns_waiter *w);
};

struct dns_params {
	uv_loop_t *loop;
	const struct log *log;
	const char *servers;    /* "127.0.0.1:5353,[::1]"; NULL or "": those of /etc/resolv.conf, read again when it changes */
	uint32_t timeout_ms;    /* of one question to one server; 0: 2000 */
	const char *hosts;      /* unit tests: another file than /etc/hosts; NULL: that */
	const char *resolv_conf; /* the same of /etc/resolv.conf */
};
int dns_new(struct dns **out, const struct dns_params *p);
void dns_close(struct dns *d); /* asynchronous; nobody is called any more, frees itself */

/* The answer if it is known, valid until the loop turns. Otherwise NULL: it is asked for, and w (may be NULL) is told when it is there;
 * *w must not wait already. since_ms: an answer that came later than that (uv_now) counts even if it says that it is out of date. */
const struct dns_answer *dns_find(struct dns *d, enum dns_type type, struct str name, uint64_t since_ms, struct dns_waiter *w);
/* The answer if it is known; asks nobody. */
const struct dns_answer *dns_peek(struct dns *d, enum dns_type type, struct str name);
void dns_stop_waiting(struct dns_waiter *w);

/* dns_answer.c: the answer in a message of SRV or NAPTR records; never NULL but without memory. NAPTR records for other services
 * than SIP+D2U, SIP+D2T and SIPS+D2T are left out (RFC 3263 §4.1). */
struct dns_answer *dns_answer_parse(enum dns_type type, const unsigned char *msg, int len);
struct dns_answer *dns_answer_empty(int status, uint32_t ttl_s);
struct dns_answer *dns_answer_addresses(const union sockaddr_any *addrs, unsigned n, uint32_t ttl_s);
