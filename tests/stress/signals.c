/*
 * PROCS: 1 2 8
 * TIMEOUT: 120
 * ENV: GODEBUG=preemptstress=1
 * Signals of all kinds at random moments: directed ones (pthread_kill, tgkill, pthread_sigqueue) and the process's (a timer, kill) meet
 * tasks that compute, lock, wait, sleep, read, make threads, cancel, fork, jump out of handlers, allocate, load
 * libraries and switch contexts; one stops the others and lets them go on, as a collector does. Nobody's registers, errno, mask or
 * thread may change, a queued real-time signal comes exactly once and to its thread, and all make progress.
 * Arguments: seconds (default 3), one kind only (-1: all), seed.
 */
#define _GNU_SOURCE
#include "random.h"
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum kind {
	SPIN,
	LOCK,
	COND,
	SEM,
	SLEEP,
	READ,
	PPOLL,
	SIGSUSPEND,
	SIGTIMEDWAIT,
	CREATE,
	CANCEL,
	FORK,
	JUMP,
	MALLOC,
	DLOPEN,
	CONTEXT,
	KINDS
};
enum { EACH = 2, TASKS = KINDS * EACH };
static const char *const kind_name[KINDS] = {"spin",  "lock",       "cond",         "sem",    "sleep",  "read",
                                             "ppoll", "sigsuspend", "sigtimedwait", "create", "cancel", "fork",
                                             "jump",  "malloc",     "dlopen",       "context"};

/* SIGUSR1: restarts; SIGUSR2: not, on the alternate stack; RTMIN: with a value; RTMIN + 1: for sigtimedwait; RTMIN + 2: the timer's; HUP:
 * jumps; XCPU, XFSZ: stop and go on. */
#define S_VALUE SIGRTMIN
#define S_WAITED (SIGRTMIN + 1)
#define S_TIMER (SIGRTMIN + 2)

static struct task {
	pthread_t thread;
	pid_t tid;
	enum kind kind;
	int index, ready, done;
	unsigned rand;
	long rounds;
	int sent, got; /* of S_VALUE and S_WAITED */
	sigjmp_buf env;
	volatile sig_atomic_t may_jump;
	char alt[32768] __attribute__((aligned(64)));
} task[TASKS];

static __thread struct task *me;
static int stop, failures, only = -1;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static sem_t s, ack;
static long locked, sum;
static int epoch;

static void fail(const char *what, const struct task *t)
{
	char line[128];
	int n = snprintf(line, sizeof line, "FAIL: %s (%s)\n", what, t ? kind_name[t->kind] : "-");
	if (write(1, line, (size_t)n) < 0)
		abort();
	__atomic_add_fetch(&failures, 1, __ATOMIC_SEQ_CST);
}

static int stopping(void)
{
	return __atomic_load_n(&stop, __ATOMIC_SEQ_CST);
}

/* ---- handlers ---- */

static void common(int sig, const siginfo_t *info, int directed)
{
	int saved = errno;
	sigset_t now;
	if (me && !pthread_equal(pthread_self(), me->thread))
		fail("a handler runs with another thread's block", me);
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	if (!sigismember(&now, sig))
		fail("a signal is not blocked in its handler", me);
	if (directed && !me)
		fail("a directed signal came to another thread", me);
	if (info->si_signo != sig)
		fail("si_signo", me);
	errno = saved;
}

static void on_plain(int sig, siginfo_t *info, void *uc)
{
	(void)uc;
	common(sig, info, info->si_code == SI_TKILL);
	if (sig == SIGUSR2 && me) {
		char here;
		if (&here < me->alt || &here >= me->alt + sizeof me->alt)
			fail("not on the alternate stack", me);
	}
}

static void on_value(int sig, siginfo_t *info, void *uc)
{
	(void)uc;
	common(sig, info, 1);
	if (!me || info->si_code != SI_QUEUE || info->si_value.sival_int != me->index)
		fail("a queued signal came to another thread", me);
	else
		me->got++;
}

static void on_jump(int sig, siginfo_t *info, void *uc)
{
	(void)uc;
	common(sig, info, 1);
	if (me && me->may_jump) {
		me->may_jump = 0;
		siglongjmp(me->env, 1);
	}
}

