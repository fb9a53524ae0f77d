/*
 * pthread_once with glibc's encoding: 0 never run, generation | 1 in progress, 2 done. The generation counts forks in steps of
 * 4: a routine that was in progress in the parent is not in progress in the child, which runs it again.
 *
 * Ours in every state of the process, also when cold or 1:1: boot may happen within a routine, and then those who wait for
 * it and the one who ends it must agree on where to wait.
 *
 * The routine may leave by a C++ exception, or by forced unwinding (pthread_exit, cancellation): then the next caller runs it. The frame
 * that calls it has a personality routine of its own, written in C, which does no more than reset the innermost once of
 * this thread when the unwinder's cleanup phase passes. The usual way (-fexceptions and the cleanup attribute) was rejected because its
 * landing pads need _Unwind_Resume, so libgcc_s as a needed library of every preloaded program.
 */
#ifndef GRT_SYNC_ONCE_H
#define GRT_SYNC_ONCE_H

#include "sync/futex.h"
#include <pthread.h>

enum { ONCE_IN_PROGRESS = 1, ONCE_DONE = 2, ONCE_GENERATION = 4 };

void grt__once_slow(pthread_once_t *once, void (*routine)(void));

/* In the child of fork, before any of the program's handlers. */
void grt__once_fork_child(void);

GRT_ALWAYS_INLINE void grt__once(pthread_once_t *once, void (*routine)(void))
{
	if (grt_unlikely(grt_load_acquire(once) != ONCE_DONE))
		grt__once_slow(once, routine);
}

#endif
