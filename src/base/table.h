/* table.h - uthash, told that memory may run out: it would end the process.
 *
 * After HASH_ADD and its like the element is in the table only if its hh.tbl isn't NULL; otherwise nothing has changed.
 *
 * Thread: the owner's of a table, one at a time.
 */
#pragma once

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
