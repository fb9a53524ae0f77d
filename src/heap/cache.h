/*
 * A cache of spans, and the fast paths.
 *
 * Whoever calls one of these has the cache for himself: nobody else does, not even a handler of his own thread (shim/malloc.c says how).
 */
#ifndef GRT_HEAP_CACHE_H
#define GRT_HEAP_CACHE_H

#include "heap/scavenge.h"
#include "heap/span.h"

struct span_queue {
	struct span *head, *tail;
	uint32_t n;
};

/*
 * Slots of one span of another owner, freed here and not handed over yet: one CAS on its span's line is for all of them. They show
 * PENDING as their link, which no list does.
 */
enum { PENDS = 32, PEND_MOST = 24 };
#define PEND_BYTES ((size_t)16 << 10) /* of blocks: then they are handed over, too */
#define PENDING 2                     /* the link, from the span's beginning */
struct pend {
	struct span *span;
	uint32_t
		n; /* set after the slot, and 0 before all are handed over: a fork in between loses slots to the child, no more */
	uint16_t at[PEND_MOST]; /* offsets in units of 8 bytes */
};

#define DIRECT_MAX ((size_t)1024)

struct mcache {
	int64_t sample;                           /* bytes until the next sample; counted down by every allocation */
	uintptr_t secret;                         /* grt__heap_secret */
	struct span *direct[DIRECT_MAX / 16 + 1]; /* current[] of scanned classes, by (bytes + 15) / 16 */
	struct span *current[SPAN_CLASSES];       /* never NULL: grt__span_none has no slots */

	/* ---- slow paths ---- */
	GRT_ALIGNED(GRT_CACHE_LINE) struct pend pend[PENDS]; /* by a hash of the span */
	GRT_ALIGNED(GRT_CACHE_LINE) struct span *inbox;      /* atomic: full spans of which somebody freed a slot */
	GRT_ALIGNED(GRT_CACHE_LINE) struct grt_lock lock;
	uint64_t locked;                       /* so many times */
	struct span_queue queue[SPAN_CLASSES]; /* spans with free slots, some in use, not current */
	struct span *empty[SPAN_CLASSES];      /* spans with all slots free, last in, first out */
	struct span *kept[LARGE_BINS];         /* freed large spans, last in, first out; no lock */
	size_t empty_bytes, kept_bytes;        /* of these */
	size_t kept_most;                      /* of either of them at most */
	int64_t until;                         /* as sample, while a mode is on (modes.h) and sample is always below 0 */
	uint64_t rand;                         /* not 0 */
	unsigned look_class;                   /* where collect() goes on */
	uint64_t large_allocs, large_frees, large_alloc_bytes;
	struct mcache *all_next;  /* all caches; constant */
	struct mcache *pool_next; /* without an owner; mheap's lock */
	uint8_t foreign;          /* of a thread, not of a P */
	uint8_t holds;            /* spans, or may; atomic: relaxed */
	uint8_t owned;            /* somebody has it; mheap's lock */
};

extern struct span grt__span_none;
extern struct mcache *grt__caches; /* all; atomic: push only */

/* A cache nobody uses, or a new one; NULL: no memory, or a fork is under way. */
struct mcache *grt__cache_get(bool foreign);
void grt__cache_put(struct mcache *c);

/* n bytes that hold no pointers, up to 8 of them at a multiple of 8 only; NULL: no memory. */
void *grt__cache_alloc_noscan(struct mcache *c, size_t n);
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
/* Around fork, in this order; `mine`: the caller's cache. False: another fork is under way; give way, and come again. */
bool grt__heap_fork_begin(void);
void grt__heap_fork_prepare(void);
void grt__heap_fork_parent(void);
void grt__heap_fork_child(const struct mcache *mine);
void grt__caches_fork_child(const struct mcache *mine); /* its part: what nobody owns any more is to be had again */
/* p, of s, shows what a free slot shows: is it one? Another's span may change meanwhile: what is found is free for certain, for nobody
 * else may free p. */
bool grt__slot_is_free(const struct span *s, const void *p);
/* Bytes of the block at p; 0: none. */
size_t grt__heap_size(const void *p);
/* The first free slot of the current span; there is one. */
GRT_ALWAYS_INLINE void *span_take(struct span *s, uintptr_t secret)
{
	void **slot = s->free;
	s->free = (void *)((uintptr_t)*slot ^ secret);
	__builtin_prefetch(s->free, 1);
	slot[0] = NULL;
	return slot;
}

