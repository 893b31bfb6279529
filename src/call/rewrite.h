/* rewrite.h - numbers as a trunk or a route has them, and as we do: rows of pbx.trunk_rewrite and pbx.route_rewrite.
 *
 * A number is rewritten in its place, once, by the row that matches it best. One that no row matches stays, and so does one that
 * would grow longer than its place.
 *
 * Thread: loop thread.
 */
#pragma once

#include "call/call_int.h"

enum rewrite_party { REWRITE_CALLED, REWRITE_CALLER };
enum rewrite_way { REWRITE_OUT, REWRITE_IN };

/* The pattern by which it was rewritten, valid as a row of the directory is; NULL: it wasn't. */
const char *rewrite_by_trunk(const struct call *call, const char *trunk, enum rewrite_way way, enum rewrite_party party, char *number, size_t size);
/* The same of the call's own parties, told by pbx.why(). The number called in an emergency is rewritten only by a row that has it as it is:
 * a pattern made for all numbers would lead the call nowhere. */
void rewrite_trunk_number(struct call *call, const char *trunk, enum rewrite_way way, enum rewrite_party party, char *number, size_t size);
/* By a route: the call's number, and the number of its caller unless he hides it. */
void rewrite_by_route(struct call *call, const struct route *route);
