#include "sync/cond.h"
#include "sched/cancel.h"
#include <errno.h>

_Static_assert(sizeof(pthread_cond_t) == 48, "glibc's pthread_cond_t");
_Static_assert(offsetof(pthread_cond_t, __data.__g_refs) == 16, "seen on glibc 2.25 to 2.40");
_Static_assert(offsetof(pthread_cond_t, __data.__wrefs) == 36, "seen on glibc 2.25 to 2.40");

struct wait {
	pthread_cond_t *c;
	pthread_mutex_t *m;
	int error;
};

/* Runs enqueued. If the mutex cannot be unlocked the wait must end: waking all is a spurious wake-up for the others. */
static void unlock_mutex(void *arg)
{
	struct wait *w = arg;
	w->error = grt__mutex_cond_unlock(w->m);
	if (grt_unlikely(w->error))
		grt__futex_wake(w->c, INT_MAX, ~0u);
}

int grt__cond_wait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock, const struct timespec *abstime)
{
	struct wait w = {c, m, 0};
	int error = 0;
	int64_t deadline = GRT_FOREVER;

	if (abstime) {
		deadline = grt__deadline(clock, abstime, &error);
		if (error)
			return error;
	}
	error = grt__mutex_cond_check(m);
	if (error)
		return error;
	/* The count belongs to libc if the variable is process-shared. */
	uint32_t *counter = grt__cond_is_shared(c) ? NULL : &c->__data.__g_refs[0];
	int r = grt__futex_wait_unlock(c, counter, unlock_mutex, &w, deadline, WAIT_COND);
	if (w.error)
		return w.error;
	if (grt_unlikely(r == -ECANCELED)) {
		grt__tcb_cancel_hold();
		grt__mutex_cond_lock(m);
		grt__tcb_cancel_unhold();
		return r;
	}
	error = grt__mutex_cond_lock(m);
	return error ? error : r;
}

int grt__cond_wake(pthread_cond_t *c, int n)
{
	return grt__futex_wake(c, n, ~0u);
}