/* n bytes of s, current, if that takes no more than a few instructions; else NULL, and nothing has happened. */
GRT_ALWAYS_INLINE void *cache_take_fast(struct mcache *c, struct span *s, size_t n)
{
	void *slot = s->free;
	if (grt_unlikely(!is_slot(slot)))
		return NULL;
	c->sample -= (int64_t)n;
	if (grt_unlikely(c->sample < 0)) {
		__asm__("" : "+m"(c->sample)); /* so that what it was is not kept in a register, for this case */
		c->sample += (int64_t)n;
		return NULL;
	}
	return span_take(s, c->secret);
}

/* The same of the span for n; n is at most GRT_CLASS_MAX. */
GRT_ALWAYS_INLINE void *cache_alloc_fast(struct mcache *c, size_t n)
{
	return cache_take_fast(
		c, n <= DIRECT_MAX ? c->direct[(n + 15) / 16] : c->current[SPAN_CLASS(grt__class_of_128[(n + 127) / 128], 0)],
		n);
}

/* n bytes; NULL: no memory. */
void *grt__cache_alloc_slow(struct mcache *c, size_t n);

static inline void *cache_alloc(struct mcache *c, size_t n)
{
	void *p = grt_likely(n <= GRT_CLASS_MAX) ? cache_alloc_fast(c, n) : NULL;
	return grt_likely(p) ? p : grt__cache_alloc_slow(c, n);
}

/* Frees p if that takes no more than a few instructions; else false, and nothing has happened. s is span_of(p), not NULL. */
GRT_ALWAYS_INLINE bool cache_free_fast(struct mcache *c, struct span *s, void *p)
{
	if (grt_unlikely(s->owner != c) || grt_unlikely(!begins_block(s, p)))
		return false; /* no block begins where the owner is NULL */
	uintptr_t *slot = p, secret = c->secret, shown = *slot ^ secret;
	if (grt_unlikely(shown - (uintptr_t)s->base < SPAN_MAX))
		return false;
	if (grt_unlikely(--s->used == 0)) {
		s->used = 1;
		return false;
	}
	grt_barrier(); /* a fork in between: one slot is lost to the child, none is free that is in use */
	*slot = (uintptr_t)s->free ^ secret;
	s->free = slot;
	return true;
}

/* There is something in c for the scavenger to come for, once c is idle. */
GRT_ALWAYS_INLINE void cache_holds(struct mcache *c)
{
	if (grt_likely(c->holds))
		return;
	grt_store_relaxed(&c->holds, 1);
	grt__scavenge_look();
}

/* ---- large blocks: caches keep freed ones ---- */

#define KEEP_LARGE ((size_t)1 << 20) /* larger ones are not kept by caches */

GRT_ALWAYS_INLINE void count_large(struct mcache *c, size_t bytes)
{
	c->large_allocs++;
	c->large_alloc_bytes += bytes;
}

/* s is the first that c keeps in its bin. */
GRT_ALWAYS_INLINE void take_kept(struct mcache *c, struct span *s, size_t bytes)
{
	c->kept[s->bin] = s->next;
	c->kept_bytes -= bytes;
	s->state = SPAN_LARGE;
	s->spanclass = 0;
	s->zero = 0;
}

/* A kept block for n bytes, not sampled; NULL: there is none, or a sample is due, and nothing has happened. */
GRT_ALWAYS_INLINE void *cache_large_fast(struct mcache *c, size_t n)
{
	size_t npages = pages_of(n);
	struct span *s = c->kept[large_bin(&npages)];
	int64_t sample = c->sample - (int64_t)n;
	if (grt_unlikely(!s) || grt_unlikely(sample < 0))
		return NULL;
	c->sample = sample;
	take_kept(c, s, npages << PAGE_SHIFT);
	count_large(c, npages << PAGE_SHIFT);
	return s->base;
}

/* s, in use until now, is kept by c. False: it is too large, and nothing has happened. */
GRT_ALWAYS_INLINE bool cache_keep(struct mcache *c, struct span *s)
{
	size_t bytes = (size_t)s->npages << PAGE_SHIFT;
	if (bytes > KEEP_LARGE || c->kept_bytes + bytes > c->kept_most)
		return false;
	c->large_frees++;
	s->state = SPAN_KEPT;
	s->next = c->kept[s->bin];
	c->kept[s->bin] = s;
	c->kept_bytes += bytes;
	cache_holds(c);
	return true;
}

static inline void cache_free(struct mcache *c, struct span *s, void *p)
{
	if (grt_unlikely(!s) || grt_unlikely(!cache_free_fast(c, s, p)))
		grt__cache_free_slow(c, s, p);
}

#endif
