/*
 * Spans, arenas, and the way from an address to its span.
 */
#ifndef GRT_HEAP_SPAN_H
#define GRT_HEAP_SPAN_H

#include "heap/heap.h"

#define PAGE_SHIFT 13
#define PAGE ((size_t)1 << PAGE_SHIFT)
#define ARENA_SHIFT 26
#define ARENA ((size_t)1 << ARENA_SHIFT)
#define ARENA_PAGES (ARENA / PAGE)
#define ADDRESS_BITS 47
#define LARGE_MAX ((size_t)32 << 20) /* more has a mapping of its own */

/* Class and "holds no pointers", as in Go. */
#define SPAN_CLASSES (2 * GRT_CLASSES)
#define SPAN_CLASS(class, noscan) ((class) << 1 | (unsigned)(noscan))

enum span_state {
	SPAN_NONE,    /* of no use */
	SPAN_FREE,    /* a free run, in mheap's treap */
	SPAN_SMALL,   /* slots of a class */
	SPAN_LARGE,   /* one object */
	SPAN_KEPT,    /* as LARGE or HUGE, freed and kept by a cache, or put off */
	SPAN_HUGE,    /* one object with a mapping of its own; the span is outside of any arena */
	SPAN_RESERVE, /* slots of reserve.c */
	SPAN_FENCE,   /* one object of efence=1, at `free`; NULL: freed, and never used again */
};

/* Tags of span.owner: then no cache's address equals it, and free goes the slow way. */
#define OWNER_FULL 1ul   /* the owner's, all slots in use, in none of its queues */
#define OWNER_SLOW 4ul   /* in addition: a mode is on (modes.h) */
#define OWNER_NOBODY 2ul /* central's: not NULL, what a thread without a cache would compare it with */
#define OWNER_MASK 15ul  /* caches are aligned so */

/*
 * span.remote: slots freed by others than the owner, and whether anybody waits for the first of them:
 *   REMOTE_NOTIFY | number of slots << 8 | offset of the last one freed, in units of 8 bytes << 36
 * The slots are linked like free ones. That the word says how many spares the owner a walk through cold memory. If the owner takes
 * the list and the word comes to be the same again, a CAS that then succeeds has still linked the right slot.
 */
#define REMOTE_NOTIFY 1ul
#define REMOTE_ONE (1ul << 8)
#define REMOTE_COUNT(w) ((uint32_t)((w) >> 8) & 0xfffffff)
#define REMOTE_OFFSET(w) ((w) >> 36 << 3)
#define REMOTE_WORD(offset, count) ((uint64_t)(offset) >> 3 << 36 | (uint64_t)(count) << 8)

/*
 * What is in a span is known by: slots = in use + free list + remote list + those from `fresh` on. What others have freed counts as in
 * use until the owner has taken it. Of a cache's current span malloc counts nothing: used and allocs have CURRENT added, so that free never
 * finds it empty, and what malloc took in the meantime is made up for from the length of the free list, at the end or when somebody asks:
 * at all times allocs - used is how many were freed.
 */
#define CURRENT (1ull << 56)
struct span {
	/* The owner's line. */
	void *free;               /* first free slot, or base + 1 */
	uint64_t used;            /* slots that are not free as far as the owner knows; free counts it down */
	uint64_t allocs;          /* used and those that were freed: ever, of this span as it is. Current: see there */
	struct span *next, *prev; /* a cache's or central's queue; treap: left, right */
	union {
		struct span *inbox_next; /* link of the inbox */
		struct span *younger;    /* FREE */
	};
	union {
		size_t bytes;     /* HUGE: of the object's mapping; LARGE, FENCE: that were asked for, if sampled */
		int64_t freed_at; /* FREE: the epoch in which it became so << 16, the mean of its pages, for the scavenger */
	};
	uint8_t queued;  /* in a queue of its cache */
	uint8_t current; /* its cache's current */

	/* ---- second line: what everybody reads, seldom written ---- */
	GRT_ALIGNED(GRT_CACHE_LINE)
	struct mcache
		*owner; /* tagged; NULL: no cache concerned; written by the owner (or under mheap's lock), read by all */
	char *base;
	uint64_t remote; /* atomic */
	union {
		struct mcache *home; /* atomic: whose inbox gets it; set with the owner */
		struct span *older;  /* FREE: link of the list by age, if any of its pages is resident */
	};
	uint32_t inverse; /* as in struct grt_class */
	uint32_t fresh;   /* bytes of slots that were ever in use; the others have not been touched */
	uint32_t nslots;  /* FREE: how many of its pages are resident */
	uint32_t size;    /* of a slot; 0: a large object */
	uint32_t npages;  /* mheap's lock when it changes */
	uint32_t sample;  /* LARGE, HUGE, FENCE: its tag; 0: not sampled (sample.h) */
	uint8_t spanclass;
	uint8_t state;   /* enum span_state */
	uint8_t zero;    /* its pages were zero when it was made */
	uint8_t bin;     /* LARGE: large_bin() of it */
	uint8_t guarded; /* its last page is without access, and no slots are there */
};
_Static_assert(sizeof(struct span) == 128, "two cache lines");

