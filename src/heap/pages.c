#include "heap/modes.h"
#include "heap/scavenge.h"
#include "heap/span.h"
#include "os/os.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

uintptr_t grt__heap_root[1ul << (ADDRESS_BITS - ARENA_SHIFT)];
struct mheap grt__mheap = {.lock = GRT_LOCK_INIT(GRT_RANK_HEAP)};
uint32_t grt__heap_forking;
int64_t grt__heap_epoch;
int grt__heap_madvice = MADV_DONTNEED;
bool grt__heap_huge_pages;

static struct span *deferred; /* atomic: linked by inbox_next */

#define h grt__mheap
#define OPEN_STEP ((size_t)GRT_SMALL(512, 64)) /* pages; 4 MiB */
#define LEARN_AT ((size_t)16 << 20)            /* smaller heaps need no limit, and are spared a dozen system calls */
#define HUGE_PAGE ((size_t)256)                /* pages; 2 MiB */
#define AGE_SHIFT 16                           /* of freed_at: an epoch, and a part of it */

bool grt__heap_lock_slow(struct grt_lock *l)
{
	for (unsigned i = 0;; i++) {
		if (grt_trylock(l))
			return true;
		if (grt_load_acquire(&grt__heap_forking))
			return false;
		grt__os_pause(i);
	}
}

/* ---- the treap of free runs ---- */

#define left next
#define right prev

static bool before(const struct span *a, const struct span *b)
{
	return a->npages != b->npages ? a->npages < b->npages : a->base < b->base;
}

/* A fixed shuffle of the address: as good as random for the depth, and nothing to store. */
static uint32_t priority(const struct span *s)
{
	uint64_t x = (uintptr_t)s->base * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(x >> 32);
}

static void treap_insert_locked(struct span *s)
{
	struct span **at = &h.free, **l = &s->left, **r = &s->right;
	uint32_t mine = priority(s);
	while (*at && priority(*at) >= mine)
		at = before(s, *at) ? &(*at)->left : &(*at)->right;
	for (struct span *t = *at; t;) {
		if (before(t, s)) {
			*l = t;
			l = &t->right;
			t = t->right;
		} else {
			*r = t;
			r = &t->left;
			t = t->left;
		}
	}
	*l = *r = NULL;
	*at = s;
	h.free_pages += s->npages;
}

static void treap_remove_locked(struct span *s)
{
	struct span **at = &h.free, *l = s->left, *r = s->right;
	while (*at && *at != s)
		at = before(s, *at) ? &(*at)->left : &(*at)->right;
	while (l || r) {
		if (!r || (l && priority(l) >= priority(r))) {
			*at = l;
			at = &l->right;
			l = l->right;
		} else {
			*at = r;
			at = &r->left;
			r = r->left;
		}
	}
	*at = NULL;
	h.free_pages -= s->npages;
}

/* The smallest that is large enough, lowest address first. */
static struct span *best_fit_locked(size_t npages)
{
	struct span *best = NULL;
	for (struct span *t = h.free; t;) {
		if (t->npages >= npages) {
			best = t;
			t = t->left;
		} else {
			t = t->right;
		}
	}
	return best;
}

/* ---- free runs with resident pages ---- */

static struct run_list *list_of(const struct span *s)
{
	uintptr_t bytes = HUGE_PAGE << PAGE_SHIFT, first = ((uintptr_t)s->base + bytes - 1) & ~(bytes - 1);
	return &h.resident[first + bytes > (uintptr_t)s->base + ((size_t)s->npages << PAGE_SHIFT)];
}

/* Nearly in order: a few steps from the young end. One that comes to be too far there waits for those before it, two epochs at most. */
static void list_insert_locked(struct span *s)
{
	struct run_list *l = list_of(s);
	struct span *older = l->youngest, *younger = NULL;
	for (int i = 0; i < 8 && older && older->freed_at > s->freed_at; i++) {
		younger = older;
		older = older->older;
	}
	s->older = older;
	s->younger = younger;
	*(older ? &older->younger : &l->oldest) = s;
	*(younger ? &younger->older : &l->youngest) = s;
}

