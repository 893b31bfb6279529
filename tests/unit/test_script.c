/* test_script.c - scripts: what they can do, what they can't, and how they end when they try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "base/task.h"
#include "nomem.h"
#include "script/script.h"

#define MEMORY (1024 * 1024)

/* A host with three functions; it writes down what it is asked. */
struct host {
	char said[4096];
	unsigned npauses, stop_after;
	uint64_t last_ns, worst_ns; /* between two pauses */
	struct tasks *ts;
	struct task *task;
};

/* Others need the machine, too. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static const char *const names[] = { "note", "goto", "give", NULL };

static void say(struct host *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct host *h, const char *fmt, ...)
{
	size_t n = strlen(h->said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(h->said + n, sizeof(h->said) - n, fmt, ap);
	va_end(ap);
}

static void on_call(const struct script_call *c, struct script_value *out, void *arg)
{
	struct host *h = arg;

	say(h, "%s:%d(", names[c->fn], c->line);
	for (unsigned i = 0; i < c->nargs; i++)
		say(h, "%s%s%s%s%s", i ? "," : "", c->args[i].name ? c->args[i].name : "", c->args[i].name ? "=" : "",
		    c->args[i].text ? c->args[i].text : "nil", c->args[i].is_list ? "*" : "");
	say(h, ")");
	h->last_ns = cpu_ns();
	if (c->nargs && c->args[0].text && !strcmp(c->args[0].text, "error"))
		snprintf(out->error, sizeof(out->error), "no such thing");
	else if (c->nargs && c->args[0].text && !strcmp(c->args[0].text, "stop"))
		out->is_over = true;
	else if (c->fn == 0)
		out->text = "ok";
	else if (c->fn == 1)
		out->has_truth = out->truth = true;
	else
		out->has_number = true, out->number = 42;
}

static bool on_pause(void *arg)
{
	struct host *h = arg;
	uint64_t now = cpu_ns();

	if (h->last_ns && now - h->last_ns > h->worst_ns)
		h->worst_ns = now - h->last_ns;
	if (h->ts) {
		struct task *t = task_self(h->ts);

		h->task = t;
		task_park(h->ts);
	}
	h->last_ns = cpu_ns();
	return ++h->npauses != h->stop_after;
}

static void on_log(const char *text, void *arg)
{
	say(arg, "[%s]", text);
}

static const struct script_host host_functions = { .names = names, .call = on_call, .pause = on_pause, .log = on_log };

static enum script_end run_limited(struct host *h, const char *source, uint64_t *left, size_t memory, char text[SCRIPT_TEXT_MAX])
{
	const struct script_params p = { .name = "t", .source = source, .memory = memory, .host = &host_functions, .arg = h };

	return script_run(&p, left, text);
}

static enum script_end run(struct host *h, const char *source, char text[SCRIPT_TEXT_MAX])
{
	uint64_t left = 1000000;

	return run_limited(h, source, &left, MEMORY, text);
}

static void returns(const char *source, const char *result)
{
	struct host h = { 0 };
	char text[SCRIPT_TEXT_MAX];

	if (run(&h, source, text) != SCRIPT_DONE || strcmp(text, result) != 0)
		fail_msg("%s\n  returns %s, not %s", source, text, result);
}

static void fails_with(const char *source, const char *message)
{
	struct host h = { 0 };
	char text[SCRIPT_TEXT_MAX];

	if (run(&h, source, text) != SCRIPT_ERROR || !strstr(text, message))
		fail_msg("%s\n  says %s, not %s", source, text, message);
}

static void test_script_computes(void **state)
{
	(void)state;
	returns("", "");
	returns("return 'busy'", "busy");
	returns("local t = { 3, 1, 2 } table.sort(t) return table.concat(t, '-')", "1-2-3");
	returns("local t = { 'b', 'a' } table.sort(t, function (a, b) return a > b end) return table.concat(t)", "ba");
	returns("local t = {} for i = 1, 5 do table.insert(t, 1, i) end table.remove(t, 1) return table.concat(t, ',', 2, 3)", "3,2");
	returns("return table.concat({ table.unpack({ 'a', 'b', 'c' }, 2) })", "bc");
	returns("return table.concat(table.move({ 1, 2, 3 }, 1, 3, 2))", "1123");
	returns("local ok, e = pcall(error, 'x') return tostring(ok) .. e", "falsex");
	returns("local ok, e = xpcall(function () error('x', 0) end, function (m) return m .. 'y' end) return e", "xy");
	returns("return select(2, xpcall(function (a, b) return a .. b end, print, 'p', 'q'))", "pq");
	returns("return string.format('%05.1f|%s|%q', 3.25, { 1 } and 'x', 'a\"b')", "003.2|x|\"a\\\"b\"");
	returns("return ('ab'):rep(3, '-') .. ('x'):rep(-1) .. ('').rep('', 1 << 62)", "ab-ab-ab");
	returns("return tostring(math.tointeger(2^53)) .. math.type(1.5) .. utf8.char(228) .. utf8.len('\xc3\xa4')", "9007199254740992float\xc3\xa4" "1");
	returns("local r = math.random(1, 6) return r >= 1 and r <= 6 and 'yes' or 'no'", "yes");
}

static void test_script_of_patterns(void **state)
{
	(void)state;
	returns("return ('+43 1 2345'):match('^%+(%d+)')", "43");
	returns("return table.concat({ ('key = value'):match('^(%w+)%s*=%s*(%w+)$') }, '/')", "key/value");
	returns("return table.concat({ ('hello'):find('l') }, ',')", "3,3");
	returns("return table.concat({ ('hello'):find('(l)(l)()') }, ',')", "3,4,l,l,5");
	returns("return table.concat({ ('a.b'):find('.', 2, true) }, ',')", "2,2");
	returns("return tostring(('abc'):find('b', -1)) .. ('abc'):find('b', -2) .. tostring(('abc'):find('', 10)) .. ('abc'):find('', 4)", "nil2nil4");
	returns("return (('abc'):gsub('%w', '%0%0'))", "aabbcc");
	returns("return (('hello world'):gsub('(%w+) (%w+)', '%2 %1'))", "world hello");
	returns("return (('abc'):gsub('', '-'))", "-a-b-c-");
	returns("return (('$name is $x'):gsub('%$(%w+)', { name = 'Ann' }))", "Ann is $x");
	returns("return (('abc'):gsub('.', function (c) return c == 'b' and 'B' end))", "aBc");
	returns("return table.concat({ ('abcabc'):gsub('a', 'x', 1) }, ',')", "xbcabc,1");
	returns("return (('aaa'):gsub('^a', 'b'))", "baa");
	returns("local t = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do t[#t + 1] = k .. v end return table.concat(t, ';')", "a1;b2");
	returns("local n = 0 for _ in ('abc'):gmatch('') do n = n + 1 end return tostring(n)", "4");
	returns("return ('THE (quick) fox'):match('%((.-)%)') .. ('f(a(b)c)d'):match('%b()')", "quick(a(b)c)");
	returns("return (('THE (quick) fox'):gsub('%f[%a]%a+', 'w'))", "w (w) w");
	returns("return ('\"it\\'s\" x'):match('([\"\\'])(.-)%1') .. select(2, ('\"it\\'s\" x'):match('([\"\\'])(.-)%1'))", "\"it's");
	returns("return ('a-b]c'):match('[]-]') .. ('x^y'):match('[%^x]+') .. ('q1'):match('[^%d]') .. ('5'):match('[1-57]')", "-x^q5");
	returns("return ('aaab'):match('a-b') .. ('ac'):match('ab?c') .. ('abc'):match('ab?c') .. tostring(('b'):match('a+'))", "aaabacabcnil");
	returns("return ('x$'):match('%$$') .. ('a$b'):match('a$b')", "$a$b");
	returns("return ('a\\0b'):match('%z') == nil and #('a\\0b'):match('a.b') == 3 and 'ok' or 'no'", "ok");
	fails_with("return ('a'):find('[a')", "missing ']'");
	fails_with("return ('a'):find('%')", "ends with '%'");
	fails_with("return ('a'):find('(a')", "unfinished capture");
	fails_with("return ('a'):find('a)')", "invalid pattern capture");
	fails_with("return ('a'):find('%1')", "invalid capture index");
	fails_with("return ('a'):find('%b')", "missing arguments");
	fails_with("return ('a'):find('%fa')", "missing '['");
	fails_with("return ('a'):gsub('a', '%2')", "invalid capture index");
	fails_with("return ('a'):gsub('a', '%x')", "invalid use of '%'");
	fails_with("return ('a'):rep(40):find(('(a)'):rep(40))", "captures");
	fails_with("return (('a'):rep(1000)):find(('a?'):rep(1000))", "too complex");
}

static void test_script_calls_its_host(void **state)
{
	static const struct { const char *source, *said, *result; } cases[] = {
		{ "return note('a', 1, 2.0, true, nil, 0.5)", "note:1(a,1,2,true,nil,0.5)", "ok" },
		{ "\nnote{ number = '1002' }", "note:2(number=1002)", "" },
		{ "note({ '1', 2 }, 3)", "note:1(1&2*,3)", "" },
		{ "note{ number = { '1', '2' } }", "note:1(number=1&2*)", "" },
		{ "note({})", "note:1()", "" },
		{ "return tostring(goto_('7')) .. give()", "goto:1(7)give:1()", "true42" },
		{ "local ok, e = pcall(note, 'error') return e", "note:1(error)", "no such thing" },
		{ "log('a', 1, { }, note, nil) print('x\\ny')", "[a 1 table function nil][x?y]", "" },
		{ "for i = 1, 101 do log('') end note()", NULL, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct host h = { 0 };
		char text[SCRIPT_TEXT_MAX];

		assert_int_equal(run(&h, cases[i].source, text), SCRIPT_DONE);
		if (cases[i].said)
			assert_string_equal(h.said, cases[i].said);
		else
			assert_int_equal(strlen(h.said), 2 * 100 + strlen("note:1()")); /* lines of the log, as many as there may be */
		assert_string_equal(text, cases[i].result);
	}
	fails_with("\n\nnote('error')", "t:3: no such thing");
	fails_with("note('a\\0b')", "zero byte");
	fails_with("note(print)", "a function is no argument");
	fails_with("note({ 'a&b' })", "can't be \"a&b\"");
	fails_with("note(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17)", "more than 16");
}

