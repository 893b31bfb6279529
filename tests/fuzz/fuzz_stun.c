/* fuzz_stun.c - libFuzzer target on keep-alives by STUN: the first byte chooses the address it comes from.
 *
 * An answer is a response of the same transaction, of the length it says, with the address in it, and none to itself.
 */
#include <assert.h>
#include <stdlib.h>

#include "sip/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(const unsigned char *answer, const union sockaddr_any *from)
{
	const unsigned char *a = answer + 20;
	bool is_v6 = from->sa.sa_family == AF_INET6;
	const unsigned char *host = is_v6 ? from->v6.sin6_addr.s6_addr : (const unsigned char *)&from->v4.sin_addr;

	assert(a[0] == 0 && a[1] == 0x20 && a[3] == (is_v6 ? 20 : 8) && a[5] == (is_v6 ? 2 : 1));
	assert((((unsigned)a[6] << 8 | a[7]) ^ 0x2112) == sockaddr_port(from));
	for (unsigned i = 0; i < (is_v6 ? 16 : 4); i++)
		assert((a[8 + i] ^ answer[4 + i]) == host[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const hosts[] = { "192.0.2.1", "2001:db8::1", "255.255.255.255", "::" };
	char answer[STUN_ANSWER_MAX], second[STUN_ANSWER_MAX], *copy;
	const unsigned char *p = (const unsigned char *)answer;
	union sockaddr_any from;
	size_t n;

	if (!size)
		return 0;
	sockaddr_parse(&from, str_from(hosts[data[0] % 4]), (uint16_t)(data[0] * 257u));
	copy = malloc(size); /* of exactly this size, so that a byte read too far is caught */
	memcpy(copy, data + 1, size - 1);
	copy = realloc(copy, size > 1 ? size - 1 : 1);
	n = stun_answer(copy, size - 1, &from, answer);
	if (n) {
		assert(stun_is(copy, size - 1) && stun_is(answer, n) && n >= 20 && n <= sizeof(answer) && n % 4 == 0);
		assert(((unsigned)p[2] << 8 | p[3]) == n - 20 && !memcmp(answer + 4, copy + 4, 16));
		assert(p[0] == 1 && (p[1] == 0x01 || p[1] == 0x11));
		assert(stun_answer(answer, n, &from, second) == 0);
		if (p[1] == 0x01)
			check_address(p, &from);
	}
	free(copy);
	return 0;
}
