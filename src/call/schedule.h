/* schedule.h - is it open now? Office hours, holidays and the night switch, as pbx.schedule_is_open() says it.
 *
 * Thread: any one.
 */
#pragma once

#include "directory/directory.h"

bool schedule_is_open(const struct dir_schedule *s, int64_t unix_s);
