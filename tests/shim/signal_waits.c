/* signal_waits.c - calls that wait with a mask of their own (sigsuspend, ppoll, pselect, epoll_pwait), signals
 * sent to a thread that runs a handler, and a stop-the-world by signals, as collectors do it. */
#include "check.h"

#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/select.h>

static int phase, hits[65], release;
static uint64_t mask_in_handler;

static uint64_t mask_now(void)
{
	sigset_t set;
	uint64_t m;
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	memcpy(&m, &set, sizeof m);
	return m;
}

#define BIT(sig) (1ull << ((sig)-1))

static void count(int sig, siginfo_t *info, void *uc)
{
	(void)info;
	mask_in_handler = mask_now() & (BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGHUP));
	(void)uc;
	flag_add(&hits[sig], 1);
}

static void install(int sig, void (*fn)(int, siginfo_t *, void *), int flags, int all)
{
	struct sigaction sa;
	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = fn;
	sa.sa_flags = flags | SA_SIGINFO;
	if (all)
		sigfillset(&sa.sa_mask);
	EXPECT_EQ(0, sigaction(sig, &sa, NULL));
}

static void nap(int ms)
{
	struct timespec t = {0, ms * 1000000L};
	while (nanosleep(&t, &t) < 0)
		;
}

/* -- waits with a mask ------------------------------------------------------------------- */

enum how { SUSPEND, PPOLL, PSELECT, EPOLL, HOWS };
static const char *const how_name[HOWS] = {"sigsuspend", "ppoll", "pselect", "epoll_pwait"};

static int wait_with(enum how how, const sigset_t *mask, const struct timespec *t)
{
	static int ep = -1;
	struct epoll_event ev;
	if (ep < 0)
		ep = epoll_create1(0);
	switch (how) {
	case SUSPEND:
		return sigsuspend(mask);
	case PPOLL:
		return ppoll(NULL, 0, t, mask);
	case PSELECT:
		return pselect(0, NULL, NULL, NULL, t, mask);
	default:
		return epoll_pwait(ep, &ev, 1, t ? (int)(t->tv_nsec / 1000000) : -1, mask);
	}
}

static void *waiter(void *arg)
{
	enum how how = (enum how)(intptr_t)arg;
	sigset_t all, some;
	sigfillset(&all);
	sigfillset(&some);
	sigdelset(&some, SIGUSR1);
	sigdelset(&some, SIGHUP);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	flag_set(&phase, 1);
	errno = 0;
	int r = wait_with(how, &some, NULL);
	CHECK(how_name[how], r == -1 && errno == EINTR && flag_get(&hits[SIGUSR1]) == 1);
	CHECK_EQ("the handler runs with the call's mask and its own", BIT(SIGUSR1) | BIT(SIGUSR2), mask_in_handler);
	CHECK_EQ("which comes back", BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGHUP),
	         mask_now() & (BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGHUP)));

	/* two that wait already, both let through */
	pthread_kill(pthread_self(), SIGUSR1);
	pthread_kill(pthread_self(), SIGHUP);
	pthread_kill(pthread_self(), SIGUSR2);
	EXPECT_EQ(1, flag_get(&hits[SIGUSR1]));
	r = wait_with(how, &some, NULL);
	CHECK("pending signals end it at once, all that the mask lets through are handled",
	      r == -1 && errno == EINTR && flag_get(&hits[SIGUSR1]) == 2 && flag_get(&hits[SIGHUP]) == 1 &&
	          flag_get(&hits[SIGUSR2]) == 0);
	sigset_t p;
	sigpending(&p);
	CHECK("the others stay pending", sigismember(&p, SIGUSR2) && !sigismember(&p, SIGUSR1));
	if (how != SUSPEND) {
		struct timespec soon = {0, 2000000};
		errno = 0;
		CHECK("it times out, with the mask as before",
		      wait_with(how, &some, &soon) == 0 && errno == 0 && (mask_now() & BIT(SIGUSR1)));
	}
	sigemptyset(&some);
	pthread_sigmask(SIG_SETMASK, &some, NULL);
	CHECK_EQ("they come when the mask opens", 1, flag_get(&hits[SIGUSR2]));
	return NULL;
}

