/* heap.h - memory of the targets where ASan's would cost too much: half of an execution goes into an allocator that watches all.
 *
 * The bare build (FUZZ_BARE=1) has it for malloc() and the rest; elsewhere it is for those libraries whose use of memory is none of ours to
 * watch. A piece that is written past its end, freed twice, or written after it was freed ends the process when it is freed or used again;
 * what is read there is no pointer.
 */
#pragma once

#include <stddef.h>

/* From now on jansson and OpenSSL take theirs here; before either has any. */
void heap_for_libraries(void);
size_t heap_bytes(void); /* taken and not given back */
