/*
 * Spin locks, glibc's word: on x86-64 1 is free and 0 or less is held, elsewhere 0 is free. init and destroy are glibc's.
 *
 * A task that spins in vain for some hundred rounds lets the others run, for the holder may be one of them: under M:N the holder
 * need not be on a CPU. Foreign threads go on spinning, as glibc does.
 */
#ifndef GRT_SYNC_SPIN_H
#define GRT_SYNC_SPIN_H

#include "sched/sched.h"
#include <pthread.h>

#ifdef __x86_64__
enum { SPIN_FREE = 1, SPIN_HELD = 0 };
#else
enum { SPIN_FREE = 0, SPIN_HELD = 1 };
#endif

GRT_ALWAYS_INLINE bool grt__spin_trylock(pthread_spinlock_t *l)
{
	return grt_xchg_acqrel(l, SPIN_HELD) == SPIN_FREE;
}

GRT_ALWAYS_INLINE void grt__spin_unlock(pthread_spinlock_t *l)
{
	grt_store_release(l, SPIN_FREE);
}

void grt__spin_lock_slow(pthread_spinlock_t *l);

GRT_ALWAYS_INLINE void grt__spin_lock(pthread_spinlock_t *l)
{
	if (grt_unlikely(!grt__spin_trylock(l)))
		grt__spin_lock_slow(l);
}

#endif
