/*
 * signals MODE [N]: what signals, cancellation and fork cost, measured by a plain pthread program.
 *
 * One binary for every peer, as threads.c. What it prints: bench.h.
 */
#include "bench.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void catch_signal(int sig, void (*handler)(int), int flags)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};
	if (sigaction(sig, &sa, NULL) != 0)
		die("sigaction: %s", strerror(errno));
}

/* kill: pthread_kill to a thread that waits for a semaphore; its handler posts another, for which the sender waits. */
static sem_t kill_back, kill_never;
static atomic_long kill_seen;
static long kill_n;
static pthread_t kill_target;

static void answer(int sig)
{
	(void)sig;
	atomic_fetch_add_explicit(&kill_seen, 1, memory_order_relaxed);
	post_sem(&kill_back);
}

static void *kill_waiter(void *arg)
{
	wait_sem(&kill_never);
	return arg;
}

static void *kill_sender(void *arg)
{
	for (long i = 0; i < kill_n; i++) {
		must(pthread_kill(kill_target, SIGUSR1), "pthread_kill");
		wait_sem(&kill_back);
	}
	return arg;
}

static int64_t kill_once(long n)
{
	pthread_t sender;
	int64_t t0;

	kill_n = n;
	atomic_store(&kill_seen, 0);
	sem_init(&kill_back, 0, 0);
	sem_init(&kill_never, 0, 0);
	start(&kill_target, NULL, kill_waiter, NULL);
	usleep(1000);
	t0 = now();
	start(&sender, NULL, kill_sender, NULL);
	join(sender);
	t0 = now() - t0;
	post_sem(&kill_never);
	join(kill_target);
	must_equal(atomic_load(&kill_seen), n, "kill: handlers that ran");
	return t0;
}

static void mode_kill(long given)
{
	catch_signal(SIGUSR1, answer, SA_RESTART);
	printf("kill_back %.1f ns\n", calibrate(kill_once, 100, given));
}

/* cancel: N threads (10,000) that wait on a condition are cancelled and joined. */
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_open = PTHREAD_COND_INITIALIZER, gate_full = PTHREAD_COND_INITIALIZER;
static long gate_want = -1, gate_in; /* gate_lock */
static bool gate_is_open;            /* gate_lock */

static void unlock_gate(void *arg)
{
	pthread_mutex_unlock(arg);
}

static void *wait_at_gate(void *arg)
{
	pthread_mutex_lock(&gate_lock);
	pthread_cleanup_push(unlock_gate, &gate_lock);
	if (++gate_in == gate_want)
		pthread_cond_signal(&gate_full);
	while (!gate_is_open)
		pthread_cond_wait(&gate_open, &gate_lock);
	pthread_cleanup_pop(1);
	return arg;
}

/* As many of n as are to be had; returns when all of them wait. */
static long fill_gate(pthread_t *t, long n)
{
	pthread_attr_t attr;
	long made;

	must(pthread_attr_init(&attr), "pthread_attr_init");
	must(pthread_attr_setstacksize(&attr, 64 * 1024), "pthread_attr_setstacksize");
	gate_in = 0;
	for (made = 0; made < n; made++)
		if (pthread_create(&t[made], &attr, wait_at_gate, NULL) != 0)
			break;
	pthread_mutex_lock(&gate_lock);
	gate_want = made;
	while (gate_in < made)
		pthread_cond_wait(&gate_full, &gate_lock);
	pthread_mutex_unlock(&gate_lock);
	return made;
}

static void mode_cancel(long given)
{
	long n = given > 0 ? given : 10000;
	pthread_t *t = calloc(n, sizeof *t);
	void *result;
	int64_t t0;

	must_equal(fill_gate(t, n), n, "cancel: threads made");
	t0 = now();
	for (long i = 0; i < n; i++)
		must(pthread_cancel(t[i]), "pthread_cancel");
	for (long i = 0; i < n; i++) {
		must(pthread_join(t[i], &result), "pthread_join");
		if (result != PTHREAD_CANCELED)
			die("cancel: a thread was not cancelled");
	}
	printf("cancel_all %.0f ns\n", (double)(now() - t0));
	free(t);
}

