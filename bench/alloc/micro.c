/*
 * Single operations, in nanoseconds, by main in a program without threads. Each is repeated to last about half a
 * second at scale 1; nothing but the call is in the loop, the compiler kept from joining calls by `opaque`.
 */
#include "alloc.h"

/* Blocks are not touched: what a pair costs when the block is used shows in the loads. */
static void pairs(size_t size, double count)
{
	long n = scaled(count);
	int64_t t0 = now();

	for (long i = 0; i < n; i++)
		free(opaque(malloc(size)));
	figure((double)(now() - t0) / n, "ns");
}

static void load_pair_16(void)
{
	pairs(16, 3e7);
}

static void load_pair_1k(void)
{
	pairs(1 << 10, 3e7);
}

static void load_pair_32k(void)
{
	pairs(32 << 10, 2e7);
}

static void load_pair_256k(void)
{
	pairs(256 << 10, 3e6);
}

static void load_pair_1m(void)
{
	pairs(1 << 20, 3e6);
}

/* The last word is read: it has to be 0 although the block was written before it was freed. */
static void clear_pairs(size_t size, double count)
{
	long n = scaled(count), dirty = 0;
	int64_t t0 = now();
	volatile char *p;

	for (long i = 0; i < n; i++) {
		p = opaque(calloc(1, size));
		dirty += p[size - 1];
		p[size - 1] = 1;
		free((void *)p);
	}
	must_equal(dirty, 0, "calloc: blocks that are not clear");
	figure((double)(now() - t0) / n, "ns");
}

static void load_calloc_64(void)
{
	clear_pairs(64, 4e7);
}

static void load_calloc_4k(void)
{
	clear_pairs(4096, 1e7);
}

/* n blocks of 64 bytes are allocated, then freed in random order; per block, both together. */
static void shuffled(uint32_t n, double count)
{
	void **at = table(n * sizeof *at);
	uint32_t *order = table(n * sizeof *order), k, swap;
	long rounds = scaled(count);
	struct rng r = seed(0);
	int64_t t0;

	for (uint32_t i = 0; i < n; i++) {
		k = below(&r, i + 1);
		swap = i;
		order[i] = order[k];
		order[k] = swap;
	}
	t0 = now();
	for (long i = 0; i < rounds; i++) {
		for (k = 0; k < n; k++)
			at[k] = opaque(malloc(64));
		for (k = 0; k < n; k++)
			free(at[order[k]]);
	}
	figure((double)(now() - t0) / ((double)rounds * n), "ns");
}

static void load_random_1k(void)
{
	shuffled(1000, 40000);
}

static void load_random_100k(void)
{
	shuffled(100000, 60);
}

/*
 * From 16 bytes by half to 64 KiB, as vectors and strings grow; per call of realloc. Two blocks grow in turn, as one that
 * is alone at the end of the heap would grow in place for nothing. What is kept is checked at the end.
 */
static void load_realloc(void)
{
	long n = scaled(100000), steps = 0;
	int64_t t0 = now();
	size_t size;
	char *p[2];

	for (long i = 0; i < n; i++) {
		for (int k = 0; k < 2; k++) {
			p[k] = malloc(16);
			if (p[k] == NULL)
				die("malloc: %s", strerror(errno));
			p[k][15] = (char)(i + k);
		}
		for (size = 24; size < 64 << 10; size += size / 2)
			for (int k = 0; k < 2; k++, steps++) {
				p[k] = realloc(p[k], size);
				if (p[k] == NULL)
					die("realloc: %s", strerror(errno));
				p[k][size - 1] = 1;
			}
		for (int k = 0; k < 2; k++) {
			if (p[k][15] != (char)(i + k) || p[k][23] != 1)
				die("realloc: contents lost");
			free(p[k]);
		}
	}
	figure((double)(now() - t0) / steps, "ns");
}

const struct load micro_loads[] = {
	{"pair-16", load_pair_16, 0, "malloc(16) and free, ns"},
	{"pair-1k", load_pair_1k, 0, "the same with 1 KiB"},
	{"pair-32k", load_pair_32k, 0, "the same with 32 KiB"},
	{"pair-256k", load_pair_256k, 0, "the same with 256 KiB"},
	{"pair-1m", load_pair_1m, 0, "the same with 1 MiB"},
	{"calloc-64", load_calloc_64, 0, "calloc(64) and free, ns"},
	{"calloc-4k", load_calloc_4k, 0, "the same with 4 KiB"},
	{"random-1k", load_random_1k, 0, "1,000 x 64 B freed in random order, ns each"},
	{"random-100k", load_random_100k, 0, "100,000 x 64 B freed in random order, ns each"},
	{"realloc", load_realloc, 0, "growth by half to 64 KiB, ns a step"},
	{NULL, NULL, 0, NULL},
};
