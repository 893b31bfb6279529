/* response.c - responses: what is copied from the request, what is added, and where they go.
 *
 * Half of what a call costs here is writing; so pieces are put together instead of formatted.
 */
#include <errno.h>

#include "base/scan.h"
#include "sip/digest.h"
#include "sip/sessid.h"
#include "sip/stack_int.h"

/* Is it this one, with or without a value? */
static bool is_param(struct str param, const char *name, bool *has_value)
{
	size_t n = strlen(name);
	const char *end = param.p + param.n;

	if (!param.n || (param.p[0] | 0x20) != name[0])
		return false;
	*has_value = scan_either(param.p, end, '=', '=') < end;
	return str_ieq(str_trim(str_cut(&param, '=')), (struct str){ name, n });
}

/* Those of overload control, ours to set where it was offered and there is something to say. */
static bool is_oc(struct str param)
{
	static const char *const names[] = { "oc", "oc-algo", "oc-validity", "oc-seq" };
	bool has_value;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (is_param(param, names[i], &has_value))
			return true;
	return false;
}

static void write_top_via(struct out *o, const struct sip_stack *s, const struct sip_msg *m, const struct sip_source *src)
{
	unsigned loss = stack_loss(s);
	bool tells_loss = loss && overload_is_offered(&m->via);
	char host[SOCKADDR_TEXT_MAX];
	bool first = true, has_value;

	/* Written anew parameter by parameter: received and rport are ours to set (RFC 3581 §4). */
	out_z(o, "Via: ");
	for (const char *at = m->via.value.p, *end = at + m->via.value.n; at <= end;) {
		const char *stop = scan_either(at, end, ';', ';');
		struct str part = str_trim((struct str){ at, (size_t)(stop - at) });

		at = stop + 1;
		if (!first && is_param(part, "received", &has_value))
			continue;
		if (!first && is_param(part, "rport", &has_value))
			continue;
		if (tells_loss && !first && is_oc(part))
			continue;
		if (!first)
			out_chr(o, ';');
		/* RFC 6223 §4.4: who asks is told how often; STUN and CRLF are answered. */
		if (!first && is_param(part, "keep", &has_value) && !has_value)
			out_z(o, is_reliable(src->proto) ? "keep=90" : "keep=30");
		else
			out_str(o, part);
		first = false;
	}
	sockaddr_print_host(&src->peer, host);
	if (m->via.has_rport) {
		out_z(o, ";rport=");
		out_u64(o, sockaddr_port(&src->peer));
	}
	if (m->via.has_rport || !str_eqz(m->via.host, host)) {
		out_z(o, ";received=");
		out_z(o, host);
	}
	if (tells_loss)
		overload_print(o, &m->via, loss, clock_mono_ms(s->p.clock) + (uint64_t)s->seq_ms);
	out_z(o, "\r\n");
}

static void write_header(struct out *o, const char *name, struct str value)
{
	out_z(o, name);
	out_mem(o, ": ", 2);
	out_str(o, value);
	out_mem(o, "\r\n", 2);
}

/* One that may stand once. */
static void copy_header(struct out *o, const struct sip_msg *m, enum sip_hdr_id id, const char *name)
{
	if (sip_msg_has(m, id))
		write_header(o, name, sip_msg_value(m, id));
}

static void copy_headers(struct out *o, const struct sip_msg *m, enum sip_hdr_id id)
{
	struct sip_hdr_iter it = { 0 };
	struct str value;

	while (sip_msg_hdr_next(m, id, &it, &value))
		write_header(o, sip_hdr_name(id), value);
}

static void write_vias(struct out *o, const struct sip_stack *s, const struct sip_msg *m, const struct sip_source *src)
{
	struct sip_hdr_iter it = { 0 };
	struct str one;

	write_top_via(o, s, m, src);
	if (!m->has_more_vias)
		return;
	sip_msg_element_next(m, SIP_HDR_VIA, &it, &one);
	while (sip_msg_element_next(m, SIP_HDR_VIA, &it, &one))
		write_header(o, "Via", one);
}

static void write_to(struct out *o, const struct sip_msg *m, const struct sip_reply *r, const char *own_tag)
{
	if (!sip_msg_has(m, SIP_HDR_TO))
		return;
	out_z(o, "To: ");
	out_str(o, sip_msg_value(m, SIP_HDR_TO));
	/* RFC 3261 §8.2.6.2: every response but 100 gets a tag. */
	if (!m->to.tag.n && r->status > 100) {
		out_z(o, ";tag=");
		out_str(o, r->to_tag.n ? r->to_tag : str_from(own_tag));
	}
	out_z(o, "\r\n");
}

/* Who is answered before anybody else is in the session is told back his own half of its name (RFC 7989 §7). */
static void write_session_id(struct out *o, const struct sip_msg *m)
{
	char local[SESSID_LEN + 1], remote[SESSID_LEN + 1];

	if (sessid_of(m, local, remote))
		sessid_print(o, SESSID_NIL, local);
}

void write_end(struct out *o, const char *name, const char *server, const char *ctype, struct str body)
{
	if (server)
		write_header(o, name, str_from(server));
	if (ctype)
		write_header(o, "Content-Type", str_from(ctype));
	out_z(o, "Content-Length: ");
	out_u64(o, ctype ? body.n : 0);
	out_mem(o, "\r\n\r\n", 4);
	if (ctype)
		out_str(o, body);
}

void response_write(struct out *o, const struct sip_stack *s, const struct sip_msg *m, const struct sip_source *src,
		    const struct sip_reply *r, const char *own_tag, const struct response_hdrs *h)
{
	bool makes_dialog = r->status > 100 && r->status < 300 && (m->method == SIP_INVITE || m->method == SIP_SUBSCRIBE);

	out_z(o, "SIP/2.0 ");
	out_u64(o, (unsigned)r->status);
	out_chr(o, ' ');
	out_z(o, r->reason ? r->reason : sip_reason(r->status));
	out_mem(o, "\r\n", 2);
	write_vias(o, s, m, src);
	copy_header(o, m, SIP_HDR_FROM, "From");
	write_to(o, m, r, own_tag);
	copy_header(o, m, SIP_HDR_CALL_ID, "Call-ID");
	copy_header(o, m, SIP_HDR_CSEQ, "CSeq");
	if (makes_dialog)
		copy_headers(o, m, SIP_HDR_RECORD_ROUTE);
	if (r->status == 100)
		copy_header(o, m, SIP_HDR_TIMESTAMP, "Timestamp");
	if (h->all.n)
		out_str(o, h->all);
	else
		write_session_id(o, m);
	if (r->status / 100 == 2) {
		out_str(o, h->success);
		if (h->proof)
			digest_proof_print(h->proof, o, r->ctype ? r->body : STR_NULL);
	}
	out_str(o, r->hdrs);
	write_end(o, "Server", s->p.server, r->ctype, r->body);
}

void response_dest(struct sip_dest *out, const struct sip_msg *m, const struct sip_source *src)
{
	*out = (struct sip_dest){ .proto = src->proto, .addr = src->peer, .flow = src->flow };
	if (!is_reliable(src->proto) && !m->via.has_rport)
		sockaddr_set_port(&out->addr, m->via.port ? m->via.port : 5060);
}
