/* member.h - members of a JSON object, as records are made of them: name, value, comma. Who ends the object takes the last comma off.
 *
 * Pure. Thread: any.
 */
#pragma once

#include "base/out.h"

/* A member's name as it is written. */
#define KEY(name) STR("\"" name "\":")

/* Text as a JSON string, with its quotes. What isn't UTF-8 becomes '?': jsonb takes nothing else. */
void member_print_text(struct out *o, const char *z);

static inline void member_int(struct out *o, struct str key, int64_t v)
{
	out_str(o, key);
	out_i64(o, v);
	out_chr(o, ',');
}

/* NULL and "": null. */
static inline void member_str(struct out *o, struct str key, const char *value)
{
	out_str(o, key);
	if (value && value[0])
		member_print_text(o, value);
	else
		out_z(o, "null");
	out_chr(o, ',');
}

/* 0 is "never": NULL. */
static inline void member_time(struct out *o, struct str key, int64_t ms)
{
	if (ms)
		member_int(o, key, ms);
}

/* Of hundredths; 0 is "unknown": NULL. */
static inline void member_hundredths(struct out *o, struct str key, unsigned v)
{
	if (!v)
		return;
	out_str(o, key);
	out_u64(o, v / 100);
	out_chr(o, '.');
	out_chr(o, (char)('0' + v / 10 % 10));
	out_chr(o, (char)('0' + v % 10));
	out_chr(o, ',');
}