static void test_script_that_is_stopped_by_its_host_goes_no_further(void **state)
{
	struct host h = { 0 };
	char text[SCRIPT_TEXT_MAX];

	(void)state;
	assert_int_equal(run(&h, "pcall(note, 'stop') note('behind')", text), SCRIPT_STOPPED);
	assert_string_equal(h.said, "note:1(stop)");
	h = (struct host){ .stop_after = 2 };
	assert_int_equal(run(&h, "while true do pcall(function () while true do end end) end", text), SCRIPT_STOPPED);
	assert_int_equal(h.npauses, 2);
}

static void test_script_has_nothing_else(void **state)
{
	static const char *const absent[] = {
		"io", "os", "package", "require", "debug", "load", "loadstring", "loadfile", "dofile", "collectgarbage", "coroutine", "warn",
		"setmetatable", "getmetatable", "string.dump", "string.pack", "string.unpack", "string.packsize", "math.randomseed",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(absent); i++) {
		char source[100];

		snprintf(source, sizeof(source), "return tostring(%s)", absent[i]);
		returns(source, "nil");
	}
	returns("local n = {} for k in pairs(_G) do n[#n + 1] = k end table.sort(n) return table.concat(n, ' ')",
		"_G assert error give goto_ ipairs log math next note pairs pcall print rawequal rawget rawlen rawset select "
		"string table tonumber tostring type utf8 xpcall");
	returns("return tostring({}) .. tostring(print) .. string.format('%s %s', {}, print)", "tablefunctiontable function");
	fails_with("string.format('%p', {})", "nothing that a script is told");
	fails_with("local x <close> = {}", "non-closable");
	fails_with("\x1bLua", "attempt to load a binary chunk");
	fails_with("return 1", "a result is a text");
	fails_with("if then", "t:1: unexpected symbol");
	fails_with("\nlocal x = nil\nreturn x.y", "t:3: attempt to index a nil value (local 'x')");
	fails_with("error({ code = 7 })", "an error that is a table");
	fails_with("error()", "an error that is a nil");
}

