/* digit_info.c - digits in the bodies of INFO (see digit_info.h).
 */
#include "call/digit_info.h"

#include <string.h>

static char digit_of(struct str signal)
{
	uint32_t event;

	if (signal.n == 1 && signal.p[0] >= 'a' && signal.p[0] <= 'd')
		return (char)(signal.p[0] - 'a' + 'A');
	if (signal.n == 1 && signal.p[0] && strchr("0123456789*#ABCD", signal.p[0]))
		return signal.p[0];
	if (signal.n == 2 && str_to_u32(signal, 15, &event) == 0 && event >= 10)
		return "*#ABCD"[event - 10];
	return '\0';
}

char digit_info_take(const struct sip_msg *m, uint32_t *duration_ms)
{
	struct str type, params, rest = m->body, signal = STR_NULL;

	*duration_ms = DIGIT_INFO_MS;
	sip_token_params(sip_msg_value(m, SIP_HDR_CONTENT_TYPE), &type, &params);
	if (str_ieqz(type, "application/dtmf"))
		return digit_of(str_trim(m->body));
	if (!str_ieqz(type, "application/dtmf-relay"))
		return '\0';
	while (rest.p) {
		struct str line = str_cut(&rest, '\n'), name = str_trim(str_cut(&line, '='));

		if (str_ieqz(name, "Signal"))
			signal = str_trim(line);
		else if (str_ieqz(name, "Duration"))
			str_to_u32(str_trim(line), 10000, duration_ms);
	}
	return digit_of(signal);
}

const char *digit_info_print(struct out *o, char digit, uint32_t duration_ms, bool is_plain)
{
	if (is_plain) {
		out_chr(o, digit);
		return "application/dtmf";
	}
	out_fmt(o, "Signal=%c\r\nDuration=%u\r\n", digit, duration_ms);
	return "application/dtmf-relay";
}
