/* amd.h - who has answered, somebody or a machine? A guess from when there is talk and when silence.
 *
 * People say a word or two and wait; a machine says a sentence or more. The thresholds are the caller's.
 * A pure state machine; time is what it is told.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct amd_params {
	uint32_t initial_silence_ms;   /* nothing said for so long: a machine that says nothing */
	uint32_t greeting_ms;          /* so much said: a machine */
	uint32_t after_greeting_ms;    /* silence for so long after something was said: somebody who waits */
	uint32_t total_ms;             /* no longer than this is listened */
	uint32_t word_ms;              /* shorter ones are clicks */
	uint32_t words;                /* more are a machine's */
};

enum amd_verdict { AMD_OPEN, AMD_HUMAN, AMD_MACHINE, AMD_UNSURE };

struct amd {
	struct amd_params p;
	bool talks;
	uint32_t words, said_ms, passed_ms; /* of the states before this one */
	const char *cause;             /* of the verdict: "initial_silence", "greeting", "words", "silence_after_greeting", "total" */
};

void amd_init(struct amd *a, const struct amd_params *p); /* begins with silence */
/* The present state has lasted so long, and lasts. */
enum amd_verdict amd_lasts(struct amd *a, uint32_t ms);
/* It has lasted so long, and the other one has begun. */
enum amd_verdict amd_changes(struct amd *a, uint32_t ms);
/* When the present state has lasted so long there is a verdict. */
uint32_t amd_due(const struct amd *a);
const char *amd_verdict_name(enum amd_verdict v); /* "human" */
