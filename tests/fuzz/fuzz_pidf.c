/* fuzz_pidf.c - libFuzzer target on presence documents from outside.
 *
 * Whatever one says, what we write of it is a presence document that says the same: it parses, and once more to the same.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "presence/pidf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char text[65536];

static void write_all(const struct pidf *p, struct out *o)
{
	out_init(o, text, sizeof(text));
	pidf_begin(o, "sip:1001@office");
	for (unsigned i = 0; i < p->ntuples; i++)
		pidf_tuple(o, "t", &p->tuples[i], i ? NULL : "sip:1001@office");
	pidf_person(o, p->activity, p->note);
	pidf_end(o);
	assert(out_ok(o));
}

static void check_same(const struct pidf *a, const struct pidf *b)
{
	assert(a->ntuples == b->ntuples);
	for (unsigned i = 0; i < a->ntuples; i++)
		assert(a->tuples[i].basic == b->tuples[i].basic && !strcmp(a->tuples[i].note, b->tuples[i].note));
	assert(!strcmp(a->activity, b->activity) && !strcmp(a->note, b->note));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pidf first, second, third;
	char *copy = malloc(size ? size : 1);
	struct out o;
	int err;

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	err = pidf_parse(&first, (struct str){ copy, size });
	free(copy);
	assert(err == 0 || err == -EINVAL || err == -EMSGSIZE || err == -ENOMEM);
	if (err)
		return 0;
	assert(first.ntuples <= PIDF_TUPLES_MAX);
	write_all(&first, &o);
	/* The first time a text that was cut inside a character, or has a space at its end by that, may still change. */
	assert(pidf_parse(&second, out_view(&o)) == 0);
	write_all(&second, &o);
	assert(pidf_parse(&third, out_view(&o)) == 0);
	check_same(&second, &third);
	return 0;
}
