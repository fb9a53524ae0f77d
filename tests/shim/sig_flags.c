/* sig_flags.c - POSIX sigaction, sigqueue, sigpending, sigaltstack: flags, order and origin of signals, for one thread and for the process. */
#include "check.h"

#include <sys/wait.h>
#include <ucontext.h>

enum { MANY = 16 };
static int seen[MANY], values[MANY], codes[MANY], fds[2], phase;
static volatile int n, depth, deepest, calls;
static stack_t in_handler, in_context;
static char alt[65536], other[65536];

static void record(int sig, siginfo_t *info, void *uc)
{
	(void)uc;
	if (n < MANY) {
		seen[n] = sig;
		values[n] = info->si_value.sival_int;
		codes[n] = info->si_pid == getpid() && info->si_uid == getuid() ? info->si_code : -1000;
	}
	n++;
}

static void nests(int sig, siginfo_t *info, void *uc)
{
	(void)info;
	(void)uc;
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (++calls < 3)
		pthread_kill(pthread_self(), sig);
	depth--;
}

static void stacks(int sig, siginfo_t *info, void *vuc)
{
	stack_t new = {.ss_sp = other, .ss_size = sizeof other};
	(void)info;
	in_context = ((ucontext_t *)vuc)->uc_stack;
	sigaltstack(NULL, &in_handler);
	if (sig == SIGUSR2)
		EXPECT_EQ(0, sigaltstack(&new, NULL));
}

static void install(int sig, void (*fn)(int, siginfo_t *, void *), int flags, const sigset_t *mask)
{
	struct sigaction sa = {.sa_sigaction = fn, .sa_flags = flags | SA_SIGINFO};
	if (mask)
		sa.sa_mask = *mask;
	EXPECT_EQ(0, sigaction(sig, &sa, NULL));
}

static void order(int directed)
{
	union sigval v = {.sival_int = 1};
	sigset_t set, old, pending;
	int want[] = {SIGUSR1, SIGRTMIN + 1, SIGRTMIN + 3, SIGRTMIN + 3, SIGRTMIN + 3}, same = 0, queued = 0;
	sigemptyset(&set);
	for (int i = 0; i < 5; i++)
		sigaddset(&set, want[i]);
	for (int i = 0; i < 5; i++) /* all blocked: so they run one after the other, in the order of their delivery */
		install(want[i], record, 0, &set);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	for (int i = 0; i < 3; i++, v.sival_int++)
		EXPECT_EQ(0,
		          directed ? pthread_sigqueue(pthread_self(), SIGRTMIN + 3, v) : sigqueue(getpid(), SIGRTMIN + 3, v));
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(0, directed ? pthread_kill(pthread_self(), SIGUSR1) : kill(getpid(), SIGUSR1));
	EXPECT_EQ(0, directed ? pthread_sigqueue(pthread_self(), SIGRTMIN + 1, v) : sigqueue(getpid(), SIGRTMIN + 1, v));
	sigpending(&pending);
	CHECK("sigpending: all of them",
	      sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGRTMIN + 1) && sigismember(&pending, SIGRTMIN + 3));
	n = 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	CHECK_EQ("a standard signal is pending once, real-time signals are queued", 5, n);
	for (int i = 0; i < 5 && i < n; i++) {
		same += seen[i] == want[i];
		queued += seen[i] != SIGRTMIN + 3 || values[i] == i - 1;
	}
	CHECK_EQ("the lowest number first", 5, same);
	CHECK_EQ("those of one number in the order they were sent", 5, queued);
	CHECK_EQ("si_code, si_pid, si_uid of kill", directed ? SI_TKILL : SI_USER, codes[0]);
	CHECK_EQ("of sigqueue", SI_QUEUE, codes[1]);
	sigpending(&pending);
	CHECK("nothing is left", !sigismember(&pending, SIGUSR1) && !sigismember(&pending, SIGRTMIN + 3));
}

static void flags(void)
{
	struct sigaction now;
	install(SIGUSR1, nests, SA_NODEFER, NULL);
	pthread_kill(pthread_self(), SIGUSR1);
	CHECK_EQ("SA_NODEFER: the signal interrupts its own handler", 3, deepest);
	deepest = calls = 0;
	install(SIGUSR1, nests, 0, NULL);
	pthread_kill(pthread_self(), SIGUSR1);
	CHECK("without it it waits", deepest == 1 && calls == 3);
	n = 0;
	install(SIGURG, record, SA_RESETHAND, NULL);
	pthread_kill(pthread_self(), SIGURG);
	pthread_kill(pthread_self(), SIGURG);
	CHECK_EQ("SA_RESETHAND: once", 1, n);
	EXPECT_EQ(0, sigaction(SIGURG, NULL, &now));
	CHECK("the action is the default then", now.sa_handler == SIG_DFL);
	n = 0;
	install(SIGWINCH, record, SA_RESETHAND, NULL);
	kill(getpid(), SIGWINCH);
	while (n < 1)
		sleep_ms(1);
	kill(getpid(), SIGWINCH);
	CHECK_EQ("for the process as well", 1, n);
}

