#include "heap/cache.h"
#include "heap/central.h"
#include "heap/modes.h"
#include "heap/sample.h"
#include "heap/scavenge.h"
#include "os/os.h"
#include <string.h>

struct span grt__span_none = {.free = (void *)1};
uintptr_t grt__heap_secret;

enum { COLLECT = 8 /* spans looked at before a new one is asked for */ };
#define CARVE GRT_SMALL(4096u, 256u) /* bytes of slots made at a time */
enum { MOST_CARVED = 4096 / 16 };
#define KEEP_LEAST                                                                                                     \
	((size_t)1 << 20) /* as many bytes of large blocks, or empty spans, may be kept, or an eighth of the heap, */
#define KEEP_MOST ((size_t)8 << 20) /* but no more than this */

struct mcache *grt__caches;
static struct mcache *pool; /* mheap's lock */

static bool is_owner(const struct span *s, const struct mcache *c)
{
	return c && ((uintptr_t)s->owner & ~OWNER_MASK) == (uintptr_t)c;
}

static void set_owner(struct span *s, struct mcache *c, uintptr_t tag)
{
	if (grt_unlikely(grt__heap_modes))
		tag |= OWNER_SLOW;
	grt_store_relaxed(&s->owner, (struct mcache *)((uintptr_t)c | tag));
}

static bool is_full(const struct span *s)
{
	return (uintptr_t)s->owner & OWNER_FULL;
}

/* ---- slots ---- */

static void **slot_at(const struct span *s, uint16_t at)
{
	return (void **)(s->base + ((size_t)at << 3));
}

bool grt__span_drain(struct span *s)
{
	if (!REMOTE_COUNT(grt_load_relaxed(&s->remote)))
		return false;
	uint64_t w = grt_xchg_acqrel(&s->remote, 0); /* pairs with give_back; never with NOTIFY: that is for full spans */
	void **slot = (void **)(s->base + REMOTE_OFFSET(w));
	if (is_slot(s->free)) {
		void **last = slot;
		for (uint32_t i = REMOTE_COUNT(w); i > 1; i--)
			last = link_of(last);
		link_set(last, s->free);
	}
	s->used -= REMOTE_COUNT(w);
	grt_barrier();
	s->free = slot;
	return true;
}

/* What `used` would be if malloc counted, of a current span too. */
uint64_t grt__span_in_use(const struct span *s)
{
	uint32_t carved = s->fresh / s->size, free = 0;
	void *const *slot = s->free;
	while (free < carved && (uintptr_t)((const char *)slot - s->base) < s->fresh && is_slot(slot)) {
		free++;
		slot = link_of(slot);
	}
	return carved - free;
}

static void carve_shuffled(struct mcache *c, struct span *s, char *slot, uint32_t n)
{
	void *order[MOST_CARVED];
	for (uint32_t i = 0; i < n; i++) { /* inside out */
		uint32_t k = (uint32_t)(grt__cache_random(c) % (i + 1));
		order[i] = order[k];
		order[k] = slot + (size_t)i * s->size;
	}
	for (uint32_t i = 0; i < n; i++) {
		link_set(order[i], s->free);
		s->free = order[i];
	}
}

static bool has_unused(const struct span *s)
{
	return s->fresh < s->nslots * s->size;
}

/* Slots that were never in use become free ones, in the order of their addresses. */
static bool carve(struct mcache *c, struct span *s)
{
	if (!has_unused(s))
		return false;
	uint32_t n = s->nslots - s->fresh / s->size, most = CARVE / s->size;
	if (n > most)
		n = most ? most : 1;
	char *slot = s->base + s->fresh;
	if (grt_unlikely(grt__heap_modes & HEAP_HARDENED)) {
		carve_shuffled(c, s, slot, n);
	} else {
		void *first = slot;
		for (uint32_t i = 1; i < n; i++, slot += s->size)
			link_set((void **)slot, slot + s->size);
		link_set((void **)slot, s->free);
		s->free = first;
	}
	s->fresh += n * s->size;
	return true;
}

