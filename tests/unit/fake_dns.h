/* fake_dns.h - a name server on loopback, on the test's own loop, with a zone written as lines.
 *
 * "NAME TTL TYPE DATA": A, AAAA, CNAME, SRV and NAPTR; a record for each line. A name without a line doesn't exist; TTL of that is
 * NEGATIVE_TTL. As TYPE also SERVFAIL, GARBAGE (a message that can't be read), TRUNCATED (and there is no TCP) and SILENCE, for any question
 * about that name.
 */
#pragma once

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <cmocka.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#define NEGATIVE_TTL 7

struct fake_dns {
	uv_udp_t udp;
	const char *const *zone;
	unsigned nasked;
	bool is_silent;
	char address[64];        /* for resolver_params.servers */
	unsigned char in[1024], out[4096];
};

struct fake_out { unsigned char *p, *end; };

static void fake_u16(struct fake_out *o, unsigned v)
{
	assert_true(o->end - o->p >= 2);
	*o->p++ = (unsigned char)(v >> 8);
	*o->p++ = (unsigned char)v;
}

static void fake_bytes(struct fake_out *o, const void *p, size_t n)
{
	assert_true((size_t)(o->end - o->p) >= n);
	memcpy(o->p, p, n);
	o->p += n;
}

static void fake_name(struct fake_out *o, const char *name)
{
	while (*name && strcmp(name, ".") != 0) {
		size_t n = strcspn(name, ".");
		unsigned char len = (unsigned char)n;

		fake_bytes(o, &len, 1);
		fake_bytes(o, name, n);
		name += name[n] ? n + 1 : n;
	}
	fake_bytes(o, "", 1);
}

static void fake_text(struct fake_out *o, const char *text)
{
	unsigned char len = (unsigned char)(strcmp(text, "-") ? strlen(text) : 0);

	fake_bytes(o, &len, 1);
	fake_bytes(o, text, len);
}

static int fake_type(const char *type)
{
	static const struct { const char *name; int type; } types[] = {
		{ "A", ns_t_a }, { "AAAA", ns_t_aaaa }, { "CNAME", ns_t_cname }, { "SRV", ns_t_srv }, { "NAPTR", ns_t_naptr },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(type, types[i].name))
			return types[i].type;
	return 0;
}

static void fake_data(struct fake_out *o, int type, const char *data)
{
	unsigned char *len = o->p, addr[16];
	char a[256], b[256], c[64];
	unsigned u, v, w;

	fake_u16(o, 0);
	if (type == ns_t_a) {
		assert_int_equal(inet_pton(AF_INET, data, addr), 1);
		fake_bytes(o, addr, 4);
	} else if (type == ns_t_aaaa) {
		assert_int_equal(inet_pton(AF_INET6, data, addr), 1);
		fake_bytes(o, addr, 16);
	} else if (type == ns_t_cname) {
		fake_name(o, data);
	} else if (type == ns_t_srv) {
		assert_int_equal(sscanf(data, "%u %u %u %255s", &u, &v, &w, a), 4);
		fake_u16(o, u);
		fake_u16(o, v);
		fake_u16(o, w);
		fake_name(o, a);
	} else {
		/* order preference flags service regexp ("-": empty) replacement */
		assert_int_equal(sscanf(data, "%u %u %63s %255s %*s %255s", &u, &v, c, b, a), 5);
		fake_u16(o, u);
		fake_u16(o, v);
		fake_text(o, c);
		fake_text(o, b);
		fake_text(o, strstr(data, " - ") ? "-" : "!.*!sip:x!");
		fake_name(o, a);
	}
	len[0] = (unsigned char)((o->p - len - 2) >> 8);
	len[1] = (unsigned char)(o->p - len - 2);
}

/* Records of the name and type, and of what it is an alias of; also what else is to be done. */
static unsigned fake_find(struct fake_dns *f, struct fake_out *o, const char *name, int wanted, bool *exists, const char **trick, int depth)
{
	char owner[256], type[16], data[512];
	unsigned ttl, n = 0;

	for (const char *const *line = f->zone; *line && depth < 8; line++) {
		data[0] = '\0';
		assert_true(sscanf(*line, "%255s %u %15s %511[^\n]", owner, &ttl, type, data) >= 3);
		if (strcasecmp(owner, name) != 0)
			continue;
		*exists = true;
		if (!fake_type(type)) {
			*trick = strstr(*line, type);
			continue;
		}
		if (fake_type(type) != wanted && fake_type(type) != ns_t_cname)
			continue;
		fake_name(o, owner);
		fake_u16(o, (unsigned)fake_type(type));
		fake_u16(o, ns_c_in);
		fake_u16(o, ttl >> 16);
		fake_u16(o, ttl);
		fake_data(o, fake_type(type), data);
		n++;
		if (fake_type(type) == ns_t_cname && wanted != ns_t_cname)
			n += fake_find(f, o, data, wanted, exists, trick, depth + 1);
	}
	return n;
}

