// TIMEOUT: 60
/* nomem_timers.c - waits with a time-out while there is no memory at all: they end by it, as always, however many they are. */
#include "check.h"

#include <semaphore.h>
#include <sys/resource.h>

enum { THREADS = 1200, ROUNDS = 3 };

static sem_t never, some;
static pthread_barrier_t start;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int early, wrong; /* atomic */

static void *waits(void *arg)
{
	long i = (long)arg;
	for (int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&start); /* the limit is set */
		long ms = 20 + (i * 7919 + round * 31) % 200;
		double due = now_s() + (double)ms / 1000;
		struct timespec at = in_ms(i % 3 == 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME, ms);
		int r;
		if (i % 3 == 0) {
			while ((r = sem_timedwait(&never, &at)) != 0 && errno == EINTR)
				;
			r = r != 0 && errno == ETIMEDOUT;
		} else if (i % 3 == 1) {
			pthread_mutex_lock(&lock);
			while ((r = pthread_cond_timedwait(&cond, &lock, &at)) == 0)
				;
			r = r == ETIMEDOUT;
			pthread_mutex_unlock(&lock);
		} else {
			while ((r = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL)) == EINTR)
				;
			r = r == 0;
		}
		if (!r)
			flag_add(&wrong, 1);
		if (now_s() < due - 0.002)
			flag_add(&early, 1);
		if (i % 2) { /* some are stopped before their time */
			at = in_ms(CLOCK_REALTIME, 20000);
			sem_post(&some);
			while ((r = sem_timedwait(&some, &at)) != 0 && errno == EINTR)
				;
			if (r != 0)
				flag_add(&wrong, 1);
		}
		pthread_barrier_wait(&start);
	}
	return NULL;
}

int main(void)
{
	static pthread_t t[THREADS];
	pthread_attr_t a;
	struct rlimit rl, old;
	EXPECT_EQ(0, sem_init(&never, 0, 0));
	EXPECT_EQ(0, sem_init(&some, 0, 0));
	EXPECT_EQ(0, pthread_barrier_init(&start, NULL, THREADS + 1));
	EXPECT_EQ(0, pthread_attr_init(&a));
	EXPECT_EQ(0, pthread_attr_setstacksize(&a, 64 << 10));
	EXPECT_EQ(0, getrlimit(RLIMIT_AS, &old));
	for (long i = 0; i < THREADS; i++)
		EXPECT_EQ(0, pthread_create(&t[i], &a, waits, (void *)i));
	now_s();
	rl = old;
	rl.rlim_cur = 1 << 20; /* less than there is in use */
	EXPECT_EQ(0, setrlimit(RLIMIT_AS, &rl));
	for (int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&start);
		pthread_barrier_wait(&start);
	}
	EXPECT_EQ(0, setrlimit(RLIMIT_AS, &old));
	for (int i = 0; i < THREADS; i++)
		join(t[i]);
	CHECK_EQ("ETIMEDOUT, or what was waited for", 0, wrong);
	CHECK_EQ("never before the time", 0, early);
	return check_done();
}