static void list_remove_locked(struct span *s)
{
	struct run_list *l = list_of(s);
	*(s->older ? &s->older->younger : &l->oldest) = s->younger;
	*(s->younger ? &s->younger->older : &l->youngest) = s->older;
}

static void run_insert_locked(struct span *s)
{
	treap_insert_locked(s);
	if (s->nslots)
		list_insert_locked(s);
}

static void run_remove_locked(struct span *s)
{
	treap_remove_locked(s);
	if (s->nslots)
		list_remove_locked(s);
}

/* ---- runs ---- */

static size_t page_index(const struct span *s)
{
	return (size_t)(s->base - (char *)arena_of(s)) >> PAGE_SHIFT;
}

static size_t count_untouched(const struct arena *a, size_t first, size_t n)
{
	size_t count = 0;
	for (size_t i = first; i < first + n;) {
		uint64_t w = a->untouched[i / 64];
		if (i % 64 == 0 && i + 64 <= first + n) {
			count += (size_t)__builtin_popcountll(w);
			i += 64;
		} else {
			count += w >> i % 64 & 1;
			i++;
		}
	}
	return count;
}

static void set_untouched(struct arena *a, size_t first, size_t n, bool on)
{
	for (size_t i = first; i < first + n;) {
		if (i % 64 == 0 && i + 64 <= first + n) {
			a->untouched[i / 64] = on ? ~0ull : 0;
			i += 64;
		} else {
			if (on)
				a->untouched[i / 64] |= 1ull << i % 64;
			else
				a->untouched[i / 64] &= ~(1ull << i % 64);
			i++;
		}
	}
}

/* Now, as freed_at has it. */
static int64_t now_stamp(void)
{
	return grt_load_relaxed(&grt__heap_epoch) << AGE_SHIFT;
}

/* When a run was freed that consists of two: the mean, by resident pages. So a little traffic at its edge does not keep a large one
 * young, and many new ones, one after the other, do not become as old as the little that was there before. */
static int64_t mean_age(int64_t freed_at, size_t resident, const struct span *other)
{
	if (!other->nslots)
		return freed_at;
	return freed_at + (other->freed_at - freed_at) * other->nslots / (int64_t)(resident + other->nslots);
}

/* A free run, merged with the free ones before and after it. */
static void put_run_locked(struct arena *a, size_t first, size_t n, int64_t freed_at)
{
	struct span *s = &a->spans[first], *other;
	size_t resident = n - count_untouched(a, first, n);
	/* Whoever frees a block of it once more finds that, if it becomes part of the run before. */
	s->state = SPAN_NONE;
	s->owner = NULL;
	s->fresh = 0;
	if (first > HEADER_PAGES && (other = span_at(a, first - 1))->state == SPAN_FREE &&
	    page_index(other) + other->npages == first) {
		run_remove_locked(other);
		first -= other->npages;
		n += other->npages;
		freed_at = mean_age(freed_at, resident, other);
		resident += other->nslots;
		s = other;
	}
	if (first + n < a->open && (other = span_at(a, first + n))->state == SPAN_FREE && page_index(other) == first + n) {
		run_remove_locked(other);
		n += other->npages;
		freed_at = mean_age(freed_at, resident, other);
		resident += other->nslots;
		other->state = SPAN_NONE;
	}
	s->state = SPAN_FREE;
	s->owner = NULL;
	s->base = (char *)a + (first << PAGE_SHIFT);
	s->npages = (uint32_t)n;
	s->nslots = (uint32_t)resident;
	s->freed_at = freed_at;
	s->fresh = 0;
	a->map[first] = a->map[first + n - 1] = (uint16_t)first;
	run_insert_locked(s);
}

/* ---- arenas ---- */

/* There is not so much address space that something could be cut off: right below what is mapped, or further down. */
static char *map_exactly(size_t bytes, size_t align, int prot, int flags)
{
	enum { TRIES = 64 };
	long p = grt__sys_mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (grt__sys_failed(p))
		return NULL;
	grt__sys_munmap((void *)p, bytes);
	uintptr_t at = (uintptr_t)p & ~(align - 1);
	for (int i = 0; i < TRIES && at >= align; i++, at -= align) {
		p = grt__sys_mmap((void *)at, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | flags, -1, 0);
		if ((uintptr_t)p == at)
			return (char *)at;
		if (!grt__sys_failed(p)) /* a kernel that does not know the flag */
			grt__sys_munmap((void *)p, bytes);
		else if (p != -EEXIST)
			break;
	}
	return NULL;
}

