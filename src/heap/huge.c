#include "heap/span.h"
#include "os/os.h"
#include <sys/mman.h>

#define h grt__mheap
enum { SPANS_A_PAGE = 4096 / sizeof(struct span) };

static struct span *new_span_locked(void)
{
	if (!h.spare_spans) {
		struct span *page = grt__os_alloc(4096);
		if (!page)
			return NULL;
		for (int i = 0; i < SPANS_A_PAGE; i++) {
			page[i].next = h.spare_spans;
			h.spare_spans = &page[i];
		}
		h.meta += 4096;
	}
	struct span *s = h.spare_spans;
	h.spare_spans = s->next;
	return s;
}

static size_t mapping_size(size_t bytes)
{
	return (bytes + 4095) & ~4095ul;
}

/* NULL: none, or more than there can be. */
static char *map_aligned(size_t bytes, size_t align, int prot)
{
	if (bytes > (1ul << ADDRESS_BITS) || align > (1ul << ADDRESS_BITS))
		return NULL;
	return grt__map_aligned(bytes, align, prot, 0);
}

static void root_set(const char *base, struct span *s)
{
	grt_store_release(&grt__heap_root[(uintptr_t)base >> ARENA_SHIFT], s ? (uintptr_t)s + ROOT_HUGE : 0);
}

static void list_in_locked(struct span *s)
{
	s->prev = NULL;
	s->next = h.huge;
	if (h.huge)
		h.huge->prev = s;
	h.huge = s;
	h.nhuge++;
	h.huge_bytes += s->bytes;
	grt__count_sys_locked(s->bytes);
	root_set(s->base, s);
}

static void list_out_locked(struct span *s)
{
	*(s->prev ? &s->prev->next : &h.huge) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	h.nhuge--;
	h.huge_bytes -= s->bytes;
	h.sys -= s->bytes;
	root_set(s->base, NULL);
}

/*
 * So much new memory is about to be touched. As much of what is idle goes back first, however young: what the program frees before it
 * takes a large mapping (a picture, and the next one) would else lie beside it at the peak. It costs a tenth of clearing the new pages.
 */
static void make_room(size_t bytes)
{
	grt__pages_scavenge(0, INT64_MAX, bytes);
	grt__pages_make_room(bytes); /* GOMEMLIMIT */
}

enum span_got grt__huge_alloc(size_t bytes, size_t align, struct span **got)
{
	bytes = mapping_size(bytes);
	make_room(bytes);
	char *base = map_aligned(bytes, align > ARENA ? align : ARENA, PROT_READ | PROT_WRITE);
	if (!base)
		return GOT_NO_MEMORY;
	if (grt__heap_huge_pages)
		grt__sys_madvise(base, bytes, MADV_HUGEPAGE);
	while (!heap_lock(&h.lock)) /* a fork: it is short, and no other way is as large */
		grt__os_pause(20);
	h.locked++;
	struct span *s = new_span_locked();
	if (s) {
		*s = (struct span){.state = SPAN_HUGE, .base = base, .bytes = bytes, .zero = 1};
		list_in_locked(s);
	}
	grt_unlock(&h.lock);
	if (!s) {
		grt__sys_munmap(base, bytes);
		return GOT_NO_MEMORY;
	}
	*got = s;
	return GOT_SPAN;
}

bool grt__huge_free(struct span *s)
{
	if (!heap_lock(&h.lock))
		return false;
	h.locked++;
	char *base = s->base;
	size_t bytes = s->bytes;
	list_out_locked(s);
	s->state = SPAN_NONE;
	s->next = h.spare_spans;
	h.spare_spans = s;
	grt_unlock(&h.lock);
	grt__sys_munmap(base, bytes);
	return true;
}

/* A refused mremap has taken the mapping at `to` away, or has not; what is there may be another thread's by now. */
static void give_up(char *to, size_t bytes)
{
	long p =
		grt__sys_mmap(to, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (!grt__sys_failed(p))
		grt__sys_munmap((char *)p, bytes);
}

struct span *grt__huge_resize(struct span *s, size_t bytes)
{
	bytes = mapping_size(bytes);
	if (bytes == s->bytes)
		return s;
	if (bytes > s->bytes)
		make_room(bytes - s->bytes);
	char *base = s->base;
	long r = grt__sys5(SYS_mremap, base, s->bytes, bytes, 0, 0);
	if (grt__sys_failed(r)) {
		char *to = map_aligned(bytes, ARENA, PROT_NONE);
		if (!to)
			return NULL;
		r = grt__sys5(SYS_mremap, base, s->bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to);
		if (grt__sys_failed(r)) {
			give_up(to, bytes);
			return NULL;
		}
	}
	while (!heap_lock(&h.lock))
		grt__os_pause(20);
	h.locked++;
	list_out_locked(s);
	s->base = (char *)r;
	s->bytes = bytes;
	list_in_locked(s);
	grt_unlock(&h.lock);
	return s;
}

struct span *grt__huge_of(const void *p)
{
	uintptr_t index = (uintptr_t)p >> ARENA_SHIFT;
	if (index >= GRT_COUNT(grt__heap_root))
		return NULL;
	uintptr_t entry = grt_load_acquire(&grt__heap_root[index]);
	struct span *s = (struct span *)(entry - ROOT_HUGE);
	return entry & ROOT_HUGE && s->base == p && s->state == SPAN_HUGE ? s : NULL;
}
