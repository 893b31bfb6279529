/* session_update.c - UPDATEs that change no media (RFC 3311), and who is at the two ends of a dialog (RFC 4916).
 *
 * RFC 3261 forbids a From or To that changes, for RFC 2543 took them for the name of the dialog. Peers that know it by its tags
 * alone say from-change; between two of those a request says in From who is there now, and the other end writes that in To.
 */
#include "sip/session_int.h"

#include <errno.h>

void update_learn(struct session *s, const struct sip_msg *m)
{
	if (sip_msg_has(m, SIP_HDR_ALLOW))
		s->peer_updates = sip_msg_has_token(m, SIP_HDR_ALLOW, "UPDATE");
	if (sip_msg_has(m, SIP_HDR_SUPPORTED))
		s->peer_changes_from = sip_msg_has_token(m, SIP_HDR_SUPPORTED, "from-change");
}

void update_take_from(struct session *s, const struct sip_msg *m)
{
	update_learn(s, m);
	s->is_from_new = s->peer_changes_from && dialog_take_from(&s->dialog, m);
}

bool session_can_update(const struct session *s)
{
	return s->state == SESSION_ST_CONFIRMED && s->peer_updates && session_can_offer(s);
}

void update_done(const struct sip_msg *m, void *arg)
{
	struct session *s = arg;

	if (!m || s->state != SESSION_ST_CONFIRMED)
		return;
	if (m->status / 100 == 2) {
		dialog_refresh_target(&s->dialog, m);
		timer_take_2xx(s, m);
	} else if (m->status == 405 || m->status == 501) {
		s->peer_updates = false;
	}
}

int session_update(struct session *s, const char *hdrs)
{
	const struct request_params p = { .method = "UPDATE", .hdrs = str_from(hdrs) };

	if (!session_can_update(s))
		return -ENOTCONN;
	return session_send_request(s, &s->dialog, &p, update_done, s);
}

bool session_takes_from(const struct session *s)
{
	return s->peer_changes_from;
}

int session_set_local(struct session *s, struct str name_addr)
{
	return dialog_set_local(&s->dialog, name_addr);
}

bool session_is_from_new(const struct session *s)
{
	return s->is_from_new;
}
