/* queue.c - the message queues between the loop and the workers (see media_int.h).
 */
#include "media/media_int.h"

void mqueue_init(struct mqueue *q)
{
	pthread_mutex_init(&q->mu, NULL);
	q->head = NULL;
	q->tail = &q->head;
}

void mqueue_fini(struct mqueue *q)
{
	pthread_mutex_destroy(&q->mu);
}

bool mqueue_push(struct mqueue *q, struct msg *first, struct msg *last)
{
	bool was_empty;

	last->next = NULL;
	pthread_mutex_lock(&q->mu);
	was_empty = q->head == NULL;
	*q->tail = first;
	q->tail = &last->next;
	pthread_mutex_unlock(&q->mu);
	return was_empty;
}

struct msg *mqueue_take(struct mqueue *q)
{
	struct msg *all;

	pthread_mutex_lock(&q->mu);
	all = q->head;
	q->head = NULL;
	q->tail = &q->head;
	pthread_mutex_unlock(&q->mu);
	return all;
}
