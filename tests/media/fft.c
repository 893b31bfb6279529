/* fft.c - radix 2, decimation in time (see fft.h).
 */
#include "tests/media/fft.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

int fft_init(struct fft *f, size_t n)
{
	f->n = n;
	f->root = malloc(sizeof(*f->root) * (n / 2 + 1));
	if (!f->root)
		return -ENOMEM;
	for (size_t i = 0; i < n / 2; i++) {
		double a = -2 * M_PI * (double)i / (double)n;

		f->root[i] = (float)cos(a) + I * (float)sin(a);
	}
	return 0;
}

void fft_fini(struct fft *f)
{
	free(f->root);
	f->root = NULL;
}

size_t fft_size_for(size_t n)
{
	size_t size = 2;

	while (size < n)
		size *= 2;
	return size;
}

static void reorder(float complex *x, size_t n)
{
	for (size_t i = 1, j = 0; i < n; i++) {
		size_t bit = n / 2;

		for (; j & bit; bit /= 2)
			j ^= bit;
		j ^= bit;
		if (i < j) {
			float complex t = x[i];

			x[i] = x[j];
			x[j] = t;
		}
	}
}

/* The product is written out because C's own must look after infinities, at three times the time. */
static inline float complex times(float complex a, float complex b)
{
	return (crealf(a) * crealf(b) - cimagf(a) * cimagf(b)) + I * (crealf(a) * cimagf(b) + cimagf(a) * crealf(b));
}

void fft_run(const struct fft *f, float complex *x)
{
	reorder(x, f->n);
	for (size_t half = 1; half < f->n; half *= 2) {
		size_t step = f->n / (2 * half);

		for (size_t at = 0; at < f->n; at += 2 * half) {
			for (size_t k = 0; k < half; k++) {
				float complex odd = times(x[at + half + k], f->root[k * step]), even = x[at + k];

				x[at + k] = even + odd;
				x[at + half + k] = even - odd;
			}
		}
	}
}

void fft_run_back(const struct fft *f, float complex *x)
{
	for (size_t i = 0; i < f->n; i++)
		x[i] = conjf(x[i]);
	fft_run(f, x);
	for (size_t i = 0; i < f->n; i++)
		x[i] = conjf(x[i]);
}
