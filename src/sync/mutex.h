/*
 * Mutexes, in glibc's own layout and with glibc's own protocol.
 *
 * So every static initialiser, pthread_mutex_init, pthread_mutex_destroy and the attribute functions stay glibc's, a mutex that
 * was locked before boot is unlocked after it, and gdb's pretty printers are right. The fields:
 *
 *   __lock    0 free, 1 held, 2 held and perhaps waited for. Waiters sleep on its address in the task futex.
 *   __owner   tid of the holder, 0 when free; written by the holder only
 *   __count   depth of a recursive mutex; holder
 *   __nusers  holders and, through condition variables, future holders: destroy says EBUSY when not 0; holder
 *   __kind    type in bits 0 and 1, elision in bits 8 and 9 (ignored: elision is only an optimisation), and robust, PI, PP,
 *             process-shared or "destroyed" in the others. A kind with one of those others is called full: its code
 *             is libc's, reached by the shim in a blocking section.
 *
 * Invariant: while anybody sleeps on __lock, __lock is 2 or the waiter that will next set it to 2 has been woken. Whoever has slept
 * takes the mutex with 2, since others may still sleep.
 *
 * Cost. Uncontended lock and unlock are one locked instruction each, as in glibc. Unlocking wakes one waiter and hands
 * nothing over: the mutex is free at once, and who runs takes it. (Direct hand-over was rejected: it makes every
 * acquisition of a contended mutex wait for a switch.) A contender spins first, for less than it costs to wake
 * another CPU, and only if somebody else can run meanwhile: with one P the holder cannot make progress while we spin.
 *
 * After its exchange unlock does not touch the mutex, only its address: another thread may have destroyed it already.
 *
 * Functions return 0 or -errno, exactly as glibc 2.36's return errors; all may be called on any thread once booted.
 */
#ifndef GRT_SYNC_MUTEX_H
#define GRT_SYNC_MUTEX_H

#include "sync/futex.h"
#include <limits.h>
#include <pthread.h>

enum {
	MUTEX_TYPE = 3, /* PTHREAD_MUTEX_{TIMED,RECURSIVE,ERRORCHECK,ADAPTIVE}_NP */
	MUTEX_ROBUST = 16,
	MUTEX_PI = 32,
	MUTEX_PP = 64,
	MUTEX_PSHARED = 128,
	MUTEX_ELISION = 0x300,
};

/* tcb.c: where glibc's thread block keeps the tid. */
extern uint32_t grt__tcb_tid_offset;

/* Rounds a contender spins: 0 when there is one P only. Set by whoever sets GOMAXPROCS. */
extern uint32_t grt__sync_spin;
#define GRT_SYNC_SPIN 24

/* The full kinds, for condition variables: registered by shim/, which reaches libc's functions. 0 or -errno. */
extern int (*grt__mutex_full_lock)(pthread_mutex_t *m);
extern int (*grt__mutex_full_unlock)(pthread_mutex_t *m);

/* What __owner holds for the calling thread. */
GRT_ALWAYS_INLINE int32_t grt__sync_tid(void)
{
	struct g *gp = grt__self.g;
	if (grt_likely(gp != NULL))
		return gp->tid;
	return *(int32_t *)((char *)__builtin_thread_pointer() + grt__tcb_tid_offset);
}

/* True: the shim must take libc's function. */
GRT_ALWAYS_INLINE bool grt__mutex_is_full(const pthread_mutex_t *m)
{
	return (grt_load_relaxed(&m->__data.__kind) & ~(MUTEX_TYPE | MUTEX_ELISION)) != 0;
}

/* These dispatch on the type; the kind is not full. clocklock: abstime NULL waits for ever. */
int grt__mutex_lock(pthread_mutex_t *m);
int grt__mutex_unlock(pthread_mutex_t *m);
int grt__mutex_trylock(pthread_mutex_t *m);
int grt__mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *abstime);

/* For condition variables, any kind: __nusers stays, so that destroy knows that a waiter will come back. */
int grt__mutex_cond_check(pthread_mutex_t *m);
int grt__mutex_cond_unlock(pthread_mutex_t *m);
int grt__mutex_cond_lock(pthread_mutex_t *m);

/* Wakes one waiter of a mutex that has just been released; only its address is used. 0. */
int grt__mutex_wake(pthread_mutex_t *m);

/* The common case in line: a normal mutex. */
GRT_ALWAYS_INLINE bool grt__mutex_is_normal(const pthread_mutex_t *m)
{
	return grt_likely((m->__data.__kind & ~MUTEX_ELISION) == PTHREAD_MUTEX_TIMED_NP);
}

GRT_ALWAYS_INLINE bool grt__mutex_is_recursive(const pthread_mutex_t *m)
{
	return (m->__data.__kind & ~MUTEX_ELISION) == PTHREAD_MUTEX_RECURSIVE_NP;
}

/* Normal. False: it is held. */
GRT_ALWAYS_INLINE bool grt__mutex_lock_normal(pthread_mutex_t *m)
{
	if (grt_unlikely(!grt_cas(&m->__data.__lock, 0, 1)))
		return false;
	m->__data.__owner = grt__sync_tid();
	m->__data.__nusers++;
	return true;
}

/* Recursive. False: held by another, or the depth overflows. */
GRT_ALWAYS_INLINE bool grt__mutex_lock_recursive(pthread_mutex_t *m)
{
	int32_t tid = grt__sync_tid();
	if (m->__data.__owner == tid) {
		if (grt_unlikely(m->__data.__count + 1 == 0))
			return false;
		m->__data.__count++;
		return true;
	}
	if (grt_unlikely(!grt_cas(&m->__data.__lock, 0, 1)))
		return false;
	m->__data.__count = 1;
	m->__data.__owner = tid;
	m->__data.__nusers++;
	return true;
}

/* Of any type that is not full; the last access to the mutex is the exchange. 0. */
GRT_ALWAYS_INLINE int grt__mutex_release(pthread_mutex_t *m, unsigned users)
{
	m->__data.__nusers -= users;
	m->__data.__owner = 0;
	if (grt_unlikely(grt_xchg_acqrel(&m->__data.__lock, 0) > 1))
		return grt__mutex_wake(m);
	return 0;
}

#endif
