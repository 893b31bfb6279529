/* fake_directory.h - a directory of one office, for tests that link without directory.c. Include it once.
 *
 * Domain "office", realm "cordboard", the default one. 1001 with its own name; 1002 whose authentication name is "bob";
 * 1003 has a password and a certificate but no extension any more. 1004 is an exchange with the number 2001. All passwords are "secret". A trunk at 192.0.2.200, another with the certificate of sbc.example.com. Mailboxes: 1001, 1002.
 */
#pragma once

#include <stdio.h>

#include "directory/directory.h"
#include "sip/digest.h"
#include "sip/transport.h"

struct directory {
	bool is_unknown;             /* nothing is loaded */
	unsigned algorithms;         /* of every extension */
	const struct dir_note *note; /* the only one; NULL: none */
	struct directory_watcher *watcher;
	struct directory_watcher *watchers; /* all, the last one first */
};

static struct dir_domain fake_domain = {
	.domain = "office", .realm = "cordboard", .timezone = "UTC", .language = "en", .music_class = "default", .algorithms = 1,
	.is_default = true, .default_context = "office",
};
static char fake_ha1[4][3][65];
static struct dir_credential fake_credentials[] = {
	{ .domain = "office", .auth_name = "1001", .number = "1001" },
	{ .domain = "office", .auth_name = "bob", .number = "1002" },
	{ .domain = "office", .auth_name = "1003", .number = "1003" },
	{ .domain = "office", .auth_name = "1004", .number = "1004" },
};
static struct dir_extension fake_extensions[] = {
	{ .domain = "office", .number = "1001", .display_name = "Alice", .context = "office" },
	{ .domain = "office", .number = "1002", .display_name = "Bob", .context = "internal" },
	{ .domain = "office", .number = "1004", .display_name = "Exchange", .context = "internal", .may_bulk = true },
	{ .domain = "office", .number = "2001", .display_name = "Of the exchange", .context = "office", .bulk_account = "1004" },
};

static void fake_directory_init(struct directory *d)
{
	*d = (struct directory){ .algorithms = DIGEST_MD5 };
	for (size_t i = 0; i < ARRAY_LEN(fake_credentials); i++) {
		struct dir_credential *c = &fake_credentials[i];

		digest_ha1(DIGEST_MD5, str_from(c->auth_name), STR("cordboard"), STR("secret"), fake_ha1[i][0]);
		digest_ha1(DIGEST_SHA256, str_from(c->auth_name), STR("cordboard"), STR("secret"), fake_ha1[i][1]);
		digest_ha1(DIGEST_SHA512_256, str_from(c->auth_name), STR("cordboard"), STR("secret"), fake_ha1[i][2]);
		c->ha1_md5 = fake_ha1[i][0];
		c->ha1_sha256 = fake_ha1[i][1];
		c->ha1_sha512_256 = fake_ha1[i][2];
	}
}

enum dir_answer directory_domain_of_host(struct directory *d, struct str host, const struct dir_domain **out)
{
	if (d->is_unknown)
		return DIR_UNKNOWN;
	if (str_eqz(host, "no.such.domain"))
		return DIR_ABSENT;
	*out = &fake_domain;
	return DIR_FOUND;
}

enum dir_answer directory_credential(struct directory *d, const char *domain, struct str auth_name, const struct dir_credential **out)
{
	if (d->is_unknown)
		return DIR_UNKNOWN;
	for (size_t i = 0; i < ARRAY_LEN(fake_credentials); i++)
		if (!strcmp(domain, "office") && str_eqz(auth_name, fake_credentials[i].auth_name)) {
			*out = &fake_credentials[i];
			return DIR_FOUND;
		}
	return DIR_ABSENT;
}

enum dir_answer directory_credential_by_hash(struct directory *d, const char *domain, struct str hash, const struct dir_credential **out)
{
	static const enum digest_alg algs[] = { DIGEST_MD5, DIGEST_SHA256, DIGEST_SHA512_256 };
	char own[65];