/* Any thread: n slots of a span that is not its own, by their offsets in units of 8 bytes. */
static void give_back(struct span *s, const uint16_t *at, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		link_set(slot_at(s, at[i]), slot_at(s, at[i - 1]));
	uint64_t offset = (uint64_t)at[n - 1] << 3, old = grt_load_relaxed(&s->remote);
	for (;;) {
		link_set(slot_at(s, at[0]), REMOTE_COUNT(old) ? s->base + REMOTE_OFFSET(old) : s->base + 1);
		/* Pairs with the owner's exchange; and, where NOTIFY was set, with the stores before it was. */
		if (grt_cas(&s->remote, old, REMOTE_WORD(offset, REMOTE_COUNT(old) + n)))
			break;
		old = grt_load_relaxed(&s->remote);
	}
	if (grt_likely(!(old & REMOTE_NOTIFY)))
		return;
	/* We have cleared it, so nobody else touches inbox_next, and the span stays full, and its home's, until that has read its inbox. */
	span_push(&grt_load_relaxed(&s->home)->inbox, s);
}

static void hand_over(struct pend *e)
{
	uint32_t n = e->n;
	e->n = 0;
	grt_barrier();
	if (n)
		give_back(e->span, e->at, n);
}

static void hand_over_all(struct mcache *c)
{
	for (unsigned i = 0; i < PENDS; i++)
		hand_over(&c->pend[i]);
}

/* p is a slot of s, which is not c's. */
static void free_remote(struct mcache *c, struct span *s, void *p)
{
	uint16_t at = (uint16_t)((size_t)((char *)p - s->base) >> 3);
	if (grt_unlikely(!c)) {
		give_back(s, &at, 1);
		return;
	}
	struct pend *e = &c->pend[(uint32_t)((uintptr_t)s >> 7) * 0x9e3779b1u >> (32 - __builtin_ctz(PENDS))];
	if (e->span != s) {
		hand_over(e);
		e->span = s;
		cache_holds(c);
	}
	link_set(p, s->base + PENDING);
	uint32_t n = e->n;
	e->at[n++] = at;
	grt_barrier();
	e->n = n;
	if (n == PEND_MOST || n * s->size >= PEND_BYTES)
		hand_over(e);
}

/* ---- a cache's spans: its lock held ---- */

static void put_back_locked(struct mcache *c, struct span *s)
{
	grt__queue_put(&c->queue[s->spanclass], s);
}

static void put_empty_locked(struct mcache *c, struct span *s)
{
	s->next = c->empty[s->spanclass];
	c->empty[s->spanclass] = s;
	c->empty_bytes += (size_t)s->npages << PAGE_SHIFT;
}

/* The class has one. */
static struct span *take_empty_locked(struct mcache *c, unsigned spanclass)
{
	struct span *s = c->empty[spanclass];
	c->empty[spanclass] = s->next;
	c->empty_bytes -= (size_t)s->npages << PAGE_SHIFT;
	return s;
}

/* s, in no queue, is wholly free. It stays for the next burst, its list as it is, as long as the heap need not grow for another class. */
static void retire_locked(struct mcache *c, struct span *s)
{
	size_t bytes = (size_t)s->npages << PAGE_SHIFT;
	bool keep = !c->empty[s->spanclass] || c->empty_bytes + bytes <= c->kept_most;
	if (keep || !grt__pages_free(s))
		put_empty_locked(c, s);
}

static void free_empty_locked(struct mcache *c)
{
	for (unsigned i = 0; i < SPAN_CLASSES && c->empty_bytes; i++)
		while (c->empty[i]) {
			struct span *s = take_empty_locked(c, i);
			if (!grt__pages_free(s)) { /* a fork */
				put_empty_locked(c, s);
				return;
			}
		}
}

/* s, in no queue, goes where what others have freed in it leads it. */
static void settle_locked(struct mcache *c, struct span *s)
{
	grt__span_drain(s);
	if (!s->used)
		retire_locked(c, s);
	else
		put_back_locked(c, s);
}