struct arena {
	/* First page of the span that a page is in: of spans in use, and of first and last page of a free run; may be stale elsewhere. 0: the
	 * header, whose span is of no use. */
	uint16_t map[ARENA_PAGES];
	struct span spans[ARENA_PAGES];
	uint64_t untouched[ARENA_PAGES / 64]; /* a bit: not resident and all zero; of free runs; mheap's lock */
	uint8_t lazy;                         /* some of these were given back by MADV_FREE: resident perhaps, not zero */
	uint32_t npages;                      /* address space that it has */
	uint32_t open;                        /* below this, readable and writable */
};
#define HEADER_PAGES ((sizeof(struct arena) + PAGE - 1) / PAGE)

/* By 64 MiB of address space: 0; the arena there; or the huge span that begins there; the latter two with a tag added. Atomic: written
 * under mheap's lock. */
#define ROOT_HUGE 1ul
#define ROOT_ARENA 2ul
extern uintptr_t grt__heap_root[1ul << (ADDRESS_BITS - ARENA_SHIFT)];

/* Makes links in freed memory unguessable; constant once the first cache exists. */
extern uintptr_t grt__heap_secret;

/*
 * The first word of a free slot is its link: the address of the next free one, or of the span plus 1 after the last; hidden. malloc
 * wipes it off, so that a block whose first word shows a link into its own span was most likely freed before.
 */
GRT_ALWAYS_INLINE void *link_of(void *const *slot)
{
	return (void *)((uintptr_t)*slot ^ grt__heap_secret);
}

GRT_ALWAYS_INLINE void link_set(void **slot, void *next)
{
	*slot = (void *)((uintptr_t)next ^ grt__heap_secret);
}

GRT_ALWAYS_INLINE bool is_slot(const void *free)
{
	return !((uintptr_t)free & 1);
}

#define SPAN_MAX ((size_t)256 << 10) /* bytes of a span of slots */

GRT_ALWAYS_INLINE struct arena *arena_of(const void *p)
{
	return (struct arena *)((uintptr_t)p & ~(ARENA - 1));
}

GRT_ALWAYS_INLINE struct span *span_at(struct arena *a, size_t page)
{
	return &a->spans[a->map[page]];
}

/* Of the tags only the lowest byte is looked at, by the same instruction that compares it: no two of its values are torn. */
GRT_ALWAYS_INLINE bool in_arena(const void *p)
{
	uintptr_t index = (uintptr_t)p >> ARENA_SHIFT;
	return grt_likely(index < GRT_COUNT(grt__heap_root)) &&
	       grt_likely(*(const uint8_t *)&grt__heap_root[index] & ROOT_ARENA);
}

/* p is in an arena. */
GRT_ALWAYS_INLINE struct span *span_in_arena(const void *p)
{
	struct arena *a = arena_of(p);
	char *at = (char *)a + sizeof(struct span) * a->map[(uintptr_t)p >> PAGE_SHIFT & (ARENA_PAGES - 1)];
	__asm__("" : "+r"(at)); /* computed once: left to itself, the compiler adds the arena's address at each use */
	return (struct span *)(at + offsetof(struct arena, spans));
}

/* The span that p is in as far as the map knows, if p is in an arena; else NULL. Huge ones are not found. */
GRT_ALWAYS_INLINE struct span *span_of(const void *p)
{
	if (grt_unlikely(!in_arena(p)))
		return NULL;
	return span_in_arena(p);
}

/* p, of a span of slots: the beginning of a slot that was in use at least once. That the fast path of free never takes anything else is
 * what sampled blocks live by. */
GRT_ALWAYS_INLINE bool begins_block(const struct span *s, const void *p)
{
	uint32_t offset = (uint32_t)((uintptr_t)p - (uintptr_t)s->base), inverse = s->inverse;
	return grt_likely(offset * inverse < inverse) && grt_likely(offset < s->fresh);
}

/* It may be free: see link_of. */
GRT_ALWAYS_INLINE bool shows_link(const struct span *s, const void *p)
{
	return grt_unlikely((uintptr_t)link_of(p) - (uintptr_t)s->base < SPAN_MAX);
}

GRT_ALWAYS_INLINE unsigned class_of(size_t n)
{
	return n <= 1024 ? grt__class_of_16[(n + 15) / 16] : grt__class_of_128[(n + 127) / 128];
}

static inline size_t pages_of(size_t bytes)
{
	return (bytes + PAGE - 1) >> PAGE_SHIFT;
}

/*
 * Large objects are rounded up to one of 8 sizes a doubling, 16 pages or less exactly; caches keep freed ones by this number.
 */
#define LARGE_BINS 96
GRT_ALWAYS_INLINE unsigned large_bin(size_t *npages) /* rounds it up */
{
	size_t n = *npages;
	if (n <= 16)
		return (unsigned)n;
	unsigned top = 63 - (unsigned)__builtin_clzl(n - 1); /* 2^top < n <= 2^(top + 1) */
	size_t step = (size_t)1 << (top - 3);
	n = (n + step - 1) & ~(step - 1);
	*npages = n;
	return 16 + (top - 4) * 8 + (unsigned)((n - ((size_t)1 << top)) / step);
}

