/*
 * PROCS: 1 2 8
 * TIMEOUT: 120
 * 64 threads are cancelled at random moments in every kind of wait, while others signal, post and interrupt them. Each must end cancelled,
 * with its cleanup handler run once; a condition variable's mutex is held in the handler; a cancelled waiter eats no post of a
 * semaphore; nothing of the runtime is left in a state that later rounds would notice.
 * Arguments: rounds (default 60), one kind only, seed.
 */
#include "random.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

enum { TASKS = 64 };

static pthread_mutex_t m, plain = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static sem_t s, never;
static int p[2], ep, failures;
static long posts, takes;
static pthread_key_t key;
static pthread_t sleeper_thread[TASKS];

static struct task {
	pthread_t thread;
	int kind, index;
	int started, cleaned, destroyed, done;
	unsigned rand;
} task[TASKS];

static void fail(const char *what, int kind)
{
	printf("FAIL: %s (kind %d)\n", what, kind);
	fflush(stdout);
	__atomic_add_fetch(&failures, 1, __ATOMIC_SEQ_CST);
}

static struct timespec after(clockid_t clock, long n)
{
	struct timespec t;
	clock_gettime(clock, &t);
	t.tv_nsec += n;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void cleanup(void *arg)
{
	__atomic_add_fetch(&((struct task *)arg)->cleaned, 1, __ATOMIC_SEQ_CST);
}

static void cleanup_mutex(void *arg)
{
	struct task *t = arg;
	if (pthread_mutex_unlock(&m) != 0) /* it checks errors */
		fail("the mutex is not held in the handler", t->kind);
	cleanup(arg);
}

static void destroy(void *arg)
{
	((struct task *)arg)->destroyed++;
	ns(0); /* a wait in a destructor is not cancelled again */
}

static void handler(int sig)
{
	(void)sig;
}

static void *sleeper(void *arg)
{
	struct timespec t = {100, 0};
	(void)arg;
	for (;;)
		nanosleep(&t, NULL);
	return NULL;
}

static void cond_kinds(struct task *t)
{
	int timed = next(&t->rand) & 1;
	pthread_mutex_lock(&m);
	pthread_cleanup_push(cleanup_mutex, t);
	for (;;) {
		if (timed) {
			struct timespec ts = after(CLOCK_REALTIME, next(&t->rand) % 300000);
			int r = pthread_cond_timedwait(&c, &m, &ts);
			if (r != 0 && r != ETIMEDOUT)
				fail("pthread_cond_timedwait", r);
		} else {
			int r = pthread_cond_wait(&c, &m);
			if (r != 0)
				fail("pthread_cond_wait", r);
		}
	}
	pthread_cleanup_pop(0);
}

enum kind {
	COND,
	SEM,
	SEM_NEVER,
	SEM_TIMED,
	SLEEP,
	SLEEPS,
	JOIN,
	READ,
	POLL,
	SELECT,
	EPOLL,
	PAUSE,
	SIGWAIT,
	SIGSUSPEND,
	STDIO,
	MUTEX,
	RWLOCK,
	COMPUTE,
	ASYNC_LOOP,
	ASYNC_PAUSE,
	ASYNC_SLEEP,
	DISABLED,
	KINDS
};

static void wait_as(struct task *t)
{
	struct pollfd f = {p[0], POLLIN, 0};
	struct timespec ts;
	struct epoll_event ev;
	sigset_t set;
	fd_set fds;
	char b[8];
	int sig, old;
	FILE *file;

	switch ((enum kind)t->kind) {
	case COND:
		cond_kinds(t);
		break;
	case SEM:
		for (;;)
			if (sem_wait(&s) == 0)
				__atomic_add_fetch(&takes, 1, __ATOMIC_SEQ_CST);
	case SEM_NEVER:
		for (;;)
			sem_wait(&never);
	case SEM_TIMED:
		for (;;) {
			ts = after(CLOCK_REALTIME, next(&t->rand) % 300000);
			if (sem_timedwait(&s, &ts) == 0)
				__atomic_add_fetch(&takes, 1, __ATOMIC_SEQ_CST);
		}
	case SLEEP:
		for (;;)
			sleep(100);
	case SLEEPS:
		for (;;)
			ns(next(&t->rand) % 200000);
	case JOIN:
		if (pthread_join(sleeper_thread[t->index], NULL) == 0)
			fail("pthread_join returned", 0);
		break;
	case READ:
		for (;;)
			if (read(p[0], b, 1) > 0)
				fail("read returned", 0);
	case POLL:
		for (;;)
			poll(&f, 1, (int)(next(&t->rand) % 4) - 1);
	case SELECT:
		for (;;) {
			FD_ZERO(&fds);
			FD_SET(p[0], &fds);
			select(p[0] + 1, &fds, NULL, NULL, NULL);
		}
	case EPOLL:
		for (;;)
			epoll_wait(ep, &ev, 1, (int)(next(&t->rand) % 4) - 1);
	case PAUSE:
		for (;;)
			pause();
	case SIGWAIT:
		sigemptyset(&set);
		sigaddset(&set, SIGUSR2);
		for (;;)
			sigwait(&set, &sig);
	case SIGSUSPEND:
		sigemptyset(&set);
		for (;;)
			sigsuspend(&set);
	case STDIO:
		file = fdopen(dup(p[0]), "r");
		if (file && fgets(b, sizeof b, file))
			fail("fgets returned", 0);
		for (;;)
			pause();
	case MUTEX:
		for (;;) {
			pthread_mutex_lock(&plain);
			if (next(&t->rand) & 1)
				sched_yield();
			pthread_mutex_unlock(&plain);
			pthread_testcancel();
		}
	case RWLOCK:
		for (;;) {
			if (next(&t->rand) & 1)
				pthread_rwlock_rdlock(&rw);
			else
				pthread_rwlock_wrlock(&rw);
			sched_yield();
			pthread_rwlock_unlock(&rw);
			pthread_testcancel();
		}
	case COMPUTE:
		for (volatile unsigned i = 0;; i++)
			if (i % 1000 == 0)
				pthread_testcancel();
	case ASYNC_LOOP:
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
		for (volatile unsigned i = 0;; i++)
			;
	case ASYNC_PAUSE:
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
		for (;;)
			pause();
	case ASYNC_SLEEP:
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
		for (;;)
			ns(next(&t->rand) % 100000000);
	case DISABLED:
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
		for (int i = 0; i < 3; i++) {
			ts = after(CLOCK_REALTIME, 50000);
			if (sem_timedwait(&never, &ts) == 0 || (errno != ETIMEDOUT && errno != EINTR))
				fail("sem_timedwait while disabled", errno);
			ns(50000);
		}
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
		for (;;)
			ns(1000000);
	case KINDS:
		break;
	}
}

static void *run(void *arg)
{
	struct task *t = arg;
	pthread_setspecific(key, t);
	__atomic_store_n(&t->started, 1, __ATOMIC_SEQ_CST);
	if (t->kind == COND) {
		wait_as(t);
	} else {
		pthread_cleanup_push(cleanup, t);
		wait_as(t);
		pthread_cleanup_pop(0);
	}
	fail("the thread was not cancelled", t->kind);
	return NULL;
}

static int stop;

/* What makes waits return while they are cancelled. Not for round % 4 == 3: then only the cancellation does. */
static void *noise(void *arg)
{
	unsigned r = 12345;
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		unsigned n = next(&r);
		if (n % 4 == 0)
			pthread_cond_signal(&c);
		else if (n % 4 == 1)
			pthread_cond_broadcast(&c);
		else if (sem_post(&s) == 0)
			posts++;
		int i = (int)(n / 4 % TASKS);
		if (n % 3 == 0 && __atomic_load_n(&task[i].started, __ATOMIC_SEQ_CST) &&
		    !__atomic_load_n(&task[i].done, __ATOMIC_SEQ_CST))
			pthread_kill(task[i].thread, n & 64 ? SIGUSR1 : SIGURG);
		ns(n % 50000);
	}
	return NULL;
}