static void read_inbox_locked(struct mcache *c)
{
	if (grt_likely(!grt_load_relaxed(&c->inbox)))
		return;
	struct span *s = grt_xchg_acqrel(&c->inbox, NULL), *next;
	for (; s; s = next) {
		next = s->inbox_next;
		set_owner(s, c, 0);
		settle_locked(c, s);
	}
}

static void set_current(struct mcache *c, unsigned spanclass, struct span *s)
{
	unsigned class = spanclass >> 1;
	c->current[spanclass] = s;
	if (spanclass & 1 || class < 2 || grt__class[class].size > DIRECT_MAX)
		return;
	unsigned least = grt__class[class - 1].size;
	for (unsigned i = class == 2 ? 0 : least / 16 + 1; i <= grt__class[class].size / 16; i++)
		c->direct[i] = s;
}

static void make_current_locked(struct mcache *c, struct span *s)
{
	s->allocs += CURRENT; /* never found empty by free: see struct span */
	s->used += CURRENT;
	s->current = 1;
	set_current(c, s->spanclass, s);
	cache_holds(c);
}

/* s is about to be current no more; so many of its slots are in use. */
static void count_locked(struct span *s, uint64_t used)
{
	s->allocs += used - s->used; /* CURRENT less, and what malloc took */
	s->used = used;
	s->current = 0;
}

static void end_current_locked(struct mcache *c, struct span *s)
{
	count_locked(s, grt__span_in_use(s));
	set_current(c, s->spanclass, &grt__span_none);
}

/* The current span has no free slots: it leaves, and the caller puts another in its place, or none. False: it has some after all. */
static bool leave_full_locked(struct mcache *c, struct span *s)
{
	set_owner(s, c, OWNER_FULL);
	/* Pairs with give_back: who clears it sees a full span of c's. */
	if (!grt_cas(&s->remote, 0, REMOTE_NOTIFY)) {
		set_owner(s, c, 0);
		return false;
	}
	count_locked(s, s->nslots);
	return true;
}

/* Before new pages are asked for: a few of the spans in queues may have become wholly free by others' frees. */
static void collect_locked(struct mcache *c)
{
	for (int looked = 0, classes = 0; looked < COLLECT && classes < SPAN_CLASSES; classes++) {
		c->look_class = (c->look_class + 1) % SPAN_CLASSES;
		struct span_queue *q = &c->queue[c->look_class];
		for (uint32_t n = q->n < COLLECT ? q->n : COLLECT; n && q->n > 1; n--, looked++) {
			struct span *s = q->head;
			grt__queue_out(q, s);
			settle_locked(c, s);
		}
	}
}

static void free_kept(struct mcache *c)
{
	for (unsigned i = 0; i < LARGE_BINS && c->kept_bytes; i++) {
		for (struct span *s = c->kept[i], *next; s; s = next) {
			size_t bytes = (size_t)s->npages << PAGE_SHIFT;
			next = s->next; /* another link, once it is free */
			if (!grt__pages_free(s))
				return;
			c->kept[i] = next;
			c->kept_bytes -= bytes;
		}
	}
}

/* Before c makes the heap grow by npages: what it keeps unused may do instead. */
static void spare_growth_locked(struct mcache *c, size_t npages)
{
	if (grt_likely(!c->empty_bytes && !c->kept_bytes) || grt__pages_at_hand(npages))
		return;
	free_kept(c);
	if (!c->empty_bytes)
		return;
	free_empty_locked(c);
	for (unsigned i = 0; i < SPAN_CLASSES; i++) {
		struct span *s = c->current[i];
		if (s != &grt__span_none && !grt__span_in_use(s)) {
			end_current_locked(c, s);
			if (!grt__pages_free(s))
				put_empty_locked(c, s);
		}
	}
}

static void adapt_kept(struct mcache *c)
{
	size_t part = grt__heap_in_use() / 8;
	c->kept_most = part < KEEP_LEAST ? KEEP_LEAST : part > KEEP_MOST ? KEEP_MOST : part;
}

