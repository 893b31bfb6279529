/* dialog.c - dialog state: made from a request and its response, used to write the next request.
 *
 * Strings are kept as the text the next request needs, so that writing one is copying; only the first route
 * is looked into, to tell a loose router from a strict one. Where the requests go is dialog_way.c's.
 */
#include "sip/dialog_int.h"

#include "sip/request.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_FORWARDS 70
#define ROUTES_MAX 8192 /* a route set longer than this is nobody's network */

static int replace(char **field, struct str s)
{
	char *copy = str_dup(s);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* ---- addresses ---- */

/* "Display" <uri>; the display is unquoted text, or raw when it came from a message (escapes still in it). */
static char *name_addr(struct str display, struct str uri, bool is_raw)
{
	char most[256];
	struct out o;

	out_init_on(&o, most, sizeof(most), SIP_MSG_MAX);
	if (display.n > 0) {
		out_chr(&o, '"');
		for (size_t i = 0; i < display.n; i++) {
			if (!is_raw && (display.p[i] == '"' || display.p[i] == '\\'))
				out_chr(&o, '\\');
			if (display.p[i] != '\r' && display.p[i] != '\n')
				out_chr(&o, display.p[i]);
		}
		out_z(&o, "\" ");
	}
	out_chr(&o, '<');
	out_str(&o, uri);
	out_chr(&o, '>');
	return out_take(&o);
}

/* What may stand in a Request-URI: all but the headers (RFC 3261 §19.1.1). */
static struct str without_headers(const struct sip_uri *uri)
{
	struct str text = uri->text;

	if (uri->headers.p)
		text.n = (size_t)(uri->headers.p - 1 - text.p);
	return text;
}

int dialog_contact_of(const struct sip_msg *m, struct sip_uri *out)
{
	struct sip_hdr_iter it = { 0 };
	struct str element;
	struct sip_addr a;

	if (!sip_msg_element_next(m, SIP_HDR_CONTACT, &it, &element) || sip_addr_parse(&a, element))
		return -ENOENT;
	if ((a.uri.scheme != SIP_SCHEME_SIP && a.uri.scheme != SIP_SCHEME_SIPS) || str_empty(a.uri.host))
		return -ENOENT;
	*out = a.uri;
	out->text = without_headers(&a.uri);
	return 0;
}

/* ---- making ---- */

static int routes_from(const struct sip_msg *m, bool is_reversed, char **out)
{
	struct str elements[SIP_HDR_MAX];
	struct sip_hdr_iter it = { 0 };
	struct out o;
	size_t n = 0;

	while (n < ARRAY_LEN(elements) && sip_msg_element_next(m, SIP_HDR_RECORD_ROUTE, &it, &elements[n]))
		n++;
	if (!n)
		return replace(out, STR_NULL);
	out_init_grow(&o, ROUTES_MAX);
	for (size_t i = 0; i < n; i++) {
		out_str(&o, elements[is_reversed ? n - 1 - i : i]);
		out_chr(&o, '\n');
	}
	int err = out_ok(&o) ? replace(out, out_view(&o)) : -EMSGSIZE;
	out_fini(&o);
	return err;
}

static int table_add(struct dialog *d, const struct dialog_usage *usage)
{
	HASH_ADD_KEYPTR(hh, d->ua->dialogs, d->local_tag, DIALOG_TAG_LEN, d);
	if (d->hh.tbl) {
		d->usage = usage;
		return 0;
	}
	dialog_fini(d);
	return -ENOMEM;
}

static int copy_auth(struct dialog *d, const char *user, const char *password)
{
	if (!user)
		return 0;
	d->auth = calloc(1, sizeof(*d->auth));
	if (!d->auth)
		return -ENOMEM;
	d->auth->user = strdup(user);
	d->auth->password = strdup(password ? password : "");
	return d->auth->user && d->auth->password ? 0 : -ENOMEM;
}

static char *escaped_user(struct str user)
{
	char buf[512];
	struct out o;

	out_init(&o, buf, sizeof(buf));
	sip_escape_user(&o, user);
	return out_ok(&o) ? str_dup(out_view(&o)) : NULL;
}

/* Route header values as given: one comma list becomes one line each. */
static int routes_given(struct str value, char **out)
{
	struct out o;

	out_init_grow(&o, ROUTES_MAX);
	while (value.n > 0) {
		struct str element = sip_list_cut(&value);

		if (element.n > 0) {
			out_str(&o, element);
			out_chr(&o, '\n');
		}
	}
	int err = out_ok(&o) ? replace(out, out_view(&o)) : -EMSGSIZE;
	out_fini(&o);
	return err;
}

/* Does a sips URI lead to the peer: the top route's, else its own? */
static bool leads_by_sips(const struct dialog *d)
{
	return str_istarts(str_from(*d->routes ? d->routes : d->target), *d->routes ? STR("<sips:") : STR("sips:"));
}

int dialog_init_uac(struct dialog *d, struct sip_ua *ua, const struct dialog_usage *usage, const struct dialog_params *p)
{
	struct sip_uri target;
	char call_id[37];
	int err;

	*d = (struct dialog){ .ua = ua, .is_uac = true, .has_rivals = p->has_rivals, .oc = p->oc };
	rng_token(ua->rng, d->local_tag, DIALOG_TAG_LEN);
	rng_uuid(ua->rng, call_id);
	d->call_id = str_dup(str_empty(p->call_id) ? str_from(call_id) : p->call_id);
	d->remote_tag = str_dup(STR(""));
	d->local = name_addr(p->from_display, p->from_uri, false);
	d->remote = name_addr(p->to_display, p->to_uri, false);
	d->target = str_dup(memchr(p->target.p, '?', p->target.n) && sip_uri_parse(&target, p->target) == 0 ?
			    without_headers(&target) : p->target);
	d->contact_user = escaped_user(p->contact_user);
	dialog_set_first_dest(d, &p->dest);
	err = routes_given(p->route, &d->routes);
	if (!err && p->hdrs.n)
		err = dialog_set_hdrs(d, p->hdrs);
	if (!err)
		err = copy_auth(d, p->auth_user, p->auth_password);
	if (!err && !(d->call_id && d->remote_tag && d->local && d->remote && d->target && d->contact_user))
		err = -ENOMEM;
	if (err) {
		dialog_fini(d);
		return err;
	}
	d->is_secure = leads_by_sips(d);
	dialog_find_other_targets(d);
	return table_add(d, usage);
}

int dialog_init_uas(struct dialog *d, struct sip_ua *ua, const struct dialog_usage *usage, const struct sip_msg *m,
		    const struct sip_source *src)
{
	struct sip_uri contact;
	int err;

	*d = (struct dialog){ .ua = ua, .is_established = true };
	if (dialog_contact_of(m, &contact))
		return -EINVAL;
	rng_token(ua->rng, d->local_tag, DIALOG_TAG_LEN);
	d->call_id = str_dup(m->call_id);
	d->remote_tag = str_dup(m->from.tag);
	d->local = name_addr(m->to.display, m->to.uri.text, true);
	d->remote = name_addr(m->from.display, m->from.uri.text, true);
	d->target = str_dup(contact.text);
	d->contact_user = str_dup(m->ruri.user);
	d->remote_seq = m->cseq.seq;
	d->has_remote_seq = true;
	d->source = *src;
	err = routes_from(m, false, &d->routes);
	if (!err && !(d->call_id && d->remote_tag && d->local && d->remote && d->target && d->contact_user))
		err = -ENOMEM;
	if (err) {
		dialog_fini(d);
		return err;
	}
	d->is_secure = m->ruri.scheme == SIP_SCHEME_SIPS || leads_by_sips(d);
	dialog_choose_dest(d);
	return table_add(d, usage);
}

int dialog_init_kept(struct dialog *d, struct sip_ua *ua, const struct dialog_usage *usage, const struct subscription_kept *k)
{
	*d = (struct dialog){ .ua = ua, .is_established = true, .local_seq = k->local_seq, .remote_seq = k->remote_seq,
			      .has_remote_seq = true, .source = { .proto = k->proto, .peer = k->peer } };
	if (k->local_tag.n != DIALOG_TAG_LEN || dialog_find(ua, k->call_id, k->local_tag))
		return -EINVAL;
	memcpy(d->local_tag, k->local_tag.p, DIALOG_TAG_LEN);
	d->call_id = str_dup(k->call_id);
	d->remote_tag = str_dup(k->remote_tag);
	d->local = str_dup(k->local);
	d->remote = str_dup(k->remote);
	d->target = str_dup(k->target);
	d->routes = str_dup(k->routes);
	d->contact_user = str_dup(k->contact_user);
	if (!(d->call_id && d->remote_tag && d->local && d->remote && d->target && d->routes && d->contact_user)) {
		dialog_fini(d);
		return -ENOMEM;
	}
	dialog_choose_dest(d);
	return table_add(d, usage);
}

int dialog_init_fork(struct dialog *d, const struct dialog *like, const struct sip_msg *m, const struct sip_source *src)
{
	int err;

	*d = (struct dialog){ .ua = like->ua, .is_uac = like->is_uac, .local_seq = like->local_seq,
			      .oc = like->oc };
	memcpy(d->local_tag, like->local_tag, sizeof(d->local_tag));
	d->call_id = strdup(like->call_id);
	d->remote_tag = strdup(like->remote_tag);
	d->local = strdup(like->local);
	d->remote = strdup(like->remote);
	d->target = strdup(like->target);
	d->routes = strdup("");
	d->contact_user = strdup(like->contact_user);
	d->source = src ? *src : like->source;
	d->peer_name = like->peer_name;
	d->dest = like->dest;
	err = like->auth ? copy_auth(d, like->auth->user, like->auth->password) : 0;
	if (!err && like->hdrs)
		err = dialog_set_hdrs(d, str_from(like->hdrs));
	if (!(d->call_id && d->remote_tag && d->local && d->remote && d->target && d->routes && d->contact_user))
		err = -ENOMEM;
	if (!err)
		err = dialog_establish(d, m);
	if (err)
		dialog_fini(d);
	return err;
}

void dialog_fini(struct dialog *d)
{
	if (d->usage)
		HASH_DEL(d->ua->dialogs, d);
	d->usage = NULL;
	if (d->resolving)
		sip_resolve_cancel(d->ua->resolver, d->resolving);
	d->resolving = 0;
	dialog_drop_targets(d);
	if (d->ack)
		d->ack->waits = NULL;
	d->ack = NULL;
	char **const fields[] = { &d->call_id, &d->remote_tag, &d->local, &d->remote, &d->target, &d->routes,
				  &d->contact_user, &d->hdrs };
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		free(*fields[i]);
		*fields[i] = NULL;
	}
	if (d->auth) {
		free(d->auth->user);
		free(d->auth->password);
		free(d->auth->next);
		free(d->auth);
		d->auth = NULL;
	}
}

