/*
 * PROCS: 2
 * TIMEOUT: 120
 * More threads than 10,000 wait in the kernel, each with a kernel thread of its own: for a condition variable of several processes.
 * All wake up.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { N = 10500 };

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
	for (int i = 0; i < N; i++)
		if (pthread_create(&t[i], &a, wait_for_it, NULL) != 0) {
			puts("pthread_create failed");
			return 1;
		}
	while (n < N) {
		usleep(10000);
		pthread_mutex_lock(&mutex);
		n = waiting;
		pthread_mutex_unlock(&mutex);
	}
	pthread_mutex_lock(&mutex);
	go = 1;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < N; i++)
		pthread_join(t[i], NULL);
	printf("%d woke up\n", n);
	return 0;
}
