/* config.c - one table says which keys there are, of which type and within which bounds; what isn't in it is refused. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sip/networks.h"

enum key_type { KEY_TEXT, KEY_TEXT_OR_EMPTY, KEY_LEVEL, KEY_YES, KEY_U32, KEY_U16, KEY_CLIENT, KEY_LISTEN, KEY_LISTENERS, KEY_CERTS };

struct key {
	const char *group, *name; /* group NULL: top level */
	enum key_type type;
	size_t offset;
	int64_t min, max;
	const char *def;          /* NULL: required */
};

#define AT(member) offsetof(struct config, member)

static const struct key keys[] = {
	{ NULL, "node", KEY_TEXT, AT(node), 0, 0, "pbx1" },
	{ NULL, "user", KEY_TEXT_OR_EMPTY, AT(user), 0, 0, "" },
	{ NULL, "log_level", KEY_LEVEL, AT(log_level), 0, 0, "info" },
	{ NULL, "database", KEY_TEXT, AT(database), 0, 0, NULL },
	{ NULL, "spool", KEY_TEXT, AT(spool), 0, 0, NULL },
	{ NULL, "recordings", KEY_TEXT_OR_EMPTY, AT(recordings), 0, 0, "" },
	{ NULL, "prompts", KEY_TEXT, AT(prompts), 0, 0, NULL },
	{ NULL, "listen", KEY_LISTENERS, AT(listeners), 0, 0, "" },
	{ "sip", "listen", KEY_LISTEN, AT(listen), SIP_PROTO_BIT(SIP_UDP) | SIP_PROTO_BIT(SIP_TCP), 0, "" },
	{ "sip", "connections", KEY_U32, AT(connections), 0, 1000000, "0" },
	{ "sip", "connections_per_address", KEY_U32, AT(connections_per_address), 0, 1000000, "0" },
	{ "sip", "connection_idle", KEY_U32, AT(connection_idle_s), 10, 604800, "3660" },
	{ "sip", "max_calls", KEY_U32, AT(max_calls), 0, 1000000, "0" },
	{ "sip", "min_expires", KEY_U32, AT(min_expires_s), 1, 86400, "60" },
	{ "sip", "max_expires", KEY_U32, AT(max_expires_s), 1, 604800, "3600" },
	{ "sip", "default_expires", KEY_U32, AT(default_expires_s), 1, 604800, "600" },
	{ "sip", "nonce_life", KEY_U32, AT(nonce_life_s), 1, 86400, "300" },
	{ "sip", "next_target_ms", KEY_U32, AT(next_target_ms), 500, 32000, "4000" },
	{ "sip", "avoid_s", KEY_U32, AT(avoid_s), 1, 3600, "30" },
	{ "guard", "rate", KEY_U32, AT(source_rate), 10, 1000000, "2000" },
	{ "guard", "failures", KEY_U32, AT(ban_failures), 3, 10000, "20" },
	{ "guard", "ban_first_s", KEY_U32, AT(ban_first_s), 1, 604800, "60" },
	{ "guard", "ban_longest_s", KEY_U32, AT(ban_longest_s), 1, 31536000, "86400" },
	{ "dns", "servers", KEY_TEXT_OR_EMPTY, AT(dns_servers), 0, 0, "" },
	{ "dns", "timeout_ms", KEY_U32, AT(dns_timeout_ms), 100, 30000, "2000" },
	{ "tls", "listen", KEY_LISTEN, AT(tls_listen), SIP_PROTO_BIT(SIP_TLS), 0, "" },
	{ "tls", "cert", KEY_TEXT_OR_EMPTY, AT(tls_cert), 0, 0, "" },
	{ "tls", "key", KEY_TEXT_OR_EMPTY, AT(tls_key), 0, 0, "" },
	{ "tls", "certs", KEY_CERTS, AT(tls_certs), 0, 0, "" },
	{ "tls", "ca", KEY_TEXT_OR_EMPTY, AT(tls_ca), 0, 0, "" },
	{ "tls", "crl", KEY_TEXT_OR_EMPTY, AT(tls_crl), 0, 0, "" },
	{ "tls", "ocsp", KEY_TEXT_OR_EMPTY, AT(tls_ocsp), 0, 0, "" },
	{ "tls", "ocsp_require", KEY_YES, AT(tls_ocsp_require), 0, 0, "no" },
	{ "tls", "client", KEY_CLIENT, AT(tls_client), 0, 0, "no" },
	{ "tls", "verify_server", KEY_YES, AT(tls_verify_server), 0, 0, "yes" },
	{ "ws", "listen", KEY_LISTEN, AT(ws_listen), SIP_PROTO_BIT(SIP_WS), 0, "" },
	{ "ws", "origins", KEY_TEXT_OR_EMPTY, AT(ws_origins), 0, 0, "" },
	{ "wss", "listen", KEY_LISTEN, AT(wss_listen), SIP_PROTO_BIT(SIP_WSS), 0, "" },
	{ "wss", "origins", KEY_TEXT_OR_EMPTY, AT(wss_origins), 0, 0, "" },
	{ "media", "workers", KEY_U32, AT(media_workers), 0, 256, "0" },
	{ "media", "port_min", KEY_U16, AT(port_min), 1024, 65534, "16384" },
	{ "media", "port_max", KEY_U16, AT(port_max), 1025, 65535, "32767" },
	{ "media", "timeout_s", KEY_U32, AT(media_timeout_s), 0, 86400, "60" },
	{ "media", "hold_timeout_s", KEY_U32, AT(media_hold_timeout_s), 0, 86400, "3600" },
};

