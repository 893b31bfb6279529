/* phone_request.h - what phones are asked to do by a row of pbx.phone_request: check-sync, talk, hold (all de facto).
 *
 * A row is taken away when the phones are asked; what they make of it is theirs. check-sync goes to every phone of the extension;
 * talk and hold in the dialog of its call, or to the phones while that only rings. Rows that were made while no server ran are taken
 * when the bindings have been read: check-sync is sent, talk and hold are of calls that are no more.
 *
 * Owner:  its maker. phone_requests_stop() while directory and db live, phone_requests_free() after the directory is closed.
 * Thread: loop thread.
 */
#pragma once

#include "call/calls.h"

struct phone_requests;
struct phones;

struct phone_requests_params {
	struct phones *phones;
	struct directory *directory;
	struct db *db;
	struct calls *calls;
	struct registrar *registrar;
	struct timers *timers;
	const struct log *log;
};

int phone_requests_new(struct phone_requests **out, const struct phone_requests_params *p); /* *p is copied. -ENOMEM */
void phone_requests_stop(struct phone_requests *pr);
void phone_requests_free(struct phone_requests *pr); /* NULL allowed */

/* Asks the phones of an extension now; event: "check-sync;reboot=true", "talk" ... Returns how many were asked. */
unsigned phone_request_send(struct phone_requests *pr, const char *domain, const char *number, const char *event);