static void one_round(int round, int only, unsigned *r)
{
	pthread_t noisy;
	int quiet = round % 4 == 3;
	memset(task, 0, sizeof task);
	stop = 0;
	for (int i = 0; i < TASKS; i++) {
		struct task *t = &task[i];
		t->index = i;
		t->rand = next(r);
		t->kind = only >= 0 ? only : i == 3 ? COMPUTE + round / 4 % 2 : (int)(next(r) % KINDS);
		if (only < 0 && (t->kind == COMPUTE || t->kind == ASYNC_LOOP) && (i != 3 || round % 4 != 0))
			t->kind = SEM; /* few of those that only compute: the others wait for their slices */
		if (t->kind == JOIN)
			pthread_create(&sleeper_thread[i], NULL, sleeper, NULL);
		if (pthread_create(&t->thread, NULL, run, t) != 0)
			abort();
	}
	if (!quiet)
		pthread_create(&noisy, NULL, noise, NULL);
	for (int i = 0; i < TASKS; i++) {
		unsigned n = next(r);
		struct task *t = &task[i];
		if (n % 4 == 1)
			sched_yield();
		else if (n % 4 == 2)
			ns(n / 4 % 100000);
		while (!__atomic_load_n(&t->started, __ATOMIC_SEQ_CST) && n % 8 < 7)
			sched_yield();
		if (pthread_cancel(t->thread) != 0)
			fail("pthread_cancel", t->kind);
		if (n % 16 == 5)
			pthread_cancel(t->thread);
	}
	/* Those that end keep their blocks until they are joined, so the noise may go on meanwhile. */
	ns(next(r) % 1000000);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	if (!quiet)
		pthread_join(noisy, NULL);
	for (int i = 0; i < TASKS; i++) {
		struct task *t = &task[i];
		void *value = NULL;
		if (pthread_join(t->thread, &value) != 0)
			fail("pthread_join", t->kind);
		t->done = 1;
		if (value != PTHREAD_CANCELED)
			fail("the value is not PTHREAD_CANCELED", t->kind);
		if (t->cleaned != 1)
			fail("the handler did not run once", t->kind);
		if (t->destroyed != 1)
			fail("the key's destructor did not run once", t->kind);
		if (t->kind == JOIN) {
			pthread_cancel(sleeper_thread[i]);
			pthread_join(sleeper_thread[i], &value);
			if (value != PTHREAD_CANCELED)
				fail("the thread that was being joined", JOIN);
		}
	}
	if (pthread_mutex_lock(&m) != 0 || pthread_mutex_unlock(&m) != 0)
		fail("the mutex is not free", -1);
	int value;
	sem_getvalue(&s, &value);
	if (value != posts - takes)
		fail("a post of the semaphore was lost", (int)(posts - takes) - value);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 60, only = argc > 2 ? atoi(argv[2]) : -1;
	unsigned r = argc > 3 ? (unsigned)atoi(argv[3]) : 2463534242u;
	struct sigaction sa = {.sa_handler = handler};
	struct epoll_event ev = {.events = EPOLLIN};
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&m, &attr);
	sem_init(&s, 0, 0);
	sem_init(&never, 0, 0);
	pthread_key_create(&key, destroy);
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGURG, &sa, NULL);
	ep = epoll_create1(0);
	if (pipe(p) != 0 || epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev) != 0)
		abort();
	for (int i = 0; i < rounds && !failures; i++) {
		one_round(i, only, &r);
		if (i % 16 == 15) /* the files of fgets */
			for (int fd = p[1] + 1; fd < 800; fd++)
				if (fd != ep)
					close(fd);
	}
	puts(failures ? "failed" : "ok");
	return failures != 0;
}
