/* target.c - what a request to a binding is addressed to. */
#include "registrar/registrar.h"

#include <errno.h>

#include "base/out.h"
#include "sip/uri.h"

/* RFC 6140 §5.2: the number goes in as the user, bnc goes. */
int binding_target_sg(const struct binding *b, struct str number, const char *sg, char target[BINDING_TARGET_MAX])
{
	struct sip_uri uri;
	struct str rest;
	struct out o;

	if (!b->is_bulk || sip_uri_parse(&uri, str_from(b->contact)) != 0)
		return str_copy(str_from(b->contact), target, BINDING_TARGET_MAX) ? -EMSGSIZE : 0;
	out_init(&o, target, BINDING_TARGET_MAX - 1);
	out_z(&o, uri.scheme == SIP_SCHEME_SIPS ? "sips:" : "sip:");
	sip_escape_user(&o, number);
	out_chr(&o, '@');
	out_str(&o, uri.host);
	if (uri.port)
		out_fmt(&o, ":%u", uri.port);
	for (rest = uri.params; rest.n;) {
		struct str param = str_cut(&rest, ';');

		if (str_ieqz(param, "bnc") || !param.n)
			continue;
		out_chr(&o, ';');
		out_str(&o, param);
	}
	if (sg[0]) {
		out_z(&o, ";sg=");
		out_z(&o, sg);
	}
	if (!out_ok(&o))
		return -EMSGSIZE;
	target[o.len] = '\0';
	return 0;
}

int binding_target(const struct binding *b, struct str number, char target[BINDING_TARGET_MAX])
{
	return binding_target_sg(b, number, "", target);
}