	if (d->is_unknown)
		return DIR_UNKNOWN;
	for (size_t i = 0; i < ARRAY_LEN(fake_credentials); i++)
		for (size_t k = 0; k < ARRAY_LEN(algs); k++) {
			digest_userhash(algs[k], str_from(fake_credentials[i].auth_name), STR("cordboard"), own);
			if (!strcmp(domain, "office") && str_eqz(hash, own)) {
				*out = &fake_credentials[i];
				return DIR_FOUND;
			}
		}
	return DIR_ABSENT;
}

enum dir_answer directory_extension(struct directory *d, const char *domain, struct str number, const struct dir_extension **out)
{
	if (d->is_unknown)
		return DIR_UNKNOWN;
	for (size_t i = 0; i < ARRAY_LEN(fake_extensions); i++)
		if (!strcmp(domain, "office") && str_eqz(number, fake_extensions[i].number)) {
			fake_extensions[i].algorithms = d->algorithms;
			*out = &fake_extensions[i];
			return DIR_FOUND;
		}
	return DIR_ABSENT;
}

unsigned directory_algorithms_for(struct directory *d, const char *domain, struct str name)
{
	(void)domain;
	(void)name;
	return d->algorithms;
}

enum dir_answer directory_trunk_by_address(struct directory *d, const struct sockaddr *addr, const struct dir_trunk **out)
{
	static const struct dir_trunk trunk = { .domain = "office", .name = "provider", .context = "incoming" };
	char text[SOCKADDR_TEXT_MAX];

	if (d->is_unknown)
		return DIR_UNKNOWN;
	if (strcmp(sockaddr_print_host((const union sockaddr_any *)addr, text), "192.0.2.200") != 0)
		return DIR_ABSENT;
	*out = &trunk;
	return DIR_FOUND;
}

enum dir_answer directory_certificate(struct directory *d, const char *identity, const struct dir_certificate **out)
{
	static const struct dir_certificate all[] = {
		{ "alice@example.com", "office", "1001" }, { "phone2.example.com", "office", "1002" }, { "gone.example.com", "office", "1003" },
		{ "exchange.example.com", "office", "1004" }, { "alice@elsewhere.example.com", "elsewhere", "1001" },
	};

	if (d->is_unknown)
		return DIR_UNKNOWN;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!strcmp(identity, all[i].identity)) {
			*out = &all[i];
			return DIR_FOUND;
		}
	return DIR_ABSENT;
}

enum dir_answer directory_trunk_by_identity(struct directory *d, const char *identity, const struct dir_trunk **out)
{
	static const struct dir_trunk trunk = { .domain = "office", .name = "sbc", .context = "incoming", .tls_identity = "sbc.example.com" };

	if (d->is_unknown)
		return DIR_UNKNOWN;
	if (strcmp(identity, trunk.tls_identity) != 0)
		return DIR_ABSENT;
	*out = &trunk;
	return DIR_FOUND;
}

enum dir_answer directory_mailbox(struct directory *d, const char *domain, struct str number, const struct dir_mailbox **out)
{
	static const struct dir_mailbox box = { .domain = "office", .number = "1001", .language = "en" };

	(void)domain;
	if (d->is_unknown)
		return DIR_UNKNOWN;
	if (!str_eqz(number, "1001") && !str_eqz(number, "1002"))
		return DIR_ABSENT;
	*out = &box;
	return DIR_FOUND;
}

enum dir_answer directory_note(struct directory *d, const char *domain, struct str number, const struct dir_note **out)
{
	if (d->is_unknown)
		return DIR_UNKNOWN;
	if (!d->note || strcmp(d->note->domain, domain) != 0 || !str_eqz(number, d->note->number))
		return DIR_ABSENT;
	*out = d->note;
	return DIR_FOUND;
}

void directory_watch(struct directory *d, struct directory_watcher *w)
{
	d->watcher = w;
	w->next = d->watchers;
	d->watchers = w;
}

/* Tells all watchers of a change. */
static inline void fake_directory_tell(struct directory *d, const char *table, const char *key)
{
	for (struct directory_watcher *w = d->watchers; w; w = w->next)
		w->on_change(table, key, w->arg);
}
