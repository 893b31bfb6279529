/* arena.h - memory for the libraries beside the server, whose use of it is none of ours to watch: an allocator that watches spends half of
 * an execution on theirs.
 *
 * Thread: one.
 */
#pragma once

#include <stddef.h>

/* From now on jansson and OpenSSL take theirs here; before either has any. */
void arena_use(void);
size_t arena_bytes(void); /* that they have, counted in the pieces they come in */
