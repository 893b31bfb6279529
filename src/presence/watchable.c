/* watchable.c - the rules. Who may not watch a number is told what he would be told if there were none. */
#include "presence/watchable.h"

#include "presence/events_int.h"

struct event_refusal watchable_refusal(enum dir_answer found)
{
	switch (found) {
	case DIR_UNKNOWN:
		return (struct event_refusal){ 503, NULL, "Retry-After: 5\r\n" };
	case DIR_ABSENT:
		return (struct event_refusal){ 404, NULL, NULL };
	case DIR_FOUND:
		break;
	}
	return (struct event_refusal){ 0, NULL, NULL };
}

struct event_refusal watchable_admit(struct directory *d, const char *domain, const char *watcher, const char *number)
{
	const struct dir_extension *ext;
	const struct dir_note *note;
	enum dir_answer found = directory_extension(d, domain, str_from(number), &ext);

	if (found == DIR_FOUND && ext->presence_hidden && strcmp(watcher, number) != 0)
		found = DIR_ABSENT;
	else if (found == DIR_ABSENT)
		found = directory_note(d, domain, str_from(number), &note);
	return watchable_refusal(found);
}

void watchable_note_changed(struct event_package *p, const char *table, const char *key)
{
	struct str number = str_from(key), domain;
	char name[EVENTS_NAME_MAX];

	if (!strcmp(table, "*")) {
		for (const struct event_resource *r = p->resources; r; r = r->hh.next)
			events_changed(p, r->domain, r->number);
		return;
	}
	if (strcmp(table, "presence_note") != 0)
		return;
	domain = str_cut(&number, '/');
	if (number.p && str_copy(domain, name, sizeof(name)) == 0)
		events_changed(p, name, number.p); /* the rest of the key, to its end */
}
