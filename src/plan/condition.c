/* condition.c - conditions of steps and ${...} in their arguments: pure text work, the same as pbx.condition_valid() and
 * pbx.substitute() do in SQL. */
#include <errno.h>

#include "base/out.h"
#include "plan/pattern.h"
#include "plan/plan.h"

static bool is_name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_name_char(s.p[i], i == 0))
			return false;
	return s.n > 0;
}

/* ---- conditions ---- */

static size_t skip_spaces(struct str *s)
{
	size_t n = 0;

	while (n < s->n && s->p[n] == ' ')
		n++;
	*s = str_from_at(*s, n);
	return n;
}

/* Cuts what has none of these characters. */
static struct str cut_word(struct str *s, const char *ends)
{
	struct str word = *s;

	word.n = 0;
	while (word.n < s->n && !strchr(ends, s->p[word.n]))
		word.n++;
	*s = str_from_at(*s, word.n);
	return word;
}

struct term {
	struct str name;
	bool is_not;
	struct str values;       /* with commas and spaces between them, checked */
};

static int parse_values(struct str *rest, struct str *values)
{
	*values = *rest;
	for (;;) {
		skip_spaces(rest);
		if (!cut_word(rest, " ,=!").n)
			return -EINVAL;
		values->n = (size_t)(rest->p - values->p);
		skip_spaces(rest);
		if (!rest->n || rest->p[0] != ',')
			return 0;
		*rest = str_from_at(*rest, 1);
	}
}

/* name [!]= value {, value} */
static int parse_term(struct str *rest, struct term *t)
{
	skip_spaces(rest);
	t->name = cut_word(rest, " =!");
	for (size_t i = 0; i < t->name.n; i++)
		if (t->name.p[i] >= 'A' && t->name.p[i] <= 'Z')
			return -EINVAL;
	skip_spaces(rest);
	t->is_not = rest->n && rest->p[0] == '!';
	*rest = str_from_at(*rest, t->is_not);
	if (!is_name(t->name) || !rest->n || rest->p[0] != '=')
		return -EINVAL;
	*rest = str_from_at(*rest, 1);
	return parse_values(rest, &t->values);
}

/* Moves behind "and"; false at the end. -EINVAL for anything else is told by leaving it there. */
static bool skip_and(struct str *rest)
{
	struct str s = *rest;

	/* The space before it is behind the last value, and skipped. */
	if (!str_starts(s, STR("and ")) || s.p[-1] != ' ')
		return false;
	*rest = str_from_at(s, 4);
	return true;
}

static bool is_one_of(struct str value, struct str list)
{
	while (list.p) {
		struct str one = str_trim(str_cut(&list, ','));

		if (one.p[0] == '_' ? pattern_match(one, value) : str_eq(one, value))
			return true;
	}
	return false;
}

/* Valid, and true of these variables; vars NULL: is it valid? */
static bool holds(const char *condition, plan_var_fn *vars, void *arg)
{
	struct str rest = str_from(condition);
	bool all = true;
	struct term t;

	do {
		if (parse_term(&rest, &t) != 0)
			return false;
		if (vars && is_one_of(vars(t.name, arg), t.values) == t.is_not)
			all = false;
	} while (skip_and(&rest));
	return all && !rest.n;
}

bool plan_condition_holds(const char *condition, plan_var_fn *vars, void *arg)
{
	return holds(condition, vars, arg);
}

bool plan_condition_is_valid(const char *condition)
{
	return holds(condition, NULL, NULL);
}

/* ---- ${...} ---- */

static int to_count(struct str s, uint32_t *out)
{
	return s.n > 4 ? -EINVAL : str_to_u32(s, 9999, out);
}

/* Bytes of the first n characters of UTF-8; bytes that aren't any count one each. */
static size_t chars_len(struct str s, uint32_t n)
{
	size_t i = 0;

	for (; n && i < s.n; n--)
		for (i++; i < s.n && ((unsigned char)s.p[i] & 0xc0) == 0x80; i++) {
		}
	return i;
}

/* offset[:length], in characters */
static int cut_value(struct str spec, struct str *value)
{
	struct str length = spec, offset = str_cut(&length, ':');
	uint32_t from, n = UINT32_MAX;

	if (to_count(offset, &from) != 0 || (length.p && to_count(length, &n) != 0))
		return -EINVAL;
	*value = str_from_at(*value, chars_len(*value, from));
	value->n = chars_len(*value, n);
	return 0;
}

/* The inside of ${...}. -EINVAL: not a variable, stands as it is. */
static int expand(struct str inside, plan_var_fn *vars, void *arg, struct out *o)
{
	struct str spec = inside, name = str_cut(&spec, ':'), value;

	if (!is_name(name))
		return -EINVAL;
	value = vars(name, arg);
	/* ":-" is a default, also when a number follows. */
	if (spec.p && spec.n && spec.p[0] == '-') {
		if (!value.n)
			value = str_from_at(spec, 1);
	} else if (spec.p && cut_value(spec, &value) != 0) {
		return -EINVAL;
	}
	out_str(o, value);
	return 0;
}

int plan_substitute(const char *text, plan_var_fn *vars, void *arg, char *buf, size_t size)
{
	struct str rest = str_from(text);
	struct out o;

	out_init(&o, buf, size);
	while (rest.n) {
		ptrdiff_t end;

		if (rest.n > 2 && rest.p[0] == '$' && rest.p[1] == '{' && (end = str_find_chr(rest, '}')) > 0 &&
		    expand((struct str){ rest.p + 2, (size_t)end - 2 }, vars, arg, &o) == 0) {
			rest = str_from_at(rest, (size_t)end + 1);
			continue;
		}
		out_chr(&o, rest.p[0]);
		rest = str_from_at(rest, 1);
	}
	out_chr(&o, '\0');
	return out_ok(&o) ? 0 : -ENOSPC;
}
