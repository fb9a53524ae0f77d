/* LINK: grt
 *
 * memory.c - grt_malloc_noscan, and what gperftools' C interface tells. */
#include "../shim/check.h"
#include "grt.h"
#include <malloc.h>
#include <stdint.h>

int MallocExtension_GetNumericProperty(const char *name, size_t *value);
void MallocExtension_GetStats(char *buffer, int length);
void MallocExtension_ReleaseFreeMemory(void);
void MallocExtension_ReleaseToSystem(size_t bytes);
size_t MallocExtension_GetEstimatedAllocatedSize(size_t n);
size_t MallocExtension_GetAllocatedSize(const void *p);

enum { N = 3000 };
static const size_t sizes[] = {0, 1, 7, 8, 9, 16, 100, 1024, 1025, 32768, 32769, 300000, 5000000, 40000000};

static size_t property(const char *name)
{
	size_t value = 0;
	EXPECT_EQ(1, MallocExtension_GetNumericProperty(name, &value));
	return value;
}

/* In a row, changed in size, freed here and elsewhere. */
static void *blocks(void *arg)
{
	static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	static char *other[N];
	char *p[N];
	for (unsigned i = 0; i < N; i++) {
		size_t n = i % 200 ? i % 90 : sizes[i / 200 % (sizeof sizes / sizeof *sizes)];
		p[i] = grt_malloc_noscan(n);
		EXPECT(p[i] && malloc_usable_size(p[i]) >= n && (uintptr_t)p[i] % (n <= 8 ? 8 : 16) == 0);
		memset(p[i], (int)i, n);
		if (n && i % 3 == 0) {
			p[i] = realloc(p[i], n * 2);
			EXPECT(p[i] && p[i][0] == (char)i && p[i][n - 1] == (char)i);
		}
	}
	for (unsigned i = 0; i < N; i++) {
		pthread_mutex_lock(&m);
		char *q = i % 2 ? other[i] : p[i];
		if (i % 2)
			other[i] = p[i];
		pthread_mutex_unlock(&m);
		free(q);
	}
	return arg;
}

int main(void)
{
	char *a = grt_malloc_noscan(8), *b = grt_malloc_noscan(3), *c, text[8000];
	CHECK("8 bytes lie side by side", b - a == 8 || a - b == 8);
	CHECK_EQ("and are 8", 8, malloc_usable_size(a));
	CHECK("malloc's do not", ((uintptr_t)malloc(8) & 15) == 0);
	memcpy(a, "1234567", 8);
	a = realloc(a, 5000);
	CHECK("realloc takes them", strcmp(a, "1234567") == 0);
	free(a);
	free(b);
	errno = 0;
	CHECK("too much is ENOMEM", grt_malloc_noscan((size_t)PTRDIFF_MAX + 1) == NULL && errno == ENOMEM);
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		t[i] = spawn(blocks, NULL);
	for (int i = 0; i < 4; i++)
		join(t[i]);
	CHECK("four threads", 1);

	size_t before = property("generic.current_allocated_bytes");
	c = malloc(20000000);
	memset(c, 1, 20000000);
	size_t more = property("generic.current_allocated_bytes") - before;
	CHECK("current_allocated_bytes", more >= 20000000 && more < 21000000);
	CHECK("heap_size is no less", property("generic.heap_size") >= before + more);
	CHECK_EQ("an unknown property", 0, MallocExtension_GetNumericProperty("tcmalloc.no_such_thing", &more));
	CHECK("GetAllocatedSize", MallocExtension_GetAllocatedSize(c) == malloc_usable_size(c));
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		void *p = malloc(sizes[i]);
		EXPECT_EQ(malloc_usable_size(p), MallocExtension_GetEstimatedAllocatedSize(sizes[i]));
		free(p);
	}
	CHECK("GetEstimatedAllocatedSize is what malloc gives", 1);
	before = property("generic.total_physical_bytes");
	free(c);
	MallocExtension_ReleaseFreeMemory();
	CHECK("ReleaseFreeMemory", before - property("generic.total_physical_bytes") >= 19000000);
	MallocExtension_ReleaseToSystem(1);
	memset(text, 'x', sizeof text);
	MallocExtension_GetStats(text, sizeof text);
	CHECK("GetStats", strncmp(text, "<malloc version", 15) == 0 && strnlen(text, sizeof text) < sizeof text);
	MallocExtension_GetStats(text, 10);
	CHECK("GetStats, a short buffer", strlen(text) <= 9);
	return check_done();
}