static struct span *fresh_span(struct mcache *c, unsigned spanclass)
{
	const struct grt_class *k = &grt__class[spanclass >> 1];
	struct span *s;
	size_t pages = GRT_SMALL(k->pages, pages_of(k->size));
	bool guard = grt__heap_modes & HEAP_HARDENED;
	adapt_kept(c);
	spare_growth_locked(c, pages + guard);
	if (grt__pages_alloc(pages + guard, 1, &s) != GOT_SPAN)
		return NULL;
	s->guarded = guard && grt__guard(s->base + (pages << PAGE_SHIFT), PAGE, true);
	s->inverse = k->inverse;
	s->spanclass = (uint8_t)spanclass;
	s->size = k->size;
	s->nslots = (uint32_t)((pages << PAGE_SHIFT) / k->size);
	s->state = SPAN_SMALL;
	return s;
}

/* The current span is exhausted. False: no memory, or not now. */
static bool next_current_locked(struct mcache *c, unsigned spanclass)
{
	struct span *s = c->current[spanclass];
	if (s != &grt__span_none && !leave_full_locked(c, s))
		return true;
	read_inbox_locked(c);
	struct span_queue *q = &c->queue[spanclass];
	if ((s = q->head)) {
		grt__queue_out(q, s);
	} else if (c->empty[spanclass]) {
		s = take_empty_locked(c, spanclass);
	} else if (!(s = grt__central_get(spanclass))) {
		collect_locked(c);
		s = fresh_span(c, spanclass);
	}
	if (!s) {
		set_current(c, spanclass, &grt__span_none);
		return false;
	}
	grt_store_relaxed(&s->home, c);
	set_owner(s, c, 0);
	make_current_locked(c, s);
	return true;
}

/* hardened=1. Whoever writes to a free slot destroys its link, which is hidden: what then comes out is not one. */
static void check_link(const struct span *s)
{
	char *next = link_of(s->free);
	if (next != s->base + 1 && ((uintptr_t)(next - s->base) >= SPAN_MAX || !begins_block(s, next)))
		grt__heap_bad_free("memory was written to after its free", s->free);
	if (s->size > 16)
		grt__sample_check_slot(s->free);
}

static void *take_slowly(struct mcache *c, unsigned spanclass)
{
	for (;;) {
		struct span *s = c->current[spanclass];
		if (is_slot(s->free) || grt__span_drain(s) || carve(c, s)) {
			if (grt_unlikely(grt__heap_modes & HEAP_HARDENED))
				check_link(s);
			return span_take(s, c->secret);
		}
		if (!heap_lock(&c->lock))
			return NULL;
		c->locked++;
		bool more = next_current_locked(c, spanclass);
		grt_unlock(&c->lock);
		if (!more)
			return NULL;
	}
}

/* A block of n bytes at a multiple of align that is sampled. NULL: not now. */
static void *take_sampled(struct mcache *c, size_t n, size_t align, bool noscan)
{
	size_t gap = align < 16 ? 16 : align,
		   room = (n ? n : 1) + gap; /* a whole slot of the gap's size has no room for the gap */
	unsigned k = room <= GRT_CLASS_MAX ? class_of(room) : GRT_CLASSES;
	while (k < GRT_CLASSES && grt__class[k].size % gap)
		k++;
	if (k == GRT_CLASSES) {
		c->sample = c->until = -1; /* then that one is it */
		return grt__cache_large(c, n, align, false);
	}
	void *slot = take_slowly(c, SPAN_CLASS(k, noscan));
	return slot ? grt__sample_mark(slot, gap, n) : NULL;
}

