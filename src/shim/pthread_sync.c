/*
 * pthread.h: mutexes, condition variables, read-write locks, barriers, spin locks, once.
 *
 * Not wrapped, because libc's serve our objects too: all attribute functions; init and destroy of mutexes, condition
 * variables, read-write locks and spin locks; spin trylock and unlock; mutex_getprioceiling.
 */
#include "sched/pin.h"
#include "shim/shim.h"
#include "sync/barrier.h"
#include "sync/cond.h"
#include "sync/once.h"
#include "sync/rwlock.h"
#include "sync/spin.h"
#include <linux/futex.h>

static inline bool booted(void)
{
	return grt_likely(grt_load_relaxed(&grt__state) == GRT_BOOTED);
}

/* ---- mutexes whose code is libc's: robust, priority, process-shared; unknown kinds, for the error ---- */

/*
 * libc and the kernel know the holder of these by its kernel thread: robust and priority mutexes, and those of several processes
 * that count or check their holder, since two processes may have a task of the same tid. The task is pinned (sched/pin.h)
 * and its block holds the kernel's tid for the time of the call only: the loader's lock, which may be held around
 * us, is recursive by that tid.
 */
static bool by_kernel_tid(const pthread_mutex_t *m)
{
	int kind = m->__data.__kind, type = kind & MUTEX_TYPE;
	return kind & (MUTEX_ROBUST | MUTEX_PI | MUTEX_PP) ||
	       (kind & MUTEX_PSHARED && (type == PTHREAD_MUTEX_RECURSIVE_NP || type == PTHREAD_MUTEX_ERRORCHECK_NP));
}

static bool owner_died(const pthread_mutex_t *m)
{
	return m->__data.__kind & MUTEX_ROBUST && grt_load_relaxed(&m->__data.__lock) & FUTEX_OWNER_DIED;
}

static int32_t *block_tid(void)
{
	return (int32_t *)((char *)grt__self.g->tcb + grt__tcb_tid_offset);
}

/* The tid that full_leave puts back; 0: nothing. */
static int32_t full_enter(const pthread_mutex_t *m)
{
	if (!by_kernel_tid(m) || !grt__on_task())
		return 0;
	int32_t tid = grt__pin_robust(), was = *block_tid();
	/* Main has held it since before boot. But the same number is a task's that is pinned to the process's first thread, and stays in the
	 * mutex when that task dies holding it. */
	if (m->__data.__owner == grt__self.g->tid && !grt__pin_has_first_thread(grt__self.g) && !owner_died(m))
		return 0;
	*block_tid() = tid;
	return was;
}

static void full_leave(int32_t tid)
{
	if (tid)
		*block_tid() = tid;
}

/* `call` waits; it is made only if `try` finds the mutex held. */
#define FULL_LOCK(m, call)                                                                                             \
	({                                                                                                                 \
		int32_t full_tid = full_enter(m);                                                                              \
		int full_r = REAL(pthread_mutex_trylock)(m);                                                                   \
		if (full_r == EBUSY)                                                                                           \
			full_r = GRT_BLOCKING(int, false, call);                                                                   \
		full_leave(full_tid);                                                                                          \
		full_r;                                                                                                        \
	})

static GRT_NOINLINE int full_lock(pthread_mutex_t *m)
{
	return FULL_LOCK(m, REAL(pthread_mutex_lock)(m));
}

static GRT_NOINLINE int full_trylock(pthread_mutex_t *m)
{
	int32_t tid = full_enter(m);
	int r = REAL(pthread_mutex_trylock)(m);
	full_leave(tid);
	return r;
}

static GRT_NOINLINE int full_unlock(pthread_mutex_t *m)
{
	int32_t tid = full_enter(m);
	int r = REAL(pthread_mutex_unlock)(m);
	full_leave(tid);
	return r;
}

/* sync/cond.c calls these with its own sign of errors. */
static int hook_lock(pthread_mutex_t *m)
{
	return -full_lock(m);
}

static int hook_unlock(pthread_mutex_t *m)
{
	return -full_unlock(m);
}