/* All end, whatever they catch, and nobody waits for them long. */
static const struct { const char *what, *source, *message; } evil[] = {
	{ "an endless loop", "while true do end", "t:1: it takes more instructions" },
	{ "that is caught", "while true do pcall(function () while true do end end) end", "more instructions" },
	{ "and caught again", "local function f() pcall(f) f() end while true do xpcall(f, f) end", "more" },
	{ "a handler that fails", "local function h(m) while true do pcall(h, m) end end xpcall(function () while true do end end, h)", "more instructions" },
	{ "a handler of handlers", "local function h() error('x') end while true do xpcall(error, h) end", "more instructions" },
	{ "a text of 1 GB", "local s = ('x'):rep(1 << 30)", "a text of more than the memory" },
	{ "that is caught ", "while true do pcall(string.rep, 'x', 1 << 30) end", "more instructions" },
	{ "a text that doubles", "local s = 'x' while true do s = s .. s end", "more memory" },
	{ "and is caught", "local s = 'x' while true do pcall(function () s = s .. s end) end", "more memory" },
	{ "a table that grows", "local t = {} while true do t[#t + 1] = 'x' end", "more memory" },
	{ "deep recursion", "local function f() return 1 + f() end f()", "more" },
	{ "recursion by C", "local function f(s) return s:gsub('.', f) end while true do pcall(f, 'x') end", "more" },
	{ "recursion by sort", "local function f() table.sort({ 1, 2, 3 }, f) end while true do pcall(f) end", "more" },
	{ "a pattern", "('a'):rep(200):find(('a*'):rep(20) .. 'b')", "more instructions" },
	{ "a pattern that is caught", "while true do pcall(string.find, ('a'):rep(200), ('.-'):rep(20) .. 'b') end", "more instructions" },
	{ "a balance", "local s = ('('):rep(300000) while true do s:find('%b()') end", "more instructions" },
	{ "gmatch", "local s = ('a'):rep(300000) for _ in s:gmatch('.-b') do end while true do s:gsub('.-b', '') end", "more instructions" },
	{ "a plain find", "local s = ('a'):rep(300000) local p = ('a'):rep(1000) .. 'b' while true do s:find(p, 1, true) end", "more instructions" },
	{ "a range", "table.concat({}, '', 1, 1 << 62)", "a range" },
	{ "a range to unpack", "return table.unpack({}, 1, 1 << 62)", "a range" },
	{ "a range to move", "table.move({}, 1, 1 << 62, 2)", "a range" },
	{ "sort of long texts", "local a, t = ('x'):rep(100000), {} for i = 1, 1000 do t[i] = a .. i end table.sort(t)", "more" },
	{ "sort by C", "local t = {} for i = 1, 1000 do t[i] = ('x'):rep(300) end while true do table.sort(t, string.upper) end", "" },
	{ "upper case", "local s = ('x'):rep(300000) while true do s:upper() end", "more instructions" },
	{ "comparisons", "local a, b = ('x'):rep(200000) .. 1, ('x'):rep(200000) .. 2 while true do local c = a < b end", "more instructions" },
	{ "numbers of texts", "local s = ('1'):rep(300000) while true do tonumber(s) end", "more instructions" },
	{ "keys", "local s = ('k'):rep(100000) local t = {} while true do t[s .. #t] = nil end", "more instructions" },
	{ "next in a table of holes", "local t = {} for i = 1, 20000 do t[i .. ''] = 1 end for k in pairs(t) do t[k] = nil end while true do next(t) end", "more" },
	{ "garbage at the limit", "local keep = {} for i = 1, 9000 do keep[i] = { i } end while true do local x = { {}, {}, {}, {} } end", "more instructions" },
	{ "the library changed", "string.rep = nil ('x'):rep(3)", "attempt to call a nil value" },
	{ "levels", "local s = 'x' for i = 1, 250 do s = '(' .. s .. ')' end for i = 1, 1e9 do local ok = pcall(string.match, 'x', s) end", "more instructions" },
	{ "vararg", "local function f(...) return f(1, ...) end f()", "more" },
};

