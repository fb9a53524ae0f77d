/*
 * The sizes of blocks, and realloc.
 */
#include "heap/sample.h"
#include <string.h>

#define GROWS ((size_t)8 << 10) /* bytes, from which on a block that had to move to grow gets room to do it again */
#define STAYS_LARGE ((size_t)GRT_CLASS_MAX / 3 * 2 + 2) /* a large block that shrinks below it becomes one of slots */

size_t grt__heap_size(const void *p)
{
	struct span *s = span_of(p);
	if (!s) {
		s = grt__huge_of(p);
		return s ? s->bytes : 0;
	}
	switch (s->state) {
	case SPAN_SMALL:
		if (grt_unlikely(!begins_block(s, p)) && grt__sample_is(s, p))
			return s->size - (size_t)((const char *)p - s->base) % s->size;
		return s->size;
	case SPAN_RESERVE:
		return s->size;
	case SPAN_LARGE:
		return (size_t)s->npages << PAGE_SHIFT;
	default:
		return 0;
	}
}

size_t grt__heap_good_size(size_t n)
{
	if (n <= GRT_CLASS_MAX)
		return grt__class[class_of(n)].size;
	if (n > LARGE_MAX)
		return (n + 4095) & ~4095ul;
	size_t npages = pages_of(n);
	large_bin(&npages);
	return npages << PAGE_SHIFT;
}

/* ---- realloc ---- */

/*
 * A block that grows will most likely grow again. Half as much more costs little where it is whole pages, which are no memory until
 * they are used, and saves every other copy; of a smaller block it would be wasted.
 */
static size_t with_room(size_t n)
{
	return n >= GROWS && n <= LARGE_MAX / 2 ? n + n / 2 : n;
}

static void *alloc_like(struct mcache *c, const struct span *s, size_t n)
{
	return s->spanclass & 1 && s->state != SPAN_RESERVE ? grt__cache_alloc_noscan(c, n) : cache_alloc(c, n);
}

/* The block at p, of s. */
static void *move(struct mcache *c, const struct span *s, void *p, size_t have, size_t n)
{
	void *to = alloc_like(c, s, n > have ? with_room(n) : n);
	if (!to && n > have)
		to = alloc_like(c, s, n);
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
	if (n <= STAYS_LARGE || n > LARGE_MAX)
		return false;
	unsigned bin = large_bin(&npages);
	if (npages > was && !grt__pages_grow(s, npages))
		return false;
	if (npages < was)
		grt__pages_shrink(s, npages);
	c->large_frees++; /* as if it were another */
	count_large(c, (size_t)s->npages << PAGE_SHIFT);
	grt__sample_resized(c, s, s->base, s->bytes, n);
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
			return move(c, s, p, was, n);
		struct span *now = grt__huge_resize(s, n);
		if (!now)
			return n <= was ? p : move(c, s, p, was, n);
		grt__sample_resized(c, now, p, was, n);
		c->large_alloc_bytes += now->bytes;
		return now->base;
	}
	size_t have = grt__heap_size(p);
	if (!have || (s->state == SPAN_LARGE && p != s->base) ||
	    (s->state == SPAN_SMALL && !begins_block(s, p) && !grt__sample_is(s, p)))
		grt__heap_bad_free("realloc of a pointer that malloc did not return", p);
	if (s->state == SPAN_SMALL && shows_link(s, p) && grt__slot_is_free(s, p))
		grt__heap_bad_free("realloc of memory that is not allocated", p);
	if (s->state == SPAN_LARGE) {
		if ((n <= have && n > have / 8 * 5) || resize_large(c, s, n))
			return p;
	} else if (n <= have && (n >= have / 2 || have <= 64)) {
		return p;
	}
	return move(c, s, p, have, n);
}
