/* digest_proof.c - what is kept of right credentials until the body of the answer is known (RFC 7616 §3.5 with auth-int).
 *
 * It is kept rarely: where a domain offers auth-int and shows that it knows the password. So it has a hash engine only while it prints.
 */
#include <errno.h>
#include <stdlib.h>

#include "sip/digest_int.h"

struct digest_proof {
	struct digest_input in;
	char ha1[DIGEST_HEX_MAX];
	char *next;              /* ", nextnonce=..." or NULL */
	char texts[];            /* what the slices of in point to */
};

static struct str keep(char **at, struct str s)
{
	struct str kept = { *at, s.n };

	memcpy(*at, s.p, s.n);
	*at += s.n;
	return kept;
}

int digest_proof_new(struct digest_proof **out, const struct digest_input *in, struct str next)
{
	struct digest_proof *p = calloc(1, sizeof(*p) + in->nonce.n + in->nc.n + in->cnonce.n + in->qop.n + in->uri.n);
	char *at = p ? p->texts : NULL;

	if (!p || str_copy(in->ha1, p->ha1, sizeof(p->ha1)) != 0 || (next.n && !(p->next = str_dup(next)))) {
		free(p);
		return -ENOMEM;
	}
	p->in = (struct digest_input){ .alg = in->alg, .is_sess = in->is_sess, .ha1 = str_from(p->ha1) };
	p->in.nonce = keep(&at, in->nonce);
	p->in.nc = keep(&at, in->nc);
	p->in.cnonce = keep(&at, in->cnonce);
	p->in.qop = keep(&at, in->qop);
	p->in.uri = keep(&at, in->uri);
	*out = p;
	return 0;
}

void digest_proof_free(struct digest_proof *p)
{
	if (!p)
		return;
	free(p->next);
	free(p);
}

void digest_info_write(struct out *o, const struct digest_input *in, const char *proof, struct str next)
{
	out_z(o, "Authentication-Info: rspauth=\"");
	out_z(o, proof);
	out_z(o, "\", cnonce=\"");
	out_str(o, in->cnonce);
	out_z(o, "\", nc=");
	out_str(o, in->nc);
	out_z(o, str_ieqz(in->qop, "auth-int") ? ", qop=auth-int" : ", qop=auth");
	out_str(o, next);
	out_z(o, "\r\n");
}

void digest_proof_print(const struct digest_proof *p, struct out *o, struct str body)
{
	struct digest_input in = p->in;
	char proof[DIGEST_HEX_MAX];
	struct digest_engine e;

	if (digest_engine_init(&e) != 0)
		return;
	in.body = body;
	if (digest_engine_response(&e, &in, proof) == 0)
		digest_info_write(o, &in, proof, str_from(p->next));
	digest_engine_fini(&e);
}