static void test_script_of_ill_will_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(evil); i++) {
		struct host h = { .last_ns = cpu_ns() };
		char text[SCRIPT_TEXT_MAX];

		if (run(&h, evil[i].source, text) != SCRIPT_ERROR || !strstr(text, evil[i].message))
			fail_msg("%s: says %s, not %s", evil[i].what, text, evil[i].message);
		on_pause(&h);
		/* A million instructions are 200 turns of half a millisecond, whatever each of them takes. */
		assert_in_range(h.npauses, 1, 220);
		if (getenv("SCRIPT_TIMES"))
			print_message("%-32s %u pauses, %.1f ms at most between two: %s\n", evil[i].what, h.npauses, (double)h.worst_ns / 1e6, text);
		if (h.worst_ns > 20000000) /* 8 instructions of the most costly kind, on a machine that does other things, with sanitizers */
			fail_msg("%s: %.1f ms without a pause", evil[i].what, (double)h.worst_ns / 1e6);
	}
}

static void test_script_gives_back_what_is_left(void **state)
{
	uint64_t left = 10000;
	char text[SCRIPT_TEXT_MAX];
	struct host h = { 0 };

	(void)state;
	assert_int_equal(run_limited(&h, "for i = 1, 1000 do end", &left, MEMORY, text), SCRIPT_DONE);
	assert_in_range(left, 8000, 9100);
	assert_int_equal(run_limited(&h, "for i = 1, 100000 do end", &left, MEMORY, text), SCRIPT_ERROR);
	assert_int_equal(left, 0);
}

