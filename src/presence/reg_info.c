/* reg_info.c - the bindings of an extension as application/reginfo+xml (RFC 3680 §5).
 *
 * Every document is whole (state="full"), so a contact that has gone is one that isn't there any more.
 */
#include "presence/reg_info.h"

#include <errno.h>
#include <stdlib.h>

#include "presence/watchable.h"
#include "presence/xml.h"

#define CTYPE "application/reginfo+xml"
#define SUBS_MAX 32              /* of one number: its phones, and programs of its owner */
#define GAP_MS 250               /* as lamps: within a second, and no flood from a phone that registers in a loop */
#define BURST 5

struct reg_info {
	struct reg_info_params p;
	struct event_package package;
};

struct watched { bool was_active; }; /* it had a contact since it is watched */

/* ---- writing ---- */

/* The same for a binding as long as it is one, whatever is registered meanwhile (FNV-1a). */
static uint64_t id_of(const struct binding *b)
{
	const char *const parts[] = { b->instance ? b->instance : b->contact, b->instance && b->reg_id ? "" : b->contact };
	uint64_t h = 0xcbf29ce484222325u ^ b->reg_id;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		for (const char *p = parts[i]; *p; p++)
			h = (h ^ (unsigned char)*p) * 0x100000001b3u;
	return h;
}

static void write_contact(struct out *o, const struct binding *b, int64_t now_ms)
{
	int64_t left_s = (b->expires_at_ms - now_ms + 999) / 1000;

	out_fmt(o, "<contact id=\"%llx\" state=\"active\" event=\"registered\"", (unsigned long long)id_of(b));
	out_fmt(o, " expires=\"%lld\" q=\"%u.%03u\"", (long long)(left_s > 0 ? left_s : 0), b->q_milli / 1000, b->q_milli % 1000);
	xml_attr(o, "callid", str_from(b->call_id));
	out_fmt(o, " cseq=\"%u\"><uri>", b->cseq);
	xml_text(o, str_from(b->contact));
	out_z(o, "</uri>");
	if (b->instance) {
		out_z(o, "<unknown-param name=\"+sip.instance\">\"");
		xml_text(o, str_from(b->instance));
		out_z(o, "\"</unknown-param>");
	}
	if (b->reg_id)
		out_fmt(o, "<unknown-param name=\"reg-id\">%u</unknown-param>", b->reg_id);
	out_z(o, "</contact>\r\n");
}

static bool is_meant(const struct event_view *v, const struct binding *b)
{
	return !v->phone || phone_id(b->instance) == v->phone;
}

static int write_state(const struct event_view *v, struct out *o, void *arg)
{
	char aor[EVENT_AOR_MAX];
	const struct reg_info *ri = arg;
	struct watched *w = v->state;
	const struct binding *all = registrar_find(ri->p.registrar, v->domain, str_from(v->number));
	int64_t now_ms = clock_wall_ms(ri->p.clock);

	w->was_active |= all != NULL;
	out_fmt(o, "<?xml version=\"1.0\"?>\r\n<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"%u\" state=\"full\">\r\n<registration",
		v->version);
	xml_attr(o, "aor", event_aor(v, aor));
	out_fmt(o, " id=\"r1\" state=\"%s\">\r\n", all ? "active" : w->was_active ? "terminated" : "init");
	for (const struct binding *b = all; b; b = b->next)
		if (is_meant(v, b))
			write_contact(o, b, now_ms);
	out_z(o, "</registration>\r\n</reginfo>\r\n");
	return 0;
}

/* ---- the package ---- */

static void *on_watched(const char *domain, const char *number, void *arg)
{
	(void)domain;
	(void)number;
	(void)arg;
	return calloc(1, sizeof(struct watched));
}

static void on_unwatched(void *state, void *arg)
{
	(void)arg;
	free(state);
}

static struct event_refusal admit(const char *domain, const char *watcher, const char *number, void *arg)
{
	const struct reg_info *ri = arg;
	const struct dir_extension *ext;

	if (strcmp(watcher, number) != 0)
		return (struct event_refusal){ 403, "Not your registrations", NULL };
	return watchable_refusal(directory_extension(ri->p.directory, domain, str_from(number), &ext));
}

static void on_bindings(const char *domain, const char *number, void *arg)
{
	struct reg_info *ri = arg;

	events_changed(&ri->package, domain, number);
}

int reg_info_new(struct reg_info **out, const struct reg_info_params *p)
{
	struct reg_info *ri = calloc(1, sizeof(*ri));

	if (!ri)
		return -ENOMEM;
	ri->p = *p;
	ri->package = (struct event_package){
		.name = "reg", .ctype = CTYPE, .max_watchers = SUBS_MAX, .gap_ms = GAP_MS, .burst = BURST, .arg = ri,
		.admit = admit, .on_watched = on_watched, .on_unwatched = on_unwatched, .write = write_state,
	};
	registrar_watch(p->registrar, on_bindings, ri);
	events_add(p->events, &ri->package);
	*out = ri;
	return 0;
}

void reg_info_stop(struct reg_info *ri)
{
	registrar_unwatch(ri->p.registrar, ri);
}

void reg_info_free(struct reg_info *ri)
{
	free(ri);
}
