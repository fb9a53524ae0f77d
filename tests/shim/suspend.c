/* suspend.c - directed signals and the calls that wait with a signal mask of their own: sigsuspend, ppoll, pselect, epoll_pwait. */
#include "check.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

enum { SUSPEND, PPOLL, PSELECT, EPOLL, RAW, SIGPAUSE, CALLS };
static const char *const name[] = {"sigsuspend", "ppoll", "pselect", "epoll_pwait", "SYS_rt_sigsuspend", "sigpause"};

struct waiter {
	int call, late, ready;
	int r, error;
};

static int hits;
static pthread_t hit_by;
static int blocked_inside;
static int ignored_end;

static void on_usr1(int sig)
{
	sigset_t now;
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	blocked_inside = sigismember(&now, sig) && !sigismember(&now, SIGUSR2);
	hit_by = pthread_self();
	flag_add(&hits, 1);
}

static int wait_by(int call, int fd, const struct timespec *timeout)
{
	sigset_t none;
	sigemptyset(&none);
	struct pollfd pfd = {fd, POLLIN, 0};
	struct epoll_event ev = {.events = EPOLLIN};
	fd_set set;
	FD_ZERO(&set);
	FD_SET(fd, &set);
	int ep, r, e;
	switch (call) {
	case SUSPEND:
		return sigsuspend(&none);
	case PPOLL:
		return ppoll(&pfd, 1, timeout, &none);
	case PSELECT:
		return pselect(fd + 1, &set, NULL, NULL, timeout, &none);
	case EPOLL:
		EXPECT((ep = epoll_create1(0)) >= 0);
		EXPECT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
		r = epoll_pwait(ep, &ev, 1, (int)(timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000), &none);
		e = errno;
		close(ep);
		errno = e;
		return r;
	case RAW:
		return (int)syscall(SYS_rt_sigsuspend, &none, 8L);
	default:
		return sigpause(SIGUSR1);
	}
}

static int silent[2], speaking[2];

static void *waits(void *arg)
{
	struct waiter *w = arg;
	const struct timespec long_time = {20, 0};
	sigset_t set, after;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	flag_set(&w->ready, 1);
	if (w->late)
		flag_wait(&w->ready, 2);
	w->r = wait_by(w->call, silent[0], &long_time);
	w->error = errno;
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, NULL, &after));
	EXPECT(sigismember(&after, SIGUSR1) && sigismember(&after, SIGUSR2));
	return NULL;
}

static void ended_by_signal(int call, int late)
{
	struct waiter w = {.call = call, .late = late};
	char clause[96];
	flag_set(&hits, 0);
	pthread_t t = spawn(waits, &w);
	flag_wait(&w.ready, 1);
	if (!late)
		sleep_ms(20);
	EXPECT_EQ(0, pthread_kill(t, SIGUSR1));
	flag_set(&w.ready, 2);
	join(t);
	snprintf(clause, sizeof clause, "%s ends with EINTR, signal %s", name[call],
	         late ? "queued before" : "sent meanwhile");
	CHECK(clause, w.r == -1 && w.error == EINTR);
	CHECK_EQ("after its handler ran once", 1, flag_get(&hits));
	CHECK("on the thread, with the call's mask", hit_by == t && (call == SIGPAUSE || blocked_inside));
}

/* What is ready wins over a signal, which stays. */
static void *ready_first(void *arg)
{
	int call = *(int *)arg;
	const struct timespec long_time = {20, 0}, none = {0, 0};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	EXPECT_EQ(0, raise(SIGUSR1));
	EXPECT_EQ(1, wait_by(call, speaking[0], &long_time));
	EXPECT_EQ(0, flag_get(&hits));
	const struct timespec little = {0, 5000000};
	if (call == EPOLL) /* does not look for signals if it cannot sleep */
		EXPECT_EQ(0, wait_by(call, silent[0], &none));
	EXPECT_EQ(-1, wait_by(call, silent[0], call == EPOLL ? &little : &none));
	EXPECT_EQ(EINTR, errno);
	EXPECT_EQ(1, flag_get(&hits));
	EXPECT_EQ(0, wait_by(call, silent[0], &little));
	return NULL;
}

/* A signal that is ignored does not end the call; the time-out stays what it was. */
static void *not_ended(void *arg)
{
	int call = *(int *)arg;
	const struct timespec time = {0, 150000000};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	double start = now_s();
	EXPECT_EQ(0, wait_by(call, silent[0], &time));
	EXPECT(now_s() - start >= 0.149 && now_s() - start < 10);
	flag_set(&ignored_end, 1);
	return NULL;
}

/* Waiting in turns, by signals only: none may be lost. */
static pthread_t side[2];
static int turn, turn_open;

static void *turns(void *arg)
{
	int me = *(int *)arg;
	sigset_t set, none;
	sigemptyset(&set);
	sigemptyset(&none);
	sigaddset(&set, SIGUSR1);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	const struct timespec long_time = {20, 0};
	flag_wait(&turn_open, 1);
	for (int i = 0; i < 1000; i++) {
		while (flag_get(&turn) % 2 != me) {
			int r = i % 2 ? ppoll(NULL, 0, &long_time, &none) : sigsuspend(&none);
			EXPECT_EQ(-1, r);
		}
		flag_add(&turn, 1);
		EXPECT_EQ(0, pthread_kill(side[!me], SIGUSR1));
	}
	flag_add(&ignored_end, 1);
	while (flag_get(&ignored_end) < 2) /* a thread that ended takes no signal */
		sleep_ms(1);
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
	sigemptyset(&act.sa_mask);
	EXPECT_EQ(0, sigaction(SIGUSR1, &act, NULL));
	EXPECT_EQ(0, pipe(silent));
	EXPECT_EQ(0, pipe(speaking));
	EXPECT_EQ(1, write(speaking[1], "x", 1));
	for (int call = 0; call < CALLS; call++) {
		ended_by_signal(call, 0);
		ended_by_signal(call, 1);
	}
	for (int call = PPOLL; call <= EPOLL; call++) {
		flag_set(&hits, 0);
		join(spawn(ready_first, &call));
		flag_set(&ignored_end, 0);
		pthread_t t = spawn(not_ended, &call);
		while (!flag_get(&ignored_end)) {
			pthread_kill(t, SIGWINCH);
			sleep_ms(10);
		}
		join(t);
	}
	CHECK("descriptors that are ready win, ignored signals do not end a wait", !check_failures);

	int who[2] = {0, 1};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	flag_set(&ignored_end, 0);
	flag_set(&turn, 0);
	side[0] = spawn(turns, &who[0]);
	side[1] = spawn(turns, &who[1]);
	flag_set(&turn_open, 1);
	join(side[0]);
	join(side[1]);
	CHECK_EQ("none of 2000 signals in turns is lost", 2000, flag_get(&turn));
	return check_done();
}
