/* script.c - one run of a script: its limits, and the way from Lua to the host and back.
 *
 * Lua calls a hook every few instructions; there they are counted, and the clock is looked at. What one instruction or one function of
 * the library may cost is bounded by the memory there is, so the hook is enough. Once a limit is met, the hook is called for each
 * instruction and ends each with an error, and pcall() (sandbox.c) hands that error on: there is nothing a script could do about it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/out.h"
#include "base/str.h"
#include "script/script_int.h"

#define HOOK_EVERY 8                 /* instructions */
#define SLICE_NS 500000              /* without a pause */
#define SLICE_COSTS 5000             /* instructions at least: what is slow has an end, too */
#define CHECK_MEMORY (4 * 1024 * 1024) /* to compile it only */

struct script *script_of(lua_State *L)
{
	struct script *s;

	memcpy(&s, lua_getextraspace(L), sizeof(s));
	return s;
}

/* ---- limits ---- */

static void on_count(lua_State *L, lua_Debug *ar);

/* A refusal makes Lua collect all its garbage, which takes a while: then it is looked at the clock for each instruction. */
static void *allocate(void *ud, void *p, size_t old_size, size_t size)
{
	struct script *s = ud;
	void *q;

	if (!p)
		old_size = 0; /* it is a type then */
	if (!size) {
		s->memory -= old_size;
		free(p);
		return NULL;
	}
	if (size > old_size && size - old_size > s->memory_max - s->memory) {
		if (s->L)
			lua_sethook(s->L, on_count, LUA_MASKCOUNT, 1);
		return NULL;
	}
	q = realloc(p, size);
	if (q)
		s->memory += size - old_size;
	return q;
}

/* Where the script is: a function of the library has no line, but who called it. */
static int line_of(lua_State *L)
{
	lua_Debug ar;

	for (int level = 0; lua_getstack(L, level, &ar); level++)
		if (lua_getinfo(L, "l", &ar) && ar.currentline > 0)
			return ar.currentline;
	return 0;
}

/* From here on each instruction ends in this. */
static void end(lua_State *L, struct script *s)
{
	lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
	if (!s->why[0] && s->over == OVER_INSTRUCTIONS)
		snprintf(s->why, sizeof(s->why), "%s:%d: it takes more instructions than a script may", s->p->name, line_of(L));
	lua_pushliteral(L, "over");
	lua_error(L);
}

static void spend(lua_State *L, struct script *s, uint64_t n)
{
	uint64_t now;

	if (s->over)
		end(L, s);
	if (n >= s->left) {
		s->left = 0;
		s->over = OVER_INSTRUCTIONS;
		end(L, s);
	}
	s->left -= n;
	now = uv_hrtime();
	if (now - s->slice_from_ns < SLICE_NS)
		return;
	if (s->slice_left - s->left < SLICE_COSTS)
		s->left = s->slice_left > SLICE_COSTS ? s->slice_left - SLICE_COSTS : 1;
	s->slice_left = s->left;
	if (!s->p->host->pause(s->p->arg)) {
		s->over = OVER_STOPPED;
		end(L, s);
	}
	s->slice_from_ns = uv_hrtime();
}

static void on_count(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	spend(L, script_of(L), (uint64_t)lua_gethookcount(L));
}

void script_spend(lua_State *L, uint64_t instructions)
{
	spend(L, script_of(L), instructions);
}

/* ---- functions of the host ---- */

/* The value on top as a text, which stays there. */
static const char *text_on_top(lua_State *L, const char *fn)
{
	const char *z;
	int is_whole;
	size_t n;

	switch (lua_type(L, -1)) {
	case LUA_TNIL:
		return NULL;
	case LUA_TBOOLEAN:
		return lua_toboolean(L, -1) ? "true" : "false";
	case LUA_TNUMBER:
		if (lua_tointegerx(L, -1, &is_whole), is_whole) { /* 3.0 is 3 */
			lua_pushinteger(L, lua_tointeger(L, -1));
			lua_replace(L, -2);
		}
		break;
	case LUA_TSTRING:
		break;
	default:
		luaL_error(L, "%s: a %s is no argument", fn, luaL_typename(L, -1));
	}
	z = lua_tolstring(L, -1, &n);
	if (strlen(z) != n)
		luaL_error(L, "%s: an argument with a zero byte", fn);
	return z;
}

