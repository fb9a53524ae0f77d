/* thread_ids.c - what a program does with the id of a thread by the kernel's numbers: tgkill, tkill, rt_tgsigqueueinfo, the robust list,
 * the word that is cleared at a thread's end; masks and pending signals by number; forks by number and clone. */
#include "check.h"

#include <linux/futex.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int hits, code, value_seen, ready;
static pthread_t hit_by;
static pid_t tid;
static sem_t fired;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	hit_by = pthread_self();
	code = info->si_code == SI_TIMER || info->si_pid == getpid() ? info->si_code : 99;
	value_seen = info->si_value.sival_int;
	flag_add(&hits, 1);
	sem_post(&fired);
}

static void *spins(void *arg)
{
	(void)arg;
	tid = gettid();
	flag_set(&ready, 1);
	while (!flag_get(&hits))
		;
	return NULL;
}

static void *parks(void *arg)
{
	struct timespec until = in_ms(CLOCK_REALTIME, 10000);
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t c = PTHREAD_COND_INITIALIZER;
	(void)arg;
	pthread_mutex_lock(&m);
	tid = gettid();
	flag_set(&ready, 1);
	while (!flag_get(&hits)) {
		until = in_ms(CLOCK_REALTIME, 5);
		pthread_cond_timedwait(&c, &m, &until);
	}
	return NULL;
}

enum { TGKILL, SYS_TGKILL, SYS_TKILL, SYS_QUEUE, WAYS };

static long send_by(int way, pid_t to, int sig)
{
	siginfo_t info;
	switch (way) {
	case TGKILL:
		return tgkill(getpid(), to, sig);
	case SYS_TGKILL:
		return syscall(SYS_tgkill, getpid(), to, sig);
	case SYS_TKILL:
		return syscall(SYS_tkill, to, sig);
	default:
		memset(&info, 0, sizeof info);
		info.si_signo = sig;
		info.si_code = SI_QUEUE;
		info.si_pid = getpid();
		info.si_value.sival_int = 42;
		return syscall(SYS_rt_tgsigqueueinfo, getpid(), to, sig, &info);
	}
}

static void signals(void *(*fn)(void *), const char *what)
{
	static const char *const name[] = {"tgkill", "SYS_tgkill", "SYS_tkill", "SYS_rt_tgsigqueueinfo"};
	char clause[96];
	for (int way = 0; way < WAYS; way++) {
		flag_set(&hits, 0);
		flag_set(&ready, 0);
		pthread_t t = spawn(fn, NULL);
		flag_wait(&ready, 1);
		EXPECT_EQ(0, send_by(way, tid, 0));
		snprintf(clause, sizeof clause, "%s to a thread that %s", name[way], what);
		CHECK_EQ(clause, 0, send_by(way, tid, SIGUSR1));
		join(t);
		CHECK("is handled by that thread", hit_by == t);
		CHECK_EQ("with the code", way == SYS_QUEUE ? SI_QUEUE : SI_TKILL, code);
		if (way == SYS_QUEUE)
			CHECK_EQ("and the value", 42, value_seen);
		while (send_by(way, tid, 0) == 0) /* the kernel's thread may live a moment longer */
			sleep_ms(1);
		CHECK_EQ("a thread that was joined is nobody", ESRCH, errno);
		flag_set(&hits, 0);
		EXPECT_EQ(0, send_by(way, gettid(), SIGUSR1));
		CHECK("to oneself: handled before it returns", flag_get(&hits) == 1 && hit_by == pthread_self());
		CHECK("EINVAL: no such signal", send_by(way, gettid(), 65) == -1 && errno == EINVAL);
	}
}

