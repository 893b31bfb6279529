/* schedule.h - is it open now? Office hours, holidays and the night switch, as pbx.schedule_is_open() says it.
 *
 * Thread: that of the zones.
 */
#pragma once

#include "call/zone.h"
#include "directory/directory.h"

bool schedule_is_open(const struct dir_schedule *s, struct zones *zones, int64_t unix_s);
