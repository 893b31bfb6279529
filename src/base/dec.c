/* dec.c - counts the digits first, so that each is written once, from behind and two at a time: half the divisions. */
#include "base/dec.h"

const char dec_pairs[] =
	"0001020304050607080910111213141516171819"
	"2021222324252627282930313233343536373839"
	"4041424344454647484950515253545556575859"
	"6061626364656667686970717273747576777879"
	"8081828384858687888990919293949596979899";

char *dec_put_long(char *at, uint64_t v)
{
	unsigned n = 3;
	uint64_t limit = 1000;
	char *end;

	while (n < DEC_MAX && v >= limit) {
		n++;
		limit *= 10; /* wraps behind the last digit, where n ends it */
	}
	end = at + n;
	for (at = end; v >= 100; v /= 100)
		memcpy(at -= 2, dec_pairs + 2 * (v % 100), 2);
	if (v >= 10)
		memcpy(at - 2, dec_pairs + 2 * v, 2);
	else
		at[-1] = (char)('0' + v);
	return end;
}