struct reader { struct config *c; const char *path; int err; };

/* s: where; NULL: the file as a whole. An included file has its own lines. */
static void complain(struct reader *r, const config_setting_t *s, const char *name, const char *what)
{
	const char *file = s ? config_setting_source_file(s) : NULL;

	if (s)
		fprintf(stderr, "%s:%u: %s: %s\n", file ? file : r->path, config_setting_source_line(s), name, what);
	else
		fprintf(stderr, "%s: %s: %s\n", r->path, name, what);
	r->err = -EINVAL;
}

static void complain_key(struct reader *r, const config_setting_t *s, const struct key *k, const char *what)
{
	char name[80];

	snprintf(name, sizeof(name), "%s%s%s", k->group ? k->group : "", k->group ? "." : "", k->name);
	complain(r, s, name, what);
}

static void *field(struct reader *r, const struct key *k)
{
	return (char *)r->c + k->offset;
}

static bool is_address(const char *text)
{
	unsigned char buf[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, buf) == 1 || inet_pton(AF_INET6, text, buf) == 1;
}

static void read_listen(struct reader *r, const struct key *k, config_setting_t *s)
{
	struct config_listen *l = field(r, k);

	if (!config_setting_is_list(s) || !config_setting_length(s)) {
		complain_key(r, s, k, "must be a list like ( { addr = \"0.0.0.0\"; port = 5060; } )");
		return;
	}
	for (int i = 0; i < config_setting_length(s); i++) {
		config_setting_t *one = config_setting_get_elem(s, (unsigned)i);
		const char *addr;
		int port;

		if (!config_setting_is_group(one) || config_setting_length(one) != 2 || !config_setting_lookup_string(one, "addr", &addr) ||
		    !config_setting_lookup_int(one, "port", &port) || port < 1 || port > 65535) {
			complain_key(r, one, k, "each needs addr = \"...\" and port = 1..65535 and nothing else");
			continue;
		}
		if (!is_address(addr)) {
			complain_key(r, one, k, "addr must be an IPv4 or IPv6 address");
			continue;
		}
		if (l->n == CONFIG_LISTEN_MAX) {
			complain_key(r, one, k, "too many");
			return;
		}
		l->at[l->n].addr = strdup(addr);
		l->at[l->n].protos = (unsigned)k->min;
		l->at[l->n++].port = (uint16_t)port;
	}
}

/* "udp tcp" */
static int protos_parse(const char *text, unsigned *out)
{
	struct str rest = str_from(text);

	*out = 0;
	while (rest.n) {
		struct str one = str_trim(str_cut(&rest, ' '));
		enum sip_proto p;

		if (sip_proto_parse(&p, one) != 0)
			return -EINVAL;
		*out |= SIP_PROTO_BIT(p);
	}
	return *out == SIP_PROTO_BIT(SIP_TLS) || *out == SIP_PROTO_BIT(SIP_WS) || *out == SIP_PROTO_BIT(SIP_WSS) ||
	       (*out && !(*out & ~(SIP_PROTO_BIT(SIP_UDP) | SIP_PROTO_BIT(SIP_TCP)))) ? 0 : -EINVAL;
}

