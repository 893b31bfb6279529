/* dialog_info.c - who may watch a lamp, and what it shows. */
#include "presence/dialog_info.h"

#include <errno.h>
#include <stdlib.h>

#include "presence/watchable.h"
#include "presence/xml.h"

#define CTYPE "application/dialog-info+xml"
#define SUBS_MAX 1000            /* of one number: everybody in the building watches the reception */
#define GAP_MS 250               /* a lamp lags by that at most, and no phone gets more than four NOTIFYs a second for long */
#define BURST 5                  /* a call that is answered and ended at once */
#define DIALOGS_MAX 16           /* shown: no phone has more lines, and no NOTIFY grows without end */

struct dialog_info {
	struct events *events;
	struct directory *directory;
	struct lines *lines;
	struct event_package package;
	struct directory_watcher on_change;
};

static const char *state_name(enum call_line_state s)
{
	static const char *const names[] = {
		[CALL_LINE_TRYING] = "trying", [CALL_LINE_EARLY] = "early", [CALL_LINE_CONFIRMED] = "confirmed",
		[CALL_LINE_TERMINATED] = "terminated",
	};

	return names[s];
}

/* ---- writing ---- */

static void write_party(struct out *o, const char *element, struct str uri, struct str name)
{
	out_fmt(o, "<%s><identity", element);
	xml_attr(o, "display", name);
	out_chr(o, '>');
	xml_text(o, uri);
	out_z(o, "</identity><target");
	xml_attr(o, "uri", uri);
	out_fmt(o, "/></%s>", element);
}

/* The other end, at the host where the watcher knows us. */
static void write_peer(struct out *o, const struct event_view *v, const struct line_dialog *d)
{
	char uri[512];
	struct out u;

	out_init(&u, uri, sizeof(uri));
	out_z(&u, "sip:");
	sip_escape_user(&u, str_from(d->peer_number));
	out_fmt(&u, "@%.*s", STR_ARG(v->host));
	if (out_ok(&u))
		write_party(o, "remote", out_view(&u), str_from(d->peer_name));
}

static void write_dialog(struct out *o, const struct event_view *v, const struct line_dialog *d, bool shows_peer)
{
	out_fmt(o, "<dialog id=\"%llu\"", (unsigned long long)d->id);
	xml_attr(o, "call-id", str_from(d->call_id));
	xml_attr(o, "local-tag", str_from(d->phone_tag));
	xml_attr(o, "remote-tag", str_from(d->our_tag));
	out_fmt(o, " direction=\"%s\"><state", d->is_initiator ? "initiator" : "recipient");
	if (d->state == CALL_LINE_TERMINATED && d->end)
		out_fmt(o, " event=\"%s\"", d->end);
	if (d->state == CALL_LINE_TERMINATED && d->code)
		out_fmt(o, " code=\"%d\"", d->code);
	out_fmt(o, ">%s</state>", state_name(d->state));
	write_party(o, "local", str_from(v->entity), STR_NULL);
	if (shows_peer && d->peer_number[0])
		write_peer(o, v, d);
	out_z(o, "</dialog>\r\n");
}

/* A lamp that is set by SQL: a dialog with nobody. */
static void write_note(struct out *o, const struct dir_note *note)
{
	if (note->lamp && strcmp(note->lamp, "idle") != 0)
		out_fmt(o, "<dialog id=\"note\" direction=\"recipient\"><state>%s</state></dialog>\r\n",
			!strcmp(note->lamp, "ringing") ? "early" : "confirmed");
}

static bool shows_peer(const struct dialog_info *di, const struct event_view *v)
{
	const struct dir_extension *ext;

	return !strcmp(v->watcher, v->number) ||
	       (directory_extension(di->directory, v->domain, str_from(v->watcher), &ext) == DIR_FOUND && ext->sees_peers);
}

/* Of the Event, with or without quotes; false: it isn't there. */
static bool event_param(const struct event_view *v, const char *name, struct str *out)
{
	if (!sip_param_find(v->params, name, out))
		return false;
	if (out->n >= 2 && out->p[0] == '"' && out->p[out->n - 1] == '"')
		*out = (struct str){ out->p + 1, out->n - 2 };
	return true;
}

static bool asks_for_one(const struct event_view *v)
{
	struct str call_id;

	return event_param(v, "call-id", &call_id);
}

/* RFC 4235 §3.2: one dialog alone may be watched; its tags are as the phone sees them. And of the phone alone that a GRUU means. */
static bool is_asked_for(const struct event_view *v, const struct line_dialog *d)
{
	struct str value;

	return (!v->phone || d->phone == v->phone) && (!event_param(v, "call-id", &value) || str_eqz(value, d->call_id)) &&
	       (!event_param(v, "to-tag", &value) || str_eqz(value, d->phone_tag)) &&
	       (!event_param(v, "from-tag", &value) || str_eqz(value, d->our_tag));
}

static int write_dialogs(const struct event_view *v, struct out *o, void *arg)
{
	const struct dialog_info *di = arg;
	const struct line *line = v->state;
	const struct dir_note *note;
	bool with_peer = shows_peer(di, v);
	unsigned n = 0;

	out_fmt(o, "<?xml version=\"1.0\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"%u\" state=\"full\"",
		v->version);
	xml_attr(o, "entity", str_from(v->entity));
	out_z(o, ">\r\n");
	for (const struct line_dialog *d = line->dialogs; d && n < DIALOGS_MAX; d = d->next) {
		if (!is_asked_for(v, d))
			continue;
		write_dialog(o, v, d, with_peer);
		n++;
	}
	if (!asks_for_one(v) && directory_note(di->directory, v->domain, str_from(v->number), &note) == DIR_FOUND)
		write_note(o, note);
	out_z(o, "</dialog-info>\r\n");
	return 0;
}

/* ---- the package ---- */

static void *on_watched(const char *domain, const char *number, void *arg)
{
	struct dialog_info *di = arg;

	return (void *)line_get(di->lines, domain, number);
}

static void on_unwatched(void *state, void *arg)
{
	struct dialog_info *di = arg;

	line_put(di->lines, state);
}

static struct event_refusal admit(const char *domain, const char *watcher, const char *number, void *arg)
{
	const struct dialog_info *di = arg;

	return watchable_admit(di->directory, domain, watcher, number);
}

static void on_line(const struct line *line, void *arg)
{
	struct dialog_info *di = arg;

	events_changed(&di->package, line->domain, line->number);
}

static void on_change(const char *table, const char *key, void *arg)
{
	struct dialog_info *di = arg;

	watchable_note_changed(&di->package, table, key);
}

int dialog_info_new(struct dialog_info **out, struct events *events, struct directory *directory, struct lines *lines)
{
	struct dialog_info *di = calloc(1, sizeof(*di));

	if (!di)
		return -ENOMEM;
	di->events = events;
	di->directory = directory;
	di->lines = lines;
	di->package = (struct event_package){
		.name = "dialog", .ctype = CTYPE, .max_watchers = SUBS_MAX, .gap_ms = GAP_MS, .burst = BURST, .arg = di,
		.admit = admit, .on_watched = on_watched, .on_unwatched = on_unwatched, .write = write_dialogs,
	};
	di->on_change = (struct directory_watcher){ .on_change = on_change, .arg = di };
	directory_watch(directory, &di->on_change);
	lines_watch(lines, on_line, di);
	events_add(events, &di->package);
	*out = di;
	return 0;
}

void dialog_info_free(struct dialog_info *di)
{
	free(di);
}
