/* json.h - a JSON document as text. Thread: any. */
#pragma once

#include <jansson.h>

/* Compact, NUL-terminated, freed by the caller; NULL: doc is NULL, or there is no memory. (json_dumps() may leave a key out when memory
 * runs out while it writes.) */
char *json_print(const json_t *doc);
