/* parse_sofia.c - Sofia-SIP at the benchmark.
 *
 * msg_make() copies the message into memory of its own home and reads eagerly all headers it knows (Allow, Supported, User-Agent too) into
 * structs; parameters are lists of pointers to "name=value". sdp_parse() reads all it knows.
 */
#include <sofia-sip/msg.h>
#include <sofia-sip/sdp.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/su_alloc.h>

#include "parse.h"

static msg_t *message;
static sdp_parser_t *session;

static struct str unquoted(const char *z)
{
	struct str s = str_from(z);

	return s.n >= 2 && s.p[0] == '"' ? (struct str){ s.p + 1, s.n - 2 } : s;
}

static void read_routes(const sip_route_t *r, struct facts *f)
{
	for (; r; r = r->r_next) {
		f->nroutes++;
		f->route_host = str_from(r->r_url->url_host);
	}
}

static void read_headers(const sip_t *sip, struct facts *f)
{
	for (const sip_via_t *v = sip->sip_via; v; v = v->v_next) {
		f->nvias++;
		f->via_host = str_from(v->v_host);
	}
	f->branch = str_from(sip->sip_via->v_branch);
	for (const sip_contact_t *c = sip->sip_contact; c; c = c->m_next) {
		f->ncontacts++;
		f->contact_host = str_from(c->m_url->url_host);
	}
	read_routes(sip->sip_route, f);
	read_routes(sip->sip_record_route, f);
	f->max_forwards = sip->sip_max_forwards ? (int)sip->sip_max_forwards->mf_count : -1;
	if (sip->sip_content_type)
		f->content_type = str_from(sip->sip_content_type->c_type);
	if (sip->sip_authorization)
		f->auth_response = unquoted(msg_params_find(sip->sip_authorization->au_params, "response="));
}

static int read_media(const sdp_session_t *s, struct facts *f)
{
	const sdp_media_t *m = s ? s->sdp_media : NULL;

	if (!m)
		return -1;
	f->media_port = (unsigned)m->m_port;
	f->media_addr = str_from(m->m_connections ? m->m_connections->c_address : s->sdp_connection->c_address);
	f->direction = m->m_mode == sdp_sendrecv ? 's' : m->m_mode == sdp_sendonly ? 'o' : m->m_mode == sdp_recvonly ? 'r' : 'i';
	for (const sdp_rtpmap_t *r = m->m_rtpmaps; r; r = r->rm_next) {
		f->nformats++;
		if (strcasecmp(r->rm_encoding, "telephone-event") != 0)
			continue;
		f->event_hz = (unsigned)r->rm_rate;
		f->event_format = r->rm_pt == 101 ? STR("101") : STR("?");
	}
	return 0;
}

static int parse(const char *bytes, size_t len, struct facts *f)
{
	const sip_t *sip;

	message = msg_make(sip_default_mclass(), 0, bytes, (ssize_t)len);
	sip = message ? sip_object(message) : NULL;
	if (!sip || !sip->sip_cseq || msg_has_error(message))
		return -1;
	f->method = str_from(sip->sip_cseq->cs_method_name);
	f->status = sip->sip_status ? sip->sip_status->st_status : 0;
	f->cseq = sip->sip_cseq->cs_seq;
	f->call_id = str_from(sip->sip_call_id->i_id);
	f->from_tag = str_from(sip->sip_from->a_tag);
	f->to_tag = str_from(sip->sip_to->a_tag);
	f->from_user = str_from(sip->sip_from->a_url->url_user);
	f->to_host = str_from(sip->sip_to->a_url->url_host);
	if (sip->sip_request)
		f->ruri_host = str_from(sip->sip_request->rq_url->url_host);
	read_headers(sip, f);
	if (!sip->sip_payload || !sip->sip_payload->pl_len)
		return 0;
	session = sdp_parse(msg_home(message), sip->sip_payload->pl_data, (issize_t)sip->sip_payload->pl_len, 0);
	return read_media(sdp_session(session), f);
}

static void release(void)
{
	if (session)
		sdp_parser_free(session);
	msg_destroy(message);
	session = NULL;
	message = NULL;
}

extern const struct parser parser;
const struct parser parser = { "Sofia-SIP", "1.12", parse, release };