/* The list on top becomes its members with '&' between them. */
static void join_list(lua_State *L, const char *fn)
{
	int list = lua_gettop(L);
	lua_Unsigned n = lua_rawlen(L, list);
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	for (lua_Unsigned i = 1; i <= n; i++) {
		const char *z;

		script_spend(L, 1);
		if (i > 1)
			luaL_addchar(&b, '&');
		lua_rawgeti(L, list, (lua_Integer)i);
		z = text_on_top(L, fn);
		if (!z || strchr(z, '&'))
			luaL_error(L, "%s: a member of a list can't be \"%s\"", fn, z ? z : "nil");
		luaL_addvalue(&b);
	}
	luaL_pushresult(&b);
	lua_replace(L, list);
	lua_settop(L, list);
}

/* The value on top, as arg; it stays on the stack. */
static void take_arg(lua_State *L, struct script_arg *arg, const char *name, const char *fn)
{
	arg->name = name;
	arg->is_list = lua_istable(L, -1);
	if (arg->is_list)
		join_list(L, fn);
	arg->text = text_on_top(L, fn);
}

/* f{ name = value }; f(value, value). */
static unsigned take_args(lua_State *L, struct script_arg args[SCRIPT_ARGS_MAX], const char *fn)
{
	int top = lua_gettop(L);
	unsigned n = 0;

	luaL_checkstack(L, 2 * SCRIPT_ARGS_MAX + 8, fn);
	if (top == 1 && lua_istable(L, 1) && !lua_rawlen(L, 1)) {
		for (lua_pushnil(L); lua_next(L, 1);) {
			if (lua_type(L, -2) != LUA_TSTRING || n == SCRIPT_ARGS_MAX)
				luaL_error(L, "%s: its arguments have names, %d at most", fn, SCRIPT_ARGS_MAX);
			take_arg(L, &args[n], lua_tostring(L, -2), fn);
			n++;
			lua_pushvalue(L, -2); /* the key for lua_next(); what was made of the value stays below it */
		}
		return n;
	}
	if (top > SCRIPT_ARGS_MAX)
		luaL_error(L, "%s: more than %d arguments", fn, SCRIPT_ARGS_MAX);
	for (; n < (unsigned)top; n++) {
		lua_pushvalue(L, (int)n + 1);
		take_arg(L, &args[n], NULL, fn);
	}
	return n;
}

/* Upvalue: which. Nothing here can throw between the host's function and the end of what it made. */
static int call_host(lua_State *L)
{
	struct script *s = script_of(L);
	unsigned fn = (unsigned)lua_tointeger(L, lua_upvalueindex(1));
	struct script_arg args[SCRIPT_ARGS_MAX];
	struct script_call c = { .fn = fn, .args = args, .line = line_of(L) };
	struct script_value out;

	script_spend(L, 10);
	c.nargs = take_args(L, args, s->p->host->names[fn]);
	memset(&out, 0, sizeof(out));
	s->p->host->call(&c, &out, s->p->arg);
	s->slice_from_ns = uv_hrtime();
	s->slice_left = s->left;
	if (out.is_over) {
		s->over = OVER_STOPPED;
		end(L, s);
	}
	if (out.error[0])
		return luaL_error(L, "%s", out.error);
	if (out.text)
		lua_pushstring(L, out.text);
	else if (out.has_truth)
		lua_pushboolean(L, out.truth);
	else if (out.has_number)
		lua_pushinteger(L, out.number);
	else
		lua_pushnil(L);
	return 1;
}

static bool is_kept_by_lua(const char *name)
{
	static const char *const words[] = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
					     "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcmp(words[i], name))
			return true;
	return false;
}

static void bind_host(lua_State *L, const struct script_host *host)
{
	lua_pushglobaltable(L);
	for (unsigned i = 0; host->names[i]; i++) {
		lua_pushfstring(L, is_kept_by_lua(host->names[i]) ? "%s_" : "%s", host->names[i]);
		lua_pushinteger(L, i);
		lua_pushcclosure(L, call_host, 1);
		lua_rawset(L, -3);
	}
	lua_pop(L, 1);
}

/* ---- a run ---- */

static int compile(lua_State *L, const struct script_params *p)
{
	char chunk[80];

	snprintf(chunk, sizeof(chunk), "=%.60s", p->name);
	return luaL_loadbufferx(L, p->source, strlen(p->source), chunk, "t");
}