static void on_stop(int sig, siginfo_t *info, void *uc)
{
	int saved = errno, mine = __atomic_load_n(&epoch, __ATOMIC_SEQ_CST);
	sigset_t rest;
	(void)uc;
	common(sig, info, 1);
	sigfillset(&rest);
	sigdelset(&rest, SIGXFSZ);
	sem_post(&ack);
	while (__atomic_load_n(&epoch, __ATOMIC_SEQ_CST) == mine)
		sigsuspend(&rest);
	sem_post(&ack);
	errno = saved;
}

static void on_go(int sig, siginfo_t *info, void *uc)
{
	(void)uc;
	common(sig, info, 1);
}

/* ---- the kinds ---- */

/* Registers hold their values for a few thousand instructions. */
static void spin(struct task *t)
{
	unsigned long bad = 0, n = 2000 + next(&t->rand) % 20000;
#if defined(__x86_64__)
	__asm__ volatile("movq %[v], %%r8\n\tleaq 1(%%r8), %%r9\n\tleaq 2(%%r8), %%r10\n\tleaq 3(%%r8), %%r11\n\t"
	                 "movq %%r8, %%xmm3\n\tmovq %%r9, %%xmm9\n\tmovq %%r10, %%xmm15\n\t"
	                 "1: decq %[n]\n\tjnz 1b\n\t"
	                 "subq %[v], %%r8\n\torq %%r8, %[bad]\n\t"
	                 "subq %[v], %%r9\n\tsubq $1, %%r9\n\torq %%r9, %[bad]\n\t"
	                 "subq %[v], %%r10\n\tsubq $2, %%r10\n\torq %%r10, %[bad]\n\t"
	                 "subq %[v], %%r11\n\tsubq $3, %%r11\n\torq %%r11, %[bad]\n\t"
	                 "movq %%xmm3, %%r8\n\tsubq %[v], %%r8\n\torq %%r8, %[bad]\n\t"
	                 "movq %%xmm9, %%r8\n\tsubq %[v], %%r8\n\tsubq $1, %%r8\n\torq %%r8, %[bad]\n\t"
	                 "movq %%xmm15, %%r8\n\tsubq %[v], %%r8\n\tsubq $2, %%r8\n\torq %%r8, %[bad]\n\t"
	                 : [bad] "+r"(bad), [n] "+r"(n)
	                 : [v] "r"((unsigned long)t->rand << 20)
	                 : "r8", "r9", "r10", "r11", "xmm3", "xmm9", "xmm15", "cc");
#else
	while (n)
		__asm__ volatile("" : "+r"(n)), n--;
#endif
	if (bad)
		fail("a register changed", t);
}

static void lock(struct task *t)
{
	pthread_mutex_lock(&m);
	long before = locked;
	if (next(&t->rand) % 8 == 0)
		sched_yield();
	locked = before + 1;
	pthread_mutex_unlock(&m);
	__atomic_add_fetch(&sum, 1, __ATOMIC_SEQ_CST);
}

static void cond(struct task *t)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	if ((ts.tv_nsec += next(&t->rand) % 500000) >= 1000000000)
		ts.tv_sec++, ts.tv_nsec -= 1000000000;
	pthread_mutex_lock(&m);
	int r = pthread_cond_timedwait(&c, &m, &ts);
	if (r != 0 && r != ETIMEDOUT)
		fail("pthread_cond_timedwait", t);
	if (t->rand & 64)
		pthread_cond_broadcast(&c);
	pthread_mutex_unlock(&m);
}

static void semaphore(struct task *t)
{
	sem_post(&s);
	if (next(&t->rand) % 4 == 0)
		sched_yield();
	while (sem_wait(&s) != 0)
		if (errno != EINTR)
			fail("sem_wait", t);
}

static void pipes(struct task *t)
{
	int p[2];
	char byte = 0;
	struct timespec soon = {0, next(&t->rand) % 100000};
	struct pollfd f = {.events = POLLIN};
	if (pipe(p) != 0)
		return;
	f.fd = p[0];
	ppoll(&f, 1, &soon, NULL);
	while (write(p[1], "x", 1) != 1)
		;
	while (read(p[0], &byte, 1) != 1)
		if (errno != EINTR)
			fail("read", t);
	if (byte != 'x')
		fail("what was read", t);
	close(p[0]);
	close(p[1]);
}

