/* fork_signals.c - signals for a child of fork that makes no thread: while it sleeps, while it waits for a lock, in a task that
 * was pinned; and a signal that nobody wanted, when its mask opens by a handler's end and by siglongjmp. */
#include "check.h"

#include <semaphore.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int *ready; /* shared with the children */
static int hits;   /* atomic */
static sem_t sem;
static sigjmp_buf env;

static void on_sig(int sig)
{
	(void)sig;
	flag_add(&hits, 1);
}

static void jumps(int sig)
{
	(void)sig;
	flag_add(&hits, 1);
	siglongjmp(env, 1);
}

static void handle(int sig, void (*fn)(int), int flags)
{
	struct sigaction sa = {.sa_handler = fn, .sa_flags = flags};
	EXPECT_EQ(0, sigaction(sig, &sa, NULL));
}

enum { SLEEPS, WAITS, INTERRUPTED, RESTARTED, JUMPS, BLOCKED, SLEEPS_ON, KINDS };
static const char *const kind_name[] = {
	"a child that sleeps is ended by SIGTERM",
	"a child that waits for a semaphore is ended by SIGTERM",
	"a child's nanosleep ends with EINTR",
	"a child's sem_wait goes on after a handler with SA_RESTART",
	"a child's handler leaves nanosleep by siglongjmp",
	"a child that blocks the signal is not disturbed, and gets it when it opens its mask",
	"a child sleeps as long as it asked to",
};

static int child(int kind)
{
	struct timespec ts = {20, 0};
	sigset_t set;
	sem_init(&sem, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(25);
	switch (kind) {
	case SLEEPS:
		flag_set(ready, 1);
		nanosleep(&ts, NULL);
		return 1;
	case WAITS:
		flag_set(ready, 1);
		sem_wait(&sem);
		return 1;
	case INTERRUPTED:
		handle(SIGTERM, on_sig, 0);
		flag_set(ready, 1);
		return nanosleep(&ts, NULL) == -1 && errno == EINTR && hits == 1 ? 0 : 1;
	case RESTARTED:
		handle(SIGTERM, on_sig, SA_RESTART);
		flag_set(ready, 1);
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_sec += 10;
		while (!flag_get(&hits)) /* timed: EINTR either way */
			if (sem_timedwait(&sem, &ts) == -1 && errno == ETIMEDOUT)
				return 2;
		return 0;
	case JUMPS:
		handle(SIGTERM, jumps, 0);
		if (sigsetjmp(env, 1) == 0) {
			flag_set(ready, 1);
			nanosleep(&ts, NULL);
			return 1;
		}
		ts = (struct timespec){0, 1000000};
		return nanosleep(&ts, NULL) == 0 && hits == 1 ? 0 : 1;
	case BLOCKED:
		handle(SIGTERM, on_sig, 0);
		sigemptyset(&set);
		sigaddset(&set, SIGTERM);
		sigprocmask(SIG_BLOCK, &set, NULL);
		flag_set(ready, 1);
		ts = (struct timespec){0, 400000000};
		if (nanosleep(&ts, NULL) != 0 || hits != 0)
			return 1;
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		return hits == 1 ? 0 : 2;
	default:
		flag_set(ready, 1);
		ts = (struct timespec){0, 50000000};
		handle(SIGTERM, SIG_IGN, 0);
		return nanosleep(&ts, NULL);
	}
}

static int right(int kind, int status)
{
	return kind == SLEEPS || kind == WAITS ? killed_by(status, SIGTERM) : exited_with(status, 0);
}

static void *forks(void *arg)
{
	int good = 0, pinned = arg != NULL;
	if (pinned)
		EXPECT_EQ(0, setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0)));
	for (int kind = 0; kind < KINDS; kind++) {
		int ok = 1;
		for (int round = 0; round < 3; round++) {
			flag_set(ready, 0);
			hits = 0;
			pid_t pid = fork();
			if (pid == 0)
				_exit(child(kind));
			flag_wait(ready, 1);
			sleep_ms(round * 10);
			if (kind != SLEEPS_ON)
				kill(pid, SIGTERM);
			ok &= right(kind, reap(pid));
		}
		good |= ok << kind;
	}
	return (void *)(long)good;
}

static void report(const char *who, long good)
{
	for (int kind = 0; kind < KINDS; kind++) {
		char line[160];
		snprintf(line, sizeof line, "%s: %s", who, kind_name[kind]);
		CHECK(line, good >> kind & 1);
	}
}

static void *sleeps_on(void *arg)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	while (!flag_get(arg))
		sleep_ms(2);
	return NULL;
}

/* In main's handler of USR2, which blocks USR1, USR1 comes, and nobody wants it. */
static void in_handler(int sig)
{
	(void)sig;
	kill(getpid(), SIGUSR1);
	sleep_ms(30);
}

static void in_handler_jumps(int sig)
{
	in_handler(sig);
	siglongjmp(env, 1);
}

static void unwanted(const char *clause, void (*fn)(int))
{
	struct sigaction sa = {.sa_handler = fn};
	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGUSR1);
	EXPECT_EQ(0, sigaction(SIGUSR2, &sa, NULL));
	hits = 0;
	if (sigsetjmp(env, 1) == 0)
		kill(getpid(), SIGUSR2);
	flag_wait_bounded(&hits, 1);
	/* and the next, while everybody is parked */
	pid_t self = getpid(), pid = fork();
	if (pid == 0) {
		sleep_ms(30);
		kill(self, SIGUSR1);
		_exit(0);
	}
	CHECK(clause, flag_wait_bounded(&hits, 2));
	reap(pid);
}

int main(void)
{
	int stop = 0;
	ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(ready != MAP_FAILED);
	report("forked by a thread", (long)join(spawn(forks, NULL)));
	report("forked by a pinned thread", (long)join(spawn(forks, &stop)));
	report("forked by main", (long)forks(NULL));

	pthread_t t = spawn(sleeps_on, &stop);
	handle(SIGUSR1, on_sig, 0);
	unwanted("a signal that the handler blocked comes when it ends, and so does the next", in_handler);
	unwanted("the same when it is left by siglongjmp", in_handler_jumps);
	flag_set(&stop, 1);
	join(t);
	return check_done();
}
