/* qualify.h - are they there? Trunks and registered phones are asked by OPTIONS (RFC 3261 §11), and the time it takes is measured.
 *
 * Whoever answers anything but 408, 430, 480 or 503 is there. A phone that isn't is rung only when its extension has no other (see
 * struct binding), a trunk isn't called; neither is ever removed for it. Each extension and trunk is asked at times of its own, so
 * that ten thousand of them are a steady trickle. What is seen is in pbx.binding and pbx.trunk_state, small changes of the time
 * left out.
 *
 * Thread: loop thread.
 */
#pragma once

#include "registrar/client.h"
#include "registrar/registrar.h"

struct qualify;

struct qualify_params {
	struct client_env env;
	struct directory *directory; /* loaded */
	struct registrar *registrar;
	struct db *db;               /* NULL: nothing is written (tests) */
	const char *node;
};

/* *p is copied, node included; what it points to must outlive it. -ENOMEM. */
int qualify_new(struct qualify **out, const struct qualify_params *p);
void qualify_free(struct qualify *q); /* before the registrar; NULL allowed */
/* It was asked and didn't answer, no longer than two minutes ago: where it is asked seldom, calls find out. */
bool qualify_is_trunk_down(const struct qualify *q, const char *domain, const char *trunk);
