/*
 * time.h, unistd.h, threads.h: sleeping. A task parks on a timer, which is a cancellation point as libc's is: cancellation
 * is acted on before, and after a signal (cancellation wakes a sleeper by one).
 */
#include "shim/shim.h"
#include "sync/futex.h"
#include "sync/sleep.h"
#include <pthread.h>

static bool valid(const struct timespec *t)
{
	return t->tv_sec >= 0 && (unsigned long)t->tv_nsec < 1000000000ul;
}

static struct timespec timespec_of(int64_t ns)
{
	return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

/* Task. 0 or an error number, as clock_nanosleep. `clock` is one that grt__deadline knows. */
static int sleep_task(clockid_t clock, int flags, const struct timespec *req, struct timespec *rem)
{
	int64_t deadline, left = 0;
	int err = 0;

	if (!valid(req))
		return EINVAL;
	if (flags & TIMER_ABSTIME)
		deadline = grt__deadline(clock, req, &err);
	else
		deadline = grt__sleep_deadline(req);
	if (err != 0)
		return err < 0 ? -err : err;
	pthread_testcancel();
	err = -grt__sleep_until(deadline, &left);
	if (err != 0) {
		pthread_testcancel();
		if (rem != NULL && !(flags & TIMER_ABSTIME))
			*rem = timespec_of(left);
	}
	return err;
}

GRT_EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *req, struct timespec *rem)
{
	if (!grt__on_task() || (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC))
		return GRT_BLOCKING(int, true, REAL(clock_nanosleep)(clock, flags, req, rem));
	int saved_errno = errno;
	int err = sleep_task(clock, flags, req, rem);
	errno = saved_errno; /* a handler may have set it; clock_nanosleep does not */
	return err;
}

GRT_EXPORT int nanosleep(const struct timespec *req, struct timespec *rem)
{
	if (!grt__on_task())
		return GRT_BLOCKING(int, true, REAL(nanosleep)(req, rem));
	return grt__shim_errno(-sleep_task(CLOCK_REALTIME, 0, req, rem));
}
GRT_ALIAS(__nanosleep, nanosleep);

GRT_EXPORT int usleep(useconds_t us)
{
	if (!grt__on_task())
		return GRT_BLOCKING(int, true, REAL(usleep)(us));
	struct timespec t = timespec_of(us * INT64_C(1000));
	return grt__shim_errno(-sleep_task(CLOCK_REALTIME, 0, &t, NULL));
}

GRT_EXPORT unsigned sleep(unsigned seconds)
{
	if (!grt__on_task())
		return GRT_BLOCKING(unsigned, true, REAL(sleep)(seconds));
	struct timespec t = {.tv_sec = seconds};
	return grt__shim_errno(-sleep_task(CLOCK_REALTIME, 0, &t, &t)) < 0 ? (unsigned)t.tv_sec : 0;
}

GRT_EXPORT int thrd_sleep(const struct timespec *req, struct timespec *rem)
{
	if (!grt__on_task())
		return REAL(thrd_sleep)(req, rem);
	int err = sleep_task(CLOCK_REALTIME, 0, req, rem);
	return err == 0 ? 0 : err == EINTR ? -1 : -2;
}
