/* sessid.c - reads and writes Session-ID. */
#include "sip/sessid.h"

static bool take_uuid(struct str s, char uuid[SESSID_LEN + 1])
{
	if (s.n != SESSID_LEN)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c >= 'A' && c <= 'F')
			c |= 0x20;
		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
		uuid[i] = c;
	}
	uuid[SESSID_LEN] = '\0';
	return true;
}

void sessid_make(struct rng *rng, char uuid[SESSID_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[SESSID_LEN / 2];

	rng_fill(rng, bytes, sizeof(bytes));
	bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40); /* RFC 9562 §5.4: version 4, variant 10 */
	bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		uuid[2 * i] = digits[bytes[i] >> 4];
		uuid[2 * i + 1] = digits[bytes[i] & 15];
	}
	uuid[SESSID_LEN] = '\0';
}

bool sessid_of(const struct sip_msg *m, char sender[SESSID_LEN + 1], char receiver[SESSID_LEN + 1])
{
	struct str token, params, remote;

	if (!sip_msg_has(m, SIP_HDR_SESSION_ID))
		return false;
	sip_token_params(sip_msg_value(m, SIP_HDR_SESSION_ID), &token, &params);
	if (!take_uuid(token, sender))
		return false;
	if (!sip_param_find(params, "remote", &remote) || !take_uuid(remote, receiver))
		receiver[0] = '\0';
	return true;
}

void sessid_print(struct out *o, const char *sender, const char *receiver)
{
	out_z(o, "Session-ID: ");
	out_mem(o, sender, SESSID_LEN);
	out_z(o, ";remote=");
	out_mem(o, receiver, SESSID_LEN);
	out_mem(o, "\r\n", 2);
}
