/* dns_answer.c - from the bytes of a DNS message to records; what is out of bounds, of another type or compressed into a loop is
 * left out or refused by libc's reader of such messages. */
#include <arpa/nameser.h>
#include <errno.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>

#include "sip/dns.h"

/* Built here, at its greatest; what is kept is copied out to size. */
struct draft {
	unsigned n;
	struct dns_record records[DNS_RECORDS_MAX];
	char names[DNS_RECORDS_MAX][DNS_NAME_MAX];
};

struct dns_answer *dns_answer_empty(int status, uint32_t ttl_s)
{
	struct dns_answer *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->status = status;
	a->ttl_s = ttl_s;
	return a;
}

struct dns_answer *dns_answer_addresses(const union sockaddr_any *addrs, unsigned n, uint32_t ttl_s)
{
	struct dns_answer *a = calloc(1, sizeof(*a) + n * sizeof(a->records[0]));

	if (!a)
		return NULL;
	a->ttl_s = ttl_s;
	a->n = n;
	for (unsigned i = 0; i < n; i++)
		a->records[i] = (struct dns_record){ .addr = addrs[i], .name = "" };
	return a;
}

static struct dns_answer *copy_out(const struct draft *d, uint32_t ttl_s)
{
	struct dns_answer *a;
	size_t text = 0;
	char *at;

	for (unsigned i = 0; i < d->n; i++)
		text += strlen(d->names[i]) + 1;
	a = calloc(1, sizeof(*a) + d->n * sizeof(a->records[0]) + text);
	if (!a)
		return NULL;
	a->ttl_s = ttl_s;
	a->n = d->n;
	at = (char *)&a->records[a->n];
	for (unsigned i = 0; i < d->n; i++) {
		a->records[i] = d->records[i];
		a->records[i].name = strcpy(at, d->names[i]);
		at += strlen(at) + 1;
	}
	return a;
}

/* The root is "" here, however the library writes it. */
static int read_name(const ns_msg *m, const unsigned char *at, char name[DNS_NAME_MAX])
{
	if (at >= ns_msg_end(*m) || dn_expand(ns_msg_base(*m), ns_msg_end(*m), at, name, DNS_NAME_MAX) < 0)
		return -EPROTO;
	if (!strcmp(name, "."))
		name[0] = '\0';
	return 0;
}

static int read_srv(const ns_msg *m, const ns_rr *rr, struct dns_record *r, char name[DNS_NAME_MAX])
{
	const unsigned char *p = ns_rr_rdata(*rr);

	if (ns_rr_rdlen(*rr) < 7)
		return -EPROTO;
	r->srv.priority = (uint16_t)ns_get16(p);
	r->srv.weight = (uint16_t)ns_get16(p + 2);
	r->srv.port = (uint16_t)ns_get16(p + 4);
	return read_name(m, p + 6, name);
}

/* A counted string of the record (RFC 1035 §3.3); moves *at behind it. */
static int read_text(const unsigned char **at, const unsigned char *end, struct str *out)
{
	if (*at >= end || end - *at - 1 < **at)
		return -EPROTO;
	*out = (struct str){ (const char *)*at + 1, **at };
	*at += 1 + **at;
	return 0;
}

static int read_naptr(const ns_msg *m, const ns_rr *rr, struct dns_record *r, char name[DNS_NAME_MAX])
{
	static const struct { const char *service; enum sip_proto proto; } services[] = {
		{ "SIP+D2U", SIP_UDP }, { "SIP+D2T", SIP_TCP }, { "SIPS+D2T", SIP_TLS },
	};
	const unsigned char *p = ns_rr_rdata(*rr), *end = p + ns_rr_rdlen(*rr);
	struct str flags, service, regexp;

	if (end - p < 4)
		return -EPROTO;
	r->naptr.order = (uint16_t)ns_get16(p);
	r->naptr.preference = (uint16_t)ns_get16(p + 2);
	p += 4;
	if (read_text(&p, end, &flags) || read_text(&p, end, &service) || read_text(&p, end, &regexp))
		return -EPROTO;
	/* RFC 3263 §4.1: a replacement and no regular expression; "a" is seen in the wild and says what it means. */
	if (flags.n != 1 || regexp.n || (!str_ieqz(flags, "s") && !str_ieqz(flags, "a")))
		return -ENOENT;
	r->naptr.flag = (char)(flags.p[0] | 0x20);
	for (size_t i = 0; i < ARRAY_LEN(services); i++) {
		if (str_ieqz(service, services[i].service)) {
			r->naptr.proto = services[i].proto;
			return read_name(m, p, name);
		}
	}
	return -ENOENT;
}

static uint32_t clamp(uint32_t v, uint32_t min, uint32_t max)
{
	return v < min ? min : v > max ? max : v;
}

/* RFC 2308 §5: the smaller of the SOA's TTL and its minimum field, the last of its numbers. */
static uint32_t negative_ttl(ns_msg *m)
{
	ns_rr rr;

	for (int i = 0; i < ns_msg_count(*m, ns_s_ns); i++) {
		uint32_t minimum, ttl;

		if (ns_parserr(m, ns_s_ns, i, &rr) || ns_rr_type(rr) != ns_t_soa || ns_rr_rdlen(rr) < 22)
			continue;
		minimum = (uint32_t)ns_get32(ns_rr_rdata(rr) + ns_rr_rdlen(rr) - 4);
		ttl = ns_rr_ttl(rr);
		return clamp(minimum < ttl ? minimum : ttl, DNS_TTL_MIN_S, DNS_NEGATIVE_MAX_S);
	}
	return DNS_NEGATIVE_S;
}

struct dns_answer *dns_answer_parse(enum dns_type type, const unsigned char *msg, int len)
{
	const ns_type wanted = type == DNS_SRV ? ns_t_srv : ns_t_naptr;
	uint32_t ttl_s = DNS_TTL_MAX_S;
	unsigned nread = 0;
	struct draft *d;
	struct dns_answer *a;
	ns_msg m;
	ns_rr rr;

	if (ns_initparse(msg, len, &m))
		return dns_answer_empty(-EPROTO, DNS_FAILED_S);
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	for (int i = 0; i < ns_msg_count(m, ns_s_an) && d->n < DNS_RECORDS_MAX; i++) {
		int err;

		if (ns_parserr(&m, ns_s_an, i, &rr))
			break;
		ttl_s = ns_rr_ttl(rr) < ttl_s ? ns_rr_ttl(rr) : ttl_s; /* those of aliases on the way count, too */
		if (ns_rr_type(rr) != wanted || ns_rr_class(rr) != ns_c_in)
			continue;
		nread++;
		err = type == DNS_SRV ? read_srv(&m, &rr, &d->records[d->n], d->names[d->n])
				      : read_naptr(&m, &rr, &d->records[d->n], d->names[d->n]);
		if (!err)
			d->n++;
	}
	if (d->n)
		a = copy_out(d, clamp(ttl_s, DNS_TTL_MIN_S, DNS_TTL_MAX_S));
	else
		a = dns_answer_empty(-ENOENT, nread ? clamp(ttl_s, DNS_TTL_MIN_S, DNS_TTL_MAX_S) : negative_ttl(&m));
	free(d);
	return a;
}
