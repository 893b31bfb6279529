/* thread.h - a thread beside the loop's, and how it waits for what comes with a lock and a time.
 *
 * Owner:  who has the pthread_t and pthread_cond_t, which are ended as all are: pthread_join(), pthread_cond_destroy().
 * Thread: any one.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>

/* It gets no signals: they are the loop's business. Returns 0 and sets *out, or a negative errno. */
int thread_start(pthread_t *out, void *(*run)(void *arg), void *arg);

/* By the clock that is never set. */
void thread_cond_init(pthread_cond_t *cond);
/* pthread_cond_wait() for so long at the most. */
void thread_cond_wait_ms(pthread_cond_t *cond, pthread_mutex_t *mu, uint32_t ms);
