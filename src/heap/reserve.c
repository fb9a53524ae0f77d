/*
 * The reserve: blocks for whoever may not wait. A handler that calls malloc in the middle of the heap, a vfork child, a task that holds
 * libc's lock of streams while another forks: none of them can count on a cache or a lock. Sizes are powers of two; free blocks are on
 * one stack a size, pushed and popped by CAS; new ones are cut off an arena of its own by CAS. Memory that was once used for this
 * stays here: such calls are rare.
 *
 * The word of a stack is address / 16 | tag << 43. The tag grows by one with each push and pop, so that a pop that was overtaken
 * fails, and what it read as a link, from memory that was somebody's by then, is forgotten.
 */
#include "heap/span.h"
#include "os/os.h"
#include <string.h>
#include <sys/mman.h>

enum { SIZES = 22 /* 16 B to 32 MiB */ };
#define ADDRESS_PART ((1ull << 43) - 1)

static uint64_t stacks[SIZES]; /* atomic */
static uint64_t cut;           /* atomic: address of the arena | first page not cut off */

/* The second word of a free block, by which a second free is known. */
static uint64_t mark(const void *block)
{
	return ((uintptr_t)block ^ grt__heap_secret) * 0x9e3779b97f4a7c15ull;
}

static void push(unsigned k, void *block)
{
	((uint64_t *)block)[1] = mark(block);
	uint64_t old = grt_load_relaxed(&stacks[k]), now;
	do {
		*(uint64_t *)block = old & ADDRESS_PART;
		now = (uintptr_t)block >> 4 | ((old >> 43) + 1) << 43;
	} while (!__atomic_compare_exchange_n(&stacks[k], &old, now, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static void *pop(unsigned k)
{
	uint64_t old = grt_load_acquire(&stacks[k]), now;
	void *block;
	do {
		block = (void *)((old & ADDRESS_PART) << 4);
		if (!block)
			return NULL;
		now = (grt_load_relaxed((uint64_t *)block) & ADDRESS_PART) | ((old >> 43) + 1) << 43;
	} while (!__atomic_compare_exchange_n(&stacks[k], &old, now, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
	return block;
}

/* A whole one, or as much of it as there is memory for: in any case room for a block of so many pages. */
static char *new_arena(size_t npages)
{
	size_t least = (((HEADER_PAGES + npages - 1) & ~(npages - 1)) + npages) << PAGE_SHIFT, bytes = ARENA;
	char *base;
	while (!(base = grt__map_aligned(bytes, ARENA, PROT_READ | PROT_WRITE, MAP_NORESERVE)))
		if ((bytes /= 2) < least)
			return NULL;
	struct arena *a = (struct arena *)base;
	a->npages = a->open = (uint32_t)(bytes >> PAGE_SHIFT);
	grt_store_release(&grt__heap_root[(uintptr_t)base >> ARENA_SHIFT], (uintptr_t)base + ROOT_ARENA);
	return base;
}

/* Pages at a multiple of their number; NULL: no memory. */
static struct span *cut_off(size_t npages)
{
	uint64_t old = grt_load_acquire(&cut);
	for (;;) {
		size_t at = ((old & (ARENA - 1)) + npages - 1) & ~(npages - 1);
		struct arena *a = (struct arena *)(old & ~(ARENA - 1));
		if (a && at + npages <= a->npages) {
			if (!__atomic_compare_exchange_n(&cut, &old, (old & ~(ARENA - 1)) | (at + npages), false, __ATOMIC_ACQ_REL,
			                                 __ATOMIC_ACQUIRE))
				continue;
			struct span *s = &a->spans[at];
			s->base = (char *)a + (at << PAGE_SHIFT);
			s->npages = (uint32_t)npages;
			s->state = SPAN_RESERVE;
			for (size_t i = at; i < at + npages; i++)
				a->map[i] = (uint16_t)at;
			return s;
		}
		char *base = new_arena(npages);
		if (!base)
			return NULL;
		if (!__atomic_compare_exchange_n(&cut, &old, (uintptr_t)base | HEADER_PAGES, false, __ATOMIC_ACQ_REL,
		                                 __ATOMIC_ACQUIRE)) { /* another was first */
			grt_store_release(&grt__heap_root[(uintptr_t)base >> ARENA_SHIFT], 0);
			grt__sys_munmap(base, (size_t)((struct arena *)base)->npages << PAGE_SHIFT);
		}
	}
}

void *grt__reserve_alloc(size_t n, size_t align)
{
	if (n < align)
		n = align;
	if (n < 16)
		n = 16;
	if (n > (size_t)16 << (SIZES - 1))
		return NULL;
	unsigned k = 60 - (unsigned)__builtin_clzl(n - 1);
	size_t size = (size_t)16 << k;
	void *block = pop(k);
	if (block) {
		memset(block, 0, size);
		return block;
	}
	struct span *s = cut_off(size > 8 * PAGE ? size >> PAGE_SHIFT : 8);
	if (!s)
		return NULL;
	s->size = (uint32_t)size;
	s->spanclass = (uint8_t)k;
	s->nslots = (uint32_t)(((size_t)s->npages << PAGE_SHIFT) / size);
	for (uint32_t i = 1; i < s->nslots; i++)
		push(k, s->base + i * size);
	return s->base;
}

void grt__reserve_free(struct span *s, void *p)
{
	if ((size_t)((char *)p - s->base) % s->size)
		grt__heap_bad_free("free of a pointer that is not the beginning of a block", p);
	if (grt_xchg_acqrel((uint64_t *)p + 1, mark(p)) == mark(p))
		grt__heap_bad_free("double free", p);
	push(s->spanclass, p);
}
