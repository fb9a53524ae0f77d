#include "heap/cache.h"
#include "heap/central.h"
#include "heap/modes.h"
#include "heap/scavenge.h"
#include "os/os.h"
#include <string.h>

struct span grt__span_none = {.free = (void *)1};
uintptr_t grt__heap_secret;
void (*grt__heap_sample_hook)(void *p, size_t n);

enum { COLLECT = 8 /* spans looked at before a new one is asked for */ };
#define CARVE GRT_SMALL(4096u, 256u) /* bytes of slots made at a time */
enum { MOST_CARVED = 4096 / 16 };
#define KEEP_LARGE ((size_t)1 << 20) /* larger ones are not kept by caches */
#define KEEP_LEAST ((size_t)1 << 20) /* as many bytes may be kept, or an eighth of the heap, */
#define KEEP_MOST ((size_t)8 << 20)  /* but no more than this */

static struct mcache *all_caches; /* atomic: push only */
static struct mcache *pool;       /* mheap's lock */

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
	s->frees += REMOTE_COUNT(w);
	grt_barrier();
	s->free = slot;
	return true;
}

/* xorshift64* */
static uint64_t random64(struct mcache *c)
{
	uint64_t x = c->rand;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	c->rand = x;
	return x * 0x2545f4914f6cdd1dull;
}

static void carve_shuffled(struct mcache *c, struct span *s, char *slot, uint32_t n)
{
	void *order[MOST_CARVED];
	for (uint32_t i = 0; i < n; i++) { /* inside out */
		uint32_t k = (uint32_t)(random64(c) % (i + 1));
		order[i] = order[k];
		order[k] = slot + (size_t)i * s->size;
	}
	for (uint32_t i = 0; i < n; i++) {
		link_set(order[i], s->free);
		s->free = order[i];
	}
}

/* Slots that were never in use become free ones, in the order of their addresses. */
static bool carve(struct mcache *c, struct span *s)
{
	uint32_t n = s->nslots - s->nfresh, most = CARVE / s->size;
	if (!n)
		return false;
	if (n > most)
		n = most ? most : 1;
	char *slot = s->base + (size_t)s->nfresh * s->size;
	if (grt_unlikely(grt__heap_modes & HEAP_HARDENED)) {
		carve_shuffled(c, s, slot, n);
	} else {
		void *first = slot;
		for (uint32_t i = 1; i < n; i++, slot += s->size)
			link_set((void **)slot, slot + s->size);
		link_set((void **)slot, s->free);
		s->free = first;
	}
	s->nfresh += n;
	return true;
}

/* Any thread: a slot of a span that is not its own. */
static void give_back(struct span *s, void *p)
{
	void **slot = p;
	uint64_t offset = (uint64_t)((char *)p - s->base), old = grt_load_relaxed(&s->remote);
	for (;;) {
		link_set(slot, REMOTE_COUNT(old) ? s->base + REMOTE_OFFSET(old) : s->base + 1);
		/* Pairs with the owner's exchange; and, where NOTIFY was set, with the stores before it was. */
		if (grt_cas(&s->remote, old, REMOTE_WORD(offset, REMOTE_COUNT(old) + 1)))
			break;
		old = grt_load_relaxed(&s->remote);
	}
	if (grt_likely(!(old & REMOTE_NOTIFY)))
		return;
	/* We have cleared it, so nobody else touches inbox_next, and the span stays full, and its home's, until that has read its inbox. */
	span_push(&grt_load_relaxed(&s->home)->inbox, s);
}

/* ---- a cache's spans: its lock held ---- */

static void put_back_locked(struct mcache *c, struct span *s)
{
	grt__queue_put(&c->queue[s->spanclass], s);
}

/* s, in no queue, is wholly free. */
static void retire_locked(struct mcache *c, struct span *s)
{
	if (!grt__pages_free(s))
		put_back_locked(c, s);
}

