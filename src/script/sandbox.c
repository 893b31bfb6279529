/* sandbox.c - what of Lua's library a script gets.
 *
 * Functions whose work grows with what they are given tell what it is worth before they do it, since the hook is only called between
 * instructions and one function may call the next without any. Those that could go on for ever whatever there is of memory are others
 * here: patterns, rep(), ranges of tables. Nothing shows an address. What isn't named below isn't there.
 *
 * There are no metatables: a straight line needs none, finalizers would run without the hook, a false length would never end, and Lua
 * 5.4.4 takes a wrong turn in memory when what __concat does makes it collect garbage.
 */
#include <string.h>

#include "base/str.h"
#include "script/script_int.h"

#define BYTES_AN_INSTRUCTION 64 /* of a text that is gone through */
#define LOGS_MAX 100            /* lines of one script */

/* ---- what is counted ---- */

/* Upvalue: the function of the library. Its errors name it as it was called. */
static int counted(lua_State *L)
{
	uint64_t bytes = 0;

	for (int i = lua_gettop(L); i > 0; i--)
		if (lua_type(L, i) == LUA_TSTRING)
			bytes += lua_rawlen(L, i);
	script_spend(L, 1 + bytes / BYTES_AN_INSTRUCTION);
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* The same, by what it returns. */
static int counted_after(lua_State *L)
{
	int n = lua_tocfunction(L, lua_upvalueindex(1))(L);
	uint64_t bytes = n == 1 && lua_type(L, -1) == LUA_TSTRING ? lua_rawlen(L, -1) : 0;

	script_spend(L, (uint64_t)n + bytes / BYTES_AN_INSTRUCTION);
	return n;
}

/* The function on top: one that has them needs them, so it can't be called in the place of another (random). */
static bool has_upvalues(lua_State *L)
{
	if (!lua_getupvalue(L, -1, 1))
		return false;
	lua_pop(L, 1);
	return true;
}

/* From the library on top into the table below it, counted in this way; NULL: they do little. */
static void take(lua_State *L, const char *const *names, lua_CFunction way)
{
	for (; *names; names++) {
		lua_getfield(L, -1, *names);
		if (way && lua_iscfunction(L, -1) && !has_upvalues(L))
			lua_pushcclosure(L, way, 1);
		lua_setfield(L, -3, *names);
	}
}

/* ---- errors ---- */

/* A script that is over doesn't go on behind its pcall(). */
static int caught(lua_State *L, int status, int first)
{
	struct script *s = script_of(L);

	if (status == LUA_OK)
		return lua_gettop(L) - first + 1;
	if (status == LUA_ERRMEM && !s->over)
		s->over = OVER_MEMORY;
	if (s->over)
		return lua_error(L);
	lua_pushboolean(L, false);
	lua_insert(L, -2);
	return 2;
}

static int base_pcall(lua_State *L)
{
	luaL_checkany(L, 1);
	script_spend(L, 1);
	lua_pushboolean(L, true);
	lua_insert(L, 1);
	return caught(L, lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0), 1);
}

static int base_xpcall(lua_State *L)
{
	int n = lua_gettop(L);

	luaL_checktype(L, 2, LUA_TFUNCTION);
	script_spend(L, 1);
	lua_pushboolean(L, true);
	lua_pushvalue(L, 1);
	lua_rotate(L, 3, 2);
	return caught(L, lua_pcall(L, n - 2, LUA_MULTRET, 2), 3);
}

/* ---- the rest of the base ---- */

/* Replaces the value by its text, as tostring() has it but for addresses. */
static void make_text(lua_State *L, int i)
{
	if (lua_type(L, i) == LUA_TTABLE || lua_type(L, i) == LUA_TFUNCTION)
		lua_pushstring(L, luaL_typename(L, i));
	else
		luaL_tolstring(L, i, NULL);
	lua_replace(L, i);
}

static int base_tostring(lua_State *L)
{
	luaL_checkany(L, 1);
	script_spend(L, 1);
	lua_settop(L, 1);
	make_text(L, 1);
	return 1;
}

