/*
 * <pthread.h>: life of threads. Semantics: POSIX and glibc's nptl.
 */
#include "api/boot.h"
#include "api/panic.h"
#include "grt.h"
#include "os/os.h"
#include "sched/cancel.h"
#include "sched/proc.h"
#include "sched/stack.h"
#include "sched/task.h"
#include "sched/tcb.h"
#include "shim/kstate.h"
#include "shim/shim.h"
#include "sync/futex.h"
#include <limits.h>

static int spawn_attr(const pthread_attr_t *attr, struct grt_spawn *how)
{
	int detach;
	void *addr = NULL;
	size_t size = 0;
	pthread_attr_getdetachstate(attr, &detach);
	how->detached = detach == PTHREAD_CREATE_DETACHED;
	pthread_attr_getguardsize(attr, &how->guard_size);
	pthread_attr_getstack(attr, &addr, &size);
	/* Without an address of its own glibc reports the stack as ending at address 0. */
	if (size && (uintptr_t)addr + size != 0)
		how->stack = addr;
	how->stack_size = size;
	if (!size)
		pthread_attr_getstacksize(attr, &how->stack_size);
	size_t least = grt__tcb_size() + 2048 + grt__os.page_size;
	if ((how->stack_size && how->stack_size < least) || how->guard_size == SIZE_MAX /* to grt__spawn: the default */)
		return EINVAL;
	return 0;
}

GRT_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	int boot = grt__self.in_vfork ? -ENOTSUP : grt__boot();
	if (grt_unlikely(boot < 0))
		return boot == -EAGAIN ? EAGAIN : REAL(pthread_create)(thread, attr, fn, arg);
	struct grt_spawn how = {.fn = fn, .arg = arg, .guard_size = SIZE_MAX};
	sigset_t mask;
	if (attr) {
		int r = spawn_attr(attr, &how);
		if (r)
			return r;
		if (pthread_attr_getsigmask_np(attr, &mask) == 0)
			how.sigmask = (const uint64_t *)&mask;
	}
	return -grt__kstate_spawn(&how, attr, thread);
}

static int join(pthread_t thread, void **result, clockid_t clock, const struct timespec *abstime)
{
	int error;
	struct g *gp = grt__g_of_pthread((void *)thread);
	int64_t deadline = grt__deadline(clock, abstime, &error);
	if (error)
		return -error;
	int r = grt__task_join(gp, deadline, result);
	if (grt_unlikely(r == -ECANCELED))
		pthread_testcancel(); /* does not return */
	return -r;
}

/* Not ours: made by libc before boot, in 1:1 mode, or by libc itself. */
static inline bool foreign(pthread_t thread)
{
	return grt__state != GRT_BOOTED || !grt__g_of_pthread((void *)thread);
}

GRT_EXPORT int pthread_join(pthread_t thread, void **result)
{
	if (foreign(thread))
		return GRT_BLOCKING(int, true, REAL(pthread_join)(thread, result));
	return join(thread, result, CLOCK_REALTIME, NULL);
}

GRT_EXPORT int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *abstime)
{
	if (foreign(thread))
		return GRT_BLOCKING(int, true, REAL(pthread_timedjoin_np)(thread, result, abstime));
	return join(thread, result, CLOCK_REALTIME, abstime);
}

GRT_EXPORT int pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock, const struct timespec *abstime)
{
	if (foreign(thread))
		return GRT_BLOCKING(int, true, REAL(pthread_clockjoin_np)(thread, result, clock, abstime));
	return join(thread, result, clock, abstime);
}

GRT_EXPORT int pthread_tryjoin_np(pthread_t thread, void **result)
{
	if (foreign(thread))
		return REAL(pthread_tryjoin_np)(thread, result);
	return -grt__task_join(grt__g_of_pthread((void *)thread), INT64_MIN, result);
}

GRT_EXPORT int pthread_detach(pthread_t thread)
{
	if (foreign(thread))
		return REAL(pthread_detach)(thread);
	return -grt__task_detach(grt__g_of_pthread((void *)thread));
}

GRT_EXPORT int pthread_cancel(pthread_t thread)
{
	if (grt__state == GRT_BOOTED)
		grt__cancel_prepare();
	if (foreign(thread) || pthread_equal(thread, pthread_self()))
		return REAL(pthread_cancel)(thread);
	grt__cancel(grt__g_of_pthread((void *)thread));
	return 0;
}

/* grt.h; here because what is left after the deferred calls is pthread_exit. */
GRT_EXPORT GRT_NORETURN void grt_exit(void)
{
	grt__goexit();
	pthread_exit(NULL);
}

GRT_EXPORT int pthread_getattr_np(pthread_t thread, pthread_attr_t *attr)
{
	struct g *gp = foreign(thread) ? NULL : grt__g_of_pthread((void *)thread);
	if (!gp || gp == &grt__main_g)
		return REAL(pthread_getattr_np)(thread, attr);
	int r = pthread_attr_init(attr);
	if (r)
		return r;
	/* The region has a page more than was asked for, to make up for G (stack.c). It does not show: the topmost, where the thread
	 * block lies, is left out, so that what lies right below the stack is the guard. */
	char *lo = gp->stack_lo;
	char *hi = gp->user_stack ? gp->birth.stack_hi : gp->map_lo + gp->map_size - grt__os.page_size;
	pthread_attr_setstack(attr, lo, (size_t)(hi - lo));
	pthread_attr_setguardsize(attr, gp->user_stack ? 0 : gp->guard_size);
	uint32_t state = grt_load_relaxed(&gp->join_state);
	pthread_attr_setdetachstate(attr, state == JOIN_DETACHED ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
	cpu_set_t cpus;
	if (pthread_getaffinity_np(thread, sizeof cpus, &cpus) == 0)
		pthread_attr_setaffinity_np(attr, sizeof cpus, &cpus);
	return 0;
}

GRT_EXPORT int pthread_setattr_default_np(const pthread_attr_t *attr)
{
	int r = REAL(pthread_setattr_default_np)(attr);
	if (r == 0 && grt__state == GRT_BOOTED) {
		size_t size, guard;
		pthread_attr_getstacksize(attr, &size);
		pthread_attr_getguardsize(attr, &guard);
		grt__stack_set_default(size ? size : grt__stack_default_size(), guard);
	}
	return r;
}

GRT_EXPORT int sched_yield(void)
{
	if (!grt__on_task())
		return REAL(sched_yield)();
	grt__yield();
	return 0;
}
GRT_ALIAS(__sched_yield, sched_yield);

/* The header redirects the name to sched_yield; old programs have it in their tables. */
GRT_EXPORT int old_pthread_yield(void) __asm__("pthread_yield");
int old_pthread_yield(void)
{
	return sched_yield();
}

GRT_EXPORT pid_t gettid(void)
{
	return grt__on_task() ? grt__self.g->tid : REAL(gettid)();
}