/* s, in no queue, goes where what others have freed in it leads it. */
static void settle_locked(struct mcache *c, struct span *s)
{
	grt__span_drain(s);
	if (s->frees == s->allocs)
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

/* There is something in c for the scavenger to come for, once c is idle. */
static void hold(struct mcache *c)
{
	if (grt_likely(c->holds))
		return;
	grt_store_relaxed(&c->holds, 1);
	grt__scavenge_look();
}

static void make_current_locked(struct mcache *c, struct span *s)
{
	s->allocs++; /* never found empty by free: see struct span */
	s->current = 1;
	c->current[s->spanclass] = s;
	hold(c);
}

static void end_current_locked(struct mcache *c, struct span *s)
{
	s->allocs--;
	s->current = 0;
	c->current[s->spanclass] = &grt__span_none;
}

/* The current span has no free slots: it leaves. False: it has some after all. */
static bool leave_full_locked(struct mcache *c, struct span *s)
{
	set_owner(s, c, OWNER_FULL);
	/* Pairs with give_back: who clears it sees a full span of c's. */
	if (!grt_cas(&s->remote, 0, REMOTE_NOTIFY)) {
		set_owner(s, c, 0);
		return false;
	}
	end_current_locked(c, s);
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
	if (grt_likely(!c->idle && !c->kept_bytes) || grt__pages_at_hand(npages))
		return;
	free_kept(c);
	for (unsigned i = 0; i < SPAN_CLASSES && c->idle; i++) {
		struct span *s = c->current[i];
		if (s != &grt__span_none && s->frees + 1 == s->allocs) {
			end_current_locked(c, s);
			retire_locked(c, s);
		}
		if ((s = c->queue[i].head) && s->frees == s->allocs) {
			grt__queue_out(&c->queue[i], s);
			retire_locked(c, s);
		}
	}
	c->idle = 0;
}

static struct span *fresh_span(struct mcache *c, unsigned spanclass)
{
	const struct grt_class *k = &grt__class[spanclass >> 1];
	struct span *s;
	size_t pages = GRT_SMALL(k->pages, pages_of(k->size));
	bool guard = grt__heap_modes & HEAP_HARDENED;
	spare_growth_locked(c, pages + guard);
	if (grt__pages_alloc(pages + guard, 1, &s) != GOT_SPAN)
		return NULL;
	s->guarded = guard && grt__guard(s->base + (pages << PAGE_SHIFT), PAGE, true);
	s->inverse = k->inverse;
	s->shift = k->shift;
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
	} else if (!(s = grt__central_get(spanclass))) {
		collect_locked(c);
		s = fresh_span(c, spanclass);
	}
	if (!s)
		return false;
	grt_store_relaxed(&s->home, c);
	set_owner(s, c, 0);
	make_current_locked(c, s);
	return true;
}

static void *sampled(struct mcache *c, void *p, size_t n);

static void *take_slowly(struct mcache *c, unsigned spanclass)
{
	for (;;) {
		struct span *s = c->current[spanclass];
		if (is_slot(s->free) || grt__span_drain(s) || carve(c, s))
			return span_take(s);
		if (!heap_lock(&c->lock))
			return NULL;
		c->locked++;
		bool more = next_current_locked(c, spanclass);
		grt_unlock(&c->lock);
		if (!more)
			return NULL;
	}
}

void *grt__cache_alloc_slow(struct mcache *c, size_t n)
{
	if (n > GRT_CLASS_MAX)
		return grt__cache_large(c, n, 1, false);
	unsigned spanclass = SPAN_CLASS(class_of(n), 0);
	void *p = take_slowly(c, spanclass);
	if (grt_unlikely(grt_load_relaxed(&grt__scavenge_ourselves)))
		grt__scavenge_by_ourselves();
	if (!p)
		p = grt__reserve_alloc(grt__class[spanclass >> 1].size, 16);
	c->sample -= (int64_t)n;
	if (p && c->sample < 0)
		return sampled(c, p, n);
	return p;
}

