/*
 * Stacks of tasks: reserved address space, touched on demand, guarded without a VMA each.
 *
 *     map_lo                                                          map_lo + map_size
 *     | guard | stack ................ stack_hi | static TLS | struct pthread | struct g |
 *
 * The block sits at the top as glibc's does, and G above it: what lies in its TLS is at the upper end too (the lower is kept for
 * libraries loaded later), so that birth and join touch one page, and a task that ran two. Regions of one size lie
 * side by side in chunks: the top of one and the guard of the next share a page of page table, so an 8 MiB stack costs one such
 * page, not two. G and block are type-stable: a region is never unmapped, only emptied (MADV_DONTNEED) when too many
 * lie dead; a waker that is late may therefore look at a dead G.
 *
 * The dead are many and cold: what costs at a birth is waiting for memory, so a P keeps chains of them and changes whole chains with
 * the pool, each G names one further down its list to be prefetched (sched_ahead, also in the global run queue), and a context that
 * has not run yet has no frame on its stack (grt__ctx_make).
 *
 * Classes: one per (stack size, guard size) seen. Dead regions of the default class go to the P's own list first, then to
 * the class, warm (with block) up to WARM_BYTES, cold beyond. A caller's own stack (pthread_attr_setstack) is only the stack: its
 * G and block live in a small region of ours, because the caller may unmap the stack as soon as join returns.
 *
 * Guards: MADV_GUARD_INSTALL where the kernel has it; else mprotect up to a budget of mappings, then none, said once.
 */
#ifndef GRT_SCHED_STACK_H
#define GRT_SCHED_STACK_H

#include "sched/sched.h"

enum { STACK_CLASSES = 64 };

/* Sets the default sizes (RLIMIT_STACK as libc sees it). */
void grt__stack_init(size_t default_size, size_t default_guard);
void grt__stack_set_default(size_t size, size_t guard);
size_t grt__stack_default_size(void);

/* A G with stack and thread block, its fields of place filled. Task, normal context (may call libc's calloc). user_stack: lowest
 * address of a stack of `size` bytes of the caller's, or NULL. 0, -EAGAIN, or -EINVAL: no
 * such sizes. */
int grt__stack_get(size_t size, size_t guard, void *user_stack, struct g **out);
/* Takes a dead G back, from another stack, inside a critical section. */
void grt__stack_put(struct p *pp, struct g *gp);
/* gp is going to run for the first time. */
void grt__stack_prefetch_unborn(const struct g *gp);
/* gp (NULL: nothing) is going to be joined. */
void grt__stack_prefetch_join(const struct g *gp);
/* A dying task, normal context: empties a few dead regions if too many are kept warm. */
void grt__stack_trim(struct g *self);
/* Plain guarded memory for an M: [guard | size]; lowest usable address or NULL. */
void *grt__stack_plain(size_t size);
void grt__stack_plain_free(void *stack, size_t size);
void grt__stack_make_executable(void);
/* The child of fork: pools of the other Ps and all chunks are forgotten. */
void grt__stack_fork_child(void);

#endif
