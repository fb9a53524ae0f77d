/* signals.c - delivery, masks, sigwait, alternate stacks, leaving a handler by siglongjmp. */
#include "check.h"

#include <setjmp.h>
#include <sys/time.h>

static int hits, phase, release, other_hits;
static pthread_t handled_by;

static void count(int sig)
{
	(void)sig;
	handled_by = pthread_self();
	flag_add(&hits, 1);
}

static void install(int sig, void (*fn)(int), int flags)
{
	struct sigaction sa;
	memset(&sa, 0, sizeof sa);
	sa.sa_handler = fn;
	sa.sa_flags = flags;
	EXPECT_EQ(0, sigaction(sig, &sa, NULL));
}

static void block(int how, int sig)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, sig);
	EXPECT_EQ(0, pthread_sigmask(how, &set, NULL));
}

static int is_blocked(int sig)
{
	sigset_t set;
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	return sigismember(&set, sig);
}

/* -- pthread_kill to a thread in each state -------------------------------------------- */

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int p[2];

static void *runs(void *arg)
{
	(void)arg;
	flag_set(&phase, 1);
	while (!flag_get(&release))
		;
	return NULL;
}

static void *parked_in_cond(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&m);
	flag_set(&phase, 1);
	while (!flag_get(&release))
		pthread_cond_wait(&c, &m);
	pthread_mutex_unlock(&m);
	return NULL;
}

static void *parked_in_mutex(void *arg)
{
	(void)arg;
	flag_set(&phase, 1);
	pthread_mutex_lock(&m);
	pthread_mutex_unlock(&m);
	return NULL;
}

static void *blocked_in_read(void *arg)
{
	char ch;
	(void)arg;
	flag_set(&phase, 1);
	while (read(p[0], &ch, 1) == -1 && errno == EINTR)
		;
	return NULL;
}

static void *blocked_in_sleep(void *arg)
{
	(void)arg;
	flag_set(&phase, 1);
	while (!flag_get(&release)) {
		struct timespec ts = {5, 0};
		nanosleep(&ts, NULL);
	}
	return NULL;
}

static void kill_one(const char *clause, void *(*fn)(void *), int hold_mutex)
{
	pthread_t t;
	char text[96];
	hits = phase = release = 0;
	if (hold_mutex)
		pthread_mutex_lock(&m);
	t = spawn(fn, NULL);
	flag_wait(&phase, 1);
	sleep_ms(20);
	EXPECT_EQ(0, pthread_kill(t, SIGUSR1));
	snprintf(text, sizeof text, "pthread_kill of a thread %s: the handler runs", clause);
	CHECK(text, flag_wait_bounded(&hits, 1));
	snprintf(text, sizeof text, "pthread_kill of a thread %s: on that thread", clause);
	CHECK(text, pthread_equal(handled_by, t));
	EXPECT_EQ(EBUSY, pthread_tryjoin_np(t, NULL));
	flag_set(&release, 1);
	if (hold_mutex)
		pthread_mutex_unlock(&m);
	pthread_mutex_lock(&m);
	pthread_cond_broadcast(&c);
	pthread_mutex_unlock(&m);
	if (fn == blocked_in_read)
		EXPECT_EQ(1, write(p[1], "x", 1));
	if (fn == blocked_in_sleep)
		pthread_kill(t, SIGUSR1);
	join(t);
}

static void *raises(void *arg)
{
	(void)arg;
	hits = 0;
	raise(SIGUSR1);
	/* delivered before raise returns */
	return (void *)(long)(flag_get(&hits) == 1 && pthread_equal(handled_by, pthread_self()));
}

/* -- masks ------------------------------------------------------------------------------ */

static void *looks_at_mask(void *arg)
{
	(void)arg;
	long inherited = is_blocked(SIGUSR2) && !is_blocked(SIGUSR1);
	block(SIG_UNBLOCK, SIGUSR2);
	block(SIG_BLOCK, SIGUSR1);
	for (int i = 0; i < 100; i++) {
		sched_yield();
		inherited &= !is_blocked(SIGUSR2) && is_blocked(SIGUSR1);
	}
	return (void *)inherited;
}

