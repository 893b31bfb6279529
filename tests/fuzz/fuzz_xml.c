/* fuzz_xml.c - libFuzzer target on what we write into XML documents: the first line of the input is an attribute, the rest a text.
 *
 * Whatever somebody calls himself, the document can be read and holds one element with one attribute and a text: nothing of it became
 * markup. What was read of it, written again, is read as the same.
 */
#include <assert.h>
#include <libxml/parser.h>

#include "presence/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char document[65536];

/* The element's attribute and text; free both with xmlFree(). */
static void write_and_read(struct str attr, struct str text, xmlChar **attr_out, xmlChar **text_out)
{
	xmlNode *root;
	struct out o;
	xmlDoc *doc;

	out_init(&o, document, sizeof(document));
	out_z(&o, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<r");
	xml_attr(&o, "a", attr);
	out_chr(&o, '>');
	xml_text(&o, text);
	out_z(&o, "</r>");
	assert(out_ok(&o));
	doc = xmlReadMemory(o.p, (int)o.len, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	assert(doc);
	root = xmlDocGetRootElement(doc);
	assert(root && !root->next && !xmlFirstElementChild(root));
	assert(!root->properties == !attr.n && (!root->properties || !root->properties->next));
	*attr_out = xmlGetProp(root, (const xmlChar *)"a");
	*text_out = xmlNodeGetContent(root);
	xmlFreeDoc(doc);
}

static size_t plain_chars(const char *p, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += p[i] > ' ' && p[i] != '?' && p[i] < 0x7f;
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size }, attr = str_cut(&text, '\n');
	xmlChar *attrs[2], *texts[2];

	write_and_read(attr, text, &attrs[0], &texts[0]);
	assert(plain_chars(text.p, text.n) == plain_chars((const char *)texts[0], strlen((const char *)texts[0])));
	write_and_read(str_from((const char *)attrs[0]), str_from((const char *)texts[0]), &attrs[1], &texts[1]);
	assert(xmlStrEqual(attrs[0], attrs[1]) && xmlStrEqual(texts[0], texts[1]));
	for (unsigned i = 0; i < 2; i++) {
		xmlFree(attrs[i]);
		xmlFree(texts[i]);
	}
	return 0;
}
