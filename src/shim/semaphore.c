/*
 * semaphore.h. init, destroy, getvalue, open, close and unlink are libc's.
 */
#include "sync/sem.h"
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

GRT_EXPORT int sem_wait(sem_t *sem)
{
	if (grt_unlikely(!booted()))
		return REAL(sem_wait)(sem);
	if (grt_unlikely(grt__sem_is_shared(sem)))
		return shared_trywait(sem) == 0 ? 0 : GRT_BLOCKING(int, true, REAL(sem_wait)(sem));
	return grt__shim_errno(grt__sem_wait(sem, CLOCK_REALTIME, NULL));
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
	return grt__shim_errno(grt__sem_wait(sem, CLOCK_REALTIME, abstime));
}

GRT_EXPORT int sem_clockwait(sem_t *restrict sem, clockid_t clock, const struct timespec *restrict abstime)
{
	if (grt_unlikely(!booted()))
		return REAL(sem_clockwait)(sem, clock, abstime);
	if (grt_unlikely(grt__sem_is_shared(sem)))
		return GRT_BLOCKING(int, true, REAL(sem_clockwait)(sem, clock, abstime));
	return grt__shim_errno(grt__sem_wait(sem, clock, abstime));
}

GRT_EXPORT int sem_post(sem_t *sem)
{
	if (grt_unlikely(!booted() || grt__sem_is_shared(sem)))
		return REAL(sem_post)(sem);
	return grt__shim_errno(grt__sem_post(sem));
}
