/* condition.c - conditions of steps and ${...} in their arguments: pure text work, the same as pbx.condition_valid() and
 * pbx.substitute() do in SQL. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

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

/* Cuts a term at the next " and ". */
static struct str next_term(struct str *rest)
{
	struct str all = *rest;

	for (size_t i = 0; i + 5 <= all.n; i++)
		if (!memcmp(all.p + i, " and ", 5)) {
			*rest = str_from_at(all, i + 5);
			return str_trim((struct str){ all.p, i });
		}
	*rest = STR_NULL;
	return str_trim(all);
}

static int parse_term(struct str term, struct str *name, bool *is_not, struct str *values)
{
	ptrdiff_t eq = str_find_chr(term, '=');

	if (eq <= 0)
		return -EINVAL;
	*is_not = term.p[eq - 1] == '!';
	*name = str_trim((struct str){ term.p, (size_t)eq - *is_not });
	*values = str_trim(str_from_at(term, (size_t)eq + 1));
	return is_name(*name) && values->n ? 0 : -EINVAL;
}

static bool is_one_of(struct str value, struct str list)
{
	while (list.p) {
		struct str one = str_trim(str_cut(&list, ','));

		if (one.n && (one.p[0] == '_' ? pattern_match(one, value) : str_eq(one, value)))
			return true;
	}
	return false;
}

bool plan_condition_holds(const char *condition, plan_var_fn *vars, void *arg)
{
	struct str rest = str_from(condition), name, values;
	bool is_not;

	while (rest.p) {
		struct str term = next_term(&rest);

		if (parse_term(term, &name, &is_not, &values) != 0 || is_one_of(vars(name, arg), values) == is_not)
			return false;
	}
	return true;
}

static bool values_are_valid(struct str list)
{
	while (list.p) {
		struct str one = str_trim(str_cut(&list, ','));

		if (!one.n)
			return false;
		for (size_t i = 0; i < one.n; i++)
			if (strchr(" =!", one.p[i]))
				return false;
	}
	return true;
}

bool plan_condition_is_valid(const char *condition)
{
	struct str rest = str_from(condition), name, values;
	bool is_not;

	while (rest.p) {
		struct str term = next_term(&rest);

		if (parse_term(term, &name, &is_not, &values) != 0 || !values_are_valid(values))
			return false;
	}
	return true;
}

/* ---- ${...} ---- */

static int to_int(struct str s, long *out)
{
	char buf[8], *end;

	if (!s.n || str_copy(s, buf, sizeof(buf)) != 0)
		return -EINVAL;
	*out = strtol(buf, &end, 10);
	return *end || buf[0] == '+' || buf[0] == ' ' ? -EINVAL : 0;
}

/* offset[:length] */
static int cut_value(struct str spec, struct str *value)
{
	struct str length = spec, offset = str_cut(&length, ':');
	long from, n = LONG_MAX;

	if (to_int(offset, &from) != 0 || (length.p && (to_int(length, &n) != 0 || n < 0)))
		return -EINVAL;
	*value = str_from_at(*value, from > 0 ? (size_t)from : 0);
	if ((unsigned long)n < value->n)
		value->n = (size_t)n;
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
