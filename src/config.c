/* config.c - one table says which keys there are, of which type and within which bounds; what isn't in it is refused. */
#include "config.h"

#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum key_type { KEY_TEXT, KEY_LEVEL, KEY_U32, KEY_U16, KEY_LISTEN };

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
	{ NULL, "user", KEY_TEXT, AT(user), 0, 0, "" },
	{ NULL, "log_level", KEY_LEVEL, AT(log_level), 0, 0, "info" },
	{ NULL, "database", KEY_TEXT, AT(database), 0, 0, NULL },
	{ NULL, "spool", KEY_TEXT, AT(spool), 0, 0, NULL },
	{ NULL, "prompts", KEY_TEXT, AT(prompts), 0, 0, NULL },
	{ "sip", "listen", KEY_LISTEN, 0, 0, 0, NULL },
	{ "sip", "min_expires", KEY_U32, AT(min_expires_s), 1, 86400, "60" },
	{ "sip", "max_expires", KEY_U32, AT(max_expires_s), 1, 604800, "3600" },
	{ "sip", "default_expires", KEY_U32, AT(default_expires_s), 1, 604800, "600" },
	{ "sip", "nonce_life", KEY_U32, AT(nonce_life_s), 1, 86400, "300" },
	{ "media", "workers", KEY_U32, AT(media_workers), 0, 256, "0" },
	{ "media", "port_min", KEY_U16, AT(port_min), 1024, 65534, "16384" },
	{ "media", "port_max", KEY_U16, AT(port_max), 1025, 65535, "32767" },
	{ "media", "timeout_s", KEY_U32, AT(media_timeout_s), 0, 86400, "60" },
};

struct reader { struct config *c; const char *path; int err; };

static void complain(struct reader *r, const config_setting_t *s, const char *what, const char *name)
{
	fprintf(stderr, "%s:%d: %s: %s\n", r->path, s ? config_setting_source_line(s) : 0, name, what);
	r->err = -EINVAL;
}

static void *field(struct reader *r, const struct key *k)
{
	return (char *)r->c + k->offset;
}

static void read_listen(struct reader *r, config_setting_t *s)
{
	if (!config_setting_is_list(s) || !config_setting_length(s)) {
		complain(r, s, "must be a list like ( { addr = \"0.0.0.0\"; port = 5060; } )", "listen");
		return;
	}
	for (int i = 0; i < config_setting_length(s); i++) {
		config_setting_t *one = config_setting_get_elem(s, (unsigned)i);
		const char *addr;
		int port;

		if (!config_setting_is_group(one) || config_setting_length(one) != 2 || !config_setting_lookup_string(one, "addr", &addr) ||
		    !config_setting_lookup_int(one, "port", &port) || port < 1 || port > 65535) {
			complain(r, one, "each needs addr = \"...\" and port = 1..65535 and nothing else", "listen");
			continue;
		}
		if (r->c->nlisten == CONFIG_LISTEN_MAX) {
			complain(r, one, "too many", "listen");
			return;
		}
		r->c->listen[r->c->nlisten].addr = strdup(addr);
		r->c->listen[r->c->nlisten++].port = (uint16_t)port;
	}
}

static void set_number(struct reader *r, const config_setting_t *s, const struct key *k, int64_t v)
{
	char what[80];

	if (v < k->min || v > k->max) {
		snprintf(what, sizeof(what), "must be between %lld and %lld", (long long)k->min, (long long)k->max);
		complain(r, s, what, k->name);
	} else if (k->type == KEY_U16) {
		*(uint16_t *)field(r, k) = (uint16_t)v;
	} else {
		*(uint32_t *)field(r, k) = (uint32_t)v;
	}
}

static void set_text(struct reader *r, const config_setting_t *s, const struct key *k, const char *text)
{
	if (k->type == KEY_TEXT)
		*(char **)field(r, k) = strdup(text);
	else if (log_level_parse(text, field(r, k)) != 0)
		complain(r, s, "must be error, warn, info or debug", k->name);
}

static void read_key(struct reader *r, const struct key *k, config_setting_t *s)
{
	bool is_text = k->type == KEY_TEXT || k->type == KEY_LEVEL;

	if (!s && !k->def)
		complain(r, NULL, "is missing", k->name);
	else if (!s && is_text)
		set_text(r, NULL, k, k->def);
	else if (!s)
		set_number(r, NULL, k, atoll(k->def));
	else if (k->type == KEY_LISTEN)
		read_listen(r, s);
	else if (is_text && config_setting_type(s) == CONFIG_TYPE_STRING)
		set_text(r, s, k, config_setting_get_string(s));
	else if (!is_text && (config_setting_type(s) == CONFIG_TYPE_INT || config_setting_type(s) == CONFIG_TYPE_INT64))
		set_number(r, s, k, config_setting_get_int64(s));
	else
		complain(r, s, is_text ? "must be a text in quotes" : "must be a number", k->name);
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
				complain(r, s, "must be a group { ... }", name);
			continue;
		}
		for (size_t k = 0; k < ARRAY_LEN(keys); k++)
			known = known || (same_group(keys[k].group, group_name) && !strcmp(keys[k].name, name));
		if (!known)
			complain(r, s, "unknown key", name);
	}
}

int config_load(struct config *c, const char *path)
{
	struct reader r = { .c = c, .path = path };
	config_t file;

	*c = (struct config){ 0 };
	config_init(&file);
	if (config_read_file(&file, path) != CONFIG_TRUE) {
		fprintf(stderr, "%s:%d: %s\n", path, config_error_line(&file), config_error_text(&file));
		config_destroy(&file);
		return -EINVAL;
	}
	refuse_unknown(&r, config_root_setting(&file), NULL);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		config_setting_t *group = config_root_setting(&file);

		if (keys[i].group)
			group = config_setting_get_member(group, keys[i].group);
		read_key(&r, &keys[i], group && config_setting_is_group(group) ? config_setting_get_member(group, keys[i].name) : NULL);
	}
	config_destroy(&file);
	if (!r.err && c->port_max <= c->port_min) {
		fprintf(stderr, "%s: media.port_max must be above port_min\n", path);
		r.err = -EINVAL;
	}
	if (r.err)
		config_fini(c);
	return r.err;
}

void config_fini(struct config *c)
{
	free(c->node);
	free(c->user);
	free(c->database);
	free(c->spool);
	free(c->prompts);
	for (unsigned i = 0; i < c->nlisten; i++)
		free(c->listen[i].addr);
	*c = (struct config){ 0 };
}
