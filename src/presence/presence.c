/* presence.c - wires the parts of this folder: the notifier and its packages. */
#include "presence/presence.h"

#include <errno.h>
#include <stdlib.h>

#include "presence/dialog_info.h"
#include "presence/events.h"
#include "presence/lines.h"
#include "presence/message.h"
#include "presence/mwi.h"
#include "presence/phone_request.h"
#include "presence/phones.h"
#include "presence/presentity.h"
#include "presence/reg_info.h"

struct presence {
	struct events *events;
	struct lines *lines;
	struct mwi *mwi;
	struct dialog_info *dialog_info;
	struct presentities *presentities;
	struct reg_info *reg_info;
	struct phones *phones;
	struct phone_requests *phone_requests;
	struct messages *messages;
};

int presence_new(struct presence **out, const struct presence_params *p)
{
	struct presence *pr = calloc(1, sizeof(*pr));
	int err;

	if (!pr)
		return -ENOMEM;
	err = lines_new(&pr->lines, p->calls, p->timers);
	if (!err)
		err = events_new(&pr->events, &(struct events_params){
			.ua = p->ua, .directory = p->directory, .auth = p->auth, .registrar = p->registrar, .timers = p->timers, .clock = p->clock,
			.rng = p->rng, .log = p->log, .db = p->db, .outbox = p->outbox, .node = p->node });
	if (!err)
		err = phones_new(&pr->phones, p->registrar, p->ua);
	if (!err)
		err = mwi_new(&pr->mwi, &(struct mwi_params){ .events = pr->events, .phones = pr->phones, .registrar = p->registrar,
							      .directory = p->directory, .db = p->db, .timers = p->timers,
							      .log = p->log });
	if (!err)
		err = dialog_info_new(&pr->dialog_info, pr->events, p->directory, pr->lines);
	if (!err)
		err = presentities_new(&pr->presentities, &(struct presentities_params){
			.ua = p->ua, .events = pr->events, .directory = p->directory, .registrar = p->registrar, .auth = p->auth,
			.lines = pr->lines, .timers = p->timers, .rng = p->rng, .log = p->log });
	if (!err)
		err = reg_info_new(&pr->reg_info, &(struct reg_info_params){ .events = pr->events, .directory = p->directory,
									     .registrar = p->registrar, .clock = p->clock });
	if (!err)
		err = phone_requests_new(&pr->phone_requests, &(struct phone_requests_params){
			.phones = pr->phones, .directory = p->directory, .db = p->db, .calls = p->calls, .registrar = p->registrar,
			.timers = p->timers, .log = p->log });
	if (!err)
		err = messages_new(&pr->messages, &(struct messages_params){
			.ua = p->ua, .directory = p->directory, .plan = p->plan, .registrar = p->registrar, .phones = pr->phones,
			.outgoing = p->outgoing, .auth = p->auth, .db = p->db, .commands = p->commands, .timers = p->timers, .log = p->log });
	*out = pr; /* what has been made is ended as ever */
	if (!err)
		events_start(pr->events);
	return err;
}

void presence_stop(struct presence *p)
{
	if (p->events)
		events_stop(p->events);
	if (p->mwi)
		mwi_stop(p->mwi);
	if (p->presentities)
		presentities_stop(p->presentities);
	if (p->reg_info)
		reg_info_stop(p->reg_info);
	if (p->lines)
		lines_stop(p->lines);
	if (p->phones)
		phones_stop(p->phones);
	if (p->phone_requests)
		phone_requests_stop(p->phone_requests);
	if (p->messages)
		messages_stop(p->messages);
}

void presence_free(struct presence *p)
{
	if (!p)
		return;
	phone_requests_free(p->phone_requests);
	messages_free(p->messages);
	events_free(p->events);
	dialog_info_free(p->dialog_info);
	presentities_free(p->presentities);
	reg_info_free(p->reg_info);
	mwi_free(p->mwi);
	lines_free(p->lines);
	phones_free(p->phones);
	free(p);
}
