/*
 * The task futex: the one place where tasks and foreign threads wait for a word of memory.
 *
 * A hashed table of wait queues keyed by address, as the kernel's. Each bucket has a lock and a list of waiters, real-time tasks by
 * their priority, then all others first in, first out. Waiters
 * are automatic variables of the waiting function. A waiter is a task (parks) or a foreign thread (sleeps on a kernel futex); nobody
 * else can tell. Everything in sync/, and syscall(SYS_futex) on private futexes, waits here.
 *
 *   wait    lock bucket; is *addr still expected? enqueue; unlock; park. The check and the enqueueing are
 *           atomic with respect to wake, which takes the same lock: no wake-up is lost.
 *   wake    lock bucket; unlink up to n waiters; unlock; make them runnable.
 *   requeue both buckets locked in address order; waiters move without waking.
 *
 * Deadlines are those of sched/clock.h (grt__deadline makes them). On time-out the waiter's timer unlinks it under the bucket lock;
 * whoever unlinks decides: a waiter is woken, or timed out, never both.
 *
 * Lock order: bucket, then second bucket by address, then timers, then sched.
 */
#ifndef GRT_SYNC_FUTEX_H
#define GRT_SYNC_FUTEX_H

#include "sched/sched.h"
#include <time.h>

enum {
	FUTEX_INTERRUPTIBLE = 1, /* a signal handler that ran ends the wait with -EINTR (sem_wait, SYS_futex) */
	FUTEX_CANCELABLE = 2,    /* a cancellation point: -ECANCELED when one is due (sched/cancel.h) */
	/* The waiter was woken before and came too late: it queues at the front, and its waker learns that it should make room. */
	FUTEX_STARVING = 4,
};

/*
 * Waits until woken, unless *addr != expected at the start (-EAGAIN). 0, -EAGAIN, -ETIMEDOUT, -EINTR, -ECANCELED. Any thread.
 * bitset: as FUTEX_WAIT_BITSET; ~0u for all.
 */
int grt__futex_wait(uint32_t *addr, uint32_t expected, uint32_t bitset, int64_t deadline, unsigned flags,
                    enum grt_wait why);

/*
 * Enqueues unconditionally on addr, then calls unlock(arg) (which may wake others and touch the scheduler), then parks: the
 * building block of condition variables. addr is only a key: it is never read. *counter, if counter is not NULL, counts the
 * waiters so enqueued: it is changed only under the bucket lock, by whoever links or unlinks a waiter, and never after
 * that waiter can run, so the object may be destroyed by the waiter at once. A cancellation point. 0, -ETIMEDOUT, -ECANCELED.
 * Any thread.
 */
int grt__futex_wait_unlock(void *addr, uint32_t *counter, void (*unlock)(void *), void *arg, int64_t deadline,
                           enum grt_wait why);

/*
 * Wakes up to n waiters (INT_MAX: all) whose bitset meets; returns how many. Any thread, any context except inside a bucket
 * lock. addr is only a key.
 */
int grt__futex_wake(void *addr, int n, uint32_t bitset);

/* Wakes one. True if it had queued with FUTEX_STARVING. */
bool grt__futex_wake_one(void *addr);

/*
 * Wakes nwake, moves up to nmove others to addr2 (private, as FUTEX_CMP_REQUEUE; with expected == NULL no comparison).
 * Returns woken + moved, or -EAGAIN.
 */
int grt__futex_requeue(uint32_t *addr, int nwake, int nmove, uint32_t *addr2, const uint32_t *expected);

/* Absolute time of `clock` (CLOCK_REALTIME or CLOCK_MONOTONIC) as a deadline (sched/clock.h); -EINVAL if tv_nsec is out of
 * range or the clock is unknown. A time in the past gives a deadline in the past. NULL gives GRT_FOREVER. */
int64_t grt__deadline(clockid_t clock, const struct timespec *abstime, int *error);

/* The child of fork: nobody waits any more. */
void grt__futex_reset_in_child(void);

#endif
