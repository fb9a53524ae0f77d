/*
 * time.h, sys/resource.h: the CPU time of the calling thread is the task's (sched/cputime.h). Other clocks and all other
 * questions are libc's by a tail call.
 */
#include "sched/cputime.h"
#include "shim/shim.h"
#include <sys/resource.h>
#include <time.h>

static struct timeval timeval_of(int64_t us)
{
	return (struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000};
}

static int64_t us_of(const struct timeval *t)
{
	return t->tv_sec * INT64_C(1000000) + t->tv_usec;
}

GRT_EXPORT int clock_gettime(clockid_t clock, struct timespec *t)
{
	if (grt_likely(clock != CLOCK_THREAD_CPUTIME_ID) || !grt__on_task())
		return REAL(clock_gettime)(clock, t);
	int64_t ns = grt__cputime();
	*t = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
	return 0;
}

/* The task's time, shared out between user and system as its thread's is; the other fields are the thread's. */
GRT_EXPORT int getrusage(__rusage_who_t who, struct rusage *usage)
{
	int r = REAL(getrusage)(who, usage);
	if (r != 0 || who != RUSAGE_THREAD || !grt__on_task())
		return r;
	int64_t user = us_of(&usage->ru_utime), all = user + us_of(&usage->ru_stime), mine = grt__cputime() / 1000;
	int64_t mine_user = all > 0 ? (int64_t)((double)mine * (double)user / (double)all) : mine;
	usage->ru_utime = timeval_of(mine_user);
	usage->ru_stime = timeval_of(mine - mine_user);
	return 0;
}
