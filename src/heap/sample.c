#include "heap/sample.h"
#include "heap/modes.h"

size_t grt__sample_rate = 512 << 10;
uint32_t (*grt__sample_alloc_hook)(size_t n);
void (*grt__sample_free_hook)(uint32_t tag, const void *p, size_t n);
const void *grt__heap_bad;
size_t grt__sample_sys;

#define NEVER (INT64_MAX / 2)

/* xorshift64* */
uint64_t grt__cache_random(struct mcache *c)
{
	uint64_t x = c->rand;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	c->rand = x;
	return x * 0x2545f4914f6cdd1dull;
}

static int64_t distance(struct mcache *c)
{
	uint64_t rate = grt__sample_rate;
	if (rate <= 1)
		return rate ? -1 : NEVER;
	/* -ln(u) * rate with u uniform in (0, 1]: exponent, and of the rest an approximation that is 1 % off at most. */
	uint64_t u = grt__cache_random(c) | 1;
	unsigned zeros = (unsigned)__builtin_clzll(u);
	uint64_t m = zeros == 63 ? 0 : u << (zeros + 1) >> 32;              /* of 2^32: 0 to 1 */
	uint64_t log2 = m + ((m * (0x100000000ull - m) >> 32) * 11 >> 5);   /* log2(1 + m), nearly */
	uint64_t minus_log2 = (((uint64_t)(zeros + 1) << 32) - log2) >> 16; /* of 2^16 */
	uint64_t minus_ln = minus_log2 * 45426 >> 16;                       /* ln 2 * 2^16 = 45426 */
	return (int64_t)((minus_ln * rate) >> 16) + 1;
}

void grt__sample_next(struct mcache *c)
{
	int64_t d = distance(c);
	c->sample = grt_unlikely(grt__heap_modes) ? -1 : d; /* then the fast path refuses */
	c->until = d;
}

bool grt__sample_due(struct mcache *c, size_t n)
{
	if (grt_unlikely(grt__heap_modes)) {
		c->sample = -1;
		c->until -= (int64_t)n;
		if (c->until >= 0)
			return false;
	}
	grt__sample_next(c);
	return grt__sample_alloc_hook != NULL;
}

/* ---- small blocks ---- */

static uint64_t key(const void *p)
{
	uint64_t x = ((uintptr_t)p ^ grt__heap_secret) * 0x9e3779b97f4a7c15ull;
	return x ^ x >> 32;
}

void *grt__sample_mark(void *slot, size_t gap, size_t n)
{
	uint32_t tag = grt__sample_alloc_hook(n);
	if (!tag)
		return slot;
	char *p = (char *)slot + gap;
	uint64_t *head = (uint64_t *)p - 2;
	head[0] = n | (uint64_t)tag << 32;
	head[1] = key(p) + head[0];
	return p;
}

/* There may be a head before p. */
static bool has_room(const struct span *s, const void *p)
{
	return (uintptr_t)p % 16 == 0 && (size_t)((const char *)p - s->base) < (size_t)s->nslots * s->size;
}

bool grt__sample_is(const struct span *s, const void *p)
{
	const uint64_t *head = (const uint64_t *)p - 2;
	return has_room(s, p) && head[0] >> 32 && head[1] == key(p) + head[0];
}

void *grt__sample_unmark(const struct span *s, void *p)
{
	uint64_t *head = (uint64_t *)p - 2;
	if (grt__sample_is(s, p)) {
		uint64_t word = head[0];
		if (grt_cas(&head[1], key(p) + word, key(p))) {
			grt__sample_free_hook((uint32_t)(word >> 32), p, (uint32_t)word);
			if (grt_unlikely(grt__heap_modes & HEAP_HARDENED))
				*(uint64_t *)p = ~key(p);
			return (char *)p - (size_t)((char *)p - s->base) % s->size;
		}
	}
	bool was = has_room(s, p) && grt_load_relaxed(&head[1]) == key(p);
	grt__heap_bad_free(was ? "double free" : "free of a pointer that is not the beginning of a block", p);
}

void grt__sample_check_slot(void *slot)
{
	uint64_t *head = slot;
	if (head[1] != key(head + 2))
		return;
	if (head[2] != ~head[1])
		grt__heap_bad_free("memory was written to after its free", head + 2);
	head[1] = 0; /* what is in it from now on is the next one's */
}

/* ---- large ones ---- */

void grt__sample_large(struct mcache *c, struct span *s, size_t n)
{
	s->sample = 0;
	if (grt_likely(c->sample >= 0) || !grt__sample_due(c, n))
		return;
	if (s->state != SPAN_HUGE)
		s->bytes = n;
	s->sample = grt__sample_alloc_hook(s->bytes);
}

void grt__sample_free_large(struct span *s)
{
	uint32_t tag = s->sample;
	s->sample = 0;
	grt__sample_free_hook(tag, s->state == SPAN_FENCE ? s->free : s->base, s->bytes);
}

void grt__sample_resized(struct mcache *c, struct span *s, const void *was, size_t bytes, size_t n)
{
	if (grt_unlikely(s->sample))
		grt__sample_free_hook(s->sample, was, bytes);
	c->sample -= (int64_t)n;
	grt__sample_large(c, s, n);
}

struct grt_sample grt__sample_around(const void *p)
{
	struct grt_sample none = {NULL, 0, 0};
	struct span *s = span_of(p);
	if (!s)
		s = grt__huge_of(p);
	if (!s || s->state == SPAN_NONE || s->state == SPAN_FREE || s->state == SPAN_KEPT || s->state == SPAN_RESERVE)
		return none;
	if (s->state != SPAN_SMALL)
		return (struct grt_sample){s->state == SPAN_FENCE ? s->free : s->base, s->bytes, s->sample};
	const char *slot = s->base + (size_t)((const char *)p - s->base) / s->size * s->size;
	for (size_t gap = 16; gap < s->size && gap <= PAGE; gap *= 2)
		if (grt__sample_is(s, slot + gap)) {
			uint64_t head = ((const uint64_t *)(slot + gap))[-2];
			return (struct grt_sample){slot + gap, (uint32_t)head, (uint32_t)(head >> 32)};
		}
	return none;
}