__attribute__((constructor)) static void register_hooks(void)
{
	grt__mutex_full_lock = hook_lock;
	grt__mutex_full_unlock = hook_unlock;
}

/* ---- mutexes ---- */

static GRT_NOINLINE int lock_slow(pthread_mutex_t *m)
{
	if (!booted())
		return REAL(pthread_mutex_lock)(m);
	if (grt_unlikely(grt__mutex_is_full(m)))
		return full_lock(m);
	if (grt__mutex_is_recursive(m) && grt_likely(grt__mutex_lock_recursive(m)))
		return 0;
	return -grt__mutex_lock(m);
}

GRT_EXPORT int pthread_mutex_lock(pthread_mutex_t *m)
{
	if (booted() && grt__mutex_is_normal(m) && grt_likely(grt__mutex_lock_normal(m)))
		return 0;
	return lock_slow(m);
}
GRT_ALIAS(__pthread_mutex_lock, pthread_mutex_lock);

static GRT_NOINLINE int unlock_slow(pthread_mutex_t *m)
{
	if (!booted())
		return REAL(pthread_mutex_unlock)(m);
	if (grt_unlikely(grt__mutex_is_full(m)))
		return full_unlock(m);
	return -grt__mutex_unlock(m);
}

GRT_EXPORT int pthread_mutex_unlock(pthread_mutex_t *m)
{
	if (booted() && grt__mutex_is_normal(m))
		return grt__mutex_release(m, 1);
	return unlock_slow(m);
}
GRT_ALIAS(__pthread_mutex_unlock, pthread_mutex_unlock);

GRT_EXPORT int pthread_mutex_trylock(pthread_mutex_t *m)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_mutex_trylock)(m);
	if (grt_unlikely(grt__mutex_is_full(m)))
		return full_trylock(m);
	return -grt__mutex_trylock(m);
}
GRT_ALIAS(__pthread_mutex_trylock, pthread_mutex_trylock);

GRT_EXPORT int pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *abstime)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_mutex_timedlock)(m, abstime);
	if (grt_unlikely(grt__mutex_is_full(m)))
		return FULL_LOCK(m, REAL(pthread_mutex_timedlock)(m, abstime));
	return -grt__mutex_clocklock(m, CLOCK_REALTIME, abstime);
}

GRT_EXPORT int pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *abstime)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_mutex_clocklock)(m, clock, abstime);
	if (grt_unlikely(clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC))
		return EINVAL;
	if (grt_unlikely(grt__mutex_is_full(m)))
		return FULL_LOCK(m, REAL(pthread_mutex_clocklock)(m, clock, abstime));
	return -grt__mutex_clocklock(m, clock, abstime);
}

GRT_EXPORT int pthread_mutex_setprioceiling(pthread_mutex_t *m, int ceiling, int *old)
{
	int32_t tid = booted() ? full_enter(m) : 0;
	int r = GRT_BLOCKING(int, false, REAL(pthread_mutex_setprioceiling)(m, ceiling, old));
	full_leave(tid);
	return r;
}

GRT_EXPORT int pthread_mutex_consistent(pthread_mutex_t *m)
{
	int32_t tid = booted() ? full_enter(m) : 0;
	int r = REAL(pthread_mutex_consistent)(m);
	full_leave(tid);
	return r;
}

/* ---- condition variables ---- */

static bool cond_is_libcs(const pthread_cond_t *c, const pthread_mutex_t *m)
{
	return grt_unlikely(grt__cond_is_shared(c)) && (m->__data.__kind & MUTEX_PSHARED);
}

static void full_unwind(void *tid)
{
	full_leave(*(int32_t *)tid);
}

/* Cancellation unwinds from inside: the program's cleanup handlers find the task's own tid again. */
#define SHARED_COND(m, call)                                                                                           \
	({                                                                                                                 \
		int shared_r;                                                                                                  \
		int32_t shared_tid = full_enter(m);                                                                            \
		pthread_cleanup_push(full_unwind, &shared_tid);                                                                \
		shared_r = GRT_BLOCKING(int, true, call);                                                                      \
		pthread_cleanup_pop(1);                                                                                        \
		shared_r;                                                                                                      \
	})