static void masks(void)
{
	uint64_t usr1 = 1ull << (SIGUSR1 - 1), old = 0, now = 0, pending = 0;
	struct timespec second = {1, 0}, zero = {0, 0};
	siginfo_t info;
	sigset_t set;
	CHECK_EQ("SYS_rt_sigprocmask", 0, syscall(SYS_rt_sigprocmask, SIG_BLOCK, &usr1, &old, 8L));
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, NULL, &set));
	CHECK("blocks for pthread_sigmask too", sigismember(&set, SIGUSR1) == 1);
	flag_set(&hits, 0);
	EXPECT_EQ(0, raise(SIGUSR1));
	CHECK_EQ("what it blocks stays", 0, flag_get(&hits));
	EXPECT_EQ(0, syscall(SYS_rt_sigpending, &pending, 8L));
	CHECK("and SYS_rt_sigpending says so", pending == usr1);
	CHECK_EQ("SYS_rt_sigtimedwait takes it", SIGUSR1, syscall(SYS_rt_sigtimedwait, &usr1, &info, &second, 8L));
	CHECK("and then there is none", syscall(SYS_rt_sigtimedwait, &usr1, &info, &zero, 8L) == -1 && errno == EAGAIN);
	EXPECT_EQ(0, raise(SIGUSR1));
	EXPECT_EQ(0, pthread_sigmask(SIG_UNBLOCK, &set, NULL));
	CHECK_EQ("opened by the library, it comes", 1, flag_get(&hits));
	EXPECT_EQ(0, syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, &now, 8L));
	CHECK("EINVAL: a set of another size",
	      syscall(SYS_rt_sigprocmask, SIG_BLOCK, &usr1, NULL, 4L) == -1 && errno == EINVAL);
}

/* ---- at a thread's end ---- */

struct lock {
	struct robust_list link;
	uint32_t word;
};
static struct robust_list_head head;
static struct lock locks[3];
static uint32_t cleared;

static void *dies_with_locks(void *arg)
{
	struct robust_list_head *was = NULL;
	size_t size = 0;
	(void)arg;
	EXPECT_EQ(0, syscall(SYS_get_robust_list, 0, &was, &size));
	EXPECT(was != NULL && size == sizeof *was && was->list.next == &was->list);
	EXPECT_EQ(0, syscall(SYS_set_robust_list, was, size));
	EXPECT(syscall(SYS_set_robust_list, was, size - 1) == -1 && errno == EINVAL);
	head.list.next = &locks[0].link;
	head.futex_offset = offsetof(struct lock, word) - offsetof(struct lock, link);
	head.list_op_pending = &locks[2].link;
	locks[0].link.next = &locks[1].link;
	locks[1].link.next = &head.list;
	locks[0].word = locks[2].word = (uint32_t)gettid();
	locks[1].word = (uint32_t)gettid() + 1;
	EXPECT_EQ(0, syscall(SYS_set_robust_list, &head, sizeof head));
	EXPECT_EQ(0, syscall(SYS_get_robust_list, gettid(), &was, &size));
	EXPECT(was == &head);
	return NULL;
}

static void *clears(void *arg)
{
	unsigned long *word = NULL;
	(void)arg;
	EXPECT_EQ(gettid(), syscall(SYS_set_tid_address, &cleared));
	if (prctl(PR_GET_TID_ADDRESS, &word) == 0)
		EXPECT((uint32_t *)word == &cleared);
	return NULL;
}

static void *keeps(void *arg)
{
	unsigned long *word = NULL;
	(void)arg;
	if (prctl(PR_GET_TID_ADDRESS, &word) == 0) {
		EXPECT(word != NULL);
		EXPECT_EQ(gettid(), syscall(SYS_set_tid_address, NULL));
		EXPECT_EQ(gettid(), syscall(SYS_set_tid_address, word));
	}
	return NULL;
}