/* ---- the sample ---- */

/* About one block each 512 KiB: the distances are exponentially distributed, as in Go, so that no regular program escapes. */
static void next_sample(struct mcache *c)
{
	if (grt_unlikely(grt__heap_modes)) {
		c->sample = -1;
		return;
	}
	uint64_t x = random64(c);
	/* -ln(u) * 2^19 with u uniform in (0, 1]: exponent and a table-free approximation of the rest, 3 % off at most. */
	uint64_t u = x | 1;
	unsigned zeros = (unsigned)__builtin_clzll(u);
	uint64_t mantissa = zeros == 63 ? 0 : u << (zeros + 1) >> 32;                        /* of 2^32: 0 to 1 */
	uint64_t log2 = mantissa + (mantissa * (0x100000000ull - mantissa) >> 32) * 11 / 32; /* log2(1 + m), nearly */
	uint64_t minus_log2 = ((uint64_t)(zeros + 1) << 32) - log2;
	c->sample = (int64_t)((minus_log2 >> 13) * 363409 >> 19) + 1; /* ln 2 * 2^19 = 363409 */
}

static void *sampled(struct mcache *c, void *p, size_t n)
{
	next_sample(c);
	if (grt__heap_sample_hook)
		grt__heap_sample_hook(p, n);
	return p;
}

/* ---- large objects ---- */

unsigned grt__large_bin(size_t *npages)
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

static void adapt_kept(struct mcache *c)
{
	size_t part = grt__heap_in_use() / 8;
	c->kept_most = part < KEEP_LEAST ? KEEP_LEAST : part > KEEP_MOST ? KEEP_MOST : part;
}

static void *large_taken(struct mcache *c, struct span *s, size_t bytes, size_t asked)
{
	c->large_allocs++;
	c->large_alloc_bytes += bytes;
	c->sample -= (int64_t)asked;
	return grt_unlikely(c->sample < 0) ? sampled(c, s->base, asked) : s->base;
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
	unsigned bin = grt__large_bin(&npages);
	if ((s = c->kept[bin]) && align <= PAGE) {
		c->kept[bin] = s->next;
		c->kept_bytes -= npages << PAGE_SHIFT;
		s->state = SPAN_LARGE;
		s->zero = 0;
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
	}
	if (zero && !s->zero)
		memset(s->base, 0, n);
	return large_taken(c, s, npages << PAGE_SHIFT, n);
}

static void free_large(struct mcache *c, struct span *s)
{
	size_t bytes = (size_t)s->npages << PAGE_SHIFT;
	if (!c) {
		grt__pages_defer(s); /* the caller may be in the middle of anything */
		return;
	}
	c->large_frees++;
	if (bytes <= KEEP_LARGE && c->kept_bytes + bytes <= c->kept_most) {
		s->state = SPAN_KEPT;
		s->next = c->kept[s->bin];
		c->kept[s->bin] = s;
		c->kept_bytes += bytes;
		hold(c);
		return;
	}
	if (!grt__pages_free(s))
		grt__pages_defer(s);
	if (grt_unlikely(grt_load_relaxed(&grt__scavenge_ourselves)))
		grt__scavenge_by_ourselves();
}

/* ---- free ---- */

