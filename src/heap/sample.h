/*
 * The sampler: of all blocks that are allocated some are remembered, one each 512 KiB on average (GODEBUG=memprofilerate), with what
 * observe/heapprof.h knows of the allocation. Here: which ones, and how free finds out, without a cost to all others.
 *
 * A cache counts bytes down to the next sample, which the fast path of malloc does anyway. The distances are exponentially distributed, as
 * in Go, so that no regular program escapes.
 *
 * A sampled small block does not begin where its slot does: it lies 16 bytes further (a whole alignment, if that is more), and before it
 *
 *     size | tag << 32,  key(address) + the word before
 *
 * The free of what is no slot's beginning takes the slow way in any case, for it is an error; there it is told from one. So a sampled
 * block costs 16 bytes, its span keeps the fast paths, and at a rate of 1 every block may be one. The key is made with the heap's secret.
 * Free takes the tag off, which leaves the key alone: then the block was freed. A large block has its tag in its span: its free is slow
 * as it is.
 *
 * A rate of 1 samples every block, 0 none.
 */
#ifndef GRT_HEAP_SAMPLE_H
#define GRT_HEAP_SAMPLE_H

#include "heap/cache.h"

/* Bytes, on average. Set before the first cache is made, constant then. */
extern size_t grt__sample_rate;

/* Registered by observe/, NULL: nothing is sampled. In the middle of malloc and free, any thread; neither takes a lock. */
extern uint32_t (*grt__sample_alloc_hook)(size_t n); /* the tag of the block; 0: none */
extern void (*grt__sample_free_hook)(uint32_t tag, const void *p, size_t n);
/* The address that bad_free is about to die of. */
extern const void *grt__heap_bad;

/* Bytes of the hook's own tables, for the statistics. Atomic. */
extern size_t grt__sample_sys;

uint64_t grt__cache_random(struct mcache *c);
/* Sets the distance to the next sample. */
void grt__sample_next(struct mcache *c);
/* c->sample fell below 0 for n bytes: is this to be a sample? Then the next distance is set. */
bool grt__sample_due(struct mcache *c, size_t n);

/* The block of n bytes in a slot, gap bytes from its beginning. */
void *grt__sample_mark(void *slot, size_t gap, size_t n);
/* p, that does not begin a slot of s, is a sampled block that lives. */
bool grt__sample_is(const struct span *s, const void *p);
/* The same: its slot, the block is one no more. Dies if it is none. */
void *grt__sample_unmark(const struct span *s, void *p);

/* hardened=1. The free slot is about to be handed out: whoever wrote to the sampled block that was in it is found, as by the link of others. */
void grt__sample_check_slot(void *slot);

/* A large object of n bytes was allocated, and c->sample counted down. */
void grt__sample_large(struct mcache *c, struct span *s, size_t n);
/* It is freed; s->sample is not 0. */
void grt__sample_free_large(struct span *s);
/* It has n bytes now; before it had `bytes` at `was`. Counted as another, as it is in the heap's statistics. */
void grt__sample_resized(struct mcache *c, struct span *s, const void *was, size_t bytes, size_t n);

struct grt_sample {
	const void *p;
	size_t n;
	uint32_t tag; /* 0: not sampled */
};
/* The living sampled block that p is in, for a report: reads the heap as it is. */
struct grt_sample grt__sample_around(const void *p);

#endif