static void alternate(void)
{
	const int autodisarm = (int)(1u << 31);
	stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt}, now;
	CHECK("a new thread has no alternate stack", sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_DISABLE);
	EXPECT_EQ(0, sigaltstack(&ss, NULL));
	install(SIGUSR1, stacks, SA_ONSTACK, NULL);
	pthread_kill(pthread_self(), SIGUSR1);
	CHECK("SS_ONSTACK while the handler runs on it", in_handler.ss_flags == SS_ONSTACK && in_handler.ss_sp == alt);
	CHECK("uc_stack", in_context.ss_sp == alt && in_context.ss_size == sizeof alt && in_context.ss_flags == 0);
	install(SIGUSR2, stacks, 0, NULL);
	pthread_kill(pthread_self(), SIGUSR2);
	EXPECT_EQ(0, sigaltstack(NULL, &now));
	CHECK("what a handler sets ends with it", now.ss_sp == alt);
	ss.ss_flags = autodisarm;
	EXPECT_EQ(0, sigaltstack(&ss, NULL));
	EXPECT_EQ(0, sigaltstack(NULL, &now));
	CHECK("SS_AUTODISARM is shown", now.ss_flags == autodisarm);
	for (int i = 0; i < 2; i++) {
		memset(&in_handler, 0, sizeof in_handler);
		if (i == 0)
			pthread_kill(pthread_self(), SIGUSR1);
		else
			kill(getpid(), SIGUSR1);
		while (!in_handler.ss_flags)
			sleep_ms(1);
		CHECK("there is none while a handler runs",
		      in_handler.ss_flags == SS_DISABLE && in_context.ss_flags == autodisarm);
		EXPECT_EQ(0, sigaltstack(NULL, &now));
		CHECK("it comes back", now.ss_sp == alt && now.ss_flags == autodisarm);
	}
	ss.ss_flags = SS_DISABLE | SS_ONSTACK;
	CHECK("EINVAL", sigaltstack(&ss, NULL) == -1 && errno == EINVAL);
	ss.ss_flags = 0;
	ss.ss_size = 1024;
	CHECK("ENOMEM", sigaltstack(&ss, NULL) == -1 && errno == ENOMEM);
	ss.ss_flags = SS_DISABLE;
	EXPECT_EQ(0, sigaltstack(&ss, NULL));
}

static void children(void)
{
	struct sigaction sa = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
	int status;
	sigaction(SIGCHLD, &sa, NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(3);
	CHECK("SA_NOCLDWAIT: nothing to wait for", waitpid(pid, &status, 0) == -1 && errno == ECHILD);
	n = 0;
	install(SIGCHLD, record, SA_NOCLDSTOP, NULL);
	pid = fork();
	if (pid == 0) {
		raise(SIGSTOP);
		_exit(4);
	}
	while (waitpid(pid, &status, WUNTRACED) < 0)
		;
	CHECK("SA_NOCLDSTOP: no signal at a stop", WIFSTOPPED(status) && n == 0);
	kill(pid, SIGCONT);
	while (waitpid(pid, &status, 0) < 0)
		;
	for (int i = 0; i < 5000 && n == 0; i++)
		sleep_ms(1);
	CHECK("SIGCHLD at the end, and its status", WIFEXITED(status) && WEXITSTATUS(status) == 4 && n == 1);
}

static void *reads(void *arg)
{
	struct timespec t = {20, 0};
	char byte;
	(void)arg;
	flag_set(&phase, 1);
	ssize_t r = read(fds[0], &byte, 1);
	CHECK("no SA_RESTART: EINTR", r == -1 && errno == EINTR);
	flag_set(&phase, 2);
	r = read(fds[0], &byte, 1);
	CHECK("SA_RESTART: read goes on", r == 1 && n == 2);
	flag_set(&phase, 3);
	CHECK("nanosleep never restarts", nanosleep(&t, NULL) == -1 && errno == EINTR);
	return NULL;
}

static void restarts(void)
{
	EXPECT_EQ(0, pipe(fds));
	pthread_t t = spawn(reads, NULL);
	for (int i = 1; i <= 3; i++) {
		flag_wait(&phase, i);
		sleep_ms(50);
		n = i - 1;
		install(SIGRTMIN, record, i == 1 ? 0 : SA_RESTART, NULL);
		EXPECT_EQ(0, pthread_kill(t, SIGRTMIN));
		while (n < i)
			sleep_ms(1);
		if (i == 2)
			EXPECT_EQ(1, write(fds[1], "x", 1));
	}
	join(t);
}

static void *leaves_one(void *arg)
{
	(void)arg;
	pthread_kill(pthread_self(), SIGHUP);
	return NULL;
}

static void *has_none(void *arg)
{
	sigset_t pending;
	(void)arg;
	sigpending(&pending);
	return (void *)(long)sigismember(&pending, SIGHUP);
}

static void *all(void *arg)
{
	long bad = 0;
	sigset_t set;
	(void)arg;
	order(1);
	order(0);
	flags();
	alternate();
	children();
	restarts();
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 40; i++) {
		join(spawn(leaves_one, NULL));
		bad += (long)join(spawn(has_none, NULL));
	}
	CHECK_EQ("pthread_create: the set of pending signals is empty", 0, bad);
	return NULL;
}

int main(void)
{
	sigset_t set, none;
	sigfillset(&set);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &set, NULL); /* the process's signals come to the other */
	pthread_attr_t attr;
	pthread_t t;
	pthread_attr_init(&attr);
	pthread_attr_setsigmask_np(&attr, &none);
	EXPECT_EQ(0, pthread_create(&t, &attr, all, NULL));
	join(t);
	return check_done();
}
