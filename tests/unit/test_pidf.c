/* test_pidf.c - presence documents (RFC 3863, RFC 4479, RFC 4480). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "presence/pidf.h"

#define P "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\"" \
	  " xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"pres:a@b\">"
#define E "</presence>"
#define OPEN "<tuple id=\"a\"><status><basic>open</basic></status></tuple>"

static void test_pidf_parse_vectors(void **state)
{
	static const struct {
		const char *text;
		int err;
		unsigned ntuples;
		enum pidf_basic basic;
		const char *activity, *note, *tuple_note;
	} rows[] = {
		/* RFC 3863 §4.3.1 */
		{ "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"pres:someone@example.com\">"
		  "<tuple id=\"sg89ae\"><status><basic>open</basic></status><contact priority=\"0.8\">tel:+09012345678</contact></tuple></presence>",
		  0, 1, PIDF_OPEN, "", "", "" },
		{ P "<tuple id=\"a\"><status><basic> closed\n</basic></status><note> a &amp; b </note></tuple>" E, 0, 1, PIDF_CLOSED, "", "", "a & b" },
		{ P "<tuple id=\"a\"><status/></tuple>" E, 0, 1, PIDF_UNSAID, "", "", "" },
		{ P "<tuple id=\"a\"><status><basic>perhaps</basic></status></tuple>" E, 0, 1, PIDF_UNSAID, "", "", "" },
		{ P OPEN OPEN "<note>one</note><note>two</note>" E, 0, 2, PIDF_OPEN, "", "one", "" },
		{ P OPEN "<dm:person id=\"p\"><r:activities><r:note>x</r:note><r:away/><r:busy/></r:activities><dm:note><![CDATA[<b>]]></dm:note></dm:person>" E,
		  0, 1, PIDF_OPEN, "away", "<b>", "" },
		{ P OPEN "<dm:person id=\"p\"><r:activities><r:A1/></r:activities></dm:person>" E, 0, 1, PIDF_OPEN, "", "", "" },
		{ P E, 0, 0, PIDF_UNSAID, "", "", "" },
		/* other vocabularies are passed over */
		{ P "<x:y xmlns:x=\"z\"><tuple/></x:y>" OPEN E, 0, 1, PIDF_OPEN, "", "", "" },
		{ "", -EINVAL, 0, 0, "", "", "" },
		{ "<presence/>", -EINVAL, 0, 0, "", "", "" },
		{ "<dialog-info xmlns=\"urn:ietf:params:xml:ns:pidf\"/>", -EINVAL, 0, 0, "", "", "" },
		{ P OPEN, -EINVAL, 0, 0, "", "", "" },
		{ "no XML", -EINVAL, 0, 0, "", "", "" },
		{ P "\xff" E, -EINVAL, 0, 0, "", "", "" },
		/* nothing is fetched, nothing is expanded */
		{ "<!DOCTYPE p [<!ENTITY a \"b\">]>" P "<note>&a;</note>" E, -EINVAL, 0, 0, "", "", "" },
		{ "<!DOCTYPE p SYSTEM \"file:///etc/passwd\">" P E, -EINVAL, 0, 0, "", "", "" },
		{ P "<note>&undefined;</note>" E, -EINVAL, 0, 0, "", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pidf p;
		int err = pidf_parse(&p, str_from(rows[i].text));

		if (err != rows[i].err)
			fail_msg("row %zu: %d", i, err);
		if (!err && (p.ntuples != rows[i].ntuples || p.tuples[0].basic != rows[i].basic || strcmp(p.activity, rows[i].activity) ||
			     strcmp(p.note, rows[i].note) || strcmp(p.tuples[0].note, rows[i].tuple_note)))
			fail_msg("row %zu: %u %d \"%s\" \"%s\" \"%s\"", i, p.ntuples, p.tuples[0].basic, p.activity, p.note, p.tuples[0].note);
	}
}

static void test_pidf_parse_is_bounded(void **state)
{
	static char text[PIDF_SIZE_MAX + 2];
	struct pidf p;
	struct out o;

	(void)state;
	memset(text, ' ', sizeof(text));
	assert_int_equal(pidf_parse(&p, (struct str){ text, PIDF_SIZE_MAX + 1 }), -EMSGSIZE);
	out_init(&o, text, sizeof(text));
	out_z(&o, P "<note>");
	for (int i = 0; i < 1000; i++)
		out_chr(&o, 'x');
	out_z(&o, "</note>");
	for (int i = 0; i < 100; i++)
		out_z(&o, OPEN);
	out_z(&o, E);
	assert_int_equal(pidf_parse(&p, out_view(&o)), 0);
	assert_int_equal(p.ntuples, PIDF_TUPLES_MAX);
	assert_int_equal(strlen(p.note), PIDF_TEXT_MAX - 1);
	/* Deep nests end before the stack does */
	out_init(&o, text, sizeof(text));
	for (int i = 0; i < 4000; i++)
		out_z(&o, "<a>");
	assert_int_equal(pidf_parse(&p, out_view(&o)), -EINVAL);
}

static void test_pidf_written_parses_to_the_same(void **state)
{
	struct pidf_tuple t = { .basic = PIDF_OPEN, .note = "<&\">" };
	struct pidf p;
	char text[2048];
	struct out o;

	(void)state;
	out_init(&o, text, sizeof(text));
	pidf_begin(&o, "sip:a\"b@c");
	pidf_tuple(&o, "all", &t, "sip:a@b");
	pidf_person(&o, "on-the-phone", "]]>");
	pidf_end(&o);
	assert_true(out_ok(&o));
	assert_int_equal(pidf_parse(&p, out_view(&o)), 0);
	assert_int_equal(p.ntuples, 1);
	assert_int_equal(p.tuples[0].basic, PIDF_OPEN);
	assert_string_equal(p.tuples[0].note, "<&\">");
	assert_string_equal(p.activity, "on-the-phone");
	assert_string_equal(p.note, "]]>");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pidf_parse_vectors),
		cmocka_unit_test(test_pidf_parse_is_bounded),
		cmocka_unit_test(test_pidf_written_parses_to_the_same),
	};

	return cmocka_run_group_tests_name("pidf", tests, NULL, NULL);
}
