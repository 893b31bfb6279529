/* condition.c - conditions of steps and ${...} in their arguments: pure text work, the same as pbx.condition_valid() and
 * pbx.substitute() do in SQL. */
#include <ctype.h>
#include <errno.h>

#include "base/out.h"
#include "plan/pattern.h"
#include "plan/plan.h"
#include "sip/uri.h"

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

#define SCHEDULE_MAX 80

/* Is one of these schedules open? Each is a variable of its own, "schedule:day". */
static bool is_any_open(struct str list, plan_var_fn *vars, void *arg)
{
	while (list.p) {
		struct str one = str_trim(str_cut(&list, ','));
		char name[SCHEDULE_MAX];
		int n = str_join(name, sizeof(name), "schedule", ':', one);

		if (n > 0 && str_eqz(vars((struct str){ name, (size_t)n }, arg), "open"))
			return true;
	}
	return false;
}

static bool is_true(const struct term *t, plan_var_fn *vars, void *arg)
{
	bool is = str_eqz(t->name, "schedule") ? is_any_open(t->values, vars, arg) : is_one_of(vars(t->name, arg), t->values);

	return is != t->is_not;
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
		if (vars && !is_true(&t, vars, arg))
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

/* What stands around a variable decides what its value may do there. */
enum place { IN_TEXT, IN_MEMBER, IN_USER, IN_HOST, IN_PATH };

struct filling {
	plan_var_fn *vars;
	void *arg;
	struct out *o;
	enum place place;
	bool has_value, is_refused; /* a variable had one, one may not stand where it would */
};

static bool may_stand(struct str value, enum place place)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if ((place == IN_MEMBER && c == '&') || (place == IN_PATH && (c == '/' || c == '&')) ||
		    (place == IN_HOST && !isalnum(c) && !strchr(".-:[]", c)))
			return false;
	}
	return true;
}

static void put(struct filling *f, struct str value)
{
	f->has_value = f->has_value || value.n;
	f->is_refused = f->is_refused || !may_stand(value, f->place);
	if (f->place == IN_USER)
		for (size_t i = 0; i < value.n; i++) {
			/* RFC 3261 §25.1 lets a user part have '&', a list doesn't. */
			if (value.p[i] == '&')
				out_z(f->o, "%26");
			else
				sip_escape_user(f->o, (struct str){ value.p + i, 1 });
		}
	else
		out_str(f->o, value);
}

/* The inside of ${...}. -EINVAL: not a variable, stands as it is. */
static int expand(struct filling *f, struct str inside)
{
	struct str spec = inside, name = str_cut(&spec, ':'), value;

	if (!is_name(name))
		return -EINVAL;
	value = f->vars(name, f->arg);
	/* ":-" is a default, also when a number follows. */
	if (spec.p && spec.n && spec.p[0] == '-') {
		if (!value.n) {
			out_str(f->o, str_from_at(spec, 1));
			return 0;
		}
	} else if (spec.p && cut_value(spec, &value) != 0) {
		return -EINVAL;
	}
	put(f, value);
	return 0;
}

/* How many bytes the ${...} at the front of s has; 0: there is none. */
static size_t variable_len(struct str s)
{
	ptrdiff_t end = s.n > 2 && s.p[0] == '$' && s.p[1] == '{' ? str_find_chr(s, '}') : 0;

	return end > 0 ? (size_t)end + 1 : 0;
}

static void fill(struct filling *f, struct str rest)
{
	while (rest.n) {
		size_t n = variable_len(rest);

		if (n && expand(f, (struct str){ rest.p + 2, n - 3 }) == 0) {
			rest = str_from_at(rest, n);
			continue;
		}
		if (f->place == IN_USER && rest.p[0] == '@')
			f->place = IN_HOST;
		out_chr(f->o, rest.p[0]);
		rest = str_from_at(rest, 1);
	}
}

int plan_substitute(const char *text, plan_var_fn *vars, void *arg, char *buf, size_t size)
{
	struct out o;

	out_init(&o, buf, size);
	fill(&(struct filling){ .vars = vars, .arg = arg, .o = &o }, str_from(text));
	out_chr(&o, '\0');
	return out_ok(&o) ? 0 : -ENOSPC;
}

/* ---- lists ---- */

enum kind { A_NAME, A_URI, A_FILE };

static enum kind kind_of(struct str member)
{
	if (str_istarts(member, STR("sip:")) || str_istarts(member, STR("sips:")))
		return A_URI;
	return member.n && member.p[0] == '/' ? A_FILE : A_NAME;
}

static enum place place_in(struct str member)
{
	switch (kind_of(member)) {
	case A_URI:
		return memchr(member.p, '@', member.n) ? IN_USER : IN_HOST;
	case A_FILE:
		return IN_PATH;
	case A_NAME:
		break;
	}
	return IN_MEMBER;
}

/* Up to the next '&'; one in the default of a variable is behind that. */
static struct str next_member(struct str *rest)
{
	struct str member = *rest;
	size_t n = 0;

	while (n < member.n && member.p[n] != '&') {
		size_t of_variable = variable_len(str_from_at(member, n));

		n += of_variable ? of_variable : 1;
	}
	*rest = n < member.n ? str_from_at(member, n + 1) : STR_NULL;
	member.n = n;
	return member;
}

int plan_substitute_list(const char *text, plan_var_fn *vars, void *arg, char *buf, size_t size)
{
	struct str rest = str_from(text), made;
	int nrefused = 0;
	struct out o;

	out_init(&o, buf, size);
	while (rest.p) {
		struct str member = next_member(&rest);
		struct filling f = { .vars = vars, .arg = arg, .o = &o, .place = place_in(member) };
		size_t begin = o.len, from;

		if (begin)
			out_chr(&o, '&');
		from = o.len;
		fill(&f, member);
		made = out_ok(&o) ? (struct str){ buf + from, o.len - from } : STR_NULL;
		if (f.is_refused || (f.has_value && kind_of(made) != kind_of(member))) {
			o.len = begin;
			nrefused++;
		}
	}
	out_chr(&o, '\0');
	return out_ok(&o) ? nrefused : -ENOSPC;
}
