/* test_json_text.c - the fuzz targets' look at records takes what jansson takes, and refuses what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "loop/json_text.h"

#define MUTANTS 200000

static bool jansson_takes(const char *text)
{
	json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	bool is_object = json_is_object(doc);

	json_decref(doc);
	return is_object;
}

static void test_json_text_agrees_on_what_is_written_by_hand(void **state)
{
	static const struct { const char *text; bool is_object; } rows[] = {
		{ "{}", true }, { " { \"a\" : [ 1 , -0.5e+3 , \"\\u00e9\\ud83d\\ude00\\n\" , { } , [ ] , null , true , false ] } \n", true },
		{ "{\"a\":{\"a\":1},\"b\":\"a\"}", true }, { "{\"\xc3\xa9\":\"\xf0\x9f\x98\x80\"}", true },
		{ "", false }, { "[]", false }, { "{", false }, { "{}x", false }, { "{}{}", false }, { "{\"a\"}", false }, { "{\"a\":}", false },
		{ "{\"a\":1,}", false }, { "{a:1}", false }, { "{\"a\":[1,]}", false }, { "{\"a\":[1}", false }, { "{\"a\":01}", false },
		{ "{\"a\":1.}", false }, { "{\"a\":.5}", false }, { "{\"a\":1e}", false }, { "{\"a\":+1}", false }, { "{\"a\":-}", false },
		{ "{\"a\":nul}", false }, { "{\"a\":\"\t\"}", false }, { "{\"a\":\"\\x\"}", false }, { "{\"a\":\"\\u12\"}", false },
		{ "{\"a\":\"\\u0000\"}", false }, { "{\"a\":\"\\ud800\"}", false }, { "{\"a\":\"\\ud800\\u0041\"}", false },
		{ "{\"a\":\"\\udc00\"}", false }, { "{\"a\":\"\xff\"}", false }, { "{\"a\":\"\xc0\x80\"}", false }, { "{\"a\":\"\xed\xa0\x80\"}", false },
		{ "{\"a\":\"", false }, { "{\"a\":\"\\", false }, { "{\"a\":1,\"b\":2,\"a\":3}", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (json_text_is_object(rows[i].text) != rows[i].is_object || jansson_takes(rows[i].text) != rows[i].is_object)
			fail_msg("%s", rows[i].text);
	}
}

/* What is changed at random in a record. */
static void test_json_text_agrees_on_mutants(void **state)
{
	static const char record[] = "{\"call\":\"x\",\"at\":[[0,\"ro\\u00e9ute\",-1.5e3],[25,\"\xc3\xa9\",{\"a\":true,\"b\":null}]],\"n\":17,\"s\":\"\\\\\\\"\"}";
	static const char put[] = "{}[]\",:\\u0d8ae+-. tfn\x80\xc3\xed\xf0\x1f";
	unsigned ngood = 0, nbad = 0;
	struct rng r;

	(void)state;
	rng_init_fixed(&r, 1);
	for (unsigned i = 0; i < MUTANTS; i++) {
		char text[sizeof(record)];
		bool is_object;

		memcpy(text, record, sizeof(record));
		for (unsigned k = 1 + rng_below(&r, 2); k; k--)
			text[rng_below(&r, sizeof(record) - 1)] = put[rng_below(&r, sizeof(put) - 1)];
		is_object = json_text_is_object(text);
		if (is_object != jansson_takes(text))
			fail_msg("%s", text);
		*(is_object ? &ngood : &nbad) += 1;
	}
	assert_true(ngood > MUTANTS / 20 && nbad > MUTANTS / 20);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_text_agrees_on_what_is_written_by_hand),
		cmocka_unit_test(test_json_text_agrees_on_mutants),
	};

	return cmocka_run_group_tests_name("json_text", tests, NULL, NULL);
}
