/* leg_pass.c - requests that mean something to the two ends alone go from one leg to the other, and their answers back.
 *
 * MESSAGE, and INFO that carries neither a digit nor anything else we know (RFC 6086 §4.2.1 calls that legacy usage). What passes is
 * the body with its type and disposition, nothing else of the message.
 *
 * Where the request goes has as long to answer as where it came from waits, 64*T1. So that who waits is told at all, a leg that says nothing is
 * answered for before that (RFC 4321 §1.6); what it says later is for nobody.
 */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "call/leg_int.h"

#define PASSES_MAX 1000  /* at once, of all calls */
#define T2_MS 4000
/* Over UDP he asks again each T2: he does so once at least behind our answer, if that is lost. */
#define WAIT_MS (64 * SIP_T1_MS - T2_MS - 2 * SIP_T1_MS)

struct leg_pass {
	struct leg_pass *prev, *next;
	struct calls *calls;
	struct strans *st; /* NULL: it has ended, or is answered */
	struct timer timer;
};

static void on_terminated(struct strans *st, int err, void *arg)
{
	(void)st;
	(void)err;
	((struct leg_pass *)arg)->st = NULL;
}

static const struct strans_handler strans_handler = { .on_terminated = on_terminated };

static void pass_free(struct leg_pass *p)
{
	timer_stop(p->calls->p.timers, &p->timer);
	DL_DELETE(p->calls->passes, p);
	p->calls->npasses--;
	free(p);
}

static void reply(struct leg_pass *p, const struct sip_reply *r)
{
	struct strans *st = p->st;

	p->st = NULL;
	strans_set_handler(st, NULL, NULL);
	strans_reply(st, r);
}

static void on_silence(void *arg)
{
	struct leg_pass *p = arg;

	if (p->st)
		reply(p, &(struct sip_reply){ .status = 504 });
}

static void on_answer(const struct sip_msg *m, void *arg)
{
	struct leg_pass *p = arg;
	char ctype[256];

	if (p->st) {
		/* RFC 4320 §4.2: a 408 to another request than INVITE comes too late for everybody. */
		struct sip_reply r = { .status = m && m->status != 408 ? m->status : 504 };

		if (m && m->body.n && str_copy(sip_msg_value(m, SIP_HDR_CONTENT_TYPE), ctype, sizeof(ctype)) == 0 && ctype[0]) {
			r.ctype = ctype;
			r.body = m->body;
		}
		/* Credentials are between us and him alone. */
		if (r.status == 401 || r.status == 407)
			r.status = 403;
		reply(p, &r);
	}
	pass_free(p);
}

bool leg_pass(struct leg *leg, struct strans *st, const struct sip_msg *m)
{
	struct calls *cs = leg->call->calls;
	struct leg *to = leg->partner;
	struct str disposition = sip_msg_value(m, SIP_HDR_CONTENT_DISPOSITION);
	char ctype[256], hdrs[256], method[16];
	struct leg_pass *p;
	struct out o;

	if (!to || !to->session || cs->npasses >= PASSES_MAX || str_copy(m->method_name, method, sizeof(method)) ||
	    str_copy(sip_msg_value(m, SIP_HDR_CONTENT_TYPE), ctype, sizeof(ctype)))
		return false;
	out_init(&o, hdrs, sizeof(hdrs) - 1);
	if (disposition.n)
		out_fmt(&o, "Content-Disposition: %.*s\r\n", STR_ARG(disposition));
	p = out_ok(&o) ? calloc(1, sizeof(*p)) : NULL;
	if (!p)
		return false;
	hdrs[o.len] = '\0';
	p->calls = cs;
	p->st = st;
	timer_init(&p->timer, on_silence, p);
	timer_start(cs->p.timers, &p->timer, WAIT_MS);
	DL_APPEND(cs->passes, p);
	cs->npasses++;
	if (session_request(to->session, method, hdrs, ctype[0] ? ctype : NULL, m->body, on_answer, p) != 0) {
		pass_free(p);
		return false;
	}
	strans_set_handler(st, &strans_handler, p);
	return true;
}

void leg_passes_free(struct calls *cs)
{
	while (cs->passes)
		pass_free(cs->passes);
}
