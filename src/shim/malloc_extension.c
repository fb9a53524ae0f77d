/*
 * What servers ask of gperftools through its C interface, gperftools/malloc_extension_c.h, most of them by weak symbols: how much is in
 * use, how much is idle, give it back. Semantics: that header's. jemalloc's own calls (mallctl, mallocx and the rest) are absent on
 * purpose: a program that is linked with it tests for some and then uses all, with blocks of jemalloc's.
 */
#include "heap/heap.h"
#include "shim/malloc.h"
#include "shim/shim.h"
#include <malloc.h>
#include <stdio.h>
#include <string.h>

int MallocExtension_GetNumericProperty(const char *name, size_t *value);
void MallocExtension_GetStats(char *buffer, int length);
void MallocExtension_ReleaseFreeMemory(void);
void MallocExtension_ReleaseToSystem(size_t bytes);
size_t MallocExtension_GetEstimatedAllocatedSize(size_t n);
size_t MallocExtension_GetAllocatedSize(const void *p);

/* 1: it is known. */
GRT_EXPORT int MallocExtension_GetNumericProperty(const char *name, size_t *value)
{
	struct grt_heap_stats st;
	size_t cached;

	grt__heap_stats(&st);
	cached = st.inuse > st.alloc ? st.inuse - st.alloc : 0;
	const struct {
		const char *name;
		size_t value;
	} known[] = {
		{"generic.current_allocated_bytes", st.alloc},          {"generic.heap_size", st.sys},
		{"generic.total_physical_bytes", st.sys - st.released}, {"tcmalloc.pageheap_free_bytes", st.idle - st.released},
		{"tcmalloc.pageheap_unmapped_bytes", st.released},      {"tcmalloc.slack_bytes", st.idle - st.released},
		{"tcmalloc.current_total_thread_cache_bytes", cached},
	};

	for (size_t i = 0; i < GRT_COUNT(known); i++)
		if (strcmp(name, known[i].name) == 0) {
			*value = known[i].value;
			return 1;
		}
	return 0;
}

/* What malloc_info(3) writes, NUL-terminated, as much of it as fits. */
GRT_EXPORT void MallocExtension_GetStats(char *buffer, int length)
{
	FILE *f;

	if (length <= 0)
		return;
	buffer[0] = 0;
	f = fmemopen(buffer, (size_t)length, "w");
	if (!f)
		return;
	malloc_info(0, f);
	fclose(f);
	buffer[length - 1] = 0;
}

GRT_EXPORT void MallocExtension_ReleaseFreeMemory(void)
{
	malloc_trim(0);
}

/* At least so many bytes if there are as many. */
GRT_EXPORT void MallocExtension_ReleaseToSystem(size_t bytes)
{
	struct grt_heap_stats st;
	size_t idle;

	grt__heap_stats(&st);
	idle = st.idle - st.released;
	malloc_trim(idle > bytes ? idle - bytes : 0);
}

/* What malloc(n) would have of usable bytes. */
GRT_EXPORT size_t MallocExtension_GetEstimatedAllocatedSize(size_t n)
{
	return grt__heap_good_size(n);
}

GRT_EXPORT size_t MallocExtension_GetAllocatedSize(const void *p)
{
	return malloc_usable_size((void *)(uintptr_t)p);
}