static int blocks(int sig)
{
	sigset_t now;
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	return sigismember(&now, sig);
}

static void with_mask(struct task *t, int raw)
{
	sigset_t one, open;
	struct timespec ts = {0, 200000 + next(&t->rand) % 1000000};
	sigemptyset(&one);
	sigaddset(&one, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, NULL, &open);
	pthread_sigmask(SIG_BLOCK, &one, NULL);
	int r = t->kind == SIGSUSPEND ? sigsuspend(&open)
	        : raw                 ? (int)syscall(SYS_ppoll, NULL, 0, &ts, &open, 8)
	                              : ppoll(NULL, 0, &ts, &open);
	if (r != 0 && errno != EINTR)
		fail("a wait with a mask", t);
	if (!blocks(SIGUSR1))
		fail("the mask after the wait", t);
	pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

static void waits(struct task *t)
{
	struct timespec ts = {0, 1000000};
	sigset_t set;
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, S_WAITED);
	int r = sigtimedwait(&set, &info, &ts);
	if (r == S_WAITED && info.si_value.sival_int == t->index)
		t->got++;
	else if (r >= 0 || (errno != EAGAIN && errno != EINTR))
		fail("sigtimedwait", t);
}

static void *child(void *arg)
{
	pthread_mutex_lock(&m);
	locked++;
	pthread_mutex_unlock(&m);
	__atomic_add_fetch(&sum, 1, __ATOMIC_SEQ_CST);
	return arg;
}

static void create(struct task *t)
{
	pthread_t thread;
	void *value = NULL;
	if (pthread_create(&thread, NULL, child, t) != 0 || pthread_join(thread, &value) != 0 || value != t)
		fail("create and join", t);
}

static void *victim(void *arg)
{
	sem_t never;
	sem_init(&never, 0, 0);
	if (arg)
		for (;;)
			sem_wait(&never);
	for (;;)
		pause();
	return NULL;
}

static void cancel(struct task *t)
{
	pthread_t thread;
	void *value = NULL;
	if (pthread_create(&thread, NULL, victim, next(&t->rand) & 1 ? t : NULL) != 0)
		fail("pthread_create", t);
	if (t->rand & 2)
		sched_yield();
	if (pthread_cancel(thread) != 0 || pthread_join(thread, &value) != 0 || value != PTHREAD_CANCELED)
		fail("cancel", t);
}

static void *plain(void *arg)
{
	return arg;
}

static void forks(struct task *t)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		pthread_t thread;
		void *value = NULL;
		if (pthread_create(&thread, NULL, plain, t) != 0 || pthread_join(thread, &value) != 0 || value != t)
			_exit(1);
		_exit(7);
	}
	if (pid < 0)
		return;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fail("waitpid", t);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
		fail("the child of fork", t);
	ns(5000000);
}

static void jumps(struct task *t)
{
	volatile int where = 0;
	if (sigsetjmp(t->env, 1) == 0) {
		t->may_jump = 1;
		where = (int)(next(&t->rand) % 4);
		if (where == 0)
			ns(100000);
		else if (where == 1)
			sched_yield();
		else if (where == 2)
			for (volatile int i = 0; i < 20000; i++)
				;
		else
			poll(NULL, 0, 1);
		t->may_jump = 0;
	}
	if (blocks(SIGHUP))
		fail("the mask after siglongjmp", t);
}

static void allocs(struct task *t)
{
	char text[64], *p[16];
	for (int i = 0; i < 16; i++) {
		size_t n = 1 + next(&t->rand) % 4000;
		p[i] = malloc(n);
		memset(p[i], i, n);
	}
	snprintf(text, sizeof text, "%d %g", t->index, 0.5);
	FILE *f = fopen("/dev/null", "w");
	if (f) {
		fprintf(f, "%s\n", text);
		fclose(f);
	}
	for (int i = 0; i < 16; i++) {
		if (p[i][0] != i)
			fail("what was allocated", t);
		free(p[i]);
	}
}

static void loads(struct task *t)
{
	void *lib = dlopen("libutil.so.1", RTLD_NOW);
	if (!lib && !(lib = dlopen("libm.so.6", RTLD_NOW)))
		fail("dlopen", t);
	if (lib)
		dlclose(lib);
}

static __thread ucontext_t back, co;
static __thread int steps;

