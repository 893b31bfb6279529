/* reg_info.h - which phones are registered for one's own number: event package reg (RFC 3680).
 *
 * An extension may watch itself alone: contacts tell where its phones are. It is told full state whenever a contact comes, goes or
 * changes; of mere refreshes it isn't.
 *
 * Owner:  its maker. reg_info_stop() while the registrar lives, reg_info_free() after events_free().
 * Thread: loop thread.
 */
#pragma once

#include "presence/events.h"
#include "registrar/registrar.h"

struct reg_info;

struct reg_info_params {
	struct events *events;
	struct directory *directory;
	struct registrar *registrar;
	const struct clock *clock;
};

/* Adds its package and watches registrations. *p is copied. -ENOMEM. */
int reg_info_new(struct reg_info **out, const struct reg_info_params *p);
void reg_info_stop(struct reg_info *ri);
void reg_info_free(struct reg_info *ri); /* NULL allowed */
