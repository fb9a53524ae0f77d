/* sig_old.c - masks and dispositions under the old names of <signal.h> (XSI and BSD), contexts that carry a mask, and the same
 * by the numbers of syscall(). Each thread has a mask of its own however it sets it. */
/* CFLAGS: -Wno-deprecated-declarations */
#include "check.h"

#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>

static int hits, hit_sig; /* atomic */
static ucontext_t main_uc, co_uc;
static char co_stack[1 << 16];
static int co_state;

static void on_signal(int sig)
{
	flag_set(&hit_sig, sig);
	flag_add(&hits, 1);
}

static int blocked(int sig)
{
	sigset_t now;
	EXPECT_EQ(0, pthread_sigmask(SIG_SETMASK, NULL, &now));
	return sigismember(&now, sig);
}

static void *parks(void *arg)
{
	(void)arg;
	sleep_ms(5); /* another task runs here meanwhile, with its own mask */
	return (void *)(intptr_t)(blocked(SIGUSR1) + 2 * blocked(SIGUSR2));
}

/* A task that has parked and come back still has the mask; one that it made has it too. */
static int kept(int sig)
{
	sleep_ms(2);
	return blocked(sig) && ((intptr_t)join(spawn(parks, NULL)) & (sig == SIGUSR1 ? 1 : 2)) != 0;
}

static void coroutine(void)
{
	co_state = blocked(SIGUSR2);
	swapcontext(&co_uc, &main_uc);
	co_state = 2 + blocked(SIGUSR2);
	setcontext(&main_uc);
}

static void *worker(void *arg)
{
	(void)arg;
	CHECK_EQ("sighold blocks", 0, sighold(SIGUSR1));
	CHECK("sighold: in force after a park, and inherited", kept(SIGUSR1));
	EXPECT_EQ(0, pthread_kill(pthread_self(), SIGUSR1));
	CHECK_EQ("a held signal waits", 0, flag_get(&hits));
	CHECK_EQ("sigrelse lets it through", 0, sigrelse(SIGUSR1));
	CHECK_EQ("at once", 1, flag_get(&hits));
	CHECK("sighold of no signal: EINVAL", sighold(1000) == -1 && errno == EINVAL);

	CHECK("sigset gives the old disposition", sigset(SIGUSR2, on_signal) == SIG_DFL);
	EXPECT_EQ(0, gsignal(SIGUSR2));
	CHECK_EQ("gsignal: the handler of sigset ran", SIGUSR2, flag_get(&hit_sig));
	CHECK("sigset with SIG_HOLD", sigset(SIGUSR2, SIG_HOLD) == on_signal && kept(SIGUSR2));
	CHECK("sigset says that the signal was held, and releases it",
	      sigset(SIGUSR2, on_signal) == SIG_HOLD && !blocked(SIGUSR2));

	unsigned bit = 1u << (SIGUSR1 - 1);
	CHECK_EQ("sigblock gives the old mask", 0, sigblock((int)bit));
	CHECK_EQ("siggetmask", bit, (unsigned)siggetmask());
	CHECK("sigblock: in force", kept(SIGUSR1));
	CHECK_EQ("sigsetmask", bit, (unsigned)sigsetmask(0));
	CHECK("sigsetmask: in force", !blocked(SIGUSR1));

	EXPECT_EQ(0, getcontext(&co_uc));
	sigaddset(&co_uc.uc_sigmask, SIGUSR2);
	co_uc.uc_stack.ss_sp = co_stack;
	co_uc.uc_stack.ss_size = sizeof co_stack;
	co_uc.uc_link = NULL;
	makecontext(&co_uc, coroutine, 0);
	EXPECT_EQ(0, swapcontext(&main_uc, &co_uc));
	CHECK("swapcontext: each context has its mask", co_state == 1 && !blocked(SIGUSR2));
	sleep_ms(2);
	EXPECT_EQ(0, swapcontext(&main_uc, &co_uc));
	CHECK("and back again by setcontext", co_state == 3 && !blocked(SIGUSR2));

	uint64_t mask = 1ull << (SIGUSR2 - 1), old = 1, now;
	EXPECT_EQ(0, syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, &old, 8));
	CHECK("syscall(SYS_rt_sigprocmask)", kept(SIGUSR2) && old == 0);
	EXPECT_EQ(0, raise(SIGUSR2));
	EXPECT_EQ(0, syscall(SYS_rt_sigpending, &now, 8));
	CHECK("syscall(SYS_rt_sigpending)", now & mask);
	siginfo_t info;
	struct timespec zero = {0, 0};
	CHECK_EQ("syscall(SYS_rt_sigtimedwait)", SIGUSR2, syscall(SYS_rt_sigtimedwait, &mask, &info, &zero, 8));
	EXPECT_EQ(0, syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8));
	CHECK("the mask is empty again", !blocked(SIGUSR2));
	return NULL;
}

static void *empty_pending(void *arg)
{
	sigset_t set;
	EXPECT_EQ(0, sigpending(&set));
	*(int *)arg = sigismember(&set, SIGUSR1);
	return NULL;
}

int main(void)
{
	sigset_t set;
	int theirs = -1;

	/* Before there are threads: what waits for main alone stays main's. */
	signal(SIGUSR1, on_signal);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	EXPECT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	EXPECT_EQ(0, raise(SIGUSR1));
	join(spawn(empty_pending, &theirs));
	CHECK_EQ("pthread_create: the pending set of the new thread is empty", 0, theirs);
	EXPECT_EQ(0, sigpending(&set));
	CHECK("main's is not", sigismember(&set, SIGUSR1));
	sigemptyset(&set);
	EXPECT_EQ(0, sigprocmask(SIG_SETMASK, &set, NULL));
	CHECK_EQ("it is delivered to main", 1, flag_get(&hits));
	flag_set(&hits, 0);
	join(spawn(worker, NULL));
	return check_done();
}
