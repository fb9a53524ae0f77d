/*
 * Condition variables: a queue in the task futex, keyed by the address of the pthread_cond_t, and a count of those in it.
 *
 *   wait       enqueue (the count goes up under the bucket lock), unlock the mutex, park, lock the mutex
 *   signal     no waiters by the count: done, a load and a compare. Else wake the first in the queue.
 *   broadcast  the same for all
 *
 * Whoever enqueues has the mutex, so a signaller that has changed the predicate under the mutex sees the count. The
 * count goes down by the waker (or the timer), never by the waiter: a woken waiter does not touch the variable, so
 * it may be destroyed as soon as all waiters have been woken, by one of them too, and destroy needs no waiting.
 *
 * Of pthread_cond_t we use the flag word where glibc keeps it (bit 0 process-shared, bit 1 CLOCK_MONOTONIC; written by
 * pthread_cond_init), and for the count a word that is 0 whenever glibc's own algorithm has no waiter, so that a variable that was waited
 * on with a time limit before boot is a good one after it: __g_refs[0], or in glibc 2.41 and later, which has none, a word that it does
 * not use. Which of the two layouts it is, pthread_cond_init shows at boot.
 *
 * Process-shared variables are libc's when the mutex is process-shared too. With a private mutex libc's unlock would not
 * find the tasks that wait for it, so there the wait is ours, and signals of process-shared variables look here first.
 *
 * A broadcast makes all waiters runnable; they then take the mutex one after the other. Requeueing them to the mutex was put
 * off: on few Ps they run one by one anyway and find the mutex free.
 */
#ifndef GRT_SYNC_COND_H
#define GRT_SYNC_COND_H

#include "sync/mutex.h"

enum { COND_SHARED = 1, COND_MONOTONIC = 2 };

struct grt_cond_layout {
	uint32_t flags, count; /* offsets */
};
extern struct grt_cond_layout grt__cond_at; /* constant from boot on */

/* Boot: NULL, or why this libc's condition variables cannot be used. */
const char *grt__cond_boot(void);

GRT_ALWAYS_INLINE uint32_t *grt__cond_word(const pthread_cond_t *c, uint32_t offset)
{
	return (uint32_t *)((uintptr_t)c + offset);
}

GRT_ALWAYS_INLINE bool grt__cond_is_shared(const pthread_cond_t *c)
{
	return grt_load_relaxed(grt__cond_word(c, grt__cond_at.flags)) & COND_SHARED;
}

/* The clock of pthread_cond_timedwait. */
static inline clockid_t grt__cond_clock(const pthread_cond_t *c)
{
	return grt_load_relaxed(grt__cond_word(c, grt__cond_at.flags)) & COND_MONOTONIC ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

/* 0 or -errno: -EINVAL (before anything else), -EPERM, -ETIMEDOUT, -ECANCELED (the mutex is held), or what the mutex says.
 * abstime NULL: for ever. */
int grt__cond_wait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock, const struct timespec *abstime);

/* The first of these two returns how many were woken, also for a shared variable. */
int grt__cond_wake(pthread_cond_t *c, int n);

GRT_ALWAYS_INLINE void grt__cond_signal(pthread_cond_t *c, int n)
{
	if (grt_load_acquire(grt__cond_word(c, grt__cond_at.count)) != 0)
		grt__cond_wake(c, n);
}

#endif
