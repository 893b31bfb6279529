/* match.c - find, match, gmatch and gsub, by the manual of Lua 5.4 (§6.4.1), which can be interrupted.
 *
 * The library's own may take longer than the universe with a few dozen characters, and no hook is called meanwhile. These count what
 * they do as instructions. A pattern is walked item by item; an item is what one character may be, and how often.
 */
#include <ctype.h>
#include <string.h>

#include "script/script_int.h"

#define CAPTURES_MAX 32
#define DEPTH_MAX 200                /* of items that may yet be tried in another way, on the stack */
#define STEPS_COUNTED 128            /* at once */

enum { OPEN = -1, PLACE = -2 };      /* lengths of a capture */

struct capture { const char *from; ptrdiff_t n; };

struct matcher {
	lua_State *L;
	const char *text, *end;      /* the subject */
	const char *pattern_end;
	unsigned ncaptures, depth, steps;
	struct capture captures[CAPTURES_MAX];
};

static const char *match_rest(struct matcher *m, const char *at, const char *p);

static void step(struct matcher *m)
{
	if (++m->steps % STEPS_COUNTED == 0)
		script_spend(m->L, STEPS_COUNTED / 4);
}

/* ---- one character ---- */

/* Where the item that begins at p ends. */
static const char *item_end(struct matcher *m, const char *p)
{
	if (*p == '%') {
		if (p + 1 == m->pattern_end)
			luaL_error(m->L, "malformed pattern (ends with '%%')");
		return p + 2;
	}
	if (*p++ != '[')
		return p;
	if (p < m->pattern_end && *p == '^')
		p++;
	/* A ']' that comes first is one of the set. */
	for (bool is_first = true; is_first || p >= m->pattern_end || *p != ']'; is_first = false) {
		if (p >= m->pattern_end || (*p == '%' && p + 1 >= m->pattern_end))
			luaL_error(m->L, "malformed pattern (missing ']')");
		p += *p == '%' ? 2 : 1;
	}
	return p + 1;
}

static bool is_of_class(unsigned char c, char class)
{
	bool is;

	switch (tolower((unsigned char)class)) {
	case 'a': is = isalpha(c); break;
	case 'c': is = iscntrl(c); break;
	case 'd': is = isdigit(c); break;
	case 'g': is = isgraph(c); break;
	case 'l': is = islower(c); break;
	case 'p': is = ispunct(c); break;
	case 's': is = isspace(c); break;
	case 'u': is = isupper(c); break;
	case 'w': is = isalnum(c); break;
	case 'x': is = isxdigit(c); break;
	default: return (unsigned char)class == c;
	}
	return is != !!isupper((unsigned char)class);
}

/* p: at the '['; last: at the ']' that closes it. */
static bool is_in_set(unsigned char c, const char *p, const char *last)
{
	bool is_wanted = p[1] != '^';

	for (p += is_wanted ? 1 : 2; p < last; p++) {
		if (*p == '%') {
			if (is_of_class(c, *++p))
				return is_wanted;
		} else if (p + 2 < last && p[1] == '-') {
			if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2])
				return is_wanted;
			p += 2;
		} else if ((unsigned char)*p == c)
			return is_wanted;
	}
	return !is_wanted;
}

/* Is the character at `at` what the item from p to before next says? */
static bool is_one(struct matcher *m, const char *at, const char *p, const char *next)
{
	step(m);
	if (at >= m->end)
		return false;
	switch (*p) {
	case '.':
		return true;
	case '%':
		return is_of_class((unsigned char)*at, p[1]);
	case '[':
		return is_in_set((unsigned char)*at, p, next - 1);
	default:
		return *p == *at;
	}
}

/* ---- how often ---- */

static const char *match_most(struct matcher *m, const char *at, const char *p, const char *next, ptrdiff_t least)
{
	ptrdiff_t n = 0;

	while (is_one(m, at + n, p, next))
		n++;
	for (; n >= least; n--) {
		const char *end = match_rest(m, at + n, next + 1);

		if (end)
			return end;
	}
	return NULL;
}