char *grt__map_aligned(size_t bytes, size_t align, int prot, int flags)
{
	size_t total = bytes + align - 4096;
	long p = grt__sys_mmap(NULL, total, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	if (grt__sys_failed(p))
		return map_exactly(bytes, align, prot, flags);
	char *lo = (char *)p, *hi = lo + total, *base = (char *)(((uintptr_t)lo + align - 1) & ~(align - 1));
	if (base > lo)
		grt__sys_munmap(lo, (size_t)(base - lo));
	if (hi > base + bytes)
		grt__sys_munmap(base + bytes, (size_t)(hi - base - bytes));
	return base;
}

/* Address space for an arena, as much of it as there is; NULL: none. */
static char *reserve_arena(size_t *bytes)
{
	for (size_t n = ARENA; n >= 4 * HEADER_PAGES * PAGE; n /= 2) {
		char *base = grt__map_aligned(n, ARENA, PROT_NONE, MAP_NORESERVE);
		if (base) {
			*bytes = n;
			return base;
		}
	}
	return NULL;
}

void grt__count_sys_locked(size_t bytes)
{
	h.sys += bytes;
	if (h.sys > h.peak_sys)
		h.peak_sys = h.sys;
}

static struct arena *new_arena_locked(void)
{
	size_t bytes;
	if (h.narenas == GRT_COUNT(h.arenas))
		return NULL;
	char *base = reserve_arena(&bytes);
	if (!base)
		return NULL;
	size_t header = HEADER_PAGES * PAGE, huge = HUGE_PAGE << PAGE_SHIFT;
	if ((uintptr_t)base >> ADDRESS_BITS || grt__sys_mprotect(base, header, PROT_READ | PROT_WRITE)) {
		grt__sys_munmap(base, bytes);
		return NULL;
	}
	/* Not the first one: what of the header is used is sparse, and so is a small heap. */
	if (grt__heap_huge_pages && bytes > huge)
		grt__sys_madvise(base + huge, bytes - huge, MADV_HUGEPAGE);
	struct arena *a = (struct arena *)base;
	a->npages = (uint32_t)(bytes >> PAGE_SHIFT);
	a->open = HEADER_PAGES;
	h.arenas[h.narenas++] = a;
	grt__count_sys_locked(header);
	h.meta += header;
	grt_store_release(&grt__heap_root[(uintptr_t)a >> ARENA_SHIFT], (uintptr_t)a + ROOT_ARENA);
	return a;
}

static bool open_pages_locked(struct arena *a, size_t n)
{
	if (n > a->npages - a->open)
		return false;
	char *at = (char *)a + ((size_t)a->open << PAGE_SHIFT);
	if (grt__sys_mprotect(at, n << PAGE_SHIFT, PROT_READ | PROT_WRITE))
		return false;
	size_t first = a->open;
	a->open += (uint32_t)n;
	grt__count_sys_locked(n << PAGE_SHIFT);
	set_untouched(a, first, n, true);
	h.untouched_pages += n;
	put_run_locked(a, first, n, 0);
	return true;
}

static bool open_more_locked(struct arena *a, size_t n)
{
	size_t unit = grt__heap_huge_pages && OPEN_STEP < HUGE_PAGE ? HUGE_PAGE : OPEN_STEP;
	size_t room = a->npages - a->open, step = ((a->open + n + unit - 1) & ~(unit - 1)) - a->open;
	return (step <= room && open_pages_locked(a, step)) || (n <= room && open_pages_locked(a, n));
}

/* Where GOMEMLIMIT says nothing the control group does: most of what it allows is the heap's, the rest stacks, code and files. */
static void learn_limit_locked(void)
{
	static bool learnt;
	if (grt_likely(learnt))
		return;
	learnt = true;
	size_t limit = grt__heap_limit_given ? SIZE_MAX : grt__os_cgroup_memory();
	if (limit != SIZE_MAX)
		grt_store_relaxed(&grt__heap_limit, limit - limit / 8);
}

void grt__heap_limit_learn(void)
{
	if (!heap_lock(&h.lock))
		return;
	learn_limit_locked();
	grt_unlock(&h.lock);
}

/* More free pages, so that a run of n fits: the youngest arena with room first, and more than is wanted if there is. */
static bool more_locked(size_t n)
{
	if (h.sys >= LEARN_AT)
		learn_limit_locked();
	for (uint32_t i = h.narenas; i-- > 0;)
		if (open_more_locked(h.arenas[i], n))
			return true;
	struct arena *a = new_arena_locked();
	return a && open_more_locked(a, n);
}

/* ---- GOMEMLIMIT ---- */

/* By how much another `bytes` of the kernel's memory would pass it. */
static size_t excess_locked(size_t bytes)
{
	size_t sum = h.sys - (h.untouched_pages << PAGE_SHIFT) + bytes;
	return sum > grt__heap_limit ? sum - grt__heap_limit : 0;
}

void grt__pages_make_room(size_t bytes)
{
	if (grt_likely(grt__heap_limit == SIZE_MAX) || !heap_lock(&h.lock))
		return;
	size_t over = excess_locked(bytes);
	grt_unlock(&h.lock);
	if (over)
		grt__scavenge_eagerly(over);
}

/* ---- */

/* Pages of a free run become those of the span that begins at page `of`. True: they are zero. */
static bool claim_locked(struct arena *a, size_t first, size_t n, size_t of)
{
	size_t untouched = count_untouched(a, first, n);
	if (untouched) {
		h.untouched_pages -= untouched;
		set_untouched(a, first, n, false);
	}
	for (size_t i = first; i < first + n; i++)
		a->map[i] = (uint16_t)of;
	return untouched == n && !a->lazy;
}

static size_t aligned_index(const struct span *run, size_t align)
{
	return (page_index(run) + align - 1) & ~(align - 1);
}

/* A run that has npages at a multiple of align, and room for them under GOMEMLIMIT if there can be. GOT_SPAN: locked. */
static enum span_got find_run(size_t npages, size_t align, struct span **got)
{
	size_t want = npages + align - 1;
	for (bool again = false;; again = true) {
		if (!heap_lock(&h.lock))
			return GOT_NO_LOCK;
		h.locked++;
		struct span *run = best_fit_locked(want);
		if (!run && more_locked(want))
			run = best_fit_locked(want);
		if (!run) {
			grt_unlock(&h.lock);
			return GOT_NO_MEMORY;
		}
		*got = run;
		if (grt_likely(grt__heap_limit == SIZE_MAX) || again)
			return GOT_SPAN;
		size_t untouched = count_untouched(arena_of(run), aligned_index(run, align), npages);
		size_t over = untouched ? excess_locked(untouched << PAGE_SHIFT) : 0;
		if (!over)
			return GOT_SPAN;
		grt_unlock(&h.lock);
		grt__scavenge_eagerly(over);
	}
}

bool grt__pages_at_hand(size_t npages)
{
	if (!heap_lock(&h.lock))
		return true;
	h.locked++;
	struct span *run = best_fit_locked(npages);
	bool at_hand = run && count_untouched(arena_of(run), page_index(run), npages) == 0;
	grt_unlock(&h.lock);
	return at_hand;
}

enum span_got grt__pages_alloc(size_t npages, size_t align, struct span **got)
{
	if (grt_unlikely(grt_load_relaxed(&deferred)))
		grt__pages_deferred();
	struct span *run;
	enum span_got found = find_run(npages, align, &run);
	if (found != GOT_SPAN)
		return found;
	run_remove_locked(run);
	struct arena *a = arena_of(run);
	size_t first = page_index(run), end = first + run->npages, at = aligned_index(run, align);
	int64_t freed_at = run->freed_at;
	run->state = SPAN_NONE;
	struct span *s = &a->spans[at];
	s->state = SPAN_LARGE; /* before its neighbours look at it */
	s->owner = NULL;
	s->base = (char *)a + (at << PAGE_SHIFT);
	s->npages = (uint32_t)npages;
	s->size = 0;
	s->fresh = s->nslots = 0;
	s->remote = 0;
	s->home = NULL;
	s->free = s->base + 1;
	s->allocs = s->used = 0;
	s->queued = s->current = s->guarded = 0;
	s->zero = claim_locked(a, at, npages, at);
	if (at > first)
		put_run_locked(a, first, at - first, freed_at);
	if (at + npages < end)
		put_run_locked(a, at + npages, end - at - npages, freed_at);
	grt_unlock(&h.lock);
	*got = s;
	return GOT_SPAN;
}

/* Slots that were never in use leave pages as they were. */
static void note_untouched_locked(struct arena *a, const struct span *s, size_t first)
{
	if (s->state != SPAN_SMALL || !s->zero)
		return;
	size_t used = pages_of(s->fresh);
	if (used < s->npages && !s->guarded) {
		set_untouched(a, first + used, s->npages - used, true);
		h.untouched_pages += s->npages - used;
	}
}

/* The page behind a span's slots can be used again; if the kernel refuses that it is nobody's from here on. */
static void open_guard_locked(struct arena *a, struct span *s)
{
	size_t last = page_index(s) + s->npages - 1;
	char *at = (char *)a + (last << PAGE_SHIFT);
	if (grt__guard(at, PAGE, false))
		return;
	a->spans[last] = (struct span){.state = SPAN_NONE, .base = at, .npages = 1, .free = at + 1};
	a->map[last] = (uint16_t)last;
	s->npages--;
}

bool grt__pages_free(struct span *s)
{
	if (!heap_lock(&h.lock))
		return false;
	h.locked++;
	struct arena *a = arena_of(s);
	size_t first = page_index(s);
	if (grt_unlikely(s->guarded))
		open_guard_locked(a, s);
	if (s->state == SPAN_SMALL) {
		h.class_allocs[s->spanclass >> 1] += s->allocs;
		h.class_frees[s->spanclass >> 1] += s->allocs - s->used;
	}
	note_untouched_locked(a, s, first);
	put_run_locked(a, first, s->npages, now_stamp());
	grt_unlock(&h.lock);
	grt__scavenge_note();
	return true;
}

bool grt__pages_grow(struct span *s, size_t npages)
{
	bool grown = false;
	struct arena *a = arena_of(s);
	size_t first = page_index(s), end = first + s->npages, more = npages - s->npages;
	if (first + npages > a->npages)
		return false;
	grt__pages_make_room(more << PAGE_SHIFT);
	if (!heap_lock(&h.lock))
		return false;
	h.locked++;
	struct span *run = span_at(a, end < a->open ? end : 0); /* of the header: none */
	size_t have = run->state == SPAN_FREE && page_index(run) == end ? run->npages : 0;
	if (have < more && end + have == a->open && open_pages_locked(a, more - have)) {
		run = span_at(a, end);
		have = run->npages;
	}
	if (have >= more) {
		run_remove_locked(run);
		run->state = SPAN_NONE;
		int64_t freed_at = run->freed_at;
		claim_locked(a, end, more, first);
		s->npages = (uint32_t)npages;
		if (have > more)
			put_run_locked(a, end + more, have - more, freed_at);
		grown = true;
	}
	grt_unlock(&h.lock);
	return grown;
}

void grt__pages_shrink(struct span *s, size_t npages)
{
	if (!heap_lock(&h.lock))
		return; /* it stays as long as it was */
	h.locked++;
	struct arena *a = arena_of(s);
	size_t first = page_index(s), n = s->npages;
	s->npages = (uint32_t)npages;
	put_run_locked(a, first + npages, n - npages, now_stamp());
	grt_unlock(&h.lock);
}

/* ---- giving memory back ---- */

static struct span *oldest_locked(int64_t before, bool whole)
{
	for (unsigned i = 0; i < GRT_COUNT(h.resident) - whole; i++) {
		struct span *s = h.resident[i].oldest;
		if (s && s->freed_at >> AGE_SHIFT < before)
			return s;
	}
	return NULL;
}

static bool is_untouched(const struct arena *a, size_t page)
{
	return a->untouched[page / 64] >> page % 64 & 1;
}

/* Gives at least `most` pages of a run back, if it has so many, whole huge pages if it has those: from its end, for it is used from its
 * beginning. Not in the treap and not locked meanwhile. The page from which on none is resident now. */
static size_t release_run(const struct arena *a, size_t first, size_t n, size_t most)
{
	size_t end = first + n;
	for (size_t released = 0; released < most && end > first;) {
		while (end > first && is_untouched(a, end - 1))
			end--;
		size_t at = end;
		while (at > first && !is_untouched(a, at - 1) && (released + end - at < most || at % HUGE_PAGE))
			at--;
		if (at < end && grt__sys_madvise((char *)a + (at << PAGE_SHIFT), (end - at) << PAGE_SHIFT, grt__heap_madvice))
			break;
		released += end - at;
		end = at;
	}
	return end;
}

size_t grt__pages_scavenge(size_t keep, int64_t before, size_t most)
{
	size_t released = 0;
	while (released < most && heap_lock(&h.lock)) {
		size_t have = (h.free_pages - h.untouched_pages) << PAGE_SHIFT;
		/* Where there may be huge pages, none is broken up unless memory is short: what is left of one would stay. */
		bool whole = grt__heap_huge_pages && before != INT64_MAX;
		struct span *s = have > keep ? oldest_locked(before, whole) : NULL;
		if (!s) {
			grt_unlock(&h.lock);
			break;
		}
		size_t want = have - keep < most - released ? have - keep : most - released;
		struct arena *a = arena_of(s);
		size_t first = page_index(s), n = s->npages;
		int64_t freed_at = s->freed_at;
		run_remove_locked(s);
		s->state = SPAN_NONE;
		h.scavenging++;
		grt_unlock(&h.lock);
		size_t skip = whole ? -first % HUGE_PAGE : 0, end = whole ? (first + n) & ~(HUGE_PAGE - 1) : first + n;
		size_t from = release_run(a, first + skip, end - first - skip, pages_of(want));
		while (!heap_lock(&h.lock)) /* a fork */
			grt__os_pause(20);
		size_t gone = end - from, now = gone - count_untouched(a, from, gone);
		if (now) {
			h.untouched_pages += now;
			set_untouched(a, from, gone, true);
			a->lazy |= grt__heap_madvice != MADV_DONTNEED;
		}
		put_run_locked(a, first, n, now ? freed_at : now_stamp());
		h.scavenging--;
		grt_unlock(&h.lock);
		released += now << PAGE_SHIFT;
		if (!now && !whole)
			break; /* refused */
	}
	return released;
}

/* ---- put off ---- */

void grt__pages_defer(struct span *s)
{
	span_push(&deferred, s);
}

void grt__pages_deferred(void)
{
	struct span *s = grt_xchg_acqrel(&deferred, NULL), *next;
	for (; s; s = next) {
		next = s->inbox_next;
		if (!(s->npages ? grt__pages_free(s) : grt__huge_free(s)))
			grt__pages_defer(s);
	}
}

void grt__arenas_release(void)
{
	if (!heap_lock(&h.lock))
		return;
	for (uint32_t i = 0; i < h.narenas;) {
		struct arena *a = h.arenas[i];
		struct span *s = span_at(a, HEADER_PAGES);
		if (a->open == HEADER_PAGES || s->state != SPAN_FREE || HEADER_PAGES + s->npages != a->open) {
			i++;
			continue;
		}
		run_remove_locked(s);
		h.untouched_pages -= s->npages - s->nslots;
		h.sys -= (size_t)a->open << PAGE_SHIFT;
		h.meta -= HEADER_PAGES * PAGE;
		grt_store_release(&grt__heap_root[(uintptr_t)a >> ARENA_SHIFT], 0);
		h.arenas[i] = h.arenas[--h.narenas];
		grt__sys_munmap(a, (size_t)a->npages << PAGE_SHIFT);
	}
	grt_unlock(&h.lock);
}