/* It is told at whatever allocation memory ends. */
static void test_script_without_memory_ends(void **state)
{
	static const char source[] = "local t = {} for i = 1, 20 do t[i] = ('x'):rep(i) .. note{ a = i, b = { 1, 2 } } end\n"
				     "pcall(function () t.s = table.concat(t) end) xpcall(error, tostring, 'a')\n"
				     "for w in t.s:gmatch('%w+') do t[w] = w:upper():gsub('x', { X = 'y' }) end return 'done'";
	unsigned ndone = 0, nerrors = 0;

	(void)state;
	for (size_t memory = 0; memory < 64 * 1024; memory += 97) {
		struct host h = { 0 };
		char text[SCRIPT_TEXT_MAX];
		uint64_t left = 1000000;

		h.said[0] = '\0';
		if (run_limited(&h, source, &left, memory, text) == SCRIPT_DONE) {
			assert_string_equal(text, "done");
			ndone++;
		} else {
			assert_true(strstr(text, "memory") != NULL);
			nerrors++;
		}
	}
	assert_true(ndone > 100 && nerrors > 100);
}

static void test_script_whose_nth_allocation_fails_ends(void **state)
{
	static const char source[] = "local t = { note{ a = 1, b = { 'x', 'y' } } } for i = 1, 50 do t[i] = { i .. '' } end return (('ab'):gsub('.', '%0%0'))";
	enum script_end how = SCRIPT_ERROR;

	(void)state;
	if (!CAN_FAIL)
		skip();
	for (unsigned nth = 1; how != SCRIPT_DONE; nth++) {
		struct host h = { 0 };
		char text[SCRIPT_TEXT_MAX];

		heap.balance = 0;
		heap.count = 0;
		heap.fail_at = nth;
		heap.is_out = true;
		heap.is_counted = heap.armed = true;
		how = run(&h, source, text);
		heap.is_counted = heap.armed = false;
		assert_int_equal(heap.balance, 0);
		if (how != SCRIPT_DONE)
			assert_true(strstr(text, "memory") != NULL);
		else
			assert_string_equal(text, "aabb");
		assert_true(nth < 10000);
	}
	heap.is_out = false;
}

static void test_script_compiles_or_says_why_not(void **state)
{
	char text[SCRIPT_TEXT_MAX], *big = malloc(70000);

	(void)state;
	assert_true(script_compiles("welcome", "answer() playback('hello')", text));
	assert_string_equal(text, "");
	assert_false(script_compiles("welcome", "answer()\nplayback('hello'", text));
	assert_string_equal(text, "welcome:2: ')' expected near <eof>");
	assert_false(script_compiles("w", "goto('1')", text));
	assert_non_null(strstr(text, "w:1:"));
	memset(big, '(', 69999);
	big[69999] = '\0';
	assert_false(script_compiles("w", big, text));
	assert_non_null(strstr(text, "overflow"));
	free(big);
}

/* ---- on a stack of a task ---- */

struct on_task { struct host h; const char *source; char text[SCRIPT_TEXT_MAX]; enum script_end how; bool has_ended; };

static void run_on_task(void *arg)
{
	struct on_task *t = arg;
	uint64_t left = 300000;

	t->how = run_limited(&t->h, t->source, &left, MEMORY, t->text);
}

static void task_ended(void *arg)
{
	((struct on_task *)arg)->has_ended = true;
}

/* The stack is enough for all that is evil, and a pause lets others run. */
static void test_script_runs_on_a_task(void **state)
{
	struct tasks *ts;

	(void)state;
	assert_int_equal(tasks_new(&ts, NULL, 65536), 0);
	for (size_t i = 0; i < ARRAY_LEN(evil); i++) {
		struct on_task t = { .source = evil[i].source, .h.ts = ts };
		struct task *task;

		assert_int_equal(task_start_deep(&task, ts, SCRIPT_STACK, run_on_task, task_ended, &t), 0);
		for (tasks_run(ts); !t.has_ended; tasks_run(ts)) {
			assert_true(task_is_parked(t.h.task));
			task_wake(t.h.task, 0);
		}
		assert_int_equal(t.how, SCRIPT_ERROR);
		tasks_trim(ts);
	}
	assert_int_equal(tasks_count(ts), 0);
	tasks_close(ts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_script_computes),
		cmocka_unit_test(test_script_of_patterns),
		cmocka_unit_test(test_script_calls_its_host),
		cmocka_unit_test(test_script_that_is_stopped_by_its_host_goes_no_further),
		cmocka_unit_test(test_script_has_nothing_else),
		cmocka_unit_test(test_script_of_ill_will_ends),
		cmocka_unit_test(test_script_gives_back_what_is_left),
		cmocka_unit_test(test_script_without_memory_ends),
		cmocka_unit_test(test_script_whose_nth_allocation_fails_ends),
		cmocka_unit_test(test_script_compiles_or_says_why_not),
		cmocka_unit_test(test_script_runs_on_a_task),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