static const char *match_least(struct matcher *m, const char *at, const char *p, const char *next)
{
	for (;; at++) {
		const char *end = match_rest(m, at, next + 1);

		if (end || !is_one(m, at, p, next))
			return end;
	}
}

/* ---- captures ---- */

static const char *match_open(struct matcher *m, const char *at, const char *p)
{
	bool is_place = p + 1 < m->pattern_end && p[1] == ')';
	const char *end;

	if (m->ncaptures == CAPTURES_MAX)
		luaL_error(m->L, "too many captures");
	m->captures[m->ncaptures++] = (struct capture){ at, is_place ? PLACE : OPEN };
	end = match_rest(m, at, p + (is_place ? 2 : 1));
	if (!end)
		m->ncaptures--;
	return end;
}

static const char *match_close(struct matcher *m, const char *at, const char *p)
{
	unsigned i = m->ncaptures;
	const char *end;

	while (i > 0 && m->captures[i - 1].n != OPEN)
		i--;
	if (!i)
		luaL_error(m->L, "invalid pattern capture");
	m->captures[i - 1].n = at - m->captures[i - 1].from;
	end = match_rest(m, at, p + 1);
	if (!end)
		m->captures[i - 1].n = OPEN;
	return end;
}

/* %1: what was captured, once more. NULL: it isn't there. */
static const char *match_again(struct matcher *m, const char *at, char digit)
{
	unsigned i = (unsigned)(digit - '1');
	const struct capture *c = &m->captures[i];

	if (digit == '0' || i >= m->ncaptures || c->n == OPEN)
		luaL_error(m->L, "invalid capture index %%%d", digit - '0');
	step(m);
	if (c->n < 0 || m->end - at < c->n)
		return NULL;
	script_spend(m->L, 1 + (uint64_t)c->n / 64);
	return memcmp(at, c->from, (size_t)c->n) ? NULL : at + c->n;
}

/* %bxy: from an x to the y that belongs to it. */
static const char *match_balance(struct matcher *m, const char *at, const char *p)
{
	size_t depth = 0;

	if (p + 3 >= m->pattern_end)
		luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
	if (at >= m->end || *at != p[2])
		return NULL;
	for (; at < m->end; at++) {
		step(m);
		if (*at == p[3] && depth == 1)
			return at + 1;
		depth += *at == p[3] ? (size_t)-1 : *at == p[2] ? 1 : 0;
	}
	return NULL;
}

/* %f[set]: between one that isn't of the set and one that is; the ends count as '\0'. */
static bool is_frontier(struct matcher *m, const char *at, const char *set, const char *next)
{
	unsigned char before = at == m->text ? '\0' : (unsigned char)at[-1], here = at < m->end ? (unsigned char)*at : '\0';

	return !is_in_set(before, set, next - 1) && is_in_set(here, set, next - 1);
}

/* ---- a whole pattern ---- */

/* From p on: where what fits ends, NULL if nothing does. Goes on in the same frame where there is but one way. */
static const char *match_items(struct matcher *m, const char *at, const char *p)
{
	while (p < m->pattern_end) {
		const char *next;

		step(m);
		if (*p == '(')
			return match_open(m, at, p);
		if (*p == ')')
			return match_close(m, at, p);
		if (*p == '$' && p + 1 == m->pattern_end)
			return at == m->end ? at : NULL;
		if (*p == '%' && p + 1 < m->pattern_end && strchr("bf0123456789", p[1]) && p[1]) {
			if (p[1] == 'b') {
				at = match_balance(m, at, p);
				p += 4;
			} else if (p[1] == 'f') {
				p += 2;
				if (p >= m->pattern_end || *p != '[')
					luaL_error(m->L, "missing '[' after '%%f' in pattern");
				next = item_end(m, p);
				at = is_frontier(m, at, p, next) ? at : NULL;
				p = next;
			} else {
				at = match_again(m, at, p[1]);
				p += 2;
			}
			if (!at)
				return NULL;
			continue;
		}
		next = item_end(m, p);
		switch (next < m->pattern_end ? *next : '\0') {
		case '*':
			return match_most(m, at, p, next, 0);
		case '+':
			return match_most(m, at, p, next, 1);
		case '-':
			return match_least(m, at, p, next);
		case '?': {
			const char *end = is_one(m, at, p, next) ? match_rest(m, at + 1, next + 1) : NULL;

			if (end)
				return end;
			p = next + 1;
			break;
		}
		default:
			if (!is_one(m, at, p, next))
				return NULL;
			at++;
			p = next;
		}
	}
	return at;
}

