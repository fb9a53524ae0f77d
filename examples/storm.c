/*
 * An ordinary pthread program that knows nothing of libgrt: it makes threads, joins them, passes a token through a
 * mutex and a condition variable, and keeps many threads parked at once.
 *
 *   storm [THREADS]      default 10000
 *
 * Standard output is the same in every run; the times go to standard error.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static int kernel_threads(void)
{
	char line[256];
	int n = -1;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Threads: %d", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

static void must(int error, const char *what)
{
	if (error) {
		fprintf(stderr, "%s: %s\n", what, strerror(error));
		exit(1);
	}
}

/* ---- create and join ---- */

static __thread int touched;

static void *square(void *arg)
{
	long n = (long)arg;
	touched = (int)n; /* each thread has its own */
	return (void *)(touched == n ? n * n : -1);
}

static void create_join(int threads)
{
	long sum = 0;
	double start = now();
	for (long i = 0; i < threads; i++) {
		pthread_t t;
		void *result;
		must(pthread_create(&t, NULL, square, (void *)(i % 1000)), "pthread_create");
		must(pthread_join(t, &result), "pthread_join");
		sum += (long)result;
	}
	fprintf(stderr, "create + join     %8.2f us each\n", (now() - start) / threads * 1e6);
	printf("%d threads one after the other: sum of squares %ld\n", threads, sum);
}

/* ---- a token passed back and forth ---- */

enum { HOPS = 20000 };
static pthread_mutex_t token_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t token_moved = PTHREAD_COND_INITIALIZER;
static int token;

static void *player(void *arg)
{
	int parity = (int)(long)arg;
	pthread_mutex_lock(&token_lock);
	while (token < HOPS) {
		if (token % 2 == parity) {
			token++;
			pthread_cond_signal(&token_moved);
		} else {
			pthread_cond_wait(&token_moved, &token_lock);
		}
	}
	pthread_cond_signal(&token_moved);
	pthread_mutex_unlock(&token_lock);
	return NULL;
}

static void ping_pong(void)
{
	pthread_t players[2];
	double start = now();
	for (long i = 0; i < 2; i++)
		must(pthread_create(&players[i], NULL, player, (void *)i), "pthread_create");
	for (int i = 0; i < 2; i++)
		pthread_join(players[i], NULL);
	fprintf(stderr, "token hop         %8.2f us each\n", (now() - start) / HOPS * 1e6);
	printf("token passed %d times\n", token);
}

/* ---- many parked at once ---- */

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_opened = PTHREAD_COND_INITIALIZER, all_there = PTHREAD_COND_INITIALIZER;
static int missing;
static int open_gate;

static void *wait_at_gate(void *arg)
{
	pthread_mutex_lock(&gate_lock);
	if (--missing == 0)
		pthread_cond_signal(&all_there);
	while (!open_gate)
		pthread_cond_wait(&gate_opened, &gate_lock);
	pthread_mutex_unlock(&gate_lock);
	return arg;
}

static void park_many(int threads)
{
	pthread_t *t = calloc((size_t)threads, sizeof(*t));
	pthread_attr_t attr;
	must(t ? 0 : ENOMEM, "calloc");
	must(pthread_attr_init(&attr), "pthread_attr_init");
	must(pthread_attr_setstacksize(&attr, 64 * 1024), "pthread_attr_setstacksize");
	missing = threads;
	double start = now();
	for (int i = 0; i < threads; i++)
		must(pthread_create(&t[i], &attr, wait_at_gate, NULL), "pthread_create");
	pthread_mutex_lock(&gate_lock);
	while (missing)
		pthread_cond_wait(&all_there, &gate_lock);
	fprintf(stderr, "create + park     %8.2f us each\n", (now() - start) / threads * 1e6);
	fprintf(stderr, "kernel threads    %8d\n", kernel_threads());
	open_gate = 1;
	pthread_cond_broadcast(&gate_opened);
	pthread_mutex_unlock(&gate_lock);
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	pthread_attr_destroy(&attr);
	free(t);
	printf("%d threads waited at once, all came back\n", threads);
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 10000;
	if (threads < 1) {
		fprintf(stderr, "usage: storm [THREADS]\n");
		return 2;
	}
	create_join(threads);
	ping_pong();
	park_many(threads);
	return 0;
}
