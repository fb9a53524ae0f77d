/* full_queue.c - the user's queue of signals is full (RLIMIT_SIGPENDING): threads still take turns, sleep and are signalled. */
#include "check.h"

#include <sys/resource.h>

static int go, hits;

static void on_usr1(int sig)
{
	(void)sig;
	flag_add(&hits, 1);
}

static void *spins(void *arg)
{
	while (!flag_get(&go))
		;
	return arg;
}

static void *sleeps(void *arg)
{
	for (int i = 0; i < 20; i++)
		sleep_ms(1);
	flag_add(&go, 1);
	return arg;
}

int main(void)
{
	struct rlimit few = {20, 20};
	struct sigaction act = {.sa_handler = on_usr1};
	union sigval v = {0};
	sigset_t set;
	EXPECT_EQ(0, setrlimit(RLIMIT_SIGPENDING, &few));
	EXPECT_EQ(0, sigaction(SIGUSR1, &act, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	int n = 0;
	while (n < 1000 && sigqueue(getpid(), SIGRTMIN + 3, v) == 0)
		n++;
	CHECK("EAGAIN: no more can be queued", n < 1000 && errno == EAGAIN);

	pthread_t spinners[10], sleeper;
	for (int i = 0; i < 10; i++)
		spinners[i] = spawn(spins, NULL);
	sleeper = spawn(sleeps, NULL);
	EXPECT_EQ(0, pthread_kill(spinners[9], SIGUSR1));
	EXPECT(flag_wait_bounded(&hits, 1));
	for (int i = 0; i < 10; i++)
		join(spinners[i]);
	join(sleeper);
	CHECK_EQ("threads that spin make room for one that sleeps", 1, flag_get(&go));
	CHECK_EQ("one that spins takes a signal", 1, flag_get(&hits));
	return check_done();
}
