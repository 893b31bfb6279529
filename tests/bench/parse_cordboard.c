/* parse_cordboard.c - Cordboard's parser at the benchmark.
 *
 * sip_msg_parse() reads eagerly: the start line with its URI, topmost Via, From, To, Call-ID, CSeq, Max-Forwards, Content-Length. Lazily,
 * so asked for here: further Vias, Contact, Route and Record-Route, Content-Type, Authorization. Parameters stay text until one
 * is looked for. sdp_parse() reads all it knows, into one block of memory with a copy of the text. It reads in place, so that the datagram is copied first, which the server doesn't do.
 */
#include <stdlib.h>

#include "parse.h"
#include "sdp/sdp.h"
#include "sip/msg.h"

static struct sdp *session;

static void read_routes(const struct sip_msg *m, enum sip_hdr_id id, struct facts *f)
{
	struct sip_hdr_iter it = { 0 };
	struct sip_addr a;
	struct str one;

	while (sip_msg_element_next(m, id, &it, &one))
		if (sip_addr_parse(&a, one) == 0) {
			f->nroutes++;
			f->route_host = a.uri.host;
		}
}

static void read_headers(const struct sip_msg *m, struct facts *f)
{
	struct sip_hdr_iter vias = { 0 }, contacts = { 0 };
	struct sip_credentials c;
	struct sip_via via;
	struct sip_addr a;
	struct str one, params;

	while (sip_msg_element_next(m, SIP_HDR_VIA, &vias, &one))
		if (f->nvias++ == 0) {
			f->via_host = m->via.host;
		} else if (sip_via_parse(&via, one) == 0) {
			f->via_host = via.host;
		}
	while (sip_msg_element_next(m, SIP_HDR_CONTACT, &contacts, &one))
		if (sip_addr_parse(&a, one) == 0) {
			f->ncontacts++;
			f->contact_host = a.uri.host;
		}
	read_routes(m, SIP_HDR_ROUTE, f);
	read_routes(m, SIP_HDR_RECORD_ROUTE, f);
	if (sip_msg_has(m, SIP_HDR_CONTENT_TYPE))
		sip_token_params(sip_msg_value(m, SIP_HDR_CONTENT_TYPE), &f->content_type, &params);
	if (sip_msg_has(m, SIP_HDR_AUTHORIZATION) && sip_credentials_parse(&c, sip_msg_value(m, SIP_HDR_AUTHORIZATION)) == 0)
		f->auth_response = c.response;
}

static void read_media(const struct sdp *s, struct facts *f)
{
	const struct sdp_media *m = &s->media[0];

	f->media_port = m->port;
	f->media_addr = m->addr;
	f->nformats = m->nformats;
	f->direction = "iors"[m->dir];
	for (unsigned i = 0; i < m->nformats; i++)
		if (str_ieqz(m->formats[i].name, "telephone-event")) {
			f->event_format = m->formats[i].text;
			f->event_hz = m->formats[i].clock_hz;
		}
}

static int parse(const char *bytes, size_t len, struct facts *f)
{
	static char datagram[SIP_MSG_MAX];
	static struct sip_msg m;
	struct sip_msg_error err;

	memcpy(datagram, bytes, len);
	if (sip_msg_parse(&m, datagram, len, &err) != 0)
		return -1;
	f->method = m.cseq.method_name;
	f->status = m.status;
	f->cseq = m.cseq.seq;
	f->max_forwards = m.max_forwards;
	f->call_id = m.call_id;
	f->from_tag = m.from.tag;
	f->to_tag = m.to.tag;
	f->branch = m.via.branch;
	f->from_user = m.from.uri.user;
	f->to_host = m.to.uri.host;
	f->ruri_host = m.ruri.host;
	read_headers(&m, f);
	if (!m.body.n)
		return 0;
	if (sdp_parse(&session, m.body) != 0 || !session->nmedia)
		return -1;
	read_media(session, f);
	return 0;
}

static void release(void)
{
	free(session);
	session = NULL;
}

const struct parser cordboard_parser = { "Cordboard", "", parse, release };