static const char *match_rest(struct matcher *m, const char *at, const char *p)
{
	const char *end;

	if (++m->depth > DEPTH_MAX)
		luaL_error(m->L, "pattern too complex");
	end = match_items(m, at, p);
	m->depth--;
	return end;
}

static void begin(struct matcher *m, lua_State *L, const char *text, size_t n, const char *pattern_end)
{
	m->L = L;
	m->text = text;
	m->end = text + n;
	m->pattern_end = pattern_end;
	m->steps = 0;
}

static const char *match_at(struct matcher *m, const char *at, const char *p)
{
	m->ncaptures = 0;
	m->depth = 0;
	return match_rest(m, at, p);
}

/* Capture i; without any the whole match is the first. */
static void push_capture(struct matcher *m, unsigned i, const char *from, const char *end)
{
	const struct capture *c = &m->captures[i];

	if (i >= m->ncaptures) {
		if (i)
			luaL_error(m->L, "invalid capture index %%%d", (int)i + 1);
		lua_pushlstring(m->L, from, (size_t)(end - from));
	} else if (c->n == PLACE)
		lua_pushinteger(m->L, c->from - m->text + 1);
	else if (c->n == OPEN)
		luaL_error(m->L, "unfinished capture");
	else
		lua_pushlstring(m->L, c->from, (size_t)c->n);
}

/* from NULL: not the whole match, if there are no captures. */
static int push_captures(struct matcher *m, const char *from, const char *end)
{
	unsigned n = m->ncaptures || !from ? m->ncaptures : 1;

	luaL_checkstack(m->L, (int)n, "too many captures");
	for (unsigned i = 0; i < n; i++)
		push_capture(m, i, from, end);
	return (int)n;
}

/* ---- the functions ---- */

/* Where to begin, from 0; more than n: nowhere. */
static size_t take_init(lua_State *L, int arg, size_t n)
{
	lua_Integer init = luaL_optinteger(L, arg, 1);

	if (init > 0)
		return (size_t)init - 1 > n ? n + 1 : (size_t)init - 1;
	return init == 0 || init < -(lua_Integer)n ? 0 : n - (size_t)-init;
}

static int find_plain(lua_State *L, const char *text, size_t n, size_t init, const char *what, size_t nwhat)
{
	const char *at;

	script_spend(L, 1 + (n - init) / 16);
	at = memmem(text + init, n - init, what, nwhat);
	if (!at) {
		lua_pushnil(L);
		return 1;
	}
	lua_pushinteger(L, at - text + 1);
	lua_pushinteger(L, at - text + (lua_Integer)nwhat);
	return 2;
}

static int find_or_match(lua_State *L, bool is_find)
{
	size_t n, np, init;
	const char *text = luaL_checklstring(L, 1, &n), *p = luaL_checklstring(L, 2, &np);
	bool is_anchored = np && *p == '^';
	struct matcher m;

	init = take_init(L, 3, n);
	if (init > n) {
		lua_pushnil(L);
		return 1;
	}
	if (is_find && lua_toboolean(L, 4))
		return find_plain(L, text, n, init, p, np);
	script_spend(L, 1);
	begin(&m, L, text, n, p + np);
	for (const char *at = text + init; at <= m.end; at++) {
		const char *end = match_at(&m, at, p + is_anchored);

		if (end && !is_find)
			return push_captures(&m, at, end);
		if (end) {
			lua_pushinteger(L, at - text + 1);
			lua_pushinteger(L, end - text);
			return push_captures(&m, NULL, NULL) + 2;
		}
		if (is_anchored)
			break;
	}
	lua_pushnil(L);
	return 1;
}

static int string_find(lua_State *L)
{
	return find_or_match(L, true);
}

static int string_match(lua_State *L)
{
	return find_or_match(L, false);
}

