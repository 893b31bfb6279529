/* parse_osip.c - libosip2 at the benchmark.
 *
 * osip_message_parse() copies the message and reads eagerly all headers it has structs for, parameters into lists, each piece into memory of
 * its own; Max-Forwards, Supported and the like stay texts, found by name. sdp_message_parse() leaves attributes texts, which are looked
 * through here as a user agent must. Its strings end with NUL; so their lengths are taken as a user of them would.
 */
#include <osipparser2/osip_parser.h>
#include <osipparser2/sdp_message.h>
#include <stdio.h>
#include <stdlib.h>

#include "parse.h"

static osip_message_t *message;
static sdp_message_t *session;

static struct str tag_of(osip_from_t *from)
{
	osip_generic_param_t *tag = NULL;

	return osip_from_get_tag(from, &tag) >= 0 && tag ? str_from(tag->gvalue) : STR_NULL;
}

static void read_routes(osip_list_t *routes, struct facts *f)
{
	for (int i = 0; !osip_list_eol(routes, i); i++) {
		f->nroutes++;
		f->route_host = str_from(((osip_route_t *)osip_list_get(routes, i))->url->host);
	}
}

static struct str unquoted(const char *z)
{
	struct str s = str_from(z);

	return s.n >= 2 && s.p[0] == '"' ? (struct str){ s.p + 1, s.n - 2 } : s;
}

static void read_headers(osip_message_t *m, struct facts *f)
{
	osip_generic_param_t *branch = NULL;
	osip_header_t *forwards = NULL;
	osip_authorization_t *auth = osip_list_get(&m->authorizations, 0);
	osip_via_t *via;

	for (int i = 0; !osip_list_eol(&m->vias, i); i++) {
		via = osip_list_get(&m->vias, i);
		f->nvias++;
		f->via_host = str_from(via->host);
		if (i == 0 && osip_via_param_get_byname(via, (char *)"branch", &branch) >= 0 && branch)
			f->branch = str_from(branch->gvalue);
	}
	for (int i = 0; !osip_list_eol(&m->contacts, i); i++) {
		f->ncontacts++;
		f->contact_host = str_from(((osip_contact_t *)osip_list_get(&m->contacts, i))->url->host);
	}
	read_routes(&m->routes, f);
	read_routes(&m->record_routes, f);
	f->max_forwards = osip_message_get_max_forwards(m, 0, &forwards) >= 0 && forwards ? atoi(forwards->hvalue) : -1;
	if (m->content_type)
		f->content_type = STR("application/sdp");
	if (m->content_type && (strcmp(m->content_type->type, "application") || strcmp(m->content_type->subtype, "sdp")))
		f->content_type = STR_NULL;
	if (auth)
		f->auth_response = unquoted(auth->response);
}

static char direction_of(const char *name)
{
	static const char *const names[] = { "sendrecv", "sendonly", "recvonly", "inactive" };

	for (int i = 0; i < 4; i++)
		if (strcmp(name, names[i]) == 0)
			return "sori"[i];
	return 0;
}

static void read_attribute(sdp_media_t *m, const sdp_attribute_t *a, struct facts *f)
{
	char name[64];
	unsigned pt, hz;

	if (direction_of(a->a_att_field))
		f->direction = direction_of(a->a_att_field);
	if (strcmp(a->a_att_field, "rtpmap") != 0 || !a->a_att_value || sscanf(a->a_att_value, "%u %63[^/]/%u", &pt, name, &hz) != 3 ||
	    strcasecmp(name, "telephone-event") != 0)
		return;
	f->event_hz = hz;
	for (int i = 0; !osip_list_eol(&m->m_payloads, i); i++)
		if ((unsigned)atoi(osip_list_get(&m->m_payloads, i)) == pt)
			f->event_format = str_from(osip_list_get(&m->m_payloads, i));
}

static int read_media(struct facts *f)
{
	sdp_media_t *m = osip_list_get(&session->m_medias, 0);
	sdp_connection_t *c;

	if (!m)
		return -1;
	f->media_port = (unsigned)atoi(m->m_port);
	f->nformats = (unsigned)osip_list_size(&m->m_payloads);
	c = osip_list_size(&m->c_connections) ? osip_list_get(&m->c_connections, 0) : session->c_connection;
	f->media_addr = str_from(c->c_addr);
	f->direction = 's';
	for (int i = 0; !osip_list_eol(&m->a_attributes, i); i++)
		read_attribute(m, osip_list_get(&m->a_attributes, i), f);
	return 0;
}

static int parse(const char *bytes, size_t len, struct facts *f)
{
	static bool is_ready;
	osip_body_t *body;

	if (!is_ready)
		parser_init();
	is_ready = true;
	if (osip_message_init(&message) != 0 || osip_message_parse(message, bytes, len) != 0)
		return -1;
	f->method = str_from(message->cseq->method);
	f->status = message->status_code;
	f->cseq = (uint32_t)strtoul(message->cseq->number, NULL, 10);
	f->from_tag = tag_of(message->from);
	f->to_tag = tag_of(message->to);
	f->from_user = str_from(message->from->url->username);
	f->to_host = str_from(message->to->url->host);
	if (message->req_uri)
		f->ruri_host = str_from(message->req_uri->host);
	/* It takes a Call-ID apart at the @; the whole one still stands in front of the host. */
	f->call_id = str_from(message->call_id->number);
	read_headers(message, f);
	body = osip_list_get(&message->bodies, 0);
	if (!body)
		return 0;
	if (sdp_message_init(&session) != 0 || sdp_message_parse(session, body->body) != 0)
		return -1;
	return read_media(f);
}

static void release(void)
{
	if (session)
		sdp_message_free(session);
	osip_message_free(message);
	session = NULL;
	message = NULL;
}

extern const struct parser parser;
const struct parser parser = { "libosip2", "5", parse, release };
