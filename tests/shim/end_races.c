/* end_races.c - the process ends, or its threads do, in the middle of everything: locks held, threads being made, handlers that
 * make threads, fork, end their thread or jump out of a wait. */
#include "check.h"

#include <setjmp.h>
#include <sys/time.h>

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int stop, hits;

static void *nothing(void *arg)
{
	return arg;
}

static void *locks(void *arg)
{
	(void)arg;
	for (;;) {
		pthread_mutex_lock(&m);
		pthread_mutex_unlock(&m);
	}
	return NULL;
}

static void *makes(void *arg)
{
	pthread_t t;
	(void)arg;
	for (;;)
		if (pthread_create(&t, NULL, nothing, NULL) == 0)
			pthread_join(t, NULL);
	return NULL;
}

static void *allocates(void *arg)
{
	(void)arg;
	for (;;) {
		void *volatile p = malloc(100000);
		free(p);
	}
	return NULL;
}

static void *waits(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&m);
	for (;;)
		pthread_cond_wait(&c, &m);
	return NULL;
}

static void *writes(void *arg)
{
	for (;;)
		fprintf((FILE *)arg, "x");
	return NULL;
}

static void *spins(void *arg)
{
	while (!flag_get(&stop))
		;
	return arg;
}

static void *sleeps(void *arg)
{
	(void)arg;
	for (;;)
		usleep(1000);
	return NULL;
}

static void *ends_all(void *arg)
{
	exit((int)(long)arg);
}

static void crowd(void)
{
	void *(*const fns[])(void *) = {locks, makes, allocates, waits, locks, makes};
	FILE *null = fopen("/dev/null", "w");
	for (size_t i = 0; i < sizeof fns / sizeof fns[0]; i++)
		spawn(fns[i], NULL);
	spawn(writes, null);
	sleep_ms(3);
}

static void makes_one(int sig)
{
	pthread_t t;
	(void)sig;
	if (pthread_create(&t, NULL, nothing, NULL) == 0) {
		pthread_detach(t);
		flag_add(&hits, 1);
	}
}

static void forks(int sig)
{
	int status;
	(void)sig;
	pid_t pid = fork();
	if (pid == 0)
		_exit(3);
	if (waitpid(pid, &status, 0) == pid && exited_with(status, 3))
		flag_add(&hits, 1);
}

static void ends_thread(int sig)
{
	(void)sig;
	pthread_exit((void *)5);
}

static int alarms(void (*fn)(int), int n)
{
	struct itimerval it = {.it_value.tv_usec = 200};
	sigset_t alrm;
	/* Natively main takes it: whoever runs may be inside malloc or pthread_create, whose locks the handler needs. */
	sigemptyset(&alrm);
	sigaddset(&alrm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alrm, NULL);
	crowd();
	pthread_sigmask(SIG_UNBLOCK, &alrm, NULL);
	signal(SIGALRM, fn);
	for (int i = 1; i <= n; i++) {
		setitimer(ITIMER_REAL, &it, NULL);
		if (!flag_wait_bounded(&hits, i))
			return 1;
	}
	return 20;
}

static sigjmp_buf out_of_wait;

static void jumps(int sig)
{
	(void)sig;
	siglongjmp(out_of_wait, 1);
}

/* The mutex is main's, and stays so. */
static void *jumped(void *arg)
{
	static pthread_mutex_t own;
	static int fds[2];
	static timer_t timer;
	struct sigevent se = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
	struct itimerspec soon = {.it_value.tv_nsec = 500000};
	volatile long n = 0;
	char ch;
	signal(SIGUSR2, jumps);
	se._sigev_un._tid = gettid();
	EXPECT_EQ(0, timer_create(CLOCK_MONOTONIC, &se, &timer));
	EXPECT_EQ(0, pipe(fds));
	for (volatile int i = 0; i < 30; i++) {
		if (sigsetjmp(out_of_wait, 1) != 0) {
			n++;
			continue;
		}
		pthread_mutex_init(&own, NULL);
		EXPECT_EQ(0, timer_settime(timer, 0, &soon, NULL));
		if (i % 3 == 0) {
			pthread_mutex_lock((pthread_mutex_t *)arg);
		} else if (i % 3 == 1) {
			pthread_mutex_lock(&own);
			pthread_cond_wait(&c, &own);
		} else {
			EXPECT_EQ(1, read(fds[0], &ch, 1));
		}
	}
	return (void *)n;
}

static int cancel_and_kill(void)
{
	void *r;
	signal(SIGUSR1, SIG_IGN);
	crowd();
	for (int i = 0; i < 200; i++) {
		pthread_t t = spawn(i & 1 ? sleeps : nothing, NULL);
		pthread_kill(t, SIGUSR1);
		pthread_cancel(t);
		pthread_kill(t, SIGUSR1);
		pthread_join(t, &r);
	}
	return 20;
}

static int exit_in_handlers(void)
{
	int bad = 0;
	signal(SIGUSR1, ends_thread);
	for (int i = 0; i < 30; i++) {
		pthread_t t = spawn(i & 1 ? spins : sleeps, NULL);
		if (i & 2)
			sched_yield();
		pthread_kill(t, SIGUSR1);
		bad |= (long)join(t) != 5;
	}
	return bad ? 1 : 20;
}

static int as_child(int mode)
{
	pthread_t t;
	switch (mode) {
	case 0:
		crowd();
		return 20;
	case 1:
		crowd();
		exit(20);
	case 2:
		crowd();
		_exit(20);
	case 3:
		crowd();
		quick_exit(20);
	case 4:
		crowd();
		abort();
	case 5:
		crowd();
		execl("/bin/sh", "sh", "-c", "exit 20", (char *)NULL);
		return 1;
	case 6:
		crowd();
		spawn(ends_all, (void *)20);
		for (;;)
			pause();
	case 7: /* several at once */
		for (int i = 0; i < 3; i++)
			t = spawn(ends_all, (void *)20);
		pthread_join(t, NULL);
		for (;;)
			pause();
	case 8:
		crowd();
		raise(SIGTERM);
		return 1;
	case 9:
		return alarms(makes_one, 50);
	case 10:
		return alarms(forks, 15);
	case 11:
		return exit_in_handlers();
	case 12:
		return cancel_and_kill();
	default:
		pthread_mutex_lock(&m);
		return (long)join(spawn(jumped, &m)) == 30 ? 20 : 1;
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *what;
		int sig;
	} modes[] = {{"return from main", 0},
	             {"exit", 0},
	             {"_exit", 0},
	             {"quick_exit", 0},
	             {"abort", SIGABRT},
	             {"exec", 0},
	             {"exit in a thread", 0},
	             {"exit in several threads", 0},
	             {"SIGTERM", SIGTERM},
	             {"handlers that make threads", 0},
	             {"handlers that fork", 0},
	             {"pthread_exit in handlers", 0},
	             {"pthread_cancel and pthread_kill of threads that end", 0},
	             {"siglongjmp out of waits", 0}};
	char number[8], out[256];
	if (argc > 1)
		return as_child(atoi(argv[1]));
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		snprintf(number, sizeof number, "%zu", i);
		int status = run_self(number, out, sizeof out);
		CHECK(modes[i].what, modes[i].sig ? killed_by(status, modes[i].sig) : exited_with(status, 20));
	}
	return check_done();
}
