#include "heap/cache.h"
#include "heap/central.h"
#include "heap/sample.h"
#include "os/os.h"
#include <string.h>

#define h grt__mheap

static void add_span(struct grt_heap_stats *st, const struct span *s)
{
	size_t bytes = (size_t)s->npages << PAGE_SHIFT;
	switch (s->state) {
	case SPAN_SMALL: {
		struct grt_heap_class_stats *k = &st->by_class[s->spanclass >> 1];
		k->spans++;
		k->bytes += bytes;
		uint64_t used = grt_load_relaxed(&s->used), frees = (grt_load_relaxed(&s->allocs) - used) % CURRENT;
		k->mallocs += frees + (used < CURRENT / 2 ? used : grt__span_in_use(s));
		k->frees += frees + REMOTE_COUNT(grt_load_relaxed(&s->remote));
		st->inuse += bytes;
		break;
	}
	case SPAN_LARGE:
		st->nlarge++;
		st->large += bytes;
		st->inuse += bytes;
		break;
	case SPAN_KEPT:
		st->idle += bytes;
		break;
	default:
		break;
	}
}

/* Every page of every arena is in just one run or span, no two free runs touch, and all are counted. */
static void walk_locked(void)
{
#if GRT_DEBUG >= 3
	size_t free_pages = 0;
	for (uint32_t i = 0; i < h.narenas; i++) {
		struct arena *a = h.arenas[i];
		bool free_before = false;
		for (size_t page = HEADER_PAGES, n; page < a->open; page += n) {
			const struct span *s = &a->spans[page];
			bool is_free = s->state == SPAN_FREE;
			n = s->npages;
			grt_invariant(n >= 1 && page + n <= a->open && s->base == (char *)a + (page << PAGE_SHIFT));
			grt_invariant(span_at(a, page) == s && span_at(a, page + n - 1) == s);
			grt_invariant(!is_free || !free_before);
			free_pages += is_free ? n : 0;
			free_before = is_free;
		}
	}
	grt_invariant(free_pages == h.free_pages);
#endif
}

/* What the caches themselves count. */
static void add_caches(struct grt_heap_stats *st)
{
	for (struct mcache *c = grt__caches; c; c = c->all_next) {
		st->caches++;
		st->locks += grt_load_relaxed(&c->locked);
		st->mallocs += c->large_allocs;
		st->frees += c->large_frees;
		st->total_alloc += c->large_alloc_bytes;
		for (unsigned i = 0; i < PENDS; i++)
			if (c->pend[i].n) /* an estimate while its owner runs */
				st->by_class[c->pend[i].span->spanclass >> 1].frees += c->pend[i].n;
	}
}

static void add_classes(struct grt_heap_stats *st)
{
	for (unsigned i = 1; i < GRT_CLASSES; i++) {
		struct grt_heap_class_stats *k = &st->by_class[i];
		k->size = grt__class[i].size;
		k->mallocs += h.class_allocs[i];
		k->frees += h.class_frees[i];
		st->mallocs += k->mallocs;
		st->frees += k->frees;
		st->total_alloc += k->mallocs * k->size;
		st->alloc += (size_t)(k->mallocs - k->frees) * k->size;
	}
}

void grt__heap_stats(struct grt_heap_stats *st)
{
	memset(st, 0, sizeof *st);
	while (!heap_lock(&h.lock))
		grt__os_pause(20);
	walk_locked();
	for (uint32_t i = 0; i < h.narenas; i++) {
		const struct arena *a = h.arenas[i];
		for (size_t page = HEADER_PAGES; page < a->open;) {
			const struct span *s = &a->spans[page];
			add_span(st, s);
			page += s->npages ? s->npages : 1;
		}
	}
	add_caches(st);
	add_classes(st);
	st->arenas = h.narenas;
	st->nhuge = h.nhuge;
	st->huge = h.huge_bytes;
	st->nlarge += h.nhuge;
	st->large += h.huge_bytes;
	st->inuse += h.huge_bytes;
	st->alloc += st->large;
	st->idle += h.free_pages << PAGE_SHIFT;
	st->released = h.untouched_pages << PAGE_SHIFT;
	size_t samples = grt_load_relaxed(&grt__sample_sys);
	st->sys = h.sys + samples;
	st->peak_sys = h.peak_sys + samples;
	st->meta = h.meta + samples;
	st->locks = h.locked + grt__central_locks();
	grt_unlock(&h.lock);
}