static int base_log(lua_State *L)
{
	struct script *s = script_of(L);
	char text[SCRIPT_TEXT_MAX];
	int n = lua_gettop(L);
	size_t len = 0;

	script_spend(L, 100);
	for (int i = 1; i <= n; i++) {
		const char *z;

		make_text(L, i);
		z = lua_tostring(L, i);
		if (i > 1 && len < sizeof(text) - 1)
			text[len++] = ' ';
		for (; *z && len < sizeof(text) - 1; z++)
			text[len++] = (unsigned char)*z < ' ' || *z == '\x7f' ? '?' : *z;
	}
	text[len] = '\0';
	if (s->nlogs < LOGS_MAX && s->p->host->log)
		s->p->host->log(text, s->p->arg);
	s->nlogs++;
	return 0;
}

static const luaL_Reg base_functions[] = {
	{ "log", base_log }, { "pcall", base_pcall }, { "print", base_log },
	{ "tostring", base_tostring }, { "xpcall", base_xpcall }, { NULL, NULL },
};
static const char *const base_kept[] = { "assert", "error", "ipairs", "next", "pairs", "rawequal", "rawget", "rawlen",
					 "rawset", "select", "type", NULL };
static const char *const base_counted[] = { "tonumber", NULL };

/* ---- string ---- */

