/*
 * PROCS: 2
 * TIMEOUT: 400
 * As many threads as there may be wait in the kernel, each with a kernel thread of its own: for a condition variable of several
 * processes. The first too many is told so, and nothing is lost: all wake up.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { N = 10500, LEAST = 9600 }; /* the limit is 10,000 kernel threads, and a few are kept */

static pthread_mutex_t mutex;
static pthread_cond_t cond;
static int waiting, go;

static void *wait_for_it(void *arg)
{
	pthread_mutex_lock(&mutex);
	waiting++;
	while (!go)
		pthread_cond_wait(&cond, &mutex);
	pthread_mutex_unlock(&mutex);
	return arg;
}

/* Until so many wait. */
static void await(int so_many)
{
	for (int n = 0; n < so_many; usleep(1000)) {
		pthread_mutex_lock(&mutex);
		n = waiting;
		pthread_mutex_unlock(&mutex);
	}
}

/* A large number: there is no such limit. */
static long limit(const char *path)
{
	long n = 1l << 40;
	FILE *f = fopen(path, "r");
	if (f && fscanf(f, "%ld", &n) != 1)
		n = 1l << 40;
	if (f)
		fclose(f);
	return n;
}

int main(void)
{
	static pthread_t t[N];
	pthread_mutexattr_t ma;
	pthread_condattr_t ca;
	pthread_attr_t a;
	int n = 0;
	if (limit("/proc/sys/kernel/threads-max") < N + 4000 || limit("/proc/sys/kernel/pid_max") < N + 4000 ||
	    limit("/sys/fs/cgroup/pids.max") < N + 4000 || limit("/proc/sys/vm/max_map_count") < 3 * N) {
		puts("SKIP the kernel does not allow that many threads");
		return 77;
	}
	pthread_mutexattr_init(&ma);
	pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&mutex, &ma);
	pthread_condattr_init(&ca);
	pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&cond, &ca);
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 65536);
	int made = 0, r = 0;
	/* The limit counts kernel threads: who has not begun to wait is not in it yet, so the threads are made a hundred at a time. */
	while (made < N && (r = pthread_create(&t[made], &a, wait_for_it, NULL)) == 0)
		if (++made % 100 == 0)
			await(made);
	if (made < LEAST || (made < N && r != EAGAIN)) {
		printf("pthread_create failed with %d after %d threads\n", r, made);
		return 1;
	}
	while (n < made) {
		usleep(10000);
		pthread_mutex_lock(&mutex);
		n = waiting;
		pthread_mutex_unlock(&mutex);
	}
	pthread_mutex_lock(&mutex);
	go = 1;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < made; i++)
		pthread_join(t[i], NULL);
	printf("%d woke up\n", n);
	return 0;
}
