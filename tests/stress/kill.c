/*
 * PROCS: 1 2 8
 * TIMEOUT: 60
 * A signal that comes while the handler of the one before has it blocked, or just as that handler ends, is delivered when the mask opens
 * again: threads that wait for what never comes are sent the next signal as soon as the handler has answered the last.
 * Argument: signals for each thread (default 5,000).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PAIRS = 3 };

static struct pair {
	pthread_t target;
	sem_t answer;
	long seen;
	int done;
} pair[PAIRS];
static _Thread_local struct pair *mine;
static sem_t never;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;

static void answer(int sig)
{
	(void)sig;
	mine->seen++;
	sem_post(&mine->answer);
}

static void *target(void *arg)
{
	struct timespec ts = {0, 200000000};
	mine = arg;
	sem_post(&mine->answer);
	while (!__atomic_load_n(&mine->done, __ATOMIC_SEQ_CST)) {
		if (mine == &pair[0]) {
			sem_wait(&never);
		} else if (mine == &pair[1]) {
			nanosleep(&ts, NULL);
		} else {
			pthread_mutex_lock(&m);
			pthread_cond_wait(&c, &m); /* libgrt's returns after a handler, which POSIX allows */
			pthread_mutex_unlock(&m);
		}
	}
	return NULL;
}

static void wait_for_answer(struct pair *p)
{
	while (sem_wait(&p->answer) != 0)
		if (errno != EINTR)
			abort();
}

static long rounds;

static void *sender(void *arg)
{
	struct pair *p = arg;
	for (long i = 0; i < rounds; i++) {
		if (pthread_kill(p->target, SIGUSR1) != 0)
			abort();
		wait_for_answer(p);
	}
	__atomic_store_n(&p->done, 1, __ATOMIC_SEQ_CST);
	if (p == &pair[0])
		sem_post(&never);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = answer};
	pthread_t t[PAIRS];
	rounds = argc > 1 ? atol(argv[1]) : 5000;
	sem_init(&never, 0, 0);
	sigaction(SIGUSR1, &sa, NULL);
	for (int i = 0; i < PAIRS; i++) {
		sem_init(&pair[i].answer, 0, 0);
		pthread_create(&pair[i].target, NULL, target, &pair[i]);
		wait_for_answer(&pair[i]); /* it has its own pointer */
		pthread_create(&t[i], NULL, sender, &pair[i]);
	}
	for (int i = 0; i < PAIRS; i++)
		pthread_join(t[i], NULL);
	pthread_join(pair[0].target, NULL);
	pthread_join(pair[1].target, NULL);
	while (pthread_tryjoin_np(pair[2].target, NULL) == EBUSY) {
		pthread_cond_signal(&c);
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	}
	for (int i = 0; i < PAIRS; i++)
		if (pair[i].seen != rounds) {
			printf("pair %d: %ld signals of %ld\n", i, pair[i].seen, rounds);
			return 1;
		}
	printf("ok\n");
	return 0;
}