/* ---- matching and changing ---- */

struct dialog *dialog_find(struct sip_ua *ua, struct str call_id, struct str local_tag)
{
	struct dialog *d = NULL;

	if (local_tag.n != DIALOG_TAG_LEN)
		return NULL;
	HASH_FIND(hh, ua->dialogs, local_tag.p, DIALOG_TAG_LEN, d);
	return d && str_eqz(call_id, d->call_id) ? d : NULL;
}

bool dialog_has_remote_tag(const struct dialog *d, struct str tag)
{
	return str_eqz(tag, d->remote_tag);
}

bool dialog_take_seq(struct dialog *d, const struct sip_msg *m)
{
	if (d->has_remote_seq && m->cseq.seq < d->remote_seq)
		return false;
	d->remote_seq = m->cseq.seq;
	d->has_remote_seq = true;
	return true;
}

int dialog_early(struct dialog *d, const struct sip_msg *m)
{
	if (d->is_established || dialog_has_remote_tag(d, m->to.tag))
		return 0;
	d->has_remote_seq = false; /* another fork counts for itself */
	return replace(&d->remote_tag, m->to.tag);
}

int dialog_establish(struct dialog *d, const struct sip_msg *m)
{
	struct sip_uri contact;
	int err = dialog_early(d, m);

	if (!err)
		err = routes_from(m, true, &d->routes);
	if (!err && dialog_contact_of(m, &contact) == 0)
		err = replace(&d->target, contact.text);
	if (err)
		return err;
	d->is_established = true;
	dialog_choose_dest(d);
	return 0;
}