/* align: what the class is a multiple of. */
static void *alloc_of(struct mcache *c, unsigned spanclass, size_t n, size_t align)
{
	void *p;
	c->sample -= (int64_t)n;
	if (grt_unlikely(c->sample < 0) && grt__sample_due(c, n) && (p = take_sampled(c, n, align, spanclass & 1)))
		return p;
	p = take_slowly(c, spanclass);
	if (grt_unlikely(grt_load_relaxed(&grt__scavenge_ourselves)))
		grt__scavenge_by_ourselves();
	return p ? p : grt__reserve_alloc(grt__class[spanclass >> 1].size, 16);
}

void *grt__cache_alloc_slow(struct mcache *c, size_t n)
{
	return n > GRT_CLASS_MAX ? grt__cache_large(c, n, 1, false) : alloc_of(c, SPAN_CLASS(class_of(n), 0), n, 16);
}

void *grt__cache_alloc_noscan(struct mcache *c, size_t n)
{
	if (n > GRT_CLASS_MAX) {
		void *p = grt__cache_large(c, n, 1, false);
		struct span *s = p ? span_of(p) : NULL;
		if (p && !s)
			s = grt__huge_of(p);
		if (p && s->state != SPAN_RESERVE)
			s->spanclass = SPAN_CLASS(0, 1);
		return p;
	}
	unsigned spanclass = SPAN_CLASS(n <= 8 ? 1 : class_of(n), 1);
	void *p = cache_take_fast(c, c->current[spanclass], n);
	return p ? p : alloc_of(c, spanclass, n, 16);
}

/* ---- large objects ---- */

static void *large_taken(struct mcache *c, struct span *s, size_t bytes, size_t asked)
{
	count_large(c, bytes);
	c->sample -= (int64_t)asked;
	s->sample = 0;
	if (grt_unlikely(c->sample < 0))
		grt__sample_large(c, s, asked);
	return s->base;
}

/* The kernel has no more: what is free goes back first, address space included. */
static void give_all(struct mcache *c)
{
	grt__cache_flush(c);
	grt__central_collect();
	grt__arenas_release();
}

static void *huge(struct mcache *c, size_t n, size_t align)
{
	struct span *s;
	if (n > 1ul << ADDRESS_BITS)
		return NULL;
	if (grt__huge_alloc(n, align, &s) != GOT_SPAN) {
		give_all(c);
		if (grt__huge_alloc(n, align, &s) != GOT_SPAN)
			return NULL;
	}
	return large_taken(c, s, s->bytes, n);
}

void *grt__cache_large(struct mcache *c, size_t n, size_t align, bool zero)
{
	struct span *s;
	if (n > LARGE_MAX || align > ARENA / 4)
		return huge(c, n, align);
	size_t npages = pages_of(n);
	unsigned bin = large_bin(&npages);
	if ((s = c->kept[bin]) && align <= PAGE) {
		take_kept(c, s, npages << PAGE_SHIFT);
	} else {
		enum span_got got = GOT_NO_MEMORY;
		if (heap_lock(&c->lock)) {
			c->locked++;
			spare_growth_locked(c, npages);
			grt_unlock(&c->lock);
		}
		adapt_kept(c);
		for (int again = 0; again < 2 && got == GOT_NO_MEMORY; again++) {
			if (again)
				give_all(c);
			got = grt__pages_alloc(npages, align > PAGE ? align >> PAGE_SHIFT : 1, &s);
		}
		if (got == GOT_NO_LOCK)
			return grt__reserve_alloc(n, align); /* zero as well: never used before, or cleared by its freeing */
		if (got == GOT_NO_MEMORY)
			return NULL;
		s->bin = (uint8_t)bin;
		s->spanclass = 0;
	}
	if (zero && !s->zero)
		memset(s->base, 0, n);
	return large_taken(c, s, npages << PAGE_SHIFT, n);
}

static void free_large(struct mcache *c, struct span *s)
{
	if (grt_unlikely(s->sample))
		grt__sample_free_large(s);
	if (c && cache_keep(c, s))
		return;
	s->state = SPAN_KEPT; /* a second free finds it so */
	if (c)
		c->large_frees++;
	if (!c || !grt__pages_free(s))
		grt__pages_defer(s); /* without a cache the caller may be in the middle of anything */
	if (c && grt_unlikely(grt_load_relaxed(&grt__scavenge_ourselves)))
		grt__scavenge_by_ourselves();
}