/* Upvalues: text, pattern, where to go on, where the last match ended (an empty one doesn't come there again). */
static int gmatch_next(lua_State *L)
{
	size_t n, np;
	const char *text = lua_tolstring(L, lua_upvalueindex(1), &n), *p = lua_tolstring(L, lua_upvalueindex(2), &np);
	lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
	struct matcher m;

	script_spend(L, 1);
	begin(&m, L, text, n, p + np);
	for (const char *at = text + lua_tointeger(L, lua_upvalueindex(3)); at <= m.end; at++) {
		const char *end = match_at(&m, at, p);

		if (end && end - text != last) {
			lua_pushinteger(L, end - text);
			lua_copy(L, -1, lua_upvalueindex(3));
			lua_replace(L, lua_upvalueindex(4));
			return push_captures(&m, at, end);
		}
	}
	return 0;
}

static int string_gmatch(lua_State *L)
{
	size_t n, init;

	luaL_checklstring(L, 1, &n);
	luaL_checkstring(L, 2);
	init = take_init(L, 3, n);
	lua_settop(L, 2);
	lua_pushinteger(L, (lua_Integer)init);
	lua_pushinteger(L, -1);
	lua_pushcclosure(L, gmatch_next, 4);
	return 1;
}

/* What stands for a match, as text with %0 to %9. */
static void add_text(struct matcher *m, luaL_Buffer *b, const char *from, const char *end)
{
	size_t n;
	const char *z = lua_tolstring(m->L, 3, &n);

	for (const char *stop = z + n; z < stop; z++) {
		if (*z != '%') {
			luaL_addchar(b, *z);
			continue;
		}
		if (++z == stop || (!isdigit((unsigned char)*z) && *z != '%'))
			luaL_error(m->L, "invalid use of '%%' in replacement string");
		if (*z == '%')
			luaL_addchar(b, '%');
		else if (*z == '0')
			luaL_addlstring(b, from, (size_t)(end - from));
		else {
			push_capture(m, (unsigned)(*z - '1'), from, end);
			luaL_tolstring(m->L, -1, NULL); /* a place is a number */
			lua_remove(m->L, -2);
			luaL_addvalue(b);
		}
	}
}

/* By a text, a table or a function; false and nil leave what is there. true: it was replaced. */
static void add_value(struct matcher *m, luaL_Buffer *b, const char *from, const char *end)
{
	lua_State *L = m->L;

	switch (lua_type(L, 3)) {
	case LUA_TFUNCTION:
		lua_pushvalue(L, 3);
		lua_call(L, push_captures(m, from, end), 1);
		break;
	case LUA_TTABLE:
		push_capture(m, 0, from, end);
		lua_gettable(L, 3);
		break;
	default:
		add_text(m, b, from, end);
		return;
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		luaL_addlstring(b, from, (size_t)(end - from));
	} else if (lua_isstring(L, -1))
		luaL_addvalue(b);
	else
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
}

static int string_gsub(lua_State *L)
{
	size_t n, np;
	const char *text = luaL_checklstring(L, 1, &n), *p = luaL_checklstring(L, 2, &np), *at = text, *last = NULL;
	lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)n + 1), count = 0;
	bool is_anchored = np && *p == '^';
	int type = lua_type(L, 3);
	struct matcher m;
	luaL_Buffer b;

	luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
			 "string/function/table");
	if (type == LUA_TNUMBER)
		lua_tostring(L, 3);
	script_spend(L, 1);
	begin(&m, L, text, n, p + np);
	luaL_buffinit(L, &b);
	while (count < most) {
		const char *end = match_at(&m, at, p + is_anchored);

		if (end && end != last) {
			count++;
			script_spend(L, 1);
			add_value(&m, &b, at, end);
			at = last = end;
		} else if (at < m.end)
			luaL_addchar(&b, *at++);
		else
			break;
		if (is_anchored)
			break;
	}
	luaL_addlstring(&b, at, (size_t)(m.end - at));
	luaL_pushresult(&b);
	lua_pushinteger(L, count);
	return 2;
}

const luaL_Reg script_pattern_functions[] = {
	{ "find", string_find }, { "gmatch", string_gmatch }, { "gsub", string_gsub }, { "match", string_match }, { NULL, NULL },
};