/* ---- locks ---- */

extern uint32_t grt__heap_forking; /* atomic: a fork is under way: do not wait for locks of the heap */
bool grt__heap_lock_slow(struct grt_lock *l);

/* False: a fork is under way; go to the reserve, or put it off. */
GRT_ALWAYS_INLINE bool heap_lock(struct grt_lock *l)
{
	return grt_likely(grt_trylock(l)) || grt__heap_lock_slow(l);
}

/* ---- stacks of spans, linked by inbox_next: inboxes, what was put off ---- */

/* Any thread. Pairs with the exchange by which the reader takes all. */
static inline void span_push(struct span **head, struct span *s)
{
	struct span *first = grt_load_relaxed(head);
	do
		s->inbox_next = first;
	while (!__atomic_compare_exchange_n(head, &first, s, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

/* ---- pages.c: mheap ---- */

enum span_got { GOT_SPAN, GOT_NO_MEMORY, GOT_NO_LOCK };

struct mheap {
	struct grt_lock lock;
	uint64_t locked;   /* so many times */
	struct span *free; /* treap of free runs, by pages, then address */
	struct run_list {
		struct span *oldest, *youngest;
	} resident[2]; /* free runs with resident pages, by age: those that hold a whole huge page, the others */
	struct arena *arenas[1024 * 16];
	uint32_t narenas;
	struct span *spare_spans; /* of huge objects: unused */
	struct span *huge;        /* doubly linked by next, prev */
	size_t nhuge, huge_bytes; /* living */
	size_t sys, peak_sys, meta;
	size_t free_pages, untouched_pages; /* in free runs; of those, not resident */
	uint32_t scavenging;                /* runs that are in no list while they are given back; fork waits for them */
	/* of spans that are no more */
	uint64_t class_allocs[GRT_CLASSES], class_frees[GRT_CLASSES];
};
extern struct mheap grt__mheap;

/* A run of pages at a multiple of `align` pages (a power of two), as a LARGE span, its map entries set. zero: whether it is known to be zero. */
enum span_got grt__pages_alloc(size_t npages, size_t align, struct span **s);
/* So many pages would be ones that are resident. */
bool grt__pages_at_hand(size_t npages);
/* Gives a span back. False: not now (fork). */
bool grt__pages_free(struct span *s);
/* A span, huge ones too, that could not be given back because of a fork: soon. */
void grt__pages_defer(struct span *s);
void grt__pages_deferred(void);
/* Makes s longer in its place, up to npages. False: no room, or not now. */
bool grt__pages_grow(struct span *s, size_t npages);
/* Gives back what is beyond npages. */
void grt__pages_shrink(struct span *s, size_t npages);
/* Address space of `bytes`, a multiple of 4096, at a multiple of align; NULL: there is none. */
char *grt__map_aligned(size_t bytes, size_t align, int prot, int flags);
/* Bytes that are not in free runs, without the lock: about. */
size_t grt__heap_in_use(void);
/* The heap has so much more of the kernel's memory. */
void grt__count_sys_locked(size_t bytes);

/* Counts the scavenger's looks; what is freed is stamped with it. Atomic: relaxed. */
extern int64_t grt__heap_epoch;
/* Gives memory of free runs that are free since before epoch `before` to the kernel, until `keep` bytes of it are left or `most` are
 * given. How many bytes. */
size_t grt__pages_scavenge(size_t keep, int64_t before, size_t most);
/* Before another `bytes` of the kernel's memory: if they would take the heap past GOMEMLIMIT, so much free memory goes back first. */
void grt__pages_make_room(size_t bytes);
/* MADV_DONTNEED, or MADV_FREE (GODEBUG=madvdontneed=0); set before the first arena is made. */
extern int grt__heap_madvice;
/* The kernel is asked for huge pages (GODEBUG=hugepages=1); set before the first arena is made. */
extern bool grt__heap_huge_pages;

/* So many bytes are about to become resident: free memory goes back first if GOMEMLIMIT would be passed. */
void grt__pages_make_room(size_t bytes);

/* Arenas that are wholly free are no more, not even as address space. */
void grt__arenas_release(void);

/* huge.c: objects with a mapping of their own, at a multiple of an arena's size or of `align`. */
enum span_got grt__huge_alloc(size_t bytes, size_t align, struct span **s);
bool grt__huge_free(struct span *s);
/* NULL: not possible. The object may have moved. */
struct span *grt__huge_resize(struct span *s, size_t bytes);
/* The huge span that begins at p. */
struct span *grt__huge_of(const void *p);

/* "fatal error: what: p" */
void grt__heap_bad_free(const char *what, const void *p) GRT_NORETURN;

/* ---- reserve.c ---- */

void *grt__reserve_alloc(size_t n, size_t align);
void grt__reserve_free(struct span *s, void *p);

#endif
