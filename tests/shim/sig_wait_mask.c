/* sig_wait_mask.c - POSIX, sigsuspend, ppoll, pselect: the mask given is the thread's while it waits; a signal for the thread that
 * it lets through runs its handler and ends the wait, whether it came before or comes later. After it the old mask is back. */
/* CFLAGS: -Wno-deprecated-declarations */
#include "check.h"

#include <poll.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <ucontext.h>

static int hits, waits, sent, in_call, wrong_masks; /* atomic */
static pthread_t waiter;
static int ep;
static sigset_t none;
static const struct timespec forever = {20, 0};

/* SA_SIGINFO: the context has the mask that will be restored: the thread's own, not the call's. */
static void on_signal(int sig, siginfo_t *info, void *vuc)
{
	ucontext_t *uc = vuc;
	(void)info;
	if (in_call && !sigismember(&uc->uc_sigmask, sig))
		wrong_masks++;
	flag_add(&hits, 1);
}

static int do_sigsuspend(void)
{
	return sigsuspend(&none);
}

static int do_raw(void)
{
	return (int)syscall(SYS_rt_sigsuspend, &none, 8);
}

static int do_raw_ppoll(void)
{
	struct timespec t = forever;
	int r = (int)syscall(SYS_ppoll, NULL, 0, &t, &none, 8);
	int error = errno;
	EXPECT(t.tv_sec < 20 && t.tv_sec >= 0); /* the kernel writes what is left */
	errno = error;
	return r;
}

static int do_raw_pselect(void)
{
	struct timespec t = forever;
	struct {
		const sigset_t *set;
		size_t size;
	} pair = {&none, 8};
	return (int)syscall(SYS_pselect6, 0, NULL, NULL, NULL, &t, &pair);
}

static int do_raw_epoll(void)
{
	struct epoll_event ev;
	return (int)syscall(SYS_epoll_pwait, ep, &ev, 1, 20000, &none, 8);
}

static int do_raw_epoll2(void)
{
	struct epoll_event ev;
	return (int)syscall(SYS_epoll_pwait2, ep, &ev, 1, &forever, &none, 8);
}

static int do_ppoll(void)
{
	return ppoll(NULL, 0, &forever, &none);
}

static int do_pselect(void)
{
	return pselect(0, NULL, NULL, NULL, &forever, &none);
}

static int do_epoll(void)
{
	struct epoll_event ev;
	return epoll_pwait(ep, &ev, 1, 20000, &none);
}

static int do_sigpause(void)
{
	return sigpause(SIGUSR1);
}

static int blocked(void)
{
	sigset_t now;
	EXPECT_EQ(0, pthread_sigmask(SIG_SETMASK, NULL, &now));
	return sigismember(&now, SIGUSR1);
}

static void waits_with(const char *name, int (*call)(void))
{
	char clause[64];
	flag_set(&hits, 0);
	EXPECT_EQ(0, pthread_kill(pthread_self(), SIGUSR1));
	EXPECT_EQ(0, flag_get(&hits));
	in_call = 1;
	int r = call();
	snprintf(clause, sizeof clause, "%s: a signal that waits already", name);
	CHECK(clause, r == -1 && errno == EINTR && flag_get(&hits) == 1 && blocked());
	flag_set(&hits, 0);
	flag_add(&waits, 1);
	r = call();
	snprintf(clause, sizeof clause, "%s: a signal that comes later", name);
	CHECK(clause, r == -1 && errno == EINTR && flag_get(&hits) == 1 && blocked());
	in_call = 0;
	snprintf(clause, sizeof clause, "%s: uc_sigmask is what is restored", name);
	CHECK_EQ(clause, 0, wrong_masks);
	wrong_masks = 0;
}

static void *worker(void *arg)
{
	sigset_t set;
	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	waits_with("sigsuspend", do_sigsuspend);
	waits_with("syscall(SYS_rt_sigsuspend)", do_raw);
	waits_with("syscall(SYS_ppoll)", do_raw_ppoll);
	waits_with("syscall(SYS_pselect6)", do_raw_pselect);
	waits_with("syscall(SYS_epoll_pwait)", do_raw_epoll);
	waits_with("syscall(SYS_epoll_pwait2)", do_raw_epoll2);
	waits_with("ppoll", do_ppoll);
	waits_with("pselect", do_pselect);
	waits_with("epoll_pwait", do_epoll);
	waits_with("sigpause", do_sigpause);
	/* What does not get through waits on, for this thread. */
	struct timespec little = {0, 1000000};
	EXPECT_EQ(0, pthread_kill(pthread_self(), SIGUSR1));
	CHECK_EQ("ppoll under a mask that blocks it", 0, ppoll(NULL, 0, &little, &set));
	sleep_ms(2);
	CHECK_EQ("it is still pending", 1, flag_get(&hits));
	EXPECT_EQ(0, pthread_sigmask(SIG_UNBLOCK, &set, NULL));
	CHECK_EQ("and delivered when the mask opens", 2, flag_get(&hits));
	flag_set(&waits, 1000);
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	sigemptyset(&none);
	ep = epoll_create1(EPOLL_CLOEXEC);
	sigaction(SIGUSR1, &act, NULL);
	waiter = spawn(worker, NULL);
	for (;;) {
		while (flag_get(&waits) == sent)
			sleep_ms(1);
		if (flag_get(&waits) >= 1000)
			break;
		sleep_ms(20); /* it waits in the kernel by now, or is about to */
		sent++;
		EXPECT_EQ(0, pthread_kill(waiter, SIGUSR1));
	}
	join(waiter);
	return check_done();
}