void grt__heap_bad_free(const char *what, const void *p)
{
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

/* p shows what a free slot shows. Is it one? Another's span may change meanwhile: what is found is free for certain, for nobody else
 * may free p. */
static bool is_free(const struct span *s, const void *p)
{
	uint64_t remote = grt_load_acquire(&s->remote);
	return in_list(s, s->free, p) ||
	       (REMOTE_COUNT(remote) && in_list(s, (void **)(s->base + REMOTE_OFFSET(remote)), p));
}

/* The last slot in use of s, not c's current, was freed. */
static void became_empty(struct mcache *c, struct span *s)
{
	if (!s->queued || !heap_lock(&c->lock))
		return;
	c->locked++;
	struct span_queue *q = &c->queue[s->spanclass];
	if (q->n > 1) { /* one is kept: the next burst begins with it */
		grt__queue_out(q, s);
		retire_locked(c, s);
	} else {
		c->idle = 1;
	}
	grt_unlock(&c->lock);
	if (grt_unlikely(grt_load_relaxed(&grt__scavenge_ourselves)))
		grt__scavenge_by_ourselves();
}

static void free_small(struct mcache *c, struct span *s, void *p)
{
	void **slot = p;
	if (!begins_block(s, p))
		grt__heap_bad_free("free of a pointer that is not the beginning of a block", p);
	bool mine = is_owner(s, c);
	if (shows_link(s, p) && is_free(s, p))
		grt__heap_bad_free("double free", p);
	if (!mine) {
		give_back(s, p);
		return;
	}
	s->frees++;
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
	if (s->frees == s->allocs)
		became_empty(c, s);
}

void grt__cache_free_slow(struct mcache *c, struct span *s, void *p)
{
	if (!s) {
		if (!(s = grt__huge_of(p)))
			grt__heap_bad_free("free of a pointer that malloc did not return", p);
		if (c)
			c->large_frees++;
		if (!c || !grt__huge_free(s))
			grt__pages_defer(s);
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

/* ---- sizes ---- */

size_t grt__heap_size(const void *p)
{
	struct span *s = span_of(p);
	if (!s) {
		s = grt__huge_of(p);
		return s ? s->bytes : 0;
	}
	switch (s->state) {
	case SPAN_SMALL:
	case SPAN_RESERVE:
		return s->size;
	case SPAN_LARGE:
		return (size_t)s->npages << PAGE_SHIFT;
	default:
		return 0;
	}
}

void *grt__cache_aligned(struct mcache *c, size_t n, size_t align)
{
	if (align <= 16)
		return cache_alloc(c, n);
	if (align <= PAGE && n <= GRT_CLASS_MAX) {
		size_t rounded = (n + align - 1) & ~(align - 1);
		if (!rounded)
			rounded = align;
		for (unsigned k = class_of(rounded); rounded <= GRT_CLASS_MAX && k < GRT_CLASSES; k++)
			if (grt__class[k].size % align == 0)
				return cache_alloc(c, grt__class[k].size);
	}
	return grt__cache_large(c, n ? n : 1, align, false);
}

/* ---- realloc ---- */

static void *move(struct mcache *c, void *p, size_t have, size_t n)
{
	void *to = cache_alloc(c, n);
	if (!to)
		return n <= have ? p : NULL; /* what is to shrink may stay */
	memcpy(to, p, have < n ? have : n);
	cache_free(c, span_of(p), p);
	return to;
}

/* In its place, or false. */
static bool resize_large(struct mcache *c, struct span *s, size_t n)
{
	size_t npages = pages_of(n), was = s->npages;
	if (n <= GRT_CLASS_MAX || n > LARGE_MAX)
		return false;
	unsigned bin = grt__large_bin(&npages);
	if (npages > was && !grt__pages_grow(s, npages))
		return false;
	if (npages < was)
		grt__pages_shrink(s, npages);
	c->large_allocs++, c->large_frees++; /* as if it were another */
	c->large_alloc_bytes += (size_t)s->npages << PAGE_SHIFT;
	if (s->npages == npages)
		s->bin = (uint8_t)bin;
	s->zero = 0;
	return true;
}

void *grt__cache_realloc(struct mcache *c, void *p, size_t n)
{
	struct span *s = span_of(p);
	if (!s) {
		if (!(s = grt__huge_of(p)))
			grt__heap_bad_free("realloc of a pointer that malloc did not return", p);
		size_t was = s->bytes;
		if (n <= LARGE_MAX / 2)
			return move(c, p, was, n);
		struct span *now = grt__huge_resize(s, n);
		if (!now)
			return n <= was ? p : move(c, p, was, n);
		c->large_alloc_bytes += now->bytes;
		return now->base;
	}
	size_t have = grt__heap_size(p);
	if (!have || (s->state == SPAN_LARGE && p != s->base) || (s->state == SPAN_SMALL && !begins_block(s, p)))
		grt__heap_bad_free("realloc of a pointer that malloc did not return", p);
	if (s->state == SPAN_SMALL && shows_link(s, p) && is_free(s, p))
		grt__heap_bad_free("realloc of memory that is not allocated", p);
	if (s->state == SPAN_LARGE) {
		if ((n <= have && n > have - have / 8) || resize_large(c, s, n))
			return p;
	} else if (n <= have && (n >= have / 2 || have <= 64)) {
		return p;
	}
	return move(c, p, have, n);
}

/* ---- caches ---- */

static void init_secret(void)
{
	if (grt_load_relaxed(&grt__heap_secret))
		return;
	/* Where the kernel put stack and library, and when: not known outside of the process. */
	uint64_t x = grt__cycles() ^ (uintptr_t)&x ^ (uintptr_t)&all_caches << 17;
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
			c->current[i] = &grt__span_none;
		c->rand = (grt__cycles() ^ (uintptr_t)c) | 1;
		c->kept_most = KEEP_LEAST;
		next_sample(c);
		c->all_next = all_caches;
		grt_store_release(&all_caches, c); /* pairs with the walkers' loads */
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
	if (s->frees == s->allocs ? !grt__pages_free(s) : !grt__central_put(s))
		put_back_locked(c, s);
}

void grt__cache_flush(struct mcache *c)
{
	if (!heap_lock(&c->lock))
		return;
	c->locked++;
	read_inbox_locked(c);
	for (unsigned i = 0; i < SPAN_CLASSES && !grt_load_relaxed(&grt__heap_forking); i++) {
		struct span *s = c->current[i];
		if (s != &grt__span_none &&
		    (is_slot(s->free) || s->nfresh < s->nslots || grt__span_drain(s) || !leave_full_locked(c, s))) {
			end_current_locked(c, s);
			flush_span_locked(c, s);
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

void grt__caches_stats_locked(struct grt_heap_stats *st)
{
	for (struct mcache *c = all_caches; c; c = c->all_next) {
		st->caches++;
		st->locks += grt_load_relaxed(&c->locked);
		st->mallocs += c->large_allocs;
		st->frees += c->large_frees;
		st->total_alloc += c->large_alloc_bytes;
	}
}

/* ---- fork ---- */

void grt__heap_lock_for_fork(struct grt_lock *l)
{
	for (unsigned i = 0; !grt_cas(&l->word, 0, 1); i++)
		grt__os_pause(i);
}

bool grt__heap_fork_begin(void)
{
	return grt_cas(&grt__heap_forking, 0, 1);
}

void grt__heap_fork_prepare(void)
{
	for (struct mcache *c = grt_load_acquire(&all_caches); c; c = c->all_next)
		grt__heap_lock_for_fork(&c->lock);
	grt__central_fork(true);
	for (unsigned i = 0;; i++) { /* a run that the scavenger has in hand would be lost to the child */
		grt__heap_lock_for_fork(&grt__mheap.lock);
		if (!grt__mheap.scavenging)
			break;
		grt_store_release(&grt__mheap.lock.word, 0);
		grt__os_pause(i);
	}
}

void grt__heap_fork_parent(void)
{
	grt_store_release(&grt__mheap.lock.word, 0);
	grt__central_fork(false);
	for (struct mcache *c = all_caches; c; c = c->all_next)
		grt_store_release(&c->lock.word, 0);
	grt_store_release(&grt__heap_forking, 0);
	grt__pages_deferred();
}

void grt__heap_fork_child(const struct mcache *mine)
{
	grt__heap_fork_parent(); /* opens all, here too */
	pool = NULL;
	for (struct mcache *c = all_caches; c; c = c->all_next)
		if (c != mine && (c->foreign || !c->owned))
			into_pool(c);
}
