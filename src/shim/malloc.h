/*
 * The allocator as the shim's other files call it: malloc.c without the exported names.
 */
#ifndef GRT_SHIM_MALLOC_H
#define GRT_SHIM_MALLOC_H

#include "base/compiler.h"

/* NULL with errno ENOMEM on failure. Alignment 16; a size of 0 gives a pointer of its own. */
void *grt__malloc(size_t n);
/* align: a power of two. */
void *grt__memalign(size_t align, size_t n);
/* NULL is nothing; errno is kept. */
void grt__free(void *p);
/* n: what it was allocated with. */
void grt__free_sized(void *p, size_t n);

#endif