int dialog_refresh_target(struct dialog *d, const struct sip_msg *m)
{
	struct sip_uri contact;
	int err;

	if (dialog_contact_of(m, &contact) || str_eqz(contact.text, d->target))
		return 0;
	err = replace(&d->target, contact.text);
	if (!err)
		dialog_choose_dest(d);
	return err;
}

bool dialog_take_from(struct dialog *d, const struct sip_msg *m)
{
	char *text = name_addr(m->from.display, m->from.uri.text, true);

	if (!text || !strcmp(text, d->remote)) {
		free(text);
		return false;
	}
	free(d->remote);
	d->remote = text;
	return true;
}

int dialog_set_hdrs(struct dialog *d, struct str hdrs)
{
	return replace(&d->hdrs, hdrs);
}

int dialog_set_local(struct dialog *d, struct str name_addr)
{
	return replace(&d->local, name_addr);
}

enum dialog_end dialog_end_of(int status)
{
	switch (status) {
	case 405: case 408: case 480: case 481: case 489: case 501:
		return DIALOG_END_USAGE;
	case 404: case 410: case 416: case 482: case 483: case 484: case 485: case 502: case 604:
		return DIALOG_END_ALL;
	default:
		return DIALOG_END_NOTHING;
	}
}

/* ---- writing ---- */

