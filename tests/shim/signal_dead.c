/* signal_dead.c - a signal that a thread blocked all its life, or that was sent when it had ended, goes with it: the threads that
 * come after it, perhaps on its stack, do not get it. */
#include "check.h"

#include <semaphore.h>

enum { N = 8, ROUNDS = 20 };
static int hits; /* atomic */
static sem_t up, go;

static void on_sig(int sig)
{
	(void)sig;
	flag_add(&hits, 1);
}

static void *blocks(void *arg)
{
	sigset_t set;
	(void)arg;
	sem_post(&up);
	while (sem_wait(&go) != 0)
		;
	sigemptyset(&set);
	EXPECT_EQ(0, sigpending(&set));
	return (void *)(long)(sigismember(&set, SIGUSR1) + sigismember(&set, SIGUSR2) + sigismember(&set, SIGRTMIN));
}

/* Born with everything blocked: looks, then opens its mask. */
static void *looks(void *arg)
{
	sigset_t set, pending;
	struct timespec none = {0, 0};
	sigfillset(&set);
	sigemptyset(&pending);
	EXPECT_EQ(0, sigpending(&pending));
	EXPECT_EQ(0, sigismember(&pending, SIGUSR1) + sigismember(&pending, SIGUSR2) + sigismember(&pending, SIGRTMIN));
	EXPECT_EQ(-1, sigtimedwait(&set, NULL, &none));
	sigemptyset(&set);
	EXPECT_EQ(0, pthread_sigmask(SIG_SETMASK, &set, NULL));
	sem_post(&up);
	while (sem_wait(&go) != 0) /* a handler would end it */
		;
	return arg;
}

static void run(pthread_t *t, void *(*fn)(void *), int signals, long each)
{
	void *r;
	for (int i = 0; i < N; i++)
		EXPECT_EQ(0, pthread_create(&t[i], NULL, fn, NULL));
	for (int i = 0; i < N; i++)
		while (sem_wait(&up) != 0)
			;
	for (int i = 0; i < N && signals; i++) {
		EXPECT_EQ(0, pthread_kill(t[i], SIGUSR1));
		EXPECT_EQ(0, pthread_kill(t[i], SIGUSR2));
		EXPECT_EQ(0, pthread_kill(t[i], SIGRTMIN));
	}
	for (int i = 0; i < N; i++)
		sem_post(&go);
	for (int i = 0; i < N; i++) {
		EXPECT_EQ(0, pthread_join(t[i], &r));
		EXPECT_EQ(each, (long)r);
	}
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_sig};
	pthread_t t[N];
	sigset_t set, before;
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	sigaction(SIGRTMIN, &sa, NULL);
	sem_init(&up, 0, 0);
	sem_init(&go, 0, 0);
	sigfillset(&set);
	pthread_sigmask(SIG_SETMASK, &set, &before); /* the threads are born so */
	for (int i = 0; i < ROUNDS; i++) {
		run(t, blocks, 1, 3);
		run(t, looks, 0, 0);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	printf("handlers %d\n", flag_get(&hits));
	return 0;
}
