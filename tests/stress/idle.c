/*
 * PROCS: 1 2 4
 * With all tasks parked the process sleeps: no CPU time and no periodic wake-up. Counted over a second by the kernel's own
 * figures; the few that are allowed are for going to sleep and for waking at the end.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

enum { TASKS = 100, SWITCHES = 20, MICROSECONDS = 10000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER, arrived = PTHREAD_COND_INITIALIZER;
static int missing = TASKS, gate;

static void *wait_for_gate(void *arg)
{
	pthread_mutex_lock(&lock);
	if (--missing == 0)
		pthread_cond_signal(&arrived);
	while (!gate)
		pthread_cond_wait(&opened, &lock);
	pthread_mutex_unlock(&lock);
	return arg;
}

static void sleep_for(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&ts, NULL);
}

static long cpu(const struct rusage *ru)
{
	return (ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) * 1000000 + ru->ru_utime.tv_usec + ru->ru_stime.tv_usec;
}

int main(void)
{
	static pthread_t tasks[TASKS];
	struct rusage before, after;
	for (int i = 0; i < TASKS; i++) {
		if (pthread_create(&tasks[i], NULL, wait_for_gate, NULL) != 0) {
			printf("pthread_create failed\n");
			return 1;
		}
	}
	pthread_mutex_lock(&lock);
	while (missing)
		pthread_cond_wait(&arrived, &lock);
	pthread_mutex_unlock(&lock);
	sleep_for(200); /* spinning and sysmon's slowing down come to their end */
	getrusage(RUSAGE_SELF, &before);
	sleep_for(1000);
	getrusage(RUSAGE_SELF, &after);
	long switches = after.ru_nvcsw - before.ru_nvcsw, us = cpu(&after) - cpu(&before);
	printf("in one second: %ld switches (%d allowed), %ld us of CPU (%d allowed)\n", switches, SWITCHES, us,
	       MICROSECONDS);
	pthread_mutex_lock(&lock);
	gate = 1;
	pthread_cond_broadcast(&opened);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < TASKS; i++)
		pthread_join(tasks[i], NULL);
	return switches > SWITCHES || us > MICROSECONDS;
}
