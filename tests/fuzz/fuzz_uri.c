/* fuzz_uri.c - libFuzzer target on URIs: two of them, a line each.
 *
 * What parses consists of slices of its text, equals itself, prints and parses back, and compares the same both ways round.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sip/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_inside(struct str s, struct str text)
{
	assert(!s.n || (s.p >= text.p && s.p + s.n <= text.p + text.n));
}

static void check_slices(const struct sip_uri *u, struct str text)
{
	assert(str_eq(u->text, text));
	assert_inside(u->user, text);
	assert_inside(u->password, text);
	assert_inside(u->host, text);
	assert_inside(u->params, text);
	assert_inside(u->headers, text);
	if (u->scheme == SIP_SCHEME_SIP || u->scheme == SIP_SCHEME_SIPS)
		assert(u->host.n);
}

/* From its parts a URI is put together again, and means the same. */
static void check_print(const struct sip_uri *u)
{
	struct sip_uri back;
	struct out o;

	if (u->scheme != SIP_SCHEME_SIP && u->scheme != SIP_SCHEME_SIPS)
		return;
	out_init_grow(&o, 65536);
	out_mem(&o, u->text.p, u->scheme == SIP_SCHEME_SIP ? 4 : 5);
	out_str(&o, u->user);
	if (u->password.p)
		out_chr(&o, ':');
	out_str(&o, u->password);
	if (u->user.n)
		out_chr(&o, '@');
	out_str(&o, u->host);
	if (u->port)
		out_fmt(&o, ":%u", u->port);
	if (u->params.p)
		out_chr(&o, ';');
	out_str(&o, u->params);
	if (u->headers.p)
		out_chr(&o, '?');
	out_str(&o, u->headers);
	assert(out_ok(&o));
	assert(sip_uri_parse(&back, out_view(&o)) == 0);
	/* Equal, unless a parameter stands twice and the text changed otherwise (port 05060): that compares as it likes. */
	assert(sip_uri_eq(u, &back) == sip_uri_eq(&back, u));
	assert(str_eq(back.user, u->user) && str_eq(back.host, u->host) && str_eq(back.params, u->params) && back.port == u->port);
	out_fini(&o);
}

static void check_params(struct str params)
{
	struct str rest = params;

	while (rest.p) {
		struct str part = str_cut(&rest, ';'), name = str_trim(str_cut(&part, '=')), value;
		char z[64];

		if (!name.n || str_copy(name, z, sizeof(z)) != 0 || str_find_chr(params, '"') >= 0 || memchr(name.p, '\0', name.n))
			continue;
		assert(sip_param_find(params, z, &value));
		assert_inside(value, params);
	}
}

/* What is escaped unescapes to what it was. */
static void check_escape(struct str text)
{
	char back[1024];
	struct out o;

	if (text.n >= sizeof(back) || (text.n && memchr(text.p, '\0', text.n)))
		return;
	out_init_grow(&o, 65536);
	sip_escape_user(&o, text);
	assert(out_ok(&o));
	assert(sip_unescape(out_view(&o), back, sizeof(back)) == 0);
	assert(str_eqz(text, back));
	out_fini(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of exactly this size, so that a byte read too far is caught. */
	char *copy = malloc(size ? size : 1), buf[64];
	struct str rest, text[2];
	struct sip_uri u[2];
	bool ok[2];

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	rest = (struct str){ copy, size };
	text[0] = str_cut(&rest, '\n');
	text[1] = rest;
	for (int i = 0; i < 2; i++) {
		int err = sip_uri_parse(&u[i], text[i]);

		assert(err == 0 || err == -EINVAL);
		ok[i] = err == 0;
		check_escape(text[i]);
		sip_unescape(text[i], buf, sizeof(buf));
		check_params(text[i]);
		if (!ok[i])
			continue;
		check_slices(&u[i], text[i]);
		assert(sip_uri_eq(&u[i], &u[i]));
		check_print(&u[i]);
	}
	if (ok[0] && ok[1])
		assert(sip_uri_eq(&u[0], &u[1]) == sip_uri_eq(&u[1], &u[0]));
	free(copy);
	return 0;
}
