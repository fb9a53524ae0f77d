/* full_queue.c - the user's queue of signals is full (RLIMIT_SIGPENDING): threads still take turns, sleep and are signalled. */
#include "check.h"

#include <sched.h>
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

/* Real-time signals for one thread, while the queue is full and when it is no more: each that was accepted comes. */
static int values, sent;

static void on_value(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	(void)uc;
	flag_add(&values, info->si_value.sival_int);
}

static void *takes_values(void *arg)
{
	while (flag_get(&go) < 2)
		arg ? sched_yield() : sleep_ms(1);
	return arg;
}

static void *sends(void *arg)
{
	pthread_t *to = arg;
	for (int i = 1; i <= 16; i++)
		for (int n = i % 2; flag_get(&go) < 2;) {
			union sigval v = {.sival_int = i};
			if (pthread_sigqueue(to[n], SIGRTMIN + 4, v) != 0) {
				sleep_ms(1);
				continue;
			}
			flag_add(&sent, i);
			break;
		}
	return NULL;
}

static void values_of_a_full_queue(const struct rlimit *enough)
{
	struct sigaction act = {.sa_sigaction = on_value, .sa_flags = SA_SIGINFO | SA_RESTART};
	pthread_t to[2], sender;
	EXPECT_EQ(0, sigaction(SIGRTMIN + 4, &act, NULL));
	to[0] = spawn(takes_values, NULL);
	to[1] = spawn(takes_values, to);
	sender = spawn(sends, to);
	sleep_ms(30);
	EXPECT_EQ(0, setrlimit(RLIMIT_SIGPENDING,
	                       enough)); /* taking those off would not do: it counts all of the user's processes' */
	join(sender);
	int came = flag_wait_bounded(&values, 16 * 17 / 2);
	CHECK_EQ("all were sent", 16 * 17 / 2, sent);
	CHECK("all came", came);
	flag_set(&go, 2);
	join(to[0]);
	join(to[1]);
}

int main(void)
{
	struct rlimit few, enough;
	struct sigaction act = {.sa_handler = on_usr1};
	union sigval v = {0};
	sigset_t set;
	EXPECT_EQ(0, getrlimit(RLIMIT_SIGPENDING, &enough));
	few = enough;
	few.rlim_cur = 20;
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
	values_of_a_full_queue(&enough);
	return check_done();
}