static void coroutine(void)
{
	for (int i = 0; i < 3; i++) {
		steps++;
		swapcontext(&co, &back);
	}
	steps++;
}

static void contexts(struct task *t)
{
	static __thread char stack[65536];
	getcontext(&co);
	co.uc_stack.ss_sp = stack;
	co.uc_stack.ss_size = sizeof stack;
	co.uc_link = &back;
	if (next(&t->rand) & 1)
		sigaddset(&co.uc_sigmask, SIGHUP);
	makecontext(&co, coroutine, 0);
	steps = 0;
	while (steps < 4)
		swapcontext(&back, &co);
	if (blocks(SIGHUP))
		fail("the mask after a context", t);
}

static void one_round(struct task *t)
{
	switch (t->kind) {
	case SPIN:
		spin(t);
		break;
	case LOCK:
		lock(t);
		break;
	case COND:
		cond(t);
		break;
	case SEM:
		semaphore(t);
		break;
	case SLEEP:
		ns(next(&t->rand) % 200000);
		break;
	case READ:
		pipes(t);
		break;
	case PPOLL:
	case SIGSUSPEND:
		with_mask(t, next(&t->rand) & 1);
		break;
	case SIGTIMEDWAIT:
		waits(t);
		break;
	case CREATE:
		create(t);
		break;
	case CANCEL:
		cancel(t);
		break;
	case FORK:
		forks(t);
		break;
	case JUMP:
		jumps(t);
		break;
	case MALLOC:
		allocs(t);
		break;
	case DLOPEN:
		loads(t);
		break;
	case CONTEXT:
		contexts(t);
		break;
	case KINDS:
		break;
	}
}

