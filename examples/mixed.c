/*
 * Tasks and pthreads are the same thing: both kinds take jobs from one queue, guarded by one mutex and one condition variable.
 *
 *   cc -pthread mixed.c -lgrt -o mixed && ./mixed [TASKS]      default 1000 tasks beside 8 pthreads
 */
#include <grt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { PTHREADS = 8, JOBS = 200000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
static int started, next_job, workers;
static long sum, by_tasks;

/* Takes jobs until there are none. */
static long work(void)
{
	long n = 0;
	pthread_mutex_lock(&lock);
	while (!started)
		pthread_cond_wait(&change, &lock);
	pthread_mutex_unlock(&lock);
	for (;;) {
		pthread_mutex_lock(&lock);
		int job = next_job < JOBS ? next_job++ : -1;
		if (job >= 0)
			sum += job;
		pthread_mutex_unlock(&lock);
		if (job < 0)
			return n;
		n++;
		if (job % 4 == 0)
			grt_yield();
	}
}

static void worker_ends(void)
{
	if (--workers == 0)
		pthread_cond_broadcast(&change);
}

static void task(void *arg)
{
	long n = work();
	pthread_mutex_lock(&lock);
	*(long *)arg += n;
	worker_ends();
	pthread_mutex_unlock(&lock);
}

static void *thread(void *arg)
{
	(void)arg;
	work();
	pthread_mutex_lock(&lock);
	worker_ends();
	pthread_mutex_unlock(&lock);
	return NULL;
}

int main(int argc, char **argv)
{
	int tasks = argc > 1 ? atoi(argv[1]) : 1000;
	pthread_t t[PTHREADS];

	workers = tasks + PTHREADS;
	for (int i = 0; i < tasks; i++)
		if (grt_go(task, &by_tasks) != 0) {
			perror("grt_go");
			return 1;
		}
	for (int i = 0; i < PTHREADS; i++)
		if (pthread_create(&t[i], NULL, thread, NULL) != 0)
			return 1;
	pthread_mutex_lock(&lock);
	started = 1;
	pthread_cond_broadcast(&change);
	while (workers > 0)
		pthread_cond_wait(&change, &lock);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < PTHREADS; i++)
		pthread_join(t[i], NULL);
	fprintf(stderr, "%ld jobs done by tasks, %ld by pthreads\n", by_tasks, JOBS - by_tasks);
	printf("%d jobs, sum %ld\n", JOBS, sum);
	return sum == (long)JOBS * (JOBS - 1) / 2 ? 0 : 1;
}
