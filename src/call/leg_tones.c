/* leg_tones.c - tones that a leg's far end hears: those of its trunk's country, or its domain's (pbx.tone_plan).
 */
#include <errno.h>

#include "call/leg_int.h"

static const char *plan_of(const struct leg *leg)
{
	struct directory *d = leg->call->calls->p.directory;
	const struct dir_domain *domain;
	const struct dir_trunk *trunk;

	if (leg->is_outside && directory_trunk(d, leg->call->domain, str_from(leg->peer), &trunk) == DIR_FOUND && trunk->tones)
		return trunk->tones;
	return directory_domain(d, leg->call->domain, &domain) == DIR_FOUND ? domain->tones : "";
}

int leg_tones(struct leg *leg, enum dir_tone which)
{
	const struct dir_tones *tones;

	if (!leg->stream)
		return -ECANCELED;
	if (directory_tones(leg->call->calls->p.directory, plan_of(leg), &tones) != DIR_FOUND || !tones->of[which].n) {
		stream_silence(leg->stream);
		return -ENOENT;
	}
	stream_tones(leg->stream, tones->of[which].tones, tones->of[which].n);
	return 0;
}
