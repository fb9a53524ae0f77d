/*
 * The heap: malloc's memory, and the collector's.
 *
 *   arena    64 MiB of address space at a multiple of that, opened from below as it is needed. Its first pages hold its header: a
 *            map from page to span, and the spans themselves, one for each page that could begin one.
 *   span     a run of 8 KiB pages: free, or one large object, or slots of one size class.
 *   mheap    all free runs, a treap by size and address: best fit, lowest first. One lock. (pages.c)
 *   central  per span class, the spans that no cache owns and that have free slots. One lock each. (central.c)
 *   mcache   owns spans, one current for each span class, and hands out their slots. Of a P, or of a thread without one. (cache.c)
 *
 * malloc of a small size, with a cache of its own: class by table; take the first of the current span's free slots. Costs: no
 * atomic operation, no shared line. When there are none (grt__cache_alloc_slow): 1. what others freed in this span, one exchange;
 * 2. slots never used yet, a page of them at a time, so that memory is touched only when wanted; 3. another span of the cache's own,
 * the empty ones last;
 * 4. one from central; 5. a fresh one from mheap.
 * free: address to arena to span, two loads; if the span's owner is the caller's cache: put the slot in front of the
 * list. Otherwise the cache notes it (struct pend), and hands up to 24 slots of a span over with one CAS onto the span's second list
 * (`remote`): what it reads of the span meanwhile is a line that nobody writes often. A span whose slots are all in use is in no
 * queue; the first to hand over one of them from elsewhere finds it so marked and puts it into its home's inbox.
 * A span that became wholly free stays with its cache, with its list, up to as many bytes of such spans as of large blocks; they are used
 * when none in part use is left, and go back to mheap before the heap has to grow.
 *
 * Who may touch what
 *   The fields of a span's first line, and a cache (`pend` too): who holds the cache. That is the task on its P, inside a critical
 *   section (the caller's business: shim/malloc.c), so heap/ itself knows of no tasks. A cache's queues are in addition under its
 *   lock, for fork's sake. `remote` and inboxes: anybody, atomically. Free runs, and what a span is: mheap's lock.
 *
 * fork may come at any moment. The forking thread takes every lock of the heap before and opens them after, in both processes; meanwhile
 * nobody waits for one of them, because libc's own locks are taken between and their holder may want to allocate: who does not get
 * a lock while `grt__heap_forking` goes to the reserve (reserve.c), or puts off what he wanted to do. Fast paths take no
 * locks: their stores are in such an order that after any of them the lists are whole, and the worst is a slot that the
 * child never uses again. The same holds for whoever interrupts the heap itself, a handler that calls malloc in the middle of
 * malloc: it is served by the reserve, which has no locks at all.
 *
 * Lock order: CACHE, CENTRAL, HEAP (base/lock.h).
 */
#ifndef GRT_HEAP_HEAP_H
#define GRT_HEAP_HEAP_H

#include "base/atomic.h"
#include "base/lock.h"
#include "base/throw.h"
#include "heap/sizeclass.h"

struct grt_heap_class_stats {
	size_t size;             /* bytes of a slot */
	uint64_t mallocs, frees; /* ever */
	size_t spans;            /* that have this class now */
	size_t bytes;            /* in them */
};

/* All in bytes if not said otherwise. Exact when nobody allocates meanwhile. */
struct grt_heap_stats {
	size_t sys;      /* mapped readable and writable, headers included: what Go calls Sys */
	size_t peak_sys; /* its maximum */
	size_t meta;     /* of those, headers and tables */
	size_t inuse;    /* in spans in use */
	size_t idle;     /* in free runs, and in large spans kept by caches */
	size_t released; /* of idle, given back to the kernel */
	size_t alloc;    /* in objects that live, slots whole */
	uint64_t mallocs, frees;
	uint64_t total_alloc;                              /* ever allocated */
	size_t nlarge, large;                              /* living objects over 32 KiB: how many, bytes */
	size_t nhuge, huge;                                /* of those, the ones with a mapping of their own */
	size_t arenas, caches;                             /* how many */
	uint64_t locks;                                    /* of the heap, ever taken */
	struct grt_heap_class_stats by_class[GRT_CLASSES]; /* class 0: none, a run of pages */
};

/* Any thread; takes locks of the heap, so not in a handler. */
void grt__heap_stats(struct grt_heap_stats *st);

/* What malloc(n) has of usable bytes; n at most PTRDIFF_MAX. */
size_t grt__heap_good_size(size_t n);

/* Gives free memory back to the kernel, all but `keep` bytes of it; how much. Any thread. */
size_t grt__heap_trim(size_t keep);

#endif
