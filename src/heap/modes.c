#include "heap/modes.h"
#include "heap/sample.h"
#include "os/os.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { TRAILER = 8, FILL = 0xd5, FILL_MOST = 512 /* bytes behind a block that are looked at */ };
#define FREED SIZE_MAX /* in the trailer of a free block, instead of its size */

unsigned grt__heap_modes;

bool grt__guard(char *p, size_t n, bool on)
{
	static bool
		protects; /* atomic: some guards are pages without access to the kernel, which MADV_GUARD_REMOVE leaves so */
	long r = grt__sys_madvise(p, n, on ? MADV_GUARD_INSTALL : MADV_GUARD_REMOVE);
	if (on && r == 0)
		return true;
	if (on)
		grt_store_relaxed(&protects, true);
	else if (r != 0 && r != -EINVAL /* a kernel that has no such guards */)
		return false;
	else if (!grt_load_relaxed(&protects))
		return true;
	return grt__sys_mprotect(p, n, on ? PROT_NONE : PROT_READ | PROT_WRITE) == 0;
}

/* ---- trailers ---- */

static uint64_t *trailer(const void *p)
{
	return (uint64_t *)((char *)(uintptr_t)p + grt__heap_size(p)) - 1;
}

static uint64_t hidden(const void *p, size_t n)
{
	return n ^ (uintptr_t)p ^ grt__heap_secret << 8;
}

static bool has_trailer(const void *p)
{
	const struct span *s = span_of(p);
	return grt__heap_modes & HEAP_HARDENED && !(s && (s->state == SPAN_RESERVE || s->state == SPAN_FENCE));
}

static void put_trailer(void *p, size_t n)
{
	size_t slack = grt__heap_size(p) - TRAILER - n;
	*trailer(p) = hidden(p, n);
	memset((char *)p + n, FILL, slack < FILL_MOST ? slack : FILL_MOST);
}

/* Of a block: the size that was asked for; dies if anything was written behind it. */
static size_t check_trailer(const void *p)
{
	size_t have = grt__heap_size(p), n = *trailer(p) ^ hidden(p, 0);
	if (n == FREED)
		grt__heap_bad_free("double free", p);
	if (n > have - TRAILER)
		grt__heap_bad_free("memory behind the block was written to", p);
	const unsigned char *at = (const unsigned char *)p + n;
	size_t slack = have - TRAILER - n;
	for (size_t i = 0; i < slack && i < FILL_MOST; i++)
		if (at[i] != FILL)
			grt__heap_bad_free("memory behind the block was written to", p);
	return n;
}

/* ---- efence ---- */

static void *fence_alloc(struct mcache *c, size_t n, size_t align)
{
	size_t room = (n + 15) & ~15ul, npages = pages_of(room ? room : 16);
	struct span *s;
	if (n > LARGE_MAX || align > PAGE)
		return NULL;
	if (grt__pages_alloc(npages + 1, 1, &s) != GOT_SPAN)
		return NULL;
	char *end = s->base + (npages << PAGE_SHIFT);
	if (!grt__guard(end, PAGE, true)) {
		if (!grt__pages_free(s))
			grt__pages_defer(s);
		return NULL;
	}
	if (!s->zero)
		memset(s->base, 0, npages << PAGE_SHIFT);
	s->state = SPAN_FENCE;
	s->free = (char *)(((uintptr_t)end - (room ? room : 16)) & ~(align - 1));
	grt__sample_large(c, s, n);
	return s->free;
}

static void fence_free(struct span *s, void *p)
{
	if (s->free != p)
		grt__heap_bad_free(s->free ? "free of a pointer that is not the beginning of a block" : "double free", p);
	if (s->sample)
		grt__sample_free_large(s);
	s->free = NULL;
	grt__sys_madvise(s->base, (size_t)s->npages << PAGE_SHIFT, MADV_DONTNEED);
	grt__guard(s->base, (size_t)s->npages << PAGE_SHIFT, true);
}

/* ---- */

