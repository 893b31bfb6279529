/* json_text.h - whether a text is JSON that the database takes, found without allocating: it is asked of every record. Thread: any. */
#pragma once

#include <stdbool.h>

/* One object and nothing behind it (RFC 8259), in UTF-8, without U+0000 (jsonb refuses it), half a surrogate pair, or a name that comes
 * twice in an object. */
bool json_text_is_object(const char *text);
