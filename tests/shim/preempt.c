// TIMEOUT: 30
/* preempt.c - a thread that never gives up its processor does not stop the others.
 *
 * Bounds are generous: they tell "late" from "never", and bench/ measures how late. */
#include "check.h"

static int stop, progress, spinning;

static void *spins(void *arg)
{
	(void)arg;
	flag_add(&spinning, 1);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		;
	return NULL;
}

static void *spins_calling(void *arg)
{
	/* time is spent in libc: memset, snprintf */
	static __thread char buf[4096];
	(void)arg;
	flag_add(&spinning, 1);
	for (long i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		memset(buf, (int)i, sizeof buf);
		snprintf(buf, sizeof buf, "%ld %f", i, (double)i);
	}
	return NULL;
}

static void *spins_on_malloc(void *arg)
{
	(void)arg;
	flag_add(&spinning, 1);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		free(malloc(100));
	return NULL;
}

static void *counts(void *arg)
{
	(void)arg;
	while (!flag_get(&stop)) {
		flag_add(&progress, 1);
		sched_yield();
	}
	return NULL;
}

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int ball; /* m */

static void *plays(void *arg)
{
	int me = (int)(long)arg;
	for (int i = 0; i < 20; i++) {
		pthread_mutex_lock(&m);
		while (ball % 2 != me)
			pthread_cond_wait(&c, &m);
		ball++;
		pthread_cond_broadcast(&c);
		pthread_mutex_unlock(&m);
	}
	return NULL;
}

static void with_spinners(const char *what, void *(*fn)(void *), int n)
{
	pthread_t spinners[8], others[4];
	double start = now_s();

	printf("-- %d %s\n", n, what);
	flag_set(&stop, 0);
	flag_set(&spinning, 0);
	progress = ball = 0;
	for (int i = 0; i < n; i++)
		spinners[i] = spawn(fn, NULL);
	CHECK("all of them start", flag_wait_bounded(&spinning, n));
	others[0] = spawn(counts, NULL);
	CHECK("a new thread runs", flag_wait_bounded(&progress, 20));
	others[1] = spawn(plays, (void *)0);
	others[2] = spawn(plays, (void *)1);
	join(others[1]);
	join(others[2]);
	CHECK_EQ("two threads hand a ball to and fro by mutex and cond", 40, ball);
	sleep_ms(1);
	flag_set(&stop, 1);
	for (int i = 0; i < n; i++)
		join(spinners[i]);
	join(others[0]);
	CHECK("all within 10 s", now_s() - start < 10);
}

/* main itself may be the one that spins */
static int set_by_thread;

static void *sets(void *arg)
{
	sleep_ms(20);
	flag_set((int *)arg, 1);
	return NULL;
}

int main(void)
{
	with_spinners("spinning in the program", spins, 1);
	with_spinners("spinning in the program", spins, 4);
	with_spinners("spinning in libc", spins_calling, 4);
	with_spinners("spinning in malloc", spins_on_malloc, 4);
	pthread_t t = spawn(sets, &set_by_thread);
	while (!__atomic_load_n(&set_by_thread, __ATOMIC_RELAXED))
		;
	join(t);
	CHECK("main spins until a thread has slept and set its flag", 1);
	return check_done();
}