/* What is wrong with it, NULL: nothing. */
static const char *check_listener(const config_setting_t *s, const char *protos, struct config_listener *l, struct networks *networks)
{
	static const char *const known[] = { "address", "port", "transports", "external", "external_port", "local_networks", "origins" };

	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *one = config_setting_get_elem(s, (unsigned)i);
		const char *name = config_setting_name(one);
		size_t k = 0;

		while (k < ARRAY_LEN(known) && strcmp(name, known[k]) != 0)
			k++;
		if (k == ARRAY_LEN(known))
			return "each may have address, port, transports, external, external_port, local_networks and origins";
		if (strcmp(name, "port") != 0 && strcmp(name, "external_port") != 0 && config_setting_type(one) != CONFIG_TYPE_STRING)
			return "all but port and external_port must be texts in quotes";
	}
	if (!l->addr || !is_address(l->addr))
		return "address must be an IPv4 or IPv6 address";
	if (!l->port)
		return "port must be 1..65535";
	if (!l->external_port && config_setting_get_member(s, "external_port"))
		return "external_port must be 1..65535";
	if (protos_parse(protos, &l->protos) != 0)
		return "transports must be \"udp tcp\", \"udp\", \"tcp\", \"tls\", \"ws\" or \"wss\"";
	if (l->external && (!is_address(l->external) || !strchr(l->external, ':') != !strchr(l->addr, ':')))
		return "external must be an address of the same family as address";
	if (l->local_networks && networks_parse(networks, str_from(l->local_networks)) != 0)
		return "local_networks must be like \"10.0.0.0/8 fd00::/8\"";
	return NULL;
}

static uint16_t port_of(config_setting_t *s, const char *name)
{
	int port;

	return config_setting_lookup_int(s, name, &port) && port > 0 && port <= 65535 ? (uint16_t)port : 0;
}

static char *text_of(config_setting_t *s, const char *name)
{
	const char *text;

	return config_setting_lookup_string(s, name, &text) && *text ? strdup(text) : NULL;
}

static void free_listener(struct config_listener *l)
{
	free(l->addr);
	free(l->external);
	free(l->local_networks);
	free(l->origins);
}

static void read_listeners(struct reader *r, const struct key *k, config_setting_t *s)
{
	struct config_listen *list = field(r, k);
	struct networks networks;

	if (!config_setting_is_list(s)) {
		complain_key(r, s, k, "must be a list like ( { address = \"0.0.0.0\"; port = 5060; transports = \"udp tcp\"; } )");
		return;
	}
	for (int i = 0; i < config_setting_length(s); i++) {
		config_setting_t *one = config_setting_get_elem(s, (unsigned)i);
		const char *protos = "udp tcp", *wrong;
		struct config_listener l;

		if (!config_setting_is_group(one)) {
			complain_key(r, one, k, "each must be a group { ... }");
			continue;
		}
		if (list->n == CONFIG_LISTEN_MAX) {
			complain_key(r, one, k, "too many");
			return;
		}
		config_setting_lookup_string(one, "transports", &protos);
		l = (struct config_listener){ .addr = text_of(one, "address"), .port = port_of(one, "port"),
					      .external_port = port_of(one, "external_port"), .external = text_of(one, "external"),
					      .local_networks = text_of(one, "local_networks"), .origins = text_of(one, "origins") };
		wrong = check_listener(one, protos, &l, &networks);
		if (wrong) {
			complain_key(r, one, k, wrong);
			free_listener(&l);
			continue;
		}
		list->at[list->n++] = l;
	}
}

