/*
 * PROCS: 1 2
 * TIMEOUT: 60
 * A task of a process with very many parked tasks forks; the child has that task alone, makes threads of its own and ends, while
 * the parent's all go on afterwards. Arguments: threads (default 20,000; a million of them want 9 GB), forks (default 3).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER, arrived = PTHREAD_COND_INITIALIZER;
static long waiting, passed;
static int gate;

static void *wait_for_gate(void *arg)
{
	pthread_mutex_lock(&lock);
	waiting++;
	pthread_cond_signal(&arrived);
	while (!gate)
		pthread_cond_wait(&opened, &lock);
	passed++;
	pthread_mutex_unlock(&lock);
	return arg;
}

static void *add(void *arg)
{
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* In the child. */
static int child(void)
{
	pthread_t t[50];
	int sum = 0;
	for (int i = 0; i < 50; i++)
		if (pthread_create(&t[i], NULL, add, &sum) != 0)
			return 1;
	for (int i = 0; i < 50; i++)
		if (pthread_join(t[i], NULL) != 0)
			return 2;
	return sum == 50 ? 42 : 3;
}

static void *forker(void *arg)
{
	for (long i = *(long *)arg; i > 0; i--) {
		struct timespec a, b;
		int status;
		clock_gettime(CLOCK_MONOTONIC, &a);
		pid_t pid = fork();
		if (pid == 0)
			_exit(child());
		clock_gettime(CLOCK_MONOTONIC, &b);
		fprintf(stderr, "fork: %.1f ms\n", (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 42 << 8)
			return "the child did not do its work";
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 20000, forks = argc > 2 ? atol(argv[2]) : 3;
	pthread_t *t = malloc((size_t)n * sizeof *t), f;
	pthread_attr_t attr;
	void *wrong;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (long i = 0; i < n; i++) {
		int r = pthread_create(&t[i], &attr, wait_for_gate, NULL);
		if (r != 0) {
			printf("pthread_create of thread %ld: error %d\n", i, r);
			return 1;
		}
	}
	pthread_mutex_lock(&lock);
	while (waiting < n)
		pthread_cond_wait(&arrived, &lock);
	pthread_mutex_unlock(&lock);
	if (pthread_create(&f, NULL, forker, &forks) != 0 || pthread_join(f, &wrong) != 0)
		return 1;
	if (wrong) {
		printf("%s\n", (char *)wrong);
		return 1;
	}
	pthread_mutex_lock(&lock);
	gate = 1;
	pthread_cond_broadcast(&opened);
	pthread_mutex_unlock(&lock);
	for (long i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	printf("%s\n", passed == n ? "ok" : "some threads did not come through");
	return passed != n;
}
