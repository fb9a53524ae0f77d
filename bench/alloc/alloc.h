/*
 * What the parts of bench/alloc/alloc share: the table of loads, random numbers, marked blocks, threads and the figure.
 *
 * Every load does a fixed amount of work (or runs for a fixed time, where its figure is a rate), multiplied by the
 * scale, and calls `figure` once. The program is plain: it knows no allocator but malloc, so that any can be preloaded.
 */
#ifndef ALLOC_H
#define ALLOC_H

#include "../bench.h"
#include <stdatomic.h>

struct load {
	const char *name;
	void (*run)(void);
	int threads; /* default; 0: has no threads to choose */
	const char *what;
};

extern const struct load app_loads[], array_loads[], share_loads[], micro_loads[]; /* each ends with a NULL name */

extern int threads;  /* as given, or the load's default */
extern double scale; /* of the work; 1 is about a second with glibc */

/* The load's one number. */
void figure(double value, const char *unit);

/* A count multiplied by the scale, at least 1. */
static inline long scaled(double n)
{
	return n * scale < 1 ? 1 : (long)(n * scale);
}

/* ---- random numbers: Marsaglia's xorshift, one state per thread, the same sequence in every run ---- */

struct rng {
	uint64_t s;
};

static inline struct rng seed(uint64_t n)
{
	return (struct rng){(n + 1) * UINT64_C(0x9e3779b97f4a7c15)};
}

static inline uint64_t rnd(struct rng *r)
{
	r->s ^= r->s << 13;
	r->s ^= r->s >> 7;
	r->s ^= r->s << 17;
	return r->s * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

/* 0..n-1 for n < 2^32 */
static inline uint32_t below(struct rng *r, uint32_t n)
{
	return (uint64_t)(uint32_t)rnd(r) * n >> 32;
}

static inline uint32_t between(struct rng *r, uint32_t lo, uint32_t hi)
{
	return lo + below(r, hi - lo + 1);
}

/* ---- blocks ---- */

/* Keeps the compiler from seeing what becomes of p, and so from leaving out the pair of calls. */
static inline void *opaque(void *p)
{
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

#define MARK UINT64_C(0xb10c4a110cb10c4a)

/* A block of at least 8 bytes: its first word says where it lies, its last byte is written. */
static inline void *get(size_t size)
{
	char *p = malloc(size);

	if (p == NULL)
		die("malloc(%zu): %s", size, strerror(errno));
	p[size - 1] = 1;
	*(uint64_t *)p = (uintptr_t)p ^ MARK;
	return p;
}

/* NULL or a block of get: another block over its first word is an error. */
static inline void put(void *p)
{
	if (p == NULL)
		return;
	if (*(uint64_t *)p != ((uintptr_t)p ^ MARK))
		die("block %p was overwritten", p);
	*(uint64_t *)p = 0;
	free(p);
}

/* A line of /proc/self/status (VmRSS, VmHWM), in MiB. */
double resident(const char *field);

/* A table of the load's own that is not to be part of the measured heap's traffic. */
void *table(size_t bytes);

/* ---- threads ---- */

/* With --pin: the calling thread onto the i-th CPU, round robin. */
void pin(int i);

/* What a thread of `together` gets. */
struct worker {
	int me;
	struct rng r;
	void *shared;
	double done; /* what it counted */
};

/* n threads run fn(worker) from a common start; returns nanoseconds until the last has ended, and the sum of done. */
int64_t together(int n, void (*fn)(struct worker *w), void *shared, double *done);

/* The same for loads that run until told: the flag is set after a second times the scale. */
extern atomic_bool over;
int64_t for_a_second(int n, void (*fn)(struct worker *w), void *shared, double *done);

static inline bool is_over(void)
{
	return atomic_load_explicit(&over, memory_order_relaxed);
}

#endif