static void waits(void)
{
	install(SIGUSR1, count, 0, 0);
	install(SIGUSR2, count, 0, 0);
	install(SIGHUP, count, 0, 0);
	for (int how = 0; how < HOWS; how++) {
		pthread_t t;
		memset(hits, 0, sizeof hits);
		flag_set(&phase, 0);
		EXPECT_EQ(0, pthread_create(&t, NULL, waiter, (void *)(intptr_t)how));
		flag_wait(&phase, 1);
		if (how % 2)
			nap(20);
		EXPECT_EQ(0, pthread_kill(t, SIGUSR1));
		pthread_join(t, NULL);
	}
}

/* Many times a signal sent just when the other begins to wait: none may be lost. */
static volatile sig_atomic_t pings, pongs;
static pthread_t ping_thread, pong_thread;

static void on_ping(int sig, siginfo_t *info, void *uc)
{
	(void)info;
	(void)uc;
	if (sig == SIGUSR1)
		pings++;
	else
		pongs++;
}

static void *pong(void *arg)
{
	sigset_t open;
	sigemptyset(&open);
	for (int i = 0; i < *(int *)arg; i++) {
		while (pings <= i)
			sigsuspend(&open);
		pthread_kill(ping_thread, SIGUSR2);
	}
	return NULL;
}

static void ping_pong(void)
{
	int rounds = 3000;
	sigset_t both, open;
	sigemptyset(&open);
	sigemptyset(&both);
	sigaddset(&both, SIGUSR1);
	sigaddset(&both, SIGUSR2);
	install(SIGUSR1, on_ping, 0, 1);
	install(SIGUSR2, on_ping, SA_RESTART, 1);
	pthread_sigmask(SIG_BLOCK, &both, NULL);
	ping_thread = pthread_self();
	EXPECT_EQ(0, pthread_create(&pong_thread, NULL, pong, &rounds));
	for (int i = 0; i < rounds; i++) {
		pthread_kill(pong_thread, SIGUSR1);
		while (pongs <= i)
			sigsuspend(&open);
	}
	pthread_join(pong_thread, NULL);
	pthread_sigmask(SIG_UNBLOCK, &both, NULL);
	CHECK_EQ("no signal is lost between the look and sigsuspend", rounds * 2, pings + pongs);
}

/* -- a signal for a thread that runs a handler ------------------------------------------- */

static void lingers(int sig, siginfo_t *info, void *uc)
{
	(void)info;
	(void)uc;
	if (flag_add(&hits[sig], 1) == 1) {
		flag_set(&phase, 2);
		while (!flag_get(&release))
			nap(1);
	}
}

static void *reads(void *arg)
{
	char byte;
	int *fds = arg;
	flag_set(&phase, 1);
	while (flag_get(&phase) < 2)
		;
	ssize_t n = read(fds[0], &byte, 1);
	CHECK("a signal that came during its own handler is handled after it", flag_get(&hits[SIGUSR1]) == 2);
	CHECK("and interrupts the next call or came before it", n == 1 || (n == -1 && errno == EINTR));
	return NULL;
}

static sigjmp_buf env;

static void jumps(int sig, siginfo_t *info, void *uc)
{
	(void)info;
	(void)uc;
	if (flag_add(&hits[sig], 1) == 1) {
		pthread_kill(pthread_self(), sig);
		EXPECT_EQ(1, flag_get(&hits[sig]));
	}
	siglongjmp(env, 1);
}

