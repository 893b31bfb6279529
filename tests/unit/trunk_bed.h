/* trunk_bed.h - a user agent over the stack of sip_fixture.h, and a directory of one trunk, "office/p" at 192.0.2.10. For tests of what
 * asks trunks, which link without directory.c. Include it once.
 */
#pragma once

#include "sip_fixture.h"

#include "directory/directory.h"
#include "sip/ua_int.h"

static struct fx *fx;
static struct sip_ua *ua;
static struct dir_trunk row;
static bool has_row;
static struct directory_watcher *watcher;

void directory_trunks(struct directory *d, void (*fn)(const struct dir_trunk *trunk, void *arg), void *arg)
{
	(void)d;
	if (has_row)
		fn(&row, arg);
}

enum dir_answer directory_trunk(struct directory *d, const char *domain, struct str name, const struct dir_trunk **out)
{
	(void)d;
	if (!has_row || strcmp(domain, "office") != 0 || !str_eqz(name, "p"))
		return DIR_ABSENT;
	*out = &row;
	return DIR_FOUND;
}

void directory_watch(struct directory *d, struct directory_watcher *w)
{
	(void)d;
	watcher = w;
}

void directory_unwatch(struct directory *d, struct directory_watcher *w)
{
	(void)d;
	(void)w;
	watcher = NULL;
}

static inline void trunk_bed_open(void)
{
	struct sip_ua_params p = { 0 };

	fx = calloc(1, sizeof(*fx));
	assert_non_null(fx);
	fx->timers = timers_new(FX_START_MS);
	rng_init_fixed(&fx->rng, 42);
	fx->clock = (struct clock){ .mono_ms = fx_mono_ms, .wall_ms = fx_wall_ms, .arg = fx };
	fx_source(fx, SIP_UDP, "192.0.2.10", 5060);
	p.stack = (struct sip_stack_params){ .timers = fx->timers, .rng = &fx->rng, .clock = &fx->clock, .server = "test", .send = fx_send, .send_arg = fx };
	assert_int_equal(sockaddr_parse(&p.local, STR("192.0.2.200"), 5060), 0);
	assert_int_equal(sip_ua_new(&ua, &p), 0);
	fx->stack = sip_ua_stack(ua);
	row = (struct dir_trunk){ .domain = "office", .name = "p", .context = "c", .uri = "sip:192.0.2.10" };
}

/* What asked has been freed. */
static inline void trunk_bed_close(void)
{
	sip_ua_close(ua);
	assert_int_equal(timers_count(fx->timers), 0);
	timers_free(fx->timers);
	fx_forget_sent(fx);
	free(fx);
}
