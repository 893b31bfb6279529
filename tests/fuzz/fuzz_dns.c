/* fuzz_dns.c - libFuzzer target on answers of name servers: the first byte chooses what was asked for.
 *
 * Records are never more than may be, nor their names longer; each is tried once in the order that is drawn; and what was read of an
 * answer about SRV is read again from an answer that says just that.
 */
#include <arpa/nameser.h>
#include <assert.h>
#include <errno.h>
#include <resolv.h>
#include <stdlib.h>

#include "sip/dns.h"
#include "sip/srv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_order(const struct dns_answer *a, const uint8_t order[DNS_RECORDS_MAX])
{
	bool has[DNS_RECORDS_MAX] = { false };

	for (unsigned i = 0; i < a->n; i++) {
		assert(order[i] < a->n && !has[order[i]]);
		has[order[i]] = true;
	}
}

static unsigned char *put16(unsigned char *p, unsigned v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
	return p + 2;
}

static void check_srv_again(const struct dns_answer *a)
{
	unsigned char msg[DNS_RECORDS_MAX * (NS_MAXCDNAME + 32) + 16] = { 0 }, *p = msg + NS_HFIXEDSZ;
	struct dns_answer *back;

	put16(msg + 2, 0x8180);
	put16(msg + 6, a->n);
	for (unsigned i = 0; i < a->n; i++) {
		const struct dns_record *r = &a->records[i];
		unsigned char name[NS_MAXCDNAME];
		int n = ns_name_pton(r->name[0] ? r->name : ".", name, sizeof(name)) < 0 ? -1 : 0;

		assert(n == 0);
		for (n = 0; name[n]; n += name[n] + 1)
			;
		n++;
		*p++ = 0;
		p = put16(put16(p, ns_t_srv), ns_c_in);
		p = put16(put16(p, 0), 60);
		p = put16(p, 6 + (unsigned)n);
		p = put16(put16(put16(p, r->srv.priority), r->srv.weight), r->srv.port);
		memcpy(p, name, (size_t)n);
		p += n;
	}
	back = dns_answer_parse(DNS_SRV, msg, (int)(p - msg));
	assert(back && back->status == 0 && back->n == a->n);
	for (unsigned i = 0; i < a->n; i++)
		assert(!memcmp(&a->records[i].srv, &back->records[i].srv, sizeof(back->records[i].srv)) &&
		       !strcmp(a->records[i].name, back->records[i].name));
	free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum dns_type type = size && data[0] & 1 ? DNS_NAPTR : DNS_SRV;
	uint8_t order[DNS_RECORDS_MAX];
	struct dns_answer *a;
	unsigned char *copy;
	struct rng rng;

	if (!size)
		return 0;
	copy = malloc(size > 1 ? size - 1 : 1); /* of exactly this size, so that a byte read too far is caught */
	memcpy(copy, data + 1, size - 1);
	a = dns_answer_parse(type, copy, (int)size - 1);
	assert(a && a->n <= DNS_RECORDS_MAX && a->ttl_s >= DNS_TTL_MIN_S && a->ttl_s <= DNS_TTL_MAX_S);
	assert(a->n ? a->status == 0 : a->status == -ENOENT || a->status == -EPROTO);
	for (unsigned i = 0; i < a->n; i++) {
		assert(strlen(a->records[i].name) < DNS_NAME_MAX);
		assert(type == DNS_SRV || a->records[i].naptr.flag == 's' || a->records[i].naptr.flag == 'a');
	}
	rng_init_fixed(&rng, size);
	if (type == DNS_SRV) {
		srv_order(a, &rng, order);
		check_order(a, order);
		for (unsigned i = 1; i < a->n; i++)
			assert(a->records[order[i - 1]].srv.priority <= a->records[order[i]].srv.priority);
		if (a->n)
			check_srv_again(a);
	} else {
		naptr_order(a, order);
		check_order(a, order);
	}
	free(a);
	free(copy);
	return 0;
}