static void *keeps_mask(void *arg)
{
	int odd = (int)(long)arg & 1;
	long ok = 1;
	block(odd ? SIG_BLOCK : SIG_UNBLOCK, SIGUSR1);
	for (int i = 0; i < 100; i++) {
		sched_yield();
		if (i % 25 == 0)
			sleep_ms(1);
		ok &= is_blocked(SIGUSR1) == odd;
	}
	return (void *)ok;
}

static void *pends(void *arg)
{
	sigset_t set;
	long r;
	(void)arg;
	block(SIG_BLOCK, SIGUSR1);
	flag_set(&phase, 1);
	flag_wait(&phase, 2);
	sigpending(&set);
	r = sigismember(&set, SIGUSR1) && flag_get(&hits) == 0;
	block(SIG_UNBLOCK, SIGUSR1);
	return (void *)(long)(r && flag_get(&hits) == 1);
}

static void *does_not_pend(void *arg)
{
	sigset_t set;
	(void)arg;
	flag_wait(&phase, 2);
	sigpending(&set);
	return (void *)(long)!sigismember(&set, SIGUSR1);
}

/* -- process-directed ------------------------------------------------------------------- */

static void *takes_process_signals(void *arg)
{
	(void)arg;
	block(SIG_UNBLOCK, SIGUSR1);
	flag_set(&phase, 1);
	while (!flag_get(&release))
		sleep_ms(2);
	return NULL;
}

static void *parks_unblocked(void *arg)
{
	(void)arg;
	block(SIG_UNBLOCK, SIGALRM);
	flag_add(&phase, 1);
	pthread_mutex_lock(&m);
	while (!release)
		pthread_cond_wait(&c, &m);
	pthread_mutex_unlock(&m);
	return NULL;
}

static void wakes_all(int sig)
{
	/* a handler may not lock; it says so by a flag that main reads */
	(void)sig;
	flag_add(&hits, 1);
}

static void *waits_for_hits(void *arg)
{
	struct timespec ts;
	(void)arg;
	for (int i = 0; i < 500 && flag_get(&hits) < 5; i++) {
		ts = in_ms(CLOCK_REALTIME, 20);
		pthread_mutex_lock(&m);
		pthread_cond_timedwait(&c, &m, &ts);
		pthread_mutex_unlock(&m);
	}
	return NULL;
}

static void *waits_for_signals(void *arg)
{
	sigset_t *set = (sigset_t *)arg;
	long got = 0;
	for (;;) {
		int sig = 0;
		EXPECT_EQ(0, sigwait(set, &sig));
		if (sig == SIGTERM)
			return (void *)got;
		if (sig == SIGHUP)
			flag_add(&other_hits, 1), got++;
	}
}

static siginfo_t last_info;

static void with_info(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	last_info = *si;
	EXPECT(uc != NULL);
	flag_add(&hits, 1);
}

/* -- siglongjmp, sigaltstack ------------------------------------------------------------ */

static __thread sigjmp_buf env;

static void jumps(int sig)
{
	siglongjmp(env, sig);
}

static void *jumped(void *arg)
{
	volatile long n = 0;
	(void)arg;
	for (volatile int i = 0; i < 50; i++) {
		int sig = sigsetjmp(env, 1);
		if (sig == 0) {
			if (i % 2) {
				raise(SIGUSR2);
			} else {
				volatile int *null = NULL;
				*null = 1;
			}
			return (void *)-1L;
		}
		n = n + (sig == (i % 2 ? SIGUSR2 : SIGSEGV) && !is_blocked(sig));
		sched_yield();
	}
	return (void *)n;
}

static __thread char *alt_low;
static __thread volatile int on_alt; /* raise is declared a leaf: it seems to change nothing here */

static void looks_at_stack(int sig)
{
	char here;
	stack_t ss;
	(void)sig;
	sigaltstack(NULL, &ss);
	on_alt = &here >= alt_low && &here < alt_low + 65536 && (ss.ss_flags & SS_ONSTACK) != 0 && ss.ss_sp == alt_low;
	/* a switch while on the alternate stack must not mix the threads' stacks */
	sched_yield();
	sched_yield();
	on_alt = on_alt && &here >= alt_low;
}