static int string_rep(lua_State *L)
{
	size_t n, nsep;
	const char *z = luaL_checklstring(L, 1, &n), *sep = luaL_optlstring(L, 3, "", &nsep);
	lua_Integer times = luaL_checkinteger(L, 2);
	luaL_Buffer b;

	if (times <= 0 || n + nsep == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	/* More than all memory there is. */
	if ((uint64_t)times > script_of(L)->memory_max / (n + nsep) + 1)
		return luaL_error(L, "a text of more than the memory that a script may have");
	script_spend(L, 1 + (uint64_t)times);
	luaL_buffinit(L, &b);
	for (lua_Integer i = 0; i < times; i++) {
		luaL_addlstring(&b, z, n);
		if (nsep && i + 1 < times)
			luaL_addlstring(&b, sep, nsep);
	}
	luaL_pushresult(&b);
	return 1;
}

/* Upvalue: the library's. */
static int string_format(lua_State *L)
{
	const char *z = luaL_checkstring(L, 1);
	int n = lua_gettop(L);

	for (; *z; z++)
		if (*z == '%') {
			z += 1 + strspn(z + 1, "-+ #0123456789.");
			if (*z == 'p')
				return luaL_error(L, "'%%p' is nothing that a script is told");
			if (!*z)
				break;
		}
	for (int i = 2; i <= n; i++)
		if (lua_type(L, i) == LUA_TTABLE || lua_type(L, i) == LUA_TFUNCTION)
			make_text(L, i);
	return counted(L);
}

static const luaL_Reg string_functions[] = { { "rep", string_rep }, { NULL, NULL } };
static const char *const string_counted[] = { "char", "lower", "reverse", "upper", NULL };
static const char *const string_counted_after[] = { "byte", "len", "sub", NULL };

/* ---- table ---- */

/* How long a list is. */
static lua_Integer check_list(lua_State *L, int i)
{
	luaL_checktype(L, i, LUA_TTABLE);
	script_spend(L, 1);
	return (lua_Integer)lua_rawlen(L, i);
}

/* Of a range that need not be there. */
static void check_range(lua_State *L, lua_Integer from, lua_Integer to)
{
	if (from > to)
		return;
	if ((lua_Unsigned)to - (lua_Unsigned)from > script_of(L)->memory_max / sizeof(void *))
		luaL_error(L, "a range of more elements than there can be");
	script_spend(L, (lua_Unsigned)to - (lua_Unsigned)from + 1);
}

/* Upvalues: the library's, and how many arguments there are when all that is behind one place moves, or where a range is said. */
static int table_shifted(lua_State *L)
{
	lua_Integer n = check_list(L, 1);

	if (lua_gettop(L) >= lua_tointeger(L, lua_upvalueindex(2)))
		script_spend(L, (uint64_t)n);
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static int table_ranged(lua_State *L)
{
	int at = (int)lua_tointeger(L, lua_upvalueindex(2));
	lua_Integer n = check_list(L, 1);

	check_range(L, luaL_optinteger(L, at, 1), luaL_optinteger(L, at + 1, n));
	return counted(L);
}

static int table_move(lua_State *L)
{
	check_list(L, 1);
	if (!lua_isnoneornil(L, 5))
		check_list(L, 5);
	check_range(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
	return counted(L);
}

/* Upvalue: the function that compares; nil: <. */
static int compare(lua_State *L)
{
	uint64_t bytes = lua_type(L, 1) == LUA_TSTRING && lua_type(L, 2) == LUA_TSTRING ? lua_rawlen(L, 1) + lua_rawlen(L, 2) : 0;

	lua_settop(L, 2);
	script_spend(L, 2 + bytes / BYTES_AN_INSTRUCTION);
	if (lua_isnil(L, lua_upvalueindex(1))) {
		lua_pushboolean(L, lua_compare(L, 1, 2, LUA_OPLT));
		return 1;
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, 2, 1);
	return 1;
}

static int table_sort(lua_State *L)
{
	check_list(L, 1);
	if (!lua_isnoneornil(L, 2))
		luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	lua_pushcclosure(L, compare, 1);
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static const struct table_function { const char *name; lua_CFunction f; int place; } table_functions[] = {
	{ "concat", table_ranged, 3 }, { "insert", table_shifted, 3 }, { "move", table_move, 0 }, { "pack", counted, 0 },
	{ "remove", table_shifted, 2 }, { "sort", table_sort, 0 }, { "unpack", table_ranged, 2 },
};

/* ---- all of it ---- */

static void open_string(lua_State *L)
{
	lua_newtable(L);
	luaL_setfuncs(L, script_pattern_functions, 0);
	luaL_setfuncs(L, string_functions, 0);
	luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, 0);
	lua_getfield(L, -1, "format");
	lua_pushcclosure(L, string_format, 1);
	lua_setfield(L, -3, "format");
	take(L, string_counted, counted);
	take(L, string_counted_after, counted_after);
	lua_pop(L, 1);
	lua_pushliteral(L, "");
	lua_getmetatable(L, -1);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 2);
	lua_setglobal(L, LUA_STRLIBNAME);
}

static void open_table(lua_State *L)
{
	lua_newtable(L);
	luaL_requiref(L, LUA_TABLIBNAME, luaopen_table, 0);
	for (size_t i = 0; i < ARRAY_LEN(table_functions); i++) {
		lua_getfield(L, -1, table_functions[i].name);
		lua_pushinteger(L, table_functions[i].place);
		lua_pushcclosure(L, table_functions[i].f, 2);
		lua_setfield(L, -3, table_functions[i].name);
	}
	lua_pop(L, 1);
	lua_setglobal(L, LUA_TABLIBNAME);
}

static void open_counted(lua_State *L, const char *name, lua_CFunction open, const char *const *names)
{
	lua_newtable(L);
	luaL_requiref(L, name, open, 0);
	take(L, names, counted);
	lua_pop(L, 1);
	lua_setglobal(L, name);
}

/* The library's own table of globals isn't the script's: what is forgotten here isn't there. */
static void open_base(lua_State *L)
{
	lua_newtable(L);
	luaL_setfuncs(L, base_functions, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "_G");
	lua_pushcfunction(L, luaopen_base);
	lua_call(L, 0, 1); /* into the old one, which it returns */
	take(L, base_kept, NULL);
	take(L, base_counted, counted);
	lua_pop(L, 1);
	lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

void script_sandbox(lua_State *L)
{
	static const char *const math[] = { "abs", "ceil", "floor", "fmod", "huge", "max", "maxinteger", "min", "mininteger", "modf", "pi",
					    "random", "sqrt", "tointeger", "type", "ult", NULL };
	static const char *const utf8[] = { "char", "charpattern", "codepoint", "codes", "len", "offset", NULL };

	open_base(L);
	open_string(L);
	open_table(L);
	open_counted(L, LUA_MATHLIBNAME, luaopen_math, math);
	open_counted(L, LUA_UTF8LIBNAME, luaopen_utf8, utf8);
	/* What is left of the whole libraries. */
	lua_pushnil(L);
	lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}
