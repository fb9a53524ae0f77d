/*
 * TIMEOUT: 60
 * sig_main.c - a signal for the process is main's, unless main blocks it: its handler runs there, ends main's sleep, and no other
 * thread's call notices. What a thread sends to itself, or brings about, stays with it.
 *
 * The kernel tries the first thread first (signal(7) leaves it open; complete_signal), and programs wait in main for just that.
 */
#include "check.h"

#include <fcntl.h>
#include <sys/time.h>

enum { SPIN, READ, SLEEP, COND, YIELD, LIBC, WORKERS };

static pthread_t main_thread;
static volatile sig_atomic_t ran, ran_on_main, value;
static int stop, ready, disturbed;
static int pipe_fd[2], line_fd[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static void handler(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	(void)uc;
	value = info->si_value.sival_int;
	ran_on_main = pthread_equal(pthread_self(), main_thread);
	ran = ran + 1;
}

/* Each goes on until the end without being disturbed: the handler has no SA_RESTART. */
static void *worker(void *arg)
{
	char c;
	struct timespec ts = {30, 0};
	flag_add(&ready, 1);
	switch ((int)(long)arg) {
	case SPIN:
		while (!flag_get(&stop))
			;
		break;
	case READ:
		if (read(pipe_fd[0], &c, 1) != 1)
			flag_add(&disturbed, 1);
		break;
	case SLEEP:
		ts = in_ms(CLOCK_MONOTONIC, 1500);
		if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) != 0)
			flag_add(&disturbed, 1);
		break;
	case COND:
		pthread_mutex_lock(&mutex);
		while (!flag_get(&stop))
			pthread_cond_wait(&cond, &mutex);
		pthread_mutex_unlock(&mutex);
		break;
	case YIELD:
		while (!flag_get(&stop))
			sched_yield();
		break;
	case LIBC: { /* asleep inside of libc */
		FILE *f = fdopen(line_fd[0], "r");
		if (fgetc(f) != 'x')
			flag_add(&disturbed, 1);
		fclose(f);
	}
	}
	return NULL;
}

static void send_from_child(int sig)
{
	pid_t me = getpid(), pid = fork();
	if (pid == 0) {
		sleep_ms(100);
		_exit(me > 1 && sigqueue(me, sig, (union sigval){.sival_int = 42}) == 0 ? 0 : 1);
	}
	struct timespec ts = {20, 0};
	int before = ran;
	while (ran == before && nanosleep(&ts, &ts) == 0)
		;
	while (waitpid(pid, NULL, 0) != pid)
		;
}

static void expect_on_main(const char *clause, int left_early)
{
	CHECK(clause, ran == 1 && ran_on_main && left_early);
	ran = ran_on_main = 0;
}

static void *blocked_in_main(void *arg)
{
	(void)arg;
	while (!ran)
		sleep_ms(5);
	return NULL;
}

static void *raises(void *arg)
{
	int before = ran;
	(void)arg;
	raise(SIGUSR1);
	return (void *)(long)(ran == before + 1 && !ran_on_main);
}

/* int3 and an address that is not canonical come with SI_KERNEL, as signals for the process do. */
static void *traps(void *arg)
{
	int before = ran;
	(void)arg;
#ifdef __x86_64__
	__asm__ volatile("int3");
#else
	raise(SIGTRAP);
#endif
	return (void *)(long)(ran == before + 1 && !ran_on_main);
}

static void *writes(void *arg)
{
	int p[2], before = ran;
	(void)arg;
	EXPECT_EQ(0, pipe(p));
	close(p[0]);
	EXPECT_EQ(-1, (int)write(p[1], "x", 1));
	close(p[1]);
	return (void *)(long)(ran == before + 1 && !ran_on_main);
}

int main(void)
{
	pthread_t t[WORKERS];
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	main_thread = pthread_self();
	EXPECT_EQ(0, pipe(pipe_fd) | pipe(line_fd));
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGPIPE, &sa, NULL);
	sigaction(SIGTRAP, &sa, NULL);
	for (long i = 0; i < WORKERS; i++)
		t[i] = spawn(worker, (void *)i);
	flag_wait(&ready, WORKERS);
	sleep_ms(20);

	struct itimerval soon = {.it_value = {0, 100000}};
	setitimer(ITIMER_REAL, &soon, NULL);
	expect_on_main("SIGALRM ends main's sleep", sleep(20) > 0);
	send_from_child(SIGUSR1);
	CHECK_EQ("its value arrives", 42, value);
	expect_on_main("sigqueue to the process, from outside", 1);
	kill(getpid(), SIGUSR1);
	expect_on_main("kill of itself, in main: before it returns", 1);
	setitimer(ITIMER_REAL, &soon, NULL);
	expect_on_main("pause in main returns", pause() == -1 && errno == EINTR);

	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	pthread_t other = spawn(blocked_in_main, NULL); /* born with it blocked, as all others are not */
	setitimer(ITIMER_REAL, &soon, NULL);
	join(other);
	CHECK("main blocks it: another thread takes it", ran == 1 && !ran_on_main);
	EXPECT_EQ(0, pthread_sigmask(SIG_UNBLOCK, &set, NULL));
	CHECK_EQ("raise stays with its thread", 1, (long)join(spawn(raises, NULL)));
	CHECK_EQ("a trap is the trapped thread's", 1, (long)join(spawn(traps, NULL)));
	CHECK_EQ("SIGPIPE is the writer's", 1, (long)join(spawn(writes, NULL)));

	flag_set(&stop, 1);
	pthread_mutex_lock(&mutex);
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
	EXPECT_EQ(1, (int)write(pipe_fd[1], "x", 1));
	/* Its reader may be the one that took SIGALRM, and have ended. */
	EXPECT_EQ(1, write(line_fd[1], "x", 1) == 1 || errno == EPIPE);
	for (int i = 0; i < WORKERS; i++)
		join(t[i]);
	CHECK("no other thread's call was disturbed but by what it took", disturbed <= 1);
	return check_done();
}
