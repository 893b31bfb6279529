/* amd.c - a guess who has answered (see amd.h).
 */
#include "call/amd.h"

void amd_init(struct amd *a, const struct amd_params *p)
{
	*a = (struct amd){ .p = *p, .cause = "" };
}

static uint32_t until(uint32_t limit, uint32_t before)
{
	return limit > before ? limit - before : 0;
}

uint32_t amd_due(const struct amd *a)
{
	uint32_t total = until(a->p.total_ms, a->passed_ms);
	uint32_t own = a->talks ? until(a->p.greeting_ms, a->said_ms) : a->words ? a->p.after_greeting_ms : a->p.initial_silence_ms;

	return own < total ? own : total;
}

static enum amd_verdict decide(struct amd *a, enum amd_verdict v, const char *cause)
{
	a->cause = cause;
	return v;
}

enum amd_verdict amd_lasts(struct amd *a, uint32_t ms)
{
	if (a->talks && a->said_ms + ms >= a->p.greeting_ms)
		return decide(a, AMD_MACHINE, "greeting");
	if (!a->talks && !a->words && ms >= a->p.initial_silence_ms)
		return decide(a, AMD_MACHINE, "initial_silence");
	if (!a->talks && a->words && ms >= a->p.after_greeting_ms)
		return decide(a, AMD_HUMAN, "silence_after_greeting");
	if (a->passed_ms + ms >= a->p.total_ms)
		return decide(a, AMD_UNSURE, "total");
	return AMD_OPEN;
}

enum amd_verdict amd_changes(struct amd *a, uint32_t ms)
{
	enum amd_verdict v = amd_lasts(a, ms);

	if (v != AMD_OPEN)
		return v;
	a->passed_ms += ms;
	if (a->talks) {
		a->said_ms += ms;
		a->words += ms >= a->p.word_ms;
	}
	a->talks = !a->talks;
	return a->words > a->p.words ? decide(a, AMD_MACHINE, "words") : AMD_OPEN;
}

const char *amd_verdict_name(enum amd_verdict v)
{
	static const char *const names[] = { "open", "human", "machine", "unsure" };

	return names[v];
}
