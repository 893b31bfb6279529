/* userhash.c - credentials by the hash of their names (RFC 7616 §3.4.4).
 *
 * A hash can't be turned back, so there is an index of all of them, one entry for each algorithm; it is made when a hashed name first
 * comes in after a change of a credential or a domain, some microseconds a credential, and of nothing where no domain wants it.
 * An unknown hash costs the same look-up as a known one.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/table.h"
#include "directory/directory_int.h"
#include "sip/digest.h"

#define KEY_MAX 130 /* "domain/" and the longest hash */

struct userhash {
	UT_hash_handle hh;
	const struct dir_row *row;
	char key[KEY_MAX];
};

void userhash_forget(struct directory *d)
{
	struct userhash *u, *next;

	HASH_ITER(hh, d->userhashes, u, next) {
		HASH_DEL(d->userhashes, u);
		free(u);
	}
	d->has_userhashes = false;
}

static int add(struct directory *d, const struct dir_row *row, const char *realm, enum digest_alg alg)
{
	struct userhash *u = calloc(1, sizeof(*u));
	char hash[65];
	int n;

	if (!u)
		return -ENOMEM;
	digest_userhash(alg, str_from(row->credential.auth_name), str_from(realm), hash);
	n = str_join(u->key, sizeof(u->key), row->credential.domain, '/', str_from(hash));
	if (n < 0) {
		free(u);
		return 0; /* nobody's domain is so long */
	}
	u->row = row;
	HASH_ADD(hh, d->userhashes, key, (unsigned)n, u);
	if (!u->hh.tbl) {
		free(u);
		return -ENOMEM;
	}
	return 0;
}

static int make(struct directory *d)
{
	static const enum digest_alg algs[] = { DIGEST_MD5, DIGEST_SHA256, DIGEST_SHA512_256 };
	const struct dir_domain *domain;

	for (const struct dir_row *r = d->rows[DIR_CREDENTIAL].first; r; r = r->next) {
		if (directory_domain(d, r->credential.domain, &domain) != DIR_FOUND || !domain->has_userhash)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(algs); i++)
			if (add(d, r, domain->realm, algs[i]) != 0) {
				userhash_forget(d);
				return -ENOMEM;
			}
	}
	d->has_userhashes = true;
	return 0;
}

enum dir_answer directory_credential_by_hash(struct directory *d, const char *domain, struct str hash, const struct dir_credential **out)
{
	struct userhash *u = NULL;
	char key[KEY_MAX];
	int n = str_join(key, sizeof(key), domain, '/', hash);

	if (!d->is_loaded || (!d->has_userhashes && make(d) != 0))
		return DIR_UNKNOWN;
	if (n < 0)
		return DIR_ABSENT;
	HASH_FIND(hh, d->userhashes, key, (unsigned)n, u);
	if (!u)
		return DIR_ABSENT;
	*out = &u->row->credential;
	return DIR_FOUND;
}
