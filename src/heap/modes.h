/*
 * What GODEBUG makes of the heap, for finding errors of the program and for not letting them be used. While any mode is on every malloc and
 * free comes here: the caches' fast paths refuse (no sample is ever left, see sample.c, and the owners of spans are tagged).
 *
 *   hardened=1        A trailer at the end of each block holds its size, and what is between is filled: free finds whatever was written
 *                     behind the block, and sized free whether the size is the block's. Free slots are handed out in random order, a page
 *                     without access lies behind each span; one that was written to is found when it is handed out, by its link.
 *   zerofree=1        Freed memory is cleared.
 *   efence=1          Each block is at the end of pages of its own, a page without access behind it. Once freed its address is
 *                     never used again, and touching it is a fault.
 *   allocfreetrace=1  A line on standard error for every allocation and free: tracealloc(p, size), tracefree(p, size),
 *                     tracerealloc(p, now, size), with the kernel thread's number.
 *
 * Blocks of the reserve are the exception: they are as they are.
 */
#ifndef GRT_HEAP_MODES_H
#define GRT_HEAP_MODES_H

#include "heap/cache.h"

enum { HEAP_HARDENED = 1, HEAP_ZERO_FREE = 2, HEAP_EFENCE = 4, HEAP_TRACE = 8 };
extern unsigned grt__heap_modes; /* set before the first cache is made, constant then */

/* As their namesakes of cache.h. */
void *grt__modes_alloc(struct mcache *c, size_t n, size_t align, bool zero);
void grt__modes_free(struct mcache *c, void *p); /* c may be NULL */
/* free of p by somebody who says that it has n bytes. */
void grt__modes_free_sized(struct mcache *c, void *p, size_t n);
void *grt__modes_realloc(struct mcache *c, void *p, size_t n);
size_t grt__modes_size(const void *p);

/* A page at p without access; and with it again. */
bool grt__guard(char *p, size_t n, bool on);

#endif