/* fork: of a process with N waiting threads (100,000), and of a process without, but with as many stacks as touched. */
enum { FORKS = 5, STACK = 64 << 10, TOUCHED = 2 * 4096 };

static double fork_median(void)
{
	int64_t took[FORKS];

	for (int i = 0; i < FORKS; i++) {
		int status;
		int64_t t0 = now();
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		took[i] = now() - t0;
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			die("fork: %s", strerror(errno));
	}
	qsort(took, FORKS, sizeof took[0], by_value);
	return (double)took[FORKS / 2];
}

/* In a process of its own, so that it has no threads and no memory of the other measurement. */
static double fork_of_memory(long n)
{
	int p[2];
	double ns = 0;

	if (pipe(p) != 0)
		die("pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0) {
		char *m =
			mmap(NULL, (size_t)n * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (m == MAP_FAILED)
			_exit(1);
		madvise(m, (size_t)n * STACK, MADV_NOHUGEPAGE);
		for (long i = 0; i < n; i++)
			for (int at = 0; at < TOUCHED; at += 4096)
				m[i * STACK + at] = 1;
		ns = fork_median();
		_exit(write(p[1], &ns, sizeof ns) != sizeof ns);
	}
	if (pid < 0 || read(p[0], &ns, sizeof ns) != sizeof ns || waitpid(pid, NULL, 0) != pid)
		die("fork: no answer from the process with memory only");
	close(p[0]);
	close(p[1]);
	return ns;
}

static void mode_fork(long given)
{
	long n = given > 0 ? given : 100000;
	pthread_t *t = calloc(n, sizeof *t);
	double memory = fork_of_memory(n), threads;

	must_equal(fill_gate(t, n), n, "fork: threads made");
	threads = fork_median();
	printf("fork_threads %.0f ns\n", threads);
	printf("fork_memory %.0f ns\n", memory);
	printf("fork_ratio %.2f times\n", threads / memory);
	pthread_mutex_lock(&gate_lock);
	gate_is_open = true;
	pthread_cond_broadcast(&gate_open);
	pthread_mutex_unlock(&gate_lock);
	for (long i = 0; i < n; i++)
		join(t[i]);
	free(t);
}

/* timer: a thread computes while a timer sends the process 10,000 signals a second; the time of a fixed piece of work. */
static atomic_long timer_ticks;
static long timer_n;

static void tick(int sig)
{
	(void)sig;
	atomic_fetch_add_explicit(&timer_ticks, 1, memory_order_relaxed);
}

static void *compute(void *arg)
{
	volatile unsigned long x = 1;

	for (long i = 0; i < timer_n * 1000; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return arg;
}

static int64_t compute_once(long n)
{
	pthread_t t;
	int64_t t0 = now();

	timer_n = n;
	start(&t, NULL, compute, NULL);
	join(t);
	return now() - t0;
}

static void mode_timer(long given)
{
	struct itimerspec every = {{0, 100000}, {0, 100000}};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	timer_t timer;
	int64_t t0;
	double work;

	catch_signal(SIGRTMIN, tick, SA_RESTART);
	if (timer_create(CLOCK_MONOTONIC, &ev, &timer) != 0 || timer_settime(timer, 0, &every, NULL) != 0)
		die("timer: %s", strerror(errno));
	t0 = now();
	work = calibrate(compute_once, 1000, given);
	t0 = now() - t0;
	if (timer_delete(timer) != 0)
		die("timer_delete: %s", strerror(errno));
	printf("timer_work %.1f ns\n", work);
	printf("timer_signals %.0f per_second\n", (double)atomic_load(&timer_ticks) * 1e9 / (double)t0);
}

static const struct mode modes[] = {
	{"kill", mode_kill, "pthread_kill to a waiting thread and an answer from its handler"},
	{"cancel", mode_cancel, "N waiting threads are cancelled and joined"},
	{"fork", mode_fork, "fork with N waiting threads, and with as much memory"},
	{"timer", mode_timer, "work beside 10,000 signals of a timer a second"},
};

int main(int argc, char **argv)
{
	return run_mode(argc, argv, modes, sizeof modes / sizeof modes[0]);
}
