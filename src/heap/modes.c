#include "heap/modes.h"
#include "heap/sample.h"
#include "os/os.h"
#include <string.h>
#include <sys/mman.h>

enum { TRAILER = 8, FILL = 0xd5, FILL_MOST = 512 /* bytes behind a block that are looked at */ };

unsigned grt__heap_modes;

bool grt__guard(char *p, size_t n, bool on)
{
	if (grt__sys_madvise(p, n, on ? MADV_GUARD_INSTALL : MADV_GUARD_REMOVE) == 0)
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

/* The size that was asked for; dies if anything was written behind it. */
static size_t check_trailer(const void *p)
{
	size_t have = grt__heap_size(p), n = *trailer(p) ^ hidden(p, 0);
	if (have < TRAILER || n > have - TRAILER)
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
	grt__guard(end, PAGE, true);
	s->state = SPAN_FENCE;
	s->free = (char *)(((uintptr_t)end - (room ? room : 16)) & ~(align - 1));
	memset(s->base, 0, npages << PAGE_SHIFT);
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

static struct span *fence_of(const void *p)
{
	struct span *s = span_of(p);
	return s && s->state == SPAN_FENCE ? s : NULL;
}

/* ---- */

static void trace(const char *what, const void *p, size_t n)
{
	if (grt__heap_modes & HEAP_TRACE)
		grt__print("%s(%p, 0x%lx) tid=%d\n", what, p, (unsigned long)n, grt__sys_gettid());
}

size_t grt__modes_size(const void *p)
{
	const struct span *s = fence_of(p);
	if (s)
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
	/* What is no block is for grt__cache_free_slow to say; a free one shows its link. */
	bool sound = !s || p == s->base;
	if (s && s->state == SPAN_SMALL)
		sound = begins_block(s, p) ? !shows_link(s, p) : grt__sample_is(s, p);
	if (sound && grt__heap_size(p)) {
		if (has_trailer(p))
			check_trailer(p);
		if (grt__heap_modes & HEAP_ZERO_FREE)
			memset(p, 0, grt__heap_size(p));
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

void *grt__modes_realloc(struct mcache *c, void *p, size_t n)
{
	const struct span *s = span_of(p);
	if (s ? s->state != SPAN_FENCE && !grt__heap_size(p) : !grt__huge_of(p))
		grt__heap_bad_free("realloc of a pointer that malloc did not return", p);
	size_t have = grt__modes_size(p);
	void *to = allocate(c, n, 16, false);
	if (!to)
		return NULL;
	memcpy(to, p, have < n ? have : n);
	if (grt__heap_modes & HEAP_TRACE)
		grt__print("tracerealloc(%p, %p, 0x%lx) tid=%d\n", p, to, (unsigned long)n, grt__sys_gettid());
	release(c, p);
	return to;
}
