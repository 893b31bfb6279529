/* pidf.c - presence documents by libxml2's tree; writing needs no library. */
#include "presence/pidf.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

#include "presence/xml.h"

#define NS "urn:ietf:params:xml:ns:pidf"
#define NS_PERSON NS ":data-model"
#define NS_RPID NS ":rpid"

static bool is_element(const xmlNode *n, const char *ns, const char *name)
{
	return n->type == XML_ELEMENT_NODE && n->ns && n->ns->href && !strcmp((const char *)n->ns->href, ns) &&
	       !strcmp((const char *)n->name, name);
}

static const xmlNode *child(const xmlNode *parent, const char *ns, const char *name)
{
	const xmlNode *n = parent->children;

	while (n && !is_element(n, ns, name))
		n = n->next;
	return n;
}

/* The text of an element, trimmed, cut to what fits. */
static void read_text(const xmlNode *n, char *buf, size_t size)
{
	size_t at = 0;
	struct str s;

	for (const xmlNode *t = n->children; t; t = t->next) {
		if ((t->type != XML_TEXT_NODE && t->type != XML_CDATA_SECTION_NODE) || !t->content)
			continue;
		s = str_from((const char *)t->content);
		if (s.n > size - 1 - at)
			s.n = size - 1 - at;
		memcpy(buf + at, s.p, s.n);
		at += s.n;
	}
	s = str_trim((struct str){ buf, at });
	memmove(buf, s.p, s.n);
	buf[s.n] = '\0';
}

static void read_tuple(const xmlNode *n, struct pidf_tuple *t)
{
	const xmlNode *status = child(n, NS, "status"), *basic = status ? child(status, NS, "basic") : NULL, *note = child(n, NS, "note");
	char text[16] = "";

	*t = (struct pidf_tuple){ 0 };
	if (basic)
		read_text(basic, text, sizeof(text));
	if (!strcmp(text, "open"))
		t->basic = PIDF_OPEN;
	else if (!strcmp(text, "closed"))
		t->basic = PIDF_CLOSED;
	if (note)
		read_text(note, t->note, sizeof(t->note));
}

static bool is_word(const char *z)
{
	return *z && strlen(z) < PIDF_ACTIVITY_MAX && strspn(z, "abcdefghijklmnopqrstuvwxyz-") == strlen(z);
}

static void read_activity(const xmlNode *n, struct pidf *out)
{
	const xmlNode *list = child(n, NS_RPID, "activities");

	for (const xmlNode *a = list ? list->children : NULL; a && !out->activity[0]; a = a->next)
		if (a->type == XML_ELEMENT_NODE && a->ns && a->ns->href && !strcmp((const char *)a->ns->href, NS_RPID) &&
		    strcmp((const char *)a->name, "note") != 0 && is_word((const char *)a->name))
			strcpy(out->activity, (const char *)a->name);
}

static void read_person(const xmlNode *n, struct pidf *out)
{
	const xmlNode *note = child(n, NS_PERSON, "note");

	read_activity(n, out);
	if (note)
		read_text(note, out->note, sizeof(out->note));
}

static int read_document(const xmlDoc *doc, struct pidf *out)
{
	const xmlNode *root = xmlDocGetRootElement(doc);

	if (!root || doc->intSubset || doc->extSubset || !is_element(root, NS, "presence"))
		return -EINVAL;
	for (const xmlNode *n = root->children; n; n = n->next) {
		if (is_element(n, NS, "tuple") && out->ntuples < PIDF_TUPLES_MAX) {
			read_tuple(n, &out->tuples[out->ntuples++]);
			read_activity(n, out); /* older phones put it there */
		} else if (is_element(n, NS_PERSON, "person")) {
			read_person(n, out);
		} else if (is_element(n, NS, "note") && !out->note[0]) {
			read_text(n, out->note, sizeof(out->note));
		}
	}
	return 0;
}

int pidf_parse(struct pidf *out, struct str body)
{
	static const int options = XML_PARSE_NONET | XML_PARSE_IGNORE_ENC | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_COMPACT;
	xmlParserCtxt *ctxt;
	xmlDoc *doc;
	int err;

	*out = (struct pidf){ 0 };
	if (body.n > PIDF_SIZE_MAX)
		return -EMSGSIZE;
	/* A document type is where entities come from. Nobody's presence has one: it isn't even looked at. */
	if (str_empty(body) || memmem(body.p, body.n, "<!DOCTYPE", 9))
		return -EINVAL;
	ctxt = xmlNewParserCtxt();
	if (!ctxt)
		return -ENOMEM;
	/* The encoding is ours to say, so that what was looked for above can't be hidden in another. */
	doc = xmlCtxtReadMemory(ctxt, body.p, (int)body.n, NULL, "UTF-8", options);
	err = doc ? read_document(doc, out) : -EINVAL;
	xmlFreeDoc(doc);
	xmlFreeParserCtxt(ctxt);
	return err;
}

/* ---- writing ---- */

void pidf_begin(struct out *o, const char *entity)
{
	out_z(o, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<presence xmlns=\"" NS "\" xmlns:dm=\"" NS_PERSON "\" xmlns:rpid=\"" NS_RPID "\"");
	xml_attr(o, "entity", str_from(entity));
	out_z(o, ">\r\n");
}

void pidf_tuple(struct out *o, const char *id, const struct pidf_tuple *t, const char *contact)
{
	out_fmt(o, "<tuple id=\"%s\"><status>", id);
	if (t->basic != PIDF_UNSAID)
		out_fmt(o, "<basic>%s</basic>", t->basic == PIDF_OPEN ? "open" : "closed");
	out_z(o, "</status>");
	if (contact) {
		out_z(o, "<contact>");
		xml_text(o, str_from(contact));
		out_z(o, "</contact>");
	}
	if (t->note[0]) {
		out_z(o, "<note>");
		xml_text(o, str_from(t->note));
		out_z(o, "</note>");
	}
	out_z(o, "</tuple>\r\n");
}

void pidf_person(struct out *o, const char *activity, const char *note)
{
	if (!activity[0] && !note[0])
		return;
	out_z(o, "<dm:person id=\"person\">");
	if (activity[0])
		out_fmt(o, "<rpid:activities><rpid:%s/></rpid:activities>", activity);
	if (note[0]) {
		out_z(o, "<dm:note>");
		xml_text(o, str_from(note));
		out_z(o, "</dm:note>");
	}
	out_z(o, "</dm:person>\r\n");
}

void pidf_end(struct out *o)
{
	out_z(o, "</presence>\r\n");
}
