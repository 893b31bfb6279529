/* script_int.h - what only siblings in src/script share. */
#pragma once

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "script/script.h"

struct script {
	lua_State *L;
	const struct script_params *p;
	size_t memory, memory_max;
	uint64_t left;           /* instructions */
	unsigned nlogs;
	uint64_t slice_from_ns, slice_left; /* it runs since, and left was that */
	enum { NOT_OVER, OVER_INSTRUCTIONS, OVER_MEMORY, OVER_STOPPED } over; /* once it is, nothing runs any more */
	char why[SCRIPT_TEXT_MAX]; /* it is over */
};

struct script *script_of(lua_State *L);
/* Counts what is worth so many instructions, and makes a pause when it is time. Doesn't return when the script is over. */
void script_spend(lua_State *L, uint64_t instructions);
/* sandbox.c: fills the globals. In protected mode. */
void script_sandbox(lua_State *L);
/* match.c: find, match, gmatch and gsub, which can be interrupted. */
extern const luaL_Reg script_pattern_functions[];
