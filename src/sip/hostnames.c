/* hostnames.c - two tables over the same entries, by name and by number, and a list of them, the longest unused first. */
#include "sip/hostnames.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/table.h"

struct hostname {
	UT_hash_handle by_id, by_text;
	struct hostname *prev, *next;
	uint32_t id;
	char text[];
};

struct hostnames {
	struct hostname *ids, *texts, *used;
	uint32_t last_id;
};

int hostnames_new(struct hostnames **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

static void drop(struct hostnames *h, struct hostname *n)
{
	HASH_DELETE(by_id, h->ids, n);
	HASH_DELETE(by_text, h->texts, n);
	DL_DELETE(h->used, n);
	free(n);
}

void hostnames_free(struct hostnames *h)
{
	while (h && h->used)
		drop(h, h->used);
	free(h);
}

static void use(struct hostnames *h, struct hostname *n)
{
	if (n->next) {
		DL_DELETE(h->used, n);
		DL_APPEND(h->used, n);
	}
}

static struct hostname *add(struct hostnames *h, const char *text, unsigned len)
{
	struct hostname *n = malloc(sizeof(*n) + len + 1);

	if (!n)
		return NULL;
	memcpy(n->text, text, len + 1);
	n->id = ++h->last_id ? h->last_id : ++h->last_id;
	HASH_ADD(by_id, h->ids, id, sizeof(n->id), n);
	if (!n->by_id.tbl) {
		free(n);
		return NULL;
	}
	HASH_ADD_KEYPTR(by_text, h->texts, n->text, len, n);
	if (!n->by_text.tbl) {
		HASH_DELETE(by_id, h->ids, n);
		free(n);
		return NULL;
	}
	DL_APPEND(h->used, n);
	if (HASH_CNT(by_id, h->ids) > HOSTNAMES_MAX)
		drop(h, h->used);
	return n;
}

int hostnames_id(struct hostnames *h, struct str name, uint32_t *id)
{
	struct hostname *n = NULL;
	char text[HOSTNAME_MAX + 1];

	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	if (!name.n || str_find_chr(name, '\0') >= 0 || str_copy(name, text, sizeof(text)) != 0)
		return -EINVAL;
	for (size_t i = 0; i < name.n; i++)
		text[i] = (char)tolower((unsigned char)text[i]);
	HASH_FIND(by_text, h->texts, text, name.n, n);
	if (n)
		use(h, n);
	else
		n = add(h, text, (unsigned)name.n);
	if (!n)
		return -ENOMEM;
	*id = n->id;
	return 0;
}

const char *hostnames_text(struct hostnames *h, uint32_t id)
{
	struct hostname *n = NULL;

	HASH_FIND(by_id, h->ids, &id, sizeof(id), n);
	if (!n)
		return NULL;
	use(h, n);
	return n->text;
}
