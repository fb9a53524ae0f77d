/* cputime.c - the CPU time of a thread: counts its own work, not its sleep nor what others do, and never goes back. */
#include "check.h"

#include <sys/resource.h>
#include <time.h>

static double clock_s(clockid_t c)
{
	struct timespec t;
	EXPECT_EQ(0, clock_gettime(c, &t));
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double usage_s(void)
{
	struct rusage u;
	EXPECT_EQ(0, getrusage(RUSAGE_THREAD, &u));
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void work(double seconds) /* of the thread's own time */
{
	double until = clock_s(CLOCK_THREAD_CPUTIME_ID) + seconds;
	volatile unsigned x = 0;
	while (clock_s(CLOCK_THREAD_CPUTIME_ID) < until)
		for (int i = 0; i < 1000; i++)
			x += (unsigned)i;
}

static void *sleeps(void *arg)
{
	double a = clock_s(CLOCK_THREAD_CPUTIME_ID), u = usage_s();
	(void)arg;
	for (int i = 0; i < 20; i++)
		usleep(5000);
	return (void *)(long)(clock_s(CLOCK_THREAD_CPUTIME_ID) - a < 0.05 && usage_s() - u < 0.05);
}

static void *never_goes_back(void *arg)
{
	double last = 0;
	(void)arg;
	for (int i = 0; i < 3000; i++) {
		double now = clock_s(CLOCK_THREAD_CPUTIME_ID);
		if (now < last)
			return (void *)0;
		last = now;
		if (i % 3 == 0)
			sched_yield();
		if (i % 100 == 0)
			usleep(100);
	}
	return (void *)1;
}

static void *works(void *arg)
{
	double a = clock_s(CLOCK_THREAD_CPUTIME_ID), u = usage_s();
	work(0.05);
	a = clock_s(CLOCK_THREAD_CPUTIME_ID) - a;
	u = usage_s() - u;
	(void)arg;
	return (void *)(long)(a >= 0.05 && a < 0.1 && u > 0.03 && u < 0.12);
}

int main(void)
{
	pthread_t t[8], s;
	double process = clock_s(CLOCK_PROCESS_CPUTIME_ID);

	for (int i = 0; i < 4; i++)
		t[i] = spawn(works, NULL);
	s = spawn(sleeps, NULL);
	for (int i = 0; i < 4; i++)
		CHECK_EQ("a thread that works has worked that long", 1, (long)join(t[i]));
	CHECK_EQ("one that sleeps beside them has not", 1, (long)join(s));
	process = clock_s(CLOCK_PROCESS_CPUTIME_ID) - process;
	CHECK("the process has used as much as all of them", process >= 0.2);
	for (int i = 0; i < 8; i++)
		t[i] = spawn(never_goes_back, NULL);
	for (int i = 0; i < 8; i++)
		CHECK_EQ("it never goes back", 1, (long)join(t[i]));
	return check_done();
}
