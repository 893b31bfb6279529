/* xml.h - writes text into XML, escaped so that it can't be anything but text. Thread: any. */
#pragma once

#include "base/out.h"

/* Content of an element or of an attribute in double quotes (XML 1.0 §2.4). What XML can't hold, control characters and bytes that are
 * no UTF-8, becomes a question mark. */
void xml_text(struct out *o, struct str s);
/* name="text" with a space in front; nothing for empty text. */
void xml_attr(struct out *o, const char *name, struct str s);