static void ends(void)
{
	join(spawn(dies_with_locks, NULL));
	CHECK_EQ("a robust futex of a thread that ended", FUTEX_OWNER_DIED, locks[0].word);
	CHECK("another's is left alone", !(locks[1].word & FUTEX_OWNER_DIED));
	CHECK_EQ("one that was being locked", FUTEX_OWNER_DIED, locks[2].word);
	for (int i = 0; i < 20; i++)
		join(spawn(keeps, NULL));
	cleared = 1;
	pthread_t t;
	pthread_attr_t attr;
	EXPECT_EQ(0, pthread_attr_init(&attr));
	EXPECT_EQ(0, pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	EXPECT_EQ(0, pthread_create(&t, &attr, clears, NULL));
	while (__atomic_load_n(&cleared, __ATOMIC_SEQ_CST) == 1)
		syscall(SYS_futex, &cleared, FUTEX_WAIT, 1, NULL, NULL, 0);
	CHECK_EQ("the word of set_tid_address is cleared and woken", 0, cleared);
}

/* ---- timers for a thread ---- */

static void start_timer(int by_number, clockid_t clock)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 7};
	struct itimerspec in = {{0, 0}, {0, 10000000}};
	ev._sigev_un._tid = gettid();
	if (by_number) {
		int timer;
		EXPECT_EQ(0, syscall(SYS_timer_create, clock, &ev, &timer));
		EXPECT_EQ(0, syscall(SYS_timer_settime, timer, 0, &in, NULL));
		flag_wait(&hits, 1);
		EXPECT_EQ(0, syscall(SYS_timer_delete, timer));
	} else {
		timer_t timer;
		EXPECT_EQ(0, timer_create(clock, &ev, &timer));
		EXPECT_EQ(0, timer_settime(timer, 0, &in, NULL));
		if (clock == CLOCK_MONOTONIC) /* the thread is parked: its handler ends the wait */
			EXPECT_EQ(0, sem_wait(&fired));
		while (!flag_get(&hits))
			;
		EXPECT_EQ(0, timer_delete(timer));
	}
	while (sem_trywait(&fired) == 0)
		;
	EXPECT(hit_by == pthread_self() && code == SI_TIMER && value_seen == 7);
	flag_set(&hits, 0);
}

static void *timed(void *arg)
{
	for (int i = 0; i < 3; i++) {
		start_timer(0, CLOCK_MONOTONIC);
		start_timer(1, CLOCK_MONOTONIC);
		start_timer(0, CLOCK_THREAD_CPUTIME_ID);
	}
	return arg;
}

static void timers(void)
{
	timer_t timer;
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
	flag_set(&hits, 0);
	while (sem_trywait(&fired) == 0)
		;
	join(spawn(timed, NULL));
	timed(NULL);
	CHECK("timers with SIGEV_THREAD_ID signal their thread", !check_failures);
	ev._sigev_un._tid = 1 << 22;
	CHECK("EINVAL: no such thread", timer_create(CLOCK_MONOTONIC, &ev, &timer) == -1 && errno == EINVAL);
}

/* ---- processes ---- */

static void *returns(void *arg)
{
	return arg;
}

static int child(void *arg)
{
	(void)arg;
	int ok = getpid() == gettid() && join(spawn(returns, &hits)) == &hits;
	_exit(ok ? 3 : 4);
}

static int borrows(void *arg)
{
	*(int *)arg = 5;
	write(-1, "", 1);
	usleep(2000);
	_exit(6);
}

static void processes(void)
{
	static char stack[1 << 17] __attribute__((aligned(16)));
	int seen = 0;
	pid_t pid = (pid_t)syscall(SYS_fork);
	if (pid == 0)
		child(NULL);
	CHECK("the child of SYS_fork makes threads", exited_with(reap(pid), 3));
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		child(NULL);
	CHECK("the child of SYS_clone", exited_with(reap(pid), 3));
	pid = clone(child, stack + sizeof stack, SIGCHLD, NULL);
	CHECK("the child of clone", exited_with(reap(pid), 3));
	pid = clone(borrows, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &seen);
	CHECK_EQ("clone with CLONE_VFORK waits", 5, seen);
	CHECK("for its child", exited_with(reap(pid), 6));
}

static int stop;

static void *busy(void *arg)
{
	while (!flag_get(&stop))
		sched_yield();
	return arg;
}

int main(void)
{
	EXPECT_EQ(0, sem_init(&fired, 0, 0));
	struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigemptyset(&act.sa_mask);
	EXPECT_EQ(0, sigaction(SIGUSR1, &act, NULL));
	pthread_t others[2] = {spawn(busy, NULL), spawn(busy, NULL)};
	signals(spins, "computes");
	signals(parks, "waits");
	masks();
	ends();
	timers();
	processes();
	flag_set(&stop, 1);
	join(others[0]);
	join(others[1]);
	return check_done();
}
