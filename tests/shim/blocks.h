/* Blocks of memory with a pattern in them, for the tests of malloc. */
#ifndef BLOCKS_H
#define BLOCKS_H

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Hides from the compiler what it knows about a pointer or a size: it may leave out a malloc, and warns of sizes that fail. */
#define OPAQUE(x)                                                                                                      \
	({                                                                                                                 \
		__typeof__(x) opaque_ = (x);                                                                                   \
		__asm__ volatile("" : "+r"(opaque_)::"memory");                                                                \
		opaque_;                                                                                                       \
	})

static inline unsigned char pattern(unsigned seed, size_t i)
{
	return (unsigned char)(seed * 31 + i * 7 + (i >> 8) + 1);
}

static inline size_t step(size_t n)
{
	return n < 64 ? 1 : n / 64;
}

/* A few dozen bytes of it: the first, the last, and some in between. */
static inline void fill(void *p, size_t n, unsigned seed)
{
	unsigned char *c = (unsigned char *)p;
	for (size_t i = 0; i < n; i += step(n))
		c[i] = pattern(seed, i);
	if (n)
		c[n - 1] = pattern(seed, n - 1);
}

static inline int filled(const void *p, size_t n, unsigned seed)
{
	const unsigned char *c = (const unsigned char *)p;
	size_t s = step(n);
	for (size_t i = 0; i < n; i += s)
		if (c[i] != pattern(seed, i))
			return 0;
	return n == 0 || c[n - 1] == pattern(seed, n - 1);
}

/* Every byte. */
static inline void fill_all(void *p, size_t n, unsigned seed)
{
	unsigned char *c = (unsigned char *)p;
	for (size_t i = 0; i < n; i++)
		c[i] = pattern(seed, i);
}

static inline int filled_all(const void *p, size_t n, unsigned seed)
{
	const unsigned char *c = (const unsigned char *)p;
	for (size_t i = 0; i < n; i++)
		if (c[i] != pattern(seed, i))
			return 0;
	return 1;
}

static inline int is_zero(const void *p, size_t n)
{
	const unsigned char *c = (const unsigned char *)p;
	return n == 0 || (c[0] == 0 && memcmp(c, c + 1, n - 1) == 0);
}

static inline int aligned_to(const void *p, size_t align)
{
	return ((uintptr_t)p & (align - 1)) == 0;
}

/* xorshift; *r is not 0. */
static inline unsigned rnd(unsigned *r)
{
	*r ^= *r << 13;
	*r ^= *r >> 17;
	return *r ^= *r << 5;
}

/* Mostly small, as in life: up to 16 MiB, each power of two half as likely as the one below, from 16 on. */
static inline size_t rnd_size(unsigned *r)
{
	unsigned x = rnd(r);
	int shift = __builtin_ctz(x | 1U << 20);
	return rnd(r) % ((size_t)16 << shift);
}

#endif
