/*
 * TIMEOUT: 60
 * sig_flood.c - sixteen threads wait with a mask of their own, each sent signals all the time, beside a timer of 10,000 signals a second
 * for the process: the others run too, also where one thread can run at a time.
 */
#include "check.h"

#include <poll.h>

enum { WAITERS = 16, NAPS = 60 };
static pthread_t waiter[WAITERS];
static int started, stop;
static volatile sig_atomic_t ticks, hits;

static void on_tick(int sig)
{
	if (sig == SIGUSR1)
		hits = 1;
	else
		ticks = 1;
}

static void *wait_masked(void *arg)
{
	sigset_t one, none;
	(void)arg;
	sigemptyset(&none);
	sigemptyset(&one);
	sigaddset(&one, SIGUSR1);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &one, NULL));
	flag_add(&started, 1);
	while (!flag_get(&stop)) {
		struct timespec t = {0, 5000000};
		ppoll(NULL, 0, &t, &none);
	}
	return NULL;
}

static void *send(void *arg)
{
	(void)arg;
	for (unsigned i = 0; !flag_get(&stop); i++)
		pthread_kill(waiter[i % WAITERS], SIGUSR1);
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_tick};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	struct itimerspec every = {{0, 100000}, {0, 100000}};
	timer_t timer;
	int naps = 0;
	sigaction(SIGUSR1, &act, NULL);
	act.sa_flags = SA_RESTART;
	sigaction(SIGRTMIN, &act, NULL);
	for (int i = 0; i < WAITERS; i++)
		waiter[i] = spawn(wait_masked, NULL);
	while (flag_get(&started) < WAITERS)
		sleep_ms(1);
	pthread_t sender = spawn(send, NULL);
	EXPECT_EQ(0, timer_create(CLOCK_MONOTONIC, &ev, &timer));
	EXPECT_EQ(0, timer_settime(timer, 0, &every, NULL));
	for (double t0 = now_s(); (naps < NAPS || !ticks || !hits) && now_s() - t0 < 15; naps++) {
		struct timespec t = {0, 1000000};
		nanosleep(&t, NULL);
	}
	CHECK("main runs", naps >= NAPS);
	flag_set(&stop, 1);
	for (int i = 0; i < WAITERS; i++)
		join(waiter[i]);
	join(sender);
	timer_delete(timer);
	CHECK("both kinds of signals came", ticks && hits);
	return check_done();
}