static int cond_result(int r)
{
	if (grt_unlikely(r == -ECANCELED)) {
		pthread_testcancel(); /* does not return */
		r = 0;
	}
	return -r;
}

GRT_EXPORT int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_cond_wait)(c, m);
	if (cond_is_libcs(c, m))
		return SHARED_COND(m, REAL(pthread_cond_wait)(c, m));
	return cond_result(grt__cond_wait(c, m, CLOCK_REALTIME, NULL));
}

GRT_EXPORT int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *abstime)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_cond_timedwait)(c, m, abstime);
	if (cond_is_libcs(c, m))
		return SHARED_COND(m, REAL(pthread_cond_timedwait)(c, m, abstime));
	return cond_result(grt__cond_wait(c, m, grt__cond_clock(c), abstime));
}

GRT_EXPORT int pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock,
                                      const struct timespec *abstime)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_cond_clockwait)(c, m, clock, abstime);
	if (cond_is_libcs(c, m))
		return SHARED_COND(m, REAL(pthread_cond_clockwait)(c, m, clock, abstime));
	return cond_result(grt__cond_wait(c, m, clock, abstime));
}

GRT_EXPORT int pthread_cond_signal(pthread_cond_t *c)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_cond_signal)(c);
	if (grt_unlikely(grt__cond_is_shared(c)))
		return grt__cond_wake(c, 1) ? 0 : REAL(pthread_cond_signal)(c);
	grt__cond_signal(c, 1);
	return 0;
}

GRT_EXPORT int pthread_cond_broadcast(pthread_cond_t *c)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_cond_broadcast)(c);
	if (grt_unlikely(grt__cond_is_shared(c))) {
		grt__cond_wake(c, INT_MAX);
		return REAL(pthread_cond_broadcast)(c);
	}
	grt__cond_signal(c, INT_MAX);
	return 0;
}

/* ---- read-write locks ---- */

/* Process-shared: libc's, in a blocking section if it must wait. */
#define SHARED_RWLOCK(try, call)                                                                                       \
	({                                                                                                                 \
		int shared_r = (try);                                                                                          \
		shared_r == EBUSY ? GRT_BLOCKING(int, false, call) : shared_r;                                                 \
	})

GRT_EXPORT int pthread_rwlock_rdlock(pthread_rwlock_t *l)
{
	if (booted() && grt_likely(grt__rwlock_rdlock_free(l)))
		return 0;
	if (!booted())
		return REAL(pthread_rwlock_rdlock)(l);
	if (grt_unlikely(grt__rwlock_is_shared(l)))
		return SHARED_RWLOCK(REAL(pthread_rwlock_tryrdlock)(l), REAL(pthread_rwlock_rdlock)(l));
	return -grt__rwlock_rdlock(l, CLOCK_REALTIME, NULL);
}
GRT_ALIAS(__pthread_rwlock_rdlock, pthread_rwlock_rdlock);

GRT_EXPORT int pthread_rwlock_wrlock(pthread_rwlock_t *l)
{
	if (booted() && grt_likely(grt__rwlock_wrlock_free(l)))
		return 0;
	if (!booted())
		return REAL(pthread_rwlock_wrlock)(l);
	if (grt_unlikely(grt__rwlock_is_shared(l)))
		return SHARED_RWLOCK(REAL(pthread_rwlock_trywrlock)(l), REAL(pthread_rwlock_wrlock)(l));
	return -grt__rwlock_wrlock(l, CLOCK_REALTIME, NULL);
}
GRT_ALIAS(__pthread_rwlock_wrlock, pthread_rwlock_wrlock);

GRT_EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t *l, const struct timespec *abstime)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_rwlock_timedrdlock)(l, abstime);
	if (grt_unlikely(grt__rwlock_is_shared(l)))
		return GRT_BLOCKING(int, false, REAL(pthread_rwlock_timedrdlock)(l, abstime));
	return -grt__rwlock_rdlock(l, CLOCK_REALTIME, abstime);
}

