/*
 * threads.h (C11): mutexes, condition variables, call_once are the POSIX ones under other names and with other errors, as in
 * glibc. init and destroy are libc's.
 */
#include "sync/once.h"
#include "shim/c11.h"
#include "shim/shim.h"
#include <threads.h>

_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && sizeof(cnd_t) == sizeof(pthread_cond_t),
               "glibc's C11 types");

GRT_EXPORT int mtx_lock(mtx_t *m)
{
	return grt__c11_result(pthread_mutex_lock((pthread_mutex_t *)m));
}

GRT_EXPORT int mtx_timedlock(mtx_t *restrict m, const struct timespec *restrict abstime)
{
	return grt__c11_result(pthread_mutex_timedlock((pthread_mutex_t *)m, abstime));
}

GRT_EXPORT int mtx_trylock(mtx_t *m)
{
	return grt__c11_result(pthread_mutex_trylock((pthread_mutex_t *)m));
}

GRT_EXPORT int mtx_unlock(mtx_t *m)
{
	return grt__c11_result(pthread_mutex_unlock((pthread_mutex_t *)m));
}

GRT_EXPORT int cnd_wait(cnd_t *c, mtx_t *m)
{
	return grt__c11_result(pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m));
}

GRT_EXPORT int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict abstime)
{
	return grt__c11_result(pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, abstime));
}

GRT_EXPORT int cnd_signal(cnd_t *c)
{
	return grt__c11_result(pthread_cond_signal((pthread_cond_t *)c));
}

GRT_EXPORT int cnd_broadcast(cnd_t *c)
{
	return grt__c11_result(pthread_cond_broadcast((pthread_cond_t *)c));
}

GRT_EXPORT void call_once(once_flag *flag, void (*routine)(void))
{
	grt__once((pthread_once_t *)flag, routine);
}
