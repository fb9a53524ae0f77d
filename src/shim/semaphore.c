/*
 * semaphore.h. init, destroy, getvalue, open, close and unlink are libc's.
 */
#include "sync/sem.h"
#include "sched/cancel.h"
#include "shim/shim.h"

static inline bool booted(void)
{
	return grt_likely(grt_load_relaxed(&grt__state) == GRT_BOOTED);
}

/* Of a shared semaphore: 0 when its value could be taken, and errno untouched when not. */
static int shared_trywait(sem_t *sem)
{
	int saved = errno;
	int r = REAL(sem_trywait)(sem);
	if (r != 0)
		errno = saved;
	return r;
}

/* A cancellation point also when it need not wait, as libc's. */
static int wait_cancelable(sem_t *sem, clockid_t clock, const struct timespec *abstime)
{
	if (grt_unlikely(grt_load_relaxed(&grt__cancel_used)) &&
	    (!abstime || (unsigned long)abstime->tv_nsec < 1000000000ul))
		pthread_testcancel();
	int r = grt__sem_wait(sem, clock, abstime);
	if (grt_unlikely(r == -ECANCELED))
		pthread_testcancel(); /* does not return */
	return grt__shim_errno(r);
}

GRT_EXPORT int sem_wait(sem_t *sem)
{
	if (grt_unlikely(!booted()))
		return REAL(sem_wait)(sem);
	if (grt_unlikely(grt__sem_is_shared(sem)))
		return shared_trywait(sem) == 0 ? 0 : GRT_BLOCKING(int, true, REAL(sem_wait)(sem));
	return wait_cancelable(sem, CLOCK_REALTIME, NULL);
}

GRT_EXPORT int sem_trywait(sem_t *sem)
{
	if (grt_unlikely(!booted() || grt__sem_is_shared(sem)))
		return REAL(sem_trywait)(sem);
	return grt__shim_errno(grt__sem_trywait(sem));
}

GRT_EXPORT int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict abstime)
{
	if (grt_unlikely(!booted()))
		return REAL(sem_timedwait)(sem, abstime);
	if (grt_unlikely(grt__sem_is_shared(sem)))
		return GRT_BLOCKING(int, true, REAL(sem_timedwait)(sem, abstime));
	return wait_cancelable(sem, CLOCK_REALTIME, abstime);
}

GRT_EXPORT int sem_clockwait(sem_t *restrict sem, clockid_t clock, const struct timespec *restrict abstime)
{
	if (grt_unlikely(!booted()))
		return REAL(sem_clockwait)(sem, clock, abstime);
	if (grt_unlikely(grt__sem_is_shared(sem)))
		return GRT_BLOCKING(int, true, REAL(sem_clockwait)(sem, clock, abstime));
	return wait_cancelable(sem, clock, abstime);
}

GRT_EXPORT int sem_post(sem_t *sem)
{
	if (grt_unlikely(!booted() || grt__sem_is_shared(sem)))
		return REAL(sem_post)(sem);
	return grt__shim_errno(grt__sem_post(sem));
}
