/*
 * PROCS: 1 2 4
 * Tasks that wait for each other cost no kernel thread: with hundreds parked, the process has GOMAXPROCS of them and a few
 * of the runtime's own. Without this every other test would also pass where threads stay 1:1.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { TASKS = 500, ROUNDS = 3, OWN = 6 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER, arrived = PTHREAD_COND_INITIALIZER;
static int missing, gate;

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

static void *wait_for_gate(void *arg)
{
	int round = (int)(long)arg;
	pthread_mutex_lock(&lock);
	if (--missing == 0)
		pthread_cond_signal(&arrived);
	while (gate <= round)
		pthread_cond_wait(&opened, &lock);
	pthread_mutex_unlock(&lock);
	return NULL;
}

int main(void)
{
	static pthread_t tasks[TASKS];
	const char *procs = getenv("GOMAXPROCS");
	int allowed = (procs ? atoi(procs) : 1) + OWN, most = 0;
	for (long round = 0; round < ROUNDS; round++) {
		missing = TASKS;
		for (int i = 0; i < TASKS; i++) {
			if (pthread_create(&tasks[i], NULL, wait_for_gate, (void *)round) != 0) {
				printf("pthread_create failed\n");
				return 1;
			}
		}
		pthread_mutex_lock(&lock);
		while (missing)
			pthread_cond_wait(&arrived, &lock);
		int n = kernel_threads();
		if (n > most)
			most = n;
		gate++;
		pthread_cond_broadcast(&opened);
		pthread_mutex_unlock(&lock);
		for (int i = 0; i < TASKS; i++)
			pthread_join(tasks[i], NULL);
	}
	printf("%d tasks parked, %d kernel threads, %d allowed\n", TASKS, most, allowed);
	return most < 1 || most > allowed;
}