/* ---- free ---- */

void grt__heap_bad_free(const char *what, const void *p)
{
	grt__heap_bad = p;
	grt__throw("%s: %p", what, p);
}

static bool in_list(const struct span *s, void *const *slot, const void *p)
{
	for (uint32_t n = s->nslots; n && (uintptr_t)((const char *)slot - s->base) < SPAN_MAX && is_slot(slot); n--) {
		if (slot == p)
			return true;
		slot = link_of(slot);
	}
	return false;
}

bool grt__slot_is_free(const struct span *s, const void *p)
{
	uint64_t remote = grt_load_acquire(&s->remote);
	return link_of(p) == s->base + PENDING || in_list(s, s->free, p) ||
	       (REMOTE_COUNT(remote) && in_list(s, (void **)(s->base + REMOTE_OFFSET(remote)), p));
}

/* The last slot in use of s, not c's current, was freed. */
static void became_empty(struct mcache *c, struct span *s)
{
	if (!s->queued || !heap_lock(&c->lock))
		return;
	c->locked++;
	grt__queue_out(&c->queue[s->spanclass], s);
	retire_locked(c, s);
	grt_unlock(&c->lock);
	if (grt_unlikely(grt_load_relaxed(&grt__scavenge_ourselves)))
		grt__scavenge_by_ourselves();
}

static void free_small(struct mcache *c, struct span *s, void *p)
{
	if (grt_unlikely(!begins_block(s, p)))
		p = grt__sample_unmark(s, p);
	void **slot = p;
	bool mine = is_owner(s, c);
	if (shows_link(s, p) && grt__slot_is_free(s, p))
		grt__heap_bad_free("double free", p);
	if (!mine) {
		free_remote(c, s, p);
		return;
	}
	s->used--;
	grt_barrier();
	link_set(slot, s->free);
	s->free = slot;
	if (is_full(s)) {
		/* Somebody else cleared it: it is on its way into the inbox, and stays as it is until it comes out. */
		if (!grt_cas(&s->remote, REMOTE_NOTIFY, 0))
			return;
		set_owner(s, c, 0);
		if (heap_lock(&c->lock)) {
			c->locked++;
			put_back_locked(c, s);
			grt_unlock(&c->lock);
		} else {
			set_owner(s, c, OWNER_FULL);
			grt_store_release(&s->remote, REMOTE_NOTIFY); /* a fork: the next one frees it */
			return;
		}
	}
	if (!s->used)
		became_empty(c, s);
}

void grt__cache_free_slow(struct mcache *c, struct span *s, void *p)
{
	if (!s) {
		if (!(s = grt__huge_of(p)))
			grt__heap_bad_free("free of a pointer that malloc did not return", p);
		if (grt_unlikely(s->sample))
			grt__sample_free_large(s);
		if (c)
			c->large_frees++;
		if (!c || !grt__huge_free(s)) {
			s->state = SPAN_KEPT;
			grt__pages_defer(s);
		}
		return;
	}
	switch (s->state) {
	case SPAN_SMALL:
		free_small(c, s, p);
		break;
	case SPAN_LARGE:
		if (p != s->base)
			grt__heap_bad_free("free of a pointer that is not the beginning of a block", p);
		free_large(c, s);
		break;
	case SPAN_RESERVE:
		grt__reserve_free(s, p);
		break;
	case SPAN_KEPT:
		grt__heap_bad_free("double free", p);
	default:
		grt__heap_bad_free("free of memory that is not allocated", p);
	}
}

/* ---- alignment ---- */