static unsigned fake_soa(struct fake_out *o)
{
	fake_name(o, ".");
	fake_u16(o, ns_t_soa);
	fake_u16(o, ns_c_in);
	fake_u16(o, 0);
	fake_u16(o, 3600);
	fake_u16(o, 22);
	fake_bytes(o, "\0", 1);
	fake_bytes(o, "\0", 1);
	for (int i = 0; i < 4; i++) {
		fake_u16(o, 0);
		fake_u16(o, 9);
	}
	fake_u16(o, 0);
	fake_u16(o, NEGATIVE_TTL);
	return 1;
}

static void fake_on_udp(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	struct fake_dns *f = udp->data;
	struct fake_out o = { f->out, f->out + sizeof(f->out) };
	const char *trick = NULL;
	bool exists = false;
	unsigned nanswers, rcode = 0;
	char name[256];
	uv_buf_t reply;
	ns_msg m;
	ns_rr rr;

	(void)flags;
	if (n <= 0 || !from)
		return;
	assert_int_equal(ns_initparse((unsigned char *)buf->base, (int)n, &m), 0);
	assert_int_equal(ns_parserr(&m, ns_s_qd, 0, &rr), 0);
	snprintf(name, sizeof(name), "%.255s", ns_rr_name(rr));
	f->nasked++;
	fake_u16(&o, ns_msg_id(m));
	o.p = f->out + 12;
	fake_name(&o, name);
	fake_u16(&o, ns_rr_type(rr));
	fake_u16(&o, ns_c_in);
	nanswers = fake_find(f, &o, name, ns_rr_type(rr), &exists, &trick, 0);
	if (f->is_silent || (trick && !strncmp(trick, "SILENCE", 7)))
		return;
	if (!exists)
		rcode = ns_r_nxdomain;
	if (trick && !strncmp(trick, "SERVFAIL", 8))
		rcode = ns_r_servfail;
	unsigned nsoa = nanswers ? 0 : fake_soa(&o);
	struct fake_out head = { f->out + 2, o.end };
	/* an answer, recursion wanted and available */
	fake_u16(&head, 0x8180 | rcode | (trick && !strncmp(trick, "TRUNCATED", 9) ? 0x200 : 0));
	fake_u16(&head, 1);
	fake_u16(&head, trick && !strncmp(trick, "GARBAGE", 7) ? 7 : nanswers);
	fake_u16(&head, nsoa);
	fake_u16(&head, 0);
	if (trick && !strncmp(trick, "GARBAGE", 7))
		memset(head.p + strlen(name) + 6, 0xc1, (size_t)(o.p - head.p) - strlen(name) - 6); /* pointers into nowhere */
	reply = uv_buf_init((char *)f->out, (unsigned)(o.p - f->out));
	assert_true(uv_udp_try_send(udp, &reply, 1, from) > 0);
}

static void fake_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct fake_dns *f = handle->data;

	(void)suggested;
	*buf = uv_buf_init((char *)f->in, sizeof(f->in));
}

static inline void fake_dns_start(struct fake_dns *f, uv_loop_t *loop, const char *const *zone)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int len = sizeof(any);

	*f = (struct fake_dns){ .zone = zone };
	assert_int_equal(uv_udp_init(loop, &f->udp), 0);
	f->udp.data = f;
	assert_int_equal(uv_udp_bind(&f->udp, (struct sockaddr *)&any, 0), 0);
	assert_int_equal(uv_udp_getsockname(&f->udp, (struct sockaddr *)&any, &len), 0);
	snprintf(f->address, sizeof(f->address), "127.0.0.1:%u", ntohs(any.sin_port));
	assert_int_equal(uv_udp_recv_start(&f->udp, fake_on_alloc, fake_on_udp), 0);
	uv_unref((uv_handle_t *)&f->udp);
}

static inline void fake_dns_stop(struct fake_dns *f)
{
	uv_close((uv_handle_t *)&f->udp, NULL);
}