static void print_routes(struct out *o, struct str routes, const char *last)
{
	bool is_first = true;

	while (routes.n > 0) {
		out_z(o, is_first ? "Route: " : ", ");
		out_str(o, str_cut(&routes, '\n'));
		is_first = false;
	}
	if (last) {
		out_z(o, is_first ? "Route: <" : ", <");
		out_z(o, last);
		out_chr(o, '>');
		is_first = false;
	}
	if (!is_first)
		out_z(o, "\r\n");
}

/* RFC 3261 §12.2.1.1: a loose router leaves the target in the Request-URI, a strict one wants itself there
 * and the target at the end of the Route. */
static void print_route_set(const struct dialog *d, struct out *o, struct str *uri)
{
	struct str rest = str_from(d->routes);
	struct sip_addr first;

	*uri = str_from(d->target);
	if (rest.n == 0)
		return;
	if (sip_addr_parse(&first, dialog_first_route(d)) || sip_param_find(first.uri.params, "lr", NULL)) {
		print_routes(o, rest, NULL);
		return;
	}
	str_cut(&rest, '\n');
	print_routes(o, rest, d->target);
	*uri = without_headers(&first.uri);
}

void dialog_print_request(const struct dialog *d, struct out *o, enum sip_method method, const char *method_name,
			  uint32_t cseq, uint8_t max_forwards, struct str *uri)
{
	bool has_tag = d->is_established && *d->remote_tag;

	print_route_set(d, o, uri);
	out_z(o, "Max-Forwards: ");
	out_u64(o, max_forwards ? max_forwards : MAX_FORWARDS);
	out_z(o, "\r\nFrom: ");
	out_z(o, d->local);
	out_z(o, ";tag=");
	out_z(o, d->local_tag);
	out_z(o, "\r\nTo: ");
	out_z(o, d->remote);
	if (has_tag) {
		out_z(o, ";tag=");
		out_z(o, d->remote_tag);
	}
	out_z(o, "\r\nCall-ID: ");
	out_z(o, d->call_id);
	out_z(o, "\r\nCSeq: ");
	out_u64(o, cseq);
	out_chr(o, ' ');
	out_z(o, method_name);
	out_z(o, "\r\n");
	if (d->hdrs)
		out_z(o, d->hdrs);
	/* the target refreshing methods, and those that make a dialog (RFC 3261 table 2, RFC 6665, RFC 3515) */
	if (method == SIP_INVITE || method == SIP_UPDATE || method == SIP_NOTIFY || method == SIP_SUBSCRIBE ||
	    method == SIP_REFER)
		dialog_print_contact(d, o);
	if (method == SIP_INVITE || method == SIP_UPDATE) {
		out_z(o, d->ua->allow);
		out_z(o, d->ua->supported);
		if (d->usage && d->usage->print_request)
			d->usage->print_request(d, o);
	}
}

void dialog_print_contact(const struct dialog *d, struct out *o)
{
	union sockaddr_any local;
	char text[SOCKADDR_TEXT_MAX];

	if (dialog_local_addr(d, &local))
		return; /* no way to the peer: the message won't go either */
	/* Where TLS ends before us, nobody reaches us by sips. */
	bool is_sips = d->is_secure && (d->dest.proto == SIP_TLS || d->dest.proto == SIP_WSS);
	out_z(o, is_sips ? "Contact: <sips:" : "Contact: <sip:");
	if (*d->contact_user) {
		out_z(o, d->contact_user);
		out_chr(o, '@');
	}
	out_z(o, sockaddr_print(&local, text));
	if (d->dest.proto == SIP_TCP)
		out_z(o, ";transport=tcp");
	else if (d->dest.proto == SIP_TLS && !is_sips) /* which says so already: RFC 3261 §26.2.2 */
		out_z(o, ";transport=tls");
	else if (d->dest.proto == SIP_WS || d->dest.proto == SIP_WSS)
		out_z(o, ";transport=ws");
	out_z(o, ">\r\n");
}
