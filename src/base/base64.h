/* base64.h - the encoding of RFC 4648 §4, in one piece and without line ends.
 *
 * Pure. Thread: any.
 */
#pragma once

#include <sys/types.h>

#include "base/out.h"

/* With padding. */
void base64_write(struct out *o, const void *p, size_t n);
/* Padding may be left out. Returns the number of bytes; -EINVAL: it is none, or not in its one right form; -ENOSPC. */
ssize_t base64_read(struct str text, void *p, size_t size);
