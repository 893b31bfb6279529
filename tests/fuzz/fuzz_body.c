/* fuzz_body.c - libFuzzer target on bodies: the first line is the Content-Type, the second a Content-Disposition, the rest the body.
 *
 * Every part lies inside the body, each behind the one before; there are no more of them than there are lines; and the description that
 * is found is one of them.
 */
#include <assert.h>
#include <stdlib.h>

#include "sip/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *message_of(struct str type, struct str disposition, struct str body, size_t *len)
{
	struct out o;
	char *exact = NULL;

	out_init_grow(&o, 65536);
	out_z(&o, "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKx\r\nFrom: <sip:d@e>;tag=f\r\nTo: <sip:a@b>\r\n"
		  "Call-ID: g\r\nCSeq: 1 INVITE\r\nContent-Type: ");
	out_str(&o, type);
	out_z(&o, "\r\nContent-Disposition: ");
	out_str(&o, disposition);
	out_z(&o, "\r\n\r\n");
	out_str(&o, body);
	*len = o.len;
	if (out_ok(&o))
		exact = memcpy(malloc(o.len), o.p, o.len); /* of exactly this size, so that a byte read too far is caught */
	out_fini(&o);
	return exact;
}

static void check(const struct sip_msg *m)
{
	const char *end = m->body.p;
	struct sip_part_iter it = { 0 };
	struct sip_part p;
	size_t n = 0;
	struct str sdp = sip_msg_part(m, "application/sdp");
	bool is_one_of_them = !sdp.n;

	while (sip_part_next(m, &it, &p)) {
		if (p.content.n) {
			assert(p.content.p >= end && p.content.p + p.content.n <= m->body.p + m->body.n);
			end = p.content.p + p.content.n;
		}
		is_one_of_them |= p.content.p == sdp.p;
		assert(++n <= m->body.n + 1);
	}
	assert(is_one_of_them);
	assert(!sip_part_next(m, &it, &p));
	sip_msg_must_understand(m, "application/sdp");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = { (const char *)data, size }, type = str_cut(&rest, '\n'), disposition = str_cut(&rest, '\n');
	struct sip_msg_error err;
	struct sip_msg m;
	size_t len;
	char *text = message_of(type, disposition, rest, &len);

	if (text && sip_msg_parse(&m, text, len, &err) == 0)
		check(&m);
	free(text);
	return 0;
}