static void *jumper(void *arg)
{
	(void)arg;
	if (sigsetjmp(env, 1) == 0) {
		raise(SIGUSR2);
		EXPECT(0);
	}
	CHECK_EQ("a signal that came during a handler which jumped out is handled too", 2, flag_get(&hits[SIGUSR2]));
	return NULL;
}

static void during_handler(void)
{
	pthread_t t;
	int fds[2];
	EXPECT_EQ(0, pipe(fds));
	memset(hits, 0, sizeof hits);
	flag_set(&phase, 0);
	install(SIGUSR1, lingers, 0, 0);
	install(SIGUSR2, jumps, 0, 0);
	EXPECT_EQ(0, pthread_create(&t, NULL, reads, fds));
	flag_wait(&phase, 1);
	pthread_kill(t, SIGUSR1);
	flag_wait(&phase, 2);
	pthread_kill(t, SIGUSR1);
	flag_set(&release, 1);
	while (flag_get(&hits[SIGUSR1]) < 2)
		nap(1);
	EXPECT_EQ(1, write(fds[1], "x", 1));
	pthread_join(t, NULL);
	close(fds[0]);
	close(fds[1]);
	EXPECT_EQ(0, pthread_create(&t, NULL, jumper, NULL));
	pthread_join(t, NULL);
}

/* -- stopping the world -------------------------------------------------------------------- */

enum { MUTATORS = 6, STOPS = 60 };
static sem_t ack;
static int epoch, done; /* odd: stopped */
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static long counts[MUTATORS];

static void on_stop(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	(void)info;
	(void)uc;
	int saved = errno, mine = flag_get(&epoch);
	sigset_t only;
	sigfillset(&only);
	sigdelset(&only, SIGXCPU);
	sem_post(&ack);
	while (flag_get(&epoch) == mine)
		sigsuspend(&only);
	sem_post(&ack);
	errno = saved;
}

static void on_go(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	(void)info;
	(void)uc;
}

static void *mutator(void *arg)
{
	long *mine = arg;
	while (!flag_get(&done)) {
		pthread_mutex_lock(&m);
		__atomic_add_fetch(mine, 1, __ATOMIC_RELAXED);
		pthread_mutex_unlock(&m);
		if (*mine % 64 == 0)
			sched_yield();
		if (*mine % 1000 == 0)
			nap(1);
	}
	return NULL;
}

static void wait_acks(void)
{
	for (int i = 0; i < MUTATORS; i++)
		while (sem_wait(&ack) < 0)
			;
}

static void stop_the_world(void)
{
	pthread_t t[MUTATORS];
	int moved = 0;
	sem_init(&ack, 0, 0);
	install(SIGPWR, on_stop, SA_RESTART, 1);
	install(SIGXCPU, on_go, SA_RESTART, 1);
	for (int i = 0; i < MUTATORS; i++)
		EXPECT_EQ(0, pthread_create(&t[i], NULL, mutator, &counts[i]));
	for (int s = 0; s < STOPS; s++) {
		long before[MUTATORS];
		flag_add(&epoch, 1);
		for (int i = 0; i < MUTATORS; i++)
			EXPECT_EQ(0, pthread_kill(t[i], SIGPWR));
		wait_acks();
		for (int i = 0; i < MUTATORS; i++)
			before[i] = __atomic_load_n(&counts[i], __ATOMIC_RELAXED);
		if (s % 8 == 0)
			nap(1);
		for (int i = 0; i < MUTATORS; i++)
			moved += before[i] != __atomic_load_n(&counts[i], __ATOMIC_RELAXED);
		flag_add(&epoch, 1);
		for (int i = 0; i < MUTATORS; i++)
			EXPECT_EQ(0, pthread_kill(t[i], SIGXCPU));
		wait_acks();
	}
	flag_set(&done, 1);
	for (int i = 0; i < MUTATORS; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ("a stopped world stands still", 0, moved);
}

int main(void)
{
	waits();
	ping_pong();
	during_handler();
	stop_the_world();
	return check_done();
}
