/* session_early.c - the early dialogs of an INVITE of ours: one from each fork, told apart by their tags (RFC 3261 §13.2.2.4).
 *
 * The session's dialog is that of the fork heard last. The others are kept here, by tag, as soon as there is a second or a
 * reliable response must be acknowledged (RFC 3262); a call that needs neither keeps nothing. Each has its own RSeq and CSeq
 * to count, and a dialog of its own for the requests that go to it.
 */
#include "sip/session_int.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#define EARLIES_MAX 8 /* more forks than that: their reliable responses stay unacknowledged, their requests get 481 */

struct early *early_find(const struct session *s, struct str tag)
{
	struct early *e;

	for (e = s->earlies; e; e = e->next) {
		if (str_eqz(tag, e->tag))
			return e;
	}
	return NULL;
}

static struct early *early_get(struct session *s, struct str tag)
{
	struct early *e = early_find(s, tag);
	unsigned n = 0;

	if (e)
		return e;
	for (e = s->earlies; e; e = e->next)
		n++;
	if (n == EARLIES_MAX)
		return NULL;
	e = calloc(1, sizeof(*e) + tag.n + 1);
	if (!e)
		return NULL;
	memcpy(e->tag, tag.p, tag.n);
	e->next = s->earlies;
	s->earlies = e;
	return e;
}

void early_free_all(struct session *s)
{
	struct early *e;

	while ((e = s->earlies)) {
		s->earlies = e->next;
		if (e->dialog)
			dialog_fini(e->dialog);
		free(e->dialog);
		free(e);
	}
}

/* No early dialog is needed any more, and no request of theirs is under way. */
void early_tidy(struct session *s)
{
	const struct session_req *q;
	const struct uac_offer *u;

	DL_FOREACH(s->reqs, q) {
		if (q->req.dialog != &s->dialog)
			return;
	}
	DL_FOREACH(s->uac, u) {
		if (u->req.dialog != &s->dialog)
			return;
	}
	early_free_all(s);
}

int early_switch(struct session *s, const struct sip_msg *m)
{
	struct dialog *d = &s->dialog;
	struct early *e;
	int err;

	if (d->is_established || dialog_has_remote_tag(d, m->to.tag))
		return 0;
	e = *d->remote_tag ? early_get(s, str_from(d->remote_tag)) : NULL;
	if (e) {
		e->has_remote_seq = d->has_remote_seq;
		e->remote_seq = d->remote_seq;
	}
	err = dialog_early(d, m);
	e = err ? NULL : early_find(s, m->to.tag);
	if (e) {
		d->has_remote_seq = e->has_remote_seq;
		d->remote_seq = e->remote_seq;
	}
	return err;
}

void early_confirm(struct session *s)
{
	const struct early *e = early_find(s, str_from(s->dialog.remote_tag));

	if (e && e->dialog && e->dialog->local_seq > s->dialog.local_seq)
		s->dialog.local_seq = e->dialog->local_seq;
}

int early_take_seq(struct session *s, const struct sip_msg *m)
{
	struct early *e = early_find(s, m->from.tag);

	if (!e || e->is_over || s->dialog.is_established)
		return -ENOENT;
	if (e->has_remote_seq && m->cseq.seq < e->remote_seq)
		return -EINVAL;
	e->has_remote_seq = true;
	e->remote_seq = m->cseq.seq;
	return 0;
}

/* ---- reliable responses (RFC 3262 §4) ---- */

bool session_is_reliable(const struct sip_msg *m)
{
	return m->status > 100 && m->status < 200 && sip_msg_has(m, SIP_HDR_RSEQ) && sip_msg_has_token(m, SIP_HDR_REQUIRE, "100rel");
}

static int make_dialog(struct session *s, struct early *e, const struct sip_msg *m)
{
	int err;

	if (e->dialog)
		return 0;
	e->dialog = calloc(1, sizeof(*e->dialog));
	if (!e->dialog)
		return -ENOMEM;
	err = dialog_init_fork(e->dialog, &s->dialog, m, NULL);
	if (err) {
		free(e->dialog);
		e->dialog = NULL;
	}
	return err;
}

static int send_prack(struct session *s, const struct uac_offer *u, struct early *e, uint32_t rseq, const struct sip_msg *m)
{
	bool is_offer = !u->had_offer && !e->is_agreed && sip_msg_part(m, "application/sdp").n > 0;
	struct request_params p = { .method = "PRACK" };
	char rack[64];
	struct out body;
	int err = make_dialog(s, e, m);

	if (err)
		return err;
	out_init_grow(&body, SIP_MSG_MAX);
	if (is_offer && s->handler->on_early_offer && s->handler->on_early_offer(s, m, &body, s->arg) == 0 && out_ok(&body)) {
		p.ctype = "application/sdp";
		p.body = out_view(&body);
	}
	snprintf(rack, sizeof(rack), "RAck: %u %u INVITE\r\n", rseq, m->cseq.seq);
	p.hdrs = str_from(rack);
	err = session_send_request(s, e->dialog, &p, NULL, NULL);
	out_fini(&body);
	return err;
}

bool early_take_1xx(struct session *s, const struct uac_offer *u, const struct sip_msg *m)
{
	bool is_reliable = session_is_reliable(m);
	struct early *e = is_reliable ? early_get(s, m->to.tag) : early_find(s, m->to.tag);
	uint32_t rseq;

	if (!is_reliable)
		return !e || !e->is_over || m->status == 199;
	/* What can't be acknowledged is as if it had been lost; out of order it comes again (RFC 3262 §4). */
	if (!e || e->is_over || str_to_u32(sip_msg_value(m, SIP_HDR_RSEQ), UINT32_MAX, &rseq) || !rseq)
		return false;
	if ((e->rseq && rseq != e->rseq + 1) || send_prack(s, u, e, rseq, m))
		return false;
	e->rseq = rseq;
	e->is_agreed = e->is_agreed || sip_msg_part(m, "application/sdp").n > 0;
	e->peer_updates = e->peer_updates || sip_msg_has_token(m, SIP_HDR_ALLOW, "UPDATE");
	return true;
}

void early_over(struct session *s, struct str tag)
{
	struct early *e = early_get(s, tag);

	if (e)
		e->is_over = true;
}
