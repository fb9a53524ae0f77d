/*
 * A cache of spans, and the fast paths.
 *
 * Whoever calls one of these has the cache for himself: nobody else does, not even a handler of his own thread (shim/malloc.c says how).
 */
#ifndef GRT_HEAP_CACHE_H
#define GRT_HEAP_CACHE_H

#include "heap/span.h"

struct span_queue {
	struct span *head, *tail;
	uint32_t n;
};

struct mcache {
	int64_t sample;                     /* bytes until the next sample; counted down by every allocation */
	struct span *current[SPAN_CLASSES]; /* never NULL: grt__span_none has no slots */

	/* ---- slow paths ---- */
	GRT_ALIGNED(GRT_CACHE_LINE) struct span *inbox; /* atomic: full spans of which somebody freed a slot */
	GRT_ALIGNED(GRT_CACHE_LINE) struct grt_lock lock;
	uint64_t locked;                       /* so many times */
	struct span_queue queue[SPAN_CLASSES]; /* spans with free slots, not current */
	struct span *kept[LARGE_BINS];         /* freed large spans, last in, first out; no lock */
	size_t kept_bytes, kept_most;          /* of them; of them at most */
	uint64_t rand;                         /* not 0 */
	unsigned look_class;                   /* where collect() goes on */
	uint64_t large_allocs, large_frees, large_alloc_bytes;
	struct mcache *all_next;  /* all caches; constant */
	struct mcache *pool_next; /* without an owner; mheap's lock */
	uint8_t foreign;          /* of a thread, not of a P */
	uint8_t holds;            /* spans, or may; atomic: relaxed */
	uint8_t idle;             /* wholly free spans are among those in queues, or may be */
	uint8_t owned;            /* somebody has it; mheap's lock */
};

extern struct span grt__span_none;
/* Called with a block each 512 KiB on average; registered by observe/. */
extern void (*grt__heap_sample_hook)(void *p, size_t n);

/* A cache nobody uses, or a new one; NULL: no memory, or a fork is under way. */
struct mcache *grt__cache_get(bool foreign);
void grt__cache_put(struct mcache *c);

void *grt__cache_large(struct mcache *c, size_t n, size_t align, bool zero);
/* Frees p, all cases. c may be NULL: then no lock is taken. */
void grt__cache_free_slow(struct mcache *c, struct span *s, void *p);
/* n bytes at a multiple of align, a power of two. */
void *grt__cache_aligned(struct mcache *c, size_t n, size_t align);
/* The block at p with n bytes: the same, another with p's contents, or NULL (p is as it was). n is not 0. */
void *grt__cache_realloc(struct mcache *c, void *p, size_t n);
/* There is something to flush. Any thread: a hint. */
bool grt__cache_holds(const struct mcache *c);
/* Everything that c has goes to central and mheap. */
void grt__cache_flush(struct mcache *c);
/* Adds what the caches themselves count. mheap's lock held. */
void grt__caches_stats_locked(struct grt_heap_stats *st);
/* Around fork, in this order; `mine`: the caller's cache. False: another fork is under way; give way, and come again. */
bool grt__heap_fork_begin(void);
void grt__heap_fork_prepare(void);
void grt__heap_fork_parent(void);
void grt__heap_fork_child(const struct mcache *mine);
/* Bytes of the block at p; 0: none. */
size_t grt__heap_size(const void *p);
/* The first free slot of the current span; there is one. */
GRT_ALWAYS_INLINE void *span_take(struct span *s)
{
	void **slot = s->free;
	s->free = link_of(slot);
	grt_barrier(); /* a fork in between: one slot is lost to the child, none is counted free that is in use */
	s->allocs++;
	slot[0] = NULL;
	return slot;
}

/* n bytes, at most GRT_CLASS_MAX, if that takes no more than a few instructions; else NULL, and nothing has happened. */
GRT_ALWAYS_INLINE void *cache_alloc_fast(struct mcache *c, size_t n)
{
	struct span *s = c->current[SPAN_CLASS(class_of(n), 0)];
	c->sample -= (int64_t)n;
	if (grt_unlikely(c->sample < 0) || grt_unlikely(!is_slot(s->free))) {
		c->sample += (int64_t)n;
		return NULL;
	}
	return span_take(s);
}

/* n bytes; NULL: no memory. */
void *grt__cache_alloc_slow(struct mcache *c, size_t n);

static inline void *cache_alloc(struct mcache *c, size_t n)
{
	void *p = grt_likely(n <= GRT_CLASS_MAX) ? cache_alloc_fast(c, n) : NULL;
	return grt_likely(p) ? p : grt__cache_alloc_slow(c, n);
}

/* Frees p if that takes no more than a few instructions; else false, and nothing has happened. s is span_of(p), p not NULL. */
GRT_ALWAYS_INLINE bool cache_free_fast(struct mcache *c, struct span *s, void *p)
{
	void **slot = p;
	if (grt_unlikely(!s) || grt_unlikely(s->owner != c))
		return false;
	if (grt_unlikely(!begins_block(s, p)) || grt_unlikely(shows_link(s, p)))
		return false;
	uint64_t frees = s->frees + 1;
	if (grt_unlikely(frees == s->allocs))
		return false;
	s->frees = frees;
	grt_barrier(); /* as above */
	link_set(slot, s->free);
	s->free = slot;
	return true;
}

static inline void cache_free(struct mcache *c, struct span *s, void *p)
{
	if (grt_unlikely(!cache_free_fast(c, s, p)))
		grt__cache_free_slow(c, s, p);
}

#endif
