// TIMEOUT: 40
/* fork.c - fork from main, from a thread, and while the others are busy in libc. */
#include "check.h"

#include <semaphore.h>
#include <sys/syscall.h>

static __thread int local = 3;
static int stop;

static void *answers(void *arg)
{
	return (void *)((long)arg + 1);
}

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int turn;

static void *hops(void *arg)
{
	int me = (int)(long)arg;
	for (int i = 0; i < 20; i++) {
		pthread_mutex_lock(&m);
		while (turn % 2 != me)
			pthread_cond_wait(&c, &m);
		turn++;
		pthread_cond_broadcast(&c);
		pthread_mutex_unlock(&m);
	}
	return NULL;
}

/* What a child must still be able to do; the exit status says what failed. */
static int child_works(int n_threads)
{
	pthread_t ts[16], t;
	void *v = NULL;
	char buf[64];

	for (long i = 0; i < n_threads; i++)
		if (pthread_create(&ts[i], NULL, answers, (void *)i) != 0)
			return 10;
	for (long i = 0; i < n_threads; i++)
		if (pthread_join(ts[i], &v) != 0 || (long)v != i + 1)
			return 11;
	turn = 0;
	if (pthread_create(&t, NULL, hops, (void *)1) != 0)
		return 12;
	hops((void *)0);
	if (pthread_join(t, NULL) != 0 || turn != 40)
		return 13;
	void *p = malloc(1000);
	if (!p || snprintf(buf, sizeof buf, "%g", 1.5) != 3)
		return 14;
	free(p);
	if (getpid() == getppid() || gettid() != getpid())
		return 15;
	sleep_ms(1);
	return 0;
}

static void *forks(void *arg)
{
	pthread_t self = pthread_self();
	local = 44;
	errno = 55;
	pid_t pid = fork();
	if (pid == 0) {
		if (errno != 55 || local != 44 || !pthread_equal(self, pthread_self()))
			_exit(20);
		_exit(child_works((int)(long)arg));
	}
	return (void *)(long)reap(pid);
}

/* The child's only thread is the one that forked: when it returns, the process ends. */
static void *child_returns(void *arg)
{
	int *fds = (int *)arg;
	pid_t pid = fork();
	if (pid == 0) {
		EXPECT_EQ(1, write(fds[1], "c", 1));
		return NULL;
	}
	return (void *)(long)reap(pid);
}

static void *child_exits(void *arg)
{
	(void)arg;
	pid_t pid = fork();
	if (pid == 0)
		exit(33);
	return (void *)(long)reap(pid);
}

static void *waits_forever(void *arg)
{
	(void)arg;
	while (!flag_get(&stop))
		sleep_ms(5);
	return NULL;
}

static void *busy_malloc(void *arg)
{
	unsigned seed = (unsigned)(long)arg;
	void *p[32] = {NULL};
	while (!flag_get(&stop)) {
		int k = rand_r(&seed) % 32;
		free(p[k]);
		p[k] = malloc((size_t)(rand_r(&seed) % 5000));
	}
	for (int k = 0; k < 32; k++)
		free(p[k]);
	return NULL;
}

static FILE *sink;

static void *busy_stdio(void *arg)
{
	(void)arg;
	while (!flag_get(&stop)) {
		fprintf(sink, "%d %s\n", 1, "text");
		fflush(sink);
		FILE *f = fopen("/dev/null", "w");
		if (f) {
			fputs("x", f);
			fclose(f);
		}
	}
	return NULL;
}

static void *busy_locks(void *arg)
{
	(void)arg;
	static pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
	while (!flag_get(&stop)) {
		pthread_mutex_lock(&own);
		sched_yield();
		pthread_mutex_unlock(&own);
		join(spawn(answers, NULL));
	}
	return NULL;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_phase, once_runs;

static void slow_init(void)
{
	flag_add(&once_runs, 1);
	flag_set(&once_phase, 1);
	while (flag_get(&once_phase) == 1)
		sleep_ms(1);
}

static void quick_init_child(void)
{
	flag_add(&once_runs, 1);
}

static void *in_once(void *arg)
{
	(void)arg;
	pthread_once(&once, slow_init);
	return NULL;
}

static void *forks_deep(void *arg)
{
	long depth = (long)arg;
	if (depth == 0)
		return (void *)0x700; /* as if a process had exited with 7 */
	pid_t pid = fork();
	if (pid == 0)
		_exit(WEXITSTATUS((int)(long)join(spawn(forks_deep, (void *)(depth - 1)))));
	return (void *)(long)reap(pid);
}

int main(void)
{
	pthread_t ts[6];
	pid_t pid;
	int fds[2], bad = 0;
	char ch = 0;

	pid = fork();
	if (pid == 0)
		_exit(child_works(4));
	CHECK_EQ("fork before any thread: the child makes threads", 0, reap(pid));
	CHECK_EQ("the same in the parent", 0, child_works(4));

	ts[0] = spawn(waits_forever, NULL);
	pid = fork();
	if (pid == 0)
		_exit(child_works(8));
	CHECK_EQ("fork from main with a thread alive: the child makes threads", 0, reap(pid));
	CHECK_EQ("fork from a thread: the child goes on as that thread", 0, (long)join(spawn(forks, (void *)8)));
	CHECK_EQ("fork from a thread, again", 0, (long)join(spawn(forks, (void *)3)));
	EXPECT_EQ(0, pipe(fds));
	CHECK_EQ("the child of a thread ends with 0 when that thread returns", 0, (long)join(spawn(child_returns, fds)));
	CHECK("it ran", read(fds[0], &ch, 1) == 1 && ch == 'c');
	CHECK("exit in the child of a thread", exited_with((int)(long)join(spawn(child_exits, NULL)), 33));
	CHECK("five generations, each forked by a thread", exited_with((int)(long)join(spawn(forks_deep, (void *)5L)), 7));
	CHECK_EQ("another thread of the parent is alive", EBUSY, pthread_tryjoin_np(ts[0], NULL));

	/* glibc: a once that was running in another thread at the fork is not done in the child */
	ts[1] = spawn(in_once, NULL);
	flag_wait(&once_phase, 1);
	pid = fork();
	if (pid == 0) {
		pthread_once(&once, quick_init_child);
		_exit(once_runs);
	}
	CHECK("glibc: pthread_once interrupted by fork runs again in the child", exited_with(reap(pid), 2));
	flag_set(&once_phase, 2);
	join(ts[1]);
	flag_set(&stop, 1);
	join(ts[0]);

	flag_set(&stop, 0);
	sink = fopen("/dev/null", "w");
	for (long i = 0; i < 2; i++) {
		ts[3 * i] = spawn(busy_malloc, (void *)(i + 1));
		ts[3 * i + 1] = spawn(busy_stdio, NULL);
		ts[3 * i + 2] = spawn(busy_locks, NULL);
	}
	for (int i = 0; i < 100; i++) {
		pid = fork();
		if (pid == 0) {
			for (int k = 0; k < 50; k++)
				free(malloc((size_t)k * 100));
			fprintf(sink, "child\n");
			fflush(sink);
			_exit(child_works(2));
		}
		bad |= reap(pid);
	}
	CHECK_EQ("100 children while threads are in malloc, stdio and pthread_create", 0, bad);
	for (int i = 0; i < 20; i++)
		bad |= (int)(long)join(spawn(forks, (void *)2));
	CHECK_EQ("20 more, forked by threads", 0, bad);
	flag_set(&stop, 1);
	for (int i = 0; i < 6; i++)
		join(ts[i]);
	return check_done();
}
