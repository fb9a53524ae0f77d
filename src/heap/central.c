#include "heap/central.h"

static struct central {
	GRT_ALIGNED(GRT_CACHE_LINE) struct grt_lock lock;
	struct span_queue queue;
	uint64_t locked; /* so many times */
} central[SPAN_CLASSES] = {[0 ... SPAN_CLASSES - 1] = {.lock = GRT_LOCK_INIT(GRT_RANK_CENTRAL)}};

void grt__queue_put(struct span_queue *q, struct span *s)
{
	s->next = NULL;
	s->prev = q->tail;
	*(q->tail ? &q->tail->next : &q->head) = s;
	q->tail = s;
	q->n++;
	s->queued = 1;
}

void grt__queue_out(struct span_queue *q, struct span *s)
{
	*(s->prev ? &s->prev->next : &q->head) = s->next;
	*(s->next ? &s->next->prev : &q->tail) = s->prev;
	q->n--;
	s->queued = 0;
}

struct span *grt__central_get(unsigned spanclass)
{
	struct central *ce = &central[spanclass];
	if (!grt_load_relaxed(&ce->queue.head) || !heap_lock(&ce->lock))
		return NULL;
	ce->locked++;
	struct span *s = ce->queue.head;
	if (s)
		grt__queue_out(&ce->queue, s);
	grt_unlock(&ce->lock);
	return s;
}

bool grt__central_put(struct span *s)
{
	struct central *ce = &central[s->spanclass];
	if (!heap_lock(&ce->lock))
		return false;
	ce->locked++;
	grt_store_relaxed(&s->home, NULL);
	grt_store_relaxed(&s->owner, (struct mcache *)OWNER_NOBODY);
	grt__queue_put(&ce->queue, s);
	grt_unlock(&ce->lock);
	return true;
}

void grt__central_collect(void)
{
	for (unsigned i = 0; i < SPAN_CLASSES; i++) {
		struct central *ce = &central[i];
		if (!grt_load_relaxed(&ce->queue.head) || !heap_lock(&ce->lock))
			continue;
		ce->locked++;
		for (struct span *s = ce->queue.head, *next; s; s = next) {
			next = s->next;
			grt__span_drain(s);
			if (s->used)
				continue;
			grt__queue_out(&ce->queue, s);
			if (!grt__pages_free(s)) {
				grt__queue_put(&ce->queue, s);
				break;
			}
		}
		grt_unlock(&ce->lock);
	}
}

uint64_t grt__central_locks(void)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < SPAN_CLASSES; i++)
		n += grt_load_relaxed(&central[i].locked);
	return n;
}

void grt__central_fork(bool lock)
{
	for (unsigned i = 0; i < SPAN_CLASSES; i++)
		if (lock)
			grt__heap_lock_for_fork(&central[i].lock);
		else
			grt_store_release(&central[i].lock.word, 0);
}
