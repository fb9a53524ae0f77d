/*
 * The heap's parts: size classes, large sizes, runs of pages (merged, split, cut to an alignment, never one inside another), slots of a
 * cache, what another cache frees, and the reserve.
 *
 * libc comes before libgrt.a, so that the test itself stays on plain libc.
 * CFLAGS: -D_GNU_SOURCE -Wl,--no-as-needed -lc
 */
#include "heap/cache.h"
#include "heap/central.h"
#include "unit.h"
#include <stdlib.h>
#include <string.h>

START_TEST(classes)
{
	for (size_t n = 0; n <= GRT_CLASS_MAX; n++) {
		unsigned k = class_of(n);
		ck_assert_uint_ge(grt__class[k].size, n);
		ck_assert(k == 2 || grt__class[k - 1].size < n);
	}
	unsigned last = 0;
	for (size_t n = 1; n <= LARGE_MAX / PAGE; n++) {
		size_t rounded = n;
		unsigned bin = large_bin(&rounded);
		ck_assert_uint_ge(rounded, n);
		ck_assert_uint_le((rounded - n) * 8, n);
		ck_assert(bin >= last && bin <= last + 1 && bin < LARGE_BINS);
		size_t again = rounded;
		ck_assert_uint_eq(large_bin(&again), bin);
		ck_assert_uint_eq(again, rounded);
		last = bin;
	}
}
END_TEST

/* Every page of every arena is in just one run or span, and no two free runs touch. */
static void check_pages(void)
{
	size_t free_pages = 0, resident = 0, listed = 0;
	for (uint32_t i = 0; i < grt__mheap.narenas; i++) {
		struct arena *a = grt__mheap.arenas[i];
		bool free_before = false;
		for (size_t page = HEADER_PAGES; page < a->open;) {
			struct span *s = &a->spans[page];
			ck_assert_uint_ge(s->npages, 1);
			ck_assert_ptr_eq(s->base, (char *)a + page * PAGE);
			ck_assert_ptr_eq(span_at(a, page), s);
			ck_assert_ptr_eq(span_at(a, page + s->npages - 1), s);
			bool is_free = s->state == SPAN_FREE;
			ck_assert(!(is_free && free_before));
			free_pages += is_free ? s->npages : 0;
			resident += is_free ? s->nslots : 0;
			free_before = is_free;
			page += s->npages;
			ck_assert_uint_le(page, a->open);
		}
	}
	ck_assert_uint_eq(free_pages, grt__mheap.free_pages);
	ck_assert_uint_eq(resident, free_pages - grt__mheap.untouched_pages);
	for (int i = 0; i < 2; i++)
		for (struct span *s = grt__mheap.resident[i].oldest, *last = NULL; s; last = s, s = s->younger) {
			ck_assert(s->state == SPAN_FREE && s->nslots && s->older == last);
			ck_assert(s->younger || s == grt__mheap.resident[i].youngest);
			listed += s->nslots;
		}
	ck_assert_uint_eq(listed, resident);
}

START_TEST(pages)
{
	enum { N = 300 };
	struct span *s[N] = {NULL};
	unsigned r = 1;
	for (int i = 0; i < 20000; i++) {
		int k = rand_r(&r) % N;
		if (s[k] && rand_r(&r) % 3 == 0) {
			size_t n = 1 + (size_t)(rand_r(&r) % 64);
			if (n > s[k]->npages)
				grt__pages_grow(s[k], n);
			else if (n < s[k]->npages)
				grt__pages_shrink(s[k], n);
		} else if (s[k]) {
			ck_assert_int_eq(*(int *)s[k]->base, k);
			ck_assert(grt__pages_free(s[k]));
			s[k] = NULL;
		} else {
			size_t align = (size_t)1 << rand_r(&r) % 6, n = 1 + (size_t)(rand_r(&r) % (i % 50 ? 20 : 2000));
			ck_assert_int_eq(grt__pages_alloc(n, align, &s[k]), GOT_SPAN);
			ck_assert_uint_eq((uintptr_t)s[k]->base % (align * PAGE), 0);
			ck_assert_uint_eq(s[k]->npages, n);
			if (s[k]->zero)
				for (size_t at = 0; at < n * PAGE; at += 512)
					ck_assert_int_eq(s[k]->base[at], 0);
			memset(s[k]->base, 1, n * PAGE);
			*(int *)s[k]->base = k;
		}
		if (i % 100 == 0)
			check_pages();
		if (i % 500 == 0) { /* a part, and everything */
			size_t have = (grt__mheap.free_pages - grt__mheap.untouched_pages) * PAGE;
			size_t most = i % 1000 ? 1 + (size_t)rand_r(&r) % (have + 1) : SIZE_MAX, want = most < have ? most : have;
			ck_assert_uint_ge(grt__pages_scavenge(0, INT64_MAX, most), want);
			check_pages();
		}
	}
	for (int k = 0; k < N; k++)
		if (s[k])
			ck_assert(grt__pages_free(s[k]));
	check_pages();
	grt__pages_scavenge(0, INT64_MAX, SIZE_MAX);
	ck_assert_uint_eq(grt__mheap.untouched_pages, grt__mheap.free_pages);
	grt__arenas_release();
	ck_assert_uint_eq(grt__mheap.narenas, 0);
	ck_assert_uint_eq(grt__mheap.free_pages, 0);
}
END_TEST

START_TEST(slots)
{
	enum { N = 5000 };
	static void *p[N];
	struct mcache *mine = grt__cache_get(false), *other = grt__cache_get(false);
	struct grt_heap_stats before, st;
	unsigned r = 7;
	ck_assert(mine && other && mine != other);
	grt__heap_stats(&before);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < N; i++) {
			size_t n = (size_t)(rand_r(&r) % (i % 100 ? 600 : 40000));
			p[i] = cache_alloc(mine, n);
			ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
			ck_assert_uint_ge(grt__heap_size(p[i]), n);
			memset(p[i], i, n);
		}
		for (int i = 0; i < N; i++) /* each in one of the ways */
			cache_free(rand_r(&r) % 2 ? mine : rand_r(&r) % 2 ? other : NULL, span_of(p[i]), p[i]);
	}
	grt__heap_stats(&st);
	ck_assert_uint_eq(st.mallocs - before.mallocs, 20 * N);
	grt__cache_flush(mine);
	grt__cache_flush(other);
	grt__pages_deferred();
	grt__central_collect();
	grt__cache_put(other);
	ck_assert(!grt__cache_holds(mine));
	ck_assert(grt__cache_get(false) == other);
}
END_TEST

START_TEST(reserve)
{
	void *p[100];
	for (int i = 0; i < 100; i++) {
		size_t n = (size_t)1 << i % 20, align = (size_t)1 << i % 14;
		p[i] = grt__reserve_alloc(n, align);
		ck_assert(p[i] && (uintptr_t)p[i] % align == 0 && grt__heap_size(p[i]) >= n);
		memset(p[i], i, n);
	}
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(*(unsigned char *)p[i], i);
		grt__cache_free_slow(NULL, span_of(p[i]), p[i]);
	}
	char *again = grt__reserve_alloc(64, 16);
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(again[i], 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("heap");
	TCase *c = tcase_create("heap");
	tcase_set_timeout(c, 60);
	tcase_add_test(c, classes);
	tcase_add_test(c, pages);
	tcase_add_test(c, slots);
	tcase_add_test(c, reserve);
	suite_add_tcase(s, c);
	return run_suite(s);
}