static void read_certs(struct reader *r, const struct key *k, config_setting_t *s)
{
	struct config_certs *list = field(r, k);

	if (!config_setting_is_list(s)) {
		complain_key(r, s, k, "must be a list like ( { cert = \"/b.pem\"; key = \"/b.key\"; } )");
		return;
	}
	for (int i = 0; i < config_setting_length(s); i++) {
		config_setting_t *one = config_setting_get_elem(s, (unsigned)i);
		bool is_group = config_setting_is_group(one);
		struct config_cert c = { .cert = is_group ? text_of(one, "cert") : NULL, .key = is_group ? text_of(one, "key") : NULL,
					 .ocsp = is_group ? text_of(one, "ocsp") : NULL };

		if (c.cert && config_setting_length(one) == 1 + (c.key != NULL) + (c.ocsp != NULL) && list->n < CONFIG_CERTS_MAX) {
			list->at[list->n++] = c;
			continue;
		}
		complain_key(r, one, k, list->n == CONFIG_CERTS_MAX ? "too many" : "each needs cert = \"...\", may have key = \"...\" and ocsp = \"...\", and nothing else");
		free(c.cert);
		free(c.key);
		free(c.ocsp);
	}
}

static int client_parse(const char *text, enum config_client *out)
{
	static const char *const names[] = { "no", "ask", "need" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(text, names[i])) {
			*out = (enum config_client)i;
			return 0;
		}
	return -EINVAL;
}

static void set_number(struct reader *r, const config_setting_t *s, const struct key *k, int64_t v)
{
	char what[80];

	if (v < k->min || v > k->max) {
		snprintf(what, sizeof(what), "must be between %lld and %lld", (long long)k->min, (long long)k->max);
		complain_key(r, s, k, what);
	} else if (k->type == KEY_U16) {
		*(uint16_t *)field(r, k) = (uint16_t)v;
	} else {
		*(uint32_t *)field(r, k) = (uint32_t)v;
	}
}

static void set_text(struct reader *r, const config_setting_t *s, const struct key *k, const char *text)
{
	if (k->type == KEY_LEVEL) {
		if (log_level_parse(text, field(r, k)) != 0)
			complain_key(r, s, k, "must be error, warn, info or debug");
	} else if (k->type == KEY_CLIENT) {
		if (client_parse(text, field(r, k)) != 0)
			complain_key(r, s, k, "must be no, ask or need");
	} else if (k->type == KEY_YES) {
		*(bool *)field(r, k) = !strcmp(text, "yes");
		if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
			complain_key(r, s, k, "must be yes or no");
	} else if (k->type == KEY_TEXT && !text[0]) {
		complain_key(r, s, k, "must not be empty");
	} else {
		*(char **)field(r, k) = strdup(text);
	}
}

static void read_key(struct reader *r, const struct key *k, config_setting_t *s)
{
	bool is_list = k->type == KEY_LISTEN || k->type == KEY_LISTENERS || k->type == KEY_CERTS;
	bool is_text = k->type != KEY_U32 && k->type != KEY_U16 && !is_list;

	if (!s && !k->def)
		complain_key(r, NULL, k, "is missing");
	else if (!s && is_list)
		return;
	else if (!s && is_text)
		set_text(r, NULL, k, k->def);
	else if (!s)
		set_number(r, NULL, k, atoll(k->def));
	else if (k->type == KEY_CERTS)
		read_certs(r, k, s);
	else if (k->type == KEY_LISTENERS)
		read_listeners(r, k, s);
	else if (k->type == KEY_LISTEN)
		read_listen(r, k, s);
	else if (is_text && config_setting_type(s) == CONFIG_TYPE_STRING)
		set_text(r, s, k, config_setting_get_string(s));
	else if (!is_text && (config_setting_type(s) == CONFIG_TYPE_INT || config_setting_type(s) == CONFIG_TYPE_INT64))
		set_number(r, s, k, config_setting_get_int64(s));
	else
		complain_key(r, s, k, is_text ? "must be a text in quotes" : "must be a number");
}

static bool same_group(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool is_group(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (keys[i].group && !strcmp(keys[i].group, name))
			return true;
	return false;
}

static void refuse_unknown(struct reader *r, config_setting_t *group, const char *group_name)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const char *name = config_setting_name(s);
		bool known = false;

		if (!group_name && is_group(name)) {
			if (config_setting_is_group(s))
				refuse_unknown(r, s, name);
			else
				complain(r, s, name, "must be a group { ... }");
			continue;
		}
		for (size_t k = 0; k < ARRAY_LEN(keys); k++)
			known = known || (same_group(keys[k].group, group_name) && !strcmp(keys[k].name, name));
		if (!known)
			complain(r, s, name, "unknown key");
	}
}

