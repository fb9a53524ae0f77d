/*
 * central: for each span class, the spans with free slots that no cache owns. A cache gives them when it ends or has lain idle, and
 * comes here before it asks mheap for new pages.
 *
 * Such a span has no owner, so every free of its slots goes by its remote list; whoever holds the central's lock holds what would be
 * the owner's.
 */
#ifndef GRT_HEAP_CENTRAL_H
#define GRT_HEAP_CENTRAL_H

#include "heap/cache.h"

void grt__queue_put(struct span_queue *q, struct span *s); /* at the end */
void grt__queue_out(struct span_queue *q, struct span *s);

/* A span with free slots, or NULL. The caller makes it its own. */
struct span *grt__central_get(unsigned spanclass);
/* From its owner: in no queue, not full, REMOTE_NOTIFY not set. False: not now (fork). */
bool grt__central_put(struct span *s);
/* Spans that became wholly free here go back to mheap. */
void grt__central_collect(void);
/* How often any of the locks was taken. */
uint64_t grt__central_locks(void);

/* The owner: what others have freed becomes the owner's to give. False: nothing. */
bool grt__span_drain(struct span *s);
/* Slots that are not in the owner's free list; by anybody, if it need not be exact while the owner runs. */
uint64_t grt__span_in_use(const struct span *s);

/* Takes all locks, or opens them. */
void grt__central_fork(bool lock);
void grt__heap_lock_for_fork(struct grt_lock *l);

#endif