static void *has_altstack(void *arg)
{
	stack_t ss, old;
	long ok;
	(void)arg;
	EXPECT_EQ(0, sigaltstack(NULL, &old));
	ok = old.ss_flags == SS_DISABLE;
	memset(&ss, 0, sizeof ss);
	alt_low = (char *)malloc(65536);
	ss.ss_sp = alt_low;
	ss.ss_size = 65536;
	EXPECT_EQ(0, sigaltstack(&ss, NULL));
	for (int i = 0; i < 20; i++) {
		sched_yield();
		on_alt = 0;
		raise(SIGURG);
		ok &= on_alt;
		sigaltstack(NULL, &old);
		ok &= old.ss_sp == alt_low && old.ss_flags == 0;
	}
	ss.ss_flags = SS_DISABLE;
	EXPECT_EQ(0, sigaltstack(&ss, NULL));
	free(alt_low);
	return (void *)ok;
}

static void *no_altstack(void *arg)
{
	stack_t old;
	(void)arg;
	EXPECT_EQ(0, sigaltstack(NULL, &old));
	return (void *)(long)(old.ss_flags == SS_DISABLE);
}

static void on_child(int sig)
{
	(void)sig;
	flag_add(&hits, 1);
}

int main(void)
{
	pthread_t ts[16], t;
	sigset_t set, old;
	struct sigaction sa;
	struct itimerval it = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
	long bad = 0;

	EXPECT_EQ(0, pipe(p));
	install(SIGUSR1, count, 0);
	printf("-- pthread_kill\n");
	kill_one("that runs", runs, 0);
	kill_one("parked in pthread_cond_wait", parked_in_cond, 0);
	kill_one("parked in pthread_mutex_lock", parked_in_mutex, 1);
	kill_one("blocked in read", blocked_in_read, 0);
	kill_one("blocked in nanosleep", blocked_in_sleep, 0);
	CHECK_EQ("raise is delivered to the thread itself before it returns", 1, (long)join(spawn(raises, NULL)));
	hits = 0;
	EXPECT_EQ(0, pthread_kill(pthread_self(), SIGUSR1));
	CHECK_EQ("pthread_kill of oneself too", 1, flag_get(&hits));

	printf("-- masks\n");
	block(SIG_BLOCK, SIGUSR2);
	CHECK_EQ("a thread inherits the mask, and its changes are its own", 1, (long)join(spawn(looks_at_mask, NULL)));
	CHECK("main's mask is unchanged", is_blocked(SIGUSR2) && !is_blocked(SIGUSR1));
	block(SIG_UNBLOCK, SIGUSR2);
	for (long i = 0; i < 16; i++)
		ts[i] = spawn(keeps_mask, (void *)i);
	for (int i = 0; i < 16; i++)
		bad |= (long)join(ts[i]) != 1;
	CHECK_EQ("16 threads with two masks keep them over yields and sleeps", 0, bad);
	CHECK_EQ("EINVAL: pthread_sigmask", EINVAL, pthread_sigmask(99, &set, &old));
	hits = phase = 0;
	t = spawn(pends, NULL);
	ts[0] = spawn(does_not_pend, NULL);
	flag_wait(&phase, 1);
	EXPECT_EQ(0, pthread_kill(t, SIGUSR1));
	flag_set(&phase, 2);
	CHECK_EQ("a blocked signal pends and is delivered at the unblocking", 1, (long)join(t));
	CHECK_EQ("and is not pending for another thread", 1, (long)join(ts[0]));

	printf("-- to the process\n");
	block(SIG_BLOCK, SIGUSR1);
	hits = phase = release = 0;
	t = spawn(takes_process_signals, NULL);
	flag_wait(&phase, 1);
	EXPECT_EQ(0, kill(getpid(), SIGUSR1));
	CHECK("the one thread that does not block it gets it", flag_wait_bounded(&hits, 1));
	CHECK("on that thread", pthread_equal(handled_by, t));
	flag_set(&release, 1);
	join(t);
	hits = 0;
	EXPECT_EQ(0, kill(getpid(), SIGUSR1));
	sleep_ms(20);
	CHECK_EQ("blocked by all it waits", 0, flag_get(&hits));
	block(SIG_UNBLOCK, SIGUSR1);
	CHECK_EQ("until one unblocks it", 1, flag_get(&hits));

	/* SIGALRM while every thread is parked, main included */
	install(SIGALRM, wakes_all, SA_RESTART);
	block(SIG_BLOCK, SIGALRM);
	hits = phase = release = 0;
	for (int i = 0; i < 4; i++)
		ts[i] = spawn(parks_unblocked, NULL);
	flag_wait(&phase, 4);
	EXPECT_EQ(0, setitimer(ITIMER_REAL, &it, NULL));
	/* main waits for a thread that waits: nobody runs, only the handler can count */
	t = spawn(waits_for_hits, NULL);
	join(t);
	CHECK("setitimer: the handler runs while all threads are parked", flag_get(&hits) >= 5);
	EXPECT_EQ(0, setitimer(ITIMER_REAL, &off, NULL));
	pthread_mutex_lock(&m);
	release = 1;
	pthread_cond_broadcast(&c);
	pthread_mutex_unlock(&m);
	for (int i = 0; i < 4; i++)
		join(ts[i]);

	/* the pattern of servers: blocked everywhere, one thread in sigwait */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	t = spawn(waits_for_signals, &set);
	other_hits = 0;
	for (int i = 1; i <= 10; i++) {
		EXPECT_EQ(0, kill(getpid(), SIGHUP));
		EXPECT(flag_wait_bounded(&other_hits, i));
	}
	EXPECT_EQ(0, kill(getpid(), SIGTERM));
	CHECK_EQ("a sigwait thread takes ten SIGHUPs and SIGTERM", 10, (long)join(t));

	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = with_info;
	sa.sa_flags = SA_SIGINFO;
	EXPECT_EQ(0, sigaction(SIGRTMIN, &sa, NULL));
	hits = 0;
	EXPECT_EQ(0, sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 77}));
	CHECK("sigqueue to the process runs the handler", flag_wait_bounded(&hits, 1));
	CHECK("with its value and its origin",
	      last_info.si_value.sival_int == 77 && last_info.si_code == SI_QUEUE && last_info.si_pid == getpid());
	hits = 0;
	EXPECT_EQ(0, pthread_sigqueue(pthread_self(), SIGRTMIN, (union sigval){.sival_int = 78}));
	CHECK("pthread_sigqueue carries its value", flag_get(&hits) == 1 && last_info.si_value.sival_int == 78);

	printf("-- siglongjmp and alternate stacks\n");
	install(SIGSEGV, jumps, 0);
	install(SIGUSR2, jumps, 0);
	for (int i = 0; i < 8; i++)
		ts[i] = spawn(jumped, NULL);
	for (int i = 0; i < 8; i++)
		bad |= (long)join(ts[i]) != 50;
	CHECK_EQ("siglongjmp out of handlers restores the mask, in 8 threads", 0, bad);
	install(SIGSEGV, SIG_DFL, 0);
	install(SIGURG, looks_at_stack, SA_ONSTACK);
	for (int i = 0; i < 8; i++)
		ts[i] = spawn(has_altstack, NULL);
	for (int i = 0; i < 8; i++)
		bad |= (long)join(ts[i]) != 1;
	CHECK_EQ("sigaltstack is each thread's own", 0, bad);
	CHECK_EQ("a new thread has none", 1, (long)join(spawn(no_altstack, NULL)));

	printf("-- SIGCHLD\n");
	install(SIGCHLD, on_child, 0);
	hits = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(3);
	CHECK("SIGCHLD runs its handler", flag_wait_bounded(&hits, 1));
	CHECK("and the child's status is there", exited_with(reap(pid), 3));
	install(SIGCHLD, SIG_DFL, 0);
	struct sigaction now;
	EXPECT_EQ(0, sigaction(SIGUSR1, NULL, &now));
	CHECK("sigaction gives back the handler that was set", now.sa_handler == count);
	errno = 0;
	CHECK("EINVAL: sigaction of SIGKILL", sigaction(SIGKILL, &now, NULL) == -1 && errno == EINVAL);
	errno = 0;
	CHECK("EINVAL: sigaction of glibc's own signal", sigaction(33, &now, NULL) == -1 && errno == EINVAL);
	CHECK("signal returns the former handler",
	      signal(SIGUSR1, SIG_IGN) == count && signal(SIGUSR1, SIG_DFL) == SIG_IGN);
	return check_done();
}