void *grt__cache_aligned(struct mcache *c, size_t n, size_t align)
{
	if (align <= 16)
		return cache_alloc(c, n);
	if (align <= PAGE && n <= GRT_CLASS_MAX) {
		size_t rounded = (n + align - 1) & ~(align - 1);
		if (!rounded)
			rounded = align;
		for (unsigned k = class_of(rounded); rounded <= GRT_CLASS_MAX && k < GRT_CLASSES; k++)
			if (grt__class[k].size % align == 0) {
				void *p = cache_alloc_fast(c, grt__class[k].size);
				return p ? p : alloc_of(c, SPAN_CLASS(k, 0), grt__class[k].size, align);
			}
	}
	return grt__cache_large(c, n ? n : 1, align, false);
}

/* ---- caches ---- */

static void init_secret(void)
{
	if (grt_load_relaxed(&grt__heap_secret))
		return;
	/* Where the kernel put stack and library, and when: not known outside of the process. */
	uint64_t x = grt__cycles() ^ (uintptr_t)&x ^ (uintptr_t)&grt__caches << 17;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	/* A link is an address, of which the high bits are none; bit 0 says whether it is one. */
	grt__heap_secret = (x ^ x >> 31) | 1ull << 63;
}

struct mcache *grt__cache_get(bool foreign)
{
	if (!heap_lock(&grt__mheap.lock))
		return NULL;
	init_secret();
	struct mcache *c = pool;
	if (c) {
		pool = c->pool_next;
	} else if ((c = grt__os_alloc(sizeof *c))) {
		grt_lock_init(&c->lock, GRT_RANK_CACHE);
		for (unsigned i = 0; i < SPAN_CLASSES; i++)
			set_current(c, i, &grt__span_none);
		c->secret = grt__heap_secret;
		c->rand = (grt__cycles() ^ (uintptr_t)c) | 1;
		c->kept_most = KEEP_LEAST;
		grt__sample_next(c);
		c->all_next = grt__caches;
		grt_store_release(&grt__caches, c); /* pairs with the walkers' loads */
		grt__mheap.meta += sizeof *c;
		grt__count_sys_locked(sizeof *c);
	}
	if (c) {
		c->foreign = foreign;
		c->owned = 1;
	}
	grt_unlock(&grt__mheap.lock);
	return c;
}

static void into_pool(struct mcache *c)
{
	while (!heap_lock(&grt__mheap.lock))
		grt__os_pause(20);
	c->owned = 0;
	c->pool_next = pool;
	pool = c;
	grt_unlock(&grt__mheap.lock);
}

static void flush_span_locked(struct mcache *c, struct span *s)
{
	grt__span_drain(s);
	if (!s->used ? !grt__pages_free(s) : !grt__central_put(s))
		put_back_locked(c, s);
}

void grt__cache_flush(struct mcache *c)
{
	hand_over_all(c);
	if (!heap_lock(&c->lock))
		return;
	c->locked++;
	read_inbox_locked(c);
	free_empty_locked(c);
	for (unsigned i = 2; i < SPAN_CLASSES && !grt_load_relaxed(&grt__heap_forking); i++) {
		struct span *s = c->current[i];
		if (s != &grt__span_none) {
			if (is_slot(s->free) || has_unused(s) || grt__span_drain(s) || !leave_full_locked(c, s)) {
				end_current_locked(c, s);
				flush_span_locked(c, s);
			} else {
				set_current(c, i, &grt__span_none);
			}
		}
		for (uint32_t n = c->queue[i].n; n && (s = c->queue[i].head); n--) {
			grt__queue_out(&c->queue[i], s);
			flush_span_locked(c, s);
		}
	}
	grt_unlock(&c->lock);
	free_kept(c);
	grt_store_relaxed(&c->holds, 0);
}

bool grt__cache_holds(const struct mcache *c)
{
	return grt_load_relaxed(&c->holds) || grt_load_relaxed(&c->inbox);
}

void grt__cache_put(struct mcache *c)
{
	grt__cache_flush(c);
	into_pool(c);
}

void grt__caches_fork_child(const struct mcache *mine)
{
	pool = NULL;
	for (struct mcache *c = grt__caches; c; c = c->all_next)
		if (c != mine && (c->foreign || !c->owned))
			into_pool(c);
}