/* p begins a block that is not free, as far as the map and its link tell; else it is for grt__cache_free_slow to say what it is. */
static bool sound(const struct span *s, const void *p)
{
	if (!s)
		return grt__huge_of(p) != NULL;
	switch (s->state) {
	case SPAN_SMALL:
		return begins_block(s, p) ? !shows_link(s, p) : grt__sample_is(s, p);
	case SPAN_LARGE:
		return p == s->base;
	case SPAN_RESERVE:
		return (size_t)((const char *)p - s->base) % s->size == 0;
	case SPAN_FENCE:
		return p == s->free;
	default:
		return false;
	}
}

static void trace(const char *what, const void *p, size_t n)
{
	if (grt__heap_modes & HEAP_TRACE)
		grt__print("%s(%p, 0x%lx) tid=%d\n", what, p, (unsigned long)n, grt__sys_gettid());
}

size_t grt__modes_size(const void *p)
{
	const struct span *s = span_of(p);
	if (!sound(s, p))
		return 0;
	if (s && s->state == SPAN_FENCE)
		return (size_t)(s->base + ((size_t)(s->npages - 1) << PAGE_SHIFT) - (const char *)p);
	return has_trailer(p) ? check_trailer(p) : grt__heap_size(p);
}

static void *allocate(struct mcache *c, size_t n, size_t align, bool zero)
{
	void *p = grt__heap_modes & HEAP_EFENCE ? fence_alloc(c, n, align) : NULL;
	if (p)
		return p;
	size_t want = grt__heap_modes & HEAP_HARDENED ? n + TRAILER : n;
	if (want > GRT_CLASS_MAX)
		p = grt__cache_large(c, want, align, zero);
	else
		p = grt__cache_aligned(c, want, align);
	if (!p)
		return NULL;
	if (zero && want <= GRT_CLASS_MAX)
		memset(p, 0, n);
	if (has_trailer(p))
		put_trailer(p, n);
	return p;
}

static void release(struct mcache *c, void *p)
{
	struct span *s = span_of(p);
	if (s && s->state == SPAN_FENCE) {
		fence_free(s, p);
		return;
	}
	if (sound(s, p)) {
		bool trailed = has_trailer(p);
		if (trailed)
			check_trailer(p);
		if (grt__heap_modes & HEAP_ZERO_FREE) {
			size_t own = s && s->state == SPAN_RESERVE ? 16 : 0; /* reserve.c's when it is free, and looked at then */
			memset((char *)p + own, 0, grt__heap_size(p) - own);
		}
		if (trailed)
			*trailer(p) = hidden(p, FREED);
	}
	grt__cache_free_slow(c, s, p);
}

void *grt__modes_alloc(struct mcache *c, size_t n, size_t align, bool zero)
{
	void *p = allocate(c, n, align, zero);
	trace("tracealloc", p, n);
	return p;
}

void grt__modes_free(struct mcache *c, void *p)
{
	trace("tracefree", p, grt__heap_modes & HEAP_TRACE ? grt__modes_size(p) : 0);
	release(c, p);
}

void grt__modes_free_sized(struct mcache *c, void *p, size_t n)
{
	const struct span *s = span_of(p);
	if (sound(s, p) && has_trailer(p) && check_trailer(p) != n)
		grt__heap_bad_free("sized free with another size than the block's", p);
	grt__modes_free(c, p);
}

void *grt__modes_realloc(struct mcache *c, void *p, size_t n)
{
	const struct span *s = span_of(p);
	if (!sound(s, p))
		grt__heap_bad_free(s && s->state == SPAN_SMALL && begins_block(s, p)
		                       ? "realloc of memory that is not allocated"
		                       : "realloc of a pointer that malloc did not return",
		                   p);
	size_t have = grt__modes_size(p);
	void *to = allocate(c, n, 16, false);
	if (!to) {
		if (n > have)
			return NULL;
		if (has_trailer(p)) /* what is to shrink may stay */
			put_trailer(p, n);
		return p;
	}
	memcpy(to, p, have < n ? have : n);
	if (grt__heap_modes & HEAP_TRACE)
		grt__print("tracerealloc(%p, %p, 0x%lx) tid=%d\n", p, to, (unsigned long)n, grt__sys_gettid());
	release(c, p);
	return to;
}
