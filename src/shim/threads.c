/*
 * threads.h (C11): life of threads, which is the POSIX one with other results, as in glibc. libc's own would make kernel
 * threads by internal names. thrd_exit, thrd_current, thrd_equal and tss_* are libc's.
 */
#include "api/boot.h"
#include "sched/tcb.h"
#include "shim/c11.h"
#include "shim/kstate.h"
#include "shim/shim.h"
#include <sched.h>
#include <threads.h>

_Static_assert(sizeof(thrd_t) == sizeof(pthread_t), "glibc's C11 types");

GRT_EXPORT int thrd_create(thrd_t *thread, thrd_start_t fn, void *arg)
{
	int boot = grt__self.in_vfork ? -ENOTSUP : grt__boot();
	if (grt_unlikely(boot < 0))
		return boot == -EAGAIN ? grt__c11_result(EAGAIN) : REAL(thrd_create)(thread, fn, arg);
	struct grt_spawn how = {
		.fn = (void *(*)(void *))(uintptr_t)fn, .arg = arg, .guard_size = SIZE_MAX, .returns_int = true};
	return grt__c11_result(-grt__kstate_spawn(&how, NULL, thread));
}

GRT_EXPORT int thrd_join(thrd_t thread, int *result)
{
	void *value;
	int r = pthread_join(thread, &value);
	if (r == 0 && result)
		*result = (int)(intptr_t)value;
	return grt__c11_result(r);
}

GRT_EXPORT int thrd_detach(thrd_t thread)
{
	return grt__c11_result(pthread_detach(thread));
}

GRT_EXPORT void thrd_yield(void)
{
	sched_yield();
}
