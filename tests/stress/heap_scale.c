/*
 * PROCS: 2
 * TIMEOUT: 120
 * CFLAGS: -fno-builtin -O2
 * What many small objects cost, in memory; and what is left where a program frees most of one size and goes on with another, over and over,
 * so that nothing that was freed fits what is wanted next. Bounds are on resident memory.
 * Arguments: objects (default 4,000,000 of 16 bytes), MiB that live at once in the second part (default 24). By hand: 100000000 200.
 */
#define _GNU_SOURCE
#include "../shim/check.h"
#include <malloc.h>
#include <sys/mman.h>

enum { SIZE = 16, LEFT_MIB = 4 /* a cache keeps a span of each class, and an arena its header */ };

static long resident(void)
{
	char line[128] = "";
	FILE *f = fopen("/proc/self/statm", "r");
	EXPECT(f && fgets(line, sizeof line, f));
	fclose(f);
	long rss = 0;
	EXPECT_EQ(1, sscanf(line, "%*d %ld", &rss));
	return rss * 4096;
}

static int failures;

static void at_most(const char *what, double got, double bound)
{
	fprintf(stderr, "%s: %.2f, at most %.2f\n", what, got, bound);
	failures += got > bound;
}

/* They hang together by themselves: there is no table beside them. */
static void many(long n)
{
	void **last = NULL;
	long base = resident();
	double t0 = now_s();
	for (long i = 0; i < n; i++) {
		void **p = malloc(SIZE);
		if (!p)
			abort();
		p[0] = last;
		p[1] = (void *)i;
		last = p;
	}
	double t1 = now_s(), each = (double)(resident() - base) / (double)n;
	for (long i = n; i-- > 0;) {
		void **p = last;
		failures += p[1] != (void *)i;
		last = p[0];
		free(p);
	}
	double t2 = now_s();
	fprintf(stderr, "%ld objects of %d bytes: %.1f ns each to allocate, %.1f to free\n", n, SIZE,
	        (t1 - t0) / (double)n * 1e9, (t2 - t1) / (double)n * 1e9);
	at_most("bytes for each", each, SIZE * 1.05 + 2e6 / (double)n);
	malloc_trim(0);
	at_most("MiB left after malloc_trim", (double)(resident() - base) / (1 << 20), LEFT_MIB);
}

struct held {
	char *p;
	size_t size;
};

/* `live` bytes of the first size, all but each `keep`-th freed; up to `live` again by the next size; and so on. */
static void fragments(double live, int keep, double bound)
{
	static const size_t sizes[] = {16, 48, 100, 250, 600, 1500, 4000, 10000, 30000};
	size_t most = (size_t)(live / (double)sizes[0] * 2), n = 0, bytes = most * sizeof(struct held);
	struct held *h = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	EXPECT(h != MAP_FAILED);
	long base = resident(), peak = 0;
	double sum = 0;
	char text[64];
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		for (; sum < live && n < most; n++) {
			h[n] = (struct held){malloc(sizes[s]), sizes[s]};
			memset(h[n].p, (int)n, sizes[s]);
			sum += (double)sizes[s];
		}
		EXPECT(n < most);
		peak = resident() > peak ? resident() : peak;
		size_t kept = 0;
		for (size_t i = 0; i < n; i++)
			if (i % (size_t)keep == 0) {
				h[kept++] = h[i];
			} else {
				sum -= (double)h[i].size;
				free(h[i].p);
			}
		n = kept;
	}
	snprintf(text, sizeof text, "one of %d stays: peak, in times of what lives", keep);
	at_most(text, (double)(peak - base) / live, bound);
	for (size_t i = 0; i < n; i++) {
		failures += h[i].p[0] != h[i].p[h[i].size - 1];
		free(h[i].p);
	}
	malloc_trim(0);
	/* the spans that the cache keeps may be of several arenas */
	at_most("MiB left after all is freed, and malloc_trim", (double)(resident() - base) / (1 << 20),
	        LEFT_MIB + live / (20 << 20));
	munmap(h, bytes);
}

static void *in_thread(void *arg)
{
	many((long)arg);
	return NULL;
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 4000000;
	double live = (argc > 2 ? atof(argv[2]) : 24) * (1 << 20);
	free(malloc(1));
	many(n);
	fragments(live, 2, 5.8);
	fragments(live, 16, 4.6);
	join(spawn(in_thread, (void *)(n / 4)));
	puts(failures || check_done() ? "failed" : "ok");
	return failures || check_done();
}
