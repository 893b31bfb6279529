/* stun.c - one kind of request, without credentials: where does it come from? The answer is hardly longer than the request, so
 * that nobody gains by asking in another's name.
 */
#include "sip/stun.h"

#include <errno.h>

#define CLASS_ANSWER 0x0100          /* success and error have this bit, requests and indications don't */

_Static_assert(STUN_REQUEST_LEN == STUN_HEADER_LEN, "a request is a header");

bool stun_is(const char *bytes, size_t n)
{
	return stun_msg_is(bytes, n);
}

size_t stun_answer(const char *bytes, size_t n, const union sockaddr_any *from, char answer[STUN_ANSWER_MAX])
{
	struct stun_msg m;
	struct stun_out o;

	if (stun_msg_parse(&m, bytes, n) != 0 || m.type != STUN_BINDING_REQUEST)
		return 0;
	stun_begin(&o, answer, STUN_ANSWER_MAX, m.nunknown ? STUN_BINDING_ERROR : STUN_BINDING_SUCCESS, m.id);
	if (m.nunknown) {
		stun_add_error(&o, 420, "");
		stun_add_unknown(&o, &m);
	} else {
		stun_add_address(&o, &from->sa);
	}
	if (m.has_fingerprint)
		stun_add_fingerprint(&o);
	return o.len;
}

/* ---- asking ---- */

bool stun_is_answer(const char *bytes, size_t n)
{
	return stun_msg_is(bytes, n) && (bytes[0] & CLASS_ANSWER >> 8);
}

void stun_request(const char id[STUN_ID_LEN], char request[STUN_REQUEST_LEN])
{
	struct stun_out o;

	stun_begin(&o, request, STUN_REQUEST_LEN, STUN_BINDING_REQUEST, id);
}

int stun_read_answer(const char *bytes, size_t n, const char id[STUN_ID_LEN], union sockaddr_any *mapped)
{
	struct sockaddr_storage found;
	struct stun_msg m;

	*mapped = (union sockaddr_any){ .sa.sa_family = 0 };
	if (stun_msg_parse(&m, bytes, n) != 0)
		return -EINVAL;
	if ((m.type != STUN_BINDING_SUCCESS && m.type != STUN_BINDING_ERROR) || memcmp(m.id, id, STUN_ID_LEN) != 0)
		return -ENOENT;
	if (m.type == STUN_BINDING_SUCCESS && stun_msg_mapped(&m, &found))
		memcpy(mapped, &found, sizeof(*mapped));
	return 0;
}
