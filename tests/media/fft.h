/* fft.h - the transform that the comparison of sounds needs: complex, in place, a power of two.
 *
 * Thread: any; a plan is read-only.
 */
#pragma once

#include <complex.h>
#include <stddef.h>

struct fft {
	size_t n;
	float complex *root; /* n / 2 of them */
};

int fft_init(struct fft *f, size_t n); /* n: a power of two; -ENOMEM */
void fft_fini(struct fft *f);
void fft_run(const struct fft *f, float complex *x);
/* Unscaled inverse: n times what went in. */
void fft_run_back(const struct fft *f, float complex *x);
size_t fft_size_for(size_t n);         /* the power of two that n fits into */
