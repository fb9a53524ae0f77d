#include "sync/mutex.h"
#include "arch/arch.h"
#include <errno.h>

_Static_assert(sizeof(pthread_mutex_t) == 40, "glibc's pthread_mutex_t");
_Static_assert(offsetof(pthread_mutex_t, __data.__lock) == 0, "the futex word");
_Static_assert(offsetof(pthread_mutex_t, __data.__kind) == 16, "where static initialisers put the kind");

uint32_t grt__sync_spin;
int (*grt__mutex_full_lock)(pthread_mutex_t *m);
int (*grt__mutex_full_unlock)(pthread_mutex_t *m);

static uint32_t *word_of(pthread_mutex_t *m)
{
	return (uint32_t *)&m->__data.__lock;
}

int grt__mutex_wake(pthread_mutex_t *m)
{
	/* A waiter that was overtaken again and again gets to run while the lock is free (Go's starvation mode in spirit: the lock word
	 * is glibc's, which knows no hand-over). Not inside a wait's unlock: that parks anyway. */
	if (grt_unlikely(grt__futex_wake_one(&m->__data.__lock)) && grt__on_task() && !grt__self.crit)
		grt__yield();
	return 0;
}

/* Spinning helps only if the time is not taken from a task that could run here, perhaps the holder itself. */
enum { STARVING_AFTER = 4 }; /* futile wake-ups */

static bool may_spin(void)
{
	if (!grt__on_task())
		return true;
	struct p *pp = grt__enter()->p;
	bool idle = grt_load_relaxed(&pp->runq_head) == grt_load_relaxed(&pp->runq_tail) && !grt_load_relaxed(&pp->runnext);
	grt__leave();
	return idle;
}

static bool spin(uint32_t *word)
{
	uint32_t rounds = grt_load_relaxed(&grt__sync_spin);
	if (!rounds || !may_spin())
		return false;
	for (; rounds; rounds--) {
		uint32_t v = grt_load_relaxed(word);
		if (v == 0 && grt_cas(word, 0, 1))
			return true;
		if (v > 1) /* others sleep already: queue up */
			return false;
		grt__cpu_relax();
	}
	return false;
}

/* The first attempt failed. Time is looked at only now, as glibc does. */
static GRT_NOINLINE int acquire_slow(uint32_t *word, clockid_t clock, const struct timespec *abstime)
{
	int error = 0;

	if (spin(word))
		return 0;
	int64_t deadline = grt__deadline(clock, abstime, &error);
	if (error)
		return error;
	for (int tries = 0; grt_xchg_acqrel(word, 2) != 0; tries++) {
		unsigned flags = tries < STARVING_AFTER ? 0 : FUTEX_STARVING;
		if (grt__futex_wait(word, 2, ~0u, deadline, flags, WAIT_MUTEX) == -ETIMEDOUT)
			return -ETIMEDOUT;
	}
	return 0;
}

static inline int acquire(pthread_mutex_t *m, clockid_t clock, const struct timespec *abstime)
{
	if (grt_likely(grt_cas(word_of(m), 0, 1)))
		return 0;
	return acquire_slow(word_of(m), clock, abstime);
}

/* Only of a mutex that the caller holds. */
static int deepen(pthread_mutex_t *m)
{
	if (m->__data.__count + 1 == 0)
		return -EAGAIN;
	m->__data.__count++;
	return 0;
}

static inline int lock(pthread_mutex_t *m, clockid_t clock, const struct timespec *abstime, unsigned users)
{
	int type = m->__data.__kind & MUTEX_TYPE;
	int32_t tid = grt__sync_tid();

	if (type == PTHREAD_MUTEX_RECURSIVE_NP && m->__data.__owner == tid)
		return deepen(m);
	if (type == PTHREAD_MUTEX_ERRORCHECK_NP && m->__data.__owner == tid)
		return -EDEADLK;
	int r = acquire(m, clock, abstime);
	if (grt_unlikely(r != 0))
		return r;
	if (type == PTHREAD_MUTEX_RECURSIVE_NP)
		m->__data.__count = 1;
	m->__data.__owner = tid;
	m->__data.__nusers += users;
	return 0;
}

int grt__mutex_lock(pthread_mutex_t *m)
{
	return lock(m, CLOCK_REALTIME, NULL, 1);
}

int grt__mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *abstime)
{
	return lock(m, clock, abstime, 1);
}

int grt__mutex_trylock(pthread_mutex_t *m)
{
	int type = m->__data.__kind & MUTEX_TYPE;
	int32_t tid = grt__sync_tid();

	if (type == PTHREAD_MUTEX_RECURSIVE_NP && m->__data.__owner == tid)
		return deepen(m);
	if (!grt_cas(word_of(m), 0, 1))
		return -EBUSY;
	if (type == PTHREAD_MUTEX_RECURSIVE_NP)
		m->__data.__count = 1;
	m->__data.__owner = tid;
	m->__data.__nusers++;
	return 0;
}

/* Of recursive and error-checking mutexes: may the caller unlock it? */
static bool owned(const pthread_mutex_t *m)
{
	return m->__data.__owner == grt__sync_tid() && m->__data.__lock != 0;
}

static inline int unlock(pthread_mutex_t *m, unsigned users)
{
	int type = m->__data.__kind & MUTEX_TYPE;

	if (type == PTHREAD_MUTEX_RECURSIVE_NP) {
		if (!owned(m))
			return -EPERM;
		if (--m->__data.__count != 0)
			return 0;
	} else if (type == PTHREAD_MUTEX_ERRORCHECK_NP && !owned(m)) {
		return -EPERM;
	}
	return grt__mutex_release(m, users);
}

int grt__mutex_unlock(pthread_mutex_t *m)
{
	return unlock(m, 1);
}

int grt__mutex_cond_check(pthread_mutex_t *m)
{
	int type = m->__data.__kind & MUTEX_TYPE;

	if (grt__mutex_is_full(m))
		return 0; /* its unlock will tell */
	if ((type == PTHREAD_MUTEX_RECURSIVE_NP || type == PTHREAD_MUTEX_ERRORCHECK_NP) && !owned(m))
		return -EPERM;
	return 0;
}

int grt__mutex_cond_unlock(pthread_mutex_t *m)
{
	return grt_unlikely(grt__mutex_is_full(m)) ? grt__mutex_full_unlock(m) : unlock(m, 0);
}

int grt__mutex_cond_lock(pthread_mutex_t *m)
{
	return grt_unlikely(grt__mutex_is_full(m)) ? grt__mutex_full_lock(m) : lock(m, CLOCK_REALTIME, NULL, 0);
}