static void *run(void *arg)
{
	struct task *t = arg;
	stack_t alt = {.ss_sp = t->alt, .ss_size = sizeof t->alt};
	sigset_t set;
	t->thread = pthread_self();
	t->tid = gettid();
	sigaltstack(&alt, NULL);
	me = t;
	sigemptyset(&set);
	sigaddset(&set, S_WAITED);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	__atomic_store_n(&t->ready, 1, __ATOMIC_SEQ_CST);
	while (!stopping()) {
		one_round(t);
		__atomic_add_fetch(&t->rounds, 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&t->done, 1, __ATOMIC_SEQ_CST);
	/* What is on its way still comes. */
	while (__atomic_load_n(&stop, __ATOMIC_SEQ_CST) < 2)
		ns(100000);
	while (t->got < t->sent && failures == 0 && stop < 3) {
		if (t->kind == SIGTIMEDWAIT)
			waits(t);
		else
			ns(100000);
	}
	if (t->got != t->sent) {
		char what[80];
		snprintf(what, sizeof what, "%d queued signals sent, %d came", t->sent, t->got);
		fail(what, t);
	}
	sigfillset(&set);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	return NULL;
}

/* ---- the senders ---- */

static void send_one(unsigned *r)
{
	struct task *t = &task[next(r) % TASKS];
	union sigval v = {.sival_int = t->index};
	if (!__atomic_load_n(&t->ready, __ATOMIC_SEQ_CST))
		return;
	switch (next(r) % 8) {
	case 0:
	case 1:
		pthread_kill(t->thread, SIGUSR1);
		break;
	case 2:
		pthread_kill(t->thread, SIGUSR2);
		break;
	case 3:
		tgkill(getpid(), t->tid, *r & 1024 ? SIGUSR1 : SIGUSR2);
		break;
	case 4:
		pthread_kill(t->thread, SIGHUP);
		break;
	case 5:
		kill(getpid(), *r & 1024 ? SIGUSR1 : SIGTERM);
		break;
	default:
		if (__atomic_load_n(&t->sent, __ATOMIC_SEQ_CST) - __atomic_load_n(&t->got, __ATOMIC_SEQ_CST) < 100 &&
		    pthread_sigqueue(t->thread, t->kind == SIGTIMEDWAIT ? S_WAITED : S_VALUE, v) == 0)
			__atomic_add_fetch(&t->sent, 1, __ATOMIC_SEQ_CST);
		break;
	}
}

static void *sender(void *arg)
{
	unsigned r = (unsigned)(long)arg;
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	while (!stopping()) {
		for (unsigned n = next(&r) % 8; n > 0; n--)
			send_one(&r);
		ns(next(&r) % 100000);
	}
	return NULL;
}

static void wait_acks(int n)
{
	while (n > 0)
		if (sem_wait(&ack) == 0)
			n--;
}

static void *collector(void *arg)
{
	unsigned r = (unsigned)(long)arg;
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	while (!stopping()) {
		for (int i = 0; i < TASKS; i++)
			pthread_kill(task[i].thread, SIGXCPU);
		wait_acks(TASKS);
		__atomic_add_fetch(&epoch, 1, __ATOMIC_SEQ_CST);
		for (int i = 0; i < TASKS; i++)
			pthread_kill(task[i].thread, SIGXFSZ);
		wait_acks(TASKS);
		ns(1000000 + next(&r) % 20000000);
	}
	return NULL;
}

static void install(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags};
	if (fn == on_stop || fn == on_go || fn == on_value)
		sigfillset(&sa.sa_mask); /* one at a time, and no jump out of them */
	sigaction(sig, &sa, NULL);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 3;
	only = argc > 2 ? atoi(argv[2]) : -1;
	unsigned r = argc > 3 ? (unsigned)atoi(argv[3]) : (unsigned)getpid() * 2654435761u | 1;
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL};
	struct itimerspec every = {{0, 500000}, {0, 500000}};
	pthread_t senders[2], stopper;
	timer_t timer;
	ev.sigev_signo = S_TIMER;
	sem_init(&s, 0, 0);
	sem_init(&ack, 0, 0);
	install(SIGUSR1, on_plain, SA_RESTART);
	install(SIGUSR2, on_plain, SA_ONSTACK);
	install(SIGTERM, on_plain, SA_RESTART);
	install(S_TIMER, on_plain, SA_RESTART);
	install(S_VALUE, on_value, SA_RESTART);
	install(SIGHUP, on_jump, SA_RESTART);
	install(SIGXCPU, on_stop, SA_RESTART);
	install(SIGXFSZ, on_go, SA_RESTART);
	for (int i = 0; i < TASKS; i++) {
		struct task *t = &task[i];
		t->index = i;
		t->kind = only >= 0 ? (enum kind)only : (enum kind)(i % KINDS);
		t->rand = next(&r);
		if (pthread_create(&t->thread, NULL, run, t) != 0)
			abort();
	}
	for (int i = 0; i < TASKS; i++)
		while (!__atomic_load_n(&task[i].ready, __ATOMIC_SEQ_CST))
			ns(100000);
	for (int i = 0; i < 2; i++)
		pthread_create(&senders[i], NULL, sender, (void *)(long)next(&r));
	pthread_create(&stopper, NULL, collector, (void *)(long)next(&r));
	timer_create(CLOCK_MONOTONIC, &ev, &timer);
	timer_settime(timer, 0, &every, NULL);

	double t0 = now(), end = t0 + seconds;
	while (now() < end && !failures)
		ns(10000000);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 2; i++)
		pthread_join(senders[i], NULL);
	pthread_join(stopper, NULL);
	for (int i = 0; i < TASKS; i++) /* the last wakes of those that wait without a limit */
		while (!__atomic_load_n(&task[i].done, __ATOMIC_SEQ_CST)) {
			pthread_kill(task[i].thread, SIGUSR1);
			ns(1000000);
		}
	__atomic_store_n(&stop, 2, __ATOMIC_SEQ_CST);
	for (double late = now() + 60; now() < late;) {
		int missing = 0;
		for (int i = 0; i < TASKS; i++)
			missing += __atomic_load_n(&task[i].got, __ATOMIC_SEQ_CST) != task[i].sent;
		if (!missing)
			break;
		ns(10000000);
	}
	__atomic_store_n(&stop, 3, __ATOMIC_SEQ_CST);
	for (int i = 0; i < TASKS; i++) {
		pthread_join(task[i].thread, NULL);
		if (task[i].rounds == 0)
			fail("no progress", &task[i]);
		if (argc > 1)
			fprintf(stderr, "%s: %ld rounds, %d queued\n", kind_name[task[i].kind], task[i].rounds, task[i].sent);
	}
	timer_delete(timer);
	if (locked != sum)
		fail("the mutex did not exclude", NULL);
	puts(failures ? "failed" : "ok");
	return failures != 0;
}
