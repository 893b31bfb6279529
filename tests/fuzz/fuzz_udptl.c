/* libFuzzer target on UDPTL: what is read lies in the packet, and prints and parses back to the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "media/udptl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ifp(const struct udptl_ifp *ifp, const struct udptl_ifp *back)
{
	assert(ifp->n == back->n && (!ifp->n || !memcmp(ifp->p, back->p, ifp->n)));
}

static void fuzz(const uint8_t *data, size_t size)
{
	uint8_t print[8192];
	struct udptl u, back;
	size_t n;

	if (udptl_parse(&u, data, size) < 0)
		return;
	assert(u.primary.p >= data && u.primary.p + u.primary.n <= data + size);
	for (unsigned i = 0; i < u.nsecondaries; i++)
		assert(u.secondaries[i].p >= data && u.secondaries[i].p + u.secondaries[i].n <= data + size);
	n = udptl_print(print, sizeof(print), &u);
	assert(n && udptl_parse(&back, print, n) == 0 && back.seq == u.seq && back.nsecondaries == u.nsecondaries);
	check_ifp(&u.primary, &back.primary);
	for (unsigned i = 0; i < u.nsecondaries; i++)
		check_ifp(&u.secondaries[i], &back.secondaries[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of exactly this size, so that a byte read too far is caught. */
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	fuzz(copy, size);
	free(copy);
	return 0;
}