/* In protected mode; leaves what the script returned. */
static int run(lua_State *L)
{
	struct script *s = script_of(L);

	script_sandbox(L);
	bind_host(L, s->p->host);
	lua_settop(L, 0);
	if (compile(L, s->p) != LUA_OK)
		return lua_error(L);
	lua_sethook(L, on_count, LUA_MASKCOUNT, HOOK_EVERY);
	lua_call(L, 0, 1);
	lua_sethook(L, NULL, 0, 0);
	if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TSTRING)
		return luaL_error(L, "%s: it returns a %s: a result is a text", s->p->name, luaL_typename(L, -1));
	return 1;
}

static void put_text(char text[SCRIPT_TEXT_MAX], const char *z)
{
	size_t n = 0;

	for (; *z && n < SCRIPT_TEXT_MAX - 1; z++)
		text[n++] = (unsigned char)*z < ' ' ? ' ' : *z;
	/* Not half a character. */
	while (*z && n && ((unsigned char)*z & 0xc0) == 0x80)
		z--, n--;
	text[n] = '\0';
}

/* The error on top: its text, or what it is. Allocates nothing. */
static enum script_end failed(struct script *s, lua_State *L, int status, char text[SCRIPT_TEXT_MAX])
{
	if (s->over == OVER_STOPPED)
		return SCRIPT_STOPPED;
	if (s->over == OVER_MEMORY || status == LUA_ERRMEM)
		snprintf(text, SCRIPT_TEXT_MAX, "%s: it needs more memory than the %zu KiB that a script may have", s->p->name, s->memory_max / 1024);
	else if (s->over)
		put_text(text, s->why);
	else if (lua_type(L, -1) == LUA_TSTRING)
		put_text(text, lua_tostring(L, -1));
	else
		snprintf(text, SCRIPT_TEXT_MAX, "%s: an error that is a %s", s->p->name, luaL_typename(L, -1));
	return SCRIPT_ERROR;
}

static lua_State *state_new(struct script *s)
{
	lua_State *L = lua_newstate(allocate, s);

	s->L = L;
	if (L)
		memcpy(lua_getextraspace(L), &s, sizeof(s));
	return L;
}

enum script_end script_run(const struct script_params *p, uint64_t *instructions, char text[SCRIPT_TEXT_MAX])
{
	struct script s = { .p = p, .memory_max = p->memory, .left = *instructions, .slice_left = *instructions, .slice_from_ns = uv_hrtime() };
	lua_State *L = state_new(&s);
	enum script_end how = SCRIPT_DONE;
	int status;

	text[0] = '\0';
	if (!L) {
		snprintf(text, SCRIPT_TEXT_MAX, "%s: no memory to begin with", p->name);
		return SCRIPT_ERROR;
	}
	lua_pushcfunction(L, run);
	status = lua_pcall(L, 0, 1, 0);
	if (status != LUA_OK)
		how = failed(&s, L, status, text);
	else if (lua_type(L, -1) == LUA_TSTRING)
		put_text(text, lua_tostring(L, -1));
	lua_sethook(L, NULL, 0, 0);
	s.L = NULL;
	lua_close(L);
	*instructions = s.left;
	return how;
}

static int run_compile(lua_State *L)
{
	if (compile(L, script_of(L)->p) != LUA_OK)
		return lua_error(L);
	return 0;
}

bool script_compiles(const char *name, const char *source, char text[SCRIPT_TEXT_MAX])
{
	const struct script_params p = { .name = name, .source = source };
	struct script s = { .p = &p, .memory_max = CHECK_MEMORY };
	lua_State *L = lua_newstate(allocate, &s);
	int status = LUA_ERRMEM;

	text[0] = '\0';
	if (L) {
		struct script *self = &s;

		memcpy(lua_getextraspace(L), &self, sizeof(self));
		lua_pushcfunction(L, run_compile);
		status = lua_pcall(L, 0, 0, 0);
	}
	if (status != LUA_OK && L)
		failed(&s, L, status, text);
	else if (status != LUA_OK)
		snprintf(text, SCRIPT_TEXT_MAX, "%s: no memory to compile it", name);
	if (L)
		lua_close(L);
	return status == LUA_OK;
}
