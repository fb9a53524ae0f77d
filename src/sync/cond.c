#include "sync/cond.h"
#include "sched/cancel.h"
#include <errno.h>
#include <string.h>

_Static_assert(sizeof(pthread_cond_t) == 48, "glibc's pthread_cond_t");

static const struct grt_cond_layout layouts[] = {
	{.flags = 36,
     .count =
         16}, /* glibc 2.25 to 2.40: wseq (8 bytes), g1_start (8), g_refs[2], g_size[2], g1_orig_size, wrefs, g_signals[2] */
	{.flags = 28, .count = 40}, /* 2.41 and later: without g_refs, two unused words at the end */
};
struct grt_cond_layout grt__cond_at = {.flags = 36, .count = 16};

/* What pthread_cond_init writes for these attributes: the flag word alone. */
static bool writes_only(uint32_t at, bool shared, bool monotonic)
{
	pthread_cond_t c;
	pthread_condattr_t attr;
	uint32_t want = (shared ? COND_SHARED : 0) | (monotonic ? COND_MONOTONIC : 0);
	memset(&c, 0xff, sizeof c);
	pthread_condattr_init(&attr);
	pthread_condattr_setpshared(&attr, shared ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE);
	pthread_condattr_setclock(&attr, monotonic ? CLOCK_MONOTONIC : CLOCK_REALTIME);
	pthread_cond_init(&c, &attr);
	for (uint32_t i = 0; i < sizeof c; i += sizeof(uint32_t))
		if (*grt__cond_word(&c, i) != (i == at ? want : 0))
			return false;
	return true;
}

const char *grt__cond_boot(void)
{
	for (size_t i = 0; i < GRT_COUNT(layouts); i++)
		if (writes_only(layouts[i].flags, true, false) && writes_only(layouts[i].flags, false, true)) {
			grt__cond_at = layouts[i];
			return NULL;
		}
	return "pthread_cond_t is not as expected";
}

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
	uint32_t *counter = grt__cond_is_shared(c) ? NULL : grt__cond_word(c, grt__cond_at.count);
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
