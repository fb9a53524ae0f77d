/*
 * malloc for the files of shim/. Each gives NULL with errno ENOMEM on failure.
 *
 * The heap (heap/heap.h) hands out memory to whoever holds a cache for himself. Here is how a thread gets one:
 *
 *   A task has that of its P. It must not be preempted, lose its P, or run a handler in the middle: that is a critical section, and
 *   crit, the count of these, is set for the time of the call: a plain store, since malloc does not nest in one. What grt__enter checks besides, that the P is
 *   still its M's, is in grt__self.mcache: whoever takes the P from a running task sets it to NULL before his barrier (sysmon.c), a
 *   blocking section sets it to NULL, and so does everything else that gives an M another P. Then, and only then, malloc asks
 *   the long way.
 *   A thread without a P (main before the first pthread_create; foreign) has one of its own from its first malloc to its end.
 *   Whoever has none, and whoever comes while crit is set (a handler on a thread that is no task, in the middle of malloc; code in a blocking
 *   section; a child of vfork), is served by the reserve (heap/reserve.c): no lock, no cache. What it frees goes back by the
 *   remote lists.
 */
#ifndef GRT_SHIM_MALLOC_H
#define GRT_SHIM_MALLOC_H

#include "heap/scavenge.h"

void *grt__malloc(size_t n);
void *grt__memalign(size_t align, size_t n); /* align: a power of two */
void grt__free(void *p);
/* What the caller's cache and those of idle Ps have goes to where the scavenger finds it. */
void grt__malloc_flush(void);
/* Who is no task is about to sleep: in a process without tasks a step of the scavenger, if there is something for it. */
void grt__malloc_before_sleep_slow(void);
GRT_ALWAYS_INLINE void grt__malloc_before_sleep(void)
{
	if (grt_unlikely(__atomic_load_n(&grt__scavenge_ourselves, __ATOMIC_RELAXED)))
		grt__malloc_before_sleep_slow();
}
void grt__free_sized(void *p, size_t n);

#endif
