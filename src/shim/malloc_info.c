/*
 * malloc.h: what it tells about itself, and what can be set.
 *
 * mallopt: the results are glibc's, which also takes keys that it does not know. What a key asks for is a property of glibc's
 * heap (fast bins, arenas, the threshold of mmap) that this one has no counterpart of: nothing follows from it.
 */
#include "heap/heap.h"
#include "shim/malloc.h"
#include "shim/shim.h"
#include <limits.h>
#include <malloc.h>
#include <stdio.h>

struct mallinfo __libc_mallinfo(void);
int __libc_mallopt(int key, int value);

static size_t minus(size_t a, size_t b)
{
	return a > b ? a - b : 0;
}

/* The one value that glibc refuses: a fast bin of more than 160 bytes. */
GRT_EXPORT int mallopt(int key, int value)
{
	return key != M_MXFAST || (value >= 0 && (size_t)value <= 80 * sizeof(size_t) / 4);
}
GRT_ALIAS(__libc_mallopt, mallopt);

GRT_EXPORT int malloc_trim(size_t pad)
{
	grt__malloc_flush();
	return grt__heap_trim(pad) > 0;
}

/* Slots of a class that are free in spans in use. */
static size_t free_of_class(const struct grt_heap_class_stats *cs)
{
	return cs->size ? minus(cs->bytes / cs->size, cs->mallocs - cs->frees) : 0;
}

/* Of all classes, in bytes; their number too. */
static size_t free_slots(const struct grt_heap_stats *st, size_t *count)
{
	size_t bytes = 0;

	*count = 0;
	for (int c = 1; c < GRT_CLASSES; c++) {
		const struct grt_heap_class_stats *cs = &st->by_class[c];
		size_t n = free_of_class(cs);

		*count += n;
		bytes += n * cs->size;
	}
	return bytes;
}

/* The fields as glibc means them, "arena" being all that is not a mapping of its own. */
GRT_EXPORT struct mallinfo2 mallinfo2(void)
{
	struct grt_heap_stats st;
	struct mallinfo2 mi = {0};
	size_t slots;

	grt__heap_stats(&st);
	(void)free_slots(&st, &slots);
	mi.arena = minus(st.sys, st.huge);
	mi.ordblks = slots;
	mi.hblks = st.nhuge;
	mi.hblkhd = st.huge;
	mi.uordblks = minus(st.alloc, st.huge);
	mi.fordblks = minus(mi.arena, mi.uordblks);
	mi.keepcost = minus(st.idle, st.released);
	return mi;
}

static int saturated(size_t n)
{
	return n < INT_MAX ? (int)n : INT_MAX;
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* for programs that still call it */
GRT_EXPORT struct mallinfo mallinfo(void)
{
	struct mallinfo2 mi = mallinfo2();
	struct mallinfo r = {0};

	r.arena = saturated(mi.arena);
	r.ordblks = saturated(mi.ordblks);
	r.hblks = saturated(mi.hblks);
	r.hblkhd = saturated(mi.hblkhd);
	r.uordblks = saturated(mi.uordblks);
	r.fordblks = saturated(mi.fordblks);
	r.keepcost = saturated(mi.keepcost);
	return r;
}
GRT_ALIAS(__libc_mallinfo, mallinfo);

/* glibc's lines, and a table. */
GRT_EXPORT void malloc_stats(void)
{
	struct grt_heap_stats st;

	grt__heap_stats(&st);
	flockfile(stderr);
	fprintf(stderr, "Arena 0:\nsystem bytes     = %10zu\nin use bytes     = %10zu\n", minus(st.sys, st.huge),
	        minus(st.alloc, st.huge));
	fprintf(stderr, "Total (incl. mmap):\nsystem bytes     = %10zu\nin use bytes     = %10zu\n", st.sys, st.alloc);
	fprintf(stderr, "max system bytes = %10zu\nidle bytes       = %10zu\nreleased bytes   = %10zu\n", st.peak_sys,
	        st.idle, st.released);
	fprintf(stderr, "large objects    = %10zu\nlarge bytes      = %10zu\n", st.nlarge, st.large);
	fprintf(stderr, "mmap regions     = %10zu\nmmap bytes       = %10zu\n", st.nhuge, st.huge);
	fprintf(stderr, "locks taken      = %10llu\n", (unsigned long long)st.locks);
	for (int c = 1; c < GRT_CLASSES; c++) {
		const struct grt_heap_class_stats *cs = &st.by_class[c];

		if (cs->mallocs != 0)
			fprintf(stderr, "size %5zu: %12llu allocated %12llu freed %8zu spans %10zu bytes\n", cs->size,
			        (unsigned long long)cs->mallocs, (unsigned long long)cs->frees, cs->spans, cs->bytes);
	}
	funlockfile(stderr);
}

/* As in glibc, "sizes" lists what is free: slots, by their class; "rest" are pages of no class. */
GRT_EXPORT int malloc_info(int options, FILE *fp)
{
	struct grt_heap_stats st;
	size_t slots, bytes, rest, system;

	if (options != 0)
		return EINVAL;
	grt__heap_stats(&st);
	bytes = free_slots(&st, &slots);
	rest = minus(st.idle, st.released);
	system = minus(st.sys, st.huge);

	flockfile(fp);
	fputs("<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n", fp);
	size_t from = 1;
	for (int c = 1; c < GRT_CLASSES; c++) {
		const struct grt_heap_class_stats *cs = &st.by_class[c];
		size_t n = free_of_class(cs);

		if (n > 0)
			fprintf(fp, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n", from, cs->size, n * cs->size,
			        n);
		from = cs->size + 1;
	}
	fputs("</sizes>\n", fp);
	for (int whole = 0; whole < 2; whole++) {
		size_t more = whole ? st.huge : 0;

		fprintf(fp, "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n", slots, bytes);
		fprintf(fp, "<total type=\"rest\" count=\"%d\" size=\"%zu\"/>\n", rest != 0, rest);
		if (whole)
			fprintf(fp, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n", st.nhuge, st.huge);
		fprintf(fp, "<system type=\"current\" size=\"%zu\"/>\n", system + more);
		fprintf(fp, "<system type=\"max\" size=\"%zu\"/>\n", whole ? st.peak_sys : minus(st.peak_sys, st.huge));
		fprintf(fp, "<aspace type=\"total\" size=\"%zu\"/>\n", system + more);
		fprintf(fp, "<aspace type=\"mprotect\" size=\"%zu\"/>\n", system + more);
		fputs(whole ? "</malloc>\n" : "</heap>\n", fp);
	}
	funlockfile(fp);
	return 0;
}