static bool needs_certificate(const struct config *c)
{
	for (unsigned i = 0; i < c->listeners.n; i++)
		if (c->listeners.at[i].protos & (SIP_PROTO_BIT(SIP_TLS) | SIP_PROTO_BIT(SIP_WSS)))
			return true;
	return false;
}

/* What must fit together. The line is that of the group. */
static void check_pairs(struct reader *r, const config_t *file)
{
	struct config *c = r->c;

	if (c->min_expires_s > c->max_expires_s)
		complain(r, config_lookup(file, "sip"), "sip.max_expires", "must not be below min_expires");
	else if (!config_lookup(file, "sip.default_expires"))
		c->default_expires_s = c->default_expires_s < c->min_expires_s ? c->min_expires_s :
				       c->default_expires_s > c->max_expires_s ? c->max_expires_s : c->default_expires_s;
	else if (c->min_expires_s > c->default_expires_s || c->default_expires_s > c->max_expires_s)
		complain(r, config_lookup(file, "sip"), "sip.default_expires", "must be between min_expires and max_expires");
	if (!c->tls_cert[0] && (c->tls_listen.n || c->wss_listen.n || needs_certificate(c)))
		complain(r, config_lookup(file, c->tls_listen.n ? "tls" : c->wss_listen.n ? "wss" : "listen"), "tls.cert", "is needed to listen");
	if (c->port_max <= c->port_min)
		complain(r, config_lookup(file, "media"), "media.port_max", "must be above port_min");
}

static int read_file(config_t *file, const char *path)
{
	if (config_read_file(file, path) == CONFIG_TRUE)
		return 0;
	if (config_error_type(file) == CONFIG_ERR_FILE_IO) {
		fprintf(stderr, "%s: can't be read\n", path);
		return -ENOENT;
	}
	fprintf(stderr, "%s:%d: %s\n", config_error_file(file) ? config_error_file(file) : path, config_error_line(file),
		config_error_text(file));
	return -EINVAL;
}

int config_load(struct config *c, const char *path)
{
	struct reader r = { .c = c, .path = path };
	config_t file;

	*c = (struct config){ 0 };
	config_init(&file);
	r.err = read_file(&file, path);
	if (r.err) {
		config_destroy(&file);
		return r.err;
	}
	refuse_unknown(&r, config_root_setting(&file), NULL);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		config_setting_t *group = config_root_setting(&file);

		if (keys[i].group)
			group = config_setting_get_member(group, keys[i].group);
		read_key(&r, &keys[i], group && config_setting_is_group(group) ? config_setting_get_member(group, keys[i].name) : NULL);
	}
	if (!config_lookup(&file, "sip.listen") && !config_lookup(&file, "listen"))
		complain(&r, NULL, "sip.listen", "is missing");
	if (!r.err)
		check_pairs(&r, &file);
	config_destroy(&file);
	if (r.err)
		config_fini(c);
	return r.err;
}

static void free_listen(struct config_listen *l)
{
	for (unsigned i = 0; i < l->n; i++)
		free_listener(&l->at[i]);
}

void config_fini(struct config *c)
{
	free(c->node);
	free(c->user);
	free(c->database);
	free(c->spool);
	free(c->recordings);
	free(c->prompts);
	free(c->dns_servers);
	free(c->tls_cert);
	free(c->tls_key);
	free(c->tls_ca);
	free(c->tls_crl);
	free(c->tls_ocsp);
	for (unsigned i = 0; i < c->tls_certs.n; i++) {
		free(c->tls_certs.at[i].cert);
		free(c->tls_certs.at[i].key);
		free(c->tls_certs.at[i].ocsp);
	}
	free(c->ws_origins);
	free(c->wss_origins);
	free_listen(&c->listen);
	free_listen(&c->tls_listen);
	free_listen(&c->ws_listen);
	free_listen(&c->wss_listen);
	free_listen(&c->listeners);
	*c = (struct config){ 0 };
}
