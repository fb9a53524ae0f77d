/*
 * PROCS: 1 2
 * TIMEOUT: 120
 * ENV: GODEBUG=memprofilerate=1
 * LDFLAGS: -rdynamic -ldl -lm
 * CFLAGS: -D_GNU_SOURCE
 * More different stacks than the profile has room for: its memory is bounded, every block is still counted, and what is freed does not live.
 */
#include "../shim/profile.h"
#include <pthread.h>

enum { DEPTH = 17, BLOCKS = 1 << DEPTH, MOST_MB = 60 };

static void *one(unsigned path, int depth);
static void *other(unsigned path, int depth);

static void *down(unsigned path, int depth) __attribute__((always_inline));
static inline void *down(unsigned path, int depth)
{
	void *volatile p = depth == 0 ? malloc(40) : path & 1 ? one(path >> 1, depth - 1) : other(path >> 1, depth - 1);
	return p;
}

static __attribute__((noinline)) void *one(unsigned path, int depth)
{
	return down(path, depth);
}

static __attribute__((noinline)) void *other(unsigned path, int depth)
{
	return down(path, depth);
}

__attribute__((noinline)) void *all(void *arg)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		free(down(i, DEPTH));
	return arg;
}

static long resident_mb(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%*s %ld", &pages) != 1)
		return -1;
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE) >> 20;
}

int main(void)
{
	struct profile p;
	pthread_t t[2];
	long lines = 0;
	all(NULL);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&t[i], NULL, all, NULL) != 0)
			return 2;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	long mb = resident_mb();
	if (!profile_take(&p))
		return 3;
	for (const char *at = p.text; *at != '\n'; at = strchr(at, '\n') + 1)
		lines++;
	printf("%.0f blocks, %ld stacks, %ld MB\n", p.sum.ever, lines, mb);
	int good = p.sum.ever >= 3. * BLOCKS && p.sum.blocks < 100 && lines > 1000 && lines < 2L * BLOCKS && mb <= MOST_MB;
	puts(good ? "ok" : "failed");
	return !good;
}