GRT_EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t *l, const struct timespec *abstime)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_rwlock_timedwrlock)(l, abstime);
	if (grt_unlikely(grt__rwlock_is_shared(l)))
		return GRT_BLOCKING(int, false, REAL(pthread_rwlock_timedwrlock)(l, abstime));
	return -grt__rwlock_wrlock(l, CLOCK_REALTIME, abstime);
}

GRT_EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t *l, clockid_t clock, const struct timespec *abstime)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_rwlock_clockrdlock)(l, clock, abstime);
	if (grt_unlikely(grt__rwlock_is_shared(l)))
		return GRT_BLOCKING(int, false, REAL(pthread_rwlock_clockrdlock)(l, clock, abstime));
	return -grt__rwlock_rdlock(l, clock, abstime);
}

GRT_EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t *l, clockid_t clock, const struct timespec *abstime)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_rwlock_clockwrlock)(l, clock, abstime);
	if (grt_unlikely(grt__rwlock_is_shared(l)))
		return GRT_BLOCKING(int, false, REAL(pthread_rwlock_clockwrlock)(l, clock, abstime));
	return -grt__rwlock_wrlock(l, clock, abstime);
}

GRT_EXPORT int pthread_rwlock_tryrdlock(pthread_rwlock_t *l)
{
	if (grt_unlikely(!booted() || grt__rwlock_is_shared(l)))
		return REAL(pthread_rwlock_tryrdlock)(l);
	return -grt__rwlock_tryrdlock(l);
}
GRT_ALIAS(__pthread_rwlock_tryrdlock, pthread_rwlock_tryrdlock);

GRT_EXPORT int pthread_rwlock_trywrlock(pthread_rwlock_t *l)
{
	if (grt_unlikely(!booted() || grt__rwlock_is_shared(l)))
		return REAL(pthread_rwlock_trywrlock)(l);
	return -grt__rwlock_trywrlock(l);
}
GRT_ALIAS(__pthread_rwlock_trywrlock, pthread_rwlock_trywrlock);

GRT_EXPORT int pthread_rwlock_unlock(pthread_rwlock_t *l)
{
	if (booted() && grt_likely(grt__rwlock_unlock_quiet(l)))
		return 0;
	if (!booted() || grt__rwlock_is_shared(l))
		return REAL(pthread_rwlock_unlock)(l);
	return -grt__rwlock_unlock(l);
}
GRT_ALIAS(__pthread_rwlock_unlock, pthread_rwlock_unlock);

/* ---- barriers ---- */

GRT_EXPORT int pthread_barrier_init(pthread_barrier_t *b, const pthread_barrierattr_t *attr, unsigned count)
{
	int r = REAL(pthread_barrier_init)(b, attr, count);
	if (r == 0) /* in every state: it may be waited on after boot */
		grt__barrier_init(b);
	return r;
}

GRT_EXPORT int pthread_barrier_wait(pthread_barrier_t *b)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_barrier_wait)(b);
	if (grt_unlikely(grt__barrier_is_shared(b)))
		return GRT_BLOCKING(int, true, REAL(pthread_barrier_wait)(b));
	return grt__barrier_wait(b);
}

GRT_EXPORT int pthread_barrier_destroy(pthread_barrier_t *b)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_barrier_destroy)(b);
	if (grt_unlikely(grt__barrier_is_shared(b)))
		return GRT_BLOCKING(int, false, REAL(pthread_barrier_destroy)(b));
	grt__barrier_destroy(b);
	return 0;
}

/* ---- spin locks, once ---- */

GRT_EXPORT int pthread_spin_lock(pthread_spinlock_t *l)
{
	if (grt_unlikely(!booted()))
		return REAL(pthread_spin_lock)(l);
	grt__spin_lock(l);
	return 0;
}

GRT_EXPORT int pthread_once(pthread_once_t *once, void (*routine)(void))
{
	grt__once(once, routine);
	return 0;
}
GRT_ALIAS(__pthread_once, pthread_once);
