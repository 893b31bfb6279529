/* fuzz_ice.c - libFuzzer target on checks of ICE: a series of datagrams, some by who knows the password, from a few addresses, as time goes by.
 *
 * Of each, the first byte says how it is made, the second how long its attributes are. An answer is one to that request, by us; only who knows
 * the password is known, and chosen; without consent nobody is.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/stun_msg.h"
#include "media/ice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ice_credentials ours[] = {
	{ "aaaabbbb", "0123456789abcdefghijklmnop" }, { "ccccdddd", "ponmlkjihgfedcba9876543210" },
};

#define ID "0123456789ab"
#define NHOSTS 16

enum how { SIGNED = 1, NAMED = 2, RTCP = 4, RAW = 8 }; /* and the address in the upper four bits */

static struct addr address(unsigned i)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	a.v4.sin_family = AF_INET;
	a.v4.sin_addr.s_addr = htonl(0xc0000201u + i);
	a.v4.sin_port = htons((uint16_t)(1000 + i));
	return a;
}

/* Returns its length. */
static size_t make(uint8_t *bytes, size_t size, unsigned how, const struct ice_credentials *by, const uint8_t *attrs, size_t n)
{
	struct stun_out o;

	if (how & RAW) {
		memcpy(bytes, attrs, n);
		return n;
	}
	stun_begin(&o, bytes, size, STUN_BINDING_REQUEST, ID);
	memcpy(o.p + o.len, attrs, n / 4 * 4);
	o.len += n / 4 * 4;
	if (how & SIGNED) {
		char username[ICE_UFRAG_LEN + 3];

		memcpy(username, by->ufrag, ICE_UFRAG_LEN);
		memcpy(username + ICE_UFRAG_LEN, ":p", 3);
		stun_add(&o, STUN_USERNAME, username, ICE_UFRAG_LEN + 2);
		if (how & NAMED)
			stun_add(&o, STUN_USE_CANDIDATE, NULL, 0);
		stun_add_integrity(&o, str_from(by->pwd));
	}
	stun_add_fingerprint(&o);
	return o.len;
}

static void check_answer(const struct ice_answer *a, const struct addr *from, enum ice_verdict verdict)
{
	struct sockaddr_storage mapped;
	struct addr got;
	struct stun_msg m;

	assert(stun_msg_parse(&m, a->bytes, a->len) == 0 && m.has_fingerprint);
	assert(m.type == (verdict == ICE_REFUSED ? STUN_BINDING_ERROR : STUN_BINDING_SUCCESS));
	if (verdict == ICE_REFUSED)
		return;
	assert((stun_msg_is_by(&m, str_from(ours[0].pwd)) || stun_msg_is_by(&m, str_from(ours[1].pwd))) && stun_msg_mapped(&m, &mapped));
	addr_from_sockaddr(&got, (struct sockaddr *)&mapped);
	assert(addr_eq(&got, from));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ice *ice = ice_new(&ours[0]), *other = ice_new(&ours[1]);
	unsigned generation = 0;
	bool is_known[NHOSTS] = { false };
	uint64_t now_ms = 1000;

	while (ice && other && size >= 3) {
		unsigned how = data[0], host = how >> 4, n = data[1];
		struct addr from = address(host);
		struct ice_answer answer;
		uint8_t bytes[512], *copy;
		enum ice_verdict verdict;
		uint32_t left_ms;
		size_t len;

		now_ms += (uint64_t)data[2] * data[2];
		if (data[2] == 255 && !generation) {
			ice_renew(ice, other, now_ms);
			generation = 1;
		}
		data += 3;
		size -= 3;
		if (n > size)
			n = (unsigned)size;
		len = make(bytes, sizeof(bytes), how, &ours[generation], data, n);
		data += n;
		size -= n;
		copy = malloc(len ? len : 1); /* of exactly this size, so that a byte read too far is caught */
		memcpy(copy, bytes, len);
		verdict = ice_packet(ice, how & RTCP ? ICE_RTCP : ICE_RTP, copy, len, &from, now_ms, &answer);
		free(copy);
		assert((answer.len > 0) == (verdict != ICE_IGNORED));
		if (answer.len)
			check_answer(&answer, &from, verdict);
		if (verdict == ICE_CHECKED || verdict == ICE_CHOSEN) {
			assert((how & SIGNED) && !(how & RAW));
			is_known[host] = true;
		}
		if (verdict == ICE_CHOSEN && !(how & RTCP))
			assert(addr_eq(ice_target(ice, ICE_RTP), &from));
		for (unsigned i = 0; i < NHOSTS; i++) {
			struct addr a = address(i);

			assert(is_known[i] || !ice_knows(ice, &a));
			assert(is_known[i] || !ice_target(ice, ICE_RTP) || !addr_eq(ice_target(ice, ICE_RTP), &a));
		}
		if (ice_expire(ice, 0, now_ms, &left_ms))
			assert(!ice_target(ice, ICE_RTP) && !ice_target(ice, ICE_RTCP));
		assert(left_ms > 0 && left_ms <= ICE_CONSENT_MS);
	}
	ice_free(ice);
	ice_free(other);
	return 0;
}
